"""Smaller counterexamples: fewer entries, simpler numbers, as long as the claim still fails, each step replayed.

Untrusted: whether a smaller point refutes is asked of the same test that refuted the first one.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from math import inf, prod, trunc
from time import perf_counter
from typing import Any, TypeAlias

from gradproof.compiler.claims import Counterexample
from gradproof.compiler.ops import COTANGENT, OpDef
from gradproof.compiler.rules import extents
from gradproof.compiler.surds import Surd
from gradproof.verifier.samples import Sample
from gradproof.verifier.witness import Entries, Point, Sizes, in_domain, points_of, sizes_of

MANY = 48  # entries of one tensor, beyond which it is made simple as a whole
SECONDS = 1.0  # for one counterexample
Attempt: TypeAlias = Callable[[Point], Counterexample | None]


def shrunk(op: OpDef, found: Counterexample, point: Point, attempt: Attempt, seconds: float) -> Counterexample:
    """The counterexample at a smaller point of an operator, where there is one."""
    end = perf_counter() + min(SECONDS, seconds)
    smaller = _of_fewer_entries(op, point, attempt, end)
    if smaller is not None:
        found, point = smaller
    for name in [p.name for p in op.params if len(point.tensors[p.name]) > MANY]:
        for value in (Fraction(0), Fraction(1)) if op.param(name).kind == "real" else (0,):
            # A large tensor is made simple as a whole; its entries would be too many to try.
            candidate = point.put(name, dict.fromkeys(point.tensors[name], value))
            again = attempt(candidate) if in_domain(candidate) and perf_counter() <= end else None
            if again is not None:
                found, point = again, candidate
                break
    names = [COTANGENT, *op.real_attrs, *(p.name for p in op.params if p.kind in ("real", "int"))]
    changed = True
    while changed:
        changed = False
        for name, index in [(n, k) for n in names for k in point.tensors[n]]:
            for value in simpler(point.tensors[name][index]):
                if perf_counter() > end:
                    return found
                candidate = point.put(name, {**point.tensors[name], index: value})
                if not any(candidate.tensors[COTANGENT].values()):
                    continue  # any rule is 0 for the cotangent 0
                again = attempt(candidate) if in_domain(candidate) else None
                if again is not None:
                    found, point, changed = again, candidate, True
                    break
    return found


def simpler(value: Any) -> Iterator[Any]:
    """Values that read more easily than this one, the simplest first; integers for integers."""
    if isinstance(value, bool):
        return
    if isinstance(value, int):
        yield from range(min(value, 3))
        return
    whole = Fraction(trunc(value))
    for other in dict.fromkeys((*map(Fraction, (0, 1, -1, 2, -2)), whole, Fraction(round(2 * value), 2))):
        if _weight(other) < _weight(value):
            yield other


def _weight(value: Fraction | Surd) -> tuple[Any, ...]:
    return inf if isinstance(value, Surd) else value.denominator, abs(value), value < 0


def _entries(op: OpDef, sizes: Sizes) -> int:
    """How many numbers a point of these sizes has."""
    return sum(prod(sizes.shape(extents(p))) for p in (*op.params, op.output))


def _of_fewer_entries(op: OpDef, point: Point, attempt: Attempt, end: float) -> tuple[Counterexample, Point] | None:
    """A point of smaller sizes: this one cut down, or a new one."""
    limit = _entries(op, point.sizes), point.sizes.weight
    choices = sorted(sizes_of(op), key=lambda s: (_entries(op, s), s.weight))
    for sizes in choices:
        if (_entries(op, sizes), sizes.weight) >= limit or perf_counter() > end:
            return None
        for candidate in itertools.chain(_cuts(point, sizes), points_of(op, sizes, 4, 0)):
            again = attempt(candidate) if in_domain(candidate) else None
            if again is not None:
                return again, candidate
    return None


def _cuts(point: Point, sizes: Sizes) -> Iterator[Point]:
    """The point with its tensors cut down to these sizes, the first entries kept or the last ones.

    Entries that it has not are 1, or the first place.
    """
    op = point.op
    shapes = {a.name: () for a in op.attrs if a.kind == "real"} | {p.name: sizes.shape(extents(p)) for p in op.params}
    shapes[COTANGENT] = sizes.shape(extents(op.output))
    kinds = {p.name: p.kind for p in op.params}
    for last in (False, True):
        tensors: dict[str, Entries] = {}
        for name, shape in shapes.items():
            missing: Any = {"int": 0, "bool": False}.get(kinds.get(name, "real"), Fraction(1))
            known = point.tensors[name]
            ends = map(max, zip(*known, strict=True)) if last and known else itertools.repeat(-1)
            away = [max(0, end + 1 - n) for end, n in zip(ends, shape, strict=False)]
            tensors[name] = {
                index: known.get(tuple(map(int.__add__, index, away)), missing)
                for index in itertools.product(*map(range, shape))
            }
        yield Point(op, sizes, tensors, shapes, point.kinds)


def simplified(
    sample: Sample,
    found: Counterexample,
    attempt: Callable[[Sample], Counterexample | None],
    allowed: Callable[[Sample], bool],
) -> Counterexample:
    """The counterexample at simpler inputs of a graph, of the same sizes."""
    end = perf_counter() + SECONDS
    changed = True
    while changed:
        changed = False
        for name, array in sample.arrays.items():
            for index in itertools.product(*map(range, array.shape)) if array.dtype.kind != "b" else ():
                value = sample.arrays[name][index]
                for other in simpler(int(value) if array.dtype.kind == "i" else value):
                    if perf_counter() > end:
                        return found
                    moved = sample.arrays[name].copy()
                    moved[index] = other
                    candidate = replace(sample, arrays={**sample.arrays, name: moved})
                    again = attempt(candidate) if allowed(candidate) else None
                    if again is not None:
                        found, sample, changed = again, candidate, True
                        break
    return found
