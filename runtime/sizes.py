"""The dims of a graph from the shapes of its inputs; every refusal says which shapes disagree, and where."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from gradproof.compiler.dims import Poly
from gradproof.compiler.graph import Graph, Seeded, TensorType


class InputError(ValueError):
    """An input is not what the graph takes; the message says which, where, and what was found."""


@dataclass(frozen=True, slots=True)
class Declared:
    """An input as the graph declares it."""

    name: str
    type: TensorType
    seeded: Seeded | None


class Sizes:
    """Dims as they are found, and where each was found first."""

    def __init__(self, fixed: Mapping[str, int], given: Mapping[str, int]) -> None:
        self.dims: dict[str, int] = dict(fixed)
        self._source = dict.fromkeys(fixed, "")
        self._later: list[tuple[Declared, int, Poly, int]] = []
        for name, value in given.items():
            self._set(name, operator.index(value), "dims")

    def meet(self, declared: Declared, shape: tuple[int, ...]) -> None:
        """One input's shape."""
        wanted = declared.type.shape
        if len(wanted) != len(shape):
            raise InputError(f"{declared.name} has {len(shape)} axes {list(shape)}, but it is {declared.type}")
        for axis, (extent, size) in enumerate(zip(wanted, shape, strict=True)):
            self._axis(declared, axis, extent, size)

    def _axis(self, declared: Declared, axis: int, extent: Poly, size: int) -> None:
        name = extent.as_symbol
        if name is not None and name not in self.dims:
            self._set(name, size, declared.name)
        elif extent.symbols <= self.dims.keys():
            self._agree(declared, axis, extent, size)
        else:
            self._later.append((declared, axis, extent, size))

    def _set(self, name: str, size: int, source: str) -> None:
        if name in self.dims and self.dims[name] != size:
            raise InputError(f"{name} = {self.dims[name]}{self._from(name)}, but {name} = {size} from {source}")
        self.dims[name], self._source[name] = size, self._source.get(name) or source

    def _from(self, name: str) -> str:
        return f" from {self._source[name]}" if self._source[name] else " (fixed)"

    def _agree(self, declared: Declared, axis: int, extent: Poly, size: int) -> None:
        expected = extent.evaluate(self.dims)
        if expected == size:
            return
        found = f"{declared.name} has {size} on axis {axis} where {declared.type} needs "
        names = sorted(extent.symbols)
        if not names:
            raise InputError(f"{found}{expected}")
        reasons = ", ".join(f"{n} = {self.dims[n]}{self._from(n)}" for n in names)
        raise InputError(
            f"{found}{extent} = {expected} ({reasons})" if extent.as_symbol is None else f"{found}{reasons}"
        )

    def finish(self, graph: Graph, used: frozenset[str]) -> None:
        """Solve the extents that were left, then check that every dim used is known and within its bounds."""
        while self._later:
            before = len(self._later)
            waiting, self._later = self._later, []
            for declared, axis, extent, size in waiting:
                self._solve(declared, axis, extent, size)
            if len(self._later) == before:
                self._refuse_unknown([n for _, _, e, _ in self._later for n in sorted(e.symbols)])
        self._refuse_unknown(sorted(used))
        for dim in graph.dims:
            size = self.dims.get(dim.name, dim.lower)
            if size < dim.lower:
                raise InputError(f"{dim.name} = {size}{self._from(dim.name)}, but `dim {dim.name} >= {dim.lower}`")
        for poly, rel in graph.assume_dims:
            value = poly.evaluate(self.dims)
            if value < 0 or (rel == "==" and value):
                reasons = ", ".join(f"{n} = {self.dims[n]}{self._from(n)}" for n in sorted(poly.symbols))
                raise InputError(f"{reasons}: this breaks the assumption {poly} {rel} 0")

    def _refuse_unknown(self, names: Iterable[str]) -> None:
        unknown = [name for name in dict.fromkeys(names) if name not in self.dims]
        if unknown:
            raise InputError(f"no input's shape gives {', '.join(unknown)}; pass dims={{{unknown[0]!r}: ...}}")

    def _solve(self, declared: Declared, axis: int, extent: Poly, size: int) -> None:
        """An extent a*n + b with one dim n unknown gives it."""
        unknown = [n for n in sorted(extent.symbols) if n not in self.dims]
        linear = extent.linear_in(unknown[0]) if len(unknown) == 1 else None
        if unknown and linear is None:
            self._later.append((declared, axis, extent, size))
            return
        if linear is not None:
            slope, rest = (part.evaluate(self.dims) for part in linear)
            value, remainder = divmod(size - rest, slope) if slope else (0, size - rest)
            if not slope and not remainder:
                self._later.append((declared, axis, extent, size))
                return
            if remainder or value < 0:
                message = f"{declared.name} has {size} on axis {axis}, and no {unknown[0]} makes {extent} that"
                raise InputError(message)
            self._set(unknown[0], value, declared.name)
        self._agree(declared, axis, extent, size)


def fixed_dims(graph: Graph) -> dict[str, int]:
    """The values of the fixed dims, which may be given by other fixed dims."""
    fixed = graph.fixed()
    out: dict[str, int] = {}
    for _ in fixed:
        for name, poly in fixed.items():
            if name not in out and poly.symbols <= out.keys():
                out[name] = poly.evaluate(out)
    return out


def used_dims(graph: Graph) -> frozenset[str]:
    """Every dim that the graph's extents and attributes mention."""
    polys = [extent for d in graph.delta for extent in d.type.shape]
    polys += [poly for poly, _ in graph.assume_dims]
    for node in graph.nodes:
        polys += node.type.shape
        polys += (extent for _, extents in node.sizes for extent in extents)
        polys += (value for _, value in node.attrs if isinstance(value, Poly))
    return frozenset[str]().union(*(poly.symbols for poly in set(polys)))
