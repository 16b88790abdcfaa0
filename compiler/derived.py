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

from gradproof.compiler.calculus import derivative
from gradproof.compiler.functions import FUNCTIONS
from gradproof.compiler.ops import COTANGENT, OUTPUT, TANGENT, Formula, OpDef, Param
from gradproof.compiler.rewriting import (
    children,
    free_symbols,
    rename_tensors,
    rename_tensors_cond,
    replace_reads,
    substitute,
    tensors,
)
from gradproof.compiler.rules import derive_vjp, derived_jvp, has_kinks, rules_of, tied
from gradproof.compiler.terms import TRUE, Call, Cond, Pow, Read, Term
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
    rule = _renamed(replace(found.result, target=OUTPUT), names)
    sharp = tied(op) or any(has_kinks(f.body) for f in (*lets, rule))
    if any(output in tensors(f.body) and (sharp or _needs(f.body, output)) for f in (*lets, rule)):
        # Where not every value of y would do, or where values tie, what y is must be known: it is computed again.
        forward = rules_of(op).forward
        again = (*forward.lets, replace(forward.result, target=output))
        lets = (*again, *(let for let in lets if let.target not in {f.target for f in again}))
    rough = {let.target for let in lets if has_kinks(let.body)} if not tied(op) else set()
    meaning = rule
    if rough:
        smooth = Formula(OUTPUT, op.forward.indices, op.forward.extents, derived_jvp(op), op.forward.span)
        meaning = _renamed(replace(derive_vjp(op, smooth, op.param(param)), target=OUTPUT, span=rule.span), names)
    params = _params(op, param, (meaning, rule, *lets), output, cotangent)
    read = {p.name for p in params}
    target = op.param(param)
    made = OpDef(
        vjp_name(op, param),
        op.attrs,
        params,
        Param(OUTPUT, "real", target.axes),
        meaning,
        rule.span,
        tuple(c for c in op.requires if _speaks_of(op, c, params) and tensors(c) <= read | {*op.real_attrs}),
        tuple(c for c in op.domain if _speaks_of(op, c, params) and tensors(c) <= read | {*op.real_attrs}),
        lets,
        rule if rough else None,
        doc=f"The vjp of {op.name} with respect to {param}.",
    )
    return replace(made, jvp=_jvp(made, rule, rough)) if rough else made


def _renamed(formula: Formula, names: dict[str, str]) -> Formula:
    body = formula.body
    changed = rename_tensors_cond(body, names) if isinstance(body, Cond) else rename_tensors(body, names)
    return replace(formula, body=changed)


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


def _jvp(op: OpDef, rule: Formula, rough: set[str]) -> Formula:
    """The derivative of what runs, the intermediates with kinks held still: what they are does not matter."""
    moving = {p.name: TANGENT + p.name for p in op.differentiable}
    moving |= {let.target: TANGENT + let.target for let in op.lets if let.target not in rough}
    lets = {TANGENT + let.target: let for let in op.lets if let.target not in rough}

    def tangent(term: Term) -> Term:
        return replace_reads(derivative(term, moving), one)

    def one(read: Read) -> Term:
        let = lets.get(read.tensor)
        if let is None:
            return read
        return tangent(substitute(let.body, dict(zip(let.indices, read.index, strict=True))))  # type: ignore[arg-type]

    return replace(rule, body=tangent(rule.body))  # type: ignore[arg-type]  # a rule is no condition
