"""How long the independent checker takes, process start included, and how large certificates are, on a large graph."""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter

from gradproof.certificates import build
from gradproof.paths import Text

ROOT = Path(__file__).parent.parent
CHECKER = ROOT / "verifier" / "checker"
NODES, SECONDS, BYTES = 1000, 0.3, 2048
FORMS = (
    "relu(v{a} @ w + b)",
    "tanh(v{a}) * v{b}",
    "sigmoid(v{a} + v{b})",
    "v{a} - v{b}",
    "softmax(v{a}) + v{b}",
    "exp(-v{a} * v{a})",
)


def deep(nodes: int) -> str:
    """A text of about this many nodes, a dozen operators, most values being used twice."""
    lines = ["dim B >= 1, D >= 1", "graph deep(x: f64[B, D], w: f64[D, D], b: f64[D]) -> f64[] {", "  v0 = tanh(x)"]
    k = 0
    for k in range(1, nodes * len(FORMS) // 14):
        lines.append(f"  v{k} = " + FORMS[k % len(FORMS)].format(a=k - 1, b=max(0, k - 3)))
    return "\n".join([*lines, f"  return mean(v{k} * v{k})", "}", ""])


def timed(path: Path) -> tuple[float, float]:
    """Seconds of wall clock and of processor time of one check in a process of its own."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), perf_counter()
    subprocess.run([sys.executable, "-IS", str(CHECKER), "--allow-trusted", str(path)], check=True, capture_output=True)
    seconds, after = perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> int:
    """Print every figure with its budget; 1 where one is over."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "deep.gpc"
        built = build(Text("deep", deep(NODES)), path, timeout=60)
        count = len(json.loads(built.content)["graphs"]["deep"]["nodes"])
        runs = [timed(path) for _ in range(7)]
        walls, works = (statistics.median(column) for column in zip(*runs, strict=True))
        size = len(built.content) / count
    print(f"{count} nodes: {built}")
    for what, value, budget in (("check, s", walls, SECONDS), ("  processor, s", works, SECONDS)):
        print(f"{what:24} {value:8.3f}   budget {budget:g}: {'ok' if value <= budget else 'OVER'}")
    print(f"{'bytes a node':24} {size:8.0f}   budget {BYTES}: {'ok' if size <= BYTES else 'OVER'}")
    return int(works > SECONDS or size > BYTES)


if __name__ == "__main__":
    sys.exit(main())
