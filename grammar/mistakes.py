"""Syntax errors by name: what was expected, and what to do, in the user's words."""

from __future__ import annotations

from collections.abc import Collection

from gradproof.grammar.source import Diagnostic, Span
from gradproof.grammar.tokens import Tokens


def explain(cut: Tokens, position: int, expected: Collection[str]) -> Diagnostic:
    """The diagnostic for the token at `position`, where any of `expected` could have stood."""
    if position < len(cut.tokens):
        token = cut.tokens[position]
        return Diagnostic("E-SYNTAX", f"`{token.text}` can't stand here", token.span, f"expected {sorted(expected)}")
    last = cut.tokens[-1].span
    span = Span(cut.source, last.end_line, last.end_column, last.end_line, last.end_column + 1)
    return Diagnostic("E-SYNTAX", "the text ends too early", span, f"expected {sorted(expected)}")
