"""Inputs made from honest ones by small changes of their structure, and what must be true of any input.

A text, a certificate's bytes, or a certificate's data with all hashes made again: each is accepted or refused with a
reason, in time, with no other error. Every decision is drawn from `Draws`, which a seed or a fuzzer's bytes feed, so
that tests (seeds) and `make fuzz` (atheris, guided by coverage, where it is installed) walk the same ways.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any, Protocol, TypeVar

from forging import GATHER, MODEL, Data, certificate, opened, replayed, sealed, with_tables, within
from gradproof.compiler.elaborate import load_text
from gradproof.grammar.parse import parse
from gradproof.grammar.printer import print_file
from gradproof.grammar.source import Diagnostic, Source
from gradproof.verifier import discharge
from gradproof.verifier.checker.main import check
from gradproof.verifier.checker.terms import Refused

T = TypeVar("T")
ROOT = Path(__file__).parent.parent
TEXTS = sorted([*ROOT.glob("examples/*.gproof"), *ROOT.glob("tests/cases/soundness/*.gproof")])
PIECES = re.compile(r"\w+|\.\.|\s+|.")
NOISE = (
    *"(){}[]=,:;|^*/+-<>!#@.'\"\\~?$%&\t\n\0\ufeff\u202e\u0456",
    *(
        "==",
        "<=",
        "..",
        "->",
        " op ",
        " fn ",
        " graph ",
        " dim ",
        " sum(i) ",
        " max(j) ",
        " select(",
        " require ",
        " let ",
    ),
    *(
        "0",
        "1",
        "-1",
        "1e9",
        "0.1",
        "10^10^10",
        "9" * 50,
        "x" * 300,
        "(" * 60,
        "[" * 60,
        "- " * 60,
        " at ",
        " jump at ",
    ),
)
ODD: tuple[Any, ...] = (None, "", 0, 1, -1, 2**31, 10**390, "z3", "x", "0", "1/0", [], {}, [[]], ["num", "1"], "\u202e")
SECONDS = 20  # for one input; an honest one takes a fraction of a second


class Draws(Protocol):
    """Where decisions come from."""

    def below(self, n: int) -> int:
        """A number of 0, 1, ... n - 1."""
        ...


class Seeded:
    """Decisions by a seed."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)

    def below(self, n: int) -> int:
        """A number of 0, 1, ... n - 1."""
        return self._random.randrange(n)


def choice(draws: Draws, options: Sequence[T]) -> T:
    """One of the options."""
    return options[draws.below(len(options))]


# Texts ----------------------------------------------------------------------------------------------------------------


def text(draws: Draws) -> str:
    """Part of an honest text, its pieces dropped, doubled, swapped or replaced."""
    whole = choice(draws, TEXTS).read_text(encoding="utf-8")
    stanzas = re.split(r"\n(?=op |fn |graph |# )", whole)
    start = draws.below(len(stanzas))
    pieces = PIECES.findall("\n".join(stanzas[start : start + 1 + draws.below(4)])) or [" "]
    for _ in range(draws.below(5)):
        place = draws.below(len(pieces))
        match draws.below(5):
            case 0:
                del pieces[place]
            case 1:
                pieces.insert(place, pieces[place])
            case 2:
                other = draws.below(len(pieces))
                pieces[place], pieces[other] = pieces[other], pieces[place]
            case 3:
                pieces[place] = choice(draws, pieces)
            case _:
                pieces.insert(place, choice(draws, NOISE))
        pieces = pieces or [" "]
    return "".join(pieces)


def read(draws: Draws) -> None:
    """A text is elaborated or refused at a place; what is printed of it is the same text again."""
    made = text(draws)
    with within(SECONDS):
        try:
            printed = print_file(parse(Source("fuzz.gproof", made)))
            assert print_file(parse(Source("fuzz.gproof", printed))) == printed, made
            load_text(made, "fuzz.gproof")
        except Diagnostic as problem:
            assert str(problem).strip(), made


# Certificates ---------------------------------------------------------------------------------------------------------


def bytes_changed(draws: Draws) -> None:
    """Bytes changed without the hashes: never accepted, and refused with a reason."""
    honest = certificate(choice(draws, (MODEL, GATHER)))
    content = bytearray(honest)
    for _ in range(1 + draws.below(3)):
        place = draws.below(len(content))
        match draws.below(4):
            case 0:
                content[place] ^= 1 + draws.below(255)
            case 1:
                del content[place : place + 1 + draws.below(40)]
            case 2:
                content[place:place] = bytes(content[place : place + draws.below(40)])
            case _:
                content[place : place + 1] = bytes([draws.below(256)])
        content = content or bytearray(b" ")
    with within(SECONDS):
        try:
            check(bytes(content), True)
        except Refused as problem:
            assert str(problem) and str(problem).isprintable()
        else:
            assert bytes(content) == honest


def places(data: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) of the data."""
    found: list[tuple[Any, Any]] = []
    todo = [data]
    while todo:
        value = todo.pop()
        keys = list(value) if isinstance(value, dict) else range(len(value))
        for key in keys:
            found.append((value, key))
            if isinstance(value[key], dict | list):
                todo.append(value[key])
    return found


def data_changed(draws: Draws) -> Data:
    """The data of a certificate, changed at a few places, its tables made again."""
    data = opened(certificate(choice(draws, (MODEL, GATHER))))
    for _ in range(1 + draws.below(3)):
        part = choice(draws, ("terms", "ops", "graphs", "claims", "terms", "ops", "graphs"))
        found = places(data[part]) if isinstance(data.get(part), dict | list) else []
        if not found:
            continue
        holder, key = choice(draws, found)
        match draws.below(7):
            case 0:
                del holder[key]
            case 1 if isinstance(holder, list):
                holder.insert(key, holder[draws.below(len(holder))])
            case 2:
                other, place = choice(draws, found)
                holder[key] = other[place] if not isinstance(other[place], dict | list) else _copied(other[place])
            case 3 if isinstance(holder[key], int):
                holder[key] += choice(draws, (1, -1, 2))
            case 4 if isinstance(holder[key], int):
                holder[key] = draws.below(max(1, len(data["terms"]) if isinstance(data["terms"], list) else 1))
            case 5 if isinstance(holder, list):
                other_key = draws.below(len(holder))
                holder[key], holder[other_key] = holder[other_key], holder[key]
            case _:
                holder[key] = choice(draws, ODD)
    return with_tables(data)


def _copied(value: Any) -> Any:
    import json

    return json.loads(json.dumps(value))


def forged(draws: Draws) -> None:
    """Data changed and all hashes made again: refused, or what is replayed of it is also what the verifier proves."""
    data = data_changed(draws)
    try:
        content = sealed(data)
    except Refused:
        return
    with within(10 * SECONDS):
        shown = set(replayed(content))
        honest = any(content == certificate(one) for one in (MODEL, GATHER))
        if not shown or honest:
            return
        try:
            graphs, _ = discharge.replay(content, True)
        except Refused:
            return  # this version would run something else
        for verdict in discharge.verify((), tuple(graphs.values())):
            claim = verdict.claim
            if (claim.code, claim.subject, claim.text) in shown:
                assert verdict.answer == "proved", (claim.code, claim.subject, verdict.reason)


TARGETS: dict[str, Callable[[Draws], None]] = {"text": read, "bytes": bytes_changed, "data": forged}
