"""The layers that come with gradproof: proved for all sizes, and the same as torch.nn's, values and gradients."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradproof as gp
import numpy as np
import pytest
import torch
from gradproof.compiler.elaborate import load_path, load_text
from gradproof.compiler.graph import Graph
from gradproof.compiler.loops import bodies, loops_of
from gradproof.grammar import parse as parser
from gradproof.grammar.source import Diagnostic
from gradproof.verifier.graphs import verdicts_of_graph
from gradproof.verifier.loops import verdicts_of_loop
from gradproof.verifier.operators import verdicts_of_op
from gradproof.verifier.options import Options

torch.set_num_threads(1)
FILES = sorted((Path(parser.__file__).parent / "std").glob("*.gproof"))
GRAPHS = [(path, name) for path in FILES for name in load_path(path).graphs]
Tensor = torch.Tensor


@pytest.mark.parametrize(("path", "name"), GRAPHS, ids=[name for _, name in GRAPHS])
def test_every_layer_is_proved_for_all_sizes(path: Path, name: str) -> None:
    graph: Graph = load_path(path).graphs[name]
    options = Options(timeout=20.0)
    found = [v for one in (graph, *bodies(graph)) for v in verdicts_of_graph(one, options)]
    found += [v for loop in loops_of(graph) for v in verdicts_of_loop(loop, options)]
    found += [v for op in graph.ops.values() for v in verdicts_of_op(op, options)]
    assert found
    assert not [f"{v.claim.code}: {v.reason}" for v in found if v.answer != "proved"]


@dataclass(frozen=True)
class Layer:
    """A call of a layer, its inputs in order as `name: shape`, and torch's function of the same tensors."""

    call: str
    inputs: str
    results: str
    peer: Callable[..., Any]
    before: str = ""
    sizes: str = "B=2, T=3, D=4, E=6, F=5, H=2, K=3, S=4, M=5, G=2, R=2"

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of every input."""
        known = {key: int(value) for key, value in (pair.split("=") for pair in self.sizes.split(", "))}
        found = {}
        for part in self.inputs.split("; "):
            name, axes = part.split(": ")
            found[name] = tuple(eval(axis, {}, known) for axis in axes.split())  # our own text
        return found

    @property
    def program(self) -> str:
        """A graph that calls the layer, over its own dims."""
        inputs = []
        for part in self.inputs.split("; "):
            name, axes = part.split(": ")
            kind = "bool" if name == "mask" else "f64"
            inputs.append(f"{name}: {kind}[{', '.join(axes.split())}]")
        results = ", ".join(f"f64[{', '.join(one.split())}]" for one in self.results.split("; "))
        dims = ", ".join(f"{name} >= 1" for name in "BTDEFHKSMGR")
        head = f'use "std/layers.gproof"\ndim {dims}\ngraph f({", ".join(inputs)}) -> '
        return (
            head
            + (f"({results})" if ";" in self.results else results)
            + f" {{\n{self.before}  return {self.call}\n}}\n"
        )


def module(made: torch.nn.Module, **weights: Tensor) -> Callable[..., Any]:
    """A module with these weights in place of its own."""

    def run(*args: Any, **kwargs: Any) -> Any:
        return torch.func.functional_call(made.double(), weights, args, kwargs)

    return run


def stacked(*parts: Tensor) -> Tensor:
    """The weights of heads as torch has them, one below the other."""
    return torch.cat([part.reshape(part.shape[0] * part.shape[1], *part.shape[2:]) for part in parts])


def attention(x: Tensor, mask: Tensor | None, weights: tuple[Tensor, ...], memory: Tensor | None = None) -> Tensor:
    wq, bq, wk, bk, wv, bv, wo, bo = weights
    count, size = wq.shape[0], wq.shape[0] * wq.shape[1]
    other = x if memory is None else memory
    made = torch.nn.MultiheadAttention(
        size, count, kdim=other.shape[-1], vdim=other.shape[-1], batch_first=True, dtype=x.dtype
    )
    given = {"in_proj_bias": stacked(bq, bk, bv), "out_proj.weight": wo.flatten(1), "out_proj.bias": bo}
    if memory is None:
        given["in_proj_weight"] = stacked(wq, wk, wv)
    else:
        given |= {f"{name}_proj_weight": stacked(w) for name, w in (("q", wq), ("k", wk), ("v", wv))}
    hidden = None if mask is None else ~mask
    return module(made, **given)(x, other, other, need_weights=False, attn_mask=hidden)[0]


def block(x: Tensor, weights: tuple[Tensor, ...], first: bool, mask: Tensor | None = None) -> Tensor:
    wq, bq, wk, bk, wv, bv, wo, bo, g1, c1, g2, c2, w1, b1, w2, b2 = weights
    made = torch.nn.TransformerEncoderLayer(
        x.shape[-1], wq.shape[0], w1.shape[0], dropout=0.0, activation="gelu", batch_first=True, norm_first=first
    )
    given = {
        "self_attn.in_proj_weight": stacked(wq, wk, wv),
        "self_attn.in_proj_bias": stacked(bq, bk, bv),
        "self_attn.out_proj.weight": wo.flatten(1),
        "self_attn.out_proj.bias": bo,
        "norm1.weight": g1,
        "norm1.bias": c1,
        "norm2.weight": g2,
        "norm2.bias": c2,
        "linear1.weight": w1,
        "linear1.bias": b1,
        "linear2.weight": w2,
        "linear2.bias": b2,
    }
    return module(made, **given)(x, src_mask=None if mask is None else ~mask)


def causal(x: Tensor) -> Tensor:
    return torch.ones(x.shape[1], x.shape[1], dtype=torch.bool).tril()


def grouped(x: Tensor, wq: Tensor, wk: Tensor, wv: Tensor, wo: Tensor) -> Tensor:
    q = torch.einsum("bte,grke->bgrtk", x, wq)
    k, v = (torch.einsum("bte,gke->bgtk", x, w)[:, :, None] for w in (wk, wv))
    seen = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
    return torch.einsum("bgrtk,egrk->bte", seen, wo)


def mlp(between: Any) -> Callable[..., Tensor]:
    linear = torch.nn.functional.linear
    return lambda x, w1, b1, w2, b2: linear(between(linear(x, w1, b1)), w2, b2)


def recurrent(kind: Any, xs: Tensor, state: Any, w: Tensor, u: Tensor, b: Tensor, c: Tensor) -> Any:
    made = kind(xs.shape[-1], u.shape[1])
    return module(made, weight_ih_l0=w, weight_hh_l0=u, bias_ih_l0=b, bias_hh_l0=c)(xs, state)


def cell(kind: Any, x: Tensor, state: Any, w: Tensor, u: Tensor, b: Tensor, c: Tensor) -> Any:
    made = kind(x.shape[-1], u.shape[1])
    return module(made, weight_ih=w, weight_hh=u, bias_ih=b, bias_hh=c)(x, state)


def sequence(kind: Any) -> Callable[..., Any]:
    def run(h: Tensor, xs: Tensor, *weights: Tensor) -> Any:
        out, last = recurrent(kind, xs, h[None], *weights)
        return out, last[0]

    return run


def long_memory(h: Tensor, c: Tensor, xs: Tensor, *weights: Tensor) -> Any:
    out, (last, kept) = recurrent(torch.nn.LSTM, xs, (h[None], c[None]), *weights)
    return out, last[0], kept[0]


def backward(h: Tensor, c: Tensor, xs: Tensor, *weights: Tensor) -> Any:
    out, last, kept = long_memory(h, c, xs.flip(0), *weights)
    return out.flip(0), last, kept


QKV = "wq: H K E; bq: H K; wk: H K E; bk: H K; wv: H K E; bv: H K; wo: E H K; bo: E"
NAMES = "wq, bq, wk, bk, wv, bv, wo, bo"
REST = "g1: E; c1: E; g2: E; c2: E; w1: F E; b1: F; w2: E F; b2: E"
MORE = f"{NAMES}, g1, c1, g2, c2, w1, b1, w2, b2"
DENSE = "w1: F D; b1: F; w2: E F; b2: E"
GATES = "w: {0}*H D; u: {0}*H H; b: {0}*H; c: {0}*H"
LAYERS = [
    Layer("mlp(x, w1, b1, w2, b2)", f"x: B D; {DENSE}", "B E", mlp(torch.nn.functional.gelu)),
    Layer("mlp_relu(x, w1, b1, w2, b2)", f"x: B D; {DENSE}", "B E", mlp(torch.relu)),
    Layer("feed_forward(x, w1, b1, w2, b2)", f"x: B T D; {DENSE}", "B T E", mlp(torch.nn.functional.gelu)),
    Layer("feed_forward_relu(x, w1, b1, w2, b2)", f"x: B T D; {DENSE}", "B T E", mlp(torch.relu)),
    Layer(
        "gated_feed_forward(x, w1, w2, w3)",
        "x: B T D; w1: F D; w2: E F; w3: F D",
        "B T E",
        lambda x, w1, w2, w3: (torch.nn.functional.silu(x @ w1.T) * (x @ w3.T)) @ w2.T,
    ),
    Layer(f"self_attention(x, {NAMES})", f"x: B T E; {QKV}", "B T E", lambda x, *w: attention(x, None, w)),
    Layer(
        f"masked_self_attention(x, mask, {NAMES})",
        f"x: B T E; mask: T T; {QKV}",
        "B T E",
        lambda x, mask, *w: attention(x, mask, w),
    ),
    Layer(f"causal_self_attention(x, {NAMES})", f"x: B T E; {QKV}", "B T E", lambda x, *w: attention(x, causal(x), w)),
    Layer(
        f"cross_attention(x, z, {NAMES})",
        f"x: B T E; z: B S M; {QKV.replace('wk: H K E', 'wk: H K M').replace('wv: H K E', 'wv: H K M')}",
        "B T E",
        lambda x, z, *w: attention(x, None, w, z),
    ),
    Layer(
        "grouped_query_attention(x, wq, wk, wv, wo)",
        "x: B T E; wq: G R K E; wk: G K E; wv: G K E; wo: E G R K",
        "B T E",
        grouped,
    ),
    Layer(f"encoder_block(x, {MORE})", f"x: B T E; {QKV}; {REST}", "B T E", lambda x, *w: block(x, w, True)),
    Layer(f"encoder_block_norm_last(x, {MORE})", f"x: B T E; {QKV}; {REST}", "B T E", lambda x, *w: block(x, w, False)),
    Layer(
        f"masked_block(x, mask, {MORE})",
        f"x: B T E; mask: T T; {QKV}; {REST}",
        "B T E",
        lambda x, mask, *w: block(x, w, True, mask),
    ),
    Layer(f"causal_block(x, {MORE})", f"x: B T E; {QKV}; {REST}", "B T E", lambda x, *w: block(x, w, True, causal(x))),
    Layer(
        "rnn_cell(h, x, w, u, b, c)",
        f"h: B H; x: B D; {GATES.format(1)}",
        "B H",
        lambda h, x, *w: cell(torch.nn.RNNCell, x, h, *w),
    ),
    Layer(
        "gru_cell(h, x, w, u, b, c)",
        f"h: B H; x: B D; {GATES.format(3)}",
        "B H",
        lambda h, x, *w: cell(torch.nn.GRUCell, x, h, *w),
    ),
    Layer(
        "lstm_cell(h, k, x, w, u, b, c)",
        f"h: B H; k: B H; x: B D; {GATES.format(4)}",
        "B H; B H",
        lambda h, k, x, *w: cell(torch.nn.LSTMCell, x, (h, k), *w),
    ),
    Layer("rnn(h, x, w, u, b, c)", f"h: B H; x: T B D; {GATES.format(1)}", "T B H; B H", sequence(torch.nn.RNN)),
    Layer("gru(h, x, w, u, b, c)", f"h: B H; x: T B D; {GATES.format(3)}", "T B H; B H", sequence(torch.nn.GRU)),
    Layer(
        "hs, last, kept",
        f"h: B H; k: B H; x: T B D; {GATES.format(4)}",
        "T B H; B H; B H",
        long_memory,
        "  hs, ks, last, kept = lstm(h, k, x, w, u, b, c)\n",
    ),
    Layer(
        "hs, last, kept",
        f"h: B H; k: B H; x: T B D; {GATES.format(4)}",
        "T B H; B H; B H",
        backward,
        "  hs, ks, last, kept = lstm_backward(h, k, x, w, u, b, c)\n",
    ),
]


@pytest.mark.parametrize("layer", LAYERS, ids=[f"{layer.before.strip()} {layer.call}"[:30] for layer in LAYERS])
def test_a_layer_is_torchs(layer: Layer) -> None:
    ours = gp.compile(layer.program)["f"]
    numbers = np.random.default_rng(5)
    given = {name: numbers.standard_normal(shape) for name, shape in layer.shapes.items()}
    if "mask" in given:
        given["mask"] = np.eye(len(given["mask"]), dtype=bool) | (numbers.random(given["mask"].shape) < 0.5)
    theirs = {name: torch.from_numpy(np.array(value)) for name, value in given.items()}
    reals = [value.requires_grad_() for value in theirs.values() if value.is_floating_point()]
    values = layer.peer(*theirs.values())
    values = values if isinstance(values, tuple) else (values,)
    found = ours.forward(given)
    for mine, value in zip(found if isinstance(found, tuple) else (found,), values, strict=True):
        np.testing.assert_allclose(mine, value.detach().numpy(), rtol=1e-10, atol=1e-10)
    seeds = [numbers.standard_normal(tuple(value.shape)) for value in values]
    total = sum((value * torch.from_numpy(seed)).sum() for value, seed in zip(values, seeds, strict=True))
    gradients = torch.autograd.grad(total, reals)
    mine = ours.vjp(given, seeds[0] if len(seeds) == 1 else tuple(seeds))[1]
    names = [name for name in given if name != "mask"]
    for name, gradient in zip(names, gradients, strict=True):
        np.testing.assert_allclose(mine[name], gradient.numpy(), rtol=1e-10, atol=1e-10, err_msg=name)


def test_every_layer_is_compared_or_stands_in_one_that_is() -> None:
    text = " ".join(f"{layer.before} {layer.call}" for layer in LAYERS)
    known = {name for _, name in GRAPHS if name not in ("heads", "rows") and not name.endswith("_lstm_cell")}
    compared = {"ctc_loss", "ctc_step"}
    assert {name for name in known if f"{name}(" not in text} == compared


USING = """use "std/layers.gproof"
dim N >= 1
graph f(x: f32[N, 3], w1: f32[4, 3], b1: f32[4], w2: f32[2, 4], b2: f32[2]) -> f32[N, 2] {
  return mlp(x, w1, b1, w2, b2)
}
"""


def test_a_layer_takes_the_element_type_of_its_arguments() -> None:
    graph = load_text(USING).graphs["f"]
    assert {node.type.dtype for node in graph.nodes} == {"f32"}
    with pytest.raises(Diagnostic, match=r"`b1` of `mlp` is f32\[F\] and is given f64\[4\]"):
        load_text(USING.replace("b1: f32", "b1: f64"))


def test_without_a_call_they_are_of_double_precision() -> None:
    graph = load_text("dim N\ngraph f(x: real[N], i: int[]) -> real[N] {\n  return x * cast(i)\n}").graphs["f"]
    assert [str(node.type) for node in graph.nodes[:1]] == ["f64[N]"]


def test_the_library_is_found_from_everywhere_and_under_one_name(tmp_path: Path) -> None:
    folder = tmp_path / "std"
    folder.mkdir()
    (folder / "layers.gproof").write_text("graph mlp(x: f64[]) -> f64[] {\n  return x\n}\n")
    path = tmp_path / "model.gproof"
    path.write_text(USING)
    module = load_path(path)
    assert [source.path for source in module.sources] == [str(path), "std/layers.gproof"]
    assert [node.op for node in module.graphs["f"].inner] == ["linear", "gelu", "linear"]


@pytest.mark.parametrize("path", ["std/nothing.gproof", "std/../layers.gproof", "std/", "std/sub/layers.gproof"])
def test_what_the_library_lacks_is_refused(path: str) -> None:
    with pytest.raises(Diagnostic, match="gradproof comes with no") as error:
        load_text(USING.replace("std/layers.gproof", path))
    assert "std/layers.gproof" in error.value.advice


def test_certificates_name_the_library_as_the_text_does(tmp_path: Path) -> None:
    from gradproof.certificates import canonical

    path = tmp_path / "model.gproof"
    path.write_text(USING)
    before = os.getcwd()
    try:
        os.chdir(tmp_path)
        texts, _ = canonical(load_path("model.gproof"))
    finally:
        os.chdir(before)
    assert [name for name, _ in texts.uses] == ["std/layers.gproof"]


CTC = """use "std/losses.gproof"
dim T, B, C >= 1, L
graph f(x: f64[T, B, C], t: i64[B, L], n: i64[B], m: i64[B]) -> f64[B] {
  assume 0 <= t < C
  return ctc_loss(log_softmax(x, axis=2), t, n, m)
}
"""


@pytest.mark.parametrize("sizes", [(7, 4, 3, 3), (12, 5, 2, 4), (3, 1, 4, 1), (2, 2, 3, 0)])
def test_ctc_is_torchs(sizes: tuple[int, ...]) -> None:
    steps, batch, classes, longest = sizes
    program = gp.compile(CTC)["f"]
    numbers = np.random.default_rng(11)
    x = 2 * numbers.standard_normal((steps, batch, classes))
    t = numbers.integers(1, classes, (batch, longest))
    m = np.minimum(numbers.integers(0, longest + 1, batch), longest)
    n = np.minimum(2 * m + numbers.integers(0, 3, batch), steps)  # room for a blank between any two labels
    given = {"x": x, "t": t, "n": n, "m": m}
    theirs = torch.from_numpy(x).requires_grad_()
    lengths = (torch.from_numpy(n), torch.from_numpy(m))
    targets = torch.from_numpy(t if longest else np.ones((batch, 1), dtype=int))
    loss = torch.nn.functional.ctc_loss(theirs.log_softmax(2), targets, *lengths, reduction="none")
    assert torch.isfinite(loss).all()
    np.testing.assert_allclose(program.forward(given), loss.detach().numpy(), rtol=1e-10, atol=1e-10)
    seed = numbers.standard_normal(batch)
    (wanted,) = torch.autograd.grad(loss, theirs, torch.from_numpy(seed))
    np.testing.assert_allclose(program.vjp(given, seed)[1]["x"], wanted.numpy(), rtol=1e-10, atol=1e-10)


def test_an_impossible_alignment_weighs_next_to_nothing() -> None:
    given = {"x": np.zeros((2, 1, 3)), "t": np.array([[1, 1]]), "n": np.array([2]), "m": np.array([2])}
    program = gp.compile(CTC)["f"]
    assert program.forward(given)[0] > 1e29  # two steps have no room for the blank between two equal labels
    assert np.isfinite(program.vjp(given, np.ones(1))[1]["x"]).all()
