"""The gradient of a graph as a graph: its own nodes, then the reverse sweep, one derived operator a contribution.

Everything that is known of graphs holds of this one: it is verified, planned and run like the graph that it came from,
and its jvp is a Hessian-vector product. Nothing here is trusted: GRAD proves that it is full backpropagation.

A graph that returns one real scalar is seeded with 1. Any other takes a cotangent of each real result as a further
input of the environment, `ct.NAME`. Results: what the graph returns, then `grad.INPUT` for each input of Γ (`grad2.`,
`ct2.` and so on where a graph of gradients is differentiated again).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction

from gradproof.compiler.derived import derived_op, given_names
from gradproof.compiler.graph import INPUT, Arg, AttrValue, Delta, Env, Graph, Node, Ref, TensorType
from gradproof.compiler.library import prelude
from gradproof.compiler.obligations import op_digest
from gradproof.compiler.ops import OpDef
from gradproof.compiler.unify import Shape
from gradproof.grammar.source import Diagnostic, Span


def gradient_graph(graph: Graph) -> Graph:
    """The graph of the results and of their gradients; transpose.NotLinear where a written rule is not linear.

    Diagnostic where there is a loop: the gradient of a loop is no graph of operators yet.
    """
    refuse_loops(graph)
    return _Sweep(graph).graph_of_gradients()


def refuse_loops(graph: Graph) -> None:
    """Diagnostic where a graph has a loop, which has derivatives of first order only."""
    for node in graph.inner:
        if node.op in graph.loops:
            message = f"second derivatives of a loop (`{node.name}` of `{graph.name}`) are not proved yet"
            raise Diagnostic(
                "E-ORDER", message, node.span, "ask for order 1, or write the steps out for a fixed length"
            )


def seeded(graph: Graph) -> bool:
    """Whether the gradient starts from 1: the graph returns one real scalar, so no cotangent is to be given."""
    types = [graph.nodes[id_].type for id_ in graph.outputs]
    return len(types) == 1 and types[0].kind == "real" and not types[0].shape


def contributions(graph: Graph, node: Node) -> tuple[tuple[int, int], ...]:
    """(argument position, parent id) of each gradient that a node sends back, in the order of its arguments."""
    if node.op == INPUT or node.type.kind != "real":
        return ()
    params = graph.ops[node.op].params
    return tuple(
        (position, arg.id)
        for position, (arg, param) in enumerate(zip(node.args, params, strict=True))
        if isinstance(arg, Ref) and param.differentiable
    )


def derived_args(node: Node, op: OpDef, derived: OpDef, cotangent: Arg) -> tuple[Arg, ...]:
    """What a derived operator is given at a node: the arguments, the value and the cotangent that it reads."""
    output, name = given_names(op)
    table: dict[str, Arg] = {p.name: arg for p, arg in zip(op.params, node.args, strict=True)}
    table |= {output: Ref(node.id), name: cotangent}
    return tuple(table[p.name] for p in derived.params)


@dataclass(slots=True)
class _Sweep:
    """The graph while its gradients are appended. `sums` holds what has gathered on each id so far."""

    graph: Graph
    nodes: list[Node] = field(init=False)
    ops: dict[str, OpDef] = field(init=False)
    delta: list[Delta] = field(init=False)
    sums: dict[int, Arg] = field(default_factory=dict)
    names: set[str] = field(init=False)
    grad: str = field(init=False)
    ct: str = field(init=False)

    def __post_init__(self) -> None:
        graph = self.graph
        self.nodes, self.ops, self.delta = list(graph.nodes), dict(graph.ops), list(graph.delta)
        self.names = {*(n.name for n in graph.nodes), *(d.name for d in graph.delta)}
        self.grad = _free("grad", graph.output_names)
        self.ct = _free("ct", (d.name for d in graph.delta))

    def graph_of_gradients(self) -> Graph:
        graph = self.graph
        self.seed()
        varying = self.varying()
        for node in reversed(graph.inner):
            cotangent = self.sums.pop(node.id, None)
            if cotangent is None:
                continue
            for position, parent in contributions(graph, node):
                if varying[parent]:
                    self.gather(parent, self.contribution(node, position, parent, cotangent), node.span)
        grads = [self.result(leaf) for leaf in graph.gamma]
        names = tuple(f"{self.grad}.{leaf.name}" for leaf in graph.gamma)
        return Graph(
            f"{graph.name}.{self.grad}",
            graph.dims,
            tuple(self.nodes),
            graph.leaves,
            tuple(self.delta),
            (*graph.outputs, *grads),
            (*graph.output_names, *names),
            graph.assumes,
            (),  # what the results promise is proved of the graph itself
            graph.assume_dims,
            graph.size_claims,
            {node.op: self.ops[node.op] for node in self.nodes[graph.leaves :]},
            graph.span,
        )

    def varying(self) -> list[bool]:
        """Whether each value depends on Γ by a path that is differentiated."""
        out = [True] * self.graph.leaves
        for node in self.graph.inner:
            out.append(any(out[parent] for _, parent in contributions(self.graph, node)))
        return out

    def seed(self) -> None:
        graph = self.graph
        if seeded(graph):
            (id_,) = graph.outputs
            self.sums[id_] = self.constant(1, graph.nodes[id_].type, graph.span)
            return
        for id_, name in zip(graph.outputs, graph.output_names, strict=True):
            node = graph.nodes[id_]
            if node.type.kind == "real":
                given = self.unique(f"{self.ct}.{name}")
                self.delta.append(Delta(given, node.type, node.span))
                self.gather(id_, Env(given), node.span)

    def gather(self, id_: int, contribution: Arg, span: Span) -> None:
        """Add a contribution to what has gathered on an id."""
        before = self.sums.get(id_)
        self.sums[id_] = contribution if before is None else self.plus(before, contribution, id_, span)

    def plus(self, a: Arg, b: Arg, id_: int, span: Span) -> Ref:
        node = self.graph.nodes[id_]
        return self.apply(_role("+"), (a, b), {}, (node.type.shape,), node.type, span, f"to.{node.name}")

    def contribution(self, node: Node, position: int, parent: int, cotangent: Arg) -> Arg:
        """The node's derived operator for one of its inputs, applied."""
        op = self.graph.ops[node.op]
        try:
            derived = derived_op(op, op.params[position].name)
        except Diagnostic as error:
            raise Diagnostic(error.code, error.message, node.span, error.advice) from None
        sizes = dict(node.sizes)
        args = derived_args(node, op, derived, cotangent)
        bound = tuple(sizes[name] for name in derived.sizes)
        target = self.graph.nodes[parent]
        return self.apply(derived, args, dict(node.attrs), bound, target.type, node.span, f"to.{target.name}")

    def result(self, leaf: Node) -> int:
        """The id of a leaf's gradient: zeros where nothing has gathered."""
        found = self.sums.get(leaf.id)
        if isinstance(found, Ref):
            return found.id
        zero = self.constant(0, leaf.type, leaf.span)
        # Where the graph returns the input itself its gradient is a cotangent, and a result must be a node.
        return zero.id if found is None else self.plus(zero, found, leaf.id, leaf.span).id

    def constant(self, value: int, type_: TensorType, span: Span) -> Ref:
        literal = _role("literal")
        one = self.apply(literal, (), {literal.attrs[0].name: Fraction(value)}, (), TensorType(type_.dtype, ()), span)
        return self.apply(_role("new axes"), (one,), {}, ((), type_.shape), type_, span) if type_.shape else one

    def apply(
        self,
        op: OpDef,
        args: Iterable[Arg],
        attrs: Mapping[str, AttrValue],
        sizes: tuple[Shape, ...],
        type_: TensorType,
        span: Span,
        name: str = "",
    ) -> Ref:
        """An operator's application, at the end; `sizes` in the order of the operator's."""
        given = tuple((attr.name, attrs[attr.name]) for attr in op.attrs)
        bound = tuple(zip(op.sizes, sizes, strict=True))
        id_ = len(self.nodes)
        self.nodes.append(
            Node(id_, self.unique(name or f"v{id_}"), self.register(op), tuple(args), given, bound, type_, span)
        )
        return Ref(id_)

    def register(self, op: OpDef) -> str:
        """The operator's name in this graph, where another definition may have its own."""
        number, name = 1, op.name
        while name in self.ops and op_digest(self.ops[name]) != op_digest(_named(op, name)):
            number += 1
            name = f"{op.name} ({number})"
        self.ops.setdefault(name, _named(op, name))
        return name

    def unique(self, name: str) -> str:
        number, made = 1, name
        while made in self.names:
            number += 1
            made = f"{name}_{number}"
        self.names.add(made)
        return made


def _free(stem: str, names: Iterable[str]) -> str:
    """`grad`, `grad2`, ...: the first that no name begins with."""
    used = {name.split(".")[0] for name in names if "." in name}
    return next(s for s in (stem, *(f"{stem}{k}" for k in range(2, len(used) + 3))) if s not in used)


def _role(sign: str) -> OpDef:
    """The operator of the prelude that a sign stands for, whatever the program made of the name."""
    library = prelude()
    name = library.sign(sign)
    if name is None:
        raise LookupError(f"the prelude has no operator for {sign!r}")
    return library.overloads[name][0]


def _named(op: OpDef, name: str) -> OpDef:
    return op if op.name == name else replace(op, name=name)
