"""What is known of integers, and expressions made simpler by it: what is plain to see, without steps. [trusted]"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from . import terms as t
from .terms import Node


@lru_cache(1 << 16)
def linear(p: Node, name: str) -> tuple[Node, Node] | None:
    """(a, b) with p = a * name + b and the name in neither; None where that is not its form."""
    out: tuple[dict[Any, int], dict[Any, int]] = ({}, {})
    for c, atoms in p.args:
        own = [a for a in atoms if name in a.free]
        if len(own) > 1 or (own and own[0].tag != "sym"):
            return None
        out[not own][tuple(a for a in atoms if a not in own)] = c
    return t.poly(out[0]), t.poly(out[1])


def divided(p: Node, by: Node) -> tuple[Node, Node]:
    """(q, r) with p = q * by + r as polynomials."""
    whole, rest = t.const(0), p
    for _ in range(len(p.args) + 8 if by.args else 0):
        lead, atoms = by.args[0]
        for c, factors in rest.args:
            left = [*factors]
            for a in atoms:
                left = [*left[: left.index(a)], *left[left.index(a) + 1 :]] if a in left else [t.ONE, *left]
            if t.ONE not in left and c // lead and (len(by.args) == 1 or c % lead == 0):
                step = t.poly({tuple(left): c // lead})
                whole, rest = t.plus(whole, step), t.minus(rest, t.times(step, by))
                break
        else:
            break
    return whole, rest


class Integers:
    """Where integers are known to satisfy something.

    `lower` gives names the least values that they have, `ranges` free indices their extents; `known` are polynomials
    that are not negative.
    """

    def __init__(self, lower: Mapping[str, int], ranges: Mapping[str, Node], known: Sequence[Node] = ()) -> None:
        self.lower, self.ranges, self.known = lower, ranges, known
        self.shift = {n: t.plus(t.sym(n), t.const(k)) for n, k in lower.items() if k}
        self.every: Sequence[tuple[Node, tuple[str, ...], Node]] = ()  # what holds of every entry of a tensor
        self.quotients: dict[Node, bool] = {}
        self.shifted: dict[Node, Node] = {}
        self.sure: dict[tuple[Any, ...], bool] = {}

    def surely(self, p: Node, ranges: Mapping[str, Node] | None = None, facts: Sequence[Node] = ()) -> bool:
        """Whether p >= 0 is plain to see: at the ends of the ranges nothing is negative, perhaps less one fact."""
        inside = {**self.ranges, **(ranges or {})}
        key = (p, *inside.items(), *facts)
        if key not in self.sure:
            self.sure[key] = self._surely(p, inside, facts)
        return self.sure[key]

    def _surely(self, p: Node, inside: dict[str, Node], facts: Sequence[Node]) -> bool:
        lengths = (t.plus(e, t.const(-1)) for e in inside.values() if t.value(e) is None)
        known = (f for f in (*self.known, *facts, *lengths, *self._entries(p)) if not f.free.isdisjoint(p.free))
        if self._least(p, inside) or any(self._least(t.minus(p, fact), inside) for fact in known):
            return True
        for c, atoms in p.args:
            if c not in (1, -1) or len(atoms) != 1 or atoms[0].tag not in ("div", "mod"):
                continue
            num, den = atoms[0].args
            less, rest = t.minus(den, t.const(1)), t.minus(p, t.poly({atoms: c}))
            if atoms[0].tag == "div":
                # q >= -r is num >= -r * den, and q <= r is num <= r * den + den - 1, for q = num // den and den >= 1
                rest = t.plus(t.times(rest, den), num, c)
            rest = rest if c > 0 else t.plus(rest, less, 1 if atoms[0].tag == "div" else -1)
            if (self._divides(den, inside) or self.surely(less, inside, facts)) and self.surely(rest, inside, facts):
                return True
        return False

    def _entries(self, p: Node) -> Iterator[Node]:
        for entry in t.walk(p) if self.every else ():
            for pattern, names, cond in self.every:
                if entry.tag == "entry" and entry.args[0] == pattern.args[0] and cond.tag == "ge":
                    yield t.substitute(cond.args[0], dict(zip(names, entry.args[1:], strict=True)))

    def _least(self, p: Node, ranges: dict[str, Node]) -> bool:
        for name in reversed(ranges):
            found = linear(p, name) if name in p.free else None
            if found is not None and self._positive(found[0], ranges):
                p = found[1]
            elif found is not None and self._positive(t.minus(t.const(0), found[0]), ranges):
                p = t.plus(found[1], t.times(found[0], t.plus(ranges[name], t.const(-1))))
        return self._positive(p, ranges)

    def _positive(self, p: Node, ranges: Mapping[str, Node]) -> bool:
        if p not in self.shifted:
            self.shifted[p] = t.substitute(p, self.shift)
        p = self.shifted[p]
        return all(c >= 0 and all(self._natural(a, ranges) for a in atoms) for c, atoms in p.args)

    def _natural(self, a: Node, ranges: Mapping[str, Node]) -> bool:
        if a.tag == "sym":
            return a.args[0] in self.lower or a.args[0] in ranges
        if a.tag == "entry" or a.tag == "mod":
            return a.tag == "mod" and self._positive(t.plus(a.args[1], t.const(-1)), ranges)
        sides = [self._positive(p, ranges) for p in a.args]
        return any(sides) if a.tag == "imax" else all(sides)

    def whole(self, node: Node, ranges: Mapping[str, Node], facts: Sequence[Node] = ()) -> Node:
        """The same with its quotients, remainders, minima and maxima made simpler where the ranges and facts hold."""
        if node not in self.quotients:
            self.quotients[node] = any(n.tag in ("div", "mod", "imin", "imax") for n in t.walk(node))
        if not self.quotients[node]:
            return t.atom(node) if node.tag in t.ATOMS else node
        if node.tag == "reduce":
            if any(node.args[1] in e.free for e in ranges.values()):
                return node
            inner = {**ranges, node.args[1]: node.args[2]}
            known = [f for f in facts if node.args[1] not in f.free]
            kind, var, *parts = node.args
            return t.reduce(kind, var, *(self.whole(p, inner, known) for p in parts))
        if node.tag not in ("div", "mod", "imin", "imax"):
            return t.rebuild(node, lambda n: self.whole(n, ranges, facts))
        a, b = (self.whole(p, ranges, facts) for p in node.args)
        if node.tag in ("imin", "imax"):
            for low, high in ((a, b), (b, a)):
                if self.surely(t.minus(high, low), ranges, facts):
                    return low if node.tag == "imin" else high
            return t.built(node.tag, a, b)
        less = t.minus(b, t.const(1))
        if not self.surely(less, ranges, facts) and not self._divides(b, ranges):
            return t.built(node.tag, a, b)
        q, r = divided(a, b)
        for k in (0, -1):
            rest = t.plus(r, b, -k)
            if self.surely(rest, ranges, facts) and self.surely(t.minus(less, rest), ranges, facts):
                q, r = t.plus(q, t.const(k)), t.const(0)
        q = t.plus(q, t.built("div", r, b)) if r.args else q
        return q if node.tag == "div" else t.minus(a, t.times(b, q))

    def _divides(self, p: Node, ranges: Mapping[str, Node]) -> bool:
        """Whether p >= 1 since it is a factor of the length of a range that has an index."""
        return self.surely(p, ranges) and any(
            not divided(e, p)[1].args for e in (*ranges.values(), *self.ranges.values())
        )

    def solved(self, ranges: Mapping[str, Node], conds: frozenset[Node]) -> tuple[str, Node, Node] | None:
        """An index that an equation determines, and its value."""
        best: tuple[Any, tuple[str, Node, Node]] | None = None
        for cond in conds:
            if cond.tag != "eq":
                continue
            for var in cond.free & ranges.keys():
                found = linear(cond.args[0], var)
                unit = None if found is None else t.value(found[0])
                if found is None or unit not in (1, -1) or any(var in e.free for e in ranges.values()):
                    continue
                value = t.times(found[1], t.const(-int(unit or 1)))
                rank = (len(value.args) != 1, cond.key, var)
                if best is None or rank < best[0]:
                    best = rank, (var, value, cond)
        return best[1] if best else None
