"""The canonical form of graphs: one operator a line, each with its type. It is a program: elaborated again, it gives
the same graphs.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

from gradproof.compiler.dims import Poly
from gradproof.compiler.einsum import TEXTUAL
from gradproof.compiler.elaborate import Module
from gradproof.compiler.graph import Arg, AttrValue, Bound, Delta, Dim, Entrywise, Env, Graph, LoopDef, Node
from gradproof.compiler.library import base_name
from gradproof.compiler.loops import bodies
from gradproof.compiler.rewriting import rename_tensors, rename_tensors_cond
from gradproof.compiler.show import show
from gradproof.compiler.terms import TRUE, Read, Term
from gradproof.compiler.unify import signature_of
from gradproof.grammar.parse import parse
from gradproof.grammar.printer import print_file
from gradproof.grammar.syntax import File, Fn, Op


def render(module: Module) -> str:
    """The text of a module's graphs, below their dims and the operators that are not in the prelude."""
    graphs = tuple(module.graphs.values())
    dims = {dim.name: dim for graph in graphs for dim in graph.dims if dim.value is None}  # fixed ones are numbers now
    declared = "\n".join(map(_dim, dims.values()))
    texts = [text for graph in graphs for text in _with_bodies(graph, frozenset(module.graphs))]
    return "\n\n".join(part for part in (_stanzas(module), declared, *texts) if part) + "\n"


def _with_bodies(graph: Graph, known: frozenset[str]) -> Iterator[str]:
    """A graph below the bodies of its loops, but for those that are graphs of the module already."""
    for body in reversed(bodies(graph)):
        if body.name not in known:
            yield render_graph(body, inside=True)
    yield render_graph(graph)


def render_graph(graph: Graph, inside: bool = False) -> str:
    """One graph; `inside` a loop, the conditions on dims are those of the graph around it."""
    inputs = [f"{node.name}: {node.type}" for node in graph.gamma] + [_delta(delta) for delta in graph.delta]
    results = [str(graph.nodes[id_].type) for id_ in graph.outputs]
    result = results[0] if len(results) == 1 else f"({', '.join(results)})"
    return "\n".join(
        [f"graph {graph.name}({', '.join(inputs)}) -> {result} {{", *map("  {}".format, _body(graph, inside)), "}"]
    )


def _stanzas(module: Module) -> str:
    """Every operator of the module's files, those of used files first, as a formula may call what is above it."""
    items = [item for source in reversed(module.sources) for item in parse(source).items if isinstance(item, Fn | Op)]
    return print_file(File(tuple(items))).strip()


def _body(graph: Graph, inside: bool) -> Iterator[str]:
    for poly, rel in graph.assume_dims if not inside else ():
        yield f"assume {poly} {rel} 0"
    yield from (f"assume {_bound(graph, bound)}" for bound in graph.assumes)
    for node in graph.inner:
        yield show_node(graph, node)
    for ensure in graph.ensures:
        yield f"ensure {_bound(graph, ensure) if isinstance(ensure, Bound) else _entrywise(graph, ensure)}"
    yield f"return {', '.join(graph.nodes[id_].name for id_ in graph.outputs)}"


def show_node(graph: Graph, node: Node) -> str:
    """One node as a statement, with its type."""
    return f"{node.name}: {node.type} = {_call(graph, node)}"


def _loop(graph: Graph, node: Node, loop: LoopDef) -> str:
    """A loop's table: its body, the states, and by name everything else."""
    names = {name: _name(graph, arg) for (name, _), arg in zip(loop.roles, node.args, strict=True)}
    states = [names[name] for name in loop.states]
    init = f"({', '.join(states)}{',' if len(states) == 1 else ''})"
    rest = [f"{name}={names[name]}" for name, role in loop.roles if role != "state"]
    options = [f"length={loop.length}", *["reverse=true"] * loop.reverse]
    return f"scan_table({', '.join((loop.body.name, init, *rest, *options))})"


def _call(graph: Graph, node: Node) -> str:
    if node.op in graph.loops:
        return _loop(graph, node, graph.loops[node.op])
    sizes = dict(node.sizes)
    given = [_name(graph, arg) for arg in node.args]
    if node.op.startswith(tuple(f'{name}("' for name in TEXTUAL)):
        given.insert(0, node.op[node.op.index('"') : node.op.rindex('"') + 1])
    given += [f"{name}={_value(value)}" for name, value in node.attrs]
    given += [f"{_keyword(name)}={_shape(name, sizes[name])}" for name in signature_of(graph.ops[node.op]).free]
    return f"{base_name(node.op)}({', '.join(given)})"


def _name(graph: Graph, arg: Arg) -> str:
    return arg.name if isinstance(arg, Env) else graph.nodes[arg.id].name


def _value(value: AttrValue) -> str:
    return f"({value})" if isinstance(value, Fraction) and value < 0 else str(value)


def _keyword(size: str) -> str:
    return size[:-2].lower() if size.endswith("..") else size


def _shape(size: str, extents: tuple[Poly, ...]) -> str:
    if not size.endswith(".."):
        return str(extents[0])
    return f"({', '.join(map(str, extents))}{',' if len(extents) == 1 else ''})"


def _dim(dim: Dim) -> str:
    return f"dim {dim.name} >= {dim.lower}" if dim.lower else f"dim {dim.name}"


def _delta(delta: Delta) -> str:
    const = "const " if delta.type.kind == "real" and delta.seeded is None else ""
    if delta.seeded is None:
        return f"{const}{delta.name}: {delta.type}"
    chance = f", p={delta.seeded.p}" if delta.seeded.kind == "bernoulli" else ""
    return f"{const}{delta.name}: {delta.type} = {delta.seeded.kind}(seed={delta.seeded.seed}{chance})"


def _bound(graph: Graph, bound: Bound) -> str:
    return f"{_side(graph, bound.left)} {bound.rel} {_side(graph, bound.right)}"


def _entrywise(graph: Graph, ensure: Entrywise) -> str:
    names = {name: _name(graph, arg) for name, arg in ensure.values}
    gradients = {
        one.name: f"grad({_entry(graph, one.output, one.at)}, {_entry(graph, one.input, one.to)})"
        for one in ensure.gradients
    }

    def side(term: Term) -> str:
        if isinstance(term, Read) and term.tensor in gradients:
            return gradients[term.tensor]
        return show(rename_tensors(term, names))

    where = "" if ensure.where == TRUE else f" where {show(rename_tensors_cond(ensure.where, names))}"
    return f"{side(ensure.left)} {ensure.rel} {side(ensure.right)}{where}"


def _entry(graph: Graph, node: int, index: tuple[Poly, ...]) -> str:
    return show(Read(graph.nodes[node].name, index))


def _side(graph: Graph, side: int | str | Fraction | Poly) -> str:
    return graph.nodes[side].name if isinstance(side, int) else str(side)
