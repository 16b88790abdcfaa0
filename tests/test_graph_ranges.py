"""DOM of graphs by evidence: the safe forms are shown, no trap is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from gradproof.compiler.elaborate import load_path
from gradproof.compiler.graph import Graph
from gradproof.compiler.obligations import own_claims
from gradproof.compiler.portable import Table
from gradproof.verifier.checker import ranges
from gradproof.verifier.checker.linear import Hints
from gradproof.verifier.checker.operators import Op
from gradproof.verifier.checker.terms import Refused
from gradproof.verifier.evidence.certificate import body
from gradproof.verifier.evidence.graphs import read, shape_evidence
from gradproof.verifier.evidence.registry import evidence_of
from gradproof.verifier.evidence.sides import nodes_of

from tests.test_domains import GRAPHS, KINDS
from tests.test_soundness import subjects

EXAMPLES = Path(__file__).parents[1] / "examples"
FALSE = {name: GRAPHS[name] for name, kind in KINDS.items() if kind == "trap"}
FALSE |= {  # of a graph with a loop it may be the DOM of the body that is false (test_replayed.py)
    name: graph
    for name, (graph, wanted) in subjects().items()
    if isinstance(graph, Graph)
    and not graph.loops
    and any(code in ("DOM", "all") and answer != "proved" for code, answer in wanted)
}
TRUE = {f"{path.stem}/{name}": g for path in EXAMPLES.glob("*.gproof") for name, g in load_path(path).graphs.items()}


class _Read:
    """A graph as its certificate holds it, with the evidence for its domains."""

    def __init__(self, graph: Graph) -> None:
        self.table = table = Table()
        data, every = body(table, [], [graph], lambda _: ())
        self.subject = next(s for s in every if s.what is graph)
        self.subject.memo["ops"] = self.ops = data["ops"]
        self.nodes = nodes_of(table)
        (claim,) = (c for c in own_claims(graph) if c.code == "DOM")
        self.evidence = evidence_of(self.subject, 0, claim, table)
        self.graph = read(self.subject, table)

    def accepts(self, steps: Any) -> bool:
        assert self.graph is not None
        hints = Hints(json.loads(json.dumps(steps)))
        try:
            ranges.dom(self.graph, lambda name: Op(self.ops[name], self.nodes), hints)
            hints.close()
        except Refused:
            return False
        return True


@pytest.mark.parametrize("name", FALSE)
def test_no_trap_is_shown_to_be_safe(name: str) -> None:
    found = _Read(FALSE[name])
    if found.evidence is not None:  # a mean of nothing is refused by the shapes
        (claim,) = (c for c in own_claims(FALSE[name]) if c.code == "SHAPE")
        assert name in KINDS and shape_evidence(found.subject, 0, claim, found.table) is None


@pytest.mark.parametrize("name", [n for n, g in TRUE.items() if not g.loops])
def test_the_examples_are_replayed(name: str) -> None:
    found = _Read(TRUE[name])
    assert found.evidence is not None and found.evidence["by"] == "ranges"
    steps = found.evidence["steps"]
    assert found.accepts(steps) and not found.accepts([*steps, 0])
    assert not steps or not found.accepts(steps[:-1])


def test_what_is_shown_of_one_graph_is_not_of_another() -> None:
    shown = [_Read(graph).evidence for graph in TRUE.values() if not graph.loops]
    for graph in list(FALSE.values())[:8]:
        found = _Read(graph)
        for evidence in shown:
            assert evidence is not None
            assert found.graph is None or not found.accepts(evidence["steps"])
