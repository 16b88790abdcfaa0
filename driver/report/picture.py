"""A graph as a picture (DOT, Mermaid) or as JSON data."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from typing import Any

from gradproof.compiler.graph import AttrValue, Env, Graph, Node


def dot(graphs: Sequence[Graph]) -> str:
    """Graphviz: one cluster a graph."""
    lines = ["digraph gradproof {", "  rankdir=TB; node [shape=box, fontname=monospace];"]
    for number, graph in enumerate(graphs):
        lines += [f"  subgraph cluster_{number} {{", f"    label={_quoted(graph.name)};"]
        lines += [
            f"    {_id(number, key)} [label={_quoted(label)}{_dot_shape(kind)}];" for key, label, kind in boxes(graph)
        ]
        lines += [f"    {_id(number, a)} -> {_id(number, b)};" for a, b in arrows(graph)]
        lines.append("  }")
    return "\n".join([*lines, "}"])


def mermaid(graphs: Sequence[Graph]) -> str:
    """Mermaid flowchart: one subgraph a graph."""
    lines = ["flowchart TD"]
    for number, graph in enumerate(graphs):
        lines.append(f"  subgraph s{number}[{_mermaid(graph.name)}]")
        for key, label, kind in boxes(graph):
            left, right = {"input": ("([", "])"), "delta": ("[/", "/]"), "output": ("[[", "]]")}.get(kind, ("[", "]"))
            lines.append(f"    {_id(number, key)}{left}{_mermaid(label)}{right}")
        lines += [f"    {_id(number, a)} --> {_id(number, b)}" for a, b in arrows(graph)]
        lines.append("  end")
    return "\n".join(lines)


def to_json(graphs: Sequence[Graph]) -> str:
    """The graphs as JSON: dims, inputs, nodes in id order, outputs."""
    return json.dumps({"version": 1, "graphs": [_data(graph) for graph in graphs]}, indent=2, ensure_ascii=False)


def boxes(graph: Graph) -> Iterator[tuple[str, str, str]]:
    """Every value: its key, its label, and input, delta, inner or output."""
    for delta in graph.delta:
        yield f"e_{delta.name}", f"{delta.name}: {delta.type}", "delta"
    for node in graph.nodes:
        kind = "output" if node.id in graph.outputs else "input" if node.id < graph.leaves else "inner"
        head = node.name if node.id < graph.leaves else f"{node.name} = {node.op}{_attrs(node)}"
        yield f"n{node.id}", f"{head}: {node.type}", kind


def arrows(graph: Graph) -> Iterator[tuple[str, str]]:
    """Every use of a value by an operator, with repetition."""
    for node in graph.inner:
        for arg in node.args:
            yield (f"e_{arg.name}" if isinstance(arg, Env) else f"n{arg.id}"), f"n{node.id}"


def _attrs(node: Node) -> str:
    return f"[{', '.join(f'{name}={value}' for name, value in node.attrs)}]" if node.attrs else ""


def _data(graph: Graph) -> dict[str, Any]:
    return {
        "name": graph.name,
        "dims": [
            {"name": d.name, "lower": d.lower, "value": None if d.value is None else str(d.value)} for d in graph.dims
        ],
        "inputs": [
            {"id": n.id, "name": n.name, "dtype": n.type.dtype, "shape": _shape(n.type.shape)} for n in graph.gamma
        ],
        "environment": [{"name": e.name, "dtype": e.type.dtype, "shape": _shape(e.type.shape)} for e in graph.delta],
        "nodes": [
            {
                "id": node.id,
                "name": node.name,
                "op": node.op,
                "args": [{"input": a.name} if isinstance(a, Env) else {"id": a.id} for a in node.args],
                "attrs": {name: _attr(value) for name, value in node.attrs},
                "dtype": node.type.dtype,
                "shape": _shape(node.type.shape),
                "line": node.span.line,
            }
            for node in graph.inner
        ],
        "outputs": [{"name": name, "id": id_} for name, id_ in zip(graph.output_names, graph.outputs, strict=True)],
        "assumes": [bound.text for bound in graph.assumes],
        "ensures": [bound.text for bound in graph.ensures],
    }


def _shape(shape: Iterable[object]) -> list[str]:
    return [str(extent) for extent in shape]


def _attr(value: AttrValue) -> int | str:
    if isinstance(value, Fraction):
        return str(value)
    return value.constant if value.constant is not None else str(value)


def _id(number: int, key: str) -> str:
    return f"g{number}_{key}"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _mermaid(text: str) -> str:
    return '"' + text.replace('"', "#quot;") + '"'


def _dot_shape(kind: str) -> str:
    return {"input": ", shape=ellipse", "delta": ", shape=parallelogram", "output": ", peripheries=2"}.get(kind, "")
