"""SYMM: forward over reverse is reverse over forward. The second derivative of an operator is symmetric, for all sizes.

For inputs p and q the jvp of the derived operator `f.vjp.p` along dq, the output's own tangent put in, contracted with
a second direction of p, is the second derivative `D^2 <g, f>(dp, dq)`. It is computed here from the rules that run, and
must be what `f.vjp.q` gives with the directions exchanged. At points where the first derivative jumps there is no
second one: there nothing is claimed, and KINK of the derived operators says what is used.

For a graph it follows: its second derivative is, by the chain rule that GRAD and JVP of the gradient's graph prove, the
sum of these forms, each in tangents that are the same on both sides.
"""

from __future__ import annotations

from time import perf_counter

from gradproof.compiler.claims import Hypothesis, Verdict
from gradproof.compiler.derived import derived_op, given_names
from gradproof.compiler.ops import COTANGENT, TANGENT, OpDef, Param
from gradproof.compiler.orders import symmetry_claim
from gradproof.compiler.rewriting import rename_tensors, replace_reads, substitute
from gradproof.compiler.rules import RuleSet, extents, rules_of, tied, unfolded, without
from gradproof.compiler.terms import Read, Term
from gradproof.compiler.transpose import NotLinear
from gradproof.grammar.source import Diagnostic
from gradproof.verifier.derivatives import close, paired
from gradproof.verifier.forms import forget
from gradproof.verifier.proofs import Proof

FIRST, SECOND = "d1 ", "d2 "  # two directions of each input


def symmetry_verdict(op: OpDef, timeout: float) -> Verdict:
    """The verdict on SYMM."""
    started = perf_counter()
    forget()  # every claim makes its own forms and keeps none
    try:
        proof = prove_symmetry(op, timeout)
    except RecursionError:
        proof = Proof(False, "", (), "the formula is nested too deeply")
    except Diagnostic as error:  # a rule that runs an extern
        proof = Proof(False, "", (), error.message)
    seconds, claim = perf_counter() - started, symmetry_claim(op)
    if proof.proved:
        return Verdict(claim, "proved", proof.by, "all sizes", seconds, proof.hypotheses)
    return Verdict(claim, "unknown", "", "all sizes", seconds, reason=proof.reason)


def prove_symmetry(op: OpDef, timeout: float) -> Proof:
    """SYMM of one operator: every pair of inputs, each input with itself too."""
    try:
        rules = rules_of(op)
        forms = {(p.name, q.name): _second(op, rules, p, q) for p in op.differentiable for q in op.differentiable}
    except NotLinear as error:
        return Proof(False, "", (), f"a rule is not linear: {error}")
    moved = frozenset(p.name for p in op.differentiable)
    means: dict[str, None] = {}
    hypotheses: dict[Hypothesis, None] = {}
    for position, p in enumerate(op.differentiable):
        for q in op.differentiable[position:]:
            left, right = forms[p.name, q.name], forms[q.name, p.name]
            right = rename_tensors(right, {FIRST + q.name: SECOND + q.name, SECOND + p.name: FIRST + p.name})
            found = close(op, left, right, timeout)
            if not found.proved and tied(op):
                found = close(op, left, right, timeout, generic=moved)
            if not found.proved:
                reason = f"d{p.name} d{q.name} is not known to be d{q.name} d{p.name}: {found.reason}"
                return Proof(False, "", (), reason)
            means.update(dict.fromkeys(found.by.split(" + ")))
            hypotheses.update(dict.fromkeys(found.hypotheses))
    return Proof(True, " + ".join(means), tuple(hypotheses))


def _second(op: OpDef, rules: RuleSet, p: Param, q: Param) -> Term:
    """The second derivative in the first direction of p and the second of q: the derivative along q of p's vjp."""
    derived = derived_op(op, p.name)
    output, cotangent = given_names(op)
    made = rules_of(derived).jvp
    first = rules.jvp
    if made is None or first is None:
        raise ValueError(f"{op.name} is not differentiable")
    body = unfolded(derived, made.result.body)  # type: ignore[arg-type]
    along = {TANGENT + q.name: SECOND + q.name}
    still = {TANGENT + r.name for r in op.differentiable if r is not q}
    own = rename_tensors(without(unfolded(op, first.result.body), still), along)  # type: ignore[arg-type]
    value = unfolded(op, op.forward.body)  # type: ignore[arg-type]
    body = without(body, {*still, TANGENT + cotangent})
    meaning = {output: (op.forward.indices, value), TANGENT + output: (first.result.indices, own)}

    def one(read: Read) -> Term:
        if read.tensor not in meaning:
            return read
        indices, term = meaning[read.tensor]
        return substitute(term, dict(zip(indices, read.index, strict=True)))

    body = rename_tensors(replace_reads(rename_tensors(body, along), one), {cotangent: COTANGENT})
    return paired(body, FIRST + p.name, made.result.indices, extents(p))
