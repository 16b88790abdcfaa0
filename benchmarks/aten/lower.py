"""A derivative formula of PyTorch's table, read as an array: what each name and each call in it stands for."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from aten import arrays
from aten.arrays import Array, Axis, Names, Unsayable, Value, pointwise, real
from aten.cpp import Node, parse

SIGNS = {"+": "{0} + {1}", "-": "{0} - {1}", "*": "{0} * {1}", "/": "{0} / {1}"}
ORDER = {"<", "<=", ">", ">=", "==", "!="}
NAMESPACE = re.compile(r"^(at|std|torch|c10|native|special|generated|details)::")


@dataclass(frozen=True)
class Tables:
    """The data: entrywise spellings, constants, and formulas for the helpers that the table calls."""

    entrywise: Mapping[str, str]
    conditions: Mapping[str, str]
    constants: Mapping[str, str]
    same: Mapping[str, int]  # calls that change nothing over the reals: which argument they return
    fixed: Mapping[str, int]  # arrays filled with a number
    helpers: Mapping[str, str]

    def literal(self, value: Fraction) -> str | None:
        """The real number that a float literal of the table stands for, where it is a rounded one."""
        near = (text for key, text in self.constants.items() if key[0].isdigit() and float(key) == float(value))
        return next(near, None)

    def helper(self, name: str) -> tuple[list[str], Node] | None:
        """A helper's parameters and its formula."""
        found = self.helpers.get(name)
        if found is None:
            return None
        head, _, body = found.partition("=")
        params = [p.strip() for p in head.strip().removeprefix("(").removesuffix(")").split(",") if p.strip()]
        return params, parse(body)


def plain(name: str) -> str:
    """A name without its namespaces, and without what tells an in-place or a symbolic variant from the plain one."""
    while NAMESPACE.match(name):
        name = NAMESPACE.sub("", name)
    name = name.removesuffix("_symint")
    return name.rstrip("_") if not name.startswith("__") else name


@dataclass
class Reader:
    """Reads one formula: `env` says what the names in it are."""

    tables: Tables
    env: Mapping[str, Value]
    names: Names = field(default_factory=Names)
    used: set[str] = field(default_factory=set)  # the helpers that were called
    depth: int = 0

    def value(self, node: Node) -> Value:
        """What an expression stands for; Unsayable with the reason where nothing does."""
        match node:
            case ("num", value):
                text = self.tables.literal(value)
                return value if text is None else Array((), lambda _: text)
            case ("text", text):
                return str(text)
            case ("list", items):
                return [self.value(item) for item in items]
            case ("name", name):
                return self._name(name)
            case ("minus", arg):
                found = self.value(arg)
                return -found if type(found) is Fraction else pointwise("-{0}", [found])
            case ("not", arg):
                found = self.value(arg)
                return not found if isinstance(found, bool) else pointwise("not {0}", [found], "bool")
            case ("if", cond, then, other):
                return self._choice(cond, then, other)
            case ("binary", sign, left, right):
                return self._binary(sign, left, right)
            case ("at", ("name", ("grads" | "grad_input_mask") as name), ("num", place)):
                return True if name == "grad_input_mask" else self._name(f"grads[{place}]")
            case ("call", name, args):
                return self.call(plain(name), args)
            case ("method", owner, name, args):
                return self.call(plain(name), [owner, *args])
        raise Unsayable(f"cannot read {node[0]}")

    def _name(self, name: str) -> Value:
        if name in self.env:
            return self.env[name]
        if name in ("true", "false", "none"):
            return {"true": True, "false": False}.get(name)
        if plain(name) in self.tables.constants:
            text = self.tables.constants[plain(name)]
            return Array((), lambda _: text)
        raise Unsayable(f"the name {name} stands for nothing here")

    def _choice(self, cond: Node, then: Node, other: Node) -> Value:
        test = self.value(cond)
        if isinstance(test, bool):
            return self.value(then if test else other)
        return pointwise("select({0}, {1}, {2})", [test, self.value(then), self.value(other)])

    def _binary(self, sign: str, left: Node, right: Node) -> Value:
        a, b = self.value(left), self.value(right)
        if sign in ("||", "&&", "|", "&"):
            return self.logic("or" if sign[0] == "|" else "and", a, b)
        if sign in ORDER:
            if not isinstance(a, Array) and not isinstance(b, Array):
                return self._known(sign, a, b)
            return pointwise(f"{{0}} {sign} {{1}}", [a, b], "bool")
        if sign == "%":
            raise Unsayable("a remainder in the formula")
        if type(a) is Fraction and type(b) is Fraction and not (sign == "/" and b == 0):
            return {"+": a + b, "-": a - b, "*": a * b}[sign] if sign != "/" else a / b
        if isinstance(b, Array) and b.kind == "bool":
            b = real(b)
        if isinstance(a, Array) and a.kind == "bool":
            a = real(a)
        return pointwise(SIGNS[sign], [a, b])

    def _known(self, sign: str, a: Value, b: Value) -> bool:
        if sign in ("==", "!="):
            return (a == b) == (sign == "==")
        if type(a) is Fraction and type(b) is Fraction:
            return {"<": a < b, "<=": a <= b, ">": a > b, ">=": a >= b}[sign]
        raise Unsayable(f"{a!r} {sign} {b!r} is not known")

    def logic(self, word: str, a: Value, b: Value) -> Value:
        """`and`, `or` between conditions, one of which may be known."""
        for known, other in ((a, b), (b, a)):
            if isinstance(known, bool):
                return other if known == (word == "and") else known
        return pointwise(f"{{0}} {word} {{1}}", [a, b], "bool")

    def array(self, node: Node) -> Array:
        """An expression that is an array, or a number as one."""
        found = self.value(node)
        if isinstance(found, Array):
            return found
        return real(found)

    def whole(self, node: Node) -> int:
        """An integer that is known."""
        found = self.value(node)
        if type(found) is Fraction and found.denominator == 1:
            return int(found)
        raise Unsayable("an integer that is not known here")

    def places(self, node: Node, array: Array) -> set[int]:
        """Axes: one, a list, or none at all for every axis."""
        found = self.value(node)
        items = found if isinstance(found, list) else [] if found is None else [found]
        wanted = {arrays.axis_of(array, int(i)) for i in items if type(i) is Fraction}
        return wanted or set(range(len(array.axes)))

    def flag(self, args: list[Node], place: int) -> bool:
        """A boolean argument that may be left out."""
        return len(args) > place and self.value(args[place]) is True

    # Calls

    def call(self, name: str, args: list[Node]) -> Value:
        """A function, or a method with its object as the first argument."""
        tables = self.tables
        if name in tables.same:
            return self.value(args[tables.same[name]])
        if name in tables.fixed:
            return Fraction(tables.fixed[name])
        helper = tables.helper(name)
        if helper is not None:
            return self._helper(name, *helper, args)
        structural = STRUCTURAL.get(name)
        if structural is not None:
            return structural(self, args)
        if name in tables.conditions:
            return pointwise(tables.conditions[name], [self.value(a) for a in args], "bool")
        if name in tables.entrywise:
            template = tables.entrywise[name]
            wanted = len(set(re.findall(r"\{(\d)\}", template)))
            return pointwise(template, [self.value(a) for a in args[:wanted]])
        raise Unsayable(f"no meaning is written down for {name}")

    def _helper(self, name: str, params: list[str], body: Node, args: list[Node]) -> Value:
        if self.depth > 20:
            raise Unsayable(f"{name} calls itself")
        self.used.add(name)
        env: dict[str, Value] = {}
        for place, param in enumerate(params):
            key, _, default = param.partition(":")
            if place < len(args):
                try:
                    env[key.strip()] = self.value(args[place])
                except Unsayable:
                    continue  # an argument that the formula does not need, such as a stride
            elif default:
                env[key.strip()] = self.value(parse(default))
        return Reader(self.tables, env, self.names, self.used, self.depth + 1).value(body)


Handler = Callable[[Reader, list[Node]], Value]
STRUCTURAL: dict[str, Handler] = {}


def means(*names: str) -> Callable[[Handler], Handler]:
    """Registers what calls of these names stand for."""

    def add(handler: Handler) -> Handler:
        STRUCTURAL.update(dict.fromkeys(names, handler))
        return handler

    return add


@means("where")
def _where(r: Reader, args: list[Node]) -> Value:
    test = r.value(args[0])
    if isinstance(test, bool):
        return r.value(args[1] if test else args[2])
    return pointwise("select({0}, {1}, {2})", [test, real(r.value(args[1])), real(r.value(args[2]))])


@means("masked_fill")
def _masked_fill(r: Reader, args: list[Node]) -> Value:
    test = r.value(args[1])
    if isinstance(test, bool):
        return r.value(args[2] if test else args[0])
    return pointwise("select({1}, {2}, {0})", [r.value(args[0]), test, r.value(args[2])])


@means("logical_not")
def _not(r: Reader, args: list[Node]) -> Value:
    return r.value(("not", args[0]))


STRUCTURAL["logical_or"] = lambda r, args: r.logic("or", r.value(args[0]), r.value(args[1]))
STRUCTURAL["logical_and"] = lambda r, args: r.logic("and", r.value(args[0]), r.value(args[1]))


@means("isnan", "isinf", "is_complex", "isComplex")
def _never(r: Reader, args: list[Node]) -> Value:
    return False  # the proofs are over the real numbers


@means("isfinite")
def _always(r: Reader, args: list[Node]) -> Value:
    return True


@means("has_value", "defined")
def _given(r: Reader, args: list[Node]) -> Value:
    return r.value(args[0]) is not None


@means("div")
def _div(r: Reader, args: list[Node]) -> Value:
    mode = r.value(args[2]) if len(args) > 2 else None
    template = {"floor": "floor({0} / {1})", "trunc": "trunc({0} / {1})"}.get(str(mode), "{0} / {1}")
    return pointwise(template, [r.value(args[0]), r.value(args[1])])


@means("safe_size")
def _safe_size(r: Reader, args: list[Node]) -> Value:
    axes = _axes(r.value(args[0]))
    array = Array(axes, lambda _: "0")
    return _size(array, r.places(args[1], array))


def _exclusive(sign: str) -> Handler:
    def handler(r: Reader, args: list[Node]) -> Value:
        array = r.array(args[0])
        at = arrays.axis_of(array, r.whole(args[1]))
        j = r.names.fresh(array.axes[at])
        extent = array.axes[at].extent

        def body(i: tuple[str, ...]) -> str:
            read = arrays.wrap(array.at((*i[:at], j, *i[at + 1 :])))
            return f"(prod({j} < {extent} | {j} {sign} {i[at]}) {read})"

        return Array(array.axes, body)

    return handler


STRUCTURAL["product_before"] = _exclusive("<")
STRUCTURAL["product_after"] = _exclusive(">")


@means("value_or")
def _value_or(r: Reader, args: list[Node]) -> Value:
    found = r.value(args[0])
    return r.value(args[1]) if found is None else found


def _reduction(kind: str) -> Handler:
    def handler(r: Reader, args: list[Node]) -> Value:
        array = real(r.array(args[0]))
        over = r.places(args[1], array) if len(args) > 1 else set(range(len(array.axes)))
        found = arrays.reduce("sum" if kind == "mean" else kind, array, over, r.flag(args, 2), r.names)
        if kind != "mean":
            return found
        return pointwise("{0} / {1}", [found, _size(array, over)])

    return handler


for _name, _kind in {"sum": "sum", "mean": "mean", "prod": "prod", "amax": "max", "amin": "min"}.items():
    STRUCTURAL[_name] = _reduction(_kind)


def _size(array: Array, over: set[int]) -> Array:
    text = " * ".join(f"({array.axes[p].extent})" for p in sorted(over)) or "1"
    return Array((), lambda _: f"({text})")


@means("sym_numel", "numel")
def _numel(r: Reader, args: list[Node]) -> Value:
    array = r.array(args[0])
    over = r.places(args[1], array) if len(args) > 1 else set(range(len(array.axes)))
    return _size(array, over)


@means("sym_sizes", "sizes")
def _sizes(r: Reader, args: list[Node]) -> Value:
    return [_shape_axis(axis) for axis in r.array(args[0]).axes]


def _shape_axis(axis: Axis) -> Array:
    return Array((axis,), lambda i: "0")  # an extent, carried as an axis


@means("sym_size", "size")
def _extent(r: Reader, args: list[Node]) -> Value:
    array = r.array(args[0])
    return _shape_axis(array.axes[arrays.axis_of(array, r.whole(args[1]))])


@means("dim")
def _dim(r: Reader, args: list[Node]) -> Value:
    return Fraction(len(r.array(args[0]).axes))


def _axes(value: Value) -> tuple[Axis, ...]:
    if isinstance(value, list) and all(isinstance(v, Array) and len(v.axes) == 1 for v in value):
        return tuple(v.axes[0] for v in value if isinstance(v, Array))
    raise Unsayable("a shape that is not known here")


@means("expand", "sum_to_expand")
def _expand(r: Reader, args: list[Node]) -> Value:
    return arrays.expand(r.array(args[0]), _axes(r.value(args[1])))


@means("expand_as")
def _expand_as(r: Reader, args: list[Node]) -> Value:
    return arrays.expand(r.array(args[0]), r.array(args[1]).axes)


@means("unsqueeze")
def _unsqueeze(r: Reader, args: list[Node]) -> Value:
    return arrays.unsqueeze(r.array(args[0]), r.whole(args[1]))


@means("squeeze")
def _squeeze(r: Reader, args: list[Node]) -> Value:
    return arrays.squeeze(r.array(args[0]), r.whole(args[1]))


@means("restore_reduced_dims")
def _restore(r: Reader, args: list[Node]) -> Value:
    array = r.array(args[0])
    if r.flag(args, 2):
        return array
    found = r.value(args[1])
    items = found if isinstance(found, list) else [] if found is None else [found]
    for place in sorted(int(i) for i in items if type(i) is Fraction):
        array = arrays.unsqueeze(array, place)
    return array


@means("transpose", "t", "mT", "mH", "adjoint")
def _transpose(r: Reader, args: list[Node]) -> Value:
    array = r.array(args[0])
    order = list(range(len(array.axes)))
    if len(order) < 2:
        return array
    i, j = (r.whole(a) for a in args[1:3]) if len(args) > 2 else (-2, -1)
    i, j = arrays.axis_of(array, i), arrays.axis_of(array, j)
    order[i], order[j] = order[j], order[i]
    return arrays.moved(array, order)


@means("mm", "bmm", "mv", "matmul")
def _product(r: Reader, args: list[Node]) -> Value:
    return arrays.product(r.array(args[0]), r.array(args[1]), r.names)


@means("dot", "vdot")
def _dot(r: Reader, args: list[Node]) -> Value:
    both = pointwise("{0} * {1}", [r.array(args[0]), r.array(args[1])])
    return arrays.reduce("sum", both, set(range(len(both.axes))), False, r.names)


@means("ger", "outer")
def _outer(r: Reader, args: list[Node]) -> Value:
    return pointwise("{0} * {1}", [arrays.unsqueeze(r.array(args[0]), 1), r.array(args[1])])


@means("flip")
def _flip(r: Reader, args: list[Node]) -> Value:
    array = r.array(args[0])
    for place in r.places(args[1], array):
        axis = array.axes[place]
        array = arrays.replaced(array, place, axis, lambda i, n=axis.extent: f"{n} - 1 - {i}")
    return array


@means("cumsum")
def _cumsum(r: Reader, args: list[Node]) -> Value:
    array = r.array(args[0])
    at = arrays.axis_of(array, r.whole(args[1]))
    j = r.names.fresh(array.axes[at])
    extent = array.axes[at].extent

    def body(i: tuple[str, ...]) -> str:
        return f"(sum({j} < {extent} | {j} <= {i[at]}) {arrays.wrap(array.at((*i[:at], j, *i[at + 1 :])))})"

    return Array(array.axes, body)


def _triangle(condition: str) -> Handler:
    def handler(r: Reader, args: list[Node]) -> Value:
        by = r.array(args[1]).at(()) if len(args) > 1 else "0"
        return arrays.masked(r.array(args[0]), condition.replace("OFFSET", by))

    return handler


STRUCTURAL["tril"] = _triangle("{1} <= {0} + OFFSET")
STRUCTURAL["triu"] = _triangle("{1} >= {0} + OFFSET")


@means("gather")
def _gather(r: Reader, args: list[Node]) -> Value:
    return arrays.gather(r.array(args[0]), r.whole(args[1]), r.array(args[2]))


@means("index_select")
def _index_select(r: Reader, args: list[Node]) -> Value:
    index = r.array(args[2])
    return arrays.replaced(r.array(args[0]), r.whole(args[1]), index.axes[0], lambda i: index.at((i,)))


@means("scatter", "index_fill")
def _overwritten(r: Reader, args: list[Node]) -> Value:
    return arrays.overwritten(r.array(args[0]), r.whole(args[1]), r.array(args[2]), r.value(args[3]), r.names)


@means("scatter_add", "index_add")
def _added(r: Reader, args: list[Node]) -> Value:
    base, at, index, source = r.array(args[0]), r.whole(args[1]), r.array(args[2]), r.array(args[3])
    return arrays.added(base, at, index, source, r.names)


@means("zeros_of")
def _zeros_of(r: Reader, args: list[Node]) -> Value:
    return Array(_axes(r.value(args[0])), lambda _: "0")


@means("trace_backward")
def _trace(r: Reader, args: list[Node]) -> Value:
    array, axes = r.array(args[0]), _axes(r.value(args[1]))
    return Array(axes, lambda i: f"select({i[0]} == {i[1]}, {array.at(())}, 0)")


@means("embedding_rows")
def _embedding_rows(r: Reader, args: list[Node]) -> Value:
    grad, index, padding = r.array(args[0]), r.array(args[1]), r.array(args[3])
    rows = _axes([r.value(args[2])])[0]
    j = r.names.fresh(index.axes[0])

    def body(i: tuple[str, ...]) -> str:
        hit = f"(sum({j} < {index.axes[0].extent} | {index.at((j,))} == {i[0]}) {arrays.wrap(grad.at((j, i[1])))})"
        return f"select({i[0]} == {padding.at(())}, 0, {hit})"

    return Array((rows, grad.axes[-1]), body)


@means("linalg_cross")
def _cross(r: Reader, args: list[Node]) -> Value:
    a, b = r.array(args[0]), r.array(args[1])

    def body(i: tuple[str, ...]) -> str:
        def part(p: int) -> str:
            q, s = str((p + 1) % 3), str((p + 2) % 3)
            front = i[:-1]
            mine = [arrays.wrap(x.at((*front, place))) for x, place in ((a, q), (b, s), (a, s), (b, q))]
            return f"{mine[0]} * {mine[1]} - {mine[2]} * {mine[3]}"

        return f"select({i[-1]} == 0, {part(0)}, select({i[-1]} == 1, {part(1)}, {part(2)}))"

    return Array(a.axes, body)


def environment(values: Mapping[str, Any]) -> dict[str, Value]:
    """Settings of a table (numbers, booleans, lists, strings) as values."""
    return {name: _setting(value) for name, value in values.items()}


def _setting(value: Any) -> Value:
    match value:
        case bool() | str() | None:
            return None if value == "none" else value
        case int():
            return Fraction(value)
        case float():
            return Fraction(str(value))
        case list():
            return [_setting(v) for v in value]
    raise TypeError(f"{value!r} in a table")
