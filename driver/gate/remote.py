"""A job of the gate on another machine: lay out the texts that came with it, and have a process of its own do it."""

from __future__ import annotations

import json
import os
import tempfile
import threading
from collections.abc import Callable
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from gradproof.gate.pool import Plan, Pool
from gradproof.gate.versions import versions
from gradproof.gate.wire import Data

HERE = threading.local()  # the pool of this thread of a worker, and the texts that were laid out


@cache
def stamp() -> str:
    """What must be the same on all machines: the code and the libraries that prove."""
    return sha256(json.dumps(versions(), sort_keys=True).encode()).hexdigest()


def do(job: Data, files: Data, limit: float, memory: int) -> Data:
    """The answer to a job, or the claim at which it was lost and why; and who says so."""
    folder = _laid_out(files)
    there = _there(files, folder)
    sent = {**job, "path": there(job["path"])}
    if "sources" in job:
        sent["sources"] = {there(name): digest for name, digest in job["sources"].items()}
    single = _Single(sent)
    _pool(limit, memory).run(single)
    return {"stamp": stamp(), **_mapped(single.outcome, _back(files, folder))}


class _Single(Plan):
    """The plan that has one job."""

    def __init__(self, job: Data) -> None:
        self.job: Data | None = job
        self.outcome: Data = {}

    @property
    def finished(self) -> bool:
        """Whether the outcome is there."""
        return bool(self.outcome)

    def next(self, worker: str) -> Data | None:
        """The job, once."""
        job, self.job = self.job, None
        return job

    def answered(self, job: Data, answer: Data) -> None:
        """It was done."""
        self.outcome = {"answer": answer}

    def lost(self, job: Data, at: str | None, reason: str) -> None:
        """It was not."""
        self.outcome = {"lost": [at, reason]}


def _pool(limit: float, memory: int) -> Pool:
    pools: dict[tuple[float, int], Pool] = HERE.__dict__.setdefault("pools", {})
    return pools.setdefault((limit, memory), Pool(1, limit, memory))


def _laid_out(files: Data) -> str:
    """A folder in which the texts lie as they lie where they came from; the same texts lie there once."""
    name = sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()
    folders: dict[str, tempfile.TemporaryDirectory[str]] = HERE.__dict__.setdefault("folders", {})
    if name not in folders:
        while len(folders) >= 32:
            folders.pop(next(iter(folders))).cleanup()
        # the real path: what is loaded there is told by real paths
        folders[name] = tempfile.TemporaryDirectory(prefix="gradproof-", dir=os.path.realpath(tempfile.gettempdir()))
        root = Path(folders[name].name)
        for path, text in files["texts"].items():
            _inside(root, path).write_text(text, encoding="utf-8")
        for path, target in files["links"].items():
            place = _inside(root, path)
            if not place.is_symlink() and not place.exists():
                place.symlink_to(_inside(root, target))
    return folders[name].name


def _inside(root: Path, path: str) -> Path:
    """The place of an absolute path below a root; its folder is made."""
    place = Path(os.path.normpath(f"{root}{os.sep}{Path(path).relative_to(Path(path).anchor)}"))
    if not place.is_relative_to(root):
        raise ValueError(f"{path} leads out of the folder")
    place.parent.mkdir(parents=True, exist_ok=True)
    return place


def _there(files: Data, folder: str) -> Callable[[str], str]:
    def path(name: str) -> str:
        known = files["main"] if name == files["shown"] else name
        return str(_inside(Path(folder), os.path.abspath(known)))

    return path


def _back(files: Data, folder: str) -> Callable[[str], str]:
    main = f"{folder}{files['main']}"

    def text(found: str) -> str:
        return files["shown"] if found == main else found.replace(main, files["shown"]).replace(folder, "")

    return text


def _mapped(data: Any, text: Callable[[str], str]) -> Any:
    """Data with every text changed, names included."""
    if isinstance(data, str):
        return text(data)
    if isinstance(data, list):
        return [_mapped(one, text) for one in data]
    if isinstance(data, dict):
        return {text(name): _mapped(one, text) for name, one in data.items()}
    return data
