"""DOM of a graph: every partial function is applied inside its domain, forward and backward, under the assumes.

Ranges flow from the inputs through the graph, node by node, as intervals with open or closed ends. What a node's
operator needs is first asked of these ranges; then of the formula with the nodes before it put in; then of Z3.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gradproof.compiler.graph import Graph, Node, Ref
from gradproof.compiler.rewriting import walk
from gradproof.compiler.rules import meaning_of
from gradproof.compiler.show import show
from gradproof.compiler.terms import Cond, IntCmp, Num, Read, RealCmp, both
from gradproof.grammar.source import Span
from gradproof.verifier.domains import Need, residual, without
from gradproof.verifier.facts import GraphFacts, Instance, facts_of, ungrouped, value_name
from gradproof.verifier.intervals import ANY, Interval
from gradproof.verifier.loop_ranges import Table, read_out, table_of
from gradproof.verifier.ranges import Context
from gradproof.verifier.signs import Bounds, settles
from gradproof.verifier.together import deeper_cond

DEPTH = 6  # how many nodes deep formulas are put together
SIZE = 400  # and how large they may become


@dataclass(frozen=True, slots=True)
class DomainFailure:
    """A need that does not follow."""

    what: str
    node: Node
    span: Span


class Ranges:
    """The interval of every value of a graph, found in id order; equal situations are computed once."""

    def __init__(self, graph: Graph, facts: GraphFacts) -> None:
        self.graph, self.facts = graph, facts
        self.reads: dict[str, Interval] = dict(facts.ranges)
        self.tables: dict[str, Table] = {}  # of the nodes that are loops
        self._cache: dict[object, Interval] = {}
        for node in graph.inner:
            name = value_name(node.id)
            if node.op in graph.loops:
                body = graph.loops[node.op].body
                inside = Ranges(body, facts_of(body)).reads
                self.tables[name] = table_of(graph, node, self.reads, inside)
                self.reads[name] = self.tables[name].every
            elif node.type.kind == "real":
                self.reads[name] = self._range(node)

    def key(self, node: Node) -> object:
        """All that a node's needs and range depend on: which arguments are the same, and their ranges."""
        instance = Instance.of(self.graph, node)
        first: dict[str, int] = {}
        pattern = tuple(first.setdefault(name, len(first)) for name in instance.tensors.values())
        known = tuple(self.reads.get(ungrouped(name), ANY) for name in instance.tensors.values())
        named = zip(instance.tensors.values(), node.args, strict=True)
        deltas = tuple("" if isinstance(arg, Ref) else name for name, arg in named)
        tables = tuple(name for name in instance.tensors.values() if ungrouped(name) in self.tables)
        return (node.op, node.attrs, node.sizes, pattern, known, deltas, tables)

    def _range(self, node: Node) -> Interval:
        key = self.key(node)
        if key not in self._cache:
            op = self.graph.ops[node.op]
            instance = Instance.of(self.graph, node)
            inside = dict(zip(op.forward.indices, op.forward.extents, strict=True))
            context = instance.context(self.facts.context, inside)
            term = instance.term(meaning_of(op))
            read = {name for name in map(ungrouped, instance.tensors.values()) if name in self.tables}
            known = {name: read_out(term, name, self.tables[name], context) for name in read}
            self._cache[key] = Bounds(context, {**self.reads, **known} if known else self.reads).of(term)
        return self._cache[key]


def check_domains(graph: Graph, ranges: Ranges, timeout: float) -> list[DomainFailure]:
    """The needs of the graph's operators that do not follow (nothing: DOM is proved)."""
    failures: list[DomainFailure] = []
    settled: set[object] = set()
    for node in graph.inner:
        if node.op in graph.loops:
            continue  # the body has a DOM of its own, for every state that its assumes allow
        needs = residual(graph.ops[node.op])
        if not needs or (key := ranges.key(node)) in settled:
            continue
        depths = [_holds(graph, node, need, ranges, timeout) for need in needs]
        if all(depth == 0 for depth in depths):
            # Only what follows from the ranges alone follows at every node with the same ranges.
            settled.add(key)
        open_ = [need for need, depth in zip(needs, depths, strict=True) if depth is None]
        failures += [DomainFailure(_words(need), node, node.span) for need in open_]
    return failures


def _words(need: Need) -> str:
    return f"{show(need.requirement.cond)} ({need.requirement.why})"


def _holds(graph: Graph, node: Node, need: Need, ranges: Ranges, timeout: float) -> int | None:
    """How many nodes deep the need was shown; None where it was not."""
    instance = Instance.of(graph, node)
    context = instance.context(ranges.facts.context, need.context.ranges)
    requirement = need.requirement
    if requirement.exists:
        own, extent = requirement.binders[-1]
        outside = instance.context(ranges.facts.context, without(need.context, own).ranges)
        return 0 if outside.inhabited(own, instance.extent(extent), instance.cond(requirement.cond)) else None
    cond, path = instance.cond(requirement.cond), tuple(instance.cond(c) for c in requirement.path)
    for depth in range(DEPTH):
        if _settled(cond, path, context, ranges):
            return depth
        below = deeper_cond(graph, cond), tuple(deeper_cond(graph, c) for c in path)
        if below == (cond, path) or sum(1 for _ in walk(below[0])) > SIZE:
            break
        cond, path = below
    return DEPTH if _solver_holds(cond, path, context, ranges, timeout, graph) else None


def _settled(cond: Cond, path: tuple[Cond, ...], context: Context, ranges: Ranges) -> bool:
    reals = tuple(c for c in path if isinstance(c, RealCmp))
    integers = tuple(c for c in path if isinstance(c, IntCmp))
    return settles(Bounds(context.with_facts(integers), ranges.reads, reals), cond)


def _solver_holds(
    cond: Cond, path: tuple[Cond, ...], context: Context, ranges: Ranges, timeout: float, graph: Graph
) -> bool:
    from gradproof.verifier.smt import prove_real

    everything = both(cond, *path)
    hypotheses = [*context.known(cond), *path, *_range_facts(everything, ranges), *_relations(everything, graph)]
    return prove_real(cond, hypotheses, timeout).answer == "proved"


def _range_facts(cond: Cond, ranges: Ranges) -> Iterator[Cond]:
    for node in set(walk(cond)):
        if isinstance(node, Read) and ungrouped(node.tensor) in ranges.reads:
            known = ranges.reads[ungrouped(node.tensor)]
            if known.low is not None:
                yield RealCmp("<" if known.low_open else "<=", Num(known.low), node)
            if known.high is not None:
                yield RealCmp("<" if known.high_open else "<=", node, Num(known.high))


def _relations(cond: Cond, graph: Graph) -> Iterator[Cond]:
    """What is assumed between two real inputs, `assume lo < hi`, at the places that are read of either one.

    Inputs of one shape lie alike under every grouping of their axes; an input without axes is one number everywhere.
    """
    types = {value_name(node.id): node.type for node in graph.gamma} | {d.name: d.type for d in graph.delta}
    reads = {node for node in walk(cond) if isinstance(node, Read)}
    for bound in graph.assumes:
        sides = [value_name(s) if isinstance(s, int) else s for s in (bound.left, bound.right)]
        names = [side for side in sides if isinstance(side, str) and side in types and types[side].kind == "real"]
        if len(names) != 2 or bound.rel == "!=":
            continue
        alike = types[names[0]].shape == types[names[1]].shape
        for read in sorted(reads, key=str):
            own = ungrouped(read.tensor)
            if own not in names or not (alike or types[own].shape):
                continue
            grouping = read.tensor[len(own) :]
            if all(alike or name == own or not types[name].shape for name in names):
                left, right = (
                    Read(name + grouping, read.index) if alike or name == own else Read(name, ()) for name in names
                )
                yield RealCmp(bound.rel, left, right)
