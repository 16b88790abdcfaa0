"""Mutants of operators: every rule that runs, with one small mistake of the kind that people make in gradients."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from gradproof.compiler.dims import Entry, Poly
from gradproof.compiler.ops import COTANGENT, OUTPUT, TANGENT, Formula, OpDef
from gradproof.compiler.rewriting import children, map_children, map_cond, substitute, tensors
from gradproof.compiler.rules import rules_of
from gradproof.compiler.terms import (
    ONE,
    TRUE,
    Add,
    And,
    BoolRead,
    Call,
    Cond,
    IntCmp,
    Mul,
    Num,
    Or,
    Pow,
    Read,
    RealCmp,
    Reduce,
    Select,
    Size,
    Term,
    add,
    both,
    either,
    in_range,
    int_eq,
    int_ge,
    mul,
    neg,
    negate,
    num,
    power,
    reduce_,
    select,
    size,
)
from gradproof.verifier.local_edits import cond_with_child, with_child


@dataclass(frozen=True, slots=True)
class Mutant:
    """An operator with one mistake: in which rule (`vjp x`, `jvp`, `runs`), what was done, and what came of it."""

    rule: str
    change: str
    op: OpDef
    formula: Formula

    @property
    def key(self) -> str:
        """A name that is the same in every run."""
        return f"{self.op.name} | {self.rule} | {self.change}"


def mutants(op: OpDef) -> Iterator[Mutant]:
    """Every mutant of the rules of an operator, written or derived; rules that come out the same come out once."""
    rules = rules_of(op)
    kinds = {p.name: (p.kind, len(p.axes)) for p in op.params}
    output = (op.output.kind, len(op.output.axes))
    for name, computation in rules.vjps:
        others = tuple(f for f in op.vjps if f.target != name)
        reads = {**kinds, OUTPUT: output, COTANGENT: output}
        for change, formula in _of_formula(computation.result, reads):
            yield Mutant(f"vjp {name}", change, replace(op, vjps=(*others, formula)), formula)
    if rules.jvp is not None:
        reads = {**kinds, OUTPUT: output, **{TANGENT + p.name: kinds[p.name] for p in op.differentiable}}
        for change, formula in _of_formula(rules.jvp.result, reads):
            yield Mutant("jvp", change, replace(op, jvp=formula), formula)
    if op.runs is not None:
        for change, formula in _of_formula(op.runs, kinds):
            yield Mutant("runs", change, replace(op, runs=formula), formula)
        meant = tensors(op.forward.body)
        for position, let in enumerate(op.lets):
            if let.target in meant:
                continue  # a part of the definition: with it the meaning changes too
            for change, formula in _of_formula(let, kinds):
                lets = (*op.lets[:position], formula, *op.lets[position + 1 :])
                yield Mutant(f"let {let.target}", change, replace(op, lets=lets), formula)


Kinds = dict[str, tuple[str, int]]


def _of_formula(formula: Formula, kinds: Kinds) -> Iterator[tuple[str, Formula]]:
    known = both(*(in_range(Poly.sym(v), e) for v, e in zip(formula.indices, formula.extents, strict=True)))
    start = _assuming(formula.body, set(known.args if isinstance(known, And) else (known,)))
    seen: set[Term | Cond] = {formula.body, start}
    counts: dict[str, int] = {}
    root = [("flip the sign", neg(start)), ("double", mul(num(2), start))]
    for change, body in (*root, *changed(start, kinds)):
        if body not in seen:
            seen.add(body)
            counts[change] = counts.get(change, 0) + 1
            label = change if counts[change] == 1 else f"{change} ({counts[change]})"
            yield label, replace(formula, body=body)


def _assuming(node: Term, known: set[Cond]) -> Term:
    """The term without the conditions that hold at every entry anyway: a mistake in those would be none."""

    def cond(one: Cond) -> Cond:
        return TRUE if one in known else map_cond(one, lambda t: _assuming(t, known), cond)

    return map_children(node, lambda t: _assuming(t, known), cond)


def changed(node: Term, kinds: Kinds) -> Iterator[tuple[str, Term]]:
    """Every way to make one mistake in a term."""
    yield from _here(node, kinds)
    for position, child in enumerate(children(node)):
        inner = changed_cond(child, kinds) if isinstance(child, Cond) else changed(child, kinds)
        for change, new in inner:
            yield change, with_child(node, position, new)


def changed_cond(node: Cond, kinds: Kinds) -> Iterator[tuple[str, Cond]]:
    """Every way to make one mistake in a condition."""
    match node:
        case IntCmp(">=", poly):
            yield "guard off by one, wider", int_ge(poly + 1, 0)
            yield "guard off by one, narrower", int_ge(poly - 1, 0)
        case IntCmp(_, poly):
            yield "equality off by one", int_eq(poly + 1, 0)
            yield "equality off by one, down", int_eq(poly - 1, 0)
        case RealCmp(rel, a, b):
            yield "turn the comparison", RealCmp(rel, b, a)
            if rel != "==":
                yield "strictness of the comparison", RealCmp("<" if rel == "<=" else "<=", a, b)
        case BoolRead(tensor, index):
            yield "negate the condition", negate(node)
            for change, new in _indices(index):
                yield change, BoolRead(tensor, new)
        case And(args) | Or(args):
            join = both if isinstance(node, And) else either
            for k in range(len(args)):
                yield "drop a condition", join(*args[:k], *args[k + 1 :])
        case _:
            pass
    for position, child in enumerate(children(node)):
        inner = changed_cond(child, kinds) if isinstance(child, Cond) else changed(child, kinds)
        for change, new in inner:
            yield change, cond_with_child(node, position, new)


def _here(node: Term, kinds: Kinds) -> Iterator[tuple[str, Term]]:
    match node:
        case Num(value):
            yield "change a constant", num(value + 1)
            yield "flip a constant's sign", num(-value)
        case Size(poly):
            yield "size off by one", size(poly + 1)
        case Read(tensor, index):
            yield from _read(tensor, index, kinds)
        case Add(args):
            for k, arg in enumerate(args):
                yield "drop a summand", add(*args[:k], *args[k + 1 :])
                yield "flip a summand's sign", add(*args[:k], neg(arg), *args[k + 1 :])
                yield "double a summand", add(*args[:k], mul(num(2), arg), *args[k + 1 :])
        case Mul(args):
            for k in range(len(args)):
                yield "drop a factor", mul(*args[:k], *args[k + 1 :])
        case Pow(base, exponent):
            yield "exponent one higher", power(base, exponent + 1)
            yield "exponent one lower", power(base, exponent - 1)
        case Call(fn, args):
            if len(args) == 2:
                yield "swap the arguments", Call(fn, (args[1], args[0]))
            for k, arg in enumerate(args):
                yield "leave out the function", arg
                yield "flip an argument's sign", Call(fn, (*args[:k], neg(arg), *args[k + 1 :]))
        case Select(cond, then, other):
            yield "swap the branches", select(cond, other, then)
            yield "only the first branch", then
            yield "only the other branch", other
        case Reduce():
            yield from _reduce(node)


def _reduce(node: Reduce) -> Iterator[tuple[str, Term]]:
    yield "one entry in place of the reduction", substitute(node.body, {node.var: Poly.of(0)})
    yield "one entry less", reduce_(node.kind, node.var, node.extent - 1, node.guard, node.body)
    other = {"sum": "prod", "prod": "sum", "max": "min", "min": "max"}[node.kind]
    yield f"{other} in place of {node.kind}", Reduce(other, node.var, node.extent, node.guard, node.body)
    if node.guard != TRUE:
        yield "no guard", Reduce(node.kind, node.var, node.extent, TRUE, node.body)


def _read(tensor: str, index: tuple[Poly, ...], kinds: Kinds) -> Iterator[tuple[str, Term]]:
    if tensor == COTANGENT or (tensor.startswith(TANGENT) and tensor[len(TANGENT) :] in kinds and tensor in kinds):
        yield "1 in place of the (co)tangent", ONE
        yield "the (co)tangent twice", mul(Read(tensor, index), Read(tensor, index))
    for change, new in _indices(index):
        yield change, Read(tensor, new)
    for other, (kind, rank) in kinds.items():
        if other != tensor and kind == "real" and rank == len(index):
            yield f"{other} in place of {tensor}", Read(other, index)


def _indices(index: tuple[Poly, ...]) -> Iterator[tuple[str, tuple[Poly, ...]]]:
    for k in range(len(index) - 1):
        yield "swap two indices", (*index[:k], index[k + 1], index[k], *index[k + 2 :])
    for k, poly in enumerate(index):
        yield "shift an index up", (*index[:k], poly + 1, *index[k + 1 :])
        yield "shift an index down", (*index[:k], poly - 1, *index[k + 1 :])
        yield "entry 0 always", (*index[:k], Poly.of(0), *index[k + 1 :])
        if any(True for _ in poly.entries()):
            yield "the position in place of the index", (*index[:k], poly.rename_entries(_position), *index[k + 1 :])


def _position(entry: Entry) -> Poly:
    return entry.index[0] if entry.index else Poly.of(0)
