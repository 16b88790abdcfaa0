"""No evidence for what is false: every attack on the verifier, put to the producer of evidence and to the checker.

The producer is asked for evidence of every claim of a false stanza, as a forger would; the checker must not count one
of the false claims as replayed. A derivative that is shown away from ties only leans on KINK, which is not shown then.
"""

from __future__ import annotations

from collections import defaultdict

import pytest
from forging import claimed
from gradproof.compiler.elaborate import load_path
from gradproof.compiler.ops import OpDef
from gradproof.compiler.portable import Table
from gradproof.verifier.checker.main import WORDS, check
from gradproof.verifier.evidence.certificate import body, claims_of
from test_soundness import CASES, COMMENTED, expectations


@pytest.mark.parametrize("name", sorted(path.stem for path in CASES.glob("*.gproof")))
def test_nothing_false_is_replayed(name: str) -> None:
    path = CASES / f"{name}.gproof"
    module = load_path(path)
    content = claimed(module.ops.values(), module.graphs.values())
    accepted = iter(check(content, allow_trusted=True).claims)
    _, subjects = body(Table(), module.ops.values(), tuple(module.graphs.values()))
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
