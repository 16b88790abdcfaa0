"""What an operator's proofs may take as known: bounds of its sizes and attributes, and the facts it requires."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from gradproof.compiler.dims import Poly, Sym
from gradproof.compiler.ops import OpDef
from gradproof.compiler.terms import And, Cond, IntCmp, RealCmp, walk
from gradproof.verifier.ranges import Context


@dataclass(frozen=True, slots=True)
class Setting:
    """`context` for integers (sizes are >= 0 or what a requirement says); `facts` about reals (the declared domain)."""

    context: Context
    facts: tuple[Cond, ...]


@lru_cache(maxsize=4096)
def setting_of(op: OpDef) -> Setting:
    """The setting of an operator's proofs."""
    lower = dict.fromkeys(op.sizes, 0)
    integers: list[Cond] = []
    reals: list[Cond] = []
    for cond in _flat((*op.requires, *op.domain)):
        match cond:
            case IntCmp(">=", poly):
                _bound(poly, lower)
                integers.append(cond)
            case IntCmp():
                integers.append(cond)
            case _ if any(isinstance(inner, RealCmp) for inner in walk(cond)):
                reals.append(cond)
            case _:
                integers.append(cond)
    return Setting(Context(lower, {}, tuple(integers)), tuple(reals))


def _flat(conds: tuple[Cond, ...]) -> list[Cond]:
    out: list[Cond] = []
    for cond in conds:
        out += _flat(cond.args) if isinstance(cond, And) else [cond]
    return out


def _bound(poly: Poly, lower: dict[str, int]) -> None:
    """`n - 2 >= 0` gives n the lower bound 2."""
    if len(poly.symbols) != 1 or any(not isinstance(atom, Sym) for atom in poly.atoms):
        return
    (name,) = poly.symbols
    linear = poly.linear_in(name)
    if linear is not None and linear[0] == 1 and linear[1].constant is not None:
        lower[name] = max(lower.get(name, -linear[1].constant), -linear[1].constant)
