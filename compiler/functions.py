"""The named scalar functions: value, domain, derivative and definition of each. [trusted]

All that is known of `exp`, `log`, ... is in this one table: the partial derivatives (NIST DLMF chapters 4 and 7), the
set where the value is defined, how the kernel unfolds it into simpler functions, how exact rationals and rigorous
intervals compute it, and the NumPy ufunc that runs it. A function with no `unfold` is opaque to the kernel, except for
the laws of exp, log and rational powers that normal.py states.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from gradproof.compiler.terms import (
    ONE,
    TRUE,
    ZERO,
    Call,
    Cond,
    Num,
    RealCmp,
    Term,
    add,
    both,
    call,
    divide,
    either,
    indicator,
    mul,
    neg,
    num,
    power,
    select,
    sub,
)


@dataclass(frozen=True, slots=True)
class Function:
    """A scalar function of `arity` real arguments.

    `partials` gives the derivative with respect to each argument; where the function has a kink (abs, max, min) it is
    the convention that the derived rules take there. `domain` is where the value is defined. `pieces`, for a function
    that is the maximum or minimum of smooth ones, gives them. `jump` is where the function is discontinuous.
    `ufunc` names a NumPy function, or one of runtime/executor's own where it has a dot.
    `exact` computes on Fractions (None: the value is irrational in general), `interval` on flint's arb.
    """

    name: str
    arity: int
    partials: tuple[Callable[..., Term], ...]
    domain: Callable[..., Cond]
    ufunc: str
    interval: Callable[..., Any]
    exact: Callable[..., Fraction] | None = None
    unfold: Callable[..., Term] | None = None
    pieces: tuple[Callable[..., Term], ...] = ()
    jump: Callable[..., Cond] | None = None
    doc: str = ""


def _everywhere(*_: Term) -> Cond:
    return TRUE


def positive(x: Term) -> Cond:
    """x > 0."""
    return RealCmp("<", ZERO, x)


def nonzero(x: Term) -> Cond:
    """x != 0."""
    return either(RealCmp("<", x, ZERO), RealCmp("<", ZERO, x))


_TWO, _HALF = num(2), num(Fraction(1, 2))


def _pow_first(u: Term, v: Term) -> Term:
    return mul(v, power_real(u, sub(v, ONE)))


def power_real(u: Term, v: Term) -> Term:
    """u^v: an integer power or square root where v is such a constant, otherwise the function `pow`."""
    if isinstance(v, Num):
        if v.value.denominator == 1 and abs(v.value) <= 64:
            return power(u, int(v.value))
        if v.value.denominator == 2 and abs(v.value.numerator) <= 64:
            return mul(power(u, (v.value.numerator - 1) // 2), call("sqrt", u))
    return call("pow", u, v)


def _exact_sign(x: Fraction) -> Fraction:
    return Fraction((x > 0) - (x < 0))


def _exact_floor(x: Fraction) -> Fraction:
    return Fraction(x.numerator // x.denominator)


def _max_partial(first: bool, smaller: bool) -> Callable[[Term, Term], Term]:
    def partial(a: Term, b: Term) -> Term:
        # Ties are split evenly, as jax.numpy.maximum and torch.maximum do.
        wins = RealCmp("<", *((a, b) if smaller == first else (b, a)))
        return select(wins, ONE, select(RealCmp("==", a, b), _HALF, ZERO))

    return partial


def _arb_sign(x: Any) -> Any:
    return x.sgn()


_TABLE = (
    Function("exp", 1, (lambda x: call("exp", x),), _everywhere, "exp", lambda x: x.exp(), doc="e^x"),
    Function(
        "expm1",
        1,
        (lambda x: call("exp", x),),
        _everywhere,
        "expm1",
        lambda x: x.expm1(),
        unfold=lambda x: sub(call("exp", x), ONE),
        doc="e^x - 1",
    ),
    Function("log", 1, (lambda x: power(x, -1),), positive, "log", lambda x: x.log(), doc="natural logarithm"),
    Function(
        "log1p",
        1,
        (lambda x: power(add(ONE, x), -1),),
        lambda x: positive(add(ONE, x)),
        "log1p",
        lambda x: x.log1p(),
        unfold=lambda x: call("log", add(ONE, x)),
        doc="log(1 + x)",
    ),
    Function(
        "sqrt",
        1,
        (lambda x: power(mul(_TWO, call("sqrt", x)), -1),),
        lambda x: RealCmp("<=", ZERO, x),
        "sqrt",
        lambda x: x.sqrt(),
        doc="the non-negative square root",
    ),
    Function("sin", 1, (lambda x: call("cos", x),), _everywhere, "sin", lambda x: x.sin(), doc="sine"),
    Function("cos", 1, (lambda x: neg(call("sin", x)),), _everywhere, "cos", lambda x: x.cos(), doc="cosine"),
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
        "sinh",
        1,
        (lambda x: call("cosh", x),),
        _everywhere,
        "sinh",
        lambda x: x.sinh(),
        unfold=lambda x: mul(_HALF, sub(call("exp", x), call("exp", neg(x)))),
        doc="(e^x - e^-x) / 2",
    ),
    Function(
        "cosh",
        1,
        (lambda x: call("sinh", x),),
        _everywhere,
        "cosh",
        lambda x: x.cosh(),
        unfold=lambda x: mul(_HALF, add(call("exp", x), call("exp", neg(x)))),
        doc="(e^x + e^-x) / 2",
    ),
    Function(
        "tanh",
        1,
        (lambda x: sub(ONE, power(call("tanh", x), 2)),),
        _everywhere,
        "tanh",
        lambda x: x.tanh(),
        unfold=lambda x: divide(sub(call("exp", mul(_TWO, x)), ONE), add(call("exp", mul(_TWO, x)), ONE)),
        doc="(e^2x - 1) / (e^2x + 1)",
    ),
    Function(
        "atan",
        1,
        (lambda x: power(add(ONE, power(x, 2)), -1),),
        _everywhere,
        "arctan",
        lambda x: x.atan(),
        doc="arctan",
    ),
    Function(
        "erf",
        1,
        (lambda x: mul(_TWO, power(call("sqrt", call("pi")), -1), call("exp", neg(power(x, 2)))),),
        _everywhere,
        "own.erf",
        lambda x: x.erf(),
        doc="2/sqrt(pi) * integral of e^(-t^2) from 0 to x",
    ),
    Function("pi", 0, (), _everywhere, "own.pi", lambda: _arb().pi(), doc="the circle's constant"),
    Function(
        "abs",
        1,
        (lambda x: call("sign", x),),
        _everywhere,
        "absolute",
        lambda x: abs(x),
        exact=abs,
        unfold=lambda x: select(RealCmp("<", x, ZERO), neg(x), x),
        pieces=(lambda x: x, neg),
        doc="|x|; its derivative at 0 is taken as 0",
    ),
    Function(
        "sign",
        1,
        (lambda _: ZERO,),
        _everywhere,
        "sign",
        _arb_sign,
        exact=_exact_sign,
        unfold=lambda x: sub(indicator(RealCmp("<", ZERO, x)), indicator(RealCmp("<", x, ZERO))),
        jump=lambda x: RealCmp("==", x, ZERO),
        doc="-1, 0 or 1",
    ),
    Function(
        "floor",
        1,
        (lambda _: ZERO,),
        _everywhere,
        "floor",
        lambda x: x.floor(),
        exact=_exact_floor,
        jump=lambda x: RealCmp("==", x, call("floor", x)),
        doc="the largest integer that is not above x",
    ),
    Function(
        "max",
        2,
        (_max_partial(True, False), _max_partial(False, False)),
        _everywhere,
        "maximum",
        lambda a, b: a.max(b),
        exact=max,
        unfold=lambda a, b: select(RealCmp("<", a, b), b, a),
        pieces=(lambda a, b: a, lambda a, b: b),
        doc="the larger; a tie splits its derivative evenly",
    ),
    Function(
        "min",
        2,
        (_max_partial(True, True), _max_partial(False, True)),
        _everywhere,
        "minimum",
        lambda a, b: a.min(b),
        exact=min,
        unfold=lambda a, b: select(RealCmp("<", a, b), a, b),
        pieces=(lambda a, b: a, lambda a, b: b),
        doc="the smaller; a tie splits its derivative evenly",
    ),
    Function(
        "pow",
        2,
        (_pow_first, lambda u, v: mul(call("pow", u, v), call("log", u))),
        lambda u, v: positive(u),
        "power",
        lambda u, v: (v * u.log()).exp(),
        unfold=lambda u, v: call("exp", mul(v, call("log", u))),
        doc="u^v = e^(v log u) for u > 0",
    ),
)


def _sigmoid() -> Function:
    def denominator(x: Term) -> Term:
        return add(ONE, call("exp", neg(x)))

    return Function(
        "sigmoid",
        1,
        (lambda x: mul(call("sigmoid", x), call("sigmoid", neg(x))),),
        _everywhere,
        "own.sigmoid",
        lambda x: 1 / (1 + (-x).exp()),
        unfold=lambda x: power(denominator(x), -1),
        doc="1 / (1 + e^-x)",
    )


def _arb() -> Any:
    import flint

    return flint.arb


FUNCTIONS: dict[str, Function] = {f.name: f for f in (*_TABLE, _sigmoid())}


def value_domain(term: Call) -> Cond:
    """Where this call's value is defined, its arguments being so."""
    return both(FUNCTIONS[term.fn].domain(*term.args))
