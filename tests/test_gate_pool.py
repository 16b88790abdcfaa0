"""Workers that crash, hang or want too much: what they were at is unknown, and nothing else is lost."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from gradproof.gate.pool import Plan, Pool
from gradproof.gate.records import reader
from gradproof.gate.schedule import Schedule, Work
from gradproof.gate.wire import Data
from gradproof.pipeline import verify
from gradproof.report import FileReport
from gradproof.usage import UsageError

WORKER = str(Path(__file__).parent / "gate_worker.py")
SQUARE = "fn square(x) = x*x\n"
CUBE = "fn cube(x) {\n  y = x^3\n  vjp x = 3 * g * x^2\n}\n"
GRAPH = "dim n >= 1\ngraph f(x: f64[n]) -> f64[] { return sum(mul(x, x)) }\n"


def run(folder: Path, texts: dict[str, str], pool: Pool, wrap: Callable[[Plan], Plan] | None = None) -> dict[str, Work]:
    """The works of a run over texts, by name."""
    for name, text in texts.items():
        (folder / name).write_text(text)
    done: dict[str, Work] = {}
    paths = [str(folder / name) for name in texts]
    schedule = Schedule(paths, 10.0, 1, reader(), lambda work: done.__setitem__(Path(work.path).name, work))
    with pool:
        pool.run(schedule if wrap is None else wrap(schedule))
    assert set(done) == set(texts)
    return done


def misbehaving(mischief: str, code: str, limit: float = 60.0, memory: int = 0) -> Pool:
    return Pool(1, limit, memory, (sys.executable, "-P", WORKER, mischief, code))


def answers(file: FileReport) -> list[tuple[str, str, str]]:
    return [(v.claim.code, v.claim.subject, v.answer) for v in file.verdicts]


def test_the_gate_says_what_verify_says(tmp_path: Path) -> None:
    texts = {"a.gproof": SQUARE + CUBE, "b.gproof": GRAPH, "c.gproof": CUBE.replace("3 *", "2 *"), "d.gproof": "fn f("}
    done = run(tmp_path, texts, Pool(2, 60.0))
    for name in texts:
        expected = verify(tmp_path / name).files[0]
        found = done[name].report()
        assert answers(found) == answers(expected)
        assert [v.claim for v in found.verdicts] == [v.claim for v in expected.verdicts]
        assert [v.counterexample for v in found.verdicts] == [v.counterexample for v in expected.verdicts]
        assert [(s.kind, s.name, s.own) for s in found.subjects] == [(s.kind, s.name, s.own) for s in expected.subjects]
        assert str(found.error) == str(expected.error)
        assert done[name].conclusive


@pytest.mark.parametrize(
    ("mischief", "limit", "memory", "reason"),
    [
        ("kill", 60.0, 0, "its worker was killed (SIGKILL), perhaps for want of memory"),
        ("exit", 60.0, 0, "its worker ended with exit code 7: this is what it said last"),
        ("hang", 4.0, 0, "no answer within 4 s, so its worker was ended"),
        ("memory", 60.0, 2048, "out of memory"),
        ("raise", 60.0, 0, "internal error, please report it: ZeroDivisionError: a fault of ours"),
    ],
)
def test_only_the_obligation_that_ran_is_unknown(
    mischief: str, limit: float, memory: int, reason: str, tmp_path: Path
) -> None:
    texts = {"a.gproof": CUBE, "b.gproof": CUBE, "c.gproof": SQUARE}  # what the prelude ships is not proved again
    done = run(tmp_path, texts, misbehaving(mischief, "VJP", limit, memory))
    for name, work in done.items():
        verdicts = work.report().verdicts
        assert {v.answer for v in verdicts if v.claim.code != "VJP"} == {"proved"}
        broken = [v for v in verdicts if v.claim.code == "VJP"]
        assert broken
        assert {(v.answer, v.reason) for v in broken} == {("unknown", reason)}
        assert not work.conclusive
        if name != "c.gproof":  # one answer serves both files, each shown at its own place
            assert {Path(v.claim.span.source.path).name for v in verdicts if v.claim.span} == {name}


@pytest.mark.parametrize("code", ["SHAPE", "FWD", "PLAN"])
def test_a_graphs_obligations_are_told_apart(code: str, tmp_path: Path) -> None:
    work = run(tmp_path, {"a.gproof": GRAPH}, misbehaving("kill", f"{code}:graph"))["a.gproof"]
    verdicts = [v for v in work.report().verdicts if v.claim.kind == "graph"]
    assert [v.answer for v in verdicts if v.claim.code == code] == ["unknown"]
    assert "SIGKILL" in next(v.reason for v in verdicts if v.claim.code == code)
    others = {v.answer for v in verdicts if v.claim.code != code}
    assert others == ({"unknown"} if code == "SHAPE" else {"proved"})  # nothing makes sense without shapes


def test_a_file_that_ends_its_worker_stops_no_other(tmp_path: Path) -> None:
    texts = {"bad.gproof": SQUARE, "good.gproof": CUBE}
    done = run(tmp_path, texts, misbehaving("kill", "outline"))
    error = done["bad.gproof"].report().error
    assert error is not None
    assert (error.code, "SIGKILL" in error.message) == ("G-CRASH", True)
    assert done["good.gproof"].report().ok


def test_what_libraries_print_is_no_answer(tmp_path: Path) -> None:
    assert run(tmp_path, {"a.gproof": CUBE}, misbehaving("print", "VJP"))["a.gproof"].report().ok


def test_an_answer_that_is_none_is_not_believed(tmp_path: Path) -> None:
    class Liar(Plan):
        """A plan whose answers come back changed: every refutation says that it is a proof of something else."""

        def __init__(self, plan: Plan) -> None:
            self.plan = plan

        @property
        def finished(self) -> bool:
            return self.plan.finished

        def next(self, worker: str) -> Data | None:
            return self.plan.next(worker)

        def answered(self, job: Data, answer: Data) -> None:
            for verdict in answer.get("verdicts", []):
                verdict["answer"] = "proved"
                verdict["claim"]["digest"] = "0" * 32
            self.plan.answered(job, answer)

        def lost(self, job: Data, at: str | None, reason: str) -> None:
            self.plan.lost(job, at, reason)

    wrong = CUBE.replace("3 *", "2 *")
    report = run(tmp_path, {"a.gproof": wrong}, Pool(1, 60.0), Liar)["a.gproof"].report()
    assert {v.answer for v in report.verdicts} == {"unknown"}
    assert all("no answer" in v.reason for v in report.verdicts)


def test_a_worker_killed_from_outside_costs_nothing_but_time(tmp_path: Path) -> None:
    pool = Pool(2, 60.0)

    class Assassin(Plan):
        """Kill a worker that is at work once the first verdicts are there."""

        def __init__(self, plan: Plan) -> None:
            self.plan, self.victims = plan, 1

        @property
        def finished(self) -> bool:
            return self.plan.finished

        def next(self, worker: str) -> Data | None:
            return self.plan.next(worker)

        def answered(self, job: Data, answer: Data) -> None:
            self.plan.answered(job, answer)
            busy = [worker for worker in pool.workers if worker.job is not None]
            if self.victims and busy and "verdicts" in answer:
                self.victims -= 1
                os.kill(busy[0].process.pid, signal.SIGKILL)

        def lost(self, job: Data, at: str | None, reason: str) -> None:
            self.plan.lost(job, at, reason)

    texts = {f"{k}.gproof": CUBE.replace("cube", f"cube{k}") for k in range(6)}
    done = run(tmp_path, texts, pool, Assassin)
    unknown = [v for work in done.values() for v in work.report().verdicts if v.answer != "proved"]
    assert len(unknown) <= 1  # the one that it was at, if it was at one
    assert sum(len(work.report().verdicts) for work in done.values()) == 6 * 4


def test_workers_that_cant_start_are_an_error_at_once(tmp_path: Path) -> None:
    (tmp_path / "a.gproof").write_text(SQUARE)
    pool = Pool(1, 60.0, 0, (sys.executable, "-c", "raise SystemExit('no such library')"))
    with pytest.raises(UsageError, match="can't start: its worker ended with exit code 1: no such library"):
        run(tmp_path, {"a.gproof": SQUARE}, pool)


def test_a_file_that_changes_meanwhile_is_told(tmp_path: Path) -> None:
    class Editor(Plan):
        """Change the file behind the back of the worker, and make it load the file anew."""

        def __init__(self, plan: Plan) -> None:
            self.plan = plan

        @property
        def finished(self) -> bool:
            return self.plan.finished

        def next(self, worker: str) -> Data | None:
            return self.plan.next(worker)

        def answered(self, job: Data, answer: Data) -> None:
            self.plan.answered(job, answer)
            if job["do"] == "outline":
                (tmp_path / "a.gproof").write_text(CUBE)
                pool.close()

        def lost(self, job: Data, at: str | None, reason: str) -> None:
            self.plan.lost(job, at, reason)

    pool = Pool(1, 60.0)
    error = run(tmp_path, {"a.gproof": SQUARE}, pool, Editor)["a.gproof"].report().error
    assert error is not None
    assert error.code == "G-CHANGED"
