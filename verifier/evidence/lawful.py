"""Laws of externs: the weights by which they are added so that what they speak of falls away. Nothing here is trusted.

The laws that determine the result, differentiated, are weighted by the adjoints that the stanza declares. From then on
a law replaces its left side by its right one: a monomial that has the left side's product is taken away by that law,
weighted by all the rest of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction
from functools import reduce
from itertools import combinations, product

from gradproof.verifier.checker import terms as t
from gradproof.verifier.checker.monomials import NONE, Mono, Number
from gradproof.verifier.checker.rules import Law
from gradproof.verifier.checker.terms import Node
from gradproof.verifier.evidence.finding import Trial

ROUNDS = 400
Places = dict[str, Node]


class Lawful(Trial):
    """Strategies by laws."""

    def laws(self) -> None:
        """Add the differentiated laws by their adjoints, then put in what laws say."""
        if not self.claim.laws:
            return
        weighted = self._adjoints() if not self.steps else set()
        found = [(k, self._lead(law)) for k, law in enumerate(self.claim.laws) if k not in weighted]
        self.leads = [(k, *lead) for k, lead in found if lead is not None and not lead[0][1]]
        self.supports = [(k, *lead) for k, lead in found if lead is not None and lead[0][1]]
        for _ in range(ROUNDS):
            if not any(self._support(m) or any(self._applied(m, *one) for one in self.leads) for m in self.monomials()):
                break

    def _adjoints(self) -> set[int]:
        """Add the differentiated laws that have adjoints; their numbers."""
        found = set[int]()
        side = -1 if any(n.tag == "read" and n.args[0] == "dy" for n in t.walk(self.claim.left)) else 1
        for k, (base, _) in enumerate(zip(self.claim.laws, self.claim.laws[1:], strict=False), 1):
            for left, right, *adjoint in self.op.laws:
                sides = zip((left, right), (base.left, base.right), strict=True)
                if self.proof.left and adjoint and all(self.op.unfolded(one.body) is own for one, own in sides):
                    mono, c = self.proof.monomials()[0]
                    weight = t.mul(t.num(side / Fraction(c)), self.op.unfolded(adjoint[0].body))
                    if self.try_("law", mono, k, self.sharing.ref(weight)):
                        found.add(k)
        return found

    def _support(self, mono: Mono) -> bool:
        """Settle a condition by where tensors have entries: t[i, j] is 0 but for facts f >= 0.

        Of sums F of facts and a condition C: C is left out where F >= 0 implies it, or but for F = 0; where F >= 0
        excludes C, or leaves F = 0, the sum is split by the facts, and what they exclude is 0 by the law.
        """
        if any(self._applied(mono, *one) for one in self.supports):
            return True
        conds = [c for c in self.proof._integers(mono) if c.tag == "ge"]
        facts = dict[Node, None]()
        for number, lead, _ in self.supports:
            for places, _ in _matches(lead, mono, {v for v, _ in self.claim.laws[number].ranges}):
                fact = t.negate(t.substitute(next(iter(lead[1])), places))
                facts |= {fact: None} if fact.tag == "ge" else {}
        several = [(some, _total(some)) for k in (1, 2, 3) for some in combinations(facts, k)]
        for p, (some, total) in product([*(c.args[0] for c in conds), t.const(0)], several):
            under = t.value(t.plus(p, total))
            if under is not None and under <= 0:
                missing = [f for f in some if f not in conds]
                if missing:
                    return self.try_("split", mono, self.sharing.ref(missing[0]))
                if under < 0:
                    return self.try_("empty", mono)
                return any(self.try_("have", mono, self.sharing.ref(t.eq(f.args[0]))) for f in some)
        for cond, (_, total) in product(conds, several):
            over = t.value(t.minus(cond.args[0], total))
            if over is not None and over >= -1:
                return self.try_("split", mono, self.sharing.ref(cond))
        return False

    def _lead(self, law: Law) -> tuple[Mono, Fraction] | None:
        """The product that a law replaces, and how many times."""
        form = self.work.canonical(self.work.form(law.left))
        ((mono, c), *more) = form.items() if form else [((NONE, NONE, NONE), 0)]
        reads = [a for a, e in mono[2] if a.tag == "read" and e > 0 and e == int(e)]
        return None if more or not reads or len(reads) < len(mono[2]) else (mono, Fraction(c))

    def _applied(self, mono: Mono, number: int, lead: Mono, times: Fraction) -> bool:
        law = self.claim.laws[number]
        indices = [v for v, _ in law.ranges]
        for places, rest in _matches(lead, mono, {*indices, *(v for v, _ in lead[0])}):
            bound = self._bound(places, lead, mono, rest)
            if bound is None or not places.keys() >= {*indices}:
                continue
            wanted = [t.substitute(c, places) for c in lead[1]]
            if not mono[1].issuperset(wanted) or any(e != int(e) or e < 0 for e in rest.values()):
                continue
            guard = [*(c for c in mono[1] if c not in wanted), *(t.eq(t.minus(t.sym(v), places[v])) for v in indices)]
            factors = [a if e == 1 else t.make("pow", a, int(e)) for a, e in rest.items() if e]
            weight = t.select(t.both(*sorted(guard, key=lambda c: c.key)), t.mul(t.num(-1 / times), *factors), t.ZERO)
            for v, extent in sorted(mono[0]):
                if v not in bound:
                    weight = t.reduce("sum", v, extent, t.TRUE, weight)
            if self.try_("law", mono, number, self.sharing.ref(weight)):
                return True
        return False

    def _bound(self, places: Places, lead: Mono, mono: Mono, rest: Mapping[Node, Number]) -> set[str] | None:
        """The indices of a monomial that are the law's own; None where they are used elsewhere."""
        ranges = dict(mono[0])
        names = {v: next(iter(places[v].free), "") for v, _ in lead[0]}
        own = {*names.values()}
        wanted = {t.substitute(c, places) for c in lead[1]}
        outside = [*rest, *(c for c in mono[1] if c not in wanted), *(e for v, e in ranges.items() if v not in own)]
        outside += [p for v, p in places.items() if v not in names]
        fits = all(places[v] is t.sym(names[v]) and ranges.get(names[v]) is e for v, e in lead[0])
        apart = all(node.free.isdisjoint(own) for node in outside if not isinstance(node, Node) or rest.get(node, 1))
        return own if fits and apart and len(own) == len(names) else None


def _matches(lead: Mono, mono: Mono, names: set[str]) -> Iterator[tuple[Places, dict[Node, Number]]]:
    """What stands for a law's names where its product is part of a monomial's, and the powers that are left."""
    wanted = sorted((a for a, e in lead[2] for _ in range(int(e))), key=lambda a: a.key)

    def extend(k: int, places: Places, rest: dict[Node, Number]) -> Iterator[tuple[Places, dict[Node, Number]]]:
        if k == len(wanted):
            yield places, rest
            return
        for atom in sorted(rest, key=lambda a: a.key):
            if atom.tag == "read" and atom.args[0] == wanted[k].args[0] and rest[atom] >= 1:
                found = _unified(wanted[k], atom, places, names)
                if found is not None:
                    yield from extend(k + 1, found, {**rest, atom: rest[atom] - 1})

    yield from extend(0, {}, dict(mono[2]))


def _total(facts: Iterable[Node]) -> Node:
    return reduce(t.plus, (f.args[0] for f in facts), t.const(0))


def _unified(pattern: Node, atom: Node, places: Places, names: set[str]) -> Places | None:
    found = dict(places)
    if len(pattern.args) != len(atom.args):
        return None
    for p, q in zip(pattern.args[1:], atom.args[1:], strict=True):
        name = next(iter(p.free), "")
        if p is not t.sym(name) or name not in names:
            if p is not q:
                return None
        elif found.setdefault(name, q) is not q:
            return None
    return found
