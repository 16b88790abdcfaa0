"""The steps that show JVP, VJP and RUNS, found: what the checker's rules.py replays. Nothing here is trusted.

Every step is tried on the checker's own proof, so what is kept is what the checker accepts. In order: what follows from
the facts is dropped; quotients, minima and maxima get their values; indices are taken apart in blocks; denominators
are cleared; sums over other indices are brought to those of a sum that they cancel with; conditions split cases.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from itertools import islice, product
from math import lcm
from time import monotonic
from typing import Any
from weakref import WeakKeyDictionary

from gradproof.compiler.claims import Claim
from gradproof.compiler.portable import Table
from gradproof.verifier.checker import terms as t
from gradproof.verifier.checker.normal import (
    NONE,
    UNIT,
    Form,
    Mono,
    constant,
    divided,
    is_sum,
    linear,
    plus,
    scaled,
)
from gradproof.verifier.checker.operators import Op
from gradproof.verifier.checker.rules import Proof, Statement, statement, tied
from gradproof.verifier.checker.terms import Node, Refused
from gradproof.verifier.evidence.linear import Search
from gradproof.verifier.evidence.methods import Evidence, Subject
from gradproof.verifier.evidence.simplex import contradiction

Solved = dict[str, Node]
SECONDS = 4.0  # for one statement
TINY = Fraction(1, 10**6)
CUTS = 8  # sums that are split by a condition


class Sharing:
    """The certificate's table, and the checker's nodes of its entries."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.nodes: list[Node] = []
        self.sync()

    def sync(self) -> None:
        """Decode what was added to the table."""
        t.decode(self.table.entries, self.nodes)

    def ref(self, node: Node) -> int:
        """The number of an entry that is this node."""
        if node.tag == "poly":
            place = self.table.put("poly", *((c, *map(self.ref, atoms)) for c, atoms in node.args))
        else:
            parts = [
                self.ref(a) if isinstance(a, Node) else str(a) if isinstance(a, Fraction) else a for a in node.args
            ]
            place = self.table.put(node.tag, *parts)
        self.sync()
        return place


class OutOfTime(Exception):
    """The search took too long."""


class Finder:
    """A proof under way, and the steps that it took."""

    def __init__(self, op: Op, claim: Statement, away: bool, sharing: Sharing, seconds: float, deep: bool) -> None:
        self.hints = Search(1, 2) if deep else Search(0, 1)
        self.proof = Proof(op, claim, away, sharing.nodes, self.hints)
        self.work, self.sharing, self.steps = self.proof.work, sharing, list[list[Any]]()
        self.end = monotonic() + seconds
        self.failed: set[Any] = set()
        self.cuts = 0

    def try_(self, kind: str, mono: Mono, *rest: Any) -> bool:
        """Take a step, if the checker does."""
        if monotonic() > self.end:
            raise OutOfTime
        places = {m: k for k, (m, _) in enumerate(self.proof.monomials())}
        key = (kind, mono, repr(rest))
        if mono not in places or key in self.failed:
            return False
        kept, given, used = dict(self.proof.left), len(self.hints.given), self.hints.used
        try:
            self.proof.step(kind, places[mono], *rest)
        except (Refused, ValueError, IndexError, RecursionError):
            self.failed.add(key)
            self.proof.left = kept
            del self.hints.given[given:]
            self.hints.used = used
            return False
        self.steps.append([kind, places[mono], *rest])
        return True

    def monomials(self) -> list[Mono]:
        """The monomials that are left, in order."""
        return [m for m, _ in self.proof.monomials()]

    def find(self) -> bool:
        """Whether nothing is left in the end."""
        try:
            for _ in range(8):
                before = set(self.proof.left)
                for strategy in (self.few, self.blocks, self.match, self.clear, self.implied, self.cases):
                    if not self.proof.left:
                        return True
                    strategy()
                if set(self.proof.left) == before:
                    break
        except OutOfTime:
            pass
        return not self.proof.left

    # One monomial at a time

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
                if self._move(mono, [*names, outer, inner], extents, conds, there, back):
                    return True
        return False

    def _move(
        self, mono: Mono, names: list[str], extents: list[Node], conds: list[Node], there: list[Node], back: list[Node]
    ) -> bool:
        refs = [[self.sharing.ref(n) for n in part] for part in (extents, conds, there, back)]
        return self.try_("move", mono, names, *refs)

    # Denominators

    def clear(self) -> None:
        """Multiply through by bases with negative powers."""
        for _ in range(6):
            if not any(self._clear(mono, base) for mono in self.monomials() for base in _bases(mono)):
                break
            if not self.proof.left:
                break

    def _clear(self, source: Mono, base: Node) -> bool:
        """Bring this base to its lowest power in every monomial; undone where it does not make the form smaller."""
        before = dict(self.proof.left), len(self.steps), len(self.hints.given), self.hints.used
        key = ("clear", frozenset(self.proof.left), base)
        if key in self.failed:
            return False
        pending = [(m, options) for m, options in self._lifts(source, base)]
        if any(not options for _, options in pending) or not pending:
            self.failed.add(key)
            return False
        for mono, options in pending:
            for names, times in options:
                here, done = mono, True
                for _ in range(times):
                    places = {m: k for k, m in enumerate(self.monomials())}
                    own = [m for m in self.monomials() if base in dict(m[2])]
                    if here not in places or not own:
                        done = False
                        break
                    atoms = sorted((a for a, _ in own[0][2]), key=lambda a: a.key)
                    done = self.try_("clear", here, places[own[0]], atoms.index(base), names)
                    if not done:
                        break
                if done:
                    break
        if len(self.proof.left) < len(before[0]) or not self.proof.left:
            return True
        if set(self.proof.left) != set(before[0]) and len(self.proof.left) <= 4 * len(before[0]) + 8:
            return True
        self.failed.add(key)
        self._undo(before)
        return False

    def _lifts(self, source: Mono, base: Node) -> Iterator[tuple[Mono, list[tuple[list[int], int]]]]:
        inside = sorted(v for v, _ in source[0] if v in base.free)
        extents = [dict(source[0])[v] for v in inside]
        found = []
        for mono in self.monomials():
            own = sorted(mono[0])
            options = []
            for choice in product(range(len(own)), repeat=len(inside)):
                if len(set(choice)) == len(choice) and all(
                    own[k][1] is e for k, e in zip(choice, extents, strict=True)
                ):
                    names = {v: t.sym(own[k][0]) for v, k in zip(inside, choice, strict=True)}
                    form = self.work.form(t.substitute(base, names))
                    power = _power_in(self.work.power(form, -1), mono)
                    options.append((power, list(choice)))
            found.append((mono, options))
        lowest: dict[Fraction, Fraction] = {}
        for _, options in found:
            for power, _ in options:
                if power:
                    lowest[Fraction(power) % 1] = min(lowest.get(Fraction(power) % 1, Fraction(power)), Fraction(power))
        for mono, options in found:
            present = [(p, names) for p, names in options if p]
            low = lowest.get(Fraction(present[0][0]) % 1) if present else lowest.get(Fraction(0), Fraction(0))
            if low is None or (not present and low >= 0):
                continue
            use = present or options
            lifts = [(names, int(Fraction(p) - low)) for p, names in use]
            if all(times == 0 for _, times in lifts) and lifts:
                continue
            yield mono, lifts

    # Other indices

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
            if self._move(other, [v for v, _ in new], [e for _, e in new], conds, there, back):
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

    # Conditions of reals

    def cases(self) -> None:
        """Monomials whose conditions contradict each other, and conditions that follow from the others."""
        for _ in range(40):
            if not any(self._case(mono) for mono in self.monomials()):
                break

    def _case(self, mono: Mono) -> bool:
        signs = self.proof._signs(mono)
        if not signs:
            return False
        times = self._contradiction(signs, None)
        if times is not None and self.try_("never", mono, *times):
            return True
        for place in range(len(signs)):
            times = self._contradiction(signs, place)
            if times is not None and self.try_("sure", mono, place, *times):
                return True
        return any(self._shorter("zero", mono, place) for place in range(len(signs)))

    def _shorter(self, kind: str, mono: Mono, *rest: Any) -> bool:
        """Take a step only where it leaves fewer monomials."""
        before = dict(self.proof.left), len(self.steps), len(self.hints.given), self.hints.used
        if self.try_(kind, mono, *rest) and len(self.proof.left) < len(before[0]):
            return True
        self._undo(before)
        return False

    def _undo(self, before: tuple[Form, int, int, int]) -> None:
        self.proof.left = before[0]
        del self.steps[before[1] :], self.hints.given[before[2] :]
        self.hints.used = before[3]

    def _contradiction(self, signs: list[Node], negated: int | None) -> list[str] | None:
        """How many times to take each condition; a strict one is taken to leave a little, for the search."""
        columns: list[Form] = []
        for place, cond in enumerate([*signs, *self.proof.reals]):
            low, high = cond.args if place != negated else reversed(cond.args)
            form = self.work.canonical(plus(self.work.form(high), scaled(self.work.form(low), -1)))
            if cond.tag == "lt" and place != negated:
                form = plus(form, constant(-TINY))
            columns.append(form)
        scale = lcm(*(Fraction(c).denominator for column in columns for c in column.values()))
        whole = [{m: int(c * scale) for m, c in column.items()} for column in columns]
        found = contradiction(whole, [False] * len(whole), UNIT)
        return None if found is None else [str(found.get(k, 0)) for k in range(len(columns))]


def _power_in(inverse: Form, mono: Mono) -> Fraction:
    (own,) = inverse if len(inverse) == 1 else (next(iter(inverse)),)
    powers = dict(mono[2])
    return max((Fraction(powers[a]) for a, _ in own[2] if a in powers), key=abs, default=Fraction(0))


def _atoms(mono: Mono) -> set[Node]:
    """The integer atoms in the factors."""
    return {n for a, _ in mono[2] for n in t.walk(a) if n.tag in t.ATOMS}


def _bases(mono: Mono) -> list[Node]:
    found = [a for a, e in mono[2] if is_sum(a) and a.tag != "num" and (e < 0 or e != int(e))]
    return sorted(found, key=lambda a: a.key)


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


SHARED: WeakKeyDictionary[Table, Sharing] = WeakKeyDictionary()


def sharing_of(table: Table) -> Sharing:
    """The checker's nodes of a table's entries, decoded once."""
    found = SHARED.setdefault(table, Sharing(table))
    found.sync()
    return found


def find(op: Op, claim: Statement, away: bool, sharing: Sharing, seconds: float) -> list[Any] | None:
    """[steps, hints] that show a statement; None where none were found."""
    for deep in (False, True):
        try:
            finder = Finder(op, claim, away, sharing, seconds, deep)
            if finder.find():
                return [finder.steps, finder.hints.given]
        except (Refused, RecursionError, ValueError):
            continue  # it grew beyond what the checker takes
    return None


def identity(op: Op, code: str, name: str, sharing: Sharing, seconds: float = SECONDS) -> list[Any] | None:
    """The parts that show a claim (see rules.identity); None where none were found."""
    parts: list[Any] = []
    ties = tied(op)
    for agree in (False, True) if code == "VJP" and ties else (False,):
        for away, pairs in product(
            (0, 1) if ties and code != "RUNS" and not agree else (0,), (0, 1) if code != "VJP" else (0,)
        ):
            try:
                claim = statement(op, code, name, bool(pairs), agree)
            except Refused:
                return None
            found = find(op, claim, bool(away), sharing, seconds)
            if found is not None:
                parts.append([away, pairs, *found])
                break
        else:
            return None
    return parts


def identity_evidence(subject: Subject, position: int, claim: Claim, table: Table) -> Evidence | None:
    """The evidence of JVP, VJP and RUNS of an operator."""
    if claim.kind != "op" or claim.code not in ("JVP", "VJP", "RUNS"):
        return None
    sharing = sharing_of(table)
    try:
        op = subject.memo.setdefault("operator", None) or Op(subject.data, sharing.nodes)
    except Refused:
        return None
    subject.memo["operator"] = op
    parts = identity(op, claim.code, op.moving[position - 2].name if claim.code == "VJP" else "", sharing)
    return None if parts is None else {"by": "identity", "parts": parts}
