"""How long the gate takes over a repository of 500 files, 20 of them wrong: everything anew, and nothing changed."""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter

sys.path.insert(0, str(Path(__file__).parent))

from bench_verify import machine, say
from made_repository import Made, make, write


def main() -> int:
    """Print every figure with its budget; 1 where one is over it, or where a report is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=500)
    parser.add_argument("--wrong", type=int, default=20)
    parser.add_argument("-j", "--jobs", type=int, default=2)
    args = parser.parse_args()
    print(machine())
    made = make(args.files, args.wrong)
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), made)
        os.environ["XDG_STATE_HOME"] = f"{folder}/.state"
        over = False
        for name, budget, rest in (("cold", 60.0, []), ("warm, nothing changed", 2.0, []), ("--all", 60.0, ["--all"])):
            started, worked = perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
            report = gate(folder, args.jobs, rest)
            seconds = perf_counter() - started
            say(f"{args.files} files, {args.wrong} wrong, {args.jobs} workers: {name}", seconds, budget)
            used = resource.getrusage(resource.RUSAGE_CHILDREN)
            say("  time of the processors", used.ru_utime + used.ru_stime - worked.ru_utime - worked.ru_stime)
            over = differs(made, report) or seconds > budget or over
    return int(over)


def gate(folder: str, jobs: int, rest: list[str]) -> dict[str, set[str]]:
    """Run the gate in a process of its own: the codes that it reports, by file."""
    command = [sys.executable, "-m", "gradproof.cli", "gate", "-j", str(jobs), "--format", "json", *rest]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False)
    if done.returncode != 1:
        raise SystemExit(f"exit code {done.returncode}: {done.stderr[-2000:]}")
    found: dict[str, set[str]] = {}
    for file in json.loads(done.stdout)["files"]:
        codes = {file["error"]["code"]} if file["error"] else set()
        codes |= {one["code"] for s in file["subjects"] for one in s["obligations"] if one["verdict"] != "proved"}
        if codes:
            found[file["path"]] = codes
    return found


def differs(made: list[Made], report: dict[str, set[str]]) -> bool:
    """Say where the report is not that the wrong files, and only these, are wrong in what is wrong with them."""
    wrong = {one.path: one.wrong for one in made if one.wrong}
    for path in sorted(wrong.keys() | report.keys()):
        if not wrong.get(path, frozenset()) & report.get(path, set()):
            print(f"  {path}: {', '.join(sorted(report.get(path, set()))) or 'nothing'} reported, "
                  f"{', '.join(sorted(wrong.get(path, frozenset()))) or 'nothing'} wrong")  # fmt: skip
    same = {path for path in wrong if wrong[path] & report.get(path, set())}
    print(f"  {len(same)} of {len(wrong)} wrong files reported, {len(report.keys() - wrong.keys())} others")
    return same != report.keys() or same != wrong.keys()


if __name__ == "__main__":
    sys.exit(main())
