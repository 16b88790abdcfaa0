"""Every rule of the prelude with a mistake in it: refuted by a replayed counterexample, or shown to be equal.

`MUTANTS=1` (make mutants) takes every mutant, `MUTANTS=n` one in n. Equal means proved, and a claim that is proved of a
mutant is held against the denotation at many points all the same. What stays open is listed, with the reason, in
cases/mutants/open.txt: a new one fails.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from zlib import crc32

import pytest
from gradproof.compiler.claims import Counterexample, Verdict
from gradproof.compiler.denote import Irrational, Undecided, Undefined
from gradproof.compiler.library import prelude
from gradproof.compiler.ops import OpDef, Param
from gradproof.compiler.rules import rules_of
from gradproof.compiler.transpose import NotLinear
from gradproof.verifier.operators import Options, verdicts_of_op
from gradproof.verifier.refute import Search, Test
from gradproof.verifier.witness import Point, points_of, sizes_of
from mutate import Mutant, mutants

CASES = Path(__file__).parent / "cases" / "mutants"
SHARE = int(os.environ.get("MUTANTS", "120"))  # one mutant in so many
POINTS = 60
OPTIONS = Options(timeout=2.0, search=1.0)
PATIENT = Options(timeout=10.0, search=20.0)  # a search is limited by time: a busy machine gets another try
OPS = sorted(name for name, op in prelude().ops.items() if op.differentiable)
counts: Counter[str] = Counter()


def listed(name: str) -> dict[str, str]:
    """The mutants of a list: key -> reason."""
    lines = (CASES / name).read_text(encoding="utf-8").splitlines()
    entries = [line.partition("  # ") for line in lines if line and not line.startswith("#")]
    return {key.strip(): reason for key, _, reason in entries}


OPEN = listed("open.txt")


def chosen(op: OpDef) -> Iterator[Mutant]:
    """The mutants that this run takes."""
    return (m for m in mutants(op) if crc32(m.key.encode()) % SHARE == 0)


def own_claims(mutant: Mutant, verdicts: list[Verdict]) -> list[tuple[Verdict, Param | None]]:
    """The verdicts about the rule that was changed, each VJP with its input."""
    rule, _, name = mutant.rule.partition(" ")
    vjps = zip([v for v in verdicts if v.claim.code == "VJP"], mutant.op.differentiable, strict=True)
    mine = [(v, p) for v, p in vjps if rule != "vjp" or p.name == name]
    codes: tuple[str, ...] = {"vjp": (), "jvp": ("JVP",), "runs": ("RUNS",), "let": ("RUNS",)}[rule]
    if all(v.answer == "proved" for v in verdicts):
        codes = (*codes, "KINK")  # it builds upon what JVP says beside the ties
    others = [(v, None) for v in verdicts if v.claim.code in codes]
    return [*others, *mine] if rule in ("vjp", "let") else others


def claim_at(search: Search, verdict: Verdict, param: Param | None) -> Test:
    """The claim at one point, by the denotation and the kernels alone."""

    def at(point: Point, kind: str) -> Counterexample | None:
        match verdict.claim.code:
            case "RUNS":
                return search.runs_at(point, kind)
            case "VJP" if param is not None:
                return search.vjp_at(point, param, kind)
            case "KINK":
                return search.jvp_at(point, kind) or search.declared_at(point, kind)
            case _:
                return search.jvp_at(point, kind)

    return at


def hold(op: OpDef, verdict: Verdict, param: Param | None) -> tuple[int, Counterexample | None]:
    """How many points could tell that the claim holds there, and a point where it does not."""
    search, told = Search(op, rules_of(op), 0.0), 0
    test = claim_at(search, verdict, param)
    small = sorted(sizes_of(op), key=lambda s: sum(s.ints.values()))[:12]
    for tries in (10, 60):
        for sizes in small:
            for point in points_of(op, sizes, tries, 1000 + tries):
                try:
                    found = search.conclude(point, test)
                    if found is not None and "undefined" in found.got:
                        continue  # equations are claimed where both sides have a value; DOM and SHAPE want one
                except (Undefined, Undecided, Irrational, ZeroDivisionError):
                    continue
                told += 1
                if found is not None or told >= POINTS:
                    return told, found
    return told, None


def judge(mutant: Mutant, options: Options = OPTIONS) -> str:
    """refuted, equal or open; an error where a proof does not hold or a refutation was not replayed."""
    verdicts = verdicts_of_op(mutant.op, options)
    for verdict in verdicts:
        shown = verdict.counterexample
        assert shown is None or (shown.replayed and shown.expected != shown.got), mutant.key
    answers = {v.answer for v in verdicts}
    outcome = "refuted" if "refuted" in answers else "open" if "unknown" in answers else "equal"
    for verdict, param in own_claims(mutant, verdicts):
        if verdict.answer == "proved":
            told, found = hold(mutant.op, verdict, param)
            assert found is None, f"FALSE PROOF of {verdict.claim.code}: {mutant.key}: {found}"
            few = f"only {told} points could tell: {verdict.claim.code} {mutant.key}"
            assert told >= POINTS // 4 or outcome != "equal", few
    return outcome


@pytest.mark.parametrize("name", OPS)
def test_mutants_are_refuted_or_equal(name: str) -> None:
    surprises: list[str] = []
    for mutant in chosen(prelude().ops[name]):
        outcome = judge(mutant)
        if outcome == "open" and mutant.key not in OPEN:
            outcome = judge(mutant, PATIENT)
            surprises += [mutant.key] if outcome == "open" else []
        counts[outcome] += 1
    assert not surprises, "\n".join(surprises)


def test_the_lists_name_mutants_that_exist() -> None:
    every = {mutant.key for op in prelude().ops.values() for mutant in mutants(op)}
    assert not OPEN.keys() - every
    assert all(OPEN.values()), "an open mutant needs its reason"
    assert len(OPEN) <= 40


def test_every_written_and_derived_rule_has_mutants() -> None:
    for op in prelude().ops.values():
        try:
            rules = rules_of(op)
        except NotLinear:
            pytest.fail(f"{op.name} has no rules")
        wanted = {f"vjp {name}" for name, _ in rules.vjps} | ({"jvp"} if rules.jvp else set())
        assert wanted | ({"runs"} if op.runs else set()) <= {m.rule for m in mutants(op)}


def test_counts(capsys: pytest.CaptureFixture[str]) -> None:
    with capsys.disabled():
        print(f"\nmutants: {counts.total()} tried, " + ", ".join(f"{n} {what}" for what, n in counts.items()))
    assert counts["refuted"] > 10 * counts["open"]
