"""Random well-typed programs: canonical text, exact gradients, finite differences, HIPS autograd, plan against tape.

A program is a list of steps over small fixed sizes. Each step is written twice: as text in the language, and as a
function of arrays that knows nothing of it, which runs on NumPy, on autograd.numpy and on dual numbers of Fractions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from math import prod
from typing import Any

import autograd
import autograd.numpy as anp
import gradproof as gp
import numpy as np
from gradproof.compiler.elaborate import load_text
from gradproof.report.ssa import render
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

Array = Any
Shape = tuple[int, ...]

# Dual numbers over Fractions: the independent exact derivative


@dataclass(frozen=True, slots=True)
class Dual:
    """a + b*e with e^2 = 0."""

    a: Fraction
    b: Fraction = Fraction(0)

    def __add__(self, other: Any) -> Any:
        return _with(other, lambda o: Dual(self.a + o.a, self.b + o.b))

    def __mul__(self, other: Any) -> Any:
        return _with(other, lambda o: Dual(self.a * o.a, self.a * o.b + self.b * o.a))

    def __sub__(self, other: Any) -> Any:
        return _with(other, lambda o: Dual(self.a - o.a, self.b - o.b))

    def __truediv__(self, other: Any) -> Any:
        return _with(other, lambda o: Dual(self.a / o.a, (self.b * o.a - self.a * o.b) / o.a**2))

    def __neg__(self) -> Dual:
        return Dual(-self.a, -self.b)

    __radd__, __rmul__ = __add__, __mul__


def _with(other: Any, combine: Callable[[Dual], Dual]) -> Any:
    """The combination with a number; an array does it entry by entry."""
    return NotImplemented if isinstance(other, np.ndarray) else combine(dual(other))


def dual(value: Any) -> Dual:
    """The value as a dual number."""
    return value if isinstance(value, Dual) else Dual(Fraction(value))


# Programs


@dataclass(slots=True)
class Made:
    """A program in the making: its lines of text, the functions that do the same, and the shapes so far."""

    shapes: dict[str, Shape]
    lines: list[str] = field(default_factory=list)
    steps: list[tuple[str, Callable[..., Array], tuple[str, ...]]] = field(default_factory=list)
    outputs: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()

    def add(self, text: str, function: Callable[..., Array], args: tuple[str, ...], shape: Shape) -> None:
        """One more value; `function` takes a NumPy-like module and the arguments."""
        name = f"v{len(self.steps)}"
        self.lines.append(f"  {name} = {text}")
        self.steps.append((name, function, args))
        self.shapes[name] = shape

    @property
    def text(self) -> str:
        """The program."""
        inputs = ", ".join(f"{n}: f64[{dims(self.shapes[n])}]" for n in self.inputs)
        types = ", ".join(f"f64[{dims(self.shapes[n])}]" for n in self.outputs)
        result = types if len(self.outputs) == 1 else f"({types})"
        body = "\n".join(self.lines)
        return f"graph p({inputs}) -> {result} {{\n{body}\n  return {', '.join(self.outputs)}\n}}\n"

    def run(self, module: Any, inputs: dict[str, Array]) -> list[Array]:
        """The outputs by the functions alone."""
        values = dict(inputs)
        for name, function, args in self.steps:
            values[name] = function(module, *(values[a] for a in args))
        return [values[n] for n in self.outputs]


def dims(shape: Shape) -> str:
    """The shape as it is written between brackets."""
    return ", ".join(map(str, shape))


def tuple_text(shape: Shape) -> str:
    """The shape as an attribute."""
    return f"({dims(shape)}{',' if len(shape) == 1 else ''})"


Step = Callable[[st.DrawFn, Made], bool]


def pick(draw: st.DrawFn, made: Made, suits: Callable[[Shape], bool]) -> str | None:
    """One of the values so far whose shape suits; late ones as often as early ones."""
    names = [n for n, s in made.shapes.items() if suits(s)]
    return draw(st.sampled_from(names)) if names else None


def unary(text: str, function: Callable[[Any, Array], Array]) -> Step:
    """A function entry by entry."""

    def step(draw: st.DrawFn, made: Made) -> bool:
        x = pick(draw, made, lambda s: True)
        if x is None:
            return False
        made.add(text.format(x=x), function, (x,), made.shapes[x])
        return True

    return step


def binary(text: str, function: Callable[[Any, Array, Array], Array]) -> Step:
    """A function of two arrays of one shape, or with one that is broadcast."""

    def step(draw: st.DrawFn, made: Made) -> bool:
        x = pick(draw, made, lambda s: True)
        if x is None:
            return False
        shape = made.shapes[x]
        y = pick(draw, made, lambda s: s == shape[len(shape) - len(s) :] and len(s) <= len(shape))
        if y is None:
            return False
        made.add(text.format(x=x, y=y), function, (x, y), shape)
        return True

    return step


def matmul(draw: st.DrawFn, made: Made) -> bool:
    """A matrix product."""
    x = pick(draw, made, lambda s: len(s) == 2)
    y = x and pick(draw, made, lambda s: len(s) == 2 and s[0] == made.shapes[x][1])
    if not x or not y:
        return False
    shape = (made.shapes[x][0], made.shapes[y][1])
    made.add(f"{x} @ {y}", lambda _, a, b: a @ b, (x, y), shape)
    return True


def reduction(name: str, function: Callable[[Any, Array, int | None], Array]) -> Step:
    """A reduction of everything, or along an axis."""

    def step(draw: st.DrawFn, made: Made) -> bool:
        x = pick(draw, made, lambda s: len(s) >= 1)
        if x is None:
            return False
        shape = made.shapes[x]
        axis = draw(st.none() | st.integers(0, len(shape) - 1))
        rest = () if axis is None else (*shape[:axis], *shape[axis + 1 :])
        text = f"{name}({x})" if axis is None else f"{name}({x}, axis={axis})"
        made.add(text, lambda np_, a: function(np_, a, axis), (x,), rest)
        return True

    return step


def rows(name: str, function: Callable[[Any, Array, int], Array]) -> Step:
    """A function along an axis that keeps the shape."""

    def step(draw: st.DrawFn, made: Made) -> bool:
        x = pick(draw, made, lambda s: len(s) >= 1)
        if x is None:
            return False
        axis = draw(st.integers(0, len(made.shapes[x]) - 1))
        made.add(f"{name}({x}, axis={axis})", lambda np_, a: function(np_, a, axis), (x,), made.shapes[x])
        return True

    return step


def reshape(draw: st.DrawFn, made: Made) -> bool:
    """Another shape of the same size."""
    x = pick(draw, made, lambda s: len(s) >= 1)
    if x is None:
        return False
    size = prod(made.shapes[x])
    new = draw(st.sampled_from([(size,), (1, size), (size, 1), *([(2, size // 2)] if size % 2 == 0 else [])]))
    made.add(f"reshape({x}, {tuple_text(new)})", lambda np_, a: np_.reshape(a, new), (x,), new)
    return True


def transpose(draw: st.DrawFn, made: Made) -> bool:
    """A matrix with its axes exchanged."""
    x = pick(draw, made, lambda s: len(s) == 2)
    if x is None:
        return False
    made.add(f"transpose({x})", lambda np_, a: np_.transpose(a), (x,), made.shapes[x][::-1])
    return True


def concat(draw: st.DrawFn, made: Made) -> bool:
    """Two arrays side by side; often an array and itself."""
    x = pick(draw, made, lambda s: len(s) >= 1)
    if x is None:
        return False
    shape = made.shapes[x]
    axis = draw(st.integers(0, len(shape) - 1))

    def fits(s: Shape) -> bool:
        return len(s) == len(shape) and all(k == axis or a == b for k, (a, b) in enumerate(zip(s, shape, strict=True)))

    y = pick(draw, made, fits)
    if y is None:
        return False
    joined = (*shape[:axis], shape[axis] + made.shapes[y][axis], *shape[axis + 1 :])
    text = f"concat({x}, {y}, axis={axis})"
    made.add(text, lambda np_, a, b: np_.concatenate([a, b], axis), (x, y), joined)
    return True


def broadcast(draw: st.DrawFn, made: Made) -> bool:
    """New leading axes."""
    x = pick(draw, made, lambda s: len(s) <= 1)
    if x is None:
        return False
    shape = (2, *made.shapes[x])
    made.add(f"broadcast_to({x}, shape={tuple_text(shape)})", lambda np_, a: a + np_.zeros(shape, int), (x,), shape)
    return True


def _mean(np_: Any, a: Array, axis: int | None) -> Array:
    count = prod(a.shape) if axis is None else a.shape[axis]
    return np_.sum(a, axis) * (Fraction(1, count) if a.dtype == object else 1 / count)


def _logsumexp(np_: Any, a: Array, axis: int) -> Array:
    return np_.log(np_.sum(np_.exp(a), axis, keepdims=True))


RATIONAL: list[Step] = [
    binary("{x} + {y}", lambda _, a, b: a + b),
    binary("{x} - {y}", lambda _, a, b: a - b),
    binary("{x} * {y}", lambda _, a, b: a * b),
    binary("{x} / ({y}^2 + 1)", lambda _, a, b: a / (b * b + 1)),
    unary("-{x}", lambda _, a: -a),
    unary("{x}^2", lambda _, a: a * a),
    unary("{x} * {x} - {x}", lambda _, a: a * a - a),
    unary("2 * {x} + 1/3", lambda _, a: a * 2 + (Fraction(1, 3) if a.dtype == object else 1 / 3)),
    matmul,
    matmul,
    reduction("sum", lambda np_, a, axis: np_.sum(a, axis)),
    reduction("mean", _mean),
    reshape,
    transpose,
    concat,
    broadcast,
]
SMOOTH: list[Step] = [
    *RATIONAL,
    unary("sin({x})", lambda np_, a: np_.sin(a)),
    unary("cos({x})", lambda np_, a: np_.cos(a)),
    unary("tanh({x})", lambda np_, a: np_.tanh(a)),
    unary("sigmoid({x})", lambda np_, a: 1 / (1 + np_.exp(-a))),
    unary("exp(tanh({x}))", lambda np_, a: np_.exp(np_.tanh(a))),
    unary("log({x}^2 + 1)", lambda np_, a: np_.log(a * a + 1)),
    unary("sqrt({x}^2 + 1/2)", lambda np_, a: np_.sqrt(a * a + 0.5)),
    unary("swish({x})", lambda np_, a: a / (1 + np_.exp(-a))),
    rows("softmax", lambda np_, a, axis: np_.exp(a - _logsumexp(np_, a, axis))),
    rows("log_softmax", lambda np_, a, axis: a - _logsumexp(np_, a, axis)),
    reduction("logsumexp", lambda np_, a, axis: np_.log(np_.sum(np_.exp(a), axis))),
]
SHAPES = [(), (1,), (2,), (3,), (2, 3), (3, 2), (2, 2), (1, 3)]


@st.composite
def programs(draw: st.DrawFn, kinds: list[Step]) -> Made:
    """A well-typed program of up to eight steps, with up to three inputs and outputs; some values go unused."""
    shapes = {f"x{k}": draw(st.sampled_from(SHAPES)) for k in range(draw(st.integers(1, 3)))}
    made = Made(dict(shapes), inputs=tuple(shapes))
    for _ in range(draw(st.integers(2, 8))):
        draw(st.sampled_from(kinds))(draw, made)
    if not made.steps:
        kinds[0](draw, made)
    small = [n for n, _, _ in made.steps if prod(made.shapes[n]) <= 36]
    others = draw(st.lists(st.sampled_from(small), max_size=2))
    made.outputs = tuple(dict.fromkeys([small[-1], *others]))
    return made


@st.composite
def cases(draw: st.DrawFn, kinds: list[Step]) -> tuple[Made, dict[str, Array], list[Array]]:
    """A program, its inputs (as Fractions) and a cotangent for each output."""
    made = draw(programs(kinds))
    entries = st.fractions(-2, 2, max_denominator=4)

    def array(shape: Shape) -> Array:
        out = np.empty(shape, object)
        for index in np.ndindex(shape):
            out[index] = draw(entries)
        return out

    inputs = {n: array(made.shapes[n]) for n in made.inputs}
    return made, inputs, [array(made.shapes[n]) for n in made.outputs]


def floats(arrays: Any) -> Any:
    """The arrays in float64."""
    if isinstance(arrays, dict):
        return {n: np.asarray(a).astype(float) for n, a in arrays.items()}
    return [np.asarray(a).astype(float) for a in arrays]


def paired(outputs: list[Array], seeds: list[Array]) -> Any:
    """The sum of outputs * seeds."""
    pairs = [zip(np.ravel(o), np.ravel(s), strict=True) for o, s in zip(outputs, seeds, strict=True)]
    return sum((a * b for pair in pairs for a, b in pair), 0)


QUICK = {"deadline": None, "suppress_health_check": list(HealthCheck), "derandomize": True, "database": None}


@settings(max_examples=60, **QUICK)
@given(programs(SMOOTH))
def test_canonical_text_is_the_same_program(made: Made) -> None:
    module = load_text(made.text)
    text = render(module)
    again = load_text(text)
    assert render(again) == text
    first, second = module.graphs["p"], again.graphs["p"]
    assert [(n.op, n.args, n.type, n.attrs, n.sizes) for n in first.nodes] == [
        (n.op, n.args, n.type, n.attrs, n.sizes) for n in second.nodes
    ]
    assert (first.outputs, first.leaves) == (second.outputs, second.leaves)


@settings(max_examples=40, **QUICK)
@given(cases(RATIONAL))
def test_rational_gradients_are_exact(case: tuple[Made, dict[str, Array], list[Array]]) -> None:
    made, inputs, seeds = case
    program = gp.compile(made.text)["p"]
    values, gradients = program.vjp(inputs, tuple(seeds), scalar="rational")
    values = values if isinstance(values, tuple) else (values,)
    for found, expected in zip(values, made.run(np, inputs), strict=True):
        np.testing.assert_array_equal(np.asarray(found), np.asarray(expected))
    for name, array in inputs.items():
        for index in np.ndindex(array.shape):
            moved = {n: np.frompyfunc(Dual, 1, 1)(a) if a.shape else _scalar(Dual(a[()])) for n, a in inputs.items()}
            moved[name] = moved[name].copy()
            moved[name][index] = Dual(array[index], Fraction(1))
            total = paired(made.run(np, moved), seeds)
            assert np.asarray(gradients[name])[index] == dual(total).b, (made.text, name, index)


def _scalar(value: Any) -> Array:
    out = np.empty((), object)
    out[()] = value
    return out


@settings(max_examples=60, **QUICK)
@given(cases(SMOOTH))
def test_gradients_agree_with_autograd_and_finite_differences(
    case: tuple[Made, dict[str, Array], list[Array]],
) -> None:
    made, exact_inputs, exact_seeds = case
    inputs, seeds = floats(exact_inputs), floats(exact_seeds)
    program = gp.compile(made.text)["p"]
    values, gradients = program.vjp(inputs, tuple(seeds))
    values = values if isinstance(values, tuple) else (values,)
    for found, expected in zip(values, made.run(np, inputs), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)

    def total(arrays: dict[str, Array]) -> Any:
        outputs = made.run(anp, arrays)
        return sum(anp.sum(o * s) for o, s in zip(outputs, seeds, strict=True))

    expected_gradients = autograd.grad(total)(inputs)
    for name in inputs:
        np.testing.assert_allclose(gradients[name], expected_gradients[name], rtol=1e-8, atol=1e-8, err_msg=made.text)
    rng = np.random.default_rng(0)
    along = {n: rng.uniform(-1, 1, a.shape) for n, a in inputs.items()}
    step = 2.0**-16
    sides = [float(total({n: a + sign * step * along[n] for n, a in inputs.items()})) for sign in (1, -1)]
    slope = (sides[0] - sides[1]) / (2 * step)
    scale = 1 + sum(float(np.abs(g).sum()) for g in gradients.values())
    assert abs(slope - sum(float(np.sum(gradients[n] * along[n])) for n in inputs)) <= 1e-5 * scale**2, made.text
    _, tangents = program.jvp(inputs, along)
    tangents = tangents if isinstance(tangents, tuple) else (tangents,)
    assert abs(float(paired(list(tangents), seeds)) - slope) <= 1e-5 * scale**2, made.text


@settings(max_examples=40, **QUICK)
@given(cases(SMOOTH))
def test_the_plan_agrees_with_the_tape(case: tuple[Made, dict[str, Array], list[Array]]) -> None:
    made, exact_inputs, exact_seeds = case
    inputs, seeds = floats(exact_inputs), floats(exact_seeds)
    program = gp.compile(made.text)["p"]
    _, planned = program.vjp(inputs, tuple(seeds))
    tape = program.tape("float64")
    table = tape.denote_all([inputs[n] for n in made.inputs])
    context = tape.seed_context(table, list(zip(program.graph.outputs, seeds, strict=True)))
    taped = tape.backward_dense_from(table, context)
    for position, name in enumerate(made.inputs):
        np.testing.assert_allclose(planned[name], taped[position], rtol=1e-9, atol=1e-9, err_msg=made.text)
