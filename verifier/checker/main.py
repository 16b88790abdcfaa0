"""Check certificates: which claims they prove by evidence that was replayed here, and which rest on a word."""

from __future__ import annotations

import io
import sys
from collections import Counter
from typing import Any, NamedTuple

from .claims import compare
from .evidence import METHODS, Checked
from .reading import canonical, load, parse
from .terms import STEPS, STEPS_A_BYTE, Refused, allow, printable

WORDS = {"z3": "Z3's word", "verifier": "the verifier's word"}
USAGE = "usage: check [--allow-trusted] [--format text|json] FILE.gpc..."


class Accepted(NamedTuple):
    """A certificate that was accepted: its data, and each claim with how it was shown, in order."""

    data: dict[str, Any]
    claims: list[tuple[dict[str, Any], str]]

    def counts(self) -> tuple[int, int, int]:
        """How many claims were replayed, rest on Z3's word, and on the verifier's."""
        by = Counter(how if how in WORDS else "" for _, how in self.claims)
        return by[""], by["z3"], by["verifier"]


def check(content: bytes, allow_trusted: bool = False) -> Accepted:
    """Check everything that a certificate claims; Refused, with one line of reason, where something does not hold."""
    allow(STEPS + STEPS_A_BYTE * len(content))
    try:
        data = parse(content)
        checked = Checked(data)
        found = []
        for claim, position, about in compare(data):
            evidence = claim["evidence"]
            by = evidence.get("by") if type(evidence) is dict else None
            method = METHODS.get((claim["kind"], str(by)))
            where = f"{claim['code']} of {claim['subject']}"
            if type(by) is not str or (method is None and by not in WORDS):
                raise Refused(f"{where}: its evidence is of no known kind")
            if method is not None:
                try:
                    method(checked, claim, position, about, evidence)
                except Refused as problem:
                    raise Refused(f"{where}: {problem}") from None
            elif not allow_trusted:
                raise Refused(f"{where} rests on {WORDS[by]}, and --allow-trusted was not given")
            elif evidence.keys() != {"by"}:
                raise Refused(f"{where}: more is said than whose word it is")
            found.append((claim, by))
        return Accepted(data, found)
    except (
        LookupError,
        TypeError,
        ValueError,
        AttributeError,
        ArithmeticError,
        RecursionError,
        StopIteration,
        MemoryError,
    ) as error:
        raise Refused(f"it is not formed as a certificate: {type(error).__name__}: {str(error)[:80]!r}") from None
    finally:
        allow(float("inf"))  # what searches for evidence uses the same code


def main(argv: list[str]) -> int:
    """Check files; 0: all accepted, 1: one is refused, 2: wrong usage."""
    allow, style, paths = False, "text", list[str]()
    words = iter(argv)
    for word in words:
        if word == "--allow-trusted":
            allow = True
        elif word == "--format":
            style = next(words, "")
        elif word.startswith("-"):
            style = ""
        else:
            paths.append(word)
    if not paths or style not in ("text", "json"):
        print(USAGE, file=sys.stderr)
        return 2
    results = [{**_result(path, allow), "path": printable(path)} for path in paths]
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a name may hold what the terminal can't show
    if style == "json":
        sys.stdout.write(canonical(results).decode())
    else:
        print("\n".join(printable(line) for result in results for line in _lines(result)))
    return int(any(r["answer"] != "proved" for r in results))


def _result(path: str, allow: bool) -> dict[str, Any]:
    try:
        accepted = check(load(path), allow)
    except Refused as problem:
        return {"answer": "refused", "reason": str(problem)}
    replayed, z3, verifier = accepted.counts()
    word = [[c["code"], c["subject"], c["text"], how] for c, how in accepted.claims if how in WORDS]
    counts = {"claims": len(accepted.claims), "replayed": replayed, "verifier": verifier, "z3": z3}
    return {"answer": "proved", "trusted": accepted.data["trusted"], "word": word, **counts}


def _lines(result: dict[str, Any]) -> list[str]:
    if result["answer"] == "refused":
        return [f"{result['path']}: refused: {result['reason']}"]
    counts = "{claims} claims: {replayed} replayed, {z3} on Z3's word, {verifier} on the verifier's word".format(
        **result
    )
    lines = [f"{result['path']}: proved: {counts}"]
    lines += [
        f"  trusted, by the word of {how}: {code} of {subject}: {text}" for code, subject, text, how in result["word"]
    ]
    lines += [f"  trusted: {op} leans on {', '.join(k)} having {'; '.join(laws)}" for op, k, laws in result["trusted"]]
    return lines
