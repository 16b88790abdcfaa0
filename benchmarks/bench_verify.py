"""How long proving takes and how much memory: cold start, the prelude rule by rule, large graphs."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from time import perf_counter

ROOT = Path(__file__).parent.parent
IMPORT = "import time; t = time.perf_counter(); import gradproof; print(time.perf_counter() - t)"
MEASURE = """
import resource, sys, time, json
import gradproof as gp
t = time.perf_counter()
report = gp.verify(sys.argv[1], timeout=60)
seconds = time.perf_counter() - t
print(json.dumps([seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, report.ok]))
"""


def main() -> None:
    """Print every figure with its budget."""
    print(machine())
    say("import gradproof", statistics.median(float(python("-c", IMPORT)) for _ in range(7)), 0.15)
    say(
        "verify digits, cold process",
        statistics.median(cold(ROOT / "examples" / "digits.gproof") for _ in range(5)),
        2.0,
    )
    prelude()
    for nodes, budget in ((1_000, 5.0), (10_000, 40.0)):
        large(nodes, budget)


def machine() -> str:
    """The machine in one line: figures mean nothing without it."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [
            line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")
        ]
        cpu = names[0] if names else cpu
    packages = ", ".join(f"{name} {version(name)}" for name in ("z3-solver", "numpy", "lark"))
    return f"machine: {cpu}, {os.cpu_count()} cores, Python {platform.python_version()}, {packages}"


def say(what: str, seconds: float, budget: float | None = None) -> None:
    """One figure."""
    verdict = "" if budget is None else f"   budget {budget:g} s: {'ok' if seconds <= budget else 'OVER'}"
    shown = f"{seconds * 1000:.1f} ms" if seconds < 1 else f"{seconds:.2f} s"
    print(f"{what:44} {shown:>10}{verdict}", flush=True)


def python(*args: str) -> str:
    """What a fresh interpreter prints."""
    return subprocess.run([sys.executable, *args], capture_output=True, text=True, check=True, cwd=ROOT).stdout


def cold(path: Path) -> float:
    """The wall time of one `gradproof verify` in a process of its own."""
    started = perf_counter()
    python("-m", "gradproof.cli", "verify", str(path))
    return perf_counter() - started


def prelude() -> None:
    """The proofs of every operator of the prelude, by rule."""
    from gradproof.compiler.library import prelude as library
    from gradproof.verifier.discharge import verify
    from gradproof.verifier.options import Options

    started = perf_counter()
    verdicts = [v for op in library().ops.values() for v in verify((op,), (), Options())]
    say(f"prove the prelude ({len(verdicts)} claims)", perf_counter() - started, 90.0)
    for code in ("JVP", "VJP", "KINK", "DOM", "RUNS"):
        times = [v.seconds for v in verdicts if v.claim.code == code]
        say(f"  {code}: median of {len(times)}", statistics.median(times), 0.03)
        say(f"  {code}: slowest", max(times), 5.0)
    for verdict in sorted(verdicts, key=lambda v: -v.seconds)[:5]:
        say(f"  {verdict.claim.code} of {verdict.claim.subject}", verdict.seconds)
    for verdict in verdicts:
        if verdict.answer != "proved":
            print(f"  NOT PROVED: {verdict.claim.code} of {verdict.claim.subject}: {verdict.answer} {verdict.reason}")


def large(nodes: int, budget: float) -> None:
    """A graph with this many operator nodes: time and peak memory in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "large.gproof"
        path.write_text(chain(nodes))
        seconds, mebibytes, ok = json.loads(python("-c", MEASURE, str(path)))
    say(f"verify {nodes:,} nodes ({1e6 * seconds / nodes:.0f} us a node)", seconds, budget)
    print(f"{'  peak memory':44} {mebibytes:7.0f} MiB   budget 1024 MiB: {'ok' if mebibytes <= 1024 else 'OVER'}")
    if not ok:
        print("  NOT PROVED")


def chain(nodes: int) -> str:
    """A text of `nodes` operator applications with fan-out: every value feeds the next two."""
    steps = ("tanh({a})", "add({a}, {b})", "mul({a}, {b})", "sigmoid({b})", "sub({a}, {b})")
    lines = ["dim n >= 1", "graph big(x: f64[n], w: f64[n]) -> f64[n] {"]
    names = ["x", "w"]
    for k in range(nodes):
        lines.append(f"  h{k} = {steps[k % len(steps)].format(a=names[-1], b=names[-2])}")
        names.append(f"h{k}")
    return "\n".join([*lines, f"  return {names[-1]}", "}", ""])


if __name__ == "__main__":
    main()
