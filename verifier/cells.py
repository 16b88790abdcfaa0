"""KINK where an entry of the result depends on a fixed number of entries: every side of every tie at once, by Z3.

Each entry that is read becomes a scalar of its own, so the formula f and the rule r (the jvp that runs, along u) are
functions of finitely many reals. At a point z where something ties, with f_v and r_v for what they tend to along v
(sides.py), it is shown for all z in the domain, whatever the sizes, attributes and constants are:

- f and r are smooth up to z on each side;
- f_v(z) = f(z) for every direction v, unless a declared `jump at` covers z;
- r(z; u) <= max over some directions v of (f_v)'(z; u), for every u: r is in the convex hull of the limits of
  gradients, Clarke's subdifferential (Clarke 1983, theorem 2.5.1). Where a `jump at` covers z, it may instead be that
  f_v(z) is not f(z) for one of these v, so that f has no derivative there;
- where a `jump at` covers z, f still has partial derivatives in the entries in which it is continuous: r along such an
  entry alone is between the two one-sided ones;
- at a declared `at` or `jump at` each entry's coefficient of r is the declared value.

So a `jump at` that covers a point where f is smooth excuses nothing: there all f_v agree with f, and r must be the
derivative. (f_v)' is the calculus's; or it is r_v, where r is shown to be the derivative away from all ties, in
directions that leave each of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import permutations, product

from gradproof.compiler.calculus import derivative
from gradproof.compiler.claims import Hypothesis
from gradproof.compiler.dims import Poly
from gradproof.compiler.ops import TANGENT, OpDef
from gradproof.compiler.rewriting import map_children, map_cond, substitute, tensors, walk
from gradproof.compiler.rules import Computation, RuleSet, derived_jvp, meaning_of, unfolded
from gradproof.compiler.terms import (
    FALSE,
    ONE,
    TRUE,
    ZERO,
    And,
    Call,
    Cond,
    Read,
    RealCmp,
    Reduce,
    Term,
    Truth,
    add,
    both,
    either,
    mul,
    negate,
    num,
)
from gradproof.verifier.equality import equal
from gradproof.verifier.proofs import Proof
from gradproof.verifier.removable import Removable, at_tie, equations, expand, holds_equal
from gradproof.verifier.setting import setting_of
from gradproof.verifier.sides import (
    Opaque,
    Side,
    Sites,
    known_values,
    nonzero,
    plain,
    plain_cond,
    put,
    reads_any,
)

MOST = 4  # entries that vary, at most
PATIENCE = 3.0  # seconds for one question, at most: those that are true take far less


class Unsettled(Exception):
    """KINK can't be shown by these means; the reason is the message."""


class Elsewhere(Unsettled):
    """The formula is none of this shape."""


@dataclass(slots=True)
class _Entries:
    """The entries that are read, each as a scalar."""

    moving: frozenset[str]
    bound: frozenset[str] = frozenset()
    names: dict[object, str] = field(default_factory=dict)
    entries: dict[str, tuple[str, tuple[Poly, ...]]] = field(default_factory=dict)  # the varying scalars

    def term(self, term: Term) -> Term:
        """The term over scalars. What binds an index must not vary: it becomes a constant."""
        match term:
            case Read(tensor, index):
                tangent = tensor.startswith(TANGENT) and tensor[len(TANGENT) :] in self.moving
                name = self._name((tensor[len(TANGENT) :] if tangent else tensor, index))
                return Read(f"{name}.u" if tangent else name, ())
            case Reduce():
                if tensors(term) & (self.moving | {TANGENT + m for m in self.moving}):
                    raise Elsewhere(f"a {term.kind} over an index of entries that vary")
                return Read(self.names.setdefault(term, f"~c{len(self.names)}"), ())
            case _:
                return map_children(term, self.term, self.cond)

    def cond(self, cond: Cond) -> Cond:
        """`term`, for conditions."""
        return map_cond(cond, self.term, self.cond)

    def _name(self, entry: tuple[str, tuple[Poly, ...]]) -> str:
        name = self.names.setdefault(entry, f"~{len(self.names)}:{entry[0]}")
        if entry[0] in self.moving:
            self.entries[name] = entry
        return name

    def check_apart(self) -> None:
        """No two varying entries may ever be the same one."""
        for name, (tensor, index) in self.entries.items():
            for other, (second, place) in self.entries.items():
                if name >= other or tensor != second:
                    continue
                if not any((a - b).constant for a, b in zip(index, place, strict=True)):
                    raise Elsewhere(f"two entries of {tensor} that may be the same")


@dataclass(slots=True)
class Cells:
    """The question about one operator, over scalars."""

    op: OpDef
    rules: RuleSet
    timeout: float
    value: Term = ZERO
    rule: Term = ZERO
    slope: Term = ZERO  # the calculus's derivative of the value, along the tangents
    jump: Cond = FALSE  # where a jump is declared
    facts: tuple[Cond, ...] = ()
    names: tuple[str, ...] = ()
    apart: Cond = TRUE  # what sets removable ties apart, which are settled by themselves
    most: int = MOST  # entries that vary, at most
    away: bool = False  # whether the rule is known to be the derivative away from ties
    _entries: _Entries = field(init=False)
    _found: Sites = field(init=False)
    _own: Sites = field(init=False)

    def prove(self) -> Proof:
        """KINK of the operator."""
        try:
            self.read()
            self.away = self._away()
            try:
                self._sides()
            except Unsettled:
                if not self._removable():
                    raise
                self._sides()  # what else ties
            self.apart = TRUE
            for kink in self.op.kinks:
                if kink.value is not None:
                    self._declared(kink.cond, kink.value)
        except Opaque as error:
            raise Unsettled(str(error)) from None
        notes: tuple[Hypothesis, ...] = ()
        if any(k.jump for k in self.op.kinks):
            notes = (Hypothesis("no derivative is claimed where it jumps", "what is used there is declared"),)
        return Proof(True, "normal form + z3" if self.away else "z3", notes)

    def smooth(self) -> bool:
        """Whether the rule is the calculus's derivative wherever nothing ties: there the formula is smooth."""
        goal = RealCmp("==", self.rule, self.slope)
        from gradproof.verifier.smt import prove_real

        given = [*self.facts, negate(self._own.tied())]
        given += known_values(goal, *given)
        return prove_real(goal, given, min(self.timeout, PATIENCE)).answer == "proved"

    def _sides(self) -> None:
        sides = [self._side(v) for v in self._directions()]
        open_sides = sides if len(self.names) == 1 else [self._side(None)]
        self._smooth(open_sides)
        self._continuous(open_sides)
        self._between(sides)
        self._partial()

    def _removable(self) -> bool:
        """Settle the ties at which the formula is smooth when continued, and set them apart."""
        for found in self.removables():
            for name, wanted in found.gradient.items():
                tangents: dict[str, Term] = {f"{n}.u": ONE if n == name else ZERO for n in self.names}
                used = found.at_tie(put(self.rule, tangents))
                if not holds_equal(used, wanted, partial(self._ask_at, found.variable, found.centre)):
                    raise Unsettled("the rule at a removable singularity is not the limit of the derivative")
            self.apart = both(self.apart, negate(found.tie))
        return self.apart != TRUE

    def removables(self) -> Iterator[Removable]:
        """The ties at which the formula is smooth when continued."""
        why: Opaque | None = None
        for tie in equations(self.value, self.names):
            try:
                yield expand(self.value, tie, self.names, partial(self._ask_at, tie[1], tie[2]))
                return
            except Opaque as error:
                why = error
        if why is not None:
            raise why

    def _ask_at(self, variable: str, centre: Term, goal: Cond) -> bool:
        from gradproof.verifier.smt import prove_real

        given = at_tie(self.facts, variable, centre)
        return prove_real(goal, [*given, *known_values(goal, *given)], min(self.timeout, PATIENCE)).answer == "proved"

    def original(self, term: Term) -> Term:
        """A term over the scalars in the formula's own reads."""
        back = {name: Read(*key) if isinstance(key, tuple) else key for key, name in self._entries.names.items()}
        return put(term, back)  # type: ignore[arg-type]

    def entry(self, name: str) -> tuple[str, tuple[Poly, ...]]:
        """The entry that a varying scalar stands for."""
        return self._entries.entries[name]

    # The terms

    def read(self) -> None:
        """Set up the terms; Unsettled or Opaque where the formula has another shape."""
        op, jvp = self.op, self.rules.jvp
        if jvp is None:
            raise Unsettled("nothing varies")
        moving = frozenset(p.name for p in op.differentiable)
        self._entries = entries = _Entries(moving)
        self.value, self.rule = plain(entries.term(meaning_of(op))), plain(entries.term(_own(op, jvp)))
        conds = [k for k in op.kinks if k.jump]
        self.jump = either(*(plain_cond(entries.cond(_closed(k.cond, moving))) for k in conds))
        kinks = [plain_cond(entries.cond(_closed(k.cond, moving))) for k in op.kinks]
        ranges = dict(zip(op.forward.indices, op.forward.extents, strict=True))
        setting = setting_of(op)
        self.facts = tuple(plain_cond(entries.cond(fact)) for fact in setting.facts_at(ranges))
        entries.check_apart()
        self.names = tuple(sorted(entries.entries))
        if not 0 < len(self.names) <= self.most:
            raise Elsewhere(f"{len(self.names)} entries vary")
        vary = frozenset(self.names)
        tangents = {n: f"{n}.u" for n in self.names}
        self.slope = derivative(self.value, tangents)
        self._found, self._own = Sites(vary), Sites(vary)
        for term in (self.value, self.slope):
            self._found.add(term)
        for term in (self.value, self.slope, self.rule):
            self._own.add(term)
        for cond in kinks:
            self._own.add(cond)
        asked = [node for node in walk(self.rule) if isinstance(node, RealCmp | Call)]
        if any(reads_any(node, frozenset(tangents.values())) for node in asked):
            raise Unsettled("the rule is not linear in its tangents")
        context = setting.context.with_ranges(ranges)
        self.facts += tuple(context.known(*self.facts, RealCmp("==", self.value, self.rule)))

    def _away(self) -> bool:
        """Whether the rule is the derivative wherever nothing ties: then it is so on each side of a tie."""
        op, jvp = self.op, self.rules.jvp
        assert jvp is not None
        ranges = dict(zip(op.forward.indices, op.forward.extents, strict=True))
        setting, moving = setting_of(op), frozenset(p.name for p in op.differentiable)
        context, facts = setting.context.with_ranges(ranges), setting.facts_at(ranges)
        return equal(_own(op, jvp), derived_jvp(_undeclared(op)), context, facts, self.timeout, moving).proved

    def _side(self, direction: tuple[int, ...] | None) -> Side:
        along: dict[str, Term] = {
            n: Read(f"{n}.v", ()) if direction is None else num(direction[k]) for k, n in enumerate(self.names)
        }
        return Side(along, self._own.affine)

    def _directions(self) -> list[tuple[int, ...]]:
        """Some directions, of which few lie in a common plane of the usual conditions."""
        count = len(self.names)
        if count == 1:
            return [(1,), (-1,)]
        base = {2: (3, 1), 3: (4, 2, 1), 4: (7, 4, 2, 1)}[count]
        signs = list(product((1, -1), repeat=count)) if count == 2 else [(1,) * count, (-1,) * count]
        found = {
            tuple(s * p for s, p in zip(sign, place, strict=True)) for place in permutations(base) for sign in signs
        }
        middle = {tuple(p - base[count // 2] for p in place) for place in permutations(base)} if count > 2 else set()
        return sorted(found | middle)

    # The questions

    def _ask(self, goal: Cond, known: Cond = TRUE) -> bool:
        from gradproof.verifier.smt import prove_real

        if goal == TRUE or FALSE in (known, self._own.tied()):
            return True
        given = [*self.facts, self._own.tied(), *(c for c in (known, self.apart) if c != TRUE)]
        given += known_values(goal, *given)
        return prove_real(goal, given, min(self.timeout, PATIENCE)).answer == "proved"

    def _moved(self, side: Side) -> Cond:
        """That a direction is one."""
        parts = [v for v in side.along.values() if isinstance(v, Read)]
        return either(*map(nonzero, parts)) if parts else TRUE

    def _smooth(self, sides: list[Side]) -> None:
        for side in sides:
            needs = dict.fromkeys((*side.needs(self.value), *side.needs(self.rule)))
            for need in needs:
                if not self._ask(need, self._moved(side)):
                    raise Unsettled("a side of a tie may be undefined or steep there")

    def _continuous(self, sides: list[Side]) -> None:
        for side in sides:
            same = RealCmp("==", side.value(self.value), self.value)
            if not self._ask(either(self.jump, same), self._moved(side)):
                more = "that no `jump at` covers" if self.jump != FALSE else "declare it: `jump at x = 0: 0`"
                raise Unsettled(f"the formula jumps at a tie, or is not known not to ({more})")

    def _between(self, sides: list[Side]) -> None:
        """The hull, tried with the rule's own limits first: they need no laws of exp and the like."""
        for own in (True, False) if self.away else (False,):
            if all(self._ask(self._hull(sides, own, unit)) for unit in self._units()):
                return
        jumps = ", and the formula does not jump there" if self.jump != FALSE else ""
        raise Unsettled(f"the value at a tie is not known to be between those on its sides{jumps}")

    def _partial(self) -> None:
        """At a jump: each entry alone."""
        for name in self.names if self.jump != FALSE and len(self.names) > 1 else ():
            unit: dict[str, Term] = {f"{n}.u": ONE if n == name else ZERO for n in self.names}
            used, out = put(self.rule, unit), [negate(self.jump)]
            slopes: list[Term] = []
            for sign in (1, -1):
                side = Side({n: num(sign if n == name else 0) for n in self.names}, self._own.affine)
                out.append(nonzero(add(side.value(self.value), mul(num(-1), self.value))))
                slopes.append(put(side.value(self.slope), unit))
            for low, high in (slopes, slopes[::-1]):
                out.append(both(RealCmp("<=", low, used), RealCmp("<=", used, high)))
            if not self._ask(either(*out)):
                raise Unsettled("where it jumps in one entry, the value for another may be wrong")

    def _units(self) -> list[dict[str, Term]]:
        """Tangents: for one entry both directions are enough."""
        if len(self.names) > 1:
            return [{}]
        return [{f"{self.names[0]}.u": num(sign)} for sign in (1, -1)]

    def _hull(self, sides: list[Side], own: bool, unit: dict[str, Term]) -> Cond:
        used = put(self.rule, unit)
        options: list[Cond] = []
        for side in sides:
            sites, flat = (self._own, False) if own else (self._found, side.exact)
            here = both(side.crosses(sites, flat), *map(side.cond, self.facts))
            limit = put(side.value(self.rule if own else self.slope), unit)
            options.append(both(here, RealCmp("<=", used, limit)))
            if self.jump != FALSE:
                options.append(both(self.jump, here, nonzero(add(side.value(self.value), mul(num(-1), self.value)))))
        return either(*options)

    def _declared(self, cond: Cond, value: Term) -> None:
        if any(index != _place(self.op) for _, index in self._entries.entries.values()):
            raise Unsettled("a declared value where other entries are read than the result's own")
        known = plain_cond(self._entries.cond(cond))
        wanted = plain(self._entries.term(value))
        for name in self.names:
            tangents: dict[str, Term] = {f"{n}.u": ONE if n == name else ZERO for n in self.names}
            if not self._ask(either(negate(known), RealCmp("==", put(self.rule, tangents), wanted))):
                raise Unsettled("the rule's value at the kink is not the declared one")


def _place(op: OpDef) -> tuple[Poly, ...]:
    return tuple(Poly.sym(name) for name in op.forward.indices)


def _own(op: OpDef, jvp: Computation) -> Term:
    """The jvp that runs, at the result's indices."""
    names = dict(zip(jvp.result.indices, map(Poly.sym, op.forward.indices), strict=True))
    return substitute(unfolded(op, jvp.result.body), names)  # type: ignore[arg-type]


def _undeclared(op: OpDef) -> OpDef:
    return replace(op, kinks=())


def _closed(cond: Cond, moving: frozenset[str]) -> Cond:
    """The condition of a declared value, which must be an equation (and conditions on what does not vary)."""
    parts = cond.args if isinstance(cond, And) else (cond,)
    for part in parts:
        if isinstance(part, Truth) or (tensors(part) & moving and not (isinstance(part, RealCmp) and part.rel == "==")):
            raise Unsettled("a declared kink that is not an equation")
    return cond


def prove_cells(op: OpDef, rules: RuleSet, timeout: float) -> Proof:
    """KINK of an operator each of whose results depends on a fixed number of entries; Unsettled where it can't be."""
    return Cells(op, rules, timeout).prove()
