"""A graph becomes one array program: forward, then backward in dense reverse order, what is equal computed once.

Contributions are added exactly as the tape adds them: from the last id to the first, for each node in the order of its
arguments, `grads[pid] = grads[pid] + contribution`. A cotangent that is exactly 0 adds nothing. Registers share buffers
(slots) where their lives don't overlap. Nothing here is trusted: verifier/plans.py checks the result.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from gradproof.compiler.dims import Poly
from gradproof.compiler.emit import NOTHING, UNIT, Builder
from gradproof.compiler.graph import Env, Graph, LoopDef, Node
from gradproof.compiler.instances import Attrs, Instance, Sizes, apply, instantiate
from gradproof.compiler.kernels import Program, Step, Use, Value, bare, label, live
from gradproof.compiler.lower import kernel_of
from gradproof.compiler.ops import COTANGENT, OUTPUT, TANGENT
from gradproof.compiler.slots import Slots, assign

Mode = Literal["forward", "value_and_grad", "vjp", "jvp"]


class Unplannable(ValueError):
    """The mode does not fit the graph: a gradient of what is no real scalar."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A graph's program in one mode. Inputs: Γ, then Δ by name, then `g k` (vjp) or `d name` (jvp).

    `produces` says what each output of the program is: ("value", id), ("grad", leaf id) or ("tangent", id).
    """

    graph: Graph
    mode: Mode
    program: Program
    produces: tuple[tuple[str, int], ...]
    slots: Slots


def cotangent_name(position: int) -> str:
    """The input that holds the cotangent of the graph's output number `position`."""
    return f"g {position}"


def tangent_name(name: str) -> str:
    """The input that holds the tangent of the graph's input `name`."""
    return f"d {name}"


def make_plan(graph: Graph, mode: Mode = "forward", values: tuple[int, ...] | None = None) -> Plan:
    """The plan of a graph. `values` are the ids whose values it hands out (default: the graph's outputs).

    value_and_grad: also the gradient of the one real scalar output, seeded with 1, for every leaf; vjp: the same from a
    cotangent for each output; jvp: the outputs' tangents from a tangent for each leaf.
    """
    work = Planner(graph)
    work.declare(mode)
    work.forward()
    wanted = graph.outputs if values is None else values
    produces = [("value", id_) for id_ in wanted]
    outputs = [work.values[id_] for id_ in wanted]
    if mode == "jvp":
        tangents = work.tangents()
        produces += [("tangent", id_) for id_ in graph.outputs]
        outputs += [tangents[id_] for id_ in graph.outputs]
    elif mode != "forward":
        grads = work.backward(work.seeds(mode))
        produces += [("grad", leaf.id) for leaf in graph.gamma]
        outputs += [grads[leaf.id] for leaf in graph.gamma]
    program = live(work.build.program(outputs))
    return Plan(graph, mode, program, tuple(produces), assign(program))


class Planner:
    """The work of one plan: values, tangents and cotangents of a graph, as operands of one program."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.build = Builder()
        self.values: list[Value] = []
        self.delta: dict[str, Value] = {}
        self.fixed = closed(graph.fixed())
        self._shapes: dict[tuple[Poly, ...], tuple[Poly, ...]] = {}
        self._instances: dict[object, Instance] = {}

    def shape(self, extents: tuple[Poly, ...]) -> tuple[Poly, ...]:
        """Extents with the fixed dims put in."""
        found = self._shapes.get(extents)
        if found is None:
            found = self._shapes[extents] = tuple(e.substitute(self.fixed) for e in extents)
        return found

    def declare(self, mode: Mode) -> None:
        """All inputs of the program, in order."""
        for node in self.graph.gamma:
            self.values.append(self._input(node.name, "real", node.type.shape))
        for given in self.graph.delta:
            self.delta[given.name] = self._input(given.name, given.type.kind, given.type.shape)
        if mode == "jvp":
            for node in self.graph.gamma:
                self._input(tangent_name(node.name), "real", node.type.shape)
        if mode == "vjp":
            for k, id_ in enumerate(self.graph.outputs):
                self._input(cotangent_name(k), "real", self.graph.nodes[id_].type.shape)

    def _input(self, name: str, kind: str, extents: tuple[Poly, ...]) -> Value:
        extents = self.shape(extents)
        return Value(extents, Use(self.build.input(name, kind, extents), bare(len(extents))), kind)

    def _declared(self, name: str) -> Value:
        for reg, given in enumerate(self.build.inputs):
            if given.name == name:
                return Value(given.axes, Use(reg, bare(len(given.axes))), given.kind)
        raise KeyError(name)

    def instance(self, node: Node, mode: str, name: str = "") -> Instance:
        """The kernel of one rule of a node's operator, at the node's sizes."""
        key = (node.op, mode, name, node.sizes, node.attrs)
        found = self._instances.get(key)
        if found is None:
            op = self.graph.ops[node.op]
            sizes: Sizes = tuple((n, self.shape(e)) for n, e in node.sizes)
            attrs: Attrs = tuple((n, v.substitute(self.fixed) if isinstance(v, Poly) else v) for n, v in node.attrs)
            found = self._instances[key] = instantiate(kernel_of(op, mode, name), op, sizes, attrs)
        return found

    def args(self, node: Node) -> dict[str, Value]:
        """The values of a node's arguments, by the operator's names for them."""
        op = self.graph.definition(node)
        return {
            p.name: self.delta[a.name] if isinstance(a, Env) else self.values[a.id]
            for p, a in zip(op.params, node.args, strict=True)
        }

    def loop(self, loop: LoopDef, what: str, operands: Iterable[Value], extents: tuple[Poly, ...]) -> Value:
        """One loop, in one step."""
        extents = self.shape(extents)
        regs = tuple(Use(self.build.whole(value), ()) for value in operands)
        reg = self.build.store(Step("loop", what, "real", extents, len(extents), regs, loop=loop))
        return Value(extents, Use(reg, bare(len(extents))))

    def forward(self) -> None:
        """Every node's value, in id order."""
        for node in self.graph.inner:
            if node.op in self.graph.loops:
                loop = self.graph.loops[node.op]
                self.values.append(self.loop(loop, "value", self.args(node).values(), node.type.shape))
                continue
            self.values.append(apply(self.build, self.instance(node, "forward"), self.args(node)))

    def tangents(self) -> list[Value]:
        """Every node's tangent, in id order."""
        out = [self._declared(tangent_name(node.name)) for node in self.graph.gamma]
        for node in self.graph.inner:
            op = self.graph.definition(node)
            zero = Value(self.shape(node.type.shape), NOTHING)
            if not op.differentiable or node.type.kind != "real":
                out.append(zero)
                continue
            args = self.args(node)
            moves = {
                p.name: Value(args[p.name].extents, NOTHING) if isinstance(a, Env) else out[a.id]
                for p, a in zip(op.params, node.args, strict=True)
                if p.differentiable
            }
            if isinstance(op, LoopDef):  # whose inputs may be called `y` or `dx`, as no operator's are
                operands = (*args.values(), self.values[node.id], *moves.values())
                out.append(self.loop(op, "jvp", operands, node.type.shape))
                continue
            named = {TANGENT + name: value for name, value in moves.items()}
            out.append(apply(self.build, self.instance(node, "jvp"), {**args, OUTPUT: self.values[node.id], **named}))
        return out

    def seeds(self, mode: Mode) -> dict[int, Value]:
        """The cotangents that the backward pass starts from."""
        outputs = self.graph.outputs
        if mode == "value_and_grad":
            if len(outputs) != 1 or self.graph.nodes[outputs[0]].type.kind != "real":
                raise Unplannable(f"graph {self.graph.name}: value_and_grad needs exactly one real output")
            shape = self.graph.nodes[outputs[0]].type.shape
            if shape:
                raise Unplannable(f"graph {self.graph.name}: the output has axes; give its cotangent")
            return {outputs[0]: Value((), UNIT)}
        seeds: dict[int, Value] = {}
        for k, id_ in enumerate(outputs):
            if self.graph.nodes[id_].type.kind == "real":
                seed = self._declared(cotangent_name(k))
                seeds[id_] = self._plus(seeds[id_], seed) if id_ in seeds else seed
        return seeds

    def backward(self, grads: dict[int, Value]) -> dict[int, Value]:
        """The gradient of every leaf, from the seeds."""
        for node in reversed(self.graph.inner):
            cotangent = grads.pop(node.id, None)
            if cotangent is None or cotangent.operand == NOTHING:
                continue
            for parent, contribution in self._contributions(node, cotangent):
                before = grads.get(parent)
                grads[parent] = contribution if before is None else self._plus(before, contribution)
        for leaf in self.graph.gamma:
            grads.setdefault(leaf.id, Value(self.shape(leaf.type.shape), NOTHING))
        return grads

    def _contributions(self, node: Node, cotangent: Value) -> Iterable[tuple[int, Value]]:
        op = self.graph.definition(node)
        if node.type.kind != "real":
            return
        if isinstance(op, LoopDef):
            yield from self._loop_contributions(node, op, cotangent)
            return
        given: Mapping[str, Value] | None = None
        for p, a in zip(op.params, node.args, strict=True):
            if p.differentiable and not isinstance(a, Env):
                given = given or {**self.args(node), OUTPUT: self.values[node.id], COTANGENT: cotangent}
                yield a.id, apply(self.build, self.instance(node, "vjp", p.name), given)

    def _loop_contributions(self, node: Node, loop: LoopDef, cotangent: Value) -> Iterable[tuple[int, Value]]:
        """All gradients of a loop come from one step; each is a part of its flat result."""
        parts = {p.name: column for p, column in zip(loop.differentiable, loop.gradients, strict=True)}
        if not any(p.name in parts and not isinstance(a, Env) for p, a in zip(loop.params, node.args, strict=True)):
            return
        operands = (*self.args(node).values(), self.values[node.id], cotangent)
        bundle = self.loop(loop, "vjp", operands, (loop.bundle,))
        for p, a in zip(loop.params, node.args, strict=True):
            if p.name in parts and not isinstance(a, Env):
                yield a.id, part(bundle, self.shape(parts[p.name].shape), parts[p.name].offset.substitute(self.fixed))

    def _plus(self, a: Value, b: Value) -> Value:
        labels = {f"${k}": e for k, e in enumerate(a.extents)}
        return Value(a.extents, self.build.map("add", labels, a.operand, b.operand))


def part(bundle: Value, shape: tuple[Poly, ...], offset: Poly) -> Value:
    """The tensor of this shape whose entries stand in a flat bundle from `offset` on."""
    position = offset
    for k in range(len(shape)):
        position = position + label(k) * Poly.product(shape[k + 1 :])
    reg = bundle.operand.reg if isinstance(bundle.operand, Use) else 0
    return Value(shape, Use(reg, (position,)))


def closed(fixed: Mapping[str, Poly]) -> dict[str, Poly]:
    """Fixed dims by name, with dims that are fixed through others resolved."""
    table = dict(fixed)
    for _ in range(len(table)):
        if not any(v.symbols & table.keys() for v in table.values()):
            break
        table = {name: v.substitute(table) for name, v in table.items()}
    return table
