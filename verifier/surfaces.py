"""KINK where conditions on entries tie on smooth surfaces: one tie at a time, under sums too.

Each condition `p < 0`, `p = 0` has an input entry of its own in which p is linear, so that the ties are smooth surfaces
that cross transversally and all sides of a tie have inner points. For each condition, at p = 0: the formula's three
branches agree (it is continuous), and the rule is the same convex combination of its values on the two sides, whatever
the other conditions say. With several ties at once the combinations multiply.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice, permutations

from gradproof.compiler.claims import Hypothesis
from gradproof.compiler.dims import Poly
from gradproof.compiler.ops import TANGENT, OpDef
from gradproof.compiler.terms import ZERO, Cond, Or, RealCmp, Term, both, negate
from gradproof.verifier.abstraction import Abstraction, same_cases
from gradproof.verifier.cells import Unsettled
from gradproof.verifier.conditions import sign_is
from gradproof.verifier.forms import Atom, Form, Monomial, Number, accumulate, atom, of_atom, plus, scaled, tensors_in
from gradproof.verifier.naming import canonical, thaw
from gradproof.verifier.normal import Normalizer
from gradproof.verifier.optima import atoms_in, steps
from gradproof.verifier.proofs import Proof
from gradproof.verifier.setting import Setting
from gradproof.verifier.substitution import replaced, substituted_atom, substituted_monomial

WEIGHTS = (Fraction(0), Fraction(1), Fraction(1, 2))


class Unmixed(Unsettled):
    """The formula is continuous at a transversal tie, and the rule there is no known mixture of its two sides."""


@dataclass(frozen=True, slots=True)
class Tie:
    """One condition's polynomial p, up to the names of bound indices, and the private entry in which it is linear."""

    generic: Atom  # the "pos" atom with holes for bound indices
    private: tuple[Atom, ...]  # the entries in which p is linear, and of which each choice of indices has its own


def _holes(one: Atom, monomial: Monomial) -> dict[str, Poly]:
    """Names for the bound indices that an atom reads, by their place among the binders."""
    return {v: Poly.sym(f"?{k}") for k, v in enumerate(v for v, _ in monomial.binders if v in one.symbols)}


def _own_place(read: Atom, indices: frozenset[str]) -> bool:
    """Whether different indices read different entries: each index stands in one position, linearly and alone."""
    seen: set[str] = set()
    for position in read.parts[1]:
        here = position.symbols & indices
        if not here:
            continue
        (name, *more) = sorted(here)
        linear = position.linear_in(name)
        if more or name in seen or linear is None or not linear[0].constant:
            return False
        seen.add(name)
    return seen == indices


def _first(read: Atom, others: list[Atom]) -> bool:
    """Whether an entry is the first, or the last, of those that a condition reads in its tensor, for every index.

    Then of several conditions the one whose entry is the first (the last) of all has it to itself.
    """
    signs: set[bool] = set()
    for other in others:
        if other.kind not in ("read", "bool") or other.parts[0] != read.parts[0]:
            continue
        steps = [(a - b).constant for a, b in zip(other.parts[1], read.parts[1], strict=True)]
        step = next((k for k in steps if k != 0), None)
        if step is None:
            return False  # the same entry, or one that may be
        signs.add(step > 0)
    return len(signs) <= 1


def _monomials(part: object) -> Iterator[Monomial]:
    """The monomials that stand directly inside an atom's parts."""
    match part:
        case Monomial():
            yield part
        case tuple():
            for inner in part:
                yield from _monomials(inner)
        case _:
            pass


class Surfaces:
    """The ties of one operator's formula, and what the rule is at each."""

    def __init__(self, op: OpDef, setting: Setting, work: Normalizer, timeout: float) -> None:
        self.op, self.facts, self.work, self.timeout = op, setting.facts_at(work.context.ranges), work, timeout
        self.inputs = {p.name for p in op.differentiable}
        self.notes: list[Hypothesis] = []

    def prove(self, value: Form, rule: Form, derivative: Form) -> Proof:
        ties = self._ties((value, rule, derivative))
        self._independent(ties)
        try:
            for tie in ties:
                self._one(tie, value, rule)
            for kink in self.op.kinks:
                if kink.value is None:
                    raise Unsettled("a jump")
                self._declared(kink.cond, kink.value, rule)
        except Unmixed as error:
            return Proof(False, "", (), str(error), transversal=True)
        return Proof(True, "normal form + z3", tuple(self.notes))

    # The conditions and their surfaces

    def _ties(self, forms: tuple[Form, ...]) -> list[Tie]:
        found: dict[Atom, Tie] = {}
        for form in forms:
            for monomial in form:
                outer = [one for one, _ in monomial.factors if one.kind in ("pos", "neg")]
                buried = [
                    inner
                    for one, _ in monomial.factors
                    for inner in atoms_in(one.parts)
                    if inner.kind in ("pos", "neg") or steps(inner)
                ]
                if buried or any(steps(one) for one, _ in monomial.factors):
                    raise Unsettled("a condition inside another function")
                for one in outer:
                    generic = self._generic(one, monomial)
                    if generic not in found and self._varies(one):
                        # Of one output entry: each may take a subgradient of its own.
                        indices = {*map(str, _holes(one, monomial).values())}
                        found[generic] = Tie(generic, self._private(generic, indices))
        return list(found.values())

    def _generic(self, one: Atom, monomial: Monomial) -> Atom:
        """The condition's polynomial up to the names of bound indices, as a "pos" atom."""
        return atom("pos", self._oriented(one, monomial).parts[0])

    def _oriented(self, one: Atom, monomial: Monomial) -> Atom:
        """The condition with holes for bound indices: renaming may turn [p > 0] into [-p < 0]."""
        ((only, _),) = substituted_atom(self.work, one, _holes(one, monomial)).items()
        return only.factors[0][0]

    def _varies(self, one: Atom) -> bool:
        return any(a.kind == "read" and a.parts[0] in self.inputs for a in atoms_in(one.parts))

    def _private(self, one: Atom, indices: set[str]) -> tuple[Atom, ...]:
        """The input entries in which the condition is linear, and of which each choice of indices has its own."""
        found: list[Atom] = []
        for m, _ in one.parts[0]:
            for read, exponent in m.factors:
                if exponent != 1 or read.kind != "read" or read.parts[0] not in self.inputs or m.binders or m.guards:
                    continue
                beside = [f for f in m.factors if f[0] is not read]
                elsewhere = [beside, *(x.factors for x, _ in one.parts[0] if x is not m)]
                others = [a for factors in elsewhere for f, _ in factors for a in atoms_in(f)]
                own = _first(read, others) and _own_place(read, one.symbols & indices)
                if own and (not beside or self._slopes(one, tuple(beside))):
                    found.append(read)
        if not found:
            raise Unsettled("a condition without an input entry of its own, in which it is linear")
        return tuple(found)

    def _slopes(self, one: Atom, slope: tuple[tuple[Atom, Number], ...]) -> bool:
        """Whether the entry's coefficient is not 0 wherever the condition ties."""
        from gradproof.verifier.smt import prove_real

        abstraction = Abstraction(self.work)
        factor = abstraction.term({Monomial((), frozenset(), slope): 1})
        apart = Or((RealCmp("<", factor, ZERO), RealCmp("<", ZERO, factor)))
        tied = RealCmp("==", abstraction.term(dict(one.parts[0])), ZERO)
        facts = [*map(abstraction.cond, self.facts), *abstraction.facts]
        return prove_real(apart, [*facts, tied], self.timeout).answer == "proved"

    def _independent(self, ties: list[Tie]) -> None:
        """Ties that can hold at once must be transversal: pick one with an entry that no other reads, repeatedly."""
        left = list(ties)
        while left:
            for tie in left:
                others = [o for o in left if o is not tie and not self._exclusive(tie, o)]
                reads = {a.parts[0] for o in others for a in atoms_in(o.generic.parts) if a.kind == "read"}
                if any(read.parts[0] not in reads for read in tie.private):
                    left.remove(tie)
                    break
            else:
                raise Unsettled("conditions that can tie at once in the same entry")

    def _exclusive(self, a: Tie, b: Tie) -> bool:
        """Whether two ties can't hold at once (at the same indices, which is where they share entries)."""
        from gradproof.verifier.smt import prove_real

        abstraction = Abstraction(self.work)
        zero = [RealCmp("==", abstraction.term(dict(t.generic.parts[0])), ZERO) for t in (a, b)]
        facts = [*map(abstraction.cond, self.facts), *abstraction.facts]
        return prove_real(negate(both(*zero)), facts, self.timeout).answer == "proved"

    # One tie

    def _one(self, tie: Tie, value: Form, rule: Form) -> None:
        values, rules = self._parts(tie, value), self._parts(tie, rule)
        for form in (*values, *rules):
            self._defined(form)
        above, at, below = values
        if not self._zero(plus(above, scaled(at, -1))) or not self._zero(plus(below, scaled(at, -1))):
            raise Unsettled("the formula is not continuous there, or not known to be")
        above, at, below = rules
        for weight in WEIGHTS:
            mixed = plus(scaled(above, weight), scaled(below, 1 - weight))
            if self._zero(plus(at, scaled(mixed, -1))):
                return
        raise Unmixed("the value at the tie is no known combination of the values on its two sides")

    def _parts(self, tie: Tie, form: Form) -> tuple[Form, Form, Form]:
        """The part of the form that the tie's condition touches, with p > 0, p = 0 and p < 0, all taken at p = 0."""
        out: tuple[Form, Form, Form] = ({}, {}, {})
        for monomial, coefficient in form.items():
            mine = [
                (one, e)
                for one, e in monomial.factors
                if one.kind in ("pos", "neg") and self._generic(one, monomial) is tie.generic
            ]
            if not mine:
                continue
            if len({one.parts[0] for one, _ in mine}) > 1:
                raise Unsettled("the same condition at two places of one product")
            bare = self._beside(mine[0][0], monomial, tuple(f for f in monomial.factors if f not in mine))
            for m in bare:
                self._local(tie, m.factors)
                for positive, inside in self._partial(m.factors):
                    # The kernel's 1/0 is 0: what is undefined at the tie itself has no value there, or an infinite one.
                    self._within(self._substituted(tie, inside), positive)
            at_tie = self._substituted(tie, scaled(bare, coefficient))
            kinds = {self._oriented(one, monomial).kind for one, _ in mine}
            if kinds == {"pos"}:
                accumulate(out[0], at_tie)
            if kinds == {"neg"}:
                accumulate(out[2], at_tie)
        return out

    def _beside(self, one: Atom, monomial: Monomial, rest: tuple[tuple[Atom, Number], ...]) -> Form:
        """What stands beside a condition, at one choice of the bound indices that the condition reads.

        Each of these ties happens by itself, so that their parts add up to 0 all together would say nothing.
        """
        holes = _holes(one, monomial)
        binders = tuple((v, e) for v, e in monomial.binders if v not in holes)
        ranges = [
            g for v, e in monomial.binders if v in holes for g in ((">=", Poly.sym(v)), (">=", e - 1 - Poly.sym(v)))
        ]
        return substituted_monomial(self.work, Monomial(binders, monomial.guards | set(ranges), rest), holes)

    def _local(self, tie: Tie, rest: tuple[tuple[Atom, Number], ...]) -> None:
        """The private entry's tensor may be read beside the condition only where the condition reads it."""
        name = tie.private[0].parts[0]
        own = {a for a in atoms_in(tie.generic.parts) if a.kind == "read" and a.parts[0] == name}
        for one, _ in rest:
            for inner in atoms_in(one):
                if inner.kind == "read" and inner.parts[0] == name and inner not in own:
                    raise Unsettled("the entry of a condition is read at another index beside it")

    def _partial(self, factors: Iterable[tuple[Atom, Number]]) -> Iterator[tuple[bool, Form]]:
        """What must not be 0 (or, where True, must be positive) for these factors to be smooth, however deep inside."""
        for one, exponent in factors:
            if one.kind == "size":
                continue
            if one.kind == "log":
                yield True, thaw(one.parts[0])
            if not isinstance(exponent, int) or exponent < 0:
                inside = thaw(one.parts[0]) if one.kind == "base" else of_atom(one)
                if one.kind != "exp":
                    yield not isinstance(exponent, int), inside
            for monomial in _monomials(one.parts):
                yield from self._partial(monomial.factors)

    def _within(self, form: Form, positive: bool) -> None:
        from gradproof.verifier.smt import prove_real

        abstraction = Abstraction(self.work)
        term = abstraction.term(canonical(form))
        apart: Cond = RealCmp("<", ZERO, term)
        if not positive:
            apart = Or((apart, RealCmp("<", term, ZERO)))
        facts = [*map(abstraction.cond, self.facts), *abstraction.facts]
        if prove_real(apart, facts, self.timeout).answer != "proved":
            raise Unsettled("a side of the tie may be undefined or steep there")

    def _substituted(self, tie: Tie, form: Form) -> Form:
        """The form with the private entry replaced by what it is at the tie."""
        read = tie.private[0]
        for m, c in tie.generic.parts[0]:
            if any(one is read for one, _ in m.factors):
                rest = {x: k for x, k in tie.generic.parts[0] if x is not m}
                slope = {Monomial((), frozenset(), tuple(f for f in m.factors if f[0] is not read)): -c}
                value = self.work.times(thaw(tuple(rest.items())), self.work.power(slope, -1))
                return replaced(self.work, form, read, value)
        raise Unsettled("no entry to solve the tie for")

    def _zero(self, form: Form) -> bool:
        form = canonical(form)
        if not form:
            return True
        return not same_cases(form, self.work, self.facts, self.timeout)

    def _defined(self, form: Form) -> None:
        """Denominators, roots and logarithms must be inside their domains at the tie."""
        from gradproof.verifier.smt import prove_real

        for monomial in form:
            for one, exponent in monomial.factors:
                if one.kind == "exp" or (isinstance(exponent, int) and exponent > 0 and one.kind != "log"):
                    continue
                if one.kind == "size" and self.work.context.nonnegative(Poly.atom(one.parts[0]) - 1):
                    continue
                abstraction = Abstraction(self.work)
                inside = abstraction.term(dict(one.parts[0])) if one.kind in ("base", "log") else None
                term: Term = inside if inside is not None else abstraction.term(of_atom(one))
                apart: Cond = RealCmp("<", ZERO, term)
                if isinstance(exponent, int) and one.kind != "log":
                    apart = Or((apart, RealCmp("<", term, ZERO)))
                facts = [*map(abstraction.cond, self.facts), *abstraction.facts]
                if prove_real(apart, facts, self.timeout).answer != "proved":
                    raise Unsettled("a side of the tie may be undefined or steep there")

    # What the stanza declares

    def _declared(self, cond: Cond, coefficient: Term, rule: Form) -> None:
        """At a declared kink the rule is the declared coefficient times each input's tangent there."""
        if not isinstance(cond, RealCmp) or cond.rel != "==":
            raise Unsettled("a declared kink that is not an equation")
        difference = plus(self.work.form(cond.a), scaled(self.work.form(cond.b), -1))
        generic = self._pos(difference)
        if generic is None:
            raise Unsettled("a declared kink that is always or never there")
        if any(tuple(a.extent for a in p.axes) != self.op.forward.extents for p in self.op.differentiable):
            self._declared_inside(generic, coefficient, rule)
            return
        tie = Tie(generic, self._private(generic, set(self.op.forward.indices)))
        known = [t for t in self._ties((rule,)) if t.generic is generic]
        tie = known[0] if known else tie
        tangents = plus(*(self._tangent(p.name) for p in self.op.differentiable))
        wanted = self.work.times(self.work.form(coefficient), tangents)
        at_tie: Form = {}
        for monomial, c in rule.items():
            signs = [one for one, _ in monomial.factors if one.kind in ("pos", "neg")]
            if any(self._generic(one, monomial) is generic for one in signs):
                continue
            accumulate(at_tie, {monomial: c})
        left = self._substituted(tie, plus(at_tie, scaled(wanted, -1)))
        if not self._zero(left):
            raise Unsettled("the rule's value at the kink is not the declared one")

    def _declared_inside(self, generic: Atom, coefficient: Term, rule: Form) -> None:
        """At a kink under a sum the rule must not mention the tangents of the entries that tie (the value is 0)."""
        if self.work.form(coefficient):
            raise Unsettled("a declared value other than 0 at a kink under a sum")
        tie = next((t for t in self._ties((rule,)) if t.generic in self._namings(generic)), None)
        if tie is None:
            raise Unsettled("a declared kink that the rule does not have")
        tangents = {TANGENT + name for name in tensors_in(tie.generic)}
        for monomial in rule:
            mine = [one for one, _ in monomial.factors if one.kind in ("pos", "neg")]
            if all(self._generic(one, monomial) is not tie.generic for one in mine) and tangents & tensors_in(monomial):
                raise Unsettled("the rule's value at the kink is not known to be the declared one")

    def _namings(self, generic: Atom) -> list[Atom]:
        """A declared condition with its own indices named as bound ones, or as the output's, in every way."""
        fixed = {*self.op.sizes, *self.op.int_attrs}
        own = sorted(generic.symbols - fixed)
        names = [*(f"?{k}" for k in range(len(own))), *self.op.forward.indices]
        out: list[Atom] = []
        for choice in islice(permutations(names, len(own)), 120):
            renamed = substituted_atom(self.work, generic, dict(zip(own, map(Poly.sym, choice), strict=True)))
            out += [atom("pos", one.parts[0]) for m in renamed for one, _ in m.factors if one.kind in ("pos", "neg")]
        return out

    def _pos(self, form: Form) -> Atom | None:
        signed = sign_is(self.work, "pos", form)
        for monomial in signed:
            for one, _ in monomial.factors:
                if one.kind in ("pos", "neg"):
                    return atom("pos", one.parts[0])
        return None

    def _tangent(self, name: str) -> Form:
        index = tuple(Poly.sym(n) for n in self.op.forward.indices)
        return of_atom(atom("read", TANGENT + name, index))
