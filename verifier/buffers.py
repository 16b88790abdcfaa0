"""A plan's buffers: every read sees the register that it means, for all sizes, by one scan over the steps.

Also what the executor takes for granted of a step: arities, kinds, affine operands, labels where they belong.
"""

from __future__ import annotations

from gradproof.compiler.dims import Poly, Sym
from gradproof.compiler.functions import FUNCTIONS
from gradproof.compiler.kernels import Operand, Program, Scalar, Step, Use, bare, is_label
from gradproof.compiler.plan import Plan
from gradproof.compiler.rewriting import walk
from gradproof.compiler.terms import Cond, Read

# The operands over which the executor writes entry by entry: it reads an entry of them before it writes that entry, and
# of no other operand after. A choice reads its second branch again after its first write.
_ENTRYWISE: dict[str, int] = {"map": 2, "call": 2}


def check_buffers(plan: Plan) -> list[str]:
    """What is wrong with the plan's buffers and the form of its steps; nothing where all is right."""
    program, slots = plan.program, plan.slots
    count = len(program.inputs) + len(program.steps)
    if len(slots.of) != count or any(not 0 <= s < len(slots.sizes) for s in slots.of):
        return ["a register has no slot"]
    found = check_form(program)
    return found or _Scan(program, slots.of, slots.sizes, slots.static).problems()


class _Scan:
    def __init__(
        self, program: Program, slots: tuple[int, ...], sizes: tuple[tuple[str, Poly], ...], static: frozenset[int]
    ) -> None:
        self.program, self.slots, self.sizes, self.static = program, slots, sizes, static
        self.first = len(program.inputs)
        self.root = list(range(self.first))  # the register whose buffer an alias is
        self.holder: dict[int, int] = {}  # slot -> the register that is in it
        self.found: list[str] = []
        self._entries: dict[tuple[Poly, ...], Poly] = {}

    def problems(self) -> list[str]:
        for reg in range(self.first):
            if self.slots[reg] in self.holder:
                self.found.append(f"input {reg} shares its buffer with input {self.holder[self.slots[reg]]}")
            self.holder[self.slots[reg]] = reg
            self._fits(reg)
        private = self._static()
        for reg, step in enumerate(self.program.steps, self.first):
            self._fits(reg)
            self._reads(f"step {reg}", step.reads)
            self._writes(reg, step, private)
        for value in self.program.outputs:
            if isinstance(value.operand, Use):
                self._reads("an output", (value.operand.reg,))
        return self.found

    def _fits(self, reg: int) -> None:
        axes = self.program.axes(reg)
        if axes not in self._entries:
            self._entries[axes] = Poly.product(axes)
        if self.sizes[self.slots[reg]] != (self.program.kind(reg), self._entries[axes]):
            self.found.append(f"register {reg} does not fit its buffer")

    def _reads(self, who: str, regs: tuple[int, ...]) -> None:
        for reg in regs:
            if self.holder.get(self.slots[reg]) != self.root[reg]:
                self.found.append(f"{who} reads register {reg}, whose buffer holds another")

    def _static(self) -> frozenset[int]:
        """Steps that run once, before any input is there: they may read only each other, in buffers of their own."""
        shared: dict[int, set[int]] = {}
        for reg in range(len(self.slots)):
            shared.setdefault(self.slots[reg], set()).add(reg)
        for reg in sorted(self.static):
            if reg < self.first:
                self.found.append(f"input {reg} is taken for a constant")
                continue
            step = self.program.steps[reg - self.first]
            if any(r not in self.static for r in step.reads):
                self.found.append(f"step {reg} is run once and reads what changes")
            others = shared[self.slots[reg]] - {reg}
            if any(not self._alias(r, shared[self.slots[reg]]) for r in others) and not self._alias(reg, others):
                self.found.append(f"step {reg} is run once and shares its buffer")
        return frozenset(self.slots[reg] for reg in self.static)

    def _alias(self, reg: int, others: set[int]) -> bool:
        if reg < self.first:
            return False
        step = self.program.steps[reg - self.first]
        return step.op == "reshape" and step.reads[0] in others

    def _writes(self, reg: int, step: Step, private: frozenset[int]) -> None:
        slot = self.slots[reg]
        if step.op == "reshape":
            self.root.append(self.root[step.reads[0]])
            if slot != self.slots[step.reads[0]]:
                self.found.append(f"register {reg} is another view of {step.reads[0]} in another buffer")
            return
        self.root.append(reg)
        held = self.holder.get(slot)
        if held is not None and held < self.first:
            self.found.append(f"step {reg} overwrites input {held}")
        if slot in private and reg not in self.static:
            self.found.append(f"step {reg} overwrites a constant")
        if any(self.slots[r] == slot for r in step.reads) and not self._entrywise(step, slot):
            self.found.append(f"step {reg} overwrites what it still reads")
        self.holder[slot] = reg

    def _entrywise(self, step: Step, slot: int) -> bool:
        """Whether the step reads this buffer only at the entry that it is writing, and may be run in place."""
        mine = [(k, o) for k, o in enumerate(step.operands) if isinstance(o, Use) and self.slots[o.reg] == slot]
        others = [r for r in step.reads if self.slots[r] == slot]
        if len(others) != len(mine):
            return False  # read inside an index, too
        for position, use in mine:
            if use.padded or use.index != bare(step.rank) or self.program.axes(use.reg) != step.axes:
                return False
            if step.op == "select" and position != 1:
                return False
            if step.op == "pow" and step.name not in ("2", "-1"):
                return False
        return step.op in ("map", "call", "select", "pow")


_ARITY: dict[tuple[str, str], tuple[str, ...]] = {
    **{("map", name): ("real", "real") for name in ("add", "sub", "mul", "div")},
    ("map", "neg"): ("real",),
    ("select", ""): ("bool", "real", "real"),
    **{("compare", rel): ("real", "real") for rel in ("<", "<=", "==")},
    ("logic", "and"): ("bool", "bool"),
    ("logic", "or"): ("bool", "bool"),
    ("logic", "not"): ("bool",),
    ("contract", "sum"): ("real", "real"),
    ("as_real", ""): ("int",),
    ("whole", ""): ("real",),
    ("ints", ""): (),
    ("intcmp", ">="): (),
    ("intcmp", "=="): (),
    ("add_at", "sum"): ("real",),
    ("order", "<"): ("real",),
    ("order", ">"): ("real",),
}
_RESULT = {"compare": "bool", "logic": "bool", "intcmp": "bool", "ints": "int", "whole": "int"}


def check_form(program: Program) -> list[str]:
    """Whether each step is one of the table in kernels.py, with operands of the right kinds over its own labels."""
    found: list[str] = []
    first = len(program.inputs)
    for reg, step in enumerate(program.steps, first):
        problem = _form(program, reg, step)
        if problem:
            found.append(f"step {reg}: {problem}")
    for value in program.outputs:
        problem = _operand(program, first + len(program.steps), value.operand, len(value.extents), False)
        kind = value.kind if isinstance(value.operand, Scalar) else program.kind(value.operand.reg)
        found += [f"an output: {problem}"] if problem else []
        found += ["an output of another kind"] if kind != value.kind and not problem else []
    return found


def _form(program: Program, reg: int, step: Step) -> str:
    if not 0 <= step.rank <= len(step.extents):
        return "more axes than labels"
    for operand in step.operands:
        whole = step.op in ("reshape", "extern", "loop")
        problem = _operand(program, reg, operand, len(step.extents), step.op == "read_at", whole)
        if problem:
            return problem
    if step.poly is not None and not _poly(program, reg, step.poly, len(step.extents)):
        return "an index that is not over its labels and earlier integers"
    if (step.poly is None) != (step.op not in ("ints", "intcmp", "add_at")):
        return "an integer expression where none belongs, or none where one does"
    if step.rank < len(step.extents) and step.op not in ("fold", "contract", "add_at"):
        return "bound labels where nothing is reduced"
    kinds = tuple(_kind(program, o) for o in step.operands)
    if step.op == "loop" or step.loop is not None:
        return _loop(step, kinds)
    return _shape(step, kinds) or _labels(step)


def _loop(step: Step, kinds: tuple[str, ...]) -> str:
    """A loop's operands are registers of the kinds of its inputs, then real ones, as kernels.py says."""
    if (
        step.loop is None
        or step.op != "loop"
        or step.kind != "real"
        or any(isinstance(o, Scalar) for o in step.operands)
    ):
        return "a loop without a definition, or of constants"
    more = {"value": 0, "jvp": 1 + len(step.loop.differentiable), "vjp": 2}.get(step.name)
    if more is None or kinds != (*(p.kind for p in step.loop.params), *("real",) * more):
        return f"a loop's {step.name} of {', '.join(kinds)}"
    return ""


def _kind(program: Program, operand: Operand) -> str:
    if isinstance(operand, Scalar):
        return "bool" if isinstance(operand.term, Cond) else "real"
    return program.kind(operand.reg)


def _shape(step: Step, kinds: tuple[str, ...]) -> str:
    """Operand kinds and result kind."""
    match step.op:
        case "copy" | "read_at" | "reshape":
            right = len(kinds) == 1 and kinds[0] == step.kind and not step.name
        case "extern":
            right = bool(step.name) and all(kind == "real" for kind in kinds) and step.kind == "real"
        case "call":
            known = FUNCTIONS.get(step.name)
            right = known is not None and kinds == ("real",) * known.arity and step.kind == "real"
        case "pow":
            right = step.name.lstrip("-").isdigit() and kinds == ("real",) and step.kind == "real"
        case "fold":
            right = step.name in ("sum", "prod", "max", "min") and kinds in (("real",), ("real", "bool"))
            right = right and step.kind == "real"
        case _:
            right = _ARITY.get((step.op, step.name)) == kinds and step.kind == _RESULT.get(step.op, "real")
    return "" if right else f"{step.op} {step.name} of {', '.join(kinds) or 'nothing'} to {step.kind}"


def _labels(step: Step) -> str:
    """Labels that a contraction or a scatter relies on."""
    inner = {f"${k}" for k in range(step.rank, len(step.extents))}
    if step.op == "contract" and any(not inner <= _symbols(o) for o in step.operands):
        return "a factor of a contraction lacks a bound label"
    if step.op == "add_at":
        if step.axis is None or not 0 <= step.axis < step.rank or step.poly is None:
            return "a scatter without an axis"
        name = f"${step.axis}"
        if name in step.poly.symbols or name in _symbols(step.operands[0]):
            return "a scatter that depends on where it writes"
    elif step.op == "order":
        if step.axis is None or not 0 <= step.axis < step.rank:
            return "an order without an axis"
    elif step.axis is not None:
        return "an axis where none belongs"
    if step.op in ("reshape", "extern") and any(isinstance(o, Scalar) for o in step.operands):
        return f"a constant given whole to {step.op}"
    return ""


def _symbols(operand: Operand) -> frozenset[str]:
    if isinstance(operand, Scalar):
        return frozenset()
    return frozenset[str]().union(*(p.symbols for p in operand.index))


def _operand(program: Program, reg: int, operand: Operand, labels: int, any_index: bool, whole: bool = False) -> str:
    if isinstance(operand, Scalar):
        reads = any(isinstance(node, Read) for node in walk(operand.term))
        return "a constant that reads a tensor" if reads else ""
    if not 0 <= operand.reg < reg:
        return f"register {operand.reg} is not there yet"
    if whole:
        return "" if not operand.index and not operand.padded else "a reshape at an index"
    if len(operand.index) != len(program.axes(operand.reg)):
        return f"register {operand.reg} has another number of axes"
    for poly in operand.index:
        if not _poly(program, reg, poly, labels):
            return "an index that is not over its labels and earlier integers"
        if not any_index and not _affine(poly):
            return "an index that is not affine"
    return ""


def _poly(program: Program, reg: int, poly: Poly, labels: int) -> bool:
    for name in poly.symbols:
        if is_label(name) and not 0 <= int(name[1:]) < labels:
            return False
    for entry in poly.entries():
        source = int(entry.tensor[1:])
        if not 0 <= source < reg or program.kind(source) != "int" or len(entry.index) != len(program.axes(source)):
            return False
    return True


def _affine(poly: Poly) -> bool:
    if poly.as_symbol is not None:
        return True
    if any(True for _ in poly.entries()):
        return False
    for monomial, _ in poly.terms:
        degree = 0
        for atom, exponent in monomial:
            if isinstance(atom, Sym):
                degree += exponent if is_label(atom.name) else 0
            elif any(map(is_label, Poly.atom(atom).symbols)):
                return False
        if degree > 1:
            return False
    return True
