"""Attacks on the verifier: texts that it must not prove, beside right ones that it must."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from gradproof.compiler.claims import Verdict
from gradproof.compiler.elaborate import load_path
from gradproof.compiler.graph import Graph
from gradproof.compiler.loops import bodies, loops_of
from gradproof.compiler.ops import OpDef
from gradproof.verifier.graphs import verdicts_of_graph
from gradproof.verifier.loops import verdicts_of_loop
from gradproof.verifier.operators import verdicts_of_op
from gradproof.verifier.options import Options

CASES = Path(__file__).parent / "cases" / "soundness"
PATIENT = Options(timeout=20.0, search=20.0)
COMMENTED = re.compile(r"((?:^#.*\n)+)(?:op|fn|graph) (\w+)", re.MULTILINE)
Subject = OpDef | Graph


def expectations(comment: str) -> list[tuple[str, str]]:
    """(code, answer) of each `# expect: VJP refuted, KINK not proved` above a stanza; the code may be `all`.

    `DOM refuted by trial`: at a point where the calculus's derivative has no value, of which no proof speaks.
    """
    parts = [part.strip() for line in re.findall(r"expect: *(.*)", comment) for part in line.split(",")]
    return [(part.split(" ", 1)[0], part.split(" ", 1)[1]) for part in parts]


def subjects() -> dict[str, tuple[Subject, list[tuple[str, str]]]]:
    """Every operator and graph of the cases that expects something, by file and name."""
    found: dict[str, tuple[Subject, list[tuple[str, str]]]] = {}
    for path in sorted(CASES.glob("*.gproof")):
        module = load_path(path)
        for comment, name in COMMENTED.findall(path.read_text(encoding="utf-8")):
            wanted = expectations(comment)
            if wanted:
                found[f"{path.stem}/{name}"] = (module.ops.get(name) or module.graphs[name], wanted)
    return found


@pytest.mark.parametrize(("subject", "wanted"), [pytest.param(*case, id=name) for name, case in subjects().items()])
def test_no_false_proof(subject: Subject, wanted: list[tuple[str, str]]) -> None:
    options = Options(timeout=2.0, search=2.0 if any(answer.startswith("refuted") for _, answer in wanted) else 0.0)
    verdicts = settle(subject, options)
    if not all(answers([v for v in verdicts if code in ("all", v.claim.code)], answer) for code, answer in wanted):
        verdicts = settle(subject, PATIENT)  # a search is limited by time: a busy machine gets another try
    for code, answer in wanted:
        mine = [v for v in verdicts if code in ("all", v.claim.code)]
        assert mine, f"there is no claim {code}"
        assert answers(mine, answer), "\n".join(f"{v.claim.code} {v.answer} {v.reason}" for v in mine)


def settle(subject: Subject, options: Options) -> list[Verdict]:
    """The verdicts on an operator, or on a graph, its loops and their bodies."""
    if isinstance(subject, OpDef):
        return verdicts_of_op(subject, options)
    found = [v for graph in (subject, *bodies(subject)) for v in verdicts_of_graph(graph, options)]
    return found + [v for loop in loops_of(subject) for v in verdicts_of_loop(loop, options)]


def answers(verdicts: list[Verdict], answer: str) -> bool:
    """Whether the verdicts are as expected: all proved, or some that is not."""
    match answer:
        case "proved":
            return all(v.answer == "proved" for v in verdicts)
        case "refuted" | "refuted by trial":
            return any(v.answer == "refuted" for v in verdicts)
        case "not proved":
            return any(v.answer != "proved" for v in verdicts)
        case "unknown":
            return any(v.answer == "unknown" for v in verdicts)
    raise ValueError(f"no such answer: {answer}")
