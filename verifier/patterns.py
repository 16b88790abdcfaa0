"""KINK and JVP of a formula of several max, min and abs on a fixed number of entries: one pattern of signs at a time.

Let f be made of smooth functions, max, min and abs; p_1, ..., p_k are what these compare. Where all p_j have a strict
sign f is one smooth formula, f_P, on the open set where the signs are these; f is continuous, as max, min and abs are.
At a point z of the domain, where some p_j are 0, it is shown for one choice P of signs of these that

- f_P and each p_j are continuously differentiable near z;
- in some direction v, which stays in the domain, every p_j that is 0 leaves it towards its sign in P: its derivative
  along v has that sign;
- what the rule gives at z is the derivative of f_P.

So z is in the closure of the set of P, where f is f_P, and the rule is a limit of gradients: in the subdifferential of
Clarke (1983, theorem 2.5.1). Where f is differentiable at z, its gradient agrees with f_P's in an open cone of
directions: there the rule is the derivative, too. Where nothing ties it is the derivative of f. This is KINK and JVP.

The signs are tried as a tree, inner comparisons first; what Z3 shows to be impossible is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import lru_cache
from itertools import combinations, product

from gradproof.compiler.calculus import derivative
from gradproof.compiler.claims import Hypothesis
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
_CHOICES = frozenset({"max", "min", "abs"})


@dataclass(frozen=True, slots=True)
class Patterned:
    """What came of the patterns; `decisive` where the rule is not the derivative though nothing ties."""

    proof: Proof
    decisive: bool = False


class NoDerivative(Unsettled):
    """Where nothing ties the rule is not the derivative, as far as the normal form knows."""


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the tree is: the formula with the signs of P, the rule at z, the ties so far and what is known of z."""

    value: Term
    rule: Term
    ties: tuple[tuple[Term, int], ...] = ()  # what is 0 at z, and its sign in P
    facts: tuple[Cond, ...] = ()
    tied: bool = False  # whether anything is 0 at z, be it in the rule alone


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
        self._settle(_Place(self.cells.value, self.cells.rule, (), self.cells.facts))

    @property
    def names(self) -> frozenset[str]:
        """The entries that vary."""
        return frozenset(self.cells.names)

    # The tree

    def _settle(self, at: _Place) -> None:
        self.seen += 1
        if self.seen > MANY:
            raise Unsettled("too many patterns of signs")
        site = self._inner(at.value) or self._inner(at.rule)
        if site is None:
            self._leaf(at)
            return
        difference = sub(site.b, site.a)
        key = self._key(difference)
        if key.keys() <= {UNIT}:
            sign = _sign(key.get(UNIT, 0))
            self._settle(self._decided(at, key, sign, sign))
            return
        self._smooth(difference, at.facts)
        for sign, holds in ((1, RealCmp("<", ZERO, difference)), (-1, RealCmp("<", difference, ZERO))):
            if self._possible(holds, at.facts):
                self._settle(self._with(self._decided(at, key, sign, sign), holds))
        holds = RealCmp("==", difference, ZERO)
        if not self._possible(holds, at.facts):
            return
        error: Unsettled | None = None
        for side in (1, -1):  # one of the two is enough
            beside = replace(self._with(self._decided(at, key, side, 0), holds), tied=True)
            if beside.value != at.value:  # else the formula does not ask for this sign
                beside = replace(beside, ties=(*at.ties, (difference, side)))
            try:
                self._settle(beside)
            except Unsettled as why:
                error = error or why
            else:
                return
        assert error is not None
        raise error

    def _with(self, at: _Place, fact: Cond) -> _Place:
        return replace(at, facts=(*at.facts, fact))

    def _inner(self, term: Term) -> RealCmp | None:
        """A comparison of what varies in which nothing else is compared."""
        found: RealCmp | None = None
        for node in walk(term):
            if isinstance(node, RealCmp) and reads_any(node, self.names):
                inside = [n for side in (node.a, node.b) for n in walk(side) if isinstance(n, RealCmp)]
                if not any(reads_any(n, self.names) for n in inside):
                    return node
                found = found or node
        return found

    def _key(self, difference: Term) -> Form:
        if difference not in self.forms:
            self.forms[difference] = freeze(self.work.form(difference))
        return dict(self.forms[difference])

    def _decided(self, at: _Place, key: Form, side: int, sign: int) -> _Place:
        """The place with the comparisons of this difference decided: by P's sign in the formula, by z's in the rule."""
        value = _decide(at.value, self._decider(key, side))
        # What is compared inside of the rule's own comparisons has the same value at z on either side.
        return replace(at, value=value, rule=_decide(at.rule, self._decider(key, sign)))

    def _decider(self, key: Form, sign: int) -> Callable[[RealCmp], Cond]:
        opposite = scaled(key, -1)

        def decide(cond: RealCmp) -> Cond:
            if not reads_any(cond, self.names):
                return cond
            own = self._key(sub(cond.b, cond.a))
            if own != key and own != opposite:
                return cond
            here = sign if own == key else -sign
            return Truth({"<": here > 0, "<=": here >= 0, "==": here == 0}[cond.rel])

        return decide

    # At a leaf

    def _leaf(self, at: _Place) -> None:
        tangents = {n: f"{n}.u" for n in self.cells.names}
        slope = derivative(at.value, tangents)
        self._smooth(at.value, at.facts)
        self._smooth(at.rule, at.facts)
        if at.ties and not self._reached(at):
            raise Unsettled("no side of a tie is known to have inner points where several tie")
        if not self._same(at.rule, slope, at):
            if not at.tied:
                raise NoDerivative("away from the ties the rule is not known to be the derivative")
            raise Unsettled("at a tie the rule is not known to be the derivative on one of its sides")

    def _same(self, left: Term, right: Term, at: _Place) -> bool:
        values: dict[str, Term] = {}
        for difference, _ in ((None, 0), *at.ties):
            if difference is not None:
                solved = _solved(put(difference, values), self.work)
                if solved is None:
                    continue
                name, found = solved
                values = {n: put(v, {name: found}) for n, v in values.items()} | {name: found}
            one, two = put(left, values), put(right, values)
            if one == two or equal(one, two, self.context, (), PATIENCE).proved:
                return True
        return equal(left, right, self.context, at.facts, PATIENCE).proved

    def _reached(self, at: _Place) -> bool:
        """Whether some direction leads from the point into the set of P."""
        options: list[Cond] = []
        tangents = {n: f"{n}.v" for n in self.cells.names}
        slopes = [(derivative(difference, tangents), side) for difference, side in at.ties]
        for direction in _directions(self.cells.names):
            along = {f"{n}.v": num(direction.get(n, 0)) for n in self.cells.names}
            inside = Side({n: along[f"{n}.v"] for n in self.cells.names}, True)
            leaving = (RealCmp("<", ZERO, mul(num(side), put(s, along))) for s, side in slopes)
            options.append(both(*leaving, *map(inside.cond, self.cells.facts)))
        return self._ask(either(*options), at.facts)

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
