"""Find a rank in a formula: how many entries of a row come before this one, counted by a sum. Not trusted: PLAN proves.

The sum compares every pair; the step that it becomes sorts.
"""

from __future__ import annotations

from gradproof.compiler.dims import Poly
from gradproof.compiler.terms import (
    ONE,
    And,
    Or,
    Read,
    RealCmp,
    Reduce,
    both,
    int_eq,
    int_lt,
    negate,
)


def ranked(term: Reduce) -> tuple[str, Read, str] | None:
    """(name of the step, the entry whose rank this is, the index of its axis) where the term is a rank.

    `sum(j | j != i and (x[j] < x[i] or x[j] == x[i] and j < i)) 1`, or the same with `x[i] < x[j]`.
    """
    if term.kind != "sum" or term.body != ONE or not isinstance(term.guard, And):
        return None
    for part in term.guard.args:
        for case in part.args if isinstance(part, Or) else ():
            match case:
                case RealCmp("<", Read() as a, Read() as b):
                    below = term.var in _symbols(a)
                    other, entry = (a, b) if below else (b, a)
                    name = "<" if below else ">"
                    index = _apart(other, entry, term.var)
                    if index is not None and _is_rank(term.guard, name, other, entry, term.var, index):
                        return name, entry, index
    return None


def _symbols(read: Read) -> frozenset[str]:
    return frozenset[str]().union(*(p.symbols for p in read.index))


def _apart(other: Read, entry: Read, var: str) -> str | None:
    """The index that stands in the one read where `var` stands in the other, alone on an axis of its own."""
    if other.tensor != entry.tensor or var in _symbols(entry):
        return None
    differ = [(p.as_symbol, q.as_symbol) for p, q in zip(other.index, entry.index, strict=True) if p != q]
    if len(differ) != 1 or differ[0][0] != var or sum(differ[0][1] in q.symbols for q in entry.index) != 1:
        return None
    return differ[0][1]


def _is_rank(guard: And, name: str, other: Read, entry: Read, var: str, index: str) -> bool:
    before = int_lt(Poly.sym(var), Poly.sym(index))
    apart = negate(int_eq(Poly.sym(var), Poly.sym(index)))
    less = RealCmp("<", other, entry) if name == "<" else RealCmp("<", entry, other)
    for tie in (RealCmp("==", other, entry), RealCmp("==", entry, other)):
        wanted = {apart, Or((less, both(tie, before))), Or((less, both(before, tie)))}
        if len(guard.args) == 2 and set(guard.args) <= wanted and apart in guard.args:
            return True
    return False
