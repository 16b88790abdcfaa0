"""Two terms are equal at all sizes and indices, and the first has a value wherever the second has one. [trusted]"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import prod

from . import terms as t
from .meanings import lacking, product_of
from .monomials import plus, scaled
from .normal import Normal
from .terms import FALSE, ONE, TRUE, ZERO, Node, Refused

CASES = 4  # distinctions inside each other


def canonical(node: Node, depth: int = 0, done: dict[tuple[Node, int], Node] | None = None) -> Node:
    """The node with bound indices named by their depth and the parts of sums, products, `and` and `or` in order."""
    done = {} if done is None else done
    if (node, depth) in done:
        return done[node, depth]
    if node.tag == "reduce":
        kind, var, extent, guard, body = node.args
        if any(n.tag == "mul" and ZERO in n.args for n in t.walk(body)):
            raise Refused("a sum of nothing times what may have no value")
        away = {var: t.sym(f"@{depth}")}
        parts = (canonical(t.substitute(n, away), depth + 1, done) for n in (guard, body))
        found = t.reduce(kind, f"@{depth}", canonical(extent, depth, done), *parts)
    else:
        if node.tag == "mul":
            found = product_of(*(canonical(n, depth, done) for n in node.args))
        else:
            found = t.rebuild(node, lambda inner: canonical(inner, depth, done))
        if found.tag in ("add", "mul"):
            numbers = [n.args[0] for n in found.args if n.tag == "num"]
            rest = sorted((n for n in found.args if n.tag != "num"), key=lambda n: n.key)
            whole = sum(numbers) if found.tag == "add" else prod(numbers)
            found = (t.add if found.tag == "add" else product_of)(t.num(whole), *rest)
        elif found.tag in ("and", "or"):
            found = t.make(found.tag, *sorted(found.args, key=lambda n: n.key))
    done[node, depth] = found
    return found


def turned(node: Node) -> Node:
    """The node with sums of sums in the other order, so that other indices are put in terms of the others."""
    bound: list[tuple[str, Node]] = []
    guard = TRUE
    while node.tag == "reduce" and node.args[0] == "sum" and node.args[2].free.isdisjoint(v for v, _ in bound):
        _, var, extent, own, inner = node.args
        bound.append((var, extent))
        guard, node = t.both(guard, own), inner
    node = t.rebuild(node, turned)
    for var, extent in bound:
        node, guard = t.reduce("sum", var, extent, guard, node), TRUE
    return node


def supposed(node: Node, yes: Node, no: Node) -> Node:
    """The node where a condition holds and its negation does not."""
    if node.tag == "poly":
        return node
    if node.tag == "mul":
        return product_of(*(supposed(inner, yes, no) for inner in node.args))
    return TRUE if node is yes else FALSE if node is no else t.rebuild(node, lambda inner: supposed(inner, yes, no))


Bound = tuple[tuple[str, Node], ...]
Path = frozenset[Node]


def needs(node: Node, normal: Normal, path: Path = frozenset(), bound: Bound = ()) -> Iterator[tuple[Node, Path]]:
    """What must be defined, and under which conditions: a binder asks nothing of its inside where it is empty."""
    tag, args = node.tag, node.args
    if lacking(node):
        free = node.free.union(*(c.free for c in path))
        need = t.make("pow", args[0], -1) if tag == "pow" else node  # what must not be 0, whatever the exponent
        need = canonical(need, 1 + max((int(n[1:]) for n in need.free if n[0] == "@"), default=-1))
        yield need, path | {t.ge(t.minus(extent, t.plus(t.sym(v), t.const(1)))) for v, extent in bound if v in free}
    if tag == "select":
        yield from needs(args[0], normal, path, bound)
        yield from needs(args[1], normal, path | {args[0]}, bound)
        yield from needs(args[2], normal, path | {t.negate(args[0])}, bound)
    elif tag == "reduce":
        _, var, extent, guard, body = args
        less, inner = t.plus(extent, t.const(-1)), (*bound, (var, extent))
        filled = path if normal.surely(less) else path | {t.ge(less)}
        yield from needs(extent, normal, path, bound)
        yield from needs(guard, normal, filled, inner)
        yield from needs(body, normal, filled if guard is TRUE else filled | {guard}, inner)
    else:
        for part in [a for _, atoms in args for a in atoms] if tag == "poly" else args:
            if isinstance(part, Node):
                yield from needs(part, normal, path, bound)


def agree(got: Node, wanted: Node, lower: Mapping[str, int], ranges: Mapping[str, Node], turn: bool) -> bool:
    """Whether two entries are shown equal, integers and conditions as numbers; `turn` brings in the second's sums."""
    if got.tag == "poly" or wanted.tag == "poly":
        got, wanted = (t.size(n) if n.tag == "poly" else n for n in (got, wanted))
    if t.SORTS[got.tag] == "c" and t.SORTS[wanted.tag] == "c":
        got, wanted = (t.select(n, ONE, ZERO) for n in (got, wanted))
    if t.SORTS[got.tag] != "t" or t.SORTS[wanted.tag] != "t":
        return False
    wanted = canonical(wanted)
    return equal(canonical(got), canonical(turned(wanted)) if turn else wanted, lower, ranges, ())


def equal(
    got: Node, wanted: Node, lower: Mapping[str, int], ranges: Mapping[str, Node], known: tuple[Node, ...]
) -> bool:
    """Whether two canonical terms are shown equal, and the first defined where the second is, perhaps by cases."""
    if got is wanted:
        return True
    normal = Normal(lower, ranges, known)
    apart = normal.canonical(plus(normal.form(wanted), scaled(normal.form(got), -1)))
    if not apart:
        given = list(needs(wanted, normal))
        return all(any(n is m and q <= p for m, q in given) for n, p in needs(got, normal))
    conds = {c for _, where, _ in apart for c in where if c.tag == "ge" and not any("%" in n for n in c.free)}
    if not conds or len(known) == CASES:
        return False
    yes = min(conds, key=lambda c: c.key)
    no = t.negate(yes)
    return all(
        equal(canonical(supposed(got, a, b)), canonical(supposed(wanted, a, b)), lower, ranges, (*known, a.args[0]))
        for a, b in ((yes, no), (no, yes))
    )
