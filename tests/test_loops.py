"""Loops: proved for every length, run without unrolling, compared with jax.lax.scan; broken ones are found."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from time import perf_counter
from typing import Any

import gradproof as gp
import jax
import numpy as np
import pytest
from gradproof.compiler.elaborate import load_text
from gradproof.compiler.graph import Graph, LoopDef, Ref, Seeded
from gradproof.compiler.wellformed import check
from gradproof.grammar.source import Diagnostic
from gradproof.runtime.looping import Layout, TapeBody
from gradproof.runtime.loops import Given, Loop, Pulled, Series
from gradproof.runtime.program import Program
from gradproof.verifier import discharge
from gradproof.verifier.layouts import body_problem, layout_problem
from gradproof.verifier.loops import verdicts_of_loop
from gradproof.verifier.options import Options

EXAMPLES = Path(__file__).parent.parent / "examples"
LENGTHS = (0, 1, 2, 7)
SIZES = {"V": 3, "N": 3, "B": 3, "W": 2, "D": 2, "H": 4}

PROGRAMS = """
dim T, N, V >= 1

graph add_up(s: f64[N], x: f64[N]) -> f64[N] { return s + x }
graph cumulative_sum(s: f64[N], xs: f64[T, N]) -> f64[T, N] { return scan(add_up, s, xs) }

graph times(p: f64[N], x: f64[N]) -> f64[N] { return p * x }
graph cumulative_product(p: f64[N], xs: f64[T, N]) -> f64[T, N] { return scan(times, p, xs) }

# A result that is no state, an input read twice, a fixed input that is a sequence too, integers.
graph mixed_cell(h: f64[N], x: f64[N], k: i32[N], w: f64[V], all: f64[T, N]) -> (f64[N], f64[], f64[N]) {
  assume 0 <= k < V
  a = h * x + take(w, k)
  return tanh(a) * h + sum(all, axis=0), sum(h * h), a
}
graph mixed(h: f64[N], xs: f64[T, N], ks: i32[T, N], w: f64[V]) -> (f64[T, N], f64[T], f64[T, N], f64[N]) {
  assume 0 <= ks < V
  hs, s, a = scan(mixed_cell, h, xs, ks, w=w, all=xs)
  return hs, s, a, scan_last(mixed_cell, h, xs, ks, w=w, all=xs) * sum(w)
}
graph mixed_backwards(h: f64[N], xs: f64[T, N], ks: i32[T, N], w: f64[V]) -> (f64[T, N], f64[T], f64[T, N]) {
  assume 0 <= ks < V
  return scan(mixed_cell, h, xs, ks, w=w, all=xs, reverse=true)
}

# A body that ignores its state, and one without a state.
graph forgets(h: f64[N], x: f64[N]) -> f64[N] { return sin(x) }
graph forgetful(h: f64[N], xs: f64[T, N]) -> f64[N] { return scan_last(forgets, h, xs) }
graph row_of(x: f64[N], w: f64[N]) -> f64[] { return sum(x * w) }
graph rows(xs: f64[T, N], w: f64[N]) -> f64[T] { return scan(row_of, (), xs, w=w) }

# Kinks, and a state that is handed on unchanged.
graph bends(h: f64[N], c: f64[N], x: f64[N]) -> (f64[N], f64[N]) { return relu(h - x) + abs(x) * c, c }
graph bent(h: f64[N], c: f64[N], xs: f64[T, N]) -> (f64[N], f64[N]) { return scan_last(bends, (h, c), xs) }

# One tensor for two states, one value for two results' worth, a state that is read twice and one that is forgotten.
graph doubles(a: f64[N], b: f64[N], w: f64[N]) -> (f64[N], f64[N]) { return sin(a * w) + b * a, w * w }
graph doubled(h: f64[N], w: f64[N]) -> (f64[N], f64[N]) { return scan_last(doubles, (h, h), w=w, length=T) }
graph copies(a: f64[N], x: f64[N]) -> (f64[N], f64[N], f64[N]) { y = a * x; return y, y, a }
graph copied(h: f64[N], xs: f64[T, N]) -> (f64[T, N], f64[T, N], f64[T, N]) { return scan(copies, h, xs) }

# A constant initial state, nothing that is differentiated but one weight; and nothing at all.
graph steady(a: f64[N], const x: f64[N], w: f64[N]) -> f64[N] { return a * x + w * w }
graph constant(xs: f64[T, N], const h: f64[N], w: f64[N]) -> f64[N] { return scan_last(steady, h, xs, w=w) }
graph lengths(const x: f64[N]) -> f64[] { return sum(x * x) }
graph squares(a: f64[], const xs: f64[T, N]) -> f64[T] { return a * scan(lengths, (), xs) }

# Inputs that are called as an operator's result, cotangent and tangent are, or as rows of a table.
graph calls(y: f64[N], g: f64[N], dy: f64[N], s0: f64[N]) -> f64[N] { return sin(y * s0) + g * dy }
graph called(h: f64[N], xs: f64[T, N], w: f64[N], s0: f64[T, N]) -> f64[T, N] { return scan(calls, h, xs, s0=s0, dy=w) }

# A loop in a loop.
graph inner(z: f64[N], x: f64[]) -> f64[N] { return sin(z) * x }
graph outer(z: f64[N], row: f64[V]) -> f64[N] { return scan_last(inner, z, row) + z }
graph nested(z: f64[N], xs: f64[T, V]) -> f64[T, N] { return scan(outer, z, xs) }

# A language model that embeds its tokens inside the loop.
dim D, H, S >= 1, W >= 1

# The gates are four blocks of columns of one matrix: in, forget, out, and what is written.
graph token_cell(
  h: f64[W, H],
  c: f64[W, H],
  token: i32[W],
  embedding: f64[V, D],
  w: f64[D, 4*H],
  u: f64[H, 4*H],
  b: f64[4*H],
) -> f64[W, H], f64[W, H] {
  assume 0 <= token < V
  gates = take(embedding, token) @ w + h @ u + b
  i = sigmoid(slice(gates, start=0, stop=H, axis=1))
  f = sigmoid(slice(gates, start=H, stop=2*H, axis=1))
  o = sigmoid(slice(gates, start=2*H, stop=3*H, axis=1))
  g = tanh(slice(gates, start=3*H, stop=4*H, axis=1))
  next = f * c + i * g
  return o * tanh(next), next
}

# How surprising the next token is, on average over steps and batch.
graph loss(
  tokens: i32[S, W],
  following: i32[S, W],
  h0: f64[W, H],
  c0: f64[W, H],
  embedding: f64[V, D],
  w: f64[D, 4*H],
  u: f64[H, 4*H],
  b: f64[4*H],
  out: f64[H, V],
  bias: f64[V],
) -> f64[] {
  assume 0 <= tokens < V
  assume 0 <= following < V
  hs, _ = scan(token_cell, (h0, c0), tokens, embedding=embedding, w=w, u=u, b=b)
  return mean(cross_entropy(hs @ out + bias, following))
}
"""


@pytest.fixture(scope="module")
def programs() -> dict[str, Program]:
    out = dict(gp.compile(PROGRAMS))
    for name in ("models/recurrent", "ode"):
        out |= dict(gp.compile(EXAMPLES / f"{name}.gproof"))
    return out


def test_every_claim_holds_for_all_sizes() -> None:
    report = gp.verify(EXAMPLES / "models" / "recurrent.gproof")
    assert report.ok, str(report)
    mine = [v for v in report.verdicts if v.claim.kind == "loop" and v.claim.subject == "scan lstm_cell"]
    said = {(v.claim.code, v.claim.text.split(":")[0]): v.scope for v in mine}
    steps = [("FWD", "base"), ("FWD", "step"), ("JVP", "base"), ("JVP", "step"), ("VJP", "base"), ("VJP", "step")]
    assert {said[step] for step in steps} == {"all sizes"}
    assert said["FWD", "count"] == "small sizes, lengths 0 to 3"


# Against JAX


def random(program: Program, dims: dict[str, int], seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    graph = program.graph
    given: dict[str, Any] = {}
    for item in (*graph.gamma, *graph.delta):
        shape = tuple(extent.evaluate(dims) for extent in item.type.shape)
        given[item.name] = rng.integers(0, dims["V"], shape) if item.type.kind == "int" else rng.normal(size=shape)
    return given


def cells(jax: Any) -> dict[str, tuple[Callable[..., Any], dict[str, int]]]:
    """The same loops by jax.lax.scan."""
    jnp, lax = getattr(jax, "numpy", None), getattr(jax, "lax", None)

    def elman(h0: Any, xs: Any, w: Any, u: Any, b: Any, reverse: bool = False) -> Any:
        def cell(h: Any, x: Any) -> Any:
            h = jnp.tanh(x @ w + h @ u + b)
            return h, h

        return lax.scan(cell, h0, xs, reverse=reverse)[1]

    def gru(h0: Any, xs: Any, w: Any, u: Any, b: Any) -> Any:
        def cell(h: Any, x: Any) -> Any:
            r = jax.nn.sigmoid(x @ w[0] + h @ u[0] + b[0])
            z = jax.nn.sigmoid(x @ w[1] + h @ u[1] + b[1])
            n = jnp.tanh(x @ w[2] + r * (h @ u[2]) + b[2])
            return (1 - z) * n + z * h, None

        return lax.scan(cell, h0, xs)[0]

    def lstm(h0: Any, c0: Any, xs: Any, w: Any, u: Any, b: Any) -> Any:
        def cell(state: Any, x: Any) -> Any:
            h, c = state
            i, f, o = (jax.nn.sigmoid(x @ w[k] + h @ u[k] + b[k]) for k in (0, 1, 3))
            c = f * c + i * jnp.tanh(x @ w[2] + h @ u[2] + b[2])
            return (o * jnp.tanh(c), c), (o * jnp.tanh(c), c)

        (h, c), (hs, cs) = lax.scan(cell, (h0, c0), xs)
        return hs, cs, h, c

    def pendulum(q0: Any, v0: Any, k: Any, damping: Any, h: Any, length: int = 0) -> Any:
        def field(q: Any, v: Any) -> Any:
            return v, -k * jnp.sin(q) - damping * v

        def step(state: Any, _: Any) -> Any:
            q, v = state
            q1, v1 = field(q, v)
            q2, v2 = field(q + h / 2 * q1, v + h / 2 * v1)
            q3, v3 = field(q + h / 2 * q2, v + h / 2 * v2)
            q4, v4 = field(q + h * q3, v + h * v3)
            state = q + h / 6 * (q1 + 2 * q2 + 2 * q3 + q4), v + h / 6 * (v1 + 2 * v2 + 2 * v3 + v4)
            return state, state

        return lax.scan(step, (q0, v0), None, length=length)[1]

    def euler(q0: Any, v0: Any, k: Any, damping: Any, h: Any, length: int = 0) -> Any:
        def step(state: Any, _: Any) -> Any:
            q, v = state
            return (q + h * v, v + h * (-k * jnp.sin(q) - damping * v)), None

        return lax.scan(step, (q0, v0), None, length=length)[0]

    def mixed_scan(h: Any, xs: Any, w: Any, ks: Any, reverse: bool) -> Any:
        def cell(h: Any, slices: Any) -> Any:
            x, k = slices
            a = h * x + w[k]
            return jnp.tanh(a) * h + xs.sum(0), (jnp.tanh(a) * h + xs.sum(0), (h * h).sum(), a)

        return lax.scan(cell, h, (xs, ks), reverse=reverse)

    def mixed(h: Any, xs: Any, w: Any, ks: Any) -> Any:
        last, results = mixed_scan(h, xs, w, ks, False)
        return *results, last * w.sum()

    def constant(xs: Any, w: Any, h: Any) -> Any:
        return lax.scan(lambda a, x: (a * lax.stop_gradient(x) + w * w, None), h, xs)[0]

    def bent(h: Any, c: Any, xs: Any) -> Any:
        return lax.scan(lambda s, x: ((jax.nn.relu(s[0] - x) + jnp.abs(x) * s[1], s[1]), None), (h, c), xs)[0]

    def nested(z: Any, xs: Any) -> Any:
        def outer(z: Any, row: Any) -> Any:
            z = lax.scan(lambda a, x: (jnp.sin(a) * x, None), z, row)[0] + z
            return z, z

        return lax.scan(outer, z, xs)[1]

    def loss(h: Any, c: Any, table: Any, w: Any, u: Any, b: Any, out: Any, bias: Any, tokens: Any, wanted: Any) -> Any:
        def cell(state: Any, token: Any) -> Any:
            h, c = state
            i, f, o, g = jnp.split(table[token] @ w + h @ u + b, 4, axis=1)
            c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
            h = jax.nn.sigmoid(o) * jnp.tanh(c)
            return (h, c), h

        logits = jax.nn.log_softmax(lax.scan(cell, (h, c), tokens)[1] @ out + bias)
        return -jnp.take_along_axis(logits, wanted[..., None], -1).mean()

    def doubled(h: Any, w: Any, length: int = 0) -> Any:
        return lax.scan(lambda s, _: ((jnp.sin(s[0] * w) + s[1] * s[0], w * w), None), (h, h), None, length=length)[0]

    def called(h: Any, xs: Any, w: Any, more: Any) -> Any:
        def cell(h: Any, x: Any) -> Any:
            h = jnp.sin(h * x[1]) + x[0] * w
            return h, h

        return lax.scan(cell, h, (xs, more))[1]

    return {
        "called": (called, {}),
        "elman": (elman, {}),
        "loss": (loss, {}),
        "doubled": (doubled, {"length": 1}),
        "backwards": (lambda *args: elman(*args, reverse=True), {}),
        "gru": (gru, {}),
        "lstm": (lstm, {}),
        "runge_kutta": (pendulum, {"length": 1}),
        "euler": (euler, {"length": 1}),
        "cumulative_sum": (lambda s, xs: s + jnp.cumsum(xs, 0), {}),
        "cumulative_product": (lambda p, xs: p * jnp.cumprod(xs, 0), {}),
        "mixed": (mixed, {}),
        "mixed_backwards": (lambda *args: mixed_scan(*args, True)[1], {}),
        "forgetful": (lambda h, xs: jnp.concatenate([h[None], jnp.sin(xs)])[-1], {}),
        "rows": (lambda xs, w: xs @ w, {}),
        "bent": (bent, {}),
        "constant": (constant, {}),
        "squares": (lambda a, xs: a * (xs * xs).sum(1), {}),
        "copied": (lambda h, xs: lax.scan(lambda a, x: (a * x, (a * x, a * x, a)), h, xs)[1], {}),
        "nested": (nested, {}),
    }


NAMES = tuple(cells(None))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("length", LENGTHS)
def test_values_and_derivatives_are_those_of_jax(name: str, length: int, programs: dict[str, Program]) -> None:
    jax.config.update("jax_enable_x64", True)
    program = programs[name]
    sizes = {**SIZES, "T": length, "S": length}
    dims = {d.name: max(sizes[d.name], d.lower) for d in program.graph.dims}
    given = random(program, dims, length)
    peer, options = cells(jax)[name]
    real = [node.name for node in program.graph.gamma]
    rest = [given[d.name] for d in program.graph.delta]

    def run(*args: Any) -> Any:
        found = peer(*args, *rest, **({"length": length} if options else {}))
        return found if isinstance(found, tuple) else (found,)

    args = [given[n] for n in real]
    wanted, pull = jax.vjp(run, *args)
    rng = np.random.default_rng(length + 1)
    cotangents = tuple(rng.normal(size=np.shape(w)) for w in wanted)
    moves = {n: rng.normal(size=given[n].shape) for n in real}
    got, grads = program.vjp(given, cotangents, scalar="float64", dims=dims)
    same(got if isinstance(got, tuple) else (got,), wanted)
    same([grads[n] for n in real], pull(cotangents))
    _, along = program.jvp(given, moves, scalar="float64", dims=dims)
    _, expected = jax.jvp(run, tuple(args), tuple(moves[n] for n in real))
    same(along if isinstance(along, tuple) else (along,), expected)


def same(got: Sequence[Any], wanted: Sequence[Any]) -> None:
    for a, b in zip(got, wanted, strict=True):
        assert np.shape(a) == np.shape(b)
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-10)


# The empty loop, other scalars, the tape


def test_a_loop_of_no_steps_hands_on_its_state(programs: dict[str, Program]) -> None:
    program, h = programs["forgetful"], np.array([1.0, 2.0])
    value, grads = program.vjp({"h": h, "xs": np.zeros((0, 2))}, np.array([3.0, 4.0]))
    assert value.tolist() == [1, 2]
    assert grads["h"].tolist() == [3, 4]
    assert grads["xs"].shape == (0, 2)
    _, grads = program.vjp({"h": h, "xs": np.zeros((1, 2))}, np.array([3.0, 4.0]))
    assert grads["h"].tolist() == [0, 0]


def test_exact_numbers_and_floats_agree(programs: dict[str, Program]) -> None:
    given = {"p": [2, 3], "xs": [[1, 2], [3, 4], [5, 6]]}
    value, grads = programs["cumulative_product"].vjp(given, np.ones((3, 2), int), scalar="rational")
    assert value.tolist() == [[2, 6], [6, 24], [30, 144]]
    floats = {name: np.array(array, float) for name, array in given.items()}
    _, wanted = programs["cumulative_product"].vjp(floats, np.ones((3, 2)))
    assert {n: g.tolist() for n, g in grads.items()} == {n: g.tolist() for n, g in wanted.items()}


@pytest.mark.parametrize("name", ["lstm", "mixed", "mixed_backwards", "nested", "bent", "rows"])
def test_the_tape_and_the_plan_agree(name: str, programs: dict[str, Program]) -> None:
    program = programs[name]
    dims = {d.name: 3 for d in program.graph.dims}
    given = random(program, dims, 5)
    tape = program.tape("float64")
    graph = program.graph
    values = tape.denote_all([given[n.name] for n in graph.gamma], {d.name: given[d.name] for d in graph.delta}, dims)
    seeds = [np.random.default_rng(k).normal(size=values.nodes[id_].shape) for k, id_ in enumerate(graph.outputs)]
    grads = tape.backward_dense_from(values, tape.seed_context(values, zip(graph.outputs, seeds, strict=True)))
    _, wanted = program.vjp(given, tuple(seeds), scalar="float64")
    same(grads[: graph.leaves], [wanted[n.name] for n in graph.gamma])


def test_float32_and_intervals(programs: dict[str, Program]) -> None:
    program = programs["elman"]
    given = random(program, {"T": 2, "B": 1, "D": 2, "H": 2}, 3)
    cotangent = np.ones((2, 1, 2))
    _, exact = program.vjp(given, cotangent, scalar="float64")
    _, single = program.vjp({n: a.astype(np.float32) for n, a in given.items()}, cotangent, scalar="float32")
    _, enclosed = program.vjp(given, cotangent, scalar="interval")
    for name, grad in exact.items():
        np.testing.assert_allclose(single[name], grad, rtol=1e-4, atol=1e-5)
        for value, ball in zip(grad.reshape(-1), enclosed[name].reshape(-1), strict=True):
            assert abs(float(ball.mid()) - value) < 1e-10


def test_a_buffer_that_is_used_again_is_no_result_of_before(programs: dict[str, Program]) -> None:
    """The tape keeps what one reverse run gives for the arguments that follow, and for nothing else."""
    program = programs["cumulative_product"]
    tape, graph = program.tape("float64"), program.graph
    values = tape.denote_all([np.ones(1), np.full((2, 1), 2.0)], {}, {"T": 2, "N": 1})
    cotangent = np.ones((2, 1))
    zero = [np.zeros_like(v) for v in values.nodes]
    first = tape.backward_dense_from(values, [*zero[: graph.outputs[0]], cotangent])
    cotangent[...] = 10
    second = tape.backward_dense_from(values, [*zero[: graph.outputs[0]], cotangent])
    assert (second[0] == 10 * first[0]).all()
    assert (second[1] == 10 * first[1]).all()


def test_ten_thousand_steps_take_linear_time_and_no_recursion(programs: dict[str, Program]) -> None:
    program, before = programs["euler"], sys.getrecursionlimit()
    given = {"q0": np.ones(2), "v0": np.zeros(2), "k": 1.0, "damping": 0.1, "h": 1e-3}
    seconds = {}
    sys.setrecursionlimit(300)
    try:
        for length in (2_500, 10_000):
            program.vjp(given, (np.ones(2), np.ones(2)), dims={"T": length})
            started = perf_counter()
            program.vjp(given, (np.ones(2), np.ones(2)), dims={"T": length})
            seconds[length] = perf_counter() - started
    finally:
        sys.setrecursionlimit(before)
    assert seconds[10_000] < 12 * seconds[2_500] + 0.1  # 4 where it is linear, 16 where it is quadratic


# What is wrong is found

SOURCE = """
dim T, N
graph cell(h: f64[N], c: f64[N], x: f64[N], w: f64[N]) -> (f64[N], f64[N], f64[N]) { return h * x + w, c + h, h * w }
graph f(h: f64[N], c: f64[N], xs: f64[T, N], w: f64[N]) -> (f64[T, N], f64[T, N], f64[T, N]) {
  return scan(cell, (h, c), xs, w=w)
}
"""


def graph_of(text: str, name: str = "f") -> Graph:
    return load_text(text).graphs[name]


def loop_of(text: str = SOURCE) -> LoopDef:
    return next(iter(graph_of(text).loops.values()))


class Forgets(Loop[Any]):
    def step_back(self, given: Any, table: Any, seeds: Any, pulled: Any, grads: Any, t: Any) -> None:
        fixed = dict(pulled.fixed)
        super().step_back(given, table, seeds, pulled, grads, t)
        pulled.fixed.update(fixed)


class Overwrites(Loop[Any]):
    def step_back(self, given: Any, table: Any, seeds: Any, pulled: Any, grads: Any, t: Any) -> None:
        pulled.fixed.update({name: self.body.zero(v) for name, v in pulled.fixed.items()})
        super().step_back(given, table, seeds, pulled, grads, t)


class SeedsOnlyTheEnd(Loop[Any]):
    def step_back(self, given: Any, table: Any, seeds: Any, pulled: Any, grads: Any, t: Any) -> None:
        states = list(pulled.states)
        back = self.body.vjp(self._inputs(given, table, t), [*states, *(s.read(t + 1) for s in seeds[len(states) :])])
        super().step_back(given, table, seeds, pulled, grads, t)
        for name, contribution in zip(self.moving, back, strict=True):
            if name in self.states:
                pulled.states[self.states[name]] = contribution


class Shifted(Series[Any]):
    def __init__(self, of: Series[Any], by: int) -> None:
        self.of, self.by = of, by

    def read(self, at: Any) -> Any:
        return self.of.read(at + self.by)

    def write(self, at: Any, value: Any) -> None:
        self.of.write(at + self.by, value)

    def zero(self) -> Any:
        return self.of.zero()


class SeedsLate(Loop[Any]):
    def step_back(self, given: Any, table: Any, seeds: Any, pulled: Any, grads: Any, t: Any) -> None:
        super().step_back(given, table, [Shifted(s, 1) for s in seeds], pulled, grads, t)


class RowsLate(Loop[Any]):
    def step_back(self, given: Any, table: Any, seeds: Any, pulled: Any, grads: Any, t: Any) -> None:
        super().step_back(given, [Shifted(s, 1) for s in table], seeds, pulled, grads, t)


class SlicesLate(Loop[Any]):
    def step_back(self, given: Any, table: Any, seeds: Any, pulled: Any, grads: Any, t: Any) -> None:
        super().step_back(given, table, seeds, pulled, {n: Shifted(g, 1) for n, g in grads.items()}, t)


class SwapsStates(Loop[Any]):
    def step_back(self, given: Any, table: Any, seeds: Any, pulled: Any, grads: Any, t: Any) -> None:
        super().step_back(given, table, seeds, pulled, grads, t)
        pulled.states.reverse()


class StartsAtZero(Loop[Any]):
    def start_back(self, given: Any, seeds: Any, length: Any) -> Pulled[Any]:
        pulled = super().start_back(given, seeds, length)
        return Pulled([self.body.zero(s) for s in pulled.states], pulled.fixed)


class StartsWithWeights(Loop[Any]):
    def start_back(self, given: Any, seeds: Any, length: Any) -> Pulled[Any]:
        pulled = super().start_back(given, seeds, length)
        return Pulled(pulled.states, {name: given.values[name] for name in pulled.fixed})


class SkipsTheLast(Loop[Any]):
    def forward(self, given: Any, table: Any, length: int) -> None:
        super().forward(given, table, max(length - 1, 0))


class UndoesForwards(Loop[Any]):
    def vjp(self, given: Any, table: Any, seeds: Any, grads: Any, length: int) -> Pulled[Any]:
        pulled = self.start_back(given, seeds, length)
        for t in range(length):
            self.step_back(given, table, seeds, pulled, grads, t)
        return pulled


class StopsEarly(Loop[Any]):
    def vjp(self, given: Any, table: Any, seeds: Any, grads: Any, length: int) -> Pulled[Any]:
        pulled = self.start_back(given, seeds, length)
        for t in reversed(range(1, length)):
            self.step_back(given, table, seeds, pulled, grads, t)
        return pulled


class KeepsRow(Loop[Any]):
    def step(self, given: Any, table: Any, t: Any) -> None:
        super().step(given, [Shifted(s, -1) for s in table], t + 1)


class StillTangents(Loop[Any]):
    def step_tangent(self, given: Any, table: Any, moves: Any, tangents: Any, t: Any) -> None:
        still = Given({n: self.body.zero(v) for n, v in moves.values.items()}, moves.sequences)
        super().step_tangent(given, table, still, tangents, t)


class StartsEmpty(Loop[Any]):
    def start(self, given: Any, table: Any) -> None:
        for series in table:
            series.write(0, series.zero())


BROKEN = {
    Forgets: ("VJP", "step"),
    Overwrites: ("VJP", "step"),
    SeedsOnlyTheEnd: ("VJP", "step"),
    SeedsLate: ("VJP", "step"),
    RowsLate: ("VJP", "step"),
    SlicesLate: ("VJP", "step"),
    SwapsStates: ("VJP", "step"),
    StartsAtZero: ("VJP", "base"),
    StartsWithWeights: ("VJP", "base"),
    SkipsTheLast: ("FWD", "count"),
    UndoesForwards: ("FWD", "count"),
    StopsEarly: ("FWD", "count"),
    KeepsRow: ("FWD", "step"),
    StillTangents: ("JVP", "step"),
    StartsEmpty: ("FWD", "base"),
}


@pytest.mark.parametrize(("broken", "where"), BROKEN.items(), ids=lambda item: getattr(item, "__name__", ""))
def test_a_broken_loop_is_refuted(broken: type[Loop[Any]], where: tuple[str, str]) -> None:
    verdicts = verdicts_of_loop(loop_of(), Options(), broken)
    answers = {(v.claim.code, v.claim.text.split(":")[0]): v for v in verdicts}
    assert answers[where].answer == "refuted", [(k, v.answer, v.reason) for k, v in answers.items()]
    point = answers[where].counterexample
    assert point is not None
    assert point.expected != point.got


def test_the_loop_that_runs_is_the_one_that_is_proved() -> None:
    assert {v.answer for v in verdicts_of_loop(loop_of(), Options())} == {"proved"}
    reverse = loop_of(SOURCE.replace("w=w)", "w=w, reverse=true)"))
    assert {v.answer for v in verdicts_of_loop(reverse, Options())} == {"proved"}


class WrongOffsets(Layout):
    def columns(self, table: Any) -> Any:
        return super().columns(table)[::-1]


class NotTurned(Layout):
    def _walked(self, array: Any) -> Any:
        return array


class GivesNoSums(Layout):
    def gradients(self, bundle: Any) -> Any:
        return {name: part.copy() for name, part in super().gradients(bundle).items()}


@pytest.mark.parametrize("broken", [WrongOffsets, NotTurned, GivesNoSums])
def test_a_broken_layout_is_found(broken: type[Layout]) -> None:
    loop = loop_of(SOURCE.replace("w=w)", "w=w, reverse=true)"))
    assert layout_problem(loop) is None
    assert layout_problem(loop, broken) is not None


class SwapsInputs(TapeBody):
    def forward(self, inputs: Sequence[Any]) -> list[Any]:
        return super().forward([inputs[1], inputs[0], *inputs[2:]])


class SwapsGradients(TapeBody):
    def vjp(self, inputs: Sequence[Any], cotangents: Sequence[Any]) -> list[Any]:
        return super().vjp(inputs, cotangents)[::-1]


class SwapsTangents(TapeBody):
    def jvp(self, inputs: Sequence[Any], tangents: Sequence[Any]) -> list[Any]:
        return super().jvp(inputs, tangents[::-1])


@pytest.mark.parametrize("broken", [SwapsInputs, SwapsGradients, SwapsTangents])
def test_a_body_that_is_called_wrongly_is_found(broken: type[TapeBody]) -> None:
    assert body_problem(loop_of()) is None
    assert body_problem(loop_of(), broken) is not None


def test_a_wrong_operator_in_a_body_is_refuted() -> None:
    wrong = "op cube_(x: [S..]) -> [S..] { y[s..] = x[s..]^3   vjp x[s..] = 2 * g[s..] * x[s..]^2 }"
    report = gp.verify(f"{wrong}\n{SOURCE.replace('h * x + w', 'cube_(h) * x + w')}")
    assert {"cube_", "f_cell"} <= {v.claim.subject for v in report.verdicts if v.answer == "refuted"}
    with pytest.raises(gp.ProofError):
        gp.compile(f"{wrong}\n{SOURCE.replace('h * x + w', 'cube_(h) * x + w')}")


INVARIANT = """
dim T
graph cell(h: f64[], x: f64[]) -> f64[] { assume h > 0; return h * exp(x) + log(h)^2 }
graph f(h: f64[], xs: f64[T]) -> f64[] { assume h > 0; return scan_last(cell, h, xs) }
"""


def test_a_built_graph_cannot_leave_out_what_its_body_assumes() -> None:
    graph = graph_of(INVARIANT)
    assert check(graph) == []
    assert any("nothing shows" in problem for problem in check(replace(graph, assumes=())))
    (loop,) = graph.loops.values()
    careless = replace(loop, body=replace(loop.body, ensures=()))
    assert any("keeps" in problem for problem in check(replace(graph, loops={loop.name: careless})))


def test_a_built_graph_cannot_say_that_what_its_body_is_given_is_drawn() -> None:
    graph = graph_of(
        "dim T\ngraph cell(h: f64[], const x: f64[]) -> f64[] { return h + x }\n"
        "graph f(h: f64[], const xs: f64[T]) -> f64[] { return scan_last(cell, h, xs) }"
    )
    assert check(graph) == []
    (loop,) = graph.loops.values()
    delta = tuple(replace(d, seeded=Seeded("uniform", 3, Fraction(1, 2))) for d in loop.body.delta)
    assert any("is drawn" in problem for problem in check(with_body(graph, loop, delta=delta)))


def test_a_built_graph_cannot_give_its_body_other_dims() -> None:
    graph = graph_of(SOURCE)
    (loop,) = graph.loops.values()
    dims = tuple(replace(dim, lower=3) for dim in graph.dims)
    other = replace(graph, loops={loop.name: replace(loop, body=replace(loop.body, dims=dims))})
    assert any("dims" in problem for problem in check(other))


def test_roles_must_fit_the_body() -> None:
    graph = graph_of(SOURCE)
    (loop,) = graph.loops.values()
    fewer = replace(loop, roles=loop.roles[:-1])
    assert check(replace(graph, loops={loop.name: fewer}))
    states = replace(loop, roles=tuple((n, "state") for n, _ in loop.roles))
    assert check(replace(graph, loops={loop.name: states}))
    assert "unknown" in {v.answer for v in verdicts_of_loop(states, Options())}


BUILT: dict[str, Callable[[Graph, LoopDef], Graph]] = {
    "fewer roles": lambda g, loop: with_loop(g, loop, roles=loop.roles[:-1]),
    "other roles": lambda g, loop: with_loop(g, loop, roles=tuple((n, "fixed") for n, _ in loop.roles)),
    "roles in another order": lambda g, loop: with_loop(g, loop, roles=loop.roles[::-1]),
    "a step more": lambda g, loop: with_loop(g, loop, length=loop.length + 1),
    "another name": lambda g, loop: with_loop(g, loop, name="other"),
    "no results": lambda g, loop: with_body(g, loop, outputs=(), output_names=()),
    "a result that is no state's": lambda g, loop: with_body(g, loop, outputs=(1,), output_names=("x",)),
    "results that do not exist": lambda g, loop: with_body(g, loop, outputs=(97, 98, 99)),
    "no dims": lambda g, loop: with_body(g, loop, dims=()),
    "an operator of this name": lambda g, loop: replace(g, ops={**g.ops, loop.name: next(iter(g.ops.values()))}),
    "arguments in another order": lambda g, loop: with_node(g, loop, lambda args: args[::-1]),
    "fewer arguments": lambda g, loop: with_node(g, loop, lambda args: args[:-1]),
    "a later argument": lambda g, loop: with_node(g, loop, lambda args: (Ref(len(g.nodes) - 1), *args[1:])),
}


def with_loop(graph: Graph, loop: LoopDef, **changes: Any) -> Graph:
    return replace(graph, loops={loop.name: replace(loop, **changes)})


def with_body(graph: Graph, loop: LoopDef, **changes: Any) -> Graph:
    return with_loop(graph, loop, body=replace(loop.body, **changes))


def with_node(graph: Graph, loop: LoopDef, change: Callable[[Any], Any]) -> Graph:
    nodes = tuple(replace(n, args=change(n.args)) if n.op == loop.name else n for n in graph.nodes)
    return replace(graph, nodes=nodes)


@pytest.mark.parametrize("change", BUILT.values(), ids=BUILT.keys())
def test_a_loop_that_was_built_wrongly_is_not_proved(change: Callable[[Graph, LoopDef], Graph]) -> None:
    graph = graph_of(INVARIANT)
    verdicts = discharge.verify((), (change(graph, *graph.loops.values()),), Options(timeout=2.0, search=0.2))
    assert any(v.answer != "proved" for v in verdicts)
    assert {v.answer for v in discharge.verify((), (graph,))} == {"proved"}


def test_a_program_wants_the_claims_of_its_loops_and_bodies() -> None:
    from gradproof.compiler.obligations import claims_of_graph
    from gradproof.runtime.program import Unsealed

    graph = graph_of(SOURCE)
    kinds = {(c.kind, c.subject) for c in claims_of_graph(graph)}
    assert {("graph", "f"), ("graph", "f_cell"), ("loop", "scan f_cell")} <= kinds
    verdicts = discharge.verify((), (graph,))
    Program(graph, discharge.certify(verdicts))
    for kind, subject in (("loop", "scan f_cell"), ("graph", "f_cell")):
        fewer = [v for v in verdicts if (v.claim.kind, v.claim.subject) != (kind, subject)]
        with pytest.raises(Unsealed):
            Program(graph, discharge.certify(fewer))


MISTAKES = {
    "scan(cell, (h, c), xs)": "is not given `w`",
    "scan(cell, (h, c), xs, w=w, v=w)": "no input `v`",
    "scan(nothing, (h, c), xs, w=w)": "nothing",
    "scan(h, (h, c), xs, w=w)": "unknown",
    "scan(cell)": "initial state",
    "scan(cell, (h, c), h, w=w)": "sequence `x`",
    "scan(cell, (h, c), sum(h), w=w)": "has no axes",
    "scan(cell, (h, c, h, w))": "no length of its own",
    "scan(cell, (h, xs), xs, w=w)": "the state `c`",
    "scan(f, (h, c), xs, w=w)": "circle",
    "scan(cell, (h, c), xs, w=w, reverse=2)": "true or false",
    "scan(cell, (h, c), xs, w=w, length=h)": "no length",
    "scan(cell, (h, c), x=h, w=w)": "no length of its own",
    "scan(cell, (h, c), xs, xs, xs)": "4 inputs",
}


@pytest.mark.parametrize(("call", "words"), MISTAKES.items())
def test_mistakes_have_a_place_and_words(call: str, words: str) -> None:
    with pytest.raises(Diagnostic) as found:
        load_text(SOURCE.replace("scan(cell, (h, c), xs, w=w)", call))
    assert words in str(found.value)
    assert found.value.span is not None


def test_integers_can_be_no_state_and_no_result() -> None:
    text = "dim T\ngraph cell(h: i32[], x: f64[]) -> f64[] { return x }\n"
    text += "graph f(h: i32[], x: f64[T]) -> f64[T] { return scan(cell, h, x) }"
    with pytest.raises(Diagnostic, match="differentiable reals"):
        load_text(text)
    text = "dim T\ngraph cell(h: f64[]) -> (f64[], bool[]) { return h, h > 0 }\n"
    with pytest.raises(Diagnostic, match="real"):
        load_text(text + "graph f(h: f64[]) -> f64[T] { return scan(cell, h, length=T) }")


def test_second_derivatives_of_a_loop_are_refused_with_a_reason() -> None:
    with pytest.raises(Diagnostic, match="second derivatives of a loop"):
        gp.compile(SOURCE, order=2)
    report = gp.verify(SOURCE, order=2)
    assert not report.ok
    assert "second derivatives" in str(report)
