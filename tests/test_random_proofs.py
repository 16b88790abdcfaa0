"""A prover that guesses: random steps on false statements, which the checker must never bring to nothing.

The producer of evidence looks for what is true; a forger does not. Here steps are chosen blindly, with every condition
that could matter, on claims of which a counterexample was replayed.
"""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

from gradproof.compiler.ops import OpDef
from gradproof.verifier.checker import rules
from gradproof.verifier.checker import terms as t
from gradproof.verifier.checker.operators import Op
from gradproof.verifier.checker.terms import Node, Refused
from gradproof.verifier.evidence.linear import Search
from test_checker_rules import carried
from test_soundness import subjects

TRIES, STEPS, LONG = 300, 30, 40
CODES = {"JVP", "VJP", "RUNS"}


def false_ones() -> list[tuple[str, OpDef, str]]:
    """Operators of the cases with a claim that is refuted; a VJP where it is clear of which input."""
    found = []
    for key, (subject, wanted) in subjects().items():
        if isinstance(subject, OpDef) and not subject.laws:
            codes = sorted({code for code, answer in wanted if answer == "refuted" and code in CODES})
            found += [(key, subject, c) for c in codes if c != "VJP" or len(subject.differentiable) == 1]
    return found


class Guesser:
    """A proof whose steps are guessed."""

    def __init__(self, op: Op, code: str, nodes: list[Node], rng: random.Random) -> None:
        name = op.moving[0].name if code == "VJP" else ""
        pairs = code != "VJP" and rng.random() < 0.5
        claim = rules.statement(op, code, name, pairs, False)
        self.proof, self.rng, self.nodes = rules.Proof(op, claim, False, nodes, Search(1, 2)), rng, nodes

    def number(self, node: Node) -> int:
        """The number of a node that is new."""
        self.nodes.append(node)
        return len(self.nodes) - 1

    def condition(self, bound: list[str], own: list[Node]) -> Node:
        """One that stands somewhere already, or compares indices and small numbers; or its negation."""
        rng, proof = self.rng, self.proof
        known = [*own, *own, *(c for mono, _ in proof.monomials() for c in mono[1])]
        symbols = [t.sym(v) for v in (*bound, *sorted(v for v in proof.taken if not v.endswith("..")))]
        for a in symbols:
            b = rng.choice([*symbols, t.const(0), t.const(1), t.const(2)])
            known += [t.ge(t.minus(a, b)), t.eq(t.minus(a, b))]
        found = rng.choice(known) if known else t.TRUE
        return t.negate(found) if rng.random() < 0.3 else found

    def step(self) -> str:
        """Try one; the name of the step that was taken, or Refused."""
        rng, proof = self.rng, self.proof
        monos = proof.monomials()
        place = rng.randrange(len(monos))
        (binders, conds, _), _ = monos[place]
        bound = sorted(v for v, _ in binders)
        kind = rng.choice(["split", "split", "clear", "clear", "have", "drop", "empty", "few", "never", "sure", "zero"])
        args: tuple[Any, ...] = ()
        signs = [c for c in conds if c.tag == "lt"]
        match kind:
            case "split" | "have":
                args = (self.number(self.condition(bound, list(conds))),)
            case "clear":
                other = rng.randrange(len(monos))
                theirs, _, factors = monos[other][0]
                factor = rng.randrange(max(1, len(factors)))
                count = rng.randint(0, min(len(bound), len(theirs)))
                args = (other, factor, rng.sample(range(len(bound)), count))
            case "drop" | "few":
                args = (rng.randrange(3),)
            case "never" | "sure" | "zero":
                times = tuple(rng.choice("01") for _ in (*signs, *proof.reals))
                first = (rng.randrange(max(1, len(signs))),)
                args = times if kind == "never" else (*first, *times) if kind == "sure" else first
        proof.step(kind, place, *args)
        return kind


def test_no_random_steps_show_what_is_false() -> None:
    rng, taken = random.Random(7), Counter[str]()
    cases = false_ones()
    assert len(cases) > 100
    for _ in range(TRIES):
        key, subject, code = rng.choice(cases)
        try:
            op, sharing = carried(subject)
            guesser = Guesser(op, code, list(sharing.nodes), rng)
        except Refused:
            continue
        log: list[str] = []
        for _ in range(STEPS):
            before = dict(guesser.proof.left)
            try:
                log.append(guesser.step())
                taken[log[-1]] += 1
            except (Refused, IndexError, ValueError):
                guesser.proof.left = before
            assert guesser.proof.left, f"a proof of {code} of {key}, which is false: {log}"
            if len(guesser.proof.left) > LONG:
                break
    assert all(taken[kind] > 0 for kind in ("split", "clear", "have", "drop", "empty")), taken
