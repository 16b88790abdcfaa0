"""Derived operators: the vjp of one input of an operator, as an operator like any other.

`matmul.vjp.a` takes the inputs of matmul that its rule reads, matmul's output where the rule reads that, and the
cotangent. Its formula is the rule that runs, so its own derivative is the second derivative of matmul, and every claim
about an operator can be asked of it. Nothing here is trusted: GRAD proves that the formula is the rule.

A rule that reads intermediates with kinks (the maximum that softmax subtracts) has no kinks itself: there the formula
is what the calculus derives from the meaning, the rule is what runs, and RUNS proves the two equal.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache

from gradproof.compiler.cases import assume, simplify
from gradproof.compiler.dims import Poly
from gradproof.compiler.functions import FUNCTIONS
from gradproof.compiler.ops import COTANGENT, OUTPUT, Formula, Kink, OpDef, Param
from gradproof.compiler.rewriting import (
    children,
    free_symbols,
    rename_tensors,
    rename_tensors_cond,
    substitute,
    tensors,
    walk,
)
from gradproof.compiler.rules import derive_vjp, derived_jvp, meaning_of, rules_of
from gradproof.compiler.stable import stable_jvp
from gradproof.compiler.terms import (
    TRUE,
    Call,
    Cond,
    Pow,
    Read,
    RealCmp,
    Reduce,
    Term,
    both,
    in_range,
)
from gradproof.compiler.transpose import inline
from gradproof.grammar.source import Diagnostic


def vjp_name(op: OpDef, param: str) -> str:
    """What the derived operator is called; a user can't write such a name."""
    return f"{op.name}.vjp.{param}"


def given_names(op: OpDef) -> tuple[str, str]:
    """What a derived operator calls the operator's output and its cotangent: `y'` and `g'`, or with more primes."""
    taken = {*(p.name for p in op.params), *(a.name for a in op.attrs), *(f.target for f in op.lets)}
    output, cotangent = OUTPUT, COTANGENT
    while {output, cotangent} & {*taken, OUTPUT, COTANGENT}:
        output, cotangent = f"{output}'", f"{cotangent}'"
    return output, cotangent


@lru_cache(maxsize=4096)
def derived_op(op: OpDef, param: str) -> OpDef:
    """The vjp of the input `param` as an operator of what its rule reads; KeyError where it has none."""
    found = dict(rules_of(op).vjps)[param]
    if found.externs:
        kernels = ", ".join(dict.fromkeys(extern.kernel for extern in found.externs))
        message = f"the vjp of `{op.name}` runs the extern {kernels}, of which no second derivative is known"
        raise Diagnostic("E-ORDER", message, op.span, "write it with operators that have one: `inverse(a) @ b`")
    output, cotangent = given_names(op)
    names = {OUTPUT: output, COTANGENT: cotangent}
    lets = tuple(_renamed(let, names) for let in found.lets)
    rule = _indexed(op, param, _renamed(replace(found.result, target=OUTPUT), names))
    moving = {*(p.name for p in op.differentiable), output}
    # At a least value there is a gradient to use and no second derivative: DOM will ask to stay away from it.
    declared = tuple(kink for kink in op.kinks if not kink.least)
    ties = bool(declared) or _tied(meaning_of(op), moving)
    sharp = ties or any(_tied(f.body, moving | {let.target for let in lets}) for f in (*lets, rule))
    if any(output in tensors(f.body) and (sharp or _needs(f.body, output)) for f in (*lets, rule)):
        # Where not every value of y would do, or where values tie, what y is must be known: it is computed again.
        forward = rules_of(op).forward
        again = (*forward.lets, replace(forward.result, target=output))
        lets = (*again, *(let for let in lets if let.target not in {f.target for f in again}))
    rough = not ties and any(_tied(f.body, moving | {let.target for let in lets}) for f in (*lets, rule))
    meaning = rule
    if rough:
        smooth = Formula(
            OUTPUT, op.forward.indices, op.forward.extents, derived_jvp(replace(op, kinks=declared)), op.forward.span
        )
        derived = replace(derive_vjp(op, smooth, op.param(param)), target=OUTPUT, span=rule.span)
        meaning = _indexed(op, param, _renamed(derived, names))
    params = _params(op, param, (meaning, rule, *lets), output, cotangent)
    read = {*(p.name for p in params), *op.real_attrs}
    made = OpDef(
        vjp_name(op, param),
        op.attrs,
        params,
        Param(OUTPUT, "real", op.param(param).axes),
        meaning,
        rule.span,
        tuple(c for c in op.requires if _speaks_of(op, c, (*params, op.param(param))) and tensors(c) <= read),
        tuple(c for c in op.domain if _speaks_of(op, c, (*params, op.param(param))) and tensors(c) <= read),
        lets,
        rule if rough else None,
        kinks=_jumps(op, meaning, lets) if ties else (),
        doc=f"The vjp of {op.name} with respect to {param}.",
    )
    return replace(made, jvp=stable_jvp(made, rule)) if rough else made


def _renamed(formula: Formula, names: dict[str, str]) -> Formula:
    body = formula.body
    if isinstance(body, Cond):
        return replace(formula, body=rename_tensors_cond(body, names))
    # That an index is in its range, which a transposed rule asks, it is.
    ranges = zip(formula.indices, formula.extents, strict=True)
    inside = both(*(in_range(Poly.sym(name), extent) for name, extent in ranges))
    return replace(formula, body=simplify(rename_tensors(body, names), assume({}, inside)))


def _indexed(op: OpDef, param: str, formula: Formula) -> Formula:
    """The formula with the indices by which facts about the input go: the output's, or those that the domain reads."""
    names: tuple[str, ...] | None = None
    if formula.extents == op.forward.extents:
        names = op.forward.indices
    for read in (r for c in op.domain for r in walk(c) if isinstance(r, Read) and r.tensor == param):
        bare = tuple(p.as_symbol or "" for p in read.index)
        if names is None and len({*bare} - {"", *op.sizes, *op.int_attrs}) == len(formula.indices):
            names = bare
    if names is None or isinstance(formula.body, Cond):
        return formula
    renamed = {old: Poly.sym(new) for old, new in zip(formula.indices, names, strict=True) if old != new}
    return replace(formula, indices=names, body=substitute(formula.body, renamed))


def _needs(node: Term | Cond, tensor: str) -> bool:
    """Whether the tensor stands where not every value will do: in a denominator, or in a function with a domain."""
    partial = (isinstance(node, Pow) and node.exponent < 0) or (
        isinstance(node, Call) and FUNCTIONS[node.fn].domain(*node.args) != TRUE
    )
    return (partial and tensor in tensors(node)) or any(_needs(child, tensor) for child in children(node))


def _params(op: OpDef, param: str, formulas: Iterable[Formula], output: str, cotangent: str) -> tuple[Param, ...]:
    """What the formulas read, and what else is needed so that every size that they speak of is one of an input."""
    formulas = tuple(formulas)
    own = {formula.target for formula in formulas}  # intermediates
    read: set[str] = set()
    speaks: set[str] = {s for axis in op.param(param).axes for s in axis.extent.symbols}
    for formula in formulas:
        read |= tensors(formula.body) - own
        speaks |= free_symbols(formula.body) - {*formula.indices}
        speaks |= {s for extent in formula.extents for s in extent.symbols}
    sizes = {*op.sizes}
    known = {s for axis in (*op.param(param).axes, *op.output.axes) for s in axis.extent.symbols}
    kept: list[Param] = []
    for one in op.params:
        mine = {s for axis in one.axes for s in axis.extent.symbols} & sizes
        if one.name in read or mine & speaks - known:
            kept.append(one)
            known |= mine
    if output in read:
        kept.append(Param(output, "real", op.output.axes))
    return (*kept, Param(cotangent, "real", op.output.axes))


def _speaks_of(op: OpDef, cond: Cond, params: tuple[Param, ...]) -> bool:
    """Whether a condition speaks only of sizes that the derived operator has."""
    known = {s for p in params for axis in p.axes for s in axis.extent.symbols}
    return not (free_symbols(cond) & {*op.sizes}) - known


def _tied(term: Term | Cond, moving: set[str]) -> bool:
    """Whether a condition on real values that move, or a function with a kink at such values, is in the term."""
    for node in walk(term):
        match node:
            case RealCmp() if tensors(node) & moving:
                return True
            case Call(fn, _) if (FUNCTIONS[fn].pieces or FUNCTIONS[fn].jump) and tensors(node) & moving:
                return True
            case Reduce("max" | "min", _, _, _, body) if tensors(body) & moving:
                return True
            case _:
                pass
    return False


def _jumps(op: OpDef, rule: Formula, lets: tuple[Formula, ...]) -> tuple[Kink, ...]:
    """Wherever the rule ties it may jump: there the operator has a kink, so there is no second derivative.

    Declaring too much excuses nothing: where the rule is continuous after all, KINK asks for a subgradient.
    """
    known = {*op.sizes, *op.int_attrs, *rule.indices}
    moving = {p.name for p in op.differentiable}
    definitions = {let.target: (let.indices, let.body) for let in lets if not isinstance(let.body, Cond)}
    found: dict[Cond, None] = {}
    for node in walk(inline(rule.body, definitions)):  # type: ignore[arg-type]  # a rule is no condition
        match node:
            case RealCmp(_, a, b):
                found[RealCmp("==", a, b)] = None
            case Call(fn, args) if (jump := FUNCTIONS[fn].jump) is not None:
                found.update((inner, None) for inner in walk(jump(*args)) if isinstance(inner, RealCmp))
            case _:
                pass
    kept = (c for c in found if free_symbols(c) <= known and tensors(c) & moving)
    return tuple(Kink(cond, None, rule.span, jump=True) for cond in kept)
