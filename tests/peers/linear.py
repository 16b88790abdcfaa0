"""Products of matrices and vectors, and einsum."""

from __future__ import annotations

import torch

from peers.row import Peer

F = torch.nn.functional

EINSUMS = [
    ("bij,bjk->bik", "x: [A, B, C], y: [A, C, D]", "[A, B, D]"),
    ("ij,jk", "x: [A, B], y: [B, C]", "[A, C]"),
    ("ba", "x: [A, B]", "[B, A]"),
    ("ii", "x: [A, A]", "[]"),
    ("ii->i", "x: [A, A]", "[A]"),
    ("ij->", "x: [A, B]", "[]"),
    ("i,j->ji", "x: [A], y: [B]", "[B, A]"),
    ("...i,i->...", "x: [A, B, C], y: [C]", "[A, B]"),
    ("...ij,...jk->...ik", "x: [E, A, B], y: [E, B, C]", "[E, A, C]"),
    ("i,ij,j->", "x: [A], w: [A, B], y: [B]", "[]"),
    ("iji->j", "x: [A, B, A]", "[B]"),
    ("yg,gd->yd", "x: [A, B], y: [B, C]", "[A, C]"),
]


def _einsum(equation: str) -> object:
    return lambda *tensors: torch.einsum(equation, *tensors)


def _call(equation: str, inputs: str) -> str:
    return f'einsum("{equation}", {", ".join(part.split(":")[0] for part in inputs.split("], "))})'


ROWS = [
    *(Peer(_call(text, inputs), inputs, result, _einsum(text)) for text, inputs, result in EINSUMS),  # type: ignore[arg-type]
    Peer("x @ y", "x: [E, A, B], y: [B]", "[E, A]", lambda x, y: x @ y),
    Peer("x @ y", "x: [A], y: [E, A, B]", "[E, B]", lambda x, y: x @ y),
    Peer("x @ y", "x: [1, A, B], y: [E, B, C]", "[E, A, C]", lambda x, y: x @ y),
    Peer("mm(x, y)", "x: [A, B], y: [B, C]", "[A, C]", torch.mm),
    Peer("mv(x, y)", "x: [A, B], y: [B]", "[A]", torch.mv),
    Peer("bmm(x, y)", "x: [E, A, B], y: [E, B, C]", "[E, A, C]", torch.bmm),
    Peer("vdot(x, y)", "x: [A, B], y: [A, B]", "[]", lambda x, y: (x * y).sum()),
    Peer("inner(x, y)", "x: [A, E, B], y: [C, B]", "[A, E, C]", torch.inner),
    Peer("vecdot(x, y)", "x: [A, B], y: [A, B]", "[A]", torch.linalg.vecdot),
    Peer("tensordot(x, y, axes=2)", "x: [A, B, C], y: [B, C, E]", "[A, E]", lambda x, y: torch.tensordot(x, y, 2)),
    Peer("tensordot(x, y, axes=0)", "x: [A], y: [B]", "[A, B]", lambda x, y: torch.tensordot(x, y, 0)),
    Peer("linear(x, w)", "x: [E, A], w: [C, A]", "[E, C]", F.linear),
    Peer(
        "bilinear(x, y, w, b)",
        "x: [E, A], y: [E, B], w: [C, A, B], b: [C]",
        "[E, C]",
        F.bilinear,
        "A >= 1, B >= 1, C >= 1, E >= 1",
    ),
    Peer(
        "bilinear(x, y, w)",
        "x: [E, A], y: [E, B], w: [C, A, B]",
        "[E, C]",
        F.bilinear,
        "A >= 1, B >= 1, C >= 1, E >= 1",
    ),
    Peer("addmm(x, a, b)", "x: [A, C], a: [A, B], b: [B, C]", "[A, C]", torch.addmm),
    Peer(
        "addmm(x, a, b, beta=1/2, alpha=3)",
        "x: [A, C], a: [A, B], b: [B, C]",
        "[A, C]",
        lambda x, a, b: torch.addmm(x, a, b, beta=0.5, alpha=3),
    ),
    Peer("addmv(x, a, v)", "x: [A], a: [A, B], v: [B]", "[A]", torch.addmv),
    Peer("addr(x, u, v)", "x: [A, B], u: [A], v: [B]", "[A, B]", torch.addr),
    Peer("baddbmm(x, a, b)", "x: [E, A, C], a: [E, A, B], b: [E, B, C]", "[E, A, C]", torch.baddbmm),
    Peer("addbmm(x, a, b)", "x: [A, C], a: [E, A, B], b: [E, B, C]", "[A, C]", torch.addbmm),
    Peer("cross(x, y)", "x: [A, 3], y: [A, 3]", "[A, 3]", lambda x, y: torch.linalg.cross(x, y)),
    Peer("trace(x)", "x: [A, A]", "[]", torch.trace),
    Peer("trace(x, offset=1)", "x: [A, B]", "[]", lambda x: x.diagonal(1).sum()),
    Peer("trace(x, offset=-2)", "x: [E, A, B]", "[E]", lambda x: x.diagonal(-2, 1, 2).sum(-1)),
    Peer("trace(x)", "x: [E, A, A]", "[E]", lambda x: torch.einsum("eii->e", x)),
]
