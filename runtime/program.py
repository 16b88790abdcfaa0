"""The sealed program: a graph with a certificate for every claim it makes. Nothing else runs.

The program works out the list of claims itself, from the graph that it is given, and makes its plans from that graph,
or takes those that its certificate came with. float64 and float32 run through the plans, exact scalars and intervals
through the tape.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any, NoReturn, TypeAlias

import numpy as np
from gradproof.compiler.claims import Certificate, Claim
from gradproof.compiler.gradient import gradient_graph
from gradproof.compiler.graph import Graph
from gradproof.compiler.loops import frozen
from gradproof.compiler.obligations import claims_of_graph, graph_digest
from gradproof.compiler.orders import blocked, claims_of_gradient
from gradproof.compiler.plan import Mode, Plan, cotangent_name, make_plan, tangent_name
from gradproof.runtime.executor import Executor
from gradproof.runtime.inputs import Door, Inputs, like
from gradproof.runtime.scalars import Array, Floats, Scalars, scalars
from gradproof.runtime.semantics import array_tape
from gradproof.runtime.sizes import InputError
from gradproof.runtime.tape import NoOutput, NotScalar, Tape, Values

Given: TypeAlias = Mapping[str, Any]
Results: TypeAlias = Array | tuple[Array, ...]
BOUND = 16  # executors that a program keeps, each with its buffers


class Unsealed(TypeError):
    """A program was asked for without a certificate that covers every claim it makes."""


class Program:
    """A graph that was proved. Results are an array, or a tuple of them where the graph returns several values.

    Inputs go by name, as keywords or in one mapping; `scalar` is float64, float32, rational or interval (default: what
    the inputs are declared as); `dims` gives the dims that no input's shape shows. InputError for wrong inputs.
    """

    __slots__ = ("_executors", "_gradient", "_plans", "_tapes", "certificate", "default_scalar", "door", "graph")
    graph: Graph
    certificate: Certificate
    door: Door
    default_scalar: str
    _plans: dict[Mode, Plan]
    _tapes: dict[str, Tape[Array]]
    _executors: OrderedDict[Any, Executor]
    _gradient: Program | None

    def __init__(self, graph: Graph, certificate: Certificate) -> None:
        # The definitions are copied first, so that what is checked here is what runs later.
        graph = frozen(graph)
        demand(graph, certificate)
        put = super().__setattr__
        put("graph", graph)
        put("certificate", certificate)
        put("door", Door(graph))
        put("default_scalar", _default_scalar(graph))
        put("_plans", {})
        put("_tapes", {})
        put("_executors", OrderedDict())
        put("_gradient", None)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"a program is sealed: {name} can't be set")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"a program is sealed: {name} can't be deleted")

    def __reduce__(self) -> NoReturn:
        raise TypeError("a program can't be pickled: its certificate is good for this process only")

    def __repr__(self) -> str:
        needs = ", ".join(f"{name}: {type_}" for name, type_ in self.inputs.items())
        gives = ", ".join(f"{name}: {type_}" for name, type_ in self.outputs.items())
        return f"<gradproof.Program {self.graph.name}({needs}) -> {gives}>"

    @property
    def inputs(self) -> dict[str, str]:
        """The types of all inputs, Γ then Δ, by name."""
        return {n.name: str(n.type) for n in self.graph.gamma} | {d.name: str(d.type) for d in self.graph.delta}

    @property
    def outputs(self) -> dict[str, str]:
        """The types of the results by name."""
        graph = self.graph
        return {n: str(graph.nodes[id_].type) for n, id_ in zip(graph.output_names, graph.outputs, strict=True)}

    # Running.

    def forward(
        self,
        inputs: Given | None = None,
        /,
        *,
        scalar: str | None = None,
        dims: Mapping[str, int] | None = None,
        **named: Any,
    ) -> Results:
        """The graph's results."""
        numbers, given = self._admit(inputs, named, scalar, dims)
        if isinstance(numbers, Floats):
            return _bare(self._execute("forward", numbers, given, {}))
        values = self._table(numbers, given)
        return _bare([values.nodes[id_] for id_ in self.graph.outputs])

    def value_and_grad(
        self,
        inputs: Given | None = None,
        /,
        *,
        scalar: str | None = None,
        dims: Mapping[str, int] | None = None,
        **named: Any,
    ) -> tuple[Array, dict[str, Array]]:
        """The value of the one real scalar that the graph returns, and its gradient for each input of Γ by name."""
        out = self._scalar_output()
        numbers, given = self._admit(inputs, named, scalar, dims)
        if isinstance(numbers, Floats):
            value, *grads = self._execute("value_and_grad", numbers, given, {})
            return value, self._by_name(grads)
        values = self._table(numbers, given)
        return values.nodes[out], self._by_name(self.tape(numbers.name).backward_dense_all(values, out))

    def jvp(
        self,
        inputs: Given,
        tangents: Given,
        /,
        *,
        scalar: str | None = None,
        dims: Mapping[str, int] | None = None,
    ) -> tuple[Results, Results]:
        """The results and their tangents; an input without a tangent is held constant."""
        numbers, given = self._admit(inputs, {}, scalar, dims)
        moves = self._tangents(tangents, given, numbers)
        if isinstance(numbers, Floats):
            named = {tangent_name(n.name): t for n, t in zip(self.graph.gamma, moves, strict=True)}
            results = self._execute("jvp", numbers, given, named)
            count = len(self.graph.outputs)
            return _bare(results[:count]), _bare(results[count:])
        values = self._table(numbers, given)
        found = self.tape(numbers.name).jvp_all(values, moves)
        outputs = self.graph.outputs
        return _bare([values.nodes[i] for i in outputs]), _bare([found[i] for i in outputs])

    def vjp(
        self,
        inputs: Given,
        cotangents: Any,
        /,
        *,
        scalar: str | None = None,
        dims: Mapping[str, int] | None = None,
    ) -> tuple[Results, dict[str, Array]]:
        """The results, and what the cotangents of the results pull back to each input of Γ.

        `cotangents` maps names of results to arrays (those not named are 0), or is a tuple with one for each result;
        for a graph with one result it may be the array itself.
        """
        numbers, given = self._admit(inputs, {}, scalar, dims)
        seeds = self._cotangents(cotangents, given, numbers)
        if isinstance(numbers, Floats):
            named = {cotangent_name(k): seed for k, seed in enumerate(seeds)}
            results = self._execute("vjp", numbers, given, named)
            count = len(self.graph.outputs)
            return _bare(results[:count]), self._by_name(results[count:])
        tape, values = self.tape(numbers.name), self._table(numbers, given)
        context = tape.seed_context(values, zip(self.graph.outputs, seeds, strict=True))
        grads = tape.backward_dense_from(values, context)
        return _bare([values.nodes[i] for i in self.graph.outputs]), self._by_name(grads)

    def gradient(self) -> Program:
        """The program of this graph's gradients: its results are those of this one and `grad.NAME` of each input.

        Its jvp and vjp are second derivatives. A graph that returns one real scalar is differentiated; any other takes
        a cotangent `ct.NAME` of each real result as a further input. Unsealed unless it was compiled with `order=2`.
        """
        found = self._gradient
        if found is None:
            found = _gradient_of(self.graph, self.certificate)
            object.__setattr__(self, "_gradient", found)  # the one thing that is made later
        return found

    def hvp(
        self,
        inputs: Given,
        tangents: Given,
        /,
        *,
        scalar: str | None = None,
        dims: Mapping[str, int] | None = None,
    ) -> tuple[Array, dict[str, Array], dict[str, Array]]:
        """The value of the one real scalar that the graph returns, its gradients, and the Hessian times the tangents.

        Gradients and products go by the names of the inputs; an input without a tangent is held constant. Forward over
        reverse, one pass. Unsealed unless the program was compiled with `order=2`.
        """
        self._scalar_output()
        results, moved = map(_each, self.gradient().jvp(inputs, tangents, scalar=scalar, dims=dims))
        return results[0], self._by_name(results[1:]), self._by_name(moved[1:])

    def denote_all(
        self,
        inputs: Given | None = None,
        /,
        *,
        scalar: str | None = None,
        dims: Mapping[str, int] | None = None,
        **named: Any,
    ) -> dict[str, Array]:
        """The value of every node by name, in id order, computed by the tape."""
        numbers, given = self._admit(inputs, named, scalar, dims)
        values = self._table(numbers, given)
        return {node.name: value for node, value in zip(self.graph.nodes, values.nodes, strict=True)}

    def tape(self, scalar: str | None = None) -> Tape[Array]:
        """The tape over arrays of these scalars; it serves all inputs."""
        name = scalar or self.default_scalar
        if name not in self._tapes:
            self._tapes[name] = array_tape(self.graph, scalars(name))
        return self._tapes[name]

    def plan(self, mode: Mode = "forward") -> Plan:
        """The plan that floats run through."""
        if mode not in self._plans:
            self._plans[mode] = self._planned(self.graph, mode)
        return self._plans[mode]

    def _planned(self, graph: Graph, mode: Mode) -> Plan:
        """The plan of the graph, or of the body of a loop: the one that a certificate holds, where it does."""
        proved = self.certificate.plans.get((graph_digest(graph), mode))
        return make_plan(graph, mode) if proved is None else proved

    def admit(self, inputs: Given, scalar: str | None = None, dims: Mapping[str, int] | None = None) -> Inputs:
        """The inputs as the tape takes them: arrays of these scalars, Γ in id order, Δ by name, and the dims."""
        return self._admit(inputs, {}, scalar, dims)[1]

    # Inside.

    def _admit(
        self, inputs: Given | None, named: Given, scalar: str | None, dims: Mapping[str, int] | None
    ) -> tuple[Scalars, Inputs]:
        numbers = scalars(scalar or self.default_scalar)
        if inputs and named:
            raise InputError("give the inputs by keyword or in one mapping, not both")
        given = inputs or named
        if isinstance(numbers, Floats):
            return numbers, self.door.admit(given, numbers.dtype, dims)
        found = self.door.admit(given, None, dims)
        context = tuple(lift(numbers, n.name, a) for n, a in zip(self.graph.gamma, found.context, strict=True))
        kinds = {d.name: d.type.kind for d in self.graph.delta}
        delta = {n: lift(numbers, n, a) if kinds[n] == "real" else a for n, a in found.delta.items()}
        return numbers, Inputs(context, delta, found.dims)

    def _table(self, numbers: Scalars, given: Inputs) -> Values[Array]:
        return self.tape(numbers.name).denote_all(given.context, given.delta, given.dims)

    def _execute(self, mode: Mode, numbers: Floats, given: Inputs, more: Mapping[str, Array]) -> list[Array]:
        key = (mode, numbers.name, tuple(given.dims.items()))
        found = self._executors.get(key)
        if found is None:
            found = self._executors[key] = Executor(self.plan(mode), given.dims, numbers, self._planned)
            if len(self._executors) > BOUND:
                self._executors.popitem(last=False)
        named = {n.name: a for n, a in zip(self.graph.gamma, given.context, strict=True)}
        return found.run({**named, **given.delta, **more})

    def _tangents(self, tangents: Given, given: Inputs, numbers: Scalars) -> list[Array]:
        dtype = numbers.dtype if isinstance(numbers, Floats) else None
        found = self.door.admit_like(tangents, given, dtype, "tangent")
        return [
            numbers.zeros(np.shape(value)) if t is None else lift(numbers, f"tangent of {n.name}", t)
            for n, value, t in zip(self.graph.gamma, given.context, found, strict=True)
        ]

    def _cotangents(self, cotangents: Any, given: Inputs, numbers: Scalars) -> list[Array]:
        names = self.graph.output_names
        if isinstance(cotangents, Mapping):
            for name in cotangents:
                if name not in names:
                    raise InputError(f"cotangent of {name}: graph {self.graph.name} returns {', '.join(names)}")
            each = [cotangents.get(name) for name in names]
        elif len(names) == 1 and not isinstance(cotangents, tuple):
            each = [cotangents]
        else:
            each = list(cotangents) if isinstance(cotangents, tuple) else [cotangents]
        if len(each) != len(names):
            raise InputError(f"{len(each)} cotangents were given, graph {self.graph.name} returns {len(names)} values")
        dtype = numbers.dtype if isinstance(numbers, Floats) else None
        out: list[Array] = []
        for name, id_, value in zip(names, self.graph.outputs, each, strict=True):
            shape = tuple(extent.evaluate(given.dims) for extent in self.graph.nodes[id_].type.shape)
            if value is None:
                out.append(numbers.zeros(shape))
                continue
            what = f"cotangent of {name}"
            out.append(lift(numbers, what, like(what, value, shape, dtype)))
        return out

    def _scalar_output(self) -> int:
        outputs = self.graph.outputs
        if not outputs:
            raise NoOutput(f"graph {self.graph.name} returns nothing")
        type_ = self.graph.nodes[outputs[0]].type
        if len(outputs) > 1 or type_.kind != "real" or type_.shape:
            gives = ", ".join(f"{n}: {t}" for n, t in self.outputs.items())
            raise NotScalar(f"graph {self.graph.name} returns {gives}, not one real scalar: use vjp with cotangents")
        return outputs[0]

    def _by_name(self, grads: Sequence[Array]) -> dict[str, Array]:
        return {node.name: grads[node.id] for node in self.graph.gamma}


def _gradient_of(graph: Graph, certificate: Certificate) -> Program:
    """The program of a graph's gradients; Unsealed unless it is proved to be that."""
    if reason := blocked(graph):
        raise Unsealed(f"graph {graph.name} has no graph of gradients: {reason}")
    gradient = gradient_graph(graph)
    require(
        f"the gradient of graph {graph.name} (compile with order=2)", claims_of_gradient(graph, gradient), certificate
    )
    return Program(gradient, certificate)


def _default_scalar(graph: Graph) -> str:
    """float32 where every real input is declared so, otherwise float64."""
    found = {t.dtype for t in (*(n.type for n in graph.gamma), *(d.type for d in graph.delta)) if t.kind == "real"}
    return "float32" if found == {"f32"} else "float64"


def demand(graph: Graph, certificate: Certificate) -> None:
    """Unsealed unless the certificate is one, was issued by the verifier, and covers every claim of this graph."""
    if type(certificate) is not Certificate:
        raise Unsealed(f"graph {graph.name} needs a certificate, not {type(certificate).__name__}")
    try:
        certificate.__post_init__()
    except (TypeError, AttributeError):
        raise Unsealed("this certificate was not issued by the verifier") from None
    require(f"graph {graph.name}", claims_of_graph(graph), certificate)


def require(what: str, claims: tuple[Claim, ...], certificate: Certificate) -> None:
    """Unsealed unless the certificate covers these claims."""
    missing = certificate.missing(claims)
    if missing:
        first = "; ".join(f"{c.code} of {c.subject}: {c.text}" for c in missing[:3])
        more = f"; and {len(missing) - 3} more" if len(missing) > 3 else ""
        raise Unsealed(f"{what}: not proved: {first}{more}")


def lift(numbers: Scalars, name: str, array: Array) -> Array:
    """An array as an array of these scalars; floats are taken exactly."""
    try:
        if isinstance(numbers, Floats) or array.dtype != object:
            return numbers.array(array)
        out = np.empty(array.shape, object)
        flat = out.reshape(-1)
        for k, value in enumerate(array.reshape(-1).tolist()):
            exact = Fraction(value) if isinstance(value, int | float | Fraction) else value
            flat[k] = numbers.field.num(exact) if isinstance(exact, Fraction) else value
        return out
    except (ValueError, OverflowError) as error:
        raise InputError(f"{name} can't be made {numbers.name}: {error}") from error


def _bare(results: Sequence[Array]) -> Results:
    return results[0] if len(results) == 1 else tuple(results)


def _each(results: Results) -> tuple[Array, ...]:
    return results if isinstance(results, tuple) else (results,)
