"""Evidence for WF and SHAPE of a graph: the checker's own reading of it, and the hints that it asks for."""

from __future__ import annotations

import json
from typing import Any

from gradproof.compiler.claims import Claim
from gradproof.compiler.graph import Graph
from gradproof.compiler.portable import Table
from gradproof.verifier.checker import graphs
from gradproof.verifier.checker.loops import Loop
from gradproof.verifier.checker.terms import Refused, decode
from gradproof.verifier.evidence.linear import Search
from gradproof.verifier.evidence.methods import Evidence, Subject


def read(subject: Subject, table: Table) -> graphs.Graph | None:
    """The graph as the checker reads it; None where it does not."""
    if "graph" not in subject.memo:
        try:
            subject.memo["nodes"] = nodes = decode(json.loads(json.dumps(table.entries)))
            subject.memo["graph"] = graphs.Graph(subject.data, subject.memo["ops"], nodes)
        except Refused:
            subject.memo["graph"] = None
    found: graphs.Graph | None = subject.memo["graph"]
    return found


def loop_of(subject: Subject, table: Table) -> Loop | None:
    """The loop as the checker reads it; None where it does not."""
    if "loop" not in subject.memo:
        try:
            nodes = decode(json.loads(json.dumps(table.entries)))
            body = graphs.Graph(subject.data["body"], subject.memo["ops"], nodes)
            subject.memo["loop"] = Loop(subject.data, body, body.poly(subject.data["length"]))
        except Refused:
            subject.memo["loop"] = None
    found: Loop | None = subject.memo["loop"]
    return found


def structure_evidence(subject: Subject, position: int, claim: Claim, table: Table) -> Evidence | None:
    """WF: the checker reads the graph, or does not."""
    if not isinstance(subject.what, Graph) or claim.code != "WF" or read(subject, table) is None:
        return None
    return {"by": "structure"}


def shape_evidence(subject: Subject, position: int, claim: Claim, table: Table) -> Evidence | None:
    """SHAPE: refutations of the negated goals that are no identities."""
    graph = read(subject, table) if isinstance(subject.what, Graph) and claim.code == "SHAPE" else None
    if graph is None:
        return None
    found = Search()
    try:
        graph.shapes(subject.memo["ops"], found)
    except Refused:
        return None
    steps: list[Any] = found.given
    return {"by": "shape", "steps": steps}
