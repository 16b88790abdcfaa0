"""Multipliers that show facts to contradict each other: exact, deterministic, by the first phase of the simplex method.

Farkas' lemma: linear facts `p >= 0` have no common solution just where some sum of them, each taken a non-negative
number of times, is a constant below 0. Products of unknowns are unknowns of their own here.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from fractions import Fraction
from math import gcd, lcm
from typing import TypeVar

K = TypeVar("K", bound=Hashable)

PIVOTS = 400  # a contradiction of few facts is found in tens


def contradiction(columns: Sequence[Mapping[K, int]], exact: Sequence[bool], unit: K) -> dict[int, int] | None:
    """Integers k, one a fact, with sum k * fact = a constant below 0; k >= 0 but for facts that are exact (`== 0`).

    `columns` are the facts as monomial -> coefficient, `unit` is the constant's monomial. None where there are none,
    or none were found within PIVOTS steps.
    """
    alive = _presolved(columns, exact, unit)
    signed = [(k, 1) for k in alive] + [(k, -1) for k in alive if exact[k]]
    rows = sorted({m for k in alive for m in columns[k] if m != unit}, key=str)
    if not any(sign * columns[k].get(unit, 0) < 0 for k, sign in signed):
        return None
    table = [[sign * columns[k].get(m, 0) for k, sign in signed] + [0] for m in rows]
    table.append([-sign * columns[k].get(unit, 0) for k, sign in signed] + [1])
    found = _feasible(table)
    if found is None:
        return None
    scale = lcm(*(value.denominator for value in found.values()))
    out: dict[int, int] = {}
    for place, value in found.items():
        k, sign = signed[place]
        out[k] = out.get(k, 0) + sign * int(value * scale)
    common = gcd(*out.values())
    return {k: value // common for k, value in sorted(out.items()) if value}


def _presolved(columns: Sequence[Mapping[K, int]], exact: Sequence[bool], unit: K) -> list[int]:
    """The facts that can take part: a monomial that has one sign in all of them can't be cancelled."""
    alive = [k for k, column in enumerate(columns) if column]
    while True:
        up: set[K] = set()
        down: set[K] = set()
        for k in alive:
            for monomial, coefficient in columns[k].items():
                if coefficient > 0 or exact[k]:
                    up.add(monomial)
                if coefficient < 0 or exact[k]:
                    down.add(monomial)
        single = up ^ down
        single.discard(unit)
        if not single:
            return alive
        kept = [k for k in alive if single.isdisjoint(columns[k])]
        if len(kept) == len(alive):
            return alive
        alive = kept


def _feasible(table: list[list[int]]) -> dict[int, Fraction] | None:
    """x >= 0 with table[:, :-1] x = table[:, -1] >= 0, by position: the first phase, with Bland's rule against cycles.

    Rows stay integer: each may be multiplied by a positive number at any time. The last row is the sum of the
    artificial variables, which is to become 0.
    """
    width, height = len(table[0]) - 1, len(table)
    basis: list[int | None] = [None] * height  # None: the row's artificial variable
    table.append([sum(column) for column in zip(*table, strict=True)])
    for _ in range(PIVOTS):
        goal = table[height]
        if not goal[width]:
            found = [(b, row) for row, b in zip(table, basis, strict=False) if b is not None and row[-1]]
            return {b: Fraction(row[-1], row[b]) for b, row in found}
        enter = next((j for j in range(width) if goal[j] > 0), None)
        if enter is None:
            return None
        leave = -1
        for i in range(height):
            if table[i][enter] > 0 and (leave < 0 or _before(table, basis, i, leave, enter)):
                leave = i
        if leave < 0:
            return None
        _pivot(table, leave, enter)
        basis[leave] = enter
    return None


def _before(table: list[list[int]], basis: list[int | None], i: int, k: int, enter: int) -> bool:
    """Whether row i limits the entering variable more than row k does; ties go to the artificial, then to the first."""
    a, b = table[i][-1] * table[k][enter], table[k][-1] * table[i][enter]
    if a != b:
        return a < b
    first, second = basis[i], basis[k]
    return second is not None and (first is None or first < second)


def _pivot(table: list[list[int]], leave: int, enter: int) -> None:
    """Make `enter` the variable of row `leave`: it goes from the other rows."""
    pivot = table[leave]
    lead = pivot[enter]
    places = [j for j, b in enumerate(pivot) if b]
    for i, row in enumerate(table):
        factor = row[enter]
        if i == leave or not factor:
            continue
        if lead != 1:
            row = [a * lead for a in row]
        for j in places:
            row[j] -= factor * pivot[j]
        common = gcd(*row)
        table[i] = [a // common for a in row] if common > 1 else row
