"""Worker processes that stay alive, and what is done when one of them does not.

A worker that crashes, is killed or hangs loses the one obligation that it was at; the plan hears which, and why, and
another process takes its place.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from time import monotonic
from typing import IO, Protocol

from gradproof.gate.wire import Data
from gradproof.usage import UsageError

LARGEST = 1 << 30  # bytes of resident memory after which a worker is replaced between two jobs
COMMAND = (sys.executable, "-P", "-m", "gradproof.gate.worker")
STARTS = 3  # workers in a row that can't start before that is an error
START = 300.0  # seconds until a worker must be ready
LEISURE = 5.0  # seconds for what workers do after the last answer
TAIL = 2000  # bytes of a dead worker's last words


class Plan(Protocol):
    """What there is to do, and who hears of what came of it."""

    @property
    def finished(self) -> bool:
        """Whether nothing is left."""

    def next(self, worker: str) -> Data | None:
        """A job for this worker; None where there is none at present."""

    def answered(self, job: Data, answer: Data) -> None:
        """The answer to a job."""

    def lost(self, job: Data, at: str | None, reason: str) -> None:
        """A job whose worker is gone, and the claim that it was at."""


class Pool:
    """At most `size` workers of at most `memory` MiB each (0: no limit); `limit` seconds for one obligation."""

    def __init__(self, size: int, limit: float, memory: int = 0, command: Sequence[str] = COMMAND) -> None:
        self.size, self.limit = size, limit
        self.command = [*command, *([str(memory)] if memory else [])]
        self.workers: list[_Worker] = []
        self.started = 0
        self.stillborn = 0  # workers that died before they were ready, since one was
        self.begun: list[Data] = []  # jobs that were given to those

    def run(self, plan: Plan) -> None:
        """Do everything that the plan asks for; the workers stay for the next run."""
        while not plan.finished:
            self._hand_out(plan)
            busy = [worker for worker in self.workers if worker.job is not None]
            if not busy:
                if plan.finished:
                    return
                raise RuntimeError("the gate has work left that nobody does: please report this")
            self._listen(plan, busy)

    def close(self) -> None:
        """End all workers, whatever they do."""
        for worker in self.workers:
            worker.end()
        self.workers.clear()

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self._let_go()
        self.close()

    def _let_go(self) -> None:
        """Let workers without a job end what nobody waits for, the proofs that they keep; not for long."""
        idle = [worker for worker in self.workers if worker.job is None]
        for worker in idle:
            worker.dismiss()
        deadline = monotonic() + LEISURE
        for worker in idle:
            with contextlib.suppress(subprocess.TimeoutExpired):
                worker.process.wait(max(0.0, deadline - monotonic()))

    def _hand_out(self, plan: Plan) -> None:
        for worker in self.workers:
            if worker.job is None and (job := self._next(plan, worker.name)) is not None:
                worker.take(job)
        while len(self.workers) < self.size:
            name = f"worker {self.started + 1}"
            job = self._next(plan, name)
            if job is None:
                return
            self.started += 1
            self.workers.append(_Worker(name, self.command))
            self.workers[-1].take(job)

    def _next(self, plan: Plan, name: str) -> Data | None:
        return self.begun.pop() if self.begun else plan.next(name)

    def _listen(self, plan: Plan, busy: list[_Worker]) -> None:
        now = monotonic()
        with selectors.DefaultSelector() as selector:
            for worker in busy:
                selector.register(worker.output, selectors.EVENT_READ, worker)
            wait = min(self._deadline(worker) for worker in busy) - now
            ready = [key.data for key, _ in selector.select(max(0.0, min(wait, 1.0)))]
        for worker in busy:
            if worker in ready:
                self._hear(plan, worker)
            elif monotonic() > self._deadline(worker):
                limit = self.limit if worker.ready else START
                self._bury(plan, worker, f"no answer within {limit:g} s, so its worker was ended")

    def _deadline(self, worker: _Worker) -> float:
        return worker.since + (self.limit if worker.ready else START)

    def _hear(self, plan: Plan, worker: _Worker) -> None:
        try:
            events, alive = worker.read()
        except ValueError:
            self._bury(plan, worker, "its worker answered something that is no answer")
            return
        for event in events:
            self._take_event(plan, worker, event)
        if not alive and worker in self.workers:
            self._bury(plan, worker, worker.last_words())

    def _take_event(self, plan: Plan, worker: _Worker, event: Data) -> None:
        worker.since = monotonic()
        if "ready" in event:
            worker.ready, self.stillborn = True, 0
        elif "at" in event:
            worker.at = event["at"]
        elif worker.job is not None:
            job, at, worker.job, worker.at = worker.job, worker.at, None, None
            if "failed" in event:
                plan.lost(job, at, event["failed"])
            else:
                plan.answered(job, event)
            if event.get("fatal") or worker.resident() > LARGEST:
                worker.end()
                self.workers.remove(worker)

    def _bury(self, plan: Plan, worker: _Worker, reason: str) -> None:
        worker.end()
        self.workers.remove(worker)
        if not worker.ready:
            self.stillborn += 1
            if self.stillborn >= STARTS:
                raise UsageError(f"the workers of the gate can't start: {reason}")
            self.begun += [worker.job] if worker.job is not None else []
        elif worker.job is not None:
            plan.lost(worker.job, worker.at, reason)


class _Worker:
    """One process: what it does, what it is at, and since when."""

    def __init__(self, name: str, command: Sequence[str]) -> None:
        self.name, self.ready = name, False
        self.job: Data | None = None
        self.at: str | None = None
        self.since = monotonic()
        self.errors = tempfile.TemporaryFile()  # noqa: SIM115  # closed by `end`
        self.rest = b""
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, start_new_session=True
        )

    @property
    def output(self) -> IO[bytes]:
        """What it writes."""
        assert self.process.stdout is not None
        return self.process.stdout

    def take(self, job: Data) -> None:
        """Give it a job. That it is gone already is heard when its output is read."""
        self.job, self.at, self.since = job, None, monotonic()
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(json.dumps(job, separators=(",", ":")).encode() + b"\n")
            self.process.stdin.flush()

    def dismiss(self) -> None:
        """Tell it that no job will come."""
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()

    def read(self) -> tuple[list[Data], bool]:
        """The events that have come, and whether more can come."""
        chunk = os.read(self.output.fileno(), 1 << 20)
        *lines, self.rest = (self.rest + chunk).split(b"\n")
        return [json.loads(line) for line in lines], bool(chunk)

    def resident(self) -> int:
        """Its memory in bytes; 0 where the system does not tell."""
        try:
            with open(f"/proc/{self.process.pid}/statm", "rb") as file:
                return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        except (OSError, ValueError, IndexError):
            return 0

    def last_words(self) -> str:
        """How it ended."""
        code = self.process.wait()
        if code == -signal.SIGKILL:
            return "its worker was killed (SIGKILL), perhaps for want of memory"
        if code < 0:
            return f"its worker ended with {signal.Signals(-code).name}{self._said()}"
        return f"its worker ended with exit code {code}{self._said()}"

    def _said(self) -> str:
        size = self.errors.seek(0, os.SEEK_END)
        self.errors.seek(max(0, size - TAIL))
        lines = self.errors.read().decode(errors="replace").split("\n")
        last = next((line.strip() for line in reversed(lines) if line.strip()), "")
        return f": {last[:200]}" if last else ""

    def end(self) -> None:
        """End it now, and take it off the system's list."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout, self.errors):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
