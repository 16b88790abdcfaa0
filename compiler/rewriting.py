"""Walking and rewriting terms: what is inside, what is free, and substitution that captures nothing. [trusted]"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from gradproof.compiler.dims import Entry, Poly
from gradproof.compiler.terms import (
    Add,
    And,
    BoolRead,
    Call,
    Cond,
    IntCmp,
    Mul,
    Not,
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
    fresh,
    int_eq,
    int_ge,
    mul,
    negate,
    power,
    reduce_,
    select,
    size,
)


def children(node: Term | Cond) -> tuple[Term | Cond, ...]:
    """The direct sub-terms and sub-conditions (a Reduce's guard before its body)."""
    match node:
        case Add(args) | Mul(args) | Call(_, args) | And(args) | Or(args):
            return args
        case Pow(base, _):
            return (base,)
        case Select(cond, then, other):
            return (cond, then, other)
        case Reduce(_, _, _, guard, body):
            return (guard, body)
        case RealCmp(_, a, b):
            return (a, b)
        case Not(arg):
            return (arg,)
        case _:
            return ()


def walk(node: Term | Cond) -> Iterator[Term | Cond]:
    """The node and everything inside it, parents first."""
    stack = [node]
    while stack:
        node = stack.pop()
        yield node
        stack.extend(reversed(children(node)))


def polys(node: Term | Cond) -> Iterator[Poly]:
    """The integer expressions that stand directly in this node."""
    match node:
        case Size(poly) | IntCmp(_, poly):
            yield poly
        case Read(_, index) | BoolRead(_, index):
            yield from index
        case Reduce(_, _, extent, _, _):
            yield extent
        case _:
            pass


def free_symbols(node: Term | Cond) -> frozenset[str]:
    """Sizes, attributes and indices that occur free."""
    if isinstance(node, Reduce):
        inner = (free_symbols(node.guard) | free_symbols(node.body)) - {node.var}
        return inner | node.extent.symbols
    names: frozenset[str] = frozenset()
    for poly in polys(node):
        names |= poly.symbols
    for child in children(node):
        names |= free_symbols(child)
    return names


def tensors(node: Term | Cond) -> frozenset[str]:
    """The names of all tensors that are read, real, integer or boolean."""
    names: set[str] = set()
    for inner in walk(node):
        if isinstance(inner, Read | BoolRead):
            names.add(inner.tensor)
        for poly in polys(inner):
            names |= {entry.tensor for entry in poly.entries()}
    return frozenset(names)


def reads_of(node: Term | Cond, tensor: str) -> set[tuple[Poly, ...]]:
    """The positions at which a tensor is read, of whatever kind it is."""
    found: set[tuple[Poly, ...]] = set()
    for inner in walk(node):
        if isinstance(inner, Read | BoolRead) and inner.tensor == tensor:
            found.add(inner.index)
        found |= {e.index for poly in polys(inner) for e in poly.entries() if e.tensor == tensor}
    return found


def map_children(node: Term, term: Callable[[Term], Term], cond: Callable[[Cond], Cond]) -> Term:
    """Rebuild a term with its sub-terms and sub-conditions changed."""
    match node:
        case Add(args):
            return add(*map(term, args))
        case Mul(args):
            return mul(*map(term, args))
        case Pow(base, exponent):
            return power(term(base), exponent)
        case Call(fn, args):
            return Call(fn, tuple(map(term, args)))
        case Select(c, then, other):
            return select(cond(c), term(then), term(other))
        case Reduce(kind, var, extent, guard, body):
            return Reduce(kind, var, extent, cond(guard), term(body))
        case _:
            return node


def map_cond(node: Cond, term: Callable[[Term], Term], cond: Callable[[Cond], Cond]) -> Cond:
    """Rebuild a condition with its sub-terms and sub-conditions changed."""
    match node:
        case RealCmp(rel, a, b):
            return RealCmp(rel, term(a), term(b))
        case And(args):
            return both(*map(cond, args))
        case Or(args):
            return either(*map(cond, args))
        case Not(arg):
            return negate(cond(arg))
        case _:
            return node


def substitute(node: Term, mapping: Mapping[str, Poly]) -> Term:
    """Replace free sizes and indices by integer expressions, renaming binders that would capture."""
    if not mapping:
        return node
    match node:
        case Size(poly):
            return size(poly.substitute(mapping))
        case Read(tensor, index):
            return Read(tensor, tuple(p.substitute(mapping) for p in index))
        case Reduce(kind, var, extent, guard, body):
            inner = {name: poly for name, poly in mapping.items() if name != var}
            if any(var in poly.symbols for poly in inner.values()):
                renamed = fresh(var)
                inner[var], var = Poly.sym(renamed), renamed
            changed = substitute_cond(guard, inner), substitute(body, inner)
            return Reduce(kind, var, extent.substitute(mapping), *changed)
        case _:
            return map_children(node, lambda t: substitute(t, mapping), lambda c: substitute_cond(c, mapping))


def substitute_cond(node: Cond, mapping: Mapping[str, Poly]) -> Cond:
    """`substitute`, for conditions."""
    if not mapping:
        return node
    match node:
        case IntCmp(">=", poly):
            return int_ge(poly.substitute(mapping), 0)
        case IntCmp(_, poly):
            return int_eq(poly.substitute(mapping), 0)
        case BoolRead(tensor, index):
            return BoolRead(tensor, tuple(p.substitute(mapping) for p in index))
        case _:
            return map_cond(node, lambda t: substitute(t, mapping), lambda c: substitute_cond(c, mapping))


def replace_reads(node: Term, change: Callable[[Read], Term]) -> Term:
    """Replace each read of a real tensor by a term; the caller's terms must not mention bound indices by accident.

    Every binder is renamed apart first, so an index that is free in a replacement can't be captured.
    """
    match node:
        case Read():
            return change(node)
        case Reduce(kind, var, extent, guard, body):
            renamed = fresh(var)
            apart = {var: Poly.sym(renamed)}
            inner_guard = replace_reads_cond(substitute_cond(guard, apart), change)
            return reduce_(kind, renamed, extent, inner_guard, replace_reads(substitute(body, apart), change))
        case _:
            return map_children(node, lambda t: replace_reads(t, change), lambda c: replace_reads_cond(c, change))


def replace_reads_cond(node: Cond, change: Callable[[Read], Term]) -> Cond:
    """`replace_reads`, for conditions."""
    return map_cond(node, lambda t: replace_reads(t, change), lambda c: replace_reads_cond(c, change))


def rename_tensors(node: Term, names: Mapping[str, str]) -> Term:
    """Rename tensors in real, integer and boolean reads."""
    return _renamed(node, names)


def rename_tensors_cond(node: Cond, names: Mapping[str, str]) -> Cond:
    """`rename_tensors`, for conditions."""
    return _renamed_cond(node, names)


def inline_names(node: Term, names: Mapping[str, str], sizes: Mapping[str, Poly]) -> Term:
    """Rename tensors and replace sizes at once: an operator's term in the names of the place that applies it."""
    return substitute(_renamed(node, names), sizes)


def inline_names_cond(node: Cond, names: Mapping[str, str], sizes: Mapping[str, Poly]) -> Cond:
    """`inline_names`, for conditions."""
    return substitute_cond(_renamed_cond(node, names), sizes)


def _renamed_poly(poly: Poly, names: Mapping[str, str]) -> Poly:
    return poly.rename_entries(lambda e: Poly.atom(Entry(names.get(e.tensor, e.tensor), e.index)))


def _renamed(node: Term, names: Mapping[str, str]) -> Term:
    match node:
        case Size(p):
            return Size(_renamed_poly(p, names))
        case Read(tensor, index):
            return Read(names.get(tensor, tensor), tuple(_renamed_poly(p, names) for p in index))
        case Reduce(kind, var, extent, guard, body):
            inside = _renamed_cond(guard, names), _renamed(body, names)
            return Reduce(kind, var, _renamed_poly(extent, names), *inside)
        case _:
            return map_children(node, lambda t: _renamed(t, names), lambda c: _renamed_cond(c, names))


def _renamed_cond(node: Cond, names: Mapping[str, str]) -> Cond:
    match node:
        case IntCmp(rel, p):
            return IntCmp(rel, _renamed_poly(p, names))
        case BoolRead(tensor, index):
            return BoolRead(names.get(tensor, tensor), tuple(_renamed_poly(p, names) for p in index))
        case _:
            return map_cond(node, lambda t: _renamed(t, names), lambda c: _renamed_cond(c, names))
