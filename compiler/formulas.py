"""From the text of a formula to its meaning: Expr -> Term, Cond or Poly, in the scope of one operator.

Every binder gets an index name of its own (`terms.fresh`), so nothing can capture. What is an integer and what is a
real is read off the expression: a comparison of integers is one of integers, an integer where a real is wanted is
taken as one, and a real where an integer is wanted is an error.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from itertools import islice

from gradproof.compiler.dims import Poly
from gradproof.compiler.integers import MAX_POWER, integer, is_integer, kind_of, position_of
from gradproof.compiler.ops import Formula, OpDef
from gradproof.compiler.rewriting import free_symbols, replace_reads, substitute, walk
from gradproof.compiler.scopes import Scope, chain, check_index, extent_of, unknown, written
from gradproof.compiler.terms import (
    ONE,
    TRUE,
    And,
    BoolRead,
    Cond,
    Num,
    Read,
    RealCmp,
    Term,
    add,
    both,
    call,
    divide,
    either,
    fresh,
    int_eq,
    int_ge,
    int_lt,
    mul,
    neg,
    negate,
    num,
    power,
    reduce_,
    select,
    size,
)
from gradproof.grammar.source import Diagnostic, Span
from gradproof.grammar.syntax import (
    Access,
    Apply,
    Binary,
    Binder,
    Compare,
    Expr,
    Logic,
    Name,
    Negation,
    Number,
    Unary,
)

MAX_TERM = 20_000  # parts of one formula, written out
_SCALAR = ("+", "-", "*", "/", "^")


def real(expr: Expr, scope: Scope) -> Term:
    """A real number: the meaning of one entry."""
    if not isinstance(expr, Number) and is_integer(expr, scope):
        return size(integer(expr, scope))
    match expr:
        case Number(value):
            return Num(value)
        case Name(name):
            return _real_name(name, scope, expr.span)
        case Unary("-", arg):
            return neg(real(arg, scope))
        case Binary("+" | "-", _, _):
            row = [(sign, real(item, scope)) for sign, item in chain(expr, ("+", "-"))]
            return add(*(t if sign == "+" else neg(t) for sign, t in row))
        case Binary("*" | "/", _, _):
            row = [(sign, real(item, scope)) for sign, item in chain(expr, ("*", "/"))]
            return mul(*(t if sign == "*" else divide(ONE, t) for sign, t in row))
        case Binary("^", left, right):
            return _power(real(left, scope), right, scope)
        case Binary("//" | "%", _, _):
            raise Diagnostic("E-INTEGER", f"`{expr.op}` is for integers", expr.span, "`/` divides reals")
        case Binary("@", _, _):
            raise Diagnostic(
                "E-FORMULA", "`@` belongs in graphs", expr.span, "write the sum: `sum(l) a[i, l] * b[l, j]`"
            )
        case Apply("select" | "where" as name, args, ()):
            if len(args) != 3:
                raise Diagnostic("E-ARITY", f"{name} takes 3 arguments, not {len(args)}", expr.span, _SELECT)
            return select(condition(args[0], scope), real(args[1], scope), real(args[2], scope))
        case Apply():
            return _call(expr, scope)
        case Access():
            return _real_read(expr, scope)
        case Binder():
            return _reduce(expr, scope)
        case Compare() | Logic() | Negation():
            raise Diagnostic("E-KIND", "a condition where a number is wanted", expr.span, _SELECT)
        case _:
            raise Diagnostic("E-FORMULA", "this has no meaning in a formula", expr.span)


_SELECT = "write `select(condition, 1, 0)`"


def _real_name(name: str, scope: Scope, span: Span) -> Term:
    if name in scope.reals:
        scope.used.add(name)
        return Read(name, ())
    if name not in scope.tensors:
        from gradproof.compiler.functions import FUNCTIONS

        constants = [f"{fn}()" for fn, found in FUNCTIONS.items() if not found.arity]
        known = (*scope.indices, *scope.integers, *scope.reals, *scope.tensors, *constants)
        raise unknown(name, known, span, ended=scope.ended)
    if scope.lifted is None:
        if not scope.tensors[name].extents and scope.tensors[name].kind == "real":
            scope.used.add(name)
            return Read(name, ())
        message = f"`{name}` is a tensor; a formula is about one entry"
        raise Diagnostic("E-FORMULA", message, span, f"read an entry: `{name}[...]`")
    scope.used.add(name)
    return Read(name, scope.lifted)


def _real_read(expr: Access, scope: Scope) -> Term:
    if scope.lifted is not None and not expr.index and expr.tensor in scope.tensors:
        return _real_name(expr.tensor, scope, expr.span)
    if expr.tensor not in scope.tensors:
        if expr.tensor in scope.reals or expr.tensor in scope.integers:
            raise Diagnostic(
                "E-RANK", f"`{expr.tensor}` is one number and has no entries", expr.span, "leave out [...]"
            )
        raise unknown(expr.tensor, scope.tensors, expr.span, "tensor")
    if scope.lifted is not None:
        advice = f"write `{expr.tensor}`; an `op` has indices"
        raise Diagnostic("E-RANK", "a `fn` is written without indices", expr.span, advice)
    if scope.tensors[expr.tensor].kind == "bool":
        raise Diagnostic("E-KIND", "a condition where a number is wanted", expr.span, _SELECT)
    return Read(expr.tensor, position_of(expr, scope))


def constant(expr: Expr) -> Fraction | None:
    """The value of an expression of literals; None where it is not one."""
    match expr:
        case Number(value):
            return value
        case Unary("-", arg):
            inner = constant(arg)
            return None if inner is None else -inner
        case Binary(op, left, right) if op in _SCALAR or op in ("//", "%"):
            a, b = constant(left), constant(right)
            return None if a is None or b is None else fold(op, a, b)
        case _:
            return None


def fold(op: str, a: Fraction, b: Fraction) -> Fraction | None:
    match op:
        case "+":
            return a + b
        case "-":
            return a - b
        case "*":
            return a * b
        case "/" if b != 0:
            return a / b
        case "//" if b != 0:
            return Fraction(a // b)
        case "%" if b != 0:
            return a % b
        case "^" if b.denominator == 1 and abs(b) <= MAX_POWER and (a != 0 or b >= 0):
            return Fraction(a ** int(b))
        case _:
            return None


def _power(base: Term, exponent: Expr, scope: Scope) -> Term:
    from gradproof.compiler.functions import power_real

    value = constant(exponent)
    if value is None:
        return call("ipow" if is_integer(exponent, scope) else "pow", base, real(exponent, scope))
    if value.denominator == 1:
        if abs(value) > MAX_POWER:
            advice = "write exp(k * log(x)) for a positive x"
            raise Diagnostic("E-POWER", f"an integer power above {MAX_POWER}", exponent.span, advice)
        return power(base, int(value))
    return power_real(base, num(value))


def _call(expr: Apply, scope: Scope) -> Term:
    from gradproof.compiler.functions import FUNCTIONS
    from gradproof.compiler.scalar import integer_of

    if expr.kwargs:
        raise Diagnostic("E-FORMULA", "a function in a formula takes no attributes", expr.span, "write its formula")
    found = FUNCTIONS.get(expr.fn)
    definition = None if found else scope.functions(expr.fn)
    if found is None and definition is None:
        raise unknown(expr.fn, (*FUNCTIONS, "select", "sum", "prod"), expr.span, "function")
    arity = found.arity if found else len(definition.params) if definition else 0
    if len(expr.args) != arity:
        wanted = f"{arity} argument{'' if arity == 1 else 's'}"
        raise Diagnostic(
            "E-ARITY", f"`{expr.fn}` takes {wanted}, not {len(expr.args)}", expr.span, _binder_advice(expr)
        )
    args = tuple(real(arg, scope) for arg in expr.args)
    for k in found.integers if found else ():
        if integer_of(args[k]) is None:
            advice = "write a literal, a size, an index or an integer attribute"
            raise Diagnostic("E-INTEGER", f"`{expr.fn}` takes an integer here", expr.args[k].span, advice)
    return call(expr.fn, *args) if definition is None else _unfold(definition, args, expr)


def _binder_advice(expr: Apply) -> str:
    return f"over an index it is a binder: `{expr.fn}(j) x[j]`" if expr.fn in ("max", "min") else ""


def _unfold(definition: OpDef, args: tuple[Term, ...], expr: Apply) -> Term:
    """A `fn` inside a formula stands for its own formula."""
    body = definition.forward.body
    if definition.attrs or isinstance(body, Cond) or any(p.axes != definition.output.axes for p in definition.params):
        raise Diagnostic("E-FORMULA", f"`{expr.fn}` is no plain `fn`: a formula can't call it", expr.span)
    held = next((param.name for param in definition.params if param.const), None)
    if held is not None:
        # Put in for the call, the argument would be differentiated.
        message = f"`{expr.fn}` holds `{held}` constant, and a formula is differentiated by all that it reads"
        advice = "make what is held a `const` input, and give it `detach(...)` in a graph"
        raise Diagnostic("E-FORMULA", message, expr.span, advice)
    table = {param.name: arg for param, arg in zip(definition.params, args, strict=True)}
    result = replace_reads(body, lambda read: table[read.tensor])
    check_size(result, expr.span)
    return result


def condition(expr: Expr, scope: Scope) -> Cond:
    """A truth value: comparisons, boolean reads, `and`, `or`, `not`."""
    match expr:
        case Compare(ops, operands):
            links = zip(ops, operands, operands[1:], strict=False)
            return both(*(_compare(op, a, b, scope) for op, a, b in links))
        case Logic(op, args):
            return (both if op == "and" else either)(*(condition(arg, scope) for arg in args))
        case Negation(arg):
            return negate(condition(arg, scope))
        case Access(tensor, _) if kind_of(tensor, scope) == "bool":
            return BoolRead(tensor, position_of(expr, scope))
        case Access(tensor, _) if tensor not in scope.tensors:
            raise unknown(tensor, scope.tensors, expr.span, "tensor")
        case _:
            advice = "compare it with something, or read a bool input"
            raise Diagnostic("E-KIND", "a number where a condition is wanted", expr.span, advice)


def _compare(op: str, left: Expr, right: Expr, scope: Scope) -> Cond:
    for side in (left, right):
        if isinstance(side, Compare | Logic | Negation) or (
            isinstance(side, Access) and kind_of(side.tensor, scope) == "bool"
        ):
            raise Diagnostic("E-KIND", "conditions are not compared", side.span, "write `and`, `or`, `not`")
    if is_integer(left, scope) and is_integer(right, scope):
        return _compare_integers(op, integer(left, scope), integer(right, scope))
    a, b = real(left, scope), real(right, scope)
    match op:
        case "<" | "<=":
            return RealCmp(op, a, b)
        case ">" | ">=":
            return RealCmp("<" if op == ">" else "<=", b, a)
        case "==":
            return RealCmp("==", a, b)
        case _:
            return negate(RealCmp("==", a, b))


def _compare_integers(op: str, a: Poly, b: Poly) -> Cond:
    match op:
        case "<":
            return int_lt(a, b)
        case "<=":
            return int_ge(b, a)
        case ">":
            return int_lt(b, a)
        case ">=":
            return int_ge(a, b)
        case "==":
            return int_eq(a, b)
        case _:
            return negate(int_eq(a, b))


def _reduce(expr: Binder, scope: Scope) -> Term:
    inner = scope
    bound: list[tuple[str, str, Poly]] = []
    for index in expr.indices:
        name = written(index)
        check_index(name, inner, index.span, [b[0] for b in bound])
        if index.extent is not None:
            limit = integer(index.extent, inner)
        else:
            within = [expr.body] if expr.guard is None else [expr.body, expr.guard]
            limit = extent_of(name, within, scope, index.span)
        unique = fresh(name)
        bound.append((name, unique, limit))
        inner = inner.index((name, unique))
    guards = _hoist(expr, bound, condition(expr.guard, inner) if expr.guard is not None else TRUE)
    body = real(expr.body, inner)
    for (_, unique, limit), guard in zip(reversed(bound), reversed(guards), strict=True):
        body = reduce_(expr.kind, unique, limit, guard, body)
    scope.ended.update(name for name, _, _ in bound)
    return body


def _hoist(expr: Binder, bound: list[tuple[str, str, Poly]], guard: Cond) -> list[Cond]:
    """Each part of the guard at the outermost index that it can stand at.

    A max or a min over no index at all is undefined, so its guard must not tie an inner index to an outer one: the
    inner optimum could then be empty where the whole is not.
    """
    guards: list[Cond] = [TRUE] * len(bound)
    for part in guard.args if isinstance(guard, And) else (guard,):
        places = [k for k, (_, unique, _) in enumerate(bound) if unique in free_symbols(part)]
        if expr.kind in ("max", "min") and len(places) > 1:
            names = " and ".join(bound[k][0] for k in places)
            message = f"the guard of this {expr.kind} ties {names} together"
            raise Diagnostic("E-GUARD", message, expr.span, "use one index, or give each index its own guard")
        last = max(places, default=0)
        guards[last] = both(guards[last], part)
    return guards


def check_size(term: Term | Cond, span: Span) -> None:
    """Refuse a formula that has grown out of all proportion: functions and intermediates that double."""
    if sum(1 for _ in islice(walk(term), MAX_TERM + 1)) > MAX_TERM:
        message = f"written out, this formula has more than {MAX_TERM} parts"
        raise Diagnostic("E-TOO-LARGE", message, span, "make it several operators")


def inline_lets(body: Term, lets: Mapping[str, Formula]) -> Term:
    """Replace reads of intermediates by what they stand for."""

    def one(read: Read) -> Term:
        formula = lets.get(read.tensor)
        if formula is None:
            return read
        return substitute(_renamed(formula), dict(zip(formula.indices, read.index, strict=True)))

    return replace_reads(body, one) if lets else body


def _renamed(formula: Formula) -> Term:
    """The body with bound indices of its own, since it may be used more than once."""
    return replace_reads(formula.body, lambda read: read)  # type: ignore[arg-type]  # a let is a real
