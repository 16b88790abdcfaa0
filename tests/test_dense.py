"""WF, EDGE, FWD and DENSE: the runtime's tape is proved, and tampered tapes are refuted by the node's name."""

from __future__ import annotations

import dataclasses
import random

import pytest
from gradproof.compiler.claims import Claim
from gradproof.compiler.dims import Poly
from gradproof.compiler.graph import INPUT, Delta, Env, Graph, Node, Ref, TensorType
from gradproof.compiler.library import prelude
from gradproof.compiler.obligations import claims_of_graph
from gradproof.grammar.source import BUILTIN
from gradproof.runtime.tape import ForwardEdge, Tape, TapeNode
from gradproof.verifier.dense import CODES, prove_tape
from gradproof.verifier.free import Bank, Inspected, Uninterpreted

SIZE = (Poly.sym("n"),)
REAL, BOOL = TensorType("f64", SIZE), TensorType("bool", SIZE)


def make_graph(inputs, applications, outputs=None, delta=()):
    """A graph of elementwise operators over [n]: applications are (name, operator, arguments)."""
    nodes, ids = [], {}
    for name in inputs:
        ids[name] = len(nodes)
        nodes.append(Node(len(nodes), name, INPUT, (), (), (), REAL, BUILTIN))
    ops = {}
    for name, op, *args in applications:
        ops[op] = prelude().ops[op]
        refs = tuple(Ref(ids[a]) if a in ids else Env(a) for a in args)
        kind = BOOL if ops[op].output.kind == "bool" else REAL
        ids[name] = len(nodes)
        nodes.append(Node(len(nodes), name, op, refs, (), (("S..", SIZE),), kind, BUILTIN))
    outputs = [nodes[-1].name] if outputs is None else outputs
    deltas = tuple(Delta(name, BOOL if name.startswith("b") else REAL, BUILTIN) for name in delta)
    return Graph(
        "g",
        (),
        tuple(nodes),
        len(inputs),
        deltas,
        tuple(ids[o] for o in outputs),
        tuple(outputs),
        (),
        (),
        (),
        (),
        ops,
        BUILTIN,
    )


GRAPHS = {
    "one node": make_graph(["x"], []),
    "a value used twice by one node": make_graph(["x"], [("y", "mul", "x", "x")]),
    "a value used by several nodes": make_graph(
        ["x", "w"], [("h", "exp", "x"), ("a", "mul", "h", "w"), ("b", "sub", "h", "x"), ("y", "add", "a", "b")]
    ),
    "values not used": make_graph(["x", "unused"], [("a", "exp", "x"), ("y", "sin", "x")]),
    "several outputs": make_graph(
        ["x"], [("a", "exp", "x"), ("b", "mul", "a", "x"), ("c", "sin", "a")], ["a", "c", "a"]
    ),
    "a boolean between": make_graph(
        ["x", "z"], [("p", "greater", "x", "z"), ("y", "where", "p", "x", "z"), ("w", "mul", "y", "x")]
    ),
    "delta inputs": make_graph(
        ["x"], [("a", "mul", "x", "m"), ("b", "mul", "m", "m"), ("y", "where", "b1", "a", "b")], delta=["m", "b1"]
    ),
    "detached": make_graph(["x"], [("d", "detach", "x"), ("y", "mul", "d", "x")]),
}


def random_graph(size, seed=0):
    """A graph of `size` nodes with random edges, some values used often and some never."""
    rng = random.Random(seed)
    names = [f"x{k}" for k in range(4)]
    applications = []
    while len(names) + len(applications) < size:
        pool = [*names, *(a[0] for a in applications[-50:])]
        op = rng.choice(["add", "mul", "sub", "exp", "sin"])
        args = [rng.choice(pool) for _ in range(1 if op in ("exp", "sin") else 2)]
        applications.append((f"v{len(applications)}", op, *args))
    return make_graph(names, applications)


def verdicts(graph, make=Tape.of):
    """Verdicts on the tape's loops by code; DENSE is a pair: ordered, then over a semiring."""
    claims = [c for c in claims_of_graph(graph) if c.kind == "graph" and c.code in CODES]
    found = prove_tape(graph, claims, make, entries=False)
    assert [v.claim for v in found] == claims
    return {(v.claim.code, "semiring" in v.claim.text): v for v in found}


def answers(graph, make=Tape.of):
    return {key: v.answer for key, v in verdicts(graph, make).items()}


WF, EDGE, FWD, ORDERED, SEMIRING = (
    ("WF", False),
    ("EDGE", False),
    ("FWD", False),
    ("DENSE", False),
    ("DENSE", True),
)


@pytest.mark.parametrize("name", GRAPHS)
def test_the_tape_is_proved(name):
    assert answers(GRAPHS[name]) == dict.fromkeys((WF, EDGE, FWD, ORDERED, SEMIRING), "proved")


@pytest.mark.parametrize("seed", range(5))
def test_random_graphs_are_proved(seed):
    assert set(answers(random_graph(60, seed)).values()) == {"proved"}


def test_ten_thousand_nodes():
    assert set(answers(random_graph(10_000)).values()) == {"proved"}


def test_one_value_used_by_thousands_of_nodes():
    applications = [(f"v{k}", "exp", "x") for k in range(4_000)]
    assert set(answers(make_graph(["x"], applications)).values()) == {"proved"}


# Attacks: each changes the tape, and is refuted at the node that it changed.

VICTIM = GRAPHS["a value used by several nodes"]  # x w | h = exp x; a = h*w; b = h-x; y = a+b


def with_node(id_, change):
    """Make tapes in which one node is changed."""

    def make(graph, semantics):
        tape = Tape.of(graph, semantics)
        nodes = list(tape.nodes)
        nodes[id_] = change(nodes[id_])
        return dataclasses.replace(tape, nodes=tuple(nodes))

    return make


def with_backward(id_, change):
    """Make tapes in which one node's contributions are changed."""

    def altered(node):
        return dataclasses.replace(node, backward=lambda values, g: change(node.backward(values, g)))

    return with_node(id_, altered)


def assert_refuted(verdict, name):
    assert verdict.answer == "refuted"
    assert verdict.counterexample.values["node"] == name
    assert verdict.counterexample.replayed
    assert verdict.counterexample.expected != verdict.counterexample.got


def test_a_dropped_contribution():
    found = verdicts(VICTIM, with_backward(4, lambda cs: cs[:1]))
    assert_refuted(found[ORDERED], "x")
    assert_refuted(found[SEMIRING], "x")
    assert found[FWD].answer == "proved"


def test_a_duplicated_contribution():
    found = verdicts(VICTIM, with_backward(3, lambda cs: [*cs, cs[1]]))
    assert_refuted(found[ORDERED], "w")
    assert_refuted(found[SEMIRING], "w")


def test_a_swapped_order_is_refuted_only_in_the_strong_form():
    graph = GRAPHS["a value used twice by one node"]
    found = verdicts(graph, with_backward(1, lambda cs: cs[::-1]))
    assert_refuted(found[ORDERED], "x")
    assert found[SEMIRING].answer == "proved"


def test_contributions_to_the_wrong_parents():
    found = verdicts(VICTIM, with_backward(3, lambda cs: [(cs[1][0], cs[0][1]), (cs[0][0], cs[1][1])]))
    assert_refuted(found[ORDERED], "h")
    assert_refuted(found[SEMIRING], "h")


def test_an_emitted_forward_edge():
    found = verdicts(VICTIM, with_backward(3, lambda cs: [*cs, (4, cs[0][1])]))
    assert_refuted(found[EDGE], "a")
    assert found[ORDERED].answer == "refuted" and found[SEMIRING].answer == "refuted"
    assert "ForwardEdge" in found[ORDERED].counterexample.got


def test_an_emitted_negative_id():
    assert_refuted(verdicts(VICTIM, with_backward(3, lambda cs: [(-1, cs[0][1])]))[EDGE], "a")


def test_a_node_that_does_not_require_grad():
    found = verdicts(VICTIM, with_node(2, lambda n: dataclasses.replace(n, requires_grad=False)))
    assert_refuted(found[EDGE], "h")
    assert found[ORDERED].answer == "refuted"


def test_a_value_computed_from_the_wrong_parent():
    def altered(node: TapeNode):
        return dataclasses.replace(node, value=lambda values: values.nodes[0])

    found = verdicts(VICTIM, with_node(3, altered))
    assert_refuted(found[FWD], "a")


def test_a_value_computed_by_another_node():
    foreign = dataclasses.replace(VICTIM.nodes[3], op="sub")

    def make(graph, semantics):
        tape = Tape.of(graph, semantics)
        nodes = list(tape.nodes)
        args = foreign.args
        nodes[3] = dataclasses.replace(
            nodes[3], value=lambda values: semantics.forward(foreign, values.args(args), values.dims)
        )
        return dataclasses.replace(tape, nodes=tuple(nodes))

    assert_refuted(verdicts(VICTIM, make)[FWD], "a")


def test_a_wrong_tangent():
    def altered(node: TapeNode):
        return dataclasses.replace(node, tangent=lambda values, tangents: tangents[1])

    assert_refuted(verdicts(VICTIM, with_node(4, altered))[ORDERED], "b")


def test_a_missing_and_an_extra_node():
    def short(graph, semantics):
        tape = Tape.of(graph, semantics)
        return dataclasses.replace(tape, nodes=tape.nodes[:-1])

    def long(graph, semantics):
        tape = Tape.of(graph, semantics)
        return dataclasses.replace(tape, nodes=(*tape.nodes, tape.nodes[-1]))

    for make in (short, long):
        found = verdicts(VICTIM, make)
        assert found[WF].answer == "refuted"
        assert {found[key].answer for key in (EDGE, FWD, ORDERED, SEMIRING)} == {"unknown"}


def test_wrong_parents_in_the_tape():
    found = verdicts(VICTIM, with_node(3, lambda n: dataclasses.replace(n, parents=(2, 0))))
    assert_refuted(found[WF], "a")


class Forwards(Tape):
    """Walks the nodes first to last."""

    def backward_dense_from(self, values, seeds):
        grads = list(seeds)
        for node in self.nodes:
            for pid, contribution in node.backward(values, grads[node.id]):
                grads[pid] = self.semantics.add(grads[pid], contribution)
        return grads


class Overwrites(Tape):
    """Forgets what has gathered already."""

    def backward_dense_from(self, values, seeds):
        grads = list(seeds)
        for node in reversed(self.nodes):
            for pid, contribution in node.backward(values, grads[node.id]):
                grads[pid] = contribution
        return grads


class Turned(Tape):
    """Adds from the other side: the same sums, other roundings."""

    def backward_dense_from(self, values, seeds):
        grads = list(seeds)
        for node in reversed(self.nodes):
            for pid, contribution in node.backward(values, grads[node.id]):
                grads[pid] = self.semantics.add(contribution, grads[pid])
        return grads


class Peeks(Tape):
    """Skips what it takes for zero."""

    def backward_dense_from(self, values, seeds):
        return super().backward_dense_from(values, [s for s in seeds if s])


class SeedsWrongly(Tape):
    """Forgets the seed."""

    def seed_context(self, values, seeds):
        return super().seed_context(values, ())


def of(kind):
    return lambda graph, semantics: kind(graph, semantics, Tape.of(graph, semantics).nodes)


@pytest.mark.parametrize(
    ("kind", "ordered", "semiring"),
    [
        (Forwards, "refuted", "refuted"),
        (Overwrites, "refuted", "refuted"),
        (Turned, "refuted", "proved"),
        (Peeks, "refuted", "refuted"),
        (SeedsWrongly, "refuted", "proved"),
    ],
)
def test_wrong_loops(kind, ordered, semiring):
    found = answers(VICTIM, of(kind))
    assert (found[ORDERED], found[SEMIRING]) == (ordered, semiring)


def test_the_refutation_names_the_gradient_and_what_it_should_be():
    example = verdicts(VICTIM, with_backward(4, lambda cs: cs[:1]))[ORDERED].counterexample
    assert "gradient of `x`" in example.note
    assert example.expected.startswith("seed 0 + ")
    assert "vjp 4.1" in example.expected and "vjp 4.1" not in example.got


def test_an_ill_formed_graph_is_refuted_and_nothing_else_is_claimed_of_it():
    nodes = list(VICTIM.nodes)
    nodes[3] = dataclasses.replace(nodes[3], args=(Ref(4), Ref(1)))
    found = verdicts(dataclasses.replace(VICTIM, nodes=tuple(nodes)))
    assert found[WF].answer == "refuted"
    assert {found[key].answer for key in (EDGE, FWD, ORDERED, SEMIRING)} == {"unknown"}


def test_symbols_refuse_inspection():
    value = Bank().apply("x")
    for look in (bool, len, iter, float, int, lambda v: v[0], lambda v: v < v):
        with pytest.raises(Inspected):
            look(value)


def test_the_loop_itself_stops_at_a_forward_edge():
    bank = Bank()
    tape = with_backward(3, lambda cs: [(4, cs[0][1])])(VICTIM, Uninterpreted(VICTIM, bank))
    values = tape.denote_all([bank.apply("x"), bank.apply("w")])
    with pytest.raises(ForwardEdge):
        tape.backward_dense_from(values, list(values.nodes))


def test_graphs_are_proved_with_their_operators_too(monkeypatch):
    from gradproof.compiler.lower import kernel_of
    from gradproof.runtime import semantics
    from gradproof.verifier.entries import compare

    claims = claims_of_graph(VICTIM)
    assert {v.answer for v in prove_tape(VICTIM, claims)} == {"proved"}
    wrong = {"sub": prelude().ops["add"]}
    compare.cache_clear()
    monkeypatch.setattr(semantics, "kernel_of", lambda op, *which: kernel_of(wrong.get(op.name, op), *which))
    found = {(v.claim.code, "semiring" in v.claim.text): v for v in prove_tape(VICTIM, claims)}
    compare.cache_clear()
    assert_refuted(found[FWD], "b")
    assert_refuted(found[ORDERED], "b")
    assert_refuted(found[SEMIRING], "b")
    assert {"a", "b"} <= set(found[FWD].counterexample.values)


def test_other_claims_are_not_answered():
    claim = Claim("PLAN", "graph", "g", "", "")
    assert prove_tape(VICTIM, [claim], entries=False) == ()
