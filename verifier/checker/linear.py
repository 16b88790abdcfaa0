"""Integer facts without search: a goal holds where a given refutation of its negation can be replayed. [trusted]

Facts are `p >= 0` or `p == 0` with p an integer polynomial, in which each product of unknowns is an unknown of its own,
and so is each `//`, `%`, min, max and entry. They are numbered as they come. A refutation is a list of steps:

    [0, i, k, ...]        k times fact i and so on add up to a constant below 0: the end (k >= 0 where fact i is `>=`)
    [1, d, i, k, ...]     a fact: such a sum divided by d > 0, which divides all but the constant; that is rounded down
    [2, i, j]             a fact: the product of two facts
    [3, a, i]             facts: what a quotient or remainder is; its divisor less 1 is at least fact i (-1: 0)
    [4, a]                facts: what a min or max is
    [5, s, a]             facts: what is known of every entry of a tensor (number s), said of the entry a
    [6, w, steps, ...]    one of the alternatives of number w holds: the end in each of them
    [7, p, steps, steps]  p >= 0 or p <= -1: the end in both; p is a list of lists, a coefficient and atoms each
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .terms import (
    ATOMS,
    TRUE,
    Node,
    Refused,
    atom,
    const,
    make,
    minus,
    plus,
    poly,
    spend,
    substitute,
    times,
    value,
    walk,
)

Fact = tuple[bool, Node]  # whether it is `== 0`, the polynomial
MOST = 3000  # monomials in a product, and steps: an honest refutation has tens


class Facts:
    """Facts, alternatives (each a list of conditions, one of which holds), and what is known of every entry."""

    def __init__(self, *conds: Node) -> None:
        self.known: list[Fact] = []
        self.ways: list[list[tuple[Node, bool]]] = []
        self.every: list[tuple[Node, tuple[str, ...], Node]] = []  # an entry, the indices it is read at, what holds
        self.false = False
        self.asked: dict[Node, bool] = {}  # goals that are settled
        self._atoms: dict[Node, None] = {}
        self._seen = 0
        self.assume(*conds)

    def copy(self) -> Facts:
        """The same facts, to be added to."""
        spend(1 + len(self.known) // 8)
        other = Facts()
        other.known, other.ways, other.every = [*self.known], [*self.ways], [*self.every]
        other.false, other._atoms, other._seen = self.false, dict(self._atoms), self._seen
        return other

    def assume(self, *conds: Node, yes: bool = True) -> Facts:
        """Add conditions, or their negations; what one says of reals or booleans is passed over. Returns itself."""
        for cond in conds:
            tag, args = cond.tag, cond.args
            if tag == "truth":
                self.false = self.false or bool(args[0]) != yes
            elif tag == "ge":
                self.known.append((False, args[0] if yes else minus(const(-1), args[0])))
            elif tag == "eq" and yes:
                self.known.append((True, args[0]))
            elif tag == "eq":
                sides = (plus(args[0], const(-1)), minus(const(-1), args[0]))
                self.ways.append([(make("ge", side), True) for side in sides])
            elif tag == "not":
                self.assume(args[0], yes=not yes)
            elif tag in ("and", "or") and (tag == "and") == yes:
                self.assume(*args, yes=yes)
            elif tag in ("and", "or"):
                self.ways.append([(part, yes) for part in args])
        return self

    def atoms(self) -> list[Node]:
        """The atoms of the facts, in order, inner ones too: what steps refer to by number."""
        for _, p in self.known[self._seen :]:
            for _, factors in p.args:
                for one in factors:
                    if one not in self._atoms:
                        inner = (n for n in walk(one) if n.tag in ATOMS)
                        self._atoms.update(dict.fromkeys(sorted(inner, key=lambda n: n.key)))
        self._seen = len(self.known)
        return list(self._atoms)

    def total(self, pairs: Sequence[int]) -> Node:
        """The sum of facts, each taken some number of times; Refused where that is no fact `>= 0`."""
        out: dict[tuple[Node, ...], int] = {}
        for place, factor in zip(pairs[::2], pairs[1::2], strict=True):
            exact, p = self.known[place]
            if factor < 0 and not exact:
                raise Refused("a fact is taken a negative number of times")
            spend(1 + len(p.args) // 8)
            for c, m in p.args:
                out[m] = out.get(m, 0) + factor * c
        return poly(out)

    def define(self, place: int, fact: int) -> None:
        """What the quotient or remainder of number `place` is: a // b and a % b, where b >= 1 is known."""
        one = self.atoms()[place]
        a, b = one.args
        less = minus(b, const(1))
        low = value(less if fact < 0 else minus(less, self.known[fact][1]))  # b - 1 is at least a fact `>= 0`
        if one.tag not in ("div", "mod") or low is None or low < 0 or (fact >= 0 and self.known[fact][0]):
            raise Refused("a quotient of which it is not shown that the divisor is positive")
        quotient, rest = (atom(make(tag, a, b)) for tag in ("div", "mod"))
        left = minus(a, times(b, quotient))
        self.known += [(False, left), (False, minus(less, left))] if one.tag == "div" else []
        self.known += [(False, rest), (False, minus(less, rest)), (True, minus(left, rest))] if one.tag == "mod" else []

    def choose(self, place: int) -> None:
        """What the min or max of number `place` is."""
        one = self.atoms()[place]
        if one.tag not in ("imin", "imax"):
            raise Refused("no min or max")
        sign = 1 if one.tag == "imin" else -1
        apart = [plus(const(0), minus(p, atom(one)), sign) for p in one.args]
        self.known += [(False, p) for p in apart]
        self.ways.append([(make("ge", minus(const(0), p)), True) for p in apart])

    def instance(self, number: int, place: int) -> None:
        """What holds of every entry of a tensor, of one that is read."""
        (pattern, names, cond), one = self.every[number], self.atoms()[place]
        if one.tag != "entry" or one.args[0] != pattern.args[0] or len(one.args) != len(pattern.args):
            raise Refused("no entry of that tensor")
        self.assume(substitute(cond, dict(zip(names, one.args[1:], strict=True))))


def _product(p: Node, q: Node) -> Node:
    if len(p.args) * len(q.args) > MOST or any(len(m) > 12 or c.bit_length() > 500 for r in (p, q) for c, m in r.args):
        raise Refused("a product of facts that is too large")
    return times(p, q)


def refuted(facts: Facts, steps: Sequence[Any], depth: int = 0) -> bool:
    """Whether the steps lead from the facts to a contradiction; `facts` is used up."""
    for step in steps[:MOST]:
        if facts.false:
            break
        kind, *rest = step
        if kind == 0:
            low = value(facts.total(rest))
            return low is not None and low < 0
        if kind == 1:
            by, sum_ = rest[0], facts.total(rest[1:])
            if by < 1 or any(c % by for c, m in sum_.args if m):
                raise Refused("a sum of facts that is not divided evenly")
            facts.known.append((False, poly({m: c // by for c, m in sum_.args})))
        elif kind == 2:
            (first, p), (second, q) = (facts.known[k] for k in rest)
            facts.known.append((first or second, _product(p, q)))
        elif kind in (3, 4, 5):
            (facts.define, facts.choose, facts.instance)[kind - 3](*rest)
        elif kind in (6, 7) and depth < 30:
            if kind == 6:
                arms = [([part], yes) for part, yes in facts.ways[rest[0]]]
            else:
                names = facts.atoms()
                p = poly({tuple(sorted((names[a] for a in m), key=lambda n: n.key)): c for c, *m in rest[0]})
                arms = [([make("ge", p)], yes) for yes in (True, False)]
            return len(arms) == len(rest) - 1 and all(
                refuted(facts.copy().assume(*conds, yes=yes), inner, depth + 1)
                for (conds, yes), inner in zip(arms, rest[1:], strict=True)
            )
        else:
            raise Refused("an unknown step")
    return facts.false


def entails(facts: Facts, goal: Node, steps: Any) -> bool:
    """Whether the steps show that the goal follows from the facts, for all integers; Refused where they are none."""
    try:
        return refuted(facts.copy().assume(goal, yes=False), steps)
    except (TypeError, ValueError, IndexError, AttributeError, RecursionError) as problem:
        raise Refused(f"the steps of an integer proof are malformed ({type(problem).__name__})") from None


class Hints:
    """The decisions that a piece of evidence records, in the order in which they are asked for."""

    def __init__(self, given: Any) -> None:
        if type(given) is not list:
            raise Refused("the steps of a proof are not a list")
        self.given, self.used = given, 0

    def next(self) -> Any:
        """The next decision."""
        if self.used == len(self.given):
            raise Refused("the evidence ends before the proof")
        self.used += 1
        return self.given[self.used - 1]

    def steps(self, facts: Facts, goal: Node) -> Any:
        """The steps that show a goal; 0 where none are given."""
        return self.next()

    def shown(self, facts: Facts, goal: Node) -> bool:
        """Whether a condition on integers follows from the facts; False says only that it is not shown."""
        if goal.tag == "and":
            return all(self.shown(facts, part) for part in goal.args)
        if goal is not TRUE and goal not in facts.asked:
            steps = self.steps(facts, goal)
            facts.asked[goal] = steps != 0 and entails(facts, goal, steps)
        return goal is TRUE or facts.asked[goal]

    def choice(self, options: Sequence[int], fits: Callable[[int], bool]) -> bool:
        """Whether one of some options fits: the one that is given (-1: none is)."""
        k = self.next()
        return k != -1 and k in options and fits(k)

    def close(self) -> None:
        """Refused where more is given than was asked for."""
        if self.used != len(self.given):
            raise Refused("the evidence holds more than the proof asks for")
