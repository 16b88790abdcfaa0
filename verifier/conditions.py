"""Conditions as forms that are 1 or 0, and forms taken apart where one holds and where not. [trusted kernel]"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from functools import partial

from gradproof.compiler.terms import And, BoolRead, Cond, IntCmp, Not, Or, RealCmp, Truth
from gradproof.verifier.algebra import Algebra
from gradproof.verifier.forms import (
    COLLAPSE,
    UNIT,
    Atom,
    Form,
    Guard,
    Monomial,
    NotGeneric,
    accumulate,
    atom,
    can_stay_equal,
    constant,
    may_collapse,
    of_atom,
    oriented,
    oriented_sign,
    plus,
    scaled,
    tensors_in,
)
from gradproof.verifier.naming import apart, collected, freeze
from gradproof.verifier.powers import above_zero, content, log
from gradproof.verifier.quotients import settled


def indicator(work: Algebra, cond: Cond) -> Form:
    """1 where the condition holds, else 0."""
    match cond:
        case Truth(value):
            return constant(int(value))
        case IntCmp(rel, poly):
            poly = settled(poly, work.context)
            if poly.constant is not None:
                return constant(int(poly.constant >= 0 if rel == ">=" else poly.constant == 0))
            return {Monomial((), frozenset({(rel, oriented(rel, poly))}), ()): 1}
        case BoolRead(tensor, index):
            return of_atom(atom("bool", tensor, tuple(settled(p, work.context) for p in index)))
        case Not(arg):
            return plus(constant(1), scaled(indicator(work, arg), -1))
        case And(args):
            return work.product(indicator(work, a) for a in args)
        case Or(args):
            none = work.product(plus(constant(1), scaled(indicator(work, a), -1)) for a in args)
            return plus(constant(1), scaled(none, -1))
        case RealCmp(rel, a, b):
            difference = plus(work.form(b), scaled(work.form(a), -1))
            if rel == "<":
                return sign_is(work, "pos", difference)
            below = sign_is(work, "neg", difference)
            if rel == "<=":
                return plus(constant(1), scaled(below, -1))
            return plus(constant(1), scaled(below, -1), scaled(sign_is(work, "pos", difference), -1))


def sign_is(work: Algebra, sign: str, form: Form) -> Form:
    """The indicator of form > 0 ("pos") or form < 0 ("neg")."""
    return split(work, [form], lambda parts: _sign_is(work, sign, parts[0]))


def _sign_is(work: Algebra, sign: str, form: Form) -> Form:
    form = collected(form)
    if form:
        # What is positive wherever it stands does not change a sign: [v/n > 0] is [v > 0] for n >= 1.
        leading, _, inside = content(work, form, partial(above_zero, work.context))
        form = scaled(inside if inside is not None else constant(1), leading)
    if form.keys() <= {UNIT}:
        value = form.get(UNIT, 0)
        return constant(int(value > 0 if sign == "pos" else value < 0))
    exponents = _exponents(work, form) if len(form) == 2 else None
    if exponents is not None:
        return sign_is(work, sign, exponents)
    one = oriented_sign(sign, freeze(form))
    generic = bool(work.generic) and not work.generic.isdisjoint(tensors_in(one.parts[0]))
    if generic and can_stay_equal(one.parts[0]):
        # An optimum always equals one of its entries, and floor(x) = 0 has inner points: no point is generic.
        raise NotGeneric("a comparison with an optimum or a step function")
    if generic and work.apart and may_collapse(one.parts[0], work.generic):
        raise NotGeneric(COLLAPSE)
    if generic and one.kind == "neg":
        return plus(constant(1), scaled(of_atom(atom("pos", one.parts[0])), -1))
    return of_atom(one)


def _exponents(work: Algebra, form: Form) -> Form | None:
    """What has the sign of p e^a - q e^b: a - b + log(p/q), or less that where p < 0 < q."""
    out: Form = {}
    (_, p), (_, q) = form.items()
    if p * q > 0:
        return None
    for monomial, coefficient in form.items():
        if monomial.binders or monomial.guards or any(one.kind != "exp" for one, _ in monomial.factors):
            return None
        for one, exponent in monomial.factors:
            accumulate(out, apart({one.parts[0]: 1}), exponent if coefficient > 0 else -exponent)
    return plus(out, log(work, constant(-p / Fraction(q) if p > 0 else -q / Fraction(p))))


def split(work: Algebra, forms: list[Form], build: Callable[[list[Form]], Form]) -> Form:
    """build(forms), with every selection inside the forms moved outside of build."""
    for form in forms:
        for monomial in form:
            bound = {v for v, _ in monomial.binders}
            for one, _ in monomial.factors:
                if one.kind in ("pos", "neg", "bool") and not one.symbols & bound:
                    return _split_atom(work, forms, one, build)
            for guard in monomial.guards:
                if not guard[1].symbols & bound:
                    return _split_guard(work, forms, guard, build)
    return build(forms)


def _split_atom(work: Algebra, forms: list[Form], one: Atom, build: Callable[[list[Form]], Form]) -> Form:
    opposite = {"pos": "neg", "neg": "pos"}.get(one.kind)
    excluded = atom(opposite, one.parts[0]) if opposite else None

    def assume(form: Form, value: bool) -> Form:
        out: Form = {}
        for m, c in form.items():
            names = {a for a, _ in m.factors}
            if (one in names and not value) or (value and excluded is not None and excluded in names):
                continue
            rest = tuple(f for f in m.factors if f[0] is not one)
            accumulate(out, {Monomial(m.binders, m.guards, rest): c})
        return out

    yes = of_atom(one)
    no = plus(constant(1), scaled(yes, -1))
    when = split(work, [apart(assume(f, True)) for f in forms], build)
    unless = split(work, [apart(assume(f, False)) for f in forms], build)
    return plus(work.times(yes, when), work.times(no, unless))


def _split_guard(work: Algebra, forms: list[Form], guard: Guard, build: Callable[[list[Form]], Form]) -> Form:
    def assume(form: Form, value: bool) -> Form:
        out: Form = {}
        for m, c in form.items():
            if guard in m.guards and not value:
                continue
            accumulate(out, {Monomial(m.binders, m.guards - {guard}, m.factors): c})
        return out

    yes: Form = {Monomial((), frozenset({guard}), ()): 1}
    no = plus(constant(1), scaled(yes, -1))
    when = split(work, [apart(assume(f, True)) for f in forms], build)
    unless = split(work, [apart(assume(f, False)) for f in forms], build)
    return plus(work.times(yes, when), work.times(no, unless))
