"""The verdicts on one graph: its shapes and domains here, its tape in dense.py, its plan in plans.py, its promises."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from time import perf_counter

from gradproof.compiler.bounds import text_between
from gradproof.compiler.branches import branching
from gradproof.compiler.claims import Claim, Counterexample, Hypothesis, Verdict
from gradproof.compiler.graph import Graph, Node
from gradproof.compiler.laws import trusts
from gradproof.compiler.obligations import own_claims
from gradproof.compiler.rules import rules_of
from gradproof.compiler.transpose import NotLinear
from gradproof.verifier import post
from gradproof.verifier.dense import prove_tape
from gradproof.verifier.facts import facts_of
from gradproof.verifier.graph_domains import DomainFailure, Ranges, check_domains
from gradproof.verifier.graph_kinks import check_boundaries
from gradproof.verifier.graph_shapes import check_shapes
from gradproof.verifier.options import Options
from gradproof.verifier.plans import prove_plan
from gradproof.verifier.progress import attempt
from gradproof.verifier.proofs import ALL_SIZES


def verdicts_of_graph(graph: Graph, options: Options) -> list[Verdict]:
    """One verdict for each claim that is the graph's own, in the order of own_claims."""
    claims = own_claims(graph)
    first = next(c for c in claims if c.code == "SHAPE")
    shape = attempt(first, partial(_shape, graph, first, options))
    if shape.answer != "proved":
        # A graph whose shapes are wrong has no values: there is nothing to compare, run or bound.
        reason = "the graph's shapes are not proved"
        return [
            shape if c.code == "SHAPE" else Verdict(c, "unknown", "", ALL_SIZES, 0.0, reason=reason) for c in claims
        ]
    found = {shape.claim.key: shape}
    without = next(_without_rules(graph), None)
    if without is not None:
        rest = [c for c in claims if c.key not in found]
        found |= {c.key: Verdict(c, "unknown", "", ALL_SIZES, 0.0, reason=without) for c in rest}
        return [found[c.key] for c in claims]
    tape = [c for c in claims if c.code in ("WF", "EDGE", "FWD", "DENSE")]
    for verdict in prove_tape(graph, tape, timeout=options.timeout):
        found[verdict.claim.key] = verdict
    if any(v.claim.code == "WF" and v.answer != "proved" for v in found.values()):
        rest = [c for c in claims if c.key not in found]
        reason = "the graph is not well-formed"
        found |= {c.key: Verdict(c, "unknown", "", ALL_SIZES, 0.0, reason=reason) for c in rest}
        return [found[c.key] for c in claims]
    ranges = Ranges(graph, facts_of(graph))
    for claim in claims:
        match claim.code:
            case "PLAN":
                found[claim.key] = attempt(claim, partial(prove_plan, graph, claim, options.timeout))
            case "DOM":
                found[claim.key] = attempt(claim, partial(_domain, graph, claim, ranges, options))
            case "KINK":
                found[claim.key] = attempt(claim, partial(_boundaries, graph, claim, ranges, options))
            case "POST":
                position = len([v for v in found.values() if v.claim.code == "POST"])
                settle = partial(post.verdict, graph, claim, position, ranges, options)
                found[claim.key] = attempt(claim, partial(_timed, settle))
    return [_leaning(graph, found[c.key]) for c in claims]


def _leaning(graph: Graph, verdict: Verdict) -> Verdict:
    """The verdict with what the graph's externs are trusted for; structure and shapes lean on none of it."""
    trusted = dict.fromkeys(_trusted(graph))
    if not trusted or verdict.answer != "proved" or verdict.claim.code in ("WF", "SHAPE", "EDGE"):
        return verdict
    return replace(verdict, hypotheses=(*verdict.hypotheses, *trusted))


def _trusted(graph: Graph) -> Iterator[Hypothesis]:
    for op in graph.ops.values():
        yield from trusts(op)
    for loop in graph.loops.values():
        yield from _trusted(loop.body)


def _without_rules(graph: Graph) -> Iterator[str]:
    """Why an operator of the graph, or of a loop's body, has no rules: nothing can be claimed of its tape then."""
    for op in graph.ops.values():
        try:
            rules_of(op)
        except NotLinear as error:
            yield f"`{op.name}` has no rules: {error}"
    for loop in graph.loops.values():
        yield from _without_rules(loop.body)


def _timed(settle: Callable[[], Verdict]) -> Verdict:
    started = perf_counter()
    verdict = settle()
    return replace(verdict, seconds=perf_counter() - started)


def _shape(graph: Graph, claim: Claim, options: Options) -> Verdict:
    started = perf_counter()
    failures = check_shapes(graph, facts_of(graph), options.timeout)
    seconds = perf_counter() - started
    if not failures:
        return Verdict(claim, "proved", "linear bounds + z3", ALL_SIZES, seconds)
    worst = next((f for f in failures if f.counterexample is not None), failures[0])
    claim = replace(claim, span=worst.span)
    if worst.counterexample is not None:
        scope = ", ".join(f"{k} = {v}" for k, v in worst.counterexample.dims.items()) or ALL_SIZES
        alike = [f.advice for f in failures if f.span == worst.span and f.counterexample is not None]
        advice = tuple(dict.fromkeys((*(a[0] for a in alike if a), *worst.advice)))
        found = worst.counterexample
        return Verdict(claim, "refuted", "z3, replayed", scope, seconds, counterexample=found, advice=advice)
    return Verdict(claim, "unknown", "", ALL_SIZES, seconds, reason=f"{worst.what}: {worst.reason}")


def _domain(graph: Graph, claim: Claim, ranges: Ranges, options: Options) -> Verdict:
    started = perf_counter()
    failures = check_domains(graph, ranges, options.timeout)
    if not failures:
        return Verdict(claim, "proved", "interval + z3", ALL_SIZES, perf_counter() - started)
    from gradproof.verifier.graph_refute import undefined

    hit = undefined(graph, options)
    seconds = perf_counter() - started
    if hit is not None:
        found, node = hit
        claim = replace(claim, span=node.span)
        scope = ", ".join(f"{k} = {v}" for k, v in found.dims.items()) or "at one point"
        advice = _advice(graph, [f for f in failures if f.node.op == node.op] or failures, _empty(graph, node, found))
        return Verdict(claim, "refuted", "replay", scope, seconds, counterexample=found, advice=advice)
    claim = replace(claim, span=failures[0].span)
    advice = _advice(graph, failures)
    wanted = "; ".join(dict.fromkeys(f"{f.what} at {f.node.name}" for f in failures))
    return Verdict(claim, "unknown", "", ALL_SIZES, seconds, reason=f"not shown: {wanted}", advice=advice)


def _advice(graph: Graph, failures: list[DomainFailure], empty: tuple[str, ...] = ()) -> tuple[str, ...]:
    """The safe forms of the operators that failed, and how to say that the sizes or the inputs keep away."""
    forms = [form for failure in failures for form in graph.ops[failure.node.op].instead]
    sizes = [f"`dim {name} >= 1`, if it is never 0" for name in empty]
    said = (*sizes, *dict.fromkeys(forms))
    return (*said, f"{'or ' if said else ''}an `assume` on the inputs that keeps it inside its domain")


def _empty(graph: Graph, node: Node, found: Counterexample) -> tuple[str, ...]:
    """The dims that are 0 at the counterexample, need not be, and that the node's inputs or its text speak of."""
    shapes = [graph.nodes[k].type.shape for k in node.parents]
    spoken = {name for shape in shapes for extent in shape for name in extent.symbols}
    spoken |= set(re.findall(r"\w+", text_between(node.span, node.span)))
    zero = (d.name for d in graph.dims if d.value is None and d.lower == 0 and found.dims.get(d.name) == 0)
    return tuple(name for name in zero if name in spoken)


def _boundaries(graph: Graph, claim: Claim, ranges: Ranges, options: Options) -> Verdict:
    started = perf_counter()
    failures = check_boundaries(graph, branching(graph), ranges, options)
    seconds = perf_counter() - started
    if not failures:
        return Verdict(claim, "proved", "normal form + z3", ALL_SIZES, seconds)
    worst = next((f for f in failures if f.counterexample is not None), failures[0])
    claim = replace(claim, span=worst.node.span)
    if worst.counterexample is not None:
        scope = ", ".join(f"{k} = {v}" for k, v in worst.counterexample.dims.items()) or ALL_SIZES
        return Verdict(claim, "refuted", "replay", scope, seconds, counterexample=worst.counterexample)
    advice = "write it as one operator with `at`, or detach what is compared"
    return Verdict(claim, "unknown", "", ALL_SIZES, seconds, reason=f"{worst.node.name}: {worst.reason}; {advice}")
