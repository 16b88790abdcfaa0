"""The Δ inputs that a seed stands for: part of the language, the same numbers on every machine and with every NumPy."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from gradproof.compiler.graph import Seeded, TensorType

Array: TypeAlias = Any


def generate(seeded: Seeded, shape: tuple[int, ...], type_: TensorType) -> Array:
    """The Δ input that a seed and a shape stand for: always the same one, on every machine.

    Philox's raw words (Salmon et al., SC 2011), keyed by seed and shape. `uniform` is k / 2^24 for f32 and k / 2^53
    for f64, below 1; `bernoulli` is 1 where such a number is below p.
    """
    bits = 24 if type_.dtype == "f32" else 53
    words = np.random.Philox(key=_key(seeded.seed, shape)).random_raw(max(1, int(np.prod(shape, dtype=object))))
    drawn = (np.asarray(words)[: int(np.prod(shape, dtype=object))] >> np.uint64(64 - bits)).reshape(shape)
    if seeded.kind == "uniform":
        return drawn.astype(np.float64) / 2.0**bits
    below = -((-seeded.p.numerator << bits) // seeded.p.denominator)  # k / 2^bits < p where k < this
    chosen: Array = drawn < np.uint64(max(0, below))
    return chosen if type_.kind == "bool" else chosen.astype(np.int64)


def _key(seed: int, shape: tuple[int, ...]) -> Array:
    mixed = len(shape)
    for size in shape:
        mixed = (mixed * 6364136223846793005 + size + 1442695040888963407) % 2**64
    return np.array([seed % 2**64, mixed], dtype=np.uint64)
