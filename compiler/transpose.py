"""The transpose: a jvp term, linear in a tangent, becomes the vjp term of that input, and the other way round.

What comes out is a claim like a written rule: VJP checks it against the calculus. A jvp is a sum of terms
`c(o, r) * dx[phi(o, r)]`; its vjp at j is `sum(o, r | phi(o, r) = j) c(o, r) * g[o]`, where each equation that has a
unit coefficient is solved and the others stay as guards (structural transposition: Dex, ICFP 2021, section 4).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gradproof.compiler.dims import Poly
from gradproof.compiler.rewriting import free_symbols, replace_reads, substitute, substitute_cond, tensors, walk
from gradproof.compiler.solving import Positive, System
from gradproof.compiler.terms import (
    TRUE,
    ZERO,
    Add,
    BoolRead,
    Cond,
    IntCmp,
    Mul,
    Read,
    RealCmp,
    Reduce,
    Select,
    Term,
    add,
    both,
    fresh,
    mul,
    negate,
    reduce_,
    select,
)


class NotLinear(ValueError):
    """The term is not linear in the tensor that it should be transposed in."""


@dataclass(frozen=True, slots=True)
class Contribution:
    """`coefficient * tensor[index]`, summed over `binders` where all `conds` hold."""

    coefficient: Term
    index: tuple[Poly, ...]
    binders: tuple[tuple[str, Poly], ...]
    conds: tuple[Cond, ...]


def contributions(term: Term, tensor: str) -> list[Contribution]:
    """The linear form of `term` in `tensor`; NotLinear where it has none."""
    if tensor not in tensors(term):
        if term == ZERO:
            return []
        raise NotLinear(f"a part does not depend on {tensor}")
    match term:
        case Read(_, index):
            if any(tensor == entry.tensor for p in index for entry in p.entries()):
                raise NotLinear(f"{tensor} is read inside an index")
            return [Contribution(mul(), index, (), ())]
        case Add(args):
            return [c for a in args for c in contributions(a, tensor)]
        case Mul(args):
            linear = [a for a in args if tensor in tensors(a)]
            if len(linear) != 1:
                raise NotLinear(f"a product of several factors that depend on {tensor}")
            rest = mul(*(a for a in args if a is not linear[0]))
            return [
                Contribution(mul(rest, c.coefficient), c.index, c.binders, c.conds)
                for c in contributions(linear[0], tensor)
            ]
        case Select(cond, then, other):
            if tensor in tensors(cond):
                raise NotLinear(f"a condition depends on {tensor}")
            return [
                Contribution(c.coefficient, c.index, c.binders, (chosen, *c.conds))
                for chosen, branch in ((cond, then), (negate(cond), other))
                if branch != ZERO
                for c in contributions(branch, tensor)
            ]
        case Reduce("sum", var, extent, guard, body):
            new = fresh(var)
            apart = {var: Poly.sym(new)}
            here = substitute_cond(guard, apart)
            if tensor in tensors(here):
                raise NotLinear(f"a guard depends on {tensor}")
            conds = () if here == TRUE else (here,)
            return [
                Contribution(c.coefficient, c.index, ((new, extent), *c.binders), (*conds, *c.conds))
                for c in contributions(substitute(body, apart), tensor)
            ]
        case _:
            raise NotLinear(f"{tensor} stands inside a function that is not linear")


def transpose(
    term: Term,
    indices: tuple[str, ...],
    extents: tuple[Poly, ...],
    linear_in: str,
    target: tuple[str, ...],
    cotangent: str,
    limits: tuple[Poly, ...] = (),
    positive: Positive = lambda size: (size.constant or 0) >= 1,
) -> Term:
    """The vjp at `target` of a jvp `term` at `indices` (each below its extent), linear in `linear_in`.

    `limits` are the extents of `target`'s indices; `positive` says which sizes are at least 1.

    The result reads `cotangent` at the jvp's indices. The same function turns a vjp back into a jvp.
    """
    parts: list[Term] = []
    for part in contributions(term, linear_in):
        renamed = {name: Poly.sym(fresh(name)) for name in indices}
        outer = tuple((str(renamed[name]), extent) for name, extent in zip(indices, extents, strict=True))
        coefficient = substitute(part.coefficient, renamed)
        conds = [substitute_cond(c, renamed) for c in part.conds]
        index = [p.substitute(renamed) for p in part.index]
        inner = tuple((var, extent.substitute(renamed)) for var, extent in part.binders)
        body = mul(coefficient, Read(cotangent, tuple(renamed[name] for name in indices)))
        equations = [(Poly.sym(name), poly) for name, poly in zip(target, index, strict=True)]
        known = dict(zip(target, limits, strict=False))
        system = System(body, dict([*outer, *inner]), conds, equations, known, positive)
        system.solve()
        parts.append(_sum(system.body, list(system.binders.items()), system.conds))
    return add(*parts)


def _sum(body: Term, binders: list[tuple[str, Poly]], conds: list[Cond]) -> Term:
    """Integer conditions become guards of the innermost binder; conditions on values guard the body itself."""
    names = {var for var, _ in binders}
    integer = [c for c in conds if isinstance(c, IntCmp) or _only_integers(c)]
    real = both(*(c for c in conds if c not in integer))
    body = select(real, body, ZERO)
    outside = both(*(c for c in integer if not free_symbols(c) & names))
    guard = both(*(c for c in integer if free_symbols(c) & names))
    for position, (var, extent) in enumerate(reversed(binders)):
        body = reduce_("sum", var, extent, guard if position == 0 else TRUE, body)
    return select(outside, body, ZERO)


def _only_integers(cond: Cond) -> bool:
    return not any(isinstance(c, RealCmp | BoolRead) for c in walk(cond))


def inline(term: Term, definitions: Mapping[str, tuple[tuple[str, ...], Term]]) -> Term:
    """Replace reads of defined tensors (name -> indices, body) by their definitions, repeatedly and without capture."""

    def one(read: Read) -> Term:
        if read.tensor not in definitions:
            return read
        indices, body = definitions[read.tensor]
        return inline(substitute(body, dict(zip(indices, read.index, strict=True))), definitions)

    if not tensors(term) & definitions.keys():
        return term
    return replace_reads(term, one)
