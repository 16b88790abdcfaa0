"""Which files of a repository the gate is about: by suffix, by what is included and by what is excluded."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from gradproof.gate.config import Config
from gradproof.paths import SUFFIX
from gradproof.usage import UsageError
from pathspec import GitIgnoreSpec


def discover(paths: Sequence[str], config: Config) -> tuple[list[str], list[str]]:
    """The files to prove, and those that were named and are excluded: paths from here, each once, sorted.

    A folder gives every .gproof file in it and below, except in hidden folders and behind links to folders. Excludes
    hold for files that are named, too: tools like pre-commit name every file that changed.
    UsageError for what is not there, and for folders in which there is nothing.
    """
    include, exclude = _spec("include", config.include), _spec("exclude", config.exclude)
    found: dict[str, str] = {}
    excluded: list[str] = []
    for path in paths or [str(config.root)]:
        named = Path(path).is_file()
        if not named and not Path(path).is_dir():
            raise UsageError(f"{path}: no such file or folder")
        count = len(found) + len(excluded)
        for file in [path] if named else _walk(path):
            inside = _relative(file, config.root)
            if exclude.match_file(inside) or (config.include and not named and not include.match_file(inside)):
                excluded += [file] * named
                continue
            found.setdefault(os.path.realpath(file), _shown(file, config.root))
        if not named and len(found) + len(excluded) == count and not _given(path, found):
            raise UsageError(f"{path}: no {SUFFIX} file to prove in this folder")
    return sorted(found.values()), excluded


def matches(pattern: str, path: str, root: Path) -> bool:
    """Whether a pattern, as in a .gitignore, is about a file."""
    return _spec("ignore", [pattern]).match_file(_relative(path, root))


def _spec(name: str, patterns: Sequence[str]) -> GitIgnoreSpec:
    try:
        return GitIgnoreSpec.from_lines(patterns)
    except ValueError as error:
        raise UsageError(f"[tool.gradproof] {name}: {error}") from None


def _walk(folder: str) -> Iterator[str]:
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (os.path.join(place, name) for name in sorted(files) if name.endswith(SUFFIX))


def _given(path: str, found: dict[str, str]) -> bool:
    """Whether what a folder holds was found already, by another argument."""
    return any(os.path.realpath(file) in found for file in _walk(path))


def _relative(path: str, root: Path) -> str:
    """The path that patterns are matched with: from the root of the settings, with `/`."""
    return Path(os.path.relpath(os.path.abspath(path), root)).as_posix()


def _shown(path: str, root: Path) -> str:
    """The path that is printed: from the working folder, unless the file is outside of the repository."""
    here = os.path.relpath(path)
    inside = not here.startswith("..") or not _relative(path, root).startswith("..")
    return here if inside else os.path.normpath(path)
