"""Integer results: graphs that compute with integers, in every scalar, and what operators ensure of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import gradproof as gp
import numpy as np
import pytest
from gradproof.compiler.elaborate import load_text
from gradproof.compiler.library import prelude
from gradproof.compiler.lower import kernel_of
from gradproof.compiler.rules import rules_of
from gradproof.grammar.source import Diagnostic
from gradproof.verifier.operators import verdicts_of_op
from gradproof.verifier.options import Options
from gradproof.verifier.plans import kernel_problem

TEXT = """
dim B, N >= 1

graph places(x: f64[B, N], t: f64[N, 3], idx: i64[B]) -> (f64[], i64[B], f64[B], f64[B, 3]) {
  a = argmax(x, axis=1)
  j = 3 - 2*idx // 3 + a
  return sum(pick(x, a)), j, cast(j), embedding(t, a)
}

graph stretched(idx: i64[B], jdx: i64[N, 1]) -> i64[N, B] {
  return maximum(idx, jdx) + jdx * idx % 5
}

graph ranks(x: f64[B, N]) -> (i64[B, N], i64[N], i64[B], i64[B]) {
  k = rank(x)
  return k, bincount(k, n=N), argmin(x, axis=1), count_nonzero(x > 0, axis=1)
}

graph floors(x: f64[B], edges: f64[N]) -> (i64[B], i64[B]) {
  return to_int(x), searchsorted(edges, x)
}
"""
SIZES = [(1, 1), (3, 4), (0, 2), (2, 7)]
SCALARS = ["float64", "float32", "rational", "interval"]


@pytest.fixture(scope="module")
def programs() -> Any:
    return gp.compile(TEXT)


def values(found: Any) -> list[Any]:
    return [np.asarray(f).tolist() for f in found]


@pytest.mark.parametrize("scalar", SCALARS)
@pytest.mark.parametrize(("b", "n"), SIZES)
def test_places(programs: Any, scalar: str, b: int, n: int) -> None:
    rng = np.random.default_rng(b * 10 + n)
    x, t = rng.integers(-3, 4, (b, n)) / 2, rng.integers(-3, 4, (n, 3)) / 4
    idx = rng.integers(-9, 9, b)
    a = x.argmax(axis=1)
    _, j, c, e = programs["places"].forward({"x": x, "t": t, "idx": idx}, scalar=scalar)
    assert np.array_equal(np.asarray(j, int), 3 - 2 * idx // 3 + a)
    assert np.asarray(j).shape == (b,)
    assert [float(v) for v in np.asarray(c).reshape(-1)] == [float(v) for v in np.asarray(j).reshape(-1)]
    assert np.array_equal(np.asarray(e, float).reshape(b, 3), t[a])


@pytest.mark.parametrize("scalar", SCALARS)
@pytest.mark.parametrize(("b", "n"), SIZES)
def test_ranks_and_counts(programs: Any, scalar: str, b: int, n: int) -> None:
    x = np.random.default_rng(b * 10 + n).integers(-2, 3, (b, n)) / 4
    k, counts, smallest, positive = programs["ranks"].forward({"x": x}, scalar=scalar)
    assert np.array_equal(k, x.argsort(axis=1, kind="stable").argsort(axis=1))
    assert np.array_equal(counts, [b] * n)  # each row is a permutation
    assert np.array_equal(smallest, x.argmin(axis=1))
    assert np.array_equal(positive, (x > 0).sum(axis=1))


@pytest.mark.parametrize(("b", "n"), SIZES)
def test_broadcasting_of_integers(programs: Any, b: int, n: int) -> None:
    rng = np.random.default_rng(b)
    idx, jdx = rng.integers(-5, 6, b), rng.integers(-5, 6, (n, 1))
    found = programs["stretched"].forward({"idx": idx, "jdx": jdx})
    assert np.array_equal(found, np.maximum(idx, jdx) + jdx * idx % 5)


@pytest.mark.parametrize("scalar", SCALARS)
def test_rounding_down(programs: Any, scalar: str) -> None:
    x, edges = np.array([-1.5, -1.0, 0.0, 0.25, 3.75]), np.array([-1.0, 0.0, 0.25, 2.0])
    down, where = programs["floors"].forward({"x": x, "edges": edges}, scalar=scalar)
    assert np.array_equal(down, [-2, -1, 0, 0, 3])
    assert np.array_equal(where, np.searchsorted(edges, x))


def test_the_gradient_goes_to_the_entry_that_is_picked() -> None:
    program = gp.compile("dim B, N >= 1\ngraph f(x: f64[B, N]) -> f64[] { return sum(pick(x, argmax(x, axis=1))) }")[
        "f"
    ]
    x = np.array([[1.0, 5.0, 5.0], [2.0, 0.0, 1.0]])
    value, grads = program.value_and_grad({"x": x})
    assert value == 7
    assert np.array_equal(grads["x"], [[0, 1, 0], [1, 0, 0]])


@pytest.mark.parametrize(
    ("stanza", "code"),
    [
        ("op f(x: [n]) -> int [n] { y[i] = floor(x[i]) }", "E-KIND"),
        ("op f(const x: [n]) -> int [n] { y[i] = x[i] }", "E-INTEGER"),
        ("op f(const x: [n]) -> int [n] { y[i] = i / 2 }", "E-INTEGER"),
        ("op f(const x: [n]) -> int [n] { y[i] = sum(j) 1/2 * floor(x[j]) }", "E-INTEGER"),
        ("op f(a: int [n]) -> int [n] { y[i] = a[i]  vjp a[i] = 0 }", "E-VJP"),
        ("op f(a: int [n]) -> int [n] { y[i] = a[i]  ensure n >= 0 }", "E-ENSURE"),
        ("op f(a: int [n]) -> int [n] { y[i] = a[i]  ensure y[i] < a[j] }", "E-ENSURE"),
    ],
)
def test_what_is_no_integer_result(stanza: str, code: str) -> None:
    with pytest.raises(Diagnostic) as error:
        load_text(stanza)
    assert error.value.code == code


def test_a_false_promise_shows_a_point_where_it_fails() -> None:
    text = "op f(a: int [n]) -> int [n] { ensure y[i] <= 2  y[i] = max(a[i], 2) }"
    (verdict,) = [v for v in verdicts_of_op(load_text(text).ops["f"], Options()) if v.claim.code == "POST"]
    assert verdict.answer == "refuted"
    assert verdict.counterexample is not None
    assert "y[0] = " in verdict.counterexample.got


def test_an_input_that_is_left_out_is_made_by_its_default() -> None:
    text = """
    op rank(const x: [n]) -> int [n] { y[i] = sum(j | x[i] < x[j]) 1 }
    op by(x: [n], p: int [n] = rank(x)) -> [n] { y[i] = sum(j | p[j] == i) x[j] }
    graph f(x: f64[4]) -> (f64[4], f64[4]) { return sort(x), by(x) }
    """
    found = gp.compile(text)["f"].forward({"x": np.array([3.0, 1.0, 2.0, 0.0])})
    assert np.array_equal(found[0], [0, 1, 2, 3])  # the prelude's `sort` means the prelude's `rank`
    assert np.array_equal(found[1], [3, 2, 1, 0])


def test_equal_entries_keep_their_order() -> None:
    program = gp.compile("graph f(x: f64[6]) -> (f64[6], i64[6]) { return sort(x), argsort(x) }")["f"]
    x = np.array([2.0, 1.0, 2.0, 1.0, 0.0, 2.0])
    values, places = program.forward({"x": x})
    assert np.array_equal(places, x.argsort(kind="stable"))
    assert np.array_equal(values, np.sort(x))
    _, gradient = program.vjp({"x": x}, (np.arange(6.0), np.zeros(6)))
    assert np.array_equal(gradient["x"][places], np.arange(6.0))


@pytest.mark.parametrize(
    "params",
    ["x: [n], p: int [n] = rank(q)", "x: [n], p: int [n] = rank(x + 1)", "p: int [n] = rank(x), x: [n]"],
)
def test_what_is_no_default(params: str) -> None:
    with pytest.raises(Diagnostic) as error:
        load_text(f"op f({params}) -> [n] {{ y[i] = x[i] }}")
    assert error.value.code == "E-DEFAULT"


def test_a_rank_is_a_step_that_sorts_and_nothing_else_is() -> None:
    op = prelude().ops["rank"]
    kernel, computation = kernel_of(op, "forward"), rules_of(op).forward
    (order, whole) = kernel.program.steps
    assert (order.op, order.name) == ("order", "<")
    assert kernel_problem(op, kernel, computation) == ""
    wrong = [replace(order, name=">"), replace(order, axis=0)]
    for step in wrong:
        other = replace(kernel, program=replace(kernel.program, steps=(step, whole)))
        assert kernel_problem(op, other, computation) != ""
    for guard in ("x[j] < x[i] or x[j] == x[i] and j > i", "x[j] < x[i] or x[j] == x[i]", "x[j] < z[i]"):
        body = f"sum(j | j != i and ({guard})) 1 + 0 * floor(z[i])"
        text = f"op f(const x: [n], const z: [n]) -> int [n] {{ y[i] = {body} }}"
        near = load_text(text).ops["f"]
        assert all(step.op != "order" for step in kernel_of(near, "forward").program.steps)


def test_long_rows_are_sorted() -> None:
    program = gp.compile("graph f(x: f64[4, 50000]) -> i64[4, 50000] { return rank(x) }")["f"]
    x = np.random.default_rng(0).integers(0, 1000, (4, 50000)).astype(float)
    assert np.array_equal(program.forward({"x": x}), x.argsort(axis=1, kind="stable").argsort(axis=1))
