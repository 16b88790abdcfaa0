"""Monomials and forms as data: sums of them, their texts, how their indices occur, what they may be. [trusted]

A form maps monomials to rational coefficients; a monomial is (binders, conditions, factors). See normal.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from functools import lru_cache
from itertools import count
from math import isqrt
from typing import Any

from . import terms as t
from .terms import ONE, TRUE, ZERO, Node, Refused

Number = int | Fraction
Mono = tuple[frozenset[tuple[str, Node]], frozenset[Node], frozenset[tuple[Node, Number]]]
Form = dict[Mono, Number]
NONE: frozenset[Any] = frozenset()
UNIT: Mono = (NONE, NONE, NONE)
MOST = 4000  # monomials in a form
HALF = Fraction(1, 2)


def constant(value: Number) -> Form:
    """The form of a number."""
    return {UNIT: value} if value else {}


def of_atom(atom: Node, e: Number = 1) -> Form:
    """The form of an atom's power."""
    return {(NONE, NONE, frozenset(((atom, e),))): 1}


def of_cond(cond: Node) -> Form:
    """1 where a condition holds, else 0."""
    return {(NONE, frozenset((cond,)), NONE): 1}


def accumulate(out: Form, form: Form, scale: Number = 1) -> None:
    """out += scale * form."""
    for mono, c in form.items():
        found = out.get(mono, 0) + c * scale
        if type(found) is Fraction:
            t.small(found)
        if found:
            out[mono] = found
        else:
            out.pop(mono, None)


def plus(*forms: Form) -> Form:
    """The sum."""
    out: Form = {}
    for form in forms:
        accumulate(out, form)
    return out


def less(form: Form) -> Form:
    """1 - form."""
    return plus(constant(1), scaled(form, -1))


def raised(base: Number, e: int) -> Number:
    """base^e."""
    if abs(e) * max(base.numerator.bit_length(), base.denominator.bit_length()) > t.LONGEST:
        raise Refused("a number is too long")
    return Fraction(base) ** e


def scaled(form: Form, by: Number) -> Form:
    """by * form."""
    return {m: c * by for m, c in form.items()} if by else {}


def is_size(atom: Node) -> bool:
    return atom.tag == "size"


def is_sum(atom: Node) -> bool:
    """Whether an atom is a whole form, which a power other than 1, 2, ... keeps together."""
    return atom.tag in ("add", "mul", "pow", "num", "select") or (atom.tag == "reduce" and atom.args[0] == "sum")


def is_exp(atom: Node) -> bool:
    return atom.tag == "call" and atom.args[0] == "exp"


def exact_root(value: Fraction) -> Fraction | None:
    top, bottom = isqrt(value.numerator), isqrt(value.denominator)
    return Fraction(top, bottom) if top * top == value.numerator and bottom * bottom == value.denominator else None


def given(form: Form, cond: Node, never: Node | None) -> Form:
    out: Form = {}
    for (binders, conds, factors), c in form.items():
        if never not in conds:
            accumulate(out, {(binders, conds - {cond}, factors): c})
    return out


@lru_cache(1 << 16)
def depth(node: Node) -> int:
    """How deep binders are nested."""
    inside = [a for _, atoms in node.args for a in atoms] if node.tag == "poly" else node.args
    return max((depth(a) for a in inside if isinstance(a, Node)), default=0) + (node.tag == "reduce")


def canonical_names(deeper: int, taken: frozenset[str]) -> Iterator[str]:
    """Names for indices by how deep they stand; none that is free there."""
    return (name for name in (f"%{k}" for k in count(deeper + 1)) if name not in taken)


def colour(mono: Mono, var: str, extent: Node) -> str:
    """How a bound index occurs, whatever indices are called."""
    other = {v: t.sym("@" if v == var else "?") for v, _ in mono[0]}
    seen = []
    for node, e in (*((c, 0) for c in mono[1]), *mono[2]):
        if var in node.free:
            leaves = [n for n in t.walk(node) if var in n.free and n.tag in ("read", "size", "ge", "eq", "bool")]
            seen.append(f"{node.tag} {e} {sorted(t.substitute(n, other).key for n in leaves)}")
    return f"{t.substitute(extent, other).key} {sorted(seen)}"


@lru_cache(1 << 16)
def text(mono: Mono) -> Node:
    """The term that a monomial is, under the names that it has."""
    binders, conds, factors = mono
    atoms = sorted((a if e == 1 else t.make("pow", a, e) for a, e in factors), key=lambda n: n.key)
    found = ONE if not atoms else atoms[0] if len(atoms) == 1 else t.make("mul", *atoms)
    guard = sorted(conds, key=lambda c: c.key)
    where = TRUE if not guard else guard[0] if len(guard) == 1 else t.make("and", *guard)
    if guard and not binders:
        found = t.make("select", where, found, ZERO)
    for var, extent in sorted(binders, key=lambda b: (len(b[0]), b[0])):
        found, where = t.make("reduce", "sum", var, extent, where, found), TRUE
    return found


# Tensors that are read


def reads(node: Node) -> set[str]:
    return {n.args[0] for n in t.walk(node) if n.tag in ("read", "bool")}


def tensors(mono: Mono) -> set[str]:
    return {name for n in (*(a for a, _ in mono[2]), *mono[1]) for name in reads(n)}


def collapses(form: Form, generic: frozenset[str]) -> bool:
    """Whether a form may be 0 whatever the entries of `generic` are: x[i] - x[j] is where i = j.

    All reads of a tensor are taken for one; a part must be left that no integer and no other tensor multiplies.
    """
    groups: dict[str, Number | None] = {}
    for (_, conds, factors), c in form.items():
        # that an attribute may be 0 is KINK's business
        mine = [
            f for f in factors if not generic.isdisjoint(reads(f[0])) or (f[0].tag == "read" and len(f[0].args) == 1)
        ]
        key = str(sorted(f"{_collapsed(a)} {e}" for a, e in mine))
        others = bool(conds) or any(f not in mine and not is_exp(f[0]) for f in factors)
        known = groups.get(key, 0)
        groups[key] = None if others or known is None else known + c
    return not any(groups.values())


def _collapsed(part: Any) -> str:
    if not isinstance(part, Node):
        return str(part)
    parts = part.args[:1] if part.tag in ("read", "bool") else part.args if part.tag != "poly" else ()
    return f"({part.tag} {' '.join(map(_collapsed, parts))})"
