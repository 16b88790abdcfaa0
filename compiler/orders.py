"""What a higher order claims: the graphs of gradients, the derived operators, and the claims that tie them together.

Order 1 is a graph's own claims. Each further order adds the graph of the gradients of the one before, with all claims
that a graph makes; that it is the gradient (GRAD); and that each operator's second derivative is symmetric (SYMM).
"""

from __future__ import annotations

from collections.abc import Iterable

from gradproof.compiler.claims import Claim, digest
from gradproof.compiler.derived import derived_op
from gradproof.compiler.gradient import gradient_graph
from gradproof.compiler.graph import Graph
from gradproof.compiler.obligations import claims_of_graph, graph_digest, op_digest, ops_of
from gradproof.compiler.ops import OpDef
from gradproof.compiler.rules import rules_of
from gradproof.compiler.transpose import NotLinear


def tower(graph: Graph, order: int) -> tuple[Graph, ...]:
    """The graph, the graph of its gradients, of theirs, and so on: `order` graphs, or fewer where one is `blocked`."""
    graphs = [graph]
    while len(graphs) < order and not blocked(graphs[-1]):
        graphs.append(gradient_graph(graphs[-1]))
    return tuple(graphs)


def blocked(graph: Graph) -> str:
    """Why there is no graph of gradients, where JVP or VJP of an operator fails as well; empty where there is one."""
    for op in ops_of(graph):
        for one in derived_ops((op,), 2):
            if not _linear(one):
                return f"a rule of {one.name} is not linear"
    return ""


def derived_ops(ops: Iterable[OpDef], order: int) -> tuple[OpDef, ...]:
    """The operators and all derivatives of theirs that this order speaks of."""
    level = tuple(ops)
    found = list(level)
    for _ in range(1, order):
        level = tuple(
            derived_op(op, name) for op in level if _linear(op) for name, rule in rules_of(op).vjps if not rule.externs
        )
        found += level
    return tuple(found)


def _linear(op: OpDef) -> bool:
    try:
        rules_of(op)
    except NotLinear:
        return False
    return True


def gradient_claim(graph: Graph, gradient: Graph) -> Claim:
    """GRAD: the one graph is the gradient of the other."""
    text = f"the results of {gradient.name} are those of {graph.name} and their gradients, by full backpropagation"
    return Claim("GRAD", "graph", graph.name, text, digest(graph_digest(graph), graph_digest(gradient)), graph.span)


def blocked_claim(graph: Graph) -> Claim:
    """GRAD where there is no graph of gradients: it stands for all that a higher order would claim, and is open."""
    text = f"{graph.name} has a graph of gradients"
    return Claim("GRAD", "graph", graph.name, text, graph_digest(graph), graph.span)


def symmetry_claim(op: OpDef) -> Claim:
    """SYMM: the operator's second derivative is symmetric."""
    text = "where it is twice differentiable, forward over reverse is reverse over forward"
    return Claim("SYMM", "op", op.name, text, op_digest(op), op.span)


def symmetric_ops(graph: Graph) -> tuple[OpDef, ...]:
    """The operators of a graph that a second order speaks of."""
    return tuple(op for op in ops_of(graph) if op.differentiable)


def claims_of_gradient(graph: Graph, gradient: Graph) -> tuple[Claim, ...]:
    """Everything that must hold before `gradient` may run as the gradient of `graph`, beside the graph's own claims."""
    return (
        gradient_claim(graph, gradient),
        *(symmetry_claim(op) for op in symmetric_ops(graph)),
        *claims_of_graph(gradient),
    )
