"""KINK of one choice between smooth formulas that meet: where(t < 0, a, b) with a = b wherever t = 0.

Let z be a point of the domain with t(z) = 0, and let t, a and b be continuously differentiable near z. If a = b at all
such points, f is locally Lipschitz near z. If t's derivative at z is not 0 along some direction v that stays in the
domain, and so is not 0 along -v, f is a on one side of z and b on the other, on open sets that reach z: gradients of
a and b at z are limits of gradients of f, and what lies between them is in Clarke's subdifferential (1983, 2.5.1).

So the rule may give at a tie any mixture of the two derivatives. This is how a gradient is clipped by its norm. The
condition may stand in the formula and in the rule more than once, in either direction, but under no sum.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction

from gradproof.compiler.calculus import derivative, requirements
from gradproof.compiler.claims import Hypothesis
from gradproof.compiler.dims import Poly
from gradproof.compiler.functions import FUNCTIONS
from gradproof.compiler.ops import TANGENT, OpDef
from gradproof.compiler.rewriting import children, free_symbols, map_children, map_cond, substitute
from gradproof.compiler.rules import RuleSet, meaning_of, unfolded
from gradproof.compiler.terms import (
    ONE,
    Call,
    Cond,
    Read,
    RealCmp,
    Reduce,
    Select,
    Term,
    Truth,
    add,
    mul,
    num,
    select,
    sub,
)
from gradproof.verifier.abstraction import Abstraction
from gradproof.verifier.cells import Elsewhere, Unsettled
from gradproof.verifier.domains import Need, meaning_needs, unmet
from gradproof.verifier.equality import equal
from gradproof.verifier.forms import Form, scaled
from gradproof.verifier.normal import Normalizer
from gradproof.verifier.proofs import Proof
from gradproof.verifier.setting import setting_of
from gradproof.verifier.sides import interior, nonzero, reads_any

_MOVED = "~moved"
_WEIGHTS = (Fraction(0), Fraction(1), Fraction(1, 2))


def prove_choice(op: OpDef, rules: RuleSet, timeout: float) -> Proof:
    """KINK of an operator of this shape; Unsettled where it is none, or where it can't be shown."""
    setting, moving = setting_of(op), frozenset(p.name for p in op.differentiable)
    if rules.jvp is None or op.kinks or any(reads_any(fact, moving) for fact in setting.facts):
        raise Elsewhere("a declared kink or domain")
    ranges = dict(zip(op.forward.indices, op.forward.extents, strict=True))
    context, facts = setting.context.with_ranges(ranges), setting.facts_at(ranges)
    names = dict(zip(rules.jvp.result.indices, map(Poly.sym, op.forward.indices), strict=True))
    value = meaning_of(op)
    rule = substitute(unfolded(op, rules.jvp.result.body), names)  # type: ignore[arg-type]  # a rule is no condition
    known = frozenset({*op.sizes, *op.int_attrs, *op.forward.indices})
    found = [cond for term in (value, rule) for cond in _conditions(term, moving, known, frozenset())]
    if not found:
        raise Elsewhere("nothing ties")
    work = Normalizer(context)
    key = work.normal(sub(found[0].b, found[0].a))
    if any(not _is(work.normal(sub(one.b, one.a)), key) for one in found):
        raise Unsettled("several conditions on entries that vary")
    below, at, above = (_decided(value, work, key, sign) for sign in (-1, 0, 1))
    tie = RealCmp("==", found[0].a, found[0].b)
    if not all(equal(at, side, context, (*facts, tie), timeout).proved for side in (below, above)):
        raise Unsettled("the sides of a choice are not known to meet where it ties")
    tangents = {p.name: TANGENT + p.name for p in op.differentiable}
    slopes = [derivative(side, tangents) for side in (below, above)]
    margin = sub(found[0].b, found[0].a)
    smooth = [below, above, margin, *slopes, derivative(margin, tangents)]
    if not _smooth(op, smooth, tie, timeout):
        raise Unsettled("a side of a choice may be undefined or steep where it ties")
    if not any(_moves(along, tie, facts, work, timeout) for along in _directions(op, margin)):
        raise Unsettled("the condition of a choice may stay where it is, along every direction that is tried")
    own = _decided(rule, work, key, 0)
    for weight in _WEIGHTS:
        mixed = add(mul(num(weight), slopes[0]), mul(num(1 - weight), slopes[1]))
        if equal(own, mixed, context, (*facts, tie), timeout).proved:
            how = "the sides of a choice meet, and each is reached: a mixture of their derivatives"
            return Proof(True, "normal form + z3", (Hypothesis("at a tie a subgradient is used", how),))
    raise Unsettled("the rule is no known mixture of the two sides of a choice where it ties")


def _conditions(
    node: Term | Cond, moving: frozenset[str], known: frozenset[str], bound: frozenset[str]
) -> Iterator[RealCmp]:
    """The comparisons of entries that vary; Elsewhere where one is under a sum, or anything else has kinks."""
    match node:
        case RealCmp() if reads_any(node, moving):
            free = free_symbols(node)
            if free & bound or not free <= known:
                raise Elsewhere("a condition on entries that vary, under a sum")
            yield node
        case Call(fn, _) if (FUNCTIONS[fn].pieces or FUNCTIONS[fn].jump is not None) and reads_any(node, moving):
            raise Elsewhere(f"{fn} of entries that vary")
        case Reduce("max" | "min", _, _, _, _) if reads_any(node, moving):
            raise Elsewhere("an optimum of entries that vary")
        case Reduce():
            bound = bound | {node.var}
    for child in children(node):
        yield from _conditions(child, moving, known, bound)


def _is(form: Form, key: Form) -> bool:
    return form in (key, scaled(key, -1))


def _decided(term: Term, work: Normalizer, key: Form, sign: int) -> Term:
    """The term where what is compared has this sign."""

    def cond(one: Cond) -> Cond:
        one = map_cond(one, visit, cond)
        if isinstance(one, RealCmp):
            form = work.normal(sub(one.b, one.a))
            if _is(form, key):
                here = sign if form == key else -sign
                return Truth({"<": here > 0, "<=": here >= 0, "==": here == 0}[one.rel])
        return one

    def visit(one: Term) -> Term:
        if isinstance(one, Select):
            return select(cond(one.cond), visit(one.then), visit(one.other))
        return map_children(one, visit, cond)

    return visit(term)


def _smooth(op: OpDef, terms: list[Term], tie: Cond, timeout: float) -> bool:
    """Whether all that the terms need holds at a tie, and near by."""
    context = setting_of(op).context.with_ranges(dict(zip(op.forward.indices, op.forward.extents, strict=True)))
    wanted: list[Need] = []
    for one in (r for term in terms for r in requirements(term)):
        if free_symbols(tie) & {name for name, _ in one.binders}:
            return False
        inside = replace(one, path=(tie, *one.path), cond=one.cond if one.exists else interior(one.cond))
        wanted.append(Need(inside, context.with_ranges(dict(one.binders)), "a side"))
    return not unmet(op, wanted, meaning_needs(op), timeout)


def _directions(op: OpDef, margin: Term) -> Iterator[Term]:
    """What is compared, along some directions: each input grows by as much, or everywhere by 1."""
    for param in op.differentiable:
        yield derivative(margin, {param.name: param.name})
        yield _ones(derivative(margin, {param.name: _MOVED}))


def _ones(term: Term) -> Term:
    def cond(one: Cond) -> Cond:
        return map_cond(one, _ones, cond)

    return ONE if isinstance(term, Read) and term.tensor == _MOVED else map_children(term, _ones, cond)


def _moves(along: Term, tie: RealCmp, facts: tuple[Cond, ...], work: Normalizer, timeout: float) -> bool:
    """Whether a derivative is not 0 at any tie."""
    from gradproof.verifier.smt import prove_real

    abstraction = Abstraction(work)
    goal = nonzero(abstraction.term(work.normal(along)))
    told = [abstraction.cond(fact) for fact in (*facts, tie)]
    return prove_real(goal, [*told, *abstraction.facts], timeout).answer == "proved"
