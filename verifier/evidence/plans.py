"""Evidence of PLAN: where each value, tangent and gradient stands in a plan. The planner is run again, and watched."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias

from gradproof.compiler.claims import Claim
from gradproof.compiler.graph import Graph, Node
from gradproof.compiler.kernels import Use, Value, bare, live, renumber_operand, survivors
from gradproof.compiler.plan import Plan, Planner
from gradproof.compiler.portable import Table
from gradproof.compiler.portable_graphs import operand_data
from gradproof.verifier.checker import meanings, plans
from gradproof.verifier.checker.operators import Op
from gradproof.verifier.checker.terms import Refused
from gradproof.verifier.evidence.graphs import read
from gradproof.verifier.evidence.methods import Evidence, Subject

Data: TypeAlias = dict[str, Any]


class _Watched(Planner):
    """A planner that keeps what its backward pass makes, in order: contributions, and sums behind those they add."""

    def __init__(self, graph: Graph) -> None:
        super().__init__(graph)
        self.made: list[Value] = []

    def _contributions(self, node: Node, cotangent: Value) -> Iterable[tuple[int, Value]]:
        for parent, value in super()._contributions(node, cotangent):
            self.made.append(value)
            yield parent, value

    def _plus(self, a: Value, b: Value) -> Value:
        total = super()._plus(a, b)
        self.made.append(total)
        return total


class _Located:
    """A plan with the registers of what the graph makes."""

    def __init__(self, graph: Graph, plan: Plan, table: Table, copied: bool) -> None:
        work = _Watched(graph)
        work.declare(plan.mode)
        work.forward()
        outputs = [work.values[id_] for id_ in graph.outputs]
        moves: list[Value] = []
        if plan.mode == "jvp":
            moves = work.tangents()
            outputs += [moves[id_] for id_ in graph.outputs]
        elif plan.mode != "forward":
            grads = work.backward(work.seeds(plan.mode))
            outputs += [grads[leaf.id] for leaf in graph.gamma]
        program = work.build.program(outputs)
        if live(program) != plan.program:
            raise Refused("planned again, it is another plan")
        self.names, self.plan, self.table = survivors(program), plan, table
        self.copies: dict[tuple[object, ...], int] = {}
        if copied:
            steps = enumerate(plan.program.steps, len(plan.program.inputs))
            self.copies = {(s.operands[0], s.extents): reg for reg, s in steps if s.op == "copy"}
        rows = (work.values[graph.leaves :], moves[graph.leaves :], work.made)
        self.data: Data = dict(zip(("values", "moves", "back"), (list(map(self.row, r)) for r in rows), strict=True))

    def row(self, value: Value) -> Any:
        """A register, an operand with its register, or nothing where the plan does not compute it."""
        operand = value.operand
        if not isinstance(operand, Use):
            return [operand_data(operand, self.table), None]
        regs = [operand.reg, *(reg for reg in _inner(operand))]
        if any(reg not in self.names for reg in regs):
            return None
        moved = renumber_operand(operand, self.names)
        if not isinstance(moved, Use):
            return None
        plain = not moved.padded and moved.index == bare(len(value.extents))
        if (moved, value.extents) in self.copies:
            return self.copies[moved, value.extents]
        if plain and self.plan.program.axes(moved.reg) == value.extents:
            return moved.reg
        return [operand_data(moved, self.table), moved.reg]


def _inner(use: Use) -> Iterator[int]:
    for poly in use.index:
        for entry in poly.entries():
            yield int(entry.tensor[1:])


def plan_evidence(subject: Subject, position: int, claim: Claim, table: Table) -> Evidence | None:
    """PLAN: the places in each plan, and which operators' rules run over the axes of a pack one by one."""
    graph = subject.what
    if not isinstance(graph, Graph) or claim.code != "PLAN":
        return None
    for copied in (False, True):
        try:
            found = {plan.mode: _Located(graph, plan, table, copied).data for plan in subject.plans}
        except Refused:
            return None
        evidence = _hinted(subject, found, table)
        if evidence is not None:
            return evidence
    return None


def _hinted(subject: Subject, found: dict[Any, Data], table: Table) -> Evidence | None:
    """Places with hints that convince the checker; None where no hint does."""
    subject.memo.pop("graph", None)  # the table has grown
    own = read(subject, table)
    if own is None:
        return None
    used = {s.op for s in own.steps} - {"input", *own.loops}
    ops = {name: Op(subject.memo["ops"][name], subject.memo["nodes"]) for name in used}
    hints: dict[str, int] = {}
    evidence: Evidence = {"by": "places", "hints": hints, "plans": found}
    while True:
        try:
            plans.check(own, ops.__getitem__, evidence)
            return evidence
        except meanings.Differs as problem:
            if hints.get(problem.key, 0) == 7 or not problem.key:
                return None
            hints[problem.key] = hints.get(problem.key, 0) + 1
        except Refused:
            return None
