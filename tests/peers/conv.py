"""Convolutions and their transposes."""

from __future__ import annotations

from torch.nn import functional

from peers.row import Peer

X1, X2, X3 = "x: [N, C, L]", "x: [N, C, H, W]", "x: [N, C, 3, H, 3]"

ROWS = [
    Peer("conv1d(x, w)", f"{X1}, w: [O, C, 2]", "[N, O, L - 1]", functional.conv1d, "L >= 2, C >= 1, O >= 1, N >= 1"),
    Peer(
        "conv1d(x, w, b, stride=2, padding=1, dilation=2)",
        f"{X1}, w: [O, C, 2], b: [O]",
        "[N, O, (L - 1) // 2 + 1]",
        lambda x, w, b: functional.conv1d(x, w, b, stride=2, padding=1, dilation=2),
        "L >= 1, C >= 1, O >= 1, N >= 1",
    ),
    Peer(
        "conv1d(x, w, groups=2)",
        "x: [N, 2*C, L], w: [2*O, C, 2]",
        "[N, 2*O, L - 1]",
        lambda x, w: functional.conv1d(x, w, groups=2),
        "L >= 2, C >= 1, O >= 1, N >= 1",
    ),
    Peer(
        "conv1d(x, w, b, groups=2, padding=1)",
        "x: [N, 2*C, L], w: [2*O, C, 2], b: [2*O]",
        "[N, 2*O, L + 1]",
        lambda x, w, b: functional.conv1d(x, w, b, groups=2, padding=1),
        "L >= 1, C >= 1, O >= 1, N >= 1",
    ),
    Peer(
        "conv2d(x, w, b, groups=2, stride=2)",
        "x: [N, 2*C, H, W], w: [2*O, C, 1, 2], b: [2*O]",
        "[N, 2*O, (H - 1) // 2 + 1, (W - 2) // 2 + 1]",
        lambda x, w, b: functional.conv2d(x, w, b, groups=2, stride=2),
        "N >= 1, C >= 1, O >= 1, H >= 1, W >= 2",
    ),
    Peer(
        "conv3d(x, w, groups=2)",
        "x: [N, 2*C, 2, H, 3], w: [2*O, C, 2, 2, 2]",
        "[N, 2*O, 1, H - 1, 2]",
        lambda x, w: functional.conv3d(x, w, groups=2),
        "N >= 1, C >= 1, O >= 1, H >= 2",
    ),
    Peer(
        "conv3d(x, w, b, groups=3, stride=2, dilation=2, padding=1)",
        "x: [N, 3*C, 3, H, 3], w: [3*O, C, 2, 2, 2], b: [3*O]",
        "[N, 3*O, 2, (H - 1) // 2 + 1, 2]",
        lambda x, w, b: functional.conv3d(x, w, b, groups=3, stride=2, dilation=2, padding=1),
        "N >= 1, C >= 1, O >= 1, H >= 1",
    ),
    Peer(
        "conv2d(x, w, padding=1)",
        f"{X2}, w: [O, C, 3, 3]",
        "[N, O, H, W]",
        lambda x, w: functional.conv2d(x, w, padding=1),
        "N >= 1, C >= 1, O >= 1, H >= 1, W >= 1",
    ),
    Peer(
        "conv2d(x, w, b, stride=2)",
        f"{X2}, w: [O, C, 2, 1], b: [O]",
        "[N, O, (H - 2) // 2 + 1, (W - 1) // 2 + 1]",
        lambda x, w, b: functional.conv2d(x, w, b, stride=2),
        "N >= 1, C >= 1, O >= 1, H >= 2, W >= 1",
    ),
    Peer(
        "conv2d(x, w, groups=3, dilation=2, padding=1)",
        "x: [N, 3*C, H, W], w: [3*O, C, 2, 2]",
        "[N, 3*O, H, W]",
        lambda x, w: functional.conv2d(x, w, groups=3, dilation=2, padding=1),
        "N >= 1, C >= 1, O >= 1, H >= 1, W >= 1",
    ),
    Peer(
        "conv3d(x, w, padding=1)",
        f"{X3}, w: [O, C, 3, 3, 2]",
        "[N, O, 3, H, 4]",
        lambda x, w: functional.conv3d(x, w, padding=1),
        "N >= 1, C >= 1, O >= 1, H >= 1",
    ),
    Peer(
        "conv3d(x, w, b, stride=2)",
        f"{X3}, w: [O, C, 1, 2, 2], b: [O]",
        "[N, O, 2, (H - 2) // 2 + 1, 1]",
        lambda x, w, b: functional.conv3d(x, w, b, stride=2),
        "N >= 1, C >= 1, O >= 1, H >= 2",
    ),
    Peer(
        "conv_transpose1d(x, w, b, stride=2, padding=1, output_padding=1)",
        f"{X1}, w: [C, O, 3], b: [O]",
        "[N, O, 2*L]",
        lambda x, w, b: functional.conv_transpose1d(x, w, b, stride=2, padding=1, output_padding=1),
        "L >= 1, C >= 1, O >= 1, N >= 1",
    ),
    Peer(
        "conv_transpose2d(x, w, stride=2)",
        f"{X2}, w: [C, O, 2, 2]",
        "[N, O, 2*H, 2*W]",
        lambda x, w: functional.conv_transpose2d(x, w, stride=2),
        "N >= 1, C >= 1, O >= 1, H >= 1, W >= 1",
    ),
    Peer(
        "conv_transpose2d(x, w, b, dilation=2, padding=1)",
        f"{X2}, w: [C, O, 2, 2], b: [O]",
        "[N, O, H, W]",
        lambda x, w, b: functional.conv_transpose2d(x, w, b, dilation=2, padding=1),
        "N >= 1, C >= 1, O >= 1, H >= 1, W >= 1",
    ),
    Peer(
        "conv_transpose3d(x, w, b, stride=2)",
        f"{X3}, w: [C, O, 1, 2, 2], b: [O]",
        "[N, O, 5, 2*H, 6]",
        lambda x, w, b: functional.conv_transpose3d(x, w, b, stride=2),
        "N >= 1, C >= 1, O >= 1, H >= 1",
    ),
    Peer(
        "conv_transpose1d(x, w, stride=2)",
        f"{X1}, w: [C, O, 2]",
        "[N, O, 2*L]",
        lambda x, w: functional.conv_transpose1d(x, w, stride=2),
        "L >= 1, C >= 1, O >= 1, N >= 1",
    ),
    Peer(
        "conv_transpose3d(x, w, stride=2)",
        f"{X3}, w: [C, O, 1, 2, 2]",
        "[N, O, 5, 2*H, 6]",
        lambda x, w: functional.conv_transpose3d(x, w, stride=2),
        "N >= 1, C >= 1, O >= 1, H >= 1",
    ),
]
