"""Rule proofs that are kept, to be replayed: what the checker accepts again need not be proved again.

A kept proof is a certificate of one operator, evidence for each of its claims. It is never believed: it must be about
exactly the operator that is asked for, encoded anew, and the checker replays it. An operator with a claim that rests
on a word is proved again each time.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from hashlib import sha256
from time import perf_counter
from typing import Any

import gradproof
from gradproof.compiler.claims import Claim, Verdict
from gradproof.compiler.graph import Graph
from gradproof.compiler.ops import OpDef
from gradproof.compiler.portable import Table
from gradproof.gate.store import Store, name_of
from gradproof.gate.versions import versions
from gradproof.gate.wire import Data, WireError, answer_data, read_answer
from gradproof.verifier.checker.main import check
from gradproof.verifier.checker.reading import canonical
from gradproof.verifier.checker.terms import Refused
from gradproof.verifier.evidence.certificate import Texts, body, certificate

KIND = "rules"
REPLAYED = "replayed from evidence"


def same_program(data: Data, ops: Iterable[OpDef], graphs: Sequence[Graph]) -> bool:
    """Whether a certificate that the checker accepted is about these operators and graphs, and nothing else."""
    table = Table()
    expected, _ = body(table, ops, graphs)
    plain = json.loads(canonical({**expected, "terms": table.entries}))
    terms = plain.pop("terms")
    return bool(data["terms"][: len(terms)] == terms and all(data[name] == value for name, value in plain.items()))


def replayed(store: Store, op: OpDef, claims: Sequence[Claim]) -> list[Verdict] | None:
    """Verdicts on all claims of an operator, where the checker accepts the proofs that were kept; else None."""
    started = perf_counter()

    def read(data: Any) -> list[Verdict] | None:
        try:
            accepted = check(data["proof"].encode())  # no word is accepted
        except Refused:
            return None
        if not same_program(accepted.data, [op], ()) or len(accepted.claims) != len(claims):
            return None
        found = [read_answer(one, claim) for one, claim in zip(data["verdicts"], claims, strict=True)]
        if any(verdict.answer != "proved" for verdict in found):
            raise WireError("a proof of something that is not proved")
        seconds = (perf_counter() - started) / len(found)
        return [replace(verdict, by=f"{verdict.by}, {REPLAYED}", seconds=seconds) for verdict in found]

    return store.get(KIND, _name(claims), read)


def keep(store: Store, op: OpDef, verdicts: Sequence[Verdict]) -> None:
    """Keep the proofs of all claims of an operator, where there is evidence for each. Nothing depends on it."""
    if store.folder is None or store.key is None or any(verdict.answer != "proved" for verdict in verdicts):
        return
    if all(verdict.by.startswith("replayed") for verdict in verdicts):
        return  # its evidence comes with gradproof
    try:
        content = certificate(Texts(""), [op], (), verdicts, gradproof.__version__)
        check(content)
    except MemoryError:
        raise
    except Exception:  # the search for evidence is not trusted with anything: without it, it is proved again
        return
    data = {"proof": content.decode(), "verdicts": [answer_data(verdict) for verdict in verdicts]}
    store.put(KIND, _name([verdict.claim for verdict in verdicts]), data)


def _name(claims: Sequence[Claim]) -> str:
    """Everything that the proof is about: the claims have digests of the definitions that they speak of."""
    version = sha256(json.dumps(versions(), sort_keys=True).encode()).hexdigest()
    return name_of(version, *(claim.key for claim in claims))
