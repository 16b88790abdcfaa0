"""Linear algebra by laws: inverses, solutions, determinants."""

from __future__ import annotations

import torch

from peers.row import Peer

L = torch.linalg


ROWS = [
    Peer("inverse(x)", "x: [A, A]", "[A, A]", torch.inverse),
    Peer("inverse(x)", "x: [E, A, A]", "[E, A, A]", torch.inverse),
    Peer("solve(x, b)", "x: [E, A, A], b: [E, A, B]", "[E, A, B]", L.solve),
    Peer("solve(x, b)", "x: [A, A], b: [A]", "[A]", L.solve),
    Peer("solve(x, b)", "x: [E, A, A], b: [E, A]", "[E, A]", lambda x, b: L.solve(x, b[..., None])[..., 0]),
    Peer(
        "solve_triangular(x, b)",
        "x: [E, A, A], b: [E, A, B]",
        "[E, A, B]",
        lambda x, b: L.solve_triangular(x.tril(), b, upper=False),
    ),
    Peer(
        "solve_triangular(x, b, upper=1)",
        "x: [A, A], b: [A, B]",
        "[A, B]",
        lambda x, b: L.solve_triangular(x.triu(), b, upper=True),
    ),
    Peer('cholesky(einsum("ik,jk->ij", x, x))', "x: [A, 9]", "[A, A]", lambda x: L.cholesky(x @ x.T)),
    Peer('cholesky(einsum("bik,bjk->bij", x, x))', "x: [E, A, 9]", "[E, A, A]", lambda x: L.cholesky(x @ x.mT)),
    Peer("det(x)", "x: [E, A, A]", "[E]", L.det),
    Peer("slogdet_sign(x) * x", "x: [A, A]", "[A, A]", lambda x: L.slogdet(x).sign * x),
    Peer("logabsdet(x)", "x: [E, A, A]", "[E]", lambda x: L.slogdet(x).logabsdet),
]
