"""Lines, blank lines and comments: each comment keeps its place above a line or at the end of one, and none is lost.

A comment inside a statement moves above it; one among the inputs of an item gives each input a line of its own. Blank
lines are kept (one at most) between items, statements and comments; an item of several lines gets one on either side.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from gradproof.grammar import syntax as tree
from gradproof.grammar.source import Span
from gradproof.grammar.tokens import Comment

INDENT = "  "
WIDTH = 120  # longer lines are folded
Position: TypeAlias = tuple[int, int]
Part: TypeAlias = tuple[str, Span]  # a text, and the stretch of the source that it stands for


@dataclass(frozen=True, slots=True)
class Line:
    """A text (may be of several lines), and where it stands in the source.

    Comments before `lead` stand above it, those after `end` in the same line of the source behind it.
    """

    text: str
    start: Position
    lead: Position
    end: Position
    indent: int = 0
    loose: bool = False  # whether blank lines above it are kept


@dataclass(frozen=True, slots=True)
class Page:
    """What is known of the text that a tree came from: its lines and comments (none where the tree was built)."""

    lines: Sequence[str]
    comments: Sequence[Comment]

    def commented(self, first: Position, last: Position) -> bool:
        """Whether a comment stands between two positions."""
        return bisect_left(self.comments, (*first, "")) < bisect_right(self.comments, (*last, ""))

    def brace(self, item: tree.Item) -> Position:
        """Where the `{` of an item stands."""
        line, column = max([_start(item.span), *(_end(part.span) for part in _header(item))])
        while line <= len(self.lines):
            code = self.lines[line - 1].split("#")[0]
            found = code.find("{", column - 1)
            if found >= 0:
                return line, found + 1
            line, column = line + 1, 1
        return _start(item.span)


def _start(span: Span) -> Position:
    return span.line, span.column


def _end(span: Span) -> Position:
    return span.end_line, span.end_column


def _header(item: tree.Item) -> Sequence[Any]:
    match item:
        case tree.GraphDef():
            return (*item.inputs, *item.results)
        case tree.Op():
            return (*item.attrs, *item.params, *item.result)
        case tree.Fn():
            return item.attrs
    return ()


def whole(text: str, span: Span) -> Line:
    """An item, a clause or a statement on a line of its own."""
    return Line(text, _start(span), _end(span), _end(span))


def arrange(item: tree.Item, header: tuple[str, Sequence[Part], str], body: Sequence[Part], page: Page) -> list[Line]:
    """The lines of an item with braces; its inputs stand in the header's line if they fit and have no comments."""
    head, inputs, tail = header
    short = head + ", ".join(text for text, _ in inputs) + tail
    start, brace, end = _start(item.span), page.brace(item), _end(item.span)
    lines = [Line(short, start, start, brace)]
    if inputs and (len(short) > WIDTH or page.commented(start, brace)):
        attrs = item.attrs if isinstance(item, tree.Op) else ()
        lines = [Line(head, start, start, _end(attrs[-1].span) if attrs else start)]
        lines += [replace(whole(f"{text},", span), indent=1) for text, span in inputs]
        lines.append(Line(tail, brace, brace, brace))
    closing = end[0], end[1] - 1
    lines += [replace(whole(text, span), indent=1, loose=True) for text, span in body]
    return [*lines, Line("}", closing, closing, closing)]


def render(file: tree.File, block: Callable[[tree.Item, Page], list[Line]]) -> str:
    """The text of a file: `block` gives each item's lines."""
    page = Page(file.span.source.text.splitlines(), file.comments)
    writer = _Writer(file.comments)
    blocks = list(_merged((item, block(item, page)) for item in file.items))
    previous: tuple[tree.Item, bool] | None = None
    for number, (item, lines) in enumerate(blocks):
        following = blocks[number + 1][1][0].start if number + 1 < len(blocks) else _NEVER
        long = bool(_doc(item)) or len(lines) > 1
        apart = previous is not None and (long or previous[1] or type(previous[0]) is not type(item))
        writer.item(item, lines, following, apart)
        previous = item, long
    writer.comments_before(_NEVER)
    return "".join(f"{line}\n" for line in writer.out)


_NEVER = (1 << 60, 0)


def _merged(blocks: Iterator[tuple[tree.Item, list[Line]]]) -> Iterator[tuple[tree.Item, list[Line]]]:
    """`dim A` and `dim B` that stand on one line of the source become `dim A, B`."""
    held: tuple[tree.Item, list[Line]] | None = None
    for item, lines in blocks:
        if held and isinstance(item, tree.DimDecl) and isinstance(held[0], tree.DimDecl) and item.span.source.text:
            (last,), (line,) = held[1], lines
            text = f"{last.text}, {line.text.removeprefix('dim ')}"
            if last.end[0] == line.start[0] and len(text) <= WIDTH:
                held = held[0], [Line(text, last.start, line.lead, line.end)]
                continue
        if held:
            yield held
        held = item, lines
    if held:
        yield held


def _doc(item: tree.Item) -> list[str]:
    text = item.doc if isinstance(item, tree.Fn | tree.Op | tree.GraphDef) else ""
    return [f"# {line}".rstrip() for line in text.split("\n")] if text else []


def _doc_line(comment: str) -> str:
    return f"# {comment.removeprefix('#').removeprefix(' ')}".rstrip()


# Where a long line is folded, the best places first: behind a comma, before a sign; each only outside inner brackets.
_FOLDS = (r",()[ ]", r"[ ]()(?:and|or)[ ]", r"[ ]()[-+][ ]", r"[ ]()[*/@][ ]", r"=()[ ]")


def _folded(text: str, margin: str) -> Iterator[str]:
    """The text in lines of at most WIDTH columns where there are places to fold it, the later ones after `margin`."""
    while len(text) > WIDTH:
        depth, levels = 0, []
        for char in text:
            depth += (char in "([{") - (char in ")]}")
            levels.append(depth)
        places = (
            (levels[found.start()], rank, -found.start(1))
            for rank, fold in enumerate(_FOLDS)
            for found in re.finditer(fold, text[: WIDTH + 1])
            if found.start() > WIDTH // 3
        )
        best = min(places, default=None)
        if best is None:
            break
        yield text[: -best[2]].rstrip()
        text = margin + text[-best[2] :].lstrip()
    yield text


class _Writer:
    """The text so far, the comments still to come, and the line of the source that was written last."""

    def __init__(self, comments: Sequence[Comment]) -> None:
        self.out: list[str] = []
        self.comments = deque(comments)
        self.last: int | None = None  # None where no blank line may follow

    def item(self, item: tree.Item, lines: list[Line], following: Position, apart: bool) -> None:
        """Write an item; `apart` asks for a blank line between it and what is above."""
        doc, first = _doc(item), lines[0]
        lead = self._take(first.lead)
        line = first.start[0]
        if doc and [_doc_line(text) for _, _, text in lead[-len(doc) :]] == doc:
            lead, line = lead[: -len(doc)], line - len(doc)
        above = [*((place, text) for place, _, text in lead), (line, "")]
        ends = [self.last or line, *(place for place, _ in above)]
        gaps = [place - end > 1 for end, (place, _) in zip(ends, above, strict=False)]
        if lead and isinstance(item, tree.Fn | tree.Op | tree.GraphDef):
            gaps[-1] = True  # else the comment would become its doc
        if apart and not any(gaps):
            gaps[0] = True
        for gap, (_, text) in zip(gaps, above, strict=True):
            self.out += [""] if gap and self.out else []
            self.out += [text] if text else []
        self.out += doc
        self.last = None
        self._line(first, lines[1].start if len(lines) > 1 else following)
        for number, inner in enumerate(lines[1:], 2):
            self.comments_before(inner.lead, 1)
            if inner.loose:
                self._gap(inner.start[0])
            self._line(inner, lines[number].start if number < len(lines) else following)
            self.last = inner.end[0] if inner.loose else None
        self.last = lines[-1].end[0]

    def comments_before(self, position: Position, indent: int = 0) -> None:
        """Write the comments that stand before a position."""
        for line, _, text in self._take(position):
            self._gap(line)
            self.out.append(INDENT * indent + text)
            self.last = line

    def _gap(self, line: int) -> None:
        if self.last is not None and line - self.last > 1:
            self.out.append("")

    def _take(self, position: Position) -> list[Comment]:
        taken = []
        while self.comments and self.comments[0][:2] < position:
            taken.append(self.comments.popleft())
        return taken

    def _line(self, line: Line, following: Position) -> None:
        margin = INDENT * line.indent
        text = "\n".join(_folded(margin + line.text, margin + 2 * INDENT))
        behind = self.comments[0] if self.comments else None
        if behind and behind[0] == line.end[0] and line.end <= behind[:2] < following:
            text += f"  {self.comments.popleft()[2]}"
        self.out.append(text)
