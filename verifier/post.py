"""POST: what a graph ensures of its values and of their derivatives, for all sizes and all inputs that it assumes.

A statement is `left rel right` at generic indices, where its condition holds. The graph's formulas are put together
step by step until the two sides are seen to be related, by intervals or by the normal form. `grad(y[i], x[j])` is what
the program gives: the coefficient of dx[j] in the tangent of y[i], in which nothing but x is left to vary. That is the
calculus's derivative of the formula of y[i], except at nodes whose rule uses values of its own at ties, or cuts an
input: there it is the jvp that runs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction

from gradproof.compiler.calculus import derivative
from gradproof.compiler.claims import Claim, Verdict
from gradproof.compiler.dims import Poly
from gradproof.compiler.graph import Bound, Entrywise, Env, Gradient, Graph, Node, Ref
from gradproof.compiler.rewriting import rename_tensors, rename_tensors_cond, replace_reads, tensors, walk
from gradproof.compiler.rules import rules_of
from gradproof.compiler.terms import (
    TRUE,
    ZERO,
    And,
    Cond,
    IntCmp,
    Num,
    Read,
    RealCmp,
    Term,
    both,
    fresh,
    indicator,
    int_eq,
    negate,
    select,
    size,
)
from gradproof.verifier.derivatives import calculus_runs
from gradproof.verifier.equality import equal
from gradproof.verifier.expanded import expanded, expanded_cond, moved, tangent_at
from gradproof.verifier.facts import ungrouped, value_name
from gradproof.verifier.graph_domains import Ranges
from gradproof.verifier.options import Options
from gradproof.verifier.proofs import ALL_SIZES
from gradproof.verifier.ranges import Context
from gradproof.verifier.signs import Bounds, settles

SIZE = 900  # terms in a formula that is put together from nodes
STEPS = 12


def verdict(graph: Graph, claim: Claim, position: int, ranges: Ranges, options: Options) -> Verdict:
    """The verdict on `ensure` number `position`."""
    from gradproof.verifier.entry_refute import violates_entrywise
    from gradproof.verifier.graph_refute import violates

    ensure = graph.ensures[position]
    claim = replace(claim, span=ensure.span)
    statement = ensure if isinstance(ensure, Entrywise) else generic(graph, ensure)
    if statement is None:
        return Verdict(
            claim,
            "unknown",
            "",
            ALL_SIZES,
            0.0,
            reason=f"{ensure.text}: integers and conditions are not bounded; assume it of an input",
        )
    by = _proved(graph, statement, ranges, options)
    if by:
        return Verdict(claim, "proved", by, ALL_SIZES, 0.0)
    found = (
        violates_entrywise(graph, ensure, options)
        if isinstance(ensure, Entrywise)
        else violates(graph, ensure, options)
    )
    if found is not None:
        scope = ", ".join(f"{name} = {value}" for name, value in found.dims.items()) or "at one point"
        advice = tuple(_weaker(graph, statement, ranges, options)) if options.repair > 0 else ()
        return Verdict(claim, "refuted", "replay", scope, 0.0, counterexample=found, advice=advice)
    return Verdict(claim, "unknown", "", ALL_SIZES, 0.0, reason="not proved, and no counterexample was found")


def _weaker(graph: Graph, statement: Entrywise, ranges: Ranges, options: Options) -> Iterator[str]:
    """The statement with equality allowed, where that is proved."""
    if statement.rel == "<" and _proved(graph, replace(statement, rel="<="), ranges, options):
        text = re.sub(r"([<>])(?!=)", r"\1=", statement.text, count=1)
        yield f"ensure {text}  # proved: equality allowed"


def generic(graph: Graph, bound: Bound) -> Entrywise | None:
    """A relation between whole values, as one between entries: broadcasting lines the axes up from the last one."""
    nodes = [graph.nodes[s] for s in (bound.left, bound.right) if isinstance(s, int) and not isinstance(s, bool)]
    if any(node.type.kind != "real" for node in nodes) or any(isinstance(s, str) for s in (bound.left, bound.right)):
        return None
    rank = max((len(node.type.shape) for node in nodes), default=0)
    names = [fresh("e") for _ in range(rank)]
    extents: dict[str, Poly] = {}

    def side(value: int | str | Fraction | Poly) -> Term:
        if isinstance(value, Poly):
            return size(value)
        if isinstance(value, Fraction):
            return Num(value)
        shape = graph.nodes[int(value)].type.shape
        index = []
        for name, extent in zip(names[rank - len(shape) :], shape, strict=True):
            if extent != 1:
                extents[name] = extent
            index.append(Poly.of(0) if extent == 1 else Poly.sym(name))
        return Read(value_name(int(value)), tuple(index))

    left, right = side(bound.left), side(bound.right)
    values = tuple((value_name(node.id), Ref(node.id)) for node in nodes)
    return Entrywise(tuple(extents.items()), TRUE, left, bound.rel, right, values, (), bound.span, bound.text)


def _proved(graph: Graph, statement: Entrywise, ranges: Ranges, options: Options) -> str:
    names = {name: arg.name if isinstance(arg, Env) else value_name(arg.id) for name, arg in statement.values}
    where = rename_tensors_cond(statement.where, names)
    known = ranges.facts.context.with_ranges(dict(statement.indices))
    # A fact about an entry would be taken for one about all entries: such conditions guard the statement instead.
    parts = where.args if isinstance(where, And) else (where,)
    integers = tuple(c for c in parts if isinstance(c, IntCmp) and not list(c.poly.entries()))
    context = Context(known.lower, known.ranges, (*known.facts, *integers))
    gradients = {g.name: _derivative(graph, g, options.timeout) for g in statement.gradients}
    if None in gradients.values():
        return ""

    def side(term: Term) -> Term:
        named = rename_tensors(term, names)
        return replace_reads(named, lambda read: gradients.get(read.tensor) or read)

    left, right = side(statement.left), side(statement.right)
    for _ in range(STEPS):
        by = _related(statement.rel, left, right, where, context, ranges, options)
        if by:
            return by
        below = expanded(graph, left), expanded(graph, right)
        where = expanded_cond(graph, where)
        if below == (left, right) or sum(1 for one in below for _ in walk(one)) > SIZE:
            return ""
        left, right = below
    return ""


def _related(rel: str, left: Term, right: Term, where: Cond, context: Context, ranges: Ranges, options: Options) -> str:
    goal: Cond = RealCmp("==" if rel == "!=" else rel, left, right)
    if rel == "!=":
        goal = negate(goal)
    if settles(Bounds(context, ranges.reads), goal):
        return "interval"
    if rel == "==":
        found = equal(select(where, left, right), right, context, (), options.timeout)
        return found.by if found.proved else ""
    return ""


def _derivative(graph: Graph, gradient: Gradient, timeout: float) -> Term | None:
    """The coefficient of the tangent of one entry, with everything that it does not vary put in.

    None where it is too large, or where there is a loop or an extern on the way.
    """
    target = value_name(gradient.input)
    along = _Along(graph, gradient.input, frozenset(n.id for n in graph.inner if _by_rule(graph, n, timeout)))
    try:
        found = along.tangent(Read(value_name(gradient.output), gradient.at))
    except _Unknown:
        return None
    return _coefficient(found, moved(target), gradient.to)


def _by_rule(graph: Graph, node: Node, timeout: float) -> bool:
    """Whether a node's tangent is not what the calculus makes of its formula: at ties, and where an input is const."""
    if node.op in graph.loops or node.type.kind != "real":
        return False
    op = graph.ops[node.op]
    return any(p.const for p in op.params if p.kind == "real") or not calculus_runs(op, timeout)


class _Unknown(Exception):
    """No formula is known for a tangent."""


@dataclass(frozen=True, slots=True)
class _Along:
    """Tangents with respect to one value: by the calculus, and at the nodes `ruled` by the jvp that runs."""

    graph: Graph
    source: int
    ruled: frozenset[int]

    def tangent(self, term: Term) -> Term:
        """The tangent of a term over the graph's values; _Unknown where it is not known or too large."""
        graph = self.graph
        for _ in range(len(graph.nodes)):
            below = expanded(graph, term, self.ruled | {self.source})
            if below == term:
                break
            term = below
            if sum(1 for _ in walk(term)) > SIZE:
                raise _Unknown
        opaque = {value_name(n.id) for n in graph.inner if n.id != self.source and _opaque(graph, n)}
        if not opaque.isdisjoint(map(ungrouped, tensors(term))):
            raise _Unknown  # what a loop or an extern computes has no formula here, and is no constant
        varying = {value_name(id_): id_ for id_ in (*self.ruled, self.source)}
        found = derivative(term, {name: moved(name) for name in varying})
        ruled = {moved(name): graph.nodes[id_] for name, id_ in varying.items() if id_ != self.source}
        return replace_reads(found, lambda r: self.at(ruled[r.tensor], r.index) if r.tensor in ruled else r)

    def at(self, node: Node, index: tuple[Poly, ...]) -> Term:
        """One entry of a node's tangent, by the jvp that runs."""
        jvp = rules_of(self.graph.ops[node.op]).jvp
        if jvp is None:
            return ZERO
        tangents = {moved(value_name(a.id) if isinstance(a, Ref) else a.name): a for a in node.args}
        body = tangent_at(self.graph, node, jvp.result, index)

        def one(read: Read) -> Term:
            arg = tangents.get(read.tensor)
            if arg is None:
                return read
            return self.tangent(Read(value_name(arg.id), read.index)) if isinstance(arg, Ref) else ZERO

        return replace_reads(body, one)


def _opaque(graph: Graph, node: Node) -> bool:
    return node.op in graph.loops or bool(graph.ops[node.op].externs)


def _coefficient(term: Term, tangent: str, index: tuple[Poly, ...]) -> Term:
    """A term that is linear in the tangent, at the tangent that is 1 at one index and 0 elsewhere."""

    def one(read: Read) -> Term:
        if read.tensor != tangent:
            return read
        return indicator(both(*(int_eq(a, b) for a, b in zip(read.index, index, strict=True))))

    return replace_reads(term, one)
