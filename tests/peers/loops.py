"""Rows: what is read out of a loop's table."""

from __future__ import annotations

from peers.row import Peer

TABLE = "x: [R + 1, 3 + 2*B]"

ROWS = [
    Peer(
        "table_rows(x, offset=2, k=(2, B))", TABLE, "[R, 2, B]", lambda x: x[1:, 2:-1].unflatten(1, (2, -1)), "B >= 1"
    ),
    Peer(
        "table_rows_reversed(x, offset=2, k=(2, B))",
        TABLE,
        "[R, 2, B]",
        lambda x: x[1:, 2:-1].unflatten(1, (2, -1)).flip(0),
        "B >= 1",
    ),
    Peer("table_last(x, offset=3, k=(B, 2))", TABLE, "[B, 2]", lambda x: x[-1, 3:].unflatten(0, (-1, 2)), "B >= 1"),
    Peer("table_last(x, offset=0, k=())", TABLE, "[]", lambda x: x[-1, 0]),
]
