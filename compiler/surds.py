"""Exact sums of square roots, q1*sqrt(n1) + q2*sqrt(n2) + ...: a field in which it is known what is equal. [trusted]

No two of the n have a quotient that is the square of a rational. Then their roots are linearly independent over the
rationals (Besicovitch, On the linear independence of fractional powers of integers, 1940): a sum is 0 only where every
coefficient is. Rigorous intervals tell numbers apart, however close; that two irrational ones are equal they never do.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache, total_ordering
from math import floor, gcd, isqrt, lcm
from typing import Any, TypeAlias

Exact: TypeAlias = "Fraction | Surd"
Terms: TypeAlias = tuple[tuple[int, Fraction], ...]
MOST = 32  # roots in one sum, and in the field that holds it
SMALL = 100  # squares of numbers up to this are taken out of roots


class Irrational(ArithmeticError):
    """These scalars are rationals (or sums of square roots), and the function's value is not."""


def root(value: Exact) -> Exact:
    """The square root of a rational that is not negative; Irrational where the value is none."""
    if isinstance(value, Surd):
        raise Irrational(f"the square root of {value}")
    square, rest = _reduced(value.numerator * value.denominator)
    return _sum([(rest, Fraction(square, value.denominator))])


@lru_cache(maxsize=4096)
def _reduced(n: int) -> tuple[int, int]:
    """(s, r) such that n = s^2 * r, and r is 1 if n is a square."""
    whole = isqrt(n)
    if whole * whole == n:
        return whole, 1
    square = 1
    for k in range(2, SMALL):
        while n % (k * k) == 0:
            n, square = n // (k * k), square * k
    return square, n


def _shared(m: int, n: int) -> int | None:
    """sqrt(m * n) where that is an integer: then sqrt(n) is sqrt(m) times a rational."""
    whole = isqrt(m * n)
    return whole if whole * whole == m * n else None


def _sum(terms: Iterable[tuple[int, Fraction]]) -> Exact:
    """The sum of q * sqrt(n), a Fraction where it is rational; Irrational where it has too many roots."""
    found: dict[int, Fraction] = {}
    for n, q in terms:
        if n not in found:
            for m in found:
                if (whole := _shared(m, n)) is not None:
                    n, q = m, q * whole / m
                    break
        found[n] = found.get(n, Fraction(0)) + q
    kept = tuple(sorted((n, q) for n, q in found.items() if q))
    if len(kept) > MOST:
        raise Irrational(f"a sum of more than {MOST} square roots")
    rational = all(n == 1 for n, _ in kept)
    return sum((q for _, q in kept), Fraction(0)) if rational else Surd(kept)


def _terms(value: Any) -> Terms:
    return value.terms if isinstance(value, Surd) else ((1, Fraction(value)),)


@total_ordering
@dataclass(frozen=True, slots=True, eq=False)
class Surd:
    """The sum of q * sqrt(n) over its terms (n, q); never rational, so never 0. Operators take Fraction and int too."""

    terms: Terms

    def __add__(self, other: Exact | int) -> Exact:
        return _sum((*self.terms, *_terms(other)))

    def __neg__(self) -> Surd:
        return Surd(tuple((n, -q) for n, q in self.terms))

    def __sub__(self, other: Exact | int) -> Exact:
        return self + -other

    def __rsub__(self, other: Exact | int) -> Exact:
        return -self + other

    def __mul__(self, other: Exact | int) -> Exact:
        products = []
        for m, p in self.terms:
            for n, q in _terms(other):
                common = gcd(m, n)
                square, rest = _reduced(m // common * (n // common))
                products.append((rest, p * q * common * square))
        return _sum(products)

    __radd__, __rmul__ = __add__, __mul__

    def __truediv__(self, other: Exact | int) -> Exact:
        return self * Fraction(other) ** -1 if isinstance(other, Fraction | int) else self * other._inverse()

    def __rtruediv__(self, other: Exact | int) -> Exact:
        return self._inverse() * other

    def __pow__(self, exponent: int) -> Exact:
        base: Exact = self._inverse() if exponent < 0 else self
        result: Exact = Fraction(1)
        for _ in range(abs(exponent)):
            result = base * result
        return result

    def _inverse(self) -> Exact:
        """1 / x = x' / (x x'): x' has another sign at the roots of one generator, of which x x' is free."""
        group, smaller = [1], [1]  # the products of some roots (up to squares), and of all of those but the last
        for n, _ in self.terms:
            if all(_shared(m, n) is None for m in group):
                smaller, group = group, [*group, *(m * n // gcd(m, n) ** 2 for m in group)]
        if len(group) > MOST:
            raise Irrational(f"a field of more than {MOST} square roots")
        kept = {n for n, _ in self.terms if any(_shared(m, n) is not None for m in smaller)}
        conjugate = Surd(tuple((n, q if n in kept else -q) for n, q in self.terms))
        return conjugate / (self * conjugate)

    def __floor__(self) -> int:
        scale = lcm(*(q.denominator for _, q in self.terms))
        bits = 64
        while True:  # it ends: the number is irrational, so it is no integer
            low = 0
            for n, q in self.terms:
                size = isqrt(int(q * scale) ** 2 * n << 2 * bits)
                low += size if q > 0 else -size - 1
            below, above = low // (scale << bits), (low + len(self.terms)) // (scale << bits)
            if below == above:
                return below
            bits *= 2

    def __ceil__(self) -> int:
        return floor(self) + 1

    def __trunc__(self) -> int:
        return floor(self) + (self < 0)

    def __round__(self) -> int:
        return floor(self + Fraction(1, 2))

    def __float__(self) -> float:
        return float(Fraction(floor(self * 2**64), 2**64))

    def __abs__(self) -> Surd:
        return -self if self < 0 else self

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Surd) and self - other == 0

    def __hash__(self) -> int:
        return hash(floor(self * 2**32))

    def __lt__(self, other: Exact | int) -> bool:
        return floor(self - other) < 0

    def __str__(self) -> str:
        text = ""
        for n, q in self.terms:
            times = abs(q.numerator)
            size = str(times) if n == 1 else f"sqrt({n})" if times == 1 else f"{times}*sqrt({n})"
            size += f"/{q.denominator}" if q.denominator != 1 else ""
            text += (" - " if q < 0 else " + ") + size
        return text[3:] if text.startswith(" +") else "-" + text[3:]
