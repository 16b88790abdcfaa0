"""The codes of diagnostics and obligations: one class a code, whose docstring is its page everywhere.

`gradproof explain CODE`, docs/codes.md and the help of SARIF all show these docstrings; tests run each Example, which
gives exactly this code, and each Instead, which does not. A docstring is a first line that says what the code means,
then sections: Why, Example, Instead.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from difflib import get_close_matches
from functools import cache
from importlib import import_module
from typing import ClassVar

FAMILIES = {
    "text": "Reading a text",
    "syntax": "Syntax",
    "names": "Names, files and sizes",
    "formulas": "Formulas",
    "stanzas": "Operators",
    "graphs": "Graphs and loops",
    "builder": "The builder in Python",
    "gate": "The gate",
    "rules": "Obligations of operators",
    "structure": "Obligations of graphs",
}


class Code:
    """A kind of mistake, or of obligation: its page is the docstring of its class."""

    code: ClassVar[str]

    @classmethod
    def sections(cls) -> dict[str, str]:
        """The page taken apart: "" is what it says, then Why, Example and Instead, in Markdown."""
        first, *rest = re.split(r"^## (.+)$", inspect.cleandoc(cls.__doc__ or ""), flags=re.MULTILINE)
        return {"": first.strip(), **{rest[k]: rest[k + 1].strip() for k in range(0, len(rest), 2)}}

    @classmethod
    def short(cls) -> str:
        """What the code means, in one sentence."""
        return " ".join(cls.sections()[""].split("\n\n")[0].split())

    @classmethod
    def markdown(cls, level: int = 1) -> str:
        """The page, with headings from this level on."""
        said = cls.sections()
        parts = [f"{'#' * level} {cls.code}", said.pop("")]
        for title, body in said.items():
            parts += [f"{'#' * (level + 1)} {title}", body]
        return "\n\n".join(parts) + "\n"


@cache
def codes() -> Mapping[str, type[Code]]:
    """Every code's class, family by family."""
    return {one.code: one for family in FAMILIES for one in of_family(family)}


def of_family(family: str) -> tuple[type[Code], ...]:
    """The classes of one module of this package, in the order of its text."""
    module = import_module(f"gradproof.codes.{family}")
    return tuple(
        one for one in vars(module).values() if isinstance(one, type) and issubclass(one, Code) and one is not Code
    )


def help_of(code: str) -> tuple[str, str]:
    """A sentence and a page in Markdown on a code; KeyError where there is no such code."""
    found = codes()[code]
    return found.short(), found.markdown()


def nearest(code: str) -> list[str]:
    """The codes that this one may have been meant to be."""
    known = {re.sub(r"^[EWG]-", "", name): name for name in codes()}
    word = re.sub(r"^[EWG]-", "", code.upper().replace("_", "-"))
    return [known[match] for match in get_close_matches(word, known, n=3, cutoff=0.5)]


def page() -> str:
    """docs/codes.md: all codes in Markdown, family by family."""
    parts = [
        "# Codes\n",
        "Every diagnostic and every obligation has a code; `gradproof explain CODE` prints its page. This file is\n"
        "written by `gradproof explain --format markdown` from the docstrings in driver/codes/; tests run each\n"
        "Example (it gives exactly that code) and each Instead (it is accepted and proved).\n",
    ]
    for family, title in FAMILIES.items():
        parts.append(f"## {title}\n")
        parts += [one.markdown(3) for one in of_family(family)]
    return "\n".join(parts)
