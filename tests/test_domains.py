"""NaN traps are found before they run, with a witness and a safe form; safe forms are proved; so is every `instead`."""

from __future__ import annotations

import re
from pathlib import Path

import gradproof as gp
import pytest
from gradproof.compiler.elaborate import load_path
from gradproof.compiler.library import prelude
from gradproof.verifier.graphs import verdicts_of_graph
from gradproof.verifier.options import Options

CASES = Path(__file__).parent / "cases" / "domains" / "traps.gproof"
KINDS = {name: kind for kind, name in re.findall(r"^# (trap|safe)\ngraph (\w+)", CASES.read_text(), re.MULTILINE)}
GRAPHS = load_path(CASES).graphs
INSTEAD = [(name, form) for name, op in prelude().ops.items() for form in op.instead]


@pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if kind == "trap"])
def test_traps_are_found(name: str) -> None:
    verdicts = verdicts_of_graph(GRAPHS[name], Options(timeout=5.0, search=5.0))
    refuted = [v for v in verdicts if v.answer == "refuted"]
    assert {v.claim.code for v in refuted} <= {"DOM", "SHAPE"} and refuted
    for verdict in refuted:
        assert verdict.counterexample is not None and verdict.counterexample.replayed
        # A size that is 0 is seen in the dims; for a value there is a safe form, or a way to say that it stays away.
        assert verdict.advice or verdict.claim.code == "SHAPE"


@pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if kind == "safe"])
def test_safe_forms_are_proved(name: str) -> None:
    verdicts = verdicts_of_graph(GRAPHS[name], Options(timeout=5.0, search=0.0))
    assert {v.answer for v in verdicts} == {"proved"}, [(v.claim.code, v.answer, v.reason) for v in verdicts]


@pytest.mark.parametrize(("name", "form"), INSTEAD)
def test_what_is_advised_is_proved(name: str, form: str) -> None:
    inputs = ", ".join(f"{param.name}: f64[A]" for param in prelude().ops[name].params)
    assert gp.verify(f"dim A\ngraph f({inputs}) -> f64[A] {{ return {form} }}").ok


def test_the_advice_is_shown() -> None:
    report = str(gp.verify("dim A\ngraph f(x: f64[A]) -> f64[A] { return log(x) }"))
    assert "instead: safe_log(x)" in report and "assume" in report
