"""The steps of a plan: their form, and that every read of a buffer sees the register that it means. [trusted]"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from . import terms as t
from .calculus import FUNCTIONS
from .terms import Node, Refused, product

BOOL, REAL, INT = ("bool",), ("real",), ("int",)
FORMS = {  # operation, name: kinds of the operands, kind of the result
    **{("map", n): (REAL * 2, "real") for n in ("add", "sub", "mul", "div")},
    **{("compare", n): (REAL * 2, "bool") for n in ("<", "<=", "==")},
    **{("logic", n): (BOOL * 2, "bool") for n in ("and", "or")},
    **{("order", n): (REAL, "real") for n in ("<", ">")},
    **{("intcmp", n): ((), "bool") for n in (">=", "==")},
    ("map", "neg"): (REAL, "real"),
    ("select", ""): (BOOL + REAL * 2, "real"),
    ("logic", "not"): (BOOL, "bool"),
    ("contract", "sum"): (REAL * 2, "real"),
    ("as_real", ""): (INT, "real"),
    ("ints", ""): ((), "int"),
    ("add_at", "sum"): (REAL, "real"),
}
EXPONENTS = {str(k) for k in range(-999, 1000) if k not in (0, 1)}  # which are no products
LABELS = [f"${k}" for k in range(64)]
IN_PLACE = ("map", "call", "select", "pow")


class Value(NamedTuple):
    """A tensor: a constant (`reg` is None), or the entries of a register at an index over the tensor's labels."""

    shape: tuple[Node, ...]
    reg: int | None
    at: tuple[Node, ...]
    padded: bool
    term: Node | None


class Template(NamedTuple):
    """A step without the registers of its operands: (use, padded, index) or (term or cond, 0, (constant,)) each."""

    op: str
    name: str
    kind: str
    extents: tuple[Node, ...]
    rank: int
    operands: tuple[tuple[str, Any, tuple[Node, ...]], ...]
    poly: Node | None
    axis: int | None
    loop: str | None


def operand(
    data: Any, part: Callable[[Any, str, Sequence[str]], Node], labels: int
) -> tuple[str, Any, tuple[Node, ...]]:
    """An operand without its register."""
    what, *rest = data
    if what == "use" and rest[0] in (0, 1):
        return what, rest[0], tuple(part(p, "p", LABELS[:labels]) for p in rest[1:])
    if what not in ("term", "cond") or len(rest) != 1:
        raise Refused("an operand of no known form")
    found = part(rest[0], what[0], ())
    if any(n.tag in ("read", "bool", "entry") for n in t.walk(found)):
        raise Refused("a constant that reads a tensor")
    if plain(found) is not found:
        raise Refused("a constant that is less when it is worked out")  # it may have no value for all that
    return what, 0, (found,)


def plain(node: Node) -> Node:
    """A constant, all small parts of it small."""
    return node if node.tag == "poly" else t.rebuild(node, plain)


def affine(p: Node) -> bool:
    """Whether an index is what a strided view takes: labels times sizes, and sizes."""
    inside = [[a for a in m if any(n[0] == "$" for n in a.free)] for _, m in p.args]
    return not reads(p) and all(len(found) < 2 and all(a.tag == "sym" for a in found) for found in inside)


def template(row: Any, poly: Callable[[Any], Node], part: Callable[[Any, str, Sequence[str]], Node]) -> Template:
    """A step's form, as compiler/kernels.py says which there are; but for what depends on registers."""
    op, name, kind, extents, rank, operands, index, axis, loop = row
    count = len(extents)
    form = Template(
        op,
        name,
        kind,
        tuple(map(poly, extents)),
        t.integer(rank),
        tuple(operand(o, part, count) for o in operands),
        None if index is None else part(index, "p", LABELS[:count]),
        None if axis is None else t.integer(axis),
        loop,
    )
    inner = {f"${k}" for k in range(rank, count)}
    uses = [frozenset[str]().union(*(p.free for p in parts)) for what, _, parts in form.operands if what == "use"]
    whole = op in ("reshape", "loop")
    problem = (
        (loop is not None) != (op == "loop")
        or not 0 <= rank <= count
        or (rank < count and op not in ("fold", "contract", "add_at"))
        or (form.poly is None) != (op not in ("ints", "intcmp", "add_at"))
        or (axis is None) != (op not in ("add_at", "order"))
        or (axis is not None and not 0 <= axis < rank)
        or (op == "contract" and (len(uses) != 2 or any(not inner <= names for names in uses)))
        or (op == "add_at" and form.poly and any(f"${axis}" in names for names in (*uses, form.poly.free)))
        or (whole and (len(uses) != len(operands) or any(padded or at for _, padded, at in form.operands)))
        or (op == "reshape" and len(uses) != 1)
        or (op != "read_at" and any(not affine(p) for what, _, parts in form.operands if what == "use" for p in parts))
    )
    if problem:
        raise Refused(f"a step `{op} {name}` of no known form")
    return form


@lru_cache
def labels(count: int) -> tuple[Node, ...]:
    """The indices along all axes."""
    return tuple(t.sym(f"${k}") for k in range(count))


def ranged(extents: Sequence[Node]) -> dict[str, Node]:
    """The names of the labels along all axes, with their extents."""
    return {f"${k}": extent for k, extent in enumerate(extents)}


@lru_cache(1 << 14)
def reads(p: Node) -> tuple[tuple[str, int], ...]:
    """The integer registers that an index reads, each with how many indices it is read at."""
    return tuple((n.args[0], len(n.args) - 1) for n in t.walk(p) if n.tag == "entry")


def entries(index: Sequence[Node]) -> list[int]:
    """The integer registers that indices read."""
    return [int(name[1:]) for p in index for name, _ in reads(p)]


class Layout:
    """A plan's registers: inputs, then one a step, each with its kind and axes; in which buffer each is."""

    def __init__(
        self,
        data: Any,
        forms: Sequence[Template],
        poly: Callable[[Any], Node],
        part: Callable[[Any, str, Sequence[str]], Node],
        wanted: Sequence[tuple[str, str, tuple[Node, ...]]],
        inside: Callable[[Node, Node, Mapping[str, Node]], bool],
    ) -> None:
        self.inputs = [(n, kind, tuple(map(poly, axes))) for n, kind, *axes in data["inputs"]]
        if self.inputs != list(wanted) or len({n for n, _, _ in wanted}) != len(wanted):
            raise Refused("the plan's inputs are not the graph's")
        self._part, self._inside = part, inside
        self.reads = dict[int, list[int]]()  # step -> all registers that it reads, where some stand inside of indices
        self.first, self.steps = len(self.inputs), list[tuple[Template, list[int]]]()
        self._axes: list[tuple[Node, ...]] = [axes for _, _, axes in self.inputs]
        self.kinds: list[str] = [kind for _, kind, _ in self.inputs]
        results = [(form.extents[: form.rank], form.kind) for form in forms]
        formed = dict[Any, list[bool]]()
        self.loose = dict[int, list[int]]()  # step -> the registers that it may read outside of them
        for number, *regs in data["steps"]:
            if type(number) is not int or not 0 <= number < len(forms):
                raise Refused("a step of no template")
            form, (axes, kind) = forms[number], results[number]
            key = (number, *[(self.kinds[r], self._axes[r]) for r in map(self.reg, regs)])
            if key not in formed or form.poly is not None or form.op == "read_at":
                formed[key] = self._formed(form, regs)
            if formed[key]:
                self.loose[len(self._axes)] = [r for r, out in zip(regs, formed[key], strict=True) if out]
            if form.poly is not None or form.op == "read_at":
                places = [p for what, _, index in form.operands if what == "use" for p in index]
                self.reads[len(self._axes)] = [*regs, *entries([*places, *([] if form.poly is None else [form.poly])])]
            self.steps.append((form, regs))
            self._axes.append(axes)
            self.kinds.append(kind)
        self._scan(data["slots"], [(kind, poly(p)) for kind, p in data["sizes"]], data["static"])

    def axes(self, reg: int) -> tuple[Node, ...]:
        """The extents of a register's axes."""
        return self._axes[reg]

    def kind(self, reg: int) -> str:
        """What kind of entries a register has."""
        return self.kinds[reg]

    def step(self, reg: int) -> tuple[Template, list[int]] | None:
        """What writes a register; None for an input."""
        return None if reg < self.first else self.steps[reg - self.first]

    def reg(self, number: Any) -> int:
        """A register that there is."""
        if type(number) is not int or not 0 <= number < len(self._axes):
            raise Refused("a register that is not there")
        return number

    def _formed(self, form: Template, regs: list[int]) -> list[bool]:
        """A step with its registers: of the right kinds and numbers of axes; which may be read outside, if any."""
        left, kinds, loose = iter(regs), list[str](), list[bool]()
        if len(regs) != sum(what == "use" for what, _, _ in form.operands):
            raise Refused("a step with more or fewer registers than operands")
        for what, padded, parts in form.operands:
            if what == "use":
                reg = next(left)
                kinds.append(self.kind(reg))
                inside = form.op in ("reshape", "loop") or self._fits(reg, parts, None if padded else form.extents)
                loose.append(not inside)
            else:
                kinds.append("real" if what == "term" else "bool")
        if form.poly is not None:
            self._entries(form.poly)
        op, name, given = form.op, form.name, tuple(kinds)
        if op in ("copy", "read_at", "reshape"):
            right = given == (form.kind,) and name == ""
        elif op == "call":
            right = name in FUNCTIONS and given == REAL * len(FUNCTIONS[name].args) and form.kind == "real"
        elif op == "loop":  # of which inputs, plans.py sees
            right = name in ("value", "jvp", "vjp") and form.kind == "real"
        elif op == "pow":
            right = name in EXPONENTS and (given, form.kind) == (REAL, "real")
        elif op == "fold":
            right = name in t.KINDS and given in (REAL, REAL + BOOL) and form.kind == "real"
        else:
            right = FORMS.get((op, name)) == (given, form.kind)
        if not right:
            raise Refused(f"`{op} {name}` of {', '.join(given) or 'nothing'}")
        return loose if any(loose) else []

    def _fits(self, reg: int, index: Sequence[Node], extents: tuple[Node, ...] | None) -> bool:
        """Whether an index over labels with these extents (None: what is outside is 0) is seen to be inside."""
        if len(index) != len(self.axes(reg)):
            raise Refused("a register is read at too many or too few indices")
        for p in index:
            self._entries(p)
        if extents is None:
            return True
        here, below = dict(zip(labels(len(extents)), extents, strict=True)), ranged(extents)
        return all(
            here.get(p) is axis or self._inside(p, axis, {n: below[n] for n in sorted(p.free & below.keys())})
            for p, axis in zip(index, self.axes(reg), strict=True)
        )

    def _entries(self, p: Node) -> None:
        """The integer registers that an index reads are there."""
        for name, count in reads(p):
            source = self.reg(int(name[1:]))
            if name != f"%{source}" or self.kind(source) != "int" or count != len(self.axes(source)):
                raise Refused("an index that reads what is no integer")

    def value(self, shape: tuple[Node, ...], data: Any, reg: Any) -> Value:
        """A tensor over its labels."""
        what, padded, parts = operand(data, self._part, len(shape))
        if what != "use":
            return Value(shape, None, (), False, parts[0])
        if not self._fits(self.reg(reg), parts, None if padded else shape):
            raise Refused("a tensor is not seen to be inside of its register")
        if not all(map(affine, parts)):
            raise Refused("a tensor that is no view of a register")
        return Value(shape, reg, parts, bool(padded), None)

    # Buffers

    def _scan(self, slots: Any, sizes: list[tuple[str, Node]], static: Any) -> None:
        """By one pass over the steps: buffers fit, and what is read was not overwritten."""
        self.count, self.used = self.first + len(self.steps), set[int]()
        count = self.count
        if len(slots) != count or any(type(s) is not int or not 0 <= s < len(sizes) for s in slots):
            raise Refused("a register has no buffer")
        fixed = {self.reg(r) for r in static}
        counts: dict[tuple[Node, ...], Node] = {}
        root, holder = list(range(self.first)), dict[int, int]()
        private = {slots[r] for r in fixed}
        for reg in range(count):
            axes, slot = self._axes[reg], slots[reg]
            if axes not in counts:
                counts[axes] = product(axes)
            if sizes[slot] != (self.kinds[reg], counts[axes]):
                raise Refused(f"register {reg} does not fit its buffer")
            if reg < self.first:
                if slot in holder or reg in fixed:
                    raise Refused(f"input {reg} shares its buffer, or is taken for a constant")
                holder[slot] = reg
                continue
            form, regs = self.steps[reg - self.first]
            reads, over = self.reads.get(reg, regs), False
            self.used.update(reads)
            for r in reads:
                if r >= reg or holder.get(slots[r]) != root[r]:
                    raise Refused(f"step {reg} reads a register that is not there, or whose buffer holds another")
                over = over or slots[r] == slot
            if form.op == "reshape":
                root.append(root[reads[0]])
                if not over or (reg in fixed) != (reads[0] in fixed):
                    raise Refused(f"register {reg} is a view of another buffer")
                continue
            root.append(reg)
            held = holder.get(slot)
            if (held is not None and held < self.first) or (slot in private and reg not in fixed):
                raise Refused(f"step {reg} overwrites an input or a constant")
            if reg in fixed and (held is not None or any(r not in fixed for r in reads)):
                raise Refused(f"step {reg} is run once, and shares its buffer or reads what changes")
            if over and not self._in_place(reg, slot, slots):
                raise Refused(f"step {reg} overwrites what it still reads")
            holder[slot] = reg
        self.alive = {reg for reg in range(count) if holder.get(slots[reg]) == root[reg]}  # at the end

    def _in_place(self, reg: int, slot: int, slots: Any) -> bool:
        """Whether the step reads this buffer only at the entry that it is writing, and may be run in place."""
        form, regs = self.steps[reg - self.first]
        if form.op not in IN_PLACE or (form.op == "pow" and form.name not in ("2", "-1")):
            return False
        bare = labels(form.rank)
        mine, left = 0, iter(regs)
        for position, (what, padded, parts) in enumerate(form.operands):
            source = next(left) if what == "use" else None
            if source is None or slots[source] != slot:
                continue
            mine += 1
            whole = parts == bare and not padded and self.axes(source) == self.axes(reg)
            if not whole or (form.op == "select" and position != 1):
                return False
        return mine == [slots[r] for r in self.reads.get(reg, regs)].count(slot)
