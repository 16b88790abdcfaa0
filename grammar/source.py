"""Source text, spans in it, and excerpts with a caret: from the first token to the last error."""

from __future__ import annotations

from dataclasses import dataclass, field

WIDTH = 120  # the longest excerpt of a line


@dataclass(frozen=True, slots=True)
class Source:
    """A text with the path it came from (`<text>` where there is none)."""

    path: str
    text: str = field(repr=False)

    def line(self, number: int) -> str:
        """Line `number` (from 1) without its end; empty where there is no such line."""
        lines = self.text.splitlines()
        return lines[number - 1] if 0 < number <= len(lines) else ""


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of a source: lines and columns from 1, the end exclusive."""

    source: Source = field(compare=False, repr=False)
    line: int
    column: int
    end_line: int
    end_column: int

    def __str__(self) -> str:
        return f"{self.source.path}:{self.line}:{self.column}"

    def excerpt(self) -> str:
        """The line with a caret under the span's first line; of a very long line, the part around the caret."""
        text = "".join(char if char.isprintable() else " " for char in self.source.line(self.line))
        stop = self.end_column if self.end_line == self.line else len(text) + 1
        width = max(1, min(stop, len(text) + 1) - self.column)
        before, after = "", ""
        column = self.column - 1
        if len(text) > WIDTH:
            start = max(0, column - WIDTH // 2)
            before, after = "..." * (start > 0), "..." * (start + WIDTH < len(text))
            text, column = text[start : start + WIDTH], column - start
            width = min(width, WIDTH - column) or 1
        margin = f"{self.line} | {before}"
        return f"{margin}{text}{after}\n{' ' * (len(margin) + column)}{'^' * width}"


BUILTIN = Span(Source("<builtin>", ""), 1, 1, 1, 1)


class Diagnostic(Exception):
    """The user's text is at fault: a code, what is wrong, where, and what to do about it."""

    def __init__(self, code: str, message: str, span: Span | None, advice: str = "") -> None:
        super().__init__(message)
        self.code, self.message, self.span, self.advice = code, message, span, advice

    def __str__(self) -> str:
        where = f"{self.span}: " if self.span else ""
        lines = [f"{where}error[{self.code}]: {self.message}"]
        if self.span and self.span.source.text:
            lines.append(self.span.excerpt())
        if self.advice:
            lines.append(f"help: {self.advice}")
        return "\n".join(lines)
