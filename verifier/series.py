"""Laurent series of a term round a point: what it tends to where a denominator is 0. Trusted with removable.py.

A term in x, with x = c + t, becomes a_v t^v + a_(v+1) t^(v+1) + ... + O(t^w), whose coefficients are terms in what else
it reads. Sums, products and quotients are those of formal series; a quotient needs a leading coefficient that is shown
not to be 0, for all that it depends on. A function of one varying argument is expanded by Taylor's formula from the
table's derivatives, at a point inside of its domain. So the remainder is O(t^w) in truth, not only formally.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

from gradproof.compiler.calculus import derivative
from gradproof.compiler.functions import FUNCTIONS
from gradproof.compiler.terms import (
    ONE,
    TRUE,
    ZERO,
    Add,
    Call,
    Cond,
    Mul,
    Pow,
    Read,
    Term,
    add,
    both,
    mul,
    neg,
    num,
    power,
)
from gradproof.verifier.sides import Opaque, constant_of, known_value, nonzero, put, reads_any, smooth_where

TERMS = 9  # of a series, at most
_ARGUMENT, _STEP = "~argument", "~argument'"


@dataclass(frozen=True, slots=True)
class Series:
    """coefficients[k] is that of t^(lowest + k); the remainder is O(t^(lowest + len(coefficients)))."""

    lowest: int
    coefficients: tuple[Term, ...]

    @property
    def end(self) -> int:
        """The power of the remainder."""
        return self.lowest + len(self.coefficients)

    def at(self, exponent: int) -> Term:
        """The coefficient of a power; Opaque where the series does not reach it."""
        if exponent >= self.end:
            raise Opaque("too few terms of a series are known")
        return self.coefficients[exponent - self.lowest] if exponent >= self.lowest else ZERO


@dataclass(frozen=True, slots=True)
class Expansion:
    """Series in t of terms in the scalar `variable` = `centre` + t; `ask` proves a condition on the coefficients."""

    variable: str
    centre: Term
    ask: Callable[[Cond], bool]

    def of(self, term: Term) -> Series:
        """The series of a term with no condition on the variable; Opaque where it has none that is known."""
        if not reads_any(term, frozenset((self.variable,))):
            return _constant(term)
        match term:
            case Read():
                return self._series(0, (self.centre, ONE, *[ZERO] * (TERMS - 2)))
            case Add(args):
                return self._sum([self.of(a) for a in args])
            case Mul(args):
                found = _constant(ONE)
                for arg in args:
                    found = self._product(found, self.of(arg))
                return found
            case Pow(base, exponent):
                inner = self.of(base) if exponent > 0 else self._inverse(self.of(base))
                found = inner
                for _ in range(abs(exponent) - 1):
                    found = self._product(found, inner)
                return found
            case Call(fn, args):
                return self._call(fn, args)
            case _:
                raise Opaque("a series of a selection or of a sum over an index")

    def _series(self, lowest: int, coefficients: tuple[Term, ...]) -> Series:
        """The series, its coefficients made simple and leading zeros dropped."""
        tidy = [self._tidy(c) for c in coefficients[:TERMS]]
        while tidy and tidy[0] == ZERO:
            tidy.pop(0)
            lowest += 1
        return Series(lowest, tuple(tidy))

    def _tidy(self, term: Term) -> Term:
        value = constant_of(term)
        return term if value is None else num(value)

    def _sum(self, parts: list[Series]) -> Series:
        lowest, end = min(p.lowest for p in parts), min(p.end for p in parts)
        return self._series(lowest, tuple(add(*(p.at(k) for p in parts)) for k in range(lowest, end)))

    def _product(self, a: Series, b: Series) -> Series:
        count = min(len(a.coefficients), len(b.coefficients))
        found = [add(*(mul(a.coefficients[j], b.coefficients[k - j]) for j in range(k + 1))) for k in range(count)]
        return self._series(a.lowest + b.lowest, tuple(found))

    def _inverse(self, a: Series) -> Series:
        """1 / a: b_0 = 1 / a_0, b_k = -b_0 * sum of a_j b_(k - j) over 0 < j <= k."""
        if not a.coefficients or not self._holds(nonzero(a.coefficients[0])):
            raise Opaque("a denominator whose first coefficient may be 0")
        first = self._tidy(power(a.coefficients[0], -1))
        found = [first]
        for k in range(1, len(a.coefficients)):
            rest = add(*(mul(a.coefficients[j], found[k - j]) for j in range(1, k + 1)))
            found.append(self._tidy(neg(mul(first, rest))))
        return self._series(-a.lowest, tuple(found))

    def _holds(self, cond: Cond) -> bool:
        return cond == TRUE or self.ask(cond)

    def _call(self, fn: str, args: tuple[Term, ...]) -> Series:
        function = FUNCTIONS[fn]
        simpler = function.unfold(*args) if function.unfold is not None else None
        if simpler is not None:
            return self.of(simpler)
        inside = frozenset((self.variable,))
        varying = [k for k, a in enumerate(args) if reads_any(a, inside)]
        if len(varying) != 1 or function.jump is not None or function.pieces:
            raise Opaque(f"a series of {fn} in several arguments, or with a kink")
        (place,) = varying
        argument = self.of(args[place])
        if argument.lowest < 0:
            raise Opaque(f"{fn} of what grows without bound")
        start = argument.at(0)
        here = tuple(start if k == place else a for k, a in enumerate(args))
        if not self._holds(both(*smooth_where(fn, here))):
            raise Opaque(f"{fn} where it may not be smooth")
        step = self._sum([argument, _constant(neg(start))])
        if step.lowest < 1:
            raise Opaque("a series whose first coefficient is not known")
        # f(a + s) = sum of f^(k)(a) s^k / k!
        symbol: Term = Call(fn, tuple(Read(_ARGUMENT, ()) if k == place else a for k, a in enumerate(args)))
        out, reached, factorial = [_constant(self._value(symbol, start))], _constant(ONE), 1
        for k in range(1, TERMS):
            symbol = put(derivative(symbol, {_ARGUMENT: _STEP}), {_STEP: ONE})
            reached, factorial = self._product(reached, step), factorial * k
            if reached.lowest >= TERMS:
                break
            scale = mul(num(Fraction(1, factorial)), self._value(symbol, start))
            out.append(self._product(_constant(scale), reached))
        return self._sum(out)  # what was left out is O(s^TERMS), as is what the first summand leaves out

    def _value(self, symbol: Term, start: Term) -> Term:
        return self._tidy(known_value(put(symbol, {_ARGUMENT: start})))


def _constant(term: Term) -> Series:
    return Series(0, (term, *[ZERO] * (TERMS - 1)))
