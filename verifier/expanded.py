"""A graph's values axis by axis: the formula of one entry at indices of the value's own axes, packs written out.

A pack is one row-major axis of an operator's formula. Here each of its axes has an index of its own, so that values
that pass through operators with other groupings of the same axes meet again. A flat index that is no pack's own index
is taken apart with `//` and `%`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gradproof.compiler.dims import Entry, Poly
from gradproof.compiler.graph import Arg, Env, Graph, Node
from gradproof.compiler.ops import TANGENT, Formula, Param
from gradproof.compiler.rewriting import map_children, map_cond, substitute, substitute_cond
from gradproof.compiler.rules import meaning_of, unfolded
from gradproof.compiler.terms import (
    TRUE,
    BoolRead,
    Cond,
    IntCmp,
    Num,
    Read,
    Reduce,
    Size,
    Term,
    fresh,
    int_eq,
    int_ge,
    reduce_,
    size,
)
from gradproof.verifier.facts import value_id, value_name

Shape = tuple[Poly, ...]


def expanded(graph: Graph, term: Term, keep: frozenset[int] = frozenset()) -> Term:
    """The term with each computed value that it reads replaced by its node's formula, one step deeper.

    Values in `keep` stay.
    """
    match term:
        case Read():
            node = _producer(graph, term.tensor, keep)
            return term if node is None else entry_at(graph, node, term.index)
        case Reduce(kind, var, extent, guard, body):
            renamed = fresh(var)
            apart = {var: Poly.sym(renamed)}
            inner = expanded_cond(graph, substitute_cond(guard, apart), keep)
            return reduce_(kind, renamed, extent, inner, expanded(graph, substitute(body, apart), keep))
        case _:
            return map_children(term, lambda t: expanded(graph, t, keep), lambda c: expanded_cond(graph, c, keep))


def expanded_cond(graph: Graph, cond: Cond, keep: frozenset[int] = frozenset()) -> Cond:
    """`expanded`, for conditions."""
    if isinstance(cond, BoolRead):
        node = _producer(graph, cond.tensor, frozenset())
        return cond if node is None else condition_at(graph, node, cond.index)
    return map_cond(cond, lambda t: expanded(graph, t, keep), lambda c: expanded_cond(graph, c, keep))


def _producer(graph: Graph, name: str, keep: frozenset[int]) -> Node | None:
    id_ = value_id(name)
    if id_ is None or id_ < graph.leaves or id_ in keep:
        return None
    node = graph.nodes[id_]
    if node.op in graph.loops:
        return None
    op = graph.ops[node.op]
    if op.externs:
        return None  # what an extern computes has no formula
    return None if op.output.kind == "int" else node


def entry_at(graph: Graph, node: Node, index: Shape) -> Term:
    """One entry of a real node's value, as a term over entries of its arguments."""
    op = graph.ops[node.op]
    place = _Place.of(graph, node, index)
    return place.term(meaning_of(op))


def condition_at(graph: Graph, node: Node, index: Shape) -> Cond:
    """One entry of a boolean node's value, as a condition."""
    body = graph.ops[node.op].forward.body
    if not isinstance(body, Cond):
        raise TypeError(f"{node.op} is not boolean")
    return _Place.of(graph, node, index).cond(body)


def tangent_at(graph: Graph, node: Node, rule: Formula, index: Shape) -> Term:
    """One entry of a node's tangent by a jvp, over entries of its arguments and of their tangents, `moved(...)`."""
    own = dict(zip(rule.indices, map(Poly.sym, graph.ops[node.op].forward.indices), strict=True))
    body = substitute(unfolded(graph.ops[node.op], rule.body), own)  # type: ignore[arg-type]  # a jvp is real
    place = _Place.of(graph, node, index)
    inputs = [(p, arg) for p, arg in zip(graph.ops[node.op].params, node.args, strict=True) if p.differentiable]
    place.names = {**place.names, **{TANGENT + p.name: moved(_called(arg)) for p, arg in inputs}}
    place.params = {**place.params, **{TANGENT + p.name: p for p, _ in inputs}}
    return place.term(body)


def moved(name: str) -> str:
    """What the tangent of a value is called in a graph's terms; nothing else has such a name."""
    return f"d {name}"


@dataclass(slots=True)
class _Place:
    """An operator's names at one entry of one node; `digits` gives the indices of a pack for its flat index."""

    names: Mapping[str, str]
    params: Mapping[str, Param]
    packs: Mapping[str, Shape]
    sizes: Mapping[str, Poly]
    reals: Mapping[str, Num]
    digits: dict[str, tuple[str, Shape]]
    values: dict[str, Poly]
    entries: dict[str, Poly]

    @staticmethod
    def of(graph: Graph, node: Node, index: Shape) -> _Place:
        op = graph.ops[node.op]
        given = dict(node.sizes)
        packs = {name: extents for name, extents in given.items() if name.endswith("..")}
        sizes = {name: Poly.product(extents) for name, extents in given.items()}
        sizes |= {name: value for name, value in node.attrs if isinstance(value, Poly)}
        reals = {name: Num(value) for name, value in node.attrs if not isinstance(value, Poly)}
        names = {p.name: _called(arg) for p, arg in zip(op.params, node.args, strict=True)}
        place = _Place(names, {p.name: p for p in op.params}, packs, sizes, reals, {}, {}, {})
        at = 0
        for name, axis in zip(op.forward.indices, op.output.axes, strict=True):
            width = len(packs[axis.pack]) if axis.pack is not None else 1
            place.bind(name, axis.pack, index[at : at + width])
            at += width
        return place

    def bind(self, name: str, pack: str | None, index: Shape) -> None:
        """Say what an index of the formula is here."""
        if pack is None:
            self.values[name] = index[0]
            return
        self.digits[name] = (pack, index)
        self.values[name] = flat(index, self.packs[pack])

    def term(self, term: Term) -> Term:
        """The operator's term in the graph's names."""
        match term:
            case Size(poly):
                return size(self.poly(poly))
            case Read(tensor, index):
                if tensor in self.reals and not index:
                    return self.reals[tensor]
                return Read(self.names[tensor], self.place(tensor, index))
            case Reduce():
                return self.reduce(term)
            case _:
                return map_children(term, self.term, self.cond)

    def reduce(self, term: Reduce) -> Term:
        """A binder over a pack becomes one over each of its axes: nothing is lost where the guard is put innermost."""
        pack = term.extent.as_symbol
        shape = self.packs.get(pack) if pack is not None else None
        # The maximum of nothing is undefined, so inner ranges must be empty only where all is: no guard then.
        if shape is None or pack is None or (term.kind in ("max", "min") and term.guard != TRUE):
            name = fresh(term.var)
            self.values[term.var] = Poly.sym(name)
            return reduce_(term.kind, name, self.poly(term.extent), self.cond(term.guard), self.term(term.body))
        names = tuple(fresh(term.var) for _ in shape)
        self.bind(term.var, pack, tuple(map(Poly.sym, names)))
        guard, body = self.cond(term.guard), self.term(term.body)
        if not names:
            # An axis-free pack has one entry; a guard that fails leaves out even that.
            name = fresh(term.var)
            return body if guard == TRUE else reduce_(term.kind, name, Poly.of(1), guard, body)
        for k, (name, extent) in enumerate(reversed(list(zip(names, shape, strict=True)))):
            body = reduce_(term.kind, name, extent, guard if k == 0 else TRUE, body)
        return body

    def cond(self, cond: Cond) -> Cond:
        """The operator's condition in the graph's names."""
        match cond:
            case IntCmp(">=", poly):
                return int_ge(self.poly(poly), 0)
            case IntCmp(_, poly):
                return int_eq(self.poly(poly), 0)
            case BoolRead(tensor, index):
                return BoolRead(self.names[tensor], self.place(tensor, index))
            case _:
                return map_cond(cond, self.term, self.cond)

    def poly(self, poly: Poly) -> Poly:
        """An integer expression in the graph's names."""
        named = poly.rename_entries(self.entry)
        return named.substitute({**self.sizes, **self.values, **self.entries})

    def entry(self, entry: Entry) -> Poly:
        """A symbol of its own stands for an entry, so that its index, which is in the graph's names, stays as it is."""
        name = fresh("entry")
        self.entries[name] = Poly.atom(Entry(self.names[entry.tensor], self.place(entry.tensor, entry.index)))
        return Poly.sym(name)

    def place(self, tensor: str, index: Shape) -> Shape:
        """Where a read of an input stands, by the axes of the value that is given for it."""
        found: list[Poly] = []
        for axis, poly in zip(self.params[tensor].axes, index, strict=True):
            if axis.pack is None:
                found.append(self.poly(poly))
                continue
            shape = self.packs[axis.pack]
            own = self.digits.get(str(poly.as_symbol))
            found += own[1] if own is not None and self.packs[own[0]] == shape else apart(self.poly(poly), shape)
        return tuple(found)


def _called(arg: Arg) -> str:
    return arg.name if isinstance(arg, Env) else value_name(arg.id)


def flat(index: Shape, shape: Shape) -> Poly:
    """The row-major position."""
    position = Poly.of(0)
    for one, extent in zip(index, shape, strict=True):
        position = position * extent + one
    return position


def apart(position: Poly, shape: Shape) -> Shape:
    """The indices of a row-major position that is in range."""
    if len(shape) <= 1:
        return (position,) * len(shape)
    found: list[Poly] = []
    for k, extent in enumerate(shape):
        block = Poly.product(shape[k + 1 :])
        found.append(position // block % extent if k else position // block)
    return tuple(found)
