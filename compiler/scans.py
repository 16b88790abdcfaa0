"""`scan(cell, init, xs..., w=w)` in a graph: the body becomes a graph of its own, the call one node, a loop.

`init` is the initial state, or a tuple of them, for the first inputs of the body; then come sequences, for the inputs
after these; the others go by name: what has as many axes as the body's input is fixed, what has one more is a sequence
too. `length=T` says how long a loop over no sequence is, `reverse=true` walks from
the end. `scan` gives every result of the body behind every step, `scan_last` the final states, `scan_table` the loop's
table itself (compiler/graph.py). A loop that is written twice with the same arguments is one node.

The body's `assume`s about a state are the loop's invariant: the caller must show them of the initial state, the body of
the state that it gives on. Those about other inputs are demands on the caller, as where a graph is inlined.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

from gradproof.compiler import bounds
from gradproof.compiler.calls import call, describe, lift, single
from gradproof.compiler.dims import Poly
from gradproof.compiler.draft import Draft, Operand, Value
from gradproof.compiler.frames import Frame, Reader, Unit, check_inputs
from gradproof.compiler.graph import Env, Graph, LoopDef, Ref, Role, TensorType
from gradproof.compiler.scopes import unknown
from gradproof.grammar.source import Diagnostic, Span
from gradproof.grammar.syntax import Apply, GraphDef, InputDecl, Name

FORMS = ("scan", "scan_last", "scan_table")
RESERVED = ("length", "reverse")
_FORM = "scan(cell, (h0, c0), xs, w=w): the body, its initial states, its sequences, and by name what is fixed"


@dataclass(frozen=True, slots=True)
class _Given:
    """The arguments of a loop by the body's inputs, in the order of the body's inputs, and how long it is."""

    values: dict[str, Value]
    roles: dict[str, Role]
    length: Operand | None
    reverse: bool


def scan(reader: Reader, expr: Apply, frame: Frame) -> Generator[Any, Any, Operand]:
    """What a `scan`, `scan_last` or `scan_table` gives; Diagnostic where it does not fit its body."""
    definition, unit = _body_of(expr, frame)
    given = yield from _arguments(reader, expr, definition, frame)
    draft, span = reader.draft, expr.span
    renamed, length = _sizes(reader, expr, definition, unit, given, frame)
    key = (
        "scan",
        definition.span,
        tuple((name, value.arg) for name, value in given.values.items()),
        tuple(given.roles.items()),
        length,
        given.reverse,
    )
    remembered = draft.scans.get(key)
    if remembered is None:
        body = yield from _body(reader, expr, definition, unit, renamed, given, frame)
        roles = tuple((name, given.roles[name]) for name in given.values)
        loop = LoopDef(f"scan {body.name}", body, length, roles, given.reverse, span)
        type_ = TensorType(body.nodes[body.outputs[0]].type.dtype, tuple(a.extent for a in loop.output.axes))
        args = tuple(value.arg for value in given.values.values())
        remembered = draft.scans[key] = (draft.append_loop(loop, args, type_, span), loop)
    table, loop = remembered
    if expr.fn == "scan_table":
        return table
    return _results(draft, expr, table, loop)


def _body_of(expr: Apply, frame: Frame) -> tuple[GraphDef, Unit]:
    body = expr.args[0] if expr.args else None
    if not isinstance(body, Name) or len(expr.args) < 2:
        raise Diagnostic("E-SCAN", "a scan names a graph and gives its initial state", expr.span, _FORM)
    if body.name not in frame.unit.graphs:
        raise unknown(body.name, frame.unit.graphs, body.span, "graph")
    if body.name in frame.inlined:
        chain = " -> ".join((*frame.inlined[frame.inlined.index(body.name) :], body.name))
        raise Diagnostic("E-RECURSION", f"graphs call each other in a circle: {chain}", expr.span, "unroll it")
    return frame.unit.graphs[body.name]


def _arguments(reader: Reader, expr: Apply, definition: GraphDef, frame: Frame) -> Generator[Any, Any, _Given]:
    draft, inputs = reader.draft, {decl.name: decl for decl in definition.inputs}
    init: Operand = yield reader.lower(expr.args[1], frame)
    states = init if isinstance(init, tuple) else (init,)
    rest: list[Operand] = []
    for arg in expr.args[2:]:
        operand = yield reader.lower(arg, frame)
        rest.append(single(operand, arg))
    if len(states) + len(rest) > len(inputs):
        message = f"`{definition.name}` takes {len(inputs)} inputs: {len(states)} states and {len(rest)} sequences"
        raise Diagnostic("E-ARITY", message, expr.span, _FORM)
    found: dict[str, tuple[Value, Role]] = {}
    for k, (name, operand) in enumerate(zip(inputs, (*states, *rest), strict=False)):
        found[name] = lift(draft, operand, expr.span), "state" if k < len(states) else "sequence"
    options: dict[str, Operand] = {}
    for name, arg in expr.kwargs:
        operand = yield reader.lower(arg, frame)
        operand = single(operand, arg)
        if name in RESERVED and name not in inputs:
            options[name] = operand
        elif name not in inputs or name in found:
            raise Diagnostic("E-ARITY", f"`{definition.name}` has no input `{name}` left to give", arg.span, _FORM)
        else:
            value = lift(draft, operand, expr.span)
            walked = len(value.type.shape) == len(inputs[name].type.shape) + 1
            found[name] = value, "sequence" if walked else "fixed"
    missing = [name for name in inputs if name not in found]
    if missing:
        message = f"the body `{definition.name}` is not given {', '.join(f'`{name}`' for name in missing)}"
        raise Diagnostic("E-ARITY", message, expr.span, "what is the same at every step goes by name: `w=w`")
    _only_states(definition, inputs, found)
    # As in a graph: Γ first, then Δ.
    order = sorted(inputs, key=lambda name: not _moving(inputs[name]))
    values = {name: _cut(draft, inputs[name], found[name][0], expr.span) for name in order}
    return _Given(values, {name: found[name][1] for name in order}, options.get("length"), _true(options, expr))


def _only_states(definition: GraphDef, inputs: dict[str, InputDecl], found: dict[str, tuple[Value, Role]]) -> None:
    for name, (_, role) in found.items():
        decl = inputs[name]
        if role == "state" and not _moving(decl):
            message = f"`{name}` of `{definition.name}` is a state, and states are differentiable reals"
            raise Diagnostic("E-SCAN", message, decl.span, "hand it in as a sequence, or fixed by name")


def _moving(decl: InputDecl) -> bool:
    """Whether the body is differentiated with respect to this input."""
    return decl.type.dtype in ("f32", "f64", "real") and not decl.const and decl.source is None


def _true(options: dict[str, Operand], expr: Apply) -> bool:
    value = options.get("reverse", Fraction(0))
    if value not in (Fraction(0), Fraction(1)):
        raise Diagnostic("E-SCAN", "`reverse` is true or false", expr.span)
    return value == Fraction(1)


def _sizes(
    reader: Reader, expr: Apply, definition: GraphDef, unit: Unit, given: _Given, frame: Frame
) -> tuple[dict[str, Poly], Poly]:
    """The body's dims as the caller's sizes, and the loop's length."""
    draft, span = reader.draft, expr.span
    length = _length(draft, expr, given)
    probe = bounds_frame(definition, unit, {n: d.value or Poly.sym(n) for n, d in unit.dims.items()}, frame)
    probe.kinds = bounds.kinds_of_call(definition, given.values, probe.kinds)
    types = {decl.name: reader.declared_type(decl.type, probe) for decl in definition.inputs}
    shapes: dict[str, tuple[Poly, ...]] = {}
    for name, value in given.values.items():
        want, have = types[name], value.type
        shape = have.shape
        if given.roles[name] == "sequence":
            draft.claim(length, shape[0], f"length of the sequence {name} of {definition.name}", span)
            shape = shape[1:]
        if want.dtype != have.dtype or len(want.shape) != len(shape):
            which = f"the {given.roles[name]} `{name}`" if given.roles[name] != "fixed" else f"the input `{name}`"
            step = f" (at each step {TensorType(have.dtype, shape)})" if given.roles[name] == "sequence" else ""
            message = f"{which} of `{definition.name}` is {want} and is given {have}{step}"
            raise Diagnostic("E-TYPE", message, span, _FORM)
        shapes[name] = shape
    wanted = {name: types[name].shape for name in shapes}
    return bounds.sizes_of_call(draft, unit, wanted, shapes, definition.name, span), length


def _length(draft: Draft, expr: Apply, given: _Given) -> Poly:
    sequences = {name: value for name, value in given.values.items() if given.roles[name] == "sequence"}
    for name, value in sequences.items():
        if not value.type.shape:
            message = f"`{name}` is walked step by step, and {describe(value)} has no axes"
            raise Diagnostic("E-SCAN", message, expr.span, "what is the same at every step goes by name: `w=w`")
    walked = [value.type.shape[0] for value in sequences.values()]
    said = given.length
    if isinstance(said, Fraction) and said.denominator == 1 and said >= 0:
        said = Poly.of(int(said))
    if said is None:
        if not walked:
            advice = "say how many steps it takes: `length=T`"
            raise Diagnostic("E-SCAN", "a loop over no sequence has no length of its own", expr.span, advice)
        return walked[0]
    if not isinstance(said, Poly):
        raise Diagnostic(
            "E-INTEGER", f"{describe(said)} is no length", expr.span, "lengths are made of dims and integers"
        )
    if walked:
        draft.claim(said, walked[0], "length", expr.span)
    return said


def bounds_frame(definition: GraphDef, unit: Unit, renamed: dict[str, Poly], frame: Frame) -> Frame:
    """A frame for the body: its own names, its dims as they are renamed."""
    return Frame(definition, unit, "", renamed, (*frame.inlined, definition.name))


def _body(
    reader: Reader,
    expr: Apply,
    definition: GraphDef,
    unit: Unit,
    renamed: dict[str, Poly],
    given: _Given,
    frame: Frame,
) -> Generator[Any, Any, Graph]:
    """The body as a graph over the caller's dims, and what it asks of the caller."""
    outer = reader.draft
    prefix = f"{outer.name}_"
    name = definition.name if definition.name.startswith(prefix) else f"{prefix}{definition.name}"
    draft = Draft(_free_name(outer, name, frame), unit.library, definition.span, reader.draft.warn)
    inner = bounds_frame(definition, unit, renamed, frame)
    inner.kinds = bounds.kinds_of_call(definition, given.values, inner.kinds)
    work = reader.inside(draft)
    check_inputs(definition, unit)
    types = {decl.name: work.declared_type(decl.type, inner) for decl in definition.inputs}
    for decl in filter(_moving, definition.inputs):
        inner.values[decl.name] = draft.leaf(decl.name, types[decl.name], decl.span)
    for decl in definition.inputs:
        if not _moving(decl):
            inner.values[decl.name] = draft.environment(decl.name, types[decl.name], decl.span)
    inner.inputs = frozenset(inner.values)
    outputs: tuple[Value, ...] = yield work.body(inner)
    _check_results(draft, definition, inner, given, outputs, types)
    _invariants(outer, draft, given, outputs)
    draft.name_outputs(outputs)
    for poly, rel in draft.assume_dims:
        left, right = (poly, Poly.of(0)) if rel == "==" else (poly.maximum(0), poly)
        outer.claim(left, right, f"what {definition.name} assumes of its dims", expr.span)
    draft.assume_dims.clear()
    return draft.finish((), outputs)


def _check_results(
    draft: Draft,
    definition: GraphDef,
    inner: Frame,
    given: _Given,
    outputs: Sequence[Value],
    types: dict[str, TensorType],
) -> None:
    span = definition.span
    states = [name for name, role in given.roles.items() if role == "state"]
    if len(outputs) < len(states) or not outputs:
        message = f"`{definition.name}` is given {len(states)} states and returns {len(outputs)} values"
        raise Diagnostic("E-SCAN", message, span, "a body returns its new states first, in order")
    for value in outputs:
        if isinstance(value.arg, Env) or value.type.kind != "real":
            message = (
                f"`{definition.name}` returns {draft.name_of(value)}: {value.type}, which is no computed real tensor"
            )
            raise Diagnostic("E-OUTPUT", message, span, "a body's results are real values that it computes")
    for name, value in zip(states, outputs, strict=False):
        before, after = types[name], value.type
        if before.dtype != after.dtype or len(before.shape) != len(after.shape):
            message = f"the state `{name}` of `{definition.name}` is {before}, and its result is {after}"
            raise Diagnostic("E-TYPE", message, span, "a state has one type, before a step and behind it")
        for want, have in zip(before.shape, after.shape, strict=True):
            draft.claim(want, have, f"the state {name} of {definition.name} keeps its shape", span)


def _invariants(outer: Draft, draft: Draft, given: _Given, outputs: Sequence[Value]) -> None:
    """What the body assumes: demands on the caller, and of a state that it gives on what it was given."""
    states = [name for name, role in given.roles.items() if role == "state"]
    leaves = [draft.leaf_name(k) for k in range(draft.leaves)]
    for bound in draft.assumes:
        sides = [_input(side, leaves) for side in (bound.left, bound.right)]
        about = [name for name in sides if name is not None]
        if len(about) != 1:
            message = f"`{bound.text}` compares inputs of a loop's body with one another"
            advice = "an assume in a body bounds one input by numbers or sizes"
            raise Diagnostic("E-BOUND", message, bound.span, advice)
        (name,) = about
        left, right = (
            given.values[name] if side is not None else _operand(own)
            for side, own in zip(sides, (bound.left, bound.right), strict=True)
        )
        bounds.link(outer, bound.rel, left, right, bound.span, bound.text, "demand")
        if name in states:
            value = outputs[states.index(name)].arg
            new = value.id if isinstance(value, Ref) else -1
            after = replace(
                bound,
                left=new if sides[0] is not None else bound.left,
                right=new if sides[1] is not None else bound.right,
                text=f"{bound.text} behind every step",
            )
            if all((b.left, b.rel, b.right) != (after.left, after.rel, after.right) for b in draft.ensures):
                draft.ensures.append(after)


def _input(side: int | str | Fraction | Poly, leaves: list[str]) -> str | None:
    if isinstance(side, str):
        return side
    return leaves[side] if isinstance(side, int) else None


def _operand(side: int | str | Fraction | Poly) -> Operand:
    if isinstance(side, Fraction | Poly):
        return side
    raise TypeError("an input where a number is expected")


def _cut(draft: Draft, decl: InputDecl, value: Value, span: Span) -> Value:
    """An argument of an input that is not differentiated is cut off from the gradient."""
    if decl.const and value.type.kind == "real" and isinstance(value.arg, Ref):
        cut = draft.role("const", span)
        return draft.remembered((cut, value.arg), lambda: call(draft, cut, (value,), {}, span))
    return value


def _free_name(draft: Draft, name: str, frame: Frame) -> str:
    """A name for a body that no other body of the graph has, and no graph but one that is such a body already."""
    number, free = 1, name
    taken = {loop.body.name for loop in draft.loops.values()}
    taken |= {n for n in frame.unit.graphs if not n.startswith(f"{draft.name}_")}
    while free in taken:
        number += 1
        free = f"{name}_{number}"
    return free


def _results(draft: Draft, expr: Apply, table: Value, loop: LoopDef) -> Operand:
    """The results that are wanted, read out of the table."""
    every = expr.fn == "scan"
    sign = "scan last" if not every else "scan rows reversed" if loop.reverse else "scan rows"
    reader = draft.role(sign, expr.span)
    columns = loop.columns if every else loop.columns[: len(loop.states)]
    if not columns:
        raise Diagnostic("E-SCAN", "a loop without a state has no final state", expr.span, "write `scan`")
    out = [
        call(draft, reader, (table,), {"offset": column.offset, "shape": column.shape}, expr.span) for column in columns
    ]
    return out[0] if len(out) == 1 else tuple(out)
