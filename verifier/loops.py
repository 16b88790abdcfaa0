"""The verdicts on one loop: its form, the induction over its steps (induction.py), its arrays and body (layouts.py).

The body is a graph with claims of its own, among them that its states' assumes are kept by a step (POST); that they
hold of the initial state is POST of the graph around it, and that neither is left out is WF.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from time import perf_counter

from gradproof.compiler.claims import Claim, Counterexample, Verdict
from gradproof.compiler.graph import LoopDef
from gradproof.compiler.loops import problems
from gradproof.compiler.obligations import claims_of_loop
from gradproof.runtime.loops import Loop
from gradproof.verifier.free import Inspected
from gradproof.verifier.induction import Failure, Induction, MakeLoop
from gradproof.verifier.layouts import body_problem, layout_problem
from gradproof.verifier.options import Options
from gradproof.verifier.progress import attempt
from gradproof.verifier.proofs import ALL_SIZES

SMALL = "small sizes, lengths 0 to 3"
_BY = {"VJP": "z3", "WF": "structure"}


def verdicts_of_loop(loop: LoopDef, options: Options, make: MakeLoop = Loop) -> list[Verdict]:
    """One verdict for each claim of the loop, in order. `make` builds the loop that is examined."""
    induction = Induction(loop, make, options.timeout)
    checks: dict[tuple[str, str], Callable[[], Failure | None]] = {
        ("WF", "form"): lambda: _form(loop),
        ("FWD", "base"): lambda: induction.start(moved=False),
        ("FWD", "step"): lambda: induction.step(moved=False),
        ("FWD", "count"): lambda: induction.count() or induction.end(),
        ("FWD", "body"): lambda: body_problem(loop),
        ("FWD", "layout"): lambda: layout_problem(loop),
        ("JVP", "base"): lambda: induction.start(moved=True),
        ("JVP", "step"): lambda: induction.step(moved=True),
        ("VJP", "base"): induction.start_back,
        ("VJP", "step"): induction.step_back,
    }
    claims = claims_of_loop(loop)
    broken = _form(loop) is not None
    out: list[Verdict] = []
    for claim in claims:
        if broken and claim.code != "WF":
            out.append(Verdict(claim, "unknown", "", ALL_SIZES, 0.0, reason="the loop is not well-formed"))
        else:
            check = checks[claim.code, claim.text.split(":")[0]]
            out.append(attempt(claim, partial(_verdict, loop, claim, check)))
    return out


def _form(loop: LoopDef) -> Failure | None:
    found = problems(loop)
    return Failure("a well-formed loop", found[0]) if found else None


def _verdict(loop: LoopDef, claim: Claim, check: Callable[[], Failure | None]) -> Verdict:
    started = perf_counter()
    small = claim.text.split(":")[0] in ("count", "layout")
    scope, by = SMALL if small else ALL_SIZES, _BY.get(claim.code, "structure")
    try:
        failure = check()
    except (Inspected, LookupError, ValueError, TypeError) as error:
        failure = Failure("a run of the loop", f"{type(error).__name__}: {error}")
    seconds = perf_counter() - started
    if failure is None:
        return Verdict(claim, "proved", by, scope, seconds)
    if failure.reason:
        return Verdict(claim, "unknown", "", scope, seconds, reason=failure.reason)
    note = "with the body left uninterpreted"
    point = Counterexample({}, {"loop": loop.name}, failure.expected, failure.got, True, note)
    return Verdict(claim, "refuted", by, scope, seconds, counterexample=point)
