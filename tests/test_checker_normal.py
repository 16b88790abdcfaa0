"""The checker's normal form against brute force: a term and its form have one value, at every small size.

Terms are made at random: sums under conditions with quotients, remainders, minima and equations, of products of reads
that may lie outside of a tensor. Where either side has no value (a power of 0, a division by 0) it says nothing.
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from fractions import Fraction
from itertools import product
from typing import Any

import pytest
from gradproof.compiler.library import prelude
from gradproof.compiler.portable import Table
from gradproof.verifier.checker import terms as t
from gradproof.verifier.checker.linear import Hints
from gradproof.verifier.checker.normal import Normal
from gradproof.verifier.checker.operators import Op
from gradproof.verifier.checker.rules import Proof, statement
from gradproof.verifier.checker.terms import Node, Refused
from gradproof.verifier.evidence.finding import Sharing
from gradproof.verifier.evidence.identities import identity

SIZES = ("n", "m")
TENSORS = {"x": 1, "z": 2}


class World:
    """Sizes, and an entry for every place of every tensor."""

    def __init__(self, sizes: Mapping[str, int], seed: int) -> None:
        self.sizes, self.seed = dict(sizes), seed

    def entry(self, tensor: str, place: tuple[int, ...]) -> Fraction:
        rng = random.Random(f"{self.seed} {tensor} {place}")
        return Fraction(rng.choice((-3, -2, -1, 0, 1, 2, 3)), rng.choice((1, 2)))

    def integer(self, node: Node, at: Mapping[str, int]) -> int:
        tag, args = node.tag, node.args
        if tag == "poly":
            total = 0
            for c, atoms in args:
                for atom in atoms:
                    c *= self.integer(atom, at)
                total += c
            return total
        if tag == "sym":
            return at[args[0]]
        a, b = (self.integer(p, at) for p in args)
        return {"div": lambda: a // b, "mod": lambda: a % b, "imin": lambda: min(a, b), "imax": lambda: max(a, b)}[
            tag
        ]()

    def holds(self, cond: Node, at: Mapping[str, int]) -> bool:
        tag, args = cond.tag, cond.args
        if tag in ("ge", "eq"):
            found = self.integer(args[0], at)
            return found >= 0 if tag == "ge" else found == 0
        if tag in ("and", "or"):
            return (all if tag == "and" else any)([self.holds(a, at) for a in args])
        if tag == "not":
            return not self.holds(args[0], at)
        if tag == "truth":
            return bool(args[0])
        low, high = (self.real(a, at) for a in args)
        return {"lt": low < high, "le": low <= high, "same": low == high}[tag]

    def real(self, node: Node, at: Mapping[str, int]) -> Fraction:
        tag, args = node.tag, node.args
        if tag == "num":
            return Fraction(args[0])
        if tag == "size":
            return Fraction(self.integer(args[0], at))
        if tag == "read":
            return self.entry(args[0], tuple(self.integer(p, at) for p in args[1:]))
        if tag == "add":
            return sum((self.real(a, at) for a in args), Fraction(0))
        if tag == "mul":
            out = Fraction(1)
            for a in args:
                out *= self.real(a, at)
            return out
        if tag == "pow":
            return self.real(args[0], at) ** args[1]
        if tag == "select":
            return self.real(args[1] if self.holds(args[0], at) else args[2], at)
        kind, var, extent, guard, body = args
        inside = [{**at, var: k} for k in range(self.integer(extent, at))]
        found = [self.real(body, here) for here in inside if self.holds(guard, here)]
        return {"sum": lambda: sum(found, Fraction(0)), "max": lambda: max(found)}[kind]()


class Maker:
    """Terms at random."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)

    def integer(self, names: list[str], depth: int) -> Node:
        rng = self.rng
        kind = rng.randrange(9) if depth else rng.randrange(4)
        if kind == 0:
            return t.const(rng.randrange(-2, 4))
        if kind <= 3:
            return t.sym(rng.choice(names))
        a, b = self.integer(names, depth - 1), self.integer(names, depth - 1)
        if kind == 4:
            return t.plus(a, b)
        if kind == 5:
            return t.minus(a, b)
        if kind == 6:
            return t.built(rng.choice(("imin", "imax")), a, b)
        return t.built(rng.choice(("div", "mod")), a, rng.choice((t.const(2), t.sym("n"), t.sym("m"), t.const(3))))

    def cond(self, names: list[str], depth: int) -> Node:
        kind = self.rng.randrange(8)
        if kind == 0 and depth:
            return t.negate(self.cond(names, depth - 1))
        if kind <= 2 and depth:
            return (t.both if kind == 1 else t.either)(self.cond(names, depth - 1), self.cond(names, depth - 1))
        p = t.minus(self.integer(names, depth), self.integer(names, 1))
        return t.eq(p) if kind == 3 else t.ge(p)

    def real(self, names: list[str], depth: int) -> Node:
        rng = self.rng
        kind = rng.randrange(12) if depth else rng.randrange(3)
        if kind == 0:
            return t.num(Fraction(rng.randrange(-2, 3), rng.choice((1, 2))))
        if kind == 1:
            return t.size(t.sym(rng.choice(names)))
        if kind == 2:
            tensor = rng.choice(sorted(TENSORS))
            return t.make("read", tensor, *(self.integer(names, 1) for _ in range(TENSORS[tensor])))
        if kind <= 4:
            return t.add(self.real(names, depth - 1), self.real(names, depth - 1))
        if kind <= 6:
            return t.mul(self.real(names, depth - 1), self.real(names, depth - 1))
        if kind == 7:
            return t.select(self.cond(names, 1), self.real(names, depth - 1), self.real(names, depth - 1))
        if kind == 8:
            return t.power(self.real(names, depth - 1), rng.choice((-1, 2)))
        if kind == 9 and depth > 1:
            low, high = self.real(names, 0), self.real(names, 0)
            return t.select(t.make(rng.choice(("lt", "le", "same")), low, high), self.real(names, 0), t.ZERO)
        var = f"i{depth}"
        inner = [*names, var, var]
        extent = t.sym(rng.choice(SIZES)) if rng.randrange(4) else t.const(rng.randrange(4))
        guard = t.TRUE if rng.randrange(3) == 0 else self.cond(inner, 2)
        return t.reduce("sum", var, extent, guard, self.real(inner, depth - 1))


def values(term: Node, other: Node) -> list[tuple[Any, Fraction, Fraction]]:
    """Where both have a value: the sizes, and the values."""
    found = []
    for n, m, seed in product(range(4), range(4), (1, 2)):
        world = World({"n": n, "m": m}, seed)
        try:
            found.append(((n, m), world.real(term, world.sizes), world.real(other, world.sizes)))
        except ZeroDivisionError:
            continue
    return found


@pytest.mark.parametrize("block", range(20))
def test_a_form_has_the_value_of_its_term(block: int) -> None:
    told = 0
    for seed in range(60 * block, 60 * block + 60):
        term = Maker(seed).real([*SIZES], 4)
        work = Normal({"n": 0, "m": 0}, {}, [t.sym("n"), t.sym("m")])
        try:
            other = work.term(work.form(term))
        except Refused:
            continue
        for place, value, again in values(term, other):
            assert value == again, (seed, place, term, other)
            told += 1
    assert told > 200


@pytest.mark.parametrize(
    ("name", "code"),
    [
        *(
            (name, "VJP x")
            for name in ("flip", "roll", "reflect_pad", "replicate_pad", "circular_pad", "tile", "unfold")
        ),
        *((name, "VJP x") for name in ("avg_pool1d", "repeat_interleave", "adaptive_avg_pool2d", "conv1d", "slice")),
        ("kron", "VJP a"),
        ("replicate_pad", "JVP "),
        ("replicate_pad", "RUNS "),
    ],
)
def test_each_step_keeps_the_value(name: str, code: str) -> None:
    """The difference of the sides of a true claim is 0 at every size, and is after each step of its proof."""
    code, which = code.split(" ")
    table = Table()
    data = json.loads(json.dumps(table.op(prelude().ops[name])))
    sharing = Sharing(table)
    op = Op(data, sharing.nodes)
    parts = identity(op, code, which, sharing)
    assert parts is not None
    names, told = sorted(op.fixed), 0
    places = [
        dict(zip(names, sizes, strict=True)) for sizes in product(range(3 if len(names) > 4 else 4), repeat=len(names))
    ]
    places = [p for p in places if all(World(p, 1).holds(c, p) for c in op.requires)]
    random.Random(name).shuffle(places)
    for _, pairs, steps, hints in parts:
        proof = Proof(op, statement(op, code, which, bool(pairs)), False, sharing.nodes, Hints(hints))
        for step in (None, *steps):
            if step is not None:
                proof.step(*step)
            left = proof.work.term(proof.left)
            for sizes in places[:12]:
                world = World(sizes, 1)
                inside = [range(world.integer(e, sizes)) for e in proof.ranges.values()]
                for at in product(*inside):
                    assert world.real(left, {**sizes, **dict(zip(proof.ranges, at, strict=True))}) == 0, (step, sizes)
                    told += 1
        assert not proof.left
    assert told
