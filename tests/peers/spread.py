"""Reductions: products, variance, norms."""

from __future__ import annotations

import torch

from peers.row import Peer

ROWS = [
    Peer("prod(x)", "x: [A, B]", "[]", torch.prod),
    Peer("prod(x, axis=1)", "x: [A, B, C]", "[A, C]", lambda x: x.prod(1)),
    Peer("prod(x, axis=(0, 2))", "x: [A, B, C]", "[B]", lambda x: x.prod(2).prod(0)),
    Peer("std(x)", "x: [A, B]", "[]", lambda x: x.std(correction=0), "A >= 2, B >= 1"),
    Peer("std(x, axis=1)", "x: [A, B, C]", "[A, C]", lambda x: x.std(1, correction=0), "B >= 2"),
    Peer("std(x, start=1)", "x: [A, B, C]", "[A]", lambda x: x.std((1, 2), correction=0), "B >= 2, C >= 1"),
    Peer("var(x)", "x: [A, B]", "[]", lambda x: x.var(correction=0), "A >= 1, B >= 1"),
    Peer("var(x, correction=1)", "x: [A, B]", "[]", lambda x: x.var(correction=1), "A >= 2, B >= 1"),
    Peer("var(x, axis=1)", "x: [A, B, C]", "[A, C]", lambda x: x.var(1, correction=0), "B >= 1"),
    Peer("var(x, 1, 1)", "x: [A, B, C]", "[A, C]", lambda x: x.var(1, correction=1), "B >= 2"),
    Peer(
        "var(x, axis=1, keepdims=true)",
        "x: [A, B, C]",
        "[A, 1, C]",
        lambda x: x.var(1, correction=0, keepdim=True),
        "B >= 1",
    ),
    Peer("var(x, start=1)", "x: [A, B, C]", "[A]", lambda x: x.var((1, 2), correction=0), "B >= 1, C >= 1"),
    Peer("norm(x)", "x: [A, B] > 0", "[]", lambda x: x.norm(), "A >= 1, B >= 1"),
    Peer("norm(x, axis=1)", "x: [A, B, C] > 0", "[A, C]", lambda x: x.norm(dim=1), "B >= 1"),
    Peer("norm(x, p=3)", "x: [A, B] > 0", "[]", lambda x: x.norm(p=3), "A >= 1, B >= 1"),
    Peer("norm(x, p=5/2, axis=1)", "x: [A, B] > 0", "[A]", lambda x: x.norm(p=2.5, dim=1), "B >= 1"),
    Peer("norm1(x)", "x: [A, B]", "[]", lambda x: x.abs().sum(), smooth=False),
    Peer("norm_inf(x)", "x: [A, B]", "[]", lambda x: x.abs().max(), "A >= 1, B >= 1", smooth=False),
    Peer("norm_inf(x, axis=0)", "x: [A, B]", "[B]", lambda x: x.abs().amax(0), "A >= 1", smooth=False),
    Peer("norm1(x, axis=1)", "x: [A, B]", "[A]", lambda x: x.abs().sum(1), smooth=False),
]
