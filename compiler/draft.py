"""A graph while it grows: nodes in order, names kept unique, what was taken for granted noted as claims."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import TypeAlias

from gradproof.compiler.dims import Poly
from gradproof.compiler.graph import (
    INPUT,
    Arg,
    AttrValue,
    Bound,
    Delta,
    Dim,
    Entrywise,
    Env,
    Graph,
    LoopDef,
    Node,
    Ref,
    Seeded,
    SizeClaim,
    TensorType,
)
from gradproof.compiler.library import Library
from gradproof.compiler.ops import OpDef
from gradproof.compiler.unify import Shape, Signature, signature_of
from gradproof.grammar.source import Diagnostic, Span

MAX_NODES = 1_000_000  # graphs that call graphs can grow without end
DTYPES = ("f32", "f64", "i32", "i64", "bool")


@dataclass(frozen=True, slots=True)
class Value:
    """A tensor in the graph: a node or a Δ input, with its type."""

    arg: Arg
    type: TensorType


# What an expression of a graph stands for: a tensor, a number, an integer expression in dims, or a tuple of these.
Operand: TypeAlias = "Value | Fraction | Poly | tuple[Operand, ...]"


@dataclass(slots=True)
class _Pending:
    op: str
    args: tuple[Arg, ...]
    attrs: tuple[tuple[str, AttrValue], ...]
    sizes: tuple[tuple[str, Shape], ...]
    type: TensorType
    span: Span
    name: str | None


@dataclass(slots=True)
class Draft:
    """A graph while it grows. Inputs come first; `library` says what names and signs mean."""

    name: str
    library: Library
    span: Span
    warn: Callable[[Diagnostic], None]
    leaves: int = 0
    delta: dict[str, Delta] = field(default_factory=dict)
    assumes: list[Bound] = field(default_factory=list)
    ensures: list[Bound | Entrywise] = field(default_factory=list)
    assume_dims: list[tuple[Poly, str]] = field(default_factory=list)
    claims: dict[tuple[Poly, Poly], SizeClaim] = field(default_factory=dict)
    dtype: str = "f32"
    _nodes: list[_Pending] = field(default_factory=list)
    _names: set[str] = field(default_factory=set)
    _suffix: dict[str, int] = field(default_factory=dict)
    _literals: dict[object, Value] = field(default_factory=dict)
    _signatures: dict[int, Signature] = field(default_factory=dict)
    _ops: dict[str, OpDef] = field(default_factory=dict)
    loops: dict[str, LoopDef] = field(default_factory=dict)
    scans: dict[object, tuple[Value, LoopDef]] = field(default_factory=dict)  # by what they are applied to

    def __len__(self) -> int:
        return len(self._nodes)

    def leaf(self, name: str, type_: TensorType, span: Span) -> Value:
        """A differentiable input; all of them come before the first operator."""
        if not self.leaves:
            self.dtype = type_.dtype
        self._names.add(name)
        self._nodes.append(_Pending(INPUT, (), (), (), type_, span, name))
        self.leaves = len(self._nodes)
        return Value(Ref(self.leaves - 1), type_)

    def environment(self, name: str, type_: TensorType, span: Span, seeded: Seeded | None = None) -> Value:
        """An input of Δ, under this name or, where it is taken, under one like it."""
        unique = self.unique(name)
        self.delta[unique] = Delta(unique, type_, span, seeded)
        return Value(Env(unique), type_)

    def append(
        self,
        op: OpDef,
        args: tuple[Arg, ...],
        attrs: Mapping[str, AttrValue],
        sizes: Mapping[str, Shape],
        type_: TensorType,
        span: Span,
    ) -> Value:
        """An operator's application, at the end."""
        if len(self._nodes) >= MAX_NODES:
            message = f"`{self.name}` grows beyond {MAX_NODES} nodes"
            raise Diagnostic("E-TOO-LARGE", message, span, "graphs that call graphs multiply")
        given = tuple((attr.name, attrs[attr.name]) for attr in op.attrs) if op.attrs else ()
        bound = tuple((name, sizes[name]) for name in op.sizes)
        self._nodes.append(_Pending(op.name, args, given, bound, type_, span, None))
        return Value(Ref(len(self._nodes) - 1), type_)

    def append_loop(self, loop: LoopDef, args: tuple[Arg, ...], type_: TensorType, span: Span) -> Value:
        """A loop, at the end; its name is new in this graph."""
        self.loops[loop.name] = loop
        self._nodes.append(_Pending(loop.name, args, (), (), type_, span, None))
        return Value(Ref(len(self._nodes) - 1), type_)

    def role(self, sign: str, span: Span) -> str:
        """The operator that a sign stands for; Diagnostic where none is declared."""
        name = self.library.sign(sign)
        if name is None:
            raise Diagnostic("E-INFIX", f"no operator stands for `{sign}`", span, f'declare one: `infix "{sign}" name`')
        return name

    def signature(self, op: OpDef) -> Signature:
        """The operator's signature, read once."""
        found = self._signatures.get(id(op))
        if found is None:
            found = self._signatures[id(op)] = signature_of(self._registered(op))
        return found

    def _registered(self, op: OpDef) -> OpDef:
        """The operator under a name that no other operator of this graph has (two files may each have a `relu`)."""
        number, name = 1, op.name
        while self._ops.setdefault(name, op) is not op:
            number += 1
            name = f"{op.name} ({number})"
        if name != op.name:
            self._ops[name] = op = replace(op, name=name)
        return op

    def claim(self, left: Poly, right: Poly, reason: str, span: Span) -> None:
        """Note that two extents must be equal; SHAPE proves it."""
        if left != right:
            self.claims.setdefault((left, right), SizeClaim(left, right, reason, span))

    def remembered(self, key: object, make: Callable[[], Value]) -> Value:
        """A literal that is written once in the graph, however often it is used."""
        found = self._literals.get(key)
        if found is None:
            found = self._literals[key] = make()
        return found

    def rename(self, value: Value, name: str, since: int) -> None:
        """Give a node made since `since` the name that the text gives it, unless it has one."""
        if isinstance(value.arg, Ref) and value.arg.id >= since and self._nodes[value.arg.id].name is None:
            self._nodes[value.arg.id].name = self.unique(name)

    def name_outputs(self, outputs: tuple[Value, ...]) -> None:
        """A returned value without a name is called `result`, or `result1`, `result2`, ... where there are several."""
        for number, value in enumerate(outputs, 1):
            self.rename(value, "result" if len(outputs) == 1 else f"result{number}", self.leaves)

    def unique(self, name: str) -> str:
        """The name, or where it is taken, the name with a number."""
        if name not in self._names:
            self._names.add(name)
            return name
        number = self._suffix.get(name, 1)
        while f"{name}_{number}" in self._names:
            number += 1
        self._suffix[name] = number + 1
        return self.unique(f"{name}_{number}")

    def leaf_name(self, id_: int) -> str:
        """The name of a differentiable input."""
        return self._nodes[id_].name or ""

    def taken(self, name: str) -> bool:
        """Whether a node or an input has this name."""
        return name in self._names

    def name_of(self, value: Value) -> str:
        """What a value is called, for messages."""
        if isinstance(value.arg, Env):
            return value.arg.name
        return self._nodes[value.arg.id].name or f"the value of {self._nodes[value.arg.id].op}"

    def finish(self, dims: tuple[Dim, ...], outputs: tuple[Value, ...]) -> Graph:
        """The graph, its nameless nodes named."""
        nodes: list[Node] = []
        for position, p in enumerate(self._nodes):
            name = p.name or self.unique(f"v{position}")
            p.name = name
            nodes.append(Node(position, name, p.op, p.args, p.attrs, p.sizes, p.type, p.span))
        ids = tuple(value.arg.id for value in outputs if isinstance(value.arg, Ref))
        return Graph(
            self.name,
            dims,
            tuple(nodes),
            self.leaves,
            tuple(self.delta.values()),
            ids,
            tuple(nodes[i].name for i in ids),
            tuple(self.assumes),
            tuple(self.ensures),
            tuple(dict.fromkeys(self.assume_dims)),
            tuple(self.claims.values()),
            {node.op: self._ops[node.op] for node in nodes[self.leaves :] if node.op not in self.loops},
            self.span,
            dict(self.loops),
        )
