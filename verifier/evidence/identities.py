"""The steps that show JVP, VJP and RUNS, found: what the checker's rules.py replays. Nothing here is trusted.

In order: laws of externs are put in; what follows from the facts is dropped; quotients, minima and maxima get their
values; indices are taken apart in blocks; denominators are cleared; sums over other indices are brought to those of a
sum that they cancel with; conditions split cases.
"""

from __future__ import annotations

from itertools import product
from typing import Any

from gradproof.compiler.claims import Claim
from gradproof.compiler.ops import OpDef
from gradproof.compiler.portable import Table
from gradproof.verifier.checker.operators import Op
from gradproof.verifier.checker.rules import Statement, statement, tied
from gradproof.verifier.checker.terms import Refused
from gradproof.verifier.evidence.denominators import Denominators
from gradproof.verifier.evidence.finding import OutOfTime, Sharing, sharing_of
from gradproof.verifier.evidence.indices import Indices
from gradproof.verifier.evidence.lawful import Lawful
from gradproof.verifier.evidence.methods import Evidence, Subject
from gradproof.verifier.evidence.signs import Signs
from gradproof.verifier.law_points import law_check

SECONDS = 4.0  # for one statement


class Finder(Lawful, Indices, Denominators, Signs):
    """All strategies, in order."""

    def find(self) -> bool:
        """Whether nothing is left in the end."""
        try:
            for _ in range(8):
                before = set(self.proof.left)
                for strategy in (
                    self.laws,
                    self.absorb,
                    self.regions,
                    self.few,
                    self.blocks,
                    self.match,
                    self.clear,
                    self.implied,
                    self.cases,
                ):
                    if not self.proof.left:
                        return True
                    strategy()
                if set(self.proof.left) == before:
                    self.choices()
                if set(self.proof.left) == before:
                    break
        except OutOfTime:
            pass
        return not self.proof.left


def find(op: Op, claim: Statement, away: bool, sharing: Sharing, seconds: float) -> list[Any] | None:
    """[steps, hints] that show a statement; None where none were found."""
    for deep in (False, True):
        try:
            finder = Finder(op, claim, away, sharing, seconds, deep)
            if finder.find():
                return [finder.steps, finder.hints.given]
        except (Refused, RecursionError, ValueError):
            continue  # it grew beyond what the checker takes
    return None


def identity(op: Op, code: str, name: str, sharing: Sharing, seconds: float = SECONDS) -> list[Any] | None:
    """The parts that show a claim (see rules.identity); None where none were found."""
    parts: list[Any] = []
    ties = tied(op)
    for agree in (False, True) if code == "VJP" and ties else (False,):
        for away, pairs in product(
            (0, 1) if ties and code != "RUNS" and not agree else (0,), (0, 1) if code != "VJP" else (0,)
        ):
            try:
                claim = statement(op, code, name, bool(pairs), agree)
            except Refused:
                return None
            found = find(op, claim, bool(away), sharing, seconds)
            if found is not None:
                parts.append([away, pairs, *found])
                break
        else:
            return None
    return parts


def identity_evidence(subject: Subject, position: int, claim: Claim, table: Table) -> Evidence | None:
    """The evidence of JVP, VJP and RUNS of an operator."""
    if claim.kind != "op" or claim.code not in ("JVP", "VJP", "RUNS"):
        return None
    sharing = sharing_of(table)
    try:
        op = subject.memo.setdefault("operator", None) or Op(subject.data, sharing.nodes)
    except Refused:
        return None
    subject.memo["operator"] = op
    if isinstance(subject.what, OpDef) and subject.what.laws and law_check(subject.what)[0]:
        return None  # what follows from a law that fails is no evidence of anything
    parts = identity(op, claim.code, op.moving[position - 2].name if claim.code == "VJP" else "", sharing)
    return None if parts is None else {"by": "identity", "parts": parts}
