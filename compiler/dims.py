"""Integer polynomials over sizes and indices: the shapes of tensors and the positions that are read in them. [trusted]

A `Poly` is the only integer expression of the compiler: a tensor's extent, an attribute, an index inside a read.
It is kept in a canonical form, so two polynomials that are equal as polynomials are equal as Python objects;
`//`, `%`, `min`, `max` and reads of integer tensors are opaque atoms inside it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TypeAlias

IntReader: TypeAlias = Callable[[str, tuple[int, ...]], int]


@dataclass(frozen=True, slots=True)
class Sym:
    """A named integer: a size (`n`), a pack's size (`S..`), an integer attribute, or a bound index."""

    name: str

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class FloorDiv:
    """`num // den`, rounded towards minus infinity; undefined where den = 0."""

    num: Poly
    den: Poly

    def __str__(self) -> str:
        return f"({self.num}) // {_wrap(self.den)}"


@dataclass(frozen=True, slots=True)
class Mod:
    """`num % den`, with the sign of den; undefined where den = 0."""

    num: Poly
    den: Poly

    def __str__(self) -> str:
        return f"({self.num}) % {_wrap(self.den)}"


@dataclass(frozen=True, slots=True)
class Min:
    """The smaller of two integers."""

    a: Poly
    b: Poly

    def __str__(self) -> str:
        return f"min({self.a}, {self.b})"


@dataclass(frozen=True, slots=True)
class Max:
    """The larger of two integers."""

    a: Poly
    b: Poly

    def __str__(self) -> str:
        return f"max({self.a}, {self.b})"


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of an integer tensor, used as an index: `label[b]`."""

    tensor: str
    index: tuple[Poly, ...]

    def __str__(self) -> str:
        return f"{self.tensor}[{', '.join(map(str, self.index))}]" if self.index else self.tensor


Atom: TypeAlias = Sym | FloorDiv | Mod | Min | Max | Entry
Monomial: TypeAlias = tuple[tuple[Atom, int], ...]


def _atom_key(atom: Atom) -> tuple[str, str]:
    return (type(atom).__name__, str(atom))


@lru_cache(maxsize=1 << 16)
def _monomial_key(monomial: Monomial) -> tuple[int, tuple[tuple[tuple[str, str], int], ...]]:
    return (-sum(exponent for _, exponent in monomial), tuple((_atom_key(atom), e) for atom, e in monomial))


class Poly:
    """An integer polynomial in canonical form; hashable, comparable, immutable.

    >>> n, i = Poly.sym("n"), Poly.sym("i")
    >>> str((n + 1) * (n - 1)), (n + 1) * (n - 1) == n * n - 1
    ('n*n - 1', True)
    >>> str((n + 2) // 2), (2 * n) // 2 == n, Poly.of(7) // 2 == Poly.of(3)
    ('(n + 2) // 2', True, True)
    """

    __slots__ = ("__dict__", "terms")
    terms: tuple[tuple[Monomial, int], ...]

    def __init__(self, terms: Mapping[Monomial, int]) -> None:
        kept = [(m, c) for m, c in terms.items() if c != 0]
        if len(kept) > 1:
            kept.sort(key=lambda item: _monomial_key(item[0]))
        self.terms = tuple(kept)

    @staticmethod
    def of(value: int | Poly) -> Poly:
        """The constant polynomial `value`; a Poly is returned as it is."""
        return value if isinstance(value, Poly) else Poly({(): value})

    @staticmethod
    def sym(name: str) -> Poly:
        """The polynomial that is the symbol `name`."""
        return Poly.atom(Sym(name))

    @staticmethod
    def atom(atom: Atom) -> Poly:
        """The polynomial that is one atom."""
        return Poly({((atom, 1),): 1})

    @staticmethod
    def product(factors: Iterable[Poly]) -> Poly:
        """The product of the factors; 1 where there are none (the size of a scalar)."""
        result = Poly.of(1)
        for factor in factors:
            result = result * factor
        return result

    @cached_property
    def _hash(self) -> int:
        return hash(self.terms)

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        if isinstance(other, int):
            other = Poly.of(other)
        return isinstance(other, Poly) and (self is other or self.terms == other.terms)

    def __add__(self, other: Poly | int) -> Poly:
        other = Poly.of(other)
        out = dict(self.terms)
        for monomial, coefficient in other.terms:
            out[monomial] = out.get(monomial, 0) + coefficient
        return Poly(out)

    __radd__ = __add__

    def __neg__(self) -> Poly:
        return Poly({m: -c for m, c in self.terms})

    def __sub__(self, other: Poly | int) -> Poly:
        return self + -Poly.of(other)

    def __rsub__(self, other: int) -> Poly:
        return Poly.of(other) - self

    def __mul__(self, other: Poly | int) -> Poly:
        other = Poly.of(other)
        out: dict[Monomial, int] = {}
        for m1, c1 in self.terms:
            for m2, c2 in other.terms:
                merged = _merge(m1, m2)
                out[merged] = out.get(merged, 0) + c1 * c2
        return Poly(out)

    __rmul__ = __mul__

    def __floordiv__(self, other: Poly | int) -> Poly:
        other = Poly.of(other)
        a, b = self.constant, other.constant
        if b is not None and b > 0:
            if a is not None:
                return Poly.of(a // b)
            if all(c % b == 0 for _, c in self.terms):
                return Poly({m: c // b for m, c in self.terms})
        return Poly.atom(FloorDiv(self, other))

    def __mod__(self, other: Poly | int) -> Poly:
        other = Poly.of(other)
        a, b = self.constant, other.constant
        if b is not None and b > 0:
            if a is not None:
                return Poly.of(a % b)
            if all(c % b == 0 for _, c in self.terms):
                return Poly.of(0)
        return Poly.atom(Mod(self, other))

    def divide(self, den: Poly) -> tuple[Poly, Poly]:
        """(q, r) with self = q * den + r as polynomials, whatever den is; r has no term that den's first one divides.

        >>> n, k, b = map(Poly.sym, ("n", "k", "b"))
        >>> [str(p) for p in (n * k + k + b).divide(k)]
        ['n + 1', 'b']
        """
        whole, rest = Poly.of(0), self
        lead, factor = den.terms[0] if den.terms else ((), 0)
        for _ in range(len(self.terms) + 8 if factor else 0):
            step = rest._multiple(lead, factor, exact=len(den.terms) > 1 or factor < 0)
            if step is None:
                break
            whole, rest = whole + step, rest - step * den
        return whole, rest

    def _multiple(self, lead: Monomial, factor: int, exact: bool) -> Poly | None:
        """What the first term that `factor * lead` divides is a multiple of it by (rounded down, unless `exact`)."""
        for monomial, coefficient in self.terms:
            powers = dict(monomial)
            if any(powers.get(atom, 0) < exponent for atom, exponent in lead):
                continue
            if coefficient // factor == 0 or (exact and coefficient % factor):
                continue
            for atom, exponent in lead:
                powers[atom] -= exponent
            return Poly({tuple((atom, e) for atom, e in powers.items() if e): coefficient // factor})
        return None

    def over(self, den: Poly) -> Poly | None:
        """q with self = q * den as polynomials, where there is one."""
        whole, rest = self.divide(den)
        return whole if den.terms and not rest.terms else None

    def minimum(self, other: Poly | int) -> Poly:
        """min(self, other)."""
        difference = (self - Poly.of(other)).constant
        if difference is not None:
            return self if difference <= 0 else Poly.of(other)
        return Poly.atom(Min(self, Poly.of(other)))

    def maximum(self, other: Poly | int) -> Poly:
        """max(self, other)."""
        difference = (self - Poly.of(other)).constant
        if difference is not None:
            return self if difference >= 0 else Poly.of(other)
        return Poly.atom(Max(self, Poly.of(other)))

    @cached_property
    def constant(self) -> int | None:
        """The value, where the polynomial is a constant; otherwise None."""
        if not self.terms:
            return 0
        if len(self.terms) == 1 and self.terms[0][0] == ():
            return self.terms[0][1]
        return None

    @cached_property
    def as_symbol(self) -> str | None:
        """The name, where the polynomial is one bare symbol; otherwise None."""
        if len(self.terms) == 1 and self.terms[0][1] == 1 and len(self.terms[0][0]) == 1:
            atom, exponent = self.terms[0][0][0]
            if exponent == 1 and isinstance(atom, Sym):
                return atom.name
        return None

    @cached_property
    def atoms(self) -> frozenset[Atom]:
        """The atoms of the polynomial itself (not those inside other atoms)."""
        return frozenset(atom for monomial, _ in self.terms for atom, _ in monomial)

    @cached_property
    def symbols(self) -> frozenset[str]:
        """Every symbol's name, also inside `//`, `%`, `min`, `max` and integer reads."""
        names: set[str] = set()
        for atom in self.atoms:
            match atom:
                case Sym(name):
                    names.add(name)
                case FloorDiv(a, b) | Mod(a, b) | Min(a, b) | Max(a, b):
                    names |= a.symbols | b.symbols
                case Entry(_, index):
                    for position in index:
                        names |= position.symbols
        return frozenset(names)

    def entries(self) -> Iterator[Entry]:
        """Every read of an integer tensor inside, outermost first."""
        for atom in self.atoms:
            match atom:
                case FloorDiv(a, b) | Mod(a, b) | Min(a, b) | Max(a, b):
                    yield from a.entries()
                    yield from b.entries()
                case Entry(_, index):
                    yield atom
                    for position in index:
                        yield from position.entries()
                case _:
                    pass

    def linear_in(self, name: str) -> tuple[Poly, Poly] | None:
        """(a, b) with self = a * name + b and `name` in neither; None where that is not its form."""
        a: dict[Monomial, int] = {}
        b: dict[Monomial, int] = {}
        for monomial, coefficient in self.terms:
            degree = 0
            for atom, exponent in monomial:
                if isinstance(atom, Sym):
                    degree = exponent if atom.name == name else degree
                elif name in Poly.atom(atom).symbols:
                    return None
            if degree > 1:
                return None
            rest = tuple(f for f in monomial if f[0] != Sym(name)) if degree else monomial
            (a if degree else b)[rest] = coefficient
        return Poly(a), Poly(b)

    def substitute(self, mapping: Mapping[str, Poly]) -> Poly:
        """Replace symbols by polynomials, also inside atoms (simultaneously)."""
        if not mapping or not (self.symbols & mapping.keys()):
            return self
        return self.rebuilt(lambda atom: _substitute_atom(atom, mapping))

    def substitute_atom(self, atom: Atom, value: Poly) -> Poly:
        """Replace an atom of the polynomial itself (not inside other atoms) by a polynomial."""
        return self.rebuilt(lambda one: value if one == atom else Poly.atom(one)) if atom in self.atoms else self

    def rename_entries(self, change: Callable[[Entry], Poly]) -> Poly:
        """Replace each read of an integer tensor; the indices inside are changed first."""

        def one(atom: Atom) -> Poly:
            match atom:
                case FloorDiv(a, b):
                    return a.rename_entries(change) // b.rename_entries(change)
                case Mod(a, b):
                    return a.rename_entries(change) % b.rename_entries(change)
                case Min(a, b):
                    return a.rename_entries(change).minimum(b.rename_entries(change))
                case Max(a, b):
                    return a.rename_entries(change).maximum(b.rename_entries(change))
                case Entry(tensor, index):
                    return change(Entry(tensor, tuple(p.rename_entries(change) for p in index)))
                case Sym():
                    return Poly.atom(atom)

        return self.rebuilt(one)

    def rebuilt(self, one: Callable[[Atom], Poly]) -> Poly:
        """The polynomial with each atom replaced by a polynomial."""
        out = Poly.of(0)
        for monomial, coefficient in self.terms:
            product = Poly.of(coefficient)
            for atom, exponent in monomial:
                value = one(atom)
                for _ in range(exponent):
                    product = product * value
            out = out + product
        return out

    def evaluate(self, env: Mapping[str, int], read: IntReader | None = None) -> int:
        """The integer value under `env`; KeyError for a missing symbol, ZeroDivisionError for `// 0`."""
        total = 0
        for monomial, coefficient in self.terms:
            value = coefficient
            for atom, exponent in monomial:
                value *= _evaluate_atom(atom, env, read) ** exponent
            total += value
        return total

    def __str__(self) -> str:
        if not self.terms:
            return "0"
        pieces: list[str] = []
        for monomial, coefficient in self.terms:
            factors = [text for atom, e in monomial for text in [_factor(atom, len(monomial) > 1 or e > 1)] * e]
            sign, size = ("-" if coefficient < 0 else "+"), abs(coefficient)
            if size != 1 or not factors:
                factors = [str(size), *[_factor(atom, True) for atom, e in monomial for _ in range(e)]]
            body = "*".join(factors)
            pieces.append(f" {sign} {body}" if pieces else (f"-{body}" if sign == "-" else body))
        return "".join(pieces)

    def __repr__(self) -> str:
        return f"Poly({self})"


def _factor(atom: Atom, in_product: bool) -> str:
    return f"({atom})" if in_product and isinstance(atom, FloorDiv | Mod) else str(atom)


def _wrap(poly: Poly) -> str:
    return str(poly) if poly.constant is not None or poly.as_symbol is not None else f"({poly})"


def _merge(m1: Monomial, m2: Monomial) -> Monomial:
    if not m1:
        return m2
    if not m2:
        return m1
    powers: dict[Atom, int] = dict(m1)
    for atom, exponent in m2:
        powers[atom] = powers.get(atom, 0) + exponent
    return tuple(sorted(powers.items(), key=lambda item: _atom_key(item[0])))


def _substitute_atom(atom: Atom, mapping: Mapping[str, Poly]) -> Poly:
    match atom:
        case Sym(name):
            return mapping.get(name, Poly.atom(atom))
        case FloorDiv(a, b):
            return a.substitute(mapping) // b.substitute(mapping)
        case Mod(a, b):
            return a.substitute(mapping) % b.substitute(mapping)
        case Min(a, b):
            return a.substitute(mapping).minimum(b.substitute(mapping))
        case Max(a, b):
            return a.substitute(mapping).maximum(b.substitute(mapping))
        case Entry(tensor, index):
            return Poly.atom(Entry(tensor, tuple(p.substitute(mapping) for p in index)))


def _evaluate_atom(atom: Atom, env: Mapping[str, int], read: IntReader | None) -> int:
    match atom:
        case Sym(name):
            return env[name]
        case FloorDiv(a, b):
            return a.evaluate(env, read) // b.evaluate(env, read)
        case Mod(a, b):
            return a.evaluate(env, read) % b.evaluate(env, read)
        case Min(a, b):
            return min(a.evaluate(env, read), b.evaluate(env, read))
        case Max(a, b):
            return max(a.evaluate(env, read), b.evaluate(env, read))
        case Entry(tensor, index):
            if read is None:
                raise KeyError(tensor)
            return read(tensor, tuple(p.evaluate(env, read) for p in index))
