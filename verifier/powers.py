"""Powers and roots of forms, exponentials and logarithms: what is taken out of them. [trusted kernel]"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from functools import partial
from math import isqrt

from gradproof.compiler.dims import Poly
from gradproof.compiler.functions import FUNCTIONS
from gradproof.verifier.algebra import Algebra
from gradproof.verifier.forms import (
    UNIT,
    Atom,
    Form,
    Monomial,
    Number,
    accumulate,
    atom,
    constant,
    leading_coefficient,
    number,
    of_atom,
    scaled,
)
from gradproof.verifier.naming import apart, canonical, collected, freeze, thaw
from gradproof.verifier.ranges import Context
from gradproof.verifier.vanishing import vanishes


def content(
    work: Algebra, form: Form, taken: Callable[[Atom], bool]
) -> tuple[Number, list[tuple[Atom, Number]], Form | None]:
    """(c, outside, inside) with form = c * product(outside) * inside; inside is None where it is 1.

    `taken` says which common atoms are taken out: each (for an inverse), what is non-negative for sure (under a
    root), what is positive for sure (under a sign). The coefficient is the leading one's: `inside` is monic.
    """
    common: dict[Atom, Number] | None = None
    for monomial in form:
        bound = {v for v, _ in monomial.binders}
        powers = {
            one: e
            for one, e in monomial.factors
            if not one.symbols & bound and one.kind not in ("pos", "neg", "bool") and taken(one)
        }
        if common is None:
            common = powers
        else:
            names = common.keys() | powers.keys()
            common = {one: min(common.get(one, 0), powers.get(one, 0)) for one in names}
    outside = [(one, e) for one, e in (common or {}).items() if e and (e > 0 or _divides(work, one, form))]
    inside = form
    if outside:
        strip = [(one, -e) for one, e in outside]
        inside = {}
        for monomial, coefficient in form.items():
            stripped = _strip(work, monomial, strip)
            accumulate(inside, stripped, coefficient)
    leading = leading_coefficient(freeze(inside))
    if inside.keys() == {UNIT}:
        return inside[UNIT], outside, None
    return leading, outside, scaled(inside, Fraction(1) / leading)


def _divides(work: Algebra, one: Atom, form: Form) -> bool:
    """Whether a negative power may be taken out: it stands in every monomial, or the others may be multiplied."""
    everywhere = all(any(a is one and e < 0 for a, e in m.factors) for m in form)
    return everywhere or not vanishes(one, work.context)


def _strip(work: Algebra, monomial: Monomial, strip: list[tuple[Atom, Number]]) -> Form:
    powers = dict(monomial.factors)
    for one, exponent in strip:
        powers[one] = number(powers.get(one, 0) + exponent)
    factors = sorted(((one, e) for one, e in powers.items() if e), key=lambda f: f[0].id)
    return work.simplify(list(monomial.binders), set(monomial.guards), factors)


def nonnegative(context: Context, one: Atom) -> bool:
    """Whether an atom is nowhere negative."""
    return one.kind == "exp" or (one.kind == "size" and context.nonnegative(Poly.atom(one.parts[0])))


def above_zero(context: Context, one: Atom) -> bool:
    """Whether an atom is positive everywhere."""
    return one.kind == "exp" or (one.kind == "size" and context.nonnegative(Poly.atom(one.parts[0]) - 1))


def inverse(work: Algebra, base: Form) -> Form:
    """1 / base, where base is not 0."""
    base = collected(base)
    if not base:
        return {}
    coefficient, outside, inside = content(work, base, lambda _: True)
    factors = [(one, -exponent) for one, exponent in outside]
    if inside is not None:
        factors.append((atom("base", freeze(inside)), -1))
    return scaled(work.monomial((), (), factors), Fraction(1) / coefficient)


def root(work: Algebra, base: Form) -> Form:
    """The square root of a form, where it is not negative."""
    base = collected(base)
    if not base:
        return {}
    coefficient, outside, inside = content(work, base, partial(nonnegative, work.context))
    half = Fraction(1, 2)
    factors: list[tuple[Atom, Number]] = []
    if coefficient < 0:
        inside = scaled(inside if inside is not None else constant(1), -1)
        coefficient = -coefficient
    exact = _exact_root(Fraction(coefficient))
    if exact is None:
        factors.append((atom("base", freeze(constant(coefficient))), half))
    factors += [(one, exponent * half) for one, exponent in outside]
    if inside is not None:
        factors += one_atom(work, inside, half) or [(atom("base", freeze(inside)), half)]
    return scaled(work.monomial((), (), factors), exact if exact is not None else 1)


def one_atom(work: Algebra, form: Form, exponent: Fraction) -> list[tuple[Atom, Number]] | None:
    """The power of a form that is one atom to the power 1 or -1, or to a fractional power."""
    if len(form) != 1:
        return None
    ((monomial, coefficient),) = form.items()
    if coefficient != 1 or monomial.binders or monomial.guards or len(monomial.factors) != 1:
        return None
    one, inner = monomial.factors[0]
    if one.kind in ("pos", "neg", "bool"):
        return None
    if isinstance(inner, int) and inner % 2 == 0 and not nonnegative(work.context, one):
        return None  # (t^2)^(1/2) is |t|
    return [(one, number(inner * exponent))]


def power_of(work: Algebra, form: Form, exponent: Number) -> Form:
    """A form to a power that may be a fraction."""
    if exponent == 1:
        return form
    if isinstance(exponent, int):
        return work.power(form, exponent)
    form = collected(form)
    if not form:
        return {}  # a root of 0, or what is undefined
    single = one_atom(work, form, Fraction(exponent))
    if single is None:
        single = [(atom("base", freeze(form)), exponent)]
    return work.monomial((), (), single)


def exp(work: Algebra, argument: Form) -> Form:
    """e to a form: a logarithm in it becomes a power of what is inside, any other monomial an atom."""
    factors: list[tuple[Atom, Number]] = []
    for monomial, coefficient in canonical(argument).items():
        match monomial.factors:
            case ((one, 1),) if one.kind == "log" and not monomial.binders and not monomial.guards:
                inner = thaw(one.parts[0])
                if coefficient == 1 or coefficient == -1:
                    power = inner if coefficient == 1 else inverse(work, inner)
                    rest = [item for item in canonical(argument).items() if item[0] != monomial]
                    return work.times(power, exp(work, dict(rest)))
                single = one_atom(work, inner, Fraction(coefficient))
                factors += single or [(atom("base", freeze(inner)), coefficient)]
            case _:
                factors.append((atom("exp", monomial), coefficient))
    return work.monomial((), (), factors)


def log(work: Algebra, argument: Form) -> Form:
    """The logarithm of a form: exponentials come out of it."""
    argument = collected(argument)
    if not argument:
        return {}
    coefficient, outside, inside = content(work, argument, partial(nonnegative, work.context))
    out: Form = {}
    left: list[tuple[Atom, Number]] = []
    for one, exponent in outside:
        if one.kind == "exp":
            accumulate(out, apart({one.parts[0]: 1}), exponent)
        else:
            left.append((one, exponent))
    inner = inside if inside is not None else constant(1)
    if coefficient < 0:
        inner, coefficient = scaled(inner, -1), -coefficient
    inner = work.times(inner, work.monomial((), (), left)) if left else inner
    if coefficient != 1:
        accumulate(out, of_atom(atom("log", freeze(constant(coefficient)))))
    if inner != constant(1):
        accumulate(out, of_atom(atom("log", freeze(inner))))
    return out


def opaque(fn: str, forms: list[Form]) -> Form:
    """Any other function as an atom; an odd or even one never of an argument that begins with a minus."""
    frozen = [freeze(f) for f in forms]
    sign = 1
    function = FUNCTIONS[fn]
    if (function.odd or function.even) and frozen[0] and frozen[0][0][1] < 0:
        frozen = [freeze(scaled(forms[0], -1))]
        sign = 1 if function.even else -1
    return scaled(of_atom(atom("fn", fn, tuple(frozen))), sign)


def _exact_root(value: Fraction) -> Fraction | None:
    top, bottom = isqrt(value.numerator), isqrt(value.denominator)
    if top * top == value.numerator and bottom * bottom == value.denominator:
        return Fraction(top, bottom)
    return None
