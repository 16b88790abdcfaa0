"""Running folds: one pass gives what the formula says, whichever way the condition is written."""

from __future__ import annotations

from typing import Any

import gradproof as gp
import numpy as np
import pytest
from gradproof.compiler.elaborate import load_text
from gradproof.compiler.lower import kernel_of
from gradproof.compiler.plan import make_plan
from gradproof.runtime.executor import Executor
from gradproof.runtime.prefixes import prefix_of, unread_guards

FOLDS: dict[str, tuple[Any, float]] = {
    "sum": (np.sum, 0.0),
    "prod": (np.prod, 1.0),
    "max": (np.max, -np.inf),
    "min": (np.min, np.inf),
}
RUNNING = {
    "j <= i": lambda i, j: j <= i,
    "j < i": lambda i, j: j < i,
    "i <= j": lambda i, j: i <= j,
    "j > i": lambda i, j: j > i,
    "j <= i + 2": lambda i, j: j <= i + 2,
    "j + 3 < i": lambda i, j: j + 3 < i,
    "j >= i - 2": lambda i, j: j >= i - 2,
    "i + 7 > j": lambda i, j: i + 7 > j,
}
STANDING = ["j <= 2*i", "j <= 3", "j <= i and j >= 1", "j == i", "i + j <= 3", "i - j <= m"]


def stanza(kind: str, cond: str, body: str = "x[s.., j, t]") -> str:
    """An operator that folds along its middle axis."""
    return f"op f[m](x: [S.., n, k]) -> [S.., n, k] {{\n  y[s.., i, t] = {kind}(j | {cond}) {body}\n}}\n"


@pytest.mark.parametrize("kind", FOLDS)
@pytest.mark.parametrize("cond", RUNNING)
def test_a_running_fold_is_one_pass(kind: str, cond: str) -> None:
    numbers = np.random.default_rng(3)
    text = "dim A, N, B\ngraph g(x: f64[A, N, B]) -> f64[A, N, B] {\n  return f(x, m=0)\n}\n"
    plan = make_plan(load_text(stanza(kind, cond) + text).graphs["g"], "forward")
    assert any(prefix_of(plan.program, step) for step in plan.program.steps)
    assert unread_guards(plan.program)
    reduce, identity = FOLDS[kind]
    for n in (0, 1, 2, 5):
        x = numbers.uniform(0.5, 2, (2, n, 3))
        (found,) = Executor(plan, {"A": 2, "N": n, "B": 3}).run_list([x])
        assert found.shape == x.shape
        for i in range(n):
            chosen = [x[:, j] for j in range(n) if RUNNING[cond](i, j)]
            wanted = reduce(np.stack(chosen), 0) if chosen else np.full((2, 3), identity)
            np.testing.assert_allclose(found[:, i], wanted, rtol=1e-13)


@pytest.mark.parametrize("cond", STANDING)
def test_other_conditions_are_no_running_ones(cond: str) -> None:
    program = kernel_of(load_text(stanza("prod", cond)).ops["f"], "forward").program
    assert not any(prefix_of(program, step) for step in program.steps)


def test_a_value_that_depends_on_the_place_is_no_running_one() -> None:
    text = stanza("sum", "j <= i", "exp(x[s.., j, t] * x[s.., i, t])")
    program = kernel_of(load_text(text).ops["f"], "forward").program
    assert not any(prefix_of(program, step) for step in program.steps)


@pytest.mark.parametrize("dtype", ["f32", "f64"])
def test_what_comes_later_has_no_say(dtype: str) -> None:
    text = f"dim N\ngraph f(x: {dtype}[N]) -> ({dtype}[N], {dtype}[N], {dtype}[N]) {{\n"
    program = gp.compile(text + "  return cumsum(x), cumprod(x), cummax(x)\n}")["f"]
    x = np.array([1.0, 2.0, np.inf, -np.inf, 1.0])
    sums, products, tops = program.forward({"x": x})
    np.testing.assert_array_equal(sums, [1, 3, np.inf, np.nan, np.nan])
    np.testing.assert_array_equal(products, [1, 2, np.inf, -np.inf, -np.inf])
    np.testing.assert_array_equal(tops, [1, 2, np.inf, np.inf, np.inf])


def test_a_long_running_sum_has_no_square() -> None:
    program = gp.compile("dim N\ngraph f(x: f64[N]) -> f64[N] {\n  return cumsum(x)\n}")["f"]
    x = np.ones(300_000)  # its square would have 90 billion entries
    np.testing.assert_array_equal(program.forward({"x": x})[-3:], [299_998, 299_999, 300_000])
    np.testing.assert_array_equal(program.vjp({"x": x}, x)[1]["x"][:2], [300_000, 299_999])
