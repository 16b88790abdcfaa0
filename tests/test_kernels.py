"""Kernels against the entry-by-entry denotation, in exact rationals, at sizes 0, 1 and a few more."""

from __future__ import annotations

import itertools
import math
import random
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from gradproof.compiler.denote import Env, Field, Irrational, Rationals, Undefined, evaluate, holds
from gradproof.compiler.dims import Entry, Poly
from gradproof.compiler.kernels import Kernel
from gradproof.compiler.library import prelude
from gradproof.compiler.lower import lower
from gradproof.compiler.lowering import tensors_of
from gradproof.compiler.ops import Axis, Formula, OpDef, Param
from gradproof.compiler.plan import Plan
from gradproof.compiler.rewriting import free_symbols, tensors
from gradproof.compiler.rules import Computation, rules_of
from gradproof.compiler.slots import assign
from gradproof.compiler.terms import (
    ONE,
    TRUE,
    ZERO,
    BoolRead,
    Cond,
    Not,
    Or,
    Read,
    RealCmp,
    Select,
    Size,
    Term,
    add,
    both,
    call,
    divide,
    in_range,
    indicator,
    int_eq,
    int_ge,
    int_lt,
    mul,
    neg,
    num,
    power,
    reduce_,
    select,
    sub,
    total,
)
from gradproof.grammar.source import BUILTIN
from gradproof.runtime.executor import Executor
from gradproof.runtime.externs import run_exact
from gradproof.runtime.floats import FLOAT64, FloatField
from gradproof.runtime.interpret import run_kernel
from gradproof.runtime.scalars import scalars
from gradproof.verifier.denotation import denote_kernel
from hypothesis import given, settings
from hypothesis import strategies as st

S = Poly.sym


def axes(text: str) -> tuple[Axis, ...]:
    """`"n S.. m"` as axes; a name with dots is a pack."""
    return tuple(Axis(S(name), name if name.endswith("..") else None) for name in text.split())


def param(name: str, text: str, kind: str = "real") -> Param:
    return Param(name, kind, axes(text))


def make_op(params: list[Param], out: str, indices: str, body: Term | Cond, ints: str = "", **more: Any) -> OpDef:
    from gradproof.compiler.ops import Attr

    output = Param("y", "bool" if isinstance(body, Cond) else "real", axes(out))
    extents = tuple(a.extent for a in output.axes)
    formula = Formula("y", tuple(indices.split()), extents, body, BUILTIN)
    attrs = tuple(Attr(name, "int") for name in ints.split())
    return OpDef("op", attrs, tuple(params), output, formula, BUILTIN, **more)


class Naive:
    """The denotation of a computation, entry by entry."""

    def __init__(self, arrays: dict[str, Any], ints: dict[str, int], reals: dict[str, Fraction], field: Field) -> None:
        self.arrays, self.field = dict(arrays), field
        self.reals = reals
        self.env = Env(ints, self._real, self._int, self._bool)

    def _entry(self, name: str, index: tuple[int, ...]) -> Any:
        array = self.arrays[name]
        if any(not 0 <= i < n for i, n in zip(index, array.shape, strict=True)):
            raise Undefined(f"{name}{index}")
        return array[index]

    def _real(self, name: str, index: tuple[int, ...]) -> Any:
        if name in self.externs and name not in self.arrays:
            extern = self.externs[name]
            self.arrays[name] = run_exact(extern.kernel, self.field, [self.arrays[arg] for arg in extern.args])
        return self.reals[name] if name in self.reals else self._entry(name, index)

    def _int(self, name: str, index: tuple[int, ...]) -> int:
        return int(self._entry(name, index))

    def _bool(self, name: str, index: tuple[int, ...]) -> bool:
        return bool(self._entry(name, index))

    def run(self, computation: Computation) -> Any:
        self.externs = {extern.tensor: extern for extern in computation.externs}
        for formula in (*computation.lets, computation.result):
            shape = tuple(max(0, e.evaluate(self.env.ints)) for e in formula.extents)
            out = np.empty(shape, object)
            for position in itertools.product(*map(range, shape)):
                ints = {**self.env.ints, **dict(zip(formula.indices, position, strict=True))}
                env = Env(ints, self._real, self._int, self._bool)
                value = formula.body
                out[position] = (
                    holds(value, env, self.field) if isinstance(value, Cond) else evaluate(value, env, self.field)
                )
            self.arrays[formula.target] = out
        return self.arrays[computation.result.target]


def random_inputs(
    op: OpDef, ints: dict[str, int], seed: int, low: int = -3, bound: int | None = None
) -> dict[str, Any]:
    """Flat (one axis an Axis) arrays for everything that a rule may read."""
    random_ = random.Random(seed)
    arrays: dict[str, Any] = {}
    for name, p in tensors_of(op).items():
        shape = tuple(max(0, a.extent.evaluate(ints)) for a in p.axes)
        out = np.empty(shape, object)
        for position in itertools.product(*map(range, shape)):
            if p.kind == "real":
                out[position] = Fraction(random_.randint(low, 4), random_.choice((1, 2, 3)))
            elif p.kind == "int":
                out[position] = random_.randrange(bound if bound is not None else 3) if bound != 0 else 0
            else:
                out[position] = random_.random() < 0.5
        arrays[name] = out
    return arrays


def check(
    op: OpDef,
    computation: Computation | None = None,
    sizes: dict[str, Any] | None = None,
    ints: dict[str, int] | None = None,
    reals: dict[str, Fraction] | None = None,
    seed: int = 0,
    bound: int | None = None,
    low: int = -3,
) -> None:
    """The kernel agrees with the denotation: the same values, or no value on both sides."""
    computation = computation or Computation((), op.forward)
    sizes = {k: v if isinstance(v, tuple) else (v,) for k, v in (sizes or {}).items()}
    ints, reals = ints or {}, reals or {}
    names = {**{k: math.prod(v) for k, v in sizes.items()}, **ints}
    flat = random_inputs(op, names, seed, low, bound)
    kernel = lower(computation, op)
    full = {}
    for entry in kernel.program.inputs:
        p = tensors_of(op)[entry.name]
        shape = [n for a in p.axes for n in (sizes[a.pack] if a.pack else (a.extent.evaluate(names),))]
        values = flat[entry.name].reshape(shape)
        full[entry.name] = values if p.kind == "real" else values.astype(int if p.kind == "int" else bool)
    try:
        expected = Naive(flat, names, reals, Rationals()).run(computation)
    except Irrational:
        # An intermediate may be irrational, or outside a domain, where no entry leans on it: floats say what is right.
        with suppress(Irrational, Undefined):
            run_kernel(kernel, full, sizes, ints, reals, scalars("rational"))
        check_floats(kernel, computation, flat, full, sizes, ints, reals)
        return
    except Undefined as error:
        if op.output.kind == "int":
            return  # integers divided by 0: a `require` rules it out, and integers have no entry without a value
        with pytest.raises((type(error), Irrational)):  # whichever entry comes first
            run_kernel(kernel, full, sizes, ints, reals, scalars("rational"))
        return
    got = run_kernel(kernel, full, sizes, ints, reals, scalars("rational"))
    assert expected.reshape(-1).tolist() == got.reshape(-1).tolist(), str(kernel.program)
    if computation.externs:
        return  # in a kernel's meaning an extern is uninterpreted; tests/test_laws.py runs them in floats
    denoted = denote_kernel(kernel, computation.result.indices)
    meaning = Computation((), replace(computation.result, body=denoted.body))
    assert expected.tolist() == Naive(flat, names, reals, Rationals()).run(meaning).tolist(), str(kernel.program)
    if not isinstance(computation.result.body, Cond):
        floats = run_kernel(kernel, full, sizes, ints, reals, FLOAT64)
        np.testing.assert_allclose(floats.reshape(-1), expected.reshape(-1).astype(float), rtol=1e-9, atol=1e-12)
        if not op.real_attrs:
            execute(kernel, {k: flat[k] for k in full}, names, expected)


def execute(kernel: Kernel, flat: dict[str, Any], names: dict[str, int], expected: Any) -> None:
    """The executor agrees, in shared buffers, on a second run too."""
    program = kernel.program
    executor = Executor(Plan(None, "forward", program, (), assign(program)), names)  # type: ignore[arg-type]
    kinds = {"real": float, "int": int, "bool": bool}
    inputs = {i.name: flat[i.name].astype(kinds[i.kind]) for i in program.inputs}
    executor.run({k: np.zeros_like(v) for k, v in inputs.items()})
    (got,) = executor.run(inputs)
    np.testing.assert_allclose(got, expected.astype(float), rtol=1e-9, atol=1e-12, err_msg=str(program))


def check_floats(
    kernel: Any, computation: Computation, flat: Any, full: Any, sizes: Any, ints: Any, reals: Any
) -> None:
    """The same in floats, where rationals have no value."""
    names = {**{k: math.prod(v) for k, v in sizes.items()}, **ints}
    field = FloatField()
    with np.errstate(all="ignore"):
        floats = {k: np.vectorize(np.float64, otypes=[object])(v) if v.size else v for k, v in flat.items()}
        try:
            expected = Naive(floats, names, {k: np.float64(v) for k, v in reals.items()}, field).run(computation)
        except Undefined:
            return  # a point outside the domain, which the exact values met after an irrational one
    got = run_kernel(kernel, full, sizes, ints, reals, FLOAT64)
    expected = expected.reshape(-1).astype(float)
    np.testing.assert_allclose(got.reshape(-1), expected, rtol=1e-9, atol=1e-9, err_msg=str(kernel.program))


i, j, k, l, n, m = (S(c) for c in "ijklnm")  # noqa: E741


def x(*index: Any) -> Term:
    return Read("x", tuple(map(Poly.of, index)))


def w(*index: Any) -> Term:
    return Read("w", tuple(map(Poly.of, index)))


SIZES = [0, 1, 2, 3]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("other", [0, 1, 3])
def test_matmul(size: int, other: int) -> None:
    op = make_op([param("x", "n k"), param("w", "k m")], "n m", "i j", total("l", k, mul(x(i, l), w(l, j))))
    check(op, sizes={"n": size, "k": other, "m": 2})
    kernel = lower(Computation((), op.forward), op)
    assert [s.op for s in kernel.program.steps] == ["contract"]


ELEMENTWISE = {
    "polynomial": add(mul(num(3), power(x(i), 3)), neg(x(i)), num(Fraction(1, 2))),
    "quotient": divide(x(i), add(ONE, power(x(i), 2))),
    "inverse": power(x(i), -2),
    "guarded inverse": select(RealCmp("==", x(i), ZERO), ZERO, divide(ONE, x(i))),
    "index": add(x(i), Size(i * 2 + n)),
    "reversed": x(n - 1 - i),
    "shifted": select(int_ge(i, 1), x(i - 1), num(7)),
    "clipped": select(both(int_ge(i, 1), int_lt(i, n - 1)), sub(x(i + 1), x(i - 1)), x(i)),
    "halves": x(i // 2),
    "remainder": select(int_eq(i % 2, 0), x(i), neg(x((i + 1) % n))),
    "max": call("max", x(i), num(0)),
    "abs sign": mul(call("abs", x(i)), call("sign", x(i))),
    "first": select(int_ge(n, 1), mul(x(0), x(i)), ZERO),
    "window": total("u", 3, x(i + S("u") - 1), in_range(i + S("u") - 1, n)),
    "window of quotients": total("u", 3, divide(ONE, x(i + S("u") - 1)), in_range(i + S("u") - 1, n)),
    "prefix": total("u", n, x(S("u")), int_lt(S("u"), i + 1)),
    "prefix extent": total("u", i + 1, x(S("u"))),
    "prefix product": reduce_("prod", "u", n, int_lt(S("u"), i), x(S("u"))),
    "prefix max": reduce_("max", "u", n, int_lt(S("u"), i + 1), x(S("u"))),
    "max of a part": reduce_("max", "u", n, int_lt(S("u"), i), x(S("u"))),
    "centred": sub(x(i), divide(total("u", n, x(S("u"))), Size(n))),
    "unused": total("u", n, x(i)),
    "constant sum": total("u", n, num(2)),
    "quotient leaves a sum": total("u", n, divide(mul(x(S("u")), x(S("u"))), x(i))),
    "double": total("u", n, total("v", n, mul(x(S("u")), x(S("v")), Size(S("u") + i)))),
    "nested": total("u", n, mul(x(S("u")), total("u", n, mul(x(S("u")), x(i))))),
    "sum of sums": total("u", n, add(mul(x(S("u")), x(i)), x(i), num(1))),
    "distributed": total("u", n, mul(add(x(S("u")), x(i)), x(S("u")))),
    "equality": total("u", n, mul(x(S("u")), num(2)), int_eq(S("u"), n - 1 - i)),
    "equality outside": total("u", n, x(S("u")), int_eq(S("u"), i + 1)),
    "strided transpose": total("u", n, x(S("u")), int_eq(S("u") * 2 + 1, i)),
    "masked by values": total("u", n, x(S("u")), RealCmp("<", x(S("u")), x(i))),
    "masked quotient": total("u", n, divide(x(i), x(S("u"))), RealCmp("<", ZERO, x(S("u")))),
    "kinks": mul(x(i), select(RealCmp("==", x(i), ZERO), ZERO, select(RealCmp("<", ZERO, x(i)), ONE, indicator(TRUE)))),
    "either": select(Not(both(int_ge(i, 1), RealCmp("<", x(i), ONE))), x(i), num(5)),
    "sign of zero": select(RealCmp("<=", x(i), ZERO), neg(x(i)), select(RealCmp("<", x(i), ZERO), num(9), x(i))),
}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", ELEMENTWISE)
def test_one_axis(name: str, size: int) -> None:
    for seed in range(3):
        check(make_op([param("x", "n")], "n", "i", ELEMENTWISE[name]), sizes={"n": size}, seed=seed)


idx = Poly.atom(Entry("idx", (k,)))
s = S("s..")


@pytest.mark.parametrize("pack", [(), (2,), (2, 3), (0,), (1, 2)])
@pytest.mark.parametrize("rows", [1, 3])
def test_gather_and_scatter(pack: tuple[int, ...], rows: int) -> None:
    rows_ = [param("x", "n S.."), param("idx", "K..", "int"), param("w", "K.. S..")]
    at = Poly.atom(Entry("idx", (S("k.."),)))
    take = make_op(rows_[:2], "K.. S..", "k.. s..", x(at, s))
    sizes = {"n": rows, "S..": pack, "K..": (2, 2)}
    check(take, sizes=sizes, bound=rows)
    check(take, rules_of(take).jvp, sizes=sizes, bound=rows)
    check(take, rules_of(take).vjps[0][1], sizes=sizes, bound=rows)
    put = make_op(rows_, "n S..", "i s..", add(x(i, s), total("k..", S("K.."), w(S("k.."), s), int_eq(at, i))))
    check(put, sizes=sizes, bound=rows)
    check(put, sizes=sizes, bound=rows + 2)  # positions outside count for nothing
    for _, rule in rules_of(put).vjps:
        check(put, rule, sizes=sizes, bound=rows)
    assert "add_at" in [step.op for step in lower(Computation((), put.forward), put).program.steps]


@pytest.mark.parametrize("size", SIZES)
def test_pick(size: int) -> None:
    at = Poly.atom(Entry("idx", (s,)))
    op = make_op([param("x", "S.. n"), param("idx", "S..", "int")], "S..", "s..", x(s, at))
    for rule in (Computation((), op.forward), rules_of(op).vjps[0][1]):
        check(op, rule, sizes={"S..": (size, 2), "n": 3})


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("pad", [0, 1, 2])
def test_convolution(stride: int, pad: int) -> None:
    p, u = S("p"), S("u")
    read = p * S("stride") + u - S("pad")
    body = total(
        "c", S("C"), total("u", S("K"), mul(x(S("b"), S("c"), read), w(S("o"), S("c"), u)), in_range(read, S("L")))
    )
    op = make_op([param("x", "N C L"), param("w", "O C K")], "N O P", "b o p", body, "stride pad")
    length = (4 + 2 * pad - 2) // stride + 1
    sizes = {"N": 2, "C": 2, "L": 4, "O": 2, "K": 2, "P": length}
    check(op, sizes=sizes, ints={"stride": stride, "pad": pad})
    for _, rule in rules_of(op).vjps:
        check(op, rule, sizes=sizes, ints={"stride": stride, "pad": pad})
    kernel = lower(Computation((), op.forward), op)
    assert [step.op for step in kernel.program.steps] == ["contract"], str(kernel.program)


def test_softmax_shares_its_exponentials() -> None:
    top = Formula("m", ("s..",), (S("S.."),), reduce_("max", "j", n, TRUE, x(s, j)), BUILTIN)
    low = Read("m", (s,))
    e = [call("exp", sub(x(s, at), low)) for at in (i, j)]
    body = divide(e[0], total("j", n, e[1]))
    op = make_op([param("x", "S.. n")], "S.. n", "s.. i", body)
    kernel = lower(Computation((top,), op.forward), op)
    assert [step.op for step in kernel.program.steps] == ["fold", "map", "call", "fold", "map"]
    assert kernel.packs == {"S.."}
    values = np.random.default_rng(0).normal(size=(2, 3, 4))
    got = run_kernel(kernel, {"x": values}, {"S..": (2, 3), "n": (4,)}, {}, {}, FLOAT64)
    expected = np.exp(values) / np.exp(values).sum(-1, keepdims=True)
    np.testing.assert_allclose(got, expected, rtol=1e-12)
    with pytest.raises(Irrational):
        run_kernel(kernel, {"x": values}, {"S..": (2, 3), "n": (4,)}, {}, {}, scalars("rational"))


def test_intervals_enclose_and_never_guess() -> None:
    from gradproof.runtime.scalars import Undecided

    op = make_op([param("x", "n")], "n", "i", select(RealCmp("<", call("sin", x(i)), call("sin", x(i))), ONE, x(i)))
    kernel = lower(Computation((), op.forward), op)
    with pytest.raises(Undecided):
        run_kernel(kernel, {"x": np.array([0.5])}, {"n": (1,)}, {}, {}, scalars("interval"))
    smooth = make_op([param("x", "n")], "n", "i", divide(call("exp", x(i)), add(ONE, call("exp", x(i)))))
    kernel = lower(Computation((), smooth.forward), smooth)
    got = run_kernel(kernel, {"x": np.array([0.5])}, {"n": (1,)}, {}, {}, scalars("interval"))[0]
    assert abs(float(got) - 1 / (1 + math.exp(-0.5))) < 1e-15 and got.rad() < 1e-30


def test_symbols_give_terms() -> None:
    from gradproof.runtime.scalars import symbols

    op = make_op(
        [param("x", "n"), param("c", "n", "bool")], "n", "i", select(BoolRead("c", (i,)), x(i), power(x(i), 2))
    )
    kernel = lower(Computation((), op.forward), op)
    given = {"x": symbols("x", (2,)), "c": symbols("c", (2,), "bool")}
    got = run_kernel(kernel, given, {"n": (2,)}, {}, {}, scalars("symbolic"))
    zero = (Poly.of(0),)
    assert got[0] == select(BoolRead("c", zero), Read("x", zero), power(Read("x", zero), 2))
    matmul = make_op([param("x", "n"), param("w", "n")], "", "", total("l", n, mul(x(l), w(l))))
    kernel = lower(Computation((), matmul.forward), matmul)
    got = run_kernel(
        kernel, {"x": symbols("x", (2,)), "w": symbols("w", (2,))}, {"n": (2,)}, {}, {}, scalars("symbolic")
    )
    entry = [[Read(t, (Poly.of(q),)) for q in range(2)] for t in "xw"]
    assert got[()] == add(mul(entry[0][0], entry[1][0]), mul(entry[0][1], entry[1][1]))


def _shapes(
    op: OpDef, random_: random.Random, reals: dict[str, Fraction]
) -> tuple[dict[str, tuple[int, ...]], dict[str, int]] | None:
    """Sizes and integer attributes that the operator's requirements allow; None where a guess does not fit."""
    packs = {a.pack for p in (*op.params, op.output) for a in p.axes if a.pack}
    ints = {name: random_.choice((0, 1, 1, 2, 3)) for name in op.int_attrs}
    ranks = {a.pack: a.rank for p in (*op.params, op.output) for a in p.axes if a.pack and a.rank is not None}
    sizes: dict[str, tuple[int, ...]] = {}
    for name in op.sizes:
        if name in packs:
            rank = ranks[name].evaluate(ints) if name in ranks else random_.choice((0, 1, 2))
            sizes[name] = tuple(random_.choice((1, 2, 2, 3)) for _ in range(rank))
        else:
            sizes[name] = (random_.choice((0, 1, 2, 3)),)
    names = {**{k: math.prod(v) for k, v in sizes.items()}, **ints}
    try:
        if any(a.extent.evaluate(names) < 0 for p in (*op.params, op.output) for a in p.axes):
            return None
    except ZeroDivisionError:
        return None  # a step of 0
    for cond in op.requires:
        free = free_symbols(cond) - names.keys()
        if not free and not tensors(cond):
            env = Env(names, lambda name, index: reals[name], lambda *_: 0, lambda *_: False)
            if not holds(cond, env, Rationals()):
                return None
    return sizes, ints


OPS = [op for group in prelude().overloads.values() for op in group]


@pytest.mark.parametrize("op", OPS, ids=lambda op: op.name)
def test_every_rule_of_the_prelude(op: OpDef) -> None:
    random_ = random.Random(op.name)
    reals = {a.name: a.default if a.default is not None else Fraction(2, 3) for a in op.attrs if a.kind == "real"}
    reals = {**reals, **({"lo": Fraction(-1), "hi": Fraction(1)} if "lo" in reals else {})}
    rules = rules_of(op)
    computations = [rules.forward, *([rules.jvp] if rules.jvp else []), *(c for _, c in rules.vjps)]
    done = 0
    for _ in range(2000):
        found = _shapes(op, random_, reals)
        if found is None:
            continue
        sizes, ints = found
        bounds = [sizes[name][0] for name in ("n",) if name in sizes]
        ignoring = isinstance(op.forward.body, Select) or any(isinstance(c, Or) for c in op.requires)
        if 0 in bounds and ignoring and any(p.kind == "int" for p in op.params):
            continue  # an index that is not to be ignored has no place
        for computation in computations:
            check(op, computation, sizes, ints, reals, seed=done, bound=min(bounds, default=3), low=-3 + 3 * (done % 2))
        done += 1
        if done == 6:
            return
    pytest.fail("no sizes fit")


# Random terms: whatever is written has a kernel, and it is right.


@st.composite
def indices(draw: Any, names: tuple[str, ...]) -> Poly:
    """An index expression: affine with any signs, or with a floor, a remainder or an integer read in it."""
    poly = Poly.of(draw(st.integers(-2, 2)))
    for name in names:
        poly = poly + S(name) * draw(st.sampled_from([0, 1, 1, -1, 2]))
    match draw(st.integers(0, 7)):
        case 0:
            return poly // 2
        case 1:
            return poly % 3
        case 2:
            return poly.maximum(S(names[0])).minimum(2)
        case 3:
            return poly + Poly.atom(Entry("idx", (S("i"),)))
        case _:
            return poly


@st.composite
def terms(draw: Any, names: tuple[str, ...], depth: int) -> Term:
    """A term over x[n, m], w[n], idx[n] at indices `names`; every read is guarded, so it is defined."""
    kind = draw(st.integers(0, 9)) if depth else draw(st.integers(0, 3))
    here = terms(names, depth - 1)
    match kind:
        case 0:
            return Size(draw(indices(names)))
        case 1 | 2:
            a, b = draw(indices(names)), draw(indices(names))
            return select(both(in_range(a, n), in_range(b, m)), x(a, b), num(draw(st.integers(-1, 1))))
        case 3:
            a = draw(indices(names))
            return select(in_range(a, n), w(a), ZERO)
        case 4:
            return add(draw(here), draw(here))
        case 5:
            return mul(draw(here), draw(here))
        case 6:
            compare = RealCmp(draw(st.sampled_from(["<", "<=", "=="])), draw(here), draw(here))
            return select(compare, draw(here), draw(here))
        case 7:
            return divide(draw(here), add(num(1), power(draw(here), 2)))
        case _:
            var = f"u{depth}"
            inner = (*names, var)
            guard = draw(guards(inner))
            body = draw(terms(inner, depth - 1))
            kind = draw(st.sampled_from(["sum", "sum", "sum", "prod"]))
            return reduce_(kind, var, draw(st.sampled_from([Poly.of(2), n, m])), guard, body)


@st.composite
def guards(draw: Any, names: tuple[str, ...]) -> Cond:
    """A condition on integers."""
    match draw(st.integers(0, 4)):
        case 0:
            return in_range(draw(indices(names)), n)
        case 1:
            return int_eq(draw(indices(names)), S(names[0]))
        case 2:
            return Not(int_ge(draw(indices(names)), 0))
        case _:
            return TRUE


@settings(max_examples=80, deadline=None)
@given(terms(("i", "j"), 3), st.integers(0, 3), st.integers(0, 2))
def test_random_terms(term: Term, rows: int, columns: int) -> None:
    inputs = [param("x", "n m"), param("w", "n"), param("idx", "n", "int")]
    op = make_op(inputs, "n m", "i j", term)
    check(op, sizes={"n": rows, "m": columns}, bound=3)
