"""The checker's scalar functions and its calculus: what each function is, and the derivative of a term. [trusted]

FUNCTIONS has a line each: `name arguments | partial derivatives ; ... | domain | simpler form | odd or even`. An
argument `n:` is an integer expression, through which nothing varies. In prefix notation `+ * - /` are a sum, a product,
-x and 1/x; `(^ x 2)` is a power, `next` adds to an integer, `if` chooses. Sources: NIST DLMF chapters 4, 5, 7 and 10.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from fractions import Fraction
from typing import Any, NamedTuple

from . import terms as t
from .terms import FALSE, ONE, TRUE, ZERO, Node, Refused

_TABLE = """
exp x | (exp x)
exp2 x | (* (exp2 x) (log 2)) | | (exp (* x (log 2)))
expm1 x | (exp x) | | (+ (exp x) -1)
log x | (/ x) | (pos x)
log1p x | (/ (+ 1 x)) | (pos (+ 1 x)) | (log (+ 1 x))
log2 x | (/ (* x (log 2))) | (pos x) | (* (log x) (/ (log 2)))
log10 x | (/ (* x (log 10))) | (pos x) | (* (log x) (/ (log 10)))
sqrt x | (/ (* 2 (sqrt x))) | (<= 0 x)
cbrt x | (/ (* 3 (^ (cbrt x) 2))) | | | odd
hypot a b | (* a (/ (hypot a b))) ; (* b (/ (hypot a b))) | | (sqrt (+ (^ a 2) (^ b 2)))
sin x | (cos x) | | | odd
cos x | (- (sin x)) | | | even
tan x | (^ (cos x) -2) | (nonzero (cos x)) | (* (sin x) (/ (cos x)))
asin x | (/ (sqrt (+ 1 (- (^ x 2))))) | (and (<= -1 x) (<= x 1)) | | odd
acos x | (- (/ (sqrt (+ 1 (- (^ x 2)))))) | (and (<= -1 x) (<= x 1)) | (+ (* 1/2 (pi)) (- (asin x)))
atan x | (/ (+ 1 (^ x 2))) | | | odd
atan2 y x | (* x (/ (+ (^ x 2) (^ y 2)))) ; (- (* y (/ (+ (^ x 2) (^ y 2))))) | (or (pos x) (nonzero y))
sinh x | (cosh x) | | (* 1/2 (+ (exp x) (- (exp (- x)))))
cosh x | (sinh x) | | (* 1/2 (+ (exp x) (exp (- x))))
tanh x | (+ 1 (- (^ (tanh x) 2))) | | (* (+ (exp (* 2 x)) -1) (/ (+ (exp (* 2 x)) 1)))
asinh x | (/ (sqrt (+ 1 (^ x 2)))) | | (log (+ x (sqrt (+ 1 (^ x 2)))))
acosh x | (/ (sqrt (+ (^ x 2) -1))) | (<= 1 x) | (log (+ x (sqrt (+ (^ x 2) -1))))
atanh x | (/ (+ 1 (- (^ x 2)))) | (and (< -1 x) (< x 1)) | (* 1/2 (+ (log (+ 1 x)) (- (log (+ 1 (- x))))))
pow u v | (* v (pow u (+ v -1))) ; (* (pow u v) (log u)) | (pos u) | (exp (* v (log u)))
pow0 u v | (if (= v 1) 1 (* v (pow0 u (+ v -1)))) ; (if (pos u) (* (pow u v) (log u)) 0)
 | (or (pos u) (and (= u 0) (pos v))) | (if (pos u) (exp (* v (log u))) 0)
ipow u n: | (if (zero n) 0 (* n (ipow u (next n -1)))) ; (/ 0) | (or (nonzero u) (natural n))
pi |
erf x | (* 2 (/ (sqrt (pi))) (exp (- (^ x 2)))) | | | odd
erfc x | (- (* 2 (/ (sqrt (pi))) (exp (- (^ x 2))))) | | (+ 1 (- (erf x)))
erfinv x | (* 1/2 (sqrt (pi)) (exp (^ (erfinv x) 2))) | (and (< -1 x) (< x 1)) | | odd
lgamma x | (digamma x) | (or (pos x) (nonzero (+ x (- (floor x)))))
digamma x | (polygamma 1 x) | (or (pos x) (nonzero (+ x (- (floor x)))))
polygamma n: x | (/ 0) ; (polygamma (next n 1) x) | (and (natural n) (or (pos x) (nonzero (+ x (- (floor x))))))
spherical_jn n: x | (/ 0) ; (if (zero n) (- (spherical_jn 1 x)) (* (/ (+ n (next n 1)))
 (+ (* n (spherical_jn (next n -1) x)) (- (* (next n 1) (spherical_jn (next n 1) x)))))) | (natural n)
sigmoid x | (* (sigmoid x) (sigmoid (- x))) | | (/ (+ 1 (exp (- x))))
abs x | (sign x) | | (if (< x 0) (- x) x) | even
sign x | 0 | | (+ (if (< 0 x) 1 0) (- (if (< x 0) 1 0)))
floor x | 0
ceil x | 0 | | (- (floor (- x)))
trunc x | 0 | | (if (< x 0) (- (floor (- x))) (floor x))
round x | 0 | | (+ (floor (+ x 1/2)) (- (if (and (= (floor (+ x 1/2)) (+ x 1/2)) (not
 (= (* 1/2 (floor (+ x 1/2))) (floor (* 1/2 (floor (+ x 1/2))))))) 1 0)))
max a b | (if (< b a) 1 (if (= a b) 1/2 0)) ; (if (< a b) 1 (if (= a b) 1/2 0)) | | (if (< a b) b a)
min a b | (if (< a b) 1 (if (= a b) 1/2 0)) ; (if (< b a) 1 (if (= a b) 1/2 0)) | | (if (< a b) a b)
"""
STEPS = {"sign": "(= x 0)", "round": "(= (+ x (- (floor x))) 1/2)"}  # what jumps: where
STEPS |= dict.fromkeys(("floor", "ceil", "trunc"), "(= x (floor x))")


class Function(NamedTuple):
    """A line of the table: expressions as nested lists, over the names of the arguments."""

    args: list[str]
    integers: list[int]
    partials: list[Any]
    domain: Any
    simpler: Any
    parity: str


def _read(text: str) -> list[Any]:
    stack: list[list[Any]] = [[]]
    for token in re.findall(r"[()]|[^\s()]+", text):
        if token == "(":
            stack.append([])
        elif token == ")":
            inner = stack.pop()
            stack[-1].append(inner)
        else:
            stack[-1].append(token)
    return stack[0]


def _function(line: str) -> tuple[str, Function]:
    head, partials, domain, simpler, parity = ([*line.split("|"), "", "", ""])[:5]
    name, *args = head.split()
    whole = [k for k, arg in enumerate(args) if arg.endswith(":")]
    slopes = [expr for part in partials.split(";") for expr in _read(part)]
    where, easier = ((_read(part) or [None])[0] for part in (domain, simpler))
    return name, Function([arg.rstrip(":") for arg in args], whole, slopes, where, easier, parity.strip())


FUNCTIONS = dict(map(_function, _TABLE.strip().replace("\n ", " ").splitlines()))


def _integer(term: Node) -> Node | None:
    if term.tag == "size":
        return term.args[0]  # type: ignore[no-any-return]
    return t.const(int(term.args[0])) if term.tag == "num" and term.args[0].denominator == 1 else None


def _built(expr: Any, names: Mapping[str, Node]) -> Node:
    if isinstance(expr, str):
        return names[expr] if expr in names else t.num(Fraction(expr))
    head, *rest = expr
    if head in ("^", "next"):
        base = _built(rest[0], names)
        if head == "^":
            return t.power(base, int(rest[1]))
        p = _integer(base)
        return t.power(ZERO, -1) if p is None else t.size(t.plus(p, t.const(int(rest[1]))))
    args = [_built(part, names) for part in rest]
    match head:
        case "+":
            return t.add(*args)
        case "*":
            return t.mul(*args)
        case "-":
            return t.neg(args[0])
        case "/":
            return t.power(args[0], -1)
        case "if":
            return t.select(*args)
        case "and":
            return t.both(*args)
        case "or":
            return t.either(*args)
        case "not":
            return t.negate(args[0])
        case "<" | "<=" | "=":
            return t.make({"<": "lt", "<=": "le", "=": "same"}[head], *args)
        case "pos":
            return t.make("lt", ZERO, args[0])
        case "nonzero":
            return nonzero(args[0])
        case "zero" | "natural":
            p = _integer(args[0])
            return FALSE if p is None else t.eq(p) if head == "zero" else t.ge(p)
    return t.make("call", head, *args)


def nonzero(x: Node) -> Node:
    """x < 0 or 0 < x."""
    return t.either(t.make("lt", x, ZERO), t.make("lt", ZERO, x))


def function(name: str, args: tuple[Node, ...]) -> tuple[Function, dict[str, Node]]:
    """A function's line, and its arguments by name; Refused where there is no such function of so many arguments."""
    found = FUNCTIONS.get(name)
    if found is None or len(found.args) != len(args):
        raise Refused(f"there is no function {name} of {len(args)} arguments")
    return found, dict(zip(found.args, args, strict=True))


def domain(name: str, args: tuple[Node, ...]) -> Node:
    """Where a function has a value."""
    found, names = function(name, args)
    return TRUE if found.domain is None else _built(found.domain, names)


def jump(name: str, x: Node) -> Node:
    """Where a step has its jumps."""
    return _built(_read(STEPS[name])[0], {"x": x})


def partial(name: str, args: tuple[Node, ...], k: int) -> Node:
    """The derivative by argument k."""
    found, names = function(name, args)
    return _built(found.partials[k], names)


def simpler(name: str, args: tuple[Node, ...]) -> Node | None:
    """The same value by simpler functions; None where there is none."""
    found, names = function(name, args)
    order = args[found.integers[0]] if found.integers else None
    if name == "polygamma" and order is ZERO:
        return t.make("call", "digamma", args[1])
    if name == "ipow" and order is not None and order.tag == "num" and order.args[0].denominator == 1:
        return t.power(args[0], int(order.args[0])) if abs(order.args[0]) <= 64 else None
    return None if found.simpler is None else _built(found.simpler, names)


def derivative(term: Node, tangents: Mapping[str, str]) -> Node:
    """The directional derivative away from ties: `tangents` names the tangent of each tensor that varies."""
    tag, args = term.tag, term.args
    if tag == "read":
        if args[0].startswith("!") and args[0] not in tangents:
            raise Refused("no formula says what the derivative of an extern's result is")
        return t.make("read", tangents[args[0]], *args[1:]) if args[0] in tangents else ZERO
    if tag == "add":
        return t.add(*(derivative(a, tangents) for a in args))
    if tag == "mul":
        parts = [derivative(a, tangents) for a in args]
        return t.add(*(t.mul(*args[:k], d, *args[k + 1 :]) for k, d in enumerate(parts) if d is not ZERO))
    if tag == "pow":
        return t.mul(t.num(args[1]), t.power(args[0], args[1] - 1), derivative(args[0], tangents))
    if tag == "call":
        parts = [derivative(a, tangents) for a in args[1:]]
        return t.add(*(t.mul(partial(args[0], args[1:], k), d) for k, d in enumerate(parts) if d is not ZERO))
    if tag == "select":
        return t.select(args[0], derivative(args[1], tangents), derivative(args[2], tangents))
    if tag != "reduce":
        return ZERO
    kind, var, extent, guard, body = args
    part = derivative(body, tangents)
    if part is ZERO or kind == "sum":
        return t.reduce("sum", var, extent, guard, part)
    other = t.unused(var + "'", guard.free | body.free | part.free)
    away = {var: t.sym(other)}
    if kind == "prod":
        # d(prod_i b_i) = sum_i db_i * prod_{j != i} b_j: no division, so zeros among the factors are harmless
        apart = t.both(t.substitute(guard, away), t.negate(t.eq(t.minus(t.sym(other), t.sym(var)))))
        return t.reduce(
            "sum", var, extent, guard, t.mul(part, t.reduce("prod", other, extent, apart, t.substitute(body, away)))
        )
    # an optimum's derivative is that of the entries that attain it, split evenly between ties
    best = t.reduce(kind, other, extent, t.substitute(guard, away), t.substitute(body, away))
    wins = t.select(t.make("same", body, best), ONE, ZERO)
    picked = t.reduce("sum", var, extent, guard, t.mul(wins, part))
    return t.mul(picked, t.power(t.reduce("sum", var, extent, guard, wins), -1))
