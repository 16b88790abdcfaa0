"""Integers in a formula: indices, sizes and attributes, as polynomials; and what can be read as one."""

from __future__ import annotations

from collections.abc import Callable

from gradproof.compiler.dims import Entry, Poly
from gradproof.compiler.scopes import Scope, chain, unknown
from gradproof.grammar.source import Diagnostic, Span
from gradproof.grammar.syntax import (
    Access,
    Apply,
    Binary,
    Expr,
    Name,
    Number,
    Pack,
    Unary,
)

MAX_POWER = 64  # a written integer power; larger ones are typing mistakes, or go through exp and log


def is_integer(expr: Expr, scope: Scope) -> bool:
    """Whether the expression can be read as an integer: no reals, no `/`, no functions but min, max and size."""
    stack = [expr]
    while stack:
        node = stack.pop()
        match node:
            case Number(value) if value.denominator == 1:
                continue
            case Pack():
                continue
            case Name(name) if name in scope.integers or name in scope.indices:
                continue
            case Name(name) if scope.lifted is not None and kind_of(name, scope) == "int":
                continue
            case Access(tensor, _) if kind_of(tensor, scope) == "int":
                continue
            case Unary("-", arg):
                stack.append(arg)
            case Binary(op, left, right) if op in ("+", "-", "*", "//", "%"):
                stack += [left, right]
            case Binary("^", left, Number(value)) if value.denominator == 1 and value >= 0:
                stack.append(left)
            case Apply("min" | "max" | "size", args, ()):
                stack += args
            case _:
                return False
    return True


def kind_of(tensor: str, scope: Scope) -> str:
    """The kind of the tensor of this name; empty where there is none."""
    return scope.tensors[tensor].kind if tensor in scope.tensors else ""


def integer(expr: Expr, scope: Scope) -> Poly:
    """An index, a size or an attribute: an integer polynomial with `//`, `%`, `min`, `max` and integer reads."""
    match expr:
        case Number(value):
            if value.denominator != 1:
                raise Diagnostic(
                    "E-INTEGER", f"{value} is not an integer", expr.span, "an index or a size is an integer"
                )
            return Poly.of(int(value))
        case Pack(name):
            return _named(f"{name}..", scope, expr.span)
        case Name(name):
            return _named(name, scope, expr.span)
        case Unary("-", arg):
            return -integer(arg, scope)
        case Binary("+" | "-", _, _):
            row = [(sign, integer(item, scope)) for sign, item in chain(expr, ("+", "-"))]
            return sum((p if sign == "+" else -p for sign, p in row), Poly.of(0))
        case Binary("*", left, right):
            return integer(left, scope) * integer(right, scope)
        case Binary("//", left, right):
            return _quotient(expr, integer(left, scope), integer(right, scope), Poly.__floordiv__)
        case Binary("%", left, right):
            return _quotient(expr, integer(left, scope), integer(right, scope), Poly.__mod__)
        case Binary("^", left, Number(value)) if value.denominator == 1 and 0 <= value <= MAX_POWER:
            return Poly.product([integer(left, scope)] * int(value))
        case Binary("/", _, _):
            advice = "write `//`, which rounds down; `/` divides reals"
            raise Diagnostic("E-INTEGER", "`/` in an index or a size", expr.span, advice)
        case Apply("min" | "max", args, ()) if args:
            values = [integer(arg, scope) for arg in args]
            result = values[0]
            for other in values[1:]:
                result = result.minimum(other) if expr.fn == "min" else result.maximum(other)
            return result
        case Apply("size", args, ()) if len(args) == 1:
            return integer(args[0], scope)
        case Access(tensor, _) if kind_of(tensor, scope) == "int":
            return Poly.atom(Entry(tensor, position_of(expr, scope)))
        case _:
            raise Diagnostic("E-INTEGER", "an integer is wanted here: an index or a size", expr.span, _INTEGERS)


_INTEGERS = "integers are made of indices, sizes, integer attributes and inputs with + - * // % min max"


def _quotient(expr: Expr, a: Poly, b: Poly, divide_by: Callable[[Poly, Poly], Poly]) -> Poly:
    if b == 0:
        raise Diagnostic("E-DIVISION-BY-ZERO", "this divides by 0", expr.span)
    return divide_by(a, b)


def _named(name: str, scope: Scope, span: Span) -> Poly:
    if name in scope.indices:
        return Poly.sym(scope.indices[name])
    if name in scope.integers:
        scope.used.add(name)
        return Poly.sym(name)
    if name in scope.reals:
        raise Diagnostic("E-INTEGER", f"`{name}` is a real attribute, and an integer is wanted here", span, _INTEGERS)
    if name in scope.tensors:
        kind = scope.tensors[name].kind
        if kind == "int" and scope.lifted is not None:
            scope.used.add(name)
            return Poly.atom(Entry(name, scope.lifted))
        advice = f"read an entry: `{name}[...]`" if kind == "int" else _INTEGERS
        raise Diagnostic("E-INTEGER", f"`{name}` is a {kind} tensor, and an integer is wanted here", span, advice)
    known = (*scope.indices, *scope.integers, *scope.tensors)
    raise unknown(name, known, span, "index or size", scope.ended)


def position_of(expr: Access, scope: Scope) -> tuple[Poly, ...]:
    """The indices of a read, one for each axis of the tensor."""
    tensor = scope.tensors[expr.tensor]
    scope.used.add(expr.tensor)
    if len(expr.index) != len(tensor.extents):
        axes = ", ".join(map(str, tensor.extents))
        message = f"`{expr.tensor}` has axes [{axes}] and is read with {len(expr.index)} ind{_plural(expr.index)}"
        raise Diagnostic("E-RANK", message, expr.span, "one index for each axis; a pack `S..` is one axis")
    return tuple(integer(index, scope) for index in expr.index)


def _plural(items: tuple[Expr, ...]) -> str:
    return "ex" if len(items) == 1 else "ices"
