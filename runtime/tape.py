"""The tape: forward, forward-mode and dense reverse-mode over any values; trusts nothing about what the values are.

A tape is built from a graph and a `Semantics`, which says what one node does to values: NumPy arrays, object arrays of
exact scalars, or opaque symbols. Values are passed in and never kept, so one tape serves all inputs, and the verifier
proves things about the loops below by running these very loops on symbols.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from gradproof.compiler.graph import INPUT, Arg, Env, Graph, Node, Ref

V = TypeVar("V")


class TapeError(ValueError):
    """A tape was asked for something that it can't give; the message says what."""


class NoOutput(TapeError):
    """The graph produces no node, so there is no output to differentiate."""


class WrongContext(TapeError):
    """A context of leaf values, tangents or seeds has the wrong length, or a Δ value is missing."""


class UnknownId(TapeError):
    """There is no node with this id."""


class NotScalar(TapeError):
    """The default seed 1 was asked for on an output that is not a real scalar."""


class ForwardEdge(TapeError):
    """A backward closure emitted a contribution to an id that is not smaller than its own: an internal error."""


class Semantics(Protocol[V]):
    """What one node does to values. `args` holds one value an argument of the node, in order."""

    def forward(self, node: Node, args: Sequence[V], dims: Mapping[str, int]) -> V:
        """The node's value."""

    def jvp(self, node: Node, args: Sequence[V], value: V, tangents: Sequence[V | None], dims: Mapping[str, int]) -> V:
        """The tangent of the node's value; `tangents` has None where the operator does not differentiate."""

    def vjp(self, node: Node, position: int, args: Sequence[V], value: V, cotangent: V, dims: Mapping[str, int]) -> V:
        """The contribution of this node's cotangent to its argument at `position`."""

    def add(self, a: V, b: V) -> V:
        """a + b, in this order."""

    def zero(self, value: V) -> V:
        """The zero cotangent (or tangent) of a value."""

    def one(self, value: V) -> V:
        """The cotangent 1 of a scalar value."""


@dataclass(frozen=True, slots=True)
class Values(Generic[V]):
    """The value table of one run: a value an id, in id order; the environment Δ by name; the dims."""

    nodes: Sequence[V]
    delta: Mapping[str, V] = field(default_factory=dict)
    dims: Mapping[str, int] = field(default_factory=dict)

    def args(self, args: Iterable[Arg]) -> tuple[V, ...]:
        """The values of a node's arguments."""
        return tuple(self.nodes[arg.id] if isinstance(arg, Ref) else self.delta[arg.name] for arg in args)


@dataclass(frozen=True, slots=True)
class TapeNode(Generic[V]):
    """One node of a tape; its closures take the values that they work on.

    `value` computes the node from the table so far; `tangent` maps (values, tangents of all smaller ids) to the node's
    tangent; `backward` maps (values, cotangent) to its contributions, in the order in which they are added.
    """

    id: int
    op: str
    parents: tuple[int, ...]
    value: Callable[[Values[V]], V]
    tangent: Callable[[Values[V], Sequence[V]], V]
    backward: Callable[[Values[V], V], list[tuple[int, V]]]
    requires_grad: bool = True


@dataclass(frozen=True, slots=True)
class Tape(Generic[V]):
    """The nodes of a graph, leaves first, ids are positions; exactly |Γ| + |ss| of them."""

    graph: Graph
    semantics: Semantics[V]
    nodes: tuple[TapeNode[V], ...]

    @staticmethod
    def of(graph: Graph, semantics: Semantics[V]) -> Tape[V]:
        """The tape of a graph over the values that `semantics` computes with."""
        return Tape(graph, semantics, tuple(_tape_node(graph, node, semantics) for node in graph.nodes))

    @property
    def leaves(self) -> int:
        """|Γ|."""
        return self.graph.leaves

    @property
    def out_id(self) -> int:
        """|Γ| + |ss| - 1: the id of the last node. Meaningful where ss is not empty; see `checked_out_id`."""
        return len(self.nodes) - 1

    def checked_out_id(self) -> int:
        """The id of the last node; NoOutput where the graph produces none."""
        if len(self.nodes) <= self.leaves:
            raise NoOutput(f"graph {self.graph.name} has {self.leaves} inputs and produces no node")
        return self.out_id

    def denote_all(
        self, context: Sequence[V], delta: Mapping[str, V] | None = None, dims: Mapping[str, int] | None = None
    ) -> Values[V]:
        """The whole value table, from the values of Γ (in id order) and of Δ."""
        if len(context) != self.leaves:
            raise WrongContext(f"graph {self.graph.name} takes {self.leaves} inputs, {len(context)} values were given")
        delta = {} if delta is None else delta
        missing = [d.name for d in self.graph.delta if d.name not in delta]
        if missing:
            raise WrongContext(f"graph {self.graph.name} needs a value for {', '.join(missing)}")
        nodes = list(context)
        values = Values(nodes, delta, {} if dims is None else dims)
        for node in self.nodes[self.leaves :]:
            nodes.append(node.value(values))
        return values

    def jvp_all(self, values: Values[V], tangents: Sequence[V]) -> list[V]:
        """The tangent of every id, from the tangents of Γ (in id order)."""
        self._check_table(values)
        if len(tangents) != self.leaves:
            raise WrongContext(f"{self.leaves} tangents are needed, one an input; {len(tangents)} were given")
        out = list(tangents)
        for node in self.nodes[self.leaves :]:
            out.append(node.tangent(values, out))
        return out

    def backward_dense_from(self, values: Values[V], seeds: Sequence[V]) -> list[V]:
        """The gradient of every id, from a seed for every id.

        Peel off the last node, apply its backward to what has gathered on it, add that into the earlier ids, go on.
        """
        self._check_table(values)
        if len(seeds) != len(self.nodes):
            raise WrongContext(f"{len(self.nodes)} seeds are needed, one a node; {len(seeds)} were given")
        grads = list(seeds)
        add = self.semantics.add
        for node in reversed(self.nodes):
            if not node.requires_grad:
                continue
            for pid, contribution in node.backward(values, grads[node.id]):
                if not 0 <= pid < node.id:
                    raise ForwardEdge(f"node {node.id} ({node.op}) emitted a contribution to id {pid}")
                grads[pid] = add(grads[pid], contribution)
        return grads

    def backward_dense_all(self, values: Values[V], out: int | None = None, seed: V | None = None) -> list[V]:
        """The gradient of every id of the output `out` (default: the graph's only one), seeded with 1 or `seed`."""
        out = self._only_output() if out is None else out
        self._check_id(out)
        if seed is None:
            kind, shape = self.graph.nodes[out].type.kind, self.graph.nodes[out].type.shape
            if kind != "real" or shape:
                name = self.graph.nodes[out].name
                raise NotScalar(f"{name}: {self.graph.nodes[out].type} is not a real scalar; give its cotangent")
            seed = self.semantics.one(values.nodes[out])
        return self.backward_dense_from(values, self.seed_context(values, ((out, seed),)))

    def seed_context(self, values: Values[V], seeds: Iterable[tuple[int, V]]) -> list[V]:
        """A seed for every id: the given ones (added up where an id occurs twice), zero elsewhere."""
        self._check_table(values)
        given: dict[int, V] = {}
        for id_, seed in seeds:
            self._check_id(id_)
            given[id_] = self.semantics.add(given[id_], seed) if id_ in given else seed
        zero = self.semantics.zero
        return [given[i] if i in given else zero(value) for i, value in enumerate(values.nodes)]

    def _only_output(self) -> int:
        outputs = self.graph.outputs
        if not outputs:
            raise NoOutput(f"graph {self.graph.name} returns nothing")
        if len(outputs) > 1:
            names = ", ".join(self.graph.output_names)
            raise TapeError(f"graph {self.graph.name} returns {names}; say which one to differentiate")
        return outputs[0]

    def _check_id(self, id_: int) -> None:
        if not 0 <= id_ < len(self.nodes):
            raise UnknownId(f"graph {self.graph.name} has ids 0 to {len(self.nodes) - 1}, not {id_}")

    def _check_table(self, values: Values[V]) -> None:
        if len(values.nodes) != len(self.nodes):
            raise WrongContext(f"a table of {len(self.nodes)} values is needed, this one has {len(values.nodes)}")


def differentiated(graph: Graph, node: Node) -> tuple[tuple[int, int], ...]:
    """(argument position, parent id) of each contribution that a node makes, in argument order.

    Only real nodes at inputs that the operator differentiates get one: never Δ, integers, booleans or `const` inputs.
    """
    if node.op == INPUT or node.type.kind != "real":
        return ()
    params = graph.definition(node).params
    return tuple(
        (position, arg.id)
        for position, (arg, param) in enumerate(zip(node.args, params, strict=True))
        if isinstance(arg, Ref) and param.differentiable
    )


def _tape_node(graph: Graph, node: Node, semantics: Semantics[V]) -> TapeNode[V]:
    if node.op == INPUT:
        return _leaf(node)
    positions = differentiated(graph, node)
    wanted = [param.differentiable and node.type.kind == "real" for param in graph.definition(node).params]

    def value(values: Values[V]) -> V:
        return semantics.forward(node, values.args(node.args), values.dims)

    def tangent(values: Values[V], tangents: Sequence[V]) -> V:
        own = values.nodes[node.id]
        if not positions:
            return semantics.zero(own)
        args = values.args(node.args)
        given: list[V | None] = [None] * len(args)
        for position, arg in enumerate(node.args):
            if wanted[position]:
                given[position] = semantics.zero(args[position]) if isinstance(arg, Env) else tangents[arg.id]
        return semantics.jvp(node, args, own, given, values.dims)

    def backward(values: Values[V], cotangent: V) -> list[tuple[int, V]]:
        if not positions:
            return []
        args, own, dims = values.args(node.args), values.nodes[node.id], values.dims
        return [(pid, semantics.vjp(node, position, args, own, cotangent, dims)) for position, pid in positions]

    return TapeNode(node.id, node.op, node.parents, value, tangent, backward)


def _leaf(node: Node) -> TapeNode[V]:
    def value(values: Values[V]) -> V:
        return values.nodes[node.id]

    def tangent(values: Values[V], tangents: Sequence[V]) -> V:
        return tangents[node.id]

    def backward(values: Values[V], cotangent: V) -> list[tuple[int, V]]:
        return []

    return TapeNode(node.id, node.op, (), value, tangent, backward)
