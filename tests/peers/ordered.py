"""Rows: entries in order."""

from __future__ import annotations

from peers.row import Peer

ROWS = [
    Peer("sort(x)", "x: [A, N]", "[A, N]", lambda x: x.sort(dim=-1).values),
    Peer("sort_descending(x)", "x: [N]", "[N]", lambda x: x.sort(descending=True).values),
    Peer("take_along_axis(x, argsort(x), axis=-1)", "x: [A, N]", "[A, N]", lambda x: x.sort(dim=-1).values),
    Peer("place(x, invert(rank(x)))", "x: [N]", "[N]", lambda x: x[x.argsort().argsort()]),
    Peer("topk(x, k=2)", "x: [A, N]", "[A, 2]", lambda x: x.topk(2).values, "N >= 2"),
    Peer("x * cast(topk_indices(x, k=N))", "x: [A, N]", "[A, N]", lambda x: x * x.topk(x.shape[1]).indices),
    Peer("kth_value(x, k=1)", "x: [A, N]", "[A]", lambda x: x.kthvalue(2).values, "N >= 2"),
    Peer("median(x)", "x: [A, N]", "[A]", lambda x: x.median(dim=-1).values, "N >= 1"),
]
