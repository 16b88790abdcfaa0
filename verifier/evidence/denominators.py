"""Denominators cleared: a base with a negative power is brought to its lowest power in all monomials. Not trusted."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from itertools import product

from gradproof.verifier.checker import terms as t
from gradproof.verifier.checker.monomials import Form, Mono, is_sum
from gradproof.verifier.checker.terms import Node
from gradproof.verifier.evidence.finding import Trial


class Denominators(Trial):
    """Strategies that multiply through."""

    def clear(self) -> None:
        """Multiply through by bases with negative powers."""
        for _ in range(6):
            if not any(self._clear(mono, base) for mono in self.monomials() for base in _bases(mono)):
                break
            if not self.proof.left:
                break

    def _clear(self, source: Mono, base: Node) -> bool:
        """Bring this base to its lowest power in every monomial; undone where it does not make the form smaller."""
        before = self.before()
        key = ("clear", frozenset(self.proof.left), base)
        if key in self.failed:
            return False
        pending = [(m, options) for m, options in self._lifts(source, base)]
        if any(not options for _, options in pending) or not pending:
            self.failed.add(key)
            return False
        for mono, options in pending:
            for names, times in options:
                here, done = mono, True
                for _ in range(times):
                    places = {m: k for k, m in enumerate(self.monomials())}
                    own = [m for m in self.monomials() if base in dict(m[2])]
                    if here not in places or not own:
                        done = False
                        break
                    atoms = sorted((a for a, _ in own[0][2]), key=lambda a: a.key)
                    done = self.try_("clear", here, places[own[0]], atoms.index(base), names)
                    if not done:
                        break
                if done:
                    break
        if len(self.proof.left) < len(before[0]) or not self.proof.left:
            return True
        if set(self.proof.left) != set(before[0]) and len(self.proof.left) <= 4 * len(before[0]) + 8:
            return True
        self.failed.add(key)
        self.undo(before)
        return False

    def _lifts(self, source: Mono, base: Node) -> Iterator[tuple[Mono, list[tuple[list[int], int]]]]:
        inside = sorted(v for v, _ in source[0] if v in base.free)
        extents = [dict(source[0])[v] for v in inside]
        found = []
        for mono in self.monomials():
            own = sorted(mono[0])
            options = []
            for choice in product(range(len(own)), repeat=len(inside)):
                if len(set(choice)) == len(choice) and all(
                    own[k][1] is e for k, e in zip(choice, extents, strict=True)
                ):
                    names = {v: t.sym(own[k][0]) for v, k in zip(inside, choice, strict=True)}
                    form = self.work.form(t.substitute(base, names))
                    power = _power_in(self.work.power(form, -1), mono)
                    options.append((power, list(choice)))
            found.append((mono, options))
        lowest: dict[Fraction, Fraction] = {}
        for _, options in found:
            for power, _ in options:
                if power:
                    lowest[Fraction(power) % 1] = min(lowest.get(Fraction(power) % 1, Fraction(power)), Fraction(power))
        for mono, options in found:
            present = [(p, names) for p, names in options if p]
            low = lowest.get(Fraction(present[0][0]) % 1) if present else lowest.get(Fraction(0), Fraction(0))
            if low is None or (not present and low >= 0):
                continue
            use = present or options
            lifts = [(names, int(Fraction(p) - low)) for p, names in use]
            if all(times == 0 for _, times in lifts) and lifts:
                continue
            yield mono, lifts


def _power_in(inverse: Form, mono: Mono) -> Fraction:
    (own,) = inverse if len(inverse) == 1 else (next(iter(inverse)),)
    powers = dict(mono[2])
    return max((Fraction(powers[a]) for a, _ in own[2] if a in powers), key=abs, default=Fraction(0))


def _bases(mono: Mono) -> list[Node]:
    found = [a for a, e in mono[2] if is_sum(a) and a.tag != "num" and (e < 0 or e != int(e))]
    return sorted(found, key=lambda a: a.key)
