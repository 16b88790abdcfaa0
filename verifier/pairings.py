"""Pairings <tangent, cotangent> of uninterpreted values as sums of atoms: bilinear, and 0 with a zero. Trusts Z3.

That a loop's reverse is the adjoint of its forward mode is an equation between such sums, under hypotheses that say so
of the body: <jvp, c> = <d, vjp c> at every application, which is what VJP and DENSE of the body prove.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TypeAlias

from gradproof.verifier import smt
from gradproof.verifier.free import ADD, Expr, show

ZERO = "#zero"  # no input of a body is called so
Sum: TypeAlias = Counter[tuple[Expr, Expr]]
Equation: TypeAlias = tuple[Sum, Sum]


def pairing(tangents: Iterable[Expr], cotangents: Iterable[Expr]) -> Sum:
    """The sum of <tangent, cotangent> over both lists; a sum on either side is taken apart, a zero leaves nothing."""
    out: Sum = Counter()
    for tangent, cotangent in zip(tangents, cotangents, strict=True):
        for a in _summands(tangent):
            out.update((a, b) for b in _summands(cotangent))
    return out


def _summands(expr: Expr) -> list[Expr]:
    out: list[Expr] = []
    stack = [expr]
    while stack:
        inner = stack.pop()
        if inner.symbol == ADD:
            stack.extend(inner.args)
        elif inner.symbol != ZERO:
            out.append(inner)
    return out


def follows(goal: Equation, hypotheses: Sequence[Equation], timeout: float) -> tuple[str, str]:
    """("proved", ""), ("refuted", both sides as text) or ("unknown", the reason): the goal from the hypotheses."""
    atoms: dict[tuple[Expr, Expr], str] = {}
    for side in (side for equation in (goal, *hypotheses) for side in equation):
        for atom in side:
            atoms.setdefault(atom, f"p{len(atoms)}")
    declared = "".join(f"(declare-const {name} Real)" for name in atoms.values())
    given = " ".join(_equal(h, atoms) for h in hypotheses)
    (outcome,) = smt.prove_texts(declared, [f"(=> (and true {given}) {_equal(goal, atoms)})"], timeout)
    if outcome.answer == "refuted":
        left, right = (written(side) for side in goal)
        return "refuted", f"{left} is not {right}"
    return outcome.answer, outcome.reason


def _equal(equation: Equation, atoms: dict[tuple[Expr, Expr], str]) -> str:
    left, right = (" ".join(f"(* {n} {atoms[atom]})" for atom, n in side.items()) for side in equation)
    return f"(= (+ 0.0 0.0 {left}) (+ 0.0 0.0 {right}))"


def written(total: Sum) -> str:
    """The sum as text."""
    return " + ".join(f"<{show(a)}, {show(b)}>" for a, b in total.elements()) or "0"
