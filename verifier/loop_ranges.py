"""The interval of what a loop's table holds, column by column, and of what is read out of it.

A column's entries are those of row 0, the initial state, and those of the later rows, results of the body. The body's
ranges are found under what it assumes, so first that is shown to be an invariant, from intervals alone: the arguments
lie in what is assumed of them, and so do the new states. Where that does not follow nothing is known of the table.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import reduce

from gradproof.compiler.dims import Poly
from gradproof.compiler.graph import Env, Graph, LoopDef, Node, Ref
from gradproof.compiler.rewriting import walk
from gradproof.compiler.terms import Read, Reduce, Term
from gradproof.verifier.facts import facts_of, value_name, wide
from gradproof.verifier.intervals import ANY, Interval, point
from gradproof.verifier.ranges import Context


@dataclass(frozen=True, slots=True)
class Table:
    """A loop's table: the interval of each column in row 0 (`first`) and in the later rows (`rest`)."""

    loop: LoopDef
    first: tuple[Interval, ...]
    rest: tuple[Interval, ...]

    @property
    def every(self) -> Interval:
        """The interval of all entries."""
        return reduce(Interval.join, (*self.first, *self.rest))


def table_of(graph: Graph, node: Node, before: Mapping[str, Interval], inside: Mapping[str, Interval]) -> Table:
    """What is known of the table of a node that is a loop.

    `before` are the ranges of the graph's nodes before it, `inside` those of the body's, under what the body assumes.
    """
    loop = graph.loops[node.op]
    given = {
        name: before.get(arg.name if isinstance(arg, Env) else value_name(arg.id), ANY)
        for (name, _), arg in zip(loop.roles, node.args, strict=True)
    }
    count = len(loop.states)
    first = tuple(given[name] for name in loop.states) + (point(Fraction(0)),) * (len(loop.body.outputs) - count)
    rest = tuple(inside.get(value_name(id_), ANY) for id_ in loop.body.outputs)
    if _invariant(graph, node, loop, given, dict(zip(loop.states, rest, strict=False))):
        return Table(loop, first, rest)
    return Table(loop, (ANY,) * len(first), (ANY,) * len(rest))


def _invariant(
    graph: Graph, node: Node, loop: LoopDef, given: Mapping[str, Interval], after: Mapping[str, Interval]
) -> bool:
    """Whether the body's assumes hold at every step: of the arguments, and of the new states."""
    assumed = facts_of(loop.body).ranges
    keys = {n.name: value_name(n.id) for n in loop.body.gamma} | {d.name: d.name for d in loop.body.delta}
    for name, _ in loop.roles:
        wanted = assumed.get(keys[name], ANY)
        if not all(_within(found, wanted) for found in (given[name], after.get(name, wanted))):
            return False
    known = {(b.left, b.rel, b.right) for b in graph.assumes}
    return all(asked in known for asked in _of_integers(node, loop))


def _of_integers(node: Node, loop: LoopDef) -> Iterator[tuple[object, str, object]]:
    """What the body assumes of its integer inputs, said of the node's arguments."""
    arguments = {name: arg for (name, _), arg in zip(loop.roles, node.args, strict=True)}
    for bound in loop.body.assumes:
        for name in (bound.left, bound.right):
            if isinstance(name, str) and loop.type_of(name).kind == "int":
                arg = arguments[name]
                outside = arg.id if isinstance(arg, Ref) else arg.name
                left, right = (outside if side == name else side for side in (bound.left, bound.right))
                yield left, bound.rel, right


def _within(found: Interval, wanted: Interval) -> bool:
    return found.join(wanted) == wanted


def read_out(term: Term, name: str, table: Table, context: Context) -> Interval:
    """The interval of all that a term reads of a table: of one column, and of the later rows, where that is certain."""
    if any(isinstance(node, Reduce) for node in walk(term)):
        return table.every  # a bound index is not what the context says of its name
    extents = tuple(axis.extent for axis in table.loop.output.axes)
    out: list[Interval] = []
    for node in walk(term):
        if isinstance(node, Read) and node.tensor == name:
            out.append(_entry(node.index, wide(extents), table, context))
        elif isinstance(node, Read) and node.tensor.split("|")[0] == name:
            out.append(table.every)
    return reduce(Interval.join, out) if out else table.every


def _entry(index: Sequence[Poly], kept: tuple[int, ...], table: Table, context: Context) -> Interval:
    if len(index) != len(kept):
        return table.every
    at = dict(zip(kept, index, strict=True))
    row, place = at.get(0, Poly.of(0)), at.get(1, Poly.of(0))
    for k, column in enumerate(table.loop.columns):
        inside = place - column.offset
        if context.nonnegative(inside) and context.nonnegative(Poly.product(column.shape) - 1 - inside):
            later = context.nonnegative(row - 1)
            return table.rest[k] if later else table.first[k].join(table.rest[k])
    return table.every
