"""The search for counterexamples: what it must find, and what it must not take for one."""

from __future__ import annotations

from fractions import Fraction
from math import prod

import pytest
from gradproof.compiler.claims import Verdict
from gradproof.compiler.denote import Env, Undecided
from gradproof.compiler.dims import Poly
from gradproof.compiler.elaborate import load_text
from gradproof.compiler.library import prelude
from gradproof.compiler.ops import OpDef
from gradproof.compiler.rules import derived_jvp, extents, rules_of
from gradproof.compiler.terms import ONE, ZERO, Read, RealCmp, Term, call, divide, select
from gradproof.verifier.operators import verdicts_of_op
from gradproof.verifier.options import Options
from gradproof.verifier.refute import Search
from gradproof.verifier.ties import sides
from gradproof.verifier.witness import LARGEST, Point, points_of, sizes_of

X, C = Read("x", ()), Read("c", ())


def operator(text: str) -> OpDef:
    """The only operator of a text."""
    (op,) = load_text(text).ops.values()
    return op


def verdicts(text: str) -> dict[str, Verdict]:
    """The verdicts by code (the last of each)."""
    return {v.claim.code: v for v in verdicts_of_op(operator(text), Options(timeout=5.0, search=2.0))}


def on_sides(term: Term, values: dict[str, int], varying: str = "x") -> list[Fraction]:
    """The values of a term without indices on the sides of its ties."""

    def nothing(name: str, index: tuple[int, ...]) -> int:
        raise KeyError(name)

    env = Env({}, lambda name, index: Fraction(values[name]), nothing, nothing)
    return list(sides(lambda value: value(term, env), "rational", frozenset(varying.split())))


def test_a_tie_has_two_sides() -> None:
    positive = select(RealCmp("<", ZERO, X), ONE, ZERO)
    assert sorted(on_sides(positive, {"x": 0})) == [0, 1]
    assert on_sides(positive, {"x": 1}) == [1]


def test_a_comparison_of_constants_is_no_tie() -> None:
    positive = select(RealCmp("<", ZERO, C), ONE, ZERO)
    assert on_sides(positive, {"x": 0, "c": 0}) == [0]


def test_a_pair_is_decided_alike_wherever_it_is_met() -> None:
    above, below = select(RealCmp("<", ZERO, X), ONE, ZERO), select(RealCmp("<", X, ZERO), ONE, ZERO)
    both = select(RealCmp("<=", X, ZERO), below, above)
    assert on_sides(both, {"x": 0}) == [1, 1]


def test_a_sign_jumps_and_an_optimum_picks() -> None:
    assert sorted(on_sides(call("sign", X), {"x": 0})) == [-1, 1]
    assert sorted(on_sides(call("floor", X), {"x": 2})) == [1, 2]
    assert set(on_sides(call("max", X, C), {"x": 3, "c": 3})) == {3}


def test_a_side_without_a_value_decides_nothing() -> None:
    quotient = select(RealCmp("==", X, ZERO), ZERO, divide(ONE, X))
    with pytest.raises(Undecided):
        on_sides(quotient, {"x": 0})


def test_only_real_ties_of_an_optimum_have_sides() -> None:
    op = prelude().ops["max([S..])"]
    search = Search(op, rules_of(op))
    sizes = next(s for s in sizes_of(op) if s.ints["S.."] == 3)
    for entries, gradients in (((1, 5, 2), {1}), ((5, 5, 2), {0, 1}), ((2, 2, 5), {0})):
        tensors = {"x": {(k,): Fraction(v) for k, v in enumerate(entries)}, "g": {(): Fraction(1)}}
        point = Point(op, sizes, tensors, {"x": (3,), "g": ()}, {"x": "real"})
        along = {"dx": {(k,): Fraction(k == 1) for k in range(3)}}
        assert set(search.outcomes(point, derived_jvp(op), (), "rational", along)) == gradients


def test_a_jump_is_no_counterexample() -> None:
    for text in (
        "fn f(x) = select(x == 0, 5, x)",
        "fn f(x) { y = floor(x); vjp x = 0 }",
        "fn f(x) { y = select(x == 0, 0, sin(x) / x); vjp x = g * select(x == 0, 7, (x * cos(x) - sin(x)) / x^2) }",
    ):
        assert verdicts(text)["KINK"].answer == "unknown", text


def test_a_jvp_that_is_right_along_the_axes() -> None:
    found = verdicts("fn f(x) { y = x; jvp y = dx * dx; vjp x = g }")["JVP"]
    assert found.answer == "refuted"
    found = verdicts("fn f(a, b) { y = a + b; jvp y = da + db + da * db; vjp a = g; vjp b = g }")["JVP"]
    assert found.answer == "refuted"


def test_a_rule_that_is_not_linear() -> None:
    for rule in ("g * g", "g + x - x + 1", "select(g > 2, g, g * 1)  + g - g + select(g == 3, 1, 0)"):
        assert verdicts(f"fn f(x) {{ y = x; vjp x = {rule} }}")["VJP"].answer == "refuted", rule


def test_a_declared_value_is_held_to() -> None:
    found = verdicts("fn f(x) { y = max(x, 0); vjp x = g * select(x >= 0, 1, 0); at x = 0: 0 }")["KINK"]
    assert found.answer == "refuted"
    assert found.counterexample is not None
    assert "declared" in found.counterexample.expected


def test_modes_that_disagree_at_a_tie() -> None:
    text = "fn f(x) { y = abs(x); jvp y = dx * select(x >= 0, 1, -1); vjp x = g * select(x > 0, 1, -1) }"
    found = verdicts(text)["VJP"]
    assert found.answer == "refuted"


def test_constants_of_a_formula_are_tried() -> None:
    text = "fn f(x) { y = select(x <= 137, x, 2*x - 137); vjp x = g * select(x <= 138, 1, 2) }"
    assert verdicts(text)["VJP"].answer == "refuted"


def test_an_undefined_rule_at_a_kink_is_refuted() -> None:
    found = verdicts("fn f(x) { y = abs(x); vjp x = g * abs(x) / x }")["DOM"]
    assert found.answer == "refuted"
    assert found.counterexample is not None
    assert "undefined" in found.counterexample.got


@pytest.mark.parametrize("name", sorted(prelude().ops))
def test_sizes_and_points_meet_what_is_required(name: str) -> None:
    op = prelude().ops[name]
    found = list(sizes_of(op))
    assert found
    assert len({tuple(s.ints.values()) for s in found}) == len(found)
    for sizes in found[:6]:
        for point in points_of(op, sizes, 2, 0):
            for param in op.params:
                assert point.shapes[param.name] == sizes.shape(extents(param))
                assert len(point.tensors[param.name]) == prod(point.shapes[param.name]) <= LARGEST


def test_a_point_outside_the_arrays_is_no_point() -> None:
    op = operator("op f[k](x: [n]) -> [n - k] { require 0 <= k <= n   y[i] = x[i + k] }")
    for sizes in sizes_of(op):
        assert Poly.sym("k").evaluate(sizes.ints) <= sizes.ints["n"]
