"""KINK of max, min and abs of smooth functions that stand inside a larger smooth formula.

Let f = F(m_1, ..., m_k, x), with F continuously differentiable at z, and so each argument of every m_j = max(a, b),
min(a, b) or |a|; the smaller argument of a max need only be continuous there, as m_j is the other one near by. Where
m_j ties, its Clarke subdifferential is the segment between the gradients of its two sides: m = b + max(0, a - b), and
that of max(0, p) at p = 0 is {w p' : 0 <= w <= 1}, whether or not p' is 0 (Clarke 1983, 2.3.12).
An optimum over an index, or a max of maxima, has the hull of those that attain it if what it is taken of is
regular: smooth, or an optimum of its own kind (2.3.12 again; for min, of -m). F is strictly differentiable, so

- where one m_j ties, the others are smooth, and {F_x + sum F_j g_j : g_j in the subdifferential of m_j} is that of f
  exactly (2.3.3 with corollary 1, 2.3.9), whatever the sign of F_j;
- where several tie that read different tensors, gradients beside z come from all choices of theirs at once, so the
  same holds with all g_j chosen freely.

A choice is one of these where its sides meet: if a < b implies A - B = k (a - b) for k = 1 or -1, then
select(a < b, A, B) is B + k min(a - b, 0).

So no two may tie at once (Z3), unless they read different tensors and neither stands in the other: max(0, p) less
max(0, -p) is p, and no free choice is right for it. What is proved of the rule: everywhere it is the derivative of F
with one weight w, a constant, for each m_j at its tie.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import partial
from itertools import product

from gradproof.compiler.calculus import Requirement, derivative, requirements
from gradproof.compiler.claims import Hypothesis
from gradproof.compiler.dims import Poly
from gradproof.compiler.functions import FUNCTIONS
from gradproof.compiler.ops import TANGENT, OpDef
from gradproof.compiler.rewriting import free_symbols, map_children, substitute, tensors, walk
from gradproof.compiler.rules import RuleSet, meaning_of, unfolded
from gradproof.compiler.terms import (
    ZERO,
    Call,
    Cond,
    Read,
    RealCmp,
    Reduce,
    Select,
    Term,
    add,
    both,
    mul,
    neg,
    negate,
    num,
    select,
    sub,
)
from gradproof.verifier.cells import Unsettled
from gradproof.verifier.domains import Need, meaning_needs, unmet
from gradproof.verifier.equality import equal
from gradproof.verifier.proofs import Proof
from gradproof.verifier.setting import setting_of
from gradproof.verifier.sides import interior, plain_cond, put, put_cond

_PIECE, _CHANGE = "~piece", "~change"
_WEIGHTS = (Fraction(1, 2), Fraction(0), Fraction(1))
_MOST = 4  # pieces in a formula, at most
_KINDS = {"max": "max", "abs": "max", "min": "min"}  # |a| is max(a, -a)


class Smooth(Unsettled):
    """The formula has no max, min or abs of what varies."""


@dataclass(frozen=True, slots=True)
class Piece:
    """`node` with the pieces inside of its arguments as scalars; `reads`: what it varies with."""

    node: Term
    reads: frozenset[str]
    inside: frozenset[str]  # the pieces that stand in it
    regular: bool  # an optimum over an index, or of optima of its kind: only the calculus's even split is known


@dataclass(slots=True)
class _Formula:
    """The meaning as a smooth formula of its pieces."""

    moving: frozenset[str]
    known: frozenset[str]  # the names of sizes, attributes and the result's indices
    same: Callable[..., bool]  # whether two terms are one function, where some conditions hold
    implied: Callable[[Cond, Cond], bool]  # whether one condition has another one as a consequence
    pieces: dict[str, Piece] = field(default_factory=dict)
    whole: dict[str, Term] = field(default_factory=dict)  # each piece, in the formula's own reads

    def bare(self, term: Term) -> Term:
        """The term with pieces as scalars; Unsettled where it is not smooth otherwise."""
        if not self.varies(term):
            return term
        match term:
            case Call(fn, _) if fn in _KINDS:
                return self.piece(term)
            case Reduce(kind, _, _, _, _) if kind in ("max", "min"):
                return self.piece(term)
            case Select(cond, then, other) if self.varies(cond):
                return self.bare(self.joined(cond, then, other))
            case Call(fn, _) if FUNCTIONS[fn].jump is not None or FUNCTIONS[fn].pieces:
                raise Unsettled(f"{fn} of entries that vary")
        return map_children(term, self.bare, self.steady)

    def steady(self, cond: Cond) -> Cond:
        """A condition, which must not vary."""
        if self.varies(cond):
            raise Unsettled("a condition on entries that vary, beside a maximum")
        return cond

    def joined(self, cond: Cond, then: Term, other: Term) -> Term:
        """A choice whose sides meet where it is made, as a minimum."""
        if isinstance(cond, RealCmp) and cond.rel != "==":
            difference, chosen = sub(cond.a, cond.b), RealCmp("<", cond.a, cond.b)
            there, beside = (self.inside(chosen, side) for side in (then, other))
            for sign in (1, -1):
                if self.same(sub(there, beside), mul(num(sign), difference), chosen):
                    return add(other, mul(num(sign), Call("min", (difference, ZERO))))
        raise Unsettled("a condition on entries that vary, beside a maximum")

    def inside(self, given: Cond, term: Term) -> Term:
        """The term where a condition holds: without the choices that it decides."""
        if isinstance(term, Select) and self.varies(term.cond):
            for taken, branch in ((term.cond, term.then), (negate(term.cond), term.other)):
                if self.implied(given, taken):
                    return self.inside(given, branch)
        return map_children(term, partial(self.inside, given), lambda cond: cond)

    def varies(self, node: Term | Cond) -> bool:
        """Whether a differentiable entry is read."""
        return any(isinstance(n, Read) and (n.tensor in self.moving or n.tensor in self.pieces) for n in walk(node))

    def piece(self, node: Term) -> Read:
        """A scalar for a piece: the same one for the same piece."""
        if not free_symbols(node) <= self.known:
            raise Unsettled("a maximum of entries that vary, under a sum")
        for name, one in self.whole.items():
            if self.same(one, node):
                return Read(name, ())
        regular = self._regular(node, _kind(node))
        kept = node
        if not regular:
            if not isinstance(node, Call):
                raise Unsettled("an optimum over an index of what has kinks of another kind")
            kept = Call(node.fn, tuple(map(self.bare, node.args)))
        inside = frozenset(n.tensor for n in walk(kept) if isinstance(n, Read) and n.tensor in self.pieces)
        simple = isinstance(node, Call) and (not regular or all(map(self._smooth, node.args)))
        name = f"{_PIECE}{len(self.pieces)}"
        self.pieces[name] = Piece(kept, tensors(node) & self.moving, inside, not simple)
        self.whole[name] = node
        if len(self.pieces) > _MOST:
            raise Unsettled("many maxima in one formula")
        return Read(name, ())

    def _regular(self, term: Term, kind: str) -> bool:
        """Whether the term is smooth, or an optimum of this kind of what is regular in this sense."""
        if self._smooth(term):
            return True
        match term:
            case Call(fn, args) if _KINDS.get(fn) == kind:
                return all(self._smooth(a) if fn == "abs" else self._regular(a, kind) for a in args)
            case Reduce(own, _, _, guard, body) if own == kind:
                return not self.varies(guard) and self._regular(body, kind)
        return False

    def _smooth(self, term: Term) -> bool:
        for node in walk(term):
            match node:
                case Select(cond, _, _) if self.varies(cond):
                    return False
                case Reduce(kind, _, _, guard, body) if self.varies(guard) or (
                    kind in ("max", "min") and self.varies(body)
                ):
                    return False
                case Call(fn, args) if (FUNCTIONS[fn].pieces or FUNCTIONS[fn].jump is not None) and any(
                    map(self.varies, args)
                ):
                    return False
        return True

    def original(self, term: Term) -> Term:
        """A term over pieces in the formula's own reads."""
        return put(term, self.whole)


def _kind(node: Term) -> str:
    match node:
        case Call(fn, _):
            return _KINDS[fn]
        case Reduce(kind, _, _, _, _):
            return kind
    raise TypeError(f"no optimum: {node}")


def prove_compound(op: OpDef, rules: RuleSet, timeout: float) -> Proof:
    """KINK of an operator of this shape; Unsettled where it is none, or where it can't be shown."""
    if rules.jvp is None or op.kinks:
        raise Smooth("declared kinks are another matter")
    meaning = meaning_of(op)
    known = frozenset({*op.sizes, *op.int_attrs, *op.forward.indices})
    formula = _Formula(
        frozenset(p.name for p in op.differentiable),
        known,
        partial(_equal, op, timeout),
        partial(_implied, op, timeout),
    )
    bare = formula.bare(meaning)
    if not formula.pieces:
        raise Smooth("nothing ties")
    _apart(op, formula, timeout)
    tangents = {p.name: TANGENT + p.name for p in op.differentiable}
    changes = {name: name.replace(_PIECE, _CHANGE) for name in formula.pieces}
    slope = derivative(bare, {**tangents, **changes})
    _check_smooth(op, formula, bare, slope, timeout)
    for weights in _weights(formula):
        made: dict[str, Term] = {}
        for name, one in formula.pieces.items():
            change = _change(one, {**tangents, **changes}, weights[name])
            made[changes[name]] = put(formula.original(change), made)
        if _is(op, rules, put(formula.original(slope), made), timeout):
            how = "the derivative of the smooth formula around, with a mixture of both sides for what ties"
            return Proof(True, "normal form + z3", (Hypothesis("at a tie a subgradient is used", how),))
    raise Unsettled("the rule is no known mixture of the two sides where a maximum ties")


def _weights(formula: _Formula) -> Iterator[dict[str, Fraction]]:
    """A weight for each piece: the same one first."""
    names = [name for name, one in formula.pieces.items() if not one.regular]
    rest = dict.fromkeys(formula.pieces, Fraction(1, 2))
    uniform = [(w,) * len(names) for w in _WEIGHTS] if names else [()]
    for choice in dict.fromkeys((*uniform, *(product(_WEIGHTS, repeat=len(names)) if len(names) <= 2 else ()))):
        yield rest | dict(zip(names, choice, strict=True))


def _sides(node: Call) -> tuple[Term, Term]:
    """The two functions of which the larger, or the smaller, is taken."""
    if node.fn == "abs":
        return node.args[0], neg(node.args[0])
    return node.args[0], node.args[1]


def _change(one: Piece, tangents: dict[str, str], weight: Fraction) -> Term:
    """The piece's derivative; at its tie the first side's gradient with the weight, the second's with the rest."""
    if one.regular or not isinstance(one.node, Call):
        return derivative(one.node, tangents)
    a, b = _sides(one.node)
    first, second = derivative(a, tangents), derivative(b, tangents)
    mixed = add(mul(num(weight), first), mul(num(1 - weight), second))
    low, high = (a, b) if _kind(one.node) == "max" else (b, a)
    return select(RealCmp("<", high, low), first, select(RealCmp("<", low, high), second, mixed))


def _apart(op: OpDef, formula: _Formula, timeout: float) -> None:
    """No two pieces tie at once, but for those of different tensors of which neither stands in the other."""
    from gradproof.verifier.smt import prove_real

    names = list(formula.pieces)
    ranges = dict(zip(op.forward.indices, op.forward.extents, strict=True))
    setting = setting_of(op)
    for k, name in enumerate(names):
        for other in names[:k]:
            one, two = formula.pieces[name], formula.pieces[other]
            nested = other in _within(formula, name)
            if not nested and not one.reads & two.reads:
                continue
            if one.regular or two.regular:
                raise Unsettled("several optima of the same entries in one formula")
            ties = []
            for piece in (one, two):
                assert isinstance(piece.node, Call)
                a, b = map(formula.original, _sides(piece.node))
                ties.append(RealCmp("==", a, b))
            goal = plain_cond(negate(both(*ties)))
            facts = [*map(plain_cond, setting.facts_at(ranges))]
            facts += setting.context.with_ranges(ranges).known(goal, *facts)
            if prove_real(goal, facts, timeout).answer != "proved":
                raise Unsettled("two maxima of the same entries that may tie at once")


def _within(formula: _Formula, name: str) -> frozenset[str]:
    """The pieces inside of a piece, however deep."""
    own = formula.pieces[name].inside
    return own.union(*(_within(formula, inner) for inner in own))


def _check_smooth(op: OpDef, formula: _Formula, bare: Term, slope: Term, timeout: float) -> None:
    """Everything around the pieces is continuously differentiable wherever the meaning is, and so are their sides.

    What a side needs may be asked for where it is the larger one only (the smaller one of a minimum): elsewhere the
    piece is its other side, near by too, since both are continuous.
    """
    inner = setting_of(op).context.with_ranges(dict(zip(op.forward.indices, op.forward.extents, strict=True)))
    tangents = {name: TANGENT + name for name in formula.moving}
    anywhere = [meaning_of(op), formula.original(slope)]
    active = [*requirements(bare), *requirements(slope)]
    for one in formula.pieces.values():
        names = tangents | {n: n.replace(_PIECE, _CHANGE) for n in one.inside}
        parts = one.node.args if isinstance(one.node, Call) else (one.node,)
        anywhere += [formula.original(derivative(part, names)) for part in parts]
        if one.regular or not isinstance(one.node, Call) or one.node.fn == "abs":
            active += [r for part in parts for r in (*requirements(part), *requirements(derivative(part, names)))]
            continue
        a, b = one.node.args
        for side, other in ((a, b), (b, a)):
            low, high = (other, side) if _kind(one.node) == "max" else (side, other)
            taken = RealCmp("<=", low, high)
            for part in (side, derivative(side, names)):
                active += [replace(r, path=(taken, *r.path)) for r in requirements(part)]
    missing: list[Need] = []
    for needs in ([r for term in anywhere for r in requirements(term)], [_original(formula, r) for r in active]):
        opened = [replace(r, cond=_interior(r)) for r in needs]
        wanted = [Need(r, inner.with_ranges(dict(r.binders)), "the formula") for r in opened]
        missing = unmet(op, wanted, meaning_needs(op), timeout)
        if not missing:
            return
    raise Unsettled(f"the formula may be steep where it ties: {missing[0].requirement.why}")


def _original(formula: _Formula, need: Requirement) -> Requirement:
    """What is needed, in the formula's own reads."""
    whole = formula.whole
    return replace(need, path=tuple(put_cond(c, whole) for c in need.path), cond=put_cond(need.cond, whole))


def _interior(need: Requirement) -> Cond:
    return need.cond if need.exists else interior(need.cond)


def _is(op: OpDef, rules: RuleSet, wanted: Term, timeout: float) -> bool:
    """Whether the rule that runs is this term, everywhere."""
    jvp = rules.jvp.result if rules.jvp else op.forward
    names = dict(zip(jvp.indices, map(Poly.sym, op.forward.indices), strict=True))
    own = substitute(unfolded(op, jvp.body), names)  # type: ignore[arg-type]
    return _equal(op, timeout, own, wanted)


def _equal(op: OpDef, timeout: float, left: Term, right: Term, *where: Cond) -> bool:
    ranges = dict(zip(op.forward.indices, op.forward.extents, strict=True))
    setting = setting_of(op)
    facts = (*setting.facts_at(ranges), *where)
    return equal(left, right, setting.context.with_ranges(ranges), facts, timeout).proved


def _implied(op: OpDef, timeout: float, given: Cond, goal: Cond) -> bool:
    from gradproof.verifier.smt import prove_real

    ranges = dict(zip(op.forward.indices, op.forward.extents, strict=True))
    setting = setting_of(op)
    facts = [*map(plain_cond, setting.facts_at(ranges)), plain_cond(given)]
    facts += setting.context.with_ranges(ranges).known(goal, *facts)
    return prove_real(plain_cond(goal), facts, timeout).answer == "proved"
