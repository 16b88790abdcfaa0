"""Evidence for what a graph ensures: how deep its nodes' formulas are put together, and hints for what is asked."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

from gradproof.compiler.claims import Claim
from gradproof.compiler.graph import Bound, Entrywise, Graph, Ref
from gradproof.compiler.portable import Table
from gradproof.verifier.checker import composed
from gradproof.verifier.checker.operators import Op
from gradproof.verifier.checker.terms import Refused
from gradproof.verifier.evidence.graphs import read
from gradproof.verifier.evidence.linear import Search
from gradproof.verifier.evidence.methods import Evidence, Subject
from gradproof.verifier.evidence.sides import nodes_of

DEPTH = 12  # nodes put together, one inside of the other


def promise_evidence(subject: Subject, position: int, claim: Claim, table: Table) -> Evidence | None:
    """What the checker needs to show an `ensure` of a graph; None where it can't be shown so."""
    graph = read(subject, table) if isinstance(subject.what, Graph) and claim.code == "POST" else None
    if graph is None or not isinstance(subject.what, Graph):
        return None
    nodes, number = nodes_of(table), int(claim.text.rpartition("(")[2].rstrip(")"))
    op = cache(lambda name: Op(subject.memo["ops"][name], nodes))
    before: list[int] | None = None
    for depth in range(DEPTH):
        cuts = _cuts(subject.what, subject.what.ensures[number], depth)
        if cuts == before:
            break
        before, found = cuts, Search()
        try:
            composed.ensured(graph, op, number, cuts, found)
            return {"by": "promise", "cuts": cuts, "steps": found.given}
        except (Refused, RecursionError):
            continue
    return None


def _cuts(graph: Graph, ensure: Bound | Entrywise, depth: int) -> list[int]:
    """The nodes that are not written out, where those of a promise are, and this many before them."""
    if isinstance(ensure, Bound):
        ids = {side for side in (ensure.left, ensure.right) if isinstance(side, int)}
    else:
        ids = {arg.id for _, arg in ensure.values if isinstance(arg, Ref)} | {g.output for g in ensure.gradients}
    written: set[int] = set()
    for _ in range(depth):
        written |= ids
        ids = {arg.id for id_ in ids for arg in _args(graph, id_)}
    return [node.id for node in graph.inner if node.id not in written]


def _args(graph: Graph, id_: int) -> Iterable[Ref]:
    return (arg for arg in graph.nodes[id_].args if isinstance(arg, Ref))
