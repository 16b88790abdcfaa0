"""Gathers and scatters whose positions follow from the sizes: slices where they are steps, else worked out once."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import product
from typing import Any

import numpy as np
from gradproof.compiler.denote import Undefined
from gradproof.compiler.dims import Poly
from gradproof.compiler.kernels import Use, affine, is_label
from gradproof.runtime.contraction import Call, copying
from gradproof.runtime.scalars import Array
from gradproof.runtime.views import Ints, axis_read, integers

MANY = 4096  # so many slices at most are added one by one


def _none(reg: int) -> Array:
    raise TypeError(f"register {reg} is not known when the plan is bound")


def fixed_gather(source: Array, use: Use, shape: tuple[int, ...], out: Array, ints: Ints) -> list[Call]:
    """Calls that set `out` to the entries of a contiguous array at positions made of labels and sizes."""
    where: Any = np.zeros((1,) * len(shape), np.int64)
    valid: Any = np.ones((1,) * len(shape), bool)
    for poly, stride, size in zip(use.index, source.strides, source.shape, strict=True):
        position = integers(poly, shape, ints, _none)
        valid = valid & (position >= 0) & (position < size)
        where = where + position * (stride // source.itemsize)
    if not valid.all() and not use.padded:
        raise Undefined("a gathered position is out of bounds")
    if source.size == 0:
        return [partial(out.fill, 0)]
    spread = np.ascontiguousarray(np.broadcast_to(where, shape)).reshape(shape)  # of no axes it makes one
    calls: list[Call] = [partial(source.reshape(-1).take, spread, None, out, "clip")]
    if not valid.all():
        outside = np.ascontiguousarray(np.broadcast_to(~valid, shape))
        calls.append(partial(np.copyto, out, out.dtype.type(0), where=outside))
    return calls


def scatter(source: Array, out: Array, axis: int, positions: Array | Callable[[], Array]) -> Call:
    """The call that adds the entries of `source` (an axis a label, 1 at `axis`) to `out` at positions on that axis."""
    inner, extent = source.shape, out.shape[axis]
    base = np.zeros((1,) * len(inner), np.int64)
    for k in range(out.ndim):
        if k != axis:
            steps = np.arange(inner[k]) * (out.strides[k] // out.itemsize)
            base = base + steps.reshape([-1 if j == k else 1 for j in range(len(inner))])
    stride = out.strides[axis] // out.itemsize
    flat = out.reshape(-1)

    def places(given: Array) -> tuple[Any, Any]:
        where = np.broadcast_to(given, inner)
        inside = (where >= 0) & (where < extent)
        target = np.broadcast_to(base + where * stride, inner)
        return (target.reshape(-1), None) if inside.all() else (target[inside], inside)

    def add(target: Any, inside: Any) -> None:
        np.add.at(flat, target, source.reshape(-1) if inside is None else source[inside])

    if callable(positions):
        return lambda: add(*places(positions()))
    return partial(add, *places(positions))


def scatter_slices(
    source: Array, out: Array, axis: int, poly: Poly, shape: tuple[int, ...], ints: Ints
) -> list[Call] | None:
    """A scatter at positions that are affine in the labels: one bound label runs along slices, the others are few.

    A window of k entries at steps of s is k slices of `out` at steps of s. None where this is not the scatter's form.
    """
    rank = out.ndim
    bound = range(rank, len(shape))
    if not affine(poly, filter(is_label, poly.symbols)) or any(f"${k}" in poly.symbols for k in range(rank)):
        return None
    read = axis_read(poly, shape, ints)
    along = max(bound, key=lambda k: (read.steps[k] > 0) * shape[k], default=None)
    if along is None or read.steps[along] <= 0:
        return None
    others = [k for k in bound if k != along]
    if np.prod([shape[k] for k in others], initial=1) > MANY:
        return None
    calls: list[Call] = []
    for place in product(*(range(shape[k]) for k in others)):
        start = read.offset + sum(read.steps[k] * i for k, i in zip(others, place, strict=True))
        stride = read.steps[along]
        first = max(0, -(start // stride))
        last = min(shape[along], -((start - shape[axis]) // stride))
        if last <= first:
            continue
        into = out[_at(rank, {axis: slice(start + first * stride, start + (last - 1) * stride + 1, stride)})]
        chosen: dict[int, Any] = {**dict(zip(others, place, strict=True)), along: slice(first, last)}
        given = np.moveaxis(source[_at(len(shape), {**chosen, axis: 0})], -1, axis)
        calls.append(copying(into, given) if not others else partial(np.add, into, given, into))
    return calls


def _at(rank: int, chosen: dict[int, Any]) -> tuple[Any, ...]:
    return tuple(chosen.get(k, slice(None)) for k in range(rank))
