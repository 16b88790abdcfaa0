"""Programs become graphs: expressions named, shapes bound, broadcasting explicit, graphs inlined, files used."""

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from time import perf_counter

import pytest
from gradproof.compiler.dims import Poly
from gradproof.compiler.elaborate import load_path, load_text
from gradproof.compiler.graph import Env, Graph, Node, Ref, Seeded
from gradproof.compiler.wellformed import check
from gradproof.grammar.source import Diagnostic

B = Poly.sym("B")


def graph(text: str, name: str = "f") -> Graph:
    """A graph of a text, checked to be well-formed."""
    found = load_text(text).graphs[name]
    assert check(found) == []
    return found


def body(lines: str, inputs: str = "x: f32[B, 4]", results: str = "f32[]", dims: str = "dim B >= 1") -> Graph:
    return graph(f"{dims}\ngraph f({inputs}) -> {results} {{\n{lines}\n}}")


def ops(found: Graph) -> list[str]:
    return [node.op for node in found.inner]


def attrs(node: Node) -> dict[str, object]:
    return dict(node.attrs)


# Expressions.


def test_every_operator_of_an_expression_becomes_a_node() -> None:
    found = body("h = relu(x @ w)\nreturn mean(h)", "x: f32[B, 4], w: f32[4, 3]")
    assert [(n.id, n.name, n.op, n.args, str(n.type)) for n in found.nodes] == [
        (0, "x", "input", (), "f32[B, 4]"),
        (1, "w", "input", (), "f32[4, 3]"),
        (2, "v2", "matmul", (Ref(0), Ref(1)), "f32[B, 3]"),
        (3, "h", "relu", (Ref(2),), "f32[B, 3]"),
        (4, "result", "mean", (Ref(3),), "f32[]"),
    ]
    assert (found.leaves, found.outputs, found.output_names) == (2, (4,), ("result",))
    assert found.nodes[2].sizes == (("m", (B,)), ("k", (Poly.of(4),)), ("n", (Poly.of(3),)))
    assert found.size_claims == ()


def test_leaves_come_first_and_delta_is_no_node() -> None:
    found = body(
        "return sum(take(x, i) * m + c)",
        "i: i32[3], x: f32[B, 4], m: f32[3, 4] = bernoulli(seed=3, p=1/4), const c: f32[4], "
        "u: f32[B] = uniform(seed=1)",
    )
    assert [n.name for n in found.gamma] == ["x"]
    assert {d.name: d.seeded for d in found.delta} == {
        "i": None,
        "m": Seeded("bernoulli", 3, Fraction(1, 4)),
        "c": None,
        "u": Seeded("uniform", 1),
    }
    assert found.nodes[1].args == (Ref(0), Env("i"))


def test_fixed_dims_are_put_in_and_symbolic_ones_stay() -> None:
    found = body("return x", "x: f32[B, E]", "f32[B, 2*D]", "dim E = 2*D\ndim B, D = 3")
    assert str(found.nodes[0].type) == "f32[B, 6]"
    assert {d.name: d.value for d in found.dims} == {"B": None, "E": Poly.of(6), "D": Poly.of(3)}


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("x + 1", ["constant", "broadcast", "add"]),
        ("-x", ["neg"]),
        ("x^2", ["square"]),
        ("x^4", ["mul", "mul"]),
        ("x^-1", ["inv"]),
        ("x^(1/2)", ["sqrt"]),
        ("x / (2 * 3 + 1/2)", ["constant", "broadcast", "div"]),
        ("x * B", ["extent", "broadcast", "mul"]),
        ("x / (B * 4)", ["extent", "broadcast", "div"]),
        ("x + 1 + x * 1", ["constant", "broadcast", "add", "mul", "add"]),
        ("where(x > 0 and not (x >= 3), x, 0)", None),
        ("max(x, 0)", ["constant", "broadcast", "max"]),
        ("maximum(x, x)", ["maximum"]),
        ("softmax(x, axis=-2)", ["softmax[axis]"]),
        ("log_softmax(x)", ["log_softmax"]),
        ("leaky_relu(x, slope=0.2)", ["leaky_relu"]),
    ],
)
def test_signs_and_calls(expression: str, expected: list[str] | None) -> None:
    found = body(f"return {expression}", results="f32[B, 4]")
    assert expected is None or ops(found) == expected


def test_sizes_have_a_least_and_a_greatest() -> None:
    text = "dim B, C\ngraph f(x: f64[B, C], z: f64[max(3, B) - 1]) -> (f64[min(B, C)], f64[2]) {\n"
    found = load_text(text + "  return diag(x), slice(z, start=0, stop=min(2, 5))\n}").graphs["f"]
    assert [str(found.nodes[k].type) for k in found.outputs] == ["f64[min(B, C)]", "f64[2]"]


def test_a_minimum_of_its_own_is_not_taken_for_the_least_size() -> None:
    text = "dim B\nfn min(a, b) = a - b\ngraph f(x: f64[B]) -> f64[] {\n  return sum(x) * min(2, 5)\n}"
    assert "min" in [node.op for node in load_text(text).graphs["f"].inner]


def test_numbers_are_computed_at_once() -> None:
    found = body("c = 2^10 / 3 - 1e-1\nreturn scale(x, by=c)", results="f32[B, 4]")
    assert attrs(found.nodes[1]) == {"by": Fraction(1024, 3) - Fraction(1, 10)}


# Broadcasting.


def test_new_leading_axes_are_a_node() -> None:
    found = body("return x + b", "x: f32[B, 4], b: f32[4]", "f32[B, 4]")
    assert ops(found) == ["broadcast", "add"]
    assert dict(found.nodes[2].sizes) == {"S..": (Poly.of(4),), "T..": (B,)}


def test_only_a_literal_one_stretches() -> None:
    found = body("return x + b", "x: f32[B, 4], b: f32[B, 1]", "f32[B, 4]")
    assert ops(found) == ["stretch", "add"]
    assert attrs(found.nodes[2]) == {"axis": Poly.of(1)}
    both = body("return x + b", "x: f32[B, 1], b: f32[1, 4]", "f32[B, 4]")
    assert ops(both) == ["stretch", "stretch", "add"]


def test_a_symbolic_dim_never_silently_equals_one() -> None:
    found = body("return x + b", "x: f32[B], b: f32[N]", "f32[B]", "dim B, N")
    assert ops(found) == ["add"]
    assert [(c.left, c.right) for c in found.size_claims] == [(B, Poly.sym("N"))]


def test_booleans_broadcast_too() -> None:
    found = body("return where(c, x, 0)", "x: f32[B, 4], c: bool[4]", "f32[B, 4]")
    assert "bool[B, 4]" in [str(node.type) for node in found.inner]


def test_batches_of_matrices_broadcast() -> None:
    found = body("return x @ w", "x: f32[B, 2, 3, 4], w: f32[2, 4, 5]", "f32[B, 2, 3, 5]")
    assert [base.split("(")[0] for base in ops(found)] == ["broadcast", "matmul"]
    assert ops(body("return x @ w", "x: f32[B, 3, 4], w: f32[4, 5]", "f32[B, 3, 5]")) == ["matmul([B.., m, k], [k, n])"]
    assert ops(body("return x @ w", "x: f32[B, 4], w: f32[4]", "f32[B]")) == ["matmul([m, k], [k])"]
    assert ops(body("return x @ w", "x: f32[4], w: f32[4]", "f32[]")) == ["matmul([k], [k])"]


# Shapes.


@pytest.mark.parametrize(
    ("expression", "result"),
    [
        ("reshape(x, (-1, 2))", "f32[B*6, 2]"),
        ("reshape(x, shape=(B, 2, -1))", "f32[B, 2, 6]"),
        ("reshape(x, (12, -1))", "f32[12, B]"),
        ("flatten(x)", "f32[12*B]"),
        ("flatten(x, start=1)", "f32[B, 12]"),
        ("permute(x, axes=(2, 0, 1))", "f32[4, B, 3]"),
        ("permute(x, (0, -1, 1))", "f32[B, 4, 3]"),
        ("swap_first_two(x)", "f32[3, B, 4]"),
        ("sum(x, axis=(0, -1))", "f32[3]"),
        ("sum(x, 1)", "f32[B, 4]"),
        ("mean(x, axis=1, keepdims=true)", "f32[B, 1, 4]"),
        ("sum(x, axis=(0, 2), keepdims=true)", "f32[1, 3, 1]"),
        ("max(x, keepdims=true)", "f32[1, 1, 1]"),
        ("unsqueeze(x, axis=-1)", "f32[B, 3, 4, 1]"),
        ("unsqueeze(x, axis=0)", "f32[1, B, 3, 4]"),
        ("concat(x, x, x, axis=0)", "f32[3*B, 3, 4]"),
        ("slice(x, start=1, stop=4, step=2, axis=2)", "f32[B, 3, 2]"),
        ("broadcast_to(sum(x, axis=0, keepdims=true), shape=(2, B, 3, 4))", "f32[2, B, 3, 4]"),
        ("broadcast(x, shape=(7,))", "f32[7, B, 3, 4]"),
    ],
)
def test_shapes(expression: str, result: str) -> None:
    found = body(f"return {expression}", "x: f32[B, 3, 4]", result)
    assert found.size_claims == ()


def test_permute_moves_the_axes_that_it_names() -> None:
    found = body("return permute(x, axes=(2, 0, 1))", "x: f32[B, 3, 4]", "f32[4, B, 3]")
    assert [attrs(n)["axis"] for n in found.inner] == [Poly.of(1), Poly.of(0)]


def test_a_size_that_does_not_divide_is_a_claim() -> None:
    found = body("return reshape(x, (3, -1))", "x: f32[B]", "f32[3, B // 3]")
    (claim,) = found.size_claims
    assert (claim.left, claim.right) == (3 * (B // 3), B)


def test_what_is_declared_and_what_is_taken_for_granted_become_claims() -> None:
    found = body("z: f32[N, 4] = relu(x)\nreturn z @ w", "x: f32[B, 4], w: f32[N, 2]", "f32[B, 2]", "dim B, N")
    assert [(str(c.left), str(c.right), c.span.line) for c in found.size_claims] == [("N", "B", 3), ("4", "N", 4)]


# Conditions.


def test_bounds() -> None:
    found = body(
        "assume 0 <= label < C and x > -1\nassume C % 2 == 0\nassume B <= C\n"
        "p = softmax(x)\nensure p <= 1\nensure result >= 0\nreturn sum(p)",
        "x: f32[B, C], label: i32[B]",
        dims="dim B, C",
    )
    assert [(b.left, b.rel, b.right, b.text) for b in found.assumes] == [
        (Fraction(0), "<=", "label", "0 <= label"),
        ("label", "<", Poly.sym("C"), "label < C"),
        (Fraction(-1), "<", 0, "x > -1"),
    ]
    assert [(b.left, b.rel, b.right) for b in found.ensures] == [(1, "<=", Fraction(1)), (Fraction(0), "<=", 2)]
    assert found.assume_dims == ((Poly.sym("C") % 2, "=="), (Poly.sym("C") - B, ">="))


def test_what_is_ensured_is_computed_after_the_output() -> None:
    found = body("ensure sum(x) <= 3\nreturn mean(x)")
    assert ops(found) == ["mean", "sum"]
    assert found.outputs == (1,)


# Graphs that call graphs.


LAYER = """
dim N >= 1, D, H
graph layer(x: f32[N, D], w: f32[D, H]) -> f32[N, H], f32[] {
  assume x >= 0
  h = relu(x @ w)
  return h, sum(h)
}
"""


def test_a_called_graph_is_inlined_and_its_dims_are_the_callers() -> None:
    found = graph(
        LAYER + "dim B\ngraph f(x: f32[2*B, 3], w: f32[3, 5]) -> f32[2*B, 5], f32[] "
        "{ assume x >= 0  a, s = layer(x, w)  return a, s + s }"
    )
    assert ops(found) == ["matmul", "relu", "sum", "add"]
    assert [n.name for n in found.inner] == ["v2", "layer_h", "s", "result2"]
    assert [(str(c.left), str(c.right)) for c in found.size_claims] == [("max(2*B, 1)", "2*B")]
    assert found.ensures == ()  # the caller assumes what the called graph demands
    assert [d.name for d in found.dims] == ["B"]


def test_an_inlined_graphs_assumption_is_the_callers_obligation() -> None:
    found = graph(LAYER + "graph f(x: f32[N, D], w: f32[D, H]) -> f32[] { a, s = layer(x - 1, w)  return s }")
    (bound,) = found.ensures
    assert (bound.left, bound.rel, found.nodes[bound.right].op) == (Fraction(0), "<=", "sub")  # type: ignore[index]


def test_const_inputs_of_a_called_graph_get_no_gradient() -> None:
    text = "dim N\ngraph g(const t: f32[N]) -> f32[] { return sum(t) }\n"
    assert ops(graph(text + "graph f(x: f32[N]) -> f32[] { return g(x) }")) == ["detach", "sum"]


def test_seeded_inputs_of_a_called_graph_become_inputs() -> None:
    text = "dim N\ngraph drop(x: f32[N], m: f32[N] = bernoulli(seed=1)) -> f32[N] { return x * m }\n"
    found = graph(text + "graph f(x: f32[N]) -> f32[N] { return drop(drop(x)) }")
    assert [d.name for d in found.delta] == ["drop_m", "drop_m_1"]


# Warnings and mistakes.


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        ("dim B, N\ngraph f(x: f32[B], z: f32[B]) -> f32[] { h = x  return sum(x) }", ["UNUSED", "UNUSED", "UNUSED"]),
        ("dim B\ngraph f(x: f32[B]) -> f32[] { x = relu(x)  return sum(x) }", ["SHADOWED"]),
        ("fn relu(x) = x\ndim B\ngraph f(x: f32[B]) -> f32[B] { return relu(x) }", ["SHADOWED"]),
        ("dim B\ngraph relu(x: f32[B]) -> f32[B] { return x }", ["SHADOWED"]),
    ],
)
def test_warnings(text: str, codes: list[str]) -> None:
    assert [w.code for w in load_text(text).warnings] == [f"W-{code}" for code in codes]


def test_an_own_operator_takes_the_place_of_the_preludes() -> None:
    module = load_text("fn relu(x) = x\ndim B\ngraph f(x: f32[B]) -> f32[B] { return relu(x) }")
    assert module.graphs["f"].ops["relu"] is module.ops["relu"]


def test_a_value_that_is_named_again_keeps_both_nodes() -> None:
    found = body("h = relu(x)\nh = exp(h)\nreturn h", results="f32[B, 4]")
    assert [n.name for n in found.inner] == ["h", "h_1"]


MISTAKES = {
    "E-UNKNOWN-NAME": [
        ("return sofmax(x)", "softmax"),
        ("return z", "z"),
        ("return reshape(x, (N, 4))", "N"),
        ("h: f16[B] = x\nreturn h", "f16"),
    ],
    "E-ARITY": [
        ("return relu(x, x, x)", "relu"),
        ("a, b = x\nreturn a", "2 names"),
        ("return matmul(x)", "argument"),
        ("ensure grad(x, x[i, j]) == 0\nreturn relu(x)", "`x[]`"),
    ],
    "E-CALL": [
        ("return x @ x[0]", ""),
        ("return sum(x, axis=2)", "out of range"),
        ("return sum(x, axes=1)", "no attribute"),
        ("return relu(x > 0)", "bool"),
        ("return scale(x)", "missing"),
        ("return reshape(x, (-1, -1))", "only one"),
        ("return scale(x, by=B)", "dims"),
        ("return broadcast(x)", "shape"),
        ("return softmax(x, axis=(0, 1))", "integer"),
    ],
    "E-OUTPUT": [("return x, x", "returns 2"), ("return c", "environment")],
    "E-NO-OUTPUT": [("h = relu(x)", "return")],
    "E-AFTER-RETURN": [("return x\nh = relu(x)", "never reached")],
    "E-TYPE": [("return sum(x)", "declared"), ("h: f64[B, 4] = relu(x)\nreturn h", "f64")],
    "E-AXES": [("return permute(x, axes=(0, 0))", "twice")],
    "E-EXTENT": [("ensure x[i + 1, 0] == 0\nreturn relu(x)", "how far")],
    "E-RANK": [("ensure grad(x[i], x[i, j]) == 0\nreturn relu(x)", "2 axes")],
    "E-GRAPH": [("return x[0, 1]", "whole tensors")],
    "E-KIND": [
        ("ensure grad(c[i, j], x[i, j]) == 0\nreturn relu(x)", "no derivative"),
        ("h = (x, x)\nreturn h", "tuple"),
        ("return x // 2", "sizes"),
        ("return 1 < 2", "no tensors"),
    ],
    "E-BOUND": [
        ("assume x * 2 > 0\nreturn x", "not an input"),
        ("assume relu(x)\nreturn x", "condition"),
        ("assume 1 > 2\nreturn x", "never true"),
        ("assume x > 0 or x < 1\nreturn x", "condition"),
        ("ensure x >= 0 where B > 1\nreturn relu(x)", "no indices"),
        ("ensure sum(j < 2) x[i, j] == 0\nreturn relu(x)", "out of step"),
        ("ensure x[i, j] + 1\nreturn relu(x)", "condition"),
    ],
    "E-NAME-CLASH": [("B = x\nreturn x", "dim")],
    "E-NUMBER": [("return x * (1 / 0)", "no value")],
}


@pytest.mark.parametrize(("code", "lines", "word"), [(c, t, w) for c, cases in MISTAKES.items() for t, w in cases])
def test_mistakes_have_a_code_a_place_and_words(code: str, lines: str, word: str) -> None:
    with pytest.raises(Diagnostic) as caught:
        body(lines, "x: f32[B, 4], const c: f32[B, 4]", "f32[B, 4]")
    if word:
        assert caught.value.code == code
    assert word in f"{caught.value.message} {caught.value.advice}"
    assert caught.value.span is not None
    assert caught.value.span.line >= 2


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("graph f(x: f32[2], x: f32[2]) -> f32[] { return sum(x) }", "E-DUPLICATE"),
        ("dim B, B\n", "E-DUPLICATE"),
        ("dim B\ngraph f(B: f32[2]) -> f32[] { return sum(B) }", "E-NAME-CLASH"),
        ("dim B = 0 - 1", "E-DIM"),
        ("dim N\ndim B >= N", "E-DIM"),
        ("dim N = M\ndim M = N + 1", "E-DIM"),
        ("graph f(x: f32[2]) -> f32[] { return g(x) }\ngraph g(x: f32[2]) -> f32[] { return f(x) }", "E-RECURSION"),
        ("graph f(x: f32[2]) -> f32[] { return f(x) }", "E-RECURSION"),
        ('infix "+" nothing', "E-UNKNOWN-NAME"),
        ('use "other.gproof"', "E-USE"),
        ("graph f(x: f32[2]) -> f32[] { return sum(x) }\ngraph f(x: f32[2]) -> f32[] { return sum(x) }", "E-DUPLICATE"),
        ("graph f(x: i32[2] = uniform(seed=1), z: f32[]) -> f32[] { return z }", "E-TYPE"),
        ("graph f(x: f32[2] = bernoulli(seed=1, p=2), z: f32[]) -> f32[] { return z }", "E-NUMBER"),
        ("graph f(x: f32[2] = normal(seed=1), z: f32[]) -> f32[] { return z }", "E-UNKNOWN-NAME"),
    ],
)
def test_mistakes_in_declarations(text: str, code: str) -> None:
    with pytest.raises(Diagnostic) as caught:
        load_text(text)
    assert caught.value.code == code


# Files.


Write = Callable[[str, str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def one(name: str, text: str) -> Path:
        path = tmp_path / "root" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    return one


def test_used_files_give_their_operators_graphs_and_dims(write: Write) -> None:
    write("lib/base.gproof", "fn twice(x) = 2 * x\ndim K = 3")
    write("lib/layers.gproof", 'use "base.gproof"\ngraph two(x: f32[K]) -> f32[K] { return twice(x) }')
    main = 'use "lib/layers.gproof"\nuse "lib/base.gproof"\ngraph f(x: f32[K]) -> f32[K] { return two(twice(x)) }'
    module = load_path(write("main.gproof", main))
    assert check(module.graphs["f"]) == []
    assert ops(module.graphs["f"]) == ["twice", "twice"]
    assert (list(module.graphs), list(module.ops), module.warnings) == (["f"], [], ())
    assert len(module.sources) == 3


def test_two_files_may_have_operators_of_one_name_inside(write: Write) -> None:
    write("a.gproof", "fn relu(x) = 2 * x\ngraph g(x: f32[3]) -> f32[3] { return relu(x) }")
    main = 'use "a.gproof"\nfn relu(x) = 3 * x\ngraph f(x: f32[3]) -> f32[3] { return relu(g(x)) }'
    found = load_path(write("main.gproof", main)).graphs["f"]
    assert check(found) == []
    assert len({node.op for node in found.inner}) == 2


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("../outside.gproof", "E-USE"),
        ("/etc/passwd", "E-USE"),
        ("link.gproof", "E-USE"),
        ("missing.gproof", "E-USE"),
        ("main.gproof", "E-USE-CYCLE"),
        ("loop.gproof", "E-USE-CYCLE"),
        (".", "E-USE"),
    ],
)
def test_use_stays_inside_and_does_not_turn_in_circles(write: Write, path: str, code: str) -> None:
    main = write("main.gproof", f'use "{path}"')
    write("../outside.gproof", "dim B")
    write("loop.gproof", 'use "main.gproof"')
    (main.parent / "link.gproof").symlink_to(main.parent.parent / "outside.gproof")
    with pytest.raises(Diagnostic) as caught:
        load_path(main)
    assert caught.value.code == code
    assert caught.value.span is not None


def test_two_used_files_must_not_define_one_name(write: Write) -> None:
    write("a.gproof", "fn h(x) = 2 * x")
    write("b.gproof", "fn h(x) = 3 * x")
    with pytest.raises(Diagnostic, match="defines `h`"):
        load_path(write("main.gproof", 'use "a.gproof"\nuse "b.gproof"'))


# Size.


def test_a_long_graph_takes_time_in_proportion() -> None:
    lines = "\n".join(f"h{i + 1} = tanh(h{i}) + h{max(0, i - 3)}" for i in range(5000))
    started = perf_counter()
    found = body(f"h0 = x\n{lines}\nreturn h5000", results="f32[B, 4]")
    assert len(found.nodes) == 10_001
    assert perf_counter() - started < 10


def test_graphs_that_double_are_stopped() -> None:
    text = "graph g0(x: f32[]) -> f32[] { return x + x }\n"
    text += "".join(f"graph g{i + 1}(x: f32[]) -> f32[] {{ return g{i}(g{i}(x)) }}\n" for i in range(12))
    assert len(graph(text, "g12").inner) == 4096


# The table of well-formedness.


def break_it(found: Graph, position: int, **changes: object) -> Graph:
    nodes = list(found.nodes)
    nodes[position] = replace(nodes[position], **changes)  # type: ignore[arg-type]
    return replace(found, nodes=tuple(nodes))


@pytest.mark.parametrize(
    ("position", "changes", "rule"),
    [
        (2, {"id": 5}, "ids"),
        (2, {"op": "input"}, "ids"),
        (0, {"op": "relu"}, "ids"),
        (2, {"args": (Ref(2), Ref(1))}, "order"),
        (2, {"args": (Env("nothing"), Ref(1))}, "order"),
        (2, {"args": (Ref(0),)}, "operators"),
        (2, {"op": "nothing"}, "operators"),
        (2, {"name": "x"}, "names"),
        (3, {"attrs": ()}, "attributes"),
        (3, {"attrs": (("axis", Fraction(1)),)}, "attributes"),
        (3, {"attrs": (("axis", Poly.of(0)),)}, "sizes"),
        (2, {"sizes": (("m", (B,)), ("k", (Poly.of(5),)), ("n", (Poly.of(3),)))}, "shapes"),
        (2, {"sizes": (("m", (B,)),)}, "sizes"),
        (2, {"sizes": (("m", (B, B)), ("k", (Poly.of(4),)), ("n", (Poly.of(3),)))}, "sizes"),
    ],
)
def test_what_is_broken_is_found(position: int, changes: dict[str, object], rule: str) -> None:
    found = body("return sum(x @ w, axis=1)", "x: f32[B, 4], w: f32[4, 3]", "f32[B]")
    problems = check(break_it(found, position, **changes))
    assert any(problem.startswith(rule) for problem in problems)


def test_ends_are_checked() -> None:
    found = body("assume x > 0\nreturn sum(x)")
    assert check(replace(found, outputs=(9,)))
    assert check(replace(found, outputs=(), output_names=()))
    assert check(replace(found, assumes=(replace(found.assumes[0], right=1),)))
    assert check(replace(found, leaves=2))


@pytest.mark.parametrize(
    ("formula", "said"),
    [
        ("sum(i) x[i] + x[i]", "has ended"),
        ("(max(i) x[i]) * i", "has ended"),
        ("sum(i) x[i] * (sum(j) x[j]) * x[j]", "has ended"),
        ("x[k]", "is bound"),
    ],
)
def test_an_index_behind_the_end_of_its_sum(formula: str, said: str) -> None:
    with pytest.raises(Diagnostic) as caught:
        load_text(f"op f(x: [n]) -> [] {{\n  y[] = {formula}\n}}\n")
    assert caught.value.code == "E-UNKNOWN-NAME"
    assert said in caught.value.advice
