"""Put every question of the prelude and the examples to cvc5 too, and count: agreement, no answer, disagreement."""

from __future__ import annotations

import sys
from pathlib import Path
from time import perf_counter

from gradproof.compiler.library import prelude
from gradproof.pipeline import load, prove
from gradproof.verifier.discharge import verify
from gradproof.verifier.second import opinions, version

EXAMPLES = Path(__file__).parent.parent / "examples"


def main() -> int:
    """Exit 1 where the solvers disagree, or one of them has no answer that the other has."""
    started = perf_counter()
    with opinions(timeout=20.0) as found:
        verdicts = verify(tuple(prelude().ops.values()), ())
        for path in sorted(p for p in EXAMPLES.rglob("*.gproof") if p.parent.name != "wrong"):
            verdicts += prove(load(path), 20.0)
    tally = found.all
    print(f"z3 and {version()}: {tally.asked} questions of {len(verdicts)} claims, {perf_counter() - started:.0f} s")
    print(f"agree {tally.agreed}, no answer {tally.silent.total()}, disagree {len(tally.different)}")
    for reason, count in tally.silent.items():
        print(f"  {count} without an answer: {reason}")
    print(*tally.different, sep="\n", end="\n" if tally.different else "")
    return 1 if tally.different or tally.silent else 0


if __name__ == "__main__":
    sys.exit(main())
