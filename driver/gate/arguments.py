"""The command line of `gradproof gate`. What is not given comes from [tool.gradproof]."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

FORMATS = ("text", "concise", "json", "sarif", "junit", "github")


def add_gate(commands: Any, seconds: Callable[[str], float], order: Callable[[str], int]) -> None:
    """Add the command to the parser's commands; `seconds` and `order` read these arguments."""
    gate: argparse.ArgumentParser = commands.add_parser(
        "gate",
        help="prove everything in a repository, and only what changed",
        epilog="settings: [tool.gradproof] in pyproject.toml; docs/gate.md says what they are",
    )
    gate.add_argument("paths", nargs="*", metavar="PATH", help="files and folders (default: the whole repository)")
    gate.add_argument("--all", action="store_true", help="prove every file again, unchanged or not: what CI uses")
    gate.add_argument("-j", "--jobs", type=_count, metavar="N", help="worker processes (default: one for each core)")
    gate.add_argument("--timeout", type=seconds, metavar="SECONDS", help="for each obligation (default 10)")
    gate.add_argument("--memory", type=_memory, metavar="MIB", help="for each worker (default: no limit)")
    gate.add_argument("--order", type=order, metavar="N", help="2: second derivatives too (default 1)")
    gate.add_argument("--format", choices=FORMATS, default="text")
    gate.add_argument("-o", "--output", metavar="FILE", help="where the report goes (default: standard output)")
    gate.add_argument(
        "--allow-trusted", action="store_true", default=None, help="accept certificates with trusted claims"
    )
    gate.add_argument("--config", metavar="FILE", help="settings from this file, not from the nearest pyproject.toml")
    gate.add_argument("--cache-dir", metavar="DIR", help="default: .gradproof_cache beside pyproject.toml")
    gate.add_argument("--no-cache", action="store_true", help="neither read nor write a cache")
    gate.add_argument("--executor", choices=("local", "dask"), default="local", help="who proves (default local)")
    gate.add_argument("--scheduler", metavar="ADDRESS", help="of the Dask cluster: tcp://HOST:PORT")


def _count(text: str) -> int:
    value = int(text)
    if not 0 <= value <= 1024:
        raise argparse.ArgumentTypeError("must be from 1 to 1024, or 0 for one a core")
    return value


def _memory(text: str) -> int:
    value = int(text)
    if value != 0 and value < 512:
        raise argparse.ArgumentTypeError("must be 512 (MiB) or more, or 0 for no limit")
    return value
