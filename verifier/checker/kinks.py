"""KINK of operators with conditions on entries of their own: the rule at a tie is a mixture of both sides. [trusted]

With every kinked function written out, a formula and the rule that runs (the jvp) compare terms p with 0. Each such p
is linear, with a constant coefficient, in an entry that is read at this one position only, in the formula and in the
rule, and stands under sums whose indices it has for axes: so each choice of indices has an entry of its own. Ties that
can hold at once are told apart by tensors: one after the other has such an entry that no other reads. So the ties are
planes that cross transversally, and next to a point on some of them there are points on each combination of their
sides. There the rule is the derivative (JVP); everything is smooth up to the tie, since what the formula, its
derivative and the rule need holds everywhere, with room. It is shown, of each p, at p = 0, whatever the others say:

- the formula's summands with p > 0, p = 0 and p < 0 are equal: the formula is continuous;
- the rule's at p = 0 is a mixture of those with p > 0 and p < 0 (the same for all, the rule being linear in them), or
  all three are equal.

So at a tie of several the rule is a convex combination of limits of gradients: a Clarke subgradient of each entry.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction
from functools import partial
from itertools import permutations
from typing import Any, Literal, NamedTuple

from .bounds import Bounds, neg, positive
from .calculus import STEPS, derivative, simpler
from .linear import Hints
from .normal import NONE, Form, Normal, plus, scaled
from .operators import Op
from .promises import post
from .rules import normal, rule
from .scopes import REAL, scope_of
from .sides import dom, real_needs, shape
from .terms import (
    FALSE,
    TRUE,
    ZERO,
    Node,
    Refused,
    add,
    both,
    either,
    make,
    mul,
    negate,
    num,
    rebuild,
    substitute,
    sym,
    walk,
)

WEIGHTS = (Fraction(0), Fraction(1), Fraction(1, 2))
Ranges = tuple[tuple[str, Node], ...]


class Unit(NamedTuple):
    """A summand with ties: the sums' indices, the summand, and whether the whole is linear in it."""

    ranges: Ranges
    body: Node
    linear: bool


class Tie(NamedTuple):
    """p = 0, in normal form up to a factor: p as it is compared, the entry that it is solved for, its coefficient."""

    key: tuple[Ranges, Node]
    apart: Node
    entry: Node
    factor: Fraction


class Kinks:
    """The ties of one operator."""

    def __init__(self, op: Op, hints: Hints) -> None:
        self.op, self.hints, self.scope = op, hints, scope_of(op)
        self.bounds = Bounds(self.scope, hints)
        self.moving = frozenset(p.name for p in op.moving)
        self.tangents = frozenset("d" + name for name in self.moving)
        self.ranges: Ranges = tuple(zip(op.forward.indices, op.forward.extents, strict=True))
        self.value = self.plain(op.meaning())
        self.rule = self.plain(rule(op, op.computed["y"].result, op.forward.indices))
        self.values, self.rules = list[Unit](), list[Unit]()
        self.works: dict[Ranges, Normal] = {}
        self.ties: dict[tuple[Ranges, Node], Tie] = {}

    def plain(self, term: Node) -> Node:
        """The term with functions that have kinks written out, and no choice inside of what is compared."""
        if term.tag == "poly":
            return term
        term = rebuild(term, self.plain)
        if term.tag == "call":
            found = simpler(term.args[0], term.args[1:])
            if found is not None and any(n.tag in REAL for n in walk(found)):
                return self.plain(found)
            if term.args[0] in STEPS and self.varies(term):
                raise Refused(f"the sides of {term.args[0]} are not known")
        choices = (n for n in walk(term) if n.tag == "select" and any(map(self.tied, walk(n.args[0]))))
        chosen = min(choices, key=lambda n: n.key, default=None) if term.tag in REAL else None
        if chosen is None or any(n.tag == "reduce" for n in walk(term)):
            return term
        cond, *sides = chosen.args
        yes, no = (_put(term, chosen, side) for side in sides)
        return either(both(cond, self.plain(yes)), both(negate(cond), self.plain(no)))

    def varies(self, node: Node) -> bool:
        """Whether entries that vary are read."""
        return any(n.tag == "read" and n.args[0] in self.moving for n in walk(node))

    def tied(self, node: Node) -> bool:
        """Whether something that varies is compared, or an optimum of it taken."""
        optimum = node.tag == "reduce" and node.args[0] in ("max", "min")
        if node.tag in REAL and any(n.tag == "read" and n.args[0] in self.tangents for n in walk(node)):
            raise Refused("a rule that compares its tangents")
        return (node.tag in REAL or optimum) and self.varies(node)

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
        if not any(map(self.tied, walk(node))):
            return
        if any(self.direct(node)):
            yield Unit(ranges, node, linear)
            return
        if node.tag == "reduce":
            kind, var, extent, guard, body = node.args
            if kind != "sum" or any(map(self.tied, walk(guard))):
                raise Refused("a condition on values under what is no sum, or in its range")
            name = f"?{len(ranges)}"  # no name of an operator
            yield from self.units(substitute(body, {var: sym(name)}), (*ranges, (name, extent)), linear)
            return
        inside = [a for a in node.args if isinstance(a, Node) and any(map(self.tied, walk(a)))]
        linear = linear and (node.tag in ("add", "select") or (node.tag == "mul" and len(inside) == 1))
        for part in inside:
            yield from self.units(part, ranges, linear)

    def rest(self, node: Node) -> Node:
        """A term without its summands with ties."""
        if not any(map(self.tied, walk(node))):
            return node
        return ZERO if any(self.direct(node)) else rebuild(node, lambda n: self.rest(n) if n.tag != "poly" else n)

    def work(self, ranges: Ranges) -> Normal:
        """Normal forms inside of a unit's indices."""
        if ranges not in self.works:
            self.works[ranges] = normal(self.op, self.scope.facts, dict((*self.ranges, *ranges)))
        return self.works[ranges]

    def compared(self, unit: Unit, cond: Node) -> tuple[tuple[Ranges, Node], Fraction, Node]:
        """What a comparison compares with 0 (b - a of a < b): its key, the factor of that, and the difference."""
        if cond.tag not in REAL or any(self.tied(n) for a in cond.args for n in walk(a)):
            raise Refused("a condition on values inside of another, or an optimum")
        apart, work = add(cond.args[1], mul(num(-1), cond.args[0])), self.work(unit.ranges)
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
            found = [
                Tie(key, apart, one, Fraction(c))
                for (binders, conds, factors), c in form.items()
                if not binders and not conds and len(factors) == 1
                for one, e in factors
                if e == 1 and one.tag == "read" and one.args[0] in self.moving and self.private(one, unit, form)
            ]
            if not found:
                raise Refused("a condition without an entry of its own, in which it is linear")
            self.ties[key] = min(found, key=lambda tie: tie.entry.key)
        return self.ties[key]

    def private(self, entry: Node, unit: Unit, form: Form) -> bool:
        """Whether an entry is read at this position only, once in p, and each choice of the indices has its own."""
        bound = {name for name, _ in unit.ranges}
        used = [p.free & bound for p in entry.args[1:] if p.free & bound]
        if sorted(used, key=sorted) != [{name} for name in sorted(bound)] or not all(
            p is sym(*p.free & bound) for p in entry.args[1:] if p.free & bound
        ):
            return False
        monos = [m for m in form if m != (NONE, NONE, frozenset({(entry, 1)}))]
        inside = (n for m in monos for part in (*(a for a, _ in m[2]), *m[1]) for n in walk(part))
        if any(n is entry for n in inside):
            return False
        outside = [self.rest(self.value), self.rest(self.rule)]
        everywhere = [(unit.ranges, outer) for outer in outside for n in walk(outer) if _reads(n, entry)]
        units = [u for u in (*self.values, *self.rules) if any(_reads(n, entry) for n in walk(u.body))]
        same = all(n is entry for u in units for n in walk(u.body) if _reads(n, entry))
        return not everywhere and same and all(u.ranges == unit.ranges for u in units)

    def side(self, unit: Unit, tie: Tie, sign: int) -> Node:
        """A summand with p > 0, p = 0 or p < 0 (of the tie's key), at p = 0."""

        def one(n: Node) -> Node:
            if n.tag in REAL and self.tied(n):
                key, lead, _ = self.compared(unit, n)
                if key == tie.key:
                    s = sign if lead > 0 else -sign
                    return TRUE if (s > 0 and n.tag != "same") or (s == 0 and n.tag != "lt") else FALSE
            return n if n.tag == "poly" else rebuild(n, one)

        value = add(tie.entry, mul(num(-1 / tie.factor), tie.apart))

        def decided(n: Node) -> Node:
            """What is known to hold, or not to, at the tie."""
            n = n if n.tag == "poly" else rebuild(n, decided)
            if n.tag not in REAL:
                return n
            up = self.sign(unit.ranges, add(n.args[1], mul(num(-1), n.args[0])))
            if up > 0:
                return FALSE if n.tag == "same" else TRUE
            return FALSE if up < 0 else n

        return decided(_put(one(unit.body), tie.entry, value))

    def sign(self, ranges: Ranges, term: Node) -> int:
        """1 or -1 where a term is known to be above or below 0, by intervals or by what is required; otherwise 0."""
        work, scope = self.work(ranges), self.scope.inside(*self.ranges, *ranges)
        form = work.canonical(work.form(term))
        found = self.bounds.of(work.term(form), scope)
        for fact in (f for f in self.scope.reals if f.tag == "lt"):
            apart = work.canonical(plus(work.form(fact.args[1]), scaled(work.form(fact.args[0]), -1)))
            if form and form in (apart, scaled(apart, -1)):
                return 1 if form == apart else -1
        return 1 if positive(found) else -1 if positive(neg(found)) else 0

    def zero(self, unit: Unit, *parts: tuple[Node, Fraction | int]) -> bool:
        """Whether a combination is 0 by its normal form."""
        work = self.work(unit.ranges)
        return not work.canonical(plus(*(scaled(work.form(part), c) for part, c in parts)))

    def settle(self) -> None:
        """Refused unless all that is claimed of the ties is shown."""
        slope = self.plain(derivative(self.op.meaning(), {name: "d" + name for name in self.moving}))
        for body in dict.fromkeys((self.value, slope, self.rule)):
            for need in real_needs(body, scope_of(self.op, closed=True).of(self.op.forward)):
                if need.var:  # integers, or what the formula takes an optimum of
                    shown = self.bounds.inhabited(need.scope, need.var, need.extent, need.cond)
                else:
                    shown = self.bounds.settles(_inside(need.cond), need.scope)
                if not shown:
                    raise Refused("a side of a tie may be undefined or steep there")
        if any(n.tag == "reduce" and n.args[0] in ("max", "min") and self.varies(n) for n in walk(self.value)):
            self.optimum(slope)
            return
        self.values, self.rules = list(self.units(self.value)), list(self.units(self.rule))
        for unit in (*self.values, *self.rules):
            for cond in self.direct(unit.body):
                self.tie(unit, cond)
        declared = [self.declared(cond, value) for cond, value, _, _ in self.op.kinks]
        self.transversal()
        for key, tie in self.ties.items():
            at = [u for u in self.rules if u.ranges == key[0]]
            for unit in (u for u in self.values if u.ranges == key[0]):
                if not self.continuous(unit, tie):
                    raise Refused("the formula is not continuous at a tie, or not known to be")
            jumping = [unit for unit in at if not self.continuous(unit, tie)]
            fits = partial(self.mixed, jumping, tie)
            if jumping and not self.hints.choice(range(len(WEIGHTS)), fits):
                raise Refused("the value at a tie is no known combination of those on its sides")
        for tie, coefficient in declared:
            self.agrees(tie, coefficient)

    def optimum(self, slope: Node) -> None:
        """One optimum of what is smooth, in what is smooth: the calculus's derivative is the mean over the winners.

        Their gradients span the subdifferential (Clarke 1983, proposition 2.3.12), and the rule has to be that mean.
        """
        best = {n for n in walk(self.value) if self.tied(n)}
        if len(best) != 1 or any(self.tied(n) for one in best for a in one.args[3:] for n in walk(a)) or self.op.kinks:
            raise Refused("more ties than those of one optimum")
        if not all(one.free <= self.op.fixed.union(self.op.forward.indices) for one in best):
            raise Refused("an optimum for each index of a sum: they may share entries")
        if not self.zero(Unit((), self.rule, True), (self.rule, 1), (slope, -1)):
            raise Refused("the rule is not the mean over all that attain the optimum, or not known to be")

    def continuous(self, unit: Unit, tie: Tie) -> bool:
        up, at, down = (self.side(unit, tie, sign) for sign in (1, 0, -1))
        return self.zero(unit, (up, 1), (at, -1)) and self.zero(unit, (down, 1), (at, -1))

    def mixed(self, units: list[Unit], tie: Tie, number: int) -> bool:
        """Whether the rule at the tie is the mixture of its sides with this weight."""
        weight = WEIGHTS[number]
        for unit in units:
            up, at, down = (self.side(unit, tie, sign) for sign in (1, 0, -1))
            if not unit.linear or not self.zero(unit, (at, 1), (up, -weight), (down, weight - 1)):
                return False
        return True

    def transversal(self) -> None:
        """Refused unless the ties that can hold at once cross: one after the other has a tensor for itself."""
        left = list(self.ties.values())
        while left:
            for tie in left:
                others = [o for o in left if o is not tie and not self.exclusive(tie, o)]
                read = {n.args[0] for o in others for n in walk(o.apart) if n.tag == "read"}
                if tie.entry.args[0] not in read:
                    left.remove(tie)
                    break
            else:
                raise Refused("conditions that can tie at once in the same entry")

    def exclusive(self, a: Tie, b: Tie) -> bool:
        """Whether two ties in one entry never hold at once."""
        if a.entry is not b.entry or a.key[0] != b.key[0]:
            return False
        return self.sign(a.key[0], add(mul(num(1 / a.factor), a.apart), mul(num(-1 / b.factor), b.apart))) != 0

    def declared(self, cond: Node, value: Node | Literal[False]) -> tuple[Tie, Node]:
        """The tie that a declared value is about."""
        if cond.tag != "same" or not value:
            raise Refused("a declared kink that is no equation, or has no value")
        own = sorted(cond.free - self.op.fixed)
        for ranges in dict.fromkeys(u.ranges for u in (*self.values, *self.rules)):
            for names in permutations([name for name, _ in (*self.ranges, *ranges)], len(own)):
                here = substitute(cond, dict(zip(own, map(sym, names), strict=True)))
                if self.varies(here) and self.compared(Unit(ranges, here, True), here)[0] in self.ties:
                    return self.tie(Unit(ranges, here, True), here), value
        raise Refused("a declared kink that the rule does not have")

    def agrees(self, tie: Tie, coefficient: Node) -> None:
        """At a declared tie the rule is the declared coefficient times each tangent; under a sum that is 0."""
        units = [u for u in self.rules if u.ranges == tie.key[0]]
        if not tie.key[0] and all(p.extents == self.op.forward.extents for p in self.op.moving):
            place = tuple(map(sym, self.op.forward.indices))
            tangents = add(*(make("read", "d" + p.name, *place) for p in self.op.moving))
            unit = units[0] if units else Unit((), ZERO, True)
            if unit.body is not self.rule or not self.zero(
                unit, (self.side(unit, tie, 0), 1), (mul(coefficient, tangents), -1)
            ):
                raise Refused("the rule's value at a kink is not the declared one")
            return
        tensors = {"d" + n.args[0] for n in walk(tie.apart) if n.tag == "read"}
        for unit in units:
            work = self.work(unit.ranges)
            left = work.term(work.form(self.side(unit, tie, 0)))
            if coefficient is not ZERO or any(n.tag == "read" and n.args[0] in tensors for n in walk(left)):
                raise Refused("the rule's value at a kink under a sum is not known to be the declared one")


def _put(node: Node, old: Node, new: Node) -> Node:
    return new if node is old else node if node.tag == "poly" else rebuild(node, lambda n: _put(n, old, new))


def _reads(n: Node, entry: Node) -> bool:
    return n.tag == "read" and n.args[0] == entry.args[0]


def _inside(cond: Node) -> Node:
    """A condition with its bounds left out."""
    if cond.tag == "same":
        return FALSE
    if cond.tag in ("and", "or"):
        return (both if cond.tag == "and" else either)(*map(_inside, cond.args))
    return make("lt", *cond.args) if cond.tag == "le" else cond


def kink(op: Op, evidence: Mapping[str, Any], hints: Hints) -> None:
    """KINK of an operator; Refused where it is not shown."""
    if op.lawful or any(jump or least for _, _, jump, least in op.kinks):
        raise Refused("laws, jumps and least values are not replayed")
    found = Kinks(op, hints)
    if any(n.tag == "read" and n.args[0].startswith("!") for term in (found.value, found.rule) for n in walk(term)):
        raise Refused("what an extern computes may tie, too")
    for cond in (*op.requires, *op.domain):
        if found.varies(cond) and any(n.tag in ("le", "same", "not") for n in walk(cond)):
            raise Refused("a domain with a boundary in it, beyond which there is no other side of a tie")
    found.settle()


# With what evidence gives besides the steps.
PROOFS = {"SHAPE": (shape, ("sizes", "values")), "DOM": (dom, ()), "KINK": (kink, ()), "POST": (post, ())}
