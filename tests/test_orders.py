"""Second and higher derivatives: derived operators proved for all sizes, graphs of gradients, and attacks on both."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import gradproof as gp
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gradproof.compiler.derived import derived_op
from gradproof.compiler.elaborate import load_text
from gradproof.compiler.gradient import gradient_graph
from gradproof.compiler.graph import Graph, Ref
from gradproof.compiler.library import prelude
from gradproof.compiler.obligations import op_digest
from gradproof.compiler.rules import rules_of, tied
from gradproof.runtime.program import Unsealed
from gradproof.verifier.gradients import prove_gradient, rule_problem
from gradproof.verifier.operators import verdicts_of_op
from gradproof.verifier.options import Options
from gradproof.verifier.symmetry import prove_symmetry, symmetry_verdict

jax.config.update("jax_enable_x64", True)
OPS = prelude().ops
# A rule that runs an extern has no second derivative that is known: tests/test_laws.py.
OPAQUE = sorted(n for n, op in OPS.items() if op.differentiable and any(r.externs for _, r in rules_of(op).vjps))
DIFFERENTIABLE = sorted(n for n, op in OPS.items() if op.differentiable and n not in OPAQUE)
SMOOTH = [name for name in DIFFERENTIABLE if not tied(OPS[name])]
OPTIONS = Options(timeout=20.0, search=0.5)

# At (x, g) = (0, 0) the derivative of g * [x == 0] along (dx, dg) depends on whether dx is 0: there is none.
SINGULAR = {"heaviside.vjp.v"}

# A product over the entries of one bucket, less two of them: the two orders of leaving out are not matched.
ASYMMETRIC = {"scatter_mul"}

# Blocks of channels in means and variances: indices are taken apart and put together too often in one VJP.
OPEN = {"group_norm"}

# The whole prelude


@pytest.mark.parametrize("name", SMOOTH)
def test_every_smooth_operator_is_proved_twice(name: str) -> None:
    """Each rule is an operator of its own, proved for all sizes; and the second derivative is symmetric."""
    op = OPS[name]
    for param in op.differentiable:
        verdicts = verdicts_of_op(derived_op(op, param.name), OPTIONS)
        said = ", ".join(f"{v.claim.code} {v.answer} {v.reason}" for v in verdicts)
        open_ = {v.claim.code for v in verdicts if v.answer == "unknown" and "without end" in v.reason}
        assert not open_ or (name in OPEN and open_ == {"VJP"}), f"{param.name}: {said}"
        assert all((v.answer, v.scope) == ("proved", "all sizes") or v.claim.code in open_ for v in verdicts), said
        assert {"JVP", "VJP", "DOM", "SHAPE"} <= {v.claim.code for v in verdicts}
    verdict = symmetry_verdict(op, 5.0)
    assert (verdict.answer, verdict.scope) == ("unknown" if name in ASYMMETRIC else "proved", "all sizes"), (
        verdict.reason
    )


@pytest.mark.parametrize("name", OPAQUE)
def test_a_rule_that_runs_an_extern_leaves_second_order_open(name: str) -> None:
    verdict = symmetry_verdict(OPS[name], 5.0)
    assert verdict.answer == "unknown"
    assert "no second derivative is known" in verdict.reason


@pytest.mark.parametrize("name", [name for name in DIFFERENTIABLE if name not in SMOOTH])
def test_every_operator_with_ties_is_proved_away_from_them(name: str) -> None:
    """Its derived operators may be open at some ties, of an optimum over an index for one; almost none is refuted."""
    op = OPS[name]
    for param in op.differentiable:
        verdicts = verdicts_of_op(derived_op(op, param.name), OPTIONS)
        open_ = {v.claim.code for v in verdicts if v.answer != "proved"}
        said = ", ".join(f"{v.claim.code} {v.answer} {v.reason}" for v in verdicts)
        assert open_ <= {"KINK"}, f"{param.name}: {said}"
        refuted = "refuted" in {v.answer for v in verdicts}
        assert refuted == (derived_op(op, param.name).name in SINGULAR), f"{param.name}: {said}"
    assert symmetry_verdict(op, 5.0).answer == "proved"


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_every_derived_operator_is_the_rule(name: str) -> None:
    for param in OPS[name].differentiable:
        assert rule_problem(OPS[name], param.name, 5.0) == ""


def test_derived_operators_are_the_same_every_time() -> None:
    for name in ("softmax", "matmul", "cross_entropy", "layer_norm"):
        op = OPS[name]
        once = [op_digest(derived_op(op, p.name)) for p in op.differentiable]
        derived_op.cache_clear()
        assert once == [op_digest(derived_op(op, p.name)) for p in op.differentiable]


# Hessian-vector products

NET = """
dim B >= 1, D >= 1, C >= 1
graph loss(x: f64[B, D], label: i32[B], w: f64[D, C], b: f64[C]) -> f64[] {
  assume 0 <= label < C
  z = tanh(x @ w + b)
  return mean(cross_entropy(z, label)) + sum(w * w)
}
"""


def net(x: Any, label: Any, w: Any, b: Any) -> Any:
    z = jnp.tanh(x @ w + b)
    rows = jnp.arange(x.shape[0])
    return jnp.mean(jax.nn.logsumexp(z, axis=1) - z[rows, label]) + jnp.sum(w * w)


def draw(seed: int, sizes: tuple[int, int, int] = (3, 4, 2)) -> dict[str, Any]:
    rng, (b, d, c) = np.random.default_rng(seed), sizes
    return {"x": rng.normal(size=(b, d)), "w": rng.normal(size=(d, c)), "b": rng.normal(size=c)}


def test_products_with_the_hessian_are_what_jax_computes() -> None:
    program = gp.compile(NET, order=2)["loss"]
    for sizes in ((3, 4, 2), (1, 1, 1), (2, 1, 5)):
        label = np.arange(sizes[0], dtype=np.int32) % sizes[2]
        point, along = draw(1, sizes), draw(2, sizes)
        value, grads, products = program.hvp({**point, "label": label}, along)

        def function(x: Any, w: Any, b: Any, label: Any = label) -> Any:
            return net(x, label, w, b)

        args = tuple(point[n] for n in "xwb"), tuple(along[n] for n in "xwb")
        wanted, moved = jax.jvp(jax.grad(function, (0, 1, 2)), *args)
        np.testing.assert_allclose(value, function(*args[0]), rtol=1e-12)
        for name, gradient, product in zip("xwb", wanted, moved, strict=True):
            np.testing.assert_allclose(grads[name], gradient, atol=1e-12)
            np.testing.assert_allclose(products[name], product, atol=1e-12)
        # Reverse over reverse is forward over reverse: the Hessian is symmetric.
        _, pulled = program.gradient().vjp({**point, "label": label}, {f"grad.{n}": along[n] for n in "xwb"})
        for name in "xwb":
            np.testing.assert_allclose(pulled[name], products[name], atol=1e-12)


POLY = """
dim N
graph f(x: f64[N], y: f64[N]) -> f64[] { return sum(x * x * x * y) + sum(x) * sum(y * y) }
"""


@pytest.mark.parametrize("n", [0, 1, 3])
def test_products_are_exact_over_rationals(n: int) -> None:
    program = gp.compile(POLY, order=2)["f"]
    x, y, u, v = (np.array([Fraction(3 * k + s, s + 1) for k in range(n)], dtype=object) for s in (1, 2, 3, 4))
    _, _, products = program.hvp({"x": x, "y": y}, {"x": u, "y": v}, scalar="rational")
    sy, su, sx = sum(y, Fraction(0)), sum(u, Fraction(0)), sum(x, Fraction(0))
    del sy
    for k in range(n):
        assert products["x"][k] == 6 * x[k] * y[k] * u[k] + 3 * x[k] ** 2 * v[k] + 2 * sum(y * v)
        assert products["y"][k] == 3 * x[k] ** 2 * u[k] + 2 * y[k] * su + 2 * sx * v[k]
    intervals = program.hvp({"x": x, "y": y}, {"x": u, "y": v}, scalar="interval")[2]
    assert all(
        i.overlaps(i) and abs(float(i) - float(p)) < 1e-9 for i, p in zip(intervals["x"], products["x"], strict=True)
    )


def test_third_order() -> None:
    compiled = gp.compile("dim N\ngraph f(x: f64[N]) -> f64[] { return sum(x * x * x * x) }", order=3)
    third = compiled["f"].gradient().gradient()
    x, v, w = np.array([1.0, -2.0]), np.array([3.0, 1.0]), np.array([0.5, 2.0])
    given = {"x": x, "ct.result": np.array(0.0), "ct.grad.x": v}
    names = list(third.outputs)
    results, moved = third.jvp(given, {"x": w})
    table = dict(zip(names, zip(results, moved, strict=True), strict=True))
    np.testing.assert_allclose(table["grad2.x"][0], 12 * x**2 * v)
    np.testing.assert_allclose(table["grad2.x"][1], 24 * x * v * w)


# Shapes of graphs

SHAPES = {
    "aliasing": "dim N\ngraph f(x: f64[N]) -> f64[] { return sum(x * x * x) }",
    "unused input": "dim N\ngraph f(x: f64[N], u: f64[N], s: f64[]) -> f64[] { return sum(x * x) }",
    "several results": "dim N\ngraph f(x: f64[N]) -> (f64[N], f64[]) {\n  y = exp(x)\n  return y, sum(y * x)\n}",
    "two results": "dim N\ngraph f(x: f64[N]) -> (f64[N], f64[N]) { return x * x, exp(x) * x }",
    "detached": "dim N\ngraph f(x: f64[N]) -> f64[] { return sum(x * detach(x)) }",
    "const": "dim N\ngraph f(x: f64[N], const c: f64[N]) -> f64[] { return sum(x * x * c) }",
    "ints": "dim N, K\ngraph f(x: f64[N], i: i32[K]) -> f64[] {\n  assume 0 <= i < N\n  return sum(take(x, i)^2)\n}",
    "attributes": "dim N >= 1\ngraph f(x: f64[2, N]) -> f64[] { return sum(softmax(x * x, axis=0) * x) }",
    "softmax": "dim N >= 1\ngraph f(x: f64[2, N]) -> f64[] { return sum(logsumexp(softmax(x) * x, axis=1)) }",
    "nothing varies": "graph f(x: f64[], const c: f64[]) -> f64[] { return c * c }",
    "a fixed mask": "dim N\ngraph f(x: f64[N], m: bool[N]) -> f64[] { return sum(where(m, x * x, x)) }",
    "shadowed": "dim N\nfn add(a, b) = a * b + a\ngraph f(x: f64[N]) -> f64[] { return sum(add(x, x)) }",
}


@pytest.mark.parametrize("name", SHAPES)
def test_graphs_of_gradients_are_proved_and_right(name: str) -> None:
    compiled = gp.compile(SHAPES[name], order=2)
    program = compiled["f"]
    gradient, graph = program.gradient(), program.graph
    rng = np.random.default_rng(3)
    inputs: dict[str, Any] = {}
    for item, text in gradient.inputs.items():
        shape = tuple(3 if s in ("N", "K") else int(s) for s in text[text.index("[") + 1 : -1].split(", ") if s)
        kinds = {"f": rng.normal(size=shape), "i": rng.integers(0, 3, shape), "b": rng.random(shape) < 0.5}
        inputs[item] = kinds[text[0]]
    own = {k: v for k, v in inputs.items() if not k.startswith("ct.")}
    seeds = {k[3:]: v for k, v in inputs.items() if k.startswith("ct.")}
    _, wanted = program.vjp(own, seeds if seeds else np.array(1.0))

    def pulled(moved: dict[str, Any]) -> dict[str, Any]:
        return program.vjp({**own, **moved}, seeds if seeds else np.array(1.0))[1]

    along = {leaf.name: rng.normal(size=np.shape(own[leaf.name])) for leaf in graph.gamma}
    results, tangents = gradient.jvp(inputs, along)
    count, step = len(graph.outputs), 1e-6
    for position, leaf in enumerate(graph.gamma):
        np.testing.assert_allclose(results[count + position], wanted[leaf.name], atol=1e-12)
        sides = [pulled({n: own[n] + sign * step * along[n] for n in along})[leaf.name] for sign in (1, -1)]
        if "detach" not in SHAPES[name]:  # a difference moves what is detached too
            slope = (sides[0] - sides[1]) / (2 * step)
            np.testing.assert_allclose(tangents[count + position], slope, rtol=1e-5, atol=1e-6)


def test_a_detached_factor_has_no_second_derivative_either() -> None:
    program = gp.compile(SHAPES["detached"], order=2)["f"]
    x = np.array([2.0, 3.0])
    _, grads, products = program.hvp({"x": x}, {"x": np.ones(2)})
    np.testing.assert_array_equal(grads["x"], x)
    np.testing.assert_array_equal(products["x"], np.zeros(2))


def test_without_order_two_there_is_no_gradient() -> None:
    program = gp.compile(POLY)["f"]
    with pytest.raises(Unsealed, match="order=2"):
        program.gradient()
    with pytest.raises(Unsealed):
        program.hvp({"x": np.ones(1), "y": np.ones(1)}, {})
    twice = gp.compile(POLY, order=2)["f"].gradient()
    with pytest.raises(Unsealed):
        twice.gradient()
    with pytest.raises(ValueError, match="order"):
        gp.compile(POLY, order=0)


# Attacks on GRAD


def pair() -> tuple[Graph, Graph]:
    graph = load_text(NET).graphs["loss"]
    return graph, gradient_graph(graph)


def test_grad_is_proved() -> None:
    assert prove_gradient(*pair(), 5.0).proved


def test_grad_finds_every_changed_argument() -> None:
    """Any argument of the reverse sweep that is turned to another value of its type makes another gradient."""
    graph, gradient = pair()
    tried = 0
    for node in gradient.nodes[len(graph.nodes) :]:
        for position, arg in enumerate(node.args):
            if not isinstance(arg, Ref):
                continue
            for other in gradient.nodes[: node.id]:
                if other.id == arg.id or other.type != gradient.nodes[arg.id].type:
                    continue
                args = (*node.args[:position], Ref(other.id), *node.args[position + 1 :])
                nodes = (*gradient.nodes[: node.id], replace(node, args=args), *gradient.nodes[node.id + 1 :])
                assert not prove_gradient(graph, replace(gradient, nodes=nodes), 5.0).proved, (node, other)
                tried += 1
    assert tried > 20


def test_grad_finds_other_changes() -> None:
    graph, gradient = pair()
    start = len(graph.nodes)

    def with_node(position: int, **changes: Any) -> Graph:
        nodes = list(gradient.nodes)
        nodes[position] = replace(nodes[position], **changes)
        return replace(gradient, nodes=tuple(nodes))

    adds = [n.id for n in gradient.nodes[start:] if n.op == "add"]
    swapped = {"mul.vjp.a": "matmul.vjp.a", "add.vjp.a": "add.vjp.b"}
    outputs = gradient.outputs
    broken = [
        with_node(start, attrs=(("value", Fraction(2)),)),
        with_node(start, attrs=(("value", Fraction(0)),)),
        *(with_node(k, op="mul") for k in adds),
        *(with_node(n.id, op=swapped[n.op]) for n in gradient.nodes if n.op == "mul.vjp.a"),
        replace(gradient, outputs=(outputs[0], outputs[1], outputs[3], outputs[2])),
        replace(gradient, outputs=outputs[:-1]),
        replace(gradient, assumes=()),
        replace(gradient, ops={**gradient.ops, "tanh.vjp.x": replace(gradient.ops["sigmoid"], name="tanh.vjp.x")})
        if "sigmoid" in gradient.ops
        else replace(gradient, ops={**gradient.ops, "tanh.vjp.x": gradient.ops["mul"]}),
        replace(gradient, ops={**gradient.ops, "tanh": replace(gradient.ops["tanh"], vjps=())}),
    ]
    for other in broken:
        assert not prove_gradient(graph, other, 5.0).proved


def test_a_derived_operator_that_is_not_the_rule_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    from gradproof.compiler.terms import mul, num
    from gradproof.verifier import gradients

    def doubled(op: Any, param: str) -> Any:
        made = derived_op(op, param)
        return replace(made, forward=replace(made.forward, body=mul(num(2), made.forward.body)))

    monkeypatch.setattr(gradients, "derived_op", doubled)
    rule_problem.cache_clear()
    try:
        assert rule_problem(OPS["tanh"], "x", 5.0)
        assert rule_problem(OPS["matmul"], "b", 5.0)
    finally:
        rule_problem.cache_clear()


# Attacks on second derivatives: right at first order, wrong at second

WRONG = {
    "sinc": "fn f(x) {\n  y = select(x == 0, 1, sin(x) / x)\n"
    "  vjp x = g * select(x == 0, 0, (x * cos(x) - sin(x)) / x^2)\n}",
    "a patch at a point": "fn f(x) {\n  y = x^2\n  vjp x = select(x == 1, 2*g, 2*g*x)\n}",
    "a patch with a zero": "fn f(x) {\n  y = x^2\n  vjp x = g * select(x == 0, 0, 2*x)\n}",
    "a patch beside the output": "fn f(x) {\n  y = exp(x)\n  vjp x = select(x == 0, g, g*y)\n}",
}


@pytest.mark.parametrize("name", WRONG)
def test_a_patch_is_refuted_at_second_order(name: str) -> None:
    verdicts = gp.verify(WRONG[name], order=2).verdicts
    second = [v for v in verdicts if v.claim.subject == "f.vjp.x"]
    first = [v for v in verdicts if v.claim.subject == "f" and v.claim.code in ("JVP", "KINK")]
    assert {v.answer for v in first} == {"proved"}
    assert any(v.answer == "refuted" for v in second), [(v.claim.code, v.answer, v.reason) for v in second]
    for verdict in second:
        if verdict.answer == "refuted":
            assert verdict.counterexample is not None
            assert verdict.counterexample.replayed


RIGHT = {
    "cases that meet smoothly": "fn f(x) {\n  y = x^2\n  vjp x = select(x < 0, 2*g*x, g*(x + abs(x)))\n}",
    "a stable form": "fn f(x) {\n  y = x * log(1 + exp(x))\n"
    "  vjp x = g * (max(0, x) + log1p(exp(-abs(x))) + x / (1 + exp(-x)))\n}",
    "a stable form, other sides": "fn f(x) {\n  y = x * log(1 + exp(-x))\n"
    "  vjp x = g * (max(-x, 0) + log1p(exp(-abs(-x))) - x / (1 + exp(x)))\n}",
    "an intermediate that is a maximum": "op f(x: [n]) -> [n] {\n  require n >= 1\n"
    "  y[i] = exp(x[i]) / sum(j) exp(x[j])\n  let m[] = max(j) x[j]\n  let d[] = sum(j) exp(x[j] - m[])\n"
    "  vjp x[i] = exp(x[i] - m[]) / d[] * (g[i] - (sum(j) g[j] * exp(x[j] - m[])) / d[])\n}",
    "a root of the output": "fn f(x) {\n  where x > 0\n  y = sqrt(x)\n  vjp x = g / (2*y)\n}",
    "a kink that is inherited": "fn f(x) {\n  y = max(x, 0)\n  vjp x = select(y > 0, g, 0)\n}",
    "a kink with any value": "fn f[s: real](x) {\n  require 0 <= s <= 1\n  y = max(x, 0)\n  at x = 0: s\n}",
    "continuous at first order": "fn f(x) = x * abs(x)",
    "twice": "fn f(x) = max(x, 0)^3",
}


@pytest.mark.parametrize("name", RIGHT)
def test_what_is_right_twice_is_proved(name: str) -> None:
    verdicts = gp.verify(RIGHT[name], order=2).verdicts
    assert {v.answer for v in verdicts} == {"proved"}, [(v.claim.code, v.answer, v.reason) for v in verdicts]
    assert {v.claim.subject for v in verdicts} == {"f", "f.vjp.x"}


def test_no_second_derivative_is_claimed_where_the_first_one_jumps() -> None:
    verdicts = gp.verify("fn f(x) {\n  y = max(x, 0)\n  at x = 0: 0\n}", order=2).verdicts
    (kink,) = (v for v in verdicts if v.claim.code == "KINK" and v.claim.subject == "f.vjp.x")
    assert "where it jumps it has none" in kink.claim.text
    program = gp.compile("dim N\ngraph f(x: f64[N]) -> f64[] { return sum(relu(x) * relu(x)) }", order=2)["f"]
    _, grads, products = program.hvp({"x": np.array([-1.0, 0.0, 2.0])}, {"x": np.ones(3)})
    np.testing.assert_array_equal(grads["x"], [0, 0, 4])
    np.testing.assert_array_equal(products["x"], [0, 0, 2])


def test_mixed_partials_that_differ_are_not_proved() -> None:
    text = "fn f(a, b) {\n  y = select(a^2 + b^2 == 0, 0, a * b * (a^2 - b^2) / (a^2 + b^2))\n}"
    op = load_text(text).ops["f"]
    hasty = Options(timeout=1.0, search=0.2)
    for one in (op, derived_op(op, "a"), derived_op(op, "b")):
        assert "unknown" in {v.answer for v in verdicts_of_op(one, hasty)}


def test_symmetry_finds_a_rule_that_is_no_gradient() -> None:
    """x -> (0, x[0]) is the derivative of nothing: as a vjp it is refuted, and it is not symmetric."""
    module = load_text("op f(x: [n]) -> [] {\n  y[] = sum(i) x[i]^2\n  vjp x[i] = g[] * sum(j | j < i) x[j]\n}")
    assert not prove_symmetry(module.ops["f"], 2.0).proved
    assert prove_symmetry(load_text("op f(x: [n]) -> [] { y[] = sum(i) x[i]^2 }").ops["f"], 2.0).proved


def test_a_rule_that_is_not_linear_has_no_second_order() -> None:
    report = gp.verify(
        "fn f(x) {\n  y = x^2\n  vjp x = 2 * g^2 * x\n}\ngraph h(x: f64[]) -> f64[] { return f(x) }", order=2
    )
    assert not report.ok
    assert any(v.answer == "refuted" for v in report.verdicts)
