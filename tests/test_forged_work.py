"""Certificates that are to keep the checker busy or fill its memory: each is refused, after a number of steps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import gradproof.grammar
import pytest
from forging import Data, certificate, forged, node, reason
from gradproof.verifier.checker import main

TEXT = "dim n\ngraph g(x: f64[n]) -> f64[] { return sum(f(x)) }\nop f(x: [n]) -> [n] { y[i] = x[i] * x[i] }\n"
PRELUDE = Path(gradproof.grammar.__file__ or "").parent / "prelude"


def read(data: Data) -> int:
    """The entry x[i]."""
    return next(k for k, entry in enumerate(data["terms"]) if entry[:2] == ["read", "x"])


def size(data: Data, *parts: list[int]) -> int:
    return node(data, "size", node(data, "poly", *parts))


def powers_of_a_number(data: Data) -> int:
    body = node(data, "num", "2")
    for _ in range(4):
        body = node(data, "pow", body, 2047)
    return node(data, "mul", body, read(data))


def powers_of_a_sum(data: Data) -> int:
    body = node(data, "add", read(data), node(data, "num", "1"))
    for _ in range(4):
        body = node(data, "pow", body, 2047)
    return body


def inverse_powers(data: Data) -> int:
    body = node(data, "add", read(data), node(data, "num", "1"))
    for _ in range(6):
        body = node(data, "pow", body, -2047)
    return body


def powers_of_roots(data: Data) -> int:
    body = node(data, "num", "3")
    for k in range(6):
        body = node(data, "pow", node(data, "call", "sqrt", body), -2047 if k % 2 else 2047)
    return node(data, "mul", body, read(data))


def many_cases(data: Data) -> int:
    """exp of 24 selections: 2^24 cases."""
    parts, x = [], read(data)
    for k in range(24):
        cond = node(data, "ge", node(data, "poly", [1, node(data, "sym", "i")], [-k - 1]))
        parts.append(node(data, "select", cond, node(data, "num", str(k + 2)), node(data, "mul", x, x)))
    return node(data, "call", "exp", node(data, "add", *parts))


def long_texts(data: Data) -> int:
    """Thousands of integers, each of which takes a long text to put in order."""
    n, atoms = node(data, "sym", "n"), []
    for k in range(1500):
        atom = node(data, "imin", node(data, "poly", [k + 2, n]), node(data, "poly", [1, n], [3]))
        for _ in range(12):
            atom = node(data, "imax", node(data, "poly", [1, atom]), node(data, "poly", [1, atom], [k + 1]))
        atoms.append(atom)
    return node(data, "mul", size(data, *([1, a] for a in atoms)), read(data))


def a_long_product(data: Data) -> int:
    return node(data, "mul", *[node(data, "num", "7" * 390)] * 50_000, read(data))


def many_denominators(data: Data) -> int:
    rationals = [node(data, "num", f"1/{10**390 + 2 * k + 1}") for k in range(3000)]
    return node(data, "add", *(node(data, "mul", r, read(data)) for r in rationals))


def indices_that_look_alike(data: Data) -> int:
    """A product of 56 sums: 56! orders of their indices."""
    places = [node(data, "poly", [1, node(data, "sym", f"k{j}")]) for j in range(7)]
    body = node(data, "mul", *(node(data, "read", "x", p) for p in places))
    for j in range(7):
        extent, guard = node(data, "poly", [1, node(data, "sym", "n")]), node(data, "truth", 1)
        body = node(data, "reduce", "sum", f"k{j}", extent, guard, body)
    for _ in range(3):
        body = node(data, "mul", body, body)
    return body


def products_inside_each_other(data: Data) -> int:
    body = read(data)
    for j in range(8):
        guard, more = node(data, "truth", 1), size(data, [1, node(data, "sym", f"k{j}")])
        body = node(data, "reduce", "prod", f"k{j}", node(data, "poly", [8]), guard, node(data, "add", body, more))
    return body


def many_inverses(data: Data) -> int:
    terms = [node(data, "add", read(data), size(data, [1, node(data, "sym", "i")], [k + 1])) for k in range(40)]
    body = node(data, "mul", *(node(data, "pow", one, -1) for one in terms))
    return node(data, "call", "log", node(data, "add", body, node(data, "mul", body, body)))


WORK: list[Callable[[Data], int]] = [
    powers_of_a_number,
    powers_of_a_sum,
    inverse_powers,
    powers_of_roots,
    many_cases,
    long_texts,
    a_long_product,
    many_denominators,
    indices_that_look_alike,
    products_inside_each_other,
    many_inverses,
]


@pytest.mark.parametrize("body", WORK, ids=lambda b: b.__name__)
def test_formulas_that_would_take_for_ever(body: Callable[[Data], int]) -> None:
    def change(data: Data) -> None:
        op = data["ops"]["f"]
        op["forward"]["body"] = op["rules"]["forward"]["result"]["body"] = body(data)

    found = reason(forged(certificate(TEXT), change))
    assert any(word in found for word in ("too many", "too long", "more steps")), found


def test_steps_that_split_for_ever() -> None:
    def change(data: Data) -> None:
        data["ops"]["f"]["rules"]["jvp"]["result"]["body"] = read(data)
        n = node(data, "sym", "n")
        conds = [node(data, "ge", node(data, "poly", [1, n], [-k])) for k in range(2, 3000)]
        for claim in data["claims"]:
            if claim["code"] == "JVP":
                claim["evidence"]["parts"] = [[0, 0, [["split", 0, c] for c in conds] * 20, []]]

    assert reason(forged(certificate(TEXT), change))


def test_what_ships_takes_less_than_half_of_what_is_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(main, "STEPS", main.STEPS // 2)
    monkeypatch.setattr(main, "STEPS_A_BYTE", main.STEPS_A_BYTE // 2)
    content = (PRELUDE / "pool.gpc").read_bytes()
    assert main.check(content, allow_trusted=True).claims
    monkeypatch.setattr(main, "STEPS", 100)
    monkeypatch.setattr(main, "STEPS_A_BYTE", 0)
    assert "more steps" in reason(content)
