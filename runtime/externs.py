"""Kernels that no formula gives, by name: what an operator's `extern` runs. Trusted to have the laws that it declares.

A kernel takes whole arrays and returns one; axes in front of the last ones are a batch. It has a form for floats
(NumPy) and, where there is one, a form over any exact scalars, which needs only the field's own operations. Where there
is no result it raises Undefined: that there is one is checked on every run, not proved.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, TypeAlias

import numpy as np
from gradproof.compiler.denote import Field, Irrational, Undefined
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]
Matrix: TypeAlias = list[list[Any]]


@dataclass(frozen=True, slots=True)
class ExternKernel:
    """`floats` takes NumPy arrays; `exact` takes the scalars' field and object arrays of them (None: no such form)."""

    name: str
    floats: Callable[..., Array]
    exact: Callable[..., Array] | None
    doc: str


class ExternError(ValueError):
    """No kernel has this name, or it does not take arrays of these shapes."""


EXTERNS: dict[str, ExternKernel] = {}


def register_extern(kernel: ExternKernel) -> None:
    """Add a kernel; ValueError where the name is taken. Every result that leans on it says that it is trusted."""
    if kernel.name in EXTERNS:
        raise ValueError(f"there is an extern called {kernel.name!r} already")
    EXTERNS[kernel.name] = kernel


def extern(name: str) -> ExternKernel:
    """The kernel of this name; ExternError where there is none."""
    if name not in EXTERNS:
        raise ExternError(f"no extern is called {name!r}; there are: {', '.join(sorted(EXTERNS))}")
    return EXTERNS[name]


def run_floats(name: str, args: Sequence[Array]) -> Array:
    """A kernel on floats; Undefined where it has no result."""
    try:
        return np.asarray(extern(name).floats(*args))
    except np.linalg.LinAlgError as error:
        raise Undefined(f"{name}: {str(error).lower()}") from None


def run_exact(name: str, field: Field, args: Sequence[Array]) -> Array:
    """A kernel on exact scalars; Undefined where it has no result, Irrational where it has no exact form."""
    kernel = extern(name)
    if kernel.exact is None:
        raise Irrational(f"{name} has no exact form")
    try:
        return kernel.exact(field, *args)
    except (ValueError, IndexError, TypeError) as error:
        shapes = " and ".join(str(list(a.shape)) for a in args)
        raise ExternError(f"{name} does not take arrays of the shapes {shapes}: {error}") from None


# Exact linear algebra by the method of Faddeev and LeVerrier (Horn and Johnson, Matrix Analysis, 0.8 and 2.4): ring
# operations and divisions by integers only, so nothing has to be compared with 0 but the determinant.


def _adjugate(field: Field, a: Matrix) -> tuple[Any, Matrix]:
    """The determinant and the adjugate: a adj(a) = det(a) I."""
    n = len(a)
    zero, one = field.num(Fraction(0)), field.num(Fraction(1))
    last, coefficient = [[zero] * n for _ in range(n)], one
    for k in range(1, n + 1):
        moved = _product(field, a, last)
        last = [[moved[i][j] + coefficient if i == j else moved[i][j] for j in range(n)] for i in range(n)]
        again = _product(field, a, last)
        trace = zero
        for i in range(n):
            trace = trace + again[i][i]
        coefficient = trace * field.num(Fraction(-1, k))
    even = field.num(Fraction((-1) ** n))
    odd = field.num(Fraction(-((-1) ** n)))
    return coefficient * even, [[entry * odd for entry in row] for row in last]


def _product(field: Field, a: Matrix, b: Matrix) -> Matrix:
    out: Matrix = []
    for row in a:
        line = []
        for j in range(len(b[0]) if b else 0):
            total = field.num(Fraction(0))
            for left, right in zip(row, b, strict=True):
                total = total + left * right[j]
            line.append(total)
        out.append(line)
    return out


def _inverse(field: Field, a: Matrix) -> Matrix:
    determinant, adjugate = _adjugate(field, a)
    try:
        scale = field.power(determinant, -1)
    except Undefined:
        raise Undefined("the matrix is singular") from None
    return [[entry * scale for entry in row] for row in adjugate]


def _cholesky(field: Field, a: Matrix) -> Matrix:
    """The lower triangular root of the symmetric part, row by row."""
    n, half, zero = len(a), field.num(Fraction(1, 2)), field.num(Fraction(0))
    root = [[zero] * n for _ in range(n)]
    for i in range(n):
        for j in range(i + 1):
            rest = (a[i][j] + a[j][i]) * half
            for k in range(j):
                rest = rest + -(root[i][k] * root[j][k])
            if i == j and field.compare("<=", rest, zero):
                raise Undefined("the matrix is not positive definite")
            root[i][j] = field.call("sqrt", (rest,)) if i == j else rest * field.power(root[j][j], -1)
    return root


def _each(work: Callable[..., Any], rank: int, *ranks: int) -> Callable[..., Array]:
    """A function of matrices and vectors, lifted over a batch; the results have `rank` axes, the arguments `ranks`."""

    def lifted(field: Field, *args: Array) -> Array:
        batch = args[0].shape[: args[0].ndim - ranks[0]]
        if args[0].shape[-1] != args[0].shape[-2]:
            raise ValueError("the matrix is not square")
        inner = args[-1].shape[len(batch) :] if rank else ()
        out = np.empty((*batch, *inner), object)
        for at in np.ndindex(batch):
            result = work(field, *(_lists(a[at], r) for a, r in zip(args, ranks, strict=True)))
            for position in np.ndindex(inner):
                entry = result
                for k in position:
                    entry = entry[k]
                out[(*at, *position)] = entry
        return out

    return lifted


def _lists(array: Any, rank: int) -> Any:
    if rank == 0:
        return array
    return [_lists(entry, rank - 1) for entry in array]


def _solve(field: Field, a: Matrix, b: Matrix) -> Matrix:
    return _product(field, _inverse(field, a), b)


def _solve_vector(field: Field, a: Matrix, b: list[Any]) -> list[Any]:
    return [row[0] for row in _solve(field, a, [[entry] for entry in b])]


def _log_abs_det(field: Field, a: Matrix) -> Any:
    determinant, _ = _adjugate(field, a)
    if field.compare("==", determinant, field.num(Fraction(0))):
        raise Undefined("the matrix is singular")
    return field.call("log", (field.call("abs", (determinant,)),))


def _sign_of_det(field: Field, a: Matrix) -> Any:
    return field.call("sign", (_adjugate(field, a)[0],))


def _cofactor(field: Field, a: Matrix) -> Matrix:
    _, adjugate = _adjugate(field, a)
    return [list(column) for column in zip(*adjugate, strict=True)]


# Floats.


def _float_vector(a: Array, b: Array) -> Array:
    return np.asarray(np.linalg.solve(a, b[..., None])[..., 0])


def _float_cholesky(a: Array) -> Array:
    return np.asarray(np.linalg.cholesky((a + np.swapaxes(a, -1, -2)) / 2))


def _float_log_abs_det(a: Array) -> Array:
    value = np.asarray(np.linalg.slogdet(a)[1])
    if np.isneginf(value).any():
        raise np.linalg.LinAlgError("Singular matrix")
    return value


def _float_cofactor(a: Array) -> Array:
    """From the singular values, so that it is right for singular matrices too: cof(u s v) = cof(u) cof(s) cof(v)."""
    u, s, v = np.linalg.svd(a)
    signs = np.linalg.det(u) * np.linalg.det(v)
    n = a.shape[-1]
    others = np.stack([np.prod(np.delete(s, k, axis=-1), axis=-1) for k in range(n)], axis=-1) if n else s
    return np.asarray(signs[..., None, None] * (u * others[..., None, :]) @ v)


for _kernel in (
    ExternKernel("linalg.inv", np.linalg.inv, _each(_inverse, 2, 2), "the inverse of a matrix"),
    ExternKernel("linalg.solve", np.linalg.solve, _each(_solve, 2, 2, 2), "the solution x of a x = b, b a matrix"),
    ExternKernel(
        "linalg.solve_vector", _float_vector, _each(_solve_vector, 1, 2, 1), "the solution x of a x = b, b a vector"
    ),
    ExternKernel(
        "linalg.cholesky", _float_cholesky, _each(_cholesky, 2, 2), "the Cholesky factor of the symmetric part"
    ),
    ExternKernel("linalg.det", np.linalg.det, _each(lambda f, a: _adjugate(f, a)[0], 0, 2), "the determinant"),
    ExternKernel("linalg.logabsdet", _float_log_abs_det, _each(_log_abs_det, 0, 2), "log of the determinant's modulus"),
    ExternKernel(
        "linalg.slogdet_sign", lambda a: np.linalg.slogdet(a)[0], _each(_sign_of_det, 0, 2), "the determinant's sign"
    ),
    ExternKernel("linalg.cofactor", _float_cofactor, _each(_cofactor, 2, 2), "the matrix of cofactors"),
):
    register_extern(_kernel)
