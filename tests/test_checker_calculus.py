"""The checker's own functions and derivative say what the compiler's say, entry by entry and operator by operator."""

from __future__ import annotations

import pytest
from gradproof.compiler import calculus as theirs
from gradproof.compiler.dims import Poly
from gradproof.compiler.functions import FUNCTIONS
from gradproof.compiler.library import prelude
from gradproof.compiler.rules import meaning_of
from gradproof.compiler.terms import Read, Size, Term
from gradproof.verifier.checker import calculus, normal, terms
from gradproof.verifier.checker.terms import Node
from test_checker_terms import ported

NAMES = ("x", "u")


def same(a: Node, b: Node) -> bool:
    """Whether two terms, or two conditions, have one normal form."""
    if a is b:
        return True
    work = normal.Normal({}, {})
    read = work.where if terms.SORTS[a.tag] == "c" else work.form
    return not work.canonical(normal.plus(read(a), normal.scaled(read(b), -1)))


def arguments(name: str) -> list[Term]:
    whole = FUNCTIONS[name].integers
    return [Size(Poly.sym("n")) if k in whole else Read(NAMES[k], ()) for k in range(FUNCTIONS[name].arity)]


def test_there_are_the_same_functions() -> None:
    assert FUNCTIONS.keys() == calculus.FUNCTIONS.keys()
    for name, function in FUNCTIONS.items():
        own = calculus.FUNCTIONS[name]
        assert (function.arity, [*function.integers]) == (len(own.args), own.integers), name
        assert (function.odd, function.even) == (own.parity == "odd", own.parity == "even"), name
        assert (function.jump is not None) == (name in calculus.STEPS), name
        assert bool(function.pieces or function.jump) == (name in (*calculus.STEPS, "abs", "max", "min")), name


@pytest.mark.parametrize("name", FUNCTIONS)
def test_each_function_is_the_compilers(name: str) -> None:
    args = arguments(name)
    own = tuple(map(ported, args))
    for k, partial in enumerate(FUNCTIONS[name].partials):
        assert same(calculus.partial(name, own, k), ported(partial(*args))), f"partial {k}"
    assert same(calculus.domain(name, own), ported(FUNCTIONS[name].domain(*args)))
    unfold = FUNCTIONS[name].unfold
    expected = None if unfold is None else unfold(*args)
    found = calculus.simpler(name, own)
    assert (found is None) == (expected is None)
    assert found is None or expected is None or same(found, ported(expected))


def test_orders_that_are_numbers_are_simpler() -> None:
    x = ported(Read("x", ()))
    assert calculus.simpler("polygamma", (terms.ZERO, x)) is terms.make("call", "digamma", x)
    assert calculus.simpler("polygamma", (terms.ONE, x)) is None
    assert calculus.simpler("ipow", (x, terms.num(3))) is terms.power(x, 3)
    assert calculus.simpler("ipow", (x, terms.num(65))) is None
    assert calculus.domain("polygamma", (x, x)) is terms.FALSE


def test_what_is_no_function_is_refused() -> None:
    x = ported(Read("x", ()))
    for name, args in (("tangent", (x,)), ("exp", (x, x)), ("pi", (x,))):
        with pytest.raises(terms.Refused):
            calculus.function(name, args)


def test_the_derivative_is_the_compilers() -> None:
    count = 0
    for name, op in list(prelude().ops.items())[::3]:
        if not op.differentiable or op.lawful:
            continue
        tangents = {p.name: "d" + p.name for p in op.differentiable}
        meaning = meaning_of(op)
        assert same(calculus.derivative(ported(meaning), tangents), ported(theirs.derivative(meaning, tangents))), name
        count += 1
    assert count > 90


def test_an_extern_has_no_derivative_by_a_formula() -> None:
    with pytest.raises(terms.Refused):
        calculus.derivative(ported(Read("!y", ())), {"x": "dx"})
