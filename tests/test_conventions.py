"""docs/kinks.md says what is used at kinks: our column by the proved programs, theirs by running them."""

from __future__ import annotations

import conventions
import jax
import pytest
import torch
from gradproof.compiler.library import base_name, prelude
from gradproof.compiler.rules import tied

ROWS = conventions.rows()


def test_the_page_has_the_rows_of_the_data_file() -> None:
    assert list(conventions.written()) == [(row.ours, row.point) for row in ROWS]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.ours} at {row.point}")
def test_what_is_used_here(row: conventions.Row) -> None:
    assert conventions.ours(row) == conventions.written()[row.ours, row.point][0]


def test_what_torch_says() -> None:
    assert f"PyTorch {torch.__version__.partition('+')[0]}" in conventions.PAGE.read_text(encoding="utf-8"), (
        "make kinks"
    )
    said = {(row.ours, row.point): conventions.torch_says(row) for row in ROWS}
    assert said == {key: columns[1] for key, columns in conventions.written().items()}


def test_what_jax_says() -> None:
    assert f"JAX {jax.__version__}" in conventions.PAGE.read_text(encoding="utf-8"), "make kinks"
    said = {(row.ours, row.point): conventions.jax_says(row) for row in ROWS}
    assert said == {key: columns[2] for key, columns in conventions.written().items()}


def test_a_difference_is_marked() -> None:
    for row in ROWS:
        columns = conventions.written()[row.ours, row.point]
        assert conventions.line(row, columns) in conventions.PAGE.read_text(encoding="utf-8")


def test_every_operator_with_a_kink_is_there() -> None:
    # All that declare one, and all that work entry by entry; pools and the like have the ties of max.
    ops = [op for op in prelude().ops.values() if op.differentiable and tied(op)]
    kinked = {base_name(op.name) for op in ops if op.kinks or all(p.axes == op.output.axes for p in op.params)}
    missing = kinked - {row.operator for row in ROWS}
    assert not missing, "add them to tests/cases/kinks.toml, then `make kinks`"
