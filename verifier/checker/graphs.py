"""Graphs as the checker reads them: WF, the goals of SHAPE, and the tables of EDGE, FWD and DENSE. [trusted]"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from fractions import Fraction
from functools import cached_property
from typing import Any, NamedTuple

from .linear import Facts, Hints
from .loops import Loop, said
from .terms import (
    SORTS,
    Node,
    Refused,
    atom,
    const,
    eq,
    ge,
    integer,
    make,
    minus,
    name,
    plus,
    product,
    rational,
    rebuild,
    substitute,
    sym,
    unused,
    walk,
)

KINDS = {"f32": "real", "f64": "real", "i32": "int", "i64": "int", "bool": "bool"}


class Type(NamedTuple):
    """An element type, what kind of value it is, and a shape."""

    dtype: str
    kind: str
    shape: tuple[Node, ...]


class Axes(NamedTuple):
    """An input of an operator, or its result: each axis's extent, and its pack and the pack's rank, if any."""

    name: str
    kind: str
    moving: bool
    axes: tuple[tuple[Node, str | None, Node | None], ...]


class Step(NamedTuple):
    """A node: its operator's signature, arguments (ids, or names of Δ), attributes, sizes, what its symbols are."""

    op: str
    params: tuple[Axes, ...]
    output: Axes
    args: tuple[int | str, ...]
    reals: Mapping[str, Fraction]
    sizes: Mapping[str, tuple[Node, ...]]
    env: Mapping[str, Node]
    type: Type


def renamed(node: Node, tensors: Mapping[str, str]) -> Node:
    """The node with tensors of integers called what they are in the graph."""
    if node.tag == "entry":
        return atom(make("entry", tensors[node.args[0]], *(renamed(p, tensors) for p in node.args[1:])))
    return rebuild(node, lambda inner: renamed(inner, tensors))


class Graph:
    """A graph that is well-formed, but for what SHAPE proves; Refused where it is not."""

    def __init__(self, data: dict[str, Any], ops: dict[str, Any], nodes: Sequence[Node]) -> None:
        self._nodes, self._signatures, self._sizes = nodes, dict[str, tuple[Axes, ...]](), set[int]()
        self.data, self._names = data, frozenset(name(n) for n, _, _ in data["dims"])
        if not all(map(str.isidentifier, self._names)):
            raise Refused("a dim is called what no dim is called")
        self.dims: dict[str, tuple[int, Node | None]] = {}
        for n, low, v in data["dims"]:
            size = None if v is None else self.poly(v)
            if n in self.dims or (size and not size.free <= self.dims.keys()):
                raise Refused(f"the dim {n} is given twice, or by what is not given before it")
            self.dims[n] = integer(low), size
        self.assumed = [{">=": ge, "==": eq}[rel](self.poly(p)) for p, rel in data["assume_dims"]]
        self._assumes = data["assumes"]
        self.equal = [(self.poly(a), self.poly(b)) for a, b, _ in data["size_claims"]]
        # A number, or a name with a stroke, could pass for what is read of another node.
        self.delta = {n: self.type(t) for n, t, _ in data["delta"] if name(n).isidentifier()}
        self.leaves, self.steps = integer(data["leaves"]), list[Step]()
        self.loops = {n: self.loop(n, loop, ops) for n, loop in data["loops"].items()}
        names, same = set(self.delta), {frozenset(pair) for pair in self.equal}
        if not 0 <= self.leaves <= len(data["nodes"]) or len(self.delta) != len(data["delta"]):
            raise Refused("two inputs have one name, or none that is one, or there are more leaves than nodes")
        for id_, (own, op, args, attrs, sizes, type_) in enumerate(data["nodes"]):
            if name(own) in names or (op == "input") != (id_ < self.leaves):
                raise Refused(f"node {id_}: its name is taken, or it is a leaf behind the leaves")
            names.add(own)
            if op == "input":
                step = Step(op, (), Axes(own, "real", True, ()), (), {}, {}, {}, self.type(type_))
                if args or attrs or sizes or step.type.kind != "real":
                    raise Refused(f"node {id_}: an input that is not real, or is given something")
            else:
                step = self.step(op, ops.get(op), args, attrs, sizes, self.type(type_))
                given = [self.of(a) for a in step.args]
                for axes, have in (*zip(step.params, given, strict=True), (step.output, step.type)):
                    wanted = self.shape(axes, step)
                    fits = len(wanted) == len(have.shape) and axes.kind == have.kind
                    if not fits or any(
                        a is not b and {a, b} not in same for a, b in zip(wanted, have.shape, strict=True)
                    ):
                        raise Refused(f"node {id_}: `{axes.name}` of {op} is not what it gets")
            self.steps.append(step)
        self.outputs = [integer(id_) for _, id_ in data["outputs"]]
        if not self.outputs or any(not 0 <= id_ < len(self.steps) for id_ in self.outputs):
            raise Refused("there is no output, or it does not exist")
        for _, bounds, limit in (
            ("assume", data["assumes"], self.leaves),
            ("ensure", data["ensures"], len(self.steps)),
        ):
            for side in (s for bound in bounds if len(bound) == 4 for s in (bound[0], bound[2])):
                what, value = side
                if (what == "node" and not 0 <= integer(value) < limit) or (
                    what == "delta" and value not in self.delta
                ):
                    raise Refused("a bound of what does not exist")

    def poly(self, place: Any) -> Node:
        """The polynomial over dims at a place of the table."""
        if type(place) is not int or not 0 <= place < len(self._nodes) or self._nodes[place].tag != "poly":
            raise Refused("a size is no polynomial")
        if place not in self._sizes:
            inside = self._nodes[place]
            if not inside.free <= self._names or any(n.tag == "entry" for n in walk(inside)):
                raise Refused("a size speaks of what is no dim")
            self._sizes.add(place)
        return self._nodes[place]

    def part(self, place: Any, sort: str, own: Collection[str]) -> Node:
        """What a plan's step or a promise holds at a place of the table: over dims and names of its own."""
        if type(place) is not int or not 0 <= place < len(self._nodes) or SORTS[self._nodes[place].tag] != sort:
            raise Refused("a step or promise refers to what is not there, or not of its sort")
        if any(n not in self._names and n not in own for n in self._nodes[place].free):
            raise Refused("a step or promise speaks of what is no dim and no name of its own")
        return self._nodes[place]

    def fixed(self) -> dict[str, Node]:
        """The dims that are fixed, each as a polynomial in dims that are not."""
        found: dict[str, Node] = {}
        waiting = {n: value for n, (_, value) in self.dims.items() if value is not None}
        while waiting:
            ready = [n for n, value in waiting.items() if value.free.isdisjoint(waiting)]
            if not ready:
                raise Refused("dims that are fixed through each other")
            found |= {n: substitute(waiting.pop(n), found) for n in ready}
        return found

    def type(self, data: Any) -> Type:
        """A type."""
        return Type(data[0], KINDS[data[0]], tuple(self.poly(p) for p in data[1:]))

    def of(self, arg: int | str) -> Type:
        """An argument's type."""
        return self.delta[arg] if isinstance(arg, str) else self.steps[arg].type

    def signature(self, op: str, data: dict[str, Any]) -> tuple[Axes, ...]:
        """The inputs of an operator and, last, its result."""
        if op not in self._signatures:
            nodes, real = self._nodes, data["output"]["kind"] == "real"
            self._signatures[op] = tuple(
                Axes(
                    name(p["name"]),
                    p["kind"],
                    real and p["kind"] == "real" and not p["const"],
                    tuple(self.axis(nodes[e], pack, None if r is None else nodes[r]) for e, pack, r in p["axes"]),
                )
                for p in (*data["params"], data["output"])
            )
        return self._signatures[op]

    def axis(self, extent: Node, pack: Any, rank: Node | None) -> tuple[Node, str | None, Node | None]:
        """An axis, or all axes of a pack: those of one pack are as many wherever it stands."""
        if pack is not None and extent is not sym(pack):
            raise Refused(f"the pack {pack} has another extent than its own")
        return extent, pack, rank

    def loop(self, own: str, data: dict[str, Any], ops: dict[str, Any]) -> Loop:
        """A loop; its body stands under the dims of this graph."""
        if own in ops or any(data["body"][key] != self.data[key] for key in ("dims", "assume_dims")):
            raise Refused("a loop is called as an operator is, or its body has dims of its own")
        loop = Loop(data, Graph(data["body"], ops, self._nodes), self.poly(data["length"]))
        table = Axes("table", "real", True, tuple((e, None, None) for e in (plus(loop.length, const(1)), loop.width)))
        # Inputs go by their numbers: a body's input may be called `y` or `g`, as the table and its cotangent are.
        inputs = [
            Axes(str(i), loop.body.of(a).kind, i in loop.moving, tuple((e, None, None) for e in loop.shape(i)))
            for i, a in enumerate(loop.inputs)
        ]
        self._signatures[own] = (*inputs, table)
        return loop

    def step(self, op: str, data: dict[str, Any] | None, args: Any, attrs: Any, sizes: Any, type_: Type) -> Step:
        """An operator or a loop at a node: arity, order, attributes and sizes."""
        *params, output = self._signatures[op] if data is None else self.signature(op, data)
        kinds = {} if data is None else {name(n): kind for n, kind, _ in data["attrs"]}
        wanted = dict.fromkeys(
            s for p in (*params, output) for e, _, _ in p.axes for s in sorted(e.free - kinds.keys()) if data
        )
        if len(args) != len(params) or len(attrs) != len(kinds) or len(sizes) != len(wanted):
            raise Refused(f"{op} gets another number of arguments, attributes or sizes than it takes")
        for arg in args:
            if arg not in self.delta if type(arg) is str else not 0 <= integer(arg) < len(self.steps):
                raise Refused(f"an argument of {op} is not defined before it")
        ints = {n: self.poly(v) for (n, kind), v in zip(kinds.items(), attrs, strict=True) if kind == "int"}
        reals = {n: rational(v) for (n, kind), v in zip(kinds.items(), attrs, strict=True) if kind == "real"}
        bound = {n: tuple(map(self.poly, shape)) for n, shape in zip(wanted, sizes, strict=True)}
        packs = [(pack, rank) for p in (*params, output) for _, pack, rank in p.axes if pack is not None]
        for n, shape in bound.items():
            ranks = [rank for pack, rank in packs if pack == n]
            wrong = any(rank and substitute(rank, ints) is not const(len(shape)) for rank in ranks)
            if wrong or (not ranks and len(shape) != 1):
                raise Refused(f"`{n}` of {op} is {len(shape)} sizes")
        env = {**ints, **{n: product(shape) for n, shape in bound.items()}}
        if data is None:
            self.loops[op].demands(args, said(self.data["assumes"]) | said(self.data["ensures"]))
        return Step(op, tuple(params), output, tuple(args), reals, bound, env, type_)

    def shape(self, axes: Axes, step: Step) -> tuple[Node, ...]:
        """The shape that an operator's input or result has at a node."""
        parts = [step.sizes[pack] if pack is not None else (substitute(e, step.env),) for e, pack, _ in axes.axes]
        return tuple(extent for part in parts for extent in part)

    # What the claims say.

    def facts(self) -> Facts:
        """What is known of the dims."""
        known = Facts(*self.assumed)
        for n, (low, value) in self.dims.items():
            known.assume(ge(minus(sym(n), const(low))) if value is None else eq(minus(sym(n), value)))
        for type_ in (*(s.type for s in self.steps[: self.leaves]), *self.delta.values()):
            known.assume(*map(ge, type_.shape))  # a tensor with a negative extent can't be given
        return known

    def shapes(self, ops: dict[str, Any], hints: Hints) -> None:
        """SHAPE: extents that are taken to be equal are, and what operators require of sizes and integers holds."""
        facts, seen = self.facts(), set[str]()
        for goal in dict.fromkeys(self._goals(ops)):
            for tensor, count in sorted({(n.args[0], len(n.args) - 1) for n in walk(goal) if n.tag == "entry"}):
                if tensor not in seen:
                    seen.add(tensor)
                    facts.every += self.entries(tensor, count)
            if not hints.shown(facts, goal):
                raise Refused(f"{goal.key[:80]} is not shown")

    def _goals(self, ops: dict[str, Any]) -> Iterator[Node]:
        for a, b in self.equal:
            yield eq(minus(a, b))
        for step in self.steps[self.leaves :]:
            if step.op in self.loops:
                yield from (ge(self.loops[step.op].length), *map(ge, step.type.shape))
                continue
            # A tensor of integers goes by its name and the axes under which the operator reads it.
            tensors = {
                p.name: f"{arg}|{','.join(substitute(e, step.env).key for e, _, _ in p.axes)}"
                for p, arg in zip(step.params, step.args, strict=True)
            }
            for place in ops[step.op]["requires"]:
                cond = self._nodes[place]
                if not any(n.tag in ("lt", "le", "same") for n in walk(cond)):  # of reals: DOM's
                    free = sorted(cond.free - step.env.keys())  # indices: it holds for all of them
                    apart = {n: sym(unused(f"{k}`{n}", self._names)) for k, n in enumerate(free)}
                    yield renamed(substitute(cond, {**step.env, **apart}), tensors)
            yield from map(ge, step.type.shape)

    def entries(self, tensor: str, count: int) -> Iterator[tuple[Node, tuple[str, ...], Node]]:
        """What the assumes say of every entry of an input of integers, read at so many indices."""
        names = tuple(unused(f"i{k}", self._names) for k in range(count))
        one = atom(make("entry", tensor, *map(sym, names)))
        for left, rel, right, _ in self._assumes:
            sides = [self._side(side, tensor.partition("|")[0], one) for side in (left, right)]
            if one in sides and None not in sides and rel in ("<", "<=", "=="):
                apart = minus(sides[1], sides[0])
                yield one.args[0][1][0], names, eq(apart) if rel == "==" else ge(minus(apart, const(int(rel == "<"))))

    def _side(self, side: Any, name: str, one: Node) -> Node | None:
        what, value = side
        if what == "size":
            return self.poly(value)
        if what == "number" and rational(value).denominator == 1:
            return const(int(rational(value)))
        return one if what == "delta" and value == name and self.delta[name].kind == "int" else None

    def uses(self) -> list[list[list[int]]]:
        """Full backpropagation: for each node, in order, who sends something back to it, and for which argument."""
        found: list[list[list[int]]] = [[] for _ in self.steps]
        for user in range(len(self.steps) - 1, -1, -1):
            for position, arg in enumerate(self.steps[user].args):
                if isinstance(arg, int) and self.steps[user].params[position].moving:
                    found[arg].append([user, position])
        return found

    @cached_property
    def tables(self) -> dict[str, Any]:
        """What a tape of this graph does: edges, values, gradients and tangents, one row a node."""
        uses = self.uses()
        back: list[list[int]] = [[] for _ in self.steps]
        for rows in uses:
            for user, position in rows:
                back[user].append(position)
        edges = [
            [[a for a in s.args if isinstance(a, int)], [s.args[p] for p in sorted(back[k])]]
            for k, s in enumerate(self.steps)
        ]
        moves = []
        for step in self.steps:
            given = [
                (-1 if not p.moving else -2 if isinstance(a, str) else a)
                for p, a in zip(step.params, step.args, strict=True)
            ]
            moves.append(given if any(g >= 0 for g in given) else [])
        return {"EDGE": edges, "FWD": [list(s.args) for s in self.steps], "DENSE": [uses, moves]}
