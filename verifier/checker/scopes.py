"""Where a formula's parts stand: indices and their ranges, what is known there, and what each part needs. [trusted]"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from .calculus import domain, nonzero
from .linear import Facts
from .operators import Formula, Op
from .terms import TRUE, Node, both, const, eq, ge, make, minus, negate, plus, substitute, sym, unused, walk

REAL = ("lt", "le", "same")


def parts(cond: Node) -> tuple[Node, ...]:
    """The conjuncts."""
    return cond.args if cond.tag == "and" else () if cond is TRUE else (cond,)


def in_range(index: Node, extent: Node) -> Node:
    """0 <= index < extent."""
    return both(ge(index), ge(plus(minus(extent, index), const(-1))))


class Scope:
    """`ranges`: index -> extent; `path`: the conditions on the way; `facts`: what is known of integers;

    `reals`: comparisons of reals that hold, at the indices that they name.
    """

    def __init__(self, fixed: Iterable[str], facts: Facts, closed: bool = False) -> None:
        self.fixed, self.facts, self.closed = frozenset(fixed), facts, closed
        self.ranges: dict[str, Node] = {}
        self.path: tuple[Node, ...] = ()
        self.reals: tuple[Node, ...] = ()
        self._inner: dict[tuple[object, ...], Scope] = {}

    def _copy(self) -> Scope:
        other = Scope.__new__(Scope)
        other.fixed, other.facts, other.path, other.reals = self.fixed, self.facts.copy(), self.path, self.reals
        other.ranges, other._inner, other.closed = dict(self.ranges), {}, self.closed
        return other

    def inside(self, *ranges: tuple[str, Node]) -> Scope:
        """This scope inside of indices, which exist there: so none of the extents is 0."""
        if ranges not in self._inner:
            found = self._inner[ranges] = self._copy()
            for name, extent in ranges:
                found.ranges[name] = extent
                found.facts.assume(ge(plus(extent, const(-1))), *parts(in_range(sym(name), extent)))
        return self._inner[ranges]

    def under(self, *conds: Node) -> Scope:
        """This scope where conditions hold."""
        conds = tuple(part for cond in conds for part in parts(cond))
        if self.closed:  # where conditions on reals nearly hold, too
            conds = tuple(make("le", *c.args) if c.tag == "lt" else c for c in conds if c.tag != "not")
        if not conds:
            return self
        if conds not in self._inner:
            found = self._inner[conds] = self._copy()
            found.path = (*self.path, *conds)
            found.facts.assume(*conds)
            found.reals = (*self.reals, *(c for c in conds if (c.args[0] if c.tag == "not" else c).tag in REAL))
        return self._inner[conds]

    def bare(self) -> Scope:
        """This scope without its comparisons of reals."""
        if ("bare",) not in self._inner:
            found = self._inner["bare",] = self._copy()
            found.reals = ()
        return self._inner["bare",]

    def of(self, formula: Formula) -> Scope:
        """The scope of a formula's body."""
        return self.inside(*zip(formula.indices, formula.extents, strict=True))

    def bound(self, term: Node) -> tuple[str, Node, Node]:
        """The index of a reduction by a name that is free here, its guard and its body."""
        _, var, _, guard, body = term.args
        name = unused(var, self.ranges.keys() | self.fixed)
        away = {var: sym(name)}
        return (var, guard, body) if name == var else (name, substitute(guard, away), substitute(body, away))


def scope_of(op: Op, closed: bool = False) -> Scope:
    """The scope outside of an operator's formulas: its sizes are not negative, and what it requires holds."""
    scope = Scope(op.fixed, Facts(), closed)
    scope.facts.assume(*(ge(sym(name)) for name in sorted(op.sizes)))
    tables = {p.name: p.extents for p in (*op.params, op.output)}
    for cond in (part for whole in (*op.requires, *op.domain) for part in parts(whole)):
        nodes = list(walk(cond))
        own = cond.free - op.fixed
        reads = {n for n in nodes if n.tag in ("read", "bool", "entry")}
        named = {n: [p.args[0][1][0].args[0] for p in n.args[1:] if _bare(p)] for n in reads}
        if any(n.tag in REAL for n in nodes):
            # It holds at all indices of what it reads, if each has one range; of an index as a number it may say less.
            counted = any(n.tag == "size" and not n.free.isdisjoint(own) for n in nodes)
            spans = {(x, e if _bare(p) else x) for n in reads for p, e in _places(n, tables) for x in p.free & own}
            scope.reals += () if counted or sorted(x for x, _ in spans) != sorted(own) else (cond,)
        elif not reads and not own:
            scope.facts.assume(cond)
        elif len(reads) == 1:
            (entry,) = reads
            names = named[entry]
            if entry.tag == "entry" and len(names) == len(entry.args) - 1 == len(own) and own == set(names):
                scope.facts.every.append((entry, tuple(names), cond))
    return scope


def _places(entry: Node, tables: Mapping[str, tuple[Node, ...]]) -> Iterator[tuple[Node, Node]]:
    """Each position of an entry, with its axis's extent."""
    extents = tables.get(entry.args[0], ())
    return zip(entry.args[1:], extents, strict=len(extents) > 0)


def _bare(p: Node) -> bool:
    return len(p.args) == 1 and p.args[0][0] == 1 and len(p.args[0][1]) == 1 and p.args[0][1][0].tag == "sym"


class Need(NamedTuple):
    """Something that must hold in a scope: a condition, or (with a name) that it does for an index below an extent."""

    scope: Scope
    cond: Node
    var: str = ""
    extent: Node = TRUE


def reads(node: Node, scope: Scope) -> Iterator[tuple[Scope, Node]]:
    """Each node that a formula is made of, in its scope, from left to right; polynomials and atoms too."""
    yield scope, node
    tag, args = node.tag, node.args
    if tag == "reduce":
        yield from reads(args[2], scope)
        name, guard, body = scope.bound(node)
        inner = scope.inside((name, args[2]))
        yield from reads(guard, inner)
        yield from reads(body, inner.under(guard))
    elif tag == "select":
        yield from reads(args[0], scope)
        yield from reads(args[1], scope.under(args[0]))
        yield from reads(args[2], scope.under(negate(args[0])))
    elif tag in ("and", "or"):
        for part in args:
            yield from reads(part, scope)
            scope = scope.under(part if tag == "and" else negate(part))
    else:
        inside = [a for _, atoms in args for a in atoms] if tag == "poly" else args
        for part in inside:
            if isinstance(part, Node):
                yield from reads(part, scope)


def needs(node: Node, scope: Scope) -> Iterator[Need]:
    """What a formula needs to have a value; quotients of integers, too."""
    for here, part in reads(node, scope):
        tag, args = part.tag, part.args
        if tag in ("div", "mod"):
            yield Need(here, negate(eq(args[1])))
        elif tag == "pow" and args[1] < 0:
            yield Need(here, nonzero(args[0]))
        elif tag == "call":
            yield Need(here, domain(args[0], args[1:]))
        elif tag == "reduce" and args[0] in ("max", "min"):
            name, guard, _ = here.bound(part)
            yield Need(here, guard, name, args[2])
