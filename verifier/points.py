"""A tape of one node: its closures on symbols, and again on exact scalars at points, to refute an entry."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, TypeAlias

import numpy as np
from gradproof.compiler.claims import Counterexample
from gradproof.compiler.denote import Env, Irrational, Undecided, Undefined, evaluate, holds
from gradproof.compiler.dims import Poly
from gradproof.compiler.graph import INPUT, Arg, AttrValue, Delta, Graph, Node, Ref, TensorType
from gradproof.compiler.graph import Env as FromDelta
from gradproof.compiler.ops import COTANGENT, OUTPUT, TANGENT, OpDef, Param
from gradproof.compiler.terms import Cond
from gradproof.runtime.scalars import Array, Scalars, scalars, symbols
from gradproof.runtime.semantics import Kernels
from gradproof.runtime.tape import Tape, Values
from gradproof.verifier.small import Small, holds_everywhere

Position: TypeAlias = tuple[int, ...]
Arrays: TypeAlias = Mapping[str, Array]  # by name: inputs, tangents `dx`, the cotangent `g`, the output `y` where cut
SAMPLES = 3
_DTYPES = {"real": "f64", "int": "i64", "bool": "bool"}


class OneNode:
    """The runtime's tape of a graph that applies one operator once, at concrete sizes.

    Γ are the differentiable inputs, Δ the others. `what` names a closure: "value", "jvp" or "vjp NAME".
    """

    def __init__(self, op: OpDef, small: Small) -> None:
        self.op, self.small = op, small
        self.graph = _graph(op, small)
        self.tensors: dict[str, Param] = {p.name: p for p in op.params}
        self.tensors |= {TANGENT + p.name: p for p in op.differentiable}
        if op.differentiable:
            self.tensors[COTANGENT] = op.output

    def symbols(self) -> dict[str, Array]:
        """Fresh symbols for every tensor, the output of a differentiable operator included; integers are given."""
        tensors = {**self.tensors, OUTPUT: self.op.output} if self.op.differentiable else self.tensors
        return {name: self._symbols(name, param) for name, param in tensors.items()}

    def _symbols(self, name: str, param: Param) -> Array:
        if param.kind == "int":
            return np.array(self.small.integers[name], np.int64).reshape(self.small.shape(param))
        return symbols(name, self.small.extents(param), param.kind).reshape(self.small.shape(param))

    def param(self, what: str) -> Param:
        """What a closure's result is shaped like."""
        return self.tensors[what.removeprefix("vjp ")] if what.startswith("vjp ") else self.op.output

    def entries(self, what: str, arrays: Arrays, scalar: Scalars | None = None) -> Iterator[tuple[Position, Any]]:
        """The entries of a closure's result by position, a pack being one axis."""
        result, _ = self.run(what, arrays, scalar or scalars("symbolic"))
        flat = np.asarray(result).reshape(self.small.extents(self.param(what)))
        return ((at, flat[at]) for at in np.ndindex(flat.shape))

    def run(self, what: str, arrays: Arrays, scalar: Scalars) -> tuple[Array, Array]:
        """A closure's result, and the output's value (the one in `arrays` where it is cut)."""
        tape: Tape[Array] = Tape.of(self.graph, Kernels(self.graph, scalar))
        node, leaves = tape.nodes[-1], self.graph.gamma
        delta = {d.name: arrays[d.name] for d in self.graph.delta}
        context = [arrays[n.name] for n in leaves]
        if what == "value":
            value = tape.denote_all(context, delta, {}).nodes[-1]
            return value, value
        own = arrays[OUTPUT] if OUTPUT in arrays else tape.denote_all(context, delta, {}).nodes[-1]
        values: Values[Array] = Values([*context, own], delta, {})
        if what == "jvp":
            return node.tangent(values, [arrays[TANGENT + n.name] for n in leaves]), own
        wanted = next(n.id for n in leaves if n.name == what.removeprefix("vjp "))
        sent = [contribution for pid, contribution in node.backward(values, arrays[COTANGENT]) if pid == wanted]
        if len(sent) != 1:
            raise Undefined(f"{len(sent)} contributions to one argument")
        return sent[0], own


def _graph(op: OpDef, small: Small) -> Graph:
    def typed(param: Param) -> TensorType:
        return TensorType(_DTYPES[param.kind], tuple(map(Poly.of, small.shape(param))))

    gamma = [p for p in op.params if p in op.differentiable]
    delta = tuple(Delta(p.name, typed(p), op.span) for p in op.params if p not in op.differentiable)
    nodes = [Node(k, p.name, INPUT, (), (), (), typed(p), op.span) for k, p in enumerate(gamma)]
    ids = {n.name: n.id for n in nodes}
    args: tuple[Arg, ...] = tuple(Ref(ids[p.name]) if p.name in ids else FromDelta(p.name) for p in op.params)
    attrs: tuple[tuple[str, AttrValue], ...] = tuple((n, Poly.of(v)) for n, v in small.ints.items())
    attrs += tuple(small.reals.items())
    sizes = tuple((name, tuple(map(Poly.of, each))) for name, each in small.sizes.items())
    nodes.append(Node(len(nodes), "", op.name, args, attrs, sizes, typed(op.output), op.span))
    out = len(nodes) - 1
    return Graph(op.name, (), tuple(nodes), out, delta, (out,), ("",), (), (), (), (), {op.name: op}, op.span)


@dataclass(frozen=True, slots=True)
class Point:
    """A value for every entry of every tensor, by position, a pack being one axis."""

    values: Mapping[str, Mapping[Position, Fraction | bool]]

    def at(self, name: str, position: Position) -> Any:
        """One entry."""
        return self.values[name][position]


def refute(node: OneNode, what: str, at: Position, expected: Any, ties: bool) -> Counterexample | None:
    """A point at which a closure's entry is not what is expected there: run in exact scalars, compared exactly."""
    for point in points(node, ties):
        for name in ("rational", "interval"):
            scalar = scalars(name)
            try:
                with scalar.context():
                    got, wanted = _replay(node, what, at, expected, point, scalar)
                    different = _differ(got, wanted)
            except Irrational:
                continue
            except (Undefined, Undecided):
                break
            if different:
                return _counterexample(node, what, at, point, wanted, got)
            break
    return None


def points(node: OneNode, ties: bool, seed: int = 0) -> Iterator[Point]:
    """Points inside the domain: distinct values, and where `ties` are asked for, first points with all inputs equal."""
    rng = random.Random(seed)
    inputs = {p.name for p in node.op.params}
    tied = [Fraction(0), Fraction(1)] if ties else []
    found = 0
    for attempt in range(len(tied) + 12 * SAMPLES):
        drawn = iter(rng.sample(range(1, 400) if attempt % 3 == 0 else range(-200, 200), 399))
        values: dict[str, dict[Position, Fraction | bool]] = {}
        for name, param in node.tensors.items():
            every = np.ndindex(node.small.extents(param))
            if param.kind == "bool":
                values[name] = {at: rng.random() < 0.5 for at in every}
            elif param.kind == "real" and name in inputs and attempt < len(tied):
                values[name] = dict.fromkeys(every, tied[attempt])
            elif param.kind == "real":
                values[name] = {at: Fraction(next(drawn), 101) for at in every}
        point = Point(values)
        if all(holds_everywhere(c, node.op, node.small, point.at) for c in node.op.domain):
            found += 1
            yield point
        if found == SAMPLES + len(tied):
            return


def _replay(node: OneNode, what: str, at: Position, expected: Any, point: Point, scalar: Scalars) -> tuple[Any, Any]:
    arrays = {name: _array(node, name, point, scalar) for name in node.tensors}
    result, value = node.run(what, arrays, scalar)
    got = np.asarray(result).reshape(node.small.extents(node.param(what)))[at]
    output = np.asarray(value).reshape(node.small.extents(node.op.output))
    field: Any = scalar.field  # type: ignore[union-attr]  # exact scalars are objects

    def real(name: str, position: Position) -> Any:
        return output[position] if name == OUTPUT else field.num(point.at(name, position))

    env = Env({}, real, lambda name, position: node.small.integer(name, position, node.op), point.at)
    if isinstance(expected, bool | np.bool_):
        return got, bool(expected)
    return got, holds(expected, env, field) if isinstance(expected, Cond) else evaluate(expected, env, field)


def _array(node: OneNode, name: str, point: Point, scalar: Scalars) -> Array:
    param = node.tensors[name]
    shape = node.small.shape(param)
    if param.kind == "int":
        return np.array(node.small.integers[name], np.int64).reshape(shape)
    flat = list(point.values[name].values())
    if param.kind == "bool":
        return np.array(flat, dtype=bool).reshape(shape)
    out = np.empty(len(flat), object)
    field: Any = scalar.field  # type: ignore[union-attr]  # exact scalars are objects
    out[:] = [field.num(v) for v in flat]
    return out.reshape(shape)


def _differ(a: Any, b: Any) -> bool:
    if isinstance(a, bool | np.bool_ | Fraction):
        return bool(a != b)
    return not a.overlaps(b)


def _counterexample(node: OneNode, what: str, at: Position, point: Point, wanted: Any, got: Any) -> Counterexample:
    dims = {n: v for n, each in node.small.sizes.items() for n, v in _named(n, each)}
    used = {p.name for p in node.op.params}
    if what == "jvp":
        used |= {name for name in node.tensors if name.startswith(TANGENT)}
    elif what != "value":
        used.add(COTANGENT)
    values: dict[str, Any] = {name: list(node.small.integers[name]) for name in used & node.small.integers.keys()}
    values |= {
        name: _nested({at: str(v) for at, v in point.values[name].items()}, node.small.extents(node.tensors[name]))
        for name in sorted(used - values.keys())
    }
    where = f"[{', '.join(map(str, at))}]" if at else ""
    return Counterexample({**dims, **node.small.ints}, values, str(wanted), str(got), True, f"{what}{where}")


def _named(name: str, each: tuple[int, ...]) -> Iterator[tuple[str, int]]:
    if not name.endswith(".."):
        return iter(((name, each[0]),))
    return ((f"{name}[{k}]", size) for k, size in enumerate(each))


def _nested(entries: Mapping[Position, str], extents: Position, prefix: Position = ()) -> Any:
    if len(prefix) == len(extents):
        return entries[prefix]
    return [_nested(entries, extents, (*prefix, k)) for k in range(extents[len(prefix)])]
