"""Which claims an operator and a graph make: the list that the verifier discharges and that a program demands.

The runtime recomputes this list from the graph that it is given, so a certificate that lacks one claim, or proves a
claim about another definition, opens nothing.
"""

from __future__ import annotations

import re
from functools import lru_cache

from gradproof.compiler.branches import branching
from gradproof.compiler.claims import Claim, digest
from gradproof.compiler.graph import Graph, LoopDef
from gradproof.compiler.ops import Formula, OpDef
from gradproof.compiler.rules import tied
from gradproof.compiler.show import show
from gradproof.grammar.source import Source


@lru_cache(maxsize=4096)
def op_digest(op: OpDef) -> str:
    """A digest of the definition: every field, with machine-made index names numbered in order of appearance."""
    parts = (op.name, op.attrs, op.params, op.output, op.forward.body, op.forward.indices, op.forward.extents)
    rules = (op.requires, op.domain, op.lets, op.runs, op.jvp, op.vjps, op.kinks, op.ensures, op.externs, op.laws)
    return digest(_stable(repr((parts, rules))))


def graph_digest(graph: Graph) -> str:
    """A digest of the graph and of every definition that it uses."""
    names = sorted({node.op for node in graph.inner} - graph.loops.keys())
    parts = [repr(node) for node in graph.nodes]
    facts = (graph.name, graph.dims, graph.leaves, graph.delta, graph.outputs, graph.output_names)
    rest = (graph.assumes, graph.ensures, graph.assume_dims, graph.size_claims)
    loops = [loop_digest(graph.loops[name]) for name in sorted(graph.loops)]
    return digest(*parts, _stable(repr((facts, rest))), *(op_digest(graph.ops[name]) for name in names), *loops)


def loop_digest(loop: LoopDef) -> str:
    """A digest of the loop and of its body."""
    return digest(repr((loop.name, loop.length, loop.roles, loop.reverse)), graph_digest(loop.body))


def _stable(text: str) -> str:
    numbers: dict[str, str] = {}
    return re.sub(r"#\d+", lambda m: numbers.setdefault(m.group(), f"#{len(numbers)}"), text)


def claims_of_op(op: OpDef) -> tuple[Claim, ...]:
    """Everything that must hold of one operator before it may run."""
    return _claims(op, op.span.source)


@lru_cache(maxsize=4096)
def _claims(op: OpDef, source: Source) -> tuple[Claim, ...]:
    # The same stanza in two files is one operator, but its claims point into different texts.
    key = op_digest(op)

    def claim(code: str, text: str, formula: Formula | None = None) -> Claim:
        # The place is that of the formula that could be wrong, where it was written.
        return Claim(code, "op", op.name, text, key, formula.span if formula else op.span)

    written = {formula.target: formula for formula in op.vjps}
    claims = [claim("SHAPE", "every index read is in bounds, every division of sizes is by a positive size")]
    if op.differentiable:
        claims.append(claim("JVP", "the jvp is the derivative of the formula", op.jvp))
        claims += [
            claim("VJP", f"<jvp, g> = <d{p.name}, vjp {p.name}>, and the jvp is the derivative", written.get(p.name))
            for p in op.differentiable
        ]
        if tied(op):
            text = "where it is not smooth, the derivative used is a Clarke subgradient"
            jumps = "; where it jumps it has none, and uses the value declared" if any(k.jump for k in op.kinks) else ""
            claims.append(claim("KINK", text + jumps))
    if op.runs:
        claims.append(claim("RUNS", "the formula that runs equals the meaning", op.runs))
    claims.append(
        claim("DOM", "what runs is defined wherever the formula is, the rules wherever the calculus's derivative is")
    )
    for k, promise in enumerate(op.ensures):
        claims.append(Claim("POST", "op", op.name, f"ensure {show(promise.cond)} ({k})", key, promise.span))
    return tuple(claims)


def claims_of_graph(graph: Graph) -> tuple[Claim, ...]:
    """Everything that must hold before the graph may run: its own claims, those of its loops and of their bodies, then

    those of the operators that it uses.
    """
    found = list(own_claims(graph))
    for loop in graph.loops.values():
        found += [*claims_of_loop(loop), *claims_of_graph(loop.body)]
    return (*found, *(c for op in ops_of(graph) for c in claims_of_op(op)))


def own_claims(graph: Graph) -> tuple[Claim, ...]:
    """What must hold of the graph itself, given its operators, its loops and their bodies."""
    key = graph_digest(graph)

    def claim(code: str, text: str) -> Claim:
        return Claim(code, "graph", graph.name, text, key, graph.span)

    own = [
        claim("WF", "ids are positions, arities fit, names are defined once and before use"),
        claim("SHAPE", "declared shapes equal inferred ones and every operator's requirements hold"),
        claim("EDGE", "every edge, forward and backward, points to a smaller id, and every node requires grad"),
        claim("FWD", "the tape's value table equals the denotation's, in id order"),
        claim("DENSE", "the dense reverse loop equals full backpropagation: the same additions in the same order"),
        claim("DENSE", "the dense reverse loop equals full backpropagation over a commutative semiring"),
        claim("PLAN", "the plan computes the graph's terms, and no buffer is overwritten while live"),
        claim("DOM", "every partial function is applied inside its domain, forward and backward"),
    ]
    if branching(graph):
        own.append(claim("KINK", "where it branches on its own values, the gradient is a Clarke subgradient"))
    own += [claim("POST", f"ensure {bound.text} ({k})") for k, bound in enumerate(graph.ensures)]
    return tuple(own)


LOOP_CLAIMS = (
    ("WF", "form: every input has one role, every state one type before and behind a step, every result is real"),
    ("FWD", "base: row 0 of the table is the initial state"),
    ("FWD", "step: row t + 1 is the body at row t, whatever t is"),
    ("FWD", "count: whole loops of 0 to 3 steps, forward and back, take these steps in order and end as stated"),
    ("FWD", "body: a step applies the body's tape, each input and result at its place"),
    ("FWD", "layout: tables and gradients hold each result, entry by entry, and nothing else, at small sizes"),
    ("JVP", "base: the tangent of row 0 is that of the initial state"),
    ("JVP", "step: the tangent of row t + 1 is the body's, linearised at row t, whatever t is"),
    ("VJP", "base: behind the last step the pairings are those of the last row"),
    ("VJP", "step: undoing step t keeps the sum of the pairings of states, sequences and what is fixed, whatever t is"),
)


def claims_of_loop(loop: LoopDef) -> tuple[Claim, ...]:
    """What must hold of a loop, besides all that its body claims as a graph: an induction over the steps."""
    key = loop_digest(loop)
    return tuple(Claim(code, "loop", loop.name, text, key, loop.span) for code, text in LOOP_CLAIMS)


def ops_of(graph: Graph) -> tuple[OpDef, ...]:
    """The distinct operators that the graph uses, in order of first use."""
    return tuple(graph.ops[name] for name in dict.fromkeys(node.op for node in graph.inner) if name in graph.ops)
