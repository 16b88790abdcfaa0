"""Certificates beside sources: fresh, stale, missing, forged; and rule proofs that are kept and replayed."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
from gradproof.cli import main
from gradproof.compiler.library import prelude
from gradproof.compiler.obligations import claims_of_op
from gradproof.compiler.ops import OpDef
from gradproof.gate import evidence
from gradproof.gate.store import NAME, Store
from gradproof.verifier.discharge import verify
from gradproof.verifier.operators import verdicts_of_op
from gradproof.verifier.options import Options

SOURCE = "fn cubed(x) {\n  y = x^3\n  vjp x = 3*g * x^2\n}\n"
USES = 'use "lib.gproof"\n\ndim n >= 1\n\ngraph f(x: f64[n]) -> f64[n] {\n  return twice(x)\n}\n'


@pytest.fixture(autouse=True)
def repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def gate(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    code = main(["gate", "-j1", *arguments])
    return code, capsys.readouterr().out


def test_fresh_stale_missing(repo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, certificate = repo / "a b.gproof", repo / "a b.gpc"
    source.write_text(SOURCE)
    (repo / "pyproject.toml").write_text("[tool.gradproof]\ncertificates = true\nallow-trusted = true\n")
    code, said = gate(capsys)
    assert (code, "G-MISSING" in said) == (1, True)
    renew = said.partition("help: ")[2].splitlines()[0]
    assert renew == "gradproof build 'a b.gproof' -o 'a b.gpc'"
    assert main(shlex.split(renew)[1:]) == 0
    capsys.readouterr()
    assert gate(capsys)[0] == 0
    assert gate(capsys)[0] == 0  # from the record
    source.write_text(SOURCE.replace("3*g * x^2", "3 *g*x^2"))
    assert gate(capsys)[0] == 0
    source.write_text(SOURCE.replace("cubed", "third"))
    for arguments in ((), (), ("--all",)):
        code, said = gate(capsys, *arguments)
        assert (code, "G-STALE" in said, "the source is another" in said, renew in said) == (1, True, True, True)
    good = certificate.read_bytes()
    certificate.write_bytes(good.replace(b'"sha256"', b'"sha257"'))
    code, said = gate(capsys)
    assert (code, "G-REFUSED" in said) == (1, True)
    certificate.unlink()
    assert "G-MISSING" in gate(capsys)[1]
    (repo / "pyproject.toml").write_text("")
    assert gate(capsys)[0] == 0


def test_a_certificate_of_other_used_files_is_stale(repo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (repo / "a.gproof").write_text(USES)
    (repo / "lib.gproof").write_text("fn twice(x) = 2*x\n")
    assert main(["build", "a.gproof"]) == 0
    capsys.readouterr()
    assert gate(capsys, "a.gproof", "--allow-trusted")[0] == 0
    (repo / "lib.gproof").write_text("fn twice(x) = 3*x\n")
    code, said = gate(capsys, "a.gproof", "--allow-trusted")
    assert (code, "a file that it uses is another" in said) == (1, True)


def forged(repo: Path, source: str) -> None:
    """A certificate that the checker accepts, about another function than the source that it says it has."""
    from gradproof.verifier.checker.reading import canonical, digest_of, parse

    (repo / "other.gproof").write_text(SOURCE.replace("x^3", "x^2").replace("3*g * x^2", "2*g * x"))
    assert main(["build", "other.gproof", "-o", "a.gpc"]) == 0
    (repo / "other.gproof").unlink()
    (repo / "right.gproof").write_text(source)
    assert main(["build", "right.gproof"]) == 0
    data, honest = parse((repo / "a.gpc").read_bytes()), parse((repo / "right.gpc").read_bytes())
    data |= {"source": honest["source"], "sha256": honest["sha256"], "digest": ""}
    data["digest"] = digest_of(canonical(data), "")
    (repo / "a.gpc").write_bytes(canonical(data))
    for name in ("right.gproof", "right.gpc"):
        (repo / name).unlink()


def test_a_source_with_the_proofs_of_another_is_found_out(repo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    forged(repo, SOURCE)
    (repo / "a.gproof").write_text(SOURCE)
    capsys.readouterr()
    code, said = gate(capsys, "--allow-trusted")
    assert (code, "what the source means is another" in said) == (1, True)


def test_what_rests_on_a_word_must_be_allowed(repo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (repo / "a.gproof").write_text("op inverse(a: [n, n]) -> [n, n] {\n  require n >= 1\n  y[i, j] = a[i, j]\n}\n")
    assert main(["build", "a.gproof"]) == 0
    data = json.loads((repo / "a.gpc").read_bytes())
    data["claims"][0]["evidence"] = {"by": "z3"}
    from gradproof.verifier.checker.reading import canonical, digest_of

    data["digest"] = digest_of(canonical({**data, "digest": ""}), "")
    (repo / "a.gpc").write_bytes(canonical(data))
    capsys.readouterr()
    code, said = gate(capsys)
    assert (code, "G-REFUSED" in said, "allow-trusted = true in [tool.gradproof]" in said) == (1, True, True)
    assert gate(capsys, "--allow-trusted")[0] == 0


def operator(name: str) -> OpDef:
    return prelude().ops[name]


@pytest.fixture
def store(repo: Path) -> Store:
    return Store(repo / NAME, b"k" * 32)


def entries(store: Store) -> list[Path]:
    assert store.folder is not None
    return [path for path in (store.folder / evidence.KIND).rglob("*") if path.is_file()]


def test_a_kept_proof_is_replayed(store: Store) -> None:
    op = operator("sigmoid")
    claims = claims_of_op(op)
    assert evidence.replayed(store, op, claims) is None
    proved = verdicts_of_op(op, Options())
    evidence.keep(store, op, proved)
    found = evidence.replayed(store, op, claims)
    assert found is not None
    assert [(v.claim, v.answer, v.scope) for v in found] == [(v.claim, "proved", v.scope) for v in proved]
    assert all(v.by.endswith(", replayed from evidence") for v in found)


def test_a_proof_is_replayed_and_not_believed(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even an entry with the right seal under the right name proves nothing but what the checker replays."""
    op, other = operator("sigmoid"), operator("tanh")
    for one in (op, other):
        evidence.keep(store, one, verdicts_of_op(one, Options()))
    names = {one.name: evidence._name(claims_of_op(one)) for one in (op, other)}
    data = {name: store.get(evidence.KIND, names[name], lambda found: found) for name in names}
    assert all(data.values())
    store.put(evidence.KIND, names["sigmoid"], data["tanh"])
    assert evidence.replayed(store, op, claims_of_op(op)) is None
    for old, new in (('"by":"', '"by":"z3","was":"'), ('"op"', '"po"'), ('"tanh"', '"sigmoid"')):
        store.put(evidence.KIND, names["tanh"], {**data["tanh"], "proof": data["tanh"]["proof"].replace(old, new, 1)})
        assert evidence.replayed(store, other, claims_of_op(other)) is None
    store.put(evidence.KIND, names["tanh"], {**data["tanh"], "verdicts": data["tanh"]["verdicts"][1:]})
    assert evidence.replayed(store, other, claims_of_op(other)) is None


def test_what_is_not_proved_is_not_kept(store: Store, repo: Path) -> None:
    from gradproof.pipeline import load

    op = load("fn wrong(x) {\n  y = x^3\n  vjp x = 2*g * x^2\n}\n").ops["wrong"]
    evidence.keep(store, op, verify((op,), (), Options()))
    assert entries(store) == []


def test_workers_use_what_was_kept(repo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (repo / "a.gproof").write_text(SOURCE)
    for times in range(2):
        code, said = gate(capsys, "--all", "--format", "json")
        obligations = json.loads(said)["files"][0]["subjects"][0]["obligations"]
        assert code == 0
        assert {one["by"].endswith("replayed from evidence") for one in obligations} == {times == 1}
