"""Solve equations between indices, as transposition meets them: `y[i] = x[i // k]` backwards is a sum over blocks.

An equation `value = index`, where `index` is an expression of bound indices, is used up in one of these ways; what none
of them covers stays behind as a condition, from which lowering makes a scatter. Nothing here is trusted: VJP proves the
rule that comes out.

- an index that stands there with coefficient 1 or -1 is solved for, and must lie in its range;
- `v // d` and `v % d` make two indices of v: blocks and places in a block;
- `d*p + v` with v < d are digits: v = value % d, and `value // d = p` is left;
- `(v + p) % n` with v < n is a shift round a circle: v = (value - p) % n;
- `(v + p) // d` leaves open where in its block v is: d values of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from gradproof.compiler.dims import Atom as Dim
from gradproof.compiler.dims import Entry, FloorDiv, Max, Min, Mod, Poly, Sym
from gradproof.compiler.rewriting import map_children, map_cond
from gradproof.compiler.terms import (
    BoolRead,
    Cond,
    IntCmp,
    Read,
    Reduce,
    Size,
    Term,
    fresh,
    in_range,
    int_eq,
    int_ge,
    int_lt,
    size,
)

Positive = Callable[[Poly], bool]  # whether a size is at least 1 wherever the operator is applied


@dataclass(slots=True)
class System:
    """A sum of `body` over `binders` where `conds` and all `equations` (value = index) hold."""

    body: Term
    binders: dict[str, Poly]
    conds: list[Cond]
    equations: list[tuple[Poly, Poly]]
    extents: dict[str, Poly]  # of the names that the values are made of
    positive: Positive

    def solve(self) -> None:
        """Use up every equation."""
        while self.equations:
            # Bare equations first: they solve for a name without leaving a range to check behind.
            self.equations.sort(key=lambda e: (e[1].as_symbol is None, not self._unit(e[1])))
            value, index = self.equations.pop(0)
            if not any(way(value, index) for way in (self._direct, self._split, self._digits, self._round, self._open)):
                self.conds.append(int_eq(index, value))

    def replace(self, name: str, value: Poly) -> None:
        """Put an expression in an index's place."""
        del self.binders[name]
        self.everywhere(lambda p: p.substitute({name: value}))

    def everywhere(self, change: Callable[[Poly], Poly]) -> None:
        """Change every integer expression."""
        self.body = _term(self.body, change)
        self.conds = [_cond(c, change) for c in self.conds]
        self.equations = [(v, change(p)) for v, p in self.equations]

    def _unit(self, index: Poly) -> tuple[str, int] | None:
        """A bound index with coefficient 1 or -1, where no other one has a coefficient that is not: those are windows,
        which a scatter runs through in fewer steps than there are pairs of a place and a window."""
        found: tuple[str, int] | None = None
        for var in self.binders:
            linear = index.linear_in(var)
            if linear is None or not linear[0].terms:
                if linear is None:
                    return None
                continue
            slope = linear[0].constant
            if slope != 1 and slope != -1:
                return None
            # No other binder's extent may depend on what is being solved for.
            if found is None and not any(var in extent.symbols for extent in self.binders.values()):
                found = var, slope
        return found

    def _direct(self, value: Poly, index: Poly) -> bool:
        solved = self._unit(index)
        if solved is None:
            return False
        var, sign = solved
        found = sign * (value - (index - sign * Poly.sym(var)))
        extent = self.binders[var]
        self.replace(var, found)
        if self._below(found) != extent:
            self.conds.append(in_range(found, extent))
        return True

    def _below(self, value: Poly) -> Poly | None:
        """An expression's extent, where it runs from 0 up to it: a name, or its blocks."""
        one = _only(value)
        if not isinstance(one, FloorDiv):
            return self.extents.get(value.as_symbol or "")
        whole = self._below(one.num)
        return whole.over(one.den) if whole is not None else None

    def _split(self, value: Poly, index: Poly) -> bool:
        for one in sorted(_quotients(index), key=str):
            var = one.num.as_symbol or ""
            count = self.binders[var].over(one.den) if var in self.binders else None
            if count is None or one.den.symbols & self.binders.keys() or count.symbols & self.binders.keys():
                continue
            outer, inner, den = fresh(var), fresh(var), one.den
            del self.binders[var]
            self.binders |= {outer: count, inner: den}
            self.equations.append((value, index))
            block, place = Poly.sym(outer), Poly.sym(inner)
            table: dict[Dim, Poly] = {
                Sym(var): block * den + place,
                FloorDiv(Poly.sym(var), den): block,
                Mod(Poly.sym(var), den): place,
            }
            self.everywhere(partial(_rewritten, table=table))
            return True
        return False

    def _digits(self, value: Poly, index: Poly) -> bool:
        for var, den in self.binders.items():
            linear = index.linear_in(var)
            whole = self._below(value)
            # Where the value has a place in a range that den divides, den is not 0.
            if (
                linear is None
                or linear[0] != 1
                or not (self.positive(den) or (whole is not None and whole.over(den) is not None))
            ):
                continue
            rest = linear[1].over(den)
            if rest is None or not rest.symbols & self.binders.keys():
                continue
            self.equations.append((value // den, rest))
            self.replace(var, value % den)
            return True
        return False

    def _round(self, value: Poly, index: Poly) -> bool:
        one = _only(index)
        if not isinstance(one, Mod):
            return False
        solved = self._unit(one.num)
        if solved is None or self.binders[solved[0]] != one.den:
            return False
        var, sign = solved
        if self.extents.get(value.as_symbol or "") != one.den:
            if not self.positive(one.den):
                return False
            self.conds.append(int_lt(value, one.den))
        self.replace(var, (sign * (value - (one.num - sign * Poly.sym(var)))) % one.den)
        return True

    def _open(self, value: Poly, index: Poly) -> bool:
        one = _only(index)
        if not isinstance(one, FloorDiv) or one.den.symbols & self.binders.keys():
            return False
        solved = self._unit(one.num)
        if solved is None or not self.positive(one.den):
            return False
        place = fresh(solved[0])
        self.equations.append((one.den * value + Poly.sym(place), one.num))
        self.binders[place] = one.den
        return self._direct(*self.equations.pop())


def _only(index: Poly) -> Dim | None:
    """The atom that an expression is."""
    (one, *more) = index.atoms or (None,)
    return one if one is not None and not more and index == Poly.atom(one) else None


def _quotients(poly: Poly) -> set[FloorDiv | Mod]:
    found: set[FloorDiv | Mod] = set()
    for one in poly.atoms:
        match one:
            case FloorDiv(a, b) | Mod(a, b):
                found |= {one} | _quotients(a) | _quotients(b)
            case Min(a, b) | Max(a, b):
                found |= _quotients(a) | _quotients(b)
            case _:
                pass
    return found


def _rewritten(poly: Poly, table: dict[Dim, Poly]) -> Poly:
    """An expression with atoms replaced, also inside other atoms."""
    out = Poly.of(0)
    for monomial, coefficient in poly.terms:
        product = Poly.of(coefficient)
        for one, exponent in monomial:
            changed = _atom(one, table)
            for _ in range(exponent):
                product = product * changed
        out = out + product
    return out


def _atom(one: Dim, table: dict[Dim, Poly]) -> Poly:
    if one in table:
        return table[one]
    match one:
        case FloorDiv(a, b):
            return _rewritten(a, table) // _rewritten(b, table)
        case Mod(a, b):
            return _rewritten(a, table) % _rewritten(b, table)
        case Min(a, b):
            return _rewritten(a, table).minimum(_rewritten(b, table))
        case Max(a, b):
            return _rewritten(a, table).maximum(_rewritten(b, table))
        case Entry(tensor, index):
            return Poly.atom(Entry(tensor, tuple(_rewritten(p, table) for p in index)))
        case Sym():
            return Poly.atom(one)


def _term(node: Term, change: Callable[[Poly], Poly]) -> Term:
    """A term with every integer expression changed; bound names are fresh, so none is captured."""
    match node:
        case Size(poly):
            return size(change(poly))
        case Read(tensor, index):
            return Read(tensor, tuple(map(change, index)))
        case Reduce(kind, var, extent, guard, body):
            return Reduce(kind, var, change(extent), _cond(guard, change), _term(body, change))
        case _:
            return map_children(node, lambda t: _term(t, change), lambda c: _cond(c, change))


def _cond(node: Cond, change: Callable[[Poly], Poly]) -> Cond:
    match node:
        case IntCmp(">=", poly):
            return int_ge(change(poly), 0)
        case IntCmp(_, poly):
            return int_eq(change(poly), 0)
        case BoolRead(tensor, index):
            return BoolRead(tensor, tuple(map(change, index)))
        case _:
            return map_cond(node, lambda t: _term(t, change), lambda c: _cond(c, change))
