"""Polynomials in atoms, where sums over indices are atoms: what both sides of an identity are brought to.

A sum is taken apart until what is left under it hangs together: what does not depend on its index goes outside, sums
inside of it become more of its own indices. Then indices are named and ordered in one way, so equal sums are one atom.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import permutations, product
from math import factorial, prod
from typing import Any, TypeAlias

from gradproof.compiler.dims import Poly
from gradproof.compiler.rewriting import free_symbols, substitute, substitute_cond
from gradproof.compiler.terms import Cond, Term

Mono: TypeAlias = tuple[tuple["Atom", int], ...]  # sorted by the atoms' keys; no exponent is 0
Form: TypeAlias = dict[Mono, Fraction]
Frozen: TypeAlias = tuple[tuple[Mono, Fraction], ...]
Binder: TypeAlias = tuple[str, Poly]

UNIT: Mono = ()
BITS = ("ind", "pos")  # atoms that are 1 or 0
LIMIT = 120  # monomials in one form
ORDERS = 120  # orders of the indices of one sum that are tried


class NotExported(Exception):
    """This obligation is not said in Coq, for this reason."""


@dataclass(frozen=True, eq=False)
class Atom:
    """An indivisible factor.

    kinds: "read" tensor, index; "size" poly; "ind" condition (1 or 0); "pos" frozen (1 where it is above 0, or 0);
    "hole" name; "fn" name, frozen arguments; "exp" monomial, coefficient;
    "base" frozen (of several monomials, in a denominator); "sum" binders, monomial; "opaque" term.
    """

    kind: str
    parts: tuple[Any, ...]
    key: str = field(init=False)
    free: frozenset[str] = field(init=False)
    height: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "key", f"{self.kind}{_key(self.parts)}")
        object.__setattr__(self, "free", _free(self.kind, self.parts))
        inside = max((a.height for a in _atoms(self.parts)), default=0)
        object.__setattr__(self, "height", inside + (self.kind == "sum"))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Atom) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)


def _key(part: Any) -> str:
    match part:
        case Atom():
            return part.key
        case tuple():
            return f"({','.join(map(_key, part))})"
        case _:
            return str(part) if isinstance(part, Poly | Fraction | int | str) else repr(part)


def _atoms(part: Any) -> Iterable[Atom]:
    if isinstance(part, Atom):
        yield part
    elif isinstance(part, tuple):
        for inner in part:
            yield from _atoms(inner)


def _free(kind: str, parts: tuple[Any, ...]) -> frozenset[str]:
    match kind:
        case "read":
            return frozenset(s for p in parts[1] for s in p.symbols)
        case "size":
            return frozenset(parts[0].symbols)
        case "ind" | "opaque":
            return free_symbols(parts[0])
        case _:
            names = frozenset[str]().union(*(a.free for a in _atoms(parts)))
            if kind == "sum":
                names |= frozenset(s for _, extent in parts[0] for s in extent.symbols)
                names -= {name for name, _ in parts[0]}
            return names


def renamed(atom: Atom, names: Mapping[str, str]) -> Atom:
    """The atom with free names replaced."""
    if not atom.free & names.keys():
        return atom
    mapping = {old: Poly.sym(new) for old, new in names.items()}
    match atom.kind:
        case "read":
            return Atom("read", (atom.parts[0], tuple(p.substitute(mapping) for p in atom.parts[1])))
        case "size":
            return Atom("size", (atom.parts[0].substitute(mapping),))
        case "ind":
            return Atom("ind", (substitute_cond(atom.parts[0], mapping),))
        case "opaque":
            return Atom("opaque", (substitute(atom.parts[0], mapping),))
        case "fn":
            return Atom("fn", (atom.parts[0], tuple(_renamed_form(form, names) for form in atom.parts[1])))
        case "exp":
            return Atom("exp", (renamed_mono(atom.parts[0], names), atom.parts[1]))
        case "base" | "pos":
            return Atom(atom.kind, (_renamed_form(atom.parts[0], names),))
        case _:
            binders = tuple((name, extent.substitute(mapping)) for name, extent in atom.parts[0])
            return Atom("sum", (binders, renamed_mono(atom.parts[1], names)))


def renamed_mono(mono: Mono, names: Mapping[str, str]) -> Mono:
    """The monomial with free names replaced."""
    return in_order((renamed(atom, names), exponent) for atom, exponent in mono)


def _renamed_form(form: Frozen, names: Mapping[str, str]) -> Frozen:
    return freeze({renamed_mono(mono, names): c for mono, c in form})


def in_order(factors: Iterable[tuple[Atom, int]]) -> Mono:
    """Factors as a monomial: equal atoms together, 0 and 1 to the power they have."""
    total: dict[Atom, int] = {}
    for atom, exponent in factors:
        total[atom] = total.get(atom, 0) + exponent
        if atom.kind in BITS and total[atom] > 1:
            total[atom] = 1
    for atom in [a for a in total if a.kind == "pos"]:
        # A root that is not above 0 is 0, as is its inverse.
        ((mono, _), *more) = atom.parts[0]
        if not more and len(mono) == 1 and total.get(mono[0][0], 0) < 0 and mono[0][0].parts[0] == "sqrt":
            del total[atom]
    return tuple(sorted(((a, e) for a, e in total.items() if e), key=lambda f: f[0].key))


def freeze(form: Form) -> Frozen:
    """The form in one order."""
    return tuple(sorted(form.items(), key=lambda item: _key(item[0])))


def plus(*forms: Form) -> Form:
    """The sum."""
    out: Form = {}
    for form in forms:
        for mono, coefficient in form.items():
            out[mono] = out.get(mono, Fraction(0)) + coefficient
    if len(out) > LIMIT:
        raise NotExported("too many monomials")
    return {mono: c for mono, c in out.items() if c}


def times(*forms: Form) -> Form:
    """The product."""
    out: Form = {UNIT: Fraction(1)}
    for form in forms:
        if len(out) * len(form) > LIMIT * 4:
            raise NotExported("too many monomials")
        found = ((in_order((*a, *b)), c * d) for a, c in out.items() for b, d in form.items())
        out = plus(*({mono: c} for mono, c in found if not _never(mono)))
    return out


def _never(mono: Mono) -> bool:
    """Whether something would have to be above 0 and below it."""
    above = {atom.parts[0] for atom, _ in mono if atom.kind == "pos"}
    return any(tuple((m, -c) for m, c in form) in above for form in above)


def scaled(form: Form, factor: Fraction) -> Form:
    """factor * form."""
    return {mono: c * factor for mono, c in form.items()}


def of_atom(atom: Atom, exponent: int = 1) -> Form:
    """The form of an atom's power."""
    return {((atom, exponent),): Fraction(1)}


def is_zero(form: Form) -> bool:
    """Whether the form is 0 as a rational function of its atoms: denominators are cleared and expanded."""
    for _ in range(12):
        lowest: dict[Atom, int] = {}
        for mono in form:
            for atom, exponent in mono:
                if atom.kind == "base" and exponent < 0:
                    lowest[atom] = min(lowest.get(atom, 0), exponent)
        if not lowest:
            return not form
        base, exponent = max(lowest.items(), key=lambda item: item[0].height)
        cleared: Form = {}
        for mono, coefficient in form.items():
            own = dict(mono).get(base, 0)
            rest = tuple(f for f in mono if f[0] != base)
            cleared = plus(cleared, times({rest: coefficient}, *[dict(base.parts[0])] * (own - exponent)))
        form = cleared
    return False


def ordered(binders: Sequence[Binder], mono: Mono) -> tuple[tuple[str, ...], Atom]:
    """The sum with its indices in canonical order and under canonical names; and that order, by the old names."""
    groups: dict[str, list[Binder]] = {}
    for binder in sorted(binders, key=lambda b: str(b[1])):
        groups.setdefault(str(binder[1]), []).append(binder)
    if prod(factorial(len(group)) for group in groups.values()) > ORDERS:
        raise NotExported("a sum over many indices of one range")
    height = max((atom.height for atom, _ in mono), default=0) + 1
    best: tuple[tuple[str, ...], Atom] | None = None
    for chosen in product(*(permutations(group) for group in groups.values())):
        order = [binder for group in chosen for binder in group]
        names = {name: f"%{height}.{k:02}" for k, (name, _) in enumerate(order)}
        made = tuple((names[name], extent) for name, extent in order)
        candidate = Atom("sum", (made, renamed_mono(mono, names)))
        if best is None or candidate.key < best[1].key:
            best = tuple(name for name, _ in order), candidate
    assert best is not None
    return best


def opaque_term(term: Term) -> Atom:
    """A term that is taken as it is."""
    return Atom("opaque", (term,))


def indicator(cond: Cond) -> Atom:
    """1 where the condition holds, 0 elsewhere."""
    return Atom("ind", (cond,))
