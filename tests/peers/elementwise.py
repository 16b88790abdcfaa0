"""The elementwise library: exponentials, circular functions, special functions, activations, safe forms."""

from __future__ import annotations

import torch

from peers.row import Peer

F, S = torch.nn.functional, torch.special
X, AB, P = "x: [A, B]", "[A, B]", "x: [A, B] > 0"
XY, U = "x: [A, B], y: [A, B]", "x: [A, B] in -0.9..0.9"


def one(expression: str, peer: object, inputs: str = X, dims: str = "", smooth: bool = True) -> Peer:
    """A row whose result has the shape of its first input."""
    return Peer(expression, inputs, AB, peer, dims, smooth)  # type: ignore[arg-type]


ROWS = [
    # Exponentials, logarithms, roots, powers.
    one("exp2(x)", torch.exp2),
    one("expm1(x)", torch.expm1),
    one("log2(x)", torch.log2, P),
    one("log10(x)", torch.log10, P),
    one("log1p(x)", torch.log1p, U),
    one("logaddexp(x, y)", torch.logaddexp, XY),
    one("logaddexp2(x, y)", torch.logaddexp2, XY),
    one("xlogy(x, p)", torch.xlogy, "x: [A, B], p: [A, B] > 0"),
    one("xlog1py(x, p)", S.xlog1py, "x: [A, B], p: [A, B] > 0"),
    one("entr(x)", S.entr, P),
    one("cbrt(x)", lambda x: x ** (1 / 3), P),
    one("hypot(x, y)", torch.hypot, "x: [A, B] > 0, y: [A, B]"),
    one("pow(x, k=3)", lambda x: x**3),
    one("pow(x, 5)", lambda x: x**5),
    one("pow(x, 3/2)", lambda x: x**1.5, P),
    one("pow(x, exponent=1/2 + 1)", lambda x: x**1.5, P),
    one("pow(x, k=0)", lambda x: x**0),
    one("pow(x, k=1)", lambda x: x**1),
    one("pow(x, k=-2)", lambda x: x**-2, P),
    one("pow(x, exponent=5/2)", lambda x: x**2.5, P),
    one("pow(x, exponent=1)", lambda x: x**1.0, P),
    one("pow(x, y)", torch.pow, "x: [A, B] > 0, y: [A, B]"),
    Peer("ldexp(x, k)", "x: [A, B], k: i64[A, B]", AB, lambda x, k: x * 2.0**k),
    # Arithmetic.
    one("reciprocal(x)", torch.reciprocal, P),
    one("lerp(x, y, w)", torch.lerp, f"{XY}, w: [A, B]"),
    one("lerp(x, y, weight=1/3)", lambda x, y: torch.lerp(x, y, 1 / 3), XY),
    one("fmax(x, y)", torch.fmax, XY, smooth=False),
    one("fmin(x, y)", torch.fmin, XY, smooth=False),
    one("clamp(x, lo=-1/2)", lambda x: x.clamp(min=-0.5)),
    one("clamp(x, hi=1/2)", lambda x: x.clamp(max=0.5)),
    one("clamp(x, -1/2, 1/2)", lambda x: x.clamp(-0.5, 0.5)),
    one("clamp(x, l, h)", torch.clamp, "x: [A, B], l: [A, B] in -2..-0.25, h: [A, B] in 0.25..2"),
    # Circular and hyperbolic functions.
    one("tan(x)", torch.tan, U),
    one("asin(x)", torch.asin, U),
    one("acos(x)", torch.acos, U),
    one("atan(x)", torch.atan),
    one("atan2(y, p)", torch.atan2, "y: [A, B], p: [A, B] > 0"),
    one("atan2(p, y)", torch.atan2, "p: [A, B] > 0, y: [A, B]"),
    one("deg2rad(x)", torch.deg2rad),
    one("rad2deg(x)", torch.rad2deg),
    one("sinh(x)", torch.sinh),
    one("cosh(x)", torch.cosh),
    one("asinh(x)", torch.asinh),
    one("acosh(1 + x)", lambda x: torch.acosh(1 + x), P),
    one("atanh(x)", torch.atanh, U),
    # Special functions.
    one("erf(x)", torch.erf),
    one("erfc(x)", torch.erfc),
    one("erfinv(x)", torch.erfinv, U),
    one("ndtr(x)", S.ndtr),
    one("ndtri(x)", S.ndtri, "x: [A, B] in 0.125..0.875"),
    one("lgamma(x)", torch.lgamma, P),
    one("digamma(x)", torch.digamma, P),
    one("polygamma(x, n=1)", lambda x: torch.polygamma(1, x), P),
    one("polygamma(x, n=2)", lambda x: torch.polygamma(2, x), P),
    one(
        "betaln(x, y)",
        lambda x, y: torch.lgamma(x) + torch.lgamma(y) - torch.lgamma(x + y),
        "x: [A, B] > 0, y: [A, B] > 0",
    ),
    one("sinc(x)", torch.sinc),
    one("spherical_jn(x, n=0)", lambda x: torch.sinc(x / torch.pi)),
    # Signs, steps and remainders: nothing is drawn where they jump.
    one("sign(x)", torch.sign),
    one("floor(x)", torch.floor),
    one("ceil(x)", torch.ceil),
    one("trunc(x)", torch.trunc),
    one("round(x)", torch.round),
    one("frac(x)", torch.frac),
    one("floor_divide(x, p)", lambda x, p: torch.floor(x / p), "x: [A, B], p: [A, B] > 0"),
    one("remainder(x, p)", torch.remainder, "x: [A, B], p: [A, B] > 0"),
    one("fmod(x, p)", torch.fmod, "x: [A, B], p: [A, B] > 0"),
    one("heaviside(x, y)", lambda x, y: torch.where(x < 0, 0.0, torch.where(x == 0, y, 1.0)), XY),
    one("copysign(x, y)", torch.copysign, XY),
    one("hardshrink(x)", F.hardshrink),
    one("threshold(x, level=1/2, value=3)", lambda x: F.threshold(x, 0.5, 3.0)),
    one("softplus(x, beta=2, threshold=1)", lambda x: F.softplus(x, 2, 1)),
    # Activations.
    one("expit(x)", S.expit),
    one("logit(x)", torch.logit, "x: [A, B] in 0.125..0.875"),
    one("logsigmoid(x)", F.logsigmoid),
    one("softplus(x)", F.softplus),
    one("softplus(x, beta=3)", lambda x: F.softplus(x, beta=3)),
    one("squareplus(x)", lambda x: (x + torch.sqrt(x * x + 4)) / 2),
    one("relu6(4 * x)", lambda x: F.relu6(4 * x)),
    Peer("prelu(x, w)", "x: [A, B, C], w: [B]", "[A, B, C]", F.prelu, "B >= 1"),
    one("prelu(x, w)", lambda x, w: torch.where(x > 0, x, w * x), "x: [A, B], w: [A, B]"),
    one("elu(x, alpha=3/2)", lambda x: F.elu(x, 1.5)),
    one("celu(x, alpha=3/2)", lambda x: F.celu(x, 1.5)),
    one("selu(x)", F.selu),
    one("silu(x)", F.silu),
    one("swish(x, beta=2)", lambda x: x * torch.sigmoid(2 * x)),
    one("gelu(x)", F.gelu),
    one("gelu_tanh(x)", lambda x: F.gelu(x, approximate="tanh")),
    one("mish(x)", F.mish),
    one("softsign(x)", F.softsign),
    one("tanhshrink(x)", F.tanhshrink),
    one("softshrink(x)", F.softshrink),
    one("hardtanh(x)", F.hardtanh),
    one("hardsigmoid(3 * x)", lambda x: (3 * x + 3).clamp(0, 6) / 6),  # torch has no second order of its own
    one("hardswish(3 * x)", lambda x: F.hardswish(3 * x)),
    Peer("glu(x, axis=1)", "x: [A, 2*B]", AB, lambda x: F.glu(x, 1)),
    Peer("glu(x, axis=0)", "x: [2*A, B]", AB, lambda x: F.glu(x, 0)),
    Peer("swiglu(x, axis=1)", "x: [A, 2*B]", AB, lambda x: F.silu(x.chunk(2, 1)[0]) * x[:, x.shape[1] // 2 :]),
    Peer("geglu(x, axis=1)", "x: [A, 2*B]", AB, lambda x: F.gelu(x[:, : x.shape[1] // 2]) * x[:, x.shape[1] // 2 :]),
    # Safe forms.
    one("safe_log(x)", lambda x: torch.log(x.clamp(min=1e-12))),
    one("safe_sqrt(x)", lambda x: torch.sqrt(x.clamp(min=1e-12))),
    one("safe_rsqrt(x, eps=1/2)", lambda x: torch.rsqrt(x.clamp(min=0.5))),
    one("safe_div(x, y)", lambda x, y: x * y / (y * y + 1e-12), XY),
    one("safe_inv(x)", lambda x: x / (x * x + 1e-12)),
    one("safe_hypot(x, y)", lambda x, y: torch.sqrt(x * x + y * y + 1e-12), XY),
    one("safe_logit(x)", lambda x: torch.logit(x.clamp(1e-6, 1 - 1e-6)), "x: [A, B] in 0.01..0.99"),
    one("safe_pow(x, y, eps=1/2)", lambda x, y: x.clamp(min=0.5) ** y, XY),
    one("smooth_abs(x)", lambda x: torch.sqrt(x * x + 1e-6)),
]
