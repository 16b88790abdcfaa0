"""The syntax tree: what was written, with a span on every node; nothing is resolved, typed or renamed here.

Spans don't take part in equality, so parse(print(tree)) == tree is a plain comparison.
"""

# ruff: noqa: RUF009 (the default of every `span` is one frozen value)

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import TypeAlias

from gradproof.grammar.source import BUILTIN, Span


def _span() -> Span:
    return field(default=BUILTIN, compare=False, repr=False)


# Expressions: one family for formulas and for graph bodies; which forms are allowed where is elaboration's business.


@dataclass(frozen=True, slots=True)
class Number:
    """A literal: `3`, `0.5`, `1e-5`, with its exact value. (`1/3` is a Binary.)"""

    value: Fraction
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Name:
    """A name: a value, an input, a size, an attribute, an index."""

    name: str
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Pack:
    """A pack's index or size: `s..` is Pack("s")."""

    name: str
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Unary:
    """`-x`."""

    op: str
    arg: Expr
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Binary:
    """`+ - * / // % ^ @` between two expressions."""

    op: str
    left: Expr
    right: Expr
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Compare:
    """A chain of comparisons: `0 <= label < C` has ops ("<=", "<") and three operands. Ops: < <= > >= == !=."""

    ops: tuple[str, ...]
    operands: tuple[Expr, ...]
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Logic:
    """`a and b and ...` or `a or b or ...` (flattened)."""

    op: str
    args: tuple[Expr, ...]
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Negation:
    """`not a`."""

    arg: Expr
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Apply:
    """`f(a, b, axis=1)`."""

    fn: str
    args: tuple[Expr, ...]
    kwargs: tuple[tuple[str, Expr], ...]
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Access:
    """`x[i, j + 1, s..]`; `x[]` is an entry of a tensor with no axes."""

    tensor: str
    index: tuple[Expr, ...]
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class BoundIndex:
    """An index that a binder introduces: `j`, `j < n` (its extent given), or a pack `s..`."""

    name: str
    pack: bool
    extent: Expr | None
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Binder:
    """`sum(j, k < n | guard) body` (sum, prod, max, min). The body is everything up to the next + or - (greedy)."""

    kind: str
    indices: tuple[BoundIndex, ...]
    guard: Expr | None
    body: Expr
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Sequence:
    """`(0, 2, 1)` as an attribute's value (`(a)` is just a, `(a,)` has one item)."""

    items: tuple[Expr, ...]
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Text:
    """`"ij,jk->ik"`: a string as an argument; one span, its quotes included."""

    value: str
    span: Span = _span()


Expr: TypeAlias = (
    Number | Name | Pack | Unary | Binary | Compare | Logic | Negation | Apply | Access | Binder | Sequence | Text
)


# Items.


@dataclass(frozen=True, slots=True)
class Use:
    """`use "layers.gproof"`."""

    path: str
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class DimDecl:
    """`dim B`, `dim B >= 1`, `dim D = 64`; `dim D = 64, H = 32` is two of them."""

    name: str
    lower: Expr | None
    value: Expr | None
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Infix:
    """`infix "+" add`: the operator that an infix sign (or `broadcast`, `unary -`, a literal) stands for in graphs."""

    sign: str
    op: str
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class AxisDecl:
    """One axis in a signature: an extent, or a pack with an optional rank: `S..`, `A..(axis)`."""

    extent: Expr | None
    pack: str | None
    rank: Expr | None
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class AttrDecl:
    """`stride`, `pad = 0`, `eps: real = 1e-5` in an operator's brackets."""

    name: str
    kind: str  # "int" or "real"
    default: Expr | None
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class ParamDecl:
    """An operator's input: `x: [S.., n]`, `label: int [B]`, `mask: bool [S..]`, `const w: [n]`.

    With a default (`p: int [S.., n] = rank(x)`) a call may leave it out.
    """

    name: str
    kind: str  # "real", "int" or "bool"
    const: bool
    axes: tuple[AxisDecl, ...]
    span: Span = _span()
    default: Apply | None = None


@dataclass(frozen=True, slots=True)
class Equation:
    """`y[s.., i] = body`; in a `fn`, `y = body` (indices None). An intermediate's index may have its extent given."""

    target: str
    indices: tuple[Name | Pack | BoundIndex, ...] | None
    body: Expr
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Require:
    """`require a, b`: sizes, attributes and integer inputs must satisfy these."""

    conds: tuple[Expr, ...]
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Where:
    """`where x > 0, n >= 1`: the domain of the real inputs."""

    conds: tuple[Expr, ...]
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Promise:
    """`ensure 0 <= y[s..] < n`, in an operator: what holds of every entry of its result."""

    conds: tuple[Expr, ...]
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Define:
    """The meaning: `y[i] = ...`."""

    equation: Equation
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Let:
    """`let m[s..] = ...`: an intermediate for `runs` and for written rules."""

    equation: Equation
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Runs:
    """`runs with m[s..] = ...  y[s..] = ...` (the lets, then the output) or `runs y[s..] = ...`."""

    lets: tuple[Equation, ...]
    equation: Equation
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Rule:
    """`vjp x[...] = ...` or `jvp y[...] = ...`."""

    kind: str
    equation: Equation
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Extern:
    """`extern y = "linalg.inv"(a)`: a tensor that a kernel computes from whole tensors; `axes` None for the result."""

    target: str
    axes: tuple[AxisDecl, ...] | None
    kernel: str
    args: tuple[Name, ...]
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Law:
    """`law sum(k) a[i, k] * y[k, j] == select(i == j, 1, 0)`: what holds of a kernel's result, for all indices."""

    cond: Expr
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Adjoint:
    """`adjoint e`: the multiplier of the law above it, an entry for each of the law's indices."""

    value: Expr
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Instead:
    """`instead "log(x + 1)"`: what to write where the operator is undefined at its inputs."""

    text: str
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class At:
    """`at x = 0: 0`: the derivative's value at a kink. `x = 0` is Compare with "==" (`=` and `==` both parse).

    `jump at x = 0: 0` is the same where the formula is discontinuous, so that there is no derivative; without a value
    the rules say what is used there.
    """

    cond: Expr
    value: Expr | None
    jump: bool = False
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Least:
    """`least at y = 0`: where the formula is at its least, and the derivative that is used is 0."""

    cond: Expr
    span: Span = _span()


Clause: TypeAlias = (
    Require | Where | Promise | Define | Let | Runs | Rule | At | Least | Instead | Extern | Law | Adjoint
)


@dataclass(frozen=True, slots=True)
class Fn:
    """A scalar function, lifted elementwise. `fn f(x) = e` has one Define clause; `fn f(x) { ... }` has any clauses.

    In a `fn`, inputs, `y`, `g`, tangents and lets are written without brackets.
    """

    name: str
    attrs: tuple[AttrDecl, ...]
    params: tuple[str, ...]
    clauses: tuple[Clause, ...]
    doc: str
    span: Span = _span()
    consts: tuple[str, ...] = ()  # those of the inputs that are `const`: not differentiated


@dataclass(frozen=True, slots=True)
class Op:
    """An operator in index notation. `doc` is the comment block directly above, without `#`."""

    name: str
    attrs: tuple[AttrDecl, ...]
    params: tuple[ParamDecl, ...]
    result_kind: str  # "real", "int" or "bool"
    result: tuple[AxisDecl, ...]
    clauses: tuple[Clause, ...]
    doc: str
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class TypeDecl:
    """`f32[B, D]`: dtype and extents."""

    dtype: str
    shape: tuple[Expr, ...]
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class InputDecl:
    """A graph's input: `x: f32[B, D]`, `const m: f32[D]`, `u: f32[B] = uniform(seed=7)` (source is an Apply)."""

    name: str
    type: TypeDecl
    const: bool
    source: Apply | None
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Assign:
    """`h = ...` or `a, b = f(x)`; `h: f32[B, H] = ...` declares the type, which SHAPE then proves."""

    targets: tuple[Name, ...]
    type: TypeDecl | None
    value: Expr
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Assume:
    """`assume cond`."""

    cond: Expr
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Ensure:
    """`ensure cond`, or `ensure cond where indices`."""

    cond: Expr
    where: Expr | None = None
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Return:
    """`return a, b`."""

    values: tuple[Expr, ...]
    span: Span = _span()


Statement: TypeAlias = Assign | Assume | Ensure | Return


@dataclass(frozen=True, slots=True)
class GraphDef:
    """A graph: inputs, result types, statements."""

    name: str
    inputs: tuple[InputDecl, ...]
    results: tuple[TypeDecl, ...]
    body: tuple[Statement, ...]
    doc: str
    span: Span = _span()


Item: TypeAlias = Use | DimDecl | Infix | Fn | Op | GraphDef


@dataclass(frozen=True, slots=True)
class File:
    """A whole source file. `comments` are all comments with their lines, for the formatter."""

    items: tuple[Item, ...]
    span: Span = _span()
    comments: tuple[tuple[int, int, str], ...] = field(default=(), compare=False, repr=False)  # line, column, text
