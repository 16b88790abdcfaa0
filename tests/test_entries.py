"""The closures of every operator of the prelude, entry by entry; wrong kernels are refuted where they are wrong."""

from __future__ import annotations

from fractions import Fraction

import pytest
from gradproof.compiler.library import prelude
from gradproof.compiler.lower import kernel_of
from gradproof.compiler.ops import OpDef
from gradproof.compiler.rules import derived_jvp, rules_of
from gradproof.runtime import semantics
from gradproof.verifier.entries import Kind, compare, tidy
from gradproof.verifier.small import holds_everywhere, small_cases

OPS = prelude().ops
REALS = (Fraction(3, 2), Fraction(1, 4), Fraction(1))  # attributes, where generic ones are not allowed


def kind_of(op: OpDef) -> Kind:
    """The operator with packs of one or two axes, as its ranks allow."""
    ranks, ints = {}, {}
    for name in op.int_attrs:
        ints[name] = None
    for param in (*op.params, op.output):
        for k, axis in enumerate(param.axes):
            if axis.rank is not None:
                ints.update(dict.fromkeys(axis.rank.symbols, 1))
                ranks[axis.pack] = axis.rank.evaluate(dict.fromkeys(axis.rank.symbols, 1))
            elif axis.pack is not None:
                ranks.setdefault(axis.pack, 2 if k == 0 else 1)
    generic = {name: Fraction(3 * k + 2, 3) for k, name in enumerate(op.real_attrs)}
    few = {name: 1 if value is None else value for name, value in ints.items()}
    least = {name: int(k == 0) if value is None else value for k, (name, value) in enumerate(ints.items())}
    tries = [(chosen, dict.fromkeys(op.real_attrs, value)) for chosen in (ints, few, least) for value in REALS]
    for chosen, reals in [(ints, generic), *tries]:
        if next(small_cases(op, ranks, chosen, reals), None) is not None:
            return Kind(op, tuple(ranks.items()), tuple(chosen.items()), tuple(reals.items()))
    pytest.fail(f"no small sizes satisfy what {op.name} requires")


@pytest.mark.parametrize("name", OPS)
@pytest.mark.parametrize("what", ["value", "derivatives"])
def test_every_operator_of_the_prelude(name, what):
    found = compare(kind_of(OPS[name]), what, 5.0)
    assert found.answer == "proved", found


@pytest.mark.parametrize("name", OPS)
def test_small_cases_satisfy_what_is_required_and_have_entries(name):
    op, kind = OPS[name], kind_of(OPS[name])
    small = next(small_cases(op, dict(kind.ranks), dict(kind.ints), dict(kind.reals)))
    assert all(holds_everywhere(c, op, small) for c in op.requires)
    assert all(min(small.shape(p), default=1) >= 1 for p in (*op.params, op.output))
    for param in op.params:
        if param.kind == "int":
            assert len(small.integers[param.name]) > 0


@pytest.fixture
def swapped(monkeypatch):
    """Let one rule of an operator run another one's kernel."""

    def swap(op: OpDef, mode: str, name: str, other: OpDef, other_mode: str, other_name: str = "") -> None:
        def wrong(asked, asked_mode, asked_name=""):
            if (asked, asked_mode, asked_name) == (op, mode, name):
                return kernel_of(other, other_mode, other_name)
            return kernel_of(asked, asked_mode, asked_name)

        compare.cache_clear()
        monkeypatch.setattr(semantics, "kernel_of", wrong)

    yield swap
    compare.cache_clear()


ATTACKS = [
    ("mul", "forward", "", "add", "forward", "", "value"),
    ("sub", "forward", "", "add", "forward", "", "value"),
    ("relu", "forward", "", "abs", "forward", "", "value"),
    ("div", "vjp", "a", "mul", "vjp", "a", "derivatives"),
    ("sin", "jvp", "", "exp", "jvp", "", "derivatives"),
    ("softmax", "vjp", "x", "log_softmax", "vjp", "x", "derivatives"),
    ("softmax", "jvp", "", "log_softmax", "jvp", "", "derivatives"),
]


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda a: f"{a[0]} {a[1]}")
def test_a_wrong_kernel_is_refuted_in_exact_scalars(swapped, attack):
    op, mode, name, other, other_mode, other_name, what = attack
    swapped(OPS[op], mode, name, OPS[other], other_mode, other_name)
    found = compare(kind_of(OPS[op]), what, 5.0)
    assert found.answer == "refuted"
    example = found.counterexample
    assert example.replayed and example.expected != example.got
    assert set(example.values) >= {p.name for p in OPS[op].params}
    assert example.note.startswith({"forward": "value", "vjp": "vjp", "jvp": "jvp"}[mode])


@pytest.mark.parametrize("error", [ValueError("no kernel"), KeyError("x"), TypeError("odd"), ZeroDivisionError()])
def test_a_closure_that_fails_is_unknown_with_the_reason(monkeypatch, error):
    def broken(*_):
        raise error

    compare.cache_clear()
    monkeypatch.setattr(semantics, "kernel_of", broken)
    for what in ("value", "derivatives"):
        found = compare(kind_of(OPS["mul"]), what, 5.0)
        assert found.answer == "unknown" and type(error).__name__ in found.reason
    compare.cache_clear()


def test_a_kernel_that_is_wrong_only_at_a_tie_is_refuted(swapped):
    """relu's derivative at 0 is the declared one; abs/2 + x/2 has another there and the same elsewhere."""
    import dataclasses

    relu = OPS["relu"]
    other = dataclasses.replace(
        relu, name="other", vjps=(), jvp=None, kinks=(), forward=_half_abs(relu), runs=None, lets=()
    )
    swapped(relu, "vjp", "x", other, "vjp", "x")
    found = compare(kind_of(relu), "derivatives", 5.0)
    assert found.answer == "refuted"
    assert {v for row in found.counterexample.values["x"] for v in row} == {"0"}


def _half_abs(relu):
    import dataclasses

    from gradproof.compiler.terms import Read, add, call, mul, num

    x = Read("x", tuple(map(type(relu.forward.extents[0]).sym, relu.forward.indices)))
    return dataclasses.replace(relu.forward, body=mul(num(Fraction(1, 2)), add(x, call("abs", x))))


def test_the_hypotheses_of_a_comparison_name_the_claim_they_rest_on():
    for name, op in OPS.items():
        for what in ("value", "derivatives"):
            for hypothesis in compare(kind_of(op), what, 5.0).hypotheses:
                assert hypothesis.discharged.split(" of ")[0] in ("RUNS", "JVP", "VJP"), name


def test_tidy_only_reorders_and_moves_factors_into_selections():
    from gradproof.compiler.terms import ZERO, Read, RealCmp, add, mul, select

    x, z, c = Read("x", ()), Read("z", ()), RealCmp("<", Read("x", ()), Read("z", ()))
    assert tidy(add(x, z)) == tidy(add(z, x))
    assert tidy(mul(select(c, x, ZERO), z)) == tidy(select(c, mul(z, x), ZERO))
    assert tidy(mul(x, z)) != tidy(add(x, z))
    assert tidy(mul(select(c, x, z), z)) != tidy(select(c, mul(z, x), z))


def test_rules_exist_for_what_is_compared():
    for op in OPS.values():
        if op.differentiable:
            assert rules_of(op).jvp is not None
            assert op.externs or derived_jvp(op) is not None  # what an extern computes has laws, not a formula
