"""What the parts of the normal form ask of one another: a commutative ring with sums over indices. [trusted kernel]"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol

from gradproof.compiler.dims import Poly
from gradproof.compiler.terms import Term
from gradproof.verifier.forms import Atom, Binder, Form, Guard, Monomial, Number, TooLarge, accumulate, atom
from gradproof.verifier.quotients import settled
from gradproof.verifier.ranges import Context

MOVES = 4000  # changes of blocks and quotients in one proof: some undo each other without end


@dataclass(slots=True)
class Trace:
    """What a normalisation leaned on: the bases that were cancelled, as atoms; and how often indices were moved."""

    cancelled: set[Atom] = field(default_factory=set)
    moves: int = 0

    def moved(self) -> None:
        """Indices are taken apart or put together once more; TooLarge where there is no end to it."""
        self.moves += 1
        if self.moves > MOVES:
            raise TooLarge("indices are taken apart and put together without end")


class Algebra(Protocol):
    """Forms in one context, as `Normalizer` makes them."""

    context: Context
    generic: frozenset[str]
    apart: bool
    narrowing: bool
    trace: Trace

    def form(self, term: Term) -> Form:
        """The form of a term; bound indices have names of their own."""

    def product(self, forms: Iterable[Form]) -> Form:
        """The product of several forms."""

    def times(self, a: Form, b: Form) -> Form:
        """The product of two forms whose bound indices have different names."""

    def power(self, base: Form, exponent: int) -> Form:
        """An integer power."""

    def monomial(
        self, binders: Iterable[Binder], guards: Iterable[Guard], factors: Iterable[tuple[Atom, Number]]
    ) -> Form:
        """The form of one monomial: factors merged, sums simplified."""

    def simplify(self, binders: list[Binder], guards: set[Guard], factors: list[tuple[Atom, Number]]) -> Form:
        """The form of a monomial whose factors are merged."""


def of_poly(context: Context, poly: Poly) -> Form:
    """An integer expression as a real: a polynomial in its atoms."""
    out: Form = {}
    for monomial, coefficient in settled(poly, context).terms:
        factors = sorted(((atom("size", a), e) for a, e in monomial), key=lambda f: f[0].id)
        accumulate(out, {Monomial((), frozenset(), tuple(factors)): coefficient})
    return out
