"""Sums over indices: equations solved, ranges narrowed, indices in blocks, sums put together. [trusted kernel]"""

from __future__ import annotations

from typing import Any

from gradproof.compiler.dims import Poly
from gradproof.compiler.terms import IntCmp
from gradproof.verifier.algebra import Algebra, of_poly
from gradproof.verifier.forms import (
    Atom,
    Binder,
    Form,
    Guard,
    Monomial,
    Number,
    accumulate,
    constant,
    fresh_name,
    number,
    oriented,
    plus,
)
from gradproof.verifier.index_sets import drop_implied, impossible, narrow, solve_equality
from gradproof.verifier.powers import power_of
from gradproof.verifier.quotients import (
    Blocks,
    Change,
    Settling,
    into_blocks,
    out_of_blocks,
    quotients,
    quotients_in,
    settled,
)
from gradproof.verifier.substitution import substituted_atom, substituted_monomial


def simplified(work: Algebra, binders: list[Binder], guards: set[Guard], factors: list[tuple[Atom, Number]]) -> Form:
    """Eliminate what can be eliminated from one sum; equality guards first."""
    while True:
        guards = {g for g in _settled(work, binders, guards) if g[1].constant is None or impossible(g)}
        if any(impossible(g) for g in guards) or any((e.constant or 1) < 1 or e == 0 for _, e in binders):
            return {}
        step = solve_equality(binders, guards) or (narrow(work.context, binders, guards) if work.narrowing else None)
        if step is None:
            settled_form = _settle(work, binders, guards, factors)
            if settled_form is not None:
                return settled_form
            addends = _blocks(work, binders, guards, factors)
            if len(addends) > 1:
                return plus(*(_stepped(work, *addend, factors) for addend in addends))
            step = addends[0] if addends else None
        if step is None:
            break
        var, value, binders, guards = step
        if value is None:
            continue
        if any(var in one.symbols for one, _ in factors):
            return _stepped(work, var, value, binders, guards, factors)
        mapping = {var: value}
        binders = [(v, e.substitute(mapping)) for v, e in binders]
        guards = {(rel, oriented(rel, p.substitute(mapping))) for rel, p in guards}
    guards = drop_implied(work.context, binders, guards)
    extra = constant(1)
    for binder in list(binders):
        var, extent = binder
        used = any(var in one.symbols for one, _ in factors) or any(var in p.symbols for _, p in guards)
        if used or any(var in e.symbols for _, e in binders) or not _counts(work, extent, binders):
            continue
        binders.remove(binder)
        extra = work.times(extra, of_poly(work.context, extent))
    contracted = _contract(work, binders, guards, factors)
    if contracted is not None:
        binders, guards, factors = contracted
        guards = drop_implied(work.context, binders, guards)
    if extra == constant(1):
        return {Monomial(tuple(binders), frozenset(guards), tuple(factors)): 1}
    out: Form = {}
    for m, c in extra.items():
        accumulate(out, work.monomial((*binders, *m.binders), guards | m.guards, (*factors, *m.factors)), c)
    return out


def _stepped(
    work: Algebra, var: str, value: Poly, binders: list[Binder], guards: set[Guard], factors: list[tuple[Atom, Number]]
) -> Form:
    """The sum with an index replaced by its value everywhere."""
    mapping = {var: value}
    binders = [(v, e.substitute(mapping)) for v, e in binders]
    guards = {(rel, oriented(rel, p.substitute(mapping))) for rel, p in guards}
    return changed(work, binders, guards, factors, mapping)


def changed(
    work: Algebra, binders: list[Binder], guards: set[Guard], factors: list[tuple[Atom, Number]], change: Change
) -> Form:
    """The sum with its factors changed; the binders and guards are so already."""
    changed = work.product(power_of(work, substituted_atom(work, one, change), e) for one, e in factors)
    out: Form = {}
    for m, c in changed.items():
        accumulate(out, work.monomial((*binders, *m.binders), guards | m.guards, m.factors), c)
    return out


def where_nonzero(work: Algebra, poly: Poly, form: Form) -> Form:
    """The form where an integer is not 0, and 0 elsewhere: what stays of a size that was cancelled."""
    if work.context.nonnegative(poly - 1):
        return form
    out: Form = {}
    for m, c in form.items():
        inside = work.context.with_ranges(dict(m.binders))
        for p in (poly,) if inside.nonnegative(poly) else (poly, -poly):
            accumulate(out, work.simplify(list(m.binders), {*m.guards, (">=", p - 1)}, list(m.factors)), c)
    return out


def _settle(
    work: Algebra, binders: list[Binder], guards: set[Guard], factors: list[tuple[Atom, Number]]
) -> Form | None:
    """The sum with every quotient inside its factors in canonical form; None where they are."""
    dims = frozenset[Any]().union(*(quotients_in(one) for one, _ in factors))
    inside = work.context.with_ranges(dict(binders)).with_facts(IntCmp(rel, p) for rel, p in guards)
    if all(settled(Poly.atom(dim), inside) == Poly.atom(dim) for dim in dims):
        return None
    work.trace.moved()
    change = Settling(inside, frozenset(n for dim in dims for n in Poly.atom(dim).symbols))
    return changed(work, binders, guards, factors, change)


def _settled(work: Algebra, binders: list[Binder], guards: set[Guard]) -> set[Guard]:
    if not any(quotients(p) for _, p in guards):
        return guards
    inside = work.context.with_ranges(dict(binders))
    return {(rel, oriented(rel, settled(p, inside))) for rel, p in guards}


def _blocks(
    work: Algebra, binders: list[Binder], guards: set[Guard], factors: list[tuple[Atom, Number]]
) -> list[Blocks]:
    """An index as two, where it is read in blocks; or two as one, where they are not."""
    atoms = [one for one, _ in factors]
    found = frozenset[Any]().union(*map(quotients_in, atoms), *(quotients(p) for _, p in guards))
    addends: list[Blocks] = []
    if found and binders:
        addends = into_blocks(work.context, binders, guards, found, (fresh_name(), fresh_name()))
    if addends:
        work.trace.moved()
    if addends or len(binders) < 2:
        return addends
    work.trace.moved()
    one = out_of_blocks(work.context, binders, guards, atoms, fresh_name())
    return [one] if one is not None else []


def _counts(work: Algebra, extent: Poly, binders: list[Binder]) -> bool:
    # An index that has a place in its range shows nothing about that range where it is the one to be removed.
    others = {v: e for v, e in binders if e != extent}
    return work.context.with_ranges(others).nonnegative(extent)


def _contract(
    work: Algebra, binders: list[Binder], guards: set[Guard], factors: list[tuple[Atom, Number]]
) -> tuple[list[Binder], set[Guard], list[tuple[Atom, Number]]] | None:
    """(sum_j f_j)^e * sum_j f_j put together, and [there is a j], where j is in no other factor and in no guard."""
    for one, exponent in factors:
        if one.kind != "base" or exponent >= 0 or len(one.parts[0]) != 1:
            continue
        pattern, coefficient = one.parts[0][0]
        if coefficient != 1 or pattern.guards or len(pattern.binders) != 1:
            continue
        inner, extent = pattern.binders[0]
        for var, own in binders:
            if own != extent or any(var in p.symbols for _, p in guards) or any(var in e.symbols for _, e in binders):
                continue
            mine = [f for f in factors if var in f[0].symbols]
            if len(mine) != len(pattern.factors):
                continue
            wanted = substituted_monomial(work, Monomial((), frozenset(), pattern.factors), {inner: Poly.sym(var)})
            if wanted == {Monomial((), frozenset(), tuple(sorted(mine, key=lambda f: f[0].id))): 1}:
                work.trace.cancelled.add(one)
                left = [f for f in factors if f not in mine]
                left = [(a, number(e + 1)) if a is one else (a, e) for a, e in left]
                kept = [(a, e) for a, e in left if e]
                rest = [b for b in binders if b[0] != var]
                some = guards | {(">=", extent - 1)}
                again = _contract(work, rest, some, kept)
                return again if again is not None else (rest, some, kept)
    return None
