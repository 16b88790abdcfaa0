"""The C++ expressions of PyTorch's derivative table, as trees of tuples.

A node is ("num", Fraction) | ("name", text) | ("text", text) | ("list", nodes) | ("call", function, nodes)
| ("method", object, name, nodes) | ("at", object, node) | ("not"/"minus", node) | ("binary", sign, left, right)
| ("if", condition, then, otherwise). Namespaces and template arguments are part of a name: `std::get<0>`.
"""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache
from typing import Any

from lark import Lark, Transformer
from lark.exceptions import LarkError

Node = tuple[Any, ...]

GRAMMAR = r"""
?start: choice
?choice: either | either "?" choice ":" choice             -> choose
?either: both | either OR both                              -> binary
?both: same | both AND same                                 -> binary
?same: order | same SAME order                              -> binary
?order: sum | order ORDER sum                               -> binary
?sum: product | sum (PLUS | MINUS) product                  -> binary
?product: sign | product TIMES sign                         -> binary
?sign: tail | MINUS sign -> minus | "!" sign                -> negate | "*" sign -> same
?tail: atom | tail "." NAME "(" args ")"                    -> method
     | tail "." NAME                                        -> member
     | tail "[" choice "]"                                  -> at
?atom: NUMBER -> number | STRING -> text | NAME "(" args ")" -> call | NAME -> name
     | "(" choice ")" | "{" args "}"                        -> items
args: (choice ("," choice)*)?
OR: "||" | "|"
AND: "&&" | "&"
SAME: "==" | "!="
ORDER: "<=" | ">=" | "<" | ">"
PLUS: "+"
MINUS: "-"
TIMES: "*" | "/" | "%"
NAME: /([A-Za-z_]\w*::)*[A-Za-z_]\w*(<\w+>(?=\())?/
NUMBER: /(\d+\.\d*|\.\d+|\d+)([eE][-+]?\d+)?f?/
STRING: /"[^"]*"/
COMMENT: /\/\*.*?\*\//s
%ignore /\s+/
%ignore COMMENT
"""


class NotAnExpression(Exception):
    """The text is not an expression of the kind read here (a lambda, a cast, a statement)."""


class _Tree(Transformer):  # type: ignore[type-arg]
    def choose(self, items: list[Any]) -> Node:
        return ("if", *items)

    def binary(self, items: list[Any]) -> Node:
        return ("binary", str(items[1]), items[0], items[2])

    def minus(self, items: list[Any]) -> Node:
        return ("minus", items[1])

    def negate(self, items: list[Any]) -> Node:
        return ("not", items[0])

    def same(self, items: list[Any]) -> Any:
        return items[0]

    def method(self, items: list[Any]) -> Node:
        return ("method", items[0], str(items[1]), items[2])

    def member(self, items: list[Any]) -> Node:
        return ("method", items[0], str(items[1]), [])

    def at(self, items: list[Any]) -> Node:
        return ("at", *items)

    def number(self, items: list[Any]) -> Node:
        return ("num", Fraction(str(items[0]).rstrip("f")))

    def text(self, items: list[Any]) -> Node:
        return ("text", str(items[0])[1:-1])

    def call(self, items: list[Any]) -> Node:
        return ("call", str(items[0]), items[1])

    def name(self, items: list[Any]) -> Node:
        return ("name", str(items[0]))

    def items(self, items: list[Any]) -> Node:
        return ("list", items[0])

    def args(self, items: list[Any]) -> list[Any]:
        return list(items)


@lru_cache(maxsize=1)
def _parser() -> Lark:
    return Lark(GRAMMAR, parser="lalr")


def parse(text: str) -> Node:
    """The tree of an expression; NotAnExpression where it is something else."""
    try:
        found: Node = _Tree().transform(_parser().parse(text))
    except LarkError as error:
        raise NotAnExpression(str(error).splitlines()[0]) from error
    return found
