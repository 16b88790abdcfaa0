"""What a certificate is about, decoded once, and the methods by which its claims are shown."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import composed, loops, plans, ranges, rules
from .forms import GRAPH, OP, demand
from .graphs import Graph
from .kinks import PROOFS
from .linear import Hints
from .loops import Loop
from .operators import Op
from .reading import exactly
from .showing import trusted
from .terms import Node, Refused, decode

Data = dict[str, Any]


class Checked:
    """The parts of a certificate, each decoded where it is first asked for."""

    def __init__(self, data: Data) -> None:
        self.data = data
        for name, op in data["ops"].items():
            demand(op, OP, f"the operator {name}")
            if op["name"] != name:
                raise Refused(f"the operator {name} calls itself otherwise")
        for name, graph in data["graphs"].items():
            demand(graph, GRAPH, f"the graph {name}")
        self.terms: list[Node] = decode(data["terms"])
        self._graphs: dict[int, Graph] = {}
        self._ops: dict[str, Op] = {}
        if data["trusted"] != trusted(data["ops"], self.terms):
            raise Refused("what is trusted is not what the operators lean on")

    def op(self, name: str) -> Op:
        """An operator."""
        if name not in self._ops:
            self._ops[name] = Op(self.data["ops"][name], self.terms)
        return self._ops[name]

    def graph(self, about: Data) -> Graph:
        """A graph, which is well-formed."""
        if id(about) not in self._graphs:
            self._graphs[id(about)] = Graph(about, self.data["ops"], self.terms)
        return self._graphs[id(about)]

    def loop(self, about: Data) -> Loop:
        """A loop, which is well-formed."""
        body = self.graph(about["body"])
        return Loop(about, body, body.poly(about["length"]))


def side_conditions(checked: Checked, claim: Data, position: int, about: Data, evidence: Data) -> None:
    """SHAPE, DOM, KINK and POST of an operator."""
    proof, fields = PROOFS[claim["code"]]
    hints = Hints(exactly(evidence, ("by", *fields, "steps"), "the evidence")["steps"])
    number = {"number": int(claim["text"].split()[1])} if claim["code"] == "POST" else {}
    proof(checked.op(about["name"]), {**evidence, **number}, hints)
    hints.close()


def graph_ranges(checked: Checked, claim: Data, position: int, about: Data, evidence: Data) -> None:
    """DOM of a graph."""
    if claim["code"] != "DOM":
        raise Refused("ranges show domains only")
    hints = Hints(exactly(evidence, ("by", "steps"), "the evidence")["steps"])
    ranges.dom(checked.graph(about), checked.op, hints)
    hints.close()


def promise(checked: Checked, claim: Data, position: int, about: Data, evidence: Data) -> None:
    """POST of a graph."""
    if claim["code"] != "POST":
        raise Refused("it shows what a graph ensures only")
    given = exactly(evidence, ("by", "cuts", "steps"), "the evidence")
    hints, number = Hints(given["steps"]), int(claim["text"].split()[1])
    composed.ensured(checked.graph(about), checked.op, number, given["cuts"], hints)
    hints.close()


def structure(checked: Checked, claim: Data, position: int, about: Data, evidence: Data) -> None:
    """WF: reading the graph or the loop is the proof."""
    if claim["code"] != "WF":
        raise Refused("structure shows well-formedness only")
    (checked.graph if claim["kind"] == "graph" else checked.loop)(about)
    exactly(evidence, ("by",), "the evidence")


def shape(checked: Checked, claim: Data, position: int, about: Data, evidence: Data) -> None:
    """SHAPE: each extent that is taken to be equal is, by steps."""
    if claim["code"] != "SHAPE":
        raise Refused("it shows shapes only")
    hints = Hints(exactly(evidence, ("by", "steps"), "the evidence")["steps"])
    checked.graph(about).shapes(checked.data["ops"], hints)
    hints.close()


def table(checked: Checked, claim: Data, position: int, about: Data, evidence: Data) -> None:
    """EDGE, FWD, DENSE: what the runtime's tape did is what the graph says, row by row."""
    rows, tables = exactly(evidence, ("by", "rows"), "the evidence")["rows"], checked.graph(about).tables
    wanted = tables[claim["code"]]
    if rows != (wanted[0] if "semiring" in claim["text"] else wanted):
        raise Refused("the tape's table is not the graph's")


def places(checked: Checked, claim: Data, position: int, about: Data, evidence: Data) -> None:
    """PLAN: each plan computes the rules of the operators, node by node."""
    if claim["code"] != "PLAN":
        raise Refused("it shows plans only")
    plans.check(checked.graph(about), checked.op, evidence)


def steps(checked: Checked, claim: Data, position: int, about: Data, evidence: Data) -> None:
    """FWD, JVP and VJP of a loop: what its steps did is what the induction needs."""
    loops.check(checked.loop(about), claim["code"], claim["text"].partition(":")[0], evidence)


def identity(checked: Checked, claim: Data, position: int, about: Data, evidence: Data) -> None:
    """JVP, VJP and RUNS: both sides have one normal form, after the steps that are given."""
    op, code = checked.op(about["name"]), claim["code"]
    if code not in ("JVP", "VJP", "RUNS"):
        raise Refused("it shows what rules compute only")
    name = op.moving[position - 2].name if code == "VJP" else ""  # behind SHAPE and JVP
    rules.identity(op, code, name, exactly(evidence, ("by", "parts"), "the evidence")["parts"], checked.terms)


METHODS: dict[tuple[str, str], Callable[[Checked, Data, int, Data, Data], None]] = {
    ("op", "sides"): side_conditions,
    ("graph", "ranges"): graph_ranges,
    ("graph", "promise"): promise,
    ("graph", "structure"): structure,
    ("graph", "shape"): shape,
    ("graph", "table"): table,
    ("graph", "places"): places,
    ("loop", "structure"): structure,
    ("loop", "steps"): steps,
    ("op", "identity"): identity,
}
