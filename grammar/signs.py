"""How tightly signs bind: a run of signs and operands becomes a tree here, by one table.

The grammar only says that a run is signs and operands in turn; doing the rest here makes parsing three times as fast as
a rule for each level would.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import takewhile
from typing import Any, TypeAlias

from gradproof.grammar import syntax as tree
from gradproof.grammar.source import Diagnostic, Span
from gradproof.grammar.tokens import Token

Head: TypeAlias = tuple[Token, tuple[tree.BoundIndex, ...], tree.Expr | None]  # `sum(i, j < n | guard)`
Sign: TypeAlias = Token | Head

COMPARISONS = ("<", "<=", ">", ">=", "==", "!=")

# How tightly signs bind; `minus` is a minus in front, `binder` a binder's head, whose body takes in `*` and `/`.
LEVEL = {"or": 1, "and": 2, "not": 3} | dict.fromkeys(COMPARISONS, 4) | {"+": 5, "-": 5}
LEVEL |= dict.fromkeys(("*", "/", "//", "%", "@", "binder"), 6) | {"minus": 7, "^": 8, "**": 8}
_LEFT = (5, 6)  # a - b - c is (a - b) - c; `^` is grouped from the right, the others are chains


def join(first: Any, last: Any) -> Span:
    """From the start of one node or token to the end of another."""
    a: Span = first.span
    b: Span = last.span
    return Span(a.source, a.line, a.column, b.end_line, b.end_column)


def group(run: Iterable[Sign | tree.Expr]) -> tree.Expr:
    """A run of signs and operands as a tree, by LEVEL; raises E-SIGN for a `not` that stands behind a tighter sign."""
    values: list[tree.Expr] = []
    signs: list[tuple[int, Sign]] = []
    operand_next = True
    for piece in run:
        if not isinstance(piece, Token | tuple):
            values.append(piece)
            operand_next = False
            continue
        if isinstance(piece, tuple):
            level = LEVEL["binder"]
        elif operand_next:
            level = LEVEL["not" if piece.text == "not" else "minus"]
            if level == LEVEL["not"] and signs and signs[-1][0] > level:
                raise Diagnostic("E-SIGN", "`not` can't stand behind this sign", piece.span, "write `(not a)`")
        else:
            level = LEVEL[piece.text]
            while signs and (signs[-1][0] > level or (signs[-1][0] == level and _groups_left(signs[-1]))):
                _reduce(values, signs)
        signs.append((level, piece))
        operand_next = True
    while signs:
        _reduce(values, signs)
    return values[0]


def _groups_left(sign: tuple[int, Sign]) -> bool:
    return sign[0] in _LEFT and isinstance(sign[1], Token)


def _reduce(values: list[tree.Expr], signs: list[tuple[int, Sign]]) -> None:
    """Apply the last sign to the last operands; a chain of comparisons, `and`s or `or`s as a whole."""
    level, sign = signs.pop()
    last = values.pop()
    if isinstance(sign, tuple):
        kind, indices, guard = sign
        values.append(tree.Binder(kind.text, indices, guard, last, join(kind, last)))
    elif level == LEVEL["minus"]:
        values.append(tree.Unary("-", last, join(sign, last)))
    elif level == LEVEL["not"]:
        values.append(tree.Negation(last, join(sign, last)))
    elif level > LEVEL["<"]:
        left = values.pop()
        op = "^" if sign.text == "**" else sign.text
        values.append(tree.Binary(op, left, last, join(left, last)))
    else:
        size = 1 + sum(1 for _ in takewhile(lambda other: other[0] == level, reversed(signs)))
        ops = [*(other.text for _, other in signs[len(signs) - size + 1 :] if isinstance(other, Token)), sign.text]
        operands = (*values[-size:], last)
        del signs[len(signs) - size + 1 :], values[-size:]
        span = join(operands[0], last)
        chain = tree.Compare(tuple(ops), operands, span)
        values.append(chain if level == LEVEL["<"] else tree.Logic(sign.text, operands, span))
