"""A million odd inputs: `python benchmarks/fuzz.py [COUNT] [TARGET...]`; the targets are those of tests/fuzzing.py.

Where atheris is installed its coverage guides half of each target's inputs; the others are made from seeds.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from time import perf_counter

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))
SHARES = {"text": 0.35, "bytes": 0.4, "data": 0.25}
GUIDED = """
import sys
sys.path.insert(0, sys.argv[1])
import atheris
with atheris.instrument_imports(include=["gradproof"]):
    import fuzzing
class Draws:
    def __init__(self, data):
        self.data = atheris.FuzzedDataProvider(data)
    def below(self, n):
        return self.data.ConsumeIntInRange(0, n - 1)
target = fuzzing.TARGETS[sys.argv[2]]
atheris.Setup([sys.argv[0], "-runs=" + sys.argv[3], "-max_len=64", "-seed=1", "-rss_limit_mb=4096", "-verbosity=0"],
              lambda data: target(Draws(data)))
atheris.Fuzz()
"""


def main() -> None:
    """Run the targets; a failing input is shown with its target and seed, and the exit status is 1."""
    from fuzzing import TARGETS, Seeded

    words = sys.argv[1:]
    count = int(words.pop(0)) if words and words[0].isdigit() else 1_000_000
    failed = Counter[str]()
    for name in words or TARGETS:
        share = int(count * (SHARES[name] if not words else 1 / len(words)))
        guided = share // 2 if _atheris() else 0
        start = perf_counter()
        for seed in range(share - guided):
            try:
                TARGETS[name](Seeded(10**6 + seed))
            except Exception as error:
                failed[name] += 1
                if failed[name] <= 5:
                    print(f"FAILED {name}, seed {10**6 + seed}: {type(error).__name__}: {str(error)[:300]}")
        print(f"{name}: {share - guided:,} inputs from seeds, {failed[name]} failed, {perf_counter() - start:.0f} s")
        if guided:
            start = perf_counter()
            code = _guided(name, guided)
            failed[name] += code != 0
            print(
                f"{name}: {guided:,} inputs guided by coverage, exit {code}, {perf_counter() - start:.0f} s", flush=True
            )
    sys.exit(1 if failed.total() else 0)


def _atheris() -> bool:
    try:
        import atheris  # noqa: F401
    except ImportError:
        return False
    return True


def _guided(name: str, count: int) -> int:
    words = [sys.executable, "-c", GUIDED, str(ROOT / "tests"), name, str(count)]
    run = subprocess.run(words, cwd=os.environ.get("TMPDIR", "/tmp"), capture_output=True, text=True, check=False)
    if run.returncode:
        print(run.stderr[-2000:])
    return run.returncode


if __name__ == "__main__":
    main()
