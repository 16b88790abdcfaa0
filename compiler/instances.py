"""An operator's kernel at one node: its sizes become the graph's, its packs become axes. Not trusted: PLAN checks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction

from gradproof.compiler.dims import Entry, Poly
from gradproof.compiler.emit import NOTHING, Builder
from gradproof.compiler.kernels import Kernel, Operand, Scalar, Step, Use, Value, bare, label, register_name
from gradproof.compiler.ops import Axis, OpDef
from gradproof.compiler.rewriting import replace_reads, replace_reads_cond, substitute, substitute_cond
from gradproof.compiler.terms import Cond, Num, Term

Sizes = tuple[tuple[str, tuple[Poly, ...]], ...]
Attrs = tuple[tuple[str, Poly | Fraction], ...]


@dataclass(frozen=True, slots=True)
class Instance:
    """A kernel's steps over the graph's sizes; registers are numbered as in the kernel."""

    inputs: tuple[tuple[str, tuple[Poly, ...]], ...]  # name, extents of its axes
    steps: tuple[Step, ...]
    output: Value
    shape: tuple[Poly, ...]  # of the output, all packs expanded


def instantiate(kernel: Kernel, op: OpDef, sizes: Sizes, attrs: Attrs) -> Instance:
    """The kernel with every size, attribute and pack of a node put in."""
    packs = {axis.pack for p in (*op.params, op.output) for axis in p.axes if axis.pack}
    work = _Expansion(kernel, {n: e for n, e in sizes if n in packs}, sizes, attrs)
    inputs = tuple((i.name, work.extents(i.axes)) for i in kernel.program.inputs)
    steps = tuple(map(work.step, kernel.program.steps))
    return Instance(inputs, steps, work.value(kernel.program.outputs[0]), work.full(kernel.axes))


class _Expansion:
    def __init__(self, kernel: Kernel, packs: Mapping[str, tuple[Poly, ...]], sizes: Sizes, attrs: Attrs) -> None:
        self.program = kernel.program
        self.split = {n: e for n, e in packs.items() if n in kernel.packs and len(e) != 1}
        self.packs = packs
        self.polys = {n: Poly.product(e) for n, e in sizes} | {n: v for n, v in attrs if isinstance(v, Poly)}
        self.reals = {n: Num(v) for n, v in attrs if isinstance(v, Fraction)}

    def extents(self, extents: tuple[Poly, ...]) -> tuple[Poly, ...]:
        out: list[Poly] = []
        for extent in extents:
            out.extend(self.split.get(extent.as_symbol or "", (extent.substitute(self.polys),)))
        return tuple(out)

    def full(self, axes: tuple[Axis, ...]) -> tuple[Poly, ...]:
        out: list[Poly] = []
        for axis in axes:
            out.extend(self.packs[axis.pack] if axis.pack else (axis.extent.substitute(self.polys),))
        return tuple(out)

    def labels(self, extents: tuple[Poly, ...]) -> dict[str, tuple[Poly, ...]]:
        """Each label's new labels."""
        table: dict[str, tuple[Poly, ...]] = {}
        count = 0
        for k, extent in enumerate(extents):
            width = len(self.split.get(extent.as_symbol or "", (extent,)))
            table[f"${k}"] = tuple(label(count + j) for j in range(width))
            count += width
        return table

    def step(self, step: Step) -> Step:
        table = self.labels(step.extents)
        rank = sum(len(table[f"${k}"]) for k in range(step.rank))
        poly = None if step.poly is None else self.poly(step.poly, table)
        axis = None
        if step.axis is not None:
            axis = int((table[f"${step.axis}"][0].as_symbol or "$0")[1:])
        operands = tuple(self.operand(o, table) for o in step.operands)
        extents = self.extents(step.extents)
        return replace(step, extents=extents, rank=rank, operands=operands, poly=poly, axis=axis)

    def value(self, value: Value) -> Value:
        operand = self.operand(value.operand, self.labels(value.extents))
        return Value(self.extents(value.extents), operand, value.kind)

    def operand(self, operand: Operand, table: Mapping[str, tuple[Poly, ...]]) -> Operand:
        if isinstance(operand, Scalar):
            return Scalar(self.constant(operand.term))
        if not operand.index and self.program.axes(operand.reg):
            return operand  # a reshape reads the whole register
        return Use(operand.reg, self.index(operand.reg, operand.index, table), operand.padded)

    def index(self, reg: int, index: tuple[Poly, ...], table: Mapping[str, tuple[Poly, ...]]) -> tuple[Poly, ...]:
        out: list[Poly] = []
        for axis, poly in zip(self.program.axes(reg), index, strict=True):
            if axis.as_symbol in self.split:
                out.extend(table[poly.as_symbol or ""])
            else:
                out.append(self.poly(poly, table))
        return tuple(out)

    def poly(self, poly: Poly, table: Mapping[str, tuple[Poly, ...]]) -> Poly:
        name = poly.as_symbol
        if name is not None:
            return table[name][0] if name in table else self.polys.get(name, poly)
        marked = poly.rename_entries(lambda entry: self._entry(entry, table))
        names = {n: new[0] for n, new in table.items() if len(new) == 1}
        marks = {f"!{p}": p for new in table.values() for p in new}
        return marked.substitute({**self.polys, **names, **marks})

    def _entry(self, entry: Entry, table: Mapping[str, tuple[Poly, ...]]) -> Poly:
        # Split labels get their new names in `poly`, with all others at once; until then they are marked.
        out: list[Poly] = []
        for axis, poly in zip(self.program.axes(int(entry.tensor[1:])), entry.index, strict=True):
            new = table[poly.as_symbol or ""] if axis.as_symbol in self.split else ()
            out.extend([Poly.sym(f"!{p}") for p in new] if axis.as_symbol in self.split else [poly])
        return Poly.atom(Entry(entry.tensor, tuple(out)))

    def constant(self, term: Term | Cond) -> Term | Cond:
        if isinstance(term, Cond):
            return substitute_cond(replace_reads_cond(term, lambda r: self.reals[r.tensor]), self.polys)
        return substitute(replace_reads(term, lambda r: self.reals[r.tensor]), self.polys)


def apply(build: Builder, instance: Instance, given: Mapping[str, Value]) -> Value:
    """Add an instance's steps to a program; the value that it computes from the values given."""
    values: list[Value] = []
    for name, extents in instance.inputs:
        value = given[name]
        values.append(value if value.extents == extents else build.reshape(value, extents))
    for step in instance.steps:
        values.append(_add(build, step, values))
    output = instance.output
    labels = {f"${k}": e for k, e in enumerate(output.extents)}
    result = Value(output.extents, _operand(build, output.operand, labels, values), output.kind)
    return result if result.extents == instance.shape else build.reshape(result, instance.shape)


def _is_whole(build: Builder, value: Value) -> bool:
    operand = value.operand
    return (
        isinstance(operand, Use)
        and not operand.padded
        and operand.index == bare(len(value.extents))
        and build.axes(operand.reg) == value.extents
    )


def _operand(build: Builder, operand: Operand, labels: Mapping[str, Poly], values: list[Value]) -> Operand:
    if isinstance(operand, Scalar):
        return operand
    value = values[operand.reg]
    index = tuple(_poly(build, p, values) for p in operand.index)
    if _is_whole(build, value) and isinstance(value.operand, Use):
        return Use(value.operand.reg, index, operand.padded)
    return build.at(labels, value, index, operand.padded)


def _poly(build: Builder, poly: Poly, values: list[Value]) -> Poly:
    if poly.as_symbol is not None or not any(True for _ in poly.entries()):
        return poly

    def change(entry: Entry) -> Poly:
        reg = build.whole(values[int(entry.tensor[1:])])
        return Poly.atom(Entry(register_name(reg), entry.index))

    return poly.rename_entries(change)


def _add(build: Builder, step: Step, values: list[Value]) -> Value:
    """One step over the program's registers; the laws of `emit` apply again where an operand is no whole register."""
    if step.op == "reshape":
        (source,) = step.operands
        return build.reshape(values[source.reg if isinstance(source, Use) else 0], step.axes)
    if step.op == "extern":
        return build.extern(step.name, step.extents, [build.whole(values[reg]) for reg in step.reads])
    every = {f"${k}": e for k, e in enumerate(step.extents)}
    labels = {f"${k}": e for k, e in enumerate(step.axes)}
    bound = {f"${k}": step.extents[k] for k in range(step.rank, len(step.extents))}
    plain = all(isinstance(o, Scalar) or _is_whole(build, values[o.reg]) for o in step.operands)
    if step.op == "read_at":
        (use,) = step.operands
        operand = _operand(build, use, every, values)
        if isinstance(operand, Use) and plain:
            operand = build.read(every, operand.reg, operand.index, operand.padded)
        return Value(step.axes, operand, step.kind)
    operands = [_operand(build, o, every, values) for o in step.operands]
    poly = None if step.poly is None else _poly(build, step.poly, values)
    if plain:
        reg = build.store(replace(step, operands=tuple(operands), poly=poly))
        return Value(step.axes, Use(reg, bare(step.rank)), step.kind)
    return Value(step.axes, _lawful(build, step, labels, bound, operands, poly), step.kind)


def _lawful(
    build: Builder,
    step: Step,
    labels: Mapping[str, Poly],
    bound: Mapping[str, Poly],
    operands: list[Operand],
    poly: Poly | None,
) -> Operand:
    match step.op:
        case "map":
            return build.map(step.name, labels, *operands)
        case "pow":
            return build.pow(labels, operands[0], int(step.name))
        case "call":
            return build.call(step.name, labels, *operands)
        case "select":
            return build.select(labels, *operands)
        case "compare":
            return build.compare(step.name, labels, *operands)
        case "logic":
            return build.logic(step.name, labels, *operands)
        case "fold":
            return build.fold(step.name, labels, bound, *operands)
        case "contract":
            return build.contract(labels, bound, *operands)
        case "copy":
            return operands[0]
        case "add_at" if operands[0] == NOTHING:
            return NOTHING
    axis = None if step.axis is None else f"${step.axis}"
    return build.emit(step.op, step.name, step.kind, labels, operands, bound, poly, axis)
