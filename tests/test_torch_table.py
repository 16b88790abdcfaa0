"""The reading of PyTorch's table of derivatives: right formulas are proved, and wrong ones are not."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from gradproof.verifier.options import Options

BENCHMARKS = str(Path(__file__).parent.parent / "benchmarks")
if BENCHMARKS not in sys.path:
    sys.path.append(BENCHMARKS)

from aten.claims import formulas, rows, signature  # noqa: E402
from aten.cpp import NotAnExpression, parse  # noqa: E402
from torch_table import notes, table  # noqa: E402

OPTIONS = Options(timeout=5.0, search=2.0)
ENTRIES = {entry["name"].partition("(")[0]: entry for entry in table()}
RIGHT = ["exp", "acos", "maximum", "mm", "baddbmm", "var.correction", "_softmax", "amax", "gather", "topk"]


@pytest.mark.parametrize("name", RIGHT)
def test_a_right_formula_is_proved(name: str) -> None:
    found = rows(ENTRIES[name], OPTIONS)
    assert {row.answer for row in found} == {"proved"}, [(row.argument, row.answer, row.reason) for row in found]


@pytest.mark.parametrize("name", RIGHT)
def test_its_double_is_refuted(name: str) -> None:
    entry: dict[str, Any] = {"name": ENTRIES[name]["name"]}
    entry |= {key: f"2 * ({text})" for key, text in formulas(ENTRIES[name]) if key in signature(entry["name"]).tensors}
    entry = {key: text for key, text in entry.items() if "non_differentiable" not in text}
    found = rows(entry, OPTIONS)
    assert found
    assert {row.answer for row in found} == {"refuted"}, [(row.argument, row.answer, row.reason) for row in found]
    assert all(row.counterexample is not None and row.counterexample.replayed for row in found)


@pytest.mark.parametrize("channel", ["tensor", "channel"])
def test_the_straight_through_estimators_are_refuted(channel: str) -> None:
    (row,) = rows(ENTRIES[f"fake_quantize_per_{channel}_affine_cachemask"], OPTIONS)
    assert row.answer == "refuted"
    assert row.entry in notes()


def test_most_of_the_table_is_read() -> None:
    count: Counter[bool] = Counter()
    for entry in ENTRIES.values():
        for _, text in formulas(entry):
            try:
                parse(text)
            except NotAnExpression:
                count[False] += 1
            else:
                count[True] += 1
    assert count[True] > 1300
    assert count[False] < 60


def test_an_expression_with_all_that_there_is() -> None:
    tree = parse("a.b(1.5, /* no */ {c}) > 0 || !at::f(-x)[0] ? std::get<0>(y) : 2 * -z / 3")
    assert tree[0] == "if"
    assert tree[2] == ("call", "std::get<0>", [("name", "y")])
    with pytest.raises(NotAnExpression):
        parse("[](int i) { return i; }")
