"""Lower binders: sums of products become contractions, guards become windows, scatters or masks. Not trusted.

A sum is taken apart first: nested sums and conditions are merged, an index that an equality fixes is solved for, what
does not depend on the bound indices is moved out. What is left is `sum over B where G of a product`.
"""

from __future__ import annotations

from itertools import combinations

from gradproof.compiler.dims import Poly
from gradproof.compiler.emit import symbols
from gradproof.compiler.kernels import Operand, Scalar
from gradproof.compiler.lowering import Lowering, denominators, numerators, total
from gradproof.compiler.rewriting import free_symbols, substitute, substitute_cond
from gradproof.compiler.terms import (
    ONE,
    TRUE,
    ZERO,
    Add,
    And,
    Cond,
    IntCmp,
    Mul,
    Read,
    Reduce,
    Select,
    Term,
    Truth,
    add,
    both,
    in_range,
    int_ge,
    mul,
    negate,
    size,
)

Binders = dict[str, Poly]


def lower_reduce(low: Lowering, term: Reduce, guarded: bool) -> Operand:
    """The operand that holds a binder."""
    if term.kind == "sum":
        return _Sum(low, guarded).lower(term)
    binders: Binders = {}
    guards: list[Cond] = []
    body: Term = term
    while isinstance(body, Reduce) and body.kind == term.kind:
        name, extent, guard, body = low.bind(body)
        binders[name] = extent
        guards.append(guard)
    guard = both(*guards)
    value = low.term(body, guarded or guard != TRUE)
    return _fold(low, term.kind, binders, value, low.cond(guard, guarded))


def _fold(low: Lowering, kind: str, binders: Binders, value: Operand, guard: Operand) -> Operand:
    bound = {f"${name}": extent for name, extent in binders.items()}
    outer = low.labels([value, guard], (), bound)
    return low.builder.fold(kind, outer, bound, value, guard)


class _Sum:
    """One sum: binders, guards and factors while it is taken apart."""

    def __init__(self, low: Lowering, guarded: bool) -> None:
        self.low, self.guarded = low, guarded
        self.binders: Binders = {}
        self.guards: list[Cond] = []
        self.factors: list[Term] = []

    def lower(self, term: Term) -> Operand:
        self.absorb(term)
        while self.solve():
            pass
        if any(g == Truth(False) for g in self.guards):
            return Scalar(ZERO)
        parts = self.distributed()
        if parts is not None:
            return self.sum_of(parts)
        return self.finish()

    def absorb(self, term: Term) -> None:
        """Take a factor in: products, conditions against 0 and, where it is the only factor, sums are opened."""
        stack = [term]
        while stack:
            match stack.pop():
                case Mul(args):
                    stack.extend(reversed(args))
                case Select(cond, then, other) if other == ZERO:
                    self.guard(cond)
                    stack.append(then)
                case Select(cond, then, other) if then == ZERO:
                    self.guard(negate(cond))
                    stack.append(other)
                case Reduce("sum", _, _, _, _) as inner if not self.factors and not stack:
                    name, extent, guard, body = self.low.bind(inner)
                    self.binders[name] = extent
                    self.guard(guard)
                    stack.append(body)
                case factor:
                    self.factors.append(factor)

    def guard(self, cond: Cond) -> None:
        conds = cond.args if isinstance(cond, And) else (cond,)
        self.guards += [c for c in conds if c != TRUE and not self.low.holds(c)]

    def solve(self) -> bool:
        """Remove one bound index that an equality fixes; whether there was one."""
        for cond in self.guards:
            if not isinstance(cond, IntCmp) or cond.rel != "==":
                continue
            for name, extent in self.binders.items():
                linear = cond.poly.linear_in(name)
                if linear is None or linear[0].constant not in (1, -1) or self.window(cond.poly):
                    continue
                value = -linear[1] * linear[0].constant
                self.replace(cond, name, extent, value)
                return True
        return False

    def window(self, poly: Poly) -> bool:
        """Whether an equation puts windows at steps that are not 1: a scatter compares none with every place."""
        slopes = [s for s in (poly.linear_in(name) for name in self.binders) if s is not None and s[0].terms]
        free = (poly.linear_in(name) for name in poly.symbols & (self.low.extents.keys() - self.binders.keys()))
        outer = any(s is not None and s[0].constant in (1, -1) for s in free)  # where a scatter can add
        return outer and len(slopes) > 1 and any(s[0].constant not in (1, -1) for s in slopes)

    def replace(self, cond: Cond, name: str, extent: Poly, value: Poly) -> None:
        known = {name: value}
        del self.binders[name]
        guards = [substitute_cond(g, known) for g in self.guards if g is not cond]
        self.factors = [substitute(f, known) for f in self.factors]
        self.guards = []
        inside = TRUE if self.low.extents.get(value.as_symbol or "") == extent else in_range(value, extent)
        for guard in (*guards, inside):
            self.guard(guard)

    def distributed(self) -> list[Term] | None:
        """The addends to sum one by one, where a product over all of them at once would be larger than its parts."""
        sums = [f for f in self.factors if isinstance(f, Add)]
        for chosen in sums:
            parts = [self.indices(a) for a in chosen.args]
            if any(map(self.grows, chosen.args)) or all(p < frozenset[str]().union(*parts) for p in parts):
                rest = [f for f in self.factors if f is not chosen]
                return [mul(*rest, a) for a in chosen.args]
        return None

    def grows(self, term: Term) -> bool:
        """Whether a product has more indices than each of its factors: then it is to be contracted, not stored."""
        return isinstance(term, Mul) and all(self.indices(f) < self.indices(term) for f in term.args)

    def sum_of(self, parts: list[Term]) -> Operand:
        guard = both(*self.guards)
        terms: list[Term] = []
        for part in parts:
            for k, (name, extent) in enumerate(reversed(self.binders.items())):
                part = Reduce("sum", name, extent, guard if k == 0 else TRUE, part)
            terms.append(part)
        if not self.binders:
            return self.low.term(Select(guard, add(*terms), ZERO) if guard != TRUE else add(*terms), self.guarded)
        return self.low.term(add(*terms), self.guarded)

    def indices(self, term: Term | Cond) -> frozenset[str]:
        return free_symbols(term) & self.low.extents.keys()

    def finish(self) -> Operand:
        """Move out what does not depend on the bound indices, then sum the rest."""
        low, names = self.low, self.binders.keys()
        outside = both(*(g for g in self.guards if not free_symbols(g) & names))
        self.guards = [g for g in self.guards if free_symbols(g) & names]
        # A factor that may be undefined leaves no sum that guards may empty; where extents may, the result is 0 then.
        free = [f for f in self.factors if not free_symbols(f) & names]
        hoisted = [f for f in free if total(f) or not self.guards]
        if not all(map(total, hoisted)):
            outside = both(outside, *(int_ge(e, 1) for e in self.binders.values() if not low.positive(e)))
        self.factors = [f for f in self.factors if f not in hoisted]
        guarded = self.guarded or outside != TRUE or bool(self.guards) or bool(self.binders)
        inner = self.inner(guarded)
        outer = [low.term(f, guarded) for f in numerators(tuple(hoisted))]
        below = [low.term(d, guarded) for d in denominators(tuple(hoisted))]
        result = low.product([*outer, inner], below)
        if outside == TRUE:
            return result
        return low.select(low.cond(outside, self.guarded), result, Scalar(ZERO))

    def inner(self, guarded: bool) -> Operand:
        """The sum over the binders where the guards hold of the product of the factors."""
        if not self.binders:
            return self.low.term(mul(*self.factors), guarded)
        self.windows()
        used = frozenset[str]().union(*map(free_symbols, (*self.factors, *self.guards)))
        unused = [extent for name, extent in self.binders.items() if name not in used]
        self.binders = {name: extent for name, extent in self.binders.items() if name in used}
        times = Scalar(size(Poly.product(unused)))
        if self.guards:
            return self.low.product([times, self.scattered() or self.masked()])
        operands = [self.operand(f) for f in self.factors] or [Scalar(ONE)]
        return self.low.product([times, self.contraction(operands)])

    def operand(self, factor: Term) -> Operand:
        # A read that mentions every bound index is reached wherever the sum is not empty; any other may be moved out.
        every = self.binders.keys() <= free_symbols(factor)
        return self.low.term(factor, self.guarded or bool(self.guards) or not every)

    def windows(self) -> None:
        """Drop the guards that only keep a read of this product inside its tensor: padding with 0 does the same."""
        if not all(map(total, self.factors)):
            return
        for factor in self.factors:
            if not isinstance(factor, Read) or factor.tensor not in self.low.values:
                continue
            extents = self.low.values[factor.tensor].extents
            inside: list[Cond] = []
            for index, extent in zip(factor.index, extents, strict=True):
                cond = in_range(index, extent)
                inside += cond.args if isinstance(cond, And) else [cond]
            if any(g in inside for g in self.guards):
                self.guards = [g for g in self.guards if g not in inside]
                self.guarded = True

    def contraction(self, operands: list[Operand]) -> Operand:
        """Multiply and sum, two at a time: first the pair that leaves the smallest result."""
        low = self.low
        bound = {f"${name}": extent for name, extent in self.binders.items()}
        if len(operands) == 1:
            return _fold(low, "sum", self.binders, operands[0], Scalar(TRUE))
        while True:
            best: tuple[int, int, int, set[str]] | None = None
            for i, j in combinations(range(len(operands)), 2):
                rest = set[str]().union(*(symbols(o) for k, o in enumerate(operands) if k not in (i, j)))
                joint = {s for o in (operands[i], operands[j]) for s in symbols(o) if s[0] == "$"}
                done = {s for s in joint if s in bound and s not in rest}
                size_left = len(joint - done)
                if best is None or size_left < best[0]:
                    best = (size_left, i, j, done)
            if best is None:
                raise AssertionError("a contraction of fewer than two factors")
            _, i, j, done = best
            a, b = operands[i], operands[j]
            summed = {key: extent for key, extent in bound.items() if key in done}
            if len(operands) == 2:
                summed = bound
            labels = low.labels([a, b], (), summed)
            product = low.builder.contract(labels, summed, a, b)
            bound = {key: extent for key, extent in bound.items() if key not in summed}
            operands = [o for k, o in enumerate(operands) if k not in (i, j)] + [product]
            if len(operands) == 1:
                return operands[0]

    def masked(self) -> Operand:
        """A sum under conditions that are no windows: the conditions are a factor, or guard the whole product."""
        low = self.low
        mask = low.cond(both(*self.guards), self.guarded)
        operands = [self.operand(f) for f in self.factors]
        if self.running() and len(operands) == 1:
            return _fold(low, "sum", self.binders, operands[0], mask)
        if all(map(total, self.factors)) and (len(operands) != 1 or not symbols(mask) <= symbols(operands[0])):
            ones = low.builder.select(low.labels([mask]), mask, Scalar(ONE), Scalar(ZERO))
            return self.contraction([*operands, ones]) if operands else self.contraction([ones])
        return _fold(low, "sum", self.binders, low.product(operands, []), mask)

    def running(self) -> bool:
        """Whether this is a sum up to each place, or from it on, of what does not depend on it: one pass does it."""
        if len(self.guards) != 1 or len(self.binders) != 1:
            return False
        guard, ((name, extent),) = self.guards[0], self.binders.items()
        if not isinstance(guard, IntCmp) or guard.rel != ">=":
            return False
        linear = guard.poly.linear_in(name)
        if linear is None or linear[0].constant not in (1, -1):
            return False
        slope, rest = linear[0].constant, linear[1]
        (place, *more) = sorted(rest.symbols) or ("",)
        if more or self.low.extents.get(place) != extent or any(place in free_symbols(f) for f in self.factors):
            return False
        return (rest + slope * Poly.sym(place)).constant is not None

    def scattered(self) -> Operand | None:
        """The sum of the product at the positions that an equality with an outer index gives, where there is one."""
        for cond in self.guards:
            if not isinstance(cond, IntCmp) or cond.rel != "==":
                continue
            for name in sorted(self.indices(cond) - self.binders.keys()):
                linear = cond.poly.linear_in(name)
                if linear is None or linear[0].constant not in (1, -1):
                    continue
                others = [g for g in self.guards if g is not cond]
                if any(name in free_symbols(t) for t in (*self.factors, *others)):
                    continue
                return self.scatter(name, -linear[1] * linear[0].constant, others)
        return None

    def follows(self, guard: Cond, name: str, position: Poly) -> bool:
        """Whether a guard says no more than that the position is one of the outer index's."""
        if not isinstance(guard, IntCmp) or guard.rel != ">=":
            return False
        at = Poly.sym(name)
        return any(self.low.holds(int_ge(guard.poly - sign * position + sign * at, 0)) for sign in (1, -1))

    def scatter(self, name: str, position: Poly, others: list[Cond]) -> Operand:
        low = self.low
        others = [g for g in others if not self.follows(g, name, position)]
        inside = {n: e for n, e in self.binders.items() if n in position.symbols}
        poly = low.poly(position, True)
        # What the position does not depend on is summed before.
        rest = _Sum(low, True)
        rest.binders = {n: e for n, e in self.binders.items() if n not in inside}
        rest.guards, rest.factors = others, self.factors
        value = rest.finish()
        bound = {f"${n}": e for n, e in inside.items()}
        outer = low.labels([value], [poly], bound)
        key = f"${name}"
        labels = {**outer, key: low.extents[name]}
        if set(labels) <= set(low.order):
            labels = {k: labels[k] for k in low.order if k in labels}
        return low.builder.emit("add_at", "sum", "real", labels, [value], bound, poly, key)
