"""Scopes: which names mean something at one place of a stanza, and what the written expressions look like there."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from gradproof.compiler.dims import Poly
from gradproof.compiler.ops import OpDef
from gradproof.grammar.source import Diagnostic, Span
from gradproof.grammar.syntax import (
    Access,
    Apply,
    Binary,
    Binder,
    BoundIndex,
    Compare,
    Expr,
    Logic,
    Name,
    Negation,
    Pack,
    Sequence,
    Unary,
)

MAX_DEPTH = 64  # nested parentheses, calls and binders in one formula; every later pass recurses over terms


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor that a formula may read: its kind, and the extent of each axis (a pack is one)."""

    kind: str
    extents: tuple[Poly, ...]


@dataclass(frozen=True, slots=True)
class Scope:
    """The names that mean something at one place of a stanza.

    `integers` are sizes (`n`, `S..`) and integer attributes, `reals` real attributes, `indices` the bound indices with
    the unique name of each. In a `fn`, `lifted` is the index at which its tensors, written bare, are read. `ended` are
    the indices that were bound by a `sum`, `max`, ... which has ended.
    """

    integers: frozenset[str]
    reals: frozenset[str]
    tensors: Mapping[str, Tensor]
    functions: Callable[[str], OpDef | None]
    warn: Callable[[Diagnostic], None]
    indices: Mapping[str, str] = field(default_factory=dict)
    lifted: tuple[Poly, ...] | None = None
    used: set[str] = field(default_factory=set)
    ended: set[str] = field(default_factory=set)

    def index(self, *named: tuple[str, str]) -> Scope:
        """This scope with more indices: (written name, unique name)."""
        return replace(self, indices={**self.indices, **dict(named)}, ended=set())

    def reading(self, tensors: Mapping[str, Tensor]) -> Scope:
        """This scope with more tensors."""
        return replace(self, tensors={**self.tensors, **tensors})


def unknown(name: str, known: Iterable[str], span: Span, what: str = "name", ended: Container[str] = ()) -> Diagnostic:
    """The error for a name that nothing defines, with the closest names as advice, or that no longer means a thing."""
    from difflib import get_close_matches

    close = get_close_matches(name, sorted(set(known)), n=3)
    advice = f"did you mean {' or '.join(f'`{c}`' for c in close)}?" if close else ""
    if name in ended:
        advice = f"what `({name})` is over has ended: at a bracket, or at `+` or `-`; write `sum({name}) (... + ...)`"
    elif what.startswith("index") and not close:
        advice = f"an index stands on the left, or is bound: `sum({name}) ...`"
    return Diagnostic("E-UNKNOWN-NAME", f"unknown {what} `{name}`", span, advice)


def chain(expr: Expr, signs: tuple[str, ...]) -> list[tuple[str, Expr]]:
    """A left-nested row of infix operators as a list: `a - b + c` is [("+", a), ("-", b), ("+", c)].

    The first sign is the neutral one. Rows are walked, not recursed into: ten thousand summands are no deeper than two.
    """
    row: list[tuple[str, Expr]] = []
    while isinstance(expr, Binary) and expr.op in signs:
        row.append((expr.op, expr.right))
        expr = expr.left
    row.append((signs[0], expr))
    return row[::-1]


def parts(expr: Expr) -> tuple[Expr, ...]:
    """The direct sub-expressions."""
    match expr:
        case Unary(_, arg) | Negation(arg):
            return (arg,)
        case Binary(_, left, right):
            return (left, right)
        case Compare(_, operands):
            return operands
        case Logic(_, args) | Sequence(args):
            return args
        case Apply(_, args, kwargs):
            return (*args, *(value for _, value in kwargs))
        case Access(_, index):
            return index
        case Binder(_, indices, guard, body):
            extents = tuple(i.extent for i in indices if i.extent is not None)
            return (*extents, *((guard,) if guard is not None else ()), body)
        case _:
            return ()


def names_in(expr: Expr | None) -> set[str]:
    """Every name of a size or an index in the expression, a pack's with its dots."""
    found: set[str] = set()
    stack = [] if expr is None else [expr]
    while stack:
        node = stack.pop()
        if isinstance(node, Name | Pack):
            found.add(written(node))
        stack += parts(node)
    return found


def check_depth(expr: Expr) -> None:
    """Refuse an expression that is nested too deeply for anyone to have meant it."""
    stack: list[tuple[Expr, int]] = [(expr, 0)]
    while stack:
        node, depth = stack.pop()
        if depth > MAX_DEPTH:
            message = f"this formula is nested more than {MAX_DEPTH} deep"
            raise Diagnostic("E-TOO-DEEP", message, node.span, "name its parts with `let`")
        if isinstance(node, Binary):
            row = ("+", "-") if node.op in ("+", "-") else ("*", "/") if node.op in ("*", "/") else ()
            if row:
                stack += [(item, depth + 1) for _, item in chain(node, row)]
                continue
        stack += [(inner, depth + 1) for inner in parts(node)]


def written(index: Name | Pack | BoundIndex) -> str:
    """The name of an index as it is kept: with dots for a pack."""
    dots = isinstance(index, Pack) or (isinstance(index, BoundIndex) and index.pack)
    return f"{index.name}.." if dots else index.name


def check_index(name: str, scope: Scope, span: Span, siblings: Iterable[str] = ()) -> None:
    """Refuse an index with a name that means something else; warn of one that hides another index."""
    if name in siblings:
        raise Diagnostic("E-DUPLICATE", f"the index `{name}` is given twice", span)
    if name in scope.integers or name in scope.reals or name in scope.tensors:
        what = "a size or attribute" if name in scope.integers or name in scope.reals else "a tensor"
        raise Diagnostic(
            "E-NAME-CLASH", f"`{name}` is {what} here, so it can't be an index", span, "take another letter"
        )
    if name in scope.indices:
        scope.warn(Diagnostic("W-SHADOWED", f"the index `{name}` hides the one outside", span, "take another letter"))


def bare_reads(name: str, exprs: Iterable[Expr], scope: Scope) -> Iterator[Poly]:
    """The extents of the axes at which the index stands alone, in the order of the text."""
    stack = list(reversed(list(exprs)))
    while stack:
        node = stack.pop()
        if isinstance(node, Binder) and name in map(written, node.indices):
            continue  # another index of the same name
        if isinstance(node, Access) and node.tensor in scope.tensors:
            for item, limit in zip(node.index, scope.tensors[node.tensor].extents, strict=False):
                if isinstance(item, Name | Pack) and written(item) == name:
                    yield limit
        stack += reversed(parts(node))


def extent_of(name: str, exprs: Iterable[Expr], scope: Scope, span: Span) -> Poly:
    """The extent of an index: that of the first axis at which it stands alone (SHAPE proves all the others)."""
    for limit in bare_reads(name, exprs, scope):
        return limit
    message = f"how far `{name}` runs can't be seen: no axis is read at `{name}` alone"
    raise Diagnostic("E-EXTENT", message, span, f"say it: `{name} < n`")
