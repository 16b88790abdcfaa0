"""The prelude: every claim proved for all sizes, every gradient as finite differences say, values as NumPy says."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from fractions import Fraction
from time import perf_counter
from typing import Any

import gradproof as gp
import numpy as np
import pytest
from gradproof.compiler.claims import Verdict
from gradproof.compiler.library import prelude
from gradproof.compiler.ops import OpDef, Param
from gradproof.compiler.rules import rules_of
from gradproof.verifier.operators import verdicts_of_op
from gradproof.verifier.options import Options
from gradproof.verifier.refute import Search
from gradproof.verifier.witness import Point, in_domain, points_of, sizes_of

OPS = prelude().ops
DIFFERENTIABLE = sorted(name for name, op in OPS.items() if op.differentiable)
times: dict[str, float] = {}

# Proofs


def proofs(name: str) -> list[Verdict]:
    """The verdicts on one operator, its time noted."""
    started = perf_counter()
    verdicts = verdicts_of_op(OPS[name], Options(timeout=10.0, search=1.0))
    times[name] = perf_counter() - started
    return verdicts


@pytest.mark.parametrize("name", sorted(OPS))
def test_every_claim_is_proved_for_all_sizes(name: str) -> None:
    verdicts = proofs(name)
    said = ", ".join(f"{v.claim.code} {v.answer} {v.reason}" for v in verdicts)
    assert {v.answer for v in verdicts} == {"proved"}, said
    assert {v.scope for v in verdicts} == {"all sizes"}, said
    assert all(h.discharged for v in verdicts for h in v.hypotheses)
    codes = [v.claim.code for v in verdicts]
    assert codes.count("VJP") == len(OPS[name].differentiable)
    assert ("JVP" in codes) == bool(OPS[name].differentiable)
    assert ("RUNS" in codes) == (OPS[name].runs is not None)
    assert {"SHAPE", "DOM"} <= set(codes)


def test_times(capsys: pytest.CaptureFixture[str]) -> None:
    slowest = sorted(times, key=lambda name: -times[name])[:5]
    with capsys.disabled():
        shown = ", ".join(f"{name} {times[name]:.2f} s" for name in slowest)
        print(f"\nprelude: {len(times)} operators in {sum(times.values()):.1f} s; slowest: {shown}")


# Gradients against finite differences


RANGES = [(Fraction(-2), 2), (Fraction(1, 4), 2), (Fraction(1, 8), Fraction(3, 4))]  # where inputs are drawn from


def generic_points(op: OpDef, seed: int = 5) -> Iterator[Point]:
    """Points of the domain with sizes above 1 first, at random reals: ties have no chance."""
    rng = random.Random(f"{op.name}:{seed}")
    every = sorted(sizes_of(op), key=lambda s: -sum(n > 1 for n in s.ints.values()))
    for sizes in every[:4]:
        for point in points_of(op, sizes, 3, seed):
            tensors = dict(point.tensors)
            for attempt in range(400 if op.externs else 50):
                for param in op.params:
                    if param.kind == "real":
                        low, width = RANGES[attempt % len(RANGES)]
                        entries = point.tensors[param.name]
                        tensors[param.name] = {k: low + Fraction(rng.random()) * width for k in entries}
                tensors["g"] = {k: Fraction(rng.random()) * 4 - 2 for k in point.tensors["g"]}
                moved = Point(op, sizes, tensors, point.shapes, point.kinds)
                if in_domain(moved) and has_value(moved):
                    yield moved
                    break


def has_value(point: Point) -> bool:
    """Whether the operator's externs have a value at the point (a matrix may be singular, or not positive definite)."""
    try:
        return not point.op.externs or bool(Search(point.op, rules_of(point.op)).run(point, "forward", "", "float64"))
    except ArithmeticError:
        return False


def slope(
    search: Search, point: Point, param: Param, along: dict[Any, float], step: float = 2.0**-18
) -> dict[Any, float]:
    """The central difference of the forward along a direction of one input, in float64."""
    sides = []
    for sign in (1, -1):
        table = {k: v + Fraction(sign * step * along[k]) for k, v in point.tensors[param.name].items()}
        moved = Point(search.op, point.sizes, {**point.tensors, param.name: table}, point.shapes, point.kinds)
        sides.append(search.run(moved, "forward", "", "float64"))
    return {k: (float(sides[0][k]) - float(sides[1][k])) / (2 * step) for k in sides[0]}


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_gradients_are_what_finite_differences_say(name: str) -> None:
    op = OPS[name]
    search = Search(op, rules_of(op))
    rng = random.Random(name)
    checked = 0
    for point in generic_points(op):
        for param in op.differentiable:
            along = {k: rng.uniform(-1, 1) for k in point.tensors[param.name]}
            expected = slope(search, point, param, along)
            still = {f"d{p.name}": dict.fromkeys(point.tensors[p.name], Fraction(0)) for p in op.differentiable}
            moving = {k: Fraction(v) for k, v in along.items()}
            tangent = search.run(point, "jvp", "", "float64", {**still, f"d{param.name}": moving})
            gradient = search.run(point, "vjp", param.name, "float64")
            for k, value in expected.items():
                assert float(tangent[k]) == pytest.approx(value, rel=2e-4, abs=2e-4), (param.name, k, point)
            left = sum(float(point.tensors["g"][k]) * v for k, v in expected.items())
            right = sum(float(gradient[k]) * v for k, v in along.items())
            assert right == pytest.approx(left, rel=5e-4, abs=5e-4), (param.name, point)
            checked += 1
    assert checked >= 2


# Values against NumPy

Array = np.ndarray[Any, Any]
X, Y, P = (2, 3), (2, 3), (2, 3)
rows = np.array([2, 0, 1, 2])


def _softmax(x: Array, axis: int = -1) -> Array:
    e = np.exp(x - x.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


def _layer_norm(x: Array, w: Array, b: Array) -> Array:
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5) * w + b


# expression -> (the same in NumPy, the shapes of x, y, z; entries of `p` are positive)
VALUES: dict[str, tuple[Callable[..., Any], dict[str, tuple[int, ...]]]] = {
    "x + y": (lambda x, y: x + y, {"x": X, "y": Y}),
    "x - y": (lambda x, y: x - y, {"x": X, "y": (3,)}),
    "x * y": (lambda x, y: x * y, {"x": X, "y": (1, 3)}),
    "x / p": (lambda x, p: x / p, {"x": X, "p": P}),
    "-x": (lambda x: -x, {"x": X}),
    "p ^ y": (lambda p, y: p**y, {"p": P, "y": Y}),
    "x^2": (lambda x: x**2, {"x": X}),
    "x^3": (lambda x: x**3, {"x": X}),
    "inv(p)": (lambda p: 1 / p, {"p": P}),
    "abs(x)": (np.abs, {"x": X}),
    "maximum(x, y)": (np.maximum, {"x": X, "y": Y}),
    "minimum(x, y)": (np.minimum, {"x": X, "y": Y}),
    "clamp(x, lo=-1/2, hi=1/2)": (lambda x: np.clip(x, -0.5, 0.5), {"x": X}),
    "exp(x)": (np.exp, {"x": X}),
    "log(p)": (np.log, {"p": P}),
    "sqrt(p)": (np.sqrt, {"p": P}),
    "rsqrt(p)": (lambda p: 1 / np.sqrt(p), {"p": P}),
    "sin(x)": (np.sin, {"x": X}),
    "cos(x)": (np.cos, {"x": X}),
    "sinh(x)": (np.sinh, {"x": X}),
    "cosh(x)": (np.cosh, {"x": X}),
    "tanh(x)": (np.tanh, {"x": X}),
    "sigmoid(x)": (lambda x: 1 / (1 + np.exp(-x)), {"x": X}),
    "relu(x)": (lambda x: np.maximum(x, 0), {"x": X}),
    "leaky_relu(x)": (lambda x: np.where(x > 0, x, 0.01 * x), {"x": X}),
    "elu(x)": (lambda x: np.where(x > 0, x, np.expm1(x)), {"x": X}),
    "softplus(x)": (lambda x: np.logaddexp(x, 0), {"x": X}),
    "swish(x)": (lambda x: x / (1 + np.exp(-x)), {"x": X}),
    "gelu_tanh(x)": (lambda x: x / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))), {"x": X}),
    "sum(x)": (np.sum, {"x": X}),
    "sum(x, axis=1)": (lambda x: x.sum(1), {"x": X}),
    "sum(x, axis=(0, 2))": (lambda x: x.sum((0, 2)), {"x": (2, 3, 4)}),
    "mean(x)": (np.mean, {"x": X}),
    "mean(x, axis=0)": (lambda x: x.mean(0), {"x": X}),
    "max(x, axis=-1)": (lambda x: x.max(-1), {"x": X}),
    "min(x)": (np.min, {"x": X}),
    "softmax(x)": (_softmax, {"x": X}),
    "softmax(x, axis=0)": (lambda x: _softmax(x, 0), {"x": X}),
    "log_softmax(x)": (lambda x: np.log(_softmax(x)), {"x": X}),
    "logsumexp(x)": (lambda x: np.log(np.exp(x).sum()), {"x": X}),
    "logsumexp(x, axis=1)": (lambda x: np.log(np.exp(x).sum(1)), {"x": X}),
    "layer_norm(x, y, z)": (_layer_norm, {"x": (2, 4, 3), "y": (3,), "z": (3,)}),
    "x @ y": (np.matmul, {"x": (2, 3), "y": (3, 4)}),
    "matmul(x, y)": (np.matmul, {"x": (5, 2, 3), "y": (5, 3, 4)}),
    "dot(x, y)": (np.dot, {"x": (3,), "y": (3,)}),
    "outer(x, y)": (np.outer, {"x": (3,), "y": (2,)}),
    "linear(x, y, z)": (lambda x, y, z: x @ y.T + z, {"x": (2, 3), "y": (4, 3), "z": (4,)}),
    "mse(x, y)": (lambda x, y: ((x - y) ** 2).mean(), {"x": X, "y": Y}),
    "mae(x, y)": (lambda x, y: np.abs(x - y).mean(), {"x": X, "y": Y}),
    "bce_with_logits(x, y)": (lambda x, y: np.logaddexp(x, 0) - x * y, {"x": X, "y": Y}),
    "reshape(x, (3, 2))": (lambda x: x.reshape(3, 2), {"x": X}),
    "flatten(x)": (np.ravel, {"x": X}),
    "transpose(x)": (np.transpose, {"x": X}),
    "permute(x, axes=(2, 0, 1))": (lambda x: x.transpose(2, 0, 1), {"x": (2, 3, 4)}),
    "concat(x, y, axis=1)": (lambda x, y: np.concatenate([x, y], 1), {"x": (2, 3), "y": (2, 4)}),
    "slice(x, start=1, stop=6, step=2)": (lambda x: x[1:6:2], {"x": (7, 2)}),
    "broadcast_to(x, shape=(4, 2, 3))": (lambda x: np.broadcast_to(x, (4, 2, 3)), {"x": X}),
    "where(x < y, x, y)": (lambda x, y: np.where(x < y, x, y), {"x": X, "y": Y}),
    "take(x, i)": (lambda x, i: x[i], {"x": (3, 2), "i": (4,)}),
    "take(x, i, axis=1)": (lambda x, i: x[:, i], {"x": (2, 3), "i": (4,)}),
    "cross_entropy(x, i)": (lambda x, i: -np.log(_softmax(x))[np.arange(4), i], {"x": (4, 3), "i": (4,)}),
    "pick(x, i)": (lambda x, i: x[np.arange(4), i], {"x": (4, 3), "i": (4,)}),
}


def _result(expression: str) -> Array:
    _, shapes = VALUES[expression]
    rng = np.random.default_rng(1)
    return np.asarray(VALUES[expression][0](*(_given(n, s, rng) for n, s in shapes.items())))


def _given(name: str, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    if name == "i":
        return rows
    values = rng.standard_normal(shape)
    return np.abs(values) + 0.2 if name == "p" else values


@pytest.fixture(scope="module")
def program() -> gp.Compiled:
    graphs = []
    for number, (expression, (_, shapes)) in enumerate(VALUES.items()):
        types = {n: f"{'i64' if n == 'i' else 'f64'}[{', '.join(map(str, s))}]" for n, s in shapes.items()}
        inputs = ", ".join(f"{n}: {t}" for n, t in types.items())
        assumes = "".join(f"assume {n} > 0; " for n in shapes if n == "p")
        assumes += "".join("assume 0 <= i < 3; " for n in shapes if n == "i")
        result = ", ".join(map(str, _result(expression).shape))
        graphs.append(f"graph g{number}({inputs}) -> f64[{result}] {{ {assumes}return {expression} }}")
    return gp.compile("\n".join(graphs))


@pytest.mark.parametrize("expression", VALUES)
def test_values_are_numpys(program: gp.Compiled, expression: str) -> None:
    function, shapes = VALUES[expression]
    rng = np.random.default_rng(1)
    given = {n: _given(n, s, rng) for n, s in shapes.items()}
    found = program[f"g{list(VALUES).index(expression)}"].forward(given)
    np.testing.assert_allclose(found, function(*given.values()), rtol=1e-8, atol=1e-12)
