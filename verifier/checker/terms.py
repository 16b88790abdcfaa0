"""The checker's terms: integer polynomials, terms and conditions, read from a table and rewritten. [trusted]

A node is `Node(tag, args)`; equal nodes are one object, so equality is identity. What the tags mean, and what stands
in `args`, is in SHAPES: n a name, p an integer polynomial, t a term, c a condition, i an integer, q a rational,
k a kind of reduction; a star repeats the letter before it. A polynomial's args are (coefficient, atoms) pairs.
Everything that comes from outside goes through `decode`, which refuses (`Refused`) what is malformed, too deep or
too large; so what follows may recurse.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from functools import lru_cache
from typing import Any

LARGEST, DEEPEST, LONGEST_NAME, MOST_DIGITS = 100_000, 200, 120, 400
KINDS = ("sum", "prod", "max", "min")
ATOMS = {"sym": "n", "div": "pp", "mod": "pp", "imin": "pp", "imax": "pp", "entry": "np*"}
TERMS = {"num": "q", "size": "p", "read": "np*", "add": "t*", "mul": "t*", "pow": "ti", "call": "nt*", "select": "ctt"}
CONDS = {"truth": "i", "ge": "p", "eq": "p", "lt": "tt", "le": "tt", "same": "tt", "bool": "np*", "and": "c*"}
SHAPES = {**ATOMS, **TERMS, "reduce": "knpct", **CONDS, "or": "c*", "not": "c"}
SORTS = {**dict.fromkeys(ATOMS, "a"), **dict.fromkeys(SHAPES.keys() - ATOMS, "t"), "poly": "p"}
SORTS |= dict.fromkeys((*CONDS, "or", "not"), "c")


class Refused(Exception):
    """What the certificate says is not accepted, and why: one short line, whatever names the certificate uses."""

    def __str__(self) -> str:
        return printable(super().__str__())[:500]


def printable(text: str) -> str:
    """The text without what a terminal would obey."""
    return "".join(c if c.isprintable() else "\ufffd" for c in text)


LONGEST = 1 << 14  # bits of a number
STEPS, STEPS_A_BYTE = 100_000, 4  # what a check may take: ten times what an honest certificate needs
_left = [float("inf")]


def allow(steps: float) -> None:
    """From now on no more than so many steps of work: nodes made, pieces of their texts, products of monomials."""
    _left[0] = steps


def spend(steps: int) -> None:
    """Refused where more work was done than is allowed. Steps are counted, not seconds: the same on every machine."""
    _left[0] -= steps
    if _left[0] < 0:
        raise Refused("it takes more steps to check than any honest certificate of its size")


def small(*numbers: Fraction | int) -> None:
    """Refused where a number is too long to reckon with."""
    if any(max(n.numerator.bit_length(), n.denominator.bit_length()) > LONGEST for n in numbers):
        raise Refused("a number is too long")


class Node:
    """A node; made by `make` only. `free` are the sizes, attributes and indices that occur free in it."""

    __slots__ = ("_key", "args", "depth", "free", "tag", "weight")

    def __init__(self, tag: str, args: tuple[Any, ...]) -> None:
        inside: list[Node] = (
            [a for _, atoms in args for a in atoms] if tag == "poly" else [a for a in args if type(a) is Node]
        )
        self.tag, self.args, self._key = tag, args, ""
        self.weight: int = 1 + sum(a.weight for a in inside)
        self.depth: int = 1 + max((a.depth for a in inside), default=0)
        if self.weight > LARGEST or self.depth > DEEPEST:
            raise Refused("a term is too large or too deep")
        spend(1)
        if tag in ("poly", "num"):
            small(*(c for c, _ in args) if tag == "poly" else args)
        self.free: frozenset[str] = frozenset(args) if tag == "sym" else _NONE.union(*(a.free for a in inside))
        if tag == "reduce":
            self.free = args[2].free | ((args[3].free | args[4].free) - {args[1]})

    @property
    def key(self) -> str:
        """A text that no other node has: for an order that is the same in every process."""
        if not self._key:
            self._key = f"({self.tag} {' '.join(map(_text, self.args))})"
            spend(len(self._key) >> 5)
        return self._key

    def __repr__(self) -> str:
        return self.key


def _text(part: Any) -> str:
    if isinstance(part, tuple):
        return f"[{' '.join(map(_text, part))}]"
    return part.key if isinstance(part, Node) else repr(part) if isinstance(part, str) else str(part)


_POOL: dict[tuple[Any, ...], Node] = {}
_NONE: frozenset[str] = frozenset()


def make(tag: str, *args: Any) -> Node:
    """The node with this tag and these parts, as they are."""
    found = _POOL.get((tag, *args))
    if found is None:
        found = _POOL[(tag, *args)] = Node(tag, args)
    return found


# Integer polynomials


def poly(terms: Mapping[tuple[Node, ...], int]) -> Node:
    """The polynomial with these coefficients by monomial, a monomial being its atoms in the order of their keys."""
    kept = [(c, m) for m, c in terms.items() if c]
    return make("poly", *(sorted(kept, key=_monomial_key) if len(kept) > 1 else kept))


def _monomial_key(term: tuple[int, tuple[Node, ...]]) -> tuple[int, str]:
    return -len(term[1]), " ".join([a.key for a in term[1]])


def const(value: int) -> Node:
    """The constant."""
    return make("poly", (value, ())) if value else make("poly")


def atom(one: Node) -> Node:
    """The polynomial that is one atom."""
    return make("poly", (1, (one,)))


def sym(name: str) -> Node:
    """The polynomial that is one name."""
    return atom(make("sym", name))


def value(p: Node) -> int | None:
    """The integer that a polynomial is; None where it is none."""
    if not p.args:
        return 0
    return p.args[0][0] if len(p.args) == 1 and not p.args[0][1] else None


@lru_cache(1 << 16)
def plus(p: Node, q: Node, times: int = 1) -> Node:
    """p + times * q."""
    out = {m: c for c, m in p.args}
    for c, m in q.args:
        out[m] = out.get(m, 0) + times * c
    return poly(out)


@lru_cache(1 << 16)
def minus(p: Node, q: Node) -> Node:
    """p - q."""
    return plus(p, q, -1)


@lru_cache(1 << 16)
def times(p: Node, q: Node) -> Node:
    """p * q."""
    out: dict[tuple[Node, ...], int] = {}
    for c, m in p.args:
        for d, k in q.args:
            both = tuple(sorted((*m, *k), key=lambda a: a.key)) if m and k else m or k
            out[both] = out.get(both, 0) + c * d
    if len(out) > LARGEST:
        raise Refused("an integer polynomial with too many terms")
    return poly(out)


def _divided(tag: str, a: Node, b: Node) -> Node:
    x, y = value(a), value(b)
    if y is not None and y > 0 and (x is not None or all(c % y == 0 for c, _ in a.args)):
        if tag == "mod":
            return const(0 if x is None else x % y)
        return poly({m: c // y for c, m in a.args})
    return atom(make(tag, a, b))


def _chosen(tag: str, a: Node, b: Node) -> Node:
    apart = value(minus(a, b))
    return atom(make(tag, a, b)) if apart is None else a if (apart <= 0) == (tag == "imin") else b


def product(extents: Iterable[Node]) -> Node:
    """The number of entries of a shape."""
    out = const(1)
    for extent in extents:
        out = times(out, extent)
    return out


# Terms and conditions, small ones kept small


def num(number: Fraction | int) -> Node:
    """The constant."""
    return make("num", Fraction(number))


ZERO, ONE = num(0), num(1)
TRUE, FALSE = make("truth", 1), make("truth", 0)


def size(p: Node) -> Node:
    """An integer polynomial as a real."""
    found = value(p)
    return make("size", p) if found is None else num(found)


def _flat(tag: str, args: Iterable[Node]) -> Iterator[Node]:
    for a in args:
        if a.tag == tag:
            yield from a.args
        else:
            yield a


def add(*args: Node) -> Node:
    """The sum."""
    parts = [a for a in _flat("add", args) if a is not ZERO]
    return ZERO if not parts else parts[0] if len(parts) == 1 else make("add", *parts)


def mul(*args: Node) -> Node:
    """The product; 0 where a factor is 0 (where it is defined is DOM's)."""
    parts = [a for a in _flat("mul", args) if a is not ONE]
    if ZERO in parts:
        return ZERO
    return ONE if not parts else parts[0] if len(parts) == 1 else make("mul", *parts)


def neg(a: Node) -> Node:
    """-a."""
    return mul(num(-1), a)


def power(base: Node, exponent: int) -> Node:
    """base^exponent."""
    return base if exponent == 1 else ONE if exponent == 0 else make("pow", base, exponent)


def select(cond: Node, then: Node, other: Node) -> Node:
    """`then` where cond holds, else `other`."""
    if cond.tag == "truth":
        return then if cond.args[0] else other
    return then if then is other else make("select", cond, then, other)


def reduce(kind: str, var: str, extent: Node, guard: Node, body: Node) -> Node:
    """`kind` of body over 0 <= var < extent where guard."""
    return ZERO if kind == "sum" and body is ZERO else make("reduce", kind, var, extent, guard, body)


def _joined(tag: str, unit: Node, args: Iterable[Node]) -> Node:
    parts = list(dict.fromkeys(a for a in _flat(tag, args) if a is not unit))
    if any(a.tag == "truth" for a in parts):
        return FALSE if unit is TRUE else TRUE
    return unit if not parts else parts[0] if len(parts) == 1 else make(tag, *parts)


def both(*args: Node) -> Node:
    """The conjunction."""
    return _joined("and", TRUE, args)


def either(*args: Node) -> Node:
    """The disjunction."""
    return _joined("or", FALSE, args)


def ge(p: Node) -> Node:
    """p >= 0."""
    found = value(p)
    return make("ge", p) if found is None else TRUE if found >= 0 else FALSE


def eq(p: Node) -> Node:
    """p == 0, with a positive first coefficient."""
    found = value(p)
    if found is not None:
        return FALSE if found else TRUE
    return make("eq", p if p.args[0][0] > 0 else plus(const(0), p, -1))


def negate(cond: Node) -> Node:
    """The negation, pushed inwards where no `not` is needed then."""
    tag, args = cond.tag, cond.args
    if tag == "ge":
        return ge(plus(const(-1), args[0], -1))
    if tag in ("lt", "le"):
        return make("le" if tag == "lt" else "lt", args[1], args[0])
    if tag in ("and", "or"):
        return (either if tag == "and" else both)(*map(negate, args))
    return FALSE if cond is TRUE else TRUE if cond is FALSE else args[0] if tag == "not" else make("not", cond)


def built(tag: str, a: Node, b: Node) -> Node:
    """A quotient, remainder, minimum or maximum."""
    return (_divided if tag in ("div", "mod") else _chosen)(tag, a, b)


BUILD: dict[str, Callable[..., Node]] = {"size": size, "add": add, "mul": mul, "pow": power, "select": select}
BUILD |= {"reduce": reduce, "ge": ge, "eq": eq, "and": both, "or": either, "not": negate}


# Rewriting


def rebuild(node: Node, change: Callable[[Node], Node]) -> Node:
    """The node with each node directly inside changed: atoms to polynomials, others to their own sort."""
    if node.tag == "poly":
        out = const(0)
        for c, atoms in node.args:
            product = const(c)
            for a in atoms:
                product = times(product, change(a))
            out = plus(out, product)
        return out
    args = [change(a) if isinstance(a, Node) else a for a in node.args]
    if node.tag not in ATOMS and all(a is b for a, b in zip(args, node.args, strict=True)):
        return node
    if node.tag in ("div", "mod", "imin", "imax"):
        return built(node.tag, *args)
    if node.tag in ("sym", "entry"):
        return atom(make(node.tag, *args))
    build = BUILD.get(node.tag)
    return build(*args) if build else make(node.tag, *args)


def unused(name: str, taken: Iterable[str]) -> str:
    """A name that is not taken."""
    while name in taken:
        name += "'"
    return name


def substitute(node: Node, mapping: Mapping[str, Node]) -> Node:
    """Free names replaced by integer polynomials at once; bound ones give way."""
    if node.free.isdisjoint(mapping):
        return atom(node) if node.tag in ATOMS else node
    if node.tag == "sym":
        return mapping[node.args[0]]
    if node.tag == "reduce":
        kind, var, extent, guard, body = node.args
        used = {n: p for n, p in mapping.items() if n != var and n in node.free}
        apart = unused(var, _NONE.union(*(p.free for p in used.values())))
        if apart != var:
            apart = unused(apart, guard.free | body.free | _NONE.union(*(p.free for p in used.values())))
            used[var] = sym(apart)
        return reduce(kind, apart, substitute(extent, mapping), substitute(guard, used), substitute(body, used))
    return rebuild(node, lambda inner: substitute(inner, mapping))


def inline(node: Node, defined: Mapping[str, tuple[tuple[str, ...], Node]]) -> Node:
    """Reads of defined tensors (name: indices, body) replaced by their definitions; a definition is not looked into."""
    outer = _NONE.union(*(body.free - set(indices) for indices, body in defined.values()))
    done: dict[Node, Node] = {}

    def one(n: Node) -> Node:
        if n not in done:
            done[n] = changed(n)
        return done[n]

    def changed(n: Node) -> Node:
        if n.tag in ("read", "bool") and n.args[0] in defined:
            indices, body = defined[n.args[0]]
            if len(indices) != len(n.args) - 1 or SORTS[body.tag] != SORTS[n.tag]:
                raise Refused(f"{n.args[0]} is read as what it is not")
            return substitute(body, dict(zip(indices, map(one, n.args[1:]), strict=True)))
        if n.tag == "reduce" and n.args[1] in outer:
            kind, var, extent, guard, body = n.args
            apart = unused(var, outer | guard.free | body.free)
            away = {var: sym(apart)}
            return reduce(kind, apart, one(extent), one(substitute(guard, away)), one(substitute(body, away)))
        return rebuild(n, one)

    return one(node)


def walk(node: Node) -> Iterator[Node]:
    """Every different node inside, this one too."""
    seen, stack = {node}, [node]
    while stack:
        n = stack.pop()
        yield n
        inside = [a for _, atoms in n.args for a in atoms] if n.tag == "poly" else n.args
        fresh = [a for a in inside if isinstance(a, Node) and a not in seen]
        seen.update(fresh)
        stack.extend(fresh)


# Reading

_RATIONAL = re.compile(r"(0|-?[1-9][0-9]*)(/[1-9][0-9]*)?", re.ASCII)


def rational(text: Any) -> Fraction:
    """A rational that is written "p" or "p/q" in lowest terms."""
    if type(text) is not str or len(text) > MOST_DIGITS or not _RATIONAL.fullmatch(text):
        raise Refused("a rational is not written as one")
    found = Fraction(text)
    if str(found) != text:
        raise Refused("a rational is not in lowest terms")
    return found


def name(text: Any) -> str:
    """A name: a short text; those with `~` are the checker's own."""
    if type(text) is not str or not 0 < len(text) <= LONGEST_NAME or not text.isprintable() or "~" in text:
        raise Refused("a name is not a short text")
    return text


def integer(number: Any, bits: int = 1000) -> int:
    """An integer of not too many bits."""
    if type(number) is not int or number.bit_length() > bits:
        raise Refused("an integer is none, or too large")
    return number


def decode(table: Any, nodes: list[Node] | None = None) -> list[Node]:
    """The nodes of a table, each checked once, each made of earlier ones; `nodes` are those that are known already."""
    if type(table) is not list:
        raise Refused("the table of terms is not a list")
    nodes = [] if nodes is None else nodes
    for place, entry in enumerate(table[len(nodes) :], len(nodes)):
        if type(entry) is not list or not entry or type(entry[0]) is not str:
            raise Refused(f"term {place} is not a node")
        try:
            nodes.append(_decoded(entry[0], entry[1:], lambda ref, sort: at(nodes, ref, sort)))
        except Refused as problem:
            raise Refused(f"term {place}: {problem}") from None
    return nodes


def at(nodes: Sequence[Node], ref: Any, sort: str) -> Node:
    """The node of a number, which must be of this sort: a polynomial p, a term t, a condition c, an atom a."""
    if type(ref) is not int or not 0 <= ref < len(nodes) or SORTS[nodes[ref].tag] != sort:
        raise Refused("a part that does not stand before, or is not of its sort")
    return nodes[ref]


def _decoded(tag: str, parts: list[Any], child: Callable[[Any, str], Node]) -> Node:
    if tag == "poly":
        out: dict[tuple[Node, ...], int] = {}
        for part in parts:
            if type(part) is not list or not part:
                raise Refused("a monomial is not a list")
            monomial = tuple(sorted((child(a, "a") for a in part[1:]), key=lambda a: a.key))
            if monomial in out or not integer(part[0]):
                raise Refused("a monomial stands twice, or has the coefficient 0")
            out[monomial] = part[0]
        return poly(out)
    shape = SHAPES.get(tag)
    if shape is None:
        raise Refused("an unknown form")
    if shape.endswith("*"):
        shape = shape[:-2] + shape[-2] * (len(parts) - len(shape) + 2)
    if len(parts) != len(shape) or (tag in ("add", "mul", "and", "or") and len(parts) < 2):
        raise Refused(f"`{tag}` has {len(parts)} parts")
    readers: dict[str, Callable[[Any], Any]] = {"n": name, "k": name, "q": rational, "i": lambda k: integer(k, 12)}
    args = [readers[s](p) if s in readers else child(p, s) for s, p in zip(shape, parts, strict=True)]
    if (tag == "reduce" and args[0] not in KINDS) or (tag == "truth" and args[0] not in (0, 1)):
        raise Refused(f"`{tag}` of an unknown kind")
    return make(tag, *args)
