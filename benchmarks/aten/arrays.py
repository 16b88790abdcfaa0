"""Arrays as index notation: what PyTorch's array operations mean, entry by entry, as text of this project's language.

An array has axes, each an extent and whether it is a pack, and a body: from the text of its indices to the text of an
entry. Axes are matched from the right as PyTorch does; an axis of extent 1 is stretched.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import count


class Unsayable(Exception):
    """What the language, or this reading of the table, has no words for."""


@dataclass(frozen=True)
class Axis:
    """An axis: the text of its extent, and whether it is a pack (`S..`)."""

    extent: str
    pack: bool = False

    @property
    def one(self) -> bool:
        """Whether it has one entry, so that it is stretched to any other."""
        return self.extent == "1"


ONE = Axis("1")
Index = tuple[str, ...]


@dataclass(frozen=True)
class Array:
    """An array of reals, conditions ("bool") or integers ("int")."""

    axes: tuple[Axis, ...]
    body: Callable[[Index], str] = field(compare=False)
    kind: str = "real"

    def at(self, index: Index) -> str:
        """The text of an entry; axes of extent 1 are read at 0."""
        return self.body(tuple("0" if axis.one else i for axis, i in zip(self.axes, index, strict=True)))


Value = Array | Fraction | bool | str | list["Value"] | None


def number(value: Fraction) -> str:
    """An exact number in the language."""
    if value.denominator == 1:
        return str(value) if value >= 0 else f"({value})"
    return f"({value})"


def wrap(text: str) -> str:
    """The text as an operand."""
    return text if re.fullmatch(r"[\w.]+(\[[^\[\]]*\])?", text) else f"({text})"


class Names:
    """Names of indices that nothing else has."""

    def __init__(self) -> None:
        self._next: Iterator[int] = count(1)

    def fresh(self, axis: Axis) -> str:
        """A new index for an axis."""
        return f"q{next(self._next)}.." if axis.pack else f"q{next(self._next)}"


def real(value: Value) -> Array:
    """A number or a condition as an array of reals."""
    match value:
        case bool():
            return Array((), lambda _: "1" if value else "0")
        case Fraction():
            return Array((), lambda _: number(value))
        case Array(axes, body, "bool"):
            return Array(axes, lambda index: f"select({body(index)}, 1, 0)")
        case Array():
            return value
    raise Unsayable(f"{value!r} is no array")


def together(arrays: Iterable[Array]) -> tuple[Axis, ...]:
    """The axes of arrays that are combined entry by entry."""
    found: list[Axis] = []
    for array in arrays:
        padded = [ONE] * max(len(array.axes), len(found))
        for place, axis in enumerate(reversed(array.axes)):
            padded[len(padded) - 1 - place] = axis
        for place, axis in enumerate(reversed(found)):
            mine = padded[len(padded) - 1 - place]
            if mine != axis and not mine.one and not axis.one:
                raise Unsayable(f"axes {mine.extent} and {axis.extent} do not fit together")
            padded[len(padded) - 1 - place] = axis if mine.one else mine
        found = padded
    return tuple(found)


def pointwise(template: str, values: list[Value], kind: str = "real") -> Array:
    """Entry by entry, `{0}`, `{1}` the operands; conditions are left as they are where `kind` is "bool"."""
    arrays = [v if isinstance(v, Array) and v.kind == "bool" else real(v) for v in values]
    axes = together(arrays)
    return Array(
        axes,
        lambda index: template.format(*(wrap(a.at(index[len(index) - len(a.axes) :])) for a in arrays)),
        kind,
    )


def axis_of(array: Array, place: int) -> int:
    """The place of an axis, counted from the end where negative."""
    if not -max(1, len(array.axes)) <= place < max(1, len(array.axes)):
        raise Unsayable(f"there is no axis {place}")
    return place % max(1, len(array.axes))


def reduce(kind: str, array: Array, places: set[int], keepdim: bool, names: Names) -> Array:
    """`sum`, `prod`, `max` or `min` over axes."""
    over = {p: names.fresh(array.axes[p]) for p in sorted(places) if not array.axes[p].one}
    kept = [p for p in range(len(array.axes)) if p not in places]
    axes = tuple(array.axes[p] if p not in places else ONE for p in range(len(array.axes)) if keepdim or p in kept)

    def body(index: Index) -> str:
        given = iter(index)
        full = []
        for p in range(len(array.axes)):
            outer = next(given) if keepdim or p in kept else "0"
            full.append(outer if p in kept else over.get(p, "0"))
        inner = array.at(tuple(full))
        if not over:
            return inner
        bound = ", ".join(n if array.axes[p].pack else f"{n} < {array.axes[p].extent}" for p, n in over.items())
        return f"({kind}({bound}) {wrap(inner)})"

    return Array(axes, body)


def moved(array: Array, order: list[int]) -> Array:
    """The axes in another order: axis p of the result is axis order[p]."""

    def body(index: Index) -> str:
        back = [""] * len(order)
        for place, origin in enumerate(order):
            back[origin] = index[place]
        return array.at(tuple(back))

    return Array(tuple(array.axes[p] for p in order), body, array.kind)


def unsqueeze(array: Array, place: int) -> Array:
    """A new axis of extent 1."""
    at = place % (len(array.axes) + 1)
    return Array((*array.axes[:at], ONE, *array.axes[at:]), lambda i: array.at((*i[:at], *i[at + 1 :])), array.kind)


def squeeze(array: Array, place: int) -> Array:
    """Without an axis of extent 1."""
    at = axis_of(array, place)
    if not array.axes[at].one:
        raise Unsayable(f"axis {place} has extent {array.axes[at].extent}, which need not be 1")
    return Array((*array.axes[:at], *array.axes[at + 1 :]), lambda i: array.at((*i[:at], "0", *i[at:])), array.kind)


def expand(array: Array, axes: tuple[Axis, ...]) -> Array:
    """Stretched to these axes."""
    whole = together([array, Array(axes, lambda _: "0")])
    if whole != axes:
        raise Unsayable("an axis can't be stretched")
    return Array(axes, lambda index: array.at(index[len(index) - len(array.axes) :]), array.kind)


def product(a: Array, b: Array, names: Names) -> Array:
    """The matrix product of arrays with one or two axes, or of batches of matrices."""
    left = a if len(a.axes) > 1 else unsqueeze(a, 0)
    right = b if len(b.axes) > 1 else unsqueeze(b, 1)
    summed, other = left.axes[-1], right.axes[-2]
    if summed != other:
        raise Unsayable(f"a product over {summed.extent} and {other.extent}")
    batch = together([Array(left.axes[:-2], lambda _: "0"), Array(right.axes[:-2], lambda _: "0")])
    name = names.fresh(summed)

    def body(index: Index) -> str:
        front = index[:-2]
        mine = left.at((*front[len(front) - len(left.axes) + 2 :], index[-2], name))
        yours = right.at((*front[len(front) - len(right.axes) + 2 :], name, index[-1]))
        return f"(sum({name} < {summed.extent}) {wrap(mine)} * {wrap(yours)})"

    found = Array((*batch, left.axes[-2], right.axes[-1]), body)
    if len(a.axes) == 1:
        found = squeeze(found, -2)
    return squeeze(found, -1) if len(b.axes) == 1 else found


def replaced(array: Array, place: int, axis: Axis, entry: Callable[[str], str]) -> Array:
    """One axis walked in another way: index i of the new axis reads entry(i) of the old one."""
    at = axis_of(array, place)
    axes = (*array.axes[:at], axis, *array.axes[at + 1 :])
    return Array(axes, lambda i: array.at((*i[:at], entry(i[at]), *i[at + 1 :])), array.kind)


def gather(array: Array, place: int, index: Array) -> Array:
    """array[..., index[..., i, ...], ...]: each entry of `index` names a place along one axis."""
    at = axis_of(array, place)
    return Array(index.axes, lambda i: array.at((*i[:at], index.at(i), *i[at + 1 :])))


def overwritten(array: Array, place: int, index: Array, value: Value, names: Names) -> Array:
    """The array with a number at the places that `index` names along an axis (one index for all, or one an entry)."""
    at = axis_of(array, place)
    put = real(value)
    if put.axes:
        raise Unsayable("an array written over another where an index may name a place twice")
    spot = at if len(index.axes) > 1 else 0

    def body(i: Index) -> str:
        j = names.fresh(index.axes[spot])
        read = index.at((*i[:at], j, *i[at + 1 :]) if len(index.axes) > 1 else (j,))
        hit = f"(sum({j} < {index.axes[spot].extent} | {read} == {i[at]}) 1) == 0"
        return f"select({hit}, {array.at(i)}, {put.at(())})"

    return Array(array.axes, body)


def added(array: Array, place: int, index: Array, source: Array, names: Names) -> Array:
    """The array with each entry of `source` added at the place that `index` names along an axis."""
    at = axis_of(array, place)
    spot = at if len(index.axes) > 1 else 0

    def body(i: Index) -> str:
        j = names.fresh(index.axes[spot])
        read = index.at((*i[:at], j, *i[at + 1 :]) if len(index.axes) > 1 else (j,))
        more = source.at((*i[:at], j, *i[at + 1 :]))
        return f"{wrap(array.at(i))} + (sum({j} < {index.axes[spot].extent} | {read} == {i[at]}) {wrap(more)})"

    return Array(array.axes, body)


def masked(array: Array, keep: str) -> Array:
    """A matrix with 0 where `keep`, a condition on {0} and {1}, does not hold of its last two indices."""
    return Array(array.axes, lambda i: f"select({keep.format(i[-2], i[-1])}, {array.at(i)}, 0)")
