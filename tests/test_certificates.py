"""Certificates: the same bytes everywhere, read back to the program that was proved, refused when they are changed."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import gradproof as gp
import numpy as np
import pytest
from gradproof.certificates import build
from gradproof.paths import Text
from gradproof.verifier.checker import main as checker
from gradproof.verifier.checker.reading import BYTES, canonical, digest_of, load
from gradproof.verifier.checker.terms import Refused

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples"
BLOCKED = """
import importlib.abc, sys
class Blocker(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("z3", "lark", "flint") or name in ("gradproof.grammar.parse",):
            raise ImportError(f"{name} is blocked")
sys.meta_path.insert(0, Blocker())
"""


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("gpc") / "digits.gpc"
    build(EXAMPLES / "digits.gproof", path)
    return path


def resealed(data: dict[str, Any]) -> bytes:
    """The bytes of changed data, with a digest that fits."""
    data["digest"] = ""
    data["sha256"] = hashlib.sha256(data["source"].encode()).hexdigest()
    data["digest"] = digest_of(canonical(data), "")
    return canonical(data)


def refused(content: bytes) -> str:
    with pytest.raises(Refused) as problem:
        checker.check(content, allow_trusted=True)
    assert "\n" not in str(problem.value)
    return str(problem.value)


def test_the_schema_describes_it(digits: Path) -> None:
    import jsonschema

    schema = json.loads((ROOT / "driver" / "report" / "certificate.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(schema).validate(json.loads(digits.read_bytes()))


@pytest.mark.parametrize("name", ["right/softsign_output", "ode"])
def test_the_bytes_are_the_same_in_every_process(name: str, tmp_path: Path) -> None:
    found = set()
    for seed in ("0", "1", "42"):
        path = tmp_path / f"{seed}.gpc"
        code = f"import gradproof as gp; gp.build({str(EXAMPLES / name)!r} + '.gproof', {str(path)!r})"
        subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONHASHSEED": seed})
        found.add(path.read_bytes())
    assert len(found) == 1
    content = found.pop()
    assert str(ROOT).encode() not in content and canonical(json.loads(content)) == content


def test_a_loaded_program_runs_like_the_compiled_one(digits: Path) -> None:
    compiled = gp.compile(EXAMPLES / "digits.gproof")
    rng = np.random.default_rng(0)
    shapes = {"x": (5, 64), "w1": (64, 32), "b1": (32,), "w2": (32, 10), "b2": (10,)}
    given: dict[str, Any] = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    given["label"] = np.array([0, 3, 9, 1, 1], np.int32)
    program = gp.load(digits, "loss", allow_trusted=True)
    value, grads = program.value_and_grad(given)
    expected, wanted = compiled["loss"].value_and_grad(given)
    assert value == expected and list(grads) == list(wanted)
    for name, grad in grads.items():
        np.testing.assert_array_equal(grad, wanted[name])
    scores = gp.load(digits, "scores", allow_trusted=True)
    del given["label"]
    np.testing.assert_array_equal(scores.forward(given), compiled["scores"].forward(given))


def test_no_compiler_and_no_solver_is_needed_to_load(digits: Path) -> None:
    code = f"""{BLOCKED}
import gradproof as gp, numpy as np
shapes = dict(x=(2, 64), w1=(64, 32), b1=(32,), w2=(32, 10), b2=(10,))
program = gp.load({str(digits)!r}, "scores", allow_trusted=True)
print(program.forward({{n: np.ones(shape) for n, shape in shapes.items()}}).shape)
print([m for m in ("z3", "lark", "flint", "gradproof.compiler.elaborate") if m in sys.modules])
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.splitlines() == ["(2, 10)", "[]"]


def test_a_graph_must_be_named_where_there_are_several(digits: Path) -> None:
    with pytest.raises(KeyError, match="loss, scores"):
        gp.load(digits, allow_trusted=True)
    with pytest.raises(KeyError, match="no graph 'gone'"):
        gp.load(digits, "gone", allow_trusted=True)


def test_graphs_that_python_builds_have_certificates_too(tmp_path: Path) -> None:
    b = gp.GraphBuilder("double")
    n = b.dim("N")
    x = b.input("x", "f64", (n,))
    built = gp.build(b.build(x + x), tmp_path / "double.gpc")
    assert built.replayed + built.z3 + built.verifier == len(json.loads(built.content)["claims"])
    program = gp.load(tmp_path / "double.gpc", allow_trusted=True)
    np.testing.assert_array_equal(program.forward(x=np.arange(3.0)), [0.0, 2.0, 4.0])


def test_used_files_are_in_it(tmp_path: Path) -> None:
    (tmp_path / "layers.gproof").write_text("fn   swish(x) = x/(1+exp(-x))\n")
    text = 'use "layers.gproof"\ndim N\ngraph f(x: f64[N]) -> f64[N] {\n  return swish(x)\n}\n'
    (tmp_path / "net.gproof").write_text(text)
    data = json.loads(gp.build(tmp_path / "net.gproof").content)
    assert data["uses"] == [["layers.gproof", "fn swish(x) = x / (1 + exp(-x))\n"]]
    assert data["sha256"] == hashlib.sha256(data["source"].encode()).hexdigest()


def test_words_in_a_text_are_no_truth_values(tmp_path: Path) -> None:
    """Escaped line ends and quotes do not end a text; what it says is the author's business."""
    number = "1" * 500
    text = f'# it is "true", or false, or {number}\nfn half(x) = x / 2  # "\\" true\n'
    (tmp_path / "said.gproof").write_text(text)
    assert number in json.loads(gp.build(tmp_path / "said.gproof").content)["source"]


def test_layout_does_not_change_it(tmp_path: Path) -> None:
    one = "fn swish(x) = x / (1 + exp(-x))\n"
    (tmp_path / "a.gproof").write_text(one)
    (tmp_path / "b.gproof").write_text("\n\n" + one.replace(" ", "   "))
    assert gp.build(tmp_path / "a.gproof").content == gp.build(tmp_path / "b.gproof").content


def test_what_is_not_proved_has_none(tmp_path: Path) -> None:
    output = tmp_path / "no.gpc"
    with pytest.raises(gp.ProofError):
        gp.build(EXAMPLES / "wrong" / "cosh_sign.gproof", output)
    assert not list(tmp_path.iterdir())


# The command line.


def gradproof(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "gradproof.cli", *words], capture_output=True, text=True, check=False)


def test_build_and_check_from_the_command_line(tmp_path: Path) -> None:
    source = tmp_path / "s.gproof"
    source.write_text((EXAMPLES / "right" / "softsign_output.gproof").read_text())
    built = gradproof("build", str(source))
    assert built.returncode == 0 and "claims:" in built.stdout and (tmp_path / "s.gpc").exists()
    checked = gradproof("check", str(tmp_path / "s.gpc"), "--allow-trusted", "--format", "json")
    (result,) = json.loads(checked.stdout)
    assert checked.returncode == 0 and result["answer"] == "proved"
    assert result["claims"] == result["replayed"] + result["z3"] + result["verifier"]
    assert len(result["word"]) == result["z3"] + result["verifier"]


def test_check_says_in_one_line_why_not(tmp_path: Path) -> None:
    for name, content in {"empty": b"", "text": b"fn f(x) = x\n", "list": b"[]\n", "deep": b"[" * 100_000}.items():
        path = tmp_path / f"{name}.gpc"
        path.write_bytes(content)
        checked = gradproof("check", str(path))
        assert checked.returncode == 1 and checked.stderr == ""
        assert checked.stdout.count("\n") == 1 and f"{name}.gpc: refused: " in checked.stdout
    gone = gradproof("check", str(tmp_path / "gone.gpc"))
    assert gone.returncode == 1 and "No such file" in gone.stdout
    assert gradproof("check").returncode == 2


def test_the_checker_is_a_single_script(digits: Path, tmp_path: Path) -> None:
    """As a folder and as a zip, isolated, with nothing installed."""
    folder = ROOT / "verifier" / "checker"
    script = tmp_path / "check.pyz"
    subprocess.run([sys.executable, "-m", "zipapp", str(folder), "-o", str(script)], check=True)
    for what in (folder, script):
        words = [sys.executable, "-I", "-S", str(what), "--allow-trusted", str(digits)]
        run = subprocess.run(words, capture_output=True, text=True, check=True)
        assert run.stdout.startswith(f"{digits}: proved: ")


def test_a_large_file_is_refused_by_its_size(tmp_path: Path) -> None:
    path = tmp_path / "large.gpc"
    with path.open("wb") as file:
        file.truncate(BYTES + 1)  # sparse: it takes no room
    with pytest.raises(Refused, match="larger than"):
        load(str(path))


# What is read strictly.


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda c: c[:-2], "no JSON"),
        (lambda c: c + b" ", "canonical"),
        (lambda c: c.replace(b'"schema":1', b'"schema": 1'), "canonical"),
        (lambda c: c.replace(b'"schema":1', b'"schema":1.0'), "no integer"),
        (lambda c: c.replace(b'"schema":1', b'"schema":NaN'), "no integer"),
        (lambda c: c.replace(b'"schema":1', b'"schema":true'), "truth value"),
        (lambda c: c.replace(b'"schema":1', b'"schema":' + b"1" * 5000), "digits"),
        (lambda c: c.replace(b'"schema":1', b'"schema":1,"schema":1'), "given twice"),
        (lambda c: c.replace(b'"schema":1', b'"aschema":1'), "`aschema` is unknown"),
        (lambda c: c.replace(b'"schema":1', b'"schema":2'), "schema 1"),
        (lambda c: c.replace(b"dim B", b"dim C"), "digest"),
        (lambda c: c.replace(b"dim B", b"dim \xff"), "UTF-8"),
    ],
)
def test_bytes_are_read_strictly(change: Any, reason: str, digits: Path) -> None:
    content = digits.read_bytes()
    assert change(content) != content
    assert reason in refused(change(content))


def test_the_source_cannot_be_swapped_by_its_hash_alone(digits: Path) -> None:
    data = json.loads(digits.read_bytes())
    data["source"] += "\n"
    data["digest"] = ""
    data["digest"] = digest_of(canonical(data), "")
    assert "another source" in refused(canonical(data))


def _claims(change: Any) -> Any:
    def apply(data: dict[str, Any]) -> None:
        change(data["claims"])

    return apply


@pytest.mark.parametrize(
    "change",
    [
        _claims(lambda c: c.pop()),
        _claims(lambda c: c.pop(3)),
        _claims(lambda c: c.append(c[-1])),
        _claims(lambda c: c.insert(2, c[2])),
        _claims(lambda c: c.reverse()),
        _claims(lambda c: c[0].update(text="all is well")),
        _claims(lambda c: c[0].update(code="DOM")),
        _claims(lambda c: c[0].update(kind="graph")),
        _claims(lambda c: c[0].update(subject="matmul")),
        _claims(lambda c: c[0].update(more=1)),
        _claims(lambda c: c[0].update(evidence={"by": "faith"})),
        _claims(lambda c: c[0].update(evidence={"by": "z3", "said": "yes"})),
        _claims(lambda c: c[0].update(evidence=[])),
        _claims(lambda c: c[0].pop("evidence")),
        lambda d: d.update(claims={}),
        lambda d: d.update(terms={}),
        lambda d: d["terms"].reverse(),
        lambda d: d["terms"].pop(len(d["terms"]) // 2),
        lambda d: d["ops"].pop("matmul"),
        lambda d: d["ops"].update(extra=d["ops"]["matmul"]),
        lambda d: d["graphs"].pop("loss"),
        lambda d: d["trusted"].append(["matmul", ["k"], ["law"]]),
    ],
)
def test_claims_are_all_there_in_order_and_no_others(change: Any, digits: Path) -> None:
    data = json.loads(digits.read_bytes())
    change(data)
    assert refused(resealed(data))


# Graphs. Evidence is replayed against the graph that the certificate holds, so one without the other is refused.

GATHER = """
dim N >= 1, K
graph pick(x: f64[N], y: f64[N], idx: i32[K], t: f64[]) -> f64[K] {
  assume 0 <= idx < N
  s = x * y + x
  return take(s * t, idx)
}
"""


@pytest.fixture(scope="module")
def pick(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(build(Text("pick", GATHER)).content)
    by = {claim["code"]: claim["evidence"]["by"] for claim in data["claims"] if claim["kind"] == "graph"}
    assert (
        by.items() >= {"WF": "structure", "SHAPE": "shape", "EDGE": "table", "FWD": "table", "DENSE": "table"}.items()
    )
    return data


def _graph(change: Any) -> Any:
    def apply(data: dict[str, Any]) -> None:
        change(data["graphs"]["pick"])

    return apply


def _evidence(code: str, change: Any) -> Any:
    def apply(data: dict[str, Any]) -> None:
        change(next(c["evidence"] for c in data["claims"] if c["code"] == code and c["kind"] == "graph"))

    return apply


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (_graph(lambda g: g["nodes"][-1][2].__setitem__(0, len(g["nodes"]) - 1)), ""),
        (_graph(lambda g: g["nodes"][-1][2].__setitem__(0, -1)), "not defined before"),
        (_graph(lambda g: g["nodes"][-1][2].__setitem__(0, "gone")), "not defined before"),
        (_graph(lambda g: g["nodes"][-1][2].pop()), ""),
        (_graph(lambda g: g["nodes"][-1][2].reverse()), ""),
        (_graph(lambda g: g["nodes"][-1].__setitem__(0, "x")), "its name is taken"),
        (_graph(lambda g: g["nodes"][-1].__setitem__(1, "input")), ""),
        (_graph(lambda g: g["nodes"][-1].__setitem__(1, "gone")), "not formed"),
        (_graph(lambda g: g["nodes"][-1][5].append(g["nodes"][-1][5][1])), "is not what it gets"),
        (_graph(lambda g: g["nodes"][0][5].__setitem__(0, "i32")), "not real"),
        (_graph(lambda g: g["nodes"][0][5].__setitem__(0, "f16")), "not formed"),
        (_graph(lambda g: g["nodes"][0][5].__setitem__(1, -1)), "a size is no polynomial"),
        (_graph(lambda g: g["nodes"][0][5].__setitem__(1, 10**6)), "a size is no polynomial"),
        (_graph(lambda g: g["nodes"].pop()), ""),
        (_graph(lambda g: g["nodes"].pop(0)), ""),
        (_graph(lambda g: g.update(leaves=2)), ""),
        (_graph(lambda g: g.update(leaves=-1)), ""),
        (_graph(lambda g: g.update(outputs=[])), "no output"),
        (_graph(lambda g: g.update(outputs=[["result", -1]])), "does not exist"),
        (_graph(lambda g: g["dims"].pop(0)), "no dim"),
        (_graph(lambda g: g.update(assumes=[])), "SHAPE of pick"),
        (_graph(lambda g: g["assumes"].pop()), "SHAPE of pick"),
        (_graph(lambda g: g["assumes"][1].__setitem__(1, "<=")), "is not shown"),
        (_graph(lambda g: g["assumes"][1][0].__setitem__(1, "gone")), "does not exist"),
        (_graph(lambda g: g.update(more=1)), "unknown"),
        (_evidence("SHAPE", lambda e: e["steps"].pop()), "ends before"),
        (_evidence("SHAPE", lambda e: e["steps"].append(0)), "holds more"),
        (_evidence("SHAPE", lambda e: e.update(steps=[0] * 9)), "is not shown"),
        (_evidence("SHAPE", lambda e: e.update(steps={})), "not a list"),
        (_evidence("SHAPE", lambda e: e.update(more=1)), "unknown"),
        (_evidence("DENSE", lambda e: e["rows"][0][0].reverse()), "not the graph's"),
        (_evidence("DENSE", lambda e: e["rows"][0][0].pop()), "not the graph's"),
        (_evidence("DENSE", lambda e: e["rows"][0][0].append([4, 0])), "not the graph's"),
        (_evidence("DENSE", lambda e: e["rows"].pop()), "not the graph's"),
        (_evidence("FWD", lambda e: e["rows"][-1].reverse()), "not the graph's"),
        (_evidence("EDGE", lambda e: e["rows"][-1][1].append(4)), "not the graph's"),
        (_evidence("EDGE", lambda e: e.update(by="structure")), "well-formedness only"),
        (_evidence("WF", lambda e: e.update(by="table", rows=[])), ""),
    ],
)
def test_a_forged_graph_is_refused(change: Any, reason: str, pick: dict[str, Any]) -> None:
    data = json.loads(json.dumps(pick))
    change(data)
    assert data != pick
    assert reason in refused(resealed(data))


# Plans: what a step reads, computes or overwrites is changed, and so is what the evidence says of it.


def _plan(mode: str, change: Any) -> Any:
    def apply(data: dict[str, Any]) -> None:
        change(data["graphs"]["pick"]["plans"][mode], data["graphs"]["pick"]["templates"])

    return apply


def _swap(rows: list[Any], a: int, b: int) -> None:
    rows[a], rows[b] = rows[b], rows[a]


def _share(plan: dict[str, Any], _: Any) -> None:
    """Two registers of one size, one of which is still needed, in one buffer."""
    plan["slots"][-1] = plan["slots"][0]


@pytest.mark.parametrize(
    "change",
    [
        *(_plan(mode, lambda p, _: p["steps"].pop()) for mode in ("forward", "jvp", "vjp")),
        *(_plan(mode, lambda p, _: p["steps"][-1].reverse()) for mode in ("forward", "jvp", "vjp")),
        *(_plan(mode, lambda p, _: _swap(p["steps"], 0, -1)) for mode in ("forward", "jvp", "vjp")),
        *(_plan(mode, _share) for mode in ("forward", "jvp", "vjp")),
        *(_plan(mode, lambda p, _: p["outputs"].reverse()) for mode in ("jvp", "vjp")),
        *(_plan(mode, lambda p, _: p["produces"].reverse()) for mode in ("jvp", "vjp")),
        _plan("forward", lambda p, _: p["inputs"].reverse()),
        _plan("forward", lambda p, _: p["inputs"][0].__setitem__(0, "other")),
        _plan("forward", lambda p, _: p["steps"][0].__setitem__(1, 10**6)),
        _plan("forward", lambda p, _: p["steps"][0].__setitem__(1, -1)),
        _plan("forward", lambda p, _: p["steps"][0].__setitem__(0, -1)),
        _plan("forward", lambda p, _: p["steps"][0].append(0)),
        _plan("forward", lambda p, _: p["static"].append(4)),
        _plan("forward", lambda p, _: p["sizes"][0].__setitem__(0, "int")),
        _plan("forward", lambda p, _: p["slots"].pop()),
        _plan("forward", lambda p, _: p["slots"].__setitem__(0, -1)),
        _plan("forward", lambda p, _: p.update(more=1)),
        _plan("forward", lambda p, t: t[0].__setitem__(1, "sub")),
        _plan("forward", lambda p, t: t[0].__setitem__(0, "loop")),
        _plan("forward", lambda p, t: t[0].__setitem__(0, "exec")),
        _plan("forward", lambda p, t: t[0].__setitem__(2, "bool")),
        _plan("forward", lambda p, t: t[0].__setitem__(4, 0)),
        _plan("forward", lambda p, t: t[0][5].reverse() or t[0][5].pop()),
        _plan("forward", lambda p, t: t[0][5][0].__setitem__(1, 1)),
        _plan("forward", lambda p, t: t[0][5][0].__setitem__(2, t[0][3][0])),
        _graph(lambda g: g["plans"].pop("vjp")),
        _graph(lambda g: g["plans"].update(vjp=g["plans"]["jvp"])),
        _graph(lambda g: g["plans"].update(value_and_grad=g["plans"]["vjp"])),
        _evidence("PLAN", lambda e: e["plans"].pop("vjp")),
        _evidence("PLAN", lambda e: e["plans"]["vjp"]["back"].pop()),
        _evidence("PLAN", lambda e: e["plans"]["vjp"]["back"].append(0)),
        _evidence("PLAN", lambda e: e["plans"]["vjp"]["back"].reverse()),
        _evidence("PLAN", lambda e: e["plans"]["forward"]["values"].reverse()),
        _evidence("PLAN", lambda e: e["plans"]["forward"]["values"].__setitem__(-1, None)),
        _evidence("PLAN", lambda e: e["plans"]["forward"]["values"].__setitem__(0, 10**6)),
        _evidence("PLAN", lambda e: e["plans"]["jvp"]["moves"].reverse()),
        _evidence("PLAN", lambda e: e.update(by="structure")),
    ],
)
def test_a_forged_plan_is_refused(change: Any, pick: dict[str, Any]) -> None:
    by = {claim["code"]: claim["evidence"]["by"] for claim in pick["claims"] if claim["kind"] == "graph"}
    assert by["PLAN"] == "places"
    data = json.loads(json.dumps(pick))
    change(data)
    assert data != pick
    assert refused(resealed(data))


def test_a_gather_from_the_row_above_is_refused() -> None:
    """At `[idx - 1, j + M]` stands what stands at `[idx, j]`, but the executor holds each position in its axis."""
    text = "dim N >= 1, M, K\ngraph rows(x: f64[N, M], idx: i32[K]) -> f64[K, M] {\n"
    text += "  assume 0 <= idx < N\n  return take(x, idx)\n}\n"
    data = json.loads(build(Text("rows", text)).content)
    assert {c["code"]: c["evidence"]["by"] for c in data["claims"]}["PLAN"] == "places"
    terms, graph = data["terms"], data["graphs"]["rows"]
    row = next(row for row in graph["templates"] if row[0] == "read_at")
    (use,) = row[5]
    width = next(k for k, term in enumerate(terms) if term == ["sym", "M"])
    up, right = terms[use[2]], terms[use[3]]
    terms += [[*up, [-1]], [*right, [1, width]]]
    use[2:] = [len(terms) - 2, len(terms) - 1]
    assert "node 1 is computed as something else" in refused(resealed(data))


def test_the_digits_rest_on_nobodys_word(digits: Path) -> None:
    accepted = checker.check(digits.read_bytes())
    assert accepted.counts() == (len(accepted.claims), 0, 0) and len(accepted.claims) > 40
    assert gp.load(digits, "loss").graph.name == "loss"


def test_a_word_is_not_taken_unless_it_is_asked_for(digits: Path) -> None:
    data = json.loads(digits.read_bytes())
    data["claims"][0]["evidence"] = {"by": "verifier"}
    with pytest.raises(Refused, match="rests on the verifier's word"):
        checker.check(resealed(data))
    with pytest.raises(gp.Refused):
        path = digits.with_name("word.gpc")
        path.write_bytes(resealed(data))
        gp.load(path, "loss")
