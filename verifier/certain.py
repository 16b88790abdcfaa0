"""Comparisons of exact and of enclosed scalars: true only where they hold for certain."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any, TypeVar

from gradproof.compiler.denote import Intervals, Irrational, Undecided, Undefined
from gradproof.compiler.surds import Surd

EXACT = Fraction | int | Surd
KINDS = ("rational", "interval", "surd")
T = TypeVar("T")


def differs(a: Any, b: Any) -> bool:
    """Whether two scalars are different for certain."""
    if isinstance(a, EXACT) and isinstance(b, EXACT):
        return a != b
    a, b = _ball(a), _ball(b)
    return not a.overlaps(b)


def above(a: Any, b: Any) -> bool:
    """Whether a > b for certain."""
    if isinstance(a, EXACT) and isinstance(b, EXACT):
        return a > b
    return bool(_ball(a) > _ball(b))


def beyond(value: Any, values: list[Any]) -> bool:
    """Whether the value lies outside of the hull of the values for certain."""
    return all(above(value, v) for v in values) or all(above(v, value) for v in values)


def _ball(value: Any) -> Any:
    if isinstance(value, Surd):
        return sum((_ball(q) * _ball(n).sqrt() for n, q in value.terms), _ball(0))
    return Intervals().num(Fraction(value)) if isinstance(value, Fraction | int) else value


def told(test: Callable[[str], T | None]) -> T | None:
    """What a test finds over the first scalars that can tell; None where none can.

    Rationals come first, then intervals; where those can't tell whether two values are equal, sums of square roots.
    """
    for kind in KINDS:
        try:
            return test(kind)
        except Irrational:
            continue
        except Undecided:
            if kind != "interval":
                return None
        except (Undefined, ZeroDivisionError):
            return None
    return None


def dot(table: Mapping[tuple[int, ...], Any], direction: Mapping[tuple[int, ...], Any]) -> Any:
    """The sum of the products, entry by entry."""
    total: Any = Fraction(0)
    for index, weight in direction.items():
        value = table[index]
        if isinstance(value, EXACT) and isinstance(total, EXACT):
            total = total + value * weight
        else:
            total = _ball(total) + _ball(value) * _ball(weight)
    return total


def hull(values: list[Any]) -> Any:
    """The value that is expected; at a tie its bounds."""
    ordered = sorted(values, key=lambda v: float(v) if isinstance(v, EXACT) else float(v.mid()))
    least, greatest = shown(ordered[0]), shown(ordered[-1])
    return ordered[0] if least == greatest else f"between {least} and {greatest} (a tie: Clarke's bounds)"


def shown(value: Any) -> str:
    """The scalar as text, an interval with its radius."""
    if isinstance(value, str | EXACT):
        return str(value)
    middle, radius = float(value.mid()), float(value.rad())
    return f"{middle:.9g} +- {radius:.1g}" if radius else f"{middle:.9g}"


def shown_jvp(entry: tuple[int, ...], tangents: Mapping[str, Mapping[tuple[int, ...], Any]]) -> str:
    """An entry of the jvp along these tangents, as text."""
    return f"jvp y{list(entry)} ({shown_direction(tangents)})"


def shown_direction(tangents: Mapping[str, Mapping[tuple[int, ...], Any]]) -> str:
    """The tangents that are not 0, as text."""
    return ", ".join(f"{n}{list(k)} = {v}" for n, t in tangents.items() for k, v in t.items() if v) or "0"
