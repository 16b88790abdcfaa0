"""A formula on one side of its ties: what it tends to along a direction, as a term. Trusted with cells.py.

At a point z every varying entry is a scalar of its own. Along z + t v, t > 0 small, p > 0 with p(z) = 0 holds where the
slope of p along v is positive; floor q with q(z) an integer is q - 1 where the slope of q is negative. A
condition inside another one has its own side first. Between its ties a formula is smooth where `needs` hold.

Where every compared p is affine in the entries on each side (`degree`), that is exact for all v, with slope 0 too: then
p stays 0. Elsewhere a slope of 0 says nothing, and the side is left open: an unknown of its own decides it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache
from itertools import combinations, count
from math import floor

from gradproof.compiler.calculus import derivative, requirements
from gradproof.compiler.functions import FUNCTIONS
from gradproof.compiler.rewriting import map_children, map_cond, walk
from gradproof.compiler.terms import (
    FALSE,
    ONE,
    TRUE,
    ZERO,
    Add,
    And,
    Call,
    Cond,
    Mul,
    Not,
    Or,
    Pow,
    Read,
    RealCmp,
    Select,
    Term,
    add,
    both,
    either,
    mul,
    negate,
    num,
    select,
    sub,
)
from gradproof.verifier.forms import UNIT
from gradproof.verifier.normal import Normalizer
from gradproof.verifier.ranges import Context

_names = count()
CURVED = 99  # the degree of what is no polynomial


class Opaque(Exception):
    """The formula has a part whose sides are not known; the reason is the message."""


def plain(term: Term) -> Term:
    """The term with kinked functions (max, abs, sign, ...) and simple sums of others written out."""
    return _plain(term)


def _plain(term: Term) -> Term:
    term = map_children(term, _plain, plain_cond)
    if isinstance(term, Call):
        function = FUNCTIONS[term.fn]
        stepping = bool(function.pieces) or function.jump is not None
        simpler = function.unfold(*term.args) if function.unfold is not None else None
        if simpler is not None and (stepping or term.fn in ("expm1", "log1p")):
            return _plain(simpler)
        if stepping and term.fn != "floor":
            raise Opaque(f"the sides of {term.fn} are not known")
    return term


def plain_cond(cond: Cond) -> Cond:
    """`plain`, for conditions."""
    return map_cond(cond, _plain, plain_cond)


def reads_any(node: Term | Cond, names: frozenset[str]) -> bool:
    """Whether one of these scalars is read anywhere inside."""
    return any(isinstance(inner, Read) and inner.tensor in names for inner in walk(node))


def degree(term: Term, moving: frozenset[str]) -> int:
    """The degree in the moving scalars of the term on each side of its ties; CURVED where it is no polynomial."""
    match term:
        case Read(tensor, _):
            return int(tensor in moving)
        case Add(args):
            return max(degree(a, moving) for a in args)
        case Mul(args):
            return min(CURVED, sum(degree(a, moving) for a in args))
        case Pow(base, exponent):
            inner = degree(base, moving)
            return min(CURVED, inner * exponent) if exponent >= 0 else CURVED if inner else 0
        case Select(_, then, other):
            return max(degree(then, moving), degree(other, moving))
        case Call("floor", _):
            return 0
        case Call(_, args):
            return CURVED if any(degree(a, moving) for a in args) else 0
        case _:
            return 0


@dataclass(slots=True)
class Sites:
    """What can tie in some terms: each compared difference, each argument of floor, in order."""

    moving: frozenset[str]
    differences: dict[Term, None] = field(default_factory=dict)
    stairs: dict[Term, None] = field(default_factory=dict)

    def add(self, node: Term | Cond) -> None:
        """Take in the sites of a plain term."""
        for inner in walk(node):
            match inner:
                case RealCmp(_, a, b) if reads_any(inner, self.moving):
                    self.differences[sub(b, a)] = None
                case Call("floor", (q,)) if reads_any(q, self.moving):
                    self.stairs[q] = None

    @property
    def affine(self) -> bool:
        """Whether each of them is affine in the entries, on each side of the ties inside of it."""
        return all(degree(p, self.moving) <= 1 for p in (*self.differences, *self.stairs))

    def tied(self) -> Cond:
        """That something ties at the point."""
        zero = [RealCmp("==", p, ZERO) for p in self.differences]
        return either(*zero, *(RealCmp("==", q, Call("floor", (q,))) for q in self.stairs))


@dataclass(slots=True)
class Side:
    """One direction: `along` gives what each moving scalar's tangent is. `exact` as the module says."""

    along: Mapping[str, Term]
    exact: bool
    opened: dict[Term, Read] = field(default_factory=dict)  # the sides that the direction leaves open

    @property
    def moving(self) -> frozenset[str]:
        """The scalars that vary."""
        return frozenset(self.along)

    def value(self, term: Term) -> Term:
        """What a plain term tends to."""
        match term:
            case Select(cond, then, other):
                return select(self.cond(cond), self.value(then), self.value(other))
            case Call("floor", (q,)) if reads_any(q, self.moving):
                inner = self.value(q)
                whole = Call("floor", (inner,))
                below = both(RealCmp("==", inner, whole), RealCmp("<", self.turned(q), ZERO))
                return select(below, sub(inner, ONE), whole)
            case _:
                return map_children(term, self.value, self.cond)

    def cond(self, cond: Cond) -> Cond:
        """Whether a plain condition holds along the direction."""
        match cond:
            case RealCmp(rel, a, b) if reads_any(cond, self.moving):
                difference = sub(b, a)
                here, turn = self.value(difference), self.turned(difference)
                if rel == "==":
                    return both(RealCmp("==", here, ZERO), RealCmp("==", turn, ZERO))
                return either(RealCmp("<", ZERO, here), both(RealCmp("==", here, ZERO), RealCmp(rel, ZERO, turn)))
            case And() | Or() | Not():
                return map_cond(cond, self.value, self.cond)
            case _:
                return cond

    def slope(self, term: Term) -> Term:
        """The derivative of a plain term along the direction, on this side."""
        tangents = {name: f"{name}'" for name in self.along}
        back = {tangent: self.along[name] for name, tangent in tangents.items()}
        return put(self.value(derivative(term, tangents)), back)

    def turned(self, term: Term) -> Term:
        """What decides the sign of a term that is 0 at the point: its slope, or an unknown where that says nothing."""
        slope = self.slope(term)
        if self.exact:
            return slope
        unknown = self.opened.setdefault(term, Read(f"~open{next(_names)}", ()))
        return select(RealCmp("==", slope, ZERO), unknown, slope)

    def crosses(self, sites: Sites, flat: bool) -> Cond:
        """That nothing that ties stays tied along the direction; with `flat`, what is 0 all round the point may."""
        out: list[Cond] = []
        for p in (*sites.differences, *sites.stairs):
            here, slope = self.value(p), self.slope(p)
            apart = negate(RealCmp("==", here, Call("floor", (here,)) if p in sites.stairs else ZERO))
            moves = either(RealCmp("<", slope, ZERO), RealCmp("<", ZERO, slope))
            still: list[Cond] = []
            if flat:
                units = [{n: ONE if n == k else ZERO for n in self.along} for k in self.along]
                tangents = {name: f"{name}'" for name in self.along}
                gradient = self.value(derivative(p, tangents))
                parts = [put(gradient, {tangents[n]: v for n, v in unit.items()}) for unit in units]
                still = [both(*(RealCmp("==", part, ZERO) for part in parts))]
            out.append(either(apart, moves, *still))
        return both(*out)

    def needs(self, node: Term | Cond) -> Iterator[Cond]:
        """What must hold at the point for a plain term to be smooth up to it on this side."""
        yield from self._needs(node, TRUE)

    def _needs(self, node: Term | Cond, path: Cond) -> Iterator[Cond]:
        def under(cond: Cond) -> Cond:
            return either(negate(path), cond)

        match node:
            case Select(cond, then, other):
                holds = self.cond(cond)
                yield from self._needs(cond, path)
                yield from self._needs(then, both(path, holds))
                yield from self._needs(other, both(path, negate(holds)))
            case Add(args) | Mul(args) | And(args) | Or(args):
                for arg in args:
                    yield from self._needs(arg, path)
            case Not(arg):
                yield from self._needs(arg, path)
            case RealCmp(_, a, b):
                yield from self._needs(a, path)
                yield from self._needs(b, path)
            case Pow(base, exponent):
                yield from self._needs(base, path)
                if exponent < 0:
                    yield under(nonzero(self.value(base)))
            case Call(fn, args):
                for arg in args:
                    yield from self._needs(arg, path)
                if fn != "floor":
                    yield from map(under, smooth_where(fn, tuple(map(self.value, args))))
            case _:
                pass


def smooth_where(fn: str, args: tuple[Term, ...]) -> Iterator[Cond]:
    """Where a function is smooth: inside its domain, and inside that of its partial derivatives."""
    function = FUNCTIONS[fn]
    inside = interior(function.domain(*args))
    if inside != TRUE:
        yield inside
    for partial in function.partials:
        for need in requirements(partial(*args)):
            if need.binders:
                raise Opaque(f"where the derivative of {fn} is defined is not known")
            yield either(negate(both(*need.path)), interior(need.cond))


def interior(cond: Cond) -> Cond:
    """A condition with its bounds excluded."""
    match cond:
        case RealCmp("<=", a, b):
            return RealCmp("<", a, b)
        case RealCmp("==", _, _):
            return FALSE
        case And(args):
            return both(*map(interior, args))
        case Or(args):
            return either(*map(interior, args))
        case _:
            return cond


def nonzero(term: Term) -> Cond:
    """term != 0."""
    return either(RealCmp("<", term, ZERO), RealCmp("<", ZERO, term))


def put(node: Term, values: Mapping[str, Term]) -> Term:
    """The term with scalars replaced."""
    if isinstance(node, Read):
        return values.get(node.tensor, node)
    return map_children(node, lambda t: put(t, values), lambda c: put_cond(c, values))


def put_cond(node: Cond, values: Mapping[str, Term]) -> Cond:
    """`put`, for conditions."""
    return map_cond(node, lambda t: put(t, values), lambda c: put_cond(c, values))


def known_values(*nodes: Term | Cond) -> list[Cond]:
    """What the solver is told of functions: values at 0 and 1, bounds of constants, that e^t > 0, how floors relate.

    With q - p = c a constant, floor c <= floor q - floor p <= floor c + 1; with q + p = c, the same for the sum less 1.
    """
    calls = {inner for node in nodes for inner in walk(node) if isinstance(inner, Call)}
    facts: list[Cond] = [RealCmp("<", ZERO, one) for one in calls if one.fn == "exp"]
    for fn in sorted({one.fn for one in calls if len(one.args) == 1}):
        for at in (0, 1):
            value = _rational(fn, at)
            if value is not None:
                facts.append(RealCmp("==", Call(fn, (num(at),)), num(value)))
    for one in calls:
        if (ends := _enclosed(one)) is not None:
            facts += [RealCmp("<=", num(ends[0]), one), RealCmp("<=", one, num(ends[1]))]
    stairs = sorted({one.args[0] for one in calls if one.fn == "floor"}, key=str)
    for q, p in combinations(stairs, 2):
        for sign, least in ((-1, 0), (1, -1)):
            whole = constant_of(add(q, mul(num(sign), p)))
            if whole is not None:
                found = add(Call("floor", (q,)), mul(num(sign), Call("floor", (p,))), num(-floor(whole)))
                facts += [RealCmp("<=", num(least), found), RealCmp("<=", found, num(least + 1))]
    return facts


def known_value(term: Term) -> Term:
    """The term with functions at 0 and at 1 replaced by their values, where these are rational."""
    term = map_children(term, known_value, lambda c: c)
    if isinstance(term, Call) and len(term.args) == 1:
        at = constant_of(term.args[0])
        value = _rational(term.fn, int(at)) if at in (0, 1) else None
        return term if value is None else num(value)
    return term


@cache
def _rational(fn: str, at: int) -> Fraction | None:
    """An opaque function's value at an integer, where it is a multiple of 1/2 for certain."""
    import flint

    if FUNCTIONS[fn].exact is not None:
        return None
    try:
        value = 2 * FUNCTIONS[fn].interval(flint.arb(at))
    except (ArithmeticError, ValueError):
        return None
    exact = value.is_finite() and value.is_exact() and value.is_integer()
    return Fraction(int(value.unique_fmpz()), 2) if exact else None


@cache
def _enclosed(term: Call) -> tuple[Fraction, Fraction] | None:
    """Rational bounds of a function's value at constants: those of its interval, rounded outwards."""
    import flint

    at = [constant_of(arg) for arg in term.args]
    if FUNCTIONS[term.fn].jump is not None:
        return None
    try:
        points = [flint.arb(flint.fmpq(a.numerator, a.denominator)) for a in at if a is not None]
        value = FUNCTIONS[term.fn].interval(*points) if len(points) == len(at) else flint.arb("nan")
        if not value.is_finite():
            return None
        low, high = ((end * 2**40).floor().unique_fmpz() for end in (value.lower(), -value.upper()))
    except (ArithmeticError, ValueError):
        return None
    return None if low is None or high is None else (Fraction(int(low), 2**40), -Fraction(int(high), 2**40))


def constant_of(term: Term) -> Fraction | None:
    """The term's value where it is a constant for the ring laws."""
    form = Normalizer(Context({}, {})).form(term)
    return Fraction(form.get(UNIT, 0)) if form.keys() <= {UNIT} else None
