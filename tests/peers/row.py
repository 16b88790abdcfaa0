"""A row: one expression of the language, its inputs, and a function of torch tensors that computes the same.

Inputs are text: `x: [A, B]` (real, drawn from -2..2), `p: [A] > 0`, `u: [A] in -1..1`, `i: i64[K] < N` (0 <= i < N),
`c: bool[A]`, `const t: [A]`. What stands behind the type is also assumed in the program. Capital names are dims; each
is drawn from 0, 1, 2, 3, 4, but not below the bound that `dims` gives it ("A >= 1, B >= 2", or "A = 4").
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

INPUT = re.compile(
    r"(?P<const>const )?(?P<name>\w+): (?P<dtype>\w*)\[(?P<shape>[^]]*)\]"
    r"(?: > (?P<above>-?\d+)| in (?P<low>-?[\d.]+)\.\.(?P<high>-?[\d.]+?)(?=,|$)| < (?P<below>\w+))?"
)


@dataclass(frozen=True)
class Input:
    """One input of a row."""

    name: str
    dtype: str
    shape: tuple[str, ...]
    low: float
    high: float
    below: str | None
    const: bool
    assume: str

    @property
    def declaration(self) -> str:
        """The input, as a graph's header has it."""
        return f"{'const ' if self.const else ''}{self.name}: {self.dtype}[{', '.join(self.shape)}]"

    @property
    def real(self) -> bool:
        """Whether gradients flow to it."""
        return self.dtype == "f64" and not self.const


@dataclass(frozen=True)
class Peer:
    """`expression` has the type `result`; `peer` takes the inputs in order. `smooth`: second order is compared too."""

    expression: str
    inputs: str
    result: str
    peer: Callable[..., Any]
    dims: str = ""
    smooth: bool = True

    @property
    def parsed(self) -> tuple[Input, ...]:
        """The inputs."""
        found = []
        for match in INPUT.finditer(self.inputs):
            part = match.groupdict()
            name, dtype = part["name"], part["dtype"] or "f64"
            low, high, assume = -2.0, 2.0, ""
            if part["above"]:
                low = float(part["above"]) + 0.2
                high, assume = low + 2, f"assume {name} > {part['above']}"
            elif part["low"]:
                lo, hi = float(part["low"]), float(part["high"])
                low, high = lo + (hi - lo) / 20, hi - (hi - lo) / 20
                assume = f"assume {part['low']} < {name} < {part['high']}"
            elif part["below"]:
                assume = f"assume 0 <= {name} < {part['below']}"
            shape = tuple(s.strip() for s in part["shape"].split(",") if s.strip())
            found.append(Input(name, dtype, shape, low, high, part["below"], bool(part["const"]), assume))
        return tuple(found)

    @property
    def bounds(self) -> Mapping[str, tuple[int, int]]:
        """The least and the largest value of each dim."""
        names = dict.fromkeys(re.findall(r"\b[A-Z]\w*", f"{self.inputs} {self.dims}"))
        ends = dict.fromkeys(names, (0, 4))
        for name, sign, value in re.findall(r"([A-Z]\w*) (>=|=) (\d+)", self.dims):
            ends[name] = (int(value), max(4, int(value) + 2)) if sign == ">=" else (int(value), int(value))
        return ends

    @property
    def program(self) -> str:
        """The row as a program."""
        dims = [f"{n} = {lo}" if lo == hi else f"{n} >= {lo}" for n, (lo, hi) in self.bounds.items()]
        header = f"dim {', '.join(dims)}\n" if dims else ""
        declared = ", ".join(i.declaration for i in self.parsed)
        assumed = "".join(f"  {i.assume}\n" for i in self.parsed if i.assume)
        return f"{header}graph f({declared}) -> f64{self.result} {{\n{assumed}  return {self.expression}\n}}\n"
