"""Where a graph branches on its own values: nodes that take a condition computed from differentiable inputs.

A comparison's boolean value carries no derivative, so what is chosen by it is differentiated as if the choice were
constant. That is right away from the boundary; what happens on it is a claim (KINK) about these nodes.
"""

from __future__ import annotations

from gradproof.compiler.graph import Graph, Ref


def branching(graph: Graph) -> tuple[int, ...]:
    """The ids of real nodes that take a condition on values that vary with Γ (`detach` makes them constant)."""
    varies = [True] * graph.leaves
    found: list[int] = []
    for node in graph.inner:
        op = graph.ops[node.op]
        # An ill-formed graph (WF refuses it) may point forwards or have too few arguments.
        args = [
            (param, isinstance(arg, Ref) and arg.id < len(varies) and varies[arg.id])
            for param, arg in zip(op.params, node.args, strict=False)
        ]
        varies.append(any(v and not param.const for param, v in args))
        if node.type.kind == "real" and any(v and param.kind == "bool" for param, v in args):
            found.append(node.id)
    return tuple(found)
