"""Points at which two compared reals are equal: an attribute or an entry of a random point is moved until they are.

Where it is linear in their difference, one step of the secant's method hits the tie exactly; the value may be a sum of
square roots. Untrusted: a point proves nothing by itself, whatever claim fails there is replayed.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from typing import Any

from gradproof.compiler.denote import Env, Irrational, Surds, Undecided, Undefined, evaluate
from gradproof.compiler.dims import Poly
from gradproof.compiler.functions import FUNCTIONS
from gradproof.compiler.ops import OpDef
from gradproof.compiler.rewriting import children
from gradproof.compiler.rules import unfolded
from gradproof.compiler.terms import Call, Cond, RealCmp, Reduce, Term, sub
from gradproof.verifier.witness import Point, in_domain

SITES = 24  # comparisons of one operator, at most
TRIES = 4  # for one point
SHARE = 0.5  # of attributes among what is moved: a margin or a bound is mostly linear


@dataclass(frozen=True, slots=True)
class Site:
    """Two reals that are compared, as their difference, under indices with these extents."""

    difference: Term
    indices: tuple[tuple[str, Poly], ...]


@lru_cache(maxsize=64)
def sites_of(op: OpDef) -> tuple[Site, ...]:
    """Where the operator's formulas compare reals; none twice."""
    found: dict[Site, None] = {}
    for formula in (op.forward, *((op.runs,) if op.runs else ()), *((op.jvp,) if op.jvp else ()), *op.vjps):
        if not isinstance(formula.body, Cond):
            indices = tuple(zip(formula.indices, formula.extents, strict=True))
            found |= dict.fromkeys(_sites(unfolded(op, formula.body), indices))
    return tuple(found)[:SITES]


def _sites(node: Term | Cond, indices: tuple[tuple[str, Poly], ...]) -> Iterator[Site]:
    match node:
        case RealCmp(_, a, b):
            yield Site(sub(a, b), indices)
        case Call(fn, args):
            # A maximum of smooth pieces ties where two of them are equal, a jump is where its condition says.
            pieces = [piece(*args) for piece in FUNCTIONS[fn].pieces]
            yield from (Site(sub(a, b), indices) for a, b in combinations(pieces, 2))
            jump = FUNCTIONS[fn].jump
            if isinstance(where := jump(*args) if jump else None, RealCmp):
                yield Site(sub(where.a, where.b), indices)
        case Reduce():
            indices = (*indices, (node.var, node.extent))
    for child in children(node):
        yield from _sites(child, indices)


def met(point: Point, rng: random.Random) -> Point | None:
    """The point with one number moved such that a comparison there is a tie; None where that is not found."""
    sites = sites_of(point.op)
    for _ in range(TRIES if sites else 0):
        try:
            found = _moved(point, rng.choice(sites), rng)
        except (Undefined, Undecided, Irrational, ZeroDivisionError):
            continue
        if found is not None and in_domain(found):
            return found
    return None


def _moved(point: Point, site: Site, rng: random.Random) -> Point | None:
    here: dict[str, int] = {}
    for name, extent in site.indices:
        here[name] = rng.randrange(_env(point, here).index(extent) or 1)
    read: dict[tuple[str, tuple[int, ...]], None] = {}
    value = _difference(point, site, here, read)
    attrs = [entry for entry in read if entry[0] in point.op.real_attrs]
    entries = [entry for entry in read if any(p.name == entry[0] and p.kind == "real" for p in point.op.params)]
    if value == 0 or not (attrs or entries):
        return None
    name, index = rng.choice(attrs if attrs and (rng.random() < SHARE or not entries) else entries)
    before = point.tensors[name][index]
    slope = _difference(_with(point, name, index, before + 1), site, here) - value
    if slope == 0:
        return None
    found = _with(point, name, index, before - value / slope)
    return found if _difference(found, site, here) == 0 else None


def _env(point: Point, here: dict[str, int]) -> Env:
    env = point.env()
    for name, position in here.items():
        env = env.bind(name, position)
    return env


def _difference(point: Point, site: Site, here: dict[str, int], read: dict[Any, None] | None = None) -> Any:
    env = _env(point, here)

    def real(name: str, index: tuple[int, ...]) -> Any:
        if read is not None:
            read[name, index] = None
        return env.real(name, index)

    return evaluate(site.difference, Env(env.ints, real, env.integer, env.boolean), Surds())


def _with(point: Point, name: str, index: tuple[int, ...], value: Any) -> Point:
    return point.put(name, {**point.tensors[name], index: value})
