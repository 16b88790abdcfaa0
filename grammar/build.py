"""What each rule of gproof.lark becomes: the tree's nodes, with their spans.

Every public function is called by the parser with a rule's children (tokens, nodes, lists of them), bottom up.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, TypeAlias

from gradproof.grammar import signs
from gradproof.grammar import syntax as tree
from gradproof.grammar.literals import DIGITS, number_value
from gradproof.grammar.signs import join
from gradproof.grammar.source import Diagnostic, Span
from gradproof.grammar.tokens import Token

Children: TypeAlias = list[Any]

KINDS = ("real", "int", "bool")


def _nodes(children: Children) -> Children:
    """The children that aren't tokens."""
    return [child for child in children if not isinstance(child, Token)]


# Lists


def start(children: Children) -> list[tree.Item]:
    """The items of the file."""
    items: list[tree.Item] = []
    for child in children:
        items.extend(child) if isinstance(child, list) else items.append(child)
    return items


def these(children: Children) -> Children:
    """The list of the children."""
    return children


def same(children: Children) -> Children:
    """A list as it is, after a `;`."""
    only: Children = children[0]
    return only


exprs = targets = names = scalars = scalar = params = inputs = results = attrs = these


def none(children: Children) -> Children:
    """The empty list."""
    return []


def append(children: Children) -> Children:
    """A list with one more."""
    done: Children = children[0]
    done.append(children[1])
    return done


def nothing(children: Children) -> None:
    """A `;`."""
    return None


# Expressions


def number(children: Children) -> tree.Number:
    """A literal; E-NUMBER where it is too long or too large to be kept exactly."""
    (token,) = children
    value = number_value(token.text)
    if value is None:
        text = token.text if len(token.text) <= 24 else f"{token.text[:12]}...{token.text[-6:]}"
        span = Span(token.source, token.line, token.column, token.line, token.column + min(24, len(token.text)))
        raise Diagnostic(
            "E-NUMBER",
            f"the number `{text}` has more than {DIGITS} digits, or an exponent beyond {DIGITS}",
            span,
            "numbers are kept exactly: write a power or a product of smaller ones",
        )
    return tree.Number(value, token.span)


def name(children: Children) -> tree.Name:
    """A name."""
    return tree.Name(children[0].text, children[0].span)


def text(children: Children) -> tree.Text:
    """`"ij,jk->ik"`."""
    return tree.Text(_unquoted(children[0]), children[0].span)


def pack(children: Children) -> tree.Pack:
    """`s..`."""
    return tree.Pack(children[0].text[:-2], children[0].span)


def group(children: Children) -> tree.Expr:
    """`(e)`: the expression itself, its span with the brackets."""
    inner: tree.Expr = children[1]
    return replace(inner, span=join(children[0], children[2]))


def sequence(children: Children) -> tree.Sequence:
    """`(a, b)`, `(a,)` or `()`."""
    return tree.Sequence(tuple(_nodes(children)), join(children[0], children[-1]))


def index(children: Children) -> tuple[tuple[tree.Expr, ...], Token]:
    """`[i, j]`: what is inside, and the closing bracket."""
    return tuple(_nodes(children)), children[-1]


def access(children: Children) -> tree.Access:
    """`x[i, j]`."""
    token, (inside, end) = children
    return tree.Access(token.text, inside, join(token, end))


def keyword(children: Children) -> tuple[Token, tree.Expr]:
    """`axis=1` in a call."""
    return children[0], children[2]


def call(children: Children) -> tree.Apply:
    """`f(a, b, axis=1)`."""
    args: list[tree.Expr] = []
    kwargs: list[tuple[str, tree.Expr]] = []
    for child in _nodes(children):
        if isinstance(child, tuple):
            if any(child[0].text == known for known, _ in kwargs):
                raise Diagnostic("E-DUPLICATE", f"`{child[0].text}` is given twice", child[0].span, "keep one of them")
            kwargs.append((child[0].text, child[1]))
        elif kwargs:
            advice = f"name it too, or put it first; a comparison is written `{kwargs[-1][0]} == ...`"
            raise Diagnostic("E-ARGUMENT-ORDER", f"a value after the named one `{kwargs[-1][0]}`", child.span, advice)
        else:
            args.append(child)
    return tree.Apply(children[0].text, tuple(args), tuple(kwargs), join(children[0], children[-1]))


def first(children: Children) -> Children:
    """The beginning of a run."""
    return children


def more(children: Children) -> Children:
    """A longer run."""
    run: Children = children[0]
    run.append(children[1])
    return run


def binder(children: Children) -> signs.Head:
    """A binder's head: `sum(i, j < n | guard)`."""
    guard = children[4] if len(children) > 4 else None
    return children[0], tuple(_bound(item) for item in children[2]), guard


def _bound(item: tree.Expr) -> tree.BoundIndex:
    match item:
        case tree.Name(name_, span):
            return tree.BoundIndex(name_, False, None, span)
        case tree.Pack(name_, span):
            return tree.BoundIndex(name_, True, None, span)
        case tree.Compare(("<",), (tree.Name(name_), extent), span):
            return tree.BoundIndex(name_, False, extent, span)
    raise Diagnostic(
        "E-BINDER",
        "only indices can stand here",
        item.span,
        "write `sum(j) x[j]`, `sum(j < n) ...` or `sum(j | guard) ...`; sums of whole tensors belong in a graph",
    )


def expression(children: Children) -> tree.Expr:
    """A run of signs and operands as a tree."""
    return signs.group(children[0])


# Declarations


def _unquoted(token: Token) -> str:
    return token.text[1:-1]


def use(children: Children) -> tree.Use:
    """`use "path"`."""
    return tree.Use(_unquoted(children[1]), join(children[0], children[1]))


def infix(children: Children) -> tree.Infix:
    """`infix "+" add`."""
    return tree.Infix(_unquoted(children[1]), children[2].text, join(children[0], children[2]))


def dims(children: Children) -> list[tree.DimDecl]:
    """`dim B >= 1, D = 64`; the first declaration's span begins at `dim`."""
    found: list[tree.DimDecl] = _nodes(children)
    found[0] = replace(found[0], span=join(children[0], found[0]))
    return found


def dim(children: Children) -> tree.DimDecl:
    """`B`, `B >= 1` or `D = 64`."""
    token = children[0]
    if len(children) == 1:
        return tree.DimDecl(token.text, None, None, token.span)
    span = join(token, children[2])
    if children[1].text == "=":
        return tree.DimDecl(token.text, None, children[2], span)
    if children[1].text != ">=":
        raise Diagnostic(
            "E-DIM", "a dim has a lower bound or a value", children[1].span, "write `dim B >= 1` or `dim D = 64`"
        )
    return tree.DimDecl(token.text, children[2], None, span)


def kind_of(children: Children) -> Token | None:
    """The kind of an attribute."""
    return children[0] if children else None


kind = const = kind_of


def _kind(token: Token | None, default: str, allowed: tuple[str, ...]) -> str:
    if token is None:
        return default
    if token.text not in allowed:
        raise Diagnostic("E-TYPE", f"`{token.text}` is no kind", token.span, f"the kinds are: {', '.join(allowed)}")
    return token.text


def attr(children: Children) -> tree.AttrDecl:
    """`stride`, `pad = 0`, `eps: real = 1e-5`."""
    default = children[3] if len(children) > 2 else None
    end = default or children[1] or children[0]
    return tree.AttrDecl(children[0].text, _kind(children[1], "int", KINDS[:2]), default, join(children[0], end))


def ranked(children: Children) -> tree.AxisDecl:
    """`A..(axis)`."""
    return tree.AxisDecl(None, children[0].text[:-2], children[2], join(children[0], children[3]))


def axis(children: Children) -> tree.AxisDecl:
    """An extent or a pack."""
    (item,) = children
    if isinstance(item, tree.AxisDecl):
        return item
    if isinstance(item, tree.Pack):
        return tree.AxisDecl(None, item.name, None, item.span)
    return tree.AxisDecl(item, None, None, item.span)


def axes(children: Children) -> tuple[tuple[tree.AxisDecl, ...], Token]:
    """`[S.., n]`: the axes, and the closing bracket."""
    return tuple(_nodes(children)), children[-1]


def param(children: Children) -> tree.ParamDecl:
    """`x: [S.., n]`, `const label: int [B]`, `p: int [S.., n] = rank(x)`."""
    const_, token, _, kind_, (axes_, end) = children[:5]
    default = children[6] if len(children) > 5 else None
    span = join(const_ or token, default or end)
    return tree.ParamDecl(token.text, _kind(kind_, "real", KINDS), const_ is not None, axes_, span, default)


def type(children: Children) -> tree.TypeDecl:
    """`f32[B, D]`."""
    token, (shape, end) = children
    return tree.TypeDecl(token.text, shape, join(token, end))


def input(children: Children) -> tree.InputDecl:
    """`x: f32[B, D]`, `u: f32[B] = uniform(seed=7)`."""
    const_, token, _, type_ = children[:4]
    source = children[5] if len(children) > 4 else None
    span = join(const_ or token, source or type_)
    return tree.InputDecl(token.text, type_, const_ is not None, source, span)


# Clauses


def equation(children: Children) -> tree.Equation:
    """`y[s.., i] = body` or `y = body`."""
    token, body = children[0], children[-1]
    if len(children) == 3:
        return tree.Equation(token.text, None, body, join(token, body))
    return tree.Equation(token.text, tuple(map(_left, children[1][0])), body, join(token, body))


def _left(item: tree.Expr) -> tree.Name | tree.Pack | tree.BoundIndex:
    match item:
        case tree.Name() | tree.Pack():
            return item
        case tree.Compare(("<",), (tree.Name(name_), extent), span):
            return tree.BoundIndex(name_, False, extent, span)
    raise Diagnostic(
        "E-INDEX", "the left side has index names only", item.span, "name the index, and use it on the right"
    )


def define(children: Children) -> tree.Define:
    """A definition."""
    return tree.Define(children[0], children[0].span)


def require(children: Children) -> tree.Require:
    """`require a, b`."""
    return tree.Require(tuple(children[1]), join(children[0], children[1][-1]))


def where(children: Children) -> tree.Where:
    """`where x > 0`."""
    return tree.Where(tuple(children[1]), join(children[0], children[1][-1]))


def promise(children: Children) -> tree.Promise:
    """`ensure 0 <= y[s..] < n`, in an operator."""
    return tree.Promise(tuple(children[1]), join(children[0], children[1][-1]))


def let(children: Children) -> tree.Let:
    """`let m[s..] = e`."""
    return tree.Let(children[1], join(children[0], children[1]))


def runs(children: Children) -> tree.Runs:
    """`runs y[s..] = e`."""
    return tree.Runs((), children[1], join(children[0], children[1]))


def runs_with(children: Children) -> list[Any]:
    """`runs with m[s..] = e`: its equations are still being gathered."""
    return [children[0], children[2]]


def extend(children: Children) -> Children:
    """One more equation for the `runs with` that stands last."""
    children[0][-1].append(children[1])
    done: Children = children[0]
    return done


def clauses(children: Children) -> tuple[tree.Clause, ...]:
    """All clauses, each `runs with` now whole."""
    return tuple(_runs_with(*clause) if isinstance(clause, list) else clause for clause in children[0])


def _runs_with(word: Token, *equations: tree.Equation) -> tree.Runs:
    if len(equations) == 1:
        raise Diagnostic(
            "E-RUNS",
            "`runs with` has no formula for the result",
            word.span,
            "write the intermediates, then `y[...] = ...`; with no intermediates write `runs y[...] = ...`",
        )
    return tree.Runs(equations[:-1], equations[-1], join(word, equations[-1]))


def rule(children: Children) -> tree.Rule:
    """`vjp x[i] = e` or `jvp y[i] = e`."""
    return tree.Rule(children[0].text, children[1], join(children[0], children[1]))


def extern(children: Children) -> tree.Extern:
    """`extern y = "linalg.inv"(a)` or `extern w: [S.., n] = "linalg.solve"(at, g)`."""
    axes_ = children[3][0] if len(children) > 5 else None
    kernel, given = children[-2:]
    end = given[-1] if given else kernel
    args = tuple(tree.Name(token.text, token.span) for token in given)
    return tree.Extern(children[1].text, axes_, _unquoted(kernel), args, join(children[0], end))


def law(children: Children) -> tree.Law:
    """`law a == b`."""
    return tree.Law(children[1], join(children[0], children[1]))


def adjoint(children: Children) -> tree.Adjoint:
    """`adjoint e`."""
    return tree.Adjoint(children[1], join(children[0], children[1]))


def at(children: Children) -> tree.At:
    """`at x = 0: 0`, `jump at x = 0: 0` or `jump at x = 0`."""
    jump = children[0].type == "JUMP"
    cond, *rest = children[2:] if jump else children[1:]
    if rest and rest[0].type == "EQUAL":
        cond = tree.Compare(("==",), (cond, rest[1]), join(cond, rest[1]))
        rest = rest[2:]
    value = rest[1] if rest else None
    return tree.At(cond, value, jump, join(children[0], value or cond))


def least(children: Children) -> tree.Least:
    """`least at y = 0` or `least at y == 0`."""
    cond = children[2]
    if len(children) > 3:
        cond = tree.Compare(("==",), (cond, children[4]), join(cond, children[4]))
    return tree.Least(cond, join(children[0], cond))


def instead(children: Children) -> tree.Instead:
    """`instead "log(x + 1)"`."""
    return tree.Instead(children[1].text[1:-1], join(children[0], children[1]))


# Statements


def assign(children: Children) -> tree.Assign:
    """`h = e` or `a, b = f(x)`."""
    names_ = tuple(tree.Name(token.text, token.span) for token in children[0])
    return tree.Assign(names_, None, children[2], join(names_[0], children[2]))


def typed(children: Children) -> tree.Assign:
    """`h: f32[B] = e`."""
    target = tree.Name(children[0].text, children[0].span)
    return tree.Assign((target,), children[2], children[4], join(target, children[4]))


def assume(children: Children) -> tree.Assume:
    """`assume cond`."""
    return tree.Assume(children[1], join(children[0], children[1]))


def ensure(children: Children) -> tree.Ensure:
    """`ensure cond`, or `ensure cond where indices`."""
    where = children[3] if len(children) > 2 else None
    return tree.Ensure(children[1], where, join(children[0], children[-1]))


def give(children: Children) -> tree.Return:
    """`return a, b`."""
    return tree.Return(tuple(children[1]), join(children[0], children[1][-1]))


# Items (their docs are put in by parse.py, which has the comments)


def fn_line(children: Children) -> tree.Fn:
    """`fn f(x) = e where x > 0`."""
    head, body = children[0], children[5]
    clauses: tuple[tree.Clause, ...] = (tree.Define(tree.Equation("y", None, body, body.span), body.span),)
    end: Any = body
    if len(children) > 6:
        end = children[7][-1]
        clauses += (tree.Where(tuple(children[7]), join(children[6], end)),)
    return _fn(children, clauses, join(head, end))


def fn(children: Children) -> tree.Fn:
    """`fn f(x) { clauses }`."""
    return _fn(children, children[5], join(children[0], children[6]))


def _fn(children: Children, clauses: tuple[tree.Clause, ...], span: Span) -> tree.Fn:
    params_ = tuple(token.text for _, token in children[3])
    consts = tuple(token.text for const_, token in children[3] if const_ is not None)
    return tree.Fn(children[1].text, tuple(children[2]), params_, clauses, "", span, consts)


def op(children: Children) -> tree.Op:
    """`op f[attrs](params) -> [axes] { clauses }`."""
    begin, name_, attrs_, params_, _, kind_, (axes_, _end), _, clauses_, end = children
    kind_ = _kind(kind_, "real", KINDS)
    return tree.Op(name_.text, tuple(attrs_), tuple(params_), kind_, axes_, clauses_, "", join(begin, end))


def graph(children: Children) -> tree.GraphDef:
    """`graph f(inputs) -> types { statements }`."""
    body = tuple(child for child in children[6:-1] if child is not None)
    return tree.GraphDef(
        children[1].text, tuple(children[2]), tuple(children[4]), body, "", join(children[0], children[-1])
    )
