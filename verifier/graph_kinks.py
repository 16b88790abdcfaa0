"""KINK of a graph: where it branches on its own values, the gradient on the boundary is a Clarke subgradient.

The branching node's formula is put together with the conditions that it takes and, as far as is needed, with the nodes
before it; what is left of the graph are free inputs. Beside it goes what the chain rule computes: the calculus's
derivative of the formula or, where a node's own rule takes other values at its ties, the rules put together likewise.
Of both an operator's KINK is asked: continuity at the boundary, a convex combination of both sides.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from gradproof.compiler.branches import varying
from gradproof.compiler.claims import Counterexample
from gradproof.compiler.dims import Poly
from gradproof.compiler.graph import Graph, Node
from gradproof.compiler.ops import Axis, Formula, OpDef, Param
from gradproof.compiler.rewriting import polys, tensors, walk
from gradproof.compiler.rules import Computation, RuleSet, derived_jvp
from gradproof.compiler.terms import BoolRead, Cond, IntCmp, Num, Read, RealCmp, Term
from gradproof.verifier.composed import AxisByAxis, Composed, valued, varies
from gradproof.verifier.facts import ungrouped, value_id, value_name
from gradproof.verifier.graph_domains import Ranges
from gradproof.verifier.intervals import ANY
from gradproof.verifier.kinks import prove_kinks
from gradproof.verifier.options import Options
from gradproof.verifier.proofs import Proof

LATER = 3  # how many nodes later a branch may become continuous
DEPTH = 8  # how many nodes deep formulas are put together
SIZE = 400  # and how large they may become
UNSEEN = ", which vary with the inputs and are not seen through"


@dataclass(frozen=True, slots=True)
class Boundary:
    """A branching node whose boundary is not settled: why, and a point where it goes wrong."""

    node: Node
    reason: str
    counterexample: Counterexample | None


@dataclass(frozen=True, slots=True)
class Attempt:
    """How far a formula was put together, and what was shown of it."""

    composed: Composed
    op: OpDef
    rules: RuleSet
    proof: Proof


def check_boundaries(graph: Graph, nodes: tuple[int, ...], ranges: Ranges, options: Options) -> list[Boundary]:
    """The branching nodes that are not shown to use a Clarke subgradient (nothing: KINK is proved).

    A branch that is not continuous by itself may be so where it is used (`where(x > 0, 1, 0) * x`): a node that is no
    result of the graph is settled too where all its consumers are, with the node's formula put in.
    """
    consumers: dict[int, list[int]] = {}
    for node in graph.inner:
        for parent in dict.fromkeys(node.parents):
            consumers.setdefault(parent, []).append(node.id)
    failures: list[Boundary] = []
    for id_ in nodes:
        if graph.nodes[id_].op in graph.loops:
            reason = "a loop takes a condition that is computed from differentiable inputs"
            failures.append(Boundary(graph.nodes[id_], reason, None))
            continue
        found = _attempt(graph, graph.nodes[id_], ranges, options)
        if not found.proof.proved and not _settled_later(graph, (id_,), consumers, ranges, options):
            point = _hunt(found, options) if id_ in graph.outputs else None
            jump = "" if point else _jump(found, options)
            reason = "; ".join(filter(None, (found.proof.reason, jump)))
            failures.append(Boundary(graph.nodes[id_], reason, point))
    return failures


def _settled_later(
    graph: Graph, path: tuple[int, ...], consumers: dict[int, list[int]], ranges: Ranges, options: Options
) -> bool:
    """Whether every use of the last node of a path that begins with the branching one is settled, or its uses are.

    All of the path must have been put in: as a value of its own the branching node would be free to move smoothly.
    """
    id_ = path[-1]
    if len(path) > LATER or id_ in graph.outputs:
        return False
    for user in consumers.get(id_, []):
        node = graph.nodes[user]
        if node.type.kind != "real":
            continue  # a condition on the branch: what it chooses is a branching node of its own
        if node.op in graph.loops:
            return False
        if not _attempt(graph, node, ranges, options, path).proof.proved and not _settled_later(
            graph, (*path, user), consumers, ranges, options
        ):
            return False
    return True


def _attempt(graph: Graph, node: Node, ranges: Ranges, options: Options, through: tuple[int, ...] = ()) -> Attempt:
    """KINK of the node's formula, put together deeper and deeper; the nodes `through` must have been put in."""
    found = _tried(Composed(graph, node, options.timeout), ranges, options, through)
    regrouped = any(name != ungrouped(name) for name in tensors(found.composed.body))
    if found.proof.proved or not (regrouped or found.proof.reason.endswith(UNSEEN)):
        return found
    return _tried(AxisByAxis(graph, node, options.timeout), ranges, options, through)


def _tried(composed: Composed, ranges: Ranges, options: Options, through: tuple[int, ...]) -> Attempt:
    composed.start()
    open_ = set(map(value_name, through))
    for _ in range(DEPTH):
        op = _operator(composed, ranges)
        rules = _rules(op, composed)
        hidden = _hidden(composed.graph, composed.body)
        if hidden:
            return Attempt(composed, op, rules, Proof(False, "", (), hidden))
        proof = prove_kinks(op, rules, options.timeout)
        if proof.proved and open_.isdisjoint(map(ungrouped, tensors(composed.body))):
            break
        proof = replace(proof, proved=False)
        if not composed.deepen() or any(sum(1 for _ in walk(t)) > SIZE for t in (composed.body, composed.slope)):
            break
    return Attempt(composed, op, rules, proof)


def _hidden(graph: Graph, body: Term) -> str:
    """What the formula hangs on and does not show: nothing says where that changes."""
    steps = _names(graph, (entry.tensor for part in walk(body) for p in polys(part) for entry in p.entries()))
    if steps:
        return f"it depends on the integers of {steps}, which vary with the inputs"
    unseen = _names(graph, (part.tensor for part in walk(body) if isinstance(part, BoolRead)))
    return f"it depends on the conditions of {unseen}{UNSEEN}" if unseen else ""


def _integers(rules: RuleSet) -> bool:
    """Whether entries of integer tensors are read, which are no inputs of the operator."""
    bodies = (rules.forward.result.body, *([rules.jvp.result.body] if rules.jvp else []))
    return any(list(p.entries()) for body in bodies for part in walk(body) for p in polys(part))


def _names(graph: Graph, tensors: Iterable[str]) -> str:
    """Of the values that are read, those that vary with Γ."""
    ids = {id_ for tensor in tensors if (id_ := value_id(ungrouped(tensor))) is not None}
    varies = varying(graph)
    return ", ".join(graph.nodes[id_].name for id_ in sorted(ids) if varies[id_])


def _operator(composed: Composed, ranges: Ranges) -> OpDef:
    """The formula as an operator of what it, and its slope, reads."""
    graph, node, indices, extents = composed.graph, composed.node, composed.indices, composed.extents
    inside = dict(zip(indices, extents, strict=True))
    slope = [part for part in walk(composed.slope) if not (isinstance(part, Read) and valued(part) != part.tensor)]
    params: dict[str, Param] = {}
    domain: list[Cond] = []
    for read in (*walk(composed.body), *(slope if composed.own else ())):
        if isinstance(read, Read | BoolRead) and read.tensor not in params:
            axes = tuple(Axis(inside.get(p.as_symbol or "", Poly.sym(f"n{k}`"))) for k, p in enumerate(read.index))
            kind = "bool" if isinstance(read, BoolRead) else "real"
            params[read.tensor] = Param(read.tensor, kind, axes, const=not varies(graph, read.tensor))
            domain += _range_facts(read, ranges) if isinstance(read, Read) else []
    lower = tuple(IntCmp(">=", Poly.sym(s) - low) for s, low in ranges.facts.context.lower.items())
    output = Param("y", "real", tuple(map(Axis, extents)))
    formula = Formula("y", indices, extents, composed.body, node.span)
    return OpDef(node.name, (), tuple(params.values()), output, formula, node.span, lower, tuple(domain))


def _range_facts(read: Read, ranges: Ranges) -> list[Cond]:
    known = ranges.reads.get(ungrouped(read.tensor), ANY)
    out: list[Cond] = []
    if known.low is not None:
        out.append(RealCmp("<" if known.low_open else "<=", Num(known.low), read))
    if known.high is not None:
        out.append(RealCmp("<" if known.high_open else "<=", read, Num(known.high)))
    return out


def _rules(op: OpDef, composed: Composed) -> RuleSet:
    slope = composed.slope if composed.own else derived_jvp(op)
    jvp = Formula("y", op.forward.indices, op.forward.extents, slope, op.span)
    return RuleSet(op, Computation((), op.forward), Computation((), jvp), ())


def _jump(attempt: Attempt, options: Options) -> str:
    """Where the node's formula seems to jump, in the values that it reads."""
    if "jumps" not in attempt.proof.reason:
        return ""
    from gradproof.verifier.refute import Search

    text = Search(attempt.op, attempt.rules, min(1.0, options.search), options.seed).jump()
    for node in attempt.composed.graph.nodes:
        text = text.replace(value_name(node.id), node.name)
    return text


def _hunt(attempt: Attempt, options: Options) -> Counterexample | None:
    """A point of the graph's inputs where a result's derivative leaves Clarke's bounds.

    Only where the result is put together from inputs alone: values in between can't take any value they like.
    """
    from gradproof.verifier.refute import Search

    graph, op, rules = attempt.composed.graph, attempt.op, attempt.rules
    inputs = {value_name(leaf.id): leaf.name for leaf in graph.gamma} | {d.name: d.name for d in graph.delta}
    if not attempt.proof.transversal or any(p.name not in inputs for p in op.params) or _integers(rules):
        return None
    shapes = {value_name(n.id): n.type.shape for n in graph.gamma} | {d.name: d.type.shape for d in graph.delta}
    sized = tuple(replace(p, axes=tuple(map(Axis, attempt.composed.shape(shapes[p.name])))) for p in op.params)
    found = Search(replace(op, params=sized), rules, options.search, options.seed).kink()
    if found is None:
        return None
    expected, got = found.expected, found.got
    for name, own in inputs.items():
        expected, got = expected.replace(f"d{name}[", f"d{own}["), got.replace(f"d{name}[", f"d{own}[")
    named = {inputs.get(name, name): value for name, value in found.values.items()}
    note = f"the formula of {op.name} in the graph's inputs"
    return replace(found, values=named, expected=expected, got=got, note=note)
