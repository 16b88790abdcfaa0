"""The NumPy executor against NumPy written by hand with preallocated buffers: forward and all gradients of an MLP.

The baseline is what a careful programmer writes for exactly this network: every intermediate in its own buffer, `out=`
everywhere, BLAS for each product, the softmax shared between the loss and its gradient, and sums as products with ones
where that is faster. Both are timed in short turns within one run, on one thread; the ratio of a turn is what counts.
"""

from __future__ import annotations

import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

# Before NumPy is loaded: with more threads than free cores, a product takes as long as the scheduler likes.
os.environ["OPENBLAS_NUM_THREADS"] = "1"

import numpy as np
from gradproof.compiler.elaborate import load_text
from gradproof.compiler.plan import make_plan
from gradproof.runtime.executor import Executor
from gradproof.runtime.scalars import scalars

TEXT = """
dim B >= 1
dim D = 64, H = 32, C = 10
graph loss(x: f32[B, D], label: i32[B], w1: f32[D, H], b1: f32[H], w2: f32[H, C], b2: f32[C]) -> f32[] {
  assume 0 <= label < C
  h = relu(x @ w1 + b1)
  return mean(cross_entropy(h @ w2 + b2, label))
}
"""
LIMIT = 1.3


class ByHand:
    """Forward and gradients, into buffers made once. The results are the buffers themselves (nothing is copied)."""

    def __init__(self, batch: int, dtype: Any) -> None:
        def room(*shape: int) -> Any:
            return np.empty(shape, dtype)

        self.h, self.gh, self.on = room(batch, 32), room(batch, 32), np.empty((batch, 32), bool)
        self.z, self.e, self.top, self.total = room(batch, 10), room(batch, 10), room(batch, 1), room(batch)
        self.gx, self.gw1, self.gb1 = room(batch, 64), room(64, 32), room(32)
        self.gw2, self.gb2 = room(32, 10), room(10)
        self.ones, self.ones_c = np.ones(batch, dtype), np.ones(10, dtype)
        self.rows, self.scale, self.zero = np.arange(batch) * 10, np.array(1 / batch, dtype), np.zeros((), dtype)
        self.picked, self.at, self.one = room(batch), np.empty(batch, np.int64), np.ones((), dtype)

    def run(self, x: Any, label: Any, w1: Any, b1: Any, w2: Any, b2: Any) -> tuple[Any, ...]:
        """(loss, gradients of x, w1, b1, w2, b2)."""
        h, z, e, gh = self.h, self.z, self.e, self.gh
        np.dot(x, w1, h)
        np.add(h, b1, h)
        np.greater(h, self.zero, self.on)
        np.maximum(h, self.zero, out=h)
        np.dot(h, w2, z)
        np.add(z, b2, z)
        np.maximum.reduce(z, 1, None, self.top, True)
        np.subtract(z, self.top, z)
        np.exp(z, e)
        np.dot(e, self.ones_c, self.total)
        np.add(self.rows, label, self.at)
        np.take(z.reshape(-1), self.at, None, self.picked, "clip")
        np.divide(e, self.total[:, None], e)
        flat = e.reshape(-1)
        flat[self.at] -= self.one
        np.multiply(e, self.scale, e)
        np.log(self.total, self.total)
        np.subtract(self.total, self.picked, self.total)
        loss = np.dot(self.total, self.ones) * self.scale
        np.dot(h.T, e, self.gw2)
        np.dot(self.ones, e, self.gb2)
        np.dot(e, w2.T, gh)
        np.multiply(gh, self.on, gh)
        np.dot(x.T, gh, self.gw1)
        np.dot(self.ones, gh, self.gb1)
        np.dot(gh, w1.T, self.gx)
        return loss, self.gx, self.gw1, self.gb1, self.gw2, self.gb2


def inputs(batch: int, dtype: Any) -> list[Any]:
    """Inputs in the order of the graph's text."""
    random = np.random.default_rng(0)

    def normal(*shape: int) -> Any:
        return (random.normal(size=shape) / 4).astype(dtype)

    label = random.integers(0, 10, batch).astype(np.int32)
    return [normal(batch, 64), label, normal(64, 32), normal(32), normal(32, 10), normal(10)]


def timed(run: Callable[[], Any], seconds: float = 0.008) -> float:
    """Microseconds a call, over about this many seconds."""
    count, started = 0, time.perf_counter()
    while time.perf_counter() - started < seconds:
        for _ in range(10):
            run()
        count += 10
    return (time.perf_counter() - started) / count * 1e6


def compare(batch: int, dtype: str) -> float:
    """Print and return the ratio executor / by hand, the median over turns."""
    x, label, w1, b1, w2, b2 = inputs(batch, dtype)
    graph = load_text(TEXT).graphs["loss"]
    executor = Executor(make_plan(graph, "value_and_grad"), {"B": batch}, scalars(dtype))  # type: ignore[arg-type]
    by_hand = ByHand(batch, dtype)
    ours = executor.run({"x": x, "label": label, "w1": w1, "b1": b1, "w2": w2, "b2": b2})
    theirs = by_hand.run(x, label, w1, b1, w2, b2)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-4 if dtype == "float32" else 1e-10, atol=1e-6)
    given = [x, w1, b1, w2, b2, label]
    pairs = [
        (timed(lambda: executor.run_list(given)), timed(lambda: by_hand.run(x, label, w1, b1, w2, b2)))
        for _ in range(75)
    ]
    a, b = (min(p[k] for p in pairs) for k in (0, 1))
    ratio = statistics.median(p / q for p, q in pairs)
    print(f"MLP 64-32-10 {dtype} batch {batch:5}: executor {a:8.1f} us, by hand {b:8.1f} us, ratio {ratio:.2f}")
    return ratio


def main() -> int:
    """Compare at both batch sizes; 1 where the executor is over the limit."""
    print(f"{platform.processor() or platform.machine()}, one thread, NumPy {np.__version__}")
    ratios = [compare(batch, dtype) for dtype in ("float32", "float64") for batch in (32, 1024)]
    print(f"limit {LIMIT}: {'ok' if max(ratios) <= LIMIT else 'OVER'} ({Path(__file__).name})")
    return int(max(ratios) > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
