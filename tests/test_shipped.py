"""The prelude's own certificates: those of the prelude at hand; nothing is replayed for another operator."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from gradproof.compiler.library import prelude
from gradproof.compiler.obligations import claims_of_op
from gradproof.compiler.ops import OpDef
from gradproof.compiler.terms import num
from gradproof.verifier import shipped
from gradproof.verifier.discharge import verify
from gradproof.verifier.options import Options
from gradproof.verifier.shipped import FOLDER, replayed

OPS = prelude().ops
FAMILIES = sorted(path.stem for path in FOLDER.glob("*.gproof"))
RENEW = "stale: run `make prelude`"


def of(family: str) -> list[OpDef]:
    return [op for op in OPS.values() if Path(op.span.source.path).stem == family]


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_has_a_certificate_of_its_own_operators(family: str) -> None:
    found = shipped._family(str(FOLDER / f"{family}.gproof"))
    assert found is not None, RENEW
    assert sorted(found.claims) == sorted(op.name for op in of(family)), RENEW
    for op in of(family):
        assert shipped._same(op, found), f"{op.name}: {RENEW}"
        codes = {c.code for c in claims_of_op(op) if c.key in replayed(op)}
        assert {"SHAPE", "DOM"} & codes or op.lawful, op.name


def test_they_are_small_and_mostly_replayed() -> None:
    assert sum(path.stat().st_size for path in FOLDER.glob("*.gpc")) <= 3 << 20
    by = Counter[bool]()
    for family in FAMILIES:
        found = shipped._family(str(FOLDER / f"{family}.gproof"))
        assert found is not None
        by.update(said["evidence"]["by"] not in ("z3", "verifier") for c in found.claims.values() for said, _, _ in c)
    assert by[True] / by.total() > 0.9


def test_another_operator_of_the_same_name_is_proved_again() -> None:
    op = OPS["matmul"]
    assert len(replayed(op)) == len(claims_of_op(op))
    rule = replace(op.forward, body=num(2))
    assert replayed(replace(op, forward=rule)) == {}
    assert replayed(replace(op, requires=())) == {} or not op.requires
    elsewhere = replace(op.span, source=replace(op.span.source, path="/tmp/linear.gproof"))
    assert replayed(replace(op, span=elsewhere)) == {}


def test_verify_replays_them_unless_it_is_told_not_to() -> None:
    op = OPS["matmul"]
    assert all(v.by.startswith("replayed: ") and v.answer == "proved" for v in verify((op,), ()))
    assert not any(v.by.startswith("replayed: ") for v in verify((op,), (), Options(shipped=False)))


def test_what_is_damaged_is_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in FOLDER.glob("linear.*"):
        (tmp_path / path.name).write_bytes(path.read_bytes().replace(b'"code":"JVP"', b'"code":"VJP"'))
    monkeypatch.setattr(shipped, "FOLDER", tmp_path)
    assert shipped._family.__wrapped__(str(tmp_path / "linear.gproof")) is None
