"""A verification as a short page in Markdown: what a job's summary shows."""

from __future__ import annotations

from itertools import islice

from gradproof.report import Report
from gradproof.report.findings import Finding, findings
from gradproof.report.text import totals

SHOWN = 50  # failures in full; the page of a job has a limit of 1 MiB


def render(report: Report, note: str = "") -> str:
    """The whole report."""
    found = [one for one in findings(report) if not one.ignored and one.answer != "warning"]
    ignored = [one for one in findings(report) if one.ignored]
    head = "everything is proved" if report.ok else f"{len(found)} not proved"
    lines = [f"## gradproof: {head}", "", f"{totals(report)}{f'; {note}' if note else ''}", ""]
    if found:
        lines += ["| place | code | about | answer |", "|---|---|---|---|", *map(_row, found[:SHOWN]), ""]
        for one in islice(found, SHOWN):
            lines += _details(one)
    if len(found) > SHOWN:
        lines += [f"... and {len(found) - SHOWN} more.", ""]
    if ignored:
        lines += ["| ignored | code | reason |", "|---|---|---|"]
        lines += [f"| `{one.path}:{one.line}` | {one.code} | {_cell(one.ignored)} |" for one in ignored[:SHOWN]]
        lines.append("")
    return "\n".join(lines)


def _row(one: Finding) -> str:
    return f"| `{_cell(one.path)}:{one.line}` | {one.code} | {_cell(one.about or 'the text')} | {one.answer} |"


def _details(one: Finding) -> list[str]:
    fence = "````" if "```" in one.text else "```"
    title = f"{one.code} at {one.path}:{one.line}".replace("&", "&amp;").replace("<", "&lt;")
    return ["<details>", f"<summary>{title}</summary>", "", f"{fence}text", one.text, fence, "", "</details>", ""]


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")
