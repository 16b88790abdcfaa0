"""Functions of forms: exponentials of sums are products, logarithms of products are sums, conditions go outside."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import gcd, lcm

from gradproof.compiler.terms import Term
from gradproof.verifier.coq.conditions import Conditions
from gradproof.verifier.coq.forms import BITS, UNIT, Atom, Form, Mono, freeze, in_order, of_atom, plus, scaled, times
from gradproof.verifier.coq.steps import Scope, Script, common, complement, congruence
from gradproof.verifier.coq.text import rational

ONE: Form = {UNIT: Fraction(1)}


class Functions(Conditions):
    """Steps for functions."""

    def _call(self, fn: str, args: Sequence[Term], scope: Scope) -> tuple[Form, Script]:
        done = [self.norm(arg, scope) for arg in args]
        forms = [form for form, _ in done]
        result, steps = self._applied(fn, forms, scope)
        if not args:
            return result, steps
        script = [f"transitivity {self._of(fn, forms, scope)}.", "{", *self._equal(fn, [s for _, s in done]), "}"]
        return result, [*script, *steps]

    def _of(self, fn: str, forms: Sequence[Form], scope: Scope) -> str:
        return self.printer.called(fn, [self._text(form, scope) for form in forms])

    def _equal(self, fn: str, scripts: Sequence[Script]) -> Script:
        """Equal values of a function, from what shows that its arguments are."""
        name = self.printer.called(fn, ["_"] * len(scripts)).strip("()").split()[0]
        lemma = "f_equal" if len(scripts) == 1 else f"f_equal{len(scripts)}"
        return [f"apply ({lemma} {name}).", *(line for script in scripts for line in ("{", *script, "}"))]

    def _applied(self, fn: str, forms: Sequence[Form], scope: Scope) -> tuple[Form, Script]:
        """A function's value at forms, and a script for `value = form`."""
        if fn == "exp":
            return self._exp(forms[0], scope)
        bit = next((a for form in forms for mono in form for a, _ in mono if a.kind in BITS), None)
        if bit is not None:
            return self._split_by(bit, fn, forms, scope)
        if fn == "log":
            return self._log(forms[0], scope)
        return of_atom(Atom("fn", (fn, tuple(map(freeze, forms))))), ["reflexivity."]

    def _split_by(self, bit: Atom, fn: str, forms: Sequence[Form], scope: Scope) -> tuple[Form, Script]:
        """f of something with a condition in it is one value where it holds, and another where it does not."""
        shown = self.printer.atom(bit, scope.names)
        at = [[_with(form, bit, value) for form in forms] for value in (ONE, {})]
        (yes, first), (no, second) = (self._applied(fn, sides, scope) for sides in at)
        hole = [_with(form, bit, of_atom(Atom("hole", ("hole",)))) for form in forms]
        function = f"(fun hole : R => {self._of(fn, hole, scope)})"
        result = plus(times(of_atom(bit), yes), times(complement(of_atom(bit)), no))
        script = [f"transitivity ({function} {shown}).", "{ cbv beta.", *self._equal(fn, [["alg."]] * len(forms)), "}"]
        script += [f"refine (eq_trans (b2r_split {shown[len('(b2r ') : -1]} {function}) _); cbv beta."]
        script += [f"transitivity ({shown} * {self._text(yes, scope)} + (1 - {shown}) * {self._text(no, scope)})."]
        script += ["{ apply (f_equal2 Rplus); apply (f_equal (Rmult _))."]
        for sides, steps in zip(at, (first, second), strict=True):
            there = self._equal(fn, [["alg."]] * len(forms))
            script += ["{", f"transitivity {self._of(fn, sides, scope)}.", "{", *there, "}", *steps, "}"]
        return result, [*script, "}", "alg."]

    def _exp(self, form: Form, scope: Scope) -> tuple[Form, Script]:
        if not form:
            return ONE, ["apply exp_0."]
        items = freeze(form)
        done = [self._exp_of(mono, coefficient, scope) for mono, coefficient in items]
        shown = [f"exp {self.printer.mono(mono, coefficient, scope.names)}" for mono, coefficient in items]
        each = " * ".join(self._text(one, scope) for one, _ in done)
        script = [f"transitivity ({' * '.join(shown)}).", "{ rewrite ?exp_plus. reflexivity. }"]
        script += [f"transitivity ({each}).", "{", *congruence("Rmult", [s for _, s in done]), "}", "alg."]
        return self._product([one for one, _ in done], scope), script

    def _exp_of(self, mono: Mono, coefficient: Fraction, scope: Scope) -> tuple[Form, Script]:
        """The exponential of one monomial, as a form."""
        bits = tuple(f for f in mono if f[0].kind in BITS)
        if bits:
            rest = tuple(f for f in mono if f[0].kind not in BITS)
            inside, script = self._exp_of(rest, coefficient, scope)
            bit: Form = {bits: Fraction(1)}
            b, x = self._text(bit, scope), self.printer.mono(rest, coefficient, scope.names)
            result = plus(times(bit, inside), complement(bit))
            return result, [
                f"transitivity (exp ({b} * {x})).",
                "{ apply (f_equal exp). alg. }",
                "refine (eq_trans (exp_when _ _ _) _); [bit |].",
                f"transitivity (1 - {b} + {b} * {self._text(inside, scope)}).",
                "{ apply (f_equal (Rplus _)). apply (f_equal (Rmult _)).",
                *[*script, "}", "alg."],
            ]
        atom, count = Atom("exp", (mono, Fraction(1, coefficient.denominator))), coefficient.numerator
        part = self.printer.mono(atom.parts[0], atom.parts[1], scope.names)
        result, shown = {((atom, count),): Fraction(1)}, self.printer.mono(((atom, count),), Fraction(1), scope.names)
        if abs(count) == 1:
            script = ["apply inverse_exp; alg." if count < 0 else "alg."]
        else:
            script = [f"transitivity (exp ({'-' if count < 0 else ''} (INR {abs(count)} * {part})))."]
            script += ["{ apply (f_equal exp). push_inr. alg. }"]
            script += ["apply exp_less_times." if count < 0 else "apply exp_times."]
        (inner, power), *more = mono or ((None, 0),)
        if inner is None or more or power != 1 or atom.parts[1] != 1 or inner.kind != "fn" or inner.parts[0] != "log":
            return result, [f"transitivity {shown}.", "{", *script, "}", "alg."]
        # exp(log t) is t, as t > 0 where the logarithm is defined.
        argument = dict(inner.parts[1][0])
        value = argument if count > 0 else self._inverse(argument, scope)[0]
        why = self.above(argument, scope)
        return self._product([value] * abs(count), scope), [
            *[f"transitivity {shown}.", "{", *script, "}"],
            f"rewrite (exp_log {self.printer.mono(mono, Fraction(1), scope.names)} {self._text(argument, scope)})",
            f"  by first [reflexivity | {why}].",
            *(self._inverted(argument, count, scope) if count < 0 else ["alg."]),
        ]

    def _inverted(self, form: Form, count: int, scope: Scope) -> Script:
        inverse, script = self._inverse(form, scope)
        power = "" if count == -1 else f" ^ {-count}"
        steps = script if count == -1 else [f"apply (f_equal (fun power : R => power{power})).", *script]
        return [f"transitivity ({self._text(inverse, scope)}{power}).", "{", *steps, "}", "alg."]

    def _log(self, form: Form, scope: Scope) -> tuple[Form, Script]:
        """log(c exp(s) t) = log c + s + log t, for c > 0 and t > 0: as much as can be is taken out of it."""
        if not form:
            return {}, ["unfold log; rewrite Rabs_R0; apply ln_zero; lra."]
        shared = tuple(f for f in common(form) if f[0].kind == "exp")
        rest = {in_order((*mono, *((a, -e) for a, e in shared))): c for mono, c in form.items()}
        factor = Fraction(gcd(*(c.numerator for c in rest.values())), lcm(*(c.denominator for c in rest.values())))
        rest = scaled(rest, 1 / factor)
        outside: Form = plus(*({a.parts[0]: a.parts[1] * e} for a, e in shared)) if shared else {}
        atom = of_atom(Atom("fn", ("log", (freeze(rest),))))
        if factor == 1 and not outside and rest != ONE:
            return atom, ["reflexivity."]
        product, script = self._exp(outside, scope)
        c, s, t = rational(factor), self._text(outside, scope), self._text(rest, scope)
        steps = [
            f"transitivity (log ({c} * exp {s} * {t})).",
            f"{{ apply (f_equal log). transitivity ({c} * {self._text(product, scope)} * {t}).",
            "{ alg. }",
            *["symmetry. apply (f_equal2 Rmult); [apply (f_equal (Rmult _)) | reflexivity].", *script, "}"],
            f"refine (eq_trans (log_product {c} {s} {t} _ _) _); [lra | {self.above(rest, scope)} |].",
        ]
        parts = [outside, atom if rest != ONE else {}]
        for number, sign in ((factor.numerator, 1), (factor.denominator, -1)):
            if number != 1:
                one: Form = {UNIT: Fraction(number)}
                parts.append(scaled(of_atom(Atom("fn", ("log", (freeze(one),)))), Fraction(sign)))
        return plus(*parts), [*steps, "rewrite ?log_quotient by lra; rewrite ?(log_one 1 eq_refl); alg."]


def _with(form: Form, bit: Atom, value: Form) -> Form:
    """The form with a value in the place of an atom."""
    out: Form = {}
    for mono, coefficient in form.items():
        rest = tuple(f for f in mono if f[0] != bit)
        out = plus(out, times({rest: coefficient}, value) if rest != mono else {mono: coefficient})
    return out
