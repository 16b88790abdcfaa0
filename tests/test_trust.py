"""The trusted base is what docs/trust.md says, no more; its axioms are pinned, and attacked with rigorous intervals."""

from __future__ import annotations

import ast
import importlib
import itertools
import re
from fractions import Fraction
from pathlib import Path
from typing import Any

import flint
import pytest
from gradproof.compiler.denote import Env, Intervals, Undecided, Undefined, evaluate, holds
from gradproof.compiler.functions import FUNCTIONS
from gradproof.compiler.show import show
from gradproof.compiler.terms import Call, Read

ROOT = Path(__file__).parents[1]
TRUST = (ROOT / "docs" / "trust.md").read_text()
FOLDERS = ("grammar", "compiler", "runtime", "verifier")

# The derivative of every scalar function, as the calculus uses it: what JVP and VJP are proved against.
AXIOMS = {
    "exp": ["exp(x)"],
    "expm1": ["exp(x)"],
    "log": ["1/x"],
    "log1p": ["1/(x + 1)"],
    "sqrt": ["1/(2*sqrt(x))"],
    "sin": ["cos(x)"],
    "cos": ["-sin(x)"],
    "tan": ["1/cos(x)^2"],
    "sinh": ["cosh(x)"],
    "cosh": ["sinh(x)"],
    "tanh": ["-tanh(x)^2 + 1"],
    "atan": ["1/(x^2 + 1)"],
    "erf": ["2*exp(-x^2)/sqrt(pi())"],
    "pi": [],
    "abs": ["sign(x)"],
    "sign": ["0"],
    "floor": ["0"],
    "max": ["select(u < x, 1, select(x == u, 0.5, 0))", "select(x < u, 1, select(x == u, 0.5, 0))"],
    "min": ["select(x < u, 1, select(x == u, 0.5, 0))", "select(u < x, 1, select(x == u, 0.5, 0))"],
    "pow": ["u*x^(u - 1)", "x^u*log(x)"],
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


def test_the_trusted_base_is_small() -> None:
    kernel = [name for name in _trusted() if name.startswith("verifier/")]
    lines = {name: len((ROOT / name).read_text().splitlines()) for name in kernel}
    assert sum(lines.values()) <= 2900, lines
    calculus = sum(len((ROOT / n).read_text().splitlines()) for n in _trusted() if n.startswith("compiler/"))
    assert calculus <= 1900


def test_the_axioms_are_these_and_no_others() -> None:
    assert AXIOMS.keys() == FUNCTIONS.keys()
    for name, texts in AXIOMS.items():
        function = FUNCTIONS[name]
        arguments = ARGS[: function.arity]
        assert [show(partial(*arguments)) for partial in function.partials] == texts, name


def _env(values: dict[str, Any]) -> Env:
    def nothing(name: str, index: tuple[int, ...]) -> Any:
        raise KeyError(name)

    return Env({}, lambda name, _: values[name], nothing, nothing)


POINTS = [Fraction(k, 7) for k in (-19, -8, -3, 2, 5, 9, 16)]


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_no_axiom_contradicts_the_function_that_it_is_about(name: str) -> None:
    """Mean value theorem: a difference quotient lies between the derivative's bounds on the interval."""
    function, field = FUNCTIONS[name], Intervals()
    arguments, width, checked = ARGS[: function.arity], Fraction(1, 2**30), 0
    with flint.ctx.workprec(200):
        for first, second, k in itertools.product(POINTS, POINTS, range(function.arity)):
            if function.pieces and first == second:
                continue
            here = {"x": field.num(first), "u": field.num(second)}
            key, value = ("x", first) if k == 0 else ("u", second)
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
            assert slope.overlaps(rise / field.num(width)), (first, second, k)
            checked += 1
    assert checked or not function.arity


@pytest.mark.parametrize("name", sorted(n for n, f in FUNCTIONS.items() if f.unfold is not None))
def test_no_definition_contradicts_the_function(name: str) -> None:
    function, field = FUNCTIONS[name], Intervals()
    arguments = ARGS[: function.arity]
    checked = 0
    with flint.ctx.workprec(200):
        for first, second in itertools.product((*POINTS, Fraction(0)), POINTS):
            env = _env({"x": field.num(first), "u": field.num(second)})
            try:
                if holds(function.domain(*arguments), env, field) is not True:
                    continue
                value = evaluate(Call(name, arguments), env, field)
                unfolded = evaluate(function.unfold(*arguments), env, field)  # type: ignore[misc]
            except (Undefined, Undecided):
                continue
            assert value.overlaps(unfolded) and unfolded.rad() < 1e-40, (first, second)
            checked += 1
    assert checked


def test_nothing_trusted_asserts() -> None:
    for name in _trusted():
        module = importlib.import_module("gradproof." + name.removesuffix(".py").replace("/", "."))
        tree = ast.parse(Path(str(module.__file__)).read_text())
        assert not [n for n in ast.walk(tree) if isinstance(n, ast.Assert)], name
