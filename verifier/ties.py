"""A formula at a tie: its value on every side, for each way in which the reals that it compares could differ nearby.

Scalars remember how they were computed, so a pair of compared reals has one name wherever it is met and is decided the
same way everywhere. The sides that are enumerated include all that have points: a hull of the values over them contains
Clarke's subdifferential, and a value outside of the hull is outside of that.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from gradproof.compiler.denote import Env, Undecided, Undefined, evaluate, field_of
from gradproof.compiler.terms import Term

SIDES = 64  # at most so many ways to decide the ties at one point


class _Tie(Exception):
    """Two compared reals are equal: the plain evaluation has no answer."""


@dataclass(slots=True)
class Ties:
    """How the ties are decided on the present side, and which decisions are still to come."""

    order: list[list[Any]] = field(default_factory=list)  # [pair, options left]
    chosen: dict[tuple[int, int], int] = field(default_factory=dict)
    names: dict[Hashable, int] = field(default_factory=dict)

    def name(self, *parts: Hashable) -> int:
        """A number for an expression: the same one for the same parts."""
        return self.names.setdefault(parts, len(self.names))

    def sign(self, a: Tied, b: Tied) -> int:
        """The sign of a - b on this side."""
        pair, turned = ((a.name, b.name), 1) if a.name < b.name else ((b.name, a.name), -1)
        if pair not in self.chosen:
            options = [-1, 1] if _apart(a, b) or _apart(b, a) else [0, -1, 1]
            self.chosen[pair] = options.pop()
            self.order.append([pair, options])
        return turned * self.chosen[pair]

    def advance(self) -> bool:
        """Go to the next side; False after the last."""
        while self.order:
            pair, options = self.order[-1]
            if options:
                self.chosen[pair] = options.pop()
                return True
            del self.chosen[pair]
            self.order.pop()
        return False


@dataclass(frozen=True, slots=True)
class Tied:
    """A scalar, the name of the expression that it came from, and the varying entries that were read for it."""

    value: Any
    name: int
    reads: frozenset[int]
    over: Sides

    def __add__(self, other: Tied) -> Tied:
        name = self.over.ties.name("+", *sorted((self.name, other.name)))
        return Tied(self.value + other.value, name, self.reads | other.reads, self.over)

    def __mul__(self, other: Tied) -> Tied:
        name = self.over.ties.name("*", *sorted((self.name, other.name)))
        return Tied(self.value * other.value, name, self.reads | other.reads, self.over)


def _apart(a: Tied, b: Tied) -> bool:
    """Whether a is an entry that b does not depend on: then they differ at almost every point nearby."""
    return a.reads == {a.name} and a.name not in b.reads


class Sides:
    """The scalars of `inner` (exact rationals or intervals), with ties decided by `ties`."""

    def __init__(self, inner: Any, ties: Ties) -> None:
        self.inner, self.ties = inner, ties

    def read(self, tensor: str, index: tuple[int, ...], value: Any, varies: bool) -> Tied:
        """An entry of a tensor."""
        name = self.ties.name("read", tensor, index)
        return Tied(value, name, frozenset((name,) if varies else ()), self)

    def num(self, value: Fraction) -> Tied:
        """The constant."""
        return Tied(self.inner.num(value), self.ties.name("num", value), frozenset(), self)

    def power(self, base: Tied, exponent: int) -> Tied:
        """An integer power."""
        name = self.ties.name("^", base.name, exponent)
        return Tied(self.inner.power(base.value, exponent), name, base.reads, self)

    def call(self, fn: str, args: tuple[Tied, ...]) -> Tied:
        """A named function; an optimum is one of its arguments, and a jump has the value of this side."""
        if fn in ("max", "min"):
            first = self._sign(*args) > 0
            return args[0] if first == (fn == "max") else args[1]
        if fn in ("sign", "floor") and args[0].reads:
            jump = self.num(Fraction(0)) if fn == "sign" else self._floor(args[0])
            if jump is not None and self._equal(args[0], jump):
                side = self._sign(args[0], jump)
                return self.num(Fraction(side)) if fn == "sign" else jump + self.num(Fraction(-(side < 0)))
        name = self.ties.name(fn, *(a.name for a in args))
        reads = frozenset[int]().union(*(a.reads for a in args))
        return Tied(self.inner.call(fn, tuple(a.value for a in args)), name, reads, self)

    def compare(self, rel: str, a: Tied, b: Tied) -> bool:
        """a rel b, on this side."""
        if a.name == b.name or (self._equal(a, b) and a.reads | b.reads):
            sign = self._sign(a, b)
            return sign < 0 if rel == "<" else sign <= 0 if rel == "<=" else sign == 0
        return bool(self.inner.compare(rel, a.value, b.value))

    def choose(self, cond: Any, then: Tied, other: Tied) -> Tied:
        """Never needed: every condition is decided."""
        raise Undecided("a condition without an answer")

    def _sign(self, a: Tied, b: Tied) -> int:
        if a.name == b.name:
            return 0
        if self._equal(a, b):
            return self.ties.sign(a, b) if a.reads | b.reads else 0
        return -1 if self.inner.compare("<", a.value, b.value) else 1

    def _equal(self, a: Tied, b: Tied) -> bool:
        return bool(a.value == b.value)

    def _floor(self, of: Tied) -> Tied | None:
        """The integer that the scalar is exactly, if it is one."""
        below = self.inner.call("floor", (of.value,))
        return Tied(below, self.ties.name("floor", of.name), frozenset(), self) if below == of.value else None


class _Generic:
    """The plain scalars, but a tie raises."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self.num, self.power, self.choose = inner.num, inner.power, inner.choose

    def call(self, fn: str, args: tuple[Any, ...]) -> Any:
        if fn in ("max", "min") and args[0] == args[1]:
            raise _Tie
        value = self.inner.call(fn, args)
        if (fn == "sign" and args[0] == 0) or (fn == "floor" and args[0] == value):
            raise _Tie
        return value

    def compare(self, rel: str, a: Any, b: Any) -> bool:
        if a == b:
            raise _Tie
        return bool(self.inner.compare(rel, a, b))


Reader = Callable[[str, tuple[int, ...]], Any]


def sides(compute: Callable[[Callable[[Term, Env], Any]], Any], kind: str, varying: frozenset[str]) -> Iterator[Any]:
    """What `compute(evaluate)` gives on each side of the ties at a point; once, where there is no tie.

    `evaluate(term, env)` is for compute to call as often as it likes: ties are decided alike in all of its calls.
    `varying` names the tensors that may be moved; a comparison that does not read them is no tie. Undecided where some
    side has no value (its limit is not known) or there are too many.
    """
    inner = field_of(kind)
    try:
        generic = _Generic(inner)
        yield compute(lambda term, env: evaluate(term, env, generic))
        return
    except (_Tie, Undecided):
        pass
    ties = Ties()
    field = Sides(inner, ties)

    def one(term: Term, env: Env) -> Any:
        def real(tensor: str, index: tuple[int, ...]) -> Tied:
            return field.read(tensor, index, env.real(tensor, index), tensor in varying)

        return evaluate(term, Env(env.ints, real, env.integer, env.boolean), field).value

    for _ in range(SIDES):
        try:
            found = compute(one)
        except Undefined as error:
            if ties.order:
                raise Undecided(f"one side of a tie: {error}") from None
            raise
        yield found
        if not ties.advance():
            return
    raise Undecided("too many ties at one point")
