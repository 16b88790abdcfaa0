"""Loops on arrays: the columns of a table as views, and the body run by its tape (any scalars) or its plan (floats)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, Protocol, TypeAlias

import numpy as np
from gradproof.compiler.graph import Column, Graph, LoopDef
from gradproof.compiler.plan import Mode
from gradproof.runtime.floats import Array
from gradproof.runtime.loops import Body, Given, Loop, Series
from gradproof.runtime.tape import Semantics, Tape

_MODES: dict[str, Mode] = {"value": "forward", "jvp": "jvp", "vjp": "vjp"}


class Bound(Protocol):
    """A plan at concrete dims: inputs are copied into its buffers (None: never read), results read in its views."""

    inputs: list[tuple[str, Array | None]]
    calls: list[Callable[[], Any]]
    views: list[Array]


Bodies: TypeAlias = Callable[[Graph, Mode], Bound]  # what a loop's body runs through


@dataclass(frozen=True, slots=True)
class Rows:
    """The entries of an array along its first axis."""

    array: Array
    blank: Array

    def read(self, at: int) -> Array:
        """A view of one entry."""
        found: Array = self.array[at, ...]
        return found

    def write(self, at: int, value: Array) -> None:
        """Copy a value into one entry."""
        self.array[at, ...] = value

    def zero(self) -> Array:
        """The zero of an entry."""
        return self.blank


@dataclass(frozen=True, slots=True)
class Layout:
    """A loop at concrete dims: how tables and bundles of gradients are cut into views. `zeros` makes an array."""

    loop: LoopDef
    dims: Mapping[str, int]
    zeros: Callable[[tuple[int, ...]], Array]

    @property
    def length(self) -> int:
        """How many steps there are."""
        return self.loop.length.evaluate(self.dims)

    @property
    def table_shape(self) -> tuple[int, ...]:
        """[length + 1, width]."""
        return tuple(axis.extent.evaluate(self.dims) for axis in self.loop.output.axes)

    def shape(self, column: Column) -> tuple[int, ...]:
        """A column's own shape."""
        return tuple(extent.evaluate(self.dims) for extent in column.shape)

    def columns(self, table: Array) -> list[Series[Array]]:
        """One series for each result of the body: views of the table."""
        out: list[Series[Array]] = []
        for column in self.loop.columns:
            shape, start = self.shape(column), column.offset.evaluate(self.dims)
            part = table[:, start : start + prod(shape)]
            out.append(self._rows(_view(part, (len(table), *shape))))
        return out

    def given(self, arrays: Mapping[str, Array]) -> Given[Array]:
        """The loop's inputs, or their tangents, by role; sequences in the order in which they are walked."""
        values: dict[str, Array] = {}
        sequences: dict[str, Series[Array]] = {}
        for name, role in self.loop.roles:
            if name in arrays and role == "sequence":
                sequences[name] = self._rows(self._walked(arrays[name]))
            elif name in arrays:
                values[name] = arrays[name]
        return Given(values, sequences)

    def gradients(self, bundle: Array) -> dict[str, Array]:
        """The part of a flat bundle that holds each differentiable input's gradient, as views."""
        out: dict[str, Array] = {}
        for param, column in zip(self.loop.differentiable, self.loop.gradients, strict=True):
            shape, start = self.shape(column), column.offset.evaluate(self.dims)
            out[param.name] = _view(bundle[start : start + prod(shape)], shape)
        return out

    @property
    def bundle_size(self) -> int:
        """The entries of all gradients together."""
        return sum(prod(self.shape(column)) for column in self.loop.gradients)

    def _walked(self, array: Array) -> Array:
        return array[::-1] if self.loop.reverse else array

    def _rows(self, array: Array) -> Rows:
        return Rows(array, self.zeros(array.shape[1:]) if array.dtype.kind in "fO" else array[:0])

    # The three things that a loop's node does.

    def value(self, body: Body[Array], arrays: Mapping[str, Array], table: Array) -> None:
        """Fill the table."""
        Loop(self.loop, body).forward(self.given(arrays), self.columns(table), self.length)

    def jvp(
        self,
        body: Body[Array],
        arrays: Mapping[str, Array],
        table: Array,
        moves: Mapping[str, Array],
        tangents: Array,
    ) -> None:
        """Fill the table of tangents."""
        given, moved = self.given(arrays), self.given(moves)
        Loop(self.loop, body).jvp(given, self.columns(table), moved, self.columns(tangents), self.length)

    def vjp(
        self, body: Body[Array], arrays: Mapping[str, Array], table: Array, cotangent: Array, bundle: Array
    ) -> None:
        """Fill the bundle of gradients."""
        parts, roles = self.gradients(bundle), dict(self.loop.roles)
        grads: dict[str, Series[Array]] = {
            name: self._rows(self._walked(part)) for name, part in parts.items() if roles[name] == "sequence"
        }
        seeds = self.columns(cotangent)
        pulled = Loop(self.loop, body).vjp(self.given(arrays), self.columns(table), seeds, grads, self.length)
        for name, state in zip(self.loop.states, pulled.states, strict=True):
            parts[name][...] = state
        for name, total in pulled.fixed.items():
            parts[name][...] = total


def _view(array: Array, shape: tuple[int, ...]) -> Array:
    found = array.reshape(shape)
    if found.size and not np.may_share_memory(found, array):
        raise ValueError("a part of a loop's table is no view of it: please report this")
    return found


class TapeBody:
    """The body run by its tape, over any values."""

    def __init__(self, loop: LoopDef, semantics: Semantics[Any], dims: Mapping[str, int]) -> None:
        self.loop, self.semantics, self.dims = loop, semantics, dims
        self.tape: Tape[Any] = Tape.of(loop.body, semantics)
        self._names = [name for name, _ in loop.roles]
        self._leaves = {node.name: node.id for node in loop.body.gamma}
        self._moving = [param.name for param in loop.differentiable]

    def _table(self, inputs: Sequence[Any]) -> Any:
        named = dict(zip(self._names, inputs, strict=True))
        delta = {d.name: named[d.name] for d in self.loop.body.delta}
        return self.tape.denote_all([named[n.name] for n in self.loop.body.gamma], delta, self.dims)

    def forward(self, inputs: Sequence[Any]) -> list[Any]:
        """The results."""
        values = self._table(inputs)
        return [values.nodes[id_] for id_ in self.loop.body.outputs]

    def jvp(self, inputs: Sequence[Any], tangents: Sequence[Any]) -> list[Any]:
        """The results' tangents."""
        named = dict(zip(self._moving, tangents, strict=True))
        found = self.tape.jvp_all(self._table(inputs), [named[n.name] for n in self.loop.body.gamma])
        return [found[id_] for id_ in self.loop.body.outputs]

    def vjp(self, inputs: Sequence[Any], cotangents: Sequence[Any]) -> list[Any]:
        """What is pulled back to each differentiable input."""
        values = self._table(inputs)
        seeds = self.tape.seed_context(values, zip(self.loop.body.outputs, cotangents, strict=True))
        grads = self.tape.backward_dense_from(values, seeds)
        return [grads[self._leaves[name]] for name in self._moving]

    def add(self, a: Any, b: Any) -> Any:
        """a + b."""
        return self.semantics.add(a, b)

    accumulate = add

    def zero(self, like: Any) -> Any:
        """The zero of a value."""
        return self.semantics.zero(like)


class LoopNode:
    """What a tape does at a node that is a loop; arguments are in the order of the roles."""

    def __init__(self, layout: Layout, body: Body[Array]) -> None:
        self.layout, self.body, self.loop = layout, body, layout.loop
        self._pulled: tuple[int, Array, Array, dict[str, Array]] | None = None

    def value(self, args: Sequence[Array]) -> Array:
        """The table."""
        table = self.layout.zeros(self.layout.table_shape)
        self.layout.value(self.body, self._named(args), table)
        return table

    def jvp(self, args: Sequence[Array], table: Array, tangents: Sequence[Array | None]) -> Array:
        """The table's tangent."""
        params = zip(self.loop.params, tangents, strict=True)
        moves = {p.name: t for p, t in params if p.differentiable and t is not None}
        moved = self.layout.zeros(self.layout.table_shape)
        self.layout.jvp(self.body, self._named(args), table, moves, moved)
        return moved

    def vjp(self, position: int, args: Sequence[Array], table: Array, cotangent: Array) -> Array:
        """The gradient of one argument. All come from one run, which is kept for the arguments behind this one."""
        kept = self._pulled
        if kept is None or position <= kept[0] or kept[1] is not table or kept[2] is not cotangent:
            bundle = self.layout.zeros((self.layout.bundle_size,))
            self.layout.vjp(self.body, self._named(args), table, cotangent, bundle)
            found = self.layout.gradients(bundle)
        else:
            found = kept[3]
        self._pulled = position, table, cotangent, found
        return found[self.loop.params[position].name].copy()

    def _named(self, args: Sequence[Array]) -> dict[str, Array]:
        return {name: value for (name, _), value in zip(self.loop.roles, args, strict=True)}


class PlanBody:
    """The body run by its plan, bound once: what is fixed is handed in when a loop starts, the rest at each step."""

    def __init__(self, loop: LoopDef, what: str, bodies: Bodies) -> None:
        bound = bodies(loop.body, _MODES[what])
        buffers = [buffer for _, buffer in bound.inputs]
        body, count = loop.body, len(loop.body.outputs)
        places = {n.name: buffer for n, buffer in zip(body.gamma, buffers, strict=False)}
        places |= {d.name: buffer for d, buffer in zip(body.delta, buffers[len(body.gamma) :], strict=False)}
        self._inputs = [(places[name], role == "fixed") for name, role in loop.roles]
        more = buffers[len(body.gamma) + len(body.delta) :]
        moving = [n.name for n in body.gamma]
        self._cotangents = more if what == "vjp" else []
        self._tangents = [more[moving.index(p.name)] for p in loop.differentiable] if what == "jvp" else []
        views, self._calls = bound.views, bound.calls
        self._results = views[:count]
        self._moved = views[count:]
        self._back = [views[count + moving.index(p.name)] for p in loop.differentiable] if what == "vjp" else []
        self._loaded = False

    def begin(self) -> None:
        """A new loop: what is fixed may have changed."""
        self._loaded = False

    def _run(self, inputs: Sequence[Array]) -> None:
        for value, (buffer, fixed) in zip(inputs, self._inputs, strict=True):
            if buffer is not None and not (fixed and self._loaded):
                buffer[...] = value
        self._loaded = True
        for call in self._calls:
            call()

    def forward(self, inputs: Sequence[Array]) -> Sequence[Array]:
        """The results, until the next step."""
        self._run(inputs)
        return self._results

    def jvp(self, inputs: Sequence[Array], tangents: Sequence[Array]) -> Sequence[Array]:
        """The results' tangents, until the next step."""
        _fill(self._tangents, tangents)
        self._run(inputs)
        return self._moved

    def vjp(self, inputs: Sequence[Array], cotangents: Sequence[Array]) -> Sequence[Array]:
        """What is pulled back, until the next step."""
        _fill(self._cotangents, cotangents)
        self._run(inputs)
        return self._back

    def add(self, a: Array, b: Array) -> Array:
        """a + b."""
        return np.asarray(np.add(a, b))

    def accumulate(self, total: Array, more: Array) -> Array:
        """total + more, in place."""
        np.add(total, more, out=total)
        return total

    def zero(self, like: Array) -> Array:
        """New zeros."""
        return np.zeros_like(like, order="C")


def _fill(buffers: Sequence[Array | None], values: Sequence[Array]) -> None:
    for buffer, value in zip(buffers, values, strict=True):
        if buffer is not None:
            buffer[...] = value


def loop_calls(
    loop: LoopDef,
    what: str,
    dims: Mapping[str, int],
    zeros: Callable[[tuple[int, ...]], Array],
    operands: Sequence[Array],
    out: Array,
    bodies: Bodies,
) -> Callable[[], None]:
    """The call that runs one step of a plan that is a loop: `operands` are its inputs, then the table and, for a jvp,

    a tangent for each differentiable input, for a vjp the table's cotangent; `out` is what it fills.
    """
    layout, body = Layout(loop, dims, zeros), PlanBody(loop, what, bodies)
    names = [name for name, _ in loop.roles]
    arrays = dict(zip(names, operands, strict=False))
    rest = operands[len(names) :]
    moves = {p.name: array for p, array in zip(loop.differentiable, rest[1:], strict=False)}

    def run() -> None:
        body.begin()
        if what == "value":
            layout.value(body, arrays, out)
        elif what == "jvp":
            layout.jvp(body, arrays, rest[0], moves, out)
        else:
            layout.vjp(body, arrays, rest[0], rest[1], out)

    return run
