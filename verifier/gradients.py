"""GRAD: the graph of gradients is full backpropagation of the graph that it was made from.

Three parts. It begins with that graph's own nodes, so its values are those of the graph. Its other nodes, read as sums
of what derived operators send back, are for every input of Γ the sum over all paths, written down here from the graph
alone and compared as multisets: `+` is commutative and associative, 0 is neutral, and a derived operator of the
cotangent 0 is 0 (VJP proves it linear); beyond that tensors and operators are uninterpreted, so this holds for all
sizes. And each derived operator's formula is the rule of the operator that it was derived from, by the normal form.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from dataclasses import replace
from functools import lru_cache
from time import perf_counter

from gradproof.compiler.claims import Answer, Verdict
from gradproof.compiler.derived import derived_op, given_names
from gradproof.compiler.dims import Poly
from gradproof.compiler.gradient import seeded
from gradproof.compiler.graph import Arg, Graph, Node, Ref
from gradproof.compiler.obligations import op_digest, ops_of
from gradproof.compiler.ops import COTANGENT, OpDef
from gradproof.compiler.orders import blocked, blocked_claim, gradient_claim
from gradproof.compiler.rewriting import rename_tensors, substitute
from gradproof.compiler.rules import meaning_of, rules_of, unfolded
from gradproof.compiler.terms import Add, Read, Term
from gradproof.compiler.transpose import inline
from gradproof.verifier.derivatives import close, paired
from gradproof.verifier.proofs import Proof

Sum = tuple[int, ...]  # a multiset of atoms, sorted; the empty one is 0
ONE_ATOM = ("one",)


def gradient_verdict(graph: Graph, gradient: Graph, timeout: float) -> Verdict:
    """The verdict on GRAD."""
    started = perf_counter()
    proof = prove_gradient(graph, gradient, timeout)
    answer: Answer = "proved" if proof.proved else "unknown"
    seconds = perf_counter() - started
    return Verdict(gradient_claim(graph, gradient), answer, proof.by, "all sizes", seconds, reason=proof.reason)


def blocked_verdict(graph: Graph) -> Verdict:
    """The verdict on GRAD where there is no graph of gradients."""
    return Verdict(blocked_claim(graph), "unknown", "", "all sizes", 0.0, reason=blocked(graph))


def prove_gradient(graph: Graph, gradient: Graph, timeout: float) -> Proof:
    """GRAD of one graph and the graph of its gradients."""
    try:
        problem = next(_differences(graph, gradient), "")
        problem = problem or next(_sums(graph, gradient), "")
        problem = problem or next(_rules(graph, timeout), "")
    except (ValueError, LookupError) as error:  # a node that does not fit its operator, a rule that is not linear
        problem = f"the graph of gradients can't be read: {error}"
    return Proof(not problem, "structure + normal form", (), problem)


# The same graph at the beginning.


def _differences(graph: Graph, gradient: Graph) -> Iterator[str]:
    count = len(graph.nodes)
    if gradient.nodes[:count] != graph.nodes or gradient.leaves != graph.leaves:
        yield "it does not begin with the graph's own nodes"
    if gradient.delta[: len(graph.delta)] != graph.delta:
        yield "it does not begin with the graph's own environment"
    if (gradient.dims, gradient.assumes, gradient.assume_dims) != (graph.dims, graph.assumes, graph.assume_dims):
        yield "it assumes something else than the graph"
    for op in ops_of(graph):
        if op_digest(gradient.ops[op.name]) != op_digest(op):
            yield f"its {op.name} is another operator"
    outputs = len(graph.outputs)
    if gradient.outputs[:outputs] != graph.outputs or len(gradient.outputs) != outputs + graph.leaves:
        yield "its results are not the graph's and a gradient for each input"


# Sums over paths.


class _Atoms:
    """Products of uninterpreted functions, interned: equal atoms have one number."""

    def __init__(self) -> None:
        self._numbers: dict[Hashable, int] = {}

    def one(self, *key: Hashable) -> Sum:
        """The sum of this one atom."""
        return (self._numbers.setdefault(key, len(self._numbers)),)


def _plus(*parts: Sum) -> Sum:
    return tuple(sorted(atom for part in parts for atom in part))


def _sums(graph: Graph, gradient: Graph) -> Iterator[str]:
    atoms = _Atoms()
    wanted = _expected(graph, _seeds(graph, gradient, atoms), atoms)
    table = _computed(graph, gradient, atoms)
    for leaf, id_ in zip(graph.gamma, gradient.outputs[len(graph.outputs) :], strict=True):
        if gradient.nodes[id_].type != leaf.type:
            yield f"the gradient of {leaf.name} is {gradient.nodes[id_].type}, not {leaf.type}"
        if table[id_] != wanted[leaf.id]:
            yield f"the gradient of {leaf.name} is not the sum over its paths to the results"


def _seeds(graph: Graph, gradient: Graph, atoms: _Atoms) -> dict[int, Sum]:
    """The cotangent that each result starts from: 1, or an input of its own."""
    if seeded(graph):
        return {graph.outputs[0]: atoms.one(ONE_ATOM)}
    given = list(gradient.delta[len(graph.delta) :])
    seeds: dict[int, Sum] = {}
    for id_ in graph.outputs:
        type_ = graph.nodes[id_].type
        if type_.kind == "real":
            cotangent = given.pop(0)
            if cotangent.type != type_ or cotangent.seeded is not None:
                raise LookupError(f"the cotangent {cotangent.name} is {cotangent.type}, not {type_}")
            seeds[id_] = _plus(seeds.get(id_, ()), atoms.one("delta", cotangent.name))
    return seeds


def _expected(graph: Graph, seeds: Mapping[int, Sum], atoms: _Atoms) -> dict[int, Sum]:
    """Full backpropagation by gathering: the seed, and what each use of a value sends back."""
    uses: list[list[tuple[Node, int]]] = [[] for _ in graph.nodes]
    for node in graph.inner:
        for position, arg in enumerate(node.args):
            if isinstance(arg, Ref) and node.type.kind == "real" and graph.ops[node.op].params[position].differentiable:
                uses[arg.id].append((node, position))
    out: dict[int, Sum] = {}
    for node in reversed(graph.nodes):
        parts = [seeds.get(node.id, ())]
        for user, position in uses[node.id]:
            if out[user.id]:
                parts.append(_sent_back(graph, user, position, out[user.id], atoms))
        out[node.id] = _plus(*parts)
    return out


def _sent_back(graph: Graph, node: Node, position: int, cotangent: Sum, atoms: _Atoms) -> Sum:
    op = graph.ops[node.op]
    name = op.params[position].name
    derived = derived_op(op, name)
    own_output, own_cotangent = given_names(op)
    given = {p.name: _before(arg, atoms) for p, arg in zip(op.params, node.args, strict=True)}
    given |= {own_output: atoms.one("value", node.id), own_cotangent: cotangent}
    bound = tuple((n, extents) for n, extents in node.sizes if n in derived.sizes)
    return atoms.one("vjp", op.name, name, node.attrs, bound, *(given[p.name] for p in derived.params))


def _before(arg: Arg, atoms: _Atoms) -> Sum:
    """An argument that is a value of the graph itself."""
    return atoms.one("value", arg.id) if isinstance(arg, Ref) else atoms.one("delta", arg.name)


def _computed(graph: Graph, gradient: Graph, atoms: _Atoms) -> dict[int, Sum]:
    """What the nodes of the graph of gradients are, read from their operators' formulas."""
    known = {op.name: [(p.name, derived_op(op, p.name)) for p in op.differentiable] for op in ops_of(graph)}
    origin = {name: _origin(op, known) for name, op in gradient.ops.items()}
    table: dict[int, Sum] = {node.id: atoms.one("value", node.id) for node in graph.nodes}
    for node in gradient.nodes[len(graph.nodes) :]:
        args = [table[a.id] if isinstance(a, Ref) else atoms.one("delta", a.name) for a in node.args]
        op, source = gradient.ops[node.op], origin[node.op]
        if source is not None:
            bound = tuple(sorted(node.sizes, key=lambda s: [*graph.ops[source[0]].sizes].index(s[0])))
            table[node.id] = atoms.one("vjp", *source, node.attrs, bound, *args) if args[-1] else ()
        else:
            table[node.id] = _plain(op, node, args, atoms)
    return table


def _origin(op: OpDef, known: Mapping[str, list[tuple[str, OpDef]]]) -> tuple[str, str] | None:
    """The operator and the input that an operator is the vjp of."""
    for name, each in known.items():
        for param, derived in each:
            if op.name.startswith(derived.name) and op_digest(replace(op, name=derived.name)) == op_digest(derived):
                return name, param
    return None


def _plain(op: OpDef, node: Node, args: list[Sum], atoms: _Atoms) -> Sum:
    """A node that is no derived operator: a number, a sum, zeros in another shape; or nothing that is known."""
    here = tuple(op.forward.extents), op.forward.indices
    match op.forward.body:
        case Read(name, ()) if name in dict(node.attrs):
            value = dict(node.attrs)[name]
            return (
                () if value == 0 else atoms.one(ONE_ATOM) if value == 1 and not here[0] else atoms.one("number", value)
            )
        case Add((Read(a, i), Read(b, j))) if i == j and tuple(map(str, i)) == here[1]:
            given = dict(zip((p.name for p in op.params), args, strict=True))
            if a in given and b in given and a != b:
                return _plus(given[a], given[b])
        case Read(name, _) if [p.name for p in op.params] == [name] and not args[0]:
            return ()
    return atoms.one("other", node.id)


# Derived operators are the rules.


def _rules(graph: Graph, timeout: float) -> Iterator[str]:
    for op in ops_of(graph):
        for param in op.differentiable:
            reason = rule_problem(op, param.name, timeout)
            if reason:
                yield f"{derived_op(op, param.name).name} is not known to be the rule of {op.name}: {reason}"


@lru_cache(maxsize=4096)
def rule_problem(op: OpDef, param: str, timeout: float) -> str:
    """Why the derived operator's formula is not shown to be the operator's rule, for all sizes; empty where it is."""
    derived = derived_op(op, param)
    rule = dict(rules_of(op).vjps)[param].result
    output, cotangent = given_names(op)
    made = rename_tensors(meaning_of(derived), {cotangent: COTANGENT})
    made = inline(made, {output: (op.forward.indices, meaning_of(op))})
    written: Term = unfolded(op, rule.body)  # type: ignore[arg-type]  # a rule is no condition
    if derived.forward.extents != rule.extents:
        return "it has other extents"
    ranges = dict(zip(rule.indices, rule.extents, strict=True))
    if derived.forward.indices != rule.indices:
        made = substitute(made, dict(zip(derived.forward.indices, map(Poly.sym, rule.indices), strict=True)))
    found = close(op, made, written, timeout, ranges)
    if not found.proved:
        made, written = (paired(side, f"weight {param}", rule.indices, rule.extents) for side in (made, written))
        again = close(op, made, written, timeout)
        found = again if again.proved else found
    return "" if found.proved else found.reason
