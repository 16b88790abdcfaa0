"""The trusted base is what docs/trust.md says, no more; its axioms are pinned, and attacked with rigorous intervals."""

from __future__ import annotations

import ast
import importlib
import itertools
import re
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import flint
import pytest
from gradproof.compiler.denote import Env, Intervals, Undecided, Undefined, evaluate, holds
from gradproof.compiler.dims import Poly
from gradproof.compiler.functions import FUNCTIONS
from gradproof.compiler.show import show
from gradproof.compiler.terms import Call, Read, Size, Term, num

ROOT = Path(__file__).parents[1]
TRUST = (ROOT / "docs" / "trust.md").read_text()
FOLDERS = ("grammar", "compiler", "runtime", "verifier")

# The derivative of every scalar function, as the calculus uses it: what JVP and VJP are proved against.
AXIOMS = {
    "exp": ["exp(x)"],
    "expm1": ["exp(x)"],
    "exp2": ["exp2(x)*log(2)"],
    "log": ["1/x"],
    "log2": ["1/(x*log(2))"],
    "log10": ["1/(x*log(10))"],
    "log1p": ["1/(x + 1)"],
    "sqrt": ["1/(2*sqrt(x))"],
    "cbrt": ["1/(3*cbrt(x)^2)"],
    "hypot": ["x/hypot(x, u)", "u/hypot(x, u)"],
    "sin": ["cos(x)"],
    "cos": ["-sin(x)"],
    "tan": ["1/cos(x)^2"],
    "sinh": ["cosh(x)"],
    "cosh": ["sinh(x)"],
    "tanh": ["-tanh(x)^2 + 1"],
    "asin": ["1/sqrt(-x^2 + 1)"],
    "acos": ["(-1)/sqrt(-x^2 + 1)"],
    "atan": ["1/(x^2 + 1)"],
    "atan2": ["u/(u^2 + x^2)", "-x/(u^2 + x^2)"],
    "asinh": ["1/sqrt(x^2 + 1)"],
    "acosh": ["1/sqrt(x^2 - 1)"],
    "atanh": ["1/(-x^2 + 1)"],
    "erf": ["2*exp(-x^2)/sqrt(pi())"],
    "erfc": ["(-2)*exp(-x^2)/sqrt(pi())"],
    "erfinv": ["0.5*sqrt(pi())*exp(erfinv(x)^2)"],
    "lgamma": ["digamma(x)"],
    "digamma": ["polygamma(1, x)"],
    "polygamma": ["1/0", "polygamma(n + 1, u)"],
    "spherical_jn": [
        "1/0",
        "select(n == 0, -spherical_jn(1, u), (n*spherical_jn(n - 1, u) - (n + 1)*spherical_jn(n + 1, u))/(2*n + 1))",
    ],
    "pi": [],
    "abs": ["sign(x)"],
    "sign": ["0"],
    "floor": ["0"],
    "ceil": ["0"],
    "trunc": ["0"],
    "round": ["0"],
    "max": ["select(u < x, 1, select(x == u, 0.5, 0))", "select(x < u, 1, select(x == u, 0.5, 0))"],
    "min": ["select(x < u, 1, select(x == u, 0.5, 0))", "select(u < x, 1, select(x == u, 0.5, 0))"],
    "pow": ["u*x^(u - 1)", "x^u*log(x)"],
    "pow0": ["select(u == 1, 1, u*pow0(x, u - 1))", "select(0 < x, x^u*log(x), 0)"],
    "ipow": ["select(n == 0, 0, n*ipow(x, n - 1))", "1/0"],
    "sigmoid": ["sigmoid(x)*sigmoid(-x)"],
}
ARGS = (Read("x", ()), Read("u", ()))


def _trusted() -> set[str]:
    found = set()
    for folder in FOLDERS:
        for path in (ROOT / folder).glob("*.py"):
            if "[trusted" in (ast.get_docstring(ast.parse(path.read_text())) or ""):
                found.add(f"{folder}/{path.name}")
    return found


def test_the_page_lists_what_the_modules_say() -> None:
    listed = set(re.findall(r"`((?:grammar|compiler|runtime|verifier)/\w+\.py)`", TRUST.split("Not trusted")[0]))
    assert _trusted() <= listed, _trusted() - listed
    assert {f for f in listed if f.startswith(("verifier/", "compiler/"))} - _trusted() <= {
        "compiler/obligations.py",
        "compiler/orders.py",
        "compiler/elaborate.py",
        "compiler/stanzas.py",
        "verifier/smt.py",
        "verifier/questions.py",
    }


def test_what_is_trusted_rests_on_little() -> None:
    data = {"claims", "graph", "source", "free"}
    trusted = {Path(name).stem for name in _trusted()}
    for name in sorted(_trusted()):
        for node in ast.walk(ast.parse((ROOT / name).read_text())):
            if not isinstance(node, ast.ImportFrom) or not (node.module or "").startswith("gradproof."):
                continue
            imported = (node.module or "").split(".")[-1]
            if imported == "tape" and [alias.name for alias in node.names] == ["Values"]:
                continue  # the table that both definitions fill
            assert imported in trusted | data | {"smt", "questions"}, f"{name} rests on {node.module}"


def _lines(name: str) -> int:
    """What there is to read of a file: its lines but the imports, of which many small files have more."""
    text = (ROOT / name).read_text()
    imports = [node for node in ast.parse(text).body if isinstance(node, ast.Import | ast.ImportFrom)]
    return len(text.splitlines()) - sum((node.end_lineno or node.lineno) - node.lineno + 1 for node in imports)


def test_the_trusted_base_is_small() -> None:
    lines = {name: _lines(name) for name in _trusted() if name.startswith("verifier/")}
    # Quotients and changes of indices took 360, laws of externs 170, what guards and domains tell under sums 130,
    # a product over the one index that is named 15, borders and ends of sums 90, optima of optima 75, cases by signs
    # and what is told of counts, exp and log 105, what the parts of the normal form ask of one another 80.
    assert sum(lines.values()) <= 3840, lines
    # One record for each scalar function: pinned apart, entry by entry, by AXIOMS below.
    tables = {f"compiler/{name}.py" for name in ("elementary", "piecewise", "special")}
    calculus = {n: len((ROOT / n).read_text().splitlines()) for n in _trusted() if n.startswith("compiler/")}
    # Sums of square roots, in which a tie of irrational values is seen, took 200.
    assert sum(lines for name, lines in calculus.items() if name not in tables) <= 2000
    assert sum(lines for name, lines in calculus.items() if name in tables) <= 800


def test_the_axioms_are_these_and_no_others() -> None:
    assert AXIOMS.keys() == FUNCTIONS.keys()
    for name, texts in AXIOMS.items():
        function = FUNCTIONS[name]
        whole = Size(Poly.sym("n"))
        arguments = [whole if k in function.integers else ARGS[k] for k in range(function.arity)]
        assert [show(partial(*arguments)) for partial in function.partials] == texts, name


def _env(values: dict[str, Any]) -> Env:
    def nothing(name: str, index: tuple[int, ...]) -> Any:
        raise KeyError(name)

    return Env({}, lambda name, _: values[name], nothing, nothing)


POINTS = [Fraction(k, 7) for k in (-19, -8, -3, 2, 5, 9, 16)]
WHOLE = [Fraction(k) for k in (-3, -1, 0, 1, 2, 5)]


def _points(name: str, reals: Iterable[Fraction] = POINTS) -> Iterator[tuple[tuple[Fraction, ...], tuple[Term, ...]]]:
    """Values of the arguments, and the arguments: names, and numbers where a function wants integers."""
    function = FUNCTIONS[name]
    choices = [WHOLE if k in function.integers else reals for k in range(function.arity)]
    for values in itertools.product(*choices):
        yield values, tuple(num(v) if k in function.integers else ARGS[k] for k, v in enumerate(values))


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_no_axiom_contradicts_the_function_that_it_is_about(name: str) -> None:
    """Mean value theorem: a difference quotient lies between the derivative's bounds on the interval."""
    function, field = FUNCTIONS[name], Intervals()
    width, checked = Fraction(1, 2**30), 0
    with flint.ctx.workprec(200):
        for (values, arguments), k in itertools.product(_points(name), range(function.arity)):
            if k in function.integers or (function.pieces and len(set(values)) < len(values)):
                continue
            here = dict(zip("xu", map(field.num, values), strict=False))
            key, value = "xu"[k], values[k]
            there = {**here, key: field.num(value + width)}
            between = {**here, key: here[key].union(there[key])}
            try:
                if holds(function.domain(*arguments), _env(here), field) is not True:
                    continue
                rise = evaluate(Call(name, arguments), _env(there), field)
                rise = rise - evaluate(Call(name, arguments), _env(here), field)
                slope = evaluate(function.partials[k](*arguments), _env(between), field)
            except (Undefined, Undecided):
                continue
            assert slope.overlaps(rise / field.num(width)), (values, k)
            checked += 1
    assert checked or not function.arity


@pytest.mark.parametrize("name", sorted(n for n, f in FUNCTIONS.items() if f.unfold is not None))
def test_no_definition_contradicts_the_function(name: str) -> None:
    function, field = FUNCTIONS[name], Intervals()
    checked = 0
    with flint.ctx.workprec(200):
        for values, arguments in _points(name, (*POINTS, Fraction(0))):
            env = _env(dict(zip("xu", map(field.num, values), strict=False)))
            unfolded_term = function.unfold(*arguments)  # type: ignore[misc]
            try:
                if unfolded_term is None or holds(function.domain(*arguments), env, field) is not True:
                    continue
                value = evaluate(Call(name, arguments), env, field)
                unfolded = evaluate(unfolded_term, env, field)
            except (Undefined, Undecided):
                continue
            assert value.overlaps(unfolded) and unfolded.rad() < 1e-40, values
            checked += 1
    assert checked


@pytest.mark.parametrize("name", sorted(n for n, f in FUNCTIONS.items() if f.arity))
def test_what_is_said_of_signs_and_symmetry_holds(name: str) -> None:
    function, field = FUNCTIONS[name], Intervals()
    low, high, low_open, high_open = function.values
    with flint.ctx.workprec(200):
        for values, arguments in _points(name, (*POINTS, Fraction(0))):
            given = dict(zip("xu", map(field.num, values), strict=False))
            try:
                value = evaluate(Call(name, arguments), _env(given), field)
                mirrored = evaluate(Call(name, arguments), _env({k: -v for k, v in given.items()}), field)
            except (Undefined, Undecided):
                continue
            assert low is None or (value > low if low_open else not value < low), values
            assert high is None or (value < high if high_open else not value > high), values
            if function.signed:
                assert value.sgn() == field.num(values[0]).sgn()
            if function.odd or function.even:
                assert function.arity == 1 and (function.unfold is None or function.even)
                assert mirrored.overlaps(-value if function.odd else value), values


def test_half_lines_end_where_they_should() -> None:
    """At the ends of their domains powers have the values that the table gives them, and no others."""
    field, zero = Intervals(), field_num(0)
    for exponent, value in ((Fraction(1, 2), 0), (Fraction(1), 0), (Fraction(7, 2), 0)):
        assert field.call("pow0", (zero, field.num(exponent))) == value
    for exponent in (Fraction(0), Fraction(-1)):
        with pytest.raises(Undefined):
            field.call("pow0", (zero, field.num(exponent)))
    assert field.call("ipow", (zero, field_num(0))) == 1 and field.call("ipow", (zero, field_num(3))) == 0
    for fn, args in (("ipow", (0, -1)), ("atan2", (0, -1)), ("atan2", (0, 0)), ("lgamma", (-2,)), ("acosh", (0,))):
        with pytest.raises(Undefined):
            field.call(fn, tuple(map(field_num, args)))
    assert field.call("pow0", (zero, field_num(1))) == 0
    slope = FUNCTIONS["pow0"].partials[0](num(0), num(1))
    assert evaluate(slope, _env({}), field) == 1  # u^1 has slope 1 at 0 too


def field_num(value: int) -> Any:
    """The number as an interval."""
    return Intervals().num(Fraction(value))


def test_nothing_trusted_asserts() -> None:
    for name in _trusted():
        module = importlib.import_module("gradproof." + name.removesuffix(".py").replace("/", "."))
        tree = ast.parse(Path(str(module.__file__)).read_text())
        assert not [n for n in ast.walk(tree) if isinstance(n, ast.Assert)], name
