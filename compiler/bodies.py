"""From a graph's text to its nodes: expressions, statements, and graphs that call graphs, which are inlined.

Nothing here recurses over the text: each step is a generator that asks for the values of its parts, and `_run` keeps
the stack. So a sum of a hundred thousand terms is as good as one of two.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from gradproof.compiler import arithmetic, bounds, scans
from gradproof.compiler.calls import applied, describe, lift, single
from gradproof.compiler.dims import Poly
from gradproof.compiler.draft import DTYPES, Draft, Operand, Value
from gradproof.compiler.einsum import TEXTUAL
from gradproof.compiler.forms import FORMS, REDUCTION, apply, reduced
from gradproof.compiler.frames import Frame, Step, Unit, check_inputs
from gradproof.compiler.graph import Dim, Env, Graph, Seeded, TensorType
from gradproof.compiler.loops import settled
from gradproof.compiler.scopes import unknown
from gradproof.compiler.statements import entrywise, statements
from gradproof.grammar.source import Diagnostic, Span
from gradproof.grammar.syntax import (
    Access,
    Apply,
    Assign,
    Assume,
    Binary,
    Binder,
    Compare,
    Ensure,
    Expr,
    GraphDef,
    InputDecl,
    Logic,
    Name,
    Negation,
    Number,
    Return,
    Sequence,
    Text,
    TypeDecl,
    Unary,
)


def lower_graph(definition: GraphDef, unit: Unit, warn: Callable[[Diagnostic], None]) -> Graph:
    """The graph that a definition means; Diagnostic where it means none."""
    draft = Draft(definition.name, unit.library, definition.span, warn)
    return Lowering(draft).graph(definition, unit)


def _run(step: Step) -> Any:
    """Run a generator that yields the generators whose results it needs."""
    stack, result = [step], None
    while stack:
        try:
            inner = stack[-1].send(result)
        except StopIteration as done:
            stack.pop()
            result = done.value
        else:
            stack.append(inner)
            result = None
    return result


@dataclass(slots=True)
class Lowering:
    """Reads a graph's text into a draft: a `Reader`."""

    draft: Draft
    dims: dict[str, Dim] = field(default_factory=dict)

    def inside(self, draft: Draft) -> Lowering:
        """The reader of a loop's body, which becomes a graph of its own over the same dims."""
        return Lowering(draft, self.dims)

    def graph(self, definition: GraphDef, unit: Unit) -> Graph:
        frame = Frame(definition, unit, "", {}, (definition.name,))
        inputs = [(decl, self.declared_type(decl.type, frame)) for decl in definition.inputs]
        check_inputs(definition, unit)
        for decl, type_ in inputs:
            if type_.kind == "real" and not decl.const and decl.source is None:
                frame.values[decl.name] = self.draft.leaf(decl.name, type_, decl.span)
        for decl, type_ in inputs:
            if decl.name not in frame.values:
                seeded = self.seeded(decl, type_)
                frame.values[decl.name] = self.draft.environment(decl.name, type_, decl.span, seeded)
            frame.spans[decl.name] = decl.span
        frame.inputs = frozenset(frame.values)
        outputs: tuple[Value, ...] = _run(self.body(frame))
        for value in outputs:
            if isinstance(value.arg, Env):
                message = f"`{value.arg.name}` is an input of the environment: it can't be returned as it is"
                raise Diagnostic("E-OUTPUT", message, definition.span, "return something computed from it")
        self.draft.name_outputs(outputs)
        self.report_unused(frame)
        return settled(self.draft.finish(tuple(self.dims.values()), outputs))

    def report_unused(self, frame: Frame) -> None:
        for name, span in frame.spans.items():
            if name not in frame.used and not name.startswith("_"):
                what = "input" if name in frame.inputs else "value"
                self.draft.warn(Diagnostic("W-UNUSED", f"the {what} `{name}` is never used", span, "leave it out"))

    # Types and dims.

    def declared_type(self, decl: TypeDecl, frame: Frame) -> TensorType:
        dtype = frame.kinds.get(decl.dtype, decl.dtype)
        if dtype not in DTYPES:
            raise unknown(decl.dtype, (*DTYPES, *frame.kinds), decl.span, "element type")
        return TensorType(dtype, tuple(self.extent(item, frame) for item in decl.shape))

    def extent(self, expr: Expr, frame: Frame) -> Poly:
        """A size in a type: an integer expression in dims."""
        match expr:
            case Number(value):
                operand: Operand = value
            case Name(name) if name in frame.unit.dims:
                operand = self.dim(name, frame)
            case Name(name):
                raise unknown(name, frame.unit.dims, expr.span, "dim")
            case _:
                operand = _run(self.lower(expr, frame))
        if isinstance(operand, Fraction) and operand.denominator == 1 and operand >= 0:
            return Poly.of(int(operand))
        if not isinstance(operand, Poly):
            advice = "sizes are made of dims and integers"
            raise Diagnostic("E-INTEGER", f"{describe(operand)} is no size", expr.span, advice)
        return operand

    def dim(self, name: str, frame: Frame) -> Operand:
        """A dim as a number: its value where it is fixed, the caller's size in an inlined graph."""
        frame.unit.used_dims.add(name)
        if name in frame.renamed:
            return _number(frame.renamed[name])
        self.note_dim(name, frame)
        dim = frame.unit.dims[name]
        return _number(dim.value if dim.value is not None else Poly.sym(name))

    def note_dim(self, name: str, frame: Frame) -> None:
        """The graph lists the dims that it depends on."""
        dim = frame.unit.dims[name]
        known = self.dims.setdefault(name, dim)
        if (known.lower, known.value) != (dim.lower, dim.value):
            message = f"the dim `{name}` is declared in two ways, and both come together in `{self.draft.name}`"
            raise Diagnostic("E-DUPLICATE", message, dim.span, "rename one of them")
        for inner in sorted(dim.value.symbols) if dim.value is not None else ():
            if inner not in self.dims:
                self.note_dim(inner, frame)

    def seeded(self, decl: InputDecl, type_: TensorType) -> Seeded | None:
        return None if decl.source is None else bounds.seeded(decl.source, type_)

    # Statements.

    def body(self, frame: Frame) -> Step:
        """The values that a graph returns. What it ensures comes after them."""
        definition = frame.definition
        outputs: tuple[Value, ...] | None = None
        ensures: list[Ensure] = []
        for statement in definition.body:
            if isinstance(statement, Ensure):
                ensures.append(statement)
                continue
            if outputs is not None:
                raise Diagnostic("E-AFTER-RETURN", "this is never reached", statement.span, "move it above `return`")
            match statement:
                case Assign():
                    yield self.assign(statement, frame)
                case Assume(cond):
                    top = not frame.prefix
                    yield bounds.restrict(self, frame, cond, "assume" if top else "demand")
                case Return(values, span):
                    outputs = yield self.give(values, frame, span)
        if outputs is None:
            message = f"the graph `{definition.name}` returns nothing"
            raise Diagnostic("E-NO-OUTPUT", message, definition.span, "end it with `return ...`")
        if len(definition.results) == 1 and "result" not in frame.values:
            frame.values["result"] = outputs[0]
        for ensure in ensures:
            if not entrywise(ensure.cond):
                if ensure.where is not None:
                    advice = "`where` is for indices: `ensure y[i, j] == 0 where i < j`"
                    raise Diagnostic("E-BOUND", "this ensure has no indices", ensure.where.span, advice)
                yield bounds.restrict(self, frame, ensure.cond, "ensure")
            elif (
                not frame.prefix
            ):  # a called graph's own promise is proved where that graph is, and nothing leans on it
                self.draft.ensures += statements(self, frame, ensure)
        return outputs

    def assign(self, statement: Assign, frame: Frame) -> Step:
        since = len(self.draft)
        result: Operand = yield self.lower(statement.value, frame)
        targets = statement.targets
        if len(targets) == 1:
            results: tuple[Operand, ...] = (result,)
        elif isinstance(result, tuple) and len(result) == len(targets):
            results = result
        else:
            count = len(result) if isinstance(result, tuple) else 1
            message = f"{len(targets)} names for {count} value{'' if count == 1 else 's'}"
            raise Diagnostic("E-ARITY", message, statement.span)
        for target, operand in zip(targets, results, strict=True):
            if isinstance(operand, tuple):
                message = f"`{target.name}` would be a tuple"
                raise Diagnostic("E-KIND", message, target.span, "write `a, b = ...` with a name for each")
            if statement.type is not None:
                operand = lift(self.draft, operand, statement.span)
                self.check_type(operand, statement.type, f"`{target.name}`", frame)
            self.bind(target, operand, since, frame)
        return None

    def bind(self, target: Name, operand: Operand, since: int, frame: Frame) -> None:
        name = target.name
        if name in frame.unit.dims:
            advice = "take another name"
            raise Diagnostic("E-NAME-CLASH", f"`{name}` is a dim, so it can't be a value", target.span, advice)
        if name in frame.values and not frame.prefix:
            what = "input" if name in frame.inputs else "value"
            message = f"`{name}` hides the {what} of the same name"
            self.draft.warn(Diagnostic("W-SHADOWED", message, target.span, "take another name"))
            if name not in frame.used and not name.startswith("_"):
                self.draft.warn(Diagnostic("W-UNUSED", f"the {what} `{name}` is never used", frame.spans[name]))
            frame.used.discard(name)
        frame.values[name] = operand
        frame.spans[name] = target.span
        if isinstance(operand, Value):
            self.draft.rename(operand, f"{frame.prefix}{name}", since)

    def give(self, exprs: tuple[Expr, ...], frame: Frame, span: Span) -> Step:
        """The returned values, each of its declared type."""
        results: list[Value] = []
        for expr in exprs:
            operand: Operand = yield self.lower(expr, frame)
            for item in operand if isinstance(operand, tuple) else (operand,):
                results.append(lift(self.draft, item, expr.span))
        declared = frame.definition.results
        if len(results) != len(declared):
            message = f"`{frame.definition.name}` returns {len(results)} and declares {len(declared)}"
            raise Diagnostic("E-OUTPUT", message, span, "the types behind `->` are those of the returned values")
        for number, (value, decl) in enumerate(zip(results, declared, strict=True), 1):
            which = "the result" if len(results) == 1 else f"result {number}"
            self.check_type(value, decl, which, frame)
        return tuple(results)

    def check_type(self, value: Value, decl: TypeDecl, what: str, frame: Frame) -> None:
        """A declared type: element type and number of axes must fit, equal extents are for SHAPE to prove."""
        type_ = self.declared_type(decl, frame)
        if type_.dtype != value.type.dtype or len(type_.shape) != len(value.type.shape):
            message = f"{what} is {value.type} and is declared {type_}"
            raise Diagnostic("E-TYPE", message, decl.span, f"write `{value.type}`, or change what is computed")
        for have, want in zip(value.type.shape, type_.shape, strict=True):
            self.draft.claim(want, have, f"declared type of {what}", decl.span)

    # Expressions.

    def lower(self, expr: Expr, frame: Frame) -> Step:
        """The operand that an expression stands for."""
        match expr:
            case Number(value):
                return value
            case Name(name):
                return self.named(name, frame, expr.span)
            case Unary("-", arg):
                operand = yield self.lower(arg, frame)
                return arithmetic.negated(self.draft, single(operand, arg), expr.span)
            case Binary(op, left, right):
                a = yield self.lower(left, frame)
                b = yield self.lower(right, frame)
                a, b = single(a, left), single(b, right)
                return arithmetic.combined(self.draft, op, a, b, expr.span)
            case Compare(ops, operands):
                values = yield self.all_of(operands, frame)
                return arithmetic.compared(self.draft, ops, values, expr.span)
            case Logic(op, args):
                values = yield self.all_of(args, frame)
                return arithmetic.joined(self.draft, op, values, expr.span)
            case Negation(arg):
                values = yield self.all_of((arg,), frame)
                return apply(self.draft, self.draft.role("not", expr.span), values, {}, expr.span)
            case Sequence(items):
                values = []
                for item in items:
                    operand = yield self.lower(item, frame)
                    values.append(operand)
                return tuple(values)
            case Apply():
                result = yield self.apply(expr, frame)
                return result
            case Access():
                advice = "indices belong in an `op`; here write take(...) or slice(...)"
                raise Diagnostic("E-GRAPH", "a graph reads whole tensors", expr.span, advice)
            case Text():
                advice = 'a string is the first argument of `einsum("ij,jk->ik", a, b)`'
                raise Diagnostic("E-KIND", "a string where a value is wanted", expr.span, advice)
            case Binder():
                advice = "write `sum(x, axis=0)`, or an `op` with a formula"
                raise Diagnostic("E-GRAPH", "a graph has no bound indices", expr.span, advice)
            case _:
                raise Diagnostic("E-GRAPH", "this has no meaning in a graph", expr.span)

    def all_of(self, exprs: Iterable[Expr], frame: Frame) -> Step:
        values: list[Operand] = []
        for expr in exprs:
            operand = yield self.lower(expr, frame)
            values.append(single(operand, expr))
        return values

    def named(self, name: str, frame: Frame, span: Span) -> Operand:
        if name in frame.values:
            frame.used.add(name)
            return frame.values[name]
        if name in frame.unit.dims:
            return self.dim(name, frame)
        if name in ("true", "false"):
            return Fraction(name == "true")
        raise unknown(name, (*frame.values, *frame.unit.dims), span)

    def apply(self, expr: Apply, frame: Frame) -> Step:
        if expr.fn in scans.FORMS and expr.fn not in (*frame.unit.graphs, *frame.unit.library.overloads):
            result = yield scans.scan(self, expr, frame)
            return result
        args: list[Operand] = []
        textual = expr.fn in TEXTUAL and expr.fn not in (*frame.unit.graphs, *frame.unit.library.overloads)
        text = expr.args[0] if textual and expr.args else None
        if textual and not isinstance(text, Text):
            advice = f'write `{expr.fn}("ij,jk->ik", a, b)`'
            raise Diagnostic("E-KIND", f"`{expr.fn}` begins with its string", expr.span, advice)
        for arg in expr.args[1:] if textual else expr.args:
            operand = yield self.lower(arg, frame)
            args.append(operand)
        kwargs: dict[str, Operand] = {}
        reduction = ""
        for name, arg in expr.kwargs:
            if name == REDUCTION and isinstance(arg, Name) and expr.fn in frame.unit.library.overloads:
                reduction = arg.name
                continue
            if name in kwargs:
                raise Diagnostic("E-DUPLICATE", f"`{name}` is given twice", arg.span)
            operand = yield self.lower(arg, frame)
            kwargs[name] = operand
        if isinstance(text, Text):
            return applied(self.draft, TEXTUAL[expr.fn](text, len(args)), args, kwargs, expr.span)
        if expr.fn in frame.unit.graphs:
            result = yield self.inline(expr, args, kwargs, frame)
            return result
        library = frame.unit.library
        if expr.fn in ("min", "max") and not kwargs and not reduction:
            size = arithmetic.extreme(expr.fn, args, library.overloads.get(expr.fn, ()))
            if size is not None:
                return _number(size)
        if expr.fn not in library.overloads and not (expr.fn in FORMS and library.sign(expr.fn)):
            known = (*library.overloads, *frame.unit.graphs, *TEXTUAL, *(form for form in FORMS if library.sign(form)))
            raise unknown(expr.fn, known, expr.span, "operator or graph")
        value = apply(self.draft, expr.fn, args, kwargs, expr.span)
        return reduced(self.draft, expr.fn, value, reduction, expr.span) if reduction else value

    def inline(self, expr: Apply, args: list[Operand], kwargs: dict[str, Operand], frame: Frame) -> Step:
        """The results of a called graph, its statements read with the call's arguments for its inputs."""
        definition, unit = frame.unit.graphs[expr.fn]
        if expr.fn in frame.inlined:
            chain = " -> ".join((*frame.inlined[frame.inlined.index(expr.fn) :], expr.fn))
            raise Diagnostic("E-RECURSION", f"graphs call each other in a circle: {chain}", expr.span, "unroll it")
        check_inputs(definition, unit)
        inner = Frame(definition, unit, f"{frame.prefix}{expr.fn}_", {}, (*frame.inlined, expr.fn))
        before, self.draft.library = self.draft.library, unit.library
        bounds.pass_arguments(self, inner, args, kwargs, expr)
        outputs: tuple[Value, ...] = yield self.body(inner)
        self.draft.library = before
        return outputs[0] if len(outputs) == 1 else outputs


def _number(poly: Poly) -> Operand:
    return poly if poly.constant is None else Fraction(poly.constant)
