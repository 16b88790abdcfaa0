"""What a plan's registers hold, as terms, and what an operator's rule says at a node, over the same ones. [trusted]

A register that is cut is left uninterpreted: a tensor of which nothing is known, read at one position, its place in
row-major order, so axes may be grouped as one likes. Any other is what its step makes of its operands
(compiler/kernels.py says what the steps mean).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from . import terms as t
from .buffers import Layout, Template, Value, labels, ranged
from .calculus import domain
from .graphs import Axes, Step
from .operators import Op
from .scopes import in_range
from .terms import ONE, TRUE, ZERO, Node, Refused, product

INSIDE = "inside"  # entry `inside p e`: p, where 0 <= p < e
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


def gathered(p: Node) -> bool:
    """Whether a position is known when it runs only: it reads integers."""
    return any(n.tag == "entry" for n in t.walk(p))


def lacking(node: Node) -> bool:
    """Whether a node may have no value where its parts have one. So has INSIDE outside of an axis."""
    tag, args = node.tag, node.args
    if tag == "call":
        return domain(args[0], args[1:]) is not TRUE
    inverse = tag == "pow" and args[1] < 0 and (args[0].tag != "num" or args[0] is ZERO)
    optimum, outside = tag == "reduce" and args[0] in ("max", "min"), tag == "entry" and args[0] == INSIDE
    return tag in ("div", "mod") or inverse or optimum or outside


def product_of(*args: Node) -> Node:
    """The product, of which 0 makes nothing where a factor may have no value: 0 * (1 / 0) is no 0 when it runs."""
    return t.make("mul", *args) if ZERO in args and any(lacking(n) for a in args for n in t.walk(a)) else t.mul(*args)


EACH: dict[tuple[str, str], Callable[..., Node]] = {  # what is made entry by entry
    ("map", "add"): t.add,
    ("map", "sub"): lambda a, b: t.add(a, t.neg(b)),
    ("map", "mul"): product_of,
    ("map", "div"): lambda a, b: product_of(a, power(b, -1)),
    ("map", "neg"): t.neg,
    ("select", ""): partial(t.make, "select"),
    ("compare", "<"): partial(t.make, "lt"),
    ("compare", "<="): partial(t.make, "le"),
    ("compare", "=="): partial(t.make, "same"),
    ("logic", "and"): t.both,
    ("logic", "or"): t.either,
    ("logic", "not"): t.negate,
    ("as_real", ""): t.size,
    ("copy", ""): lambda a: a,
    ("read_at", ""): lambda a: a,
}


class Meaning:
    """What registers of a plan hold, down to those that are left uninterpreted."""

    def __init__(self, layout: Layout, cuts: frozenset[int], shape: Sequence[Node], inside: Inside) -> None:
        self.layout, self.cuts, self.inside, self.made = layout, cuts, inside, 0
        self.ranges: dict[Node, Node] = dict(zip(labels(len(shape)), shape, strict=True))
        self.below = ranged(shape)

    def is_cut(self, reg: int) -> bool:
        """Whether a register is left uninterpreted."""
        return reg in self.cuts or self.layout.step(reg) is None

    def given(self, reg: int) -> int | None:
        """The register that is left uninterpreted and that this one is, perhaps under other axes."""
        step = self.layout.step(reg)
        if self.is_cut(reg) or step is None:
            return reg
        return step[1][0] if step[0].op == "reshape" and self.is_cut(step[1][0]) else None

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
        bounds = [in_range(p, e) for p, e in zip(index, axes, strict=True) if ranges.get(p) is not e]
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
            if self.given(reg) is None and not all(map(self.within, found, self.layout.axes(reg))):
                raise Refused("an integer that is computed on the way is read at any place")  # outside it is 0
            return self.register(reg, found)
        return t.rebuild(node, self._entered)

    def register(self, reg: int, index: Index, padded: bool = False) -> Node:
        """A register's entry: a term, a condition or a polynomial; `padded` where it is asked for inside only."""
        axes, kind = self.layout.axes(reg), self.layout.kind(reg)
        if len(index) != len(axes):
            raise Refused("a register is read at too many or too few indices")
        given, step = self.given(reg), self.layout.step(reg)
        if given is not None or step is None:
            return self.opaque(f"r{given}", kind, self.position(index, axes, kind, padded))
        form, regs = step
        if form.op == "reshape":
            return self.register(regs[0], self.regrouped(index, axes, self.layout.axes(regs[0])), padded)
        bound = {f"${k}": self.fresh(form.extents[k]) for k in range(form.rank, len(form.extents))}
        names = {f"${k}": p for k, p in enumerate(index)} | {k: t.sym(v) for k, v in bound.items()}
        ranges = {p: form.extents[int(k[1:])] for k, p in names.items()}
        args, left = [], iter(regs)
        for what, outside, parts in form.operands:
            if what == "use":
                source, found = next(left), tuple(self.poly(p, names) for p in parts)
                if source in self.layout.loose.get(reg, ()) and self.given(source) is None:
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
        each = EACH.get((op, name))
        if each is not None:
            return each(*args)
        if op == "pow":
            return power(args[0], int(name))
        if op == "call":
            return t.make("call", name, *args)
        if op == "ints":
            return p
        if op == "intcmp":
            return t.ge(p) if name == ">=" else t.eq(p)
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
        self.packs = {pack for a in self.axes.values() for _, pack, _ in a.axes if pack is not None}

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
