"""docs/bugs.md: ten bugs that projects shipped, the counterexample to each, and whether sampling would have found it.

`python tests/bugs_page.py` writes the page; tests/test_bugs.py holds it against what is found.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

from gradproof.compiler.claims import Counterexample
from gradproof.compiler.elaborate import load_path
from gradproof.compiler.ops import OpDef
from gradproof.compiler.rules import rules_of
from gradproof.verifier.operators import verdicts_of_op
from gradproof.verifier.options import Options
from gradproof.verifier.refute import Search
from gradproof.verifier.witness import Point, in_domain, points_of, sizes_of

ROOT = Path(__file__).parent.parent
CASES = ROOT / "tests" / "cases" / "bugs"
PAGE = ROOT / "docs" / "bugs.md"
TEN = ["S01", "TL1", "TL2", "I23", "N12", "K05", "N02", "A07", "A15", "N28"]
TOLERANCE = 1e-3
INTRODUCTION = """# Bugs of others

tests/cases/bugs holds wrong gradients that projects shipped, each beside its correction: the wrong rule is refuted with
a replayed counterexample, the right one proved for all sizes. Ten of them follow, written by tests/bugs_page.py.

"Sampling" is what a gradient check does: inputs from a normal distribution, central differences of the forward in
double precision, against the rule, at twenty points. It looks where almost every input is; half of these bugs are at
ties and zeros, where a random input never is.
"""
SECOND = "## A second set"  # from here on the page is written by hand


def path_of(name: str) -> Path:
    """The file of a case."""
    return next(CASES.glob(f"{name}_*.gproof"))


def wrong(name: str) -> OpDef:
    """The operator with the wrong rule."""
    return next(op for key, op in load_path(path_of(name)).ops.items() if key.endswith("_wrong"))


def refutation(op: OpDef) -> tuple[str, Counterexample]:
    """The first refuted claim and its counterexample."""
    for verdict in verdicts_of_op(op, Options(timeout=10.0, search=2.0)):
        if verdict.counterexample is not None:
            return verdict.claim.code, verdict.counterexample
    raise AssertionError(f"nothing about {op.name} is refuted")


def normal_points(op: OpDef, many: int) -> Iterator[Point]:
    """Points at standard normal inputs, sizes above 1 first."""
    rng = random.Random(op.name)
    every = sorted(sizes_of(op), key=lambda sizes: -sum(n > 1 for n in sizes.ints.values()))
    found = 0
    for sizes in every[:3]:
        for point in points_of(op, sizes, 20, 1):
            tensors = dict(point.tensors)
            for param in op.params:
                if param.kind == "real":
                    tensors[param.name] = {k: Fraction(rng.gauss(0, 1)) for k in point.tensors[param.name]}
            tensors["g"] = {k: Fraction(rng.gauss(0, 1)) for k in point.tensors["g"]}
            moved = Point(op, sizes, tensors, point.shapes, point.kinds)
            if in_domain(moved):
                yield moved
                found += 1
                if found == many:
                    return


def sampling_catches(op: OpDef, many: int = 20) -> bool:
    """Whether central differences at normal inputs differ from a rule that runs, or the rule has no value there."""
    search = Search(op, rules_of(op))
    rng = random.Random(f"{op.name} along")
    for point in normal_points(op, many):
        for param in op.differentiable:
            along = {k: rng.gauss(0, 1) for k in point.tensors[param.name]}
            sides = []
            for step in (1e-6, -1e-6):
                moved = {k: v + Fraction(step * along[k]) for k, v in point.tensors[param.name].items()}
                beside = Point(op, point.sizes, {**point.tensors, param.name: moved}, point.shapes, point.kinds)
                sides.append(search.run(beside, "forward", "", "float64"))
            slopes = {k: (float(sides[0][k]) - float(sides[1][k])) / 2e-6 for k in sides[0]}
            tangents = {f"d{p.name}": {k: Fraction(0) for k in point.tensors[p.name]} for p in op.differentiable}
            tangents[f"d{param.name}"] = {k: Fraction(v) for k, v in along.items()}
            try:
                forward = search.run(point, "jvp", "", "float64", tangents)
                backward = search.run(point, "vjp", param.name, "float64")
            except ArithmeticError:
                return True
            if any(abs(float(forward[k]) - slopes[k]) > TOLERANCE * (1 + abs(slopes[k])) for k in slopes):
                return True
            paired = sum(float(backward[k]) * along[k] for k in along)
            meant = sum(slopes[k] * float(point.tensors["g"][k]) for k in slopes)
            if abs(paired - meant) > TOLERANCE * (1 + abs(meant)):
                return True
    return False


def section(name: str) -> str:
    """One bug: what it was, the counterexample, and sampling."""
    path = path_of(name)
    said = []
    for line in path.read_text("utf-8").splitlines():
        if not line.startswith("#") or line.startswith("# expect"):
            break
        said.append(line.removeprefix("# "))
    source, story = said[0].partition(": ")[2], " ".join(said[1:])
    op = wrong(name)
    code, found = refutation(op)
    values = ", ".join(f"{k} = {v}" for k, v in {**found.dims, **found.values}.items())
    caught = "finds it" if sampling_catches(op) else "does not find it"
    stanza = re.sub(r"\n+$", "", op.source)
    return "\n".join(
        [
            f"## {name}: {source}",
            "",
            story,
            "",
            "```text",
            stanza,
            "```",
            "",
            f"{code} is refuted at {values}: {found.expected} expected, {found.got} found.",
            "",
            f"Sampling {caught}.",
            "",
        ]
    )


def page() -> str:
    """The page."""
    return (
        INTRODUCTION
        + "\n"
        + "\n".join(section(name) for name in TEN)
        + "".join(PAGE.read_text("utf-8").partition(SECOND)[1:])
    )


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
