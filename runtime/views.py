"""Operands as arrays: strided views of affine reads, zero padding, integer expressions, gathered positions.

Every view is checked against its register's bounds, exactly, before it is made.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from gradproof.compiler.denote import Undefined
from gradproof.compiler.dims import Entry, FloorDiv, Max, Min, Mod, Poly, Sym
from gradproof.compiler.kernels import Use, is_label
from gradproof.runtime.scalars import Array
from numpy.lib.stride_tricks import as_strided

Ints = Mapping[str, int]
Registers = Callable[[int], Array]


@dataclass(frozen=True, slots=True)
class AxisRead:
    """An affine index: offset + the sum of steps[k] * label k, and the least and greatest position it takes."""

    offset: int
    steps: tuple[int, ...]
    low: int
    high: int


def axis_read(poly: Poly, shape: Sequence[int], ints: Ints) -> AxisRead:
    """An affine index over labels below `shape` (all positive), with sizes known."""
    name = poly.as_symbol
    steps = [0] * len(shape)
    offset = 0
    if name is not None and is_label(name):
        steps[int(name[1:])] = 1
    else:
        for monomial, coefficient in poly.terms:
            position = None
            for atom, exponent in monomial:
                if isinstance(atom, Sym) and is_label(atom.name):
                    position = int(atom.name[1:])
                else:
                    coefficient *= Poly.atom(atom).evaluate(ints) ** exponent
            if position is None:
                offset += coefficient
            else:
                steps[position] += coefficient
    reach = [step * (n - 1) for step, n in zip(steps, shape, strict=True)]
    return AxisRead(
        offset, tuple(steps), offset + sum(min(r, 0) for r in reach), offset + sum(max(r, 0) for r in reach)
    )


@dataclass(frozen=True, slots=True)
class View:
    """An operand as an array with one axis a label. `copies` must be redone, in order, when the register changes."""

    array: Array
    copies: tuple[tuple[Array, Array], ...] = ()  # (destination, source)


def view(source: Array, use: Use, shape: Sequence[int], ints: Ints, zero: Any = 0) -> View:
    """The affine read of a contiguous array as a view of `shape`; Undefined where it leaves the bounds unpadded."""
    shape = tuple(shape)
    if 0 in shape:
        return View(np.empty(shape, source.dtype))
    reads = [axis_read(p, shape, ints) for p in use.index]
    inside = all(r.low >= 0 and r.high < n for r, n in zip(reads, source.shape, strict=True))
    if inside:
        return View(_strided(source, reads, shape, [0] * len(reads)))
    if not use.padded:
        where = ", ".join(f"{r.low}..{r.high} of {n}" for r, n in zip(reads, source.shape, strict=True))
        raise Undefined(f"a read out of bounds: {where}")
    room = np.empty(tuple(r.high - r.low + 1 for r in reads), source.dtype)
    room[...] = zero
    into, outof = [], []
    for r, n in zip(reads, source.shape, strict=True):
        first, last = max(r.low, 0), min(r.high, n - 1)
        if last < first:
            return View(_strided(room, reads, shape, [r.low for r in reads]))
        into.append(slice(first - r.low, last - r.low + 1))
        outof.append(slice(first, last + 1))
    copy = (room[tuple(into)], source[tuple(outof)])
    return View(_strided(room, reads, shape, [r.low for r in reads]), (copy,))


def along(axis: int, shape: Sequence[int]) -> Array:
    """The places 0, 1, ... along an axis, broadcastable to `shape`."""
    return np.arange(shape[axis], dtype=np.int64).reshape([-1 if k == axis else 1 for k in range(len(shape))])


def _strided(source: Array, reads: Sequence[AxisRead], shape: tuple[int, ...], origin: Sequence[int]) -> Array:
    strides = [0] * len(shape)
    start = 0
    for read, stride, base in zip(reads, source.strides, origin, strict=True):
        start += (read.offset - base) * stride
        for k, step in enumerate(read.steps):
            strides[k] += step * stride
    if source.dtype != object and source.flags.c_contiguous:
        return np.ndarray(shape, source.dtype, source, start, tuple(strides))
    return as_strided(source.reshape(-1)[start // source.itemsize :], shape, tuple(strides))


def integers(poly: Poly, shape: Sequence[int], ints: Ints, registers: Registers) -> Array:
    """The values of an integer expression over labels, broadcastable to `shape`; Undefined out of bounds."""
    rank = len(shape)
    total: Any = np.zeros((1,) * rank, np.int64)
    for monomial, coefficient in poly.terms:
        value: Any = np.full((1,) * rank, coefficient, np.int64)
        for atom, exponent in monomial:
            factor = _atom(atom, shape, ints, registers)
            for _ in range(exponent):
                value = value * factor
        total = total + value
    return np.asarray(total)


def _atom(atom: Any, shape: Sequence[int], ints: Ints, registers: Registers) -> Any:
    match atom:
        case Sym(name) if is_label(name):
            k = int(name[1:])
            return np.arange(shape[k], dtype=np.int64).reshape([-1 if j == k else 1 for j in range(len(shape))])
        case Sym(name):
            return ints[name]
        case FloorDiv(a, b):
            with np.errstate(divide="ignore"):
                return integers(a, shape, ints, registers) // integers(b, shape, ints, registers)
        case Mod(a, b):
            with np.errstate(divide="ignore"):
                return integers(a, shape, ints, registers) % integers(b, shape, ints, registers)
        case Min(a, b):
            return np.minimum(integers(a, shape, ints, registers), integers(b, shape, ints, registers))
        case Max(a, b):
            return np.maximum(integers(a, shape, ints, registers), integers(b, shape, ints, registers))
        case Entry(tensor, index):
            return gathered(registers(int(tensor[1:])), index, shape, ints, registers, padded=True)
    raise TypeError(atom)


def gathered(
    source: Array, index: Sequence[Poly], shape: Sequence[int], ints: Ints, registers: Registers, padded: bool
) -> Array:
    """The entries of a register at any positions; out of bounds it is 0 where `padded`, otherwise Undefined."""
    if not index:
        return source.reshape((1,) * len(shape))
    positions = np.broadcast_arrays(*(integers(p, shape, ints, registers) for p in index))
    valid = np.ones(positions[0].shape, bool)
    for position, n in zip(positions, source.shape, strict=True):
        valid &= (position >= 0) & (position < n)
    if valid.all():
        return np.asarray(source[tuple(positions)])
    if not padded:
        raise Undefined("a gathered position is out of bounds")
    out = np.empty(valid.shape, source.dtype)
    out[...] = 0
    where = np.nonzero(valid)
    out[where] = source[tuple(p[where] for p in positions)]
    return out
