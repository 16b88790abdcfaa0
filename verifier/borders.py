"""Conditions that differ by one: [i <= b] is [i < b] and [i = b], and at a border an index has the value it names.

A pad that reflects reads the same entry by two branches at its border, so where the border belongs is a matter of
taste; so is whether a sum goes on to an entry with a weight of 0. [trusted kernel]
"""

from __future__ import annotations

from gradproof.compiler.dims import Poly
from gradproof.verifier.forms import Binder, Form, Guard, Monomial, oriented, plus
from gradproof.verifier.naming import apart, rewritten
from gradproof.verifier.normal import Normalizer
from gradproof.verifier.summation import changed


def at_borders(form: Form, work: Normalizer) -> Form | None:
    """The form with conditions that differ by one put into one and the border between them; None: there are none.

    Where a guard says what a free index is, the monomial is taken at that value. The guard stays and moves with no
    real, so each step keeps the form's value at every point.
    """
    starts = {poly for m in form for rel, poly in m.guards if rel == ">="}
    ends = {extent for m in form for _, extent in m.binders}
    # Bound indices under names of their own: a value that is put in may read one.
    return rewritten(apart(form), lambda m: _split(m, starts) or _shortened(m, starts, ends, work) or _placed(m, work))


def _split(monomial: Monomial, starts: set[Poly]) -> Form | None:
    """`[p >= 0]` as `[p - 1 >= 0] + [p = 0]`, if p - 1 >= 0 is a condition somewhere."""
    for guard in sorted((g for g in monomial.guards if g[0] == ">=" and g[1] - 1 in starts), key=str):
        rest, poly = monomial.guards - {guard}, guard[1]
        ends: tuple[Guard, Guard] = ((">=", poly - 1), ("==", oriented("==", poly)))
        return {Monomial(monomial.binders, rest | {end}, monomial.factors): 1 for end in ends}
    return None


def _shortened(monomial: Monomial, starts: set[Poly], ends: set[Poly], work: Normalizer) -> Form | None:
    """A sum of n entries as that of n - 1 and the last one, if n >= 1, where some sum has n - 1.

    As that with n >= 2 and the only entry of n = 1, where n >= 2 is a condition somewhere: n >= 1 is no guard.
    """
    for name, extent in monomial.binders:
        if extent.constant is not None:
            continue
        if extent - 1 in ends:
            more = Monomial(_with(monomial, name, extent - 1), monomial.guards, monomial.factors)
            return plus(_at(monomial, name, extent - 1, (">=", extent - 1), work), {more: 1})
        many: Guard = (">=", extent - 2)
        if extent - 2 in starts and many not in monomial.guards:
            more = Monomial(monomial.binders, monomial.guards | {many}, monomial.factors)
            return plus(_at(monomial, name, Poly.of(0), ("==", oriented("==", extent - 1)), work), {more: 1})
    return None


def _with(monomial: Monomial, name: str, extent: Poly) -> tuple[Binder, ...]:
    return tuple((v, extent if v == name else e) for v, e in monomial.binders)


def _at(monomial: Monomial, name: str, value: Poly, guard: Guard, work: Normalizer) -> Form:
    """What a sum has at one value of an index, where the guard holds, which says that there is one."""
    there = {name: value}
    guards = {(rel, oriented(rel, p.substitute(there))) for rel, p in monomial.guards} | {guard}
    binders = [(v, e.substitute(there)) for v, e in monomial.binders if v != name]
    return changed(work, binders, guards, list(monomial.factors), there)


def _placed(monomial: Monomial, work: Normalizer) -> Form | None:
    """The monomial at the value that a guard gives a free index; None where no guard gives one that is read."""
    for guard in sorted((g for g in monomial.guards if g[0] == "=="), key=str):
        for name in sorted(guard[1].symbols & work.context.ranges.keys()):
            linear = guard[1].linear_in(name)
            if linear is None or abs(linear[0].constant or 0) != 1:
                continue
            value = {name: -linear[1] * int(linear[0].constant or 1)}
            others = {(rel, oriented(rel, p.substitute(value))) for rel, p in monomial.guards - {guard}}
            binders = [(v, e.substitute(value)) for v, e in monomial.binders]
            told = any(name in one.symbols for one, _ in monomial.factors)
            if told or others | {guard} != monomial.guards or binders != list(monomial.binders):
                return changed(work, binders, others | {guard}, list(monomial.factors), value)
            break
    return None
