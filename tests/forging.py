"""Certificates to forge: made, changed with all hashes made again, and put to the checker within limits."""

from __future__ import annotations

import copy
import hashlib
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from gradproof.certificates import build
from gradproof.compiler.claims import Verdict
from gradproof.compiler.graph import Graph
from gradproof.compiler.ops import OpDef
from gradproof.compiler.portable import Table
from gradproof.paths import Text
from gradproof.verifier import checker
from gradproof.verifier.checker.evidence import Checked
from gradproof.verifier.checker.main import WORDS, Accepted, check
from gradproof.verifier.checker.reading import canonical, digest_of
from gradproof.verifier.checker.terms import Refused
from gradproof.verifier.evidence.certificate import Texts, body, claims_of
from gradproof.verifier.evidence.certificate import certificate as honest

Data = dict[str, Any]
FOLDER = Path(checker.__file__ or "").parent
MEMORY = 1 << 30  # bytes for a check in a process of its own

MODEL = """
op twice(x: [n]) -> [n] { y[i] = 2 * x[i] }
op spare(x: [n]) -> [n] { y[i] = x[i] * x[i] }
fn leaky(x) { y = select(x > 0, x, x / 10) }
dim B, D
graph loss(x: f32[B, D], w: f32[D]) -> f32[] {
  assume 0 <= x
  z = twice(x @ w)
  return sum(leaky(z) + exp(z))
}
"""
GATHER = """
dim n >= 1, k
graph f(x: f32[n], v: f32[k], d: i32[k], e: i32[k]) -> f32[] {
  assume 0 <= d < n
  c = added(d, e)
  return sum(take(x, d) * kept(c, v)) + sum(sum(outer(x, v), axis=1))
}
op added(a: int [k], b: int [k]) -> int [k] { y[i] = a[i] + b[i] }
op kept(c: int [k], v: [k]) -> [k] { y[i] = select(c[i] >= 0, v[i], 0) }
op outer(a: [n], b: [k]) -> [n, k] { y[i, j] = a[i] * b[j] }
"""


@cache
def certificate(text: str = MODEL) -> bytes:
    """The bytes of an honest certificate."""
    return build(Text("forged.gproof", text)).content


def opened(content: bytes) -> Data:
    """What a certificate holds, free to be changed."""
    import json

    found: Data = json.loads(content)
    return found


def sealed(data: Data) -> bytes:
    """The bytes of changed data, canonical and with all hashes made again: all that a forger can do."""
    data = {**data, "sha256": hashlib.sha256(data["source"].encode()).hexdigest(), "digest": ""}
    return canonical({**data, "digest": digest_of(canonical(data), "")})


def forged(content: bytes, change: Callable[[Data], object]) -> bytes:
    """An honest certificate after a change, sealed again."""
    data = copy.deepcopy(opened(content))
    change(data)
    return sealed(data)


def node(data: Data, *entry: Any) -> int:
    """The number of a node that is put at the end of the table of terms."""
    data["terms"].append(list(entry))
    return len(data["terms"]) - 1


@contextmanager
def within(seconds: int) -> Iterator[None]:
    """A limit on time that interrupts what hangs."""

    def stop(*_: object) -> None:
        raise TimeoutError(f"more than {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def reason(content: bytes, allow_trusted: bool = True) -> str:
    """Why the checker refuses these bytes; empty where it accepts them. Any other error comes through."""
    with within(60):
        try:
            check(content, allow_trusted)
        except Refused as problem:
            text = str(problem)
            assert text and len(text) < 1000
            return text
    return ""


def replayed(content: bytes) -> list[tuple[str, str, str]]:
    """The claims that the checker says that it has replayed; none where it refuses the bytes."""
    try:
        accepted: Accepted = check(content, True)
    except Refused:
        return []
    return [(c["code"], c["subject"], c["text"]) for c, how in accepted.claims if how not in WORDS]


def alone(
    path: Path, *words: str, seconds: int = 20, memory: int = MEMORY, python: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[str]:
    """The checker as a script in a process that sees nothing else, held to a time and to an amount of memory."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))

    return subprocess.run(
        [sys.executable, "-I", *python, str(FOLDER), *words, str(path)],
        capture_output=True,
        env={"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0"},
        encoding="utf-8",
        timeout=seconds,
        preexec_fn=limit,
        check=False,
    )


def with_tables(data: Data) -> Data:
    """The data with every table of evidence filled in as the checker itself would: a forger can run it, too."""
    try:
        checked = Checked(data)
        for claim in data["claims"]:
            if claim["evidence"]["by"] == "table":
                rows = checked.graph(data["graphs"][claim["subject"]]).tables[claim["code"]]
                claim["evidence"]["rows"] = rows[0] if "semiring" in claim["text"] else rows
    except (Refused, LookupError, TypeError, ValueError):
        pass  # the checker will say so
    return data


def claimed(ops: Iterable[OpDef], graphs: Iterable[Graph] = ()) -> bytes:
    """A certificate of whatever these say, proved or not: each claim with the evidence that is found for it."""
    ops, graphs = tuple(ops), tuple(graphs)
    _, subjects = body(Table(), ops, graphs)
    verdicts = [Verdict(c, "proved", "z3", "all sizes", 0.0) for s in subjects for c in claims_of(s.what)]
    return honest(Texts(""), ops, graphs, verdicts, "forged")
