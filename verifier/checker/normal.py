"""The checker's normal form: a term as a sum of monomials, each a sum over indices of a product. [trusted]

A form maps monomials to rational coefficients. A monomial is (binders, conditions, factors): the sum over the binders,
where all conditions hold, of the product of the factors, each an atom to a rational power. An atom is a term that is in
normal form itself, so whatever changes it (a renaming, say) makes it a form again by `form`. Laws used, and no others:

- commutative rings; sums are linear and multiply out; an unused binder is its extent; `[i = e]` under `sum(i)` puts e
  for i and leaves `0 <= e < extent` behind; what holds for sure is left out of the conditions;
- t^a t^b = t^(a+b), (ab)^-1 = a^-1 b^-1, (t^2)^(1/2) = t where t >= 0, e^(a+b) = e^a e^b, e^(c log t) = t^c,
  log(e^a t) = a + log t; the simpler forms, odd and even functions of calculus.py;
- conditions of reals are made of [p > 0] and [p < 0], which exclude each other; a positive factor changes neither;
  a function of a selection is the selection of the function.

What is shown equal is equal wherever both sides are defined. x * x^-1 = 1 is such an equation: where the monomial has
an index at all x^-1 is evaluated, and where a condition beside it fails the term is the limit of defined ones. Sizes
can't be moved by a limit and may be 0: n * n^-1 is [n != 0]. Nothing is multiplied by what may be 0 throughout.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from functools import lru_cache
from itertools import count, permutations, product
from math import factorial, isqrt, prod
from typing import Any

from . import terms as t
from .calculus import FUNCTIONS, STEPS, simpler
from .terms import FALSE, ONE, TRUE, ZERO, Node, Refused

Number = int | Fraction
Mono = tuple[frozenset[tuple[str, Node]], frozenset[Node], frozenset[tuple[Node, Number]]]
Form = dict[Mono, Number]
NONE: frozenset[Any] = frozenset()
UNIT: Mono = (NONE, NONE, NONE)
MOST = 4000  # monomials in a form
HALF = Fraction(1, 2)


def constant(value: Number) -> Form:
    """The form of a number."""
    return {UNIT: value} if value else {}


def accumulate(out: Form, form: Form, scale: Number = 1) -> None:
    """out += scale * form."""
    for mono, c in form.items():
        found = out.get(mono, 0) + c * scale
        if type(found) is Fraction:
            t.small(found)
        if found:
            out[mono] = found
        else:
            out.pop(mono, None)


def plus(*forms: Form) -> Form:
    """The sum."""
    out: Form = {}
    for form in forms:
        accumulate(out, form)
    return out


def raised(base: Number, e: int) -> Number:
    """base^e."""
    if abs(e) * max(base.numerator.bit_length(), base.denominator.bit_length()) > t.LONGEST:
        raise Refused("a number is too long")
    return Fraction(base) ** e


def scaled(form: Form, by: Number) -> Form:
    """by * form."""
    return {m: c * by for m, c in form.items()} if by else {}


@lru_cache(1 << 16)
def linear(p: Node, name: str) -> tuple[Node, Node] | None:
    """(a, b) with p = a * name + b and the name in neither; None where that is not its form."""
    out: tuple[dict[Any, int], dict[Any, int]] = ({}, {})
    for c, atoms in p.args:
        own = [a for a in atoms if name in a.free]
        if len(own) > 1 or (own and own[0].tag != "sym"):
            return None
        out[not own][tuple(a for a in atoms if a not in own)] = c
    return t.poly(out[0]), t.poly(out[1])


def divided(p: Node, by: Node) -> tuple[Node, Node]:
    """(q, r) with p = q * by + r as polynomials."""
    whole, rest = t.const(0), p
    for _ in range(len(p.args) + 8 if by.args else 0):
        lead, atoms = by.args[0]
        for c, factors in rest.args:
            left = [*factors]
            for a in atoms:
                left = [*left[: left.index(a)], *left[left.index(a) + 1 :]] if a in left else [t.ONE, *left]
            if t.ONE not in left and c // lead and (len(by.args) == 1 or c % lead == 0):
                step = t.poly({tuple(left): c // lead})
                whole, rest = t.plus(whole, step), t.minus(rest, t.times(step, by))
                break
        else:
            break
    return whole, rest


def is_size(atom: Node) -> bool:
    return atom.tag == "size"


def is_sum(atom: Node) -> bool:
    """Whether an atom is a whole form, which a power other than 1, 2, ... keeps together."""
    return atom.tag in ("add", "mul", "pow", "num", "select") or (atom.tag == "reduce" and atom.args[0] == "sum")


def is_exp(atom: Node) -> bool:
    return atom.tag == "call" and atom.args[0] == "exp"


class Normal:
    """Normal forms where integers are known to satisfy something.

    `lower` gives names the least values that they have, `ranges` free indices their extents; `known` are polynomials
    that are not negative. Away from ties of entries of the tensors in `generic` [p < 0] is 1 - [p > 0].
    """

    def __init__(
        self,
        lower: Mapping[str, int],
        ranges: Mapping[str, Node],
        known: Sequence[Node] = (),
        generic: frozenset[str] = NONE,
    ) -> None:
        self.lower, self.ranges, self.known, self.generic = lower, ranges, known, generic
        self.shift = {n: t.plus(t.sym(n), t.const(k)) for n, k in lower.items() if k}
        self.every: Sequence[tuple[Node, tuple[str, ...], Node]] = ()  # what holds of every entry of a tensor
        self.names = count()
        self.forms: dict[Node, Form] = {}
        self.texts: dict[Mono, Node] = {}
        self.canon: dict[Mono, Form] = {}
        self.depths: dict[Node, int] = {}
        self.quotients: dict[Node, bool] = {}
        self.shifted: dict[Node, Node] = {}
        self.sure: dict[tuple[Any, ...], bool] = {}

    # What is known of integers

    def surely(self, p: Node, ranges: Mapping[str, Node] | None = None, facts: Sequence[Node] = ()) -> bool:
        """Whether p >= 0 is plain to see: at the ends of the ranges nothing is negative, perhaps less one fact."""
        inside = {**self.ranges, **(ranges or {})}
        key = (p, *inside.items(), *facts)
        if key not in self.sure:
            self.sure[key] = self._surely(p, inside, facts)
        return self.sure[key]

    def _surely(self, p: Node, inside: dict[str, Node], facts: Sequence[Node]) -> bool:
        lengths = (t.plus(e, t.const(-1)) for e in inside.values() if t.value(e) is None)
        known = (f for f in (*self.known, *facts, *lengths, *self._entries(p)) if not f.free.isdisjoint(p.free))
        if self._least(p, inside) or any(self._least(t.minus(p, fact), inside) for fact in known):
            return True
        for c, atoms in p.args:
            if c not in (1, -1) or len(atoms) != 1 or atoms[0].tag not in ("div", "mod"):
                continue
            num, den = atoms[0].args
            less, rest = t.minus(den, t.const(1)), t.minus(p, t.poly({atoms: c}))
            if atoms[0].tag == "div":
                # q >= -r is num >= -r * den, and q <= r is num <= r * den + den - 1, for q = num // den and den >= 1
                rest = t.plus(t.times(rest, den), num, c)
            rest = rest if c > 0 else t.plus(rest, less, 1 if atoms[0].tag == "div" else -1)
            if (self._divides(den, inside) or self.surely(less, inside, facts)) and self.surely(rest, inside, facts):
                return True
        return False

    def _entries(self, p: Node) -> Iterator[Node]:
        for entry in t.walk(p) if self.every else ():
            for pattern, names, cond in self.every:
                if entry.tag == "entry" and entry.args[0] == pattern.args[0] and cond.tag == "ge":
                    yield t.substitute(cond.args[0], dict(zip(names, entry.args[1:], strict=True)))

    def _least(self, p: Node, ranges: dict[str, Node]) -> bool:
        for name in reversed(ranges):
            found = linear(p, name) if name in p.free else None
            if found is not None and self._positive(found[0], ranges):
                p = found[1]
            elif found is not None and self._positive(t.minus(t.const(0), found[0]), ranges):
                p = t.plus(found[1], t.times(found[0], t.plus(ranges[name], t.const(-1))))
        return self._positive(p, ranges)

    def _positive(self, p: Node, ranges: Mapping[str, Node]) -> bool:
        if p not in self.shifted:
            self.shifted[p] = t.substitute(p, self.shift)
        p = self.shifted[p]
        return all(c >= 0 and all(self._natural(a, ranges) for a in atoms) for c, atoms in p.args)

    def _natural(self, a: Node, ranges: Mapping[str, Node]) -> bool:
        if a.tag == "sym":
            return a.args[0] in self.lower or a.args[0] in ranges
        if a.tag == "entry" or a.tag == "mod":
            return a.tag == "mod" and self._positive(t.plus(a.args[1], t.const(-1)), ranges)
        sides = [self._positive(p, ranges) for p in a.args]
        return any(sides) if a.tag == "imax" else all(sides)

    def whole(self, node: Node, ranges: Mapping[str, Node], facts: Sequence[Node] = ()) -> Node:
        """The same with its quotients, remainders, minima and maxima made simpler where the ranges and facts hold."""
        if node not in self.quotients:
            self.quotients[node] = any(n.tag in ("div", "mod", "imin", "imax") for n in t.walk(node))
        if not self.quotients[node]:
            return t.atom(node) if node.tag in t.ATOMS else node
        if node.tag == "reduce":
            if any(node.args[1] in e.free for e in ranges.values()):
                return node
            inner = {**ranges, node.args[1]: node.args[2]}
            known = [f for f in facts if node.args[1] not in f.free]
            kind, var, *parts = node.args
            return t.reduce(kind, var, *(self.whole(p, inner, known) for p in parts))
        if node.tag not in ("div", "mod", "imin", "imax"):
            return t.rebuild(node, lambda n: self.whole(n, ranges, facts))
        a, b = (self.whole(p, ranges, facts) for p in node.args)
        one = t.const(1)
        if node.tag in ("imin", "imax"):
            low = [p for p, q in ((a, b), (b, a)) if self.surely(t.minus(q, p), ranges, facts)]
            return (
                low[0]
                if low and node.tag == "imin"
                else t.plus(a, t.minus(b, low[0]))
                if low
                else t.built(node.tag, a, b)
            )
        less = t.minus(b, one)
        if not self.surely(less, ranges, facts) and not self._divides(b, ranges):
            return t.built(node.tag, a, b)
        q, r = divided(a, b)
        for k in (0, -1):
            rest = t.plus(r, b, -k)
            if self.surely(rest, ranges, facts) and self.surely(t.minus(less, rest), ranges, facts):
                q, r = t.plus(q, t.const(k)), t.const(0)
        q = t.plus(q, t.built("div", r, b)) if r.args else q
        return q if node.tag == "div" else t.minus(a, t.times(b, q))

    def _divides(self, p: Node, ranges: Mapping[str, Node]) -> bool:
        """Whether p >= 1 since it is a factor of the length of a range that has an index."""
        return self.surely(p, ranges) and any(
            not divided(e, p)[1].args for e in (*ranges.values(), *self.ranges.values())
        )

    # From terms to forms

    def form(self, term: Node) -> Form:
        """The form of a term."""
        found = self.forms.get(term)
        if found is None:
            found = self.forms[term] = self._form(term)
            if len(found) > MOST:
                raise Refused("a normal form with too many monomials")
        return found

    def _form(self, term: Node) -> Form:
        tag, args = term.tag, term.args
        if tag == "num":
            return constant(args[0])
        if tag == "read":
            return {(NONE, NONE, frozenset(((term, 1),))): 1}
        if tag == "size":
            out: Form = {}
            for c, atoms in args[0].args:
                accumulate(out, self.product({(NONE, NONE, frozenset(((t.size(t.atom(a)), 1),))): 1} for a in atoms), c)
            return out
        if tag == "add":
            return plus(*map(self.form, args))
        if tag == "mul":
            return self.product(map(self.form, args))
        if tag == "pow":
            base, e = args
            if base.tag == "pow" and -100 < e < 0 < base.args[1] < 100:  # b^k is not multiplied out to be a denominator
                base, e = base.args[0], base.args[1] * e
            return self.power(self.form(base), e)
        if tag == "select":
            below = self.form(args[2])
            return plus(below, self.times(self.where(args[0]), plus(self.form(args[1]), scaled(below, -1))))
        if tag == "reduce":
            return self._summed(*args[1:]) if args[0] == "sum" else self._folded(*args)
        return self._called(term)

    def _called(self, term: Node) -> Form:
        fn, *args = term.args
        easier = simpler(fn, tuple(args))
        if easier is not None:
            return self.form(easier)
        forms = [self.form(a) for a in args]
        if fn in ("exp", "log"):
            return self.cases(forms, lambda parts: (self._exp if fn == "exp" else self._log)(parts[0]))
        return self.power(forms[0], HALF) if fn == "sqrt" else self.cases(forms, lambda parts: self._opaque(fn, parts))

    def _opaque(self, fn: str, forms: list[Form]) -> Form:
        sign, parity = 1, FUNCTIONS[fn].parity
        if parity and forms[0] and self.leading(forms[0]) < 0:
            forms, sign = [scaled(forms[0], -1)], -1 if parity == "odd" else 1
        return {(NONE, NONE, frozenset(((t.make("call", fn, *map(self.term, forms)), 1),))): sign}

    def _summed(self, var: str, extent: Node, guard: Node, body: Node) -> Form:
        name = f"~{next(self.names)}"
        away = {var: t.sym(name)}
        inner = self.times(self.where(t.substitute(guard, away)), self.form(t.substitute(body, away)))
        return self.under(frozenset(((name, extent),)), inner)

    def _folded(self, kind: str, var: str, extent: Node, guard: Node, body: Node) -> Form:
        length = t.value(extent)
        if kind == "prod" and guard is TRUE and length is not None and length <= 8:
            return self.product(self.form(t.substitute(body, {var: t.const(k)})) for k in range(length))
        for _ in range(2):  # in normal form, to see how deep the inside is, and then under the name that tells it
            name = next(self._names(max(self.depth(guard), self.depth(body)), (guard.free | body.free) - {var}))
            away = {var: t.sym(name)}
            body = self.term(self.form(t.substitute(body, away)))
            guard, var = self._condition(self.where(t.substitute(guard, away))), name
        return {(NONE, NONE, frozenset(((t.make("reduce", kind, var, extent, guard, body), 1),))): 1}

    def _condition(self, form: Form) -> Node:
        if len(form) == 1 and (found := next(iter(form.items())))[1] == 1 and not found[0][0] and not found[0][2]:
            return t.both(*sorted(found[0][1], key=lambda c: c.key))
        return TRUE if form == constant(1) else t.make("lt", ZERO, self.term(form)) if form else FALSE

    # Products and powers

    def product(self, forms: Iterable[Form]) -> Form:
        """The product of several forms."""
        out = constant(1)
        for form in forms:
            out = self.times(out, form)
        return out

    def times(self, a: Form, b: Form) -> Form:
        """The product of two forms."""
        if len(a) * len(b) > MOST:
            raise Refused("a product with too many monomials")
        t.spend(len(a) * len(b))
        out: Form = {}
        for m, c in a.items():
            for n, d in b.items():
                k = c * d
                t.small(k)
                accumulate(out, {n: 1} if m == UNIT else {m: 1} if n == UNIT else self._joined(m, n), k)
        return out

    def _joined(self, m: Mono, n: Mono) -> Form:
        if m[0] and n[0]:
            clash = {v for v, _ in m[0]} & {v for v, _ in n[0]}
            if clash:
                ((n, sign),) = self.renamed(n, {v: f"~{next(self.names)}" for v in sorted(clash)}).items()
                return scaled(self._joined(m, n), sign)
        return self.monomial(m[0] | n[0], m[1] | n[1], [*m[2], *n[2]])

    def monomial(self, binders: frozenset[Any], conds: frozenset[Node], factors: Iterable[tuple[Node, Number]]) -> Form:
        """The form of one monomial whose factors may have the same atom."""
        if any(c.tag == "lt" and t.make("lt", *reversed(c.args)) in conds for c in conds):
            return {}
        powers: dict[Node, Number] = {}
        scale: Number = 1
        expand: list[Form] = []
        for atom, e in factors:
            powers[atom] = powers.get(atom, 0) + e
        for atom, e in [*powers.items()]:
            if is_sum(atom) and e >= 1 and e == int(e):
                if e > MOST:
                    raise Refused("a product with too many factors")
                del powers[atom]
                expand += [self.form(atom)] * int(e)
            elif atom.tag == "num" and not 0 <= e < 1:
                whole = e // 1
                scale = scale * raised(atom.args[0], int(whole))
                powers[atom] = e - whole
            if e == 0 and is_size(atom):
                expand.append(self._nonzero(atom.args[0], dict(binders)))
        kept = frozenset((a, e) for a, e in powers.items() if e)
        if not expand:
            return scaled(self.settled(binders, conds, kept), scale)
        form: Form = {(NONE, conds, kept): scale}
        for more in expand:
            form = self.times(form, more)
        return self.under(binders, form)

    def under(self, binders: frozenset[Any], form: Form) -> Form:
        """The sum of a form over indices, all of it: a part by itself might not show that it depends on them."""
        names, out = {v for v, _ in binders}, dict[Mono, Number]()
        for mono, c in form.items():
            clash = sorted(names & {v for v, _ in mono[0]})
            apart = self.renamed(mono, {v: f"~{next(self.names)}" for v in clash}) if clash else {mono: 1}
            for (more, conds, factors), k in apart.items():
                accumulate(out, self.settled(more | binders, conds, factors), c * k)
        return out

    def _nonzero(self, p: Node, ranges: Mapping[str, Node]) -> Form:
        """[p != 0], which is what p * p^-1 is."""
        up, down = (t.plus(t.const(-1), p, k) for k in (1, -1))
        if self.surely(up, ranges):
            return constant(1)
        sides = (up,) if self.surely(p, ranges) else (up, down)
        return {(NONE, frozenset((t.ge(side),)), NONE): 1 for side in sides}

    def power(self, form: Form, e: Number) -> Form:
        """A power of a form: negative and fractional ones where it is not 0, or not negative."""
        if e == int(e) and e >= 0:
            return self.product([form] * int(e))
        return self.cases([form], lambda parts: self._power(parts[0], Fraction(e)))

    def _power(self, form: Form, e: Fraction) -> Form:
        form = self.collected(form)
        if not form:
            return {}  # a root of 0, or what has no value
        whole = e.denominator == 1
        scale, outside, inside = self.content(form, (lambda _: True) if whole else self.at_least_zero)
        factors: list[tuple[Node, Number]] = [(a, k * e) for a, k in outside]
        if whole:
            scale = raised(scale, int(e))
        else:
            if scale < 0:
                scale, inside = -scale, scaled(inside, -1)
            root = _root(Fraction(scale)) if e.denominator == 2 else None
            if scale != 1 and root is None:
                factors.append((t.num(scale), e))
            scale = 1 if root is None else raised(root, int(2 * e))
        if inside != constant(1):
            factors.append(self._single(inside, e) or (self.term(inside), e))
        return scaled(self.monomial(NONE, NONE, factors), scale)

    def _single(self, form: Form, e: Fraction) -> tuple[Node, Number] | None:
        """The power of a form that is a power of one atom."""
        ((binders, conds, factors), c) = next(iter(form.items()))
        if len(form) > 1 or c != 1 or binders or conds or len(factors) != 1:
            return None
        ((atom, k),) = factors
        if e.denominator != 1 and k % 2 == 0 and not self.at_least_zero(atom):
            return None  # (t^2)^(1/2) is |t|
        return atom, k * e

    def at_least_zero(self, atom: Node) -> bool:
        return is_exp(atom) or (is_size(atom) and self.surely(atom.args[0]))

    def above_zero(self, atom: Node) -> bool:
        return is_exp(atom) or (is_size(atom) and self.surely(t.plus(atom.args[0], t.const(-1))))

    def content(self, form: Form, taken: Callable[[Node], bool]) -> tuple[Number, list[tuple[Node, Number]], Form]:
        """(c, outside, inside) with form = c * product(outside) * inside; the first coefficient of inside is 1."""
        common: dict[Node, Number] | None = None
        for binders, _, factors in form:
            bound = {v for v, _ in binders}
            own = {a: e for a, e in factors if a.free.isdisjoint(bound) and taken(a)}
            if common is None:
                common = own
            common = {a: min(common.get(a, 0), own.get(a, 0)) for a in {**common, **own}}
        outside = [
            (a, e)
            for a, e in (common or {}).items()
            if e > 0 or (e and (all(dict(m[2]).get(a, 0) < 0 for m in form) or not self.vanishes(a, {})))
        ]
        inside = form
        if outside:
            inside = {}
            for (binders, conds, factors), c in form.items():
                powers = dict(factors)
                for a, e in outside:
                    powers[a] = powers.get(a, 0) - e
                left = frozenset((a, e) for a, e in powers.items() if e)
                accumulate(inside, self.settled(binders, conds, left), c)
        first = self.leading(inside) if inside else 1
        return first, outside, scaled(inside, Fraction(1) / first)

    def leading(self, form: Form) -> Number:
        return self.ordered(form)[0][1]

    def _exp(self, form: Form) -> Form:
        factors: list[tuple[Node, Number]] = []
        more = constant(1)
        for mono, c in self.canonical(form).items():
            ((atom, e),) = mono[2] if len(mono[2]) == 1 else ((ZERO, 0),)
            if e == 1 and atom.tag == "call" and atom.args[0] == "log" and not mono[0] and not mono[1]:
                inner = self.form(atom.args[1])
                if c == int(c):
                    more = self.times(more, self.power(inner, c))
                else:
                    factors.append(self._single(inner, Fraction(c)) or (self.term(inner), c))
            else:
                factors.append((t.make("call", "exp", self._text(mono)), c))
        return self.times(self.monomial(NONE, NONE, factors), more)

    def _log(self, form: Form) -> Form:
        form = self.collected(form)
        if not form:
            return {}  # no value
        scale, outside, inside = self.content(form, self.at_least_zero)
        if scale < 0:
            scale, inside = -scale, scaled(inside, -1)
        out: Form = {}
        for atom, e in outside:
            if is_exp(atom):
                accumulate(out, self.form(atom.args[1]), e)
            else:
                inside = self.times(inside, {(NONE, NONE, frozenset(((atom, e),))): 1})
        for part in (constant(scale), inside):
            if part != constant(1):
                accumulate(out, {(NONE, NONE, frozenset(((t.make("call", "log", self.term(part)), 1),))): 1})
        return out

    # Conditions

    def where(self, cond: Node) -> Form:
        """1 where the condition holds, else 0."""
        tag, args = cond.tag, cond.args
        if tag == "truth":
            return constant(args[0])
        if tag == "not":
            return plus(constant(1), scaled(self.where(args[0]), -1))
        if tag == "and":
            return self.product(map(self.where, args))
        if tag == "or":
            return plus(constant(1), scaled(self.product(self.where(t.make("not", a)) for a in args), -1))
        if tag in ("lt", "le", "same"):
            apart = plus(self.form(args[1]), scaled(self.form(args[0]), -1))
            above = self.sign(apart, 1) if tag != "le" else {}
            below = self.sign(apart, -1) if tag != "lt" else {}
            return above if tag == "lt" else plus(constant(1), scaled(above, -1), scaled(below, -1))
        return {(NONE, frozenset((cond,)), NONE): 1}

    def sign(self, form: Form, sign: int) -> Form:
        """[form > 0] for the sign 1, [form < 0] for -1."""
        return self.cases([form], lambda parts: self._sign(self.collected(parts[0]), sign))

    def _sign(self, form: Form, sign: int) -> Form:
        if form:
            scale, _, form = self.content(form, self.above_zero)
            sign = sign if scale > 0 else -sign
        if form == constant(1) or not form:
            return constant(int(bool(form) and sign > 0))
        p = self.term(form)
        if not self.generic.isdisjoint(_reads(p)):
            if any(n.args[0] in STEPS or (n.tag == "reduce" and n.args[0] != "sum") for n in t.walk(p) if n.args):
                raise Refused("a comparison with an optimum or a step: no point is away from its ties")
            if self._collapses(form):
                raise Refused("a comparison of entries that may be one and the same")
            if sign < 0:
                return plus(constant(1), scaled(self._sign(form, 1), -1))
        return {(NONE, frozenset((t.make("lt", *((ZERO, p) if sign > 0 else (p, ZERO))),)), NONE): 1}

    def _collapses(self, form: Form) -> bool:
        """Whether a form may be 0 whatever the entries of `generic` are: x[i] - x[j] is where i = j.

        All reads of a tensor are taken for one; a part must be left that no integer and no other tensor multiplies.
        """
        groups: dict[str, Number | None] = {}
        for (_, conds, factors), c in form.items():
            # that an attribute may be 0 is KINK's business
            mine = [
                f
                for f in factors
                if not self.generic.isdisjoint(_reads(f[0])) or (f[0].tag == "read" and len(f[0].args) == 1)
            ]
            key = str(sorted(f"{_collapsed(a)} {e}" for a, e in mine))
            others = bool(conds) or any(f not in mine and not is_exp(f[0]) for f in factors)
            known = groups.get(key, 0)
            groups[key] = None if others or known is None else known + c
        return not any(groups.values())

    def cases(self, forms: list[Form], build: Callable[[list[Form]], Form]) -> Form:
        """build(forms), the conditions in the forms (that say nothing of bound indices) outside of it."""
        for form in forms:
            for binders, conds, _ in form:
                free = [c for c in conds if c.free.isdisjoint(v for v, _ in binders)]
                if not free:
                    continue
                cond = min(free, key=lambda c: c.key)
                never = t.make("lt", *reversed(cond.args)) if cond.tag == "lt" else None
                yes = [_given(f, cond, never) for f in forms]
                no = [{m: c for m, c in f.items() if cond not in m[1]} for f in forms]
                holds: Form = {(NONE, frozenset((cond,)), NONE): 1}
                fails = plus(constant(1), scaled(holds, -1))
                return plus(self.times(holds, self.cases(yes, build)), self.times(fails, self.cases(no, build)))
        return build(forms)

    # Sums

    def settled(self, binders: frozenset[Any], conds: frozenset[Node], factors: frozenset[Any]) -> Form:
        """The form of a monomial of different atoms: equations solved, what says nothing left out."""
        ranges = dict(sorted(binders, key=lambda b: b[0]))
        facts = [c.args[0] for c in conds if c.tag == "ge"]
        new = [(self.whole(a, ranges, facts), e) for a, e in factors]
        if any(a is not b for (a, _), (b, _) in zip(new, factors, strict=True)):
            return self.moved(
                (binders, conds, frozenset()), {}, self.product(self.power(self.form(a), e) for a, e in new)
            )
        if not binders and not conds:
            return {(binders, conds, factors): 1}
        for cond in conds:  # one at a time: what is made simpler by another must not make that one simpler
            known = [c.args[0] for c in conds if c.tag == "ge" and c is not cond]
            if (easier := self.whole(cond, ranges, known)) is not cond:
                return self.moved((binders, conds - {cond}, factors), {}, self.where(easier))
        value = self._solved(ranges, conds)
        if value is not None:
            var, p, cond = value
            left = t.ge(p), t.ge(t.minus(t.plus(ranges[var], t.const(-1)), p))
            return self.moved((binders - {(var, ranges[var])}, conds - {cond} | {*left}, factors), {var: p})
        kept = set(conds)
        for cond in conds:
            if cond is FALSE:
                return {}
            if cond.tag in ("ge", "eq"):
                p = cond.args[0]
                facts = [c.args[0] for c in kept if c.tag == "ge" and c is not cond]
                if self.surely(t.minus(t.const(-1), p), ranges, facts):
                    return {}
                if cond.tag == "ge" and self.surely(p, ranges, facts):
                    kept.discard(cond)
            elif cond is TRUE:
                kept.discard(cond)
        out: Form = {(binders, frozenset(kept), factors): 1}
        used = NONE.union(*(a.free for a, _ in factors), *(c.free for c in kept), *(e.free for e in ranges.values()))
        for var, extent in ranges.items():
            if t.value(extent) == 0:
                return {}
            # an index that has a place in its range shows nothing about that range where it is the one to go
            rest = {v: e for v, e in ranges.items() if e is not extent}
            if var not in used and self.surely(extent, rest):
                less = next(iter(out))[0] - {(var, extent)}
                out = {(less, m[1], m[2]): c for m, c in out.items()}
                return self.times(out, self.form(t.size(extent))) if less != binders else out
        return out

    def _solved(self, ranges: Mapping[str, Node], conds: frozenset[Node]) -> tuple[str, Node, Node] | None:
        """An index that an equation determines, and its value."""
        best: tuple[Any, tuple[str, Node, Node]] | None = None
        for cond in conds:
            if cond.tag != "eq":
                continue
            for var in cond.free & ranges.keys():
                found = linear(cond.args[0], var)
                unit = None if found is None else t.value(found[0])
                if found is None or unit not in (1, -1) or any(var in e.free for e in ranges.values()):
                    continue
                value = t.times(found[1], t.const(-int(unit or 1)))
                rank = (len(value.args) != 1, self._plain(cond.key), self._plain(var))
                if best is None or rank < best[0]:
                    best = rank, (var, value, cond)
        return best[1] if best else None

    def _plain(self, text: str) -> str:
        return text

    def moved(self, mono: Mono, mapping: Mapping[str, Node], times: Form | None = None) -> Form:
        """A monomial with names replaced that it does not bind, times a form."""
        binders, conds, factors = mono
        moved = frozenset((v, t.substitute(e, mapping)) for v, e in binders)
        same = frozenset(f for f in factors if f[0].free.isdisjoint(mapping))
        stay = frozenset(c for c in conds if c.free.isdisjoint(mapping))
        out: Form = {(NONE, stay, same): 1}
        out = out if times is None else self.times(out, times)
        for cond in conds - stay:
            out = self.times(out, self.where(t.substitute(cond, mapping)))
        for atom, e in factors - same:
            out = self.times(out, self.power(self.form(t.substitute(atom, mapping)), e))
        return self.under(moved, out)

    def renamed(self, mono: Mono, names: Mapping[str, str]) -> Form:
        """A monomial with other names for its bound indices; no name that it has already."""
        binders, conds, factors = mono
        mapping = {old: t.sym(new) for old, new in names.items()}
        out: Form = {UNIT: 1}
        for cond in conds:
            out = self.times(out, self.where(t.substitute(cond, mapping)))
        for atom, e in factors:
            if atom.free.isdisjoint(mapping):
                out = {(b, c, f | {(atom, e)}): k for (b, c, f), k in out.items()}
            else:
                out = self.times(out, self.power(self.form(t.substitute(atom, mapping)), e))
        moved = frozenset((names.get(v, v), t.substitute(e, mapping)) for v, e in binders)
        return {(b | moved, c, f): k for (b, c, f), k in out.items()}

    # Names

    def depth(self, node: Node) -> int:
        """How deep binders are nested."""
        found = self.depths.get(node)
        if found is None:
            inside = [a for _, atoms in node.args for a in atoms] if node.tag == "poly" else node.args
            found = max((self.depth(a) for a in inside if isinstance(a, Node)), default=0) + (node.tag == "reduce")
            self.depths[node] = found
        return found

    def _names(self, depth: int, taken: frozenset[str]) -> Iterator[str]:
        """Names for indices by how deep they stand; none that is free there."""
        return (name for name in (f"%{k}" for k in count(depth + 1)) if name not in taken)

    def canonical(self, form: Form) -> Form:
        """The form with equal sums added up, whatever their indices are called."""
        out: Form = {}
        for mono, c in form.items():
            if not mono[0]:
                accumulate(out, {mono: c})
                continue
            if mono not in self.canon:
                self.canon[mono] = self._canonical(mono)
            accumulate(out, self.canon[mono], c)
        return out

    collected = canonical

    def _canonical(self, mono: Mono) -> Form:
        binders, conds, factors = mono
        base = max((self.depth(n) for n in (*conds, *(a for a, _ in factors))), default=0)
        groups: dict[str, list[str]] = {}
        for var, extent in sorted(binders, key=lambda b: b[0]):
            groups.setdefault(self._colour(mono, var, extent) if len(binders) > 1 else "", []).append(var)
        if prod(factorial(len(group)) for group in groups.values()) > 120:
            raise Refused("too many indices that look alike")
        orders = [sum(order, ()) for order in product(*(permutations(groups[g]) for g in sorted(groups)))]
        free = NONE.union(*(n.free for n in (*conds, *(a for a, _ in factors), *(e for _, e in binders))))
        fresh = self._names(base, free - {v for v, _ in binders})
        names = [next(fresh) for _ in binders]
        found = [self.renamed(mono, dict(zip(order, names, strict=True))) for order in orders]
        return found[0] if len(found) == 1 else min(found, key=lambda f: [(self._text(m).key, c) for m, c in f.items()])

    def _colour(self, mono: Mono, var: str, extent: Node) -> str:
        """How a bound index occurs, whatever indices are called."""
        other = {v: t.sym("@" if v == var else "?") for v, _ in mono[0]}
        seen = []
        for node, e in (*((c, 0) for c in mono[1]), *mono[2]):
            if var in node.free:
                leaves = [n for n in t.walk(node) if var in n.free and n.tag in ("read", "size", "ge", "eq", "bool")]
                seen.append(f"{node.tag} {e} {sorted(t.substitute(n, other).key for n in leaves)}")
        return f"{t.substitute(extent, other).key} {sorted(seen)}"

    # From forms to terms

    def term(self, form: Form) -> Node:
        """The term that a form is: the same for equal forms."""
        parts = [(self._text(m), c) for m, c in self.ordered(form)]
        terms = [n if c == 1 else t.make("mul", t.num(c), n) if n is not ONE else t.num(c) for n, c in parts]
        return ZERO if not terms else terms[0] if len(terms) == 1 else t.make("add", *terms)

    def ordered(self, form: Form) -> list[tuple[Mono, Number]]:
        """The monomials, under canonical names, in the order of their texts."""
        form = self.canonical(form)
        return sorted(form.items(), key=lambda f: self._text(f[0]).key) if len(form) > 1 else list(form.items())

    def _text(self, mono: Mono) -> Node:
        found = self.texts.get(mono)
        if found is None:
            binders, conds, factors = mono
            atoms = sorted((a if e == 1 else t.make("pow", a, e) for a, e in factors), key=lambda n: n.key)
            found = ONE if not atoms else atoms[0] if len(atoms) == 1 else t.make("mul", *atoms)
            guard = sorted(conds, key=lambda c: c.key)
            where = TRUE if not guard else guard[0] if len(guard) == 1 else t.make("and", *guard)
            if guard and not binders:
                found = t.make("select", where, found, ZERO)
            for var, extent in sorted(binders, key=lambda b: (len(b[0]), b[0])):
                found, where = t.make("reduce", "sum", var, extent, where, found), TRUE
            self.texts[mono] = found
        return found

    # What may be 0 throughout

    def vanishes(self, atom: Node, ranges: Mapping[str, Node]) -> bool:
        """Whether an atom may be 0 at every point of some size; True where nothing is known.

        At one size an atom that is no size is an unknown of its own. What is positive where all unknowns are positive
        does not vanish, nor does a sum of which one part is so and reads a tensor that no other part reads.
        """
        if self._bright(atom, 1, ranges) == 2:
            return False
        form = self.form(atom) if is_sum(atom) else {}
        for mono in form:
            others = {n for m in form if m is not mono for n in _tensors(m)}
            if self._brightness(mono, 1, ranges) == 2 and any(
                a.tag == "read" and a.args[0] not in others | {n for b, _ in mono[2] if b is not a for n in _reads(b)}
                for a, _ in mono[2]
            ):
                return False
        return True

    def _bright(self, atom: Node, e: Number, ranges: Mapping[str, Node]) -> int:
        """2: positive where all unknowns are positive; 1: not negative there; 0: nothing is known."""
        if is_size(atom):
            p = atom.args[0]
            return 2 if self.surely(t.plus(p, t.const(-1)), ranges) else 1 if e > 0 and self.surely(p, ranges) else 0
        if is_sum(atom):
            signs = [self._brightness(m, c, ranges) for m, c in self.form(atom).items()]
            return 0 if not signs or 0 in signs or (e < 0 and 2 not in signs) else max(signs)
        # log n is 0 where n = 1, sin(n * x[i]) where n = 0: only of what is read, or an exponential, it is an unknown
        inside = atom.args[-1] if atom.tag in ("call", "reduce") and not is_exp(atom) else atom
        return 2 if inside.tag == "read" or (isinstance(inside, Node) and is_exp(inside)) else 0

    def _brightness(self, mono: Mono, c: Number, ranges: Mapping[str, Node]) -> int:
        inside = {**ranges, **dict(mono[0])}
        sign = min((self._bright(a, e, inside) for a, e in mono[2]), default=2) if c > 0 else 0
        bound = {v for v, _ in mono[0]}
        some = all(e.free.isdisjoint(bound) and self.surely(t.plus(e, t.const(-1)), ranges) for _, e in mono[0])
        return sign if some and not mono[1] else min(sign, 1)


def _collapsed(part: Any) -> str:
    if not isinstance(part, Node):
        return str(part)
    parts = part.args[:1] if part.tag in ("read", "bool") else part.args if part.tag != "poly" else ()
    return f"({part.tag} {' '.join(map(_collapsed, parts))})"


def _reads(node: Node) -> set[str]:
    return {n.args[0] for n in t.walk(node) if n.tag in ("read", "bool")}


def _tensors(mono: Mono) -> set[str]:
    return {name for n in (*(a for a, _ in mono[2]), *mono[1]) for name in _reads(n)}


def _given(form: Form, cond: Node, never: Node | None) -> Form:
    out: Form = {}
    for (binders, conds, factors), c in form.items():
        if never not in conds:
            accumulate(out, {(binders, conds - {cond}, factors): c})
    return out


def _root(value: Fraction) -> Fraction | None:
    top, bottom = isqrt(value.numerator), isqrt(value.denominator)
    return Fraction(top, bottom) if top * top == value.numerator and bottom * bottom == value.denominator else None
