"""The indices that a `require`, a `where` or an `at` leaves free: it holds for all of them, in these ranges."""

from __future__ import annotations

from collections.abc import Iterator

from gradproof.compiler.dims import Entry, Poly
from gradproof.compiler.ops import OUTPUT, OpDef
from gradproof.compiler.terms import BoolRead, Cond, Read, free_symbols, polys, walk


def ranges(op: OpDef, cond: Cond) -> dict[str, Poly]:
    """The extent of each free index: that of the first axis that is read at it alone."""
    known = {*op.sizes, *op.int_attrs}
    axes = {p.name: tuple(a.extent for a in p.axes) for p in op.params}
    axes[OUTPUT] = tuple(a.extent for a in op.output.axes)
    axes |= {let.target: let.extents for let in op.lets}
    found: dict[str, Poly] = {}
    for tensor, index in _reads(cond):
        for position, extent in zip(index, axes.get(tensor, ()), strict=False):
            name = position.as_symbol
            if name is not None and name not in known:
                found.setdefault(name, extent)
    free = free_symbols(cond)
    return {name: extent for name, extent in found.items() if name in free}


def _reads(cond: Cond) -> Iterator[tuple[str, tuple[Poly, ...]]]:
    for node in walk(cond):
        if isinstance(node, Read | BoolRead):
            yield node.tensor, node.index
        for poly in polys(node):
            for entry in poly.entries():
                yield _pair(entry)


def _pair(entry: Entry) -> tuple[str, tuple[Poly, ...]]:
    return entry.tensor, entry.index
