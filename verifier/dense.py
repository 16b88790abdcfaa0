"""WF, EDGE, FWD and DENSE of a graph, by running the runtime's own tape. Trusts Z3 and the references below.

Two levels, and both are needed. Here the tape's loops run on uninterpreted tensors (free.py): each node's value, jvp
and vjp is a function of which nothing is known, so what is shown holds for all sizes and all operators. What those
functions are, entry by entry, is entries.py's business.

Each table of the tape (values, tangents, gradients) is compared with an independent definition node by node; inside a
node's goal the earlier nodes' entries are symbols, so a goal is as large as the node and the work grows linearly.
DENSE comes in two strengths: over an uninterpreted `+` (the same additions in the same order, hence bit for bit the
same in floating point), and over a commutative one: an identity between sums holds in every commutative semiring where
it holds in the integers, contributions being arbitrary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from time import perf_counter
from typing import Any, TypeAlias, TypeVar

from gradproof.compiler.claims import Claim, Counterexample, Hypothesis, Verdict
from gradproof.compiler.graph import INPUT, Graph
from gradproof.runtime.tape import Tape, TapeError, Values
from gradproof.verifier import smt
from gradproof.verifier.free import ADD, Bank, Expr, Inspected, Uninterpreted, show, translate
from gradproof.verifier.progress import attempt
from gradproof.verifier.reference import reference_gradients, reference_tangents, reference_values, seed_table

Result = TypeVar("Result")
MakeTape: TypeAlias = Callable[[Graph, Any], Tape[Any]]
CODES = ("WF", "EDGE", "FWD", "DENSE")
SCOPE = "all sizes; the kernels of each kind of node entry by entry at small sizes"
CHUNK = 64  # goals that the solver is given at once


@dataclass(frozen=True, slots=True)
class Finding:
    """What became of one part of a claim; the weakest part decides the claim."""

    answer: str
    by: str
    counterexample: Counterexample | None = None
    reason: str = ""
    hypotheses: tuple[Hypothesis, ...] = ()


@dataclass(frozen=True, slots=True)
class Run:
    """The tables of one run of a tape on uninterpreted values."""

    bank: Bank
    values: Values[Expr]
    tangents: list[Expr]
    grads: list[Expr]


def prove_tape(
    graph: Graph,
    claims: Sequence[Claim],
    make: MakeTape = Tape.of,
    timeout: float = smt.TIMEOUT,
    entries: bool = True,
) -> tuple[Verdict, ...]:
    """A verdict on each of the graph's WF, EDGE, FWD and DENSE claims. `make` builds the tape that is examined.

    `entries=False` leaves the operators uninterpreted; only tests of the loops may ask for that.
    """
    examination = Examination(graph, make, timeout, entries)
    wanted = [claim for claim in claims if claim.kind == "graph" and claim.code in CODES]
    return tuple(attempt(claim, partial(examination.verdict, claim)) for claim in wanted)


class Examination:
    """One tape under examination: it is built and run once, whatever is asked about it."""

    def __init__(
        self, graph: Graph, make: MakeTape = Tape.of, timeout: float = smt.TIMEOUT, entries: bool = True
    ) -> None:
        self.graph, self.make, self.timeout, self.with_entries = graph, make, timeout, entries
        self._run: Run | Finding | None = None
        self._wf: Finding | None = None

    def verdict(self, claim: Claim) -> Verdict:
        """The verdict on one claim."""
        started = perf_counter()
        finding = self.weakest(self.parts(claim))
        seconds = perf_counter() - started
        return Verdict(
            claim,
            finding.answer,  # type: ignore[arg-type]  # one of the three
            finding.by,
            "all sizes" if not self.with_entries or claim.code in ("WF", "EDGE") else SCOPE,
            seconds,
            finding.hypotheses,
            counterexample=finding.counterexample,
            reason=finding.reason,
        )

    def parts(self, claim: Claim) -> Iterator[Finding]:
        """The findings that a claim consists of."""
        wf = self.wf()
        if claim.code == "WF" or wf.answer != "proved":
            yield wf if claim.code == "WF" else Finding("unknown", "structure", reason="the graph is not well-formed")
            return
        if claim.code == "EDGE":
            yield self._guarded(self.edges)
            return
        run = self.run()
        if isinstance(run, Finding):
            yield run
            return
        match claim.code:
            case "FWD":
                yield self.tables("value", run, _value_pairs(self.graph, run), FREE)
                yield from self.entries("value")
            case "DENSE" if "semiring" in claim.text:
                yield self.tables("gradient", run, _gradient_pairs(self.graph, run, ordered=False), SEMIRING)
                yield from self.entries("derivatives")
            case "DENSE":
                yield self.tables("gradient", run, _gradient_pairs(self.graph, run, ordered=True), FREE)
                yield self.tables("tangent", run, _tangent_pairs(self.graph, run), FREE)
                yield self._guarded(lambda: self.seeding(run))
                yield from self.entries("derivatives")

    @staticmethod
    def weakest(parts: Iterator[Finding]) -> Finding:
        """The first part that is not proved; otherwise all of them together."""
        proofs: dict[str, None] = {}
        assumed: dict[Hypothesis, None] = {}
        for part in parts:
            if part.answer != "proved":
                return part
            proofs.update(dict.fromkeys(part.by.split(" + ")))
            assumed.update(dict.fromkeys(part.hypotheses))
        return Finding("proved", " + ".join(proofs), hypotheses=tuple(assumed))

    # WF and EDGE.

    def wf(self) -> Finding:
        """The graph's table of well-formedness, and that the tape has exactly the graph's nodes."""
        if self._wf is None:
            self._wf = next(self._malformed(), Finding("proved", "structure"))
        return self._wf

    def _malformed(self) -> Iterator[Finding]:
        from gradproof.compiler.wellformed import check

        for problem in check(self.graph):
            yield _refuted("structure", "the graph", "well-formed", str(problem))
        tape = self.make(self.graph, Uninterpreted(self.graph, Bank()))
        wanted = len(self.graph.gamma) + len(self.graph.inner)
        if len(tape.nodes) != wanted:
            yield _refuted("structure", "the tape", f"{wanted} nodes", f"{len(tape.nodes)} nodes")
        for k, (node, own) in enumerate(zip(self.graph.nodes, tape.nodes, strict=False)):
            expected, got = (k, node.op, node.parents), (own.id, own.op, own.parents)
            if expected != got or (k < tape.leaves) != (own.op == INPUT):
                yield _refuted("structure", node.name, str(expected), str(got), "id, operator, parents")

    def edges(self) -> Finding:
        """Parents and emitted ids are smaller than the node's id, and every node requires grad."""
        tape, emitted = emissions(self.graph, self.make)
        for node, own in zip(self.graph.nodes, tape.nodes, strict=True):
            if own.requires_grad is not True:
                return _refuted("structure", node.name, "requires grad", "does not require grad")
        nodes = self.graph.nodes
        edges = [(*n.parents, *own.parents, *ids) for n, own, ids in zip(nodes, tape.nodes, emitted, strict=True)]
        outcomes = smt.prove_texts("", [_below(ids, k) for k, ids in enumerate(edges)], self.timeout)
        for node, ids, outcome in zip(nodes, edges, outcomes, strict=True):
            bad = ", ".join(str(p) for p in ids if not 0 <= p < node.id)
            if outcome.answer == "refuted":
                return _refuted("z3", node.name, f"ids from 0 to {node.id - 1}", f"id {bad}", "an edge")
            if outcome.answer == "unknown":
                return Finding("unknown", "z3", reason=f"{node.name}: {outcome.reason}")
        return Finding("proved", "z3")

    # FWD and DENSE: tables.

    def run(self) -> Run | Finding:
        """Run the tape on uninterpreted values."""
        if self._run is None:
            self._run = self._guarded(lambda: run_free(self.graph, self.make))
        return self._run

    @staticmethod
    def _guarded(run: Callable[[], Result]) -> Result | Finding:
        try:
            return run()
        except (TapeError, Inspected, LookupError) as error:
            return _refuted("structure", "the tape", "a run", f"{type(error).__name__}: {error}")

    def tables(self, what: str, run: Run, pairs: Iterator[Pair], theory: Theory) -> Finding:
        """One table of the tape equals its independent definition; `pairs` come in the order of the induction."""
        cuts = {value.id: f"|value {k}|" for k, value in enumerate(run.values.nodes)} if what != "value" else {}
        batch = _Batch(theory, cuts)
        for pair in pairs:
            batch.add(pair)
            # From here on this node's entry is a symbol, on both sides.
            cuts.setdefault(pair.got.id, f"|{what} {pair.id}|")
            cuts.setdefault(pair.expected.id, f"|{what} {pair.id}|")
            if len(batch.pairs) == CHUNK:
                problem = self._compare(what, run, batch)
                if problem:
                    return problem
                batch = _Batch(theory, cuts)
        return self._compare(what, run, batch) or Finding("proved", "z3")

    def _compare(self, what: str, run: Run, batch: _Batch) -> Finding | None:
        outcomes = smt.prove_texts(batch.declarations(), batch.goals, self.timeout)
        for pair, outcome in zip(batch.pairs, outcomes, strict=True):
            name = self.graph.nodes[pair.id].name
            if outcome.answer == "proved":
                continue
            if outcome.answer == "refuted" and batch.theory.distinct(run.bank, pair.got, pair.expected):
                return self._differs(what, pair, batch.cuts)
            return Finding("unknown", "z3", reason=f"the {what} of {name}: {outcome.reason or 'not proved'}")
        return None

    def _differs(self, what: str, pair: Pair, cuts: Mapping[int, str]) -> Finding:
        node = self.graph.nodes[pair.id]
        names = {id_: self._readable(text) for id_, text in cuts.items() if id_ not in (pair.got.id, pair.expected.id)}
        return _refuted(
            "z3",
            node.name,
            show(pair.expected, names),
            show(pair.got, names),
            f"the {what} of `{node.name}` (id {node.id}, {node.op}), with tensors left uninterpreted",
        )

    def _readable(self, cut: str) -> str:
        what, _, id_ = cut.strip("|").partition(" ")
        name = self.graph.nodes[int(id_)].name
        return name if what == "value" else f"{what}({name})"

    def entries(self, what: str) -> Iterator[Finding]:
        """The closures of each kind of node, entry by entry (entries.py)."""
        from gradproof.verifier.entries import compare, kinds_of

        if not self.with_entries:
            return
        for kind, node in kinds_of(self.graph).items():
            found = compare(kind, what, self.timeout)
            shown = found.counterexample
            if shown is not None:
                shown = replace(shown, values={"node": node.name, **shown.values})
            yield Finding(found.answer, found.by, shown, f"{node.name}: {found.reason}", found.hypotheses)

    def seeding(self, run: Run) -> Finding:
        """`backward_dense_all` is the dense loop from a seed that is zero but at the output."""
        tape = self.make(self.graph, Uninterpreted(self.graph, run.bank))
        bank, outputs = run.bank, self.graph.outputs
        seeds = [bank.apply(f"cotangent {k}") for k in range(len(outputs))]
        every = tuple(zip(outputs, seeds, strict=True))
        wanted = [seed_table(run.values, every, bank)]
        found = [tape.seed_context(run.values, every)]
        for out, seed in {every[0], every[-1]}:
            table = seed_table(run.values, ((out, seed),), bank)
            wanted.append(reference_gradients(self.graph, run.values, table, bank))
            found.append(tape.backward_dense_all(run.values, out, seed))
        for expected, got in zip(wanted, found, strict=True):
            for node, e, g in zip(self.graph.nodes, expected, got, strict=True):
                if e is not g:
                    return _refuted("structure", node.name, show(e), show(g), "seeded at the output")
        return Finding("proved", "structure")


def run_free(graph: Graph, make: MakeTape) -> Run:
    """Run a tape's loops forward, forward-mode and backward on symbols."""
    tape, bank, values = _forward(graph, make)
    tangents = tape.jvp_all(values, [bank.apply(f"tangent {k}") for k in range(graph.leaves)])
    grads = tape.backward_dense_from(values, [bank.apply(f"seed {k}") for k in range(len(tape.nodes))])
    return Run(bank, values, tangents, grads)


def emissions(graph: Graph, make: MakeTape) -> tuple[Tape[Expr], list[tuple[int, ...]]]:
    """The tape, and the ids that each backward closure emits; symbols can't be looked into, so these are all."""
    tape, bank, values = _forward(graph, make)
    emitted = [tuple(p for p, _ in n.backward(values, bank.apply(f"cotangent of {n.id}"))) for n in tape.nodes]
    return tape, emitted


def _forward(graph: Graph, make: MakeTape) -> tuple[Tape[Expr], Bank, Values[Expr]]:
    bank = Bank()
    tape: Tape[Expr] = make(graph, Uninterpreted(graph, bank))
    delta = {d.name: bank.apply(f"delta {d.name}") for d in graph.delta}
    return tape, bank, tape.denote_all([bank.apply(f"input {k}") for k in range(graph.leaves)], delta, {})


def _below(ids: Sequence[int], id_: int) -> str:
    """The goal that the ids lie from 0 to below `id_`."""
    numbers = (str(p) if p >= 0 else f"(- {-p})" for p in (*ids, 0))
    return f"(and {' '.join(f'(<= 0 {p} {max(id_ - 1, 0)})' for p in numbers)})"


# The goals: one a node, in the order of the induction, with the nodes that are settled already as symbols.


@dataclass(frozen=True, slots=True)
class Pair:
    """What the tape has for a node, and what the independent definition has."""

    id: int
    got: Expr
    expected: Expr


@dataclass(frozen=True, slots=True)
class Theory:
    """What `+` is: a function of which nothing is known (`plus` is then a name), or the integers' addition."""

    sort: str
    plus: str
    prelude: str
    distinct: Callable[[Bank, Expr, Expr], bool]


def _distinct_sums(bank: Bank, got: Expr, expected: Expr) -> bool:
    numbers = bank.numbers()
    return numbers[got.id] != numbers[expected.id]


FREE = Theory("V", "|a + b|", "(declare-sort V 0)(declare-fun |a + b| (V V) V)", lambda _, a, b: a is not b)
SEMIRING = Theory("Int", "+", "", _distinct_sums)


class _Batch:
    """Goals for the solver, as text, with what they declare."""

    def __init__(self, theory: Theory, cuts: Mapping[int, str]) -> None:
        self.theory, self.cuts = theory, cuts
        self.pairs: list[Pair] = []
        self.goals: list[str] = []
        self._declared: dict[str, int] = {}

    def add(self, pair: Pair) -> None:
        """One more goal, with the cuts of this moment."""
        sides = (translate(side, self.cuts, self._declare) for side in (pair.got, pair.expected))
        self.pairs.append(pair)
        self.goals.append(f"(= {' '.join(sides)})")

    def declarations(self) -> str:
        """The declarations of every symbol in the goals."""
        sort = self.theory.sort
        each = (f"(declare-fun {name} ({(sort + ' ') * k}) {sort})" for name, k in self._declared.items())
        return self.theory.prelude + "".join(each)

    def _declare(self, symbol: str, arity: int) -> str:
        if symbol == ADD:
            return self.theory.plus
        name = symbol if symbol[0] == "|" else f"|{symbol.replace('|', '/')}/{arity}|"
        self._declared[name] = arity
        return name


def _value_pairs(graph: Graph, run: Run) -> Iterator[Pair]:
    context = {n.name: run.bank.apply(f"input {n.id}") for n in graph.gamma}
    context |= {d.name: run.bank.apply(f"delta {d.name}") for d in graph.delta}
    yield from map(Pair, range(len(graph.nodes)), run.values.nodes, reference_values(graph, context, run.bank))


def _tangent_pairs(graph: Graph, run: Run) -> Iterator[Pair]:
    dx = [run.bank.apply(f"tangent {k}") for k in range(graph.leaves)]
    expected = reference_tangents(graph, run.values, dx, run.bank)
    yield from map(Pair, range(len(graph.nodes)), run.tangents, expected)


def _gradient_pairs(graph: Graph, run: Run, ordered: bool) -> Iterator[Pair]:
    seeds = [run.bank.apply(f"seed {k}") for k in range(len(graph.nodes))]
    expected = reference_gradients(graph, run.values, seeds, run.bank, ordered)
    pairs = map(Pair, range(len(graph.nodes)), run.grads, expected)
    yield from reversed(list(pairs))


def _refuted(by: str, name: str, expected: str, got: str, note: str = "") -> Finding:
    return Finding("refuted", by, Counterexample({}, {"node": name}, expected, got, True, note))
