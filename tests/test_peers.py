"""Every differentiable operator of the prelude against PyTorch: forward, jvp, vjp and, where smooth, second order.

The rows are in tests/peers/<family>.py, each a list `ROWS`. Sizes are random and include 0 and 1 where allowed; the
tape over rigorous intervals must agree with what float64 gave.
"""

from __future__ import annotations

import random
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import gradproof as gp
import numpy as np
import pytest
import torch
from gradproof.compiler.library import prelude
from peers.row import Peer

torch.set_num_threads(1)
FAMILIES = sorted(p.stem for p in (Path(__file__).parent / "peers").glob("*.py") if p.stem not in ("__init__", "row"))
ROWS: list[tuple[str, Peer]] = [(name, row) for name in FAMILIES for row in import_module(f"peers.{name}").ROWS]
IDS = [f"{name}: {row.expression}" for name, row in ROWS]
Arrays = dict[str, Any]


@cache
def program(number: int) -> Any:
    """The compiled program of a row: nothing runs unless every claim is proved."""
    return gp.compile(ROWS[number][1].program)["f"]


def draws(row: Peer) -> list[Arrays]:
    """Inputs at four choices of sizes: the smallest, one above it, and two at random."""
    rng = random.Random(row.expression)
    least = {name: low for name, (low, _) in row.bounds.items()}
    one = {name: min(max(low, 1), high) for name, (low, high) in row.bounds.items()}
    some = [{name: rng.randint(max(low, min(2, high)), high) for name, (low, high) in row.bounds.items()} for _ in "ab"]
    numbers = np.random.default_rng(sum(map(ord, row.expression)))
    found = []
    for sizes in (least, one, *some):
        # An index below 0 sizes exists only where there is none of it.
        given = {}
        for item in row.parsed:
            shape = tuple(eval(s, {}, sizes) for s in item.shape)  # extents such as 2*N: our own text
            if item.below:
                limit = eval(item.below, {}, sizes)
                if limit == 0 and 0 not in shape:
                    break
                given[item.name] = numbers.integers(0, max(limit, 1), shape)
            elif item.dtype == "bool":
                given[item.name] = numbers.random(shape) < 0.5
            elif item.dtype.startswith("i"):
                given[item.name] = numbers.integers(-3, 4, shape)
            else:
                given[item.name] = numbers.uniform(item.low, item.high, shape)
        else:
            found.append(given)
    return found


@pytest.mark.parametrize("number", range(len(ROWS)), ids=IDS)
def test_as_torch_says(number: int) -> None:
    _, row = ROWS[number]
    ours, names = program(number), [item.name for item in row.parsed if item.real]
    numbers = np.random.default_rng(7)
    for given in draws(row):
        theirs = {name: torch.from_numpy(np.array(value)) for name, value in given.items()}

        def function(*reals: Any, theirs: dict[str, Any] = theirs) -> Any:
            return row.peer(*{**theirs, **dict(zip(names, reals, strict=True))}.values())

        reals = tuple(theirs[name].requires_grad_() for name in names)
        value = function(*reals)
        close(ours.forward(given), value, "forward")
        if not names:
            continue
        tangents = {name: numbers.standard_normal(given[name].shape) for name in names}
        moved = tuple(torch.from_numpy(np.array(tangents[name])) for name in names)
        _, tangent = torch.autograd.functional.jvp(function, reals, moved)
        close(ours.jvp(given, tangents)[1], tangent, "jvp")
        seed = numbers.standard_normal(tuple(value.shape))
        if not value.requires_grad:
            continue
        gradients = torch.autograd.grad(value, reals, torch.from_numpy(np.array(seed)), allow_unused=True)
        found = ours.vjp(given, seed)[1]
        for name, gradient in zip(names, gradients, strict=True):
            close(found[name], torch.zeros_like(theirs[name]) if gradient is None else gradient, f"vjp {name}")


@pytest.mark.parametrize("number", range(len(ROWS)), ids=IDS)
def test_intervals_enclose_it(number: int) -> None:
    _, row = ROWS[number]
    ours, names = program(number), [item.name for item in row.parsed if item.real]
    for given in draws(row)[1:2]:
        exact, rough = ours.forward(given, scalar="interval"), ours.forward(given)
        np.testing.assert_allclose(floats(exact), rough, rtol=1e-9, atol=1e-9)
        if names:
            seed = np.ones(np.shape(rough))
            rigorous = ours.vjp(given, seed, scalar="interval")[1]
            for name, gradient in ours.vjp(given, seed)[1].items():
                np.testing.assert_allclose(floats(rigorous[name]), gradient, rtol=1e-8, atol=1e-8)


def floats(array: Any) -> Any:
    """The midpoints of enclosures."""
    return np.vectorize(float, otypes=[float])(np.asarray(array, dtype=object))


def close(ours: Any, theirs: Any, what: str) -> None:
    expected = theirs.detach().numpy()
    assert np.shape(ours) == expected.shape, what
    np.testing.assert_allclose(ours, expected, rtol=1e-9, atol=1e-10, err_msg=what)


def test_every_operator_has_a_row() -> None:
    used: set[str] = set()
    for number in range(len(ROWS)):
        used |= {node.op for node in program(number).graph.inner}
    missing = sorted(name for name, op in prelude().ops.items() if op.differentiable and name not in used)
    assert not missing, f"{len(missing)}: {', '.join(missing)}"
