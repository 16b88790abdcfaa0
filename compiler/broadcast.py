"""Broadcasting the NumPy way, made explicit: new leading axes and stretched axes of size 1 become nodes of their own.

Only a literal 1 stretches. A symbolic dim never silently equals 1: two extents that differ stay as they are, and
become a claim.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from gradproof.compiler.dims import Poly
from gradproof.compiler.draft import Draft, Operand, Value
from gradproof.compiler.unify import Mismatch, Shape, Signature
from gradproof.grammar.source import Span

Caller = Callable[[str, Sequence[Operand], Mapping[str, Operand], Span], Value]


@dataclass(frozen=True, slots=True)
class Step:
    """How one argument is widened: axes of size 1 stretched to an extent, then new leading axes; and the result."""

    stretched: tuple[tuple[int, Poly], ...]
    leading: Shape
    shape: Shape


def plan_broadcast(found: Signature, shapes: Sequence[Shape]) -> list[Step | None] | None:
    """For each argument how it is widened, None for one that is not; None where the operator does not broadcast."""
    if found.lead is None:
        return None
    parts: list[Shape | None] = []
    for param, shape in zip(found.op.params, shapes, strict=True):
        if not param.axes or param.axes[0].pack != found.lead:
            parts.append(None)
            continue
        width = len(shape) - (len(param.axes) - 1)
        if width < 0:
            raise Mismatch(f"`{param.name}` has at least {len(param.axes) - 1} axes and is given {len(shape)}")
        parts.append(shape[:width])
    given = [part for part in parts if part is not None]
    if all(part == given[0] for part in given):
        return [None] * len(parts)
    common = common_shape(given)
    return [None if part is None else _step(part, shape, common) for part, shape in zip(parts, shapes, strict=True)]


def common_shape(shapes: Sequence[Shape]) -> Shape:
    """The shape that all broadcast to, aligned at the end: of each axis the first extent that is not a literal 1."""
    rank = max(map(len, shapes))
    common: list[Poly] = []
    for position in range(-rank, 0):
        extents = [shape[position] for shape in shapes if len(shape) >= -position]
        common.append(next((extent for extent in extents if extent != 1), extents[0]))
    return tuple(common)


def plan_to(shape: Shape, target: Shape) -> Step | None:
    """How a tensor is widened to a shape with at least as many axes."""
    return _step(shape, shape, target)


def _step(part: Shape, shape: Shape, common: Shape) -> Step | None:
    new = len(common) - len(part)
    stretched = tuple((k, common[new + k]) for k, extent in enumerate(part) if extent == 1 and common[new + k] != 1)
    if not new and not stretched:
        return None
    extents = list(shape)
    for position, extent in stretched:
        extents[position] = extent
    return Step(stretched, common[:new], (*common[:new], *extents))


def widen(draft: Draft, value: Value, step: Step, call: Caller, span: Span) -> Value:
    """The argument with its axes stretched and its new axes in front."""
    for position, extent in step.stretched:
        value = call(draft.role("axis of 1", span), (value, Poly.of(position), extent), {}, span)
    if step.leading:
        value = call(draft.role("new axes", span), (value, step.leading), {}, span)
    return value
