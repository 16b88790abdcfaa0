"""Terms, conditions and forms as Coq: reals, integers in Z_scope, tensors as functions of positions.

What has no meaning in Coq's library that is equal to ours is a variable of the section, so a statement holds for every
function in its place: only `exp`, sums and arithmetic are Coq's own. `1 / 0` is 0 there as it is here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction

from gradproof.compiler.dims import Atom as DimsAtom
from gradproof.compiler.dims import Entry, FloorDiv, Max, Min, Mod, Poly, Sym
from gradproof.compiler.terms import (
    TRUE,
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
from gradproof.verifier.coq.forms import Atom, Form, Frozen, Mono, NotExported, freeze
from gradproof.verifier.questions import nameless, nameless_cond

NAMELESS = "@"  # what the names of indices begin with that tell nothing but their depth
OWN = {"exp": "exp", "log": "log", "sqrt": "sqrt"}  # the functions whose laws are used


class Printer:
    """Text of one section; it collects the variables that the section must declare."""

    def __init__(self) -> None:
        self.declared: dict[str, str] = {}  # name -> type
        self._names: dict[tuple[str, str], str] = {}
        self._taken: set[str] = set()

    def ident(self, kind: str, name: str) -> str:
        """The identifier of a name: one each, and none of Coq's words."""
        key = (kind, name)
        if key not in self._names:
            plain = kind + re.sub(r"[^A-Za-z0-9]+", "_", name.split("#")[0])
            found, k = plain, 2
            while found in self._taken:
                found, k = f"{plain}_{k}", k + 1
            self._taken.add(found)
            self._names[key] = found
        return self._names[key]

    def _variable(self, kind: str, name: str, type_: str) -> str:
        found = self.ident(kind, f"{name}{'' if ' -> ' not in type_ else '_' + str(type_.count('->'))}")
        self.declared[found] = type_
        return found

    def index(self, name: str, bound: bool = True) -> str:
        """A bound index; or a size, an attribute or a free index, which is declared."""
        if bound:
            return self.ident("b_", name)
        return self._variable("n_", name, "Z")

    # Integers.

    def poly(self, poly: Poly, bound: Mapping[str, str], turn: bool = False) -> str:
        """An integer expression, in parentheses and Z_scope; or its negative, if that is to begin with a plus."""
        name = poly.as_symbol
        if name is not None:
            return bound[name] if name in bound else self.index(name, bound=False)
        return f"({self._poly(poly, bound, turn)})%Z"

    def _poly(self, poly: Poly, bound: Mapping[str, str], turn: bool = False) -> str:
        parts = []
        places = {name: k for k, name in enumerate(bound)}

        def place(atoms: Iterable[DimsAtom]) -> tuple[list[int], list[str]]:
            """Bound indices by how deep they are bound, so that their names do not decide what is written first."""
            symbols = [(atom, Poly.atom(atom).symbols) for atom in atoms]
            inside = sorted(places.get(name, -1) for _, names in symbols for name in names)
            return inside, sorted(str(atom) for atom, names in symbols if not names & places.keys())

        terms = sorted(poly.terms, key=lambda term: place(atom for atom, _ in term[0]))
        sign = -1 if turn and terms and terms[0][1] < 0 else 1
        for monomial, coefficient in ((m, sign * c) for m, c in terms):
            ordered = sorted(monomial, key=lambda factor: place((factor[0],)))
            factors = [self._dims(atom, bound) for atom, exponent in ordered for _ in range(exponent)]
            if coefficient != 1 or not factors:
                factors.insert(0, f"({coefficient})" if coefficient < 0 else str(coefficient))
            parts.append(" * ".join(factors))
        return " + ".join(parts) or "0"

    def _dims(self, atom: DimsAtom, bound: Mapping[str, str]) -> str:
        match atom:
            case Sym(name):
                return bound[name] if name in bound else self.index(name, bound=False)
            case FloorDiv(num, den):
                return f"(({self._poly(num, bound)}) / ({self._poly(den, bound)}))"
            case Mod(num, den):
                return f"(({self._poly(num, bound)}) mod ({self._poly(den, bound)}))"
            case Min(a, b):
                return f"(Z.min ({self._poly(a, bound)}) ({self._poly(b, bound)}))"
            case Max(a, b):
                return f"(Z.max ({self._poly(a, bound)}) ({self._poly(b, bound)}))"
            case Entry(tensor, index):
                name = self._variable("i_", tensor, "Z -> " * len(index) + "Z")
                return f"({name}{self._places(index, bound)})"

    def _places(self, index: Iterable[Poly], bound: Mapping[str, str]) -> str:
        return "".join(f" {self.poly(p, bound)}" for p in index)

    # Conditions, as booleans.

    def cond(self, cond: Cond, bound: Mapping[str, str]) -> str:
        """A condition as a boolean."""
        if isinstance(cond, RealCmp) and not any(name.startswith(NAMELESS) for name in bound):
            cond = nameless_cond(cond, 0)
        match cond:
            case Truth(value):
                return "true" if value else "false"
            case IntCmp(">=", poly):
                return f"(0 <=? {self.poly(poly, bound)})%Z"
            case IntCmp("==", poly):
                return f"({self.poly(poly, bound, turn=True)} =? 0)%Z"
            case And(args):
                return self._joined("&&", args, bound)
            case Or(args):
                return self._joined("||", args, bound)
            case Not(arg):
                return f"(negb {self.cond(arg, bound)})"
            case BoolRead(tensor, index):
                name = self._variable("c_", tensor, "Z -> " * len(index) + "bool")
                return f"({name}{self._places(index, bound)})"
            case RealCmp("<", a, b):
                return f"(rlt {self.term(a, bound)} {self.term(b, bound)})"
            case RealCmp("<=", a, b):
                return f"(negb (rlt {self.term(b, bound)} {self.term(a, bound)}))"
            case RealCmp(_, a, b):
                return f"(req {self.term(a, bound)} {self.term(b, bound)})"
            case _:
                raise NotExported(f"a condition of the form {type(cond).__name__}")

    def _joined(self, sign: str, args: Sequence[Cond], bound: Mapping[str, str]) -> str:
        text = self.cond(args[0], bound)
        for arg in args[1:]:
            text = f"({text} {sign} {self.cond(arg, bound)})%bool"
        return text

    # Terms as they are.

    def term(self, term: Term, bound: Mapping[str, str]) -> str:
        """A real term, in parentheses."""
        match term:
            case Num(value):
                return rational(value)
            case Size(poly):
                return f"(IZR {self.poly(poly, bound)})"
            case Read(tensor, index):
                name = self._variable("t_", tensor, "Z -> " * len(index) + "R")
                return f"({name}{self._places(index, bound)})" if index else name
            case Add(args):
                return f"({' + '.join(self.term(a, bound) for a in args)})"
            case Mul(args):
                return f"({' * '.join(self.term(a, bound) for a in args)})"
            case Pow(base, exponent):
                return powered(self.term(base, bound), exponent)
            case Call(fn, args):
                return self.called(fn, [self.term(a, bound) for a in args])
            case Select(cond, then, other):
                return f"(sel {self.cond(cond, bound)} {self.term(then, bound)} {self.term(other, bound)})"
            case Reduce(kind) if kind != "sum" and not any(name.startswith(NAMELESS) for name in bound):
                # As the atom that it becomes: see proofs.py.
                return self._reduce(nameless(term, 0), bound)
            case Reduce():
                return self._reduce(term, bound)

    def _reduce(self, term: Term, bound: Mapping[str, str]) -> str:
        if not isinstance(term, Reduce):
            raise TypeError(f"no reduction: {term}")
        kind, var, extent, guard, body = term.kind, term.var, term.extent, term.guard, term.body
        name = self.index(var)
        inner = {**bound, var: name}
        inside = self.term(body, inner)
        if kind == "sum":
            inside = inside if guard == TRUE else f"(b2r {self.cond(guard, inner)} * {inside})"
            return summed([(name, self.poly(extent, bound))], inside)
        fold = self._variable("fold_", kind, "Z -> (Z -> bool) -> (Z -> R) -> R")
        where = f"(fun {name} : Z => {self.cond(guard, inner)})"
        return f"({fold} {self.poly(extent, bound)} {where} (fun {name} : Z => {inside}))"

    def called(self, fn: str, args: Sequence[str]) -> str:
        """A function's value."""
        if fn in OWN:
            return f"({OWN[fn]} {args[0]})"
        name = self._variable("f_", fn, "R -> " * len(args) + "R")
        return f"({name} {' '.join(args)})" if args else name

    # Forms.

    def form(self, form: Form | Frozen, bound: Mapping[str, str]) -> str:
        """A form, in parentheses."""
        items = freeze(form) if isinstance(form, dict) else form
        return f"({' + '.join(self.mono(m, c, bound) for m, c in items)})" if items else "0"

    def mono(self, mono: Mono, coefficient: Fraction, bound: Mapping[str, str]) -> str:
        """A monomial, in parentheses."""
        factors = [powered(self.atom(atom, bound), exponent) for atom, exponent in mono]
        if coefficient != 1 or not factors:
            factors.insert(0, rational(coefficient))
        return f"({' * '.join(factors)})"

    def atom(self, atom: Atom, bound: Mapping[str, str]) -> str:
        """An atom, in parentheses."""
        match atom.kind:
            case "read":
                return self.term(Read(*atom.parts), bound)
            case "size":
                return self.term(Size(*atom.parts), bound)
            case "ind":
                return f"(b2r {self.cond(atom.parts[0], bound)})"
            case "opaque":
                return self.term(atom.parts[0], bound)
            case "fn":
                return self.called(atom.parts[0], [self.form(argument, bound) for argument in atom.parts[1]])
            case "exp":
                return f"(exp {self.mono(atom.parts[0], atom.parts[1], bound)})"
            case "pos":
                return f"(b2r (rlt 0 {self.form(atom.parts[0], bound)}))"
            case "hole":
                return str(atom.parts[0])
            case "base":
                return self.form(atom.parts[0], bound)
            case _:
                return self.nest(atom.parts[0], atom.parts[1], bound)

    def nest(self, binders: Sequence[tuple[str, Poly]], mono: Mono, bound: Mapping[str, str]) -> str:
        """Nested sums of a monomial."""
        inner = {**bound, **{name: self.index(name) for name, _ in binders}}
        shown = [(inner[name], self.poly(extent, bound)) for name, extent in binders]
        return summed(shown, self.mono(mono, Fraction(1), inner))


def summed(binders: Sequence[tuple[str, str]], body: str) -> str:
    """Nested sums of a text."""
    for name, extent in reversed(binders):
        body = f"(sum {extent} (fun {name} : Z => {body}))"
    return body


def rational(value: Fraction) -> str:
    """A constant; a quotient is a product with an inverse."""
    top = f"{value.numerator}" if value.numerator >= 0 else f"(-{-value.numerator})"
    return top if value.denominator == 1 else f"({top} * / {value.denominator})"


def powered(text: str, exponent: int) -> str:
    """A power; a negative one is of the inverse."""
    if exponent < 0:
        text = f"(/ {text})"
    return text if abs(exponent) == 1 else f"({text} ^ {abs(exponent)})"
