"""A named scalar function as a record, and the conditions that domains are made of. [trusted]

The tables are elementary.py, piecewise.py and special.py; functions.py puts them together.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from gradproof.compiler.dims import Poly
from gradproof.compiler.terms import TRUE, ZERO, Call, Cond, Num, RealCmp, Size, Term, call, either, mul, num, power

Ends = tuple[Fraction | int | None, Fraction | int | None, bool, bool]


@dataclass(frozen=True, slots=True)
class Function:
    """A scalar function of `arity` real arguments.

    `partials` gives the derivative with respect to each argument; where the function has a kink (abs, max, min) it is
    the convention that the derived rules take there. `domain` is where the value is defined. `pieces`, for a function
    that is the maximum or minimum of smooth ones, gives them. `jump` is where the function is discontinuous.
    `ufunc` names a NumPy function, or one of runtime/floats's own where it has a dot.
    `exact` computes on Fractions (None: the value is irrational in general), `interval` on flint's arb.
    `unfold` gives the same value by simpler functions (None: it stays as it is).
    `odd` and `even` say that f(-t) is -f(t) or f(t), `odd` of what the kernel does not unfold alone. `values` bounds
    the value: lowest, highest, and whether each of them is never attained. `signed`: f(t) has the sign of t, and is 0
    only at 0. `integers` are the positions of arguments that are integer expressions, through which nothing varies.
    `symmetric`: the value does not depend on the order of the arguments.
    """

    name: str
    arity: int
    partials: tuple[Callable[..., Term], ...]
    domain: Callable[..., Cond]
    ufunc: str
    interval: Callable[..., Any]
    exact: Callable[..., Fraction] | None = None
    unfold: Callable[..., Term | None] | None = None
    pieces: tuple[Callable[..., Term], ...] = ()
    jump: Callable[..., Cond] | None = None
    doc: str = ""
    odd: bool = False
    even: bool = False
    values: Ends = (None, None, True, True)
    signed: bool = False
    integers: tuple[int, ...] = ()
    symmetric: bool = False


def everywhere(*_: Term) -> Cond:
    """No restriction."""
    return TRUE


def positive(x: Term) -> Cond:
    """x > 0."""
    return RealCmp("<", ZERO, x)


def nonzero(x: Term) -> Cond:
    """x != 0."""
    return either(RealCmp("<", x, ZERO), RealCmp("<", ZERO, x))


TWO, HALF = num(2), num(Fraction(1, 2))


def root(x: Term) -> Term:
    """The square root of x."""
    return call("sqrt", x)


def pi() -> Term:
    """The circle's constant."""
    return Call("pi", ())


def inverse(x: Term) -> Term:
    """1 / x."""
    return power(x, -1)


def half(x: Term) -> Term:
    """x / 2."""
    return mul(HALF, x)


def arb() -> Any:
    """flint's real intervals; imported where they are used."""
    import flint

    return flint.arb


def integer_of(n: Term) -> Poly | None:
    """The integer expression that a term is; None where it may vary otherwise."""
    match n:
        case Size(poly):
            return poly
        case Num(value) if value.denominator == 1:
            return Poly.of(int(value))
        case _:
            return None
