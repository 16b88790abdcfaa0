"""Theorems: an identity of terms by ring and field, a fact about integers by lia and nia."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from gradproof.compiler.dims import FloorDiv, Max, Min, Mod, Poly
from gradproof.compiler.terms import And, Cond, IntCmp, Not, Or, Term, Truth
from gradproof.verifier.coq.forms import Form, NotExported, is_zero, plus, scaled
from gradproof.verifier.coq.proofs import Prover, unfolded
from gradproof.verifier.coq.steps import Premise, Scope
from gradproof.verifier.coq.text import Printer


@dataclass(frozen=True, slots=True)
class Theorem:
    """A statement with its proof, as the text of a section that needs only the preamble."""

    statement: str
    text: str
    premises: tuple[Premise, ...] = ()


def identity(
    name: str, left: Term, right: Term, lower: Mapping[str, int], generic: frozenset[str] = frozenset()
) -> Theorem:
    """left = right wherever the denominators that are cancelled are not 0. Raises NotExported.

    `lower` has the sizes that are not negative, which is assumed of those that count something. Of comparisons
    of entries of tensors in `generic`, only points that are no ties are spoken of.
    """
    try:
        return _identity(name, left, right, lower, generic)
    except NotExported as first:
        plain = unfolded(left), unfolded(right)
        if plain == (left, right):
            raise
        try:
            return _identity(name, *plain, lower, generic)
        except NotExported:
            raise first from None


def _identity(name: str, left: Term, right: Term, lower: Mapping[str, int], generic: frozenset[str]) -> Theorem:
    printer = Printer()
    prover = Prover(printer, lower, generic)
    scope = Scope({})
    start, first = prover.norm(left, scope)
    end, second = prover.norm(right, scope)
    difference = plus(start, scaled(end, Fraction(-1)))
    if not is_zero(difference):
        raise NotExported("it needs more than ring and field: a change of index sets, cases, or a law of a function")
    if difference:
        for form in (start, end):
            _denominators(form, prover, scope)
    texts = [printer.form(form, {}) for form in (start, end)]
    script = [f"transitivity {texts[0]}.", "{", *first, "}"]
    script += [f"transitivity {texts[1]}.", "{ alg. }", "symmetry.", *second]
    sizes = [f"(0 <= {printer.index(n, bound=False)})%Z" for n in sorted(prover.sizes) if lower.get(n, -1) >= 0]
    claim = f"{printer.term(left, {})} =\n    {printer.term(right, {})}"
    theorem = _section(name, printer, [*sizes, *prover.apart], claim, script)
    return replace(theorem, premises=tuple(prover.apart.values()))


def _denominators(form: Form, prover: Prover, scope: Scope) -> None:
    for mono in form:
        for atom, exponent in mono:
            if exponent < 0:
                prover.not_zero(atom, scope)


def integers(name: str, goal: Cond, hypotheses: Sequence[Cond]) -> Theorem:
    """The goal follows from the hypotheses, for all integers. Raises NotExported."""
    printer = Printer()
    premises = [_proposition(h, printer) for h in hypotheses]
    script = ["intros; lia_or_nia."]
    return _section(name, printer, premises, _proposition(goal, printer), script)


def _proposition(cond: Cond, printer: Printer) -> str:
    match cond:
        case Truth(value):
            return "True" if value else "False"
        case IntCmp(rel, poly):
            _bounded(poly)
            return f"(0 <= {printer.poly(poly, {})})%Z" if rel == ">=" else f"({printer.poly(poly, {})} = 0)%Z"
        case And(args):
            return _joined(" /\\ ", args, printer, "True")
        case Or(args):
            return _joined(" \\/ ", args, printer, "False")
        case Not(arg):
            return f"(~ {_proposition(arg, printer)})"
        case _:
            raise NotExported(f"a condition of the form {type(cond).__name__}")


def _joined(sign: str, args: Sequence[Cond], printer: Printer, empty: str) -> str:
    return f"({sign.join(_proposition(a, printer) for a in args)})" if args else empty


def _bounded(poly: Poly) -> None:
    if any(exponent > 3 for monomial, _ in poly.terms for _, exponent in monomial):
        raise NotExported("a high power of a size")
    for atom in poly.atoms:
        match atom:
            case FloorDiv(a, b) | Mod(a, b) | Min(a, b) | Max(a, b):
                _bounded(a)
                _bounded(b)


def _section(name: str, printer: Printer, premises: Sequence[str], claim: str, script: Sequence[str]) -> Theorem:
    by_type: dict[str, list[str]] = {}
    for variable, type_ in printer.declared.items():
        by_type.setdefault(type_, []).append(variable)
    lines = [f"Section {name}."]
    lines += [f"Variables {' '.join(names)} : {type_}." for type_, names in by_type.items()]
    shown = "".join(f"({premise}) ->\n    " for premise in premises)
    statement = "\n".join([*lines, f"Theorem {name} :\n    {shown}{claim}."])
    if not script[0].startswith("intros"):
        script = ["intros.", *script]
    proof = _indented(script)
    return Theorem(statement, "\n".join([statement, "Proof.", *proof, "Qed.", f"End {name}.", ""]))


def _indented(script: Sequence[str]) -> list[str]:
    out, depth = [], 1
    for line in script:
        depth -= line == "}"
        out.append("  " * depth + line)
        depth += line == "{"
    return out
