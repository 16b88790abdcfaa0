"""`reduction=` in a call: the sum or the mean of what an operator gives."""

from __future__ import annotations

import gradproof as gp
import numpy as np
import pytest
from gradproof.builder import GraphBuilder
from gradproof.grammar.source import Diagnostic

TEXT = "dim B >= 1\ngraph f(x: f64[B], t: f64[B]) -> f64{result} {{ return {call} }}"


@pytest.mark.parametrize(("word", "expected"), [("none", [1.0, 4.0]), ("sum", 5.0), ("mean", 2.5)])
def test_words(word: str, expected: object) -> None:
    result = "[B]" if word == "none" else "[]"
    program = gp.compile(TEXT.format(result=result, call=f"mse_loss(x, t, reduction={word})"))["f"]
    given = {"x": np.array([1.0, 3.0]), "t": np.array([0.0, 1.0])}
    np.testing.assert_array_equal(program.forward(given), expected)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        ("mse_loss(x, t, reduction=avg)", "no reduction"),
        ("mse(x, t, reduction=sum)", "gives one number"),
        ("mse_loss(x, t, reduction=2)", "no attribute `reduction`"),
    ],
)
def test_mistakes(call: str, words: str) -> None:
    with pytest.raises(Diagnostic, match=words):
        gp.compile(TEXT.format(result="[]", call=call))


def test_in_the_builder() -> None:
    b = GraphBuilder("loss")
    x, t = b.input("x", "f64", (b.dim("B", lower=1),)), b.input("t", "f64", ("B",))
    graph = b.build_scalar(b.mse_loss(x, t, reduction="mean"))
    assert [node.op for node in graph.inner] == ["mse_loss", "mean"]
