"""Loops in certificates: what the runtime's steps did is replayed as an induction; lies are refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradproof as gp
import numpy as np
import pytest
from forging import Data, certificate, claimed, forged, node, opened, reason, replayed
from gradproof.compiler.elaborate import load_path, load_text
from gradproof.compiler.graph import LoopDef
from gradproof.compiler.portable import Table
from gradproof.runtime.loops import Loop
from gradproof.runtime.program import Program
from gradproof.verifier.checker.loops import SIZES, check
from gradproof.verifier.checker.terms import Refused
from gradproof.verifier.evidence.certificate import body
from gradproof.verifier.evidence.graphs import loop_of
from gradproof.verifier.evidence.loops import steps, views
from test_loops import BROKEN, PROGRAMS, SOURCE, NotTurned, WrongOffsets

Change = Callable[[Data], object]
INVARIANT = """
dim T, N >= 1
graph cell(h: f64[N], x: f64[N], k: i32[N], w: f64[N]) -> f64[N] {
  assume h > 0
  assume 0 <= k < N
  return h * exp(x) + log(h)^2 + w * w + take(w, k)^2
}
graph f(h: f64[N], xs: f64[T, N], ks: i32[T, N], w: f64[N]) -> f64[N] {
  assume h > 0
  assume 0 <= ks < N
  return scan_last(cell, h, xs, ks, w=w)
}
"""


def loop(data: Data) -> Data:
    """The only loop of `f`."""
    (found,) = data["graphs"]["f"]["loops"].values()
    return found


def evidence(data: Data, code: str, about: str) -> Data:
    """The evidence of a claim about the loop."""
    return next(
        c["evidence"] for c in data["claims"] if c["kind"] == "loop" and c["code"] == code and about in c["text"]
    )


def lied(change: Change, text: str = SOURCE) -> str:
    """Why the checker refuses an honest certificate after a change."""
    content = certificate(text)
    assert reason(content) == ""
    return reason(forged(content, change))


def read(text: str) -> tuple[LoopDef, Any]:
    """The only loop of a text, and as the checker reads it."""
    graph = load_text(text).graphs["f"]
    table = Table()
    data, subjects = body(table, (), (graph,))
    subject = next(s for s in subjects if isinstance(s.what, LoopDef))
    subject.memo["ops"] = data["ops"]
    assert isinstance(subject.what, LoopDef)
    return subject.what, loop_of(subject, table)


# What is true is replayed


def test_every_claim_of_loops_is_replayed() -> None:
    module = load_text(PROGRAMS)
    content = claimed(module.ops.values(), module.graphs.values())
    shown = replayed(content)
    left = [
        (c["code"], c["subject"])
        for c in opened(content)["claims"]
        if c["kind"] != "op" and (c["code"], c["subject"], c["text"]) not in shown
    ]
    assert left == []


# What the runtime's loop does wrong is not


@pytest.mark.parametrize(("broken", "where"), BROKEN.items(), ids=lambda item: getattr(item, "__name__", ""))
def test_a_broken_loop_shows_nothing(broken: type[Loop[Any]], where: tuple[str, str]) -> None:
    definition, own = read(SOURCE)
    check(own, *where, steps(definition, *where))
    with pytest.raises(Refused):
        check(own, *where, steps(definition, *where, broken))


def test_views_are_those_of_the_layout() -> None:
    definition, own = read(SOURCE.replace("w=w)", "w=w, reverse=true)"))
    shown = [[views(definition, sizes, n) for n in (0, 1, 3)] for sizes in SIZES]
    check(own, "FWD", "layout", {"by": "steps", "runs": shown})
    for broken in (WrongOffsets, NotTurned):
        wrong = [[views(definition, sizes, n, broken) for n in (0, 1, 3)] for sizes in SIZES]
        with pytest.raises(Refused, match="cuts its arrays"):
            check(own, "FWD", "layout", {"by": "steps", "runs": wrong})


# Lies about what a loop is


def roles(*found: str) -> Change:
    """Other roles, in order."""

    def change(data: Data) -> None:
        loop(data)["roles"] = [[n, role] for (n, _), role in zip(loop(data)["roles"], found, strict=True)]

    return change


def swapped_results(data: Data) -> None:
    """Two states change places behind every step."""
    out = loop(data)["body"]["outputs"]
    out[0], out[1] = out[1], out[0]


def other_body(data: Data) -> None:
    """h * x becomes h + x, with nothing proved again."""
    nodes = loop(data)["body"]["nodes"]
    place = next(k for k, n in enumerate(nodes) if n[1] == "mul")
    nodes[place][1] = "add"


def other_argument(data: Data) -> None:
    """The first step's product reads the other state."""
    nodes = loop(data)["body"]["nodes"]
    place = next(k for k, n in enumerate(nodes) if n[1] == "mul")
    nodes[place][2] = [1, nodes[place][2][1]]


def longer(data: Data) -> None:
    loop(data)["length"] = node(data, "poly", [1, node(data, "sym", "T")], [1])


def negative(data: Data) -> None:
    loop(data)["length"] = node(data, "poly", [-1])


def own_dims(data: Data) -> None:
    loop(data)["body"]["dims"][1][1] = 3


def own_facts(data: Data) -> None:
    loop(data)["body"]["assume_dims"].append([loop(data)["length"], "=="])


def operators_name(data: Data) -> None:
    """A loop that is called as an operator is."""
    graph = data["graphs"]["f"]
    (name,) = graph["loops"]
    graph["loops"] = {"mul": graph["loops"][name]}
    for one in graph["nodes"]:
        one[1] = "mul" if one[1] == name else one[1]


def arguments(data: Data) -> None:
    """Both initial states change places."""
    graph = data["graphs"]["f"]
    one = next(n for n in graph["nodes"] if n[1] in graph["loops"])
    one[2] = [one[2][1], one[2][0], *one[2][2:]]


def fewer(data: Data) -> None:
    graph = data["graphs"]["f"]
    one = next(n for n in graph["nodes"] if n[1] in graph["loops"])
    one[2] = one[2][:-1]


def role_twice(data: Data) -> None:
    loop(data)["roles"][1] = loop(data)["roles"][0]


def role_missing(data: Data) -> None:
    loop(data)["roles"].pop()


def more_states(data: Data) -> None:
    loop(data)["body"]["outputs"] = loop(data)["body"]["outputs"][:1]


LIES: dict[str, tuple[Change, str]] = {
    "a sequence is fixed": (roles("state", "state", "fixed", "fixed"), "is not what it gets"),
    "what is fixed is a sequence": (roles("state", "state", "sequence", "sequence"), "is not what it gets"),
    "a state is fixed": (roles("state", "fixed", "sequence", "fixed"), "does not write what the recurrence says"),
    "what is fixed is a state": (roles("state", "state", "sequence", "state"), "FWD"),
    "a role twice": (role_twice, "roles"),
    "a role less": (role_missing, "another number of arguments"),
    "more states than results": (more_states, "more states than results"),
    "results in another order": (swapped_results, "calls the body"),
    "another body": (other_body, "PLAN"),
    "another argument in the body": (other_argument, "table"),
    "a longer loop": (longer, "is not what it gets"),
    "a negative length": (negative, "is not what it gets"),
    "from the other end": (lambda d: loop(d).update(reverse=1), "cuts its arrays"),
    "dims of its own": (own_dims, "dims of its own"),
    "facts of its own": (own_facts, "dims of its own"),
    "an operator's name": (operators_name, "another number of arguments"),
    "states in another order": (arguments, "table"),
    "fewer arguments": (fewer, "another number of arguments"),
}


@pytest.mark.parametrize("name", LIES)
def test_a_lie_about_a_loop(name: str) -> None:
    change, words = LIES[name]
    assert words in lied(change)


# What a body assumes


def unassumed(data: Data) -> None:
    """The graph no longer assumes h > 0."""
    graph = data["graphs"]["f"]
    graph["assumes"] = [b for b in graph["assumes"] if b[1] != "<"] + [
        b for b in graph["assumes"] if b[0][0] != "number"
    ]


def kept_by_nobody(data: Data) -> None:
    """No claim says that a step keeps h > 0."""
    data["claims"] = [c for c in data["claims"] if c["code"] != "POST"]
    loop(data)["body"]["ensures"] = []


def more_assumed(data: Data) -> None:
    """The body assumes that its state is above 1, which the graph does not say of the initial state."""
    bound = next(b for b in loop(data)["body"]["assumes"] if ["node", 0] in b)
    loop(data)["body"]["assumes"].append([["number", "1"], "<", ["node", 0], "h > 1"])
    assert bound


def ensured_of_another(data: Data) -> None:
    """What is ensured of the next state is ensured of an input instead."""
    (promise,) = loop(data)["body"]["ensures"]
    promise[:] = [["node", 1] if side[0] == "node" else side for side in promise[:3:2]][:1] + promise[1:]
    promise[2] = ["node", 1]


def two_inputs(data: Data) -> None:
    loop(data)["body"]["assumes"].append([["node", 0], "<", ["node", 1], "h < x"])


def index_of_another(data: Data) -> None:
    """The body assumes more of its integers than the graph does of the sequence."""
    for bound in loop(data)["body"]["assumes"]:
        bound[2] = ["number", "1"] if bound[2][0] == "size" else bound[2]


DEMANDS: dict[str, tuple[Change, str]] = {
    "not of the initial state": (unassumed, "assumes of the argument"),
    "not behind a step": (kept_by_nobody, "the state behind a step"),
    "more than of the initial state": (more_assumed, "assumes of the argument"),
    "of another value": (ensured_of_another, "the state behind a step"),
    "of two inputs": (two_inputs, "not about one of its inputs"),
    "of integers": (index_of_another, "assumes of the argument"),
}


@pytest.mark.parametrize("name", DEMANDS)
def test_what_a_body_assumes_must_hold(name: str) -> None:
    change, words = DEMANDS[name]
    assert words in lied(change, INVARIANT)


# Lies about what its steps do


def run(data: Data, code: str = "VJP", about: str = "step") -> list[Any]:
    """The only run of an induction's base or step."""
    (found,) = evidence(data, code, f"{about}:")["runs"]
    return found


def place(one: list[Any], symbol: str) -> int:
    """Where an expression stands."""
    return next(k for k, row in enumerate(one[0]) if row[0] == symbol)


def added(one: list[Any], *row: Any) -> int:
    """A new expression's number."""
    one[0].append(list(row))
    return len(one[0]) - 1


def unchanged(data: Data) -> None:
    """The carried cotangents are handed on as if the step did nothing."""
    one = run(data)
    one[2][0] = place(one, "carried 0")


def nothing_carried(data: Data) -> None:
    one = run(data)
    one[2] = [added(one, "zero")] * len(one[2])


def seed_forgotten(data: Data) -> None:
    one = run(data)
    one[2][0] = place(one, "back 0")


def seed_twice(data: Data) -> None:
    one = run(data)
    one[2][0] = added(one, "+", one[2][0], place(one, "cotangent 0 at t"))


def sum_forgotten(data: Data) -> None:
    """The weights' gradient is that of the last step that was undone."""
    one = run(data)
    one[2][-1] = place(one, "back 3")


def slice_of_a_state(data: Data) -> None:
    one = run(data)
    one[1][0][2] = place(one, "back 0")


def late_slice(data: Data) -> None:
    run(data)[1][0][1] = "t+1"


def written_twice(data: Data) -> None:
    one = run(data)
    one[1].append(one[1][0])


def another_row(data: Data) -> None:
    """The body is pulled back at the row behind the step."""
    one = run(data)
    for row in one[0]:
        row[0] = row[0].replace("row 0 at t", "row 0 at t+1")


def other_cotangents(data: Data) -> None:
    """The body is pulled back with what is carried of one state for both."""
    one = run(data)
    for row in one[0]:
        if row[0].startswith("back "):
            row[-2] = row[-3]


def two_calls(data: Data) -> None:
    """A second pulling back, with other cotangents, from which one part is taken."""
    one = run(data)
    row = one[0][place(one, "back 0")]
    again = added(one, *row[:-1], place(one, "gathered 3"))
    one[2][0] = added(one, "+", place(one, "cotangent 0 at t"), again)


def first_row(data: Data) -> None:
    """The last row's cotangents are those of the row before."""
    one = run(data, "VJP", "base")
    for row in one[0]:
        row[0] = row[0].replace(" at T", " at t")


def no_rows(data: Data) -> None:
    evidence(data, "VJP", "step:")["runs"] = []


def one_run_more(data: Data) -> None:
    found = evidence(data, "VJP", "step:")
    found["runs"] *= 2


def shorter_loops(data: Data) -> None:
    """Whole loops of 0 to 2 steps only."""
    found = evidence(data, "FWD", "count")
    found["runs"] = found["runs"][:9]


def reordered_loops(data: Data) -> None:
    found = evidence(data, "FWD", "count")
    found["runs"] = found["runs"][::-1]


def swapped_evidence(data: Data) -> None:
    base, step = evidence(data, "FWD", "base"), evidence(data, "FWD", "step:")
    base["runs"], step["runs"] = step["runs"], base["runs"]


def jvp_for_values(data: Data) -> None:
    evidence(data, "JVP", "step:")["runs"] = evidence(data, "FWD", "step:")["runs"]


def endless(data: Data) -> None:
    one = run(data)
    last = place(one, "carried 0")
    for _ in range(30_000):
        last = added(one, "+", last, last)


def doubled(data: Data) -> None:
    """2^1000 times what is carried: sums are not written out."""
    one = run(data)
    last = one[2][0]
    for _ in range(1000):
        last = added(one, "+", last, last)
    one[2][0] = last


STEPS: dict[str, tuple[Change, str]] = {
    f.__name__: (f, words)
    for f, words in {
        unchanged: "sum of the pairings",
        nothing_carried: "sum of the pairings",
        seed_forgotten: "sum of the pairings",
        seed_twice: "sum of the pairings",
        sum_forgotten: "sum of the pairings",
        slice_of_a_state: "sum of the pairings",
        late_slice: "other gradients are written",
        written_twice: "written twice",
        another_row: "sum of the pairings",
        other_cotangents: "sum of the pairings",
        two_calls: "sum of the pairings",
        first_row: "sum of the pairings",
        no_rows: "not formed",
        one_run_more: "more runs",
        shorter_loops: "not formed",
        reordered_loops: "what the recurrence says",
        swapped_evidence: "what the recurrence says",
        jvp_for_values: "what the recurrence says",
        endless: "at too great length",
        doubled: "sum of the pairings",
    }.items()
}


@pytest.mark.parametrize("name", STEPS)
def test_a_lie_about_its_steps(name: str) -> None:
    change, words = STEPS[name]
    assert words in lied(change)


def test_the_evidence_of_another_loop() -> None:
    """What the steps of one loop do shows nothing of another's."""
    one, other = opened(certificate(SOURCE)), opened(certificate(INVARIANT))
    lent = {c["text"]: c["evidence"] for c in other["claims"] if c["kind"] == "loop"}
    for claim in one["claims"]:
        if claim["kind"] == "loop" and claim["code"] != "WF" and "base" not in claim["text"]:

            def change(data: Data, text: str = claim["text"], code: str = claim["code"]) -> None:
                found = next(c for c in data["claims"] if c["text"] == text and c["code"] == code)
                found["evidence"] = lent[text]

            assert reason(forged(certificate(SOURCE), change)), claim["text"]


# Lies about plans with loops


def plan_step(data: Data, mode: str, what: str) -> list[Any]:
    """The step of a plan that is the loop, `[template, register, ...]`."""
    graph = data["graphs"]["f"]
    numbers = [k for k, row in enumerate(graph["templates"]) if row[0] == "loop" and row[1] == what]
    return next(s for s in graph["plans"][mode]["steps"] if s[0] in numbers)


def swapped(mode: str, what: str, a: int, b: int) -> Change:
    """Two operands of a plan's loop change places."""

    def change(data: Data) -> None:
        step = plan_step(data, mode, what)
        step[a], step[b] = step[b], step[a]

    return change


def loop_template(data: Data, what: str) -> list[Any]:
    return next(row for row in data["graphs"]["f"]["templates"] if row[0] == "loop" and row[1] == what)


PLANS: dict[str, tuple[Change, str]] = {
    "initial states swapped": (swapped("forward", "value", 1, 2), "PLAN"),
    "a state and a weight swapped": (swapped("vjp", "vjp", 1, 4), "PLAN"),
    "tangents swapped": (swapped("jvp", "jvp", 6, 7), "PLAN"),
    "a tangent for a value": (swapped("jvp", "jvp", 1, 6), "PLAN"),
    "an operand less": (lambda d: plan_step(d, "vjp", "vjp").pop(), "fewer registers"),
    "values for tangents": (lambda d: loop_template(d, "jvp").__setitem__(1, "value"), "PLAN"),
    "an unknown thing": (lambda d: loop_template(d, "jvp").__setitem__(1, "hvp"), "PLAN"),
    "another loop": (lambda d: loop_template(d, "value").__setitem__(8, "scan"), "PLAN"),
    "no loop": (lambda d: loop_template(d, "value").__setitem__(8, None), "PLAN"),
    "another width": (lambda d: loop_template(d, "vjp").__setitem__(3, loop_template(d, "value")[3]), "PLAN"),
}


@pytest.mark.parametrize("name", PLANS)
def test_a_lie_about_a_plan(name: str) -> None:
    change, words = PLANS[name]
    assert words in lied(change)


def test_a_part_of_the_gradients_for_another() -> None:
    """The gradients of both states are parts of one register; each must be its own part."""

    def change(data: Data) -> None:
        graph = data["graphs"]["f"]
        outputs = graph["plans"]["vjp"]["outputs"]
        of = {id_: k for k, (what, id_) in enumerate(graph["plans"]["vjp"]["produces"]) if what == "grad"}
        outputs[of[0]], outputs[of[1]] = outputs[of[1]], outputs[of[0]]

    assert "PLAN" in lied(change)


# The examples


@pytest.mark.parametrize("name", ["ode", "models/recurrent", "models/lstm_lm"])
def test_no_claim_of_loops_rests_on_a_word(name: str) -> None:
    path = Path(__file__).parent.parent / "examples" / f"{name}.gproof"
    module = load_path(path)
    content = claimed((), module.graphs.values())
    assert len(replayed(content)) == len(json.loads(content)["claims"])


def drawn(data: Data) -> None:
    """What the body is given passes for numbers that are drawn from 0 to 1, so that it may be divided by."""
    for one in loop(data)["body"]["delta"]:
        one[2] = ["uniform", 3, "1/2"]


def test_no_input_of_a_body_is_drawn() -> None:
    assert "draws numbers" in lied(drawn, INVARIANT)


def test_a_loaded_loop_runs_the_plans_that_were_proved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not those that the planner of the day would make: the body's plan in a certificate is what runs."""
    path = tmp_path / "loop.gpc"
    path.write_bytes(certificate(SOURCE))
    program = gp.load(path, name="f")
    used: list[Any] = []
    kept = dict(program.certificate.plans)
    (inner,) = program.graph.loops.values()
    asked = Program._planned

    def planned(self: Program, graph: Any, mode: Any) -> Any:
        used.append(asked(self, graph, mode))
        return used[-1]

    monkeypatch.setattr(Program, "_planned", planned)
    given = {"h": np.ones(2), "c": np.ones(2), "xs": np.ones((3, 2)), "w": np.ones(2)}
    program.vjp(given, tuple(np.ones((3, 2)) for _ in range(3)))
    bodies = [plan for plan in used if plan.graph == inner.body]
    assert bodies and all(any(plan is one for one in kept.values()) for plan in bodies)
