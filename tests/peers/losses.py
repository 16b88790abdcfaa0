"""Losses, entry by entry or row by row, and reduced."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional

from peers.row import Peer

AB, TWO, LABELS = "[A, B]", "x: [A, B], t: [A, B]", "z: [A, N], i: i64[A] < N"
ROWS3 = "x: [A, N], y: [A, N], z: [A, N]"


def squared(d: torch.Tensor) -> torch.Tensor:
    return (d**2).sum(-1)


def triplet(x: torch.Tensor, y: torch.Tensor, z: torch.Tensor, length: Any, margin: float = 1) -> torch.Tensor:
    return torch.clamp_min(length(x - y) - length(x - z) + margin, 0)


def soft(z: torch.Tensor, p: torch.Tensor) -> torch.Tensor:
    return -(p * functional.log_softmax(z, -1)).sum(-1)


def kept(z: torch.Tensor, i: torch.Tensor, reduction: str) -> torch.Tensor:
    return functional.cross_entropy(z, i, ignore_index=1, reduction=reduction)


def focal(z: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    p = torch.sigmoid(z)
    return -t * (1 - p) ** 2 * torch.log(p) / 4 - 3 * (1 - t) * p**2 * torch.log(1 - p) / 4


ROWS = [
    Peer("mse(x, t)", TWO, "[]", functional.mse_loss, "A >= 1, B >= 1"),
    Peer("mae(x, t)", TWO, "[]", functional.l1_loss, "A >= 1, B >= 1", smooth=False),
    Peer("mse_loss(x, t)", TWO, AB, lambda x, t: functional.mse_loss(x, t, reduction="none")),
    Peer("mse_loss(x, t, reduction=sum)", TWO, "[]", lambda x, t: functional.mse_loss(x, t, reduction="sum")),
    Peer("mse_loss(x, t, reduction=mean)", TWO, "[]", functional.mse_loss, "A >= 1, B >= 1"),
    Peer("l1_loss(x, t)", TWO, AB, lambda x, t: functional.l1_loss(x, t, reduction="none"), smooth=False),
    Peer(
        "l1_loss(x, t, reduction=sum)", TWO, "[]", lambda x, t: functional.l1_loss(x, t, reduction="sum"), smooth=False
    ),
    Peer("huber_loss(x, t)", TWO, AB, lambda x, t: functional.huber_loss(x, t, reduction="none"), smooth=False),
    Peer(
        "huber_loss(x, t, delta=1/3, reduction=mean)",
        TWO,
        "[]",
        lambda x, t: functional.huber_loss(x, t, delta=1 / 3),
        "A >= 1, B >= 1",
        smooth=False,
    ),
    Peer(
        "smooth_l1_loss(x, t, beta=2)",
        TWO,
        AB,
        lambda x, t: functional.smooth_l1_loss(x, t, beta=2, reduction="none"),
        smooth=False,
    ),
    Peer("log_cosh_loss(x, t)", TWO, AB, lambda x, t: torch.log(torch.cosh(x - t))),
    Peer("kl_div(x, p)", "x: [A, B], p: [A, B] > 0", AB, lambda x, p: functional.kl_div(x, p, reduction="none")),
    Peer("kl_div_log_target(x, t)", TWO, AB, lambda x, t: functional.kl_div(x, t, reduction="none", log_target=True)),
    Peer("poisson_nll_loss(x, t)", TWO, AB, lambda x, t: functional.poisson_nll_loss(x, t, reduction="none")),
    Peer(
        "poisson_nll_rate_loss(p, t)",
        "p: [A, B] > 0, t: [A, B]",
        AB,
        lambda p, t: functional.poisson_nll_loss(p, t, log_input=False, reduction="none"),
    ),
    Peer(
        "gaussian_nll_loss(x, t, v)",
        "x: [A], t: [A], v: [A] > 0",
        "[A]",
        lambda x, t, v: functional.gaussian_nll_loss(x, t, v, reduction="none"),
    ),
    Peer(
        "gaussian_nll_loss_clamped(x, t, v, eps=1/2)",
        "x: [A], t: [A], v: [A]",
        "[A]",
        lambda x, t, v: (torch.log(v.clamp_min(0.5)) + (x - t) ** 2 / v.clamp_min(0.5)) / 2,
        smooth=False,
    ),
    Peer("cross_entropy(z, i)", LABELS, "[A]", lambda z, i: functional.cross_entropy(z, i, reduction="none"), "N >= 1"),
    Peer("cross_entropy(z, i, reduction=mean)", LABELS, "[]", functional.cross_entropy, "N >= 1, A >= 1"),
    Peer("cross_entropy(z, p)", "z: [A, N], p: [A, N]", "[A]", soft, "N >= 1"),
    Peer(
        "cross_entropy(z, i, w)",
        f"{LABELS}, w: [N] > 0",
        "[A]",
        lambda z, i, w: w[i] * functional.cross_entropy(z, i, reduction="none"),
        "N >= 1",
    ),
    Peer(
        "cross_entropy(z, i, label_smoothing=1/10)",
        LABELS,
        "[A]",
        lambda z, i: functional.cross_entropy(z, i, label_smoothing=0.1, reduction="none"),
        "N >= 1",
    ),
    Peer("cross_entropy(z, i, ignore_index=1)", LABELS, "[A]", lambda z, i: kept(z, i, "none"), "N >= 1"),
    Peer(
        "cross_entropy_mean(z, i, ignore_index=1)",
        "z: [A, 3], i: i64[A] < N",
        "[]",
        lambda z, i: kept(z, i, "sum") / max(1, int((i != 1).sum())),
        "N = 3",
    ),
    Peer(
        "cross_entropy_mean(z, i, w)",
        f"{LABELS}, const w: [N] > 0",
        "[]",
        lambda z, i, w: functional.cross_entropy(z, i, weight=w),
        "N >= 1, A >= 1",
    ),
    Peer("nll_loss(z, i)", LABELS, "[A]", lambda z, i: functional.nll_loss(z, i, reduction="none")),
    Peer("nll_loss(z, i, w)", f"{LABELS}, w: [N]", "[A]", lambda z, i, w: -w[i] * z[torch.arange(len(i)), i]),
    Peer(
        "nll_loss(z, i, ignore_index=1)",
        LABELS,
        "[A]",
        lambda z, i: functional.nll_loss(z, i, ignore_index=1, reduction="none"),
    ),
    Peer("bce(p, t)", "p: [A, B] in 0..1, t: [A, B]", AB, lambda p, t: -t * torch.log(p) - (1 - t) * torch.log(1 - p)),
    Peer(
        "bce_with_logits(x, t)",
        TWO,
        AB,
        lambda x, t: functional.binary_cross_entropy_with_logits(x, t, reduction="none"),
    ),
    Peer(
        "bce_with_logits(x, t, w)",
        f"{TWO}, w: [A, B] > 0",
        AB,
        lambda x, t, w: -w * t * functional.logsigmoid(x) - (1 - t) * functional.logsigmoid(-x),
    ),
    Peer("focal_loss(x, t)", TWO, AB, focal),
    Peer("hinge_loss(x, t)", "x: [A], const t: [A]", "[A]", lambda x, t: (1 - t * x).clamp_min(0), smooth=False),
    Peer(
        "squared_hinge_loss(x, t)",
        "x: [A], const t: [A]",
        "[A]",
        lambda x, t: (1 - t * x).clamp_min(0) ** 2,
        smooth=False,
    ),
    Peer(
        "hinge_embedding_loss(x, t)",
        "x: [A], const t: [A]",
        "[A]",
        lambda x, t: torch.where(t > 0, x, (1 - x).clamp_min(0)),
        smooth=False,
    ),
    Peer(
        "margin_ranking_loss(x, y, t, margin=1/2)",
        "x: [A], y: [A], const t: [A]",
        "[A]",
        lambda x, y, t: functional.margin_ranking_loss(x, y, t, margin=0.5, reduction="none"),
        smooth=False,
    ),
    Peer("triplet_loss_squared(x, y, z)", ROWS3, "[A]", lambda x, y, z: triplet(x, y, z, squared), smooth=False),
    Peer(
        "triplet_margin_loss(x, y, z, margin=1/4, eps=1/100)",
        ROWS3,
        "[A]",
        lambda x, y, z: triplet(x, y, z, lambda d: (squared(d) + 0.01).sqrt(), 0.25),
        smooth=False,
    ),
    Peer(
        "cosine_embedding_loss(x, y, t, margin=1/4, eps=1/1000000000000)",
        "x: [A, N], y: [A, N], const t: [A]",
        "[A]",
        lambda x, y, t: functional.cosine_embedding_loss(x, y, torch.sign(t), margin=0.25, reduction="none"),
        "N >= 2",
        smooth=False,
    ),
    Peer(
        "multilabel_soft_margin_loss(x, t)",
        TWO,
        "[A]",
        lambda x, t: functional.multilabel_soft_margin_loss(x, t, reduction="none"),
        "B >= 1",
    ),
    Peer("soft_margin_loss(x, t)", TWO, AB, lambda x, t: functional.softplus(-t * x)),
]
