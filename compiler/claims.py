"""Claims, verdicts and certificates: plain data that passes between compiler, verifier and runtime.

A claim says what must hold; it has a key that is a hash of everything its truth depends on. A verdict says what became
of it. A certificate is a set of proved claims with a seal: only the verifier can make one (see `Certificate`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from gradproof.grammar.source import Span

if TYPE_CHECKING:
    from gradproof.compiler.plan import Plan

CODES = ("WF", "SHAPE", "EDGE", "JVP", "VJP", "KINK", "RUNS", "DOM", "FWD", "DENSE", "PLAN", "POST", "GRAD", "SYMM")
Answer = Literal["proved", "refuted", "unknown"]


@dataclass(frozen=True, slots=True)
class Claim:
    """A statement to be proved: its code, what it is about, and a digest of all that its truth depends on."""

    code: str
    kind: str  # "op" or "graph"
    subject: str  # the name of the operator or the graph
    text: str  # the statement, in the user's names
    digest: str  # of the operator's definition, or of the graph with its definitions
    span: Span | None = None

    @property
    def key(self) -> str:
        """What a certificate is looked up by."""
        return f"{self.code}:{self.kind}:{self.subject}:{self.digest}:{self.text}"


@dataclass(frozen=True, slots=True)
class Counterexample:
    """A point where the claim fails, replayed: dims and values by the user's names, and the two results there."""

    dims: Mapping[str, int]
    values: Mapping[str, Any]  # nested lists of rationals or sums of square roots as text, integers or booleans
    expected: str
    got: str
    replayed: bool
    note: str = ""


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """What a proof leaned on, and how it was discharged (empty: it was not, and then nothing is proved)."""

    text: str
    discharged: str

    def __str__(self) -> str:
        return f"{self.text} ({self.discharged})" if self.discharged else f"{self.text} (NOT discharged)"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a claim. Exactly one of three answers; unknown always has a reason."""

    claim: Claim
    answer: Answer
    by: str  # "normal form", "z3", "normal form + z3", "interval", "structure", ...
    scope: str  # "all sizes", or the sizes it holds for
    seconds: float
    hypotheses: tuple[Hypothesis, ...] = ()
    counterexample: Counterexample | None = None
    reason: str = ""
    advice: tuple[str, ...] = ()  # what to write instead

    @property
    def trusts(self) -> tuple[str, ...]:
        """What the proof takes on trust, or leaves to a check on every run: externs and their laws."""
        return tuple(str(h) for h in self.hypotheses if h.discharged.startswith(("trusted", "checked")))

    def __post_init__(self) -> None:
        if self.answer == "proved" and any(not h.discharged for h in self.hypotheses):
            raise ValueError(f"a proof with an open hypothesis: {self.claim.key}")
        if self.answer == "refuted" and self.counterexample is None:
            raise ValueError(f"a refutation without a counterexample: {self.claim.key}")
        if self.answer == "unknown" and not self.reason:
            raise ValueError(f"an unknown without a reason: {self.claim.key}")


def digest(*parts: str) -> str:
    """A short stable hash of texts (order and boundaries matter)."""
    state = hashlib.sha256()
    for part in parts:
        data = part.encode()
        state.update(len(data).to_bytes(8, "big") + data)
    return state.hexdigest()[:32]


_SEAL = object()


@dataclass(frozen=True, slots=True)
class Certificate:
    """Proved claims, by key. Made by `issue` only, which only verifier/discharge.py may call (a test holds it).

    `plans` are those that PLAN was proved of, where the proof came with plans: by a graph's digest and a mode.
    """

    proved: Mapping[str, Verdict]
    _seal: object = field(default=None, repr=False, compare=False)
    plans: Mapping[tuple[str, str], Plan] = field(default_factory=lambda: MappingProxyType({}))

    def __post_init__(self) -> None:
        if self._seal is not _SEAL:
            raise TypeError("a certificate can only be issued by the verifier")

    def missing(self, claims: tuple[Claim, ...]) -> tuple[Claim, ...]:
        """The claims that this certificate does not cover with a proof of exactly that claim."""
        return tuple(c for c in claims if not self._covers(c))

    def _covers(self, claim: Claim) -> bool:
        verdict = self.proved.get(claim.key)
        return verdict is not None and verdict.answer == "proved" and verdict.claim.key == claim.key


def issue(verdicts: tuple[Verdict, ...], plans: Mapping[tuple[str, str], Plan] | None = None) -> Certificate:
    """Seal the proved verdicts, and plans that were proved right; for the verifier alone."""
    proved = MappingProxyType({v.claim.key: v for v in verdicts if v.answer == "proved"})
    return Certificate(proved, _SEAL, MappingProxyType(dict(plans or {})))
