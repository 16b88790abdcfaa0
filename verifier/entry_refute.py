"""Counterexamples to an `ensure` about entries, run on the runtime's own tape: derivatives by its backward."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from fractions import Fraction
from math import prod
from typing import Any

import numpy as np
from gradproof.compiler.claims import Counterexample
from gradproof.compiler.denote import Env as Names
from gradproof.compiler.denote import Undecided, evaluate, field_of, holds
from gradproof.compiler.graph import Entrywise, Env, Graph
from gradproof.runtime.scalars import scalars
from gradproof.runtime.semantics import array_tape
from gradproof.runtime.tape import Values
from gradproof.verifier.graph_refute import broken, report, run, search
from gradproof.verifier.options import Options
from gradproof.verifier.samples import Sample

PLACES = 400  # choices of indices that are looked at in one sample


def violates_entrywise(graph: Graph, ensure: Entrywise, options: Options) -> Counterexample | None:
    """Inputs and indices at which the statement does not hold for certain."""

    def test(sample: Sample, kind: str) -> Counterexample | None:
        table = run(graph, sample, kind)
        extents = [extent.evaluate(sample.dims) for _, extent in ensure.indices]
        if prod(extents) > PLACES:
            return None
        for place in itertools.product(*map(range, extents)):
            found = _at(graph, ensure, sample, table, kind, place)
            if found is not None:
                return found
        return None

    return search(graph, options, test)


def _at(
    graph: Graph, ensure: Entrywise, sample: Sample, table: Values[Any], kind: str, place: tuple[int, ...]
) -> Counterexample | None:
    field = field_of(kind)
    ints = {**sample.dims, **dict(zip((name for name, _ in ensure.indices), place, strict=True))}
    names = _names(graph, ensure, table, kind, field, ints)
    try:
        if holds(ensure.where, names, field) is not True:
            return None
        left, right = (evaluate(side, names, field) for side in (ensure.left, ensure.right))
    except Undecided:
        return None
    if not broken(ensure.rel, left, right):
        return None
    where = ", ".join(
        f"{name.split('#')[0]} = {value}" for name, value in zip(dict(ensure.indices), place, strict=True)
    )
    return report(sample, f"{ensure.text} at {where}", f"{left} and {right}")


def _names(
    graph: Graph, ensure: Entrywise, table: Values[Any], kind: str, field: Any, ints: Mapping[str, int]
) -> Names:
    arrays = {
        name: np.asarray(table.delta[arg.name] if isinstance(arg, Env) else table.nodes[arg.id])
        for name, arg in ensure.values
    }
    gradients = {gradient.name: gradient for gradient in ensure.gradients}

    def real(name: str, index: tuple[int, ...]) -> Any:
        if name in gradients:
            gradient = gradients[name]
            tape = array_tape(graph, scalars(kind))
            seed = np.array(tape.semantics.zero(table.nodes[gradient.output]), dtype=object)
            seed[tuple(p.evaluate(ints, integer) for p in gradient.at)] = field.num(Fraction(1))
            seeds = tape.seed_context(table, [(gradient.output, seed)])
            found = np.asarray(tape.backward_dense_from(table, seeds)[gradient.input], dtype=object)
            return found[tuple(p.evaluate(ints, integer) for p in gradient.to)]
        return arrays[name][index]

    def integer(name: str, index: tuple[int, ...]) -> int:
        return int(arrays[name][index])

    def boolean(name: str, index: tuple[int, ...]) -> bool:
        return bool(arrays[name][index])

    return Names(ints, real, integer, boolean)
