"""Theorems that state something false are rejected by coqc, and what theorems assume can hold.

The verifier and the exporter would not let a false rule through; here both are gone round, so that only Coq judges.
"""

from __future__ import annotations

import math
import random
import shutil
import subprocess
from collections.abc import Mapping
from itertools import product
from pathlib import Path

import pytest
from gradproof.cli import main
from gradproof.compiler.dims import FloorDiv, Poly
from gradproof.compiler.library import prelude
from gradproof.compiler.terms import FALSE, Cond, IntCmp, int_eq, int_ge, int_lt
from gradproof.pipeline import load
from gradproof.verifier import derivatives
from gradproof.verifier.asked import Asked, reading, watching
from gradproof.verifier.coq import theorems
from gradproof.verifier.coq.export import PREAMBLE, Collector
from gradproof.verifier.coq.forms import Atom, Form, Frozen, Mono
from gradproof.verifier.coq.theorems import Theorem, integers
from gradproof.verifier.discharge import verify
from gradproof.verifier.equality import Equal
from gradproof.verifier.smt import prove_int

n, m, i, j = (Poly.sym(name) for name in "nmij")

# What is wrong, the operator with its right rule, and the wrong one in its place.
RULES = {
    "sign": ("op f(x: [n]) -> [n] { y[i] = 1 / x[i]   vjp x[i] = RULE }", "-g[i] / x[i]^2", "g[i] / x[i]^2"),
    "factor": ("op f(x: [n]) -> [n] { y[i] = x[i]^2   vjp x[i] = RULE }", "2 * x[i] * g[i]", "x[i] * g[i]"),
    "missing term": (
        "op f(x: [n]) -> [n] { y[i] = x[i] * exp(x[i])   vjp x[i] = RULE }",
        "(1 + x[i]) * exp(x[i]) * g[i]",
        "exp(x[i]) * g[i]",
    ),
    "index": (
        "op f(a: [n, n], const b: [n]) -> [n] { y[i] = sum(j) a[i, j] * b[j]   vjp a[i, j] = RULE }",
        "g[i] * b[j]",
        "g[j] * b[i]",
    ),
    "boundary": (
        "op f(x: [n]) -> [n] { y[i] = sum(j) select(j <= i, x[j], 0)   vjp x[j] = RULE }",
        "sum(i < n) select(i >= j, g[i], 0)",
        "sum(i < n) select(i > j, g[i], 0)",
    ),
    "missing reduction": (
        "op f(a: [n], const b: [n, m]) -> [n, m] { y[i, j] = a[i] * b[i, j]   vjp a[i] = RULE }",
        "sum(j < m) g[i, j] * b[i, j]",
        "m * g[i, 0] * b[i, 0]",
    ),
    "a length for a mean": (
        "op f(x: [n], const w: [m]) -> [] { require n >= 1   y[] = (sum(i) x[i]) / n   vjp x[i] = RULE }",
        "g[] / n",
        "g[] / m",
    ),
    "tie": (
        "op f(x: [n]) -> [n] { y[i] = select(x[i] > 0, x[i]^2, 0)   vjp x[i] = RULE }",
        "select(x[i] > 0, 2 * x[i] * g[i], 0)",
        "select(x[i] > 0, 2 * x[i] * g[i], select(x[i] < 0, 0, g[i]))",
    ),
}

quotient = Poly.atom(FloorDiv(i, n))
FACTS: dict[str, tuple[list[Cond], Cond, Cond]] = {
    "a last index": ([int_ge(i, 0), int_lt(i, n)], int_ge(n, 1), int_ge(n, 2)),
    "a quotient at its end": (
        [int_ge(i, 0), int_lt(i, n * m), int_ge(n, 1), int_ge(m, 0)],
        int_lt(quotient, m),
        int_lt(quotient, m - 1),
    ),
    "a quotient by what may be 0": ([int_ge(i, 0), int_ge(n, 1)], int_ge(i, quotient * n), int_eq(i, quotient * n)),
    "a product of sizes": ([int_ge(n, 1), int_ge(m, 1)], int_ge(n * m, m), int_ge(n * m, m + 1)),
}


def stated(text: str, folder: Path, monkeypatch: pytest.MonkeyPatch, believed: bool) -> list[Theorem]:
    """The theorems that the export has of an operator's rules, whatever the verifier says; were they all believed."""
    source = folder / "f.gproof"
    source.write_text(text + "\n")
    found = Collector()
    with monkeypatch.context() as patch, reading(found.identity):
        patch.setattr(derivatives, "equal", lambda *_, **__: Equal(True, "believed", frozenset()))
        if believed:
            patch.setattr(theorems, "is_zero", lambda _: True)
        verify(tuple(load(str(source)).ops.values()), ())
    return found.theorems


def coqc(texts: list[str], folder: Path) -> str:
    """What coqc says of theorems; "" where it accepts them."""
    if shutil.which("coqc") is None:
        pytest.skip("coqc is not installed")
    (folder / "F.v").write_text(
        "\n".join([PREAMBLE.read_text(), *(t.replace("THEOREM_", f"T{k}_") for k, t in enumerate(texts))])
    )
    run = subprocess.run(["coqc", "-q", "-w", "none", "F.v"], cwd=folder, capture_output=True, text=True, check=False)
    assert (run.returncode == 0) == (run.stderr == "")
    return run.stderr


@pytest.mark.parametrize("name", RULES)
def test_a_false_rule_is_rejected_by_coqc(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text, right, wrong = RULES[name]
    honest = stated(text.replace("RULE", right), tmp_path, monkeypatch, believed=False)
    honest += stated(text.replace("RULE", wrong), tmp_path, monkeypatch, believed=False)
    true = {t.statement for t in honest}
    believed = stated(text.replace("RULE", wrong), tmp_path, monkeypatch, believed=True)
    false = [t.text for t in believed if t.statement not in true]
    assert true and false
    assert coqc([t.text for t in honest], tmp_path) == ""
    for one in false:
        said = coqc([one], tmp_path)
        assert "No applicable tactic" in said or "Tactic failure" in said, said


@pytest.mark.parametrize("name", FACTS)
def test_a_false_fact_is_rejected_by_coqc(name: str, tmp_path: Path) -> None:
    known, right, wrong = FACTS[name]
    assert coqc([integers("T", right, known).text], tmp_path) == ""
    said = coqc([integers("T", wrong, known).text], tmp_path)
    assert "No applicable tactic" in said or "Cannot find witness" in said, said


# What theorems assume, at one point --------------------------------------------------------------------------------

SIZE = 2


def number(*key: object) -> float:
    """An entry, or the value of a function of which nothing is known: the same for the same key."""
    return random.Random(repr(key)).uniform(0.1, 0.9)


def whole(poly: Poly, at: Mapping[str, int]) -> int:
    found = poly.substitute({name: Poly.of(at.get(name, SIZE)) for name in poly.symbols}).constant
    return found if found is not None else 0


def value(form: Form | Frozen, at: Mapping[str, int]) -> float:
    items = form.items() if isinstance(form, dict) else form
    return sum(float(c) * of_mono(mono, at) for mono, c in items)


def of_mono(mono: Mono, at: Mapping[str, int]) -> float:
    return math.prod(of_atom(atom, at) ** exponent for atom, exponent in mono)


def of_atom(atom: Atom, at: Mapping[str, int]) -> float:
    match atom.kind:
        case "read":
            return number(atom.parts[0], *(whole(p, at) for p in atom.parts[1]))
        case "size":
            return whole(atom.parts[0], at)
        case "ind" if isinstance(atom.parts[0], IntCmp):
            found = whole(atom.parts[0].poly, at)
            return found >= 0 if atom.parts[0].rel == ">=" else found == 0
        case "pos":
            return value(atom.parts[0], at) > 0
        case "base":
            return value(atom.parts[0], at)
        case "exp":
            return math.exp(float(atom.parts[1]) * of_mono(atom.parts[0], at))
        case "fn":
            args = [value(form, at) for form in atom.parts[1]]
            known = {"log": lambda x: math.log(abs(x)), "sqrt": lambda x: math.sqrt(max(x, 0.0))}
            return known[atom.parts[0]](*args) if atom.parts[0] in known else number(atom.parts[0], *args)
        case "sum":
            names = [name for name, _ in atom.parts[0]]
            places = product(*(range(whole(extent, at)) for _, extent in atom.parts[0]))
            return sum(of_mono(atom.parts[1], {**at, **dict(zip(names, place, strict=True))}) for place in places)
        case _:
            return number(str(atom), *sorted(at.items()))


OPERATORS = ("batch_norm", "cosine_similarity", "layer_norm", "log_softmax", "logit", "logsumexp", "max", "relu")
OPERATORS += ("reciprocal", "rms_norm", "softmax", "softplus", "std", "tanh", "unfold")


def test_what_theorems_assume_can_hold() -> None:
    """At sizes of 2 and entries between 0 and 1 every premise holds, and the facts of integers have a model."""
    found, asked = Collector(), list[Asked]()

    def ask(question: Asked) -> str:
        asked.append(question)
        return found.asked(question)

    with reading(found.identity), watching(ask):
        verify(tuple(prelude().ops[name] for name in OPERATORS if name in prelude().ops), ())
    premises = [(theorem, premise) for theorem in found.theorems for premise in theorem.premises]
    for theorem, premise in premises:
        for place in product(*(range(whole(extent, {})) for _, extent in premise.binders)):
            there = value(premise.form, dict(zip((name for name, _ in premise.binders), place, strict=True)))
            assert there > 1e-9 or (premise.says == "{} <> 0" and there < -1e-9), (theorem.statement, premise)
    assumed = {theorem.statement for theorem, _ in premises}
    assert len(assumed) >= 15 and len(found.theorems) - len(assumed) >= 20
    facts = [a for a in asked if a.goal is not None and not a.reals and a.status == "unsat"]
    assert facts and all(prove_int(FALSE, list(a.hypotheses)).answer == "refuted" for a in facts)


def test_the_count_of_what_is_left_out_has_reasons(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "f.gproof"
    source.write_text("op turned(x: [n]) -> [n] { y[i] = x[n - 1 - i] }\n")
    assert main(["export-coq", str(tmp_path / "f.v"), "--from", str(source)]) == 0
    printed = capsys.readouterr().out
    assert "identities: " in printed and " not: it needs more than ring and field" in printed
