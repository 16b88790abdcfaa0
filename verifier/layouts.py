"""How a loop's arrays are cut into results and gradients, and how its body is called: the runtime's code, on tokens.

Layout: the loop runs on arrays of which every entry says where it comes from, with a body that gives new ones, at small
sizes that stand for the loop's own. Then every entry of table, tangents and gradients must say what belongs there.
Nothing in that code depends on sizes but extents and offsets, so sizes are small; 0 and 1 are among them.

Body: the runtime's TapeBody runs on uninterpreted values and must give what the body's own reference tables say.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from gradproof.compiler.dims import Poly
from gradproof.compiler.graph import Graph, LoopDef, TensorType
from gradproof.runtime.looping import Layout, TapeBody
from gradproof.runtime.tape import Values
from gradproof.verifier.free import Bank, Expr, Uninterpreted, show
from gradproof.verifier.induction import Failure
from gradproof.verifier.reference import reference_gradients, reference_tangents, reference_values, seed_table

LENGTHS = (0, 1, 3)
SIZES = ((2, 3, 1, 4), (1, 1, 1, 1), (0, 2, 1, 3), (3, 0, 2, 1))  # what the loop's different extents become
ENTRIES = 100_000


def tokens(name: str, shape: Sequence[int]) -> Any:
    """An array whose entries say their name and position."""
    out = np.empty(tuple(shape), object)
    for at in np.ndindex(*out.shape):
        out[at] = f"{name}{list(at)}"
    return out


def zeros(shape: tuple[int, ...]) -> Any:
    """An array whose entries are all the token of zero."""
    out = np.empty(shape, object)
    for at in np.ndindex(*shape):
        out[at] = "0"
    return out


_JOIN = np.frompyfunc(lambda a, b: f"({a} + {b})", 2, 1)


@dataclass(slots=True)
class TokenBody:
    """A body that gives new tokens at every call, and notes what it was given."""

    results: list[tuple[int, ...]]
    moving: list[tuple[str, tuple[int, ...]]]
    seen: list[tuple[str, list[Any]]] = field(default_factory=list)

    def _note(self, what: str, *groups: Sequence[Any]) -> int:
        self.seen.append((what, [np.array(a, dtype=object) for group in groups for a in group]))
        return len(self.seen) - 1

    def forward(self, inputs: Sequence[Any]) -> list[Any]:
        """New results."""
        call = self._note("forward", inputs)
        return [tokens(f"result {k} of call {call}", shape) for k, shape in enumerate(self.results)]

    def jvp(self, inputs: Sequence[Any], tangents: Sequence[Any]) -> list[Any]:
        """New tangents."""
        call = self._note("jvp", inputs, tangents)
        return [tokens(f"tangent {k} of call {call}", shape) for k, shape in enumerate(self.results)]

    def vjp(self, inputs: Sequence[Any], cotangents: Sequence[Any]) -> list[Any]:
        """New contributions."""
        call = self._note("vjp", inputs, cotangents)
        return [tokens(f"back {name} of call {call}", shape) for name, shape in self.moving]

    def add(self, a: Any, b: Any) -> Any:
        """Tokens of sums."""
        return np.asarray(_JOIN(a, b), dtype=object)

    accumulate = add

    def zero(self, like: Any) -> Any:
        """Zeros."""
        return zeros(np.shape(like))


def small(loop: LoopDef, sizes: tuple[int, ...], length: int) -> LoopDef:
    """A loop with the same roles and ranks as this one: each different extent becomes one of `sizes` in turn."""
    table: dict[Poly, Poly] = {}

    def shape(type_: TensorType) -> TensorType:
        for extent in type_.shape:
            table.setdefault(extent, Poly.of(sizes[len(table) % len(sizes)]))
        return replace(type_, shape=tuple(table[extent] for extent in type_.shape))

    body = loop.body
    nodes = tuple(replace(node, type=shape(node.type)) for node in body.nodes)
    delta = tuple(replace(each, type=shape(each.type)) for each in body.delta)
    return replace(loop, body=replace(body, nodes=nodes, delta=delta), length=Poly.of(length))


def layout_problem(loop: LoopDef, make: Any = Layout) -> Failure | None:
    """The first entry that is not what belongs there; None where all are."""
    for sizes in SIZES:
        for length in LENGTHS:
            problem = next(_Sheet(small(loop, sizes, length), length, make).problems(), None)
            if problem is not None:
                return problem
    return None


class _Sheet:
    """One run of a loop on tokens, and what must come out, from the statement of compiler/loops.py alone."""

    def __init__(self, loop: LoopDef, length: int, make: Any) -> None:
        self.loop, self.length = loop, length
        self.roles = dict(loop.roles)
        self.moving = [p for p in loop.params if p.kind == "real" and not p.const]
        states = list(loop.states)
        outputs = [loop.body.nodes[k].type for k in loop.body.outputs]
        types = [loop.type_of(states[k]) if k < len(states) else type_ for k, type_ in enumerate(outputs)]
        self.shapes = [_numbers(type_.shape) for type_ in types]
        self.width = sum(int(np.prod(shape)) for shape in self.shapes)
        self.arrays = {p.name: tokens(p.name, _numbers(a.extent for a in p.axes)) for p in loop.params}
        self.states = states
        self.layout: Layout = make(loop, {}, zeros)

    def body(self) -> TokenBody:
        steps = [(p.name, _numbers(self.loop.type_of(p.name).shape)) for p in self.moving]
        return TokenBody(self.shapes, steps)

    def problems(self) -> Iterator[Failure]:
        """Forward, forward mode and reverse."""
        body, table = self.body(), zeros((self.length + 1, self.width))
        self.layout.value(body, self.arrays, table)
        rows = [self.initial(self.arrays)]
        rows += [[tokens(f"result {k} of call {t}", s) for k, s in enumerate(self.shapes)] for t in range(self.length)]
        yield from _unlike("the table", self.flat(rows), table)
        for t in range(self.length):
            yield from self.handed(body, t, [*self.inputs(t, rows[t])])
        body, moved = self.body(), zeros(table.shape)
        moves = {p.name: tokens(f"d{p.name}", self.arrays[p.name].shape) for p in self.moving}
        self.layout.jvp(body, self.arrays, table, moves, moved)
        tangents = [self.initial(moves)]
        for t in range(self.length):
            tangents.append([tokens(f"tangent {k} of call {t}", s) for k, s in enumerate(self.shapes)])
            along = [self.slice(p.name, t, tangents[t], moves) for p in self.moving]
            yield from self.handed(body, t, [*self.inputs(t, rows[t]), *along])
        yield from _unlike("the table's tangent", self.flat(tangents), moved)
        yield from self.reverse(table, rows)

    def reverse(self, table: Any, rows: list[list[Any]]) -> Iterator[Failure]:
        """The cotangents that each call gets, and the bundle of gradients."""
        body, seeds = self.body(), tokens("g", (self.length + 1, self.width))
        bundle = zeros((sum(self.arrays[p.name].size for p in self.moving),))
        self.layout.vjp(body, self.arrays, table, seeds, bundle)
        cut = [self.cut(row) for row in seeds]
        carried = cut[self.length][: len(self.states)]
        grads = {p.name: zeros(self.arrays[p.name].shape) for p in self.moving}
        for call, t in enumerate(reversed(range(self.length))):
            cotangents = [*carried, *cut[t + 1][len(self.states) :]]
            yield from self.handed(body, call, [*self.inputs(t, rows[t]), *cotangents])
            for name, shape in body.moving:
                back = tokens(f"back {name} of call {call}", shape)
                if self.roles[name] == "state":
                    k = self.states.index(name)
                    carried = [*carried[:k], body.add(cut[t][k], back), *carried[k + 1 :]]
                elif self.roles[name] == "sequence":
                    grads[name][self.place(t)] = back
                else:
                    grads[name] = body.add(grads[name], back)
        for name, state in zip(self.states, carried, strict=True):
            grads[name] = state
        flat = [entry for p in self.moving for entry in grads[p.name].reshape(-1)]
        yield from _unlike("the gradients", flat, bundle)

    def place(self, t: int) -> int:
        """The entry of a sequence that step t takes."""
        return self.length - 1 - t if self.loop.reverse else t

    def initial(self, arrays: dict[str, Any]) -> list[Any]:
        return [arrays[self.states[k]] if k < len(self.states) else zeros(s) for k, s in enumerate(self.shapes)]

    def slice(self, name: str, t: int, row: list[Any], arrays: dict[str, Any]) -> Any:
        if self.roles[name] == "state":
            return row[self.states.index(name)]
        return arrays[name][self.place(t)] if self.roles[name] == "sequence" else arrays[name]

    def inputs(self, t: int, row: list[Any]) -> Iterator[Any]:
        return (self.slice(name, t, row, self.arrays) for name in self.roles)

    def handed(self, body: TokenBody, call: int, wanted: list[Any]) -> Iterator[Failure]:
        """What the body was given at a call."""
        if call >= len(body.seen):
            yield Failure(f"{call + 1} calls of the body", f"{len(body.seen)}")
            return
        what, got = body.seen[call]
        if len(got) != len(wanted):
            yield Failure(f"{len(wanted)} values for the {what}", f"{len(got)}")
        for k, (a, b) in enumerate(zip(wanted, got, strict=False)):
            if np.shape(a) != b.shape:
                yield Failure(f"value {k} of the {what}: shape {np.shape(a)}", f"{b.shape}")
            yield from _unlike(f"value {k} of {what} {call}", np.asarray(a, object).reshape(-1), b)

    def flat(self, rows: list[list[Any]]) -> list[Any]:
        return [entry for row in rows for part in row for entry in np.asarray(part, object).reshape(-1)]

    def cut(self, row: Any) -> list[Any]:
        out, start = [], 0
        for shape in self.shapes:
            count = int(np.prod(shape))
            out.append(row[start : start + count].reshape(shape))
            start += count
        return out


def _numbers(extents: Any) -> tuple[int, ...]:
    return tuple(extent.evaluate({}) for extent in extents)


def _unlike(what: str, wanted: Any, got: Any) -> Iterator[Failure]:
    entries = list(np.asarray(got, object).reshape(-1))
    if len(wanted) != len(entries):
        yield Failure(f"{what}: {len(wanted)} entries", f"{len(entries)}")
        return
    for k, (a, b) in enumerate(zip(wanted, entries, strict=True)):
        if a != b:
            yield Failure(f"{what}, entry {k}: {a}", f"{b}")
            return


def body_problem(loop: LoopDef, make: Any = TapeBody) -> Failure | None:
    """Where a step does not apply the body's own tape: inputs by name, results, tangents and gradients in order."""
    graph, bank = loop.body, Bank()
    body = make(loop, Uninterpreted(graph, bank), {})
    names = [name for name, _ in loop.roles]
    context = {name: bank.apply(f"input {name}") for name in names}
    inputs = [context[name] for name in names]
    values = _values(graph, context, bank)
    moving = [p.name for p in loop.params if p.kind == "real" and not p.const]
    ids = {node.name: node.id for node in graph.gamma}
    tangents = {name: bank.apply(f"tangent {name}") for name in moving}
    along = reference_tangents(graph, values, [tangents[n.name] for n in graph.gamma], bank)
    seeds = [bank.apply(f"cotangent {k}") for k in range(len(graph.outputs))]
    table = seed_table(values, tuple(zip(graph.outputs, seeds, strict=True)), bank)
    back = reference_gradients(graph, values, table, bank)
    pairs = [
        ("result", [values.nodes[k] for k in graph.outputs], body.forward(inputs)),
        ("tangent", [along[k] for k in graph.outputs], body.jvp(inputs, [tangents[n] for n in moving])),
        ("gradient", [back[ids[n]] for n in moving], body.vjp(inputs, seeds)),
    ]
    for what, wanted, got in pairs:
        for k, (a, b) in enumerate(zip(wanted, got, strict=False)):
            if a is not b:
                return Failure(f"{what} {k}: {show(a)}", show(b))
        if len(wanted) != len(got):
            return Failure(f"{len(wanted)} {what}s", str(len(got)))
    a, b = (bank.apply(name) for name in "ab")
    for add in (body.add, body.accumulate):
        if add(a, b) is not bank.apply("+", a, b):
            return Failure("a + b", show(add(a, b)))
    return None if body.zero(a) is bank.apply("zero", a) else Failure("zero(a)", show(body.zero(a)))


def _values(graph: Graph, context: dict[str, Expr], bank: Bank) -> Values[Expr]:
    delta = {each.name: context[each.name] for each in graph.delta}
    return Values(reference_values(graph, context, bank), delta, {})
