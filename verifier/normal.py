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

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from math import floor, isqrt
from typing import Any

from gradproof.compiler.dims import Poly
from gradproof.compiler.functions import FUNCTIONS
from gradproof.compiler.rewriting import substitute, substitute_cond
from gradproof.compiler.terms import (
    ONE,
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
    in_range,
    mul,
    neg,
    select,
)
from gradproof.verifier.forms import (
    LIMIT,
    UNIT,
    Atom,
    Binder,
    Form,
    Guard,
    Monomial,
    NotGeneric,
    Number,
    TooLarge,
    accumulate,
    atom,
    can_stay_equal,
    constant,
    contains,
    fresh_name,
    leading_coefficient,
    may_collapse,
    number,
    of_frozen,
    oriented,
    oriented_sign,
    plus,
    rough,
    scaled,
    tensors_in,
)
from gradproof.verifier.index_sets import drop_implied, impossible, narrow, solve_equality
from gradproof.verifier.naming import apart, canonical, collected, freeze, thaw
from gradproof.verifier.quotients import (
    Blocks,
    Change,
    Settling,
    into_blocks,
    moved,
    out_of_blocks,
    quotients,
    quotients_in,
    settled,
)
from gradproof.verifier.ranges import Context
from gradproof.verifier.vanishing import vanishes


@dataclass(slots=True)
class Trace:
    """What a normalisation leaned on: the bases that were cancelled, as atoms."""

    cancelled: set[Atom] = field(default_factory=set)


MOVES = 4000  # changes of blocks and quotients in one proof: some undo each other without end


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
        self._moves = 0

    # Terms -----------------------------------------------------------------------------------------------------

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
                return self.of_poly(poly)
            case Read(tensor, index):
                return self.of_atom(atom("read", tensor, tuple(settled(p, self.context) for p in index)))
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
                return plus(below, self.times(self.indicator(cond), difference))
            case Reduce("sum", var, extent, guard, body):
                return self.summed(var, extent, self.times(self.indicator(guard), self.form(body)))
            case Reduce():
                return self._fold(term)

    def of_poly(self, poly: Poly) -> Form:
        """An integer expression as a real: a polynomial in its atoms."""
        out: Form = {}
        for monomial, coefficient in settled(poly, self.context).terms:
            factors = sorted(((atom("size", a), e) for a, e in monomial), key=lambda f: f[0].id)
            accumulate(out, {Monomial((), frozenset(), tuple(factors)): coefficient})
        return out

    def of_atom(self, one: Atom, exponent: Number = 1) -> Form:
        """One atom to a power."""
        return {Monomial((), frozenset(), ((one, exponent),)): 1}

    def _call(self, fn: str, args: tuple[Term, ...]) -> Form:
        forms = [self.form(a) for a in args]
        match fn:
            case "exp":
                return self.case_split(forms, lambda parts: self._exp(parts[0]))
            case "log":
                return self.case_split(forms, lambda parts: self._log(parts[0]))
            case "sqrt":
                if isinstance(args[0], Mul) and (squares := [a for a in args[0].args if _of_squares(a)]):
                    rest = [a for a in args[0].args if a not in squares]
                    parts = [*squares, *([mul(*rest)] if rest else [])]
                    if len(parts) > 1:
                        return self.product(self._call("sqrt", (one,)) for one in parts)
                return self.case_split(forms, lambda parts: self._root(parts[0]))
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
        return self.case_split(forms, lambda parts: self._opaque(fn, parts))

    def _opaque(self, fn: str, forms: list[Form]) -> Form:
        frozen = [freeze(f) for f in forms]
        sign = 1
        function = FUNCTIONS[fn]
        if (function.odd or function.even) and frozen[0] and frozen[0][0][1] < 0:
            frozen = [freeze(scaled(forms[0], -1))]
            sign = 1 if function.even else -1
        return scaled(self.of_atom(atom("fn", fn, tuple(frozen))), sign)

    # Products and powers ---------------------------------------------------------------------------------------

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
            return self.case_split([base], lambda parts: self.power(self._inverse(parts[0]), -exponent))
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
        form = self._simplify(list(binders), set(guards), kept)
        if scale != 1:
            form = scaled(form, scale)
        for one, exponent in expand:
            form = self.times(form, self.power(thaw(one.parts[0]), exponent))
        for one, exponent in squares:
            (other,) = self._opaque("sin" if one.parts[0] == "cos" else "cos", [thaw(one.parts[1][0])])
            square = Monomial((), frozenset(), ((other.factors[0][0], 2),))
            for _ in range(exponent):
                form = self.times(form, {UNIT: 1, square: -1})
        for poly in nonzero:
            form = self._where_nonzero(poly, form)
        return form

    def _where_nonzero(self, poly: Poly, form: Form) -> Form:
        """The form where an integer is not 0, and 0 elsewhere: what stays of a size that was cancelled."""
        if self.context.nonnegative(poly - 1):
            return form
        out: Form = {}
        for m, c in form.items():
            inside = self.context.with_ranges(dict(m.binders))
            for p in (poly,) if inside.nonnegative(poly) else (poly, -poly):
                accumulate(out, self._simplify(list(m.binders), {*m.guards, (">=", p - 1)}, list(m.factors)), c)
        return out

    def _inverse(self, base: Form) -> Form:
        base = collected(base)
        if not base:
            return {}
        coefficient, outside, inside = self.content(base, lambda _: True)
        factors = [(one, -exponent) for one, exponent in outside]
        if inside is not None:
            factors.append((atom("base", freeze(inside)), -1))
        return scaled(self.monomial((), (), factors), Fraction(1) / coefficient)

    def _root(self, base: Form) -> Form:
        base = collected(base)
        if not base:
            return {}
        coefficient, outside, inside = self.content(base, self._positive)
        half = Fraction(1, 2)
        factors: list[tuple[Atom, Number]] = []
        if coefficient < 0:
            inside = scaled(inside if inside is not None else constant(1), -1)
            coefficient = -coefficient
        exact = _exact_root(Fraction(coefficient))
        if exact is None:
            factors.append((atom("base", freeze(constant(coefficient))), half))
        factors += [(one, exponent * half) for one, exponent in outside]
        if inside is not None:
            factors += self._single(inside, half) or [(atom("base", freeze(inside)), half)]
        return scaled(self.monomial((), (), factors), exact if exact is not None else 1)

    def _single(self, form: Form, exponent: Fraction) -> list[tuple[Atom, Number]] | None:
        """The power of a form that is one atom to the power 1 or -1, or to a fractional power."""
        if len(form) != 1:
            return None
        ((monomial, coefficient),) = form.items()
        if coefficient != 1 or monomial.binders or monomial.guards or len(monomial.factors) != 1:
            return None
        one, inner = monomial.factors[0]
        if one.kind in ("pos", "neg", "bool"):
            return None
        if isinstance(inner, int) and inner % 2 == 0 and not self._positive(one):
            return None  # (t^2)^(1/2) is |t|
        return [(one, number(inner * exponent))]

    def content(
        self, form: Form, taken: Callable[[Atom], bool]
    ) -> tuple[Number, list[tuple[Atom, Number]], Form | None]:
        """(c, outside, inside) with form = c * product(outside) * inside; inside is None where it is 1.

        `taken` says which common atoms are taken out: each (for an inverse), what is non-negative for sure (under a
        root), what is positive for sure (under a sign). The coefficient is the leading one's: `inside` is monic.
        """
        common: dict[Atom, Number] | None = None
        for monomial in form:
            bound = {v for v, _ in monomial.binders}
            powers = {
                one: e
                for one, e in monomial.factors
                if not one.symbols & bound and one.kind not in ("pos", "neg", "bool") and taken(one)
            }
            if common is None:
                common = powers
            else:
                names = common.keys() | powers.keys()
                common = {one: min(common.get(one, 0), powers.get(one, 0)) for one in names}
        outside = [(one, e) for one, e in (common or {}).items() if e and (e > 0 or self._divides(one, form))]
        inside = form
        if outside:
            strip = [(one, -e) for one, e in outside]
            inside = {}
            for monomial, coefficient in form.items():
                stripped = self._strip(monomial, strip)
                accumulate(inside, stripped, coefficient)
        leading = leading_coefficient(freeze(inside))
        if inside.keys() == {UNIT}:
            return inside[UNIT], outside, None
        return leading, outside, scaled(inside, Fraction(1) / leading)

    def _divides(self, one: Atom, form: Form) -> bool:
        """Whether a negative power may be taken out: it stands in every monomial, or the others may be multiplied."""
        everywhere = all(any(a is one and e < 0 for a, e in m.factors) for m in form)
        return everywhere or not vanishes(one, self.context)

    def _strip(self, monomial: Monomial, strip: list[tuple[Atom, Number]]) -> Form:
        powers = dict(monomial.factors)
        for one, exponent in strip:
            powers[one] = number(powers.get(one, 0) + exponent)
        factors = sorted(((one, e) for one, e in powers.items() if e), key=lambda f: f[0].id)
        return self._simplify(list(monomial.binders), set(monomial.guards), factors)

    def _positive(self, one: Atom) -> bool:
        return one.kind == "exp" or (one.kind == "size" and self.context.nonnegative(Poly.atom(one.parts[0])))

    def _above_zero(self, one: Atom) -> bool:
        return one.kind == "exp" or (one.kind == "size" and self.context.nonnegative(Poly.atom(one.parts[0]) - 1))

    # Exponentials and logarithms -------------------------------------------------------------------------------

    def _exp(self, argument: Form) -> Form:
        factors: list[tuple[Atom, Number]] = []
        for monomial, coefficient in canonical(argument).items():
            match monomial.factors:
                case ((one, 1),) if one.kind == "log" and not monomial.binders and not monomial.guards:
                    inner = thaw(one.parts[0])
                    if coefficient == 1 or coefficient == -1:
                        power = inner if coefficient == 1 else self._inverse(inner)
                        rest = [item for item in canonical(argument).items() if item[0] != monomial]
                        return self.times(power, self._exp(dict(rest)))
                    single = self._single(inner, Fraction(coefficient))
                    factors += single or [(atom("base", freeze(inner)), coefficient)]
                case _:
                    factors.append((atom("exp", monomial), coefficient))
        return self.monomial((), (), factors)

    def _log(self, argument: Form) -> Form:
        argument = collected(argument)
        if not argument:
            return {}
        coefficient, outside, inside = self.content(argument, self._positive)
        out: Form = {}
        left: list[tuple[Atom, Number]] = []
        for one, exponent in outside:
            if one.kind == "exp":
                accumulate(out, apart({one.parts[0]: 1}), exponent)
            else:
                left.append((one, exponent))
        inner = inside if inside is not None else constant(1)
        if coefficient < 0:
            inner, coefficient = scaled(inner, -1), -coefficient
        inner = self.times(inner, self.monomial((), (), left)) if left else inner
        if coefficient != 1:
            accumulate(out, self.of_atom(atom("log", freeze(constant(coefficient)))))
        if inner != constant(1):
            accumulate(out, self.of_atom(atom("log", freeze(inner))))
        return out

    # Conditions ------------------------------------------------------------------------------------------------

    def indicator(self, cond: Cond) -> Form:
        """1 where the condition holds, else 0."""
        match cond:
            case Truth(value):
                return constant(int(value))
            case IntCmp(rel, poly):
                poly = settled(poly, self.context)
                if poly.constant is not None:
                    return constant(int(poly.constant >= 0 if rel == ">=" else poly.constant == 0))
                return {Monomial((), frozenset({(rel, oriented(rel, poly))}), ()): 1}
            case BoolRead(tensor, index):
                return self.of_atom(atom("bool", tensor, tuple(settled(p, self.context) for p in index)))
            case Not(arg):
                return plus(constant(1), scaled(self.indicator(arg), -1))
            case And(args):
                return self.product(map(self.indicator, args))
            case Or(args):
                none = self.product(plus(constant(1), scaled(self.indicator(a), -1)) for a in args)
                return plus(constant(1), scaled(none, -1))
            case RealCmp(rel, a, b):
                difference = plus(self.form(b), scaled(self.form(a), -1))
                if rel == "<":
                    return self.sign_is("pos", difference)
                below = self.sign_is("neg", difference)
                if rel == "<=":
                    return plus(constant(1), scaled(below, -1))
                return plus(constant(1), scaled(below, -1), scaled(self.sign_is("pos", difference), -1))

    def sign_is(self, sign: str, form: Form) -> Form:
        """The indicator of form > 0 ("pos") or form < 0 ("neg")."""
        return self.case_split([form], lambda parts: self._sign_is(sign, parts[0]))

    def _sign_is(self, sign: str, form: Form) -> Form:
        form = collected(form)
        if form:
            # What is positive wherever it stands does not change a sign: [v/n > 0] is [v > 0] for n >= 1.
            leading, _, inside = self.content(form, self._above_zero)
            form = scaled(inside if inside is not None else constant(1), leading)
        if form.keys() <= {UNIT}:
            value = form.get(UNIT, 0)
            return constant(int(value > 0 if sign == "pos" else value < 0))
        exponents = self._exponents(form) if len(form) == 2 else None
        if exponents is not None:
            return self.sign_is(sign, exponents)
        one = oriented_sign(sign, freeze(form))
        generic = bool(self.generic) and not self.generic.isdisjoint(tensors_in(one.parts[0]))
        if generic and can_stay_equal(one.parts[0]):
            # An optimum always equals one of its entries, and floor(x) = 0 has inner points: no point is generic.
            raise NotGeneric("a comparison with an optimum or a step function")
        if generic and self.apart and may_collapse(one.parts[0], self.generic):
            raise NotGeneric("a comparison of entries that may be one and the same")
        if generic and one.kind == "neg":
            return plus(constant(1), scaled(self.of_atom(atom("pos", one.parts[0])), -1))
        return self.of_atom(one)

    def _exponents(self, form: Form) -> Form | None:
        """What has the sign of p e^a - q e^b: a - b + log(p/q), or less that where p < 0 < q."""
        out: Form = {}
        (_, p), (_, q) = form.items()
        if p * q > 0:
            return None
        for monomial, coefficient in form.items():
            if monomial.binders or monomial.guards or any(one.kind != "exp" for one, _ in monomial.factors):
                return None
            for one, exponent in monomial.factors:
                accumulate(out, apart({one.parts[0]: 1}), exponent if coefficient > 0 else -exponent)
        return plus(out, self._log(constant(-p / Fraction(q) if p > 0 else -q / Fraction(p))))

    def case_split(self, forms: list[Form], build: Callable[[list[Form]], Form]) -> Form:
        """build(forms), with every selection inside the forms moved outside of build."""
        for form in forms:
            for monomial in form:
                bound = {v for v, _ in monomial.binders}
                for one, _ in monomial.factors:
                    if one.kind in ("pos", "neg", "bool") and not one.symbols & bound:
                        return self._split_atom(forms, one, build)
                for guard in monomial.guards:
                    if not guard[1].symbols & bound:
                        return self._split_guard(forms, guard, build)
        return build(forms)

    def _split_atom(self, forms: list[Form], one: Atom, build: Callable[[list[Form]], Form]) -> Form:
        opposite = {"pos": "neg", "neg": "pos"}.get(one.kind)
        excluded = atom(opposite, one.parts[0]) if opposite else None

        def assume(form: Form, value: bool) -> Form:
            out: Form = {}
            for m, c in form.items():
                names = {a for a, _ in m.factors}
                if (one in names and not value) or (value and excluded is not None and excluded in names):
                    continue
                rest = tuple(f for f in m.factors if f[0] is not one)
                accumulate(out, {Monomial(m.binders, m.guards, rest): c})
            return out

        yes = self.of_atom(one)
        no = plus(constant(1), scaled(yes, -1))
        when = self.case_split([apart(assume(f, True)) for f in forms], build)
        unless = self.case_split([apart(assume(f, False)) for f in forms], build)
        return plus(self.times(yes, when), self.times(no, unless))

    def _split_guard(self, forms: list[Form], guard: Guard, build: Callable[[list[Form]], Form]) -> Form:
        def assume(form: Form, value: bool) -> Form:
            out: Form = {}
            for m, c in form.items():
                if guard in m.guards and not value:
                    continue
                accumulate(out, {Monomial(m.binders, m.guards - {guard}, m.factors): c})
            return out

        yes: Form = {Monomial((), frozenset({guard}), ()): 1}
        no = plus(constant(1), scaled(yes, -1))
        when = self.case_split([apart(assume(f, True)) for f in forms], build)
        unless = self.case_split([apart(assume(f, False)) for f in forms], build)
        return plus(self.times(yes, when), self.times(no, unless))

    # Binders ---------------------------------------------------------------------------------------------------

    def summed(self, var: str, extent: Poly, body: Form) -> Form:
        """The sum of body over 0 <= var < extent."""
        out: Form = {}
        for monomial, coefficient in body.items():
            name = fresh_name()
            for renamed, c in self.substitute_monomial(monomial, {var: Poly.sym(name)}).items():
                inner = self._simplify([(name, extent), *renamed.binders], set(renamed.guards), list(renamed.factors))
                accumulate(out, inner, coefficient * c)
        return out

    def _fold(self, term: Reduce) -> Form:
        """max, min or prod: an opaque atom over the canonical form of its body."""
        length = term.extent.constant
        if term.kind == "prod" and length is not None and length <= 8 and term.guard == Truth(True):
            return self.product(self.form(substitute(term.body, {term.var: Poly.of(k)})) for k in range(length))
        named = _named(term) if term.kind == "prod" else None
        if named is not None:
            only = {term.var: named}
            met = both(in_range(named, term.extent), substitute_cond(term.guard, only))
            return self.form(select(met, substitute(term.body, only), ONE))
        body = freeze(self.form(term.body))
        condition = freeze(self.indicator(term.guard))
        height = max(of_frozen(body)[0], of_frozen(condition)[0]) + 1
        rename = {term.var: Poly.sym(f"%{height}.f")}
        body = freeze(self.substitute(thaw(body), rename))
        condition = freeze(self.substitute(thaw(condition), rename))
        # Pad the height so that the name is right whatever the substitution did to the inside.
        if max(of_frozen(body)[0], of_frozen(condition)[0]) + 1 != height:
            raise TooLarge("a fold whose body changes height under renaming")
        return self.of_atom(atom("fold", term.kind, term.extent, body, condition))

    def _simplify(self, binders: list[Binder], guards: set[Guard], factors: list[tuple[Atom, Number]]) -> Form:
        """Eliminate what can be eliminated from one sum; equality guards first."""
        while True:
            guards = {g for g in self._settled(binders, guards) if g[1].constant is None or impossible(g)}
            if any(impossible(g) for g in guards) or any((e.constant or 1) < 1 or e == 0 for _, e in binders):
                return {}
            step = solve_equality(binders, guards) or (
                narrow(self.context, binders, guards) if self.narrowing else None
            )
            if step is None:
                settled_form = self._settle(binders, guards, factors)
                if settled_form is not None:
                    return settled_form
                addends = self._blocks(binders, guards, factors)
                if len(addends) > 1:
                    return plus(*(self._stepped(*addend, factors) for addend in addends))
                step = addends[0] if addends else None
            if step is None:
                break
            var, value, binders, guards = step
            if value is None:
                continue
            if any(var in one.symbols for one, _ in factors):
                return self._stepped(var, value, binders, guards, factors)
            mapping = {var: value}
            binders = [(v, e.substitute(mapping)) for v, e in binders]
            guards = {(rel, oriented(rel, p.substitute(mapping))) for rel, p in guards}
        guards = drop_implied(self.context, binders, guards)
        extra = constant(1)
        for binder in list(binders):
            var, extent = binder
            used = any(var in one.symbols for one, _ in factors) or any(var in p.symbols for _, p in guards)
            if used or any(var in e.symbols for _, e in binders) or not self._counts(extent, binders):
                continue
            binders.remove(binder)
            extra = self.times(extra, self.of_poly(extent))
        contracted = self._contract(binders, guards, factors)
        if contracted is not None:
            binders, guards, factors = contracted
            guards = drop_implied(self.context, binders, guards)
        if extra == constant(1):
            return {Monomial(tuple(binders), frozenset(guards), tuple(factors)): 1}
        out: Form = {}
        for m, c in extra.items():
            accumulate(out, self.monomial((*binders, *m.binders), guards | m.guards, (*factors, *m.factors)), c)
        return out

    def _stepped(
        self, var: str, value: Poly, binders: list[Binder], guards: set[Guard], factors: list[tuple[Atom, Number]]
    ) -> Form:
        """The sum with an index replaced by its value everywhere."""
        mapping = {var: value}
        binders = [(v, e.substitute(mapping)) for v, e in binders]
        guards = {(rel, oriented(rel, p.substitute(mapping))) for rel, p in guards}
        return self.changed(binders, guards, factors, mapping)

    def changed(
        self, binders: list[Binder], guards: set[Guard], factors: list[tuple[Atom, Number]], change: Change
    ) -> Form:
        """The sum with its factors changed; the binders and guards are so already."""
        changed = self.product(self._power_of(self.substitute_atom(one, change), e) for one, e in factors)
        out: Form = {}
        for m, c in changed.items():
            accumulate(out, self.monomial((*binders, *m.binders), guards | m.guards, m.factors), c)
        return out

    def _settle(self, binders: list[Binder], guards: set[Guard], factors: list[tuple[Atom, Number]]) -> Form | None:
        """The sum with every quotient inside its factors in canonical form; None where they are."""
        dims = frozenset[Any]().union(*(quotients_in(one) for one, _ in factors))
        inside = self.context.with_ranges(dict(binders)).with_facts(IntCmp(rel, p) for rel, p in guards)
        if all(settled(Poly.atom(dim), inside) == Poly.atom(dim) for dim in dims):
            return None
        self._move()
        change = Settling(inside, frozenset(n for dim in dims for n in Poly.atom(dim).symbols))
        return self.changed(binders, guards, factors, change)

    def _move(self) -> None:
        self._moves += 1
        if self._moves > MOVES:
            raise TooLarge("indices are taken apart and put together without end")

    def _settled(self, binders: list[Binder], guards: set[Guard]) -> set[Guard]:
        if not any(quotients(p) for _, p in guards):
            return guards
        inside = self.context.with_ranges(dict(binders))
        return {(rel, oriented(rel, settled(p, inside))) for rel, p in guards}

    def _blocks(self, binders: list[Binder], guards: set[Guard], factors: list[tuple[Atom, Number]]) -> list[Blocks]:
        """An index as two, where it is read in blocks; or two as one, where they are not."""
        atoms = [one for one, _ in factors]
        found = frozenset[Any]().union(*map(quotients_in, atoms), *(quotients(p) for _, p in guards))
        addends: list[Blocks] = []
        if found and binders:
            addends = into_blocks(self.context, binders, guards, found, (fresh_name(), fresh_name()))
        if addends:
            self._move()
        if addends or len(binders) < 2:
            return addends
        self._move()
        one = out_of_blocks(self.context, binders, guards, atoms, fresh_name())
        return [one] if one is not None else []

    def _counts(self, extent: Poly, binders: list[Binder]) -> bool:
        # An index that has a place in its range shows nothing about that range where it is the one to be removed.
        others = {v: e for v, e in binders if e != extent}
        return self.context.with_ranges(others).nonnegative(extent)

    def _contract(
        self, binders: list[Binder], guards: set[Guard], factors: list[tuple[Atom, Number]]
    ) -> tuple[list[Binder], set[Guard], list[tuple[Atom, Number]]] | None:
        """(sum_j f_j)^e * sum_j f_j put together, and [there is a j], where j is in no other factor and in no guard."""
        for one, exponent in factors:
            if one.kind != "base" or exponent >= 0 or len(one.parts[0]) != 1:
                continue
            pattern, coefficient = one.parts[0][0]
            if coefficient != 1 or pattern.guards or len(pattern.binders) != 1:
                continue
            inner, extent = pattern.binders[0]
            for var, own in binders:
                if (
                    own != extent
                    or any(var in p.symbols for _, p in guards)
                    or any(var in e.symbols for _, e in binders)
                ):
                    continue
                mine = [f for f in factors if var in f[0].symbols]
                if len(mine) != len(pattern.factors):
                    continue
                wanted = self.substitute_monomial(Monomial((), frozenset(), pattern.factors), {inner: Poly.sym(var)})
                if wanted == {Monomial((), frozenset(), tuple(sorted(mine, key=lambda f: f[0].id))): 1}:
                    self.trace.cancelled.add(one)
                    left = [f for f in factors if f not in mine]
                    left = [(a, number(e + 1)) if a is one else (a, e) for a, e in left]
                    kept = [(a, e) for a, e in left if e]
                    rest = [b for b in binders if b[0] != var]
                    some = guards | {(">=", extent - 1)}
                    again = self._contract(rest, some, kept)
                    return again if again is not None else (rest, some, kept)
        return None

    # Substitution and names ------------------------------------------------------------------------------------

    def substitute(self, form: Form, mapping: Change) -> Form:
        """Replace free sizes and indices in a form (its bound names must be apart from the mapping's)."""
        out: Form = {}
        for monomial, coefficient in form.items():
            accumulate(out, self.substitute_monomial(monomial, mapping), coefficient)
        return out

    def substitute_monomial(self, monomial: Monomial, mapping: Change) -> Form:
        """`substitute`, for one monomial."""
        if not monomial.symbols & mapping.keys():
            return {monomial: 1}
        binders = [(v, moved(e, mapping)) for v, e in monomial.binders]
        guards = {(rel, oriented(rel, moved(p, mapping))) for rel, p in monomial.guards}
        touched = [f for f in monomial.factors if f[0].symbols & mapping.keys()]
        if not touched:
            return self._simplify(binders, guards, list(monomial.factors))
        changed = self.product(self._power_of(self.substitute_atom(a, mapping), e) for a, e in touched)
        same = [f for f in monomial.factors if not f[0].symbols & mapping.keys()]
        out: Form = {}
        for m, c in changed.items():
            merged = self.monomial((*binders, *m.binders), guards | m.guards, (*same, *m.factors))
            accumulate(out, merged, c)
        return out

    def _power_of(self, form: Form, exponent: Number) -> Form:
        if exponent == 1:
            return form
        if isinstance(exponent, int):
            return self.power(form, exponent)
        form = collected(form)
        if not form:
            return {}  # a root of 0, or what is undefined
        single = self._single(form, Fraction(exponent))
        if single is None:
            single = [(atom("base", freeze(form)), exponent)]
        return self.monomial((), (), single)

    def substitute_atom(self, one: Atom, mapping: Change) -> Form:
        """An atom after substitution: a form, since a size may become a polynomial and a condition may be decided."""
        if not one.symbols & mapping.keys():
            return self.of_atom(one)
        match one.kind:
            case "read" | "bool":
                return self.of_atom(atom(one.kind, one.parts[0], tuple(moved(p, mapping) for p in one.parts[1])))
            case "size":
                return self.of_poly(moved(Poly.atom(one.parts[0]), mapping))
            case "pos" | "neg":
                return self.sign_is(one.kind, self.substitute(thaw(one.parts[0]), mapping))
            case "base":
                inner = collected(self.substitute(thaw(one.parts[0]), mapping))
                return self.of_atom(atom("base", freeze(inner))) if inner else {}
            case "log":
                inner = self.substitute(thaw(one.parts[0]), mapping)
                return self.case_split([inner], lambda parts: self._log(parts[0]))
            case "exp":
                inner = self.substitute(apart({one.parts[0]: 1}), mapping)
                return self.case_split([inner], lambda parts: self._exp(parts[0]))
            case "fn":
                inside = [self.substitute(thaw(a), mapping) for a in one.parts[1]]
                return self.case_split(inside, lambda parts: self._opaque(one.parts[0], parts))
            case _:
                kind, extent, body, condition = one.parts
                changed = [freeze(self.substitute(thaw(p), mapping)) for p in (body, condition)]
                if max(of_frozen(p)[0] for p in changed) + 1 != one.height:
                    raise TooLarge("a fold whose body changes height under substitution")
                return self.of_atom(atom("fold", kind, moved(extent, mapping), *changed))

    def replace(self, form: Form, old: Atom, new: Form) -> Form:
        """Replace an atom that binds nothing by a form, everywhere in a form, inside other atoms too."""
        out: Form = {}
        for monomial, coefficient in form.items():
            touched = [f for f in monomial.factors if contains(f[0], old)]
            if not touched:
                accumulate(out, {monomial: coefficient})
                continue
            changed = self.product(self._power_of(self._replaced(a, old, new), e) for a, e in touched)
            same = [f for f in monomial.factors if not contains(f[0], old)]
            for m, c in changed.items():
                merged = self.monomial((*monomial.binders, *m.binders), monomial.guards | m.guards, (*same, *m.factors))
                accumulate(out, merged, c * coefficient)
        return out

    def _replaced(self, one: Atom, old: Atom, new: Form) -> Form:
        if one is old:
            return apart(new)
        match one.kind:
            case "pos" | "neg":
                return self.sign_is(one.kind, self.replace(thaw(one.parts[0]), old, new))
            case "base":
                return self.replace(thaw(one.parts[0]), old, new)
            case "log":
                inner = self.replace(thaw(one.parts[0]), old, new)
                return self.case_split([inner], lambda parts: self._log(parts[0]))
            case "exp":
                inner = self.replace(apart({one.parts[0]: 1}), old, new)
                return self.case_split([inner], lambda parts: self._exp(parts[0]))
            case "fn":
                inside = [self.replace(thaw(a), old, new) for a in one.parts[1]]
                return self.case_split(inside, lambda parts: self._opaque(one.parts[0], parts))
            case _:
                raise TooLarge("a replacement inside an optimum")


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


def _exact_root(value: Fraction) -> Fraction | None:
    top, bottom = isqrt(value.numerator), isqrt(value.denominator)
    if top * top == value.numerator and bottom * bottom == value.denominator:
        return Fraction(top, bottom)
    return None
