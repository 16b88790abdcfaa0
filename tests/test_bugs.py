"""Wrong gradients that projects shipped, each beside its correction: one file a bug, with the verdicts it must get.

A comment `# expect: wrong VJP refuted` says that some VJP of what is called `..._wrong` is refuted by a replayed
counterexample; `# expect: right proved` that everything about `..._right` is proved; `# expect: right KINK unknown:
reason` that KINK is open and nothing is refuted. `# expect: refused` is a text that is no program.
"""

from __future__ import annotations

import re
from pathlib import Path

import bugs_page
import pytest
from gradproof.compiler.claims import Verdict
from gradproof.compiler.elaborate import load_path
from gradproof.compiler.graph import Graph
from gradproof.compiler.ops import OpDef
from gradproof.grammar.source import Diagnostic
from gradproof.verifier.graphs import verdicts_of_graph
from gradproof.verifier.operators import verdicts_of_op
from gradproof.verifier.options import Options

CASES = sorted(
    path
    for folder in ("bugs", "bugs2", "bugs3", "bugs4")
    for path in (Path(__file__).parent / "cases" / folder).glob("*.gproof")
)
EXPECT = re.compile(r"^# expect: (.*)$", re.MULTILINE)
HARD = Options(timeout=10.0, search=2.0)


def expectations(path: Path) -> list[str]:
    """The `# expect:` comments of a case."""
    return EXPECT.findall(path.read_text(encoding="utf-8"))


def said(verdicts: list[Verdict]) -> str:
    """The verdicts, for a failure's message."""
    return ", ".join(f"{v.claim.code} {v.answer}{f' ({v.reason})' if v.reason else ''}" for v in verdicts)


@pytest.mark.parametrize("path", [p for p in CASES if expectations(p) != ["refused"]], ids=lambda p: p.stem)
def test_a_bug_and_its_correction(path: Path) -> None:
    module = load_path(path)
    subjects: dict[str, OpDef | Graph] = {**module.ops, **module.graphs}
    expected: dict[str, list[str]] = {}
    for line in expectations(path):
        which, _, verdict = line.partition(" ")
        expected.setdefault(which, []).append(verdict)
    assert set(expected) == {name.rpartition("_")[2] for name in subjects}
    for name, subject in subjects.items():
        wanted = expected[name.rpartition("_")[2]]
        found = verdicts_of_op(subject, HARD) if isinstance(subject, OpDef) else verdicts_of_graph(subject, HARD)
        check(found, wanted)


def check(verdicts: list[Verdict], wanted: list[str]) -> None:
    """Hold verdicts against the expected ones."""
    found = {(v.claim.code, v.answer) for v in verdicts}
    for line in wanted:
        if line == "proved":
            assert {answer for _, answer in found} == {"proved"}, said(verdicts)
            continue
        code, answer = line.partition(":")[0].split()
        assert (code, answer) in found, said(verdicts)
        if answer == "unknown":
            assert line.partition(":")[2], "an unknown needs its reason"
    if not any("refuted" in line for line in wanted):
        assert "refuted" not in {answer for _, answer in found}, said(verdicts)
    for verdict in verdicts:
        if verdict.answer == "refuted":
            shown = verdict.counterexample
            assert shown is not None
            assert shown.replayed
            assert shown.expected != shown.got


@pytest.mark.parametrize("path", [p for p in CASES if expectations(p) == ["refused"]], ids=lambda p: p.stem)
def test_a_text_that_is_refused(path: Path) -> None:
    with pytest.raises(Diagnostic):
        load_path(path)


@pytest.mark.parametrize("path", CASES, ids=lambda p: p.stem)
def test_every_case_names_its_source(path: Path) -> None:
    first = path.read_text(encoding="utf-8").splitlines()[0]
    assert re.match(rf"# {path.stem.split('_')[0]}: .*[#@/]", first), first


def test_there_are_enough() -> None:
    said = {path.stem.split("_")[0]: expectations(path) for path in CASES}
    told = [
        name for name, lines in said.items() if "right proved" in lines and any("refuted" in line for line in lines)
    ]
    assert len([name for name in told if not name.startswith("TL")]) >= 60, sorted(told)


@pytest.mark.parametrize("name", bugs_page.TEN)
def test_the_page_says_whether_sampling_finds_it(name: str) -> None:
    told = bugs_page.PAGE.read_text("utf-8").split(f"## {name}: ")[1].split("\n## ")[0]
    caught = bugs_page.sampling_catches(bugs_page.wrong(name))
    assert ("Sampling finds it." in told) == caught
    assert bugs_page.refutation(bugs_page.wrong(name))[1].replayed
