"""Indices of sums brought to those of another sum: blocks, pairings of what is read, cuts. Not trusted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from gradproof.verifier.checker import terms as t
from gradproof.verifier.checker.normal import NONE, Mono, divided, linear
from gradproof.verifier.checker.terms import Node
from gradproof.verifier.evidence.finding import Trial

Solved = dict[str, Node]
CUTS = 8  # sums that are split by a condition


class Indices(Trial):
    """Strategies that change one sum's indices."""

    cuts = 0

    def few(self) -> None:
        """Add sums over a few indices up."""
        for mono in self.monomials():
            for k, (_, extent) in enumerate(sorted(mono[0])):
                if 0 < (t.value(extent) or 0) <= 4 and self.try_("few", mono, k):
                    break

    def implied(self) -> None:
        """Drop conditions that follow from others, and sums over nothing."""
        for _ in range(20):
            if not any(self._imply(mono) for mono in self.monomials()):
                break

    def _imply(self, mono: Mono) -> bool:
        conds = self.proof._integers(mono)
        if conds and self.try_("empty", mono):
            return True
        return any(self.try_("drop", mono, k) for k in range(len(conds)))

    def blocks(self) -> None:
        """Take an index apart that is read in blocks: v = a * d + b."""
        for _ in range(6):
            if not any(self._block(mono) for mono in self.monomials()):
                break

    def _block(self, mono: Mono) -> bool:
        ranges = dict(mono[0])
        for atom in sorted(_atoms(mono), key=lambda a: a.key):
            if atom.tag not in ("div", "mod"):
                continue
            num, den = atom.args
            for v in sorted(ranges):
                found = linear(num, v) if v in num.free else None
                if found is None or t.value(found[0]) != 1 or not den.free.isdisjoint(ranges):
                    continue
                count = _over(ranges[v], den)
                if count is None:
                    continue
                old = sorted(mono[0], key=lambda b: b[0])
                names = [n for n, _ in old if n != v]
                taken = {*ranges, *self.work.ranges, *NONE.union(*(n.free for n in self.proof._parts(mono)))}
                outer, inner = t.unused("a", taken), t.unused("b", taken)
                extents = [e for n, e in old if n != v] + [count, den]
                there = [t.sym(n) if n != v else t.plus(t.times(t.sym(outer), den), t.sym(inner)) for n, _ in old]
                parts = [t.atom(t.make(tag, t.sym(v), den)) for tag in ("div", "mod")]
                back = [*(t.sym(n) for n in names), *parts]
                replaced = {v: there[[n for n, _ in old].index(v)]}
                conds = [t.substitute(c, replaced) for c in self.proof._integers(mono)]
                if self.move(mono, [*names, outer, inner], extents, conds, there, back):
                    return True
        return False

    def match(self) -> None:
        """Bring sums to the indices of a sum that they cancel with."""
        for _ in range(12):
            monos = self.monomials()
            pairs = ((a, b) for a in monos for b in monos if a is not b and _alike(a, b))
            if not any(self._match(a, b) for a, b in pairs):
                break

    def _match(self, reference: Mono, other: Mono) -> bool:
        own, theirs = {v for v, _ in reference[0]}, {v for v, _ in other[0]}
        away = {v: f"{v}'" for v in theirs}
        apart = {v: t.sym(n) for v, n in away.items()}
        for equations in islice(_pairings(reference, other, apart), 24):
            forward = _solve(equations, {*away.values()}, own)
            backward = _solve(equations, own, {*away.values()})
            if forward is None or backward is None:
                continue
            home = {n: t.sym(v) for v, n in away.items()}
            there = [forward[away[v]] for v, _ in sorted(other[0])]
            new = sorted(reference[0])
            back = [t.substitute(backward[v], home) for v, _ in new]
            conds = self.proof._integers(reference)
            if self.move(other, [v for v, _ in new], [e for _, e in new], conds, there, back):
                return True
            if self._cut(reference, other, dict(zip((v for v, _ in sorted(other[0])), there, strict=True))):
                return True
            if self._cut(other, reference, dict(zip((v for v, _ in new), back, strict=True))):
                return True
        return False

    def _cut(self, mono: Mono, other: Mono, change: Solved) -> bool:
        """Split a sum by a condition that the other sum, over other indices, has and this one has not."""
        conds = self.proof._integers(other)
        for v, extent in sorted(other[0]):
            conds += [t.ge(t.sym(v)), t.ge(t.minus(t.plus(extent, t.const(-1)), t.sym(v)))]
        own, ranges = self.proof._integers(mono), dict(mono[0])
        facts = [c.args[0] for c in own if c.tag == "ge"]
        for cond in (t.substitute(c, change) for c in conds):
            if cond.tag != "ge" or cond in own or self.work.surely(cond.args[0], ranges, facts) or self.cuts >= CUTS:
                continue
            if self.try_("split", mono, self.sharing.ref(cond)):
                self.cuts += 1
                return True
        return False


def _atoms(mono: Mono) -> set[Node]:
    """The integer atoms in the factors."""
    return {n for a, _ in mono[2] for n in t.walk(a) if n.tag in t.ATOMS}


def _over(p: Node, den: Node) -> Node | None:
    """q with p = q * den as polynomials."""
    whole, rest = divided(p, den)
    return whole if not rest.args else None


def _alike(a: Mono, b: Mono) -> bool:
    return len(a[0]) == len(b[0]) and sorted(map(_shape, a[2])) == sorted(map(_shape, b[2]))


def _shape(factor: tuple[Node, Any]) -> str:
    atom, e = factor
    return f"{atom.tag} {atom.args[0] if atom.tag in ('read', 'call') else ''} {e}"


def _pairings(a: Mono, b: Mono, apart: Mapping[str, Node]) -> Iterator[list[Node]]:
    """Equations between the positions that are read in two products, for each way to pair the reads."""
    mine = sorted((f for f in a[2] if f[0].tag == "read"), key=lambda f: f[0].key)
    theirs = sorted((f for f in b[2] if f[0].tag == "read"), key=lambda f: f[0].key)

    def extend(k: int, used: frozenset[int]) -> Iterator[list[Node]]:
        if k == len(mine):
            yield []
            return
        for j, other in enumerate(theirs):
            if j in used or _shape(other) != _shape(mine[k]) or len(other[0].args) != len(mine[k][0].args):
                continue
            pairs = zip(mine[k][0].args[1:], other[0].args[1:], strict=True)
            here = [t.minus(p, t.substitute(q, apart)) for p, q in pairs]
            for rest in extend(k + 1, used | {j}):
                yield here + rest

    if len(mine) == len(theirs):
        yield from extend(0, frozenset())


def _solve(equations: Sequence[Node], unknown: set[str], known: set[str]) -> Solved | None:
    """The unknowns as expressions in the known names, from equations p = 0."""
    values: Solved = {}
    pending = list(equations)
    while pending and len(values) < len(unknown):
        best: tuple[int, int, str, Node] | None = None
        for place, p in enumerate(pending):
            p = t.substitute(p, values)
            free = sorted(p.free & unknown)
            found = linear(p, free[0]) if len(free) == 1 else None
            if found is None:
                continue
            unit = t.value(found[0])
            if unit in (1, -1):
                value = t.times(found[1], t.const(-int(unit or 0)))
                rank = 0
            else:
                sign = -1 if found[0].args and found[0].args[0][0] < 0 else 1
                den, num = (t.times(q, t.const(s)) for q, s in ((found[0], sign), (found[1], -sign)))
                if not den.args:
                    continue
                value, rank = t.rebuild(t.make("div", num, den), lambda n: n), 1
            if best is None or (rank, place) < best[:2]:
                best = rank, place, free[0], value
        if best is None:
            return None
        _, place, name, value = best
        values[name] = value
        pending.pop(place)
    return values if len(values) == len(unknown) else None
