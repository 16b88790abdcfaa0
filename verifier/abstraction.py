"""Forms as terms without binders, and what Z3 shows of them by cases on conditions of reals. [trusted kernel]"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from itertools import islice, product
from typing import TypeAlias

from gradproof.compiler.dims import Poly
from gradproof.compiler.rewriting import substitute_cond
from gradproof.compiler.terms import (
    ONE,
    TRUE,
    ZERO,
    BoolRead,
    Cond,
    IntCmp,
    Read,
    RealCmp,
    Term,
    add,
    both,
    either,
    mul,
    negate,
    num,
    power,
    select,
)
from gradproof.verifier.forms import Atom, Binder, Form, Guard, Monomial, Number, accumulate
from gradproof.verifier.normal import Normalizer
from gradproof.verifier.quotients import FEW
from gradproof.verifier.ranges import Context

SIGNLESS = ("exp", "pos", "neg", "bool")  # atoms that are never below 0
Everywhere: TypeAlias = Sequence[tuple[Mapping[str, Poly], Cond]]  # conditions at all indices below these extents


class Abstraction:
    """A form as a term without binders: each atom becomes one unknown real, conditions keep their inside.

    What is kept of an atom: an exponential is positive, grows, and lies above its tangent at 0, a logarithm lies below
    its tangent at 1, a root is not negative, a base times its inverse is 1; a sum of what is not negative is not, and a
    count is at least 1 where an index is known that is counted. `context` is that of the form, within its own binders.
    """

    def __init__(self, work: Normalizer, context: Context | None = None) -> None:
        self.work = work
        self.context = work.context if context is None else context
        self.facts: list[Cond] = []
        self._seen: dict[object, Term] = {}
        self._exps: list[tuple[Term, Term]] = []

    def term(self, form: Form) -> Term:
        """The form as a term."""
        return add(*(self._monomial(m, c) for m, c in form.items()))

    def cond(self, cond: Cond) -> Cond:
        """A condition on reals, its sides through the normal form."""
        match cond:
            case RealCmp(rel, a, b):
                return RealCmp(rel, self.term(self.work.normal(a)), self.term(self.work.normal(b)))
            case _:
                return TRUE

    def _monomial(self, monomial: Monomial, coefficient: Number) -> Term:
        if monomial.binders or monomial.guards:
            return mul(num(Fraction(coefficient)), self._unknown(monomial))
        factors: list[Term] = [num(Fraction(coefficient))]
        conds: list[Cond] = []
        for one, exponent in monomial.factors:
            if one.kind in ("pos", "neg"):
                inside = self.term(dict(one.parts[0]))
                conds.append(RealCmp("<", ZERO, inside) if one.kind == "pos" else RealCmp("<", inside, ZERO))
            elif one.kind == "bool":
                conds.append(BoolRead(one.parts[0], one.parts[1]))
            else:
                factors.append(self._power(one, exponent))
        return select(both(*conds), mul(*factors), ZERO)

    def _power(self, one: Atom, exponent: Number) -> Term:
        if isinstance(exponent, int):
            if one.kind == "base":
                return power(self._base(one), exponent)
            return power(self._unknown(one), exponent)
        return power(self._root(one, Fraction(exponent)), Fraction(exponent).numerator)

    def _root(self, one: Atom, exponent: Fraction) -> Term:
        """t^(1/d) as an unknown r >= 0 with r^d = t (where t >= 0, which definedness says)."""
        key = (one, exponent.denominator)
        if key not in self._seen:
            root = Read(f"~root{len(self._seen)}", ())
            self._seen[key] = root
            inside = self._base(one) if one.kind == "base" else self._unknown(one)
            self.facts.append(RealCmp("<=", ZERO, root))
            self.facts.append(either(RealCmp("<", inside, ZERO), RealCmp("==", power(root, key[1]), inside)))
        return self._seen[key]

    def _base(self, one: Atom) -> Term:
        return self.term(dict(one.parts[0]))

    def _unknown(self, one: Atom | Monomial) -> Term:
        if one not in self._seen:
            value = self._seen[one] = Read(f"~{len(self._seen)}", ())
            if isinstance(one, Monomial):
                self._sums(one, value)
            elif one.kind == "exp":
                argument = self.term({one.parts[0]: 1})
                self.facts += [RealCmp("<", ZERO, value), RealCmp("<=", add(argument, ONE), value)]
                self._grows(argument, value)
            elif one.kind == "log":
                inside = self.term(dict(one.parts[0]))
                self.facts.append(either(RealCmp("<=", inside, ZERO), RealCmp("<=", add(value, ONE), inside)))
        return self._seen[one]

    def _sums(self, one: Monomial, value: Term) -> None:
        """What is known of a sum of products of which none is below 0."""
        if all(factor.kind in SIGNLESS or (isinstance(e, int) and e % 2 == 0) for factor, e in one.factors):
            self.facts.append(RealCmp("<=", ZERO, value))
        if len(one.binders) == 1 and not one.factors:
            ((name, extent),) = one.binders
            if self.context.inhabited(name, extent, both(*(IntCmp(rel, p) for rel, p in one.guards))):
                self.facts.append(RealCmp("<=", ONE, value))

    def _grows(self, argument: Term, value: Term) -> None:
        """e^t grows with t, and is 1 at 0: of a few."""
        for other, known in [(ZERO, num(1)), *self._exps] if len(self._exps) < FEW else []:
            for rel in ("<", "=="):
                self.facts.append(either(negate(RealCmp(rel, argument, other)), RealCmp(rel, value, known)))
            self.facts.append(either(negate(RealCmp("<", other, argument)), RealCmp("<", known, value)))
        self._exps.append((argument, value))


def same_cases(
    form: Form, work: Normalizer, facts: Sequence[Cond], timeout: float, everywhere: Everywhere = ()
) -> Form:
    """Drop each group of monomials under the same sums whose bodies add up to 0 at every point, by Z3."""
    from gradproof.verifier.smt import prove_real

    groups: dict[tuple[tuple[Binder, ...], frozenset[Guard]], Form] = {}
    for monomial, coefficient in form.items():
        key = (monomial.binders, monomial.guards)
        groups.setdefault(key, {})[Monomial((), frozenset(), monomial.factors)] = coefficient
    left: Form = {}
    for (binders, guards), body in groups.items():
        inside_of = work.context.with_ranges(dict(binders)).with_facts(IntCmp(rel, p) for rel, p in guards)
        abstraction = Abstraction(work, inside_of)
        goal = RealCmp("==", abstraction.term(body), ZERO)
        inside = [*facts, *_at_bound(everywhere, work.context, binders)]
        known = [*abstraction.facts, *(abstraction.cond(fact) for fact in inside)]
        if prove_real(goal, known, timeout).answer == "proved":
            continue
        accumulate(left, {Monomial(binders, guards, m.factors): c for m, c in body.items()})
    return left


def _at_bound(everywhere: Everywhere, context: Context, binders: Sequence[Binder]) -> Iterator[Cond]:
    """What holds at all indices, at the bound ones (and the free ones) whose ranges are as long."""
    bound = {v for v, _ in binders}
    places = {**context.ranges, **dict(binders)}
    for ranges, cond in everywhere:
        options = [[v for v, e in places.items() if e == extent] for extent in ranges.values()]
        for choice in islice(product(*options), FEW):
            if not bound.isdisjoint(choice):
                yield substitute_cond(cond, {n: Poly.sym(v) for n, v in zip(ranges, choice, strict=True)})
