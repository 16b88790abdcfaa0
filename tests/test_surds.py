"""Sums of square roots: a field, ordered like the reals that they stand for, where what is equal is seen to be."""

from __future__ import annotations

import operator
from fractions import Fraction
from math import ceil, floor, isqrt, trunc
from typing import Any

import flint
import pytest
from gradproof.compiler.denote import Intervals, Irrational, Rationals, Surds, Undefined, field_of
from gradproof.compiler.surds import Surd, root
from gradproof.runtime.scalars import scalars
from gradproof.verifier.certain import above, beyond, differs, dot, hull, shown
from hypothesis import given, settings
from hypothesis import strategies as st

small = st.fractions(min_value=-4, max_value=4, max_denominator=6)
squares = st.fractions(min_value=0, max_value=30, max_denominator=12)
terms = st.lists(st.tuples(small, squares), max_size=3)
numbers = terms.map(lambda pairs: sum((q * root(s) for q, s in pairs), Fraction(0)))
nonzero = numbers.filter(lambda x: x != 0)
R2, R3 = root(Fraction(2)), root(Fraction(3))


def enclosed(value: Any) -> Any:
    """The number by flint, 400 bits: an opinion of its own on what the terms are."""
    pairs = value.terms if isinstance(value, Surd) else ((1, value),)
    found = flint.arb(0)
    for n, q in pairs:
        found += flint.arb(flint.fmpq(q.numerator, q.denominator)) * flint.arb(n).sqrt()
    return found


@pytest.fixture(autouse=True)
def precision() -> Any:
    before, flint.ctx.prec = flint.ctx.prec, 400
    yield
    flint.ctx.prec = before


@settings(deadline=None)
@given(numbers, numbers, numbers)
def test_a_commutative_ring(a: Any, b: Any, c: Any) -> None:
    assert (a + b) + c == a + (b + c) and (a * b) * c == a * (b * c)
    assert a + b == b + a and a * b == b * a and a * (b + c) == a * b + a * c
    assert a - a == 0 and isinstance(a - a, Fraction) and a + 0 == a and a * 1 == a and a * 0 == 0
    assert hash(a + b) == hash(b + a) and hash(a * (b + c)) == hash(a * b + a * c)


@settings(deadline=None)
@given(nonzero, st.integers(-4, 4))
def test_inverses_and_powers(a: Any, n: int) -> None:
    assert a * (1 / a) == 1 and 1 / (1 / a) == a and a / a == 1 and isinstance(a / a, Fraction)
    assert a**n * a**-n == 1 and a ** (n + 1) == a**n * a


@settings(deadline=None)
@given(numbers, numbers)
def test_operations_are_those_of_the_reals(a: Any, b: Any) -> None:
    for apply in (operator.add, operator.sub, operator.mul):
        assert apply(enclosed(a), enclosed(b)).overlaps(enclosed(apply(a, b)))
    if b != 0:
        assert (enclosed(a) / enclosed(b)).overlaps(enclosed(a / b))
    assert abs(enclosed(a)).overlaps(enclosed(abs(a)))
    assert float(a) == pytest.approx(float(enclosed(a).mid()), abs=1e-12)


@settings(deadline=None)
@given(numbers, numbers)
def test_the_order_is_that_of_the_reals(a: Any, b: Any) -> None:
    left, right = enclosed(a), enclosed(b)
    assert (a == b) == left.overlaps(right)
    assert (a < b) == bool(left < right) and (a > b) == bool(left > right)
    assert (a <= b) == (not a > b) and (a >= b) == (not a < b)
    assert max(a, b) == max(b, a) >= min(a, b)
    assert floor(a) <= a < floor(a) + 1 and ceil(a) - 1 < a <= ceil(a) and trunc(a) == (floor(a) if a > 0 else ceil(a))
    assert abs(a - round(a)) <= Fraction(1, 2)


@pytest.mark.parametrize("bits", [10, 100, 1000, 5000])
def test_very_close_numbers(bits: int) -> None:
    whole = isqrt(2 << 2 * bits)
    below, above_ = Fraction(whole, 2**bits), Fraction(whole + 1, 2**bits)
    assert below < R2 < above_ and above_ > R2 > below and below != R2 != above_
    assert 0 < R2 - below < Fraction(1, 2**bits)
    # Units of Z[sqrt 2]: powers of sqrt(2) - 1 are as small as may be with such coefficients, and signs alternate.
    unit = (R2 - 1) ** (bits // 10)
    assert 0 < unit < Fraction(1, 2 ** (bits // 10)) and (1 - R2) ** 3 < 0 < (1 - R2) ** 4
    assert unit * (R2 + 1) ** (bits // 10) == 1


def test_equal_by_other_terms() -> None:
    p, q = 10**9 + 7, 10**9 + 9  # squares of large primes are not taken out of roots, and are seen all the same
    hidden = root(Fraction(2 * p * p * q))
    assert hidden == p * root(Fraction(2 * q)) and hash(hidden) == hash(p * root(Fraction(2 * q)))
    assert hidden - p * root(Fraction(2 * q)) == 0
    assert root(Fraction(p * p)) == p and root(Fraction(1, 8)) == R2 / 4
    assert 5 + 2 * root(Fraction(6)) == (R2 + R3) ** 2 and 1 / (R3 - R2) == R3 + R2
    assert hidden * hidden == 2 * p * p * q and hidden / root(Fraction(2 * q)) == p


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (R2, "sqrt(2)"),
        (-R2, "-sqrt(2)"),
        (2 * R3 / 5 - 1, "-1 + 2*sqrt(3)/5"),
        (Fraction(1, 2) - R2 / 3, "1/2 - sqrt(2)/3"),
        (root(Fraction(12)), "2*sqrt(3)"),
        (R2 * R2, "2"),
    ],
)
def test_as_text(value: Any, text: str) -> None:
    assert str(value) == text == shown(value)


def test_what_has_no_exact_form_says_so() -> None:
    with pytest.raises(Irrational):
        root(1 + R2)
    with pytest.raises(Irrational):
        field_of("surd").call("exp", (Fraction(1),))
    with pytest.raises(Irrational, match="more than"):
        sum((root(Fraction(p)) for p in range(2, 80)), Fraction(0))
    primes = (2, 3, 5, 7, 11, 13)
    with pytest.raises(Irrational, match="more than"):
        1 / sum((root(Fraction(p)) for p in primes), Fraction(0))
    with pytest.raises(Irrational):
        Rationals().call("sqrt", (Fraction(2),))


def test_the_field() -> None:
    surds = Surds()
    assert surds.call("sqrt", (Fraction(9, 4),)) == Fraction(3, 2) and surds.call("sqrt", (Fraction(2),)) == R2
    assert surds.call("hypot", (Fraction(1), Fraction(1))) == R2 and surds.call("hypot", (R2, R2)) == 2
    assert surds.call("max", (R2, Fraction(1))) == R2 and surds.call("min", (R2, R3)) == R2
    assert surds.call("abs", (1 - R2,)) == R2 - 1 and surds.call("sign", (1 - R2,)) == -1
    steps = {"floor": -2, "ceil": -1, "trunc": -1, "round": -1}
    assert {fn: surds.call(fn, (-R2,)) for fn in steps} == steps
    assert surds.power(R2, -2) == Fraction(1, 2) and surds.call("ipow", (R2, Fraction(3))) == 2 * R2
    assert surds.compare("==", R2 * R3, root(Fraction(6))) and surds.compare("<", R2, R3)
    for undefined in (lambda: surds.call("sqrt", (1 - R2,)), lambda: surds.power(R2 - R2, -1)):
        with pytest.raises(Undefined):
            undefined()
    with pytest.raises(Undefined):
        surds.call("ipow", (R2, R3))


def test_comparisons_of_results() -> None:
    assert differs(R2, Fraction(7, 5)) and not differs(R2 * R2, 2) and above(R3, R2)
    assert not differs(R2, Intervals().num(Fraction(2)).sqrt())
    assert beyond(R3, [R2, Fraction(1)]) and not beyond(R2, [R2, R3])
    assert hull([R3, R2]).startswith("between sqrt(2) and sqrt(3)")
    assert dot({(0,): R2, (1,): R3}, {(0,): Fraction(2), (1,): Fraction(-1)}) == 2 * R2 - R3


def test_scalars_of_arrays() -> None:
    surds = scalars("surd")
    given = surds.array([2.0, 4.0])
    roots = surds.call("sqrt", [given])
    assert roots.tolist() == [R2, 2]
    assert surds.compare("==", surds.map("mul", [roots, roots]), given).all()
    assert surds.map("div", [roots, roots]).tolist() == [1, 1]
    assert surds.whole(roots).tolist() == [R2, 2]
