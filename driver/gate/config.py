"""`[tool.gradproof]` in pyproject.toml: what the gate is asked for, every mistake in it told with its line."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from gradproof.compiler.claims import CODES
from gradproof.grammar.source import Diagnostic, Source, Span
from gradproof.usage import UsageError

FILE = "pyproject.toml"
TABLE = ("tool", "gradproof")
HEADER = re.compile(r"^\s*\[\[?\s*([^\]]+?)\s*\]\]?\s*(#.*)?$")


@dataclass(frozen=True, slots=True)
class Ignore:
    """Failures that are known and accepted: of this code, in these files, about this subject, for this reason."""

    code: str
    path: str
    subject: str
    reason: str
    line: int


@dataclass(frozen=True, slots=True)
class Config:
    """The settings; their defaults are those of a repository that says nothing."""

    root: Path
    file: Path | None = None
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    timeout: float = 10.0
    order: int = 1
    jobs: int = 0  # 0: one for each core
    memory: int = 0  # MiB for one worker; 0: no limit
    select: tuple[str, ...] = ()
    ignore: tuple[Ignore, ...] = ()
    allow_trusted: bool = False
    certificates: bool = False  # whether each file must have one beside it


KEYS = tuple(f.name.replace("_", "-") for f in fields(Config) if f.name not in ("root", "file"))


def find(start: Path, named: str | None = None) -> Config:
    """The settings of `named`, or of the nearest pyproject.toml at or above `start` that has some.

    UsageError for a file that can't be read, an unknown key, or a value of the wrong type.
    """
    if named is not None:
        return read(Path(named))
    start = start.resolve()
    for folder in (start, *start.parents):
        file = folder / FILE
        if file.is_file() and TABLE[1] in _parse(file, _text(file)).get(TABLE[0], {}):
            return read(file)
    return Config(start)


def read(file: Path) -> Config:
    """The settings in one file; those of a file without our table are the defaults."""
    text = _text(file)
    tool = _parse(file, text).get(TABLE[0], {})
    table = tool.get(TABLE[1], {}) if isinstance(tool, dict) else {}
    reader = _Reader(Source(str(file), text))
    if not isinstance(table, dict):
        raise reader.error(TABLE[1], "a table is expected here", "write [tool.gradproof]")
    root = file.resolve().parent
    return Config(root, file, **reader.values(table))


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{file}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise UsageError(f"{file}: this is no UTF-8 text") from None


def _parse(file: Path, text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{file}: {error}; TOML is expected") from None


class _Reader:
    """Values with their types; mistakes with their lines."""

    def __init__(self, source: Source) -> None:
        self.source = source

    def values(self, table: Mapping[str, Any]) -> dict[str, Any]:
        for key in table:
            if key not in KEYS:
                near = get_close_matches(key, KEYS, n=1)
                meant = f"did you mean `{near[0]}`?" if near else f"the keys are {', '.join(KEYS)}"
                raise self.error(key, f"`{key}` is no setting of gradproof", meant)
        found = {key.replace("-", "_"): self.value(key, value) for key, value in table.items()}
        return found

    def value(self, key: str, value: Any) -> Any:
        match key:
            case "include" | "exclude":
                return self.texts(key, value, 'a list of patterns: ["models/", "**/*.gproof"]')
            case "select":
                codes = self.texts(key, value, 'a list of codes: ["JVP", "VJP"]')
                self.codes(key, codes)
                return codes
            case "timeout":
                return self.number(key, value, "a positive number of seconds", lambda x: 0 < x < 1e6)
            case "order":
                return self.integer(key, value, "a number from 1 to 4", 1, 4)
            case "jobs":
                return self.integer(key, value, "a number of processes; 0 is one for each core", 0, 1024)
            case "memory":
                return self.integer(key, value, "MiB for one process, 512 or more; 0 is no limit", 0, 1 << 24)
            case "ignore":
                return self.ignores(key, value)
        if not isinstance(value, bool):
            raise self.error(key, f"`{key}` is {value!r}", "true or false is expected")
        return value

    def texts(self, key: str, value: Any, expected: str) -> tuple[str, ...]:
        if not isinstance(value, list) or not all(isinstance(one, str) and one for one in value):
            raise self.error(key, f"`{key}` is {value!r}", f"expected is {expected}")
        return tuple(value)

    def codes(self, key: str, codes: Sequence[str], line: int | None = None) -> None:
        for code in codes:
            if code not in CODES:
                raise self.error(key, f"`{code}` is no obligation", f"the codes are {', '.join(CODES)}", line)

    def number(self, key: str, value: Any, expected: str, fits: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not fits(value):
            raise self.error(key, f"`{key}` is {value!r}", f"expected is {expected}")
        return float(value)

    def integer(self, key: str, value: Any, expected: str, low: int, high: int) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise self.error(key, f"`{key}` is {value!r}", f"expected is {expected}")
        if key == "memory" and 0 < value < 512:
            raise self.error(key, f"`{key}` is {value}", f"expected is {expected}")
        return value

    def ignores(self, key: str, value: Any) -> tuple[Ignore, ...]:
        advice = 'write { code = "DOM", path = "legacy/*.gproof", reason = "..." }'
        if not isinstance(value, list):
            raise self.error(key, f"`{key}` is {value!r}", f"expected is a list of tables: {advice}")
        return tuple(self.ignore(key, one, k, advice) for k, one in enumerate(value))

    def ignore(self, key: str, one: Any, position: int, advice: str) -> Ignore:
        line = self.line_of_ignore(position)
        known = ("code", "path", "subject", "reason")
        if not isinstance(one, dict) or not all(isinstance(text, str) for text in one.values()):
            raise self.error(key, f"`{key}` holds {one!r}", f"{advice}, all of them texts", line)
        for name in one:
            if name not in known:
                raise self.error(key, f"`{name}` is nothing that an ignore has", f"it has {', '.join(known)}", line)
        if not one.get("reason", "").strip():
            raise self.error(key, "something is ignored without a reason", f"say why: {advice}", line)
        if not one.get("code"):
            raise self.error(key, "an ignore names the code that it is about", advice, line)
        self.codes(key, [one["code"]], line)
        return Ignore(one["code"], one.get("path", "*"), one.get("subject", ""), one["reason"].strip(), line)

    def line_of_ignore(self, position: int) -> int:
        """The line of the ignore at this position: its own header, or its `{`, or the key."""
        start = self.line_of("ignore")
        headers = [n for n, line in enumerate(self.lines(), 1) if re.match(r"^\s*\[\[\s*tool\.gradproof\.ignore", line)]
        if position < len(headers):
            return headers[position]
        braces = [n for n, line in enumerate(self.lines(), 1) if n >= start for _ in range(line.count("{"))]
        return braces[position] if position < len(braces) else start

    def lines(self) -> list[str]:
        return self.source.text.splitlines()

    def line_of(self, key: str) -> int:
        """The line that sets a key, as well as can be told from the text."""
        written = rf"""['"]?{re.escape(key)}['"]?\s*[=.]"""
        forms = {
            "tool.gradproof": rf"\s*{written}",
            "tool": rf"\s*gradproof\s*(=$|\.\s*{written}|=.*{written}|=(?!.*=))",
            "": rf"\s*tool\s*\.\s*gradproof.*{written}",
        }
        section, header = "", 1
        for number, line in enumerate(self.lines(), 1):
            if match := HEADER.match(line):
                section = re.sub(r"""\s|['"]""", "", match[1])
                header = number if section == "tool.gradproof" else header
                if section == f"tool.gradproof.{key}":
                    return number
            elif section in forms and re.match(forms[section], line):
                return number
        return header

    def error(self, key: str, message: str, advice: str, line: int | None = None) -> UsageError:
        number = self.line_of(key) if line is None else line
        text = self.source.line(number)
        column = max(0, text.find(key)) + 1
        span = Span(self.source, number, column, number, column + max(1, len(key)))
        return UsageError(str(Diagnostic("G-CONFIG", message, span, advice)))
