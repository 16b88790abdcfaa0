"""Equality of terms: normal forms first, then the strategies for what is left over. [trusted kernel]

Each strategy rewrites the difference into an equal one, or shows that a part of it is zero at every point; none of
them may answer "different". In order: clear denominators that are sums; give sums that differ by a change of indices
the same indices; show with Z3 that the same products are summed over the same index sets; split cases on conditions
of reals.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice, product
from time import perf_counter
from typing import TypeAlias

from gradproof.compiler.dims import Max, Min, Poly
from gradproof.compiler.rewriting import substitute_cond
from gradproof.compiler.terms import (
    TRUE,
    ZERO,
    BoolRead,
    Cond,
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
from gradproof.verifier.bijections import aligned, region
from gradproof.verifier.borders import at_borders
from gradproof.verifier.contraction import Law, contracted
from gradproof.verifier.forms import (
    LIMIT,
    Atom,
    Binder,
    Form,
    Guard,
    Monomial,
    NotGeneric,
    Number,
    TooLarge,
    accumulate,
    oriented,
    plus,
    scaled,
)
from gradproof.verifier.index_sets import known_entries
from gradproof.verifier.naming import apart, canonical, thaw
from gradproof.verifier.normal import Normalizer
from gradproof.verifier.quotients import FEW, Choosing, integers_in, quotients, quotients_in
from gradproof.verifier.ranges import Context
from gradproof.verifier.vanishing import vanishes


@dataclass(frozen=True, slots=True)
class Equal:
    """What the strategies found: `proved`, by which means, and the bases that were cancelled; or why not."""

    proved: bool
    by: str
    cancelled: frozenset[Atom]
    reason: str = ""
    residue: int = 0  # monomials left over


Laws: TypeAlias = Callable[[Normalizer], Sequence[Law]]
Everywhere: TypeAlias = Sequence[tuple[Mapping[str, Poly], Cond]]  # conditions at all indices below these extents


def no_laws(_: Normalizer) -> Sequence[Law]:
    """No law besides those of the normal form."""
    return ()


def equal(
    left: Term,
    right: Term,
    context: Context,
    facts: Sequence[Cond] = (),
    timeout: float = 10.0,
    generic: frozenset[str] = frozenset(),
    laws: Laws = no_laws,
    everywhere: Everywhere = (),
) -> Equal:
    """Whether left = right at every point where both are defined, for all sizes that the context allows.

    `facts` are conditions on reals that hold there (the declared domain, say), `everywhere` those that hold at all
    indices, the bound ones too. Free indices range over `context.ranges`. `generic` asks only for points where no
    condition on entries of these tensors is at a tie.
    `laws` gives rewritings that hold at all points (contraction.py).
    """
    work = Normalizer(context, generic)
    work.apart = True
    work.narrowing = laws is no_laws  # a law knows ranges as they are written
    until = perf_counter() + timeout  # a difference that is no 0 may be long: past this nothing new is begun
    try:
        form = plus(work.form(left), scaled(work.form(right), -1))
        form = canonical(form)
        known = laws(work)
        form = contracted(form, known, work) if known else form
        if not form:
            return Equal(True, "normal form", frozenset(work.trace.cancelled))
        form = _added_up(form, work)
        form = _cleared(form, work, until) if form else form
        if not form:
            return Equal(True, "normal form", frozenset(work.trace.cancelled))
        form = _same_regions(form, work, timeout, until)
        told = _known(form, work)
        form = form if told is None else _same_regions(told, work, timeout, until)
        placed = at_borders(form, work)
        form = form if placed is None else _same_regions(placed, work, timeout, until)
        form = same_cases(form, work, facts, timeout, everywhere) if form else form
        if not form:
            return Equal(True, "normal form + z3", frozenset(work.trace.cancelled))
    except NotGeneric as error:
        return Equal(False, "", frozenset(), str(error))
    except TooLarge as error:
        return Equal(False, "", frozenset(), f"the normal form is too large: {error}")
    return Equal(False, "", frozenset(), f"{len(form)} terms of the difference remain", len(form))


def _added_up(form: Form, work: Normalizer) -> Form:
    """The form with every sum over a few indices added up one by one, and every minimum of indices as its two cases."""
    pending = list(form.items())
    out: Form = {}
    for _ in range(LIMIT):
        if not pending:
            break
        monomial, coefficient = pending.pop()
        parts = _few(monomial, work) or _sides(monomial, work)
        if parts is None:
            accumulate(out, {monomial: coefficient})
        else:
            pending += [(m, c * coefficient) for m, c in parts.items()]
    for monomial, coefficient in pending:
        accumulate(out, {monomial: coefficient})
    return canonical(out)


def _few(monomial: Monomial, work: Normalizer) -> Form | None:
    for var, extent in monomial.binders:
        if extent.constant is not None and extent.constant <= FEW:
            inside = Monomial(tuple(b for b in monomial.binders if b[0] != var), monomial.guards, monomial.factors)
            return plus(*(work.substitute_monomial(inside, {var: Poly.of(k)}) for k in range(extent.constant)))
    return None


def _sides(monomial: Monomial, work: Normalizer) -> Form | None:
    """min(a, b) is a where a <= b, and b where b < a; max(a, b) is a where b <= a, and b where a < b."""
    places = [(quotients_in(atom), atom.symbols) for atom, _ in monomial.factors]
    places += [(quotients(p), p.symbols) for _, p in monomial.guards]
    places += [(quotients(e), e.symbols) for _, e in monomial.binders]
    found = {one for ones, names in places for one in ones if Poly.atom(one).symbols <= names}
    for one in sorted(found, key=str):
        if not isinstance(one, Min | Max) or quotients(one.a) | quotients(one.b):
            continue
        # Where both are the same, the side that moves is taken: x[i] rather than x[0].
        bound = {v for v, _ in (*monomial.binders, *work.context.ranges.items())}
        first, second = sorted((one.a, one.b), key=lambda side: -len(side.symbols & bound))
        above = second - first if isinstance(one, Min) else first - second
        return plus(
            _chosen(monomial, Choosing(one, first), (">=", above), work),
            _chosen(monomial, Choosing(one, second), (">=", -above - 1), work),
        )
    return None


def _chosen(monomial: Monomial, change: Choosing, guard: Guard, work: Normalizer) -> Form:
    binders = [(v, change.moved(e)) for v, e in monomial.binders]
    guards = {guard, *((rel, change.moved(p)) for rel, p in monomial.guards)}
    return work.changed(binders, guards, [*monomial.factors], change)


# Denominators that are sums --------------------------------------------------------------------------------------


def _cleared(form: Form, work: Normalizer, until: float) -> Form:
    """Multiply through by bases with negative or fractional powers: B^e = B^low * B^(e - low), expanded."""
    for _ in range(6):
        changed = False
        for pattern in _patterns(form, work):
            if perf_counter() > until:
                return form
            cleared = _clear(form, pattern, work)
            if cleared is not None and not cleared:
                return {}
            if cleared is not None and cleared != form:
                form, changed = cleared, True
        if not changed:
            break
    return form


def _patterns(form: Form, work: Normalizer) -> list[tuple[Atom, dict[str, Poly]]]:
    """The distinct bases up to the names of bound indices, with those indices and their extents; simple ones last."""
    found: dict[Atom, tuple[Atom, dict[str, Poly]]] = {}
    for monomial in form:
        bound = dict(monomial.binders)
        for one, exponent in monomial.factors:
            if one.kind != "base" or (isinstance(exponent, int) and exponent > 0) or len(one.parts[0]) < 2:
                continue
            inside = [v for v, _ in monomial.binders if v in one.symbols]
            generic = _rename(one, {v: f"?{k}" for k, v in enumerate(inside)}, work)
            found.setdefault(generic, (generic, {f"?{k}": bound[v] for k, v in enumerate(inside)}))
    return sorted(found.values(), key=lambda p: -p[0].height)


def _rename(one: Atom, names: Mapping[str, str], work: Normalizer) -> Atom:
    renamed = work.substitute_atom(one, {old: Poly.sym(new) for old, new in names.items()})
    ((monomial, _),) = renamed.items()
    return monomial.factors[0][0]


def _instances(monomial: Monomial, pattern: tuple[Atom, dict[str, Poly]], work: Normalizer) -> Iterator[Atom]:
    """The pattern at each choice of this monomial's bound indices whose extents fit."""
    generic, holes = pattern
    options = [[v for v, e in monomial.binders if e == extent] for extent in holes.values()]
    for choice in product(*options):
        if len(set(choice)) == len(choice):
            yield _rename(generic, dict(zip(holes, choice, strict=True)), work)


def _divisors(monomial: Monomial, pattern: tuple[Atom, dict[str, Poly]], work: Normalizer) -> Iterator[Atom]:
    inside = work.context.with_ranges(dict(monomial.binders))
    return (base for base in _instances(monomial, pattern, work) if not vanishes(base, inside))


def _clear(form: Form, pattern: tuple[Atom, dict[str, Poly]], work: Normalizer) -> Form | None:
    """The form with this base at its lowest power everywhere; None where a monomial has no place for it."""
    present: list[tuple[Monomial, Number, Atom | None, Number]] = []
    # A base put at an index of a sum that is less deep than itself: canonical names of the two could be one.
    for monomial, coefficient in apart(form).items():
        instances = set(_instances(monomial, pattern, work))
        own = [(one, e) for one, e in monomial.factors if one in instances]
        if len(own) > 1:
            return None
        one, exponent = own[0] if own else (None, 0)
        present.append((monomial, coefficient, one, exponent))
    lowest: dict[Fraction, Number] = {}
    for _, _, _, exponent in present:
        part = Fraction(exponent) % 1
        lowest[part] = min(lowest.get(part, exponent), exponent)
    absent = [m for m, _, one, e in present if one is None and lowest[Fraction(0)] < 0]
    # Multiplying by B is reversible only where B is not 0 throughout: a sum over nothing, say.
    choices = [list(_divisors(m, pattern, work)) for m in absent]
    if any(not c for c in choices):
        return None
    best: Form | None = None
    for attempt, choice in enumerate(product(*choices)):
        if attempt >= 16:
            break
        picked = dict(zip(absent, choice, strict=True))
        out: Form = {}
        for monomial, coefficient, one, exponent in present:
            low = lowest[Fraction(exponent) % 1]
            if exponent == low:
                accumulate(out, {monomial: coefficient})
                continue
            base = one if one is not None else picked[monomial]
            if one is None:
                work.trace.cancelled.add(base)
            rest = tuple(f for f in monomial.factors if f[0] is not base)
            # B^low is kept beside the expanded B^(exponent - low), never merged with it.
            expanded = work.times(
                {Monomial(monomial.binders, monomial.guards, rest): coefficient},
                work.power(thaw(base.parts[0]), int(exponent - low)),
            )
            for m, c in expanded.items():
                accumulate(out, work.times({m: c}, work.of_atom(base, low)))
        out = canonical(out)
        if not out:
            return out
        if best is None or len(out) < len(best):
            best = out
    return best


# Entries of integer tensors ---------------------------------------------------------------------------------------


def _known(form: Form, work: Normalizer) -> Form | None:
    """The form with entries of integer tensors replaced by what a guard says that they are; None: there are none.

    A guard moves with no real, so that a read at an entry is the same read at its value, wherever the guard holds.
    """
    pending, changed = list(form.items()), False
    out: Form = {}
    for _ in range(LIMIT):
        if not pending:
            return canonical(out) if changed else None
        monomial, coefficient = pending.pop()
        put = _put(monomial, work)
        changed = changed or put is not None
        if put is None:
            accumulate(out, {monomial: coefficient})
        else:
            pending += [(m, c * coefficient) for m, c in put.items()]
    return None


def _put(monomial: Monomial, work: Normalizer) -> Form | None:
    for guard, entry, value in known_entries(monomial.guards):
        change = Choosing(entry, value)
        others = {(rel, oriented(rel, change.moved(p))) for rel, p in monomial.guards if (rel, p) != guard}
        reads = (p for one, _ in monomial.factors if one.symbols & change.keys() for p in integers_in(one.parts))
        if others | {guard} != monomial.guards or any(entry in p.entries() for p in reads):
            return work.changed(list(monomial.binders), others | {guard}, list(monomial.factors), change)
    return None


# Index sets ------------------------------------------------------------------------------------------------------


MANY, MOST = 4, 8  # regions: past the first the empty ones are left out, past the second it is given up


@dataclass(slots=True)
class _Region:
    coefficient: Number
    cond: Cond


def _same_regions(form: Form, work: Normalizer, timeout: float, until: float) -> Form:
    """Drop each group of monomials that sum the same products over index sets that cancel."""
    groups: list[tuple[Monomial, list[tuple[Monomial, _Region]]]] = []
    # A change of indices takes entries at j to those at 2*a, not the other way round: plain positions come first.
    for monomial, coefficient in sorted(form.items(), key=_plainness):
        for reference, members in groups if perf_counter() < until else ():
            cond = aligned(reference, monomial, work, timeout)
            if cond is not None:
                members.append((monomial, _Region(coefficient, cond)))
                break
        else:
            groups.append((monomial, [(monomial, _Region(coefficient, region(monomial.binders, monomial.guards)))]))
    left: Form = {}
    for _, members in groups:
        regions = [region for _, region in members]
        if perf_counter() < until and _cancel(regions, work.context, timeout):
            continue
        accumulate(left, {m: region.coefficient for m, region in members})
    return left


def _plainness(item: tuple[Monomial, Number]) -> int:
    reads = [one for one, _ in item[0].factors if one.kind in ("read", "bool")]
    return sum(len(str(p)) for one in reads for p in one.parts[1])


def _cancel(regions: list[_Region], context: Context, timeout: float) -> bool:
    """Whether the coefficients of the regions that hold add up to 0, at every index; of one region: it is empty."""
    from gradproof.verifier.smt import prove_int

    if len(regions) == 1:
        return prove_int(negate(regions[0].cond), context.known(regions[0].cond), timeout).answer == "proved"
    if MANY < len(regions) <= 4 * MOST:  # the patterns are many, and often some of the regions are empty
        regions = [one for one in regions if not _cancel([one], context, timeout)]
    if len(regions) > MOST:
        return False
    bad: list[Cond] = []
    for pattern in product((True, False), repeat=len(regions)):
        if sum(r.coefficient for r, on in zip(regions, pattern, strict=True) if on) != 0:
            bad.append(both(*(r.cond if on else negate(r.cond) for r, on in zip(regions, pattern, strict=True))))
    goal = both(*(negate(b) for b in bad))
    return prove_int(goal, context.known(goal), timeout).answer == "proved"


# Conditions of reals ---------------------------------------------------------------------------------------------


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
        abstraction = Abstraction(work)
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


class Abstraction:
    """A form as a term without binders: each atom becomes one unknown real, conditions keep their inside.

    What is kept of an atom: an exponential is positive and grows, a root is not negative, a base times its inverse is
    1.
    """

    def __init__(self, work: Normalizer) -> None:
        self.work = work
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
            self._seen[one] = Read(f"~{len(self._seen)}", ())
            if isinstance(one, Atom) and one.kind == "exp":
                self.facts.append(RealCmp("<", ZERO, self._seen[one]))
                self._grows(self.term({one.parts[0]: 1}), self._seen[one])
        return self._seen[one]

    def _grows(self, argument: Term, value: Term) -> None:
        """e^t grows with t, and is 1 at 0: of a few."""
        for other, known in [(ZERO, num(1)), *self._exps] if len(self._exps) < FEW else []:
            for rel in ("<", "=="):
                self.facts.append(either(negate(RealCmp(rel, argument, other)), RealCmp(rel, value, known)))
            self.facts.append(either(negate(RealCmp("<", other, argument)), RealCmp("<", known, value)))
        self._exps.append((argument, value))
