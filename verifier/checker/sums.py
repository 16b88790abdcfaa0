"""Products of forms, and sums over indices: equations solved, conditions dropped, canonical names. [trusted]"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import count, permutations, product
from math import factorial, prod
from typing import Any

from . import terms as t
from .integers import Integers
from .monomials import (
    MOST,
    NONE,
    UNIT,
    Form,
    Mono,
    Number,
    accumulate,
    canonical_names,
    colour,
    constant,
    depth,
    is_size,
    is_sum,
    of_cond,
    plus,
    raised,
    scaled,
    text,
)
from .terms import FALSE, ONE, TRUE, ZERO, Node, Refused


class Sums(Integers):
    """What is done to forms that need no look at what their atoms are; `Normal` says that."""

    def __init__(self, lower: Mapping[str, int], ranges: Mapping[str, Node], known: Sequence[Node] = ()) -> None:
        super().__init__(lower, ranges, known)
        self.names = count()
        self.canon: dict[Mono, Form] = {}

    def form(self, term: Node) -> Form:
        """The form of a term."""
        raise NotImplementedError

    def power(self, form: Form, e: Number) -> Form:
        """A power of a form."""
        raise NotImplementedError

    def where(self, cond: Node) -> Form:
        """1 where the condition holds, else 0."""
        raise NotImplementedError

    # Products

    def product(self, forms: Iterable[Form]) -> Form:
        """The product of several forms."""
        out = constant(1)
        for form in forms:
            out = self.times(out, form)
        return out

    def times(self, a: Form, b: Form) -> Form:
        """The product of two forms."""
        if len(a) * len(b) > MOST:
            raise Refused("a product with too many monomials")
        t.spend(len(a) * len(b))
        out: Form = {}
        for m, c in a.items():
            for n, d in b.items():
                k = c * d
                t.small(k)
                accumulate(out, {n: 1} if m == UNIT else {m: 1} if n == UNIT else self._joined(m, n), k)
        return out

    def _joined(self, m: Mono, n: Mono) -> Form:
        if m[0] and n[0]:
            clash = {v for v, _ in m[0]} & {v for v, _ in n[0]}
            if clash:
                ((n, sign),) = self.renamed(n, {v: f"~{next(self.names)}" for v in sorted(clash)}).items()
                return scaled(self._joined(m, n), sign)
        return self.monomial(m[0] | n[0], m[1] | n[1], [*m[2], *n[2]])

    def monomial(self, binders: frozenset[Any], conds: frozenset[Node], factors: Iterable[tuple[Node, Number]]) -> Form:
        """The form of one monomial whose factors may have the same atom."""
        if any(c.tag == "lt" and t.make("lt", *reversed(c.args)) in conds for c in conds):
            return {}
        powers: dict[Node, Number] = {}
        scale: Number = 1
        expand: list[Form] = []
        for atom, e in factors:
            powers[atom] = powers.get(atom, 0) + e
        for atom, e in [*powers.items()]:
            if is_sum(atom) and e >= 1 and e == int(e):
                if e > MOST:
                    raise Refused("a product with too many factors")
                del powers[atom]
                expand += [self.form(atom)] * int(e)
            elif atom.tag == "num" and not 0 <= e < 1:
                whole = e // 1
                scale = scale * raised(atom.args[0], int(whole))
                powers[atom] = e - whole
            if e == 0 and is_size(atom):
                expand.append(self._nonzero(atom.args[0], dict(binders)))
        kept = frozenset((a, e) for a, e in powers.items() if e)
        if not expand:
            return scaled(self.settled(binders, conds, kept), scale)
        form: Form = {(NONE, conds, kept): scale}
        for more in expand:
            form = self.times(form, more)
        return self.under(binders, form)

    def under(self, binders: frozenset[Any], form: Form) -> Form:
        """The sum of a form over indices, all of it: a part by itself might not show that it depends on them."""
        names, out = {v for v, _ in binders}, dict[Mono, Number]()
        for mono, c in form.items():
            clash = sorted(names & {v for v, _ in mono[0]})
            apart = self.renamed(mono, {v: f"~{next(self.names)}" for v in clash}) if clash else {mono: 1}
            for (more, conds, factors), k in apart.items():
                accumulate(out, self.settled(more | binders, conds, factors), c * k)
        return out

    def _nonzero(self, p: Node, ranges: Mapping[str, Node]) -> Form:
        """[p != 0], which is what p * p^-1 is."""
        up, down = (t.plus(t.const(-1), p, k) for k in (1, -1))
        if self.surely(up, ranges):
            return constant(1)
        sides = (up,) if self.surely(p, ranges) else (up, down)
        return plus(*(of_cond(t.ge(side)) for side in sides))

    # Sums

    def settled(self, binders: frozenset[Any], conds: frozenset[Node], factors: frozenset[Any]) -> Form:
        """The form of a monomial of different atoms: equations solved, what says nothing left out."""
        ranges = dict(sorted(binders, key=lambda b: b[0]))
        facts = [c.args[0] for c in conds if c.tag == "ge"]
        new = [(self.whole(a, ranges, facts), e) for a, e in factors]
        if any(a is not b for (a, _), (b, _) in zip(new, factors, strict=True)):
            inside = self.product(self.power(self.form(a), e) for a, e in new)
            return self.under(binders, self.times({(NONE, conds, NONE): 1}, inside))
        if not binders and not conds:
            return {(binders, conds, factors): 1}
        for cond in conds:  # one at a time: what is made simpler by another must not make that one simpler
            known = [c.args[0] for c in conds if c.tag == "ge" and c is not cond]
            if (easier := self.whole(cond, ranges, known)) is not cond:
                return self.under(binders, self.times({(NONE, conds - {cond}, factors): 1}, self.where(easier)))
        value = self.solved(ranges, conds)
        if value is not None:
            var, p, cond = value
            left = t.ge(p), t.ge(t.minus(t.plus(ranges[var], t.const(-1)), p))
            return self.moved((binders - {(var, ranges[var])}, conds - {cond} | {*left}, factors), {var: p})
        kept = set(conds)
        for cond in conds:
            if cond is FALSE:
                return {}
            if cond.tag in ("ge", "eq"):
                p = cond.args[0]
                facts = [c.args[0] for c in kept if c.tag == "ge" and c is not cond]
                if self.surely(t.minus(t.const(-1), p), ranges, facts):
                    return {}
                if cond.tag == "ge" and self.surely(p, ranges, facts):
                    kept.discard(cond)
            elif cond is TRUE:
                kept.discard(cond)
        out: Form = {(binders, frozenset(kept), factors): 1}
        used = NONE.union(*(a.free for a, _ in factors), *(c.free for c in kept), *(e.free for e in ranges.values()))
        for var, extent in ranges.items():
            if t.value(extent) == 0:
                return {}
            # an index that has a place in its range shows nothing about that range where it is the one to go
            rest = {v: e for v, e in ranges.items() if e is not extent}
            if var not in used and self.surely(extent, rest):
                less = next(iter(out))[0] - {(var, extent)}
                out = {(less, m[1], m[2]): c for m, c in out.items()}
                return self.times(out, self.form(t.size(extent))) if less != binders else out
        return out

    def moved(self, mono: Mono, mapping: Mapping[str, Node]) -> Form:
        """A monomial with names replaced that it does not bind."""
        moved = frozenset((v, t.substitute(e, mapping)) for v, e in mono[0])
        return self.under(moved, self._inside(mono, mapping))

    def renamed(self, mono: Mono, names: Mapping[str, str]) -> Form:
        """A monomial with other names for its bound indices; no name that it has already."""
        mapping = {old: t.sym(new) for old, new in names.items()}
        moved = frozenset((names.get(v, v), t.substitute(e, mapping)) for v, e in mono[0])
        return {(b | moved, c, f): k for (b, c, f), k in self._inside(mono, mapping).items()}

    def _inside(self, mono: Mono, mapping: Mapping[str, Node]) -> Form:
        _, conds, factors = mono
        same = frozenset(f for f in factors if f[0].free.isdisjoint(mapping))
        stay = frozenset(c for c in conds if c.free.isdisjoint(mapping))
        out: Form = {(NONE, stay, same): 1}
        for cond in conds - stay:
            out = self.times(out, self.where(t.substitute(cond, mapping)))
        for atom, e in factors - same:
            out = self.times(out, self.power(self.form(t.substitute(atom, mapping)), e))
        return out

    # Names

    def canonical(self, form: Form) -> Form:
        """The form with equal sums added up, whatever their indices are called."""
        out: Form = {}
        for mono, c in form.items():
            if not mono[0]:
                accumulate(out, {mono: c})
                continue
            if mono not in self.canon:
                self.canon[mono] = self._canonical(mono)
            accumulate(out, self.canon[mono], c)
        return out

    def _canonical(self, mono: Mono) -> Form:
        binders, conds, factors = mono
        base = max((depth(n) for n in (*conds, *(a for a, _ in factors))), default=0)
        groups: dict[str, list[str]] = {}
        for var, extent in sorted(binders, key=lambda b: b[0]):
            groups.setdefault(colour(mono, var, extent) if len(binders) > 1 else "", []).append(var)
        if prod(factorial(len(group)) for group in groups.values()) > 120:
            raise Refused("too many indices that look alike")
        orders = [sum(order, ()) for order in product(*(permutations(groups[g]) for g in sorted(groups)))]
        free = NONE.union(*(n.free for n in (*conds, *(a for a, _ in factors), *(e for _, e in binders))))
        fresh = canonical_names(base, free - {v for v, _ in binders})
        names = [next(fresh) for _ in binders]
        found = [self.renamed(mono, dict(zip(order, names, strict=True))) for order in orders]
        return found[0] if len(found) == 1 else min(found, key=lambda f: [(text(m).key, c) for m, c in f.items()])

    # From forms to terms

    def term(self, form: Form) -> Node:
        """The term that a form is: the same for equal forms."""
        parts = [(text(m), c) for m, c in self.ordered(form)]
        terms = [n if c == 1 else t.make("mul", t.num(c), n) if n is not ONE else t.num(c) for n, c in parts]
        return ZERO if not terms else terms[0] if len(terms) == 1 else t.make("add", *terms)

    def ordered(self, form: Form) -> list[tuple[Mono, Number]]:
        """The monomials, under canonical names, in the order of their texts."""
        form = self.canonical(form)
        return sorted(form.items(), key=lambda f: text(f[0]).key) if len(form) > 1 else list(form.items())
