"""einsum: its string is parsed into an operator, a sum of products in index notation, proved like any other.

`einsum("bij,bjk->bik", a, b)`. A letter is an index, a letter that the result lacks is summed over, one that stands
twice in an operand walks its diagonal, `...` stands for any number of axes, the same in every operand that has it, and
without `->` the result has the letters that stand once, in alphabetical order (NumPy's rules; extents that share a
letter must be equal, none is stretched).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from gradproof.compiler.ops import OpDef
from gradproof.compiler.stanzas import define
from gradproof.grammar.parse import parse
from gradproof.grammar.source import Diagnostic, Source, Span
from gradproof.grammar.syntax import Op, Text

ELLIPSIS = "..."
_CLASH = {"y", "g", "d"}  # letters that mean something else in a stanza: the result, the cotangent, a tangent


@dataclass(frozen=True, slots=True)
class Equation:
    """The letters (and `...`) of each operand's axes, and of the result's."""

    operands: tuple[tuple[str, ...], ...]
    result: tuple[str, ...]

    def __str__(self) -> str:
        return f"{','.join(map(''.join, self.operands))}->{''.join(self.result)}"

    @property
    def name(self) -> str:
        """The operator's unique name."""
        return f'einsum("{self}")'


def einsum(text: Text, count: int) -> OpDef:
    """The operator that an einsum of `count` tensors means; Diagnostic with a caret into the string."""
    equation = _equation(text)
    given = len(equation.operands)
    if given != count:
        groups, tensors = (f"{k} {what}{'' if k == 1 else 's'}" for k, what in ((given, "group"), (count, "tensor")))
        message = f"`{text.value}` has {groups} of letters for {tensors}"
        raise Diagnostic("E-EINSUM", message, text.span, 'one group for each tensor: `"ij,jk->ik"`')
    return _operator(equation)


@lru_cache(maxsize=1024)
def _operator(equation: Equation) -> OpDef:
    (stanza,) = parse(Source(equation.name, stanza_text(equation))).items
    if not isinstance(stanza, Op):
        raise TypeError("an einsum is an operator")
    found = define(stanza)
    return OpDef(
        equation.name,
        found.attrs,
        found.params,
        found.output,
        found.forward,
        found.span,
        doc=f"{equation.name}: a sum of products.",
        source=found.source,
    )


def stanza_text(equation: Equation) -> str:
    """The stanza of an equation."""
    names = [f"x{k}" for k in range(1, len(equation.operands) + 1)]
    inputs = [f"{n}: [{', '.join(map(_size, axes))}]" for n, axes in zip(names, equation.operands, strict=True)]
    reads = [f"{n}[{', '.join(map(_index, axes))}]" for n, axes in zip(names, equation.operands, strict=True)]
    summed = [letter for letter in _letters(equation.operands) if letter not in equation.result]
    binder = f"sum({', '.join(map(_index, summed))}) " if summed else ""
    result = ", ".join(map(_size, equation.result))
    left = ", ".join(map(_index, equation.result))
    return f"op einsum({', '.join(inputs)}) -> [{result}] {{\n  y[{left}] = {binder}{' * '.join(reads)}\n}}\n"


def _letters(operands: tuple[tuple[str, ...], ...]) -> list[str]:
    return list(dict.fromkeys(letter for axes in operands for letter in axes))


def _size(letter: str) -> str:
    return "E.." if letter == ELLIPSIS else f"n_{letter}"


def _index(letter: str) -> str:
    if letter == ELLIPSIS:
        return "e_.."
    return f"{letter}_" if letter in _CLASH else letter


def _equation(text: Text) -> Equation:
    left, arrow, right = text.value.partition("->")
    operands: list[tuple[str, ...]] = []
    start = 0
    for group in left.split(","):
        operands.append(_axes(group, start, text))
        start += len(group) + 1
    known = _letters(tuple(operands))
    if arrow:
        result = _axes(right, len(left) + 2, text)
        _check_result(result, known, right, len(left) + 2, text)
    else:
        every = [letter for axes in operands for letter in axes]
        once = sorted(x for x in known if x != ELLIPSIS and every.count(x) == 1)
        result = (*([ELLIPSIS] if ELLIPSIS in known else []), *once)
    return Equation(tuple(operands), result)


def _axes(group: str, start: int, text: Text) -> tuple[str, ...]:
    """The letters of one operand, `...` as one of them."""
    axes: list[str] = []
    k = 0
    while k < len(group):
        here = ELLIPSIS if group.startswith(ELLIPSIS, k) else group[k]
        if here == ELLIPSIS and ELLIPSIS in axes:
            raise _wrong(text, start + k, 3, "`...` stands twice in one operand", "leave one of them out")
        if here != ELLIPSIS and not here.isspace() and not (here.isascii() and here.isalpha()):
            raise _wrong(text, start + k, 1, f"`{here}` is no index", "an index is one letter, a-z or A-Z")
        if not here.isspace():
            axes.append(here)
        k += len(here)
    return tuple(axes)


def _check_result(result: tuple[str, ...], known: list[str], right: str, start: int, text: Text) -> None:
    for letter in result:
        place = start + right.index(letter)
        if letter not in known:
            raise _wrong(text, place, len(letter), f"`{letter}` is in no operand", "the result's letters are operands'")
        if result.count(letter) > 1:
            place = start + right.rindex(letter)
            raise _wrong(text, place, len(letter), f"`{letter}` stands twice in the result", "name each axis once")


def _wrong(text: Text, offset: int, width: int, message: str, advice: str) -> Diagnostic:
    """An error at a place of the string; the span starts behind its opening quote."""
    span, column = text.span, text.span.column + 1 + offset
    return Diagnostic("E-EINSUM", message, Span(span.source, span.line, column, span.line, column + width), advice)


TEXTUAL: dict[str, Callable[[Text, int], OpDef]] = {"einsum": einsum}
