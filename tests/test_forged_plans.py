"""Plans that lie: what the checker accepts of them computes what the honest plan does, at all sizes that are tried.

`FORGED=n` takes n changes of each text at random (default 25).
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from functools import cache

import pytest
from plan_forger import Changed, Forger, Mutation

COUNT = int(os.environ.get("FORGED", "0")) or 25
SEED = int(os.environ.get("FORGED_SEED", "0"))
CONV = """
op conv[stride, pad](x: [N, C, L], w: [O, C, K]) -> [N, O, (L + 2*pad - K) // stride + 1] {
  require stride >= 1, pad >= 0, K >= 1, L + 2*pad >= K
  y[n, o, p] = sum(c, u | 0 <= p*stride + u - pad < L) x[n, c, p*stride + u - pad] * w[o, c, u]
}
dim N, C, O, L >= 3
graph f(x: f64[N, C, L], w: f64[O, C, 3]) -> f64[N, O, (L + 2 - 3) // 2 + 1] { return conv(x, w, stride=2, pad=1) }
"""
TEXTS = {
    "squares": """
dim n
op sq(x: [n]) -> [n] { y[i] = x[i] * x[i] }
op one(x: [n]) -> [n] { y[i] = 1 }
graph f(x: f64[n]) -> (f64[n], f64[n]) { return sq(x), one(x) }""",
    "gather": """
dim n >= 1, k, l
op get(x: [n], e: int [k, l]) -> [k, l] { require 0 <= e[i, j] < n
  y[i, j] = x[e[i, j]] }
graph f(x: f64[n], v: f64[k, l], e: i32[k, l]) -> f64[] { assume 0 <= e < n
  return sum(get(x, e) * v) }""",
    "last": """
dim n >= 1, k, l >= 1
op get(x: [n, l], e: int [k]) -> [k] { require l >= 1
  require 0 <= e[i] < n
  y[i] = x[e[i], l - 1] }
graph f(x: f64[n, l], e: i32[k]) -> f64[k] { assume 0 <= e < n
  return get(x, e) }""",
    "far": """
dim n, m >= 1
op far(x: [m], c: [n]) -> [n] { require m >= n*n
  y[i] = x[i*i] * c[i] }
graph f(x: f64[m], c: f64[n]) -> f64[n] { assume m >= n*n
  return far(x, c) }""",
    "rows": """
dim n >= 1, k, m
graph f(x: f64[n, m], v: f64[k, m], e: i32[k]) -> f64[] { assume 0 <= e < n
  return sum(take(x, e) * v) }""",
    "twice": """
dim n >= 1, k
graph f(x: f64[n, 3], e: i32[k], d: i32[n]) -> f64[k, 3] {
  assume 0 <= e < n
  assume 0 <= d < n
  return take(take(x * x, d), e) }""",
    "soft": "dim B >= 1, D >= 1\n"
    "graph f(x: f64[B, D]) -> f64[B, D] { return log_softmax(sin(x) + sigmoid(x) * exp(x)) }",
    "affine": "dim B, C, D\ngraph f(x: f64[B, D], w: f64[D, C], b: f64[C]) -> f64[B, C] { return x @ w + b }",
    "shapes": """
dim B, D
graph f(x: f64[B, D]) -> f64[D, B] { return transpose(reshape(x * x, shape=(B, D))) * 3 }""",
    "flat": "dim B, D\ngraph f(x: f64[B, D], w: f64[B*D]) -> f64[] { return dot(flatten(x + x), w) }",
    "joined": "dim B, C, D\ngraph f(x: f64[B, D], y: f64[B, C]) -> f64[B, D + C] { return concat(x, y, axis=1) * 2 }",
    "masked": "dim B\ngraph f(x: f64[B], m: bool[B]) -> f64[] { return sum(where(m, 1 / (1 + x * x), x)) }",
    "batched": "dim B, C, D\ngraph f(x: f64[B, D, C], y: f64[B, C, D]) -> f64[B, D, D] { return x @ y }",
    "shift": """
dim n
op shift(x: [n]) -> [n] { y[i] = select(i >= 1, x[i - 1], 0) - x[i] }
graph f(x: f64[n]) -> f64[n] { return shift(shift(x)) }""",
    "conv": CONV,
    "whole": """
dim n
op up(x: [n], e: int [n]) -> [n] { y[i] = x[i] * e[n - 1 - i] }
graph f(x: f64[n], e: i32[n]) -> f64[n] { return up(x, e) }""",
    "folds": """
dim n, m
op s(x: [n, m]) -> [n] { y[i] = sum(j) x[i, j] }
op p(x: [n, m]) -> [m] { y[j] = prod(i) x[i, j] }
graph f(x: f64[n, m]) -> (f64[n], f64[m]) { return s(x), p(x) }""",
}


@cache
def forger(name: str) -> Forger:
    return Forger(TEXTS[name])


@pytest.mark.parametrize("name", TEXTS)
def test_what_is_changed_at_random_is_refused_or_the_same(name: str) -> None:
    forging = forger(name)
    assert forging.problem(forging.fresh()) == ""
    accepted = 0
    for k in range(COUNT):
        rng = random.Random(f"{name} {SEED} {k}")
        changed = Mutation(forging, rng)
        if not forging.problem(changed.data):
            accepted += 1
            found = forging.difference(changed.data, rng)
            assert not found or "out of bounds" in found, (SEED, k, changed.log, found)  # a view that raises is no lie
    assert COUNT < 25 or accepted < COUNT


# On purpose -----------------------------------------------------------------------------------------------------------


def through(name: str, out: int = 0) -> Changed:
    """An output of the squares that goes through one more step, a power."""
    changed = Changed(forger("squares"))
    given = changed.plan["outputs"][out]
    reg = 0 if given[3] is None else given[3]
    changed.give(changed.append("pow", name, list(given[1]), [["use", 0, changed.label(0)]], [reg]), out)
    return changed


def beside(product: Callable[[Changed, int], int]) -> Changed:
    """x * x, and on it what `product` makes of 1 / (x - x) and is 0 to the eye."""
    changed = Changed(forger("squares"))
    shape, reg = list(changed.plan["outputs"][0][1]), changed.plan["outputs"][0][3]
    use = ["use", 0, changed.label(0)]
    nothing = changed.append("map", "sub", shape, [use, use], [0, 0])
    inverse = changed.append("map", "div", shape, [["term", changed.node("num", "1")], use], [nothing])
    made = product(changed, inverse)
    changed.give(changed.append("map", "add", shape, [use, use], [reg, made]))
    return changed


def by_zero(changed: Changed, inverse: int) -> int:
    operands = [["term", changed.node("num", "0")], ["use", 0, changed.label(0)]]
    return changed.append("map", "mul", list(changed.plan["outputs"][0][1]), operands, [inverse])


def by_one_less_one(changed: Changed, inverse: int) -> int:
    shape, use = list(changed.plan["outputs"][0][1]), ["use", 0, changed.label(0)]
    ones: list[list[object]] = [["term", changed.node("num", n)] for n in ("1", "-1")]
    zero = changed.append("map", "add", shape, ones, [])
    return changed.append("map", "mul", shape, [use, use], [zero, inverse])


def summed_with_zero(changed: Changed, inverse: int) -> int:
    """A sum over one index of 0 times it."""
    shape = list(changed.plan["outputs"][0][1])
    one = changed.poly((1,))
    use = ["use", 0, changed.label(0)]
    wide = changed.append("map", "mul", [*shape, one], [["term", changed.node("num", "0")], use], [inverse])
    both = ["use", 0, changed.label(0), changed.label(1)]
    return changed.append("fold", "sum", [*shape, one], [both], [wide], rank=1)


def a_constant_without_a_value() -> Changed:
    changed = Changed(forger("squares"))
    shape, reg = list(changed.plan["outputs"][0][1]), changed.plan["outputs"][0][3]
    zero = changed.node("num", "0")
    term = changed.node("mul", zero, changed.node("pow", zero, -1))
    changed.give(changed.append("map", "add", shape, [["use", 0, changed.label(0)], ["term", term]], [reg]))
    return changed


def template(changed: Changed, op: str) -> list[object]:
    found: list[object] = next(row for row in changed.own["templates"] if row[0] == op)
    return found


def a_view_of_what_no_view_is() -> Changed:
    """`x[i*i]` as a copy: a strided view takes its index for i."""
    changed = Changed(forger("far"))
    template(changed, "read_at")[0] = "copy"
    return changed


def integers(changed: Changed) -> int:
    return next(k for k, given in enumerate(changed.plan["inputs"]) if given[1] == "int")


def an_integer_at_the_same_place_of_another_row() -> Changed:
    """e[0, i*l + j] for e[i, j]: outside of its axis an integer is 0."""
    changed = Changed(forger("gather"))
    atoms = sorted((changed.sym("l"), changed.sym("$0")), key=lambda a: changed.data["terms"][a][1])
    place = changed.poly((1, *atoms), (1, changed.sym("$1")))
    entry = changed.node("entry", f"%{integers(changed)}", changed.poly(), place)
    template(changed, "read_at")[5][0][2] = changed.poly((1, entry))  # type: ignore[index]
    return changed


def integers_beyond_their_axis() -> Changed:
    """x[e[r[i]], l - 1] where r counts 0, 1, .. but has one entry: the others are read as 0."""
    changed = Changed(forger("last"))
    given, first = changed.plan["outputs"][0], changed.plan["steps"][0]
    row = changed.own["templates"][first[0]]
    changed.plan["steps"].clear()
    del changed.plan["slots"][-1]
    count = changed.append("ints", "", [changed.poly((1,))], [], [], kind="int", poly=changed.label(0))
    inner = changed.poly((1, changed.node("entry", f"%{count}", changed.label(0))))
    place = changed.poly((1, changed.node("entry", f"%{integers(changed)}", inner)))
    read = ["use", 0, place, row[5][0][3]]
    changed.give(changed.append("read_at", "", list(given[1]), [read], first[1:]))
    changed.told["values"] = [given[3]]
    return changed


def a_gather_beyond_the_other_axis() -> Changed:
    """x[e[i], l] for x[e[i], l - 1]: held inside of its axis it is the same, but the next row is what is read."""
    changed = Changed(forger("last"))
    use = template(changed, "read_at")[5][0]  # type: ignore[index]
    use[3] = changed.poly((1, changed.sym("l")))
    return changed


def a_step_that_nothing_reads() -> Changed:
    changed = through("2")
    changed.plan["outputs"][0][3] -= 1
    return changed


ON_PURPOSE: dict[str, Callable[[], Changed]] = {
    "x^1 is written nowhere": lambda: through("1"),
    "x^0 is written nowhere": lambda: through("0", out=1),
    "x^0001": lambda: through("0001"),
    "x^-1 with two signs": lambda: through("--1"),
    "0 / 0": lambda: beside(by_zero),
    "(1 - 1) / 0": lambda: beside(by_one_less_one),
    "sum 0 / 0": lambda: beside(summed_with_zero),
    "a constant 0 / 0": a_constant_without_a_value,
    "a copy at i*i": a_view_of_what_no_view_is,
    "e[0, i*l + j]": an_integer_at_the_same_place_of_another_row,
    "integers beyond their axis": integers_beyond_their_axis,
    "a gather beyond the other axis": a_gather_beyond_the_other_axis,
    "a step that nothing reads": a_step_that_nothing_reads,
}


@pytest.mark.parametrize("name", ON_PURPOSE)
def test_what_is_changed_on_purpose_is_refused(name: str) -> None:
    changed = ON_PURPOSE[name]()
    changed.own_slots()
    assert changed.forger.problem(changed.data)
