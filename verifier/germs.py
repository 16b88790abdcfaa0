"""Scalars that are germs: what is on a ray p + t u for small t > 0, as a power series in t with fractional exponents.

`denote.evaluate` over them gives what a formula tends to at p and how steeply: sqrt(x^2) along x = t is t. What is kept
is exact up to a remainder O(t^end); a comparison is that of the leading terms, and a germ of which no term is known
decides nothing. Functions are expanded by Taylor's formula from the table's derivatives, inside of their domains.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from math import factorial
from typing import Any

from gradproof.compiler.calculus import derivative
from gradproof.compiler.denote import Env, Intervals, Irrational, Rationals, Undecided, Undefined, evaluate
from gradproof.compiler.functions import FUNCTIONS
from gradproof.compiler.terms import ONE, Call, Read, Term

TERMS = 6  # of a series, at most
AT = "~at"


@dataclass(frozen=True, slots=True)
class Germ:
    """The sum of coefficient * t^exponent, in order; the remainder is O(t^end), or nothing where end is None.

    `number` is the rational number that a constant was given as: 1/3 has no exact enclosure, and may be an exponent.
    """

    terms: tuple[tuple[Fraction, Any], ...]
    end: Fraction | None = None
    number: Fraction | None = None

    def __add__(self, other: Germ) -> Germ:
        return _germ([*self.terms, *other.terms], _least(self.end, other.end))

    def __mul__(self, other: Germ) -> Germ:
        ends = [low + end for low, end in ((self.low, other.end), (other.low, self.end)) if None not in (low, end)]
        return _germ(((p + q, a * b) for p, a in self.terms for q, b in other.terms), _least(*ends))

    def __neg__(self) -> Germ:
        return Germ(tuple((e, -c) for e, c in self.terms), self.end)

    @property
    def low(self) -> Any:
        """An exponent below which there is nothing; None of 0 itself."""
        return self.terms[0][0] if self.terms else self.end

    def at(self, exponent: Fraction) -> Any:
        """A coefficient; Undecided where the series does not reach it."""
        if self.end is not None and exponent >= self.end:
            raise Undecided("too few terms of a germ are known")
        return next((c for e, c in self.terms if e == exponent), Fraction(0))


def _zero(value: Any) -> bool:
    """Whether a coefficient is 0 for certain: of an enclosure, `!= 0` says that it is not."""
    return bool(value == 0)


def _least(*ends: Fraction | None) -> Fraction | None:
    return min((e for e in ends if e is not None), default=None)


def _germ(terms: Any, end: Fraction | None) -> Germ:
    found: dict[Fraction, Any] = {}
    for exponent, c in terms:
        found[exponent] = found[exponent] + c if exponent in found else c
    kept = sorted((e, c) for e, c in found.items() if not _zero(c) and (end is None or e < end)) if found else []
    return Germ(tuple(kept[:TERMS]), kept[TERMS][0] if len(kept) > TERMS else end)


class Germs:
    """The field of germs whose coefficients are rationals or enclosures."""

    def __init__(self, base: Rationals | Intervals) -> None:
        self.base: Any = base

    def num(self, value: Fraction) -> Germ:
        """The constant."""
        return self.ray(value, Fraction(0))

    def ray(self, value: Fraction, slope: Fraction) -> Germ:
        """value + slope * t."""
        terms = tuple((Fraction(k), self.base.num(c)) for k, c in enumerate((value, slope)) if c)
        return Germ(terms, None, None if slope else value)

    def power(self, base: Germ, exponent: int) -> Germ:
        """An integer power."""
        if exponent < 0:
            return self._root(base, Fraction(exponent), "1 / 0")
        found = self.num(Fraction(1))
        for _ in range(exponent):
            found = found * base
        return found

    def call(self, fn: str, args: tuple[Germ, ...]) -> Germ:
        """A function of germs; Undefined outside of its domain for small t > 0."""
        if fn in ("abs", "sign"):
            sign = self.sign(args[0])
            return self.num(Fraction(sign)) if fn == "sign" else args[0] if sign >= 0 else -args[0]
        if fn in ("max", "min"):
            first = self.sign(args[0] + -args[1]) >= 0
            return args[0] if first is (fn == "max") else args[1]
        if fn == "sqrt":
            return self._root(args[0], Fraction(1, 2), "") if self.sign(args[0]) else self.num(Fraction(0))
        if fn == "hypot":
            return self.call("sqrt", (args[0] * args[0] + args[1] * args[1],))
        if fn == "cbrt":
            sign = self.sign(args[0])
            return (
                self._root(args[0] if sign > 0 else -args[0], Fraction(1, 3), "") * self.num(Fraction(sign))
                if sign
                else args[0]
            )
        if fn in ("pow", "pow0", "ipow") and args[1].end is None and all(e == 0 for e, _ in args[1].terms):
            exponent = args[1].number
            if exponent is None:
                raise Undecided("a power whose exponent is computed")
            if exponent.denominator == 1 and (fn == "ipow" or exponent > 0):
                return self.power(args[0], int(exponent))
            if fn == "pow0" and exponent > 0 and self.sign(args[0]) == 0:
                return self.num(Fraction(0))
            return self._root(args[0], exponent, "0 to such a power")
        return self._taylor(fn, args)

    def compare(self, rel: str, a: Germ, b: Germ) -> bool:
        """a rel b for all small t > 0."""
        sign = self.sign(a + -b)
        return sign < 0 if rel == "<" else sign <= 0 if rel == "<=" else sign == 0

    def choose(self, cond: Any, then: Germ, other: Germ) -> Germ:
        """Never needed: every condition is decided, or Undecided is raised."""
        raise Undecided("a condition of germs")

    def sign(self, a: Germ) -> int:
        """The sign for all small t > 0."""
        if not a.terms:
            if a.end is None:
                return 0
            raise Undecided("a germ of which no term is known")
        zero = self.base.num(Fraction(0))
        return -1 if self.base.compare("<", a.terms[0][1], zero) else 1

    def _root(self, a: Germ, exponent: Fraction, why: str) -> Germ:
        """A power by the binomial series; of what is positive, where it is no integer power."""
        sign = self.sign(a)
        if sign == 0 or (sign < 0 and exponent.denominator != 1):
            raise Undefined(why or "a root of what is negative")
        low, lead = a.terms[0]
        inverse = Germ(((-low, self.base.power(lead, -1)),))
        rest = (a + Germ(((low, -lead),), a.end)) * inverse
        found, step, factor = self.num(Fraction(1)), self.num(Fraction(1)), Fraction(1)
        for k in range(1, TERMS):
            step, factor = step * rest, factor * (exponent - k + 1) / k
            found = found + step * self.num(factor)
        if rest.low is not None:
            found = _germ(found.terms, _least(found.end, rest.low * TERMS))
        return found * Germ(((low * exponent, self._number_to(lead, exponent)),))

    def _number_to(self, value: Any, exponent: Fraction) -> Any:
        if exponent.denominator == 1:
            return self.base.power(value, int(exponent))
        if exponent.denominator == 2:
            return self.base.power(self.base.call("sqrt", (value,)), exponent.numerator)
        return self.base.call("pow", (value, self.base.num(exponent)))

    def _taylor(self, fn: str, args: tuple[Germ, ...]) -> Germ:
        moving = [k for k, a in enumerate(args) if a.end is not None or any(e for e, _ in a.terms)]
        if any(a.low is not None and a.low < 0 for a in args):
            raise Undecided(f"{fn} of what grows without bound")
        centre = tuple(a.at(Fraction(0)) for a in args)
        centre = tuple(self.base.num(c) if isinstance(c, Fraction) else c for c in centre)
        if not moving:
            return _germ([(Fraction(0), self.base.call(fn, centre))], None)
        function = FUNCTIONS[fn]
        if len(moving) != 1 or function.jump is not None or function.pieces or function.integers:
            raise Undecided(f"a germ of {fn}, which is not smooth or has several arguments that vary")
        (place,) = moving
        step = args[place] + Germ(((Fraction(0), -centre[place]),)) if centre[place] != 0 else args[place]
        env = Env({}, lambda name, index: centre[int(name[len(AT) :])], _nothing, _nothing)
        found, power = self.num(Fraction(0)), self.num(Fraction(1))
        for k, term in enumerate(_derivatives(fn, len(args), place)):
            try:
                value = evaluate(term, env, self.base)
            except Undefined as error:
                if k == 0:
                    raise
                raise Undecided(f"{fn} at the end of its domain") from error
            found = found + power * _germ([(Fraction(0), value * self.base.num(Fraction(1, factorial(k))))], None)
            power = power * step
        return _germ(found.terms, _least(found.end, power.low))


def _nothing(name: str, index: tuple[int, ...]) -> Any:
    raise Irrational(name)


@lru_cache(maxsize=256)
def _derivatives(fn: str, arity: int, place: int) -> tuple[Term, ...]:
    """The function at arguments ~at0, ~at1, ..., and its derivatives in one of them."""

    def ladder() -> Iterator[Term]:
        term: Term = Call(fn, tuple(Read(f"{AT}{k}", ()) for k in range(arity)))
        for _ in range(TERMS):
            yield term
            term = _along(derivative(term, {f"{AT}{place}": f"{AT}'"}))

    return tuple(ladder())


def _along(term: Term) -> Term:
    from gradproof.verifier.sides import put

    return put(term, {f"{AT}'": ONE})
