"""The independent definitions that the tape's tables are compared with: denotation, forward mode, full backpropagation.

Written from the graph alone, without the runtime's code, and as differently from it as may be. [trusted]
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gradproof.compiler.graph import INPUT, Env, Graph, Node, Ref
from gradproof.runtime.tape import Values
from gradproof.verifier.free import ADD, Bank, Expr


def reference_values(graph: Graph, context: Mapping[str, Expr], bank: Bank) -> list[Expr]:
    """The denotation: a value is its node's function of its arguments' values (recursion, with a stack of its own)."""
    table: dict[int, Expr] = {}

    def denote(root: Node) -> Expr:
        stack = [root]
        while stack:
            node = stack[-1]
            waiting = [graph.nodes[a.id] for a in node.args if isinstance(a, Ref) and a.id not in table]
            if waiting:
                stack.extend(waiting)
                continue
            stack.pop()
            if node.op == INPUT:
                table[node.id] = context[node.name]
                continue
            args = [table[a.id] if isinstance(a, Ref) else context[a.name] for a in node.args]
            table[node.id] = bank.apply(f"value {node.id}", *args)
        return table[root.id]

    return [denote(node) for node in graph.nodes]


def reference_tangents(graph: Graph, values: Values[Expr], dx: Sequence[Expr], bank: Bank) -> list[Expr]:
    """Forward mode: the pushforward of each node in its differentiated arguments, zero for Δ and for constants."""
    out: list[Expr] = []
    for node in graph.nodes:
        if node.op == INPUT:
            out.append(dx[node.id])
            continue
        own, args, real = values.nodes[node.id], values.args(node.args), node.type.kind == "real"
        wanted = [p.differentiable and real for p in graph.definition(node).params]
        if not any(w and isinstance(a, Ref) for w, a in zip(wanted, node.args, strict=True)):
            out.append(bank.apply("zero", own))
            continue
        given = [
            bank.apply("no tangent") if not w else bank.apply("zero", v) if isinstance(a, Env) else out[a.id]
            for w, a, v in zip(wanted, node.args, args, strict=True)
        ]
        out.append(bank.apply(f"jvp {node.id}", *args, own, *given))
    return out


def reference_gradients(
    graph: Graph, values: Values[Expr], seeds: Sequence[Expr], bank: Bank, ordered: bool = True
) -> list[Expr]:
    """Full backpropagation, by gathering: a gradient is the seed and what each use of the value sends back.

    Ordered: the seed, then the uses from the last node to the first, within a node by argument (the seeds' recursion:
    peel the last node, apply its vjp to the seed on it, add into the previous seed). Otherwise the other way round.
    """
    uses: list[list[tuple[Node, int]]] = [[] for _ in graph.nodes]
    for node in graph.nodes:
        params = graph.definition(node).params if node.op != INPUT else ()
        for position, arg in enumerate(node.args):
            if isinstance(arg, Ref) and node.type.kind == "real" and params[position].differentiable:
                uses[arg.id].append((node, position))
    out: dict[int, Expr] = {}
    for node in reversed(graph.nodes):
        terms = [seeds[node.id]]
        by_node = sorted(uses[node.id], key=lambda use: (-use[0].id, use[1]))
        for user, position in by_node:
            args, own = values.args(user.args), values.nodes[user.id]
            terms.append(bank.apply(f"vjp {user.id}.{position}", *args, own, out[user.id]))
        total = terms[0] if ordered else terms[-1]
        for term in terms[1:] if ordered else terms[-2::-1]:
            total = bank.apply(ADD, total, term)
        out[node.id] = total
    return [out[node.id] for node in graph.nodes]


def seed_table(values: Values[Expr], given: Sequence[tuple[int, Expr]], bank: Bank) -> list[Expr]:
    """A seed for every id: zero, or the sum of what is given for it."""
    out = [bank.apply("zero", value) for value in values.nodes]
    seen: set[int] = set()
    for id_, seed in given:
        out[id_] = bank.apply(ADD, out[id_], seed) if id_ in seen else seed
        seen.add(id_)
    return out
