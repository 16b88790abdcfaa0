"""The normal form of terms: sums of monomials with their binders hoisted. [trusted kernel]

`normal(term)` is a polynomial: monomial -> rational coefficient. A monomial is
`sum over binders, where guards hold, of a product of atoms to rational powers`. The laws that it uses, and no others:

- commutative ring laws; `sum` is linear, sums multiply out (with bound indices renamed apart), an unused binder is its
  extent, `[i = e]` under `sum(i)` substitutes e for i and leaves `0 <= e < extent` behind (SPORES, VLDB 2020);
- `t^a * t^b = t^(a+b)`, `1/(a*b) = 1/a * 1/b`, `e^(a+b) = e^a * e^b`, `e^(log t) = t`, `log(e^a * t) = a + log t`,
  `sqrt(e^a * t) = e^(a/2) * sqrt t`, `sqrt(s * t) = sqrt s * sqrt t` for a sum of squares s,
  `cos^2 = 1 - sin^2`, what is odd or even is (sin, cos, erf, ...: functions.py);
- what is positive is left out of a sign: `[e^a t > 0] = [t > 0]`, `[p e^a > q e^b] = [a + log p > b + log q]`,
  `[t / n > 0] = [t > 0]` for a size n >= 1;
- an indicator of a real condition is a sum of `[p > 0]` and `[p < 0]`, which are idempotent and exclude each other;
  a function of a selection is the selection of the function;
- `prod(i | i = e) f_i` is f_e where e is in the range and meets the other conditions, and 1 elsewhere;
  `prod(i) e^(f_i) = e^(sum(i) f_i)`;
- `(sum_j f_j)^e * sum_j f_j = (sum_j f_j)^(e + 1)` for e < 0, where j is in no other factor and has a place in its
  range.

An equality that it shows holds at every point where both terms are defined. Why cancelling `t * t^-1` is sound there:
where the factor is evaluated, t != 0 because the term is defined; where it is not, an indicator beside it is 0 (replace
the reads by x + epsilon: the identity holds between Laurent series, the terms with a zero indicator vanish, the others
have the real values as their limits). No rule uses an indicator to rewrite the factors beside it, which is what that
argument needs. Each cancelled base is reported all the same (`Trace.cancelled`).

Sizes can't be moved by an epsilon, and may be 0 unless the context says otherwise: `n * 1/n` is `[n != 0]`, since it
may be what is left of `sum(i < n) 1/n`. So no rule cancels, or multiplies by, what may be 0 at *every* point of some
size (vanishing.py: sizes, sums that may be empty) unless the condition that it does not stays behind.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from fractions import Fraction
from math import floor

from gradproof.compiler.dims import Poly
from gradproof.compiler.functions import FUNCTIONS
from gradproof.compiler.rewriting import substitute, substitute_cond
from gradproof.compiler.terms import (
    ONE,
    Add,
    And,
    Call,
    IntCmp,
    Mul,
    Num,
    Pow,
    Read,
    Reduce,
    Select,
    Size,
    Term,
    both,
    call,
    in_range,
    mul,
    neg,
    select,
)
from gradproof.verifier.algebra import Trace, of_poly
from gradproof.verifier.conditions import indicator, split
from gradproof.verifier.forms import (
    LIMIT,
    UNIT,
    Atom,
    Binder,
    Form,
    Guard,
    Monomial,
    Number,
    TooLarge,
    accumulate,
    atom,
    constant,
    fresh_name,
    number,
    of_atom,
    of_frozen,
    plus,
    rough,
    scaled,
)
from gradproof.verifier.naming import apart, canonical, freeze, thaw
from gradproof.verifier.nested import merged
from gradproof.verifier.powers import exp, inverse, log, opaque, root
from gradproof.verifier.quotients import settled
from gradproof.verifier.ranges import Context
from gradproof.verifier.substitution import substituted, substituted_monomial
from gradproof.verifier.summation import simplified, where_nonzero


class Normalizer:
    """Normal forms in one context (lower bounds of sizes, ranges of free indices).

    `generic` names tensors: a real condition on their entries is taken to have two different sides, so that [p < 0] is
    1 - [p > 0]. (A condition on anything else may tie at every point.)
    """

    def __init__(self, context: Context, generic: frozenset[str] = frozenset()) -> None:
        self.context, self.generic = context, generic
        self.trace = Trace()
        self.apart = False  # whether `generic` holds only where no two entries that are compared can coincide
        self.narrowing = True  # whether a guard that moves an end of a range becomes part of the range
        self._memo: dict[Term, Form] = {}

    def normal(self, term: Term) -> Form:
        """The normal form of a term, its bound indices under canonical names."""
        return canonical(self.form(term))

    def form(self, term: Term) -> Form:
        """The form of a term; bound indices have names of their own."""
        known = self._memo.get(term)
        if known is None:
            known = self._memo[term] = self._form(term)
        return apart(known)

    def _form(self, term: Term) -> Form:
        match term:
            case Num(value):
                return constant(value)
            case Size(poly):
                return of_poly(self.context, poly)
            case Read(tensor, index):
                return of_atom(atom("read", tensor, tuple(settled(p, self.context) for p in index)))
            case Add(args):
                return plus(*map(self.form, args))
            case Mul(args):
                return self.product(map(self.form, args))
            case Pow(base, exponent):
                return self.product(self.power(self.form(b), e) for b, e in _apart(base, exponent))
            case Call(fn, args):
                return self._call(fn, args)
            case Select(cond, then, other):
                below = self.form(other)
                difference = plus(self.form(then), scaled(below, -1))
                return plus(below, self.times(indicator(self, cond), difference))
            case Reduce("sum", var, extent, guard, body):
                return self.summed(var, extent, self.times(indicator(self, guard), self.form(body)))
            case Reduce():
                return self._fold(term)

    def _call(self, fn: str, args: tuple[Term, ...]) -> Form:
        forms = [self.form(a) for a in args]
        match fn:
            case "exp":
                return split(self, forms, lambda parts: exp(self, parts[0]))
            case "log":
                return split(self, forms, lambda parts: log(self, parts[0]))
            case "sqrt":
                if isinstance(args[0], Mul) and (squares := [a for a in args[0].args if _of_squares(a)]):
                    rest = [a for a in args[0].args if a not in squares]
                    parts = [*squares, *([mul(*rest)] if rest else [])]
                    if len(parts) > 1:
                        return self.product(self._call("sqrt", (one,)) for one in parts)
                return split(self, forms, lambda parts: root(self, parts[0]))
        function = FUNCTIONS[fn]
        unfold = function.unfold
        if function.even and unfold is not None and forms[0] and freeze(forms[0])[0][1] < 0:
            args = (neg(args[0]),)
        if function.symmetric:
            # max(d, 0) and max(0, d) must unfold alike; names that are bound in one of two equal terms don't count.
            pairs = sorted(zip(forms, args, strict=True), key=lambda pair: rough(pair[0]), reverse=True)
            args = tuple(arg for _, arg in pairs)
        simpler = None if unfold is None else unfold(*args)
        if simpler is not None:
            return self.form(simpler)
        return split(self, forms, lambda parts: opaque(fn, parts))

    def summed(self, var: str, extent: Poly, body: Form) -> Form:
        """The sum of body over 0 <= var < extent."""
        out: Form = {}
        for monomial, coefficient in body.items():
            name = fresh_name()
            for renamed, c in substituted_monomial(self, monomial, {var: Poly.sym(name)}).items():
                inner = self.simplify([(name, extent), *renamed.binders], set(renamed.guards), list(renamed.factors))
                accumulate(out, inner, coefficient * c)
        return out

    def _fold(self, term: Reduce) -> Form:
        """max, min or prod: an opaque atom over the canonical form of its body."""
        flat = merged(term, self.context)
        if flat is not None:
            return self.form(flat)
        length = term.extent.constant
        if term.kind == "prod" and length is not None and length <= 8:
            whole = select(term.guard, term.body, ONE)
            return self.product(self.form(substitute(whole, {term.var: Poly.of(k)})) for k in range(length))
        named = _named(term) if term.kind == "prod" else None
        if named is not None:
            only = {term.var: named}
            met = both(in_range(named, term.extent), substitute_cond(term.guard, only))
            return self.form(select(met, substitute(term.body, only), ONE))
        if term.kind == "prod" and isinstance(term.body, Call) and term.body.fn == "exp":
            return self.form(call("exp", replace(term, kind="sum", body=term.body.args[0])))
        body = freeze(self.form(term.body))
        condition = freeze(indicator(self, term.guard))
        height = max(of_frozen(body)[0], of_frozen(condition)[0]) + 1
        rename = {term.var: Poly.sym(f"%{height}.f")}
        body = freeze(substituted(self, thaw(body), rename))
        condition = freeze(substituted(self, thaw(condition), rename))
        # Pad the height so that the name is right whatever the substitution did to the inside.
        if max(of_frozen(body)[0], of_frozen(condition)[0]) + 1 != height:
            raise TooLarge("a fold whose body changes height under renaming")
        return of_atom(atom("fold", term.kind, term.extent, body, condition))

    def product(self, forms: Iterable[Form]) -> Form:
        """The product of several forms."""
        out = constant(1)
        for form in forms:
            out = self.times(out, form)
        return out

    def times(self, a: Form, b: Form) -> Form:
        """The product of two forms whose bound indices have different names."""
        if len(a) * len(b) > LIMIT:
            raise TooLarge(f"{len(a) * len(b)} monomials")
        out: Form = {}
        for m1, c1 in a.items():
            for m2, c2 in b.items():
                accumulate(out, self._join(m1, m2), c1 * c2)
        return out

    def _join(self, m1: Monomial, m2: Monomial) -> Form:
        if m1 is UNIT or m1 == UNIT:
            return {m2: 1}
        if m2 == UNIT:
            return {m1: 1}
        return self.monomial((*m1.binders, *m2.binders), m1.guards | m2.guards, (*m1.factors, *m2.factors))

    def power(self, base: Form, exponent: int) -> Form:
        """An integer power; renames bound indices apart for every factor."""
        if exponent < 0:
            return split(self, [base], lambda parts: self.power(inverse(self, parts[0]), -exponent))
        out = constant(1)
        for _ in range(exponent):
            out = self.times(out, apart(base))
        return out

    def monomial(
        self, binders: Iterable[Binder], guards: Iterable[Guard], factors: Iterable[tuple[Atom, Number]]
    ) -> Form:
        """The form of one monomial: factors merged, sums simplified."""
        powers: dict[Atom, Number] = {}
        negative: set[Atom] = set()
        for one, exponent in factors:
            if exponent < 0:
                negative.add(one)
            powers[one] = number(powers.get(one, 0) + exponent)
        expand: list[tuple[Atom, int]] = []
        squares: list[tuple[Atom, int]] = []
        kept: list[tuple[Atom, Number]] = []
        nonzero: list[Poly] = []
        scale: Number = 1
        for one, exponent in powers.items():
            if one.kind in ("pos", "neg", "bool"):
                if one.kind == "pos" and atom("neg", one.parts[0]) in powers:
                    return {}
                kept.append((one, 1))
            elif exponent == 0:
                if one in negative and one.kind != "exp":
                    self.trace.cancelled.add(one)
                if one.kind == "size":
                    nonzero.append(Poly.atom(one.parts[0]))
            elif one.kind == "base" and isinstance(exponent, int) and exponent > 0:
                expand.append((one, exponent))
            elif exponent >= 2 and isinstance(exponent, int) and _in_squares(one, powers):
                squares.append((one, exponent // 2))
                kept += [(one, 1)] if exponent % 2 else []
            elif one.kind == "base" and one.parts[0][0][0] == UNIT and len(one.parts[0]) == 1:
                # The root of a number: 2^(-3/2) is 2^-2 * 2^(1/2).
                whole = floor(exponent)
                scale = scale * Fraction(one.parts[0][0][1]) ** whole
                kept += [(one, number(exponent - whole))] if exponent != whole else []
            else:
                kept.append((one, exponent))
        kept.sort(key=lambda f: f[0].id)
        form = self.simplify(list(binders), set(guards), kept)
        if scale != 1:
            form = scaled(form, scale)
        for one, exponent in expand:
            form = self.times(form, self.power(thaw(one.parts[0]), exponent))
        for one, exponent in squares:
            (other,) = opaque("sin" if one.parts[0] == "cos" else "cos", [thaw(one.parts[1][0])])
            square = Monomial((), frozenset(), ((other.factors[0][0], 2),))
            for _ in range(exponent):
                form = self.times(form, {UNIT: 1, square: -1})
        for poly in nonzero:
            form = where_nonzero(self, poly, form)
        return form

    def simplify(self, binders: list[Binder], guards: set[Guard], factors: list[tuple[Atom, Number]]) -> Form:
        """The form of a monomial whose factors are merged: what can be eliminated from one sum is."""
        return simplified(self, binders, guards, factors)


def _named(term: Reduce) -> Poly | None:
    """The one value of the bound index that a condition of the reduction names."""
    for cond in term.guard.args if isinstance(term.guard, And) else (term.guard,):
        linear = cond.poly.linear_in(term.var) if isinstance(cond, IntCmp) and cond.rel == "==" else None
        if linear is not None and abs(linear[0].constant or 0) == 1:
            return -linear[1] * int(linear[0].constant or 1)
    return None


def _of_squares(term: Term) -> bool:
    """Whether a term is nowhere negative by its form: sums of squares, and what they are multiplied or divided by."""
    match term:
        case Num(value):
            return value >= 0
        case Pow(base, exponent):
            return exponent % 2 == 0 or _of_squares(base)
        case Add(args) | Mul(args):
            return all(map(_of_squares, args))
        case Reduce("sum", _, _, _, body):
            return _of_squares(body)
        case Call(fn, _):
            return fn in ("exp", "abs", "sqrt")
        case _:
            return False


def _in_squares(one: Atom, powers: dict[Atom, Number]) -> bool:
    """Whether a square is written by the other one of sin and cos: cos^2 is, and sin^2 over a power of cos."""
    if one.kind != "fn" or one.parts[0] not in ("sin", "cos"):
        return False
    return one.parts[0] == "cos" or powers.get(atom("fn", "cos", one.parts[1]), 0) < 0


def _apart(base: Term, exponent: int) -> Iterator[tuple[Term, int]]:
    """The factors of a power; of a denominator before it is multiplied out, which would hide what they are."""
    match base:
        case Mul(args) if exponent < 0:
            for one in args:
                yield from _apart(one, exponent)
        case Pow(inner, more) if exponent < 0 < more:
            yield from _apart(inner, more * exponent)
        case _:
            yield base, exponent
