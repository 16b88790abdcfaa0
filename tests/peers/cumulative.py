"""Running sums, products and optima."""

from __future__ import annotations

import torch

from peers.row import Peer

X, AB = "x: [A, B]", "[A, B]"

ROWS = [
    Peer("cumsum(x)", X, AB, lambda x: x.cumsum(1)),
    Peer("cumsum(x, axis=0)", X, AB, lambda x: x.cumsum(0)),
    Peer("cumprod(x)", X, AB, lambda x: x.cumprod(1)),
    Peer("cumprod(x, axis=0)", X, AB, lambda x: x.cumprod(0)),
    Peer(
        "logcumsumexp(x)",
        X,
        AB,
        lambda x: torch.stack([x[:, : k + 1].logsumexp(1) for k in range(x.shape[1])], 1),
        "B >= 1",
    ),
    Peer("cummax(x)", X, AB, lambda x: torch.stack([x[:, : k + 1].amax(1) for k in range(x.shape[1])], 1), "B >= 1"),
    Peer("cummin(x)", X, AB, lambda x: torch.stack([x[:, : k + 1].amin(1) for k in range(x.shape[1])], 1), "B >= 1"),
]
