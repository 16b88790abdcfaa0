"""Hypotheses of a proof in words: what was cancelled, and why it is not zero there."""

from __future__ import annotations

import re
from collections.abc import Iterable
from fractions import Fraction

from gradproof.compiler.claims import Hypothesis
from gradproof.compiler.dims import Poly
from gradproof.compiler.ops import OpDef
from gradproof.verifier.forms import Atom, Frozen, Monomial
from gradproof.verifier.setting import setting_of


def explain(op: OpDef, cancelled: Iterable[Atom]) -> tuple[Hypothesis, ...]:
    """One hypothesis a cancelled base: `n != 0`, `sum exp(x) != 0`, with what discharges it."""
    context = setting_of(op).context
    out = []
    for one in cancelled:
        if one.kind == "size" and context.nonnegative(Poly.atom(one.parts[0]) - 1):
            how = "required"
        elif one.kind == "base" and _positive(one.parts[0]):
            how = "a sum of positive terms, not empty where the formula is defined"
        else:
            how = "the formula is undefined where it is 0, which DOM excludes"
        out.append(Hypothesis(f"{shown(one)} != 0", how))
    return tuple(sorted(out, key=str))


def _positive(form: Frozen) -> bool:
    return all(c > 0 and all(a.kind == "exp" for a, _ in m.factors) for m, c in form)


def shown(one: Atom) -> str:
    """An atom in the user's notation, bound indices as letters."""
    match one.kind:
        case "read" | "bool":
            inside = ", ".join(_plain(str(p)) for p in one.parts[1])
            return f"{one.parts[0]}[{inside}]" if one.parts[1] else str(one.parts[0])
        case "size":
            return _plain(str(one.parts[0]))
        case "exp":
            return f"exp({_monomial(one.parts[0], Fraction(1))})"
        case "base":
            return f"({_form(one.parts[0])})"
        case "log":
            return f"log({_form(one.parts[0])})"
        case "pos":
            return f"[{_form(one.parts[0])} > 0]"
        case "neg":
            return f"[{_form(one.parts[0])} < 0]"
        case "fn":
            return f"{one.parts[0]}({', '.join(map(_form, one.parts[1]))})"
        case _:
            return f"{one.parts[0]}({_form(one.parts[2])})"


def _form(form: Frozen) -> str:
    return " + ".join(_monomial(m, Fraction(c)) for m, c in form) or "0"


def _monomial(monomial: Monomial, coefficient: Fraction) -> str:
    factors = [
        shown(a) if e == 1 else f"{shown(a)}^{e if isinstance(e, int) and e > 0 else f'({e})'}"
        for a, e in monomial.factors
    ]
    if coefficient != 1 or not factors:
        factors.insert(0, str(coefficient))
    names = ", ".join(_plain(v) for v, _ in monomial.binders)
    where = " and ".join(f"{_plain(str(p))} {rel} 0" for rel, p in sorted(monomial.guards, key=str))
    binder = f"sum({names}{' | ' + where if where else ''}) " if names else (f"[{where}] " if where else "")
    return binder + "*".join(factors)


def _plain(text: str) -> str:
    """Canonical names of bound indices (`%1.0`) as letters."""

    def letter(match: re.Match[str]) -> str:
        height, place = match.groups()
        return ("ijklmnop"[int(place) % 8] if place.isdigit() else "t") + height

    return re.sub(r"%(\d+)\.(\w)", letter, text)
