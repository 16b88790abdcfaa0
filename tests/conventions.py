"""What is used at kinks and jumps: here, in PyTorch and in JAX, as the page docs/kinks.md.

`python tests/conventions.py` writes the page from tests/cases/kinks.toml. Our column is the vjp of the compiled
program, so it is of proved operators; theirs is what their backward gives.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import gradproof as gp
import numpy as np

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "kinks.md"
NOTHING = "-"
Numbers = Mapping[str, Any]

HEAD = """# What is used at kinks and jumps

Where a function has a kink, any Clarke subgradient is a valid choice, and where it jumps there is no derivative at all:
so each library has conventions. This page compares them, point by point: the gradient with respect to each input, by a
backward pass with cotangent 1, in PyTorch {torch}, JAX {jax} and here. Ours is what runs and what is proved (KINK). A
row is marked where they are not the same. `make kinks` writes this page from `tests/cases/kinks.toml`.
"""


@dataclass(frozen=True)
class Row:
    """One point of one function; `ours`, `torch` and `jax` are expressions in the names of the point."""

    ours: str
    torch: str
    jax: str
    at: Mapping[str, float | list[float]]
    assume: str = ""

    @property
    def operator(self) -> str:
        """The operator's name; the sum of a vector result is not what is meant."""
        return self.ours.removeprefix("sum(").partition("(")[0]

    @property
    def point(self) -> str:
        """The point, as text."""
        return ", ".join(f"{name} = {shown(value)}" for name, value in self.at.items())

    def arrays(self) -> dict[str, Any]:
        """The point as float64 arrays."""
        return {name: np.array(value, dtype=np.float64) for name, value in self.at.items()}


def rows() -> list[Row]:
    """Every point of the data file."""
    data = tomllib.loads((HERE / "cases" / "kinks.toml").read_text(encoding="utf-8"))
    return [Row(k["ours"], k["torch"], k["jax"], at, k.get("assume", "")) for k in data["kink"] for at in k["at"]]


def ours(row: Row) -> str:
    """The gradient by the proved program."""
    arrays = row.arrays()
    shapes = {name: "".join(map(str, value.shape)) for name, value in arrays.items()}
    inputs = ", ".join(f"{name}: f64[{shape}]" for name, shape in shapes.items())
    assume = f"assume {row.assume}" if row.assume else ""
    text = f"graph f({inputs}) -> f64[] {{ {assume} return {row.ours} }}"
    return gradient(_program(text).vjp(arrays, np.array(1.0))[1])


@cache
def _program(text: str) -> Any:
    return gp.compile(text)["f"]


def torch_says(row: Row) -> str:
    """The gradient by PyTorch."""
    import torch

    if not row.torch:
        return NOTHING
    inputs = {name: torch.tensor(value, requires_grad=True) for name, value in row.arrays().items()}
    names = {"torch": torch, "F": torch.nn.functional}
    try:
        eval(row.torch, names, inputs).backward()  # expressions of our own data file
    except (NotImplementedError, RuntimeError):
        return "refused"
    return gradient({n: torch.zeros_like(t) if t.grad is None else t.grad for n, t in inputs.items()})


def jax_says(row: Row) -> str:
    """The gradient by JAX."""
    import jax

    if not row.jax:
        return NOTHING
    arrays = row.arrays()
    with jax.enable_x64(True):
        names = {"jax": jax, "jnp": jax.numpy}
        found = jax.grad(lambda given: eval(row.jax, names, given))(dict(arrays))
        return gradient({name: found[name] for name in arrays})


def gradient(by_name: Numbers) -> str:
    """The entries of a gradient, by input."""
    parts = [shown(np.asarray(value).tolist()) for value in by_name.values()]
    return parts[0] if len(parts) == 1 else "; ".join(parts)


def shown(value: Any) -> str:
    """A number, or a vector, in few digits."""
    if isinstance(value, list):
        return f"[{', '.join(map(shown, value))}]"
    return f"{value + 0.0:.6g}"  # no -0


def line(row: Row, columns: tuple[str, str, str]) -> str:
    """One line of the table."""
    said = {column for column in columns if column != NOTHING}
    mark = "differ" if len(said) > 1 else ""
    return f"| `{row.ours}` | {row.point} | {' | '.join(columns)} | {mark} |"


def page() -> str:
    """The whole page."""
    import jax
    import torch

    table = [line(row, (ours(row), torch_says(row), jax_says(row))) for row in rows()]
    head = HEAD.format(torch=torch.__version__.partition("+")[0], jax=jax.__version__)
    titles = "| function | at | here | PyTorch | JAX | |\n|---|---|---|---|---|---|"
    return f"{head}\n{titles}\n" + "\n".join(table) + "\n"


def written() -> dict[tuple[str, str], tuple[str, str, str]]:
    """The page's rows: (function, point) -> (here, PyTorch, JAX)."""
    found = re.findall(r"^\| `(.*?)` \| (.*?) \| (.*?) \| (.*?) \| (.*?) \|", PAGE.read_text(encoding="utf-8"), re.M)
    return {(name, point): (mine, torch, jax) for name, point, mine, torch, jax in found}


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
