"""PLAN: every kernel and plan is accepted, and whatever is tampered with is refused, unless it computes the same."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from time import perf_counter
from typing import Any

import numpy as np
import pytest
from gradproof.compiler.claims import Claim
from gradproof.compiler.denote import Undefined
from gradproof.compiler.dims import Poly
from gradproof.compiler.elaborate import load_text
from gradproof.compiler.kernels import Kernel, Program, Scalar, Step, Value
from gradproof.compiler.library import prelude
from gradproof.compiler.lower import kernel_of
from gradproof.compiler.ops import OpDef
from gradproof.compiler.plan import Plan, make_plan
from gradproof.compiler.slots import Slots
from gradproof.compiler.terms import num
from gradproof.runtime.executor import Executor
from gradproof.runtime.interpret import run_kernel
from gradproof.runtime.scalars import FLOAT64
from gradproof.verifier.plans import (
    check_buffers,
    check_plan,
    check_wiring,
    kernel_problem,
    modes_of,
    prove_plan,
    rules,
)

OPS = [op for group in prelude().overloads.values() for op in group]


@pytest.mark.parametrize("op", OPS, ids=lambda op: op.name)
def test_every_kernel_of_the_prelude_is_proved(op: OpDef) -> None:
    for rule in rules(op):
        assert kernel_problem(op, kernel_of(op, rule.mode, rule.name), rule.computation) == ""


OWN = """
op conv[stride, pad](x: [N, C, L], w: [O, C, K]) -> [N, O, (L + 2*pad - K) // stride + 1] {
  require stride >= 1, pad >= 0, K >= 1, L + 2*pad >= K
  y[n, o, p] = sum(c, u | 0 <= p*stride + u - pad < L) x[n, c, p*stride + u - pad] * w[o, c, u]
}
op shift(x: [n]) -> [n] { y[i] = select(i >= 1, x[i - 1], 0) - x[i] }
op prefix(x: [n]) -> [n] { y[i] = sum(j < i + 1) x[j] }
op odd(x: [n]) -> [n] { y[i] = select(i % 2 == 1, x[i // 2], x[n - 1 - i]) }
op spread(x: [n], w: [m]) -> [n] { y[i] = sum(j | x[i] < w[j]) w[j] * x[i] / (1 + x[i]^2) }
"""


@pytest.mark.parametrize("name", ["conv", "shift", "prefix", "odd", "spread"])
def test_kernels_of_windows_guards_and_floors_are_proved(name: str) -> None:
    op = load_text(OWN).ops[name]
    for rule in rules(op):
        assert kernel_problem(op, kernel_of(op, rule.mode, rule.name), rule.computation) == "", rule.mode


# Mutants.


def mutants(program: Program) -> Iterator[tuple[str, Program]]:
    """Programs with one thing changed, each with what it is."""
    for k, step in enumerate(program.steps):
        for what, changed in step_mutants(program, k, step):
            steps = (*program.steps[:k], changed, *program.steps[k + 1 :])
            yield f"step {k}: {what}", replace(program, steps=steps)
    for k, value in enumerate(program.outputs):
        for what, operand in operand_mutants(program, value.operand, len(program.inputs) + len(program.steps)):
            changed_value = Value(value.extents, operand, value.kind)
            outputs = (*program.outputs[:k], changed_value, *program.outputs[k + 1 :])
            yield f"output {k}: {what}", replace(program, outputs=outputs)


SWAPS = {"add": "sub", "sub": "add", "mul": "div", "div": "mul", "max": "min", "min": "max", "exp": "log", "log": "exp"}
SWAPS |= {"<": "<=", "<=": "<", "==": ">=", ">=": "==", "and": "or", "or": "and", "sum": "max", "tanh": "sin"}


def step_mutants(program: Program, k: int, step: Step) -> Iterator[tuple[str, Step]]:
    reg = len(program.inputs) + k
    if step.name in SWAPS and step.op not in ("contract", "add_at"):
        yield f"{step.name} -> {SWAPS[step.name]}", replace(step, name=SWAPS[step.name])
    if step.op == "pow":
        yield "another exponent", replace(step, name=str(int(step.name) + 1))
    if len(step.operands) >= 2:
        yield "operands swapped", replace(step, operands=(step.operands[1], step.operands[0], *step.operands[2:]))
    if step.op == "fold" and len(step.operands) == 2:
        yield "guard dropped", replace(step, operands=step.operands[:1])
    if step.poly is not None:
        yield "poly + 1", replace(step, poly=step.poly + 1)
        yield "poly negated", replace(step, poly=-step.poly)
    if step.op in ("fold", "contract") and step.rank < len(step.extents):
        yield "extent - 1", replace(step, extents=(*step.extents[:-1], step.extents[-1] - 1))
    for j, operand in enumerate(step.operands):
        for what, changed in operand_mutants(program, operand, reg):
            yield f"operand {j} {what}", replace(step, operands=(*step.operands[:j], changed, *step.operands[j + 1 :]))


def operand_mutants(program: Program, operand: Any, reg: int) -> Iterator[tuple[str, Any]]:
    if isinstance(operand, Scalar):
        yield "another constant", Scalar(num(7))
        return
    axes, kind = program.axes(operand.reg), program.kind(operand.reg)
    others = [r for r in range(reg) if r != operand.reg and program.axes(r) == axes and program.kind(r) == kind]
    for other in others[-2:]:
        yield f"reads {other}", replace(operand, reg=other)
    if len(operand.index) >= 2:
        yield "index swapped", replace(operand, index=(*operand.index[1:], operand.index[0]))
    if operand.index:
        yield "index + 1", replace(operand, index=(operand.index[0] + 1, *operand.index[1:]))
        yield "index 0", replace(operand, index=(Poly.of(0), *operand.index[1:]))
    if operand.padded:
        yield "not padded", replace(operand, padded=False)


KERNELS = [
    ("matmul", "forward", ""),
    ("matmul", "vjp", "b"),
    ("softmax", "forward", ""),
    ("softmax", "vjp", "x"),
    ("cross_entropy", "forward", ""),
    ("cross_entropy", "vjp", "z"),
    ("layer_norm", "vjp", "x"),
    ("scatter_add", "forward", ""),
    ("take", "vjp", "x"),
    ("concat", "forward", ""),
    ("relu", "vjp", "x"),
    ("where", "forward", ""),
]


@pytest.mark.parametrize(("name", "mode", "which"), KERNELS)
def test_a_kernel_that_was_tampered_with_is_refused(name: str, mode: str, which: str) -> None:
    op = next(op for op in OPS if op.name.startswith(name))
    kernel = kernel_of(op, mode, which)
    rule = next(r for r in rules(op) if (r.mode, r.name) == (mode, which))
    refused = accepted = 0
    for what, program in list(mutants(kernel.program))[:: 4 if name == "layer_norm" else 1]:
        changed = Kernel(program, kernel.axes, kernel.packs)
        if kernel_problem(op, changed, rule.computation, 0.3):
            refused += 1
        else:
            accepted += 1
            assert same_results(op, kernel, changed), what
    assert refused > 2 * accepted


def same_results(op: OpDef, kernel: Kernel, changed: Kernel) -> bool:
    """Whether two kernels agree on random inputs, or the changed one does not run."""
    random_ = np.random.default_rng(0)
    for size in (2, 3):
        ints = dict.fromkeys(op.int_attrs, 1)
        sizes = dict.fromkeys(op.sizes, (size,))
        names = {**{n: s[0] for n, s in sizes.items()}, **ints}
        inputs = {}
        for given in kernel.program.inputs:
            shape = tuple(e.evaluate(names) for e in given.axes)
            if given.kind == "real":
                inputs[given.name] = random_.normal(size=shape)
            else:
                inputs[given.name] = random_.integers(0, 2, shape).astype(int if given.kind == "int" else bool)
        reals = {a.name: a.default for a in op.attrs if a.kind == "real"}
        a = run_kernel(kernel, inputs, sizes, ints, reals, FLOAT64)
        try:
            b = run_kernel(changed, inputs, sizes, ints, reals, FLOAT64)
        except Undefined:
            continue
        if not np.allclose(a, b, rtol=1e-9, atol=1e-9, equal_nan=True):
            return False
    return True


TEXT = """
dim B >= 1
dim D = 3, H = 4, C = 2
graph loss(x: f64[B, D], label: i32[B], w1: f64[D, H], b1: f64[H], w2: f64[H, C], b2: f64[C]) -> f64[] {
  assume 0 <= label < C
  h = relu(x @ w1 + b1)
  k = h * h + h
  return mean(cross_entropy(k @ w2 + b2, label)) + sum(softmax(w2) * reshape(w2, shape=(H, C)))
}
"""


@pytest.fixture(scope="module")
def plan() -> Plan:
    return make_plan(load_text(TEXT).graphs["loss"], "value_and_grad")


def results(plan: Plan) -> list[Any]:
    random_ = np.random.default_rng(1)
    dims = {"B": 5}
    executor = Executor(plan, dims)
    runs = []
    for _ in range(2):
        inputs = {}
        for given in plan.program.inputs:
            shape = tuple(e.evaluate(dims) for e in given.axes)
            real = given.kind == "real"
            inputs[given.name] = random_.normal(size=shape) if real else random_.integers(0, 2, shape)
        runs += executor.run(inputs)
    return runs


def agree(plan: Plan, changed: Plan) -> bool:
    return all(
        a.shape == b.shape and np.allclose(a, b, rtol=1e-9, atol=1e-12)
        for a, b in zip(results(plan), results(changed), strict=True)
    )


def test_plans_of_every_mode_are_accepted(plan: Plan) -> None:
    for mode in modes_of(plan.graph):
        assert check_plan(make_plan(plan.graph, mode)) == []
    every = make_plan(plan.graph, "vjp", tuple(n.id for n in plan.graph.nodes))
    assert check_plan(every) == []


def test_a_program_that_was_tampered_with_is_refused(plan: Plan) -> None:
    refused = accepted = 0
    for what, program in mutants(plan.program):
        changed = replace(plan, program=program)
        if check_plan(changed):
            refused += 1
        else:
            accepted += 1
            assert agree(plan, changed), what
    assert refused > 100 and accepted <= refused // 20, (refused, accepted)


def test_slots_that_were_tampered_with_are_refused(plan: Plan) -> None:
    """Any register put into any other's buffer: refused, or the results stay what they are."""
    slots = plan.slots
    random_ = random.Random(0)
    refused = 0
    for _ in range(400):
        reg, other = random_.randrange(len(slots.of)), random_.randrange(len(slots.of))
        if slots.of[reg] == slots.of[other]:
            continue
        of = (*slots.of[:reg], slots.of[other], *slots.of[reg + 1 :])
        changed = replace(plan, slots=replace(slots, of=of))
        if check_buffers(changed):
            refused += 1
        else:
            assert agree(plan, changed), (reg, other)
    assert refused > 300


def test_merged_buffers_are_refused_where_lives_overlap(plan: Plan) -> None:
    """All registers of one slot moved into another of the same size."""
    slots = plan.slots
    refused = 0
    for a, key in enumerate(slots.sizes):
        for b, other in enumerate(slots.sizes):
            if a == b or key != other:
                continue
            changed = replace(plan, slots=replace(slots, of=tuple(b if s == a else s for s in slots.of)))
            if check_buffers(changed):
                refused += 1
            else:
                assert agree(plan, changed), (a, b)
    assert refused > 0


def test_wrong_constants_orders_and_results_are_refused(plan: Plan) -> None:
    program, slots = plan.program, plan.slots
    first = len(program.inputs)
    assert check_buffers(replace(plan, slots=Slots(slots.of, slots.sizes, slots.static | {first})))
    swapped = (program.steps[1], program.steps[0], *program.steps[2:])
    assert check_plan(replace(plan, program=replace(program, steps=swapped)))
    assert check_plan(replace(plan, program=replace(program, steps=program.steps[:-1])))
    assert check_wiring(replace(plan, produces=plan.produces[::-1]))
    assert check_wiring(replace(plan, produces=plan.produces[:-1]))
    outputs = program.outputs[:-1]
    changed = replace(plan, program=replace(program, outputs=outputs), produces=plan.produces[:-1])
    assert check_wiring(changed) == ["the plan does not produce what its mode promises"]
    renamed = (replace(program.inputs[0], name="w9"), *program.inputs[1:])
    assert check_wiring(replace(plan, program=replace(program, inputs=renamed)))


def test_sums_of_contributions_keep_the_tape_s_order() -> None:
    text = "dim B >= 0\ngraph f(x: f64[B]) -> f64[] { return sum(x * x * x + sin(x)) }"
    plan = make_plan(load_text(text).graphs["f"], "value_and_grad")
    adds = [k for k, s in enumerate(plan.program.steps) if s.name == "add"]
    for k in adds[1:]:
        step = plan.program.steps[k]
        turned = replace(step, operands=step.operands[::-1])
        steps = (*plan.program.steps[:k], turned, *plan.program.steps[k + 1 :])
        assert check_wiring(replace(plan, program=replace(plan.program, steps=steps)))


def test_the_claim_is_proved_and_a_broken_planner_is_not(monkeypatch: pytest.MonkeyPatch, plan: Plan) -> None:
    claim = Claim("PLAN", "graph", "loss", "the plan", "digest")
    assert prove_plan(plan.graph, claim).answer == "proved"
    last = plan.program.steps[-1]
    steps = (*plan.program.steps[:-1], replace(last, operands=last.operands[::-1]))
    broken = replace(plan, program=replace(plan.program, steps=steps))
    monkeypatch.setattr("gradproof.verifier.plans.make_plan", lambda graph, mode: broken)
    verdict = prove_plan(plan.graph, claim)
    assert verdict.answer == "unknown" and verdict.reason


def test_ten_thousand_nodes_take_seconds() -> None:
    lines = [f"v{k + 1} = v{k} * x + y" if k % 2 else f"v{k + 1} = tanh(v{k})" for k in range(6650)]
    head = "dim B >= 0\ngraph f(x: f64[B], y: f64[B]) -> f64[] { v0 = x + y\n"
    graph = load_text(head + "\n".join(lines) + "\nreturn sum(v6650) }").graphs["f"]
    assert len(graph.nodes) > 9900
    started = perf_counter()
    assert check_plan(make_plan(graph, "value_and_grad")) == []
    assert perf_counter() - started < 60
