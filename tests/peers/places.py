"""Rows: entries at places that integer tensors name, and integer results."""

from __future__ import annotations

from typing import Any

import torch

from peers.row import Peer


def last_wins(x: Any, i: Any, v: Any) -> Any:
    """The assignment x[i] = v, one entry after the other."""
    rows = list(x)
    for k, at in enumerate(i.tolist()):
        rows[at] = v[k]
    return torch.stack(rows) if rows else x


def segments(v: Any, i: Any, n: int) -> Any:
    """The sums of the rows of v in each of n segments."""
    return torch.zeros(n, *v.shape[1:], dtype=v.dtype).index_add(0, i, v)


def segment_means(v: Any, i: Any, n: int) -> Any:
    """The means of the rows of v in each of n segments."""
    counts = torch.bincount(i, minlength=n).clamp(min=1)
    return segments(v, i, n) / counts[:, None]


ROWS = [
    Peer("gather(x, i, axis=1)", "x: [A, N], i: i64[A, K] < N", "[A, K]", lambda x, i: x.gather(1, i)),
    Peer("gather(x, i, axis=0)", "x: [N, A], i: i64[K, A] < N", "[K, A]", lambda x, i: x.gather(0, i)),
    Peer(
        "take_along_axis(x, i, axis=-1)",
        "x: [A, N], i: i64[A, K] < N",
        "[A, K]",
        lambda x, i: torch.take_along_dim(x, i, -1),
    ),
    Peer("index_select(x, i, axis=1)", "x: [A, N], i: i64[K] < N", "[A, K]", lambda x, i: x.index_select(1, i)),
    Peer("gather_nd(x, i, j)", "x: [M, N, A], i: i64[K] < M, j: i64[K] < N", "[K, A]", lambda x, i, j: x[i, j]),
    Peer(
        "embedding(x, i, padding=0)",
        "x: [N, A], i: i64[K] < N",
        "[K, A]",
        lambda x, i: torch.where((i == 0)[:, None], torch.zeros((), dtype=x.dtype), x[i]),
    ),
    Peer(
        "x * one_hot(i, n=N)",
        "x: [K, N], i: i64[K] < N",
        "[K, N]",
        lambda x, i: x * (i[:, None] == torch.arange(x.shape[1])),
    ),
    Peer(
        "scatter_add(x, i, v, axis=1)",
        "x: [A, N], i: i64[A, K] < N, v: [A, K]",
        "[A, N]",
        lambda x, i, v: x.scatter_add(1, i, v),
    ),
    Peer(
        "index_add(x, i, v, axis=1)",
        "x: [A, N], i: i64[K] < N, v: [A, K]",
        "[A, N]",
        lambda x, i, v: x.index_add(1, i, v),
    ),
    Peer(
        "index_put_add(x, i, j, v)",
        "x: [M, N], i: i64[K] < M, j: i64[K] < N, v: [K]",
        "[M, N]",
        lambda x, i, j, v: x.index_put((i, j), v, accumulate=True),
    ),
    Peer(
        "scatter_mul(x, i, v, axis=0)",
        "x: [N], i: i64[K] < N, v: [K]",
        "[N]",
        lambda x, i, v: x.scatter_reduce(0, i, v, "prod"),
    ),
    Peer("scatter(x, i, v, axis=0)", "x: [N], i: i64[K] < N, v: [K]", "[N]", last_wins),
    Peer("segment_sum(v, i, n=3)", "v: [K, A], i: i64[K] < N", "[3, A]", lambda v, i: segments(v, i, 3), "N = 3"),
    Peer("segment_mean(v, i, n=3)", "v: [K, A], i: i64[K] < N", "[3, A]", lambda v, i: segment_means(v, i, 3), "N = 3"),
    Peer("scatter_add(x, i, v)", "x: [N], i: i64[K] < N, v: [K]", "[N]", lambda x, i, v: x.scatter_add(0, i, v)),
    Peer("place(x, rank(x))", "x: [A, N]", "[A, N]", lambda x: x.sort(dim=-1).values),
    Peer(
        "masked_fill(x, c, value=1/2)",
        "x: [A, N], c: bool[A, N]",
        "[A, N]",
        lambda x, c: x.masked_fill(c, 0.5),
    ),
    Peer("pick(x, argmax(x, axis=1))", "x: [A, N]", "[A]", lambda x: x.max(dim=1).values, "N >= 1"),
    Peer("pick(x, argmin(x, axis=-1))", "x: [A, N]", "[A]", lambda x: x.min(dim=1).values, "N >= 1"),
    Peer("x * cast(rank(x))", "x: [A, N]", "[A, N]", lambda x: x * x.argsort(dim=-1).argsort(dim=-1)),
    Peer(
        "x * cast(bincount(i, n=N))",
        "x: [N], i: i64[K] < N",
        "[N]",
        lambda x, i: x * torch.bincount(i, minlength=len(x)),
    ),
    Peer("x * cast(i * 3 // 2 - i % 2)", "x: [K], i: i64[K]", "[K]", lambda x, i: x * (i * 3 // 2 - i % 2)),
    Peer(
        "x * cast(searchsorted(t, x))", "x: [K], const t: [M]", "[K]", lambda x, t: x * (t[None, :] < x[:, None]).sum(1)
    ),
]
