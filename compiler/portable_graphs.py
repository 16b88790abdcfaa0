"""Graphs, loops and plans as plain data, and back: what a certificate holds beside operators (portable.py).

Everything refers to one table of terms by number. What only serves messages (places in a text) is left out: a graph
that is read back makes the same claims about the same things. Not trusted: what is read is checked like any other.

A node is `[name, operator, arguments, attributes, sizes, type]`; an argument is a node's id or the name of an input of
Δ; attributes and sizes come in the operator's own order; an attribute is a polynomial's number or a rational's text. A
step of a plan is `[template, register, ...]`: templates hold all of a step but the registers of its operands.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any, get_args

from gradproof.compiler.dims import Poly
from gradproof.compiler.graph import (
    Arg,
    AttrValue,
    Bound,
    Delta,
    Dim,
    Entrywise,
    Env,
    Gradient,
    Graph,
    LoopDef,
    Node,
    Ref,
    Role,
    Seeded,
    SizeClaim,
    TensorType,
)
from gradproof.compiler.kernels import Input, Operand, Program, Scalar, Step, Use, Value
from gradproof.compiler.ops import OpDef
from gradproof.compiler.plan import Mode, Plan
from gradproof.compiler.portable import Table
from gradproof.compiler.portable_reader import Reader
from gradproof.compiler.slots import Slots
from gradproof.compiler.terms import Cond
from gradproof.grammar.source import Span

Data = dict[str, Any]


def graph_data(graph: Graph, table: Table) -> Data:
    """A graph as data; its operators are named, not held."""
    return {
        "assume_dims": [[table.poly(p), rel] for p, rel in graph.assume_dims],
        "assumes": [_bound(b, table) for b in graph.assumes],
        "delta": [[d.name, _type(d.type, table), _seeded(d.seeded)] for d in graph.delta],
        "dims": [[d.name, d.lower, None if d.value is None else table.poly(d.value)] for d in graph.dims],
        "ensures": [_bound(e, table) if isinstance(e, Bound) else _entrywise(e, table) for e in graph.ensures],
        "leaves": graph.leaves,
        "loops": {name: _loop(loop, table) for name, loop in graph.loops.items()},
        "nodes": [_node(node, table) for node in graph.nodes],
        "outputs": [[n, i] for n, i in zip(graph.output_names, graph.outputs, strict=True)],
        "size_claims": [[table.poly(c.left), table.poly(c.right), c.reason] for c in graph.size_claims],
    }


def read_graph(name: str, data: Data, reader: Reader, ops: Mapping[str, OpDef], span: Span) -> Graph:
    """The way back; every place is `span`. KeyError where an operator is missing, ValueError where data is no graph."""
    nodes = [_read_node(k, node, reader, ops, span) for k, node in enumerate(data["nodes"])]
    used = {node.op for node in nodes}
    return Graph(
        name,
        tuple(Dim(n, low, None if v is None else reader.poly(v), span) for n, low, v in data["dims"]),
        tuple(nodes),
        data["leaves"],
        tuple(Delta(n, _read_type(t, reader), span, _read_seeded(s)) for n, t, s in data["delta"]),
        tuple(id_ for _, id_ in data["outputs"]),
        tuple(n for n, _ in data["outputs"]),
        tuple(_read_bound(b, reader, span) for b in data["assumes"]),
        tuple(
            _read_bound(e, reader, span) if len(e) == 4 else _read_entrywise(e, reader, span) for e in data["ensures"]
        ),
        tuple((reader.poly(p), rel) for p, rel in data["assume_dims"]),
        tuple(SizeClaim(reader.poly(a), reader.poly(b), why, span) for a, b, why in data["size_claims"]),
        {op: ops[op] for op in ops if op in used},
        span,
        {n: _read_loop(n, loop, reader, ops, span) for n, loop in data["loops"].items()},
    )


def _type(type_: TensorType, table: Table) -> list[Any]:
    return [type_.dtype, *map(table.poly, type_.shape)]


def _read_type(data: Sequence[Any], reader: Reader) -> TensorType:
    return TensorType(data[0], tuple(map(reader.poly, data[1:])))


def _node(node: Node, table: Table) -> list[Any]:
    args = [arg.id if isinstance(arg, Ref) else arg.name for arg in node.args]
    attrs = [table.poly(v) if isinstance(v, Poly) else str(v) for _, v in node.attrs]
    sizes = [list(map(table.poly, shape)) for _, shape in node.sizes]
    return [node.name, node.op, args, attrs, sizes, _type(node.type, table)]


def _read_node(id_: int, data: Sequence[Any], reader: Reader, ops: Mapping[str, OpDef], span: Span) -> Node:
    name, op, args, attrs, sizes, type_ = data
    names = [a.name for a in ops[op].attrs] if op in ops else []
    values: list[AttrValue] = [Fraction(v) if isinstance(v, str) else reader.poly(v) for v in attrs]
    extents = [tuple(map(reader.poly, shape)) for shape in sizes]
    return Node(
        id_,
        name,
        op,
        tuple(_arg(a) for a in args),
        tuple(zip(names, values, strict=True)),
        tuple(zip(ops[op].sizes if op in ops else (), extents, strict=True)),
        _read_type(type_, reader),
        span,
    )


def _arg(data: int | str) -> Arg:
    return Ref(data) if isinstance(data, int) else Env(data)


def _seeded(seeded: Seeded | None) -> list[Any] | None:
    return None if seeded is None else [seeded.kind, seeded.seed, str(seeded.p)]


def _read_seeded(data: Sequence[Any] | None) -> Seeded | None:
    return None if data is None else Seeded(data[0], data[1], Fraction(data[2]))


def _side(side: int | str | Fraction | Poly, table: Table) -> list[Any]:
    match side:
        case Poly():
            return ["size", table.poly(side)]
        case Fraction():
            return ["number", str(side)]
        case int():
            return ["node", side]
        case _:
            return ["delta", side]


def _read_side(data: Sequence[Any], reader: Reader) -> int | str | Fraction | Poly:
    what, value = data
    if what == "size":
        return reader.poly(value)
    return Fraction(value) if what == "number" else value  # an id or a name


def _bound(bound: Bound, table: Table) -> list[Any]:
    return [_side(bound.left, table), bound.rel, _side(bound.right, table), bound.text]


def _read_bound(data: Sequence[Any], reader: Reader, span: Span) -> Bound:
    left, rel, right, text = data
    return Bound(_read_side(left, reader), rel, _read_side(right, reader), span, text)


def _entrywise(ensure: Entrywise, table: Table) -> list[Any]:
    return [
        [[table.name(n), table.poly(e)] for n, e in ensure.indices],
        table.cond(ensure.where),
        table.term(ensure.left),
        ensure.rel,
        table.term(ensure.right),
        [[n, a.id if isinstance(a, Ref) else a.name] for n, a in ensure.values],
        [
            [g.name, g.output, list(map(table.poly, g.at)), g.input, list(map(table.poly, g.to))]
            for g in ensure.gradients
        ],
        ensure.text,
    ]


def _read_entrywise(data: Sequence[Any], reader: Reader, span: Span) -> Entrywise:
    indices, where, left, rel, right, values, gradients, text = data
    return Entrywise(
        tuple((reader.name(n), reader.poly(e)) for n, e in indices),
        reader.cond(where),
        reader.term(left),
        rel,
        reader.term(right),
        tuple((n, _arg(a)) for n, a in values),
        tuple(
            Gradient(n, out, tuple(map(reader.poly, at)), into, tuple(map(reader.poly, to)))
            for n, out, at, into, to in gradients
        ),
        span,
        text,
    )


def _loop(loop: LoopDef, table: Table) -> Data:
    return {
        "body": graph_data(loop.body, table),
        "name": loop.body.name,
        "length": table.poly(loop.length),
        "reverse": int(loop.reverse),
        "roles": [list(role) for role in loop.roles],
    }


def _read_loop(name: str, data: Data, reader: Reader, ops: Mapping[str, OpDef], span: Span) -> LoopDef:
    roles: list[tuple[str, Role]] = [(n, role) for n, role in data["roles"]]
    if any(role not in get_args(Role) for _, role in roles):
        raise ValueError(f"the loop {name} has an input of no known role")
    graph = read_graph(data["name"], data["body"], reader, ops, span)
    return LoopDef(name, graph, reader.poly(data["length"]), tuple(roles), bool(data["reverse"]), span)


# Plans.


class Templates:
    """Steps without the registers that they read: each once, in order of appearance."""

    def __init__(self, table: Table) -> None:
        self.table, self.rows = table, list[list[Any]]()
        self._numbers: dict[Step, int] = {}

    def number(self, step: Step) -> list[int]:
        """`[template, register, ...]`."""
        regs = [o.reg for o in step.operands if isinstance(o, Use)]
        bare = Step(
            step.op,
            step.name,
            step.kind,
            step.extents,
            step.rank,
            tuple(Use(0, o.index, o.padded) if isinstance(o, Use) else o for o in step.operands),
            step.poly,
            step.axis,
            step.loop,
        )
        if bare not in self._numbers:
            self._numbers[bare] = len(self.rows)
            self.rows.append(self._row(bare))
        return [self._numbers[bare], *regs]

    def _row(self, step: Step) -> list[Any]:
        return [
            step.op,
            step.name,
            step.kind,
            list(map(self.table.poly, step.extents)),
            step.rank,
            [operand_data(o, self.table) for o in step.operands],
            None if step.poly is None else self.table.poly(step.poly),
            step.axis,
            None if step.loop is None else step.loop.name,
        ]


def operand_data(operand: Operand, table: Table) -> list[Any]:
    """An operand without its register: `["use", padded, index...]`, `["term", t]` or `["cond", c]`."""
    if isinstance(operand, Use):
        return ["use", int(operand.padded), *map(table.poly, operand.index)]
    if isinstance(operand.term, Cond):
        return ["cond", table.cond(operand.term)]
    return ["term", table.term(operand.term)]


def plan_data(plan: Plan, table: Table, templates: Templates) -> Data:
    """A plan as data, over templates that all plans of its graph share."""
    program, slots = plan.program, plan.slots
    return {
        "inputs": [[i.name, i.kind, *map(table.poly, i.axes)] for i in program.inputs],
        "outputs": [value_data(v, table) for v in program.outputs],
        "produces": [list(p) for p in plan.produces],
        "slots": list(slots.of),
        "sizes": [[kind, table.poly(p)] for kind, p in slots.sizes],
        "static": sorted(slots.static),
        "steps": [templates.number(step) for step in program.steps],
    }


def value_data(value: Value, table: Table) -> list[Any]:
    """`[kind, extents, operand, register]`; the register is null where the operand is a constant."""
    reg = value.operand.reg if isinstance(value.operand, Use) else None
    return [value.kind, list(map(table.poly, value.extents)), operand_data(value.operand, table), reg]


def read_plan(
    graph: Graph, mode: Mode, data: Data, rows: Sequence[Sequence[Any]], reader: Reader, cache: dict[int, Step]
) -> Plan:
    """The way back. `cache` keeps the templates that were read."""
    steps = []
    for number, *regs in data["steps"]:
        if number not in cache:
            cache[number] = _read_template(rows[number], reader, graph)
        steps.append(_with_registers(cache[number], regs))
    program = Program(
        tuple(Input(n, kind, tuple(map(reader.poly, axes))) for n, kind, *axes in data["inputs"]),
        tuple(steps),
        tuple(_read_value(v, reader) for v in data["outputs"]),
    )
    sizes = tuple((kind, reader.poly(p)) for kind, p in data["sizes"])
    slots = Slots(tuple(data["slots"]), sizes, frozenset(data["static"]))
    return Plan(graph, mode, program, tuple((what, id_) for what, id_ in data["produces"]), slots)


def _read_template(row: Sequence[Any], reader: Reader, graph: Graph) -> Step:
    op, name, kind, extents, rank, operands, poly, axis, loop = row
    return Step(
        op,
        name,
        kind,
        tuple(map(reader.poly, extents)),
        rank,
        tuple(_read_operand(o, 0, reader) for o in operands),
        None if poly is None else reader.poly(poly),
        axis,
        None if loop is None else graph.loops[loop],
    )


def _with_registers(step: Step, regs: Sequence[int]) -> Step:
    left = iter(regs)
    operands = tuple(Use(next(left), o.index, o.padded) if isinstance(o, Use) else o for o in step.operands)
    return Step(step.op, step.name, step.kind, step.extents, step.rank, operands, step.poly, step.axis, step.loop)


def _read_operand(data: Sequence[Any], reg: int, reader: Reader) -> Operand:
    what, *rest = data
    if what == "use":
        return Use(reg, tuple(map(reader.poly, rest[1:])), bool(rest[0]))
    return Scalar(reader.cond(rest[0]) if what == "cond" else reader.term(rest[0]))


def _read_value(data: Sequence[Any], reader: Reader) -> Value:
    kind, extents, operand, reg = data
    return Value(tuple(map(reader.poly, extents)), _read_operand(operand, reg or 0, reader), kind)
