"""What is asked while proofs run, and for which claim: watchers see every question, and may object to its answer.

A question to the solver (`Asked`) and an identity given to the normal form (`Identity`) are told here with the claim
that is being settled. A watcher that objects to an answer turns it into "unknown", so that nothing rests on it. With
no watcher nothing is kept and nothing is spent.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Literal, TypeAlias

from gradproof.compiler.claims import Claim
from gradproof.compiler.terms import Cond, Term
from gradproof.verifier.ranges import Context

Status: TypeAlias = Literal["unsat", "sat", "unknown"]


@dataclass(frozen=True, slots=True)
class Asked:
    """One question: do the hypotheses and the negated goal have a model? `status` is what the first solver said.

    `goal` and `hypotheses` are conditions; where the question was written as SMT-LIB 2 to begin with, `text` has it
    (declarations and assertions) and the other two are empty.
    """

    claim: Claim | None
    goal: Cond | None
    hypotheses: tuple[Cond, ...]
    reals: bool
    text: str
    status: Status


@dataclass(frozen=True, slots=True)
class Identity:
    """One equality of terms that was proved; its free indices are in the context's ranges, `facts` are about reals.

    `generic` names the tensors at whose ties nothing is said.
    """

    claim: Claim | None
    left: Term
    right: Term
    context: Context
    facts: tuple[Cond, ...]
    generic: frozenset[str]
    by: str


Watcher: TypeAlias = Callable[[Asked], str]  # an objection to the answer; "" where there is none

_claim: ContextVar[Claim | None] = ContextVar("claim", default=None)
_watchers: ContextVar[tuple[Watcher, ...]] = ContextVar("watchers", default=())
_readers: ContextVar[tuple[Callable[[Identity], None], ...]] = ContextVar("readers", default=())


@contextmanager
def about(claim: Claim) -> Iterator[None]:
    """What is asked inside is asked for this claim."""
    token = _claim.set(claim)
    try:
        yield
    finally:
        _claim.reset(token)


@contextmanager
def watching(watcher: Watcher) -> Iterator[None]:
    """The watcher sees every question asked inside, answers from before are not used again."""
    forget_answers()
    token = _watchers.set((*_watchers.get(), watcher))
    try:
        yield
    finally:
        _watchers.reset(token)
        forget_answers()  # what was objected to here is objected to here alone


@contextmanager
def reading(reader: Callable[[Identity], None]) -> Iterator[None]:
    """The reader sees every identity proved inside."""
    forget_answers()
    token = _readers.set((*_readers.get(), reader))
    try:
        yield
    finally:
        _readers.reset(token)


def watched() -> bool:
    """Whether a question has to be told."""
    return bool(_watchers.get())


def heard() -> bool:
    """Whether anyone watches or reads: then nothing may be taken from an earlier proof."""
    return bool(_watchers.get() or _readers.get())


def tell(goal: Cond | None, hypotheses: tuple[Cond, ...], reals: bool, text: str, status: Status) -> str:
    """Tell the watchers of a question; the first objection to its answer, or ""."""
    asked = Asked(_claim.get(), goal, hypotheses, reals, text, status)
    objections = [watcher(asked) for watcher in _watchers.get()]
    return next(filter(None, objections), "")


def tell_identity(
    left: Term, right: Term, context: Context, facts: Sequence[Cond], generic: frozenset[str], by: str
) -> None:
    """Tell the readers of an identity that was proved."""
    for reader in _readers.get():
        reader(Identity(_claim.get(), left, right, context, tuple(facts), generic, by))


def forget_answers() -> None:
    """Drop every answer that the verifier's functions keep, so that its questions are asked again."""
    for name, module in list(sys.modules.items()):
        if name.startswith("gradproof.verifier."):
            for value in list(vars(module).values()):
                clear = getattr(value, "cache_clear", None)
                if callable(clear):
                    clear()
