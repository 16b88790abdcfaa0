"""Contractions on strided arrays: BLAS wherever the labels and strides allow it, after one copy where they don't.

A contraction's labels fall into four groups: in both factors and the result (batch), in one factor and the result
(rows, columns), in both factors only (inner). Each group is merged into one axis.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from math import prod
from typing import Any

import numpy as np
from gradproof.runtime.scalars import Array
from numpy.lib.stride_tricks import as_strided

Call = Callable[[], Any]


def copying(into: Array, source: Array) -> Call:
    """The call that copies source into an array (by a method: NumPy's functions look for overrides first)."""
    return partial(into.__setitem__, ..., source)


def merged(array: Array, groups: Sequence[Sequence[int]]) -> Array | None:
    """The array with each group of axes made one, without a copy; None where the strides don't allow it."""
    shape, strides = [], []
    for group in groups:
        axes = [k for k in group if array.shape[k] != 1]
        for outer, inner in pairwise(axes):
            if array.strides[outer] != array.strides[inner] * array.shape[inner]:
                return None
        shape.append(prod(array.shape[k] for k in group))
        strides.append(array.strides[axes[-1]] if axes else array.itemsize)
    return as_strided(array, tuple(shape), tuple(strides))


def blas_ready(array: Array) -> bool:
    """Whether the last two axes are a matrix as BLAS takes it, by rows or by columns."""
    rows, columns = array.shape[-2:]
    down, along = array.strides[-2:]
    item = array.itemsize
    by_rows = (along == item or columns == 1) and (rows == 1 or (down >= columns * item and down % item == 0))
    by_columns = (down == item or rows == 1) and (columns == 1 or (along >= rows * item and along % item == 0))
    return by_rows or by_columns


def contract(a: Array, b: Array, out: Array, labels: tuple[frozenset[int], frozenset[int]]) -> list[Call]:
    """Calls that set `out` to the sum over the labels that it lacks of a * b; `labels` says which ones a and b have.

    a and b have an axis for every label, out for the first ones.
    """
    rank, count = out.ndim, a.ndim
    in_a, in_b = labels
    if out.size == 0:
        return []
    if 0 in a.shape or 0 in b.shape:
        return [partial(out.fill, 0)]
    inner = list(range(rank, count))
    batch = [k for k in range(rank) if k in in_a and k in in_b]
    rows = [k for k in range(rank) if k in in_a and k not in in_b]
    columns = [k for k in range(rank) if k in in_b and k not in in_a]
    alone = [k for k in range(rank) if k not in in_a and k not in in_b]
    if alone or not inner or (batch and not rows and not columns):
        return [_einsum(a, b, out, labels)]
    calls: list[Call] = []
    left = _matrix(_only(a, in_a), a, (batch, rows, inner), calls)
    right = _matrix(_only(b, in_b), b, (batch, inner, columns), calls)
    result = merged(out, (batch, rows, columns))
    after: list[Call] = []
    if result is None or not blas_ready(result):
        room = np.empty([prod(out.shape[k] for k in group) for group in (batch, rows, columns)], out.dtype)
        order = [*batch, *rows, *columns]
        after.append(copying(out.transpose(order), room.reshape([out.shape[k] for k in order])))
        result = room
    if batch:
        calls.append(partial(np.matmul, left, right, result))
    elif result.shape[1:] == (1, 1):
        calls.append(partial(left[0, 0].dot, right[0, :, 0], result.reshape(())))
    elif result.shape[2] == 1:
        calls.append(partial(left[0].dot, right[0, :, 0], result[0, :, 0]))
    elif result.shape[1] == 1:
        calls.append(partial(left[0, 0].dot, right[0], result[0, 0]))
    elif result[0].flags.c_contiguous:
        calls.append(partial(left[0].dot, right[0], result[0]))
    elif result[0].T.flags.c_contiguous:
        calls.append(partial(right[0].T.dot, left[0].T, result[0].T))
    else:
        calls.append(partial(np.matmul, left[0], right[0], result[0]))
    return calls + after


def _only(array: Array, inside: frozenset[int]) -> Array:
    """The first slice of every axis that the factor does not depend on."""
    return array[tuple(slice(None) if k in inside else slice(0, 1) for k in range(array.ndim))]


def _matrix(view: Array, whole: Array, groups: Sequence[Sequence[int]], calls: list[Call]) -> Array:
    """The factor as batch x rows x columns for BLAS; where strides forbid it, a copy is added to the calls."""
    found = merged(view, groups)
    if found is not None and blas_ready(found):
        return found
    room = np.empty([prod(view.shape[k] for k in group) for group in groups], whole.dtype)
    order = [k for group in groups for k in group]
    rest = [k for k in range(view.ndim) if k not in order]
    source = view.transpose([*rest, *order])[(0,) * len(rest)]
    calls.append(copying(room.reshape(source.shape), source))
    return room


def _einsum(a: Array, b: Array, out: Array, labels: tuple[frozenset[int], frozenset[int]]) -> Call:
    arrays: list[Any] = []
    for array, inside in ((a, labels[0]), (b, labels[1])):
        index = tuple(slice(None) if k in inside else 0 for k in range(array.ndim))
        arrays += [array[index], sorted(inside)]
    return partial(np.einsum, *arrays, list(range(out.ndim)), out=out)


def total(a: Array, out: Array) -> Call | None:
    """A sum over the trailing axes that out lacks, as a product with ones; None where it is no matrix for BLAS."""
    rank = out.ndim
    if a.ndim == rank or a.size == 0 or not out.flags.c_contiguous:
        return None
    matrix = merged(a, (range(rank), range(rank, a.ndim)))
    if matrix is None or not blas_ready(matrix):
        return None
    ones = np.ones(matrix.shape[1], a.dtype)
    if rank == 0:
        return partial(matrix[0].dot, ones, out)
    return partial(matrix.dot, ones, out.reshape(-1))
