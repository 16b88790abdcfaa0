"""The definition of a loop: one graph, its body, applied step after step to a state; the length is symbolic.

A loop is one node. Its value is a table with a row for every state: row 0 is the initial state, row t + 1 what the body
makes of row t, of step t's slices of the sequences, and of the fixed inputs. A row holds the body's results one after
another, each in row-major order; the part of row 0 that belongs to a result that is no state is 0. What a program wants
of the table (all steps of one result, or the last) is read out of it by ordinary operators.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, TypeAlias

from gradproof.compiler.dims import Poly
from gradproof.compiler.ops import Axis, Param
from gradproof.grammar.source import Span

if TYPE_CHECKING:
    from gradproof.compiler.graph import Graph, TensorType

Role: TypeAlias = Literal["state", "sequence", "fixed"]
TABLE = "table"


@dataclass(frozen=True, slots=True)
class Column:
    """Where a tensor stands among others, flat and one after another: entries of this shape from `offset` on."""

    shape: tuple[Poly, ...]
    offset: Poly


@dataclass(frozen=True, slots=True)
class LoopDef:
    """A loop over `body`, `length` steps long.

    `roles` gives each input of the body, in the order of the node's arguments, its role: a state (its argument is the
    initial state; result number k of the body is state number k of the next step), a sequence (its argument has an axis
    more, the first, along which it is walked, from the end where `reverse`), or fixed (the same at every step).
    Sizes of the body are written in the dims of the graph that the loop stands in.
    """

    name: str
    body: Graph
    length: Poly
    roles: tuple[tuple[str, Role], ...]
    reverse: bool
    span: Span

    def __hash__(self) -> int:
        return hash((self.name, self.length, self.roles, self.reverse))

    @property
    def params(self) -> tuple[Param, ...]:
        """The loop's inputs, in the order of the node's arguments."""
        return _params(self)

    @property
    def output(self) -> Param:
        """The table: [length + 1, width]."""
        return Param(TABLE, "real", (Axis(self.length + 1), Axis(self.width)))

    @property
    def differentiable(self) -> tuple[Param, ...]:
        """The inputs that the loop is differentiated with respect to."""
        return tuple(p for p in self.params if p.differentiable)

    @property
    def states(self) -> tuple[str, ...]:
        """The body's inputs that are states, in order."""
        return tuple(name for name, role in self.roles if role == "state")

    @property
    def columns(self) -> tuple[Column, ...]:
        """Where each of the body's results stands in a row."""
        return _columns(self)

    @property
    def width(self) -> Poly:
        """The entries of a row."""
        return sum((Poly.product(column.shape) for column in self.columns), Poly.of(0))

    @property
    def gradients(self) -> tuple[Column, ...]:
        """Where each differentiable input's gradient stands in the flat bundle that a plan's backward step makes."""
        out: list[Column] = []
        offset = Poly.of(0)
        for param in self.differentiable:
            shape = tuple(axis.extent for axis in param.axes)
            out.append(Column(shape, offset))
            offset = offset + Poly.product(shape)
        return tuple(out)

    @property
    def bundle(self) -> Poly:
        """The entries of all gradients together."""
        return sum((Poly.product(column.shape) for column in self.gradients), Poly.of(0))

    def type_of(self, name: str) -> TensorType:
        """The type of an input of the body; KeyError where there is none."""
        return _types(self)[name]


@lru_cache(maxsize=1024)
def _types(loop: LoopDef) -> dict[str, TensorType]:
    return {n.name: n.type for n in loop.body.gamma} | {d.name: d.type for d in loop.body.delta}


@lru_cache(maxsize=1024)
def _params(loop: LoopDef) -> tuple[Param, ...]:
    moving = {n.name for n in loop.body.gamma}
    out: list[Param] = []
    for name, role in loop.roles:
        type_ = loop.type_of(name)
        lead = (loop.length,) if role == "sequence" else ()
        # A condition that varies makes a branch (branches.py), so only real inputs are ever `const`.
        const = type_.kind == "real" and name not in moving
        out.append(Param(name, type_.kind, tuple(map(Axis, (*lead, *type_.shape))), const))
    return tuple(out)


@lru_cache(maxsize=1024)
def _columns(loop: LoopDef) -> tuple[Column, ...]:
    states = loop.states
    offset = Poly.of(0)
    out: list[Column] = []
    known = range(len(loop.body.nodes))  # an ill-formed body (WF refuses it) may return what does not exist
    for k, id_ in enumerate(id_ for id_ in loop.body.outputs if id_ in known):
        # SHAPE of the body proves that a state's result has the state's own shape.
        shape = loop.type_of(states[k]).shape if k < len(states) else loop.body.nodes[id_].type.shape
        out.append(Column(shape, offset))
        offset = offset + Poly.product(shape)
    return tuple(out)


def settled(graph: Graph) -> Graph:
    """The graph with the bodies of its loops, however deep, under its own dims and conditions on dims."""
    if not graph.loops:
        return graph
    loops: dict[str, LoopDef] = {}
    for name, loop in graph.loops.items():
        body = replace(loop.body, dims=graph.dims, assume_dims=graph.assume_dims)
        loops[name] = replace(loop, body=settled(body))
    return replace(graph, loops=loops)


def frozen(graph: Graph) -> Graph:
    """The graph with its definitions, however deep, copied where nobody can change them."""
    loops = {name: replace(loop, body=frozen(loop.body)) for name, loop in graph.loops.items()}
    return replace(graph, ops=MappingProxyType(dict(graph.ops)), loops=MappingProxyType(loops))


def bodies(graph: Graph) -> tuple[Graph, ...]:
    """The bodies of a graph's loops and, behind each, of the loops inside it."""
    out: list[Graph] = []
    for loop in graph.loops.values():
        out += [loop.body, *bodies(loop.body)]
    return tuple(out)


def loops_of(graph: Graph) -> tuple[LoopDef, ...]:
    """The loops of a graph and, behind each, those inside it."""
    out: list[LoopDef] = []
    for loop in graph.loops.values():
        out += [loop, *loops_of(loop.body)]
    return tuple(out)


def problems(loop: LoopDef) -> list[str]:
    """What is wrong with a loop's definition; empty where it is well-formed.

    The body's inputs have one role each, and none is drawn, which would say what its range is.
    States are real, differentiable and as many results as there are states are
    of their types (equal extents are in the body's size claims, which SHAPE proves); all results are real.
    """
    body, found = loop.body, list[str]()
    names = [name for name, _ in loop.roles]
    if sorted(names) != sorted(_types(loop)):
        return [f"the roles of {loop.name} are not those of its body's inputs"]
    if not body.outputs or len(loop.columns) < len(body.outputs) or len(loop.states) > len(body.outputs):
        return [f"{loop.name} has {len(loop.states)} states and its body {len(body.outputs)} results"]
    found += [f"the input `{d.name}` of {loop.name} is drawn, and is given" for d in body.delta if d.seeded is not None]
    moving = {n.name for n in body.gamma}
    equal = {(c.left, c.right) for c in body.size_claims}
    for name, id_ in zip(loop.states, body.outputs, strict=False):
        before, after = loop.type_of(name), body.nodes[id_].type
        pairs = list(zip(before.shape, after.shape, strict=False))
        fits = len(before.shape) == len(after.shape) and all(
            a == b or (a, b) in equal or (b, a) in equal for a, b in pairs
        )
        if name not in moving or not fits or before.dtype != after.dtype:
            found.append(f"the state `{name}` of {loop.name} is {before} before a step and {after} behind it")
    if any(body.nodes[id_].type.kind != "real" for id_ in body.outputs):
        found.append(f"a result of the body of {loop.name} is not real")
    return found
