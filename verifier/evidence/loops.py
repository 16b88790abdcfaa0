"""What the runtime's own loops do on values of which nothing is known, as tables: the evidence of a loop's claims."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from gradproof.compiler.claims import Claim
from gradproof.compiler.dims import Poly
from gradproof.compiler.graph import LoopDef, TensorType
from gradproof.compiler.portable import Table
from gradproof.runtime.looping import Layout, TapeBody
from gradproof.runtime.loops import Given, Loop, Pulled
from gradproof.verifier.checker.loops import LENGTHS, SIZES, check
from gradproof.verifier.evidence.graphs import loop_of
from gradproof.verifier.evidence.methods import Evidence, Subject
from gradproof.verifier.free import ADD, Bank, Expr, Inspected, Uninterpreted
from gradproof.verifier.induction import Step
from gradproof.verifier.layouts import body_problem, layout_problem

MakeLoop = Callable[[LoopDef, Any], Loop[Expr]]


@dataclass(slots=True)
class Series:
    """Entries that are symbols until they are written."""

    bank: Bank
    name: str
    writes: list[list[Any]]
    written: dict[str, Expr] = field(default_factory=dict)

    def read(self, at: Any) -> Expr:
        """What was written there, or else the symbol of the entry."""
        found = self.written.get(str(at))
        return self.bank.apply(f"{self.name} at {at}") if found is None else found

    def write(self, at: Any, value: Expr) -> None:
        """Note what is written."""
        self.written[str(at)] = value
        self.writes.append([self.name, str(at), value.id])

    def zero(self) -> Expr:
        """The zero of its entries."""
        return self.bank.apply("zero")


class Body:
    """A body of which nothing is known; inputs go by their numbers."""

    def __init__(self, loop: LoopDef, bank: Bank) -> None:
        self.bank, self.results = bank, range(len(loop.body.outputs))
        self.moving = [k for k, p in enumerate(loop.params) if p.differentiable]

    def forward(self, inputs: Sequence[Expr]) -> list[Expr]:
        """Result k of the inputs."""
        return [self.bank.apply(f"result {k}", *inputs) for k in self.results]

    def jvp(self, inputs: Sequence[Expr], tangents: Sequence[Expr]) -> list[Expr]:
        """The tangent of result k."""
        return [self.bank.apply(f"moved {k}", *inputs, *tangents) for k in self.results]

    def vjp(self, inputs: Sequence[Expr], cotangents: Sequence[Expr]) -> list[Expr]:
        """What is pulled back to input k."""
        return [self.bank.apply(f"back {k}", *inputs, *cotangents) for k in self.moving]

    def add(self, a: Expr, b: Expr) -> Expr:
        """a + b."""
        return self.bank.apply(ADD, a, b)

    accumulate = add

    def zero(self, like: Expr) -> Expr:
        """The zero of any value."""
        return self.bank.apply("zero")


class Watch:
    """A loop of the runtime's, to be run on symbols once; `make` builds it."""

    def __init__(self, definition: LoopDef, make: MakeLoop = Loop) -> None:
        self.definition, self.bank = definition, Bank()
        self.loop = make(definition, Body(definition, self.bank))

    def series(self, name: str, writes: list[list[Any]]) -> list[Any]:
        """A table of symbols."""
        return [Series(self.bank, f"{name} {k}", writes) for k in range(len(self.definition.body.outputs))]

    def given(self, what: str, moving: bool) -> Given[Expr]:
        """The inputs, or a tangent for each that has one."""
        values: dict[str, Expr] = {}
        sequences: dict[str, Any] = {}
        for k, ((name, role), param) in enumerate(zip(self.definition.roles, self.definition.params, strict=True)):
            if moving and not param.differentiable:
                continue
            if role == "sequence":
                sequences[name] = Series(self.bank, f"{what} {k}", [])
            else:
                values[name] = self.bank.apply(f"{what} {k}")
        return Given(values, sequences)

    def told(self, writes: list[list[Any]], carried: Sequence[Expr]) -> list[Any]:
        """Expressions, what was written, and what is carried."""
        return [self.bank.rows(), writes, [e.id for e in carried]]

    def forward(self, moved: bool, what: str, length: int = 0) -> list[Any]:
        """Rows of values or tangents: the first, step t, or all of a short loop."""
        writes: list[list[Any]] = []
        given, table = self.given("input", False), self.series("row", [] if moved else writes)
        moves, tangents = self.given("move", True), self.series("tangent", writes)
        loop, t = self.loop, Step("t")
        if what == "base":
            loop.start(moves if moved else given, tangents if moved else table)
        elif what == "step" and moved:
            loop.step_tangent(given, table, moves, tangents, t)
        elif what == "step":
            loop.step(given, table, t)
        elif moved:
            loop.jvp(given, table, moves, tangents, length)
        else:
            loop.forward(given, table, length)
        return self.told(writes, [])

    def backward(self, what: str, length: int = 0) -> list[Any]:
        """What is carried and written: at the end, by step t, or by a whole short loop."""
        writes: list[list[Any]] = []
        given, table, seeds = self.given("input", False), self.series("row", []), self.series("cotangent", [])
        names = [name for name, _ in self.definition.roles]
        numbers = {name: k for k, name in enumerate(names)}
        roles = dict(self.definition.roles)
        moving = [p.name for p in self.definition.differentiable]
        walked = [n for n in moving if roles[n] == "sequence"]
        fixed = [n for n in moving if roles[n] == "fixed"]
        grads: dict[str, Any] = {n: Series(self.bank, f"gradient {numbers[n]}", writes) for n in walked}
        if what == "base":
            pulled = self.loop.start_back(given, seeds, Step("T"))
        elif what == "step":
            carried = [self.bank.apply(f"carried {k}") for k in range(len(self.definition.states))]
            pulled = Pulled(carried, {n: self.bank.apply(f"gathered {numbers[n]}") for n in fixed})
            self.loop.step_back(given, table, seeds, pulled, grads, Step("t"))
        else:
            pulled = self.loop.vjp(given, table, seeds, grads, length)
        if sorted(pulled.fixed) != sorted(fixed):
            raise Inspected("other sums than those of the fixed inputs")
        return self.told(writes, [*pulled.states, *(pulled.fixed[n] for n in fixed)])


def steps(definition: LoopDef, code: str, about: str, make: MakeLoop = Loop) -> Evidence:
    """What a loop's steps do, as a claim about them needs it."""

    def watch() -> Watch:
        return Watch(definition, make)

    if about == "count":
        each = [(watch().forward(False, "", n), watch().forward(True, "", n), watch().backward("", n)) for n in LENGTHS]
        return {"by": "steps", "runs": [run for runs in each for run in runs]}
    run = watch().backward(about) if code == "VJP" else watch().forward(code == "JVP", about)
    return {"by": "steps", "runs": [run]}


def called(loop: LoopDef) -> list[Any] | None:
    """How a step applies its body's tape; None where that is not what the body's references say."""
    if body_problem(loop) is not None:
        return None
    graph, bank = loop.body, Bank()
    body = TapeBody(loop, Uninterpreted(graph, bank), {})
    leaves = {node.name: node.id for node in graph.gamma}
    names = [name for name, _ in loop.roles]
    given = {name: bank.apply(f"input {name}") for name in names}
    values = body.tape.denote_all(
        [given[n.name] for n in graph.gamma], {d.name: given[d.name] for d in graph.delta}, {}
    )
    moves = {name: bank.apply(f"tangent {name}") for name in names if name in leaves}
    tangents = body.tape.jvp_all(values, [moves[n.name] for n in graph.gamma])
    moving = [p.name for p in loop.differentiable]
    results = _ids(values.nodes, body.forward([given[n] for n in names]), graph.outputs)
    moved = _ids(tangents, body.jvp([given[n] for n in names], [moves[n] for n in moving]), graph.outputs)
    seeds = [[id_, *(k for k, out in enumerate(graph.outputs) if out == id_)] for id_ in sorted(set(graph.outputs))]
    return [[leaves.get(n, n) for n in names], results, moved, [leaves[n] for n in moving], seeds]


def _ids(table: Sequence[Expr], found: Sequence[Expr], first: Sequence[int]) -> list[int]:
    """Where in a table expressions stand: at these places, or at the first that holds them."""
    return [next(k for k in (*first[n : n + 1], *range(len(table))) if table[k] is e) for n, e in enumerate(found)]


def views(definition: LoopDef, sizes: Sequence[int], length: int, make: type[Layout] = Layout) -> list[list[list[int]]]:
    """Where the runtime's layout puts rows, arguments and gradients at small sizes, as offsets, extents and strides."""
    table: dict[Poly, Poly] = {}

    def small(shape: tuple[Poly, ...]) -> tuple[Poly, ...]:
        for extent in shape:
            table.setdefault(extent, Poly.of(sizes[len(table) % len(sizes)]))
        return tuple(table[extent] for extent in shape)

    def typed(type_: TensorType) -> TensorType:
        return replace(type_, shape=small(type_.shape))

    body = definition.body
    for shape in [n.type.shape for n in body.gamma] + [d.type.shape for d in body.delta]:
        small(shape)
    for column in definition.columns:
        small(column.shape)
    nodes = tuple(replace(node, type=typed(node.type)) for node in body.nodes)
    delta = tuple(replace(each, type=typed(each.type)) for each in body.delta)
    loop = replace(definition, body=replace(body, nodes=nodes, delta=delta), length=Poly.of(length))
    layout = make(loop, {}, lambda shape: np.zeros(shape))
    rows, bundle = layout.zeros(layout.table_shape), layout.zeros((layout.bundle_size,))
    arrays = {p.name: layout.zeros(tuple(a.extent.evaluate({}) for a in p.axes)) for p in loop.params}
    given, parts = layout.given(arrays), layout.gradients(bundle)
    taken: dict[str, Any] = {**given.values, **given.sequences}
    roles = dict(loop.roles)
    walked = {n: layout._rows(layout._walked(a)).array if roles[n] == "sequence" else a for n, a in parts.items()}
    return [
        [_view(getattr(series, "array", series), rows) for series in layout.columns(rows)],
        [_view(getattr(taken[n], "array", taken[n]), arrays[n]) for n, _ in loop.roles],
        [_view(walked[p.name], bundle) for p in loop.differentiable],
    ]


def _view(part: Any, base: Any) -> list[int]:
    if not part.size:
        return [0, *part.shape]
    offset = part.__array_interface__["data"][0] - base.__array_interface__["data"][0]
    strides = (0 if e == 1 else s // part.itemsize for e, s in zip(part.shape, part.strides, strict=True))
    return [offset // part.itemsize, *part.shape, *strides]


def observed(loop: LoopDef, claim: Claim) -> Evidence | None:
    """What the runtime's loop does, as a claim about it needs it; None where that can't be told."""
    about = claim.text.partition(":")[0]
    try:
        if about not in ("body", "layout"):
            return steps(loop, claim.code, about)
        rows: Any = called(loop)
        if about == "layout":
            cases = [[views(loop, sizes, length) for length in (0, 1, 3)] for sizes in SIZES]
            rows = cases if layout_problem(loop) is None else None
        return None if rows is None else {"by": "steps", "runs": rows}
    except (Inspected, LookupError, TypeError, ValueError, StopIteration):
        return None


def loop_evidence(subject: Subject, position: int, claim: Claim, table: Table) -> Evidence | None:
    """Evidence for a claim about a loop: what the runtime's loop does, where that shows the claim."""
    if not isinstance(subject.what, LoopDef):
        return None
    loop = loop_of(subject, table)
    if loop is None or claim.code == "WF":
        return None if loop is None else {"by": "structure"}
    found = observed(subject.what, claim)
    if found is not None:
        check(loop, claim.code, claim.text.partition(":")[0], found)
    return found
