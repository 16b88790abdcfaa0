"""The denotation of terms: the value of one entry, computed index by index over any scalars. [trusted]

This is what a formula means. It is slow on purpose: nothing is reordered, shared or vectorised, so it can serve as the
reference that kernels, plans, derivatives and counterexamples are held against.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Protocol

from gradproof.compiler.dims import Poly
from gradproof.compiler.functions import FUNCTIONS
from gradproof.compiler.surds import Irrational as Irrational
from gradproof.compiler.surds import Surd, root
from gradproof.compiler.terms import (
    TRUE,
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
    add,
    both,
    call,
    either,
    mul,
    negate,
    num,
    power,
    select,
)


class Undefined(ArithmeticError):
    """A partial function was applied outside its domain: 1/0, log 0, an empty max, a read out of bounds."""


class Undecided(ArithmeticError):
    """These scalars can't say whether a condition holds (intervals that overlap)."""


class Field(Protocol):
    """The scalars that a term is evaluated over; values support +, * and unary - by themselves."""

    def num(self, value: Fraction) -> Any:
        """The constant."""

    def power(self, base: Any, exponent: int) -> Any:
        """An integer power; Undefined for 0 to a negative one."""

    def call(self, fn: str, args: tuple[Any, ...]) -> Any:
        """A named function; Undefined outside its domain."""

    def compare(self, rel: str, a: Any, b: Any) -> Any:
        """a < b, a <= b or a == b: a bool, or a symbolic condition."""

    def choose(self, cond: Any, then: Any, other: Any) -> Any:
        """`then` or `other`, where cond is symbolic."""


@dataclass(frozen=True, slots=True)
class Env:
    """Where names get their values: sizes and attributes; real, integer and boolean entries by name and position."""

    ints: Mapping[str, int]
    real: Callable[[str, tuple[int, ...]], Any]
    integer: Callable[[str, tuple[int, ...]], int]
    boolean: Callable[[str, tuple[int, ...]], Any]

    def bind(self, name: str, value: int) -> Env:
        """This environment with one more index."""
        return Env({**self.ints, name: value}, self.real, self.integer, self.boolean)

    def index(self, poly: Poly) -> int:
        """An integer expression's value; Undefined for // 0 and % 0."""
        try:
            return poly.evaluate(self.ints, self.integer)
        except ZeroDivisionError:
            raise Undefined(f"{poly} divides by zero") from None


def evaluate(term: Term, env: Env, field: Field) -> Any:
    """The value of the term; Undefined where it has none."""
    match term:
        case Num(value):
            return field.num(value)
        case Size(poly):
            return field.num(Fraction(env.index(poly)))
        case Read(tensor, index):
            return env.real(tensor, tuple(env.index(p) for p in index))
        case Add(args):
            return _fold(lambda a, b: a + b, (evaluate(a, env, field) for a in args))
        case Mul(args):
            return _fold(lambda a, b: a * b, (evaluate(a, env, field) for a in args))
        case Pow(base, exponent):
            return field.power(evaluate(base, env, field), exponent)
        case Call(fn, args):
            return field.call(fn, tuple(evaluate(a, env, field) for a in args))
        case Select(cond, then, other):
            truth = holds(cond, env, field)
            if isinstance(truth, bool):
                return evaluate(then if truth else other, env, field)
            return field.choose(truth, evaluate(then, env, field), evaluate(other, env, field))
        case Reduce():
            return _reduce(term, env, field)


def holds(cond: Cond, env: Env, field: Field) -> Any:
    """The truth of a condition: a bool, or a symbolic condition over symbolic scalars."""
    match cond:
        case Truth(value):
            return value
        case IntCmp(">=", poly):
            return env.index(poly) >= 0
        case IntCmp(_, poly):
            return env.index(poly) == 0
        case RealCmp(rel, a, b):
            return field.compare(rel, evaluate(a, env, field), evaluate(b, env, field))
        case BoolRead(tensor, index):
            return env.boolean(tensor, tuple(env.index(p) for p in index))
        case Not(arg):
            truth = holds(arg, env, field)
            return not truth if isinstance(truth, bool) else negate(truth)
        case And(args):
            return _connect(args, env, field, stop=False)
        case Or(args):
            return _connect(args, env, field, stop=True)


def _connect(args: tuple[Cond, ...], env: Env, field: Field, stop: bool) -> Any:
    open_: list[Cond] = []
    for arg in args:
        truth = holds(arg, env, field)
        if truth is stop:
            return stop
        if not isinstance(truth, bool):
            open_.append(truth)
    if not open_:
        return not stop
    return either(*open_) if stop else both(*open_)


def _fold(combine: Callable[[Any, Any], Any], values: Any) -> Any:
    values = iter(values)
    result = next(values)
    for value in values:
        result = combine(result, value)
    return result


def _reduce(term: Reduce, env: Env, field: Field) -> Any:
    result: Any = None
    for position in range(env.index(term.extent)):
        inner = env.bind(term.var, position)
        truth = holds(term.guard, inner, field)
        if truth is False:
            continue
        value = evaluate(term.body, inner, field)
        if truth is not True:
            if term.kind in ("max", "min"):
                raise Undecided("a maximum over a range that depends on real values")
            value = field.choose(truth, value, field.num(Fraction(term.kind == "prod")))
        if result is None:
            result = value
        elif term.kind in ("max", "min"):
            result = field.call(term.kind, (result, value))
        else:
            result = result + value if term.kind == "sum" else result * value
    if result is None:
        if term.kind in ("max", "min"):
            raise Undefined(f"the {term.kind} of nothing")
        return field.num(Fraction(term.kind == "prod"))
    return result


def _check_domain(fn: str, args: tuple[Any, ...], field: Field) -> None:
    """Undefined where these arguments are outside of the function's domain."""
    names = tuple(Read(f"#{k}", ()) for k in range(len(args)))
    domain = FUNCTIONS[fn].domain(*_integers(fn, names, args))
    if domain == TRUE:
        return
    if holds(domain, _named(args), field) is False:
        raise Undefined(f"{fn} outside its domain")


def _named(args: tuple[Any, ...]) -> Env:
    """The arguments by the names #0, #1, ..."""
    return Env({}, lambda name, _: args[int(name[1:])], _nothing, _nothing)


def _integers(fn: str, names: tuple[Term, ...], args: tuple[Any, ...]) -> list[Term]:
    """The arguments as terms: names, and numbers for those that are integers by their position."""
    whole = FUNCTIONS[fn].integers
    return [num(_whole(args[k])) if k in whole else name for k, name in enumerate(names)]


def _whole(value: Any) -> int:
    """An integer argument; anything else there has no meaning."""
    if isinstance(value, Fraction):
        if value.denominator != 1:
            raise Undefined(f"{value} where an integer is wanted")
        return int(value)
    found = None if isinstance(value, Surd) else value.unique_fmpz()
    if found is None:
        if not isinstance(value, Surd) and value.contains_integer():
            raise Undecided("which integer an enclosure holds")
        raise Undefined("no integer where one is wanted")
    return int(found)


def _nothing(name: str, index: tuple[int, ...]) -> Any:
    raise KeyError(name)


class Rationals:
    """Exact rational scalars."""

    roots = False  # whether a square root may be irrational

    def num(self, value: Fraction) -> Fraction:
        """The constant."""
        return value

    def power(self, base: Fraction, exponent: int) -> Fraction:
        """An integer power."""
        if base == 0 and exponent < 0:
            raise Undefined("1 / 0")
        return Fraction(base**exponent)

    def call(self, fn: str, args: tuple[Fraction, ...]) -> Any:
        """A function that is rational on rationals; a square root of a square too."""
        if fn == "sqrt":
            if args[0] < 0:
                raise Undefined(f"sqrt({args[0]})")
            found = root(args[0])
            if isinstance(found, Surd) and not self.roots:
                raise Irrational(f"sqrt({args[0]}) is not rational")
            return found
        _check_domain(fn, args, self)
        exact = FUNCTIONS[fn].exact
        if exact is None:
            raise Irrational(f"{fn} of a rational is not rational")
        return exact(*args)

    def compare(self, rel: str, a: Fraction, b: Fraction) -> bool:
        """a rel b."""
        return a < b if rel == "<" else a <= b if rel == "<=" else a == b

    def choose(self, cond: Any, then: Fraction, other: Fraction) -> Fraction:
        """Never needed: every condition is decided."""
        raise Undecided("a rational condition is always decided")


class Surds(Rationals):
    """Exact sums of square roots of rationals: slower, but they tell which irrational values are equal."""

    roots = True

    def power(self, base: Any, exponent: int) -> Any:
        """An integer power."""
        return base**exponent if isinstance(base, Surd) else super().power(base, exponent)

    def call(self, fn: str, args: tuple[Any, ...]) -> Any:
        """A square root of a rational, what is exact on rationals, and what unfolds to those."""
        unfold = FUNCTIONS[fn].unfold
        if fn == "sqrt" or FUNCTIONS[fn].exact is not None or unfold is None:
            return super().call(fn, args)
        _check_domain(fn, args, self)
        names = tuple(Read(f"#{k}", ()) for k in range(len(args)))
        term = unfold(*_integers(fn, names, args))
        if term is None:
            raise Irrational(f"{fn} of a rational is not rational")
        return evaluate(term, _named(args), self)


class Intervals:
    """Rigorous real intervals (flint's arb); working precision in bits is flint's context."""

    def __init__(self) -> None:
        import flint

        self._arb, self._fmpq = flint.arb, flint.fmpq

    def num(self, value: Fraction) -> Any:
        """An enclosure of the constant."""
        return self._arb(self._fmpq(value.numerator, value.denominator))

    def power(self, base: Any, exponent: int) -> Any:
        """An enclosure of the power."""
        if exponent >= 0:
            return base**exponent
        if base == 0:
            raise Undefined("1 / 0")
        if base.contains(0):
            raise Undecided("a denominator's interval contains 0")
        return base**exponent

    def call(self, fn: str, args: tuple[Any, ...]) -> Any:
        """An enclosure of the function's value; Undefined for certain, or Undecided."""
        _check_domain(fn, args, self)
        if FUNCTIONS[fn].jump is not None and not args[0].is_exact():
            return self._step(fn, args[0])
        value = FUNCTIONS[fn].interval(*args)
        if not value.is_finite():
            raise Undecided(f"{fn} of an interval is unbounded")
        return value

    def _step(self, fn: str, value: Any) -> Any:
        ends = [FUNCTIONS[fn].interval(end) for end in (value.lower(), value.upper())]
        if ends[0] != ends[1]:
            raise Undecided(f"{fn} of an interval with a jump inside")
        return ends[0]

    def compare(self, rel: str, a: Any, b: Any) -> bool:
        """a rel b, where the intervals decide it."""
        if rel == "==":
            if a == b:
                return True
            if not a.overlaps(b):
                return False
            raise Undecided("equal intervals?")
        if rel == "<":
            yes, no = a < b, a >= b
        else:
            yes, no = a <= b, a > b
        if yes or no:
            return bool(yes)
        raise Undecided("overlapping intervals")

    def choose(self, cond: Any, then: Any, other: Any) -> Any:
        """Never needed: conditions are decided, or Undecided is raised."""
        raise Undecided("an interval condition")


_FIELDS: dict[str, Callable[[], Any]] = {"rational": Rationals, "surd": Surds, "interval": Intervals}


def field_of(kind: str) -> Any:
    """The field called rational, surd or interval."""
    return _FIELDS[kind]()


class Symbols:
    """Scalars that are terms without binders: evaluation over these unrolls a term at concrete sizes."""

    class _Value:
        __slots__ = ("term",)

        def __init__(self, term: Term) -> None:
            self.term = term

        def __add__(self, other: Any) -> Any:
            return Symbols._Value(add(self.term, other.term))

        def __mul__(self, other: Any) -> Any:
            return Symbols._Value(mul(self.term, other.term))

    def num(self, value: Fraction) -> Any:
        """The constant."""
        return self._Value(num(value))

    def power(self, base: Any, exponent: int) -> Any:
        """The power."""
        return self._Value(power(base.term, exponent))

    def call(self, fn: str, args: tuple[Any, ...]) -> Any:
        """The call."""
        return self._Value(call(fn, *(a.term for a in args)))

    def compare(self, rel: str, a: Any, b: Any) -> Any:
        """The condition, or its truth where both are constants."""
        if isinstance(a.term, Num) and isinstance(b.term, Num):
            return Rationals().compare(rel, a.term.value, b.term.value)
        return RealCmp(rel, a.term, b.term)

    def choose(self, cond: Any, then: Any, other: Any) -> Any:
        """The selection."""
        return self._Value(select(cond, then.term, other.term))

    def real(self, tensor: str, index: tuple[int, ...]) -> Any:
        """A read at a concrete position, as an Env's `real`."""
        return self._Value(Read(tensor, tuple(map(Poly.of, index))))


def unroll(term: Term, ints: Mapping[str, int], integer: Callable[[str, tuple[int, ...]], int] | None = None) -> Term:
    """The term at concrete sizes and indices, without binders; integer tensors stay symbolic unless given."""
    symbols = Symbols()

    def no_integer(tensor: str, index: tuple[int, ...]) -> int:
        raise Undecided(f"the integer {tensor}{list(index)} is not given")

    def boolean(tensor: str, index: tuple[int, ...]) -> Cond:
        return BoolRead(tensor, tuple(map(Poly.of, index)))

    env = Env(ints, symbols.real, integer or no_integer, boolean)
    result: Term = evaluate(term, env, symbols).term
    return result


def table(
    body: Callable[[Env], Any], indices: tuple[str, ...], extents: tuple[int, ...], env: Env
) -> dict[tuple[int, ...], Any]:
    """Every entry of a tensor that a formula defines: position -> value."""
    out: dict[tuple[int, ...], Any] = {}
    for position in itertools.product(*map(range, extents)):
        inner = Env({**env.ints, **dict(zip(indices, position, strict=True))}, env.real, env.integer, env.boolean)
        out[position] = body(inner)
    return out
