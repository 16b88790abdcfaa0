"""Points that are moved to a tie, and what is decided there where the values that are tied are irrational."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from fractions import Fraction
from functools import partial
from itertools import islice
from pathlib import Path

import jsonschema
import pytest
from gradproof.compiler.claims import Counterexample
from gradproof.compiler.denote import Undecided
from gradproof.compiler.elaborate import load_path, load_text
from gradproof.compiler.library import prelude
from gradproof.compiler.ops import TANGENT, OpDef, Param
from gradproof.compiler.rules import derived_jvp, rules_of
from gradproof.compiler.surds import root
from gradproof.gate.wire import answer_data, read_answer
from gradproof.report import FileReport, Report, Subject
from gradproof.report import json as as_json
from gradproof.report import text as as_text
from gradproof.verifier.meeting import met, sites_of
from gradproof.verifier.operators import verdicts_of_op
from gradproof.verifier.options import Options
from gradproof.verifier.refute import Search
from gradproof.verifier.shrink import simpler
from gradproof.verifier.witness import Point, in_domain, points_of, sizes_of
from mutate import mutants

ROOTS = Path(__file__).parent / "cases" / "soundness" / "roots.gproof"
# Mistakes that only show where the two distances and the margin are tied.
AT_THE_TIE = (
    "jvp | double a summand (2)",
    "jvp | entry 0 always (14)",
    "jvp | strictness of the comparison",
    "jvp | drop a factor (11)",
    "jvp | q in place of dq (2)",
)
MARGIN = """
op margin[m: real = 1](a: [n], b: [n]) -> [] {
  y[] = max(0, sqrt(sum(i) a[i]^2 + 1) - sqrt(sum(i) b[i]^2 + 2) + m)
}
"""


def tied(op: OpDef, most: int) -> Iterator[Point]:
    """Some points of an operator, each moved to a tie."""
    rng = random.Random(0)
    candidates = (p for sizes in sizes_of(op, 8) for p in points_of(op, sizes, 6, 3))
    return islice(filter(None, (met(p, rng) for p in candidates)), most)


@pytest.mark.parametrize(
    "name", ["triplet_margin_loss", "hinge_loss", "softshrink", "norm_inf[axis]", "margin_ranking_loss"]
)
def test_a_moved_point_is_at_a_tie_inside_of_the_domain(name: str) -> None:
    op = prelude().ops[name]
    found = list(tied(op, 12))
    assert len(found) == 12
    for point in found:
        assert in_domain(point)
        assert any(_tied_at(op, point, index) for index in Search(op, rules_of(op)).indices(point)), point.tensors


def _tied_at(op: OpDef, point: Point, index: tuple[int, ...]) -> bool:
    """Whether the derivative is not the same on all sides there."""
    search = Search(op, rules_of(op))
    ones = {TANGENT + p.name: dict.fromkeys(point.tensors[p.name], Fraction(1)) for p in op.differentiable}
    return len(search.outcomes(point, derived_jvp(op), index, "surd", ones)) > 1


def test_an_operator_without_comparisons_has_nothing_to_meet() -> None:
    op = prelude().ops["sigmoid"]
    assert sites_of(op) == () and list(tied(op, 1)) == []


def test_a_tie_of_irrational_values_is_decided_and_right_rules_hold_there() -> None:
    op = prelude().ops["triplet_margin_loss"]
    points = [p for p in tied(op, 12) if p.irrational]
    assert len(points) >= 6
    several = 0
    search = Search(op, rules_of(op))
    for point in points:
        assert search.conclude(point, search.jvp_at) is None
        assert search.conclude(point, search.runs_at) is None
        for param in op.differentiable:
            try:
                assert search.conclude(point, partial(_vjp_at, search, param)) is None
            except Undecided:
                several += 1  # a tie under several cotangents
    assert several < len(points)


def _vjp_at(search: Search, param: Param, point: Point, kind: str) -> Counterexample | None:
    return search.vjp_at(point, param, kind)


def test_intervals_leave_to_exact_sums_what_they_cannot_tell() -> None:
    op = load_text(MARGIN).ops["margin"]
    sizes = next(s for s in sizes_of(op) if s.ints["n"] == 2)
    (point, *_) = points_of(op, sizes, 1, 0)
    for name, values in {"m": (0,), "a": (2, 1), "b": (0, 2)}.items():  # sqrt(6) on both sides
        point.tensors[name] = dict(zip(point.tensors[name], map(Fraction, values), strict=True))
    search = Search(op, rules_of(op))
    kinds: list[str] = []

    def test(at: Point, kind: str) -> Counterexample | None:
        kinds.append(kind)
        return search.jvp_at(at, kind)

    assert search.conclude(point, test) is None
    assert kinds == ["rational", "interval", "surd"]
    assert len(search.outcomes(point, derived_jvp(op), (), "surd", search.along(point, op.params[0], None))) > 1


@pytest.mark.parametrize("what", AT_THE_TIE)
def test_a_mistake_at_the_tie_is_refuted(what: str) -> None:
    op = prelude().ops["triplet_margin_loss"]
    (mutant,) = [m for m in mutants(op) if m.key == f"{op.name} | {what}"]
    found = Search(mutant.op, rules_of(mutant.op), 20.0).jvp()
    assert found is not None and found.replayed and found.expected != found.got


def test_a_report_shows_roots() -> None:
    op = load_path(ROOTS).ops["apart_double_at_the_tie"]
    verdicts = tuple(verdicts_of_op(op, Options(timeout=2.0, search=20.0)))
    report = Report((FileReport("roots.gproof", (Subject("op", op.name, True, verdicts),), seconds=0.5),))
    data = json.loads(as_json.render(report))
    jsonschema.validate(data, as_json.schema())
    (jvp,) = [o for o in data["files"][0]["subjects"][0]["obligations"] if o["code"] == "JVP"]
    assert jvp["counterexample"]["replayed"] and "sqrt(" in jvp["counterexample"]["got"]
    assert jvp["counterexample"]["got"] in as_text.render(report)
    (kept,) = [v for v in verdicts if v.claim.code == "JVP"]
    again = read_answer(answer_data(kept), kept.claim)
    assert again.counterexample == kept.counterexample


def test_simpler_numbers_than_a_root() -> None:
    assert [str(v) for v in simpler(root(Fraction(5)) - 1)][:4] == ["0", "1", "-1", "2"]
