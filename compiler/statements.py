"""`ensure y[i, j] == ... where i < j`: a promise about the entries of a graph's values, and about their derivatives.

The formula is read as an operator's would be: its tensors are the graph's values, its integers the dims. It holds for
all values of its indices at which every entry that it reads exists. `grad(y[i], x[j])` is the derivative of one entry
by another.
"""

from __future__ import annotations

from collections.abc import Iterator

from gradproof.compiler.calls import describe
from gradproof.compiler.dims import Poly
from gradproof.compiler.draft import Value
from gradproof.compiler.formulas import condition, real
from gradproof.compiler.frames import Frame, Reader
from gradproof.compiler.graph import Arg, Entrywise, Gradient, Ref
from gradproof.compiler.integers import integer
from gradproof.compiler.rewriting import children, free_symbols, polys, substitute, substitute_cond, tensors
from gradproof.compiler.scopes import Scope, Tensor, check_depth, extent_of, parts, unknown, written
from gradproof.compiler.terms import TRUE, BoolRead, Cond, Read, Reduce, Term, both, fresh, in_range
from gradproof.grammar.printer import print_expr
from gradproof.grammar.source import Diagnostic, Span
from gradproof.grammar.syntax import Access, Apply, Binder, Compare, Ensure, Expr, Logic, Name, Pack

GRADIENT = "grad"
_FORM = "write `ensure y[i, j] == 0 where i < j`, or `ensure grad(y[i], x[j]) == 0 where i < j`"


def entrywise(cond: Expr) -> bool:
    """Whether the condition speaks of entries, by index."""
    stack = [cond]
    while stack:
        node = stack.pop()
        if isinstance(node, Access):
            return True
        stack += parts(node)
    return False


def statements(reader: Reader, frame: Frame, ensure: Ensure) -> Iterator[Entrywise]:
    """The promises that an `ensure` about entries makes: one for each comparison in it."""
    yield from _each(reader, frame, ensure.cond, ensure.where)


def _each(reader: Reader, frame: Frame, cond: Expr, where: Expr | None) -> Iterator[Entrywise]:
    match cond:
        case Logic("and", args):
            for arg in args:
                yield from _each(reader, frame, arg, where)
        case Compare(ops, operands, _):
            for k, op in enumerate(ops):
                left, right = operands[k : k + 2]
                text = print_expr(Compare((op,), (left, right))) + (f" where {print_expr(where)}" if where else "")
                yield _Reading(reader, frame, cond.span).take(op, left, right, where, text)
        case _:
            raise Diagnostic("E-BOUND", "this is no condition that an ensure can state", cond.span, _FORM)


class _Reading:
    """One comparison on its way to an `Entrywise`."""

    def __init__(self, reader: Reader, frame: Frame, span: Span) -> None:
        self.reader, self.frame, self.span = reader, frame, span
        self.args: dict[str, Arg] = {}
        known: dict[str, Tensor] = {}
        for name, operand in frame.values.items():
            if isinstance(operand, Value):
                known[name] = Tensor(operand.type.kind, operand.type.shape)
                self.args[name] = operand.arg
        dims = frozenset(frame.unit.dims)
        self.scope = Scope(dims, frozenset(), known, frame.unit.library.function, reader.draft.warn)
        self.gradients: list[Gradient] = []
        self.exist: list[Cond] = []
        self.indices: dict[str, tuple[str, Poly]] = {}

    def take(self, op: str, left: Expr, right: Expr, where: Expr | None, text: str) -> Entrywise:
        exprs = [left, right, *([where] if where is not None else [])]
        for expr in exprs:
            check_depth(expr)
        self._quantify(exprs)
        scope = self.scope.index(*((name, unique) for name, (unique, _) in self.indices.items()))
        sides = [self._side(expr, scope) for expr in (left, right)]
        within = condition(where, scope) if where is not None else TRUE
        if op in (">", ">="):
            op, sides = {">": "<", ">=": "<="}[op], sides[::-1]
        sizes = self._sizes(free_symbols(within).union(*(free_symbols(side) for side in sides)))
        sides = [substitute(side, sizes) for side in sides]
        within = substitute_cond(within, sizes)
        extents = dict(self.indices.values())
        exist = [*self.exist, *(c for node in (*sides, within) for c in self._existing(node, extents, {}))]
        read = tensors(within).union(*(tensors(side) for side in sides))
        self.frame.used |= read & self.args.keys()
        values = tuple((name, self.args[name]) for name in sorted(read & self.args.keys()))
        return Entrywise(
            tuple(extents.items()),
            both(*exist, within),
            sides[0],
            op,
            sides[1],
            values,
            tuple(self.gradients),
            self.span,
            text,
        )

    def _quantify(self, exprs: list[Expr]) -> None:
        """Every name that stands for no dim and no value is an index, and runs over the axis where it stands alone."""
        bound: set[str] = set()
        stack = list(exprs)
        while stack:
            node = stack.pop()
            if isinstance(node, Binder):
                bound |= set(map(written, node.indices))
            stack += parts(node)
        stack = list(reversed(exprs))
        while stack:
            node = stack.pop()
            if isinstance(node, Pack):
                raise Diagnostic("E-RANK", "a graph's values have no packs", node.span, "one index for each axis")
            if isinstance(node, Name) and not self._known(node.name) and node.name not in {*bound, *self.indices}:
                extent = extent_of(node.name, exprs, self.scope, node.span)
                self.indices[node.name] = (fresh(node.name), extent)
            stack += reversed(parts(node))

    def _known(self, name: str) -> bool:
        return name in self.scope.integers or name in self.scope.tensors

    def _side(self, expr: Expr, scope: Scope) -> Term:
        if isinstance(expr, Apply) and expr.fn == GRADIENT:
            return self._gradient(expr, scope)
        return real(expr, scope)

    def _gradient(self, expr: Apply, scope: Scope) -> Term:
        if len(expr.args) != 2 or expr.kwargs or not all(isinstance(arg, Access) for arg in expr.args):
            bare = next((arg.name for arg in expr.args if isinstance(arg, Name)), None)
            advice = _FORM if bare is None else f"the entry of a value without axes is `{bare}[]`; {_FORM}"
            message = "grad takes two entries: of a value, and of what it varies with"
            raise Diagnostic("E-ARITY", message, expr.span, advice)
        ends: list[tuple[int, tuple[Poly, ...]]] = []
        for arg in expr.args:
            assert isinstance(arg, Access)
            if arg.tensor not in self.args:
                raise unknown(arg.tensor, self.args, arg.span, "value")
            operand = self.frame.values[arg.tensor]
            at = self.args[arg.tensor]
            if not isinstance(operand, Value) or not isinstance(at, Ref) or operand.type.kind != "real":
                message = f"{describe(operand)} `{arg.tensor}` has no derivative"
                raise Diagnostic("E-KIND", message, arg.span, "take real values that are not `const`")
            if len(arg.index) != len(operand.type.shape):
                message = f"`{arg.tensor}` has {len(operand.type.shape)} axes and is read at {len(arg.index)} indices"
                raise Diagnostic("E-RANK", message, arg.span)
            self.frame.used.add(arg.tensor)
            index = [integer(item, scope) for item in arg.index]
            sizes = self._sizes(frozenset().union(*(p.symbols for p in index)))
            ends.append((at.id, tuple(p.substitute(sizes) for p in index)))
            extents = dict(self.indices.values())
            self.exist += self._reads(arg.tensor, ends[-1][1], extents, {})
        name = f"grad#{len(self.gradients)}"
        self.gradients.append(Gradient(name, *ends[0], *ends[1]))
        return Read(name, ())

    def _sizes(self, symbols: frozenset[str]) -> dict[str, Poly]:
        """The dims among the symbols, as the graph knows them (their values, or a caller's sizes)."""
        found: dict[str, Poly] = {}
        for name in sorted(symbols & self.scope.integers):
            operand = self.reader.dim(name, self.frame)
            found[name] = operand if isinstance(operand, Poly) else Poly.of(int(str(operand)))
        return found

    def _existing(self, node: Term | Cond, extents: dict[str, Poly], inner: dict[str, Poly]) -> Iterator[Cond]:
        """What must hold of the free indices for every entry that is read to exist."""
        if isinstance(node, Reduce):
            inner = {**inner, node.var: node.extent}
        if isinstance(node, Read | BoolRead) and node.tensor in self.args:
            yield from self._reads(node.tensor, node.index, extents, inner)
        for poly in polys(node):
            for entry in poly.entries():
                yield from self._reads(entry.tensor, entry.index, extents, inner)
        for child in children(node):
            yield from self._existing(child, extents, inner)

    def _reads(
        self, tensor: str, index: tuple[Poly, ...], extents: dict[str, Poly], inner: dict[str, Poly]
    ) -> Iterator[Cond]:
        for poly, limit in zip(index, self.scope.tensors[tensor].extents, strict=True):
            if poly.symbols & inner.keys():
                if poly.as_symbol is None or inner[str(poly.as_symbol)] != limit:
                    message = f"`{tensor}` is read at an index that a sum runs over, out of step with its axis"
                    raise Diagnostic("E-BOUND", message, self.span, "let the sum run over exactly that axis")
            elif poly.as_symbol is None or extents.get(str(poly.as_symbol)) != limit:
                yield in_range(poly, limit)
