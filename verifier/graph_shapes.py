"""SHAPE of a graph: declared shapes equal inferred ones, operators' requirements hold, for all dims allowed.

The types are inferred again here, from each operator's signature and the sizes that its node binds, and compared with
the arguments' types and with the node's own; what is not the same polynomial is Z3's to prove or to refute with dims.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from gradproof.compiler.claims import Counterexample
from gradproof.compiler.dims import Poly
from gradproof.compiler.graph import Env, Graph, LoopDef, Node, Ref, TensorType
from gradproof.compiler.ops import Axis, OpDef, Param
from gradproof.compiler.rewriting import walk
from gradproof.compiler.show import show
from gradproof.compiler.terms import Cond, IntCmp, RealCmp, Truth, int_eq, int_ge
from gradproof.grammar.source import Span
from gradproof.verifier.facts import GraphFacts, Instance, ungrouped, value_id, value_name
from gradproof.verifier.intervals import ANY
from gradproof.verifier.ranges import entries_in
from gradproof.verifier.witness import flat


@dataclass(frozen=True, slots=True)
class ShapeFailure:
    """What does not hold, where, and the dims at which it fails (none: it is only not proved)."""

    what: str
    span: Span
    counterexample: Counterexample | None
    reason: str = ""
    advice: tuple[str, ...] = ()


def check_shapes(graph: Graph, facts: GraphFacts, timeout: float) -> list[ShapeFailure]:
    """Everything about the graph's shapes that does not hold, or is not proved."""
    failures = list(_vacuous(graph, facts, timeout))
    done: set[object] = set()
    for goal, what, span in _goals(graph):
        if isinstance(goal, str):
            failures.append(ShapeFailure(what, span, None, goal))
        elif goal not in done:
            done.add(goal)
            failure = _prove(goal, what, span, facts, timeout)
            failures += [failure] if failure else []
    return failures


def _vacuous(graph: Graph, facts: GraphFacts, timeout: float) -> Iterator[ShapeFailure]:
    """Assumes that no number, or no dims and integer, meet: every claim would be true of nothing.

    That a tensor without entries meets anything is not counted.
    """
    from gradproof.verifier.smt import satisfiable

    for bound in graph.assumes:
        sides = (bound.left, bound.right)
        reals = [value_name(s) if isinstance(s, int) else s for s in sides if isinstance(s, int | str)]
        if any(facts.ranges.get(name, ANY).empty for name in reals):
            yield ShapeFailure(f"`{bound.text}`", bound.span, None, "with the other assumes no number meets it")
            return
    plain = [fact for fact in facts.context.facts if not entries_in(fact)]
    asked = {} if not plain else {"": facts.context.known()}
    for fact in facts.context.facts:
        for entry in sorted(entries_in(fact), key=str)[:1]:
            asked.setdefault(entry.tensor, facts.context.known(int_ge(Poly.atom(entry), 0)))
    for name, known in asked.items():
        # That they are impossible is proved where no model is found.
        if satisfiable([c for c in known if name or not entries_in(c)], timeout).answer == "proved":
            span = graph.assumes[0].span if graph.assumes else graph.span
            yield ShapeFailure("the assumes", span, None, f"no dims{' and integers' if name else ''} meet all of them")
            return


def _goals(graph: Graph) -> Iterator[tuple[Cond | str, str, Span]]:
    for claim in graph.size_claims:
        sides = f"{claim.left} == {claim.right}"
        yield int_eq(claim.left, claim.right), f"{claim.reason}: {sides}" if claim.reason else sides, claim.span
    seen: set[object] = set()
    for node in graph.inner:
        types = [_type(graph, node, k) for k in range(len(node.args))]
        key = (node.op, node.attrs, node.sizes, tuple(types), node.type, tuple(_delta_names(node)))
        if key in seen:
            continue
        seen.add(key)
        yield from _node_goals(graph, node, types)


def _delta_names(node: Node) -> list[str]:
    return [arg.name if isinstance(arg, Env) else "" for arg in node.args]


def _type(graph: Graph, node: Node, position: int) -> TensorType:
    arg = node.args[position]
    if isinstance(arg, Ref):
        return graph.nodes[arg.id].type
    return next(delta.type for delta in graph.delta if delta.name == arg.name)


def _node_goals(graph: Graph, node: Node, types: list[TensorType]) -> Iterator[tuple[Cond | str, str, Span]]:
    op = graph.definition(node)
    if isinstance(op, LoopDef):
        yield from _loop_goals(op, node, types)
        return
    instance = Instance.of(graph, node)
    bound = dict(node.sizes)
    unbound = [name for name in op.sizes if name not in bound]
    if unbound or len(types) != len(op.params):
        yield f"sizes without a value: {', '.join(unbound)}", f"{op.name}'s signature", node.span
        return
    for param, given in zip(op.params, types, strict=True):
        yield from _match(op, param, given, instance, bound, node, f"input {param.name} of {op.name}")
    yield from _match(op, op.output, node.type, instance, bound, node, f"the result of {op.name}")
    for axis in (a for p in (*op.params, op.output) for a in p.axes):
        if axis.pack is not None and axis.rank is not None:
            rank = int_eq(axis.rank.substitute(instance.sizes), len(bound[axis.pack]))
            yield rank, f"{axis.pack} of {op.name} has {axis.rank} axes", node.span
    for cond in flat(op.requires):
        if not any(isinstance(inner, RealCmp) for inner in walk(cond)):
            yield instance.cond(cond), f"{op.name} requires {show(cond)}", node.span
    for extent in node.type.shape:
        yield int_ge(extent, 0), f"the extent {extent} of {node.name} is not negative", node.span


def _loop_goals(loop: LoopDef, node: Node, types: list[TensorType]) -> Iterator[tuple[Cond | str, str, Span]]:
    """A loop's inputs and table, over the graph's own dims; it takes 0 steps or more."""
    if len(types) != len(loop.params):
        yield f"{len(types)} arguments for {len(loop.params)} inputs", loop.name, node.span
        return
    yield int_ge(loop.length, 0), f"the length of {loop.name} is not negative", node.span
    for param, given in zip((*loop.params, loop.output), (*types, node.type), strict=True):
        what = f"{param.name} of {loop.name}"
        if given.kind != param.kind or len(given.shape) != len(param.axes):
            yield f"it is {given}", what, node.span
            continue
        for k, (axis, have) in enumerate(zip(param.axes, given.shape, strict=True)):
            yield int_eq(axis.extent, have), f"axis {k} of {what}: {axis.extent} == {have}", node.span


def _match(
    op: OpDef,
    param: Param,
    given: TensorType,
    instance: Instance,
    bound: dict[str, tuple[Poly, ...]],
    node: Node,
    what: str,
) -> Iterator[tuple[Cond | str, str, Span]]:
    wanted = tuple(extent for axis in param.axes for extent in _extents(axis, instance, bound))
    if given.kind != param.kind:
        yield f"it is {given.kind}, not {param.kind}", what, node.span
    elif len(wanted) != len(given.shape):
        yield f"it has {len(given.shape)} axes, not {len(wanted)}", what, node.span
    else:
        for k, (a, b) in enumerate(zip(wanted, given.shape, strict=True)):
            yield int_eq(a, b), f"axis {k} of {what}: {a} == {b}", node.span


def _extents(axis: Axis, instance: Instance, bound: dict[str, tuple[Poly, ...]]) -> tuple[Poly, ...]:
    return bound[axis.pack] if axis.pack is not None else (axis.extent.substitute(instance.sizes),)


def _prove(goal: Cond, what: str, span: Span, facts: GraphFacts, timeout: float) -> ShapeFailure | None:
    if isinstance(goal, Truth):
        if goal.value:
            return None
        return ShapeFailure(what, span, Counterexample({}, {}, what, "it does not hold for any sizes", True))
    if isinstance(goal, IntCmp) and goal.rel == ">=" and facts.context.nonnegative(goal.poly):
        return None
    from gradproof.verifier.smt import prove_int

    found = prove_int(goal, facts.context.known(goal), timeout)
    if found.answer == "proved":
        return None
    if found.answer == "refuted" and found.model is not None:
        dims = {k: int(v) for k, v in found.model.items() if k in facts.context.lower}
        values = {k: int(v) for k, v in found.model.items() if k not in dims and not k.endswith("`")}
        made = sorted(name for name in {e.tensor for e in entries_in(goal)} if value_id(ungrouped(name)) is not None)
        if made:
            # The model chose these entries freely; that the graph computes such ones is not known.
            reason = f"nothing that is known of {', '.join(made)} says so"
            return ShapeFailure(what, span, None, reason)
        got = "it does not hold there" if entries_in(goal) else _sides(goal, dims)
        return ShapeFailure(what, span, Counterexample(dims, values, what, got, True), "", _advice(goal))
    return ShapeFailure(what, span, None, found.reason or "not proved")


def _advice(goal: Cond) -> tuple[str, ...]:
    """What to say where two sizes are the same in truth, or where an input's entries are within bounds."""
    if isinstance(goal, IntCmp) and entries_in(goal):
        whole = re.sub(r"\[[^\[\]]*\]", "", show(goal))
        return (f"`assume {whole}`", "or an operator's result that ensures it") if "[" not in whole else ()
    if not isinstance(goal, IntCmp) or goal.rel != "==":
        return ()
    left = Poly({m: c for m, c in goal.poly.terms if c > 0})
    right = left - goal.poly
    same = f"`assume {left} == {right}`, or one dim for both, if they are always equal"
    return same, "or a tensor of another shape"


def _sides(goal: Cond, dims: dict[str, int]) -> str:
    """What the two sides of an equation are at the dims."""
    match goal:
        case IntCmp("==", poly):
            try:
                left = Poly({m: c for m, c in poly.terms if c > 0})
                right = left - poly
                return f"{left} = {left.evaluate(dims)}, {right} = {right.evaluate(dims)}"
            except (KeyError, ZeroDivisionError):
                pass
    return "it does not hold there"
