"""From claims to verdicts to a certificate: the only place that seals one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

from gradproof.compiler.claims import Certificate, Claim, Verdict, issue
from gradproof.compiler.graph import Graph
from gradproof.compiler.loops import bodies, loops_of
from gradproof.compiler.obligations import claims_of_graph, claims_of_loop, claims_of_op, op_digest, ops_of, own_claims
from gradproof.compiler.ops import OpDef
from gradproof.compiler.orders import claims_of_gradient, derived_ops, tower
from gradproof.verifier.gradients import blocked_verdict, gradient_verdict
from gradproof.verifier.graphs import verdicts_of_graph
from gradproof.verifier.loops import verdicts_of_loop
from gradproof.verifier.operators import Options, verdicts_of_op
from gradproof.verifier.symmetry import symmetry_verdict

__all__ = ["Options", "certify", "verify"]


def verify(
    ops: Sequence[OpDef], graphs: Sequence[Graph], options: Options | None = None, order: int = 1
) -> list[Verdict]:
    """A verdict on every claim of the operators and graphs, and of every operator that a graph uses.

    A higher `order` adds the graphs of gradients and the derived operators, with all claims of their own.
    """
    options = options or Options()
    towers = [tower(graph, order) for graph in graphs]
    every = [graph for graphs_ in towers for graph in graphs_]
    deep = {own_claims(g)[0].key: g for graph in every for g in (graph, *bodies(graph))}
    loops = {claims_of_loop(loop)[0].key: loop for graph in every for loop in loops_of(graph)}
    steps = [step for graphs_ in towers for step in pairwise(graphs_)]
    wanted = _distinct((*derived_ops(ops, order), *(op for graph in deep.values() for op in ops_of(graph))))
    below = derived_ops(ops, order - 1) if order > 1 else ()
    symmetric = _distinct((*below, *(op for graph, _ in steps for op in ops_of(graph))))
    symmetric = tuple(op for op in symmetric if op.differentiable)
    verdicts = [v for op in wanted for v in verdicts_of_op(op, options)]
    verdicts += [symmetry_verdict(op, options.timeout) for op in symmetric]
    for graph in deep.values():
        verdicts += verdicts_of_graph(graph, options)
    for loop in loops.values():
        verdicts += verdicts_of_loop(loop, options)
    verdicts += [gradient_verdict(graph, gradient, options.timeout) for graph, gradient in steps]
    verdicts += [blocked_verdict(graphs_[-1]) for graphs_ in towers if len(graphs_) < order]
    _complete(verdicts, [c for op in wanted for c in claims_of_op(op)])
    for graph in every:
        _complete(verdicts, claims_of_graph(graph))
    for graph, gradient in steps:
        _complete(verdicts, claims_of_gradient(graph, gradient))
    return verdicts


def _distinct(ops: Iterable[OpDef]) -> tuple[OpDef, ...]:
    """Each definition once, in order."""
    return tuple({op_digest(op): op for op in reversed(tuple(ops))}.values())[::-1]


def _complete(verdicts: Sequence[Verdict], claims: Sequence[Claim]) -> None:
    """No claim may be skipped: a missing verdict is an error of ours, never a pass."""
    settled = {v.claim.key for v in verdicts}
    missing = [c.key for c in claims if c.key not in settled]
    if missing:
        raise RuntimeError(f"no verdict on {missing[0]} (and {len(missing) - 1} more): please report this")


def certify(verdicts: Sequence[Verdict]) -> Certificate:
    """Seal what is proved."""
    return issue(tuple(verdicts))
