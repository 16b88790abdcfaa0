"""What is known of integers while a proof runs: lower bounds of sizes, ranges of indices, linear facts. [trusted]"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from gradproof.compiler.dims import Entry, FloorDiv, Max, Min, Mod, Poly, Sym
from gradproof.compiler.rewriting import polys, substitute_cond, walk
from gradproof.compiler.terms import TRUE, And, Cond, IntCmp, Not, Or, in_range, int_ge


@dataclass(frozen=True)
class Context:
    """`lower`: symbol -> a bound it is not below (an absent symbol may be negative); `ranges`: index -> extent.

    `facts` are conditions that hold (the requirements of an operator, the assumptions on dims).
    """

    lower: Mapping[str, int]
    ranges: Mapping[str, Poly]
    facts: tuple[Cond, ...] = ()
    _known: dict[Poly, bool] = field(default_factory=dict, init=False, compare=False, repr=False)

    def with_ranges(self, more: Mapping[str, Poly]) -> Context:
        """This context inside binders (an index that exists is below its extent)."""
        return Context(self.lower, {**self.ranges, **more}, self.facts) if more else self

    def with_facts(self, more: Iterable[Cond]) -> Context:
        """This context where more conditions hold, at the indices that they name.

        A guard `0 <= idx[i]` says nothing of `idx[j]`: what reads entries goes by a form that `entry_facts` passes
        over.
        """
        here = (And((cond,)) if entries_in(cond) else cond for cond in more)
        return Context(self.lower, self.ranges, (*self.facts, *here))

    def nonnegative(self, poly: Poly, extra: Iterable[Poly] = ()) -> bool:
        """Whether poly >= 0 for sure; False means only that this quick test can't say.

        Each index is moved to the end of its range that makes the polynomial smallest; then every size is written as
        its lower bound plus something non-negative, and all coefficients must be non-negative. One known fact
        (p >= 0, so that poly - p >= 0 suffices) may be used besides; one is that an index has a place in its range.
        """
        also = tuple(extra)
        if also:
            return self._nonnegative(poly, also, 3)
        found = self._known.get(poly)
        if found is None:
            found = self._known[poly] = self._nonnegative(poly, (), 3)
        return found

    def positive(self, poly: Poly) -> bool:
        """Whether poly >= 1 for sure: a size that may be 0 is not, where a range that it divides has an index."""
        if self.nonnegative(poly - 1):
            return True
        return self.nonnegative(poly) and any(extent.over(poly) is not None for extent in self.ranges.values())

    def _nonnegative(self, poly: Poly, extra: tuple[Poly, ...], depth: int) -> bool:
        if self._at_least_zero(poly):
            return True
        known = [*extra, *self._linear_facts(), *(e - 1 for e in self.ranges.values() if e.constant is None)]
        entries = entry_facts(self.facts, frozenset(poly.entries()))
        about = [fact.poly for fact in entries if isinstance(fact, IntCmp)]
        low = self._negative(poly)
        about += [fact for fact in known if not low.isdisjoint(_negative(fact))]
        if any(self._at_least_zero(poly - fact) for fact in about):
            return True
        for one in dict.fromkeys((poly, self._least(poly))) if depth else ():
            quotients = [atom for atom in one.atoms if isinstance(atom, FloorDiv)]
            if any(self._nonnegative(p, extra, depth - 1) for q in quotients for p in self._without(one, q)):
                return True
        return False

    def _without(self, poly: Poly, atom: FloorDiv) -> list[Poly]:
        """An integer that poly is >= 0 with, and that has no q = num // den: den*q lies in (num - den, num].

        Of rest + c*q, for c = 1 or -1 the two are >= 0 together: q >= -rest is num >= -rest*den.
        """
        linear = poly.substitute_atom(atom, Poly.sym("//")).linear_in("//")
        if linear is None or not self.positive(atom.den):
            return []
        (slope, rest), (num, den) = linear, (atom.num, atom.den)
        if slope == 1:
            return [num + rest * den]
        if slope == -1:
            return [rest * den + den - 1 - num]
        up = self.nonnegative(slope)
        if not up and not self.nonnegative(-slope):
            return []
        end = num - den + 1 if up else num
        whole = slope.over(den)
        found = [rest + whole * end if whole is not None else rest * den + slope * end]
        # num <= q*den + r with r < 0 gives num // den <= q - 1: blocks of a range that they fill.
        blocks, left = self._least(-num).divide(den)
        if not up and self._size_at_least_zero(left - 1):
            found.append(rest - slope * (blocks + 1))
        return found

    def inhabited(self, name: str, extent: Poly, guard: Cond) -> bool:
        """Whether some index below the extent meets the guard for sure: its ends and the indices around are tried.

        `name` is the index in the guard; this context is the one around it, so that it is not among the ranges here.
        """
        conds = () if guard == TRUE else _parts(guard)
        bounds = [cond.poly for cond in conds if isinstance(cond, IntCmp)]
        if name in self.ranges or len(bounds) != len(conds):
            return False
        ends = [Poly.of(0), extent - 1, *map(Poly.sym, self.ranges), *map(Poly.sym, self.lower)]
        for linear in (poly.linear_in(name) for poly in bounds):
            if linear is not None and linear[0].constant in (1, -1):
                end = -linear[1] * int(linear[0].constant or 1)
                ends += [end, *(end + Poly.sym(name) for name in self.lower)]
        for end in ends:
            there = (*(substitute_cond(c, {name: end}) for c in conds), *_parts(in_range(end, extent)))
            if all(map(self._holds, there)):
                return True
        return False

    def _holds(self, cond: Cond) -> bool:
        match cond:
            case IntCmp(rel, poly):
                return self.nonnegative(poly) and (rel == ">=" or self.nonnegative(-poly))
            case _:
                return cond == TRUE

    def known(self, *goals: Cond) -> list[Cond]:
        """Everything known, as hypotheses for the solver; facts about entries at the entries that the goals read."""
        out: list[Cond] = [int_ge(Poly.sym(name), low) for name, low in self.lower.items()]
        out += [in_range(Poly.sym(name), extent) for name, extent in self.ranges.items()]
        plain = [fact for fact in self.facts if not entries_in(fact)]
        return [*out, *plain, *entry_facts(self.facts, entries_in(*goals))]

    def _linear_facts(self) -> list[Poly]:
        flat: list[Cond] = []
        for fact in self.facts:
            flat += fact.args if isinstance(fact, And) else (fact,)
        out: list[Poly] = []
        for fact in flat:
            if isinstance(fact, IntCmp):
                out.append(fact.poly)
                if fact.rel == "==":
                    out.append(-fact.poly)
        return out

    def _negative(self, poly: Poly) -> frozenset[str]:
        """What makes a polynomial small, the ends of the ranges included: a fact that is to help has it too."""
        names = _negative(poly)
        ends = (_negative(1 - extent) for name, extent in self.ranges.items() if name in names)
        return names.union(*ends)

    def _at_least_zero(self, poly: Poly) -> bool:
        return self._size_at_least_zero(self._least(poly))

    def _least(self, poly: Poly) -> Poly:
        """A polynomial that poly is not below: indices are moved to the ends of their ranges."""
        for name, extent in reversed(list(self.ranges.items())):
            if name not in poly.symbols:
                continue
            linear = poly.linear_in(name)
            if linear is None:
                continue
            slope, rest = linear
            if self._size_at_least_zero(slope):
                poly = rest
            elif self._size_at_least_zero(-slope):
                poly = rest + slope * (extent - 1)
        return poly

    def _size_at_least_zero(self, poly: Poly) -> bool:
        above = {s: Poly.sym(s) + k for s in poly.symbols if (k := self.lower.get(s))}
        return self._shifted(poly.substitute(above) if above else poly)

    def _shifted(self, poly: Poly) -> bool:
        """Whether a polynomial in what sizes exceed their lower bounds by, also inside its atoms, is >= 0."""
        return all(
            coefficient >= 0 and all(self._atom_at_least_zero(atom) for atom, _ in monomial)
            for monomial, coefficient in poly.terms
        )

    def _atom_at_least_zero(self, atom: object) -> bool:
        match atom:
            case Sym(name):
                return name in self.lower or name in self.ranges
            case FloorDiv(num, den):
                return self._shifted(num) and self._shifted(den - 1)
            case Mod(_, den):
                return self._shifted(den - 1)
            case Min(a, b):
                return self._shifted(a) and self._shifted(b)
            case Max(a, b):
                return self._shifted(a) or self._shifted(b)
            case _:
                return False


def _negative(poly: Poly) -> frozenset[str]:
    """The symbols of the terms with a minus; "" for a constant."""
    names = [Poly({m: 1}).symbols or {""} for m, c in poly.terms if c < 0]
    return frozenset[str]().union(*names)


def _parts(cond: Cond) -> tuple[Cond, ...]:
    return cond.args if isinstance(cond, And) else (cond,)


def entry_facts(conds: tuple[Cond, ...], wanted: frozenset[Entry]) -> list[Cond]:
    """The facts about entries of integer tensors, at the entries that a goal mentions.

    A fact whose reads have bare indices (`0 <= idx[k]`) holds for all of them, so it may be instantiated anywhere in
    range; that the goal's reads are in range is SHAPE's claim.
    """
    out: list[Cond] = []
    for cond in conds:
        if not isinstance(cond, IntCmp) and not (isinstance(cond, Or | Not) and integers_only(cond)):
            continue
        reads = entries_in(cond)
        if len(reads) != 1:
            continue
        (pattern,) = reads
        names = [p.as_symbol for p in pattern.index]
        if None in names or len(set(names)) != len(names):
            continue
        for entry in wanted:
            if entry.tensor == pattern.tensor and len(entry.index) == len(names):
                mapping = {n: p for n, p in zip(names, entry.index, strict=True) if n is not None}
                out.append(substitute_cond(cond, mapping))
    return out


def integers_only(cond: Cond) -> bool:
    """Whether a condition is made of comparisons of integers with `and`, `or` and `not`."""
    match cond:
        case IntCmp():
            return True
        case And(args) | Or(args):
            return all(map(integers_only, args))
        case Not(arg):
            return integers_only(arg)
        case _:
            return False


def entries_in(*conds: Cond) -> frozenset[Entry]:
    """Every read of an integer tensor in conditions."""
    return frozenset(e for cond in conds for node in walk(cond) for p in polys(node) for e in p.entries())
