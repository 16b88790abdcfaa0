"""The numbers that stand in an operator's text: where its cases meet, and where a rule may begin to be wrong."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from functools import lru_cache

from gradproof.compiler.dims import Atom, Entry, FloorDiv, Max, Min, Mod, Poly
from gradproof.compiler.ops import OpDef
from gradproof.compiler.rewriting import polys, walk
from gradproof.compiler.terms import Cond, Num, Term

SPECIAL = tuple(map(Fraction, (0, 1, -1, 2)))
CONSTANTS = 24  # of an operator's own constants, at most


def _bodies(op: OpDef) -> tuple[Term | Cond, ...]:
    """What its formulas say: the meaning, what runs, the rules."""
    formulas = (op.forward, *op.lets, *((op.runs,) if op.runs else ()), *((op.jvp,) if op.jvp else ()), *op.vjps)
    return tuple(formula.body for formula in formulas)


def constants_of(op: OpDef) -> tuple[Fraction, ...]:
    """The numbers in the operator's formulas, and what lies beside them: where its cases meet."""
    found: dict[Fraction, None] = {}
    for body in (*_bodies(op), *op.domain, *(k.cond for k in op.kinks)):
        for node in walk(body):
            if isinstance(node, Num) and node.value not in SPECIAL:
                found |= dict.fromkeys((node.value, node.value + 1, node.value - 1))
    return tuple(found)[:CONSTANTS]


@lru_cache(maxsize=64)
def whole_numbers(op: OpDef) -> tuple[int, ...]:
    """The whole numbers in the integer expressions of an operator, the smallest first."""
    found: set[int] = set()
    for body in (*_bodies(op), *op.requires, *op.domain, *(k.cond for k in op.kinks)):
        for node in walk(body):
            for poly in polys(node):
                found |= set(_numbers(poly))
    return tuple(sorted(found))


def _numbers(poly: Poly) -> Iterator[int]:
    for monomial, coefficient in poly.terms:
        yield abs(coefficient)
        for atom, _ in monomial:
            for inner in _inside(atom):
                yield from _numbers(inner)


def _inside(atom: Atom) -> Iterable[Poly]:
    match atom:
        case FloorDiv(a, b) | Mod(a, b) | Min(a, b) | Max(a, b):
            return (a, b)
        case Entry(_, index):
            return index
        case _:
            return ()
