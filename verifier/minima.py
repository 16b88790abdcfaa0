"""KINK at a declared least value: `least at y = 0`, where sqrt(sum x^2) has no derivative at the origin.

A function that is nowhere below c has 0 among its proximal subgradients wherever it is c (Clarke, Ledyaev, Stern and
Wolenski 1998, section 1.2), and these are Clarke subgradients, also where the slopes nearby are unbounded. So two
things are shown: the meaning is at least c throughout its domain, and the jvp that runs is 0 where the output is c.
JVP is shown away from the ties of the rule only, and a rule may branch on more than the value: so that it is the
calculus's derivative wherever the output is not c is shown here too, unless other ties are to be shown anyway.
The declared domain must be open: at x = 0, the least value of x on x >= 0 has the slope 1.
That the jvp is defined there is DOM's, that the vjp agrees with it everywhere is VJP's.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from gradproof.compiler.dims import Poly
from gradproof.compiler.ops import Formula, Kink, OpDef
from gradproof.compiler.rewriting import substitute, tensors, walk
from gradproof.compiler.rules import derived_jvp, least_at, meaning_of, tied, unfolded
from gradproof.compiler.terms import ZERO, And, Cond, Or, RealCmp, Term, select, sub
from gradproof.verifier.domains import domain_reads
from gradproof.verifier.equality import equal
from gradproof.verifier.setting import setting_of
from gradproof.verifier.signs import Bounds


def at_least(op: OpDef, kinks: Iterable[Kink], jvp: Formula, timeout: float) -> str:
    """Why a declared least value is not one, or is not what the jvp is 0 at; empty where all is shown."""
    setting = setting_of(op)
    moving = {p.name for p in op.differentiable}
    if any(not _open(fact) and tensors(fact) & moving for fact in setting.facts):
        return "the declared domain has a boundary in it, at which a least value need not be a stationary one"
    ranges = dict(zip(op.forward.indices, op.forward.extents, strict=True))
    context, facts = setting.context.with_ranges(ranges), setting.facts_at(ranges)
    meaning = meaning_of(op)
    names = dict(zip(jvp.indices, map(Poly.sym, op.forward.indices), strict=True))
    rule: Term = substitute(unfolded(op, jvp.body), names)  # type: ignore[arg-type]  # a jvp is real
    for kink in kinks:
        cond = least_at(kink, meaning)
        match cond:
            case RealCmp("==", _, value):
                if not Bounds(context, domain_reads(op), facts).of(sub(meaning, value)).nonnegative:
                    return f"it is not known that the formula is nowhere below {value}"
        found = equal(select(cond, rule, ZERO), ZERO, context, facts, timeout)
        if not found.proved:
            return f"the derivative that is used at the least value is not known to be 0: {found.reason}"
    plain = replace(op, kinks=tuple(kink for kink in op.kinks if not kink.least))
    if tied(plain):
        return ""  # what is used at the other ties is shown of each of them
    apart, smooth = rule, derived_jvp(plain)
    for kink in kinks:
        cond = least_at(kink, meaning)
        apart, smooth = select(cond, ZERO, apart), select(cond, ZERO, smooth)
    found = equal(apart, smooth, context, facts, timeout)
    if not found.proved:
        return f"the derivative that is used elsewhere is not known to be the formula's: {found.reason}"
    return ""


def _open(cond: Cond) -> bool:
    """Whether a condition on reals holds round each point where it holds: of what is continuous, a strict one does."""
    match cond:
        case RealCmp(rel, _, _):
            return rel == "<"
        case And(args) | Or(args):
            return all(map(_open, args))
        case _:
            return not any(isinstance(inner, RealCmp) for inner in walk(cond))
