"""JVP, VJP and RUNS: the rules that run are the derivative of the meaning, for all sizes and every rank.

JVP: the jvp that runs equals the calculus's derivative. VJP: summed over all entries, <jvp, g> = <dx, vjp>, with the
calculus's derivative as the jvp. An operator with kinks may take another value at a tie than the calculus: then both
are shown away from the ties, where the derivative is unique, jvp and vjp are shown to agree everywhere, and KINK says
what may be used at the tie.
"""

from __future__ import annotations

from dataclasses import dataclass

from gradproof.compiler.claims import Hypothesis
from gradproof.compiler.dims import Poly
from gradproof.compiler.ops import COTANGENT, TANGENT, OpDef, Param
from gradproof.compiler.rules import RuleSet, derived_jvp, extents, kinked, meaning_of, unfolded, without
from gradproof.compiler.terms import Read, Term, mul, substitute, total
from gradproof.verifier.equality import Equal, equal
from gradproof.verifier.hypotheses import explain
from gradproof.verifier.setting import Setting, setting_of


@dataclass(frozen=True, slots=True)
class Proof:
    """Proved, by which means and under which hypotheses; or not, and why.

    `transversal` tells the search for a counterexample to KINK that all ties are surfaces with inner points beside.
    """

    proved: bool
    by: str
    hypotheses: tuple[Hypothesis, ...] = ()
    reason: str = ""
    transversal: bool = False


TIES = Hypothesis("the point is not at a tie of the formula", "KINK covers the ties")


def prove_runs(op: OpDef, timeout: float) -> Proof:
    """RUNS: the formula that runs equals the meaning."""
    if op.runs is None:
        return Proof(True, "structure")
    return _compare(op, _at_output(op, op.runs.indices, unfolded_let(op, op.runs.body)), meaning_of(op), timeout)


def unfolded_let(op: OpDef, body: object) -> Term:
    """A formula of `runs` with its intermediates replaced by what they mean."""
    return unfolded(op, body)  # type: ignore[arg-type]  # elaboration refuses boolean `runs`


def prove_jvp(op: OpDef, rules: RuleSet, timeout: float) -> Proof:
    """JVP: the jvp that runs is the derivative of the meaning."""
    if rules.jvp is None:
        return Proof(True, "structure")
    body = unfolded(op, rules.jvp.result.body)  # type: ignore[arg-type]
    return _compare(op, _at_output(op, rules.jvp.result.indices, body), derived_jvp(op), timeout, ties=kinked(op))


def prove_vjp(op: OpDef, rules: RuleSet, param: Param, timeout: float) -> Proof:
    """VJP of one input: <jvp, g> = <dx, vjp>, for the jvp that runs and for the calculus's derivative."""
    rule = dict(rules.vjps)[param.name].result
    vjp = unfolded(op, rule.body)  # type: ignore[arg-type]
    right = _paired(vjp, TANGENT + param.name, rule.indices, extents(param))
    left = _paired(derived_jvp(op, (param,)), COTANGENT, op.forward.indices, op.forward.extents)
    first = _close(op, left, right, timeout)
    if first.proved or not kinked(op) or rules.jvp is None:
        return first
    away = _close(op, left, right, timeout, generic=True)
    if not away.proved:
        return away
    others = {TANGENT + p.name for p in op.differentiable if p.name != param.name}
    own = without(unfolded(op, rules.jvp.result.body), others)  # type: ignore[arg-type]
    both = _close(op, _paired(own, COTANGENT, rules.jvp.result.indices, op.forward.extents), right, timeout)
    if not both.proved:
        return Proof(False, "", (), "the jvp and the vjp that run disagree at a tie")
    return Proof(True, away.by, (*away.hypotheses, TIES))


def _paired(term: Term, tensor: str, indices: tuple[str, ...], lengths: tuple[Poly, ...]) -> Term:
    """The sum over all entries of term * tensor."""
    paired = mul(term, Read(tensor, tuple(map(Poly.sym, indices))))
    for name, extent in reversed(list(zip(indices, lengths, strict=True))):
        paired = total(name, extent, paired)
    return paired


def _at_output(op: OpDef, indices: tuple[str, ...], body: Term) -> Term:

    names = dict(zip(indices, map(Poly.sym, op.forward.indices), strict=True))
    return substitute(body, {old: new for old, new in names.items() if Poly.sym(old) != new})


def _compare(op: OpDef, left: Term, right: Term, timeout: float, ties: bool = False) -> Proof:
    """Equality at each entry of the output."""
    ranges = dict(zip(op.forward.indices, op.forward.extents, strict=True))
    first = _close(op, left, right, timeout, ranges)
    if first.proved or not ties:
        return first
    away = _close(op, left, right, timeout, ranges, generic=True)
    return Proof(True, away.by, (*away.hypotheses, TIES)) if away.proved else away


def _close(
    op: OpDef,
    left: Term,
    right: Term,
    timeout: float,
    ranges: dict[str, Poly] | None = None,
    generic: bool = False,
) -> Proof:
    setting: Setting = setting_of(op)
    found: Equal = equal(
        left, right, setting.context.with_ranges(ranges or {}), setting.facts, timeout, generic=generic
    )
    if not found.proved:
        return Proof(False, "", (), found.reason)
    return Proof(True, found.by, explain(op, found.cancelled))
