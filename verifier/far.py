"""Points of size 0 and of large sizes: a rule may be right up to a size that its text names, and wrong beyond.

`select(i < 896, g[i], 0)` is right for all arrays that a search of small sizes looks at. So each whole number in the
operator's integer expressions gives sizes that reach past it, one size at a time, all others as small as may be. Of
such a point few entries matter: the cotangent stands at few places, and few entries of the inputs are looked at.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from fractions import Fraction

from gradproof.compiler.ops import COTANGENT, OpDef
from gradproof.verifier.numerals import whole_numbers
from gradproof.verifier.witness import Entries, Point, in_domain, large_sizes, points_of

NEAR = 4  # what small sizes reach
FARTHEST = 1100  # a whole number beyond is not gone to: each entry takes its time
MANY = 48  # entries of one tensor, beyond which only some are looked at
FEW = 8
TRIES = 5  # points of each size
NUMBERS = 6  # whole numbers of an operator, at most


def far_points(op: OpDef, seed: int) -> Iterator[Point]:
    """A few points with a size of 0, past each whole number, and past the product of two: block 2 of 32."""
    named = whole_numbers(op)
    beyond = {a * b for a in named for b in (1, *named, *(n + 1 for n in named))}
    numbers = sorted(n for n in beyond if NEAR <= n <= FARTHEST)[-NUMBERS:]
    for number in (0, *(n + 2 for n in numbers)):  # `i < 896` is kept as 895 - i >= 0
        for sizes in large_sizes(op, number):
            for point in points_of(op, sizes, TRIES, seed):
                rng = random.Random(f"{seed}:{number}")
                given = point.tensors[COTANGENT]
                kept = set(looked_at(given, rng))
                cotangent: Entries = {k: v if k in kept else Fraction(0) for k, v in given.items()}
                thin = Point(op, sizes, {**point.tensors, COTANGENT: cotangent}, point.shapes, point.kinds)
                if in_domain(thin):
                    yield thin


def looked_at(entries: Iterable[tuple[int, ...]], rng: random.Random | None = None) -> list[tuple[int, ...]]:
    """All entries of a small tensor; of a large one the first, the last and a few more."""
    places = list(entries)
    if len(places) <= MANY:
        return places
    chosen = (rng or random.Random(len(places))).sample(places, FEW)
    return list(dict.fromkeys((places[-1], places[0], *places[-3:-1], *chosen)))
