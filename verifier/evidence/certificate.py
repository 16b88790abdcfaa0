"""The bytes of a certificate: what was proved, with evidence for each claim. Not trusted: the checker reads it back.

One program is one certificate: its canonical source, one table of shared terms, its operators, its graphs with their
plans, and its claims in the order in which the checker lists them. The same program gives the same bytes everywhere.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from gradproof.compiler.claims import Claim, Verdict
from gradproof.compiler.graph import Graph, LoopDef
from gradproof.compiler.loops import bodies
from gradproof.compiler.obligations import claims_of_loop, claims_of_op, op_digest, ops_of, own_claims
from gradproof.compiler.ops import OpDef
from gradproof.compiler.plan import Plan, make_plan
from gradproof.compiler.portable import Table
from gradproof.compiler.portable_graphs import Templates, graph_data, plan_data
from gradproof.verifier.checker.reading import SCHEMA, canonical, digest_of
from gradproof.verifier.checker.showing import trusted
from gradproof.verifier.evidence.finding import sharing_of
from gradproof.verifier.evidence.methods import Subject
from gradproof.verifier.evidence.registry import evidence_of
from gradproof.verifier.plans import modes_of

Data: TypeAlias = dict[str, Any]
Provable: TypeAlias = OpDef | Graph | LoopDef


class NoCertificate(ValueError):
    """There is no certificate of this program; the text says why."""


@dataclass(frozen=True, slots=True)
class Texts:
    """The canonical text of a program, and those of the files that it uses, by the path that it uses them by."""

    text: str
    uses: tuple[tuple[str, str], ...] = ()


def certificate(
    texts: Texts,
    ops: Iterable[OpDef],
    graphs: Sequence[Graph],
    verdicts: Iterable[Verdict] | Callable[[Provable], Iterable[Verdict]],
    version: str,
) -> bytes:
    """The certificate of these operators and graphs and of the operators that they use.

    Verdicts are found by what they say, so they may be those of the same program in another layout; or a function
    gives them, for a subject of which not every claim has evidence.
    NoCertificate where a claim is not proved or two definitions have one name.
    """
    table = Table()
    data, subjects = body(table, ops, graphs)
    data |= {
        "claims": [],
        "digest": "",
        "gradproof": version,
        "schema": SCHEMA,
        "sha256": hashlib.sha256(texts.text.encode()).hexdigest(),
        "source": texts.text,
        "terms": table.entries,
        "uses": [list(use) for use in texts.uses],
    }
    said = _Said(verdicts)
    for subject in subjects:
        subject.memo["ops"] = data["ops"]
        for position, claim in enumerate(claims_of(subject.what)):
            found = evidence_of(subject, position, claim, table)
            data["claims"].append({**entry(claim), "evidence": found or {"by": said.word(subject.what, claim)}})
    data["digest"] = digest_of(canonical(data), "")
    return canonical(data)


class _Said:
    """Whose word there is for claims, by what they say."""

    def __init__(self, verdicts: Iterable[Verdict] | Callable[[Provable], Iterable[Verdict]]) -> None:
        self._prove = verdicts if callable(verdicts) else None
        self._known: dict[tuple[str, str, str, str], Verdict] = {}
        self._keep(() if callable(verdicts) else verdicts)

    def _keep(self, verdicts: Iterable[Verdict]) -> None:
        self._known |= {_said(v.claim): v for v in verdicts}

    def word(self, what: Provable, claim: Claim) -> str:
        """`z3` or `verifier`; NoCertificate where the claim is not proved."""
        if _said(claim) not in self._known and self._prove is not None:
            self._keep(self._prove(what))
        verdict = self._known.get(_said(claim))
        if verdict is None or verdict.answer != "proved":
            raise NoCertificate(f"{claim.code} of {claim.subject} is not proved: {claim.text}")
        return "z3" if "z3" in verdict.by else "verifier"


def planned(graph: Graph) -> tuple[Plan, ...]:
    """The plans of a graph in all its modes."""
    return tuple(make_plan(graph, mode) for mode in modes_of(graph))


def body(
    table: Table, ops: Iterable[OpDef], graphs: Sequence[Graph], plans: Callable[[Graph], tuple[Plan, ...]] = planned
) -> tuple[Data, list[Subject]]:
    """The operators, graphs and plans of a certificate, and what its claims are about, in order."""
    named = _by_name((*ops, *(op for g in graphs for inner in (g, *bodies(g)) for op in ops_of(inner))))
    subjects = [Subject(op, table.op(op)) for _, op in sorted(named.items())]
    data: Data = {
        "graphs": {},
        "ops": {subject.data["name"]: subject.data for subject in subjects},
    }
    data["trusted"] = trusted(data["ops"], sharing_of(table).nodes)
    for graph in sorted(graphs, key=lambda g: g.name):
        if graph.name in data["graphs"]:
            raise NoCertificate(f"two graphs are named {graph.name}")
        table.begin()
        data["graphs"][graph.name] = graph_data(graph, table)
        subjects += _subjects(graph, data["graphs"][graph.name], table, plans)
    return data, subjects


def _by_name(ops: Iterable[OpDef]) -> Mapping[str, OpDef]:
    found: dict[str, OpDef] = {}
    for op in ops:
        if op_digest(found.setdefault(op.name, op)) != op_digest(op):
            raise NoCertificate(f"two operators are named {op.name}")
    return found


def _subjects(graph: Graph, data: Data, table: Table, plans: Callable[[Graph], tuple[Plan, ...]]) -> Iterator[Subject]:
    """A graph and what is inside it, in the order of its claims; its plans are put into the data."""
    templates, mine = Templates(table), plans(graph)
    data["plans"] = {plan.mode: plan_data(plan, table, templates) for plan in mine}
    data["templates"] = templates.rows
    yield Subject(graph, data, mine)
    for name, loop in sorted(graph.loops.items()):
        yield Subject(loop, data["loops"][name])
        yield from _subjects(loop.body, data["loops"][name]["body"], table, plans)


def claims_of(what: Provable) -> tuple[Claim, ...]:
    """The claims that are about this one thing."""
    match what:
        case OpDef():
            return claims_of_op(what)
        case Graph():
            return own_claims(what)
        case LoopDef():
            return claims_of_loop(what)


def entry(claim: Claim) -> Data:
    """A claim as a certificate words it: a promise goes by its number, since its text is not what is proved."""
    text = claim.text if claim.code != "POST" else f"ensure {claim.text.rpartition('(')[2].rstrip(')')}"
    return {"code": claim.code, "kind": claim.kind, "subject": claim.subject, "text": text}


def _said(claim: Claim) -> tuple[str, str, str, str]:
    return claim.code, claim.kind, claim.subject, claim.text
