"""The functions of floats that NumPy lacks, against rigorous intervals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import flint
import numpy as np
import pytest
from gradproof.runtime import special

Arb = Any


def _lgamma(x: Arb) -> Arb:
    return x.lgamma() if x > 0 else abs(x.gamma()).log()


def _polygamma(n: int) -> Callable[[Arb], Arb]:
    return lambda x: flint.acb(x).polygamma(flint.acb(n)).real


def _bessel(n: int) -> Callable[[Arb], Arb]:
    return lambda x: (flint.arb.pi() / (2 * abs(x))).sqrt() * abs(x).bessel_j(flint.arb(n) + 0.5) * x.sgn() ** n


rng = np.random.default_rng(3)
SMALL = 10.0 ** rng.uniform(-9, 0, 100)
WIDE = rng.uniform(-20, 0, 200)
# name -> function, reference, points, and whether the error is against 1 where the value is smaller
CASES: dict[str, tuple[Callable[[Any], Any], Callable[[Arb], Arb], Any, bool]] = {
    "erf": (special.erf, lambda x: x.erf(), np.concatenate([rng.uniform(-7, 7, 300), SMALL]), False),
    "erfc": (special.erfc, lambda x: x.erfc(), rng.uniform(-7, 26, 300), False),
    "erfinv": (
        special.erfinv,
        lambda x: x.erfinv(),
        np.concatenate([rng.uniform(-1, 1, 200), SMALL, 1 - SMALL]),
        False,
    ),
    "lgamma": (special.lgamma, _lgamma, np.concatenate([rng.uniform(0, 4, 200), 1e4 * SMALL, 1 + SMALL]), False),
    "lgamma below 0": (special.lgamma, _lgamma, WIDE, True),
    "digamma": (special.digamma, lambda x: x.digamma(), rng.uniform(0, 40, 200), True),
    "digamma below 0": (special.digamma, lambda x: x.digamma(), WIDE, True),
    **{
        f"polygamma {n}": (lambda x, n=n: special.polygamma(n, x), _polygamma(n), rng.uniform(0.01, 40, 100), False)  # type: ignore[misc]
        for n in (1, 2, 3, 6)
    },
    **{
        f"spherical_jn {n}": (lambda x, n=n: special.spherical_jn(n, x), _bessel(n), rng.uniform(-30, 30, 200), True)  # type: ignore[misc]
        for n in (0, 1, 2, 5)
    },
    "polygamma 2 below 0": (lambda x: special.polygamma(2, x), _polygamma(2), WIDE, True),
}


@pytest.mark.parametrize("name", CASES)
def test_within_a_few_ulp(name: str) -> None:
    function, reference, points, absolute = CASES[name]
    found = function(points)
    with flint.ctx.workprec(200):
        expected = np.array([float(reference(flint.arb(float(x)))) for x in points])
    scale = np.maximum(np.abs(expected), 1) if absolute else np.abs(expected)
    # The derivative of a function near its pole magnifies the rounding of 1 - x by itself.
    limit = 1e-9 if "below" in name else 3e-15
    np.testing.assert_array_less(np.abs(found - expected), limit * scale + 1e-300)


def test_ends() -> None:
    inf, nan = np.inf, np.nan
    with np.errstate(all="ignore"):
        given = np.array([0.0, inf, -inf, nan])
        np.testing.assert_array_equal(special.erf(given), [0, 1, -1, nan])
        np.testing.assert_array_equal(special.erfc(given), [1, 0, 2, nan])
        np.testing.assert_array_equal(special.erfinv(np.array([0.0, 1, -1, 2, nan])), [0, inf, -inf, nan, nan])
        np.testing.assert_array_equal(special.lgamma(np.array([0.0, -1, 1, 2, inf])), [inf, inf, 0, 0, inf])
        assert np.isnan(special.digamma(np.array([0.0, -3]))).all()


@pytest.mark.parametrize("fn", ["erf", "erfc", "erfinv", "lgamma", "digamma"])
def test_any_shape_and_type(fn: str) -> None:
    lifted = special.lifted(getattr(special, fn))
    for shape in ((), (0,), (2, 0), (2, 3)):
        given = np.full(shape, 0.25, np.float32)
        found = lifted(given)
        assert np.shape(found) == shape and found.dtype == np.float32
        out = np.empty(shape, np.float32)
        assert lifted(given, out) is out
        np.testing.assert_array_equal(out, found)
    transposed = np.arange(6.0).reshape(2, 3).T / 8 + 0.1
    np.testing.assert_array_equal(lifted(transposed), lifted(np.ascontiguousarray(transposed)))


def test_orders_entry_by_entry() -> None:
    found = special.by_order(special.polygamma)(np.array([0.0, 1.0]), np.array([[2.0], [3.0]]))
    for (row, column), value in np.ndenumerate(found):
        assert value == special.polygamma(column, np.array([row + 2.0]))[0]
