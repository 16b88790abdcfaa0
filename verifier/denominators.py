"""Denominators that are sums are cleared from a form, wherever they are not 0 throughout. [trusted kernel]"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction
from itertools import product
from time import perf_counter

from gradproof.compiler.dims import Poly
from gradproof.verifier.forms import Atom, Form, Monomial, Number, accumulate, of_atom
from gradproof.verifier.naming import apart, canonical, thaw
from gradproof.verifier.normal import Normalizer
from gradproof.verifier.substitution import substituted_atom
from gradproof.verifier.vanishing import vanishes


def cleared(form: Form, work: Normalizer, until: float) -> Form:
    """Multiply through by bases with negative or fractional powers: B^e = B^low * B^(e - low), expanded."""
    for _ in range(6):
        changed = False
        for pattern in _patterns(form, work):
            if perf_counter() > until:
                return form
            lower = _clear(form, pattern, work)
            if lower is not None and not lower:
                return {}
            if lower is not None and lower != form:
                form, changed = lower, True
        if not changed:
            break
    return form


def _patterns(form: Form, work: Normalizer) -> list[tuple[Atom, dict[str, Poly]]]:
    """The distinct bases up to the names of bound indices, with those indices and their extents; simple ones last."""
    found: dict[Atom, tuple[Atom, dict[str, Poly]]] = {}
    for monomial in form:
        bound = dict(monomial.binders)
        for one, exponent in monomial.factors:
            if one.kind != "base" or (isinstance(exponent, int) and exponent > 0) or len(one.parts[0]) < 2:
                continue
            inside = [v for v, _ in monomial.binders if v in one.symbols]
            generic = _rename(one, {v: f"?{k}" for k, v in enumerate(inside)}, work)
            found.setdefault(generic, (generic, {f"?{k}": bound[v] for k, v in enumerate(inside)}))
    return sorted(found.values(), key=lambda p: -p[0].height)


def _rename(one: Atom, names: Mapping[str, str], work: Normalizer) -> Atom:
    renamed = substituted_atom(work, one, {old: Poly.sym(new) for old, new in names.items()})
    ((monomial, _),) = renamed.items()
    return monomial.factors[0][0]


def _instances(monomial: Monomial, pattern: tuple[Atom, dict[str, Poly]], work: Normalizer) -> Iterator[Atom]:
    """The pattern at each choice of this monomial's bound indices whose extents fit."""
    generic, holes = pattern
    options = [[v for v, e in monomial.binders if e == extent] for extent in holes.values()]
    for choice in product(*options):
        if len(set(choice)) == len(choice):
            yield _rename(generic, dict(zip(holes, choice, strict=True)), work)


def _divisors(monomial: Monomial, pattern: tuple[Atom, dict[str, Poly]], work: Normalizer) -> Iterator[Atom]:
    inside = work.context.with_ranges(dict(monomial.binders))
    return (base for base in _instances(monomial, pattern, work) if not vanishes(base, inside))


def _clear(form: Form, pattern: tuple[Atom, dict[str, Poly]], work: Normalizer) -> Form | None:
    """The form with this base at its lowest power everywhere; None where a monomial has no place for it."""
    present: list[tuple[Monomial, Number, Atom | None, Number]] = []
    # A base put at an index of a sum that is less deep than itself: canonical names of the two could be one.
    for monomial, coefficient in apart(form).items():
        instances = set(_instances(monomial, pattern, work))
        own = [(one, e) for one, e in monomial.factors if one in instances]
        if len(own) > 1:
            return None
        one, exponent = own[0] if own else (None, 0)
        present.append((monomial, coefficient, one, exponent))
    lowest: dict[Fraction, Number] = {}
    for _, _, _, exponent in present:
        part = Fraction(exponent) % 1
        lowest[part] = min(lowest.get(part, exponent), exponent)
    absent = [m for m, _, one, e in present if one is None and lowest[Fraction(0)] < 0]
    # Multiplying by B is reversible only where B is not 0 throughout: a sum over nothing, say.
    choices = [list(_divisors(m, pattern, work)) for m in absent]
    if any(not c for c in choices):
        return None
    best: Form | None = None
    for attempt, choice in enumerate(product(*choices)):
        if attempt >= 16:
            break
        picked = dict(zip(absent, choice, strict=True))
        out: Form = {}
        for monomial, coefficient, one, exponent in present:
            low = lowest[Fraction(exponent) % 1]
            if exponent == low:
                accumulate(out, {monomial: coefficient})
                continue
            base = one if one is not None else picked[monomial]
            if one is None:
                work.trace.cancelled.add(base)
            rest = tuple(f for f in monomial.factors if f[0] is not base)
            # B^low is kept beside the expanded B^(exponent - low), never merged with it.
            expanded = work.times(
                {Monomial(monomial.binders, monomial.guards, rest): coefficient},
                work.power(thaw(base.parts[0]), int(exponent - low)),
            )
            for m, c in expanded.items():
                accumulate(out, work.times({m: c}, of_atom(base, low)))
        out = canonical(out)
        if not out:
            return out
        if best is None or len(out) < len(best):
            best = out
    return best
