"""Calls that are more than one application: several axes, kept axes, permutations, rows of arguments.

Each is a word of the language that a library switches on with a sign: `infix "fold" concat` lets concat take any number
of tensors, `infix "axes" sum` lets sum take a tuple of axes, `infix "keepdims" unsqueeze` puts a reduced axis back,
`infix "reduction" mean` makes f(x, reduction=mean) of mean(f(x)),
`infix "permute" swap` makes permute(x, axes=...) of swaps of neighbours, `infix "moveaxis" swap` moveaxis(x,
source=..., destination=...) too, `infix "broadcast_to" broadcast` makes broadcast_to(x, shape=...) of new axes and
stretched ones, `infix "stack" concat` makes stack(a, b, c, ..., axis=...) of axes of size 1 side by side.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction

from gradproof.compiler.broadcast import plan_to, widen
from gradproof.compiler.calls import call, describe, lift
from gradproof.compiler.dims import Poly
from gradproof.compiler.draft import Draft, Operand, Value
from gradproof.compiler.ops import OpDef
from gradproof.grammar.source import Diagnostic, Span

REDUCTION = "reduction"

Form = Callable[[Draft, Sequence[Operand], Mapping[str, Operand], Span], Value]


def apply(draft: Draft, name: str, args: Sequence[Operand], kwargs: Mapping[str, Operand], span: Span) -> Value:
    """What a call in a graph means, in one application or several."""
    overloads = draft.library.overloads.get(name, ())
    counts = {len(op.params) for op in overloads}
    if len(args) not in counts and name in FORMS and draft.library.sign(name) is not None:
        return FORMS[name](draft, args, kwargs, span)
    if draft.library.declared("fold", name) and len(args) > max(counts):
        return _fold(draft, name, args, kwargs, span)
    if "keepdims" in kwargs and not any(a.name == "keepdims" for op in overloads for a in op.attrs):
        return _keep(draft, name, args, kwargs, span)
    place = _place(overloads) or (_place(overloads, kept=True) if draft.library.declared("axes", name) else None)
    if place is not None and len(args) == 2 and isinstance(args[1], tuple):
        args, kwargs = args[:1], {**kwargs, place: args[1]}
    if place is not None and isinstance(kwargs.get(place), tuple):
        return _over_axes(draft, name, args, kwargs, place, span)[0]
    return call(draft, name, args, kwargs, span)


def _fold(draft: Draft, name: str, args: Sequence[Operand], kwargs: Mapping[str, Operand], span: Span) -> Value:
    result = args[0]
    for arg in args[1:]:
        result = call(draft, name, (result, arg), kwargs, span)
    return lift(draft, result, span)


def reductions(draft: Draft) -> tuple[str, ...]:
    """The words that `reduction=` may be given in a call."""
    return ("none", *draft.library.infix.get(REDUCTION, ()))


def reduced(draft: Draft, name: str, value: Value, word: str, span: Span) -> Value:
    """f(x, reduction=mean) is mean(f(x)). One number is refused: a sum of a mean would not be what is meant."""
    if word not in reductions(draft):
        known = ", ".join(reductions(draft))
        raise Diagnostic("E-ATTRIBUTE", f"`{word}` is no reduction", span, f"`reduction=` takes one of: {known}")
    if word == "none":
        return value
    if not any(op.output.axes for op in draft.library.overloads.get(name, ())):
        advice = "call the operator that gives a loss for every entry"
        raise Diagnostic("E-ATTRIBUTE", f"`{name}` gives one number, which has nothing to reduce", span, advice)
    return apply(draft, word, (value,), {}, span)


def _place(overloads: Sequence[OpDef], kept: bool = False) -> str | None:
    """The attribute that says along which axis an operator reduces, or (`kept`) along which it works, where it does."""
    for op in overloads:
        # What lies behind the place is one axis: `x: [A..(axis), n, B..] -> [A.., B..]`, or `-> [A.., m, B..]`.
        if len(op.params) == 1 and len(op.params[0].axes) == 3 and len(op.output.axes) == (3 if kept else 2):
            rank = op.params[0].axes[0].rank
            for attr in op.attrs:
                if rank == Poly.sym(attr.name):
                    return attr.name
    return None


def _over_axes(
    draft: Draft, name: str, args: Sequence[Operand], kwargs: Mapping[str, Operand], place: str, span: Span
) -> tuple[Value, list[int]]:
    """One application for each axis, the last axis first; and the axes, counted from the front."""
    if not draft.library.declared("axes", name):
        advice = f'where one axis after the other means the same, declare it: `infix "axes" {name}`'
        raise Diagnostic("E-AXES", f"`{name}` takes one axis", span, advice)
    given = kwargs[place]
    rank = _rank(args, span)
    axes = sorted(_axes(given if isinstance(given, tuple) else (given,), rank, span), reverse=True)
    rest = {key: value for key, value in kwargs.items() if key != place}
    value = lift(draft, args[0], span)
    for axis in axes:
        value = call(draft, name, (value,), {**rest, place: Fraction(axis)}, span)
    return value, axes


def _keep(draft: Draft, name: str, args: Sequence[Operand], kwargs: Mapping[str, Operand], span: Span) -> Value:
    """A reduction with its axes put back as axes of size 1."""
    rest = {key: value for key, value in kwargs.items() if key != "keepdims"}
    keep = kwargs["keepdims"]
    if keep not in (Fraction(0), Fraction(1)):
        raise Diagnostic("E-ATTRIBUTE", "keepdims is true or false", span)
    if keep == 0:
        return apply(draft, name, args, rest, span)
    place = _place(draft.library.overloads[name])
    if place is None:
        raise Diagnostic("E-ATTRIBUTE", f"`{name}` reduces no axis, so there is none to keep", span)
    if place in rest:
        given = rest[place]
        if isinstance(given, tuple):
            value, axes = _over_axes(draft, name, args, rest, place, span)
        else:
            axes = _axes((given,), _rank(args, span), span)
            value = call(draft, name, args, rest, span)
    else:
        axes = list(range(_rank(args, span)))
        value = call(draft, name, args, rest, span)
    for axis in sorted(axes):
        value = call(draft, draft.role("keepdims", span), (value, Fraction(axis)), {}, span)
    return value


def _rank(args: Sequence[Operand], span: Span) -> int:
    if not args or not isinstance(args[0], Value):
        raise Diagnostic("E-KIND", "a tensor is wanted here", span)
    return len(args[0].type.shape)


def _axes(given: Sequence[Operand], rank: int, span: Span) -> list[int]:
    """Axes counted from the front, each of them once."""
    axes: list[int] = []
    for item in given:
        if not isinstance(item, Fraction) or item.denominator != 1 or not -rank <= item < rank:
            raise Diagnostic("E-AXES", f"{describe(item)} is no axis of a tensor with {rank}", span)
        axes.append(int(item) % rank)
    if len(set(axes)) != len(axes):
        raise Diagnostic("E-AXES", "an axis is named twice", span)
    return axes


def _permute(draft: Draft, args: Sequence[Operand], kwargs: Mapping[str, Operand], span: Span) -> Value:
    """permute(x, axes=(2, 0, 1)): the result's axis k is x's axis axes[k]. Made of swaps of neighbours."""
    operands = [*args, *kwargs.values()]
    if len(operands) != 2 or set(kwargs) - {"axes"} or not isinstance(operands[1], tuple):
        raise Diagnostic("E-ARITY", "permute takes a tensor and its axes", span, "write `permute(x, axes=(1, 0))`")
    value, rank = lift(draft, operands[0], span), _rank(operands, span)
    order = _axes(operands[1], rank, span)
    if len(order) != rank:
        raise Diagnostic("E-AXES", f"permute names {len(order)} axes of {rank}", span, "name each axis once")
    return _in_order(draft, value, order, draft.role("permute", span), span)


def _in_order(draft: Draft, value: Value, order: Sequence[int], swap: str, span: Span) -> Value:
    now = list(range(len(order)))
    for target, axis in enumerate(order):
        for position in range(now.index(axis), target, -1):
            value = call(draft, swap, (value, Fraction(position - 1)), {}, span)
            now[position - 1], now[position] = now[position], now[position - 1]
    return value


def _moveaxis(draft: Draft, args: Sequence[Operand], kwargs: Mapping[str, Operand], span: Span) -> Value:
    """moveaxis(x, source=0, destination=-1), or tuples of both: the other axes keep their order."""
    named = dict(zip(("x", "source", "destination"), args, strict=False))
    if len(args) > 3 or len(args) + len(kwargs) != 3 or {*named, *kwargs} != {"x", "source", "destination"}:
        advice = "write `moveaxis(x, source=0, destination=2)`"
        raise Diagnostic("E-ARITY", "moveaxis takes a tensor, its axes, and where they go", span, advice)
    given = {**named, **kwargs}
    value, rank = lift(draft, given["x"], span), _rank((given["x"],), span)
    ends = [given[key] for key in ("source", "destination")]
    source, target = (_axes(one if isinstance(one, tuple) else (one,), rank, span) for one in ends)
    if len(source) != len(target):
        raise Diagnostic("E-AXES", f"{len(source)} axes go to {len(target)} places", span, "give each axis its place")
    rest = iter(axis for axis in range(rank) if axis not in source)
    placed = dict(zip(target, source, strict=True))
    order = [placed[place] if place in placed else next(rest) for place in range(rank)]
    return _in_order(draft, value, order, draft.role("moveaxis", span), span)


def _stack(draft: Draft, args: Sequence[Operand], kwargs: Mapping[str, Operand], span: Span) -> Value:
    """stack(a, b, c, ..., axis=k): each with a new axis k of size 1, and these side by side."""
    axis = kwargs.get("axis")
    if set(kwargs) != {"axis"} or not isinstance(axis, Fraction) or axis.denominator != 1:
        advice = "write `stack(a, b, c, d, axis=0)`"
        raise Diagnostic("E-ARITY", "stack takes tensors of one shape and the new axis", span, advice)
    (place,) = _axes((axis,), _rank(args, span) + 1, span)
    keep = draft.role("keepdims", span)
    rows = [call(draft, keep, (lift(draft, arg, span), Fraction(place)), {}, span) for arg in args]
    result = rows[0]
    for row in rows[1:]:
        result = call(draft, draft.role("stack", span), (result, row), {"axis": Fraction(place)}, span)
    return result


def _broadcast_to(draft: Draft, args: Sequence[Operand], kwargs: Mapping[str, Operand], span: Span) -> Value:
    """broadcast_to(x, shape=(B, n)): new leading axes, and axes of size 1 stretched."""
    operands = [*args, *kwargs.values()]
    if len(operands) != 2 or set(kwargs) - {"shape"} or not isinstance(operands[1], tuple):
        advice = "write `broadcast_to(x, shape=(B, n))`"
        raise Diagnostic("E-ARITY", "broadcast_to takes a tensor and a shape", span, advice)
    value = lift(draft, operands[0], span)
    shape = tuple(_size(item, span) for item in operands[1])
    if len(shape) < len(value.type.shape):
        message = f"{value.type} has more axes than {describe(operands[1])}"
        raise Diagnostic("E-RANK", message, span)
    step = plan_to(value.type.shape, shape)
    wide = value if step is None else widen(draft, value, step, lambda *given: call(draft, *given), span)
    for have, want in zip(wide.type.shape, shape, strict=True):
        draft.claim(have, want, "broadcast_to", span)
    return wide


def _size(item: Operand, span: Span) -> Poly:
    if isinstance(item, Poly):
        return item
    if isinstance(item, Fraction) and item.denominator == 1 and item >= 0:
        return Poly.of(int(item))
    raise Diagnostic("E-KIND", f"{describe(item)} is no size", span)


FORMS: Mapping[str, Form] = {
    "permute": _permute,
    "moveaxis": _moveaxis,
    "broadcast_to": _broadcast_to,
    "stack": _stack,
}
