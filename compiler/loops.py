"""Loops in a graph, however deep: their bodies under the graph's own dims, and whether they are well-formed."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType

from gradproof.compiler.graph import Graph, LoopDef


def settled(graph: Graph) -> Graph:
    """The graph with the bodies of its loops, however deep, under its own dims and conditions on dims."""
    if not graph.loops:
        return graph
    loops: dict[str, LoopDef] = {}
    for name, loop in graph.loops.items():
        body = replace(loop.body, dims=graph.dims, assume_dims=graph.assume_dims)
        loops[name] = replace(loop, body=settled(body))
    return replace(graph, loops=loops)


def frozen(graph: Graph) -> Graph:
    """The graph with its definitions, however deep, copied where nobody can change them."""
    loops = {name: replace(loop, body=frozen(loop.body)) for name, loop in graph.loops.items()}
    return replace(graph, ops=MappingProxyType(dict(graph.ops)), loops=MappingProxyType(loops))


def bodies(graph: Graph) -> tuple[Graph, ...]:
    """The bodies of a graph's loops and, behind each, of the loops inside it."""
    out: list[Graph] = []
    for loop in graph.loops.values():
        out += [loop.body, *bodies(loop.body)]
    return tuple(out)


def loops_of(graph: Graph) -> tuple[LoopDef, ...]:
    """The loops of a graph and, behind each, those inside it."""
    out: list[LoopDef] = []
    for loop in graph.loops.values():
        out += [loop, *loops_of(loop.body)]
    return tuple(out)


def problems(loop: LoopDef) -> list[str]:
    """What is wrong with a loop's definition; empty where it is well-formed.

    The body's inputs have one role each, and none is drawn, which would say what its range is.
    States are real, differentiable and as many results as there are states are
    of their types (equal extents are in the body's size claims, which SHAPE proves); all results are real.
    """
    body, found = loop.body, list[str]()
    names = [name for name, _ in loop.roles]
    if sorted(names) != sorted(loop.types):
        return [f"the roles of {loop.name} are not those of its body's inputs"]
    if not body.outputs or len(loop.columns) < len(body.outputs) or len(loop.states) > len(body.outputs):
        return [f"{loop.name} has {len(loop.states)} states and its body {len(body.outputs)} results"]
    found += [f"the input `{d.name}` of {loop.name} is drawn, and is given" for d in body.delta if d.seeded is not None]
    moving = {n.name for n in body.gamma}
    equal = {(c.left, c.right) for c in body.size_claims}
    for name, id_ in zip(loop.states, body.outputs, strict=False):
        before, after = loop.type_of(name), body.nodes[id_].type
        pairs = list(zip(before.shape, after.shape, strict=False))
        fits = len(before.shape) == len(after.shape) and all(
            a == b or (a, b) in equal or (b, a) in equal for a, b in pairs
        )
        if name not in moving or not fits or before.dtype != after.dtype:
            found.append(f"the state `{name}` of {loop.name} is {before} before a step and {after} behind it")
    if any(body.nodes[id_].type.kind != "real" for id_ in body.outputs):
        found.append(f"a result of the body of {loop.name} is not real")
    return found
