"""Text to tree: what each form means, where nodes stand, every named mistake, and input of every bad kind."""

from __future__ import annotations

import logging
import re
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import lark
import pytest
from gradproof.grammar import parse as parsing
from gradproof.grammar import syntax as tree
from gradproof.grammar import tokens
from gradproof.grammar.parse import parse, read_source
from gradproof.grammar.printer import print_expr, print_item
from gradproof.grammar.source import Diagnostic, Source
from hypothesis import given, settings
from hypothesis import strategies as st

ROOT = Path(__file__).parent.parent
MISTAKES = ROOT / "tests" / "cases" / "syntax" / "mistakes.md"
X, A, B, C, ROW, COL = map(tree.Name, ("x", "a", "b", "c", "i", "j"))


def read(text: str) -> tree.File:
    return parse(Source("<test>", text))


def item(text: str) -> Any:
    (only,) = read(text).items
    return only


def formula(text: str) -> tree.Expr:
    """The body of a `fn`."""
    body: tree.Expr = item(f"fn f(x) = {text}").clauses[0].equation.body
    return body


def value(text: str) -> tree.Expr:
    """What a graph returns."""
    (result,) = item(f"graph f(x: f32[]) -> f32[] {{ return {text} }}").body[0].values
    return result  # type: ignore[no-any-return]


def num(n: int) -> tree.Number:
    return tree.Number(Fraction(n))


def refused(text: str) -> Diagnostic:
    with pytest.raises(Diagnostic) as caught:
        read(text)
    return caught.value


# Expressions


def binary(op: str, left: tree.Expr, right: tree.Expr) -> tree.Binary:
    return tree.Binary(op, left, right)


def reduce_(kind: str, body: tree.Expr, *names: str, guard: tree.Expr | None = None) -> tree.Binder:
    return tree.Binder(kind, tuple(tree.BoundIndex(name, False, None) for name in names), guard, body)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a - b - c", binary("-", binary("-", A, B), C)),
        ("a / b * c", binary("*", binary("/", A, B), C)),
        ("a + b @ c", binary("+", A, binary("@", B, C))),
        ("a // b % c", binary("%", binary("//", A, B), C)),
        ("a ^ b ^ c", binary("^", A, binary("^", B, C))),
        ("a ** b", binary("^", A, B)),
        ("-x^2", tree.Unary("-", binary("^", X, num(2)))),
        ("x^-2 * a", binary("*", binary("^", X, tree.Unary("-", num(2))), A)),
        ("a * -b * c", binary("*", binary("*", A, tree.Unary("-", B)), C)),
        ("a - -b", binary("-", A, tree.Unary("-", B))),
        ("0 <= a < b", tree.Compare(("<=", "<"), (num(0), A, B))),
        ("(a < b) < c", tree.Compare(("<",), (tree.Compare(("<",), (A, B)), C))),
        ("a and b and c or x", tree.Logic("or", (tree.Logic("and", (A, B, C)), X))),
        ("a and (b and c)", tree.Logic("and", (A, tree.Logic("and", (B, C))))),
        ("not a == b and c", tree.Logic("and", (tree.Negation(tree.Compare(("==",), (A, B))), C))),
        ("not not a", tree.Negation(tree.Negation(A))),
        ("a[]", tree.Access("a", ())),
        ("a[i, s.., j + 1]", tree.Access("a", (ROW, tree.Pack("s"), binary("+", COL, num(1))))),
        (
            "f(a, b=(1, 2), c=(a,))",
            tree.Apply("f", (A,), (("b", tree.Sequence((num(1), num(2)))), ("c", tree.Sequence((A,))))),
        ),
        ("select(a < b, a, b)", tree.Apply("select", (tree.Compare(("<",), (A, B)), A, B), ())),
        ("()", tree.Sequence(())),
    ],
)
def test_expressions_are_the_same_in_formulas_and_graphs(text: str, expected: tree.Expr) -> None:
    assert formula(text) == expected
    assert value(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sum(j) a * b + c", binary("+", reduce_("sum", binary("*", A, B), "j"), C)),
        ("a * sum(j) b / c", binary("*", A, reduce_("sum", binary("/", B, C), "j"))),
        ("a / sum(j) b - c", binary("-", binary("/", A, reduce_("sum", B, "j")), C)),
        ("-sum(j) a * b", tree.Unary("-", reduce_("sum", binary("*", A, B), "j"))),
        ("sum(j) -x", reduce_("sum", tree.Unary("-", X), "j")),
        (
            "sum(i, j | i < j and a) x",
            reduce_("sum", X, "i", "j", guard=tree.Logic("and", (tree.Compare(("<",), (ROW, COL)), A))),
        ),
        (
            "sum(s.., j < 2*b) x",
            tree.Binder(
                "sum", (tree.BoundIndex("s", True, None), tree.BoundIndex("j", False, binary("*", num(2), B))), None, X
            ),
        ),
        ("sum(i) max(j) x < a", tree.Compare(("<",), (reduce_("sum", reduce_("max", X, "j"), "i"), A))),
        ("max(i, j) x", reduce_("max", X, "i", "j")),
        ("max(i, j) x[i, j]", reduce_("max", tree.Access("x", (ROW, COL)), "i", "j")),
        ("max(i, j) (-x)", reduce_("max", tree.Unary("-", X), "i", "j")),
        ("max(a, b)", tree.Apply("max", (A, B), ())),
        ("max(a, b) - c", binary("-", tree.Apply("max", (A, B), ()), C)),
        ("max(a, b) * c", binary("*", tree.Apply("max", (A, B), ()), C)),
        ("min(a, 0)", tree.Apply("min", (A, num(0)), ())),
        ("max(a[], max(b, c))", tree.Apply("max", (tree.Access("a", ()), tree.Apply("max", (B, C), ())), ())),
        ("min(i) max(a, b)", reduce_("min", tree.Apply("max", (A, B), ()), "i")),
    ],
)
def test_binders(text: str, expected: tree.Expr) -> None:
    assert formula(text) == expected


def test_in_graphs_nothing_is_a_binder() -> None:
    assert value("sum(x, axis=1) / max(a, b)") == binary(
        "/", tree.Apply("sum", (X,), (("axis", num(1)),)), tree.Apply("max", (A, B), ())
    )
    graph = item("graph f(x: f32[]) -> f32[] { h = sum(x)  z = prod(h)  return max(z) }")
    assert [type(statement) for statement in graph.body] == [tree.Assign, tree.Assign, tree.Return]


def test_a_call_of_max_ends_where_the_next_equation_begins() -> None:
    fn = item("fn f(a, b) { let m = max(a, b) y = m  runs with c = max(a, b) y = c  runs y = max(a, b) at a = b: 0 }")
    assert [type(clause) for clause in fn.clauses] == [tree.Let, tree.Define, tree.Runs, tree.Runs, tree.At]
    op = item("op f(n_: [n]) -> [n] { let m[i] = max(i, n) y[i] = m[i] }")
    assert op.clauses[0].equation.body == tree.Apply("max", (ROW, tree.Name("n")), ())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("3", 3),
        ("0.50", "1/2"),
        (".5", "1/2"),
        ("2.", 2),
        ("1e3", 1000),
        ("1.5E-2", "3/200"),
        ("0e5", 0),
        ("9" * 400, int("9" * 400)),
    ],
)
def test_numbers_are_exact(text: str, expected: Any) -> None:
    assert formula(text) == tree.Number(Fraction(expected))


# Items


def test_items() -> None:
    assert read('use "a/b.gproof" dim B, D = 2*B, E >= 1 infix "unary -" neg').items == (
        tree.Use("a/b.gproof"),
        tree.DimDecl("B", None, None),
        tree.DimDecl("D", None, binary("*", num(2), tree.Name("B"))),
        tree.DimDecl("E", num(1), None),
        tree.Infix("unary -", "neg"),
    )


def test_a_one_line_fn_is_the_same_as_its_block() -> None:
    assert item("fn f(x) = log(x) where x > 0") == item("fn f(x) { y = log(x) where x > 0 }")


def test_an_operator() -> None:
    op = item(
        "op f[axis, eps: real = 1e-5](const x: int [A..(axis), n + 1, B..]) -> bool [A.., B..] { y[a..] = x[] > 0 }"
    )
    packs = (tree.AxisDecl(None, "A", None), tree.AxisDecl(None, "B", None))
    assert op == tree.Op(
        "f",
        (tree.AttrDecl("axis", "int", None), tree.AttrDecl("eps", "real", tree.Number(Fraction(1, 10**5)))),
        (
            tree.ParamDecl(
                "x",
                "int",
                True,
                (
                    tree.AxisDecl(None, "A", tree.Name("axis")),
                    tree.AxisDecl(binary("+", tree.Name("n"), num(1)), None, None),
                    tree.AxisDecl(None, "B", None),
                ),
            ),
        ),
        "bool",
        packs,
        (tree.Define(tree.Equation("y", (tree.Pack("a"),), tree.Compare((">",), (tree.Access("x", ()), num(0))))),),
        "",
    )


def test_clauses_need_no_separator_and_take_semicolons() -> None:
    clauses = """require n >= 1, S.. == T..{0} where a > 0{0} y[t..] = x[t..]{0} let m[] = 1{0}
        vjp x[i] = g[i]{0} jvp y[i] = dx[i]{0} at x[i] = 0: 0{0} at x == 0: 1{0} runs y[t..] = x[t..]{0}
        runs with m[] = 1{0} k[i] = 2{0} y[t..] = m[]{0} vjp a = 0{0}"""
    bare, separated = (item(f"op f(x: [S..]) -> [T..] {{ {clauses.format(end)} }}") for end in ("", ";"))
    assert bare == separated
    kinds = [type(clause).__name__ for clause in bare.clauses]
    assert kinds == ["Require", "Where", "Define", "Let", "Rule", "Rule", "At", "At", "Runs", "Runs", "Rule"]
    assert bare.clauses[6].cond == tree.Compare(("==",), (tree.Access("x", (ROW,)), num(0)))
    assert len(bare.clauses[9].lets) == 2


def test_statements() -> None:
    graph = item(
        "graph f(x: f32[B, 2], const m: f32[], u: f32[B] = uniform(seed=7)) -> (f32[], i32[B]) {"
        " assume 0 <= x; a, b = f(x) z: f32[B] = a ensure z == b; return a, z }"
    )
    assert [i.const for i in graph.inputs] == [False, True, False]
    assert graph.inputs[2].source == tree.Apply("uniform", (), (("seed", num(7)),))
    assert [t.dtype for t in graph.results] == ["f32", "i32"]
    assert [type(s).__name__ for s in graph.body] == ["Assume", "Assign", "Assign", "Ensure", "Return"]
    assert graph.body[1].targets == (A, B)
    assert graph.body[2].type == tree.TypeDecl("f32", (tree.Name("B"),))


def test_words_are_reserved_only_where_they_mean_something() -> None:
    graph = item(
        "graph at(let: f32[], op: f32[], g: f32[], const: f32[], const const: f32[], y: f32[]) -> f32[] {"
        " where = where(let, at, max(op))  runs = sum + with  dim = require  return vjp }"
    )
    assert [name.name for s in graph.body[:-1] for name in s.targets] == ["where", "runs", "dim"]
    op = item(
        "op where(return: bool [S..], assume: [S..], const at: [S..]) -> [S..]"
        " { y[s..] = at[s..] * let[] where at[] > 0 }"
    )
    assert [p.name for p in op.params] == ["return", "assume", "at"] and op.params[2].const
    assert [type(clause).__name__ for clause in op.clauses] == ["Define", "Where"]
    assert [
        i.name
        for i in read(
            "op op(x: []) -> [] { } fn fn(x) = x dim dim op sum(max: [n]) -> [] { y[] = sum(i) max[i] }"
        ).items
    ] == [
        "op",
        "fn",
        "dim",
        "sum",
    ]


def test_docs_are_the_block_directly_above() -> None:
    file = read(
        "# heading\n\n# One.\n#\n#  Two.\nfn f(x) = x # behind\nfn g(x) = x\n"
        "dim B # no doc\n# above\ngraph h() -> f32[] { }"
    )
    docs = [i.doc for i in file.items if not isinstance(i, tree.DimDecl)]
    assert docs == ["One.\n\n Two.", "", "above"]
    assert [c[2] for c in file.comments] == ["# heading", "# One.", "#", "#  Two.", "# behind", "# no doc", "# above"]


def test_spans() -> None:
    text = "graph f(x: f32[B]) -> f32[] {\n  h = relu((x + 1)) * sum(x)\n  return h\n}\n"
    source = Source("a.gproof", text)
    (graph,) = parse(source).items
    assert isinstance(graph, tree.GraphDef)

    def covered(node: Any) -> str:
        span = node.span
        lines = text.splitlines()[span.line - 1 : span.end_line]
        lines[-1] = lines[-1][: span.end_column - 1]
        return "\n".join([lines[0][span.column - 1 :], *lines[1:]])

    assign = graph.body[0]
    assert isinstance(assign, tree.Assign) and isinstance(assign.value, tree.Binary)
    assert covered(graph) == text.strip()
    assert covered(graph.inputs[0]) == "x: f32[B]"
    assert covered(assign) == "h = relu((x + 1)) * sum(x)"
    assert covered(assign.targets[0]) == "h"
    assert covered(assign.value.left) == "relu((x + 1))"
    assert covered(assign.value.left.args[0]) == "(x + 1)"  # type: ignore[union-attr]
    assert covered(assign.value.right) == "sum(x)"
    assert str(assign.value.right.span) == "a.gproof:2:23"


def test_line_ends_tabs_and_byte_order_marks_are_space() -> None:
    text = "# a\nfn f(x) {\n\ty = x\n}\ndim B\n"
    expected = read(text)
    for other in (text.replace("\n", "\r\n"), text.replace("\n", "\r"), "\ufeff" + text):
        assert read(other) == expected
        assert [c[2] for c in read(other).comments] == ["# a"]


def test_a_file_may_be_empty() -> None:
    assert read("").items == read("  \n# only a comment\n").items == ()


# Mistakes


def mistakes() -> list[Any]:
    cases = re.findall(
        r"### (.*?)\n\n```gproof\n(.*?)\n```\n\n```text\n(.*?)\n```", MISTAKES.read_text("utf-8"), re.DOTALL
    )
    assert len(cases) > 70
    return [pytest.param(text, message, id=name) for name, text, message in cases]


@pytest.mark.parametrize(("text", "message"), mistakes())
def test_mistakes_are_named(text: str, message: str) -> None:
    with pytest.raises(Diagnostic) as caught:
        parse(Source("case.gproof", text))
    assert str(caught.value) == message


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_any_text_is_parsed_or_refused_with_a_place(data: st.DataObject) -> None:
    """Files with tokens dropped, doubled or swapped, and noise: nothing but a Diagnostic with a span comes out."""
    path = data.draw(st.sampled_from(sorted(ROOT.glob("grammar/prelude/*.gproof"))))
    pieces = re.findall(r"\w+|\.\.|\s+|.", path.read_text("utf-8"))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(pieces) - 1))
        noise = st.sampled_from(
            [
                "",
                "(",
                "}",
                "=",
                "==",
                ",",
                " sum(",
                " op ",
                "..",
                "|",
                " 1 ",
                " x ",
                "-",
                '"',
                "\\",
                "\x00",
                " not ",
                "#",
            ]
        )
        pieces[place : place + data.draw(st.integers(0, 2))] = [data.draw(noise)]
    try:
        read("".join(pieces))
    except Diagnostic as error:
        assert error.span is not None and error.code.startswith("E-") and str(error)


@given(st.text(max_size=80))
def test_any_characters_are_parsed_or_refused(text: str) -> None:
    try:
        read(text)
    except Diagnostic as error:
        assert error.span is not None and str(error)


# Bad input


@pytest.mark.parametrize(
    "text",
    [
        "graph f() -> f32[] { return " + "(" * 10**5 + "x" + ")" * 10**5 + "}",
        "graph f() -> f32[] { return " + "f(" * 10**5,
        "graph f() -> f32[] { return " + "-" * 10**5 + "x }",
        "graph f() -> f32[] { return " + "x^" * 10**5 + "x }",
        "graph f() -> f32[] { return " + "x + " * 10**5 + "x }",
        "fn f(x) = " + "not " * 10**5 + "x",
        "fn f(x) = " + "sum(j) " * 10**5 + "x",
        "dim B = " + "x[" * 10**5,
        "{" * 10**5,
    ],
    ids=["brackets", "calls", "minus", "powers", "sums", "not", "binders", "indices", "braces"],
)
def test_nesting_is_refused(text: str) -> None:
    begun = time.perf_counter()
    assert refused(text).code == "E-NESTING"
    assert time.perf_counter() - begun < 20


@pytest.mark.parametrize(
    "text",
    [
        "(" * 98 + "x" + ")" * 98,
        "f(" * 98 + "x" + ")" * 98,
        " + ".join(["x"] * 99),
        "x - (" * 48 + "x" + ")" * 48,
        "-" * 95 + "x",
    ],
    ids=["brackets", "calls", "sum", "right", "minus"],
)
def test_what_is_within_the_limit_prints(text: str) -> None:
    (result,) = (graph := item(f"graph f(x: f32[]) -> f32[] {{ return {text} }}")).body[0].values
    assert item(print_item(graph)) == graph
    assert value(print_expr(result)) == result


def test_brackets_and_chains_count_together() -> None:
    inside = " + ".join(["x"] * 60)
    assert refused("fn f(x) = " + "f(" * 60 + inside + ")" * 60).code == "E-NESTING"
    assert refused("op f[a: real = " + inside + " + " + inside + "](x: []) -> [] { }").code == "E-NESTING"


@pytest.mark.parametrize("text", ["1" * 10**6, "1e999999999", "1e-999999999", "0." + "1" * 401, "1e401", "0e999999"])
def test_huge_numbers_are_refused(text: str) -> None:
    error = refused(f"dim D = {text}")
    assert error.code == "E-NUMBER" and len(str(error)) < 1000


@pytest.mark.parametrize("text", ["2x", "1_000", "1e5x", "2π"])
def test_numbers_do_not_run_into_words(text: str) -> None:
    assert refused(f"dim D = {text}").code == "E-NUMBER"


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"\x89PNG\r\n\x1a\n\x00", "E-ENCODING"),
        (b"dim B\n# caf\xe9", "E-ENCODING"),
        (b"dim B\x00", "E-ENCODING"),
        (b"\xff\xfed\x00", "E-ENCODING"),
    ],
)
def test_files_that_are_no_text(tmp_path: Path, data: bytes, code: str) -> None:
    path = tmp_path / "a.gproof"
    path.write_bytes(data)
    with pytest.raises(Diagnostic) as caught:
        read_source(path)
    assert caught.value.code == code and str(path) in str(caught.value)


def test_reading(tmp_path: Path) -> None:
    path = tmp_path / "a.gproof"
    path.write_bytes(b"\xef\xbb\xbfdim B\r\n# \xc3\xa9")
    assert read_source(path) == Source(str(path), "dim B\r\n# é")
    for missing in (tmp_path / "b.gproof", tmp_path, "a\0b"):
        with pytest.raises(Diagnostic) as caught:
            read_source(missing)
        assert caught.value.code == "E-READ"


def test_the_place_of_a_bad_byte(tmp_path: Path) -> None:
    path = tmp_path / "a.gproof"
    path.write_bytes("dim B\n# é ".encode() + b"\xe9")
    with pytest.raises(Diagnostic) as caught:
        read_source(path)
    assert caught.value.span is not None and (caught.value.span.line, caught.value.span.column) == (2, 5)


def test_excerpts_of_long_and_hostile_lines_are_short_and_plain() -> None:
    error = str(refused("# \x1b[31m\ndim B = " + "x + " * 10**4 + "\x1b[31m"))
    assert len(error) < 600 and "\x1b" not in error
    shown, caret = error.splitlines()[1:3]
    assert len(caret) <= len(shown) <= 140 and caret.strip() == "^"


def test_many_statements_take_time_in_proportion() -> None:
    lines = [f"  h{k + 1} = relu(h{k} + x * 2)" for k in range(20_000)]
    begun = time.perf_counter()
    graph = item("graph f(h0: f32[], x: f32[]) -> f32[] {\n" + "\n".join(lines) + "\n  return h1\n}")
    assert len(graph.body) == 20_001
    assert time.perf_counter() - begun < 10


# The grammar itself


def test_the_grammar_has_no_conflicts(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    built = {}

    def with_debug(grammar: str, **options: Any) -> Any:
        built["parser"] = made(grammar, debug=True, **options)
        return built["parser"]

    made = lark.Lark
    monkeypatch.setattr(lark, "Lark", with_debug)
    monkeypatch.setattr(lark.logger, "propagate", True)
    with caplog.at_level(logging.DEBUG, logger=lark.logger.name):
        parsing._parser.__wrapped__()
    assert "parser" in built
    assert not [record for record in caplog.records if "conflict" in record.message.lower()]


def test_tokens_and_grammar_agree_on_terminals() -> None:
    words = tokens.ITEM_WORDS | tokens.CLAUSE_WORDS | tokens.STATEMENT_WORDS | {"with", "const"}
    cut = (
        {word.upper() for word in words}
        | set(tokens.PUNCTUATION.values())
        | {"NAME", "PACK", "NUMBER", "STRING", "BINDER", "NOT"}
    )
    known = {symbol.name for rule in parsing._parser().rules for symbol in rule.expansion if symbol.is_term}
    assert cut == known


def test_lark_is_imported_only_to_parse() -> None:
    code = "import sys, gradproof.grammar.parse, gradproof.grammar.printer; sys.exit('lark' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    "block", re.findall(r"```\n(use .*?|op .*?)```", (ROOT / "docs" / "design.md").read_text("utf-8"), re.DOTALL)
)
def test_the_design_page_parses(block: str) -> None:
    assert read(block).items


def test_huge_names_make_no_huge_messages() -> None:
    assert len(str(refused("x" * 10**6))) < 1000
    assert len(str(refused(f"graph f({'x' * 10**6}) -> f32[] {{ }}"))) < 1000
