"""From claims to verdicts to a certificate: the only place that seals one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise

from gradproof.compiler.claims import Certificate, Claim, Verdict, issue
from gradproof.compiler.graph import Graph, LoopDef
from gradproof.compiler.loops import bodies, loops_of
from gradproof.compiler.obligations import claims_of_graph, claims_of_loop, claims_of_op, op_digest, ops_of, own_claims
from gradproof.compiler.ops import OpDef
from gradproof.compiler.orders import (
    blocked_claim,
    claims_of_gradient,
    derived_ops,
    gradient_claim,
    symmetry_claim,
    tower,
)
from gradproof.verifier.asked import heard
from gradproof.verifier.checker.main import check
from gradproof.verifier.evidence.restore import restore
from gradproof.verifier.gradients import blocked_verdict, gradient_verdict
from gradproof.verifier.graphs import verdicts_of_graph
from gradproof.verifier.loops import verdicts_of_loop
from gradproof.verifier.operators import verdicts_of_op
from gradproof.verifier.options import Options
from gradproof.verifier.progress import attempt
from gradproof.verifier.shipped import replayed
from gradproof.verifier.symmetry import symmetry_verdict

__all__ = ["Options", "Task", "certify", "replay", "required", "tasks", "verify"]


@dataclass(frozen=True, slots=True)
class Task:
    """Claims about one subject that are settled together, and how."""

    claims: tuple[Claim, ...]
    settle: Callable[[], Sequence[Verdict]]
    general: bool  # about an operator, so that one answer serves every file that has the same definition
    op: OpDef | None = None  # where these are all the claims that it makes by itself


def verify(
    ops: Sequence[OpDef], graphs: Sequence[Graph], options: Options | None = None, order: int = 1
) -> list[Verdict]:
    """A verdict on every claim of the operators and graphs, and of every operator that a graph uses.

    A higher `order` adds the graphs of gradients and the derived operators, with all claims of their own.
    With `options.solvers` of "z3" and "cvc5" both are asked. ValueError or MissingSolver where there is no such solver.
    """
    verdicts = [v for task in tasks(ops, graphs, options, order) for v in task.settle()]
    complete(verdicts, required(ops, graphs, order))
    return verdicts


def tasks(ops: Sequence[OpDef], graphs: Sequence[Graph], options: Options | None = None, order: int = 1) -> list[Task]:
    """What `verify` settles, in its order, nothing of it done yet."""
    options = options or Options()
    if options.solvers != Options().solvers:
        from gradproof.verifier.second import asked_twice, check_solvers

        check_solvers(options.solvers)
        once = tasks(ops, graphs, replace(options, solvers=Options().solvers, shipped=False), order)
        return [replace(task, settle=partial(asked_twice, task.settle, options.timeout)) for task in once]
    scope = _Scope.of(ops, graphs, order)
    found = [Task(claims_of_op(op), partial(_advised, op, options), True, op) for op in scope.ops]
    found += [_single(symmetry_claim(op), partial(symmetry_verdict, op, options.timeout), True) for op in scope.twice]
    found += [Task(own_claims(graph), partial(verdicts_of_graph, graph, options), False) for graph in scope.deep]
    found += [Task(claims_of_loop(loop), partial(verdicts_of_loop, loop, options), False) for loop in scope.loops]
    for graph, gradient in scope.steps:
        settle = partial(gradient_verdict, graph, gradient, options.timeout)
        found.append(_single(gradient_claim(graph, gradient), settle, False))
    found += [_single(blocked_claim(graph), partial(blocked_verdict, graph), False) for graph in scope.blocked]
    return found


def required(ops: Sequence[OpDef], graphs: Sequence[Graph], order: int = 1) -> list[Claim]:
    """The claims without whose verdicts nothing is complete, as the runtime will demand them."""
    scope = _Scope.of(ops, graphs, order)
    claims = [claim for op in scope.ops for claim in claims_of_op(op)]
    claims += [claim for graphs_ in scope.towers for graph in graphs_ for claim in claims_of_graph(graph)]
    return claims + [claim for step in scope.steps for claim in claims_of_gradient(*step)]


def complete(verdicts: Sequence[Verdict], claims: Sequence[Claim]) -> None:
    """No claim may be skipped: a missing verdict is an error of ours, never a pass."""
    settled = {v.claim.key for v in verdicts}
    missing = [c.key for c in claims if c.key not in settled]
    if missing:
        raise RuntimeError(f"no verdict on {missing[0]} (and {len(missing) - 1} more): please report this")


def replay(content: bytes, allow_trusted: bool = False) -> tuple[Mapping[str, Graph], Certificate]:
    """The graphs of a certificate's bytes, and the seal of what the checker accepts of it.

    Refused where it accepts not all, or where this version would run something else.
    """
    found = restore(check(content, allow_trusted))
    return found.graphs, issue(found.verdicts, found.plans)


def certify(verdicts: Sequence[Verdict]) -> Certificate:
    """Seal what is proved."""
    return issue(tuple(verdicts))


def _advised(op: OpDef, options: Options) -> list[Verdict]:
    """The verdicts on one operator, with a proved repair beside what is refuted where one is asked for and found."""
    verdicts = verdicts_of_op(op, options, replayed(op) if options.shipped and not heard() else {})
    if options.repair <= 0 or all(v.answer != "refuted" for v in verdicts):
        return verdicts
    from gradproof.verifier.repair import advised  # late: it needs NumPy, as the search does

    return advised(op, verdicts, options)


@dataclass(frozen=True, slots=True)
class _Scope:
    """All that a verification speaks of."""

    towers: list[tuple[Graph, ...]]
    ops: tuple[OpDef, ...]
    twice: tuple[OpDef, ...]  # those whose second derivative is asked for
    deep: list[Graph]  # with the bodies of loops
    loops: list[LoopDef]
    steps: list[tuple[Graph, Graph]]  # a graph and that of its gradients
    blocked: list[Graph]  # those that have none

    @staticmethod
    def of(ops: Sequence[OpDef], graphs: Sequence[Graph], order: int) -> _Scope:
        towers = [tower(graph, order) for graph in graphs]
        every = [graph for graphs_ in towers for graph in graphs_]
        deep = {own_claims(g)[0].key: g for graph in every for g in (graph, *bodies(graph))}
        loops = {claims_of_loop(loop)[0].key: loop for graph in every for loop in loops_of(graph)}
        steps = [step for graphs_ in towers for step in pairwise(graphs_)]
        wanted = _distinct((*derived_ops(ops, order), *(op for graph in deep.values() for op in ops_of(graph))))
        below = derived_ops(ops, order - 1) if order > 1 else ()
        twice = _distinct((*below, *(op for graph, _ in steps for op in ops_of(graph))))
        return _Scope(
            towers,
            wanted,
            tuple(op for op in twice if op.differentiable),
            list(deep.values()),
            list(loops.values()),
            steps,
            [graphs_[-1] for graphs_ in towers if len(graphs_) < order],
        )


def _single(claim: Claim, settle: Callable[[], Verdict], general: bool) -> Task:
    return Task((claim,), lambda: [attempt(claim, settle)], general)


def _distinct(ops: Iterable[OpDef]) -> tuple[OpDef, ...]:
    """Each definition once, in order."""
    return tuple({op_digest(op): op for op in reversed(tuple(ops))}.values())[::-1]
