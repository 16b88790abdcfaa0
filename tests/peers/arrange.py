"""Shapes and places: pieces, repetitions, margins, diagonals."""

from __future__ import annotations

import torch

from peers.row import Peer

F = torch.nn.functional
X, AB = "x: [A, B]", "[A, B]"

ROWS = [
    Peer("flip(x, axis=1)", X, AB, lambda x: x.flip(1)),
    Peer("flip(x, axis=-2)", X, AB, lambda x: x.flip(0)),
    Peer("roll(x, shift=2, axis=1)", X, AB, lambda x: x.roll(2, 1)),
    Peer("roll(x, shift=-1, axis=0)", X, AB, lambda x: x.roll(-1, 0)),
    Peer("rot90(x)", X, "[B, A]", torch.rot90),
    Peer("repeat_interleave(x, repeats=3, axis=0)", X, "[A * 3, B]", lambda x: x.repeat_interleave(3, 0)),
    Peer("repeat_interleave(x, repeats=2, axis=-1)", X, "[A, B * 2]", lambda x: x.repeat_interleave(2, 1)),
    Peer("tile(x, times=3, axis=0)", X, "[3 * A, B]", lambda x: x.repeat(3, 1)),
    Peer("repeat(x, times=3)", "x: [A]", "[3 * A]", lambda x: x.repeat(3)),
    Peer("repeat(x, rows=2, columns=3)", X, "[2 * A, 3 * B]", lambda x: x.repeat(2, 3)),
    Peer("stack(x, y, axis=1)", "x: [A, B], y: [A, B]", "[A, 2, B]", lambda x, y: torch.stack((x, y), 1)),
    Peer(
        "stack(x, y, z, axis=0)",
        "x: [A], y: [A], z: [A]",
        "[3, A]",
        lambda x, y, z: torch.stack((x, y, z)),
    ),
    Peer(
        "stack(x, y, x, y, y, axis=-1)",
        "x: [A, B], y: [A, B]",
        "[A, B, 5]",
        lambda x, y: torch.stack((x, y, x, y, y), -1),
    ),
    Peer("stack(x, axis=1)", X, "[A, 1, B]", lambda x: x[:, None]),
    Peer("moveaxis(x, source=0, destination=-1)", "x: [A, B, C]", "[B, C, A]", lambda x: x.movedim(0, -1)),
    Peer(
        "moveaxis(x, source=(0, 3), destination=(2, 0))",
        "x: [A, B, C, D]",
        "[D, B, A, C]",
        lambda x: x.movedim((0, 3), (2, 0)),
    ),
    Peer(
        "interleave(x, y, axis=0)",
        "x: [A, B], y: [A, B]",
        "[2 * A, B]",
        lambda x, y: torch.stack((x, y), 1).reshape(2 * x.shape[0], x.shape[1]),
    ),
    Peer("kron(x, y)", "x: [A, B], y: [C, D]", "[A * C, B * D]", torch.kron),
    Peer("kron(x, y)", "x: [A], y: [C]", "[A * C]", torch.kron),
    Peer("narrow(x, start=1, length=2, axis=1)", "x: [A, B]", "[A, 2]", lambda x: x.narrow(1, 1, 2), "B >= 3"),
    Peer("select(x, index=1, axis=0)", X, "[B]", lambda x: x[1], "A >= 2"),
    Peer("split(x, size=2, part=1, axis=0)", "x: [5, B]", "[2, B]", lambda x: x.split(2)[1]),
    Peer("split(x, size=2, part=2, axis=0)", "x: [5, B]", "[1, B]", lambda x: x.split(2)[2]),
    Peer("chunk(x, chunks=2, part=1, axis=1)", "x: [A, 2 * B]", AB, lambda x: x[:, x.shape[1] // 2 :]),
    Peer("slice_back(x, start=5, stop=0, step=2)", "x: [7, A]", "[3, A]", lambda x: x[[5, 3, 1]]),
    Peer(
        "unflatten(x, rows=2, columns=B, axis=0)",
        "x: [2 * B, C]",
        "[2, B, C]",
        lambda x: x.unflatten(0, (2, len(x) // 2)),
    ),
    Peer("swapaxes(x, i=0, j=2)", "x: [A, B, C, D]", "[C, B, A, D]", lambda x: x.swapaxes(0, 2)),
    Peer("pad(x, before=1, after=2, axis=0, value=3)", X, "[A + 3, B]", lambda x: F.pad(x, (0, 0, 1, 2), value=3.0)),
    Peer("pad1d(x, left=1, right=2)", X, "[A, B + 3]", lambda x: F.pad(x, (1, 2))),
    Peer("pad2d(x, left=1, right=2, top=0, bottom=3)", X, "[A + 3, B + 3]", lambda x: F.pad(x, (1, 2, 0, 3))),
    Peer(
        "pad3d(x, left=1, right=0, top=2, bottom=1, front=0, back=1, value=1/2)",
        "x: [A, B, C]",
        "[A + 1, B + 3, C + 1]",
        lambda x: F.pad(x, (1, 0, 2, 1, 0, 1), value=0.5),
    ),
    Peer(
        "reflect_pad(x, before=1, after=2, axis=1)",
        X,
        "[A, B + 3]",
        lambda x: F.pad(x[None], (1, 2), "reflect")[0],
        "A >= 1, B >= 3",
    ),
    Peer(
        "replicate_pad(x, before=1, after=2, axis=1)",
        X,
        "[A, B + 3]",
        lambda x: F.pad(x[None], (1, 2), "replicate")[0],
        "A >= 1, B >= 1",
    ),
    Peer(
        "circular_pad(x, before=1, after=2, axis=1)",
        X,
        "[A, B + 3]",
        lambda x: F.pad(x[None], (1, 2), "circular")[0],
        "A >= 1, B >= 2",
    ),
    Peer(
        "reflect_pad(x, before=1, after=2, axis=(2, 3))",
        "x: [A, B, C, D]",
        "[A, B, C + 3, D + 3]",
        lambda x: F.pad(x, (1, 2, 1, 2), "reflect"),
        "A >= 1, B >= 1, C >= 3, D >= 3",
    ),
    Peer(
        "replicate_pad(x, before=2, after=1, axis=(1, 2))",
        "x: [A, B, C]",
        "[A, B + 3, C + 3]",
        lambda x: F.pad(x[None], (2, 1, 2, 1), "replicate")[0],
        "A >= 1, B >= 1, C >= 1",
    ),
    Peer(
        "circular_pad(x, before=1, after=2, axis=(1, 2))",
        "x: [A, B, C]",
        "[A, B + 3, C + 3]",
        lambda x: F.pad(x[None], (1, 2, 1, 2), "circular")[0],
        "A >= 1, B >= 2, C >= 2",
    ),
    Peer("pad(x, before=1, after=0, axis=(0, 1))", X, "[A + 1, B + 1]", lambda x: F.pad(x, (1, 0, 1, 0))),
    Peer("diagonal(x)", "x: [A, 3, 5]", "[A, 3]", lambda x: x.diagonal(dim1=1, dim2=2)),
    Peer("diag(x)", "x: [A]", "[A, A]", torch.diag),
    Peer("diag(x)", "x: [A, A]", "[A]", torch.diag),
    Peer("diagonal(x, offset=1)", "x: [3, 5]", "[3]", lambda x: x.diagonal(1)),
    Peer("diagonal(x, offset=-2)", "x: [3, 5]", "[1]", lambda x: x.diagonal(-2)),
    Peer("diag_embed(x)", "x: [A, B]", "[A, B, B]", torch.diag_embed),
    Peer("diag_embed(x, offset=2)", "x: [A, B]", "[A, B + 2, B + 2]", lambda x: torch.diag_embed(x, 2)),
    Peer("diag_embed(x, offset=-1)", "x: [A, B]", "[A, B + 1, B + 1]", lambda x: torch.diag_embed(x, -1)),
    Peer("tril(x)", X, AB, torch.tril),
    Peer("tril(x, offset=1)", X, AB, lambda x: torch.tril(x, 1)),
    Peer("triu(x, offset=-1)", X, AB, lambda x: torch.triu(x, -1)),
]
