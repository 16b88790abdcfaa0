"""Arithmetic, comparison and linear algebra."""

from __future__ import annotations

import torch

from peers.row import Peer

ROWS = [
    Peer("x + y", "x: [A, B], y: [A, B]", "[A, B]", lambda x, y: x + y),
    Peer("x - y", "x: [A, B], y: [B]", "[A, B]", lambda x, y: x - y),
    Peer("x * y", "x: [A, B], y: [A, B]", "[A, B]", lambda x, y: x * y),
    Peer("x / p", "x: [A, B], p: [A, B] > 0", "[A, B]", lambda x, p: x / p),
    Peer("x @ y", "x: [A, B], y: [B, C]", "[A, C]", lambda x, y: x @ y),
    Peer("softmax(x, axis=1)", "x: [A, B]", "[A, B]", lambda x: torch.softmax(x, 1), "B >= 1"),
    Peer("take(x, i)", "x: [N, A], i: i64[K] < N", "[K, A]", lambda x, i: x[i]),
]
