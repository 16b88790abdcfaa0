"""What a kernel computes, as a term: each step's documented meaning, written down again and apart from lowering.

Nothing of compiler/lower.py or emit.py is used or trusted; the meaning of the steps is the table in kernels.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from gradproof.compiler.dims import Entry, Poly
from gradproof.compiler.integral import integral
from gradproof.compiler.kernels import Kernel, Operand, Program, Scalar, Step, Use
from gradproof.compiler.rewriting import free_symbols, substitute, substitute_cond
from gradproof.compiler.terms import (
    ONE,
    TRUE,
    ZERO,
    And,
    BoolRead,
    Call,
    Cond,
    Pow,
    Read,
    RealCmp,
    Reduce,
    Select,
    Term,
    add,
    both,
    either,
    fresh,
    in_range,
    int_eq,
    int_ge,
    int_lt,
    mul,
    neg,
    negate,
    opaque,
    power,
    select,
    size,
    sub,
)

Meaning: TypeAlias = Term | Cond | Poly


class Meaningless(ValueError):
    """A step that the table of kernels.py does not allow."""


@dataclass(frozen=True, slots=True)
class Denotation:
    """`body` at `indices` (each below its extent) is the kernel's result.

    `inside` must hold too, for all labels of the steps that gather: the executor holds a gathered position inside a
    computed register without a word.
    """

    indices: tuple[str, ...]
    extents: tuple[Poly, ...]
    body: Term | Cond
    inside: tuple[Within, ...]
    externs: tuple[Applied, ...] = ()


@dataclass(frozen=True, slots=True)
class Within:
    """A condition for all indices, each below its extent."""

    cond: Cond
    ranges: tuple[tuple[str, Poly], ...]


@dataclass(frozen=True, slots=True)
class Applied:
    """A kernel of runtime/externs.py, applied: `tensor` is what the body calls its result.

    Each argument is a formula: indices, extents and the entry there.
    """

    tensor: str
    kernel: str
    extents: tuple[Poly, ...]
    args: tuple[tuple[tuple[str, ...], tuple[Poly, ...], Term], ...]


def denote_kernel(kernel: Kernel, indices: tuple[str, ...] | None = None) -> Denotation:
    """The meaning of a kernel's result at `indices`; Meaningless where a step is none."""
    (output,) = kernel.program.outputs
    indices = tuple(f"i{k}" for k in range(len(output.extents))) if indices is None else indices
    work = _Denoter(kernel.program)
    ranges = dict(zip(indices, output.extents, strict=True))
    names = {f"${k}": Poly.sym(name) for k, name in enumerate(indices)}
    body = work.operand(output.operand, names, ranges)
    if isinstance(body, Poly):
        body = size(body)
    return Denotation(indices, output.extents, body, tuple(work.inside), tuple(work.externs.values()))


class _Denoter:
    def __init__(self, program: Program) -> None:
        self.program = program
        self.inside: dict[Within, None] = {}
        self.externs: dict[int, Applied] = {}
        self._memo: dict[tuple[int, tuple[Poly, ...]], Meaning] = {}

    def operand(self, operand: Operand, names: dict[str, Poly], ranges: dict[str, Poly]) -> Meaning:
        """An operand at the step's labels, which `names` replaces."""
        if isinstance(operand, Scalar):
            return operand.term
        index = tuple(self.poly(p, names, ranges) for p in operand.index)
        axes = self.program.axes(operand.reg)
        if len(index) != len(axes):
            raise Meaningless(f"register {operand.reg} has {len(axes)} axes, {len(index)} indices")
        value = self.register(operand.reg, index, ranges)
        if not operand.padded:
            return value
        bounds = [in_range(p, e) for p, e in zip(index, axes, strict=True) if ranges.get(p.as_symbol or "") != e]
        if isinstance(value, Poly):
            raise Meaningless("an integer register is never padded")
        return both(*bounds, value) if isinstance(value, Cond) else select(both(*bounds), value, ZERO)

    def poly(self, poly: Poly, names: dict[str, Poly], ranges: dict[str, Poly]) -> Poly:
        """An integer expression with labels replaced and integer registers read."""

        def entry(one: Entry) -> Poly:
            reg = int(one.tensor[1:])
            if self.program.kind(reg) != "int":
                raise Meaningless(f"register {reg} is read as an integer")
            value = self.register(reg, one.index, ranges)
            if not isinstance(value, Poly):
                raise Meaningless("an index that is no integer")
            return value

        return poly.substitute(names).rename_entries(entry)

    def register(self, reg: int, index: tuple[Poly, ...], ranges: dict[str, Poly]) -> Meaning:
        """A register's entry."""
        key = (reg, index)
        if key not in self._memo:
            self._memo[key] = self._register(reg, index, ranges)
        return self._memo[key]

    def _register(self, reg: int, index: tuple[Poly, ...], ranges: dict[str, Poly]) -> Meaning:
        count = len(self.program.inputs)
        if reg < count:
            given = self.program.inputs[reg]
            if given.kind == "int":
                return Poly.atom(Entry(given.name, index))
            return BoolRead(given.name, index) if given.kind == "bool" else Read(given.name, index)
        step = self.program.steps[reg - count]
        if step.op == "extern":
            return Read(self.extern(reg, step), index)
        # A step is denoted at its own labels, renamed apart, and then read at the index.
        own = [fresh("r") for _ in step.extents]
        names = {f"${k}": Poly.sym(name) for k, name in enumerate(own)}
        inner = {**ranges, **dict(zip(own, step.extents, strict=True))}
        body = self.step(step, names, own, inner)
        place = dict(zip(own, index, strict=False))
        if isinstance(body, Poly):
            return body.substitute(place)
        return substitute_cond(body, place) if isinstance(body, Cond) else substitute(body, place)

    def extern(self, reg: int, step: Step) -> str:
        """What a kernel's result is called, its arguments being denoted whole."""
        if reg not in self.externs:
            args = []
            for operand in step.operands:
                if not isinstance(operand, Use) or operand.index or operand.padded or operand.reg >= reg:
                    raise Meaningless("an extern takes whole earlier registers")
                axes = self.program.axes(operand.reg)
                own = tuple(fresh("x") for _ in axes)
                entry = self.register(operand.reg, tuple(map(Poly.sym, own)), dict(zip(own, axes, strict=True)))
                args.append((own, axes, _term(entry)))
            if step.rank != len(step.extents):
                raise Meaningless("an extern has bound labels")
            self.externs[reg] = Applied(opaque(f"r{reg}"), step.name, step.extents, tuple(args))
        return self.externs[reg].tensor

    def step(self, step: Step, names: dict[str, Poly], own: list[str], ranges: dict[str, Poly]) -> Meaning:
        if step.op == "read_at":
            self._demand_inside(step, names, dict(zip(own, step.extents, strict=True)))
        if step.op in ("ints", "intcmp"):
            poly = self.poly(step.poly or Poly.of(0), names, ranges)
            if step.op == "ints":
                return poly
            return int_ge(poly, 0) if step.name == ">=" else int_eq(poly, 0)
        args = [self.operand(o, names, ranges) for o in step.operands]
        bound = [(own[k], step.extents[k]) for k in range(step.rank, len(own))]
        if bound and step.op not in ("fold", "contract", "add_at"):
            raise Meaningless(f"{step.op} has bound labels")
        match step.op, args:
            case ("copy" | "read_at", [value]):
                return value
            case "as_real", [Poly() as value]:
                return size(value)
            case "whole", [value] if integral(_term(value)):
                return _term(value)
            case "select", [cond, then, other]:
                return Select(_cond(cond), _term(then), _term(other))
            case "logic", _:
                return _logic(step.name, [_cond(a) for a in args])
            case "fold", [value, *guards] if len(guards) <= 1:
                return _nested(step.name, bound, both(*map(_cond, guards)), _term(value))
            case "contract", [a, b]:
                return _nested("sum", bound, TRUE, mul(_term(a), _term(b)))
            case "order", [value]:
                return self._order(step, names, own, ranges, _term(value))
            case "add_at", [value]:
                if step.axis is None or step.axis >= step.rank or step.poly is None:
                    raise Meaningless("a scatter without an axis")
                here = int_eq(self.poly(step.poly, names, ranges), Poly.sym(own[step.axis]))
                return _nested("sum", bound, here, _term(value))
        return _scalar(step, [_term(a) for a in args])

    def _order(self, step: Step, names: dict[str, Poly], own: list[str], ranges: dict[str, Poly], entry: Term) -> Term:
        """The number of other entries along the axis that come before this one, equal ones by their places."""
        if step.axis is None or step.axis >= step.rank or step.name not in ("<", ">"):
            raise Meaningless("an order without an axis")
        extent, place = step.extents[step.axis], Poly.sym(own[step.axis])
        var = fresh("o")
        moved = {**names, f"${step.axis}": Poly.sym(var)}
        other = _term(self.operand(step.operands[0], moved, {**ranges, var: extent}))
        before = RealCmp("<", other, entry) if step.name == "<" else RealCmp("<", entry, other)
        tie = both(RealCmp("==", other, entry), int_lt(Poly.sym(var), place))
        guard = both(negate(int_eq(Poly.sym(var), place)), either(before, tie))
        return Reduce("sum", var, extent, guard, ONE)

    def _demand_inside(self, step: Step, names: dict[str, Poly], ranges: dict[str, Poly]) -> None:
        (use,) = step.operands
        if not isinstance(use, Use) or use.padded or use.reg < len(self.program.inputs):
            return
        index = [self.poly(p, names, ranges) for p in use.index]
        for poly, extent in zip(index, self.program.axes(use.reg), strict=True):
            if ranges.get(poly.as_symbol or "") != extent:
                self.inside[Within(in_range(poly, extent), tuple(ranges.items()))] = None


def _scalar(step: Step, args: list[Term]) -> Term | Cond:
    match step.op, step.name, args:
        case "map", "add", [a, b]:
            return add(a, b)
        case "map", "sub", [a, b]:
            return sub(a, b)
        case "map", "mul", [a, b]:
            return mul(a, b)
        case "map", "div", [a, b]:
            return mul(a, _power(b, -1))
        case "map", "neg", [a]:
            return neg(a)
        case "pow", exponent, [a]:
            return _power(a, int(exponent))
        case "call", fn, _:
            return Call(fn, tuple(args))
        case "compare", ("<" | "<=" | "==") as rel, [a, b]:
            return RealCmp(rel, a, b)
    raise Meaningless(f"no meaning: {step}")


def _power(base: Term, exponent: int) -> Term:
    """(b^m)^k is b^(m*k), for the total functions too."""
    if isinstance(base, Pow):
        return power(base.base, base.exponent * exponent)
    return power(base, exponent)


def _nested(kind: str, bound: list[tuple[str, Poly]], guard: Cond, body: Term) -> Term:
    """Binders from the outermost in; each part of the guard stands at the first binder where its indices are known."""
    if kind not in ("sum", "prod", "max", "min"):
        raise Meaningless(f"no reduction is called {kind}")
    if not bound:
        if kind in ("max", "min") and guard != TRUE:
            raise Meaningless("the maximum of one entry under a condition")
        return select(guard, body, ZERO if kind == "sum" else power(body, 0))
    conds = list(guard.args) if isinstance(guard, And) else [guard]
    names = [name for name, _ in bound]
    last = [max((k for k, n in enumerate(names) if n in free_symbols(c)), default=0) for c in conds]
    term = body
    for k in range(len(bound) - 1, -1, -1):
        here = both(*(c for c, at in zip(conds, last, strict=True) if at == k))
        term = Reduce(kind, names[k], bound[k][1], here, term)
    return term


def _logic(name: str, args: list[Cond]) -> Cond:
    match name, args:
        case "and", _:
            return both(*args)
        case "or", _:
            return either(*args)
        case "not", [arg]:
            return negate(arg)
    raise Meaningless(f"no connective is called {name}")


def _term(value: Meaning) -> Term:
    if isinstance(value, Cond | Poly):
        raise Meaningless("a real operand is expected")
    return value


def _cond(value: Meaning) -> Cond:
    if not isinstance(value, Cond):
        raise Meaningless("a condition is expected")
    return value
