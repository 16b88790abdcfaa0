"""Counterexamples: a point where a claim fails, found by search and replayed through the runtime's own kernels.

A refutation needs what is expected and what is got (replay.py) to differ for certain: intervals that overlap, a tie
that can't be decided, or a point outside the domain refute nothing. At a tie what is got must lie outside of everything
that the sides of the tie allow (ties.py).
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from typing import Any

from gradproof.compiler.claims import Counterexample
from gradproof.compiler.denote import Undecided, Undefined
from gradproof.compiler.ops import COTANGENT, OUTPUT, TANGENT, Param, Promise
from gradproof.compiler.rules import derived_jvp, meaning_of
from gradproof.verifier.broken import broken_at
from gradproof.verifier.certain import beyond, differs, dot, hull, shown, shown_direction, shown_jvp
from gradproof.verifier.declared import declared_at, resting, valueless_at_rest
from gradproof.verifier.limits import Limit, limits_of, wrong_limit
from gradproof.verifier.replay import Replay, SeveralCotangents, Test, busy
from gradproof.verifier.shrink import shrunk
from gradproof.verifier.steep import missing
from gradproof.verifier.witness import Entries, Point

LONELY = 6  # output entries that get a cotangent alone at a tie, at most


@dataclass(slots=True)
class Search(Replay):
    """A search for counterexamples to one operator's claims."""

    limits: tuple[Limit, ...] | None = None  # the removable singularities, once they were asked for

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
        return self._first(lambda point, kind: broken_at(self, point, promise, kind))

    def _first(self, test: Test) -> Counterexample | None:
        for point in self.points(ties=True):
            found = self.attempt(point, test)
            if found is not None:
                return shrunk(self.op, found, point, lambda smaller: self.attempt(smaller, test), self.seconds)
        return None

    # One point

    def vjp_at(self, point: Point, param: Param, kind: str) -> Counterexample | None:
        """The vjp that runs against the transpose of the derivative."""
        try:
            outcomes = self.expected_vjp(point, param, kind)
        except SeveralCotangents:
            alone = (self.vjp_at(_lonely(point, entry), param, kind) for entry in list(busy(point))[:LONELY])
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
            for index, value in outcomes[0].items():
                if differs(got[index], value):
                    where = f"vjp {param.name}{list(index)}"
                    return self.report(point, (COTANGENT,), where, value, got[index])
            return None
        if len(outcomes[0]) < len(got):
            return None  # ties are for small points
        # At a tie any convex combination would do for one output entry: compare with the extremes, a direction each.
        ((entry, _),) = busy(point).items()
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
        found, undecided = None, None
        for test in (self.jvp_at, partial(declared_at, self)):
            try:
                found = found or test(point, kind)
            except Undefined:  # a side without a value: a limit may have one
                pass
            except Undecided as error:
                undecided = error
        if self.limits is None:
            self.limits = limits_of(self.op, self.rules, self.seconds)
        found = found or wrong_limit(self, self.limits, point, kind)
        if found is None and undecided is not None:
            raise undecided  # other scalars may tell
        return found

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

    def _valueless(self, point: Point, where: str, outcomes: list[Entries], error: Undefined) -> Counterexample:
        """A rule without a value although the formula has a derivative there, or subgradients."""
        expected = ", ".join(shown(v) for v in outcomes[0].values())
        many = len(outcomes[0]) != 1
        return self.report(point, (COTANGENT,), where, f"[{expected}]" if many else expected, f"undefined: {error}")


def _lonely(point: Point, entry: tuple[int, ...]) -> Point:
    """The point with a cotangent at one output entry alone."""
    return point.put(COTANGENT, {k: v if k == entry else Fraction(0) for k, v in point.tensors[COTANGENT].items()})
