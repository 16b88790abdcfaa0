"""Counterexamples to written rules that are not linear in their tangent or cotangent."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from functools import partial
from typing import Any

from gradproof.compiler.claims import Counterexample
from gradproof.compiler.denote import Env, Intervals, Undefined, evaluate, field_of
from gradproof.compiler.ops import COTANGENT, TANGENT, OpDef
from gradproof.compiler.rewriting import tensors, walk
from gradproof.compiler.rules import derived_jvp, rules_of, unfolded
from gradproof.compiler.terms import ZERO, Cond, RealCmp, Term
from gradproof.verifier.certain import beyond, differs, dot, hull, shown_direction, shown_jvp
from gradproof.verifier.declared import declared, resting
from gradproof.verifier.refute import Search
from gradproof.verifier.replay import Tangents
from gradproof.verifier.steep import missing
from gradproof.verifier.witness import Entries, Point

LINEAR = "a derivative is linear: what is expected is what the rule gives for {} and for {}, added"


def without_rules(op: OpDef) -> OpDef:
    """The operator with rules that are linear: derived ones, or 0 where laws stand in place of a formula."""
    if not op.lawful:
        return replace(op, jvp=None, vjps=())
    return replace(op, jvp=None, vjps=tuple(replace(rule, body=ZERO) for rule in op.vjps))


def nonlinear(op: OpDef, seconds: float) -> Counterexample | None:
    """A point where a written rule that is not linear in its (co)tangent is not the derivative.

    Such a rule has no transpose, so the operator has no rule set and no kernels: the written formula is evaluated.
    """
    from gradproof.verifier.law_points import law_check

    bare = without_rules(op)
    if bare.lawful and law_check(bare)[0]:
        return None  # a law that fails is what SHAPE, JVP or VJP of an operator with linear rules would say
    search = Search(bare, rules_of(bare), seconds)
    for test in (_written_by_laws,) if bare.lawful else (_written, _not_additive):
        for point in search.points():
            found = search.attempt(point, partial(test, op, search))
            if found is not None:
                return found
    return None


def not_additive(op: OpDef, seconds: float) -> Counterexample | None:
    """A point where a jvp that branches on its tangent is no linear map; None of other jvps."""
    if op.lawful or op.jvp is None:
        return None
    moving = {TANGENT + p.name for p in op.differentiable}
    if not any(tensors(node) & moving for node in walk(op.jvp.body) if isinstance(node, RealCmp)):
        return None
    search = Search(op, rules_of(op), seconds)
    tried = (search.attempt(point, partial(_not_additive, op, search)) for point in search.points())
    return next(filter(None, tried), None)


def valueless(op: OpDef, seconds: float) -> Counterexample | None:
    """A point where such a written rule has no value although the formula has a derivative there, or rests."""
    bare = without_rules(op)
    if bare.lawful:
        return None
    search = Search(bare, rules_of(bare), seconds)
    written = replace(search, op=op)

    def test(point: Point, kind: str) -> Counterexample | None:
        entries = search.indices(point)
        for index in entries:
            search.value(point, index, kind)
        if len(resting(search, point, kind)) < len(entries):
            search.check_differentiable(point, kind)
        for where, *_, why, _ in missing(written, point, kind):
            return search.report(point, (COTANGENT,), where, "a value", f"undefined: {why}")
        return None

    for point in search.points():
        found = search.attempt(point, test)
        if found is not None:
            return found
    return None


def _written_by_laws(op: OpDef, search: Search, point: Point, kind: str) -> Counterexample | None:
    """The written rules of an operator without a formula against what its laws leave of dy."""
    from gradproof.verifier.law_points import RESULT, World, moved

    world = World(search.op, point, kind)
    world.tensor(RESULT)
    weights = world.tensor(COTANGENT)
    for rule in op.vjps:
        body, param = unfolded(op, rule.body), op.param(rule.target)  # type: ignore[arg-type]  # a rule is a term
        for index in point.tensors[rule.target]:
            along = moved(replace(world, tangents=search.along(point, param, index), given=dict(world.given)))
            expected = dot(along, weights) if along else Fraction(0)
            got = world.value(body, dict(zip(rule.indices, index, strict=True)))
            if differs(got, expected):
                return search.report(point, (COTANGENT,), f"vjp {rule.target}{list(index)}", expected, got)
    if op.jvp is None:
        return None
    body = unfolded(op, op.jvp.body)  # type: ignore[arg-type]
    for tangents in search.directions(point):
        along = moved(replace(world, tangents=tangents, given=dict(world.given)))
        there = replace(world, tangents=tangents, given=dict(world.given))
        for index, expected in along.items():
            got = there.value(body, dict(zip(op.jvp.indices, index, strict=True)))
            if differs(got, expected):
                where = shown_jvp(index, tangents)
                return search.report(point, (), where, expected, got)
    return None


def _written(op: OpDef, search: Search, point: Point, kind: str) -> Counterexample | None:
    field = field_of(kind)

    value = partial(_value, op, field)
    least = resting(search, point, kind)
    still = bool(least) and {k for k, v in point.tensors[COTANGENT].items() if v} <= {*least}
    for rule in op.vjps:
        if still:  # whatever the cotangent is
            expected: Entries = dict.fromkeys(point.tensors[rule.target], Fraction(0))
        else:
            outcomes = search.expected_vjp(point, op.param(rule.target), kind)
            expected = outcomes[0] if len(outcomes) == 1 else search.held(point, op.param(rule.target), kind)
        for entry, wanted in declared(search, point, kind):
            expected[entry] = wanted * field.num(point.tensors[COTANGENT][entry])
        env = point.env(field.num if kind == "interval" else None)
        for index, wanted in expected.items():
            got = value(rule.body, env, rule.indices, index)
            if differs(got, wanted):
                return search.report(point, (COTANGENT,), f"vjp {rule.target}{list(index)}", wanted, got)
    jvp, told = op.jvp, dict(declared(search, point, kind))
    if jvp is None:
        return None
    for tangents in (*search.directions(point), *map(_shorter, search.directions(point))):
        for entry in search.indices(point):
            try:
                got = value(jvp.body, search.env(point, kind, entry, tangents), jvp.indices, entry)
                still = entry in least
                values = [Fraction(0)] if still else search.outcomes(point, derived_jvp(op), entry, kind, tangents)
                if entry in told:
                    values = [told[entry] * field.num(sum(table[entry] for table in tangents.values()))]
                elif len(values) > 1:
                    values = search.held_outcome(point, derived_jvp(op), entry, kind, tangents) or values
            except Undefined:
                continue  # along this direction
            if beyond(got, values):
                where = shown_jvp(entry, tangents)
                return search.report(point, (), where, hull(values), got)
    return None


def _value(op: OpDef, field: Any, body: Term | Cond, env: Env, names: tuple[str, ...], index: tuple[int, ...]) -> Any:
    for name, position in zip(names, index, strict=True):
        env = env.bind(name, position)
    return evaluate(unfolded(op, body), env, field)  # type: ignore[arg-type]  # a rule is a term


def _not_additive(op: OpDef, search: Search, point: Point, kind: str) -> Counterexample | None:
    """Two directions, or two cotangents, along which a rule gives other values than along their sum.

    A derivative and a subgradient are linear maps, wherever they are taken.
    """
    value = partial(_value, op, field_of(kind))
    weights = point.tensors[COTANGENT]
    for rule in op.vjps:
        parts = [weights, {k: v + 1 for k, v in weights.items()}, {k: 2 * v + 1 for k, v in weights.items()}]
        for index in point.tensors[rule.target]:
            given = [point.put(COTANGENT, part) for part in parts]
            envs = [one.env(Intervals().num if kind == "interval" else None) for one in given]
            first, second, both = (value(rule.body, env, rule.indices, index) for env in envs)
            if differs(both, first + second):
                where = f"vjp {rule.target}{list(index)}"
                told = search.report(given[2], (COTANGENT,), where, first + second, both)
                return replace(told, note=LINEAR.format(*(one.nested(COTANGENT) for one in given[:2])))
    for one in search.directions(point) if op.jvp is not None else ():
        for other in (*search.directions(point), *map(_turned, search.directions(point))):
            total = {n: {k: v + other[n][k] for k, v in table.items()} for n, table in one.items()}
            for entry in search.indices(point):
                assert op.jvp is not None
                envs = [search.env(point, kind, entry, along) for along in (one, other, total)]
                first, second, both = (value(op.jvp.body, env, op.jvp.indices, entry) for env in envs)
                if differs(both, first + second):
                    told = search.report(point, (), shown_jvp(entry, total), first + second, both)
                    return replace(told, note=LINEAR.format(shown_direction(one), shown_direction(other)))
    return None


def _turned(tangents: Tangents) -> Tangents:
    return {name: {index: -2 * value for index, value in table.items()} for name, table in tangents.items()}


def _shorter(tangents: Tangents) -> Tangents:
    """A rule that takes a tangent where the input belongs may have a value for small tangents only."""
    return {name: {index: value / 8 for index, value in table.items()} for name, table in tangents.items()}
