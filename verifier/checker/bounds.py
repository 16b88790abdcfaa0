"""Intervals of terms: where a term has a value, it lies in there. Over the reals; ends rational or infinite. [trusted]

An interval is (a, b): two lower ends, of the value and of minus the value. An end is (number, whether it is excluded),
so that the greater of two is the tighter one. Where facts exclude each other an interval may have no number in it.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from itertools import product
from typing import Any

from .linear import Hints
from .scopes import REAL, Scope, in_range, parts
from .terms import ONE, TRUE, ZERO, Node, add, both, const, ge, mul, negate, num, plus, substitute, sym

End = tuple[Any, bool]
Interval = tuple[End, End]
NONE: End = (float("-inf"), True)  # ends that are numbers are Fractions: floats stand for the infinite alone
ANY: Interval = (NONE, NONE)
POSITIVE, NONNEGATIVE, NULL = ((Fraction(0), True), NONE), ((Fraction(0), False), NONE), ((Fraction(0), False),) * 2
# Of functions: the least value and the greatest (in brackets what is attained), `~`: it has its argument's sign.
KNOWN = """exp2 (0 _|expm1 (-1 _ ~|log1p _ _ ~|cbrt _ _ ~|hypot [0 _|sin [-1 1]|cos [-1 1]|asin (-2 2) ~|acos [0 4)|
atan (-2 2) ~|atan2 (-4 4)|sinh _ _ ~|cosh [1 _|tanh (-1 1) ~|asinh _ _ ~|acosh [0 _|atanh _ _ ~|pow (0 _|pow0 [0 _|
sign [-1 1] ~|pi (3 4)|erf (-1 1) ~|erfc (0 2)|erfinv _ _ ~|spherical_jn [-1 1]|sigmoid (0 1)"""


def point(number: Any) -> Interval:
    return (Fraction(number), False), (-Fraction(number), False)


def _end(text: str, sign: int) -> End:
    return NONE if text == "_" else (sign * Fraction(text.strip("[]()")), text[0] == "(" or text[-1] == ")")


VALUES = {n: (_end(a, 1), _end(b, -1), bool(more)) for n, a, b, *more in (t.split() for t in KNOWN.split("|"))}


def neg(i: Interval) -> Interval:
    return i[1], i[0]


def meet(i: Interval, j: Interval) -> Interval:
    return max(i[0], j[0]), max(i[1], j[1])


def positive(i: Interval) -> bool:
    return i[0] >= (0, True)


def nonnegative(i: Interval) -> bool:
    return bool(i[0][0] >= 0)


def times(i: Interval, j: Interval) -> Interval:
    """Ends of products are products of ends; a 0 that is attained is so whatever it is multiplied by."""
    corners = []
    for ((x, x_open), s), ((y, y_open), t) in product(zip(i, (1, -1), strict=True), zip(j, (1, -1), strict=True)):
        opened = (x_open and (y != 0 or y_open)) or (y_open and (x != 0 or x_open))
        corners.append((s * t * x * y if x and y else Fraction(0), opened))
    return min(corners), min((-x, opened) for x, opened in corners)


def absolute(i: Interval) -> Interval:
    return i if nonnegative(i) else neg(i) if nonnegative(neg(i)) else ((Fraction(0), False), min(i))


def power(i: Interval, exponent: int) -> Interval:
    """t^k; where k < 0 it is defined only where t is not 0."""
    if exponent < 0:
        i = power(i, -exponent)
        if not nonnegative(i):
            return neg(power(neg(i), -1)) if nonnegative(neg(i)) else ANY
        (low, low_open), (high, high_open) = i
        below = (Fraction(0), True) if high >= 0 or high == NONE[0] else (-1 / high, high_open)
        return below, NONE if low == 0 else (-1 / low, low_open)
    if exponent > 99:
        return ANY
    out = point(1)
    for _ in range(exponent // 2):
        out = times(out, times(absolute(i), absolute(i)))
    return times(out, i) if exponent % 2 else out


def _said(fact: Node) -> Iterator[tuple[Node, Interval, Any]]:
    """What a comparison with a number says of a term: an interval, or a number that it is not."""
    if (fact.args[0] if fact.tag == "not" else fact).tag not in (("same",) if fact.tag == "not" else REAL):
        return
    a, b = fact.args[0].args if fact.tag == "not" else fact.args
    for term, other, up in ((a, b, True), (b, a, False)):
        if other.tag == "num" and fact.tag == "not":
            yield term, ANY, other.args[0]
        elif other.tag == "num":
            exact, end = point(other.args[0]), (-other.args[0] if up else other.args[0], fact.tag == "lt")
            yield term, exact if fact.tag == "same" else (NONE, end) if up else (end, NONE), None


class Bounds:
    """Intervals of terms in their scopes; what they need of integers is shown by hints."""

    def __init__(self, scope: Scope, hints: Hints) -> None:
        self.hints, self.reads, self.apart = hints, dict[str, Interval](), set[str]()  # `apart`: no entry is 0
        for term, found, hole in (said for fact in scope.reals for said in _said(fact)):
            # `x[0] > 0` and `x[i, i] > 0` speak of some entries only
            names = [p.free - scope.fixed for p in term.args[1:]] if term.tag == "read" else [frozenset("01")]
            bare = all(len(n) == 1 and p is sym(*n) for p, n in zip(term.args[1:], names, strict=False))
            if bare and len(frozenset[str]().union(*names)) == sum(map(len, names)):
                self.reads[term.args[0]] = meet(self.reads.get(term.args[0], ANY), found)
                self.apart |= {term.args[0]} if hole == 0 else set()

    def of(self, term: Node, scope: Scope) -> Interval:
        """An interval that the term's value lies in, where it has one."""
        low, high = self._of(term, scope)
        for fact in (f for f in scope.reals if f.tag in ("lt", "le") and term in f.args):
            (a, b), strict = fact.args, fact.tag == "lt"
            sure = fact in scope.path  # else there may be no index of which it says something
            if b is term and (sure or a.free <= scope.fixed | term.free):  # it is above all that a is above
                end, opened = self.of(a, scope.bare())[0]
                low = max(low, (end, opened or strict))
            if a is term and (sure or b.free <= scope.fixed | term.free):
                end, opened = self.of(b, scope.bare())[1]
                high = max(high, (end, opened or strict))
        for about, known, hole in (said for fact in scope.reals for said in _said(fact)):
            if about is term:
                (low, low_open), (high, high_open) = meet((low, high), known)
                low, high = (low, low_open or low == hole), (high, high_open or high == (hole and -hole))
        return low, high

    def _of(self, term: Node, scope: Scope) -> Interval:
        tag, args = term.tag, term.args
        if tag == "num":
            return point(args[0])
        if tag == "size":
            low = next((k for k in (1, 0) if self.hints.shown(scope.facts, ge(plus(args[0], const(-k))))), None)
            return ANY if low is None else ((Fraction(low), False), NONE)
        if tag == "read":
            return self.reads.get(args[0], ANY)
        if tag == "add":
            inner = [self.of(a, scope) for a in args]
            lows, highs = zip(*inner, strict=True)
            return _sum(lows), _sum(highs)
        if tag == "mul":
            powers: dict[Node, int] = {}  # equal factors are squares
            for a in args:
                base, exponent = a.args if a.tag == "pow" and a.args[1] > 0 else (a, 1)
                powers[base] = powers.get(base, 0) + exponent
            out = point(1)
            for base, exponent in powers.items():
                out = times(out, power(self.of(base, scope), exponent))
            return out
        if tag == "pow":
            found = power(self.of(args[0], scope), args[1])
            return meet(found, POSITIVE) if args[1] % 2 == 0 and self.nonzero(args[0], scope) else found
        if tag == "select":
            yes, no = self.of(args[1], scope.under(args[0])), self.of(args[2], scope.under(negate(args[0])))
            return min(yes[0], no[0]), min(yes[1], no[1])
        return self._reduce(term, scope) if tag == "reduce" else self._call(term, [self.of(a, scope) for a in args[1:]])

    def _call(self, term: Node, inside: list[Interval]) -> Interval:
        name, i = term.args[0], inside[0] if inside else ANY
        low, high = i
        if name == "exp":
            above = ((Fraction(1), positive(i)), NONE) if nonnegative(i) else POSITIVE
            return above[0], (Fraction(-1), positive(neg(i))) if nonnegative(neg(i)) else NONE
        if name in ("sqrt", "pow0"):
            return POSITIVE if positive(i) else NONNEGATIVE
        if name == "log":
            return ((Fraction(0), low > (1, False)), NONE) if low[0] >= 1 else ANY
        if name in ("abs", "max", "min"):
            lows, highs = zip(*inside, strict=True)
            larger = max(lows), min(highs)
            return absolute(i) if name == "abs" else larger if name == "max" else (min(lows), max(highs))
        if name == "ipow":
            order = term.args[2]
            even = order.tag == "size" and all(c % 2 == 0 for c, _ in order.args[0].args)
            return POSITIVE if positive(i) else NONNEGATIVE if nonnegative(i) or even else ANY
        bottom, top, signed = VALUES.get(name, (NONE, NONE, False))
        if name == "cos" and min(low, high) >= (Fraction(-3, 2), False):
            bottom = (Fraction(0), True)  # 3/2 is less than a quarter of a turn, 3 than a half
        if signed or (name == "sin" and min(low, high) >= (Fraction(-3), False)):
            up, down = ((Fraction(0), positive(s)) if nonnegative(s) else NONE for s in (i, neg(i)))
            bottom, top = max(bottom, up), max(top, down)
        return bottom, top

    def _reduce(self, term: Node, scope: Scope) -> Interval:
        kind, _, extent, _, _ = term.args
        name, guard, body = scope.bound(term)
        low, high = i = self.of(body, scope.inside((name, extent)).under(guard))
        if kind in ("max", "min") or i == NULL:
            return i if kind != "prod" else ANY
        if kind == "prod":
            return POSITIVE if positive(i) else NONNEGATIVE if nonnegative(i) else ANY
        if _counts_winners(term):
            return (Fraction(1), False), NONE
        if nonnegative(i):
            return (low if self.inhabited(scope, name, extent, guard) else (Fraction(0), False)), NONE
        if nonnegative(neg(i)):
            return NONE, (high if self.inhabited(scope, name, extent, guard) else (Fraction(0), False))
        return ANY

    def inhabited(self, scope: Scope, name: str, extent: Node, guard: Node) -> bool:
        """Whether some index below the extent meets a guard: one that the evidence picks among the obvious ones."""
        ends = [const(0), plus(extent, const(-1)), *map(sym, sorted(scope.ranges.keys() | scope.fixed))]
        for p in (c.args[0] for c in parts(guard) if c.tag in ("ge", "eq")):
            factor = next((c for c, atoms in p.args if [a.args[0] for a in atoms if a.tag == "sym"] == [name]), 0)
            rest = plus(p, sym(name), -factor)
            if factor in (1, -1):
                end = plus(const(0), rest, -factor)
                ends += [end, *(plus(end, sym(size)) for size in sorted(scope.fixed))]

        def fits(k: int) -> bool:
            there = {name: ends[k]}
            return self.hints.shown(scope.facts, both(in_range(ends[k], extent), substitute(guard, there)))

        usable = [k for k, end in enumerate(ends) if name not in end.free]
        return self.hints.choice(usable, fits)

    def nonzero(self, term: Node, scope: Scope) -> bool:
        """Whether a term is not 0 where it has a value: by its interval, or since none of the tensor's entries is."""
        i = self.of(term, scope)
        return positive(i) or positive(neg(i)) or (term.tag == "read" and term.args[0] in self.apart)

    def settles(self, cond: Node, scope: Scope) -> bool:
        """Whether intervals alone show a condition."""
        tag, args = cond.tag, cond.args
        if tag == "and":
            return all(self.settles(c, scope) for c in args)
        if tag == "or":
            below, above = (c.args if c.tag == "lt" else (ONE, ONE) for c in args[:2])
            if len(args) == 2 and below[1] is above[0] is ZERO and below[0] is above[1]:  # t < 0 or 0 < t
                return self.nonzero(below[0], scope)
            return any(self.settles(c, scope) for c in args)
        if tag in ("lt", "le"):
            i = self.of(args[1] if args[0] is ZERO else add(args[1], mul(num(-1), args[0])), scope)
            return positive(i) if tag == "lt" else nonnegative(i)
        if tag == "not" and args[0].tag == "same":
            a, b = args[0].args
            return self.nonzero(a if b is ZERO else add(b, mul(num(-1), a)), scope)
        return cond is TRUE or (tag in ("ge", "eq") and self.hints.shown(scope.facts, cond))


def _sum(ends: tuple[End, ...]) -> End:
    return sum((e for e, _ in ends), Fraction(0)), any(opened for _, opened in ends)


def _counts_winners(term: Node) -> bool:
    """Whether a sum counts the entries that attain an optimum: where that is defined there is at least one."""
    _, var, extent, guard, body = term.args
    if body.tag == "select" and body.args[1:] == (ONE, ZERO):
        guard, body = both(guard, body.args[0]), ONE
    conds = set(parts(guard))
    for cond in conds if body is ONE else ():
        for entry, best in (cond.args, cond.args[::-1]) if cond.tag == "same" else ():
            optimum = best.tag == "reduce" and best.args[0] in ("max", "min")
            if optimum and best.args[2] is extent and var not in best.free:
                here = {best.args[1]: sym(var)}
                rest = {substitute(c, here) for c in parts(best.args[3])}
                if substitute(best.args[4], here) is entry and rest == conds - {cond}:
                    return True
    return False
