"""JVP, VJP and RUNS: the rules that run are the derivative of the meaning, for all sizes and every rank.

JVP: the jvp that runs equals the calculus's derivative. VJP: summed over all entries, <jvp, g> = <dx, vjp>, with the
calculus's derivative as the jvp. An operator with kinks may take another value at a tie than the calculus: then both
are shown away from the ties, where the derivative is unique, and KINK must be proved: that the ties are thin, and that
what is used there is a subgradient. KINK is about the jvp, so jvp and vjp are shown to agree everywhere.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

from gradproof.compiler.claims import Hypothesis
from gradproof.compiler.dims import Poly
from gradproof.compiler.ops import COTANGENT, TANGENT, OpDef, Param
from gradproof.compiler.rewriting import substitute
from gradproof.compiler.rules import RuleSet, derived_jvp, extents, meaning_of, rules_of, tied, unfolded, without
from gradproof.compiler.terms import Read, Term, both, mul, total
from gradproof.compiler.transpose import NotLinear, contributions
from gradproof.verifier import laws
from gradproof.verifier.asked import tell_identity
from gradproof.verifier.cells import Cells, Unsettled
from gradproof.verifier.compound import prove_compound
from gradproof.verifier.equality import Equal, equal
from gradproof.verifier.forms import COLLAPSE, TooLarge
from gradproof.verifier.hypotheses import explain
from gradproof.verifier.kinks import prove_kinks
from gradproof.verifier.optima import picked
from gradproof.verifier.patterns import prove_patterns
from gradproof.verifier.proofs import Proof
from gradproof.verifier.setting import Setting, setting_of
from gradproof.verifier.sides import Opaque

TIES = Hypothesis("the point is not at a tie of the formula", "KINK is proved, which covers the ties")


def prove_runs(op: OpDef, timeout: float) -> Proof:
    """RUNS: the formula that runs equals the meaning."""
    if op.runs is None:
        return Proof(True, "structure")
    runs = _at_output(op, op.runs.indices, unfolded_let(op, op.runs.body))
    return _at_entries(op, runs, meaning_of(op), timeout)


def unfolded_let(op: OpDef, body: object) -> Term:
    """A formula of `runs` with its intermediates replaced by what they mean."""
    return unfolded(op, body)  # type: ignore[arg-type]  # elaboration refuses boolean `runs`


def prove_jvp(op: OpDef, rules: RuleSet, timeout: float) -> Proof:
    """JVP: the jvp that runs is the derivative of the meaning."""
    if rules.jvp is None:
        return Proof(True, "structure")
    if op.lawful:
        return _tested(op) or laws.prove_jvp(op, rules, timeout)
    if tied(op) and ((known := prove_patterns(op, timeout)).proof.proved or known.decisive):
        return known.proof
    body = _at_output(op, rules.jvp.result.indices, unfolded(op, rules.jvp.result.body))  # type: ignore[arg-type]
    exact = _at_entries(op, body, _calculus(op, op.differentiable), timeout)
    if exact.proved or not tied(op):
        return exact
    if picked(op, rules, timeout) is not None:
        return _with_ties(op, rules, timeout, Proof(True, "normal form"))
    moved = frozenset(p.name for p in op.differentiable)
    away = _at_entries(op, body, _calculus(op, op.differentiable), timeout, moved)
    return _at_all_ties(op, timeout) if away.reason == COLLAPSE else _with_ties(op, rules, timeout, away)


@lru_cache(maxsize=1024)
def _at_all_ties(op: OpDef, timeout: float) -> Proof:
    """JVP where a comparison may tie on a region: KINK covers each point where one does.

    min(r * a, clip(r) * a) ties for every r where a is 0, and max(0, sum w x) for every w where x is 0. What
    compound.py proves holds at every point: the rule is the derivative of a smooth formula around maxima, with a
    weight where they tie. Where the whole is differentiable the sides of each maximum that matters agree, and any
    weight is right.
    """
    found = _by_cells(op, timeout)
    if found.proved:
        return found
    try:
        whole = prove_compound(op, rules_of(op), timeout)
    except (Unsettled, TooLarge):
        return found
    return replace(whole, hypotheses=(*whole.hypotheses, TIES))


def _by_cells(op: OpDef, timeout: float) -> Proof:
    cells = Cells(op, rules_of(op), timeout)
    try:
        if any(kink.least or kink.jump for kink in op.kinks) or not cells.prove().proved or not cells.smooth():
            return Proof(False, "", (), COLLAPSE)
    except (Unsettled, Opaque, TooLarge) as error:
        return Proof(False, "", (), f"{COLLAPSE}; {error}")
    return Proof(True, "z3", (TIES,))


@lru_cache(maxsize=4096)
def calculus_runs(op: OpDef, timeout: float) -> bool:
    """Whether the jvp that runs is the calculus's derivative at ties, too; JVP says it of other points."""
    rules = rules_of(op)
    if rules.jvp is None or not tied(op):
        return True
    body = _at_output(op, rules.jvp.result.indices, unfolded(op, rules.jvp.result.body))  # type: ignore[arg-type]
    wanted = _calculus(op, op.differentiable)
    return body == wanted or _at_entries(op, body, wanted, timeout).proved


def prove_vjp(op: OpDef, rules: RuleSet, param: Param, timeout: float) -> Proof:
    """VJP of one input: <jvp, g> = <dx, vjp>, for the jvp that runs and for the calculus's derivative."""
    if op.lawful:
        return _tested(op) or laws.prove_vjp(op, rules, param, timeout)
    rule = dict(rules.vjps)[param.name].result
    vjp = unfolded(op, rule.body)  # type: ignore[arg-type]
    if rules.jvp is not None and tied(op):
        known = prove_patterns(op, timeout)
        if known.decisive or (known.proof.proved and _transposed(op, rules, param, vjp, rule.indices)):
            return known.proof
    right = paired(vjp, TANGENT + param.name, rule.indices, extents(param))
    left = paired(_calculus(op, (param,)), COTANGENT, op.forward.indices, op.forward.extents)
    exact = close(op, left, right, timeout)
    if not tied(op) or rules.jvp is None:
        return exact
    if exact.proved:
        found = exact
    elif (choice := picked(op, rules, timeout)) is not None:
        left = paired(choice(op, (param,)), COTANGENT, op.forward.indices, op.forward.extents)
        found = _with_ties(op, rules, timeout, close(op, left, right, timeout))
    else:
        moved = frozenset(p.name for p in op.differentiable)
        found = _with_ties(op, rules, timeout, close(op, left, right, timeout, generic=moved))
        if found.reason == COLLAPSE:  # then by the jvp, which is that derivative, and the transpose that follows
            found = _at_all_ties(op, timeout)
    if not found.proved or (exact.proved and op.jvp is None and not op.vjps):
        return found
    others = {TANGENT + p.name for p in op.differentiable if p.name != param.name}
    own = without(unfolded(op, rules.jvp.result.body), others)  # type: ignore[arg-type]
    both = close(op, paired(own, COTANGENT, rules.jvp.result.indices, op.forward.extents), right, timeout)
    return found if both.proved else Proof(False, "", (), "the jvp and the vjp that run disagree at a tie")


def _transposed(op: OpDef, rules: RuleSet, param: Param, vjp: Term, indices: tuple[str, ...]) -> bool:
    """Whether jvp and vjp of an input that is read where the result is have the same coefficient, as it is written."""
    assert rules.jvp is not None
    places = op.forward.indices
    if tuple(a.extent for a in param.axes) != op.forward.extents or len(indices) != len(places):
        return False
    others = {TANGENT + p.name for p in op.differentiable if p.name != param.name}
    own = without(unfolded(op, rules.jvp.result.body), others)  # type: ignore[arg-type]
    sides = []
    for term, tensor, names in ((own, TANGENT + param.name, rules.jvp.result.indices), (vjp, COTANGENT, indices)):
        here = substitute(term, dict(zip(names, map(Poly.sym, places), strict=True)))
        try:
            parts = contributions(here, tensor)
        except NotLinear:
            return False
        at = tuple(map(Poly.sym, places))
        if any(part.binders or part.index != at for part in parts):
            return False
        sides.append([(part.coefficient, both(*part.conds)) for part in parts])
    return sides[0] == sides[1]


def _tested(op: OpDef) -> Proof | None:
    """What is wrong with the laws on samples; None where nothing is."""
    from gradproof.verifier.law_points import law_check

    problem, _ = law_check(op)
    return Proof(False, "", (), problem) if problem else None


def _calculus(op: OpDef, inputs: tuple[Param, ...]) -> Term:
    """The derivative by the calculus alone: what a stanza declares at a kink is a claim like any other."""
    return derived_jvp(replace(op, kinks=()) if op.kinks else op, inputs)


def _with_ties(op: OpDef, rules: RuleSet, timeout: float, away: Proof) -> Proof:
    """What is proved away from the ties is proved where KINK is."""
    if not away.proved:
        return away
    ties = prove_kinks(op, rules, timeout)
    if not ties.proved:
        return Proof(False, "", (), f"it holds away from the ties, but not every tie is settled: {ties.reason}")
    return Proof(True, away.by, (*away.hypotheses, TIES))


def _at_entries(op: OpDef, left: Term, right: Term, timeout: float, generic: frozenset[str] = frozenset()) -> Proof:
    """Equality at each entry of the output: of the entries, or of their sums with arbitrary weights."""
    indices, lengths = op.forward.indices, op.forward.extents
    first = close(op, left, right, timeout, dict(zip(indices, lengths, strict=True)), generic)
    if first.proved or not indices:
        return first
    left, right = (paired(side, COTANGENT, indices, lengths) for side in (left, right))
    second = close(op, left, right, timeout, None, generic)
    return second if second.proved else first


def paired(term: Term, tensor: str, indices: tuple[str, ...], lengths: tuple[Poly, ...]) -> Term:
    """The sum over all entries of term * tensor."""
    paired = mul(term, Read(tensor, tuple(map(Poly.sym, indices))))
    for name, extent in reversed(list(zip(indices, lengths, strict=True))):
        paired = total(name, extent, paired)
    return paired


def _at_output(op: OpDef, indices: tuple[str, ...], body: Term) -> Term:
    names = dict(zip(indices, map(Poly.sym, op.forward.indices), strict=True))
    return substitute(body, {old: new for old, new in names.items() if Poly.sym(old) != new})


def close(
    op: OpDef,
    left: Term,
    right: Term,
    timeout: float,
    ranges: dict[str, Poly] | None = None,
    generic: frozenset[str] = frozenset(),
) -> Proof:
    """Equality for all sizes, at free indices in `ranges`; `generic` asks only for points away from ties in these."""
    setting: Setting = setting_of(op)
    context, facts = setting.context.with_ranges(ranges or {}), setting.facts_at(ranges or {})
    found: Equal = equal(left, right, context, facts, timeout, generic, everywhere=setting.everywhere)
    if not found.proved:
        return Proof(False, "", (), found.reason)
    tell_identity(left, right, context, facts, generic, found.by)
    return Proof(True, found.by, explain(op, found.cancelled))
