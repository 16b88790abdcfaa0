"""The error function, the gamma family, the logistic function and the constant pi. [trusted]

Derivatives and domains: NIST DLMF chapters 5 and 7, with real arguments and real values.
"""

from __future__ import annotations

from math import prod
from typing import Any

from gradproof.compiler.scalar import (
    HALF,
    TWO,
    Function,
    arb,
    everywhere,
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


def _bell(x: Term) -> Term:
    """The derivative of erf."""
    return mul(TWO, inverse(root(pi())), call("exp", neg(power(x, 2))))


def _no_pole(x: Term) -> Cond:
    """Everything but 0, -1, -2, ..."""
    return either(positive(x), nonzero(sub(x, call("floor", x))))


def _polygamma(n: Term, x: Term) -> Term:
    poly = integer_of(n)
    return call("polygamma", add(n, ONE) if poly is None else size(poly + 1), x)


def _polygamma_domain(n: Term, x: Term) -> Cond:
    poly = integer_of(n)
    return FALSE if poly is None else both(int_ge(poly, 0), _no_pole(x))


def _polygamma_interval(n: Any, x: Any) -> Any:
    import flint

    return flint.acb(x).polygamma(flint.acb(n)).real


def _bessel_slope(n: Term, x: Term) -> Term:
    """DLMF 10.51.2: (n j_(n-1) - (n+1) j_(n+1)) / (2n+1), which is -j_1 for n = 0."""
    poly = integer_of(n)
    if poly is None:
        return inverse(ZERO)
    below, above = (call("spherical_jn", size(poly + k), x) for k in (-1, 1))
    slope = sub(mul(size(poly), below), mul(size(poly + 1), above))
    return select(int_eq(poly, 0), neg(call("spherical_jn", ONE, x)), divide(slope, size(2 * poly + 1)))


def _bessel_domain(n: Term, _: Term) -> Cond:
    poly = integer_of(n)
    return FALSE if poly is None else int_ge(poly, 0)


def _bessel_interval(n: Any, x: Any) -> Any:
    """x^n / (2n+1)!! * 0F1(n + 3/2, -x^2/4), which is entire: DLMF 10.53.1."""
    order = int(n.unique_fmpz())
    return x**order / prod(range(1, 2 * order + 2, 2)) * (-(x * x) / 4).hypgeom_0f1(arb()(order) + 1.5)


def _denominator(x: Term) -> Term:
    return add(ONE, call("exp", neg(x)))


SPECIAL = (
    Function(
        "pi", 0, (), everywhere, "own.pi", lambda: arb().pi(), values=(3, 4, True, True), doc="the circle's constant"
    ),
    Function(
        "erf",
        1,
        (_bell,),
        everywhere,
        "own.erf",
        lambda x: x.erf(),
        odd=True,
        signed=True,
        values=(-1, 1, True, True),
        doc="2/sqrt(pi) * integral of e^(-t^2) from 0 to x",
    ),
    Function(
        "erfc",
        1,
        (lambda x: neg(_bell(x)),),
        everywhere,
        "own.erfc",
        lambda x: x.erfc(),
        unfold=lambda x: sub(ONE, call("erf", x)),
        values=(0, 2, True, True),
        doc="1 - erf x",
    ),
    Function(
        "erfinv",
        1,
        (lambda x: mul(HALF, root(pi()), call("exp", power(call("erfinv", x), 2))),),
        lambda x: both(RealCmp("<", num(-1), x), RealCmp("<", x, ONE)),
        "own.erfinv",
        lambda x: x.erfinv(),
        odd=True,
        signed=True,
        doc="the inverse of erf",
    ),
    Function(
        "lgamma",
        1,
        (lambda x: call("digamma", x),),
        _no_pole,
        "own.lgamma",
        lambda x: x.lgamma() if x > 0 else abs(x.gamma()).log(),
        doc="log |Gamma(x)|",
    ),
    Function(
        "digamma",
        1,
        (lambda x: call("polygamma", ONE, x),),
        _no_pole,
        "own.digamma",
        lambda x: x.digamma(),
        doc="the derivative of lgamma",
    ),
    Function(
        "polygamma",
        2,
        (lambda *_: inverse(ZERO), _polygamma),
        _polygamma_domain,
        "own.polygamma",
        _polygamma_interval,
        unfold=lambda n, x: call("digamma", x) if n == ZERO else None,
        integers=(0,),
        doc="the n-th derivative of digamma x",
    ),
    Function(
        "spherical_jn",
        2,
        (lambda *_: inverse(ZERO), _bessel_slope),
        _bessel_domain,
        "own.spherical_jn",
        _bessel_interval,
        values=(-1, 1, False, False),
        integers=(0,),
        doc="the spherical Bessel function of order n; sin(x) / x for n = 0, and 1 at 0",
    ),
    Function(
        "sigmoid",
        1,
        (lambda x: mul(call("sigmoid", x), call("sigmoid", neg(x))),),
        everywhere,
        "own.sigmoid",
        lambda x: 1 / (1 + (-x).exp()),
        unfold=lambda x: inverse(_denominator(x)),
        values=(0, 1, True, True),
        doc="1 / (1 + e^-x)",
    ),
)
