"""A formula and its rule where nothing ties: what varies, what has kinks, what is smooth with room. [trusted]"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

from .bounds import Bounds, neg, positive
from .calculus import STEPS, derivative, simpler
from .linear import Hints
from .monomials import plus, scaled
from .normal import Normal
from .operators import Op
from .rules import normal, rule
from .scopes import REAL, scope_of
from .sides import real_needs
from .terms import FALSE, Node, Refused, both, either, make, rebuild, reduce, substitute, sym, walk

Ranges = tuple[tuple[str, Node], ...]


class Formula:
    """What an operator means, its derivative by the calculus, and the jvp that runs, at one choice of its indices."""

    def __init__(self, op: Op, hints: Hints) -> None:
        self.op, self.hints, self.scope = op, hints, scope_of(op)
        self.bounds = Bounds(self.scope, hints)
        self.moving = {p.name: "d" + p.name for p in op.moving}
        self.ranges: Ranges = tuple(zip(op.forward.indices, op.forward.extents, strict=True))
        self.works: dict[Ranges, Normal] = {}
        self.value = named(op.meaning())
        self.slope = named(derivative(self.value, self.moving))
        self.rule = named(rule(op, op.computed["y"].result, op.forward.indices))

    def varies(self, node: Node) -> bool:
        """Whether entries that vary are read."""
        return any(n.tag == "read" and n.args[0] in self.moving for n in walk(node))

    def tied(self, node: Node) -> bool:
        """Whether something that varies is compared, or an optimum of it taken."""
        optimum = node.tag == "reduce" and node.args[0] in ("max", "min")
        if node.tag in REAL and any(n.tag == "read" and n.args[0] in self.moving.values() for n in walk(node)):
            raise Refused("a rule that compares its tangents")
        return (node.tag in REAL or optimum) and self.varies(node)

    def kinked(self, node: Node) -> Iterator[Node]:
        """What has kinks or jumps, and does not stand inside of such."""
        found = simpler(node.args[0], node.args[1:]) if node.tag == "call" else None
        step = node.tag == "call" and node.args[0] in STEPS
        if self.tied(node) or (self.varies(node) and (step or (found and any(n.tag in REAL for n in walk(found))))):
            yield node
        elif node.tag != "poly":
            for part in node.args:
                if isinstance(part, Node):
                    yield from self.kinked(part)

    def work(self, ranges: Ranges) -> Normal:
        """Normal forms inside of a unit's indices."""
        if ranges not in self.works:
            self.works[ranges] = normal(self.op, self.scope.facts, dict((*self.ranges, *ranges)))
        return self.works[ranges]

    def zero(self, ranges: Ranges, *parts: tuple[Node, Fraction | int]) -> bool:
        """Whether a combination is 0 by its normal form, inside of more indices."""
        work = self.work(ranges)
        return not work.canonical(plus(*(scaled(work.form(part), c) for part, c in parts)))

    def sign(self, ranges: Ranges, term: Node, *at: Node) -> int:
        """1 or -1 where a term is known to be above or below 0, by intervals or by what is required; otherwise 0.

        `at`: a term, and what it is there.
        """
        work, scope = self.work(ranges), self.scope.inside(*self.ranges, *ranges)
        form = work.canonical(work.form(term))
        found = self.bounds.of(work.term(form), scope)
        for fact in (f for f in self.scope.reals if f.tag == "lt" and f.free <= self.op.fixed | term.free):
            low, high = (put(side, *at) if at else side for side in fact.args)
            apart = work.canonical(plus(work.form(high), scaled(work.form(low), -1)))
            if form and form in (apart, scaled(apart, -1)):
                return 1 if form == apart else -1
        return 1 if positive(found) else -1 if positive(neg(found)) else 0

    def smooth(self, *bodies: Node) -> None:
        """Refused unless all that these need holds with room, where conditions on reals nearly hold, too."""
        for body in dict.fromkeys(bodies):
            for need in real_needs(body, scope_of(self.op, closed=True).of(self.op.forward)):
                if need.var:  # integers, or what the formula takes an optimum of
                    shown = self.bounds.inhabited(need.scope, need.var, need.extent, need.cond)
                else:
                    shown = self.bounds.settles(_inside(need.cond), need.scope)
                if not shown:
                    raise Refused("a side of a tie may be undefined or steep there")


def named(node: Node) -> Node:
    """Indices of sums and optima renamed by how deep these are: nothing that is put somewhere else is captured."""
    if node.tag == "poly":
        return node
    node = rebuild(node, named)
    if node.tag != "reduce":
        return node
    away = {node.args[1]: sym(f"~{node.depth}")}
    guard, body = (substitute(part, away) for part in node.args[3:])
    return reduce(node.args[0], f"~{node.depth}", node.args[2], guard, body)


def put(node: Node, old: Node, new: Node) -> Node:
    return new if node is old else node if node.tag == "poly" else rebuild(node, lambda n: put(n, old, new))


def _inside(cond: Node) -> Node:
    """A condition with its bounds left out."""
    if cond.tag == "same":
        return FALSE
    if cond.tag in ("and", "or"):
        return (both if cond.tag == "and" else either)(*map(_inside, cond.args))
    return make("lt", *cond.args) if cond.tag == "le" else cond
