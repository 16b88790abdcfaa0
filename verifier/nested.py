"""Optima of optima: `max_j max_k t[k]` is one maximum, over every k that some j allows. [trusted kernel]

The two are equal wherever the nested one is defined: then no range inside is empty. What `some j` means is exact: j
stands alone in each condition, so that there is one where no lower bound exceeds an upper bound, for integers too.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import product

from gradproof.compiler.dims import Poly
from gradproof.compiler.rewriting import free_symbols, substitute, substitute_cond
from gradproof.compiler.terms import TRUE, And, Cond, IntCmp, Reduce, Term, both, in_range
from gradproof.verifier.forms import fresh_name
from gradproof.verifier.ranges import Context


def merged(term: Reduce, context: Context) -> Term | None:
    """An optimum over an index that only ranges depend on, without that index; None where it is none of these."""
    if term.kind not in ("max", "min"):
        return None
    inner = term.body
    if term.var not in free_symbols(inner):
        return inner
    if not isinstance(inner, Reduce) or inner.kind != term.kind:
        return None
    if term.var in inner.extent.symbols:
        return None
    # Whatever is known of another index of the same name says nothing of this one.
    name = fresh_name()
    own = {inner.var: Poly.sym(name)}
    guard, body = substitute_cond(inner.guard, own), substitute(inner.body, own)
    inner = Reduce(inner.kind, name, inner.extent, guard, body)
    if term.var in free_symbols(body):
        return None
    conds = [*_flat(term.guard), *_flat(inner.guard), *_flat(in_range(Poly.sym(term.var), term.extent))]
    left = _without(term.var, conds)
    if left is None:
        return None
    needed = _needed(left, context.with_ranges({inner.var: inner.extent}))
    return replace(inner, guard=both(*needed))


def _flat(cond: Cond) -> list[Cond]:
    return [part for one in cond.args for part in _flat(one)] if isinstance(cond, And) else [cond]


def _without(name: str, conds: list[Cond]) -> list[Cond] | None:
    """What some integer of this name allows: conditions in which it does not stand."""
    kept = [cond for cond in conds if name not in free_symbols(cond) and cond != TRUE]
    low: list[Poly] = []
    high: list[Poly] = []
    for cond in conds:
        if name not in free_symbols(cond):
            continue
        linear = cond.poly.linear_in(name) if isinstance(cond, IntCmp) else None
        if not isinstance(cond, IntCmp) or linear is None or linear[0].constant not in (1, -1):
            return None
        slope, rest = linear
        up = slope.constant == 1
        if cond.rel == "==":
            low.append(-rest if up else rest)
            high.append(-rest if up else rest)
        elif up:
            low.append(-rest)
        else:
            high.append(rest)
    return kept + [IntCmp(">=", above - below) for below, above in product(low, high) if above != below]


def _needed(conds: list[Cond], context: Context) -> list[Cond]:
    """The conditions that do not follow from the others, one at a time."""
    left = list(dict.fromkeys(conds))
    for cond in list(left):
        others = [c for c in left if c is not cond]
        known = [c.poly for c in others if isinstance(c, IntCmp) and c.rel == ">="]
        if isinstance(cond, IntCmp) and cond.rel == ">=":
            left = others if any(context.nonnegative(cond.poly - p) for p in (Poly.of(0), *known)) else left
    return left
