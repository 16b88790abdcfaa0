"""Names of bound indices: apart from each other while forms are combined, canonical when they are compared. [trusted]

A canonical name `%h.k` says how deep the nest of binders is and which index it is there; which one comes first follows
from how the indices occur, never from what they were called. Renaming is the only thing that happens here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import permutations
from typing import Any

from gradproof.compiler.dims import Poly
from gradproof.verifier.forms import (
    LIMIT,
    Atom,
    Form,
    Frozen,
    Monomial,
    TooLarge,
    accumulate,
    atom,
    fresh_name,
    in_order,
    oriented,
    oriented_sign,
    signature,
)


def apart(form: Form) -> Form:
    """The same form with new names for its bound indices."""
    if not any(m.binders for m in form):
        return form
    return {renamed(m): c for m, c in form.items()}


def renamed(monomial: Monomial, names: Mapping[str, str] | None = None) -> Monomial:
    if not monomial.binders:
        return monomial
    chosen = names or {v: fresh_name() for v, _ in monomial.binders}
    mapping = {old: Poly.sym(new) for old, new in chosen.items()}
    binders = tuple((chosen[v], e.substitute(mapping)) for v, e in monomial.binders)
    guards = frozenset((rel, oriented(rel, p.substitute(mapping))) for rel, p in monomial.guards)
    factors = [(renamed_atom(a, mapping), e) for a, e in monomial.factors]
    return Monomial(binders, guards, tuple(sorted(factors, key=lambda f: f[0].id)))


def renamed_atom(one: Atom, mapping: Mapping[str, Poly]) -> Atom:
    """An atom with free names renamed to names that it does not have: always one atom again."""
    if not one.symbols & mapping.keys():
        return one
    match one.kind:
        case "read" | "bool":
            return atom(one.kind, one.parts[0], tuple(p.substitute(mapping) for p in one.parts[1]))
        case "size":
            ((renamed, _),), _ = Poly.atom(one.parts[0]).substitute(mapping).terms[0]
            return atom("size", renamed)
        case "pos" | "neg":
            return oriented_sign(one.kind, renamed_frozen(one.parts[0], mapping))
        case "base" | "log":
            return atom(one.kind, renamed_frozen(one.parts[0], mapping))
        case "exp":
            return atom("exp", renamed_free(one.parts[0], mapping))
        case "fn":
            return atom("fn", one.parts[0], tuple(renamed_frozen(a, mapping) for a in one.parts[1]))
        case _:
            kind, extent, body, condition = one.parts
            inside = [renamed_frozen(p, mapping) for p in (body, condition)]
            return atom("fold", kind, extent.substitute(mapping), *inside)


def renamed_frozen(form: Frozen, mapping: Mapping[str, Poly]) -> Frozen:
    out: Form = {}
    for m, c in form:
        accumulate(out, {renamed_free(m, mapping): c})
    return in_order(out)


def renamed_free(monomial: Monomial, mapping: Mapping[str, Poly]) -> Monomial:
    binders = tuple((v, e.substitute(mapping)) for v, e in monomial.binders)
    guards = frozenset((rel, oriented(rel, p.substitute(mapping))) for rel, p in monomial.guards)
    factors = [(renamed_atom(a, mapping), e) for a, e in monomial.factors]
    return canonical_monomial(Monomial(binders, guards, tuple(sorted(factors, key=lambda f: f[0].id))))


def thaw(form: Frozen) -> Form:
    """A frozen form with bound names of its own."""
    return apart(dict(form))


def collected(form: Form) -> Form:
    """The form with equal sums added up, whatever their bound indices are called."""
    return apart(canonical(form))


def freeze(form: Form) -> Frozen:
    """The canonical, hashable version of a form."""
    return in_order(canonical(form))


def canonical(form: Form) -> Form:
    """The form with canonical names for bound indices, so that equal sums have equal monomials."""
    if not any(m.binders for m in form):
        return form
    out: Form = {}
    for monomial, coefficient in form.items():
        accumulate(out, {canonical_monomial(monomial): coefficient})
    return out


def canonical_monomial(monomial: Monomial) -> Monomial:
    if not monomial.binders:
        return monomial
    own = renamed(monomial, canonical_names(monomial))
    return Monomial(tuple(sorted(own.binders, key=lambda b: b[0])), own.guards, own.factors)


def canonical_names(monomial: Monomial) -> dict[str, str]:
    """Names for the bound indices that depend on how they occur, not on what they are called."""
    height = monomial.height
    names = [v for v, _ in monomial.binders]
    order: list[list[str]] = [[]]
    for group in [names] if len(names) == 1 else _colour(monomial):
        order = [[*prefix, *p] for prefix in order for p in permutations(group)]
        if len(order) > 720:
            raise TooLarge("too many indices that look alike")
    best: tuple[Any, dict[str, str]] | None = None
    for candidate in order:
        chosen = {v: f"%{height}.{k}" for k, v in enumerate(candidate)}
        if len(order) == 1:
            return chosen
        own = renamed(monomial, chosen)
        guards = sorted(map(str, own.guards))
        key = ([(a.id, e) for a, e in own.factors], guards, sorted(map(str, own.binders)))
        if best is None or key < best[0]:
            best = key, chosen
    if best is None:
        raise TooLarge("no order of indices")
    return best[1]


def _colour(monomial: Monomial) -> list[list[str]]:
    """The bound indices grouped by how they occur: a refinement that does not look at their names."""
    names = [v for v, _ in monomial.binders]
    colours: dict[str, int] = dict.fromkeys(names, 0)
    extents = dict(monomial.binders)
    for _ in range(3):
        marks: dict[str, Any] = {}
        for var in names:
            mapping = {v: Poly.sym("@" if v == var else f"?{colours[v]}") for v in names}
            seen = []
            for one, exponent in monomial.factors:
                if var in one.symbols:
                    seen.append((signature(one.parts, one.kind, mapping), str(exponent)))
            shape = sorted(str(p.substitute(mapping)) for _, p in monomial.guards if var in p.symbols)
            marks[var] = (colours[var], str(extents[var].substitute(mapping)), sorted(seen), shape)
        ranks = {mark: k for k, mark in enumerate(sorted({repr(m) for m in marks.values()}))}
        refined = {v: ranks[repr(marks[v])] for v in names}
        if len(set(refined.values())) == len(set(colours.values())):
            colours = refined
            break
        colours = refined
    groups: dict[int, list[str]] = {}
    for var in names:
        groups.setdefault(colours[var], []).append(var)
    return [groups[c] for c in sorted(groups)]


def rewritten(form: Form, step: Callable[[Monomial], Form | None]) -> Form | None:
    """The form with each monomial, and what it becomes, put through the step while that gives another form.

    None: no monomial is changed, or there is no end to it.
    """
    pending, changed = list(form.items()), False
    out: Form = {}
    for _ in range(LIMIT):
        if not pending:
            return canonical(out) if changed else None
        monomial, coefficient = pending.pop()
        parts = step(monomial)
        if parts is None:
            accumulate(out, {monomial: coefficient})
        else:
            changed = True
            pending += [(m, c * coefficient) for m, c in parts.items()]
    return None
