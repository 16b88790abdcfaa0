"""Float scalars: NumPy's float64 and float32, the functions that NumPy lacks, and constants rounded once."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from typing import Any, TypeAlias

import numpy as np
from gradproof.compiler.denote import Env, Irrational, Rationals, Undefined, evaluate, holds
from gradproof.compiler.functions import FUNCTIONS
from gradproof.compiler.terms import Cond, Term
from gradproof.runtime import special
from gradproof.runtime.externs import run_floats
from gradproof.runtime.special import lifted
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Binding:
    """What a program's names stand for in a run: sizes and integer attributes; real attributes."""

    ints: Mapping[str, int]
    reals: Mapping[str, Fraction]

    def env(self, num: Callable[[Fraction], Any]) -> Env:
        """An environment in which constants are evaluated; reals through `num`."""

        def real(name: str, index: tuple[int, ...]) -> Any:
            return num(self.reals[name])

        def nothing(name: str, index: tuple[int, ...]) -> Any:
            raise KeyError(name)

        return Env(self.ints, real, nothing, nothing)


@cache
def ufunc(fn: str) -> Callable[..., Any]:
    """The function of floats called `fn`, taking an optional last argument `out`."""
    name = FUNCTIONS[fn].ufunc
    return OWN[name] if name in OWN else getattr(np, name)


def _sigmoid(x: Any, out: Any = None) -> Any:
    out = np.negative(x, out)
    out = np.exp(out, out if isinstance(out, np.ndarray) else None)
    out = np.add(out, 1, out if isinstance(out, np.ndarray) else None)
    return np.divide(1, out, out if isinstance(out, np.ndarray) else None)


def _pi(out: Any = None) -> Any:
    if out is None:
        return np.float64(math.pi)
    out[...] = math.pi
    return out


OWN: dict[str, Callable[..., Any]] = {
    "own.sigmoid": _sigmoid,
    "own.pi": _pi,
    "own.erf": lifted(special.erf),
    "own.erfc": lifted(special.erfc),
    "own.erfinv": lifted(special.erfinv),
    "own.lgamma": lifted(special.lgamma),
    "own.digamma": lifted(special.digamma),
    "own.polygamma": special.by_order(special.polygamma),
    "own.spherical_jn": special.by_order(special.spherical_jn),
}


class FloatField(Rationals):
    """Constants as floats, for those that are not rational."""

    def num(self, value: Fraction) -> Any:
        return np.float64(value)

    def power(self, base: Any, exponent: int) -> Any:
        return base ** np.float64(exponent)

    def call(self, fn: str, args: tuple[Any, ...]) -> Any:
        return ufunc(fn)(*args)

    def compare(self, rel: str, a: Any, b: Any) -> bool:
        return bool(COMPARE[rel](a, b))


class Floats:
    """NumPy's float64 or float32. Undefined is NaN or an infinity; only an extern without a result raises."""

    exact = False

    def __init__(self, name: str) -> None:
        self.name = name
        self.dtype: np.dtype[Any] = np.dtype(name)

    @contextmanager
    def context(self) -> Iterator[None]:
        """Silence NumPy's warnings for the time of a run."""
        with np.errstate(all="ignore"):
            yield

    def constant(self, term: Term, binding: Binding) -> Any:
        """A constant, rounded once from its exact value where that is rational."""
        try:
            return self.dtype.type(_rational(evaluate(term, binding.env(Fraction), Rationals())))
        except Undefined:
            return self.dtype.type("nan")
        except (Irrational, OverflowError):
            with np.errstate(all="ignore"):
                return self.dtype.type(evaluate(term, binding.env(np.float64), FloatField()))

    def truth(self, cond: Cond, binding: Binding) -> bool:
        """A constant condition."""
        return bool(constant_truth(cond, binding))

    def array(self, values: Any) -> Array:
        """An array of these scalars."""
        return np.asarray(values, dtype=self.dtype)

    def zeros(self, shape: Sequence[int]) -> Array:
        """Zeros."""
        return np.zeros(shape, self.dtype)

    def map(self, name: str, args: Sequence[Any]) -> Any:
        """add, sub, mul, div, neg."""
        return MAPS[name](*args)

    def pow(self, base: Any, exponent: int) -> Any:
        """An integer power."""
        if exponent < 0:
            return np.divide(self.dtype.type(1), self.pow(base, -exponent))
        result = base
        for bit in bin(exponent)[3:]:
            result = np.multiply(result, result)
            if bit == "1":
                result = np.multiply(result, base)
        return result

    def call(self, fn: str, args: Sequence[Any]) -> Any:
        """A named function."""
        return np.asarray(ufunc(fn)(*args)).astype(self.dtype, copy=False)

    def compare(self, rel: str, a: Any, b: Any) -> Any:
        """a rel b."""
        return COMPARE[rel](a, b)

    def select(self, cond: Any, then: Any, other: Any) -> Any:
        """A choice entry by entry."""
        return np.where(cond, then, other).astype(self.dtype, copy=False)

    def cast(self, values: Array) -> Array:
        """Integers as reals."""
        return values.astype(self.dtype)

    def whole(self, values: Array) -> Array:
        """Reals that are integers as integers; what has no value becomes some integer."""
        return np.asarray(values).astype(np.int64)

    def fold(self, kind: str, values: Array, guard: Array | None, axes: tuple[int, ...]) -> Any:
        """A reduction over axes where guard holds; the maximum of nothing is an infinity."""
        values = np.asarray(values)
        neutral = IDENTITY[kind]
        if guard is not None:
            values = np.where(guard, values, self.dtype.type(neutral))
        if kind in ("max", "min"):
            return FOLD[kind].reduce(values, axis=axes, initial=neutral)
        return FOLD[kind].reduce(values, axis=axes)

    def extern(self, kernel: str, args: Sequence[Array], shape: Sequence[int]) -> Array:
        """What an extern makes of whole arrays; Undefined where it has no result, which nothing has proved before."""
        return run_floats(kernel, args) if math.prod(shape) else self.zeros(shape)

    def check(self, values: Array) -> Array:
        """The result of a run, fit to be handed out."""
        return np.asarray(values, dtype=self.dtype)


FOLD = {"sum": np.add, "prod": np.multiply, "max": np.maximum, "min": np.minimum}
IDENTITY = {"sum": 0.0, "prod": 1.0, "max": -math.inf, "min": math.inf}
COMPARE: dict[str, Any] = {"<": np.less, "<=": np.less_equal, "==": np.equal}
MAPS: dict[str, Any] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.divide,
    "neg": np.negative,
}


def _rational(value: Fraction) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.copysign(math.inf, value)


def constant_truth(cond: Cond, binding: Binding) -> bool:
    try:
        return bool(holds(cond, binding.env(Fraction), Rationals()))
    except Irrational:
        return bool(holds(cond, binding.env(np.float64), FloatField()))


FLOAT64 = Floats("float64")
FLOAT32 = Floats("float32")
