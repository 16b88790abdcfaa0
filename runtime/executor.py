"""Run a plan: bound once to sizes, buffers and a float type, then a flat list of calls. Trusts the plan it is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from threading import Lock
from typing import Any, TypeAlias

import numpy as np
from gradproof.compiler.graph import Graph
from gradproof.compiler.kernels import Scalar
from gradproof.compiler.plan import Mode, Plan, make_plan
from gradproof.runtime.binding import Binder
from gradproof.runtime.interpret import run_kernel, run_program
from gradproof.runtime.prefixes import unread_guards
from gradproof.runtime.scalars import FLOAT64, Array, Binding, Floats

__all__ = ["Executor", "run_kernel", "run_program"]

Plans: TypeAlias = Callable[[Graph, Mode], Plan]

_DTYPES: dict[str, Any] = {"int": np.int64, "bool": np.bool_}


class Executor:
    """A plan at concrete dims: buffers are allocated here, once, and every run uses them again.

    Runs of one executor exclude each other. Inputs are copied in and results copied out. `plans` gives the plans that
    the bodies of loops run through.
    """

    def __init__(self, plan: Plan, dims: Mapping[str, int], scalar: Floats = FLOAT64, plans: Plans = make_plan) -> None:
        self.plan, self.scalar = plan, scalar
        program, slots = plan.program, plan.slots
        binding = Binding(dims, {})
        unread = unread_guards(program) & slots.static  # a static register has its slot to itself
        idle = {slots.of[reg] for reg in unread}
        buffers = [
            np.zeros(0 if k in idle else max(size.evaluate(dims), 0), _DTYPES.get(kind, scalar.dtype))
            for k, (kind, size) in enumerate(slots.sizes)
        ]
        self.registers: list[Array] = []

        def bodies(graph: Graph, mode: Mode) -> Executor:
            return Executor(plans(graph, mode), dims, scalar, plans)

        binder = Binder(program, self.registers, binding, scalar, bodies)
        for reg, slot in enumerate(slots.of):
            shape = binder.shape(program.axes(reg))
            buffer = buffers[slot]
            self.registers.append(buffer if slot in idle else buffer[: int(np.prod(shape))].reshape(shape))
        read = {r for step in program.steps for r in step.reads}
        read |= {v.operand.reg for v in program.outputs if not isinstance(v.operand, Scalar)}
        self.inputs: list[tuple[str, Array | None]] = [
            (given.name, self.registers[k] if k in read else None) for k, given in enumerate(program.inputs)
        ]
        self._shapes = [binder.shape(given.axes) for given in program.inputs]
        self.calls: list[Callable[[], Any]] = []
        count = len(program.inputs)
        with scalar.context():
            for reg, step in enumerate(program.steps, count):
                if reg in unread:
                    continue
                calls = binder.bind(step, self.registers[reg])
                if reg in slots.static:
                    for call in calls:
                        call()
                else:
                    self.calls += calls
            binder.calls = []
            self.views = [binder.operand(v.operand, binder.shape(v.extents)) for v in program.outputs]
            self.calls += binder.calls
        self._lock = Lock()

    @property
    def nbytes(self) -> int:
        """The memory that the buffers hold, without scratch space."""
        owners = {id(r.base): r.base for r in self.registers if r.base is not None}
        return sum(int(base.nbytes) for base in owners.values())

    def run(self, inputs: Mapping[str, Array]) -> list[Array]:
        """The plan's outputs, in the order of `plan.produces`; KeyError for a missing input, ValueError for a shape."""
        return self.run_list([inputs[name] for name, _ in self.inputs])

    def run_list(self, inputs: Sequence[Array]) -> list[Array]:
        """`run`, with the inputs in the order of the program's."""
        with self._lock, np.errstate(all="ignore"):
            for (name, buffer), shape, given in zip(self.inputs, self._shapes, inputs, strict=True):
                if given.shape != shape:
                    raise ValueError(f"{name}: the shape is {given.shape}, bound to {shape}")
                if buffer is not None:
                    if given.dtype != buffer.dtype and not np.can_cast(given.dtype, buffer.dtype, "same_kind"):
                        raise ValueError(f"{name}: {given.dtype} where {buffer.dtype} is bound")
                    buffer[...] = given
            for call in self.calls:
                call()
            return [view.copy() for view in self.views]
