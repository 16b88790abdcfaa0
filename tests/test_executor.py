"""Plans and the executor against the tape: exactly in rationals, closely in floats, at sizes 0, 1 and a few more."""

from __future__ import annotations

import itertools
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from gradproof.compiler.elaborate import load_text
from gradproof.compiler.graph import Graph
from gradproof.compiler.plan import Plan, Unplannable, make_plan
from gradproof.runtime.executor import Executor
from gradproof.runtime.interpret import run_program
from gradproof.runtime.scalars import FLOAT32, FLOAT64, Binding, Scalars, scalars
from gradproof.runtime.semantics import array_tape
from hypothesis import given, settings
from hypothesis import strategies as st

RATIONAL = {
    "affine": "graph f(x: f64[B, D], w: f64[D, C], b: f64[C]) -> f64[B, C] { return x @ w + b }",
    "relu": "graph f(x: f64[B, D], w: f64[D, C]) -> f64[] { return mean(relu(x @ w)) }",
    "used twice": "graph f(x: f64[B]) -> f64[] { y = x * x\n z = y + x * y\n return sum(z - y * z) }",
    "used thrice": "graph f(x: f64[B, D]) -> f64[] { return sum(x * x * x + square(x) - x) }",
    "unused": "graph f(x: f64[B], u: f64[D]) -> f64[] { return sum(x + 1) }",
    "several": "graph f(x: f64[B, D]) -> (f64[B], f64[D]) { return sum(x, axis=1), mean(x * x, axis=0) }",
    "same twice": "graph f(x: f64[B]) -> (f64[B], f64[B]) { y = 2 * x * x\n return y, y }",
    "input out": "graph f(x: f64[B], y: f64[B]) -> (f64[B], f64[B]) { return x, x * y }",
    "shapes": "graph f(x: f64[B, D]) -> f64[D, B] { return transpose(reshape(x * x, shape=(B, D))) * 3 }",
    "flat": "graph f(x: f64[B, D], w: f64[B*D]) -> f64[] { return dot(flatten(x + x), w) }",
    "slices": "graph f(x: f64[D]) -> f64[] { return dot(slice(x, start=0, stop=2), slice(x, start=1, stop=3)) }",
    "joined": "graph f(x: f64[B, D], y: f64[B, C]) -> f64[B, D + C] { return concat(x, y, axis=1) * 2 }",
    "taken": "graph f(t: f64[D, C], i: i64[B]) -> f64[] { assume 0 <= i < 3\n return sum(square(take(t, i))) }",
    "scattered": "graph f(t: f64[D, C], i: i64[B], v: f64[B, C]) -> f64[D, C] "
    "{ assume 0 <= i < 3\n return scatter_add(t, i, v * v) }",
    "chosen": "graph f(x: f64[B], y: f64[B]) -> f64[B] { return where(x < y, x * y, x - y) }",
    "masked": "graph f(x: f64[B], m: bool[B]) -> f64[] { return sum(where(m, 1 / (1 + x * x), x)) }",
    "extremes": "graph f(x: f64[B, D]) -> f64[B] { return abs(x) @ clamp(sum(x, axis=0), lo=-1, hi=1) }",
    "quotient": "graph f(x: f64[B, D], y: f64[D]) -> f64[B, D] { return x / (y * y + 1) }",
    "constant": "graph f(x: f64[B], const c: f64[B]) -> f64[] { return sum(detach(x) * x + c * x) }",
    "batched": "graph f(x: f64[B, D, C], y: f64[B, C, D]) -> f64[B, D, D] { return x @ y }",
    "linear": "graph f(x: f64[B, 2, D], w: f64[C, D], b: f64[C]) -> f64[B, 2, C] { return linear(x, w, b) }",
    "swapped": "graph f(x: f64[B, C, D]) -> f64[] { return sum(swap(x * x, axis=0) * 2) }",
}
FLOAT = {
    "network": "graph f(x: f32[B, D], label: i32[B], w: f32[D, C], b: f32[C]) -> f32[] "
    "{ assume 0 <= label < 2\n return mean(cross_entropy(tanh(x @ w + b), label)) }",
    "attention": "graph f(q: f64[B, D], k: f64[C, D], v: f64[C, D]) -> f64[B, D] "
    "{ return softmax(q @ transpose(k)) @ v }",
    "normed": "graph f(x: f64[B, D], w: f64[D], b: f64[D]) -> f64[] { return sum(square(layer_norm(x, w, b))) }",
    "log": "graph f(x: f64[B, D]) -> f64[B, D] { return log_softmax(sin(x) + sigmoid(x) * exp(x)) }",
    "axes": "graph f(x: f64[B, C, D]) -> f64[] { return logsumexp(softmax(x, axis=1)) }",
}
OWN = """
op conv[stride, pad](x: [N, C, L], w: [O, C, K]) -> [N, O, (L + 2*pad - K) // stride + 1] {
  require stride >= 1, pad >= 0, K >= 1, L + 2*pad >= K
  y[n, o, p] = sum(c, u | 0 <= p*stride + u - pad < L) x[n, c, p*stride + u - pad] * w[o, c, u]
}
op shift(x: [n]) -> [n] { y[i] = select(i >= 1, x[i - 1], 0) - x[i] }
op prefix(x: [n]) -> [n] { y[i] = sum(j < i + 1) x[j] * x[j] }
op odd(x: [n]) -> [n] { y[i] = select(i % 2 == 1, x[i // 2], x[n - 1 - i]) }
op spread(x: [n], w: [m]) -> [n] { y[i] = sum(j | x[i] < w[j]) w[j] * x[i] / (1 + x[i]^2) }
op strides[k](x: [n]) -> [n // k] { require k >= 1  y[i] = x[i*k]^3 + i }
op diagonal(x: [n, n]) -> [n] { y[i] = x[i, i] * x[0, n - 1 - i] }
op pairs(x: [n, S..], i: int [n]) -> [n, S..] { require 0 <= i[a] < n  y[a, s..] = x[i[i[a]], s..] * x[a, s..] }
"""
RATIONAL |= {
    "conv": "graph f(x: f64[B, C, 5], w: f64[2, C, 3]) -> f64[B, 2, 3] { return conv(x, w, stride=2, pad=1) }",
    "dense conv": "graph f(x: f64[B, C, 5], w: f64[2, C, 3]) -> f64[B, 2, 5] { return conv(x, w, stride=1, pad=1) }",
    "shift": "graph f(x: f64[B]) -> f64[B] { return shift(shift(x) * x) }",
    "prefix": "graph f(x: f64[B]) -> f64[B] { return prefix(x + shift(x)) }",
    "odd": "graph f(x: f64[B]) -> f64[B] { return odd(x * x) }",
    "spread": "graph f(x: f64[B], w: f64[D]) -> f64[B] { return spread(x + 1, w) }",
    "strides": "graph f(x: f64[7]) -> f64[3] { return strides(slice(x, start=1, stop=7), k=2) }",
    "diagonal": "graph f(x: f64[D, B]) -> f64[D] { return diagonal(x @ transpose(x)) }",
    "pairs": "graph f(x: f64[D, B, C], i: i64[D]) -> f64[D, B, C] { assume 0 <= i < 3\n return pairs(x + 1, i) }",
}
HEAD = "dim B >= 0\ndim D = 3, C = 2\n"
HEAD1 = "dim B >= 1\ndim D = 3, C = 2\n"


def graph_of(text: str) -> Graph:
    return load_text((HEAD1 if "mean" in text or "logsumexp" in text else HEAD) + OWN + text).graphs["f"]


def shape_of(extents: Any, dims: dict[str, int]) -> tuple[int, ...]:
    return tuple(e.evaluate(dims) for e in extents)


def numbers(shape: tuple[int, ...], kind: str, random: np.random.Generator) -> Any:
    if kind == "int":
        return random.integers(0, 2, shape)
    if kind == "bool":
        return random.integers(0, 2, shape).astype(bool)
    out = np.empty(shape, object)
    for position in itertools.product(*map(range, shape)):
        out[position] = Fraction(int(random.integers(-6, 7)), int(random.integers(1, 4)))
    return out


def random_inputs(plan: Plan, dims: dict[str, int], seed: int) -> dict[str, Any]:
    random = np.random.default_rng(seed)
    return {i.name: numbers(shape_of(i.axes, dims), i.kind, random) for i in plan.program.inputs}


def by_tape(plan: Plan, dims: dict[str, int], inputs: dict[str, Any], scalar: Scalars) -> list[Any]:
    """What the plan produces, computed by the tape."""
    graph = plan.graph
    tape = array_tape(graph, scalar)

    def real(name: str) -> Any:
        return scalar.array(inputs[name])

    context = [real(n.name) for n in graph.gamma]
    delta = {d.name: real(d.name) if d.type.kind == "real" else inputs[d.name] for d in graph.delta}
    values = tape.denote_all(context, delta, dims)
    found: dict[str, Any] = {"value": values.nodes}
    if plan.mode == "jvp":
        found["tangent"] = tape.jvp_all(values, [real(f"d {n.name}") for n in graph.gamma])
    if plan.mode == "value_and_grad":
        found["grad"] = tape.backward_dense_all(values)
    if plan.mode == "vjp":
        seeds = tape.seed_context(values, [(o, real(f"g {k}")) for k, o in enumerate(graph.outputs)])
        found["grad"] = tape.backward_dense_from(values, seeds)
    return [found[what][id_] for what, id_ in plan.produces]


def modes(graph: Graph) -> list[str]:
    scalar = len(graph.outputs) == 1 and not graph.nodes[graph.outputs[0]].type.shape
    return ["forward", "vjp", "jvp", *(["value_and_grad"] if scalar else [])]


def sizes(text: str) -> list[int]:
    return [1, 3] if "mean" in text or "logsumexp" in text else [0, 1, 3]


@pytest.mark.parametrize("name", RATIONAL)
def test_plans_equal_the_tape_exactly(name: str) -> None:
    graph = graph_of(RATIONAL[name])
    scalar = scalars("rational")
    for mode, size in itertools.product(modes(graph), sizes(RATIONAL[name])):
        plan = make_plan(graph, mode)  # type: ignore[arg-type]
        dims = {"B": size, "D": 3, "C": 2}
        inputs = random_inputs(plan, dims, size)
        expected = by_tape(plan, dims, inputs, scalar)
        got = run_program(plan.program, [inputs[i.name] for i in plan.program.inputs], Binding(dims, {}), scalar)
        for what, a, b in zip(plan.produces, expected, got, strict=True):
            assert a.shape == b.shape and a.tolist() == b.tolist(), f"{mode} {what}\n{plan.program}"
        execute(plan, dims, inputs, [np.asarray(e).astype(float) for e in expected])


def execute(plan: Plan, dims: dict[str, int], inputs: dict[str, Any], expected: list[Any]) -> None:
    """Both float types, twice over, so that a second run can't lean on the first."""
    floats = {k: v.astype(float) if v.dtype == object else v for k, v in inputs.items()}
    for scalar, tolerance in ((FLOAT64, 1e-9), (FLOAT32, 2e-4)):
        executor = Executor(plan, dims, scalar)
        garbage = {k: np.full_like(v, 1) for k, v in floats.items()}
        executor.run(garbage)
        for _ in range(2):
            for what, a, b in zip(plan.produces, expected, executor.run(floats), strict=True):
                assert b.dtype == scalar.dtype
                np.testing.assert_allclose(b, a, rtol=tolerance, atol=tolerance, err_msg=f"{what}\n{plan.program}")


@pytest.mark.parametrize("name", FLOAT)
def test_executor_equals_the_tape_in_floats(name: str) -> None:
    graph = graph_of(FLOAT[name])
    for mode, size in itertools.product(modes(graph), sizes(FLOAT[name])):
        plan = make_plan(graph, mode)  # type: ignore[arg-type]
        dims = {"B": size, "D": 3, "C": 2}
        inputs = random_inputs(plan, dims, size)
        execute(plan, dims, inputs, by_tape(plan, dims, inputs, FLOAT64))


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["+", "-", "*", "relu", "sum", "where", "@"]), st.integers(0, 99), st.integers(0, 99)
        ),
        max_size=8,
    ),
    st.integers(0, 3),
)
def test_random_graphs(choices: list[tuple[str, int, int]], size: int) -> None:
    names, lines = ["x", "y"], []
    for k, (kind, a, b) in enumerate(choices):
        p, q = names[a % len(names)], names[b % len(names)]
        line = {
            "relu": f"relu({p})",
            "sum": f"{p} * sum({q}, axis=0)",
            "where": f"where({p} < {q}, {p}, {p} * {q})",
            "@": f"{p} @ (transpose({q}) @ {q})",
        }.get(kind, f"{p} {kind} {q}")
        lines.append(f"v{k} = {line}")
        names.append(f"v{k}")
    body = "\n".join([*lines, f"return {names[-1]} + x, {names[len(names) // 2]}"])
    graph = graph_of(f"graph f(x: f64[B, C], y: f64[B, C]) -> (f64[B, C], f64[B, C]) {{ {body} }}")
    for mode in ("vjp", "jvp"):
        plan = make_plan(graph, mode)  # type: ignore[arg-type]
        dims = {"B": size, "C": 2, "D": 3}
        inputs = random_inputs(plan, dims, size)
        scalar = scalars("rational")
        expected = by_tape(plan, dims, inputs, scalar)
        got = run_program(plan.program, [inputs[i.name] for i in plan.program.inputs], Binding(dims, {}), scalar)
        for a, b in zip(expected, got, strict=True):
            assert a.tolist() == b.tolist()
        floats = {k: v.astype(float) for k, v in inputs.items()}
        for a, b in zip(expected, Executor(plan, dims, FLOAT64).run(floats), strict=True):
            np.testing.assert_allclose(b, a.astype(float), rtol=1e-7, atol=1e-7)


def test_equal_work_is_done_once() -> None:
    plan = make_plan(graph_of(FLOAT["network"].replace("tanh", "relu")), "value_and_grad")
    names = [(s.op, s.name) for s in plan.program.steps]
    assert names.count(("call", "exp")) == 1
    assert sum(op == "contract" for op, _ in names) == 3
    assert not any(op in ("copy", "reshape") for op, _ in names)


def test_a_gradient_needs_one_real_scalar() -> None:
    with pytest.raises(Unplannable):
        make_plan(graph_of(RATIONAL["several"]), "value_and_grad")
    with pytest.raises(Unplannable):
        make_plan(graph_of(RATIONAL["affine"]), "value_and_grad")


def test_inputs_are_checked_and_results_are_the_callers() -> None:
    plan = make_plan(graph_of(RATIONAL["used twice"]), "value_and_grad")
    executor = Executor(plan, {"B": 2})
    with pytest.raises(ValueError, match=r"x: the shape is \(3,\), bound to \(2,\)"):
        executor.run({"x": np.zeros(3)})
    with pytest.raises(ValueError, match="complex128"):
        executor.run({"x": np.zeros(2, complex)})
    first = executor.run({"x": np.array([1.0, 2.0])})
    kept = [np.array(a) for a in first]
    executor.run({"x": np.array([5.0, 6.0])})
    for a, b in zip(first, kept, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_branch_that_is_not_taken_does_no_harm() -> None:
    stanza = "fn part(x) = select(x < 0, x, sqrt(x))\n"
    graph = load_text(HEAD + stanza + "graph f(x: f64[B]) -> f64[] { return sum(part(x)) }").graphs["f"]
    executor = Executor(make_plan(graph, "value_and_grad"), {"B": 2})
    value, grad = executor.run({"x": np.array([-4.0, 4.0])})
    assert value == -2.0 and grad.tolist() == [1.0, 0.25]


def test_buffers_are_shared() -> None:
    chain = "\n".join(f"v{k + 1} = sin(v{k} * 2)" for k in range(50))
    graph = graph_of(f"graph f(x: f64[B]) -> f64[B] {{ v0 = x + 1\n{chain}\nreturn v50 }}")
    executor = Executor(make_plan(graph), {"B": 100})
    assert executor.nbytes <= 4 * 800
