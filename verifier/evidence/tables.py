"""What the runtime's own tape does on values of which nothing is known, as tables: the evidence of EDGE, FWD, DENSE."""

from __future__ import annotations

from typing import Any

from gradproof.compiler.claims import Claim
from gradproof.compiler.graph import Env, Graph, Ref
from gradproof.compiler.portable import Table
from gradproof.runtime.tape import Tape
from gradproof.verifier.dense import Examination, Run, emissions, run_free
from gradproof.verifier.evidence.methods import Evidence, Subject
from gradproof.verifier.free import ADD, Expr

CODES = ("EDGE", "FWD", "DENSE")


class Strange(ValueError):
    """The tape did what no table says."""


def tables(graph: Graph) -> dict[str, Any]:
    """The tables of a graph's tape by claim; Strange where it does what a tape of no graph does."""
    run = run_free(graph, Tape.of)
    if Examination(graph).seeding(run).answer != "proved":
        raise Strange("the backward pass is not seeded at the outputs")
    tape, emitted = emissions(graph, Tape.of)
    edges = [[list(node.parents), list(ids)] for node, ids in zip(tape.nodes, emitted, strict=True)]
    names: dict[int, int | str] = {value.id: k for k, value in enumerate(run.values.nodes)}
    names |= {value.id: name for name, value in run.values.delta.items()}
    values = [[] if k < graph.leaves else _value(k, run, names) for k in range(len(graph.nodes))]
    sent = [_contributions(k, run, names, graph) for k in range(len(graph.nodes))]
    return {"EDGE": edges, "FWD": values, "DENSE": [sent, [_tangent(k, run, graph) for k in range(len(graph.nodes))]]}


def _value(id_: int, run: Run, names: dict[int, int | str]) -> list[int | str]:
    found = run.values.nodes[id_]
    if found.symbol != f"value {id_}":
        raise Strange(f"the value of node {id_} is {found.symbol}")
    return [names[arg.id] for arg in found.args]


def _contributions(id_: int, run: Run, names: dict[int, int | str], graph: Graph) -> list[list[int]]:
    """(user, position) of each summand of a gradient, from the first added to the last."""
    sent: list[list[int]] = []
    gradient = run.grads[id_]
    while gradient.symbol == ADD:
        gradient, more = gradient.args
        sent.append(_sender(more, run, graph))
    if gradient.symbol != f"seed {id_}":
        raise Strange(f"the gradient of node {id_} begins with {gradient.symbol}")
    return sent[::-1]


def _sender(sent: Expr, run: Run, graph: Graph) -> list[int]:
    word, _, place = sent.symbol.partition(" ")
    user, position = map(int, place.split("."))
    values = run.values
    expected = (*values.args(graph.nodes[user].args), values.nodes[user], run.grads[user])
    if (
        word != "vjp"
        or len(expected) != len(sent.args)
        or any(a is not b for a, b in zip(expected, sent.args, strict=True))
    ):
        raise Strange(f"node {user} sends back {sent.symbol} of something else")
    return [user, position]


def _tangent(id_: int, run: Run, graph: Graph) -> list[int]:
    """The id whose tangent each argument moves by; -1: it is not differentiated, -2: it stands still."""
    node, moved = graph.nodes[id_], run.tangents[id_]
    if id_ < graph.leaves or moved.symbol == "zero":
        return []
    args, count = run.values.args(node.args), len(node.args)
    if moved.symbol != f"jvp {id_}" or moved.args[: count + 1] != (*args, run.values.nodes[id_]):
        raise Strange(f"the tangent of node {id_} is {moved.symbol}")
    out: list[int] = []
    for arg, value, given in zip(node.args, args, moved.args[count + 1 :], strict=True):
        if given.symbol == "no tangent":
            out.append(-1)
        elif isinstance(arg, Ref) and given is run.tangents[arg.id]:
            out.append(arg.id)
        elif isinstance(arg, Env) and given.symbol == "zero" and given.args == (value,):
            out.append(-2)
        else:
            raise Strange(f"the tangent of node {id_} moves by another's")
    return out


def table_evidence(subject: Subject, position: int, claim: Claim, table: Table) -> Evidence | None:
    """The tape's table, for a claim about a graph."""
    graph = subject.what
    if not isinstance(graph, Graph) or claim.code not in CODES:
        return None
    if "tables" not in subject.memo:
        try:
            subject.memo["tables"] = tables(graph)
        except (Strange, LookupError):
            subject.memo["tables"] = None
    found = subject.memo["tables"]
    if found is None:
        return None
    rows = found[claim.code][0] if "semiring" in claim.text else found[claim.code]
    return {"by": "table", "rows": rows}
