"""Which evidence a claim gets: the first method that finds some; otherwise whose word it is, said as such."""

from __future__ import annotations

from gradproof.compiler.claims import Claim, Verdict
from gradproof.compiler.portable import Table
from gradproof.verifier.evidence.graphs import shape_evidence, structure_evidence
from gradproof.verifier.evidence.identities import identity_evidence
from gradproof.verifier.evidence.methods import Evidence, Method, Subject
from gradproof.verifier.evidence.plans import plan_evidence
from gradproof.verifier.evidence.sides import side_evidence
from gradproof.verifier.evidence.tables import table_evidence

METHODS: tuple[Method, ...] = (
    side_evidence,
    structure_evidence,
    table_evidence,
    shape_evidence,
    plan_evidence,
    identity_evidence,
)


def evidence_of(subject: Subject, position: int, claim: Claim, verdict: Verdict, table: Table) -> Evidence:
    """Evidence for a proved claim, number `position` of its subject's."""
    for method in METHODS:
        found = method(subject, position, claim, table)
        if found is not None:
            return found
    return {"by": "z3" if "z3" in verdict.by else "verifier"}
