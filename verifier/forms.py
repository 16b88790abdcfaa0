"""Forms: sums of monomials, each a sum over indices of a product of atoms' powers. [trusted kernel]

Plain data and the operations that no law is needed for: adding, scaling, comparing, looking inside. Atoms are interned,
so equal atoms are one object and a product is a sorted list of numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import count
from typing import Any, TypeAlias
from zlib import crc32

from gradproof.compiler.dims import Poly, Sym
from gradproof.compiler.functions import FUNCTIONS

Number: TypeAlias = int | Fraction
Binder: TypeAlias = tuple[str, Poly]
Guard: TypeAlias = tuple[str, Poly]  # (">=" or "==", p): p rel 0
Factors: TypeAlias = tuple[tuple["Atom", Number], ...]
Frozen: TypeAlias = tuple[tuple["Monomial", Number], ...]


class TooLarge(ArithmeticError):
    """The expansion grew beyond what is worth comparing."""


class NotGeneric(ArithmeticError):
    """Points away from ties were asked for, and there may be none."""


COLLAPSE = "a comparison of entries that may be one and the same"  # a reason of NotGeneric
LIMIT = 6000  # monomials in one normal form


class Atom:
    """An indivisible factor, interned: equal atoms are one object.

    kinds: "read" tensor, index; "size" dims atom; "bool" tensor, index; "pos"/"neg" frozen; "base" frozen (raised to a
    power that is no natural number); "exp" monomial; "log" frozen; "fn" name, frozen arguments;
    "fold" kind, extent, frozen body, frozen guard (max, min or prod over the index that is named by the height).
    """

    __slots__ = ("height", "id", "kind", "outline", "parts", "quotients", "symbols")
    kind: str
    parts: tuple[Any, ...]
    id: int
    symbols: frozenset[str]
    height: int
    outline: int  # of what it is made, whatever its indices are called and whichever atoms were met first
    quotients: frozenset[Any] | None  # the `//`, `%`, min and max inside, once quotients.py has looked

    def __init__(self, kind: str, parts: tuple[Any, ...], id_: int) -> None:
        self.quotients = None
        self.kind, self.parts, self.id = kind, parts, id_
        self.height, self.symbols = _describe(kind, parts)
        self.outline = crc32(repr((kind, _outline(parts))).encode())

    def __repr__(self) -> str:
        return f"{self.kind}{self.parts}"


@dataclass(frozen=True, slots=True)
class Monomial:
    """sum over binders where guards of the product of factors; factors are sorted by the atoms' ids."""

    binders: tuple[Binder, ...]
    guards: frozenset[Guard]
    factors: Factors
    _hash: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_hash", hash((self.binders, self.guards, self.factors)))

    def __hash__(self) -> int:
        return self._hash

    @property
    def symbols(self) -> frozenset[str]:
        """Names that are free in it."""
        names: set[str] = set()
        for atom, _ in self.factors:
            names |= atom.symbols
        for _, poly in (*self.guards, *self.binders):
            names |= poly.symbols
        return frozenset(names - {v for v, _ in self.binders})

    @property
    def height(self) -> int:
        """One more than the height of the atoms, where it binds anything."""
        inner = max((atom.height for atom, _ in self.factors), default=0)
        return inner + 1 if self.binders else inner


Form: TypeAlias = dict[Monomial, Number]
UNIT = Monomial((), frozenset(), ())
_atoms: dict[tuple[Any, ...], Atom] = {}
_names = count()


def _describe(kind: str, parts: tuple[Any, ...]) -> tuple[int, frozenset[str]]:
    match kind:
        case "read" | "bool":
            return 0, frozenset(s for p in parts[1] for s in p.symbols)
        case "size":
            return 0, Poly.atom(parts[0]).symbols
        case "pos" | "neg" | "base" | "log":
            return of_frozen(parts[0])
        case "exp":
            return parts[0].height, parts[0].symbols
        case "fn":
            described = [of_frozen(argument) for argument in parts[1]]
            return max((h for h, _ in described), default=0), frozenset().union(*(s for _, s in described))
        case _:
            inside = [of_frozen(part) for part in parts[2:]]
            height = max(h for h, _ in inside) + 1
            names = frozenset[str]().union(*(s for _, s in inside))
            return height, (names - {f"%{height}.f"}) | parts[1].symbols


def of_frozen(form: Frozen) -> tuple[int, frozenset[str]]:
    return max((m.height for m, _ in form), default=0), frozenset().union(*(m.symbols for m, _ in form))


def atom(kind: str, *parts: Any) -> Atom:
    """The atom with these parts."""
    key = (kind, *parts)
    found = _atoms.get(key)
    if found is None:
        found = _atoms[key] = Atom(kind, parts, len(_atoms))
    return found


def forget(limit: int = 300_000) -> None:
    """Drop the table of atoms where it has grown beyond `limit`; no form that was made before may be used after."""
    if len(_atoms) > limit:
        _atoms.clear()


def fresh_name() -> str:
    """A bound index's name that is used nowhere else."""
    return f"~{next(_names)}"


def number(value: Number) -> Number:
    return value.numerator if isinstance(value, Fraction) and value.denominator == 1 else value


def constant(value: Number) -> Form:
    """The form of a constant."""
    return {UNIT: number(value)} if value else {}


def of_atom(one: Atom, exponent: Number = 1) -> Form:
    """One atom to a power."""
    return {Monomial((), frozenset(), ((one, exponent),)): 1}


def plus(*forms: Form) -> Form:
    """The sum."""
    out: Form = {}
    for form in forms:
        accumulate(out, form)
    return out


def accumulate(out: Form, form: Form, scale: Number = 1) -> None:
    """out += scale * form."""
    for monomial, coefficient in form.items():
        value = out.get(monomial, 0) + coefficient * scale
        if value:
            out[monomial] = number(value)
        else:
            out.pop(monomial, None)


def scaled(form: Form, factor: Number) -> Form:
    """factor * form."""
    return {m: number(c * factor) for m, c in form.items()} if factor else {}


def in_order(form: Form) -> Frozen:
    return tuple(sorted(form.items(), key=_order))


def _order(item: tuple[Monomial, Number]) -> Any:
    monomial, _ = item
    factors = [(a.id, e) for a, e in monomial.factors]
    return (len(factors), factors, len(monomial.binders), str(monomial.binders), sorted(map(str, monomial.guards)))


def leading_coefficient(form: Frozen) -> Number:
    """What makes a form monic; which term leads hangs on no index's name and not on which atom was met first.

    Where it does after all (x[i] - x[j]), two forms that are equal may look different, and nothing is proved of them.
    """
    leading: tuple[Monomial, Number] | None = min(form, key=_lead, default=None)
    return 1 if leading is None else leading[1]


def _lead(item: tuple[Monomial, Number]) -> Any:
    return _outline(item[0]), -abs(Fraction(item[1]))


def _outline(part: Any) -> Any:
    match part:
        case Atom():
            return part.outline
        case Monomial():
            factors = sorted((one.outline, str(e)) for one, e in part.factors)
            return len(factors), factors, len(part.binders), len(part.guards)
        case tuple():
            return sorted(repr(_outline(inner)) for inner in part)
        case str() | int() | Fraction():
            return str(part)
        case _:
            return ""  # an index


def rough(form: Form) -> tuple[int, list[str], list[tuple[int, int, Number]]]:
    """A key that does not depend on the names of indices: by it equal forms are equal, and others may be too."""
    names = (a.parts[0] if isinstance(a.parts[0], str) else a.kind for m in form for a, _ in m.factors)
    return len(form), sorted(names), sorted((len(m.binders), len(m.guards), c) for m, c in form.items())


def contains(one: Atom, wanted: Atom) -> bool:
    """Whether an atom is, or has inside, another one."""

    def inside(part: Any) -> bool:
        match part:
            case Atom():
                return part is wanted or inside(part.parts)
            case Monomial():
                return any(inside(a) for a, _ in part.factors)
            case tuple():
                return any(inside(p) for p in part)
            case _:
                return False

    return inside(one)


def tensors_in(part: Any) -> frozenset[str]:
    """The names of the real and boolean tensors that are read anywhere inside."""
    match part:
        case Atom():
            return frozenset({part.parts[0]}) if part.kind in ("read", "bool") else tensors_in(part.parts)
        case Monomial():
            return frozenset[str]().union(*(tensors_in(one) for one, _ in part.factors))
        case tuple() | list():
            return frozenset[str]().union(*map(tensors_in, part))
        case _:
            return frozenset()


def can_stay_equal(part: Any) -> bool:
    """Whether an optimum or an opaque step stands anywhere inside."""
    match part:
        case Atom():
            stepping = part.kind == "fold" or (part.kind == "fn" and FUNCTIONS[part.parts[0]].jump is not None)
            return stepping or can_stay_equal(part.parts)
        case Monomial():
            return any(can_stay_equal(one) for one, _ in part.factors)
        case tuple():
            return any(can_stay_equal(p) for p in part)
        case _:
            return False


def may_collapse(form: Frozen, generic: frozenset[str]) -> bool:
    """Whether a form that varies with `generic` tensors may be 0 whatever their entries are: x[i] - x[j] at i = j.

    Where indices and sizes coincide reads become one, sums have one term and integers may vanish. So all reads of a
    tensor are taken for one, and what is left must have a part that no integer and no other tensor multiplies.
    Of reads alone (x[i] - x[i + 1]) only those are taken for one that may be.
    """
    if all(not m.binders and not m.guards and len(m.factors) == 1 for m, _ in form):
        reads = [(m.factors[0][0], c) for m, c in form if m.factors[0][1] == 1 and m.factors[0][0].kind == "read"]
        if len(reads) == len(form) and all(one.parts[0] in generic for one, _ in reads):
            return not any(map(sum, _may_be_one(reads)))
    groups: dict[Any, Number | None] = {}
    for monomial, coefficient in form:
        kept, others = [], bool(monomial.guards)
        for one, exponent in monomial.factors:
            mine = not tensors_in(one).isdisjoint(generic)
            attribute = one.kind == "read" and not one.parts[1]  # that it may be 0 is KINK's business
            others = others or not (mine or attribute or one.kind == "exp")
            kept += [(_collapsed(one), exponent)] if mine or attribute else []
        key = tuple(sorted(kept, key=str))
        known = groups.get(key, 0)
        groups[key] = None if others or known is None else known + coefficient
    return not any(groups.values())


def _may_be_one(reads: list[tuple[Atom, Number]]) -> list[list[Number]]:
    """The coefficients of reads that may be of one entry, directly or by way of others: no index differs for sure."""
    classes: list[list[tuple[Atom, Number]]] = []
    for read in reads:
        mine = [c for c in classes if any(_same_entry(read[0], other) for other, _ in c)]
        classes = [c for c in classes if c not in mine] + [[read, *(item for c in mine for item in c)]]
    return [[coefficient for _, coefficient in c] for c in classes]


def _same_entry(a: Atom, b: Atom) -> bool:
    pairs = zip(a.parts[1], b.parts[1], strict=False)
    return a.parts[0] == b.parts[0] and not any((p - q).constant for p, q in pairs)


def _collapsed(part: Any) -> Any:
    match part:
        case Atom(kind="read" | "bool"):
            return part.kind, part.parts[0]
        case Atom():
            return part.kind, _collapsed(part.parts)
        case Monomial():
            return _collapsed(part.factors)
        case tuple():
            return tuple(map(_collapsed, part))
        case Poly():
            return None
        case _:
            return part


def oriented_sign(sign: str, form: Frozen) -> Atom:
    """[form > 0] or [form < 0] with a monic form: p > 0 is -p < 0, and a positive factor changes nothing."""
    leading = form[0][1]
    if leading < 0:
        sign = "neg" if sign == "pos" else "pos"
    return atom(sign, tuple((m, number(Fraction(c) / leading)) for m, c in form))


def oriented(rel: str, poly: Poly) -> Poly:
    return -poly if rel == "==" and poly.terms and poly.terms[0][1] < 0 else poly


def signature(part: Any, kind: str, mapping: Mapping[str, Poly]) -> str:
    match part:
        case Poly():
            return str(part.substitute(mapping))
        case Atom():
            return part.kind + signature(part.parts, part.kind, mapping)
        case Monomial():
            inner = sorted(signature(f, "", mapping) for f in part.factors)
            where = sorted(signature(g, "", mapping) for g in part.guards)
            return f"<{len(part.binders)} {inner} {where}>"
        case tuple() | list():
            pieces = [signature(p, "", mapping) for p in part]
            if part and isinstance(part[0], tuple) and part[0] and isinstance(part[0][0], Monomial):
                pieces.sort()
            return kind + "(" + ",".join(pieces) + ")"
        case Sym(name):
            return str(mapping.get(name, name))
        case str() | int() | Fraction():
            return str(part)
        case _:
            return str(Poly.atom(part).substitute(mapping))
