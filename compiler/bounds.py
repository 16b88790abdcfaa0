"""What a graph asks and promises: `assume`, `ensure`, seeded inputs, and the inputs of a graph that is inlined.

A called graph's `assume` is a demand on the caller: an `ensure` about the arguments, and for dims a claim.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from fractions import Fraction
from typing import Any

from gradproof.compiler.arithmetic import turned
from gradproof.compiler.broadcast import common_shape
from gradproof.compiler.calls import call, describe, lift, single
from gradproof.compiler.dims import Poly
from gradproof.compiler.draft import Draft, Operand, Value
from gradproof.compiler.formulas import constant
from gradproof.compiler.frames import Frame, Reader, Unit
from gradproof.compiler.graph import Bound, Env, Ref, Seeded, TensorType
from gradproof.compiler.scopes import unknown
from gradproof.grammar.source import Diagnostic, Span
from gradproof.grammar.syntax import Apply, Compare, Expr, GraphDef, Logic, Negation

_FORMS = "write comparisons such as `0 <= label < C` or `x > 0`, joined by `and`"


def restrict(reader: Reader, frame: Frame, cond: Expr, word: str) -> Generator[Any, Any, None]:
    """Take an `assume`, an `ensure`, or a called graph's assume (a `demand`)."""
    match cond:
        case Logic("and", args):
            for arg in args:
                yield restrict(reader, frame, arg, word)
        case Negation(Compare(("==",), operands, span)):
            yield _compare(reader, frame, ("!=",), operands, span, word)
        case Compare(ops, operands, span):
            yield _compare(reader, frame, ops, operands, span, word)
        case _:
            name = "ensure" if word == "ensure" else "assume"
            raise Diagnostic("E-BOUND", f"this is no condition that an {name} can state", cond.span, _FORMS)


def _compare(
    reader: Reader, frame: Frame, ops: tuple[str, ...], operands: tuple[Expr, ...], span: Span, word: str
) -> Generator[Any, Any, None]:
    values: list[Operand] = []
    for expr in operands:
        before = len(reader.draft)
        operand = yield reader.lower(expr, frame)
        operand = single(operand, expr)
        if word == "assume" and (len(reader.draft) > before or not is_input(operand, reader.draft)):
            advice = "an assume compares inputs, numbers and dims"
            raise Diagnostic("E-BOUND", "this is not an input", expr.span, advice)
        values.append(operand)
    for k, op in enumerate(ops):
        text = f"{text_between(operands[k].span, operands[k + 1].span)}" or f"{values[k]} {op} {values[k + 1]}"
        link(reader.draft, op, values[k], values[k + 1], span, text, word)


def is_input(operand: Operand, draft: Draft) -> bool:
    """Whether an operand is an input of the graph, or no tensor at all."""
    if not isinstance(operand, Value):
        return True
    return isinstance(operand.arg, Env) or operand.arg.id < draft.leaves


def link(draft: Draft, op: str, left: Operand, right: Operand, span: Span, text: str, word: str) -> None:
    """Take one comparison of an `assume`, an `ensure` or a `demand`."""
    op, left, right = turned(op, left, right)
    if not isinstance(left, Value) and not isinstance(right, Value):
        _dims(draft, op, left, right, span, text, word)
        return
    shapes = [operand.type.shape for operand in (left, right) if isinstance(operand, Value)]
    common = common_shape(shapes)
    for shape in shapes:
        for have, want in zip(reversed(shape), reversed(common), strict=False):
            if have != 1:
                draft.claim(want, have, text, span)
    bound = Bound(_side(left, span), op, _side(right, span), span, text)
    target = draft.assumes if word == "assume" else draft.ensures
    # What is assumed need not be shown of a call, and nothing need be shown twice.
    settled = [*(draft.assumes if word == "demand" else ()), *(draft.ensures if word != "assume" else ())]
    known = {(b.left, b.rel, b.right) for b in settled if isinstance(b, Bound)}
    if (bound.left, bound.rel, bound.right) not in known:
        target.append(bound)


def _side(operand: Operand, span: Span) -> int | str | Fraction | Poly:
    match operand:
        case Value(Ref(node), type_) if type_.kind != "bool":
            return node
        case Value(Env(name), type_) if type_.kind != "bool":
            return name
        case Fraction() | Poly():
            return operand
        case _:
            raise Diagnostic("E-KIND", f"{describe(operand)} can't be bounded", span, "compare numbers")


def _dims(draft: Draft, op: str, left: Operand, right: Operand, span: Span, text: str, word: str) -> None:
    """A condition on dims alone."""
    a, b = _integer(left), _integer(right)
    if a is None or b is None or op == "!=":
        message = "a condition on dims compares integers with < <= > >= or =="
        raise Diagnostic("E-BOUND", message, span, _FORMS)
    poly = b - a - 1 if op == "<" else b - a
    rel = "==" if op == "==" else ">="
    if poly.constant is not None:
        if poly.constant == 0 or (rel == ">=" and poly.constant > 0):
            return
        if word == "assume":
            raise Diagnostic("E-BOUND", f"`{text}` is never true", span, "nothing would be left to run on")
    if word == "assume":
        turn = rel == "==" and poly.terms[0][1] < 0
        draft.assume_dims.append((-poly if turn else poly, rel))
    elif rel == "==":
        draft.claim(a, b, text, span)
    else:
        # p >= 0 is max(p, 0) == p: claims are equations.
        draft.claim(poly.maximum(0), poly, text, span)


def _integer(operand: Operand) -> Poly | None:
    if isinstance(operand, Fraction) and operand.denominator == 1:
        return Poly.of(int(operand))
    return operand if isinstance(operand, Poly) else None


def text_between(first: Span, last: Span) -> str:
    """The text from one span to another; empty where there is no source."""
    lines = first.source.text.splitlines()[first.line - 1 : last.end_line] if first.source.text else []
    if not lines:
        return ""
    lines[-1] = lines[-1][: last.end_column - 1]
    lines[0] = lines[0][first.column - 1 :]
    return " ".join(" ".join(line.split()) for line in lines)


def seeded(source: Apply, type_: TensorType) -> Seeded:
    """`uniform(seed=7)` or `bernoulli(seed=3, p=1/2)`: how an input is made when the caller does not give it."""
    allowed = {"uniform": ("seed",), "bernoulli": ("seed", "p")}
    if source.fn not in allowed:
        raise unknown(source.fn, allowed, source.span, "source of random numbers")
    names = allowed[source.fn]
    given = dict(zip(names, source.args, strict=False)) | dict(source.kwargs)
    wrong = [name for name in given if name not in names]
    if wrong or len(source.args) > len(names) or "seed" not in given:
        raise Diagnostic("E-ARITY", f"{source.fn} takes {' and '.join(names)}", source.span)
    numbers = {name: constant(expr) for name, expr in given.items()}
    seed, p = numbers["seed"], numbers.get("p", Fraction(1, 2))
    if seed is None or seed.denominator != 1 or p is None:
        raise Diagnostic("E-NUMBER", "a seed is an integer and p a number", source.span)
    made = Seeded(source.fn, int(seed), p)
    check_seeded(made, type_, source.span)
    return made


def check_seeded(made: Seeded, type_: TensorType, span: Span) -> None:
    """Refuse a seed, a probability or a type that no random numbers can have."""
    if not 0 <= made.seed < 2**63:
        raise Diagnostic("E-NUMBER", "a seed is an integer from 0 up to 2^63", span)
    if not 0 <= made.p <= 1:
        raise Diagnostic("E-NUMBER", "p is a probability: from 0 to 1", span)
    if type_.kind == "int" or (made.kind == "uniform" and type_.kind != "real"):
        raise Diagnostic("E-TYPE", f"{made.kind} can't make {type_}", span)


def pass_arguments(reader: Reader, inner: Frame, args: list[Operand], kwargs: dict[str, Operand], expr: Apply) -> None:
    """Bind the inputs of an inlined graph to a call's arguments, and its symbolic dims to their sizes."""
    definition, unit, draft = inner.definition, inner.unit, reader.draft
    names = [decl.name for decl in definition.inputs]
    given = dict(zip(names, args, strict=False))
    for name, operand in kwargs.items():
        if name not in names or name in given:
            raise Diagnostic("E-ARITY", f"`{expr.fn}` has no input `{name}` left to give", expr.span)
        given[name] = operand
    missing = [decl.name for decl in definition.inputs if decl.name not in given and decl.source is None]
    if missing or len(args) > len(names):
        message = f"`{expr.fn}` takes {len(names)} inputs and is given {len(args) + len(kwargs)}"
        raise Diagnostic("E-ARITY", message, expr.span, f"its inputs: {', '.join(names)}")
    formal = {name: Poly.sym(name) if dim.value is None else dim.value for name, dim in unit.dims.items()}
    inner.renamed = formal
    order = [decl.name for decl in definition.inputs if decl.name in given]
    passed = {name: lift(draft, given[name], expr.span) for name in order}
    inner.kinds = kinds_of_call(definition, passed, inner.kinds)
    types = {decl.name: reader.declared_type(decl.type, inner) for decl in definition.inputs}
    values: dict[str, Value] = {}
    for decl in definition.inputs:
        if decl.name not in given:
            continue
        value = passed[decl.name]
        type_ = types[decl.name]
        if value.type.dtype != type_.dtype or len(value.type.shape) != len(type_.shape):
            message = f"`{decl.name}` of `{expr.fn}` is {type_} and is given {value.type}"
            raise Diagnostic("E-TYPE", message, expr.span)
        values[decl.name] = value
    shapes = {name: value.type.shape for name, value in values.items()}
    inner.renamed = sizes_of_call(draft, unit, {n: types[n].shape for n in values}, shapes, expr.fn, expr.span)
    for decl in definition.inputs:
        if decl.name in values:
            value = values[decl.name]
            cut = decl.const and value.type.kind == "real" and isinstance(value.arg, Ref)
            inner.values[decl.name] = (
                call(draft, draft.role("const", expr.span), (value,), {}, expr.span) if cut else value
            )
        else:
            type_ = reader.declared_type(decl.type, inner)
            source = seeded(decl.source, type_) if decl.source is not None else None
            inner.values[decl.name] = draft.environment(f"{inner.prefix}{decl.name}", type_, decl.span, source)
    inner.inputs = frozenset(inner.values)


def kinds_of_call(definition: GraphDef, given: Mapping[str, Value], kinds: Mapping[str, str]) -> dict[str, str]:
    """What `real` and `int` are in a called graph: the element types of the first arguments for them."""
    found: dict[str, str] = {}
    for decl in definition.inputs:
        value = given.get(decl.name)
        if decl.type.dtype in kinds and value is not None and value.type.kind == decl.type.dtype:
            found.setdefault(decl.type.dtype, value.type.dtype)
    return {**kinds, **found}


def sizes_of_call(
    draft: Draft,
    unit: Unit,
    wanted: Mapping[str, tuple[Poly, ...]],
    given: Mapping[str, tuple[Poly, ...]],
    callee: str,
    span: Span,
) -> dict[str, Poly]:
    """The dims of a called graph as the caller's sizes, from its inputs' shapes and those of the arguments.

    A dim is what first stands where an input is declared with it; that all others agree is for SHAPE to prove.
    """
    symbolic = {name for name, dim in unit.dims.items() if dim.value is None}
    bound: dict[str, Poly] = {}
    for name, shape in given.items():
        for want, have in zip(wanted[name], shape, strict=True):
            if want.as_symbol in symbolic:
                bound.setdefault(want.as_symbol, have)
    for name, shape in given.items():
        for want, have in zip(wanted[name], shape, strict=True):
            draft.claim(want.substitute(bound), have, f"{name} of {callee}", span)
    for name, size in bound.items():
        if unit.dims[name].lower > 0 and size != Poly.sym(name):
            reason = f"dim {name} >= {unit.dims[name].lower} of {callee}"
            draft.claim(size.maximum(unit.dims[name].lower), size, reason, span)
    free = symbolic - bound.keys()
    formal = {name: Poly.sym(name) if dim.value is None else dim.value for name, dim in unit.dims.items()}
    return {n: p.substitute(bound) for n, p in formal.items() if n not in free and not p.symbols & free}
