"""Changes of indices that make two sums the same: found by solving for the indices, checked here. [trusted kernel]

Both kinds are checked, not believed. A polynomial one must have an inverse on all integers. One with `//` inside need
be right only on the index set that is moved: with B1, B2 the index sets, F1, F2 the products, k from B2 to B1 and h
back, `h(k(w)) = w`, `k(w) in B1` and `F1(k(w)) = F2(w)` for all w in B2 (`F2(h(v)) = F1(v)` for all v in B1 does) give
`sum over w in B2 of F2(w) = sum over v in B1, where h(v) in B2 and k(h(v)) = v, of F1(v)`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from gradproof.compiler.dims import Poly
from gradproof.compiler.terms import Cond, IntCmp, both, in_range, int_eq, int_ge
from gradproof.verifier.forms import Atom, Binder, Guard, Monomial, Number
from gradproof.verifier.normal import Normalizer
from gradproof.verifier.quotients import Settling, quotients, settled
from gradproof.verifier.ranges import Context
from gradproof.verifier.substitution import substituted, substituted_monomial


def region(binders: Sequence[Binder], guards: frozenset[Guard]) -> Cond:
    """The index set of a sum."""
    ranges = [in_range(Poly.sym(v), e) for v, e in binders]
    return both(*ranges, *(IntCmp(rel, p) for rel, p in sorted(guards, key=str)))


def aligned(reference: Monomial, other: Monomial, work: Normalizer, timeout: float) -> Cond | None:
    """The index set of `other` in the indices of `reference`, where a change of indices makes their products equal."""
    if len(reference.binders) != len(other.binders) or len(reference.factors) != len(other.factors):
        return None
    theirs = {v: f"{v}'" for v, _ in other.binders}
    apart = {v: Poly.sym(n) for v, n in theirs.items()}
    renamed = substituted_monomial(work, Monomial((), frozenset(), other.factors), apart)
    if len(renamed) != 1:
        return None
    ((body, unit),) = renamed.items()
    if unit != 1 or body.guards or body.binders:
        return None
    binders = tuple((theirs[v], e.substitute(apart)) for v, e in other.binders)
    guards = frozenset((rel, p.substitute(apart)) for rel, p in other.guards)
    moving = Monomial(binders, guards, body.factors)
    mine = {v for v, _ in reference.binders}
    for equations in _pairings(reference, body):
        forward = _solve(equations, set(theirs.values()), mine)
        backward = _solve(equations, mine, set(theirs.values()))
        if forward is None or backward is None:
            continue
        if any(quotients(p) for p in (*forward.values(), *backward.values())):
            found = _on_its_set(reference, moving, forward, backward, work, timeout)
        else:
            found = _everywhere(reference, moving, forward, backward, work)
        if found is not None:
            return found
    return None


def _everywhere(
    reference: Monomial, other: Monomial, forward: Mapping[str, Poly], backward: Mapping[str, Poly], work: Normalizer
) -> Cond | None:
    """A bijection of all integers: polynomials both ways, each the inverse of the other."""
    if any(p.substitute(forward) != Poly.sym(v) for v, p in backward.items()):
        return None
    if any(p.substitute(backward) != Poly.sym(v) for v, p in forward.items()):
        return None
    moved = substituted_monomial(work, Monomial((), frozenset(), other.factors), forward)
    if moved != {Monomial((), frozenset(), reference.factors): 1}:
        return None
    ranges = [in_range(forward[v], e.substitute(forward)) for v, e in other.binders]
    guards = [IntCmp(rel, p.substitute(forward)) for rel, p in sorted(other.guards, key=str)]
    return both(*ranges, *guards)


def _on_its_set(
    reference: Monomial,
    other: Monomial,
    forward: Mapping[str, Poly],
    backward: Mapping[str, Poly],
    work: Normalizer,
    timeout: float,
) -> Cond | None:
    """A change of indices with `//` inside: right wherever the other sum's indices are. See the top."""
    from gradproof.verifier.smt import prove_int

    there = work.context.with_ranges(dict(other.binders))
    equations = {p for rel, p in other.guards if rel == "=="}
    for v, p in forward.items():
        difference = settled(p.substitute(backward), there) - Poly.sym(v)
        if difference.terms and not {difference, -difference} & equations:
            return None
    here = work.context.with_ranges(dict(reference.binders))
    if not _same_there(reference, other, backward, work, there) and not _same_there(
        other, reference, forward, work, here
    ):
        return None
    bounds = [p for rel, p in other.guards if rel == ">="]
    for v, extent in reference.binders:
        value, end = (settled(p.substitute(backward), there) for p in (Poly.sym(v), extent))
        if there.nonnegative(value, bounds) and there.nonnegative(end - 1 - value, bounds):
            continue
        goal = in_range(value, end)
        known = [*there.known(goal), region((), other.guards)]
        if prove_int(goal, known, timeout).answer != "proved":
            return None
    conds: list[Cond] = [in_range(Poly.sym(v), e) for v, e in reference.binders]
    conds += [in_range(settled(forward[v], here), settled(e.substitute(forward), here)) for v, e in other.binders]
    for rel, p in sorted(other.guards, key=str):
        moved = settled(p.substitute(forward), here)
        conds.append(int_ge(moved, 0) if rel == ">=" else int_eq(moved, 0))
    conds += [int_eq(settled(p.substitute(forward), here), Poly.sym(v)) for v, p in backward.items()]
    return both(*conds)


def _same_there(one: Monomial, other: Monomial, change: Mapping[str, Poly], work: Normalizer, context: Context) -> bool:
    """Whether the factors of one, at changed indices, are those of the other wherever the context holds."""
    changed = substituted_monomial(work, Monomial((), frozenset(), one.factors), change)
    names = frozenset(n for m in changed for n in m.symbols)
    return substituted(work, changed, Settling(context, names)) == {Monomial((), frozenset(), other.factors): 1}


def _pairings(reference: Monomial, body: Monomial) -> Iterator[list[tuple[Poly, Poly]]]:
    """Ways to pair the plain reads of two products; each gives equations between their index expressions."""
    mine = [(a, e) for a, e in reference.factors if a.kind in ("read", "bool")]
    theirs = [(a, e) for a, e in body.factors if a.kind in ("read", "bool")]

    def shape(item: tuple[Atom, Number]) -> tuple[str, object, int, Number]:
        return (item[0].kind, item[0].parts[0], len(item[0].parts[1]), item[1])

    if sorted(map(str, map(shape, mine))) != sorted(map(str, map(shape, theirs))):
        return
    count = 0

    def extend(k: int, used: frozenset[int]) -> Iterator[list[tuple[Poly, Poly]]]:
        nonlocal count
        if k == len(mine):
            count += 1
            yield []
            return
        for j, candidate in enumerate(theirs):
            if j in used or shape(candidate) != shape(mine[k]) or count > 24:
                continue
            here = list(zip(mine[k][0].parts[1], candidate[0].parts[1], strict=True))
            for rest in extend(k + 1, used | {j}):
                yield here + rest

    yield from extend(0, frozenset())


def _solve(equations: list[tuple[Poly, Poly]], unknown: set[str], known: set[str]) -> dict[str, Poly] | None:
    """The unknowns as expressions in the known names, from equations left = right: c * unknown = p gives p // c."""
    values: dict[str, Poly] = {}
    pending = [a - b for a, b in equations]
    while pending and len(values) < len(unknown):
        found: list[tuple[int, int, str, Poly]] = []
        for position, poly in enumerate(pending):
            reduced = poly.substitute(values)
            free = sorted(reduced.symbols & unknown)
            linear = reduced.linear_in(free[0]) if len(free) == 1 else None
            if linear is None:
                continue
            unit = linear[0].constant
            if unit == 1 or unit == -1:
                found.append((0, position, free[0], -linear[1] * unit))
            else:
                sign = -1 if linear[0].terms and linear[0].terms[0][1] < 0 else 1
                found.append((1, position, free[0], -sign * linear[1] // (sign * linear[0])))
        if not found:
            return None
        _, position, name, value = min(found, key=lambda f: f[:2])
        values[name] = value
        pending.pop(position)
    return values if len(values) == len(unknown) else None
