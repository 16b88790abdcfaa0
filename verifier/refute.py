"""Counterexamples: a point where a claim fails, found by search and replayed through the runtime's own kernels.

What is expected comes from the denotation of the calculus's derivative, entry by entry; what is got comes from the
kernel that would run, over exact rationals or, where a function is irrational, over rigorous intervals. A refutation
needs the two to differ for certain: intervals that overlap, a tie that can't be decided, or a point outside the domain
refute nothing. At a tie what is got must lie outside of everything that the sides of the tie allow (ties.py).
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from time import perf_counter
from typing import Any, TypeAlias

import numpy as np
from gradproof.compiler.claims import Counterexample
from gradproof.compiler.denote import Env, Intervals, Irrational, Rationals, Undecided, Undefined, evaluate
from gradproof.compiler.lower import kernel_of
from gradproof.compiler.ops import COTANGENT, OUTPUT, TANGENT, OpDef, Param, Promise
from gradproof.compiler.rules import RuleSet, derived_jvp, extents, meaning_of
from gradproof.compiler.signatures import LIFTED
from gradproof.compiler.terms import Term
from gradproof.runtime.interpret import run_kernel
from gradproof.runtime.scalars import scalars
from gradproof.verifier.certain import beyond, differs, dot, hull, shown, shown_direction, shown_jvp
from gradproof.verifier.declared import declared_at, resting, valueless_at_rest
from gradproof.verifier.limits import Limit, limits_of, wrong_limit
from gradproof.verifier.shrink import shrunk
from gradproof.verifier.steep import missing
from gradproof.verifier.ties import sides
from gradproof.verifier.witness import Entries, Point, points_of, sizes_of

Test: TypeAlias = Callable[[Point, str], Counterexample | None]
Tangents: TypeAlias = dict[str, Entries]
SEED, TURNS = 2, 3  # after so many points in a row without a rational value, only intervals are tried
ROUNDS = ((6, 24), (24, 24), (6, 120), (96, 24), (24, 120), (384, 24))  # points of each size, and how many sizes
LONELY = 6  # output entries that get a cotangent alone at a tie, at most


class SeveralCotangents(Undecided):
    """A tie where several output entries have a cotangent: what the sides allow can't be told from their sum."""


@dataclass(slots=True)
class Search:
    """A search for counterexamples to one operator's claims, within `seconds` and with a fixed seed."""

    op: OpDef
    rules: RuleSet
    seconds: float = 3.0
    seed: int = 0
    limits: tuple[Limit, ...] | None = None  # the removable singularities, once they were asked for
    irrational: int = 0  # points in a row at which rationals were not enough

    def points(self) -> Iterator[Point]:
        """Points of small sizes, until the time is over; at least one of every size."""
        end = perf_counter() + self.seconds
        for tries, limit in ROUNDS:
            for sizes in sizes_of(self.op, limit):
                for point in points_of(self.op, sizes, tries, self.seed + tries):
                    yield point
                    if perf_counter() > end:
                        return

    # The claims

    def vjp(self, param: Param) -> Counterexample | None:
        """A point where the vjp that runs is not the derivative's transpose."""
        return self._first(lambda point, kind: self.vjp_at(point, param, kind))

    def jvp(self) -> Counterexample | None:
        """A point where the jvp that runs is not the derivative, or at a tie outside of the Clarke subdifferential."""
        return self._first(self.jvp_at)

    def kink(self) -> Counterexample | None:
        """A tie where the derivative used is no Clarke subgradient, or not the declared one."""
        return self._first(lambda point, kind: self._kink_at(point, kind))

    def runs(self) -> Counterexample | None:
        """A point where what runs has another value than the meaning."""
        return self._first(self.runs_at)

    def undefined(self) -> Counterexample | None:
        """A point where a rule has no value although the formula has, and a derivative or subgradients too."""
        return self._first(self.undefined_at)

    def broken(self, promise: Promise) -> Counterexample | None:
        """A point where an `ensure` of the operator does not hold of its result."""
        from gradproof.verifier.broken import broken_at

        return self._first(lambda point, kind: broken_at(self, point, promise, kind))

    def _first(self, test: Test) -> Counterexample | None:
        for point in self.points():
            found = self.attempt(point, test)
            if found is not None:
                return shrunk(self.op, found, point, lambda smaller: self.attempt(smaller, test), self.seconds)
        return None

    def attempt(self, point: Point, test: Test) -> Counterexample | None:
        """Run a test over rationals, or over intervals where those are not enough; None where neither can tell."""
        try:
            return self.conclude(point, test)
        except (Undefined, Undecided, Irrational, ZeroDivisionError):
            return None

    def conclude(self, point: Point, test: Test) -> Counterexample | None:
        """`attempt`, but a point that can't tell raises: None means that the claim holds there."""
        if self.irrational < TURNS:
            try:
                found = test(point, "rational")
                self.irrational = 0
                return found
            except Irrational:
                self.irrational += 1
        return test(point, "interval")

    # One point

    def vjp_at(self, point: Point, param: Param, kind: str) -> Counterexample | None:
        """The vjp that runs against the transpose of the derivative."""
        try:
            outcomes = self.expected_vjp(point, param, kind)
        except SeveralCotangents:
            alone = (self.vjp_at(_lonely(point, entry), param, kind) for entry in list(_busy(point))[:LONELY])
            found = next(filter(None, alone), None)
            if found is None:
                raise
            return found
        try:
            got = self.run(point, "vjp", param.name, kind)
        except Undefined as error:
            self.check_differentiable(point, kind)
            return self._valueless(point, f"vjp {param.name}", outcomes, error)
        if len(outcomes) == 1:
            for index, value in got.items():
                if differs(value, outcomes[0][index]):
                    where = f"vjp {param.name}{list(index)}"
                    return self.report(point, (COTANGENT,), where, outcomes[0][index], value)
            return None
        # At a tie any convex combination would do for one output entry: compare with the extremes, a direction each.
        ((entry, _),) = _busy(point).items()
        found = (
            self._outside(point, param, got, outcomes)
            if self._continuous(point, entry, kind)
            else self._across(point, param, got, kind)
        )
        return found or self._unpaired(point, param, got, kind)

    def _across(self, point: Point, param: Param, got: Entries, kind: str) -> Counterexample | None:
        for index, expected in self.held(point, param, kind).items():
            if differs(got[index], expected):
                return self.report(point, (COTANGENT,), f"vjp {param.name}{list(index)}", expected, got[index])
        return None

    def held(self, point: Point, param: Param, kind: str) -> Entries:
        """The transpose of the derivative with all other inputs held, where no tie is in this one; empty elsewhere.

        At a jump in another input the formula may still be smooth in this one, and declared is nothing else.
        """
        if any(kink.value is not None for kink in self.op.kinks):
            return {}
        found = self._transposed(point, param, kind, frozenset({param.name}))
        return found[0] if len(found) == 1 else {}

    def _outside(self, point: Point, param: Param, got: Entries, outcomes: list[Entries]) -> Counterexample | None:
        for direction in self._weights(got.keys()):
            along = dot(got, direction)
            values = [dot(o, direction) for o in outcomes]
            if beyond(along, values):
                where = " + ".join(
                    f"{'' if w == 1 else f'({w})*'}vjp {param.name}{list(k)}" for k, w in direction.items() if w
                )
                return self.report(point, (COTANGENT,), where, hull(values), along)
        return None

    def _unpaired(self, point: Point, param: Param, vjp: Entries, kind: str) -> Counterexample | None:
        """At a tie the two rules that run must still take the same value: <jvp, g> = <dx, vjp>."""
        for direction in self._weights(vjp.keys()):
            tangents = {**self._still(point), TANGENT + param.name: direction}
            left = dot(self.run(point, "jvp", "", kind, tangents), point.tensors[COTANGENT])
            right = dot(vjp, direction)
            if differs(left, right):
                along = shown_direction({TANGENT + param.name: direction})
                where = f"<d{param.name}, vjp {param.name}> for {along}"
                return self.report(point, (COTANGENT,), where, f"<jvp, g> = {shown(left)}", right)
        return None

    def _weights(self, keys: Any) -> Iterator[Entries]:
        keys = list(keys)
        yield dict.fromkeys(keys, Fraction(1))
        for one in keys:
            yield {k: Fraction(k == one) for k in keys}
        rng = random.Random(self.seed)
        for _ in range(6):
            yield {k: Fraction(rng.randint(-2, 2)) for k in keys}

    def jvp_at(self, point: Point, kind: str) -> Counterexample | None:
        """The jvp that runs against the derivative, along one direction and the other."""
        for tangents in self.directions(point):
            try:
                got = self.run(point, "jvp", "", kind, tangents)
            except Undefined:
                return None  # DOM's business
            for entry, value in got.items():
                values = self.outcomes(point, derived_jvp(self.op), entry, kind, tangents)
                if beyond(value, values) and self._continuous(point, entry, kind):
                    where = shown_jvp(entry, tangents)
                    return self.report(point, (), where, hull(values), value)
        return None

    def _continuous(self, point: Point, entry: tuple[int, ...], kind: str) -> bool:
        """Whether the meaning has one value at the point and on all sides of its ties: a jump has no derivative."""
        own = self.value(point, entry, kind)
        return not any(differs(own, other) for other in self.outcomes(point, meaning_of(self.op), entry, kind, {}))

    def _kink_at(self, point: Point, kind: str) -> Counterexample | None:
        found = None
        for test in (self.jvp_at, partial(declared_at, self)):
            with suppress(Undefined, Undecided):  # a side without a value: a limit may have one
                found = found or test(point, kind)
        if self.limits is None:
            self.limits = limits_of(self.op, self.rules, self.seconds)
        return found or wrong_limit(self, self.limits, point, kind)

    def jump(self) -> str:
        """Where the meaning seems to jump, for a reason of an unknown; empty where no such point is met."""
        for point in itertools.islice(self.points(), 200):
            for entry in self.indices(point):
                try:
                    own = self.value(point, entry, "interval")
                    beside = self.outcomes(point, meaning_of(self.op), entry, "interval", {})
                except (Undefined, Undecided, ZeroDivisionError):
                    continue
                other = next((one for one in beside if differs(own, one)), None)
                if other is not None:
                    shown_at = self.report(point, (), OUTPUT + str(list(entry)), own, other)
                    at = ", ".join(f"{name} = {value}".replace("'", "") for name, value in shown_at.values.items())
                    return f"it seems to at {at}: {shown_at.expected} there, and {shown(other)} on a side of it"
        return ""

    def directions(self, point: Point) -> Iterator[Tangents]:
        """Tangents of all inputs at once, then of one entry alone."""
        names = [TANGENT + p.name for p in self.op.differentiable]
        keys = [(n, k) for n in names for k in point.tensors[n[len(TANGENT) :]]]
        rng = random.Random(self.seed + 1)
        for low, high in ((1, 1), (SEED, SEED), (-2, 3), (-3, 2)):
            values = {key: Fraction(rng.randint(low, high)) for key in keys}
            yield {n: {k: values[n, k] for m, k in keys if m == n} for n in names}
        for chosen in keys[:12]:
            yield {n: {k: Fraction((n, k) == chosen) for m, k in keys if m == n} for n in names}

    def runs_at(self, point: Point, kind: str) -> Counterexample | None:
        """What runs against the meaning."""
        got = self.run(point, "forward", "", kind)
        for index, value in got.items():
            expected = self.value(point, index, kind)
            if differs(value, expected):
                return self.report(point, (), f"{OUTPUT}{list(index)}", expected, value)
        return None

    def undefined_at(self, point: Point, kind: str) -> Counterexample | None:
        """Whether what runs has a value where the meaning has one, and the rules where there is a derivative."""
        values = {index: self.value(point, index, kind) for index in self.indices(point)}
        try:
            self.run(point, "forward", "", kind)
        except Undefined as error:
            expected = ", ".join(map(shown, values.values()))
            return self.report(point, (), OUTPUT, f"[{expected}]", f"undefined: {error}")
        if len(resting(self, point, kind)) == len(values):
            return valueless_at_rest(self, point, kind)
        self.check_differentiable(point, kind)
        for param in self.op.differentiable:
            try:
                outcomes = self.expected_vjp(point, param, kind)
            except (Undefined, Undecided):
                continue
            try:
                self.run(point, "vjp", param.name, kind)
            except Undefined as error:
                return self._valueless(point, f"vjp {param.name}", outcomes, error)
            try:
                self.run(point, "jvp", "", kind, self.along(point, param, None))
            except Undefined as error:
                return self.report(point, (), f"jvp along d{param.name} = 1", "a value", f"undefined: {error}")
        # A kernel leaves out what it multiplies by 0; the formula that is written needs all of its factors.
        for where, *_, why, _ in missing(self, point, kind) if not self.op.lawful else ():
            return self.report(point, (COTANGENT,), where, "a value", f"undefined: {why}")
        return None

    def check_differentiable(self, point: Point, kind: str) -> None:
        """Undefined where the meaning or the calculus's derivative has none at some output entry, of any cotangent.

        A rule is one computation for all entries and inputs, so it need not be defined where one of them is not.
        """
        ones = {TANGENT + p.name: dict.fromkeys(point.tensors[p.name], Fraction(1)) for p in self.op.differentiable}
        field = Rationals() if kind == "rational" else Intervals()
        for entry in self.indices(point):
            self.value(point, entry, kind)
            evaluate(derived_jvp(self.op), self.env(point, kind, entry, ones), field)

    def _valueless(self, point: Point, where: str, outcomes: list[Entries], error: Undefined) -> Counterexample:
        """A rule without a value although the formula has a derivative there, or subgradients."""
        expected = ", ".join(shown(v) for v in outcomes[0].values())
        many = len(outcomes[0]) != 1
        return self.report(point, (COTANGENT,), where, f"[{expected}]" if many else expected, f"undefined: {error}")

    # Values

    def indices(self, point: Point) -> list[tuple[int, ...]]:
        """The output's indices."""
        return list(itertools.product(*map(range, point.sizes.shape(extents(self.op.output)))))

    def value(self, point: Point, index: tuple[int, ...], kind: str) -> Any:
        """The meaning of one output entry."""
        field = Rationals() if kind == "rational" else Intervals()
        return evaluate(meaning_of(self.op), self.env(point, kind, index), field)

    def env(self, point: Point, kind: str, entry: tuple[int, ...], tangents: Tangents | None = None) -> Env:
        """The point, at one output entry, with tangents."""
        moved = Point(self.op, point.sizes, {**point.tensors, **(tangents or {})}, point.shapes)
        env = moved.env(None if kind == "rational" else Intervals().num)
        for name, position in zip(self.op.forward.indices, entry, strict=True):
            env = env.bind(name, position)
        return env

    def outcomes(self, point: Point, term: Term, entry: tuple[int, ...], kind: str, tangents: Tangents) -> list[Any]:
        """The term's value at an output entry on every side of the ties there."""
        env = self.env(point, kind, entry, tangents)
        return list(sides(lambda value: value(term, env), kind, self._varying))

    @property
    def _varying(self) -> frozenset[str]:
        return frozenset(p.name for p in self.op.differentiable)

    def expected_vjp(self, point: Point, param: Param, kind: str) -> list[Entries]:
        """The transpose of the calculus's derivative at the point: one table for each side of the ties there."""
        return self._transposed(point, param, kind, self._varying)

    def _transposed(self, point: Point, param: Param, kind: str, varying: frozenset[str]) -> list[Entries]:
        term = derived_jvp(self.op, (param,))
        busy = _busy(point)
        weight = {k: v if kind == "rational" else Intervals().num(v) for k, v in busy.items()}
        envs = {
            (index, entry): self.env(point, kind, entry, self.along(point, param, index))
            for index in point.tensors[param.name]
            for entry in busy
        }

        def column(value: Callable[[Term, Env], Any]) -> Entries:
            table: Entries = dict.fromkeys(point.tensors[param.name], Fraction(0))
            for (index, entry), env in envs.items():
                part = value(term, env) * weight[entry]
                table[index] = part if table[index] == 0 else table[index] + part
            return table

        found = list(sides(column, kind, varying))
        if len(found) > 1 and len(busy) > 1:
            # Each output entry may take a subgradient of its own; their sum need not be one of the sum.
            raise SeveralCotangents("a tie under several cotangents")
        return found

    def _still(self, point: Point) -> Tangents:
        return {TANGENT + p.name: dict.fromkeys(point.tensors[p.name], Fraction(0)) for p in self.op.differentiable}

    def along(self, point: Point, param: Param, index: tuple[int, ...] | None) -> Tangents:
        """The tangents that are 0 but for one entry of one input (all of it where index is None)."""
        moved = {k: Fraction(index in (None, k)) for k in point.tensors[param.name]}
        return {**self._still(point), TANGENT + param.name: moved}

    def run(self, point: Point, mode: str, name: str, kind: str, tangents: Tangents | None = None) -> Entries:
        """What the runtime's kernel computes at the point, by flat index."""
        chosen = scalars(kind)
        sizes = {s: point.sizes.packs.get(s, (point.sizes.ints[s],)) for s in self.op.sizes}
        ints = {a: point.sizes.ints[a] for a in self.op.int_attrs}
        reals = {a: point.tensors[a][()] for a in self.op.real_attrs}
        tensors = {p.name: (point.tensors[p.name], p) for p in self.op.params}
        given = {n: self._array(point, t, p, kind) for n, (t, p) in tensors.items()}
        kernel = kernel_of(self.op, mode, name)
        wanted = {i.name for i in kernel.program.inputs}
        if mode != "forward":
            if OUTPUT in wanted:
                forward = kernel_of(self.op, "forward", "")
                given[OUTPUT] = run_kernel(forward, given, sizes, ints, reals, chosen)
            given[COTANGENT] = self._array(point, point.tensors[COTANGENT], self.op.output, kind)
            for n, t in (tangents or {}).items():
                given[n] = self._array(point, t, self.op.param(n[len(TANGENT) :]), kind)
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

    def report(self, point: Point, more: tuple[str, ...], where: str, expected: Any, got: Any) -> Counterexample:
        """The point in the user's names; `more` names tensors to show beside the inputs."""
        dims = {k: v for k, v in point.sizes.ints.items() if k in (*self.op.sizes, *self.op.int_attrs)}
        names = [*self.op.real_attrs, *(p.name for p in self.op.params), *more]
        values = {name: point.nested(name) for name in names}
        if lifted(self.op) and dims == {LIFTED: 1}:  # written for one number, so told of one
            dims, values = {}, {name: _alone(value) for name, value in values.items()}
            where = where.replace("[0]", "")
        return Counterexample(dims, values, f"{where} = {shown(expected)}", f"{where} = {shown(got)}", True)


def lifted(op: OpDef) -> bool:
    """Whether the operator is a `fn`, written for one number."""
    return op.source.lstrip().startswith("fn ")


def _alone(value: Any) -> Any:
    """The one entry of a tensor."""
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def _lonely(point: Point, entry: tuple[int, ...]) -> Point:
    """The point with a cotangent at one output entry alone."""
    given = point.tensors[COTANGENT]
    return replace(
        point, tensors={**point.tensors, COTANGENT: {k: v if k == entry else Fraction(0) for k, v in given.items()}}
    )


def _busy(point: Point) -> Entries:
    """The output entries with a cotangent."""
    return {k: v for k, v in point.tensors[COTANGENT].items() if v != 0}
