"""`gradproof explain`: what a code means, and what was proved about a line."""

from __future__ import annotations

import json
import re
from argparse import Namespace
from typing import TYPE_CHECKING

from gradproof.codes import FAMILIES, Code, codes, nearest, of_family, page
from gradproof.compiler.claims import Verdict
from gradproof.paths import SUFFIX, Text, one
from gradproof.report.json import obligation
from gradproof.report.text import explained
from gradproof.usage import UsageError

if TYPE_CHECKING:
    from gradproof.places import Place


PLACE = re.compile(r"(.+?):(\d+)(?::\d+)?")  # as editors and compilers write it: FILE:LINE or FILE:LINE:COLUMN


def explain(args: Namespace) -> tuple[str, bool]:
    """What the command prints, and whether all that it speaks of is proved; UsageError where nothing is called so."""
    if args.what is None:
        return every_code(args.format), True
    place = PLACE.fullmatch(args.what)
    if place is not None:
        return about_line(one(place[1]), int(place[2]), args.timeout, args.format)
    if args.what.endswith(SUFFIX):
        raise UsageError(f"{args.what}: which line? write {args.what}:1")
    return about_code(args.what, args.format), True


def about_line(text: Text, line: int, timeout: float, form: str) -> tuple[str, bool]:
    """What was proved about a line, by what evidence, under which hypotheses; and whether all of it is proved."""
    from gradproof.places import place_at

    found = place_at(text, line, timeout)
    if form == "markdown":
        raise UsageError("a place is told as text or as JSON")
    return (_place_data(found) if form == "json" else _place_text(found)), all(
        v.answer == "proved" for v in found.verdicts
    )


def _place_text(place: Place) -> str:
    where = f"{place.span.source.path}:{place.span.line}"
    lines = [f"{where}, in {place.inside}" if place.inside else where, place.span.excerpt(), place.what]
    for part in place.parts:
        lines += ["", *([part.head] if part.head else [])]
        lines += [line for verdict in part.verdicts for line in _verdict_lines(verdict)]
        lines += [] if part.verdicts else ["  nothing is claimed"]
    if place.under:
        lines += ["", "under", *(f"  {hypothesis}" for hypothesis in place.under)]
    failed = [v for v in place.verdicts if v.answer != "proved"]
    for text in explained(failed):
        lines += ["", text]
    return "\n".join(lines)


def _verdict_lines(verdict: Verdict) -> list[str]:
    claim = verdict.claim
    by = "; ".join(filter(None, (verdict.scope, verdict.by)))
    lines = [f"  {verdict.answer:8} {claim.code:5} {claim.text}", f"{'':17}{by}" if by else ""]
    lines += [f"{'':17}leans on {hypothesis}" for hypothesis in dict.fromkeys(map(str, verdict.hypotheses))]
    return [line for line in lines if line.strip()]


def _place_data(place: Place) -> str:
    return _json(
        {
            "version": 1,
            "path": place.span.source.path,
            "line": place.span.line,
            "text": place.span.source.line(place.span.line),
            "inside": place.inside,
            "what": place.what,
            "parts": [{"about": p.head, "obligations": [obligation(v) for v in p.verdicts]} for p in place.parts],
            "under": list(place.under),
        }
    )


def every_code(form: str) -> str:
    """All codes with a sentence each, or the whole of docs/codes.md."""
    if form == "markdown":
        return page().rstrip("\n")
    if form == "json":
        return _json({"version": 1, "codes": [_data(one) for one in codes().values()]})
    width = max(map(len, codes()))
    lines = []
    for family, title in FAMILIES.items():
        lines += [title, *(f"  {one.code:{width}}  {one.short()}" for one in of_family(family)), ""]
    return "\n".join([*lines, "`gradproof explain CODE` says more, `gradproof explain FILE:LINE` what is proved."])


def about_code(name: str, form: str) -> str:
    """The page of one code; UsageError with the nearest ones where there is none of this name."""
    known = codes()
    found = next(
        (known[c] for c in (name, *(f"{kind}{name.upper()}" for kind in ("", "E-", "W-", "G-"))) if c in known), None
    )
    if found is None:
        close = nearest(name)
        meant = f"did you mean {' or '.join(close)}?" if close else "`gradproof explain` lists the codes"
        raise UsageError(f"nothing is called {name!r}; {meant} (a place is FILE:LINE)")
    if form == "json":
        return _json({"version": 1, **_data(found)})
    return (found.markdown() if form == "markdown" else _plain(found)).rstrip("\n")


def _data(one: type[Code]) -> dict[str, str]:
    said = one.sections()
    return {
        "code": one.code,
        "short": one.short(),
        "why": said.get("Why", ""),
        "example": said["Example"],
        "instead": said["Instead"],
        "markdown": one.markdown(),
    }


def _plain(one: type[Code]) -> str:
    """The page as text: programs are indented, headings stand alone."""
    lines, inside = [], False
    for line in one.markdown().splitlines():
        fence = re.match(r"```(?:\w+)?(.*)", line)
        if fence:
            inside = not inside
            lines += [f"  {fence[1].strip()}:"] if fence[1].strip().endswith(".gproof") else []
            continue
        lines.append(f"    {line}" if inside and line else re.sub(r"^#+ ", "", line))
    return "\n".join(lines)


def _json(data: object) -> str:
    return json.dumps(data, indent=2, ensure_ascii=False)
