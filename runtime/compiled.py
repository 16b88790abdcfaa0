"""Wrappers over leaf contexts: a proved scalar or tensor as a function of the list of its differentiable inputs.

A context is a sequence of arrays aligned with Γ; Δ is given by name when the wrapper is made, or at each call.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gradproof.compiler.graph import Graph, TensorType
from gradproof.runtime.program import Program
from gradproof.runtime.scalars import Array
from gradproof.runtime.tape import NoOutput, NotScalar, TapeError, WrongContext


class NotLast(TapeError):
    """The wrapped value must be the last node that the builder made."""


@dataclass(frozen=True, slots=True)
class _Wrapper:
    program: Program
    scalar: str | None = None
    delta: Mapping[str, Any] = field(default_factory=dict)

    def _named(self, what: str, context: Sequence[Any]) -> dict[str, Any]:
        gamma = self.program.graph.gamma
        if len(context) != len(gamma):
            names = ", ".join(node.name for node in gamma)
            raise WrongContext(f"{what}: {len(gamma)} arrays are needed ({names}), {len(context)} were given")
        return {node.name: value for node, value in zip(gamma, context, strict=True)}

    def _inputs(self, context: Sequence[Any]) -> dict[str, Any]:
        return {**self._named("context", context), **self.delta}

    def _aligned(self, grads: Mapping[str, Array]) -> tuple[Array, ...]:
        return tuple(grads[node.name] for node in self.program.graph.gamma)


@dataclass(frozen=True, slots=True)
class CompiledScalar(_Wrapper):
    """A proved graph whose last node is its one output, a real scalar."""

    def __post_init__(self) -> None:
        graph = self.program.graph
        type_ = _last_output(graph)
        if type_.kind != "real" or type_.shape:
            raise NotScalar(f"graph {graph.name} returns {type_}, which is no real scalar")

    def forward(self, x: Sequence[Any]) -> Array:
        """The value at the context x."""
        found = self.program.forward(self._inputs(x), scalar=self.scalar)
        return _single(found)

    def jvp(self, x: Sequence[Any], dx: Sequence[Any]) -> Array:
        """The derivative at x along the tangents dx."""
        _, tangent = self.program.jvp(self._inputs(x), self._named("tangents", dx), scalar=self.scalar)
        return _single(tangent)

    def backward(self, x: Sequence[Any]) -> tuple[Array, ...]:
        """The gradient, aligned with the context, from the seed 1."""
        _, grads = self.program.value_and_grad(self._inputs(x), scalar=self.scalar)
        return self._aligned(grads)

    def backward_with_seed(self, x: Sequence[Any], seed: Any) -> tuple[Array, ...]:
        """The gradient, aligned with the context, times a scalar seed."""
        _, grads = self.program.vjp(self._inputs(x), (seed,), scalar=self.scalar)
        return self._aligned(grads)


@dataclass(frozen=True, slots=True)
class CompiledGraph(_Wrapper):
    """A proved graph whose last node is its one output, a real tensor."""

    def __post_init__(self) -> None:
        graph = self.program.graph
        type_ = _last_output(graph)
        if type_.kind != "real":
            raise TapeError(f"graph {graph.name} returns {type_}, which has no derivative")

    def forward(self, x: Sequence[Any]) -> Array:
        """The output at the context x."""
        return _single(self.program.forward(self._inputs(x), scalar=self.scalar))

    def jvp(self, x: Sequence[Any], dx: Sequence[Any]) -> Array:
        """The output's derivative at x along the tangents dx."""
        _, tangent = self.program.jvp(self._inputs(x), self._named("tangents", dx), scalar=self.scalar)
        return _single(tangent)

    def vjp_with_seed(self, x: Sequence[Any], seed: Any) -> tuple[Array, ...]:
        """What the output's cotangent `seed` pulls back to the context."""
        _, grads = self.program.vjp(self._inputs(x), (seed,), scalar=self.scalar)
        return self._aligned(grads)


def _last_output(graph: Graph) -> TensorType:
    if not graph.inner:
        raise NoOutput(f"graph {graph.name} produces no node")
    last = graph.nodes[-1]
    if len(graph.outputs) != 1:
        raise NotLast(f"graph {graph.name} returns {len(graph.outputs)} values, and one is needed")
    if graph.outputs[0] != last.id:
        name = graph.nodes[graph.outputs[0]].name
        raise NotLast(f"graph {graph.name} returns {name}, but its last node is {last.name}")
    return last.type


def _single(results: Array | tuple[Array, ...]) -> Array:
    return results[0] if isinstance(results, tuple) else results
