"""The one wrapper round the solver: closed goals in, proved / refuted / unknown out. Trusts Z3.

No other module imports z3. A goal is proved where its negation is unsatisfiable under the hypotheses; it is refuted
only by a model that was evaluated again here, in Python's own integers and rationals; everything else is unknown, with
the reason. What can't be translated exactly is abstracted to a name (which can only lose proofs) or is unknown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from time import perf_counter
from typing import Any

from gradproof.compiler.claims import Answer
from gradproof.compiler.denote import Irrational, Undecided, Undefined, holds
from gradproof.compiler.terms import And, Cond, Not, Truth
from gradproof.verifier.asked import Status, tell, watched
from gradproof.verifier.questions import TOTAL, Question, Untranslatable

TIMEOUT = 10.0  # seconds a goal
SEED = 0
SMALL = (3, 10)  # a counterexample is first sought with every integer at most this, then beyond
_REFRESH = 4000  # goals after which the incremental solver is replaced: it slows down as it learns


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a goal. A refutation has a model: names of sizes, indices and entries -> their values."""

    answer: Answer
    model: Mapping[str, int | Fraction | bool] | None = None
    reason: str = ""
    modelled: bool = False  # the solver has a model of the negated goal, whether or not it could be replayed

    @property
    def status(self) -> Status:
        """What the solver says of hypotheses and negated goal together."""
        if self.answer == "proved":
            return "unsat"
        return "sat" if self.modelled or self.answer == "refuted" else "unknown"

    def __bool__(self) -> bool:
        raise TypeError("an Outcome is not a truth value: compare its answer")


PROVED = Outcome("proved")


def version() -> str:
    """The solver's name and version, for reports and cache keys."""
    import z3

    return f"z3 {z3.get_version_string()}"


def prove_int(goal: Cond, hypotheses: Sequence[Cond] = (), timeout: float = TIMEOUT) -> Outcome:
    """Prove a goal about integers from hypotheses about integers, for all values of its names.

    `//` and `%` by zero are arbitrary values in a proof; a counterexample never divides by zero.
    """
    return _prove(goal, hypotheses, timeout, reals=False)


def prove_real(goal: Cond, hypotheses: Sequence[Cond] = (), timeout: float = TIMEOUT) -> Outcome:
    """Prove a goal about real entries (and integers) under the kernel's total semantics: 1/0 = 0, sqrt t = 0 for t < 0.

    Sums over indices and functions that are not algebraic are abstracted: equal arguments give equal values, no more.
    A goal that fails only under such an abstraction is unknown.
    """
    return _prove(goal, hypotheses, timeout, reals=True)


def satisfiable(conds: Sequence[Cond], timeout: float = TIMEOUT) -> Outcome:
    """Find small integers that satisfy all conditions: "refuted" with the model, or "proved" that there are none."""
    return prove_int(Not(And(tuple(conds))) if conds else Truth(False), (), timeout)


def prove_texts(declarations: str, goals: Sequence[str], timeout: float = TIMEOUT) -> list[Outcome]:
    """Prove goals given as SMT-LIB 2 terms over the declared symbols, each on its own; no models are read back.

    The goals are first tried all together; where that fails each one is tried alone, within `timeout` seconds each.
    """
    if not goals:
        return []
    together = f"{declarations}(assert (not (and true {' '.join(goals)})))"
    if _ask_text(together, timeout).answer == "proved":
        return [PROVED] * len(goals)
    return [_ask_text(f"{declarations}(assert (not {goal}))", timeout) for goal in goals]


def _ask_text(text: str, timeout: float) -> Outcome:
    import z3

    solver = _solver()
    solver.set("timeout", _milliseconds(timeout))
    solver.push()
    try:
        solver.add(z3.parse_smt2_string(text))
        outcome = _read_check(solver, solver.check())
        if watched() and (objection := tell(None, (), True, text, outcome.status)):
            return Outcome("unknown", reason=objection)
        return outcome
    except z3.Z3Exception as error:
        return Outcome("unknown", reason=f"z3: {error}")
    finally:
        solver.pop()


def _prove(goal: Cond, hypotheses: Sequence[Cond], timeout: float, reals: bool) -> Outcome:
    if isinstance(goal, Truth) and goal.value:
        return PROVED
    import z3

    try:
        question = Question(z3, (goal, *hypotheses), reals)
        solver = _solver()
        solver.push()
        try:
            outcome = _settle(question, solver, goal, hypotheses, timeout)
        finally:
            solver.pop()
        if watched() and (objection := tell(goal, tuple(hypotheses), reals, "", outcome.status)):
            return Outcome("unknown", reason=objection)
        return outcome
    except Untranslatable as error:
        return Outcome("unknown", reason=f"not translatable: {error}")
    except z3.Z3Exception as error:
        return Outcome("unknown", reason=f"z3: {error}")


def _settle(question: Question, solver: Any, goal: Cond, hypotheses: Sequence[Cond], timeout: float) -> Outcome:
    deadline = perf_counter() + timeout
    solver.add(*(question.cond(h) for h in hypotheses), question.negated(goal), *question.sides)
    outcome = _check(solver, min(timeout, 1.0))
    if outcome.answer == "proved":
        return outcome
    possible = outcome.answer == "refuted"
    found = _search(solver, question, goal, hypotheses, deadline, possible)
    if found is not None and (possible or found.answer == "refuted"):
        return found
    return _alone(question, goal, hypotheses, deadline)


def _check(solver: Any, seconds: float) -> Outcome:
    solver.set("timeout", _milliseconds(seconds))
    return _read_check(solver, solver.check())


def _read_check(solver: Any, result: Any) -> Outcome:
    import z3

    if result == z3.unsat:
        return PROVED
    if result == z3.sat:
        return Outcome("refuted", model={})
    why = solver.reason_unknown()
    return Outcome("unknown", reason="time limit" if why in ("timeout", "canceled") else f"z3: {why}")


def _search(
    solver: Any, question: Question, goal: Cond, hypotheses: Sequence[Cond], deadline: float, possible: bool
) -> Outcome | None:
    """Look for a counterexample that survives its replay: small integers first, divisions by zero last.

    Without `possible`, nothing says yet that there is one: then only small integers are tried.
    """
    nonzero = [question.poly(den) != 0 for _, den in question.divisions]
    limits = [*SMALL, None] if question.integers else [None]
    attempts = [(limit, sides) for sides in ([nonzero, []] if nonzero else [[]]) for limit in limits]
    last: Outcome | None = None
    for limit, sides in attempts:
        left = deadline - perf_counter()
        if left <= 0 or (limit is None and not possible):
            break
        bounds = [] if limit is None else [c for v in question.integers.values() for c in (v <= limit, -limit <= v)]
        solver.push()
        try:
            solver.add(*bounds, *sides)
            if _check(solver, min(left, 2.0)).answer == "refuted":
                last = _replay(solver, question, goal, hypotheses)
                if last.answer == "refuted":
                    return last
        finally:
            solver.pop()
    if last is None and possible:
        return Outcome("unknown", reason="the solver found a counterexample once and not again", modelled=True)
    return last


def _alone(question: Question, goal: Cond, hypotheses: Sequence[Cond], deadline: float) -> Outcome:
    """A second try in a fresh solver, which may use tactics that the incremental one can't."""
    left = deadline - perf_counter()
    if left <= 0:
        return Outcome("unknown", reason="time limit")
    fresh = _new_solver()
    fresh.add(*(question.cond(h) for h in hypotheses), question.negated(goal), *question.sides)
    outcome = _check(fresh, left)
    if outcome.answer == "refuted":
        return _replay(fresh, question, goal, hypotheses)
    return outcome


def _replay(solver: Any, question: Question, goal: Cond, hypotheses: Sequence[Cond]) -> Outcome:
    """Evaluate goal and hypotheses at the model in exact arithmetic; only what fails there too is a refutation."""
    found = solver.model()
    try:
        env = question.environment(found)
        fails = all(holds(h, env, TOTAL) is True for h in hypotheses) and holds(goal, env, TOTAL) is False
        model = question.model(found)
    except Undefined as error:
        reason = f"it fails only where something is undefined: {error}"
        return Outcome("unknown", reason=reason, modelled=True)
    except LookupError as error:  # under a sum that was abstracted
        return Outcome("unknown", reason=f"the solver was not asked about {error}", modelled=True)
    except (Undecided, Irrational) as error:
        reason = f"a counterexample may exist, but it can't be replayed exactly: {error}"
        return Outcome("unknown", reason=reason, modelled=True)
    if not fails:
        why = question.abstracted or "it does not fail when replayed"
        return Outcome("unknown", reason=f"the solver's counterexample is not one: {why}", modelled=True)
    return Outcome("refuted", model=model)


def _milliseconds(seconds: float) -> int:
    return max(1, int(seconds * 1000))


def _new_solver() -> Any:
    import z3

    solver = z3.Solver()
    solver.set("random_seed", SEED)
    return solver


@cache
def _pool() -> list[Any]:
    return [0, _new_solver()]


def _solver() -> Any:
    """The shared incremental solver, replaced now and then."""
    pool = _pool()
    pool[0] += 1
    if pool[0] > _REFRESH:
        pool[0], pool[1] = 0, _new_solver()
    return pool[1]
