"""SHAPE of an operator: every index read is in bounds, every integer division is by a non-zero size, for all sizes.

Each read of each formula (the meaning and everything that runs) gives goals `0 <= index < extent` under the ranges of
the indices around it, the guards on the way, and the operator's requirements. Linear ones are settled by moving indices
to the ends of their ranges; the others go to Z3, whose model is the counterexample.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from gradproof.compiler.calculus import requirements
from gradproof.compiler.claims import Counterexample
from gradproof.compiler.dims import Poly
from gradproof.compiler.ops import COTANGENT, OUTPUT, TANGENT, Formula, OpDef
from gradproof.compiler.rewriting import children, polys
from gradproof.compiler.rules import RuleSet, extents
from gradproof.compiler.show import show
from gradproof.compiler.terms import (
    FALSE,
    TRUE,
    And,
    BoolRead,
    Cond,
    IntCmp,
    Or,
    Read,
    Reduce,
    Select,
    Size,
    Term,
    both,
    in_range,
    int_ge,
    negate,
)
from gradproof.verifier.integers import integers_of
from gradproof.verifier.ranges import Context, entries_in
from gradproof.verifier.setting import setting_of


@dataclass(frozen=True, slots=True)
class Goal:
    """An integer condition in a context, what it is for, and the formula that it comes from."""

    cond: Cond
    context: Context
    path: tuple[Cond, ...]
    what: str


@dataclass(frozen=True, slots=True)
class Failure:
    """A goal that was not proved; with a counterexample it is refuted, without one unknown."""

    what: str
    reason: str
    counterexample: Counterexample | None


def formulas_of(op: OpDef, rules: RuleSet) -> list[tuple[str, Formula]]:
    """Every formula that means or runs something, with what it is called in messages."""
    found: dict[int, tuple[str, Formula]] = {}
    for name, computation in (("forward", rules.forward), ("jvp", rules.jvp), *rules.vjps):
        if computation is None:
            continue
        for formula in (*computation.lets, computation.result):
            found.setdefault(id(formula), (f"vjp {name}" if name not in ("forward", "jvp") else name, formula))
    found.setdefault(id(op.forward), ("the meaning", op.forward))
    for let in op.lets if op.laws else ():
        found.setdefault(id(let), (f"let {let.target}", let))
    laws = [(law, body) for law in op.laws for body in (law.left, law.right, law.adjoint) if body is not None]
    of_laws = [(f"law {law.text}", Formula(OUTPUT, law.indices, law.extents, body, law.span)) for law, body in laws]
    return [*found.values(), *of_laws]


def tensor_extents(op: OpDef) -> dict[str, tuple[Poly, ...]]:
    """The extents of every tensor that the operator's formulas may read."""
    out = extents(op.output)
    table: dict[str, tuple[Poly, ...]] = dict.fromkeys(op.real_attrs, ())
    for param in op.params:
        table[param.name] = table[TANGENT + param.name] = extents(param)
    table |= {OUTPUT: out, COTANGENT: out, TANGENT + OUTPUT: out}
    table |= {extern.tensor: extern.extents for extern in op.externs}
    return table | {let.target: let.extents for let in op.lets}


def check_op(op: OpDef, rules: RuleSet, timeout: float) -> list[Failure]:
    """SHAPE of one operator: everything that could not be proved (nothing: it is proved)."""
    context = setting_of(op).context
    failures = _vacuous(op, context, timeout)
    goals = [Goal(int_ge(e, 0), context, (), f"the result's extent {e} is not negative") for e in extents(op.output)]
    goals += [
        Goal(int_ge(e, 0), context, (), f"the extent {e} of {let.target} is not negative")
        for let in op.lets
        for e in let.extents
    ]
    for extent in (*(e for p in (*op.params, op.output) for e in extents(p)), *(e for f in op.lets for e in f.extents)):
        goals += [
            Goal(need.cond, context, (), f"{need.why} in the extent {extent}") for need in requirements(Size(extent))
        ]
    table = tensor_extents(op)
    for name, formula in formulas_of(op, rules):
        inside = context.with_ranges(dict(zip(formula.indices, formula.extents, strict=True)))
        goals += _goals(formula.body, inside, (), table, name)
        for need in requirements(formula.body):
            if need.exists:
                continue  # an optimum's guard need not hold everywhere: DOM asks for one index where it does
            if isinstance(need.cond, IntCmp) or need.why == "division of integers":
                inner = inside.with_ranges(dict(need.binders))
                goals.append(Goal(need.cond, inner, integers_of(need.path), f"{need.why} in {name}"))
    for promise in op.ensures:
        goals += _goals(promise.cond, context.with_ranges(dict(promise.ranges)), (), table, "the ensure")
    seen: set[object] = set()
    for goal in goals:
        key = (goal.cond, goal.path, tuple(goal.context.ranges.items()))
        if key not in seen:
            seen.add(key)
            failure = prove(goal, timeout)
            failures += [failure] if failure else []
    return failures


def _vacuous(op: OpDef, context: Context, timeout: float) -> list[Failure]:
    """Requirements that no sizes meet, or a domain without a point, would make every claim true of nothing."""
    from gradproof.verifier.smt import prove_real, satisfiable

    domain = setting_of(op).facts
    if len(domain) > 1 and prove_real(FALSE, [*domain, *context.known(*domain)], timeout).answer == "proved":
        return [Failure("the domain", "no real numbers are in it", None)]
    if not context.facts:
        return []

    # A model of the conditions comes back as a counterexample to their being impossible.
    possible = satisfiable([c for c in context.known() if not entries_in(c)], timeout)
    if possible.answer == "refuted":
        return []
    return [Failure("the requirements", "no sizes are known to meet them", None)]


def _goals(
    node: Term | Cond,
    context: Context,
    path: tuple[Cond, ...],
    table: Mapping[str, tuple[Poly, ...]],
    name: str,
) -> Iterator[Goal]:
    match node:
        case Read(tensor, index) | BoolRead(tensor, index):
            yield from _bounds(tensor, index, context, path, table, name)
        case Select(cond, then, other):
            yield from _goals(cond, context, path, table, name)
            yield from _goals(then, context, (*path, *integers_of((cond,))), table, name)
            yield from _goals(other, context, (*path, *integers_of((negate(cond),))), table, name)
        case Reduce(_, var, extent, guard, body):
            inner = context.with_ranges({var: extent})
            yield from _goals(guard, inner, path, table, name)
            yield from _goals(body, inner, (*path, *integers_of((guard,))), table, name)
        case And(args) | Or(args):
            for arg in args:
                yield from _goals(arg, context, path, table, name)
                path = (*path, *integers_of((arg if isinstance(node, And) else negate(arg),)))
        case _:
            for child in children(node):
                yield from _goals(child, context, path, table, name)
    for poly in polys(node):
        for entry in poly.entries():
            yield from _bounds(entry.tensor, entry.index, context, path, table, name)


def _bounds(
    tensor: str,
    index: tuple[Poly, ...],
    context: Context,
    path: tuple[Cond, ...],
    table: Mapping[str, tuple[Poly, ...]],
    name: str,
) -> Iterator[Goal]:
    for position, extent in zip(index, table[tensor], strict=True):
        if position.constant is not None or position.as_symbol is None or context.ranges.get(str(position)) != extent:
            shown = f"{tensor}[{', '.join(map(show, index))}] reads below {show(extent)} in {name}"
            yield Goal(in_range(position, extent), context, path, shown)


def prove(goal: Goal, timeout: float) -> Failure | None:
    """Prove one goal; None where it holds."""
    if goal.cond == TRUE or _quickly(goal):
        return None
    from gradproof.verifier.smt import prove_int

    everything = both(goal.cond, *goal.path)
    found = prove_int(goal.cond, [*goal.context.known(everything), *goal.path], timeout)
    if found.answer == "proved":
        return None
    if found.answer == "refuted" and found.model is not None:
        shown = {str(k): int(v) for k, v in found.model.items() if not isinstance(v, bool) and v == int(v)}
        return Failure(goal.what, "", _counterexample(goal, shown))
    return Failure(goal.what, found.reason or "not proved", None)


def _quickly(goal: Goal) -> bool:
    parts = goal.cond.args if isinstance(goal.cond, And) else (goal.cond,)
    extra = [c.poly for c in goal.path if isinstance(c, IntCmp) and c.rel == ">="]
    return all(isinstance(p, IntCmp) and p.rel == ">=" and goal.context.nonnegative(p.poly, extra) for p in parts)


def _counterexample(goal: Goal, model: Mapping[str, int]) -> Counterexample:
    dims = {k: v for k, v in model.items() if k in goal.context.lower}
    rest = {k.split("#")[0]: v for k, v in model.items() if k not in dims}
    return Counterexample(dims, rest, goal.what, _there(goal.cond, model), True)


def _there(cond: Cond, model: Mapping[str, int]) -> str:
    """What a condition's integers are at the counterexample: `i + 1 = 1`, where that is short."""
    parts = cond.args if isinstance(cond, And) else (cond,)
    told = []
    for part in parts:
        if isinstance(part, IntCmp) and not entries_in(part) and part.poly.symbols <= model.keys():
            value = part.poly.evaluate(model)
            if (value < 0) if part.rel == ">=" else value != 0:
                told.append(f"{show(part)} is false")
    return " and ".join(told) or "it does not hold there"
