"""Text to tree: the parser, its errors in the user's words, and the reading of files."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gradproof.grammar import syntax as tree
from gradproof.grammar.source import Diagnostic, Source, Span
from gradproof.grammar.tokens import NESTING, Comment, Token, Tokens, tokenize

if TYPE_CHECKING:
    from lark import Lark


def read_source(path: str | Path) -> Source:
    """Read a file as UTF-8; raises E-READ (no such file, a folder, ...) and E-ENCODING (not UTF-8, NUL bytes)."""
    try:
        data = Path(path).read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise Diagnostic("E-READ", f"can't read {path}: {reason}", None, "check the path") from None
    source = Source(str(path), "")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8-sig", "replace")
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        raise Diagnostic(
            "E-ENCODING",
            f"the byte 0x{data[error.start]:02x} is not UTF-8",
            Span(source, line, column, line, column + 1),
            "save the file as UTF-8, or check that it is a .gproof file",
        ) from None
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        column = text.index("\0") - text.rfind("\n", 0, text.index("\0"))
        span = Span(source, line, column, line, column + 1)
        raise Diagnostic("E-ENCODING", "a NUL byte: this is not text", span, "check that it is a .gproof file")
    return Source(str(path), text)


def parse(source: Source) -> tree.File:
    """The tree of a text; raises Diagnostic (E-SYNTAX and the named mistakes of mistakes.py, E-NUMBER, E-NESTING)."""
    cut = tokenize(source)
    items = _items(cut)
    for item in items:
        for part in _parts(item):
            _check_depth(part)
    lines = source.text.splitlines()
    last = max(1, len(lines))
    span = Span(source, 1, 1, last, len(lines[-1]) + 1 if lines else 1)
    return tree.File(tuple(_documented(items, cut.comments, lines)), span, cut.comments)


def _items(cut: Tokens) -> list[tree.Item]:
    if not cut.tokens:
        return []
    from lark.exceptions import UnexpectedToken

    parser, collecting = _parser(), gc.isenabled()
    gc.disable()  # a tree has no cycles, and the collector would walk all of it again and again
    try:
        items: list[tree.Item] = parser.parse(cut.tokens)  # type: ignore[assignment]
    except UnexpectedToken as error:
        from gradproof.grammar.mistakes import explain

        position = error.token.position if isinstance(error.token, Token) else len(cut.tokens)
        expected: set[str] = error.interactive_parser.accepts()  # type: ignore[no-untyped-call]
        raise explain(cut, position, expected) from None
    finally:
        if collecting:
            gc.enable()
    return items


@lru_cache(maxsize=1)
def _parser() -> Lark:
    """The LALR parser: gproof.lark over the tokens of tokens.py, building the tree with build.py."""
    from gradproof.grammar import build
    from lark import Lark
    from lark.lexer import Lexer

    class Given(Lexer):
        """The tokens are already cut."""

        __future_interface__ = 2

        def __init__(self, lexer_conf: Any) -> None:
            pass

        def lex(self, lexer_state: Any, parser_state: Any) -> Iterator[Any]:
            return iter(lexer_state.text)

    grammar = Path(__file__).with_name("gproof.lark").read_text(encoding="utf-8")
    return Lark(grammar, parser="lalr", lexer=Given, transformer=build, maybe_placeholders=False)


# Depth


def _parts(item: tree.Item) -> Iterator[Any]:
    """The statements, clauses and declarations of an item: what is checked for depth on its own."""
    match item:
        case tree.GraphDef():
            yield from item.inputs
            yield from item.results
            yield from item.body
        case tree.Fn():
            yield from item.attrs
            yield from item.clauses
        case tree.Op():
            yield from (*item.attrs, *item.params, *item.result)
            yield from item.clauses
        case _:
            yield item


def _check_depth(part: Any) -> None:
    """Raise E-NESTING where a tree is deeper than NESTING, so that no later pass can run out of stack."""
    span: Span = part.span
    if span.line == span.end_line and span.end_column - span.column <= NESTING:
        return  # each level takes at least one character
    stack: list[tuple[Any, int]] = [(part, 0)]
    while stack:
        node, depth = stack.pop()
        if depth > NESTING:
            raise Diagnostic(
                "E-NESTING",
                f"an expression is more than {NESTING} levels deep",
                span,
                "give parts of it names of their own (a long sum or product counts one level a sign)",
            )
        if isinstance(node, tuple):
            stack.extend((child, depth) for child in node)
        elif hasattr(node, "span"):
            inner = ((getattr(node, slot), depth + 1) for slot in node.__slots__ if slot != "span")
            stack.extend(pair for pair in inner if isinstance(pair[0], tuple) or hasattr(pair[0], "span"))


# Docs


def _documented(items: list[tree.Item], comments: tuple[Comment, ...], lines: list[str]) -> Iterator[tree.Item]:
    """The items, each with the comment block directly above it as its doc."""
    alone = [c for c in comments if not lines[c[0] - 1][: c[1] - 1].strip(" \t\ufeff")]
    at = {line: text for line, _, text in alone}
    for item in items:
        before = lines[item.span.line - 1][: item.span.column - 1].strip(" \t\ufeff")
        if before or not isinstance(item, tree.Fn | tree.Op | tree.GraphDef):
            yield item
            continue
        block: list[str] = []
        line = item.span.line - 1
        while line in at:
            block.append(at[line].removeprefix("#").removeprefix(" "))
            line -= 1
        yield replace(item, doc="\n".join(reversed(block))) if block else item
