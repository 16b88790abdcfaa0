"""Functions of floats that NumPy lacks: erf, the gamma family, spherical Bessel functions, in float64 to a few ulp.

Whole arrays at a time, with no loop over entries. The series are in the functions; the Chebyshev coefficients of
`COMPLEMENT` were computed with rigorous intervals (tests/test_special.py compares everything with those again).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.polynomial import Polynomial
from numpy.polynomial.chebyshev import chebval
from numpy.typing import NDArray

Array = NDArray[Any]

# (1 + 2x) e^(x^2) erfc(x) for x >= 0, as a Chebyshev series in (x - 3.75) / (x + 3.75): Shepherd and Laframboise, 1981.
COMPLEMENT = (
    1.1775789345674017,
    -0.004590054580646478,
    -0.08424913336651792,
    0.05920993999819189,
    -0.026658668435305753,
    0.009074997670705265,
    -0.002413163540417608,
    0.0004907758365258086,
    -6.916973302501207e-05,
    4.13902798607301e-06,
    7.74038306619849e-07,
    -2.1886401049234397e-07,
    1.076499946567091e-08,
    4.521959811218287e-09,
    -7.754400208831351e-10,
    -6.318088340886684e-11,
    2.86879501093067e-11,
    1.9455868545777347e-13,
    -9.65469674843344e-13,
    3.25254814814874e-14,
    3.3478119482868056e-14,
    -1.864562880419313e-15,
    -1.2507950530688648e-15,
    7.418235256624044e-17,
    5.068148904796111e-17,
    -2.2370566594359995e-18,
    -2.187342944303018e-18,
)
# zeta(k) - 1 for k = 2, 3, ...: lgamma(2 + z) = (1 - euler) z + sum_k (-1)^k (zeta(k) - 1) z^k / k, DLMF 5.7.3.
ZETA = (
    0.6449340668482264,
    0.2020569031595943,
    0.08232323371113819,
    0.03692775514336993,
    0.01734306198444914,
    0.008349277381922827,
    0.00407735619794434,
    0.0020083928260822143,
    0.0009945751278180853,
    0.0004941886041194645,
    0.0002460865533080483,
    0.00012271334757848915,
    6.124813505870483e-05,
    3.058823630702049e-05,
    1.528225940865187e-05,
    7.637197637899763e-06,
    3.81729326499984e-06,
    1.908212716553939e-06,
    9.539620338727962e-07,
    4.769329867878064e-07,
    2.38450502727733e-07,
    1.1921992596531106e-07,
    5.960818905125948e-08,
    2.980350351465228e-08,
    1.4901554828365043e-08,
    7.45071178983543e-09,
    3.725334024788457e-09,
    1.862659723513049e-09,
    9.313274324196682e-10,
    4.656629065033784e-10,
    2.3283118336765053e-10,
    1.164155017270052e-10,
)
EULER = 0.5772156649015329
# B(2k) for k = 1, 2, ...: Stirling's series, DLMF 5.11.1.
BERNOULLI = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510, 43867 / 798, -174611 / 330)
FAR = 10.0  # Stirling's series is used from here on


def _erf_near(x: Array) -> Array:
    """erf for |x| <= 1, by its Maclaurin series (DLMF 7.6.1)."""
    square, term, total = x * x, x.copy(), x.copy()
    for n in range(1, 25):
        term *= square / -n
        total += term / (2 * n + 1)
    return total * (2 / math.sqrt(math.pi))


def _erfc_far(x: Array) -> Array:
    """erfc for x >= 0."""
    # e^(-x^2) from a short x and a small rest, so that the rounding of x^2 is not magnified.
    short = np.trunc(x * 4096) / 4096
    bell = np.exp(-short * short) * np.exp((short - x) * (short + x))
    return np.asarray(bell * chebval((x - 3.75) / (x + 3.75), COMPLEMENT) / (1 + 2 * x))


def _parts(x: Array, where: Array, first: Callable[[Array], Array], second: Callable[[Array], Array]) -> Array:
    """first(x) where the condition holds and second(x) elsewhere, each computed only there; NaN stays."""
    out = np.full_like(x, np.nan)
    other = ~where & ~np.isnan(x)
    out[where], out[other] = first(x[where]), second(x[other])
    return out


def erf(x: Array) -> Array:
    """The error function."""
    return _parts(x, np.abs(x) <= 1, _erf_near, lambda t: np.copysign(1 - _erfc_at(np.abs(t)), t))


def _erfc_at(x: Array) -> Array:
    """erfc for x >= 0; 0 where it is below the smallest float."""
    return _parts(x, x < 30, _erfc_far, np.zeros_like)


def erfc(x: Array) -> Array:
    """1 - erf(x)."""
    return _parts(x, x < 0.5, lambda t: 1 - erf(t), _erfc_at)


def erfinv(y: Array) -> Array:
    """The inverse of erf on -1 < y < 1: Winitzki's approximation, corrected by Halley's method."""
    size = np.abs(y)
    log = np.log1p(-size) + np.log1p(size)
    middle = 2 / (math.pi * 0.147) + log / 2
    x = np.sqrt(np.maximum(np.sqrt(middle * middle - log / 0.147) - middle, 0))
    for _ in range(3):
        # For a large y the difference is that of the complements: erf is flat there.
        off = np.where(size < 0.5, erf(x) - size, (1 - size) - erfc(x))
        step = off * (math.sqrt(math.pi) / 2) * np.exp(x * x)
        x = x - step / (1 + x * step)
    out = np.copysign(x, y)
    return np.where(size < 1, out, np.where(size == 1, np.copysign(np.inf, y), np.nan))


def _lgamma_near_two(z: Array) -> Array:
    """lgamma(2 + z) for |z| <= 1/2."""
    series = [0.0, 1 - EULER, *((-1) ** k * value / k for k, value in enumerate(ZETA, 2))]
    return np.asarray(np.polynomial.polynomial.polyval(z, series))


def _lgamma_positive(x: Array) -> Array:
    out = np.empty_like(x)
    low = x < 0.5
    out[low] = _lgamma_middle(x[low] + 1) - np.log(x[low])
    out[~low] = _lgamma_middle(x[~low])
    return out


def _lgamma_middle(x: Array) -> Array:
    """lgamma for x >= 1/2."""
    out = np.empty_like(x)
    one, far = x < 1.5, x >= FAR
    between = ~one & ~far
    out[one] = _lgamma_near_two(x[one] - 1) - np.log1p(x[one] - 1)
    out[far] = _stirling(x[far])
    t = x[between]
    product = np.ones_like(t)
    for _ in range(int(FAR)):
        above = t > 2.5
        t = np.where(above, t - 1, t)
        product = np.where(above, product * t, product)
    out[between] = _lgamma_near_two(t - 2) + np.log(product)
    return out


def _stirling(x: Array) -> Array:
    total, inverse = np.zeros_like(x), 1 / x
    for k, value in reversed(list(enumerate(BERNOULLI, 1))):
        total = total * inverse * inverse + value / (2 * k * (2 * k - 1))
    return (x - 0.5) * np.log(x) - x + 0.5 * math.log(2 * math.pi) + total * inverse


def _sin_pi(x: Array) -> Array:
    """sin(pi x), exact in the reduction."""
    rest = x - 2 * np.rint(x / 2)
    return np.asarray(np.sin(np.pi * np.where(np.abs(rest) > 0.5, np.copysign(1, rest) - rest, rest)))


def lgamma(x: Array) -> Array:
    """log |Gamma(x)|, infinite at 0, -1, -2, ...; below 0 by reflection (DLMF 5.5.3)."""

    def reflected(t: Array) -> Array:
        return np.log(np.pi / np.abs(_sin_pi(t))) - _lgamma_positive(1 - t)

    out = _parts(x, x > 0, _lgamma_positive, reflected)
    return np.where(np.isinf(x) | ((x <= 0) & (x == np.floor(x))), np.inf, out)


def digamma(x: Array) -> Array:
    """The derivative of lgamma; NaN at 0, -1, -2, ...."""
    return polygamma(0, x)


def polygamma(order: int, x: Array) -> Array:
    """The derivative of lgamma of order + 1; NaN at 0, -1, -2, ...; below 0 by reflection (DLMF 5.15.6)."""
    out = _parts(x, x > 0, lambda t: _polygamma_positive(order, t), lambda t: _polygamma_reflected(order, t))
    return np.where((x <= 0) & (x == np.floor(x)), np.nan, out)


def _polygamma_reflected(order: int, x: Array) -> Array:
    # The derivatives of pi cot(pi x) are polynomials in c = cot(pi x): c' = -pi (1 + c^2).
    cotangent = Polynomial([0.0, math.pi])
    for _ in range(order):
        cotangent = cotangent.deriv() * Polynomial([-math.pi, 0.0, -math.pi])
    fraction = x - np.rint(x)
    return np.asarray((-1) ** order * _polygamma_positive(order, 1 - x) - cotangent(1 / np.tan(np.pi * fraction)))


def _polygamma_positive(order: int, x: Array) -> Array:
    """By the recurrence up to FAR + order, then by Stirling's series (DLMF 5.15.5, 5.15.8)."""
    sign, factorial = (-1) ** (order + 1), math.factorial(order)
    total, t, goal = np.zeros_like(x), x.copy(), FAR + order
    for _ in range(int(goal)):
        below = t < goal
        total = np.where(below, total + sign * factorial * t ** -(order + 1.0), total)
        t = np.where(below, t + 1, t)
    inverse = 1 / t
    series = np.zeros_like(t)
    for k, value in reversed(list(enumerate(BERNOULLI, 1))):
        series = series * inverse * inverse + value * math.factorial(2 * k + order - 1) / math.factorial(2 * k)
    series = series * inverse ** (order + 2)
    if order == 0:
        return total + np.log(t) - inverse / 2 - series
    leading = math.factorial(order - 1) * inverse**order + factorial / 2 * inverse ** (order + 1)
    return np.asarray(total + sign * (leading + series))


def spherical_jn(order: int, x: Array) -> Array:
    """The spherical Bessel function: its power series near 0 (DLMF 10.53.1), the recurrence upwards elsewhere."""
    size = np.abs(x)
    values = _parts(size, size < order + 2, lambda t: _bessel_near(order, t), lambda t: _bessel_far(order, t))
    return values * np.sign(x) if order % 2 else values


def _bessel_near(order: int, x: Array) -> Array:
    term = x**order / math.prod(range(1, 2 * order + 2, 2))
    total, square = term.copy(), x * x / 2
    for k in range(1, 20 + order):
        term = term * -square / (k * (2 * order + 2 * k + 1))
        total += term
    return total


def _bessel_far(order: int, x: Array) -> Array:
    before, here = np.cos(x) / x, np.sin(x) / x
    for n in range(order):
        before, here = here, (2 * n + 1) / x * here - before
    return np.where(np.isinf(x), 0, here)


def lifted(function: Callable[[Array], Array]) -> Callable[..., Any]:
    """The function for arrays of any shape and float type, with an optional `out`."""

    def call(x: Any, out: Any = None) -> Any:
        given = np.asarray(x)
        with np.errstate(all="ignore"):
            values = function(np.ascontiguousarray(given, dtype=np.float64).reshape(-1))
        return _into(values.reshape(given.shape), given.dtype, out)

    return call


def by_order(function: Callable[[int, Array], Array]) -> Callable[..., Any]:
    """The function of a whole number and an array, for arrays of both; NaN where the number is below 0."""

    def call(order: Any, x: Any, out: Any = None) -> Any:
        orders, given = np.broadcast_arrays(np.asarray(order), np.asarray(x))
        values = np.empty(given.shape)
        with np.errstate(all="ignore"):
            for one in np.unique(orders):
                here = orders == one
                values[here] = function(int(one), given[here].astype(np.float64)) if one >= 0 else np.nan
        return _into(values, np.asarray(x).dtype, out)

    return call


def _into(values: Array, dtype: Any, out: Any) -> Any:
    if out is None:
        return values.astype(dtype, copy=False)
    out[...] = values
    return out
