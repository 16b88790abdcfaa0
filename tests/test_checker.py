"""The independent checker: how large it is, what it imports, and how it fares on a graph of a thousand nodes."""

from __future__ import annotations

import ast
import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest
from gradproof.compiler.claims import Verdict
from gradproof.paths import Text
from gradproof.pipeline import load
from gradproof.verifier.checker.main import check
from gradproof.verifier.evidence.certificate import Texts, body, certificate, claims_of

ROOT = Path(__file__).parent.parent
CHECKER = ROOT / "verifier" / "checker"
IMPORTS = {
    "__future__", "collections", "collections.abc", "fractions", "functools", "gc", "hashlib", "importlib", "io",
    "itertools", "json", "math", "os", "re", "sys", "types", "typing",
}  # fmt: skip


def test_it_imports_this_part_of_the_standard_library_and_no_more() -> None:
    found = set()
    for path in CHECKER.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                found.add(node.module or "")
            assert not (isinstance(node, ast.ImportFrom) and node.level > 1), path.name
    assert found == IMPORTS


def test_it_evaluates_nothing() -> None:
    names = {"eval", "exec", "compile", "__import__", "getattr", "setattr", "globals", "pickle", "marshal", "open"}
    used = {
        (path.name, node.id)
        for path in CHECKER.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Name) and node.id in names
    }
    assert used <= {("reading.py", "open"), ("main.py", "getattr"), ("reading.py", "getattr")}


@pytest.fixture(scope="module")
def deep() -> tuple[int, bytes]:
    """A graph of a thousand nodes, as if all was proved: how evidence and its check grow."""
    spec = importlib.util.spec_from_file_location("bench_check", ROOT / "benchmarks" / "bench_check.py")
    assert spec is not None and spec.loader is not None
    bench = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(bench)
    text = bench.deep(1000)
    module = load(Text("deep", text))
    graphs = tuple(module.graphs.values())
    from gradproof.compiler.portable import Table

    subjects = body(Table(), (), graphs)[1]
    verdicts = [Verdict(c, "proved", "z3", "all sizes", 0.0) for s in subjects for c in claims_of(s.what)]
    return len(graphs[0].nodes), certificate(Texts(text), (), graphs, verdicts, "0")


def test_a_node_takes_two_kibibytes_at_most(deep: tuple[int, bytes]) -> None:
    nodes, content = deep
    assert nodes >= 1000
    assert len(content) <= 2048 * nodes


def test_a_thousand_nodes_are_replayed_in_little_memory(deep: tuple[int, bytes], tmp_path: Path) -> None:
    _, content = deep
    by = {c["code"]: c["evidence"]["by"] for c in json.loads(content)["claims"] if c["kind"] == "graph"}
    assert by["PLAN"] == "places" and check(content, allow_trusted=True).counts()[0] >= 7
    path = tmp_path / "deep.gpc"
    path.write_bytes(content)
    limit = f"import resource; resource.setrlimit(resource.RLIMIT_AS, ({128 << 20},) * 2)"
    run = f"import runpy, sys; sys.argv = ['check', '--allow-trusted', {str(path)!r}]; runpy.run_path({str(CHECKER)!r})"
    subprocess.run([sys.executable, "-I", "-c", f"{limit}; {run}"], check=True, capture_output=True)
