"""Linear algebra by laws: inverses, solutions, determinants."""

from __future__ import annotations

import torch

from peers.row import Peer

L = torch.linalg


def eye(a: torch.Tensor) -> torch.Tensor:
    """The identity of a matrix's size."""
    return torch.eye(a.shape[-1], dtype=a.dtype)


ROWS = [
    Peer("inverse(x)", "x: [A, A]", "[A, A]", torch.inverse),
    Peer("inverse(x)", "x: [E, A, A]", "[E, A, A]", torch.inverse),
    Peer("solve(x, b)", "x: [E, A, A], b: [E, A, B]", "[E, A, B]", L.solve),
    Peer("det(x)", "x: [E, A, A]", "[E]", L.det),
    Peer("logabsdet(x)", "x: [E, A, A]", "[E]", lambda x: L.slogdet(x).logabsdet),
]
