"""Terms: the meaning of one entry of a tensor, in index notation. [trusted]

A `Term` denotes a real number under an environment (sizes, bound indices, tensors); a `Cond` denotes a truth value.
The denotation itself is in denote.py, the derivative in calculus.py; this file is only the data, the constructors that
keep small terms small. Walking and rewriting them is rewriting.py's.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from itertools import count
from typing import TypeAlias

from gradproof.compiler.dims import Poly


@dataclass(frozen=True, slots=True)
class Num:
    """A rational constant."""

    value: Fraction


@dataclass(frozen=True, slots=True)
class Size:
    """An integer expression (a size, an attribute, a bound index) used as a real number."""

    poly: Poly


@dataclass(frozen=True, slots=True)
class Read:
    """One entry of a real tensor: `x[i, j]`. A real attribute is a read with no index."""

    tensor: str
    index: tuple[Poly, ...]


@dataclass(frozen=True, slots=True)
class Add:
    """A sum of at least two terms."""

    args: tuple[Term, ...]


@dataclass(frozen=True, slots=True)
class Mul:
    """A product of at least two terms."""

    args: tuple[Term, ...]


@dataclass(frozen=True, slots=True)
class Pow:
    """An integer power; a negative exponent is undefined where base = 0, and base^0 is 1."""

    base: Term
    exponent: int


@dataclass(frozen=True, slots=True)
class Call:
    """A named scalar function (see functions.py) of its arguments."""

    fn: str
    args: tuple[Term, ...]


@dataclass(frozen=True, slots=True)
class Select:
    """`then` where the condition holds, `other` elsewhere; only the chosen branch needs to be defined."""

    cond: Cond
    then: Term
    other: Term


@dataclass(frozen=True, slots=True)
class Reduce:
    """A binder: `kind` (sum, prod, max, min) of `body` over 0 <= var < extent where `guard` holds.

    An empty sum is 0 and an empty prod is 1; an empty max or min is undefined.
    """

    kind: str
    var: str
    extent: Poly
    guard: Cond
    body: Term


@dataclass(frozen=True, slots=True)
class Truth:
    """A constant truth value."""

    value: bool


@dataclass(frozen=True, slots=True)
class IntCmp:
    """`poly >= 0` or `poly == 0`: every comparison of integers, in one of two forms."""

    rel: str  # ">=" or "=="
    poly: Poly


@dataclass(frozen=True, slots=True)
class RealCmp:
    """`a < b`, `a <= b` or `a == b` over the reals."""

    rel: str  # "<", "<=" or "=="
    a: Term
    b: Term


@dataclass(frozen=True, slots=True)
class BoolRead:
    """One entry of a boolean tensor."""

    tensor: str
    index: tuple[Poly, ...]


@dataclass(frozen=True, slots=True)
class And:
    """A conjunction."""

    args: tuple[Cond, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """A disjunction."""

    args: tuple[Cond, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """A negation."""

    arg: Cond


Term: TypeAlias = Num | Size | Read | Add | Mul | Pow | Call | Select | Reduce
Cond: TypeAlias = Truth | IntCmp | RealCmp | BoolRead | And | Or | Not

ZERO = Num(Fraction(0))
ONE = Num(Fraction(1))
TRUE = Truth(True)
FALSE = Truth(False)
KINDS = ("sum", "prod", "max", "min")

_fresh = count()


def opaque(name: str) -> str:
    """What terms call the tensor that the extern `name` of a stanza computes: a name that no user can write."""
    return f"!{name}"


def is_opaque(tensor: str) -> bool:
    """Whether a tensor is an extern's result, of which no formula says what it is."""
    return tensor.startswith("!")


def fresh(stem: str = "r") -> str:
    """A bound index's name that occurs nowhere else (`#` cannot be written by a user)."""
    return f"{stem.split('#')[0]}#{next(_fresh)}"


def num(value: int | str | Fraction) -> Num:
    """The constant `value`."""
    return Num(Fraction(value))


def size(poly: Poly | int) -> Term:
    """An integer expression as a real."""
    poly = Poly.of(poly)
    return Size(poly) if poly.constant is None else Num(Fraction(poly.constant))


def add(*terms: Term) -> Term:
    """The sum, flattened, constants folded."""
    constant, rest = Fraction(0), list[Term]()
    stack = list(reversed(terms))
    while stack:
        match stack.pop():
            case Num(value):
                constant += value
            case Add(args):
                stack.extend(reversed(args))
            case term:
                rest.append(term)
    if constant:
        rest.append(Num(constant))
    return ZERO if not rest else rest[0] if len(rest) == 1 else Add(tuple(rest))


def mul(*terms: Term) -> Term:
    """The product, flattened, constants folded; 0 wins over everything (definedness is tracked apart)."""
    constant, rest = Fraction(1), list[Term]()
    stack = list(reversed(terms))
    while stack:
        match stack.pop():
            case Num(value):
                constant *= value
            case Mul(args):
                stack.extend(reversed(args))
            case term:
                rest.append(term)
    if not constant:
        return ZERO
    if constant != 1:
        rest.insert(0, Num(constant))
    return ONE if not rest else rest[0] if len(rest) == 1 else Mul(tuple(rest))


def neg(term: Term) -> Term:
    """-term."""
    return mul(num(-1), term)


def sub(a: Term, b: Term) -> Term:
    """a - b."""
    return add(a, neg(b))


def power(base: Term, exponent: int) -> Term:
    """base^exponent."""
    if exponent == 1:
        return base
    if exponent == 0:
        return ONE
    if isinstance(base, Num) and (base.value != 0 or exponent > 0):
        return Num(base.value**exponent)
    return Pow(base, exponent)


def divide(a: Term, b: Term) -> Term:
    """a / b."""
    return mul(a, power(b, -1))


def call(fn: str, *args: Term) -> Term:
    """A named scalar function of its arguments."""
    return Call(fn, args)


def select(cond: Cond, then: Term, other: Term) -> Term:
    """`then` where cond, else `other`."""
    if isinstance(cond, Truth):
        return then if cond.value else other
    return then if then == other else Select(cond, then, other)


def indicator(cond: Cond) -> Term:
    """1 where cond holds, else 0."""
    return select(cond, ONE, ZERO)


def reduce_(kind: str, var: str, extent: Poly | int, guard: Cond, body: Term) -> Term:
    """`kind` of body over 0 <= var < extent where guard."""
    if body == ZERO and kind == "sum":
        return ZERO
    return Reduce(kind, var, Poly.of(extent), guard, body)


def total(var: str, extent: Poly | int, body: Term, guard: Cond = TRUE) -> Term:
    """The sum of body over 0 <= var < extent where guard."""
    return reduce_("sum", var, extent, guard, body)


def both(*conds: Cond) -> Cond:
    """The conjunction, flattened."""
    kept: list[Cond] = []
    for cond in conds:
        match cond:
            case Truth(True):
                continue
            case Truth(False):
                return FALSE
            case And(args):
                kept.extend(a for a in args if a not in kept)
            case _ if cond not in kept:
                kept.append(cond)
    return TRUE if not kept else kept[0] if len(kept) == 1 else And(tuple(kept))


def either(*conds: Cond) -> Cond:
    """The disjunction, flattened."""
    kept: list[Cond] = []
    for cond in conds:
        match cond:
            case Truth(False):
                continue
            case Truth(True):
                return TRUE
            case Or(args):
                kept.extend(a for a in args if a not in kept)
            case _ if cond not in kept:
                kept.append(cond)
    return FALSE if not kept else kept[0] if len(kept) == 1 else Or(tuple(kept))


def negate(cond: Cond) -> Cond:
    """The negation, pushed one step inwards where that is shorter."""
    match cond:
        case Truth(value):
            return Truth(not value)
        case Not(arg):
            return arg
        case IntCmp(">=", poly):
            return IntCmp(">=", -poly - 1)
        case RealCmp("<", a, b):
            return RealCmp("<=", b, a)
        case RealCmp("<=", a, b):
            return RealCmp("<", b, a)
        case And(args):
            return either(*(negate(a) for a in args))
        case Or(args):
            return both(*(negate(a) for a in args))
        case _:
            return Not(cond)


def int_ge(a: Poly | int, b: Poly | int) -> Cond:
    """a >= b over the integers."""
    poly = Poly.of(a) - Poly.of(b)
    return IntCmp(">=", poly) if poly.constant is None else Truth(poly.constant >= 0)


def int_lt(a: Poly | int, b: Poly | int) -> Cond:
    """a < b over the integers."""
    return int_ge(b, Poly.of(a) + 1)


def int_eq(a: Poly | int, b: Poly | int) -> Cond:
    """a == b over the integers."""
    poly = Poly.of(a) - Poly.of(b)
    if poly.constant is not None:
        return Truth(poly.constant == 0)
    return IntCmp("==", -poly if poly.terms[0][1] < 0 else poly)


def in_range(index: Poly | int, extent: Poly | int) -> Cond:
    """0 <= index < extent."""
    return both(int_ge(index, 0), int_lt(index, extent))
