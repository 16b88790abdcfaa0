"""The rules of an operator: the terms that run as forward, jvp and vjp, written or derived.

What is not written is derived. A jvp is the calculus's derivative of the meaning; a vjp is the transpose of the jvp.
An operator with kinks whose vjp is written gets the transpose of that vjp as its jvp, so that both modes take the same
value at the kink; so does one with a form that runs, whose derivative by the meaning might overflow where that form
does not, and one whose result is an extern's, which has no formula. Nothing here is trusted: JVP, VJP, RUNS and KINK
are claims about exactly these terms.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from gradproof.compiler.calculus import derivative
from gradproof.compiler.dims import Poly
from gradproof.compiler.functions import FUNCTIONS
from gradproof.compiler.ops import COTANGENT, OUTPUT, TANGENT, Extern, Formula, Kink, OpDef, Param
from gradproof.compiler.rewriting import free_symbols, replace_reads, substitute, tensors, walk
from gradproof.compiler.terms import (
    ZERO,
    And,
    Call,
    Cond,
    IntCmp,
    Read,
    RealCmp,
    Reduce,
    Select,
    Term,
    add,
    mul,
    select,
)
from gradproof.compiler.transpose import inline, transpose


@dataclass(frozen=True, slots=True)
class Computation:
    """What is computed: intermediates in order, then the result."""

    lets: tuple[Formula, ...]
    result: Formula
    externs: tuple[Extern, ...] = ()

    @property
    def reads(self) -> frozenset[str]:
        """The tensors that must be given: everything read, less the intermediates and what externs compute."""
        names = frozenset[str]().union(*(tensors(f.body) for f in (*self.lets, self.result)))
        names |= {arg for extern in self.externs for arg in extern.args}
        return names - {f.target for f in self.lets} - {e.tensor for e in self.externs}


@dataclass(frozen=True, slots=True)
class RuleSet:
    """The computations of one operator. `vjps` has one entry for each differentiable input, in order."""

    op: OpDef
    forward: Computation
    jvp: Computation | None
    vjps: tuple[tuple[str, Computation], ...]


def meaning(op: OpDef) -> dict[str, tuple[tuple[str, ...], Term]]:
    """Definitions to inline into written rules: the output's meaning and the lets."""
    table: dict[str, tuple[tuple[str, ...], Term]] = {}
    for formula in (*op.lets, op.forward):
        if not isinstance(formula.body, Cond):
            table[formula.target] = (formula.indices, formula.body)
    return table


def unfolded(op: OpDef, term: Term) -> Term:
    """A written rule's term with the output and the intermediates replaced by what they mean."""
    return inline(term, meaning(op))


def meaning_of(op: OpDef) -> Term:
    """The definition's right-hand side, with the intermediates that it reads replaced by what they mean."""
    if isinstance(op.forward.body, Cond):
        raise ValueError(f"{op.name} is boolean: it has no real value")
    return inline(op.forward.body, {f.target: (f.indices, f.body) for f in op.lets if not isinstance(f.body, Cond)})


def has_kinks(term: Term | Cond) -> bool:
    """Whether the calculus meets a condition on real values, or a function with a kink, in the term."""
    for node in walk(term):
        match node:
            case Select(cond, _, _) | Reduce(_, _, _, cond, _):
                if any(isinstance(inner, RealCmp) for inner in walk(cond)):
                    return True
                if isinstance(node, Reduce) and node.kind in ("max", "min"):
                    return True
            case Call(fn, _):
                if FUNCTIONS[fn].pieces or FUNCTIONS[fn].jump:
                    return True
    return False


def kinked(op: OpDef) -> bool:
    """Whether the meaning has kinks in the differentiable inputs (conservatively)."""
    return bool(op.differentiable) and has_kinks(meaning_of(op))


def tied(op: OpDef) -> bool:
    """Whether a value at a tie is to be shown: the meaning has kinks, or the stanza declares one."""
    return bool(op.differentiable) and (bool(op.kinks) or kinked(op))


def derived_jvp(op: OpDef, inputs: tuple[Param, ...] | None = None) -> Term:
    """The calculus's derivative of the meaning with respect to `inputs` (all differentiable ones by default)."""
    chosen = op.differentiable if inputs is None else inputs
    meaning = meaning_of(op)
    smooth = derivative(meaning, {p.name: TANGENT + p.name for p in chosen})
    for kink in reversed(op.kinks):
        if kink.least:
            smooth = select(least_at(kink, meaning), ZERO, smooth)
            continue
        if kink.value is None or not _entrywise(op, kink.cond, chosen):
            continue  # it does not define the rule; KINK still checks it
        declared = add(*(mul(kink.value, Read(TANGENT + p.name, _entry(op))) for p in chosen))
        smooth = select(kink.cond, declared, smooth)
    return smooth


def least_at(kink: Kink, meaning: Term) -> Cond:
    """`y[...] == c`, of the entry that the formula is about, with y's meaning for y."""
    match kink.cond:
        case RealCmp(rel, Read(), value):
            return RealCmp(rel, meaning, value)
    raise TypeError(f"not about the output: {kink.cond}")


def _entry(op: OpDef) -> tuple[Poly, ...]:
    """The output's index, as a position: a declared kink value is the coefficient of the same entry of each input."""
    return tuple(Poly.sym(name) for name in op.forward.indices)


def extents(param: Param) -> tuple[Poly, ...]:
    """The extents of the parameter's axes."""
    return tuple(axis.extent for axis in param.axes)


def _entrywise(op: OpDef, cond: Cond, chosen: tuple[Param, ...]) -> bool:
    """Whether the condition speaks of one entry of the output and of the same entry of every input."""
    known = {*op.forward.indices, *op.sizes, *op.int_attrs}
    return free_symbols(cond) <= known and all(extents(p) == op.forward.extents for p in chosen)


def transposed_vjp(op: OpDef, vjp: Formula, param: Param) -> Term:
    """The jvp's part in one input that is the transpose of this vjp, at the forward's indices."""
    lets = {f.target: (f.indices, f.body) for f in op.lets if not isinstance(f.body, Cond)}
    leaning = {name for name, (_, body) in lets.items() if COTANGENT in tensors(inline(body, lets))}
    return transpose(
        # a rule's body is a term: elaboration refuses boolean ones
        inline(vjp.body, {name: lets[name] for name in leaning}),  # type: ignore[arg-type]
        vjp.indices,
        extents(param),
        COTANGENT,
        op.forward.indices,
        TANGENT + param.name,
        op.forward.extents,
        lambda size: positive(op, size),
    )


@lru_cache(maxsize=4096)
def rules_of(op: OpDef) -> RuleSet:
    """The rule set of an operator; transpose.NotLinear where a written rule is not linear in its (co)tangent."""
    runs = op.runs or op.forward
    forward = computation(op, runs)
    if not op.differentiable:
        return RuleSet(op, forward, None, ())
    written = {f.target: f for f in op.vjps}
    jvp = op.jvp
    if jvp is None:
        if op.lawful or (written and (kinked(op) or op.kinks or op.runs)):
            rest = tuple(p for p in op.differentiable if p.name not in written)
            parts = [transposed_vjp(op, written[p.name], p) for p in op.differentiable if p.name in written]
            body = add(*parts, *([derived_jvp(op, rest)] if rest else []))
        else:
            body = derived_jvp(op)
        jvp = Formula(OUTPUT, op.forward.indices, op.forward.extents, body, op.forward.span)
    vjps: list[tuple[str, Computation]] = []
    for param in op.differentiable:
        rule = written.get(param.name) or derive_vjp(op, jvp, param)
        vjps.append((param.name, computation(op, rule)))
    return RuleSet(op, forward, computation(op, jvp), tuple(vjps))


def derive_vjp(op: OpDef, jvp: Formula, param: Param) -> Formula:
    """The transpose of a jvp in one input."""
    others = {TANGENT + p.name for p in op.differentiable if p.name != param.name}
    indices = tuple(f"{name}'" for name in _index_names(param))
    only = without(jvp.body, others)  # type: ignore[arg-type]
    limits = extents(param)
    body = transpose(
        only,
        jvp.indices,
        jvp.extents,
        TANGENT + param.name,
        indices,
        COTANGENT,
        limits,
        lambda size: positive(op, size),
    )
    return Formula(param.name, indices, limits, body, op.span)


def positive(op: OpDef, size: Poly) -> bool:
    """Whether a size is at least 1 wherever the operator's requirements hold: a product where its factors are."""
    if size.constant is not None:
        return size.constant >= 1
    required = [c for r in op.requires for c in (r.args if isinstance(r, And) else (r,))]
    if IntCmp(">=", size - 1) in required:
        return True
    if len(size.terms) != 1 or size.terms[0][1] < 1:
        return False
    factors = [Poly.atom(one) for one, _ in size.terms[0][0]]
    return all(IntCmp(">=", factor - 1) in required for factor in factors)


def without(term: Term, names: set[str]) -> Term:
    """The term with these tensors set to 0."""
    if not tensors(term) & names:
        return term
    return replace_reads(term, lambda read: ZERO if read.tensor in names else read)


def _index_names(param: Param) -> tuple[str, ...]:
    names: list[str] = []
    for position, axis in enumerate(param.axes):
        names.append(f"{axis.pack[:-2].lower()}{position}" if axis.pack else f"i{position}")
    return tuple(names)


def as_written(op: OpDef) -> RuleSet:
    """The rules that the stanza writes and none that would be derived: for an operator of which rules_of can't."""
    vjps = tuple((formula.target, computation(op, formula)) for formula in op.vjps)
    jvp = computation(op, op.jvp) if op.jvp is not None else None
    return RuleSet(op, computation(op, op.runs or op.forward), jvp, vjps)


def computation(op: OpDef, formula: Formula) -> Computation:
    """What computes a formula: the lets and externs that it needs, directly or through others, in their order."""
    wanted = set(tensors(formula.body))
    lets: list[Formula] = []
    externs: list[Extern] = []

    def take(tensors_read: frozenset[str]) -> None:
        for extern in op.externs:
            if extern.tensor in tensors_read:
                externs.append(extern)
                wanted.update(extern.args)

    take(frozenset(wanted))
    for let in reversed(op.lets):
        if let.target in wanted:
            lets.append(let)
            wanted |= tensors(let.body)
            take(tensors(let.body))
    return Computation(tuple(reversed(lets)), formula, tuple(reversed(externs)))


def at(formula: Formula, index: tuple[Poly, ...]) -> Term:
    """The formula's body at other indices."""
    return substitute(formula.body, dict(zip(formula.indices, index, strict=True)))  # type: ignore[arg-type]
