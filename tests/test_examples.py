"""The examples: every right program is proved, every wrong one is refused with a counterexample that was replayed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import gradproof as gp
import numpy as np
import pytest
from forging import claimed, opened, replayed
from gradproof.compiler.elaborate import load_path

EXAMPLES = Path(__file__).parent.parent / "examples"
RIGHT = sorted([*EXAMPLES.glob("*.gproof"), *(EXAMPLES / "right").glob("*.gproof")])
WRONG = sorted((EXAMPLES / "wrong").glob("*.gproof"))
MODELS = sorted((EXAMPLES / "models").glob("*.gproof"))


@pytest.mark.parametrize("path", RIGHT, ids=lambda p: p.stem)
def test_right_programs_are_proved_for_all_sizes(path: Path) -> None:
    report = gp.verify(path)
    assert report.ok, str(report)
    scopes = {v.scope for v in report.verdicts if v.claim.code in ("JVP", "VJP", "RUNS")}
    assert scopes <= {"all sizes"}


@pytest.mark.parametrize("path", [*RIGHT, *MODELS], ids=lambda p: p.stem)
def test_their_certificates_rest_on_nobodys_word(path: Path) -> None:
    module = load_path(path)
    content = claimed(module.ops.values(), module.graphs.values())
    shown = set(replayed(content))
    claims = [(c["code"], c["subject"], c["text"]) for c in opened(content)["claims"]]
    assert [claim[:2] for claim in claims if claim not in shown] == []


@pytest.mark.parametrize("path", WRONG, ids=lambda p: p.stem)
def test_wrong_programs_are_refuted_with_a_replayed_point(path: Path) -> None:
    report = gp.verify(path)
    assert report.count("unknown") == 0, str(report)
    refuted = [v for v in report.verdicts if v.answer == "refuted"]
    assert refuted, str(report)
    for verdict in refuted:
        assert verdict.counterexample is not None
        assert verdict.counterexample.replayed
        assert verdict.counterexample.expected != verdict.counterexample.got


@pytest.mark.parametrize("path", WRONG, ids=lambda p: p.stem)
def test_every_wrong_program_names_its_source_and_has_a_right_one(path: Path) -> None:
    assert "#" in path.read_text().splitlines()[0]
    assert (EXAMPLES / "right" / path.name).exists()
    with pytest.raises(gp.ProofError, match="refuted"):
        gp.compile(path)


def test_there_are_enough() -> None:
    assert len(WRONG) >= 8


def test_the_digits_reach_their_accuracy() -> None:
    script = EXAMPLES / "train_digits.py"
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    accuracy = float(done.stdout.splitlines()[-1].split("test accuracy ")[1].split("%")[0])
    assert accuracy >= 96.0


def test_fused_attention_is_the_composed_one() -> None:
    program = gp.compile(EXAMPLES / "attention.gproof")
    rng = np.random.default_rng(0)
    inputs = {"q": rng.standard_normal((3, 4)), "k": rng.standard_normal((5, 4)), "v": rng.standard_normal((5, 2))}
    one = program["fused"].forward(**inputs)
    other = program["composed"].forward(**inputs, scale=0.5)
    np.testing.assert_allclose(one, other, rtol=1e-12)


@pytest.mark.parametrize(
    ("clauses", "said"),
    [
        ("let a[i] = y[i]\n y[i] = a[i]", "unknown tensor `a`"),
        ("y[i] = x[i]\n let a[i] = y[i]\n let b[i] = a[i]\n runs y[i] = b[i]", "unknown tensor `b`"),
        ("y[i] = x[i]\n let a[i] = g[i]\n jvp y[i] = a[i]", "unknown tensor `a`"),
        ("y[i] = x[i]\n runs with a[i] = g[i]\n y[i] = a[i]", "unknown tensor `a`"),
    ],
)
def test_nothing_can_lean_on_itself(clauses: str, said: str) -> None:
    report = gp.verify(f"op f(x: [n]) -> [n] {{\n {clauses}\n}}\n")
    assert not report.ok
    assert said in str(report)


def test_an_intermediate_may_read_the_cotangent_of_a_kinked_operator() -> None:
    text = (
        "fn leak(x) {{ y = select(x > 0, x, x / 100); let half = g / 2; "
        "vjp x = select(x > 0, {0}, half / 50); at x = 0: 1/100 }}"
    )
    assert gp.verify(text.format("2 * half")).ok
    assert not gp.verify(text.format("3 * half")).ok
