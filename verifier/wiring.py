"""A plan's program against its graph: each output is what the graph says, through the right nodes in the right order.

The graph is walked again, apart from planning: kernels are put at their nodes' sizes, values and cotangents are passed
along the edges, contributions are added as the tape adds them. Plan and graph meet in the numbers of arrays.Universe.
One pass over the graph and one over the plan; sizes stay symbols.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction

from gradproof.compiler.dims import Entry, FloorDiv, Max, Min, Mod, Poly, Sym
from gradproof.compiler.graph import Env, Graph, LoopDef, Node
from gradproof.compiler.kernels import Kernel, Operand, Scalar, Step, Use, Value, is_label, label
from gradproof.compiler.lower import kernel_of
from gradproof.compiler.ops import COTANGENT, OUTPUT, TANGENT, Axis, Param
from gradproof.compiler.plan import Plan, cotangent_name, tangent_name
from gradproof.compiler.rewriting import replace_reads, replace_reads_cond, substitute, substitute_cond
from gradproof.compiler.terms import Cond, Num, Term
from gradproof.verifier.arrays import NOTHING, UNIT, Universe


class Miswired(ValueError):
    """The plan is not the graph's."""


def check_wiring(plan: Plan) -> list[str]:
    """What is wrong with the plan's program as a program for its graph; nothing where it is right."""
    try:
        return _Walk(plan).problems()
    except (Miswired, ValueError, IndexError, KeyError, TypeError) as error:
        return [f"the plan can't be followed: {type(error).__name__}: {error}"]


class _Walk:
    def __init__(self, plan: Plan) -> None:
        self.plan, self.graph = plan, plan.graph
        self.universe = Universe()
        self.fixed = _closed(plan.graph)
        self.inputs: dict[str, Value] = {}
        self._placed: dict[object, _Placed] = {}
        self._shapes: dict[tuple[Poly, ...], tuple[Poly, ...]] = {}

    def shape(self, extents: tuple[Poly, ...]) -> tuple[Poly, ...]:
        if extents not in self._shapes:
            self._shapes[extents] = tuple(e.substitute(self.fixed) for e in extents)
        return self._shapes[extents]

    def problems(self) -> list[str]:
        found = self.declared()
        if found:
            return found
        values = self.forward()
        tangents = self.tangents(values) if self.plan.mode == "jvp" else []
        grads = self.backward(values) if self.plan.mode in ("value_and_grad", "vjp") else {}
        tables = {"value": dict(enumerate(values)), "tangent": dict(enumerate(tangents)), "grad": grads}
        expected = [tables[what][id_] for what, id_ in self.plan.produces]
        found += self.promised()
        got = self.computed()
        if len(got) != len(expected):
            return [*found, f"{len(got)} outputs for {len(expected)} results"]
        for (what, id_), a, b in zip(self.plan.produces, expected, got, strict=True):
            if a.extents != b.extents or a.operand != b.operand or a.kind != b.kind:
                found.append(f"the {what} of node {id_} ({self.graph.nodes[id_].name}) is computed as something else")
        return found

    def declared(self) -> list[str]:
        """The inputs that the mode needs, held against the program's."""
        wanted = [(n.name, "real", self.shape(n.type.shape)) for n in self.graph.gamma]
        wanted += [(d.name, d.type.kind, self.shape(d.type.shape)) for d in self.graph.delta]
        if self.plan.mode == "jvp":
            wanted += [(tangent_name(n.name), "real", self.shape(n.type.shape)) for n in self.graph.gamma]
        if self.plan.mode == "vjp":
            for k, id_ in enumerate(self.graph.outputs):
                wanted.append((cotangent_name(k), "real", self.shape(self.graph.nodes[id_].type.shape)))
        given = [(i.name, i.kind, i.axes) for i in self.plan.program.inputs]
        self.inputs = {name: self.universe.given(name, kind, axes) for name, kind, axes in wanted}
        if len(self.inputs) != len(wanted):
            return ["two inputs have the same name"]
        return [] if given == wanted else ["the program's inputs are not the graph's"]

    def promised(self) -> list[str]:
        """Whether the plan hands out all that its mode promises, in order."""
        mode, produces = self.plan.mode, self.plan.produces
        rest = [p for p in produces if p[0] != "value"]
        wanted: list[tuple[str, int]] = []
        if mode == "jvp":
            wanted = [("tangent", id_) for id_ in self.graph.outputs]
        elif mode != "forward":
            wanted = [("grad", leaf.id) for leaf in self.graph.gamma]
        return [] if rest == wanted else ["the plan does not produce what its mode promises"]

    def computed(self) -> list[Value]:
        """The plan's own outputs."""
        program, universe = self.plan.program, self.universe
        registers = [self.inputs[i.name] for i in program.inputs]
        for step in program.steps:
            if any(reg >= len(registers) for reg in step.reads):
                raise Miswired(f"a step reads a later register: {step}")
            registers.append(universe.step(step, registers))
        out: list[Value] = []
        for value in program.outputs:
            labels = {f"${k}": e for k, e in enumerate(value.extents)}
            out.append(replace(value, operand=universe.operand(value.operand, labels, registers)))
        return out

    def args(self, node: Node, values: list[Value]) -> dict[str, Value]:
        params = self.graph.definition(node).params
        named: dict[str, Value] = {}
        for param, arg in zip(params, node.args, strict=True):
            named[param.name] = self.inputs[arg.name] if isinstance(arg, Env) else values[arg.id]
        return named

    def rule(self, node: Node, mode: str, name: str, given: Mapping[str, Value]) -> Value:
        """What one rule of a node's operator makes of these values."""
        key = (node.op, mode, name, node.sizes, node.attrs)
        placed = self._placed.get(key)
        if placed is None:
            placed = self._placed[key] = self._place(node, mode, name)
        universe = self.universe
        registers = [universe.reshaped(given[n], axes) for n, axes in placed.inputs]
        for step in placed.steps:
            registers.append(universe.step(step, registers))
        output = placed.output
        labels = {f"${k}": e for k, e in enumerate(output.extents)}
        result = Value(output.extents, universe.operand(output.operand, labels, registers), output.kind)
        return universe.reshaped(result, placed.shape)

    def _place(self, node: Node, mode: str, name: str) -> _Placed:
        op = self.graph.ops[node.op]
        sizes = {n: self.shape(e) for n, e in node.sizes}
        attrs = {n: v.substitute(self.fixed) if isinstance(v, Poly) else v for n, v in node.attrs}
        result = next((p for p in op.params if p.name == name), op.output) if mode == "vjp" else op.output
        return _Placement(kernel_of(op, mode, name), (*op.params, op.output), sizes, attrs).placed(result)

    def forward(self) -> list[Value]:
        values = [self.inputs[n.name] for n in self.graph.gamma]
        for node in self.graph.inner:
            if node.op in self.graph.loops:
                loop = self.graph.loops[node.op]
                values.append(self.loop(loop, "value", list(self.args(node, values).values()), node.type.shape))
                continue
            values.append(self.rule(node, "forward", "", self.args(node, values)))
        return values

    def tangents(self, values: list[Value]) -> list[Value]:
        out = [self.inputs[tangent_name(n.name)] for n in self.graph.gamma]
        for node in self.graph.inner:
            op = self.graph.definition(node)
            if node.type.kind != "real" or not op.differentiable:
                out.append(Value(self.shape(node.type.shape), NOTHING))
                continue
            args = self.args(node, values)
            moves = {
                p.name: Value(args[p.name].extents, NOTHING) if isinstance(a, Env) else out[a.id]
                for p, a in zip(op.params, node.args, strict=True)
                if p.differentiable
            }
            if isinstance(op, LoopDef):  # whose inputs may be called `y` or `dx`, as no operator's are
                operands = [*args.values(), values[node.id], *moves.values()]
                out.append(self.loop(op, "jvp", operands, node.type.shape))
                continue
            named = {TANGENT + name: value for name, value in moves.items()}
            out.append(self.rule(node, "jvp", "", {**args, OUTPUT: values[node.id], **named}))
        return out

    def backward(self, values: list[Value]) -> dict[int, Value]:
        """Dense reverse order; None stands for a cotangent that is exactly 0, whose contributions are 0 as well."""
        grads: list[Value | None] = [None] * len(self.graph.nodes)
        if self.plan.mode == "value_and_grad":
            (out,) = self.graph.outputs
            if self.graph.nodes[out].type.kind != "real" or self.graph.nodes[out].type.shape:
                raise Miswired("a gradient of what is no real scalar")
            grads[out] = Value((), UNIT)
        else:
            for k, id_ in enumerate(self.graph.outputs):
                if self.graph.nodes[id_].type.kind == "real":
                    grads[id_] = self.plus(grads[id_], self.inputs[cotangent_name(k)])
        for node in reversed(self.graph.inner):
            cotangent = grads[node.id]
            if cotangent is None or cotangent.operand == NOTHING or node.type.kind != "real":
                continue
            op = self.graph.definition(node)
            if isinstance(op, LoopDef):
                pulled = self.pulled(op, [*self.args(node, values).values(), values[node.id], cotangent])
            given = self.args(node, values) | {OUTPUT: values[node.id], COTANGENT: cotangent}
            for param, arg in zip(op.params, node.args, strict=True):
                if param.differentiable and not isinstance(arg, Env):
                    if arg.id >= node.id:
                        raise Miswired(f"node {node.id} reads node {arg.id}")
                    loop = isinstance(op, LoopDef)
                    more = pulled[param.name] if loop else self.rule(node, "vjp", param.name, given)
                    grads[arg.id] = self.plus(grads[arg.id], more)
        zero = {leaf.id: Value(self.shape(leaf.type.shape), NOTHING) for leaf in self.graph.gamma}
        return {id_: grads[id_] or zero[id_] for id_ in zero}

    def loop(self, loop: LoopDef, what: str, operands: list[Value], extents: tuple[Poly, ...]) -> Value:
        """One loop of whole arrays, in one step."""
        extents = self.shape(extents)
        uses = tuple(Use(k, ()) for k in range(len(operands)))
        return self.universe.step(Step("loop", what, "real", extents, len(extents), uses, loop=loop), operands)

    def pulled(self, loop: LoopDef, operands: list[Value]) -> dict[str, Value]:
        """The gradients of a loop: one after another, each in row-major order, in the order of its inputs."""
        moving = [p for p in loop.params if p.differentiable]
        shapes = [self.shape(tuple(axis.extent for axis in p.axes)) for p in moving]
        counts = [Poly.product(shape) for shape in shapes]
        bundle = self.loop(loop, "vjp", operands, (sum(counts, Poly.of(0)),))
        out: dict[str, Value] = {}
        for k, (param, shape) in enumerate(zip(moving, shapes, strict=True)):
            flat = sum(counts[:k], Poly.of(0))
            for axis in range(len(shape)):
                flat = flat + label(axis) * Poly.product(shape[axis + 1 :])
            out[param.name] = Value(shape, self.universe.read({}, bundle, (flat,), False))
        return out

    def plus(self, before: Value | None, more: Value) -> Value:
        if before is None:
            return more
        labels = {f"${k}": e for k, e in enumerate(before.extents)}
        return Value(before.extents, self.universe.map("add", labels, before.operand, more.operand))


@dataclass(frozen=True, slots=True)
class _Placed:
    """A kernel at a node's sizes, every pack that can be split being split."""

    inputs: tuple[tuple[str, tuple[Poly, ...]], ...]
    steps: tuple[Step, ...]
    output: Value
    shape: tuple[Poly, ...]


class _Placement:
    """A kernel's labels and axes after sizes have been put in. A split pack's label becomes several."""

    def __init__(
        self,
        kernel: Kernel,
        params: tuple[Param, ...],
        sizes: Mapping[str, tuple[Poly, ...]],
        attrs: Mapping[str, Poly | Fraction],
    ) -> None:
        self.kernel, self.program = kernel, kernel.program
        packs = {axis.pack for p in params for axis in p.axes if axis.pack is not None}
        self.packs = {n: e for n, e in sizes.items() if n in packs}
        self.split = {n: e for n, e in self.packs.items() if n in kernel.packs and len(e) != 1}
        self.polys = {n: Poly.product(e) for n, e in sizes.items()}
        self.polys |= {n: v for n, v in attrs.items() if isinstance(v, Poly)}
        self.reals = {n: v for n, v in attrs.items() if isinstance(v, Fraction)}

    def placed(self, result: Param) -> _Placed:
        inputs = tuple((i.name, self.wide(i.axes)) for i in self.program.inputs)
        steps = tuple(self.step(s) for s in self.program.steps)
        (output,) = self.program.outputs
        operand = self.operand(output.operand, self.table(output.extents))
        shape = tuple(e for axis in result.axes for e in self.axis(axis))
        return _Placed(inputs, steps, Value(self.wide(output.extents), operand, output.kind), shape)

    def axis(self, axis: Axis) -> tuple[Poly, ...]:
        return (axis.extent.substitute(self.polys),) if axis.pack is None else self.packs[axis.pack]

    def parts(self, extent: Poly) -> tuple[Poly, ...]:
        name = extent.as_symbol
        return self.split[name] if name in self.split else (extent.substitute(self.polys),)

    def wide(self, extents: tuple[Poly, ...]) -> tuple[Poly, ...]:
        return tuple(part for extent in extents for part in self.parts(extent))

    def table(self, extents: tuple[Poly, ...]) -> list[tuple[int, ...]]:
        """The new labels of each label."""
        out: list[tuple[int, ...]] = []
        count = 0
        for extent in extents:
            width = len(self.parts(extent))
            out.append(tuple(range(count, count + width)))
            count += width
        return out

    def step(self, step: Step) -> Step:
        table = self.table(step.extents)
        return Step(
            step.op,
            step.name,
            step.kind,
            self.wide(step.extents),
            sum(len(new) for new in table[: step.rank]),
            tuple(self.operand(o, table) for o in step.operands),
            None if step.poly is None else self.poly(step.poly, table),
            None if step.axis is None else self.single(table[step.axis]),
        )

    def single(self, labels: tuple[int, ...]) -> int:
        if len(labels) != 1:
            raise Miswired("the label of a split pack is used as a number")
        return labels[0]

    def operand(self, operand: Operand, table: list[tuple[int, ...]]) -> Operand:
        if isinstance(operand, Scalar):
            return Scalar(self.constant(operand.term))
        axes = self.program.axes(operand.reg)
        if not operand.index and axes:
            return operand
        return Use(operand.reg, self.index(axes, operand.index, table), operand.padded)

    def index(self, axes: tuple[Poly, ...], index: tuple[Poly, ...], table: list[tuple[int, ...]]) -> tuple[Poly, ...]:
        out: list[Poly] = []
        for extent, poly in zip(axes, index, strict=True):
            if extent.as_symbol not in self.split:
                out.append(self.poly(poly, table))
                continue
            name = poly.as_symbol
            if name is None or not is_label(name) or len(table[int(name[1:])]) != len(self.parts(extent)):
                raise Miswired(f"a split pack is read at {poly}")
            out += [label(k) for k in table[int(name[1:])]]
        return tuple(out)

    def poly(self, poly: Poly, table: list[tuple[int, ...]]) -> Poly:
        """An integer expression with its labels, sizes and entries put in, atom by atom."""
        out = Poly.of(0)
        for monomial, coefficient in poly.terms:
            product = Poly.of(coefficient)
            for atom, exponent in monomial:
                for _ in range(exponent):
                    product = product * self.atom(atom, table)
            out = out + product
        return out

    def atom(self, atom: object, table: list[tuple[int, ...]]) -> Poly:
        match atom:
            case Sym(name) if is_label(name):
                return label(self.single(table[int(name[1:])]))
            case Sym(name):
                return self.polys.get(name, Poly.sym(name))
            case FloorDiv(a, b):
                return self.poly(a, table) // self.poly(b, table)
            case Mod(a, b):
                return self.poly(a, table) % self.poly(b, table)
            case Min(a, b):
                return self.poly(a, table).minimum(self.poly(b, table))
            case Max(a, b):
                return self.poly(a, table).maximum(self.poly(b, table))
            case Entry(tensor, index):
                axes = self.program.axes(int(tensor[1:]))
                return Poly.atom(Entry(tensor, self.index(axes, index, table)))
        raise Miswired(f"unknown in an index: {atom}")

    def constant(self, term: Term | Cond) -> Term | Cond:
        if isinstance(term, Cond):
            return substitute_cond(replace_reads_cond(term, lambda r: Num(self.reals[r.tensor])), self.polys)
        return substitute(replace_reads(term, lambda r: Num(self.reals[r.tensor])), self.polys)


def _closed(graph: Graph) -> dict[str, Poly]:
    """The fixed dims, each as a polynomial in dims that are not fixed."""
    known: dict[str, Poly] = {}
    waiting = [d for d in graph.dims if d.value is not None]
    names = {d.name for d in waiting}
    while waiting:
        ready = [d for d in waiting if d.value is not None and not d.value.symbols & (names - known.keys())]
        if not ready:
            raise Miswired("dims that are fixed through each other")
        for dim in ready:
            if dim.value is not None:
                known[dim.name] = dim.value.substitute(known)
        waiting = [d for d in waiting if d not in ready]
    return known
