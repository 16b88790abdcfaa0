"""What all steps share: forms as text, products with what they cancel, inverses.

Every step is an explicit equation between two printed texts, closed by one lemma or by `alg` (preamble.v); Coq checks
each, so nothing here is trusted: a wrong step is an error of coqc, never a false theorem.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TypeAlias

from gradproof.compiler.dims import Poly
from gradproof.compiler.terms import Term
from gradproof.verifier.coq.forms import (
    BITS,
    UNIT,
    Atom,
    Binder,
    Form,
    Mono,
    freeze,
    in_order,
    of_atom,
    plus,
    scaled,
    times,
)
from gradproof.verifier.coq.text import Printer

Script: TypeAlias = list[str]
SHORT = (["reflexivity."], ["alg."])  # what `alg` does together with what is around it


@dataclass(frozen=True, slots=True)
class Scope:
    """The bound indices around: their texts, and their extents, outermost first."""

    names: dict[str, str]
    binders: tuple[Binder, ...] = ()

    def under(self, printer: Printer, *binders: Binder) -> Scope:
        """This scope inside binders."""
        added = {name: printer.index(name) for name, _ in binders}
        return Scope({**self.names, **added}, (*self.binders, *binders))


@dataclass(frozen=True, slots=True)
class Premise:
    """What a theorem takes as known of a form, at all indices in these ranges: that it is above 0, or not 0."""

    form: Form
    says: str
    binders: tuple[Binder, ...]


class Steps:
    """Forms with their proofs. `apart` collects what a step needs not to be 0: binders and an atom."""

    def __init__(self, printer: Printer, lower: Mapping[str, int], generic: frozenset[str] = frozenset()) -> None:
        self.printer, self.lower, self.generic = printer, lower, generic
        self.apart: dict[str, Premise] = {}
        self.sizes: set[str] = set()

    def norm(self, term: Term, scope: Scope) -> tuple[Form, Script]:
        """The form of a term, and a script that proves `term = form`. Raises NotExported."""
        raise NotImplementedError

    def _size(self, poly: Poly) -> tuple[Form, Script]:
        parts: list[Form] = []
        for monomial, coefficient in poly.terms:
            factors = [of_atom(Atom("size", (Poly.atom(atom),)), exponent) for atom, exponent in monomial]
            parts.append(times({UNIT: Fraction(coefficient)}, *factors))
        return plus(*parts), ["push_izr; alg."]

    def _text(self, form: Form, scope: Scope) -> str:
        return self.printer.form(form, scope.names)

    def _product(self, forms: Sequence[Form], scope: Scope) -> Form:
        """The product; where an atom meets its own inverse, what must not be 0 is noted."""
        out: Form = {UNIT: Fraction(1)}
        for form in forms:
            for a in out:
                for b in form:
                    self._meeting(dict(a), dict(b), scope)
            out = times(out, form)
        return out

    def _meeting(self, a: Mapping[Atom, int], b: Mapping[Atom, int], scope: Scope) -> None:
        if any(a[atom] * b[atom] < 0 for atom in a.keys() & b.keys()):
            for atom, exponent in (*a.items(), *b.items()):
                if exponent < 0:
                    self.not_zero(atom, scope)

    def not_zero(self, atom: Atom, scope: Scope) -> None:
        """The theorem is about points where this atom is not 0, at every index around that it depends on."""
        if atom.kind != "exp":
            self._known(dict(atom.parts[0]) if atom.kind == "base" else of_atom(atom), "{} <> 0", scope)

    def above(self, form: Form, scope: Scope) -> str:
        """The tactic that shows that a form is above 0: by its terms, or as the theorem is about such points."""
        if not self.bound(form):
            self._known(form, "0 < {}", scope)
        return "sign"

    def bound(self, form: Form) -> bool | None:
        """True for a form that is above 0 as all its terms show, False for one that is not; None where they don't."""

        def signed(atom: Atom, exponent: int) -> bool:
            return atom.kind in ("exp", *BITS) or exponent % 2 == 0 or (atom.kind == "fn" and atom.parts[0] == "sqrt")

        if not all(signed(*factor) for mono in form for factor in mono):
            return None
        if all(c < 0 for c in form.values()):
            return False
        sure = any(all(atom.kind == "exp" for atom, _ in mono) for mono in form)
        return True if sure and all(c > 0 for c in form.values()) else None

    def _known(self, form: Form, says: str, scope: Scope) -> None:
        """The theorem is about points where this holds, at every index around that it depends on."""
        free = frozenset[str]().union(*(atom.free for mono in form for atom, _ in mono))
        used = tuple((name, extent) for name, extent in scope.binders if name in free)
        single = next(iter(form)) if len(form) == 1 else UNIT
        plain = len(single) == 1 and single[0][1] == 1 and form[single] == 1
        text = says.format(self.printer.atom(single[0][0], scope.names) if plain else self._text(form, scope))
        for name, extent in reversed(used):
            shown = scope.names[name]
            text = f"forall {shown} : Z, (0 <= {shown} < {self.printer.poly(extent, scope.names)})%Z -> {text}"
        self.apart[text] = Premise(form, says, used)

    def _inverse(self, form: Form, scope: Scope) -> tuple[Form, Script]:
        """The inverse of a form, and a script for `/ form = inverse`."""
        if not form:
            return {}, ["apply Rinv_0."]
        if len(form) == 1:
            ((mono, coefficient),) = form.items()
            return {in_order((a, -e) for a, e in mono): 1 / coefficient}, ["inverse; alg."]
        shared = common(form)
        taken = {in_order((*mono, *((a, -e) for a, e in shared))): c for mono, c in form.items()}
        leading = freeze(taken)[0][1]
        base = Atom("base", (freeze(scaled(taken, 1 / leading)),))
        outside = self.printer.mono(shared, leading, scope.names)
        shown = f"/ ({outside} * {self.printer.atom(base, scope.names)})"
        script = [f"transitivity ({shown}).", "{ apply (f_equal Rinv). alg. }", "inverse; alg."]
        return {in_order([(base, -1), *((a, -e) for a, e in shared)]): 1 / leading}, script


def common(form: Form) -> Mono:
    """What every monomial has as a factor; of an exponential, which is never 0, the lowest power that any has."""
    powers = [dict(mono) for mono in form]
    found: list[tuple[Atom, int]] = []
    for atom in {atom for mono in form for atom, _ in mono}:
        own = [power.get(atom, 0) for power in powers]
        if atom.kind == "exp" or min(own) > 0:
            found.append((atom, min(own)))
        elif max(own) < 0:
            found.append((atom, max(own)))
    return in_order(found)


def complement(form: Form) -> Form:
    return plus({UNIT: Fraction(1)}, scaled(form, Fraction(-1)))


def congruence(lemma: str, scripts: Sequence[Script]) -> Script:
    """Scripts for the arguments of a left-nested operation."""
    if len(scripts) == 1:
        return scripts[0]
    rest = congruence(lemma, scripts[:-1])
    return [f"apply (f_equal2 {lemma}).", "{", *rest, "}", "{", *scripts[-1], "}"]
