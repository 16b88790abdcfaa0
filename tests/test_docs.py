"""The design page names code and tests that exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
DESIGN = (ROOT / "docs" / "design.md").read_text()


def test_every_test_that_the_design_names_exists() -> None:
    named = re.findall(r"(tests/\w+\.py)::(\w+)", DESIGN)
    assert len(named) >= 20
    for path, name in named:
        functions = {n.name for n in ast.walk(ast.parse((ROOT / path).read_text())) if isinstance(n, ast.FunctionDef)}
        assert name in functions, f"{path}::{name}"


def test_every_file_that_the_design_names_exists() -> None:
    for folder, names in re.findall(r"^\| (grammar|compiler|runtime|verifier)/([^|]+) \|", DESIGN, re.M):
        inside = (ROOT / folder / names).parent  # the first name's folder is that of the others, too
        for name in re.findall(r"[\w/]+\.(?:py|lark)", names):
            path = inside / name.split("/")[-1]
            assert path.is_file(), path


def test_every_module_is_on_the_design_page() -> None:
    for folder in ("grammar", "compiler", "runtime", "verifier"):
        for path in (ROOT / folder).glob("*.py"):
            assert path.name == "__init__.py" or path.name in DESIGN, f"{folder}/{path.name} is not described"
