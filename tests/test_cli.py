"""The command line: what each command prints, its exit code, and that no input makes a traceback."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import gradproof as gp
import numpy as np
import pytest
from gradproof.cli import main

EXAMPLES = Path(__file__).parent.parent / "examples"
RIGHT = """
dim n >= 1
fn double(x) = 2 * x
graph f(x: f64[n], w: f64[n]) -> f64[] { return sum(double(x) * w) }
"""
WRONG = "fn cube_(x) {\n  y = x^3\n  vjp x = 2 * g * x^2\n}\n"


@pytest.fixture
def right(tmp_path: Path) -> Path:
    path = tmp_path / "right.gproof"
    path.write_text(RIGHT)
    return path


@pytest.fixture
def wrong(tmp_path: Path) -> Path:
    path = tmp_path / "wrong.gproof"
    path.write_text(WRONG)
    return path


def run(*args: object, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "gradproof.cli", *map(str, args)]
    return subprocess.run(command, input=stdin, capture_output=True, check=False, timeout=120)


# verify


def test_verify_proves(right: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(right)]) == 0
    shown = capsys.readouterr().out
    assert "graph f" in shown
    assert "0 refuted, 0 unknown in 1 file" in shown


def test_verify_refutes_with_the_place_and_the_point(wrong: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(wrong)]) == 1
    shown = capsys.readouterr().out
    for expected in ("refuted: VJP of op cube_", "counterexample", "expected", "got", "replayed", f"{wrong}:"):
        assert expected in shown, expected


def test_verify_json(right: Path, wrong: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(right), str(wrong), "--format", "json"]) == 1
    data = json.loads(capsys.readouterr().out)
    assert [file["path"] for file in data["files"]] == [str(right), str(wrong)]
    assert data["summary"]["refuted"] >= 1
    assert data["summary"]["unknown"] == 0


def test_verify_folders_and_globs(right: Path, wrong: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(right.parent)]) == 1
    assert "in 2 files" in capsys.readouterr().out
    assert main(["verify", str(right.parent / "rig*.gproof"), str(right)]) == 0  # named twice, verified once
    assert "in 1 file," in capsys.readouterr().out


def test_verify_standard_input() -> None:
    done = run("verify", "-", stdin=RIGHT.encode())
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.startswith(b"<stdin>")
    assert run("verify", "-", stdin=WRONG.encode()).returncode == 1


def test_verify_ill_formed(tmp_path: Path, right: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = tmp_path / "bad.gproof"
    bad.write_text("graph f(x: f64[3]) -> f64[3] { return x @@ x }\n")
    assert main(["verify", str(bad), str(right)]) == 1
    shown = capsys.readouterr().out
    assert f"{bad}:1:" in shown
    assert "^" in shown
    assert "1 ill-formed in 2 files" in shown


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n# only a comment\n",
        b"\x00\x01\xff\xfe binary \x80",
        "graph f(\u03b1: f64[2]) -> f64[2] { return \u03b1 }".encode(),
        b"graph f(x: f64[1]) -> f64[1] { return " + b"(" * 100_000 + b"x" + b")" * 100_000 + b" }",
        b"dim n = " + b"9" * 10_000,
        b"fn f(x) = x^" + b"9" * 500,
        b"graph f(x: f64[",
        b'use "../../etc/passwd"',
        b"fn f(x) = f(x)",
    ],
    ids=["empty", "comment", "binary", "unicode", "deep", "huge-dim", "huge-power", "cut", "escape", "recursive"],
)
def test_verify_never_ends_in_a_traceback(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "odd.gproof"
    path.write_bytes(content)
    for done in (run("verify", path), run("verify", "-", stdin=content)):
        assert done.returncode in (0, 1), done.stderr[-2000:]
        assert b"Traceback" not in done.stderr + done.stdout
        assert b"internal error" not in done.stderr


# usage


@pytest.mark.parametrize(
    "args",
    [
        [],
        ["frobnicate"],
        ["verify"],
        ["verify", "no/such/file.gproof"],
        ["verify", "no*such*.gproof"],
        ["verify", "--timeout", "-1", "x.gproof"],
        ["verify", "--timeout", "nan", "x.gproof"],
        ["verify", "--format", "xml", "x.gproof"],
        ["run", "no/such/file.gproof"],
        ["graph", "no/such/file.gproof"],
        ["ops", "no_such_operator", "--no-proof"],
    ],
)
def test_usage_errors(args: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(args) == 2
    assert "gradproof" in capsys.readouterr().err


def test_an_empty_folder_is_a_usage_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(tmp_path)]) == 2
    assert "no .gproof file" in capsys.readouterr().err


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"gradproof {gp.__version__}\n"


def test_internal_errors_are_said(
    right: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import gradproof.commands

    def broken(_: object) -> int:
        raise ZeroDivisionError("oh")

    monkeypatch.setattr(gradproof.commands, "verify", broken)
    assert main(["verify", str(right)]) == 2
    shown = capsys.readouterr().err
    assert "internal error" in shown
    assert "please report" in shown
    assert "ZeroDivisionError: oh" in shown
    assert "Traceback" not in shown


@pytest.mark.skipif(os.name != "posix", reason="signals and pipes as POSIX has them")
def interruptible() -> None:
    """What a shell starts in the background inherits that interrupts are ignored: tests are, too, sometimes."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_interrupt_and_broken_pipe_are_quiet() -> None:
    command = [sys.executable, "-m", "gradproof.cli", "verify", "-"]
    for patience in (1, 5, 20):  # seconds until the command waits for its input, on a busy machine
        waiting = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=interruptible
        )
        time.sleep(patience)
        waiting.send_signal(signal.SIGINT)
        _, err = waiting.communicate(timeout=30)
        if waiting.returncode == 130:
            break
    assert (waiting.returncode, err) == (130, b"gradproof: interrupted\n")

    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "gradproof.cli", "ops", "--no-proof"], stdout=write, stderr=subprocess.PIPE, check=False
    )
    os.close(write)
    assert done.stderr == b""


# run


def test_run_says_what_it_needs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", str(EXAMPLES / "digits.gproof"), "--graph", "loss"]) == 0
    shown = capsys.readouterr().out
    for expected in ("x: f32[B, 64]", "label: i32[B]", "B >= 1", "0 <= label", "np.savez"):
        assert expected in shown, expected


def test_run_gradients(right: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    x, w = np.array([1.0, 2.0, 3.0]), np.array([0.5, -1.0, 2.0])
    np.savez(tmp_path / "in.npz", x=x, w=w)
    out = tmp_path / "out.npz"
    assert main(["run", str(right), "--inputs", str(tmp_path / "in.npz"), "--grad", "-o", str(out)]) == 0
    with np.load(out) as found:
        (value,) = (found[name] for name in found.files if "." not in name)
        assert value == pytest.approx(2 * x @ w)
        np.testing.assert_allclose(found["grad.x"], 2 * w)
        np.testing.assert_allclose(found["grad.w"], 2 * x)


@pytest.mark.parametrize("scalar", ["float64", "float32", "rational", "interval"])
def test_run_with_each_scalar(right: Path, tmp_path: Path, scalar: str) -> None:
    np.savez(tmp_path / "in.npz", x=[0.5, 2.0], w=[3.0, 0.25])
    out = tmp_path / "out.npz"
    assert main(["run", str(right), "--inputs", str(tmp_path / "in.npz"), "--scalar", scalar, "-o", str(out)]) == 0
    with np.load(out) as found:
        (name,) = found.files
        value = found[name]
    if scalar == "rational":
        assert value.item() == "4"
    elif scalar == "interval":
        low, high = value
        assert low <= 4.0 <= high <= low + 1e-9
    else:
        assert value == 4.0
        assert value.dtype == scalar


def test_run_jvp_and_vjp_agree(right: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x, w, dx, dw = rng.standard_normal((4, 5))
    np.savez(tmp_path / "in.npz", x=x, w=w)
    np.savez(tmp_path / "t.npz", x=dx, w=dw)
    np.savez(tmp_path / "ct.npz", out=np.array(3.0))
    common = ["run", str(right), "--inputs", str(tmp_path / "in.npz")]
    assert main([*common, "--jvp", str(tmp_path / "t.npz"), "-o", str(tmp_path / "j.npz")]) == 0
    assert main([*common, "--vjp", str(tmp_path / "ct.npz"), "-o", str(tmp_path / "v.npz")]) in (0, 2)
    with np.load(tmp_path / "j.npz") as found:
        (tangent,) = (found[name] for name in found.files if name.startswith("jvp."))
        (output,) = (name for name in found.files if "." not in name)
    np.savez(tmp_path / "ct.npz", **{output: np.array(3.0)})
    assert main([*common, "--vjp", str(tmp_path / "ct.npz"), "-o", str(tmp_path / "v.npz")]) == 0
    with np.load(tmp_path / "v.npz") as found:
        pulled = found["vjp.x"] @ dx + found["vjp.w"] @ dw
    assert pulled == pytest.approx(3.0 * tangent)


def test_run_all_values(right: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "in.npz", x=[1.0, 2.0], w=[3.0, 4.0])
    out = tmp_path / "out.npz"
    assert main(["run", str(right), "--inputs", str(tmp_path / "in.npz"), "--all-values", "-o", str(out)]) == 0
    with np.load(out) as found:
        values = [found[name] for name in found.files if name.startswith("value.")]
    assert any(np.array_equal(value, [2.0, 4.0]) for value in values)  # double(x)


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"x": [1.0]}, "w"),
        ({"x": [1.0], "w": [1.0, 2.0]}, "w"),
        ({"x": [[1.0]], "w": [1.0]}, "x"),
        ({"x": [1.0], "w": [1.0], "extra": [1.0]}, "extra"),
        ({"x": ["a"], "w": [1.0]}, "x"),
    ],
    ids=["missing", "size", "rank", "unknown", "text"],
)
def test_run_refuses_wrong_inputs(
    right: Path, tmp_path: Path, arrays: dict[str, object], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    np.savez(tmp_path / "in.npz", **{name: np.array(value) for name, value in arrays.items()})
    assert main(["run", str(right), "--inputs", str(tmp_path / "in.npz"), "-o", str(tmp_path / "o.npz")]) == 2
    shown = capsys.readouterr().err
    assert said in shown
    assert "internal error" not in shown
    assert not (tmp_path / "o.npz").exists()


def test_run_refuses_what_is_no_npz(right: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = tmp_path / "in.npz"
    bad.write_bytes(b"not an archive")
    assert main(["run", str(right), "--inputs", str(bad)]) == 2
    assert "in.npz" in capsys.readouterr().err


def test_run_refuses_pickles(right: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.savez(tmp_path / "in.npz", x=np.array([{}], dtype=object), w=[1.0], allow_pickle=True)
    assert main(["run", str(right), "--inputs", str(tmp_path / "in.npz")]) == 2
    assert "internal error" not in capsys.readouterr().err


def test_run_refuses_the_unproved(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "wrong.gproof"
    path.write_text(WRONG + "graph f(x: f64[2]) -> f64[] { return sum(cube_(x)) }\n")
    np.savez(tmp_path / "in.npz", x=[1.0, 2.0])
    out = tmp_path / "out.npz"
    assert main(["run", str(path), "--inputs", str(tmp_path / "in.npz"), "-o", str(out)]) == 1
    assert "refuted: VJP of op cube_" in capsys.readouterr().err
    assert not out.exists()


# fmt, graph, ops


def test_fmt(right: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fmt", str(right)]) == 0
    once = right.read_text()
    assert main(["fmt", "--check", str(right)]) == 0
    right.write_text(once.replace("  ", "      ").replace(" = ", "="))
    assert main(["fmt", "--check", str(right)]) == 1
    assert "would reformat" in capsys.readouterr().out
    assert main(["fmt", str(right)]) == 0
    assert right.read_text() == once


def test_fmt_standard_input() -> None:
    done = run("fmt", "-", stdin=b"fn   f( x )=x+1")
    assert (done.returncode, done.stdout) == (0, b"fn f(x) = x + 1\n")


def test_fmt_ssa_is_a_program(right: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fmt", "--ssa", str(right)]) == 0
    text = capsys.readouterr().out
    assert right.read_text() == RIGHT  # nothing is rewritten
    assert gp.verify(text).ok


@pytest.mark.parametrize(("kind", "start"), [("dot", "digraph"), ("mermaid", "flowchart"), ("json", "{")])
def test_graph(right: Path, kind: str, start: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["graph", str(right), "--format", kind]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith(start)
    assert "double" in shown


def test_graph_json_has_every_node(right: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["graph", str(right), "--format", "json"]) == 0
    (graph,) = json.loads(capsys.readouterr().out)["graphs"]
    assert [i["name"] for i in graph["inputs"]] == ["x", "w"]
    assert [n["op"] for n in graph["nodes"]] == ["double", "mul", "sum"]
    assert graph["outputs"][0]["id"] == graph["nodes"][-1]["id"]


def test_ops(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ops", "softmax"]) == 0
    shown = capsys.readouterr().out
    for expected in ("softmax", "[S.., n]", "exp", "vjp", "proved"):
        assert expected in shown, expected
    assert main(["ops", "softmax", "--format", "json"]) == 0
    (first, *_) = json.loads(capsys.readouterr().out)["operators"]
    assert first["name"] == "softmax"
    assert first["status"] == "proved"


def test_ops_lists_all(capsys: pytest.CaptureFixture[str]) -> None:
    from gradproof.compiler.library import prelude

    assert main(["ops", "--no-proof", "--format", "json"]) == 0
    listed = {op["name"] for op in json.loads(capsys.readouterr().out)["operators"]}
    assert set(prelude().ops) <= listed


def test_the_same_operator_in_two_files_is_shown_in_each(wrong: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy = wrong.with_name("copy.gproof")
    copy.write_text(WRONG)
    assert main(["verify", str(wrong), str(copy)]) == 1
    shown = capsys.readouterr().out
    assert f"at {wrong}:3:" in shown
    assert f"at {copy}:3:" in shown


@pytest.mark.parametrize("content", ["", "# only a comment\n", "dim N\n"])
def test_nothing_to_prove_is_no_pass(tmp_path: Path, content: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "empty.gproof"
    path.write_text(content)
    assert main(["verify", str(path)]) == 1
    assert "E-EMPTY" in capsys.readouterr().out
