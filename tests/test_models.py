"""Whole models with symbolic sizes: no claim unknown, and the gradients that PyTorch computes, to 1e-10."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradproof as gp
import numpy as np
import pytest
import torch

MODELS = Path(__file__).parent.parent / "examples" / "models"
Arrays = dict[str, Any]


def drawn(shapes: dict[str, tuple[int, ...]], seed: int) -> Arrays:
    """Normal numbers for each input."""
    rng = np.random.default_rng(seed)
    return {name: rng.standard_normal(shape) for name, shape in shapes.items()}


def check(ours: Arrays, value: Any, leaves: dict[str, Any]) -> None:
    """The gradients against those of a torch scalar."""
    value.backward()
    for name, leaf in leaves.items():
        np.testing.assert_allclose(ours[name], leaf.grad.numpy(), rtol=1e-10, atol=1e-10, err_msg=name)


def leaves_of(given: Arrays) -> dict[str, Any]:
    """Torch leaves of real inputs."""
    return {n: torch.tensor(v, requires_grad=True) for n, v in given.items() if np.asarray(v).dtype == np.float64}


def lstm_lm(p: dict[str, Any], text: Any, following: Any) -> Any:
    """The model by hand, step by step."""
    h, c = p["h0"], p["c0"]
    states = []
    for x in p["table"][text]:
        i, f, g, o = (x @ p["w"][k] + h @ p["u"][k] + p["b"][k] for k in range(4))
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
        states.append(h)
    z = torch.stack(states) @ p["out"] + p["bias"]
    return torch.nn.functional.cross_entropy(z.reshape(-1, z.shape[-1]), following.reshape(-1))


@pytest.mark.parametrize("sizes", [(1, 1, 2, 3, 2), (7, 3, 11, 4, 5)], ids=str)
def test_lstm_language_model(sizes: tuple[int, int, int, int, int]) -> None:
    t, b, v, d, h = sizes
    program = gp.compile(MODELS / "lstm_lm.gproof")["lstm_lm"]
    given = drawn(
        {"table": (v, d), "w": (4, d, h), "u": (4, h, h), "b": (4, h), "out": (h, v), "bias": (v,)}
        | {"h0": (b, h), "c0": (b, h)},
        seed=3,
    )
    rng = np.random.default_rng(4)
    tokens = {"text": rng.integers(0, v, (t, b)), "next": rng.integers(0, v, (t, b))}
    value, ours = program.value_and_grad({**given, **tokens}, scalar="float64")
    leaves = leaves_of(given)
    loss = lstm_lm(leaves, torch.tensor(tokens["text"]), torch.tensor(tokens["next"]))
    np.testing.assert_allclose(value, loss.item(), rtol=1e-12)
    check(ours, loss, leaves)


@pytest.mark.parametrize("path", sorted(MODELS.glob("*.gproof")), ids=lambda path: path.stem)
def test_no_claim_of_a_model_is_unknown(path: Path) -> None:
    report = gp.verify(path)
    assert report.ok, str(report)
