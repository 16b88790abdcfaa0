"""Integer facts: what follows is shown by steps that are found, what does not is not, whatever the steps say."""

from __future__ import annotations

import json
import random
import re

import pytest
from gradproof.verifier.checker.linear import Facts, Hints, entails
from gradproof.verifier.checker.terms import (
    Node,
    Refused,
    atom,
    both,
    const,
    either,
    eq,
    ge,
    make,
    minus,
    plus,
    sym,
    times,
)
from gradproof.verifier.evidence.linear import Search, refutation


def integer(text: str) -> Node:
    """`i*k + j`, `div(i, k)`, `idx(i)`: a polynomial, read with Python's own syntax."""
    names = {n: sym(n) for n in re.findall(r"[a-z]\w*", text)}
    poly = {n: _Poly(p) for n, p in names.items()}
    calls = {t: lambda a, b, t=t: _Poly(atom(make(t, a.p, b.p))) for t in ("div", "mod", "imin", "imax")}
    calls["idx"] = lambda *a: _Poly(atom(make("entry", "idx", *(x.p for x in a))))
    found = eval(re.sub(r"\b(\d+)\b", r"one*\1", text), {**poly, **calls, "one": _Poly(const(1))})
    assert isinstance(found, _Poly)
    return found.p


class _Poly:
    def __init__(self, p: Node) -> None:
        self.p = p

    def __add__(self, other: _Poly) -> _Poly:
        return _Poly(plus(self.p, other.p))

    def __sub__(self, other: _Poly) -> _Poly:
        return _Poly(minus(self.p, other.p))

    def __mul__(self, other: _Poly | int) -> _Poly:
        return _Poly(times(self.p, const(other) if isinstance(other, int) else other.p))

    def __neg__(self) -> _Poly:
        return _Poly(minus(const(0), self.p))


def condition(text: str) -> Node:
    """`a <= b < c`, `a == b`, `a != b`, with `and` and, binding less, `or`."""
    if " or " in text:
        return either(*map(condition, text.split(" or ")))
    if " and " in text:
        return both(*map(condition, text.split(" and ")))
    a, *rest = re.split(r"(<=|<|==|!=)", text)
    parts = []
    for sign, b in zip(rest[::2], rest[1::2], strict=True):
        apart = minus(integer(b), integer(a))
        one = {
            "<=": lambda p: ge(p),
            "<": lambda p: ge(plus(p, const(-1))),
            "==": eq,
            "!=": lambda p: make("not", eq(p)),
        }
        parts.append(one[sign](apart))
        a = b
    return both(*parts)


TRUE = [
    ("0 <= i < n", "1 <= n"),
    ("0 <= i < n and 0 <= j < k", "0 <= i*k + j < n*k"),
    ("0 <= i < n and 0 <= j < k and 0 <= l < m and 0 <= k and 0 <= m", "0 <= (i*k + j)*m + l < n*k*m"),
    ("0 <= i < n*k and 1 <= k", "0 <= div(i, k) < n"),
    ("0 <= i < n*k and 1 <= k", "0 <= mod(i, k) < k"),
    ("1 <= k", "i == k*div(i, k) + mod(i, k)"),
    ("1 <= n", "0 <= mod(i - s, n) < n"),
    ("0 <= i < imin(n, m)", "0 <= i < m and i < n"),
    ("0 <= i < imax(n, m) and n <= m", "i < m"),
    ("0 <= n and n != 0", "1 <= n"),
    ("0 <= n", "n + 1 != 0"),
    ("i == j and 0 <= j < n", "0 <= i < n"),
    ("0 <= i < div(n - k, s) + 1 and 0 <= j < k and 1 <= s", "i*s + j < n"),
    ("2 <= n", "1 <= div(n, 2)"),
    ("0 <= i < 0", "5 <= i"),
    ("i == 0 or i == 3", "0 <= i <= 3"),
    ("2*n == 4*m + 1", "0 == 1"),
]
FALSE = [
    ("0 <= i < n", "2 <= n"),
    ("0 <= n", "1 <= n"),
    ("0 <= i < n*k", "div(i, k) < n"),  # k = 0 is not excluded by these words alone
    ("0 <= i < n*k and 0 != k", "0 <= mod(i, k)"),  # k < 0
    ("0 <= i < imax(n, m)", "i < m"),
    ("0 <= i < n and 0 <= j < k", "i*k + j < n*k - 1"),
    ("0 <= i", "0 <= i*j"),
    ("i*i == j*j", "i == j"),
    ("0 <= idx(i) < n", "0 <= idx(j)"),
    ("0 <= n", "n == 0"),
    ("i == 0 or j == 0", "i == 0"),
    ("0 <= i < div(n - k, s) + 1 and 0 <= j < k", "i*s + j < n"),
    ("1 <= n", "2 <= n*n"),
    ("n*k == n*m", "k == m"),
]


@pytest.mark.parametrize(("known", "goal"), TRUE)
def test_what_follows_is_found_and_replayed(known: str, goal: str) -> None:
    search = Search()
    assert search.shown(Facts(condition(known)), condition(goal))
    replay = Hints(json.loads(json.dumps(search.given)))
    assert replay.shown(Facts(condition(known)), condition(goal))
    replay.close()


@pytest.mark.parametrize(("known", "goal"), FALSE)
def test_what_does_not_follow_is_not_shown_by_any_steps(known: str, goal: str) -> None:
    """The steps of every true statement, and steps made at random, are tried on every false one."""
    assert not Search().shown(Facts(condition(known)), condition(goal))
    rng = random.Random(f"{known} {goal}")
    for other, what in TRUE:
        steps = refutation(Facts(condition(other)).assume(condition(what), yes=False))
        for _ in range(8):
            assert not _accepted(known, goal, steps)
            steps = _forged(steps, rng)
    for _ in range(200):
        assert not _accepted(
            known, goal, [[rng.randrange(8), *(rng.randrange(-2, 4) for _ in range(4))] for _ in "123"]
        )


def _accepted(known: str, goal: str, steps: object) -> bool:
    try:
        return entails(Facts(condition(known)), condition(goal), steps)
    except Refused:
        return False


def _forged(part: object, rng: random.Random) -> object:
    if isinstance(part, list):
        return [_forged(inner, rng) for inner in part if rng.random() > 0.05]
    return part + rng.choice((-1, 0, 0, 0, 1)) if isinstance(part, int) else part


@pytest.mark.parametrize(
    "steps",
    [
        None,
        7,
        "0",
        [0],
        [[]],
        [["0"]],
        [[0, 0]],
        [[0, 0, "1"]],
        [[0, 99, 1]],
        [[1, 0, 0, 1]],
        [[1, -2, 0, 1]],
        [[3, 0, -1]],
        [[4, 0]],
        [[5, 0, 0]],
        [[6, 0]],
        [[7, [[1, 99]], [], []]],
        [[9]],
        [[2, 0, 0]] * 50,
        [[2, k, k] for k in range(60)],
    ],
)
def test_malformed_steps_are_refused(steps: object) -> None:
    with pytest.raises(Refused):
        assert entails(Facts(condition("0 <= i < n")), condition("2 <= n"), steps) or _no_end()


def _no_end() -> bool:
    raise Refused("the steps end without a contradiction")


def test_facts_of_every_entry_are_said_of_an_entry_of_that_tensor_only() -> None:
    def facts() -> Facts:
        found = Facts(condition("0 <= k < m"))
        found.every.append((make("entry", "idx", sym("e")), ("e",), condition("0 <= idx(e) < n")))
        return found

    search = Search()
    assert search.shown(facts(), condition("0 <= idx(k) < n"))
    assert not search.shown(facts(), condition("0 <= idx(k, k)"))
    other = ge(atom(make("entry", "jdx", sym("k"))))
    assert not search.shown(facts(), other)


def test_evidence_that_is_too_short_or_too_long_is_refused() -> None:
    with pytest.raises(Refused, match="ends before"):
        Hints([]).shown(Facts(), condition("0 <= n"))
    with pytest.raises(Refused, match="more than"):
        Hints([[]]).close()
