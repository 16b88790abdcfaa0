"""Where a graph branches on its own values: nodes that take a condition or an integer made of differentiable inputs.

A comparison's boolean value carries no derivative, nor does an integer; so what is chosen by it is differentiated as if
the choice were constant. That is right away from the boundary; what happens on it is a claim (KINK) about these nodes.
"""

from __future__ import annotations

from gradproof.compiler.graph import Arg, Graph, Node, Ref
from gradproof.compiler.ops import Param


def branching(graph: Graph) -> tuple[int, ...]:
    """The ids of real nodes that take a condition or an integer made of values that vary with Γ."""
    varies = varying(graph)
    found: list[int] = []
    for node in graph.inner:
        chosen = [arg for param, arg in _args(graph, node) if param.kind in ("bool", "int")]
        if node.type.kind == "real" and any(isinstance(arg, Ref) and varies[arg.id] for arg in chosen):
            found.append(node.id)
    return tuple(found)


def varying(graph: Graph) -> list[bool]:
    """Whether each node's value varies with Γ other than through `const` inputs (`detach` makes it constant)."""
    varies = [True] * graph.leaves
    for node in graph.inner:
        args = [arg for param, arg in _args(graph, node) if not param.const]
        varies.append(any(isinstance(arg, Ref) and arg.id < len(varies) and varies[arg.id] for arg in args))
    return varies


def _args(graph: Graph, node: Node) -> list[tuple[Param, Arg]]:
    # An ill-formed graph (WF refuses it) may have too few arguments, or point forwards.
    pairs = list(zip(graph.definition(node).params, node.args, strict=False))
    return [(p, a) for p, a in pairs if not isinstance(a, Ref) or a.id < len(graph.nodes)]
