"""Train the digits network of digits.gproof with its proved gradient: python examples/train_digits.py."""

from __future__ import annotations

import sys
from pathlib import Path
from time import perf_counter

import gradproof as gp
import numpy as np

HERE = Path(__file__).parent
TRAIN, EPOCHS, BATCH, RATE, MOMENTUM = 1437, 30, 32, 0.1, 0.9
PARAMETERS = ("w1", "b1", "w2", "b2")
TARGET = 0.96


def load() -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """The fixed split: 1,437 digits to train on and 360 to test with, pixels from 0 to 1."""
    with np.load(HERE / "digits" / "digits.npz") as file:
        images, labels = file["images"].astype(np.float32) / 16, file["labels"].astype(np.int32)
    order = np.random.default_rng(0).permutation(len(labels))
    train, test = order[:TRAIN], order[TRAIN:]
    return {"x": images[train], "label": labels[train]}, {"x": images[test], "label": labels[test]}


def initial() -> dict[str, np.ndarray]:
    """He-scaled weights, zero biases, from a fixed seed."""
    draw = np.random.default_rng(1).standard_normal
    return {
        "w1": (draw((64, 32)) * np.sqrt(2 / 64)).astype(np.float32),
        "b1": np.zeros(32, np.float32),
        "w2": (draw((32, 10)) * np.sqrt(2 / 32)).astype(np.float32),
        "b2": np.zeros(10, np.float32),
    }


def main() -> int:
    """Prove, train, test; 0 where the accuracy reaches the target."""
    started = perf_counter()
    program = gp.compile(HERE / "digits.gproof")
    print(f"proved {len(program.report.verdicts)} claims in {perf_counter() - started:.2f} s")
    loss, scores = program["loss"], program["scores"]

    train, test = load()
    weights = initial()
    speed = {name: np.zeros_like(value) for name, value in weights.items()}
    shuffle = np.random.default_rng(2)

    def accuracy(data: dict[str, np.ndarray]) -> float:
        return float(np.mean(np.argmax(scores.forward(x=data["x"], **weights), axis=1) == data["label"]))

    started = perf_counter()
    for epoch in range(1, EPOCHS + 1):
        order, total = shuffle.permutation(TRAIN), 0.0
        for start in range(0, TRAIN, BATCH):
            batch = order[start : start + BATCH]
            value, gradient = loss.value_and_grad(x=train["x"][batch], label=train["label"][batch], **weights)
            total += float(value) * len(batch)
            for name in PARAMETERS:
                speed[name] = MOMENTUM * speed[name] - RATE * gradient[name]
                weights[name] = weights[name] + speed[name]
        if epoch == 1 or epoch % 5 == 0:
            print(f"epoch {epoch:2}  loss {total / TRAIN:.4f}  test accuracy {accuracy(test):.2%}", flush=True)

    result = accuracy(test)
    print(f"trained in {perf_counter() - started:.1f} s: test accuracy {result:.2%} (target {TARGET:.0%})")
    return 0 if result >= TARGET else 1


if __name__ == "__main__":
    sys.exit(main())
