"""Rewriting by a law: a sum over an index of a product that a law knows becomes what the law says. [trusted kernel]

A law `sum(k < n) t[i, k] * u[k, j] == e(i, j)`, for all i and j below their extents, replaces such a sum inside a
monomial only where

- k runs over exactly the law's range: the same extent, and the same guards on k, no more and no fewer;
- k is in no other factor and in no other index's extent, and every factor that has it is a plain read to the power 1;
- what stands for i and j is in their ranges for sure: an index bound in the monomial, or free in the context, with
  exactly that extent.

What the law says is then put in with its own bound indices renamed apart.

A law `select(i < j, t[i, j], 0) == 0` says where a tensor has entries: t[i, j] is 0 but for i - j >= 0. Beside a
positive power of t in a monomial, at places that are in range as above, such facts f >= 0 (and sums of them) settle
guards: [f + c >= 0] is 1 for c >= 0, [f - 1 >= 0] is 1 - [f == 0], [-f >= 0] is [f == 0], [-f - c >= 0] is 0 for c > 0.
A sum that stops where t has no more entries is one over t's whole extent.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations, permutations, product
from typing import TypeAlias

from gradproof.compiler.dims import Poly
from gradproof.compiler.terms import IntCmp
from gradproof.verifier.forms import (
    Atom,
    Binder,
    Factors,
    Form,
    Guard,
    Monomial,
    Number,
    TooLarge,
    accumulate,
    oriented,
    plus,
    scaled,
)
from gradproof.verifier.naming import apart, canonical
from gradproof.verifier.normal import Normalizer
from gradproof.verifier.substitution import substituted

ROUNDS = 400


@dataclass(frozen=True, slots=True)
class Contraction:
    """A law as a rewriting: the sum over `binder`, under `guards`, of the product of `factors` is `result`.

    `free` gives the extent of each index for all of which the law holds; no other name in it is an index.
    """

    free: tuple[tuple[str, Poly], ...]
    binder: Binder
    guards: frozenset[Guard]
    factors: tuple[Atom, ...]
    result: tuple[tuple[Monomial, Number], ...]


@dataclass(frozen=True, slots=True)
class Support:
    """A law as a fact: the tensor's entry at `indices`, each below its extent, is 0 unless fact >= 0."""

    tensor: str
    indices: tuple[str, ...]
    extents: tuple[Poly, ...]
    fact: Poly


Law: TypeAlias = Contraction | Support


def support(left: Form, right: Form, free: Mapping[str, Poly]) -> Support | None:
    """The fact that a law `[p >= 0] * t[i, j] == 0` is; None where it is none."""
    if right or len(left) != 1:
        return None
    (monomial,) = left
    if monomial.binders or len(monomial.guards) != 1 or len(monomial.factors) != 1:
        return None
    ((rel, poly),) = monomial.guards
    ((one, exponent),) = monomial.factors
    names = [p.as_symbol for p in one.parts[1]] if one.kind == "read" else []
    if rel != ">=" or exponent != 1 or len(set(names)) != len(names) or set(names) != free.keys():
        return None
    indices = tuple(name for name in names if name is not None)
    return Support(one.parts[0], indices, tuple(free[name] for name in indices), -poly - 1)


def contraction(left: Form, right: Form, free: Mapping[str, Poly]) -> Contraction | None:
    """The rewriting from left to right; None where the left side is no single sum of a product of plain reads."""
    if len(left) != 1:
        return None
    ((monomial, coefficient),) = left.items()
    if len(monomial.binders) != 1 or not monomial.factors:
        return None
    binder = monomial.binders[0]
    named = {binder[0], *free}
    for one, exponent in monomial.factors:
        if one.kind != "read" or exponent != 1 or any(p.as_symbol not in named for p in one.parts[1]):
            return None
    bound = {p.as_symbol for one, _ in monomial.factors for p in one.parts[1]}
    every = all(binder[0] in one.symbols for one, _ in monomial.factors)
    if bound != named or not every or any(binder[0] not in p.symbols for _, p in monomial.guards):
        return None
    result = scaled(right, 1 / Fraction(coefficient))
    factors = tuple(one for one, _ in monomial.factors)
    return Contraction(tuple(free.items()), binder, monomial.guards, factors, tuple(result.items()))


def contracted(form: Form, laws: Sequence[Law], work: Normalizer) -> Form:
    """The form with every sum that a law knows replaced, until none is left; TooLarge after too many rounds."""
    form = canonical(form)
    sums = [law for law in laws if isinstance(law, Contraction)]
    facts = [law for law in laws if isinstance(law, Support)]
    for _ in range(ROUNDS):
        changed = _once(form, sums, facts, work)
        if changed is None:
            return form
        form = canonical(changed)
    raise TooLarge("the laws rewrite each other without end")


def _once(form: Form, laws: Sequence[Contraction], facts: Sequence[Support], work: Normalizer) -> Form | None:
    out: Form = {}
    changed = False
    for monomial, coefficient in form.items():
        found = _settled(monomial, facts, work)
        found = _widened(monomial, facts, work) if found is None else found
        found = next(_rewritten(monomial, laws, work), None) if found is None else found
        changed = changed or found is not None
        accumulate(out, {monomial: 1} if found is None else found, coefficient)
    return out if changed else None


def _settled(monomial: Monomial, laws: Sequence[Support], work: Normalizer) -> Form | None:
    """The monomial with a guard settled by where its tensors have entries; None where there is none to settle."""
    known: list[Poly] = []
    for one, exponent in monomial.factors:
        for law in laws:
            if one.kind == "read" and one.parts[0] == law.tensor and exponent > 0:
                places = dict(zip(law.indices, one.parts[1], strict=True))
                if _inside(places, zip(law.indices, law.extents, strict=True), monomial, work):
                    known.append(law.fact.substitute(places))
    every = {sum(some, Poly.of(0)) for k in (1, 2, 3) for some in combinations(known, k)}
    for guard in sorted(monomial.guards, key=str) if every else ():
        if guard[0] != ">=":
            continue
        rest = monomial.guards - {guard}
        for fact in sorted(every, key=str):
            over, under = (guard[1] - fact).constant, (guard[1] + fact).constant
            if over is not None and over >= 0:
                return _guarded(monomial, rest, work)
            if under is not None and under < 0:
                return {}
            equal = _guarded(monomial, rest | {("==", oriented("==", fact))}, work)
            if under == 0:
                return equal
            if over == -1:
                return plus(_guarded(monomial, rest, work), scaled(apart(equal), -1))
    return None


def _widened(monomial: Monomial, laws: Sequence[Support], work: Normalizer) -> Form | None:
    """A sum over j < e as one over j < n, where the law's t[i, j] is 0 for every j from e on; None: there is none."""
    bound = dict(monomial.binders)
    reads = [one for one, exponent in monomial.factors if one.kind == "read" and exponent > 0]
    for one, law in product(reads, laws):
        if one.parts[0] != law.tensor:
            continue
        places = dict(zip(law.indices, one.parts[1], strict=True))
        fact = law.fact.substitute(places)
        for name, extent in zip(law.indices, law.extents, strict=True):
            own = places[name].as_symbol
            end = bound.get(own, extent) if own is not None else extent
            if own is None or end == extent or any(own in e.symbols for e in bound.values()):
                continue
            linear = fact.linear_in(own)
            # Where the fact falls with j and is below 0 at j = e, it is so from there on. Of j itself nothing is known.
            here = work.context.with_ranges({v: e for v, e in bound.items() if v != own})
            here = here.with_facts(IntCmp(rel, p) for rel, p in monomial.guards if own not in p.symbols)
            beyond = (
                linear is not None and linear[0] == Poly.of(-1) and here.nonnegative(-1 - fact.substitute({own: end}))
            )
            binders = tuple((v, extent if v == own else e) for v, e in monomial.binders)
            whole = Monomial(binders, monomial.guards, monomial.factors)
            pairs = zip(law.indices, law.extents, strict=True)
            if beyond and here.nonnegative(extent - end) and _inside(places, pairs, whole, work):
                return _guarded(whole, whole.guards, work)
    return None


def _guarded(monomial: Monomial, guards: frozenset[Guard], work: Normalizer) -> Form:
    return work.monomial(monomial.binders, guards, monomial.factors)


def _rewritten(monomial: Monomial, laws: Sequence[Contraction], work: Normalizer) -> Iterator[Form]:
    for law in laws:
        for var, extent in monomial.binders:
            if extent == law.binder[1] and not any(var in e.symbols for _, e in monomial.binders):
                yield from _at(monomial, var, law, work)


def _at(monomial: Monomial, var: str, law: Contraction, work: Normalizer) -> Iterator[Form]:
    """The monomial with its sum over `var` replaced, where it is the law's."""
    own = [(one, exponent) for one, exponent in monomial.factors if var in one.symbols]
    if len(own) != len(law.factors) or any(one.kind != "read" or exponent != 1 for one, exponent in own):
        return
    guards = frozenset(g for g in monomial.guards if var in g[1].symbols)
    for order in permutations([one for one, _ in own]):
        places = _matched(law, order, var)
        if places is None or not _inside(places, law.free, monomial, work):
            continue
        mapping = {**places, law.binder[0]: Poly.sym(var)}
        if guards != frozenset((rel, oriented(rel, p.substitute(mapping))) for rel, p in law.guards):
            continue
        rest = tuple(f for f in monomial.factors if f not in own)
        binders = tuple(b for b in monomial.binders if b[0] != var)
        yield _joined(Monomial(binders, monomial.guards - guards, _sorted(rest)), places, law, work)


def _sorted(factors: Factors) -> Factors:
    return tuple(sorted(factors, key=lambda f: f[0].id))


def _joined(rest: Monomial, places: Mapping[str, Poly], law: Contraction, work: Normalizer) -> Form:
    # First names that nothing has, then the places: a law's own names must not be taken for the monomial's.
    said = apart(dict(law.result))
    return work.times({rest: 1}, substituted(work, said, places))


def _matched(law: Contraction, reads: Sequence[Atom], var: str) -> dict[str, Poly] | None:
    """What stands for each of the law's free indices, where the reads are its factors in this order."""
    places: dict[str, Poly] = {}
    for pattern, read in zip(law.factors, reads, strict=True):
        if pattern.parts[0] != read.parts[0] or len(pattern.parts[1]) != len(read.parts[1]):
            return None
        for wanted, given in zip(pattern.parts[1], read.parts[1], strict=True):
            name = wanted.as_symbol
            if name == law.binder[0]:
                if given.as_symbol != var:
                    return None
            elif var in given.symbols or places.setdefault(name, given) != given:
                return None
    return places


def _inside(
    places: Mapping[str, Poly], extents: Iterable[tuple[str, Poly]], monomial: Monomial, work: Normalizer
) -> bool:
    """Whether what stands for each index is an index with exactly its extent."""
    bound = dict(monomial.binders)
    for name, extent in extents:
        own = places[name].as_symbol
        if own is None or (bound[own] if own in bound else work.context.ranges.get(own)) != extent:
            return False
    return True
