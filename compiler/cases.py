"""Simplify selections between cases: of two reals exactly one of <, ==, > holds.

A derived rule asks `x == 0 ? 0 : 0 < x ? 1 : x == 0 ? 1/2 : 0`; what is left of it is `0 < x ? 1 : 0`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from gradproof.compiler.rewriting import map_children
from gradproof.compiler.terms import (
    FALSE,
    TRUE,
    ZERO,
    And,
    Cond,
    Mul,
    Not,
    Or,
    RealCmp,
    Reduce,
    Select,
    Term,
    both,
    either,
    mul,
    negate,
    select,
)

# What is known of a pair of terms: which of <, =, > are still possible. Other conditions: their truth.
Facts: TypeAlias = Mapping[object, frozenset[str] | bool]

_ALL = frozenset("<=>")
_RELATIONS = {"<": frozenset("<"), "<=": frozenset("<="), "==": frozenset("=")}
_MIRROR = {"<": ">", "=": "=", ">": "<"}
_NAMES = {relation: name for name, relation in _RELATIONS.items()}


def simplify(term: Term, facts: Facts | None = None) -> Term:
    """The same term with the selections that are decided by enclosing ones taken away."""
    facts = facts or {}
    match term:
        case Select(cond, then, other):
            cond = simplify_cond(cond, facts)
            if cond in (TRUE, FALSE):
                return simplify(then if cond == TRUE else other, facts)
            yes, no = simplify(then, assume(facts, cond)), simplify(other, assume(facts, negate(cond)))
            return _select(cond, yes, no)
        case Mul(args):
            return _product([simplify(a, facts) for a in args])
        case Reduce(kind, var, extent, guard, body):
            # Facts that mention a bound index must not leak in or out, so a binder starts afresh.
            guard = simplify_cond(guard, {})
            return Reduce(kind, var, extent, guard, simplify(body, assume({}, guard)))
        case _:
            return map_children(term, lambda t: simplify(t, facts), lambda c: simplify_cond(c, facts))


def simplify_cond(cond: Cond, facts: Facts) -> Cond:
    """The condition as far as the facts leave it open."""
    match cond:
        case RealCmp(rel, a, b):
            a, b = simplify(a, facts), simplify(b, facts)
            possible, relation = _possible(facts, a, b), _RELATIONS[rel]
            if possible <= relation:
                return TRUE
            return RealCmp(rel, a, b) if possible & relation else FALSE
        case And(args):
            kept: list[Cond] = []
            for arg in args:
                arg = simplify_cond(arg, facts)
                facts = assume(facts, arg)
                kept.append(arg)
            return _joined(both(*kept))
        case Or(args):
            return either(*(simplify_cond(a, facts) for a in args))
        case Not(arg):
            return negate(simplify_cond(arg, facts))
        case _:
            known = facts.get(cond)
            return cond if not isinstance(known, bool) else TRUE if known else FALSE


def assume(facts: Facts, cond: Cond) -> Facts:
    """The facts with one more."""
    match cond:
        case And(args):
            for arg in args:
                facts = assume(facts, arg)
            return facts
        case RealCmp(rel, a, b):
            return {**facts, (a, b): _possible(facts, a, b) & _RELATIONS[rel]}
        case Not(RealCmp(rel, a, b)):
            return {**facts, (a, b): _possible(facts, a, b) - _RELATIONS[rel]}
        case Not(arg):
            return {**facts, arg: False}
        case Or():
            return facts
        case _:
            return {**facts, cond: True}


def _possible(facts: Facts, a: Term, b: Term) -> frozenset[str]:
    here, there = facts.get((a, b), _ALL), facts.get((b, a), _ALL)
    mirrored = frozenset(_MIRROR[r] for r in there) if isinstance(there, frozenset) else _ALL
    return (here if isinstance(here, frozenset) else _ALL) & mirrored


def _joined(cond: Cond) -> Cond:
    """A conjunction with the relations between the same two terms joined into one where that has a name."""
    if not isinstance(cond, And):
        return cond
    relations: dict[tuple[Term, Term], frozenset[str]] = {}
    rest: list[Cond] = []
    for arg in cond.args:
        match arg:
            case RealCmp(_, a, b) | Not(RealCmp(_, a, b)):
                pair = (b, a) if (b, a) in relations else (a, b)
                known: dict[object, frozenset[str] | bool] = {pair: relations.get(pair, _ALL)}
                relations[pair] = _possible(assume(known, arg), *pair)
            case _:
                rest.append(arg)
    rest += [_relation(a, b, possible) for (a, b), possible in relations.items()]
    return both(*rest)


def _relation(a: Term, b: Term, possible: frozenset[str]) -> Cond:
    if not possible or possible == _ALL:
        return TRUE if possible else FALSE
    if possible in _NAMES:
        return RealCmp(_NAMES[possible], a, b)
    mirrored = frozenset(_MIRROR[r] for r in possible)
    if mirrored in _NAMES:
        return RealCmp(_NAMES[mirrored], b, a)
    return Not(RealCmp("==", a, b))


def _select(cond: Cond, then: Term, other: Term) -> Term:
    """Nested selections against 0 become one."""
    match then, other:
        case _, _ if then == ZERO and other != ZERO:
            return _select(_joined(negate(cond)), other, ZERO)
        case Select(inner, body, last), _ if last == ZERO and other == ZERO:
            return _select(_joined(both(cond, inner)), body, ZERO)
        case _:
            return select(cond, then, other)


def _product(factors: list[Term]) -> Term:
    """A factor that is 0 outside a condition makes the product so."""
    conds: list[Cond] = []
    plain: list[Term] = []
    for factor in factors:
        while isinstance(factor, Select) and factor.other == ZERO:
            conds.append(factor.cond)
            factor = factor.then
        plain.append(factor)
    return _select(_joined(both(*conds)), mul(*plain), ZERO) if conds else mul(*plain)
