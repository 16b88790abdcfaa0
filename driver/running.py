"""`gradproof run`: read arrays, prove the file, run one graph, write or print the results."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator, Mapping
from time import perf_counter
from typing import Any, TypeAlias

from gradproof.arrays import exact, read_npz, rounded, write_npz
from gradproof.compiler.dims import Poly
from gradproof.compiler.graph import Graph
from gradproof.paths import one
from gradproof.pipeline import load, seal_all
from gradproof.usage import UsageError

Arrays: TypeAlias = dict[str, Any]
DTYPES = {"f32": "np.float32", "f64": "np.float64", "i32": "np.int32", "i64": "np.int64", "bool": "bool"}


def run_graph(args: Namespace) -> int:
    """Run as the command line says; without inputs, say what is needed. ProofError where something is not proved."""
    text = one(args.file)
    if args.inputs is None:
        print(needs(choose(load(text).graphs, args.graph, args.file), args.file))
        return 0
    given, tangents, cotangents = (
        read_npz(path) if path else {} for path in (args.inputs, args.jvp or args.hvp, args.vjp)
    )
    if args.scalar in ("rational", "interval"):
        given, tangents, cotangents = exact(given), exact(tangents), exact(cotangents)
    module = load(text)
    graph = choose(module.graphs, args.graph, args.file)
    program = seal_all(module, args.timeout, perf_counter(), 2 if args.hvp else 1)[graph.name]
    results = _run(program, args, given, tangents, cotangents)
    if args.output:
        write_npz(args.output, rounded(results))
    else:
        print("\n".join(_shown(results)))
    return 0


def choose(graphs: Mapping[str, Graph], name: str | None, path: str) -> Graph:
    """The graph of this name, or the only one there is."""
    if name is None and len(graphs) == 1:
        return next(iter(graphs.values()))
    if name is None or name not in graphs:
        what = f"no graph {name!r}" if name else "say which graph with --graph"
        raise UsageError(f"{path}: {what}; there are: {', '.join(graphs) or 'none'}")
    return graphs[name]


def needs(graph: Graph, path: str) -> str:
    """What a graph takes and gives, and a line of Python that makes inputs of the right form."""
    lines = [f"graph {graph.name} of {path}", "inputs:"]
    lines += [f"  {node.name}: {node.type}  (differentiable)" for node in graph.gamma]
    for delta in graph.delta:
        drawn = f"  (drawn from seed {delta.seeded.seed} unless given)" if delta.seeded else ""
        lines.append(f"  {delta.name}: {delta.type}{drawn}")
    lines += ["for:", *(f"  {condition}" for condition in _conditions(graph))]
    lines += ["results:", *(f"  {graph.nodes[k].name}: {graph.nodes[k].type}" for k in graph.outputs)]
    return "\n".join([*lines, "for example:", f"  {_example(graph)}"])


def _conditions(graph: Graph) -> Iterator[str]:
    for dim in graph.dims:
        if dim.value is None:
            yield f"{dim.name} >= {dim.lower}"
    yield from (f"{poly} {rel} 0" for poly, rel in graph.assume_dims)
    yield from (f"{bound.text}" for bound in graph.assumes)


def _example(graph: Graph) -> str:
    sizes = {dim.name: max(dim.lower, 2) for dim in graph.dims if dim.value is None}
    typed = [(node.name, node.type) for node in graph.gamma]
    typed += [(delta.name, delta.type) for delta in graph.delta if delta.seeded is None]
    arrays = [f"{name}=np.zeros({_shape(type_.shape, sizes)}, {DTYPES[type_.dtype]})" for name, type_ in typed]
    return f'np.savez("inputs.npz", {", ".join(arrays)})'


def _shape(shape: tuple[Poly, ...], sizes: Mapping[str, int]) -> str:
    return str(tuple(extent.evaluate(sizes) for extent in shape))


def _run(program: Any, args: Namespace, given: Arrays, tangents: Arrays, cotangents: Arrays) -> Arrays:
    """The results by name: NAME, grad.INPUT, jvp.NAME, vjp.INPUT, hvp.INPUT, value.NODE."""
    from gradproof.runtime.sizes import InputError
    from gradproof.runtime.tape import TapeError

    names = program.graph.output_names
    try:
        more: Arrays = {}
        if args.grad:
            value, grads = program.value_and_grad(given, scalar=args.scalar)
            more = {f"grad.{name}": grad for name, grad in grads.items()}
        elif args.jvp:
            value, moved = program.jvp(given, tangents, scalar=args.scalar)
            more = {f"jvp.{name}": tangent for name, tangent in zip(names, _each(moved), strict=True)}
        elif args.vjp:
            value, pulled = program.vjp(given, cotangents, scalar=args.scalar)
            more = {f"vjp.{name}": grad for name, grad in pulled.items()}
        elif args.hvp:
            value, grads, products = program.hvp(given, tangents, scalar=args.scalar)
            more = {f"grad.{name}": grad for name, grad in grads.items()}
            more |= {f"hvp.{name}": product for name, product in products.items()}
        else:
            value = program.forward(given, scalar=args.scalar)
        results = dict(zip(names, _each(value), strict=True)) | more
        if args.all_values:
            every = program.denote_all(given, scalar=args.scalar)
            results |= {f"value.{name}": entry for name, entry in every.items()}
        return results
    except (InputError, TapeError) as error:
        raise UsageError(str(error)) from error
    except ArithmeticError as error:  # an exact scalar that has no value here, and why
        raise UsageError(f"--scalar {args.scalar}: {error}") from error


def _each(results: Any) -> tuple[Any, ...]:
    return results if isinstance(results, tuple) else (results,)


def _shown(results: Arrays) -> Iterator[str]:
    import numpy as np

    for name, value in results.items():
        array = np.asarray(value)
        if array.size <= 20:
            shown = np.array2string(array, separator=", ", formatter={"object": str}).replace("\n", "")
            yield f"{name} = {shown}"
        else:
            extremes = f", from {array.min()} to {array.max()}" if array.dtype.kind in "fiu" else ""
            yield f"{name}: {array.dtype}{list(array.shape)}{extremes}"
