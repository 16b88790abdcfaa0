"""What a strategy reports of a claim: proved by which means under which hypotheses, or why not."""

from __future__ import annotations

from dataclasses import dataclass

from gradproof.compiler.claims import Hypothesis

ALL_SIZES = "all sizes"  # the scope of a claim that is proved for every size and rank


@dataclass(frozen=True, slots=True)
class Proof:
    """Proved, by which means and under which hypotheses; or not, and why.

    `transversal` tells the search for a counterexample to KINK that all ties are surfaces with inner points beside.
    """

    proved: bool
    by: str
    hypotheses: tuple[Hypothesis, ...] = ()
    reason: str = ""
    transversal: bool = False
