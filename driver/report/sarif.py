"""A verification as SARIF 2.1.0 (OASIS): what code scanning reads. Each code is a rule, its page the rule's help."""

from __future__ import annotations

import json
from collections.abc import Sequence
from hashlib import sha256
from typing import Any
from urllib.parse import quote

import gradproof
from gradproof.codes import codes, help_of
from gradproof.report import Report
from gradproof.report.findings import Finding, findings

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"


def render(report: Report) -> str:
    """The whole report as SARIF text."""
    return json.dumps(to_data(report), indent=2, ensure_ascii=False, allow_nan=False)


def to_data(report: Report) -> dict[str, Any]:
    """The whole report as SARIF data."""
    found = list(findings(report))
    rules = sorted({one.code for one in found})
    driver = {
        "name": "gradproof",
        "version": gradproof.__version__,
        "semanticVersion": gradproof.__version__,
        "rules": [_rule(code) for code in rules],
    }
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "artifacts": [{"location": {"uri": quote(path)}} for path in _paths(found)],
        "results": _results(found, rules),
    }
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


def _rule(code: str) -> dict[str, Any]:
    if code not in codes():
        return {"id": code, "shortDescription": {"text": "The gate could not finish with this file."}}
    short, page = help_of(code)
    return {"id": code, "shortDescription": {"text": short}, "help": {"text": page, "markdown": page}}


def _paths(found: Sequence[Finding]) -> list[str]:
    return list(dict.fromkeys(one.path for one in found))


def _results(found: Sequence[Finding], rules: Sequence[str]) -> list[dict[str, Any]]:
    places = {path: k for k, path in enumerate(_paths(found))}
    seen: dict[str, int] = {}
    return [_result(one, rules.index(one.code), places[one.path], seen) for one in found]


def _result(one: Finding, rule: int, artifact: int, seen: dict[str, int]) -> dict[str, Any]:
    region = {"startLine": one.line, "startColumn": one.column, "endLine": one.end_line, "endColumn": one.end_column}
    location = {"artifactLocation": {"uri": quote(one.path), "index": artifact}, "region": region}
    result: dict[str, Any] = {
        "ruleId": one.code,
        "ruleIndex": rule,
        "level": one.level,
        "kind": "fail",
        "message": {"text": f"{one.message}\n\n{one.text}"},
        "locations": [{"physicalLocation": location}],
        "partialFingerprints": {"gradproof/v1": _fingerprint(one, seen)},
    }
    if one.about:
        kind, _, name = one.about.partition(" ")
        result["locations"][0]["logicalLocations"] = [{"name": name, "kind": "function", "fullyQualifiedName": name}]
        result["properties"] = {"answer": one.answer, "subject": kind}
    if one.ignored:
        result["suppressions"] = [{"kind": "external", "status": "accepted", "justification": one.ignored}]
    return result


def _fingerprint(one: Finding, seen: dict[str, int]) -> str:
    """The same for the same failure where lines have moved; the k-th of equal ones is told apart by k."""
    base = sha256("\0".join((one.path, one.code, one.about, one.message)).encode()).hexdigest()[:32]
    seen[base] = seen.get(base, 0) + 1
    return f"{base}:{seen[base]}"
