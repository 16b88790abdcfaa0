"""Which registers share a buffer: by their lives and the symbolic number of their entries, for all sizes at once.

Not trusted: verifier/plans.py checks the assignment by a scan of its own.
"""

from __future__ import annotations

from dataclasses import dataclass

from gradproof.compiler.dims import Poly
from gradproof.compiler.kernels import Operand, Program, Scalar, Step, Use, bare


@dataclass(frozen=True, slots=True)
class Slots:
    """The slot of every register, and of every slot the kind and the number of its entries.

    `static` registers depend on no input: they are computed once a binding, and their slots belong to them alone.
    """

    of: tuple[int, ...]
    sizes: tuple[tuple[str, Poly], ...]
    static: frozenset[int]


def assign(program: Program) -> Slots:
    """A slot for every register. A step may write over an operand that dies there, where its op allows it."""
    count = len(program.inputs)
    root, static = list(range(count)), set[int]()
    for reg, step in enumerate(program.steps, count):
        root.append(root[step.reads[0]] if step.op == "reshape" else reg)
        if all(r in static for r in step.reads):
            static.add(reg)
    last = dict.fromkeys(range(count), -1)
    for k, step in enumerate(program.steps):
        last[root[count + k]] = max(last.get(root[count + k], -1), k)
        for reg in step.reads:
            last[root[reg]] = k
    kept = set(range(count)) | {root[r] for r in static}
    for value in program.outputs:
        if isinstance(value.operand, Use):
            kept.add(root[value.operand.reg])
    dying: dict[int, list[int]] = {}
    for reg, k in last.items():
        if reg not in kept:
            dying.setdefault(k, []).append(reg)
    products: dict[tuple[Poly, ...], Poly] = {}

    def entries(axes: tuple[Poly, ...]) -> Poly:
        if axes not in products:
            products[axes] = Poly.product(axes)
        return products[axes]

    slots: list[int] = []
    sizes: list[tuple[str, Poly]] = []
    free: dict[tuple[str, Poly], list[int]] = {}

    def fresh(key: tuple[str, Poly]) -> int:
        sizes.append(key)
        return len(sizes) - 1

    for given in program.inputs:
        slots.append(fresh((given.kind, entries(given.axes))))
    for k, step in enumerate(program.steps):
        reg = count + k
        key = (step.kind, entries(step.axes))
        ending = dying.get(k, [])
        over = None if reg in kept else overwritten(program, step, root, ending)
        if step.op == "reshape":
            slots.append(slots[root[reg]])
        elif over is not None and sizes[slots[over]] == key:
            slots.append(slots[over])
            ending = [r for r in ending if r != over]
        elif reg not in static and free.get(key):
            slots.append(free[key].pop())
        else:
            slots.append(fresh(key))
        for r in ending:
            free.setdefault(sizes[slots[r]], []).append(slots[r])
    return Slots(tuple(slots), tuple(sizes), frozenset(static))


def in_place(step: Step) -> tuple[Operand, ...]:
    """The operands over which the executor can write the step's result, entry by entry."""
    match step.op:
        case "map" | "call":
            return step.operands
        case "pow" if step.name in ("2", "-1"):
            return step.operands
        case "select":
            return step.operands[1:2]
        case _:
            return ()


def overwritten(program: Program, step: Step, root: list[int], ending: list[int]) -> int | None:
    """The root of an operand that dies here, is read here only at the entry being written, and may be written over."""
    for operand in in_place(step):
        if isinstance(operand, Scalar) or operand.padded or root[operand.reg] not in ending:
            continue
        if operand.index != bare(step.rank) or program.axes(operand.reg) != step.axes:
            continue
        same = [o for o in step.operands if isinstance(o, Use) and root[o.reg] == root[operand.reg]]
        if all(o == operand for o in same):
            return root[operand.reg]
    return None
