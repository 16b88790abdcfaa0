"""Exponentials, logarithms, powers, circular and hyperbolic functions and their inverses. [trusted]

Derivatives and domains: NIST DLMF chapter 4, with real arguments and real values.
"""

from __future__ import annotations

from typing import Any

from gradproof.compiler.scalar import (
    TWO,
    Function,
    arb,
    everywhere,
    half,
    integer_of,
    inverse,
    nonzero,
    pi,
    positive,
    root,
)
from gradproof.compiler.terms import (
    FALSE,
    ONE,
    ZERO,
    Cond,
    Num,
    RealCmp,
    Term,
    add,
    both,
    call,
    divide,
    either,
    int_eq,
    int_ge,
    mul,
    neg,
    num,
    power,
    select,
    size,
    sub,
)


def _inside_one(x: Term) -> Cond:
    return both(RealCmp("<=", num(-1), x), RealCmp("<=", x, ONE))


def _log_of(base: int) -> Term:
    return call("log", num(base))


def _one_minus_square(x: Term) -> Term:
    return sub(ONE, power(x, 2))


def _slit_plane(y: Term, x: Term) -> Cond:
    """Everything but the half line y = 0, x <= 0, at which the angle jumps (and is no angle at the origin)."""
    return either(positive(x), nonzero(y))


def _turn(y: Term, x: Term) -> Term:
    return add(power(x, 2), power(y, 2))


_EXPONENTIALS = (
    Function("exp", 1, (lambda x: call("exp", x),), everywhere, "exp", lambda x: x.exp(), doc="e^x"),
    Function(
        "exp2",
        1,
        (lambda x: mul(call("exp2", x), _log_of(2)),),
        everywhere,
        "exp2",
        lambda x: (x * arb()(2).log()).exp(),
        unfold=lambda x: call("exp", mul(x, _log_of(2))),
        values=(0, None, True, True),
        doc="2^x",
    ),
    Function(
        "expm1",
        1,
        (lambda x: call("exp", x),),
        everywhere,
        "expm1",
        lambda x: x.expm1(),
        unfold=lambda x: sub(call("exp", x), ONE),
        values=(-1, None, True, True),
        signed=True,
        doc="e^x - 1",
    ),
    Function("log", 1, (inverse,), positive, "log", lambda x: x.log(), doc="natural logarithm"),
    Function(
        "log1p",
        1,
        (lambda x: inverse(add(ONE, x)),),
        lambda x: positive(add(ONE, x)),
        "log1p",
        lambda x: x.log1p(),
        unfold=lambda x: call("log", add(ONE, x)),
        signed=True,
        doc="log(1 + x)",
    ),
    Function(
        "log2",
        1,
        (lambda x: inverse(mul(x, _log_of(2))),),
        positive,
        "log2",
        lambda x: x.log() / arb()(2).log(),
        unfold=lambda x: divide(call("log", x), _log_of(2)),
        doc="the logarithm with base 2",
    ),
    Function(
        "log10",
        1,
        (lambda x: inverse(mul(x, _log_of(10))),),
        positive,
        "log10",
        lambda x: x.log() / arb()(10).log(),
        unfold=lambda x: divide(call("log", x), _log_of(10)),
        doc="the logarithm with base 10",
    ),
    Function(
        "sqrt",
        1,
        (lambda x: inverse(mul(TWO, root(x))),),
        lambda x: RealCmp("<=", ZERO, x),
        "sqrt",
        lambda x: x.sqrt(),
        doc="the non-negative square root",
    ),
    Function(
        "cbrt",
        1,
        (lambda x: inverse(mul(num(3), power(call("cbrt", x), 2))),),
        everywhere,
        "cbrt",
        lambda x: x.sgn() * abs(x).root(3),
        odd=True,
        signed=True,
        doc="the real cube root",
    ),
    Function(
        "hypot",
        2,
        (lambda a, b: divide(a, call("hypot", a, b)), lambda a, b: divide(b, call("hypot", a, b))),
        everywhere,
        "hypot",
        lambda a, b: (a * a + b * b).sqrt(),
        unfold=lambda a, b: root(add(power(a, 2), power(b, 2))),
        values=(0, None, False, True),
        doc="sqrt(a^2 + b^2)",
    ),
)

_CIRCULAR = (
    Function(
        "sin",
        1,
        (lambda x: call("cos", x),),
        everywhere,
        "sin",
        lambda x: x.sin(),
        odd=True,
        values=(-1, 1, False, False),
        doc="sine",
    ),
    Function(
        "cos",
        1,
        (lambda x: neg(call("sin", x)),),
        everywhere,
        "cos",
        lambda x: x.cos(),
        even=True,
        values=(-1, 1, False, False),
        doc="cosine",
    ),
    Function(
        "tan",
        1,
        (lambda x: power(call("cos", x), -2),),
        lambda x: nonzero(call("cos", x)),
        "tan",
        lambda x: x.tan(),
        unfold=lambda x: divide(call("sin", x), call("cos", x)),
        doc="sin x / cos x",
    ),
    Function(
        "asin",
        1,
        (lambda x: inverse(root(_one_minus_square(x))),),
        _inside_one,
        "arcsin",
        lambda x: x.asin(),
        odd=True,
        signed=True,
        values=(-2, 2, True, True),
        doc="the inverse of sin on -pi/2 .. pi/2",
    ),
    Function(
        "acos",
        1,
        (lambda x: neg(inverse(root(_one_minus_square(x)))),),
        _inside_one,
        "arccos",
        lambda x: x.acos(),
        unfold=lambda x: sub(half(pi()), call("asin", x)),
        values=(0, 4, False, True),
        doc="pi/2 - asin x",
    ),
    Function(
        "atan",
        1,
        (lambda x: inverse(add(ONE, power(x, 2))),),
        everywhere,
        "arctan",
        lambda x: x.atan(),
        odd=True,
        signed=True,
        values=(-2, 2, True, True),
        doc="arctan",
    ),
    Function(
        "atan2",
        2,
        (lambda y, x: divide(x, _turn(y, x)), lambda y, x: neg(divide(y, _turn(y, x)))),
        _slit_plane,
        "arctan2",
        lambda y, x: arb().atan2(y, x),
        values=(-4, 4, True, True),
        doc="the angle of the point (x, y), between -pi and pi; it jumps where y = 0 and x <= 0",
    ),
)

_HYPERBOLIC = (
    Function(
        "sinh",
        1,
        (lambda x: call("cosh", x),),
        everywhere,
        "sinh",
        lambda x: x.sinh(),
        unfold=lambda x: half(sub(call("exp", x), call("exp", neg(x)))),
        signed=True,
        doc="(e^x - e^-x) / 2",
    ),
    Function(
        "cosh",
        1,
        (lambda x: call("sinh", x),),
        everywhere,
        "cosh",
        lambda x: x.cosh(),
        unfold=lambda x: half(add(call("exp", x), call("exp", neg(x)))),
        values=(1, None, False, True),
        doc="(e^x + e^-x) / 2",
    ),
    Function(
        "tanh",
        1,
        (lambda x: sub(ONE, power(call("tanh", x), 2)),),
        everywhere,
        "tanh",
        lambda x: x.tanh(),
        unfold=lambda x: divide(sub(call("exp", mul(TWO, x)), ONE), add(call("exp", mul(TWO, x)), ONE)),
        values=(-1, 1, True, True),
        signed=True,
        doc="(e^2x - 1) / (e^2x + 1)",
    ),
    Function(
        "asinh",
        1,
        (lambda x: inverse(root(add(ONE, power(x, 2)))),),
        everywhere,
        "arcsinh",
        lambda x: x.asinh(),
        unfold=lambda x: call("log", add(x, root(add(ONE, power(x, 2))))),
        signed=True,
        doc="log(x + sqrt(x^2 + 1))",
    ),
    Function(
        "acosh",
        1,
        (lambda x: inverse(root(sub(power(x, 2), ONE))),),
        lambda x: RealCmp("<=", ONE, x),
        "arccosh",
        lambda x: x.acosh(),
        unfold=lambda x: call("log", add(x, root(sub(power(x, 2), ONE)))),
        values=(0, None, False, True),
        doc="log(x + sqrt(x^2 - 1))",
    ),
    Function(
        "atanh",
        1,
        (lambda x: inverse(_one_minus_square(x)),),
        lambda x: both(RealCmp("<", num(-1), x), RealCmp("<", x, ONE)),
        "arctanh",
        lambda x: x.atanh(),
        unfold=lambda x: half(sub(call("log", add(ONE, x)), call("log", sub(ONE, x)))),
        signed=True,
        doc="(log(1 + x) - log(1 - x)) / 2",
    ),
)


def power_real(u: Term, v: Term) -> Term:
    """u^v: an integer power or square root where v is such a constant, otherwise the function `pow`."""
    if isinstance(v, Num):
        if v.value.denominator == 1 and abs(v.value) <= 64:
            return power(u, int(v.value))
        if v.value.denominator == 2 and abs(v.value.numerator) <= 64:
            return mul(power(u, (v.value.numerator - 1) // 2), root(u))
    return call("pow", u, v)


def _pow0_base(u: Term, v: Term) -> Term:
    # v = 1 apart: 0^0 is not in the domain, and the derivative of u is 1.
    return select(RealCmp("==", v, ONE), ONE, mul(v, call("pow0", u, sub(v, ONE))))


def _ipow_domain(u: Term, n: Term) -> Cond:
    poly = integer_of(n)
    return FALSE if poly is None else either(nonzero(u), int_ge(poly, 0))


def _ipow_base(u: Term, n: Term) -> Term:
    poly = integer_of(n)
    if poly is None:
        return inverse(ZERO)
    # n = 0 apart: u^0 is 1 at u = 0 too, where u^-1 is not defined.
    return select(int_eq(poly, 0), ZERO, mul(n, call("ipow", u, size(poly - 1))))


def _ipow_unfold(u: Term, n: Term) -> Term | None:
    return power(u, int(n.value)) if isinstance(n, Num) and n.value.denominator == 1 and abs(n.value) <= 64 else None


def _ipow_interval(u: Any, n: Any) -> Any:
    return u ** int(n.unique_fmpz())


def _never(*_: Term) -> Term:
    return inverse(ZERO)


_POWERS = (
    Function(
        "pow",
        2,
        (lambda u, v: mul(v, power_real(u, sub(v, ONE))), lambda u, v: mul(call("pow", u, v), call("log", u))),
        lambda u, v: positive(u),
        "power",
        lambda u, v: (v * u.log()).exp(),
        unfold=lambda u, v: call("exp", mul(v, call("log", u))),
        values=(0, None, True, True),
        doc="u^v = e^(v log u) for u > 0",
    ),
    Function(
        "pow0",
        2,
        (_pow0_base, lambda u, v: select(positive(u), mul(call("pow", u, v), call("log", u)), ZERO)),
        lambda u, v: either(positive(u), both(RealCmp("==", u, ZERO), positive(v))),
        "power",
        lambda u, v: (v * u.log()).exp() if u > 0 else u,
        unfold=lambda u, v: select(positive(u), call("exp", mul(v, call("log", u))), ZERO),
        values=(0, None, False, True),
        doc="u^v, with 0^v = 0 for v > 0; u^(v - 1) * v at u = 0 needs v >= 1",
    ),
    Function(
        "ipow",
        2,
        (_ipow_base, _never),
        _ipow_domain,
        "power",
        _ipow_interval,
        exact=lambda u, n: u ** int(n),
        unfold=_ipow_unfold,
        integers=(1,),
        doc="u^n for an integer expression n, with u^0 = 1; every u where n >= 0, u != 0 elsewhere",
    ),
)

ELEMENTARY = (*_EXPONENTIALS, *_CIRCULAR, *_HYPERBOLIC, *_POWERS)
