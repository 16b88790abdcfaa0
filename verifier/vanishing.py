"""What may be 0 throughout for some size: sizes, and sums that may be empty. [trusted kernel]

A proof may divide by what is 0 at single points (see normal.py), never by what is 0 as a polynomial in its atoms. At
one size and one choice of indices, an atom that is no size is an unknown of its own (its value is one of many that obey
the laws that normal.py uses), except that an odd function changes its sign with its argument's.
"""

from __future__ import annotations

from collections.abc import Iterable

from gradproof.compiler.dims import Poly
from gradproof.compiler.functions import FUNCTIONS
from gradproof.verifier.forms import Atom, Binder, Frozen, Monomial, Number, tensors_in
from gradproof.verifier.ranges import Context


def vanishes(one: Atom, context: Context) -> bool:
    """Whether an atom may be 0 throughout for some size or index that the context allows; True where nothing is known.

    What is positive where all unknowns are positive is not; nor is a sum in which a part that is so has an unknown that
    no other part has, or has in as high a power.
    """
    if _sign(one, 1, context) == 2:
        return False
    return one.kind != "base" or not any(_stands_out(m, one.parts[0], context) for m, _ in one.parts[0])


def _stands_out(monomial: Monomial, form: Frozen, context: Context) -> bool:
    if _sign_of(monomial, context) < 2:
        return False
    others = [m for m, _ in form if m is not monomial]
    for name in tensors_in(monomial):
        here = [(a, e) for a, e in monomial.factors if name in tensors_in(a)]
        if name not in tensors_in(others):
            reads = all(a.kind == "read" for a, _ in here) and len({e > 0 for _, e in here}) == 1
            whole = len(here) == 1 and here[0][0].kind in ("exp", "log", "fold", "fn")
            if reads or whole:
                return True
        elif len(here) == 1 and here[0][0].kind == "read" and not here[0][0].symbols & {v for v, _ in monomial.binders}:
            read, degree = here[0]
            if all(_degree(m, read, name) < degree for m in others):
                return True
    return False


def _degree(monomial: Monomial, read: Atom, name: str) -> Number | float:
    """The power of a read; infinite where its tensor is read at other places too."""
    found: Number = 0
    for one, exponent in monomial.factors:
        if one is read:
            found = exponent
        elif name in tensors_in(one):
            return float("inf")
    return found


def _sign(one: Atom, exponent: Number, context: Context) -> int:
    """2: positive where all unknowns are positive; 1: not negative there; 0: nothing is known."""
    match one.kind:
        case "size":
            poly = Poly.atom(one.parts[0])
            return 2 if context.nonnegative(poly - 1) else 1 if exponent > 0 and context.nonnegative(poly) else 0
        case "pos" | "neg" | "bool":
            return 1
        case "base":
            signs = [_sign_of(m, context) if c > 0 else 0 for m, c in one.parts[0]]
            return 0 if 0 in signs or not signs or (exponent < 0 and 2 not in signs) else max(signs)
        case "log" if (one.symbols or tensors_in(one.parts[0])) and not _moves(one.parts[0], context):
            return 0  # log n is 0 where n = 1, log(x[i]/x[j]) where i = j
        case "fn" if not _unknown(one, context):
            return 0
        case "fold":
            _, _, body, _ = one.parts
            return min((_sign_of(m, context) if c > 0 else 0 for m, c in body), default=0)
    return 2


def _unknown(one: Atom, context: Context) -> bool:
    """Whether a function's value is an unknown: sin(n * x[i]) is 0 where n = 0, and lgamma(n) where n = 1."""
    name, forms = one.parts
    return all(_moves(form, context) for k, form in enumerate(forms) if k not in FUNCTIONS[name].integers)


def _moves(form: Frozen, context: Context) -> bool:
    """Whether a form is no constant, whatever sizes and indices coincide: x[i] - x[j] is one where i = j.

    It is none where all its parts grow, or all fall, as the unknowns grow, or where it has but one unknown.
    """
    varying = [(m, c) for m, c in form if tensors_in(m)]
    if not any(_sign_of(m, context) == 2 for m, _ in varying):
        return False
    if len(varying) == 1 and sum(1 for a, _ in varying[0][0].factors if tensors_in(a)) == 1:
        return True
    ways = {_way(m) * (1 if c > 0 else -1) for m, c in varying}
    return ways in ({1}, {-1})


def _way(monomial: Monomial) -> int:
    """1 where a product grows with the positive unknowns that it reads, -1 where it falls, 0 where neither is seen."""
    ways = {_atom_way(one) * (1 if e > 0 else -1) for one, e in monomial.factors if tensors_in(one)}
    return ways.pop() if len(ways) == 1 else 0


def _atom_way(one: Atom) -> int:
    match one.kind:
        case "read":
            return 1
        case "exp":
            return _way(one.parts[0])
        case "base" | "fold":
            form = one.parts[0] if one.kind == "base" else one.parts[2]
            ways = {_way(m) * (1 if c > 0 else -1) for m, c in form if tensors_in(m)}
            return ways.pop() if len(ways) == 1 else 0
    return 0


def _sign_of(monomial: Monomial, context: Context) -> int:
    inside = context.with_ranges(dict(monomial.binders))
    sign = min((_sign(one, e, inside) for one, e in monomial.factors), default=2)
    occupied = not monomial.guards and all(_occupied(e, monomial.binders, context) for _, e in monomial.binders)
    return sign if occupied else min(sign, 1)


def _occupied(extent: Poly, binders: Iterable[Binder], context: Context) -> bool:
    """Whether a binder's range has an index, wherever the ranges of the context have one."""
    return not extent.symbols & {v for v, _ in binders} and context.nonnegative(extent - 1)
