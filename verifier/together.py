"""A graph's nodes put together: a value's formula in terms of the values before it and of the conditions it takes."""

from __future__ import annotations

from gradproof.compiler.dims import Poly
from gradproof.compiler.graph import Graph, Node, Ref
from gradproof.compiler.rewriting import (
    map_children,
    map_cond,
    replace_reads,
    replace_reads_cond,
    substitute,
    substitute_cond,
)
from gradproof.compiler.rules import meaning_of
from gradproof.compiler.terms import BoolRead, Cond, Read, Term
from gradproof.verifier.facts import Instance, apart, made, value_id, wide


def producer(graph: Graph, name: str) -> Node | None:
    """The node whose value, grouped as it is made, has this name in terms; None for inputs, loops, other groupings."""
    id_ = value_id(name)
    if id_ is None:
        return None
    inner = graph.leaves <= id_ < len(graph.nodes) and graph.nodes[id_].op not in graph.loops
    return graph.nodes[id_] if inner else None


def entry_of(graph: Graph, node: Node, index: tuple[Poly, ...]) -> Term | None:
    """One entry of a real node's value as a term over its arguments."""
    op = graph.ops[node.op]
    if isinstance(op.forward.body, Cond) or op.externs:
        return None  # what an extern computes stays a value of its own
    return at_entry(graph, node, Instance.of(graph, node).term(meaning_of(op)), index)


def at_entry(graph: Graph, node: Node, term: Term, index: tuple[Poly, ...]) -> Term | None:
    """A term over the indices of the node's formula at one entry of the value."""
    names = _positions(graph, node, index)
    return None if names is None else substitute(term, names)


def _positions(graph: Graph, node: Node, index: tuple[Poly, ...]) -> dict[str, Poly] | None:
    """What the indices of the node's formula are at a position that leaves out axes of extent 1."""
    indices = graph.ops[node.op].forward.indices
    kept = wide(made(graph, Ref(node.id)))
    if len(kept) != len(index):
        return None
    given = dict(zip(kept, index, strict=True))
    return {apart(name): given.get(k, Poly.of(0)) for k, name in enumerate(indices)}


def deeper(graph: Graph, term: Term, constants: bool = True) -> Term:
    """The term with every computed value that it reads replaced by its node's formula, conditions put in.

    With `constants` false, nodes that cut the derivative (`const` inputs) stay as they are.
    """
    return conditions(graph, replace_reads(term, lambda read: _formula(graph, read, constants)))


def deeper_cond(graph: Graph, cond: Cond) -> Cond:
    """`deeper`, for conditions."""
    return conditions_of(graph, replace_reads_cond(cond, lambda read: _formula(graph, read, True)))


def _formula(graph: Graph, read: Read, constants: bool) -> Term:
    """What an entry is made of; the read itself where that is not put in. `constants` as in `deeper`."""
    node = producer(graph, read.tensor)
    if node is None or not (constants or whole(graph, read)):
        return read
    return entry_of(graph, node, read.index) or read


def whole(graph: Graph, read: Read) -> Node | None:
    """The node whose formula `deeper` puts in for a read, where it cuts no derivative."""
    node = producer(graph, read.tensor)
    cuts = node is None or graph.ops[node.op].externs or any(p.const for p in graph.ops[node.op].params)
    return None if cuts else node


def conditions(graph: Graph, term: Term) -> Term:
    """The term with every computed condition that it reads replaced by what it says."""
    return map_children(term, lambda t: conditions(graph, t), lambda c: conditions_of(graph, c))


def conditions_of(graph: Graph, cond: Cond) -> Cond:
    """`conditions`, for conditions."""
    if not isinstance(cond, BoolRead):
        return map_cond(cond, lambda t: conditions(graph, t), lambda c: conditions_of(graph, c))
    node = producer(graph, cond.tensor)
    if node is None:
        return cond
    forward = graph.ops[node.op].forward
    names = _positions(graph, node, cond.index)
    if not isinstance(forward.body, Cond) or names is None:
        return cond
    return conditions_of(graph, substitute_cond(Instance.of(graph, node).cond(forward.body), names))
