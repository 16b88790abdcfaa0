"""The one wrapper round the solver: closed goals in, proved / refuted / unknown out. Trusts Z3.

No other module imports z3. A goal is proved where its negation is unsatisfiable under the hypotheses; it is refuted
only by a model that was evaluated again here, in Python's own integers and rationals; everything else is unknown, with
the reason. What can't be translated exactly is abstracted to a name (which can only lose proofs) or is unknown.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from time import perf_counter
from typing import Any

from gradproof.compiler.claims import Answer
from gradproof.compiler.denote import Env, Irrational, Rationals, Undecided, Undefined, holds
from gradproof.compiler.dims import Atom, Entry, FloorDiv, Max, Min, Mod, Poly, Sym
from gradproof.compiler.terms import (
    Add,
    And,
    BoolRead,
    Call,
    Cond,
    IntCmp,
    Mul,
    Not,
    Num,
    Or,
    Pow,
    Read,
    RealCmp,
    Reduce,
    Select,
    Size,
    Term,
    Truth,
    walk,
)

TIMEOUT = 10.0  # seconds a goal
SEED = 0
SMALL = (3, 10)  # a counterexample is first sought with every integer at most this, then beyond
MAX_POWER = 64
_REFRESH = 4000  # goals after which the incremental solver is replaced: it slows down as it learns


class Untranslatable(Exception):
    """This goal has a part that the solver can't be given exactly."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a goal. A refutation has a model: names of sizes, indices and entries -> their values."""

    answer: Answer
    model: Mapping[str, int | Fraction | bool] | None = None
    reason: str = ""

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
        return _read_check(solver, solver.check())
    except z3.Z3Exception as error:
        return Outcome("unknown", reason=f"z3: {error}")
    finally:
        solver.pop()


def _prove(goal: Cond, hypotheses: Sequence[Cond], timeout: float, reals: bool) -> Outcome:
    if isinstance(goal, Truth) and goal.value:
        return PROVED
    import z3

    try:
        question = _Question((goal, *hypotheses), reals)
        solver = _solver()
        solver.push()
        try:
            return _settle(question, solver, goal, hypotheses, timeout)
        finally:
            solver.pop()
    except Untranslatable as error:
        return Outcome("unknown", reason=f"not translatable: {error}")
    except z3.Z3Exception as error:
        return Outcome("unknown", reason=f"z3: {error}")


def _settle(question: _Question, solver: Any, goal: Cond, hypotheses: Sequence[Cond], timeout: float) -> Outcome:
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
    solver: Any, question: _Question, goal: Cond, hypotheses: Sequence[Cond], deadline: float, possible: bool
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
        return Outcome("unknown", reason="the solver found a counterexample once and not again")
    return last


def _alone(question: _Question, goal: Cond, hypotheses: Sequence[Cond], deadline: float) -> Outcome:
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


def _replay(solver: Any, question: _Question, goal: Cond, hypotheses: Sequence[Cond]) -> Outcome:
    """Evaluate goal and hypotheses at the model in exact arithmetic; only what fails there too is a refutation."""
    found = solver.model()
    try:
        env = question.environment(found)
        fails = all(holds(h, env, _TOTAL) is True for h in hypotheses) and holds(goal, env, _TOTAL) is False
        model = question.model(found)
    except Undefined as error:
        return Outcome("unknown", reason=f"it fails only where something is undefined: {error}")
    except (Undecided, Irrational) as error:
        return Outcome("unknown", reason=f"a counterexample may exist, but it can't be replayed exactly: {error}")
    if not fails:
        why = question.abstracted or "it does not fail when replayed"
        return Outcome("unknown", reason=f"the solver's counterexample is not one: {why}")
    return Outcome("refuted", model=model)


class _TotalRationals(Rationals):
    """Exact rationals under the kernel's total semantics."""

    def power(self, base: Fraction, exponent: int) -> Fraction:
        return Fraction(0) if base == 0 and exponent < 0 else super().power(base, exponent)

    def call(self, fn: str, args: tuple[Fraction, ...]) -> Fraction:
        return Fraction(0) if fn == "sqrt" and args[0] < 0 else super().call(fn, args)


_TOTAL = _TotalRationals()


class _Question:
    """The translation of one goal with its hypotheses: names, definitions on the side, what was abstracted."""

    def __init__(self, conds: tuple[Cond, ...], reals: bool) -> None:
        import z3

        self.z3, self.reals = z3, reals
        self.integers: dict[str, Any] = {}
        self.entries: dict[tuple[str, str, int], Any] = {}  # (kind, tensor, rank) -> a constant or a function
        self.reads: dict[tuple[str, str, tuple[Poly, ...]], Any] = {}
        self.sides: list[Any] = []
        self.abstracted = ""
        self._polys: dict[Poly, Any] = {}
        self.divisions: dict[tuple[Poly, Poly], tuple[Any, Any]] = {}
        self._terms: dict[Term, Any] = {}
        self._fresh = itertools.count()
        self._computed = frozenset[tuple[str, int]]().union(*map(_computed_reads, conds)) if reals else frozenset()

    # Integers.

    def poly(self, poly: Poly) -> Any:
        """An integer expression."""
        known = self._polys.get(poly)
        if known is not None:
            return known
        total: Any = None
        for monomial, coefficient in poly.terms:
            product: Any = None
            for atom, exponent in monomial:
                if exponent > MAX_POWER:
                    raise Untranslatable(f"{atom} to the power {exponent}")
                value = self._atom(atom)
                for _ in range(exponent):
                    product = value if product is None else product * value
            if product is None:
                product = self.z3.IntVal(coefficient)
            elif coefficient != 1:
                product = coefficient * product
            total = product if total is None else total + product
        result = self.z3.IntVal(0) if total is None else total
        self._polys[poly] = result
        return result

    def _atom(self, atom: Atom) -> Any:
        match atom:
            case Sym(name):
                if name not in self.integers:
                    self.integers[name] = self.z3.Int(name)
                return self.integers[name]
            case FloorDiv(num, den):
                return self._divide(num, den)[0]
            case Mod(num, den):
                return self._divide(num, den)[1]
            case Min(a, b):
                x, y = self.poly(a), self.poly(b)
                return self.z3.If(x <= y, x, y)
            case Max(a, b):
                x, y = self.poly(a), self.poly(b)
                return self.z3.If(x >= y, x, y)
            case Entry(tensor, index):
                return self._entry("int", tensor, index)

    def _divide(self, num: Poly, den: Poly) -> tuple[Any, Any]:
        """Quotient and remainder as Python has them, defined on the side; arbitrary where den = 0."""
        if (num, den) not in self.divisions:
            z3, a, b, k = self.z3, self.poly(num), self.poly(den), next(self._fresh)
            q, r = z3.Int(f"quotient!{k}"), z3.Int(f"remainder!{k}")
            up, down = z3.And(a == b * q + r, r >= 0, r < b), z3.And(a == b * q + r, b < r, r <= 0)
            constant = den.constant
            if constant is None:
                self.sides += [z3.Implies(b > 0, up), z3.Implies(b < 0, down)]
            elif constant:
                self.sides.append(up if constant > 0 else down)
            self.divisions[num, den] = q, r
        return self.divisions[num, den]

    def _entry(self, kind: str, tensor: str, index: tuple[Poly, ...]) -> Any:
        """An entry: a function of its position, or a constant where there is none."""
        z3 = self.z3
        sort = {"int": z3.IntSort, "real": z3.RealSort, "bool": z3.BoolSort}[kind]()
        key = (kind, tensor, len(index))
        if kind == "real" and (tensor, len(index)) not in self._computed:
            value = z3.Const(f"{tensor}{[p.constant for p in index]}", sort)
        elif index:
            if key not in self.entries:
                self.entries[key] = z3.Function(f"{kind} {tensor}/{len(index)}", *[z3.IntSort()] * len(index), sort)
            value = self.entries[key](*map(self.poly, index))
        else:
            value = z3.Const(f"{kind} {tensor}", sort)
        self.reads[kind, tensor, index] = value
        return value

    # Conditions.

    def negated(self, goal: Cond) -> Any:
        """The negation of the goal."""
        return self.z3.Not(self.cond(goal))

    def cond(self, cond: Cond) -> Any:
        """A condition."""
        z3 = self.z3
        match cond:
            case Truth(value):
                return z3.BoolVal(value)
            case IntCmp(">=", poly):
                return self.poly(poly) >= 0
            case IntCmp("==", poly):
                return self.poly(poly) == 0
            case And(args):
                return z3.And(*map(self.cond, args))
            case Or(args):
                return z3.Or(*map(self.cond, args))
            case Not(arg):
                return z3.Not(self.cond(arg))
            case BoolRead(tensor, index):
                return self._entry("bool", tensor, index)
            case RealCmp(rel, a, b) if self.reals:
                x, y = self.term(a), self.term(b)
                return x < y if rel == "<" else x <= y if rel == "<=" else x == y
            case _:
                raise Untranslatable(f"the condition {cond}")

    # Reals.

    def term(self, term: Term) -> Any:
        """A real term."""
        known = self._terms.get(term)
        if known is None:
            known = self._terms[term] = self._term(term)
        return known

    def _term(self, term: Term) -> Any:
        z3 = self.z3
        match term:
            case Num(value):
                return z3.Q(value.numerator, value.denominator)
            case Size(poly):
                return z3.ToReal(self.poly(poly))
            case Read(tensor, index):
                return self._entry("real", tensor, index)
            case Add(args):
                return z3.Sum(*map(self.term, args))
            case Mul(args):
                return z3.Product(*map(self.term, args))
            case Pow(base, exponent):
                return self._power(self.term(base), exponent)
            case Call(fn, args):
                return self._call(fn, args)
            case Select(cond, then, other):
                return z3.If(self.cond(cond), self.term(then), self.term(other))
            case Reduce():
                self.abstracted = f"a {term.kind} over an index was abstracted"
                return z3.Real(f"{term.kind}!{next(self._fresh)}")

    def _power(self, base: Any, exponent: int) -> Any:
        if abs(exponent) > MAX_POWER:
            raise Untranslatable(f"a power of {exponent}")
        if exponent < 0:
            z3, inverse = self.z3, self.z3.Real(f"inverse!{next(self._fresh)}")
            self.sides += [z3.If(base == 0, inverse == 0, inverse * base == 1)]
            base, exponent = inverse, -exponent
        result: Any = self.z3.RealVal(1)
        for k in range(exponent):
            result = base if k == 0 else result * base
        return result

    def _call(self, fn: str, args: tuple[Term, ...]) -> Any:
        z3, values = self.z3, [self.term(a) for a in args]
        exact = _EXACT.get(fn)
        if exact is not None:
            return exact(z3, *values)
        if fn == "sqrt":
            root, x = z3.Real(f"root!{next(self._fresh)}"), values[0]
            self.sides.append(z3.If(x >= 0, z3.And(root >= 0, root * root == x), root == 0))
            return root
        self.abstracted = f"the function {fn} was abstracted"
        return z3.Function(f"{fn}/{len(args)}", *[z3.RealSort()] * (len(args) + 1))(*values)

    # Models.

    def model(self, model: Any) -> dict[str, int | Fraction | bool]:
        """The values of all names and entries that the goal and the hypotheses mention."""
        out = {name: self._value(model, variable) for name, variable in self.integers.items()}
        for (_, tensor, index), value in self.reads.items():
            position = [self._value(model, self.poly(p)) for p in index]
            out[f"{tensor}{position}" if index else tensor] = self._value(model, value)
        return out

    def environment(self, model: Any) -> Env:
        """The model as an environment that conditions can be evaluated in."""
        ints = {name: self._value(model, variable) for name, variable in self.integers.items()}

        def lookup(kind: str) -> Callable[[str, tuple[int, ...]], Any]:
            def read(tensor: str, index: tuple[int, ...]) -> Any:
                return self._value(model, self._entry(kind, tensor, tuple(map(Poly.of, index))))

            return read

        return Env(ints, lookup("real"), lookup("int"), lookup("bool"))

    def _value(self, model: Any, expression: Any) -> Any:
        z3, value = self.z3, model.eval(expression, model_completion=True)
        if z3.is_true(value) or z3.is_false(value):
            return z3.is_true(value)
        if z3.is_int_value(value):
            return value.as_long()
        if z3.is_rational_value(value):
            return Fraction(value.numerator_as_long(), value.denominator_as_long())
        raise Irrational(f"{expression} is irrational")


_EXACT: Mapping[str, Callable[..., Any]] = {
    "abs": lambda z3, x: z3.If(x >= 0, x, -x),
    "max": lambda z3, a, b: z3.If(a >= b, a, b),
    "min": lambda z3, a, b: z3.If(a <= b, a, b),
    "sign": lambda z3, x: z3.If(x > 0, z3.RealVal(1), z3.If(x < 0, z3.RealVal(-1), z3.RealVal(0))),
    "floor": lambda z3, x: z3.ToReal(z3.ToInt(x)),
}


def _computed_reads(cond: Cond) -> set[tuple[str, int]]:
    """(tensor, rank) of each real read whose position is not literal."""
    found: set[tuple[str, int]] = set()
    for node in walk(cond):
        if isinstance(node, Read) and any(p.constant is None for p in node.index):
            found.add((node.tensor, len(node.index)))
    return found


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
