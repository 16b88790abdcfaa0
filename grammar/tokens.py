"""Text to tokens: numbers and brackets are checked here, and each word is told apart as keyword, binder or name.

A word's part is settled by where it stands (see `_keyword` and `_is_binder`), so that few words are reserved.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from gradproof.grammar.source import Diagnostic, Source, Span

NESTING = 100  # levels of brackets, and of any expression's tree: every later pass may recurse that deep

Comment: TypeAlias = tuple[int, int, str]  # line, column, text with its `#`

ITEM_WORDS = frozenset({"use", "dim", "infix", "fn", "op", "graph"})
CLAUSE_WORDS = frozenset(
    {"require", "where", "ensure", "let", "runs", "vjp", "jvp", "at", "jump", "least", "instead"}
    | {"extern", "law", "adjoint"}
)
STATEMENT_WORDS = frozenset({"assume", "ensure", "return"})
LOGIC_WORDS = {"and": "SIGN", "or": "SIGN", "not": "NOT"}
BINDERS = frozenset({"sum", "prod", "max", "min"})

PUNCTUATION = {
    "->": "ARROW",
    "(": "LPAR",
    ")": "RPAR",
    "[": "LSQB",
    "]": "RSQB",
    "{": "LBRACE",
    "}": "RBRACE",
    ",": "COMMA",
    ":": "COLON",
    ";": "SEMICOLON",
    "=": "EQUAL",
    "|": "VBAR",
    "-": "MINUS",
} | dict.fromkeys(("+", "*", "/", "//", "%", "@", "^", "**", "<", "<=", ">", ">=", "==", "!="), "SIGN")
CLOSER = {"(": ")", "[": "]", "{": "}"}

_SCAN = re.compile(
    r"""[ \t\ufeff]*(?:
      (?P<word>[^\W\d]\w*(?:\.\.(?!\.))?)
    | (?P<number>(?:[0-9]+(?:\.(?!\.)[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)
    | (?P<sign>->|//|\*\*|<=|>=|==|!=|[-+*/%@^<>=|,:;()\[\]{}])
    | (?P<newline>\r\n|\r|\n)
    | (?P<comment>\#[^\n\r\v\f\x1c-\x1e\x85\u2028\u2029\x00]*)
    | (?P<string>"[^"\x00-\x1f\x7f\x85\u2028\u2029]*")
    | (?P<end>\Z)
    | (?P<bad>.) )""",
    re.VERBOSE | re.DOTALL,
)
_ENDS = frozenset({"NAME", "PACK", "NUMBER", "STRING", "RPAR", "RSQB", "LBRACE", "RBRACE", "SEMICOLON"})
_BODY = frozenset({"NAME", "PACK", "NUMBER", "LPAR", "BINDER"})


class Token:
    """One token: its terminal in gproof.lark, its text, and where it stands (a token never spans lines)."""

    __slots__ = ("column", "line", "position", "source", "text", "type")

    def __init__(self, type_: str, text: str, source: Source, line: int, column: int, position: int) -> None:
        self.type, self.text, self.source, self.line, self.column = type_, text, source, line, column
        self.position = position  # among the tokens

    @property
    def span(self) -> Span:
        """The token's stretch of the source."""
        return Span(self.source, self.line, self.column, self.line, self.column + len(self.text))

    # What Lark copies from the last token to the end of the text.
    start_pos = end_pos = property(lambda self: self.position)
    end_line = property(lambda self: self.line)
    end_column = property(lambda self: self.column + len(self.text))

    def __repr__(self) -> str:
        return f"Token({self.type}, {self.text!r}, {self.line}:{self.column})"


@dataclass(frozen=True, slots=True)
class Tokens:
    """All tokens of a source, its comments, and for each opening bracket's position that of its partner."""

    source: Source
    tokens: Sequence[Token]
    comments: tuple[Comment, ...]
    partner: dict[int, int]


def tokenize(source: Source) -> Tokens:
    """Cut the text into tokens; raises E-SYNTAX, E-NUMBER, E-NESTING, E-BRACKET."""
    scan = _Scan(source)
    scan.run()
    for position in scan.consts:
        if scan.tokens[position + 1].type != "NAME":  # there is one: the `(` before it is closed
            scan.tokens[position].type = "NAME"
    for position in scan.candidates:
        # In an `ensure`, `sum(x)` is also an operator's application: what a binder binds is followed by its body.
        end = scan.partner[position + 1]
        apart = position in scan.ensured and not _goes_on(scan.tokens, end)
        if not apart and _is_binder(scan.tokens, position, scan.partner):
            scan.tokens[position].type = "BINDER"
    return Tokens(source, scan.tokens, tuple(scan.comments), scan.partner)


class _Scan:
    """The state of one pass over a text."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.tokens: list[Token] = []
        self.comments: list[Comment] = []
        self.open: list[Token] = []
        self.partner: dict[int, int] = {}
        self.candidates: list[int] = []  # for binders
        self.ensured: set[int] = set()  # those of them in an `ensure`
        self.consts: list[int] = []
        self.item = ""  # the word that began the item we are in
        self.ensuring = False  # in an `ensure` of a graph, whose binders are a formula's

    def run(self) -> None:
        source, text, tokens = self.source, self.source.text, self.tokens
        match, line, start, position = _SCAN.match, 1, 0, 0
        while True:
            found = match(text, position)
            kind = found.lastgroup if found else None
            if found is None or kind is None:  # \Z always matches
                raise RuntimeError(f"no token at {position}: please report")
            position = found.end()
            if kind == "newline":
                line, start = line + 1, position
                continue
            if kind == "end":
                break
            first = found.start(kind)
            piece, column = text[first:position], first - start + 1
            if kind == "comment":
                self.comments.append((line, column, piece.rstrip()))
                continue
            token = Token("NUMBER", piece, source, line, column, len(tokens))
            if kind == "word":
                token.type = self._word(piece)
            elif kind == "sign":
                token.type = PUNCTUATION[piece]
                if piece in "()[]{}":
                    self._bracket(token)
            elif kind == "number":
                _check_number(token, text, position)
            elif kind == "string":
                token.type = "STRING"
            else:
                raise _bad_character(token)
            tokens.append(token)
        if self.open:
            raise self._never_closed(self.open[-1])

    def _word(self, text: str) -> str:
        if text[-1] == ".":
            return "PACK"
        previous = self.tokens[-1] if self.tokens else None
        if text in LOGIC_WORDS:
            return LOGIC_WORDS[text]
        if text in _SPECIAL:
            ends = previous is not None and previous.type in ("NAME", "NUMBER", "RPAR", "RSQB")
            condition = text == "where" and self.ensuring and ends and len(self.open) == 1
            keyword = condition or _keyword(text, previous, self.open, self.item)
            if keyword and text == "const":
                self.consts.append(len(self.tokens))
            if keyword and text in ITEM_WORDS:
                self.item = text
            if keyword and text not in ("const", "where"):
                self.ensuring = text == "ensure" and self.item == "graph"
            if keyword:
                return text.upper()
        return "NAME"

    def _bracket(self, token: Token) -> None:
        text, previous = token.text, self.tokens[-1] if self.tokens else None
        if text in CLOSER:
            self.open.append(token)
            if len(self.open) > NESTING:
                raise Diagnostic(
                    "E-NESTING",
                    f"brackets are nested more than {NESTING} deep",
                    token.span,
                    "give the inner parts names of their own",
                )
            formula = self.item in ("op", "fn") or self.ensuring
            if formula and previous is not None and previous.text in BINDERS and text == "(":
                before = self.tokens[-2].type if len(self.tokens) > 1 else ""
                if previous.type == "NAME" and before not in ("OP", "FN"):
                    self.candidates.append(previous.position)
                    if self.ensuring:
                        self.ensured.add(previous.position)
            return
        if not self.open:
            raise Diagnostic(
                "E-BRACKET",
                f"`{text}` closes nothing",
                token.span,
                "remove it, or add the bracket that it should close",
            )
        opener = self.open.pop()
        if CLOSER[opener.text] != text:
            raise _wrong_bracket(opener, token)
        self.partner[opener.position] = token.position

    def _never_closed(self, opener: Token) -> Diagnostic:
        """What to say at the end of the text: where a new item begins inside braces, the brace is missing there."""
        for before, token in zip(self.tokens[opener.position :], self.tokens[opener.position + 1 :], strict=False):
            if opener.text == "{" and token.text in ITEM_WORDS and token.line > before.line and token.column == 1:
                return Diagnostic(
                    "E-BRACE",
                    f"expected `}}` before `{token.text}`: the `{{` of line {opener.line} is still open",
                    token.span,
                    "close the body above with `}`",
                )
        code = "E-BRACE" if opener.text == "{" else "E-BRACKET"
        return Diagnostic(
            code, f"`{opener.text}` is never closed", opener.span, f"add `{CLOSER[opener.text]}` where it ends"
        )


_SPECIAL = ITEM_WORDS | CLAUSE_WORDS | STATEMENT_WORDS | {"with", "const"}


def _keyword(text: str, previous: Token | None, opened: list[Token], item: str) -> bool:
    """Whether a word can be a keyword here: its kind can stand at this level, and no operand is awaited."""
    level = "".join(token.text for token in opened) if len(opened) < 3 else "..."
    if text == "with":
        return previous is not None and previous.type == "RUNS"
    if text == "at" and previous is not None and previous.type in ("JUMP", "LEAST"):
        return True
    if text == "const":
        return level == "(" and previous is not None and previous.text in "(,"
    if previous is not None and previous.type not in _ENDS:
        return False
    if text in ITEM_WORDS:
        return level == ""
    if text in STATEMENT_WORDS and (item == "graph" or text not in CLAUSE_WORDS):
        return level == "{" and item == "graph"
    return (level == "{" and item in ("op", "fn")) or (text == "where" and level == "" and item == "fn")


def _is_binder(tokens: Sequence[Token], position: int, partner: dict[int, int]) -> bool:
    """Whether `sum(`, `prod(`, `max(` or `min(` at `position` in a formula binds indices.

    sum and prod always do. max and min do where only indices stand in the brackets, unless there are just two names
    and no body follows: `max(a, b)` is the larger of two numbers, and so is `max(a, b) - c`.
    """
    if tokens[position].text in ("sum", "prod"):
        return True
    end = partner[position + 1]
    items, plain, here = 0, True, position + 2
    while here < end:
        items += 1
        if tokens[here].type not in ("NAME", "PACK"):
            return False
        plain = plain and tokens[here].type == "NAME"
        here += 1
        if tokens[here].text == "<":
            while here < end and tokens[here].text not in (",", "|"):
                here = partner.get(here, here) + 1
        if tokens[here].text == "|":
            return True
        if here < end and tokens[here].text != ",":
            return False
        here += 1
    if items == 0:
        return False
    if items != 2 or not plain:
        return True
    return _starts_body(tokens, end + 1, partner)


def _goes_on(tokens: Sequence[Token], end: int) -> bool:
    """Whether a body follows the bracket at `end` on its line."""
    return end + 1 < len(tokens) and tokens[end + 1].type in _BODY and tokens[end + 1].line == tokens[end].line


def _starts_body(tokens: Sequence[Token], here: int, partner: dict[int, int]) -> bool:
    if here >= len(tokens) or tokens[here].type not in _BODY:
        return False
    after = here + 1
    if after < len(tokens) and tokens[after].text == "[":
        after = partner[after] + 1
    equation = tokens[here].type == "NAME" and after < len(tokens) and tokens[after].text == "="
    return not equation


def _check_number(token: Token, text: str, end: int) -> None:
    following = text[end : end + 1]
    if following.isalnum() or following == "_":
        advice = "write a product with `*`: `2*x`" if following.isalpha() else "write digits only, without `_`"
        raise Diagnostic("E-NUMBER", f"a number runs into `{following}`", token.span, advice)


def _wrong_bracket(opener: Token, token: Token) -> Diagnostic:
    wanted = CLOSER[opener.text]
    if token.text == "}":
        message = f"`{opener.text}` is not closed before the `}}` of line {token.line}"
        return Diagnostic("E-BRACKET", message, opener.span, f"add `{wanted}` where it ends")
    return Diagnostic(
        "E-BRACKET",
        f"`{token.text}` where `{wanted}` was expected: `{opener.text}` of line {opener.line}, "
        f"column {opener.column} is still open",
        token.span,
        f"write `{wanted}` here, or close `{opener.text}` before it",
    )


def _bad_character(token: Token) -> Diagnostic:
    if token.text == '"':
        return Diagnostic("E-STRING", "the string is not closed on its line", token.span, 'end it with `"`')
    if token.text == "\0":
        return Diagnostic("E-ENCODING", "a NUL byte: this is not text", token.span, "is this the right file?")
    code = ord(token.text)
    shown = f"`{token.text}` (U+{code:04X})" if token.text.isprintable() else f"U+{code:04X}"
    return Diagnostic(
        "E-CHARACTER", f"the character {shown} means nothing here", token.span, _REPLACE.get(token.text, "")
    )


_REPLACE = {
    "≤": "write `<=`",
    "≥": "write `>=`",
    "≠": "write `!=`",
    "×": "write `*`",
    "·": "write `*`",
    "−": "write `-` (this is a different minus sign)",
    "→": "write `->`",
    "!": "write `not`, or `!=`",
    "&": "write `and`",
    "'": 'write `"` around a path; derivatives are named dx, dy',
    "\\": "newlines need no mark: just go on in the next line",
    "“": 'write `"`',
    "”": 'write `"`',
    ".": "packs have two dots, `s..`; a number has a digit after its dot",
}
