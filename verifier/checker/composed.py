"""POST of graphs: values and derivatives of entries, by the formulas of the nodes put together. [trusted]

A statement is `left rel right` at indices in their ranges, where a condition holds. Evidence names the nodes that stay
as they are; the others' entries are written out by what their operators mean. `grad(y[i], x[j])` is what the program
gives: the coefficient of dx[j] in the tangent of y[i], each node's tangent being what its jvp that runs makes of those
of its arguments. Relations are shown by intervals; equations, wherever both sides are defined, by the normal form too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from . import terms as t
from .bounds import ANY
from .buffers import Value, labels
from .graphs import Graph
from .linear import Hints
from .meanings import Formula, Index, Meaning, flat
from .monomials import plus, scaled
from .normal import Normal
from .operators import Op
from .ranges import Ranges
from .scopes import Scope, in_range, reads
from .terms import ONE, TRUE, ZERO, Node, Refused

RELATIONS = {"<": "lt", "<=": "le", "==": "same", "!=": "same"}


class Values:
    """Nodes, then inputs of Δ, then the nodes' tangents, by numbers: which kind and axes each has."""

    def __init__(self, graph: Graph) -> None:
        self.graph, self.names = graph, list(graph.delta)
        self.types = [s.type for s in graph.steps] + list(graph.delta.values()) + [s.type for s in graph.steps]
        self.tangent = len(graph.steps) + len(self.names)  # number of the first tangent

    def number(self, arg: Any) -> int:
        """The number of a node, or of an input of Δ."""
        return len(self.graph.steps) + self.names.index(arg) if isinstance(arg, str) else t.integer(arg)

    def axes(self, reg: int) -> tuple[Node, ...]:
        """The extents of a value."""
        return self.types[reg].shape

    def kind(self, reg: int) -> str:
        """What kind of value it is."""
        return self.types[reg].kind

    def whole(self, reg: int) -> Value:
        """A value as a tensor over its labels."""
        axes = self.axes(reg)
        return Value(axes, reg, labels(len(axes)), False, None)


class Composed(Meaning):
    """What values of a graph are, down to nodes that stay as they are; tangents are those along one of them."""

    def __init__(self, graph: Graph, op: Callable[[str], Op], cuts: frozenset[int], source: int) -> None:
        self.values, self.graph, self.op, self.source = Values(graph), graph, op, source
        # What is asked of a plan's registers here: their axes and kinds. Reads are inside by SHAPE.
        super().__init__(self.values, cuts, (), lambda p, extent, below: True)  # type: ignore[arg-type]
        self.bodies = dict[int, Node]()
        self.varies = [id_ == source for id_ in range(graph.leaves)]
        for id_, step in enumerate(graph.steps[graph.leaves :], graph.leaves):
            moving = [a for p, a in zip(step.params, step.args, strict=True) if p.moving and isinstance(a, int)]
            self.varies.append(id_ == source or any(self.varies[a] for a in moving))

    def is_cut(self, reg: int) -> bool:
        """Whether a value is left uninterpreted: a tangent only where it is what the others are along."""
        if reg >= self.values.tangent:
            return reg - self.values.tangent == self.source
        step = self.graph.steps[reg] if reg < len(self.graph.steps) else None
        if reg in self.cuts or step is None or reg < self.graph.leaves or step.op in self.graph.loops:
            return True
        return step.type.kind == "int" or bool(self.op(step.op).externs)

    def position(self, index: Sequence[Node], axes: Sequence[Node], kind: str = "real", padded: bool = False) -> Node:
        """Where an entry stands: what operators read is inside (SHAPE)."""
        return flat(index, axes)

    def value(self, value: Value, index: Index) -> Node:
        """A tensor's entry."""
        return value.term or ZERO if value.reg is None else self.register(value.reg, index)

    def apart(self, position: Node, extents: Sequence[Node]) -> Index:
        """The indices of a position that is inside."""
        found: list[Node] = []
        for k, extent in enumerate(extents):
            digit = t.built("div", position, t.product(extents[k + 1 :]))
            found.append(t.built("mod", digit, extent) if k else digit)
        return tuple(found)

    def register(self, reg: int, index: Index, padded: bool = False) -> Node:
        """An entry of a value or a tangent."""
        axes = self.values.axes(reg)
        if len(index) != len(axes):
            raise Refused("a value is read at too many or too few indices")
        if self.is_cut(reg):
            return self.opaque(f"r{reg}", self.values.kind(reg), self.position(index, axes))
        if reg not in self.bodies:
            self.bodies[reg] = self.body(reg)
        return t.substitute(self.bodies[reg], {f"${k}": p for k, p in enumerate(index)})

    def body(self, reg: int) -> Node:
        """The entry at the labels of its axes."""
        moved = reg >= self.values.tangent
        id_ = reg - self.values.tangent if moved else reg
        step, shape = self.graph.steps[id_], self.values.axes(reg)
        if moved and (id_ < self.graph.leaves or not self.varies[id_]):
            return ZERO
        if step.op in self.graph.loops or (moved and self.op(step.op).externs):
            raise Refused("the tangent of a loop or an extern has no formula")
        op = self.op(step.op)
        whole, number = self.values.whole, self.values.number
        given: dict[str, Value | None] = {"y": whole(id_)}
        for p, arg in zip(step.params, step.args, strict=True):
            given[p.name] = whole(number(arg))
            still = isinstance(arg, str) or not self.varies[arg]
            given["d" + p.name] = (
                Value((), None, (), False, ZERO) if still else whole(self.values.tangent + number(arg))
            )
        formula = Formula(self, op, step, given, True)
        return formula.at("y", shape) if moved else formula.entry(op.meaning(), op.forward.indices, step.output, shape)


def ensured(graph: Graph, op: Callable[[str], Op], number: int, cuts: Any, hints: Hints) -> None:
    """An `ensure` of a graph; Refused where it is not shown."""
    kept = frozenset(map(t.integer, cuts))
    promise = statement(graph, op, number, kept)
    indices, where, rel, sides = promise[:4]
    ranges = Ranges(graph, op, hints)
    around = ranges.scope.inside(*indices)
    scope = around.under(where)
    exist(promise, around, scope, hints)
    values = Values(graph)
    for name in [*map(str, range(len(graph.steps))), *values.names]:
        reg = values.number(int(name) if name.isdigit() else name)
        ranges.bounds.reads[f"r{reg}"] = ranges.known.get(name, ANY)
    goal = t.make(RELATIONS[rel], *sides)
    if ranges.bounds.settles(t.negate(goal) if rel == "!=" else goal, scope):
        return
    if rel != "==":
        raise Refused("no interval of the formulas says so")
    plain = [p for _, p in scope.facts.known]
    plain += [t.minus(t.const(0), p) for exact, p in scope.facts.known if exact]
    lower = {n: low for n, (low, value) in graph.dims.items() if value is None}
    work = Normal(lower, dict(indices), plain)
    work.every = scope.facts.every
    left, right = sides
    if work.canonical(plus(work.form(t.select(where, left, right)), scaled(work.form(right), -1))):
        raise Refused("the formulas of both sides have different normal forms")


class Statement(NamedTuple):
    """The indices with their ranges, the condition, the relation, both sides with values written out; then as it is

    told: the condition and both sides, the axes of the values in them, and the places between which derivatives are.
    """

    indices: list[tuple[str, Node]]
    where: Node
    rel: str
    sides: list[Node]
    told: list[Node]
    axes: dict[str, tuple[Node, ...]]
    places: list[tuple[Index, tuple[Node, ...]]]


def exist(promise: Statement, around: Scope, scope: Scope, hints: Hints) -> None:
    """Refused unless the entries that a promise speaks of are there, those of both sides where its condition holds."""
    found = [(scope, index, axes) for index, axes in promise.places]
    for k, part in enumerate(promise.told):
        for here, n in reads(part, scope if k else around):
            if n.tag in ("read", "bool", "entry") and n.args[0] in promise.axes:
                found.append((here, n.args[1:], promise.axes[n.args[0]]))
    for here, index, axes in found:
        for p, extent in zip(index, axes, strict=True):
            own = [here.ranges.get(n) for n in p.free if p is t.sym(n)]
            if own != [extent] and not hints.shown(here.facts, in_range(p, extent)):
                raise Refused("a promise about an entry that there may not be")


def statement(graph: Graph, op: Callable[[str], Op], number: int, cuts: frozenset[int]) -> Statement:
    """What a promise says."""
    data = graph.data["ensures"][number]
    if len(data) == 4:
        return between_values(graph, op, data, cuts)
    indices, place, left, rel, right, values, gradients, _ = data
    names = {t.name(n): f"~i {n}" for n, _ in indices}  # no dim is called so, and no index that is made
    away = {n: t.sym(own) for n, own in names.items()}
    composed = Composed(graph, op, cuts, -1)
    numbers = {t.name(n): composed.values.number(a) for n, a in values}
    axes = {n: composed.values.axes(reg) for n, reg in numbers.items()}
    slopes, places = dict[str, Node](), list[tuple[Index, tuple[Node, ...]]]()
    for g in gradients:
        slopes[t.name(g[0])], *ends = slope(graph, op, g, cuts, away)
        places += ends
    if len(names) != len(indices) or len({*numbers, *slopes}) != len(values) + len(gradients):
        raise Refused("a name in a promise that means two things")

    def one(n: Node) -> Node:
        if n.tag == "read" and n.args[0] in slopes:
            return slopes[n.args[0]]
        if n.tag == "reduce":  # what is put under it reads dims, as one of which its index may be called
            kind, var, extent, guard, body = n.args
            away = {var: t.sym(composed.fresh(one(extent)))}
            parts = (one(t.substitute(part, away)) for part in (guard, body))
            return t.reduce(kind, next(iter(away[var].free)), one(extent), *parts)
        if n.tag not in ("read", "bool", "entry"):
            return t.rebuild(n, one)
        reg, index = numbers[n.args[0]], tuple(map(one, n.args[1:]))
        if composed.values.kind(reg) != {"read": "real", "bool": "bool", "entry": "int"}[n.tag]:
            raise Refused("a promise reads a value as what it is not")
        return composed.register(reg, index)

    parts = [graph.part(p, sort, names) for p, sort in ((place, "c"), (left, "t"), (right, "t"))]
    told = [t.substitute(part, away) for part in parts]
    where, *sides = map(one, told)
    return Statement([(names[n], graph.poly(e)) for n, e in indices], where, rel, sides, told, axes, places)


def between_values(graph: Graph, op: Callable[[str], Op], data: Any, cuts: frozenset[int]) -> Statement:
    """A relation between whole values: entries that line up from the last axis."""
    left, rel, right, _ = data
    composed, extents = Composed(graph, op, cuts, -1), dict[str, Node]()
    ids = [t.integer(value) for what, value in (left, right) if what == "node"]
    rank = max((len(composed.values.axes(id_)) for id_ in ids), default=0)

    def side(what: str, value: Any) -> Node:
        if what == "size":
            return t.size(graph.poly(value))
        if what == "number":
            return t.num(t.rational(value))
        if what != "node" or composed.values.kind(value) != "real":
            raise Refused("a promise of what is no real value that is computed")
        index: list[Node] = []
        shape = composed.values.axes(value)
        for k, extent in enumerate(shape, rank - len(shape)):
            index.append(t.const(0) if extent is t.const(1) else t.sym(f"~e{k}"))
            if extent is not t.const(1) and extents.setdefault(f"~e{k}", extent) is not extent:
                raise Refused("a promise about values whose axes do not line up")
        return composed.register(value, tuple(index))

    sides = [side(*left), side(*right)]
    return Statement(list(extents.items()), TRUE, rel, sides, [], {}, [])


def slope(graph: Graph, op: Callable[[str], Op], data: Any, cuts: frozenset[int], away: Any) -> tuple[Any, Any, Any]:
    """grad(y[at], x[to]): the coefficient of one entry in the tangent along x; both places, with the values' axes."""
    _, output, at, source, to = data
    count = len(graph.steps)
    if not (0 <= t.integer(output) < count and 0 <= t.integer(source) < count):
        raise Refused("a derivative of what does not exist")
    composed = Composed(graph, op, cuts, source)
    kinds = {composed.values.kind(output), composed.values.kind(source)}
    places = [tuple(t.substitute(graph.part(p, "p", away), away) for p in one) for one in (at, to)]
    axes = composed.values.axes(source)
    if kinds != {"real"} or len(places[1]) != len(axes):
        raise Refused("a derivative by what is no entry")
    found = composed.register(composed.values.tangent + output, places[0])
    name, target = f"r{composed.values.tangent + source}", flat(places[1], axes)

    def one(n: Node) -> Node:
        if n.tag == "read" and n.args[0] == name:
            return t.select(t.eq(t.minus(n.args[1], target)), ONE, ZERO)
        return n if n.tag == "poly" else t.rebuild(n, one)

    return one(found), (places[0], composed.values.axes(output)), (places[1], axes)
