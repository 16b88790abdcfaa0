"""For how many wrong rules a proved repair is found: those of tests/cases/bugs, and mutants of the prelude.

    python benchmarks/bench_repairs.py [MUTANTS]

A repair counts as an edit where it is a line to write, as left out where the wrong line is to be removed. Each is
checked as text: it is written into the file, which is read and verified again, and must prove what it says.
"""

from __future__ import annotations

import random
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from gradproof.compiler.library import prelude
from gradproof.compiler.ops import OpDef
from gradproof.verifier.operators import verdicts_of_op
from gradproof.verifier.options import Options
from gradproof.verifier.repair import repairs
from mutate import mutants
from test_repair import CASES, load_text, mended, wrong

OPTIONS = Options(timeout=10.0, search=2.0, repair=3.0)


def bugs() -> Iterator[tuple[str, OpDef]]:
    """The wrong operator of every case."""
    for path in CASES:
        op = wrong(path)
        if op is not None:
            yield path.stem, op


def broken(count: int) -> Iterator[tuple[str, OpDef]]:
    """A sample of the prelude's mutants, the same every time."""
    every = [m for op in prelude().ops.values() if not op.lawful for m in mutants(op) if not m.rule.startswith("let")]
    for mutant in random.Random(0).sample(every, count):
        yield mutant.key, mutant.op


def outcome(op: OpDef, as_text: bool) -> tuple[str, float]:
    """What is found for one wrong operator, and how long it took."""
    verdicts = verdicts_of_op(op, OPTIONS)
    if all(v.answer != "refuted" for v in verdicts):
        return "not refuted", 0.0
    started = time.perf_counter()
    found = list(repairs(op, verdicts, OPTIONS))
    seconds = time.perf_counter() - started
    for repair in found:
        again = load_text(mended(op, [repair])).ops[op.name] if as_text else repair.op
        proved = {(v.claim.code, v.claim.text) for v in verdicts_of_op(again, OPTIONS) if v.answer == "proved"}
        if not repair.settles <= proved:
            return "WRONG", seconds
    kind = "edit" if any(r.text for r in found) else "left out" if found else "none"
    return kind, seconds


def report(title: str, ops: Iterator[tuple[str, OpDef]], as_text: bool) -> bool:
    """Print the counts; whether no repair was wrong."""
    counts: Counter[str] = Counter()
    longest = total = 0.0
    for name, op in ops:
        kind, seconds = outcome(op, as_text)
        counts[kind] += 1
        longest, total = max(longest, seconds), total + seconds
        if kind in ("none", "WRONG"):
            print(f"  {kind}: {name}")
    refuted = sum(counts.values()) - counts["not refuted"]
    print(
        f"{title}: {refuted} refuted; {counts['edit']} mended by one edit, {counts['left out']} by leaving the "
        f"rule out, {counts['none']} not; {counts['WRONG']} wrong; "
        f"{total / max(1, refuted):.2f} s each, at most {longest:.2f} s"
    )
    return counts["WRONG"] == 0


if __name__ == "__main__":
    fine = report("bugs", bugs(), as_text=True)
    if len(sys.argv) > 1:
        fine &= report("mutants of the prelude", broken(int(sys.argv[1])), as_text=False)
    sys.exit(0 if fine else 1)
