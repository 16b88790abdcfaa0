"""From a term to its form, with the Coq script that proves the two equal, step by step.

Every step is an explicit equation between two printed texts, closed by one lemma or by `alg` (preamble.v); Coq checks
each, so nothing here is trusted: a wrong step is an error of coqc, never a false theorem.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from gradproof.compiler.dims import Poly
from gradproof.compiler.functions import FUNCTIONS
from gradproof.compiler.rewriting import map_children, map_cond, walk
from gradproof.compiler.terms import (
    TRUE,
    Add,
    And,
    Call,
    Cond,
    IntCmp,
    Mul,
    Not,
    Num,
    Or,
    Pow,
    Read,
    RealCmp,
    Reduce,
    Select,
    Size,
    Term,
    Truth,
)
from gradproof.verifier.coq.forms import (
    UNIT,
    Atom,
    Binder,
    Form,
    Mono,
    NotExported,
    freeze,
    in_order,
    indicator,
    of_atom,
    opaque_term,
    ordered,
    plus,
    renamed_mono,
    scaled,
    times,
)
from gradproof.verifier.coq.text import OWN, Printer, rational, summed
from gradproof.verifier.questions import nameless, nameless_cond

Names = Mapping[str, str]
Script = list[str]
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


class Prover:
    """Forms with their proofs. `apart` collects what a step needs not to be 0: binders and an atom."""

    def __init__(self, printer: Printer, lower: Mapping[str, int]) -> None:
        self.printer, self.lower = printer, lower
        self.apart: dict[str, None] = {}
        self.sizes: set[str] = set()

    def norm(self, term: Term, scope: Scope) -> tuple[Form, Script]:
        """The form of a term, and a script that proves `term = form`. Raises NotExported."""
        match term:
            case Num(value):
                return ({UNIT: value} if value else {}), ["alg."]
            case Size(poly):
                return self._size(poly)
            case Read(tensor, index):
                return of_atom(Atom("read", (tensor, index))), ["reflexivity."]
            case Add(args):
                return self._many("Rplus", "+", args, scope)
            case Mul(args):
                return self._many("Rmult", "*", args, scope)
            case Pow(base, exponent):
                return self._power(base, exponent, scope)
            case Call("exp", (inner,)):
                return self._exp(inner, scope)
            case Call(fn, args):
                return self._call(fn, args, scope)
            case Select(cond, then, other):
                return self._select(cond, then, other, scope)
            case Reduce("sum", var, extent, guard, body):
                return self._sum(var, extent, guard, body, scope)
            case Reduce(guard=guard) if any(isinstance(c, Not | RealCmp) or _equation(c) for c in walk(guard)):
                raise NotExported("an optimum or a product over an index set with an equation")
            case _:
                return of_atom(opaque_term(nameless(term, 0))), ["reflexivity."]

    def _size(self, poly: Poly) -> tuple[Form, Script]:
        parts: list[Form] = []
        for monomial, coefficient in poly.terms:
            factors = [of_atom(Atom("size", (Poly.atom(atom),)), exponent) for atom, exponent in monomial]
            parts.append(times({UNIT: Fraction(coefficient)}, *factors))
        return plus(*parts), ["push_izr; alg."]

    def _text(self, form: Form, scope: Scope) -> str:
        return self.printer.form(form, scope.names)

    def _many(self, lemma: str, sign: str, args: Sequence[Term], scope: Scope) -> tuple[Form, Script]:
        done = [self.norm(arg, scope) for arg in args]
        forms = [form for form, _ in done]
        result = plus(*forms) if sign == "+" else self._product(forms, scope)
        middle = f" {sign} ".join(self._text(form, scope) for form in forms)
        if all(script in SHORT for _, script in done):
            return result, ["alg."]
        script = [f"transitivity ({middle}).", "{", *_congruence(lemma, [s for _, s in done]), "}", "alg."]
        return result, script

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
        if atom.kind == "exp":
            return
        used = [(name, extent) for name, extent in scope.binders if name in atom.free]
        text = f"{self.printer.atom(atom, scope.names)} <> 0"
        for name, extent in reversed(used):
            shown = scope.names[name]
            text = f"forall {shown} : Z, (0 <= {shown} < {self.printer.poly(extent, scope.names)})%Z -> {text}"
        self.apart[text] = None

    def _power(self, base: Term, exponent: int, scope: Scope) -> tuple[Form, Script]:
        inner, script = self.norm(base, scope)
        if exponent < 0:
            inverse, inverted = self._inverse(inner, scope)
            start = f"transitivity (/ {self._text(inner, scope)})."
            inner, script = inverse, [start, "{", "apply (f_equal Rinv).", *script, "}", *inverted]
        count = abs(exponent)
        if count == 1:
            return inner, script
        if exponent > 0 and script in SHORT:
            return self._product([inner] * count, scope), ["alg."]
        power = f"(fun power : R => power ^ {count})"
        middle = f"transitivity ({self._text(inner, scope)} ^ {count})."
        result = self._product([inner] * count, scope)
        return result, [middle, "{", f"apply (f_equal {power}).", *script, "}", "alg."]

    def _inverse(self, form: Form, scope: Scope) -> tuple[Form, Script]:
        """The inverse of a form, and a script for `/ form = inverse`."""
        if not form:
            return {}, ["apply Rinv_0."]
        if len(form) == 1:
            ((mono, coefficient),) = form.items()
            return {in_order((a, -e) for a, e in mono): 1 / coefficient}, ["inverse; alg."]
        leading = freeze(form)[0][1]
        base = Atom("base", (freeze(scaled(form, 1 / leading)),))
        shown = f"/ ({rational(leading)} * {self.printer.atom(base, scope.names)})"
        script = [f"transitivity ({shown}).", "{ apply (f_equal Rinv). alg. }", "rewrite Rinv_mult. alg."]
        return {((base, -1),): 1 / leading}, script

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
                steps.append(["rewrite <- exp_Ropp; apply (f_equal exp); alg." if count < 0 else "reflexivity."])
            else:
                sign = "-" if count < 0 else ""
                turn = "rewrite exp_Ropp, exp_times, inverse_power. reflexivity." if count < 0 else "apply exp_times."
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
        each = [f"transitivity ({' * '.join(powers)}).", "{", *_congruence("Rmult", steps), "}", "alg."]
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

    # Conditions.

    def _select(self, cond: Cond, then: Term, other: Term, scope: Scope) -> tuple[Form, Script]:
        chosen, first = self.cond(cond, scope)
        a, second = self.norm(then, scope)
        b, third = self.norm(other, scope)
        result = plus(self._product([chosen, a], scope), self._product([_not(chosen), b], scope))
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
                return _not(form), ["bools; alg."]
            case And(args):
                return times(*(self.cond(arg, scope)[0] for arg in args)), ["bools; alg."]
            case Or(args):
                return _not(times(*(_not(self.cond(arg, scope)[0]) for arg in args))), ["bools; alg."]
            case RealCmp("<=", a, b):
                return _not(self.cond(RealCmp("<", b, a), scope)[0]), ["bools; alg."]
            case _:
                return of_atom(indicator(nameless_cond(cond, 0))), ["bools; alg."]

    # Sums.

    def _sum(self, var: str, extent: Poly, guard: Cond, body: Term, scope: Scope) -> tuple[Form, Script]:
        if extent.symbols & scope.names.keys():
            raise NotExported("an extent that depends on an index")
        inner = scope.under(self.printer, (var, extent))
        form, script = self.norm(body, inner)
        if guard != TRUE:
            where, why = self.cond(guard, inner)
            middle = f"({self._text(where, inner)} * {self._text(form, inner)})"
            script = [
                f"transitivity {middle}.",
                *["{ apply (f_equal2 Rmult).", "{", *why, "}", "{", *script, "}", "}", "alg."],
            ]
            form = self._product([where, form], inner)
        name, size = inner.names[var], self.printer.poly(extent, scope.names)
        whole = summed([(name, size)], self._text(form, inner))
        start = [f"transitivity {whole}.", "{", f"ext {name}.", *script, "}"]
        if not form:
            return {}, [*start, "apply sum_zero."]
        items = freeze(form)
        leaves = [self._leaf((var, extent), mono, coefficient, scope, inner) for mono, coefficient in items]
        texts = [self.printer.mono(mono, coefficient, inner.names) for mono, coefficient in items]
        parts = [self._text(leaf, scope) for leaf, _ in leaves]
        split = self._split(name, size, texts, [s for _, s in leaves])
        result = plus(*(leaf for leaf, _ in leaves))
        return result, [*start, f"transitivity ({' + '.join(parts)}).", "{", *split, "}", "alg."]

    def _split(self, name: str, size: str, texts: Sequence[str], scripts: Sequence[Script]) -> Script:
        """A sum of several monomials is the sum of their sums: one at a time, the last first."""
        if len(texts) == 1:
            return scripts[0]
        first, last = " + ".join(texts[:-1]), texts[-1]
        rest = self._split(name, size, texts[:-1], scripts[:-1])
        lemma = f"(sum_add {size} (fun {name} : Z => {first}) (fun {name} : Z => {last}))"
        return [f"refine (eq_trans {lemma} _).", "apply (f_equal2 Rplus).", "{", *rest, "}", "{", *scripts[-1], "}"]

    def _leaf(
        self, binder: Binder, mono: Mono, coefficient: Fraction, scope: Scope, inner: Scope
    ) -> tuple[Form, Script]:
        """The sum of one monomial."""
        var, extent = binder
        name, size = inner.names[var], self.printer.poly(extent, scope.names)
        outside = tuple(f for f in mono if var not in f[0].free)
        depending = tuple(f for f in mono if var in f[0].free)
        constant = self.printer.mono(outside, coefficient, scope.names)
        if not depending:
            return self._counted(extent, {outside: coefficient}, constant, size, scope)
        inside = self.printer.mono(depending, Fraction(1), inner.names)
        one = summed([(name, size)], inside)
        script = [
            f"transitivity ({constant} * {one}).",
            f"{{ refine (eq_trans _ (sum_scale {size} {constant} (fun {name} : Z => {inside}))). ext {name}. alg. }}",
        ]
        nest, flat, pulled = self._flattened(binder, depending, scope, inner)
        order, atom = ordered(nest, flat)
        target = f"({constant} * {self.printer.atom(atom, scope.names)})"
        script += [f"transitivity {target}.", "{", "apply (f_equal (Rmult _)).", *pulled]
        script += [*_swapped(nest, order), *self._reordered(atom), "}", "alg."]
        return times({outside: coefficient}, of_atom(atom)), script

    def _counted(self, extent: Poly, constant: Form, text: str, size: str, scope: Scope) -> tuple[Form, Script]:
        """A sum of what does not depend on the index: as often as there are indices."""
        number, _ = self._size(extent)
        if any(coefficient < 0 for _, coefficient in extent.terms) or extent.atoms - {
            atom for atom in extent.atoms if str(atom) in self.lower
        }:
            raise NotExported("a sum over a range whose length may be negative, of what does not depend on its index")
        self.sizes |= {str(atom) for atom in extent.atoms}
        result = self._product([number, constant], scope)
        shown = f"(IZR {size} * {text})"
        steps = [f"transitivity {shown}.", "{ apply sum_const. not_negative. }"]
        return result, [*steps, "push_izr; alg."]

    def _flattened(
        self, binder: Binder, depending: Mono, scope: Scope, inner: Scope
    ) -> tuple[list[Binder], Mono, Script]:
        """The sum with the sums inside of it pulled out: binders, the monomial under them all, and the script."""
        plain = [(a, e) for a, e in depending if a.kind != "sum" or e < 0]
        sums = [a for a, e in depending if a.kind == "sum" and e > 0 for _ in range(e)]
        nest: list[Binder] = [binder]
        bodies: list[Mono] = []
        for k, one in enumerate(sums):
            names = {name: f"{name}~{len(scope.binders)}.{k}" for name, _ in one.parts[0]}
            nest += [(names[name], extent) for name, extent in one.parts[0]]
            bodies.append(renamed_mono(one.parts[1], names))
        if any(extent.symbols & {name for name, _ in nest} for _, extent in nest):
            raise NotExported("an extent that depends on an index")
        under = scope.under(self.printer, *nest)
        flat = next(iter(self._product([{m: Fraction(1)} for m in (in_order(plain), *bodies)], under)))
        if not sums:
            return nest, flat, []
        printer = self.printer
        whole = printer.nest(nest, flat, scope.names)
        steps = [f"transitivity {whole}.", "{", f"ext {inner.names[binder[0]]}."]
        done: list[Mono] = [tuple(plain)] if plain else []
        position = 1
        for k, one in enumerate(sums):
            own = nest[position : position + len(one.parts[0])]
            position += len(own)
            here = inner.under(printer, *nest[1 : position - len(own)])
            rest = [printer.mono(m, Fraction(1), here.names) for m in done]
            rest += [printer.atom(later, here.names) for later in sums[k + 1 :]]
            others = f"({' * '.join(rest)})" if rest else "1"
            steps += [f"transitivity ({others} * {printer.nest(own, bodies[k], here.names)}).", "{ alg. }"]
            for depth, (name, extent) in enumerate(own):
                there = here.under(printer, *own[: depth + 1])
                left = own[depth + 1 :]
                body = (
                    printer.nest(left, bodies[k], there.names)
                    if left
                    else printer.mono(bodies[k], Fraction(1), there.names)
                )
                shown, size = there.names[name], printer.poly(extent, scope.names)
                steps.append(f"refine (eq_trans (eq_sym (sum_scale {size} {others} (fun {shown} : Z => {body}))) _).")
                steps.append(f"ext {shown}.")
            done.append(bodies[k])
        return nest, flat, [*steps, "alg.", "}"]

    def _reordered(self, atom: Atom) -> Script:
        names = [self.printer.index(name) for name, _ in atom.parts[0]]
        return [*(f"ext {name}." for name in names), "alg."]


def _swapped(nest: Sequence[Binder], order: Sequence[str]) -> Script:
    """Neighbouring sums exchanged until they stand in this order."""
    current, script = [name for name, _ in nest], Script()
    for position, name in enumerate(order):
        for at in range(current.index(name), position, -1):
            current[at - 1], current[at] = current[at], current[at - 1]
            script.append(f"exchange {at - 1}%nat.")
    return script


def _equation(cond: object) -> bool:
    return isinstance(cond, IntCmp) and cond.rel == "=="


def _not(form: Form) -> Form:
    return plus({UNIT: Fraction(1)}, scaled(form, Fraction(-1)))


def _congruence(lemma: str, scripts: Sequence[Script]) -> Script:
    """Scripts for the arguments of a left-nested operation."""
    if len(scripts) == 1:
        return scripts[0]
    rest = _congruence(lemma, scripts[:-1])
    return [f"apply (f_equal2 {lemma}).", "{", *rest, "}", "{", *scripts[-1], "}"]


def unfolded(term: Term) -> Term:
    """The term with every function that has a definition replaced by it, as the kernel does."""

    def one(node: Term) -> Term:
        node = map_children(node, one, cond)
        if isinstance(node, Call) and node.fn not in OWN:
            unfold = FUNCTIONS[node.fn].unfold
            made = unfold(*node.args) if unfold is not None else None
            return node if made is None else one(made)
        return node

    def cond(node: Cond) -> Cond:
        return map_cond(node, one, cond)

    return one(term)
