"""Which evidence a claim gets: what the first method finds that finds some."""

from __future__ import annotations

from gradproof.compiler.claims import Claim
from gradproof.compiler.portable import Table
from gradproof.verifier.checker.terms import Refused
from gradproof.verifier.evidence.graphs import shape_evidence, structure_evidence
from gradproof.verifier.evidence.identities import identity_evidence
from gradproof.verifier.evidence.loops import loop_evidence
from gradproof.verifier.evidence.methods import Evidence, Method, Subject
from gradproof.verifier.evidence.plans import plan_evidence
from gradproof.verifier.evidence.promises import promise_evidence
from gradproof.verifier.evidence.sides import range_evidence, side_evidence
from gradproof.verifier.evidence.tables import table_evidence

METHODS: tuple[Method, ...] = (
    side_evidence,
    range_evidence,
    promise_evidence,
    structure_evidence,
    table_evidence,
    shape_evidence,
    plan_evidence,
    loop_evidence,
    identity_evidence,
)


def evidence_of(subject: Subject, position: int, claim: Claim, table: Table) -> Evidence | None:
    """Evidence for a claim, number `position` of its subject's; None where no method finds any."""
    for method in METHODS:
        try:
            found = method(subject, position, claim, table)
        except (Refused, RecursionError):  # what the checker would refuse as too large is no evidence
            continue
        if found is not None:
            return found
    return None
