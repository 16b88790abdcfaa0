"""The SSA graph: what a program becomes. Leaves first, ids are positions, parents point to smaller ids.

The differentiable inputs are the context Γ of the seeds (ids 0 .. |Γ|-1), the operator applications are ss. Integer,
boolean and `const` inputs are the environment Δ: not nodes, read by name, never differentiated.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TypeAlias

from gradproof.compiler.dims import Poly
from gradproof.compiler.loops import LoopDef
from gradproof.compiler.ops import OpDef
from gradproof.compiler.terms import Cond, Term
from gradproof.grammar.source import Span

INPUT = "input"


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
