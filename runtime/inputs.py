"""Checks at the door: what a caller gives is what the graph was proved for; every refusal names input, index and value.

Names, element types, shapes against dims, and every `assume` are checked on each call; what was never assumed is not
looked at. Shapes that were seen before are not worked out again.
"""

from __future__ import annotations

import difflib
import math
import operator
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, TypeAlias

import numpy as np
from gradproof.compiler.dims import Poly
from gradproof.compiler.graph import Bound, Graph, Seeded, TensorType
from gradproof.runtime.seeded import generate
from gradproof.runtime.sizes import Declared, InputError, Sizes, fixed_dims, used_dims

Array: TypeAlias = Any  # a NumPy array; of objects for exact scalars
KNOWN_SHAPES = 256  # bindings that a door remembers

_RELATIONS = {"<": operator.lt, "<=": operator.le, "==": operator.eq, "!=": operator.ne}


@dataclass(frozen=True, slots=True)
class Inputs:
    """What passed the door: Γ in id order, Δ by name, the dims."""

    context: tuple[Array, ...]
    delta: Mapping[str, Array]
    dims: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class _Known:
    """The dims that certain shapes give, and for each `assume` the constant in it (None: it has none)."""

    dims: Mapping[str, int]
    constants: tuple[Any, ...]


class Door:
    """The checks for one graph. `dtype` is the element type that real inputs are brought to; None keeps objects."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self._gamma = tuple(Declared(n.name, n.type, None) for n in graph.gamma)
        self._delta = tuple(Declared(d.name, d.type, d.seeded) for d in graph.delta)
        self._declared = (*self._gamma, *self._delta)
        self._names = frozenset(d.name for d in self._declared)
        self._fixed, self._used = fixed_dims(graph), used_dims(graph)
        self._known: dict[object, _Known] = {}
        self._wants: dict[Any, tuple[Any, ...]] = {}

    def admit(self, given: Mapping[str, Any], dtype: Any = np.float64, dims: Mapping[str, int] | None = None) -> Inputs:
        """Check everything and return arrays; InputError says what is wrong. `dims` fixes dims that no shape shows."""
        if self._names != given.keys():
            self._check_names(given)
        arrays: dict[str, Array] = {}
        for d, wanted in zip(self._declared, self._wanted(dtype), strict=True):
            if d.name in given:
                value = given[d.name]
                ready = type(value) is np.ndarray and value.dtype == wanted
                arrays[d.name] = value if ready else to_array(d.name, value, d.type, dtype)
        known = self._bind(arrays, dims)
        for d in self._delta:
            if d.name not in arrays:
                arrays[d.name] = self._generate(d, known.dims, dtype)
            elif d.seeded is not None and d.type.kind == "real":
                _check_drawn(d.name, d.seeded, arrays[d.name])
        for bound, constant in zip(self.graph.assumes, known.constants, strict=True):
            if constant is None or not self._surely(bound, constant, arrays):
                self._check_assumed(bound, arrays, known.dims)
        return Inputs(
            tuple([arrays[d.name] for d in self._gamma]), {d.name: arrays[d.name] for d in self._delta}, known.dims
        )

    def _wanted(self, dtype: Any) -> tuple[Any, ...]:
        """The element types that need no conversion; None where every value is looked at."""
        if dtype not in self._wants:
            real = None if dtype is None else np.dtype(dtype)
            table = {"real": real, "bool": np.dtype(bool)}
            self._wants[dtype] = tuple(
                np.dtype(d.type.dtype.replace("i", "int")) if d.type.kind == "int" else table[d.type.kind]
                for d in self._declared
            )
        return self._wants[dtype]

    def admit_like(self, given: Mapping[str, Any], inputs: Inputs, dtype: Any, what: str) -> tuple[Array | None, ...]:
        """Tangents (or cotangents) of Γ by name, of the same shapes as the inputs; None for those not given."""
        known = {d.name: k for k, d in enumerate(self._gamma)}
        for name in given:
            if name not in known:
                advice = _closest(name, known)
                more = f"{name} is not differentiated" if name in self._names else f"no input is called {name}{advice}"
                raise InputError(f"{what} of {name}: {more}")
        out: list[Array | None] = []
        for d, value in zip(self._gamma, inputs.context, strict=True):
            out.append(None if d.name not in given else like(f"{what} of {d.name}", given[d.name], value.shape, dtype))
        return tuple(out)

    # Names.

    def _check_names(self, given: Mapping[str, Any]) -> None:
        for name in given:
            if name not in self._names:
                raise InputError(f"graph {self.graph.name} has no input {name}{_closest(name, self._names)}")
        missing = [d for d in self._declared if d.seeded is None and d.name not in given]
        if missing:
            needs = ", ".join(f"{d.name}: {d.type}" for d in missing)
            raise InputError(f"graph {self.graph.name} needs {needs}")

    # Shapes.

    def _bind(self, arrays: Mapping[str, Array], dims: Mapping[str, int] | None) -> _Known:
        """The dims that these shapes give; InputError where they disagree or break a bound."""
        shapes = tuple([array.shape for array in arrays.values()])
        key: object = shapes if len(shapes) == len(self._declared) else (shapes, tuple(arrays))
        known = None if dims else self._known.get(key)
        if known is not None:
            return known
        binding = Sizes(self._fixed, dims or {})
        for d in self._declared:
            if d.name in arrays:
                binding.meet(d, arrays[d.name].shape)
        binding.finish(self.graph, self._used)
        known = _Known(binding.dims, tuple(_constant(bound, binding.dims) for bound in self.graph.assumes))
        if not dims and len(self._known) < KNOWN_SHAPES:
            self._known[key] = known
        return known

    def _generate(self, declared: Declared, dims: Mapping[str, int], dtype: Any) -> Array:
        seeded = declared.seeded
        if seeded is None:
            raise InputError(f"graph {self.graph.name} needs {declared.name}: {declared.type}")
        shape = tuple(extent.evaluate(dims) for extent in declared.type.shape)
        return to_array(declared.name, generate(seeded, shape, declared.type), declared.type, dtype)

    # Values.

    def _surely(self, bound: Bound, constant: int | Fraction, arrays: Mapping[str, Array]) -> bool:
        """Whether a bound of one array by a constant holds, from the array's extremes; False where that can't say."""
        above = isinstance(bound.left, Fraction | Poly)
        side = bound.right if above else bound.left
        array = arrays[self.graph.nodes[side].name if isinstance(side, int) else str(side)]
        if bound.rel not in ("<", "<=") or array.dtype.kind not in "iuf" or not array.size:
            return False
        limit: Any = constant
        if array.dtype.kind == "f":
            limit = array.dtype.type(float(constant))
            if not (math.isfinite(array.min()) and math.isfinite(array.max())):
                return False
        extreme = (np.minimum if above else np.maximum).reduce(array, axis=None)
        a, b = (limit, extreme) if above else (extreme, limit)
        return bool(a < b if bound.rel == "<" else a <= b)

    def _check_assumed(self, bound: Bound, arrays: Mapping[str, Array], dims: Mapping[str, int]) -> None:
        left, right = (self._side(side, arrays, dims) for side in (bound.left, bound.right))
        for name, array in (left, right):
            if name and array.dtype.kind == "f" and not np.isfinite(array).all():
                where = _first(~np.isfinite(array))
                raise InputError(f"{name}{_at(where)} = {array[where]}, but `assume {bound.text}` needs finite values")
        a, b = _comparable(left[1], right[1])
        try:
            holds = np.asarray(_RELATIONS[bound.rel](a, b), dtype=bool)
        except ValueError:
            raise InputError(f"`assume {bound.text}`: shapes {np.shape(a)} and {np.shape(b)} don't match") from None
        if holds.all():
            return
        where = _first(~holds)
        shown = [
            f"{name}{_at(position)} = {array[position]}"
            for name, array in (left, right)
            if name
            for position in (_unbroadcast(where, array.shape),)
        ]
        raise InputError(f"{' and '.join(shown)}: this breaks `assume {bound.text}`")

    def _side(self, side: int | str | Fraction | Poly, arrays: Mapping[str, Array], dims: Mapping[str, int]) -> Any:
        """(name, array) of one side of a bound; a constant has no name."""
        match side:
            case int():
                name = self.graph.nodes[side].name
                return name, arrays[name]
            case str() if side in arrays:
                return side, arrays[side]
            case str():
                return "", np.asarray(dims[side])
            case Poly():
                return "", np.asarray(side.evaluate(dims))
            case _:
                return "", np.asarray(side, dtype=object)


def _check_drawn(name: str, seeded: Seeded, array: Array) -> None:
    """Refuse given numbers that could not have been drawn: proofs use that they are from 0 up to (below) 1."""
    inside = (array >= 0) & (array <= 1 if seeded.kind == "bernoulli" else array < 1)
    if not np.asarray(inside, dtype=bool).all():
        where = _first(~np.asarray(inside, dtype=bool))
        range_ = "from 0 to 1" if seeded.kind == "bernoulli" else "from 0 up to 1, 1 excluded"
        raise InputError(f"{name}{_at(where)} = {array[where]}, but {seeded.kind} numbers are {range_}")


def _constant(bound: Bound, dims: Mapping[str, int]) -> int | Fraction | None:
    for side in (bound.left, bound.right):
        if isinstance(side, Poly):
            return side.evaluate(dims)
        if isinstance(side, Fraction):
            return int(side) if side.denominator == 1 else side
    return None


# Arrays.


def to_array(name: str, value: Any, type_: TensorType, dtype: Any) -> Array:
    """Anything with `__array__` or DLPack, a number or nested lists, as an array of the type's kind."""
    array = _plain(name, value)
    kind = type_.kind
    if kind == "real":
        if array.dtype.kind not in ("f", "i", "u", "O") or (array.dtype.kind == "O" and dtype is not None):
            raise InputError(f"{name} has element type {array.dtype}, but it is {type_}")
        return array if dtype is None else np.asarray(array, dtype=dtype)
    if kind == "bool":
        if array.dtype.kind != "b":
            raise InputError(f"{name} has element type {array.dtype}, but it is {type_}")
        return array
    if array.dtype.kind not in ("i", "u"):
        raise InputError(f"{name} has element type {array.dtype}, but it is {type_}")
    wanted = np.dtype(np.int32 if type_.dtype == "i32" else np.int64)
    return array if array.dtype == wanted else _narrow(name, array, wanted, type_)


def _narrow(name: str, array: Array, wanted: Any, type_: TensorType) -> Array:
    if not np.can_cast(array.dtype, wanted) and array.size:
        limits = np.iinfo(wanted)
        outside = (array < limits.min) | (array > limits.max)
        if outside.any():
            where = _first(outside)
            raise InputError(f"{name}{_at(where)} = {array[where]} does not fit {type_}")
    return array.astype(wanted)


def like(name: str, value: Any, shape: tuple[int, ...], dtype: Any) -> Array:
    """A real array of exactly this shape; a plain number stands for a scalar."""
    array = to_array(name, value, TensorType("f64", ()), dtype)
    if array.shape != shape:
        raise InputError(f"the {name} has shape {list(array.shape)}, but {list(shape)} is needed")
    return array


def _plain(name: str, value: Any) -> Array:
    if isinstance(value, np.ndarray):
        return value
    try:
        if hasattr(value, "__dlpack__") and not hasattr(value, "__array__"):
            return np.from_dlpack(value)
        return np.asarray(value)
    except (ValueError, TypeError, RuntimeError, BufferError) as error:
        raise InputError(f"{name} can't be made an array: {error}") from error


# Messages.


def _closest(name: str, names: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(names), n=1)
    return f"; did you mean {near[0]}?" if near else ""


def _first(bad: Array) -> tuple[int, ...]:
    return tuple(int(k) for k in np.argwhere(bad)[0])


def _at(position: tuple[int, ...]) -> str:
    return f"[{', '.join(map(str, position))}]" if position else ""


def _unbroadcast(position: tuple[int, ...], shape: tuple[int, ...]) -> tuple[int, ...]:
    kept = position[len(position) - len(shape) :]
    return tuple(0 if size == 1 else k for k, size in zip(kept, shape, strict=True))


def _comparable(a: Array, b: Array) -> tuple[Array, Array]:
    """A rational constant beside floats is rounded to their type, as the program's own constants are."""
    for x, y in ((a, b), (b, a)):
        if x.dtype == object and x.ndim == 0 and y.dtype != object:
            value = x.item()
            if y.dtype.kind == "f":
                constant = np.asarray(float(value), dtype=y.dtype)
            else:
                constant = np.asarray(int(value)) if value == int(value) else np.asarray(float(value))
            return (constant, b) if x is a else (a, constant)
    return a, b
