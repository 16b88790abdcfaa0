"""No evidence for what is false: every attack on the verifier, put to the producer of evidence and to the checker.

The producer is asked for evidence of every claim of a false stanza, as a forger would; the checker must not count one
of the false claims as replayed. A derivative that is shown away from ties only leans on KINK, which is not shown then.
"""

from __future__ import annotations

from collections import defaultdict
from contextlib import suppress

import pytest
from forging import claimed, replayed
from gradproof.compiler.elaborate import Module, load_path, load_text
from gradproof.compiler.graph import Graph
from gradproof.compiler.ops import OpDef
from gradproof.compiler.portable import Table
from gradproof.compiler.rules import rules_of
from gradproof.compiler.transpose import NotLinear
from gradproof.verifier.checker.main import WORDS, check
from gradproof.verifier.evidence.certificate import body, claims_of
from test_soundness import CASES, COMMENTED, expectations


def carried(module: Module) -> tuple[list[OpDef], tuple[Graph, ...]]:
    """What there can be a certificate of: an operator whose rules are not linear, and a graph with one, have none."""
    ops = []
    for op in module.ops.values():
        with suppress(NotLinear):
            rules_of(op)
            ops.append(op)
    left = module.ops.keys() - {op.name for op in ops}
    return ops, tuple(graph for graph in module.graphs.values() if not left & graph.ops.keys())


@pytest.mark.parametrize("name", sorted(path.stem for path in CASES.glob("*.gproof")))
def test_nothing_false_is_replayed(name: str) -> None:
    path = CASES / f"{name}.gproof"
    module = load_path(path)
    ops, graphs = carried(module)
    content = claimed(ops, graphs)
    accepted = iter(check(content, allow_trusted=True).claims)
    _, subjects = body(Table(), ops, graphs)
    claims: dict[tuple[str, str], list[bool]] = defaultdict(list)
    outer = ""
    for subject in subjects:
        # A loop and its body count as the graph that they stand in: bodies may be called as graphs are.
        if isinstance(subject.what, OpDef) or any(subject.what is graph for graph in module.graphs.values()):
            outer = subject.what.name
        for claim, how in (next(accepted) for _ in claims_of(subject.what)):
            away = any(part[0] for part in claim["evidence"].get("parts", []))
            claims[outer, claim["code"]].append(how not in WORDS and not away)
    for comment, subject in COMMENTED.findall(path.read_text(encoding="utf-8")):
        for code, answer in expectations(comment):
            if answer in ("refuted", "not proved") and code != "all":
                assert not claims[subject, code] or not all(claims[subject, code]), (subject, code)


DOMAIN = """
op f[eps: real](x: [n]) -> [n] {
  require n >= 0
  where eps > 0, sum(j) x[j]^2 > 0
  y[i] = x[i] / sum(j) x[j]^2
}
"""


@pytest.mark.parametrize(
    ("right", "wrong"),
    [("", ""), ("x[j]^2 > 0", "x[j]^2 < 0"), ("n >= 0", "n == 0"), ("x[j]^2 > 0", "x[j] * 0 > 0")],
)
def test_a_domain_with_nothing_in_it_is_seen(right: str, wrong: str) -> None:
    """Evidence for SHAPE names a point of the domain, at which sums are worked out."""
    text = DOMAIN.replace(right, wrong)
    assert text != DOMAIN or not wrong
    shown = {code for code, _, _ in replayed(claimed(load_text(text).ops.values()))}
    assert ("SHAPE" in shown) == (not wrong)
