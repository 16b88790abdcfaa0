"""The report formats: JSON against its schema, text against what a reader looks for."""

from __future__ import annotations

import json as json_module
from fractions import Fraction
from pathlib import Path

import gradproof as gp
import jsonschema
import pytest
from gradproof.compiler.claims import CODES, Claim, Counterexample, Hypothesis, Verdict
from gradproof.grammar.source import Diagnostic, Source, Span
from gradproof.report import FileReport, Report, Subject, json, text

EXAMPLES = Path(__file__).parent.parent / "examples"
SOURCE = Source("a.gproof", "fn f(x) {\n  y = x^2\n  vjp x = -2 * g * x\n}\n")
SPAN = Span(SOURCE, 3, 3, 3, 21)


def claim(code: str = "VJP") -> Claim:
    return Claim(code, "op", "f", "<jvp(x, dx), g> = <dx, vjp(x, g)>", "d" * 32, SPAN)


POINT = Counterexample({"n": 2}, {"x": [["1/2", "-3"]], "c": True, "k": [0, 1]}, "6", "-6", True)
PROVED = Verdict(claim("JVP"), "proved", "normal form", "all sizes", 0.001, (Hypothesis("n > 0", "by require"),))
REFUTED = Verdict(claim(), "refuted", "search", "n = 2", 0.002, counterexample=POINT)
UNKNOWN = Verdict(claim("DOM"), "unknown", "z3", "all sizes", 10.0, reason="time limit of 10 s")


def report(*verdicts: Verdict) -> Report:
    return Report((FileReport("a.gproof", (Subject("op", "f", True, verdicts),), seconds=0.5),))


def test_the_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(json.schema())


@pytest.mark.parametrize("verdicts", [(), (PROVED,), (PROVED, REFUTED, UNKNOWN)])
def test_json_follows_the_schema(verdicts: tuple[Verdict, ...]) -> None:
    data = json_module.loads(json.render(report(*verdicts)))
    jsonschema.validate(data, json.schema())
    assert len(data["files"][0]["subjects"][0]["obligations"]) == len(verdicts)


def test_json_has_every_field() -> None:
    data = json.to_data(report(PROVED, REFUTED, UNKNOWN))
    proved, refuted, unknown = data["files"][0]["subjects"][0]["obligations"]
    assert data["tool"] == {"name": "gradproof", "version": gp.__version__, "z3": data["tool"]["z3"]}
    assert data["summary"] == {"proved": 1, "refuted": 1, "unknown": 1}
    assert proved["hypotheses"] == ["n > 0 (by require)"]
    assert proved["counterexample"] is None
    assert refuted["counterexample"] == {
        "dims": {"n": 2},
        "values": {"x": [["1/2", "-3"]], "c": True, "k": [0, 1]},
        "expected": "6",
        "got": "-6",
        "replayed": True,
    }
    assert refuted["span"] == {"line": 3, "column": 3}
    assert "time limit of 10 s" in unknown["by"]


def test_json_of_an_ill_formed_text() -> None:
    error = Diagnostic("unknown-name", "no value called v", SPAN, "did you mean x?")
    data = json.to_data(Report((FileReport("a.gproof", error=error),)))
    jsonschema.validate(data, json.schema())
    assert data["files"][0]["error"] == {
        "code": "unknown-name",
        "message": "no value called v",
        "advice": "did you mean x?",
        "span": {"line": 3, "column": 3},
    }


def test_the_schema_refuses_what_is_not_the_format() -> None:
    good = json_module.loads(json.render(report(REFUTED)))
    validator = jsonschema.Draft202012Validator(json.schema())
    assert validator.is_valid(good)
    obligation = good["files"][0]["subjects"][0]["obligations"][0]
    for change in ({"verdict": "skipped"}, {"code": "NEW"}, {"counterexample": None}, {"extra": 1}, {"seconds": -1}):
        bad = json_module.loads(json_module.dumps(good))
        bad["files"][0]["subjects"][0]["obligations"][0] = {**obligation, **change}
        assert not validator.is_valid(bad), change


def test_the_schema_lists_every_code() -> None:
    assert tuple(json.schema()["$defs"]["obligation"]["properties"]["code"]["enum"]) == CODES


def test_text_shows_the_place_and_the_counterexample() -> None:
    shown = text.render(report(PROVED, REFUTED))
    for expected in (
        "refuted: VJP of op f",
        "<jvp(x, dx), g> = <dx, vjp(x, g)>",
        "a.gproof:3:3",
        "3 |   vjp x = -2 * g * x",
        "      ^^^^^^^^^^^^^^^^^^",
        "n = 2",
        "x = [[1/2, -3]]",
        "c = true",
        "expected 6",
        "got      -6",
        "replayed",
        "1 proved, 1 refuted, 0 unknown in 1 file, 0.50 s",
    ):
        assert expected in shown, expected


def test_text_gives_the_reason_of_an_unknown() -> None:
    shown = text.render(report(UNKNOWN))
    assert "unknown: DOM of op f" in shown
    assert "reason: time limit of 10 s" in shown


def test_only_proofs_are_ok() -> None:
    assert report(PROVED).ok
    assert report().ok
    assert not report(PROVED, REFUTED).ok
    assert not report(PROVED, UNKNOWN).ok
    assert not Report((FileReport("a.gproof", error=Diagnostic("x", "y", None)),)).ok


def test_values_as_text() -> None:
    assert text.show_value([["1/2", Fraction(3)], [True, 4]]) == "[[1/2, 3], [true, 4]]"


@pytest.mark.parametrize("name", ["digits.gproof", "wrong/tanh_parentheses.gproof"])
def test_real_reports_follow_the_schema(name: str) -> None:
    found = gp.verify(EXAMPLES / name)
    jsonschema.validate(json_module.loads(json.render(found)), json.schema())
    assert found.ok == (not name.startswith("wrong"))
