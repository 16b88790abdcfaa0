"""The gate on a real Dask cluster of two workers, one of which is killed half-way; and what a cluster may not do."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from distributed import Client, LocalCluster
from gradproof.cli import main
from gradproof.gate import cluster, remote
from gradproof.gate.pool import Plan
from gradproof.gate.records import reader
from gradproof.gate.schedule import Schedule, Work
from gradproof.gate.wire import Data
from gradproof.pipeline import verify
from gradproof.usage import UsageError

RIGHT = "fn {name}(x) {{\n  y = x^3\n  vjp x = 3 * g * x^2\n}}\n"
WRONG = RIGHT.replace("3 *", "2 *")
USES = 'use "lib.gproof"\ndim n >= 1\ngraph f(x: f64[n]) -> f64[n] { return twice(x) }\n'
LIB = "fn twice(x) = 2*x\n"


@pytest.fixture(scope="module")
def two_workers() -> Iterator[Any]:
    with LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as found:  # type: ignore[no-untyped-call]
        yield found


class Killing(Plan):
    """Kill a worker of the cluster, its process itself, after some answers; count what came back."""

    def __init__(self, plan: Plan, address: str, after: int) -> None:
        self.plan, self.address, self.after = plan, address, after
        self.killed = 0
        self.answers: Counter[tuple[str, int]] = Counter()
        self.losses: list[str] = []

    @property
    def finished(self) -> bool:
        return self.plan.finished

    def next(self, worker: str) -> Data | None:
        return self.plan.next(worker)

    def answered(self, job: Data, answer: Data) -> None:
        self.answers[job["path"], job.get("task", -1)] += 1
        self.plan.answered(job, answer)
        if sum(self.answers.values()) == self.after:
            with Client(self.address, set_as_default=False) as client:  # type: ignore[no-untyped-call]
                victim = next(iter(client.run(os.getpid).values()))  # type: ignore[no-untyped-call]
            os.kill(victim, signal.SIGKILL)
            self.killed += 1

    def lost(self, job: Data, at: str | None, reason: str) -> None:
        self.losses.append(reason)
        self.plan.lost(job, at, reason)


def test_a_worker_is_killed_and_nothing_is_lost(two_workers: Any, tmp_path: Path) -> None:
    texts = {f"{k}.gproof": (WRONG if k == 3 else RIGHT).format(name=f"f{k}") for k in range(6)}
    texts |= {"main.gproof": USES, "lib.gproof": LIB}
    texts |= {"bad.gproof": "fn f(x", "same.gproof": texts["0.gproof"]}
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    done: dict[str, Work] = {}
    paths = [str(tmp_path / name) for name in texts]
    schedule = Schedule(paths, 10.0, 1, reader(), lambda work: done.__setitem__(Path(work.path).name, work))
    plan = Killing(schedule, two_workers.scheduler_address, 5)
    cluster.run_on_cluster(plan, two_workers.scheduler_address, 60.0, 0)
    assert plan.killed == 1
    assert set(plan.answers.values()) == {1}
    assert plan.losses == []
    for name in texts:
        expected, found = verify(tmp_path / name).files[0], done[name].report()
        assert [(v.claim, v.answer) for v in found.verdicts] == [(v.claim, v.answer) for v in expected.verdicts]
        assert [v.counterexample for v in found.verdicts] == [v.counterexample for v in expected.verdicts]
        assert str(found.error) == str(expected.error)
    # what is shared was done once
    assert sum(count for (path, _), count in plan.answers.items() if path.endswith(("same.gproof", "0.gproof"))) == 3


def test_the_command(
    two_workers: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    (tmp_path / "a.gproof").write_text(WRONG.format(name="f"))
    arguments = ["gate", "--executor", "dask", "--scheduler", two_workers.scheduler_address, "--format", "concise"]
    for _ in range(2):  # the second time from the record: the key of a file is the same wherever it was proved
        assert main(arguments) == 1
        assert capsys.readouterr().out.startswith("a.gproof:3:7: VJP refuted")


def test_another_gradproof_is_refused(two_workers: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "stamp", lambda: "another")
    schedule = Schedule([], 10.0, 1, reader(), lambda work: None)
    with pytest.raises(UsageError, match="has another gradproof"):
        cluster.run_on_cluster(schedule, two_workers.scheduler_address, 60.0, 0)


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:1", "nonsense://x"])
def test_no_scheduler(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "WAIT", 1)
    with pytest.raises(UsageError, match="no scheduler answers at"):
        cluster.run_on_cluster(Schedule([], 10.0, 1, reader(), lambda work: None), address, 60.0, 0)


def test_a_job_is_done_as_it_is_done_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Links, uses and names are what they are on this machine, though the texts lie elsewhere there."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "lib.gproof").write_text(LIB)
    (tmp_path / "lib.gproof").symlink_to("real/lib.gproof")
    (tmp_path / "a.gproof").write_text(USES)
    job = {"do": "outline", "path": "a.gproof", "order": 1, "timeout": 10.0}
    found = remote.do(job, cluster.closure("a.gproof"), 60.0, 0)
    remote.HERE.pools[60.0, 0].close()
    assert found["answer"]["error"] is None
    lib = str(tmp_path / "real" / "lib.gproof")
    assert set(found["answer"]["sources"]) == {"a.gproof", lib}
    assert found["answer"]["used"] == [[str(tmp_path / "lib.gproof"), lib]]
    assert {c["span"][0] for t in found["answer"]["tasks"] for c in t["claims"]} <= {"a.gproof", lib}


def test_texts_stay_in_their_folder(tmp_path: Path) -> None:
    files = {"texts": {"/../../etc/x": "y"}, "links": {}, "main": "/a", "shown": "a"}
    with pytest.raises(ValueError, match="leads out"):
        remote.do({"do": "outline", "path": "a", "order": 1, "timeout": 1.0}, files, 60.0, 0)
