"""From a certificate that the checker accepted back to graphs and plans. Not trusted: what is made is compared with it.

What was read is written again, by this version of the compiler, and must be what the certificate holds: so the rules
that will run are those that the certificate's claims are about.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_args

from gradproof.compiler.claims import Claim, Verdict
from gradproof.compiler.graph import Graph, LoopDef
from gradproof.compiler.laws import trusts
from gradproof.compiler.obligations import graph_digest
from gradproof.compiler.ops import OpDef
from gradproof.compiler.plan import Mode, Plan
from gradproof.compiler.portable import Table
from gradproof.compiler.portable_graphs import read_graph, read_plan
from gradproof.compiler.portable_reader import Reader
from gradproof.compiler.wellformed import check
from gradproof.grammar.source import Source, Span
from gradproof.verifier.checker.main import WORDS, Accepted
from gradproof.verifier.checker.terms import Refused
from gradproof.verifier.evidence.certificate import body, claims_of, entry
from gradproof.verifier.evidence.loops import observed
from gradproof.verifier.evidence.tables import table_evidence

Data = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Restored:
    """What a certificate proves: its graphs by name, a verdict on every claim, and the plans that were proved."""

    graphs: Mapping[str, Graph]
    verdicts: tuple[Verdict, ...]
    plans: Mapping[tuple[str, str], Plan]


def restore(accepted: Accepted) -> Restored:
    """The graphs and plans of an accepted certificate; Refused where this version would run something else."""
    try:
        return _restored(accepted)
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError) as error:
        # What no claim is about (places in the text, defaults) is read here first.
        raise Refused(f"it is not formed as a certificate: {type(error).__name__}: {str(error)[:80]!r}") from None


def _restored(accepted: Accepted) -> Restored:
    data = accepted.data
    reader = Reader(data["terms"], Source("<certificate>", data["source"]))
    place = Span(Source("<certificate>", data["source"]), 1, 1, 1, 1)
    ops = {name: reader.op(op) for name, op in data["ops"].items()}
    graphs: dict[str, Graph] = {}
    plans: dict[int, tuple[Plan, ...]] = {}
    for name, graph in data["graphs"].items():
        reader.begin()
        graphs[name] = read_graph(name, graph, reader, ops, place)
        _read_plans(graphs[name], graph, reader, plans)
    table = Table()
    again, subjects = body(table, ops.values(), tuple(graphs.values()), lambda graph: plans[id(graph)])
    same = table.entries == data["terms"][: len(table.entries)]
    if not same or any(again[key] != data[key] for key in again):
        raise Refused(f"this version makes other rules or plans of it; it was built by gradproof {data['gradproof']}")
    verdicts: list[Verdict] = []
    proved: dict[tuple[str, str], Plan] = {}
    claims = iter(accepted.claims)
    for subject in subjects:
        if isinstance(subject.what, Graph):
            problem = next(iter(check(subject.what)), None)
            if problem:
                raise Refused(problem)
        for claim in claims_of(subject.what):
            said, by = next(claims)
            if {**entry(claim), "evidence": said["evidence"]} != said:
                raise Refused(f"{claim.code} of {claim.subject}: this version claims something else")
            if by == "table" and table_evidence(subject, 0, claim, table) != said["evidence"]:
                raise Refused(f"{claim.code} of {claim.subject}: this version's tape does something else")
            loop = subject.what
            if by == "steps" and (not isinstance(loop, LoopDef) or observed(loop, claim) != said["evidence"]):
                raise Refused(f"{claim.code} of {claim.subject}: this version's loops do something else")
            verdicts.append(_verdict(claim, by, subject.what if isinstance(subject.what, OpDef) else None))
            if claim.code == "PLAN" and by not in WORDS and isinstance(subject.what, Graph):
                key = graph_digest(subject.what)
                proved |= {(key, plan.mode): plan for plan in plans[id(subject.what)]}
    return Restored(graphs, tuple(verdicts), proved)


def _read_plans(graph: Graph, data: Data, reader: Reader, plans: dict[int, tuple[Plan, ...]]) -> None:
    """The plans of a graph and of the bodies inside it, by the graph's identity."""
    cache: dict[int, Any] = {}
    modes: list[Mode] = [mode for mode in get_args(Mode) if mode in data["plans"]]
    plans[id(graph)] = tuple(
        read_plan(graph, mode, data["plans"][mode], data["templates"], reader, cache) for mode in modes
    )
    for name, loop in sorted(graph.loops.items()):
        _read_plans(loop.body, data["loops"][name]["body"], reader, plans)


def _verdict(claim: Claim, by: str, op: OpDef | None) -> Verdict:
    how = WORDS.get(by, f"checker: {by}")
    return Verdict(claim, "proved", how, "all sizes", 0.0, trusts(op) if op is not None else ())
