"""Which job comes next, and what the answers amount to: a plan for the pool, or for a cluster.

A file is first outlined: what does it claim? Then its claims are settled, task by task. A task about an operator is
general: it is settled once for all files that have the same definition. Files are worked on in order, by workers that
have them loaded already where possible; where no file is left, a worker helps with another's. The reports don't depend
on who was first.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from gradproof.compiler.claims import Claim, Verdict, digest
from gradproof.gate.wire import KEPT, Data, WireError, diagnostic_data, read_answer, read_claim, read_diagnostic
from gradproof.grammar.source import Diagnostic, Source
from gradproof.pipeline import subjects_of
from gradproof.report import FileReport

OUTLINE, CERTIFICATE = -1, -2  # the tasks that are no claims
TRIES = 2  # of a job whose worker dies before it says what it is at
CHANGED = "G-CHANGED"
CRASHED = "G-CRASH"


@dataclass(frozen=True, slots=True)
class Task:
    """Claims of one file that are settled together."""

    claims: tuple[Claim, ...]
    shared: str  # the key of what is settled once for several files; empty: this file's alone

    @property
    def codes(self) -> set[str]:
        """The codes of its claims."""
        return {claim.code for claim in self.claims}


@dataclass(slots=True)
class Work:
    """One file on its way to a report."""

    path: str
    outline: Data | None = None
    error: Diagnostic | None = None
    warnings: tuple[Diagnostic, ...] = ()
    tasks: tuple[Task, ...] = ()
    verdicts: dict[int, tuple[Verdict, ...]] = field(default_factory=dict)
    ready: deque[int] = field(default_factory=deque)
    wanted: frozenset[int] = frozenset()
    codes: frozenset[str] | None = None  # those that were asked for; None: all
    certificate: str | None = None  # the digest of that which lies beside it, once it is judged
    problems: tuple[Diagnostic, ...] = ()  # what is wrong with that
    complete: bool = False
    lost: bool = False  # something of it, with a worker

    @property
    def conclusive(self) -> bool:
        """Whether trying again could tell nothing else: every claim is proved, refuted, or waits for a refuted one."""
        if not self.complete or self.lost or self.outline is None:
            return False
        return self.outline["error"] is not None or (self.error is None and final(self.asked()))

    def asked(self) -> list[Verdict]:
        """The verdicts that were asked for, in order."""
        found = [verdict for position in sorted(self.verdicts) for verdict in self.verdicts[position]]
        return [verdict for verdict in found if self.codes is None or verdict.claim.code in self.codes]

    def report(self) -> FileReport:
        """The report on the file."""
        if self.error is not None:
            return FileReport(self.path, error=self.error)
        found = self.asked()
        own = set() if self.outline is None else set(self.outline["own"])
        seconds = sum(verdict.seconds for verdict in found)
        subjects = subjects_of(found, own)
        return FileReport(self.path, subjects, None, self.warnings, seconds, problems=self.problems)


def final(verdicts: Sequence[Verdict]) -> bool:
    """Whether every verdict is a proof or a refutation, but for what was not tried because of a refutation."""
    open_ones = [verdict for verdict in verdicts if verdict.answer == "unknown"]
    refuted = any(verdict.answer == "refuted" for verdict in verdicts)
    return not open_ones or (refuted and all(verdict.seconds == 0 for verdict in open_ones))


@dataclass(slots=True)
class _Shared:
    """What is settled once: the answer, or who waits for it."""

    owner: Work
    answer: Sequence[Verdict] | None = None
    waiting: list[tuple[Work, int]] = field(default_factory=list)


class Schedule:
    """The plan of a run over files; `done` is told of each file that is complete."""

    def __init__(
        self,
        paths: Sequence[str],
        timeout: float,
        order: int,
        texts: Callable[[str], Source],
        done: Callable[[Work], None],
        codes: frozenset[str] | None = None,
        certified: frozenset[str] = frozenset(),  # the files with a certificate beside them
        allow_trusted: bool = False,
        store: str | None = None,  # where workers may keep proofs
    ) -> None:
        self.texts, self.done, self.codes, self.certified = texts, done, codes, certified
        self.common = {"order": order, "timeout": timeout, "store": store, "allow-trusted": allow_trusted}
        self.works = {path: Work(path, codes=codes) for path in paths}
        self.unread = deque(paths)
        self.shared: dict[str, _Shared] = {}
        self.loaded: dict[str, deque[str]] = {}
        self.skip: dict[tuple[str, int], dict[str, str]] = {}
        self.tries: dict[tuple[str, int], int] = {}
        self.left = len(self.works)

    @property
    def finished(self) -> bool:
        """Whether every file is complete."""
        return self.left == 0

    @property
    def claims(self) -> tuple[int, int]:
        """How many claims are settled, and how many are known to be there."""
        works = self.works.values()
        settled = sum(len(found) for work in works for found in work.verdicts.values())
        return settled, sum(len(work.tasks[k].claims) for work in works for k in work.wanted)

    def next(self, worker: str) -> Data | None:
        """A job for this worker: of a file that it has loaded, then a new file, then another's."""
        recent = self.loaded.setdefault(worker, deque(maxlen=KEPT))
        for path in reversed(recent):
            if self.works[path].ready:
                return self._prove(self.works[path])
        if self.unread:
            path = self.unread.popleft()
            self._touch(recent, path)
            return {"do": "outline", "path": path, **self.common}
        rest = max(self.works.values(), key=lambda work: len(work.ready), default=None)
        if rest is None or not rest.ready:
            return None
        self._touch(recent, rest.path)
        return self._prove(rest)

    def answered(self, job: Data, answer: Data) -> None:
        """Take the answer to a job; one that is no answer is told like a crash."""
        work = self.works[job["path"]]
        try:
            if answer.get("changed"):
                self._fail(
                    work, Diagnostic(CHANGED, "the file changed while it was proved", None, "run the gate again")
                )
            elif job["do"] == "outline":
                self._outlined(work, answer)
            elif job["do"] == "certificate":
                self._judged(work, answer)
            else:
                self._settled(work, job["task"], answer["verdicts"])
        except (WireError, KeyError, TypeError) as error:
            self.lost(job, None, f"its worker answered something that is no answer: {error}")

    def lost(self, job: Data, at: str | None, reason: str) -> None:
        """Try again without the claim that the worker was at; where it was at none, once more, then not again."""
        work = self.works[job["path"]]
        if work.complete:
            return
        work.lost = True
        position = OUTLINE if job["do"] == "outline" else job["task"]
        place = (work.path, position)
        self.tries[place] = self.tries.get(place, 0) + (at is None)
        if position == CERTIFICATE:
            problem = Diagnostic(CRASHED, f"the certificate could not be checked: {reason}", None)
            self._judged(work, {"problem": diagnostic_data(problem), "certificate": ""})
            return
        if position == OUTLINE:
            if self.tries[place] < TRIES:
                self.unread.appendleft(work.path)
            else:
                advice = "a smaller file, a larger `memory` or a larger `timeout` may help"
                self._fail(work, Diagnostic(CRASHED, f"the file could not be read: {reason}", None, advice))
            return
        known = self.skip.setdefault(place, {})
        task = work.tasks[position]
        if at is not None and at not in known and at in {claim.key for claim in task.claims}:
            known[at] = reason
        elif self.tries[place] >= TRIES or at is not None:
            known.update({claim.key: reason for claim in task.claims})
        if all(claim.key in known for claim in task.claims):
            found = [Verdict(c, "unknown", "", "all sizes", 0.0, reason=known[c.key]) for c in task.claims]
            self._answer(work, position, found)
        else:
            work.ready.appendleft(position)

    def _prove(self, work: Work) -> Data:
        assert work.outline is not None
        position = work.ready.popleft()
        return {
            "do": "certificate" if position == CERTIFICATE else "prove",
            "path": work.path,
            **self.common,
            "sources": work.outline["sources"],
            "task": position,
            "skip": self.skip.get((work.path, position), {}),
        }

    def _outlined(self, work: Work, answer: Data) -> None:
        if answer["error"] is not None:
            if answer["sources"] is not None:  # the text alone is to blame: it is ill-formed until it changes
                work.outline = {**answer, "own": [], "used": []}
            self._fail(work, read_diagnostic(answer["error"], self.texts))
            return
        work.warnings = tuple(read_diagnostic(one, self.texts) for one in answer["warnings"])
        work.tasks = tuple(self._task(one) for one in answer["tasks"])
        work.outline = answer
        wanted = [k for k, task in enumerate(work.tasks) if self.codes is None or task.codes & self.codes]
        work.wanted = frozenset(wanted)
        for position in wanted:
            self._open(work, position)
        if work.path in self.certified:
            work.ready.append(CERTIFICATE)
        self._check(work)

    def _judged(self, work: Work, answer: Data) -> None:
        """What was found out about the certificate beside a file."""
        if work.complete:
            return
        work.certificate = answer["certificate"]
        work.problems = () if answer["problem"] is None else (read_diagnostic(answer["problem"], self.texts),)
        self._check(work)

    def _task(self, data: Data) -> Task:
        claims = tuple(read_claim(one, self.texts) for one in data["claims"])
        return Task(claims, digest(*(claim.key for claim in claims)) if data["general"] else "")

    def _open(self, work: Work, position: int) -> None:
        """Put a task on the list, unless another file's is the same."""
        key = work.tasks[position].shared
        if not key:
            work.ready.append(position)
        elif key not in self.shared:
            self.shared[key] = _Shared(work)
            work.ready.append(position)
        elif (answer := self.shared[key].answer) is not None:
            self._put(work, position, answer)
        else:
            self.shared[key].waiting.append((work, position))

    def _settled(self, work: Work, position: int, data: Sequence[Data]) -> None:
        """Verdicts on a task: exactly one a claim, about exactly that claim."""
        if work.complete or position in work.verdicts:
            return  # an answer that came twice is taken once
        task = work.tasks[position]
        if len(data) != len(task.claims):
            raise WireError(f"{len(data)} verdicts on {len(task.claims)} claims")
        found = []
        for claim, one in zip(task.claims, data, strict=True):
            told = read_claim(one.get("claim"), self.texts)
            if told.key != claim.key:
                raise WireError(f"a verdict on another claim: {told.key[:80]}")
            found.append(read_answer(one, claim if task.shared else told))
        self._answer(work, position, found)

    def _answer(self, work: Work, position: int, found: Sequence[Verdict]) -> None:
        key = work.tasks[position].shared
        self._put(work, position, found)
        if key:
            shared = self.shared[key]
            shared.answer = found
            for other, place in shared.waiting:
                self._put(other, place, found)
                self._check(other)
            shared.waiting.clear()
        self._check(work)

    def _put(self, work: Work, position: int, found: Sequence[Verdict]) -> None:
        """A general answer is about the same claim in another file: the place is that file's own."""
        if work.complete:
            return
        task = work.tasks[position]
        if task.shared:
            found = [replace(verdict, claim=claim) for verdict, claim in zip(found, task.claims, strict=True)]
        work.verdicts[position] = tuple(found)

    def _fail(self, work: Work, error: Diagnostic) -> None:
        """The file has no verdicts; whoever waited for one of it does it again."""
        work.error = error
        work.verdicts.clear()
        for position in work.wanted:
            key = work.tasks[position].shared
            if key in self.shared and self.shared[key].answer is None:
                self._hand_over(work, key)
        work.ready.clear()
        self._check(work)

    def _hand_over(self, work: Work, key: str) -> None:
        """A general task that this file was to settle goes to the next file that waits for it."""
        shared = self.shared[key]
        shared.waiting = [(other, place) for other, place in shared.waiting if other is not work]
        if shared.owner is not work:
            return
        if shared.waiting:
            shared.owner, place = shared.waiting.pop(0)
            shared.owner.ready.append(place)
        else:
            del self.shared[key]

    def _check(self, work: Work) -> None:
        judged = work.path not in self.certified or work.certificate is not None
        settled = work.outline is not None and judged and work.wanted == work.verdicts.keys()
        if not work.complete and (work.error is not None or settled):
            work.complete = True
            self.left -= 1
            self.done(work)

    @staticmethod
    def _touch(recent: deque[str], path: str) -> None:
        if path in recent:
            recent.remove(path)
        recent.append(path)
