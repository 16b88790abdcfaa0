"""Which texts a command line names: files, folders, globs, standard input."""

from __future__ import annotations

import glob
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from gradproof.usage import UsageError

SUFFIX = ".gproof"
STDIN = "-"


@dataclass(frozen=True, slots=True)
class Text:
    """A file, or the text of standard input (then `content` is given)."""

    path: str
    content: str | None = None


def expand(paths: Sequence[str]) -> list[Text]:
    """The texts that the arguments name, each once, in order; a folder gives its .gproof files, sorted."""
    found: dict[str, Text] = {}
    for path in paths:
        for text in _expand(path):
            found.setdefault(text.path, text)
    return list(found.values())


def _expand(path: str) -> Iterator[Text]:
    if path == STDIN:
        yield Text("<stdin>", sys.stdin.buffer.read().decode("utf-8", errors="replace"))
        return
    if Path(path).is_file():
        yield Text(path)
        return
    if Path(path).is_dir():
        files = sorted(str(file) for file in Path(path).rglob(f"*{SUFFIX}") if file.is_file())
        if not files:
            raise UsageError(f"{path}: no {SUFFIX} file in this folder")
        yield from map(Text, files)
        return
    matches = sorted(glob.glob(path, recursive=True)) if glob.has_magic(path) else []
    if not matches:
        raise UsageError(f"{path}: no such file or folder")
    for match in matches:
        yield from _expand(match)


def one(path: str) -> Text:
    """The one text that an argument names."""
    texts = expand([path])
    if len(texts) != 1:
        raise UsageError(f"{path}: expected one file, found {len(texts)}")
    return texts[0]
