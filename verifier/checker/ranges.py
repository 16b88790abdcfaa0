"""DOM of graphs: intervals flow through the nodes, and what each operator needs follows from them. [trusted]"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from .bounds import ANY, NONE, Bounds, Interval, meet, point
from .graphs import Graph, Step
from .linear import Hints
from .loops import Loop, said
from .operators import Op
from .scopes import REAL, Need, Scope, in_range, parts, scope_of
from .sides import real_needs, slope
from .terms import (
    Node,
    Refused,
    const,
    ge,
    make,
    minus,
    num,
    plus,
    product,
    rational,
    rebuild,
    substitute,
    sym,
    walk,
)


def named(step: Step) -> dict[str, str]:
    """What an operator's inputs are called in the graph's terms: by the value, and the axes under which it is read."""
    return {
        p.name: f"{arg}|{','.join(substitute(extent, step.env).key for extent, _, _ in p.axes)}"
        for p, arg in zip(step.params, step.args, strict=True)
    }


def placed(step: Step, node: Node) -> Node:
    """An operator's term or condition in the graph's names; indices get a stroke, which no dim has."""
    tensors = named(step)

    def one(n: Node) -> Node:
        if n.tag == "read" and n.args[0] in step.reals:
            return num(step.reals[n.args[0]])
        n = rebuild(n, one) if n.tag != "entry" else make("entry", n.args[0], *map(one, n.args[1:]))
        if n.tag in ("read", "bool", "entry") and n.args[0] in tensors:
            n = make(n.tag, tensors[n.args[0]], *n.args[1:])
        return make("poly", (1, (n,))) if n.tag == "entry" else n

    return one(substitute(node, {**step.env, **{k: sym(f"{k}`") for k in node.free - step.env.keys()}}))


class Table(NamedTuple):
    """The interval of each result of a loop's body in row 0 of its table, and in the later rows."""

    loop: Loop
    first: list[Interval]
    rest: list[Interval]


def join(*intervals: Interval) -> Interval:
    """The least interval around these."""
    return min(low for low, _ in intervals), min(high for _, high in intervals)


class Ranges:
    """The interval of every real value of a graph: of a node by its number, of an input of Δ by its name."""

    def __init__(self, graph: Graph, op: Callable[[str], Op], hints: Hints) -> None:
        self.graph, self.op, self.hints = graph, op, hints
        self.scope = Scope(graph.dims, graph.facts())
        steps = enumerate(graph.steps[graph.leaves :], graph.leaves)
        self.steps = [(id_, step) for id_, step in steps if step.op not in graph.loops]  # their bodies have a DOM
        whole = {
            (t, len(p.axes))
            for _, s in self.steps
            for p, t in zip(s.params, named(s).values(), strict=True)
            if p.kind == "int"
        }
        for tensor, count in sorted(whole):
            self.scope.facts.every += graph.entries(tensor, count)
        self.bounds = Bounds(self.scope, hints)
        self.known = dict[str, Interval]()
        for left, rel, right, _ in graph.data["assumes"]:
            for side, other, up in ((left, right, True), (right, left, False)):
                if side[0] in ("node", "delta") and other[0] == "number" and rel in ("<", "<=", "=="):
                    self._learn(str(side[1]), rel, point(rational(other[1])), up)
        for name, _, seeded in graph.data["delta"]:
            if seeded is not None:
                self._learn(name, "<=", point(0), False)
                self._learn(name, "<=" if seeded[0] == "bernoulli" else "<", point(1), True)
        self.assumed, self.tables = dict(self.known), dict[str, Table]()
        found: dict[object, Interval] = {}
        for id_, step in enumerate(graph.steps[graph.leaves :], graph.leaves):
            if step.op in graph.loops:
                self.tables[str(id_)] = table = self.table(step)
                self.known[str(id_)] = join(*table.first, *table.rest)
                continue
            key = self.key(step)
            if step.type.kind == "real":
                if key not in found:
                    forward = op(step.op).forward
                    inside = self.inside(step, zip(forward.indices, forward.extents, strict=True))
                    term = placed(step, op(step.op).meaning())
                    for tensor in named(step).values():
                        if tensor.partition("|")[0] in self.tables:
                            self.bounds.reads[tensor] = self.read_out(tensor, term, inside)
                    found[key] = self.bounds.of(term, inside)
                self.known[str(id_)] = found[key]

    def table(self, step: Step) -> Table:
        """What is known of a loop's table, where intervals show that what the body assumes holds at every step."""
        loop = self.graph.loops[step.op]
        body = Ranges(loop.body, self.op, self.hints)
        given = [self.known.get(str(arg), ANY) for arg in step.args]
        rest = [body.known.get(str(id_), ANY) for id_ in loop.body.outputs]
        first = [given[i] for i in loop.states]
        first += [point(0)] * (len(rest) - len(first))
        wanted = [body.assumed.get(str(own), ANY) for own in loop.inputs]
        kept = [*zip(given, wanted, strict=True), *((rest[k], wanted[i]) for k, i in enumerate(loop.states))]
        integers = [new for i, new in loop.bounds(step.args) if loop.body.of(loop.inputs[i]).kind == "int"]
        if any(meet(i, j) != i for i, j in kept) or not said(self.graph.data["assumes"]).issuperset(integers):
            return Table(loop, [ANY] * len(rest), [ANY] * len(rest))
        return Table(loop, first, rest)

    def read_out(self, tensor: str, term: Node, scope: Scope) -> Interval:
        """What a formula reads of a table: of one result, and of the later rows, where that is shown."""
        loop, first, rest = self.tables[tensor.partition("|")[0]]
        found = list[Interval]()
        for n in () if any(n.tag == "reduce" for n in walk(term)) else walk(term):
            if n.tag == "read" and n.args[0] == tensor and len(n.args) == 3:
                offset, chosen = const(0), list[int]()
                spans = list[Node]()
                for shape in loop.columns:
                    spans.append(in_range(minus(n.args[2], offset), product(shape)))
                    offset = plus(offset, product(shape))

                def fits(k: int, spans: list[Node] = spans, chosen: list[int] = chosen) -> bool:
                    chosen[:] = [k]
                    return self.hints.shown(scope.facts, spans[k])

                if self.hints.choice(range(len(spans)), fits):
                    (k,) = chosen
                    later = self.hints.shown(scope.facts, ge(plus(n.args[1], const(-1))))
                    found.append(rest[k] if later else join(first[k], rest[k]))
                    continue
            if n.tag == "read" and n.args[0] == tensor:
                found.append(join(*first, *rest))
        return join(*found) if found else join(*first, *rest)

    def _learn(self, name: str, rel: str, value: Interval, up: bool) -> None:
        end = (value[up][0], rel == "<")
        found = value if rel == "==" else (NONE, end) if up else (end, NONE)
        self.known[name] = meet(self.known.get(name, ANY), found)

    def key(self, step: Step) -> object:
        """All that a node's range and needs depend on: which arguments are the same, and their ranges."""
        tensors = named(step)
        places = list(dict.fromkeys(tensors.values()))
        for name in places:
            self.bounds.reads[name] = self.known.get(name.split("|")[0], ANY)
        same = tuple((places.index(t), self.bounds.reads[t]) for t in tensors.values())
        whole = tuple(t for p, t in zip(step.params, tensors.values(), strict=True) if p.kind == "int")
        tables = tuple(t for t in tensors.values() if t.partition("|")[0] in self.tables)
        return step.op, tuple(step.env.items()), tuple(step.reals.items()), same, whole, tables

    def inside(self, step: Step, ranges: Iterable[tuple[str, Node]]) -> Scope:
        """The scope of an operator's indices at a node."""
        return self.scope.inside(*((f"{name}`", placed(step, extent)) for name, extent in ranges))


def residual(op: Op, hints: Hints) -> list[Need]:
    """What a graph must show where it applies the operator: its declared domain, and what bounds can't settle in it."""
    scope, found = scope_of(op), list[Need]()
    bounds = Bounds(scope, hints)
    body = scope.of(op.forward)
    open_ = [*real_needs(op.meaning(), body), *(real_needs(slope(op), body) if op.moving and not op.lawful else ())]
    for need in dict.fromkeys(open_):
        if need.var:
            settled = bounds.inhabited(need.scope, need.var, need.extent, need.cond)
        else:
            settled = bounds.settles(need.cond, need.scope)
        found += [] if settled else [need]
    for cond in (part for whole in (*op.requires, *op.domain) for part in parts(whole)):
        if any(n.tag in REAL for n in walk(cond)):
            extents = {p.name: p.extents for p in op.params}
            ranges = {
                p.args[0][1][0].args[0]: extent
                for n in walk(cond)
                if n.tag in ("read", "bool", "entry")
                for p, extent in zip(n.args[1:], extents.get(n.args[0], ()), strict=False)
                if len(p.free - op.fixed) == 1 and p is sym(*(p.free - op.fixed))
            }
            if not cond.free <= op.fixed | ranges.keys():
                raise Refused(f"a domain of {op.name} at indices without a range")
            declared = Scope(op.fixed, scope.facts.copy()).inside(*ranges.items())
            # A condition such as `1/x > 0` says nothing where it is undefined.
            found += [*real_needs(cond, declared), Need(declared, cond)]
    return found


def dom(graph: Graph, op: Callable[[str], Op], hints: Hints) -> None:
    """DOM of a graph: what the operators' values and derivatives need, in the ranges of their arguments."""
    ranges, residuals = Ranges(graph, op, hints), dict[str, list[Need]]()
    settled = set[object]()
    for id_, step in ranges.steps:
        if step.op not in residuals:
            residuals[step.op] = residual(op(step.op), hints)
        key = ranges.key(step)
        for need in residuals[step.op] if key not in settled else ():
            scope = ranges.inside(step, need.scope.ranges.items()).under(*(placed(step, c) for c in need.scope.path))
            cond = placed(step, need.cond)
            if need.var:
                shown = ranges.bounds.inhabited(scope, f"{need.var}`", placed(step, need.extent), cond)
            else:
                shown = ranges.bounds.settles(cond, scope)
            if not shown:
                raise Refused(f"node {id_}: it is not shown that {cond.key[:200]}")
        settled.add(key)
