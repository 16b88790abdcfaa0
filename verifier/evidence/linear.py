"""Refutations of integer goals, found: what the checker's `linear` replays. Nothing here is trusted.

In order: a combination of the facts (simplex.py), of them and what defines the quotients, remainders, minima and
maxima in them, of products of two and of three facts besides, each in all cases by the alternatives that are known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations_with_replacement, count
from math import gcd
from typing import Any

from gradproof.verifier.checker.linear import Facts, Hints
from gradproof.verifier.checker.terms import Node, Refused, atom, const, make, minus, poly, times, value
from gradproof.verifier.evidence.simplex import contradiction

SPLITS = 4  # case distinctions inside each other
PRODUCTS = 4000  # products tried at once

Steps = list["Step"]


@dataclass(slots=True)
class Step:
    """One step, facts and alternatives by names of their own; `made` are the facts it adds, `ways` the alternatives."""

    kind: int
    sum: dict[int, int] = field(default_factory=dict)  # fact -> factor
    uses: tuple[int, ...] = ()
    by: int = 1
    atom: Node | None = None
    poly: Node | None = None
    made: list[int] = field(default_factory=list)
    ways: list[int] = field(default_factory=list)
    arms: list[tuple[list[int], list[int], Steps]] = field(default_factory=list)  # facts, ways, the proof


class Branch:
    """Facts on the way to a contradiction, with names for them that outlive renumbering."""

    def __init__(self, facts: Facts, names: Iterator[int]) -> None:
        self.facts, self.names = facts, names
        self.known: list[int] = []
        self.ways: list[int] = []
        self.steps: Steps = []
        self.open: list[int] = []  # ways that are not split yet
        self.defined: set[Node] = set()
        self.rounded: set[int] = set()
        self.bounded: set[Node] = set()
        self.name()

    def name(self) -> tuple[list[int], list[int]]:
        """Names for the facts and alternatives that have none yet."""
        made = [next(self.names) for _ in self.facts.known[len(self.known) :]]
        ways = [next(self.names) for _ in self.facts.ways[len(self.ways) :]]
        self.known += made
        self.ways += ways
        self.open += ways
        return made, ways

    def took(self, step: Step) -> None:
        """Keep a step that was just done to the facts."""
        step.made, step.ways = self.name()
        self.steps.append(step)

    def copy(self) -> Branch:
        """The same branch, to go on from."""
        other = Branch.__new__(Branch)
        other.facts, other.names, other.steps = self.facts.copy(), self.names, []
        other.known, other.ways, other.open = [*self.known], [*self.ways], [*self.open]
        other.defined, other.rounded, other.bounded = set(self.defined), set(self.rounded), set(self.bounded)
        return other


def refutation(facts: Facts, effort: int = 2, splits: int = SPLITS) -> list[Any] | None:
    """Steps that lead from the facts to a contradiction; None where none were found with an effort of 0, 1 or 2."""
    for level in range(effort + 1):
        branch = Branch(facts.copy(), count())
        names = ([*branch.known], [*branch.ways])
        if _close(branch, level, splits):
            return _numbered(facts.copy(), *names, _needed(branch.steps)[0])
    return None


def _close(branch: Branch, level: int, splits: int) -> bool:
    """Whether the branch could be closed; its steps then say how."""
    if branch.facts.false:
        return True
    if _combined(branch, 0):
        return True
    while _define(branch) or _tighten(branch):
        if branch.facts.false or _combined(branch, 0):
            return True
    if level:
        if _combined(branch, 1) or any(_lemma(branch, p, level, splits) for p in _guesses(branch, level)):
            return True
        if level > 1 and _combined(branch, level):
            return True
    return splits > 0 and any(_split(branch, way, level, splits) for way in [*branch.open])


def _split(branch: Branch, way: int, level: int, splits: int) -> bool:
    place = branch.ways.index(way)
    arms: list[tuple[list[int], list[int], Steps]] = []
    for part, yes in branch.facts.ways[place]:
        inner = branch.copy()
        inner.open.remove(way)
        inner.facts.assume(part, yes=yes)
        made, ways = inner.name()
        if not _close(inner, level, splits - 1):
            return False
        steps, uses = _needed(inner.steps)
        if uses.isdisjoint((*made, *ways)) and not inner.facts.false:
            branch.steps += steps  # the case was not needed
            return True
        arms.append((made, ways, steps))
    branch.steps.append(Step(6, uses=(way,), arms=arms))
    return True


def _guesses(branch: Branch, level: int) -> Iterator[Node]:
    """What may hold and help: divisors are positive; a quotient by b is not negative, and below s if b * s occurs."""
    atoms = branch.facts.atoms()
    for one in atoms:
        if one.tag in ("div", "mod") and one not in branch.defined and value(one.args[1]) is None:
            yield minus(one.args[1], const(1))
    monomials = dict.fromkeys(m for _, p in branch.facts.known for _, m in p.args if len(m) == 2)
    for one in atoms if level > 1 else ():
        if one.tag == "div" and one in branch.defined and one not in branch.bounded:
            branch.bounded.add(one)
            yield atom(one)
            for m in monomials:
                for b, s in (m, m[::-1]):
                    if one.args[1] is atom(b):
                        yield minus(minus(atom(s), const(1)), atom(one))


def _lemma(branch: Branch, p: Node, level: int, splits: int) -> bool:
    """Show p >= 0 by products of facts, and go on from there."""
    arms: list[tuple[list[int], list[int], Steps]] = []
    for yes in (False, True):
        inner = branch.copy()
        inner.facts.assume(make("ge", p), yes=yes)
        made, ways = inner.name()
        if not (_combined(inner, 1) if not yes else _close(inner, level, splits)):
            return False
        arms.append((made, ways, _needed(inner.steps)[0]))
    branch.steps.append(Step(7, arms=arms[::-1], poly=p))
    return True


def _combined(branch: Branch, level: int) -> bool:
    """A combination that contradicts itself, of the facts or (from level 1) of products of them too."""
    known = branch.facts.known
    made = _products(known, level) if level else []
    polys = [p for _, p in known] + [p for p, *_ in made]
    exact = [e for e, _ in known] + [e for _, e, *_ in made]
    found = contradiction([{m: c for c, m in p.args} for p in polys], exact, ())
    if found is None:
        return False
    total: dict[int, int] = {}
    for k, factor in found.items():
        if k < len(known):
            total[branch.known[k]] = factor
            continue
        _, _, first, *more = made[k - len(known)]
        name = branch.known[first]
        for other in more:
            product = Step(2, uses=(name, branch.known[other]))
            product.made = [next(branch.names)]
            branch.steps.append(product)
            name = product.made[0]
        total[name] = factor
    branch.steps.append(Step(0, sum=total))
    return True


def _products(known: list[tuple[bool, Node]], level: int) -> list[tuple[Any, ...]]:
    """(polynomial, whether it is 0, the factors' places) of products of two facts, or three."""
    places = [k for k, (_, p) in enumerate(known) if value(p) is None]
    out: list[tuple[Any, ...]] = []
    for a, b in combinations_with_replacement(places, 2):
        out.append((times(known[a][1], known[b][1]), known[a][0] or known[b][0], a, b))
    if level > 1:
        small = [k for k in places if len(known[k][1].args) <= 2 and not known[k][0]]
        for p, zero, a, b in [one for one in out if one[2] in small or one[3] in small]:
            least = b if b in small else a
            out += [(times(p, known[k][1]), zero, a, b, k) for k in small if k >= least]
    return out[:PRODUCTS]


def _define(branch: Branch) -> bool:
    """Say of one more atom what it is; False where nothing more is to be said."""
    atoms = branch.facts.atoms()
    for one in atoms:
        if one in branch.defined:
            continue
        if one.tag in ("imin", "imax"):
            branch.defined.add(one)
            branch.facts.choose(atoms.index(one))
            branch.took(Step(4, atom=one))
            return True
        if one.tag == "entry":
            branch.defined.add(one)
            for number, (pattern, _, _) in enumerate(branch.facts.every):
                if pattern.args[0] == one.args[0] and len(pattern.args) == len(one.args):
                    branch.facts.instance(number, branch.facts.atoms().index(one))
                    branch.took(Step(5, by=number, atom=one))
            return True
        if one.tag in ("div", "mod"):
            found = _positive(branch, one.args[1])
            if found is not None:
                branch.defined.add(one)
                branch.facts.define(branch.facts.atoms().index(one), found)
                uses = () if found < 0 else (branch.known[found],)
                branch.took(Step(3, uses=uses, atom=one))
                return True
    return False


def _tighten(branch: Branch) -> bool:
    """Round a fact all of whose coefficients but the constant have a common divisor; False where none is left."""
    for name, (exact, p) in zip(branch.known, branch.facts.known, strict=True):
        by = gcd(*(c for c, m in p.args if m))
        if by < 2 or name in branch.rounded or all(c % by == 0 for c, _ in p.args):
            continue
        branch.rounded.add(name)
        for factor in (1, -1) if exact else (1,):
            _cut(branch, by, {name: factor})
        return True
    return False


def _cut(branch: Branch, by: int, sum_: dict[int, int]) -> None:
    places = {name: place for place, name in enumerate(branch.known)}
    total = branch.facts.total([x for name, factor in sum_.items() for x in (places[name], factor)])
    branch.facts.known.append((False, poly({m: c // by for c, m in total.args})))
    branch.took(Step(1, by=by, sum=sum_))


def _positive(branch: Branch, den: Node) -> int | None:
    """The place of a fact that shows a divisor to be at least 1; -1: it is a constant; None: there is none."""
    if value(den) is not None:
        return -1 if int(value(den) or 0) > 0 else None
    for k, (exact, p) in enumerate(branch.facts.known):
        apart = value(minus(minus(den, const(1)), p))
        if not exact and apart is not None and apart >= 0:
            return k
    # den <= 0 contradicts the others: their sum is k * den + c, c < 0, so that den >= 1 by rounding.
    known = [*branch.facts.known, (False, minus(const(0), den))]
    found = contradiction([{m: c for c, m in p.args} for _, p in known], [e for e, _ in known], ())
    if found is None or len(known) - 1 not in found:
        return None
    by = found.pop(len(known) - 1)
    _cut(branch, by, {branch.known[k]: factor for k, factor in found.items()})
    return len(branch.known) - 1


def _needed(steps: Steps) -> tuple[Steps, set[int]]:
    """The steps that the end rests on, and the names of the facts and alternatives that they use."""
    uses: set[int] = set()
    kept: Steps = []
    for step in reversed(steps):
        last = step.kind in (0, 6, 7)
        if not last and uses.isdisjoint((*step.made, *step.ways)):
            continue
        kept.append(step)
        uses.update(step.uses, step.sum)
        for made, ways, inner in step.arms:
            uses |= _needed(inner)[1] - {*made, *ways}
    return kept[::-1], uses


def _numbered(facts: Facts, known: list[int], ways: list[int], steps: Steps) -> list[Any]:
    """The steps as the checker reads them, by doing them."""
    out: list[Any] = []
    for step in steps:
        pairs = [x for name, factor in step.sum.items() for x in (known.index(name), factor)]
        if step.kind in (6, 7):
            if step.poly is None:
                said: Any = ways.index(step.uses[0])
                cases = facts.ways[said]
            else:
                atoms = facts.atoms()
                said = [[c, *map(atoms.index, m)] for c, m in step.poly.args]
                cases = [(make("ge", step.poly), yes) for yes in (True, False)]
            inner = []
            for (part, yes), (made, more, proof) in zip(cases, step.arms, strict=True):
                arm = facts.copy().assume(part, yes=yes)
                inner.append(_numbered(arm, [*known, *made], [*ways, *more], proof))
            out.append([step.kind, said, *inner])
            continue
        place = facts.atoms().index(step.atom) if step.atom is not None else -1
        entry: list[Any] = {
            0: [0, *pairs],
            1: [1, step.by, *pairs],
            2: [2, *(known.index(name) for name in step.uses)],
            3: [3, place, *(known.index(name) for name in step.uses or ())] + ([-1] if not step.uses else []),
            4: [4, place],
            5: [5, step.by, place],
        }[step.kind]
        out.append(entry)
        _replay(facts, entry)
        known, ways = [*known, *step.made], [*ways, *step.ways]
    return out


def _replay(facts: Facts, step: list[Any]) -> None:
    kind, *rest = step
    if kind == 1:
        total = facts.total(rest[1:])
        facts.known.append((False, poly({m: c // rest[0] for c, m in total.args})))
    elif kind == 2:
        (first, p), (second, q) = (facts.known[k] for k in rest)
        facts.known.append((first or second, times(p, q)))
    elif kind in (3, 4, 5):
        (facts.define, facts.choose, facts.instance)[kind - 3](*rest)


class Search(Hints):
    """Hints that are found when they are asked for, and kept."""

    def __init__(self, effort: int = 2, splits: int = SPLITS) -> None:
        super().__init__([])
        self.settled: list[tuple[Facts, Node]] = []
        self.effort, self._splits = effort, splits

    def choice(self, options: Sequence[int], fits: Callable[[int], bool]) -> bool:
        before, kept, effort = len(self.given), len(self.settled), self.effort
        for self.effort in range(effort + 1):  # the easy proofs of all options first
            for k in options:
                self.given.append(k)
                if super().choice(options, fits):
                    self.effort = effort
                    return True
                # As if it had not been tried: the checker does not try it.
                del self.given[before:]
                self.used = before
                for facts, goal in self.settled[kept:]:
                    del facts.asked[goal]
                del self.settled[kept:]
        self.given.append(-1)
        return super().choice(options, fits)

    def steps(self, facts: Facts, goal: Node) -> Any:
        self.settled.append((facts, goal))
        try:
            found = refutation(facts.copy().assume(goal, yes=False), self.effort, self._splits)
        except Refused:
            found = None  # a product that is too large for the checker
        self.given.append(0 if found is None else found)
        return super().steps(facts, goal)
