"""einsum: what a string means, and what is said of one that means nothing."""

from __future__ import annotations

import re

import gradproof as gp
import pytest
from gradproof import GraphBuilder
from gradproof.compiler.einsum import einsum
from gradproof.compiler.show import show_formula, show_signature
from gradproof.grammar.source import Diagnostic
from gradproof.grammar.syntax import Text

MEANS = {
    "ij,jk->ik": "y[i, k] = sum(j) x1[i, j]*x2[j, k]",
    "ij,jk": "y[i, k] = sum(j) x1[i, j]*x2[j, k]",
    " b a ": "y[a, b] = x1[b, a]",
    "ii": "y[] = sum(i) x1[i, i]",
    "ii->i": "y[i] = x1[i, i]",
    "...i->...": "y[e_..] = sum(i) x1[e_.., i]",
    "i...": "y[e_.., i] = x1[i, e_..]",
    "gy->y": "y[y_] = sum(g_) x1[g_, y_]",
    ",i->i": "y[i] = x1*x2[i]",
}


@pytest.mark.parametrize(("text", "formula"), MEANS.items())
def test_a_string_means_a_formula(text: str, formula: str) -> None:
    shown = show_formula(einsum(Text(text), text.count(",") + 1).forward)
    assert re.sub(r" < n_\w", "", shown) == formula


def test_the_signature_shares_the_sizes_of_a_letter() -> None:
    assert show_signature(einsum(Text("aab->b"), 1)) == "einsum(x1: [n_a, n_a, n_b]) -> [n_b]"


PROGRAM = "dim N\ngraph f(a: f64[N, N]) -> f64[N] {{\n  return {}\n}}\n"
WRONG = {
    'einsum("ij->ix", a)': (23, "`x` is in no operand"),
    'einsum("ij->ii", a)': (23, "`i` stands twice in the result"),
    'einsum("i?->i", a)': (19, "`?` is no index"),
    'einsum("......", a)': (21, "`...` stands twice in one operand"),
    'einsum("ij", a, a)': (17, "`ij` has 1 group of letters for 2 tensors"),
    "einsum(a)": (10, "`einsum` begins with its string"),
    'einsum("i", a)': (10, "`einsum(f64[N, N])`: `x1` has axes [n_i] and is given [N, N]"),
    'sum("i")': (14, "a string where a value is wanted"),
}


@pytest.mark.parametrize(("text", "expected"), WRONG.items())
def test_mistakes_point_into_the_string(text: str, expected: tuple[int, str]) -> None:
    with pytest.raises(Diagnostic) as caught:
        gp.compile(PROGRAM.format(text))
    assert caught.value.span is not None
    assert (caught.value.span.column, caught.value.message) == expected


def test_a_file_may_define_an_einsum_of_its_own() -> None:
    text = "op einsum(x: [n]) -> [n] { y[i] = 2 * x[i] }\ndim N\ngraph f(a: f64[N]) -> f64[N] { return einsum(a) }"
    assert gp.compile(text)["f"].forward({"a": [1.0]}).tolist() == [2.0]


def test_the_builder_has_it() -> None:
    b = GraphBuilder("f")
    n = b.dim("N")
    a = b.input("a", "f64", (n, n))
    assert str(b.build(b.einsum("ij,jk,kl->il", a, a, a)).nodes[-1].type) == "f64[N, N]"
    with pytest.raises(Diagnostic, match="begins with its string"):
        b.einsum(a)
