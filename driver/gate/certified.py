"""Certificates that lie beside their sources: is `model.gpc` the certificate of `model.gproof` as it is now?

It is where it holds the source's canonical text and those of the files that it uses, was made by this gradproof, holds
exactly the operators, graphs and plans that the source means, and the checker accepts it.
"""

from __future__ import annotations

import shlex
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradproof
from gradproof.certificates import beside
from gradproof.gate.wire import Data, diagnostic_data
from gradproof.grammar.source import Diagnostic

if TYPE_CHECKING:
    from gradproof.compiler.elaborate import Module

STALE, MISSING, REFUSED = "G-STALE", "G-MISSING", "G-REFUSED"


def digest_beside(path: str) -> str:
    """The SHA-256 of the certificate beside a source; empty where there is none that can be read."""
    try:
        return sha256(Path(beside(path)).read_bytes()).hexdigest()
    except OSError:
        return ""


def missing(path: str) -> Diagnostic:
    """What is said where a certificate is wanted and there is none."""
    return Diagnostic(MISSING, f"{path} has no certificate beside it", None, _renewal(path))


def judged(path: str, module: Module, allow_trusted: bool) -> Data:
    """What is wrong with the certificate beside a source, if anything, and the digest of what was read."""
    try:
        content = Path(beside(path)).read_bytes()
    except OSError as error:
        problem = f"{beside(path)} can't be read: {error.strerror or error}"
        return {"problem": diagnostic_data(Diagnostic(MISSING, problem, None, _renewal(path))), "certificate": ""}
    found = problem_of(path, content, module, allow_trusted)
    problem_data = None if found is None else diagnostic_data(found)
    return {"problem": problem_data, "certificate": sha256(content).hexdigest()}


def problem_of(path: str, content: bytes, module: Module, allow_trusted: bool) -> Diagnostic | None:
    """What is wrong with a certificate as that of a source: the checker refuses it, or it is of something else."""
    from gradproof.verifier.checker.main import check
    from gradproof.verifier.checker.terms import Refused

    name = beside(path)
    try:
        data = check(content, allow_trusted).data
    except Refused as problem:
        advice = _renewal(path)
        if "--allow-trusted" in str(problem):
            advice = "allow-trusted = true in [tool.gradproof] accepts what rests on a word"
        return Diagnostic(REFUSED, f"the checker refuses {name}: {problem}", None, advice)
    changed = _difference(data, module)
    if changed:
        return Diagnostic(
            STALE, f"{name} is not the certificate of {path} as it is now: {changed}", None, _renewal(path)
        )
    return None


def _difference(data: dict[str, Any], module: Module) -> str:
    """What of a certificate is not what the source says now; empty where it is the same."""
    from gradproof.certificates import canonical
    from gradproof.gate.evidence import same_program

    texts, again = canonical(module)
    if data["gradproof"] != gradproof.__version__:
        return f"it was made by gradproof {data['gradproof']}, and this is {gradproof.__version__}"
    if data["source"] != texts.text:
        return "the source is another"
    if data["uses"] != [list(use) for use in texts.uses]:
        return "a file that it uses is another"
    if not same_program(data, again.ops.values(), tuple(again.graphs.values())):
        return "what the source means is another"
    return ""


def _renewal(path: str) -> str:
    return f"gradproof build {shlex.quote(path)} -o {shlex.quote(beside(path))}"
