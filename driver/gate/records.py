"""What a run found out about a file, kept until anything that it depends on changes.

A record is about a text, everything that the text uses, the options and the versions of all that proves. It is made
only where every claim is proved or refuted, or where the text itself is ill-formed. A file whose record holds is
unchanged: it is not proved again unless `--all` asks for it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from gradproof.compiler.elaborate import is_standard
from gradproof.gate.certified import digest_beside
from gradproof.gate.schedule import Work, final
from gradproof.gate.store import Store, name_of
from gradproof.gate.versions import versions
from gradproof.gate.wire import Texts, WireError, diagnostic_data, read_diagnostic, read_verdict, verdict_data
from gradproof.grammar.source import Diagnostic, Source
from gradproof.pipeline import subjects_of
from gradproof.report import FileReport

KIND = "files"


class Records:
    """The records of one set of options. A file that can't be read has none."""

    def __init__(self, store: Store, options: dict[str, Any]) -> None:
        self.store = store
        self.prefix = json.dumps([versions(), options], sort_keys=True)

    def find(self, path: str, texts: Texts) -> FileReport | None:
        """The report on a file that nothing has changed for since it was made."""
        digest = digest_of_file(path)
        if digest is None:
            return None
        name = self._name(path, digest, digest_beside(path))
        return self.store.get(KIND, name, lambda data: self._read(data, path, texts))

    def keep(self, work: Work) -> None:
        """Keep what was found out, where that is final and what was read is still what is there."""
        if not work.conclusive or work.outline is None:
            return
        digest = work.outline["sources"].get(work.path)
        if digest is None:
            return
        beside = digest_beside(work.path) if work.certificate is None else work.certificate
        data = {
            "path": work.path,
            "own": work.outline["own"],
            "sources": [[name, sha] for name, sha in work.outline["sources"].items()],
            "used": work.outline["used"],
            "warnings": [diagnostic_data(warning) for warning in work.warnings],
            "error": None if work.error is None else diagnostic_data(work.error),
            "verdicts": [verdict_data(verdict) for verdict in work.asked()],
            "problems": [diagnostic_data(problem) for problem in work.problems],
            "certified": work.certificate is not None,
            "claims": sum(len(work.tasks[position].claims) for position in work.wanted),
        }
        self.store.put(KIND, self._name(work.path, digest, beside), data)

    def _name(self, path: str, digest: str, certificate: str) -> str:
        return name_of(self.prefix, os.path.abspath(path), digest, certificate)

    def _read(self, data: Any, path: str, texts: Texts) -> FileReport | None:
        if data["path"] != path or not data["sources"]:
            return None
        if any(os.path.realpath(asked) != real for asked, real in data["used"]):
            return None
        own = [(name, digest) for name, digest in data["sources"] if name == path or not is_standard(name)]
        if any(digest_of_file(name) != digest for name, digest in own):  # those of gradproof are part of its version
            return None
        if data["error"] is not None:
            return FileReport(path, error=read_diagnostic(data["error"], texts))
        if data["claims"] < 1:
            raise WireError("a record of nothing: what is not said is not proved")
        verdicts = [read_verdict(one, texts) for one in data["verdicts"]]
        if not final(verdicts):
            raise WireError("a record of something unknown")
        warnings = tuple(read_diagnostic(one, texts) for one in data["warnings"])
        problems = tuple(read_diagnostic(one, texts) for one in data["problems"])
        if data["certified"] != bool(digest_beside(path)):
            raise WireError("a record of a file whose certificate nobody looked at")
        return FileReport(path, subjects_of(verdicts, set(data["own"])), None, warnings, problems=problems)


def digest_of_file(path: str) -> str | None:
    """The SHA-256 of a file's text as the parser reads it; None where it can't be read."""
    text = _text(path)
    return None if text is None else sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def reader() -> Callable[[str], Source]:
    """A function from paths to sources, each read once; what can't be read is an empty text."""

    @cache
    def source(path: str) -> Source:
        return Source(path, _text(path) or "")

    return source


def _text(path: str) -> str | None:
    from gradproof.grammar import parse
    from gradproof.grammar.parse import read_source

    place = Path(path)
    if is_standard(path) and not place.exists():
        place = Path(parse.__file__).parent / path
    try:
        return read_source(place).text
    except (Diagnostic, OSError):
        return None
