"""What the verifier is at: whoever runs it may watch, so that a crash or a hang is put down to one claim.

The watcher may also give a claim up, with a reason: then it is unknown and nothing is tried. That is all it can do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeAlias

from gradproof.compiler.claims import Claim, Verdict
from gradproof.verifier.asked import about

Watcher: TypeAlias = Callable[[Claim], str]  # the reason for giving the claim up; empty: go on

_WATCHER: ContextVar[Watcher | None] = ContextVar("watcher", default=None)


@contextmanager
def watched(watcher: Watcher) -> Iterator[None]:
    """Tell `watcher` of each claim before it is tried."""
    token = _WATCHER.set(watcher)
    try:
        yield
    finally:
        _WATCHER.reset(token)


def attempt(claim: Claim, settle: Callable[[], Verdict]) -> Verdict:
    """The verdict of `settle` on a claim, or unknown where the watcher gives it up."""
    watcher = _WATCHER.get()
    reason = "" if watcher is None else watcher(claim)
    if reason:
        return Verdict(claim, "unknown", "", "all sizes", 0.0, reason=reason)
    with about(claim):
        return settle()
