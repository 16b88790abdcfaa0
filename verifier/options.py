"""How hard the verifier tries, and whom it asks."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Options:
    """How hard to try: seconds for one obligation, and for one search of a counterexample."""

    timeout: float = 10.0
    search: float = 4.0
    seed: int = 0
    solvers: tuple[str, ...] = ("z3",)  # with "cvc5" every question goes to both (second.py)
    shipped: bool = True  # what the prelude's own certificates prove is replayed, not proved again (shipped.py)
    repair: float = 0.0  # seconds for a proved repair of an operator that is refuted; 0: none is looked for
