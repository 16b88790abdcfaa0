"""Windows, blocks and other sizes."""

from __future__ import annotations

import torch

from peers.row import Peer

F = torch.nn.functional
X, AB = "x: [A, B]", "[A, B]"


def columns(x: torch.Tensor, **how: int) -> torch.Tensor:
    """im2col with the window's axes apart, for kernels of 2 x 3."""
    n, c, h, _ = x.shape
    stride, padding, dilation = how.get("stride", 1), how.get("padding", 0), how.get("dilation", 1)
    rows = (h + 2 * padding - dilation - 1) // stride + 1
    found = F.unfold(x, (2, 3), dilation=dilation, padding=padding, stride=stride)
    return found.reshape(n, c, 2, 3, rows, found.shape[-1] // rows)


def deal(x: torch.Tensor) -> torch.Tensor:
    """channel_shuffle in two groups."""
    return x.reshape(x.shape[0], 2, -1, x.shape[2]).transpose(1, 2).reshape(x.shape)


ROWS = [
    Peer("unfold(x, size=2)", X, "[A, B - 1, 2]", lambda x: x.unfold(1, 2, 1), "B >= 2"),
    Peer("unfold(x, size=3, step=2)", "x: [A, 8]", "[A, 3, 3]", lambda x: x.unfold(1, 3, 2)),
    Peer(
        "fold(x, n=8, step=2)",
        "x: [A, 3, 3]",
        "[A, 8]",
        lambda x: F.fold(x.transpose(1, 2), (1, 8), (1, 3), stride=(1, 2)).reshape(len(x), 8),
        "A >= 1",
    ),
    Peer("unfold2d(x, kh=2, kw=3)", "x: [2, A, 4, 5]", "[2, A, 2, 3, 3, 3]", columns, "A >= 1"),
    Peer(
        "unfold2d(x, kh=2, kw=3, stride=2, padding=1, dilation=2)",
        "x: [2, A, 4, 5]",
        "[2, A, 2, 3, 2, 2]",
        lambda x: columns(x, stride=2, padding=1, dilation=2),
        "A >= 1",
    ),
    Peer(
        "pixel_shuffle(x, r=2)",
        "x: [A, 4 * B, 2, 3]",
        "[A, B, 4, 6]",
        lambda x: F.pixel_shuffle(x, 2),
        "A >= 1, B >= 1",
    ),
    Peer(
        "pixel_unshuffle(x, r=2)",
        "x: [A, B, 4, 6]",
        "[A, 4 * B, 2, 3]",
        lambda x: F.pixel_unshuffle(x, 2),
        "A >= 1, B >= 1",
    ),
    Peer("channel_shuffle(x, groups=2)", "x: [A, 2 * B, C]", "[A, 2 * B, C]", deal, "A >= 1, B >= 1, C >= 1"),
    Peer(
        "fold2d(x, h=4, w=5, kh=2, kw=3, stride=2, padding=1, dilation=2)",
        "x: [2, A, 2, 3, 2, 2]",
        "[2, A, 4, 5]",
        lambda x: F.fold(x.reshape(2, -1, 4), (4, 5), (2, 3), dilation=2, padding=1, stride=2),
        "A >= 1",
    ),
    Peer(
        "interpolate_linear(x, axis=2, size=5)",
        "x: [A, B, C]",
        "[A, B, 5]",
        lambda x: F.interpolate(x, 5, mode="linear"),
        "A >= 1, B >= 1, C >= 1",
    ),
    Peer(
        "interpolate_linear(interpolate_linear(x, axis=2, size=3), axis=3, size=7)",
        "x: [A, B, C, D]",
        "[A, B, 3, 7]",
        lambda x: F.interpolate(x, (3, 7), mode="bilinear"),
        "A >= 1, B >= 1, C >= 1, D >= 1",
    ),
    Peer(
        "interpolate_linear(x, axis=(2, 3), size=4, align_corners=true)",
        "x: [A, B, C, D]",
        "[A, B, 4, 4]",
        lambda x: F.interpolate(x, (4, 4), mode="bilinear", align_corners=True),
        "A >= 1, B >= 1, C >= 1, D >= 1",
    ),
    Peer(
        "interpolate_linear(x, axis=2, size=1, align_corners=1)",
        "x: [A, B, C]",
        "[A, B, 1]",
        lambda x: F.interpolate(x, 1, mode="linear", align_corners=True),
        "A >= 1, B >= 1, C >= 1",
    ),
    Peer("upsample1d(x, times=3)", X, "[A, B * 3]", lambda x: x.repeat_interleave(3, 1)),
    Peer(
        "upsample2d(x, times=2)",
        X,
        "[A * 2, B * 2]",
        lambda x: x.repeat_interleave(2, 0).repeat_interleave(2, 1),
    ),
    Peer(
        "upsample3d(x, times=2)",
        "x: [A, B, C]",
        "[A * 2, B * 2, C * 2]",
        lambda x: x.repeat_interleave(2, 0).repeat_interleave(2, 1).repeat_interleave(2, 2),
    ),
    Peer(
        "interpolate_nearest(x, m=5)",
        X,
        "[A, 5]",
        lambda x: F.interpolate(x[None], 5)[0],
        "A >= 1, B >= 1",
    ),
    Peer(
        "interpolate_nearest2d(x, p=5, q=2)",
        X,
        "[5, 2]",
        lambda x: F.interpolate(x[None, None], (5, 2))[0, 0],
        "A >= 1, B >= 1",
    ),
]
