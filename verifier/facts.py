"""What a graph lets its proofs take as known: bounds of dims, conditions on dims, ranges of inputs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction

from gradproof.compiler.dims import Entry, Poly
from gradproof.compiler.graph import Bound, Env, Graph, Node, Ref
from gradproof.compiler.ops import OUTPUT, OpDef, Promise
from gradproof.compiler.rewriting import (
    free_symbols,
    inline_names,
    inline_names_cond,
    map_children,
    map_cond,
    replace_reads,
    replace_reads_cond,
)
from gradproof.compiler.terms import BoolRead, Cond, IntCmp, Num, Read, Term, fresh, int_eq, int_ge, int_lt, negate
from gradproof.verifier.intervals import ANY, Interval
from gradproof.verifier.promised import proved
from gradproof.verifier.ranges import Context


def value_name(id_: int) -> str:
    """What a node's value is called in terms about the graph; no input has such a name."""
    return f"v{id_}`"


def value_id(name: str) -> int | None:
    """The node whose value is called so; None for inputs of the environment and for other groupings."""
    return int(name[1:-1]) if name.startswith("v") and name.endswith("`") else None


@dataclass(frozen=True, slots=True)
class GraphFacts:
    """`context` for integers; `ranges` bounds the entries of real inputs, by the names that terms use for them."""

    context: Context
    ranges: dict[str, Interval]


def facts_of(graph: Graph) -> GraphFacts:
    """Everything that a graph's dims and assumes say."""
    lower = {dim.name: dim.lower for dim in graph.dims if dim.value is None}
    facts: list[Cond] = [IntCmp(rel, poly) for poly, rel in graph.assume_dims]
    # A tensor with a negative extent can't be given, so every input's extents are taken to be at least 0.
    for shape in [node.type.shape for node in graph.gamma] + [delta.type.shape for delta in graph.delta]:
        facts += [int_ge(extent, 0) for extent in shape if extent.constant is None and extent.as_symbol is None]
    ranges: dict[str, Interval] = {}
    readings = _readings(graph)
    kinds = {delta.name: delta.type for delta in graph.delta}
    for bound in graph.assumes:
        for name, interval in _intervals(graph, bound):
            ranges[name] = ranges.get(name, ANY).meet(interval)
        for side in (bound.left, bound.right):
            if isinstance(side, str) and kinds[side].kind == "int":
                # True of every entry, so under every grouping of the axes.
                for name, rank in readings.get(side, {}).items():
                    facts += _entry_facts(bound, side, name, rank)
    facts += _promised(graph, readings)
    for delta in graph.delta:
        if delta.seeded is not None:
            closed = delta.seeded.kind == "bernoulli"
            ranges[delta.name] = Interval(Fraction(0), Fraction(1), False, not closed)
    return GraphFacts(Context(lower, {}, tuple(facts)), ranges)


def _readings(graph: Graph) -> dict[str, dict[str, int]]:
    """Under which names, with how many axes, each integer value is read: one name for each grouping of its axes."""
    found: dict[str, dict[str, int]] = {}
    for node in graph.inner:
        if node.op in graph.loops:
            continue  # what a body asks of integers is asked in the body, of its own inputs
        op = graph.ops[node.op]
        instance = None
        for param, arg in zip(op.params, node.args, strict=False):
            if param.kind == "int":
                instance = instance or Instance.of(graph, node)
                own = value_name(arg.id) if isinstance(arg, Ref) else arg.name
                found.setdefault(own, {})[instance.tensors[param.name]] = len(param.axes)
    return found


def _promised(graph: Graph, readings: Mapping[str, Mapping[str, int]]) -> list[Cond]:
    """What operators ensure of their integer results, each only where it is proved of the operator (POST)."""
    facts: list[Cond] = []
    for node in graph.inner:
        if node.op in graph.loops:
            continue
        op = graph.ops[node.op]
        if not op.ensures or node.type.kind != "int" or value_name(node.id) not in readings:
            continue
        sizes = sizes_at(node)
        for promise in proved(op):
            facts += _promise_at(promise, sizes, readings[value_name(node.id)])
    return facts


def _promise_at(promise: Promise, sizes: Mapping[str, Poly], readings: Mapping[str, int]) -> list[Cond]:
    cond = promise.cond
    if not isinstance(cond, IntCmp) or {entry.tensor for entry in cond.poly.entries()} != {OUTPUT}:
        return []
    reads = set(cond.poly.entries())
    names = [p.as_symbol for entry in reads for p in entry.index]
    if len(reads) != 1 or set(names) != {name for name, _ in promise.ranges} or len(set(names)) != len(names):
        return []  # not one bare index for each axis
    if any(Poly.atom(atom).symbols & set(names) for atom in cond.poly.atoms if atom not in reads):
        return []  # it speaks of positions, which another grouping names in another way
    out: list[Cond] = []
    for name, rank in readings.items():
        entry = Poly.atom(Entry(name, tuple(Poly.sym(fresh("e")) for _ in range(rank))))
        out.append(IntCmp(cond.rel, _at_entry(cond.poly, entry).substitute(dict(sizes))))
    return out


def _at_entry(poly: Poly, entry: Poly) -> Poly:
    return poly.rename_entries(lambda _: entry)


def _intervals(graph: Graph, bound: Bound) -> list[tuple[str, Interval]]:
    out: list[tuple[str, Interval]] = []
    strict = bound.rel == "<"
    if bound.rel == "!=":
        return out
    left, right = _constant(bound.left), _constant(bound.right)
    name = _real_name(graph, bound.left)
    if name is not None and right is not None:
        out.append((name, Interval(None, right, True, strict)))
        if bound.rel == "==":
            out.append((name, Interval(right, None, False, True)))
    name = _real_name(graph, bound.right)
    if name is not None and left is not None:
        out.append((name, Interval(left, None, strict, True)))
        if bound.rel == "==":
            out.append((name, Interval(None, left, True, False)))
    return out


def _constant(side: int | str | Fraction | Poly) -> Fraction | None:
    if isinstance(side, Poly):
        return None if side.constant is None else Fraction(side.constant)
    return side if isinstance(side, Fraction) else None


def _real_name(graph: Graph, side: int | str | Fraction | Poly) -> str | None:
    if isinstance(side, bool | Fraction | Poly):
        return None
    if isinstance(side, int):
        return value_name(side)
    return side


def _entry_facts(bound: Bound, own: str, name: str, rank: int) -> list[Cond]:
    """`0 <= label`, `label < C` as facts about every entry; only against numbers and sizes."""
    entry = Poly.atom(Entry(name, tuple(Poly.sym(fresh("e")) for _ in range(rank))))

    def side(value: int | str | Fraction | Poly) -> Poly | None:
        if isinstance(value, Poly):
            return value
        if isinstance(value, Fraction):
            return Poly.of(int(value)) if value.denominator == 1 else None
        return entry if value == own else None

    left, right = side(bound.left), side(bound.right)
    if left is None or right is None:
        return []
    match bound.rel:
        case "<":
            return [int_lt(left, right)]
        case "<=":
            return [int_ge(right, left)]
        case "==":
            return [int_ge(right, left), int_ge(left, right)]
        case _:
            return [negate(int_eq(left, right))]


def sizes_at(node: Node) -> dict[str, Poly]:
    """What an operator's size symbols and integer attributes are at a node; a pack is the product of its sizes."""
    sizes = {name: Poly.product(extents) for name, extents in node.sizes}
    return sizes | {name: value for name, value in node.attrs if isinstance(value, Poly)}


def wide(extents: tuple[Poly, ...]) -> tuple[int, ...]:
    """The positions of the extents other than 1."""
    return tuple(k for k, extent in enumerate(extents) if extent != 1)


def squeezed(extents: tuple[Poly, ...]) -> tuple[Poly, ...]:
    """The extents other than 1."""
    return tuple(extents[k] for k in wide(extents))


def made(graph: Graph, arg: Ref | Env) -> tuple[Poly, ...]:
    """The extents of the indices under which a value's own formula is written."""
    if isinstance(arg, Env):
        return next(delta.type.shape for delta in graph.delta if delta.name == arg.name)
    node = graph.nodes[arg.id]
    if arg.id < graph.leaves or node.op in graph.loops:
        return node.type.shape
    sizes = sizes_at(node)
    return tuple(extent.substitute(sizes) for extent in graph.ops[node.op].forward.extents)


def grouped(name: str, extents: tuple[Poly, ...]) -> str:
    """A value under another grouping of its axes."""
    return f"{name}|{','.join(map(str, extents))}"


def ungrouped(name: str) -> str:
    """The value's own name."""
    return name.split("|")[0]


def apart(index: str) -> str:
    """An operator's index in a graph's terms: a name that can't be a dim's."""
    return index if "#" in index else f"{index}`"


@dataclass(frozen=True, slots=True)
class Instance:
    """How an operator's names read at one node of a graph."""

    tensors: dict[str, str]
    kept: dict[str, tuple[int, ...]]  # the axes of each input that have an extent other than 1
    sizes: dict[str, Poly]
    reals: dict[str, Fraction]

    @staticmethod
    def of(graph: Graph, node: Node) -> Instance:
        """The names at a node."""
        op: OpDef = graph.ops[node.op]
        sizes = sizes_at(node)
        tensors: dict[str, str] = {}
        kept: dict[str, tuple[int, ...]] = {}
        for param, arg in zip(op.params, node.args, strict=True):
            name = value_name(arg.id) if isinstance(arg, Ref) else arg.name
            read = tuple(axis.extent.substitute(sizes) for axis in param.axes)
            if param.kind != "int":
                kept[param.name] = wide(read)
            # A value that is read with its axes grouped in another way than it is made is another tensor to the terms.
            shape = made(graph, arg)
            if param.kind != "int":
                read, shape = squeezed(read), squeezed(shape)
            tensors[param.name] = name if read == shape else grouped(name, read)
        return Instance(tensors, kept, sizes, {name: v for name, v in node.attrs if isinstance(v, Fraction)})

    def term(self, term: Term) -> Term:
        """An operator's term in the graph's names."""
        narrow = self._narrow(term)
        return replace_reads(inline_names(narrow, self.tensors, self._names(narrow)), self._attribute)

    def cond(self, cond: Cond) -> Cond:
        """An operator's condition in the graph's names."""
        narrow = replace_reads_cond(self._narrow_cond(cond), self._attribute)
        return inline_names_cond(narrow, self.tensors, self._names(narrow))

    def _narrow(self, term: Term) -> Term:
        """Reads without their indices at axes of extent 1, where SHAPE lets only 0 stand."""
        if isinstance(term, Read):
            return Read(term.tensor, self._indices(term.tensor, term.index))
        return map_children(term, self._narrow, self._narrow_cond)

    def _narrow_cond(self, cond: Cond) -> Cond:
        if isinstance(cond, BoolRead):
            return BoolRead(cond.tensor, self._indices(cond.tensor, cond.index))
        return map_cond(cond, self._narrow, self._narrow_cond)

    def _indices(self, tensor: str, index: tuple[Poly, ...]) -> tuple[Poly, ...]:
        return tuple(index[k] for k in self.kept[tensor]) if tensor in self.kept else index

    def context(self, context: Context, ranges: Mapping[str, Poly]) -> Context:
        """A graph's context inside the ranges of an operator's indices."""
        return context.with_ranges({apart(v): self.extent(e) for v, e in ranges.items()})

    def extent(self, extent: Poly) -> Poly:
        """An operator's extent in the graph's names."""
        return extent.substitute(self._renaming(extent.symbols))

    def _names(self, node: Term | Cond) -> dict[str, Poly]:
        return self._renaming(free_symbols(node))

    def _renaming(self, symbols: Iterable[str]) -> dict[str, Poly]:
        """Sizes become the graph's; a free index gets a name that no dim of the graph can have."""
        return {s: self.sizes[s] if s in self.sizes else Poly.sym(apart(s)) for s in symbols}

    def _attribute(self, read: Read) -> Term:
        if read.tensor in self.reals and not read.index:
            return Num(self.reals[read.tensor])
        return read
