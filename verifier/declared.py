"""Counterexamples to what a stanza declares: the value at a kink, and 0 at a least value."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

from gradproof.compiler.claims import Counterexample
from gradproof.compiler.denote import Undefined, evaluate, field_of, holds
from gradproof.compiler.ops import COTANGENT, OpDef
from gradproof.compiler.rewriting import free_symbols
from gradproof.compiler.rules import extents, least_at, meaning_of
from gradproof.compiler.terms import Cond
from gradproof.verifier.certain import differs, shown, shown_jvp
from gradproof.verifier.replay import Replay
from gradproof.verifier.witness import Point


def declared_at(search: Replay, point: Point, kind: str) -> Counterexample | None:
    """The value at a declared kink, entry by entry, against the declared coefficient; 0 at a least value."""
    least = resting(search, point, kind)
    for tangents in search.directions(point) if least else ():
        moved = search.run(point, "jvp", "", kind, tangents)
        for entry in least:
            if differs(moved[entry], Fraction(0)):
                where = shown_jvp(entry, tangents)
                return search.report(point, (), where, "0 (declared)", moved[entry])
    for entry, wanted in declared(search, point, kind):
        for param in search.op.differentiable:
            tangents = search.along(point, param, entry)
            got = search.run(point, "jvp", "", kind, tangents)[entry]
            if differs(got, wanted):
                where = shown_jvp(entry, tangents)
                return search.report(point, (), where, f"{shown(wanted)} (declared)", got)
    return None


def declared(search: Replay, point: Point, kind: str) -> Iterator[tuple[tuple[int, ...], Any]]:
    """The entries at a declared kink, with the coefficient declared there."""
    field = field_of(kind)
    for kink in search.op.kinks:
        cond = least_at(kink, meaning_of(search.op)) if kink.least else kink.cond
        for entry in search.indices(point) if _entrywise(search.op, cond) else ():
            env = search.env(point, kind, entry)
            if kink.value is not None and holds(cond, env, field) is True:
                yield entry, evaluate(kink.value, env, field)


def resting(search: Replay, point: Point, kind: str) -> list[tuple[int, ...]]:
    """The output entries at a declared least value, where 0 is the derivative that is used."""
    field = field_of(kind)
    conds = [least_at(kink, meaning_of(search.op)) for kink in search.op.kinks if kink.least]
    known = {*search.op.forward.indices, *search.op.sizes, *search.op.int_attrs}
    return [
        entry
        for entry in (search.indices(point) if conds else ())
        if any(free_symbols(c) <= known and holds(c, search.env(point, kind, entry), field) is True for c in conds)
    ]


def _entrywise(op: OpDef, cond: Cond) -> bool:
    """Whether a declared kink speaks of one entry of the output and the same entry of each input."""
    known = {*op.forward.indices, *op.sizes, *op.int_attrs}
    same = all(extents(p) == op.forward.extents for p in op.differentiable)
    return same and free_symbols(cond) <= known


def valueless_at_rest(search: Replay, point: Point, kind: str) -> Counterexample | None:
    """Where every entry is at a declared least value, the rules have the value 0."""
    for param in search.op.differentiable:
        try:
            search.run(point, "vjp", param.name, kind)
            search.run(point, "jvp", "", kind, search.along(point, param, None))
        except Undefined as error:
            where = f"a rule of {param.name}"
            return search.report(point, (COTANGENT,), where, "0 (declared)", f"undefined: {error}")
    return None
