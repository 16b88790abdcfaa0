"""Run a kernel step by step over any scalars: plain and slow; the executor is the fast way for floats."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
from gradproof.compiler.dims import Poly
from gradproof.compiler.kernels import Kernel, Operand, Program, Scalar, Step, Use, Value
from gradproof.compiler.ops import Axis
from gradproof.compiler.terms import Cond
from gradproof.runtime.scalars import Array, Binding, Scalars, connect
from gradproof.runtime.views import gathered, integers, view


def run_kernel(
    kernel: Kernel,
    inputs: Mapping[str, Array],
    sizes: Mapping[str, tuple[int, ...]],
    ints: Mapping[str, int],
    reals: Mapping[str, Fraction],
    scalar: Scalars,
) -> Array:
    """The result of one kernel, in the shape of its tensor.

    `inputs` has an array for each of the kernel's inputs, with all axes of its packs; `sizes` binds each size symbol (a
    pack to any number of sizes), `ints` and `reals` the attributes. Undefined, Undecided or Irrational where an entry
    of the result has no value in these scalars.
    """
    names = {**{name: math.prod(each) for name, each in sizes.items()}, **ints}
    binding = Binding(names, reals)
    arrays = []
    for given in kernel.program.inputs:
        shape = tuple(extent.evaluate(names) for extent in given.axes)
        values = np.asarray(inputs[given.name])
        values = values.astype(np.int64) if given.kind == "int" else values
        values = scalar.array(values) if given.kind == "real" else values
        arrays.append(np.asarray(values, order="C").reshape(shape))
    with scalar.context():
        (result,) = run_program(kernel.program, arrays, binding, scalar)
        shape = tuple(n for axis in kernel.axes for n in _axis_shape(axis, sizes, names))
        result = np.asarray(result, order="C").reshape(shape)
        kind = kernel.program.outputs[0].kind
        return scalar.check(result) if kind == "real" or result.dtype == object else result


def _axis_shape(axis: Axis, sizes: Mapping[str, tuple[int, ...]], names: Mapping[str, int]) -> tuple[int, ...]:
    return sizes[axis.pack] if axis.pack is not None else (axis.extent.evaluate(names),)


def run_program(program: Program, inputs: Sequence[Array], binding: Binding, scalar: Scalars) -> list[Array]:
    """The outputs of a program. Inputs are contiguous arrays of exactly the extents declared."""
    run = _Run(program, list(inputs), binding, scalar)
    for step in program.steps:
        run.registers.append(run.step(step))
    return [run.output(value) for value in program.outputs]


class _Run:
    def __init__(self, program: Program, registers: list[Array], binding: Binding, scalar: Scalars) -> None:
        self.program, self.registers, self.binding, self.scalar = program, registers, binding, scalar
        self.ints = binding.ints

    def shape(self, extents: tuple[Poly, ...]) -> tuple[int, ...]:
        return tuple(max(e.evaluate(self.ints), 0) for e in extents)

    def operand(self, operand: Operand, shape: tuple[int, ...]) -> Any:
        if isinstance(operand, Scalar):
            if isinstance(operand.term, Cond):
                value: Any = self.scalar.truth(operand.term, self.binding)
            else:
                value = self.scalar.constant(operand.term, self.binding)
            out = np.empty(shape, bool if isinstance(value, bool) else self.scalar.dtype)
            out[...] = value
            return out
        source = self.registers[operand.reg]
        real = self.program.kind(operand.reg) == "real"
        found = view(source, operand, shape, self.ints, self.scalar.zeros(())[()] if real else False)
        for into, outof in found.copies:
            into[...] = outof
        return found.array

    def output(self, value: Value) -> Array:
        return np.array(self.operand(value.operand, self.shape(value.extents)))

    def step(self, step: Step) -> Array:
        result = np.asarray(self._value(step, self.shape(step.extents)))
        shape = self.shape(step.axes)
        return np.asarray(np.broadcast_to(result, shape), order="C")

    def _value(self, step: Step, shape: tuple[int, ...]) -> Any:
        scalar = self.scalar
        match step.op:
            case "read_at":
                return self._read_at(step, shape)
            case "reshape":
                (source,) = step.operands
                return self.registers[source.reg if isinstance(source, Use) else 0].reshape(shape)
            case "extern":
                return scalar.extern(step.name, [self.registers[reg] for reg in step.reads], shape)
            case "ints" | "intcmp":
                values = integers(step.poly or Poly.of(0), shape, self.ints, self._register)
                return values if step.op == "ints" else values >= 0 if step.name == ">=" else values == 0
        args = [self.operand(o, shape) for o in step.operands]
        axes = tuple(range(step.rank, len(shape)))
        match step.op:
            case "map":
                return scalar.map(step.name, args)
            case "pow":
                return scalar.pow(args[0], int(step.name))
            case "call":
                return scalar.call(step.name, args)
            case "select":
                return scalar.select(*args)
            case "compare":
                return scalar.compare(step.name, *args)
            case "logic":
                return connect(step.name, args)
            case "fold":
                return scalar.fold(step.name, args[0], args[1] if len(args) > 1 else None, axes)
            case "contract":
                return scalar.fold("sum", scalar.map("mul", args), None, axes)
            case "as_real":
                return scalar.cast(args[0])
            case "whole":
                return scalar.whole(args[0])
            case "copy":
                return np.array(args[0])
            case "order":
                return self._order(step, np.asarray(args[0]))
            case "add_at":
                return self._add_at(step, args[0], shape)
        raise ValueError(f"unknown step {step.op}")

    def _order(self, step: Step, values: Array) -> Any:
        """Every entry against every other one of its row, as the step is written."""
        scalar, axis = self.scalar, step.axis or 0
        rows = np.moveaxis(values, axis, -1)
        entry, other = np.broadcast_arrays(rows[..., :, None], rows[..., None, :])
        before = scalar.compare("<", *((other, entry) if step.name == "<" else (entry, other)))
        count = rows.shape[-1]
        earlier = np.broadcast_to(np.tri(count, k=-1, dtype=bool), entry.shape)
        apart = np.broadcast_to(~np.eye(count, dtype=bool), entry.shape)
        tie = connect("and", [scalar.compare("==", other, entry), earlier])
        guard = connect("and", [apart, connect("or", [before, tie])])
        ones = scalar.array(np.ones(entry.shape, np.int64))
        return np.moveaxis(np.asarray(scalar.fold("sum", ones, guard, (entry.ndim - 1,))), -1, axis)

    def _register(self, reg: int) -> Array:
        return self.registers[reg]

    def _read_at(self, step: Step, shape: tuple[int, ...]) -> Array:
        (use,) = step.operands
        if not isinstance(use, Use):
            raise TypeError("a gather reads a register")
        source = self.registers[use.reg]
        out = gathered(source, use.index, shape, self.ints, self._register, use.padded)
        if use.padded and step.kind == "real" and self.scalar.exact:
            # Padding is the number 0 of these scalars, not Python's.
            # A ufunc of objects gives a bare value for an array without axes.
            outside = np.asarray(np.frompyfunc(lambda v: type(v) is int, 1, 1)(out), bool)
            out = np.where(outside, self.scalar.zeros(()), out)
        return out

    def _add_at(self, step: Step, values: Array, shape: tuple[int, ...]) -> Array:
        axis = step.axis or 0
        out = self.scalar.zeros(shape[: step.rank])
        where = np.broadcast_to(integers(step.poly or Poly.of(0), shape, self.ints, self._register), shape)
        # The operand and the position do not depend on the scattered label: take its first slice.
        if 0 in shape:
            return out
        values, where = (np.take(a, 0, axis) for a in (values, where))
        for position in np.ndindex(values.shape):
            target = int(where[position])
            if 0 <= target < shape[axis]:
                outer = list(position[: step.rank - 1])
                outer.insert(axis, target)
                key = tuple(outer)
                out[key] = self.scalar.map("add", [_cell(out[key]), _cell(values[position])])[()]
        return out


def _cell(value: Any) -> Array:
    out = np.empty((), object if not isinstance(value, np.generic) else value.dtype)
    out[()] = value
    return out
