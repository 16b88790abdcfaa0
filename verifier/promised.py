"""POST of an operator: what its `ensure`s say of its result, for all sizes, wherever the formula has a value.

A promise about an integer result is settled along the form of the formula (integers.py), by bounds of indices and Z3;
one about a real result by intervals, or by the normal form. Only a promise that is proved may be used in a graph.
"""

from __future__ import annotations

from functools import lru_cache

from gradproof.compiler.calculus import requirements
from gradproof.compiler.dims import Entry, Poly
from gradproof.compiler.ops import OUTPUT, OpDef, Promise
from gradproof.compiler.rewriting import reads_of, replace_reads_cond, substitute
from gradproof.compiler.rules import meaning_of
from gradproof.compiler.terms import (
    FALSE,
    TRUE,
    And,
    Cond,
    IntCmp,
    RealCmp,
    Term,
    int_ge,
)
from gradproof.verifier.equality import equal
from gradproof.verifier.integers import Order, integers_of
from gradproof.verifier.proofs import Proof
from gradproof.verifier.ranges import Context
from gradproof.verifier.setting import setting_of
from gradproof.verifier.shapes import Goal, prove
from gradproof.verifier.signs import Bounds, settles


def proved(op: OpDef, timeout: float = 10.0) -> tuple[Promise, ...]:
    """The promises of an operator that hold: what a graph may take as known of its result.

    Of a formula that may have no value where its requirements hold nothing is handed on: `0 <= y < n` of an optimum
    over n places, where n may be 0, would be known to be false of a value that does not exist.
    """
    held = tuple(promise for promise in op.ensures if prove_promise(op, promise, timeout).proved)
    return held if held and _always_defined(op, timeout) else ()


@lru_cache(maxsize=4096)
def _always_defined(op: OpDef, timeout: float) -> bool:
    """Whether the formula has a value wherever the requirements hold, by integers alone."""
    inside = setting_of(op).context.with_ranges(dict(zip(op.forward.indices, op.forward.extents, strict=True)))
    order = _order(timeout)
    for need in requirements(meaning_of(op)):
        if need.exists:
            (_, extent) = need.binders[-1]
            around = inside.with_ranges(dict(need.binders[:-1]))
            goal = int_ge(extent, 1) if need.cond == TRUE else FALSE
        else:
            around, goal = inside.with_ranges(dict(need.binders)), need.cond
        parts = goal.args if isinstance(goal, And) else (goal,)
        for part in parts:
            known = part == TRUE or bool(integers_of((part,)))
            if not known or not order.condition(part, around, integers_of(need.path)):
                return False
    return True


@lru_cache(maxsize=4096)
def prove_promise(op: OpDef, promise: Promise, timeout: float = 10.0) -> Proof:
    """Whether one `ensure` of an operator holds of every entry of its result."""
    if isinstance(op.forward.body, Cond):
        return Proof(False, "", (), "an ensure about conditions")
    setting = setting_of(op)
    context = setting.context.with_ranges(dict(promise.ranges))
    match promise.cond:
        case IntCmp(rel, poly):
            signs = (1, -1) if rel == "==" else (1,)
            shown = all(_holds(op, sign * poly, context, timeout) for sign in signs)
            return Proof(shown, "linear bounds + z3", (), "" if shown else "no bound of the formula says so")
        case RealCmp() as cond:
            goal = replace_reads_cond(cond, lambda read: _entry(op, read.index) if read.tensor == OUTPUT else read)
            if settles(Bounds(context, {}), goal):
                return Proof(True, "interval")
            if isinstance(goal, RealCmp) and goal.rel == "==":
                facts = setting.facts_at(context.ranges)
                found = equal(goal.a, goal.b, context, facts, timeout)
                return Proof(found.proved, found.by, (), found.reason)
            return Proof(False, "", (), "no bound of the formula says so")
        case _:
            return Proof(False, "", (), "an ensure is a comparison of the result")


def _entry(op: OpDef, index: tuple[Poly, ...]) -> Term:
    """One entry of the result, by the meaning."""
    return substitute(meaning_of(op), dict(zip(op.forward.indices, index, strict=True)))


def _holds(op: OpDef, poly: Poly, context: Context, timeout: float) -> bool:
    """Whether poly >= 0 wherever the one entry of the result that it reads, linearly, has a value."""
    (index, *others) = reads_of(IntCmp(">=", poly), OUTPUT)
    if others:
        return False
    result = Entry(OUTPUT, index)
    monomial = ((result, 1),)
    factor = dict(poly.terms).get(monomial, 0)
    rest = poly - factor * Poly.atom(result)
    if factor not in (1, -1) or any(entry.tensor == OUTPUT for entry in rest.entries()):
        return False
    return _order(timeout).shown(_entry(op, index), factor, rest, context, ())


def _order(timeout: float) -> Order:
    return Order(lambda cond, context, path: prove(Goal(cond, context, path, ""), timeout) is None)
