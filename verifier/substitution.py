"""Indices, sizes and atoms of a form replaced by others. [trusted kernel]"""

from __future__ import annotations

from collections.abc import Callable

from gradproof.compiler.dims import Poly
from gradproof.verifier.algebra import Algebra, of_poly
from gradproof.verifier.conditions import sign_is, split
from gradproof.verifier.forms import (
    Atom,
    Form,
    Monomial,
    TooLarge,
    accumulate,
    atom,
    contains,
    of_atom,
    of_frozen,
    oriented,
)
from gradproof.verifier.naming import apart, collected, freeze, thaw
from gradproof.verifier.powers import exp, log, opaque, power_of
from gradproof.verifier.quotients import Change, moved


def substituted(work: Algebra, form: Form, mapping: Change) -> Form:
    """Replace free sizes and indices in a form (its bound names must be apart from the mapping's)."""
    out: Form = {}
    for monomial, coefficient in form.items():
        accumulate(out, substituted_monomial(work, monomial, mapping), coefficient)
    return out


def substituted_monomial(work: Algebra, monomial: Monomial, mapping: Change) -> Form:
    """`substitute`, for one monomial."""
    if not monomial.symbols & mapping.keys():
        return {monomial: 1}
    binders = [(v, moved(e, mapping)) for v, e in monomial.binders]
    guards = {(rel, oriented(rel, moved(p, mapping))) for rel, p in monomial.guards}
    touched = [f for f in monomial.factors if f[0].symbols & mapping.keys()]
    if not touched:
        return work.simplify(binders, guards, list(monomial.factors))
    changed = work.product(power_of(work, substituted_atom(work, a, mapping), e) for a, e in touched)
    same = [f for f in monomial.factors if not f[0].symbols & mapping.keys()]
    out: Form = {}
    for m, c in changed.items():
        merged = work.monomial((*binders, *m.binders), guards | m.guards, (*same, *m.factors))
        accumulate(out, merged, c)
    return out


def substituted_atom(work: Algebra, one: Atom, mapping: Change) -> Form:
    """An atom after substitution: a form, since a size may become a polynomial and a condition may be decided."""
    if not one.symbols & mapping.keys():
        return of_atom(one)
    match one.kind:
        case "read" | "bool":
            return of_atom(atom(one.kind, one.parts[0], tuple(moved(p, mapping) for p in one.parts[1])))
        case "size":
            return of_poly(work.context, moved(Poly.atom(one.parts[0]), mapping))
        case "base":
            inner = collected(substituted(work, thaw(one.parts[0]), mapping))
            return of_atom(atom("base", freeze(inner))) if inner else {}
        case "fold":
            kind, extent, body, condition = one.parts
            changed = [freeze(substituted(work, thaw(p), mapping)) for p in (body, condition)]
            if max(of_frozen(p)[0] for p in changed) + 1 != one.height:
                raise TooLarge("a fold whose body changes height under substitution")
            return of_atom(atom("fold", kind, moved(extent, mapping), *changed))
        case _:
            return _with_inside(work, one, lambda form: substituted(work, form, mapping))


def _with_inside(work: Algebra, one: Atom, change: Callable[[Form], Form]) -> Form:
    """A condition, a logarithm, an exponential or another function, with what it is of changed."""
    match one.kind:
        case "pos" | "neg":
            return sign_is(work, one.kind, change(thaw(one.parts[0])))
        case "log":
            return split(work, [change(thaw(one.parts[0]))], lambda parts: log(work, parts[0]))
        case "exp":
            return split(work, [change(apart({one.parts[0]: 1}))], lambda parts: exp(work, parts[0]))
        case "fn":
            return split(work, [change(thaw(a)) for a in one.parts[1]], lambda parts: opaque(one.parts[0], parts))
        case kind:
            raise TooLarge(f"a replacement inside an atom of the kind {kind}")


def replaced(work: Algebra, form: Form, old: Atom, new: Form) -> Form:
    """Replace an atom that binds nothing by a form, everywhere in a form, inside other atoms too."""
    out: Form = {}
    for monomial, coefficient in form.items():
        touched = [f for f in monomial.factors if contains(f[0], old)]
        if not touched:
            accumulate(out, {monomial: coefficient})
            continue
        changed = work.product(power_of(work, _replaced_in(work, a, old, new), e) for a, e in touched)
        same = [f for f in monomial.factors if not contains(f[0], old)]
        for m, c in changed.items():
            merged = work.monomial((*monomial.binders, *m.binders), monomial.guards | m.guards, (*same, *m.factors))
            accumulate(out, merged, c * coefficient)
    return out


def _replaced_in(work: Algebra, one: Atom, old: Atom, new: Form) -> Form:
    if one is old:
        return apart(new)
    match one.kind:
        case "base":
            return replaced(work, thaw(one.parts[0]), old, new)
        case "fold":
            raise TooLarge("a replacement inside an optimum")
        case _:
            return _with_inside(work, one, lambda form: replaced(work, form, old, new))
