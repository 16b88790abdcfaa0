"""A proof of an identity under way: steps are tried on the checker's own proof, and kept or undone.

Nothing here is trusted: what is kept is what the checker accepts.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from time import process_time
from typing import Any
from weakref import WeakKeyDictionary

from gradproof.compiler.portable import Table
from gradproof.verifier.checker import terms as t
from gradproof.verifier.checker.monomials import Form, Mono
from gradproof.verifier.checker.operators import Op
from gradproof.verifier.checker.rules import Proof, Statement
from gradproof.verifier.checker.terms import Node, Refused
from gradproof.verifier.evidence.linear import Search

Before = tuple[Form, int, int, int]


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


SHARED: WeakKeyDictionary[Table, Sharing] = WeakKeyDictionary()


def sharing_of(table: Table) -> Sharing:
    """The checker's nodes of a table's entries, decoded once."""
    found = SHARED.setdefault(table, Sharing(table))
    found.sync()
    return found


class OutOfTime(Exception):
    """The search took too long."""


class Trial:
    """A proof under way, and the steps that it took."""

    def __init__(self, op: Op, claim: Statement, away: bool, sharing: Sharing, seconds: float, deep: bool) -> None:
        self.hints = Search(1, 2) if deep else Search(0, 1)
        self.proof = Proof(op, claim, away, sharing.nodes, self.hints)
        self.op, self.claim = op, claim
        self.work, self.sharing, self.steps = self.proof.work, sharing, list[list[Any]]()
        self.end = process_time() + seconds
        self.failed: set[Any] = set()

    def try_(self, kind: str, mono: Mono, *rest: Any) -> bool:
        """Take a step, if the checker does."""
        if process_time() > self.end:
            raise OutOfTime
        places = {m: k for k, (m, _) in enumerate(self.proof.monomials())}
        key = (kind, mono, repr(rest))
        if mono not in places or key in self.failed:
            return False
        kept, given, used = dict(self.proof.left), len(self.hints.given), self.hints.used
        try:
            self.proof.step(kind, places[mono], *rest)
            if self.proof.left == kept:
                raise Refused("it changes nothing")
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

    def before(self) -> Before:
        """What `undo` brings back."""
        return dict(self.proof.left), len(self.steps), len(self.hints.given), self.hints.used

    def undo(self, before: Before) -> None:
        """As if what was done since then had not been."""
        self.proof.left = before[0]
        del self.steps[before[1] :], self.hints.given[before[2] :]
        self.hints.used = before[3]

    def shorter(self, kind: str, mono: Mono, *rest: Any) -> bool:
        """Take a step only where it leaves fewer monomials."""
        before = self.before()
        if self.try_(kind, mono, *rest) and len(self.proof.left) < len(before[0]):
            return True
        self.undo(before)
        return False

    def move(
        self,
        mono: Mono,
        names: list[str],
        extents: list[Node],
        conds: list[Node],
        there: Sequence[Node],
        back: Sequence[Node],
    ) -> bool:
        """Other indices for a sum: see the checker's step."""
        refs = [[self.sharing.ref(n) for n in part] for part in (extents, conds, there, back)]
        return self.try_("move", mono, names, *refs)
