"""Inputs that a graph's assumes allow: small dims, simple numbers, picked at random."""

from __future__ import annotations

import itertools
import random
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import prod
from typing import Any

import numpy as np
from gradproof.compiler.dims import Poly
from gradproof.compiler.graph import Graph, TensorType

ENTRIES = 20_000  # entries of one run, at most: exact scalars are slow
SIMPLE = (*map(Fraction, (0, 1, -1, 2, -2)), Fraction(1, 2), Fraction(-1, 2))


@dataclass(frozen=True, slots=True)
class Sample:
    """One choice of dims and inputs that the graph's assumes allow; real entries are Fractions."""

    dims: Mapping[str, int]
    arrays: Mapping[str, Any]


def dims_of(graph: Graph) -> list[dict[str, int]]:
    """Small dims that the graph's assumes allow, the smallest first."""
    names = [d for d in graph.dims if d.value is None]
    fixed = {d.name: d.value.evaluate({}) for d in graph.dims if d.value is not None and d.value.constant is not None}
    out: list[dict[str, int]] = []
    options = [sorted({d.lower, d.lower + 1, 2, 3} - set(range(d.lower))) for d in names]
    for values in itertools.islice(itertools.product(*options), 4000):
        dims = {**fixed, **dict(zip((d.name for d in names), values, strict=True))}
        if _admissible(graph, dims):
            out.append(dims)
    out.sort(key=lambda d: sum(d.values()))
    return out[:24]


def _admissible(graph: Graph, dims: Mapping[str, int]) -> bool:
    for poly, rel in graph.assume_dims:
        value = poly.evaluate(dims)
        if not (value >= 0 if rel == ">=" else value == 0):
            return False
    total = 0
    for type_ in (*(n.type for n in graph.nodes), *(d.type for d in graph.delta)):
        shape = [extent.evaluate(dims) for extent in type_.shape]
        if any(n < 0 for n in shape):
            return False
        total += prod(shape)
    return total <= ENTRIES


def sample_of(graph: Graph, dims: Mapping[str, int], rng: random.Random, attempt: int) -> Sample | None:
    """Inputs of these dims that the graph's assumes allow; None where none were met with."""
    inputs = [(n.name, n.type) for n in graph.gamma] + [(d.name, d.type) for d in graph.delta]
    for _ in range(30):
        arrays = {name: _array(graph, name, type_, dims, rng, attempt) for name, type_ in inputs}
        if assumed(graph, arrays, dims):
            return Sample(dims, arrays)
    return None


def _array(
    graph: Graph, name: str, type_: TensorType, dims: Mapping[str, int], rng: random.Random, attempt: int
) -> Any:
    shape = tuple(extent.evaluate(dims) for extent in type_.shape)
    out = np.empty(shape, {"real": object, "int": np.int64, "bool": bool}[type_.kind])
    low, high = _limits(graph, name, dims)
    same = rng.choice(SIMPLE)
    for index in itertools.product(*map(range, shape)):
        out[index] = _entry(type_.kind, low, high, same, rng, attempt)
    return out


def _entry(
    kind: str, low: Fraction | None, high: Fraction | None, same: Fraction, rng: random.Random, attempt: int
) -> Any:
    if kind == "bool":
        return rng.random() < 0.5
    if kind == "int":
        return rng.randint(int(low or 0), int(high) if high is not None else int(low or 0) + 3)
    if low is not None and high is not None:
        return low + (high - low) * Fraction(rng.randint(0, 6), 6)
    value = same if attempt % 3 == 0 else rng.choice(SIMPLE) if attempt % 3 == 1 else Fraction(rng.randint(-20, 20), 3)
    if low is not None:
        return low + abs(value)
    return high - abs(value) if high is not None else value


def _limits(graph: Graph, name: str, dims: Mapping[str, int]) -> tuple[Fraction | None, Fraction | None]:
    """The closed range that assumes with constants give an input (strictness is checked afterwards)."""
    low: Fraction | None = None
    high: Fraction | None = None
    for bound in graph.assumes:
        for mine, other, upper in ((bound.left, bound.right, True), (bound.right, bound.left, False)):
            if _name(graph, mine) != name or bound.rel == "!=":
                continue
            value = Fraction(other.evaluate(dims)) if isinstance(other, Poly) else other
            if not isinstance(value, Fraction):
                continue
            if upper or bound.rel == "==":
                high = value if high is None else min(high, value)
            if not upper or bound.rel == "==":
                low = value if low is None else max(low, value)
    return low, high


def _name(graph: Graph, side: int | str | Fraction | Poly) -> str | None:
    if isinstance(side, str):
        return side
    return graph.nodes[side].name if isinstance(side, int) and not isinstance(side, bool) else None


def assumed(graph: Graph, arrays: Mapping[str, Any], dims: Mapping[str, int]) -> bool:
    """Whether the inputs are such as the graph assumes."""

    def side(value: int | str | Fraction | Poly) -> Any:
        if isinstance(value, Poly):
            return value.evaluate(dims)
        name = _name(graph, value)
        return arrays[name] if name is not None else value

    tests = {"<": np.less, "<=": np.less_equal, "==": np.equal, "!=": np.not_equal}
    return all(bool(np.all(tests[b.rel](side(b.left), side(b.right)))) for b in graph.assumes)
