"""What an operator's proofs may take as known: bounds of its sizes and attributes, and the facts it requires."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from gradproof.compiler.dims import Poly, Sym
from gradproof.compiler.ops import OpDef
from gradproof.compiler.rewriting import free_symbols, polys, walk
from gradproof.compiler.terms import And, BoolRead, Cond, IntCmp, Not, Or, Read, RealCmp
from gradproof.verifier.ranges import Context, entries_in, integers_only


@dataclass(frozen=True, slots=True)
class Setting:
    """`context` for integers (sizes are >= 0 or what a requirement says); `facts` about reals (the declared domain).

    A fact about `x[i]` holds for every i below x's extent, so where that is 0 it says nothing, not even of what else
    stands in it. `ranges` are the extents of each fact's own indices.
    """

    context: Context
    facts: tuple[Cond, ...]
    ranges: tuple[Mapping[str, Poly], ...]

    @property
    def everywhere(self) -> tuple[tuple[Mapping[str, Poly], Cond], ...]:
        """The facts about what stands at indices, with the extents below which they hold."""
        return tuple((own, f) for own, f in zip(self.ranges, self.facts, strict=True) if own)

    def facts_at(self, ranges: Mapping[str, Poly]) -> tuple[Cond, ...]:
        """The facts about what stands at indices with these ranges, by the names of the indices."""
        return tuple(f for f, own in zip(self.facts, self.ranges, strict=True) if own.items() <= ranges.items())


@lru_cache(maxsize=4096)
def setting_of(op: OpDef) -> Setting:
    """The setting of an operator's proofs."""
    lower = dict.fromkeys(op.sizes, 0)
    fixed = {*op.sizes, *op.int_attrs}
    integers: list[Cond] = []
    reals: list[Cond] = []
    for cond in _flat((*op.requires, *op.domain)):
        own = free_symbols(cond) - fixed
        match cond:
            case _ if any(isinstance(inner, RealCmp) for inner in walk(cond)):
                reals.append(cond)
            case IntCmp(rel, poly):
                entries = list(poly.entries())
                if own and not entries:
                    continue  # `i < 3`: nothing says how far i runs
                if rel == ">=":
                    _bound(poly, lower)
                # Of `idx[k]` with an attribute k only this one entry is known: ranges.entry_facts must not take k for
                # an index that stands for all, so such a fact goes by a form that it passes over.
                one = any(p.symbols & fixed for entry in entries for p in entry.index)
                integers.append(And((cond,)) if one else cond)
            case Or() | Not() if integers_only(cond) and entries_in(cond):
                # `0 <= idx[k] < n or idx[k] == none`: it holds for all k, where k is an index and no attribute.
                if not any(p.symbols & fixed for entry in entries_in(cond) for p in entry.index):
                    integers.append(cond)
            case _ if not own:
                integers.append(cond)
    return Setting(Context(lower, {}, tuple(integers)), tuple(reals), tuple(_ranges(op, c, fixed) for c in reals))


def _ranges(op: OpDef, cond: Cond, fixed: set[str]) -> dict[str, Poly]:
    """The extents of the indices for all of which a condition holds: of the first axes that they are read at."""
    wanted = free_symbols(cond) - fixed
    axes = {param.name: [axis.extent for axis in param.axes] for param in op.params}
    found: dict[str, Poly] = {}
    for node in walk(cond):
        reads = [(node.tensor, node.index)] if isinstance(node, Read | BoolRead) else []
        reads += [(e.tensor, e.index) for p in polys(node) for e in p.entries()]
        for tensor, index in reads:
            for position, extent in zip(index, axes.get(tensor, []), strict=False):
                if position.as_symbol in wanted:
                    found.setdefault(str(position), extent)
    return found | {name: Poly.of(0) for name in wanted - found.keys()}


def _flat(conds: tuple[Cond, ...]) -> list[Cond]:
    out: list[Cond] = []
    for cond in conds:
        out += _flat(cond.args) if isinstance(cond, And) else [cond]
    return out


def _bound(poly: Poly, lower: dict[str, int]) -> None:
    """`n - 2 >= 0` gives n the lower bound 2."""
    if len(poly.symbols) != 1 or any(not isinstance(atom, Sym) for atom in poly.atoms):
        return
    (name,) = poly.symbols
    linear = poly.linear_in(name)
    if linear is not None and linear[0] == 1 and linear[1].constant is not None:
        lower[name] = max(lower.get(name, -linear[1].constant), -linear[1].constant)
