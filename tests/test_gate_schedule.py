"""The plan of a run by itself, no process: who does what, what is shared, and what an answer that is late may do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from gradproof.gate.config import Config
from gradproof.gate.run import accepted
from gradproof.gate.schedule import Schedule, Work
from gradproof.grammar.source import Source

GENERAL, OWN = True, False


def task(code: str, general: bool, subject: str = "f") -> dict[str, Any]:
    claim = {"code": code, "kind": "op", "subject": subject, "text": "t", "digest": "d" * 32, "span": None}
    return {"general": general, "claims": [claim]}


def outline(*tasks: dict[str, Any]) -> dict[str, Any]:
    return {"error": None, "warnings": [], "own": ["f"], "sources": {}, "used": [], "tasks": list(tasks)}


def proved(one: dict[str, Any]) -> dict[str, Any]:
    answer = {"answer": "proved", "by": "b", "scope": "s", "seconds": 0.1, "hypotheses": [], "counterexample": None}
    return {"verdicts": [{"claim": claim, **answer, "reason": "", "advice": []} for claim in one["claims"]]}


class Run:
    """A schedule, and what it was told is done."""

    def __init__(self, *paths: str) -> None:
        self.done: list[Work] = []
        self.schedule = Schedule(paths, 5.0, 1, lambda path: Source(path, ""), self.done.append)

    def next(self, worker: str = "1") -> dict[str, Any]:
        job = self.schedule.next(worker)
        assert job is not None
        return job

    def open(self, worker: str, *tasks: dict[str, Any]) -> None:
        job = self.next(worker)
        assert job["do"] == "outline"
        self.schedule.answered(job, outline(*tasks))


def test_one_files_tasks_are_spread_over_idle_workers() -> None:
    run, tasks = Run("a"), [task("JVP", OWN), task("VJP", OWN), task("DOM", OWN)]
    first = run.next("1")
    assert run.schedule.next("2") is None  # nothing is known yet
    run.schedule.answered(first, outline(*tasks))
    jobs = [run.next(worker) for worker in ("1", "2", "3")]
    assert [job["task"] for job in jobs] == [0, 1, 2]
    for job in reversed(jobs):  # whoever is first, the order is that of the claims
        run.schedule.answered(job, proved(tasks[job["task"]]))
    assert run.schedule.finished
    assert [v.claim.code for v in run.done[0].report().verdicts] == ["JVP", "VJP", "DOM"]


def test_a_worker_stays_with_what_it_has_loaded() -> None:
    run, tasks = Run("a", "b"), [task("JVP", OWN), task("VJP", OWN)]
    run.open("1", *tasks)
    run.open("2", *tasks)
    assert [run.next("2")["path"], run.next("1")["path"], run.next("2")["path"], run.next("1")["path"]] == [*"baba"]


def test_what_is_general_is_done_once() -> None:
    run, shared = Run("a", "b"), task("VJP", GENERAL)
    run.open("1", shared)
    run.open("2", shared, task("DOM", OWN))
    job = run.next("1")
    assert [job["path"], run.next("2")["task"]] == ["a", 1]
    assert run.schedule.next("3") is None
    run.schedule.answered(job, proved(shared))
    assert [work.path for work in run.done] == ["a"]
    assert run.schedule.works["b"].verdicts.keys() == {0}


def test_another_definition_is_not_the_same() -> None:
    run, other = Run("a", "b"), task("VJP", GENERAL)
    other["claims"][0]["digest"] = "e" * 32
    run.open("1", task("VJP", GENERAL))
    run.open("2", other)
    assert {run.next("1")["path"], run.next("2")["path"]} == {"a", "b"}


def test_what_a_failed_file_owed_is_done_by_another() -> None:
    run, shared = Run("a", "b", "c"), task("VJP", GENERAL)
    for worker in "123":
        run.open(worker, shared)
    job = run.next("1")
    run.schedule.answered(job, {"changed": True})
    assert [(work.path, work.error.code if work.error else "") for work in run.done] == [("a", "G-CHANGED")]
    second = run.next("1")
    assert second["path"] == "b"
    run.schedule.answered(job, proved(shared))  # late: of a file that is complete
    assert len(run.done) == 1
    run.schedule.answered(second, proved(shared))
    assert sorted(work.path for work in run.done) == ["a", "b", "c"]
    assert all(work.report().ok for work in run.done[1:])


def test_an_answer_that_comes_twice_is_taken_once() -> None:
    run, tasks = Run("a"), [task("JVP", OWN), task("VJP", OWN)]
    run.open("1", *tasks)
    job = run.next()
    run.schedule.answered(job, proved(tasks[0]))
    late = proved(tasks[0])
    late["verdicts"][0] |= {"answer": "unknown", "reason": "r"}
    run.schedule.answered(job, late)
    assert [found[0].answer for found in run.schedule.works["a"].verdicts.values()] == ["proved"]
    assert not run.schedule.finished


def test_too_few_verdicts_are_none() -> None:
    run, one = Run("a"), task("JVP", OWN)
    run.open("1", one)
    for _ in range(2):
        run.schedule.answered(run.next(), {"verdicts": []})
    (verdict,) = run.done[0].report().verdicts
    assert (verdict.answer, "0 verdicts on 1 claims" in verdict.reason) == ("unknown", True)
    assert not run.done[0].conclusive


def test_a_report_on_nothing_is_an_error_of_ours(tmp_path: Path) -> None:
    run = Run("a")
    run.open("1")
    with pytest.raises(RuntimeError, match="a report without a verdict"):
        accepted(run.done[0].report(), Config(tmp_path))
