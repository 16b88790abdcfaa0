"""KINK of operators with conditions on entries: the rule at a tie is a mixture of both sides. [trusted]

With every kinked function written out, a formula and the rule that runs (the jvp) compare terms p with 0. Each such p
is linear, with a coefficient that is constant and not 0, in an entry that no other summand with ties reads elsewhere,
and stands under sums whose indices it has for axes: so each choice of indices has an entry of its own. Ties that can
hold at once are told apart by tensors: one after the other has such an entry that no other reads. So the ties are
planes that cross transversally, and next to a point on some of them there are points on each combination of their
sides. There the rule is the derivative (JVP); everything is smooth up to the tie, since what the formula, its
derivative and the rule need holds everywhere, with room. It is shown, of each p, at p = 0, whatever the others say:

- the formula's summands with p > 0, p = 0 and p < 0 are equal: the formula is continuous;
- the rule's at p = 0 is a mixture of those with p > 0 and p < 0 (the same for all, the rule being linear in them), or
  all three are equal.

So at a tie of several the rule is a convex combination of limits of gradients: a Clarke subgradient of each entry.

Of a tie outside of sums p may be any a - b (`whole`), if no other that can hold at once reads a tensor that p reads.
Then the summands are equal with a put for b as if b were an unknown: they differ by p h, with h continuous. Where
p' = 0, too, both have one derivative, and the formula is strictly differentiable; elsewhere p crosses. That the rule is
the derivative on either side is shown here, whatever p is: there may be no points away from p = 0.

Where a `jump at` covers the tie, and p reads one entry only, the formula may jump there. Then the rule is still such a
mixture, or the formula is known to jump; and along all other entries it is the derivative at p = 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from functools import partial
from itertools import permutations
from typing import Any, NamedTuple

from . import terms as t
from .calculus import STEPS, simpler
from .linear import Hints
from .monomials import NONE, Form, scaled
from .operators import Op
from .scopes import REAL
from .smooth import Formula, Ranges, put
from .terms import FALSE, TRUE, ZERO, Node, Refused

WEIGHTS = (Fraction(0), Fraction(1), Fraction(1, 2))


class Unit(NamedTuple):
    """A summand with ties: the sums' indices, the summand, and whether the whole is linear in it."""

    ranges: Ranges
    body: Node
    linear: bool


class Tie(NamedTuple):
    """p = 0, in normal form up to a factor: p as it is compared, what it is solved for, and what that is there."""

    key: tuple[Ranges, Node]
    apart: Node
    entry: Node
    value: Node
    whole: bool


class Ties(Formula):
    """The ties of one operator."""

    def __init__(self, op: Op, hints: Hints) -> None:
        super().__init__(op, hints)
        self.value, self.slope, self.rule = map(self.plain, (self.value, self.slope, self.rule))
        self.values, self.rules = list(self.units(self.value)), list(self.units(self.rule))
        self.ties: dict[tuple[Ranges, Node], Tie] = {}
        for unit in (*self.values, *self.rules):
            if any(self.tied(inner) for n in t.walk(unit.body) if n.tag == "reduce" for inner in t.walk(n)):
                raise Refused("ties under a sum inside of what ties")
            for cond in self.direct(unit.body):
                self.tie(unit, cond)

    def plain(self, term: Node) -> Node:
        """The term with functions that have kinks written out, and no choice inside of what is compared."""
        if term.tag == "poly":
            return term
        term = t.rebuild(term, self.plain)
        if term.tag == "call":
            found = simpler(term.args[0], term.args[1:])
            if found is not None and any(n.tag in REAL for n in t.walk(found)):
                return self.plain(found)
            if term.args[0] in STEPS and self.varies(term):
                raise Refused(f"the sides of {term.args[0]} are not known")
        compared = term.tag in REAL and not any(n.tag == "reduce" for n in t.walk(term))
        if not compared and not (term.tag == "reduce" and term.args[0] == "sum"):
            return term
        inside = term if compared else term.args[4]
        conds = {n.args[0] for n in _outside(inside) if n.tag == "select" and any(map(self.tied, t.walk(n.args[0])))}
        cond = min((c for c in conds if compared or term.args[1] not in c.free), key=lambda c: c.key, default=None)
        if cond is None:
            return term
        yes, no = (_decided(inside, cond, k) for k in (1, 2))
        if compared:
            return t.either(t.both(cond, self.plain(yes)), t.both(t.negate(cond), self.plain(no)))
        kind, var, extent, guard, _ = term.args
        return t.select(cond, *(self.plain(t.reduce(kind, var, extent, guard, side)) for side in (yes, no)))

    def direct(self, node: Node) -> Iterator[Node]:
        """The ties outside of sums."""
        if self.tied(node):
            yield node
        elif node.tag not in ("reduce", "poly"):
            for part in node.args:
                if isinstance(part, Node):
                    yield from self.direct(part)

    def units(self, node: Node, ranges: Ranges = (), linear: bool = True) -> Iterator[Unit]:
        """The summands with ties; Refused where one stands anywhere else."""
        if not self.ties_in(node):
            return
        here = [part for part in (node.args if node.tag == "add" else (node,)) if any(self.direct(part))]
        if here:
            yield Unit(ranges, t.add(*here), linear)
        if node.tag == "reduce":
            kind, var, extent, guard, body = node.args
            if kind != "sum" or self.ties_in(guard):
                raise Refused("a condition on values under what is no sum, or in its range")
            name = f"~u{len(ranges)}"  # no name of an operator, and none of `named`
            yield from self.units(t.substitute(body, {var: t.sym(name)}), (*ranges, (name, extent)), linear)
        elif node.tag == "add" or not here:
            inside = [a for a in node.args if isinstance(a, Node) and a not in here and self.ties_in(a)]
            linear = linear and (node.tag in ("add", "select") or (node.tag == "mul" and len(inside) == 1))
            for part in inside:
                yield from self.units(part, ranges, linear)

    def beyond(self, node: Node) -> Iterator[Node]:
        """What stands in no summand with ties."""
        if not self.ties_in(node):
            yield from t.walk(node)
        elif node.tag == "add" or not any(self.direct(node)):
            for part in (a for a in node.args if isinstance(a, Node)):
                yield from self.beyond(part)

    def ties_in(self, node: Node) -> bool:
        """Whether anything ties inside."""
        return any(map(self.tied, t.walk(node)))

    def compared(self, unit: Unit, cond: Node) -> tuple[tuple[Ranges, Node], Fraction, Node]:
        """What a comparison compares with 0 (b - a of a < b): its key, the factor of that, and the difference."""
        if cond.tag not in REAL or any(self.tied(n) for a in cond.args for n in t.walk(a)):
            raise Refused("a condition on values inside of another, or an optimum")
        apart, work = t.add(cond.args[1], t.mul(t.num(-1), cond.args[0])), self.work(unit.ranges)
        form = work.form(apart)
        if not form:
            raise Refused("a condition that always or never ties")
        lead = Fraction(work.ordered(form)[0][1])
        return (unit.ranges, work.term(scaled(form, 1 / lead))), lead, apart

    def tie(self, unit: Unit, cond: Node) -> Tie:
        """The tie of a comparison."""
        key, _, apart = self.compared(unit, cond)
        if key not in self.ties:
            form = self.work(unit.ranges).form(apart)
            found = []
            for (binders, conds, factors), c in form.items():
                for one in [one for one, e in factors if e == 1 and one.tag == "read" and one.args[0] in self.moving]:
                    rest = factors - {(one, 1)}
                    slope = self.work(unit.ranges).term({(NONE, NONE, rest): c})
                    steady = not rest or (not self.varies(slope) and self.sign(unit.ranges, slope))
                    if steady and not binders and not conds and self.private(one, unit, form):
                        value = t.add(one, t.mul(t.num(-1), t.power(slope, -1), apart))
                        found.append(Tie(key, apart, one, value, False))
            if not found and unit.ranges:
                raise Refused("a condition under a sum without an entry of its own, in which it is linear")
            other, entry = cond.args if self.varies(cond.args[1]) else cond.args[::-1]
            whole = Tie(key, apart, entry, other, True)
            self.ties[key] = min(found, key=lambda tie: tie.entry.key, default=whole)
        return self.ties[key]

    def private(self, entry: Node, unit: Unit, form: Form) -> bool:
        """Whether an entry is read at this position only, once in p, and each choice of the indices has its own."""
        names = {name for name, _ in unit.ranges}
        bound = set(map(t.sym, names))
        used = [p for p in entry.args[1:] if not p.free.isdisjoint(names)]
        if set(used) != bound or len(used) != len(bound):
            return False
        inside = [n for m in form for part in (*(a for a, _ in m[2]), *m[1]) for n in t.walk(part)]
        if inside.count(entry) > 1:
            return False
        units = [u for u in (*self.values, *self.rules) if any(_reads(n, entry) for n in t.walk(u.body))]
        same = all(n is entry for u in units for n in t.walk(u.body) if _reads(n, entry))
        return same and all(u.ranges == unit.ranges for u in units)

    def side(self, unit: Unit, tie: Tie, sign: int) -> Node:
        """A summand with p > 0, p = 0 or p < 0 (of the tie's key), at p = 0."""

        def one(n: Node) -> Node:
            if n is tie.entry:
                return tie.value
            if n.tag in REAL and self.tied(n):
                key, lead, _ = self.compared(unit, n)
                if key == tie.key:
                    s = sign if lead > 0 else -sign
                    return TRUE if (s > 0 and n.tag != "same") or (s == 0 and n.tag != "lt") else FALSE
            return n if n.tag == "poly" else t.rebuild(n, one)

        def decided(n: Node) -> Node:
            """What is known to hold, or not to, at the tie."""
            n = n if n.tag == "poly" else t.rebuild(n, decided)
            if n.tag not in REAL:
                return n
            up = self.sign(unit.ranges, t.add(n.args[1], t.mul(t.num(-1), n.args[0])), tie.entry, tie.value)
            if up > 0:
                return FALSE if n.tag == "same" else TRUE
            return FALSE if up < 0 else n

        return decided(one(unit.body))

    def settle(self) -> None:
        """Refused unless all that is claimed of the ties is shown."""
        self.smooth(self.value, self.slope, self.rule)
        jumps = {self.declared(cond, True).key for cond, _, jump, _ in self.op.kinks if jump}
        declared = [(self.declared(cond, value), value) for cond, value, jump, _ in self.op.kinks if value or not jump]
        self.transversal()
        for key, tie in self.ties.items():
            values, rules = ([u for u in units if u.ranges == key[0]] for units in (self.values, self.rules))
            if tie.whole:
                self.sided(tie)
            leaps = not all(self.continuous(unit, tie) for unit in values)
            if leaps and key not in jumps:
                raise Refused("the formula is not continuous at a tie, or not known to be")
            jumping = [unit for unit in rules if not self.continuous(unit, tie)]
            mixed = not jumping or self.hints.choice(range(len(WEIGHTS)), partial(self.mixed, jumping, tie))
            if leaps:
                self.leap(tie, mixed)
            elif not mixed:
                raise Refused("the value at a tie is no known combination of those on its sides")
        for tie, coefficient in declared:
            self.agrees(tie, coefficient)

    def continuous(self, unit: Unit, tie: Tie) -> bool:
        up, at, down = (self.side(unit, tie, sign) for sign in (1, 0, -1))
        return self.zero(unit.ranges, (up, 1), (at, -1)) and self.zero(unit.ranges, (down, 1), (at, -1))

    def mixed(self, units: list[Unit], tie: Tie, number: int) -> bool:
        """Whether the rule at the tie is the mixture of its sides with this weight."""
        weight = WEIGHTS[number]
        for unit in units:
            up, at, down = (self.side(unit, tie, sign) for sign in (1, 0, -1))
            if not unit.linear or not self.zero(unit.ranges, (at, 1), (up, -weight), (down, weight - 1)):
                return False
        return True

    def sided(self, tie: Tie) -> None:
        """Refused unless the rule on each side of a tie is the derivative, by its normal form."""
        for sign in (1, -1):
            got, wanted = (self.side(Unit((), body, True), tie, sign) for body in (self.rule, self.slope))
            if not self.zero((), (got, 1), (wanted, -1)):
                raise Refused("the rule beside a tie is not the derivative, or not known to be")

    def leap(self, tie: Tie, mixed: bool) -> None:
        """Refused unless the rule is right where the formula may jump."""
        read = {n for n in t.walk(tie.apart) if n.tag == "read" and n.args[0] in self.moving}
        if tie.whole or tie.key[0] or read != {tie.entry}:
            raise Refused("a jump under a sum, or at a tie of several entries")
        whole = partial(Unit, (), linear=True)
        up, down = (self.side(whole(self.value), tie, sign) for sign in (1, -1))
        if not mixed and not self.sign((), t.add(up, t.mul(t.num(-1), down))):
            raise Refused("the rule is no combination of its sides, and the formula is not known to jump")
        name, *place = tie.entry.args
        along = t.make("read", "d" + name, *place)
        used, wanted = (put(self.side(whole(body), tie, 0), along, ZERO) for body in (self.rule, self.slope))
        if not self.zero((), (used, 1), (wanted, -1)):
            raise Refused("where it jumps in one entry, the derivative by the others is not known to be right")

    def transversal(self) -> None:
        """Refused unless the ties that can hold at once cross: one after the other has a tensor for itself."""
        left = list(self.ties.values())
        while left:
            for tie in left:
                rivals = [*self.ties.values()] if tie.whole else left
                others = [o for o in rivals if o is not tie and not self.exclusive(tie, o)]
                read = {n.args[0] for o in others for n in t.walk(o.apart) if n.tag == "read"}
                own = {n.args[0] for n in t.walk(tie.apart) if n.tag == "read"} & self.moving.keys()
                if (own if tie.whole else {tie.entry.args[0]}).isdisjoint(read):
                    left.remove(tie)
                    break
            else:
                raise Refused("conditions that can tie at once in the same entry")

    def exclusive(self, a: Tie, b: Tie) -> bool:
        """Whether two ties in one entry never hold at once."""
        if a.entry is not b.entry or a.key[0] != b.key[0]:
            return False
        return self.sign(a.key[0], t.add(a.value, t.mul(t.num(-1), b.value))) != 0

    def declared(self, cond: Node, value: Any) -> Tie:
        """The tie that a declared value is about."""
        if cond.tag != "same" or not value:
            raise Refused("a declared kink that is no equation, or has no value")
        own = sorted(cond.free - self.op.fixed)
        for ranges in dict.fromkeys(u.ranges for u in (*self.values, *self.rules)):
            for names in permutations([name for name, _ in (*self.ranges, *ranges)], len(own)):
                here = t.substitute(cond, dict(zip(own, map(t.sym, names), strict=True)))
                if self.varies(here) and self.compared(Unit(ranges, here, True), here)[0] in self.ties:
                    return self.tie(Unit(ranges, here, True), here)
        raise Refused("a declared kink that the rule does not have")

    def agrees(self, tie: Tie, coefficient: Any) -> None:
        """At a declared tie the rule is the declared coefficient times each tangent; under a sum that is 0."""
        if not tie.key[0] and all(p.extents == self.op.forward.extents for p in self.op.moving):
            place = tuple(map(t.sym, self.op.forward.indices))
            tangents = t.add(*(t.make("read", "d" + p.name, *place) for p in self.op.moving))
            used = self.side(Unit((), self.rule, True), tie, 0)
            if not self.zero((), (used, 1), (t.mul(coefficient, tangents), -1)):
                raise Refused("the rule's value at a kink is not the declared one")
            return
        tensors = {"d" + n.args[0] for n in t.walk(tie.apart) if n.tag == "read"}
        left = [*self.beyond(self.rule)]
        for unit in self.rules:
            work, same = self.work(unit.ranges), unit.ranges == tie.key[0]
            left += t.walk(work.term(work.form(self.side(unit, tie, 0))) if same else unit.body)
        if coefficient is not ZERO or any(n.tag == "read" and n.args[0] in tensors for n in left):
            raise Refused("the rule's value at a kink under a sum is not known to be the declared one")


def _outside(node: Node) -> Iterator[Node]:
    """What does not stand under a sum or an optimum."""
    yield node
    for part in node.args if node.tag not in ("reduce", "poly") else ():
        if isinstance(part, Node):
            yield from _outside(part)


def _decided(node: Node, cond: Node, k: int) -> Node:
    """A term where a condition holds (1) or not (2)."""
    if node.tag == "select" and node.args[0] is cond:
        return _decided(node.args[k], cond, k)
    return node if node.tag == "poly" else t.rebuild(node, lambda n: _decided(n, cond, k))


def _reads(n: Node, entry: Node) -> bool:
    return n.tag == "read" and n.args[0] == entry.args[0]
