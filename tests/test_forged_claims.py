"""What a certificate leaves unsaid: a claim that is due is demanded, wherever the formula hides why."""

from __future__ import annotations

import pytest
from forging import Data, claimed, forged, node, opened, reason, replayed
from gradproof.compiler.elaborate import load_text

JUMP = "op step(x: [n]) -> [n] { y[i] = select(x[i] > 0, x[i] + 1, x[i]) }"


def hidden(data: Data, depth: int) -> None:
    """The condition becomes an intermediate (of an intermediate), and KINK is not claimed."""
    op = data["ops"]["step"]
    formula = op["forward"]
    _, cond, *choices = data["terms"][formula["body"]]
    index = next(entry[2] for entry in data["terms"] if entry[:2] == ["read", "x"])
    for k in range(depth):
        op["lets"].append({**formula, "target": f"c{k}", "body": cond})
        cond = node(data, "bool", f"c{k}", index)
    formula["body"] = op["rules"]["forward"]["result"]["body"] = node(data, "select", cond, *choices)
    data["claims"] = [claim for claim in data["claims"] if claim["code"] != "KINK"]


@pytest.mark.parametrize("depth", [0, 1, 2])
def test_a_jump_behind_an_intermediate_is_a_kink(depth: int) -> None:
    honest = claimed(load_text(JUMP).ops.values())
    assert reason(honest) == "" and any(claim["code"] == "KINK" for claim in opened(honest)["claims"])
    content = forged(honest, lambda data: hidden(data, depth))
    assert "KINK" in reason(content) and not replayed(content)
