"""From a stanza to an operator: Fn, Op -> OpDef, names resolved, indices made unique, extents inferred."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import lru_cache

from gradproof.compiler.dims import Poly
from gradproof.compiler.formulas import (
    check_size,
    condition,
    inline_lets,
    real,
)
from gradproof.compiler.integers import integer
from gradproof.compiler.integral import integral
from gradproof.compiler.laws import WrittenLaw, check_laws, index_names, law_of
from gradproof.compiler.ops import COTANGENT, OUTPUT, TANGENT, Axis, Extern, Formula, Kink, OpDef, Param
from gradproof.compiler.ops import Promise as Ensured
from gradproof.compiler.rewriting import free_symbols, reads_of, tensors
from gradproof.compiler.scopes import Scope, Tensor, check_depth, check_index, extent_of, parts, unknown, written
from gradproof.compiler.signatures import (
    LIFTED,
    LIFTED_INDEX,
    RESERVED,
    StanzaSignature,
    axes_of,
    fn_signature,
    no_function,
    nothing,
    op_signature,
)
from gradproof.compiler.terms import ZERO, And, Cond, Num, Read, RealCmp, opaque
from gradproof.grammar import syntax as written_syntax
from gradproof.grammar.source import Diagnostic, Source, Span
from gradproof.grammar.syntax import (
    Access,
    At,
    Binder,
    BoundIndex,
    Define,
    Equation,
    Expr,
    Fn,
    Instead,
    Least,
    Let,
    Name,
    Op,
    Pack,
    Promise,
    Require,
    Rule,
    Runs,
    Where,
)


def define(
    stanza: Fn | Op,
    functions: Callable[[str], OpDef | None] = no_function,
    warn: Callable[[Diagnostic], None] = nothing,
) -> OpDef:
    """The operator that a stanza defines; Diagnostic where it has no meaning.

    `functions` finds the `fn`s that formulas may call, `warn` takes what is odd but not wrong.
    """
    signature = fn_signature(stanza) if isinstance(stanza, Fn) else op_signature(stanza)
    return _Stanza(stanza, signature, functions, warn).build()


@dataclass(slots=True)
class _Stanza:
    """One stanza on its way to an OpDef: clauses are taken in the order of the text."""

    stanza: Fn | Op
    signature: StanzaSignature
    functions: Callable[[str], OpDef | None]
    warn: Callable[[Diagnostic], None]
    scope: Scope = field(init=False)
    lets: dict[str, Formula] = field(default_factory=dict)
    leans: dict[str, frozenset[str]] = field(default_factory=dict)  # which of `y` and `g` a let reads, in the end
    requires: list[Cond] = field(default_factory=list)
    domain: list[Cond] = field(default_factory=list)
    kinks: list[Kink] = field(default_factory=list)
    instead: list[str] = field(default_factory=list)
    ensures: list[Ensured] = field(default_factory=list)
    forward: Formula | None = None
    runs: Formula | None = None
    runs_written: bool = False
    jvp: Formula | None = None
    vjps: dict[str, Formula] = field(default_factory=dict)
    externs: list[Extern] = field(default_factory=list)
    laws: list[WrittenLaw] = field(default_factory=list)

    def __post_init__(self) -> None:
        signature = self.signature
        sizes = {n for p in (*signature.params, signature.output) for a in p.axes for n in a.extent.symbols}
        ints = {a.name for a in signature.attrs if a.kind == "int"}
        self.scope = Scope(
            frozenset(sizes | ints),
            frozenset(a.name for a in signature.attrs if a.kind == "real"),
            {p.name: _tensor(p) for p in signature.params},
            self.functions,
            self.warn,
        )

    def build(self) -> OpDef:
        stanza, signature = self.stanza, self.signature
        for clause in stanza.clauses:
            self.take(clause)
        if self.forward is None:
            advice = f"write what it means: `{OUTPUT} = ...`" if self.lifted else f"write `{OUTPUT}[...] = ...`"
            raise Diagnostic("E-NO-DEFINITION", f"`{stanza.name}` has no definition", stanza.span, advice)
        self.report_unused()
        made = OpDef(
            stanza.name,
            signature.attrs,
            signature.params,
            signature.output,
            self.forward,
            stanza.span,
            tuple(self.requires),
            tuple(self.domain),
            tuple(self.lets.values()),
            self.runs,
            self.jvp,
            tuple(self.vjps[p.name] for p in signature.params if p.name in self.vjps),
            tuple(self.kinks),
            tuple(self.instead),
            tuple(self.ensures),
            stanza.doc,
            tuple(self.externs),
            tuple(law_of(each, self.law_scope()) for each in self.laws),
            text_of(stanza.span),
        )
        check_laws(made)
        return made

    @property
    def lifted(self) -> bool:
        return isinstance(self.stanza, Fn)

    def take(self, clause: object) -> None:
        match clause:
            case Require(conds):
                for cond in conds:
                    self.restrict(cond, "require")
            case Where(conds):
                for cond in conds:
                    self.restrict(cond, "where")
            case Promise(conds):
                for cond in conds:
                    self.promise(cond)
            case Let(equation):
                self.add_let(equation)
            case Define(equation):
                self.add_definition(equation)
            case Runs(lets, equation, span):
                if self.runs_written:
                    raise Diagnostic("E-DUPLICATE", "`runs` is written twice", span)
                for let in lets:
                    self.add_let(let)
                self.runs_written = True
                self.runs = self.equation(equation, self.expect_output(equation, OUTPUT), self.let_scope())
            case Rule():
                self.add_rule(clause)
            case Instead(text):
                self.instead.append(text)
            case At(cond, value, jump, span):
                scope = self.quantify([cond] if value is None else [cond, value], self.rule_scope(OUTPUT))
                meant = None if value is None else real(value, scope)
                self.kinks.append(Kink(condition(cond, scope), meant, span, jump))
            case Least(cond, span):
                meant_at = condition(cond, self.quantify([cond], self.rule_scope(OUTPUT)))
                self.kinks.append(Kink(self.least(meant_at, span), ZERO, span, least=True))
            case written_syntax.Extern():
                self.add_extern(clause)
            case written_syntax.Law(cond, span):
                self.laws.append(WrittenLaw(cond, None, span))
            case written_syntax.Adjoint(value, span):
                if not self.laws or self.laws[-1].adjoint is not None:
                    advice = "write it below the law whose multiplier it is"
                    raise Diagnostic("E-LAW", "this adjoint belongs to no law", span, advice)
                self.laws[-1] = replace(self.laws[-1], adjoint=value)
            case _:
                raise TypeError(f"not a clause: {clause!r}")

    def least(self, cond: Cond, span: Span) -> Cond:
        """The condition of a `least at`: that the output's own entry has a certain value."""
        match cond:
            case RealCmp("==", Read(tensor, index), Num()) if tensor == OUTPUT:
                names = [poly.as_symbol for poly in index]
                if None not in names and len(set(names)) == len(names):
                    return cond
        raise Diagnostic("E-KINK", "`least at` says which value of the output is its least", span, "`least at y = 0`")

    def restrict(self, cond: Expr, word: str) -> None:
        """A `require` or a `where`: reals restrict the domain, everything else is a requirement."""
        check_depth(cond)
        scope = self.quantify([cond], self.scope)
        meaning = condition(cond, self.within(scope))
        reals = {p.name for p in self.signature.params if p.kind == "real"}
        if not tensors(meaning) & reals:
            self.requires.append(meaning)
        elif word == "where":
            self.domain.append(meaning)
        else:
            advice = "write `where ...`: a domain of real inputs"
            raise Diagnostic("E-KIND", "a `require` is about sizes, attributes and integer inputs", cond.span, advice)

    def promise(self, cond: Expr) -> None:
        """An `ensure`: a condition on the result, read at indices of its own, one bare index for each axis."""
        check_depth(cond)
        scope = self.within(self.quantify([cond], self.scope.reading({OUTPUT: _tensor(self.signature.output)})))
        meaning = condition(cond, scope)
        extents = [axis.extent for axis in self.signature.output.axes]
        ranges: dict[str, Poly] = {}
        for index in sorted(reads_of(meaning, OUTPUT), key=str):
            for position, extent in zip(index, extents, strict=True):
                ranges.setdefault(position.as_symbol or "", extent)
        free = free_symbols(meaning) - self.scope.integers
        if not reads_of(meaning, OUTPUT) or not free <= ranges.keys():
            advice = f"write `ensure 0 <= {OUTPUT}[i, j] < n`, with a bare index for each axis of the result"
            raise Diagnostic("E-ENSURE", "this does not say which entries of the result it is about", cond.span, advice)
        table = tuple((name, ranges[name]) for name in sorted(free))
        for part in meaning.args if isinstance(meaning, And) else (meaning,):
            self.ensures.append(Ensured(part, table, cond.span))

    def check_let_name(self, name: str, span: Span) -> None:
        known = {*self.scope.tensors, *self.scope.integers, *self.scope.reals, *self.lets, *RESERVED}
        tangents = {TANGENT + p.name: p.name for p in self.signature.params}
        if name in known or name in tangents:
            what = f"is the tangent of `{tangents[name]}`" if name in tangents else "already means something"
            raise Diagnostic("E-NAME-CLASH", f"`{name}` {what} here", span, "take another name")

    def add_let(self, equation: Equation) -> None:
        name = equation.target
        self.check_let_name(name, equation.span)
        scope = self.rule_scope(OUTPUT, COTANGENT, *self.tangents)
        if self.lifted:
            axes: tuple[Axis, ...] = (Axis(Poly.sym(LIFTED), LIFTED),)
        else:
            names = self.left_names(equation, scope)
            extents = [self.let_extent(index, equation, scope) for index in equation.indices or ()]
            axes = tuple(Axis(e, str(e) if n.endswith("..") else None) for n, e in zip(names, extents, strict=True))
        self.lets[name] = self.equation(equation, Param(name, "real", axes), scope)
        self.lean(name, tensors(self.lets[name].body))

    def let_extent(self, index: Name | Pack | BoundIndex, equation: Equation, scope: Scope) -> Poly:
        """The extent of an intermediate's axis: given, or seen in what it is computed from."""
        if not isinstance(index, BoundIndex) or index.extent is None:
            return extent_of(written(index), [equation.body], scope, equation.span)
        extent = integer(index.extent, scope)
        if any(extent.entries()):
            raise Diagnostic("E-EXTENT", "an extent is made of sizes and attributes", index.span, "give a size")
        return extent

    def lean(self, name: str, read: frozenset[str]) -> None:
        """Note what an intermediate depends on beside the inputs."""
        own = read & {*RESERVED, *self.tangents}
        self.leans[name] = own.union(*(self.leans[n] for n in read & self.leans.keys()))

    @property
    def tangents(self) -> tuple[str, ...]:
        """The tangents of the differentiable inputs."""
        return tuple(TANGENT + p.name for p in self.signature.params if p.differentiable)

    def add_extern(self, clause: written_syntax.Extern) -> None:
        """`extern y = "kernel"(a)`: the result, or `extern w: [S.., n] = ...`, an intermediate."""
        if self.lifted:
            raise Diagnostic("E-EXTERN", "a `fn` has a formula", clause.span, "write an `op`")
        result = clause.target == OUTPUT
        if result != (clause.axes is None):
            advice = f'`extern {OUTPUT} = "..."(a)` is the result, `extern w: [S.., n] = "..."(a)` an intermediate'
            raise Diagnostic("E-EXTERN", "only the result has axes already", clause.span, advice)
        scope = self.rule_scope() if result else self.rule_scope(OUTPUT, COTANGENT, *self.tangents)
        for arg in clause.args:
            if arg.name not in scope.tensors:
                raise unknown(arg.name, scope.tensors, arg.span, "tensor")
            if scope.tensors[arg.name].kind != "real":
                raise Diagnostic("E-KIND", f"`{arg.name}` is {scope.tensors[arg.name].kind}", arg.span, "give reals")
            scope.used.add(arg.name)
        axes = self.signature.output.axes if clause.axes is None else axes_of(clause.axes, self.scope)
        extents = tuple(axis.extent for axis in axes)
        names = index_names(axes, {*scope.tensors, *scope.integers, *scope.reals})
        tensor, args = opaque(clause.target), tuple(a.name for a in clause.args)
        self.externs.append(Extern(tensor, clause.kernel, args, extents, clause.span))
        formula = Formula(clause.target, names, extents, Read(tensor, tuple(map(Poly.sym, names))), clause.span)
        if result:
            self.define_as(formula)
        else:
            self.check_let_name(clause.target, clause.span)
            self.lets[clause.target] = formula
            self.lean(clause.target, frozenset(a.name for a in clause.args))

    def define_as(self, formula: Formula) -> None:
        """The definition, once."""
        if self.forward is not None:
            message = f"`{self.stanza.name}` is defined twice"
            raise Diagnostic("E-DUPLICATE", message, formula.span, "keep one definition")
        self.forward = formula

    def law_scope(self) -> Scope:
        """What a law may read: everything."""
        also = (OUTPUT, COTANGENT, *self.tangents)
        return self.rule_scope(*also).reading({TANGENT + OUTPUT: _tensor(self.signature.output)})

    def add_definition(self, equation: Equation) -> None:
        if self.forward is not None:
            raise Diagnostic(
                "E-DUPLICATE", f"`{self.stanza.name}` is defined twice", equation.span, "keep one definition"
            )
        output = self.expect_output(equation, OUTPUT)
        meaning = self.equation(equation, output, self.let_scope())
        read = tensors(meaning.body) & self.lets.keys()
        if read and not isinstance(meaning.body, Cond):
            # What is written with intermediates runs with them; what it means has them filled in.
            self.runs = self.runs or meaning
            body = meaning.body
            for let in reversed(self.lets.values()):
                body = inline_lets(body, {let.target: let})
                check_size(body, meaning.span)
            meaning = Formula(meaning.target, meaning.indices, meaning.extents, body, meaning.span)
        self.forward = meaning

    def add_rule(self, clause: Rule) -> None:
        equation = clause.equation
        if clause.kind == "jvp":
            if self.jvp is not None:
                raise Diagnostic("E-DUPLICATE", "`jvp` is written twice", clause.span)
            self.check_differentiable(clause.span)
            target = OUTPUT if equation.target == OUTPUT else TANGENT + OUTPUT
            output = self.expect_output(equation, target)
            self.jvp = self.equation(equation, output, self.rule_scope(OUTPUT, *self.tangents), OUTPUT)
            return
        param = next((p for p in self.signature.params if p.name == equation.target), None)
        if param is None:
            names = [p.name for p in self.signature.params]
            raise unknown(equation.target, names, equation.span, "input")
        if not param.differentiable:
            why = "`const`" if param.const else f"{param.kind}"
            advice = "a gradient is for real inputs; leave this rule out"
            raise Diagnostic("E-VJP", f"`{param.name}` is {why}: it has no gradient", equation.span, advice)
        if param.name in self.vjps:
            raise Diagnostic("E-DUPLICATE", f"`vjp {param.name}` is written twice", clause.span)
        self.check_differentiable(clause.span)
        self.vjps[param.name] = self.equation(equation, param, self.rule_scope(OUTPUT, COTANGENT))

    def check_differentiable(self, span: Span) -> None:
        if self.signature.output.kind != "real":
            kind = "boolean" if self.signature.output.kind == "bool" else "an integer"
            raise Diagnostic("E-VJP", f"`{self.stanza.name}` is {kind}: it has no derivative", span, "leave this out")

    def rule_scope(self, *also: str) -> Scope:
        """What a formula may read that may read the output or the cotangent too: these, and lets that lean on them."""
        own = {TANGENT + p.name: p for p in self.signature.params}
        output = {name: _tensor(own.get(name, self.signature.output)) for name in also}
        lets = {n: Tensor("real", let.extents) for n, let in self.lets.items() if self.leans[n] <= output.keys()}
        return self.scope.reading(output).reading(lets)

    def let_scope(self) -> Scope:
        """What the definition and `runs` may read: the inputs and the intermediates so far that are made of these."""
        return self.rule_scope()

    def expect_output(self, equation: Equation, target: str) -> Param:
        if equation.target != target:
            message = f"this defines `{equation.target}`, and the output is called `{target}`"
            raise Diagnostic("E-TARGET", message, equation.span, f"write `{target}` on the left")
        return self.signature.output

    def within(self, scope: Scope) -> Scope:
        """The scope of a formula: in a `fn`, every tensor is read at the one index."""
        return replace(scope, lifted=(Poly.sym(LIFTED_INDEX),)) if self.lifted else scope

    def left_names(self, equation: Equation, scope: Scope) -> tuple[str, ...]:
        if equation.indices is None:
            advice = f"write `{equation.target}[...] = ...`, with nothing in the brackets for a tensor with no axes"
            raise Diagnostic("E-RANK", f"`{equation.target}` is written without indices", equation.span, advice)
        names: list[str] = []
        for index in equation.indices:
            name = written(index)
            check_index(name, scope, index.span, names)
            names.append(name)
        return tuple(names)

    def equation(self, equation: Equation, target: Param, scope: Scope, name: str = "") -> Formula:
        """The formula of an equation whose left side has the axes of `target`."""
        check_depth(equation.body)
        extents = tuple(axis.extent for axis in target.axes)
        if self.lifted:
            if equation.indices is not None and equation.indices != ():
                advice = f"write `{equation.target} = ...`; an `op` has indices"
                raise Diagnostic("E-RANK", "a `fn` is written without indices", equation.span, advice)
            names: tuple[str, ...] = (LIFTED_INDEX,)
        else:
            names = self.left_names(equation, scope)
            self.check_left(equation, target)
        inner = self.within(scope.index(*((n, n) for n in names)))
        body = condition(equation.body, inner) if target.kind == "bool" else real(equation.body, inner)
        if target.kind == "int" and not (isinstance(body, Cond) or integral(body)):
            advice = "an integer is made of sizes, indices, integer inputs, floor(...), select(...) and sums of these"
            raise Diagnostic("E-INTEGER", f"`{equation.target}` is an integer tensor", equation.body.span, advice)
        return Formula(name or equation.target, names, extents, body, equation.span)

    def check_left(self, equation: Equation, target: Param) -> None:
        """On the left, each axis has an index of its own: dotted for a pack, plain for a dim."""
        indices = equation.indices or ()
        given = next((i for i in indices if isinstance(i, BoundIndex)), None)
        if given is not None and target.name in {OUTPUT, *(p.name for p in self.signature.params)}:
            advice = f"the axes of `{target.name}` are declared: write `{given.name}`"
            raise Diagnostic("E-EXTENT", "only an intermediate's extent is given here", given.span, advice)
        if len(indices) != len(target.axes):
            axes = ", ".join(str(axis.extent) for axis in target.axes)
            message = f"`{equation.target}` has axes [{axes}] and {len(indices)} on the left"
            raise Diagnostic("E-RANK", message, equation.span, "one index for each axis; a pack `S..` is one axis")
        for index, axis in zip(indices, target.axes, strict=True):
            if axis.pack is not None and not isinstance(index, Pack):
                advice = f"write `{index.name}..`"
                raise Diagnostic("E-RANK", f"`{index.name}` stands at the pack `{axis.pack}`", index.span, advice)
            if axis.pack is None and isinstance(index, Pack):
                message = f"`{index.name}..` stands at the single axis `{axis.extent}`"
                raise Diagnostic("E-RANK", message, index.span, f"write `{index.name}`")

    def quantify(self, exprs: list[Expr], scope: Scope) -> Scope:
        """A condition holds for all the indices that it reads tensors at: give these their names."""
        if self.lifted:
            return self.within(scope)
        found: dict[str, Span] = {}
        stack = [(each, frozenset[str]()) for each in exprs]
        while stack:
            node, bound = stack.pop()
            if isinstance(node, Binder):
                bound |= {written(each) for each in node.indices}
            if isinstance(node, Access):
                for item in node.index:
                    if isinstance(item, Name | Pack) and written(item) not in bound and not self.known(written(item)):
                        found.setdefault(written(item), item.span)
            stack += [(part, bound) for part in parts(node)]
        return scope.index(*((name, name) for name in found))

    def known(self, name: str) -> bool:
        return name in self.scope.integers or name in self.scope.reals or name in self.scope.tensors

    def report_unused(self) -> None:
        used = self.scope.used.union(*(p.default.args for p in self.signature.params if p.default is not None))
        for param in self.signature.params:
            if param.name not in used:
                span = self.signature.spans.get(param.name, self.stanza.span)
                message = f"the input `{param.name}` of `{self.stanza.name}` is never read"
                self.warn(Diagnostic("W-UNUSED", message, span, "leave it out"))
        sizes = {n for p in (*self.signature.params, self.signature.output) for a in p.axes for n in _symbols(a)}
        for attr in self.stanza.attrs:
            if attr.name not in used and attr.name not in sizes:
                message = f"the attribute `{attr.name}` of `{self.stanza.name}` is never used"
                self.warn(Diagnostic("W-UNUSED", message, attr.span, "leave it out"))
        for name in self.lets:
            if name not in used:
                message = f"the intermediate `{name}` of `{self.stanza.name}` is never read"
                self.warn(Diagnostic("W-UNUSED", message, self.lets[name].span, "leave it out"))


def _symbols(axis: Axis) -> frozenset[str]:
    return axis.extent.symbols | (axis.rank.symbols if axis.rank is not None else frozenset())


def _tensor(param: Param) -> Tensor:
    return Tensor(param.kind, tuple(axis.extent for axis in param.axes))


def text_of(span: Span) -> str:
    """The lines of the source that a span covers."""
    return "\n".join(_lines(span.source)[span.line - 1 : span.end_line])


@lru_cache(maxsize=8)
def _lines(source: Source) -> list[str]:
    return source.text.splitlines()
