"""Index sets: what a sum ranges over, made simpler without changing the sum. [trusted]

An equality guard gives an index its value and leaves its range behind; a bound by something unbound becomes the range
itself; a guard that follows from the ranges and the other guards is dropped.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeAlias

from gradproof.compiler.dims import Entry, Poly
from gradproof.verifier.forms import Binder, Guard
from gradproof.verifier.ranges import Context

Step: TypeAlias = tuple[str, Poly | None, list[Binder], set[Guard]]  # index, its value (None: unchanged), the rest


def solve_equality(binders: list[Binder], guards: set[Guard]) -> Step | None:
    """A bound index that an equality guard determines, and its value; the range it had becomes a guard."""
    options = []
    for guard in sorted((g for g in guards if g[0] == "=="), key=str):
        for var, extent in binders:
            linear = guard[1].linear_in(var) if var in guard[1].symbols else None
            if linear is None or abs(linear[0].constant or 0) != 1 or any(var in e.symbols for _, e in binders):
                continue
            value = -linear[1] * int(linear[0].constant or 1)
            options.append((value.as_symbol is None, guard, var, extent, value))
    if not options:
        return None
    _, guard, var, extent, value = min(options, key=lambda o: (o[0], str(o[1]), o[2]))
    left = (guards - {guard}) | {(">=", value), (">=", extent - 1 - value)}
    return var, value, [b for b in binders if b[0] != var], left


def known_entries(guards: Iterable[Guard]) -> Iterator[tuple[Guard, Entry, Poly]]:
    """The equality guards that give an entry a value in which it does not stand; the entry comes last by its text."""
    for guard in sorted((g for g in guards if g[0] == "=="), key=str):
        for entry in sorted((a for a in guard[1].atoms if isinstance(a, Entry)), key=str, reverse=True):
            rest = guard[1].substitute_atom(entry, Poly.of(0))
            sign = next((s for s in (1, -1) if guard[1] - rest == s * Poly.atom(entry)), 0)
            if sign and entry not in rest.entries():
                yield guard, entry, -sign * rest
                break


def narrow(context: Context, binders: list[Binder], guards: set[Guard]) -> Step | None:
    """Turn a guard that bounds one index by something unbound into its range: shift, shorten, or drop."""
    bound = {v for v, _ in binders}
    for position, (var, extent) in enumerate(binders):
        if extent.constant == 1:
            return var, Poly.of(0), [b for b in binders if b[0] != var], guards
        for guard in guards:
            rel, poly = guard
            linear = poly.linear_in(var) if rel == ">=" and var in poly.symbols else None
            if linear is None or linear[1].symbols & bound or abs(linear[0].constant or 0) != 1:
                continue
            rest = guards - {guard}
            if linear[0].constant == 1:  # var >= low
                low = -linear[1]
                if not context.nonnegative(low):
                    continue
                shifted = [*binders[:position], (var, extent - low), *binders[position + 1 :]]
                # The new extent must not be shifted again: the caller substitutes var + low in it too, harmlessly,
                # because extents never mention their own index.
                return var, Poly.sym(var) + low, shifted, rest
            high = linear[1] + 1  # var < high
            if context.nonnegative(extent - high):
                return var, None, [*binders[:position], (var, high), *binders[position + 1 :]], rest
            if context.nonnegative(high - extent):
                return var, None, binders, rest
    return None


def drop_implied(context: Context, binders: list[Binder], guards: set[Guard]) -> set[Guard]:
    if not guards:
        return guards
    inside = context.with_ranges(dict(binders))
    kept = set(guards)
    for guard in sorted(guards, key=str):
        rel, poly = guard
        others = [p for r, p in kept if r == ">=" and (r, p) != guard]
        if rel == ">=" and inside.nonnegative(poly, others):
            kept.discard(guard)
    return kept


def impossible(guard: Guard) -> bool:
    value = guard[1].constant
    return value is not None and not (value >= 0 if guard[0] == ">=" else value == 0)
