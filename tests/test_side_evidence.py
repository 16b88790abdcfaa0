"""Side conditions by evidence: what holds is replayed, what does not hold is not, whatever the evidence says."""

from __future__ import annotations

import json
import random
from functools import cache
from typing import Any

import pytest
from gradproof.compiler.library import prelude
from gradproof.compiler.obligations import claims_of_op
from gradproof.compiler.ops import OpDef
from gradproof.compiler.portable import Table
from gradproof.verifier.checker.evidence import side_conditions
from gradproof.verifier.checker.kinks import PROOFS
from gradproof.verifier.checker.operators import Op
from gradproof.verifier.checker.terms import Refused, decode
from gradproof.verifier.evidence.methods import Subject
from gradproof.verifier.evidence.sides import side_evidence

from tests.test_soundness import subjects

CASES = {name: (op, wanted) for name, (op, wanted) in subjects().items() if isinstance(op, OpDef)}
SHOWN = ("proved", "refuted by trial")  # what is tried at points is not what the claim says
FAMILIES = ["relu", "softmax", "matmul", "take", "conv2d", "log", "max[axis]", "argmax", "abs"]


class _Checked:
    """A certificate of one operator, as far as its claims ask for it."""

    def __init__(self, op: OpDef) -> None:
        table = Table()
        self.data = table.op(op)
        self.nodes = decode(json.loads(json.dumps(table.entries)))

    def op(self, name: str) -> Op:
        return Op(self.data, self.nodes)


@cache
def evidence(op: OpDef) -> dict[str, dict[str, Any]]:
    """Evidence for each side condition of an operator that some was found for, by code and number."""
    table = Table()
    subject = Subject(op, table.op(op))
    found = {}
    for position, claim in enumerate(claims_of_op(op)):
        if claim.code in PROOFS:
            one = side_evidence(subject, position, claim, table)
            if one is not None:
                found[f"{claim.code} {position}"] = json.loads(json.dumps(one))
    return found


def accepted(op: OpDef, key: str, given: dict[str, Any]) -> bool:
    """Whether the checker takes the evidence for this claim of the operator."""
    code, position = key.split()
    text = claims_of_op(op)[int(position)].text if code != "POST" else f"ensure {_number(op, int(position))}"
    checked: Any = _Checked(op)
    try:
        side_conditions(checked, {"code": code, "text": text}, int(position), checked.data, given)
    except (Refused, LookupError, TypeError, ValueError, AttributeError, ArithmeticError):  # as main.py does
        return False
    return True


def _number(op: OpDef, position: int) -> int:
    return sum(claim.code == "POST" for claim in claims_of_op(op)[:position])


@pytest.mark.parametrize("name", CASES)
def test_nothing_false_has_evidence(name: str) -> None:
    op, wanted = CASES[name]
    found = evidence(op)
    for code, answer in wanted:
        if answer not in SHOWN and code in PROOFS:
            mine = [f"{c.code} {k}" for k, c in enumerate(claims_of_op(op)) if c.code == code]
            assert any(key not in found for key in mine)


@pytest.mark.parametrize("name", CASES)
def test_evidence_of_others_shows_nothing_false(name: str) -> None:
    """What shows a claim of an operator is tried on the same claim of an operator for which it is false."""
    op, wanted = CASES[name]
    false = {code for code, answer in wanted if answer not in SHOWN and code in PROOFS and code != "POST"}
    others = [evidence(prelude().ops[other]) for other in FAMILIES] if false else []
    for position, claim in enumerate(claims_of_op(op)):
        if claim.code in false:
            for found in others:
                for key, given in found.items():
                    assert not key.startswith(claim.code) or not accepted(op, f"{claim.code} {position}", given)


@pytest.mark.parametrize("name", FAMILIES)
def test_evidence_is_replayed_as_it_stands(name: str) -> None:
    op = prelude().ops[name]
    found = evidence(op)
    assert {key.split()[0] for key in found} >= {"SHAPE", "DOM"}
    rng = random.Random(name)
    for key, given in found.items():
        assert accepted(op, key, given)
        assert not accepted(op, key, {**given, "steps": [*given["steps"], 0]})
        assert not given["steps"] or not accepted(op, key, {**given, "steps": given["steps"][:-1]})
        assert not accepted(op, key, {**given, "more": 1})
        for _ in range(20):
            accepted(op, key, {**given, "steps": _forged(given["steps"], rng)})  # refused or not, it ends in no error


def _forged(part: Any, rng: random.Random) -> Any:
    if isinstance(part, list):
        return [_forged(inner, rng) for inner in part if rng.random() > 0.1]
    return rng.choice((part, part, part + 1, -part, "0", None, [])) if isinstance(part, int) else part


def test_most_side_conditions_of_the_prelude_are_replayed() -> None:
    table = Table()
    every = [Subject(op, table.op(op)) for op in prelude().ops.values()]
    missing = []
    for subject in every[::7]:
        assert isinstance(subject.what, OpDef)
        for position, claim in enumerate(claims_of_op(subject.what)):
            if claim.code in ("SHAPE", "DOM") and side_evidence(subject, position, claim, table) is None:
                missing.append(f"{claim.code} {claim.subject}")
    assert len(missing) <= 4, missing
