"""The wrapper round the solver: nothing false is proved, refutations replay, everything else says why."""

from __future__ import annotations

import itertools
from fractions import Fraction
from time import perf_counter

import pytest
from gradproof.compiler.dims import Entry, FloorDiv, Max, Min, Mod, Poly
from gradproof.compiler.terms import (
    And,
    BoolRead,
    Call,
    IntCmp,
    Not,
    Or,
    Pow,
    Read,
    RealCmp,
    Size,
    Truth,
    add,
    call,
    divide,
    either,
    in_range,
    int_eq,
    int_ge,
    int_lt,
    mul,
    negate,
    num,
    power,
    select,
    sub,
    total,
)
from gradproof.verifier import smt

n, m, i, j, k = (Poly.sym(s) for s in "nmijk")
x, z = Read("x", ()), Read("z", ())


def real(rel, a, b):
    return RealCmp(rel, a, b)


def test_integer_goals_are_proved_or_refuted_with_small_values():
    assert smt.prove_int(int_lt(i, n * 2), [in_range(i, n)]).answer == "proved"
    outcome = smt.prove_int(int_lt(i, n - 1), [in_range(i, n)])
    assert outcome.answer == "refuted"
    assert outcome.model["i"] == outcome.model["n"] - 1
    assert outcome.model["n"] <= 3


def test_no_sign_is_assumed_of_a_name():
    outcome = smt.prove_int(int_ge(n, 0))
    assert outcome.answer == "refuted" and outcome.model["n"] < 0


def test_symbolic_strides_and_reshapes():
    stride, pad, length, width, u, p = (Poly.sym(s) for s in ("stride", "pad", "L", "K", "u", "p"))
    out = Poly.atom(FloorDiv(length + 2 * pad - width, stride)) + 1
    hypotheses = [int_ge(stride, 1), int_ge(pad, 0), int_ge(width, 1), int_ge(length + 2 * pad, width)]
    hypotheses += [in_range(p, out), in_range(u, width)]
    assert smt.prove_int(int_lt(p * stride + u - pad, length + pad), hypotheses).answer == "proved"
    row = Poly.atom(FloorDiv(i * n + j, n))
    assert smt.prove_int(int_eq(row, i), [in_range(j, n), in_range(i, m)]).answer == "proved"


@pytest.mark.parametrize("den", [-3, -1, 2, 3])
def test_floor_division_and_remainder_are_pythons(den):
    for num_ in (-7, -3, -1, 0, 1, 5):
        quotient = Poly.atom(FloorDiv(i, Poly.of(den)))
        remainder = Poly.atom(Mod(i, Poly.of(den)))
        fixed = [int_eq(i, num_)]
        assert smt.prove_int(int_eq(quotient, num_ // den), fixed).answer == "proved"
        assert smt.prove_int(int_eq(remainder, num_ % den), fixed).answer == "proved"
        wrong = smt.prove_int(int_eq(quotient, num_ // den + 1), fixed)
        assert wrong.answer == "refuted"


def test_floor_division_by_a_symbol_of_either_sign():
    quotient, remainder = Poly.atom(FloorDiv(i, j)), Poly.atom(Mod(i, j))
    assert smt.prove_int(int_eq(quotient * j + remainder, i), [int_ge(j, 1)]).answer == "proved"
    assert smt.prove_int(int_eq(quotient * j + remainder, i), [int_lt(j, 0)]).answer == "proved"
    assert smt.prove_int(int_ge(0, remainder), [int_lt(j, 0)]).answer == "proved"
    assert smt.prove_int(int_ge(remainder, 0), [int_lt(j, 0)]).answer == "refuted"


def test_division_by_zero_proves_nothing_and_refutes_nothing():
    quotient = Poly.atom(FloorDiv(i, j))
    nothing = smt.prove_int(int_eq(quotient, 0), [int_eq(j, 0)])
    assert nothing.answer == "unknown" and "undefined" in nothing.reason
    # The same division is the same value, even there.
    assert smt.prove_int(int_eq(quotient, Poly.atom(FloorDiv(i, j)))).answer == "proved"


def test_minimum_and_maximum():
    low, high = Poly.atom(Min(n, m)), Poly.atom(Max(n, m))
    assert smt.prove_int(int_eq(low + high, n + m)).answer == "proved"
    assert smt.prove_int(int_ge(low, n)).answer == "refuted"


def test_entries_are_functions_of_their_position():
    label_i, label_j = (Poly.atom(Entry("label", (q,))) for q in (i, j))
    assert smt.prove_int(int_eq(label_i, label_j), [int_eq(i, j)]).answer == "proved"
    outcome = smt.prove_int(int_eq(label_i, label_j))
    assert outcome.answer == "refuted"
    assert any(name.startswith("label[") for name in outcome.model)
    assert smt.prove_int(int_lt(label_i, n), [in_range(label_i, n)]).answer == "proved"


def test_booleans():
    flag = BoolRead("mask", (i,))
    assert smt.prove_int(Or((flag, Not(flag)))).answer == "proved"
    assert smt.prove_int(flag).answer == "refuted"
    assert smt.prove_int(And((Truth(True), either(flag, int_ge(n, 0)))), [flag]).answer == "proved"


def test_contradictory_hypotheses_prove_everything_and_satisfiable_says_so():
    assert smt.prove_int(Truth(False), [int_ge(n, 1), int_lt(n, 1)]).answer == "proved"
    assert smt.satisfiable([int_ge(n, 1), int_lt(n, 1)]).answer == "proved"
    assert smt.satisfiable([int_ge(n, 1), int_lt(n, 7)]).model["n"] in range(1, 7)


def test_a_real_comparison_is_no_integer_goal():
    outcome = smt.prove_int(real("<", x, z))
    assert outcome.answer == "unknown" and "not translatable" in outcome.reason


def test_real_goals():
    square = power(sub(x, z), 2)
    assert smt.prove_real(real("<=", num(0), square)).answer == "proved"
    strict = smt.prove_real(real("<", num(0), square))
    assert strict.answer == "refuted" and strict.model["x"] == strict.model["z"]
    assert smt.prove_real(real("<", num(0), square), [real("<", x, z)]).answer == "proved"


def test_reciprocals_are_total():
    inverse = power(x, -1)
    assert smt.prove_real(real("==", mul(x, inverse), num(1))).answer == "refuted"
    assert smt.prove_real(real("==", mul(x, inverse), num(1)), [real("<", num(0), x)]).answer == "proved"
    assert smt.prove_real(real("==", inverse, num(0)), [real("==", x, num(0))]).answer == "proved"
    assert smt.prove_real(real("==", mul(x, x, power(x, -2), x), x)).answer == "proved"
    assert smt.prove_real(real("==", divide(num(1), mul(x, z)), mul(power(x, -1), power(z, -1)))).answer == "proved"


def test_square_roots_are_total():
    root = call("sqrt", x)
    assert smt.prove_real(real("==", mul(root, root), x)).answer == "refuted"
    assert smt.prove_real(real("==", mul(root, root), x), [real("<=", num(0), x)]).answer == "proved"
    assert smt.prove_real(real("==", root, num(0)), [real("<", x, num(0))]).answer == "proved"


def test_an_irrational_counterexample_is_unknown():
    outcome = smt.prove_real(negate(real("==", power(x, 2), num(2))))
    assert outcome.answer == "unknown" and "replayed" in outcome.reason


def test_piecewise_functions_are_exact():
    largest = call("max", x, z)
    assert smt.prove_real(real("==", add(largest, call("min", x, z)), add(x, z))).answer == "proved"
    assert smt.prove_real(real("==", mul(call("sign", x), call("abs", x)), x)).answer == "proved"
    assert smt.prove_real(real("<=", call("floor", x), x)).answer == "proved"
    assert smt.prove_real(real("<", sub(x, num(1)), call("floor", x))).answer == "proved"
    relu = select(real("<", num(0), x), x, num(0))
    assert smt.prove_real(real("==", relu, call("max", x, num(0)))).answer == "proved"
    wrong = smt.prove_real(real("==", relu, x))
    assert wrong.answer == "refuted" and wrong.model["x"] < 0


def test_other_functions_are_abstracted_and_never_refute():
    exp = call("exp", x)
    assert smt.prove_real(real("==", exp, call("exp", z)), [real("==", x, z)]).answer == "proved"
    outcome = smt.prove_real(real("<", num(0), exp))
    assert outcome.answer == "unknown" and outcome.reason


def test_sums_are_abstracted_and_equal_sums_are_equal():
    body = Read("v", (j,))
    rows = total("j", n, body)
    assert smt.prove_real(real("==", mul(rows, x), mul(x, rows))).answer == "proved"
    assert smt.prove_real(real("<=", num(0), rows), [int_eq(n, 0)]).answer == "unknown"
    # A counterexample that survives evaluation of the real sum is a real one.
    found = smt.prove_real(real("==", rows, num(1)), [int_eq(n, 0)])
    assert found.answer == "refuted" and found.model["n"] == 0


def test_reads_at_equal_positions_are_equal():
    a, b = Read("v", (i,)), Read("v", (j,))
    assert smt.prove_real(real("==", a, b), [int_eq(i, j)]).answer == "proved"
    assert smt.prove_real(real("==", a, b)).answer == "refuted"
    first = Read("v", (Poly.of(0),))
    assert smt.prove_real(real("==", first, a), [int_eq(i, 0)]).answer == "proved"
    second = Read("v", (Poly.of(1),))
    outcome = smt.prove_real(real("==", first, second))
    assert outcome.answer == "refuted" and outcome.model["v[0]"] != outcome.model["v[1]"]


def test_sizes_as_reals():
    assert smt.prove_real(real("<", num(0), Size(n)), [int_ge(n, 1)]).answer == "proved"
    outcome = smt.prove_real(real("==", mul(Size(n), power(Size(n), -1)), num(1)), [int_ge(n, 0)])
    assert outcome.answer == "refuted" and outcome.model["n"] == 0
    assert smt.prove_real(real("<", num(Fraction(1, 3)), Size(n)), [real("<", num(0), Size(n))]).answer == "proved"


def test_huge_powers_are_not_translated():
    outcome = smt.prove_real(real("<=", num(0), Pow(x, 1000)))
    assert outcome.answer == "unknown" and "1000" in outcome.reason


def test_the_time_limit_is_kept_and_is_unknown():
    a, b, c = (Poly.sym(s) for s in "abc")
    cubes = IntCmp("==", a * a * a + b * b * b + c * c * c - 114)
    started = perf_counter()
    outcome = smt.prove_int(Not(cubes), timeout=2.0)
    assert outcome.answer == "unknown" and outcome.reason
    assert perf_counter() - started < 6.0


def test_an_outcome_is_not_a_truth_value():
    with pytest.raises(TypeError):
        bool(smt.PROVED)


def test_texts_are_proved_together_or_apart():
    declarations = "(declare-const a Int)(declare-const b Int)"
    answers = smt.prove_texts(declarations, ["(= (+ a b) (+ b a))", "(= a b)", "(= (* a b) (* b a))"])
    assert [o.answer for o in answers] == ["proved", "refuted", "proved"]
    assert smt.prove_texts(declarations, ["(= (+ a b) (+ b a))"] * 3) == [smt.PROVED] * 3
    assert smt.prove_texts("", []) == []
    assert smt.prove_texts("", ["(= undeclared 1)"])[0].answer == "unknown"


def test_random_polynomials_agree_with_python():
    """Every ground instance that the solver settles is what Python computes."""
    atoms = [i, j, Poly.atom(FloorDiv(i, j)), Poly.atom(Mod(i, j)), Poly.atom(Min(i, j)), Poly.atom(Max(i, j))]
    for (a, b), (p, q) in itertools.product(itertools.product((-2, 0, 3), (-2, 1)), itertools.combinations(atoms, 2)):
        value = (p * q + 2 * p - 1).evaluate({"i": a, "j": b})
        fixed = [int_eq(i, a), int_eq(j, b)]
        assert smt.prove_int(int_eq(p * q + 2 * p - 1, value), fixed).answer == "proved"
        assert smt.prove_int(int_eq(p * q + 2 * p - 1, value + 1), fixed).answer == "refuted"


def test_obligations_are_fast():
    started = perf_counter()
    for bound in range(200):
        assert smt.prove_int(int_lt(i, n + bound), [in_range(i, n)]).answer == "proved"
    assert perf_counter() - started < 2.0


def test_unknown_functions_need_a_name():
    assert smt.prove_real(real("==", Call("f", (x,)), Call("f", (x,)))).answer == "proved"
