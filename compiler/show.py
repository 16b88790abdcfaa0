"""Terms, conditions and formulas as text, in the notation that users write.

A bound index is stored as `j#12` and printed as `j`; where two of one name meet in a scope, the inner one is `j2`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fractions import Fraction
from itertools import count

from gradproof.compiler.dims import Entry, FloorDiv, Max, Min, Mod, Poly, Sym
from gradproof.compiler.ops import Formula, OpDef, Param
from gradproof.compiler.rewriting import free_symbols, tensors
from gradproof.compiler.terms import (
    TRUE,
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
    opaque,
)

Names = Mapping[str, str]
# How tightly an expression binds: a sum, a product or quotient, a sign, a power, an atom.
_SUM, _BINDER, _PRODUCT, _SIGN, _POWER, _ATOM = range(6)


def show(node: Term | Cond | Poly) -> str:
    """The text of a term, a condition or an integer expression."""
    read = {entry.tensor for entry in node.entries()} if isinstance(node, Poly) else tensors(node)
    names = {f"#{tensor}": tensor for tensor in read}  # an index is never printed like a tensor
    free = node.symbols if isinstance(node, Poly) else free_symbols(node)
    for name in sorted(free, key=lambda name: ("#" in name, name)):
        names[name] = _fresh_name(name, names.values())
    if isinstance(node, Poly):
        return _poly(node, names)
    return _cond(node, names) if isinstance(node, Cond) else _term(node, names, _SUM)


def show_formula(formula: Formula) -> str:
    """`target[indices] = body`."""
    left = f"{formula.target}[{', '.join(map(_stem, formula.indices))}]"
    return f"{left} = {show(formula.body)}"


def show_meaning(op: OpDef) -> str:
    """What the operator means: its formula, or the extern that computes it, with its laws."""
    extern = op.extern(opaque(op.forward.target))
    if extern is None:
        return show_formula(op.forward)
    laws = "".join(f"; law {law.text}" for law in op.laws)
    return f'{op.forward.target} = extern "{extern.kernel}"({", ".join(extern.args)}){laws}'


def show_signature(op: OpDef) -> str:
    """`softmax(x: [S.., n]) -> [S.., n]`, with the attributes."""
    attrs = ", ".join(_attr(a.name, a.kind, a.default) for a in op.attrs)
    params = ", ".join(f"{'const ' if p.const else ''}{p.name}: {_type(p)}{_default(p)}" for p in op.params)
    base = op.name.split("[")[0].split("(")[0]
    return f"{base}{f'[{attrs}]' if attrs else ''}({params}) -> {_type(op.output)}"


def _default(param: Param) -> str:
    if param.default is None:
        return ""
    given = [*param.default.args, *(f"{n}={v if isinstance(v, str) else number(v)}" for n, v in param.default.kwargs)]
    return f" = {param.default.op}({', '.join(given)})"


def _attr(name: str, kind: str, default: Fraction | None) -> str:
    text = name if kind == "int" else f"{name}: {kind}"
    return text if default is None else f"{text} = {number(default)}"


def _type(param: Param) -> str:
    axes = [f"{a.pack}({a.rank})" if a.pack and a.rank is not None else a.pack or _extent(a.extent) for a in param.axes]
    return f"{'' if param.kind == 'real' else param.kind + ' '}[{', '.join(axes)}]"


def _extent(extent: Poly) -> str:
    """An extent in a signature: the size of a pack, as one axis, is `size(S..)`."""
    return f"size({extent})" if (extent.as_symbol or "").endswith("..") else show(extent)


def number(value: Fraction) -> str:
    """A rational: as an integer, as a short decimal, or as a quotient."""
    if value.denominator == 1:
        return str(value.numerator)
    text = repr(float(value)) if abs(value.numerator) < 10**15 and value.denominator < 10**15 else ""
    if text and len(text) <= 8 and Fraction(text) == value:
        return text
    return f"{value.numerator}/{value.denominator}"


def _stem(name: str) -> str:
    return name.split("#")[0].replace("'", "")


def _fresh_name(name: str, taken: Iterable[str]) -> str:
    """The stem of a name, with a number where something else in scope is called so: `j2`, and `s2..` for a pack."""
    stem = _stem(name)
    used = set(taken)
    base, dots = (stem[:-2], "..") if stem.endswith("..") else (stem, "")
    candidates = (f"{base}{k if k > 1 else ''}{dots}" for k in count(1))
    return next(candidate for candidate in candidates if candidate not in used)


def _wrap(text: str, binds: int, wanted: int) -> str:
    return text if binds >= wanted else f"({text})"


def _poly(poly: Poly, names: Names, wanted: int = _SUM) -> str:
    if not poly.terms:
        return "0"
    pieces: list[str] = []
    for monomial, coefficient in poly.terms:
        factors = [_atom(atom, names) for atom, exponent in monomial for _ in range(exponent)]
        if abs(coefficient) != 1 or not factors:
            factors.insert(0, str(abs(coefficient)))
        sign = "-" if coefficient < 0 else "+"
        text = "*".join(factors)
        pieces.append(f" {sign} {text}" if pieces else f"-{text}" if sign == "-" else text)
    alone = len(poly.terms) == 1 and poly.terms[0][1] > 0
    atom = alone and (not poly.terms[0][0] or (poly.terms[0][1] == 1 and sum(e for _, e in poly.terms[0][0]) == 1))
    return _wrap("".join(pieces), _ATOM if atom else _PRODUCT if alone else _SUM, wanted)


def _atom(atom: Sym | FloorDiv | Mod | Min | Max | Entry, names: Names) -> str:
    match atom:
        case Sym(name):
            return names.get(name, _stem(name))
        case FloorDiv(a, b):
            return f"({_poly(a, names, _PRODUCT)} // {_poly(b, names, _ATOM)})"
        case Mod(a, b):
            return f"({_poly(a, names, _PRODUCT)} % {_poly(b, names, _ATOM)})"
        case Min(a, b):
            return f"min({_poly(a, names)}, {_poly(b, names)})"
        case Max(a, b):
            return f"max({_poly(a, names)}, {_poly(b, names)})"
        case Entry(tensor, index):
            return _read(tensor, index, names)


def _read(tensor: str, index: tuple[Poly, ...], names: Names) -> str:
    return f"{tensor}[{', '.join(_poly(p, names) for p in index)}]"


def _term(node: Term, names: Names, wanted: int) -> str:
    match node:
        case Num(value):
            text = number(value)
            return _wrap(text, _SIGN if value < 0 else _PRODUCT if "/" in text else _ATOM, wanted)
        case Size(poly):
            return _poly(poly, names, wanted)
        case Read(tensor, index):
            return _read(tensor, index, names) if index else tensor
        case Add(args):
            first, *rest = args
            pieces = [_term(first, names, _SIGN if isinstance(first, Num) else _BINDER)]
            for arg in rest:
                positive = _negated(arg)
                sign, shown = (" - ", positive) if positive is not None else (" + ", arg)
                pieces.append(sign + _term(shown, names, _BINDER))
            return _wrap("".join(pieces), _SUM, wanted)
        case Mul(args):
            return _product(args, names, wanted)
        case Pow(base, exponent):
            if exponent < 0:
                return _product((node,), names, wanted)
            return _wrap(f"{_term(base, names, _ATOM)}^{exponent}", _POWER, wanted)
        case Call("pow", (base, exponent_term)):
            text = f"{_term(base, names, _ATOM)}^{_term(exponent_term, names, _ATOM)}"
            return _wrap(text, _POWER, wanted)
        case Call(fn, call_args):
            return f"{fn}({', '.join(_term(a, names, _SUM) for a in call_args)})"
        case Select(cond, then, other):
            return f"select({_cond(cond, names)}, {_term(then, names, _SUM)}, {_term(other, names, _SUM)})"
        case Reduce():
            return _wrap(_reduce(node, names), _BINDER, wanted)


def _negated(node: Term) -> Term | None:
    """The term without its sign, where it has one."""
    match node:
        case Num(value) if value < 0:
            return Num(-value)
        case Mul((Num(value), *rest)) if value < 0:
            if value == -1:
                return rest[0] if len(rest) == 1 else Mul(tuple(rest))
            return Mul((Num(-value), *rest))
        case _:
            return None


def _product(args: tuple[Term, ...], names: Names, wanted: int) -> str:
    above = [a for a in args if not (isinstance(a, Pow) and a.exponent < 0)]
    below = [Pow(a.base, -a.exponent) if a.exponent != -1 else a.base for a in args if a not in above]  # type: ignore[union-attr]
    sign = ""
    if len(above) > 1 and isinstance(above[0], Num) and above[0].value == -1:
        sign, above = "-", above[1:]
    # A binder takes every factor that follows it, so only the last factor may be a bare one.
    texts = [_term(a, names, _POWER if k < len(above) - 1 or below else _BINDER) for k, a in enumerate(above)]
    text = "*".join(texts) if texts else "1"
    for divisor in below:
        text += f"/{_term(divisor, names, _POWER)}"
    bare = bool(above) and not below and isinstance(above[-1], Reduce)
    return _wrap(sign + text, _BINDER if sign or bare else _PRODUCT, wanted)


def _reduce(node: Reduce, names: Names) -> str:
    own = {**names, node.var: _fresh_name(node.var, names.values())}
    guard = "" if node.guard == TRUE else f" | {_cond(node.guard, own)}"
    # A pack's index runs over the pack of its name, and its extent is not written.
    dotted = node.var.split("#")[0].endswith("..") and node.extent.as_symbol is not None
    extent = "" if dotted else f" < {_poly(node.extent, names)}"
    return f"{node.kind}({own[node.var]}{extent}{guard}) {_term(node.body, own, _BINDER)}"


def _cond(node: Cond, names: Names) -> str:
    match node:
        case Truth(value):
            return "true" if value else "false"
        case IntCmp(rel, poly):
            return _int_cmp(rel, poly, names)
        case RealCmp(rel, a, b):
            return f"{_term(a, names, _SUM)} {rel} {_term(b, names, _SUM)}"
        case BoolRead(tensor, index):
            return _read(tensor, index, names)
        case And(args):
            return " and ".join(f"({_cond(a, names)})" if isinstance(a, Or) else _cond(a, names) for a in args)
        case Or(args):
            return " or ".join(f"({_cond(a, names)})" if isinstance(a, And) else _cond(a, names) for a in args)
        case Not(arg):
            if isinstance(arg, RealCmp | IntCmp) and arg.rel == "==":
                return _cond(arg, names).replace(" == ", " != ", 1)
            return f"not ({_cond(arg, names)})"


def _int_cmp(rel: str, poly: Poly, names: Names) -> str:
    """`n - i - 1 >= 0` reads `i < n`: what is subtracted goes to the other side."""
    left = Poly({m: c for m, c in poly.terms if c > 0})
    right = Poly({m: -c for m, c in poly.terms if c < 0})
    if rel == "==":
        return f"{_poly(left, names)} == {_poly(right, names)}"
    constant = dict(right.terms).get((), 0)
    if constant == 1 and right != 1:
        return f"{_poly(right - 1, names)} < {_poly(left, names)}"
    return (
        f"{_poly(right, names)} <= {_poly(left, names)}"
        if right.terms and left.terms
        else _one_side(left, right, names)
    )


def _one_side(left: Poly, right: Poly, names: Names) -> str:
    return f"{_poly(left, names)} >= 0" if not right.terms else f"{_poly(right, names)} <= 0"
