"""JVP, VJP and RUNS of an operator, stated from its definition, and the steps that show them. [trusted]

JVP: the jvp that runs is the calculus's derivative of the meaning. VJP: summed over all entries <jvp, g> = <dx, vjp>,
with the calculus's derivative as the jvp. RUNS: what runs is the meaning. Of a formula with ties JVP and VJP may hold
away from them only (`away`), which leans on KINK; the jvp and the vjp that run are then shown to agree everywhere.

The difference of both sides is brought to its normal form; each step puts something equal in the place of one monomial,
and in the end nothing is left. Monomials, and what is inside them, go by their numbers in the order of their texts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

from . import terms as t
from .calculus import STEPS, derivative
from .linear import Facts, Hints
from .monomials import NONE, UNIT, Form, Mono, accumulate, plus, scaled
from .normal import Normal
from .operators import Formula, Op
from .scopes import scope_of
from .terms import ZERO, Node, Refused
from .vanishing import vanishes

RESULT = {"!y": "dy"}  # an extern's result, and its tangent
FEW = 16  # a sum over so many indices is added up one by one


class Law(NamedTuple):
    """left = right, for all values of the indices in `ranges`: trusted."""

    ranges: tuple[tuple[str, Node], ...]
    left: Node
    right: Node


class Statement(NamedTuple):
    """left = right where the laws hold, for all sizes and all values of the indices in `ranges`."""

    left: Node
    right: Node
    ranges: Mapping[str, Node]
    laws: tuple[Law, ...]


def tied(op: Op) -> bool:
    """Whether the formula may have ties: what a stanza declares, and of what varies a condition, optimum or kink."""
    moving = {p.name for p in op.moving}

    def one(n: Node) -> bool:
        kinked = n.tag in ("lt", "le", "same") or (n.tag == "reduce" and n.args[0] in ("max", "min"))
        kinked = kinked or (n.tag == "call" and n.args[0] in (*STEPS, "abs", "max", "min"))
        return kinked and any(inner.tag == "read" and inner.args[0] in moving for inner in t.walk(n))

    return bool(op.kinks) or any(map(one, t.walk(op.meaning())))


def paired(body: Node, tensor: str, formula: Formula) -> Node:
    """The sum over all entries of body * tensor."""
    found = t.mul(body, t.make("read", tensor, *map(t.sym, formula.indices)))
    for name, extent in reversed([*zip(formula.indices, formula.extents, strict=True)]):
        found = t.reduce("sum", name, extent, t.TRUE, found)
    return found


def rule(op: Op, formula: Formula, indices: Sequence[str]) -> Node:
    """What a rule says at these indices, unfolded."""
    names = {old: t.sym(new) for old, new in zip(formula.indices, indices, strict=True)}
    return t.substitute(op.unfolded(formula.body), names)


def statement(op: Op, code: str, name: str = "", pairs: bool = False, agree: bool = False) -> Statement:
    """The statement of a claim; `pairs` asks for the sums of the entries with any weights instead of each entry.

    `agree`: that the jvp and the vjp (of the input `name`) that run are adjoint to each other.
    Where laws stand in place of a formula, dy is any tensor with which they hold.
    """
    forward, meaning = op.forward, op.meaning()
    axes = {"y": op.output.extents, **{p.name: p.extents for p in op.moving}}
    if any(f.result.extents != axes[key or "y"] for key, f in op.computed.items()) or forward.extents != axes["y"]:
        raise Refused("a rule that does not say what every entry is")
    tangents = {p.name: "d" + p.name for p in op.moving}
    outside = {"g", "dy", *tangents.values()}  # what neither the meaning nor a rule reads, but for what the rule is of
    _reads_none(op, meaning, outside)
    along = {name: tangents[name]} if code == "VJP" else tangents
    still = {d: (tuple(f"i{k}" for k, _ in enumerate(axes[p])), ZERO) for p, d in tangents.items() if p not in along}
    known, names = laws(op, along, still), {**along, **RESULT} if op.lawful else along
    if code == "VJP":
        found = op.computed[name].result
        vjp, jvp = op.unfolded(found.body), rule(op, op.computed["y"].result, forward.indices) if agree else ZERO
        _reads_none(op, vjp, outside - {"g"})
        _reads_none(op, jvp, {"g", "dy"})
        left = t.inline(jvp, still) if agree else derivative(meaning, names)
        return Statement(paired(left, "g", forward), paired(vjp, "d" + name, found), {}, known)
    if code == "JVP":
        left, right = rule(op, op.computed["y"].result, forward.indices), derivative(meaning, names)
    else:
        left, right = rule(op, op.runs or forward, forward.indices), meaning
    _reads_none(op, left, {"g", "dy"} if code == "JVP" else outside)
    if pairs:
        return Statement(paired(left, "g", forward), paired(right, "g", forward), {}, known)
    return Statement(left, right, dict(zip(forward.indices, forward.extents, strict=True)), known)


def laws(op: Op, along: Mapping[str, str], still: Mapping[str, tuple[tuple[str, ...], Node]]) -> tuple[Law, ...]:
    """The laws of what externs compute, where only the inputs `along` move, each with its derivative if it has one.

    It has where it speaks of inputs and the result alone. A law that is no polynomial is passed over.
    """
    found: list[Law] = []
    results = {tensor for tensor, _ in op.externs}
    inputs = {*op.reals, *(p.name for p in op.params)}
    for left, right, *_ in op.laws:
        sides = [t.inline(op.unfolded(side.body), still) for side in (left, right)]
        reads = {n.args[0] for side in sides for n in t.walk(side) if n.tag in ("read", "bool", "entry")}
        if reads.isdisjoint(results) or not all(map(polynomial, sides)):
            continue
        ranges = tuple(zip(left.indices, left.extents, strict=True))
        found.append(Law(ranges, *sides))
        if reads <= inputs | {*RESULT}:
            found.append(Law(ranges, *(derivative(side, {**along, **RESULT}) for side in sides)))
    return tuple(found)


def polynomial(term: Node) -> bool:
    """Whether a term is a polynomial in entries of tensors, chosen by conditions on integers: it has a value always."""
    tags = {n.tag for n in t.walk(term)} | {n.args[0] for n in t.walk(term) if n.tag == "reduce"}
    powers = (n.args[1] for n in t.walk(term) if n.tag == "pow")
    return tags.isdisjoint(("call", "lt", "le", "same", "prod", "max", "min")) and all(e >= 0 for e in powers)


def _reads_none(op: Op, node: Node, names: set[str]) -> None:
    if not op.depends(node).isdisjoint(names):
        raise Refused("a formula depends on what it should not")


def _within(p: Node, extent: Node) -> tuple[Node, Node]:
    return t.ge(p), t.ge(t.minus(t.plus(extent, t.const(-1)), p))


def normal(op: Op, facts: Facts, ranges: Mapping[str, Node], generic: frozenset[str] = NONE) -> Normal:
    """Normal forms where an operator's facts hold."""
    if any(name.startswith("%") for name in op.fixed | ranges.keys()):
        raise Refused("a size or index with the name of a canonical one")
    lower, plain = dict.fromkeys(op.sizes, 0), [p for _, p in facts.known]
    plain += [t.minus(t.const(0), p) for exact, p in facts.known if exact]
    for p in plain:
        least = t.value(t.minus(t.sym(next(iter(p.free))), p)) if len(p.free) == 1 else None
        if least is not None:
            (name,) = p.free
            lower[name] = max(lower.get(name, least), least)
    work = Normal(lower, ranges, plain, generic)
    work.every = facts.every
    return work


class Proof:
    """The difference of a statement's sides, on its way to nothing."""

    def __init__(self, op: Op, claim: Statement, away: bool, nodes: Sequence[Node], hints: Hints) -> None:
        scope = scope_of(op)
        self.ranges, self.nodes, self.hints, self.facts = dict(claim.ranges), nodes, hints, scope.facts
        self.reals = [c for c in scope.reals if c.tag in ("lt", "le") and c.free <= op.fixed]
        self.taken = op.fixed | claim.ranges.keys()
        self.laws = claim.laws
        self.work = normal(op, self.facts, self.ranges, frozenset(p.name for p in op.moving) if away else NONE)
        left, right = self.work.form(claim.left), self.work.form(claim.right)
        self.left = self.work.canonical(plus(left, scaled(right, -1)))

    def step(self, kind: str, place: int, *rest: Any) -> None:
        """Replace monomial `place`."""
        mono, c = self.monomials()[place]
        new = self.work.canonical(STEP[kind](self, mono, *rest))
        for one in new:
            if not NONE.union(*(n.free for n in self._parts(one))) - {v for v, _ in one[0]} <= self.taken:
                raise Refused("an index outside of its sum")
        del self.left[mono]
        accumulate(self.left, new, c)

    def monomials(self) -> list[tuple[Mono, Any]]:
        """The monomials in their order."""
        t.spend(len(self.left))
        return self.work.ordered(self.left)

    def _shown(self, goal: Node, ranges: Mapping[str, Node], conds: Sequence[Node]) -> None:
        """Refused unless a condition on integers follows."""
        facts = [c.args[0] for c in conds if c.tag == "ge"]
        easier = self.work.whole(goal, ranges, facts)
        if any(g.tag == "ge" and self.work.surely(g.args[0], ranges, facts) for g in (goal, easier)):
            return
        goal = easier
        here = [c for v, e in sorted({**self.ranges, **ranges}.items()) for c in _within(t.sym(v), e)]
        if not self.hints.shown(self.facts.copy().assume(*here, *conds), goal):
            raise Refused("a condition on integers is not shown")

    def _clear(self, mono: Mono, other: int, factor: int, names: Sequence[int]) -> Form:
        """m = m B^-1 B, where B is not 0 throughout; B is a factor of another monomial, its indices renamed to m's."""
        theirs = self.monomials()[other][0]
        base = sorted((a for a, _ in theirs[2]), key=lambda a: a.key)[factor]
        inside = sorted(v for v, _ in theirs[0] if v in base.free)
        own = sorted(v for v, _ in mono[0])
        mapping = {v: t.sym(own[k]) for v, k in zip(inside, names, strict=True)}
        form = self.work.form(t.substitute(base, mapping))
        inverse = self.work.power(form, -1)
        present = {a for a, e in mono[2] if e < 0}
        for atom in (a for m in inverse for a, _ in m[2]):
            if atom not in present and vanishes(self.work, atom, dict(mono[0])):
                raise Refused("what may be 0 throughout is no denominator")
        body: Form = {(NONE, mono[1], mono[2]): 1}
        return self.work.under(mono[0], self.work.times(self.work.times(body, inverse), form))

    def _law(self, mono: Mono, number: int, weight: int) -> Form:
        """m + the sum of weight * (left - right), for a law: the weight is any polynomial, with the law's indices."""
        law, by = self.laws[number], t.at(self.nodes, weight, "t")
        if number < 0 or not polynomial(by):
            raise Refused("a law that is not there, or a weight that may have no value")
        names = {v: f"~{next(self.work.names)}" for v, _ in law.ranges}
        away = {v: t.sym(name) for v, name in names.items()}
        scale, left, right = (self.work.form(t.substitute(node, away)) for node in (by, law.left, law.right))
        nothing = self.work.times(scale, plus(left, scaled(right, -1)))
        return plus({mono: 1}, self.work.under(frozenset((names[v], e) for v, e in law.ranges), nothing))

    def _split(self, mono: Mono, cond: int) -> Form:
        """m = m [c] + m [not c]; of a sum that has c already, it without c is left: m [c] = m - m [not c]."""
        yes = t.at(self.nodes, cond, "c")
        whole: Form = {(mono[0], mono[1] - {yes}, mono[2]): 1}
        no = self.work.times(whole, self.work.where(t.negate(yes)))
        if yes in mono[1]:
            return plus(whole, scaled(no, -1))
        return plus(self.work.times(whole, self.work.where(yes)), no)

    def _parts(self, mono: Mono) -> list[Node]:
        return [*(e for _, e in mono[0]), *mono[1], *(a for a, _ in mono[2])]

    def _integers(self, mono: Mono, without: Node | None = None) -> list[Node]:
        return sorted((c for c in mono[1] if c.tag in ("ge", "eq") and c is not without), key=lambda c: c.key)

    def _have(self, mono: Mono, cond: int) -> Form:
        """A condition that follows from the others is put beside them."""
        more = t.at(self.nodes, cond, "c")
        self._shown(more, dict(mono[0]), self._integers(mono))
        return self.work.times({mono: 1}, self.work.where(more))

    def _drop(self, mono: Mono, place: int) -> Form:
        """A condition that follows from the others is left out."""
        cond = self._integers(mono)[place]
        self._shown(cond, dict(mono[0]), self._integers(mono, cond))
        return {(mono[0], mono[1] - {cond}, mono[2]): 1}

    def _empty(self, mono: Mono) -> Form:
        """Nothing, where the conditions contradict each other."""
        self._shown(t.FALSE, dict(mono[0]), self._integers(mono))
        return {}

    def _few(self, mono: Mono, place: int) -> Form:
        """A sum over a few indices, added up."""
        var, extent = sorted(mono[0])[place]
        length = t.value(extent)
        if length is None or length > FEW:
            raise Refused("a sum over many indices is not added up")
        rest = (mono[0] - {(var, extent)}, mono[1], mono[2])
        return plus(*(self.work.moved(rest, {var: t.const(k)}) for k in range(length)))

    def _move(
        self, mono: Mono, names: Sequence[str], extents: Sequence[int], conds: Sequence[int], there: Any, back: Any
    ) -> Form:
        """Other indices: old ones as polynomials in new ones and back, each the inverse of the other on the sets."""
        old = sorted(mono[0], key=lambda b: b[0])
        lengths = [t.at(self.nodes, e, "p") for e in extents]
        new = [*zip(map(t.name, names), lengths, strict=True)]
        where = [t.at(self.nodes, c, "c") for c in conds]
        forward = {v: t.at(self.nodes, p, "p") for (v, _), p in zip(old, there, strict=True)}
        backward = {v: t.at(self.nodes, p, "p") for (v, _), p in zip(new, back, strict=True)}
        before, after = {v for v, _ in old}, {v for v, _ in new}
        outside = (self.taken | NONE.union(*(n.free for n in self._parts(mono)))) - before
        free = [
            NONE.union(*(p.free for p in part)) for part in ((*forward.values(), *where), backward.values(), lengths)
        ]
        if len(after) != len(new) or after & outside or free[0] & (before - after) or free[1] & (after - before):
            raise Refused("indices are not told apart")
        if free[2] & (before | after) or any(e.free & (before | after) for _, e in old):
            raise Refused("a range that depends on another index")
        sides: Any = (
            (new, old, forward, backward, where, self._integers(mono)),
            (old, new, backward, forward, self._integers(mono), where),
        )
        for side, other, there_, back_, has, gets in sides:
            ranges = dict(side)
            for v, extent in other:
                for goal in _within(there_[v], t.substitute(extent, there_)):
                    self._shown(goal, ranges, has)
            for cond in gets:
                self._shown(t.substitute(cond, there_), ranges, has)
            for v, p in back_.items():
                self._shown(t.eq(t.minus(t.substitute(p, there_), t.sym(v))), ranges, has)
        real = frozenset(c for c in mono[1] if c.tag not in ("ge", "eq"))
        moved = self.work.moved((NONE, real, mono[2]), forward)
        return self.work.under(frozenset(new), self.work.times({(NONE, frozenset(where), NONE): 1}, moved))

    def _never(self, mono: Mono, *times: str) -> Form:
        """Nothing, where conditions on reals contradict each other: some of them add up to what they exclude."""
        self._contradict([(c, True) for c in self._signs(mono)], times)
        return {}

    def _sure(self, mono: Mono, place: int, *times: str) -> Form:
        """A condition on reals is left out that follows from the others: its negation contradicts them."""
        signs = self._signs(mono)
        self._contradict([(c, c is not signs[place]) for c in signs], times)
        return {(mono[0], mono[1] - {signs[place]}, mono[2]): 1}

    def _zero(self, mono: Mono, place: int) -> Form:
        """m + k p (1 - [p > 0] - [p < 0]): p is 0 where it has no sign. k is such that m falls away.

        k is a product of entries and sizes, and p a sum of such: k p goes to 0 where p does, as 1/p * p does not.
        """
        cond = self._signs(mono)[place]
        p = cond.args[0] if cond.args[1] is ZERO else cond.args[1]
        form, powers = self.work.form(p), dict(mono[2])
        (first, c), *_ = self.work.ordered(form)
        for atom, e in first[2]:
            powers[atom] = powers.get(atom, 0) - e
        left = [(a, e) for a, e in powers.items() if e]
        beside = [*left, *(f for m in form for f in m[2])]
        if first[0] or first[1] or any(e < 0 or e != int(e) or a.tag not in ("read", "size") for a, e in beside):
            raise Refused("what stands beside a condition may have no bounds")
        rest = self.work.monomial(NONE, mono[1] - {cond}, left)
        nothing = self.work.times(self.work.times(rest, form), self.work.where(t.make("same", ZERO, p)))
        return plus({mono: 1}, scaled(self.work.under(mono[0], nothing), Fraction(1) / c))

    def _signs(self, mono: Mono) -> list[Node]:
        return sorted((c for c in mono[1] if c.tag == "lt"), key=lambda c: c.key)

    def _contradict(self, conds: list[tuple[Node, bool]], times: Sequence[str]) -> None:
        """Refused unless the differences, so many times each, add up to less than they must; then what is required."""
        total: Form = {}
        strict = False
        for (cond, yes), text in zip([*conds, *((c, True) for c in self.reals)], times, strict=True):
            factor = t.rational(text)
            if factor < 0:
                raise Refused("a condition is taken a negative number of times")
            low, high = cond.args if yes else reversed(cond.args)  # low < high; its negation is high <= low
            strict = strict or (factor > 0 and cond.tag == "lt" and yes)
            for side, sign in ((high, factor), (low, -factor)):
                accumulate(total, self.work.form(side), sign)
        total = self.work.canonical(total)
        least = total.pop(UNIT, 0)
        if total or least > 0 or (least == 0 and not strict):
            raise Refused("the conditions do not contradict each other")


STEP: dict[str, Callable[..., Form]] = {
    "clear": Proof._clear,
    "law": Proof._law,
    "split": Proof._split,
    "have": Proof._have,
    "drop": Proof._drop,
    "empty": Proof._empty,
    "few": Proof._few,
    "move": Proof._move,
    "never": Proof._never,
    "sure": Proof._sure,
    "zero": Proof._zero,
}


def replay(op: Op, claim: Statement, away: bool, nodes: Sequence[Node], steps: Any, hints: Hints) -> None:
    """Refused unless the steps show the statement."""
    proof = Proof(op, claim, away, nodes, hints)
    for kind, place, *rest in steps:
        if kind not in STEP or type(place) is not int or place < 0:
            raise Refused("an unknown step")
        proof.step(kind, place, *rest)
    hints.close()
    if proof.left:
        raise Refused(f"{len(proof.left)} terms of the difference remain")


def identity(op: Op, code: str, name: str, parts: Any, nodes: Sequence[Node]) -> None:
    """Refused unless the parts, each [away, pairs, steps, hints], show a claim of an operator."""
    wanted = [False, True] if code == "VJP" and tied(op) else [False]
    if len(parts) != len(wanted):
        raise Refused("an identity of too few parts, or of too many")
    for (away, pairs, steps, hints), agree in zip(parts, wanted, strict=True):
        if away and (agree or code == "RUNS" or not tied(op)):
            raise Refused("it has to hold at ties, too")
        replay(op, statement(op, code, name, bool(pairs), agree), bool(away), nodes, steps, Hints(hints))
