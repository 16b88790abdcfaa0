"""The way back from plain data to terms and operators: the inverse of portable.py, for data that has been checked."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any, TypeVar

from gradproof.compiler.dims import Entry, FloorDiv, Max, Min, Mod, Poly, Sym
from gradproof.compiler.ops import Attr, Axis, Default, Extern, Formula, Kink, Law, OpDef, Param, Promise
from gradproof.compiler.rules import Computation, RuleSet
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
    fresh,
)
from gradproof.grammar.source import Source, Span

A = TypeVar("A")
B = TypeVar("B")
T = TypeVar("T")
_MADE = re.compile(r"#\d+")


class Reader:
    """Reads the entries of one table; `source` is the text that spans point into.

    ValueError, IndexError, KeyError or TypeError for data that no Table writes.
    """

    def __init__(self, entries: Sequence[Sequence[Any]], source: Source) -> None:
        self._entries = entries
        self._source = source
        self.begin()

    def begin(self) -> None:
        """Start a new operator or graph: its machine-made names are made anew, so that nothing else has them."""
        self._names: dict[str, str] = {}
        self._nodes: dict[int, Any] = {}

    def name(self, name: str) -> str:
        """An index's name in this process."""
        return _MADE.sub(lambda m: self._names.setdefault(m.group(), fresh("")), name)

    def poly(self, place: int) -> Poly:
        """The integer polynomial at a place."""
        return self._expect(place, Poly)

    def term(self, place: int) -> Term:
        """The term at a place."""
        return self._expect(place, Term)  # type: ignore[arg-type]

    def cond(self, place: int) -> Cond:
        """The condition at a place."""
        return self._expect(place, Cond)  # type: ignore[arg-type]

    def _expect(self, place: int, kind: type[T]) -> T:
        node = self._node(place)
        if not isinstance(node, kind):
            raise ValueError(f"entry {place} is {type(node).__name__}")
        return node

    def _node(self, place: int) -> Any:
        if place not in self._nodes:
            if place < 0:
                raise IndexError(place)
            self._nodes[place] = self._decoded(place, *self._entries[place])
        return self._nodes[place]

    def _decoded(self, place: int, tag: str, *parts: Any) -> Any:
        def below(k: int) -> Any:
            if k >= place:
                raise ValueError(f"entry {place} holds {k}, which is not before it")
            return self._node(k)

        def atoms(a: int, b: int) -> tuple[Poly, Poly]:
            return below(a), below(b)

        match tag, parts:
            case "sym", (name,):
                return Sym(self.name(name))
            case "div", (a, b):
                return FloorDiv(*atoms(a, b))
            case "mod", (a, b):
                return Mod(*atoms(a, b))
            case "imin", (a, b):
                return Min(*atoms(a, b))
            case "imax", (a, b):
                return Max(*atoms(a, b))
            case "entry", (tensor, *index):
                return Entry(tensor, tuple(map(below, index)))
            case "poly", _:
                return sum(
                    (Poly.product([Poly.of(c), *(Poly.atom(below(a)) for a in found)]) for c, *found in parts),
                    Poly.of(0),
                )
            case "num", (text,):
                return Num(Fraction(text))
            case "size", (p,):
                return Size(below(p))
            case "read", (tensor, *index):
                return Read(tensor, tuple(map(below, index)))
            case "bool", (tensor, *index):
                return BoolRead(tensor, tuple(map(below, index)))
            case (("add" | "mul" | "and" | "or"), _):
                return _LISTS[tag](tuple(map(below, parts)))
            case "pow", (base, exponent):
                return Pow(below(base), int(exponent))
            case "call", (fn, *args):
                return Call(fn, tuple(map(below, args)))
            case "select", (cond, then, other):
                return Select(below(cond), below(then), below(other))
            case "reduce", (kind, var, extent, guard, body):
                return Reduce(kind, self.name(var), below(extent), below(guard), below(body))
            case "truth", (value,):
                return Truth(bool(value))
            case "ge", (p,):
                return IntCmp(">=", below(p))
            case "eq", (p,):
                poly: Poly = below(p)
                return IntCmp("==", -poly if poly.terms and poly.terms[0][1] < 0 else poly)
            case (("lt" | "le" | "same"), (a, b)):
                return RealCmp({"lt": "<", "le": "<=", "same": "=="}[tag], below(a), below(b))
            case "not", (arg,):
                return Not(below(arg))
            case _:
                raise ValueError(f"entry {place} has the unknown form {tag}")

    def op(self, data: dict[str, Any]) -> OpDef:
        """The operator: what `Table.op` was given, up to the names of bound indices, its text and its doc."""
        self.begin()
        return OpDef(
            data["name"],
            tuple(Attr(name, kind, None if v is None else Fraction(v)) for name, kind, v in data["attrs"]),
            tuple(map(self._param, data["params"])),
            self._param(data["output"]),
            self.formula(data["forward"]),
            self._span(data["span"]),
            tuple(map(self.cond, data["requires"])),
            tuple(map(self.cond, data["domain"])),
            tuple(map(self.formula, data["lets"])),
            _maybe(self.formula, data["runs"]),
            _maybe(self.formula, data["jvp"]),
            tuple(map(self.formula, data["vjps"])),
            tuple(map(self._kink, data["kinks"])),
            ensures=tuple(map(self._promise, data["ensures"])),
            externs=tuple(map(self._extern, data["externs"])),
            laws=tuple(map(self._law, data["laws"])),
        )

    def rules(self, op: OpDef, data: dict[str, Any]) -> RuleSet:
        """The rules that run, as the data gives them: what was proved, not what this compiler would derive."""

        def one(part: dict[str, Any]) -> Computation:
            lets = tuple(f for f in op.lets if f.target in part["lets"])
            externs = tuple(e for e in op.externs if e.tensor in part["externs"])
            return Computation(lets, self.formula(part["result"]), externs)

        jvp, vjps = data["jvp"], data["vjps"]
        return RuleSet(op, one(data["forward"]), _maybe(one, jvp), tuple((name, one(part)) for name, part in vjps))

    def formula(self, data: dict[str, Any]) -> Formula:
        """A formula."""
        indices = tuple(map(self.name, data["indices"]))
        extents = tuple(map(self.poly, data["extents"]))
        return Formula(data["target"], indices, extents, self._node(data["body"]), self._span(data["span"]))

    def _param(self, data: dict[str, Any]) -> Param:
        axes = tuple(Axis(self.poly(extent), pack, _maybe(self.poly, rank)) for extent, pack, rank in data["axes"])
        default: Default | None = None
        if data["default"] is not None:
            op, args, given = data["default"]
            kwargs = tuple((name, value if kind == "attr" else Fraction(value)) for name, kind, value in given)
            default = Default(op, tuple(args), kwargs)
        return Param(data["name"], data["kind"], axes, bool(data["const"]), default)

    def _kink(self, data: dict[str, Any]) -> Kink:
        value = _maybe(self.term, data["value"])
        return Kink(self.cond(data["cond"]), value, self._span(data["span"]), bool(data["jump"]), bool(data["least"]))

    def _promise(self, data: dict[str, Any]) -> Promise:
        ranges = tuple((self.name(name), self.poly(extent)) for name, extent in data["ranges"])
        return Promise(self.cond(data["cond"]), ranges, self._span(data["span"]))

    def _extern(self, data: dict[str, Any]) -> Extern:
        extents = tuple(map(self.poly, data["extents"]))
        return Extern(data["tensor"], data["kernel"], tuple(data["args"]), extents, self._span(data["span"]))

    def _law(self, data: dict[str, Any]) -> Law:
        return Law(
            tuple(map(self.name, data["indices"])),
            tuple(map(self.poly, data["extents"])),
            self.term(data["left"]),
            self.term(data["right"]),
            self._span(data["span"]),
            data["text"],
            _maybe(self.term, data["adjoint"]),
        )

    def _span(self, data: Sequence[int]) -> Span:
        line, column, end_line, end_column = data
        return Span(self._source, line, column, end_line, end_column)


_LISTS: dict[str, Callable[[tuple[Any, ...]], Any]] = {"add": Add, "mul": Mul, "and": And, "or": Or}


def _maybe(read: Callable[[A], B], data: A | None) -> B | None:
    return None if data is None else read(data)
