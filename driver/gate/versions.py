"""What a proof depends on beside the program: this very code, the solver, the libraries. Part of every key."""

from __future__ import annotations

import sys
from functools import cache
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

import gradproof

LIBRARIES = ("z3-solver", "python-flint", "numpy", "lark")
LAYERS = ("gradproof", "gradproof.grammar", "gradproof.compiler", "gradproof.runtime", "gradproof.verifier")
SUFFIXES = (".py", ".lark", ".gproof", ".json", ".gpc")


@cache
def versions() -> dict[str, str]:
    """Names and versions; of gradproof itself also the digest of its code, which a development tree changes."""
    found = {"gradproof": gradproof.__version__, "code": code_digest(), "python": sys.version.split()[0]}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "unknown"
    return found


def code_digest() -> str:
    """The SHA-256 of every file of gradproof that can change a verdict, its own prelude among them."""
    state = sha256()
    for layer in LAYERS:
        spec = find_spec(layer)
        folders = list(spec.submodule_search_locations or ()) if spec else []
        for folder in map(Path, folders):
            for path in sorted(path for path in folder.rglob("*") if path.suffix in SUFFIXES):
                data = path.read_bytes()
                name = f"{layer}/{path.relative_to(folder).as_posix()}".encode()
                state.update(len(name).to_bytes(8, "big") + name + len(data).to_bytes(8, "big") + data)
    return state.hexdigest()
