"""Which edits of a rule are worth a proof: those that are right at a few points. Untrusted, like edits.py.

At each point the value that the rule must have is computed once, from the calculus's derivative or from the meaning;
each candidate is evaluated there entry by entry, over rationals or intervals.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from time import perf_counter
from typing import Any, TypeAlias

from gradproof.compiler.denote import Env, Intervals, Irrational, Rationals, Undecided, Undefined, evaluate, field_of
from gradproof.compiler.dims import Poly
from gradproof.compiler.ops import COTANGENT, OUTPUT, TANGENT, Formula, OpDef, Param
from gradproof.compiler.rewriting import substitute_cond, walk
from gradproof.compiler.rules import derived_jvp, extents, rules_of
from gradproof.compiler.show import show
from gradproof.compiler.terms import (
    Cond,
    IntCmp,
    Mul,
    Num,
    Pow,
    Read,
    RealCmp,
    Reduce,
    Select,
    Term,
    int_eq,
    mul,
    num,
    power,
)
from gradproof.verifier.certain import differs
from gradproof.verifier.edits import edits
from gradproof.verifier.local_edits import Scope
from gradproof.verifier.numerals import constants_of
from gradproof.verifier.refute import Search
from gradproof.verifier.witness import Point

POINTS = 30  # that a candidate must pass before a proof is tried
SHARE = 0.2  # of the time goes into the points
Wanted: TypeAlias = Iterator[tuple[Env, Any]]
Check: TypeAlias = tuple[Env, Any, str]  # where, what the value must be there, and over which scalars


@dataclass(frozen=True, slots=True)
class Suspect:
    """A formula that may be wrong, and how to put another one in its place (None: leave it out)."""

    clause: str
    formula: Formula
    put: Callable[[Formula | None], OpDef | None]
    goal: Callable[[Sample], Wanted] | None  # where and what its value must be; None where only a proof can tell
    linear: frozenset[str]
    first: tuple[Term, ...] = ()  # what is tried before any edit


def screened(op: OpDef, suspect: Suspect, end: float) -> Iterator[tuple[str, Term]]:
    """The candidates that have the right value at every point that was tried, each once."""
    body = suspect.formula.body
    if isinstance(body, Cond):
        return
    checks = list(_checks(op, suspect, end)) if suspect.goal else []
    checks.sort(key=lambda check: _passes(body, *check))  # first those that tell it from what it is now
    if suspect.goal and not checks:
        return
    scope = _scope(op, suspect)
    seen = {body}
    factors = ((f"{c} times it" if c != -1 else "the other sign", _scaled(body, c)) for c in _ratios(checks, body))
    first = ((f"the value {show(term)}", term) for term in suspect.first)
    for change, candidate in itertools.chain(first, factors, edits(body, scope, len(suspect.formula.indices))):
        if perf_counter() > end:
            return
        if candidate in seen:
            continue
        seen.add(candidate)
        if all(_passes(candidate, *check) for check in checks):
            yield change, candidate


def _checks(op: OpDef, suspect: Suspect, end: float) -> Iterator[Check]:
    """Environments with the value that the formula must have there."""
    search = Search(op, _bare_rules(op), 1.0)
    used, stop = 0, perf_counter() + SHARE * (end - perf_counter())
    for point in _varied(search):
        if used >= POINTS or (used and perf_counter() > stop):
            return
        for kind in ("rational", "interval"):
            try:
                found = [(env, value, kind) for env, value in suspect.goal(Sample(search, point, kind))]  # type: ignore[misc]
            except (Undefined, Undecided, ZeroDivisionError):
                break
            except Irrational:
                continue
            used += bool(found)
            yield from found
            break


def _varied(search: Search) -> Iterator[Point]:
    """A point of each of several sizes; no two points of one size in a row."""
    seen: dict[tuple[int, ...], int] = {}
    for point in search.points():
        key = tuple(point.sizes.ints.values())
        seen[key] = seen.get(key, 0) + 1
        if seen[key] <= 4:
            yield point


def _passes(candidate: Term, env: Env, wanted: Any, kind: str) -> bool:
    field = field_of(kind)
    try:
        return not differs(evaluate(candidate, env, field), wanted)
    except Irrational:
        return True
    except (ArithmeticError, LookupError, ValueError, TypeError):
        return False


def _ratios(checks: list[Check], body: Term) -> Iterator[Fraction]:
    """The constant factor that is missing, if it is one."""
    found: set[Fraction] = set()
    for env, wanted, kind in checks:
        if kind != "rational":
            continue
        try:
            got = evaluate(body, env, Rationals())
        except (ArithmeticError, LookupError):
            return
        if got:
            found.add(wanted / got)
    if len(found) == 1 and max(abs(c.numerator * c.denominator) for c in found) <= 100:
        yield from found
    yield from (Fraction(2), Fraction(1, 2), Fraction(-2), Fraction(-1, 2))


def _scaled(body: Term, factor: Fraction) -> Term:
    """The term with a constant factor, which goes into a number that is there already, below the line too."""
    parts = body.args if isinstance(body, Mul) else (body,)
    for k, part in enumerate(parts):
        match part:
            case Pow(Mul((Num(value), *rest)), -1):
                return mul(num(factor / value), *parts[:k], power(mul(*rest), -1), *parts[k + 1 :])
    return mul(num(factor), body)


@dataclass(slots=True)
class Sample:
    """One point, with the output and the intermediates computed there."""

    search: Search
    point: Point
    kind: str

    def vjp(self, rule: Formula, param: Param) -> Wanted:
        """What the vjp of an input must be: entry by entry."""
        tables = self.search.expected_vjp(self.point, param, self.kind)
        if len(tables) != 1:
            raise Undecided("a tie")
        env = self._env({})
        for index, wanted in tables[0].items():
            yield _bound(env, rule, index), wanted

    def jvp(self, rule: Formula) -> Wanted:
        """What the jvp must be, along some directions."""
        op = self.search.op
        for tangents in itertools.islice(self.search.directions(self.point), 1, 3):
            env = self._env(tangents)
            for index in self.search.indices(self.point):
                values = self.search.outcomes(self.point, derived_jvp(op), index, self.kind, tangents)
                if len(values) != 1:
                    raise Undecided("a tie")
                yield _bound(env, rule, index), values[0]

    def runs(self, rule: Formula) -> Wanted:
        """What runs must be: the meaning."""
        env = self._env({})
        for index in self.search.indices(self.point):
            yield _bound(env, rule, index), self.search.value(self.point, index, self.kind)

    def _env(self, tangents: dict[str, Any]) -> Env:
        op, point = self.search.op, self.point
        made = {index: self.search.value(point, index, self.kind) for index in self.search.indices(point)}
        known = {**point.tensors, **tangents}
        convert = Intervals().num if self.kind == "interval" else None
        plain = Point(op, point.sizes, known, point.shapes).env(convert)
        lets = {f.target: f for f in op.lets}
        field = field_of(self.kind)

        def real(name: str, index: tuple[int, ...]) -> Any:
            if name == OUTPUT and name not in known:
                if index not in made:
                    raise Undefined(f"{name}{list(index)} is out of bounds")
                return made[index]
            if name in lets:
                if not all(0 <= i < e.evaluate(env.ints) for i, e in zip(index, lets[name].extents, strict=True)):
                    raise Undefined(f"{name}{list(index)} is out of bounds")
                return evaluate(lets[name].body, _bound(env, lets[name], index), field)  # type: ignore[arg-type]
            return plain.real(name, index)

        env = Env(plain.ints, real, plain.integer, plain.boolean)
        return env


def _bound(env: Env, formula: Formula, index: tuple[int, ...]) -> Env:
    for name, value in zip(formula.indices, index, strict=True):
        env = env.bind(name, value)
    return env


def _bare_rules(op: OpDef) -> Any:
    return rules_of(replace(op, jvp=None, vjps=()))


def _scope(op: OpDef, suspect: Suspect) -> Scope:
    formula = suspect.formula
    reals = {p.name: extents(p) for p in op.params if p.kind == "real"} | dict.fromkeys(op.real_attrs, ())
    if suspect.linear:
        reals[OUTPUT] = op.forward.extents
    reals |= {f.target: f.extents for f in op.lets if not isinstance(f.body, Cond) and f is not formula}
    reals |= {COTANGENT: op.forward.extents} if COTANGENT in suspect.linear else {}
    reals |= {name: extents(op.param(name[len(TANGENT) :])) for name in suspect.linear - {COTANGENT}}
    whole = {p.name: extents(p) for p in op.params if p.kind == "int"}
    indices = tuple(zip(formula.indices, formula.extents, strict=True))
    constants = (Fraction(0), Fraction(1), *constants_of(op))
    sizes = (*op.sizes, *op.int_attrs)
    return Scope(indices, reals, whole, sizes, suspect.linear, constants, tuple(_guards(op, formula)))


def _guards(op: OpDef, formula: Formula) -> Iterator[Cond]:
    """Conditions that the definition makes, and that this entry is the one it reads: in the rule's indices."""
    own = dict(zip(formula.extents, formula.indices, strict=True))
    names = {i: Poly.sym(own[e]) for i, e in zip(op.forward.indices, op.forward.extents, strict=True) if e in own}
    for node in walk(op.forward.body):
        conds = (node.cond,) if isinstance(node, Select) else (node.guard,) if isinstance(node, Reduce) else ()
        for cond in conds:
            if isinstance(cond, RealCmp | IntCmp):
                yield substitute_cond(cond, names)
        if isinstance(node, Read) and node.tensor == formula.target and len(node.index) == len(formula.indices):
            for position, name in zip(node.index, formula.indices, strict=True):
                if position.as_symbol is None:
                    yield from _reached(position, name, formula)


def _reached(position: Poly, name: str, formula: Formula) -> Iterator[Cond]:
    """That a position of the definition is this entry, for an index that the rule sums over."""
    for node in walk(formula.body):
        if isinstance(node, Reduce):
            for symbol in sorted(position.symbols - {name}):
                yield int_eq(position.substitute({symbol: Poly.sym(node.var)}), Poly.sym(name))
