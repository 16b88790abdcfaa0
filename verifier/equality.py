"""Equality of terms: normal forms first, then the strategies for what is left over. [trusted kernel]

Each strategy rewrites the difference into an equal one, or shows that a part of it is zero at every point; none of
them may answer "different". In order: clear denominators that are sums; give sums that differ by a change of indices
the same indices; show with Z3 that the same products are summed over the same index sets; split cases on conditions
of reals.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from time import perf_counter
from typing import TypeAlias

from gradproof.compiler.dims import Max, Min, Poly
from gradproof.compiler.terms import Cond, Term, both, negate
from gradproof.verifier.abstraction import Everywhere, same_cases
from gradproof.verifier.bijections import aligned, region
from gradproof.verifier.borders import at_borders
from gradproof.verifier.contraction import Law, contracted
from gradproof.verifier.denominators import cleared
from gradproof.verifier.forms import (
    LIMIT,
    Atom,
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
from gradproof.verifier.naming import canonical, rewritten
from gradproof.verifier.normal import Normalizer
from gradproof.verifier.quotients import FEW, Choosing, integers_in, quotients, quotients_in
from gradproof.verifier.ranges import Context
from gradproof.verifier.substitution import substituted_monomial
from gradproof.verifier.summation import changed


@dataclass(frozen=True, slots=True)
class Equal:
    """What the strategies found: `proved`, by which means, and the bases that were cancelled; or why not."""

    proved: bool
    by: str
    cancelled: frozenset[Atom]
    reason: str = ""
    residue: int = 0  # monomials left over


Laws: TypeAlias = Callable[[Normalizer], Sequence[Law]]


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
        form = cleared(form, work, until) if form else form
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
            return plus(*(substituted_monomial(work, inside, {var: Poly.of(k)}) for k in range(extent.constant)))
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
    return changed(work, binders, guards, [*monomial.factors], change)


# Entries of integer tensors ---------------------------------------------------------------------------------------


def _known(form: Form, work: Normalizer) -> Form | None:
    """The form with entries of integer tensors replaced by what a guard says that they are; None: there are none.

    A guard moves with no real, so that a read at an entry is the same read at its value, wherever the guard holds.
    """
    return rewritten(form, lambda monomial: _put(monomial, work))


def _put(monomial: Monomial, work: Normalizer) -> Form | None:
    for guard, entry, value in known_entries(monomial.guards):
        change = Choosing(entry, value)
        others = {(rel, oriented(rel, change.moved(p))) for rel, p in monomial.guards if (rel, p) != guard}
        reads = (p for one, _ in monomial.factors if one.symbols & change.keys() for p in integers_in(one.parts))
        if others | {guard} != monomial.guards or any(entry in p.entries() for p in reads):
            return changed(work, list(monomial.binders), others | {guard}, list(monomial.factors), change)
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
