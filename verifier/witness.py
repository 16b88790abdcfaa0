"""Concrete points of an operator: small sizes that meet its requirements, and small rational inputs in its domain."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from math import prod
from typing import Any, TypeAlias

from gradproof.compiler.denote import Env, Intervals, Irrational, Rationals, Surds, Undecided, Undefined, holds
from gradproof.compiler.dims import Poly
from gradproof.compiler.ops import COTANGENT, OpDef, Param
from gradproof.compiler.rewriting import free_symbols, polys, walk
from gradproof.compiler.rules import extents
from gradproof.compiler.surds import Surd
from gradproof.compiler.terms import And, BoolRead, Cond, Read, RealCmp
from gradproof.verifier.numerals import SPECIAL, constants_of, whole_numbers

Entries: TypeAlias = dict[tuple[int, ...], Any]
ATTRIBUTES = (1, 2, 0, -1, 3, -2)
REALS = (
    *map(Fraction, (1, 2, 0, 0, -1, 3)),
    Fraction(1, 2),
    Fraction(5, 2),
)  # attributes: many a rule fails at 0, or is right at 2
LENGTHS = (2, 1, 3, 4)
CHOICES = 20_000
WINDOW = 400  # of the smallest sizes, those that are looked at for pairs
LARGEST = 24  # entries of one tensor, at most
WITHOUT_SIZES = 3  # integers are drawn below it where the operator has no sizes
VAST = 2400  # where a whole number of the operator is gone to


@dataclass(frozen=True, slots=True)
class Sizes:
    """One choice of sizes and integer attributes: `packs` gives each pack's shape, `ints` every symbol's value."""

    ints: Mapping[str, int]
    packs: Mapping[str, tuple[int, ...]]

    @property
    def weight(self) -> int:
        """How far from nothing they are; a negative attribute is a little harder to read."""
        return _weight(self.ints.values())

    def shape(self, axes: tuple[Poly, ...]) -> tuple[int, ...]:
        """The concrete extents."""
        return tuple(axis.evaluate(self.ints) for axis in axes)


@dataclass(slots=True)
class Point:
    """Sizes and a value for every entry of every tensor; packs are flattened into one axis."""

    op: OpDef
    sizes: Sizes
    tensors: dict[str, Entries]
    shapes: dict[str, tuple[int, ...]]
    kinds: dict[str, str] = field(default_factory=dict)

    def put(self, name: str, entries: Entries) -> Point:
        """The point with other entries of one tensor."""
        return replace(self, tensors={**self.tensors, name: entries})

    def env(self, convert: Any = None) -> Env:
        """The point as an environment; `convert` maps rationals to the scalars that are wanted."""

        def entry(name: str, index: tuple[int, ...]) -> Any:
            try:
                return self.tensors[name][index]
            except KeyError:
                raise Undefined(f"{name}{list(index)} is out of bounds") from None

        def real(name: str, index: tuple[int, ...]) -> Any:
            value = entry(name, index)
            return convert(value) if convert is not None else value

        return Env(dict(self.sizes.ints), real, entry, entry)

    @property
    def irrational(self) -> bool:
        """Whether some entry is a sum of square roots."""
        return any(isinstance(value, Surd) for table in self.tensors.values() for value in table.values())

    def nested(self, name: str) -> Any:
        """A tensor as nested lists of texts, for reports."""

        def level(prefix: tuple[int, ...], rest: tuple[int, ...]) -> Any:
            if not rest:
                value = self.tensors[name][prefix]
                return value if isinstance(value, bool | int) else str(value)
            return [level((*prefix, k), rest[1:]) for k in range(rest[0])]

        return level((), self.shapes[name])


def sizes_of(op: OpDef, limit: int = 24) -> Iterator[Sizes]:
    """Small sizes that meet the requirements: the smallest, such that no size is 1 and few are equal, and any."""
    choices = _choices(len(op.int_attrs), len(op.sizes))
    attrs = len(op.int_attrs)
    smallest = sorted(choices, key=lambda v: (_weight(v), -len(set(v))))
    varied = sorted(choices, key=lambda v: (v[attrs:].count(1), -len(set(v[attrs:])), _weight(v)))
    anyhow = random.Random(0).sample(choices, len(choices))
    seen: set[tuple[int, ...]] = set()
    empty: list[Sizes] = []
    pairs = (sizes for sizes in _paired(_fitting(op, smallest, set(), [])) if _values(sizes) not in seen)
    least, broad, random_ = (_fitting(op, order, seen, empty) for order in (smallest, varied, anyhow))
    # Large sizes take their time: those that lack nothing that a rule may get wrong, and are small, come before.
    for orders in ((pairs, least), (broad, random_)):
        for order in orders * (limit // 4):
            found = next(order, None)
            if found is not None:
                seen.add(_values(found))
                yield found
    yield from empty[:2]


def _paired(order: Iterator[Sizes]) -> Iterator[Sizes]:
    """Sizes that make as many pairs of values as may be: a dilation of 2 beside a window of 2, say."""
    met: set[tuple[tuple[int, int], ...]] = set()
    window = list(itertools.islice(order, WINDOW))
    waiting = {k: _pairs(sizes) for k, sizes in enumerate(window)}
    while waiting:
        best = max(waiting, key=lambda k: (len(waiting[k] - met), -k))
        yield window[best]
        met |= waiting.pop(best)


def _pairs(sizes: Sizes) -> set[tuple[tuple[int, int], ...]]:
    kinds = [(k, min(max(n, -1), 3)) for k, n in enumerate(sizes.ints.values())]
    return set(itertools.combinations(kinds, 2))


def _fitting(
    op: OpDef, order: Iterable[tuple[int, ...]], seen: set[tuple[int, ...]], empty: list[Sizes]
) -> Iterator[Sizes]:
    """The sizes that meet the requirements and were not seen; those of an empty output are put aside."""
    for values in order:
        sizes = _sizes(op, values) if values not in seen else None
        if sizes is None:
            continue
        seen.add(values)
        if 0 in sizes.shape(extents(op.output)):
            empty.append(sizes)
            continue
        yield sizes


def _values(sizes: Sizes) -> tuple[int, ...]:
    return tuple(sizes.ints.values())


def _weight(values: Iterable[int]) -> int:
    return sum(abs(n) + (n < 0) for n in values)


def smallest(op: OpDef) -> Iterator[Sizes]:
    """All sizes 0, where the requirements allow it."""
    found = _sizes(op, (*[1] * len(op.int_attrs), *[0] * len(op.sizes)))
    if found is not None:
        yield found


def large_sizes(op: OpDef, reach: int) -> Iterator[Sizes]:
    """Sizes of which one is this and the others are as small as may be."""
    attrs = len(op.int_attrs)
    for place in range(attrs, attrs + len(op.sizes)):
        for other in (1, 2, 0):
            for attr in (1, 2, 0):
                values = [attr] * attrs + [other] * len(op.sizes)
                values[place] = reach
                sizes = _sizes(op, tuple(values), VAST)
                if sizes is not None and 0 not in sizes.shape(extents(op.output)):
                    yield sizes
                    break
            else:
                continue
            break


def _choices(attrs: int, dims: int) -> list[tuple[int, ...]]:
    """Values for the attributes and the dims: all of them; where they are too many, slim ones and a sample."""
    options = [ATTRIBUTES] * attrs + [LENGTHS] * dims
    if prod(map(len, options)) <= CHOICES:
        return list(itertools.product(*options))
    rng = random.Random(0)
    slim = itertools.islice(_slim(attrs, dims), CHOICES // 2)
    return [*slim, *(tuple(map(rng.choice, options)) for _ in range(CHOICES // 2))]


def _slim(attrs: int, dims: int) -> Iterator[tuple[int, ...]]:
    """All 1, but for one attribute and two dims: what goes wrong along an index shows with few entries besides."""
    least = (1,) * attrs
    settings = [least, *(_changed(least, {k: n}) for k in range(attrs) for n in ATTRIBUTES if n != 1)]
    longer = [n for n in LENGTHS if n != 1]
    places = [(), *((k,) for k in range(dims)), *itertools.combinations(range(dims), 2)]
    for setting, where in itertools.product(settings, places):
        for lengths in itertools.product(longer, repeat=len(where)):
            yield (*setting, *_changed((1,) * dims, dict(zip(where, lengths, strict=True))))


def _changed(values: tuple[int, ...], new: Mapping[int, int]) -> tuple[int, ...]:
    return tuple(new.get(k, n) for k, n in enumerate(values))


def _sizes(op: OpDef, values: tuple[int, ...], most: int = LARGEST) -> Sizes | None:
    ints = dict(zip((*op.int_attrs, *op.sizes), values, strict=True))
    ranks = {a.pack: a.rank for p in (*op.params, op.output) for a in p.axes if a.pack and a.rank is not None}
    packs = {name: _pack_shape(ints, name, ranks.get(name)) for name in op.sizes if name.endswith("..")}
    if any(prod(shape) != ints[name] for name, shape in packs.items()):
        return None
    sizes = Sizes(ints, packs)
    if not _allowed(op, sizes) or any(prod(sizes.shape(extents(p))) > most for p in (*op.params, op.output)):
        return None
    return sizes


def _pack_shape(ints: Mapping[str, int], name: str, rank: Poly | None) -> tuple[int, ...]:
    axes = 1 if rank is None else rank.evaluate(ints)
    if axes < 0:
        return (-1,)
    return (ints[name], *[1] * (axes - 1)) if axes else ()


def _allowed(op: OpDef, sizes: Sizes) -> bool:
    """Whether the requirements on sizes and attributes hold, and no extent is negative."""
    env = Env(sizes.ints, _nothing, _nothing, _nothing)
    try:
        if any(n < 0 for p in (*op.params, op.output) for n in sizes.shape(extents(p))):
            return False
        return all(holds(c, env, Rationals()) is True for c in flat(op.requires) if _on_sizes(c, sizes))
    except (ZeroDivisionError, Undefined):
        return False


def _nothing(name: str, index: tuple[int, ...]) -> Any:
    raise Undefined(name)


def _on_sizes(cond: Cond, sizes: Sizes) -> bool:
    reads = any(isinstance(n, RealCmp) for n in walk(cond)) or any(
        True for n in walk(cond) for p in polys(n) for _ in p.entries()
    )
    return not reads and free_symbols(cond) <= sizes.ints.keys()


def flat(conds: tuple[Cond, ...]) -> list[Cond]:
    """Conjunctions taken apart."""
    out: list[Cond] = []
    for cond in conds:
        out += flat(cond.args) if isinstance(cond, And) else [cond]
    return out


def points_of(op: OpDef, sizes: Sizes, tries: int, seed: int) -> Iterator[Point]:
    """Points of these sizes inside the declared domain; entries that are equal, 0 or 1 come often, to meet ties."""
    rng = random.Random(f"{op.name}:{seed}:{sorted(sizes.ints.items())}")
    known = constants_of(op)
    for attempt in range(tries):
        for again in range(20):
            # A narrow domain (probabilities, sines) is met by what lies between 0 and 1.
            point = _point(op, sizes, rng, attempt, known, narrow=again >= 12)
            if in_domain(point):
                yield point
                break


def _point(
    op: OpDef, sizes: Sizes, rng: random.Random, attempt: int, known: tuple[Fraction, ...], narrow: bool
) -> Point:
    tensors: dict[str, Entries] = {}
    shapes: dict[str, tuple[int, ...]] = {}
    kinds: dict[str, str] = {}
    for attr in op.attrs:
        if attr.kind == "real":
            plain = attempt % 2 == 0
            value = (
                attr.default
                if plain and attr.default is not None
                else _between(rng)
                if narrow
                else rng.choice((*REALS, *known))
            )
            tensors[attr.name], shapes[attr.name], kinds[attr.name] = {(): value}, (), "real"
            known = (*known, value, -value)
    # Without sizes there are no places that integers stand for.
    longest = max(1, *sizes.ints.values()) if sizes.ints else WITHOUT_SIZES
    whole = whole_numbers(op)
    for param in op.params:
        shapes[param.name] = sizes.shape(extents(param))
        kinds[param.name] = param.kind
        positions = itertools.product(*map(range, shapes[param.name]))
        below = rng.randint(1, longest)
        tensors[param.name] = {
            index: _between(rng)
            if narrow and param.kind == "real"
            else _integer(below, rng, attempt, whole)
            if param.kind == "int"
            else _entry(param, rng, attempt, (*SPECIAL, *known))
            for index in positions
        }
    shapes[COTANGENT] = sizes.shape(extents(op.output))
    positions = itertools.product(*map(range, shapes[COTANGENT]))
    tensors[COTANGENT] = {index: Fraction(rng.choice((1, 2, 3, -1, -2))) for index in positions}
    if attempt % 3 == 2 and len(tensors[COTANGENT]) > 1:
        # One output entry alone: only then can a value at a tie be compared with Clarke's bounds.
        chosen = rng.choice(list(tensors[COTANGENT]))
        tensors[COTANGENT] = {k: v if k == chosen else Fraction(0) for k, v in tensors[COTANGENT].items()}
    return Point(op, sizes, tensors, shapes, kinds)


def _between(rng: random.Random) -> Fraction:
    return Fraction(rng.randint(1, 15), 16)


def _integer(below: int, rng: random.Random, attempt: int, whole: tuple[int, ...]) -> int:
    """A place, and now and then a number that the operator names, or what lies beside it."""
    if attempt % 4 == 1 and rng.random() < 0.2:
        return rng.choice((-1, 0, 1, 2, *(near for n in whole for near in (n - 1, n, n + 1, -n))))
    return rng.randrange(below)


def _entry(param: Param, rng: random.Random, attempt: int, special: tuple[Fraction, ...]) -> Any:
    if param.kind == "bool":
        return rng.random() < 0.5
    match attempt % 4:
        case 0:
            return Fraction(rng.randint(-3, 3))
        case 1:
            return rng.choice(special)
        case 2:
            return Fraction(rng.randint(-8, 8), rng.choice((1, 2, 3)))
        case _:
            return Fraction(rng.randint(0, 1)) if rng.random() < 0.9 else Fraction(rng.randint(-40, 40))


def in_domain(point: Point) -> bool:
    """Whether every requirement and domain condition holds at all indices."""
    fields = (Surds(),) if point.irrational else (Rationals(), Intervals())
    for cond in flat((*point.op.requires, *point.op.domain)):
        names = sorted(free_symbols(cond) - point.sizes.ints.keys())
        spans = [range(extent_of(point, cond, name)) for name in names]
        for values in itertools.product(*spans):
            if not _holds_at(point, cond, dict(zip(names, values, strict=True)), fields):
                return False
    return True


def _holds_at(point: Point, cond: Cond, indices: Mapping[str, int], fields: tuple[Any, ...]) -> bool:
    for scalars in fields:
        env = point.env(None if isinstance(scalars, Rationals) else scalars.num)
        for name, value in indices.items():
            env = env.bind(name, value)
        try:
            return holds(cond, env, scalars) is True
        except Irrational:
            continue
        except (Undefined, Undecided):
            return False
    return False


def extent_of(point: Point, cond: Cond, name: str) -> int:
    """The extent of a free index of a condition: of an axis at which it is read bare."""
    for node in walk(cond):
        reads = [(node.tensor, node.index)] if isinstance(node, Read | BoolRead) else []
        reads += [(e.tensor, e.index) for p in polys(node) for e in p.entries()]
        for tensor, index in reads:
            for position, size in zip(index, point.shapes.get(tensor, ()), strict=False):
                if position.as_symbol == name:
                    return size
    return 0
