"""PLAN: a graph's plans compute its operators' rules, node by node, and no buffer is overwritten while live. [trusted]

Evidence says in which register of a plan each value, tangent, contribution and gradient of the graph stands. At each
node what leads from the arguments' registers to the node's own is written out as a term, by the meaning of the steps
(compiler/kernels.py), and held against the operator's rule at the node's sizes, with the arguments' registers left
uninterpreted. A register is read at one position, its place in row-major order, so axes may be grouped as one likes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from math import prod
from typing import Any

from . import normal as forms
from . import terms as t
from .buffers import Layout, Template, Value, entries, labels, ranged, template
from .calculus import domain
from .graphs import Axes, Graph, Step
from .normal import Normal
from .operators import Op
from .reading import exactly
from .terms import FALSE, ONE, TRUE, ZERO, Node, Refused, product

MAPS: dict[str, Callable[..., Node]] = {
    "add": t.add,
    "sub": lambda a, b: t.add(a, t.neg(b)),
    "mul": lambda a, b: product_of(a, b),
    "div": lambda a, b: product_of(a, power(b, -1)),
    "neg": t.neg,
}
INSIDE = "inside"  # entry `inside p e`: p, where 0 <= p < e
CASES = 4  # distinctions inside each other
LOGIC: dict[str, Callable[..., Node]] = {"and": t.both, "or": t.either, "not": t.negate}
Index = tuple[Node, ...]
Inside = Callable[[Node, Node, Mapping[str, Node]], bool]


class Differs(Refused):
    """What a plan computes is not what the rule `key` of an operator says, or it is not seen."""

    def __init__(self, text: str, key: str) -> None:
        super().__init__(text)
        self.key = key


def flat(index: Sequence[Node], axes: Sequence[Node]) -> Node:
    """A position in row-major order."""
    out = t.const(0)
    for p, extent in zip(index, axes, strict=True):
        out = t.plus(t.times(out, extent), p)
    return out


def power(base: Node, exponent: int) -> Node:
    """(b^m)^k is b^(m k), for the total functions too."""
    return t.power(base.args[0], base.args[1] * exponent) if base.tag == "pow" else t.power(base, exponent)


def inside(p: Node, extent: Node) -> Node:
    """0 <= p < extent."""
    return t.both(t.ge(p), t.ge(t.minus(t.minus(extent, p), t.const(1))))


def gathered(p: Node) -> bool:
    """Whether a position is known when it runs only: it reads integers."""
    return any(n.tag == "entry" for n in t.walk(p))


def sure(node: Node) -> bool:
    """Whether a term has a value whatever it reads."""
    return not any(lacking(n) for n in t.walk(node))


def lacking(node: Node) -> bool:
    """Whether a node may have no value where its parts have one. So has INSIDE outside of an axis."""
    tag, args = node.tag, node.args
    if tag == "call":
        return domain(args[0], args[1:]) is not TRUE
    optimum, inverse = tag == "reduce" and args[0] in ("max", "min"), tag == "pow" and args[1] < 0
    if inverse and args[0].tag == "num" and args[0] is not ZERO:
        return False
    return tag in ("div", "mod") or optimum or inverse or (tag == "entry" and args[0] == INSIDE)


def product_of(*args: Node) -> Node:
    """The product, of which 0 makes nothing where a factor may have no value: 0 * (1 / 0) is no 0 when it runs."""
    return t.mul(*args) if ZERO not in args or all(map(sure, args)) else t.make("mul", *args)


class Meaning:
    """What registers of a plan hold, down to those that are left uninterpreted."""

    def __init__(self, layout: Layout, cuts: frozenset[int], shape: Sequence[Node], inside: Inside) -> None:
        self.layout, self.cuts, self.inside, self.made = layout, cuts, inside, 0
        self.ranges: dict[Node, Node] = dict(zip(labels(len(shape)), shape, strict=True))
        self.below = ranged(shape)

    def is_cut(self, reg: int) -> bool:
        """Whether a register is left uninterpreted."""
        return reg in self.cuts or self.layout.step(reg) is None

    def is_given(self, reg: int) -> bool:
        """Whether a register is left uninterpreted, perhaps under other axes."""
        step = self.layout.step(reg)
        return self.is_cut(reg) or (step is not None and step[0].op == "reshape" and self.is_cut(step[1][0]))

    def fresh(self, extent: Node) -> str:
        """A name for an index below an extent, which nothing else has: no dim is called so."""
        self.made += 1
        name = f"~{self.made}"
        self.ranges[t.sym(name)] = self.below[name] = extent
        return name

    def within(self, p: Node, extent: Node) -> bool:
        """Whether an index is seen to be inside of an axis."""
        return self.ranges.get(p) is extent or self.inside(
            p, extent, {n: self.below[n] for n in sorted(p.free & self.below.keys())}
        )

    def position(self, index: Sequence[Node], axes: Sequence[Node], kind: str = "real", padded: bool = False) -> Node:
        """Where an entry stands; `padded` where it is asked for inside only.

        A view of an array, and a position that is known beforehand, raises where it leaves it. What is gathered, and
        an integer inside an index, is something else then: a partial read, only where the operator reads so, too,
        whose reads are inside by SHAPE.
        """
        if not padded and (kind == "int" or any(map(gathered, index))):
            index = [
                p if self.within(p, e) else t.atom(t.make("entry", INSIDE, p, e))
                for p, e in zip(index, axes, strict=True)
            ]
        return flat(index, axes)

    def value(self, value: Value, index: Index) -> Node:
        """A tensor's entry."""
        if value.reg is None:
            return value.term or ZERO
        if len(index) != len(value.shape):
            raise Refused("a tensor is read at too many or too few indices")
        names = {f"${k}": p for k, p in enumerate(index)}
        found = tuple(self.poly(p, names) for p in value.at)
        return self.read(value.reg, found, value.padded, dict(zip(index, value.shape, strict=True)))

    def read(self, reg: int, index: Index, padded: bool, ranges: Mapping[Node, Node]) -> Node:
        """A register's entry; 0 outside of it where `padded`."""
        entry, axes = self.register(reg, index, padded), self.layout.axes(reg)
        if not padded:
            return entry
        bounds = [inside(p, e) for p, e in zip(index, axes, strict=True) if ranges.get(p) is not e]
        kind = self.layout.kind(reg)
        if kind == "int":
            raise Refused("an integer register is padded")
        return t.both(*bounds, entry) if kind == "bool" else t.select(t.both(*bounds), entry, ZERO)

    def apart(self, position: Node, extents: Sequence[Node]) -> Index | None:
        """The indices of a position in a pack that is no index of it; only where there are no axes here."""
        return None if extents else ()

    def poly(self, p: Node, names: Mapping[str, Node]) -> Node:
        """An integer expression with labels replaced, and entries of registers by what they hold."""
        return self._entered(t.substitute(p, names))

    def _entered(self, node: Node) -> Node:
        if node.tag == "entry":
            tensor, *index = node.args
            reg, found = int(tensor[1:]), tuple(map(self._entered, index))
            if self.layout.kind(reg) != "int":
                raise Refused("an index that is no integer")
            if not self.is_given(reg) and not all(map(self.within, found, self.layout.axes(reg))):
                raise Refused("an integer that is computed on the way is read at any place")  # outside it is 0
            return self.register(reg, found)
        return t.rebuild(node, self._entered)

    def register(self, reg: int, index: Index, padded: bool = False) -> Node:
        """A register's entry: a term, a condition or a polynomial; `padded` where it is asked for inside only."""
        axes, kind = self.layout.axes(reg), self.layout.kind(reg)
        if len(index) != len(axes):
            raise Refused("a register is read at too many or too few indices")
        step = self.layout.step(reg)
        if step is None or self.is_cut(reg):
            return self.opaque(f"r{reg}", kind, self.position(index, axes, kind, padded))
        form, regs = step
        if form.op == "reshape" and self.is_cut(regs[0]):
            return self.opaque(f"r{regs[0]}", kind, self.position(index, axes, kind, padded))
        if form.op == "reshape":
            return self.register(regs[0], self.regrouped(index, axes, self.layout.axes(regs[0])), padded)
        bound = {f"${k}": self.fresh(form.extents[k]) for k in range(form.rank, len(form.extents))}
        names = {f"${k}": p for k, p in enumerate(index)} | {k: t.sym(v) for k, v in bound.items()}
        ranges = {p: form.extents[int(k[1:])] for k, p in names.items()}
        args, left = [], iter(regs)
        for what, outside, parts in form.operands:
            if what == "use":
                source, found = next(left), tuple(self.poly(p, names) for p in parts)
                if source in self.layout.loose.get(reg, ()) and not self.is_given(source):
                    raise Refused("what is computed on the way is read where it may not be")
                args.append(self.read(source, found, bool(outside), ranges))
            else:
                args.append(parts[0])
        p = t.const(0) if form.poly is None else self.poly(form.poly, names)
        pairs = [(v, form.extents[int(k[1:])]) for k, v in bound.items()]
        return self._step(form, args, p, pairs, names, regs)

    @staticmethod
    def opaque(name: str, kind: str, position: Node) -> Node:
        """An entry of a tensor of which nothing is known."""
        if kind == "int":
            return t.atom(t.make("entry", name, position))
        return t.make("bool" if kind == "bool" else "read", name, position)

    @staticmethod
    def regrouped(index: Index, axes: Sequence[Node], other: Sequence[Node]) -> Index:
        """The same position under axes that are groups of these."""
        found: list[Node] = []
        k = 0
        for extent in other:
            start, count = k, t.const(1)
            while k < len(axes) and (count is not extent or axes[k] is t.const(1)):
                count, k = t.times(count, axes[k]), k + 1
            if count is not extent:
                raise Refused("a reshape that splits an axis is not seen through")
            found.append(flat(index[start:k], axes[start:k]))
        if any(axis is not t.const(1) for axis in axes[k:]):
            raise Refused("a reshape to another number of entries")
        return tuple(found)

    def _step(
        self, form: Template, args: list[Node], p: Node, bound: list[tuple[str, Node]], names: Any, regs: Any
    ) -> Node:
        op, name = form.op, form.name
        if op in ("copy", "read_at"):
            return args[0]
        if op == "map":
            return MAPS[name](*args)
        if op == "pow":
            return power(args[0], int(name))
        if op == "call":
            return t.make("call", name, *args)
        if op == "select":
            return t.make("select", *args)
        if op == "compare":
            return t.make({"<": "lt", "<=": "le", "==": "same"}[name], *args)
        if op == "logic":
            return LOGIC[name](*args)
        if op == "ints":
            return p
        if op == "intcmp":
            return t.ge(p) if name == ">=" else t.eq(p)
        if op == "as_real":
            return t.size(args[0])
        if op == "fold":
            return nested(name, bound, args[1] if len(args) > 1 else TRUE, args[0])
        if op == "contract":
            return nested("sum", bound, TRUE, product_of(*args))
        if op == "add_at":
            return nested("sum", bound, t.eq(t.minus(p, names[f"${form.axis}"])), args[0])
        if op == "order":
            var, place = self.fresh(form.extents[form.axis or 0]), names[f"${form.axis}"]
            moved = {**names, f"${form.axis}": t.sym(var)}
            index = tuple(self.poly(q, moved) for q in form.operands[0][2])
            other = self.read(regs[0], index, form.operands[0][1], {})
            before = t.make("lt", *((other, args[0]) if name == "<" else (args[0], other)))
            tie = t.both(t.make("same", other, args[0]), t.ge(t.minus(t.minus(place, t.sym(var)), t.const(1))))
            guard = t.both(t.negate(t.eq(t.minus(t.sym(var), place))), t.either(before, tie))
            return t.reduce("sum", var, form.extents[form.axis or 0], guard, ONE)
        raise Refused(f"a step `{op}` is not replayed")


def nested(kind: str, bound: Sequence[tuple[str, Node]], guard: Node, body: Node) -> Node:
    """Binders from the outermost in; a guard stands at the innermost."""
    if not bound and kind in ("max", "min") and guard is not TRUE:
        raise Refused("the maximum of one entry under a condition")
    if not bound:
        return t.select(guard, body, ZERO if kind == "sum" else ONE)
    if len(bound) > 1 and kind in ("max", "min") and guard is not TRUE:
        raise Refused("a maximum over several indices under a condition")
    for var, extent in reversed(bound):
        body, guard = t.reduce(kind, var, extent, guard, body), TRUE
    return body


class Formula:
    """An operator's rule at a node: sizes put in, tensors read where the plan holds them.

    `split` runs over the axes of a pack one by one; a pack's index stands for those of its axes either way.
    """

    def __init__(self, meaning: Meaning, op: Op, step: Step, values: Mapping[str, Value | None], split: bool) -> None:
        self.meaning, self.op, self.step, self.values, self.split = meaning, op, step, values, split
        self.key = ""
        self.wide: dict[Node, Index] = {}  # the position in a pack -> the indices of its axes
        self.axes = {a.name: a for a in (*step.params, step.output)}
        self.axes |= {"d" + a.name: a for a in step.params} | {"g": step.output}

    def at(self, key: str, shape: Sequence[Node]) -> Node:
        """The rule's entry at the labels of a tensor of this shape."""
        self.key = f"{self.step.op} {key}".rstrip()
        rule = self.op.computed[key]
        body, table = rule.result.body, {f.target: (f.indices, f.body) for f in rule.lets}
        for _ in table:
            body = t.inline(body, table)
        return self.entry(body, rule.result.indices, self.axes.get(key, self.step.output), shape)

    def entry(self, body: Node, indices: Sequence[str], target: Axes, shape: Sequence[Node]) -> Node:
        """A formula of the operator, at the labels of a tensor of this shape."""
        env, k = dict(self.step.env), 0
        for index, (_, pack, _) in zip(indices, target.axes, strict=True):
            parts = self.step.sizes[pack] if pack is not None else (shape[k],)
            env[index] = self.widened(labels(k + len(parts))[k:], parts)
            k += len(parts)
        return self.node(body, env)

    def widened(self, indices: Index, extents: Sequence[Node]) -> Node:
        """The position in a pack whose axes have these indices."""
        position = flat(indices, extents)
        if len(indices) != 1:
            self.wide[position] = indices
            self.meaning.ranges[position] = product(extents)
        return position

    def node(self, node: Node, env: Mapping[str, Node]) -> Node:
        """A part of the rule, with what its names stand for."""
        if node.tag == "sym":
            return env[node.args[0]]
        if node.tag in ("read", "bool", "entry"):
            return self.tensor(node.tag, node.args[0], [self.node(p, env) for p in node.args[1:]])
        if node.tag == "reduce":
            return self.reduced(node.args, env)
        if node.tag == "mul":
            return product_of(*(self.node(inner, env) for inner in node.args))
        return t.rebuild(node, lambda inner: self.node(inner, env))

    def reduced(self, args: Sequence[Any], env: Mapping[str, Node]) -> Node:
        """A binder; one over a pack is one over each of its axes."""
        kind, var, extent, guard, body = args
        pack = next((n for n in extent.free if extent is t.sym(n) and n in self.packs), None)
        parts = self.step.sizes[pack] if pack is not None and self.split else (self.node(extent, env),)
        names = [self.meaning.fresh(extent) for extent in parts]
        inner = {**env, var: self.widened(tuple(map(t.sym, names)), parts)}
        bound = list(zip(names, parts, strict=True))
        return nested(kind, bound, self.node(guard, inner), self.node(body, inner))

    @property
    def packs(self) -> set[str]:
        """The packs of the signature."""
        return {pack for a in self.axes.values() for _, pack, _ in a.axes if pack is not None}

    def tensor(self, tag: str, name: str, index: list[Node]) -> Node:
        """An entry of an argument, of the result, of a tangent or of the cotangent."""
        if name in self.step.reals and not index:
            return t.num(self.step.reals[name])
        axes, value = self.axes[name].axes, self.values[name]
        extents = [t.substitute(e, self.step.env) for e, _, _ in axes]
        if len(index) != len(axes):
            raise Refused(f"{name} is read at too many or too few indices")
        cut = value is not None and value.reg is not None and self.meaning.is_cut(value.reg)
        if value is None or (cut and self.is_whole(value)):
            own = f"no {name}" if value is None else f"r{value.reg}"
            kind = {"read": "real", "bool": "bool", "entry": "int"}[tag]
            return self.meaning.opaque(own, kind, self.meaning.position(index, extents, kind))
        wide: list[Node] = []
        for p, (_, pack, _) in zip(index, axes, strict=True):
            if pack is None or len(self.step.sizes[pack]) == 1:
                wide.append(p)
            elif p in self.wide:
                wide += self.wide[p]
            else:
                found = self.meaning.apart(p, self.step.sizes[pack])
                if found is None:
                    raise Differs(f"the axes of {pack} are not told apart where {name} is read", self.key)
                wide += found
        entry = self.meaning.value(value, tuple(wide))
        if t.SORTS[entry.tag] != {"read": "t", "bool": "c", "entry": "p"}[tag]:
            raise Refused(f"{name} is read as what it is not")
        return entry

    def is_whole(self, value: Value) -> bool:
        """Whether a tensor is a register, entry by entry in row-major order."""
        if value.reg is None or value.padded:
            return False
        axes = self.meaning.layout.axes(value.reg)
        return len(value.at) == len(axes) and flat(value.at, axes) is flat(labels(len(value.shape)), value.shape)


def canonical(node: Node, depth: int = 0, done: dict[tuple[Node, int], Node] | None = None) -> Node:
    """The node with bound indices named by their depth and the parts of sums, products, `and` and `or` in order."""
    done = {} if done is None else done
    if (node, depth) in done:
        return done[node, depth]
    if node.tag == "reduce":
        kind, var, extent, guard, body = node.args
        if any(n.tag == "mul" and ZERO in n.args for n in t.walk(body)):
            raise Refused("a sum of nothing times what may have no value")
        away = {var: t.sym(f"@{depth}")}
        parts = (canonical(t.substitute(n, away), depth + 1, done) for n in (guard, body))
        found = t.reduce(kind, f"@{depth}", canonical(extent, depth, done), *parts)
    else:
        if node.tag == "mul":
            found = product_of(*(canonical(n, depth, done) for n in node.args))
        else:
            found = t.rebuild(node, lambda inner: canonical(inner, depth, done))
        if found.tag in ("add", "mul"):
            numbers = [n.args[0] for n in found.args if n.tag == "num"]
            rest = sorted((n for n in found.args if n.tag != "num"), key=lambda n: n.key)
            whole = sum(numbers) if found.tag == "add" else prod(numbers)
            found = (t.add if found.tag == "add" else product_of)(t.num(whole), *rest)
        elif found.tag in ("and", "or"):
            found = t.make(found.tag, *sorted(found.args, key=lambda n: n.key))
    done[node, depth] = found
    return found


def turned(node: Node) -> Node:
    """The node with sums of sums in the other order, so that other indices are put in terms of the others."""
    bound: list[tuple[str, Node]] = []
    guard = TRUE
    while node.tag == "reduce" and node.args[0] == "sum" and node.args[2].free.isdisjoint(v for v, _ in bound):
        _, var, extent, own, inner = node.args
        bound.append((var, extent))
        guard, node = t.both(guard, own), inner
    node = t.rebuild(node, turned)
    for var, extent in bound:
        node, guard = t.reduce("sum", var, extent, guard, node), TRUE
    return node


def supposed(node: Node, yes: Node, no: Node) -> Node:
    """The node where a condition holds and its negation does not."""
    if node.tag == "poly":
        return node
    if node.tag == "mul":
        return product_of(*(supposed(inner, yes, no) for inner in node.args))
    return TRUE if node is yes else FALSE if node is no else t.rebuild(node, lambda inner: supposed(inner, yes, no))


Bound = tuple[tuple[str, Node], ...]
Path = frozenset[Node]


def needs(node: Node, normal: Normal, path: Path = frozenset(), bound: Bound = ()) -> Iterator[tuple[Node, Path]]:
    """What must be defined, and under which conditions: a binder asks nothing of its inside where it is empty."""
    tag, args = node.tag, node.args
    if lacking(node):
        free = node.free.union(*(c.free for c in path))
        need = t.make("pow", args[0], -1) if tag == "pow" else node  # what must not be 0, whatever the exponent
        need = canonical(need, 1 + max((int(n[1:]) for n in need.free if n[0] == "@"), default=-1))
        yield need, path | {t.ge(t.minus(extent, t.plus(t.sym(v), t.const(1)))) for v, extent in bound if v in free}
    if tag == "select":
        yield from needs(args[0], normal, path, bound)
        yield from needs(args[1], normal, path | {args[0]}, bound)
        yield from needs(args[2], normal, path | {t.negate(args[0])}, bound)
    elif tag == "reduce":
        _, var, extent, guard, body = args
        less, inner = t.plus(extent, t.const(-1)), (*bound, (var, extent))
        filled = path if normal.surely(less) else path | {t.ge(less)}
        yield from needs(extent, normal, path, bound)
        yield from needs(guard, normal, filled, inner)
        yield from needs(body, normal, filled if guard is TRUE else filled | {guard}, inner)
    else:
        for part in [a for _, atoms in args for a in atoms] if tag == "poly" else args:
            if isinstance(part, Node):
                yield from needs(part, normal, path, bound)


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
        self.names = {n: k for k, (n, _, _) in enumerate(self.layout.inputs)}
        self.outputs = [self._output(v) for v in data["outputs"]]
        unread = set(range(self.layout.first, self.layout.count)) - self.layout.read - {v.reg for v in self.outputs}
        if unread:
            raise Refused(f"nothing reads what step {min(unread)} makes")
        self.produces = [(what, t.integer(id_)) for what, id_ in data["produces"]]

    def given(self, name: str) -> Value:
        """An input's value."""
        return self.whole(self.names[name])

    def whole(self, reg: int) -> Value:
        """A register as a tensor."""
        axes = self.layout.axes(reg)
        return Value(axes, reg, labels(len(axes)), False, None)

    def _output(self, data: Any) -> Value:
        kind, places, operand, reg = data
        shape = tuple(self.graph.poly(p) for p in places)
        value = self.layout.value(shape, operand, reg)
        if kind != self.kind(value) or (value.reg is not None and not self.layout.alive(value.reg)):
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
            return
        step = self.steps[id_]
        if step.op in self.graph.loops:
            return self.looped(step, key, values, found)
        hint = hints.get(f"{step.op} {key}".rstrip(), 0)
        cuts = frozenset(
            v.reg for n, v in values.items() if v is not None and v.reg is not None and (n != "y" or hint % 4 < 2)
        )
        if self.known((self.setting.like[id_], key, hint, self.pattern((found, *values.values()), cuts))):
            return
        meaning = Meaning(self.layout, cuts, found.shape, self.setting.inside)
        got = meaning.value(found, labels(len(found.shape)))
        wanted = Formula(meaning, self.setting.ops[step.op], step, values, hint % 2 == 1).at(key, found.shape)
        self.same(got, wanted, found.shape, f"{step.op} {key}".rstrip(), f"node {id_}", hint)

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
            here, cuts = labels(len(found.shape)), frozenset(() if value.reg is None else (value.reg,))
            meaning = Meaning(self.layout, cuts, found.shape, self.setting.inside)
            self.same(meaning.value(found, here), meaning.value(value, here), found.shape, "", what)

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
            out.append(v and (v.shape, v.at, v.padded, v.term))
            if v is not None and v.reg is not None:
                out += [local.setdefault(r, len(local)) for r in (v.reg, *entries(v.at))]
        waiting = list(local)
        for reg in waiting:
            step = layout.step(reg)
            if step is None or reg in cuts:
                out.append((layout.kind(reg), layout.axes(reg)))
                continue
            out.append(id(step[0]))
            for r in layout.reads(reg):
                if r not in local:
                    local[r] = len(local)
                    waiting.append(r)
                out.append(local[r])
        return tuple(out)

    def same(self, got: Node, wanted: Node, shape: Sequence[Node], key: str, what: str, hint: int = 0) -> None:
        """Two entries at the labels of a tensor are equal, and the first is defined wherever the second is."""
        if got.tag == "poly" or wanted.tag == "poly":
            got, wanted = (t.size(n) if n.tag == "poly" else n for n in (got, wanted))
        if t.SORTS[got.tag] == "c" and t.SORTS[wanted.tag] == "c":
            got, wanted = (t.select(n, ONE, ZERO) for n in (got, wanted))
        if t.SORTS[got.tag] != "t" or t.SORTS[wanted.tag] != "t":
            raise Refused(f"{what} is computed as another kind of thing")
        ranges = {f"${k}": extent for k, extent in enumerate(shape)}
        sides = canonical(got), canonical(turned(canonical(wanted)) if hint >= 4 else wanted)
        if not self.equal(*sides, ranges, ()):
            raise Differs(f"{what} is computed as something else ({key} in the {self.mode} plan)", key)

    def equal(self, got: Node, wanted: Node, ranges: Mapping[str, Node], known: tuple[Node, ...]) -> bool:
        """Whether two canonical terms are shown equal, and the first defined where the second is, perhaps by cases."""
        if got is wanted:
            return True
        lower = {n: low for n, (low, value) in self.graph.dims.items() if value is None}
        normal = Normal(lower, ranges, known)
        apart = normal.canonical(forms.plus(normal.form(wanted), forms.scaled(normal.form(got), -1)))
        if not apart:
            given = list(needs(wanted, normal))
            return all(any(n is m and q <= p for m, q in given) for n, p in needs(got, normal))
        conds = {c for _, where, _ in apart for c in where if c.tag == "ge" and not any("%" in n for n in c.free)}
        if not conds or len(known) == CASES:
            return False
        cond = min(conds, key=lambda c: c.key)
        sides = [(cond, t.negate(cond)), (t.negate(cond), cond)]
        for yes, no in sides:
            a, b = (canonical(supposed(n, yes, no)) for n in (got, wanted))
            if not self.equal(a, b, ranges, (*known, yes.args[0])):
                return False
        return True

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
        if self.known(self.pattern((total, before, more), cuts)):
            return
        meaning = Meaning(self.layout, cuts, total.shape, self.setting.inside)
        here = labels(len(total.shape))
        sides = [meaning.value(v, here) for v in (before, more)]
        self.same(meaning.value(total, here), t.add(*sides), total.shape, "", f"the gradient of node {id_}")

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
