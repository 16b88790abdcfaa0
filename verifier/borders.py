"""Conditions that differ by one: [i <= b] is [i < b] and [i = b], and at a border an index has the value it names.

A pad that reflects reads the same entry by two branches at its border, so where the border belongs is a matter of
taste. [trusted kernel]
"""

from __future__ import annotations

from gradproof.compiler.dims import Poly
from gradproof.verifier.forms import Form, Guard, Monomial, oriented
from gradproof.verifier.naming import apart, rewritten
from gradproof.verifier.normal import Normalizer
from gradproof.verifier.summation import changed


def at_borders(form: Form, work: Normalizer) -> Form | None:
    """The form with conditions that differ by one put into one and the border between them; None: there are none.

    Where a guard says what a free index is, the monomial is taken at that value. The guard stays and moves with no
    real, so each step keeps the form's value at every point.
    """
    starts = {poly for m in form for rel, poly in m.guards if rel == ">="}
    # Bound indices under names of their own: a value that is put in may read one.
    return rewritten(apart(form), lambda monomial: _split(monomial, starts) or _placed(monomial, work))


def _split(monomial: Monomial, starts: set[Poly]) -> Form | None:
    """`[p >= 0]` as `[p - 1 >= 0] + [p = 0]`, if p - 1 >= 0 is a condition somewhere."""
    for guard in sorted((g for g in monomial.guards if g[0] == ">=" and g[1] - 1 in starts), key=str):
        rest, poly = monomial.guards - {guard}, guard[1]
        ends: tuple[Guard, Guard] = ((">=", poly - 1), ("==", oriented("==", poly)))
        return {Monomial(monomial.binders, rest | {end}, monomial.factors): 1 for end in ends}
    return None


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
