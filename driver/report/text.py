"""A verification as text: one line an obligation group, then what failed, where, and the counterexample."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

from gradproof.compiler.claims import Counterexample, Verdict
from gradproof.report import FileReport, Report, Subject

LONG = 24  # entries that are shown one by one, at most


def render(report: Report) -> str:
    """The whole report."""
    return "\n".join([*(render_file(file) for file in report.files), totals(report)])


def render_file(file: FileReport) -> str:
    """One text: a line for every group of obligations, then the failures in full."""
    lines = [file.path]
    if file.error is not None:
        lines.append(_indent(str(file.error), 2))
    for subject in file.subjects:
        lines.extend(_subject(subject))
    failures = [v for v in file.verdicts if v.answer != "proved"]
    for warning in file.warnings:
        lines.append(_indent(str(warning).replace(": error[", ": warning[", 1), 2))
    for text in explained(failures):
        lines.extend(["", _indent(text, 2)])
    if failures:
        lines.append("")
    return "\n".join(lines)


def totals(report: Report) -> str:
    """The last line: counts and time."""
    failed = [verdict.answer for verdict in report.failures()]
    counts = f"{report.count('proved')} proved, {failed.count('refuted')} refuted, {failed.count('unknown')} unknown"
    ignored = len(report.verdicts) - report.count("proved") - len(failed)
    counts += f", {ignored} ignored" if ignored else ""
    ill_formed = f", {len(report.errors)} ill-formed" if report.errors else ""
    problems = sum(len(file.problems) for file in report.files)
    ill_formed += f", {problems} wrong beside the text" if problems else ""
    files = f"{len(report.files)} file{'s' if len(report.files) != 1 else ''}"
    return f"{counts}{ill_formed} in {files}, {sum(f.seconds for f in report.files):.2f} s"


def more(report: Report) -> Iterator[str]:
    """Where to read on about what failed first."""
    codes = [v.claim.code for v in sorted(report.failures(), key=lambda v: v.answer != "refuted")]
    code = next(iter([*(error.code for error in report.errors), *codes]), None)
    if code is not None:
        yield f"`gradproof explain {code}` says more"


def render_failures(report: Report) -> str:
    """Only what is not proved, each file with all that fails in it; then what is ignored, and the totals."""
    lines: list[str] = []
    for file in report.files:
        errors = (*([] if file.error is None else [file.error]), *file.problems)
        parts = [str(error) for error in errors] + list(explained(list(file.failures())))
        parts += [str(warning).replace(": error[", ": warning[", 1) for warning in file.warnings]
        if parts:
            lines += [file.path, *(f"{_indent(part, 2)}\n" for part in parts)]
        lines += [
            f"ignored: {verdict.claim.code} of {verdict.claim.kind} {verdict.claim.subject} at "
            f"{verdict.claim.span or file.path}: {file.ignored[verdict.claim.key]}"
            for verdict in file.verdicts
            if verdict.claim.key in file.ignored
        ]
    return "\n".join([*lines, totals(report)])


def explained(failures: Sequence[Verdict]) -> Iterator[str]:
    """Each failure in full; claims of one subject that fail for one reason, or at one point, are told once."""
    groups: dict[object, list[Verdict]] = {}
    for verdict in failures:
        claim, point = verdict.claim, verdict.counterexample
        shown = verdict.reason if point is None else f"{point.values}{point.expected}{point.got}"
        groups.setdefault((claim.kind, claim.subject, claim.digest, verdict.answer, shown), []).append(verdict)
    return map(_failure, sorted(groups.values(), key=lambda group: group[0].answer != "refuted"))


def _failure(verdicts: Sequence[Verdict]) -> str:
    """Refuted or unknown claims: the statement, the place in the text, and the counterexample or the reason."""
    verdict, claim = verdicts[0], verdicts[0].claim
    codes = ", ".join(dict.fromkeys(v.claim.code for v in verdicts))
    lines = [f"{verdict.answer}: {codes} of {claim.kind} {claim.subject}"]
    if len({v.claim.code for v in verdicts}) == 1:
        lines.append(f"  {claim.text}")
    if claim.span is not None and claim.span.source.text:
        lines.extend([f"  at {claim.span}", _indent(claim.span.excerpt(), 2)])
    if verdict.counterexample is not None:
        lines.extend(_counterexample(verdict.counterexample))
    elif verdict.reason:
        lines.append(f"  reason: {verdict.reason}")
    lines.extend(f"  {'instead' if k == 0 else '       '}: {text}" for k, text in enumerate(verdict.advice))
    return "\n".join(lines)


def show_value(value: Any) -> str:
    """A nested list of rationals, integers or booleans as text; what comes often in a row of a long one is counted."""
    if isinstance(value, list | tuple):
        runs = [(one, len(list(same))) for one, same in groupby(map(show_value, value))]
        if len(value) > LONG:
            return f"[{', '.join(f'{one} ({count} times)' if count > 1 else one for one, count in runs)}]"
        return f"[{', '.join(map(show_value, value))}]"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _subject(subject: Subject) -> Iterator[str]:
    groups: dict[str, list[Verdict]] = {}
    for verdict in subject.verdicts:
        groups.setdefault(verdict.claim.code, []).append(verdict)
    counted = {code: code if len(group) == 1 else f"{code}({len(group)})" for code, group in groups.items()}
    if not subject.own and all(v.answer == "proved" for v in subject.verdicts):
        head = f"{subject.kind} {subject.name}"
        yield f"  {head:20} {_row(subject.verdicts, ' '.join(counted.values()), 34)}  {_all('scope', subject.verdicts)}"
        yield from _trusts(subject)
        return
    yield f"  {subject.kind} {subject.name}"
    for code, group in groups.items():
        how = "; ".join(filter(None, (_all("scope", group), _all("by", group))))
        yield f"    {_row(group, counted[code], 10)}  {how}"
    yield from _trusts(subject)


def _trusts(subject: Subject) -> Iterator[str]:
    """What the proofs lean on that is not proved: externs and their laws."""
    for text in dict.fromkeys(text for verdict in subject.verdicts for text in verdict.trusts):
        yield f"    leans on {text}"


def _row(verdicts: Sequence[Verdict], label: str, width: int) -> str:
    answers = [answer for answer in ("refuted", "unknown", "proved") if any(v.answer == answer for v in verdicts)]
    return f"{'/'.join(answers):8} {label:{width}} {1000 * sum(v.seconds for v in verdicts):7.1f} ms"


def _all(field: str, verdicts: Sequence[Verdict]) -> str:
    """The distinct values of a field, in order."""
    return " | ".join(dict.fromkeys(value for v in verdicts if (value := getattr(v, field))))


def _counterexample(point: Counterexample) -> Iterator[str]:
    sizes = [f"{name} = {value}" for name, value in point.dims.items()]
    yield f"  counterexample{': ' + ', '.join(sizes) if sizes else ''}"
    for name, value in point.values.items():
        yield f"    {name} = {show_value(value)}"
    yield f"    expected {point.expected}"
    yield f"    got      {point.got}"
    replayed = "replayed through the runtime" if point.replayed else "not replayed"
    yield f"  {replayed}{': ' + point.note if point.note else ''}"


def _indent(text: str, width: int) -> str:
    return "\n".join(" " * width + line if line else line for line in text.splitlines())
