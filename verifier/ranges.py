"""What is known of integers while a proof runs: lower bounds of sizes, ranges of indices, and linear facts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from gradproof.compiler.dims import FloorDiv, Max, Min, Mod, Poly, Sym
from gradproof.compiler.terms import And, Cond, IntCmp


@dataclass(frozen=True)
class Context:
    """`lower`: symbol -> a bound it is not below (an absent symbol may be negative); `ranges`: index -> extent.

    `facts` are conditions that hold (the requirements of an operator, the assumptions on dims).
    """

    lower: Mapping[str, int]
    ranges: Mapping[str, Poly]
    facts: tuple[Cond, ...] = ()

    def with_ranges(self, more: Mapping[str, Poly]) -> Context:
        """This context inside binders (an index that exists is below its extent)."""
        return Context(self.lower, {**self.ranges, **more}, self.facts) if more else self

    def nonnegative(self, poly: Poly, extra: Iterable[Poly] = ()) -> bool:
        """Whether poly >= 0 for sure; False means only that this quick test can't say.

        Each index is moved to the end of its range that makes the polynomial smallest; then every size is written as
        its lower bound plus something non-negative, and all coefficients must be non-negative. One known fact
        (p >= 0, so that poly - p >= 0 suffices) may be used besides.
        """
        if self._at_least_zero(poly):
            return True
        known = [*extra, *self._linear_facts()]
        return any(self._at_least_zero(poly - fact) for fact in known)

    def _linear_facts(self) -> list[Poly]:
        flat: list[Cond] = []
        for fact in self.facts:
            flat += fact.args if isinstance(fact, And) else (fact,)
        out: list[Poly] = []
        for fact in flat:
            if isinstance(fact, IntCmp):
                out.append(fact.poly)
                if fact.rel == "==":
                    out.append(-fact.poly)
        return out

    def _at_least_zero(self, poly: Poly) -> bool:
        for name, extent in reversed(list(self.ranges.items())):
            if name not in poly.symbols:
                continue
            linear = poly.linear_in(name)
            if linear is None:
                continue
            slope, rest = linear
            if self._size_at_least_zero(slope):
                poly = rest
            elif self._size_at_least_zero(-slope):
                poly = rest + slope * (extent - 1)
        return self._size_at_least_zero(poly)

    def _size_at_least_zero(self, poly: Poly) -> bool:
        shifted = poly.substitute({s: Poly.sym(s) + low for s, low in self.lower.items() if low and s in poly.symbols})
        return all(
            coefficient >= 0 and all(self._atom_at_least_zero(atom) for atom, _ in monomial)
            for monomial, coefficient in shifted.terms
        )

    def _atom_at_least_zero(self, atom: object) -> bool:
        match atom:
            case Sym(name):
                return name in self.lower or name in self.ranges
            case FloorDiv(num, den):
                return self._size_at_least_zero(num) and self._size_at_least_zero(den - 1)
            case Mod(_, den):
                return self._size_at_least_zero(den - 1)
            case Min(a, b):
                return self._size_at_least_zero(a) and self._size_at_least_zero(b)
            case Max(a, b):
                return self._size_at_least_zero(a) or self._size_at_least_zero(b)
            case _:
                return False
