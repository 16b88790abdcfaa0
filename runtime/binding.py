"""Bind the steps of a plan to buffers: each becomes a few calls whose arguments are fixed, views included."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from gradproof.compiler.dims import Entry, Poly
from gradproof.compiler.kernels import Operand, Program, Scalar, Step, Use, bare, is_label, label
from gradproof.compiler.terms import ONE, ZERO, Cond
from gradproof.runtime.contraction import Call, contract, copying, total
from gradproof.runtime.externs import run_floats
from gradproof.runtime.floats import COMPARE, FOLD, IDENTITY, MAPS, Array, Binding, Floats, ufunc
from gradproof.runtime.looping import Bodies, loop_calls
from gradproof.runtime.prefixes import prefix_calls, prefix_of
from gradproof.runtime.scattering import fixed_gather, scatter, scatter_slices
from gradproof.runtime.views import along, gathered, integers, view

_LOGIC: dict[str, Any] = {"and": np.logical_and, "or": np.logical_or, "not": np.logical_not}
_BITS: dict[int, Any] = {4: np.int32, 8: np.int64}
_NAMED_OUT = ("max", "min")  # their third positional argument is deprecated as `out`


class Binder:
    """The calls of one program's steps, over registers that are arrays."""

    def __init__(
        self, program: Program, registers: list[Array], binding: Binding, scalar: Floats, bodies: Bodies
    ) -> None:
        self.program, self.registers, self.binding, self.scalar = program, registers, binding, scalar
        self.bodies = bodies
        self.ints = binding.ints
        self.calls: list[Call] = []
        self._shapes: dict[tuple[Poly, ...], tuple[int, ...]] = {}
        self._constants: dict[object, Array] = {}

    def shape(self, extents: tuple[Poly, ...]) -> tuple[int, ...]:
        """The labels' extents as numbers."""
        found = self._shapes.get(extents)
        if found is None:
            found = self._shapes[extents] = tuple(max(e.evaluate(self.ints), 0) for e in extents)
        return found

    def constant(self, scalar: Scalar) -> Array:
        """A constant as an array with no axes."""
        found = self._constants.get(scalar)
        if found is None:
            if isinstance(scalar.term, Cond):
                found = np.asarray(self.scalar.truth(scalar.term, self.binding))
            else:
                found = np.asarray(self.scalar.constant(scalar.term, self.binding))
            found.setflags(write=False)
            self._constants[scalar] = found
        return found

    def operand(self, operand: Operand, shape: tuple[int, ...], small: bool = False) -> Array:
        """An operand as a view with an axis for each label (`small`: constants stay without axes)."""
        if isinstance(operand, Scalar):
            value = self.constant(operand)
            return value if small else np.broadcast_to(value, shape)
        source = self.registers[operand.reg]
        if operand.index == bare(len(shape)) and source.shape == shape:
            return source
        found = view(source, operand, shape, self.ints)
        self.calls += [copying(into, outof) for into, outof in found.copies]
        return found.array

    def bind(self, step: Step, out: Array) -> list[Call]:
        """The calls that set `out` to the step's result."""
        self.calls = []
        shape = self.shape(step.extents)
        if step.op != "reshape" and out.size:
            getattr(self, f"_{step.op}")(step, shape, out)
        return self.calls

    def _elementwise(self, fn: Callable[..., Any], step: Step, shape: tuple[int, ...], out: Array) -> None:
        args = [self.operand(o, shape, small=True) for o in step.operands]
        if step.op == "call" and step.name in _NAMED_OUT:
            self.calls.append(partial(fn, *args, out=out))
        else:
            self.calls.append(partial(fn, *args, out))

    def _map(self, step: Step, shape: tuple[int, ...], out: Array) -> None:
        self._elementwise(MAPS[step.name], step, shape, out)

    def _call(self, step: Step, shape: tuple[int, ...], out: Array) -> None:
        self._elementwise(ufunc(step.name), step, shape, out)

    def _compare(self, step: Step, shape: tuple[int, ...], out: Array) -> None:
        self._elementwise(COMPARE[step.name], step, shape, out)

    def _logic(self, step: Step, shape: tuple[int, ...], out: Array) -> None:
        self._elementwise(_LOGIC[step.name], step, shape, out)

    def _pow(self, step: Step, shape: tuple[int, ...], out: Array) -> None:
        base, exponent = self.operand(step.operands[0], shape, small=True), int(step.name)
        result = base
        for bit in bin(abs(exponent))[3:]:
            self.calls.append(partial(np.multiply, result, result, out))
            result = out
            if bit == "1":
                self.calls.append(partial(np.multiply, out, base, out))
        if exponent < 0:
            self.calls.append(partial(np.divide, np.ones((), out.dtype), result, out))

    def _extern(self, step: Step, shape: tuple[int, ...], out: Array) -> None:
        given = [self.registers[reg] for reg in step.reads]
        self.calls.append(lambda: np.copyto(out, run_floats(step.name, given)))

    def _select(self, step: Step, shape: tuple[int, ...], out: Array) -> None:
        cond, then, other = (self.operand(o, shape, small=True) for o in step.operands)
        if isinstance(step.operands[0], Scalar):
            self.calls.append(copying(out, then if cond else other))
            return
        if step.operands[1:] == (Scalar(ONE), Scalar(ZERO)):
            self.calls.append(copying(out, cond))
            return
        # A choice between bit patterns, in integers: what is not chosen is multiplied by 0, be it a NaN.
        bits = _BITS[out.dtype.itemsize]
        word, chosen = out.view(bits), cond.view(np.int8)
        a, b = then.view(bits), other.view(bits)
        if step.operands[2] == Scalar(ZERO):
            self.calls.append(partial(np.multiply, a, chosen, word))
            return
        self.calls.append(partial(np.bitwise_xor, a, b, word))
        self.calls.append(partial(np.multiply, word, chosen, word))
        self.calls.append(partial(np.bitwise_xor, word, b, word))

    def _loop(self, step: Step, shape: tuple[int, ...], out: Array) -> None:
        if step.loop is None:
            raise ValueError("a loop without a definition")
        operands = [self.registers[o.reg] for o in step.operands if isinstance(o, Use)]
        self.calls.append(loop_calls(step.loop, step.name, self.ints, self.scalar.zeros, operands, out, self.bodies))

    def _as_real(self, step: Step, shape: tuple[int, ...], out: Array) -> None:
        self.calls.append(copying(out, self.operand(step.operands[0], shape, small=True)))

    _copy = _as_real

    def _whole(self, step: Step, shape: tuple[int, ...], out: Array) -> None:
        value = self.operand(step.operands[0], shape, small=True)
        self.calls.append(partial(np.copyto, out, value, "unsafe"))  # what has no value becomes some integer

    def _order(self, step: Step, shape: tuple[int, ...], out: Array) -> None:
        axis = step.axis or 0
        value = self.operand(step.operands[0], shape)
        places = along(axis, shape)

        def run() -> None:
            rising = value if step.name == "<" else np.negative(value)
            np.put_along_axis(out, np.argsort(rising, axis, kind="stable"), places, axis)

        self.calls.append(run)

    def _fold(self, step: Step, shape: tuple[int, ...], out: Array) -> None:
        value = self.operand(step.operands[0], shape)
        identity = IDENTITY[step.name]
        prefix = prefix_of(self.program, step)
        if prefix is not None:
            self.calls += prefix_calls(step.name, prefix, value, out)
            return
        if len(step.operands) > 1:
            guard = self.operand(step.operands[1], shape)
            room = np.empty(shape, out.dtype)
            self.calls += [partial(room.fill, identity), partial(np.copyto, room, value, where=guard)]
            value = room
        if value.size == 0:
            self.calls.append(partial(out.fill, identity))
            return
        product = total(value, out) if step.name == "sum" else None
        if product is not None:
            self.calls.append(product)
            return
        axes = tuple(range(step.rank, len(shape)))
        self.calls.append(partial(FOLD[step.name].reduce, value, axes[0] if len(axes) == 1 else axes, None, out))

    def _contract(self, step: Step, shape: tuple[int, ...], out: Array) -> None:
        a, b = (self.operand(o, shape) for o in step.operands)
        labels = tuple(frozenset(_label_numbers(o)) for o in step.operands)
        self.calls += contract(a, b, out, (labels[0], labels[1]))

    # Integers.

    def _register(self, reg: int) -> Array:
        return self.registers[reg]

    def _integers(self, poly: Poly, shape: tuple[int, ...]) -> Array:
        return integers(poly, shape, self.ints, self._register)

    def _ints(self, step: Step, shape: tuple[int, ...], out: Array) -> None:
        poly = step.poly or Poly.of(0)
        self.calls.append(lambda: np.copyto(out, self._integers(poly, shape)))

    def _intcmp(self, step: Step, shape: tuple[int, ...], out: Array) -> None:
        poly = step.poly or Poly.of(0)
        split = self.one_entry(poly, shape)
        equal = step.name == "=="
        if split is None:
            zero = np.zeros((), np.int64)
            compare = np.equal if equal else np.greater_equal
            self.calls.append(lambda: compare(self._integers(poly, shape), zero, out))
            return
        rest, coefficient, entry = split
        # rest + c * entry == 0 (or >= 0), with c = 1 or -1.
        if coefficient == 1:
            self.calls.append(partial(np.equal if equal else np.greater_equal, entry, -rest, out))
        else:
            self.calls.append(partial(np.equal if equal else np.greater_equal, rest, entry, out))

    def one_entry(self, poly: Poly, shape: tuple[int, ...]) -> tuple[Array, int, Array] | None:
        """(static, 1 or -1, view) with poly = static + (1 or -1) * view, where that is its form; copies nothing."""
        varying = [(m, c) for m, c in poly.terms if any(True for _ in Poly({m: 1}).entries())]
        if len(varying) != 1 or varying[0][1] not in (1, -1):
            return None
        monomial, coefficient = varying[0]
        if len(monomial) != 1 or monomial[0][1] != 1 or not isinstance(monomial[0][0], Entry):
            return None
        entry = monomial[0][0]
        if any(p.as_symbol is None or not is_label(p.as_symbol) for p in entry.index):
            return None
        found = view(self.registers[int(entry.tensor[1:])], Use(int(entry.tensor[1:]), entry.index), shape, self.ints)
        rest = self._integers(poly - coefficient * Poly.atom(entry), shape)
        return rest, coefficient, _squeezed(found.array)

    def _read_at(self, step: Step, shape: tuple[int, ...], out: Array) -> None:
        use = step.operands[0]
        if not isinstance(use, Use):
            raise TypeError("a gather reads a register")
        source = self.registers[use.reg]
        if not any(True for p in use.index for _ in p.entries()):
            self.calls += fixed_gather(source, use, shape, out, self.ints)
            return
        if use.padded or source.size == 0:
            self._any_gather(use, source, shape, out)
            return
        if self._rows(use, source, shape, out):
            return
        self._flat(use, source, shape, out)

    def _any_gather(self, use: Use, source: Array, shape: tuple[int, ...], out: Array) -> None:
        """A gather whose positions are worked out anew on every run."""
        ints, register = self.ints, self._register
        self.calls.append(lambda: np.copyto(out, gathered(source, use.index, shape, ints, register, use.padded)))

    def _rows(self, use: Use, source: Array, shape: tuple[int, ...], out: Array) -> bool:
        """A gather along one axis by an index of its own labels: whole rows are taken."""
        varying = [k for k, p in enumerate(use.index) if any(True for _ in p.entries())]
        if len(varying) != 1:
            return False
        axis = varying[0]
        split = self.one_entry(use.index[axis], shape)
        poly = use.index[axis]
        if split is None or len(poly.terms) != 1 or split[1] != 1:
            return False
        (entry,) = poly.entries()
        if len(set(poly.symbols)) != len(entry.index):
            return False
        order = [*use.index[:axis], *entry.index, *use.index[axis + 1 :]]
        if order != [label(k) for k in range(len(shape))]:
            return False
        index = self.registers[int(entry.tensor[1:])]
        sizes = [*source.shape[:axis], *index.shape, *source.shape[axis + 1 :]]
        if tuple(sizes) != shape:
            return False
        self.calls.append(partial(source.take, index, axis, out, "clip"))
        return True

    def _flat(self, use: Use, source: Array, shape: tuple[int, ...], out: Array) -> None:
        """A gather by flat positions, which are recomputed on every run."""
        static: Any = np.zeros((1,) * len(shape), np.int64)
        parts: list[tuple[int, Array]] = []
        for poly, stride in zip(use.index, source.strides, strict=True):
            step = stride // source.itemsize
            if not any(True for _ in poly.entries()):
                static = static + self._integers(poly, shape) * step
                continue
            split = self.one_entry(poly, shape)
            if split is None:
                self._any_gather(use, source, shape, out)
                return
            static = static + split[0] * step
            parts.append((split[1] * step, split[2]))
        flat = source.reshape(-1)
        where = np.empty(shape, np.int64)
        before: Any = static
        for factor, entry in parts:
            scaled: Any = entry
            if factor != 1:
                scaled = np.empty(np.broadcast_shapes(entry.shape, (1,) * len(shape)), np.int64)
                self.calls.append(partial(np.multiply, entry, np.int64(factor), scaled))
            self.calls.append(partial(np.add, before, scaled, where))
            before = where
        self.calls.append(partial(flat.take, where, None, out, "clip"))

    def _add_at(self, step: Step, shape: tuple[int, ...], out: Array) -> None:
        axis, poly = step.axis or 0, step.poly or Poly.of(0)
        self.calls.append(partial(out.fill, 0))
        if 0 in shape:
            return
        first = tuple(slice(0, 1) if k == axis else slice(None) for k in range(len(shape)))
        source = self.operand(step.operands[0], shape)[first]  # it does not depend on the position
        moving = any(True for _ in poly.entries())
        calls = None if moving else scatter_slices(source, out, axis, poly, shape, self.ints)
        if calls is None:
            positions = partial(self._integers, poly, shape)
            calls = [scatter(source, out, axis, positions if moving else positions())]
        self.calls += calls


def _squeezed(array: Array) -> Array:
    """The view with its repeated axes at size 1, for cheaper broadcasting."""
    return array[tuple(slice(0, 1) if s == 0 else slice(None) for s in array.strides)]


def _label_numbers(operand: Operand) -> Sequence[int]:
    if isinstance(operand, Scalar):
        return ()
    return [int(s[1:]) for p in operand.index for s in p.symbols if is_label(s)]
