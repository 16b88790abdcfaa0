"""A tape's semantics on arrays: each node is computed by its operator's kernels, over any scalars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import TypeAlias

import numpy as np
from gradproof.compiler.dims import Poly
from gradproof.compiler.graph import Graph, Node
from gradproof.compiler.lower import kernel_of
from gradproof.compiler.ops import COTANGENT, OUTPUT, TANGENT
from gradproof.runtime.interpret import run_kernel
from gradproof.runtime.looping import Layout, LoopNode, TapeBody
from gradproof.runtime.scalars import Array, Scalars
from gradproof.runtime.tape import Tape

Sizes: TypeAlias = Mapping[str, tuple[int, ...]]


class Kernels:
    """What a node does to arrays of these scalars; integer and boolean arrays are NumPy's in any case."""

    def __init__(self, graph: Graph, scalar: Scalars) -> None:
        self.graph, self.scalar = graph, scalar
        self._loops: dict[object, LoopNode] = {}

    def forward(self, node: Node, args: Sequence[Array], dims: Mapping[str, int]) -> Array:
        """The node's value."""
        if node.op in self.graph.loops:
            return self._loop(node, dims).value(args)
        return self._run(node, "forward", "", self._named(node, args), dims)

    def jvp(
        self, node: Node, args: Sequence[Array], value: Array, tangents: Sequence[Array | None], dims: Mapping[str, int]
    ) -> Array:
        """The tangent of the node's value."""
        if node.op in self.graph.loops:
            return self._loop(node, dims).jvp(args, value, tangents)
        given = self._named(node, args)
        given[OUTPUT] = value
        for param, tangent in zip(self.graph.ops[node.op].params, tangents, strict=True):
            if tangent is not None:
                given[TANGENT + param.name] = tangent
        return self._run(node, "jvp", "", given, dims)

    def vjp(
        self,
        node: Node,
        position: int,
        args: Sequence[Array],
        value: Array,
        cotangent: Array,
        dims: Mapping[str, int],
    ) -> Array:
        """The contribution of the node's cotangent to one argument."""
        if node.op in self.graph.loops:
            return self._loop(node, dims).vjp(position, args, value, cotangent)
        given = self._named(node, args)
        given[OUTPUT], given[COTANGENT] = value, cotangent
        return self._run(node, "vjp", self.graph.ops[node.op].params[position].name, given, dims)

    def add(self, a: Array, b: Array) -> Array:
        """a + b, entry by entry."""
        with self.scalar.context():
            return np.asarray(self.scalar.map("add", (a, b)))

    def zero(self, value: Array) -> Array:
        """Zeros in the shape of a value."""
        return self.scalar.zeros(np.shape(value))

    def one(self, value: Array) -> Array:
        """The cotangent 1 of a scalar."""
        return self.scalar.array(np.ones(np.shape(value), np.int64))

    def _loop(self, node: Node, dims: Mapping[str, int]) -> LoopNode:
        key = (node.op, tuple(dims.items()))
        if key not in self._loops:
            loop = self.graph.loops[node.op]
            body = TapeBody(loop, Kernels(loop.body, self.scalar), dims)
            self._loops[key] = LoopNode(Layout(loop, dims, self.scalar.zeros), body)
        return self._loops[key]

    def _named(self, node: Node, args: Sequence[Array]) -> dict[str, Array]:
        params = self.graph.ops[node.op].params
        return {param.name: value for param, value in zip(params, args, strict=True)}

    def _run(self, node: Node, mode: str, name: str, given: Mapping[str, Array], dims: Mapping[str, int]) -> Array:
        kernel = kernel_of(self.graph.ops[node.op], mode, name)
        sizes, ints, reals = bindings(node, dims)
        return run_kernel(kernel, given, sizes, ints, reals, self.scalar)


def bindings(node: Node, dims: Mapping[str, int]) -> tuple[Sizes, dict[str, int], dict[str, Fraction]]:
    """What the names of the operator stand for in a node: sizes, integer attributes, real attributes."""
    sizes = {name: tuple(extent.evaluate(dims) for extent in extents) for name, extents in node.sizes}
    ints = {name: value.evaluate(dims) for name, value in node.attrs if isinstance(value, Poly)}
    reals = {name: value for name, value in node.attrs if isinstance(value, Fraction)}
    return sizes, ints, reals


def array_tape(graph: Graph, scalar: Scalars) -> Tape[Array]:
    """The graph's tape over arrays of these scalars."""
    return Tape.of(graph, Kernels(graph, scalar))
