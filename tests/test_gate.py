"""The gate as a command: what it reports, what it skips, what it keeps, and what no cache can change."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from gradproof.cli import main
from gradproof.gate import run as gate_run
from gradproof.gate import versions
from gradproof.gate.store import NAME, Store, user_key

RIGHT = "fn cubed(x) {\n  y = x^3\n  vjp x = 3 * g * x^2\n}\n"
WRONG = RIGHT.replace("3 *", "2 *")
NAMED = "fn {name}(x) {{\n  y = x^3\n  vjp x = 3 * g * x^2\n}}\n"
USES = 'use "lib.gproof"\ndim n >= 1\ngraph f(x: f64[n]) -> f64[n] { return twice(x) }\n'
SHAPES = "dim B\ngraph f(x: f64[B, 2], w: f64[2, 3]) -> f64[B, 2] { return x @ w }\n"
LIB = "fn twice(x) = 2*x\n"


@pytest.fixture(autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A place of the user's own for the key."""
    place = tmp_path_factory.mktemp("state")
    monkeypatch.setenv("XDG_STATE_HOME", str(place))
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    return place


@pytest.fixture
def repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def proved(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Which files each run proves, rather than finds unchanged."""
    runs: list[list[str]] = []
    prove = gate_run.prove

    def listed(paths: list[str], *rest: object) -> object:
        runs.append(list(paths))
        return prove(paths, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(gate_run, "prove", listed)
    return runs


def gate(*arguments: str) -> int:
    return main(["gate", "-j1", *arguments])


def test_only_what_changed_is_proved(
    repo: Path, proved: list[list[str]], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (repo / "a.gproof").write_text(RIGHT)
    (repo / "b.gproof").write_text(WRONG)
    (repo / "c.gproof").write_text(USES)
    (repo / "lib.gproof").write_text(LIB)
    every = ["a.gproof", "b.gproof", "c.gproof", "lib.gproof"]
    assert gate("--format", "concise") == 1
    first = capsys.readouterr().out
    assert first.startswith("b.gproof:3:7: VJP refuted: VJP of op cubed")
    assert gate("--format", "concise") == 1  # nothing changed: the refutation is told again, and nothing is proved
    again = capsys.readouterr()
    assert again.out.splitlines()[0] == first.splitlines()[0]
    assert "4 of 4 files are unchanged" in again.err
    assert gate("--all") == 1
    (repo / "lib.gproof").write_text(LIB.replace("2*x", "3*x"))  # c.gproof uses it
    assert gate() == 1
    (repo / "b.gproof").write_text(RIGHT)
    assert gate() == 0
    assert gate("--timeout", "9") == 0  # another option, another question
    monkeypatch.setattr(versions, "versions", lambda: {"gradproof": "another"})
    monkeypatch.setattr("gradproof.gate.records.versions", lambda: {"gradproof": "another"})
    assert gate() == 0
    assert proved == [every, [], every, ["c.gproof", "lib.gproof"], ["b.gproof"], every, every]


def test_a_used_file_behind_another_link_is_another_file(repo: Path, proved: list[list[str]]) -> None:
    (repo / "one").mkdir()
    (repo / "two").mkdir()
    for name in ("one", "two"):
        (repo / name / "lib.gproof").write_text(LIB)
    (repo / "c.gproof").write_text(USES)
    (repo / "lib.gproof").symlink_to("one/lib.gproof")
    assert gate("c.gproof") == 0
    (repo / "lib.gproof").unlink()
    (repo / "lib.gproof").symlink_to("two/lib.gproof")
    assert gate("c.gproof") == 0
    assert proved == [["c.gproof"], ["c.gproof"]]


def test_what_comes_with_gradproof_is_part_of_its_version(repo: Path, proved: list[list[str]]) -> None:
    (repo / "std").mkdir()
    (repo / "std" / "a.gproof").write_text('use "std/layers.gproof"\n' + NAMED.format(name="third"))
    for _ in range(2):
        assert gate() == 0
    (repo / "std" / "a.gproof").write_text('use "std/layers.gproof"\n' + NAMED.format(name="power"))
    assert gate() == 0
    assert proved == [["std/a.gproof"], [], ["std/a.gproof"]]


def forged(path: Path) -> None:
    """Say "proved" where the record says "refuted"."""
    path.write_bytes(path.read_bytes().replace(b'"answer":"refuted"', b'"answer":"proved"'))


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def noise(path: Path) -> None:
    path.write_bytes(os.urandom(200))


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("harm", [forged, emptied, cut, noise, a_folder])
def test_a_corrupt_cache_changes_nothing(harm: object, repo: Path, proved: list[list[str]]) -> None:
    (repo / "b.gproof").write_text(WRONG)
    assert gate() == 1
    for entry in [path for path in (repo / NAME / "files").rglob("*") if path.is_file()]:
        harm(entry)  # type: ignore[operator]
    assert gate() == 1
    assert proved == [["b.gproof"], ["b.gproof"]]


def test_a_foreign_cache_is_not_believed(
    repo: Path, proved: list[list[str]], monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Whoever can write the repository, with its cache, still can't say what is proved here."""
    (repo / "b.gproof").write_text(WRONG)
    other = Store(repo / NAME, b"k" * 32)
    assert gate() == 1
    (entry,) = [path for path in (repo / NAME / "files").rglob("*") if path.is_file()]
    body = json.loads(entry.read_bytes().split(b"\n", 1)[1])
    for verdict in body["verdicts"]:
        verdict.update(answer="proved", counterexample=None)
    other.put("files", entry.parent.name + entry.name, body)
    assert gate() == 1
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("another")))
    assert gate() == 1
    assert proved == [["b.gproof"]] * 3


def test_an_entry_under_another_name_is_no_entry(repo: Path) -> None:
    (repo / "good.gproof").write_text(RIGHT)
    (repo / "bad.gproof").write_text(WRONG)
    assert gate("good.gproof") == 0
    (good,) = [path for path in (repo / NAME / "files").rglob("*") if path.is_file()]
    assert gate("bad.gproof") == 1
    (bad,) = [path for path in (repo / NAME / "files").rglob("*") if path.is_file() and path != good]
    bad.write_bytes(good.read_bytes())
    assert gate("bad.gproof") == 1


@pytest.mark.parametrize("place", ["cache", "key"])
def test_where_nothing_can_be_kept_everything_is_proved(
    place: str, repo: Path, proved: list[list[str]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The place is a file, so nothing can be made in it: for root a folder is never read-only."""
    (repo / "a.gproof").write_text(RIGHT)
    blocked = repo / "blocked"
    blocked.write_text("")
    if place == "key":
        monkeypatch.setenv("XDG_STATE_HOME", str(blocked))
        assert user_key() is None
    arguments = ["--cache-dir", str(blocked / "x")] if place == "cache" else []
    assert gate(*arguments) == 0
    assert "nothing was kept for the next run" in capsys.readouterr().err
    assert gate(*arguments) == 0
    assert proved == [["a.gproof"], ["a.gproof"]]


def test_a_read_only_cache_is_read(repo: Path, proved: list[list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    (repo / "a.gproof").write_text(RIGHT)
    assert gate() == 0
    (repo / "b.gproof").write_text(NAMED.format(name="b"))

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("gradproof.gate.store.tempfile.mkstemp", refuse)
    assert gate() == 0
    assert proved == [["a.gproof"], ["b.gproof"]]


def test_the_cache_says_what_it_is(repo: Path, home: Path) -> None:
    (repo / "a.gproof").write_text(RIGHT)
    assert gate() == 0
    assert (repo / NAME / ".gitignore").read_text() == "*\n"
    assert (repo / NAME / "CACHEDIR.TAG").read_text().startswith("Signature: 8a477f597d28d172789f06886806bc55\n")
    assert list((repo / NAME).rglob(".new-*")) == []
    key = home / "gradproof" / "cache.key"
    assert (len(key.read_bytes()), stat.S_IMODE(key.stat().st_mode)) == (32, 0o600)


def test_two_gates_at_once(repo: Path) -> None:
    for k in range(3):
        (repo / f"{k}.gproof").write_text(NAMED.format(name=f"f{k}"))
    command = [sys.executable, "-m", "gradproof.cli", "gate", "-j1", "--format", "concise"]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    outputs = [process.communicate(timeout=300)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert all("12 proved, 0 refuted, 0 unknown in 3 files" in output for output in outputs)
    assert gate() == 0


def test_an_interrupt_keeps_what_was_done(repo: Path, proved: list[list[str]]) -> None:
    for k in range(300):
        (repo / f"{k:03}.gproof").write_text(NAMED.format(name=f"f{k}"))
    process = subprocess.Popen(
        [sys.executable, "-m", "gradproof.cli", "gate", "-j1"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # ignored where tests run in the background
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while len(list(repo.glob(f"{NAME}/files/*/*"))) < 5 and time.monotonic() < deadline:
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, "interrupted" in errors) == (130, True)
    assert gate() == 0
    assert 0 < len(proved[0]) <= 295


def test_ignored_failures_need_a_reason_and_a_failure(repo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (repo / "old").mkdir()
    (repo / "old" / "b.gproof").write_text(WRONG)
    rules = (
        '{ code = "VJP", path = "old/", subject = "cubed", reason = "kept as it was shipped" }',
        '{ code = "DOM", path = "old/", reason = "no longer so" }',
        '{ code = "DOM", path = "new/", reason = "not of these files" }',
    )
    (repo / "pyproject.toml").write_text("[tool.gradproof]\nignore = [\n" + ",\n".join(rules) + "\n]\n")
    assert gate() == 0
    said = capsys.readouterr()
    assert "ignored: VJP of op cubed at old/b.gproof:3:7: kept as it was shipped" in said.out
    assert "3 proved, 0 refuted, 0 unknown, 1 ignored in 1 file" in said.out
    assert "pyproject.toml:4: this `ignore` is about nothing any more" in said.err
    assert "pyproject.toml:5" not in said.err
    (repo / "b.gproof").write_text(WRONG)
    assert gate() == 1


def test_select(repo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (repo / "b.gproof").write_text(WRONG)
    (repo / "pyproject.toml").write_text('[tool.gradproof]\nselect = ["JVP"]\n')
    assert gate() == 0
    said = capsys.readouterr()
    assert "1 proved, 0 refuted" in said.out
    assert "only JVP asked for" in said.err


def test_outputs(repo: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    (repo / "b.gproof").write_text(WRONG)
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(repo / "summary.md"))
    for form in ("json", "sarif", "junit", "github"):
        assert gate("--format", form, "--output", f"out.{form}") == 1
        assert "1 refuted" in capsys.readouterr().err
    assert json.loads((repo / "out.json").read_text())["summary"] == {"proved": 3, "refuted": 1, "unknown": 0}
    assert json.loads((repo / "out.sarif").read_text())["runs"][0]["results"][0]["ruleId"] == "VJP"
    assert "<failure" in (repo / "out.junit").read_text()
    assert (repo / "out.github").read_text().startswith("::error file=b.gproof,line=3,")
    assert (repo / "summary.md").read_text().count("## gradproof: 1 not proved") == 4
    assert gate("--output", "no/such/folder") == 2
    assert "no/such/folder: No such file or directory" in capsys.readouterr().err


def test_an_ill_formed_file_fails_alone(repo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (repo / "a.gproof").write_text("fn f(x = \n")
    (repo / "b.gproof").write_bytes(b"\xff\xfe")
    (repo / "c.gproof").write_text(RIGHT)
    (repo / "d.gproof").write_text("# nothing\n")
    assert gate("--format", "concise") == 1
    expected = ["E-BRACKET", "E-ENCODING", "E-EMPTY"]
    assert [line.split(" ")[1] for line in capsys.readouterr().out.splitlines()[:-1]] == expected
    assert gate("--format", "concise") == 1  # from the record
    assert [line.split(" ")[1] for line in capsys.readouterr().out.splitlines()[:-1]] == expected


def test_what_a_file_uses_may_come_to_be(repo: Path, proved: list[list[str]]) -> None:
    (repo / "c.gproof").write_text(USES)
    assert gate("c.gproof") == 1
    (repo / "lib.gproof").write_text(LIB)
    assert gate("c.gproof") == 0
    assert proved == [["c.gproof"], ["c.gproof"]]


def test_a_record_says_exactly_what_the_run_said(repo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number, text in enumerate((RIGHT, WRONG, USES, LIB, "fn f(x", SHAPES, NAMED.format(name="g"))):
        (repo / ("lib.gproof" if text is LIB else f"{number}.gproof")).write_text(text)
    reports = []
    for _ in range(2):
        assert gate("--format", "json") == 1
        data = json.loads(capsys.readouterr().out)
        for file in data["files"]:
            for one in (one for subject in file["subjects"] for one in subject["obligations"]):
                one["seconds"] = 0
        reports.append(data)
    assert reports[0] == reports[1]


def test_the_made_repository_is_what_it_says(
    repo: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every kind of file of the benchmark's repository: the wrong ones, and only these, fail in what is wrong there."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent.parent / "benchmarks"))
    from made_repository import make, samples, write  # type: ignore[import-not-found]

    made = list(samples())
    write(repo, made)
    assert main(["gate", "-j2", "--format", "json"]) == 1
    found = {}
    for file in json.loads(capsys.readouterr().out)["files"]:
        codes = {file["error"]["code"]} if file["error"] else set()
        codes |= {one["code"] for s in file["subjects"] for one in s["obligations"] if one["verdict"] != "proved"}
        found[file["path"]] = codes
    assert {path for path, codes in found.items() if codes} == {one.path for one in made if one.wrong}
    assert [one.path for one in made if one.wrong and not one.wrong & found[one.path]] == []
    assert make(60, 5) == make(60, 5)
    assert sum(bool(one.wrong) for one in make(60, 5)) == 5
