"""A worker of the gate: a process that stays alive, reads jobs as lines of JSON and answers in lines of JSON.

It says which claim it is at before it tries it, so that whoever waits knows what a crash, a hang or want of memory
is to be put down to. Started as `python -P -m gradproof.gate.worker [MEBIBYTES]`; it ends when its input does.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO

from gradproof.compiler.claims import Claim
from gradproof.compiler.elaborate import Module, is_standard
from gradproof.gate import certified, evidence
from gradproof.gate.store import Store
from gradproof.gate.wire import KEPT, Data, claim_data, diagnostic_data, verdict_data
from gradproof.grammar.parse import read_source
from gradproof.grammar.source import Diagnostic
from gradproof.pipeline import load
from gradproof.verifier.discharge import Task, required, tasks
from gradproof.verifier.options import Options
from gradproof.verifier.progress import watched

Say = Callable[[Data], None]


@dataclass(frozen=True, slots=True)
class Opened:
    """A file as it was read, with all that is to be settled about it."""

    module: Module
    tasks: list[Task]
    sources: dict[str, str]  # path -> SHA-256 of the text


class Desk:
    """Where jobs are done: files are read once as long as they are worked on."""

    def __init__(self) -> None:
        self.open: OrderedDict[tuple[str, int, float], Opened] = OrderedDict()
        self.later: list[Callable[[], None]] = []  # what nobody waits for

    def do(self, job: Data, say: Say) -> Data:
        """The answer to a job; `say` hears of each claim before it is tried."""
        key = (job["path"], job["order"], job["timeout"])
        if job["do"] == "outline":
            self.open.pop(key, None)
            return self.outline(key)
        try:
            opened = self.get(key)
        except Diagnostic:
            return {"changed": True}
        if opened.sources != job["sources"]:
            return {"changed": True}
        if job["do"] == "certificate":
            return certified.judged(job["path"], opened.module, job["allow-trusted"])
        return {"verdicts": self.settle(opened.tasks[job["task"]], job, say)}

    def get(self, key: tuple[str, int, float]) -> Opened:
        """The file of this name, read now if it is not at hand."""
        if key not in self.open:
            path, order, timeout = key
            module = load(Path(path))
            # What comes with gradproof is part of its version.
            own = [s for k, s in enumerate(module.sources) if k == 0 or not is_standard(s.path)]
            sources = {source.path: digest_of(source.text) for source in own}
            ops, graphs = tuple(module.ops.values()), tuple(module.graphs.values())
            found = tasks(ops, graphs, Options(timeout=timeout), order)
            _all_there(found, required(ops, graphs, order))
            self.open[key] = Opened(module, found, sources)
            while len(self.open) > KEPT:
                self.open.popitem(last=False)
        self.open.move_to_end(key)
        return self.open[key]

    def outline(self, key: tuple[str, int, float]) -> Data:
        """What a file claims, or why it is ill-formed."""
        try:
            opened = self.get(key)
        except Diagnostic as error:
            return {"error": diagnostic_data(error), "sources": alone(key[0])}
        module = opened.module
        return {
            "error": None,
            "warnings": [diagnostic_data(warning) for warning in module.warnings],
            "own": list(module.ops),
            "sources": opened.sources,
            "used": [list(pair) for pair in module.used],
            "tasks": [{"general": t.general, "claims": [claim_data(c) for c in t.claims]} for t in opened.tasks],
        }

    def settle(self, task: Task, job: Data, say: Say) -> list[Data]:
        """The verdicts on a task's claims; those to skip are unknown for the reason given."""
        skip: dict[str, str] = job["skip"]
        store = store_at(job.get("store"))
        if task.op is not None and not skip and (known := evidence.replayed(store, task.op, task.claims)):
            return [verdict_data(verdict) for verdict in known]

        def watch(claim: Claim) -> str:
            if claim.key in skip:
                return skip[claim.key]
            say({"at": claim.key})
            return ""

        with watched(watch):
            found = task.settle()
        if task.op is not None:
            self.later.append(partial(evidence.keep, store, task.op, found))
        return [verdict_data(verdict) for verdict in found]


@cache
def store_at(folder: str | None) -> Store:
    """The cache in a folder; one that keeps nothing where there is none."""
    return Store(None if folder is None else Path(folder))


def digest_of(text: str) -> str:
    """The SHA-256 of a text."""
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def alone(path: str) -> dict[str, str] | None:
    """The digest of a text that uses no other; None where it may, or where it can't be read."""
    try:
        source = read_source(path)
    except Diagnostic:
        return None
    return None if "use" in source.text else {source.path: digest_of(source.text)}


def _all_there(found: list[Task], claims: list[Claim]) -> None:
    """What the runtime will demand is among the tasks; anything else is an error of ours."""
    listed = {claim.key for task in found for claim in task.claims}
    missing = [claim.key for claim in claims if claim.key not in listed]
    if missing:
        raise RuntimeError(f"no task for {missing[0]} (and {len(missing) - 1} more): please report this")


def main() -> int:
    """Do jobs until the input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the gate, which ends its workers itself
    output = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints must not be taken for an answer
    if len(sys.argv) > 1:
        _limit_memory(int(sys.argv[1]))
    _warm_up()
    _send(output, {"ready": os.getpid()})
    desk = Desk()
    for line in sys.stdin.buffer:
        job = json.loads(line)
        try:
            answer = desk.do(job, lambda event: _send(output, event))
        except MemoryError:
            _send(output, {"failed": "out of memory", "fatal": True})
            return 3
        except Exception as error:
            detail = (str(error).splitlines() or [""])[0][:300]
            answer = {"failed": f"internal error, please report it: {type(error).__name__}: {detail}"}
        _send(output, answer)
        while desk.later:
            desk.later.pop()()
    return 0


def _warm_up() -> None:
    """Load now what every job needs, so that no obligation is charged for it."""
    import numpy  # noqa: F401  # the search for counterexamples needs it
    from gradproof.compiler.library import prelude
    from gradproof.verifier import smt

    prelude()
    smt.version()
    gc.collect()
    gc.freeze()  # what stays for good need not be looked through again and again
    gc.set_threshold(20_000, 20, 50)


def _limit_memory(mebibytes: int) -> None:
    """Let an allocation beyond this fail, where the system knows such a limit."""
    try:
        import resource
    except ImportError:  # Windows
        return
    resource.setrlimit(resource.RLIMIT_AS, (mebibytes << 20, mebibytes << 20))


def _send(output: BinaryIO, data: Any) -> None:
    output.write(json.dumps(data, separators=(",", ":"), allow_nan=False).encode() + b"\n")
    output.flush()


if __name__ == "__main__":
    sys.exit(main())
