"""Forms as terms without binders, and what Z3 shows of them by cases on conditions of reals. [trusted kernel]"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
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
from gradproof.verifier.forms import Atom, Binder, Form, Guard, Monomial, Number, accumulate, oriented, plus, scaled
from gradproof.verifier.naming import canonical
from gradproof.verifier.normal import Normalizer
from gradproof.verifier.quotients import FEW
from gradproof.verifier.ranges import Context
from gradproof.verifier.substitution import substituted_monomial

SIGNLESS = ("exp", "pos", "neg", "bool")  # atoms that are never below 0
SIGNS = {"pos": ">", "neg": "<", "": "=="}  # the sign that an atom is the condition of; that of no atom
Ranges: TypeAlias = tuple[tuple[Binder, ...], frozenset[Guard]]  # what a sum runs over
FEW_SIGNS = 4  # conditions in one form of which all signs are tried
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
            # What the bound indices do not occur in stands before the sum.
            bound = {v for v, _ in monomial.binders}
            inner = tuple(f for f in monomial.factors if f[0].symbols & bound)
            before = Monomial((), frozenset(), tuple(f for f in monomial.factors if f not in inner))
            whole = canonical({replace(monomial, factors=inner): coefficient})
            return add(*(mul(self._monomial(before, c), self._unknown(m)) for m, c in whole.items()))
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

    groups: dict[Ranges, list[tuple[Form, Monomial]]] = {}
    for monomial, coefficient in form.items():
        for key, body in _alike(monomial, work):
            groups.setdefault(key, []).append((scaled(body, coefficient), monomial))
    left: Form = {}
    for (binders, guards), members in groups.items():
        body = plus(*(part for part, _ in members))
        within = work.context.with_ranges(dict(binders)).with_facts(IntCmp(rel, p) for rel, p in guards)
        abstraction = Abstraction(work, within)
        goal = RealCmp("==", abstraction.term(body), ZERO)
        told = [*facts, *_at_bound(everywhere, work.context, binders)]
        known = [*abstraction.facts, *(abstraction.cond(fact) for fact in told)]
        if _by_signs(body, abstraction, known, timeout) or prove_real(goal, known, timeout).answer == "proved":
            continue
        left |= {monomial: form[monomial] for _, monomial in members}
    return left


def _alike(monomial: Monomial, work: Normalizer) -> Iterator[tuple[Ranges, Form]]:
    """A sum's ranges and body, its indices named by their places: a canonical name says what stands below, too."""
    names = {v: Poly.sym(f"~{k}.i") for k, (v, _) in enumerate(monomial.binders)}
    binders = tuple((f"~{k}.i", e.substitute(names)) for k, (_, e) in enumerate(monomial.binders))
    guards = frozenset((rel, oriented(rel, p.substitute(names))) for rel, p in monomial.guards)
    bodies: dict[Ranges, Form] = {}
    for m, c in substituted_monomial(work, Monomial((), frozenset(), monomial.factors), names).items():
        body = bodies.setdefault(((*binders, *m.binders), guards | m.guards), {})
        accumulate(body, {Monomial((), frozenset(), m.factors): c})
    yield from bodies.items()


def _by_signs(body: Form, abstraction: Abstraction, known: Sequence[Cond], timeout: float) -> bool:
    """Whether nothing is left of a form for any signs that its conditions can have together: then it is 0."""
    from gradproof.verifier.smt import prove_real

    inside = dict.fromkeys(one.parts[0] for m in body for one, _ in m.factors if one.kind in SIGNS)
    sides = {frozen: abstraction.term(dict(frozen)) for frozen in inside}
    if not 0 < len(sides) <= FEW_SIGNS:
        return False
    for signs in product(SIGNS.values(), repeat=len(sides)):
        told = dict(zip(sides, signs, strict=True))
        left: Form = {}
        for monomial, coefficient in body.items():
            conds = [(one.parts[0], SIGNS[one.kind]) for one, _ in monomial.factors if one.kind in SIGNS]
            if all(told[frozen] == sign for frozen, sign in conds):
                rest = tuple(factor for factor in monomial.factors if factor[0].kind not in SIGNS)
                accumulate(left, {Monomial((), frozenset(), rest): coefficient})
        if left:
            there = both(*(_signed(sides[frozen], sign) for frozen, sign in told.items()))
            if prove_real(negate(there), [*known, *abstraction.facts], timeout).answer != "proved":
                return False
    return True


def _signed(term: Term, sign: str) -> Cond:
    match sign:
        case ">":
            return RealCmp("<", ZERO, term)
        case "<":
            return RealCmp("<", term, ZERO)
        case _:
            return RealCmp("==", term, ZERO)


def _at_bound(everywhere: Everywhere, context: Context, binders: Sequence[Binder]) -> Iterator[Cond]:
    """What holds at all indices, at the bound ones (and the free ones) whose ranges are as long."""
    bound = {v for v, _ in binders}
    places = {**context.ranges, **dict(binders)}
    for ranges, cond in everywhere:
        options = [[v for v, e in places.items() if e == extent] for extent in ranges.values()]
        for choice in islice(product(*options), FEW):
            if not bound.isdisjoint(choice):
                yield substitute_cond(cond, {n: Poly.sym(v) for n, v in zip(ranges, choice, strict=True)})
