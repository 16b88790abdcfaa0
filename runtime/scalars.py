"""The scalars that array programs run on, by name: float64, float32, rational, surd, interval, symbolic."""

from __future__ import annotations

from functools import cache
from typing import TypeAlias

from gradproof.compiler.denote import Intervals, Irrational, Undecided, Undefined, field_of
from gradproof.runtime.exact import Hole, Objects, Terms, connect, symbols
from gradproof.runtime.floats import FLOAT32, FLOAT64, Array, Binding, Floats, ufunc

__all__ = [
    "FLOAT32",
    "FLOAT64",
    "Array",
    "Binding",
    "Floats",
    "Hole",
    "Irrational",
    "Objects",
    "Scalars",
    "Undecided",
    "Undefined",
    "connect",
    "scalars",
    "symbols",
    "ufunc",
]

Scalars: TypeAlias = Floats | Objects


@cache
def scalars(name: str, bits: int = 128) -> Scalars:
    """The scalars called float64, float32, rational, surd, interval (of this precision) or symbolic."""
    match name:
        case "float64":
            return FLOAT64
        case "float32":
            return FLOAT32
        case "rational" | "surd":
            return Objects(name, field_of(name))
        case "interval":
            return Objects(name, Intervals(), bits)
        case "symbolic":
            return Objects(name, Terms())
        case _:
            raise ValueError(f"no scalars are called {name!r}: float64, float32, rational, surd, interval, symbolic")
