"""Conditions on reals that contradict each other, or follow from the others. Not trusted."""

from __future__ import annotations

from fractions import Fraction
from math import lcm

from gradproof.verifier.checker.monomials import UNIT, Form, Mono, constant, plus, scaled
from gradproof.verifier.checker.terms import Node
from gradproof.verifier.evidence.finding import Trial
from gradproof.verifier.evidence.simplex import contradiction

TINY = Fraction(1, 10**6)


class Signs(Trial):
    """Strategies by cases on signs."""

    def cases(self) -> None:
        """Monomials whose conditions contradict each other, and conditions that follow from the others."""
        for _ in range(40):
            if not any(self._case(mono) for mono in self.monomials()):
                break

    def _case(self, mono: Mono) -> bool:
        signs = self.proof._signs(mono)
        if not signs:
            return False
        times = self._contradiction(signs, None)
        if times is not None and self.try_("never", mono, *times):
            return True
        for place in range(len(signs)):
            times = self._contradiction(signs, place)
            if times is not None and self.try_("sure", mono, place, *times):
                return True
        return any(self.shorter("zero", mono, place) for place in range(len(signs)))

    def _contradiction(self, signs: list[Node], negated: int | None) -> list[str] | None:
        """How many times to take each condition; a strict one is taken to leave a little, for the search."""
        columns: list[Form] = []
        for place, cond in enumerate([*signs, *self.proof.reals]):
            low, high = cond.args if place != negated else reversed(cond.args)
            form = self.work.canonical(plus(self.work.form(high), scaled(self.work.form(low), -1)))
            if cond.tag == "lt" and place != negated:
                form = plus(form, constant(-TINY))
            columns.append(form)
        scale = lcm(*(Fraction(c).denominator for column in columns for c in column.values()))
        whole = [{m: int(c * scale) for m, c in column.items()} for column in columns]
        found = contradiction(whole, [False] * len(whole), UNIT)
        return None if found is None else [str(found.get(k, 0)) for k in range(len(columns))]
