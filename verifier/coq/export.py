"""What is exported of a verification as Coq, what is not, and why."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path

from gradproof.compiler.claims import Claim
from gradproof.verifier.asked import Asked, Identity
from gradproof.verifier.coq.forms import NotExported
from gradproof.verifier.coq.theorems import Theorem, identity, integers

LENGTH = 400_000  # characters of one theorem; coqc reads about 50 kB a second
PREAMBLE = Path(__file__).with_name("preamble.v")
NAME = "THEOREM_"  # the beginning of every theorem's name until it has its number
ONE_TERM = "both sides are one term"


@dataclass(slots=True)
class Kind:
    """The obligations of one kind: how many there are, how many were exported, and why the others were not."""

    total: int = 0
    exported: int = 0
    left_out: Counter[str] = field(default_factory=Counter)


class Collector:
    """Obligations as they come up, each once, as theorems."""

    def __init__(self) -> None:
        self.theorems: list[Theorem] = []
        self.identities, self.integers, self.reals = Kind(), Kind(), Kind()
        self._seen: set[object] = set()

    def identity(self, found: Identity) -> None:
        """An identity of terms that was proved."""
        key = (found.left, found.right, found.generic)
        if key in self._seen:
            return
        self._seen.add(key)
        self.identities.total += 1
        try:
            if found.left == found.right:
                raise NotExported(ONE_TERM)
            name, lower = _name(found.claim), found.context.lower
            self._keep(found.claim, identity(name, found.left, found.right, lower, found.generic))
        except NotExported as reason:
            self.identities.left_out[str(reason)] += 1
        else:
            self.identities.exported += 1

    def asked(self, question: Asked) -> str:
        """A question to the solver; those that follow from their hypotheses are obligations."""
        if question.goal is None or question.status != "unsat":
            return ""
        key = (question.goal, question.hypotheses, question.reals)
        if key in self._seen:
            return ""
        self._seen.add(key)
        kind = self.reals if question.reals else self.integers
        kind.total += 1
        try:
            if question.reals:
                raise NotExported("cases on comparisons of reals: gradproof export-smt has them")
            self._keep(question.claim, integers(_name(question.claim), question.goal, question.hypotheses))
        except NotExported as reason:
            kind.left_out[str(reason)] += 1
        else:
            kind.exported += 1
        return ""

    def _keep(self, claim: Claim | None, theorem: Theorem) -> None:
        if len(theorem.text) > LENGTH:
            raise NotExported(f"its proof would be longer than {LENGTH // 1000} kB")
        place = ""
        if claim is not None:
            place = f"{claim.code} of {claim.kind} {claim.subject}: {claim.text}".replace("*)", "* )")
            place = f"(* {place.replace('(*', '( *')} *)\n"
        self.theorems.append(replace(theorem, text=place + theorem.text))

    def texts(self, parts: int = 1) -> list[str]:
        """The theorems in order, as so many files of about one length at most; each needs nothing but Coq."""
        preamble = PREAMBLE.read_text(encoding="utf-8")
        whole = sum(len(theorem.text) for theorem in self.theorems)
        files: list[list[str]] = [[]]
        length = 0
        for k, theorem in enumerate(self.theorems, start=1):
            if files[-1] and length + len(theorem.text) / 2 > whole * len(files) / parts:
                files.append([])
            files[-1].append(theorem.text.replace(NAME, f"T{k}_"))
            length += len(theorem.text)
        return ["\n".join([preamble, *file]) for file in files]


def _name(claim: Claim | None) -> str:
    if claim is None:
        return f"{NAME}search"
    return NAME + re.sub(r"[^A-Za-z0-9]+", "_", f"{claim.subject}_{claim.code}").strip("_")
