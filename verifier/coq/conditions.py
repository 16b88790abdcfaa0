"""Conditions as factors that are 1 or 0, and values that are chosen by them."""

from __future__ import annotations

from fractions import Fraction

from gradproof.compiler.terms import And, Cond, Not, Or, RealCmp, Term, Truth
from gradproof.verifier.coq.forms import UNIT, Form, indicator, of_atom, plus, times
from gradproof.verifier.coq.steps import Scope, Script, Steps, complement
from gradproof.verifier.questions import nameless_cond


class Conditions(Steps):
    """Steps for conditions."""

    def _select(self, cond: Cond, then: Term, other: Term, scope: Scope) -> tuple[Form, Script]:
        chosen, first = self.cond(cond, scope)
        a, second = self.norm(then, scope)
        b, third = self.norm(other, scope)
        result = plus(self._product([chosen, a], scope), self._product([complement(chosen), b], scope))
        c, x, y = (self._text(form, scope) for form in (chosen, a, b))
        raw = [self.printer.cond(cond, scope.names), *(self.printer.term(t, scope.names) for t in (then, other))]
        return result, [
            f"transitivity (b2r {raw[0]} * {raw[1]} + (1 - b2r {raw[0]}) * {raw[2]}).",
            "{ apply sel_b2r. }",
            f"transitivity ({c} * {x} + (1 - {c}) * {y}).",
            "{ apply (f_equal2 Rplus); apply (f_equal2 Rmult).",
            *["{", *first, "}", "{", *second, "}"],
            *["{ apply (f_equal (Rminus 1)).", *first, "}", "{", *third, "}"],
            "}",
            "alg.",
        ]

    def cond(self, cond: Cond, scope: Scope) -> tuple[Form, Script]:
        """A condition as a form in indicators, and a script for `b2r condition = form`."""
        match cond:
            case Truth(value):
                return ({UNIT: Fraction(1)} if value else {}), ["reflexivity."]
            case Not(arg):
                form, _ = self.cond(arg, scope)
                return complement(form), ["bools; alg."]
            case And(args):
                return times(*(self.cond(arg, scope)[0] for arg in args)), ["bools; alg."]
            case Or(args):
                return complement(times(*(complement(self.cond(arg, scope)[0]) for arg in args))), ["bools; alg."]
            case RealCmp("<=", a, b):
                return complement(self.cond(RealCmp("<", b, a), scope)[0]), ["bools; alg."]
            case _:
                return of_atom(indicator(nameless_cond(cond, 0))), ["bools; alg."]
