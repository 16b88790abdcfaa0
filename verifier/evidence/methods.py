"""Which evidence a claim gets: the first method that finds some; otherwise whose word it is, said as such."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from gradproof.compiler.claims import Claim, Verdict
from gradproof.compiler.graph import Graph
from gradproof.compiler.loops import LoopDef
from gradproof.compiler.ops import OpDef
from gradproof.compiler.plan import Plan
from gradproof.compiler.portable import Table

Evidence: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Subject:
    """What a claim is about, as it stands in the compiler and as it stands in the certificate."""

    what: OpDef | Graph | LoopDef
    data: dict[str, Any]
    plans: tuple[Plan, ...] = ()


Method: TypeAlias = Callable[[Subject, int, Claim, Table], Evidence | None]
METHODS: tuple[Method, ...] = ()


def evidence_of(subject: Subject, position: int, claim: Claim, verdict: Verdict, table: Table) -> Evidence:
    """Evidence for a proved claim, number `position` of its subject's."""
    for method in METHODS:
        found = method(subject, position, claim, table)
        if found is not None:
            return found
    return {"by": "z3" if "z3" in verdict.by else "verifier"}
