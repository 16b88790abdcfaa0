"""DOM where the calculus has no derivative and the formula is not steep: x / (sqrt(x^2) + 1) at 0, sqrt(sum x^2) there.

The calculus differentiates sqrt where its argument is positive, so at such a point it asks nothing of a rule. But a
formula that has finite slopes there on all sides has a derivative or subgradients, and a written rule that is 0/0 makes
a NaN of them. Each point is replayed: the slopes are those of germs (germs.py) along each entry of each input, both
ways, as far as the domain goes; the rule's formula has no value there by the denotation. Where some slope is infinite
(sqrt(x) at 0) or not known, nothing is refuted.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from functools import partial
from itertools import product
from typing import Any

from gradproof.compiler.claims import Counterexample
from gradproof.compiler.denote import (
    Env,
    Intervals,
    Undefined,
    evaluate,
    field_of,
    holds,
)
from gradproof.compiler.ops import COTANGENT, OUTPUT, TANGENT, Formula, OpDef, Param
from gradproof.compiler.rewriting import free_symbols, walk
from gradproof.compiler.rules import meaning_of, unfolded
from gradproof.compiler.terms import Call
from gradproof.verifier.certain import beyond, differs, hull, shown, shown_jvp, told
from gradproof.verifier.germs import Germ, Germs
from gradproof.verifier.replay import Replay
from gradproof.verifier.witness import Point, extent_of, flat, in_domain, points_of, sizes_of

STEEP = frozenset({"sqrt", "cbrt", "hypot", "pow", "pow0", "asin", "acos", "acosh", "atan2"})
SIZES = 8  # of an operator, at most
MOST = 12  # entries that may vary
ZERO = Fraction(0)


def may_be_steep(op: OpDef) -> bool:
    """Whether a rule is written and the formula has a function with an infinite slope, or none, at an end."""
    if op.lawful or not (op.vjps or op.jvp) or not op.differentiable:
        return False
    return any(isinstance(node, Call) and node.fn in STEEP for node in walk(meaning_of(op)))


def without_a_value(search: Replay) -> Counterexample | None:
    """A point where a written rule has no value although the formula has finite slopes on all sides."""
    tried = (told(partial(_at, search, point)) for point in _points(search))
    return next(filter(None, tried), None)


def wrong_value(search: Replay, param: Param) -> Counterexample | None:
    """A point of one number at which a vjp's value lies outside of the slopes of both sides."""

    def alone(point: Point) -> bool:
        return sum(len(point.tensors[p.name]) for p in search.op.differentiable) == 1

    tried = (told(partial(_beyond, search, point, param)) for point in filter(alone, _points(search)))
    return next(filter(None, tried), None)


def outside_slopes(search: Replay) -> Counterexample | None:
    """A tie of one number at which the jvp lies outside of the slopes of both sides.

    ties.py takes every tie by itself, so that it allows sides that no point has: clip(r) > r and r > 1 - e, say.
    """
    if search.op.lawful or search.rules.jvp is None:
        return None
    for point in search.points(ties=True):
        moving = [(p.name, index) for p in search.op.differentiable for index in point.tensors[p.name]]
        found = told(partial(_off, search, point, *moving[0])) if len(moving) == 1 else None
        if found is not None:
            return found
    return None


def _off(search: Replay, point: Point, name: str, index: tuple[int, ...], kind: str) -> Counterexample | None:
    slopes = _slopes(search, point, kind, name, index)
    if slopes is None or len(slopes) != 2:
        return None
    tangents = search.along(point, search.op.param(name), index)
    for entry, got in search.run(point, "jvp", "", kind, tangents).items():
        along = [side[entry] for side in slopes]
        if beyond(got, along):
            return search.report(point, (), shown_jvp(entry, tangents), hull(along), got)
    return None


def _beyond(search: Replay, point: Point, param: Param, kind: str) -> Counterexample | None:
    try:
        search.check_differentiable(point, kind)
        return None
    except Undefined:
        pass
    (index,) = point.tensors[param.name]
    slopes = _slopes(search, point, kind, param.name, index)
    if slopes is None or len(slopes) != 2:
        return None  # at the end of the domain every slope beyond is one of the normal cone
    field = field_of(kind)
    zero = field.num(ZERO)
    weights = {entry: field.num(value) for entry, value in point.tensors[COTANGENT].items()}
    along = [sum((side[e] * w for e, w in weights.items()), zero) for side in slopes]
    got = search.run(point, "vjp", param.name, kind)[index]
    if not beyond(got, along):
        return None
    return search.report(point, (COTANGENT,), f"vjp {param.name}{list(index)}", hull(along), got)


def _points(search: Replay) -> Iterator[Point]:
    """Points whose entries are all 0 or all 1, where sums of squares and deviations vanish, and a few others."""
    op = search.op
    for number, sizes in enumerate(sizes_of(op)):
        if number >= SIZES:
            return
        for point in points_of(op, sizes, 4, search.seed):
            for fill in (ZERO, Fraction(1), None):
                real = {p.name for p in op.differentiable} if fill is not None else set()
                tensors = {n: dict.fromkeys(t, fill) if n in real else t for n, t in point.tensors.items()}
                chosen = Point(op, sizes, tensors, point.shapes, point.kinds)
                if sum(len(tensors[p.name]) for p in op.differentiable) <= MOST and in_domain(chosen):
                    yield chosen


def _at(search: Replay, point: Point, kind: str) -> Counterexample | None:
    for entry in search.indices(point):
        search.value(point, entry, kind)
    try:
        search.check_differentiable(point, kind)
        return None  # the other search's business
    except Undefined:
        pass
    first = next(missing(search, point, kind), None)
    if first is None:
        return None
    slopes = {
        (param.name, index): _slopes(search, point, kind, param.name, index)
        for param in search.op.differentiable
        for index in point.tensors[param.name]
    }
    if any(found is None for found in slopes.values()):
        return None
    where, name, index, error, weights = first
    zero = field_of(kind).num(ZERO)
    along = [sum((s[e] * w for e, w in weights.items()), zero) for s in slopes[name, index] or ()]
    if not along:
        return None
    low, high = min(along, key=float), max(along, key=float)
    value = shown(low) if shown(low) == shown(high) else f"between {shown(low)} and {shown(high)} (the slopes there)"
    return search.report(point, (COTANGENT,) if where.startswith("vjp") else (), where, value, f"undefined: {error}")


def missing(
    search: Replay, point: Point, kind: str
) -> Iterator[tuple[str, str, tuple[int, ...], Undefined, dict[tuple[int, ...], Any]]]:
    """The entries at which a written rule has no value: where, of which input, why, and the weights of the outputs."""
    op = search.op
    field = field_of(kind)
    entries = search.indices(point)
    for rule in op.vjps:
        weights = {e: field.num(point.tensors[COTANGENT][e]) for e in entries}
        for index in point.tensors[rule.target]:
            env = _bound(point.env(Intervals().num if kind == "interval" else None), rule, index)
            if (error := _undefined(op, rule, env, field)) is not None:
                yield f"vjp {rule.target}{list(index)}", rule.target, index, error, weights
    for param in op.differentiable:
        for index in point.tensors[param.name]:
            for entry in entries if op.jvp is not None else ():
                assert op.jvp is not None
                env = _bound(search.env(point, kind, entry, search.along(point, param, index)), op.jvp, entry)
                if (error := _undefined(op, op.jvp, env, field)) is not None:
                    where = f"jvp {OUTPUT}{list(entry)} ({TANGENT}{param.name}{list(index)} = 1)"
                    yield where, param.name, index, error, {entry: field.num(Fraction(1))}


def _bound(env: Env, rule: Formula, index: tuple[int, ...]) -> Env:
    for name, position in zip(rule.indices, index, strict=True):
        env = env.bind(name, position)
    return env


def _undefined(op: OpDef, rule: Formula, env: Env, field: Any) -> Undefined | None:
    try:
        evaluate(unfolded(op, rule.body), env, field)  # type: ignore[arg-type]  # a rule is real
    except Undefined as error:
        return error
    return None


def _slopes(
    search: Replay, point: Point, kind: str, name: str, index: tuple[int, ...]
) -> list[dict[tuple[int, ...], Any]] | None:
    """The outputs' slopes along one entry, from the right and from the left; None where one is infinite or unknown."""
    germs = Germs(field_of(kind))
    found = []
    for sign in (1, -1):
        env = _ray(point, germs, name, index, sign)
        if not _inside(search.op, point, env, germs):
            continue
        slopes: dict[tuple[int, ...], Any] = {}
        for entry in search.indices(point):
            germ = evaluate(meaning_of(search.op), _bound(env, search.op.forward, entry), germs)
            known = map(germ.at, (ZERO, Fraction(1)))
            own, slope = (germs.base.num(c) if isinstance(c, Fraction) else c for c in known)
            if any(e < 1 and e != 0 for e, _ in germ.terms) or differs(own, search.value(point, entry, kind)):
                return None
            slopes[entry] = slope * sign
        found.append(slopes)
    return found


def _ray(point: Point, germs: Germs, name: str, index: tuple[int, ...], sign: int) -> Env:
    """The point moving along one entry."""

    def real(tensor: str, at: tuple[int, ...]) -> Germ:
        if at not in point.tensors[tensor]:
            raise Undefined(f"{tensor}{list(at)} is out of bounds")
        return germs.ray(point.tensors[tensor][at], Fraction(sign if (tensor, at) == (name, index) else 0))

    plain = point.env()
    return Env(plain.ints, real, plain.integer, plain.boolean)


def _inside(op: OpDef, point: Point, env: Env, germs: Germs) -> bool:
    """Whether the declared domain holds for small t > 0."""
    for cond in flat(op.domain):
        names = sorted(free_symbols(cond) - point.sizes.ints.keys())
        for values in product(*(range(extent_of(point, cond, name)) for name in names)):
            inner = env
            for name, value in zip(names, values, strict=True):
                inner = inner.bind(name, value)
            if holds(cond, inner, germs) is not True:
                return False
    return True
