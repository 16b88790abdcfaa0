"""KINK of graphs: what is chosen by a comparison of differentiated values, on the boundary."""

from __future__ import annotations

import pytest
from gradproof.compiler.branches import branching
from gradproof.compiler.elaborate import load_text
from gradproof.verifier.discharge import verify
from gradproof.verifier.options import Options

CASES = {
    "relu by hand": ("where(x > 0, x, 0)", "proved"),
    "the same on the other side": ("where(x >= 0, x, 0)", "proved"),
    "smooth at the boundary": ("where(x < 1, x^2, 2*x - 1)", "proved"),
    "a maximum": ("where(x*x > b, x*x, b)", "proved"),
    "a gate, continuous where it is used": ("where(x > 0, 1, 0) * x", "proved"),
    "two gates": ("where(x > 0, 1, 0) * x^2 + where(x > 0, 0, 1) * x", "proved"),
    "a jump": ("where(x > 0, x, -1)", "unknown"),
    "a jump that a gate does not mend": ("where(x > 0, 1, 0) * (x + 1)", "unknown"),
    "wrong at one point": ("where(x == 0, 0, x)", "refuted"),
    "wrong at one point, later": ("where(x == 1, 2*x - x, x^2)", "refuted"),
    "through a negation": ("where(not (x > 0), 0, x)", "proved"),
    "a jump through a negation": ("where(not (x > 0), 1, x)", "unknown"),
}
QUIET = {
    "a given mask": "where(m, x, 0)",
    "a detached condition": "where(detach(x) > 0, x, -1 + 0*x)",
    "a condition on an input of the environment": "where(c > 0, x, b)",
}


def _graph(body: str) -> str:
    return f"dim N\ngraph f(x: f64[N], b: f64[N], m: bool[N], const c: f64[N]) -> f64[N] {{\n  return {body}\n}}\n"


@pytest.mark.parametrize("name", CASES)
def test_boundaries(name: str) -> None:
    body, expected = CASES[name]
    module = load_text(_graph(body))
    found = [v for v in verify((), tuple(module.graphs.values()), Options(search=2.0)) if v.claim.kind == "graph"]
    kinks = [v for v in found if v.claim.code == "KINK"]
    assert [v.answer for v in kinks] == [expected], kinks
    assert all(v.answer == "proved" for v in found if v.claim.code != "KINK")


def test_a_refutation_is_in_the_graphs_inputs() -> None:
    module = load_text(_graph("where(x == 0, 0, x)"))
    verdicts = verify((), tuple(module.graphs.values()), Options(search=2.0))
    (found,) = [v for v in verdicts if v.answer == "refuted"]
    assert found.counterexample is not None and found.counterexample.replayed
    assert "x" in found.counterexample.values and "dx[" in found.counterexample.expected


@pytest.mark.parametrize("name", QUIET)
def test_no_claim_where_nothing_differentiated_is_compared(name: str) -> None:
    module = load_text(_graph(QUIET[name]))
    graph = module.graphs["f"]
    assert branching(graph) == ()
    verdicts = verify((), (graph,), Options(search=1.0))
    assert all(v.answer == "proved" for v in verdicts), [v for v in verdicts if v.answer != "proved"]
