"""What a sampled gradient check misses is refuted with a replayed point, and its corrected version is proved."""

from __future__ import annotations

from pathlib import Path

import pytest
from gradproof.compiler.elaborate import load_path
from gradproof.verifier.operators import Options, verdicts_of_op

CASES = Path(__file__).parent / "cases" / "promises"
SUBJECTS = [
    pytest.param(op, id=f"{path.stem}/{name}")
    for path in sorted(CASES.glob("*.gproof"))
    for name, op in load_path(path).ops.items()
]


@pytest.mark.parametrize("op", SUBJECTS)
def test_promise(op) -> None:  # type: ignore[no-untyped-def]
    expected = op.doc.split("expect:")[1].strip()
    verdicts = verdicts_of_op(op, Options(timeout=5.0, search=5.0))
    shown = "\n".join(f"{v.claim.code} {v.answer} {v.reason}" for v in verdicts)
    if expected == "all proved":
        assert op.name.endswith("_right")
        assert all(v.answer == "proved" and v.scope == "all sizes" for v in verdicts), shown
        return
    code, answer = expected.split()
    assert op.name.endswith("_wrong") and answer == "refuted"
    refuted = [v for v in verdicts if v.claim.code == code and v.answer == "refuted"]
    assert refuted, shown
    for verdict in refuted:
        found = verdict.counterexample
        assert found is not None and found.replayed and found.values and found.expected != found.got
