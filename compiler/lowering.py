"""Terms entry by entry become steps over whole arrays. Nothing here is trusted.

Every term is lowered: binders in sums.py, whole rules in lower.py. A read at an affine index is a view, any other read
a gather, and a read that may be out of bounds where it is not used is padded with zeros.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

from gradproof.compiler.cases import simplify, simplify_cond
from gradproof.compiler.dims import Entry, FloorDiv, Poly, Sym
from gradproof.compiler.emit import Builder, rename
from gradproof.compiler.functions import FUNCTIONS
from gradproof.compiler.kernels import Operand, Scalar, Value, label
from gradproof.compiler.ops import COTANGENT, OUTPUT, TANGENT, Formula, OpDef, Param
from gradproof.compiler.ordering import ranked
from gradproof.compiler.rewriting import children, substitute, substitute_cond
from gradproof.compiler.rules import Computation, positive
from gradproof.compiler.terms import (
    TRUE,
    ZERO,
    Add,
    And,
    BoolRead,
    Call,
    Cond,
    IntCmp,
    Mul,
    Not,
    Num,
    Or,
    Pow,
    Read,
    RealCmp,
    Reduce,
    Select,
    Size,
    Term,
    Truth,
    both,
    fresh,
    in_range,
    int_lt,
    mul,
    neg,
    power,
)

Binder: TypeAlias = "Callable[[Lowering, Reduce, bool], Operand]"


class Unlowerable(ValueError):
    """A term that has no kernel: an extent that depends on an index in a way that has no bound."""


def tensors_of(op: OpDef) -> dict[str, Param]:
    """Every tensor that a rule of the operator may read, by the name that it has there."""
    table = {p.name: p for p in op.params}
    for p in op.differentiable:
        table[TANGENT + p.name] = Param(TANGENT + p.name, "real", p.axes)
    table[OUTPUT] = Param(OUTPUT, op.output.kind, op.output.axes)
    table[COTANGENT] = Param(COTANGENT, "real", op.output.axes)
    return table


class Lowering:
    """The state of lowering one computation: the program so far, and what names mean in it.

    `binder` lowers a binder (sums.py), for which it comes back here with the parts.
    """

    def __init__(self, op: OpDef, computation: Computation, binder: Binder) -> None:
        self.op, self.binder = op, binder
        self.builder = Builder()
        self.values: dict[str, Value] = {}
        self.extents: dict[str, Poly] = {}  # of the indices in scope, by name
        self.order: tuple[str, ...] = ()  # the formula's labels
        self.reals = frozenset(op.real_attrs)
        self.shapes = {axis.extent for param in tensors_of(op).values() for axis in param.axes}  # none is negative
        for name, param in tensors_of(op).items():
            if name in computation.reads:
                axes = tuple(axis.extent for axis in param.axes)
                reg = self.builder.input(name, param.kind, axes)
                self.values[name] = Value(axes, self.builder.read({}, reg, tuple(map(label, range(len(axes)))), False))
        self.externs = {extern.tensor: extern for extern in computation.externs}

    def value(self, tensor: str) -> Value:
        """A tensor's value; an extern's is computed where it is first read."""
        if tensor not in self.values and tensor in self.externs:
            extern = self.externs[tensor]
            regs = [self.builder.whole(self.value(arg)) for arg in extern.args]
            self.values[tensor] = self.builder.extern(extern.kernel, extern.extents, regs)
        return self.values[tensor]

    def formula(self, formula: Formula) -> Value:
        """The value of a formula, over its indices."""
        self.extents = dict(zip(formula.indices, formula.extents, strict=True))
        self.order = tuple(f"${name}" for name in formula.indices)
        if isinstance(formula.body, Cond):
            kind = "bool"
            operand = self.cond(simplify_cond(formula.body, {}), False)
        elif formula.target == OUTPUT and self.op.output.kind == "int":
            kind = "int"
            operand = self.integer(simplify(formula.body))
        else:
            kind = "real"
            operand = self.term(simplify(formula.body), False)
        names = {name: label(k) for k, name in enumerate(self.order)}
        return Value(formula.extents, rename(operand, names), kind)

    def labels(
        self, operands: Iterable[Operand], polys: Iterable[Poly] = (), bound: Iterable[str] = ()
    ) -> dict[str, Poly]:
        """The labels of a step over these operands: in the formula's order, or as the largest operand has them."""
        seen: dict[str, None] = {}
        groups = [[n for p in o.index for n in _label_names(p)] for o in operands if not isinstance(o, Scalar)]
        groups += [[n for p in polys for n in _label_names(p)]]
        for group in sorted(groups, key=lambda g: -len(set(g))):
            seen.update(dict.fromkeys(group))
        for name in bound:
            seen.pop(name, None)
        names = [n for n in self.order if n in seen] if set(seen) <= set(self.order) else list(seen)
        return {name: self.extents[name[1:]] for name in names}

    def poly(self, poly: Poly, guarded: bool) -> Poly:
        """An integer expression over labels and integer registers."""
        named = poly.substitute({name: Poly.sym(f"${name}") for name in self.extents})
        return named.rename_entries(lambda entry: self._entry(entry, guarded))

    def _entry(self, entry: Entry, guarded: bool) -> Poly:
        reg = self.builder.whole(self.values[entry.tensor])
        return self.builder.entry(self._all_labels(), reg, entry.index, guarded)

    def _all_labels(self) -> dict[str, Poly]:
        return {f"${name}": extent for name, extent in self.extents.items()}

    def term(self, term: Term, guarded: bool) -> Operand:
        """The operand that holds a term. `guarded`: it may be evaluated where it is not used."""
        build = self.builder
        match term:
            case Num():
                return Scalar(term)
            case Size(poly):
                poly = self.poly(poly, guarded)
                return build.integer_as_real(self.labels((), [poly]), poly)
            case Read(tensor, index):
                return self.read(tensor, index, guarded)
            case Add(args):
                return self._sum(args, guarded)
            case Mul(args):
                return self.product([self.term(a, guarded) for a in numerators(args)], self._divisors(args, guarded))
            case Pow(base, exponent):
                operand = self.term(base, guarded)
                return build.pow(self.labels([operand]), operand, exponent)
            case Call(fn, args):
                operands = [self.term(a, guarded) for a in args]
                return build.call(fn, self.labels(operands), *operands)
            case Select(cond, then, other):
                return self.select(self.cond(cond, guarded), self.term(then, True), self.term(other, True))
            case Reduce():
                found = self.rank(term, guarded)
                return self.binder(self, term, guarded) if found is None else found

    def rank(self, term: Reduce, guarded: bool) -> Operand | None:
        """A sum that counts which entries of a row come before this one, as a step that sorts."""
        found = ranked(term)
        if found is None or guarded or found[1].tensor not in self.values:
            return None
        name, entry, index = found
        axis = self.values[entry.tensor].extents[[p.as_symbol for p in entry.index].index(index)]
        if axis != term.extent or self.extents.get(index) != axis:
            return None
        operand = self.read(entry.tensor, entry.index, guarded)
        return self.builder.emit("order", name, "real", self.labels([operand]), [operand], axis=f"${index}")

    def integer(self, term: Term) -> Operand:
        """The operand that holds an integer: an integer expression as it is, any other term computed as a real."""
        build = self.builder
        if isinstance(term, Num):
            term = Size(Poly.of(int(term.value)))
        if isinstance(term, Size):
            poly = self.poly(term.poly, False)
            return build.ints(self.labels((), [poly]), poly)
        operand = self.term(term, False)
        return build.emit("whole", "", "int", self.labels([operand]), [operand])

    def cond(self, cond: Cond, guarded: bool) -> Operand:
        """The operand that holds a condition's truth."""
        build = self.builder
        match cond:
            case Truth():
                return Scalar(cond)
            case IntCmp(rel, poly):
                if self.holds(cond):
                    return Scalar(TRUE)
                poly = self.poly(poly, guarded)
                return build.intcmp(rel, self.labels((), [poly]), poly)
            case RealCmp(rel, a, b):
                x, y = self.term(a, guarded), self.term(b, guarded)
                return build.compare(rel, self.labels([x, y]), x, y)
            case BoolRead(tensor, index):
                return self.read(tensor, index, guarded)
            case Not(arg):
                operand = self.cond(arg, guarded)
                return build.logic("not", self.labels([operand]), operand)
            case And(args) | Or(args):
                operands = [self.cond(a, k > 0 or guarded) for k, a in enumerate(args)]
                return build.logic("and" if isinstance(cond, And) else "or", self.labels(operands), *operands)

    def read(self, tensor: str, index: tuple[Poly, ...], guarded: bool) -> Operand:
        """An entry of a tensor, a let or a real attribute."""
        if tensor in self.reals and not index:
            return Scalar(Read(tensor, ()))
        polys = tuple(self.poly(p, guarded) for p in index)
        labels = {**self.labels((), polys), **self._all_labels()}
        extents = self.value(tensor).extents
        inside = (in_range(p, e) for p, e in zip(index, extents, strict=True))
        outside = guarded and not all(self.holds(c) for c in _flat(inside))
        return self.builder.at(labels, self.value(tensor), polys, outside)

    def select(self, cond: Operand, then: Operand, other: Operand) -> Operand:
        """`then` where cond, else `other`."""
        return self.builder.select(self.labels([then, other, cond]), cond, then, other)

    def _sum(self, args: tuple[Term, ...], guarded: bool) -> Operand:
        """Addends from left to right; a difference where one is negative."""
        signed = [(negative(a), negated(a) if negative(a) else a) for a in args]
        if signed[0][0] and not signed[1][0]:
            signed[:2] = signed[1::-1]
        result: Operand = Scalar(ZERO)
        for minus, term in signed:
            operand = self.term(term, guarded)
            result = self.builder.map("sub" if minus else "add", self.labels([result, operand]), result, operand)
        return result

    def _divisors(self, args: tuple[Term, ...], guarded: bool) -> list[Operand]:
        return [self.term(d, guarded) for d in denominators(args)]

    def product(self, factors: Sequence[Operand], divisors: Sequence[Operand] = ()) -> Operand:
        """Constants first and small factors before large ones, so that each product is as small as it can be."""
        build = self.builder
        constant = mul(
            *(f.term for f in factors if isinstance(f, Scalar) and not isinstance(f.term, Cond)),
            *(power(d.term, -1) for d in divisors if isinstance(d, Scalar) and not isinstance(d.term, Cond)),
        )
        rest = sorted((f for f in factors if not isinstance(f, Scalar)), key=lambda o: len(self.labels([o])))
        below = sorted((d for d in divisors if not isinstance(d, Scalar)), key=lambda o: len(self.labels([o])))
        result: Operand = Scalar(constant)
        for factor in rest:
            result = build.map("mul", self.labels([result, factor]), result, factor)
        if below:
            divisor: Operand = below[0]
            for other in below[1:]:
                divisor = build.map("mul", self.labels([divisor, other]), divisor, other)
            result = build.map("div", self.labels([result, divisor]), result, divisor)
        return result

    def bind(self, term: Reduce) -> tuple[str, Poly, Cond, Term]:
        """A binder's index, renamed apart and in scope: (index, extent, guard, body)."""
        name = fresh(term.var)
        apart = {term.var: Poly.sym(name)}
        guard, body = substitute_cond(term.guard, apart), substitute(term.body, apart)
        extent = self._free_of_indices(term.extent)
        if extent != term.extent:
            guard = both(int_lt(Poly.sym(name), term.extent), guard)
        self.extents[name] = extent
        return name, extent, guard, body

    def _free_of_indices(self, extent: Poly) -> Poly:
        """An upper bound of an extent over all values of the indices that it mentions."""
        for name in sorted(extent.symbols & self.extents.keys()):
            linear = extent.linear_in(name)
            if linear is None or linear[0].constant is None:
                raise Unlowerable(f"{self.op.name}: the extent {extent} depends on the index {name} in no simple way")
            last = self.extents[name] - 1 if linear[0].constant > 0 else Poly.of(0)
            extent = linear[0] * last + linear[1]
        if any(True for _ in extent.entries()):
            raise Unlowerable(f"{self.op.name}: the extent {extent} is read from a tensor")
        if extent.constant is not None or len(extent.terms) == 1 or extent in self.shapes:
            return extent
        return extent.maximum(0)

    def holds(self, cond: Cond) -> bool:
        """Whether the indices in scope, each between 0 and its extent, can't make this condition false."""
        if not isinstance(cond, IntCmp) or cond.rel != ">=":
            return False
        least = cond.poly
        for name in sorted(least.symbols & self.extents.keys()):
            linear = least.linear_in(name)
            if linear is None:
                return False
            slope, rest = linear
            if self.nonnegative(slope):
                least = rest
            elif self.nonnegative(-slope):
                least = rest + self.times_last(slope, self.extents[name] - 1)
            else:
                return False
        return self.nonnegative(least)

    def times_last(self, slope: Poly, last: Poly) -> Poly:
        """At most slope * last, for a slope <= 0: -d * (n // d) is not below -n, where d is positive."""
        quotient = next((a for a in last.atoms if isinstance(a, FloorDiv) and last == Poly.atom(a)), None)
        if quotient is not None and slope == -quotient.den and self.positive(quotient.den):
            return -quotient.num
        return slope * last

    def nonnegative(self, poly: Poly) -> bool:
        """Whether every term is a product of sizes, and of attributes that are required to be positive, with a plus."""
        sizes = set(self.op.sizes)
        sizes |= {name for name in self.op.int_attrs if self.positive(Poly.sym(name))}
        return all(c >= 0 and all(isinstance(a, Sym) and a.name in sizes for a, _ in m) for m, c in poly.terms)

    def positive(self, extent: Poly) -> bool:
        """Whether an extent is at least 1 wherever the operator's requirements hold."""
        return positive(self.op, extent)


def _flat(conds: Iterable[Cond]) -> list[Cond]:
    return [c for cond in conds for c in (cond.args if isinstance(cond, And) else (cond,)) if c != TRUE]


def numerators(args: tuple[Term, ...]) -> list[Term]:
    """The factors that are not divided by."""
    return [a for a in args if not _is_divisor(a)]


def denominators(args: tuple[Term, ...]) -> list[Term]:
    """What the factors divide by."""
    return [power(a.base, -a.exponent) for a in args if isinstance(a, Pow) and a.exponent < 0]


def _is_divisor(term: Term) -> bool:
    return isinstance(term, Pow) and term.exponent < 0


def negative(term: Term) -> bool:
    """Whether the term is written with a minus."""
    match term:
        case Num(value):
            return value < 0
        case Mul((Num(value), *_)):
            return value < 0
        case Select(_, then, other):
            return other == ZERO and negative(then)
        case _:
            return False


def negated(term: Term) -> Term:
    """The term without its minus."""
    return Select(term.cond, neg(term.then), term.other) if isinstance(term, Select) else neg(term)


def total(node: Term | Cond) -> bool:
    """Whether the term is defined for all finite reals (a read out of bounds counts as 0)."""
    match node:
        case Pow(_, exponent) if exponent < 0:
            return False
        case Call(fn, args) if FUNCTIONS[fn].domain(*args) != TRUE:
            return False
        case Reduce(kind, _, _, _, _) if kind in ("max", "min"):
            return False
        case _:
            return all(map(total, children(node)))


def _label_names(poly: Poly) -> list[str]:
    """The labels in a polynomial, in order of their first occurrence."""
    name = poly.as_symbol
    return [name] if name is not None and name[0] == "$" else sorted(s for s in poly.symbols if s[0] == "$")
