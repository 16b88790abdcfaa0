"""The calculus: the derivative of a term, and where a term is defined. [trusted]

`derivative` is the one place where derivatives come from; everything else that is said about them is a claim that is
checked against it. The rules: a read of x gives a read of dx; linearity through sums; product, quotient and chain rule;
one partial derivative per named function (functions.py). A condition is treated as locally constant, so the result is
the derivative away from the boundaries of `select` and the ties of max and min; what is used there is KINK's business.
"""

from __future__ import annotations

from collections.abc import Mapping

from gradproof.compiler.dims import FloorDiv, Mod, Poly
from gradproof.compiler.functions import FUNCTIONS, nonzero
from gradproof.compiler.terms import (
    FALSE,
    ONE,
    TRUE,
    ZERO,
    Add,
    And,
    BoolRead,
    Call,
    Cond,
    IntCmp,
    Mul,
    Not,
    Num,
    Or,
    Pow,
    Read,
    RealCmp,
    Reduce,
    Select,
    Size,
    Term,
    Truth,
    add,
    both,
    divide,
    either,
    fresh,
    indicator,
    int_eq,
    mul,
    negate,
    num,
    polys,
    power,
    reduce_,
    select,
    substitute,
    substitute_cond,
    total,
)


def derivative(term: Term, tangents: Mapping[str, str]) -> Term:
    """The directional derivative: `tangents` names the tangent of each tensor that varies; all else is constant."""
    match term:
        case Num() | Size():
            return ZERO
        case Read(tensor, index):
            return Read(tangents[tensor], index) if tensor in tangents else ZERO
        case Add(args):
            return add(*(derivative(a, tangents) for a in args))
        case Mul(args):
            parts = [derivative(a, tangents) for a in args]
            return add(*(mul(*args[:k], part, *args[k + 1 :]) for k, part in enumerate(parts) if part != ZERO))
        case Pow(base, exponent):
            part = derivative(base, tangents)
            return ZERO if part == ZERO else mul(num(exponent), power(base, exponent - 1), part)
        case Call(fn, args):
            parts = [derivative(a, tangents) for a in args]
            partials = FUNCTIONS[fn].partials
            return add(*(mul(partials[k](*args), part) for k, part in enumerate(parts) if part != ZERO))
        case Select(cond, then, other):
            return select(cond, derivative(then, tangents), derivative(other, tangents))
        case Reduce():
            return _of_reduce(term, tangents)


def _of_reduce(term: Reduce, tangents: Mapping[str, str]) -> Term:
    part = derivative(term.body, tangents)
    if part == ZERO:
        return ZERO
    match term.kind:
        case "sum":
            return reduce_("sum", term.var, term.extent, term.guard, part)
        case "prod":
            # d(prod_i b_i) = sum_i db_i * prod_{j != i} b_j: no division, so zeros among the factors are harmless.
            other = fresh(term.var)
            rename = {term.var: Poly.sym(other)}
            apart = negate(int_eq(Poly.sym(other), Poly.sym(term.var)))
            rest_guard = both(substitute_cond(term.guard, rename), apart)
            rest = Reduce("prod", other, term.extent, rest_guard, substitute(term.body, rename))
            return reduce_("sum", term.var, term.extent, term.guard, mul(part, rest))
        case _:
            # The optimum's derivative is that of the entries that attain it, split evenly between ties.
            wins = indicator(RealCmp("==", term.body, _apart(term)))
            count = total(term.var, term.extent, wins, term.guard)
            picked = total(term.var, term.extent, mul(wins, part), term.guard)
            return divide(picked, count)


def _apart(term: Reduce) -> Term:
    """The same reduction with its own name for the bound index."""
    other = fresh(term.var)
    rename = {term.var: Poly.sym(other)}
    guard = substitute_cond(term.guard, rename)
    return Reduce(term.kind, other, term.extent, guard, substitute(term.body, rename))


def defined(term: Term) -> Cond:
    """Where the term has a value, as a condition; a `forall` over bound indices is an empty-sum condition.

    "for all i: c(i)" is written `sum_i [not c(i)] == 0`, so that conditions need no quantifier.
    """
    match term:
        case Num():
            return TRUE
        case Size() | Read():
            return both(*(_integer_defined(p) for p in polys(term)))
        case Add(args) | Mul(args):
            return both(*map(defined, args))
        case Pow(base, exponent):
            return both(defined(base), nonzero(base) if exponent < 0 else TRUE)
        case Call(fn, args):
            return both(*map(defined, args), FUNCTIONS[fn].domain(*args))
        case Select(cond, then, other):
            there, elsewhere = defined(then), defined(other)
            chosen = both(either(negate(cond), there), either(cond, elsewhere))
            return both(defined_cond(cond), there if there == elsewhere else chosen)
        case Reduce(kind, var, extent, guard, body):
            inside = both(defined_cond(guard), either(negate(guard), defined(body)))
            everywhere = for_all(var, extent, inside)
            if kind in ("max", "min"):
                return both(everywhere, negate(for_all(var, extent, negate(guard))))
            return everywhere


def defined_cond(cond: Cond) -> Cond:
    """Where the condition has a truth value (its parts are read from left to right, as `and` and `or` do)."""
    match cond:
        case IntCmp(_, poly):
            return _integer_defined(poly)
        case BoolRead(_, index):
            return both(*map(_integer_defined, index))
        case RealCmp(_, a, b):
            return both(defined(a), defined(b))
        case Not(arg):
            return defined_cond(arg)
        case And(args) | Or(args):
            result, before = TRUE, TRUE
            for arg in args:
                result = both(result, either(negate(before), defined_cond(arg)))
                before = both(before, arg if isinstance(cond, And) else negate(arg))
            return result
        case Truth():
            return TRUE


def for_all(var: str, extent: Poly, cond: Cond) -> Cond:
    """`cond` for all 0 <= var < extent, as a condition."""
    if cond == TRUE:
        return TRUE
    if var not in _free(cond):
        empty = IntCmp(">=", -extent) if extent.constant is None else Truth(extent.constant <= 0)
        return either(empty, cond)
    return RealCmp("==", total(var, extent, indicator(negate(cond))), ZERO)


def quantified(cond: Cond) -> tuple[str, Poly, Cond] | None:
    """(var, extent, inner) where the condition was made by `for_all`; otherwise None."""
    match cond:
        case RealCmp("==", Reduce("sum", var, extent, Truth(True), Select(inner, then, other)), zero):
            if then == ONE and other == ZERO and zero == ZERO:
                return var, extent, negate(inner)
    return None


def _free(cond: Cond) -> frozenset[str]:
    from gradproof.compiler.terms import free_symbols

    return free_symbols(cond)


def _integer_defined(poly: Poly) -> Cond:
    conds: list[Cond] = []
    for atom in poly.atoms:
        if isinstance(atom, FloorDiv | Mod):
            conds += [_integer_defined(atom.num), _integer_defined(atom.den), negate(int_eq(atom.den, 0))]
    return FALSE if FALSE in conds else both(*conds)
