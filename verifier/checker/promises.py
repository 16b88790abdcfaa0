"""POST of operators: what they ensure of results, along the form of the formula, wherever it has a value. [trusted]"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .bounds import Bounds
from .linear import Hints
from .operators import Op
from .scopes import Scope, in_range, parts, scope_of
from .terms import (
    ZERO,
    Node,
    Refused,
    atom,
    both,
    built,
    const,
    ge,
    inline,
    negate,
    plus,
    substitute,
    sym,
    times,
    value,
    walk,
)


class Order:
    """Whether `sign * term + rest >= 0`: both sides of a choice count, an optimum is its body at some index."""

    def __init__(self, hints: Hints) -> None:
        self.hints = hints

    def shown(self, term: Node, sign: int, rest: Node, scope: Scope) -> bool:
        """False says only that it is not shown."""
        tag, args = term.tag, term.args
        whole = _whole(term)
        if whole is not None:
            return self.hints.shown(scope.facts, ge(plus(rest, whole, sign)))
        if tag == "add":
            left = [a for a in args if _whole(a) is None]
            for a in args:
                rest = plus(rest, _whole(a) or const(0), sign)
            return len(left) == 1 and self.shown(left[0], sign, rest, scope)
        if tag == "mul" and len(args) == 2 and args[0].tag == "num" and args[0].args[0].denominator == 1:
            # k*t + rest >= 0 follows from t + rest // k >= 0 for k > 0, since k * (rest // k) <= rest
            k = int(args[0].args[0])
            return k != 0 and self.shown(args[1], sign if k > 0 else -sign, built("div", rest, const(abs(k))), scope)
        if tag == "select":
            yes, no = scope.under(args[0]), scope.under(negate(args[0]))
            return self.shown(args[1], sign, rest, yes) and self.shown(args[2], sign, rest, no)
        if tag == "call" and args[0] in ("min", "max"):
            first = self.shown(args[1], sign, rest, scope)
            enough = (args[0] == "max") == (sign == 1)  # one of the two is
            return first if first == enough else self.shown(args[2], sign, rest, scope)
        if tag != "reduce" or args[0] == "prod":
            return False
        name, guard, body = scope.bound(term)
        if args[0] != "sum":
            return self.shown(body, sign, rest, scope.inside((name, args[2])).under(guard))
        while body.tag == "select" and body.args[2] is ZERO:
            guard, body = both(guard, body.args[0]), body.args[1]
        most = _greatest(body, sign)
        # minus the sum is at most `most` times the number of its terms, and 0 where there are none
        if most is None or not self.hints.shown(scope.facts, ge(rest)):
            return False
        count = plus(args[2], const(-1)) if self.leaves_one_out(name, args[2], guard, scope) else args[2]
        return most <= 0 or self.hints.shown(scope.facts, ge(plus(rest, count, -most)))

    def leaves_one_out(self, name: str, extent: Node, guard: Node, scope: Scope) -> bool:
        """Whether the range says `index != e` for an e in it."""
        for part in parts(guard):
            p = part.args[0].args[0] if part.tag == "not" and part.args[0].tag == "eq" else const(0)
            factor = next((c for c, atoms in p.args if len(atoms) == 1 and atom(atoms[0]) is sym(name)), 0)
            place = plus(const(0), plus(p, sym(name), -factor), -factor)
            if factor in (1, -1) and name not in place.free and self.hints.shown(scope.facts, in_range(place, extent)):
                return True
        return False


def _whole(term: Node) -> Node | None:
    """The term as an integer expression, where it is one."""
    if term.tag == "num" and term.args[0].denominator == 1:
        return const(int(term.args[0]))
    if term.tag == "mul" and len(term.args) == 2 and term.args[1].tag == "size":
        k = _whole(term.args[0])
        return times(k, term.args[1].args[0]) if k is not None and value(k) is not None else None
    return term.args[0] if term.tag == "size" else None


def _greatest(body: Node, sign: int) -> int | None:
    """The greatest value of `-sign * body`, where the body is made of constants."""
    if body.tag == "select":
        both_ = [_greatest(b, sign) for b in body.args[1:]]
        return None if None in both_ else max(both_)  # type: ignore[type-var]
    return -sign * int(body.args[0]) if body.tag == "num" and body.args[0].denominator == 1 else None


def post(op: Op, evidence: Mapping[str, Any], hints: Hints) -> None:
    """An `ensure` of an operator, by its number; Refused where it is not shown."""
    ranges, cond = op.ensures[evidence["number"]]
    scope, table = scope_of(op).inside(*ranges), {"y": (op.forward.indices, op.meaning())}
    if cond.tag in ("lt", "le"):
        if not Bounds(scope, hints).settles(inline(cond, table), scope):
            raise Refused("no interval of the formula says so")
        return
    entries = [n for n in walk(cond) if n.tag == "entry" and n.args[0] == "y"]
    if cond.tag not in ("ge", "eq") or len(entries) != 1 or op.output.kind != "int":
        raise Refused("it is no comparison of one entry of the result")
    p, entry = cond.args[0], entries[0]
    factor = next((c for c, atoms in p.args if atoms == (entry,)), 0)
    rest = plus(p, atom(entry), -factor)
    if factor not in (1, -1) or any(n is entry for n in walk(rest)):
        raise Refused("it is not linear in the result")
    term = substitute(op.meaning(), dict(zip(op.forward.indices, entry.args[1:], strict=True)))
    for turn in (1, -1) if cond.tag == "eq" else (1,):
        if not Order(hints).shown(term, turn * factor, plus(const(0), rest, turn), scope):
            raise Refused("no bound of the formula says so")
