"""The prelude's own certificates: what they prove of an operator is replayed by the checker, and not proved again.

One certificate lies beside each family's text. Its claims about an operator count where the operator is the one at
hand, rules and all; what rests on a word there is left to be proved.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

from gradproof.compiler.claims import Verdict
from gradproof.compiler.laws import trusts
from gradproof.compiler.obligations import claims_of_op, op_digest
from gradproof.compiler.ops import OpDef
from gradproof.compiler.portable import Table
from gradproof.compiler.portable_reader import Reader
from gradproof.grammar import source
from gradproof.grammar.source import Source
from gradproof.verifier.checker.claims import compare
from gradproof.verifier.checker.evidence import METHODS, Checked
from gradproof.verifier.checker.operators import Op
from gradproof.verifier.checker.reading import load
from gradproof.verifier.checker.reading import parse as parsed
from gradproof.verifier.checker.terms import Refused, decode

FOLDER = Path(source.__file__).parent / "prelude"
SUFFIX = ".gpc"


class _Family(NamedTuple):
    """A certificate that was read: its parts, and its claims by the operator that they are about, in order."""

    checked: Checked
    claims: dict[str, list[tuple[dict[str, Any], int, Any]]]


@lru_cache(maxsize=64)
def _family(path: str) -> _Family | None:
    """The certificate beside a family's text; None where there is none that can be read."""
    file = Path(path).with_suffix(SUFFIX)
    if file.parent != FOLDER or not file.is_file():
        return None
    try:
        data = parsed(load(str(file)))
        claims: dict[str, list[tuple[dict[str, Any], int, Any]]] = {}
        for claim in compare(data):
            claims.setdefault(claim[0]["subject"], []).append(claim)
        return _Family(Checked(data), claims)
    except (Refused, LookupError, TypeError, ValueError):
        return None


def replayed(op: OpDef) -> dict[str, Verdict]:
    """The verdicts that the prelude's certificate gives on an operator, by the keys of the claims; none for others."""
    family = _family(op.span.source.path)
    if family is None or op.name not in family.claims or not _same(op, family):
        return {}
    found: dict[str, Verdict] = {}
    for claim, (said, position, about) in zip(claims_of_op(op), family.claims[op.name], strict=True):
        by = said["evidence"].get("by")
        method = METHODS.get(("op", str(by)))
        if method is None or said["code"] != claim.code:
            continue
        started = perf_counter()
        try:
            method(family.checked, said, position, about, said["evidence"])
        except (Refused, LookupError, TypeError, ValueError):
            continue
        leaning = trusts(op) if claim.code != "SHAPE" else ()
        seconds = perf_counter() - started
        found[claim.key] = Verdict(claim, "proved", f"replayed: {by}", "all sizes", seconds, leaning)
    return found


def _same(op: OpDef, family: _Family) -> bool:
    """Whether the certificate's operator is this one, and its rules are those that run here."""
    data = family.checked.data
    table = Table()
    own = table.op(op)
    try:
        there = Reader(data["terms"], Source("<prelude>", "")).op(data["ops"][op.name])
        if op_digest(there) != op_digest(op) or own["rules"] is None:
            return False
        mine = Op(own, decode(table.entries))
        theirs = family.checked.op(op.name)
    except (Refused, LookupError, TypeError, ValueError):
        return False
    apart = ("_nodes", "rules")  # places in a table; what they stand for is in `computed`
    return all(getattr(mine, key) == getattr(theirs, key) for key in vars(mine) if key not in apart)
