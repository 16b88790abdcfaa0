"""Edits of a term at one place: a constant, a size, an index, a tensor, a factor, a condition, a sum. Untrusted."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, TypeAlias

from gradproof.compiler.dims import Entry, Poly
from gradproof.compiler.rewriting import children, map_children, map_cond, substitute, walk
from gradproof.compiler.terms import (
    TRUE,
    ZERO,
    Add,
    And,
    BoolRead,
    Call,
    Cond,
    IntCmp,
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
    either,
    int_eq,
    int_ge,
    mul,
    neg,
    negate,
    num,
    power,
    reduce_,
    select,
    size,
)

Edit: TypeAlias = tuple[str, Term]
Index: TypeAlias = tuple[Poly, ...]
CHOICES = 6  # positions of one tensor that are tried as a factor


@dataclass(frozen=True, slots=True)
class Scope:
    """What a formula may speak of: indices with extents, tensors by kind and shape, sizes, constants, conditions."""

    indices: tuple[tuple[str, Poly], ...]
    reals: Mapping[str, Index]  # the extents of real tensors; real attributes have none
    integers: Mapping[str, Index]
    sizes: tuple[str, ...]
    linear: frozenset[str]  # the cotangent, or the tangents: no factor of a rule's own
    constants: tuple[Fraction, ...] = ()
    guards: tuple[Cond, ...] = ()  # conditions that the definition makes

    def at(self, extents: Index) -> Iterator[Index]:
        """The positions of a tensor with these extents that are made of indices in scope."""
        choices = [[Poly.sym(name) for name, limit in self.indices if limit == extent] for extent in extents]
        return itertools.islice(itertools.product(*choices), CHOICES)

    def under(self, var: str, extent: Poly) -> Scope:
        """The scope inside of a binder."""
        return replace(self, indices=(*self.indices, (var, extent)))


def with_child(node: Term, position: int, child: Term | Cond) -> Term:
    """The term with another child at this position of `children(node)`."""
    return map_children(node, *_placing(position, child))


def cond_with_child(node: Cond, position: int, child: Term | Cond) -> Cond:
    """The condition with another child at this position of `children(node)`."""
    return map_cond(node, *_placing(position, child))


def _placing(position: int, child: Any) -> tuple[Callable[[Term], Term], Callable[[Cond], Cond]]:
    places = itertools.count()  # parts are visited in the order of `children`

    def at(part: Any) -> Any:
        return child if next(places) == position else part

    return at, at


def at_one_place(node: Term, scope: Scope) -> Iterator[Edit]:
    """Every edit of one node of the term."""
    yield from _here(node, scope)
    for position, child in enumerate(children(node)):
        inner = scope.under(node.var, node.extent) if isinstance(node, Reduce) else scope
        found = _in_condition(child, inner) if isinstance(child, Cond) else at_one_place(child, inner)
        for change, new in found:
            yield change, with_child(node, position, new)


def _in_condition(node: Cond, scope: Scope) -> Iterator[tuple[str, Cond]]:
    match node:
        case IntCmp(rel, poly):
            make = int_ge if rel == ">=" else int_eq
            for step in (1, -1):
                yield "a guard moved by one", make(poly + step, 0)
            for new in _polys(poly, scope):
                yield "another size in the guard", make(new, 0)
        case RealCmp(rel, a, b):
            yield "the comparison turned round", RealCmp(rel, b, a)
            if rel != "==":
                yield "the comparison of the other strictness", RealCmp("<" if rel == "<=" else "<=", a, b)
        case BoolRead(tensor, index):
            yield "the condition negated", negate(node)
            for moved in _moved(index, scope):
                yield "another index", BoolRead(tensor, moved)
        case And(args) | Or(args):
            join = both if isinstance(node, And) else either
            for k in range(len(args)):
                yield "a condition left out", join(*args[:k], *args[k + 1 :])
        case _:
            pass
    for position, child in enumerate(children(node)):
        found = _in_condition(child, scope) if isinstance(child, Cond) else at_one_place(child, scope)
        for change, part in found:
            yield change, cond_with_child(node, position, part)


def _here(node: Term, scope: Scope) -> Iterator[Edit]:
    match node:
        case Num(value):
            yield from _constants(value, scope)
        case Size(poly):
            for new in (*_polys(poly, scope), poly + 1, poly - 1):
                yield "another size", size(new)
        case Read(tensor, index):
            yield from _reads(tensor, index, scope)
        case Add(args):
            yield from _additions(args)
        case Mul(args):
            for k, factor in enumerate(args):
                rest = (*args[:k], *args[k + 1 :])
                yield "a factor left out", mul(*rest)
                yield "a factor turned over", mul(*rest, power(factor, -1))
                if isinstance(factor, Add):  # g * (a - b), where g * a - b is meant
                    for j, part in enumerate(factor.args):
                        yield "other parentheses", add(mul(*rest, part), *factor.args[:j], *factor.args[j + 1 :])
        case Pow(base, exponent):
            for new_exponent in (exponent + 1, exponent - 1, -exponent):
                yield f"the power {new_exponent}", power(base, new_exponent)
            if isinstance(base, Add):  # (1 - y)^2, where 1 - y^2 is meant
                for k, part in enumerate(base.args):
                    raised = _raised(part, exponent)
                    yield "other parentheses", add(*base.args[:k], raised, *base.args[k + 1 :])
        case Call(fn, args):
            if len(args) == 2:
                yield "the arguments exchanged", Call(fn, (args[1], args[0]))
            for k, arg in enumerate(args):
                yield "an argument's sign", Call(fn, (*args[:k], neg(arg), *args[k + 1 :]))
        case Select(cond, then, other):
            yield "the branches exchanged", select(cond, other, then)
            yield "0 in the other branch", select(cond, then, ZERO)
        case Reduce():
            yield from _reductions(node, scope)
    for part in _descendants(node):
        yield "a part left out", part


def _constants(value: Fraction, scope: Scope) -> Iterator[Edit]:
    near = (-value, value + 1, value - 1, 2 * value, value / 2, *([1 / value] if value else []))
    for new in dict.fromkeys((*near, *scope.constants, *(-c for c in scope.constants))):
        if new != value:
            yield f"the constant {new}", num(new)


def _reads(tensor: str, index: Index, scope: Scope) -> Iterator[Edit]:
    for new_index in _moved(index, scope):
        yield "another index", Read(tensor, new_index)
    axes = scope.reals.get(tensor)
    if axes is None:
        return
    for position, extent in enumerate(axes):
        for name, limit in scope.indices:
            if limit == extent and Poly.sym(name) != index[position]:
                moved = (*index[:position], Poly.sym(name), *index[position + 1 :])
                yield "another index", Read(tensor, moved)
    for other, others in scope.reals.items():
        if other != tensor and others == axes:
            yield f"`{other}` in place of `{tensor}`", Read(other, index)
    for other, others in scope.reals.items():
        if other != tensor and others != axes:
            for position_of in scope.at(others):
                yield f"`{other}` in place of `{tensor}`", Read(other, position_of)


def _moved(index: Index, scope: Scope) -> Iterator[Index]:
    for a, b in itertools.combinations(range(len(index)), 2):
        turned = list(index)
        turned[a], turned[b] = turned[b], turned[a]
        yield tuple(turned)
    for k, poly in enumerate(index):
        for new in (poly + 1, poly - 1, *_polys(poly, scope)):
            yield (*index[:k], new, *index[k + 1 :])


def _polys(poly: Poly, scope: Scope) -> Iterator[Poly]:
    """Integer expressions in which one size is another one, or an entry of an integer tensor stands for an index."""
    for name in sorted(poly.symbols & set(scope.sizes)):
        for other in scope.sizes:
            if other != name:
                yield poly.substitute({name: Poly.sym(other)})
    for tensor, axes in scope.integers.items():
        for position in scope.at(axes):
            entry = Poly.atom(Entry(tensor, position))
            for one in position:
                if one == poly:
                    yield entry
        for entry_ in poly.entries():
            if entry_.tensor == tensor and len(entry_.index) == 1:
                yield entry_.index[0]


def _additions(args: tuple[Term, ...]) -> Iterator[Edit]:
    for k, arg in enumerate(args):
        before, after = args[:k], args[k + 1 :]
        yield "the sign of a summand", add(*before, neg(arg), *after)
        yield "a summand left out", add(*before, *after)
        yield "a summand twice as large", add(*before, mul(num(2), arg), *after)
        yield "a summand half as large", add(*before, mul(num("1/2"), arg), *after)
        factors = arg.args if isinstance(arg, Mul) else (arg,)
        for j, factor in enumerate(factors):  # g * 1 - y, where g * (1 - y) is meant
            if not isinstance(factor, Num):
                inner = mul(*factors[:j], *factors[j + 1 :])
                yield "other parentheses", mul(factor, add(inner, *before, *after))


def _raised(term: Term, exponent: int) -> Term:
    if isinstance(term, Mul) and isinstance(term.args[0], Num) and term.args[0].value < 0:
        return neg(power(neg(term), exponent))
    return power(term, exponent)


def _reductions(node: Reduce, scope: Scope) -> Iterator[Edit]:
    if node.guard != TRUE:
        yield "no condition", reduce_(node.kind, node.var, node.extent, TRUE, node.body)
    other = {"sum": "prod", "prod": "sum", "max": "min", "min": "max"}[node.kind]
    yield f"{other} in place of {node.kind}", Reduce(other, node.var, node.extent, node.guard, node.body)
    for step in (1, -1):
        yield "one entry more or less", reduce_(node.kind, node.var, node.extent + step, node.guard, node.body)
    for new in _polys(node.extent, scope):
        yield "another extent", reduce_(node.kind, node.var, new, node.guard, node.body)
    yield from _turned_reads(node, scope)
    for name, limit in scope.indices:
        if limit == node.extent:
            yield f"no {node.kind}", substitute(node.body, {node.var: Poly.sym(name)})
            if node.kind == "sum":
                for apart in (int_eq(Poly.sym(node.var), Poly.sym(name)), int_ge(Poly.sym(name), Poly.sym(node.var))):
                    for guard in (apart, negate(apart)):
                        both_ = both(node.guard, guard)
                        yield "a condition", reduce_(node.kind, node.var, node.extent, both_, node.body)


def _turned_reads(node: Reduce, scope: Scope) -> Iterator[Edit]:
    """Two positions of one tensor exchanged inside of a binder, which then runs over the axis that it came to."""
    for tensor in sorted({r.tensor for r in walk(node.body) if isinstance(r, Read) and len(r.index) > 1}):
        axes = scope.reals.get(tensor, ())
        for a, b in itertools.combinations(range(len(axes)), 2):

            def turned(read: Read, tensor: str = tensor, a: int = a, b: int = b) -> Term:
                index = list(read.index)
                if read.tensor == tensor:
                    index[a], index[b] = index[b], index[a]
                return Read(read.tensor, tuple(index))

            body = reread(node.body, turned)
            reads = (r for r in walk(body) if isinstance(r, Read) and r.tensor == tensor)
            own = Poly.sym(node.var)
            for extent in {e for r in reads for p, e in zip(r.index, axes, strict=True) if p == own}:
                yield f"the indices of `{tensor}` exchanged", reduce_(node.kind, node.var, extent, node.guard, body)


def reread(node: Term, change: Callable[[Read], Term]) -> Term:
    """The term with every read changed."""

    def cond(one: Cond) -> Cond:
        return map_cond(one, term, cond)

    def term(one: Term) -> Term:
        return change(one) if isinstance(one, Read) else map_children(one, term, cond)

    return term(node)


def _descendants(node: Term) -> Iterator[Term]:
    """The terms inside of a term that no binder of its own encloses."""
    if isinstance(node, Reduce):
        return
    for child in children(node):
        if isinstance(child, Cond):
            continue
        yield child
        yield from _descendants(child)
