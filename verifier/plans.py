"""PLAN: what is planned is the graph's terms, and no buffer is overwritten while it is live. Translation validation.

Three parts, none of which trusts lowering or planning: each kernel denotes its rule's term (denotation.py, by the
normal form), the plan wires those kernels as the graph says (wiring.py), and its buffers hold what is read
(buffers.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from time import perf_counter

from gradproof.compiler.claims import Claim, Verdict
from gradproof.compiler.dims import Poly
from gradproof.compiler.graph import Graph
from gradproof.compiler.kernels import Kernel
from gradproof.compiler.lower import kernel_of
from gradproof.compiler.ops import OpDef
from gradproof.compiler.plan import Mode, Plan, make_plan
from gradproof.compiler.rewriting import rename_tensors
from gradproof.compiler.rules import Computation, rules_of
from gradproof.compiler.terms import Cond, Read, Term, indicator
from gradproof.compiler.transpose import inline
from gradproof.verifier.buffers import check_buffers
from gradproof.verifier.denotation import Applied, Meaningless, denote_kernel
from gradproof.verifier.domains import Need, needs_of, unmet
from gradproof.verifier.equality import equal
from gradproof.verifier.setting import setting_of
from gradproof.verifier.shapes import Goal, tensor_extents
from gradproof.verifier.shapes import prove as prove_shape
from gradproof.verifier.wiring import check_wiring

__all__ = ["check_buffers", "check_plan", "check_wiring", "denote_kernel", "kernel_problem", "modes_of", "prove_plan"]


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of an operator: `mode` forward, jvp or vjp (of the input `name`)."""

    mode: str
    name: str
    computation: Computation


def rules(op: OpDef) -> Iterator[Rule]:
    """Every rule of an operator that is lowered to a kernel."""
    found = rules_of(op)
    yield Rule("forward", "", found.forward)
    if found.jvp is not None:
        yield Rule("jvp", "", found.jvp)
    for name, computation in found.vjps:
        yield Rule("vjp", name, computation)


def kernel_problem(op: OpDef, kernel: Kernel, computation: Computation, timeout: float = 10.0) -> str:
    """Why this kernel is not proved to compute this computation, for all sizes; empty where it is."""
    result = computation.result
    try:
        denoted = denote_kernel(kernel, result.indices)
    except (Meaningless, ValueError, IndexError, KeyError) as error:
        return f"the kernel has no meaning: {error}"
    if denoted.extents != result.extents:
        return "the kernel's result has other extents"
    for within in denoted.inside:
        around = setting_of(op).context.with_ranges(dict(within.ranges))
        if prove_shape(Goal(within.cond, around, (), "a gathered position"), timeout) is not None:
            return "a gathered position of a computed array is not known to be in bounds"
    definitions: dict[str, tuple[tuple[str, ...], Term]] = {}
    for let in computation.lets:
        if isinstance(let.body, Cond):
            return f"the intermediate {let.target} is boolean"
        definitions[let.target] = (let.indices, let.body)
    names = _externs(op, denoted.externs, computation, definitions, timeout)
    if isinstance(names, str):
        return names
    parts = [(denoted.indices, denoted.extents, denoted.body), *(arg for one in denoted.externs for arg in one.args)]
    for indices, lengths, body in parts:
        if isinstance(result.body, Cond) or isinstance(body, Cond):
            continue
        ranges = dict(zip(indices, lengths, strict=True))
        undefined = _undefined(op, rename_tensors(body, names), ranges, computation, definitions, timeout)
        if undefined:
            return f"the kernel may be undefined where its formula is not: {undefined}"
    left, right = (indicator(t) if isinstance(t, Cond) else t for t in (result.body, denoted.body))
    right = rename_tensors(right, names)
    setting = setting_of(op)
    context = setting.context.with_ranges(dict(zip(result.indices, result.extents, strict=True)))
    outcome = equal(inline(left, definitions), right, context, setting.facts_at(context.ranges), timeout)
    return "" if outcome.proved else outcome.reason or "the kernel is not shown to equal its formula"


def _externs(
    op: OpDef,
    applied: tuple[Applied, ...],
    computation: Computation,
    definitions: dict[str, tuple[tuple[str, ...], Term]],
    timeout: float,
) -> dict[str, str] | str:
    """What the formulas call each extern's result that a kernel computes; or why one of them is none of theirs."""
    names: dict[str, str] = {}
    for one in applied:
        for extern in computation.externs:
            same = extern.kernel == one.kernel and extern.extents == one.extents and len(extern.args) == len(one.args)
            if same and all(
                _same_argument(op, name, arg, definitions, names, timeout)
                for name, arg in zip(extern.args, one.args, strict=True)
            ):
                names[one.tensor] = extern.tensor
                break
        else:
            return f"{one.kernel} is applied to what no formula gives it"
    return names


def _same_argument(
    op: OpDef,
    name: str,
    arg: tuple[tuple[str, ...], tuple[Poly, ...], Term],
    definitions: dict[str, tuple[tuple[str, ...], Term]],
    names: dict[str, str],
    timeout: float,
) -> bool:
    indices, lengths, entry = arg
    if tensor_extents(op).get(name) != lengths:
        return False
    wanted = inline(Read(name, tuple(map(Poly.sym, indices))), definitions)
    setting = setting_of(op)
    context = setting.context.with_ranges(dict(zip(indices, lengths, strict=True)))
    facts = setting.facts_at(context.ranges)
    return equal(wanted, rename_tensors(entry, names), context, facts, timeout).proved


def _undefined(
    op: OpDef,
    body: Term,
    ranges: dict[str, Poly],
    computation: Computation,
    definitions: dict[str, tuple[tuple[str, ...], Term]],
    timeout: float,
) -> str:
    """What a kernel needs in order to be defined that its formula, intermediates included, does not need as well."""
    context = setting_of(op).context
    given: list[Need] = []
    for formula in (*computation.lets, computation.result):
        inside = context.with_ranges(dict(zip(formula.indices, formula.extents, strict=True)))
        given += needs_of(inline(formula.body, definitions), inside, "the formula")  # type: ignore[arg-type]
    needs = needs_of(body, context.with_ranges(ranges), "the kernel")
    return "; ".join(map(str, unmet(op, needs, given, timeout)))


@lru_cache(maxsize=4096)
def operator_problems(op: OpDef, timeout: float = 10.0) -> tuple[str, ...]:
    """What is not proved of an operator's kernels."""
    found: list[str] = []
    for rule in rules(op):
        problem = kernel_problem(op, kernel_of(op, rule.mode, rule.name), rule.computation, timeout)
        if problem:
            found.append(f"{op.name} {rule.mode} {rule.name}".rstrip() + f": {problem}")
    return tuple(found)


def check_plan(plan: Plan) -> list[str]:
    """What is wrong with a plan, given that its operators' kernels are right; nothing where it is right."""
    return check_buffers(plan) or check_wiring(plan)


def modes_of(graph: Graph) -> tuple[Mode, ...]:
    """The modes in which a graph can be planned."""
    if len(graph.outputs) == 1:
        type_ = graph.nodes[graph.outputs[0]].type
        if type_.kind == "real" and not type_.shape:
            return ("forward", "value_and_grad", "vjp", "jvp")
    return ("forward", "vjp", "jvp")


def prove_plan(graph: Graph, claim: Claim, timeout: float = 10.0) -> Verdict:
    """The verdict on PLAN for a graph: its operators' kernels, and its plans in every mode."""
    started = perf_counter()
    found: list[str] = []
    for name in sorted({node.op for node in graph.inner} - graph.loops.keys()):
        found += operator_problems(graph.ops[name], timeout)
    if not found:
        for mode in modes_of(graph):
            found += [f"{mode}: {problem}" for problem in check_plan(make_plan(graph, mode))]
    seconds = perf_counter() - started
    if found:
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        return Verdict(claim, "unknown", "", "all sizes", seconds, reason=f"{found[0]}{more}")
    return Verdict(claim, "proved", "normal form + buffer scan", "all sizes", seconds)
