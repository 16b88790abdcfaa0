"""Terms that are one edit away from a term: what a wrong rule may have been meant to be.

Untrusted: it only proposes. What is proposed is tried at points and then proved (repair.py) before anybody sees it. The
edits are the inverses of the mistakes that tests/mutate.py makes: a sign, a factor, an index, a tensor, a guard, a
missing sum, parentheses. Nothing here knows an operator.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction

from gradproof.compiler.dims import Poly
from gradproof.compiler.rewriting import free_symbols, map_children, map_cond, substitute, walk
from gradproof.compiler.terms import (
    ZERO,
    Add,
    Cond,
    Mul,
    Read,
    RealCmp,
    Reduce,
    Select,
    Term,
    both,
    fresh,
    mul,
    neg,
    negate,
    num,
    power,
    reduce_,
    select,
    size,
    total,
)
from gradproof.verifier.local_edits import Edit, Scope, at_one_place, reread, with_child

LETTERS = "ijklmnpqrstuv"


def edits(body: Term, scope: Scope, free: int) -> Iterator[Edit]:
    """Every edit, the likely ones first; the first `free` indices of the scope are the formula's own."""
    yield "the other sign", neg(body)
    yield from _throughout(body, scope, free)
    yield from _sums(body, scope)
    yield from at_one_place(body, scope)
    yield from _factors(body, scope)


# Edits of the whole formula


def _throughout(body: Term, scope: Scope, free: int) -> Iterator[Edit]:
    own = scope.indices[:free]
    for (a, m), (b, n) in itertools.combinations(own, 2):
        if m == n:
            yield f"`{a}` and `{b}` exchanged", substitute(body, {a: Poly.sym(b), b: Poly.sym(a)})
    yield "comparisons of the other strictness", _turned(body)
    for name, axes in scope.reals.items():
        for other, others in scope.reals.items():
            if name != other and axes == others and not {name, other} & scope.linear:
                yield f"`{other}` in place of `{name}`", _renamed(body, name, other)


def _turned(node: Term) -> Term:
    def cond(one: Cond) -> Cond:
        if isinstance(one, RealCmp) and one.rel != "==":
            return RealCmp("<" if one.rel == "<=" else "<=", one.a, one.b)
        return map_cond(one, _turned, cond)

    return map_children(node, _turned, cond)


def _renamed(node: Term, name: str, other: str) -> Term:
    return reread(node, lambda read: replace(read, tensor=other) if read.tensor == name else read)


def _sums(body: Term, scope: Scope) -> Iterator[Edit]:
    """A sum that is missing: one position becomes an index that is summed over, in one tensor or wherever it stands."""
    taken = {name for name, _ in scope.indices} | set(scope.sizes) | set(scope.reals) | set(scope.integers)
    taken |= {node.var.split("#")[0] for node in walk(body) if isinstance(node, Reduce)}
    letter = next((one for one in LETTERS if one not in taken), "k")
    found: dict[tuple[Poly, Poly, str], None] = {}
    for node in walk(body):
        if isinstance(node, Read) and node.tensor in scope.reals:
            for position, extent in zip(node.index, scope.reals[node.tensor], strict=True):
                if extent != Poly.of(1):
                    found[position, extent, node.tensor if node.tensor in scope.linear else ""] = None
                    found[position, extent, ""] = None
    bound = {node.var for node in walk(body) if isinstance(node, Reduce)}
    for position, extent, only in found:
        if position.symbols & bound:
            continue
        var = fresh(letter)
        yield f"summed over `{letter}`", total(var, extent, _positions(body, scope, position, extent, only, var))
        for factors in (body.args,) if isinstance(body, Mul) else ():
            for k, factor in enumerate(factors):
                changed = total(var, extent, _positions(factor, scope, position, extent, only, var))
                yield f"summed over `{letter}`", mul(*factors[:k], *factors[k + 1 :], changed)


def _positions(node: Term, scope: Scope, old: Poly, extent: Poly, only: str, var: str) -> Term:
    """The term with a position of axes of this extent replaced by an index."""

    def changed(read: Read) -> Term:
        axes = scope.reals.get(read.tensor, ())
        if only not in ("", read.tensor) or len(axes) != len(read.index):
            return read
        pairs = zip(read.index, axes, strict=True)
        return Read(read.tensor, tuple(Poly.sym(var) if (p, e) == (old, extent) else p for p, e in pairs))

    return reread(node, changed)


# Factors and conditions that are missing


def _factors(body: Term, scope: Scope) -> Iterator[Edit]:
    for guard in scope.guards:
        for cond in (guard, negate(guard)):
            yield "only where the definition says so", select(cond, body, ZERO)
    yield from _multiplied(body, scope)


def _multiplied(node: Term, scope: Scope) -> Iterator[Edit]:
    """The term with one more factor, at each of its summands, branches and sums."""
    for factor, said in _pool(scope):
        yield f"with the factor {said}", mul(node, factor)
    inner = scope
    match node:
        case Add(args) | Mul(args):
            parts: tuple[tuple[int, Term | Cond], ...] = tuple(enumerate(args))
        case Select(_, then, other):
            parts = ((1, then), (2, other))
        case Reduce(_, var, extent, guard, inside):
            parts = ((1, inside),)
            inner = scope.under(var, extent)
            for cond in inner.guards:
                if free_symbols(cond) <= {name for name, _ in inner.indices} | set(scope.sizes):
                    yield "a condition", reduce_(node.kind, var, extent, both(guard, cond), inside)
        case _:
            return
    for position, part in parts:
        if isinstance(part, Cond) or (isinstance(node, Mul) and not isinstance(part, Add | Reduce | Select)):
            continue
        for change, new in _multiplied(part, inner):
            yield change, with_child(node, position, new)


def _pool(scope: Scope) -> Iterator[tuple[Term, str]]:
    for value in (Fraction(2), Fraction(1, 2), Fraction(-1)):
        yield num(value), str(value)
    for name, axes in scope.reals.items():
        for index in scope.at(axes):
            read = Read(name, index)
            yield read, f"`{name}`"
            if name not in scope.linear:
                yield power(read, -1), f"1/`{name}`"
    for name in scope.sizes:
        yield size(Poly.sym(name)), f"`{name}`"
        yield power(size(Poly.sym(name)), -1), f"1/`{name}`"
