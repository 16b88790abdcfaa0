"""What a report has to say beside its proofs, one finding a place: the common ground of the formats for machines."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePath

from gradproof.compiler.claims import Verdict
from gradproof.grammar.source import Diagnostic, Span
from gradproof.report import FileReport, Report
from gradproof.report.text import explained

LEVELS = {"refuted": "error", "ill-formed": "error", "unknown": "error", "warning": "warning"}


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not proved, with the place where it is shown: the file itself where there is no better one."""

    path: str
    line: int
    column: int
    end_line: int
    end_column: int
    code: str
    answer: str  # refuted, unknown, ill-formed or warning
    about: str  # "op softmax"; empty for the text itself
    message: str  # one line
    text: str  # all that there is to say
    ignored: str = ""  # why it is accepted

    @property
    def level(self) -> str:
        """error or warning."""
        return LEVELS[self.answer]


def findings(report: Report) -> Iterator[Finding]:
    """Everything that is not proved, file by file, in the order of the claims."""
    for file in report.files:
        yield from findings_of(file)


def findings_of(file: FileReport) -> Iterator[Finding]:
    """What is not proved in one file: its text, its claims, its warnings."""
    for error in (*([] if file.error is None else [file.error]), *file.problems):
        yield _diagnostic(file, error, "ill-formed")
    for verdict in file.verdicts:
        if verdict.answer != "proved":
            yield _failure(file, verdict)
    for warning in file.warnings:
        yield _diagnostic(file, warning, "warning")


def shown(path: str) -> str:
    """A path as reports name it: relative to the working folder where it lies in it, with `/`."""
    here = os.path.relpath(path) if os.path.isabs(path) else path
    return valid(PurePath(path if here.startswith("..") else here).as_posix())


def valid(text: str) -> str:
    """The text without the halves of characters that a file's name may hold: what can be written as UTF-8."""
    return text.encode("utf-8", "replace").decode()


def _failure(file: FileReport, verdict: Verdict) -> Finding:
    claim = verdict.claim
    why = f": {verdict.reason}" if verdict.answer == "unknown" else ""
    message = f"{verdict.answer}: {claim.code} of {claim.kind} {claim.subject}: {claim.text}{why}"
    about, text = f"{claim.kind} {claim.subject}", next(explained([verdict]))
    reason = file.ignored.get(claim.key, "")
    return Finding(*_place(file, claim.span), claim.code, verdict.answer, about, _line(message), valid(text), reason)


def _diagnostic(file: FileReport, error: Diagnostic, answer: str) -> Finding:
    return Finding(*_place(file, error.span), error.code, answer, "", _line(error.message), valid(str(error)))


def _place(file: FileReport, span: Span | None) -> tuple[str, int, int, int, int]:
    """A place in the file; what is said about another text (the prelude) is shown at the file's start."""
    if span is None or not os.path.exists(span.source.path) or _foreign(span.source.path):
        return shown(file.path), 1, 1, 1, 1
    return shown(span.source.path), span.line, span.column, span.end_line, span.end_column


def _foreign(path: str) -> bool:
    """Whether this is gradproof's own text."""
    from gradproof.grammar import source

    return os.path.realpath(path).startswith(os.path.dirname(os.path.realpath(source.__file__)) + os.sep)


def _line(text: str) -> str:
    return valid(" ".join(text.split()))
