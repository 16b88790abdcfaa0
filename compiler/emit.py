"""Build array programs: steps are shared by structure, and the laws that need no thought are applied on the way.

The laws, over the reals, as everywhere in the kernel: 0 and 1 are neutral or absorbing, a part that is known when the
sizes are is folded into one Scalar, an axis that nothing depends on is not stored (the value is repeated by its
index), and a sum or a contraction loses what does not depend on its bound labels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction

from gradproof.compiler.dims import Entry, Poly
from gradproof.compiler.kernels import (
    Input,
    Operand,
    Program,
    Scalar,
    Step,
    Use,
    Value,
    affine,
    bare,
    is_label,
    label,
    register_name,
    written,
)
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
    int_eq,
    int_ge,
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

_NEUTRAL = {"sum": ZERO, "prod": ONE}
NOTHING, UNIT, ALWAYS = Scalar(ZERO), Scalar(ONE), Scalar(TRUE)


class Builder:
    """A program under construction. Operands are written over named labels; steps are stored over `$0, $1, ...`."""

    def __init__(self) -> None:
        self.inputs: list[Input] = []
        self.steps: list[Step] = []
        self._registers: dict[Step, int] = {}

    def input(self, name: str, kind: str, axes: tuple[Poly, ...]) -> int:
        """A new input register; inputs come before all steps."""
        if self.steps:
            raise ValueError(f"input {name} after the first step")
        self.inputs.append(Input(name, kind, axes))
        return len(self.inputs) - 1

    def axes(self, reg: int) -> tuple[Poly, ...]:
        """The extents of a register's axes."""
        return written(self.inputs, self.steps, reg).axes

    def kind(self, reg: int) -> str:
        """A register's kind."""
        return written(self.inputs, self.steps, reg).kind

    def step(self, reg: int) -> Step | None:
        """The step that writes a register; None for an input."""
        count = len(self.inputs)
        return None if reg < count else self.steps[reg - count]

    def program(self, outputs: Sequence[Value]) -> Program:
        """The program so far."""
        return Program(tuple(self.inputs), tuple(self.steps), tuple(outputs))

    def store(self, step: Step) -> int:
        """The register of a step, shared with an equal one."""
        reg = self._registers.get(step)
        if reg is None:
            reg = self._registers[step] = len(self.inputs) + len(self.steps)
            self.steps.append(step)
        return reg

    def emit(
        self,
        op: str,
        name: str,
        kind: str,
        labels: Labels,
        operands: Sequence[Operand],
        bound: Labels | None = None,
        poly: Poly | None = None,
        axis: str | None = None,
    ) -> Operand:
        """A step over the labels that occur; what it reads like from outside."""
        used: set[str] = set() if axis is None else {axis}
        for operand in operands:
            used |= symbols(operand)
        if poly is not None:
            used |= poly.symbols
        kept = [key for key in labels if key in used]
        bound = bound or {}
        order = [*kept, *bound]
        extents = tuple(labels[k] if k in labels else bound[k] for k in order)
        position = None if axis is None else order.index(axis)
        names = {key: label(k) for k, key in enumerate(order)}
        if any(key != f"${k}" for k, key in enumerate(order)):
            operands = [rename(o, names) for o in operands]
            poly = None if poly is None else poly.substitute(names)
        step = Step(op, name, kind, extents, len(kept), tuple(operands), poly, position)
        return Use(self.store(step), tuple(Poly.sym(key) for key in kept))

    # Steps with their laws.

    def map(self, name: str, labels: Labels, *operands: Operand) -> Operand:
        """add, sub, mul, div or neg."""
        if all(isinstance(o, Scalar) for o in operands):
            return Scalar(_constant(name, [_term(o) for o in operands]))
        folded = _neutral(name, operands)
        if isinstance(folded, tuple):
            return self.map(folded[0], labels, *folded[1:])
        if folded is not None:
            return folded
        return self.emit("map", name, "real", labels, operands)

    def pow(self, labels: Labels, base: Operand, exponent: int) -> Operand:
        """An integer power."""
        if isinstance(base, Scalar):
            return Scalar(power(_term(base), exponent))
        if exponent in (0, 1):
            return base if exponent else UNIT
        return self.emit("pow", str(exponent), "real", labels, [base])

    def call(self, fn: str, labels: Labels, *operands: Operand) -> Operand:
        """A named function."""
        if all(isinstance(o, Scalar) for o in operands):
            return Scalar(Call(fn, tuple(_term(o) for o in operands)))
        return self.emit("call", fn, "real", labels, operands)

    def compare(self, rel: str, labels: Labels, a: Operand, b: Operand) -> Operand:
        """a rel b over the reals."""
        if isinstance(a, Scalar) and isinstance(b, Scalar):
            x, y = _term(a), _term(b)
            if isinstance(x, Num) and isinstance(y, Num):
                return Scalar(Truth(_decide(rel, x.value, y.value)))
            return Scalar(RealCmp(rel, x, y))
        return self.emit("compare", rel, "bool", labels, [a, b])

    def logic(self, name: str, labels: Labels, *operands: Operand) -> Operand:
        """and, or, not."""
        if name == "not":
            (only,) = operands
            return Scalar(negate(_cond(only))) if isinstance(only, Scalar) else self._logic(name, labels, [only])
        join, unit, zero = (both, TRUE, FALSE) if name == "and" else (either, FALSE, TRUE)
        scalar = join(*(_cond(o) for o in operands if isinstance(o, Scalar)))
        rest: list[Operand] = list(dict.fromkeys(o for o in operands if not isinstance(o, Scalar)))
        if scalar == zero or not rest:
            return Scalar(scalar)
        if scalar != unit:
            rest.append(Scalar(scalar))
        result: Operand = rest[0]
        for other in rest[1:]:
            result = self._logic(name, labels, [result, other])
        return result

    def _logic(self, name: str, labels: Labels, operands: list[Operand]) -> Operand:
        return self.emit("logic", name, "bool", labels, operands)

    def select(self, labels: Labels, cond: Operand, then: Operand, other: Operand) -> Operand:
        """`then` where cond, else `other`."""
        if isinstance(cond, Scalar) and isinstance(cond.term, Truth):
            return then if cond.term.value else other
        if then == other:
            return then
        if all(isinstance(o, Scalar) for o in (cond, then, other)):
            return Scalar(select(_cond(cond), _term(then), _term(other)))
        return self.emit("select", "", "real", labels, [cond, then, other])

    def fold(self, kind: str, labels: Labels, bound: Labels, value: Operand, guard: Operand = ALWAYS) -> Operand:
        """`kind` of value over the bound labels, where guard."""
        guarded = guard != ALWAYS
        if not bound:
            if not guarded:
                return value
            if kind in _NEUTRAL:
                return self.select(labels, guard, value, Scalar(_NEUTRAL[kind]))
        if kind == "sum" and value == NOTHING:
            return value
        if kind == "sum" and not guarded:
            seen = symbols(value)
            free = [extent for key, extent in bound.items() if key not in seen]
            if free:
                used = {key: extent for key, extent in bound.items() if key in seen}
                times = Scalar(size(Poly.product(free)))
                return self.map("mul", labels, times, self.fold(kind, labels, used, value))
        operands = [value, guard] if guarded else [value]
        return self.emit("fold", kind, "real", labels, operands, bound)

    def contract(self, labels: Labels, bound: Labels, a: Operand, b: Operand) -> Operand:
        """The sum over the bound labels of a * b; what one factor alone depends on is summed in it first."""
        if NOTHING in (a, b):
            return NOTHING
        in_a, in_b = symbols(a), symbols(b)
        for one, other, inside, outside in ((a, b, in_a, in_b), (b, a, in_b, in_a)):
            alone = {key: extent for key, extent in bound.items() if key in inside and key not in outside}
            if alone:
                rest = {key: extent for key, extent in bound.items() if key not in alone}
                kept = {key: extent for key, extent in {**labels, **rest}.items() if key in inside}
                reduced = self.fold("sum", kept, alone, one)
                first, second = (reduced, other) if one is a else (other, reduced)
                return self.contract(labels, rest, first, second)
        free = [extent for key, extent in bound.items() if key not in in_a and key not in in_b]
        shared = {key: extent for key, extent in bound.items() if key in in_a and key in in_b}
        if not shared:
            product = self.map("mul", labels, a, b)
        else:
            product = self.emit("contract", "sum", "real", labels, [a, b], shared)
        return self.map("mul", labels, Scalar(size(Poly.product(free))), product) if free else product

    def ints(self, labels: Labels, poly: Poly) -> Operand:
        """An integer expression as an integer register."""
        return self.emit("ints", "", "int", labels, [], None, poly)

    def integer_as_real(self, labels: Labels, poly: Poly) -> Operand:
        """An integer expression as a real."""
        if not _varies(poly):
            return Scalar(size(poly))
        return self.emit("as_real", "", "real", labels, [self.ints(labels, poly)])

    def intcmp(self, rel: str, labels: Labels, poly: Poly) -> Operand:
        """poly rel 0."""
        if not _varies(poly):
            return Scalar(int_ge(poly, 0) if rel == ">=" else int_eq(poly, 0))
        return self.emit("intcmp", rel, "bool", labels, [], None, poly)

    def read(self, labels: Labels, reg: int, index: tuple[Poly, ...], guarded: bool) -> Operand:
        """The entry of a register at an index: as it is where the index is affine, otherwise gathered.

        `guarded` says that the read may be out of bounds where its value is not used.
        """
        padded = guarded and not self._inside(labels, reg, index)
        use = Use(reg, index, padded)
        if all(affine(p, [k for k in p.symbols if k in labels]) for p in index):
            return use
        return self.emit("read_at", "", self.kind(reg), labels, [use])

    def _inside(self, labels: Labels, reg: int, index: tuple[Poly, ...]) -> bool:
        """Whether every index is a bare label of exactly the axis's extent."""
        return all(
            p.as_symbol is not None and labels.get(p.as_symbol) == axis
            for p, axis in zip(index, self.axes(reg), strict=True)
        )

    def entry(self, labels: Labels, reg: int, index: tuple[Poly, ...], guarded: bool) -> Poly:
        """The entry of an integer register as an integer expression; the index is held inside where `guarded`."""
        if guarded and not self._inside(labels, reg, index):
            index = tuple(
                p if labels.get(p.as_symbol or "") == axis else p.minimum(axis - 1).maximum(0)
                for p, axis in zip(index, self.axes(reg), strict=True)
            )
        return Poly.atom(Entry(register_name(reg), index))

    def whole(self, value: Value) -> int:
        """A register that holds exactly this value, axis by axis."""
        operand = value.operand
        rank = len(value.extents)
        plain = isinstance(operand, Use) and operand.index == bare(rank) and not operand.padded
        if plain and isinstance(operand, Use) and self.axes(operand.reg) == value.extents:
            return operand.reg
        return self.store(Step("copy", "", value.kind, value.extents, rank, (operand,)))

    def at(self, labels: Labels, value: Value, index: tuple[Poly, ...], guarded: bool) -> Operand:
        """A value's entry at an index over `labels`."""
        operand = value.operand
        names = {f"${k}": p for k, p in enumerate(index)}
        if isinstance(operand, Scalar):
            if not guarded:
                return operand
            if all(labels.get(p.as_symbol or "") == e for p, e in zip(index, value.extents, strict=True)):
                return operand
            return self.read(labels, self.whole(value), index, guarded)
        if index == bare(len(index)) and tuple(labels.values())[: len(index)] == value.extents:
            return operand
        exact = guarded and not all(
            labels.get(p.as_symbol or "") == e for p, e in zip(index, value.extents, strict=True)
        )
        if exact or operand.padded:
            return self.read(labels, self.whole(value), index, guarded)
        return self.read(labels, operand.reg, tuple(p.substitute(names) for p in operand.index), False)

    def reshape(self, value: Value, extents: tuple[Poly, ...]) -> Value:
        """The value with its entries, in the same row-major order, under other axes."""
        if extents == value.extents or isinstance(value.operand, Scalar):
            return Value(extents, value.operand, value.kind)
        reg = self.whole(value)
        step = self.step(reg)
        if step is not None and step.op == "reshape":
            root = step.operands[0]
            reg = root.reg if isinstance(root, Use) else reg
        if self.axes(reg) != extents:
            reg = self.store(Step("reshape", "", value.kind, extents, len(extents), (Use(reg, ()),)))
        return Value(extents, Use(reg, bare(len(extents))), value.kind)

    def extern(self, kernel: str, extents: tuple[Poly, ...], regs: Sequence[int]) -> Value:
        """What a kernel makes of whole registers."""
        operands = tuple(Use(reg, ()) for reg in regs)
        reg = self.store(Step("extern", kernel, "real", extents, len(extents), operands))
        return Value(extents, Use(reg, bare(len(extents))))


def symbols(operand: Operand) -> frozenset[str]:
    """The symbols in an operand's index: labels, and the sizes among its coefficients."""
    if isinstance(operand, Scalar):
        return frozenset()
    names: frozenset[str] = frozenset()
    for poly in operand.index:
        names |= poly.symbols
    return names


def rename(operand: Operand, names: Mapping[str, Poly]) -> Operand:
    """The operand with its labels replaced by indices."""
    if isinstance(operand, Scalar):
        return operand
    return Use(operand.reg, tuple(p.substitute(names) for p in operand.index), operand.padded)


def _varies(poly: Poly) -> bool:
    """Whether the polynomial has labels or reads integers."""
    return any(map(is_label, poly.symbols)) or any(True for _ in poly.entries())


def _term(operand: Operand) -> Term:
    if not isinstance(operand, Scalar) or isinstance(operand.term, Cond):
        raise TypeError("a real constant is expected")
    return operand.term


def _cond(operand: Operand) -> Cond:
    if not isinstance(operand, Scalar) or not isinstance(operand.term, Cond):
        raise TypeError("a constant condition is expected")
    return operand.term


def _constant(name: str, args: list[Term]) -> Term:
    match name:
        case "add":
            return add(*args)
        case "sub":
            return sub(*args)
        case "mul":
            return mul(*args)
        case "div":
            return divide(*args)
        case _:
            return neg(args[0])


def _decide(rel: str, a: Fraction, b: Fraction) -> bool:
    return a < b if rel == "<" else a <= b if rel == "<=" else a == b


def _neutral(name: str, operands: Sequence[Operand]) -> Operand | tuple[str, *tuple[Operand, ...]] | None:
    """What a map with a constant operand comes to: an operand, another map, or nothing simpler."""
    if len(operands) == 1:
        return None
    a, b = operands
    match name:
        case "add":
            return b if a == NOTHING else a if b == NOTHING else None
        case "sub":
            return ("neg", b) if a == NOTHING else a if b == NOTHING else None
        case "mul":
            if NOTHING in (a, b):
                return NOTHING
            if UNIT in (a, b):
                return b if a == UNIT else a
            minus = Scalar(num(-1))
            if minus in (a, b):
                return ("neg", b if a == minus else a)
        case "div":
            if a == NOTHING or b == UNIT:
                return a
            if isinstance(b, Scalar):
                return ("mul", Scalar(power(_term(b), -1)), a)
    return None
