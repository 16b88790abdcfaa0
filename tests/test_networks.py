"""Transformer, residual and U-Net blocks: values and gradients as JAX computes them in float64, to 1e-10."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradproof as gp
import jax
import jax.numpy as jnp
import numpy as np
import pytest

MODELS = Path(__file__).parent.parent / "examples" / "models"
PAIR = ("NCHW", "OIHW", "NCHW")


@pytest.fixture(autouse=True)
def in_float64() -> Any:
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", before)


def norm(x: Any, w: Any, b: Any, axes: Any = -1) -> Any:
    return (x - x.mean(axes, keepdims=True)) / jnp.sqrt(x.var(axes, keepdims=True) + 1e-5) * w + b


def conv(x: Any, w: Any) -> Any:
    return jax.lax.conv_general_dilated(x, w, (1, 1), "SAME", dimension_numbers=PAIR)


def channels(v: Any) -> Any:
    return v[:, None, None]


def attend(p: dict[str, Any], x: Any) -> Any:
    b, t, d = x.shape
    q, k, v = ((x @ p[w]).reshape(b, t, 2, d // 2).swapaxes(1, 2) for w in ("wq", "wk", "wv"))
    scores = jnp.where(p["mask"], q @ k.swapaxes(2, 3) / jnp.sqrt(d // 2), -1e9)
    return (jax.nn.softmax(scores) @ v).swapaxes(1, 2).reshape(b, t, d) @ p["wo"]


def mlp(p: dict[str, Any], x: Any) -> Any:
    return jax.nn.gelu(x @ p["w1"] + p["b1"], approximate=False) @ p["w2"] + p["b2"]


def pre_norm(p: dict[str, Any]) -> Any:
    y = p["x"] + attend(p, norm(p["x"], p["g1"], p["c1"]))
    return y + mlp(p, norm(y, p["g2"], p["c2"]))


def post_norm(p: dict[str, Any]) -> Any:
    y = norm(p["x"] + attend(p, p["x"]), p["g1"], p["c1"])
    return norm(y + mlp(p, y), p["g2"], p["c2"])


def residual(p: dict[str, Any]) -> Any:
    y = jax.nn.relu(norm(conv(p["x"], p["w1"]), channels(p["g1"]), channels(p["c1"]), (0, 2, 3)))
    return jax.nn.relu(p["x"] + norm(conv(y, p["w2"]), channels(p["g2"]), channels(p["c2"]), (0, 2, 3)))


def step(p: dict[str, Any]) -> Any:
    left = jax.nn.relu(conv(p["x"], p["w1"]) + channels(p["b1"]))
    n, c, h, w = left.shape
    below = left.reshape(n, c, h // 2, 2, w // 2, 2).max((3, 5))
    below = jax.nn.relu(conv(below, p["w2"]) + channels(p["b2"]))
    wide = below.repeat(2, 2).repeat(2, 3)
    return conv(jnp.concatenate([left, wide], 1), p["w3"]) + channels(p["b3"])


def transformer(b: int, t: int, k: int, f: int) -> dict[str, tuple[int, ...]]:
    d = 2 * k
    rows = dict.fromkeys(("wq", "wk", "wv", "wo"), (d, d)) | dict.fromkeys(("g1", "c1", "g2", "c2", "b2"), (d,))
    return {"x": (b, t, d), **rows, "w1": (d, f), "b1": (f,), "w2": (f, d)}


def image(n: int, c: int, d: int, h: int, w: int) -> dict[str, tuple[int, ...]]:
    scales = {"g1": (d,), "c1": (d,), "g2": (c,), "c2": (c,)}
    return {"x": (n, c, h, w), "w1": (d, c, 3, 3), "w2": (c, d, 3, 3), **scales}


def pyramid(n: int, c: int, d: int, e: int, h: int, w: int) -> dict[str, tuple[int, ...]]:
    kernels = {"w1": (d, c, 3, 3), "w2": (e, d, 3, 3), "w3": (c, d + e, 3, 3)}
    return {"x": (n, c, 2 * h, 2 * w), **kernels, "b1": (d,), "b2": (e,), "b3": (c,)}


CASES: list[tuple[str, str, Callable[[dict[str, Any]], Any], list[dict[str, tuple[int, ...]]]]] = [
    ("transformer", "pre_norm", pre_norm, [transformer(1, 1, 1, 1), transformer(2, 5, 3, 7)]),
    ("transformer", "post_norm", post_norm, [transformer(1, 1, 1, 1), transformer(2, 5, 3, 7)]),
    ("resnet", "residual", residual, [image(1, 1, 1, 1, 2), image(2, 3, 4, 5, 6)]),
    ("unet", "step", step, [pyramid(1, 1, 1, 1, 1, 1), pyramid(2, 3, 2, 4, 2, 3)]),
]


@pytest.mark.parametrize(("file", "graph", "peer", "shapes"), CASES, ids=[case[1] for case in CASES])
def test_gradients_are_those_of_jax(file: str, graph: str, peer: Any, shapes: Any) -> None:
    program = gp.compile(MODELS / f"{file}.gproof")[graph]
    for sizes in shapes:
        rng = np.random.default_rng(5)
        given = {name: rng.standard_normal(shape) for name, shape in sizes.items()}
        reals = list(given)
        dims = None
        if file == "transformer":
            _, t, d = sizes["x"]
            given["mask"] = np.tri(t, dtype=bool)
            dims = {"H": 2, "K": d // 2}  # the shapes say how long a row is, not how it is cut
        seed = rng.standard_normal(sizes["x"])
        value, pull = jax.vjp(lambda r, given=given: peer({**given, **r}), {n: given[n] for n in reals})
        ours, gradients = program.vjp(given, seed, scalar="float64", dims=dims)
        np.testing.assert_allclose(ours, value, rtol=1e-10, atol=1e-10)
        (theirs,) = pull(jnp.asarray(seed))
        for name in reals:
            np.testing.assert_allclose(gradients[name], theirs[name], rtol=1e-10, atol=1e-10, err_msg=name)
