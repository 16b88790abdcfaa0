"""What a verification found: the data that every report format prints, one module a format."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from gradproof.compiler.claims import Answer, Verdict
from gradproof.grammar.source import Diagnostic


@dataclass(frozen=True, slots=True)
class Subject:
    """An operator or a graph, with the verdicts on everything that is claimed about it."""

    kind: str  # "op" or "graph"
    name: str
    own: bool  # defined in the file itself, not in the prelude or in a used file
    verdicts: tuple[Verdict, ...]


@dataclass(frozen=True, slots=True)
class FileReport:
    """One text: the error that stopped it, or its subjects in order, graphs last."""

    path: str
    subjects: tuple[Subject, ...] = ()
    error: Diagnostic | None = None
    warnings: tuple[Diagnostic, ...] = ()
    seconds: float = 0.0
    ignored: Mapping[str, str] = field(default_factory=dict)  # keys of claims that may fail, and the reason for that
    problems: tuple[Diagnostic, ...] = ()  # what is wrong beside the text: its certificate

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """All verdicts, in order."""
        return tuple(v for subject in self.subjects for v in subject.verdicts)

    @property
    def ok(self) -> bool:
        """Whether the text is well-formed and every claim is proved, or ignored for a reason that was given."""
        return self.error is None and not self.problems and next(self.failures(), None) is None

    def failures(self) -> Iterator[Verdict]:
        """The verdicts that are not proofs and that nobody asked to ignore."""
        return (v for v in self.verdicts if v.answer != "proved" and v.claim.key not in self.ignored)


@dataclass(frozen=True, slots=True)
class Report:
    """The reports of all texts."""

    files: tuple[FileReport, ...]

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """All verdicts, in order."""
        return tuple(v for file in self.files for v in file.verdicts)

    @property
    def ok(self) -> bool:
        """Whether every text is well-formed and every claim is proved."""
        return all(file.ok for file in self.files)

    @property
    def errors(self) -> tuple[Diagnostic, ...]:
        """What made texts ill-formed."""
        return tuple(file.error for file in self.files if file.error is not None)

    def count(self, answer: Answer) -> int:
        """How many claims got this answer."""
        return sum(v.answer == answer for v in self.verdicts)

    def failures(self) -> Iterator[Verdict]:
        """The verdicts that are not proofs and that nobody asked to ignore."""
        return (v for file in self.files for v in file.failures())

    def __str__(self) -> str:
        from gradproof.report.text import render

        return render(self)
