"""Evidence for side conditions of operators and DOM of graphs: the checker's own proof, its hints searched for."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from itertools import product
from typing import Any

from gradproof.compiler.claims import Claim
from gradproof.compiler.graph import Graph
from gradproof.compiler.obligations import claims_of_op
from gradproof.compiler.ops import OpDef
from gradproof.compiler.portable import Table
from gradproof.verifier.checker import ranges
from gradproof.verifier.checker.kinks import PROOFS
from gradproof.verifier.checker.operators import Op
from gradproof.verifier.checker.sides import satisfied
from gradproof.verifier.checker.terms import Node, Refused, decode
from gradproof.verifier.evidence.graphs import read
from gradproof.verifier.evidence.linear import Search
from gradproof.verifier.evidence.methods import Evidence, Subject

SIZES = (1, 2, 3, 4, 6, 0, 8)
VALUES = ("1", "1/2", "1/4", "2", "0", "-1/2", "-1")
POINTS = 3000  # tried as witnesses, at most


def side_evidence(subject: Subject, position: int, claim: Claim, table: Table) -> Evidence | None:
    """What the checker needs to show a side condition of an operator; None where it can't be shown so."""
    if not isinstance(subject.what, OpDef) or claim.code not in PROOFS:
        return None
    found = Search()
    try:
        op = Op(subject.data, nodes_of(table))
        evidence = _witness(op) if claim.code == "SHAPE" else {}
        number = {"number": _number(subject.what, position)} if claim.code == "POST" else {}
        PROOFS[claim.code][0](op, {**evidence, **number}, found)
    except (Refused, RecursionError):
        return None
    return {"by": "sides", **evidence, "steps": found.given}


def range_evidence(subject: Subject, position: int, claim: Claim, table: Table) -> Evidence | None:
    """What the checker needs to show the domains of a graph; None where it can't be shown so."""
    graph = read(subject, table) if isinstance(subject.what, Graph) and claim.code == "DOM" else None
    if graph is None:
        return None
    found = Search()
    nodes = nodes_of(table)
    try:
        ranges.dom(graph, cache(lambda name: Op(subject.memo["ops"][name], nodes)), found)
    except (Refused, RecursionError):
        return None
    return {"by": "ranges", "steps": found.given}


def _number(op: OpDef, position: int) -> int:
    """Which of the operator's promises a claim is about."""
    return sum(claim.code == "POST" for claim in claims_of_op(op)[:position])


_decoded: list[Any] = [None, []]


def nodes_of(table: Table) -> list[Node]:
    """The checker's nodes of a table's entries; those of the last one asked for are kept."""
    if _decoded[0] is not table or len(_decoded[1]) != len(table.entries):
        _decoded[:] = [table, decode(table.entries)]
    nodes: list[Node] = _decoded[1]
    return nodes


def _witness(op: Op) -> dict[str, Any]:
    """Small sizes and reals that meet the requirements; those that do not are returned where none do."""
    tensors = sorted({*op.reals, *(p.name for p in op.params if p.kind == "real")})
    point: dict[str, Any] = {}
    for sizes in _choices(sorted(op.fixed), SIZES):
        for values in _choices(tensors if op.domain or op.requires else [], VALUES):
            point = {"sizes": sizes, "values": values}
            try:
                satisfied(op, sizes, values)
                return point
            except Refused as problem:
                if "sizes" in str(problem):
                    break
    return point


def _choices(names: list[str], among: tuple[Any, ...]) -> Iterator[dict[str, Any]]:
    """Values for names: the same for all first, then all choices, as far as POINTS goes."""
    for value in among:
        yield dict.fromkeys(names, value)
    for _, chosen in zip(range(POINTS), product(among, repeat=len(names)), strict=False):
        yield dict(zip(names, chosen, strict=True))
