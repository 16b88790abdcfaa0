"""Terms and operators as plain data, for certificates: one table of shared nodes, and the way back.

An entry of the table is a list; where a term, a condition or an integer polynomial stands inside another, it is the
number of an earlier entry, so that the size is linear and there are no cycles:

    ["sym", name]  ["div", p, p]  ["mod", p, p]  ["imin", p, p]  ["imax", p, p]  ["entry", tensor, p...]   atoms
    ["poly", [coefficient, atom...]...]                                   an integer polynomial, a^2 as atom, atom
    ["num", "p/q"]  ["size", p]  ["read", tensor, p...]  ["add", t...]  ["mul", t...]  ["pow", t, exponent]
    ["call", function, t...]  ["select", c, t, t]  ["reduce", kind, index, extent, guard, body]            terms
    ["truth", 0 | 1]  ["ge", p]  ["eq", p]  ["lt", t, t]  ["le", t, t]  ["same", t, t]  ["bool", tensor, p...]
    ["and", c...]  ["or", c...]  ["not", c]                                                           conditions

Equal nodes are one entry. Index names that the compiler made (`j#281`) are numbered anew in order of appearance, for
each operator from 0, so the bytes are the same in every process. `Reader` is the way back; it makes names of its own.
"""

from __future__ import annotations

import re
from typing import Any

from gradproof.compiler.dims import Atom, Entry, FloorDiv, Max, Min, Mod, Poly, Sym
from gradproof.compiler.ops import Extern, Formula, Kink, Law, OpDef, Param, Promise
from gradproof.compiler.rules import Computation, rules_of
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
from gradproof.compiler.transpose import NotLinear
from gradproof.grammar.source import Span

INTEGER_RELATIONS = {">=": "ge", "==": "eq"}
REAL_RELATIONS = {"<": "lt", "<=": "le", "==": "same"}
_MADE = re.compile(r"#\d+")


class Names:
    """Machine-made names, numbered in order of appearance."""

    def __init__(self) -> None:
        self._numbers: dict[str, str] = {}

    def of(self, name: str) -> str:
        """The name that the bytes hold."""
        return _MADE.sub(lambda m: self._numbers.setdefault(m.group(), f"#{len(self._numbers)}"), name)


class Table:
    """The shared nodes, in order; what `term`, `cond` and `poly` return is a node's number."""

    def __init__(self) -> None:
        self.entries: list[list[Any]] = []
        self._places: dict[tuple[Any, ...], int] = {}
        self.begin()

    def begin(self) -> None:
        """Start a new operator or graph: machine-made names count from 0 again."""
        self._names = Names()
        self._known: dict[int, tuple[object, int]] = {}

    def name(self, name: str) -> str:
        """An index's name as the entries hold it."""
        return self._names.of(name)

    def poly(self, poly: Poly) -> int:
        """The number of an integer polynomial."""
        return self._poly(self._renamed(poly))

    def _renamed(self, poly: Poly) -> Poly:
        made = sorted((int(n.rsplit("#")[-1].rstrip("'")), n) for n in poly.symbols if "#" in n)
        return poly.substitute({name: Poly.sym(self.name(name)) for _, name in made})

    def _poly(self, renamed: Poly) -> int:
        terms: list[tuple[str, tuple[int, ...]]] = []
        for monomial, coefficient in renamed.terms:
            atoms = tuple(self._atom(atom) for atom, exponent in monomial for _ in range(exponent))
            terms.append((str(Poly({monomial: 1})), (coefficient, *atoms)))
        return self.put("poly", *(entry for _, entry in sorted(terms)))

    def term(self, term: Term) -> int:
        """The number of a term."""
        return self._node(term)

    def cond(self, cond: Cond) -> int:
        """The number of a condition."""
        return self._node(cond)

    def _node(self, node: Term | Cond) -> int:
        found = self._known.get(id(node))
        if found is None:
            found = self._known[id(node)] = (node, self._encoded(node))
        return found[1]

    def _encoded(self, node: Term | Cond) -> int:
        match node:
            case Num(value):
                return self.put("num", str(value))
            case Size(poly):
                return self.put("size", self.poly(poly))
            case Read(tensor, index):
                return self.put("read", tensor, *map(self.poly, index))
            case Pow(base, exponent):
                return self.put("pow", self._node(base), exponent)
            case Call(fn, args):
                return self.put("call", fn, *map(self._node, args))
            case Select(cond, then, other):
                return self.put("select", self._node(cond), self._node(then), self._node(other))
            case Reduce(kind, var, extent, guard, body):
                limit, name = self.poly(extent), self.name(var)
                return self.put("reduce", kind, name, limit, self._node(guard), self._node(body))
            case Truth(value):
                return self.put("truth", int(value))
            case IntCmp(rel, poly):
                poly = self._renamed(poly)
                # p = 0 and -p = 0 are one condition; which of them stands here hung on the names
                flip = rel == "==" and poly.terms and poly.terms[0][1] < 0
                return self.put(INTEGER_RELATIONS[rel], self._poly(-poly if flip else poly))
            case RealCmp(rel, a, b):
                return self.put(REAL_RELATIONS[rel], self._node(a), self._node(b))
            case BoolRead(tensor, index):
                return self.put("bool", tensor, *map(self.poly, index))
            case Add(args) | Mul(args) | And(args) | Or(args):
                return self.put(type(node).__name__.lower(), *map(self._node, args))
            case Not(arg):
                return self.put("not", self._node(arg))

    def _atom(self, atom: Atom) -> int:
        match atom:
            case Sym(name):
                return self.put("sym", name)
            case FloorDiv(a, b):
                return self.put("div", self._poly(a), self._poly(b))
            case Mod(a, b):
                return self.put("mod", self._poly(a), self._poly(b))
            case Min(a, b):
                return self.put("imin", self._poly(a), self._poly(b))
            case Max(a, b):
                return self.put("imax", self._poly(a), self._poly(b))
            case Entry(tensor, index):
                return self.put("entry", tensor, *map(self._poly, index))

    def put(self, *entry: Any) -> int:
        """The number of a node whose parts have numbers already."""
        place = self._places.setdefault(entry, len(self.entries))
        if place == len(self.entries):
            self.entries.append([list(part) if isinstance(part, tuple) else part for part in entry])
        return place

    def op(self, op: OpDef) -> dict[str, Any]:
        """Everything of an operator that a claim about it depends on, and the rules that run."""
        self.begin()
        return {
            "name": op.name,
            "attrs": [[a.name, a.kind, None if a.default is None else str(a.default)] for a in op.attrs],
            "params": [self._param(p) for p in op.params],
            "output": self._param(op.output),
            "forward": self.formula(op.forward),
            "requires": [self.cond(c) for c in op.requires],
            "domain": [self.cond(c) for c in op.domain],
            "lets": [self.formula(f) for f in op.lets],
            "runs": None if op.runs is None else self.formula(op.runs),
            "jvp": None if op.jvp is None else self.formula(op.jvp),
            "vjps": [self.formula(f) for f in op.vjps],
            "kinks": [self._kink(k) for k in op.kinks],
            "ensures": [self._promise(p) for p in op.ensures],
            "externs": [self._extern(e) for e in op.externs],
            "laws": [self._law(law) for law in op.laws],
            "span": _place(op.span),
            "rules": self._rules(op),
        }

    def formula(self, formula: Formula) -> dict[str, Any]:
        """A formula, its body and extents by number."""
        return {
            "target": formula.target,
            "indices": [self.name(name) for name in formula.indices],
            "extents": [self.poly(p) for p in formula.extents],
            "body": self._node(formula.body),
            "span": _place(formula.span),
        }

    def _param(self, param: Param) -> dict[str, Any]:
        axes = [[self.poly(a.extent), a.pack, None if a.rank is None else self.poly(a.rank)] for a in param.axes]
        default: list[Any] | None = None
        if param.default is not None:
            given = [
                [name, "attr" if isinstance(value, str) else "number", str(value)]
                for name, value in param.default.kwargs
            ]
            default = [param.default.op, list(param.default.args), given]
        return {"name": param.name, "kind": param.kind, "axes": axes, "const": int(param.const), "default": default}

    def _kink(self, kink: Kink) -> dict[str, Any]:
        value = None if kink.value is None else self.term(kink.value)
        flags = {"jump": int(kink.jump), "least": int(kink.least)}
        return {"cond": self.cond(kink.cond), "value": value, "span": _place(kink.span), **flags}

    def _promise(self, promise: Promise) -> dict[str, Any]:
        ranges = [[self.name(name), self.poly(extent)] for name, extent in promise.ranges]
        return {"ranges": ranges, "cond": self.cond(promise.cond), "span": _place(promise.span)}

    def _extern(self, extern: Extern) -> dict[str, Any]:
        what = {"tensor": extern.tensor, "kernel": extern.kernel, "args": list(extern.args)}
        return {**what, "extents": [self.poly(p) for p in extern.extents], "span": _place(extern.span)}

    def _law(self, law: Law) -> dict[str, Any]:
        return {
            "indices": [self.name(name) for name in law.indices],
            "extents": [self.poly(p) for p in law.extents],
            "left": self.term(law.left),
            "right": self.term(law.right),
            "text": law.text,
            "span": _place(law.span),
            "adjoint": None if law.adjoint is None else self.term(law.adjoint),
        }

    def _rules(self, op: OpDef) -> dict[str, Any] | None:
        """What runs; None where a written rule is not linear, so that there is none."""
        try:
            rules = rules_of(op)
        except NotLinear:
            return None
        return {
            "forward": self._computation(rules.forward),
            "jvp": None if rules.jvp is None else self._computation(rules.jvp),
            "vjps": [[name, self._computation(one)] for name, one in rules.vjps],
        }

    def _computation(self, one: Computation) -> dict[str, Any]:
        needs = {"lets": [f.target for f in one.lets], "externs": [e.tensor for e in one.externs]}
        return {**needs, "result": self.formula(one.result)}


def _place(span: Span) -> list[int]:
    return [span.line, span.column, span.end_line, span.end_column]
