"""The derivative of a stable form: of a formula that is smooth although what it is made of is not.

A rule that subtracts a maximum, or reads `max(x, 0) + log(1 + exp(-abs(x)))`, has kinks on its way and none in the end.
Its derivative by the calculus is wrong just where those tie; here is one that is right there too. It is a claim like
any written jvp.
"""

from __future__ import annotations

from dataclasses import replace

from gradproof.compiler.calculus import derivative
from gradproof.compiler.functions import FUNCTIONS
from gradproof.compiler.ops import TANGENT, Formula, OpDef
from gradproof.compiler.rewriting import map_children, map_cond, replace_reads, substitute
from gradproof.compiler.terms import Add, Call, Mul, Num, Read, RealCmp, Reduce, Select, Term, sub


def stable_jvp(op: OpDef, rule: Formula) -> Formula:
    """The derivative of what runs, for a rule whose intermediates have kinks that it has not itself.

    An optimum that is subtracted for the sake of stability is held still: what it is does not matter. A function such
    as |x| is written out by cases first, so that each case is differentiated for itself.
    """
    still = {let.target for let in op.lets if isinstance(let.body, Reduce) and let.body.kind in ("max", "min")}
    lets = {let.target: let for let in op.lets if let.target not in still}
    moving = {p.name: TANGENT + p.name for p in op.differentiable} | {name: f"{TANGENT} {name}" for name in lets}
    tangents = {f"{TANGENT} {name}": let for name, let in lets.items()}

    def tangent(term: Term) -> Term:
        return replace_reads(derivative(_by_cases(term), moving), one)

    def one(read: Read) -> Term:
        let = tangents.get(read.tensor)
        if let is None:
            return read
        return tangent(substitute(let.body, dict(zip(let.indices, read.index, strict=True))))  # type: ignore[arg-type]

    return replace(rule, body=tangent(rule.body))  # type: ignore[arg-type]  # a rule is no condition


def _by_cases(term: Term) -> Term:
    """The term with maxima, absolute values and the like as selections, which all leave a tie to the same side.

    Differentiated case by case such a formula has a one-sided derivative at a tie; where it is smooth after all, as
    `max(x, 0) + log(1 + exp(-abs(x)))` is, that is the derivative, if every case is of the same side.
    """
    term = map_children(term, _by_cases, lambda c: map_cond(c, _by_cases, lambda inner: inner))
    if isinstance(term, Call) and FUNCTIONS[term.fn].pieces:
        unfold = FUNCTIONS[term.fn].unfold
        written = None if unfold is None else unfold(*term.args)
        return term if written is None else _by_cases(written)
    match term:
        case Select(RealCmp("<", a, b), then, other) if _backward(sub(a, b)):
            return Select(RealCmp("<", b, a), other, then)
        case Select(RealCmp("<=", a, b), then, other) if not _backward(sub(a, b)):
            return Select(RealCmp("<", a, b), then, other)
        case _:
            return term


def _backward(difference: Term) -> bool:
    """Whether a difference is the negative one of two that say the same: of p and -p exactly one is."""
    parts = difference.args if isinstance(difference, Add) else (difference,)
    return min((_signed(part) for part in parts if not isinstance(part, Num)), default=("", False))[1]


def _signed(part: Term) -> tuple[str, bool]:
    """A part of a sum without its number, and whether that is negative."""
    match part:
        case Mul((Num(value), *rest)):
            return repr(rest), value < 0
        case _:
            return repr([part]), False
