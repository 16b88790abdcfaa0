"""A verification as one line for everything that is not proved: path, place, what; then the totals."""

from __future__ import annotations

from gradproof.report import Report
from gradproof.report.findings import Finding, findings
from gradproof.report.text import totals


def render(report: Report) -> str:
    """The whole report."""
    lines = [f"{one.path}:{one.line}:{one.column}: {one.code} {one.message}{_ignored(one)}" for one in findings(report)]
    return "\n".join([*lines, totals(report)])


def _ignored(one: Finding) -> str:
    return f" (ignored: {one.ignored})" if one.ignored else ""
