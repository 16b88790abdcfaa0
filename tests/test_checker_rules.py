"""JVP, VJP and RUNS from evidence: what the checker replays, and what it accepts from no one."""

from __future__ import annotations

import copy
import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from gradproof.compiler.elaborate import load_path
from gradproof.compiler.library import prelude
from gradproof.compiler.ops import OpDef
from gradproof.compiler.portable import Table
from gradproof.verifier.checker import rules
from gradproof.verifier.checker.linear import Hints
from gradproof.verifier.checker.operators import Op
from gradproof.verifier.checker.terms import ZERO, Node, Refused, decode
from gradproof.verifier.evidence.finding import Sharing
from gradproof.verifier.evidence.identities import identity
from gradproof.verifier.law_points import law_check
from test_soundness import subjects

WORDS = """add matmul relu softmax layer_norm cross_entropy attention flip slice kron concat stack sigmoid mean var norm
take gather conv1d max_pool2d logsumexp tile pad diagonal expm1 pow
inverse solve solve_triangular det logabsdet cholesky"""
REPLAYED = WORDS.split()
FALSE = ("refuted", "not proved")


def claims(op: Op) -> list[tuple[str, str]]:
    moving = [("JVP", ""), *(("VJP", p.name) for p in op.moving)] if op.moving else []
    return [*moving, *([("RUNS", "")] if op.runs else [])]


def carried(op: OpDef) -> tuple[Op, Sharing]:
    """An operator as the checker reads it."""
    table = Table()
    data = json.loads(json.dumps(table.op(op)))
    sharing = Sharing(table)
    return Op(data, sharing.nodes), sharing


@pytest.mark.parametrize("name", [name for name in REPLAYED if name in prelude().ops])
def test_found_and_replayed(name: str) -> None:
    op, sharing = carried(prelude().ops[name])
    for code, which in claims(op):
        parts = identity(op, code, which, sharing)
        assert parts is not None, f"{code} {which}"
        rules.identity(op, code, which, json.loads(json.dumps(parts)), sharing.nodes)


def wrong() -> list[Any]:
    """The operators of the cases, with what is false of each."""
    found = []
    for key, (subject, wanted) in subjects().items():
        if isinstance(subject, OpDef) and any(answer in FALSE for _, answer in wanted):
            found.append(pytest.param(subject, dict(wanted), id=key))
    return found


@pytest.mark.parametrize(("subject", "wanted"), wrong())
def test_what_is_false_is_shown_by_nothing(subject: OpDef, wanted: dict[str, str]) -> None:
    """However the producer searches. What holds away from ties only leans on KINK, whose claim is another.

    Where a law fails it is the law that is false: what follows from it is shown, and it is listed as trusted.
    """
    try:
        op, sharing = carried(subject)
    except Refused:
        return
    if subject.laws and law_check(subject)[0]:
        return
    shown: dict[str, bool] = {}
    for code, which in claims(op):
        parts = identity(op, code, which, sharing, seconds=1.0)
        exact = parts is not None and not any(part[0] for part in parts)
        shown[code] = shown.get(code, True) and exact
    for code, answer in wanted.items():
        if code in shown and answer in FALSE:
            assert not shown[code], code


def test_a_step_that_is_changed_is_refused() -> None:
    op, sharing = carried(prelude().ops["kron"])
    parts = identity(op, "VJP", "a", sharing)
    assert parts is not None
    steps = parts[0][2]
    assert steps
    changes: list[Any] = []
    for k, step in enumerate(steps):
        changes += [[*steps[:k], *steps[k + 1 :]], [*steps[:k], ["empty", step[1]], *steps[k + 1 :]]]
        for place, refs in enumerate(step[2:], 2):
            for j in range(len(refs) if isinstance(refs, list) else 0):
                other = copy.deepcopy(steps)
                other[k][place][j] = "zz" if isinstance(refs[j], str) else refs[j] + 1
                changes.append(other)
    for other in changes:
        with pytest.raises((Refused, LookupError, TypeError, ValueError, AttributeError)):
            rules.identity(op, "VJP", "a", [[0, 0, other, parts[0][3]]], sharing.nodes)
            assert other == steps  # a change that says the same in other words


def proof_of(code: str, name: str, which: str) -> tuple[rules.Proof, Sharing]:
    op, sharing = carried(prelude().ops[name])
    return rules.Proof(op, rules.statement(op, code, which), False, sharing.nodes, Hints([])), sharing


def test_an_index_takes_no_name_that_stands_for_something_else() -> None:
    """`n` is a size: an index of that name would make the sum another."""
    from gradproof.verifier.checker import terms as t

    proof, sharing = proof_of("VJP", "flip", "x")
    (mono, _), *_ = proof.monomials()
    old = sorted(mono[0])
    lengths = [sharing.ref(e) for _, e in old]
    for names in (["n", *(v for v, _ in old[1:])], [old[1][0], *(v for v, _ in old[1:])]):
        there = [sharing.ref(t.sym(v)) for v in names]
        back = [sharing.ref(t.sym(v)) for v, _ in old]
        with pytest.raises(Refused):
            proof.step("move", 0, names, lengths, [], there, back)


def test_an_index_stays_inside_of_its_sum() -> None:
    """x[i] * x[i]^-1 is 1, of which a sum over i is an extent; what comes to it still stands under the sum."""
    from gradproof.verifier.checker import terms as t
    from gradproof.verifier.checker.monomials import NONE
    from gradproof.verifier.checker.normal import Normal

    work, i, n = Normal({"n": 0}, {}), t.sym("%1"), t.sym("n")
    read = t.make("read", "x", i)
    total = work.form(t.reduce("sum", "i", n, t.TRUE, t.make("read", "x", t.sym("i"))))
    proof, _ = proof_of("JVP", "add", "")
    proof.work, proof.left, proof.taken = work, work.canonical(total), frozenset({"n"})
    (mono, _), *_ = proof.monomials()
    assert mono[2] == {(read, 1)}
    for step in (("clear", 0, 0, 0, [0]),):
        proof.step(*step)
        assert proof.left == work.canonical(total)
    base = t.add(read, t.make("read", "z", i))
    root = work.power(work.form(base), Fraction(1, 2))
    (factor,) = (f for m in root for f in m[2])
    squared = work.monomial(frozenset({("%1", n)}), NONE, [factor, factor])
    assert all(v in {b for b, _ in m[0]} for m in squared for a, _ in m[2] for v in a.free if v.startswith("%"))


def test_what_may_be_0_throughout_is_no_denominator() -> None:
    """Where n = 0 the sum of exponentials is 0 at every point."""
    path = Path(__file__).parent / "cases" / "soundness" / "empty.gproof"
    for name in ("shares", "shares_of_two", "mean_of_ones"):
        op, sharing = carried(load_path(path).ops[name])
        assert identity(op, "VJP", "z", sharing) is None
    op, sharing = carried(load_path(path).ops["shares_occupied"])
    assert identity(op, "VJP", "z", sharing) is not None


def test_a_condition_says_nothing_of_what_has_no_bounds_beside_it() -> None:
    """p = 0 where p has no sign, so k p [p = 0] is 0: not for k = 1/p."""
    from gradproof.verifier.checker import terms as t
    from gradproof.verifier.checker.normal import Normal

    x, z = (t.make("read", name) for name in "xz")
    positive = t.make("lt", ZERO, t.mul(x, z))
    for beside, right in (((z, x), True), ((z, x, x, z), True), ((z,), False), ((z, t.power(x, -1)), False)):
        proof, _ = proof_of("JVP", "add", "")
        proof.work = Normal({}, {})
        proof.left = proof.work.form(t.select(positive, t.mul(*beside), ZERO))
        before = dict(proof.left)
        if right:
            proof.step("zero", 0, 0)
            assert proof.left != before
        else:
            with pytest.raises(Refused):
                proof.step("zero", 0, 0)


def test_names_of_the_checkers_own_are_refused() -> None:
    """A size named `%1` would lend what is required of it to the first index of every sum, `~1` to inner ones."""
    for name in ("%1", "~1"):
        table = Table()
        data = json.loads(json.dumps([table.op(prelude().ops["mean"]), table.entries]).replace('"S.."', f'"{name}"'))
        with pytest.raises(Refused):
            nodes = decode(data[1])
            rules.identity(Op(data[0], nodes), "JVP", "", [[0, 0, [], []]], nodes)


def test_conditions_on_reals_add_up() -> None:
    """x > 1 and x < 0 exclude each other, x > 1 and x < 2 do not; x > 0 follows from x > 1, x > 1 not from x > 0."""
    from gradproof.verifier.checker import terms as t
    from gradproof.verifier.checker.normal import Normal

    x = t.make("read", "x")

    def proof(*conds: Node) -> rules.Proof:
        found, _ = proof_of("JVP", "add", "")
        found.work = Normal({}, {})
        found.left = found.work.form(t.select(t.both(*conds), x, ZERO))
        return found

    one, two = t.num(1), t.num(2)
    apart = proof(t.make("lt", one, x), t.make("lt", x, ZERO))
    apart.step("never", 0, "1", "1")
    assert apart.left == {}
    beside = proof(t.make("lt", one, x), t.make("lt", x, two))
    for times in (("1", "1"), ("0", "0"), ("2", "1"), ("1", "-1"), ("1",)):
        with pytest.raises((Refused, ValueError)):
            beside.step("never", 0, *times)
    inner = proof(t.make("lt", one, x), t.make("lt", ZERO, x))
    ((mono, _),) = inner.monomials()
    for place, cond in enumerate(inner._signs(mono)):
        if cond is t.make("lt", ZERO, x):
            inner.step("sure", 0, place, "1", "1")
        else:
            with pytest.raises(Refused):
                inner.step("sure", 0, place, "1", "1")


def test_ties_are_not_passed_over() -> None:
    op, sharing = carried(prelude().ops["relu"])
    parts = identity(op, "VJP", "x", sharing)
    assert parts is not None and len(parts) == 2
    for bad in (parts[:1], [*parts, parts[0]], [parts[0], [1, *parts[1][1:]]]):
        with pytest.raises(Refused):
            rules.identity(op, "VJP", "x", bad, sharing.nodes)
    op, sharing = carried(prelude().ops["softmax"])
    with pytest.raises(Refused):
        rules.identity(op, "JVP", "", [[1, 0, [], []]], sharing.nodes)
