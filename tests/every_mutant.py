"""Every mutant of every rule of the prelude, judged in parallel; the count is printed at the end.

`make mutants`, or `python tests/every_mutant.py [--jobs 2] [--log FILE] [--keep] [--only relu] [--tempt]`. What is
judged goes to the log at once, so that a run that was stopped goes on where it was. A log of other sources starts anew,
unless `--keep` says otherwise. What stays open at a short search is judged again with a long one. `--tempt` puts what
is refuted to the prover as well, which must not prove it: that takes hours.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from hashlib import sha256
from multiprocessing import get_context
from pathlib import Path
from time import perf_counter

ROOT = Path(__file__).resolve().parents[1]
LISTED = Path(__file__).parent / "cases" / "mutants" / "open.txt"
SHARE = 240  # mutants of one operator that a worker takes at once: what is expected at a point is computed once
SHORT = 1.0  # seconds of a search at first
EVERY = 30.0  # seconds between lines about the progress


def sources() -> str:
    """What the verdicts depend on: the compiler, the runtime, the verifier, the prelude, and how mutants are made."""
    told = sha256()
    for folder in ("compiler", "runtime", "verifier", "grammar", "tests"):
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in (".py", ".gproof", ".lark") and not path.name.startswith("test_"):
                told.update(path.read_bytes())
    return told.hexdigest()[:16]


def judged(task: tuple[str, list[str], float, bool]) -> list[tuple[str, str, float, str]]:
    """(key, outcome, seconds, what went wrong) of some of an operator's mutants; `false` where a proof was false."""
    from gradproof.compiler.library import prelude
    from gradproof.verifier.options import Options
    from judging import judge
    from mutate import mutants

    name, keys, search, tempt = task
    op, wanted, out = prelude().ops[name], set(keys), []
    for mutant in mutants(op):
        if mutant.key not in wanted:
            continue
        started, wrong = perf_counter(), ""
        try:
            outcome = judge(op, mutant, Options(timeout=2 + search, search=search), tempt)
        except Exception as error:  # whatever it is, it must be seen at the end
            outcome, wrong = "false" if isinstance(error, AssertionError) else "error", repr(error)[:500]
        out.append((mutant.key, outcome, round(perf_counter() - started, 3), wrong))
    return out


def work(only: str) -> Iterator[tuple[str, list[str]]]:
    """The mutants, in shares of one operator each; long operators first."""
    from gradproof.compiler.library import prelude
    from mutate import mutants

    every = {op.name: [m.key for m in mutants(op)] for op in prelude().ops.values() if op.differentiable}
    for name in sorted(every, key=lambda n: -len(every[n])):
        if name.startswith(only):
            yield from ((name, share) for share in batched(every[name], SHARE))


def batched(keys: list[str], size: int) -> Iterator[list[str]]:
    """The keys, so many at a time."""
    return (keys[k : k + size] for k in range(0, len(keys), size))


def read(log: Path, keep: bool) -> dict[str, str]:
    """The outcomes of a log, the latest of each mutant; none where it is of other sources."""
    if not log.exists():
        return {}
    head, *lines = log.read_text(encoding="utf-8").splitlines() or [""]
    if not keep and json.loads(head or "{}").get("sources") != sources():
        print(f"{log} is of other sources: starting anew (--keep takes it as it is)")
        log.unlink()
        return {}
    rows = (json.loads(line) for line in lines if line.endswith("]"))
    return {key: outcome for key, outcome, *_ in rows}


def run(
    shares: Iterable[tuple[str, list[str]]], found: dict[str, str], args: argparse.Namespace, search: float
) -> None:
    """Judge the shares in several processes; each outcome goes to the log when it comes."""
    shares = [share for share in shares if share[1]]
    total, last, begun = sum(len(keys) for _, keys in shares), perf_counter(), perf_counter()
    done = 0
    tasks = [(name, keys, search, args.tempt) for name, keys in shares]
    # Workers end after some shares: terms are interned for as long as one lives.
    with get_context("spawn").Pool(args.jobs, maxtasksperchild=8) as pool, args.log.open("a", encoding="utf-8") as log:
        for rows in pool.imap_unordered(judged, tasks):
            for row in rows:
                found[row[0]] = row[1]
                log.write(json.dumps(row) + "\n")
                done += 1
                if row[1] in ("false", "error"):
                    print(f"{row[1]}: {row[0]}: {row[3]}", flush=True)
            log.flush()
            if perf_counter() - last > EVERY:
                last = perf_counter()
                print(f"{done:,} of {total:,}, {last - begun:,.0f} s: {_told(found.values())}", flush=True)


def _told(outcomes: Iterable[str]) -> str:
    return ", ".join(f"{n:,} {what}" for what, n in Counter(outcomes).most_common())


def main() -> int:
    """Judge what the log lacks, then what stays open; 1 where something is false, or open without a reason."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=min(8, os.cpu_count() or 1), help="processes")
    parser.add_argument("--log", type=Path, default=ROOT / ".bench" / "mutants.jsonl", help="where outcomes are kept")
    parser.add_argument("--keep", action="store_true", help="go on with a log of other sources")
    parser.add_argument("--only", default="", help="operators whose names start with this")
    parser.add_argument("--tempt", action="store_true", help="put what is refuted to the prover, too")
    parser.add_argument("--patience", type=float, default=8.0, help="seconds of a search for what is open at first")
    args = parser.parse_args()
    args.log.parent.mkdir(parents=True, exist_ok=True)
    found = read(args.log, args.keep)
    if not found:
        args.log.write_text(json.dumps({"sources": sources()}) + "\n", encoding="utf-8")
    shares = list(work(args.only))
    run(((name, [k for k in keys if k not in found]) for name, keys in shares), found, args, SHORT)
    again = [(name, [k for k in keys if found[k] == "open"]) for name, keys in shares]
    run(again, found, args, args.patience)
    outcomes = {key: found[key] for _, keys in shares for key in keys}
    lines = LISTED.read_text(encoding="utf-8").splitlines()
    listed = {line.partition("  # ")[0].strip() for line in lines if line and not line.startswith("#")}
    left = [key for key, outcome in outcomes.items() if outcome == "open" and key not in listed]
    print("\n".join(f"open: {key}" for key in left))
    known = sum(outcome == "open" and key in listed for key, outcome in outcomes.items())
    print(f"{len(outcomes):,} mutants: {_told(outcomes.values())} ({known} of the open ones are listed with a reason)")
    return int(bool(left) or any(o in ("false", "error") for o in outcomes.values()))


if __name__ == "__main__":
    sys.exit(main())
