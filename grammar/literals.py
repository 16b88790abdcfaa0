"""Number literals: text to an exact value, and back to the canonical text."""

from __future__ import annotations

import re
from fractions import Fraction

DIGITS = 400  # the most significant digits of a number, and the largest size of its decimal exponent

_NUMBER = re.compile(r"([0-9]*)\.?([0-9]*)(?:[eE]([+-]?)([0-9]+))?")


def number_value(text: str) -> Fraction | None:
    """The exact value of a literal; None where it has more than DIGITS digits or too large an exponent.

    >>> number_value("1e-2"), number_value("0.25"), number_value("1e999999999")
    (Fraction(1, 100), Fraction(1, 4), None)
    """
    if len(text) < 16 and text.isdecimal():
        return Fraction(int(text))
    found = _NUMBER.fullmatch(text)
    if found is None or len(text) > 4 * DIGITS:
        return None
    whole, decimals, sign, exponent = found.groups()
    digits = (whole + decimals).lstrip("0")
    if exponent and len(exponent.lstrip("0")) > 5:
        return None
    scale = int(sign + exponent) if exponent else 0
    leading = len(digits) - 1 - len(decimals) + scale  # the exponent in scientific notation
    if digits and (len(digits.rstrip("0")) > DIGITS or abs(leading) > DIGITS):
        return None
    if not digits and abs(scale) > DIGITS:
        return None
    power = scale - len(decimals)
    return Fraction(int(digits or "0")) * Fraction(10) ** power


def number_text(value: Fraction) -> str | None:
    """The canonical literal of a value >= 0: `3`, `0.01`, `1e-5`; None where no finite decimal is equal to it.

    >>> number_text(Fraction(1, 100)), number_text(Fraction(1, 10**5)), number_text(Fraction(1, 3))
    ('0.01', '1e-5', None)
    """
    twos = fives = 0
    rest = value.denominator
    while rest % 2 == 0:
        rest, twos = rest // 2, twos + 1
    while rest % 5 == 0:
        rest, fives = rest // 5, fives + 1
    if rest != 1 or value < 0:
        return None
    places = max(twos, fives)
    digits = str(value.numerator * 10**places // value.denominator)
    significant = digits.rstrip("0") or "0"
    leading = len(digits) - 1 - places
    if not -5 < leading <= 15 or (leading > 5 and len(significant) < 3 and value.denominator == 1):
        tail = f".{significant[1:]}" if len(significant) > 1 else ""
        return f"{significant[0]}{tail}e{leading}"
    if not places:
        return digits
    digits = digits.rjust(places + 1, "0")
    return f"{digits[:-places]}.{digits[-places:]}"
