"""A verification as commands of a GitHub workflow: annotations where the failures are.

Format: docs.github.com, "Workflow commands for GitHub Actions".
"""

from __future__ import annotations

from gradproof.report import Report
from gradproof.report.findings import Finding, findings
from gradproof.report.text import totals


def render(report: Report) -> str:
    """The whole report."""
    return "\n".join([*(_command(one) for one in findings(report)), totals(report)])


def _command(one: Finding) -> str:
    level = "notice" if one.ignored else one.level
    # `endColumn` may only be given for a place within one line
    where = {"file": one.path, "line": one.line, "endLine": one.end_line}
    if one.line == one.end_line:
        where |= {"col": one.column, "endColumn": max(one.column, one.end_column - 1)}
    title = f"gradproof {one.code}" + (" (ignored)" if one.ignored else "")
    values = ",".join(f"{name}={_property(str(value))}" for name, value in {**where, "title": title}.items())
    return f"::{level} {values}::{_data(one.text)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
