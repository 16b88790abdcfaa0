"""The tape, the sealed program and the wrappers over leaf contexts."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from fractions import Fraction

import numpy as np
import pytest
from gradproof.compiler.claims import Certificate, Verdict, issue
from gradproof.compiler.elaborate import load_text
from gradproof.compiler.obligations import claims_of_graph
from gradproof.runtime.compiled import CompiledGraph, CompiledScalar, NotLast
from gradproof.runtime.program import BOUND, Program, Unsealed
from gradproof.runtime.scalars import scalars
from gradproof.runtime.semantics import array_tape
from gradproof.runtime.sizes import InputError
from gradproof.runtime.tape import NoOutput, NotScalar, TapeError, UnknownId, Values, WrongContext

TEXT = """
dim B >= 1
dim D
graph loss(x: f64[B, D], w: f64[D], label: f64[B]) -> f64[] {
  e = x @ w - label
  return mean(e * e)
}
graph pair(x: f64[D], const c: f64[D], flag: bool[D]) -> f64[D], f64[] {
  a = where(flag, x, c)
  b = a * x
  return b, sum(x)
}
graph same(x: f64[D]) -> f64[D] { return x }
graph twice(x: f64[D]) -> f64[D] { return exp(x) * x }
graph early(x: f64[D]) -> f64[D] {
  y = exp(x)
  z = y * y
  return y, z
}
graph small(x: f32[D]) -> f32[] { return sum(x * x) }
"""


@pytest.fixture(scope="module")
def graphs():
    return load_text(TEXT.replace("-> f64[D] {\n  y = exp", "-> f64[D], f64[D] {\n  y = exp")).graphs


def certificate_of(*graphs_):
    """A certificate as the verifier would issue it."""
    claims = [c for graph in graphs_ for c in claims_of_graph(graph)]
    return issue(tuple(Verdict(c, "proved", "test", "all sizes", 0.0) for c in claims))


@pytest.fixture(scope="module")
def programs(graphs):
    return {name: Program(graph, certificate_of(graph)) for name, graph in graphs.items()}


def loss_inputs(rows=4, columns=3, seed=0):
    rng = np.random.default_rng(seed)
    return {"x": rng.normal(size=(rows, columns)), "w": rng.normal(size=columns), "label": rng.normal(size=rows)}


def loss_by_hand(x, w, label):
    e = x @ w - label
    back = 2 * e / len(e)
    return np.mean(e * e), {"x": np.outer(back, w), "w": x.T @ back, "label": -back}


# The tape.


def test_one_tape_serves_all_inputs(graphs):
    tape = array_tape(graphs["loss"], scalars("float64"))
    for rows, seed in ((4, 0), (4, 1), (7, 2)):
        inputs = loss_inputs(rows, seed=seed)
        values = tape.denote_all(list(inputs.values()), {}, {"B": rows, "D": 3})
        grads = tape.backward_dense_all(values)
        value, expected = loss_by_hand(**inputs)
        assert values.nodes[-1] == pytest.approx(value)
        assert len(grads) == len(tape.nodes) == len(graphs["loss"].nodes)
        for node, grad in zip(graphs["loss"].gamma, grads, strict=False):
            np.testing.assert_allclose(grad, expected[node.name])


def test_every_id_has_a_gradient_in_the_shape_of_its_value(graphs):
    graph = graphs["pair"]
    tape = array_tape(graph, scalars("float64"))
    delta = {"c": np.array([5.0, 6.0]), "flag": np.array([True, False])}
    values = tape.denote_all([np.array([2.0, 3.0])], delta, {"D": 2})
    seeds = zip(graph.outputs, (np.array([1.0, 10.0]), np.array(100.0)), strict=True)
    grads = tape.backward_dense_from(values, tape.seed_context(values, seeds))
    assert [np.shape(g) for g in grads] == [np.shape(v) for v in values.nodes]
    np.testing.assert_allclose(grads[0], [100 + 2 + 2, 100 + 60])


def test_jvp_and_dense_backward_are_adjoint(graphs):
    graph = graphs["loss"]
    tape = array_tape(graph, scalars("rational"))
    rng = np.random.default_rng(5)

    def draw(*shape):
        return scalars("rational").array(rng.integers(-9, 9, shape))

    values = tape.denote_all([draw(2, 3), draw(3), draw(2)], {}, {"B": 2, "D": 3})
    tangents = [draw(2, 3), draw(3), draw(2)]
    grads = tape.backward_dense_all(values)
    moved = tape.jvp_all(values, tangents)
    pairing = sum((g * t).sum() for g, t in zip(grads, tangents, strict=False))
    assert isinstance(pairing, Fraction) and pairing == moved[-1].item()


def test_the_default_seed_is_one_and_another_scales(graphs):
    tape = array_tape(graphs["loss"], scalars("float64"))
    values = tape.denote_all(list(loss_inputs().values()), {}, {"B": 4, "D": 3})
    one, three = tape.backward_dense_all(values), tape.backward_dense_all(values, seed=np.array(3.0))
    for a, b in zip(one, three, strict=True):
        np.testing.assert_allclose(3 * a, b)


def test_seeds_of_an_output_that_is_returned_twice_add_up(graphs):
    tape = array_tape(graphs["twice"], scalars("float64"))
    values = tape.denote_all([np.array([1.0])], {}, {"D": 1})
    seeds = tape.seed_context(values, [(2, np.array([1.0])), (2, np.array([2.0]))])
    assert seeds[2] == 3.0 and seeds[0] == 0.0


def test_misuse_is_named(graphs):
    loss, pair, twice, same = (array_tape(graphs[n], scalars("float64")) for n in ("loss", "pair", "twice", "same"))
    inputs = list(loss_inputs().values())
    values = loss.denote_all(inputs, {}, {"B": 4, "D": 3})
    with pytest.raises(WrongContext, match="takes 3 inputs, 2 values"):
        loss.denote_all(inputs[:2])
    with pytest.raises(WrongContext, match="needs a value for c, flag"):
        pair.denote_all([np.ones(2)], {}, {"D": 2})
    with pytest.raises(WrongContext, match="one a node"):
        loss.backward_dense_from(values, values.nodes[:2])
    with pytest.raises(WrongContext, match="3 tangents are needed"):
        loss.jvp_all(values, inputs[:1])
    with pytest.raises(WrongContext, match="a table of"):
        loss.jvp_all(Values([]), inputs)
    with pytest.raises(UnknownId):
        loss.backward_dense_all(values, out=99)
    with pytest.raises(NotScalar, match="give its cotangent"):
        twice.backward_dense_all(twice.denote_all([np.ones(2)], {}, {"D": 2}))
    with pytest.raises(TapeError, match="say which one"):
        delta = {"c": np.ones(2), "flag": np.ones(2, bool)}
        pair.backward_dense_all(pair.denote_all([np.ones(2)], delta, {"D": 2}))
    with pytest.raises(NoOutput):
        same.checked_out_id()
    assert loss.checked_out_id() == loss.out_id == len(graphs["loss"].nodes) - 1


# The sealed program.


def test_a_program_needs_every_claim_proved(graphs):
    graph = graphs["loss"]
    claims = claims_of_graph(graph)
    assert len(claims) > 10
    for k in range(len(claims)):
        some = issue(tuple(Verdict(c, "proved", "", "", 0.0) for c in claims[:k] + claims[k + 1 :]))
        if claims[k] in claims[:k]:
            continue
        with pytest.raises(Unsealed, match="not proved"):
            Program(graph, some)
    Program(graph, certificate_of(graph))


def test_an_unknown_verdict_opens_nothing(graphs):
    graph = graphs["same"]
    claims = claims_of_graph(graph)
    verdicts = [Verdict(c, "proved", "", "", 0.0) for c in claims[1:]]
    verdicts.append(Verdict(claims[0], "unknown", "", "", 0.0, reason="time limit"))
    with pytest.raises(Unsealed):
        Program(graph, issue(tuple(verdicts)))


def test_a_foreign_certificate_is_refused(graphs):
    with pytest.raises(Unsealed):
        Program(graphs["loss"], certificate_of(graphs["twice"]))
    changed = dataclasses.replace(graphs["loss"], outputs=(0,), output_names=("x",))
    with pytest.raises(Unsealed):
        Program(changed, certificate_of(graphs["loss"]))
    name = next(iter(graphs["twice"].ops))
    other = dataclasses.replace(
        graphs["twice"].ops[name], requires=(), doc="", forward=graphs["loss"].ops["mul"].forward
    )
    swapped = dataclasses.replace(graphs["twice"], ops={**graphs["twice"].ops, name: other})
    with pytest.raises(Unsealed):
        Program(swapped, certificate_of(graphs["twice"]))


def test_forged_certificates_are_refused(graphs):
    graph = graphs["same"]
    real = certificate_of(graph)
    with pytest.raises(TypeError):
        Certificate(real.proved)

    class Fake(Certificate):
        def __post_init__(self):
            pass

        def missing(self, claims):
            return ()

    blank = object.__new__(Certificate)
    object.__setattr__(blank, "proved", real.proved)
    half = object.__new__(Certificate)
    for forged in (None, {}, Fake({}), blank, half, "certificate"):
        with pytest.raises(Unsealed):
            Program(graph, forged)


def test_what_a_certificate_covers_can_not_be_added_to(graphs):
    real = certificate_of(graphs["same"])
    with pytest.raises(TypeError):
        real.proved["x"] = None


def test_a_program_stays_what_was_sealed(graphs):
    graph = dataclasses.replace(graphs["twice"], ops=dict(graphs["twice"].ops))
    program = Program(graph, certificate_of(graph))
    graph.ops["mul"] = graph.ops["exp"]
    assert program.forward(x=[2.0])[0] == pytest.approx(2 * np.exp(2))
    with pytest.raises(AttributeError):
        program.graph = graphs["loss"]
    with pytest.raises(AttributeError):
        del program.certificate
    with pytest.raises(TypeError):
        program.graph.ops["mul"] = None
    with pytest.raises(TypeError):
        pickle.dumps(program)
    with pytest.raises(TypeError):
        copy.copy(program)


@pytest.mark.parametrize("scalar", ["float64", "float32", "rational", "interval"])
def test_value_and_gradient_in_every_scalar(programs, scalar):
    inputs = {name: np.round(a * 8) / 8 for name, a in loss_inputs().items()}
    value, grads = programs["loss"].value_and_grad(inputs, scalar=scalar)
    expected, gradient = loss_by_hand(**inputs)
    if scalar == "rational":
        assert isinstance(value.item(), Fraction)
    assert float(value.item()) == pytest.approx(expected, rel=1e-5)
    for name, grad in grads.items():
        found = np.array([float(v) for v in grad.reshape(-1)]).reshape(grad.shape)
        np.testing.assert_allclose(found, gradient[name], rtol=1e-4, atol=1e-6)
    if scalar.startswith("float"):
        assert grads["x"].dtype == np.dtype(scalar)


def test_keywords_mappings_and_the_default_scalar(programs):
    inputs = loss_inputs()
    assert programs["loss"].forward(**inputs) == programs["loss"].forward(inputs)
    assert programs["loss"].default_scalar == "float64" and programs["small"].default_scalar == "float32"
    assert programs["small"].forward(x=[1.0, 2.0]).dtype == np.float32
    with pytest.raises(InputError, match="not both"):
        programs["loss"].forward(inputs, x=1)


@pytest.mark.parametrize("scalar", ["float64", "rational"])
def test_jvp_and_vjp(programs, scalar):
    inputs, moves = loss_inputs(), loss_inputs(seed=1)
    del moves["label"]
    value, tangent = programs["loss"].jvp(inputs, moves, scalar=scalar)
    _, gradient = loss_by_hand(**inputs)
    expected = sum((gradient[name] * moves[name]).sum() for name in moves)
    assert float(tangent.item()) == pytest.approx(expected)
    again, pulled = programs["loss"].vjp(inputs, 2.0, scalar=scalar)
    assert again.item() == value.item()
    np.testing.assert_allclose(pulled["w"].astype(float), 2 * gradient["w"])


def test_several_results(programs):
    inputs = {"x": [2.0, 3.0], "c": [5.0, 6.0], "flag": [True, False]}
    product, total = programs["pair"].forward(inputs)
    assert product.tolist() == [4.0, 18.0] and total == 5.0
    first, second = programs["pair"].outputs
    _, both = programs["pair"].vjp(inputs, ([1.0, 10.0], 100.0))
    _, named = programs["pair"].vjp(inputs, {first: [1.0, 10.0], second: 100.0})
    _, partly = programs["pair"].vjp(inputs, {second: 100.0})
    assert both["x"].tolist() == named["x"].tolist() == [104.0, 160.0]
    assert partly["x"].tolist() == [100.0, 100.0]
    assert set(both) == {"x"}
    (_, moved), exact = programs["pair"].jvp(inputs, {"x": [1.0, 1.0]})[1], 2.0
    assert moved == exact
    with pytest.raises(NotScalar, match="use vjp"):
        programs["pair"].value_and_grad(inputs)
    with pytest.raises(InputError, match="1 cotangents were given"):
        programs["pair"].vjp(inputs, ([1.0, 1.0],))
    with pytest.raises(InputError, match="cotangent of nothing"):
        programs["pair"].vjp(inputs, {"nothing": 1})
    with pytest.raises(InputError, match="shape"):
        programs["pair"].vjp(inputs, {second: [1.0, 1.0]})


def test_executor_and_tape_agree_bit_for_bit_on_sums_and_products(programs):
    inputs = {name: np.round(a * 64) / 64 for name, a in loss_inputs(3, 2).items()}
    program = programs["loss"]
    given = program.admit(inputs)
    values = program.tape("float64").denote_all(given.context, given.delta, given.dims)
    slow = program.tape("float64").backward_dense_all(values)
    value, fast = program.value_and_grad(inputs)
    np.testing.assert_allclose(values.nodes[-1], value, rtol=1e-15)
    for node in program.graph.gamma:
        np.testing.assert_allclose(slow[node.id], fast[node.name], rtol=1e-14)


def test_results_are_the_callers_own(programs):
    first = programs["twice"].forward(x=[1.0, 2.0])
    kept = first.copy()
    second = programs["twice"].forward(x=[3.0, 4.0])
    assert np.array_equal(first, kept) and not np.array_equal(first, second)


def test_many_sizes_keep_few_buffers(programs):
    for size in range(1, BOUND + 10):
        assert programs["twice"].forward(x=np.ones(size)).shape == (size,)
    assert len(programs["twice"]._executors) <= BOUND


def test_all_values_by_name(programs):
    found = programs["twice"].denote_all(x=[1.0])
    assert list(found) == [n.name for n in programs["twice"].graph.nodes]
    assert found["x"].tolist() == [1.0]


def test_what_can_not_be_exact_says_so(programs):
    with pytest.raises(ArithmeticError, match="rational"):
        programs["twice"].forward(x=[1.0], scalar="rational")
    with pytest.raises(InputError, match="can't be made rational"):
        programs["loss"].forward({**loss_inputs(), "w": [np.nan, 1, 2]}, scalar="rational")
    with pytest.raises(ValueError, match="no scalars are called"):
        programs["loss"].forward(loss_inputs(), scalar="float16")


def test_a_program_shows_its_signature(programs):
    assert repr(programs["pair"]).startswith("<gradproof.Program pair(x: f64[D], c: f64[D], flag: bool[D]) -> ")


# The wrappers.


def test_compiled_scalar(programs):
    inputs = loss_inputs()
    loss = CompiledScalar(programs["loss"])
    context = list(inputs.values())
    value, gradient = loss_by_hand(**inputs)
    assert loss.forward(context) == pytest.approx(value)
    for name, a, b in zip(inputs, loss.backward(context), loss.backward_with_seed(context, 2.0), strict=True):
        np.testing.assert_allclose(a, gradient[name])
        np.testing.assert_allclose(b, 2 * a)
    moves = list(loss_inputs(seed=3).values())
    expected = sum((g * t).sum() for g, t in zip(loss.backward(context), moves, strict=True))
    assert loss.jvp(context, moves) == pytest.approx(expected)
    with pytest.raises(WrongContext, match="3 arrays are needed"):
        loss.forward(context[:2])


def test_compiled_graph(programs):
    twice = CompiledGraph(programs["twice"])
    x = np.array([0.5, 1.0])
    slope = np.exp(x) * (x + 1)
    np.testing.assert_allclose(twice.forward([x]), np.exp(x) * x)
    np.testing.assert_allclose(twice.jvp([x], [np.array([1.0, 2.0])]), slope * [1.0, 2.0])
    (pulled,) = twice.vjp_with_seed([x], [3.0, 4.0])
    np.testing.assert_allclose(pulled, slope * [3.0, 4.0])
    exact = CompiledGraph(programs["twice"], scalar="interval")
    assert float(exact.forward([x])[0]) == pytest.approx(twice.forward([x])[0])


def test_wrappers_refuse_what_is_not_last_or_of_the_wrong_shape(programs):
    with pytest.raises(NotScalar):
        CompiledScalar(programs["twice"])
    with pytest.raises(NoOutput):
        CompiledGraph(programs["same"])
    with pytest.raises(NotLast, match="returns 2 values"):
        CompiledGraph(programs["early"])


def test_an_output_that_is_not_the_last_node_is_refused(graphs):
    graph = dataclasses.replace(graphs["early"], outputs=(1,), output_names=("y",))
    with pytest.raises(NotLast, match="returns y, but its last node is z"):
        CompiledGraph(Program(graph, certificate_of(graph)))
