"""Laws in place of formulas: what is rewritten and what is not, what is trusted and said, and what runs."""

from __future__ import annotations

import json
from fractions import Fraction

import gradproof as gp
import numpy as np
import pytest
from gradproof.compiler.calculus import Opaque, derivative
from gradproof.compiler.denote import Intervals, Rationals
from gradproof.compiler.dims import Poly
from gradproof.compiler.library import Library, collect, prelude
from gradproof.compiler.obligations import op_digest
from gradproof.compiler.ops import OpDef
from gradproof.compiler.rules import meaning_of, rules_of
from gradproof.compiler.terms import (
    TRUE,
    ZERO,
    Cond,
    Read,
    Term,
    indicator,
    int_eq,
    int_ge,
    mul,
    power,
    select,
    sub,
    total,
)
from gradproof.grammar.parse import parse
from gradproof.grammar.source import Diagnostic, Source
from gradproof.report.json import to_data
from gradproof.report.operators import entries, page, to_json
from gradproof.report.text import render
from gradproof.runtime.externs import EXTERNS, run_exact, run_floats
from gradproof.verifier.contraction import contraction, support
from gradproof.verifier.equality import equal
from gradproof.verifier.law_points import law_check
from gradproof.verifier.laws import laws_for
from gradproof.verifier.normal import Normalizer
from gradproof.verifier.operators import verdicts_of_op
from gradproof.verifier.options import Options
from gradproof.verifier.ranges import Context

LAWFUL = sorted(name for name, op in prelude().ops.items() if op.lawful)
N, M, I_, J, K = map(Poly.sym, "nmijk")
SETTING = Context({"n": 0, "m": 0}, {"i": N, "j": N, "s": M})


def read(tensor: str, *index: Poly) -> Term:
    return Read(tensor, index)


def summed(body: Term, guard: Cond = TRUE, extent: Poly = N) -> Term:
    return total("k", extent, body, guard)


def follows(left: Term, right: Term, context: Context = SETTING) -> bool:
    """Whether left = right by the law: the sum over k < n of a[i, k] y[k, j] is [i = j]."""

    def laws(work: Normalizer) -> list[object]:
        law = summed(mul(read("a", I_, K), read("y", K, J)))
        one = contraction(work.normal(law), work.normal(indicator(int_eq(I_, J))), {"i": N, "j": N})
        assert one is not None
        return [one]

    return equal(left, right, context, laws=laws).proved  # type: ignore[arg-type]


PRODUCT = mul(read("a", I_, K), read("y", K, J))
DELTA = indicator(int_eq(I_, J))


def test_the_law_itself_and_inside_a_product() -> None:
    assert follows(summed(PRODUCT), DELTA)
    inside = total("j", N, mul(summed(PRODUCT), read("g", J)))
    assert follows(inside, read("g", I_))


REFUSED = {
    "an index elsewhere": (summed(mul(PRODUCT, read("b", K))), mul(DELTA, summed(read("b", K)))),
    "the index in the place of a free one": (summed(mul(read("a", K, K), read("y", K, J))), indicator(int_eq(J, J))),
    "a part of the range": (summed(PRODUCT, int_ge(K, 1)), DELTA),
    "another extent": (summed(PRODUCT, extent=M), DELTA),
    "the wrong side": (summed(mul(read("y", I_, K), read("a", K, J))), DELTA),
    "indices exchanged": (summed(mul(read("a", K, I_), read("y", K, J))), DELTA),
    "another tensor": (summed(mul(read("a", I_, K), read("z", K, J))), DELTA),
    "a free index of another range": (
        summed(mul(read("a", Poly.sym("s"), K), read("y", K, J))),
        indicator(int_eq(Poly.sym("s"), J)),
    ),
    "a place that may be outside": (
        summed(mul(read("a", I_ + 1, K), read("y", K, J))),
        indicator(int_eq(I_ + 1, J)),
    ),
    "a square": (summed(mul(read("a", I_, K), read("y", K, J), read("y", K, J))), mul(DELTA, DELTA)),
    "only one factor": (summed(read("a", I_, K)), DELTA),
}


@pytest.mark.parametrize(("left", "right"), REFUSED.values(), ids=REFUSED)
def test_what_is_not_the_law_stays(left: Term, right: Term) -> None:
    assert not follows(left, right)


def test_only_one_sum_of_plain_reads_is_a_rewriting() -> None:
    work = Normalizer(SETTING)
    free = {"i": N, "j": N}
    for left in (
        read("a", I_, J),
        mul(summed(PRODUCT), read("b", I_)),
        summed(mul(PRODUCT, read("y", K, J))),
        summed(mul(read("a", I_, K + 1), read("y", K, J))),
        summed(read("a", I_, K)),
    ):
        assert contraction(work.normal(left), work.normal(ZERO), free) is None


def zeros(left: Term, right: Term, context: Context = SETTING) -> bool:
    """Whether left = right where t[i, j] is 0 for i < j, for all i, j < n."""

    def laws(work: Normalizer) -> list[object]:
        law = select(int_ge(J - I_, 1), read("t", I_, J), ZERO)
        fact = support(work.normal(law), {}, {"i": N, "j": N})
        assert fact is not None
        return [fact]

    return equal(left, right, context, laws=laws).proved  # type: ignore[arg-type]


def test_where_a_tensor_has_entries() -> None:
    entry = read("t", I_, J)
    for condition in (int_ge(I_, J), int_ge(I_ + 2, J)):
        assert zeros(select(condition, entry, ZERO), entry)
    assert zeros(select(int_ge(J, I_ + 1), entry, ZERO), ZERO)
    assert zeros(select(int_ge(J, I_), entry, ZERO), select(int_eq(I_, J), entry, ZERO))
    below = select(int_ge(I_, J + 1), entry, ZERO)
    assert zeros(below, sub(entry, select(int_eq(I_, J), entry, ZERO)))


def test_where_nothing_is_known_of_a_tensor() -> None:
    entry = read("t", I_, J)
    shifted, exchanged, other = read("t", I_ + 1, J), read("t", J, I_), read("u", I_, J)
    assert not zeros(entry, ZERO)
    assert not zeros(select(int_ge(I_, J + 2), entry, ZERO), entry)
    assert not zeros(select(int_ge(J, I_ + 1), other, ZERO), ZERO)
    assert not zeros(select(int_ge(I_, J), exchanged, ZERO), exchanged)
    # A guard may be what keeps a read in its range: i + 1 may be n, and s runs below m.
    assert not zeros(select(int_ge(I_ + 1, J), shifted, ZERO), shifted)
    far = read("t", Poly.sym("s"), J)
    assert not zeros(select(int_ge(Poly.sym("s"), J), far, ZERO), far)
    inverse = power(entry, -1)
    assert not zeros(select(int_ge(I_, J), inverse, ZERO), inverse)


# Stanzas.


def one(text: str) -> OpDef:
    (op,) = collect(parse(Source("laws", text)).items, Library(), lambda _: None).ops.values()
    return op


INVERSE = """op f(a: [n, n]) -> [n, n] {
  extern y = "linalg.inv"(a)
  law sum(k) a[i, k] * y[k, j] == select(i == j, 1, 0)
  adjoint sum(k) y[k, i] * g[k, j]
  law sum(k) y[i, k] * a[k, j] == select(i == j, 1, 0)
  vjp a[i, j] = -sum(k, l) y[k, i] * g[k, l] * y[j, l]
}
"""
MISTAKES = {
    INVERSE.replace("  law", "  lw"): "E-SYNTAX",
    INVERSE.replace("  vjp a[i, j] = -sum(k, l) y[k, i] * g[k, l] * y[j, l]\n", ""): "E-EXTERN",
    INVERSE.replace("a[i, k] * y[k, j] == select(i == j, 1, 0)", "a[i, k] * y[k, j] < 1"): "E-LAW",
    INVERSE.replace("  law sum(k) y[i, k] * a[k, j] ==", "  law a[i, j] =="): "E-LAW",
    INVERSE.replace("  adjoint sum(k) y[k, i] * g[k, j]", "  adjoint sum(k) y[k, i] * g[k, p]"): "E-LAW",
    INVERSE.replace('"(a)', '"(b)'): "E-UNKNOWN-NAME",
    INVERSE.replace('"(a)', '"(y)'): "E-UNKNOWN-NAME",
    INVERSE.replace("extern y =", "extern y: [n, n] ="): "E-EXTERN",
    INVERSE.replace("extern y =", "extern z ="): "E-EXTERN",
    INVERSE.replace("  vjp", "  at a[i, j] = 0: 0\n  vjp"): "E-EXTERN",
    INVERSE.replace("  extern y", "  adjoint 1\n  extern y"): "E-LAW",
    INVERSE.replace("  law sum(k) y", "  y[i, j] = 0\n  law sum(k) y"): "E-DUPLICATE",
    "op f(a: [n]) -> [n] { y[i] = a[i] law y[i] == a[i] }": "E-LAW",
    'op f(a: [n], b: int [n]) -> [n] { extern y = "linalg.inv"(b) vjp a[i] = 0 }': "E-KIND",
    'fn f(a) { extern y = "linalg.inv"(a) vjp a = 0 }': "E-EXTERN",
}


@pytest.mark.parametrize(("text", "code"), MISTAKES.items(), ids=range(len(MISTAKES)))
def test_mistakes_have_a_code_and_a_place(text: str, code: str) -> None:
    with pytest.raises(Diagnostic) as caught:
        one(text)
    assert caught.value.span is not None
    assert caught.value.code == code or code == "E-SYNTAX"


def test_no_formula_no_derivative() -> None:
    op = one(INVERSE)
    with pytest.raises(Opaque):
        derivative(meaning_of(op), {"a": "da"})


def test_laws_externs_and_multipliers_are_part_of_the_definition() -> None:
    texts = [
        INVERSE,
        INVERSE.replace("linalg.inv", "linalg.pinv"),
        INVERSE.replace("adjoint sum(k) y", "adjoint -sum(k) y"),
        INVERSE.replace("y[i, k] * a[k, j] ==", "y[i, k] * a[k, j] == 0 +"),
    ]
    assert len({op_digest(one(text)) for text in texts}) == len(texts)


def test_a_law_of_all_tangents_says_nothing_where_some_stand_still() -> None:
    solve = prelude().ops["solve"]
    every = {d.tensor for d in laws_for(solve, frozenset({"a", "b"})).definitions}
    assert every == {"b", "g", "db"}
    assert {d.tensor for d in laws_for(solve, frozenset({"a"})).definitions} == {"b", "g"}


@pytest.mark.parametrize("name", LAWFUL)
def test_every_law_of_the_prelude_is_tested_and_trusted_by_name(name: str) -> None:
    op = prelude().ops[name]
    assert law_check(op) == ("", None)
    for verdict in verdicts_of_op(op, Options()):
        assert verdict.answer == "proved"
        assert bool(verdict.trusts) == (verdict.claim.code != "SHAPE")
        if verdict.trusts:
            assert all(any(law.text in text for text in verdict.trusts) for law in op.laws)
            assert all(any(extern.kernel in text for text in verdict.trusts) for extern in op.externs)


PROGRAM = "dim N\ngraph f(a: f64[N, N], b: f64[N, N]) -> f64[] { return sum(solve(a, b)) + det(a) }\n"


def test_a_graph_that_uses_an_extern_says_so() -> None:
    report = gp.verify(PROGRAM)
    text, data = render(report), to_data(report)
    assert "leans on extern linalg.solve(a, b) = y has a value (checked on every run)" in text
    assert "leans on law b[s.., i, j] == sum(k) a[s.., i, k] * y[s.., k, j] (trusted, tested on samples)" in text
    graph = next(s for s in data["files"][0]["subjects"] if s["kind"] == "graph")
    leaning = {o["code"] for o in graph["obligations"] if o["trusts"]}
    assert leaning == {"FWD", "DENSE", "PLAN", "DOM"}
    assert "leans on" not in render(gp.verify("graph f(a: f64[]) -> f64[] { return exp(a) }\n"))


def test_the_operator_table_says_so() -> None:
    found = entries("inverse", None)
    assert "leans on extern linalg.inv(a) = y has a value (checked on every run)" in page(found)
    data = json.loads(to_json(found))["operators"][0]
    assert any("linalg.inv is continuous" in text for text in data["trusts"])
    assert data["formula"].startswith('y = extern "linalg.inv"(a); law sum(k)')


# What runs.


def test_exact_scalars_and_floats_agree() -> None:
    rng = np.random.default_rng(1)
    for name, kernel in EXTERNS.items():
        for n in (1, 2, 3):
            a = rng.integers(-4, 5, (2, n, n)) + 9 * np.eye(n)
            b = rng.integers(-4, 5, (2, n) if name.endswith("vector") else (2, n, 2)).astype(float)
            args = [a, b] if "solve" in name else [a]
            floats = run_floats(name, args)
            given = [np.vectorize(lambda v: Intervals().num(Fraction(v)), otypes=[object])(x) for x in args]
            exact = run_exact(name, Intervals(), given)
            assert kernel.exact is not None
            assert exact.shape == floats.shape
            assert np.allclose(np.vectorize(lambda v: float(v.mid()))(exact), floats)


def test_the_cofactors_of_a_singular_matrix() -> None:
    a = np.array([[1.0, 2.0, 3.0], [2.0, 4.0, 6.0], [1.0, 0.0, 1.0]])
    exact = run_exact("linalg.cofactor", Rationals(), [np.vectorize(Fraction, otypes=[object])(a)])
    assert np.allclose(run_floats("linalg.cofactor", [a]), exact.astype(float))
    assert np.any(exact != 0)


@pytest.mark.parametrize("scalar", ["float64", "rational", "interval"])
def test_a_singular_matrix_is_refused_on_every_run(scalar: str) -> None:
    program = gp.compile("dim N\ngraph f(a: f64[N, N]) -> f64[N, N] { return inverse(a) }\n")["f"]
    with pytest.raises(ArithmeticError):
        program.forward({"a": [[1.0, 2.0], [2.0, 4.0]]}, scalar=scalar)
    assert program.forward({"a": [[2.0]]}, scalar=scalar) is not None


def test_size_0() -> None:
    program = gp.compile("dim N\ngraph f(a: f64[N, N]) -> f64[] { return det(a) + sum(inverse(a)) }\n")["f"]
    value, gradients = program.value_and_grad({"a": np.zeros((0, 0))})
    assert value == 1.0
    assert gradients["a"].shape == (0, 0)


def test_a_kernel_of_ones_own() -> None:
    def halve(_: object, a: np.ndarray) -> np.ndarray:
        return np.vectorize(lambda v: v * Fraction(1, 2), otypes=[object])(a) if a.size else a

    gp.register_extern(gp.ExternKernel("tests.halve", lambda a: a / 2, halve, "a / 2"))
    try:
        with pytest.raises(ValueError, match="already"):
            gp.register_extern(gp.ExternKernel("tests.halve", lambda a: a, None, ""))
        text = """op half(a: [n]) -> [n] {{
          extern y = "tests.halve"(a)
          law y[i] == a[i] / {factor}
          vjp a[i] = g[i] / 2
        }}
        """
        right = verdicts_of_op(one(text.format(factor=2)), Options())
        assert [v.answer for v in right] == ["proved"] * 4
        wrong = {v.claim.code: v for v in verdicts_of_op(one(text.format(factor=3)), Options(search=1.0))}
        assert wrong["VJP"].answer == "refuted"
        assert wrong["VJP"].counterexample is not None
        assert "law y[i] == a[i] / 3" in wrong["VJP"].counterexample.got
    finally:
        del EXTERNS["tests.halve"]


def test_the_transpose_of_the_vjp_is_the_jvp() -> None:
    rules = rules_of(prelude().ops["inverse"])
    assert rules.jvp is not None
    assert {"da", "y"} == rules.jvp.reads


def test_a_rule_that_runs_an_extern_has_no_second_order() -> None:
    with pytest.raises(Diagnostic, match="no second derivative is known") as caught:
        gp.compile(PROGRAM, order=2)
    assert caught.value.span is not None
    assert caught.value.span.line == 2


LOOP = """
dim N, T
graph cell(h: f64[N], a: f64[N, N]) -> f64[N] { return solve(a, h) }
graph f(h0: f64[N], a: f64[T, N, N]) -> f64[] { return sum(scan_last(cell, h0, a)) }
"""


def test_an_extern_in_a_loop_is_trusted_and_runs() -> None:
    graph = next(s for s in to_data(gp.verify(LOOP))["files"][0]["subjects"] if s["name"] == "f")
    assert all(o["verdict"] == "proved" for o in graph["obligations"])
    assert {o["code"] for o in graph["obligations"] if o["trusts"]} == {"FWD", "DENSE", "PLAN", "DOM"}
    given = {"h0": np.array([1.0, 2.0]), "a": np.array([[[2.0, 1.0], [0.0, 4.0]], [[1.0, 0.0], [3.0, 2.0]]])}
    value, gradients = gp.compile(LOOP)["f"].value_and_grad(given)
    inverse = np.linalg.inv(given["a"][1]) @ np.linalg.inv(given["a"][0])
    assert value == pytest.approx(float(np.sum(inverse @ given["h0"])))
    assert np.allclose(gradients["h0"], inverse.sum(0))
