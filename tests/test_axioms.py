"""The axioms contradict neither each other nor the numbers, and no obligation is proved from what can't hold.

What is attacked: the table of scalar functions (at the edges of their domains; composed in pairs, by every route that
the kernel has between them), the facts that the kernel hands to the solver, and the hypotheses of every question that
is asked for the whole prelude and the examples.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import flint
import pytest
import z3
from gradproof.compiler.calculus import derivative, requirements
from gradproof.compiler.denote import Env, Intervals, Undecided, Undefined, evaluate, holds
from gradproof.compiler.dims import Poly
from gradproof.compiler.functions import FUNCTIONS
from gradproof.compiler.library import prelude
from gradproof.compiler.show import show
from gradproof.compiler.terms import (
    FALSE,
    Call,
    Cond,
    Read,
    RealCmp,
    Term,
    add,
    call,
    divide,
    int_ge,
    int_lt,
    mul,
    num,
    power,
    select,
    sub,
)
from gradproof.pipeline import load, prove
from gradproof.verifier import second, smt
from gradproof.verifier.abstraction import Abstraction
from gradproof.verifier.asked import Asked, Identity, reading, watching
from gradproof.verifier.discharge import verify
from gradproof.verifier.equality import equal
from gradproof.verifier.forms import Frozen
from gradproof.verifier.naming import canonical, freeze
from gradproof.verifier.normal import Normalizer
from gradproof.verifier.ranges import Context
from gradproof.verifier.smtlib import script

ROOT = Path(__file__).parent.parent
EXAMPLES = sorted(path for path in (ROOT / "examples").rglob("*.gproof") if path.parent.name != "wrong")
NOWHERE = Context({}, {})
x, u = Read("x", ()), Read("u", ())
SMOOTH = sorted(name for name, f in FUNCTIONS.items() if f.arity and not f.integers)
FIELD = Intervals()


def env(**values: Fraction) -> Env:
    """An environment of intervals without tensors."""
    given = {name: FIELD.num(Fraction(value)) for name, value in values.items()}

    def nothing(name: str, index: tuple[int, ...]) -> Any:
        raise KeyError(name)

    return Env({}, lambda name, _: given[name], nothing, nothing)


def value(term: Term, here: Env) -> Any | None:
    """An enclosure of the term where all that is needed holds for certain; None elsewhere."""
    try:
        for need in requirements(term):
            if need.binders or not all(holds(c, here, FIELD) for c in need.path):
                continue
            if holds(need.cond, here, FIELD) is not True:
                return None
        found = evaluate(term, here, FIELD)
    except (Undefined, Undecided):
        return None
    return found if found.is_finite() else None


# The table, at the edges of the domains ---------------------------------------------------------------------------

TINY = Fraction(1, 2**24)
EDGES = [
    Fraction(base) + shift
    for base in (-40, -3, -2, -1, Fraction(-1, 2), 0, Fraction(1, 2), 1, 2, 3, 40)
    for shift in (-TINY, Fraction(0), TINY)
]


@pytest.mark.parametrize("name", SMOOTH)
def test_the_derivative_is_the_slope_at_the_edges(name: str) -> None:
    """A difference quotient over an interval inside the domain is a value of the derivative there."""
    function, checked, width = FUNCTIONS[name], 0, Fraction(1, 2**60)
    others = [Fraction(-2), Fraction(0), Fraction(1), Fraction(5, 2)]
    choices = itertools.product(EDGES, *[others] * (function.arity - 1))
    with flint.ctx.workprec(400):
        for values, k in itertools.product(choices, range(function.arity)):
            if function.pieces and len(set(values)) < len(values):
                continue
            at = list(values)
            at[0], at[k] = at[k], at[0]
            names = ("x", "u")[: function.arity]
            here, there = dict(zip(names, at, strict=True)), dict(zip(names, at, strict=True))
            there[names[k]] += width
            if function.jump is not None and holds(function.jump(x), env(**here), FIELD) is not False:
                continue  # a jump has no slope
            ends = [value(Call(name, (x, u)[: function.arity]), env(**point)) for point in (here, there)]
            if None in ends:
                continue
            between = {n: FIELD.num(v) for n, v in here.items()}
            between[names[k]] = between[names[k]].union(FIELD.num(there[names[k]]))
            given = Env({}, lambda n, _, b=between: b[n], lambda *_: None, lambda *_: None)  # type: ignore[misc]
            try:
                slope = evaluate(function.partials[k](*(x, u)[: function.arity]), given, FIELD)
            except (Undefined, Undecided):
                continue
            quotient = (ends[1] - ends[0]) / FIELD.num(width)
            assert slope.overlaps(quotient), (show(Call(name, (x, u)[: function.arity])), here)
            checked += 1
    assert checked >= 4


@pytest.mark.parametrize("name", sorted(n for n in SMOOTH if FUNCTIONS[n].values[:2] != (None, None)))
def test_bounds_hold_on_wide_intervals(name: str) -> None:
    """No value is outside of what the table says, however wide the interval of the arguments."""
    low, high, *_ = FUNCTIONS[name].values
    checked = 0
    for values in itertools.product([*EDGES, Fraction(10**6), Fraction(-(10**6))], repeat=FUNCTIONS[name].arity):
        found = value(Call(name, (x, u)[: FUNCTIONS[name].arity]), env(**dict(zip("xu", values, strict=False))))
        if found is not None:
            assert low is None or not found < low, values
            assert high is None or not found > high, values
            checked += 1
    assert checked > 5


# Two routes to one term -------------------------------------------------------------------------------------------

INNER: list[Term] = [
    x,
    mul(num(-1), x),
    mul(num(2), x),
    add(x, num(1)),
    sub(num(1), x),
    power(x, 2),
    power(x, -1),
    divide(x, add(num(1), power(x, 2))),
    add(x, u),
    mul(x, u),
    divide(x, u),
    *(call(name, x) for name in ("exp", "log", "sqrt", "abs", "tanh", "cosh", "sin", "sigmoid")),
    call("max", x, u),
    select(RealCmp("<", num(0), x), x, mul(num(-1), x)),
]
POINTS = [
    {"x": Fraction(a, 8), "u": Fraction(b, 8)}
    for a, b in [(-13, 5), (-8, 8), (-4, -9), (-1, 3), (0, 2), (1, -1), (3, 11), (7, 7), (8, -8), (12, 1), (40, 3)]
]


def compositions() -> Iterator[Term]:
    """f(t) for every function and inner term, and what is made of two of them."""
    for name in SMOOTH:
        for inner in INNER:
            term = Call(name, (inner, u)[: FUNCTIONS[name].arity])
            yield term
            yield power(term, 2)
            yield mul(term, x)
            unfold = FUNCTIONS[name].unfold
            other = unfold(*term.args) if unfold is not None else None
            if other is not None:
                yield other
                yield mul(x, other)
    for inner in INNER:
        yield inner
        for other in INNER:
            yield from (add(inner, other), mul(inner, other), divide(inner, other))
            yield from (call("exp", add(inner, other)), mul(call("exp", inner), call("exp", other)))
            yield from (call("log", mul(inner, other)), add(call("log", inner), call("log", other)))
            yield from (call("sqrt", mul(inner, other)), mul(call("sqrt", inner), call("sqrt", other)))


def buckets(terms: Iterator[Term]) -> dict[Frozen, list[Term]]:
    """The terms by their normal form: what lies in one bucket the kernel calls equal."""
    work = Normalizer(NOWHERE)
    found: dict[Frozen, list[Term]] = defaultdict(list)
    for term in dict.fromkeys(terms):
        found[freeze(canonical(work.form(term)))].append(term)
    return found


def test_terms_with_one_normal_form_are_equal_in_numbers() -> None:
    """Every pair that the kernel takes for equal is equal, in rigorous intervals, wherever both are defined.

    So are their derivatives by the calculus, where the terms have no kinks: two routes, one slope.
    """
    compared = 0
    tangents = {"x": "dx"}
    points = [env(**point, dx=Fraction(1)) for point in POINTS]
    with flint.ctx.workprec(160):
        for group in buckets(compositions()).values():
            if len(group) < 2:
                continue
            slopes = [derivative(term, tangents) for term in group]
            smooth = not any(name in show(term) for term in group for name in ("select", "max", "min", "abs", "sign"))
            for here in points:
                for terms in (group, slopes) if smooth else (group,):
                    found = [(term, v) for term in terms if (v := value(term, here)) is not None]
                    for (one, a), (other, b) in itertools.pairwise(found):
                        assert a.overlaps(b), f"{show(one)} = {show(other)} is proved and false"
                        assert a.rad() < 1e-20 * (1 + abs(a)), show(one)
                        compared += 1
    assert compared > 2000


@pytest.mark.parametrize("name", SMOOTH)
def test_a_function_minus_itself_is_nothing_by_every_route(name: str) -> None:
    for inner in INNER:
        term = Call(name, (inner, u)[: FUNCTIONS[name].arity])
        unfold = FUNCTIONS[name].unfold
        routes = [term, *filter(None, [unfold(*term.args) if unfold is not None else None])]
        for one, other in itertools.product(routes, repeat=2):
            assert equal(one, other, NOWHERE).proved, show(one)
            # What is 0 by one route is not 1 by another.
            assert not equal(add(one, num(1)), other, NOWHERE).proved, show(one)


# Each would contradict an axiom; the point is where it fails.
FALSE_EQUATIONS: list[tuple[Term, Term, dict[str, Fraction]]] = [
    (call("sqrt", power(x, 2)), x, {"x": Fraction(-1)}),
    (call("log", power(x, 2)), mul(num(2), call("log", call("abs", add(x, num(1))))), {"x": Fraction(1)}),
    (call("abs", mul(x, u)), mul(x, call("abs", u)), {"x": Fraction(-1), "u": Fraction(1)}),
    (call("exp", mul(x, u)), mul(call("exp", x), call("exp", u)), {"x": Fraction(1), "u": Fraction(1)}),
    (call("log", add(x, u)), add(call("log", x), call("log", u)), {"x": Fraction(1), "u": Fraction(1)}),
    (call("asin", call("sin", x)), x, {"x": Fraction(3)}),
    (call("acosh", call("cosh", x)), x, {"x": Fraction(-1)}),
    (call("atan2", x, u), call("atan", divide(x, u)), {"x": Fraction(1), "u": Fraction(-1)}),
    (call("pow0", x, u), call("pow", x, add(u, num(1))), {"x": Fraction(2), "u": Fraction(1)}),
    (call("max", x, u), call("max", call("max", x, u), add(u, num(1))), {"x": Fraction(0), "u": Fraction(0)}),
    (call("floor", add(x, u)), add(call("floor", x), call("floor", u)), {"x": Fraction(1, 2), "u": Fraction(1, 2)}),
    (call("round", mul(num(2), x)), mul(num(2), call("round", x)), {"x": Fraction(1, 3)}),
    (call("sign", x), divide(call("abs", x), add(x, num(1))), {"x": Fraction(1)}),
    (call("sigmoid", x), sub(num(1), call("sigmoid", x)), {"x": Fraction(1)}),
    (call("tanh", mul(num(2), x)), mul(num(2), call("tanh", x)), {"x": Fraction(1)}),
    (call("hypot", x, u), add(x, u), {"x": Fraction(1), "u": Fraction(1)}),
    (call("erf", x), sub(num(1), call("erfc", mul(num(-1), x))), {"x": Fraction(1)}),
    (mul(power(x, -1), x), num(2), {"x": Fraction(1)}),
]


@pytest.mark.parametrize("left, right, point", FALSE_EQUATIONS, ids=[show(e[0]) for e in FALSE_EQUATIONS])
def test_what_contradicts_the_numbers_is_not_proved(left: Term, right: Term, point: dict[str, Fraction]) -> None:
    here = env(**point)
    a, b = value(left, here), value(right, here)
    assert a is not None and b is not None and not a.overlaps(b), "the point shows nothing"
    assert not equal(left, right, NOWHERE).proved
    assert not equal(right, left, NOWHERE).proved


# The facts that the kernel hands to the solver --------------------------------------------------------------------


@pytest.mark.parametrize("name", SMOOTH)
def test_the_facts_about_a_function_have_a_model(name: str) -> None:
    """An exponential is positive, a root is not negative: what is said of all atoms of a term holds of some numbers."""
    for inner in INNER:
        term = Call(name, (inner, u)[: FUNCTIONS[name].arity])
        work = Normalizer(NOWHERE)
        abstraction = Abstraction(work)
        abstraction.term(work.form(add(term, call("exp", term), call("sqrt", term), power(term, -1))))
        assert not refutable(abstraction.facts, reals=True), show(term)


def refutable(hypotheses: list[Cond] | tuple[Cond, ...], reals: bool) -> bool:
    """Whether FALSE follows, or may follow: anything but a model of all of them."""
    ask = smt.prove_real if reals else smt.prove_int
    return ask(FALSE, hypotheses, 20.0).status != "sat"


# No vacuous proofs ------------------------------------------------------------------------------------------------

# Questions whose hypotheses have no model, and why that is right: (claim's code, subject, a part of the hypotheses).
# There are none: cases that can't occur are closed before a question is asked.
DEAD: set[tuple[str, str, str]] = set()


@pytest.fixture(scope="module")
def everything() -> tuple[list[Asked], list[Identity]]:
    """All that is asked, and every identity that is proved, for the prelude and for the examples."""
    asked: list[Asked] = []
    proved: list[Identity] = []

    def keep(question: Asked) -> str:
        asked.append(question)
        return ""

    with watching(keep), reading(proved.append):
        verdicts = verify(tuple(prelude().ops.values()), ())
        for path in EXAMPLES:
            verdicts += prove(load(path), 20.0)
    assert all(v.answer == "proved" for v in verdicts)
    return asked, proved


def test_every_question_has_hypotheses_that_can_hold(everything: tuple[list[Asked], list[Identity]]) -> None:
    distinct = {(frozenset(one.hypotheses), one.reals): one for one in everything[0] if one.goal is not None}
    assert len(distinct) > 200
    vacuous = []
    for one in distinct.values():
        if refutable(one.hypotheses, one.reals):
            shown = "; ".join(map(show, one.hypotheses))
            claim = one.claim
            known = claim and any(d[:2] == (claim.code, claim.subject) and d[2] in shown for d in DEAD)
            vacuous += [] if known else [f"{claim and (claim.code, claim.subject)}: {shown}"]
    assert vacuous == []


def test_every_question_given_as_text_has_hypotheses_that_can_hold(
    everything: tuple[list[Asked], list[Identity]],
) -> None:
    implications = 0
    for one in everything[0]:
        if one.goal is not None:
            continue
        (negated,) = z3.parse_smt2_string(one.text)
        (goal,) = negated.children()
        for part in goal.children() if z3.is_and(goal) else [goal]:
            if z3.is_implies(part):
                solver = z3.Solver()
                solver.add(part.arg(0))
                assert solver.check() == z3.sat, one.text
                implications += 1
    assert implications > 3


def test_every_identity_is_about_some_entry(everything: tuple[list[Asked], list[Identity]]) -> None:
    """The sizes that an identity is proved for include some at which its free indices have a place."""
    distinct = {
        (tuple(one.context.lower.items()), one.context.facts, tuple(one.context.ranges.items())): one.context
        for one in everything[1]
    }
    assert len(distinct) > 100
    for context in distinct.values():
        wanted = [*context.known(), *(int_ge(extent, 1) for extent in context.ranges.values())]
        assert not refutable(wanted, reals=False), [show(c) for c in wanted]


def test_a_vacuous_question_would_be_noticed() -> None:
    n = Poly.sym("n")
    assert refutable([int_ge(n, 1), int_lt(n, 1)], reals=False)
    assert refutable([RealCmp("<", x, u), RealCmp("<", u, x)], reals=True)
    assert refutable([RealCmp("<", call("sqrt", x), num(0))], reals=True)
    assert not refutable([int_ge(n, 1), int_lt(n, 2)], reals=False)


def test_a_second_solver_agrees_on_every_question(everything: tuple[list[Asked], list[Identity]]) -> None:
    questions = {written.question: written for written in map(script, everything[0])}
    assert len(questions) > 500
    different = []
    for written in questions.values():
        opinion = second.ask(written.text, 20.0)
        if opinion.status != written.status:
            different.append((written.name, written.status, opinion))
    assert different == []
