"""Tree to canonical text: parse(print(x)) == x, and printing what was printed changes nothing.

Brackets stand only where the tree needs them; where lines break and where comments go is layout.py's business.
"""

from __future__ import annotations

import re
from fractions import Fraction

from gradproof.grammar import syntax as tree
from gradproof.grammar.layout import Line, Page, Part, arrange, render, whole
from gradproof.grammar.literals import number_text
from gradproof.grammar.tokens import CLAUSE_WORDS, ITEM_WORDS, STATEMENT_WORDS

_ANY, _OR, _AND, _NOT, _COMPARE, _SUM, _PRODUCT, _MINUS, _POWER, _ATOM = range(10)
_BINARY = {"+": _SUM, "-": _SUM, "*": _PRODUCT, "/": _PRODUCT, "//": _PRODUCT, "%": _PRODUCT, "@": _PRODUCT}
_WORD = re.compile(r"\w+")
SHORT = 100  # an item with braces stands on one line up to this width

_KEYWORDS = ITEM_WORDS | CLAUSE_WORDS | STATEMENT_WORDS


def print_file(file: tree.File) -> str:
    """The canonical text of a file, with its comments; ends in a newline unless the file is empty."""
    return render(file, _block)


def print_item(item: tree.Item) -> str:
    """The canonical text of one item, its doc above it, without a newline at the end."""
    return render(tree.File((item,)), _block).rstrip("\n")


# Expressions


def print_expr(expr: tree.Expr) -> str:
    """The canonical text of an expression."""
    return _expr(expr, _ANY)


def _expr(expr: tree.Expr, least: int, closed: bool = False) -> str:
    """The text, in brackets where the expression binds more loosely than `least`.

    A `closed` text must not end in a binder's body, which would swallow a `*` that follows.
    """
    inside = _level(expr) < least or (closed and isinstance(expr, tree.Binder))
    return f"({_bare(expr, False)})" if inside else _bare(expr, closed)


def _level(expr: tree.Expr) -> int:
    match expr:
        case tree.Logic("or"):
            return _OR
        case tree.Logic():
            return _AND
        case tree.Negation():
            return _NOT
        case tree.Compare():
            return _COMPARE
        case tree.Binary(op):
            return _BINARY.get(op, _POWER)
        case tree.Binder():
            return _PRODUCT
        case tree.Unary():
            return _MINUS
        case tree.Number(value) if number_text(value) is None:
            return _SUM
    return _ATOM


def _bare(expr: tree.Expr, closed: bool) -> str:
    match expr:
        case tree.Number(value):
            return number_text(value) or _fraction(value)
        case tree.Name(name):
            return name
        case tree.Pack(name):
            return f"{name}.."
        case tree.Unary(_, arg):
            return f"-{_last(arg, _MINUS, closed)}"
        case tree.Binary():
            return _binary(expr, closed)
        case tree.Compare(ops, operands):
            texts = [_expr(operand, _SUM) for operand in operands]
            return texts[0] + "".join(f" {op} {text}" for op, text in zip(ops, texts[1:], strict=True))
        case tree.Logic(op, args):
            return f" {op} ".join(_expr(arg, _AND if op == "or" else _NOT) for arg in args)
        case tree.Negation(arg):
            return f"not {_expr(arg, _NOT)}"
        case tree.Apply(fn, args, kwargs):
            return f"{fn}({', '.join([*map(print_expr, args), *(f'{k}={print_expr(v)}' for k, v in kwargs)])})"
        case tree.Access(tensor, index):
            return f"{tensor}[{_list(index)}]"
        case tree.Binder():
            return _binder(expr)
        case tree.Text(value):
            return f'"{value}"'
        case tree.Sequence((item,)):
            return f"({print_expr(item)},)"
        case tree.Sequence(items):
            return f"({_list(items)})"


def _list(items: tuple[tree.Expr, ...]) -> str:
    return ", ".join(map(print_expr, items))


def _fraction(value: Fraction) -> str:
    """A value that is no literal (built, not parsed): a quotient of literals, a minus in front."""
    sign = "-" if value < 0 else ""
    top, bottom = number_text(Fraction(abs(value.numerator))), number_text(Fraction(value.denominator))
    return f"{sign}{top}" if value.denominator == 1 else f"{sign}{top}/{bottom}"


def _last(expr: tree.Expr, least: int, closed: bool) -> str:
    """An operand at the end: there, a binder needs no brackets."""
    return _expr(expr, _ANY if isinstance(expr, tree.Binder) else least, closed)


def _binary(expr: tree.Binary, closed: bool) -> str:
    op, left, right = expr.op, expr.left, expr.right
    if op == "^":
        return f"{_expr(left, _ATOM)}^{_expr(right, _MINUS, True)}"
    if _BINARY[op] == _SUM:
        return f"{_expr(left, _SUM)} {op} {_last(right, _PRODUCT, closed)}"
    mixed = isinstance(left, tree.Binary) and _BINARY.get(left.op) == _PRODUCT and "@" in (op, left.op) != (op, op)
    first = f"({_bare(left, False)})" if mixed else _expr(left, _PRODUCT, True)
    sign = op if _small(expr) else f" {op} "
    return f"{first}{sign}{_last(right, _MINUS, closed)}"


def _small(expr: tree.Expr) -> bool:
    """Whether it is a number times names and numbers, which is written without spaces: `2*n`, `1/2`."""
    match expr:
        case tree.Number():
            return True
        case tree.Binary("*" | "/", left, tree.Name() | tree.Number()):
            return _small(left)
    return False


def _bound(bound: tree.BoundIndex) -> str:
    extent = "" if bound.extent is None else f" < {_expr(bound.extent, _SUM)}"
    return f"{bound.name}{'..' if bound.pack else ''}{extent}"


def _binder(binder: tree.Binder) -> str:
    heads = list(map(_bound, binder.indices))
    guard = "" if binder.guard is None else f" | {print_expr(binder.guard)}"
    body = _expr(binder.body, _PRODUCT)
    plain = binder.guard is None and not any(bound.pack for bound in binder.indices)
    call = binder.kind in ("max", "min") and len(heads) == 2 and plain  # `max(a, b) - c` takes off c from a maximum
    word = _WORD.match(body)
    if (call and body[0] == "-") or (word and word.group() in _KEYWORDS):
        body = f"({body})"
    return f"{binder.kind}({', '.join(heads)}{guard}) {body}"


# Declarations


def _axes(axes: tuple[tree.AxisDecl, ...]) -> str:
    return f"[{', '.join(map(_axis, axes))}]"


def _axis(axis: tree.AxisDecl) -> str:
    if axis.extent is not None:
        return print_expr(axis.extent)
    rank = "" if axis.rank is None else f"({print_expr(axis.rank)})"
    return f"{axis.pack}..{rank}"


def _attrs(attrs: tuple[tree.AttrDecl, ...]) -> str:
    texts = []
    for attr in attrs:
        kind = ": real" if attr.kind == "real" else ""
        texts.append(f"{attr.name}{kind}" + ("" if attr.default is None else f" = {print_expr(attr.default)}"))
    return f"[{', '.join(texts)}]" if texts else ""


def _kind(kind: str) -> str:
    return "" if kind == "real" else f"{kind} "


def _param(param: tree.ParamDecl) -> str:
    default = "" if param.default is None else f" = {print_expr(param.default)}"
    return f"{'const ' if param.const else ''}{param.name}: {_kind(param.kind)}{_axes(param.axes)}{default}"


def _type(type_: tree.TypeDecl) -> str:
    return f"{type_.dtype}[{_list(type_.shape)}]"


def _input(input_: tree.InputDecl) -> str:
    source = "" if input_.source is None else f" = {print_expr(input_.source)}"
    return f"{'const ' if input_.const else ''}{input_.name}: {_type(input_.type)}{source}"


def _dim(dim: tree.DimDecl) -> str:
    if dim.value is not None:
        return f"{dim.name} = {print_expr(dim.value)}"
    return dim.name if dim.lower is None else f"{dim.name} >= {_expr(dim.lower, _SUM)}"


# Clauses and statements


def _head(equation: tree.Equation) -> str:
    if equation.indices is None:
        return equation.target
    left = [_bound(i) if isinstance(i, tree.BoundIndex) else print_expr(i) for i in equation.indices]
    return f"{equation.target}[{', '.join(left)}]"


def _set(left: str, value: tree.Expr) -> str:
    return f"{left} = {print_expr(value)}"


def _at(at: tree.At) -> str:
    value = "" if at.value is None else f": {print_expr(at.value)}"
    return f"{'jump ' if at.jump else ''}at {_point(at.cond)}{value}"


def _point(cond: tree.Expr) -> str:
    match cond:
        case tree.Compare(("==",), (left, right)):
            return f"{_expr(left, _SUM, True)} = {_expr(right, _SUM)}"
    return print_expr(cond)


def _clause(clause: tree.Clause) -> list[Part]:
    """The lines of a clause, with what each one stands for."""
    match clause:
        case tree.Require(conds):
            text = f"require {_list(conds)}"
        case tree.Where(conds):
            text = f"where {_list(conds)}"
        case tree.Promise(conds):
            text = f"ensure {_list(conds)}"
        case tree.Define(equation):
            text = _set(_head(equation), equation.body)
        case tree.Let(equation):
            text = _set(f"let {_head(equation)}", equation.body)
        case tree.Rule(kind, equation):
            text = _set(f"{kind} {_head(equation)}", equation.body)
        case tree.Runs((), equation):
            text = _set(f"runs {_head(equation)}", equation.body)
        case tree.Runs((first, *lets), equation):
            rest = [(_set(f"     {_head(each)}", each.body), each.span) for each in (*lets, equation)]
            return [(_set(f"runs with {_head(first)}", first.body), first.span), *rest]
        case tree.At():
            text = _at(clause)
        case tree.Least(cond):
            text = f"least at {_point(cond)}"
        case tree.Instead(said):
            text = f'instead "{said}"'
        case tree.Extern(target, axes, kernel, args):
            shape = "" if axes is None else f": [{', '.join(map(_axis, axes))}]"
            text = f'extern {target}{shape} = "{kernel}"({_list(args)})'
        case tree.Law(cond):
            text = f"law {print_expr(cond)}"
        case tree.Adjoint(value):
            text = f"adjoint {print_expr(value)}"
    return [(text, clause.span)]


def _statement(statement: tree.Statement) -> Part:
    match statement:
        case tree.Assign(targets, type_, value):
            declared = "" if type_ is None else f": {_type(type_)}"
            text = _set(", ".join(target.name for target in targets) + declared, value)
        case tree.Assume(cond):
            text = f"assume {print_expr(cond)}"
        case tree.Ensure(cond, where):
            text = f"ensure {print_expr(cond)}" + ("" if where is None else f" where {print_expr(where)}")
        case tree.Return(values):
            text = f"return {_list(values)}"
    return text, statement.span


# Items


def _block(item: tree.Item, page: Page) -> list[Line]:
    """The lines of an item; one that has comments inside is never put on one line."""
    match item:
        case tree.Use(path):
            return [whole(f'use "{path}"', item.span)]
        case tree.Infix(sign, op):
            return [whole(f'infix "{sign}" {op}', item.span)]
        case tree.DimDecl():
            return [whole(f"dim {_dim(item)}", item.span)]
        case tree.Fn():
            return _fn(item, page)
        case tree.Op():
            return _op(item, page)
        case tree.GraphDef():
            inputs = [(_input(input_), input_.span) for input_ in item.inputs]
            tail = f") -> {', '.join(map(_type, item.results))} {{"
            return arrange(item, (f"graph {item.name}(", inputs, tail), [*map(_statement, item.body)], page)


def _one_line(item: tree.Item, text: str, page: Page) -> bool:
    span = item.span
    inside = page.commented((span.line, span.column), (span.end_line, span.end_column))
    return len(text) <= SHORT and not inside


def _fn(fn: tree.Fn, page: Page) -> list[Line]:
    inputs = ", ".join(f"const {name}" if name in fn.consts else name for name in fn.params)
    head = f"fn {fn.name}{_attrs(fn.attrs)}({inputs})"
    match fn.clauses:
        case (tree.Define(tree.Equation("y", None, body)),):
            text = f"{head} = {print_expr(body)}"
        case (tree.Define(tree.Equation("y", None, body)), tree.Where(conds)):
            text = f"{head} = {print_expr(body)} where {_list(conds)}"
        case _:
            text = ""
    if text and _one_line(fn, text, page):
        return [whole(text, fn.span)]
    return arrange(fn, (f"{head} {{", [], ""), [line for clause in fn.clauses for line in _clause(clause)], page)


def _op(op: tree.Op, page: Page) -> list[Line]:
    head, tail = f"op {op.name}{_attrs(op.attrs)}(", f") -> {_kind(op.result_kind)}{_axes(op.result)} {{"
    params = [(_param(param), param.span) for param in op.params]
    body = [line for clause in op.clauses for line in _clause(clause)]
    if len(body) == 1:
        text = f"{head}{', '.join(text for text, _ in params)}{tail} {body[0][0]} }}"
        if _one_line(op, text, page):
            return [whole(text, op.span)]
    return arrange(op, (head, params, tail), body, page)
