"""The calculus: the derivative of a term, and where a term is defined. [trusted]

`derivative` is the one place where derivatives come from; everything else that is said about them is a claim that is
checked against it. The rules: a read of x gives a read of dx; linearity through sums; product, quotient and chain rule;
one partial derivative per named function (functions.py). A condition is treated as locally constant, so the result is
the derivative away from the boundaries of `select` and the ties of max and min; what is used there is KINK's business.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gradproof.compiler.dims import Entry, FloorDiv, Max, Min, Mod, Poly
from gradproof.compiler.functions import FUNCTIONS, nonzero
from gradproof.compiler.rewriting import children, polys, substitute, substitute_cond
from gradproof.compiler.terms import (
    TRUE,
    ZERO,
    Add,
    And,
    Call,
    Cond,
    Mul,
    Num,
    Or,
    Pow,
    Read,
    RealCmp,
    Reduce,
    Select,
    Size,
    Term,
    add,
    both,
    divide,
    fresh,
    indicator,
    int_eq,
    is_opaque,
    mul,
    negate,
    num,
    power,
    reduce_,
    select,
    total,
)


class Opaque(ValueError):
    """The derivative was asked of what an extern computes; only its laws tell."""


def derivative(term: Term, tangents: Mapping[str, str]) -> Term:
    """The directional derivative: `tangents` names the tangent of each tensor that varies; all else is constant."""
    match term:
        case Num() | Size():
            return ZERO
        case Read(tensor, index):
            if is_opaque(tensor) and tensor not in tangents:
                raise Opaque(f"`{tensor[1:]}` is an extern's: no formula says what its derivative is")
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


@dataclass(frozen=True, slots=True)
class Requirement:
    """A condition that must hold for a term to be defined: for all `binders` (index, extent) where `path` holds.

    `path` collects guards and the conditions of the selections that lead to the place; the free indices are the
    formula's own. `why` says in words what is applied there. With `exists`, the condition must hold for some value of
    the last binder instead (an optimum over a range that must not be empty).
    """

    binders: tuple[tuple[str, Poly], ...]
    path: tuple[Cond, ...]
    cond: Cond
    why: str
    exists: bool = False


def requirements(term: Term | Cond) -> list[Requirement]:
    """Everything that the term needs to be defined; it is defined where all of them hold."""
    out: list[Requirement] = []
    _require(term, (), (), out)
    return out


def _require(
    node: Term | Cond, binders: tuple[tuple[str, Poly], ...], path: tuple[Cond, ...], out: list[Requirement]
) -> None:
    def need(cond: Cond, why: str) -> None:
        if cond != TRUE:
            out.append(Requirement(binders, path, cond, why))

    for poly in polys(node):
        for divisor in _divisors(poly):
            need(negate(int_eq(divisor, 0)), "division of integers")
    match node:
        case Select(cond, then, other):
            _require(cond, binders, path, out)
            _require(then, binders, (*path, cond), out)
            _require(other, binders, (*path, negate(cond)), out)
        case Reduce(kind, var, extent, guard, body):
            new = fresh(var)
            apart = {var: Poly.sym(new)}
            guard, body = substitute_cond(guard, apart), substitute(body, apart)
            inner = (*binders, (new, extent))
            _require(guard, inner, path, out)
            if kind in ("max", "min"):
                out.append(Requirement(inner, path, guard, f"{kind} of nothing", exists=True))
            _require(body, inner, path if guard == TRUE else (*path, guard), out)
        case And() | Or():
            # Read from left to right: a later part is reached where the earlier ones have not decided.
            for part in node.args:
                _require(part, binders, path, out)
                path = (*path, part if isinstance(node, And) else negate(part))
        case _:
            for child in children(node):
                _require(child, binders, path, out)
    match node:
        case Pow(base, exponent) if exponent < 0:
            need(nonzero(base), "division by 0")
        case Call(fn, args):
            need(FUNCTIONS[fn].domain(*args), f"{fn} outside its domain")


def _divisors(poly: Poly) -> list[Poly]:
    found: list[Poly] = []
    for one in poly.atoms:
        match one:
            case FloorDiv(a, b) | Mod(a, b):
                found += [*_divisors(a), *_divisors(b), b]
            case Min(a, b) | Max(a, b):
                found += [*_divisors(a), *_divisors(b)]
            case Entry(_, index):
                found += [d for p in index for d in _divisors(p)]
            case _:
                pass
    return found
