"""Lower the rules of an operator to kernels. Nothing here is trusted: PLAN proves each kernel equal to its formula."""

from __future__ import annotations

from functools import lru_cache

from gradproof.compiler.kernels import Kernel, Program, expandable, live
from gradproof.compiler.lowering import Lowering, tensors_of
from gradproof.compiler.ops import Axis, Formula, OpDef
from gradproof.compiler.rules import Computation, RuleSet, rules_of
from gradproof.compiler.sums import lower_reduce


def lower(computation: Computation, op: OpDef) -> Kernel:
    """The kernel of a computation: its inputs are the tensors that it reads, in the order of `tensors_of`."""
    work = Lowering(op, computation, lower_reduce)
    for let in computation.lets:
        work.values[let.target] = work.formula(let)
    result = work.formula(computation.result)
    axes = result_axes(op, computation.result)
    program = live(work.builder.program([result]))
    return Kernel(program, axes, _packs(op, program, axes))


@lru_cache(maxsize=16384)
def kernel_of(op: OpDef, mode: str, name: str = "") -> Kernel:
    """The kernel of one of an operator's rules: forward, jvp, or vjp of the input `name`."""
    rules: RuleSet = rules_of(op)
    if mode == "forward":
        return lower(rules.forward, op)
    if mode == "jvp":
        if rules.jvp is None:
            raise ValueError(f"{op.name} has no jvp")
        return lower(rules.jvp, op)
    return lower(dict(rules.vjps)[name], op)


def result_axes(op: OpDef, formula: Formula) -> tuple[Axis, ...]:
    """The axes of what a formula of the operator computes: the output's, or for a vjp that input's."""
    table = {p.name: p.axes for p in op.params}
    return table.get(formula.target, op.output.axes)


def _packs(op: OpDef, program: Program, axes: tuple[Axis, ...]) -> frozenset[str]:
    """The packs that a plan may split into their axes."""
    table = tensors_of(op)
    every = [axis for i in program.inputs for axis in table[i.name].axes] + list(axes)
    names = frozenset(axis.pack for axis in every if axis.pack is not None)
    flat = frozenset(axis.extent.as_symbol or "" for axis in every if axis.pack is None)
    return expandable(program, names) - flat
