"""The recipes for CI, each run for real in a git repository: pre-commit, the GitHub action, GitLab, make."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml

ROOT = Path(__file__).parent.parent
RIGHT = "fn cubed(x) {\n  y = x^3\n  vjp x = 3*g * x^2\n}\n"
WRONG = RIGHT.replace("3*g", "2*g")


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Without the settings of this run; libraries come from where these tests have them, and from nowhere else."""
    libraries = os.pathsep.join(path for path in sys.path if path.endswith("site-packages"))
    git = {f"GIT_{who}_{what}": f"a@{who}" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("GIT", "PIP", "PRE_COMMIT"))}
    return {
        **kept,
        **git,
        "PYTHONPATH": libraries,
        "PIP_NO_INDEX": "1",
        "PIP_NO_BUILD_ISOLATION": "0",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PRE_COMMIT_HOME": str(tmp_path_factory.mktemp("pre-commit")),
        "XDG_STATE_HOME": str(tmp_path_factory.mktemp("state")),
    }


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory, environment: dict[str, str]) -> Path:
    """gradproof as a repository of its own, as it stands here, committed or not."""
    folder = tmp_path_factory.mktemp("source")
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (ROOT / name).is_file() and not name.startswith(("tests/", "docs/", "benchmarks/")):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    commit(folder, environment)
    return folder


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory, environment: dict[str, str]) -> dict[str, str]:
    """A machine with a Python of its own, in which gradproof is not installed yet."""
    folder = tmp_path_factory.mktemp("machine")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    return {**environment, "PATH": f"{folder / 'bin'}{os.pathsep}{environment['PATH']}"}


@pytest.fixture
def repo(tmp_path: Path, environment: dict[str, str]) -> Path:
    """Somebody's repository: one right file, one wrong one."""
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "right.gproof").write_text(RIGHT)
    (tmp_path / "models" / "wrong one.gproof").write_text(WRONG)
    commit(tmp_path, environment)
    return tmp_path


def commit(folder: Path, environment: dict[str, str]) -> None:
    """Make a git repository of a folder, with everything in it in one commit."""
    for arguments in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "all"]):
        subprocess.run(["git", *arguments], cwd=folder, env=environment, check=True)


def corrected(repo: Path) -> None:
    """Correct the wrong file."""
    (repo / "models" / "wrong one.gproof").write_text(RIGHT)


def run(command: list[str], folder: Path, environment: dict[str, str]) -> tuple[int, str]:
    """The exit code of a command, and all that it prints."""
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def test_pre_commit(source: Path, repo: Path, environment: dict[str, str]) -> None:
    config = yaml.safe_load((ROOT / "examples" / "ci" / "pre-commit.yaml").read_text())
    revision = run(["git", "rev-parse", "HEAD"], source, environment)[1].strip()
    config["repos"][0].update(repo=str(source), rev=revision)
    (repo / ".pre-commit-config.yaml").write_text(yaml.safe_dump(config))
    subprocess.run(["git", "add", "-A"], cwd=repo, env=environment, check=True)
    code, said = run([sys.executable, "-m", "pre_commit", "run"], repo, environment)
    assert (code, "(no files to check)Skipped" in said) == (0, True), said  # no .gproof file is in this commit
    code, said = run([sys.executable, "-m", "pre_commit", "run", "--all-files"], repo, environment)
    assert code == 1, said
    assert re.search(r"gradproof gate\.+Failed", said)
    assert "models/wrong one.gproof:3:7: VJP refuted" in said
    corrected(repo)
    subprocess.run(["git", "add", "-A"], cwd=repo, env=environment, check=True)
    code, said = run([sys.executable, "-m", "pre_commit", "run"], repo, environment)
    assert code == 0, said
    assert re.search(r"gradproof gate\.+Passed", said)
    assert re.search(r"gradproof fmt\.+Passed", said)


def steps(inputs: dict[str, str]) -> list[tuple[str, dict[str, str]]]:
    """What the action runs, with its inputs put in where it names them."""
    action = yaml.safe_load((ROOT / "action.yml").read_text())
    values = {name: inputs.get(name, str(one["default"])) for name, one in action["inputs"].items()}
    assert set(inputs) <= set(values)

    def filled(text: str) -> str:
        return re.sub(r"\$\{\{ inputs\.([\w-]+) \}\}", lambda m: values[m[1]], text)

    found = [step for step in action["runs"]["steps"] if "run" in step]
    assert all("${{" not in step["run"] and step["shell"] == "bash" for step in found)  # inputs are never shell text
    return [(step["run"], {name: filled(value) for name, value in step.get("env", {}).items()}) for step in found]


def act(inputs: dict[str, str], source: Path, repo: Path, machine: dict[str, str]) -> tuple[int, str]:
    """Run the action as GitHub does: each step in bash that stops at an error."""
    said = ""
    for text, env in steps(inputs):
        summary = {"GITHUB_STEP_SUMMARY": str(repo / "summary.md"), "GITHUB_ACTION_PATH": str(source)}
        command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", text]
        code, printed = run(command, repo, {**machine, **summary, **env})
        said += printed
        if code != 0:
            return code, said
    return 0, said


def test_the_action(source: Path, repo: Path, machine: dict[str, str]) -> None:
    code, said = act({"sarif": "out.sarif"}, source, repo, machine)
    assert code == 1, said
    assert "::error file=models/wrong one.gproof,line=3," in said
    assert '"ruleId": "VJP"' in (repo / "out.sarif").read_text()
    assert (repo / "summary.md").read_text().count("## gradproof: 1 not proved") == 1
    code, said = act({"paths": "models/right.gproof\n"}, source, repo, machine)
    assert code == 0, said
    assert "4 proved, 0 refuted" in said
    code, said = act({"paths": "$(touch intruder); `touch intruder`"}, source, repo, machine)
    assert code == 2, said
    assert not (repo / "intruder").exists()


def test_gitlab(source: Path, repo: Path, machine: dict[str, str]) -> None:
    job = yaml.safe_load((ROOT / "examples" / "ci" / "gitlab-ci.yml").read_text())["gradproof"]
    text = "\n".join([*job["before_script"], *job["script"]])
    environment = {**machine, "GRADPROOF": str(source)}
    for expected in (1, 0):
        code, said = run(["bash", "-eo", "pipefail", "-c", text], repo, environment)
        assert code == expected, said
        found = ElementTree.parse(repo / job["artifacts"]["reports"]["junit"]).getroot()
        assert sum(int(suite.get("failures", "")) for suite in found) == expected
        corrected(repo)


def test_make(source: Path, repo: Path, machine: dict[str, str]) -> None:
    shutil.copy(ROOT / "examples" / "ci" / "Makefile", repo / "Makefile")
    environment = {**machine, "GRADPROOF": "python -m gradproof.cli"}
    assert run(["python", "-m", "pip", "install", "-q", str(source)], repo, machine)[0] == 0
    code, said = run(["make", "gate"], repo, environment)
    assert (code, "models/wrong one.gproof:3:7: VJP refuted" in said) == (2, True), said
    corrected(repo)
    code, said = run(["make", "gate"], repo, environment)
    assert (code, "1 of 2 files are unchanged" in said) == (0, True), said
    code, said = run(["make", "gate-all"], repo, environment)
    assert (code, "unchanged" in said) == (0, False), said


def test_the_example_workflow_is_about_this_action() -> None:
    workflow: dict[str, Any] = yaml.safe_load((ROOT / "examples" / "ci" / "github.yml").read_text())
    action = yaml.safe_load((ROOT / "action.yml").read_text())
    (step,) = [s for s in workflow["jobs"]["gate"]["steps"] if s.get("uses", "").startswith("gradproof/")]
    assert set(step["with"]) <= set(action["inputs"])
