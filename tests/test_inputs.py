"""The door: what is refused, with which words, and what is let in."""

from __future__ import annotations

from fractions import Fraction
from time import perf_counter

import numpy as np
import pytest
from gradproof.compiler.dims import Poly
from gradproof.compiler.graph import INPUT, Bound, Delta, Dim, Graph, Node, Seeded, TensorType
from gradproof.grammar.source import BUILTIN
from gradproof.runtime.inputs import Door
from gradproof.runtime.seeded import generate
from gradproof.runtime.sizes import InputError

B, D, N = (Poly.sym(s) for s in "BDN")


def typed(dtype, *shape):
    return TensorType(dtype, tuple(map(Poly.of, shape)))


def make_door(inputs, delta=(), dims=(), assumes=(), assume_dims=(), seeded=None):
    nodes = tuple(Node(k, n, INPUT, (), (), (), t, BUILTIN) for k, (n, t) in enumerate(inputs))
    deltas = tuple(Delta(n, t, BUILTIN, (seeded or {}).get(n)) for n, t in delta)
    bounds = tuple(Bound(a, rel, b, BUILTIN, text) for a, rel, b, text in assumes)
    all_dims = tuple(Dim(n, low, value, BUILTIN) for n, low, value in dims)
    return Door(
        Graph(
            "loss", all_dims, nodes, len(nodes), deltas, (0,), ("x",), bounds, (), tuple(assume_dims), (), {}, BUILTIN
        )
    )


def refusal(door, given, **options):
    with pytest.raises(InputError) as caught:
        door.admit(given, **options)
    return str(caught.value)


DIMS = (("B", 1, None), ("D", 0, Poly.of(3)), ("N", 0, None))
DOOR = make_door([("x", typed("f64", B, D)), ("w", typed("f64", D))], [("label", typed("i32", B))], DIMS[:2])
GOOD = {"x": np.ones((2, 3)), "w": np.ones(3), "label": np.zeros(2, np.int32)}


def test_what_is_right_is_let_in():
    inputs = DOOR.admit(GOOD)
    assert inputs.dims == {"B": 2, "D": 3}
    assert [a.shape for a in inputs.context] == [(2, 3), (3,)]
    assert inputs.context[0] is GOOD["x"]
    assert inputs.delta["label"].dtype == np.int32


def test_lists_numbers_and_other_arrays():
    class Foreign:
        def __array__(self, dtype=None, copy=None):
            return np.ones((2, 3))

    class Capsule:
        def __dlpack__(self, **options):
            return np.ones((2, 3)).__dlpack__(**options)

        def __dlpack_device__(self):
            return (1, 0)

    for x in (Foreign(), Capsule(), [[1, 2, 3], [4, 5, 6]], np.ones((2, 3), np.float16)):
        assert DOOR.admit({**GOOD, "x": x}).context[0].dtype == np.float64
    assert DOOR.admit({**GOOD, "x": np.ones((2, 3))}, dtype=np.float32).context[0].dtype == np.float32


def test_names():
    assert "no input labels; did you mean label?" in refusal(DOOR, {**GOOD, "labels": 1})
    message = refusal(DOOR, {"x": GOOD["x"]})
    assert "w: f64[D]" in message and "label: i32[B]" in message


def test_shapes_name_the_two_inputs_that_disagree():
    message = refusal(DOOR, {**GOOD, "label": np.zeros(4, np.int32)})
    assert message == "label has 4 on axis 0 where i32[B] needs B = 2 from x"
    assert refusal(DOOR, {**GOOD, "w": np.ones(4)}) == "w has 4 on axis 0 where f64[D] needs D = 3 (fixed)"
    assert "2 axes [3, 1], but it is f64[D]" in refusal(DOOR, {**GOOD, "w": np.ones((3, 1))})
    # A binding that was seen before is refused again where it was refused before.
    assert "label has 4" in refusal(DOOR, {**GOOD, "label": np.zeros(4, np.int32)})


def test_lower_bounds_and_conditions_on_dims():
    empty = {**GOOD, "x": np.ones((0, 3)), "label": np.zeros(0, np.int32)}
    assert refusal(DOOR, empty) == "B = 0 from x, but `dim B >= 1`"
    door = make_door([("x", typed("f64", B, N))], dims=(DIMS[0], DIMS[2]), assume_dims=[(N - 2 * B, ">=")])
    assert door.admit({"x": np.ones((2, 4))}).dims == {"B": 2, "N": 4}
    assert "B = 3 from x, N = 4 from x: this breaks" in refusal(door, {"x": np.ones((3, 4))})


def test_extents_that_are_expressions_are_solved():
    door = make_door([("x", typed("f64", 2 * N + 1)), ("z", typed("f64", N))], dims=(DIMS[2],))
    assert door.admit({"x": np.ones(7), "z": np.ones(3)}).dims["N"] == 3
    assert "no N makes 2*N + 1 that" in refusal(make_door([("x", typed("f64", 2 * N + 1))]), {"x": np.ones(6)})
    assert "2*N + 1 = 9 (N = 4 from z)" in refusal(
        make_door([("z", typed("f64", N)), ("x", typed("f64", 2 * N + 1))]), {"x": np.ones(7), "z": np.ones(4)}
    )


def test_dims_that_no_shape_gives():
    door = make_door([("x", typed("f64", B * N))], dims=(DIMS[0], DIMS[2]))
    assert "pass dims={'B': ...}" in refusal(door, {"x": np.ones(6)})
    assert door.admit({"x": np.ones(6)}, dims={"B": 2}).dims == {"B": 2, "N": 3}
    assert "needs" in refusal(door, {"x": np.ones(6)}, dims={"B": 2, "N": 2})
    # A dim that nothing uses need not be known.
    assert make_door([("x", typed("f64", N))], dims=DIMS).admit({"x": np.ones(2)}).dims["N"] == 2


def test_element_types():
    assert "label has element type float64, but it is i32[B]" in refusal(DOOR, {**GOOD, "label": np.zeros(2)})
    assert "element type complex128" in refusal(DOOR, {**GOOD, "w": np.ones(3) * 1j})
    assert "element type bool" in refusal(DOOR, {**GOOD, "w": np.ones(3, bool)})
    assert "element type <U1" in refusal(DOOR, {**GOOD, "w": ["a", "b", "c"]})
    assert "can't be made an array" in refusal(DOOR, {**GOOD, "w": [[1], [2, 3]]})
    wide = {**GOOD, "label": np.array([0, 2**40])}
    assert refusal(DOOR, wide) == "label[1] = 1099511627776 does not fit i32[B]"


def test_exact_scalars_keep_their_objects():
    thirds = np.array([Fraction(1, 3)] * 3, dtype=object)
    inputs = DOOR.admit({**GOOD, "w": thirds}, dtype=None)
    assert inputs.context[1][0] == Fraction(1, 3)
    assert "element type object" in refusal(DOOR, {**GOOD, "w": thirds})


def test_assumed_ranges_name_index_and_value():
    assumes = [(Fraction(0), "<=", "label", "0 <= label < C"), ("label", "<", Fraction(10), "0 <= label < C")]
    door = make_door([("x", typed("f64", B))], [("label", typed("i64", B))], assumes=assumes)
    good = {"x": np.ones(3), "label": np.array([0, 9, 3])}
    door.admit(good)
    assert (
        refusal(door, {**good, "label": np.array([0, 9, 10])}) == "label[2] = 10: this breaks `assume 0 <= label < C`"
    )
    assert "label[1] = -1" in refusal(door, {**good, "label": np.array([0, -1, 3])})


def test_an_index_bound_may_be_a_dim():
    door = make_door([("x", typed("f64", N))], [("i", typed("i64", B))], assumes=[("i", "<", N, "i < N")])
    door.admit({"x": np.ones(4), "i": np.array([3])})
    assert "i[0] = 4" in refusal(door, {"x": np.ones(4), "i": np.array([4])})


def test_finiteness_is_checked_where_a_range_is_assumed_and_nowhere_else():
    free = make_door([("x", typed("f64", B))])
    assert np.isnan(free.admit({"x": np.array([np.nan])}).context[0]).all()
    door = make_door([("x", typed("f64", B))], assumes=[(Fraction(0), "<", 0, "x > 0")])
    assert refusal(door, {"x": np.array([1, np.nan])}) == "x[1] = nan, but `assume x > 0` needs finite values"
    assert "x[0] = inf" in refusal(door, {"x": np.array([np.inf])})
    assert refusal(door, {"x": np.array([1.0, 0.0])}) == "x[1] = 0.0: this breaks `assume x > 0`"


def test_bounds_between_inputs_broadcast():
    door = make_door([("x", typed("f64", B, D)), ("top", typed("f64", D))], assumes=[(0, "<", 1, "x < top")])
    good = {"x": np.zeros((2, 3)), "top": np.ones(3)}
    door.admit(good)
    bad = {"x": np.array([[0, 0, 0], [0, 5, 0]]), "top": np.ones(3)}
    assert refusal(door, bad) == "x[1, 1] = 5.0 and top[1] = 1.0: this breaks `assume x < top`"


def test_a_rational_bound_is_rounded_as_the_program_rounds_it():
    door = make_door([("x", typed("f32", B))], assumes=[(0, "<=", Fraction(1, 10), "x <= 1/10")])
    door.admit({"x": np.array([0.1], np.float32)}, dtype=np.float32)
    door.admit({"x": np.array([Fraction(1, 10)], dtype=object)}, dtype=None)
    assert "x[0]" in refusal(door, {"x": np.array([Fraction(2, 10)], dtype=object)}, dtype=None)


def test_seeded_inputs_are_made_and_may_be_given():
    seeded = {"m": Seeded("bernoulli", 3, Fraction(1, 2)), "u": Seeded("uniform", 7)}
    delta = [("m", typed("f32", B)), ("u", typed("f64", B))]
    door = make_door([("x", typed("f64", B))], delta, seeded=seeded)
    first, second = (door.admit({"x": np.ones(1000)}).delta for _ in range(2))
    assert all(np.array_equal(first[k], second[k]) for k in "mu")
    assert set(np.unique(first["m"])) == {0.0, 1.0} and 400 < first["m"].sum() < 600
    assert first["u"].min() >= 0 and first["u"].max() < 1 and abs(first["u"].mean() - 0.5) < 0.05
    given = door.admit({"x": np.ones(2), "m": [0.5, 0.5]}).delta["m"]
    assert given.tolist() == [0.5, 0.5]


def test_generation_depends_on_seed_and_shape_alone():
    real, boolean = typed("f64", B), typed("bool", B)
    a = generate(Seeded("uniform", 1), (4, 5), real)
    assert np.array_equal(a, generate(Seeded("uniform", 1), (4, 5), real))
    assert not np.array_equal(a, generate(Seeded("uniform", 2), (4, 5), real))
    assert not np.array_equal(a.ravel(), generate(Seeded("uniform", 1), (20,), real))
    # Pinned: these numbers are the language's, the same on every machine and with every NumPy.
    pinned = generate(Seeded("uniform", 7), (2,), typed("f32", B))
    assert (pinned * 2**24).tolist() == PINNED
    assert generate(Seeded("bernoulli", 1, Fraction(1)), (9,), boolean).all()
    assert not generate(Seeded("bernoulli", 1, Fraction(0)), (9,), boolean).any()
    assert generate(Seeded("uniform", 1), (), real).shape == ()
    assert generate(Seeded("uniform", 1), (0, 3), real).shape == (0, 3)


PINNED = [6175632.0, 13852141.0]


def test_tangents_are_named_and_shaped_like_inputs():
    inputs = DOOR.admit(GOOD)
    assert DOOR.admit_like({"w": [1, 2, 3]}, inputs, np.float64, "tangent")[0] is None
    with pytest.raises(InputError, match=r"the tangent of w has shape \[2\], but \[3\] is needed"):
        DOOR.admit_like({"w": [1, 2]}, inputs, np.float64, "tangent")
    with pytest.raises(InputError, match="label is not differentiated"):
        DOOR.admit_like({"label": [1, 2]}, inputs, np.float64, "tangent")


def test_the_door_is_fast():
    DOOR.admit(GOOD)
    started = perf_counter()
    for _ in range(1000):
        DOOR.admit(GOOD)
    assert perf_counter() - started < 0.1  # 100 us a call; about 5 are usual
