"""Functions with kinks and steps: abs, max, min, sign, floor and what rounds. [trusted]"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from math import ceil, floor, trunc
from typing import Any

from gradproof.compiler.scalar import HALF, Function, arb, everywhere, half
from gradproof.compiler.terms import ONE, ZERO, Cond, Not, RealCmp, Term, add, both, call, indicator, neg, select, sub


def _sign(x: Fraction) -> Fraction:
    return Fraction((x > 0) - (x < 0))


def _floor(x: Fraction) -> Fraction:
    return Fraction(floor(x))


def _max_partial(first: bool, smaller: bool) -> Callable[[Term, Term], Term]:
    def partial(a: Term, b: Term) -> Term:
        # Ties are split evenly, as jax.numpy.maximum and torch.maximum do.
        wins = RealCmp("<", *((a, b) if smaller == first else (b, a)))
        return select(wins, ONE, select(RealCmp("==", a, b), HALF, ZERO))

    return partial


def _no_slope(_: Term) -> Term:
    return ZERO


def _floor_of(x: Term) -> Term:
    return call("floor", x)


def _unfold_round(x: Term) -> Term:
    """floor(x + 1/2), and 1 less where that is odd and x lies halfway."""
    up = _floor_of(add(x, HALF))
    halfway = RealCmp("==", up, add(x, HALF))
    odd = Not(RealCmp("==", half(up), _floor_of(half(up))))
    return sub(up, indicator(both(halfway, odd)))


def _round_interval(x: Any) -> Any:
    up = (x + arb()(0.5)).floor()
    if x.is_exact() and up == x + arb()(0.5) and not (up / 2).is_integer():
        return up - 1
    return up


def _halfway(x: Term) -> Cond:
    return RealCmp("==", add(x, HALF), _floor_of(add(x, HALF)))


def _whole(x: Term) -> Cond:
    return RealCmp("==", x, _floor_of(x))


PIECEWISE = (
    Function(
        "abs",
        1,
        (lambda x: call("sign", x),),
        everywhere,
        "absolute",
        lambda x: abs(x),
        exact=abs,
        unfold=lambda x: select(RealCmp("<", x, ZERO), neg(x), x),
        pieces=(lambda x: x, neg),
        even=True,
        doc="|x|; its derivative at 0 is taken as 0",
    ),
    Function(
        "sign",
        1,
        (_no_slope,),
        everywhere,
        "sign",
        lambda x: x.sgn(),
        exact=_sign,
        unfold=lambda x: sub(indicator(RealCmp("<", ZERO, x)), indicator(RealCmp("<", x, ZERO))),
        jump=lambda x: RealCmp("==", x, ZERO),
        values=(-1, 1, False, False),
        signed=True,
        doc="-1, 0 or 1",
    ),
    Function(
        "floor",
        1,
        (_no_slope,),
        everywhere,
        "floor",
        lambda x: x.floor(),
        exact=_floor,
        jump=_whole,
        doc="the largest integer that is not above x",
    ),
    Function(
        "ceil",
        1,
        (_no_slope,),
        everywhere,
        "ceil",
        lambda x: x.ceil(),
        exact=lambda x: Fraction(ceil(x)),
        unfold=lambda x: neg(_floor_of(neg(x))),
        jump=_whole,
        doc="the smallest integer that is not below x",
    ),
    Function(
        "trunc",
        1,
        (_no_slope,),
        everywhere,
        "trunc",
        lambda x: x.floor() if x > 0 else x.ceil(),
        exact=lambda x: Fraction(trunc(x)),
        unfold=lambda x: select(RealCmp("<", x, ZERO), neg(_floor_of(neg(x))), _floor_of(x)),
        jump=lambda x: both(_whole(x), Not(RealCmp("==", x, ZERO))),
        doc="x without its fraction",
    ),
    Function(
        "round",
        1,
        (_no_slope,),
        everywhere,
        "rint",
        _round_interval,
        exact=lambda x: Fraction(round(x)),
        unfold=_unfold_round,
        jump=_halfway,
        doc="the nearest integer, the even one of two",
    ),
    Function(
        "max",
        2,
        (_max_partial(True, False), _max_partial(False, False)),
        everywhere,
        "maximum",
        lambda a, b: a.max(b),
        exact=max,
        unfold=lambda a, b: select(RealCmp("<", a, b), b, a),
        pieces=(lambda a, b: a, lambda a, b: b),
        symmetric=True,
        doc="the larger; a tie splits its derivative evenly",
    ),
    Function(
        "min",
        2,
        (_max_partial(True, True), _max_partial(False, True)),
        everywhere,
        "minimum",
        lambda a, b: a.min(b),
        exact=min,
        unfold=lambda a, b: select(RealCmp("<", a, b), a, b),
        pieces=(lambda a, b: a, lambda a, b: b),
        symmetric=True,
        doc="the smaller; a tie splits its derivative evenly",
    ),
)
