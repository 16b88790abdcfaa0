"""Uninterpreted tensors: the values that the runtime's tape runs on when its loops are proved.

A value is an application of a symbol to values, interned, so equal values are one object. It can't be inspected: it has
no truth value, no length, no entries, no number; code that runs on such values does the same on all values.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

from gradproof.compiler.claims import digest
from gradproof.compiler.graph import Graph, Node

ADD = "+"
PRIME = 2**61 - 1


class Inspected(TypeError):
    """Code that should work on all values alike looked into one."""


def _refuse(self: Expr, *_: Any) -> NoReturn:
    raise Inspected(f"a value was inspected: {show(self)}")


class Expr:
    """A symbol applied to values. `id` numbers them in order of creation, so arguments come first."""

    __slots__ = ("args", "id", "symbol")

    def __init__(self, symbol: str, args: tuple[Expr, ...], id_: int) -> None:
        self.symbol, self.args, self.id = symbol, args, id_

    def __repr__(self) -> str:
        return show(self)

    __bool__ = __len__ = __iter__ = __float__ = __int__ = __index__ = __getitem__ = __array__ = _refuse
    __lt__ = __le__ = __gt__ = __ge__ = __contains__ = _refuse


class Bank:
    """The values made so far."""

    def __init__(self) -> None:
        self._table: dict[tuple[Any, ...], Expr] = {}  # in order of creation: a value's place is its id

    def apply(self, symbol: str, *args: Expr) -> Expr:
        """The value `symbol(args)`."""
        key = (symbol, *(a.id for a in args))
        found = self._table.get(key)
        if found is None:
            found = self._table[key] = Expr(symbol, args, len(self._table))
        return found

    def rows(self) -> list[list[Any]]:
        """Each value as its symbol and the ids of what it is applied to, in order."""
        return [[expr.symbol, *(a.id for a in expr.args)] for expr in self._table.values()]

    def numbers(self) -> list[int]:
        """One interpretation of every value by its id: `+` is addition modulo a prime, all else is hashed."""
        out: list[int] = []
        for expr in self._table.values():
            args = [out[a.id] for a in expr.args]
            out.append(sum(args) % PRIME if expr.symbol == ADD else _hashed(expr.symbol, args))
        return out


def _hashed(symbol: str, args: list[int]) -> int:
    return int(digest(symbol, *map(str, args)), 16) % PRIME


class Uninterpreted:
    """A tape's semantics in which every node's value, jvp and vjp is a function of which nothing is known.

    The functions of node k are `value k`, `jvp k` and `vjp k.position`; a node that is not the graph's gets others, so
    a tape that computes with the wrong node is found out.
    """

    def __init__(self, graph: Graph, bank: Bank) -> None:
        self._graph, self.bank = graph, bank

    def symbol(self, what: str, node: Node) -> str:
        """What the node's function is called."""
        nodes = self._graph.nodes
        own = 0 <= node.id < len(nodes) and (node is nodes[node.id] or node == nodes[node.id])
        return f"{what} {node.id}" if own else f"{what} of a foreign node {node!r}"

    def forward(self, node: Node, args: Sequence[Expr], dims: Mapping[str, int]) -> Expr:
        """value k (args)."""
        return self.bank.apply(self.symbol("value", node), *args)

    def jvp(
        self, node: Node, args: Sequence[Expr], value: Expr, tangents: Sequence[Expr | None], dims: Mapping[str, int]
    ) -> Expr:
        """jvp k (args, value, tangents)."""
        given = (self.bank.apply("no tangent") if t is None else t for t in tangents)
        return self.bank.apply(self.symbol("jvp", node), *args, value, *given)

    def vjp(
        self, node: Node, position: int, args: Sequence[Expr], value: Expr, cotangent: Expr, dims: Mapping[str, int]
    ) -> Expr:
        """vjp k.position (args, value, cotangent)."""
        return self.bank.apply(f"{self.symbol('vjp', node)}.{position}", *args, value, cotangent)

    def add(self, a: Expr, b: Expr) -> Expr:
        """a + b."""
        return self.bank.apply(ADD, a, b)

    def zero(self, value: Expr) -> Expr:
        """zero (value)."""
        return self.bank.apply("zero", value)

    def one(self, value: Expr) -> Expr:
        """one (value)."""
        return self.bank.apply("one", value)


def show(expr: Expr, names: Mapping[int, str] | None = None, depth: int = 5) -> str:
    """The value as text; `names` names values by id, what is deeper than `depth` is `...`."""
    names = {} if names is None else names
    if expr.id in names:
        return names[expr.id]
    if not expr.args:
        return expr.symbol
    if depth == 0:
        return "..."
    args = [show(a, names, depth - 1) for a in expr.args]
    if expr.symbol == ADD:
        return f"{args[0]} + {args[1] if expr.args[1].symbol != ADD else f'({args[1]})'}"
    return f"{expr.symbol}({', '.join(args)})"


def translate(expr: Expr, cuts: Mapping[int, str], declare: Callable[[str, int], str]) -> str:
    """The value as an SMT-LIB term in which the values inside that have a cut are symbols (the value itself never is).

    `declare` gives a symbol's name from what it is called here and its arity. A value that occurs more than once is
    named by a `let`, so the text is no longer than the value's graph.
    """
    order, uses = _inside(expr, cuts)
    named = {e.id: f"s{e.id}" for e in order if e.args and e is not expr and uses[e.id] > 1 and e.id not in cuts}
    lets = [f"(let (({named[e.id]} {_write(e, cuts, named, declare)}))" for e in order if e.id in named]
    return " ".join((*lets, _write(expr, cuts, named, declare))) + ")" * len(lets)


def _write(root: Expr, cuts: Mapping[int, str], named: Mapping[int, str], declare: Callable[[str, int], str]) -> str:
    out: list[str] = []
    stack: list[Expr | str] = [root]
    while stack:
        expr = stack.pop()
        if isinstance(expr, str):
            out.append(expr)
        elif expr is not root and expr.id in cuts:
            out.append(declare(cuts[expr.id], 0))
        elif expr is not root and expr.id in named:
            out.append(named[expr.id])
        else:
            head = declare(expr.symbol, len(expr.args))
            out.append(f"({head}" if expr.args else head)
            if expr.args:
                stack.append(")")
                stack.extend(reversed(expr.args))
    return " ".join(out)


def _inside(expr: Expr, cuts: Mapping[int, str]) -> tuple[list[Expr], dict[int, int]]:
    """Every value down to the cuts, arguments first, and how often each is an argument."""
    found: dict[int, Expr] = {}
    uses: dict[int, int] = {}
    stack = [expr]
    while stack:
        inner = stack.pop()
        uses[inner.id] = uses.get(inner.id, 0) + 1
        if inner.id not in found:
            found[inner.id] = inner
            if inner is expr or inner.id not in cuts:
                stack.extend(inner.args)
    return [found[k] for k in sorted(found)], uses
