"""No evidence for what is false: every attack on the verifier, put to the producer of evidence and to the checker.

The producer is asked for evidence of every claim of a false stanza, as a forger would; the checker must not count one
of the false claims as replayed. A derivative that is shown away from ties only leans on KINK, which is not shown then.
"""

from __future__ import annotations

from collections import defaultdict

import pytest
from forging import claimed, opened, reason, replayed
from gradproof.compiler.elaborate import load_path
from test_soundness import CASES, COMMENTED, expectations


@pytest.mark.parametrize("name", sorted(path.stem for path in CASES.glob("*.gproof")))
def test_nothing_false_is_replayed(name: str) -> None:
    path = CASES / f"{name}.gproof"
    module = load_path(path)
    content = claimed(module.ops.values(), module.graphs.values())
    assert reason(content) == ""
    shown = replayed(content)
    claims: dict[tuple[str, str], list[bool]] = defaultdict(list)
    for claim in opened(content)["claims"]:
        key = (claim["code"], claim["subject"], claim["text"])
        away = any(part[0] for part in claim["evidence"].get("parts", []))
        claims[claim["subject"], claim["code"]].append(key in shown and not away)
    for comment, subject in COMMENTED.findall(path.read_text(encoding="utf-8")):
        for code, answer in expectations(comment):
            if answer in ("refuted", "not proved") and code != "all":
                assert not claims[subject, code] or not all(claims[subject, code]), (subject, code)
