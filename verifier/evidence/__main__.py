"""`python -m gradproof.verifier.evidence`: how many of the prelude's claims have evidence that is replayed, by code.

Words are names of operators, to ask about these only; `--sides` leaves JVP, VJP and RUNS out, `--left` lists the claims
that have none.
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter

from gradproof.compiler.library import prelude
from gradproof.compiler.obligations import claims_of_op
from gradproof.compiler.portable import Table
from gradproof.verifier.checker import rules
from gradproof.verifier.checker.kinks import PROOFS
from gradproof.verifier.checker.operators import Op
from gradproof.verifier.evidence.finding import sharing_of
from gradproof.verifier.evidence.identities import identity
from gradproof.verifier.evidence.methods import Subject
from gradproof.verifier.evidence.sides import side_evidence


def main(words: list[str]) -> None:
    """Find evidence, replay it, and count."""
    names = [w for w in words if not w.startswith("--") and w != "prelude"]
    table, counts = Table(), Counter[str]()
    ops = {name: table.op(op) for name, op in prelude().ops.items() if not names or name in names}
    sharing, slow, left, size = sharing_of(table), list[tuple[float, str]](), list[str](), 0
    start = time.perf_counter()
    for name, data in ops.items():
        op = Op(data, sharing.nodes)
        wanted = [("JVP", ""), *(("VJP", p.name) for p in op.moving)] if op.moving else []
        spent = 0.0
        subject = Subject(prelude().ops[name], data)
        for position, claim in enumerate(claims_of_op(prelude().ops[name])):
            if claim.code in PROOFS:
                counts[claim.code] += 1
                found = side_evidence(subject, position, claim, table)
                counts[f"{claim.code} replayed"] += found is not None
                left += [] if found is not None else [f"{claim.code} of {name}"]
        for code, which in [] if "--sides" in words else [*wanted, *([("RUNS", "")] if op.runs else [])]:
            counts[code] += 1
            parts = identity(op, code, which, sharing)
            if parts is None:
                left.append(f"{code} {which} of {name}")
                continue
            size += len(json.dumps(parts, separators=(",", ":")))
            begin = time.process_time()
            rules.identity(op, code, which, json.loads(json.dumps(parts)), sharing.nodes)
            spent += time.process_time() - begin
            counts[f"{code} replayed"] += 1
        slow.append((spent, name))
    slow.sort()
    for code in sorted(code for code in counts if " " not in code):
        print(f"{code}: {counts[f'{code} replayed']} of {counts[code]} are replayed")
    print(f"found in {time.perf_counter() - start:.0f} s, {size} bytes; ", end="")
    median = slow[len(slow) // 2][0] if slow else 0
    print(f"identities replayed in {sum(s for s, _ in slow):.1f} s, median {1000 * median:.1f} ms an operator")
    print("slowest:", ", ".join(f"{name} {1000 * s:.0f} ms" for s, name in slow[-4:]))
    if "--left" in words:
        print("\n".join(left))


main(sys.argv[1:])
