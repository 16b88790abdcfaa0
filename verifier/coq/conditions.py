"""Conditions as factors that are 1 or 0, and values that are chosen by them.

A comparison of reals is brought to `0 < d` with d a form: a < b is 0 < b - a, a <= b is not b < a, and a = b is neither
of both. `0 < d` and `0 < -d` are never true together, and at points that are no ties one of them is.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import gcd, lcm

from gradproof.compiler.rewriting import walk
from gradproof.compiler.terms import And, Cond, Not, Or, Read, RealCmp, Term, Truth
from gradproof.verifier.coq.forms import UNIT, Atom, Form, freeze, indicator, of_atom, plus, scaled, times
from gradproof.verifier.coq.steps import Scope, Script, Steps, complement
from gradproof.verifier.coq.text import rational
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
                form, script = self.cond(arg, scope)
                return complement(form), self._turned(form, script, scope)
            case And(args):
                return self._joined("b2r_and", args, scope)
            case Or(args):
                return self._joined("b2r_or", args, scope)
            case RealCmp("<", a, b):
                return self._below(a, b, scope)
            case RealCmp("<=", a, b):
                form, script = self._below(b, a, scope)
                return complement(form), self._turned(form, script, scope)
            case RealCmp(_, a, b):
                return self._same(a, b, scope)
            case _:
                return of_atom(indicator(nameless_cond(cond, 0))), ["bools; alg."]

    def _turned(self, form: Form, script: Script, scope: Scope) -> Script:
        middle = f"transitivity (1 - {self._text(form, scope)})."
        return ["refine (eq_trans (b2r_not _) _).", middle, "{ apply (f_equal (Rminus 1)).", *script, "}", "alg."]

    def _joined(self, lemma: str, args: Sequence[Cond], scope: Scope) -> tuple[Form, Script]:
        form, script = self.cond(args[0], scope)
        for arg in args[1:]:
            more, second = self.cond(arg, scope)
            first, x, y = form, self._text(form, scope), self._text(more, scope)
            if lemma == "b2r_and":
                form, middle = times(first, more), f"{x} * {y}"
                parts = ["apply (f_equal2 Rmult).", "{", *script, "}", "{", *second, "}"]
            else:
                form = complement(times(complement(first), complement(more)))
                middle = f"1 - (1 - {x}) * (1 - {y})"
                parts = ["apply (f_equal (Rminus 1)); apply (f_equal2 Rmult); apply (f_equal (Rminus 1))."]
                parts += ["{", *script, "}", "{", *second, "}"]
            script = [f"refine (eq_trans ({lemma} _ _) _).", f"transitivity ({middle}).", "{", *parts, "}", "alg."]
        return form, script

    # Comparisons.

    def _below(self, a: Term, b: Term, scope: Scope) -> tuple[Form, Script]:
        difference, factor, steps = self._difference(a, b, scope)
        result, sign = self._sign(difference, a, b, scope)
        shown = self._text(difference, scope)
        scale = f"apply (rlt_scaled _ _ {shown} {rational(factor)}); [lra | alg]."
        return result, [*steps("rlt"), f"transitivity (b2r (rlt 0 {shown})).", "{", scale, "}", *sign]

    def _same(self, a: Term, b: Term, scope: Scope) -> tuple[Form, Script]:
        difference, factor, steps = self._difference(a, b, scope)
        if not difference:
            return {UNIT: Fraction(1)}, [*steps("req"), "apply req_self; alg."]
        other = scaled(difference, Fraction(-1))
        up, first = self._sign(difference, a, b, scope)
        down, second = self._sign(other, a, b, scope)
        shown, turned = self._text(difference, scope), self._text(other, scope)
        script = [
            f"transitivity (1 - b2r (rlt 0 {shown}) - b2r (rlt 0 {turned})).",
            f"{{ apply (req_scaled _ _ _ _ {rational(factor)}); [lra | alg | alg]. }}",
            f"transitivity (1 - {self._text(up, scope)} - {self._text(down, scope)}).",
            *["{ apply (f_equal2 Rminus).", "{ apply (f_equal (Rminus 1)).", *first, "}", "{", *second, "}", "}"],
            "alg.",
        ]
        return plus({UNIT: Fraction(1)}, scaled(up, Fraction(-1)), scaled(down, Fraction(-1))), [*steps("req"), *script]

    def _difference(self, a: Term, b: Term, scope: Scope) -> tuple[Form, Fraction, _Start]:
        """b - a times what makes its coefficients whole and coprime; and how a comparison is brought there."""
        (low, first), (high, second) = self.norm(a, scope), self.norm(b, scope)
        form = plus(high, scaled(low, Fraction(-1)))
        factor = Fraction(lcm(*(c.denominator for c in form.values())), gcd(*(c.numerator for c in form.values())) or 1)
        texts = self._text(low, scope), self._text(high, scope)
        return scaled(form, factor), factor, _Start(*texts, first, second)

    def _sign(self, form: Form, a: Term, b: Term, scope: Scope) -> tuple[Form, Script]:
        """1 where a form is above 0, and 0 elsewhere; where there are no ties, one of two signs says both."""
        least = self.bound(form)
        if least is not None:
            return ({UNIT: Fraction(1)} if least else {}), [f"apply rlt_{'true' if least else 'false'}; sign."]
        above = of_atom(Atom("pos", (freeze(form),)))
        if not self.generic & {node.tensor for term in (a, b) for node in walk(term) if isinstance(node, Read)}:
            return above, ["reflexivity."]
        other = Atom("pos", (freeze(scaled(form, Fraction(-1))),))
        if str(other) > str(Atom("pos", (freeze(form),))):
            return above, ["reflexivity."]
        self.not_zero(Atom("base", (freeze(scaled(form, Fraction(-1))),)), scope)
        middle = f"transitivity (1 - {self.printer.atom(other, scope.names)})."
        return complement(of_atom(other)), [middle, "{ apply no_tie; [alg | auto]. }", "alg."]


class _Start:
    """The script that brings both sides of a comparison to their forms."""

    def __init__(self, low: str, high: str, first: Script, second: Script) -> None:
        self.low, self.high, self.first, self.second = low, high, first, second

    def __call__(self, name: str) -> Script:
        start = [
            f"transitivity (b2r ({name} {self.low} {self.high})).",
            "{",
            "apply (f_equal b2r).",
            f"apply (f_equal2 {name}).",
        ]
        return [*start, "{", *self.first, "}", "{", *self.second, "}", "}"]
