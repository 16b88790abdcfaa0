"""Repairs of wrong rules: each is proved as the text that is shown, and nothing is said where nothing is proved."""

from __future__ import annotations

from pathlib import Path

import gradproof as gp
import pytest
from gradproof.compiler.elaborate import load_path, load_text
from gradproof.compiler.ops import OpDef
from gradproof.grammar.source import Diagnostic
from gradproof.verifier import repair as module
from gradproof.verifier.operators import verdicts_of_op
from gradproof.verifier.options import Options
from gradproof.verifier.repair import Repair, repairs

CASES = sorted((Path(__file__).parent / "cases" / "bugs").glob("*.gproof"))
HARD = Options(timeout=10.0, search=2.0, repair=20.0)
# Files in which no single edit mends a rule, and it may not be left out either.
NONE = {"K15", "U07"}
# Files in which no operator is refuted: a graph's bug, and two that are right over the reals.
NOTHING = {"D07_layer_norm_placeholder", "K02_clamp_at_bounds", "P04_sigmoid_cancels"}


def wrong(path: Path) -> OpDef | None:
    """The wrong operator of a case; None where the case is about something else."""
    try:
        ops = load_path(path).ops.values()
    except Diagnostic:
        return None
    return next((op for op in ops if op.name.endswith("_wrong")), None)


def mended(op: OpDef, found: list[Repair]) -> str:
    """The whole text of the operator's file with the repairs written into it."""
    text = op.span.source.text
    lines = text.splitlines(keepends=True)
    for repair in sorted(found, key=lambda r: (r.span.line, r.span.column), reverse=True):
        span = repair.span
        if repair.clause == "require":
            brace = text.index("{", sum(map(len, lines[: span.line - 1])))
            text = f"{text[: brace + 1]} {repair.text}{text[brace + 1 :]}"
            continue
        start = sum(map(len, lines[: span.line - 1])) + span.column - 1
        stop = sum(map(len, lines[: span.end_line - 1])) + span.end_column - 1
        word = repair.clause.split()[0] if repair.clause.startswith(("vjp", "jvp", "runs")) else ""
        start = text.rindex(word, 0, start) if word else start
        text = text[:start] + repair.text + text[stop:]
    return text


def refuted(op: OpDef) -> list[Repair]:
    return list(repairs(op, verdicts_of_op(op, HARD), HARD))


def proved(op: OpDef) -> set[tuple[str, str]]:
    return {(v.claim.code, v.claim.text) for v in verdicts_of_op(op, HARD) if v.answer == "proved"}


@pytest.mark.parametrize("path", CASES, ids=lambda p: p.stem)
def test_a_repair_of_a_bug_is_proved_as_text(path: Path) -> None:
    op = wrong(path)
    verdicts = verdicts_of_op(op, HARD) if op else []
    if path.stem in NOTHING:
        assert all(v.answer != "refuted" for v in verdicts)
        return
    assert op is not None and any(v.answer == "refuted" for v in verdicts)
    found = list(repairs(op, verdicts, HARD))
    assert bool(found) == (path.stem.split("_")[0] not in NONE)
    before = {(v.claim.code, v.claim.text) for v in verdicts if v.answer == "proved"}
    for repair in found:
        again = load_text(mended(op, [repair])).ops[op.name]
        assert before | repair.settles <= proved(again), repair.text


EDITS = {
    "the other sign": ("fn f(x) {\n  y = x^3\n  vjp x = -3 * x^2 * g\n}", "vjp x = 3*x^2*g"),
    "2 times it": ("fn f(x) {\n  y = x^2\n  vjp x = x * g\n}", "vjp x = 2*x*g"),
    "with the factor `x`": ("fn f(x) {\n  y = x^3\n  vjp x = 3 * x * g\n}", "vjp x = 3*x*g*x"),
    "summed over `i`": ("op f(x: [n], b: []) -> [n] {\n  require n >= 1\n  y[j] = x[j] + b[]\n  vjp b[] = g[0]\n}", ""),
    "`i` and `j` exchanged": (
        "op f(x: [n, n]) -> [n, n] {\n  y[i, j] = 2 * x[j, i]\n  vjp x[i, j] = 2 * g[i, j]\n}",
        "",
    ),
    "a guard moved by one": (
        "op f(x: [n]) -> [] {\n  y[] = sum(i | i >= 1) x[i]\n  vjp x[i] = select(i >= 2, g[], 0)\n}",
        "",
    ),
    "the indices of `g` exchanged": (
        "op f(x: [n, m], b: [m]) -> [n, m] {\n  y[i, j] = x[i, j] + b[j]\n  vjp b[j] = sum(i) g[j, i]\n}",
        "vjp b[j] = sum(i) g[i, j]",
    ),
    "with the factor 1/`n`": (
        "op f(x: [n]) -> [] {\n  require n >= 1\n  y[] = (sum(i) x[i]^2) / n\n  vjp x[i] = 2 * x[i] * g[]\n}",
        "vjp x[i] = 2*x[i]*g[]/n",
    ),
    "then it is in bounds": ("op f(x: [n]) -> [] {\n  y[] = x[1] - x[0]\n}", "require n >= 2"),
    "then the entries are in bounds": (
        "op f(x: [n, d], idx: int [k]) -> [k, d] {\n  y[i, j] = x[idx[i], j]\n}",
        "require 0 <= idx[i] < n",
    ),
    "the value 0": ("fn f(x) {\n  y = min(max(x, 0), 6)\n  at x = 0: 0\n  at x = 6: 2\n}", "at x = 6: 0"),
    "`x` in place of `y`": ("fn f(x) {\n  y = x^2 / 2\n  vjp x = y * g\n}", "vjp x = x*g"),
    "other parentheses": ("fn f(x) {\n  y = tanh(x)\n  vjp x = g * (1 - y)^2\n}", "vjp x = g*(-y^2 + 1)"),
    "a summand left out": ("fn f(x) {\n  y = x^2\n  vjp x = 2 * x * g + g\n}", "vjp x = 2*x*g"),
    "the branches exchanged": (
        "fn f(x) {\n  y = select(x > 0, x, 2 * x)\n  vjp x = g * select(x > 0, 2, 1)\n}",
        "vjp x = g*select(0 < x, 1, 2)",
    ),
}


@pytest.mark.parametrize("change", EDITS)
def test_each_kind_of_mistake_is_mended(change: str) -> None:
    text, line = EDITS[change]
    op = load_text(text).ops["f"]
    found = refuted(op)[0]
    assert not line or found.text == line
    assert found.text
    again = load_text(mended(op, [found])).ops["f"]
    assert {v.answer for v in verdicts_of_op(again, HARD)} == {"proved"}


def test_a_form_that_runs_and_a_declared_value_are_mended_too() -> None:
    text = "fn f(x) {\n  y = log(1 + exp(x))\n  runs y = max(x, 0) + log(1 + exp(abs(x)))\n}"
    (found,) = refuted(load_text(text).ops["f"])
    assert found.text == "runs y = max(x, 0) + log(exp(-abs(x)) + 1)"
    (found,) = refuted(load_text("fn f(x) {\n  y = abs(x)\n  at x = 0: 2\n}").ops["f"])
    assert found.clause == "at" and found.text.startswith("at x = 0: ")


def test_a_rule_that_nothing_mends_may_be_left_out() -> None:
    (found,) = refuted(load_text("fn f(x) {\n  y = sin(x) * exp(x)\n  vjp x = g * lgamma(2 + x^2)\n}").ops["f"])
    assert not found.text
    assert "leave `vjp x` out" in str(found)


def test_nothing_is_said_that_is_not_proved(monkeypatch: pytest.MonkeyPatch) -> None:
    op = load_text("fn f(x) {\n  y = x^3\n  vjp x = -3 * x^2 * g\n}").ops["f"]
    verdicts = verdicts_of_op(op, HARD)
    monkeypatch.setattr(module, "verdict_of_claim", lambda op, position, options, search: verdicts[position])
    assert list(repairs(op, verdicts, HARD)) == []


def test_advice_is_shown_and_can_be_turned_off() -> None:
    text = "fn f(x) {\n  y = x^3\n  vjp x = -3 * x^2 * g\n}"
    assert "instead: vjp x = 3*x^2*g  # proved: the other sign" in str(gp.verify(text))
    assert "instead" not in str(gp.verify(text, suggest=False))
    with pytest.raises(gp.ProofError, match="the other sign"):
        gp.compile(text)
    assert Options().repair == 0


def test_an_ensure_that_is_too_strict_by_equality_alone() -> None:
    text = "dim n\ngraph f(x: f32[n]) -> f32[] {\n  s = sum(x * x)\n  ensure {}\n  return s\n}"
    (said,) = gp.verify(text.replace("{}", "s > 0", 1)).failures()
    assert said.advice == ("ensure s >= 0  # proved: equality allowed",)
    assert said.claim.span is not None and said.claim.span.line == 4
    assert gp.verify(text.replace("{}", "s >= 0", 1)).ok
    (said,) = gp.verify(text.replace("{}", "s < 0", 1)).failures()
    assert said.advice == ()
