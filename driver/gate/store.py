"""`.gradproof_cache/`: small files by content, written whole or not at all, believed only when they are ours.

Each entry carries a seal made with a key that lies in the user's own folder, not in the repository: an entry that was
brought along, cut off, edited, or made on another machine is no entry. What can't be read or written is as if it were
not there: no cache changes a verdict, and none is needed.
"""

from __future__ import annotations

import contextlib
import hmac
import json
import os
import secrets
import tempfile
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")
NAME = ".gradproof_cache"
TAG = "Signature: 8a477f597d28d172789f06886806bc55\n# This folder is a cache of gradproof: it may be deleted.\n"
LARGEST = 64 << 20  # bytes of an entry that is read
KEPT = 20_000  # entries before the oldest go


class Store:
    """A folder of entries. With `folder` None, or without a key, nothing is kept and nothing is found."""

    def __init__(self, folder: Path | None, key: bytes | None = None) -> None:
        self.folder = folder
        self.key = key if key is not None else (None if folder is None else user_key())
        self.trouble = ""  # why nothing can be kept, once that is known

    def get(self, kind: str, name: str, read: Callable[[Any], T | None]) -> T | None:
        """What `read` makes of an entry; None where there is none, or where `read` finds it odd."""
        if self.folder is None or self.key is None:
            return None
        path = self._path(kind, name)
        try:
            if path.stat().st_size > LARGEST:
                return None
            seal, _, body = path.read_bytes().partition(b"\n")
            if not hmac.compare_digest(seal, self._seal(kind, name, body)):
                return None
            return read(json.loads(body))
        except (OSError, ValueError, KeyError, TypeError, IndexError, RecursionError):
            return None

    def put(self, kind: str, name: str, data: Any) -> None:
        """Keep an entry: a reader sees all of it or nothing, whoever else writes."""
        if self.folder is None or self.key is None or self.trouble:
            return
        body = json.dumps(data, separators=(",", ":"), allow_nan=False).encode()
        path = self._path(kind, name)
        try:
            self._prepare(path.parent)
            handle, temporary = tempfile.mkstemp(prefix=".new-", dir=path.parent)
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(self._seal(kind, name, body) + b"\n" + body)
                os.replace(temporary, path)
            except BaseException:
                with contextlib.suppress(OSError):
                    os.unlink(temporary)
                raise
        except OSError as error:
            self.trouble = f"{self.folder}: {error.strerror or error}"

    def tidy(self) -> None:
        """Let the oldest entries go where there are too many."""
        if self.folder is None or self.trouble:
            return
        with contextlib.suppress(OSError):
            entries = [path for path in self.folder.glob("*/*/*") if path.is_file()]
            if len(entries) > KEPT:
                entries.sort(key=lambda path: path.stat().st_mtime)
                for path in entries[: len(entries) - KEPT // 2]:
                    path.unlink(missing_ok=True)

    def _path(self, kind: str, name: str) -> Path:
        assert self.folder is not None
        return self.folder / kind / name[:2] / name[2:]

    def _seal(self, kind: str, name: str, body: bytes) -> bytes:
        assert self.key is not None
        return hmac.new(self.key, f"{kind}/{name}\n".encode() + body, sha256).hexdigest().encode()

    def _prepare(self, folder: Path) -> None:
        assert self.folder is not None
        if not (self.folder / "CACHEDIR.TAG").exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            (self.folder / ".gitignore").write_text("*\n")
            (self.folder / "CACHEDIR.TAG").write_text(TAG)
        folder.mkdir(parents=True, exist_ok=True)


def name_of(*parts: str) -> str:
    """The name of an entry: a digest of everything that it depends on."""
    state = sha256()
    for part in parts:
        data = part.encode("utf-8", "surrogatepass")
        state.update(len(data).to_bytes(8, "big") + data)
    return state.hexdigest()


def user_key() -> bytes | None:
    """The user's own key, made when it is first asked for; None where it can't be kept."""
    home = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    path = Path(home) / "gradproof" / "cache.key"
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not path.exists():
            handle, temporary = tempfile.mkstemp(dir=path.parent)  # readable by the user alone
            with os.fdopen(handle, "wb") as file:
                file.write(secrets.token_bytes(32))
            try:
                os.link(temporary, path)  # whoever is first has made it
            except FileExistsError:
                pass
            finally:
                os.unlink(temporary)
        key = path.read_bytes()
    except OSError:
        return None
    return key if len(key) == 32 else None
