"""Bounds of terms: an interval, with open or closed ends, that a term's value lies in wherever it is defined. [trusted]

This is how `1 + exp(x) != 0`, `sqrt(var + eps) > 0` and `log(sum exp)` are settled without a solver. Over the reals;
the bounds are rational or infinite.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from gradproof.compiler.dims import Poly
from gradproof.compiler.functions import FUNCTIONS
from gradproof.compiler.rewriting import free_symbols, substitute, substitute_cond
from gradproof.compiler.scalar import integer_of
from gradproof.compiler.terms import (
    ONE,
    ZERO,
    Add,
    And,
    Call,
    Cond,
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
    add,
    mul,
    neg,
    negate,
)
from gradproof.verifier.forms import TooLarge
from gradproof.verifier.intervals import (
    ANY,
    NONNEGATIVE,
    NOUGHT,
    POSITIVE,
    Interval,
    absolute,
    maximum,
    point,
    positive_power,
    same_sign,
    within,
)
from gradproof.verifier.nested import merged
from gradproof.verifier.normal import Normalizer
from gradproof.verifier.ranges import Context


@dataclass(frozen=True, slots=True)
class Bounds:
    """Bounds of terms in a context; `reads` gives what is known of each tensor's entries, `facts` of single terms.

    A tensor's name may carry a grouping of its axes (`v3|B*H,D`): its entries are the same.
    """

    context: Context
    reads: Mapping[str, Interval]
    facts: tuple[Cond, ...] = ()

    def of(self, term: Term) -> Interval:
        """An interval that the term's value lies in, where it is defined."""
        found = self._of(term)
        for fact in self.facts:
            found = _learn(found, term, fact)
        return found

    def _of(self, term: Term) -> Interval:
        match term:
            case Num(value):
                return point(value)
            case Size(poly):
                return self._size(poly)
            case Read(tensor, _):
                return self.reads.get(tensor.split("|")[0], ANY)
            case Add(args):
                out = point(Fraction(0))
                for a in args:
                    out = out + self.of(a)
                return out
            case Mul(args):
                return self._product(args)
            case Pow(base, exponent):
                return self._power(base, exponent)
            case Call(fn, args):
                return self._call(fn, args)
            case Select(cond, then, other):
                return self._given(cond).of(then).join(self._given(negate(cond)).of(other))
            case Reduce():
                return self._reduce(term)

    def _given(self, cond: Cond) -> Bounds:
        conds = cond.args if isinstance(cond, And) else (cond,)
        reals = tuple(c for c in conds if isinstance(c, RealCmp))
        integers = tuple(c for c in conds if not isinstance(c, RealCmp | Truth))
        return Bounds(self.context.with_facts(integers), self.reads, (*self.facts, *reals))

    def _size(self, poly: Poly) -> Interval:
        if poly.constant is not None:
            return point(Fraction(poly.constant))
        for low in (1, 0):
            if self.context.nonnegative(poly - low):
                return Interval(Fraction(low), None, False, True)
        return ANY

    def _product(self, args: tuple[Term, ...]) -> Interval:
        """Equal factors are squares."""
        powers: dict[Term, int] = {}
        for a in args:
            base, exponent = (a.base, a.exponent) if isinstance(a, Pow) and a.exponent > 0 else (a, 1)
            powers[base] = powers.get(base, 0) + exponent
        out = point(Fraction(1))
        for base, exponent in powers.items():
            out = out * self._power(base, exponent)
        numbers = mul(*(a for a in args if isinstance(a, Num)))
        rest = [a for a in args if not isinstance(a, Num)]
        for k, factor in enumerate(rest):
            if isinstance(factor, Pow) and factor.exponent == -1 and isinstance(factor.base, Reduce):
                share = self._share(mul(*rest[:k], *rest[k + 1 :]), factor.base)
                out = out.meet(self.of(numbers) * share)
        return out

    def _share(self, part: Term, whole: Reduce) -> Interval:
        """part / whole, where the whole is a sum of terms that are at least 0, and the part one of them: at most 1."""
        if whole.kind != "sum" or whole.guard != Truth(True):
            return ANY
        inner = Bounds(self.context.with_ranges({whole.var: whole.extent}), self.reads, self.facts).of(whole.body)
        if not inner.nonnegative:
            return ANY
        for name, extent in self.context.ranges.items():
            # An index below the same extent: the part stands among the summands.
            if extent == whole.extent and substitute(whole.body, {whole.var: Poly.sym(name)}) == part:
                # Another summand above 0 leaves less than 1 for this one.
                alone = not (inner.positive and self.context.nonnegative(extent - 2))
                return Interval(Fraction(0), Fraction(1), inner.positive, not alone)
        return ANY

    def _power(self, base: Term, exponent: int) -> Interval:
        inside = self.of(base)
        if exponent < 0:
            return self._inverse(positive_power(inside, -exponent))
        return positive_power(inside, exponent)

    def _inverse(self, inside: Interval) -> Interval:
        """1/t; where it is defined, t is not 0."""
        if inside.nonnegative:
            low, low_open = (1 / inside.high, inside.high_open) if inside.high else (Fraction(0), True)
            high, high_open = (1 / inside.low, inside.low_open) if inside.low else (None, True)
            return Interval(low, high, low_open, high_open)
        if (-inside).nonnegative:
            return -self._inverse(-inside)
        return ANY

    def _call(self, fn: str, args: tuple[Term, ...]) -> Interval:
        inside = [self.of(a) for a in args]
        one = Fraction(1)
        match fn:
            case "exp":
                above = Interval(one, None, inside[0].positive, True) if inside[0].nonnegative else POSITIVE
                below = Interval(None, one, True, inside[0].negative) if (-inside[0]).nonnegative else ANY
                return above.meet(below)
            case "sqrt":
                return POSITIVE if inside[0].positive else NONNEGATIVE
            case "log":
                if inside[0].low is not None and inside[0].low >= 1:
                    return Interval(Fraction(0), None, inside[0].low_open or inside[0].low > 1, True)
                return ANY
            case "abs":
                return absolute(inside[0])
            case "max":
                return maximum(inside[0], inside[1])
            case "min":
                return -maximum(-inside[0], -inside[1])
            case "cos" if within(inside[0], Fraction(3, 2)):
                return Interval(Fraction(0), one, True, False)  # 3/2 < pi/2
            case "sin" if within(inside[0], Fraction(3)):
                return same_sign(inside[0]).meet(Interval(-one, one, False, False))
            case "pow0":
                return POSITIVE if inside[0].positive else NONNEGATIVE
            case "ipow":
                return _integer_power(inside[0], args[1])
        known = FUNCTIONS[fn]
        low, high, *opened = known.values
        out = Interval(None if low is None else Fraction(low), None if high is None else Fraction(high), *opened)
        return out.meet(same_sign(inside[0])) if known.signed else out

    def _reduce(self, term: Reduce) -> Interval:
        inner = Bounds(self.context.with_ranges({term.var: term.extent}), self.reads, self.facts)._given(term.guard)
        body = inner.of(term.body)
        if term.kind in ("max", "min"):
            return body
        if term.kind == "prod":
            return POSITIVE if body.positive else NONNEGATIVE if body.nonnegative else ANY
        if body == NOUGHT:
            return NOUGHT
        if _counts_winners(term, self.context.with_ranges({term.var: term.extent})):
            return Interval(Fraction(1), None, False, True)
        occupied = self.context.inhabited(term.var, term.extent, term.guard)
        if body.nonnegative:
            if occupied:
                return Interval(body.low, None, body.low_open, True)
            return NONNEGATIVE
        if (-body).nonnegative:
            return Interval(None, body.high if occupied else Fraction(0), True, body.high_open if occupied else False)
        return ANY


def _counts_winners(term: Reduce, context: Context) -> bool:
    """Whether the sum counts the entries that attain an optimum: where that is defined, there is at least one."""
    conds: tuple[Cond, ...]
    match term.body:
        case Select(cond, then, other) if then == ONE and other == ZERO:
            conds = (cond, term.guard)
        case Num(value) if value >= 1:
            conds = (term.guard,)
        case _:
            return False
    flat = [c for cond in conds for c in (cond.args if isinstance(cond, And) else (cond,)) if c != Truth(True)]
    for k, cond in enumerate(flat):
        match cond:
            case RealCmp("==", a, b):
                rest = flat[:k] + flat[k + 1 :]
                if any(_optimum_of(term, *pair, rest, context) for pair in ((a, b), (b, a))):
                    return True
    return False


def _optimum_of(term: Reduce, entry: Term, best: Term, rest: list[Cond], context: Context) -> bool:
    """Whether `best` is the optimum of `entry` over the sum's own index, under the other conditions."""
    while isinstance(best, Reduce) and (flat := merged(best, context)) is not None:
        best = flat
    if not isinstance(best, Reduce) or best.kind not in ("max", "min") or best.extent != term.extent:
        return False
    rename = {best.var: Poly.sym(term.var)}
    guard = substitute_cond(best.guard, rename)
    wanted = [c for c in (guard.args if isinstance(guard, And) else (guard,)) if c != Truth(True)]
    if len(wanted) != len(rest) or any(c not in wanted for c in rest) or term.var in free_symbols(best):
        return False
    return _same(substitute(best.body, rename), entry, context)


def _same(left: Term, right: Term, context: Context) -> bool:
    """Whether two terms have one normal form: abs(-t) is abs(t)."""
    work = Normalizer(context)
    try:
        return left == right or work.normal(left) == work.normal(right)
    except TooLarge:
        return False


def _integer_power(inside: Interval, exponent: Term) -> Interval:
    """u^n for an integer expression n: the sign is known where u's is, and of squares."""
    if inside.positive:
        return POSITIVE
    if inside.nonnegative:
        return NONNEGATIVE
    poly = integer_of(exponent)
    even = poly is not None and all(coefficient % 2 == 0 for _, coefficient in poly.terms)
    return NONNEGATIVE if even else ANY


def _learn(found: Interval, term: Term, fact: Cond) -> Interval:
    """What `a < b`, `a <= b` or `a == b` says of a term that is a or b, the other side being a number."""
    match fact:
        case Not(RealCmp("==", a, Num(value))) if a == term:
            # An end that is not taken.
            low, high = found.low_open or found.low == value, found.high_open or found.high == value
            return Interval(found.low, found.high, low, high)
        case RealCmp():
            pass
        case _:
            return found
    strict = fact.rel == "<"
    if fact.a == term and isinstance(fact.b, Num):
        found = found.meet(Interval(None, fact.b.value, True, strict))
        if fact.rel == "==":
            found = found.meet(Interval(fact.b.value, None, False, True))
    if fact.b == term and isinstance(fact.a, Num):
        found = found.meet(Interval(fact.a.value, None, strict, True))
        if fact.rel == "==":
            found = found.meet(Interval(None, fact.a.value, True, False))
    return found


def settles(bounds: Bounds, cond: Cond) -> bool:
    """Whether the bounds alone show the condition."""
    match cond:
        case Truth(value):
            return value
        case RealCmp(rel, a, b):
            difference = bounds.of(Add((b, Mul((Num(Fraction(-1)), a))))) if a != ZERO else bounds.of(b)
            if b == ZERO:
                difference = -bounds.of(a)
            if rel == "<":
                return difference.positive
            return difference.nonnegative if rel == "<=" else difference == NOUGHT
        case Not(RealCmp("==", a, b)):
            return bounds.of(a if b == ZERO else Add((a, Mul((Num(Fraction(-1)), b))))).nonzero
        case And(args):
            return all(settles(bounds, a) for a in args)
        case Or(sides):
            if any(settles(bounds, a) for a in sides):
                return True
            # t < 0 or t > 0 is t != 0.
            match sides:
                case (RealCmp("<", a, right), RealCmp("<", left, b)) if a == b and left == right == ZERO:
                    return bounds.of(a).nonzero
            return False
        case Not(RealCmp("==", a, b)):
            return bounds.of(add(b, neg(a))).nonzero
        case _:
            return False
