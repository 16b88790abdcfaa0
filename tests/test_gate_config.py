"""Settings and discovery: which files, with which options, and every mistake told with its line."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
from gradproof.cli import main
from gradproof.gate.config import Config, find, read
from gradproof.gate.discovery import discover, matches
from gradproof.usage import UsageError

CASES = tomllib.loads((Path(__file__).parent / "cases" / "gate" / "config.toml").read_text())


@pytest.mark.parametrize("case", CASES["wrong"], ids=lambda case: case["text"].strip().splitlines()[-1][:40])
def test_a_mistake_is_told_with_its_line(case: dict[str, Any], tmp_path: Path) -> None:
    file = tmp_path / "pyproject.toml"
    file.write_text(case["text"])
    with pytest.raises(UsageError) as caught:
        read(file)
    told = str(caught.value)
    assert [words for words in case["says"] if words not in told] == []
    if "line" in case:
        assert told.startswith(f"{file}:{case['line']}:")
        assert f"\n{case['line']} | {case['text'].splitlines()[case['line'] - 1]}\n" in told
        assert "^" in told


@pytest.mark.parametrize("case", CASES["right"], ids=lambda case: str(len(case["values"])))
def test_settings_are_read(case: dict[str, Any], tmp_path: Path) -> None:
    file = tmp_path / "pyproject.toml"
    file.write_text(case["text"])
    found = read(file)
    for name, default in ((name, getattr(Config(tmp_path), name)) for name in Config.__slots__):
        wanted = case["values"].get(name, default)
        if name not in ("root", "file"):
            assert getattr(found, name) == (tuple(wanted) if isinstance(wanted, list) else wanted)


def test_an_ignore_knows_its_line(tmp_path: Path) -> None:
    file = tmp_path / "pyproject.toml"
    file.write_text(
        '[tool.gradproof]\nignore = [\n  { code = "DOM", path = "a/*", subject = "f", reason = " r " },\n]\n'
    )
    (found,) = read(file).ignore
    assert (found.code, found.path, found.subject, found.reason, found.line) == ("DOM", "a/*", "f", "r", 3)


def test_the_nearest_settings_count(tmp_path: Path) -> None:
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    (tmp_path / "pyproject.toml").write_text("[tool.gradproof]\njobs = 3\n")
    (tmp_path / "a" / "pyproject.toml").write_text("[project]\nname = 'x'\n")
    assert (find(inner).jobs, find(inner).root) == (3, tmp_path.resolve())
    (inner / "other.toml").write_text("[tool.gradproof]\njobs = 4\n")
    assert find(inner, str(inner / "other.toml")).jobs == 4
    with pytest.raises(UsageError, match="No such file"):
        find(inner, "none.toml")


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("b.gproof", "a.gproof", "x/c.gproof", "x/old/d.gproof", ".hidden/e.gproof", "x/f.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("paths", "include", "exclude", "expected", "excluded"),
    [
        ([], (), (), ["a.gproof", "b.gproof", "x/c.gproof", "x/old/d.gproof"], []),
        (["x", "a.gproof", "./a.gproof", "x/c.gproof"], (), (), ["a.gproof", "x/c.gproof", "x/old/d.gproof"], []),
        ([], (), ("old/",), ["a.gproof", "b.gproof", "x/c.gproof"], []),
        ([], ("x/",), ("x/old",), ["x/c.gproof"], []),
        ([], ("*.gproof", "!b.gproof"), (), ["a.gproof", "x/c.gproof", "x/old/d.gproof"], []),
        ([], ("/*.gproof",), (), ["a.gproof", "b.gproof"], []),
        (["a.gproof", "b.gproof"], ("x/",), ("b.*",), ["a.gproof"], ["b.gproof"]),
    ],
)
def test_discovery(
    paths: list[str],
    include: tuple[str, ...],
    exclude: tuple[str, ...],
    expected: list[str],
    excluded: list[str],
    tree: Path,
) -> None:
    assert discover(paths, Config(tree, include=include, exclude=exclude)) == (expected, excluded)


def test_the_root_counts_and_not_the_working_folder(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tree / "x")
    assert discover([], Config(tree, exclude=("x/old",))) == (["../a.gproof", "../b.gproof", "c.gproof"], [])
    assert matches("x/*", "c.gproof", tree)
    assert not matches("x/*", "../a.gproof", tree)


@pytest.mark.parametrize(
    ("paths", "says"), [(["none"], "no such file"), (["empty"], "no .gproof file"), (["a", "b"], "no such")]
)
def test_nothing_found_is_an_error(paths: list[str], says: str, tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["gate", *paths]) == 2
    assert says in capsys.readouterr().err


def test_all_that_was_named_is_excluded(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tree / "pyproject.toml").write_text("[tool.gradproof]\nexclude = ['*.gproof']\n")
    assert main(["gate", "a.gproof", "b.gproof"]) == 0
    assert capsys.readouterr().out == "nothing was proved: all 2 files that were named are excluded\n"
    assert main(["gate"]) == 2


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--jobs", "-3"], "must be from 1 to 1024"),
        (["--memory", "5"], "must be 512"),
        (["--format", "html"], "invalid choice"),
        (["--executor", "dask"], "needs --scheduler ADDRESS"),
        (["--scheduler", "tcp://x:1"], "--scheduler is for --executor dask"),
        (["--config", "none.toml"], "none.toml: No such file"),
    ],
)
def test_wrong_arguments(arguments: list[str], says: str, tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tree / "a.gproof").write_text("fn f(x) = x\n")
    assert main(["gate", "a.gproof", "--no-cache", *arguments]) == 2
    assert says in capsys.readouterr().err
