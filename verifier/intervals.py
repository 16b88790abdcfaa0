"""Intervals of reals with open or closed ends, rational or infinite, and their arithmetic. [trusted]"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True, slots=True)
class Interval:
    """low .. high; None is infinite; an end is excluded where its `open` flag is set."""

    low: Fraction | None = None
    high: Fraction | None = None
    low_open: bool = True
    high_open: bool = True

    @property
    def positive(self) -> bool:
        """Above 0 throughout."""
        return self.low is not None and (self.low > 0 or (self.low == 0 and self.low_open))

    @property
    def negative(self) -> bool:
        """Below 0 throughout."""
        return self.high is not None and (self.high < 0 or (self.high == 0 and self.high_open))

    @property
    def nonnegative(self) -> bool:
        """At least 0 throughout."""
        return self.low is not None and self.low >= 0

    @property
    def nonzero(self) -> bool:
        """Never 0."""
        return self.positive or self.negative

    @property
    def empty(self) -> bool:
        """Without a number."""
        if self.low is None or self.high is None:
            return False
        return self.low > self.high or (self.low == self.high and (self.low_open or self.high_open))

    def meet(self, other: Interval) -> Interval:
        """The intersection."""
        low, low_open = self.low, self.low_open
        if other.low is not None and (low is None or other.low > low or (other.low == low and other.low_open)):
            low, low_open = other.low, other.low_open
        high, high_open = self.high, self.high_open
        if other.high is not None and (high is None or other.high < high or (other.high == high and other.high_open)):
            high, high_open = other.high, other.high_open
        return Interval(low, high, low_open, high_open)

    def join(self, other: Interval) -> Interval:
        """The hull of both."""
        flipped = _hull_low(self, other)
        turned = _hull_low(-self, -other)
        return Interval(flipped[0], None if turned[0] is None else -turned[0], flipped[1], turned[1])

    def __neg__(self) -> Interval:
        return Interval(
            None if self.high is None else -self.high,
            None if self.low is None else -self.low,
            self.high_open,
            self.low_open,
        )

    def __add__(self, other: Interval) -> Interval:
        low = None if self.low is None or other.low is None else self.low + other.low
        high = None if self.high is None or other.high is None else self.high + other.high
        return Interval(low, high, self.low_open or other.low_open, self.high_open or other.high_open)

    def __mul__(self, other: Interval) -> Interval:
        # An interval without a number in it (facts that exclude each other) may be taken for any other.
        if any(side.nonnegative and (-side).nonnegative for side in (self, other)):
            return NOUGHT
        if self.nonnegative and other.nonnegative:
            return _times(self, other)
        for side, factor in ((self, other), (other, self)):
            if side.low is not None and side.low == side.high and side.low > 0:
                low, high = (None if end is None else end * side.low for end in (factor.low, factor.high))
                return Interval(low, high, factor.low_open, factor.high_open)
        if (-self).nonnegative:
            return -((-self) * other)
        if (-other).nonnegative:
            return -(self * (-other))
        ends = [self.low, self.high, other.low, other.high]
        if any(e is None for e in ends):
            return ANY
        corners = [a * b for a in (self.low, self.high) for b in (other.low, other.high)]  # type: ignore[operator]
        return Interval(min(corners), max(corners), False, False)


def _hull_low(a: Interval, b: Interval) -> tuple[Fraction | None, bool]:
    if a.low is None or b.low is None:
        return None, True
    if a.low == b.low:
        return a.low, a.low_open and b.low_open
    return (a.low, a.low_open) if a.low < b.low else (b.low, b.low_open)


def _times(a: Interval, b: Interval) -> Interval:
    """Both at least 0."""
    low = (a.low or Fraction(0)) * (b.low or Fraction(0))
    # A product is above the product of the lower ends if one factor is above its end and neither can be 0.
    low_open = (a.positive and b.positive and (a.low_open or b.low_open)) if low >= 0 else False
    if low == 0 and not (a.positive and b.positive):
        low_open = False
    if a.high is None or b.high is None:
        return Interval(low, None, low_open, True)
    high = a.high * b.high
    return Interval(low, high, low_open, (a.high_open or b.high_open) if high else False)


ANY = Interval()
NOUGHT = Interval(Fraction(0), Fraction(0), False, False)
POSITIVE = Interval(Fraction(0), None, True, True)
NONNEGATIVE = Interval(Fraction(0), None, False, True)


def point(value: Fraction) -> Interval:
    """The interval that is one number."""
    return Interval(value, value, False, False)


def positive_power(inside: Interval, exponent: int) -> Interval:
    """The powers of the numbers in an interval, for an exponent of at least 1."""
    if exponent == 1:
        return inside
    if exponent % 2 == 0:
        inside = absolute(inside)
    out = inside
    if inside.nonnegative:
        for _ in range(exponent - 1):
            out = _times(out, inside)
        return out
    if (-inside).nonnegative and exponent % 2:
        return -positive_power(-inside, exponent)
    return ANY


def absolute(inside: Interval) -> Interval:
    """The absolute values."""
    if inside.nonnegative:
        return inside
    if (-inside).nonnegative:
        return -inside
    high, high_open = None, True
    if inside.low is not None and inside.high is not None:
        high = max(-inside.low, inside.high)
        high_open = (inside.low_open or -inside.low != high) and (inside.high_open or inside.high != high)
    return Interval(Fraction(0), high, False, high_open)


def maximum(a: Interval, b: Interval) -> Interval:
    """The larger of a number from each."""
    low, low_open = a.low, a.low_open
    if low is None or (b.low is not None and (b.low > low or (b.low == low and b.low_open))):
        low, low_open = b.low, b.low_open
    if a.high is None or b.high is None:
        return Interval(low, None, low_open, True)
    high = max(a.high, b.high)
    closed = (a.high == high and not a.high_open) or (b.high == high and not b.high_open)
    return Interval(low, high, low_open, not closed)


def same_sign(inside: Interval) -> Interval:
    """What has the sign of a number in the interval, and is 0 only where that is."""
    out = ANY
    if inside.nonnegative:
        out = POSITIVE if inside.positive else NONNEGATIVE
    if (-inside).nonnegative:
        out = out.meet(-(POSITIVE if inside.negative else NONNEGATIVE))
    return out


def within(inside: Interval, bound: Fraction) -> bool:
    """Whether the interval lies between -bound and bound."""
    return inside.low is not None and inside.high is not None and -bound <= inside.low and inside.high <= bound
