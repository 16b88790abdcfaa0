"""Folds over the places up to each place, or from it on: one pass over an axis instead of one for each place.

Such a fold is `name over b of value[b] where b <= a + shift` (or `b >= a - shift`) with a the place in the result and a
value that does not depend on a: what NumPy's `accumulate` does. The condition is a register of its own, which then need
not be filled in.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from gradproof.compiler.kernels import Program, Scalar, Step, Use, label
from gradproof.runtime.floats import FOLD, IDENTITY, Array

Call = Callable[[], Any]


@dataclass(frozen=True, slots=True)
class Prefix:
    """The result's label `axis` limits the bound one from above, or from below; `guard` is the condition's register."""

    guard: int
    axis: int
    below: bool  # b <= a + shift; else b >= a - shift
    shift: int


def prefix_of(program: Program, step: Step) -> Prefix | None:
    """How a step is such a fold, or None."""
    if step.op != "fold" or step.rank != len(step.extents) - 1 or len(step.operands) != 2:
        return None
    value, guard = step.operands
    if not isinstance(guard, Use) or guard.padded or guard.reg < len(program.inputs):
        return None
    made = program.steps[guard.reg - len(program.inputs)]
    if made.op != "intcmp" or made.name != ">=" or made.poly is None or any(made.poly.entries()):
        return None
    condition = made.poly.substitute({f"${k}": index for k, index in enumerate(guard.index)})
    linear = condition.linear_in(f"${step.rank}")
    if linear is None or linear[0].constant not in (1, -1):
        return None
    slope, rest = linear[0].constant, linear[1]
    for axis in range(step.rank):
        shift = (rest + slope * label(axis)).constant
        same = step.extents[axis] == step.extents[step.rank]
        if shift is None or not same or (isinstance(value, Use) and _reads(value, axis)):
            continue
        return Prefix(guard.reg, axis, slope == -1, shift)
    return None


def _reads(use: Use, axis: int) -> bool:
    return any(f"${axis}" in position.symbols for position in use.index)


def unread_guards(program: Program) -> frozenset[int]:
    """The registers that only tell such folds where to stop."""
    count = len(program.inputs)
    guards: set[int] = set()
    others = {v.operand.reg for v in program.outputs if not isinstance(v.operand, Scalar)}
    for step in program.steps:
        found = prefix_of(program, step)
        if found is None:
            others.update(step.reads)
            continue
        guards.add(found.guard)
        value = step.operands[0]
        if isinstance(value, Use):
            others.add(value.reg)
    return frozenset(reg for reg in guards - others if reg >= count)


def prefix_calls(name: str, prefix: Prefix, value: Array, out: Array) -> list[Call]:
    """The calls that set `out`, which is not empty, from the value as a view with an axis for each label."""
    axis = prefix.axis
    fixed: tuple[Any, ...] = tuple(0 if k == axis else slice(None) for k in range(value.ndim))
    value = np.moveaxis(value[fixed], -1, axis)
    if not prefix.below:
        value, out = np.flip(value, axis), np.flip(out, axis)
    if prefix.shift == 0:
        return [partial(FOLD[name].accumulate, value, axis, None, out)]
    room, size = np.empty(out.shape, out.dtype), out.shape[axis]
    calls: list[Call] = [partial(FOLD[name].accumulate, value, axis, None, room)]

    def part(array: Array, start: int, stop: int) -> Array:
        return array[(*[slice(None)] * axis, slice(start, stop))]

    if prefix.shift < 0:
        first = min(-prefix.shift, size)
        calls.append(partial(part(out, 0, first).fill, IDENTITY[name]))
        return [*calls, partial(np.copyto, part(out, first, size), part(room, 0, size - first))]
    first = max(size - prefix.shift, 0)
    calls.append(partial(np.copyto, part(out, 0, first), part(room, size - first, size)))
    return [*calls, partial(np.copyto, part(out, first, size), part(room, size - 1, size))]
