"""Normalisation, pooling, attention."""

from __future__ import annotations

import torch
from torch.nn import functional

from peers.row import Peer

NCL, BND = "x: [N, C, L]", "q: [B, M, D], k: [B, N, D], v: [B, N, E]"
SEEN = "B >= 1, M >= 1, N >= 1, D >= 1"


def over(x: torch.Tensor, axes: tuple[int, ...], eps: float = 1e-5) -> torch.Tensor:
    return (x - x.mean(axes, keepdim=True)) / torch.sqrt(x.var(axes, correction=0, keepdim=True) + eps)


def attention(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, bias: torch.Tensor | float = 0.0) -> torch.Tensor:
    return torch.softmax(q @ k.mT / q.shape[-1] ** 0.5 + bias, -1) @ v


def masked(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return torch.softmax(torch.where(mask, q @ k.mT / q.shape[-1] ** 0.5, -1e9), -1) @ v


def rotary(x: torch.Tensor, angle: torch.Tensor) -> torch.Tensor:
    a, b = x.chunk(2, -1)
    return torch.cat([a * angle.cos() - b * angle.sin(), b * angle.cos() + a * angle.sin()], -1)


def grouped(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, causal: bool = False) -> torch.Tensor:
    m, n = q.shape[-2], k.shape[-2]
    bias = torch.zeros(m, n, dtype=q.dtype)
    if causal:
        bias = bias.masked_fill(torch.ones(m, n, dtype=torch.bool).triu(1), -torch.inf)
    return attention(q, k[:, None], v[:, None], bias)


def causal(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    return grouped(q[:, None], k, v, True)[:, 0]


ROWS = [
    Peer(
        "rms_norm(x, w)", "x: [A, B], w: [B]", "[A, B]", lambda x, w: functional.rms_norm(x, w.shape, w, 1e-5), "B >= 1"
    ),
    Peer("standardize(x, start=1)", NCL, "[N, C, L]", lambda x: over(x, (1, 2)), "C >= 1, L >= 1"),
    Peer(
        "instance_norm(x, w, b)",
        f"{NCL}, w: [C], b: [C]",
        "[N, C, L]",
        lambda x, w, b: over(x, (2,)) * w[:, None] + b[:, None],
        "L >= 1",
    ),
    Peer(
        "group_norm(x, w, b, groups=2)",
        "x: [N, 2*C, L], w: [2*C], b: [2*C]",
        "[N, 2*C, L]",
        lambda x, w, b: functional.group_norm(x, 2, w, b),
        "N >= 1, C >= 1, L >= 2",
    ),
    Peer(
        "batch_norm(x, w, b)",
        f"{NCL}, w: [C], b: [C]",
        "[N, C, L]",
        lambda x, w, b: over(x, (0, 2)) * w[:, None] + b[:, None],
        "N >= 1, L >= 1",
    ),
    Peer(
        "batch_norm(x, w, b, m, u)",
        f"{NCL}, w: [C], b: [C], const m: [C], const u: [C] > 0",
        "[N, C, L]",
        lambda x, w, b, m, u: functional.batch_norm(x, m, u, w, b),
        "N >= 1, C >= 1, L >= 1",
    ),
    Peer("batch_mean(x)", NCL, "[C]", lambda x: x.mean((0, 2)), "N >= 1, L >= 1"),
    Peer("batch_var(x, correction=1)", NCL, "[C]", lambda x: x.var((0, 2)), "N >= 2, L >= 1"),
    Peer("running_update(x, z)", "x: [A], z: [A]", "[A]", lambda x, z: 0.9 * x + 0.1 * z),
    Peer(
        "local_response_norm(x, size=3)",
        NCL,
        "[N, C, L]",
        lambda x: functional.local_response_norm(x, 3),
        "N >= 1, C >= 1, L >= 1",
    ),
    Peer(
        "weight_norm(v, p)",
        "v: [A, B], p: [A]",
        "[A, B]",
        lambda v, p: v * (p / torch.sqrt((v * v).sum(1) + 1e-12))[:, None],
        "B >= 1",
    ),
    Peer("normalize(x)", "x: [A, B]", "[A, B]", lambda x: x / torch.sqrt((x * x).sum(1, True) + 1e-12), "B >= 1"),
    Peer("cosine_similarity(a, b)", "a: [A, B], b: [A, B]", "[A]", functional.cosine_similarity, "B >= 1"),
    Peer("softmin(x)", "x: [A, B]", "[A, B]", lambda x: torch.softmax(-x, 1), "B >= 1"),
    Peer(
        "max_pool(x, axis=(2, 3), kernel_size=3, stride=2, padding=1)",
        "x: [A, 2, H, W]",
        "[A, 2, (H - 1) // 2 + 1, (W - 1) // 2 + 1]",
        lambda x: functional.max_pool2d(x, 3, 2, 1),
        "A >= 1, H >= 1, W >= 1",
    ),
    Peer(
        "min_pool(x, axis=2, kernel_size=3, stride=1, padding=1)",
        "x: [A, 2, L]",
        "[A, 2, L]",
        lambda x: -functional.max_pool1d(-x, 3, 1, 1),
        "A >= 1, L >= 1",
    ),
    Peer(
        "max_pool(x, axis=2, kernel_size=2, stride=1, dilation=2)",
        "x: [A, 2, L]",
        "[A, 2, L - 2]",
        lambda x: functional.max_pool1d(x, 2, 1, 0, 2),
        "A >= 1, L >= 3",
    ),
    Peer(
        "min_pool(x, axis=2, kernel_size=2, stride=1, dilation=2)",
        "x: [A, 2, L]",
        "[A, 2, L - 2]",
        lambda x: -functional.max_pool1d(-x, 2, 1, 0, 2),
        "A >= 1, L >= 3",
    ),
    Peer(
        "max_pool(x, axis=1, kernel_size=2, stride=1)",
        NCL,
        "[N, C - 1, L]",
        lambda x: torch.maximum(x[:, :-1], x[:, 1:]),
        "C >= 2",
        smooth=False,
    ),
    Peer(
        "max_pool(x, axis=(2, 3), kernel_size=2, stride=2)",
        "x: [N, C, 4, W]",
        "[N, C, 2, (W - 2) // 2 + 1]",
        lambda x: functional.max_pool2d(x, 2),
        "N >= 1, C >= 1, W >= 2",
        smooth=False,
    ),
    Peer(
        "min_pool(x, axis=2, kernel_size=2, stride=2)",
        NCL,
        "[N, C, (L - 2) // 2 + 1]",
        lambda x: -functional.max_pool1d(-x, 2),
        "N >= 1, C >= 1, L >= 2",
        smooth=False,
    ),
    Peer(
        "avg_pool1d(x, kernel_size=3, stride=2, padding=1)",
        NCL,
        "[N, C, (L - 1) // 2 + 1]",
        lambda x: functional.avg_pool1d(x, 3, 2, 1),
        "N >= 1, C >= 1, L >= 1",
    ),
    Peer(
        "avg_pool2d(x, kernel_size=2, stride=1)",
        "x: [N, H, W]",
        "[N, H - 1, W - 1]",
        lambda x: functional.avg_pool2d(x, 2, 1),
        "N >= 1, H >= 2, W >= 2",
    ),
    Peer(
        "avg_pool3d(x, kernel_size=2, stride=2)",
        "x: [N, 4, H, W]",
        "[N, 2, (H - 2) // 2 + 1, (W - 2) // 2 + 1]",
        lambda x: functional.avg_pool3d(x, 2),
        "N >= 1, H >= 2, W >= 2",
    ),
    Peer(
        "smooth_max_pool1d(x, kernel_size=2, stride=1, beta=2)",
        NCL,
        "[N, C, L - 1]",
        lambda x: torch.logaddexp(2 * x[..., :-1], 2 * x[..., 1:]) / 2,
        "L >= 2",
    ),
    Peer(
        "lp_pool1d(p, norm=3, kernel_size=2, stride=1)",
        "p: [N, L] > 0",
        "[N, L - 1]",
        lambda p: (p[:, :-1] ** 3 + p[:, 1:] ** 3) ** (1 / 3),
        "L >= 2",
    ),
    Peer(
        "adaptive_avg_pool1d(x, output_size=3)",
        NCL,
        "[N, C, 3]",
        lambda x: functional.adaptive_avg_pool1d(x, 3),
        "N >= 1, C >= 1, L >= 1",
    ),
    Peer(
        "adaptive_avg_pool2d(x, out_h=2, out_w=3)",
        "x: [N, H, W]",
        "[N, 2, 3]",
        lambda x: functional.adaptive_avg_pool2d(x, (2, 3)),
        "N >= 1, H >= 1, W >= 1",
    ),
    Peer(
        "adaptive_avg_pool(adaptive_avg_pool(x, axis=(1, 2), output_size=2), axis=3, output_size=3)",
        "x: [N, D, H, W]",
        "[N, 2, 2, 3]",
        lambda x: functional.adaptive_avg_pool3d(x, (2, 2, 3)),
        "N >= 1, D >= 1, H >= 1, W >= 1",
    ),
    Peer(
        "adaptive_max_pool(x, axis=2, output_size=3)",
        NCL,
        "[N, C, 3]",
        lambda x: functional.adaptive_max_pool1d(x, 3),
        "N >= 1, C >= 1, L >= 1",
        smooth=False,
    ),
    Peer(
        "adaptive_max_pool(x, axis=(1, 2), output_size=2)",
        "x: [N, H, W]",
        "[N, 2, 2]",
        lambda x: functional.adaptive_max_pool2d(x, 2),
        "N >= 1, H >= 1, W >= 1",
        smooth=False,
    ),
    Peer("attention(q, k, v)", BND, "[B, M, E]", attention, SEEN),
    Peer("attention(q, k, v, z)", f"{BND}, z: [M, N]", "[B, M, E]", attention, SEEN),
    Peer("attention(q, k, v, z)", f"{BND}, z: [B, M, N]", "[B, M, E]", attention, SEEN),
    Peer("attention(q, k, v, c)", f"{BND}, c: bool[M, N]", "[B, M, E]", masked, SEEN),
    Peer("attention(q, k, v, c)", f"{BND}, c: bool[B, M, N]", "[B, M, E]", masked, SEEN),
    Peer(
        "causal_attention(q, k, v)", "q: [B, M, D], k: [B, M, D], v: [B, M, E]", "[B, M, E]", causal, "D >= 1, M >= 1"
    ),
    Peer(
        "grouped_attention(q, k, v)",
        "q: [B, R, M, D], k: [B, N, D], v: [B, N, E]",
        "[B, R, M, E]",
        grouped,
        f"{SEEN}, R >= 1",
    ),
    Peer(
        "causal_grouped_attention(q, k, v)",
        "q: [B, R, M, D], k: [B, M, D], v: [B, M, E]",
        "[B, R, M, E]",
        lambda q, k, v: grouped(q, k, v, True),
        "B >= 1, M >= 1, D >= 1, R >= 1",
    ),
    Peer("rotary(x, t)", "x: [A, 2*B], t: [A, B]", "[A, 2*B]", rotary),
    Peer("dropout(x, c, p=1/4)", "x: [A], c: bool[A]", "[A]", lambda x, c: x * c / 0.75),
    Peer(
        "alibi(s, m=3, n=4)",
        "s: [B]",
        "[B, 3, 4]",
        lambda s: s[:, None, None] * (torch.arange(4)[None, :] - torch.arange(3)[:, None]),
    ),
    Peer(
        "relative_bias(t, m=3)",
        "t: [B, 6]",
        "[B, 3, 4]",
        lambda t: torch.stack([t[:, 2 - i : 6 - i] for i in range(3)], 1),
    ),
    Peer(
        "smooth_max_pool2d(x, kernel_size=2, stride=1, beta=2)",
        "x: [N, H, W]",
        "[N, H - 1, W - 1]",
        lambda x: torch.logsumexp(2 * x.unfold(1, 2, 1).unfold(2, 2, 1), (3, 4)) / 2,
        "N >= 1, H >= 2, W >= 2",
    ),
    Peer(
        "smooth_max_pool3d(x, kernel_size=2, stride=1, beta=2)",
        "x: [N, 2, H, W]",
        "[N, 1, H - 1, W - 1]",
        lambda x: torch.logsumexp(2 * x.unfold(1, 2, 1).unfold(2, 2, 1).unfold(3, 2, 1), (4, 5, 6)) / 2,
        "N >= 1, H >= 2, W >= 2",
    ),
    Peer(
        "lp_pool2d(p, norm=3, kernel_size=2, stride=1)",
        "p: [N, H, W] > 0",
        "[N, H - 1, W - 1]",
        lambda p: (p.unfold(1, 2, 1).unfold(2, 2, 1) ** 3).sum((3, 4)) ** (1 / 3),
        "N >= 1, H >= 2, W >= 2",
    ),
]
