"""A repository of .gproof files, made up: varied graphs and operators, a few of them wrong, and which ones.

python benchmarks/made_repository.py FOLDER [--files 500] [--wrong 20] [--seed 0]
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

AREAS = ("vision", "language", "control", "physics", "audio", "recsys", "finance", "common")
SCALAR = (
    ("tanh", "x"), ("sigmoid", "x"), ("relu", "x"), ("softplus", "x"), ("gelu", "x"), ("silu", "x"), ("square", "x"),
    ("elu", "x"), ("mish", "x"), ("softsign", "x"),
)  # fmt: skip
LOSSES = ("mse", "mae")


@dataclass(frozen=True, slots=True)
class Made:
    """One file, and what the gate must say about it: nothing, or one of these codes."""

    path: str
    text: str
    wrong: frozenset[str] = frozenset()


def make(files: int = 500, wrong: int = 20, seed: int = 0) -> list[Made]:
    """The files of a repository; the same arguments give the same files."""
    chance = random.Random(seed)
    libraries = [Made(f"{area}/lib.gproof", library(chance, area)) for area in AREAS]
    places = chance.sample(range(len(libraries), files), wrong)
    rest = []
    for number in range(len(libraries), files):
        area = chance.choice(AREAS)
        path = f"{area}/m{number:03}.gproof"
        if number in places:
            kind = BROKEN[places.index(number) % len(BROKEN)]
            text, codes = kind(chance, number)
            rest.append(Made(path, text, frozenset(codes)))
        else:
            rest.append(Made(path, chance.choice(SOUND)(chance, number, area)))
    return libraries + rest


def write(folder: Path, made: list[Made]) -> None:
    """Write the files."""
    for one in made:
        path = folder / one.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(one.text, encoding="utf-8")


def constant(chance: random.Random) -> str:
    """A small rational as text."""
    return f"{chance.randint(1, 9)}/{chance.choice((2, 3, 4, 5, 7, 8))}"


def library(chance: random.Random, area: str) -> str:
    """Operators that the files of an area use."""
    a, b = constant(chance), constant(chance)
    return f"""# What the models of {area} share.
fn {area}_gain(x) = {a} * x + {b}
fn {area}_bump(x) = {b} * x / (1 + x^2)
op {area}_center(x: [S.., n]) -> [S.., n] {{
  require n >= 1
  y[s.., i] = x[s.., i] - (sum(j) x[s.., j]) / n
}}
"""


def mlp(chance: random.Random, number: int, area: str) -> str:
    """A perceptron of a few layers with a loss."""
    depth = chance.randint(1, 4)
    acts = [chance.choice(SCALAR)[0] for _ in range(depth)]
    sizes = ["D", *(f"H{k}" for k in range(depth)), "C"]
    dims = ", ".join(f"{name} = {chance.choice((4, 8, 16, 32, 64))}" for name in sizes)
    weights = ", ".join(f"w{k}: f32[{sizes[k]}, {sizes[k + 1]}], b{k}: f32[{sizes[k + 1]}]" for k in range(depth + 1))
    lines = [f"  h{k} = {acts[k]}({'x' if k == 0 else f'h{k - 1}'} @ w{k} + b{k})" for k in range(depth)]
    return f"""# Model {number}: a perceptron.
dim B >= 1
dim {dims}

graph loss{number}(x: f32[B, D], label: i32[B], {weights}) -> f32[] {{
  assume 0 <= label < C
{chr(10).join(lines)}
  z = h{depth - 1} @ w{depth} + b{depth}
  return mean(cross_entropy(z, label))
}}
"""


def normed(chance: random.Random, number: int, area: str) -> str:
    """A residual block with normalised rows."""
    act = chance.choice(SCALAR)[0]
    c = constant(chance)
    return f"""dim B, T >= 1, D >= 1, F

graph block{number}(x: f64[B, T, D], g: f64[D], c: f64[D], w: f64[D, F], v: f64[F, D]) -> f64[B, T, D] {{
  h = layer_norm(x, g, c)
  return x + {c} * ({act}(h @ w) @ v)
}}
"""


def attending(chance: random.Random, number: int, area: str) -> str:
    """Attention in its parts."""
    scale = constant(chance)
    return f"""dim B, N >= 1, M >= 1, K

graph attend{number}(q: f64[B, N, K], k: f64[B, M, K], v: f64[B, M, K]) -> f64[B, N, K] {{
  s = {scale} * (q @ swap(k, axis=1))
  return softmax(s) @ v
}}
"""


def own_function(chance: random.Random, number: int, area: str) -> str:
    """A scalar function with a rule of its own, used."""
    a, b = constant(chance), constant(chance)
    return f"""fn act{number}(x) {{
  y = {a} * x / (1 + exp(-{b} * x))
  vjp x = g * {a} * (1 / (1 + exp(-{b} * x)) + {b} * x * exp(-{b} * x) / (1 + exp(-{b} * x))^2)
}}

dim n >= 1
graph use{number}(x: f64[n], t: f64[n]) -> f64[] {{
  return {chance.choice(LOSSES)}(act{number}(x), t)
}}
"""


def own_kink(chance: random.Random, number: int, area: str) -> str:
    """A function with a kink and a declared value there."""
    a = constant(chance)
    return f"""fn leak{number}(x) {{
  y = select(x > 0, x, {a} * x)
  at x = 0: {a}
}}

dim n, m
graph g{number}(x: f64[n, m], w: f64[m]) -> f64[n, m] {{
  return leak{number}(x * w) + x
}}
"""


def own_operator(chance: random.Random, number: int, area: str) -> str:
    """An operator over an axis, with a written rule."""
    a = constant(chance)
    return f"""op gram{number}(x: [n, d]) -> [n, n] {{
  y[i, j] = {a} * (sum(k) x[i, k] * x[j, k])
  vjp x[i, k] = {a} * (sum(j) g[i, j] * x[j, k] + sum(j) g[j, i] * x[j, k])
}}

dim N, D
graph kernel{number}(x: f64[N, D]) -> f64[N, N] {{
  return {chance.choice(SCALAR)[0]}(gram{number}(x))
}}
"""


def using(chance: random.Random, number: int, area: str) -> str:
    """A graph over what the area's library defines."""
    return f"""use "lib.gproof"
dim B, D >= 1

graph m{number}(x: f64[B, D], w: f64[D]) -> f64[B, D] {{
  h = {area}_center({area}_gain(x) * w)
  return {area}_bump(h) * {constant(chance)}
}}
"""


def stepping(chance: random.Random, number: int, area: str) -> str:
    """A loop: a damped oscillator."""
    return f"""dim T, N

graph step{number}(q: f64[N], v: f64[N], k: f64[], h: f64[]) -> (f64[N], f64[N]) {{
  a = -k * {chance.choice(("sin", "tanh"))}(q) - {constant(chance)} * v
  return q + h * v, v + h * a
}}

graph path{number}(q: f64[N], v: f64[N], k: f64[], h: f64[]) -> (f64[N], f64[N]) {{
  return scan_last(step{number}, (q, v), k=k, h=h, length=T)
}}
"""


def ensured(chance: random.Random, number: int, area: str) -> str:
    """A graph with a promise about its result."""
    a = constant(chance)
    return f"""dim n >= 1

graph energy{number}(x: f64[n], w: f64[n]) -> f64[n] {{
  y = {a} * (x * x) + square(w) + 1
  ensure y >= 1
  return sqrt(y)
}}
"""


SOUND: tuple[Callable[[random.Random, int, str], str], ...] = (
    mlp, normed, attending, own_function, own_kink, own_operator, using, stepping, ensured, mlp, using,
)  # fmt: skip


def wrong_sign(chance: random.Random, number: int) -> tuple[str, tuple[str, ...]]:
    a = constant(chance)
    return f"fn f{number}(x) {{\n  y = {a} * cos(x)\n  vjp x = {a} * g * sin(x)\n}}\n", ("VJP",)


def wrong_factor(chance: random.Random, number: int) -> tuple[str, tuple[str, ...]]:
    a = constant(chance)
    return f"fn f{number}(x) {{\n  y = {a} * x^3\n  vjp x = 2 * {a} * g * x^2\n}}\n", ("VJP",)


def wrong_index(chance: random.Random, number: int) -> tuple[str, tuple[str, ...]]:
    a = constant(chance)
    text = f"""op gram{number}(x: [n, d]) -> [n, n] {{
  y[i, j] = {a} * (sum(k) x[i, k] * x[j, k])
  vjp x[i, k] = 2 * {a} * (sum(j) g[i, j] * x[j, k])
}}
"""
    return text, ("VJP",)


def missing_sum(chance: random.Random, number: int) -> tuple[str, tuple[str, ...]]:
    text = f"""op rows{number}(x: [n, d]) -> [n] {{
  y[i] = {constant(chance)} * (sum(k) x[i, k])^2
  vjp x[i, k] = g[i] * x[i, k]
}}
"""
    return text, ("VJP",)


def wrong_shape(chance: random.Random, number: int) -> tuple[str, tuple[str, ...]]:
    n = chance.randint(2, 9)
    text = f"""dim B
graph f{number}(x: f64[B, {n}], w: f64[{n}, {n + 1}]) -> f64[B, {n}] {{
  return x @ w
}}
"""
    return text, ("SHAPE",)


def wrong_domain(chance: random.Random, number: int) -> tuple[str, tuple[str, ...]]:
    text = f"""dim n
graph f{number}(x: f64[n]) -> f64[n] {{
  return log(x * x - {constant(chance)})
}}
"""
    return text, ("DOM",)


def wrong_kink(chance: random.Random, number: int) -> tuple[str, tuple[str, ...]]:
    a = constant(chance)
    return f"fn f{number}(x) {{\n  y = select(x > 0, x, {a} * x)\n  at x = 0: 9\n}}\n", ("KINK",)


def wrong_promise(chance: random.Random, number: int) -> tuple[str, tuple[str, ...]]:
    text = f"""dim n
graph f{number}(x: f64[n]) -> f64[n] {{
  y = {constant(chance)} * tanh(x)
  ensure y >= 0
  return y
}}
"""
    return text, ("POST",)


def wrong_text(chance: random.Random, number: int) -> tuple[str, tuple[str, ...]]:
    return f"graph f{number}(x: f64[]) -> f64[] {{\n  return x +\n}}\n", ("E-UNFINISHED",)


def wrong_stable_form(chance: random.Random, number: int) -> tuple[str, tuple[str, ...]]:
    a = constant(chance)
    text = f"""fn f{number}(x) {{
  y = {a} * log(1 + exp(x))
  runs y = {a} * (max(x, 0) + log(1 + exp(-x)))
}}
"""
    return text, ("RUNS",)


BROKEN: tuple[Callable[[random.Random, int], tuple[str, tuple[str, ...]]], ...] = (
    wrong_sign, wrong_factor, wrong_index, missing_sum, wrong_shape, wrong_domain, wrong_kink, wrong_promise,
    wrong_text, wrong_stable_form,
)  # fmt: skip


def samples(seed: int = 0) -> Iterator[Made]:
    """One file of every kind, and a library: enough to see that each is what it says."""
    chance = random.Random(seed)
    yield Made("common/lib.gproof", library(chance, "common"))
    for number, sound in enumerate(SOUND):
        yield Made(f"common/s{number}.gproof", sound(chance, number, "common"))
    for number, broken in enumerate(BROKEN):
        text, codes = broken(chance, 100 + number)
        yield Made(f"common/b{number}.gproof", text, frozenset(codes))


def main() -> None:
    """Write a repository and print the names of the wrong files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--files", type=int, default=500)
    parser.add_argument("--wrong", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    made = make(args.files, args.wrong, args.seed)
    write(args.folder, made)
    print("\n".join(one.path for one in made if one.wrong))


if __name__ == "__main__":
    main()
