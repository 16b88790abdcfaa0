"""Attacks on the verifier: texts that it must not prove, beside right ones that it must."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from gradproof.compiler.claims import Verdict
from gradproof.compiler.elaborate import load_path
from gradproof.compiler.ops import OpDef
from gradproof.verifier.operators import Options, verdicts_of_op

CASES = Path(__file__).parent / "cases" / "soundness"


def _expected(op: OpDef) -> list[tuple[str, str]]:
    """(code, answer) of each `# expect: VJP refuted, KINK not proved` above a stanza; the code may be `all`."""
    found = [part.strip() for line in re.findall(r"expect: *(.*)", op.doc) for part in line.split(",")]
    return [(part.split(" ", 1)[0], part.split(" ", 1)[1]) for part in found]


def _subjects() -> list[tuple[str, OpDef]]:
    modules = [(path, load_path(path)) for path in sorted(CASES.glob("*.gproof"))]
    return [(f"{path.stem}/{name}", op) for path, module in modules for name, op in module.ops.items()]


@pytest.mark.parametrize(("name", "op"), [pytest.param(n, o, id=n) for n, o in _subjects()])
def test_no_false_proof(name: str, op: OpDef) -> None:
    wanted = _expected(op)
    assert wanted, f"{name} expects nothing"
    search = 2.0 if any(answer == "refuted" for _, answer in wanted) else 0.0
    verdicts = verdicts_of_op(op, Options(timeout=2.0, search=search))
    for code, answer in wanted:
        mine = [v for v in verdicts if code in ("all", v.claim.code)]
        assert mine, f"{name} claims no {code}"
        assert _answers(mine, answer), "\n".join(f"{v.claim.code} {v.answer} {v.reason}" for v in mine)


def _answers(verdicts: list[Verdict], answer: str) -> bool:
    match answer:
        case "proved":
            return all(v.answer == "proved" for v in verdicts)
        case "refuted":
            return any(v.answer == "refuted" for v in verdicts)
        case "not proved":
            return any(v.answer != "proved" for v in verdicts)
        case "unknown":
            return any(v.answer == "unknown" for v in verdicts)
    raise ValueError(f"no such answer: {answer}")
