"""Bounds of integer terms: along the form of the term, down to inequalities of integer expressions. [trusted]

Both branches of a selection count, each under its condition; an optimum is its body at some index of its range; a sum
is at most the number of its terms times the greatest of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from gradproof.compiler.dims import Poly
from gradproof.compiler.rewriting import children
from gradproof.compiler.terms import (
    TRUE,
    ZERO,
    Add,
    And,
    BoolRead,
    Call,
    Cond,
    IntCmp,
    Mul,
    Not,
    Num,
    Reduce,
    Select,
    Size,
    Term,
    both,
    in_range,
    int_ge,
    negate,
)
from gradproof.verifier.ranges import Context

Path: TypeAlias = tuple[Cond, ...]


def integers_of(conds: tuple[Cond, ...]) -> tuple[Cond, ...]:
    """The conditions on integers alone, which the solver may use (dropping one only loses proofs)."""
    out: list[Cond] = []
    for cond in conds:
        match cond:
            case And(args):
                out += integers_of(args)
            case _ if _integer_only(cond):
                out.append(cond)
    return tuple(out)


def _integer_only(cond: Cond) -> bool:
    match cond:
        case IntCmp():
            return True
        case BoolRead():
            return False
        case _:
            inner = children(cond)
            return bool(inner) and all(isinstance(c, Cond) and _integer_only(c) for c in inner)


class Order:
    """Whether `sign * term + rest >= 0` wherever the term has a value; the term is an integer by its form."""

    def __init__(self, prove: Callable[[Cond, Context, Path], bool]) -> None:
        self.prove = prove

    def shown(self, term: Term, sign: int, rest: Poly, context: Context, path: Path) -> bool:
        """`sign` is 1 or -1; the indices in scope are those of the context, under the conditions of the path."""
        match term:
            case Num(value) if value.denominator == 1:
                return self.integer(sign * int(value) + rest, context, path)
            case Size(poly):
                return self.integer(sign * poly + rest, context, path)
            case Add(args):
                known = [_whole(arg) for arg in args]
                left = [arg for arg, poly in zip(args, known, strict=True) if poly is None]
                moved = sum((sign * poly for poly in known if poly is not None), rest)
                if len(left) > 1:
                    return False
                return self.shown(left[0], sign, moved, context, path) if left else self.integer(moved, context, path)
            case Mul((Num(value), other)) if value.denominator == 1 and value != 0:
                # k*t + rest >= 0 follows from t + rest // k >= 0 for k > 0, since k * (rest // k) <= rest.
                turn = sign if value > 0 else -sign
                return self.shown(other, turn, rest // abs(int(value)), context, path)
            case Select(cond, then, other):
                yes = (*path, *integers_of((cond,)))
                no = (*path, *integers_of((negate(cond),)))
                return self.shown(then, sign, rest, context, yes) and self.shown(other, sign, rest, context, no)
            case Call("min" | "max" as fn, (a, b)):
                first = self.shown(a, sign, rest, context, path)
                # One suffices for an upper bound of min and a lower bound of max; otherwise both are needed.
                if first == ((fn == "max") == (sign == 1)):
                    return first
                return self.shown(b, sign, rest, context, path)
            case Reduce("min" | "max", var, extent, guard, body):
                # It is the body's value at some index of the range, where it has a value at all.
                inner = context.with_ranges({var: extent})
                return self.shown(body, sign, rest, inner, (*path, *integers_of((guard,))))
            case Reduce("sum", _, _, _, _):
                return self.total(term, sign, rest, context, path)
            case _:
                return False

    def total(self, term: Reduce, sign: int, rest: Poly, context: Context, path: Path) -> bool:
        """A sum of terms that are bounded by a constant, times as many as there can be."""
        guard, body = term.guard, term.body
        while isinstance(body, Select) and body.other == ZERO:
            guard, body = both(guard, body.cond), body.then
        bound = _greatest(body, sign)
        if bound is None:
            return False
        # -sign * (sum of body) <= count * max(bound, 0), and an extent may be negative or 0: then the sum is 0.
        if not self.integer(rest, context, path):
            return False
        if bound <= 0:
            return True
        count = term.extent - (1 if self.leaves_out_one(guard, term, context, path) else 0)
        return self.integer(rest - bound * count, context, path)

    def leaves_out_one(self, guard: Cond, term: Reduce, context: Context, path: Path) -> bool:
        """Whether the guard says `index != e` for an e in the index's range: then one term fewer is summed."""
        for part in guard.args if isinstance(guard, And) else (guard,):
            if not isinstance(part, Not) or not isinstance(part.arg, IntCmp) or part.arg.rel != "==":
                continue
            linear = part.arg.poly.linear_in(term.var)
            if linear is None or linear[0].constant not in (1, -1):
                continue
            place = -linear[1] * linear[0].constant
            if self.condition(in_range(place, term.extent), context, path):
                return True
        return False

    def integer(self, poly: Poly, context: Context, path: Path) -> bool:
        return self.condition(int_ge(poly, 0), context, path)

    def condition(self, cond: Cond, context: Context, path: Path) -> bool:
        return cond == TRUE or self.prove(cond, context, path)


def _whole(term: Term) -> Poly | None:
    """The term as an integer expression, where it is one."""
    match term:
        case Num(value) if value.denominator == 1:
            return Poly.of(int(value))
        case Size(poly):
            return poly
        case Mul((Num(value), Size(poly))) if value.denominator == 1:
            return int(value) * poly
        case _:
            return None


def _greatest(body: Term, sign: int) -> int | None:
    """The greatest value of `-sign * body`, where the body is made of constants."""
    match body:
        case Num(value) if value.denominator == 1:
            return -sign * int(value)
        case Select(_, then, other):
            a, b = _greatest(then, sign), _greatest(other, sign)
            return None if a is None or b is None else max(a, b)
        case _:
            return None
