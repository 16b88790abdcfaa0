"""A certificate of a wrong rule: whatever evidence is found for it, the checker does not count it as replayed.

The rules are the prelude's with one mistake (mutate.py); a mistake that a replayed counterexample refutes makes the
claim about that rule false, so no evidence may show it. `MUTANTS=n` takes one mutant in n.
"""

from __future__ import annotations

import os
from zlib import crc32

import pytest
from forging import claimed, replayed
from gradproof.compiler.library import prelude
from gradproof.compiler.obligations import claims_of_op
from gradproof.compiler.rules import rules_of, tied
from gradproof.compiler.transpose import NotLinear
from judging import cheap, own_claims
from mutate import mutants

SHARE = 5 * int(os.environ.get("MUTANTS", "120"))
OPS = sorted(name for name, op in prelude().ops.items() if op.differentiable)


@pytest.mark.parametrize("letter", sorted({name[0] for name in OPS}))
def test_no_evidence_for_a_wrong_rule(letter: str) -> None:
    for name in (name for name in OPS if name[0] == letter):
        original = prelude().ops[name]
        for mutant in mutants(original):
            if crc32(mutant.key.encode()) % SHARE:
                continue
            try:
                rules_of(mutant.op)
            except NotLinear:
                continue
            claims, shown = claims_of_op(mutant.op), None
            for position, param in own_claims(mutant):
                claim = claims[position]
                if claim.code != "RUNS" and tied(mutant.op):
                    continue  # away from its ties it may be right
                if cheap(original, mutant, claim.code, param) is not None:
                    shown = replayed(claimed((mutant.op,))) if shown is None else shown
                    assert (claim.code, claim.subject, claim.text) not in shown, mutant.key
