"""Equality away from ties: what "away" can mean where the entries that are compared may coincide."""

from __future__ import annotations

from gradproof.compiler.dims import Poly
from gradproof.compiler.terms import ONE, Read, RealCmp, Term, indicator, sub, total
from gradproof.verifier.equality import equal
from gradproof.verifier.ranges import Context


def test_entries_that_may_be_one_and_the_same_are_never_apart() -> None:
    """At i = j the condition x[i] < x[j] ties at every point: 1 - [x[j] < x[i]] is not [x[i] < x[j]] there."""
    n, i, j = Poly.sym("n"), Poly.sym("i"), Poly.sym("j")
    here, there = Read("x", (i,)), Read("x", (j,))
    less, more = indicator(RealCmp("<", here, there)), indicator(RealCmp("<", there, here))

    def summed(body: Term) -> Term:
        return total("i", n, total("j", n, body))

    context = Context({"n": 0}, {})
    false = equal(summed(less), summed(sub(ONE, more)), context, generic=frozenset({"x"}))
    assert not false.proved and "one and the same" in false.reason
    other = Read("z", (j,))
    left, right = indicator(RealCmp("<", here, other)), sub(ONE, indicator(RealCmp("<", other, here)))
    assert equal(summed(left), summed(right), context, generic=frozenset({"x", "z"})).proved
