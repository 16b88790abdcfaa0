"""Sums over indices: taken apart, pulled out of each other, and put in one order."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from gradproof.compiler.dims import Poly
from gradproof.compiler.terms import TRUE, Cond, Term
from gradproof.verifier.coq.forms import (
    Atom,
    Binder,
    Form,
    Mono,
    NotExported,
    freeze,
    in_order,
    of_atom,
    ordered,
    plus,
    renamed_mono,
    times,
)
from gradproof.verifier.coq.functions import Functions
from gradproof.verifier.coq.steps import Scope, Script
from gradproof.verifier.coq.text import summed


class Sums(Functions):
    """Steps for sums."""

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
