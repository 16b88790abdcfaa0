"""A second opinion: every question that the first solver answers also goes to cvc5, as SMT-LIB 2 text.

The only module that imports cvc5 (the extra `cvc5`). It sees the exported text, which cvc5 parses for itself, so the
two solvers share the translation of conditions (questions.py) and nothing behind it. Where one says "sat" and the other
"unsat" nothing is proved: the claim is unknown, with both answers and the file that the question was written to. Where
cvc5 gives no answer the verdict stands, and says so.
"""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from gradproof.compiler.claims import Hypothesis, Verdict
from gradproof.verifier.asked import Asked, Status, watching
from gradproof.verifier.questions import Untranslatable
from gradproof.verifier.smtlib import Script, script

FIRST, SECOND = "z3", "cvc5"
FOLDER = Path("gradproof-disagreements")  # in the working directory, made where there is something to write


class MissingSolver(ImportError):
    """A solver was asked for that is not installed."""


@dataclass(frozen=True, slots=True)
class Opinion:
    """What the second solver says; `reason` where it has no answer."""

    status: Status
    reason: str = ""


Ask = Callable[[str, float], Opinion]


def check_solvers(names: Sequence[str]) -> None:
    """ValueError where these can't be the solvers of a run, MissingSolver where one is not installed."""
    wrong = [name for name in names if name not in (FIRST, SECOND)]
    if wrong or list(names) not in ([FIRST], [FIRST, SECOND]):
        asked_for = ",".join(names)
        raise ValueError(f"solvers {asked_for!r}: it is `{FIRST}`, or `{FIRST},{SECOND}` for a second opinion")
    if SECOND in names:
        _module()


def version() -> str:
    """The second solver's name and version. Raises MissingSolver."""
    return f"{SECOND} {_module().__version__}"


def ask(text: str, timeout: float) -> Opinion:
    """cvc5's answer to a script with one `check-sat`, within `timeout` seconds."""
    cvc5 = _module()
    solver = cvc5.Solver(cvc5.TermManager())
    solver.setOption("tlimit-per", str(max(1, int(timeout * 1000))))
    parser = cvc5.InputParser(solver)
    said: list[str] = []
    try:
        parser.setStringInput(cvc5.InputLanguage.SMT_LIB_2_6, text, "question")
        symbols = parser.getSymbolManager()
        while not (command := parser.nextCommand()).isNull():
            said.append(str(command.invoke(solver, symbols)).strip())
    except RuntimeError as error:  # what cvc5 raises: a part of the language that it does not have
        return Opinion("unknown", f"{SECOND}: {str(error).strip().splitlines()[0]}")
    said = [line for line in said if line]
    if said in (["sat"], ["unsat"]):
        return Opinion("sat" if said == ["sat"] else "unsat")
    return Opinion("unknown", _why(said))


def _why(said: list[str]) -> str:
    text = " ".join(said)
    return "time limit" if "TIMEOUT" in text else f"{SECOND}: {text[:120] or 'no answer'}"


def _module() -> Any:
    try:
        import cvc5
    except ImportError as error:
        raise MissingSolver(f"{SECOND} is not installed: pip install 'gradproof[{SECOND}]'") from error
    return cvc5


@dataclass(slots=True)
class Tally:
    """What the second solver said of the questions of one claim, or of all."""

    agreed: int = 0
    silent: Counter[str] = field(default_factory=Counter)  # reason -> how often it gave no answer
    different: list[str] = field(default_factory=list)

    @property
    def asked(self) -> int:
        """How many questions there were."""
        return self.agreed + self.silent.total() + len(self.different)


class Opinions:
    """The watcher: asks, compares, writes down what the solvers disagree on."""

    def __init__(self, timeout: float, folder: Path = FOLDER, answer: Ask = ask) -> None:
        self.timeout, self.folder, self._ask = timeout, folder, answer
        self.all = Tally()
        self.by_claim: dict[str | None, Tally] = {}
        self._known: dict[str, Opinion] = {}

    def __call__(self, asked: Asked) -> str:
        """The objection to an answer; "" where there is none."""
        tallies = [self.all, self.by_claim.setdefault(asked.claim.key if asked.claim else None, Tally())]
        problem = ""
        try:
            written = script(asked)
        except Untranslatable as error:
            opinion = Opinion("unknown", f"not translatable: {error}")
        else:
            opinion = self._opinion(written)
            if {opinion.status, asked.status} == {"sat", "unsat"}:
                place = self._keep(written)
                problem = f"{FIRST} says {asked.status} and {SECOND} says {opinion.status}: the question is in {place}"
        for tally in tallies:
            if problem:
                tally.different.append(problem)
            elif opinion.status == asked.status != "unknown":
                tally.agreed += 1
            else:
                tally.silent[opinion.reason or f"{FIRST} has no answer"] += 1
        return problem

    def _opinion(self, written: Script) -> Opinion:
        question = written.question
        if question not in self._known:
            self._known[question] = self._ask(written.text, self.timeout)
        return self._known[question]

    def _keep(self, written: Script) -> str:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            path = self.folder / written.name
            path.write_text(written.text, encoding="utf-8")
        except OSError:  # nothing may be lost because the working directory is read-only
            handle, name = tempfile.mkstemp(suffix=f"-{written.name}")
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(written.text)
            path = Path(name)
        return str(path)

    def judged(self, verdicts: Iterable[Verdict]) -> list[Verdict]:
        """The verdicts, each with what the second solver said of its questions."""
        nobody = self.by_claim.get(None, Tally())
        return [_judged(v, self.by_claim.get(v.claim.key, Tally()), nobody.different) for v in verdicts]


def _judged(verdict: Verdict, tally: Tally, different: list[str]) -> Verdict:
    problems = [*tally.different, *different]
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        reason = f"the solvers disagree: {problems[0]}{more}; please report this"
        return replace(verdict, answer="unknown", by="", hypotheses=(), counterexample=None, reason=reason, advice=())
    if verdict.answer != "proved":
        return verdict
    if tally.agreed and FIRST in verdict.by:
        verdict = replace(verdict, by=verdict.by.replace(FIRST, f"{FIRST} + {SECOND}"))
    if tally.silent:
        why = ", ".join(tally.silent)
        text = f"{SECOND} has no answer to {tally.silent.total()} of {tally.asked} questions"
        verdict = replace(verdict, hypotheses=(*verdict.hypotheses, Hypothesis(text, f"trusted: {FIRST} alone; {why}")))
    return verdict


@contextmanager
def opinions(timeout: float, folder: Path = FOLDER, answer: Ask = ask) -> Iterator[Opinions]:
    """Every question asked inside also goes to the second solver."""
    found = Opinions(timeout, folder, answer)
    with watching(found):
        yield found


def asked_twice(settle: Callable[[], Sequence[Verdict]], timeout: float) -> list[Verdict]:
    """The verdicts of `settle`, whose questions go to the second solver, too."""
    with opinions(timeout, FOLDER, ask) as found:
        return found.judged(settle())
