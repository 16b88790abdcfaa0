"""From a term to its form, with the Coq script that proves the two equal, step by step (steps.py)."""

from __future__ import annotations

from collections.abc import Sequence

from gradproof.compiler.functions import FUNCTIONS
from gradproof.compiler.rewriting import map_children, map_cond, walk
from gradproof.compiler.terms import (
    Add,
    Call,
    Cond,
    IntCmp,
    Mul,
    Not,
    Num,
    Pow,
    Read,
    RealCmp,
    Reduce,
    Select,
    Size,
    Term,
)
from gradproof.verifier.coq.forms import UNIT, Atom, Form, NotExported, of_atom, opaque_term, plus
from gradproof.verifier.coq.steps import SHORT, Scope, Script, congruence
from gradproof.verifier.coq.sums import Sums
from gradproof.verifier.coq.text import OWN
from gradproof.verifier.questions import nameless


class Prover(Sums):
    """Forms with their proofs."""

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

    def _many(self, lemma: str, sign: str, args: Sequence[Term], scope: Scope) -> tuple[Form, Script]:
        done = [self.norm(arg, scope) for arg in args]
        forms = [form for form, _ in done]
        result = plus(*forms) if sign == "+" else self._product(forms, scope)
        middle = f" {sign} ".join(self._text(form, scope) for form in forms)
        if all(script in SHORT for _, script in done):
            return result, ["alg."]
        script = [f"transitivity ({middle}).", "{", *congruence(lemma, [s for _, s in done]), "}", "alg."]
        return result, script

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


def _equation(cond: object) -> bool:
    return isinstance(cond, IntCmp) and cond.rel == "=="


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
