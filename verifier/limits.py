"""Counterexamples at removable singularities: the jvp that runs against the derivative of the continued formula."""

from __future__ import annotations

from dataclasses import dataclass

from gradproof.compiler.claims import Counterexample
from gradproof.compiler.denote import evaluate, field_of, holds
from gradproof.compiler.dims import Poly
from gradproof.compiler.ops import OUTPUT, OpDef
from gradproof.compiler.rules import RuleSet
from gradproof.compiler.terms import ZERO, Cond, RealCmp, Term
from gradproof.verifier.cells import Cells, Unsettled
from gradproof.verifier.certain import differs, shown
from gradproof.verifier.forms import TooLarge
from gradproof.verifier.replay import Replay
from gradproof.verifier.sides import Opaque
from gradproof.verifier.witness import Point


@dataclass(frozen=True, slots=True)
class Limit:
    """A tie at which a formula is smooth when continued, and its gradient there by entry, in its own reads."""

    tie: Cond
    gradient: tuple[tuple[str, tuple[Poly, ...], Term], ...]


def limits_of(op: OpDef, rules: RuleSet, timeout: float) -> tuple[Limit, ...]:
    """The removable singularities of an operator that are known; none where it has another shape."""
    cells = Cells(op, rules, timeout)
    try:
        cells.read()
        found = list(cells.removables())
    except (Unsettled, Opaque, TooLarge):
        return ()
    return tuple(
        Limit(
            RealCmp("==", cells.original(one.difference), ZERO),
            tuple((*cells.entry(name), cells.original(term)) for name, term in one.gradient.items()),
        )
        for one in found
    )


def wrong_limit(search: Replay, limits: tuple[Limit, ...], point: Point, kind: str) -> Counterexample | None:
    """A counterexample to KINK at this point, if it is a removable singularity with a wrong value."""
    field = field_of(kind)
    for limit in limits:
        for entry in search.indices(point):
            env = search.env(point, kind, entry)
            if holds(limit.tie, env, field) is not True:
                continue
            for tensor, index, slope in limit.gradient:
                position = tuple(env.index(p) for p in index)
                tangents = search.along(point, search.op.param(tensor), position)
                got, wanted = search.run(point, "jvp", "", kind, tangents)[entry], evaluate(slope, env, field)
                if differs(got, wanted):
                    moved = f"d{tensor}{list(position)} = 1"
                    expected = f"{shown(wanted)} (the limit of the derivative)"
                    return search.report(point, (), f"jvp {OUTPUT}{list(entry)} ({moved})", expected, got)
    return None
