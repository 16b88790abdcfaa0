"""The SSA graph: what a program becomes. Leaves first, ids are positions, parents point to smaller ids.

The differentiable inputs are the context Γ of the seeds (ids 0 .. |Γ|-1), the operator applications are ss. Integer,
boolean and `const` inputs are the environment Δ: not nodes, read by name, never differentiated.

A loop is one node, and its body a graph again: applied step after step to a state; the length is symbolic. The node's
value is a table with a row for every state: row 0 is the initial state, row t + 1 what the body makes of row t, of step
t's slices of the sequences, and of the fixed inputs. A row holds the body's results one after another, each in
row-major order; the part of row 0 that belongs to a result that is no state is 0. What a program wants of the table
(all steps of one result, or the last) is read out of it by ordinary operators.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache
from typing import Literal, TypeAlias

from gradproof.compiler.dims import Poly
from gradproof.compiler.ops import Axis, OpDef, Param
from gradproof.compiler.terms import Cond, Term
from gradproof.grammar.source import Span

INPUT = "input"
TABLE = "table"  # what a loop's node computes
Role: TypeAlias = Literal["state", "sequence", "fixed"]


@dataclass(frozen=True, slots=True)
class TensorType:
    """An element type (f32, f64, i32, i64, bool) and a shape of integer polynomials over the program's dims."""

    dtype: str
    shape: tuple[Poly, ...]

    @property
    def kind(self) -> str:
        """real, int or bool."""
        return {"f": "real", "i": "int", "b": "bool"}[self.dtype[0]]

    def __str__(self) -> str:
        return f"{self.dtype}[{', '.join(map(str, self.shape))}]"


@dataclass(frozen=True, slots=True)
class Dim:
    """A dim: fixed to `value`, or symbolic with an optional lower bound (every dim is >= 0)."""

    name: str
    lower: int
    value: Poly | None
    span: Span


@dataclass(frozen=True, slots=True)
class Seeded:
    """How a Δ input is made when the caller does not give it: `uniform(seed)` or `bernoulli(seed, p)`."""

    kind: str
    seed: int
    p: Fraction = Fraction(1, 2)


@dataclass(frozen=True, slots=True)
class Delta:
    """An input of the environment Δ."""

    name: str
    type: TensorType
    span: Span
    seeded: Seeded | None = None


@dataclass(frozen=True, slots=True)
class Ref:
    """An argument that is an earlier node's value."""

    id: int


@dataclass(frozen=True, slots=True)
class Env:
    """An argument that is a Δ input."""

    name: str


Arg: TypeAlias = Ref | Env
AttrValue: TypeAlias = Poly | Fraction


@dataclass(frozen=True, slots=True)
class Node:
    """One value of the graph. For a leaf, `op` is "input" and there are no arguments.

    `attrs` gives every attribute of the operator. `sizes` binds each size symbol of the operator's signature to the
    graph's extents: one for a dim, any number for a pack (`S..`).
    """

    id: int
    name: str
    op: str
    args: tuple[Arg, ...]
    attrs: tuple[tuple[str, AttrValue], ...]
    sizes: tuple[tuple[str, tuple[Poly, ...]], ...]
    type: TensorType
    span: Span

    @property
    def parents(self) -> tuple[int, ...]:
        """The ids of the arguments that are nodes, in order, with repetition."""
        return tuple(arg.id for arg in self.args if isinstance(arg, Ref))


@dataclass(frozen=True, slots=True)
class SizeClaim:
    """What elaboration took for granted and SHAPE must prove: two extents are equal, for all dims allowed."""

    left: Poly
    right: Poly
    reason: str
    span: Span


@dataclass(frozen=True, slots=True)
class Bound:
    """`assume`/`ensure` of an entrywise relation between values: `left rel right` for every entry after broadcasting.

    left and right are node ids, Δ names, rationals or sizes (`label < C`).
    """

    left: int | str | Fraction | Poly
    rel: str  # "<", "<=" or "=="; written > and >= are turned round, != is "!="
    right: int | str | Fraction | Poly
    span: Span
    text: str


@dataclass(frozen=True, slots=True)
class Gradient:
    """`grad(y[i], x[j])`: the derivative of node `output` at `at` by node `input` at `to`; terms read it as `name`."""

    name: str
    output: int
    at: tuple[Poly, ...]
    input: int
    to: tuple[Poly, ...]


@dataclass(frozen=True, slots=True)
class Entrywise:
    """`ensure` about entries: `left rel right` for all `indices` (each below its extent) where `where` holds.

    The terms read the graph's values by the names that `values` explains, and `gradients` by theirs.
    """

    indices: tuple[tuple[str, Poly], ...]
    where: Cond
    left: Term
    rel: str  # "<", "<=" or "=="
    right: Term
    values: tuple[tuple[str, Arg], ...]
    gradients: tuple[Gradient, ...]
    span: Span
    text: str


@dataclass(frozen=True, slots=True)
class Graph:
    """A program's graph. `size_claims` and `assumes_dims` are for the verifier, `ops` holds every definition used.

    `assumes` restrict inputs (nodes among Γ, Δ names); `assume_dims` restrict dims (conditions over dims only).
    """

    name: str
    dims: tuple[Dim, ...]
    nodes: tuple[Node, ...]
    leaves: int  # |Γ|
    delta: tuple[Delta, ...]
    outputs: tuple[int, ...]
    output_names: tuple[str, ...]
    assumes: tuple[Bound, ...]
    ensures: tuple[Bound | Entrywise, ...]
    assume_dims: tuple[tuple[Poly, str], ...]  # (poly, ">=" or "=="): poly >= 0 or poly == 0
    size_claims: tuple[SizeClaim, ...]
    ops: Mapping[str, OpDef]
    span: Span
    loops: Mapping[str, LoopDef] = field(default_factory=dict)  # the nodes that are loops, by the name in `node.op`

    def definition(self, node: Node) -> OpDef | LoopDef:
        """What an inner node applies; KeyError where it is not defined."""
        return self.loops[node.op] if node.op in self.loops else self.ops[node.op]

    @property
    def gamma(self) -> tuple[Node, ...]:
        """The differentiable inputs."""
        return self.nodes[: self.leaves]

    @property
    def inner(self) -> tuple[Node, ...]:
        """The operator applications (the seeds' ss)."""
        return self.nodes[self.leaves :]

    def fixed(self) -> dict[str, Poly]:
        """The dims that are fixed, by name."""
        return {dim.name: dim.value for dim in self.dims if dim.value is not None}


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
        return self.types[name]

    @property
    def types(self) -> Mapping[str, TensorType]:
        """The types of the body's inputs."""
        return _types(self)


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
