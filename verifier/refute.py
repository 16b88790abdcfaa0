"""Counterexamples: a point where a claim fails, found by search and replayed through the runtime's own kernels.

What is expected comes from the denotation of the calculus's derivative, entry by entry; what is got comes from the
kernel that would run, over exact rationals or, where a function is irrational, over rigorous intervals. A refutation
needs the two to differ for certain: intervals that overlap, a tie that can't be decided, or a point outside the domain
refute nothing.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from time import perf_counter
from typing import Any

import numpy as np
from gradproof.compiler.claims import Counterexample
from gradproof.compiler.denote import Intervals, Irrational, Rationals, Undecided, Undefined, evaluate
from gradproof.compiler.lower import kernel_of
from gradproof.compiler.ops import COTANGENT, OUTPUT, TANGENT, OpDef, Param
from gradproof.compiler.rules import RuleSet, derived_jvp, extents, meaning_of, unfolded
from gradproof.compiler.terms import Cond, Term
from gradproof.runtime.interpret import run_kernel
from gradproof.runtime.scalars import scalars
from gradproof.verifier.witness import Entries, Point, in_domain, points_of, sizes_of

TIES = 64  # at most so many ways to decide the ties at one point


class _Oracle:
    """Decides ties by a list of choices, and asks for more than there are by raising nothing: it answers True first."""

    def __init__(self) -> None:
        self.choices: list[bool] = []
        self.asked = 0

    def decide(self) -> bool:
        if self.asked == len(self.choices):
            self.choices.append(True)
        answer = self.choices[self.asked]
        self.asked += 1
        return answer

    def advance(self) -> bool:
        """The next list of choices; False after the last."""
        self.choices = self.choices[: self.asked]
        self.asked = 0
        while self.choices and not self.choices[-1]:
            self.choices.pop()
        if not self.choices:
            return False
        self.choices[-1] = False
        return True


class _TieRationals(Rationals):
    def __init__(self, oracle: _Oracle) -> None:
        self.oracle = oracle

    def compare(self, rel: str, a: Fraction, b: Fraction) -> bool:
        return self.oracle.decide() if a == b else super().compare(rel, a, b)


class _TieIntervals(Intervals):
    def __init__(self, oracle: _Oracle) -> None:
        super().__init__()
        self.oracle = oracle

    def compare(self, rel: str, a: Any, b: Any) -> bool:
        return self.oracle.decide() if a == b else super().compare(rel, a, b)


@dataclass(slots=True)
class Search:
    """A search for counterexamples to one operator's claims, within `seconds` and with a fixed seed."""

    op: OpDef
    rules: RuleSet
    seconds: float = 3.0
    seed: int = 0

    def points(self) -> Iterator[Point]:
        """Points of small sizes, until the time is over; at least one of every size."""
        end = perf_counter() + self.seconds
        choices = list(sizes_of(self.op))
        for tries in (6, 24):
            for sizes in choices:
                for point in points_of(self.op, sizes, tries, self.seed + tries):
                    yield point
                    if perf_counter() > end:
                        return

    # The claims

    def vjp(self, param: Param) -> Counterexample | None:
        """A point where the vjp that runs is not the derivative's transpose."""
        for point in self.points():
            found = self._attempt(point, lambda p, kind: self._vjp_at(p, param, kind))
            if found is not None:
                return self._small(found, param, point, lambda p, kind: self._vjp_at(p, param, kind))
        return None

    def jvp(self) -> Counterexample | None:
        """A point where the jvp that runs is not the derivative, or at a tie outside of the Clarke subdifferential."""
        for point in self.points():
            for param in self.op.differentiable:
                found = self._attempt(point, lambda p, kind, q=param: self._jvp_at(p, q, kind))
                if found is not None:
                    return found
        return None

    def kink(self) -> Counterexample | None:
        """A tie where the derivative used lies outside of the Clarke subdifferential."""
        for point in self.points():
            found = self._attempt(point, self._kink_at)
            if found is not None:
                return found
        return None

    def runs(self) -> Counterexample | None:
        """A point where what runs has another value than the meaning."""
        for point in self.points():
            found = self._attempt(point, self._runs_at)
            if found is not None:
                return found
        return None

    def undefined(self) -> Counterexample | None:
        """A point where a rule has no value although the formula is differentiable."""
        for point in self.points():
            found = self._attempt(point, self._undefined_at)
            if found is not None:
                return found
        return None

    def _attempt(self, point: Point, test: Callable[[Point, str], Any]) -> Counterexample | None:
        """Run a test over rationals, or over intervals where those are not enough."""
        for kind in ("rational", "interval"):
            try:
                found: Counterexample | None = test(point, kind)
                return found
            except Irrational:
                continue
            except (Undefined, Undecided, ZeroDivisionError):
                return None
        return None

    # One point

    def _vjp_at(self, point: Point, param: Param, kind: str) -> Counterexample | None:
        try:
            got = self.run(point, "vjp", param.name, kind)
        except Undefined as error:
            return self._valueless(point, param, kind, error)
        outcomes = self.expected_vjp(point, param, kind)
        if len(outcomes) == 1:
            for index, value in got.items():
                if differs(value, outcomes[0][index]):
                    where = f"vjp {param.name}{list(index)}"
                    return self._report(point, (COTANGENT,), where, outcomes[0][index], value)
            return None
        # At a tie any convex combination would do for one output entry: compare with the extremes, a direction each.
        return self._outside(point, param, got, outcomes)

    def _outside(self, point: Point, param: Param, got: Entries, outcomes: list[Entries]) -> Counterexample | None:
        busy = [k for k, v in point.tensors[COTANGENT].items() if v != 0]
        if len(busy) > 1:
            return None
        for direction in self._directions(got.keys()):
            along = _dot(got, direction)
            values = [_dot(o, direction) for o in outcomes]
            if all(above(along, v) for v in values) or all(above(v, along) for v in values):
                shown = " + ".join(f"({w})*vjp {param.name}{list(k)}" for k, w in direction.items() if w)
                bounds = f"between {_shown(_least(values))} and {_shown(_greatest(values))} (a tie: Clarke's bounds)"
                return self._report(point, (COTANGENT,), shown, bounds, along)
        return None

    def _directions(self, keys: Any) -> Iterator[dict[tuple[int, ...], Fraction]]:
        keys = list(keys)
        yield dict.fromkeys(keys, Fraction(1))
        for one in keys:
            yield {k: Fraction(k == one) for k in keys}
        rng = random.Random(self.seed)
        for _ in range(6):
            yield {k: Fraction(rng.randint(-2, 2)) for k in keys}

    def _jvp_at(self, point: Point, param: Param, kind: str) -> Counterexample | None:
        for index in point.tensors[param.name]:
            tangents = self._tangents(point, param, index)
            got = self.run(point, "jvp", "", kind, tangents)
            for entry, value in got.items():
                values = self.outcomes(point, derived_jvp(self.op), entry, kind, tangents)
                if not values:
                    continue
                if all(above(value, v) for v in values) or all(above(v, value) for v in values):
                    where = f"jvp{list(entry)} along d{param.name}{list(index)} = 1"
                    expected: Any = values[0]
                    if len(values) > 1:
                        expected = f"between {_shown(_least(values))} and {_shown(_greatest(values))} (a tie)"
                    return self._report(point, (), where, expected, value)
        return None

    def _kink_at(self, point: Point, kind: str) -> Counterexample | None:
        """The jvp along each direction, at a tie, against the extremes; and against declared values."""
        for direction in self._joint_directions(point):
            got = self.run(point, "jvp", "", kind, direction)
            for entry, value in got.items():
                values = self.outcomes(point, derived_jvp(self.op), entry, kind, direction)
                if values and (all(above(value, v) for v in values) or all(above(v, value) for v in values)):
                    along = ", ".join(f"{n}{list(k)} = {v}" for n, t in direction.items() for k, v in t.items() if v)
                    bounds = f"between {_shown(_least(values))} and {_shown(_greatest(values))} (Clarke's bounds)"
                    return self._report(point, (), f"jvp{list(entry)} along {along}", bounds, value)
        return None

    def _joint_directions(self, point: Point) -> Iterator[dict[str, Entries]]:
        names = [TANGENT + p.name for p in self.op.differentiable]
        keys = [(n, k) for n in names for k in point.tensors[n[len(TANGENT) :]]]
        yield {n: {k: Fraction(1) for m, k in keys if m == n} for n in names}
        for chosen in keys[:12]:
            yield {n: {k: Fraction((n, k) == chosen) for m, k in keys if m == n} for n in names}
        rng = random.Random(self.seed + 1)
        for _ in range(4):
            yield {n: {k: Fraction(rng.randint(-2, 2)) for m, k in keys if m == n} for n in names}

    def _runs_at(self, point: Point, kind: str) -> Counterexample | None:
        got = self.run(point, "forward", "", kind)
        for index, value in got.items():
            expected = self.value(point, index, kind)
            if differs(value, expected):
                return self._report(point, (), f"{OUTPUT}{list(index)}", expected, value)
        return None

    def _undefined_at(self, point: Point, kind: str) -> Counterexample | None:
        values = {index: self.value(point, index, kind) for index in self.indices(point)}
        try:
            self.run(point, "forward", "", kind)
        except Undefined as error:
            shown = ", ".join(map(_shown, values.values()))
            return self._report(point, (), OUTPUT, f"[{shown}]", f"undefined: {error}")
        for param in self.op.differentiable:
            try:
                self.run(point, "vjp", param.name, kind)
                self.run(point, "jvp", "", kind, self._tangents(point, param, None))
            except Undefined as error:
                found = self._valueless(point, param, kind, error)
                if found is not None:
                    return found
        return None

    def _valueless(self, point: Point, param: Param, kind: str, error: Undefined) -> Counterexample | None:
        """A rule has no value: refuted where the formula is differentiable."""
        if not self._smooth(point, param, kind):
            return None
        expected = ", ".join(_shown(v) for v in self.expected_vjp(point, param, kind)[0].values())
        return self._report(point, (COTANGENT,), f"vjp {param.name}", f"[{expected}]", f"undefined: {error}")

    def _smooth(self, point: Point, param: Param, kind: str) -> bool:
        """Whether the calculus's derivative has one value at the point, in every direction of this input."""
        try:
            return len(self.expected_vjp(point, param, kind)) == 1
        except Undefined:
            return False

    # Values

    def indices(self, point: Point) -> list[tuple[int, ...]]:
        """The output's indices."""
        return list(itertools.product(*map(range, point.sizes.shape(extents(self.op.output)))))

    def value(self, point: Point, index: tuple[int, ...], kind: str) -> Any:
        """The meaning of one output entry."""
        field = Rationals() if kind == "rational" else Intervals()
        env = point.env(None if kind == "rational" else field.num)
        for name, position in zip(self.op.forward.indices, index, strict=True):
            env = env.bind(name, position)
        return evaluate(meaning_of(self.op), env, field)

    def outcomes(
        self, point: Point, term: Term, index: tuple[int, ...], kind: str, tangents: dict[str, Entries]
    ) -> list[Any]:
        """The term's value at an output entry for every way to decide ties; inconsistent ways are harmless extras."""
        oracle = _Oracle()
        field: Any = _TieRationals(oracle) if kind == "rational" else _TieIntervals(oracle)
        point = Point(self.op, point.sizes, {**point.tensors, **tangents}, point.shapes)
        env = point.env(None if kind == "rational" else field.num)
        for name, position in zip(self.op.forward.indices, index, strict=True):
            env = env.bind(name, position)
        values: list[Any] = []
        undefined: Undefined | None = None
        for _ in range(TIES + 1):
            try:
                value = evaluate(term, env, field)
                if not any(value == v for v in values):
                    values.append(value)
            except Undefined as error:
                undefined = error
            if not oracle.advance():
                break
        else:
            raise Undecided("too many ties at one point")
        if not values and undefined is not None:
            raise undefined
        return values

    def expected_vjp(self, point: Point, param: Param, kind: str) -> list[Entries]:
        """The transpose of the calculus's derivative at the point: one table, or one for each way to decide ties."""
        term = derived_jvp(self.op, (param,))
        columns: dict[tuple[int, ...], list[Any]] = {}
        busy = [k for k in self.indices(point) if point.tensors[COTANGENT][k] != 0]
        for index in point.tensors[param.name]:
            tangents = self._tangents(point, param, index)
            total: list[Any] = [None]
            for entry in busy:
                values = self.outcomes(point, term, entry, kind, tangents)
                weight = point.tensors[COTANGENT][entry]
                if kind != "rational":
                    weight = Intervals().num(weight)
                if len(values) > 1 and len(busy) > 1:
                    raise Undecided("a tie under several cotangents")
                total = [v * weight if t is None else t + v * weight for t in total for v in values]
            columns[index] = [Fraction(0) if t is None else t for t in total]
        if all(len(c) == 1 for c in columns.values()):
            return [{k: c[0] for k, c in columns.items()}]
        return self._vertices(point, term, param, busy[0], kind)

    def _vertices(self, point: Point, term: Term, param: Param, entry: tuple[int, ...], kind: str) -> list[Entries]:
        """The gradient of one output entry for every way to decide the ties, the same way in all directions."""
        oracle = _Oracle()
        field: Any = _TieRationals(oracle) if kind == "rational" else _TieIntervals(oracle)
        weight = point.tensors[COTANGENT][entry]
        weight = weight if kind == "rational" else Intervals().num(weight)
        out: list[Entries] = []
        for _ in range(TIES + 1):
            table: Entries = {}
            try:
                for index in point.tensors[param.name]:
                    oracle.asked = 0
                    tensors = {**point.tensors, **self._tangents(point, param, index)}
                    env = Point(self.op, point.sizes, tensors, point.shapes).env(
                        None if kind == "rational" else field.num
                    )
                    for name, position in zip(self.op.forward.indices, entry, strict=True):
                        env = env.bind(name, position)
                    table[index] = evaluate(term, env, field) * weight
                out.append(table)
            except Undefined:
                pass
            if not oracle.advance():
                return out
        raise Undecided("too many ties at one point")

    def _tangents(self, point: Point, param: Param, index: tuple[int, ...] | None) -> dict[str, Entries]:
        """The tangents that are 0 but for one entry of one input (all of it where index is None)."""
        return {
            TANGENT + p.name: {k: Fraction(p.name == param.name and index in (None, k)) for k in point.tensors[p.name]}
            for p in self.op.differentiable
        }

    def run(self, point: Point, mode: str, name: str, kind: str, tangents: dict[str, Entries] | None = None) -> Entries:
        """What the runtime's kernel computes at the point, by flat index."""
        chosen = scalars(kind)
        sizes = {s: point.sizes.packs.get(s, (point.sizes.ints[s],)) for s in self.op.sizes}
        ints = {a: point.sizes.ints[a] for a in self.op.int_attrs}
        reals = {a: point.tensors[a][()] for a in self.op.real_attrs}
        tensors = {p.name: (point.tensors[p.name], p) for p in self.op.params}
        given = {n: self._array(point, t, p, kind) for n, (t, p) in tensors.items()}
        if mode != "forward":
            kernel = kernel_of(self.op, "forward", "")
            given[OUTPUT] = run_kernel(kernel, given, sizes, ints, reals, chosen)
            given[COTANGENT] = self._array(point, point.tensors[COTANGENT], self.op.output, kind)
            for n, t in (tangents or {}).items():
                given[n] = self._array(point, t, self.op.param(n[len(TANGENT) :]), kind)
        kernel = kernel_of(self.op, mode, name)
        wanted = {i.name for i in kernel.program.inputs}
        result = run_kernel(kernel, {k: v for k, v in given.items() if k in wanted}, sizes, ints, reals, chosen)
        shape = point.shapes[name] if mode == "vjp" else point.sizes.shape(extents(self.op.output))
        flat = np.asarray(result, dtype=object).reshape(shape)
        return {index: flat[index] for index in itertools.product(*map(range, shape))}

    def _array(self, point: Point, entries: Entries, param: Param, kind: str) -> Any:
        shape = point.sizes.shape(extents(param))
        dtype: Any = {"real": object, "int": np.int64, "bool": bool}[param.kind]
        out = np.empty(shape, dtype)
        enclose = Intervals().num if kind == "interval" and param.kind == "real" else None
        for index, value in entries.items():
            out[index] = value if enclose is None else enclose(value)
        full: list[int] = []
        for axis in param.axes:
            full += point.sizes.packs[axis.pack] if axis.pack else (axis.extent.evaluate(point.sizes.ints),)
        return out.reshape(full)

    # Reports

    def _small(
        self, found: Counterexample, param: Param, point: Point, test: Callable[[Point, str], Any]
    ) -> Counterexample:
        """Set entries to 0 or 1 one by one as long as the test still fails."""
        end = perf_counter() + min(1.0, self.seconds)
        for name in (COTANGENT, *(p.name for p in self.op.params if p.kind == "real")):
            for index in list(point.tensors[name]):
                for simple in (Fraction(0), Fraction(1)):
                    if point.tensors[name][index] in (Fraction(0), simple) or perf_counter() > end:
                        break
                    tensors = {**point.tensors, name: {**point.tensors[name], index: simple}}
                    candidate = Point(self.op, point.sizes, tensors, point.shapes, point.kinds)
                    again = self._attempt(candidate, test) if in_domain(candidate) else None
                    if again is not None:
                        found, point = again, candidate
                        break
        return found

    def _report(self, point: Point, more: tuple[str, ...], where: str, expected: Any, got: Any) -> Counterexample:
        dims = {k: v for k, v in point.sizes.ints.items() if k in (*self.op.sizes, *self.op.int_attrs)}
        names = [*self.op.real_attrs, *(p.name for p in self.op.params), *more]
        values = {name: point.nested(name) for name in names}
        return Counterexample(dims, values, f"{where} = {_shown(expected)}", f"{where} = {_shown(got)}", True)


def differs(a: Any, b: Any) -> bool:
    """Whether two scalars are different for certain."""
    if isinstance(a, Fraction | int) and isinstance(b, Fraction | int):
        return a != b
    a, b = _ball(a), _ball(b)
    return not a.overlaps(b)


def above(a: Any, b: Any) -> bool:
    """Whether a > b for certain."""
    if isinstance(a, Fraction | int) and isinstance(b, Fraction | int):
        return a > b
    return bool(_ball(a) > _ball(b))


def _ball(value: Any) -> Any:
    return Intervals().num(Fraction(value)) if isinstance(value, Fraction | int) else value


def _dot(table: Entries, direction: dict[tuple[int, ...], Fraction]) -> Any:
    total: Any = Fraction(0)
    for index, weight in direction.items():
        value = table[index]
        if isinstance(value, Fraction | int) and isinstance(total, Fraction | int):
            total = total + value * weight
        else:
            total = _ball(total) + _ball(value) * _ball(weight)
    return total


def _least(values: list[Any]) -> Any:
    return min(values, key=lambda v: float(v) if isinstance(v, Fraction) else float(v.mid()))


def _greatest(values: list[Any]) -> Any:
    return max(values, key=lambda v: float(v) if isinstance(v, Fraction) else float(v.mid()))


def _shown(value: Any) -> str:
    if isinstance(value, str | bool | int | Fraction):
        return str(value)
    return f"{float(value.mid()):.9g} +- {float(value.rad()):.1g}"


def nonlinear(op: OpDef) -> Counterexample | None:
    """A point where a written vjp or jvp is not linear: doubling the (co)tangent does not double the result.

    Such a rule has no transpose, so the operator has no rule set; the written formula itself is evaluated.
    """
    for sizes in sizes_of(op):
        for point in points_of(op, sizes, 6, 0):
            for rule in op.vjps:
                if isinstance(rule.body, Cond):
                    continue
                found = _not_doubled(op, point, unfolded(op, rule.body), rule.target, rule.indices)
                if found is not None:
                    return found
    return None


def _not_doubled(op: OpDef, point: Point, body: Term, target: str, indices: tuple[str, ...]) -> Counterexample | None:
    def value(scale: int, index: tuple[int, ...], kind: str) -> Any:
        field: Any = Rationals() if kind == "rational" else Intervals()
        cotangent = {k: v * scale for k, v in point.tensors[COTANGENT].items()}
        scaled = Point(op, point.sizes, {**point.tensors, COTANGENT: cotangent}, point.shapes, point.kinds)
        env = scaled.env(None if kind == "rational" else field.num)
        for name, position in zip(indices, index, strict=True):
            env = env.bind(name, position)
        return evaluate(body, env, field)

    for kind in ("rational", "interval"):
        try:
            for index in point.tensors[target]:
                once, twice = value(1, index, kind), value(2, index, kind)
                if differs(twice, once + once):
                    names = [*op.real_attrs, *(p.name for p in op.params), COTANGENT]
                    values = {name: point.nested(name) for name in names}
                    where = f"vjp {target}{list(index)} at 2*{COTANGENT}"
                    dims = {k: v for k, v in point.sizes.ints.items() if k in (*op.sizes, *op.int_attrs)}
                    return Counterexample(
                        dims, values, f"{where} = {_shown(once + once)}", f"{where} = {_shown(twice)}", True
                    )
            return None
        except Irrational:
            continue
        except (Undefined, Undecided, ZeroDivisionError):
            return None
    return None
