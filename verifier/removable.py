"""KINK at removable singularities: `select(x == c, v, F)` where F is 0/0 at x = c, and smooth when continued.

The tie x = c is solved for one entry x, with c a term in the other entries and constants, and F is expanded in
t = x - c (series.py): F = a_0 + a_1 t + ... with no negative powers, for all values of what else it reads. So F is
smooth across the tie once it is given the value a_0 there, and its derivative along u is
D a_0 . u + a_1 (u_x - D c . u). The stanza's value must be a_0, and the rule's value at the tie that derivative: smooth
points have no other subgradient.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from gradproof.compiler.calculus import derivative
from gradproof.compiler.rewriting import map_children, map_cond, walk
from gradproof.compiler.terms import (
    FALSE,
    ONE,
    TRUE,
    ZERO,
    Cond,
    RealCmp,
    Term,
    add,
    divide,
    mul,
    neg,
    num,
    sub,
)
from gradproof.verifier.series import Expansion
from gradproof.verifier.sides import Opaque, Sites, constant_of, degree, put, put_cond, reads_any

Ask = Callable[[Cond], bool]


@dataclass(frozen=True, slots=True)
class Removable:
    """A tie `variable` = `centre`, where the formula is smooth when continued; `gradient` is by scalar, at the tie."""

    difference: Term  # what is 0 at the tie
    variable: str
    centre: Term
    gradient: Mapping[str, Term]

    @property
    def tie(self) -> Cond:
        """The condition of the tie."""
        return RealCmp("==", self.difference, ZERO)

    def at_tie(self, term: Term) -> Term:
        """A term at the tie."""
        return put(decided(term, self.difference, True), {self.variable: self.centre})


def equations(value: Term, names: tuple[str, ...]) -> Iterator[tuple[Term, str, Term]]:
    """The differences that the formula compares with 0 by ==, each with an entry that it is solved for, and how."""
    moving = frozenset(names)
    seen: list[Term] = []
    for node in walk(value):
        if not isinstance(node, RealCmp) or node.rel != "==" or not reads_any(node, moving):
            continue
        difference = sub(node.b, node.a)
        if any(_same(difference, other) for other in seen):
            continue
        seen.append(difference)
        for name in names:
            slope = constant_of(put(derivative(difference, {name: f"{name}'"}), {f"{name}'": ONE}))
            if slope and degree(difference, frozenset((name,))) == 1:
                rest = put(difference, {name: ZERO})
                value_of = constant_of(rest)
                centre = divide(neg(rest), num(slope)) if value_of is None else num(-value_of / slope)
                yield difference, name, centre
                break


def expand(value: Term, tie: tuple[Term, str, Term], names: tuple[str, ...], ask: Ask) -> Removable:
    """The formula at one of its ties, where it is smooth when continued and has that value; Opaque elsewhere.

    `ask` proves a condition on what is read at the tie.
    """
    difference, variable, centre = tie
    continued, sites = decided(value, difference, False), Sites(frozenset(names))
    sites.add(continued)
    if sites.differences or sites.stairs:
        raise Opaque("other conditions beside a removable singularity")
    found = Expansion(variable, centre, ask).of(continued)
    if found.lowest < 0:
        raise Opaque("the formula has a pole at a tie, or is not known to have none")
    start, slope = found.at(0), found.at(1)
    own = put(decided(value, difference, True), {variable: centre})
    if not holds_equal(own, start, ask):
        raise Opaque("the formula's value at a tie is not its limit there, or not known to be")
    gradient: dict[str, Term] = {}
    for name in names:
        if name == variable:
            gradient[name] = slope
            continue
        moved = {f"{name}'": ONE}
        along, bent = (put(derivative(t, {name: f"{name}'"}), moved) for t in (start, centre))
        gradient[name] = add(along, neg(mul(slope, bent)))
    return Removable(difference, variable, centre, gradient)


def holds_equal(a: Term, b: Term, ask: Ask) -> bool:
    """Whether two terms are equal at the tie."""
    return constant_of(sub(a, b)) == 0 or ask(RealCmp("==", a, b))


def decided(term: Term, difference: Term, truth: bool) -> Term:
    """The term with its conditions `difference = 0` decided."""
    return map_children(term, lambda t: decided(t, difference, truth), lambda c: _decided(c, difference, truth))


def _decided(cond: Cond, difference: Term, truth: bool) -> Cond:
    if isinstance(cond, RealCmp) and cond.rel == "==" and _same(sub(cond.b, cond.a), difference):
        return TRUE if truth else FALSE
    return map_cond(cond, lambda t: decided(t, difference, truth), lambda c: _decided(c, difference, truth))


def _same(a: Term, b: Term) -> bool:
    """Whether two differences are the same, or each other's negative."""
    return constant_of(sub(a, b)) == 0 or constant_of(add(a, b)) == 0


def at_tie(conds: tuple[Cond, ...], variable: str, centre: Term) -> tuple[Cond, ...]:
    """Facts at the tie."""
    return tuple(put_cond(cond, {variable: centre}) for cond in conds)
