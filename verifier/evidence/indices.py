"""Indices of sums brought to those of another sum: blocks, pairings of what is read, cuts. Not trusted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from gradproof.verifier.checker import terms as t
from gradproof.verifier.checker.integers import divided, linear
from gradproof.verifier.checker.monomials import NONE, Mono
from gradproof.verifier.checker.terms import Node
from gradproof.verifier.evidence.finding import Trial

Solved = dict[str, Node]
REGIONS = 4  # conditions that tell regions apart
CHOICES = 8  # splits by which integer is the smaller
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
        if any(self._pinned(mono, c.args[0]) for c in conds if c.tag == "ge"):
            return True
        return any(self.try_("drop", mono, k) for k in range(len(conds)))

    def _pinned(self, mono: Mono, p: Node) -> bool:
        """p >= 0 stands beside -p >= 0: p is 0, which says what an index in it is."""
        ranges, facts = dict(mono[0]), [c.args[0] for c in mono[1] if c.tag == "ge"]
        pinned = p.free & ranges.keys() and self.work.surely(t.minus(t.const(0), p), ranges, facts)
        return bool(pinned) and self.try_("have", mono, self.sharing.ref(t.eq(p)))

    def absorb(self) -> None:
        """Split a sum where a part of it cancels with another: m - m [c] is m [not c]."""
        for _ in range(40):
            monos = self.monomials()
            pairs = ((a, b) for a in monos for b in monos if a is not b and a[0] == b[0] and a[2] == b[2])
            more = ((a, c) for a, b in pairs for c in sorted(b[1] - a[1], key=lambda c: c.key) if c.tag in ("ge", "eq"))
            if not any(self.shorter("split", a, self.sharing.ref(c)) for a, c in more):
                break

    def regions(self) -> None:
        """Split sums that differ in their conditions only by all of these; undone where it leaves as many."""
        groups: dict[Any, list[Mono]] = {}
        for mono in self.monomials():
            groups.setdefault((mono[0], mono[2]), []).append(mono)
        for key, members in groups.items():
            every = NONE.union(*(m[1] for m in members)) - members[0][1].intersection(*(m[1] for m in members))
            bounds = sorted((c for c in every if c.tag == "ge"), key=lambda c: c.key)
            if len(members) < 2 or not 0 < len(bounds) <= REGIONS:
                continue
            before = self.before()
            for cond in bounds:
                for mono in self._group(key):
                    if cond not in mono[1] and t.negate(cond) not in mono[1]:
                        self.try_("split", mono, self.sharing.ref(cond))
            for _ in range(20):
                if not any(self._imply(mono) for mono in self._group(key)):
                    break
            if len(self._group(key)) >= len(members):
                self.undo(before)

    def choices(self) -> None:
        """Split a sum by which of two integers is the smaller, where it reads a tensor at that one."""
        for _ in range(CHOICES):
            if not any(self._choose(mono) for mono in self.monomials()):
                break
        self.implied()

    def _choose(self, mono: Mono) -> bool:
        ranges, facts = dict(mono[0]), [c.args[0] for c in mono[1] if c.tag == "ge"]
        for atom in sorted(_atoms(mono), key=lambda a: (a.depth, a.key)):
            if atom.tag in ("imin", "imax"):
                less = t.minus(*atom.args)
                if less.free <= self.proof.taken | ranges.keys() and not self.work.surely(less, ranges, facts):
                    return self.try_("split", mono, self.sharing.ref(t.ge(less)))
        return False

    def _group(self, key: Any) -> list[Mono]:
        return [m for m in self.monomials() if (m[0], m[2]) == key]

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
                if count is None or t.value(count) == 1:
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
        for _ in range(16):
            monos = self.monomials()
            pairs = [(a, b) for a in monos for b in monos if a is not b and _alike(a, b)]
            if not any(step(a, b) for step in (self._cancel, self._fit, self._other) for a, b in pairs):
                break

    def _cancel(self, reference: Mono, other: Mono) -> bool:
        """Bring a sum to another's indices where they then are one."""
        before = self.before()
        for there, back in _changes(reference, other):
            if self._brought(other, reference, there, back) and len(self.proof.left) < len(before[0]):
                return True
            self.undo(before)
        return False

    def _fit(self, reference: Mono, other: Mono) -> bool:
        """Split either sum by what the other has more."""
        return any(
            self._cut(reference, other, dict(zip((v for v, _ in sorted(other[0])), there, strict=True)))
            or self._cut(other, reference, dict(zip((v for v, _ in sorted(reference[0])), back, strict=True)))
            for there, back in _changes(reference, other)
        )

    def _other(self, reference: Mono, other: Mono) -> bool:
        """Bring a sum to another's indices, for what comes after."""
        return any(self._brought(other, reference, there, back) for there, back in _changes(reference, other))

    def _brought(self, mono: Mono, reference: Mono, there: list[Node], back: list[Node]) -> bool:
        new = sorted(reference[0])
        conds = self.proof._integers(reference)
        return self.move(mono, [v for v, _ in new], [e for _, e in new], conds, there, back)

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


def _changes(reference: Mono, other: Mono) -> Iterator[tuple[list[Node], list[Node]]]:
    """The other sum's indices in those of the reference, and back, where both read tensors at the same places."""
    own = {v for v, _ in reference[0]}
    away = {v: f"{v}'" for v, _ in other[0]}
    apart, home = {v: t.sym(n) for v, n in away.items()}, {n: t.sym(v) for v, n in away.items()}
    for equations in islice(_pairings(reference, other, apart), 24):
        forward = _solve(equations, {*away.values()}, own)
        backward = _solve(equations, own, {*away.values()})
        if forward is not None and backward is not None:
            back = [t.substitute(backward[v], home) for v, _ in sorted(reference[0])]
            yield [forward[away[v]] for v, _ in sorted(other[0])], back


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
