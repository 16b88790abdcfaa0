"""DOM: what runs is defined wherever the meaning is, and the rules wherever the meaning is differentiable too.

What a term needs to be defined is the calculus's business (calculus.requirements); here the needs of what runs are
discharged from bounds of terms, from the needs of the meaning and of its derivative, or by Z3. What the meaning itself
needs and bounds can't settle (`x > 0` for log x) is left to each graph that applies the operator: `residual`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache

from gradproof.compiler.calculus import Requirement, requirements
from gradproof.compiler.dims import Poly
from gradproof.compiler.ops import OpDef
from gradproof.compiler.rewriting import free_symbols, substitute, substitute_cond
from gradproof.compiler.rules import RuleSet, derived_jvp, meaning_of, unfolded
from gradproof.compiler.terms import TRUE, ZERO, And, Cond, IntCmp, Not, Num, Or, Read, RealCmp, Term, both
from gradproof.verifier.forms import Atom, Form, Monomial, Number, TooLarge, atom, of_atom, scaled
from gradproof.verifier.intervals import ANY, Interval
from gradproof.verifier.naming import freeze
from gradproof.verifier.normal import Normalizer
from gradproof.verifier.ranges import Context
from gradproof.verifier.setting import setting_of
from gradproof.verifier.signs import Bounds, settles


@dataclass(frozen=True, slots=True)
class Need:
    """A requirement of a formula, in the context of its indices, with the place that it comes from."""

    requirement: Requirement
    context: Context
    where: str

    def __str__(self) -> str:
        return f"{self.requirement.why} in {self.where}"


def needs_of(body: Term | Cond, context: Context, where: str) -> list[Need]:
    """What a formula needs of real numbers (SHAPE has the needs of integers)."""
    out = []
    for one in requirements(body):
        if (not isinstance(one.cond, IntCmp) or one.exists) and one.why != "division of integers":
            out.append(Need(one, context.with_ranges(dict(one.binders)), where))
    return out


def domain_reads(op: OpDef) -> dict[str, Interval]:
    """Bounds of every entry of an input or real attribute, from the declared domain (`where x > 0`)."""
    reads: dict[str, Interval] = {}
    fixed = {*op.sizes, *op.int_attrs}
    for fact in setting_of(op).facts:
        match fact:
            case RealCmp(rel, Read(name, index), Num(value)):
                interval = Interval(None, value, True, rel == "<")
                if rel == "==":
                    interval = Interval(value, value, False, False)
            case RealCmp(rel, Num(value), Read(name, index)):
                interval = Interval(value, None, rel == "<", True)
                if rel == "==":
                    interval = Interval(value, value, False, False)
            case _:
                continue
        # `x[0] > 0` and `x[i, i] > 0` speak of some entries only.
        names = [position.as_symbol for position in index]
        if None in names or len(set(names)) != len(names) or not fixed.isdisjoint(map(str, names)):
            continue
        reads[name] = reads.get(name, ANY).meet(interval)
    return reads


@lru_cache(maxsize=4096)
def meaning_needs(op: OpDef) -> tuple[Need, ...]:
    """What the meaning needs, beyond what bounds settle."""
    if not isinstance(op.forward.body, Cond):
        return _open(op, needs_of(meaning_of(op), _inside(op), "the meaning"))
    return _open(op, needs_of(op.forward.body, _inside(op), "the meaning"))


@lru_cache(maxsize=4096)
def derivative_needs(op: OpDef) -> tuple[Need, ...]:
    """What the calculus's derivative needs, beyond what bounds settle."""
    if not op.differentiable or op.lawful:
        return ()  # laws need nothing but the extern's having a value
    return _open(op, needs_of(derived_jvp(op), _inside(op), "the derivative"))


def _inside(op: OpDef) -> Context:
    return setting_of(op).context.with_ranges(dict(zip(op.forward.indices, op.forward.extents, strict=True)))


def _open(op: OpDef, needs: Iterable[Need]) -> tuple[Need, ...]:
    return tuple(need for need in needs if not _settled(op, need))


def _settled(op: OpDef, need: Need) -> bool:
    requirement = need.requirement
    if requirement.exists:
        return _occupied(need)
    reals = tuple(c for c in _conjuncts(requirement.path) if isinstance(c, RealCmp | Not))
    integers = tuple(c for c in _conjuncts(requirement.path) if isinstance(c, IntCmp))
    bounds = Bounds(need.context.with_facts(integers), domain_reads(op), (*setting_of(op).facts, *reals))
    return settles(bounds, requirement.cond)


def _occupied(need: Need) -> bool:
    """Whether an optimum's range has an index that meets its guard for sure: one of its ends, or an index around."""
    own, extent = need.requirement.binders[-1]
    return without(need.context, own).inhabited(own, extent, need.requirement.cond)


def without(context: Context, index: str) -> Context:
    """The context outside of an index's binder: that there is such an index is not known there."""
    return replace(context, ranges={v: e for v, e in context.ranges.items() if v != index})


def _conjuncts(conds: Iterable[Cond]) -> list[Cond]:
    out: list[Cond] = []
    for cond in conds:
        out += _conjuncts(cond.args) if isinstance(cond, And) else [cond]
    return out


def check_op(op: OpDef, rules: RuleSet, timeout: float) -> list[str]:
    """DOM of one operator: the needs of what runs that do not follow (nothing: it is proved)."""
    failures: list[str] = []
    known = _Known(op, meaning_needs(op))
    forward = [(f"let {let.target}", let.body, let.indices, let.extents) for let in rules.forward.lets]
    result = rules.forward.result
    forward.append(("what runs", result.body, result.indices, result.extents))
    for where, body, indices, extents in forward:
        failures += _undischarged(op, body, indices, extents, where, known, timeout)
    known = _Known(op, (*meaning_needs(op), *derivative_needs(op)))
    for name, computation in (("the jvp", rules.jvp), *((f"the vjp of {n}", c) for n, c in rules.vjps)):
        if computation is None:
            continue
        for let in computation.lets:
            failures += _undischarged(op, let.body, let.indices, let.extents, f"let {let.target}", known, timeout)
        rule = computation.result
        failures += _undischarged(op, rule.body, rule.indices, rule.extents, name, known, timeout)
    return list(dict.fromkeys(failures))


def _undischarged(
    op: OpDef,
    body: Term | Cond,
    indices: tuple[str, ...],
    extents: tuple[Poly, ...],
    where: str,
    known: _Known,
    timeout: float,
) -> list[str]:
    if not isinstance(body, Cond):
        body = unfolded(op, body)
    if extents == op.forward.extents:
        # The same entry of an input and of the output goes by one name, so that facts about it are found.
        names = dict(zip(indices, map(Poly.sym, op.forward.indices), strict=True))
        body = substitute_cond(body, names) if isinstance(body, Cond) else substitute(body, names)
        indices = op.forward.indices
    context = setting_of(op).context.with_ranges(dict(zip(indices, extents, strict=True)))
    return [
        str(need)
        for need in needs_of(body, context, where)
        if not _settled(op, need) and not known.implies(need) and not known.solver_implies(need, timeout)
    ]


def unmet(op: OpDef, needs: Iterable[Need], given: Iterable[Need], timeout: float) -> list[Need]:
    """The needs that follow neither from bounds nor from needs that are given to hold."""
    known = _Known(op, given)
    return [
        need
        for need in needs
        if not _settled(op, need) and not known.implies(need) and not known.solver_implies(need, timeout)
    ]


class _Known:
    """Needs that hold, for matching other needs against them up to the names of indices."""

    def __init__(self, op: OpDef, needs: Iterable[Need]) -> None:
        self.op = op
        self.needs = tuple(needs)
        # Keys forget the names of indices, so only needs that hold everywhere in their ranges may be matched by key.
        free = [need for need in self.needs if not need.requirement.path]
        self.facts: dict[object, list[Need]] = {}
        for need in free:
            for key in self._keys(need, given=True):
                self.facts.setdefault(key, []).append(need)

    def implies(self, need: Need) -> bool:
        """Whether a known need, that holds at least wherever this one is asked for, says the same."""
        asked = need.requirement
        path = set(_conjuncts(asked.path))
        for one in self.needs:
            given = one.requirement
            same = given.cond == asked.cond and not given.exists and not asked.exists and _holds_at(one, need.context)
            if same and set(_conjuncts(given.path)) <= path:
                return True
        keys = self._keys(need, given=False)
        inside = without(need.context, asked.binders[-1][0]) if asked.exists else need.context
        return bool(keys) and all(any(_arises(one, inside) for one in self.facts.get(key, ())) for key in keys)

    def _keys(self, need: Need, given: bool) -> list[object]:
        """The need as keys: what it gives (any of them may be used), or what it asks for (all are wanted)."""
        requirement = need.requirement
        if requirement.exists:
            extent = requirement.binders[-1][1]
            fixed = requirement.cond == TRUE and extent.symbols.isdisjoint(need.context.ranges)
            return [("occupied", extent)] if fixed else []
        kind, term = _shape(requirement.cond)
        if term is None:
            return []
        work = Normalizer(need.context)
        try:
            form = work.normal(term)
        except TooLarge:
            return []
        factors = _factors(form)
        if kind == "nonzero" and factors is not None:
            return [("nonzero", _key(work, _whole(work, one), need)) for one in factors]
        frozen = freeze(form)
        if not frozen:
            return []
        leading = frozen[0][1]
        form = scaled(form, 1 / abs(Fraction(leading)))
        keys: list[object] = [(kind, _key(work, form, need))]
        if given and kind == "positive":
            keys += [("nonnegative", _key(work, form, need)), ("nonzero", _key(work, _monic(form, leading), need))]
            if factors is not None:
                keys += [("nonzero", _key(work, _whole(work, one), need)) for one in factors]
        if kind == "nonzero":
            keys = [("nonzero", _key(work, _monic(form, leading), need))]
        return keys

    def solver_implies(self, need: Need, timeout: float) -> bool:
        """Whether Z3 derives the need from the known ones at the same indices."""
        from gradproof.verifier.smt import prove_real

        if need.requirement.exists:
            return False
        hypotheses: list[Cond] = list(setting_of(self.op).facts_at(need.context.ranges))
        for known in self.needs:
            given = known.requirement
            if not given.exists and _holds_at(known, need.context):
                path = both(*given.path)
                hypotheses.append(given.cond if path == TRUE else Or((Not(path), given.cond)))
        hypotheses += need.context.known(need.requirement.cond)
        hypotheses += need.requirement.path
        return prove_real(need.requirement.cond, hypotheses, timeout).answer == "proved"


def _indices(need: Need) -> frozenset[str]:
    """The indices that a need speaks of."""
    requirement = need.requirement
    names = frozenset[str]() if requirement.exists else free_symbols(requirement.cond)
    return names.union(*map(free_symbols, requirement.path)) & need.context.ranges.keys()


def _holds_at(need: Need, context: Context) -> bool:
    """Whether a known need holds in a context at the indices there that have the names of its own."""
    own = {name: need.context.ranges[name] for name in _indices(need)}
    return own.items() <= context.ranges.items() and _arises(need, context)


def _arises(need: Need, context: Context) -> bool:
    """Whether a known need is one at all: all indices around it that it does not speak of must exist."""
    requirement = need.requirement
    spoken = {*_indices(need), *([requirement.binders[-1][0]] if requirement.exists else [])}
    others = [extent for name, extent in need.context.ranges.items() if name not in spoken]
    return all(e.symbols.isdisjoint(need.context.ranges) and context.nonnegative(e - 1) for e in others)


def _monic(form: Form, leading: Number) -> Form:
    """The form with a positive leading coefficient: -t != 0 is t != 0."""
    return scaled(form, -1) if leading < 0 else form


def _shape(cond: Cond) -> tuple[str, Term | None]:
    """(kind, t) of t != 0, t > 0, t >= 0."""
    match cond:
        case RealCmp("<", zero, t) if zero == ZERO:
            return "positive", t
        case RealCmp("<=", zero, t) if zero == ZERO:
            return "nonnegative", t
        case Or((RealCmp("<", a, right), RealCmp("<", left, b))) if a == b and left == right == ZERO:
            return "nonzero", a
        case _:
            return "", None


def _factors(form: Form) -> list[Atom] | None:
    """The atoms whose product the form is, but for a constant and exponentials; None where it is no such product."""
    if len(form) != 1:
        return None
    ((monomial, _),) = form.items()
    if monomial.binders or monomial.guards or any(a.kind in ("pos", "neg", "bool") for a, _ in monomial.factors):
        return None
    return [one for one, _ in monomial.factors if one.kind != "exp"]


def _whole(work: Normalizer, one: Atom) -> Form:
    """An atom as a form; what stands under a root or in a denominator as it is by itself, with a positive lead."""
    if one.kind != "base":
        return of_atom(one)
    form = dict(one.parts[0])
    return _monic(form, freeze(form)[0][1]) if form else form


def _key(work: Normalizer, form: Form, need: Need) -> object:
    """The form up to the names of the indices in it."""
    frozen = freeze(form)
    wrapped = atom("log", frozen)
    binders = [(v, need.context.ranges[v]) for v in sorted(wrapped.symbols) if v in need.context.ranges]
    try:
        return freeze({Monomial(tuple(binders), frozenset(), ((wrapped, 1),)): 1})
    except TooLarge:
        return object()  # equal to no other key


def residual(op: OpDef) -> tuple[Need, ...]:
    """What a graph must show where it applies the operator: the declared domain, and what bounds can't settle."""
    declared: list[Need] = []
    for fact in setting_of(op).facts:
        # A condition such as `1/x > 0` says nothing where it is undefined.
        declared += needs_of(fact, _declared(op, fact), "its declaration")
        declared.append(
            Need(Requirement((), (), fact, f"the domain of {op.name}"), _declared(op, fact), "its declaration")
        )
    return (*declared, *meaning_needs(op), *derivative_needs(op))


def _declared(op: OpDef, fact: Cond) -> Context:
    context = setting_of(op).context
    names = free_symbols(fact)
    ranges = {
        str(p): axis.extent
        for param in op.params
        for read in _reads(fact)
        if read.tensor == param.name
        for p, axis in zip(read.index, param.axes, strict=True)
        if p.as_symbol in names
    }
    return replace(context, ranges={**context.ranges, **ranges})


def _reads(cond: Cond) -> list[Read]:
    from gradproof.compiler.rewriting import walk

    return [node for node in walk(cond) if isinstance(node, Read)]
