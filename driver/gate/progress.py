"""What the gate is doing, on one line of a terminal; nothing where nobody looks."""

from __future__ import annotations

import sys
from time import monotonic

from gradproof.gate.pool import Plan
from gradproof.gate.schedule import Schedule
from gradproof.gate.wire import Data

EVERY = 0.1  # seconds between two pictures


class Shown(Plan):
    """A schedule whose progress is shown on standard error while it is worked on."""

    def __init__(self, schedule: Schedule, unchanged: int) -> None:
        self.schedule, self.unchanged = schedule, unchanged
        self.total = len(schedule.works)
        self.visible = sys.stderr.isatty()
        self.last = 0.0

    @property
    def finished(self) -> bool:
        """Whether nothing is left."""
        return self.schedule.finished

    def next(self, worker: str) -> Data | None:
        """The schedule's next job."""
        return self.schedule.next(worker)

    def answered(self, job: Data, answer: Data) -> None:
        """Hand the answer on and show how far it is."""
        self.schedule.answered(job, answer)
        self._show()

    def lost(self, job: Data, at: str | None, reason: str) -> None:
        """Hand the loss on and show how far it is."""
        self.schedule.lost(job, at, reason)
        self._show()

    def clear(self) -> None:
        """Leave the terminal as it was."""
        if self.visible and self.last:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)

    def _show(self) -> None:
        if not self.visible or monotonic() - self.last < EVERY:
            return
        self.last = monotonic()
        settled, known = self.schedule.claims
        left = self.schedule.left
        text = f"{self.total - left}/{self.total} files, {settled}/{known} obligations"
        text += f", {self.unchanged} files unchanged" if self.unchanged else ""
        print(f"\r\x1b[K{text[:100]}", end="", file=sys.stderr, flush=True)
