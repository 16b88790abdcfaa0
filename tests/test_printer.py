"""Canonical text: what is printed parses to the same tree, printing again changes nothing, and no comment is lost."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from gradproof.grammar import syntax as tree
from gradproof.grammar.literals import number_text, number_value
from gradproof.grammar.parse import parse
from gradproof.grammar.printer import print_expr, print_file, print_item
from gradproof.grammar.source import Source
from gradproof.grammar.tokens import tokenize
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

ROOT = Path(__file__).parent.parent
SIGNS = ("+", "-", "*", "/", "//", "%", "^", "@")
SLOW = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))


def read(text: str) -> tree.File:
    return parse(Source("<test>", text))


# Random trees: those that some text has. Names include words that are keywords elsewhere.

NAMES = st.sampled_from(
    ["x", "y", "g", "n", "i2", "ß_", "at", "let", "where", "op", "dim", "max", "sum", "with", "const"]
)
TARGETS = st.sampled_from(["x", "y", "dy", "h1", "é"])
NUMBERS = st.builds(
    lambda n, k: tree.Number(Fraction(n) / Fraction(10) ** k),
    st.integers(0, 10**9),
    st.sampled_from([0, 0, 1, 3, 9, -20, 40]),
)
ATOMS = st.one_of(NAMES.map(tree.Name), NUMBERS, NAMES.map(tree.Pack))
PLAIN = st.one_of(NAMES.map(tree.Name), NUMBERS, NAMES.map(lambda name: tree.Access(name, ())))


def few(items: st.SearchStrategy[Any], least: int = 0, most: int = 3) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(items, min_size=least, max_size=most).map(tuple)


def bound(extents: st.SearchStrategy[tree.Expr]) -> st.SearchStrategy[tree.BoundIndex]:
    return st.one_of(
        NAMES.map(lambda name: tree.BoundIndex(name, False, None)),
        NAMES.map(lambda name: tree.BoundIndex(name, True, None)),
        st.builds(lambda name, extent: tree.BoundIndex(name, False, extent), NAMES, extents),
    )


def larger(inner: st.SearchStrategy[tree.Expr], formula: bool) -> st.SearchStrategy[tree.Expr]:
    functions = NAMES if not formula else st.sampled_from(["exp", "select", "where", "f"])
    kwargs = st.lists(st.tuples(NAMES, inner), max_size=2, unique_by=lambda pair: pair[0]).map(tuple)
    ops = st.lists(st.sampled_from(["<", "<=", ">", ">=", "==", "!="]), min_size=1, max_size=2)
    forms = [
        st.builds(tree.Unary, st.just("-"), inner),
        st.builds(tree.Binary, st.sampled_from(SIGNS), inner, inner),
        st.builds(tree.Binary, st.sampled_from(SIGNS), inner, inner),
        ops.flatmap(
            lambda signs: st.builds(tree.Compare, st.just(tuple(signs)), few(inner, len(signs) + 1, len(signs) + 1))
        ),
        st.builds(tree.Logic, st.sampled_from(["and", "or"]), few(inner, 2)),
        st.builds(tree.Negation, inner),
        st.builds(tree.Apply, functions, few(inner), kwargs),
        st.builds(tree.Access, NAMES, few(inner)),
        st.builds(tree.Sequence, few(inner)),
    ]
    if formula:
        kinds = st.sampled_from(["sum", "prod", "max", "min"])
        binders = st.builds(tree.Binder, kinds, few(bound(inner), 1), st.none() | inner, inner)
        calls = st.builds(tree.Apply, st.sampled_from(["max", "min"]), few(PLAIN, 2, 2), st.just(()))
        forms += [binders, binders, calls]
    return st.one_of(forms)


FORMULAS = st.recursive(ATOMS, lambda inner: larger(inner, True), max_leaves=8)
VALUES = st.recursive(ATOMS, lambda inner: larger(inner, False), max_leaves=8)
SIZES = FORMULAS.filter(lambda expr: not isinstance(expr, tree.Pack))

AXES = st.one_of(
    SIZES.map(lambda extent: tree.AxisDecl(extent, None, None)),
    st.builds(lambda name, rank: tree.AxisDecl(None, name, rank), NAMES, st.none() | FORMULAS),
)
ATTRS = st.builds(tree.AttrDecl, NAMES, st.sampled_from(["int", "real"]), st.none() | FORMULAS)
KINDS = st.sampled_from(["real", "int", "bool"])
PARAMS = st.builds(tree.ParamDecl, NAMES, KINDS, st.booleans(), few(AXES))
INDICES = st.one_of(NAMES.map(tree.Name), NAMES.map(tree.Pack))
EQUATIONS = st.builds(tree.Equation, TARGETS, st.none() | few(INDICES), FORMULAS)
CLAUSES = st.one_of(
    st.builds(tree.Require, few(FORMULAS, 1)),
    st.builds(tree.Where, few(FORMULAS, 1)),
    st.builds(tree.Define, EQUATIONS),
    st.builds(tree.Let, EQUATIONS),
    st.builds(tree.Runs, few(EQUATIONS, 0, 2), EQUATIONS),
    st.builds(tree.Rule, st.sampled_from(["vjp", "jvp"]), EQUATIONS),
    st.builds(tree.At, FORMULAS, FORMULAS),
)


def definitions_first(clauses: tuple[tree.Clause, ...]) -> tuple[tree.Clause, ...]:
    return tuple(sorted(clauses, key=lambda clause: not isinstance(clause, tree.Define)))


BODIES = few(CLAUSES, 0, 4).map(definitions_first)
DOCS = st.sampled_from(["", "What it does.", "Two lines,\nthe second one.", "A gap:\n\n  and indented # text."])
TYPES = st.builds(tree.TypeDecl, st.sampled_from(["f32", "i32", "bool"]), few(VALUES))
SOURCES = st.builds(tree.Apply, NAMES, few(VALUES), st.just(()))
INPUTS = st.builds(tree.InputDecl, NAMES, TYPES, st.booleans(), st.none() | SOURCES)
STATEMENTS = st.one_of(
    st.builds(tree.Assign, few(TARGETS.map(tree.Name), 1), st.none(), VALUES),
    st.builds(tree.Assign, few(TARGETS.map(tree.Name), 1, 1), TYPES, VALUES),
    st.builds(tree.Assume, VALUES),
    st.builds(tree.Ensure, VALUES),
    st.builds(tree.Return, few(VALUES, 1)),
)
ITEMS = st.one_of(
    st.builds(tree.Use, st.sampled_from(["a.gproof", "../b c.gproof", "é#.gproof"])),
    st.builds(tree.DimDecl, NAMES, st.none() | VALUES, st.none()),
    st.builds(tree.DimDecl, NAMES, st.none(), VALUES),
    st.builds(tree.Infix, st.sampled_from(["+", "unary -", "and"]), NAMES),
    st.builds(tree.Fn, NAMES, few(ATTRS), few(NAMES), BODIES, DOCS),
    st.builds(
        tree.Fn,
        NAMES,
        st.just(()),
        few(NAMES),
        FORMULAS.map(lambda body: (tree.Define(tree.Equation("y", None, body)),)),
        DOCS,
    ),
    st.builds(tree.Op, NAMES, few(ATTRS), few(PARAMS), KINDS, few(AXES), BODIES, DOCS),
    st.builds(tree.GraphDef, NAMES, few(INPUTS), few(TYPES, 1), few(STATEMENTS, 0, 4), DOCS),
)
# `infix "+" op` and the like can't be written: after a text, an item's word is a keyword.
FILES = st.builds(
    tree.File, few(ITEMS.filter(lambda item: not (isinstance(item, tree.Infix) and item.op in ("op", "dim"))))
)


@SLOW
@given(FILES)
def test_parsing_what_was_printed_gives_the_tree(file: tree.File) -> None:
    text = print_file(file)
    again = read(text)
    assert again == file
    assert print_file(again) == text
    assert all(len(line) == len(line.rstrip()) for line in text.splitlines())


@SLOW
@given(FORMULAS)
def test_a_formula_round_trips_alone(expr: tree.Expr) -> None:
    (fn,) = read(f"fn f(x) = ({print_expr(expr)})").items
    assert isinstance(fn, tree.Fn) and fn.clauses == (tree.Define(tree.Equation("y", None, expr)),)


@SLOW
@given(FILES, st.data())
def test_comments_anywhere_are_kept(file: tree.File, data: st.DataObject) -> None:
    tokens = tokenize(Source("<test>", print_file(file))).tokens
    gaps = st.lists(
        st.sampled_from([" ", " ", " ", "\n", "\n\n", " # c\n", "\n# c\n", "\n\n# c\n\n\n"]),
        min_size=len(tokens) + 1,
        max_size=len(tokens) + 1,
    )
    pieces = [gap.replace("c", f"c{k}") for k, gap in enumerate(data.draw(gaps))]
    text = pieces[0] + "".join(token.text + gap for token, gap in zip(tokens, pieces[1:], strict=True))
    written = read(text)
    printed = print_file(written)
    again = read(printed)
    assert again == written
    assert sorted(c[2] for c in again.comments) == sorted(c[2] for c in written.comments)
    assert print_file(again) == printed


@given(st.integers(0, 10**30), st.integers(-60, 60))
def test_numbers_round_trip(digits: int, exponent: int) -> None:
    value = Fraction(digits) * Fraction(10) ** exponent
    text = number_text(value)
    assert text is not None and number_value(text) == value


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        ("a-(b-c)", "a - (b - c)"),
        ("(a-b)-c", "a - b - c"),
        ("a*(b*c)", "a * (b * c)"),
        ("-(x^2)", "-x^2"),
        ("(-x)**2", "(-x)^2"),
        ("x^(y^z)", "x^y^z"),
        ("(x^y)^z", "(x^y)^z"),
        ("x^(-1)", "x^-1"),
        ("2 * n", "2*n"),
        ("(sum(j) x[j]) * 2", "(sum(j) x[j]) * 2"),
        ("x * (sum(j) a) / c", "x * (sum(j) a) / c"),
        ("(a * sum(j) b) + c", "a * sum(j) b + c"),
        ("a * sum(j) (b + c)", "a * sum(j) (b + c)"),
        ("-(sum(j) x[j])", "-sum(j) x[j]"),
        ("max(i, j) (-x[i, j])", "max(i, j) (-x[i, j])"),
        ("max(i) (-x[i])", "max(i) -x[i]"),
        ("(max(a, b)) - c", "max(a, b) - c"),
        ("not (a and b)", "not (a and b)"),
        ("(not a) and b or c", "not a and b or c"),
        ("(a < b) == c", "(a < b) == c"),
        ("0<=a<b", "0 <= a < b"),
        ("(q @ k) * s", "(q @ k) * s"),
        ("(a,)", "(a,)"),
        ("0.50 + 1E-5 + 1000", "0.5 + 1e-5 + 1000"),
    ],
)
def test_brackets_and_spaces(written: str, canonical: str) -> None:
    (fn,) = read(f"fn f(x) = {written}").items
    assert print_item(fn) == f"fn f(x) = {canonical}"


LAYOUT = """\
# A file's first words.

use "a.gproof"

dim B >= 1, D = 64  # two on a line
# about E
dim E = 2*D

# Left alone: a blank line follows.

# Its doc,
# in two lines.
fn f(x, const w) = w * x  # at its end

graph g(  # before the first
  x: f32[B],  # of x
  # above y
  const y: f32[],
) -> f32[] {  # of the braces
  # first

  a = x  # of a
  # above b
  b = a

  return b
  # last
}  # after

op s(x: [S..]) -> [S..] {
  runs with m[s..] = x[s..]  # stable
       # between
       y[s..] = m[s..]
}
# the end
"""


def test_layout() -> None:
    assert print_file(read(LAYOUT)) == LAYOUT.replace("       # between", "  # between")


def test_long_lines_are_folded_where_they_can_be() -> None:
    total = " + ".join(f"term_{k}[i, j]" for k in range(30))
    (op,) = read(f"op f(x: [n, m]) -> [n, m] {{ y[i, j] = {total} }}").items
    text = print_item(op)
    assert max(map(len, text.splitlines())) <= 120
    assert read(text).items == (op,)


def test_nothing_prints_as_nothing() -> None:
    assert print_file(read("")) == ""
    assert print_file(read("\n\n")) == ""
    assert print_file(read("#a\n")) == "#a\n"


@pytest.mark.parametrize(
    "path", sorted([*ROOT.glob("grammar/prelude/*.gproof"), *ROOT.glob("examples/**/*.gproof")]), ids=str
)
def test_shipped_files_round_trip(path: Path) -> None:
    file = read(path.read_text(encoding="utf-8"))
    text = print_file(file)
    again = read(text)
    assert again == file
    assert print_file(again) == text
    assert [c[2] for c in again.comments] == [c[2] for c in file.comments]


def test_a_built_tree_prints_its_docs() -> None:
    (fn,) = read("fn f(x) = x").items
    assert isinstance(fn, tree.Fn)
    assert print_item(replace(fn, doc="One.\n\nTwo.")) == "# One.\n#\n# Two.\nfn f(x) = x"
