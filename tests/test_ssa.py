"""The canonical form of a graph: elaborated again, it is the same graph."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from gradproof.compiler.elaborate import load_path, load_text
from gradproof.compiler.graph import Graph
from gradproof.compiler.loops import bodies
from gradproof.grammar.source import BUILTIN
from gradproof.report.ssa import render

EXAMPLES = Path(__file__).parent.parent / "examples"

PROGRAMS = {
    "nothing": "graph f(x: f32[]) -> f32[] { return x + 0 }",
    "literals": "dim n\ngraph f(x: f64[n]) -> f64[n] { return -0.125 * x + 1e-5 - x / (2/3) }",
    "sizes": "dim n >= 1\ndim k = 2\ngraph f(x: f32[n, k]) -> f32[] { return sum(x) / (n * k + 1) }",
    "reductions": "dim m >= 1, n >= 1\ngraph f(x: f32[m, n]) -> f32[m] { return sum(x, axis=1) + max(x, axis=-1) }",
    "shapes": "dim m, n\ngraph f(x: f32[m, n]) -> f32[n*m] { y = reshape(x, (n, m)); return flatten(y) }",
    "broadcast": "dim m, n\ngraph f(x: f32[m, n], b: f32[n], c: f32[m, 1]) -> f32[m, n] { return x * b + c }",
    "environment": "dim n, C >= 1\n"
    "graph f(x: f32[n, C], t: i32[n], const w: f32[n], keep: f32[n] = bernoulli(seed=3, p=1/4)) -> f32[n] {\n"
    "  assume 0 <= t < C\n  return cross_entropy(x, t) * w * keep\n}",
    "outputs": "dim n\ngraph f(x: f32[n]) -> (f32[n], f32[n]) { a = exp(x); return a, a * x }",
    "calls": "dim n\ngraph g(x: f32[n]) -> f32[n] { h = x * x; return h + x }\n"
    "graph f(x: f32[n]) -> f32[n] { h = g(x); return g(h) - h }",
    "claims": "dim n >= 1\ngraph f(x: f32[n]) -> f32[] { assume x > 0; s = sum(x * x); ensure s >= 0; return s }",
    "choices": "dim n\ngraph f(x: f32[n], y: f32[n]) -> f32[n] { return where(x < y and not (x == 0), x, y^2) }",
    "loops": "dim T, n, V >= 1\n"
    "graph cell(h: f32[n], x: f32[], k: i32[], w: f32[V]) -> (f32[n], f32[]) {\n"
    "  assume 0 <= k < V; assume h > 0; return exp(h * x), sum(w) + take(w, k) }\n"
    "graph f(h: f32[n], xs: f32[T], ks: i32[T], w: f32[V]) -> (f32[T, n], f32[T]) {\n"
    "  assume h > 0; assume 0 <= ks < V; return scan(cell, h, xs, ks, w=w, reverse=true) }\n"
    "graph twice(h: f32[n], w: f32[V]) -> f32[n] {\n"
    "  assume h > 0; a = scan_last(pull, h, w=w, length=2*T); return scan_last(pull, a, w=w, length=T) }\n"
    "graph pull(h: f32[n], w: f32[V]) -> f32[n] { return scan_last(add_one, h, w) }\n"
    "graph add_one(h: f32[n], w: f32[]) -> f32[n] { return h * w + 1 }",
    "own": "dim n >= 1\nfn half(x) = x / 2\nop shift_[by](x: [n]) -> [n] {\n"
    "  require by >= 0\n  y[i] = sum(j | j == i - by) half(x[j])\n}\n"
    "graph f(x: f32[n]) -> f32[n] { return shift_(half(x), by=1) }",
}


def bare(graph: Graph) -> Graph:
    """The graph without what depends on how it was written: places, words of claims, fixed sizes, the order of dims."""
    return replace(
        graph,
        span=BUILTIN,
        dims=tuple(sorted((replace(d, span=BUILTIN) for d in graph.dims if d.value is None), key=lambda d: d.name)),
        nodes=tuple(replace(n, span=BUILTIN) for n in graph.nodes),
        delta=tuple(replace(d, span=BUILTIN) for d in graph.delta),
        assumes=tuple(replace(b, span=BUILTIN, text="") for b in graph.assumes),
        ensures=tuple(replace(b, span=BUILTIN, text="") for b in graph.ensures),
        size_claims=tuple(replace(c, span=BUILTIN, reason="") for c in graph.size_claims),
        ops=dict.fromkeys(graph.ops),  # type: ignore[arg-type]
        loops={n: replace(loop, span=BUILTIN, body=bare(loop.body)) for n, loop in graph.loops.items()},
    )


def check(module: object) -> None:
    text = render(module)  # type: ignore[arg-type]
    again = load_text(text)
    # The bodies of loops are graphs of the text.
    own = list(module.graphs)  # type: ignore[attr-defined]
    inside = {body.name for graph in module.graphs.values() for body in bodies(graph)}  # type: ignore[attr-defined]
    assert [n for n in again.graphs if n in own] == own
    assert set(again.graphs) == {*own, *inside}
    for name, graph in module.graphs.items():  # type: ignore[attr-defined]
        assert bare(again.graphs[name]) == bare(graph), text
    assert render(again) == text


@pytest.mark.parametrize("text", PROGRAMS.values(), ids=PROGRAMS.keys())
def test_round_trip(text: str) -> None:
    check(load_text(text))


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.gproof")), ids=lambda p: p.name)
def test_round_trip_of_the_examples(path: Path) -> None:
    check(load_path(path))


def test_one_operator_a_line_with_its_type() -> None:
    lines = render(load_text(PROGRAMS["broadcast"])).splitlines()
    assert [line.strip() for line in lines if "=" in line] == [
        "v3: f32[m, n] = broadcast(b, t=(m,))",
        "v4: f32[m, n] = mul(x, v3)",
        "v5: f32[m, n] = stretch(c, axis=1, n=n)",
        "result: f32[m, n] = add(v4, v5)",
    ]


def test_used_files_are_included(tmp_path: Path) -> None:
    (tmp_path / "layers.gproof").write_text("fn inner(x) = x * x\nfn outer(x) = inner(x) + 1\n")
    main = tmp_path / "main.gproof"
    main.write_text('use "layers.gproof"\ndim n\ngraph f(x: f32[n]) -> f32[n] { return outer(x) }\n')
    check(load_path(main))
