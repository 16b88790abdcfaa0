"""The second level of FWD and DENSE: what the tape's closures compute, entry by entry, on symbolic scalars.

For each kind of node (an operator's definition, its attributes, the ranks it is used at) a tape of one node is built at
small sizes and the runtime's own closures are run on arrays of symbols. Each entry is compared with two things:

- the denotation of the rule that the closure runs, everywhere, ties included;
- the meaning: for the value the denotation of the operator's formula, for the jvp and the vjp the derivative of that
  entry, taken scalar by scalar by the calculus, away from ties. Where this is not shown here, it rests on the
  operator's own claims (RUNS, JVP and VJP, for all sizes), and the verdict says so.

An entry that differs at a point is refuted by running the closures again there, in exact scalars (points.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from itertools import islice
from typing import Any

import numpy as np
from gradproof.compiler.calculus import derivative
from gradproof.compiler.claims import Counterexample, Hypothesis
from gradproof.compiler.denote import Env, Symbols, evaluate, holds
from gradproof.compiler.dims import Poly
from gradproof.compiler.graph import Graph, Node
from gradproof.compiler.ops import COTANGENT, OUTPUT, TANGENT, Formula, OpDef
from gradproof.compiler.rewriting import map_children, map_cond, replace_reads, tensors, walk
from gradproof.compiler.rules import Computation, computation, rules_of
from gradproof.compiler.terms import (
    ONE,
    ZERO,
    Add,
    BoolRead,
    Cond,
    Mul,
    Read,
    Select,
    Term,
    Truth,
    add,
    both,
    either,
    is_opaque,
    mul,
    negate,
    num,
    opaque,
    select,
)
from gradproof.runtime.exact import APPLIED, uninterpreted
from gradproof.verifier.equality import equal
from gradproof.verifier.naming import freeze
from gradproof.verifier.normal import Normalizer
from gradproof.verifier.points import OneNode, Position, refute
from gradproof.verifier.ranges import Context
from gradproof.verifier.shapes import tensor_extents
from gradproof.verifier.small import Small, small_cases
from gradproof.verifier.smt import prove_real

LONG = 4000  # parts of an entry's term

Reference = Callable[[Position], Any]


@dataclass(frozen=True, slots=True)
class Kind:
    """What the closures of a node depend on: the definition, the packs' ranks, the attributes (None: any value).

    A kernel takes its attributes as it takes its sizes, so other values stand for a node's own, where they may.
    """

    op: OpDef
    ranks: tuple[tuple[str, int], ...]
    ints: tuple[tuple[str, int | None], ...]
    reals: tuple[tuple[str, Fraction], ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """What became of the entries of the closures of one kind of node."""

    answer: str  # "proved", "refuted" or "unknown"
    by: str = ""
    scope: str = ""
    hypotheses: tuple[Hypothesis, ...] = ()
    counterexample: Counterexample | None = None
    reason: str = ""


def kinds_of(graph: Graph) -> dict[Kind, Node]:
    """The distinct kinds of nodes of a graph, each with the first node of that kind."""
    found: dict[tuple[Any, ...], Node] = {}
    for node in graph.inner:
        if node.op in graph.loops:
            continue  # what a loop's closures do is a claim of the loop
        found.setdefault((node.op, node.attrs, tuple(len(extents) for _, extents in node.sizes)), node)
    out: dict[Kind, Node] = {}
    for node in found.values():
        out.setdefault(_kind(graph.ops[node.op], node), node)
    return out


def _kind(op: OpDef, node: Node) -> Kind:
    ranks = tuple((name, len(extents)) for name, extents in node.sizes)
    shaping = {s for p in (*op.params, op.output) for a in p.axes if a.rank for s in a.rank.symbols}
    ints = {name: value.constant for name, value in node.attrs if isinstance(value, Poly)}
    reals = {name: value for name, value in node.attrs if isinstance(value, Fraction)}
    others = {name: Fraction(3 * k + 2, 3) for k, name in enumerate(reals)}
    open_ints = {name: value if name in shaping else None for name, value in ints.items()}
    kind = Kind(op, ranks, tuple(open_ints.items()), tuple(others.items()))
    return kind if _small(kind) is not None else Kind(op, ranks, tuple(ints.items()), tuple(reals.items()))


@lru_cache(maxsize=4096)
def _small(kind: Kind) -> Small | None:
    return next(small_cases(kind.op, dict(kind.ranks), dict(kind.ints), dict(kind.reals)), None)


@lru_cache(maxsize=4096)
def compare(kind: Kind, what: str, timeout: float) -> Comparison:
    """Compare the closures of a kind of node entry by entry: `what` is "value" or "derivatives"."""
    small = _small(kind)
    if small is None:
        return Comparison("unknown", reason=f"no small sizes satisfy what {kind.op.name} requires")
    work = _Work(kind.op, small, timeout)
    means: dict[str, None] = {}
    assumed: dict[Hypothesis, None] = {}
    try:
        for part in work.value() if what == "value" else work.derivatives():
            if part.answer != "proved":
                return part
            means.update(dict.fromkeys(part.by.split(" + ")))
            assumed.update(dict.fromkeys(part.hypotheses))
    except (ValueError, ArithmeticError, LookupError, TypeError) as error:
        return Comparison("unknown", reason=f"a closure failed on symbols: {type(error).__name__}: {error}")
    scope = ", ".join(f"{name} = {each[0] if len(each) == 1 else list(each)}" for name, each in small.sizes.items())
    return Comparison("proved", " + ".join(means), scope, tuple(assumed))


class _Work:
    """One operator at small sizes: the closures of a tape of one node, and the references."""

    def __init__(self, op: OpDef, small: Small, timeout: float) -> None:
        self.op, self.small, self.timeout = op, small, timeout
        self.rules = rules_of(op)
        self.node = OneNode(op, small)
        self._meaning = lru_cache(maxsize=None)(self._reference(computation(op, op.forward)))

    def value(self) -> Iterator[Comparison]:
        """Every entry of the value."""
        rule = self._reference(self.rules.forward)
        for at, got in self.node.entries("value", self.node.symbols()):
            yield self._entry("value", at, got, rule(at), self._meaning, "RUNS" if self.op.runs else "")

    def derivatives(self) -> Iterator[Comparison]:
        """Every entry of the jvp, and of the contribution to each input."""
        if self.rules.jvp is None:
            return
        outputs = list(np.ndindex(self.small.extents(self.op.output)))
        # What an extern computes has no formula to differentiate: there the rules rest on JVP and VJP alone.
        slopes = {
            p.name: {o: derivative(self._meaning(o), {p.name: TANGENT + p.name}) for o in outputs}
            for p in (() if self.op.lawful else self.op.differentiable)
        }

        def along(at: Position) -> Term:
            return add(*(slopes[p.name][at] for p in self.op.differentiable))

        def back(name: str) -> Callable[[Position], Term]:
            def entry(at: Position) -> Term:
                return add(*(mul(_read(COTANGENT, o), _partial(slopes[name][o], TANGENT + name, at)) for o in outputs))

            return entry

        symbols = self.node.symbols()
        rule = self._reference(self.rules.jvp)
        for at, got in self.node.entries("jvp", symbols):
            yield self._entry("jvp", at, got, rule(at), along, "JVP")
        for name, made in self.rules.vjps:
            rule = self._reference(made)
            for at, got in self.node.entries(f"vjp {name}", symbols):
                yield self._entry(f"vjp {name}", at, got, rule(at), back(name), "VJP")

    def _entry(
        self, what: str, at: Position, got: Any, rule: Any, meaning: Callable[[Position], Any], rests: str
    ) -> Comparison:
        where = f"{what} of {self.op.name} at {list(at)}"
        first = self._same(got, rule)
        if not first:
            found = refute(self.node, what, at, rule, ties=True)
            return _refuted(found) or Comparison("unknown", reason=f"{where}: it was not shown equal to its rule")
        claim = Hypothesis(f"the {what} rule of {self.op.name} is right", f"{rests} of {self.op.name}, for all sizes")
        if self.op.lawful and rests:
            return Comparison("proved", first, hypotheses=(claim,))
        moved = frozenset(p.name for p in self.op.differentiable) if rests in ("JVP", "VJP") else frozenset[str]()
        # An entry of a derivative of second order may be too long to expand: then it rests on the claim for all sizes.
        sides = self._without_output(rule), meaning(at)
        second = "" if rests and _longer(sides, LONG) else self._same(*sides, moved)
        if second:
            return Comparison("proved", first if second == "structure" else second)
        found = refute(self.node, what, at, meaning(at), ties=False)
        if found is not None or not rests:
            reason = f"{where}: its rule was not shown equal to the meaning"
            return _refuted(found) or Comparison("unknown", reason=reason)
        return Comparison("proved", first, hypotheses=(claim,))

    def _same(self, a: Any, b: Any, generic: frozenset[str] = frozenset()) -> str:
        """By what means the two are shown equal, but for ties of the entries of `generic`; empty where they are not."""
        if isinstance(a, bool | np.bool_ | Cond) or isinstance(b, bool | np.bool_ | Cond):
            left, right = (Truth(bool(c)) if isinstance(c, bool | np.bool_) else c for c in (a, b))
            if left == right:
                return "structure"
            same = either(both(left, right), both(negate(left), negate(right)))
            return "z3" if prove_real(same, (), self.timeout).answer == "proved" else ""
        a, b = (num(int(v)) if isinstance(v, int | np.integer) else v for v in (a, b))
        a, b = (replace_reads(v, _by_arguments) if any(map(is_opaque, tensors(v))) else v for v in (a, b))
        if a == b or tidy(a) == tidy(b):
            return "structure"
        found = equal(a, b, Context({}, {}), (), self.timeout, generic=generic)
        return found.by if found.proved else ""

    def _without_output(self, rule: Any) -> Any:
        if isinstance(rule, bool | np.bool_ | Cond):
            return rule
        return replace_reads(rule, lambda r: self._meaning(_literal(r)) if r.tensor == OUTPUT else r)

    def _extern(self, tensor: str, real: Callable[[str, Position], Any]) -> Any:
        """What an extern makes of its arguments: uninterpreted, and the same for the same arguments."""
        extern, table = self.op.extern(tensor), tensor_extents(self.op)
        if extern is None:
            raise ValueError(f"no extern computes {tensor[1:]}")
        ints = self.small.env(self.op).ints
        args = []
        for name in extern.args:
            arg = np.empty(tuple(e.evaluate(ints) for e in table[name]), object)
            for at in np.ndindex(arg.shape):
                arg[at] = real(name, at).term
            args.append(arg)
        return uninterpreted(extern.kernel, args, tuple(e.evaluate(ints) for e in extern.extents))

    def _reference(self, computation: Computation) -> Reference:
        """The denotation of a rule at an entry; its intermediates are computed where they are read."""
        lets = {f.target: f for f in computation.lets}
        reals, env = self.small.reals, self.small.env(self.op)
        field = Symbols()
        made: dict[str, Any] = {}

        def real(name: str, position: Position) -> Any:
            if is_opaque(name):
                if name not in made:
                    made[name] = self._extern(name, real)
                return Symbols._Value(made[name][position])
            if name in lets:
                return value(lets[name], position)
            return field.num(reals[name]) if name in reals else field.real(name, position)

        def boolean(name: str, position: Position) -> Cond:
            return BoolRead(name, tuple(map(Poly.of, position)))

        def value(formula: Formula, at: Position) -> Any:
            names = {**env.ints, **dict(zip(formula.indices, at, strict=True))}
            inner = Env(names, real, env.integer, boolean)
            body = formula.body
            return holds(body, inner, field) if isinstance(body, Cond) else evaluate(body, inner, field)

        def entry(at: Position) -> Any:
            found = value(computation.result, at)
            return found if isinstance(found, bool | Cond) else found.term

        return entry


def _longer(sides: tuple[Any, ...], limit: int) -> bool:
    """Whether these terms have more parts than the limit."""
    parts = (part for side in sides if isinstance(side, Term | Cond) for part in walk(side))
    return next(islice(parts, limit, None), None) is not None


def _by_arguments(read: Read) -> Term:
    """A symbol of what an extern computes, named by its arguments' normal forms: equal ones give equal results."""
    if read.tensor not in APPLIED:
        return read
    return Read(_canonical_name(read.tensor), read.index)


@lru_cache(maxsize=4096)
def _canonical_name(tensor: str) -> str:
    kernel, args = APPLIED[tensor]
    work = Normalizer(Context({}, {}))

    def entry(value: Any) -> object:
        return freeze(work.normal(replace_reads(value, _by_arguments)))

    key = (kernel, tuple((arg.shape, tuple(entry(value) for value in arg.reshape(-1))) for arg in args))
    return _names.setdefault(key, f"{opaque(kernel)}#{len(_names)}")


_names: dict[object, str] = {}


def tidy(term: Term) -> Term:
    """The term with sums and products sorted and factors moved into selections: [c] * t = select(c, t, 0)."""
    term = map_children(term, tidy, lambda c: map_cond(c, tidy, lambda inner: inner))
    match term:
        case Add(args):
            return Add(tuple(sorted(args, key=repr)))
        case Mul(args):
            chosen = next((a for a in args if isinstance(a, Select) and a.other == ZERO), None)
            if chosen is None:
                return Mul(tuple(sorted(args, key=repr)))
            rest = list(args)
            rest.remove(chosen)
            return select(chosen.cond, tidy(mul(chosen.then, *rest)), ZERO)
        case _:
            return term


def _refuted(found: Counterexample | None) -> Comparison | None:
    return None if found is None else Comparison("refuted", "exact arithmetic", counterexample=found)


def _read(name: str, position: Position) -> Read:
    return Read(name, tuple(map(Poly.of, position)))


def _literal(read: Read) -> Position:
    return tuple(p.evaluate({}) for p in read.index)


def _partial(slope: Term, tangent: str, at: Position) -> Term:
    """The coefficient of the tangent's entry `at` in a derivative, which is linear in the tangent."""

    def change(read: Read) -> Term:
        if read.tensor != tangent:
            return read
        return ONE if _literal(read) == at else ZERO

    return replace_reads(slope, change)
