"""The normal form of terms: sums of monomials with their binders hoisted. [trusted kernel]

`normal(term)` is a polynomial: monomial -> rational coefficient. A monomial is
`sum over binders, where guards hold, of a product of atoms to rational powers`. The laws that it uses, and no others:

- commutative ring laws; `sum` is linear, sums multiply out (with bound indices renamed apart), an unused binder is its
  extent, `[i = e]` under `sum(i)` substitutes e for i and leaves `0 <= e < extent` behind (SPORES, VLDB 2020);
- `t^a * t^b = t^(a+b)`, `1/(a*b) = 1/a * 1/b`, `e^(a+b) = e^a * e^b`, `e^(log t) = t`, `log(e^a * t) = a + log t`,
  `sqrt(e^a * t) = e^(a/2) * sqrt t`, sin is odd, cos is even;
- an indicator of a real condition is a sum of `[p > 0]` and `[p < 0]`, which are idempotent and exclude each other;
  a function of a selection is the selection of the function;
- `(sum_j f_j)^-1 * sum_j f_j = 1` where j is in no other factor.

An equality that it shows holds at every point where both terms are defined. Why cancelling `t * t^-1` is sound there:
where the factor is evaluated, t != 0 because the term is defined; where it is not, an indicator beside it is 0 (replace
the reads by x + epsilon: the identity holds between Laurent series, the terms with a zero indicator vanish, the others
have the real values as their limits). No rule uses an indicator to rewrite the factors beside it, which is what that
argument needs. Each cancelled base is reported all the same (`Trace.cancelled`), and `sizes` may be 0 unless the
context says otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import count, permutations
from typing import Any, TypeAlias

from gradproof.compiler.dims import Poly, Sym
from gradproof.compiler.functions import FUNCTIONS
from gradproof.compiler.terms import (
    Add,
    And,
    BoolRead,
    Call,
    Cond,
    IntCmp,
    Mul,
    Not,
    Num,
    Or,
    Pow,
    Read,
    RealCmp,
    Reduce,
    Select,
    Size,
    Term,
    Truth,
)
from gradproof.verifier.ranges import Context

Number: TypeAlias = int | Fraction
Binder: TypeAlias = tuple[str, Poly]
Guard: TypeAlias = tuple[str, Poly]  # (">=" or "==", p): p rel 0
Factors: TypeAlias = tuple[tuple["Atom", Number], ...]
Frozen: TypeAlias = tuple[tuple["Monomial", Number], ...]


class TooLarge(ArithmeticError):
    """The expansion grew beyond what is worth comparing."""


class NotGeneric(ArithmeticError):
    """Points away from ties were asked for, and there may be none."""


LIMIT = 6000  # monomials in one normal form


class Atom:
    """An indivisible factor, interned: equal atoms are one object.

    kinds: "read" tensor, index; "size" dims atom; "bool" tensor, index; "pos"/"neg" frozen; "base" frozen (raised to a
    power that is no natural number); "exp" monomial; "log" frozen; "fn" name, frozen arguments;
    "fold" kind, extent, frozen body, frozen guard (max, min or prod over the index that is named by the height).
    """

    __slots__ = ("height", "id", "kind", "parts", "symbols")
    kind: str
    parts: tuple[Any, ...]
    id: int
    symbols: frozenset[str]
    height: int

    def __init__(self, kind: str, parts: tuple[Any, ...], id_: int) -> None:
        self.kind, self.parts, self.id = kind, parts, id_
        self.height, self.symbols = _describe(kind, parts)

    def __repr__(self) -> str:
        return f"{self.kind}{self.parts}"


@dataclass(frozen=True, slots=True)
class Monomial:
    """sum over binders where guards of the product of factors; factors are sorted by the atoms' ids."""

    binders: tuple[Binder, ...]
    guards: frozenset[Guard]
    factors: Factors
    _hash: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_hash", hash((self.binders, self.guards, self.factors)))

    def __hash__(self) -> int:
        return self._hash

    @property
    def symbols(self) -> frozenset[str]:
        """Names that are free in it."""
        names: set[str] = set()
        for atom, _ in self.factors:
            names |= atom.symbols
        for _, poly in (*self.guards, *self.binders):
            names |= poly.symbols
        return frozenset(names - {v for v, _ in self.binders})

    @property
    def height(self) -> int:
        """One more than the height of the atoms, where it binds anything."""
        inner = max((atom.height for atom, _ in self.factors), default=0)
        return inner + 1 if self.binders else inner


Form: TypeAlias = dict[Monomial, Number]
UNIT = Monomial((), frozenset(), ())
_atoms: dict[tuple[Any, ...], Atom] = {}
_names = count()


def _describe(kind: str, parts: tuple[Any, ...]) -> tuple[int, frozenset[str]]:
    match kind:
        case "read" | "bool":
            return 0, frozenset(s for p in parts[1] for s in p.symbols)
        case "size":
            return 0, Poly.atom(parts[0]).symbols
        case "pos" | "neg" | "base" | "log":
            return _of_frozen(parts[0])
        case "exp":
            return parts[0].height, parts[0].symbols
        case "fn":
            described = [_of_frozen(argument) for argument in parts[1]]
            return max((h for h, _ in described), default=0), frozenset().union(*(s for _, s in described))
        case _:
            inside = [_of_frozen(part) for part in parts[2:]]
            height = max(h for h, _ in inside) + 1
            names = frozenset[str]().union(*(s for _, s in inside))
            return height, (names - {f"%{height}.f"}) | parts[1].symbols


def _of_frozen(form: Frozen) -> tuple[int, frozenset[str]]:
    return max((m.height for m, _ in form), default=0), frozenset().union(*(m.symbols for m, _ in form))


def atom(kind: str, *parts: Any) -> Atom:
    """The atom with these parts."""
    key = (kind, *parts)
    found = _atoms.get(key)
    if found is None:
        found = _atoms[key] = Atom(kind, parts, len(_atoms))
    return found


def forget() -> None:
    """Drop the table of atoms (between files, to bound memory); forms made before must not be used after."""
    _atoms.clear()


def fresh_name() -> str:
    """A bound index's name that is used nowhere else."""
    return f"~{next(_names)}"


def _number(value: Number) -> Number:
    return value.numerator if isinstance(value, Fraction) and value.denominator == 1 else value


def constant(value: Number) -> Form:
    """The form of a constant."""
    return {UNIT: _number(value)} if value else {}


def plus(*forms: Form) -> Form:
    """The sum."""
    out: Form = {}
    for form in forms:
        accumulate(out, form)
    return out


def accumulate(out: Form, form: Form, scale: Number = 1) -> None:
    """out += scale * form."""
    for monomial, coefficient in form.items():
        value = out.get(monomial, 0) + coefficient * scale
        if value:
            out[monomial] = _number(value)
        else:
            out.pop(monomial, None)


def scaled(form: Form, factor: Number) -> Form:
    """factor * form."""
    return {m: _number(c * factor) for m, c in form.items()} if factor else {}


@dataclass(slots=True)
class Trace:
    """What a normalisation leaned on: the bases that were cancelled, as atoms."""

    cancelled: set[Atom] = field(default_factory=set)


class Normalizer:
    """Normal forms in one context (lower bounds of sizes, ranges of free indices).

    `generic` takes every real condition's two sides to be different, so that [p < 0] is 1 - [p > 0].
    """

    def __init__(self, context: Context, generic: bool = False) -> None:
        self.context, self.generic = context, generic
        self.trace = Trace()
        self._memo: dict[Term, Form] = {}

    # Terms -----------------------------------------------------------------------------------------------------

    def normal(self, term: Term) -> Form:
        """The normal form of a term, its bound indices under canonical names."""
        return self.canonical(self.form(term))

    def form(self, term: Term) -> Form:
        """The form of a term; bound indices have names of their own."""
        known = self._memo.get(term)
        if known is None:
            known = self._memo[term] = self._form(term)
        return self._apart(known)

    def _form(self, term: Term) -> Form:
        match term:
            case Num(value):
                return constant(value)
            case Size(poly):
                return self.of_poly(poly)
            case Read(tensor, index):
                return self.of_atom(atom("read", tensor, index))
            case Add(args):
                return plus(*map(self.form, args))
            case Mul(args):
                return self.product(map(self.form, args))
            case Pow(base, exponent):
                return self.power(self.form(base), exponent)
            case Call(fn, args):
                return self._call(fn, args)
            case Select(cond, then, other):
                below = self.form(other)
                difference = plus(self.form(then), scaled(below, -1))
                return plus(below, self.times(self.indicator(cond), difference))
            case Reduce("sum", var, extent, guard, body):
                return self.summed(var, extent, self.times(self.indicator(guard), self.form(body)))
            case Reduce():
                return self._fold(term)

    def of_poly(self, poly: Poly) -> Form:
        """An integer expression as a real: a polynomial in its atoms."""
        out: Form = {}
        for monomial, coefficient in poly.terms:
            factors = sorted(((atom("size", a), e) for a, e in monomial), key=lambda f: f[0].id)
            accumulate(out, {Monomial((), frozenset(), tuple(factors)): coefficient})
        return out

    def of_atom(self, one: Atom, exponent: Number = 1) -> Form:
        """One atom to a power."""
        return {Monomial((), frozenset(), ((one, exponent),)): 1}

    def _call(self, fn: str, args: tuple[Term, ...]) -> Form:
        forms = [self.form(a) for a in args]
        match fn:
            case "exp":
                return self.case_split(forms, lambda parts: self._exp(parts[0]))
            case "log":
                return self.case_split(forms, lambda parts: self._log(parts[0]))
            case "sqrt":
                return self.case_split(forms, lambda parts: self._root(parts[0]))
        unfold = FUNCTIONS[fn].unfold
        if unfold is not None:
            return self.form(unfold(*args))
        return self.case_split(forms, lambda parts: self._opaque(fn, parts))

    def _opaque(self, fn: str, forms: list[Form]) -> Form:
        frozen = [self.freeze(f) for f in forms]
        sign = 1
        if fn in ("sin", "cos", "atan", "erf") and frozen[0] and frozen[0][0][1] < 0:
            frozen = [self.freeze(scaled(forms[0], -1))]
            sign = 1 if fn == "cos" else -1
        return scaled(self.of_atom(atom("fn", fn, tuple(frozen))), sign)

    # Products and powers ---------------------------------------------------------------------------------------

    def product(self, forms: Iterable[Form]) -> Form:
        """The product of several forms."""
        out = constant(1)
        for form in forms:
            out = self.times(out, form)
        return out

    def times(self, a: Form, b: Form) -> Form:
        """The product of two forms whose bound indices have different names."""
        if len(a) * len(b) > LIMIT:
            raise TooLarge(f"{len(a) * len(b)} monomials")
        out: Form = {}
        for m1, c1 in a.items():
            for m2, c2 in b.items():
                accumulate(out, self._join(m1, m2), c1 * c2)
        return out

    def _join(self, m1: Monomial, m2: Monomial) -> Form:
        if m1 is UNIT or m1 == UNIT:
            return {m2: 1}
        if m2 == UNIT:
            return {m1: 1}
        return self.monomial((*m1.binders, *m2.binders), m1.guards | m2.guards, (*m1.factors, *m2.factors))

    def power(self, base: Form, exponent: int) -> Form:
        """An integer power; renames bound indices apart for every factor."""
        if exponent < 0:
            return self.case_split([base], lambda parts: self.power(self._inverse(parts[0]), -exponent))
        out = constant(1)
        for _ in range(exponent):
            out = self.times(out, self._apart(base))
        return out

    def monomial(
        self, binders: Iterable[Binder], guards: Iterable[Guard], factors: Iterable[tuple[Atom, Number]]
    ) -> Form:
        """The form of one monomial: factors merged, sums simplified."""
        powers: dict[Atom, Number] = {}
        negative: set[Atom] = set()
        for one, exponent in factors:
            if exponent < 0:
                negative.add(one)
            powers[one] = _number(powers.get(one, 0) + exponent)
        expand: list[tuple[Atom, int]] = []
        kept: list[tuple[Atom, Number]] = []
        for one, exponent in powers.items():
            if one.kind in ("pos", "neg", "bool"):
                if one.kind == "pos" and atom("neg", one.parts[0]) in powers:
                    return {}
                kept.append((one, 1))
            elif exponent == 0:
                if one in negative and one.kind != "exp":
                    self.trace.cancelled.add(one)
            elif one.kind == "base" and isinstance(exponent, int) and exponent > 0:
                expand.append((one, exponent))
            else:
                kept.append((one, exponent))
        kept.sort(key=lambda f: f[0].id)
        form = self._simplify(list(binders), set(guards), kept)
        for one, exponent in expand:
            form = self.times(form, self.power(self.thaw(one.parts[0]), exponent))
        return form

    def _inverse(self, base: Form) -> Form:
        if not base:
            return {}
        coefficient, outside, inside = self.content(base, every=True)
        factors = [(one, -exponent) for one, exponent in outside]
        if inside is not None:
            factors.append((atom("base", self.freeze(inside)), -1))
        return scaled(self.monomial((), (), factors), Fraction(1) / coefficient)

    def _root(self, base: Form) -> Form:
        if not base:
            return {}
        coefficient, outside, inside = self.content(base, every=False)
        half = Fraction(1, 2)
        factors: list[tuple[Atom, Number]] = []
        if coefficient < 0:
            inside = scaled(inside if inside is not None else constant(1), -1)
            coefficient = -coefficient
        exact = _exact_root(Fraction(coefficient))
        if exact is None:
            factors.append((atom("base", self.freeze(constant(coefficient))), half))
        factors += [(one, exponent * half) for one, exponent in outside]
        if inside is not None:
            factors += self._single(inside, half) or [(atom("base", self.freeze(inside)), half)]
        return scaled(self.monomial((), (), factors), exact if exact is not None else 1)

    def _single(self, form: Form, exponent: Fraction) -> list[tuple[Atom, Number]] | None:
        """The power of a form that is one atom to the power 1 or -1, or to a fractional power."""
        if len(form) != 1:
            return None
        ((monomial, coefficient),) = form.items()
        if coefficient != 1 or monomial.binders or monomial.guards or len(monomial.factors) != 1:
            return None
        one, inner = monomial.factors[0]
        if one.kind in ("pos", "neg", "bool") or (isinstance(inner, int) and abs(inner) != 1):
            return None
        return [(one, _number(inner * exponent))]

    def content(self, form: Form, every: bool) -> tuple[Number, list[tuple[Atom, Number]], Form | None]:
        """(c, outside, inside) with form = c * product(outside) * inside; inside is None where it is 1.

        `every` takes out each common atom (for an inverse); otherwise only what is positive (exponentials) or, under a
        root, non-negative for sure. The coefficient is the leading one's, so that `inside` is monic.
        """
        common: dict[Atom, Number] | None = None
        for monomial in form:
            bound = {v for v, _ in monomial.binders}
            powers = {
                one: e
                for one, e in monomial.factors
                if not one.symbols & bound and one.kind not in ("pos", "neg", "bool") and (every or self._positive(one))
            }
            if common is None:
                common = powers
            else:
                names = common.keys() | powers.keys()
                common = {one: min(common.get(one, 0), powers.get(one, 0)) for one in names}
        outside = [(one, e) for one, e in (common or {}).items() if e]
        inside = form
        if outside:
            strip = [(one, -e) for one, e in outside]
            inside = {}
            for monomial, coefficient in form.items():
                stripped = self._strip(monomial, strip)
                accumulate(inside, stripped, coefficient)
        frozen = self.freeze(inside)
        leading = frozen[0][1] if frozen else 1
        if inside.keys() == {UNIT}:
            return inside[UNIT], outside, None
        return leading, outside, scaled(inside, Fraction(1) / leading)

    def _strip(self, monomial: Monomial, strip: list[tuple[Atom, Number]]) -> Form:
        powers = dict(monomial.factors)
        for one, exponent in strip:
            powers[one] = _number(powers.get(one, 0) + exponent)
        factors = sorted(((one, e) for one, e in powers.items() if e), key=lambda f: f[0].id)
        return self._simplify(list(monomial.binders), set(monomial.guards), factors)

    def _positive(self, one: Atom) -> bool:
        return one.kind == "exp" or (one.kind == "size" and self.context.nonnegative(Poly.atom(one.parts[0])))

    # Exponentials and logarithms -------------------------------------------------------------------------------

    def _exp(self, argument: Form) -> Form:
        factors: list[tuple[Atom, Number]] = []
        for monomial, coefficient in self.canonical(argument).items():
            match monomial.factors:
                case ((one, 1),) if one.kind == "log" and not monomial.binders and not monomial.guards:
                    inner = self.thaw(one.parts[0])
                    if coefficient == 1 or coefficient == -1:
                        power = inner if coefficient == 1 else self._inverse(inner)
                        rest = [item for item in self.canonical(argument).items() if item[0] != monomial]
                        return self.times(power, self._exp(dict(rest)))
                    single = self._single(inner, Fraction(coefficient))
                    factors += single or [(atom("base", self.freeze(inner)), coefficient)]
                case _:
                    factors.append((atom("exp", monomial), coefficient))
        return self.monomial((), (), factors)

    def _log(self, argument: Form) -> Form:
        if not argument:
            return {}
        coefficient, outside, inside = self.content(argument, every=False)
        out: Form = {}
        left: list[tuple[Atom, Number]] = []
        for one, exponent in outside:
            if one.kind == "exp":
                accumulate(out, self._apart({one.parts[0]: 1}), exponent)
            else:
                left.append((one, exponent))
        inner = inside if inside is not None else constant(1)
        if coefficient < 0:
            inner, coefficient = scaled(inner, -1), -coefficient
        inner = self.times(inner, self.monomial((), (), left)) if left else inner
        if coefficient != 1:
            accumulate(out, self.of_atom(atom("log", self.freeze(constant(coefficient)))))
        if inner != constant(1):
            accumulate(out, self.of_atom(atom("log", self.freeze(inner))))
        return out

    # Conditions ------------------------------------------------------------------------------------------------

    def indicator(self, cond: Cond) -> Form:
        """1 where the condition holds, else 0."""
        match cond:
            case Truth(value):
                return constant(int(value))
            case IntCmp(rel, poly):
                if poly.constant is not None:
                    return constant(int(poly.constant >= 0 if rel == ">=" else poly.constant == 0))
                return {Monomial((), frozenset({(rel, poly)}), ()): 1}
            case BoolRead(tensor, index):
                return self.of_atom(atom("bool", tensor, index))
            case Not(arg):
                return plus(constant(1), scaled(self.indicator(arg), -1))
            case And(args):
                return self.product(map(self.indicator, args))
            case Or(args):
                none = self.product(plus(constant(1), scaled(self.indicator(a), -1)) for a in args)
                return plus(constant(1), scaled(none, -1))
            case RealCmp(rel, a, b):
                difference = plus(self.form(b), scaled(self.form(a), -1))
                if rel == "<":
                    return self.sign_is("pos", difference)
                below = self.sign_is("neg", difference)
                if rel == "<=":
                    return plus(constant(1), scaled(below, -1))
                return plus(constant(1), scaled(below, -1), scaled(self.sign_is("pos", difference), -1))

    def sign_is(self, sign: str, form: Form) -> Form:
        """The indicator of form > 0 ("pos") or form < 0 ("neg")."""
        return self.case_split([form], lambda parts: self._sign_is(sign, parts[0]))

    def _sign_is(self, sign: str, form: Form) -> Form:
        if form.keys() <= {UNIT}:
            value = form.get(UNIT, 0)
            return constant(int(value > 0 if sign == "pos" else value < 0))
        one = _oriented_sign(sign, self.freeze(form))
        if self.generic and _can_stay_equal(one.parts[0]):
            # An optimum always equals one of its entries, and floor(x) = 0 has inner points: no point is generic.
            raise NotGeneric("a comparison with an optimum or a step function")
        if self.generic and one.kind == "neg":
            return plus(constant(1), scaled(self.of_atom(atom("pos", one.parts[0])), -1))
        return self.of_atom(one)

    def case_split(self, forms: list[Form], build: Callable[[list[Form]], Form]) -> Form:
        """build(forms), with every selection inside the forms moved outside of build."""
        for form in forms:
            for monomial in form:
                bound = {v for v, _ in monomial.binders}
                for one, _ in monomial.factors:
                    if one.kind in ("pos", "neg", "bool") and not one.symbols & bound:
                        return self._split_atom(forms, one, build)
                for guard in monomial.guards:
                    if not guard[1].symbols & bound:
                        return self._split_guard(forms, guard, build)
        return build(forms)

    def _split_atom(self, forms: list[Form], one: Atom, build: Callable[[list[Form]], Form]) -> Form:
        opposite = {"pos": "neg", "neg": "pos"}.get(one.kind)
        excluded = atom(opposite, one.parts[0]) if opposite else None

        def assume(form: Form, value: bool) -> Form:
            out: Form = {}
            for m, c in form.items():
                names = {a for a, _ in m.factors}
                if (one in names and not value) or (value and excluded is not None and excluded in names):
                    continue
                rest = tuple(f for f in m.factors if f[0] is not one)
                accumulate(out, {Monomial(m.binders, m.guards, rest): c})
            return out

        yes = self.of_atom(one)
        no = plus(constant(1), scaled(yes, -1))
        when = self.case_split([self._apart(assume(f, True)) for f in forms], build)
        unless = self.case_split([self._apart(assume(f, False)) for f in forms], build)
        return plus(self.times(yes, when), self.times(no, unless))

    def _split_guard(self, forms: list[Form], guard: Guard, build: Callable[[list[Form]], Form]) -> Form:
        def assume(form: Form, value: bool) -> Form:
            out: Form = {}
            for m, c in form.items():
                if guard in m.guards and not value:
                    continue
                accumulate(out, {Monomial(m.binders, m.guards - {guard}, m.factors): c})
            return out

        yes: Form = {Monomial((), frozenset({guard}), ()): 1}
        no = plus(constant(1), scaled(yes, -1))
        when = self.case_split([self._apart(assume(f, True)) for f in forms], build)
        unless = self.case_split([self._apart(assume(f, False)) for f in forms], build)
        return plus(self.times(yes, when), self.times(no, unless))

    # Binders ---------------------------------------------------------------------------------------------------

    def summed(self, var: str, extent: Poly, body: Form) -> Form:
        """The sum of body over 0 <= var < extent."""
        out: Form = {}
        for monomial, coefficient in body.items():
            name = fresh_name()
            for renamed, c in self.substitute_monomial(monomial, {var: Poly.sym(name)}).items():
                inner = self._simplify([(name, extent), *renamed.binders], set(renamed.guards), list(renamed.factors))
                accumulate(out, inner, coefficient * c)
        return out

    def _fold(self, term: Reduce) -> Form:
        """max, min or prod: an opaque atom over the canonical form of its body."""
        length = term.extent.constant
        if term.kind == "prod" and length is not None and length <= 8 and term.guard == Truth(True):
            from gradproof.compiler.terms import substitute

            return self.product(self.form(substitute(term.body, {term.var: Poly.of(k)})) for k in range(length))
        body = self.freeze(self.form(term.body))
        condition = self.freeze(self.indicator(term.guard))
        height = max(_of_frozen(body)[0], _of_frozen(condition)[0]) + 1
        rename = {term.var: Poly.sym(f"%{height}.f")}
        body = self.freeze(self.substitute(self.thaw(body), rename))
        condition = self.freeze(self.substitute(self.thaw(condition), rename))
        # Pad the height so that the name is right whatever the substitution did to the inside.
        if max(_of_frozen(body)[0], _of_frozen(condition)[0]) + 1 != height:
            raise TooLarge("a fold whose body changes height under renaming")
        return self.of_atom(atom("fold", term.kind, term.extent, body, condition))

    def _simplify(self, binders: list[Binder], guards: set[Guard], factors: list[tuple[Atom, Number]]) -> Form:
        """Eliminate what can be eliminated from one sum; equality guards first."""
        while True:
            if any(_false(g) for g in guards) or any((e.constant or 1) < 1 or e == 0 for _, e in binders):
                return {}
            guards = {g for g in guards if g[1].constant is None}
            step = _solve_equality(binders, guards) or self._narrow(binders, guards)
            if step is None:
                break
            var, value, binders, guards = step
            if value is None:
                continue
            mapping = {var: value}
            binders = [(v, e.substitute(mapping)) for v, e in binders]
            guards = {(rel, _oriented(rel, p.substitute(mapping))) for rel, p in guards}
            if any(var in one.symbols for one, _ in factors):
                changed = self.product(
                    self._power_of(self.substitute_atom(one, mapping), exponent) for one, exponent in factors
                )
                out: Form = {}
                for m, c in changed.items():
                    merged = self.monomial((*binders, *m.binders), guards | m.guards, m.factors)
                    accumulate(out, merged, c)
                return out
        guards = self._drop_implied(binders, guards)
        extra = constant(1)
        for binder in list(binders):
            var, extent = binder
            used = any(var in one.symbols for one, _ in factors) or any(var in p.symbols for _, p in guards)
            if used or any(var in e.symbols for _, e in binders) or not self._counts(extent, binders):
                continue
            binders.remove(binder)
            extra = self.times(extra, self.of_poly(extent))
        contracted = self._contract(binders, guards, factors)
        if contracted is not None:
            binders, factors = contracted
        form: Form = {Monomial(tuple(binders), frozenset(guards), tuple(factors)): 1}
        if extra == constant(1):
            return form
        out = {}
        for m, c in extra.items():
            accumulate(out, self.monomial((*binders, *m.binders), guards | m.guards, (*factors, *m.factors)), c)
        return out

    def _counts(self, extent: Poly, binders: list[Binder]) -> bool:
        return self.context.with_ranges(dict(binders)).nonnegative(extent)

    def _narrow(self, binders: list[Binder], guards: set[Guard]) -> Any:
        """Turn a guard that bounds one index by something unbound into its range: shift, shorten, or drop."""
        bound = {v for v, _ in binders}
        for position, (var, extent) in enumerate(binders):
            if extent.constant == 1:
                return var, Poly.of(0), [b for b in binders if b[0] != var], guards
            for guard in guards:
                rel, poly = guard
                linear = poly.linear_in(var) if rel == ">=" and var in poly.symbols else None
                if linear is None or linear[1].symbols & bound or abs(linear[0].constant or 0) != 1:
                    continue
                rest = guards - {guard}
                if linear[0].constant == 1:  # var >= low
                    low = -linear[1]
                    if not self.context.nonnegative(low):
                        continue
                    shifted = [*binders[:position], (var, extent - low), *binders[position + 1 :]]
                    # The new extent must not be shifted again: the caller substitutes var + low in it too, harmlessly,
                    # because extents never mention their own index.
                    return var, Poly.sym(var) + low, shifted, rest
                high = linear[1] + 1  # var < high
                if self.context.nonnegative(extent - high):
                    return var, None, [*binders[:position], (var, high), *binders[position + 1 :]], rest
                if self.context.nonnegative(high - extent):
                    return var, None, binders, rest
        return None

    def _drop_implied(self, binders: list[Binder], guards: set[Guard]) -> set[Guard]:
        if not guards:
            return guards
        context = self.context.with_ranges(dict(binders))
        kept = set(guards)
        for guard in sorted(guards, key=str):
            rel, poly = guard
            others = [p for r, p in kept if r == ">=" and (r, p) != guard]
            if rel == ">=" and context.nonnegative(poly, others):
                kept.discard(guard)
        return kept

    def _contract(
        self, binders: list[Binder], guards: set[Guard], factors: list[tuple[Atom, Number]]
    ) -> tuple[list[Binder], list[tuple[Atom, Number]]] | None:
        """(sum_j f_j)^-1 * sum_j f_j = 1, where j is in no other factor and in no guard."""
        for one, exponent in factors:
            if one.kind != "base" or not isinstance(exponent, int) or exponent >= 0 or len(one.parts[0]) != 1:
                continue
            pattern, coefficient = one.parts[0][0]
            if coefficient != 1 or pattern.guards or len(pattern.binders) != 1:
                continue
            inner, extent = pattern.binders[0]
            for var, own in binders:
                if (
                    own != extent
                    or any(var in p.symbols for _, p in guards)
                    or any(var in e.symbols for _, e in binders)
                ):
                    continue
                mine = [f for f in factors if var in f[0].symbols]
                if len(mine) != len(pattern.factors):
                    continue
                wanted = self.substitute_monomial(Monomial((), frozenset(), pattern.factors), {inner: Poly.sym(var)})
                if wanted == {Monomial((), frozenset(), tuple(sorted(mine, key=lambda f: f[0].id))): 1}:
                    self.trace.cancelled.add(one)
                    left = [f for f in factors if f not in mine]
                    left = [(a, _number(e + 1)) if a is one else (a, e) for a, e in left]
                    kept = [(a, e) for a, e in left if e]
                    rest = [b for b in binders if b[0] != var]
                    again = self._contract(rest, guards, kept)
                    return again if again is not None else (rest, kept)
        return None

    # Substitution and names ------------------------------------------------------------------------------------

    def substitute(self, form: Form, mapping: Mapping[str, Poly]) -> Form:
        """Replace free sizes and indices in a form (its bound names must be apart from the mapping's)."""
        out: Form = {}
        for monomial, coefficient in form.items():
            accumulate(out, self.substitute_monomial(monomial, mapping), coefficient)
        return out

    def substitute_monomial(self, monomial: Monomial, mapping: Mapping[str, Poly]) -> Form:
        """`substitute`, for one monomial."""
        if not monomial.symbols & mapping.keys():
            return {monomial: 1}
        binders = [(v, e.substitute(mapping)) for v, e in monomial.binders]
        guards = {(rel, _oriented(rel, p.substitute(mapping))) for rel, p in monomial.guards}
        touched = [f for f in monomial.factors if f[0].symbols & mapping.keys()]
        if not touched:
            return self._simplify(binders, guards, list(monomial.factors))
        changed = self.product(self._power_of(self.substitute_atom(a, mapping), e) for a, e in touched)
        same = [f for f in monomial.factors if not f[0].symbols & mapping.keys()]
        out: Form = {}
        for m, c in changed.items():
            merged = self.monomial((*binders, *m.binders), guards | m.guards, (*same, *m.factors))
            accumulate(out, merged, c)
        return out

    def _power_of(self, form: Form, exponent: Number) -> Form:
        if exponent == 1:
            return form
        if isinstance(exponent, int):
            return self.power(form, exponent)
        single = self._single(form, exponent)
        if single is None and len(form) == 1:
            ((monomial, coefficient),) = form.items()
            if coefficient == 1 and len(monomial.factors) == 1 and not monomial.binders and not monomial.guards:
                return self.monomial((), (), [(monomial.factors[0][0], monomial.factors[0][1] * exponent)])
        if single is None:
            single = [(atom("base", self.freeze(form)), exponent)]
        return self.monomial((), (), single)

    def substitute_atom(self, one: Atom, mapping: Mapping[str, Poly]) -> Form:
        """An atom after substitution: a form, since a size may become a polynomial and a condition may be decided."""
        if not one.symbols & mapping.keys():
            return self.of_atom(one)
        match one.kind:
            case "read" | "bool":
                return self.of_atom(atom(one.kind, one.parts[0], tuple(p.substitute(mapping) for p in one.parts[1])))
            case "size":
                return self.of_poly(Poly.atom(one.parts[0]).substitute(mapping))
            case "pos" | "neg":
                return self.sign_is(one.kind, self.substitute(self.thaw(one.parts[0]), mapping))
            case "base":
                inner = self.substitute(self.thaw(one.parts[0]), mapping)
                return self.of_atom(atom("base", self.freeze(inner)))
            case "log":
                inner = self.substitute(self.thaw(one.parts[0]), mapping)
                return self.case_split([inner], lambda parts: self._log(parts[0]))
            case "exp":
                inner = self.substitute(self._apart({one.parts[0]: 1}), mapping)
                return self.case_split([inner], lambda parts: self._exp(parts[0]))
            case "fn":
                inside = [self.substitute(self.thaw(a), mapping) for a in one.parts[1]]
                return self.case_split(inside, lambda parts: self._opaque(one.parts[0], parts))
            case _:
                kind, extent, body, condition = one.parts
                changed = [self.freeze(self.substitute(self.thaw(p), mapping)) for p in (body, condition)]
                if max(_of_frozen(p)[0] for p in changed) + 1 != one.height:
                    raise TooLarge("a fold whose body changes height under substitution")
                return self.of_atom(atom("fold", kind, extent.substitute(mapping), *changed))

    def replace(self, form: Form, old: Atom, new: Form) -> Form:
        """Replace an atom that binds nothing by a form, everywhere in a form, inside other atoms too."""
        out: Form = {}
        for monomial, coefficient in form.items():
            touched = [f for f in monomial.factors if contains(f[0], old)]
            if not touched:
                accumulate(out, {monomial: coefficient})
                continue
            changed = self.product(self._power_of(self._replaced(a, old, new), e) for a, e in touched)
            same = [f for f in monomial.factors if not contains(f[0], old)]
            for m, c in changed.items():
                merged = self.monomial((*monomial.binders, *m.binders), monomial.guards | m.guards, (*same, *m.factors))
                accumulate(out, merged, c * coefficient)
        return out

    def _replaced(self, one: Atom, old: Atom, new: Form) -> Form:
        if one is old:
            return self._apart(new)
        match one.kind:
            case "pos" | "neg":
                return self.sign_is(one.kind, self.replace(self.thaw(one.parts[0]), old, new))
            case "base":
                return self.replace(self.thaw(one.parts[0]), old, new)
            case "log":
                inner = self.replace(self.thaw(one.parts[0]), old, new)
                return self.case_split([inner], lambda parts: self._log(parts[0]))
            case "exp":
                inner = self.replace(self._apart({one.parts[0]: 1}), old, new)
                return self.case_split([inner], lambda parts: self._exp(parts[0]))
            case "fn":
                inside = [self.replace(self.thaw(a), old, new) for a in one.parts[1]]
                return self.case_split(inside, lambda parts: self._opaque(one.parts[0], parts))
            case _:
                raise TooLarge("a replacement inside an optimum")

    def _apart(self, form: Form) -> Form:
        """The same form with new names for its bound indices."""
        if not any(m.binders for m in form):
            return form
        return {self._renamed(m): c for m, c in form.items()}

    def _renamed(self, monomial: Monomial, names: Mapping[str, str] | None = None) -> Monomial:
        if not monomial.binders:
            return monomial
        chosen = names or {v: fresh_name() for v, _ in monomial.binders}
        mapping = {old: Poly.sym(new) for old, new in chosen.items()}
        binders = tuple((chosen[v], e.substitute(mapping)) for v, e in monomial.binders)
        guards = frozenset((rel, _oriented(rel, p.substitute(mapping))) for rel, p in monomial.guards)
        factors = [(self._renamed_atom(a, mapping), e) for a, e in monomial.factors]
        return Monomial(binders, guards, tuple(sorted(factors, key=lambda f: f[0].id)))

    def _renamed_atom(self, one: Atom, mapping: Mapping[str, Poly]) -> Atom:
        """An atom with free names renamed to names that it does not have: always one atom again."""
        if not one.symbols & mapping.keys():
            return one
        match one.kind:
            case "read" | "bool":
                return atom(one.kind, one.parts[0], tuple(p.substitute(mapping) for p in one.parts[1]))
            case "size":
                ((renamed, _),), _ = Poly.atom(one.parts[0]).substitute(mapping).terms[0]
                return atom("size", renamed)
            case "pos" | "neg":
                return _oriented_sign(one.kind, self._renamed_frozen(one.parts[0], mapping))
            case "base" | "log":
                return atom(one.kind, self._renamed_frozen(one.parts[0], mapping))
            case "exp":
                return atom("exp", self._renamed_free(one.parts[0], mapping))
            case "fn":
                return atom("fn", one.parts[0], tuple(self._renamed_frozen(a, mapping) for a in one.parts[1]))
            case _:
                kind, extent, body, condition = one.parts
                inside = [self._renamed_frozen(p, mapping) for p in (body, condition)]
                return atom("fold", kind, extent.substitute(mapping), *inside)

    def _renamed_frozen(self, form: Frozen, mapping: Mapping[str, Poly]) -> Frozen:
        renamed: Form = {}
        for m, c in form:
            accumulate(renamed, {self._renamed_free(m, mapping): c})
        return _sorted(renamed)

    def _renamed_free(self, monomial: Monomial, mapping: Mapping[str, Poly]) -> Monomial:
        binders = tuple((v, e.substitute(mapping)) for v, e in monomial.binders)
        guards = frozenset((rel, _oriented(rel, p.substitute(mapping))) for rel, p in monomial.guards)
        factors = [(self._renamed_atom(a, mapping), e) for a, e in monomial.factors]
        return self._canonical_monomial(Monomial(binders, guards, tuple(sorted(factors, key=lambda f: f[0].id))))

    def thaw(self, form: Frozen) -> Form:
        """A frozen form with bound names of its own."""
        return self._apart(dict(form))

    def freeze(self, form: Form) -> Frozen:
        """The canonical, hashable version of a form."""
        return _sorted(self.canonical(form))

    def canonical(self, form: Form) -> Form:
        """The form with canonical names for bound indices, so that equal sums have equal monomials."""
        if not any(m.binders for m in form):
            return form
        out: Form = {}
        for monomial, coefficient in form.items():
            accumulate(out, {self._canonical_monomial(monomial): coefficient})
        return out

    def _canonical_monomial(self, monomial: Monomial) -> Monomial:
        if not monomial.binders:
            return monomial
        renamed = self._renamed(monomial, self.canonical_names(monomial))
        return Monomial(tuple(sorted(renamed.binders, key=lambda b: b[0])), renamed.guards, renamed.factors)

    def canonical_names(self, monomial: Monomial) -> dict[str, str]:
        """Names for the bound indices that depend on how they occur, not on what they are called."""
        height = monomial.height
        names = [v for v, _ in monomial.binders]
        order: list[list[str]] = [[]]
        for group in [names] if len(names) == 1 else self._colour(monomial):
            order = [[*prefix, *p] for prefix in order for p in permutations(group)]
            if len(order) > 720:
                raise TooLarge("too many indices that look alike")
        best: tuple[Any, dict[str, str]] | None = None
        for candidate in order:
            chosen = {v: f"%{height}.{k}" for k, v in enumerate(candidate)}
            if len(order) == 1:
                return chosen
            renamed = self._renamed(monomial, chosen)
            guards = sorted(map(str, renamed.guards))
            key = ([(a.id, e) for a, e in renamed.factors], guards, sorted(map(str, renamed.binders)))
            if best is None or key < best[0]:
                best = key, chosen
        if best is None:
            raise TooLarge("no order of indices")
        return best[1]

    def _colour(self, monomial: Monomial) -> list[list[str]]:
        """The bound indices grouped by how they occur: a refinement that does not look at their names."""
        names = [v for v, _ in monomial.binders]
        colours: dict[str, int] = dict.fromkeys(names, 0)
        extents = dict(monomial.binders)
        for _ in range(3):
            marks: dict[str, Any] = {}
            for var in names:
                mapping = {v: Poly.sym("@" if v == var else f"?{colours[v]}") for v in names}
                seen = []
                for one, exponent in monomial.factors:
                    if var in one.symbols:
                        seen.append((self._marked(one, mapping), str(exponent)))
                shape = sorted(str(p.substitute(mapping)) for _, p in monomial.guards if var in p.symbols)
                marks[var] = (colours[var], str(extents[var].substitute(mapping)), sorted(seen), shape)
            ranks = {mark: k for k, mark in enumerate(sorted({repr(m) for m in marks.values()}))}
            refined = {v: ranks[repr(marks[v])] for v in names}
            if len(set(refined.values())) == len(set(colours.values())):
                colours = refined
                break
            colours = refined
        groups: dict[int, list[str]] = {}
        for var in names:
            groups.setdefault(colours[var], []).append(var)
        return [groups[c] for c in sorted(groups)]

    def _marked(self, one: Atom, mapping: Mapping[str, Poly]) -> str:
        """An atom's text under a renaming that may identify names (a signature, never used as an atom)."""
        return _text(one.parts, one.kind, mapping)


def _text(part: Any, kind: str, mapping: Mapping[str, Poly]) -> str:
    match part:
        case Poly():
            return str(part.substitute(mapping))
        case Atom():
            return part.kind + _text(part.parts, part.kind, mapping)
        case Monomial():
            inner = sorted(_text(f, "", mapping) for f in part.factors)
            where = sorted(_text(g, "", mapping) for g in part.guards)
            return f"<{len(part.binders)} {inner} {where}>"
        case tuple() | list():
            pieces = [_text(p, "", mapping) for p in part]
            if part and isinstance(part[0], tuple) and part[0] and isinstance(part[0][0], Monomial):
                pieces.sort()
            return kind + "(" + ",".join(pieces) + ")"
        case Sym(name):
            return str(mapping.get(name, name))
        case str() | int() | Fraction():
            return str(part)
        case _:
            return str(Poly.atom(part).substitute(mapping))


def _sorted(form: Form) -> Frozen:
    return tuple(sorted(form.items(), key=_order))


def _order(item: tuple[Monomial, Number]) -> Any:
    monomial, _ = item
    factors = [(a.id, e) for a, e in monomial.factors]
    return (len(factors), factors, len(monomial.binders), str(monomial.binders), sorted(map(str, monomial.guards)))


def contains(one: Atom, wanted: Atom) -> bool:
    """Whether an atom is, or has inside, another one."""

    def inside(part: Any) -> bool:
        match part:
            case Atom():
                return part is wanted or inside(part.parts)
            case Monomial():
                return any(inside(a) for a, _ in part.factors)
            case tuple():
                return any(inside(p) for p in part)
            case _:
                return False

    return inside(one)


def _can_stay_equal(part: Any) -> bool:
    """Whether an optimum or an opaque step stands anywhere inside."""
    match part:
        case Atom():
            stepping = part.kind == "fold" or (part.kind == "fn" and FUNCTIONS[part.parts[0]].jump is not None)
            return stepping or _can_stay_equal(part.parts)
        case Monomial():
            return any(_can_stay_equal(one) for one, _ in part.factors)
        case tuple():
            return any(_can_stay_equal(p) for p in part)
        case _:
            return False


def _oriented_sign(sign: str, form: Frozen) -> Atom:
    """[form > 0] or [form < 0] with a monic form: p > 0 is -p < 0, and a positive factor changes nothing."""
    leading = form[0][1]
    if leading < 0:
        sign = "neg" if sign == "pos" else "pos"
    return atom(sign, tuple((m, _number(Fraction(c) / leading)) for m, c in form))


def _false(guard: Guard) -> bool:
    value = guard[1].constant
    return value is not None and not (value >= 0 if guard[0] == ">=" else value == 0)


def _oriented(rel: str, poly: Poly) -> Poly:
    return -poly if rel == "==" and poly.terms and poly.terms[0][1] < 0 else poly


def _solve_equality(binders: list[Binder], guards: set[Guard]) -> Any:
    """A bound index that an equality guard determines, and its value; the range it had becomes a guard."""
    options = []
    for guard in sorted((g for g in guards if g[0] == "=="), key=str):
        for var, extent in binders:
            linear = guard[1].linear_in(var) if var in guard[1].symbols else None
            if linear is None or abs(linear[0].constant or 0) != 1 or any(var in e.symbols for _, e in binders):
                continue
            value = -linear[1] * int(linear[0].constant or 1)
            options.append((value.as_symbol is None, guard, var, extent, value))
    if not options:
        return None
    _, guard, var, extent, value = min(options, key=lambda o: (o[0], str(o[1]), o[2]))
    left = (guards - {guard}) | {(">=", value), (">=", extent - 1 - value)}
    return var, value, [b for b in binders if b[0] != var], left


def _exact_root(value: Fraction) -> Fraction | None:
    from math import isqrt

    top, bottom = isqrt(value.numerator), isqrt(value.denominator)
    if top * top == value.numerator and bottom * bottom == value.denominator:
        return Fraction(top, bottom)
    return None
