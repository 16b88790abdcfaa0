"""Small instances of an operator: sizes, attributes and integer inputs that satisfy what it requires."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from gradproof.compiler.denote import Env, Irrational, Rationals, Undecided, Undefined, holds
from gradproof.compiler.dims import Poly
from gradproof.compiler.ops import OpDef, Param
from gradproof.compiler.rewriting import free_symbols, polys, tensors, walk
from gradproof.compiler.terms import BoolRead, Cond, Read

SIZES = (2, 3, 1, 4)  # extents, the first ones first
ATTRIBUTES = (2, 1, 3, 0)  # integer attributes that are left open, the first ones first
TRIES = 4000
ENTRIES = 8  # of one tensor, at most


@dataclass(frozen=True, slots=True)
class Small:
    """Concrete sizes (a pack has any number of them), attributes, and integer inputs (flat, row-major)."""

    sizes: Mapping[str, tuple[int, ...]]
    ints: Mapping[str, int]
    reals: Mapping[str, Fraction]
    integers: Mapping[str, tuple[int, ...]]

    @property
    def names(self) -> dict[str, int]:
        """Every integer that a formula may name: sizes (a pack's is its number of entries) and attributes."""
        return {**{name: math.prod(each) for name, each in self.sizes.items()}, **self.ints}

    def extents(self, param: Param) -> tuple[int, ...]:
        """The extents of the parameter's axes, a pack being one."""
        names = self.names
        return tuple(axis.extent.evaluate(names) for axis in param.axes)

    def shape(self, param: Param) -> tuple[int, ...]:
        """The shape of the parameter's tensor, packs written out."""
        names = self.names
        each = (self.sizes[a.pack] if a.pack is not None else (a.extent.evaluate(names),) for a in param.axes)
        return tuple(n for axis in each for n in axis)

    def integer(self, tensor: str, position: tuple[int, ...], op: OpDef) -> int:
        """An entry of an integer input."""
        flat = 0
        for k, n in zip(position, self.extents(op.param(tensor)), strict=True):
            if not 0 <= k < n:
                raise Undefined(f"{tensor}{list(position)} is out of bounds")
            flat = flat * n + k
        return self.integers[tensor][flat]

    def env(self, op: OpDef, real: Any = None, boolean: Any = None) -> Env:
        """An environment in which the operator's terms have a value."""

        def entry(name: str, position: tuple[int, ...]) -> Any:
            return self.reals[name] if name in self.reals else (real or _nothing)(name, position)

        return Env(self.names, entry, lambda t, p: self.integer(t, p, op), boolean or _nothing)


def _nothing(name: str, position: tuple[int, ...]) -> Any:
    raise Undecided(f"{name} is not an integer")


def small_cases(
    op: OpDef, ranks: Mapping[str, int], ints: Mapping[str, int | None], reals: Mapping[str, Fraction], seed: int = 0
) -> Iterator[Small]:
    """Instances that satisfy the operator's integer requirements, the most telling first.

    `ranks` gives each pack's number of axes; `ints` the integer attributes, None where any value will do.
    """
    free = [name for name, value in ints.items() if value is None]
    slots = [name for name in op.sizes for _ in range(ranks.get(name, 1))]
    given = {p.name for p in op.params}
    sizes_only = tuple(c for c in op.requires if not tensors(c) & given)
    rest = tuple(c for c in op.requires if tensors(c) & given)
    rng = random.Random(seed)
    empty: list[Small] = []
    for choice in _choices([*([ATTRIBUTES] * len(free)), *map(_sizes, range(len(slots)))], len(free), rng):
        chosen = dict(zip(free, choice, strict=False))
        sizes: dict[str, tuple[int, ...]] = dict.fromkeys(op.sizes, ())
        for name, size in zip(slots, choice[len(free) :], strict=True):
            sizes[name] = (*sizes[name], size)
        known = {name: chosen[name] if value is None else value for name, value in ints.items()}
        bare = Small(sizes, known, reals, {})
        if _fits(op, bare) and all(holds_everywhere(c, op, bare) for c in sizes_only):
            full = _with_integers(op, bare, rest, rng)
            if full is not None and _entries(op, full):
                yield full
            elif full is not None:
                empty.append(full)
    yield from empty


def _choices(options: list[tuple[int, ...]], free: int, rng: random.Random) -> list[tuple[int, ...]]:
    """Choices of attributes, then sizes: sizes above 1 that differ from their neighbours first."""
    if math.prod(map(len, options)) <= TRIES:
        found = list(itertools.product(*options))
    else:
        # Many axes fit into few entries only where most of them are 1.
        found = [
            tuple(1 if 1 in each and rng.random() < part else rng.choice(each) for each in options)
            for part in (0, 0.7)
            for _ in range(TRIES // 2)
        ]

    def plainness(choice: tuple[int, ...]) -> tuple[int, int]:
        sizes = choice[free:]
        equal = sum(a == b for a, b in itertools.pairwise(sizes))
        unlike = sum(map(tuple.index, options[:free], choice))
        return sum(n < 2 for n in sizes) + equal + unlike, sum(choice)

    return sorted(found, key=plainness)


def _sizes(slot: int) -> tuple[int, ...]:
    """Neighbouring axes begin with different sizes, so that swapped ones show."""
    return SIZES if slot % 2 == 0 else (SIZES[1], SIZES[0], *SIZES[2:])


def _entries(op: OpDef, small: Small) -> int:
    """The entries of the smallest tensor."""
    return min(math.prod(small.extents(p)) for p in (*op.params, op.output))


def _fits(op: OpDef, instance: Small) -> bool:
    try:
        every = [instance.extents(p) for p in (*op.params, op.output)]
    except ZeroDivisionError:
        return False
    return all(min(e, default=0) >= 0 and math.prod(e) <= ENTRIES for e in every)


def holds_everywhere(cond: Cond, op: OpDef, small: Small, real: Any = None) -> bool:
    """Whether a requirement, or with `real` entries a condition of the domain, holds for all its free indices."""
    env = small.env(op, real, real)
    ranges, access = _free_indices(cond, op, small), (env.real, env.integer, env.boolean)
    try:
        return all(
            holds(cond, Env({**env.ints, **dict(zip(ranges, at, strict=True))}, *access), _FIELD) is True
            for at in itertools.product(*map(range, ranges.values()))
        )
    except (Undefined, Undecided, Irrational):
        return False


_FIELD = Rationals()


def _free_indices(cond: Cond, op: OpDef, small: Small) -> dict[str, int]:
    """The indices that are free in a condition, with the extents of the axes that they index."""
    reads: list[tuple[str, tuple[Poly, ...]]] = []
    for node in walk(cond):
        if isinstance(node, Read | BoolRead):
            reads.append((node.tensor, node.index))
        reads += [(entry.tensor, entry.index) for poly in polys(node) for entry in poly.entries()]
    found: dict[str, int] = {}
    free = free_symbols(cond) - small.names.keys()
    for tensor, index in reads:
        if tensor in small.reals:
            continue
        for position, extent in zip(index, small.extents(op.param(tensor)), strict=True):
            if position.as_symbol in free:
                found.setdefault(position.as_symbol or "", extent)
    return found


def _with_integers(op: OpDef, bare: Small, requires: Sequence[Cond], rng: random.Random) -> Small | None:
    """The instance with integer inputs that satisfy the requirements on them."""
    params = [p for p in op.params if p.kind == "int"]
    if not params:
        return bare if all(holds_everywhere(c, op, bare) for c in requires) else None
    tops = sorted({1, *(n for each in bare.sizes.values() for n in each if n)}, reverse=True)
    for attempt in range(60):
        top = tops[attempt % len(tops)]
        drawn = {p.name: tuple(rng.randrange(top) for _ in range(math.prod(bare.extents(p)))) for p in params}
        full = Small(bare.sizes, bare.ints, bare.reals, drawn)
        if all(holds_everywhere(c, op, full) for c in requires):
            return full
    return None
