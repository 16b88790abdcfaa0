"""The verdicts on one operator: each of its claims proved, refuted by a replayed counterexample, or unknown."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import lru_cache, partial
from itertools import islice
from time import perf_counter

from gradproof.compiler.claims import Claim, Counterexample, Verdict
from gradproof.compiler.laws import trusts
from gradproof.compiler.obligations import claims_of_op
from gradproof.compiler.ops import OpDef, Param
from gradproof.compiler.rewriting import walk
from gradproof.compiler.rules import RuleSet, as_written, rules_of
from gradproof.compiler.transpose import NotLinear
from gradproof.verifier import derivatives, domains, shapes
from gradproof.verifier.forms import forget
from gradproof.verifier.kinks import prove_kinks
from gradproof.verifier.options import Options
from gradproof.verifier.progress import attempt
from gradproof.verifier.promised import prove_promise
from gradproof.verifier.proofs import ALL_SIZES, Proof

GLANCE = 0.5  # seconds for a look at points before a proof is tried
LONG = 150  # the length of a rule, intermediates written out, from which on that is worth while


def verdicts_of_op(op: OpDef, options: Options, known: Mapping[str, Verdict] | None = None) -> list[Verdict]:
    """One verdict for each claim of the operator, in the order of claims_of_op; `known` ones by key are not sought."""
    from gradproof.verifier.nonlinear import nonlinear

    known = known or {}
    forget()  # every claim makes its own forms and keeps none
    claims = claims_of_op(op)
    try:
        rules = rules_of(op)
    except NotLinear as error:
        found = nonlinear(op, options.search)
        return [_without_rules(op, claim, position, error, found, options) for position, claim in enumerate(claims)]
    return [
        known.get(claim.key) or attempt(claim, partial(_settle, op, rules, claim, position, options))
        for position, claim in enumerate(claims)
    ]


def verdict_of_claim(op: OpDef, position: int, options: Options, search: bool = True) -> Verdict:
    """The verdict on one claim of claims_of_op; transpose.NotLinear where a written rule is not linear.

    Without `search` no counterexample is looked for: the answer is proved or unknown.
    """
    return _settle(op, rules_of(op), claims_of_op(op)[position], position, options, search)


def _settle(op: OpDef, rules: RuleSet, claim: Claim, position: int, options: Options, search: bool = True) -> Verdict:
    started = perf_counter()
    try:
        proof, hunt = _plan(op, rules, claim, position, options)
        found = None
        if search and claim.code in ("JVP", "VJP") and _suspect(op, options.search, options.seed):
            found = _plan(op, rules, claim, position, replace(options, search=min(GLANCE, options.search)))[1]()
        outcome = proof() if found is None else Proof(False, "")
        found = hunt() if search and found is None and not outcome.proved else found
        if search and found is None and (claim.code == "DOM" or (claim.code == "VJP" and not outcome.proved)):
            found = _steep(op, rules, claim, position, options)
        if search and found is None and claim.code == "KINK" and not outcome.proved:
            found = _no_subgradient(op, rules, options)
    except RecursionError:
        outcome, found = Proof(False, "", (), "the formula is nested too deeply"), None
    seconds = perf_counter() - started
    if outcome.proved and found is None:
        leaning = trusts(op) if claim.code != "SHAPE" else ()
        return Verdict(claim, "proved", outcome.by, ALL_SIZES, seconds, (*outcome.hypotheses, *leaning))
    if found is not None:
        return Verdict(_at_fault(op, claim, found), "refuted", "replay", _scope(found), seconds, counterexample=found)
    reason = outcome.reason or "not proved, and no counterexample was found"
    if search and claim.code == "KINK" and "jumps" in reason and not op.lawful:
        reason = "; ".join(filter(None, (reason, _jump(op, rules, options))))
    return Verdict(claim, "unknown", "", ALL_SIZES, seconds, reason=reason)


@lru_cache(maxsize=64)
def _suspect(op: OpDef, search: float, seed: int) -> bool:
    """Whether points refute the rules at a glance: of long formulas, since that two differ is not proved quickly."""
    rules = rules_of(op)
    if rules.jvp is None or op.lawful or not (op.vjps or op.jvp):
        return False
    if sum(1 for _ in islice(walk(derivatives.unfolded_let(op, rules.jvp.result.body)), LONG)) < LONG:
        return False
    from gradproof.verifier.refute import Search

    return Search(op, rules, min(GLANCE, search), seed).jvp() is not None


def _scope(found: Counterexample) -> str:
    return ", ".join(f"{k} = {v}" for k, v in found.dims.items()) or "at one point"


def _steep(op: OpDef, rules: RuleSet, claim: Claim, position: int, options: Options) -> Counterexample | None:
    """A counterexample where the calculus has no derivative and the formula finite slopes."""
    from gradproof.verifier.steep import may_be_steep, without_a_value, wrong_value

    if not may_be_steep(op):
        return None
    from gradproof.verifier.refute import Search

    search = Search(op, rules, options.search, options.seed)
    return without_a_value(search) if claim.code == "DOM" else wrong_value(search, _input_of(op, position))


def _no_subgradient(op: OpDef, rules: RuleSet, options: Options) -> Counterexample | None:
    """A counterexample to KINK for which the sides of each tie by itself are not enough."""
    from gradproof.verifier.nonlinear import not_additive
    from gradproof.verifier.refute import Search
    from gradproof.verifier.steep import outside_slopes

    return not_additive(op, options.search) or outside_slopes(Search(op, rules, options.search, options.seed))


def _input_of(op: OpDef, position: int) -> Param:
    """The input that a VJP claim is about."""
    return op.differentiable[position - next(k for k, c in enumerate(claims_of_op(op)) if c.code == "VJP")]


def _jump(op: OpDef, rules: RuleSet, options: Options) -> str:
    from gradproof.verifier.refute import Search

    return Search(op, rules, min(1.0, options.search), options.seed).jump()


def _at_fault(op: OpDef, claim: Claim, found: Counterexample) -> Claim:
    """The claim, placed at the formula that reads out of bounds, or at the rule that has no value at the point."""
    if claim.code == "SHAPE":
        place = found.expected.rpartition(" in ")[2]
        rules = {"jvp": op.jvp, "forward": op.runs or op.forward, **{f"vjp {rule.target}": rule for rule in op.vjps}}
        rules |= {f"let {let.target}": let for let in op.lets}
        formula = rules.get(place)
        return replace(claim, span=formula.span) if formula else claim
    if claim.code != "DOM":
        return claim
    at = next((rule for rule in op.vjps if re.match(rf"vjp {re.escape(rule.target)}\b", found.got)), None)
    return claim if at is None else replace(claim, span=at.span)


def _plan(
    op: OpDef, rules: RuleSet, claim: Claim, position: int, options: Options
) -> tuple[Callable[[], Proof], Callable[[], Counterexample | None]]:
    """How the claim is proved, and how a counterexample to it is searched."""

    # Imported here: the search needs NumPy and the kernels, which a proof does not.
    def hunt(name: str, *args: object) -> Counterexample | None:
        from gradproof.verifier.law_points import LawSearch
        from gradproof.verifier.refute import Search

        kind = LawSearch if op.lawful else Search
        found: Counterexample | None = getattr(kind(op, rules, options.search, options.seed), name)(*args)
        return found

    match claim.code:
        case "JVP":
            return partial(derivatives.prove_jvp, op, rules, options.timeout), partial(hunt, "jvp")
        case "VJP":
            param = _input_of(op, position)
            return partial(derivatives.prove_vjp, op, rules, param, options.timeout), partial(hunt, "vjp", param)
        case "RUNS":
            return partial(derivatives.prove_runs, op, options.timeout), partial(hunt, "runs")
        case "KINK":
            return partial(prove_kinks, op, rules, options.timeout), partial(hunt, "kink")
        case "DOM":
            return partial(_domain, op, rules, options.timeout), partial(hunt, "undefined")
        case "SHAPE":
            failures = shapes.check_op(op, rules, options.timeout)
            found = next((f.counterexample for f in failures if f.counterexample is not None), None)
            reasons = "; ".join(f"{f.what}: {f.reason}" for f in failures)
            return lambda: Proof(not failures, "linear bounds + z3", (), reasons), lambda: found
        case "POST":
            first = next(k for k, c in enumerate(claims_of_op(op)) if c.code == "POST")
            promise = op.ensures[position - first]
            return partial(prove_promise, op, promise, options.timeout), partial(hunt, "broken", promise)
    raise ValueError(f"no way to prove {claim.code} of an operator")


def _domain(op: OpDef, rules: RuleSet, timeout: float) -> Proof:
    failures = domains.check_op(op, rules, timeout)
    return Proof(not failures, "interval + z3", (), "; ".join(failures))


def _without_rules(
    op: OpDef, claim: Claim, position: int, error: NotLinear, found: Counterexample | None, options: Options
) -> Verdict:
    """An operator whose written rules have no rule set still has a shape, a domain and what runs to prove."""
    from gradproof.verifier.nonlinear import valueless, without_rules

    bare = without_rules(op)
    match claim.code:
        case "JVP" | "VJP" | "KINK":
            return _not_linear(claim, error, found)
        case "SHAPE":  # what is written, linear or not, is what the claim is about
            return attempt(claim, partial(_settle, op, as_written(op), claim, position, options))
        case "DOM":
            verdict = attempt(claim, partial(_settle, bare, rules_of(bare), claim, position, options))
            written = domains.check_op(op, as_written(op), options.timeout) if verdict.answer == "proved" else []
            point = valueless(op, options.search) if written else None
            if point is not None:
                return Verdict(
                    _at_fault(op, claim, point), "refuted", "replay", _scope(point), 0.0, counterexample=point
                )
            return replace(verdict, answer="unknown", by="", reason="; ".join(written)) if written else verdict
        case _:
            return attempt(claim, partial(_settle, bare, rules_of(bare), claim, position, options))


def _not_linear(claim: Claim, error: NotLinear, found: Counterexample | None) -> Verdict:
    """A written rule that is not linear in its (co)tangent is no derivative: g = 0 and g = 1 already tell."""
    if found is not None:
        return Verdict(claim, "refuted", "replay", "the sizes shown", 0.0, counterexample=found)
    return Verdict(claim, "unknown", "", ALL_SIZES, 0.0, reason=f"a written rule is not linear: {error}")
