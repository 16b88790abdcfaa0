"""The well-formedness table of a graph: what every pass may rely on, and must leave true.

| rule | what it says |
|---|---|
| ids | a node's id is its position; leaves come first, and only they are inputs |
| order | every argument that is a node has a smaller id; every Δ argument exists |
| names | one definition a name, among nodes and Δ together |
| operators | each is defined, and gets as many arguments as it has inputs, of their kinds |
| attributes | every attribute is given, integers as polynomials, reals as rationals |
| sizes | every size of the signature is bound, a dim to one extent, a pack to as many as its rank says |
| shapes | each argument's shape is the signature's under the sizes, or SHAPE is asked to prove it equal |
| types | the node's type is the operator's result under the sizes |
| leaves | Γ is real; Δ is all of the environment |
| loops | a loop's inputs have one role each, its body stands under the graph's dims |
| ends | outputs and bounds name what exists; there is an output |
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

from gradproof.compiler.dims import Poly
from gradproof.compiler.graph import INPUT, Bound, Entrywise, Env, Graph, LoopDef, Node, Ref, TensorType
from gradproof.compiler.loops import problems
from gradproof.compiler.ops import OpDef, Param
from gradproof.compiler.rewriting import tensors
from gradproof.compiler.unify import Mismatch, Shape, environment, shape_of


def check(graph: Graph) -> list[str]:
    """What is wrong with the graph; empty where it is well-formed."""
    return list(_problems(graph))


def _problems(graph: Graph) -> Iterator[str]:
    delta = {d.name: d.type for d in graph.delta}
    if len(delta) != len(graph.delta):
        yield "names: a Δ input is defined twice"
    names: set[str] = set(delta)
    equal = {(claim.left, claim.right) for claim in graph.size_claims}
    for position, node in enumerate(graph.nodes):
        where = f"node {position} ({node.name})"
        if node.id != position:
            yield f"ids: {where} has the id {node.id}"
        if node.name in names:
            yield f"names: {where} is defined twice"
        names.add(node.name)
        if (node.op == INPUT) != (position < graph.leaves):
            yield f"ids: {where} is {'an input behind' if node.op == INPUT else 'an operator among'} the leaves"
        for problem in _leaf(node) if node.op == INPUT else _application(node, position, graph, delta, equal):
            yield f"{problem} at {where}"
    yield from _ends(graph, delta)


def _leaf(node: Node) -> Iterator[str]:
    if node.type.kind != "real":
        yield f"leaves: {node.type} in Γ"
    if node.args or node.attrs or node.sizes:
        yield "leaves: an input has no arguments"


def _application(
    node: Node,
    position: int,
    graph: Graph,
    delta: dict[str, TensorType],
    equal: set[tuple[Poly, Poly]],
) -> Iterator[str]:
    op: OpDef | LoopDef | None = graph.loops.get(node.op) or graph.ops.get(node.op)
    if op is None:
        yield f"operators: `{node.op}` is not defined"
        return
    if op.name != node.op:
        yield f"operators: `{node.op}` is the definition of `{op.name}`"
    if len(node.args) != len(op.params):
        yield f"operators: `{node.op}` gets {len(node.args)} arguments for {len(op.params)} inputs"
        return
    types: list[TensorType] = []
    for arg in node.args:
        match arg:
            case Ref(id_) if 0 <= id_ < position:
                types.append(graph.nodes[id_].type)
            case Env(name) if name in delta:
                types.append(delta[name])
            case _:
                yield f"order: {arg} is not defined before"
                return
    if isinstance(op, LoopDef):
        yield from _loop(node, op, types, graph, equal)
        return
    problems = [*_attributes(node, op), *_sizes(node, op)]
    yield from problems
    if not problems:
        yield from _shapes(node, op, types, equal)


def _loop(
    node: Node, loop: LoopDef, types: list[TensorType], graph: Graph, equal: set[tuple[Poly, Poly]]
) -> Iterator[str]:
    """A loop: its definition, and its arguments' types. Its body stands under this graph's dims, and no others."""
    yield from (f"loops: {problem}" for problem in problems(loop))
    if (loop.body.dims, loop.body.assume_dims) != (graph.dims, graph.assume_dims):
        yield f"loops: the body of `{loop.name}` is not under the dims of `{graph.name}`"
    if node.op in graph.ops or node.attrs or node.sizes:
        yield f"loops: `{loop.name}` is an operator too, or is given sizes"
    yield from _demands(node, loop, graph)
    for param, type_ in zip((*loop.params, loop.output), (*types, node.type), strict=True):
        wanted = tuple(axis.extent for axis in param.axes)
        if type_.kind != param.kind or len(type_.shape) != len(wanted):
            yield f"shapes: `{param.name}` is {type_}"
            continue
        for want, have in zip(wanted, type_.shape, strict=True):
            if want != have and (want, have) not in equal and (have, want) not in equal:
                yield f"shapes: `{param.name}` has the extent {have} where {want} is wanted"


def _demands(node: Node, loop: LoopDef, graph: Graph) -> Iterator[str]:
    """What a loop's body assumes must be assumed or ensured of the arguments, and of a state also behind each step."""
    known = {(b.left, b.rel, b.right) for b in (*graph.assumes, *graph.ensures)}
    kept = {(b.left, b.rel, b.right) for b in loop.body.ensures}
    arguments = {name: arg for (name, _), arg in zip(loop.roles, node.args, strict=True)}
    for bound in loop.body.assumes:
        names = [_bounded(loop.body, side) for side in (bound.left, bound.right)]
        about = [name for name in names if name is not None]
        if len(about) != 1:
            yield f"loops: the body of `{loop.name}` assumes {bound.text}, which is not about one input"
            continue
        (name,) = about
        arg = arguments[name]
        outside = arg.id if isinstance(arg, Ref) else arg.name
        if _about(bound, names, outside) not in known:
            yield f"loops: nothing shows {bound.text}, which the body of `{loop.name}` assumes"
        if name in loop.states and _about(bound, names, loop.body.outputs[loop.states.index(name)]) not in kept:
            yield f"loops: nothing shows that a step of `{loop.name}` keeps {bound.text}"


def _bounded(body: Graph, side: object) -> str | None:
    """The input of the body that a side of a bound is; None for numbers and sizes."""
    return body.nodes[side].name if isinstance(side, int) else side if isinstance(side, str) else None


def _about(bound: Bound, names: list[str | None], value: int | str) -> tuple[object, str, object]:
    """The bound with another value in the place of its input."""
    left, right = (own if name is None else value for name, own in zip(names, (bound.left, bound.right), strict=True))
    return left, bound.rel, right


def _attributes(node: Node, op: OpDef) -> Iterator[str]:
    if [name for name, _ in node.attrs] != [attr.name for attr in op.attrs]:
        yield f"attributes: {[name for name, _ in node.attrs]} for {[attr.name for attr in op.attrs]}"
        return
    for attr, (name, value) in zip(op.attrs, node.attrs, strict=True):
        if not isinstance(value, Poly if attr.kind == "int" else Fraction):
            yield f"attributes: `{name}` is {attr.kind} and is {value!r}"


def _sizes(node: Node, op: OpDef) -> Iterator[str]:
    if tuple(name for name, _ in node.sizes) != op.sizes:
        yield f"sizes: {[name for name, _ in node.sizes]} for {list(op.sizes)}"
        return
    ints = {name: value for name, value in node.attrs if isinstance(value, Poly)}
    ranks = {a.pack: a.rank for p in op.params for a in p.axes if a.pack is not None and a.rank is not None}
    for name, shape in node.sizes:
        if not name.endswith("..") and len(shape) != 1:
            yield f"sizes: `{name}` is {len(shape)} extents"
        rank = ranks.get(name)
        if rank is not None and rank.substitute(ints) != len(shape):
            yield f"sizes: `{name}` has {len(shape)} axes and its rank is {rank.substitute(ints)}"


def _shapes(node: Node, op: OpDef, types: list[TensorType], equal: set[tuple[Poly, Poly]]) -> Iterator[str]:
    sizes = dict(node.sizes)
    env = environment(sizes, {name: value for name, value in node.attrs if isinstance(value, Poly)})
    for param, type_ in zip(op.params, types, strict=True):
        if type_.kind != param.kind:
            yield f"operators: `{param.name}` is {param.kind} and gets {type_}"
        problem = _differs(param, type_.shape, sizes, env, equal)
        if problem:
            yield f"shapes: {problem}"
    problem = _differs(op.output, node.type.shape, sizes, env, set())
    if problem or node.type.kind != op.output.kind:
        yield f"types: {problem or f'{node.type} for a {op.output.kind} result'}"


def _differs(
    param: Param, shape: Shape, sizes: dict[str, Shape], env: dict[str, Poly], equal: set[tuple[Poly, Poly]]
) -> str:
    try:
        expected = shape_of(param, sizes, env)
    except Mismatch as reason:
        return str(reason)
    if len(expected) != len(shape):
        return f"`{param.name}` has {len(shape)} axes and should have {len(expected)}"
    for want, have in zip(expected, shape, strict=True):
        if want != have and (want, have) not in equal and (have, want) not in equal:
            return (
                f"`{param.name}` has the extent {have} where {want} is wanted, and nothing claims that they are equal"
            )
    return ""


def _ends(graph: Graph, delta: dict[str, TensorType]) -> Iterator[str]:
    if not 0 <= graph.leaves <= len(graph.nodes):
        yield f"leaves: {graph.leaves} of {len(graph.nodes)} nodes"
    if not graph.outputs or len(graph.outputs) != len(graph.output_names):
        yield "ends: outputs and their names differ in number, or there is none"
    for output in graph.outputs:
        if not 0 <= output < len(graph.nodes):
            yield f"ends: the output {output} does not exist"
    for bound in graph.assumes:
        yield from _bound(bound, graph.leaves, delta, "assume")
    for ensure in graph.ensures:
        if isinstance(ensure, Bound):
            yield from _bound(ensure, len(graph.nodes), delta, "ensure")
        else:
            yield from _entrywise(ensure, graph, delta)
    for claim in graph.size_claims:
        if claim.left == claim.right:
            yield f"shapes: the claim {claim.left} == {claim.right} says nothing"


def _entrywise(ensure: Entrywise, graph: Graph, delta: dict[str, TensorType]) -> Iterator[str]:
    known = {name for name, _ in ensure.values} | {gradient.name for gradient in ensure.gradients}
    read = tensors(ensure.where) | tensors(ensure.left) | tensors(ensure.right)
    if ensure.rel not in ("<", "<=", "==") or not read <= known:
        yield f"ends: ensure {ensure.text}: no such relation or value"
    for _, arg in ensure.values:
        if arg.name not in delta if isinstance(arg, Env) else not 0 <= arg.id < len(graph.nodes):
            yield f"ends: ensure {ensure.text}: {arg} does not exist"
    for gradient in ensure.gradients:
        for node, index in ((gradient.output, gradient.at), (gradient.input, gradient.to)):
            if not 0 <= node < len(graph.nodes) or len(graph.nodes[node].type.shape) != len(index):
                yield f"ends: ensure {ensure.text}: {gradient} is no derivative of an entry"


def _bound(bound: Bound, limit: int, delta: dict[str, TensorType], word: str) -> Iterator[str]:
    if bound.rel not in ("<", "<=", "==", "!="):
        yield f"ends: {word} {bound.text}: no such relation `{bound.rel}`"
    for side in (bound.left, bound.right):
        if (isinstance(side, int) and not 0 <= side < limit) or (isinstance(side, str) and side not in delta):
            yield f"ends: {word} {bound.text}: {side} does not exist"
