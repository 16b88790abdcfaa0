"""`gradproof explain`: what a code means."""

from __future__ import annotations

import json
import re
from argparse import Namespace

from gradproof.codes import FAMILIES, Code, codes, nearest, of_family, page
from gradproof.usage import UsageError


def explain(args: Namespace) -> str:
    """What the command prints; UsageError where nothing is called so."""
    return about_code(args.what, args.format) if args.what else every_code(args.format)


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
    found = next((known[c] for c in (name, name.upper(), f"E-{name.upper()}", f"W-{name.upper()}") if c in known), None)
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
