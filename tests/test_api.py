"""The Python API: from a text, a file or a built graph to programs that run."""

from __future__ import annotations

from pathlib import Path

import gradproof as gp
import numpy as np
import pytest

TEXT = "dim n >= 1\ngraph f(x: f64[n]) -> f64[] { return sum(x * x) }\n"
WRONG = "fn cube_(x) { y = x^3; vjp x = 2 * g * x^2 }\n"


def test_compile_a_text_a_path_and_a_string_that_is_a_path(tmp_path: Path) -> None:
    path = tmp_path / "f.gproof"
    path.write_text(TEXT)
    for program in (TEXT, path, str(path)):
        value, gradient = gp.compile(program)["f"].value_and_grad(x=[1.0, 2.0])
        assert value == 5.0
        np.testing.assert_array_equal(gradient["x"], [2.0, 4.0])


def test_compile_a_built_graph() -> None:
    b = gp.GraphBuilder("loss")
    x = b.input("x", "f64", (b.dim("n", lower=1),))
    graph = b.build(b.mean(x * x))
    assert gp.verify(graph).ok
    value, gradient = gp.compile(graph)["loss"].value_and_grad(x=[1.0, 3.0])
    assert value == 5.0
    np.testing.assert_array_equal(gradient["x"], [1.0, 3.0])


def test_a_compiled_text_is_a_mapping_of_programs() -> None:
    compiled = gp.compile(TEXT)
    assert list(compiled) == ["f"]
    assert compiled["f"] is compiled["f"]
    assert compiled.report.ok
    with pytest.raises(KeyError, match="there are: f"):
        compiled["g"]


def test_what_is_not_proved_does_not_compile() -> None:
    with pytest.raises(gp.ProofError) as caught:
        gp.compile(WRONG + TEXT)
    assert any(v.answer == "refuted" and v.claim.subject == "cube_" for v in caught.value.verdicts)
    shown = str(caught.value)
    assert "refuted: VJP of op cube_" in shown
    assert "vjp x = 2 * g * x^2" in shown


def test_an_ill_formed_text_is_a_diagnostic() -> None:
    with pytest.raises(gp.Diagnostic):
        gp.compile("graph f(")
    report = gp.verify("graph f(")
    assert not report.ok
    assert len(report.errors) == 1


def test_a_time_limit_is_never_a_proof() -> None:
    report = gp.verify(TEXT, timeout=1e-9)
    assert report.count("refuted") == 0
    assert report.ok == (report.count("unknown") == 0)


def test_every_public_name_exists() -> None:
    for name in gp.__all__:
        assert getattr(gp, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        gp.nothing  # noqa: B018
