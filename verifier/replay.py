"""What an operator means at a point, and what the runtime's kernels make of it there.

What is expected comes from the denotation of the calculus's derivative, entry by entry; what is got comes from the
kernel that would run, over exact rationals or, where a function is irrational, over rigorous intervals; at ties of
irrational values, over exact sums of square roots.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from time import perf_counter
from typing import Any, TypeAlias

import numpy as np
from gradproof.compiler.claims import Counterexample
from gradproof.compiler.denote import Env, Intervals, Irrational, Undecided, Undefined, evaluate, field_of
from gradproof.compiler.lower import kernel_of
from gradproof.compiler.ops import COTANGENT, OUTPUT, TANGENT, OpDef, Param
from gradproof.compiler.rules import RuleSet, derived_jvp, extents, meaning_of
from gradproof.compiler.signatures import LIFTED
from gradproof.compiler.terms import Term
from gradproof.runtime.interpret import run_kernel
from gradproof.runtime.scalars import scalars
from gradproof.verifier.certain import shown
from gradproof.verifier.far import far_points, looked_at
from gradproof.verifier.meeting import met
from gradproof.verifier.ties import sides
from gradproof.verifier.witness import Entries, Point, points_of, sizes_of

Test: TypeAlias = Callable[[Point, str], Counterexample | None]
Tangents: TypeAlias = dict[str, Entries]
SPREAD = 2  # tangents of a second direction that tells more than ones
TURNS = 3  # after so many points in a row without a value in them, scalars are not tried any more
EVERY = 2  # such a share of the points is moved to a tie besides
FAR = 1  # before this round, what lies beyond the numbers in the operator's text is looked at
ROUNDS = ((6, 24), (24, 24), (6, 120), (96, 24), (24, 120), (384, 24))  # points of each size, and how many sizes


class SeveralCotangents(Undecided):
    """A tie where several output entries have a cotangent: what the sides allow can't be told from their sum."""


@dataclass(slots=True)
class Replay:
    """One operator at points of small sizes, met within `seconds` and with a fixed seed."""

    op: OpDef
    rules: RuleSet
    seconds: float = 3.0
    seed: int = 0
    irrational: int = 0  # points in a row at which rationals were not enough
    nested: int = 0  # points in a row at which sums of square roots were not

    def points(self, ties: bool = False) -> Iterator[Point]:
        """Points of small sizes, until the time is over; at least one of every size. `ties` adds some that meet ties.

        What is added may have entries that are sums of square roots.
        """
        end = perf_counter() + self.seconds
        rng = random.Random(self.seed)
        for turn, (tries, limit) in enumerate(ROUNDS):
            if turn == FAR:
                yield from itertools.takewhile(lambda _: perf_counter() <= end, far_points(self.op, self.seed))
            for sizes in sizes_of(self.op, limit):
                for number, point in enumerate(points_of(self.op, sizes, tries, self.seed + tries)):
                    yield point
                    tied = met(point, rng) if ties and number % EVERY == 1 else None
                    if tied is not None:
                        yield tied
                    if perf_counter() > end:
                        return

    def attempt(self, point: Point, test: Test) -> Counterexample | None:
        """Run a test over the first scalars that can tell; None where none can."""
        try:
            return self.conclude(point, test)
        except (Undefined, Undecided, Irrational, ZeroDivisionError):
            return None

    def conclude(self, point: Point, test: Test) -> Counterexample | None:
        """`attempt`, but a point that can't tell raises: None means that the claim holds there.

        Rationals come first, then intervals; where those can't tell whether two values are equal, sums of square roots.
        """
        if point.irrational:
            return test(point, "surd")
        if self.irrational < TURNS:
            try:
                found = test(point, "rational")
                self.irrational = 0
                return found
            except Irrational:
                self.irrational += 1
        try:
            return test(point, "interval")
        except Undecided as error:
            if isinstance(error, SeveralCotangents) or self.nested >= TURNS:
                raise
        try:
            found = test(point, "surd")
            self.nested = 0
            return found
        except Irrational:
            self.nested += 1
            raise

    def directions(self, point: Point) -> Iterator[Tangents]:
        """Tangents of all inputs at once, then of one entry alone."""
        names = [TANGENT + p.name for p in self.op.differentiable]
        keys = [(n, k) for n in names for k in point.tensors[n[len(TANGENT) :]]]
        rng = random.Random(self.seed + 1)
        for low, high in ((1, 1), (SPREAD, SPREAD), (-2, 3), (-3, 2)):
            values = {key: Fraction(rng.randint(low, high)) for key in keys}
            yield {n: {k: values[n, k] for m, k in keys if m == n} for n in names}
        for chosen in keys[:12]:
            yield {n: {k: Fraction((n, k) == chosen) for m, k in keys if m == n} for n in names}

    def check_differentiable(self, point: Point, kind: str) -> None:
        """Undefined where the meaning or the calculus's derivative has none at some output entry, of any cotangent.

        A rule is one computation for all entries and inputs, so it need not be defined where one of them is not.
        """
        ones = {TANGENT + p.name: dict.fromkeys(point.tensors[p.name], Fraction(1)) for p in self.op.differentiable}
        field = field_of(kind)
        for entry in self.indices(point):
            self.value(point, entry, kind)
            evaluate(derived_jvp(self.op), self.env(point, kind, entry, ones), field)

    def held(self, point: Point, param: Param, kind: str) -> Entries:
        """The transpose of the derivative with all other inputs held, where no tie is in this one; empty elsewhere.

        At a jump in another input the formula may still be smooth in this one, and declared is nothing else.
        """
        if any(kink.value is not None for kink in self.op.kinks):
            return {}
        found = self._transposed(point, param, kind, frozenset({param.name}))
        return found[0] if len(found) == 1 else {}

    # Values

    def indices(self, point: Point) -> list[tuple[int, ...]]:
        """The output's indices."""
        return list(itertools.product(*map(range, point.sizes.shape(extents(self.op.output)))))

    def value(self, point: Point, index: tuple[int, ...], kind: str) -> Any:
        """The meaning of one output entry."""
        field = field_of(kind)
        return evaluate(meaning_of(self.op), self.env(point, kind, index), field)

    def env(self, point: Point, kind: str, entry: tuple[int, ...], tangents: Tangents | None = None) -> Env:
        """The point, at one output entry, with tangents."""
        moved = Point(self.op, point.sizes, {**point.tensors, **(tangents or {})}, point.shapes)
        env = moved.env(Intervals().num if kind == "interval" else None)
        for name, position in zip(self.op.forward.indices, entry, strict=True):
            env = env.bind(name, position)
        return env

    def outcomes(self, point: Point, term: Term, entry: tuple[int, ...], kind: str, tangents: Tangents) -> list[Any]:
        """The term's value at an output entry on every side of the ties there."""
        env = self.env(point, kind, entry, tangents)
        return list(sides(lambda value: value(term, env), kind, self._varying))

    def held_outcome(
        self, point: Point, term: Term, entry: tuple[int, ...], kind: str, tangents: Tangents
    ) -> list[Any]:
        """`outcomes` with what does not move held: one value, or none that is known."""
        if any(kink.value is not None for kink in self.op.kinks):
            return []
        env = self.env(point, kind, entry, tangents)
        moving = frozenset(n[len(TANGENT) :] for n, t in tangents.items() if any(t.values()))
        found = list(sides(lambda value: value(term, env), kind, moving))
        return found if len(found) == 1 else []

    @property
    def _varying(self) -> frozenset[str]:
        return frozenset(p.name for p in self.op.differentiable)

    def expected_vjp(self, point: Point, param: Param, kind: str) -> list[Entries]:
        """The transpose of the calculus's derivative at the point: one table for each side of the ties there.

        Of a large input, the entries that are looked at.
        """
        return self._transposed(point, param, kind, self._varying)

    def _transposed(self, point: Point, param: Param, kind: str, varying: frozenset[str]) -> list[Entries]:
        term = derived_jvp(self.op, (param,))
        weighed = busy(point)
        weight = {k: Intervals().num(v) if kind == "interval" else v for k, v in weighed.items()}
        watched = looked_at(point.tensors[param.name])
        envs = {
            (index, entry): self.env(point, kind, entry, self.along(point, param, index))
            for index in watched
            for entry in weighed
        }

        def column(value: Callable[[Term, Env], Any]) -> Entries:
            table: Entries = dict.fromkeys(watched, Fraction(0))
            for (index, entry), env in envs.items():
                part = value(term, env) * weight[entry]
                table[index] = part if table[index] == 0 else table[index] + part
            return table

        found = list(sides(column, kind, varying))
        if len(found) > 1 and len(weighed) > 1:
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


def busy(point: Point) -> Entries:
    """The output entries with a cotangent."""
    return {k: v for k, v in point.tensors[COTANGENT].items() if v != 0}
