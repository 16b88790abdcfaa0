"""Rules with a mistake in them: the producer may search as it likes, the checker accepts none that is refuted.

`MUTANTS=n` takes one mutant in n. What is accepted is judged by the verifier's search for counterexamples.
"""

from __future__ import annotations

import json
import os
from zlib import crc32

import pytest
from gradproof.compiler.library import prelude
from gradproof.compiler.portable import Table
from gradproof.compiler.transpose import NotLinear
from gradproof.verifier.checker.operators import Op
from gradproof.verifier.checker.terms import Refused
from gradproof.verifier.evidence.finding import Sharing
from gradproof.verifier.evidence.identities import identity
from judging import judge
from mutate import Mutant, mutants

SHARE = int(os.environ.get("MUTANTS", "0")) or 700
OPS = sorted(name for name, op in prelude().ops.items() if op.differentiable)


def accepted(mutant: Mutant) -> bool:
    """Whether there is evidence for the claim of the rule that was changed, at ties too: KINK is another claim."""
    table = Table()
    try:
        data = json.loads(json.dumps(table.op(mutant.op)))
        sharing = Sharing(table)
        op = Op(data, sharing.nodes)
    except (Refused, NotLinear):
        return False
    kind, _, name = mutant.rule.partition(" ")
    code, which = {"vjp": ("VJP", name), "jvp": ("JVP", ""), "runs": ("RUNS", "")}[kind]
    parts = identity(op, code, which, sharing, seconds=0.5)
    return parts is not None and not any(part[0] for part in parts)


@pytest.mark.parametrize("name", OPS)
def test_no_refuted_mutant_is_accepted(name: str) -> None:
    op = prelude().ops[name]
    for mutant in mutants(op):
        if mutant.rule.startswith("let "):
            continue  # what it reads out of bounds cancels in RUNS, and is SHAPE's
        if crc32(f"checker {mutant.key}".encode()) % SHARE == 0 and accepted(mutant):
            assert judge(op, mutant) != "refuted", mutant.key
