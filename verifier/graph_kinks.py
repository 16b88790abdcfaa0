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
from gradproof.compiler.ops import TANGENT, Axis, Formula, OpDef, Param
from gradproof.compiler.rewriting import polys, replace_reads, substitute, tensors, walk
from gradproof.compiler.rules import Computation, RuleSet, derived_jvp, meaning_of, rules_of, unfolded, without
from gradproof.compiler.terms import ZERO, BoolRead, Cond, IntCmp, Num, Read, RealCmp, Term
from gradproof.verifier.derivatives import calculus_runs
from gradproof.verifier.facts import Instance, apart, squeezed, ungrouped, value_id, value_name
from gradproof.verifier.graph_domains import Ranges
from gradproof.verifier.intervals import ANY
from gradproof.verifier.kinks import prove_kinks
from gradproof.verifier.options import Options
from gradproof.verifier.proofs import Proof
from gradproof.verifier.together import at_entry, conditions, deeper, formula_of, whole

LATER = 3  # how many nodes later a branch may become continuous
DEPTH = 6  # how many nodes deep formulas are put together
SIZE = 400  # and how large they may become


@dataclass(frozen=True, slots=True)
class Boundary:
    """A branching node whose boundary is not settled: why, and a point where it goes wrong."""

    node: Node
    reason: str
    counterexample: Counterexample | None


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
        op, rules, proof = _attempt(graph, graph.nodes[id_], ranges, options)
        if not proof.proved and not _settled_later(graph, id_, consumers, ranges, options, LATER):
            found = _hunt(graph, op, rules, proof, options) if id_ in graph.outputs else None
            jump = "" if found else _jump(graph, op, rules, proof, options)
            reason = "; ".join(filter(None, (proof.reason, jump)))
            failures.append(Boundary(graph.nodes[id_], reason, found))
    return failures


def _settled_later(
    graph: Graph, id_: int, consumers: dict[int, list[int]], ranges: Ranges, options: Options, steps: int
) -> bool:
    if steps == 0 or id_ in graph.outputs:
        return False
    for user in consumers.get(id_, []):
        node = graph.nodes[user]
        if node.type.kind != "real":
            continue  # a condition on the branch: what it chooses is a branching node of its own
        if node.op in graph.loops:
            return False
        if not _attempt(graph, node, ranges, options, through=id_)[2].proved and not _settled_later(
            graph, user, consumers, ranges, options, steps - 1
        ):
            return False
    return True


def _attempt(
    graph: Graph, node: Node, ranges: Ranges, options: Options, through: int | None = None
) -> tuple[OpDef, RuleSet, Proof]:
    """KINK of the node's formula, put together deeper and deeper; `through` must have been put in."""
    body = conditions(graph, Instance.of(graph, node).term(meaning_of(graph.ops[node.op])))
    slopes = _Slopes(graph, options.timeout)
    slope = conditions(graph, slopes.of(node))
    for _ in range(DEPTH):
        op = _operator(graph, node, body, slope if slopes.own else body, ranges)
        rules = _rules(op, slope if slopes.own else None)
        steps = _steps(graph, body)
        if steps:
            # An integer steps from one value to the next, and no condition of the formula says where.
            return op, rules, Proof(False, "", (), f"it depends on the integers of {steps}, which vary with the inputs")
        unseen = _conditions(graph, body)
        if unseen:
            # A condition whose formula is not put in (under another grouping of its axes, say) hides where it ties.
            reason = f"it depends on the conditions of {unseen}, which vary with the inputs and are not seen through"
            return op, rules, Proof(False, "", (), reason)
        proof = prove_kinks(op, rules, options.timeout)
        if proof.proved and (through is None or value_name(through) not in map(ungrouped, tensors(body))):
            break
        proof = replace(proof, proved=False)
        below = deeper(graph, body, constants=False)
        if below == body or any(sum(1 for _ in walk(one)) > SIZE for one in (below, slope)):
            break
        body, slope = below, conditions(graph, replace_reads(slope, slopes.put))
    return op, rules, proof


def _steps(graph: Graph, body: Term) -> str:
    """The integer values that the formula reads and that vary with Γ."""
    return _names(graph, (entry.tensor for part in walk(body) for p in polys(part) for entry in p.entries()))


def _conditions(graph: Graph, body: Term) -> str:
    """The conditions that the formula reads as they are and that vary with Γ."""
    return _names(graph, (part.tensor for part in walk(body) if isinstance(part, BoolRead)))


def _integers(rules: RuleSet) -> bool:
    """Whether entries of integer tensors are read, which are no inputs of the operator."""
    bodies = (rules.forward.result.body, *([rules.jvp.result.body] if rules.jvp else []))
    return any(list(p.entries()) for body in bodies for part in walk(body) for p in polys(part))


def _names(graph: Graph, tensors: Iterable[str]) -> str:
    """Of the values that are read, those that vary with Γ."""
    ids = {id_ for tensor in tensors if (id_ := value_id(ungrouped(tensor))) is not None}
    varies = varying(graph)
    return ", ".join(graph.nodes[id_].name for id_ in sorted(ids) if varies[id_])


def _operator(graph: Graph, node: Node, body: Term, slope: Term, ranges: Ranges) -> OpDef:
    """The formula as an operator of what it, and its slope, reads."""
    forward = graph.ops[node.op].forward
    instance = Instance.of(graph, node)
    indices = tuple(apart(n) for n in forward.indices)
    extents = tuple(instance.extent(e) for e in forward.extents)
    inside = dict(zip(indices, extents, strict=True))
    params: dict[str, Param] = {}
    domain: list[Cond] = []
    for read in (*walk(body), *(part for part in walk(slope) if not _moved(part))):
        if isinstance(read, Read | BoolRead) and read.tensor not in params:
            axes = tuple(Axis(inside.get(p.as_symbol or "", Poly.sym(f"n{k}`"))) for k, p in enumerate(read.index))
            kind = "bool" if isinstance(read, BoolRead) else "real"
            params[read.tensor] = Param(read.tensor, kind, axes, const=not _varies(graph, read.tensor))
            domain += _range_facts(read, ranges) if isinstance(read, Read) else []
    lower = tuple(IntCmp(">=", Poly.sym(s) - low) for s, low in ranges.facts.context.lower.items())
    output = Param("y", "real", tuple(map(Axis, extents)))
    formula = Formula("y", indices, extents, body, node.span)
    return OpDef(node.name, (), tuple(params.values()), output, formula, node.span, lower, tuple(domain))


def _moved(part: Term | Cond) -> bool:
    """Whether a tangent is read."""
    value = part.tensor.removeprefix(TANGENT) if isinstance(part, Read) else ""
    return isinstance(part, Read) and value != part.tensor and value_id(ungrouped(value)) is not None


def _varies(graph: Graph, name: str) -> bool:
    """Whether a value depends on Γ other than through `const` inputs; inputs of Δ never do.

    What does not must stay where it is: max(x, v) at v = 0 has other sides where v may move than where it is a number.
    """
    id_ = value_id(ungrouped(name))
    return id_ is not None and varying(graph)[id_]


def _range_facts(read: Read, ranges: Ranges) -> list[Cond]:
    known = ranges.reads.get(ungrouped(read.tensor), ANY)
    out: list[Cond] = []
    if known.low is not None:
        out.append(RealCmp("<" if known.low_open else "<=", Num(known.low), read))
    if known.high is not None:
        out.append(RealCmp("<" if known.high_open else "<=", read, Num(known.high)))
    return out


@dataclass(slots=True)
class _Slopes:
    """The tangents of nodes by the jvp that runs, over the tangents of what they read, as `deeper` puts formulas in."""

    graph: Graph
    timeout: float
    own: bool = False  # whether some rule takes values of its own at ties

    def of(self, node: Node) -> Term:
        """The tangent of a node's entry, in the graph's names; a value's tangent has its name behind `d`."""
        op = self.graph.ops[node.op]
        jvp = rules_of(op).jvp
        if jvp is None:
            return ZERO
        body = derived_jvp(replace(op, kinks=()))
        if not calculus_runs(op, self.timeout):
            self.own = True
            own = dict(zip(jvp.result.indices, map(Poly.sym, op.forward.indices), strict=True))
            body = substitute(unfolded(op, jvp.result.body), own)  # type: ignore[arg-type]  # a jvp is real
        plain = Instance.of(self.graph, node)
        names = {p.name: plain.tensors[p.name] for p in op.params if p.differentiable}
        body = without(body, {TANGENT + p for p, name in names.items() if not _varies(self.graph, name)})
        tangents = {TANGENT + p: TANGENT + name for p, name in names.items()}
        kept = {TANGENT + p: plain.kept[p] for p in names}
        return replace(plain, tensors=plain.tensors | tangents, kept=plain.kept | kept).term(body)

    def put(self, read: Read) -> Term:
        """What a value's entry, or its tangent's, is made of; the read itself where that is not put in."""
        if not _moved(read):
            return formula_of(self.graph, read, constants=False)
        node = whole(self.graph, replace(read, tensor=read.tensor[len(TANGENT) :]))
        return read if node is None else at_entry(self.graph, node, self.of(node), read.index) or read


def _rules(op: OpDef, slope: Term | None) -> RuleSet:
    jvp = Formula("y", op.forward.indices, op.forward.extents, derived_jvp(op) if slope is None else slope, op.span)
    return RuleSet(op, Computation((), op.forward), Computation((), jvp), ())


def _jump(graph: Graph, op: OpDef, rules: RuleSet, proof: Proof, options: Options) -> str:
    """Where the node's formula seems to jump, in the values that it reads."""
    if "jumps" not in proof.reason:
        return ""
    from gradproof.verifier.refute import Search

    text = Search(op, rules, min(1.0, options.search), options.seed).jump()
    for node in graph.nodes:
        text = text.replace(value_name(node.id), node.name)
    return text


def _hunt(graph: Graph, op: OpDef, rules: RuleSet, proof: Proof, options: Options) -> Counterexample | None:
    """A point of the graph's inputs where a result's derivative leaves Clarke's bounds.

    Only where the result is put together from inputs alone: values in between can't take any value they like.
    """
    from gradproof.verifier.refute import Search

    inputs = {value_name(leaf.id): leaf.name for leaf in graph.gamma} | {d.name: d.name for d in graph.delta}
    if not proof.transversal or any(p.name not in inputs for p in op.params) or _integers(rules):
        return None
    shapes = {value_name(n.id): n.type.shape for n in graph.gamma} | {d.name: d.type.shape for d in graph.delta}
    sized = tuple(replace(p, axes=tuple(map(Axis, squeezed(shapes[p.name])))) for p in op.params)
    found = Search(replace(op, params=sized), rules, options.search, options.seed).kink()
    if found is None:
        return None
    expected, got = found.expected, found.got
    for name, own in inputs.items():
        expected, got = expected.replace(f"d{name}[", f"d{own}["), got.replace(f"d{name}[", f"d{own}[")
    named = {inputs.get(name, name): value for name, value in found.values.items()}
    note = f"the formula of {op.name} in the graph's inputs"
    return replace(found, values=named, expected=expected, got=got, note=note)
