"""The words of syntax errors: what the parser's terminals are called, and what to write instead of other words."""

from __future__ import annotations

from collections.abc import Collection
from difflib import get_close_matches

from gradproof.grammar.tokens import CLAUSE_WORDS, ITEM_WORDS, STATEMENT_WORDS

# Terminals; then what several of them are called together: if all of the first stand, the second are left out.
WORDS = {
    "ARROW": "`->`",
    "COMMA": "`,`",
    "COLON": "`:`",
    "EQUAL": "`=`",
    "LPAR": "`(`",
    "RPAR": "`)`",
    "LSQB": "`[`",
    "RSQB": "`]`",
    "LBRACE": "`{`",
    "RBRACE": "`}`",
    "VBAR": "`|`",
    "NAME": "a name",
    "NUMBER": "a number",
    "STRING": 'a text in `"`',
    "PACK": "a pack such as `s..`",
    "SIGN": "a sign such as `+`",
    "MINUS": "`-`",
    "NOT": "`not`",
    "WITH": "`with`",
    "CONST": "`const`",
}
GROUPS: tuple[tuple[set[str], set[str], str], ...] = (
    ({"NAME", "NUMBER", "LPAR", "MINUS"}, {"PACK", "BINDER", "NOT", "CONST", "STRING"}, "an expression"),
    ({"USE", "OP"}, {word.upper() for word in ITEM_WORDS}, "an item (`dim`, `fn`, `op`, `graph`, `use`, `infix`)"),
    ({"REQUIRE", "LET"}, {word.upper() for word in CLAUSE_WORDS} | {"NAME", "SEMICOLON"}, "a clause"),
    ({"ASSUME", "RETURN"}, {word.upper() for word in STATEMENT_WORDS} | {"NAME", "SEMICOLON"}, "a statement"),
    ({"SIGN", "MINUS"}, set(), "a sign such as `+`"),
)

# What other languages call things.
FOREIGN = {
    "def": "an operator is `op name(x: [S..]) -> [S..] { ... }`, a scalar function `fn name(x) = ...`",
    "function": "a scalar function is `fn name(x) = ...`, a program `graph name(...) -> ... { ... }`",
    "func": "a scalar function is `fn name(x) = ...`, a program `graph name(...) -> ... { ... }`",
    "class": "there are only `dim`, `fn`, `op`, `graph`, `use` and `infix`",
    "import": 'write `use "file.gproof"`',
    "from": 'write `use "file.gproof"`',
    "include": 'write `use "file.gproof"`',
    "size": "a size is declared with `dim`",
    "if": "write `select(condition, then, otherwise)`",
    "else": "write `select(condition, then, otherwise)`",
    "for": "write a formula over indices, with `sum(j)`, `prod(j)`, `max(j)` or `min(j)`",
    "while": "write a formula over indices, with `sum(j)`, `prod(j)`, `max(j)` or `min(j)`",
    "lambda": "declare it: `fn name(x) = ...`",
    "assert": "write `assume` or `ensure` in a graph, `require` or `where` in an operator",
    "var": "in a graph just write `name = ...`; in an operator `let name[i] = ...`",
}
# Words of this language in the wrong place.
MISPLACED = {
    "return": "`return` belongs in a graph; an operator defines its result as `y[...] = ...`",
    "assume": "`assume` belongs in a graph; an operator has `require` (sizes, indices) and `where` (real inputs)",
    "ensure": "`ensure` belongs in a graph, or in an operator's braces",
    "require": "`require` belongs in an operator's braces; a graph has `assume`",
    "where": "`where` belongs in an operator's braces, or after a one-line `fn`; a graph has `assume`",
    "let": "`let` belongs in an operator's braces; in a graph just write `name = ...`",
    "runs": "`runs` belongs in an operator's braces",
    "vjp": "`vjp` belongs in an operator's braces: `vjp x[i] = ...`",
    "jvp": "`jvp` belongs in an operator's braces: `jvp y[i] = ...`",
    "extern": '`extern` belongs in an operator\'s braces: `extern y = "linalg.inv"(a)`',
    "law": "`law` belongs in an operator's braces, with an `extern`",
    "adjoint": "`adjoint` belongs in an operator's braces, below a `law`",
    "at": "`at` belongs in an operator's braces: `at x = 0: 0`",
    "least": "`least at` belongs in an operator's braces: `least at y = 0`",
    "jump": "`jump at` belongs in an operator's braces: `jump at x = 0: 0`",
    "dim": "`dim` belongs between the items of the file: close the braces above it with `}`",
    "fn": "`fn` belongs between the items of the file: close the braces above it with `}`",
    "op": "`op` belongs between the items of the file: close the braces above it with `}`",
    "graph": "`graph` belongs between the items of the file: close the braces above it with `}`",
    "use": "`use` belongs between the items of the file: close the braces above it with `}`",
}


def meant(word: str, words: Collection[str]) -> str:
    """`did you mean ...?`; empty where nothing is close."""
    close = get_close_matches(word, sorted(words), n=1, cutoff=0.6)
    return f"did you mean `{close[0]}`?" if close else ""


def one_of(expected: frozenset[str]) -> str:
    """Terminals in the user's words: `a, b or c`."""
    left, said = set(expected), []
    for needed, also, words in GROUPS:
        if needed <= left:
            left -= needed | also
            said.append(words)
    said += sorted(WORDS.get(name, f"`{name.lower()}`") for name in left if name not in ("SEMICOLON", "$END"))
    if "$END" in expected and not said:
        said.append("the end of the text")
    return said[0] if len(said) == 1 else f"{', '.join(said[:-1])} or {said[-1]}"
