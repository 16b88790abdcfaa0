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

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction

from . import terms as t
from .calculus import FUNCTIONS, STEPS, simpler
from .monomials import (
    HALF,
    MOST,
    NONE,
    Form,
    Number,
    accumulate,
    canonical_names,
    collapses,
    constant,
    depth,
    exact_root,
    given,
    is_exp,
    is_size,
    less,
    of_atom,
    of_cond,
    plus,
    raised,
    reads,
    scaled,
    text,
)
from .sums import Sums
from .terms import FALSE, TRUE, ZERO, Node, Refused
from .vanishing import vanishes


class Normal(Sums):
    """Normal forms where integers are known to satisfy something.

    Away from ties of entries of the tensors in `generic` [p < 0] is 1 - [p > 0].
    """

    def __init__(
        self,
        lower: Mapping[str, int],
        ranges: Mapping[str, Node],
        known: Sequence[Node] = (),
        generic: frozenset[str] = NONE,
    ) -> None:
        super().__init__(lower, ranges, known)
        self.generic = generic
        self.forms: dict[Node, Form] = {}

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
            return of_atom(term)
        if tag == "size":
            out: Form = {}
            for c, atoms in args[0].args:
                accumulate(out, self.product(of_atom(t.size(t.atom(a))) for a in atoms), c)
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
        return scaled(of_atom(t.make("call", fn, *map(self.term, forms))), sign)

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
            name = next(canonical_names(max(depth(guard), depth(body)), (guard.free | body.free) - {var}))
            away = {var: t.sym(name)}
            body = self.term(self.form(t.substitute(body, away)))
            guard, var = self._condition(self.where(t.substitute(guard, away))), name
        return of_atom(t.make("reduce", kind, var, extent, guard, body))

    def _condition(self, form: Form) -> Node:
        if len(form) == 1 and (found := next(iter(form.items())))[1] == 1 and not found[0][0] and not found[0][2]:
            return t.both(*sorted(found[0][1], key=lambda c: c.key))
        return TRUE if form == constant(1) else t.make("lt", ZERO, self.term(form)) if form else FALSE

    # Powers

    def power(self, form: Form, e: Number) -> Form:
        """A power of a form: negative and fractional ones where it is not 0, or not negative."""
        if e == int(e) and e >= 0:
            return self.product([form] * int(e))
        return self.cases([form], lambda parts: self._power(parts[0], Fraction(e)))

    def _power(self, form: Form, e: Fraction) -> Form:
        form = self.canonical(form)
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
            root = exact_root(Fraction(scale)) if e.denominator == 2 else None
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
            if e > 0 or (e and (all(dict(m[2]).get(a, 0) < 0 for m in form) or not vanishes(self, a, {})))
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
                factors.append((t.make("call", "exp", text(mono)), c))
        return self.times(self.monomial(NONE, NONE, factors), more)

    def _log(self, form: Form) -> Form:
        form = self.canonical(form)
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
                inside = self.times(inside, of_atom(atom, e))
        for part in (constant(scale), inside):
            if part != constant(1):
                accumulate(out, of_atom(t.make("call", "log", self.term(part))))
        return out

    # Conditions

    def where(self, cond: Node) -> Form:
        """1 where the condition holds, else 0."""
        tag, args = cond.tag, cond.args
        if tag == "truth":
            return constant(args[0])
        if tag == "not":
            return less(self.where(args[0]))
        if tag == "and":
            return self.product(map(self.where, args))
        if tag == "or":
            return less(self.product(self.where(t.make("not", a)) for a in args))
        if tag in ("lt", "le", "same"):
            apart = plus(self.form(args[1]), scaled(self.form(args[0]), -1))
            above = self.sign(apart, 1) if tag != "le" else {}
            below = self.sign(apart, -1) if tag != "lt" else {}
            return above if tag == "lt" else less(plus(above, below))
        return of_cond(cond)

    def sign(self, form: Form, sign: int) -> Form:
        """[form > 0] for the sign 1, [form < 0] for -1."""
        return self.cases([form], lambda parts: self._sign(self.canonical(parts[0]), sign))

    def _sign(self, form: Form, sign: int) -> Form:
        if form:
            scale, _, form = self.content(form, self.above_zero)
            sign = sign if scale > 0 else -sign
        if form == constant(1) or not form:
            return constant(int(bool(form) and sign > 0))
        p = self.term(form)
        if not self.generic.isdisjoint(reads(p)):
            if any(n.args[0] in STEPS or (n.tag == "reduce" and n.args[0] != "sum") for n in t.walk(p) if n.args):
                raise Refused("a comparison with an optimum or a step: no point is away from its ties")
            if collapses(form, self.generic):
                raise Refused("a comparison of entries that may be one and the same")
            if sign < 0:
                return less(self._sign(form, 1))
        return of_cond(t.make("lt", *((ZERO, p) if sign > 0 else (p, ZERO))))

    def cases(self, forms: list[Form], build: Callable[[list[Form]], Form]) -> Form:
        """build(forms), the conditions in the forms (that say nothing of bound indices) outside of it."""
        for form in forms:
            for binders, conds, _ in form:
                free = [c for c in conds if c.free.isdisjoint(v for v, _ in binders)]
                if not free:
                    continue
                cond = min(free, key=lambda c: c.key)
                never = t.make("lt", *reversed(cond.args)) if cond.tag == "lt" else None
                yes = [given(f, cond, never) for f in forms]
                no = [{m: c for m, c in f.items() if cond not in m[1]} for f in forms]
                holds = of_cond(cond)
                fails = less(holds)
                return plus(self.times(holds, self.cases(yes, build)), self.times(fails, self.cases(no, build)))
        return build(forms)
