"""Terms: the meaning of one entry of a tensor, in index notation.

A `Term` denotes a real number under an environment (sizes, bound indices, tensors); a `Cond` denotes a truth value.
The denotation itself is in denote.py, the derivative in calculus.py; this file is only the data, the constructors that
keep small terms small, and capture-avoiding substitution.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from itertools import count
from typing import TypeAlias

from gradproof.compiler.dims import Entry, Poly


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


def children(node: Term | Cond) -> tuple[Term | Cond, ...]:
    """The direct sub-terms and sub-conditions (a Reduce's guard before its body)."""
    match node:
        case Add(args) | Mul(args) | Call(_, args) | And(args) | Or(args):
            return args
        case Pow(base, _):
            return (base,)
        case Select(cond, then, other):
            return (cond, then, other)
        case Reduce(_, _, _, guard, body):
            return (guard, body)
        case RealCmp(_, a, b):
            return (a, b)
        case Not(arg):
            return (arg,)
        case _:
            return ()


def walk(node: Term | Cond) -> Iterator[Term | Cond]:
    """The node and everything inside it, parents first."""
    stack = [node]
    while stack:
        node = stack.pop()
        yield node
        stack.extend(reversed(children(node)))


def polys(node: Term | Cond) -> Iterator[Poly]:
    """The integer expressions that stand directly in this node."""
    match node:
        case Size(poly) | IntCmp(_, poly):
            yield poly
        case Read(_, index) | BoolRead(_, index):
            yield from index
        case Reduce(_, _, extent, _, _):
            yield extent
        case _:
            pass


def free_symbols(node: Term | Cond) -> frozenset[str]:
    """Sizes, attributes and indices that occur free."""
    if isinstance(node, Reduce):
        inner = (free_symbols(node.guard) | free_symbols(node.body)) - {node.var}
        return inner | node.extent.symbols
    names: frozenset[str] = frozenset()
    for poly in polys(node):
        names |= poly.symbols
    for child in children(node):
        names |= free_symbols(child)
    return names


def tensors(node: Term | Cond) -> frozenset[str]:
    """The names of all tensors that are read, real, integer or boolean."""
    names: set[str] = set()
    for inner in walk(node):
        if isinstance(inner, Read | BoolRead):
            names.add(inner.tensor)
        for poly in polys(inner):
            names |= {entry.tensor for entry in poly.entries()}
    return frozenset(names)


def map_children(node: Term, term: Callable[[Term], Term], cond: Callable[[Cond], Cond]) -> Term:
    """Rebuild a term with its sub-terms and sub-conditions changed."""
    match node:
        case Add(args):
            return add(*map(term, args))
        case Mul(args):
            return mul(*map(term, args))
        case Pow(base, exponent):
            return power(term(base), exponent)
        case Call(fn, args):
            return Call(fn, tuple(map(term, args)))
        case Select(c, then, other):
            return select(cond(c), term(then), term(other))
        case Reduce(kind, var, extent, guard, body):
            return Reduce(kind, var, extent, cond(guard), term(body))
        case _:
            return node


def map_cond(node: Cond, term: Callable[[Term], Term], cond: Callable[[Cond], Cond]) -> Cond:
    """Rebuild a condition with its sub-terms and sub-conditions changed."""
    match node:
        case RealCmp(rel, a, b):
            return RealCmp(rel, term(a), term(b))
        case And(args):
            return both(*map(cond, args))
        case Or(args):
            return either(*map(cond, args))
        case Not(arg):
            return negate(cond(arg))
        case _:
            return node


def substitute(node: Term, mapping: Mapping[str, Poly]) -> Term:
    """Replace free sizes and indices by integer expressions, renaming binders that would capture."""
    if not mapping:
        return node
    match node:
        case Size(poly):
            return size(poly.substitute(mapping))
        case Read(tensor, index):
            return Read(tensor, tuple(p.substitute(mapping) for p in index))
        case Reduce(kind, var, extent, guard, body):
            inner = {name: poly for name, poly in mapping.items() if name != var}
            if any(var in poly.symbols for poly in inner.values()):
                renamed = fresh(var)
                inner[var], var = Poly.sym(renamed), renamed
            changed = substitute_cond(guard, inner), substitute(body, inner)
            return Reduce(kind, var, extent.substitute(mapping), *changed)
        case _:
            return map_children(node, lambda t: substitute(t, mapping), lambda c: substitute_cond(c, mapping))


def substitute_cond(node: Cond, mapping: Mapping[str, Poly]) -> Cond:
    """`substitute`, for conditions."""
    if not mapping:
        return node
    match node:
        case IntCmp(">=", poly):
            return int_ge(poly.substitute(mapping), 0)
        case IntCmp(_, poly):
            return int_eq(poly.substitute(mapping), 0)
        case BoolRead(tensor, index):
            return BoolRead(tensor, tuple(p.substitute(mapping) for p in index))
        case _:
            return map_cond(node, lambda t: substitute(t, mapping), lambda c: substitute_cond(c, mapping))


def replace_reads(node: Term, change: Callable[[Read], Term]) -> Term:
    """Replace each read of a real tensor by a term; the caller's terms must not mention bound indices by accident.

    Every binder is renamed apart first, so an index that is free in a replacement can't be captured.
    """
    match node:
        case Read():
            return change(node)
        case Reduce(kind, var, extent, guard, body):
            renamed = fresh(var)
            apart = {var: Poly.sym(renamed)}
            inner_guard = replace_reads_cond(substitute_cond(guard, apart), change)
            return reduce_(kind, renamed, extent, inner_guard, replace_reads(substitute(body, apart), change))
        case _:
            return map_children(node, lambda t: replace_reads(t, change), lambda c: replace_reads_cond(c, change))


def replace_reads_cond(node: Cond, change: Callable[[Read], Term]) -> Cond:
    """`replace_reads`, for conditions."""
    return map_cond(node, lambda t: replace_reads(t, change), lambda c: replace_reads_cond(c, change))


def rename_tensors(node: Term, names: Mapping[str, str]) -> Term:
    """Rename tensors in real, integer and boolean reads."""
    return _renamed(node, names)


def rename_tensors_cond(node: Cond, names: Mapping[str, str]) -> Cond:
    """`rename_tensors`, for conditions."""
    return _renamed_cond(node, names)


def inline_names(node: Term, names: Mapping[str, str], sizes: Mapping[str, Poly]) -> Term:
    """Rename tensors and replace sizes at once: an operator's term in the names of the place that applies it."""
    return substitute(_renamed(node, names), sizes)


def inline_names_cond(node: Cond, names: Mapping[str, str], sizes: Mapping[str, Poly]) -> Cond:
    """`inline_names`, for conditions."""
    return substitute_cond(_renamed_cond(node, names), sizes)


def _renamed_poly(poly: Poly, names: Mapping[str, str]) -> Poly:
    return poly.rename_entries(lambda e: Poly.atom(Entry(names.get(e.tensor, e.tensor), e.index)))


def _renamed(node: Term, names: Mapping[str, str]) -> Term:
    match node:
        case Size(p):
            return Size(_renamed_poly(p, names))
        case Read(tensor, index):
            return Read(names.get(tensor, tensor), tuple(_renamed_poly(p, names) for p in index))
        case Reduce(kind, var, extent, guard, body):
            inside = _renamed_cond(guard, names), _renamed(body, names)
            return Reduce(kind, var, _renamed_poly(extent, names), *inside)
        case _:
            return map_children(node, lambda t: _renamed(t, names), lambda c: _renamed_cond(c, names))


def _renamed_cond(node: Cond, names: Mapping[str, str]) -> Cond:
    match node:
        case IntCmp(rel, p):
            return IntCmp(rel, _renamed_poly(p, names))
        case BoolRead(tensor, index):
            return BoolRead(names.get(tensor, tensor), tuple(_renamed_poly(p, names) for p in index))
        case _:
            return map_cond(node, lambda t: _renamed(t, names), lambda c: _renamed_cond(c, names))
