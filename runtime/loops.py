"""A loop over any values: forward, forward-mode and reverse, one step at a time; trusts nothing about what they are.

The steps below are all that happens between two rows of a loop's table. They are written for a step number that may be
a symbol, and the verifier proves what they do by running them: the base, the step and the end of each induction. Only
the three `for` statements count the steps; the verifier runs them at small lengths.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

from gradproof.compiler.graph import LoopDef

V = TypeVar("V")
Index: TypeAlias = Any  # an integer; in a proof a symbol to which integers can be added


class Series(Protocol[V]):
    """Values in a row, to be read and written by position."""

    def read(self, at: Index) -> V:
        """The value at a position."""

    def write(self, at: Index, value: V) -> None:
        """Set the value at a position."""

    def zero(self) -> V:
        """The zero of its values."""


class Body(Protocol[V]):
    """One application of a loop's body, and the additions that go with it. Inputs are in the order of the roles."""

    def forward(self, inputs: Sequence[V]) -> Sequence[V]:
        """The results."""

    def jvp(self, inputs: Sequence[V], tangents: Sequence[V]) -> Sequence[V]:
        """The results' tangents, from one for each differentiable input."""

    def vjp(self, inputs: Sequence[V], cotangents: Sequence[V]) -> Sequence[V]:
        """What the results' cotangents pull back to each differentiable input."""

    def add(self, a: V, b: V) -> V:
        """a + b."""

    def accumulate(self, total: V, more: V) -> V:
        """total + more, where nobody else holds `total`."""

    def zero(self, like: V) -> V:
        """A zero that nobody else holds."""


@dataclass(slots=True)
class Pulled(Generic[V]):
    """What the reverse loop carries: the cotangent of each state, and of each fixed input what has gathered on it."""

    states: list[V]
    fixed: dict[str, V]


@dataclass(frozen=True, slots=True)
class Given(Generic[V]):
    """Something for each input of the loop by name: values (initial states, fixed inputs) and sequences."""

    values: dict[str, V]
    sequences: dict[str, Series[V]]


class Loop(Generic[V]):
    """The steps of a loop. A table is one Series for each result of the body, with length + 1 positions."""

    def __init__(self, definition: LoopDef, body: Body[V]) -> None:
        self.body = body
        self.names = [name for name, _ in definition.roles]
        self.moving = [param.name for param in definition.differentiable]
        self.states = {name: k for k, name in enumerate(definition.states)}
        self.gathered = [n for n, role in definition.roles if role == "fixed" and n in self.moving]

    def at(self, given: Given[V], table: Sequence[Series[V]], t: Index, names: Sequence[str]) -> list[V]:
        """What the inputs of these names are at step t."""
        out: list[V] = []
        for name in names:
            if name in self.states:
                out.append(table[self.states[name]].read(t))
            elif name in given.sequences:
                out.append(given.sequences[name].read(t))
            else:
                out.append(given.values[name])
        return out

    def _inputs(self, given: Given[V], table: Sequence[Series[V]], t: Index) -> list[V]:
        return self.at(given, table, t, self.names)

    # Forward: row 0 is the initial state, row t + 1 what the body makes of row t.

    def start(self, given: Given[V], table: Sequence[Series[V]]) -> None:
        """Row 0, of values or of tangents."""
        initial = [given.values[name] for name in self.states]
        for k, series in enumerate(table):
            series.write(0, initial[k] if k < len(initial) else series.zero())

    def step(self, given: Given[V], table: Sequence[Series[V]], t: Index) -> None:
        """Row t + 1."""
        results = self.body.forward(self._inputs(given, table, t))
        for series, result in zip(table, results, strict=True):
            series.write(t + 1, result)

    def forward(self, given: Given[V], table: Sequence[Series[V]], length: int) -> None:
        """Every row of the table."""
        self.start(given, table)
        for t in range(length):
            self.step(given, table, t)

    # Forward mode: the same recurrence, linearised at the rows of the table.

    def step_tangent(
        self,
        given: Given[V],
        table: Sequence[Series[V]],
        moves: Given[V],
        tangents: Sequence[Series[V]],
        t: Index,
    ) -> None:
        """Row t + 1 of the tangents."""
        moved = self.body.jvp(self._inputs(given, table, t), self.at(moves, tangents, t, self.moving))
        for series, tangent in zip(tangents, moved, strict=True):
            series.write(t + 1, tangent)

    def jvp(
        self,
        given: Given[V],
        table: Sequence[Series[V]],
        moves: Given[V],
        tangents: Sequence[Series[V]],
        length: int,
    ) -> None:
        """Every row of the tangents; `moves` has a tangent for each differentiable input."""
        self.start(moves, tangents)
        for t in range(length):
            self.step_tangent(given, table, moves, tangents, t)

    # Reverse: from the cotangents of the last row to those of row 0.

    def start_back(self, given: Given[V], seeds: Sequence[Series[V]], length: Index) -> Pulled[V]:
        """What is carried before the last step is undone."""
        carried = [seeds[k].read(length) for k in self.states.values()]
        return Pulled(carried, {name: self.body.zero(given.values[name]) for name in self.gathered})

    def step_back(
        self,
        given: Given[V],
        table: Sequence[Series[V]],
        seeds: Sequence[Series[V]],
        pulled: Pulled[V],
        grads: dict[str, Series[V]],
        t: Index,
    ) -> None:
        """Undo step t: the cotangents of row t + 1 become those of row t, of step t's slices, and of what is fixed."""
        others = [series.read(t + 1) for series in seeds[len(self.states) :]]
        back = self.body.vjp(self._inputs(given, table, t), [*pulled.states, *others])
        for name, contribution in zip(self.moving, back, strict=True):
            if name in self.states:
                k = self.states[name]
                pulled.states[k] = self.body.add(seeds[k].read(t), contribution)
            elif name in grads:
                grads[name].write(t, contribution)
            else:
                pulled.fixed[name] = self.body.accumulate(pulled.fixed[name], contribution)

    def vjp(
        self,
        given: Given[V],
        table: Sequence[Series[V]],
        seeds: Sequence[Series[V]],
        grads: dict[str, Series[V]],
        length: int,
    ) -> Pulled[V]:
        """The gradients of the initial states and of what is fixed; those of the sequences are written to `grads`."""
        pulled = self.start_back(given, seeds, length)
        for t in reversed(range(length)):
            self.step_back(given, table, seeds, pulled, grads, t)
        return pulled
