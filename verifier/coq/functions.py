"""Functions of forms: exponentials of sums are products, equal functions have equal arguments."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from gradproof.compiler.terms import Term
from gradproof.verifier.coq.conditions import Conditions
from gradproof.verifier.coq.forms import UNIT, Atom, Form, freeze, in_order, of_atom
from gradproof.verifier.coq.steps import Scope, Script, congruence


class Functions(Conditions):
    """Steps for functions."""

    def _exp(self, inner: Term, scope: Scope) -> tuple[Form, Script]:
        form, script = self.norm(inner, scope)
        factors: list[tuple[Atom, int]] = []
        shown, steps = [], []
        for mono, coefficient in freeze(form):
            atom = Atom("exp", (mono, Fraction(1, coefficient.denominator)))
            count = coefficient.numerator
            factors.append((atom, count))
            shown.append(f"exp {self.printer.mono(mono, coefficient, scope.names)}")
            part = self.printer.mono(atom.parts[0], atom.parts[1], scope.names)
            if abs(count) == 1:
                steps.append(["apply inverse_exp; alg." if count < 0 else "reflexivity."])
            else:
                sign = "-" if count < 0 else ""
                turn = "apply exp_less_times." if count < 0 else "apply exp_times."
                steps.append(
                    [
                        f"transitivity (exp ({sign} (INR {abs(count)} * {part}))).",
                        "{ apply (f_equal exp). push_inr. alg. }",
                        turn,
                    ]
                )
        result: Form = {in_order(factors): Fraction(1)}
        start = [f"transitivity (exp {self._text(form, scope)}).", "{", "apply (f_equal exp).", *script, "}"]
        if not factors:
            return {UNIT: Fraction(1)}, [*start, "apply exp_0."]
        powers = [self.printer.mono(((a, e),), Fraction(1), scope.names) for a, e in factors]
        split = [f"transitivity ({' * '.join(shown)}).", "{ rewrite ?exp_plus. reflexivity. }"]
        each = [f"transitivity ({' * '.join(powers)}).", "{", *congruence("Rmult", steps), "}", "alg."]
        return result, [*start, *split, *each]

    def _call(self, fn: str, args: Sequence[Term], scope: Scope) -> tuple[Form, Script]:
        if not args:
            return of_atom(Atom("fn", (fn, ()))), ["reflexivity."]
        done = [self.norm(arg, scope) for arg in args]
        atom = Atom("fn", (fn, tuple(freeze(form) for form, _ in done)))
        printed = self.printer.called(fn, ["_"] * len(args)).strip("()").split()[0]
        lemma = "f_equal" if len(args) == 1 else f"f_equal{len(args)}"
        script = [f"apply ({lemma} {printed})."]
        for _, inner in done:
            script += ["{", *inner, "}"]
        return of_atom(atom), script
