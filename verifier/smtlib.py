"""Questions as SMT-LIB 2 text: the same translation as the solver's (questions.py), written out instead of asked.

`Writer` stands where the solver's module stands, so what is exported is what is asked; no solver is imported. Text is
stable: machine-made names are numbered as they appear, parts that occur twice are defined once.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations
from pathlib import Path
from typing import Any, TypeAlias

from gradproof.compiler.show import show
from gradproof.compiler.terms import Cond, Truth
from gradproof.verifier.asked import Asked
from gradproof.verifier.questions import Question, Untranslatable

NEAR = 6  # floors in one question that are compared with each other
INT, REAL, BOOL = "Int", "Real", "Bool"
TO = {sort: f"to_{sort.lower()}" for sort in (INT, REAL)}  # the language's conversions
_SIMPLE = re.compile(r"[A-Za-z~!@%_.][A-Za-z0-9~!@%_./]*")
_MADE = re.compile(r"(?<![A-Za-z0-9_])[~@%]\d+(\.f)?|#\d+")
_COMMAND = re.compile(r"\)\((?=declare|assert|define)")
# Words of the language that a size or an input could be called.
_RESERVED = frozenset(("and", "or", "not", "xor", "distinct", "ite", "let", "par", "exists", "forall", "match", "as"))
_RESERVED |= {"true", "false", "abs", "div", "mod", *TO.values(), "is_int", "assert", "pop", "push", "exit"}


@dataclass(frozen=True, slots=True, eq=False)
class Expr:
    """An expression; one is made once in a script, so that it is compared by identity."""

    writer: Writer
    head: str
    args: tuple[Expr, ...]
    sort: str

    def _to(self, head: str, other: Any, sort: str, swap: bool = False) -> Expr:
        pair = (self.writer.lift(other, self.sort), self) if swap else (self, self.writer.lift(other, self.sort))
        return self.writer.make(head, pair, sort)

    def __add__(self, other: Any) -> Expr:
        return self._to("+", other, self.sort)

    def __mul__(self, other: Any) -> Expr:
        return self._to("*", other, self.sort)

    def __rmul__(self, other: Any) -> Expr:
        return self._to("*", other, self.sort, swap=True)

    def __neg__(self) -> Expr:
        return self.writer.make("-", (self,), self.sort)

    def __le__(self, other: Any) -> Expr:
        return self._to("<=", other, BOOL)

    def __lt__(self, other: Any) -> Expr:
        return self._to("<", other, BOOL)

    def __ge__(self, other: Any) -> Expr:
        return self._to(">=", other, BOOL)

    def __gt__(self, other: Any) -> Expr:
        return self._to(">", other, BOOL)

    def __eq__(self, other: object) -> Expr:  # type: ignore[override]  # as the solver's expressions have it
        return self._to("=", other, BOOL)

    __hash__ = object.__hash__


Function: TypeAlias = tuple[str, tuple[str, ...], str]  # name, sorts of the arguments, sort


class Writer:
    """The part of the solver's module that the translation uses; every expression becomes a node to be printed."""

    def __init__(self) -> None:
        self.functions: dict[str, Function] = {}
        self._made: dict[tuple[str, tuple[int, ...], str], Expr] = {}

    def make(self, head: str, args: Sequence[Expr], sort: str) -> Expr:
        """The node with this head; equal nodes are one."""
        key = (head, tuple(map(id, args)), sort)
        if key not in self._made:
            self._made[key] = Expr(self, head, tuple(args), sort)
        return self._made[key]

    def lift(self, value: Any, sort: str) -> Expr:
        """A Python number as a literal of the sort."""
        if isinstance(value, Expr):
            if value.sort != sort:
                raise Untranslatable(f"{sort} and {value.sort} in one expression")
            return value
        return self.IntVal(value) if sort == INT else self.Q(value, 1)

    def _declared(self, name: str, arguments: tuple[str, ...], sort: str) -> Function:
        # The solver keeps names of several sorts apart; a script has each name once.
        unique = name
        while self.functions.setdefault(unique, (unique, arguments, sort)) != (unique, arguments, sort):
            unique += "'"
        return self.functions[unique]

    # The solver's names.

    def IntSort(self) -> str:  # noqa: N802
        """The sort of integers."""
        return INT

    def RealSort(self) -> str:  # noqa: N802
        """The sort of reals."""
        return REAL

    def BoolSort(self) -> str:  # noqa: N802
        """The sort of truth values."""
        return BOOL

    def Const(self, name: str, sort: str) -> Expr:  # noqa: N802
        """An unknown."""
        return self.make(self._declared(name, (), sort)[0], (), sort)

    def Int(self, name: str) -> Expr:  # noqa: N802
        """An unknown integer."""
        return self.Const(name, INT)

    def Real(self, name: str) -> Expr:  # noqa: N802
        """An unknown real."""
        return self.Const(name, REAL)

    def Function(self, name: str, *sorts: str) -> Any:  # noqa: N802
        """An unknown function."""
        declared = self._declared(name, sorts[:-1], sorts[-1])
        return lambda *args: self.make(declared[0], args, sorts[-1])

    def IntVal(self, value: int) -> Expr:  # noqa: N802
        """An integer."""
        return self.make(f"{value}" if value >= 0 else f"(- {-value})", (), INT)

    def RealVal(self, value: int) -> Expr:  # noqa: N802
        """A real."""
        return self.Q(value, 1)

    def Q(self, numerator: int, denominator: int) -> Expr:  # noqa: N802
        """A rational number."""
        value = Fraction(numerator, denominator)
        top = f"{abs(value.numerator)}.0"
        text = top if value.denominator == 1 else f"(/ {top} {value.denominator}.0)"
        return self.make(f"(- {text})" if value < 0 else text, (), REAL)

    def BoolVal(self, value: bool) -> Expr:  # noqa: N802
        """A truth value."""
        return self.make("true" if value else "false", (), BOOL)

    def And(self, *args: Expr) -> Expr:  # noqa: N802
        """All of them."""
        return self.make("and", args, BOOL) if len(args) > 1 else args[0] if args else self.BoolVal(True)

    def Or(self, *args: Expr) -> Expr:  # noqa: N802
        """One of them."""
        return self.make("or", args, BOOL) if len(args) > 1 else args[0] if args else self.BoolVal(False)

    def Not(self, arg: Expr) -> Expr:  # noqa: N802
        """Its negation."""
        return self.make("not", (arg,), BOOL)

    def Implies(self, condition: Expr, result: Expr) -> Expr:  # noqa: N802
        """An implication."""
        return self.make("=>", (condition, result), BOOL)

    def If(self, condition: Expr, then: Expr, other: Any) -> Expr:  # noqa: N802
        """One of two."""
        return self.make("ite", (condition, then, self.lift(other, then.sort)), then.sort)

    def ToReal(self, value: Expr) -> Expr:  # noqa: N802
        """An integer as a real."""
        return self.make(TO[REAL], (value,), REAL)

    def ToInt(self, value: Expr) -> Expr:  # noqa: N802
        """The greatest integer that is not above."""
        return self.make(TO[INT], (value,), INT)

    def Sum(self, *args: Expr) -> Expr:  # noqa: N802
        """A sum."""
        return self.make("+", args, REAL) if len(args) > 1 else args[0] if args else self.Q(0, 1)

    def Product(self, *args: Expr) -> Expr:  # noqa: N802
        """A product."""
        return self.make("*", args, REAL) if len(args) > 1 else args[0] if args else self.Q(1, 1)


@dataclass(frozen=True, slots=True)
class Script:
    """A question written out: its text, what it is called, and what the first solver said."""

    name: str
    text: str
    status: str
    question: str  # the text without its header: the same for the same question


def script(asked: Asked) -> Script:
    """The question with a header that says what it is for. Raises Untranslatable."""
    body = _given(asked.text) if asked.goal is None else _written(asked.goal, asked.hypotheses, asked.reals)
    key = hashlib.sha256(body.encode()).hexdigest()[:10]
    claim = asked.claim
    parts = [claim.kind, claim.subject, claim.code] if claim else ["search"]
    name = "-".join(re.sub(r"[^A-Za-z0-9_.]+", "_", part).strip("_") for part in parts)
    status = f"(set-info :status {asked.status})\n"
    head, rest = body.split("\n", 1)
    return Script(f"{name}-{key}.smt2", f"{_header(asked)}{head}\n{status}{rest}", asked.status, body)


def possible(hypotheses: Sequence[Cond], reals: bool) -> str:
    """The question whether the hypotheses alone have a model: where they have none, they prove anything."""
    return _written(Truth(False), tuple(hypotheses), reals)


def _header(asked: Asked) -> str:
    lines = []
    if asked.claim is not None:
        lines += [f"{asked.claim.code} of {asked.claim.kind} {asked.claim.subject}", asked.claim.text]
        span = asked.claim.span
        if span is not None and span.source.text:
            lines.append(f"at {Path(span.source.path).name}:{span.line}:{span.column}")
    lines.append("unsat: the goal follows from the hypotheses; sat: it does not, or not under what was abstracted")
    return "".join(f"; {part}\n" for line in lines for part in line.splitlines())


def _given(text: str) -> str:
    """A text that was SMT-LIB to begin with, one command a line."""
    lines = _COMMAND.sub(")\n(", text)
    return f"(set-logic ALL)\n{lines}\n(check-sat)\n"


def _written(goal: Cond, hypotheses: tuple[Cond, ...], reals: bool) -> str:
    writer = Writer()
    question = Question(writer, (goal, *hypotheses), reals)
    # The shown text of a condition has no history in it, so the order is the same in every run.
    known = [(f"hypothesis: {_shown(h)}", question.cond(h)) for h in hypotheses]
    known.append((f"the goal, negated: {_shown(goal)}", question.negated(goal)))
    known += [("what a quotient, an inverse or a root is", side) for side in question.sides]
    steps = [node for node in _nodes([expr for _, expr in known]) if node.head == TO[INT]]
    known += [
        ("true of all integers, so that a solver may branch on it", truth) for truth in _neighbours(steps, writer)
    ]
    roots = [expr for _, expr in known]
    namer = _Namer()
    printer = _Printer(roots, writer.functions, namer)
    body: list[str] = []
    for comment, expr in known:
        text = printer.text(expr)
        body += [*printer.defined(), *(f"; {namer.made(line)}" for line in comment.splitlines()), f"(assert {text})"]
    lines = [f"(set-logic {_logic(roots, writer.functions)})"]
    for name, arguments, sort in printer.used():
        lines.append(f"(declare-fun {namer.symbol(name)} ({' '.join(arguments)}) {sort})")
    return "\n".join([*lines, *body, "(check-sat)", ""])


def _neighbours(steps: Sequence[Expr], writer: Writer) -> Iterator[Expr]:
    """For two integers near each other or near each other's negative: their distance is -1, 0, 1, or beyond.

    Without it cvc5 branches on two unbounded floors for ever (floor(x) and floor(-x), say).
    """
    for a, b in combinations(steps[:NEAR], 2):
        for distance in (a + b, a + -b):
            cases = [distance == k for k in (-1, 0, 1)]
            yield writer.Or(distance < -1, *cases, distance > 1)


def _shown(cond: Cond) -> str:
    text = show(cond)
    return text if len(text) <= 300 else f"{text[:300]} ..."


class _Namer:
    """Symbols of a script: machine-made parts of names are numbered as they appear."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def made(self, text: str) -> str:
        return _MADE.sub(lambda m: f"{m[0][0]}{self._numbers.setdefault(m[0], len(self._numbers))}", text)

    def symbol(self, name: str) -> str:
        name = self.made(name).replace("|", "!").replace("\\", "!")
        if name in _RESERVED:
            return f"|{name} |"  # in bars it would still be that word
        return name if _SIMPLE.fullmatch(name) else f"|{name}|"


def _nodes(roots: Iterable[Expr]) -> Iterator[Expr]:
    """Every node once, arguments before what has them."""
    seen: set[Expr] = set()
    stack = [(root, False) for root in reversed(list(roots))]
    while stack:
        node, ready = stack.pop()
        if ready:
            yield node
        elif node not in seen:
            seen.add(node)
            stack.append((node, True))
            stack += [(arg, False) for arg in reversed(node.args)]


class _Printer:
    """Expressions as text; what occurs twice becomes a definition in front of its first use."""

    def __init__(self, roots: Sequence[Expr], functions: Mapping[str, Function], namer: _Namer) -> None:
        self._functions, self._namer = functions, namer
        self._used: dict[str, Function] = {}
        self._pending: list[str] = []
        self._texts: dict[Expr, str] = {}
        self._definitions = 0
        self._parents: Counter[Expr] = Counter(arg for node in _nodes(roots) for arg in node.args)

    def text(self, root: Expr) -> str:
        """The text of an expression."""
        for node in _nodes([root]):
            if node not in self._texts:
                self._texts[node] = self._node(node)
        return self._texts[root]

    def defined(self) -> list[str]:
        """The definitions that came up since this was asked before."""
        found, self._pending = self._pending, []
        return found

    def used(self) -> list[Function]:
        """The unknowns that occur, in order."""
        return list(self._used.values())

    def _node(self, node: Expr) -> str:
        head = node.head
        if head in self._functions:
            self._used.setdefault(head, self._functions[head])
            head = self._namer.symbol(head)
        if not node.args:
            return head
        text = f"({head} {' '.join(self._texts[arg] for arg in node.args)})"
        if self._parents[node] < 2 or len(text) < 40:
            return text
        self._definitions += 1
        name = f"part!{self._definitions}"
        self._pending.append(f"(define-fun {name} () {node.sort} {text})")
        return name


def _logic(roots: Sequence[Expr], functions: Mapping[str, Function]) -> str:
    """The smallest usual logic that the expressions lie in."""
    nodes = list(_nodes(roots))
    sorts = {node.sort for node in nodes}
    free = any(functions[node.head][1] for node in nodes if node.head in functions)
    products = [node for node in nodes if node.head == "*"]
    linear = all(sum(not _literal(arg, functions) for arg in node.args) < 2 for node in products)
    numbers = "".join(letter for letter, sort in (("I", INT), ("R", REAL)) if sort in sorts)
    if not numbers:
        return "QF_UF"
    return f"QF_{'UF' if free else ''}{'L' if linear else 'N'}{numbers}A"


def _literal(node: Expr, functions: Mapping[str, Function]) -> bool:
    return not node.args and node.head not in functions
