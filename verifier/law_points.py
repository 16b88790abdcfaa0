"""Points of operators whose result is an extern's: are the laws true there, and what derivative do they leave?

The laws are trusted for all inputs; here they are tested with the kernel itself, in exact scalars, at small points and
at sizes 0: a law that fails at one is refuted, and with it every claim that leans on the laws. dy is what the laws,
differentiated, leave at a point, from a linear system; where they leave more than one, nothing is known there.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np
from gradproof.compiler.calculus import derivative
from gradproof.compiler.claims import Counterexample
from gradproof.compiler.denote import Env, Intervals, Irrational, Undecided, Undefined, evaluate, field_of
from gradproof.compiler.dims import Poly
from gradproof.compiler.ops import COTANGENT, OUTPUT, TANGENT, Formula, Law, OpDef, Param
from gradproof.compiler.rewriting import tensors
from gradproof.compiler.rules import extents, rules_of, unfolded
from gradproof.compiler.terms import Term, opaque, sub
from gradproof.runtime.externs import ExternError, run_exact
from gradproof.verifier.certain import EXACT, differs, dot, shown_jvp
from gradproof.verifier.refute import Search
from gradproof.verifier.witness import Entries, Point, points_of, sizes_of, smallest

RESULT, MOVED = opaque(OUTPUT), TANGENT + OUTPUT
Position: TypeAlias = tuple[int, ...]
SIZES, TRIES, ENOUGH = 5, 24, 2  # the laws are tested at some sizes, until enough points of each have a value
STEP = 40  # a derivative that a law states is compared with a difference quotient over 2^-STEP


@dataclass(slots=True)
class World:
    """Every tensor of an operator at a point: inputs, tangents, intermediates, and what the externs compute."""

    op: OpDef
    point: Point
    kind: str
    tangents: Mapping[str, Entries] = field(default_factory=dict)
    given: dict[str, Entries] = field(default_factory=dict)

    @property
    def field(self) -> Any:
        """The scalars."""
        return field_of(self.kind)

    def env(self, indices: Mapping[str, int]) -> Env:
        """The environment at an index."""

        def real(name: str, position: Position) -> Any:
            table = self.tensor(name)
            if position not in table:
                raise Undefined(f"{name}{list(position)} is out of bounds")
            return table[position]

        plain = self.point.env()
        return Env({**self.point.sizes.ints, **indices}, real, plain.integer, plain.boolean)

    def value(self, term: Term, indices: Mapping[str, int]) -> Any:
        """A term at an index."""
        return evaluate(term, self.env(indices), self.field)

    def tensor(self, name: str) -> Entries:
        """All entries of a tensor."""
        if name not in self.given:
            self.given[name] = self._tensor(name)
        return self.given[name]

    def _tensor(self, name: str) -> Entries:
        extern = self.op.extern(name)
        if extern is not None:
            shape = self.shape(extern.extents)
            result = run_exact(extern.kernel, self.field, [self.array(arg) for arg in extern.args])
            if result.shape != shape:
                raise ExternError(f"{extern.kernel} gives the shape {list(result.shape)}, not {list(shape)}")
            return {at: result[at] for at in np.ndindex(*shape)}
        if name == OUTPUT:
            return self.tensor(RESULT)
        let = next((let for let in self.op.lets if let.target == name), None)
        if let is not None:
            return self.formula(let)
        source = self.tangents if name in self.tangents else self.point.tensors
        return {at: self.field.num(value) for at, value in source[name].items()}

    def formula(self, formula: Formula) -> Entries:
        """All entries of what a formula defines."""
        positions = itertools.product(*map(range, self.shape(formula.extents)))
        names = formula.indices
        return {at: self.value(formula.body, dict(zip(names, at, strict=True))) for at in positions}  # type: ignore[arg-type]

    def array(self, name: str) -> Any:
        """A tensor as an object array."""
        entries = self.tensor(name)
        out = np.empty(self.shape(_extents(self.op, name)), object)
        for at, value in entries.items():
            out[at] = value
        return out

    def shape(self, axes: tuple[Poly, ...]) -> tuple[int, ...]:
        """Extents as numbers."""
        return self.point.sizes.shape(axes)

    def everywhere(self, law: Law) -> Iterator[dict[str, int]]:
        """Every index of a law."""
        for at in itertools.product(*map(range, self.shape(law.extents))):
            yield dict(zip(law.indices, at, strict=True))


def _extents(op: OpDef, name: str) -> tuple[Poly, ...]:
    for param in (*op.params, op.output):
        if name in (param.name, TANGENT + param.name):
            return extents(param)
    if name in (COTANGENT, RESULT):
        return extents(op.output)
    return next(let.extents for let in op.lets if let.target == name)


def moved(world: World) -> Entries:
    """dy at a point along its tangents, as the laws leave it; Undecided where they leave more than one."""
    op = world.op
    positions = list(itertools.product(*map(range, world.shape(extents(op.output)))))
    names = {p.name: TANGENT + p.name for p in op.differentiable} | {RESULT: MOVED}
    states = {p.name for p in op.params} | {RESULT} | set(op.real_attrs)
    rows: list[list[Any]] = []
    zero, one = world.field.num(Fraction(0)), world.field.num(Fraction(1))
    for law in op.laws:
        difference = sub(unfolded(op, law.left), unfolded(op, law.right))
        read = tensors(difference)
        if MOVED not in read and not (RESULT in read and read <= states):
            continue
        slope = difference if MOVED in read else derivative(difference, names)
        for at in world.everywhere(law):
            world.given[MOVED] = dict.fromkeys(positions, zero)
            still = world.value(slope, at)
            row = []
            for position in positions:
                world.given[MOVED] = {k: one if k == position else zero for k in positions}
                row.append(world.value(slope, at) + -still)
            rows.append([*row, -still])
    world.given.pop(MOVED, None)
    return dict(zip(positions, _solved(rows, len(positions), world.kind), strict=True))


def _solved(rows: list[list[Any]], count: int, kind: str) -> list[Any]:
    """The only solution of a linear system, rows being equations; Undecided where there is none or more than one."""
    field = field_of(kind)
    for column in range(count):
        usable = [r for r in range(column, len(rows)) if _certain(rows[r][column])]
        if not usable:
            raise Undecided("the laws do not determine the derivative here")
        best = max(usable, key=lambda r: abs(float(_middle(rows[r][column]))))
        rows[column], rows[best] = rows[best], rows[column]
        scale = field.power(rows[column][column], -1)
        rows[column] = [entry * scale for entry in rows[column]]
        for r in range(len(rows)):
            if r != column:
                factor = rows[r][column]
                rows[r] = [a + -(factor * b) for a, b in zip(rows[r], rows[column], strict=True)]
    if any(differs(row[count], Fraction(0)) for row in rows[count:]):
        raise Undecided("the laws contradict each other here")
    return [rows[k][count] for k in range(count)]


def _certain(value: Any) -> bool:
    return differs(value, Fraction(0))


def _middle(value: Any) -> Any:
    return value if isinstance(value, EXACT) else value.mid()


@dataclass(slots=True)
class LawSearch(Search):
    """The search for counterexamples where the derivative is what the laws leave."""

    def vjp(self, param: Param) -> Counterexample | None:
        """A point where a law fails, or the vjp that runs is not the derivative's transpose."""
        problem, found = law_check(self.op)
        return found if problem else self._first(lambda point, kind: self.vjp_at(point, param, kind))

    def jvp(self) -> Counterexample | None:
        """A point where a law fails, or the jvp that runs is not the derivative."""
        problem, found = law_check(self.op)
        return found if problem else self._first(self.jvp_at)

    def undefined(self) -> Counterexample | None:
        """A point where a rule has no value although the extern has."""
        return None if law_check(self.op)[0] else self._first(self.undefined_at)

    def vjp_at(self, point: Point, param: Param, kind: str) -> Counterexample | None:
        """The vjp that runs against the transpose of what the laws leave."""
        world = World(self.op, point, kind)
        weights = world.tensor(COTANGENT)
        world.tensor(RESULT)
        got = self.run(point, "vjp", param.name, kind)
        for index, value in got.items():
            along = moved(replace(world, tangents=self.along(point, param, index), given=dict(world.given)))
            expected = dot(along, weights) if along else Fraction(0)
            if differs(value, expected):
                return self.report(point, (COTANGENT,), f"vjp {param.name}{list(index)}", expected, value)
        return None

    def jvp_at(self, point: Point, kind: str) -> Counterexample | None:
        """The jvp that runs against what the laws leave, along several directions."""
        for tangents in self.directions(point):
            world = World(self.op, point, kind, tangents)
            world.tensor(RESULT)
            expected = moved(world)
            got = self.run(point, "jvp", "", kind, tangents)
            for entry, value in got.items():
                if differs(value, expected[entry]):
                    where = shown_jvp(entry, tangents)
                    return self.report(point, (), where, expected[entry], value)
        return None

    def undefined_at(self, point: Point, kind: str) -> Counterexample | None:
        """Whether the rules have a value where the extern has one and the laws leave one derivative."""
        world = World(self.op, point, kind)
        world.tensor(RESULT)
        for param in self.op.differentiable:
            moved(replace(world, tangents=self.along(point, param, None), given=dict(world.given)))
            try:
                self.run(point, "vjp", param.name, kind)
            except Undefined as error:
                return self.report(point, (COTANGENT,), f"vjp {param.name}", "a value", f"undefined: {error}")
        return None


@lru_cache(maxsize=1024)
def law_check(op: OpDef) -> tuple[str, Counterexample | None]:
    """Why the laws are not to be used: one that fails at a point, or nothing to test them at; empty where they hold."""
    rng = random.Random(op.name)
    search = LawSearch(op, rules_of(op), 1.0)
    tested = 0
    spoken: set[Law] = set()
    try:
        for sizes in (*smallest(op), *itertools.islice(sizes_of(op), SIZES)):
            here = 0
            for attempt in range(TRIES):
                for point in itertools.islice(points_of(op, sizes, attempt + 1, attempt), attempt, attempt + 1):
                    try:
                        found = search.conclude(point, lambda p, kind: _broken(search, p, kind, rng))
                    except (Undefined, Undecided, Irrational, ZeroDivisionError):
                        continue
                    if found is not None:
                        return f"a law does not hold of its extern: {found.got}", found
                    here += 1
                    spoken |= {law for law in op.laws if 0 not in point.sizes.shape(law.extents)}
                if here == ENOUGH or not sum(sizes.ints.values()):
                    break
            tested += here
    except ExternError as error:
        return str(error), None
    if not tested or (op.laws and not spoken):
        return "the externs have a value at none of the points that were tried", None
    # Where a law has no index it says nothing, and passes.
    silent = [law.text for law in op.laws if law not in spoken]
    return (f"nothing tests the law {silent[0]}" if silent else "", None)


def _broken(search: LawSearch, point: Point, kind: str, rng: random.Random) -> Counterexample | None:
    """A law that fails at the point, with arbitrary tangents."""
    op = search.op
    tangents = {
        TANGENT + p.name: {k: Fraction(rng.randint(-3, 3)) for k in point.tensors[p.name]} for p in op.differentiable
    }
    world = World(op, point, kind, tangents)
    for law in op.laws:
        if MOVED in tensors(law.left) | tensors(law.right):
            found = _not_the_slope(search, point, law, tangents)
            if found is not None:
                return found
            continue
        for at in world.everywhere(law):
            left, right = world.value(law.left, at), world.value(law.right, at)
            if differs(left, right):
                return search.report(point, (), f"law {law.text} at {_at(at)}: the left side", right, left)
    return None


def _not_the_slope(search: LawSearch, point: Point, law: Law, tangents: Mapping[str, Entries]) -> Counterexample | None:
    """A law for dy that a difference quotient contradicts by far."""
    import flint

    before, flint.ctx.prec = flint.ctx.prec, 4 * STEP
    try:
        return _compared(search, point, law, tangents)
    finally:
        flint.ctx.prec = before


def _compared(search: LawSearch, point: Point, law: Law, tangents: Mapping[str, Entries]) -> Counterexample | None:
    op, step = search.op, Fraction(1, 2**STEP)

    def result(sign: int) -> Entries:
        moved_inputs = {
            p.name: {k: v + sign * step * tangents[TANGENT + p.name][k] for k, v in point.tensors[p.name].items()}
            for p in op.differentiable
        }
        nearby = Point(op, point.sizes, {**point.tensors, **moved_inputs}, point.shapes, point.kinds)
        return World(op, nearby, "interval").tensor(RESULT)

    ahead, behind = result(1), result(-1)
    quotient = {k: (ahead[k] + -behind[k]) * Intervals().num(1 / (2 * step)) for k in ahead}
    world = World(op, point, "interval", tangents, {MOVED: quotient})
    for at in world.everywhere(law):
        left, right = world.value(law.left, at), world.value(law.right, at)
        near = Intervals().num(Fraction(1, 2**20)) * (1 + abs(right))
        if abs(left + -right) > near:
            where = f"law {law.text} at {_at(at)}, dy from a difference quotient: the left side"
            return search.report(point, (), where, right, left)
    return None


def _at(indices: Mapping[str, int]) -> str:
    return ", ".join(f"{name} = {value}" for name, value in indices.items()) or "[]"
