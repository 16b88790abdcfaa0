"""Syntax errors by name: what was expected, and what to do, in the user's words.

Each function below knows one mistake: it looks at the place where the parser stopped and returns a diagnostic, or None.
The first one that recognises its mistake speaks; `unexpected` speaks where none does. (Mistakes with brackets and
single characters are found while the text is cut, in tokens.py.)
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from gradproof.grammar.advice import FOREIGN, MISPLACED, meant, one_of
from gradproof.grammar.source import Diagnostic, Span
from gradproof.grammar.tokens import CLAUSE_WORDS, ITEM_WORDS, STATEMENT_WORDS, Token, Tokens

_OPERAND = frozenset({"NAME", "NUMBER", "LPAR"})
_ENDS_OPERAND = frozenset({"NAME", "PACK", "NUMBER", "RPAR", "RSQB"})


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the parser stopped, and what it could have taken there."""

    cut: Tokens
    position: int
    expected: frozenset[str]

    def at(self, offset: int) -> Token | None:
        """The token `offset` places further; None beyond either end."""
        here = self.position + offset
        return self.cut.tokens[here] if 0 <= here < len(self.cut.tokens) else None

    def type(self, offset: int = 0) -> str:
        """Its type; empty beyond either end."""
        token = self.at(offset)
        return token.type if token else ""

    def text(self, offset: int = 0) -> str:
        """Its text; empty beyond either end."""
        token = self.at(offset)
        return token.text if token else ""

    def span(self, offset: int = 0) -> Span:
        """Its span; at the end of the text, what follows the last token."""
        token = self.at(offset)
        if token:
            return token.span
        last = self.cut.tokens[-1].span
        return Span(self.cut.source, last.end_line, last.end_column, last.end_line, last.end_column + 1)

    def item(self) -> Token | None:
        """The keyword of the item that the place is in."""
        words = {word.upper() for word in ITEM_WORDS}
        tokens = self.cut.tokens[: self.position]
        return next((token for token in reversed(tokens) if token.type in words), None)

    def item_type(self) -> str:
        """OP, FN, GRAPH, DIM, ...; empty before the first item."""
        found = self.item()
        return found.type if found else ""

    def name_before(self) -> int:
        """The offset of the name that ends just before this place: of `x` in `x =` and in `x[i] =`; 0 if none."""
        here = -1
        if self.type(here) == "RSQB":
            here = self.opener() - self.position - 1
        return here if self.type(here) == "NAME" else 0

    def opener(self) -> int:
        """The position of the bracket that the token before this place closes."""
        return next((a for a, b in self.cut.partner.items() if b == self.position - 1), 0)

    def operand_expected(self) -> bool:
        """Whether an expression could begin here."""
        return self.expected >= _OPERAND

    def error(self, code: str, message: str, advice: str, offset: int = 0) -> Diagnostic:
        """A diagnostic at the token `offset` places further."""
        return Diagnostic(code, _short(message), self.span(offset), _short(advice))


def explain(cut: Tokens, position: int, expected: Collection[str]) -> Diagnostic:
    """The diagnostic for the token at `position`, where the terminals `expected` could have stood."""
    place = _Place(cut, position, frozenset(expected))
    for mistake in MISTAKES:
        found = mistake(place)
        if found:
            return found
    return unexpected(place)


def no_item(place: _Place) -> Diagnostic | None:
    """Something that begins no item: `def f(x)`, `return` outside of a graph, a misspelt `grpah`."""
    if not {"OP", "GRAPH"} <= place.expected or place.expected & {"SIGN", "RBRACE"} or not place.at(0):
        return None
    word, before = place.text(), place.at(-1)
    advice = FOREIGN.get(word) or MISPLACED.get(word) or meant(word, ITEM_WORDS)
    if not advice and before and before.type in _ENDS_OPERAND and before.line == place.span().line:
        return _side_by_side(place, 0)
    advice = advice or "a file is a list of `dim`, `fn`, `op`, `graph`, `use` and `infix`"
    return place.error("E-ITEM", f"`{word}` begins no item", advice)


def after_item(place: _Place) -> Diagnostic | None:
    """Something that begins no item where the item above could also have gone on: `dim B graf f(...)`."""
    if not {"OP", "GRAPH", "SIGN"} <= place.expected or place.type() != "NAME":
        return None
    word = place.text()
    advice = FOREIGN.get(word) or MISPLACED.get(word) or meant(word, ITEM_WORDS | {"where"})
    return place.error("E-ITEM", f"`{word}` begins no item", advice) if advice else None


def wrong_word(place: _Place) -> Diagnostic | None:
    """A statement or clause that begins with a word of no meaning there: `requires n >= 1`, `return y` in an `op`."""
    if place.type() not in ("NAME", "NUMBER", "STRING", "LPAR", "NOT", "MINUS") or place.type(-1) != "NAME":
        return None
    if "EQUAL" not in place.expected or "LBRACE" in place.expected or place.operand_expected():
        return None
    word = place.text(-1)
    words = STATEMENT_WORDS if place.item_type() == "GRAPH" else CLAUSE_WORDS
    kind = "statement" if place.item_type() == "GRAPH" else "clause"
    advice = MISPLACED.get(word) or FOREIGN.get(word) or meant(word, words)
    return place.error("E-WORD", f"`{word}` begins no {kind}", advice, -1) if advice else None


def no_sign(place: _Place) -> Diagnostic | None:
    """Two operands side by side: `y = 2 x[i]`, which reads as a new equation for `x`."""
    here = 0
    awaited = "EQUAL" in place.expected and "COMMA" not in place.expected  # an input's default is no equation
    if awaited and place.type() != "EQUAL" and place.text() != "==":
        here = place.name_before()
    elif "SIGN" not in place.expected or place.expected & {"COMMA", "COLON"} or place.type() not in _OPERAND:
        return None
    name, before = place.at(here), place.at(here - 1)
    if name is None or before is None or before.type not in _ENDS_OPERAND or name.line != before.line:
        return None
    return _side_by_side(place, here)


def _side_by_side(place: _Place, here: int) -> Diagnostic:
    message = f"no sign between `{place.text(here - 1)}` and `{place.text(here)}`"
    return place.error("E-SIGN", message, "write a product with `*`", here)


def unfinished(place: _Place) -> Diagnostic | None:
    """A line that ends in a sign: `let m = 2 *`, so that the next equation is read as its operand."""
    here = place.name_before()
    name, before = place.at(here), place.at(here - 1)
    if place.type() != "EQUAL" or here == 0 or name is None or before is None or name.line == before.line:
        return None
    if before.type not in ("SIGN", "MINUS", "EQUAL", "COMMA", "NOT"):
        return None
    return place.error("E-UNFINISHED", f"nothing follows `{before.text}`", "finish the line, or remove it", here - 1)


def no_target(place: _Place) -> Diagnostic | None:
    """A call as a statement: `relu(x)` in a graph."""
    if place.type() != "LPAR" or place.type(-1) != "NAME" or "EQUAL" not in place.expected:
        return None
    if place.item_type() != "GRAPH" or "COLON" not in place.expected or place.text(-1) in FOREIGN | MISPLACED:
        return None
    return place.error("E-TARGET", "a statement gives its result a name", f"write `h = {place.text(-1)}(...)`", -1)


def missing_arrow(place: _Place) -> Diagnostic | None:
    """`graph f(x: f32[]) {`: no result type."""
    if "ARROW" not in place.expected:
        return None
    graph = place.item_type() == "GRAPH"
    wanted = "the results' types: `-> f32[] {`" if graph else "the result's axes: `-> [S..] {`"
    return place.error("E-ARROW", f"expected `->`, {_found(place)}", f"after the inputs come {wanted}")


def arrow_in_fn(place: _Place) -> Diagnostic | None:
    """`fn f(x) -> real = x`."""
    if place.type() != "ARROW" or place.item_type() != "FN":
        return None
    return place.error("E-ARROW", "a `fn` has no result type", "write `fn f(x) = ...`, or an `op` with axes")


def missing_body(place: _Place) -> Diagnostic | None:
    """`op f(x: [n]) -> [n] y[i] = x[i]`: no braces."""
    if "LBRACE" not in place.expected:
        return None
    if place.item_type() == "FN":
        return place.error(
            "E-BODY", f"expected `=` or `{{`, {_found(place)}", "write `fn f(x) = ...` or `fn f(x) { ... }`"
        )
    if "NAME" in place.expected and len(place.expected) > 2:
        return None
    return place.error("E-BRACE", f"expected `{{`, {_found(place)}", "the body stands in braces: `{ ... }`")


def missing_type(place: _Place) -> Diagnostic | None:
    """An input without a type: `graph f(x, y: f32[])`, `op f(x) -> [n]`."""
    if place.expected != {"COLON"} or place.type(-1) != "NAME" or place.item_type() not in ("OP", "GRAPH"):
        return None
    name = place.text(-1)
    example = f"{name}: f32[B]" if place.item_type() == "GRAPH" else f"{name}: [S..]"
    return place.error("E-TYPE", f"the input `{name}` has no type", f"write `{example}`", -1)


def missing_shape(place: _Place) -> Diagnostic | None:
    """A type without its brackets: `x: f32`."""
    if place.expected != {"LSQB"} or place.type(-1) != "NAME":
        return None
    word = place.text(-1)
    advice = f"write `{word}[]` for a scalar, `{word}[B, D]` for a matrix"
    if place.item_type() == "OP":
        advice = f"write `[{word}]` for one axis of that size, `[]` for a scalar, `[S..]` for any shape"
    return place.error("E-TYPE", f"`{word}` needs brackets with its shape", advice, -1)


def typed_fn(place: _Place) -> Diagnostic | None:
    """`fn f(x: real) = ...`."""
    if place.type() != "COLON" or place.item_type() != "FN" or place.expected != {"COMMA", "RPAR"}:
        return None
    return place.error(
        "E-TYPE", "the inputs of a `fn` are bare names", "write `fn f(x, y) = ...`, or an `op` with axes"
    )


def empty_binder(place: _Place) -> Diagnostic | None:
    """`sum(j)` with nothing behind it."""
    if not place.operand_expected() or place.type(-1) != "RPAR":
        return None
    opener = place.opener()
    head = place.cut.tokens[opener - 1]
    if head.type != "BINDER":
        return None
    inside = "".join(token.text for token in place.cut.tokens[opener + 1 : place.position - 1]).replace(",", ", ")
    shown = f"{head.text}({inside})" if len(inside) < 30 else f"{head.text}(...)"
    advice = "an index and then what is taken together: `sum(j) x[j]`; sums of whole tensors belong in a graph"
    return Diagnostic("E-BINDER", f"`{shown}` has no body", head.span, advice)


def equals_in_condition(place: _Place) -> Diagnostic | None:
    """`assume n = 3`."""
    if place.type() != "EQUAL" or place.type(-1) not in _ENDS_OPERAND or "EQUAL" in place.expected:
        return None
    return place.error("E-EQUALS", "`=` can't stand here", "a comparison is written `==`; a definition has one `=`")


def double_equals(place: _Place) -> Diagnostic | None:
    """`y[i] == x[i]` as a definition."""
    if place.text() != "==" or "EQUAL" not in place.expected:
        return None
    return place.error("E-EQUALS", "`==` compares, and here a name gets its meaning", "write `=`")


def update(place: _Place) -> Diagnostic | None:
    """`h += x`, `h := x`."""
    if place.text() == "=" and place.text(-1) == ":":
        return place.error("E-EQUALS", "`:=` is no sign", "write `=`", -1)
    if place.text(1) == "=" and place.text() in ("+", "-", "*", "/") and "EQUAL" in place.expected:
        sign, name = place.text(), place.text(-1)
        return place.error("E-EQUALS", "values never change", f"write a new name: `{name}2 = {name} {sign} ...`")
    return None


def missing_comma(place: _Place) -> Diagnostic | None:
    """`f(a b)`, `[n m]`."""
    if "COMMA" not in place.expected or place.type(-1) not in _ENDS_OPERAND:
        return None
    if place.type() not in ("NAME", "PACK", "NUMBER", "BINDER", "CONST"):
        return None
    return place.error("E-COMMA", f"expected `,` before `{place.text()}`", "separate values with `,`, or write a sign")


def trailing_comma(place: _Place) -> Diagnostic | None:
    """`f(a, )`."""
    if place.type(-1) != "COMMA" or place.type() not in ("RPAR", "RSQB", "RBRACE", "") or "NAME" not in place.expected:
        return None
    return place.error("E-COMMA", "nothing follows the comma", "remove it", -1)


def reserved(place: _Place) -> Diagnostic | None:
    """A keyword as a name: `y = sum(j) at[j]`."""
    word, following = place.text(), place.text(1)
    keywords = ITEM_WORDS | CLAUSE_WORDS | STATEMENT_WORDS | {"and", "or", "not"}
    if "NAME" not in place.expected or word not in keywords or place.type() == "NAME":
        return None
    if word not in ("and", "or", "not") and following not in ("[", "+", "-", "*", "/", "^", ")", ",", "=", ":"):
        return None
    if word in ("and", "or") and place.operand_expected():
        return place.error("E-SIGN", f"`{word}` has nothing on its left", "write an expression before it")
    return place.error("E-WORD", f"`{word}` is a keyword here", "choose another name")


def bar(place: _Place) -> Diagnostic | None:
    """`a | b`, `a || b`."""
    if place.type() != "VBAR":
        return None
    return place.error(
        "E-SIGN", "`|` only separates a binder's indices from its condition", "write `or`; |x| is `abs(x)`"
    )


def plus_in_front(place: _Place) -> Diagnostic | None:
    """`+x`."""
    if place.type() != "SIGN" or not place.operand_expected():
        return None
    if place.text() == "*" and place.text(-1) in ("*", "**"):
        return place.error("E-SIGN", "`***` is no sign", "a power is `^` or `**`")
    advice = "a plus in front is left out" if place.text() == "+" else "write what it takes on its left"
    return place.error("E-SIGN", f"`{place.text()}` needs an operand on its left", advice)


def indexed_value(place: _Place) -> Diagnostic | None:
    """`f(x)[0]`."""
    if place.type() != "LSQB" or place.type(-1) not in ("RPAR", "RSQB"):
        return None
    return place.error("E-INDEX", "only a name can be read at an index", "give the value a name first")


def foreign_word(place: _Place) -> Diagnostic | None:
    """`x if x > 0 else 0`, `for j in n`."""
    for offset in (0, -1):
        word = place.text(offset)
        if word in FOREIGN and place.type(offset) == "NAME":
            return place.error("E-WORD", f"`{word}` means nothing here", FOREIGN[word], offset)
    return None


def unquoted(place: _Place) -> Diagnostic | None:
    """`use layers`, `infix + add`."""
    if place.expected != {"STRING"} or place.at(0) is None:
        return None
    example = 'use "layers.gproof"' if place.text(-1) == "use" else 'infix "+" add'
    return place.error("E-STRING", f'expected a text in `"`, {_found(place)}', f"write `{example}`")


def missing_operand(place: _Place) -> Diagnostic | None:
    """`return`, `x +`, with nothing behind."""
    before = place.at(-1)
    if not place.operand_expected() or place.type() not in ("RPAR", "RSQB", "RBRACE", "") or before is None:
        return None
    if before.text in ("(", "[", "|"):
        return None
    return place.error("E-UNFINISHED", f"expected an expression after `{before.text}`", "finish it, or remove it", -1)


def missing_result(place: _Place) -> Diagnostic | None:
    """`op f(x: [n]) -> { ... }`."""
    if place.type(-1) != "ARROW":
        return None
    graph = place.item_type() == "GRAPH"
    advice = "write `-> f32[]` for a scalar" if graph else "write `-> []` for a scalar, `-> [S..]` for any shape"
    return place.error("E-ARROW", f"nothing follows `->`, {_found(place)}", advice)


def missing_value(place: _Place) -> Diagnostic | None:
    """`at x = 0 0`."""
    if not {"COLON", "SIGN"} <= place.expected:
        return None
    return place.error("E-AT", f"expected `:`, {_found(place)}", "write `at x = 0: value`")


def unexpected(place: _Place) -> Diagnostic:
    """What could have stood here, where no named mistake fits."""
    return place.error("E-SYNTAX", f"expected {one_of(place.expected)}, {_found(place)}", _unfinished(place))


MISTAKES: tuple[Callable[[_Place], Diagnostic | None], ...] = (
    no_item,
    after_item,
    arrow_in_fn,
    update,
    double_equals,
    unfinished,
    no_target,
    wrong_word,
    foreign_word,
    missing_body,
    no_sign,
    missing_arrow,
    missing_type,
    missing_shape,
    typed_fn,
    reserved,
    empty_binder,
    indexed_value,
    equals_in_condition,
    bar,
    trailing_comma,
    unquoted,
    missing_result,
    missing_value,
    missing_operand,
    missing_comma,
    plus_in_front,
)


def _short(text: str) -> str:
    return text if len(text) <= 240 else f"{text[:160]} ... {text[-60:]}"


def _found(place: _Place) -> str:
    token = place.at(0)
    if token is None:
        return "but the text ends"
    return f"found `{token.text if len(token.text) <= 40 else token.text[:37] + '...'}`"


def _unfinished(place: _Place) -> str:
    item = place.item()
    if place.at(0) is not None or item is None:
        return ""
    name = place.cut.tokens[item.position + 1].text if item.position + 1 < len(place.cut.tokens) else ""
    return f"finish `{item.text} {name}`".rstrip(" `") + "`"
