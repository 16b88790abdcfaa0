"""The signature of a stanza: attributes, inputs and output with their axes, each name with one meaning."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction

from gradproof.compiler.dims import Poly
from gradproof.compiler.formulas import constant
from gradproof.compiler.integers import integer
from gradproof.compiler.ops import COTANGENT, OUTPUT, TANGENT, Attr, Axis, Default, OpDef, Param
from gradproof.compiler.scopes import Scope, check_depth, names_in
from gradproof.grammar.source import Diagnostic, Span
from gradproof.grammar.syntax import (
    AttrDecl,
    AxisDecl,
    Fn,
    Name,
    Op,
)

LIFTED, LIFTED_INDEX = "S..", "s.."  # a `fn` is lifted over this pack: its inputs have any shape, the same one


RESERVED = {OUTPUT: "the output", COTANGENT: "the cotangent"}


def nothing(_: Diagnostic) -> None:
    """Drop a warning."""


def no_function(_: str) -> OpDef | None:
    return None


@dataclass(frozen=True, slots=True)
class StanzaSignature:
    attrs: tuple[Attr, ...]
    params: tuple[Param, ...]
    output: Param
    spans: Mapping[str, Span]


def fn_signature(stanza: Fn) -> StanzaSignature:
    axes = (Axis(Poly.sym(LIFTED), LIFTED),)
    if not stanza.params:
        raise Diagnostic("E-ARITY", f"`fn {stanza.name}` has no input", stanza.span, "write a constant as an `op`")
    params = tuple(Param(name, "real", axes, name in stanza.consts) for name in stanza.params)
    attrs = tuple(map(_attribute, stanza.attrs))
    _check_names(stanza, attrs, params, frozenset())
    return StanzaSignature(attrs, params, Param(OUTPUT, "real", axes), {})


def op_signature(stanza: Op) -> StanzaSignature:
    attrs = tuple(map(_attribute, stanza.attrs))
    ints = frozenset(a.name for a in attrs if a.kind == "int")
    if stanza.result_kind == "int":
        for param in stanza.params:
            if param.kind == "real" and not param.const:
                message = f"`{stanza.name}` has an integer result, which has no derivative"
                raise Diagnostic("E-KIND", message, param.span, f"write `const {param.name}`")
    declared = [axis for param in stanza.params for axis in param.axes] + list(stanza.result)
    sizes = frozenset(name for axis in declared for name in _sizes(axis)) - ints
    scope = Scope(sizes | ints, frozenset(a.name for a in attrs if a.kind == "real"), {}, no_function, nothing)
    defaults = _defaults(stanza, ints)
    params = tuple(
        Param(p.name, p.kind, axes_of(p.axes, scope), p.const, default)
        for p, default in zip(stanza.params, defaults, strict=True)
    )
    _check_names(stanza, attrs, params, sizes)
    output = Param(OUTPUT, stanza.result_kind, axes_of(stanza.result, scope))
    return StanzaSignature(attrs, params, output, {p.name: p.span for p in stanza.params})


def _defaults(stanza: Op, ints: frozenset[str]) -> list[Default | None]:
    """What each input is where a call leaves it out; those that may be left out stand last."""
    found: list[Default | None] = []
    for k, param in enumerate(stanza.params):
        call = param.default
        if call is None:
            if any(found):
                message = f"`{param.name}` has no default, and stands behind an input that has one"
                raise Diagnostic("E-DEFAULT", message, param.span, "inputs that may be left out stand last")
            found.append(None)
            continue
        before = {p.name for p in stanza.params[:k]}
        args = [arg.name if isinstance(arg, Name) and arg.name in before else None for arg in call.args]
        kwargs = [(n, v.name if isinstance(v, Name) and v.name in ints else constant(v)) for n, v in call.kwargs]
        if None in args or any(value is None for _, value in kwargs):
            advice = "write `name(inputs before it, attribute=number)`"
            raise Diagnostic("E-DEFAULT", f"this is no default for `{param.name}`", call.span, advice)
        given = tuple((name, value) for name, value in kwargs if value is not None)
        found.append(Default(call.fn, tuple(arg for arg in args if arg is not None), given))
    return found


def _sizes(axis: AxisDecl) -> Iterable[str]:
    """The sizes that an axis mentions; a pack's rank is made of attributes only."""
    if axis.pack is not None:
        return [_dotted(axis.pack)]
    return names_in(axis.extent)


def _dotted(pack: str) -> str:
    return f"{pack.rstrip('.')}.."


def axes_of(declared: tuple[AxisDecl, ...], scope: Scope) -> tuple[Axis, ...]:
    """The axes that are written, in a scope that knows their sizes."""
    axes: list[Axis] = []
    for axis in declared:
        if axis.pack is None and axis.extent is not None:
            check_depth(axis.extent)
            axes.append(Axis(integer(axis.extent, scope)))
            continue
        name = _dotted(axis.pack or "")
        rank = integer(axis.rank, scope) if axis.rank is not None else None
        axes.append(Axis(Poly.sym(name), name, rank))
    return tuple(axes)


def _attribute(declared: AttrDecl) -> Attr:
    if declared.default is None:
        return Attr(declared.name, declared.kind)
    value = constant(declared.default)
    if value is None:
        raise Diagnostic("E-ATTRIBUTE", f"the default of `{declared.name}` is not a number", declared.default.span)
    if declared.kind == "int" and value.denominator != 1:
        advice = f"write `{declared.name}: real = ...`"
        raise Diagnostic(
            "E-ATTRIBUTE", f"`{declared.name}` is an integer, {value} is not", declared.default.span, advice
        )
    return Attr(declared.name, declared.kind, Fraction(value))


def _check_names(stanza: Fn | Op, attrs: tuple[Attr, ...], params: tuple[Param, ...], sizes: frozenset[str]) -> None:
    """One meaning a name: inputs, attributes, sizes, and the names that rules use."""
    spans: dict[str, Span] = {a.name: a.span for a in stanza.attrs}
    if isinstance(stanza, Op):
        spans |= {p.name: p.span for p in stanza.params}
    taken = dict(RESERVED) | {TANGENT + p.name: f"the tangent of `{p.name}`" for p in params if p.differentiable}
    for name, what in [*((a.name, "an attribute") for a in attrs), *((p.name, "an input") for p in params)]:
        if name in taken:
            message = f"`{name}` is {taken[name]} in this stanza, so it can't be {what}"
            raise Diagnostic("E-NAME-CLASH", message, spans.get(name, stanza.span), "take another name")
        taken[name] = what
    for name in sorted(sizes):
        if name in taken and taken[name] != "an attribute":
            message = f"`{name}` is {taken[name]} in this stanza, so it can't be a size"
            raise Diagnostic("E-NAME-CLASH", message, spans.get(name, stanza.span), "take another name")
