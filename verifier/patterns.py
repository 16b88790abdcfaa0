"""KINK and JVP of a formula of several max, min and abs on a fixed number of entries: one pattern of signs at a time.

Let f be made of smooth functions, max, min and abs; p_1, ..., p_k are what these compare. Where all p_j have a strict
sign f is one smooth formula, f_P, on the open set where the signs are these; f is continuous, as max, min and abs are.
At a point z of the domain, where some p_j are 0, it is shown for one choice P of signs of these, or for two, that

- f_P and each p_j are continuously differentiable near z;
- in some direction v, which stays in the domain, every p_j that is 0 leaves it towards its sign in P: its derivative
  along v has that sign;
- what the rule gives at z is the derivative of f_P, or the mean of two such.

So z is in the closure of the set of P, where f is f_P, and f_P's gradient is a limit of gradients of f: in Clarke's
subdifferential, which is convex (1983, theorem 2.5.1). Where f is differentiable at z, its gradient agrees with f_P's
in an open cone of directions: there the rule is the derivative, too. Where nothing ties it is the derivative of f.
This is KINK and JVP.

The signs are tried as a tree, inner comparisons first; what Z3 shows to be impossible is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import lru_cache
from itertools import combinations, product
from typing import Any

from gradproof.compiler.calculus import derivative
from gradproof.compiler.claims import Hypothesis
from gradproof.compiler.denote import Env, Intervals, Undecided, evaluate
from gradproof.compiler.functions import FUNCTIONS
from gradproof.compiler.ops import OpDef
from gradproof.compiler.rewriting import map_children, map_cond, walk
from gradproof.compiler.rules import meaning_of, rules_of
from gradproof.compiler.terms import (
    ONE,
    ZERO,
    Call,
    Cond,
    Read,
    RealCmp,
    Reduce,
    Select,
    Term,
    Truth,
    add,
    both,
    either,
    mul,
    negate,
    num,
    select,
    sub,
)
from gradproof.verifier.cells import PATIENCE, Cells, Elsewhere, Unsettled
from gradproof.verifier.equality import equal
from gradproof.verifier.forms import UNIT, Form, Frozen, TooLarge, scaled
from gradproof.verifier.naming import freeze
from gradproof.verifier.normal import Normalizer
from gradproof.verifier.proofs import Proof
from gradproof.verifier.ranges import Context
from gradproof.verifier.setting import setting_of
from gradproof.verifier.sides import Opaque, Side, known_values, put, reads_any

FEWEST = 2  # comparisons: of one alone the other means know as much
MANY = 600  # patterns, at most
ENTRIES = 6
SIDES = 16  # of the ties at one point, at most
POINTS = 3
_CHOICES = frozenset({"max", "min", "abs"})


@dataclass(frozen=True, slots=True)
class Patterned:
    """What came of the patterns; `decisive` where the rule is not the derivative though nothing ties."""

    proof: Proof
    decisive: bool = False


class NoDerivative(Unsettled):
    """Where nothing ties the rule is not the derivative, as far as the normal form knows."""


@dataclass(frozen=True, slots=True)
class _Branch:
    """The formula with the signs of one P, and of what is 0 at z: its sign in P."""

    value: Term
    ties: tuple[tuple[Term, int], ...] = ()


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the tree is: the formula for each P so far, the rule at z, what is known of z and is 0 there."""

    branches: tuple[_Branch, ...]
    rule: Term
    facts: tuple[Cond, ...] = ()
    zeros: tuple[Term, ...] = ()


@dataclass(slots=True)
class Patterns:
    """The tree of one operator's patterns."""

    cells: Cells
    context: Context
    work: Normalizer = field(default_factory=lambda: Normalizer(Context({}, {})))
    forms: dict[Term, Frozen] = field(default_factory=dict)
    seen: int = 0

    def prove(self) -> None:
        """Settle every pattern; Unsettled where one can't be."""
        self._settle(_Place((_Branch(self.cells.value),), self.cells.rule, self.cells.facts))

    @property
    def names(self) -> frozenset[str]:
        """The entries that vary."""
        return frozenset(self.cells.names)

    # The tree

    def _settle(self, at: _Place) -> None:
        self.seen += 1
        if self.seen > MANY:
            raise Unsettled("too many patterns of signs")
        site = next(filter(None, map(self._inner, (*(b.value for b in at.branches), at.rule))), None)
        if site is None:
            self._leaf(at)
            return
        difference = sub(site.b, site.a)
        key = self._key(difference)
        if key.keys() <= {UNIT}:
            self._settle(self._decided(at, key, _sign(key.get(UNIT, 0))))
            return
        self._smooth(difference, at.facts)
        for sign, holds in ((1, RealCmp("<", ZERO, difference)), (-1, RealCmp("<", difference, ZERO))):
            if self._possible(holds, at.facts):
                self._settle(replace(self._decided(at, key, sign), facts=(*at.facts, holds)))
        holds = RealCmp("==", difference, ZERO)
        if not self._possible(holds, at.facts):
            return
        if not reads_any(difference, self.names):  # it is 0 near by, too
            self._settle(replace(self._decided(at, key, 0), facts=(*at.facts, holds)))
        else:
            self._settle(self._at_tie(at, key, difference, (*at.facts, holds)))

    def _inner(self, term: Term) -> RealCmp | None:
        """A comparison of scalars in which nothing else is compared."""
        for node in walk(term):
            if isinstance(node, RealCmp) and _reads(node):
                inside = [n for side in (node.a, node.b) for n in walk(side) if isinstance(n, RealCmp)]
                if not any(map(_reads, inside)):
                    return node
        return None

    def _key(self, difference: Term) -> Form:
        if difference not in self.forms:
            self.forms[difference] = freeze(self.work.form(difference))
        return dict(self.forms[difference])

    def _decided(self, at: _Place, key: Form, sign: int) -> _Place:
        """The place with the comparisons of this difference decided."""
        decide = self._decider(key, sign)
        branches = tuple(replace(b, value=_decide(b.value, decide)) for b in at.branches)
        return replace(at, branches=branches, rule=_decide(at.rule, decide))

    def _at_tie(self, at: _Place, key: Form, difference: Term, facts: tuple[Cond, ...]) -> _Place:
        """The place with the difference 0: the formula with either sign, where it asks for it.

        What is compared inside of the rule's own comparisons has the same value at z on either side.
        """
        found: dict[_Branch, None] = {}
        for branch in at.branches:
            for side in (1, -1):
                value = _decide(branch.value, self._decider(key, side))
                asked = value != branch.value
                found[_Branch(value, (*branch.ties, (difference, side))) if asked else branch] = None
        if len(found) > SIDES:
            raise Unsettled("too many ties at once")
        return _Place(tuple(found), _decide(at.rule, self._decider(key, 0)), facts, (*at.zeros, difference))

    def _decider(self, key: Form, sign: int) -> Callable[[RealCmp], Cond]:
        opposite = scaled(key, -1)

        def decide(cond: RealCmp) -> Cond:
            if not _reads(cond):
                return cond
            own = self._key(sub(cond.b, cond.a))
            if own != key and own != opposite:
                return cond
            here = sign if own == key else -sign
            return Truth({"<": here > 0, "<=": here >= 0, "==": here == 0}[cond.rel])

        return decide

    # At a leaf

    def _leaf(self, at: _Place) -> None:
        self._smooth(at.rule, at.facts)
        tangents = {n: f"{n}.u" for n in self.cells.names}
        slopes: list[Term] = []
        for branch in at.branches:
            if branch.ties and not self._reached(branch, at.facts):
                continue
            self._smooth(branch.value, at.facts)
            slopes.append(derivative(branch.value, tangents))
            if self._same(at.rule, slopes[-1], at):
                return
        if not slopes:
            raise Unsettled("no side of a tie is known to have inner points where several tie")
        if not at.zeros:
            raise NoDerivative("away from the ties the rule is not known to be the derivative")
        for one, two in combinations(slopes, 2):
            if self._same(at.rule, mul(num(Fraction(1, 2)), add(one, two)), at):
                return
        raise Unsettled("at a tie the rule is not known to be the derivative on one side, or between two sides")

    def _same(self, left: Term, right: Term, at: _Place) -> bool:
        """Whether both are equal where what ties is 0: entries are solved for and put in."""
        values: dict[str, Term] = {}
        for difference in (None, *at.zeros):
            if difference is not None:
                solved = _solved(put(difference, values), self.work)
                if solved is None:
                    continue
                name, found = solved
                values = {n: put(v, {name: found}) for n, v in values.items()} | {name: found}
            one, two = put(left, values), put(right, values)
            if one == two or (not differ(one, two) and equal(one, two, self.context, (), PATIENCE).proved):
                return True
        if len(values) == len(at.zeros) and differ(put(left, values), put(right, values)):
            return False
        return equal(left, right, self.context, at.facts, PATIENCE).proved

    def _reached(self, branch: _Branch, facts: tuple[Cond, ...]) -> bool:
        """Whether some direction leads from the point into the set of P."""
        options: list[Cond] = []
        tangents = {n: f"{n}.v" for n in self.cells.names}
        slopes = [(derivative(difference, tangents), side) for difference, side in branch.ties]
        for direction in _directions(self.cells.names):
            along = {f"{n}.v": num(direction.get(n, 0)) for n in self.cells.names}
            inside = Side({n: along[f"{n}.v"] for n in self.cells.names}, True)
            leaving = (RealCmp("<", ZERO, mul(num(side), put(s, along))) for s, side in slopes)
            options.append(both(*leaving, *map(inside.cond, self.cells.facts)))
        return self._ask(either(*options), facts)

    def _smooth(self, term: Term, facts: tuple[Cond, ...]) -> None:
        side = Side({n: Read(f"{n}.v", ()) for n in self.cells.names}, True)
        for need in dict.fromkeys(side.needs(term)):
            if not self._ask(need, facts):
                raise Unsettled("the formula may be undefined or steep at a tie")

    # Z3

    def _ask(self, goal: Cond, facts: tuple[Cond, ...]) -> bool:
        from gradproof.verifier.smt import prove_real

        given = [*facts, *known_values(goal, *facts)]
        return prove_real(goal, given, min(self.cells.timeout, PATIENCE)).answer == "proved"

    def _possible(self, cond: Cond, facts: tuple[Cond, ...]) -> bool:
        return not self._ask(negate(cond), facts)


def _reads(node: Term | Cond) -> bool:
    return any(isinstance(inner, Read) for inner in walk(node))


def _sign(value: object) -> int:
    return (value > 0) - (value < 0)  # type: ignore[operator]


def _decide(node: Term, decide: Callable[[RealCmp], Cond]) -> Term:
    """The term with comparisons decided, inner ones first."""

    def cond(one: Cond) -> Cond:
        one = map_cond(one, term, cond)
        return decide(one) if isinstance(one, RealCmp) else one

    def term(one: Term) -> Term:
        if isinstance(one, Select):
            return select(cond(one.cond), term(one.then), term(one.other))
        return map_children(one, term, cond)

    return term(node)


def _solved(difference: Term, work: Normalizer) -> tuple[str, Term] | None:
    """A scalar of which the difference is a multiple beside what does not read it, and where it is 0."""
    for name in sorted({n.tensor for n in walk(difference) if isinstance(n, Read) and not n.index}):
        rest = put(difference, {name: ZERO})
        slope = work.form(sub(put(difference, {name: ONE}), rest))
        if slope.keys() != {UNIT}:
            continue
        wanted = mul(num(1 / Fraction(slope[UNIT])), mul(num(-1), rest))
        if not work.form(put(difference, {name: wanted})):
            return name, wanted
    return None


def differ(left: Term, right: Term) -> bool:
    """Whether two terms over scalars have different values at one of some points: what is none is soon known."""
    scalars = sorted({n.tensor for term in (left, right) for n in walk(term) if isinstance(n, Read) and not n.index})
    for seed in range(POINTS):
        values = {name: num(Fraction(5 * k + 3 * seed + 2, 7 + seed)) for k, name in enumerate(scalars)}
        env = Env({}, _nowhere, _nowhere, _nowhere)
        try:
            one, two = (evaluate(put(term, values), env, Intervals()) for term in (left, right))
            if not (one - two).contains(0):
                return True
        except (ArithmeticError, LookupError):
            continue
    return False


def _nowhere(name: str, index: tuple[int, ...]) -> Any:
    raise Undecided(f"{name} at {index} has no value")


def _directions(names: tuple[str, ...]) -> Iterator[dict[str, int]]:
    """Along one entry, and along two at once."""
    for name in names:
        yield {name: 1}
        yield {name: -1}
    for one, two in combinations(names, 2):
        for a, b in product((1, -1), repeat=2):
            yield {one: a, two: b}
            yield {one: a, two: 3 * b}
            yield {one: 3 * a, two: b}


def comparisons(op: OpDef) -> int:
    """How many max, min and abs of what varies there are; Elsewhere where anything else is compared."""
    moving, found = frozenset(p.name for p in op.differentiable), set[Term]()
    for node in walk(meaning_of(op)):
        if isinstance(node, Select) and reads_any(node.cond, moving):
            raise Elsewhere("a condition on entries that vary")
        if isinstance(node, Reduce) and reads_any(node, moving):
            raise Elsewhere(f"a {node.kind} of entries that vary")
        if isinstance(node, Call) and reads_any(node, moving):
            if node.fn in _CHOICES:
                found.add(node)
            elif FUNCTIONS[node.fn].pieces or FUNCTIONS[node.fn].jump is not None:
                raise Elsewhere(f"{node.fn} of entries that vary")
    return len(found)


@lru_cache(maxsize=1024)
def prove_patterns(op: OpDef, timeout: float) -> Patterned:
    """KINK, and JVP everywhere, of an operator of this shape."""
    try:
        if op.kinks or comparisons(op) < FEWEST:
            raise Elsewhere("few comparisons, or a declared value")
        cells = Cells(op, rules_of(op), timeout, most=ENTRIES)
        cells.read()
        ranges = dict(zip(op.forward.indices, op.forward.extents, strict=True))
        Patterns(cells, setting_of(op).context.with_ranges(ranges)).prove()
    except NoDerivative as error:
        return Patterned(Proof(False, "", (), str(error)), decisive=True)
    except (Unsettled, Opaque, TooLarge) as error:
        return Patterned(Proof(False, "", (), str(error)))
    how = "the derivative on one of the sides that meet there, each with inner points"
    return Patterned(Proof(True, "normal form + z3", (Hypothesis("at a tie a subgradient is used", how),)))
