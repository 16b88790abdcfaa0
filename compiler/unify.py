"""An operator's signature against the shapes of its arguments: what each size and pack is, and what must be equal.

Two extents that should be equal and are not equal as polynomials are no error here: they become a claim, and SHAPE
proves or refutes it with concrete dims. What is an error is what no dims can mend: a wrong number of axes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gradproof.compiler.dims import Poly
from gradproof.compiler.graph import AttrValue
from gradproof.compiler.ops import Axis, OpDef, Param
from gradproof.compiler.terms import IntCmp

Shape = tuple[Poly, ...]


class Mismatch(Exception):
    """Arguments that an operator does not fit; the text says why."""


@dataclass(frozen=True, slots=True)
class Signature:
    """What calls ask of an operator again and again, worked out once.

    `free` are the result's sizes that no input gives (a call says them), `lead` is the pack along which inputs
    broadcast, `places` are the integer attributes that say where an axis is: (attribute, input, axes it can't pass).
    """

    op: OpDef
    free: tuple[str, ...]
    lead: str | None
    places: tuple[tuple[str, int, int], ...]
    ranks: tuple[tuple[str, Poly], ...]
    ints: frozenset[str]


def signature_of(op: OpDef) -> Signature:
    """The signature of an operator, read for calls."""
    ints = frozenset(op.int_attrs)
    bound = {name for param in op.params for axis in param.axes for name in axis.extent.symbols}
    wanted = [name for axis in op.output.axes for name in sorted(axis.extent.symbols)]
    free = tuple(name for name in dict.fromkeys(wanted) if name not in bound and name not in ints)
    places = tuple(
        (axis.rank.as_symbol, position, _single_axes(param))
        for position, param in enumerate(op.params)
        for axis in param.axes
        if axis.rank is not None and axis.rank.as_symbol in ints
    )
    ranks = tuple((a.pack, a.rank) for p in op.params for a in p.axes if a.pack is not None and a.rank is not None)
    return Signature(op, free, _lead(op.params), places, ranks, ints)


def _single_axes(param: Param) -> int:
    return sum(axis.pack is None for axis in param.axes)


def _packs_of(param: Param) -> int:
    return sum(axis.pack is not None for axis in param.axes)


def _lead(params: Sequence[Param]) -> str | None:
    """The pack that stands first in several inputs, and nowhere else, with no rank of its own.

    Where another pack stands behind it, how many of the axes are its own can't be seen: such a pack does not broadcast.
    """
    heads = [p.axes[0].pack for p in params if p.axes and p.axes[0].pack is not None and p.axes[0].rank is None]
    for pack in dict.fromkeys(heads):
        count = sum(axis.pack == pack for param in params for axis in param.axes)
        alone = all(_packs_of(p) == 1 for p in params if p.axes and p.axes[0].pack == pack)
        if alone and heads.count(pack) == count > 1:
            return pack
    return None


@dataclass(frozen=True, slots=True)
class Binding:
    """Sizes by name, the result's shape, and the pairs of extents that must be equal, each with its reason."""

    sizes: Mapping[str, Shape]
    shape: Shape
    claims: tuple[tuple[Poly, Poly, str], ...]


def bind(
    signature: Signature, shapes: Sequence[Shape], attrs: Mapping[str, AttrValue], given: Mapping[str, Shape]
) -> Binding:
    """Bind every size of the signature; Mismatch where the ranks can't fit or a size can't be known."""
    op = signature.op
    ints = {name: value for name, value in attrs.items() if name in signature.ints and isinstance(value, Poly)}
    sizes: dict[str, Shape] = dict(given)
    claims: list[tuple[Poly, Poly, str]] = []
    later: list[tuple[Poly, Poly, str]] = []
    ranks = {pack: _rank(pack, rank, ints) for pack, rank in signature.ranks} if signature.ranks else {}
    todo = list(zip(op.params, shapes, strict=True))
    while todo:
        waiting = [pair for pair in todo if not _take(*pair, signature, ranks, sizes, claims, later)]
        if len(waiting) == len(todo):
            raise Mismatch(f"how many axes {_packs(waiting[0][0])} stand for can't be known")
        todo = waiting
    env = environment(sizes, ints)
    for extent, actual, reason in later:
        _settle(extent, actual, reason, sizes, env, claims)
    return Binding(sizes, shape_of(op.output, sizes, env), tuple(claims))


def _packs(param: Param) -> str:
    return " and ".join(f"`{axis.pack}`" for axis in param.axes if axis.pack is not None)


def _rank(pack: str, rank: Poly, ints: Mapping[str, Poly]) -> int:
    value = rank.substitute(ints).constant
    if value is None:
        raise Mismatch(f"the number of axes of `{pack}`, {rank}, must be a number")
    if value < 0:
        raise Mismatch(f"{rank} = {value} is out of range")
    return value


def _take(
    param: Param,
    shape: Shape,
    signature: Signature,
    ranks: dict[str, int],
    sizes: dict[str, Shape],
    claims: list[tuple[Poly, Poly, str]],
    later: list[tuple[Poly, Poly, str]],
) -> bool:
    """Bind what one argument tells; False where its packs must wait for other arguments."""
    rest, unknown = len(shape), None
    for axis in param.axes:
        known = 1 if axis.pack is None else _known(axis.pack, ranks, sizes)
        if known is None and unknown is not None:
            return False
        if known is None:
            unknown = axis.pack
        else:
            rest -= known
    if (unknown is None and rest != 0) or rest < 0:
        raise Mismatch(f"`{param.name}` has axes {_axes(param)} and is given {_count(shape)}")
    position = 0
    for axis in param.axes:
        if axis.pack is None:
            _take_extent(axis, shape[position], f"{param.name} of {signature.op.name}", signature, sizes, claims, later)
            position += 1
            continue
        count = rest if axis.pack == unknown and axis.pack not in sizes else _known(axis.pack, ranks, sizes) or 0
        part = shape[position : position + count]
        position += count
        before = sizes.setdefault(axis.pack, part)
        if before is not part and before != part:
            reason = f"{axis.pack} in {param.name} of {signature.op.name}"
            claims += [(a, b, reason) for a, b in zip(before, part, strict=True) if a != b]
    return True


def _known(pack: str, ranks: Mapping[str, int], sizes: Mapping[str, Shape]) -> int | None:
    return len(sizes[pack]) if pack in sizes else ranks.get(pack)


def _axes(param: Param) -> str:
    return f"[{', '.join(str(axis.extent) for axis in param.axes)}]"


def _count(shape: Shape) -> str:
    return f"[{', '.join(map(str, shape))}]"


def _take_extent(
    axis: Axis,
    actual: Poly,
    where: str,
    signature: Signature,
    sizes: dict[str, Shape],
    claims: list[tuple[Poly, Poly, str]],
    later: list[tuple[Poly, Poly, str]],
) -> None:
    name = axis.extent.as_symbol
    if name is None or name in signature.ints or name.endswith(".."):
        later.append((axis.extent, actual, f"{axis.extent} in {where}"))
        return
    before = sizes.setdefault(name, (actual,))[0]
    if before is not actual and before != actual:
        claims.append((before, actual, f"{name} in {where}"))


def _settle(
    extent: Poly,
    actual: Poly,
    reason: str,
    sizes: dict[str, Shape],
    env: dict[str, Poly],
    claims: list[tuple[Poly, Poly, str]],
) -> None:
    """An extent that is an expression: solve it for the one size that is not known yet, and claim that it fits."""
    missing = sorted(extent.symbols - env.keys())
    if len(missing) == 1:
        form = extent.substitute(env).linear_in(missing[0])
        scale = form[0].constant if form else None
        if form is None or scale is None or scale <= 0:
            raise Mismatch(f"`{missing[0]}` can't be worked out of {extent}")
        value = (actual - form[1]) // scale
        env[missing[0]] = value
        sizes[missing[0]] = (value,)
    elif missing:
        raise Mismatch(f"{' and '.join(missing)} can't be worked out of {extent}")
    expected = extent.substitute(env)
    if expected != actual:
        claims.append((expected, actual, reason))


def environment(sizes: Mapping[str, Shape], ints: Mapping[str, Poly]) -> dict[str, Poly]:
    """Every symbol of a signature as one integer expression: a pack is the product of its sizes."""
    env = dict(ints)
    for name, shape in sizes.items():
        env[name] = shape[0] if len(shape) == 1 else Poly.product(shape)
    return env


def shape_of(param: Param, sizes: Mapping[str, Shape], env: Mapping[str, Poly]) -> Shape:
    """The shape of an input or of the output under a binding; Mismatch where a size is missing."""
    shape: list[Poly] = []
    for axis in param.axes:
        if axis.pack is not None:
            if axis.pack not in sizes:
                raise Mismatch(f"say what `{axis.pack}` is: `shape=(...)`")
            shape += sizes[axis.pack]
            continue
        missing = sorted(axis.extent.symbols - env.keys())
        if missing:
            raise Mismatch(f"say what `{missing[0]}` is: `{missing[0]}=...`")
        shape.append(axis.extent.substitute(env))
    return tuple(shape)


def solved(op: OpDef, name: str, env: Mapping[str, Poly]) -> Poly | None:
    """What a `require a == b` of the operator says that the size `name` is; None where none does."""
    for cond in op.requires:
        if not isinstance(cond, IntCmp) or cond.rel != "==":
            continue
        form = cond.poly.linear_in(name)
        if form is None or form[0].constant not in (1, -1) or not form[1].symbols <= env.keys():
            continue
        value = form[1].substitute(env)
        return value if form[0].constant == -1 else -value
    return None


def exact_quotient(total: Poly, part: Poly) -> Poly:
    """total / part, term by term where that is exact, otherwise `total // part`."""
    if len(part.terms) == 1:
        (monomial, coefficient), *_ = part.terms
        divided: dict[tuple[tuple[object, int], ...], int] = {}
        for other, scale in total.terms:
            powers = dict(other)
            for atom, exponent in monomial:
                powers[atom] = powers.get(atom, 0) - exponent
            if scale % coefficient or any(exponent < 0 for exponent in powers.values()):
                return total // part
            divided[tuple((atom, e) for atom, e in other if powers[atom] for e in [powers[atom]])] = (
                scale // coefficient
            )
        return Poly(divided)  # type: ignore[arg-type]  # the same atoms as in `total`
    return total // part
