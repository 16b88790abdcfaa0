"""A point where an `ensure` of an operator does not hold of its result: the refutation of an operator's POST."""

from __future__ import annotations

import itertools
from typing import Any

from gradproof.compiler.claims import Counterexample
from gradproof.compiler.denote import Env, Intervals, evaluate, field_of, holds
from gradproof.compiler.ops import OUTPUT, Promise
from gradproof.compiler.rewriting import reads_of
from gradproof.compiler.rules import meaning_of
from gradproof.compiler.show import show
from gradproof.compiler.terms import Cond
from gradproof.verifier.certain import shown
from gradproof.verifier.replay import Replay
from gradproof.verifier.witness import Point

Position = tuple[int, ...]


def broken_at(search: Replay, point: Point, promise: Promise, kind: str) -> Counterexample | None:
    """The promise at every value of its indices; Undefined or Undecided where the result has no value there."""
    op = search.op
    if isinstance(op.forward.body, Cond):
        return None
    field, exact = field_of(kind), "rational" if kind == "interval" else kind
    plain = point.env(Intervals().num if kind == "interval" else None)

    def integer(name: str, index: Position) -> int:
        if name != OUTPUT:
            return plain.integer(name, index)
        return int(evaluate(meaning_of(op), search.env(point, exact, index), field_of(exact)))

    def real(name: str, index: Position) -> Any:
        return search.value(point, index, kind) if name == OUTPUT else plain.real(name, index)

    for place in itertools.product(*(range(max(e.evaluate(plain.ints), 0)) for _, e in promise.ranges)):
        names = {name: at for (name, _), at in zip(promise.ranges, place, strict=True)}
        env = Env({**plain.ints, **names}, real, integer, plain.boolean)
        if holds(promise.cond, env, field) is not False:
            continue
        reads = [i for i in reads_of(promise.cond, OUTPUT) if all(p.symbols <= env.ints.keys() for p in i)]
        entries = sorted(tuple(env.index(p) for p in index) for index in reads)
        got = "; ".join(f"{OUTPUT}{list(at)} = {shown(search.value(point, at, kind))}" for at in entries)
        where = ", ".join(f"{name} = {at}" for name, at in names.items()) or "the result"
        found = search.report(point, (), OUTPUT, 0, 0)
        return Counterexample(found.dims, found.values, f"{show(promise.cond)} at {where}", got, True)
    return None
