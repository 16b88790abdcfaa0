"""KINK of optima over an index: the rule takes a convex combination of the gradients of the entries that attain them.

For one optimum m of smooth entries in a smooth formula F(m, x) these combinations are Clarke's subdifferential (Clarke
1983, propositions 2.3.12 and 2.3.3), so an even split is one, and so is taking the first, or the last, that attains m.
An optimum of optima of its kind is one over both indices. With several optima the gradients beside a tie are those of
F at joint choices of attaining entries, one for each optimum; all joint choices have points nearby

- where the optima read different tensors: then each may be split in its own way;
- or where one is the max and the other the min of the same entries x[.., i]: all choices of two different entries, or
  of the only one. Where max = min every entry attains both, and the mean of a e_i + b e_j over i != j is (a + b) times
  the mean of e_i: the even split on both sides, and it alone.

Else the rule could be outside (`max x - max x` with two ways to split is not 0), and nothing is said.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from gradproof.compiler.calculus import derivative
from gradproof.compiler.claims import Hypothesis
from gradproof.compiler.dims import Poly
from gradproof.compiler.functions import FUNCTIONS
from gradproof.compiler.ops import TANGENT, OpDef, Param
from gradproof.compiler.rewriting import free_symbols, map_children, substitute, substitute_cond, walk
from gradproof.compiler.rules import RuleSet, derived_jvp, meaning_of, unfolded
from gradproof.compiler.terms import (
    ONE,
    ZERO,
    Cond,
    Read,
    RealCmp,
    Reduce,
    Term,
    both,
    fresh,
    indicator,
    int_lt,
    mul,
    total,
)
from gradproof.verifier.cells import Unsettled
from gradproof.verifier.equality import equal
from gradproof.verifier.forms import Atom, Form, Monomial, tensors_in
from gradproof.verifier.proofs import Proof
from gradproof.verifier.setting import setting_of
from gradproof.verifier.sides import put

_OPTIMUM, _CHANGE = "~optimum", "~change"


def atoms_in(part: object) -> Iterator[Atom]:
    """Every atom in a part of a form, however deep."""
    match part:
        case Atom():
            yield part
            yield from atoms_in(part.parts)
        case Monomial():
            for one, _ in part.factors:
                yield from atoms_in(one)
        case tuple():
            for inner in part:
                yield from atoms_in(inner)
        case _:
            pass


def optima(form: Form) -> Iterator[tuple[Monomial, Atom]]:
    """The optima of a form, with the monomial that each stands in."""
    for monomial in form:
        for one, _ in monomial.factors:
            for inner in atoms_in(one):
                if _is_optimum(inner):
                    yield monomial, inner


def _is_optimum(one: Atom) -> bool:
    return one.kind == "fold" and one.parts[0] != "prod"


def steps(one: Atom) -> bool:
    """Whether an atom is a function with jumps."""
    return one.kind == "fn" and FUNCTIONS[one.parts[0]].jump is not None


def prove_optima(op: OpDef, rules: RuleSet, value: Form, timeout: float) -> Proof:
    """KINK of a formula with optima over an index; Unsettled where it can't be shown."""
    roots = _roots(value)
    for monomial, one in optima(value):
        if one.symbols & {v for v, _ in monomial.binders}:
            raise Unsettled("an optimum under a sum")
    if any(a.kind in ("pos", "neg") or steps(a) for m in value for f, _ in m.factors for a in atoms_in(f)):
        raise Unsettled("an optimum beside other conditions")
    moving = frozenset(p.name for p in op.differentiable)
    apart = all(not _shared(a, b, moving) for a in roots for b in roots if a is not b)
    if not apart and not _max_and_min(roots, moving):
        raise Unsettled("several optima of the same entries in one formula")
    if op.kinks:
        raise Unsettled("a declared value at a tie of an optimum over an index")
    if _is(op, rules, derived_jvp(op), timeout):
        how = Hypothesis("ties are split evenly", "a convex combination of the gradients of the entries that attain it")
        return Proof(True, "normal form", (how,))
    if apart and picked(op, rules, timeout) is not None:
        how = Hypothesis("one entry of a tie is taken", "a subgradient: the gradient of an entry that attains it")
        return Proof(True, "normal form", (how,))
    if not apart:
        raise Unsettled("the rule is not the even split between the entries that attain the optima")
    raise Unsettled("the rule is neither the even split between the entries that attain the optimum nor one of them")


def _roots(value: Form) -> list[Atom]:
    """The outermost optima; Unsettled where there is more inside of one than an optimum of its own kind."""
    found = dict.fromkeys(one for _, one in optima(value))
    nested = [(one, inner) for one in found for inner in atoms_in(one.parts) if _is_optimum(inner)]
    for one, _ in nested:
        _check_chain(one)
    below = {inner for _, inner in nested}
    return [one for one in found if one not in below]


def _check_chain(one: Atom) -> None:
    kind, _, body, condition = one.parts
    if any(_is_optimum(a) for a in atoms_in(condition)):
        raise Unsettled("an optimum in the condition of another")
    if not any(_is_optimum(a) for a in atoms_in(body)):
        return
    single = len(body) == 1 and body[0][1] == 1 and not body[0][0].binders and not body[0][0].guards
    factors = body[0][0].factors
    if not single or len(factors) != 1 or factors[0][1] != 1 or factors[0][0].parts[0] != kind:
        raise Unsettled("an optimum inside another one")
    _check_chain(factors[0][0])


def _shared(a: Atom, b: Atom, moving: frozenset[str]) -> frozenset[str]:
    return tensors_in(a) & tensors_in(b) & moving


def _max_and_min(roots: list[Atom], moving: frozenset[str]) -> bool:
    """Whether they are the max and the min of the same entries, each index with an entry of its own."""
    if len(roots) != 2:
        return False
    a, b = roots
    if {a.parts[0], b.parts[0]} != {"max", "min"} or a.parts[1:] != b.parts[1:]:
        return False
    _, _, body, _ = a.parts
    if len(body) != 1 or body[0][1] != 1 or body[0][0].binders or body[0][0].guards:
        return False
    factors = body[0][0].factors
    if len(factors) != 1 or factors[0][1] != 1:
        return False
    read = factors[0][0]
    if read.kind != "read" or read.parts[0] not in moving:
        return False
    bound = read.symbols - a.symbols
    places = [p for p in read.parts[1] if p.symbols & bound]
    if len(bound) != 1 or len(places) != 1:
        return False
    linear = places[0].linear_in(next(iter(bound)))
    return linear is not None and bool(linear[0].constant)


def _is(op: OpDef, rules: RuleSet, wanted: Term, timeout: float) -> bool:
    """Whether the rule that runs is this term, everywhere."""
    ranges = dict(zip(op.forward.indices, op.forward.extents, strict=True))
    context = setting_of(op).context.with_ranges(ranges)
    jvp = rules.jvp.result if rules.jvp else op.forward
    names = dict(zip(jvp.indices, map(Poly.sym, op.forward.indices), strict=True))
    own = substitute(unfolded(op, jvp.body), names)  # type: ignore[arg-type]
    return equal(own, wanted, context, setting_of(op).facts_at(ranges), timeout).proved


Choice = Callable[[OpDef, tuple[Param, ...]], Term]


def picked(op: OpDef, rules: RuleSet, timeout: float) -> Choice | None:
    """How the rule takes one entry of each tie: the derivative with respect to given inputs that does so; or None."""
    if op.kinks or not any(_single(node) for node in _outermost(meaning_of(op))):
        return None
    rule = unfolded(op, rules.jvp.result.body if rules.jvp else op.forward.body)  # type: ignore[arg-type]
    # A try that fails is a long one, and a rule without an order of reals says "none before it" by an equation.
    ordered = any(isinstance(node, RealCmp) and node.rel != "==" for node in walk(rule))
    for choice in _choices(ordered):
        try:
            if _is(op, rules, choice(op, op.differentiable), timeout):
                return choice
        except Unsettled:
            return None
    return None


def _choices(ordered: bool) -> Iterator[Choice]:
    """The first or the last entry that attains an optimum: none before it, or after it, in each way to say so."""
    ways = [
        lambda count: RealCmp("==", count, ZERO),
        lambda count: RealCmp("<", count, ONE),
        lambda count: RealCmp("<=", count, ZERO),
    ]
    for last in (False, True):
        for none in ways if ordered else ways[:1]:
            yield lambda op, inputs, last=last, none=none: _picking(op, inputs, last, none)  # type: ignore[misc]


def _outermost(term: Term) -> Iterator[Reduce]:
    found: list[Reduce] = []

    def visit(node: Term) -> Term:
        if isinstance(node, Reduce) and node.kind in ("max", "min"):
            found.append(node)
            return node
        return map_children(node, visit, lambda c: c)

    visit(term)
    yield from found


def _single(node: Reduce) -> bool:
    return not any(_outermost(node.body))


def _picking(op: OpDef, inputs: tuple[Param, ...], last: bool, none: Callable[[Term], Cond]) -> Term:
    """The derivative of the meaning where each optimum changes as one of the entries that attain it."""
    tangents = {p.name: TANGENT + p.name for p in inputs}
    values: dict[str, Term] = {}
    known = {*op.sizes, *op.int_attrs, *op.forward.indices}

    def visit(node: Term) -> Term:
        if not isinstance(node, Reduce) or node.kind not in ("max", "min"):
            return map_children(node, visit, lambda c: c)
        if not _single(node) or not free_symbols(node) <= known:
            raise Unsettled("an optimum inside of another, or under a sum")
        name = f"{len(values)}"
        values[_OPTIMUM + name] = node
        values[_CHANGE + name] = _change(node, tangents, last, none)
        return Read(_OPTIMUM + name, ())

    bare = visit(meaning_of(op))
    moving = {name: name.replace(_OPTIMUM, _CHANGE) for name in values if name.startswith(_OPTIMUM)}
    return put(derivative(bare, {**tangents, **moving}), values)


def _change(node: Reduce, tangents: dict[str, str], last: bool, none: Callable[[Term], Cond]) -> Term:
    other = fresh(node.var)
    here, there = Poly.sym(node.var), Poly.sym(other)
    rename = {node.var: there}
    attains = RealCmp("==", node.body, node)
    guard = both(substitute_cond(node.guard, rename), int_lt(here, there) if last else int_lt(there, here))
    count = total(other, node.extent, indicator(RealCmp("==", substitute(node.body, rename), node)), guard)
    part = derivative(node.body, tangents)
    return total(node.var, node.extent, mul(indicator(both(attains, none(count))), part), node.guard)
