"""From claims to verdicts to a certificate: the only place that seals one."""

from __future__ import annotations

from collections.abc import Sequence

from gradproof.compiler.claims import Certificate, Claim, Verdict, issue
from gradproof.compiler.graph import Graph
from gradproof.compiler.obligations import claims_of_graph, claims_of_op, ops_of
from gradproof.compiler.ops import OpDef
from gradproof.verifier.graphs import verdicts_of_graph
from gradproof.verifier.operators import Options, verdicts_of_op

__all__ = ["Options", "certify", "verify"]


def verify(ops: Sequence[OpDef], graphs: Sequence[Graph], options: Options | None = None) -> list[Verdict]:
    """A verdict on every claim of the operators and graphs, and of every operator that a graph uses."""
    options = options or Options()
    wanted: dict[str, OpDef] = {}
    for op in (*ops, *(op for graph in graphs for op in ops_of(graph))):
        wanted.setdefault(claims_of_op(op)[0].digest, op)
    verdicts = [v for op in wanted.values() for v in verdicts_of_op(op, options)]
    for graph in graphs:
        verdicts += verdicts_of_graph(graph, options)
    _complete(verdicts, [c for op in wanted.values() for c in claims_of_op(op)])
    for graph in graphs:
        _complete(verdicts, claims_of_graph(graph))
    return verdicts


def _complete(verdicts: Sequence[Verdict], claims: Sequence[Claim]) -> None:
    """No claim may be skipped: a missing verdict is an error of ours, never a pass."""
    settled = {v.claim.key for v in verdicts}
    missing = [c.key for c in claims if c.key not in settled]
    if missing:
        raise RuntimeError(f"no verdict on {missing[0]} (and {len(missing) - 1} more): please report this")


def certify(verdicts: Sequence[Verdict]) -> Certificate:
    """Seal what is proved."""
    return issue(tuple(verdicts))
