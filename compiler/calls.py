"""A call in a graph: which operator of that name it means, its attributes and sizes, and the node that it becomes.

The candidates are tried in the order of their definition: first those with as many inputs as the call has arguments,
as they are and then with broadcasting, then those whose attributes take what is left over (`sum(x, 0)`). A number among
the arguments may stand for either, so then the order of definition alone decides (`pow(x, 3)` is no `pow(x, y)`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from gradproof.compiler.broadcast import Step, plan_broadcast, widen
from gradproof.compiler.dims import Poly
from gradproof.compiler.draft import Draft, Operand, Value
from gradproof.compiler.graph import AttrValue, TensorType
from gradproof.compiler.library import base_name, prelude, signature
from gradproof.compiler.ops import OpDef
from gradproof.compiler.scopes import unknown
from gradproof.compiler.unify import Binding, Mismatch, Shape, Signature, bind, environment, exact_quotient, solved
from gradproof.grammar.source import Diagnostic, Span
from gradproof.grammar.syntax import Expr


@dataclass(frozen=True, slots=True)
class _Fit:
    """An operator that a call fits: what is given by the call beside the tensors."""

    signature: Signature
    inputs: tuple[Value | Fraction | Poly, ...]
    attrs: Mapping[str, AttrValue]
    given: Mapping[str, Shape]
    inferred: tuple[tuple[Poly, Poly, str], ...]  # what a -1 in a shape takes for granted


def call(draft: Draft, name: str, args: Sequence[Operand], kwargs: Mapping[str, Operand], span: Span) -> Value:
    """Apply the operator that a call means; Diagnostic where there is none, or where it does not fit."""
    return _chosen(draft, name, draft.library.overloads.get(name, ()), args, kwargs, span)


def _chosen(
    draft: Draft,
    name: str,
    candidates: Sequence[OpDef],
    args: Sequence[Operand],
    kwargs: Mapping[str, Operand],
    span: Span,
) -> Value:
    """Apply the one among the candidates that fits."""
    if not candidates:
        raise unknown(name, draft.library.overloads, span, "operator or graph")
    exact = [op for op in candidates if len(op.params) == len(args)]
    rest = [op for op in candidates if len(op.params) < len(args) <= _room(draft.signature(op))]
    reasons: list[tuple[OpDef, str]] = []
    order = [(op, wide) for group in (exact, rest) for wide in (False, True) for op in group]
    if any(isinstance(arg, Fraction | Poly) for arg in args):
        order = [(op, wide) for op in candidates if op in exact or op in rest for wide in (False, True)]
    for op, broadcasting in order:
        try:
            return _apply(draft, _fit(draft, op, args, kwargs), broadcasting, span)
        except Mismatch as reason:
            reasons.append((op, str(reason)))
    for op in candidates:
        if len(args) < len(op.params) and all(p.default is not None for p in op.params[len(args) :]):
            try:
                fit = _fit(draft, op, args, kwargs)
            except Mismatch as reason:
                reasons.append((op, str(reason)))
                continue
            return applied(draft, op, _completed(draft, fit, span), kwargs, span)
    raise _no_fit(name, candidates, args, reasons, span)


def _completed(draft: Draft, fit: _Fit, span: Span) -> list[Operand]:
    """The arguments with those that the call leaves out; the prelude's operators mean the prelude's by their names."""
    op = fit.signature.op
    home = prelude() if prelude().ops.get(op.name) is op else draft.library
    given: dict[str, Operand] = {p.name: lift(draft, v, span) for p, v in zip(op.params, fit.inputs, strict=False)}
    for param in op.params[len(given) :]:
        default = param.default
        if default is None:
            raise TypeError("only inputs with defaults are left out")
        attrs = {n: fit.attrs[v] if isinstance(v, str) else v for n, v in default.kwargs}
        made = [given[name] for name in default.args]
        given[param.name] = _chosen(draft, default.op, home.overloads.get(default.op, ()), made, attrs, span)
    return list(given.values())


def applied(draft: Draft, op: OpDef, args: Sequence[Operand], kwargs: Mapping[str, Operand], span: Span) -> Value:
    """Apply this very operator, with broadcasting where it needs some; Diagnostic where the call does not fit it."""
    reasons: list[tuple[OpDef, str]] = []
    for broadcasting in (False, True):
        try:
            return _apply(draft, _fit(draft, op, args, kwargs), broadcasting, span)
        except Mismatch as reason:
            reasons.append((op, str(reason)))
    raise _no_fit(base_name(op.name), [op], args, reasons, span)


def _room(found: Signature) -> int:
    """How many positional arguments an operator can take: inputs, attributes, sizes."""
    return len(found.op.params) + len(found.op.attrs) + len(found.free)


def _no_fit(
    name: str, candidates: Sequence[OpDef], args: Sequence[Operand], reasons: list[tuple[OpDef, str]], span: Span
) -> Diagnostic:
    given = ", ".join(map(describe, args))
    if not reasons:
        counts = " or ".join(sorted({str(len(op.params)) for op in candidates}))
        message = f"`{name}` takes {counts} argument{'' if counts == '1' else 's'}, not {len(args)}"
        return Diagnostic("E-ARITY", message, span, " / ".join(map(_head, candidates)))
    last = {op.name: reason for op, reason in reasons}  # with broadcasting, where it was tried
    if len(last) == 1:
        return Diagnostic("E-CALL", f"`{name}({given})`: {next(iter(last.values()))}", span, _head(reasons[0][0]))
    lines = [f"{_head(op)}: {last[op.name]}" for op in {op.name: op for op, _ in reasons}.values()]
    return Diagnostic("E-CALL", f"no `{name}` fits ({given})", span, "\n      ".join(lines))


def _head(op: OpDef) -> str:
    attrs = f"[{', '.join(a.name for a in op.attrs)}]" if op.attrs else ""
    return f"{base_name(op.name)}{attrs}({signature(op.params)})"


def describe(operand: Operand) -> str:
    """An operand's type, for messages."""
    match operand:
        case Value(_, type_):
            return str(type_)
        case tuple():
            return f"({', '.join(map(describe, operand))})"
        case _:
            return str(operand)


def single(operand: Operand, expr: Expr) -> Operand:
    """One value of an expression; Diagnostic where it stands for several."""
    if isinstance(operand, tuple):
        advice = "name its parts: `a, b = f(x)`"
        raise Diagnostic("E-KIND", f"{len(operand)} values where one is wanted", expr.span, advice)
    return operand


def _fit(draft: Draft, op: OpDef, args: Sequence[Operand], kwargs: Mapping[str, Operand]) -> _Fit:
    """Sort a call's arguments into inputs, attributes and sizes; Mismatch where they don't."""
    found = draft.signature(op)
    inputs: list[Value | Fraction | Poly] = []
    for param, operand in zip(op.params, args, strict=False):
        if isinstance(operand, tuple):
            raise Mismatch(f"`{param.name}` is a tensor and is given a tuple")
        kind = operand.type.kind if isinstance(operand, Value) else "real"
        if kind != param.kind:
            what = f"{kind} tensor" if isinstance(operand, Value) else "number"
            raise Mismatch(f"`{param.name}` is {param.kind} and is given a {what}")
        inputs.append(operand)
    named = _named(found, args[len(op.params) :], kwargs)
    attrs = {a.name: _attribute(a.name, a.kind, named.pop(a.name, a.default)) for a in op.attrs} if op.attrs else {}
    if found.places:
        _count_from_end(found, inputs, attrs)
    if not named and not found.free:
        return _Fit(found, tuple(inputs), attrs, {}, ())
    given, inferred = _sizes(found, inputs, attrs, named)
    return _Fit(found, tuple(inputs), attrs, given, inferred)


def _named(found: Signature, extra: Sequence[Operand], kwargs: Mapping[str, Operand]) -> dict[str, Operand | None]:
    """Keyword arguments by the name of the attribute or size they are for, with positional leftovers in order."""
    op = found.op
    names = {a.name: a.name for a in op.attrs} | {_keyword(size): size for size in found.free}
    packs = [size for size in found.free if size.endswith("..")]
    if len(packs) == 1 and "shape" not in names:
        names["shape"] = packs[0]
    named: dict[str, Operand | None] = {}
    for name, operand in kwargs.items():
        if name not in names:
            known = ", ".join(f"`{n}`" for n in names) or "none"
            raise Mismatch(f"no attribute `{name}` (there are: {known})")
        named[names[name]] = operand
    open_names = [n for n in (*(a.name for a in op.attrs), *found.free) if n not in named]
    if len(extra) > len(open_names):
        raise Mismatch(f"{len(op.params)} inputs and {len(op.attrs)} attributes")
    return named | dict(zip(open_names, extra, strict=False))


def _keyword(size: str) -> str:
    return size[:-2].lower() if size.endswith("..") else size


def _attribute(name: str, kind: str, operand: Operand | None) -> AttrValue:
    match operand:
        case None:
            raise Mismatch(f"the attribute `{name}` is missing: `{name}=...`")
        case Fraction() if kind == "real":
            return operand
        case Fraction() if operand.denominator == 1:
            return Poly.of(int(operand))
        case Poly() if kind == "int":
            return operand
        case Poly():
            raise Mismatch(f"the real attribute `{name}` must be a number, and {operand} depends on dims")
        case _:
            wanted = "an integer" if kind == "int" else "a number"
            raise Mismatch(f"the attribute `{name}` is {wanted}, not {describe(operand)}")


def _count_from_end(found: Signature, inputs: Sequence[Value | Fraction | Poly], attrs: dict[str, AttrValue]) -> None:
    """A negative place counts from the last place that is possible: axis=-1 is the last axis."""
    for name, position, width in found.places:
        value = attrs[name]
        axes = shape_of(inputs[position])
        if not isinstance(value, Poly) or value.constant is None:
            raise Mismatch(f"`{name}` must be a number")
        places = len(axes) - width + 1
        if not -places <= value.constant < places:
            raise Mismatch(f"{name}={value} is out of range for {len(axes)} axes")
        if value.constant < 0:
            attrs[name] = value + places


def shape_of(operand: Operand) -> Shape:
    """The axes of an operand: a number has none."""
    return operand.type.shape if isinstance(operand, Value) else ()


def _sizes(
    found: Signature,
    inputs: Sequence[Value | Fraction | Poly],
    attrs: Mapping[str, AttrValue],
    named: Mapping[str, Operand | None],
) -> tuple[dict[str, Shape], tuple[tuple[Poly, Poly, str], ...]]:
    """The sizes that a call gives, a -1 among them worked out from what the operator requires of the total."""
    given: dict[str, Shape] = {}
    inferred: list[tuple[Poly, Poly, str]] = []
    for size, operand in named.items():
        extents = [_extent(size, item) for item in (operand if isinstance(operand, tuple) else (operand,))]
        if not size.endswith("..") and len(extents) != 1:
            raise Mismatch(f"`{size}` is one size")
        holes = [k for k, extent in enumerate(extents) if extent == -1]
        if len(holes) > 1:
            raise Mismatch("only one size can be -1")
        for k in holes:
            part = Poly.product(extents[:k] + extents[k + 1 :])
            total = _total(found, size, inputs, attrs)
            extents[k] = exact_quotient(total, part)
            inferred.append((part * extents[k], total, f"{size} of {found.op.name}, with -1 worked out"))
        given[size] = tuple(extents)
    return given, tuple(inferred)


def _extent(size: str, operand: Operand | None) -> Poly:
    match operand:
        case Poly():
            return operand
        case Fraction() if operand.denominator == 1 and operand >= -1:
            return Poly.of(int(operand))
        case _:
            raise Mismatch(f"`{size}` is made of sizes, not {'nothing' if operand is None else describe(operand)}")


def _total(
    found: Signature, size: str, inputs: Sequence[Value | Fraction | Poly], attrs: Mapping[str, AttrValue]
) -> Poly:
    trial = bind(found, [shape_of(i) for i in inputs], attrs, dict.fromkeys(found.free, ()))
    sizes = {name: shape for name, shape in trial.sizes.items() if name not in found.free}
    ints = {name: value for name, value in attrs.items() if isinstance(value, Poly)}
    total = solved(found.op, size, environment(sizes, ints))
    if total is None:
        raise Mismatch(f"nothing says what -1 in `{size}` is")
    return total


def _apply(draft: Draft, fit: _Fit, broadcasting: bool, span: Span) -> Value:
    found = fit.signature
    shapes = [shape_of(operand) for operand in fit.inputs]
    steps = plan_broadcast(found, shapes)
    if steps is not None and any(step is not None for step in steps):
        if not broadcasting:
            raise Mismatch("the shapes differ")
        shapes = [shape if step is None else step.shape for shape, step in zip(shapes, steps, strict=True)]
    binding = bind(found, shapes, fit.attrs, fit.given)
    # Nothing can fail from here on: only now do nodes appear.
    values = [lift(draft, operand, span) for operand in fit.inputs]
    if steps is not None:
        values = [_widened(draft, o, v, s, span) for o, v, s in zip(fit.inputs, values, steps, strict=True)]
    return _node(draft, fit, binding, values, span)


def _widened(draft: Draft, operand: Operand, value: Value, step: Step | None, span: Span) -> Value:
    if step is None:
        return value

    def make() -> Value:
        return widen(draft, value, step, lambda *args: call(draft, *args), span)

    # A number that is used at one shape again and again is widened once.
    return make() if isinstance(operand, Value) else draft.remembered((operand, step), make)


def _node(draft: Draft, fit: _Fit, binding: Binding, values: list[Value], span: Span) -> Value:
    op = fit.signature.op
    for left, right, reason in (*binding.claims, *fit.inferred):
        draft.claim(left, right, reason, span)
    reals = [value.type.dtype for value in values if value.type.kind == "real"]
    wide = "f64" if "f64" in reals else reals[0] if reals else draft.dtype
    whole = "i32" if any(v.type.kind == "int" for v in values) else "i64"
    whole = "i64" if any(v.type.dtype == "i64" for v in values) else whole
    type_ = TensorType({"bool": "bool", "int": whole, "real": wide}[op.output.kind], binding.shape)
    return draft.append(op, tuple(value.arg for value in values), fit.attrs, binding.sizes, type_, span)


def lift(draft: Draft, operand: Operand, span: Span) -> Value:
    """A tensor for an operand: a number becomes a tensor with no axes, once for each graph."""
    match operand:
        case Value():
            return operand
        case Fraction() | Poly():
            sign = "literal" if isinstance(operand, Fraction) else "size"
            return draft.remembered((sign, operand), lambda: call(draft, draft.role(sign, span), (operand,), {}, span))
        case _:
            raise Diagnostic("E-KIND", "a tuple where a tensor is wanted", span)
