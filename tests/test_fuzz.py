"""Ten thousand inputs that nobody would write, each from a seed; `make fuzz` takes a million."""

from __future__ import annotations

import pytest
from fuzzing import TARGETS, Seeded

COUNTS = {"text": 1500, "bytes": 6000, "data": 2500}
CHUNK = 500


@pytest.mark.parametrize(
    ("target", "start"), [(name, start) for name, count in COUNTS.items() for start in range(0, count, CHUNK)]
)
def test_odd_inputs_are_refused_with_a_reason(target: str, start: int) -> None:
    for seed in range(start, start + CHUNK):
        try:
            TARGETS[target](Seeded(seed))
        except Exception as error:
            error.add_note(f"target {target}, seed {seed}")
            raise
