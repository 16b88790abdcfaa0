"""A verification as JSON, version 1: the format of verify.schema.json, which ships beside this file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib import resources
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import gradproof
from gradproof.compiler.claims import Counterexample, Verdict
from gradproof.grammar.source import Diagnostic, Span
from gradproof.report import FileReport, Report, Subject


def render(report: Report) -> str:
    """The whole report as JSON text."""
    return json.dumps(to_data(report), indent=2, ensure_ascii=False, allow_nan=False)


def to_data(report: Report) -> dict[str, Any]:
    """The whole report as JSON data."""
    return {
        "version": 1,
        "tool": {"name": "gradproof", "version": gradproof.__version__, "z3": _z3_version()},
        "files": [_file(file) for file in report.files],
        "summary": {
            "proved": report.count("proved"),
            "refuted": report.count("refuted"),
            "unknown": report.count("unknown"),
        },
    }


@cache
def schema() -> dict[str, Any]:
    """The JSON Schema of `to_data`."""
    text = resources.files("gradproof.report").joinpath("verify.schema.json").read_text(encoding="utf-8")
    data: dict[str, Any] = json.loads(text)
    return data


def _file(file: FileReport) -> dict[str, Any]:
    return {
        "path": file.path,
        "error": None if file.error is None else _error(file.error),
        **({"problems": [_error(problem) for problem in file.problems]} if file.problems else {}),
        "subjects": [_subject(subject, file.ignored) for subject in file.subjects],
    }


def _error(error: Diagnostic) -> dict[str, Any]:
    return {"code": error.code, "message": error.message, "advice": error.advice, "span": _span(error.span)}


def _subject(subject: Subject, ignored: Mapping[str, str]) -> dict[str, Any]:
    obligations = [
        obligation(v) | ({"ignored": ignored[v.claim.key]} if v.claim.key in ignored else {}) for v in subject.verdicts
    ]
    return {"kind": subject.kind, "name": subject.name, "obligations": obligations}


def obligation(verdict: Verdict) -> dict[str, Any]:
    """One verdict as JSON data."""
    return {
        "code": verdict.claim.code,
        "claim": verdict.claim.text,
        "verdict": verdict.answer,
        # an unknown says why in the same place where a proof says how
        "by": f"{verdict.by}: {verdict.reason}" if verdict.answer == "unknown" else verdict.by,
        "scope": verdict.scope,
        "hypotheses": [str(hypothesis) for hypothesis in verdict.hypotheses],
        "trusts": list(verdict.trusts),
        "seconds": round(verdict.seconds, 6),
        "advice": list(verdict.advice),
        "counterexample": None if verdict.counterexample is None else _counterexample(verdict.counterexample),
        "span": _span(verdict.claim.span),
    }


def _counterexample(point: Counterexample) -> dict[str, Any]:
    return {
        "dims": dict(point.dims),
        "values": dict(point.values),
        "expected": point.expected,
        "got": point.got,
        "replayed": point.replayed,
    }


def _span(span: Span | None) -> dict[str, int] | None:
    return None if span is None else {"line": span.line, "column": span.column}


def _z3_version() -> str:
    try:
        return version("z3-solver")
    except PackageNotFoundError:
        return "unknown"
