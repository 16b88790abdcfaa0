"""The laws of a stanza: equations about what its externs compute, for all indices at which they read tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from gradproof.compiler.claims import Hypothesis
from gradproof.compiler.formulas import real
from gradproof.compiler.ops import OUTPUT, TANGENT, Axis, Law, OpDef
from gradproof.compiler.rewriting import tensors
from gradproof.compiler.scopes import Scope, bare_reads, check_depth, parts, written
from gradproof.compiler.terms import is_opaque
from gradproof.grammar.printer import print_expr
from gradproof.grammar.source import Diagnostic, Span
from gradproof.grammar.syntax import Access, Binder, Compare, Expr, Name, Pack


@dataclass(frozen=True, slots=True)
class WrittenLaw:
    """A law as it stands in the text, with the adjoint below it."""

    cond: Expr
    adjoint: Expr | None
    span: Span


def index_names(axes: Sequence[Axis], taken: set[str]) -> tuple[str, ...]:
    """An index for each axis, with a name that means nothing else: `s..` for a pack, `i`, `j`, ... for a dim."""
    names: list[str] = []
    for axis in axes:
        stems = [f"{axis.pack[:-2].lower()}{k}.." for k in ("", *range(9))] if axis.pack else [*"ijklmnopq"]
        stems += [f"{stem}_" for stem in stems]
        names.append(next(s for s in stems if s not in taken and s not in names))
    return tuple(names)


def law_of(law: WrittenLaw, scope: Scope) -> Law:
    """The meaning of a law; Diagnostic where it is no equation between reals, or an index has no extent."""
    check_depth(law.cond)
    match law.cond:
        case Compare(("==",), (left, right)):
            sides = [left, right]
        case _:
            advice = "write `law sum(k) a[i, k] * y[k, j] == ...`"
            raise Diagnostic("E-LAW", "a law is one equation", law.span, advice)
    names = _free(sides, scope)
    inner = scope.index(*((name, name) for name in names))
    extents = []
    for name, span in names.items():
        limit = next(bare_reads(name, sides, inner), None)
        if limit is None:
            raise Diagnostic("E-EXTENT", f"how far `{name}` runs can't be seen", span, "read a tensor at it alone")
        extents.append(limit)
    adjoint = None
    if law.adjoint is not None:
        check_depth(law.adjoint)
        strange = _free([law.adjoint], scope).keys() - names.keys()
        if strange:
            message = f"`{min(strange)}` is no index of the law above"
            raise Diagnostic("E-LAW", message, law.adjoint.span, "an adjoint has the indices of its law")
        adjoint = real(law.adjoint, inner)
    text = print_expr(law.cond)
    return Law(tuple(names), tuple(extents), real(left, inner), real(right, inner), law.span, text, adjoint)


@lru_cache(maxsize=1024)
def trusts(op: OpDef) -> tuple[Hypothesis, ...]:
    """What every proof about an operator with externs leans on, beyond the kernel and Z3."""
    found: dict[Hypothesis, None] = {}
    for extern in op.externs:
        name = f"extern {extern.kernel}"
        given = f"{name}({', '.join(extern.args)}) = {extern.tensor[1:]}"
        found[Hypothesis(f"{given} has a value", "checked on every run")] = None
        found[Hypothesis(f"{name} is continuous on an open set", "trusted")] = None
    for law in op.laws:
        found[Hypothesis(f"law {law.text}", "trusted, tested on samples")] = None
    return tuple(found)


def check_laws(op: OpDef) -> None:
    """Laws and kinks stand where they can, and what an extern's result needs is written; Diagnostic where not."""
    if not op.externs:
        if op.laws:
            advice = "a law is about what an `extern` computes; a formula needs none"
            raise Diagnostic("E-LAW", "a law without an extern", op.laws[0].span, advice)
        return
    span = op.externs[0].span
    if not op.lawful:
        advice = f"what follows from it by a formula is an operator of its own: `extern {OUTPUT} = ...` here"
        raise Diagnostic("E-EXTERN", "the result is no extern's", span, advice)
    if op.kinks or op.runs is not None:
        raise Diagnostic("E-EXTERN", "what an extern computes has no `at` and no `runs`", span, "leave them out")
    missing = [p.name for p in op.params if p.differentiable and p.name not in {f.target for f in op.vjps}]
    if missing:
        advice = "no formula says what the derivative is, so write the rule; the laws prove it"
        raise Diagnostic("E-EXTERN", f"`vjp {missing[0]}` is not written", span, advice)
    made = {OUTPUT, TANGENT + OUTPUT}
    for let in op.lets:
        read = tensors(let.body)
        if read & made or any(map(is_opaque, read)):
            made.add(let.target)
    for law in op.laws:
        if not (tensors(law.left) | tensors(law.right)) & made:
            advice = "a law says what an extern computes; what inputs must be is `require` or `where`"
            raise Diagnostic("E-LAW", "this law reads nothing that an extern computes", law.span, advice)


def _free(exprs: list[Expr], scope: Scope) -> dict[str, Span]:
    """The indices that tensors are read at and no binder binds, in the order of the text."""
    found: dict[str, Span] = {}
    stack: list[tuple[Expr, frozenset[str]]] = [(expr, frozenset()) for expr in reversed(exprs)]
    while stack:
        node, bound = stack.pop()
        if isinstance(node, Binder):
            bound = bound | frozenset(map(written, node.indices))
        if isinstance(node, Access):
            for item in node.index:
                known = isinstance(item, Name | Pack) and (written(item) in bound or written(item) in scope.integers)
                if isinstance(item, Name | Pack) and not known and written(item) not in scope.tensors:
                    found.setdefault(written(item), item.span)
        stack += [(part, bound) for part in reversed(parts(node))]
    return found
