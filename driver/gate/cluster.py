"""The proofs on a Dask cluster: each job goes to whoever is free, with the texts that it needs.

A worker of the cluster runs a process of its own for the proofs (remote.py), so a crash there is put down to one
obligation as it is here. When a whole worker is lost, Dask gives its jobs to another; an answer that comes twice is
taken once, and one from another version of gradproof not at all.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

from gradproof.certificates import beside
from gradproof.gate import remote
from gradproof.gate.pool import Plan
from gradproof.gate.remote import stamp
from gradproof.gate.wire import Data
from gradproof.grammar.source import Diagnostic
from gradproof.usage import UsageError

WAIT = 30  # seconds for a scheduler, and for the first worker
AHEAD = 2  # jobs for each thread of the cluster, so that none waits for us
LOSSES = 3  # workers that may die over one job


def run_on_cluster(plan: Plan, address: str | None, limit: float, memory: int) -> None:
    """Do all of a plan on the cluster at `address`; UsageError where it can't be reached or has another gradproof."""
    if not address:
        raise UsageError("--executor dask needs --scheduler ADDRESS, as tcp://HOST:PORT")
    try:
        from distributed import Client
    except ImportError:
        raise UsageError("--executor dask needs Dask: pip install 'gradproof[dask]'") from None
    try:
        client: Any = cast(Any, Client)(address, timeout=WAIT, set_as_default=False)
    except (OSError, ValueError, TypeError) as error:
        raise UsageError(f"no scheduler answers at {address}: {error}") from None
    with client:
        _check(client, address)
        _Run(client, plan, limit, memory).all()


def _check(client: Any, address: str) -> None:
    """Everyone there runs this very code."""
    try:
        client.wait_for_workers(1, timeout=WAIT)
    except TimeoutError:
        raise UsageError(f"the cluster at {address} has no worker") from None
    try:
        stamps = client.run(remote.stamp)
    except Exception as error:
        raise UsageError(f"a worker of {address} can't load gradproof: {type(error).__name__}: {error}") from None
    if other := sorted(worker for worker, found in stamps.items() if found != stamp()):
        raise UsageError(f"{other[0]} has another gradproof, or other libraries: install the same there as here")


class _Run:
    """Jobs under way, by the key of their future."""

    def __init__(self, client: Any, plan: Plan, limit: float, memory: int) -> None:
        self.client, self.plan, self.limit, self.memory = client, plan, limit, memory
        self.under_way: dict[str, Data] = {}
        self.name, self.numbers = uuid4().hex, count()

    def all(self) -> None:
        """Do everything."""
        from distributed import as_completed

        answers: Any = cast(Any, as_completed)(loop=self.client.loop, raise_errors=False)
        while not self.plan.finished:
            for future in self._submit():
                answers.add(future)
            if not self.under_way:
                if self.plan.finished:
                    return
                raise RuntimeError("the gate has work left that nobody does: please report this")
            self._take(next(answers))

    def _submit(self) -> Iterator[Any]:
        threads = max(1, sum(self.client.ncores().values()))
        while len(self.under_way) < AHEAD * threads:
            job = self.plan.next("the cluster")
            if job is None:
                return
            key = f"gradproof-{self.name}-{next(self.numbers)}"
            self.under_way[key] = job
            arguments = (job, closure(job["path"]), self.limit, self.memory)
            yield self.client.submit(remote.do, *arguments, key=key, pure=False, retries=LOSSES)

    def _take(self, future: Any) -> None:
        job = self.under_way.pop(future.key)
        if future.status == "finished":
            found = future.result()
            if found["stamp"] != stamp():
                raise UsageError("a worker that joined the cluster has another gradproof: install the same there")
            if "lost" in found:
                self.plan.lost(job, *found["lost"])
            else:
                self.plan.answered(job, found["answer"])
        elif future.status == "error":
            error = future.exception()
            self.plan.lost(job, None, f"the cluster could not do it: {type(error).__name__}: {error}"[:300])
        else:
            raise UsageError("the scheduler of the cluster is gone; what was done so far is kept")
        future.release()


def _text(path: str) -> str | None:
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None


def closure(path: str) -> dict[str, Any]:
    """A file and everything that it uses, as it lies on this disk: texts by real path, and the links to them."""
    from gradproof.grammar.parse import parse, read_source
    from gradproof.grammar.syntax import Use

    texts: dict[str, str] = {}
    links: dict[str, str] = {}
    waiting = [Path(os.path.abspath(path))]
    while waiting:
        asked = waiting.pop()
        real = os.path.realpath(asked)
        if str(asked) != real:
            links[str(asked)] = real
        if real in texts:
            continue
        try:
            source = read_source(real)
            texts[real] = source.text
            uses = [item.path for item in parse(source).items if isinstance(item, Use)] if "use" in source.text else []
        except Diagnostic:
            continue  # what is wrong with it is said where it is loaded
        # the first file's own folder is the one that it was named in, the others' the one that they lie in
        folder = asked.parent if len(texts) == 1 else Path(real).parent
        waiting += [Path(os.path.normpath(folder / name)) for name in uses if name and "\0" not in name]
    if (certificate := _text(beside(path))) is not None:
        texts[os.path.abspath(beside(path))] = certificate
    return {"texts": texts, "links": links, "main": os.path.abspath(path), "shown": path}
