"""SHAPE and DOM of operators, restated and shown by what evidence gives. [trusted]

SHAPE: every read is in bounds, every quotient is by a positive or negative integer, extents are not negative, and some
sizes meet the requirements. DOM: what runs has a value wherever the meaning has one, and the rules wherever the meaning
and its derivative have one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from math import prod
from typing import Any

from .bounds import Bounds
from .calculus import derivative, nonzero
from .linear import Hints
from .normal import Normal
from .operators import Op
from .rules import normal
from .scopes import REAL, Need, Scope, in_range, needs, parts, reads, scope_of
from .terms import (
    SORTS,
    TRUE,
    ZERO,
    Node,
    Refused,
    add,
    const,
    ge,
    integer,
    make,
    mul,
    plus,
    rational,
    select,
    substitute,
    sym,
    value,
    walk,
)


def shape(op: Op, evidence: Mapping[str, Any], hints: Hints) -> None:
    """SHAPE of an operator; Refused, with what is not shown."""
    scope = scope_of(op)
    satisfied(op, evidence["sizes"], evidence["values"])
    tables = _tables(op)
    made = [*op.output.extents, *(e for let in op.lets for e in let.extents)]
    goals = [(scope, ge(e)) for e in made]
    rules = [f for rule in op.computed.values() for f in (*rule.lets, rule.result)]
    formulas = dict.fromkeys((op.forward, *op.lets, *rules, *(side for law in op.laws for side in law)))
    inside = [(f.body, scope.of(f)) for f in formulas] + [(cond, scope.inside(*ranges)) for ranges, cond in op.ensures]
    inside += [(e, scope) for e in dict.fromkeys([*made, *(e for p in op.params for e in p.extents)])]
    for body, place in inside:
        for here, node in reads(body, place):
            if node.tag in ("read", "bool", "entry"):
                goals += _bounds(node, here, tables)
        goals += [(need.scope, need.cond) for need in needs(body, place) if not need.var and _whole(need.cond)]
    for here, goal in dict.fromkeys(goals):
        if not hints.shown(here.facts, goal):
            raise Refused(f"it is not shown that {goal}")


def _whole(cond: Node) -> bool:
    return cond.tag in ("ge", "eq", "truth") or (cond.tag == "not" and cond.args[0].tag == "eq")


def _tables(op: Op) -> dict[tuple[str, str], tuple[Node, ...]]:
    """(how it is read, tensor) -> its extents."""
    words = {"real": "read", "bool": "bool", "int": "entry"}
    found = {(words[p.kind], p.name): p.extents for p in (*op.params, op.output)}
    found |= {("read", name): () for name in op.reals} | {("read", tensor): extents for tensor, extents in op.externs}
    found |= {("read", "d" + p.name): p.extents for p in (*op.params, op.output)} | {("read", "g"): op.output.extents}
    return found | {("bool" if SORTS[f.body.tag] == "c" else "read", f.target): f.extents for f in op.lets}


def _bounds(
    node: Node, scope: Scope, tables: Mapping[tuple[str, str], tuple[Node, ...]]
) -> Iterator[tuple[Scope, Node]]:
    extents = tables.get((node.tag, node.args[0]))
    if extents is None or len(extents) != len(node.args) - 1:
        raise Refused(f"{node.args[0]} is read as what it is not")
    for position, extent in zip(node.args[1:], extents, strict=True):
        names = [n for n in position.free if position is sym(n)]
        if not names or scope.ranges.get(names[0]) is not extent:
            yield scope, in_range(position, extent)


def satisfied(op: Op, sizes: Mapping[str, Any], values: Mapping[str, Any]) -> None:
    """Some sizes and reals (the same at all indices) meet all that is required: no claim is true of nothing."""
    at = {name: const(integer(sizes[name])) for name in op.fixed}
    given = {name: rational(text) for name, text in values.items()}
    every = [part for whole in (*op.requires, *op.domain) for part in parts(whole)]
    wanted, reals = [ge(sym(name)) for name in op.sizes], []
    for cond in every:
        tags = {n.tag for n in walk(cond)}
        if not tags.isdisjoint(REAL):
            reals.append(cond)
        elif tags.isdisjoint(("entry", "bool")) and cond.free <= op.fixed:
            wanted.append(cond)
    if any(substitute(cond, at) is not TRUE for cond in wanted):
        raise Refused("the sizes that are given do not meet the requirements")
    for cond in reals if len(reals) > 1 else ():
        if not _holds(substitute(cond, at), given):
            raise Refused("the point that is given is not in the domain")


def _holds(cond: Node, given: Mapping[str, Fraction]) -> bool:
    tag, args = cond.tag, cond.args
    if tag in REAL:
        a, b = (_number(x, given) for x in args)
        return a < b if tag == "lt" else a <= b if tag == "le" else a == b
    if tag in ("and", "or"):
        return (all if tag == "and" else any)(_holds(c, given) for c in args)
    return not _holds(args[0], given) if tag == "not" else cond is TRUE


def _number(term: Node, given: Mapping[str, Fraction]) -> Fraction:
    tag, args = term.tag, term.args
    if tag in ("num", "read"):
        return args[0] if tag == "num" else given[args[0]]
    if tag in ("add", "mul"):
        numbers = [_number(a, given) for a in args]
        return sum(numbers, Fraction(0)) if tag == "add" else prod(numbers, start=Fraction(1))
    if tag == "pow" and args[1] > 0:
        base = _number(args[0], given)
        if (base.numerator * base.denominator).bit_length() * args[1] < 5000:
            return base ** int(args[1])
    if tag == "reduce" and args[0] == "sum" and args[3] is TRUE and not any(n.tag == "reduce" for n in walk(args[4])):
        count = value(args[2])
        if count is not None and count <= 8:
            return sum((_number(substitute(args[4], {args[1]: const(k)}), given) for k in range(count)), Fraction(0))
    raise Refused("a domain that is not evaluated")


def slope(op: Op) -> Node:
    """The calculus's derivative of the meaning, with the values that the stanza declares at its kinks."""
    meaning = op.meaning()
    found = derivative(meaning, {p.name: "d" + p.name for p in op.moving})
    place = tuple(map(sym, op.forward.indices))
    for cond, declared, _, least in reversed(op.kinks):
        same = all(p.extents == op.forward.extents for p in op.moving)
        if least and cond.tag == "same":
            found = select(make("same", meaning, cond.args[1]), ZERO, found)
        elif declared and same and cond.free <= op.fixed.union(op.forward.indices):
            tangents = [mul(declared, make("read", "d" + p.name, *place)) for p in op.moving]
            found = select(cond, add(*tangents), found)
    return found


def dom(op: Op, evidence: Mapping[str, Any], hints: Hints) -> None:
    """DOM of an operator; Refused, with what is not shown to be defined."""
    scope = scope_of(op)
    bounds = Bounds(scope, hints)
    known = [*real_needs(op.meaning(), scope.of(op.forward))]
    _defined(op, "", known, bounds)
    if op.moving and not op.lawful:
        known += real_needs(slope(op), scope.of(op.forward))
    for key in op.computed:
        if key:
            _defined(op, key, known, bounds)


def real_needs(node: Node, scope: Scope) -> Iterator[Need]:
    """What a term needs of reals, and of the ranges of optima; SHAPE shows what it needs of integers."""
    return (n for n in needs(node, scope) if n.var or not _whole(n.cond))


def _defined(op: Op, key: str, known: Sequence[Need], bounds: Bounds) -> None:
    """What one computation needs follows from needs that are met already, or from intervals."""
    rule = op.computed[key]
    met = [need._replace(cond=cond) for need in known if not need.var for cond in _factors(need.cond)]
    for formula in (*rule.lets, rule.result):
        body, indices = formula.body, formula.indices
        if formula.extents == op.forward.extents:  # then facts about the same entry have the same names
            body = substitute(body, dict(zip(indices, map(sym, op.forward.indices), strict=True)))
            indices = op.forward.indices
        scope = scope_of(op).inside(*zip(indices, formula.extents, strict=True))
        for need in real_needs(body, scope):
            if need.var:
                if not bounds.inhabited(need.scope, need.var, need.extent, need.cond):
                    raise Refused(f"an optimum of nothing in {key or 'what runs'}")
                continue
            path, here = {op.unfolded(c) for c in need.scope.path}, need.scope
            work = normal(op, here.facts, here.ranges)
            for cond in _factors(op.unfolded(need.cond)):
                shown = any(given.cond is cond and _implied(path, here, given, bounds) for given in met)
                if not shown and not bounds.settles(cond, here):
                    alike = (given for given in met if given.cond is not cond and _alike(cond, given.cond, work))
                    if not any(_implied(path, here, given, bounds) for given in alike):
                        raise Refused(f"it is not shown that {cond} in {key or 'what runs'}")


def _different(cond: Node) -> Node | None:
    """t, of t != 0."""
    t = cond.args[0].args[0] if cond.tag == "or" and cond.args[0].tag == "lt" else ZERO
    return t if cond is nonzero(t) else None


def _factors(cond: Node) -> Iterator[Node]:
    """The condition; of a product that is not 0, that its factors are not."""
    t = _different(cond)
    if t is not None and (t.tag == "mul" or (t.tag == "pow" and t.args[1] > 0)):
        for factor in t.args if t.tag == "mul" else t.args[:1]:
            yield from _factors(nonzero(factor))
    elif t is None or t.tag != "num" or not t.args[0]:
        yield cond


def _alike(cond: Node, given: Node, work: Normal) -> bool:
    """Whether t != 0 or t > 0 follows from the same of a multiple of t, by the normal form."""
    t, s = _different(cond), _different(given)
    if t is None and s is None and cond.tag == given.tag == "lt" and cond.args[0] is given.args[0] is ZERO:
        t, s = cond.args[1], given.args[1]
    if t is None or s is None:
        return False
    form, other = work.canonical(work.form(t)), work.canonical(work.form(s))
    if not form or form.keys() != other.keys():
        return False
    ratios = {Fraction(form[m]) / other[m] for m in form}
    return len(ratios) == 1 and (cond.tag == "or" or min(ratios) > 0)


def _implied(path: set[Node], scope: Scope, given: Need, bounds: Bounds) -> bool:
    """Whether a need that is met is so at indices of these names, and arises where another one does."""
    if not set(given.scope.path) <= path:
        return False
    spoken = given.cond.free.union(*(c.free for c in given.scope.path))
    return all(
        scope.ranges.get(name) is extent
        if name in spoken
        else extent.free.isdisjoint(given.scope.ranges) and bounds.hints.shown(scope.facts, ge(plus(extent, const(-1))))
        for name, extent in given.scope.ranges.items()
    )
