"""Counterexamples to a graph's DOM and POST: inputs that it assumes, run on the runtime's own tape, exactly."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from time import perf_counter
from typing import Any

import numpy as np
from gradproof.compiler.bounds import text_between
from gradproof.compiler.claims import Counterexample
from gradproof.compiler.denote import Intervals, Undecided, Undefined
from gradproof.compiler.dims import Poly
from gradproof.compiler.graph import Bound, Graph, Node
from gradproof.runtime.scalars import scalars
from gradproof.runtime.semantics import array_tape
from gradproof.runtime.tape import Tape, TapeNode, Values
from gradproof.verifier.certain import EXACT, above, differs, told
from gradproof.verifier.options import Options
from gradproof.verifier.samples import Sample, assumed, dims_of, sample_of
from gradproof.verifier.shrink import simplified


def undefined(graph: Graph, options: Options) -> tuple[Counterexample, Node] | None:
    """Inputs at which the forward or the backward pass leaves the domain of a function, and the node that does."""
    reached: list[int] = []
    failing: list[Node] = []  # the last one is that of the point that is found in the end

    def test(sample: Sample, kind: str) -> Counterexample | None:
        table: Values[Any] | None = None
        try:
            table = run(graph, sample, kind, reached)
            tape = _traced(array_tape(graph, scalars(kind)), reached)
            reals = [o for o in graph.outputs if graph.nodes[o].type.kind == "real"]
            seeds = [(o, tape.semantics.one(table.nodes[o])) for o in reals]
            tape.backward_dense_from(table, tape.seed_context(table, seeds))
        except Undefined as error:
            place = "the forward pass" if table is None else "the backward pass"
            failing.append(graph.nodes[reached[-1]])
            text = text_between(failing[-1].span, failing[-1].span)
            where = f", at `{text}`" if text else ""
            return report(sample, f"{place} is defined", f"{place}{where}: {error}")
        return None

    found = search(graph, options, test)
    return (found, failing[-1]) if found is not None and failing else None


def _traced(tape: Tape[Any], reached: list[int]) -> Tape[Any]:
    """The tape, which writes down whose value or contributions it is about to compute."""

    def follow(node: TapeNode[Any]) -> TapeNode[Any]:
        def value(values: Values[Any]) -> Any:
            reached.append(node.id)
            return node.value(values)

        def backward(values: Values[Any], cotangent: Any) -> Any:
            reached.append(node.id)
            return node.backward(values, cotangent)

        return replace(node, value=value, backward=backward)

    return replace(tape, nodes=(*tape.nodes[: tape.leaves], *map(follow, tape.nodes[tape.leaves :])))


def violates(graph: Graph, bound: Bound, options: Options) -> Counterexample | None:
    """Inputs at which an `ensure` does not hold for certain."""

    def test(sample: Sample, kind: str) -> Counterexample | None:
        table = run(graph, sample, kind)

        def side(value: int | str | Fraction | Poly) -> Any:
            if isinstance(value, Poly):
                return np.asarray(Fraction(value.evaluate(sample.dims)), dtype=object)
            if isinstance(value, Fraction):
                return np.asarray(value, dtype=object)
            return np.asarray(table.nodes[value] if isinstance(value, int) else table.delta[value], dtype=object)

        left, right = np.broadcast_arrays(side(bound.left), side(bound.right))
        pairs = {index: (left[index], right[index]) for index in itertools.product(*map(range, left.shape))}
        for index, (a, b) in pairs.items():
            if broken(bound.rel, a, b):
                return report(sample, f"{bound.text} at {list(index)}", f"{a} and {b}")
        if kind == "interval" and bound.rel in ("<", "!=") and not all(differs(a, b) for a, b in pairs.values()):
            raise Undecided("two enclosed values may be equal")
        return None

    return search(graph, options, test)


def broken(rel: str, a: Any, b: Any) -> bool:
    """Whether `a rel b` fails for certain."""
    same = isinstance(a, EXACT) and isinstance(b, EXACT) and a == b
    return {"<": above(a, b) or same, "<=": above(a, b), "==": differs(a, b), "!=": same}[rel]


def search(
    graph: Graph, options: Options, test: Callable[[Sample, str], Counterexample | None]
) -> Counterexample | None:
    """The first sample that the test refutes: in rationals where they do, otherwise in intervals."""
    end = perf_counter() + options.search
    rng = random.Random(options.seed)
    for attempt, dims in enumerate(itertools.cycle(dims_of(graph)) if dims_of(graph) else ()):
        if perf_counter() > end or attempt > 400:
            return None
        sample = sample_of(graph, dims, rng, attempt)
        if sample is None:
            continue
        found = _attempt(sample, test)
        if found is not None:
            return simplified(
                sample, found, lambda other: _attempt(other, test), lambda s: assumed(graph, s.arrays, s.dims)
            )
    return None


def _attempt(sample: Sample, test: Callable[[Sample, str], Counterexample | None]) -> Counterexample | None:
    return told(lambda kind: test(sample, kind))


def run(graph: Graph, sample: Sample, kind: str, reached: list[int] | None = None) -> Values[Any]:
    """The value table at a sample; `reached` takes down the ids that are computed."""
    enclose = np.frompyfunc(Intervals().num, 1, 1) if kind == "interval" else None

    def given(name: str) -> Any:
        array = sample.arrays[name]
        return enclose(array) if enclose is not None and array.dtype == object else array

    context = [np.asarray(given(node.name)) for node in graph.gamma]
    delta = {d.name: np.asarray(given(d.name)) for d in graph.delta}
    tape = array_tape(graph, scalars(kind))
    return (tape if reached is None else _traced(tape, reached)).denote_all(context, delta, sample.dims)


def report(sample: Sample, expected: str, got: str) -> Counterexample:
    """A counterexample at a sample."""
    values = {name: _nested(array.tolist()) for name, array in sample.arrays.items()}
    return Counterexample(dict(sample.dims), values, expected, got, True)


def _nested(value: Any) -> Any:
    if isinstance(value, list):
        return [_nested(v) for v in value]
    return str(value) if isinstance(value, Fraction) else value
