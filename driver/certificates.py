"""Certificates: programs with their proofs in a file. Build one, check one in another process, load one and run it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

import gradproof
from gradproof.paths import SUFFIX, Text

if TYPE_CHECKING:
    from gradproof.compiler.elaborate import Module
    from gradproof.compiler.graph import Graph
    from gradproof.runtime.program import Program
    from gradproof.verifier.evidence.certificate import Texts

CERTIFICATE = ".gpc"
TIMEOUT = 10.0


class Refused(Exception):
    """A certificate is not accepted; the text says why, in one line."""


@dataclass(frozen=True, slots=True)
class Built:
    """A certificate's bytes, and how many of its claims are replayed, rest on Z3's word, and on the verifier's."""

    content: bytes
    replayed: int
    z3: int
    verifier: int

    def __str__(self) -> str:
        total = self.replayed + self.z3 + self.verifier
        return f"{total} claims: {self.replayed} replayed, {self.z3} z3, {self.verifier} verifier's word"


def build(
    program: str | os.PathLike[str] | Graph | Text,
    output: str | os.PathLike[str] | None = None,
    *,
    timeout: float = TIMEOUT,
) -> Built:
    """Prove everything that a program claims, and make its certificate; with `output`, write it there.

    Raises what `compile` raises, and Refused where there can be no certificate. The same program gives the same bytes.
    """
    from gradproof.pipeline import demand_proofs, describe, load, prove
    from gradproof.report import Report
    from gradproof.verifier.checker import terms
    from gradproof.verifier.checker.main import check
    from gradproof.verifier.evidence.certificate import NoCertificate, certificate

    started = perf_counter()
    module = load(program)
    verdicts = prove(module, timeout)
    demand_proofs(Report((describe(module, verdicts, started),)))
    text, again = canonical(module)
    try:
        content = certificate(text, again.ops.values(), tuple(again.graphs.values()), verdicts, gradproof.__version__)
        counts = check(content, allow_trusted=True).counts()
    except NoCertificate as problem:
        raise Refused(str(problem)) from None
    except terms.Refused as problem:
        raise RuntimeError(f"the checker refuses a certificate of ours: {problem}") from None
    if output is not None:
        write(Path(output), content)
    return Built(content, *counts)


def load(path: str | os.PathLike[str], name: str | None = None, *, allow_trusted: bool = False) -> Program:
    """A program from a certificate: the checker replays every claim first. No compiler, lark or Z3 is needed.

    `name` says which graph, where there are several. `allow_trusted` accepts claims that rest on a solver's or the
    verifier's word. Refused where the certificate is not accepted, KeyError where it has no such graph.
    """
    from gradproof.pipeline import seal
    from gradproof.verifier import discharge
    from gradproof.verifier.checker import reading, terms

    try:
        graphs, sealed = discharge.replay(reading.load(os.fspath(path)), allow_trusted)
    except terms.Refused as problem:
        raise Refused(f"{os.fspath(path)}: refused: {problem}") from None
    if name is None and len(graphs) == 1:
        (name,) = graphs
    if name is None or name not in graphs:
        what = "say which graph with name=" if name is None else f"no graph {name!r}"
        raise KeyError(f"{os.fspath(path)}: {what}; there are: {', '.join(graphs) or 'none'}")
    return seal(graphs[name], sealed)


def check_files(paths: Sequence[str], allow_trusted: bool = False, style: str = "text") -> int:
    """Run the checker on files in a process of its own, which sees nothing of gradproof but the checker's folder."""
    from gradproof.verifier import checker

    folder = str(Path(checker.__file__ or "").parent)
    words = [*(["--allow-trusted"] if allow_trusted else []), "--format", style, *paths]
    return subprocess.run([sys.executable, "-IS", folder, *words], check=False).returncode


def beside(path: str) -> str:
    """Where the certificate of a source lies unless it is said: beside it."""
    return (path.removesuffix(SUFFIX) if path.endswith(SUFFIX) else path) + CERTIFICATE


def canonical(module: Module) -> tuple[Texts, Module]:
    """A module's canonical text with those it uses, and the module of that text: so layout makes no difference."""
    from gradproof.compiler.elaborate import load_text
    from gradproof.grammar.parse import parse
    from gradproof.grammar.printer import print_file
    from gradproof.report.ssa import render
    from gradproof.verifier.evidence.certificate import Texts

    if not module.sources:  # built by calls
        return Texts(render(module)), module
    first, *others = module.sources
    printed = print_file(parse(first))
    uses = sorted((_inside(first.path, other.path), print_file(parse(other))) for other in others)
    return Texts(printed, tuple(uses)), load_text(printed, first.path)


def _inside(first: str, path: str) -> str:
    """A used file's path from the folder of the first file; it can't be outside of it, or comes with gradproof."""
    from gradproof.compiler.elaborate import is_standard

    if is_standard(path):
        return path
    return Path(os.path.relpath(os.path.realpath(path), Path(os.path.realpath(first)).parent)).as_posix()


def write(path: Path, content: bytes) -> None:
    """Write at once or not at all: a reader never sees half of a certificate."""
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        part.write_bytes(content)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
