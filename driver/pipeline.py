"""The pipeline, top to bottom: text -> module -> verdicts -> certificate -> programs that run."""

from __future__ import annotations

import os
from collections.abc import Container, Iterator, Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

from gradproof.compiler.claims import Certificate, Verdict
from gradproof.compiler.graph import Graph
from gradproof.grammar.source import Diagnostic
from gradproof.paths import SUFFIX, Text
from gradproof.report import FileReport, Report, Subject

if TYPE_CHECKING:
    from gradproof.compiler.elaborate import Module
    from gradproof.runtime.program import Program

TIMEOUT = 10.0  # seconds for one obligation
SOLVERS = ("z3",)
REPAIR = 3.0  # seconds for a proved repair of an operator that is refuted


class ProofError(Exception):
    """Something claimed by a program is not proved, so nothing of it runs; `report` and `verdicts` say what."""

    def __init__(self, report: Report) -> None:
        super().__init__(report)
        self.report = report

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """All verdicts; those whose answer is not "proved" are the cause."""
        return self.report.verdicts

    def __str__(self) -> str:
        from gradproof.report.text import explained, totals

        return "\n\n".join([*explained(list(self.report.failures())), totals(self.report)])


class Compiled(Mapping[str, "Program"]):
    """The proved graphs of a text, by name: `compiled["loss"]` is a Program, made when it is first asked for."""

    def __init__(self, graphs: Mapping[str, Graph], certificate: Certificate, report: Report) -> None:
        self.graphs, self.report = dict(graphs), report
        self._certificate = certificate
        self._programs: dict[str, Program] = {}

    def __getitem__(self, name: str) -> Program:
        if name not in self.graphs:
            raise KeyError(f"no graph {name!r}; there are: {', '.join(self.graphs) or 'none'}")
        if name not in self._programs:
            self._programs[name] = seal(self.graphs[name], self._certificate)
        return self._programs[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.graphs)

    def __len__(self) -> int:
        return len(self.graphs)

    def __repr__(self) -> str:
        return f"<gradproof.Compiled: {', '.join(self.graphs)}>"


def compile(program: str | os.PathLike[str] | Graph, *, timeout: float = TIMEOUT, order: int = 1) -> Compiled:
    """Prove everything that a program claims and return its graphs, ready to run.

    A path-like object, or a string that ends in `.gproof`, is a file; any other string is the text itself; a graph
    comes from GraphBuilder. `timeout` is seconds for each obligation. `order=2` proves second derivatives too, which
    Program.hvp and Program.gradient need.
    Raises Diagnostic where the text is ill-formed, and ProofError where a claim is refuted or unknown.
    """
    started = perf_counter()
    return seal_all(load(program), timeout, started, order)


def verify(
    program: str | os.PathLike[str] | Graph,
    *,
    timeout: float = TIMEOUT,
    order: int = 1,
    solvers: Sequence[str] = SOLVERS,
    suggest: bool = True,
) -> Report:
    """Prove or refute everything that a program claims; an ill-formed text becomes the report's error.

    A path-like object, or a string that ends in `.gproof`, is a file; any other string is the text itself; a graph
    comes from GraphBuilder. `timeout` is seconds for each obligation; `order=2` asks for second derivatives too.
    `solvers=("z3", "cvc5")` puts every question to both; where they disagree the claim is unknown. Raises ValueError
    for other solvers, and ImportError where one is not installed. With `suggest`, a rule that is refuted comes with a
    repair where one is found that is proved.
    """
    return Report((check(program, timeout, order, solvers, suggest),))


def check(
    program: str | os.PathLike[str] | Graph | Text,
    timeout: float = TIMEOUT,
    order: int = 1,
    solvers: Sequence[str] = SOLVERS,
    suggest: bool = False,
) -> FileReport:
    """The report on one program."""
    started = perf_counter()
    try:
        module = load(program)
        verdicts = prove(module, timeout, order, solvers, suggest)
    except Diagnostic as error:
        path = program.name if isinstance(program, Graph) else as_text(program).path
        return FileReport(path, error=error, seconds=perf_counter() - started)
    return describe(module, verdicts, started)


def seal_all(module: Module, timeout: float, started: float, order: int = 1) -> Compiled:
    """Prove, demand, certify."""
    verdicts = prove(module, timeout, order, suggest=True)
    report = Report((describe(module, verdicts, started),))
    demand_proofs(report)
    return Compiled(module.graphs, certify(verdicts), report)


def as_text(program: str | os.PathLike[str] | Text) -> Text:
    """A path-like object, or a string that ends in `.gproof`, is a file; any other string is the text itself."""
    if isinstance(program, Text):
        return program
    if isinstance(program, str) and ("\n" in program or not program.endswith(SUFFIX)):
        return Text("<text>", program)
    return Text(os.fspath(program))


def load(program: str | os.PathLike[str] | Graph | Text) -> Module:
    """Parse and elaborate; a built graph is a module of its own."""
    from gradproof.compiler.elaborate import Module, load_path, load_text

    if isinstance(program, Graph):
        return Module(f"<{program.name}>", {}, {program.name: program}, (), ())
    text = as_text(program)
    module = load_path(Path(text.path)) if text.content is None else load_text(text.content, text.path)
    if not module.ops and not module.graphs:
        advice = "write a fn, an op or a graph; a gate that finds nothing must not say that all is proved"
        raise Diagnostic("E-EMPTY", f"{text.path}: there is nothing to prove here", None, advice)
    return module


def prove(
    module: Module, timeout: float, order: int = 1, solvers: Sequence[str] = SOLVERS, suggest: bool = False
) -> tuple[Verdict, ...]:
    """A verdict on every claim about the module's operators and graphs, and about the operators that they use.

    With `suggest`, proved repairs of what is refuted are among the advice.

    ValueError for an order below 1; Diagnostic where there is nothing of that order.
    """
    if order < 1:
        raise ValueError(f"order={order}: derivatives are of order 1 at least")
    from gradproof.verifier.discharge import verify as discharge
    from gradproof.verifier.options import Options

    ops, graphs = tuple(module.ops.values()), tuple(module.graphs.values())
    options = Options(timeout=timeout, solvers=tuple(solvers), repair=REPAIR if suggest else 0.0)
    return tuple(discharge(ops, graphs, options, order))


def demand_proofs(report: Report) -> None:
    """Raise ProofError unless everything is proved."""
    if not report.ok:
        raise ProofError(report)


def certify(verdicts: tuple[Verdict, ...]) -> Certificate:
    """The certificate of proved claims."""
    from gradproof.verifier import discharge

    return discharge.certify(verdicts)


def seal(graph: Graph, certificate: Certificate) -> Program:
    """The runnable program of a graph; the runtime refuses it unless the certificate covers all of its claims."""
    from gradproof.runtime.program import Program

    return Program(graph, certificate)


def describe(module: Module, verdicts: tuple[Verdict, ...], started: float) -> FileReport:
    """The report on a module."""
    subjects = subjects_of(verdicts, module.ops)
    return FileReport(module.path, subjects, warnings=module.warnings, seconds=perf_counter() - started)


def subjects_of(verdicts: Sequence[Verdict], own: Container[str]) -> tuple[Subject, ...]:
    """Verdicts by what they are about: a file's own operators, then those that it uses, then the graphs."""
    grouped: dict[tuple[str, str], list[Verdict]] = {}
    for verdict in verdicts:
        grouped.setdefault((verdict.claim.kind, verdict.claim.subject), []).append(verdict)
    subjects = [
        Subject(kind, name, kind == "graph" or name in own, tuple(found)) for (kind, name), found in grouped.items()
    ]
    return tuple(sorted(subjects, key=lambda subject: (subject.kind == "graph", not subject.own)))
