"""The array program: a straight line of steps over registers, each step one formula in index notation.

A kernel is the array program of one formula of one operator; a plan is the array program of a whole graph. Nothing here
depends on concrete sizes: extents are polynomials over sizes, and a step is fixed once the term is.

A step has labels `$0 .. $(k-1)`, each running below its extent. The first `rank` labels are the axes of its result, the
others are bound. What a step means (`r` is its register, `a b c` its operands, `$` its labels):

| op | name | r[first rank labels] = |
|---|---|---|
| map | add sub mul div neg | a + b, a - b, a * b, a / b, -a |
| pow | an integer k | a ^ k |
| call | a function of functions.py | name(a, ...) |
| select | | a where the condition c holds, else b; operands (c, a, b) |
| compare | < <= == | the truth of a name b, over the reals |
| logic | and or not | the connective of the operands |
| fold | sum prod max min | name over the bound labels of a, where the guard b (if there is one) holds |
| contract | | the sum over the bound labels of a * b |
| ints | | the integer `poly` |
| intcmp | >= == | the truth of `poly` name 0 |
| as_real | | the integer a as a real |
| whole | | the real a, an integer by its form, as an integer |
| read_at | | a, whose index is any polynomial, integer registers included |
| copy | | a |
| reshape | | the register a with its entries in the same row-major order (its Use has no index) |
| extern | a kernel of runtime/externs.py | what it makes of the whole registers a, ... (Uses without index) |
| order | < > | how many other entries of a along $axis are < (>) this one, or equal and before it |
| add_at | sum | the sum over the bound labels of a, where `poly` == $axis; see `axis` |
| loop | value jvp vjp | what the loop `loop` makes of whole registers; see below |

The operands of a loop are its inputs in order; then, for jvp and vjp, its table; then for jvp a tangent for each
differentiable input, for vjp the table's cotangent. Its result is the table, the table's tangent, or the gradients of
the differentiable inputs, flat and one after another.

An operand `Use(reg, index)` is the entry of register `reg` at `index`, affine in the labels; where it is `padded` it
is 0 outside the register's bounds. `Scalar` is a constant of sizes and attributes. An integer register r is read inside
a polynomial as the tensor `%r`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import TypeAlias

from gradproof.compiler.dims import Entry, FloorDiv, Max, Min, Mod, Poly, Sym
from gradproof.compiler.graph import LoopDef
from gradproof.compiler.ops import Axis
from gradproof.compiler.terms import Cond, Term

OPS = (
    *("map", "pow", "call", "select", "compare", "logic", "fold", "contract", "ints", "intcmp", "as_real", "whole"),
    *("read_at", "copy", "reshape", "extern", "add_at", "order", "loop"),
)


@cache
def label(k: int) -> Poly:
    """The label `$k` as an index."""
    return Poly.sym(f"${k}")


@cache
def bare(rank: int) -> tuple[Poly, ...]:
    """The index `[$0, ..., $(rank-1)]`."""
    return tuple(label(k) for k in range(rank))


def register_name(reg: int) -> str:
    """What an integer register is called inside a polynomial."""
    return f"%{reg}"


@dataclass(frozen=True, slots=True)
class Use:
    """The entry of a register at an index over the step's labels; 0 outside its bounds where `padded`."""

    reg: int
    index: tuple[Poly, ...]
    padded: bool = False

    def __str__(self) -> str:
        return f"r{self.reg}[{', '.join(map(str, self.index))}]{'?' if self.padded else ''}"


@dataclass(frozen=True, slots=True)
class Scalar:
    """A value that is known when the sizes are: constants, sizes, real attributes, and functions of them."""

    term: Term | Cond

    def __str__(self) -> str:
        return f"<{self.term}>"


Operand: TypeAlias = Use | Scalar


@dataclass(frozen=True, slots=True)
class Step:
    """One step; see the table above. `extents` are the labels' extents, in the sizes of the program."""

    op: str
    name: str
    kind: str  # of the result: "real", "int" or "bool"
    extents: tuple[Poly, ...]
    rank: int
    operands: tuple[Operand, ...]
    poly: Poly | None = None
    axis: int | None = None  # scatter: the result's axis (a label) that `poly` gives the position on
    loop: LoopDef | None = None

    @property
    def axes(self) -> tuple[Poly, ...]:
        """The extents of the result's axes."""
        return self.extents[: self.rank]

    @property
    def reads(self) -> tuple[int, ...]:
        """The registers that the step reads, with repetition, those inside polynomials included."""
        regs: list[int] = []
        for operand in self.operands:
            if isinstance(operand, Use):
                regs.append(operand.reg)
                for poly in operand.index:
                    regs.extend(poly_registers(poly))
        if self.poly is not None:
            regs.extend(poly_registers(self.poly))
        return tuple(regs)

    def __str__(self) -> str:
        labels = ", ".join(f"${k}<{e}" for k, e in enumerate(self.extents))
        operands = ", ".join(map(str, self.operands))
        poly = f" {{{self.poly}}}" if self.poly is not None else ""
        return f"[{labels} | {self.rank}] {self.op} {self.name} {operands}{poly}"


@dataclass(frozen=True, slots=True)
class Input:
    """A register that is given: its name, its kind, its axes' extents."""

    name: str
    kind: str
    axes: tuple[Poly, ...]


@dataclass(frozen=True, slots=True)
class Value:
    """A tensor of the program: an operand over the labels `$0 ..`, which are the tensor's axes."""

    extents: tuple[Poly, ...]
    operand: Operand
    kind: str = "real"

    def __str__(self) -> str:
        return f"[{', '.join(map(str, self.extents))}] {self.operand}"


def written(inputs: Sequence[Input], steps: Sequence[Step], reg: int) -> Input | Step:
    """The input or the step that writes a register: inputs come first."""
    return inputs[reg] if reg < len(inputs) else steps[reg - len(inputs)]


@dataclass(frozen=True, slots=True)
class Program:
    """Inputs are registers 0, 1, ...; step k writes register len(inputs) + k; outputs are read at the end."""

    inputs: tuple[Input, ...]
    steps: tuple[Step, ...]
    outputs: tuple[Value, ...]

    def axes(self, reg: int) -> tuple[Poly, ...]:
        """The extents of a register's axes."""
        return written(self.inputs, self.steps, reg).axes

    def kind(self, reg: int) -> str:
        """A register's kind."""
        return written(self.inputs, self.steps, reg).kind

    def __str__(self) -> str:
        lines = [f"r{k}: {i.kind} {i.name}[{', '.join(map(str, i.axes))}]" for k, i in enumerate(self.inputs)]
        lines += [f"r{k} = {step}" for k, step in enumerate(self.steps, len(self.inputs))]
        return "\n".join([*lines, *(f"-> {value}" for value in self.outputs)])


@dataclass(frozen=True, slots=True)
class Kernel:
    """The program of one formula. A pack is one axis with the pack's extent; `axes` says which axis is a pack.

    Its inputs are named as the formula names them (`x`, `g`, `y`, `dx`); it has one output.
    """

    program: Program
    axes: tuple[Axis, ...]  # of the result
    packs: frozenset[str]  # the packs that can be expanded into their axes: see `expandable`


def poly_registers(poly: Poly) -> Iterable[int]:
    """The integer registers that a polynomial reads."""
    return (int(entry.tensor[1:]) for entry in poly.entries() if entry.tensor[0] == "%")


def rename_registers(poly: Poly, names: Mapping[int, int]) -> Poly:
    """The polynomial with its integer registers renumbered."""
    if not any(True for _ in poly.entries()):
        return poly

    def change(entry: Entry) -> Poly:
        reg = names[int(entry.tensor[1:])]
        return Poly.atom(Entry(register_name(reg), entry.index))

    return poly.rename_entries(change)


def renumber(step: Step, names: Mapping[int, int]) -> Step:
    """The step with the registers that it reads renumbered."""
    if all(names[reg] == reg for reg in step.reads):
        return step
    operands = tuple(renumber_operand(o, names) for o in step.operands)
    poly = None if step.poly is None else rename_registers(step.poly, names)
    return replace(step, operands=operands, poly=poly)


def renumber_operand(operand: Operand, names: Mapping[int, int]) -> Operand:
    """The operand with its registers renumbered."""
    if isinstance(operand, Scalar):
        return operand
    return Use(names[operand.reg], tuple(rename_registers(p, names) for p in operand.index), operand.padded)


def survivors(program: Program) -> dict[int, int]:
    """The registers that an output needs, and the inputs: old numbers to the numbers without the others."""
    count = len(program.inputs)
    needed = {v.operand.reg for v in program.outputs if isinstance(v.operand, Use)}
    for reg in range(count + len(program.steps) - 1, count - 1, -1):
        if reg in needed:
            needed.update(program.steps[reg - count].reads)
    kept = [reg for reg in range(count + len(program.steps)) if reg < count or reg in needed]
    return {reg: number for number, reg in enumerate(kept)}


def live(program: Program) -> Program:
    """The program without the steps that no output needs; inputs stay."""
    count, names = len(program.inputs), survivors(program)
    steps = tuple(renumber(step, names) for reg, step in enumerate(program.steps, count) if reg in names)
    outputs = tuple(replace(v, operand=renumber_operand(v.operand, names)) for v in program.outputs)
    return Program(program.inputs, steps, outputs)


def is_label(name: str) -> bool:
    """Whether a symbol is a label of a step."""
    return name.startswith("$")


def affine(poly: Poly, labels: Iterable[str]) -> bool:
    """Whether the polynomial is affine in the labels, with coefficients that are known when the sizes are."""
    names = frozenset(labels)
    for monomial, _ in poly.terms:
        degree = 0
        for atom, exponent in monomial:
            if isinstance(atom, Sym):
                degree += exponent if atom.name in names else 0
            elif not Poly.atom(atom).symbols.isdisjoint(names) or any(True for _ in Poly.atom(atom).entries()):
                return False
        if degree > 1:
            return False
    return True


def expandable(program: Program, packs: frozenset[str]) -> frozenset[str]:
    """The packs whose labels only ever index, bare, axes of the same pack: those may be split into several axes."""
    broken: set[str] = set()

    def check_index(reg: int, index: tuple[Poly, ...], extents: tuple[Poly, ...]) -> None:
        for axis, poly in zip(program.axes(reg), index, strict=True):
            name = poly.as_symbol
            if name is not None and is_label(name) and extents[int(name[1:])] == axis:
                continue
            check_poly(poly, extents)
            if axis.as_symbol in packs:
                broken.add(axis.as_symbol or "")

    def check_poly(poly: Poly, extents: tuple[Poly, ...]) -> None:
        for atom in poly.atoms:
            match atom:
                case Sym(name):
                    if is_label(name) and extents[int(name[1:])].as_symbol in packs:
                        broken.add(extents[int(name[1:])].as_symbol or "")
                case FloorDiv(a, b) | Mod(a, b) | Min(a, b) | Max(a, b):
                    check_poly(a, extents)
                    check_poly(b, extents)
                case Entry(tensor, index):
                    check_index(int(tensor[1:]), index, extents)

    for step in program.steps:
        if step.op in ("reshape", "extern"):
            return frozenset()
        for operand in step.operands:
            if isinstance(operand, Use):
                check_index(operand.reg, operand.index, step.extents)
        if step.poly is not None:
            check_poly(step.poly, step.extents)
        if step.axis is not None:
            broken.add(step.extents[step.axis].as_symbol or "")
    for value in program.outputs:
        if isinstance(value.operand, Use):
            check_index(value.operand.reg, value.operand.index, value.extents)
    return packs - broken
