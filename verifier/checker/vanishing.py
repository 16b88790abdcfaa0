"""What may be 0 throughout, so that nothing is divided by it. [trusted]"""

from __future__ import annotations

from collections.abc import Mapping

from . import terms as t
from .monomials import Mono, Number, is_exp, is_size, is_sum, reads, tensors
from .sums import Sums
from .terms import Node


def vanishes(work: Sums, atom: Node, ranges: Mapping[str, Node]) -> bool:
    """Whether an atom may be 0 at every point of some size; True where nothing is known.

    At one size an atom that is no size is an unknown of its own. What is positive where all unknowns are positive
    does not vanish, nor does a sum of which one part is so and reads a tensor that no other part reads.
    """
    if _bright(work, atom, 1, ranges) == 2:
        return False
    form = work.form(atom) if is_sum(atom) else {}
    for mono in form:
        others = {n for m in form if m is not mono for n in tensors(m)}
        if _brightness(work, mono, 1, ranges) == 2 and any(
            a.tag == "read" and a.args[0] not in others | {n for b, _ in mono[2] if b is not a for n in reads(b)}
            for a, _ in mono[2]
        ):
            return False
    return True


def _bright(work: Sums, atom: Node, e: Number, ranges: Mapping[str, Node]) -> int:
    """2: positive where all unknowns are positive; 1: not negative there; 0: nothing is known."""
    if is_size(atom):
        p = atom.args[0]
        return 2 if work.surely(t.plus(p, t.const(-1)), ranges) else 1 if e > 0 and work.surely(p, ranges) else 0
    if is_sum(atom):
        signs = [_brightness(work, m, c, ranges) for m, c in work.form(atom).items()]
        return 0 if not signs or 0 in signs or (e < 0 and 2 not in signs) else max(signs)
    # log n is 0 where n = 1, sin(n * x[i]) where n = 0: only of what is read, or an exponential, it is an unknown
    inside = atom.args[-1] if atom.tag in ("call", "reduce") and not is_exp(atom) else atom
    return 2 if inside.tag == "read" or (isinstance(inside, Node) and is_exp(inside)) else 0


def _brightness(work: Sums, mono: Mono, c: Number, ranges: Mapping[str, Node]) -> int:
    inside = {**ranges, **dict(mono[0])}
    sign = min((_bright(work, a, e, inside) for a, e in mono[2]), default=2) if c > 0 else 0
    bound = {v for v, _ in mono[0]}
    some = all(e.free.isdisjoint(bound) and work.surely(t.plus(e, t.const(-1)), ranges) for _, e in mono[0])
    return sign if some and not mono[1] else min(sign, 1)
