"""A verification as JUnit XML, in the form of Ant's schema, which is the strictest one in use.

A file is a test suite and a claim a test case: refuted is a failure, unknown an error (nothing is known to be wrong),
ignored is skipped. A text that is ill-formed has one test case, which failed.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from xml.etree import ElementTree as Xml

import gradproof
from gradproof.compiler.claims import Verdict
from gradproof.report import FileReport, Report
from gradproof.report.findings import shown
from gradproof.report.text import explained

FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # characters that XML 1.0 has not


def render(report: Report) -> str:
    """The whole report as XML text."""
    root = Xml.Element("testsuites")
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S")
    for number, file in enumerate(report.files):
        _suite(root, file, number, now)
    Xml.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + Xml.tostring(root, encoding="unicode")


def _suite(root: Xml.Element, file: FileReport, number: int, now: str) -> None:
    cases = [_case(file, verdict) for verdict in file.verdicts]
    errors = (*([] if file.error is None else [file.error]), *file.problems)
    cases += [_broken(file, error.code, error.message, str(error)) for error in errors]
    path = shown(file.path)
    values = {
        "name": path,
        "package": path.rpartition("/")[0].replace("/", ".") or ".",
        "id": str(number),
        "timestamp": now,
        "hostname": "localhost",
        "tests": str(len(cases)),
        "failures": str(sum(case.find("failure") is not None for case in cases)),
        "errors": str(sum(case.find("error") is not None for case in cases)),
        "skipped": str(sum(case.find("skipped") is not None for case in cases)),
        "time": f"{sum(verdict.seconds for verdict in file.verdicts):.3f}",
    }
    suite = Xml.SubElement(root, "testsuite", {name: _clean(value) for name, value in values.items()})
    properties = Xml.SubElement(suite, "properties")
    Xml.SubElement(properties, "property", {"name": "gradproof", "value": gradproof.__version__})
    suite.extend(cases)
    Xml.SubElement(suite, "system-out").text = ""
    Xml.SubElement(suite, "system-err").text = _clean("\n\n".join(str(warning) for warning in file.warnings))


def _case(file: FileReport, verdict: Verdict) -> Xml.Element:
    claim = verdict.claim
    case = Xml.Element("testcase", _named(file, f"{claim.code} of {claim.kind} {claim.subject}: {claim.text}"))
    case.set("time", f"{verdict.seconds:.3f}")
    if verdict.answer == "proved":
        return case
    ignored = file.ignored.get(claim.key)
    if ignored:
        Xml.SubElement(case, "skipped").text = _clean(ignored)
        return case
    tag = "failure" if verdict.answer == "refuted" else "error"
    message = verdict.reason or f"a counterexample to {claim.code}"
    Xml.SubElement(case, tag, {"message": _clean(message), "type": claim.code}).text = _clean(
        next(explained([verdict]))
    )
    return case


def _broken(file: FileReport, code: str, message: str, text: str) -> Xml.Element:
    case = Xml.Element("testcase", {**_named(file, "the text"), "time": "0.000"})
    Xml.SubElement(case, "failure", {"message": _clean(message), "type": code}).text = _clean(text)
    return case


def _named(file: FileReport, name: str) -> dict[str, str]:
    return {"name": _clean(" ".join(name.split())), "classname": _clean(shown(file.path))}


def _clean(text: str) -> str:
    return FORBIDDEN.sub("\ufffd", text)
