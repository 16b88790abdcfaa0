"""What may be 0 throughout for some size or choice of indices: nothing may be multiplied by it, or divided."""

from __future__ import annotations

import pytest
from gradproof.compiler.dims import Poly
from gradproof.compiler.terms import ONE, Read, Reduce, Term, Truth, add, call, divide, mul, num, size, sub
from gradproof.verifier.forms import Atom
from gradproof.verifier.normal import Normalizer
from gradproof.verifier.ranges import Context
from gradproof.verifier.vanishing import vanishes

N, M = Poly.sym("n"), Poly.sym("m")  # n >= 0, m >= 1
X, Y, Z = (Read("x", (Poly.sym(k),)) for k in ("i", "j", "k"))
A = Read("a", ())


def _optimum(kind: str, body: Term) -> Term:
    return Reduce(kind, "k", M, Truth(True), body)


THROUGHOUT = {
    "sin of n x at n = 0": call("sin", mul(size(N), X)),
    "log of x / x": call("log", divide(X, Y)),
    "log of 1 + x - x": call("log", add(ONE, X, mul(num(-1), Y))),
    "lgamma of x / x": call("lgamma", divide(X, Y)),
    "lgamma of 2": call("lgamma", num(2)),
    "erf of sin of n x at n = 0": call("erf", call("sin", mul(size(N), X))),
    "the largest n x at n = 0": _optimum("max", mul(size(N), Z)),
    "the largest x - x at m = 1": _optimum("max", sub(Z, X)),
    "the product of n x at n = 0": _optimum("prod", mul(size(N), Z)),
}
NOWHERE = {
    "x": X,
    "sin of x": call("sin", X),
    "sin of m x": call("sin", mul(size(M), X)),
    "log of 1 + e^x": call("log", add(ONE, call("exp", X))),
    "log of x x": call("log", mul(X, Y)),
    "erf of sin of x": call("erf", call("sin", X)),
    "the largest x": _optimum("max", Z),
    "the product of a x": _optimum("prod", mul(A, Z)),
}


def _only(term: Term) -> tuple[Atom, Context]:
    context = Context({"n": 0, "m": 1}, {"i": M, "j": M})
    ((monomial, _),) = Normalizer(context).form(term).items()
    ((one, _),) = monomial.factors
    return one, context


@pytest.mark.parametrize("name", THROUGHOUT)
def test_what_may_be_zero_throughout_is_seen(name: str) -> None:
    assert vanishes(*_only(THROUGHOUT[name]))


@pytest.mark.parametrize("name", NOWHERE)
def test_what_is_zero_at_points_only_may_be_divided_by(name: str) -> None:
    assert not vanishes(*_only(NOWHERE[name]))
