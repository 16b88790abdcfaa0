"""Quotients of integers: `//` and `%` in one canonical form, and sums over blocks. [trusted kernel]

Every step rests on one of these facts about integers (floor division, as in Python), for a divisor d >= 1 that is shown
to be so where the expression is evaluated:

- `p % d = p - d * (p // d)`, so there are no remainders in a normal form;
- `(d*q + r) // d = q + r // d`, and `r // d` is 0 for 0 <= r < d, -1 for -d <= r < 0;
- `(a // b + z) // c = (a + b*z) // (b*c)`, and `(m*q + r) // (m*c) = q // c` for 0 <= r < m;
- `v -> (v // d, v % d)` is a bijection from [0, n*d) to [0, n) x [0, d), for every d >= 0 (both may be empty); and from
  [0, e) to the pairs (a, b) of [0, ceil(e/d)) x [0, d) with a*d + b < e, for d >= 1, also where d does not divide e.

What is not shown to hold is not used: the quotient then stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import Any

from gradproof.compiler.dims import Atom as Dim
from gradproof.compiler.dims import Entry, FloorDiv, Max, Min, Mod, Poly, Sym
from gradproof.verifier.forms import Atom, Binder, Guard, Monomial
from gradproof.verifier.ranges import Context


@lru_cache(maxsize=65536)
def quotients(poly: Poly) -> frozenset[Dim]:
    """Every `//` and `%` (and min and max) in an integer expression, those inside others included."""
    found: set[Dim] = set()
    for one in poly.atoms:
        match one:
            case FloorDiv(a, b) | Mod(a, b) | Min(a, b) | Max(a, b):
                found |= {one} | quotients(a) | quotients(b)
            case Entry(_, index):
                found = found.union(*map(quotients, index))
            case _:
                pass
    return frozenset(found)


def quotients_in(one: Atom) -> frozenset[Dim]:
    """Every quotient in an atom of a form, however deep."""
    if one.quotients is None:
        one.quotients = frozenset[Dim]().union(*map(quotients, integers_in(one.parts)))
    return one.quotients


@dataclass(frozen=True, slots=True)
class Settling:
    """`//` and `%` brought into the canonical form, as a change to polynomials like a substitution; see `moved`."""

    context: Context
    names: frozenset[str]  # the symbols whose expressions may change

    def keys(self) -> frozenset[str]:
        """The symbols whose expressions may change."""
        return self.names

    def moved(self, poly: Poly) -> Poly:
        """An integer expression, settled."""
        return settled(poly, self.context)


@dataclass(frozen=True, slots=True)
class Choosing:
    """A minimum or a maximum replaced by one of its sides, or an entry by what it is equal to."""

    one: Dim
    value: Poly

    def keys(self) -> frozenset[str]:
        """The symbols whose expressions may change."""
        return Poly.atom(self.one).symbols

    def moved(self, poly: Poly) -> Poly:
        """An integer expression with the value in the place of what is replaced."""
        if self.one not in (poly.entries() if isinstance(self.one, Entry) else quotients(poly)):
            return poly
        return poly.rebuilt(lambda one: self.value if one == self.one else _inside(one, self.moved))


Change = Mapping[str, Poly] | Settling | Choosing


def moved(poly: Poly, change: Change) -> Poly:
    """An integer expression after a substitution, settled, or with a choice made."""
    return change.moved(poly) if isinstance(change, Settling | Choosing) else poly.substitute(change)


def settled(poly: Poly, context: Context) -> Poly:
    """The same integer, wherever `context` holds, with its quotients in canonical form."""
    return poly.rebuilt(lambda one: _settled(one, context)) if quotients(poly) else poly


def _inside(one: Dim, change: Callable[[Poly], Poly]) -> Poly:
    match one:
        case FloorDiv(a, b):
            return change(a) // change(b)
        case Mod(a, b):
            return change(a) % change(b)
        case Min(a, b):
            return change(a).minimum(change(b))
        case Max(a, b):
            return change(a).maximum(change(b))
        case Entry(tensor, index):
            return Poly.atom(Entry(tensor, tuple(map(change, index))))
        case _:
            return Poly.atom(one)


def _settled(one: Dim, context: Context) -> Poly:
    def change(poly: Poly) -> Poly:
        return settled(poly, context)

    match one:
        case FloorDiv(a, b):
            return quotient(change(a), change(b), context)
        case Mod(a, b) if context.positive(change(b)):
            return change(a) - change(b) * quotient(change(a), change(b), context)
        case Min(a, b) | Max(a, b):
            low, high = change(a), change(b)
            if context.nonnegative(low - high):
                low, high = high, low
            if context.nonnegative(high - low):
                return low if isinstance(one, Min) else high
    return _inside(one, change)


def quotient(num: Poly, den: Poly, context: Context) -> Poly:
    """num // den, canonical; both are settled."""
    if not context.positive(den):
        return num // den
    for one, coefficient in [(m[0][0], c) for m, c in num.terms if len(m) == 1 and m[0][1] == 1]:
        if coefficient == 1 and isinstance(one, FloorDiv) and context.positive(one.den):
            rest = num - Poly.atom(one)
            return quotient(one.num + one.den * rest, one.den * den, context)
    whole, rest = num.divide(den)
    if rest.constant == 0 or _between(rest, 0, den, context):
        return whole
    if _between(rest + den, 0, den, context):
        return whole - 1
    for part in _factors(den):
        times, small = rest.divide(part)
        other = den.over(part)
        if other is not None and times.terms and _between(small, 0, part, context) and context.positive(other):
            return whole + quotient(times, other, context)
    return whole + rest // den


def _between(poly: Poly, low: int, high: Poly, context: Context) -> bool:
    return context.nonnegative(poly - low) and context.nonnegative(high - 1 - poly)


def _factors(den: Poly) -> Iterable[Poly]:
    """Proper divisors of a product: its factors, and the product of all but one of them."""
    if len(den.terms) != 1:
        return []
    ((monomial, coefficient),) = den.terms
    single = [Poly.atom(one) for one, e in monomial for _ in range(e)] + (
        [Poly.of(coefficient)] if coefficient > 1 else []
    )
    found: list[Poly] = []
    for k, one in enumerate(single):
        others = Poly.product(single[:k] + single[k + 1 :])
        found += [p for p in (one, others) if p not in found and p.constant != 1 and p != den]
    return found


# Sums over blocks ------------------------------------------------------------------------------------------------

Blocks = tuple[str, Poly, list[Binder], set[Guard]]  # index, its value, the binders with the new ones, the guards
FEW = 4  # so many blocks, or entries of a block, are added up one by one


def into_blocks(
    context: Context, binders: list[Binder], guards: set[Guard], found: Iterable[Dim], names: tuple[str, str]
) -> list[Blocks]:
    """A bound index v that occurs as v // d, as a*d + b with new a, b of these names: the addends; [] for no change."""
    for var, extent, den in _candidates(binders, found):
        others = [b for b in binders if b[0] != var]
        count, ragged = extent.over(den), False
        if count is None or not context.nonnegative(den):
            if not context.with_ranges({var: extent}).positive(den):
                continue
            count, ragged = quotient(extent + den - 1, den, context), True
        outers, inners = (_places(name, e) for name, e in zip(names, (count, den), strict=True))
        addends = []
        for (outer, above), (inner, below) in product(outers, inners):
            value = outer * den + inner
            here = guards | {(">=", extent - 1 - value)} if ragged else guards
            addends.append((var, value, [*others, *above, *below], here))
        return addends
    return []


def _candidates(binders: list[Binder], found: Iterable[Dim]) -> Iterator[tuple[str, Poly, Poly]]:
    """(v, its extent, d) with a quotient v // d, or (v + d*p) // (d*q)."""
    bound = {v for v, _ in binders}
    for one in sorted(found, key=str):
        if not isinstance(one, FloorDiv) or one.den.symbols & bound:
            continue
        for var, extent in binders:
            linear = one.num.linear_in(var) if var in one.num.symbols else None
            if linear is None or linear[0] != 1 or extent.symbols & bound or any(var in e.symbols for _, e in binders):
                continue
            dens = [one.den] if not linear[1].terms else _factors(one.den)
            yield from ((var, extent, den) for den in dens if linear[1].over(den) is not None)


def _places(name: str, extent: Poly) -> list[tuple[Poly, list[Binder]]]:
    """The values that an index takes: itself under a binder, or a few numbers."""
    few = extent.constant
    if few is None or few > FEW:
        return [(Poly.sym(name), [(name, extent)])]
    return [(Poly.of(k), []) for k in range(few)]


def out_of_blocks(
    context: Context, binders: list[Binder], guards: set[Guard], atoms: list[Atom], name: str
) -> Blocks | None:
    """The opposite: bound indices a and b < d that occur only as v = a*d + b, as one. It replaces b by v - a*d."""
    for inner, den in binders:
        for outer, count in binders:
            together = [one for one in atoms if inner in one.symbols]
            if outer == inner or not together or together != [one for one in atoms if outer in one.symbols]:
                continue
            others = [b for b in binders if b[0] not in (outer, inner)]
            bound = {v for v, _ in binders}
            if (den.symbols | count.symbols) & bound or any({outer, inner} & e.symbols for _, e in others):
                continue
            joined = {inner: Poly.sym(inner) - Poly.sym(outer) * den}
            polys = [*(p for one in together for p in integers_in(one.parts)), *(p for _, p in guards)]
            if all(outer not in p.substitute(joined).symbols for p in polys) and context.nonnegative(den):
                return inner, Poly.sym(name) - Poly.sym(outer) * den, [*others, (name, count * den)], guards
    return None


def integers_in(part: Any) -> Iterator[Poly]:
    """Every integer expression in a part of a form."""
    match part:
        case Poly():
            yield part
        case Atom():
            yield from integers_in(part.parts)
        case Monomial():
            yield from (p for _, p in (*part.guards, *part.binders))
            yield from integers_in(part.factors)
        case tuple():
            for inner in part:
                yield from integers_in(inner)
        case Sym() | FloorDiv() | Mod() | Min() | Max() | Entry():
            yield Poly.atom(part)
        case _:
            pass
