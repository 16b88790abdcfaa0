"""Every rule of the prelude with a mistake in it: refuted by a replayed counterexample, or shown to be equal.

`MUTANTS=n` takes one mutant in n; `make mutants` (every_mutant.py) takes them all. Equal means proved, and a claim that
is proved of a mutant is held against the denotation at many points all the same. What stays open is listed, with the
reason, in cases/mutants/open.txt: a new one fails.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from zlib import crc32

import pytest
from gradproof.compiler.library import prelude
from gradproof.compiler.ops import OpDef
from gradproof.compiler.rules import rules_of
from gradproof.compiler.transpose import NotLinear
from gradproof.verifier import derivatives
from gradproof.verifier.proofs import Proof
from judging import PATIENT, judge
from mutate import Mutant, mutants

CASES = Path(__file__).parent / "cases" / "mutants"
SHARE = int(os.environ.get("MUTANTS", "120"))  # one mutant in so many
OPS = sorted(name for name, op in prelude().ops.items() if op.differentiable)
counts: Counter[str] = Counter()


def listed(name: str) -> dict[str, str]:
    """The mutants of a list: key -> reason."""
    lines = (CASES / name).read_text(encoding="utf-8").splitlines()
    entries = [line.partition("  # ") for line in lines if line and not line.startswith("#")]
    return {key.strip(): reason for key, _, reason in entries}


OPEN = listed("open.txt")


def chosen(op: OpDef) -> Iterator[Mutant]:
    """The mutants that this run takes."""
    return (m for m in mutants(op) if crc32(m.key.encode()) % SHARE == 0)


@pytest.mark.parametrize("name", OPS)
def test_mutants_are_refuted_or_equal(name: str) -> None:
    surprises: list[str] = []
    for mutant in chosen(prelude().ops[name]):
        outcome = judge(prelude().ops[name], mutant)
        if outcome == "open" and mutant.key not in OPEN:
            outcome = judge(prelude().ops[name], mutant, PATIENT)
            surprises += [mutant.key] if outcome == "open" else []
        counts[outcome] += 1
    assert not surprises, "\n".join(surprises)


@pytest.mark.parametrize("key", ["relu | vjp x | double", "matmul | jvp | drop a summand", "softmax | runs | double"])
def test_a_prover_that_says_yes_to_everything_is_caught(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    op = prelude().ops[key.partition(" | ")[0]]
    (mutant,) = (m for m in mutants(op) if m.key == key)
    assert judge(op, mutant) == "refuted"
    monkeypatch.setattr(derivatives, "close", lambda *_, **__: Proof(True, "by assertion"))
    with pytest.raises(AssertionError, match="FALSE PROOF"):
        judge(op, mutant)


def test_the_lists_name_mutants_that_exist() -> None:
    every = {mutant.key for op in prelude().ops.values() for mutant in mutants(op)}
    assert not OPEN.keys() - every
    assert all(OPEN.values()), "an open mutant needs its reason"
    assert len(OPEN) <= 5


def test_every_written_and_derived_rule_has_mutants() -> None:
    for op in prelude().ops.values():
        try:
            rules = rules_of(op)
        except NotLinear:
            pytest.fail(f"{op.name} has no rules")
        wanted = {f"vjp {name}" for name, _ in rules.vjps} | ({"jvp"} if rules.jvp else set())
        assert wanted | ({"runs"} if op.runs else set()) <= {m.rule for m in mutants(op)}


def test_counts(capsys: pytest.CaptureFixture[str]) -> None:
    with capsys.disabled():
        print(f"\nmutants: {counts.total()} tried, " + ", ".join(f"{n} {what}" for what, n in counts.items()))
    assert counts["refuted"] > 10 * counts["open"]
