"""PLAN: a graph's plans compute its operators' rules, node by node, and no buffer is overwritten while live. [trusted]

Evidence says in which register of a plan each value, tangent, contribution and gradient of the graph stands. At each
node what leads from the arguments' registers to the node's own is written out as a term, by the meaning of the steps
(compiler/kernels.py), and held against the operator's rule at the node's sizes, with the arguments' registers left
uninterpreted. A register is read at one position, its place in row-major order, so axes may be grouped as one likes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from . import terms as t
from .agreement import agree
from .buffers import Layout, Template, Value, labels, ranged, template
from .graphs import Graph, Step
from .meanings import Differs, Formula, Meaning, flat, gathered
from .normal import Normal
from .operators import Op
from .reading import exactly
from .terms import ONE, ZERO, Node, Refused, product

Cuts = frozenset[int]
Wanted = Callable[[Meaning], Node]


class Setting:
    """What all plans of a graph share: its nodes with the fixed dims put in, and what was shown already."""

    def __init__(self, graph: Graph, ops: Callable[[str], Op]) -> None:
        self.graph, self.fixed, self.seen = graph, graph.fixed(), set[Any]()
        self.held: dict[Any, bool] = {}
        self.lower = {n: low for n, (low, value) in graph.dims.items() if value is None}
        self.assumed = [p.args[0] for p in graph.assumed if p.tag == "ge"]
        self.ops = {op: ops(op) for op in {step.op for step in graph.steps[graph.leaves :]} - graph.loops.keys()}
        self.shapes = [self.shape(step.type.shape) for step in graph.steps]
        self.steps: list[Step] = []
        self.like: list[int] = []  # a number for each node: the same for the same operator, sizes and attributes
        numbers: dict[Any, int] = {}
        for step in graph.steps:
            key = (step.op, *step.sizes.values(), *step.env.values(), *step.reals.values())
            self.like.append(numbers.setdefault(key, len(numbers)))
            sizes = {n: self.shape(e) for n, e in step.sizes.items()}
            env = {n: t.substitute(p, self.fixed) for n, p in step.env.items()}
            self.steps.append(step._replace(sizes=sizes, env=env))

    def inside(self, p: Node, axis: Node, ranges: Mapping[str, Node]) -> bool:
        """Whether a position is seen to be inside of an axis, its indices being below their extents."""
        if gathered(p):
            return False
        key = (p, axis, *ranges.items())
        if key not in self.held:
            work = Normal(self.lower, ranges, self.assumed)
            self.held[key] = work.surely(p) and work.surely(t.minus(t.minus(axis, p), t.const(1)))
        return self.held[key]

    def shape(self, extents: Sequence[Node]) -> tuple[Node, ...]:
        """Extents with the fixed dims put in."""
        return tuple(t.substitute(e, self.fixed) for e in extents) if self.fixed else tuple(extents)

    def inputs(self, mode: str) -> list[tuple[str, str, tuple[Node, ...]]]:
        """The inputs that a mode needs: Γ, Δ, then tangents or cotangents."""
        graph = self.graph
        names = [node[0] for node in graph.data["nodes"][: graph.leaves]]
        leaves = list(zip(names, self.shapes, strict=False))
        found = [(n, "real", shape) for n, shape in leaves]
        found += [(n, type_.kind, self.shape(type_.shape)) for n, type_ in graph.delta.items()]
        found += [(f"d {n}", "real", shape) for n, shape in leaves if mode == "jvp"]
        if mode == "vjp":
            found += [(f"g {k}", "real", self.shapes[id_]) for k, id_ in enumerate(graph.outputs)]
        return found


class Check:
    """One plan of a graph, as it is walked: where each value and cotangent stands, by the evidence."""

    def __init__(self, setting: Setting, mode: str, data: Any, forms: Sequence[Template]) -> None:
        graph = setting.graph
        self.setting, self.graph, self.mode, self.seen = setting, graph, mode, setting.seen
        self.shapes, self.steps = setting.shapes, setting.steps
        self.layout = Layout(data, forms, graph.poly, graph.part, setting.inputs(mode), setting.inside)
        self.wholes = dict[int, Value]()
        self.names = {n: k for k, (n, _, _) in enumerate(self.layout.inputs)}
        self.outputs = [self._output(v) for v in data["outputs"]]
        unread = set(range(self.layout.first, self.layout.count)) - self.layout.used - {v.reg for v in self.outputs}
        if unread:
            raise Refused(f"nothing reads what step {min(unread)} makes")
        self.produces = [(what, t.integer(id_)) for what, id_ in data["produces"]]

    def given(self, name: str) -> Value:
        """An input's value."""
        return self.whole(self.names[name])

    def whole(self, reg: int) -> Value:
        """A register as a tensor."""
        if reg not in self.wholes:
            axes = self.layout.axes(reg)
            self.wholes[reg] = Value(axes, reg, labels(len(axes)), False, None)
        return self.wholes[reg]

    def _output(self, data: Any) -> Value:
        kind, places, operand, reg = data
        shape = tuple(self.graph.poly(p) for p in places)
        value = self.layout.value(shape, operand, reg)
        if kind != self.kind(value) or (value.reg is not None and value.reg not in self.layout.alive):
            raise Refused("an output of another kind, or of a register that was overwritten")
        return value

    def kind(self, value: Value) -> str:
        """What kind of tensor it is."""
        if value.reg is not None:
            return self.layout.kind(value.reg)
        return "real" if value.term is not None and t.SORTS[value.term.tag] == "t" else "bool"

    def told(self, data: Any, id_: int) -> Value | None:
        """What the evidence says of a tensor of a node's shape and kind: a register, an operand, or nothing."""
        if data is None:
            return None
        if type(data) is int:
            value = self.whole(self.layout.reg(data))
        else:
            operand, reg = data
            value = self.layout.value(self.shapes[id_], operand, reg)
        if value.shape != self.shapes[id_] or self.kind(value) != self.graph.steps[id_].type.kind:
            raise Refused(f"what stands for node {id_} is of another shape or kind")
        return value

    # One node's rule

    def rule(self, id_: int, key: str, values: Mapping[str, Value | None], found: Value | None, hints: Any) -> None:
        """What is found is what a rule of node `id_` makes of the values; nothing is claimed of what is not there."""
        if found is None:
            return None
        step = self.steps[id_]
        if step.op in self.graph.loops:
            return self.looped(step, key, values, found)
        name = f"{step.op} {key}".rstrip()
        hint = hints.get(name, 0)
        cuts = frozenset(
            v.reg for n, v in values.items() if v is not None and v.reg is not None and (n != "y" or hint % 4 < 2)
        )
        if self.known((self.setting.like[id_], key, hint, self.pattern((found, *values.values()), cuts))):
            return None
        op, split = self.setting.ops[step.op], hint % 2 == 1
        wanted: Wanted = lambda m: Formula(m, op, step, values, split).at(key, found.shape)  # noqa: E731
        return self.shown(found, cuts, wanted, f"node {id_}", name, hint)

    def looped(self, step: Step, key: str, values: Mapping[str, Value | None], found: Value) -> None:
        """What is found is what a loop's step in the plan makes of the values, which it gets as whole registers."""
        loop, reg = self.graph.loops[step.op], found.reg
        made = self.layout.step(reg) if reg is not None else None
        while made is not None and made[0].op in ("copy", "reshape"):
            reg = made[1][0]
            made = self.layout.step(reg)
        what = {"": "value", "y": "jvp"}.get(key, "vjp")
        moving = [step.params[i].name for i in loop.moving]
        more = {"value": [], "jvp": ["y", *("d" + n for n in moving)], "vjp": ["y", "g"]}[what]
        given = [values[n] for n in (*(p.name for p in step.params), *more)]
        if reg is None or made is None or (made[0].op, made[0].name, made[0].loop) != ("loop", what, step.op):
            raise Refused(f"the {what} of a loop is not what its step makes")
        if len(given) != len(made[1]):
            raise Refused("a loop gets another number of registers than it takes")
        for value, own in zip(given, map(self.whole, made[1]), strict=True):
            if value is None or own.shape != value.shape or self.kind(own) != self.kind(value):
                raise Refused("what a loop gets is of another shape or kind, or is not computed")
            self.alike(own, value, "what a loop gets")
        whole = self.whole(reg)
        if what == "vjp":  # all gradients, one after another
            sizes = [self.setting.shape(loop.shape(i)) for i in loop.moving]
            offsets = [t.const(0)]
            for size in sizes:
                offsets.append(t.plus(offsets[-1], product(size)))
            k = moving.index(key)
            place = t.plus(offsets[k], flat(labels(len(sizes[k])), sizes[k]))
            whole, fits = Value(found.shape, reg, (place,), False, None), whole.shape == (offsets[-1],)
        else:
            fits = whole.shape == found.shape
        if not fits:
            raise Refused("what a loop makes is of another shape")
        self.alike(found, whole, "what a loop makes")

    def alike(self, found: Value, value: Value, what: str) -> None:
        """Two tensors of one shape are equal, whatever the second one's register holds."""
        if found != value:
            cuts = frozenset(() if value.reg is None else (value.reg,))
            self.shown(found, cuts, lambda m: m.value(value, labels(len(found.shape))), what)

    def shown(self, found: Value, cuts: Cuts, wanted: Wanted, what: str, key: str = "", hint: int = 0) -> None:
        """A tensor is, entry by entry, what is wanted of the registers that are cut, and defined wherever that is."""
        meaning = Meaning(self.layout, cuts, found.shape, self.setting.inside)
        got = meaning.value(found, labels(len(found.shape)))
        if not agree(got, wanted(meaning), self.setting.lower, ranged(found.shape), hint >= 4):
            raise Differs(f"{what} is computed as something else ({key} in the {self.mode} plan)", key)

    def known(self, pattern: Any) -> bool:
        """Whether the same was shown already, of other registers; it is shown now, or all is refused."""
        if pattern in self.seen:
            return True
        self.seen.add(pattern)
        return False

    def pattern(self, values: Sequence[Value | None], cuts: frozenset[int]) -> Any:
        """Tensors and the steps that make them, down to the cuts, with registers numbered in order of appearance."""
        layout, local, out = self.layout, dict[int, int](), list[Any]()
        for v in values:
            if v is None:
                out.append(v)
                continue
            shape, reg, at, padded, term = v
            out += (shape, at, padded, term)
            if reg is not None:
                out.append(local.setdefault(reg, len(local)))
        waiting = list(local)
        for reg in waiting:
            if reg < layout.first or reg in cuts:
                out += (layout.kinds[reg], layout.axes(reg))
                continue
            form, regs = layout.steps[reg - layout.first]
            out.append(id(form))
            for r in layout.reads.get(reg, regs):
                if r not in local:
                    local[r] = len(local)
                    waiting.append(r)
                out.append(local[r])
        return tuple(out)

    def values(self, rows: Any, hints: Any) -> list[Value | None]:
        """Every node's value, in order."""
        out: list[Value | None] = [self.whole(k) for k in range(self.graph.leaves)]
        for id_, data in zip(range(self.graph.leaves, len(self.steps)), rows, strict=True):
            out.append(self.told(data, id_))
            self.rule(id_, "", self.arguments(id_, out), out[id_], hints)
        return out

    def arguments(self, id_: int, values: Sequence[Value | None]) -> dict[str, Value | None]:
        """The arguments of a node, by the operator's names for them."""
        step = self.steps[id_]
        return {
            p.name: self.given(a) if isinstance(a, str) else values[a]
            for p, a in zip(step.params, step.args, strict=True)
        }

    def zero(self, id_: int) -> Value:
        """The tensor of zeros of a node's shape."""
        return Value(self.shapes[id_], None, (), False, ZERO)

    def tangents(self, values: Sequence[Value | None], rows: Any, hints: Any) -> list[Value | None]:
        """Every node's tangent, in order."""
        out: list[Value | None] = [self.given(f"d {node[0]}") for node in self.graph.data["nodes"][: self.graph.leaves]]
        for id_, data in zip(range(self.graph.leaves, len(self.steps)), rows, strict=True):
            step = self.steps[id_]
            if not any(p.moving for p in step.params):
                out.append(self.zero(id_) if self.graph.steps[id_].type.kind == "real" else None)
                continue
            given = {**self.arguments(id_, values), "y": values[id_]}
            for p, arg in zip(step.params, step.args, strict=True):
                if p.moving:
                    still = self.given(arg).shape if isinstance(arg, str) else ()
                    given["d" + p.name] = Value(still, None, (), False, ZERO) if isinstance(arg, str) else out[arg]
            out.append(self.told(data, id_))
            self.rule(id_, "y", given, out[id_], hints)
        return out

    def backward(self, values: Sequence[Value | None], rows: Any, hints: Any) -> dict[int, Value | None]:
        """The gradients of the leaves: full backpropagation, contributions added from the last node to the first."""
        grads: dict[int, Value | None] = {}
        told = iter(rows)
        if self.mode == "value_and_grad":
            (out,) = self.graph.outputs
            grads[out] = Value((), None, (), False, ONE)
        else:
            for k, out in enumerate(self.graph.outputs):
                if self.graph.steps[out].type.kind == "real":
                    self.gather(grads, out, self.given(f"g {k}"), told)
        for id_ in range(len(self.steps) - 1, self.graph.leaves - 1, -1):
            step, cotangent = self.steps[id_], grads.get(id_)
            if id_ not in grads or (cotangent is not None and cotangent.term is ZERO):
                continue
            given = {**self.arguments(id_, values), "y": values[id_], "g": cotangent}
            for p, arg in zip(step.params, step.args, strict=True):
                if p.moving and isinstance(arg, int):
                    found = self.told(next(told), arg)
                    self.rule(id_, p.name, given, found, hints)
                    self.gather(grads, arg, found, told)
        if next(told, None) is not None:
            raise Refused("the evidence holds more than the backward pass")
        return {k: grads.get(k, self.zero(k)) for k in range(self.graph.leaves)}

    def gather(self, grads: dict[int, Value | None], id_: int, more: Value | None, told: Iterator[Any]) -> None:
        """Add a contribution to a gradient: one addition, in this order."""
        if id_ not in grads:
            grads[id_] = more
            return
        before, total = grads[id_], self.told(next(told), id_)
        grads[id_] = total
        if total is None:
            return
        if before is None or more is None:
            raise Refused("a sum of what is not computed")
        cuts = frozenset(v.reg for v in (before, more) if v.reg is not None)
        if not self.known(self.pattern((total, before, more), cuts)):
            here = labels(len(total.shape))
            wanted: Wanted = lambda m: t.add(m.value(before, here), m.value(more, here))  # noqa: E731
            self.shown(total, cuts, wanted, f"the gradient of node {id_}")

    def proved(self, evidence: Any, hints: Any) -> None:
        """The plan's outputs are the graph's values, tangents and gradients."""
        exactly(evidence, ("back", "moves", "values"), f"the evidence of the {self.mode} plan")
        values = self.values(evidence["values"], hints)
        tables: dict[str, Any] = {"value": values}
        if self.mode == "jvp":
            tables["tangent"] = self.tangents(values, evidence["moves"], hints)
        elif self.mode != "forward":
            tables["grad"] = self.backward(values, evidence["back"], hints)
        wanted = [("value", id_) for id_ in self.graph.outputs]
        wanted += [("tangent", id_) for id_ in self.graph.outputs] if self.mode == "jvp" else []
        wanted += [("grad", k) for k in range(self.graph.leaves)] if "grad" in tables else []
        if self.produces != wanted or len(self.outputs) != len(wanted):
            raise Refused(f"the {self.mode} plan does not produce what it should")
        for (what, id_), found in zip(self.produces, self.outputs, strict=True):
            value = tables[what][id_]
            if value is None or found.shape != self.shapes[id_]:
                raise Refused(f"the {what} of node {id_} is not computed")
            self.alike(found, value, f"the {what} of node {id_}")


def modes(graph: Graph) -> tuple[str, ...]:
    """The modes in which a graph is planned."""
    types = [graph.steps[id_].type for id_ in graph.outputs]
    scalar = len(types) == 1 and types[0].kind == "real" and not types[0].shape
    return ("forward", "jvp", "value_and_grad", "vjp") if scalar else ("forward", "jvp", "vjp")


def check(graph: Graph, ops: Callable[[str], Op], evidence: Any) -> None:
    """PLAN of a graph."""
    exactly(evidence, ("by", "hints", "plans"), "the evidence")
    plans, wanted = graph.data["plans"], modes(graph)
    if tuple(sorted(plans)) != wanted or tuple(sorted(evidence["plans"])) != wanted:
        raise Refused(f"there should be plans for {', '.join(wanted)}")
    steps = [template(row, graph.poly, graph.part) for row in graph.data["templates"]]
    setting = Setting(graph, ops)
    for mode in wanted:
        Check(setting, mode, plans[mode], steps).proved(evidence["plans"][mode], evidence["hints"])
