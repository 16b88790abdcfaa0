"""What becomes of a mutant: refuted by a replayed counterexample, shown to be equal, or open.

The claims of the rule that was changed are put to the prover, whatever else is known of the mutant: a proof is held
against every counterexample found, and against the denotation at many points. A mutant that is not proved is refuted at
a few cheap points if it can be, else by the verifier's own search, claim by claim, the cheap ones first. What does not
depend on the mistake (points, and what the calculus expects there) is computed once for an operator.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from functools import lru_cache
from math import prod
from typing import Any

from gradproof.compiler.claims import Counterexample, Verdict
from gradproof.compiler.denote import Irrational, Undecided, Undefined
from gradproof.compiler.obligations import claims_of_op
from gradproof.compiler.ops import OpDef, Param
from gradproof.compiler.rules import RuleSet, extents, rules_of, unfolded
from gradproof.compiler.terms import Cond, Term
from gradproof.compiler.transpose import NotLinear
from gradproof.verifier.declared import declared_at
from gradproof.verifier.derivatives import close
from gradproof.verifier.forms import forget
from gradproof.verifier.law_points import LawSearch
from gradproof.verifier.operators import verdict_of_claim, verdicts_of_op
from gradproof.verifier.options import Options
from gradproof.verifier.refute import Search
from gradproof.verifier.replay import Tangents, Test
from gradproof.verifier.witness import Entries, Point, Sizes, points_of, sizes_of
from mutate import Mutant

POINTS = 60  # at which a proved claim is held
CHEAP, TRIES = 8, 3  # sizes of the first search, and points of each
OPTIONS = Options(timeout=2.0, search=1.0)
PATIENT = Options(timeout=10.0, search=20.0)  # a search is limited by time: a busy machine gets another try
CODES: dict[str, tuple[str, ...]] = {"vjp": ("VJP",), "jvp": ("JVP",), "runs": ("RUNS",), "let": ("RUNS", "VJP")}


@dataclass(slots=True)
class Bench:
    """Points of an operator, the cheap ones first, and what its meaning and the calculus give there."""

    op: OpDef
    points: list[Point] = field(default_factory=list)
    values: dict[object, Any] = field(default_factory=dict)  # or the error that came instead
    irrational: int = 0  # points in a row at which rationals were not enough

    def __post_init__(self) -> None:
        def cost(sizes: Sizes) -> int:
            inputs = sum(prod(sizes.shape(extents(p))) for p in self.op.params)
            return prod(sizes.shape(extents(self.op.output))) * inputs

        def telling(sizes: Sizes) -> bool:  # an index that is shifted or swapped shows where sizes differ
            return len({*sizes.ints.values()} - {0, 1}) > 1 or len(sizes.ints) == 1

        every = sorted((s for s in sizes_of(self.op) if cost(s)), key=cost)
        first = every[:2]
        chosen = [*first, *(s for s in every if telling(s) and s not in first)][:CHEAP]
        chosen += [s for s in every if s not in chosen][: CHEAP - len(chosen)]
        each = [list(points_of(self.op, sizes, TRIES, 77)) for sizes in chosen]
        self.points = [points[k] for k in range(TRIES) for points in each if k < len(points)]

    def kept(self, key: object, compute: Callable[[], Any]) -> Any:
        """What was computed for this key before, or an error again."""
        if key not in self.values:
            try:
                self.values[key] = compute()
            except (Undefined, Undecided, Irrational, ZeroDivisionError) as error:
                self.values[key] = error
        found = self.values[key]
        if isinstance(found, Exception):
            raise found
        return found


@lru_cache(maxsize=4)
def bench_of(op: OpDef) -> Bench:
    """The bench of an operator; mutants come one operator after another, so few are kept."""
    return Bench(op)


class Shared(Search):
    """A search whose expectations come from the operator that the mutants were made of: it means the same."""

    __slots__ = ("bench",)

    def __init__(self, op: OpDef, rules: RuleSet, bench: Bench) -> None:
        Search.__init__(self, op, rules, 0.0)
        self.bench = bench

    def expected_vjp(self, point: Point, param: Param, kind: str) -> list[Entries]:
        """As it is of the operator itself."""
        return self._kept(("vjp", _told(point), param.name, kind), lambda s: s.expected_vjp(point, param, kind))

    def check_differentiable(self, point: Point, kind: str) -> None:
        """As it is of the operator itself."""
        self._kept(("smooth", _told(point), kind), lambda s: s.check_differentiable(point, kind))

    def value(self, point: Point, index: tuple[int, ...], kind: str) -> Any:
        """As it is of the operator itself."""
        return self._kept(("value", _told(point), index, kind), lambda s: s.value(point, index, kind))

    def outcomes(self, point: Point, term: Term, entry: tuple[int, ...], kind: str, tangents: Tangents) -> list[Any]:
        """As they are of the operator itself."""
        along = tuple((n, *t.values()) for n, t in tangents.items())
        key = ("outcomes", _told(point), term, entry, kind, along)
        return self._kept(key, lambda s: s.outcomes(point, term, entry, kind, tangents))

    def _kept(self, key: object, compute: Callable[[Search], Any]) -> Any:
        plain = Search(self.bench.op, self.rules, 0.0)
        return self.bench.kept(key, lambda: compute(plain))


def _told(point: Point) -> object:
    """What a point says: its sizes and its entries."""
    return (*point.sizes.ints.values(), *((name, *entries.values()) for name, entries in point.tensors.items()))


# The claims of the changed rule --------------------------------------------------------------------------------------


def own_claims(mutant: Mutant) -> list[tuple[int, Param | None]]:
    """The claims about the rule that was changed, by position, each VJP with its input."""
    rule, _, name = mutant.rule.partition(" ")
    claims = claims_of_op(mutant.op)
    first = next((k for k, c in enumerate(claims) if c.code == "VJP"), 0)
    codes = CODES[rule]
    found: list[tuple[int, Param | None]] = []
    for k, claim in enumerate(claims):
        param = mutant.op.differentiable[k - first] if claim.code == "VJP" else None
        if claim.code in codes and (rule != "vjp" or param is None or param.name == name):
            found.append((k, param))
    return found


def claim_at(search: Search, code: str, param: Param | None) -> Test:
    """The claim at one point, by the denotation and the kernels alone."""

    def at(point: Point, kind: str) -> Counterexample | None:
        match code:
            case "RUNS":
                return search.runs_at(point, kind)
            case "VJP" if param is not None:
                return search.vjp_at(point, param, kind)
            case "KINK":
                return search.jvp_at(point, kind) or declared_at(search, point, kind)
            case _:
                return search.jvp_at(point, kind)

    return at


def hold(original: OpDef, op: OpDef, code: str, param: Param | None) -> tuple[int, Counterexample | None]:
    """How many points could tell that the claim holds there, and a point where it does not."""
    search, told = _search(original, op), 0
    test = claim_at(search, code, param)
    small = sorted(sizes_of(op), key=lambda s: sum(s.ints.values()))[:12]
    for tries in (10, 60):
        for sizes in small:
            for point in points_of(op, sizes, tries, 1000 + tries):
                try:
                    found = search.conclude(point, test)
                    if found is not None and "undefined" in found.got:
                        continue  # equations are claimed where both sides have a value; DOM and SHAPE want one
                except (Undefined, Undecided, Irrational, ZeroDivisionError):
                    continue
                told += 1
                if found is not None or told >= POINTS:
                    return told, found
    return told, None


def _search(original: OpDef, op: OpDef) -> Search:
    rules = rules_of(op)
    return LawSearch(op, rules, 0.0) if op.lawful else Shared(op, rules, bench_of(original))


def cheap(original: OpDef, mutant: Mutant, code: str, param: Param | None) -> Counterexample | None:
    """A counterexample at one of the first points, replayed by the mutant's kernel."""
    bench, search = bench_of(original), _search(original, mutant.op)
    search.irrational = bench.irrational
    test = claim_at(search, code, param)
    for point in bench.points:
        found = search.attempt(point, test)
        bench.irrational = search.irrational
        if found is not None and "undefined" not in found.got:
            return found
    return None


# Judging -------------------------------------------------------------------------------------------------------------


def identical(original: OpDef, mutant: Mutant, timeout: float) -> bool:
    """Whether the changed formula is the one that it was made of, entry by entry, by the normal form; ties included.

    The identity says nothing of where the two are defined: SHAPE and DOM of the mutant do.
    """
    rule, _, name = mutant.rule.partition(" ")
    rules = rules_of(original)
    match rule:
        case "vjp":
            own = dict(rules.vjps)[name].result
        case "let":
            own = next(let for let in original.lets if let.target == name)
        case _:
            chosen = rules.jvp.result if rule == "jvp" and rules.jvp is not None else original.runs
            assert chosen is not None
            own = chosen
    if isinstance(own.body, Cond) or isinstance(mutant.formula.body, Cond):
        return False
    ranges = dict(zip(own.indices, own.extents, strict=True))
    before, after = (unfolded(original, body) for body in (own.body, mutant.formula.body))
    return close(original, before, after, timeout, ranges).proved


def judge(original: OpDef, mutant: Mutant, options: Options = OPTIONS, tempt: bool = True) -> str:
    """refuted, equal or open; an error where a proof does not hold or a refutation was not replayed.

    `tempt` puts what is refuted to the prover all the same, which must not prove it.
    """
    forget()
    try:
        rules_of(mutant.op)
    except NotLinear:
        verdicts = _shown(mutant, verdicts_of_op(mutant.op, options))
        rest = [v for v in verdicts if v.claim.code in ("SHAPE", "DOM", "RUNS")]
        same = (
            _outcome(verdicts) == "open" and _outcome(rest) == "equal" and identical(original, mutant, options.timeout)
        )
        return "equal" if same else _outcome(verdicts)
    claims = claims_of_op(mutant.op)
    proved: dict[int, int] = {}  # at how many points
    wrong = False
    for position, param in own_claims(mutant):
        code = claims[position].code
        found = cheap(original, mutant, code, param)
        if found is not None:
            wrong = True
            if not tempt:
                break
        if verdict_of_claim(mutant.op, position, options, search=False).answer != "proved":
            continue
        told = POINTS
        if found is None:
            told, found = hold(original, mutant.op, code, param)
        assert found is None, f"FALSE PROOF of {code}: {mutant.key}: {found}"
        proved[position] = told
    if wrong:
        return "refuted"
    outcome = _patiently(original, mutant, proved, options)
    for position, told in proved.items():
        few = f"only {told} points could tell: {claims[position].code} {mutant.key}"
        assert told >= POINTS // 4 or outcome != "equal", few
    return outcome


def _patiently(original: OpDef, mutant: Mutant, proved: Collection[int], options: Options) -> str:
    """What the verifier's own search makes of the claims that are not proved; all must be, for a mutant to be equal.

    Or its formula is the one that it was made of: then what is proved of that is true of the mutant, too.
    """
    claims = claims_of_op(mutant.op)
    own = {position for position, _ in own_claims(mutant)}
    first = {"SHAPE": 0, "DOM": 1, "KINK": 3}
    rest = [k for k in range(len(claims)) if k not in proved]
    rest.sort(key=lambda k: (2 if k in own else first.get(claims[k].code, 4), k))
    answers: list[Verdict] = []
    for position in rest:
        defined = [v.claim.code for v in answers if v.answer == "proved"] == ["SHAPE", "DOM"]
        if defined and len(answers) == 2 and identical(original, mutant, options.timeout):
            return _held(original, mutant, [(claims[k].code, param) for k, param in own_claims(mutant)])
        (verdict,) = _shown(mutant, [verdict_of_claim(mutant.op, position, options)])
        answers.append(verdict)
        if verdict.answer == "refuted":
            break
    outcome = _outcome(answers)
    return (
        _held(original, mutant, [("KINK", None)])
        if outcome == "equal" and "KINK" in {v.claim.code for v in answers}
        else outcome
    )


def _held(original: OpDef, mutant: Mutant, codes: list[tuple[str, Param | None]]) -> str:
    """Equal; an error where what is proved does not hold at a point."""
    for code, param in codes:
        _, found = hold(original, mutant.op, code, param)
        assert found is None, f"FALSE PROOF of {code}: {mutant.key}: {found}"
    return "equal"


def _shown(mutant: Mutant, verdicts: list[Verdict]) -> list[Verdict]:
    for verdict in verdicts:
        shown = verdict.counterexample
        assert shown is None or (shown.replayed and shown.expected != shown.got), mutant.key
    return verdicts


def _outcome(verdicts: list[Verdict]) -> str:
    answers = {v.answer for v in verdicts}
    return "refuted" if "refuted" in answers else "open" if "unknown" in answers else "equal"
