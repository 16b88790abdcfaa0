"""Second opinions: questions written out, put to another solver, and what becomes of a claim that two disagree on."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import gradproof as gp
import pytest
import z3
from gradproof.cli import main
from gradproof.compiler.dims import FloorDiv, Poly
from gradproof.compiler.elaborate import load_text
from gradproof.compiler.terms import Cond, Read, RealCmp, call, in_range, int_ge, int_lt, mul, num, power, select, total
from gradproof.verifier import second, smt
from gradproof.verifier.asked import Asked, watching
from gradproof.verifier.discharge import verify
from gradproof.verifier.options import Options
from gradproof.verifier.second import Opinion, opinions
from gradproof.verifier.smtlib import script

ROOT = Path(__file__).parent.parent
# Questions of every kind: index sets, bounds with `//`, cases on reals, a floor.
PROGRAM = """
op clip_(x: [n], i: int [k]) -> [k] {
  require 0 <= i[p] < n
  require k >= 1
  y[p] = max(0, select(x[i[p]] > 3, 3, x[i[p]]))
}
op blocks(x: [n]) -> [n//2] {
  y[i] = x[2*i] * x[2*i + 1]
}
fn frac_(x) {
  y = x - floor(x)
  jump at x == floor(x): 1
}
"""


def questions(text: str) -> list[Asked]:
    """Everything that is asked while a text is verified."""
    found: list[Asked] = []

    def keep(asked: Asked) -> str:
        found.append(asked)
        return ""

    module = load_text(text, "program.gproof")
    with watching(keep):
        verify(tuple(module.ops.values()), tuple(module.graphs.values()))
    return found


@pytest.fixture(scope="module")
def asked() -> list[Asked]:
    return questions(PROGRAM)


def test_a_question_is_written_as_it_is_asked(asked: list[Asked]) -> None:
    """The text alone, read again by the first solver, has the status that it had when it was asked."""
    statuses = set()
    for one in asked:
        written = script(one)
        solver = z3.Solver()
        solver.set("timeout", 10_000)
        solver.add(z3.parse_smt2_string(written.text))
        assert str(solver.check()) == one.status == written.status, written.text
        assert f"(set-info :status {one.status})" in written.text
        statuses.add(one.status)
    assert statuses == {"sat", "unsat"}


def test_a_question_says_what_it_is_for(asked: list[Asked]) -> None:
    headers = [[line for line in script(one).text.splitlines() if line.startswith("; ")][:3] for one in asked]
    said = {(head.split()[1], head.split()[-1], place.split(":")[1]) for head, _, place in headers}
    assert {("SHAPE", "clip_", "2"), ("KINK", "clip_", "2"), ("KINK", "frac_", "10")} <= said
    assert all(one.claim is not None for one in asked)


def test_names_of_files_are_the_same_in_every_run(tmp_path: Path) -> None:
    source = tmp_path / "program.gproof"
    source.write_text(PROGRAM)
    texts = []
    for seed in ("1", "2"):
        folder = tmp_path / seed
        command = [sys.executable, "-m", "gradproof.cli", "export-smt", str(source), str(folder)]
        subprocess.run(command, check=True, capture_output=True, env={**os.environ, "PYTHONHASHSEED": seed})
        texts.append({path.name: path.read_text() for path in folder.iterdir()})
    assert texts[0] == texts[1] and len(texts[0]) > 5
    assert all(re.fullmatch(r"[A-Za-z0-9_.]+-[A-Za-z0-9_.]+-[A-Z]+-[0-9a-f]{10}\.smt2", name) for name in texts[0])


x, y, n, i = Read("x", ()), Read("y", ()), Poly.sym("n"), Poly.sym("i")
HARD: list[tuple[Cond, list[Cond]]] = [
    (RealCmp("==", mul(x, power(x, -1)), num(1)), []),  # 1/0 is 0
    (RealCmp("==", mul(x, power(x, -1)), num(1)), [RealCmp("<", num(0), x)]),
    (RealCmp("==", mul(call("sqrt", x), call("sqrt", x)), x), []),  # of x < 0 it is 0
    (RealCmp("<", call("floor", x), x), []),
    (RealCmp("<=", call("floor", x), x), []),
    (RealCmp("<=", num(-1), mul(num(1), call("floor", x), num(1))), [RealCmp("<=", num("-1/3"), x)]),
    (RealCmp("==", call("exp", x), call("exp", y)), [RealCmp("==", x, y)]),
    (RealCmp("<", num(0), call("exp", x)), []),  # nothing is known of an abstracted function
    (RealCmp("==", total("j", n, Read("v", (Poly.sym("j"),))), x), []),
    (RealCmp("<=", num(0), select(RealCmp("<", x, num(0)), mul(num(-1), x), x)), []),
    (int_lt(Poly.atom(FloorDiv(i, n)), n), [in_range(i, n * n), int_ge(n, 1)]),
    (int_lt(Poly.atom(FloorDiv(i, n)), n - 1), [in_range(i, n * n), int_ge(n, 1)]),
    (int_ge(Poly.sym("and"), Poly.sym("let")), [int_lt(Poly.sym("let"), Poly.sym("and"))]),  # words of SMT-LIB
    (RealCmp("==", Read("x|y", (i,)), Read("x|y", (n,))), [in_range(i, Poly.of(1)), in_range(n, Poly.of(1))]),
    (RealCmp("<", Read("i", ()), num(0)), [int_lt(i, 0)]),  # a size and an input of one name
]


@pytest.mark.parametrize("goal, hypotheses", HARD, ids=range(len(HARD)))
def test_both_solvers_agree_on_hard_translations(goal: Cond, hypotheses: list[Cond]) -> None:
    answers: list[tuple[str, str]] = []

    def compare(asked: Asked) -> str:
        answers.append((asked.status, second.ask(script(asked).text, 10.0).status))
        return ""

    with watching(compare):
        smt.prove_real(goal, hypotheses)
    ((first, other),) = answers
    assert first == other != "unknown"


def test_a_second_solver_is_named_where_it_agrees() -> None:
    report = gp.verify(PROGRAM, solvers=("z3", "cvc5"))
    assert report.ok
    assert any("z3 + cvc5" in v.by for v in report.verdicts)


@pytest.fixture
def disagreeing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """A second solver that says the contrary of the first."""
    monkeypatch.setattr(second, "FOLDER", tmp_path / "kept")
    real = second.ask

    def contrary(text: str, timeout: float) -> Opinion:
        return Opinion("sat" if real(text, timeout).status == "unsat" else "unsat")

    monkeypatch.setattr(second, "ask", contrary)
    yield tmp_path / "kept"


def test_a_disagreement_is_never_a_proof(disagreeing: Path) -> None:
    module = load_text(PROGRAM, "program.gproof")
    ops = tuple(module.ops.values())
    alone = verify(ops, ())
    assert all(v.answer == "proved" for v in alone)
    verdicts = verify(ops, (), Options(solvers=("z3", "cvc5")))
    doubted = [v for v in verdicts if v.answer != "proved"]
    asked_for = {(one.claim.subject, one.claim.text, one.claim.code) for one in questions(PROGRAM) if one.claim}
    assert {(v.claim.subject, v.claim.text, v.claim.code) for v in doubted} >= asked_for
    for verdict in doubted:
        assert verdict.answer == "unknown"
        assert re.search("z3 says (un)?sat and cvc5 says (un)?sat: the question is in ", verdict.reason)
        path = Path(verdict.reason.split("the question is in ")[1].split(" (and")[0].split(";")[0])
        assert path.parent == disagreeing and "(check-sat)" in path.read_text()
    # Neither the answers of before nor those of now are used again.
    assert [v.answer for v in verify(ops, ())] == ["proved"] * len(alone)


def test_a_disagreement_on_a_refutation_is_shown_too(disagreeing: Path) -> None:
    wrong = "op shifted(x: [n]) -> [n] { y[i] = x[i + 1] }"
    (alone,) = [v for v in gp.verify(wrong).verdicts if v.claim.code == "SHAPE"]
    assert alone.answer == "refuted"
    (shape,) = [v for v in gp.verify(wrong, solvers=("z3", "cvc5")).verdicts if v.claim.code == "SHAPE"]
    assert shape.answer == "unknown" and "z3 says sat and cvc5 says unsat" in shape.reason


def test_a_question_outside_of_every_claim_casts_doubt_on_all(tmp_path: Path) -> None:
    ops = tuple(load_text(PROGRAM, "program.gproof").ops.values())
    with opinions(5.0, tmp_path, lambda text, timeout: Opinion("sat")) as found:
        verdicts = verify(ops[:0], ())
        smt.prove_int(int_lt(i, n), [int_lt(i, n)])
        verdicts = found.judged([*verdicts, *verify(ops[1:2], ())])
    assert verdicts and all(v.answer == "unknown" for v in verdicts)


def test_no_answer_overrules_nothing_and_is_said(tmp_path: Path) -> None:
    ops = tuple(load_text(PROGRAM, "program.gproof").ops.values())
    with opinions(5.0, tmp_path, lambda text, timeout: Opinion("unknown", "time limit")) as found:
        verdicts = found.judged(verify(ops, ()))
    assert all(v.answer == "proved" for v in verdicts)
    assert any("trusted: z3 alone; time limit" in trust for v in verdicts for trust in v.trusts)
    assert found.all.silent.total() == found.all.asked > 0 and not list(tmp_path.iterdir())


def test_a_read_only_folder_loses_no_disagreement(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    with opinions(5.0, blocked / "folder", lambda text, timeout: Opinion("sat")) as found:
        outcome = smt.prove_int(int_lt(i, n), [int_lt(i, n)])
    assert outcome.answer == "unknown"
    (problem,) = found.all.different
    assert "(check-sat)" in Path(problem.split("the question is in ")[1]).read_text()


@pytest.mark.parametrize(
    "text, wanted",
    [
        ("(set-logic QF_LIA)(declare-fun a () Int)(assert (< a a))(check-sat)", Opinion("unsat")),
        ("(set-logic QF_LIA)(declare-fun a () Int)(assert (<= a a))(check-sat)", Opinion("sat")),
    ],
)
def test_answers(text: str, wanted: Opinion) -> None:
    assert second.ask(text, 5.0) == wanted


@pytest.mark.parametrize("text", ["(assert", "(check-sat", "", "(set-logic QF_LIA)(assert (f))(check-sat)"])
def test_what_is_no_script_has_no_answer(text: str) -> None:
    opinion = second.ask(text, 5.0)
    assert opinion.status == "unknown" and opinion.reason


def test_a_time_limit_is_no_answer() -> None:
    factors = "(assert (= (* a b c d) 1000000016000000063000000000007))(assert (> (* a b) 1000003 c 1))"
    text = "(set-logic QF_NIA)" + "".join(f"(declare-fun {v} () Int)(assert (> {v} 2))" for v in "abcd") + factors
    assert second.ask(f"{text}(check-sat)", 0.2) == Opinion("unknown", "time limit")


@pytest.mark.parametrize("solver", ["cvc5", "z4", "z3,z3", "cvc5,z3", ""])
def test_other_solvers_are_a_usage_error(solver: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", "--solver", solver, str(ROOT / "examples")]) == 2
    assert "z3,cvc5" in capsys.readouterr().err


def test_a_missing_solver_is_a_usage_error(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "cvc5", None)
    assert main(["verify", "--solver", "z3,cvc5", str(ROOT / "examples" / "attention.gproof")]) == 2
    assert "pip install 'gradproof[cvc5]'" in capsys.readouterr().err
    with pytest.raises(ImportError, match="gradproof\\[cvc5\\]"):
        gp.verify("fn f(x) = x", solvers=("z3", "cvc5"))


@pytest.mark.parametrize("args", [["nowhere"], ["missing.gproof", "out"], ["--prelude"]])
def test_nothing_to_export_is_a_usage_error(
    args: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["export-smt", *args]) == 2
    assert capsys.readouterr().err and not list(tmp_path.iterdir())
