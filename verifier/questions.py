"""The translation of goals into the solver's terms, and of its models back. Trusted with smt.py.

The solver's module is passed in, so that this one imports none. What has no exact translation is abstracted to a name
(equal parts get equal names), which can only lose proofs; what can't be abstracted is Untranslatable.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

from gradproof.compiler.denote import Env, Irrational, Rationals
from gradproof.compiler.dims import Atom, Entry, FloorDiv, Max, Min, Mod, Poly, Sym
from gradproof.compiler.rewriting import map_children, map_cond, substitute, substitute_cond, walk
from gradproof.compiler.terms import (
    Add,
    And,
    BoolRead,
    Call,
    Cond,
    IntCmp,
    Mul,
    Not,
    Num,
    Or,
    Pow,
    Read,
    RealCmp,
    Reduce,
    Select,
    Size,
    Term,
    Truth,
)

MAX_POWER = 64


class Untranslatable(Exception):
    """This goal has a part that the solver can't be given exactly."""


class TotalRationals(Rationals):
    """Exact rationals under the kernel's total semantics."""

    def power(self, base: Fraction, exponent: int) -> Fraction:
        return Fraction(0) if base == 0 and exponent < 0 else super().power(base, exponent)

    def call(self, fn: str, args: tuple[Fraction, ...]) -> Fraction:
        return Fraction(0) if fn == "sqrt" and args[0] < 0 else super().call(fn, args)


TOTAL = TotalRationals()


class Question:
    """The translation of one goal with its hypotheses: names, definitions on the side, what was abstracted."""

    def __init__(self, z3: Any, conds: tuple[Cond, ...], reals: bool) -> None:
        self.z3, self.reals = z3, reals
        self.integers: dict[str, Any] = {}
        self.entries: dict[tuple[str, str, int], Any] = {}  # (kind, tensor, rank) -> a constant or a function
        self.reads: dict[tuple[str, str, tuple[Poly, ...]], Any] = {}
        self.sides: list[Any] = []
        self.abstracted = ""
        self._polys: dict[Poly, Any] = {}
        self.divisions: dict[tuple[Poly, Poly], tuple[Any, Any]] = {}
        self._terms: dict[Term, Any] = {}
        self._reduced: dict[Term, Any] = {}
        self._fresh = itertools.count()
        self._computed = frozenset[tuple[str, int]]().union(*map(_computed_reads, conds)) if reals else frozenset()

    # Integers.

    def poly(self, poly: Poly) -> Any:
        """An integer expression."""
        known = self._polys.get(poly)
        if known is not None:
            return known
        total: Any = None
        for monomial, coefficient in poly.terms:
            product: Any = None
            for atom, exponent in monomial:
                if exponent > MAX_POWER:
                    raise Untranslatable(f"{atom} to the power {exponent}")
                value = self._atom(atom)
                for _ in range(exponent):
                    product = value if product is None else product * value
            if product is None:
                product = self.z3.IntVal(coefficient)
            elif coefficient != 1:
                product = coefficient * product
            total = product if total is None else total + product
        result = self.z3.IntVal(0) if total is None else total
        self._polys[poly] = result
        return result

    def _atom(self, atom: Atom) -> Any:
        match atom:
            case Sym(name):
                if name not in self.integers:
                    self.integers[name] = self.z3.Int(name)
                return self.integers[name]
            case FloorDiv(num, den):
                return self._divide(num, den)[0]
            case Mod(num, den):
                return self._divide(num, den)[1]
            case Min(a, b):
                x, y = self.poly(a), self.poly(b)
                return self.z3.If(x <= y, x, y)
            case Max(a, b):
                x, y = self.poly(a), self.poly(b)
                return self.z3.If(x >= y, x, y)
            case Entry(tensor, index):
                return self._entry("int", tensor, index)

    def _divide(self, num: Poly, den: Poly) -> tuple[Any, Any]:
        """Quotient and remainder as Python has them, defined on the side; arbitrary where den = 0."""
        if (num, den) not in self.divisions:
            z3, a, b, k = self.z3, self.poly(num), self.poly(den), next(self._fresh)
            q, r = z3.Int(f"quotient!{k}"), z3.Int(f"remainder!{k}")
            up, down = z3.And(a == b * q + r, r >= 0, r < b), z3.And(a == b * q + r, b < r, r <= 0)
            constant = den.constant
            if constant is None:
                self.sides += [z3.Implies(b > 0, up), z3.Implies(b < 0, down)]
            elif constant:
                self.sides.append(up if constant > 0 else down)
            self.divisions[num, den] = q, r
        return self.divisions[num, den]

    def _entry(self, kind: str, tensor: str, index: tuple[Poly, ...]) -> Any:
        """An entry: a function of its position, or a constant where there is none."""
        z3 = self.z3
        sort = {"int": z3.IntSort, "real": z3.RealSort, "bool": z3.BoolSort}[kind]()
        key = (kind, tensor, len(index))
        if kind == "real" and (tensor, len(index)) not in self._computed:
            value = z3.Const(f"{tensor}{[p.constant for p in index]}", sort)
        elif index:
            if key not in self.entries:
                self.entries[key] = z3.Function(f"{kind} {tensor}/{len(index)}", *[z3.IntSort()] * len(index), sort)
            value = self.entries[key](*map(self.poly, index))
        else:
            value = z3.Const(f"{kind} {tensor}", sort)
        self.reads[kind, tensor, index] = value
        return value

    # Conditions.

    def negated(self, goal: Cond) -> Any:
        """The negation of the goal."""
        return self.z3.Not(self.cond(goal))

    def cond(self, cond: Cond) -> Any:
        """A condition."""
        z3 = self.z3
        match cond:
            case Truth(value):
                return z3.BoolVal(value)
            case IntCmp(">=", poly):
                return self.poly(poly) >= 0
            case IntCmp("==", poly):
                return self.poly(poly) == 0
            case And(args):
                return z3.And(*map(self.cond, args))
            case Or(args):
                return z3.Or(*map(self.cond, args))
            case Not(arg):
                return z3.Not(self.cond(arg))
            case BoolRead(tensor, index):
                return self._entry("bool", tensor, index)
            case RealCmp(rel, a, b) if self.reals:
                x, y = self.term(a), self.term(b)
                return x < y if rel == "<" else x <= y if rel == "<=" else x == y
            case _:
                raise Untranslatable(f"the condition {cond}")

    # Reals.

    def term(self, term: Term) -> Any:
        """A real term."""
        known = self._terms.get(term)
        if known is None:
            known = self._terms[term] = self._term(term)
        return known

    def _term(self, term: Term) -> Any:
        z3 = self.z3
        match term:
            case Num(value):
                return z3.Q(value.numerator, value.denominator)
            case Size(poly):
                return z3.ToReal(self.poly(poly))
            case Read(tensor, index):
                return self._entry("real", tensor, index)
            case Add(args):
                return z3.Sum(*map(self.term, args))
            case Mul(args):
                return z3.Product(*map(self.term, args))
            case Pow(base, exponent):
                return self._power(self.term(base), exponent)
            case Call(fn, args):
                return self._call(fn, args)
            case Select(cond, then, other):
                return z3.If(self.cond(cond), self.term(then), self.term(other))
            case Reduce():
                self.abstracted = f"a {term.kind} over an index was abstracted"
                named = nameless(term, 0)
                return self._reduced.setdefault(named, z3.Real(f"{term.kind}!{next(self._fresh)}"))

    def _power(self, base: Any, exponent: int) -> Any:
        if abs(exponent) > MAX_POWER:
            raise Untranslatable(f"a power of {exponent}")
        if exponent < 0:
            z3, inverse = self.z3, self.z3.Real(f"inverse!{next(self._fresh)}")
            self.sides += [z3.If(base == 0, inverse == 0, inverse * base == 1)]
            base, exponent = inverse, -exponent
        result: Any = self.z3.RealVal(1)
        for k in range(exponent):
            result = base if k == 0 else result * base
        return result

    def _call(self, fn: str, args: tuple[Term, ...]) -> Any:
        z3, values = self.z3, [self.term(a) for a in args]
        exact = _EXACT.get(fn)
        if exact is not None:
            return exact(z3, *values)
        if fn == "sqrt":
            root, x = z3.Real(f"root!{next(self._fresh)}"), values[0]
            self.sides.append(z3.If(x >= 0, z3.And(root >= 0, root * root == x), root == 0))
            return root
        self.abstracted = f"the function {fn} was abstracted"
        return z3.Function(f"{fn}/{len(args)}", *[z3.RealSort()] * (len(args) + 1))(*values)

    # Models.

    def model(self, model: Any) -> dict[str, int | Fraction | bool]:
        """The values of all names and entries that the goal and the hypotheses mention."""
        out = {name: self._value(model, variable) for name, variable in self.integers.items()}
        for (_, tensor, index), value in self.reads.items():
            position = [self._value(model, self.poly(p)) for p in index]
            out[f"{tensor}{position}" if index else tensor] = self._value(model, value)
        return out

    def environment(self, model: Any) -> Env:
        """The model as an environment that conditions can be evaluated in."""
        ints = {name: self._value(model, variable) for name, variable in self.integers.items()}

        def lookup(kind: str) -> Callable[[str, tuple[int, ...]], Any]:
            def read(tensor: str, index: tuple[int, ...]) -> Any:
                return self._value(model, self._entry(kind, tensor, tuple(map(Poly.of, index))))

            return read

        return Env(ints, lookup("real"), lookup("int"), lookup("bool"))

    def _value(self, model: Any, expression: Any) -> Any:
        z3, value = self.z3, model.eval(expression, model_completion=True)
        if z3.is_true(value) or z3.is_false(value):
            return z3.is_true(value)
        if z3.is_int_value(value):
            return value.as_long()
        if z3.is_rational_value(value):
            return Fraction(value.numerator_as_long(), value.denominator_as_long())
        raise Irrational(f"{expression} is irrational")


_EXACT: Mapping[str, Callable[..., Any]] = {
    "abs": lambda z3, x: z3.If(x >= 0, x, -x),
    "max": lambda z3, a, b: z3.If(a >= b, a, b),
    "min": lambda z3, a, b: z3.If(a <= b, a, b),
    "sign": lambda z3, x: z3.If(x > 0, z3.RealVal(1), z3.If(x < 0, z3.RealVal(-1), z3.RealVal(0))),
    "floor": lambda z3, x: z3.ToReal(z3.ToInt(x)),
}


def nameless(node: Term, depth: int) -> Term:
    """The term with every bound index named by its depth: what differs by such names alone is one value."""
    if isinstance(node, Reduce):
        name = f"@{depth}"  # no index, size or attribute is called so
        apart = {node.var: Poly.sym(name)}
        guard = nameless_cond(substitute_cond(node.guard, apart), depth + 1)
        return Reduce(node.kind, name, node.extent, guard, nameless(substitute(node.body, apart), depth + 1))
    return map_children(node, lambda t: nameless(t, depth), lambda c: nameless_cond(c, depth))


def nameless_cond(node: Cond, depth: int) -> Cond:
    return map_cond(node, lambda t: nameless(t, depth), lambda c: nameless_cond(c, depth))


def _computed_reads(cond: Cond) -> set[tuple[str, int]]:
    """(tensor, rank) of each real read whose position is not literal."""
    found: set[tuple[str, int]] = set()
    for node in walk(cond):
        if isinstance(node, Read) and any(p.constant is None for p in node.index):
            found.add((node.tensor, len(node.index)))
    return found
