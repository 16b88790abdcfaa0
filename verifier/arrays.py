"""Array programs up to equality of structure: two steps that do the same to the same arrays get the same number.

`Universe.step` numbers what a step computes. It knows its own laws (0 and 1, constants, repeated axes, what leaves a
sum), stated here apart from the ones that planning uses: where the two disagree, a plan is refused, never accepted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache

from gradproof.compiler.dims import Entry, Poly, Sym
from gradproof.compiler.kernels import Operand, Scalar, Step, Use, Value, bare, label
from gradproof.compiler.terms import (
    FALSE,
    ONE,
    TRUE,
    ZERO,
    Call,
    Cond,
    Num,
    RealCmp,
    Term,
    Truth,
    add,
    both,
    divide,
    either,
    mul,
    neg,
    negate,
    num,
    power,
    select,
    size,
    sub,
)

Labels = Mapping[str, Poly]
NOTHING, UNIT, MINUS = Scalar(ZERO), Scalar(ONE), Scalar(num(-1))


class Universe:
    """Numbers for arrays. A Value's operand reads a number where a program's would read a register."""

    def __init__(self) -> None:
        self._numbers: dict[object, int] = {}
        self._axes: list[tuple[Poly, ...]] = []
        self._roots: dict[int, int] = {}  # what a reshape is a reshape of

    def _number(self, key: object, axes: tuple[Poly, ...]) -> int:
        found = self._numbers.get(key)
        if found is None:
            found = self._numbers[key] = len(self._axes)
            self._axes.append(axes)
        return found

    def given(self, name: str, kind: str, axes: tuple[Poly, ...]) -> Value:
        """An input."""
        return Value(axes, Use(self._number(("input", name, kind), axes), bare(len(axes))), kind)

    def array(self, value: Value) -> int:
        """The number of a value as an array of exactly its axes."""
        if self.whole(value) and isinstance(value.operand, Use):
            return value.operand.reg
        return self._number(("array", value.extents, value.operand), value.extents)

    def whole(self, value: Value) -> bool:
        """Whether a value is one array, read entry by entry."""
        use = value.operand
        return (
            isinstance(use, Use)
            and not use.padded
            and use.index == bare(len(value.extents))
            and self._axes[use.reg] == value.extents
        )

    def reshaped(self, value: Value, extents: tuple[Poly, ...]) -> Value:
        """The value under other axes, in the same row-major order."""
        if extents == value.extents or isinstance(value.operand, Scalar):
            return Value(extents, value.operand, value.kind)
        source = self.array(value)
        root = self._roots.get(source, source)
        if self._axes[root] == extents:
            return Value(extents, Use(root, bare(len(extents))), value.kind)
        found = self._number(("reshape", root, extents), extents)
        self._roots[found] = root
        return Value(extents, Use(found, bare(len(extents))), value.kind)

    def read(self, labels: Labels, value: Value, index: tuple[Poly, ...], padded: bool) -> Operand:
        """A value's entry; padded with 0 outside its own axes where asked."""
        use = value.operand
        outside = padded and any(labels.get(p.as_symbol or "") != e for p, e in zip(index, value.extents, strict=True))
        if isinstance(use, Scalar) and not outside:
            return use
        if outside or use.padded:  # type: ignore[union-attr]  # a constant that is padded has `outside`
            return Use(self.array(value), index, outside)
        if use.index == bare(len(index)):  # type: ignore[union-attr]
            return Use(use.reg, index)  # type: ignore[union-attr]
        names = {f"${k}": p for k, p in enumerate(index)}
        return Use(use.reg, tuple(p.substitute(names) for p in use.index))  # type: ignore[union-attr]

    def poly(self, poly: Poly, values: Sequence[Value]) -> Poly:
        """An integer expression whose entries name registers, with numbers in their place."""
        if poly.as_symbol is not None:
            return poly

        def change(entry: Entry) -> Poly:
            return Poly.atom(Entry(f"%{self.array(values[int(entry.tensor[1:])])}", entry.index))

        return poly.rename_entries(change) if any(True for _ in poly.entries()) else poly

    def operand(self, operand: Operand, labels: Labels, values: Sequence[Value]) -> Operand:
        """An operand over registers, with numbers in their place."""
        if isinstance(operand, Scalar):
            return operand
        index = tuple(self.poly(p, values) for p in operand.index)
        return self.read(labels, values[operand.reg], index, operand.padded)

    def step(self, step: Step, values: Sequence[Value]) -> Value:
        """What a step computes from the values of the registers."""
        if step.op == "reshape":
            (source,) = step.operands
            if not isinstance(source, Use):
                raise ValueError("a reshape of a constant")
            return self.reshaped(values[source.reg], step.axes)
        if step.op == "loop":
            # A loop is a function of whole arrays: the same loop of the same arrays has the same number.
            whole = tuple(self.array(values[o.reg]) for o in step.operands if isinstance(o, Use))
            number = self._number((step.name, step.loop, whole), step.axes)
            return Value(step.axes, Use(number, bare(step.rank)), step.kind)
        if step.op == "extern":
            given = tuple(Use(self.array(values[reg]), ()) for reg in step.reads)
            number = self._number(replace(step, operands=given), step.axes)
            return Value(step.axes, Use(number, bare(step.rank)), step.kind)
        plain = self._plain(step, values)
        if plain is not None:
            new = Step(step.op, step.name, step.kind, step.extents, step.rank, plain)
            number = self._number(new, step.axes)
            return Value(self._axes[number], Use(number, bare(step.rank)), step.kind)
        every = {f"${k}": e for k, e in enumerate(step.extents)}
        labels = {f"${k}": e for k, e in enumerate(step.axes)}
        bound = {f"${k}": step.extents[k] for k in range(step.rank, len(step.extents))}
        operands = [self.operand(o, every, values) for o in step.operands]
        poly = None if step.poly is None else self.poly(step.poly, values)
        step = replace(step, operands=tuple(operands), poly=poly)
        return Value(step.axes, self._meaning(step, labels, bound), step.kind)

    def _plain(self, step: Step, values: Sequence[Value]) -> tuple[Operand, ...] | None:
        """The operands of a step over whole arrays and constants, which needs no law; None where it is not one."""
        if step.poly is not None or step.op in ("copy", "read_at", "logic"):
            return None
        out: list[Operand] = []
        for operand in step.operands:
            if isinstance(operand, Use):
                if operand.padded or not self.whole(values[operand.reg]):
                    return None
                operand = Use(values[operand.reg].operand.reg, operand.index)  # type: ignore[union-attr]
            out.append(operand)
        return tuple(out)

    def _meaning(self, step: Step, labels: Labels, bound: Labels) -> Operand:
        operands = step.operands
        match step.op:
            case "copy":
                return operands[0]
            case "read_at" if isinstance(operands[0], Scalar) or _affine(operands[0], step.extents):
                return operands[0]
            case "add_at" if operands[0] == NOTHING:
                return NOTHING
            case "fold":
                guard = operands[1] if len(operands) > 1 else Scalar(TRUE)
                return self._fold(step.name, labels, bound, operands[0], guard)
            case "contract":
                return self._contract(labels, bound, operands[0], operands[1])
            case "logic" if step.name != "not":
                return self._connect(step.name, labels, operands)
        known = _known(step.op, step.name, operands)
        if isinstance(known, Step):
            return self._meaning(known, labels, bound)
        return known if known is not None else self._new(step, labels, bound)

    def _new(self, step: Step, labels: Labels, bound: Labels) -> Operand:
        """A number for a step that no law simplifies; an axis that nothing depends on is not part of it."""
        used: set[str] = set() if step.axis is None else {f"${step.axis}"}
        for operand in step.operands:
            used |= _symbols(operand)
        used |= frozenset() if step.poly is None else step.poly.symbols
        kept = [name for name in labels if name in used]
        order = [*kept, *bound]
        extents = tuple({**labels, **bound}[name] for name in order)
        operands, poly = step.operands, step.poly
        names = {name: label(k) for k, name in enumerate(order)}
        if any(name != f"${k}" for k, name in enumerate(order)):
            operands = tuple(_renamed(o, names) for o in operands)
            poly = None if poly is None else poly.substitute(names)
        axis = None if step.axis is None else order.index(f"${step.axis}")
        new = Step(step.op, step.name, step.kind, extents, len(kept), operands, poly, axis)
        return Use(self._number(new, extents[: len(kept)]), tuple(map(Poly.sym, kept)))

    def map(self, name: str, labels: Labels, *operands: Operand) -> Operand:
        """The operand for an arithmetic step."""
        return self._meaning(Step("map", name, "real", tuple(labels.values()), len(labels), operands), labels, {})

    def _connect(self, name: str, labels: Labels, operands: Sequence[Operand]) -> Operand:
        join, unit, zero = (both, TRUE, FALSE) if name == "and" else (either, FALSE, TRUE)
        constant = join(*(_cond(o) for o in operands if isinstance(o, Scalar)))
        rest: list[Operand] = list(dict.fromkeys(o for o in operands if not isinstance(o, Scalar)))
        if constant == zero or not rest:
            return Scalar(constant)
        rest += [] if constant == unit else [Scalar(constant)]
        result = rest[0]
        for other in rest[1:]:
            extents = tuple(labels.values())
            result = self._new(Step("logic", name, "bool", extents, len(labels), (result, other)), labels, {})
        return result

    def _fold(self, kind: str, labels: Labels, bound: Labels, value: Operand, guard: Operand) -> Operand:
        every = guard == Scalar(TRUE)
        if not bound and every:
            return value
        if not bound and kind in ("sum", "prod"):
            other = NOTHING if kind == "sum" else UNIT
            extents = tuple(labels.values())
            chosen = Step("select", "", "real", extents, len(labels), (guard, value, other))
            return self._meaning(chosen, labels, {})
        if kind == "sum" and value == NOTHING:
            return NOTHING
        if kind == "sum" and every:
            inside = {n: e for n, e in bound.items() if n in _symbols(value)}
            if len(inside) < len(bound):
                times = Poly.product(e for n, e in bound.items() if n not in inside)
                return self.map("mul", labels, Scalar(size(times)), self._fold(kind, labels, inside, value, guard))
        operands = (value,) if every else (value, guard)
        extents = (*labels.values(), *bound.values())
        return self._new(Step("fold", kind, "real", extents, len(labels), operands), labels, bound)

    def _contract(self, labels: Labels, bound: Labels, a: Operand, b: Operand) -> Operand:
        """What only one factor depends on is summed within that factor, first the left one's."""
        if NOTHING in (a, b):
            return NOTHING
        in_a, in_b = _symbols(a), _symbols(b)
        for left in (True, False):
            mine, others = (in_a, in_b) if left else (in_b, in_a)
            alone = {n: e for n, e in bound.items() if n in mine and n not in others}
            if not alone:
                continue
            rest = {n: e for n, e in bound.items() if n not in alone}
            outer = {n: e for n, e in {**labels, **rest}.items() if n in mine}
            summed = self._fold("sum", outer, alone, a if left else b, Scalar(TRUE))
            return self._contract(labels, rest, summed if left else a, b if left else summed)
        shared = {n: e for n, e in bound.items() if n in in_a}
        if shared:
            extents = (*labels.values(), *shared.values())
            product = self._new(Step("contract", "sum", "real", extents, len(labels), (a, b)), labels, shared)
        else:
            product = self.map("mul", labels, a, b)
        free = [e for n, e in bound.items() if n not in shared]
        return self.map("mul", labels, Scalar(size(Poly.product(free))), product) if free else product


def _symbols(operand: Operand) -> frozenset[str]:
    return frozenset() if isinstance(operand, Scalar) else _symbols_of(operand.index)


@lru_cache(maxsize=4096)
def _symbols_of(index: tuple[Poly, ...]) -> frozenset[str]:
    return frozenset[str]().union(*(p.symbols for p in index))


def _renamed(operand: Operand, names: Mapping[str, Poly]) -> Operand:
    if isinstance(operand, Scalar):
        return operand
    return Use(operand.reg, tuple(p.substitute(names) for p in operand.index), operand.padded)


def _affine(use: Operand, extents: tuple[Poly, ...]) -> bool:
    """Whether a gather's index is affine in the labels after all, so that it is a plain read."""
    names = {f"${k}" for k in range(len(extents))}
    for poly in () if isinstance(use, Scalar) else use.index:
        for monomial, _ in poly.terms:
            degree = sum(e for atom, e in monomial if isinstance(atom, Sym) and atom.name in names)
            rest = [Poly.atom(atom) for atom, _ in monomial if not isinstance(atom, Sym)]
            if degree > 1 or any(p.symbols & names or any(True for _ in p.entries()) for p in rest):
                return False
    return True


def _term(operand: Operand) -> Term:
    if not isinstance(operand, Scalar) or isinstance(operand.term, Cond):
        raise ValueError("a real constant is expected")
    return operand.term


def _cond(operand: Operand) -> Cond:
    if not isinstance(operand, Scalar) or not isinstance(operand.term, Cond):
        raise ValueError("a constant condition is expected")
    return operand.term


def _known(op: str, name: str, operands: tuple[Operand, ...]) -> Operand | Step | None:
    """What a step with constant operands comes to: an operand, a simpler step, or nothing known."""
    if op == "select":
        return _chosen(*operands)
    constant = bool(operands) and all(isinstance(o, Scalar) for o in operands)
    match op:
        case "map" if constant:
            return Scalar(_value(name, [_term(o) for o in operands]))
        case "map":
            return _neutral(name, operands)
        case "pow" if int(name) in (0, 1):
            return operands[0] if int(name) else UNIT
        case "pow" if constant:
            return Scalar(power(_term(operands[0]), int(name)))
        case "call" if constant or not operands:
            return Scalar(Call(name, tuple(map(_term, operands))))
        case "compare" if constant:
            return Scalar(_compared(name, _term(operands[0]), _term(operands[1])))
        case "logic" if constant:
            return Scalar(negate(_cond(operands[0])))
    return None


def _chosen(cond: Operand, then: Operand, other: Operand) -> Operand | None:
    if isinstance(cond, Scalar) and isinstance(cond.term, Truth):
        return then if cond.term.value else other
    if then == other:
        return then
    if all(isinstance(o, Scalar) for o in (cond, then, other)):
        return Scalar(select(_cond(cond), _term(then), _term(other)))
    return None


def _value(name: str, args: list[Term]) -> Term:
    if name == "neg":
        return neg(args[0])
    a, b = args
    match name:
        case "add":
            return add(a, b)
        case "sub":
            return sub(a, b)
        case "mul":
            return mul(a, b)
        case "div":
            return divide(a, b)
    raise ValueError(f"no arithmetic is called {name}")


def _compared(rel: str, a: Term, b: Term) -> Cond:
    if isinstance(a, Num) and isinstance(b, Num):
        return Truth({"<": a.value < b.value, "<=": a.value <= b.value, "==": a.value == b.value}[rel])
    return RealCmp(rel, a, b)


def _neutral(name: str, operands: tuple[Operand, ...]) -> Operand | Step | None:
    """x + 0, 0 - x, 1 * x, x / c and their like."""
    if name == "neg":
        return None
    a, b = operands
    match name:
        case "add" if NOTHING in operands:
            return b if a == NOTHING else a
        case "sub" if b == NOTHING:
            return a
        case "sub" if a == NOTHING:
            return Step("map", "neg", "real", (), 0, (b,))
        case "mul" if NOTHING in operands:
            return NOTHING
        case "mul" if UNIT in operands:
            return b if a == UNIT else a
        case "mul" if MINUS in operands:
            return Step("map", "neg", "real", (), 0, (b if a == MINUS else a,))
        case "div" if a == NOTHING or b == UNIT:
            return a
        case "div" if isinstance(b, Scalar):
            return Step("map", "mul", "real", (), 0, (Scalar(power(_term(b), -1)), a))
    return None
