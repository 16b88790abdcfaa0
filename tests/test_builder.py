"""The builder makes the graphs that text makes, and says clearly what is wrong."""

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from gradproof.builder import GraphBuilder, Var
from gradproof.compiler.dims import Poly
from gradproof.compiler.elaborate import load_text
from gradproof.compiler.graph import Delta, Graph, Seeded, TensorType
from gradproof.compiler.wellformed import check
from gradproof.grammar.source import BUILTIN, Diagnostic


def bare(graph: Graph) -> Graph:
    """The graph without its places in the text."""
    return replace(
        graph,
        span=BUILTIN,
        dims=tuple(sorted((replace(d, span=BUILTIN) for d in graph.dims), key=lambda d: d.name)),
        nodes=tuple(replace(n, span=BUILTIN) for n in graph.nodes),
        delta=tuple(replace(d, span=BUILTIN) for d in graph.delta),
        assumes=tuple(replace(b, span=BUILTIN) for b in graph.assumes),
        ensures=tuple(replace(b, span=BUILTIN) for b in graph.ensures),
        size_claims=tuple(replace(c, span=BUILTIN) for c in graph.size_claims),
    )


def same(built: Graph, text: str) -> None:
    assert check(built) == []
    assert bare(built) == bare(load_text(text).graphs[built.name])


def test_the_same_graph_as_text() -> None:
    b = GraphBuilder("loss")
    rows, d, c = b.dim("B", lower=1), b.dim("D", 4), b.dim("C")
    x, w = b.input("x", "f32", (rows, d)), b.input("w", "f32", ("D", "C"))
    label = b.input("label", "i32", (rows,))
    b.assume(0, "<=", label, "<", c)
    m = b.bernoulli_mask("m", (rows, c), seed=3, p=Fraction(1, 4))
    z = b.name("z", (x @ w) * m / Fraction(3, 4))
    loss = b.name("result", b.mean(b.cross_entropy(z, label)) + 0.5 * b.sum(w**2))
    b.ensure(loss, ">=", 0)
    same(
        b.build_scalar(loss),
        """
        dim B >= 1, D = 4, C
        graph loss(x: f32[B, D], w: f32[D, C], label: i32[B], m: f32[B, C] = bernoulli(seed=3, p=1/4)) -> f32[] {
          assume 0 <= label < C
          z = (x @ w) * m / (3/4)
          ensure result >= 0
          return mean(cross_entropy(z, label)) + 0.5 * sum(w^2)
        }
        """,
    )


def test_all_signs() -> None:
    b = GraphBuilder("f")
    x, z = b.input("x", "f64", (2, 3)), b.input("z", "f64", (3,))
    y = b.where((x < z) & ~(x >= 1) | (x > z), -x + 1, 2 - x) * (1 / z) ** 2 - np.float64(0.5)
    text = (
        "graph f(x: f64[2, 3], z: f64[3]) -> f64[2, 3] "
        "{ return where(x < z and not (x >= 1) or x > z, -x + 1, 2 - x) * (1 / z)^2 - 0.5 }"
    )
    same(b.build(y), text)


def test_attributes_axes_and_shapes() -> None:
    b = GraphBuilder("f")
    n = b.dim("N")
    x = b.input("x", "f32", (n, 2, 3))
    y = b.permute(b.softmax(x, axis=1), axes=(2, 0, 1))
    assert y.shape == (Poly.of(3), n, Poly.of(2))
    same(
        b.build(b.sum(y, axis=(0, -1), keepdims=True)),
        "dim N\ngraph f(x: f32[N, 2, 3]) -> f32[1, N, 1] "
        "{ return sum(permute(softmax(x, axis=1), axes=(2, 0, 1)), axis=(0, -1), keepdims=true) }",
    )


def test_detach_constants_and_random_inputs() -> None:
    b = GraphBuilder("f")
    x = b.input("x", "f32", (3,))
    u = b.rand_uniform("u", (3,), seed=7)
    built = b.build(b.detach(x) + b.constant(0.1, (3,)) * u + b.constant(2))
    assert check(built) == []
    assert built.delta == (Delta("u", TensorType("f32", (Poly.of(3),)), built.delta[0].span, Seeded("uniform", 7)),)
    assert dict(built.nodes[2].attrs) == {"value": Fraction(1, 10)}


def test_own_operators() -> None:
    b = GraphBuilder("f", text="fn twice(x) = 2 * x")
    x = b.input("x", "f32", (3,))
    assert [n.op for n in b.build(b.twice(x)).inner] == ["twice"]


def test_variables_show_what_they_are() -> None:
    b = GraphBuilder("f")
    x = b.input("x", "f32", (3, b.dim("N")))
    assert (repr(x), x.dtype) == ("<f32[3, N] x>", "f32")
    with pytest.raises(TypeError, match="where"):
        bool(x > 0)


def foreign(b: GraphBuilder) -> Var:
    other = GraphBuilder("other")
    return other.input("o", "f32", (2, 3))


Build = Callable[[GraphBuilder, Var], object]
MISTAKES: list[tuple[str, str, Build]] = [
    ("E-SHAPE", "3 is not 4", lambda b, x: x @ b.input("w", "f32", (4, 5))),
    ("E-SHAPE", "size", lambda b, x: b.input("w", "f32", (-1,))),
    ("E-CALL", "axes", lambda b, x: b.transpose(b.sum(x))),
    ("E-CALL", "out of range", lambda b, x: b.sum(x, axis=2)),
    ("E-FOREIGN", "other", lambda b, x: x + foreign(b)),
    ("E-FOREIGN", "other", lambda b, x: b.build(foreign(b))),
    ("E-NO-OUTPUT", "no output", lambda b, x: b.build()),
    ("E-OUTPUT", "last node", lambda b, x: (y := b.sum(x), b.relu(x), b.build_scalar(y))),
    ("E-OUTPUT", "a number", lambda b, x: b.build_scalar(x)),
    ("E-OUTPUT", "environment", lambda b, x: b.build(b.input("c", "f32", (), const=True))),
    ("E-LATE-INPUT", "first", lambda b, x: (b.relu(x), b.input("w", "f32", (2,)))),
    ("E-DUPLICATE", "`x`", lambda b, x: b.input("x", "f32", ())),
    ("E-DUPLICATE", "`N`", lambda b, x: (b.dim("N"), b.dim("N"))),
    ("E-UNKNOWN-NAME", "M", lambda b, x: b.input("w", "f32", ("M",))),
    ("E-UNKNOWN-NAME", "M", lambda b, x: b.input("w", "f32", (Poly.sym("M"),))),
    ("E-UNKNOWN-NAME", "f16", lambda b, x: b.input("w", "f16", ())),
    ("E-UNKNOWN-NAME", "nothing", lambda b, x: b.op("nothing", x)),
    ("E-KIND", "array", lambda b, x: x + np.ones(3)),
    ("E-KIND", "str", lambda b, x: x + "1"),
    ("E-NUMBER", "nan", lambda b, x: x * float("nan")),
    ("E-NUMBER", "probability", lambda b, x: b.bernoulli_mask("m", (2,), seed=1, p=2)),
    ("E-NUMBER", "seed", lambda b, x: b.rand_uniform("m", (2,), seed=-1)),
    ("E-BOUND", "inputs", lambda b, x: b.assume(b.relu(x), ">", 0)),
    ("E-BOUND", "assume", lambda b, x: b.assume(x, ">")),
    ("E-NAME", "name", lambda b, x: b.input("a b", "f32", ())),
]


@pytest.mark.parametrize(("code", "word", "build"), MISTAKES)
def test_mistakes_have_a_code_and_the_line_of_python(code: str, word: str, build: Build) -> None:
    b = GraphBuilder("f")
    x = b.input("x", "f32", (2, 3))
    with pytest.raises(Diagnostic) as caught:
        build(b, x)
    assert caught.value.code == code
    assert word in f"{caught.value.message} {caught.value.advice}"
    assert "test_builder.py:" in str(caught.value)


def test_an_unknown_operator_is_an_attribute_error_with_advice() -> None:
    with pytest.raises(AttributeError, match="softmax"):
        GraphBuilder("f").sofmax  # noqa: B018
    assert not hasattr(GraphBuilder("f"), "_nothing")


def test_a_claim_about_dims_is_left_to_the_proof() -> None:
    b = GraphBuilder("f")
    x, z = b.input("x", "f32", (b.dim("N"),)), b.input("z", "f32", (b.dim("M"),))
    assert [(str(c.left), str(c.right)) for c in b.build(x + z).size_claims] == [("N", "M")]
