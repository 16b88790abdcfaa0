"""A node's formula and what the chain rule makes of it, put together with the nodes before it, step by step.

The tangent is that of the jvp that runs: the calculus's derivative of each formula or, where a node's own rule takes
other values at its ties, that rule. Two ways: with the axes grouped as the operators group them (a pack is one axis),
or axis by axis, where values that are read under several groupings meet again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from gradproof.compiler.branches import varying
from gradproof.compiler.dims import Poly
from gradproof.compiler.graph import Graph, Node
from gradproof.compiler.ops import TANGENT, Formula, OpDef
from gradproof.compiler.rewriting import map_children, map_cond, replace_reads, substitute
from gradproof.compiler.rules import derived_jvp, meaning_of, rules_of, unfolded, without
from gradproof.compiler.terms import ZERO, BoolRead, Cond, Read, Term, fresh
from gradproof.verifier.derivatives import calculus_runs
from gradproof.verifier.expanded import condition_at, entry_at, moved, tangent_at
from gradproof.verifier.facts import Instance, apart, squeezed, ungrouped, value_id, value_name
from gradproof.verifier.together import at_entry, conditions, deeper, entry_of, producer, whole

Shape = tuple[Poly, ...]


@dataclass(slots=True)
class Composed:
    """The formula `body` of one entry of a node, at `indices` below `extents`, and its tangent `slope`.

    A value's tangent has the value's name behind `d`; what does not vary with Γ has none.
    """

    graph: Graph
    node: Node
    timeout: float
    body: Term = ZERO
    slope: Term = ZERO
    indices: tuple[str, ...] = ()
    extents: Shape = ()
    own: bool = (
        False  # whether some rule takes values of its own at ties: elsewhere `slope` is the derivative of `body`
    )

    def start(self) -> None:
        """The node's own formula, with the conditions that it takes."""
        op, instance = self.graph.ops[self.node.op], Instance.of(self.graph, self.node)
        self.indices = tuple(apart(n) for n in op.forward.indices)
        self.extents = tuple(instance.extent(e) for e in op.forward.extents)
        self.body = conditions(self.graph, instance.term(meaning_of(op)))
        self.slope = conditions(self.graph, self._tangent(self.node))

    def deepen(self) -> bool:
        """Put in the formulas of the values that are read, but of those that cut the derivative; False: none is."""
        below = deeper(self.graph, self.body, constants=False)
        found = below != self.body
        self.body, self.slope = below, conditions(self.graph, replace_reads(self.slope, self._put))
        return found

    def shape(self, given: Shape) -> Shape:
        """The axes under which an input of this shape is read."""
        return squeezed(given)

    def _put(self, read: Read) -> Term:
        node = whole(self.graph, replace(read, tensor=valued(read)))
        if node is None:
            return read
        if valued(read) != read.tensor:
            return at_entry(self.graph, node, self._tangent(node), read.index) or read
        return entry_of(self.graph, node, read.index) or read

    def _tangent(self, node: Node) -> Term:
        plain, op = Instance.of(self.graph, node), self._op(node)
        names = {p.name: plain.tensors[p.name] for p in op.params if p.differentiable}
        still = {TANGENT + p for p, name in names.items() if not varies(self.graph, name)}
        tangents = {TANGENT + p: TANGENT + name for p, name in names.items()}
        kept = {TANGENT + p: plain.kept[p] for p in names}
        instance = replace(plain, tensors=plain.tensors | tangents, kept=plain.kept | kept)
        return instance.term(without(self._rule(op), still))

    def _rule(self, op: OpDef) -> Term:
        """The jvp that runs, at the indices of the formula."""
        jvp = rules_of(op).jvp
        if jvp is None:
            return ZERO
        if calculus_runs(op, self.timeout):
            return derived_jvp(replace(op, kinks=()))
        self.own = True
        own = dict(zip(jvp.result.indices, map(Poly.sym, op.forward.indices), strict=True))
        return substitute(unfolded(op, jvp.result.body), own)  # type: ignore[arg-type]  # a jvp is real

    def _op(self, node: Node) -> OpDef:
        return self.graph.ops[node.op]


class AxisByAxis(Composed):
    """The same with an index for each axis of the node's value, packs written out."""

    def start(self) -> None:
        """As in `Composed`."""
        shape = self.node.type.shape
        names = [fresh("e") for _ in shape]
        index = tuple(Poly.of(0) if e == 1 else Poly.sym(n) for n, e in zip(names, shape, strict=True))
        wide = [(n, e) for n, e in zip(names, shape, strict=True) if e != 1]
        self.indices, self.extents = tuple(n for n, _ in wide), tuple(e for _, e in wide)
        self.body = self._seen(entry_at(self.graph, self.node, index))
        self.slope = self._seen(self._tangent_at(self.node, index))

    def deepen(self) -> bool:
        """As in `Composed`."""
        below = self._seen(replace_reads(self.body, self._put))
        found = below != self.body
        self.body, self.slope = below, self._seen(replace_reads(self.slope, self._put))
        return found

    def shape(self, given: Shape) -> Shape:
        """As in `Composed`."""
        return given

    def _put(self, read: Read) -> Term:
        node = whole(self.graph, replace(read, tensor=valued(read)))
        if node is None:
            return read
        at = self._tangent_at if valued(read) != read.tensor else self._entry_at
        return at(node, read.index)

    def _entry_at(self, node: Node, index: Shape) -> Term:
        return entry_at(self.graph, node, index)

    def _tangent_at(self, node: Node, index: Shape) -> Term:
        op = self._op(node)
        rule = Formula("y", op.forward.indices, op.forward.extents, self._rule(op), op.span)
        values = {moved(value_name(n.id)): value_name(n.id) for n in self.graph.nodes}

        def named(read: Read) -> Term:
            if not read.tensor.startswith(moved("")):
                return read
            name = values.get(read.tensor, "")
            return Read(TANGENT + name, read.index) if name and varies(self.graph, name) else ZERO

        return replace_reads(tangent_at(self.graph, node, rule, index), named)

    def _seen(self, term: Term) -> Term:
        return map_children(term, self._seen, self._seen_cond)

    def _seen_cond(self, cond: Cond) -> Cond:
        node = producer(self.graph, cond.tensor) if isinstance(cond, BoolRead) else None
        if isinstance(cond, BoolRead):
            return cond if node is None else self._seen_cond(condition_at(self.graph, node, cond.index))
        return map_cond(cond, self._seen, self._seen_cond)


def valued(read: Read) -> str:
    """The name of the value whose entry, or whose tangent's entry, is read."""
    value = read.tensor.removeprefix(TANGENT)
    return value if value_id(ungrouped(value)) is not None else read.tensor


def varies(graph: Graph, name: str) -> bool:
    """Whether a value depends on Γ other than through `const` inputs; inputs of Δ never do.

    What does not must stay where it is: max(x, v) at v = 0 has other sides where v may move than where it is a number.
    """
    id_ = value_id(ungrouped(name))
    return id_ is not None and varying(graph)[id_]
