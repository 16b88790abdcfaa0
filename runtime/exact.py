"""Scalars in object arrays: exact rationals, rigorous intervals, symbolic terms.

An entry that has no value (1/0, a comparison that an interval can't decide, an irrational function of a rational)
becomes a `Hole` that carries the reason: it may be computed where it is not used, and it raises where it is.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from typing import Any

import numpy as np
from gradproof.compiler.denote import Irrational, Rationals, Undecided, Undefined, evaluate, unroll
from gradproof.compiler.dims import Poly
from gradproof.compiler.functions import FUNCTIONS
from gradproof.compiler.rewriting import replace_reads
from gradproof.compiler.surds import Surd
from gradproof.compiler.terms import (
    BoolRead,
    Call,
    Cond,
    Num,
    Read,
    RealCmp,
    Term,
    add,
    both,
    either,
    mul,
    neg,
    negate,
    num,
    opaque,
    power,
    select,
    sub,
)
from gradproof.runtime.externs import run_exact
from gradproof.runtime.floats import Array, Binding, constant_truth

APPLIED: dict[str, tuple[str, tuple[Array, ...]]] = {}  # what the symbols of `uninterpreted` stand for, by name
FAILURES = (Undefined, Undecided, Irrational)


class Hole:
    """An entry without a value, and why."""

    __slots__ = ("error",)

    def __init__(self, error: ArithmeticError) -> None:
        self.error = error

    def __repr__(self) -> str:
        return f"Hole({self.error!r})"


class Terms(Rationals):
    """Symbolic scalars: terms, and conditions where they can't be decided."""

    def num(self, value: Fraction) -> Any:
        return num(value)

    def power(self, base: Any, exponent: int) -> Any:
        if isinstance(base, Num) and base.value == 0 and exponent < 0:
            raise Undefined("1 / 0")
        return power(base, exponent)

    def call(self, fn: str, args: tuple[Any, ...]) -> Any:
        if all(isinstance(a, Num) for a in args) and FUNCTIONS[fn].exact is not None:
            return num(super().call(fn, tuple(a.value for a in args)))
        return Call(fn, args)

    def compare(self, rel: str, a: Any, b: Any) -> Any:
        if isinstance(a, Num) and isinstance(b, Num):
            return super().compare(rel, a.value, b.value)
        return (rel != "<") if a == b else RealCmp(rel, a, b)

    def choose(self, cond: Any, then: Any, other: Any) -> Any:
        return select(cond, then, other)


class Objects:
    """Scalars in object arrays: every operation is lifted entry by entry, and holes pass through."""

    exact = True

    def __init__(self, name: str, field: Any, bits: int | None = None) -> None:
        self.name, self.field, self.bits = name, field, bits
        self.dtype: np.dtype[Any] = np.dtype(object)
        self._ufuncs: dict[str, Any] = {}

    @contextmanager
    def context(self) -> Iterator[None]:
        """Set the working precision for the time of a run."""
        if self.bits is None:
            yield
            return
        import flint

        before, flint.ctx.prec = flint.ctx.prec, self.bits
        try:
            yield
        finally:
            flint.ctx.prec = before

    def constant(self, term: Term, binding: Binding) -> Any:
        """A constant, or a hole where it has no value."""
        try:
            if self.name == "symbolic":
                return unroll(_with_reals(term, binding), binding.ints)
            return evaluate(term, binding.env(self.field.num), self.field)
        except FAILURES as error:
            return Hole(error)

    def truth(self, cond: Cond, binding: Binding) -> Any:
        """A constant condition."""
        try:
            return constant_truth(cond, binding)
        except FAILURES as error:
            return Hole(error)

    def array(self, values: Any) -> Array:
        """An array of these scalars, from numbers (floats exactly) or from such scalars."""
        given = np.asarray(values)
        if given.dtype == object:
            return given
        out = np.empty(given.shape, object)
        flat = out.reshape(-1)
        for k, value in enumerate(given.reshape(-1).tolist()):
            flat[k] = self.field.num(Fraction(value))
        return out

    def zeros(self, shape: Sequence[int]) -> Array:
        """Zeros."""
        out = np.empty(tuple(shape), object)
        out[...] = self.field.num(Fraction(0))
        return out

    def _apply(self, key: str, fn: Callable[..., Any], args: Sequence[Any]) -> Array:
        lifted = self._ufuncs.get(key)
        if lifted is None:
            lifted = self._ufuncs[key] = np.frompyfunc(_lifted(fn), len(args), 1)
        result = lifted(*(a if isinstance(a, np.ndarray) else _box(a) for a in args))
        return result if isinstance(result, np.ndarray) else _box(result)

    def map(self, name: str, args: Sequence[Any]) -> Array:
        """add, sub, mul, div, neg."""
        if name == "div":
            return self._apply("div", lambda a, b: self._plain("mul", a, self.field.power(b, -1)), args)
        return self._apply(name, lambda *values: self._plain(name, *values), args)

    def _plain(self, name: str, *values: Any) -> Any:
        if self.name == "symbolic":
            return _SYMBOLIC[name](*values)
        return _PLAIN[name](*values)

    def pow(self, base: Any, exponent: int) -> Array:
        """An integer power."""
        return self._apply(f"pow{exponent}", lambda a: self.field.power(a, exponent), [base])

    def call(self, fn: str, args: Sequence[Any]) -> Array:
        """A named function."""
        if not args:
            return self._apply(f"call {fn}", lambda _: self.field.call(fn, ()), [0])
        return self._apply(f"call {fn}", lambda *values: self.field.call(fn, values), args)

    def compare(self, rel: str, a: Any, b: Any) -> Array:
        """a rel b: booleans where all entries are."""
        return _booleans(self._apply(rel, lambda x, y: self.field.compare(rel, x, y), [a, b]))

    def select(self, cond: Any, then: Any, other: Any) -> Array:
        """A choice entry by entry; the entry that is not chosen may be a hole."""
        chosen = np.frompyfunc(self._choose, 3, 1)(cond, _boxed(then), _boxed(other))
        return chosen if isinstance(chosen, np.ndarray) else _box(chosen)

    def _choose(self, cond: Any, then: Any, other: Any) -> Any:
        if isinstance(cond, Hole):
            return cond
        if isinstance(cond, bool | np.bool_):
            return then if cond else other
        if isinstance(then, Hole) or isinstance(other, Hole):
            return then if isinstance(then, Hole) else other
        return self.field.choose(cond, then, other)

    def cast(self, values: Array) -> Array:
        """Integers as reals."""
        return self.array(values)

    def whole(self, values: Array) -> Array:
        """Reals that are integers as integers, where all are known; terms and holes stay what they are."""
        given = np.asarray(values, dtype=object)
        known = [self._integer(value) for value in given.reshape(-1)]
        if any(value is None for value in known):
            return given
        return np.array(known, dtype=np.int64).reshape(given.shape)

    def _integer(self, value: Any) -> int | None:
        if isinstance(value, Num):
            value = value.value
        if isinstance(value, Fraction):
            return int(value) if value.denominator == 1 else None
        if isinstance(value, Hole | Term | Surd):
            return None
        unique = value.unique_fmpz()
        return None if unique is None else int(unique)

    def fold(self, kind: str, values: Array, guard: Array | None, axes: tuple[int, ...]) -> Array:
        """A reduction over axes where guard holds, entry by entry in order."""
        shape = tuple(n for k, n in enumerate(values.shape) if k not in axes)
        flat = (*shape, math.prod(values.shape[k] for k in axes))
        last = range(-len(axes), 0)
        moved = np.moveaxis(values, axes, last).reshape(flat)
        guards = None
        if guard is not None:
            guards = np.moveaxis(np.broadcast_to(guard, values.shape), axes, last).reshape(flat)
        out = np.empty(shape, object)
        for position in itertools.product(*map(range, shape)):
            row = moved[position].tolist()
            out[position] = self._fold(kind, row, [True] * len(row) if guards is None else guards[position].tolist())
        return out

    def _fold(self, kind: str, values: list[Any], guards: list[Any]) -> Any:
        result: Any = None
        neutral = self.field.num(Fraction(kind == "prod"))
        for value, guard in zip(values, guards, strict=True):
            if guard is False:
                continue
            if isinstance(guard, Hole):
                return guard
            if guard is not True:
                if kind in ("max", "min"):
                    return Hole(Undecided("a maximum over a range that depends on real values"))
                value = self._choose(guard, value, neutral)
            if isinstance(value, Hole):
                return value
            result = value if result is None else self._combine(kind, result, value)
            if isinstance(result, Hole):
                return result
        if result is None:
            return Hole(Undefined(f"the {kind} of nothing")) if kind in ("max", "min") else neutral
        return result

    def _combine(self, kind: str, a: Any, b: Any) -> Any:
        try:
            if kind in ("max", "min"):
                return self.field.call(kind, (a, b))
            return self._plain("add" if kind == "sum" else "mul", a, b)
        except FAILURES as error:
            return Hole(error)

    def extern(self, kernel: str, args: Sequence[Array], shape: Sequence[int]) -> Array:
        """What an extern makes of whole arrays; uninterpreted for symbols, holes where it has no result."""
        if self.name == "symbolic":
            return uninterpreted(kernel, args, shape)
        for values in args:
            for value in values.reshape(-1):
                if isinstance(value, Hole):
                    return _filled(shape, value)
        try:
            return run_exact(kernel, self.field, args)
        except FAILURES as error:
            return _filled(shape, Hole(error))

    def check(self, values: Array) -> Array:
        """The result of a run; raises what its first hole says."""
        for value in np.asarray(values, dtype=object).reshape(-1):
            if isinstance(value, Hole):
                raise value.error
        return values


_PLAIN: dict[str, Callable[..., Any]] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "neg": lambda a: -a,
}
_SYMBOLIC: dict[str, Callable[..., Any]] = {"add": add, "sub": sub, "mul": mul, "neg": neg}


def connect(name: str, values: Sequence[Any]) -> Array:
    """and, or, not of truth values: booleans, symbolic conditions or holes. What decides it, decides it."""
    arrays = [np.asarray(v) for v in values]
    if all(a.dtype == bool for a in arrays):
        if name == "not":
            return np.asarray(np.logical_not(arrays[0]))
        return np.asarray((np.logical_and if name == "and" else np.logical_or)(*arrays))
    if name == "not":
        return _booleans(np.asarray(np.frompyfunc(_not, 1, 1)(arrays[0]), dtype=object))
    stop = name == "or"
    joined = np.frompyfunc(lambda a, b: _join(stop, a, b), 2, 1)(*(_boxed(a) for a in arrays))
    return _booleans(np.asarray(joined, dtype=object))


def _not(value: Any) -> Any:
    if isinstance(value, Hole):
        return value
    return not value if isinstance(value, bool | np.bool_) else negate(value)


def _join(stop: bool, a: Any, b: Any) -> Any:
    for value, other in ((a, b), (b, a)):
        if isinstance(value, bool | np.bool_):
            return stop if bool(value) is stop else other
    for value in (a, b):
        if isinstance(value, Hole):
            return value
    return either(a, b) if stop else both(a, b)


def _lifted(fn: Callable[..., Any]) -> Callable[..., Any]:
    def call(*values: Any) -> Any:
        for value in values:
            if type(value) is Hole:
                return value
        try:
            return fn(*values)
        except FAILURES as error:
            return Hole(error)

    return call


def _box(value: Any) -> Array:
    out = np.empty((), object)
    out[()] = value
    return out


def _boxed(value: Any) -> Array:
    return value.astype(object) if isinstance(value, np.ndarray) else _box(value)


def _booleans(values: Array) -> Array:
    if all(isinstance(v, bool | np.bool_) for v in values.reshape(-1)):
        return values.astype(bool)
    return values


def _with_reals(term: Term, binding: Binding) -> Term:
    return replace_reads(term, lambda read: num(binding.reals[read.tensor]))


def _filled(shape: Sequence[int], value: Any) -> Array:
    out = np.empty(tuple(shape), object)
    for position in np.ndindex(*shape):
        out[position] = value
    return out


def uninterpreted(kernel: str, args: Sequence[Array], shape: Sequence[int]) -> Array:
    """An extern's result for symbolic arguments: opaque symbols, the same ones for the same arguments."""
    given = "; ".join(repr(np.asarray(values, dtype=object).tolist()) for values in args)
    name = opaque(f"{kernel}({given})")
    APPLIED[name] = (kernel, tuple(args))
    return symbols(name, shape)


def symbols(name: str, shape: Sequence[int], kind: str = "real") -> Array:
    """An array of fresh symbolic entries: reads of `name` at every position (conditions where it is boolean)."""
    out = np.empty(tuple(shape), object)
    for position in itertools.product(*map(range, shape)):
        index = tuple(map(Poly.of, position))
        out[position] = Read(name, index) if kind == "real" else BoolRead(name, index)
    return out
