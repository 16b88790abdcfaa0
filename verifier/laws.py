"""JVP and VJP where the result is an extern's: the rules follow from the laws, by the method of adjoints.

The laws that speak of the inputs and y alone, F(x, y) = 0, are differentiated by the calculus; dy is any tensor that
satisfies them: dF = F_x dx + F_y dy = 0. With a multiplier l for each (the law's `adjoint`), the identity

    <g, dy> - <g, jvp> - <l, dF> = 0        (JVP)
    <g, dy> - <dx, vjp> - <l, dF> = 0       (VJP, the other inputs' tangents being 0)

is shown for all x, y, dx, dy, g and intermediates that have the laws. As dF = 0, <g, dy> is what the rule says, for
every g. That such multipliers exist for every g means that F_y is injective, so the laws leave only one dy; with the
extern continuous, y is then differentiable and dy is its derivative (from F(x + h, y + k) - F(x, y) = 0 follows
k = -L F_x h + o(|h| + |k|) with L a left inverse of F_y, hence k = O(h)). A law that reads `dy` says the derivative
itself, and is trusted as such. docs/trust.md has the whole argument.

A law whose left side is one entry of a tensor, at an index for each axis, is put in for that tensor everywhere; one
whose left side is a sum of a product is a rewriting (contraction.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from gradproof.compiler.calculus import derivative
from gradproof.compiler.dims import Poly
from gradproof.compiler.ops import COTANGENT, OUTPUT, TANGENT, Law, OpDef, Param
from gradproof.compiler.rewriting import replace_reads, substitute, tensors
from gradproof.compiler.rules import RuleSet, extents, unfolded, without
from gradproof.compiler.terms import ZERO, Read, Term, mul, neg, opaque, sub, total
from gradproof.compiler.terms import add as plus
from gradproof.verifier.contraction import Law as Rewriting
from gradproof.verifier.contraction import contraction, support
from gradproof.verifier.equality import equal
from gradproof.verifier.hypotheses import explain
from gradproof.verifier.normal import Normalizer
from gradproof.verifier.proofs import Proof
from gradproof.verifier.setting import setting_of
from gradproof.verifier.shapes import tensor_extents

RESULT, MOVED = opaque(OUTPUT), TANGENT + OUTPUT  # y and its tangent, as terms call them


@dataclass(frozen=True, slots=True)
class Definition:
    """A tensor's entries by a formula: what a law says of all of them."""

    tensor: str
    indices: tuple[str, ...]
    body: Term

    def put_in(self, term: Term) -> Term:
        """The term with each read of the tensor replaced, once."""

        def one(read: Read) -> Term:
            if read.tensor != self.tensor:
                return read
            return substitute(self.body, dict(zip(self.indices, read.index, strict=True)))

        return replace_reads(term, one) if self.tensor in tensors(term) else term


@dataclass(frozen=True, slots=True)
class Known:
    """The laws of one claim: definitions, rewritings, and the sum of multipliers times differentiated laws."""

    definitions: tuple[Definition, ...]
    rewritings: tuple[Law, ...]
    paired: Term


def prove_jvp(op: OpDef, rules: RuleSet, timeout: float) -> Proof:
    """JVP: dy, as the laws determine it, is what the rule says."""
    if rules.jvp is None:
        return Proof(True, "structure")
    rule = rules.jvp.result
    names = dict(zip(rule.indices, map(Poly.sym, op.forward.indices), strict=True))
    jvp = substitute(unfolded(op, rule.body), names)  # type: ignore[arg-type]  # elaboration refuses boolean rules
    known = laws_for(op, frozenset(p.name for p in op.differentiable))
    left = _over(op.forward.indices, op.forward.extents, mul(_read(COTANGENT, op.forward.indices), jvp))
    return _close(op, known, left, timeout)


def prove_vjp(op: OpDef, rules: RuleSet, param: Param, timeout: float) -> Proof:
    """VJP of one input: <g, dy> = <dx, vjp> where the other inputs stand still."""
    rule = dict(rules.vjps)[param.name].result
    vjp = unfolded(op, rule.body)  # type: ignore[arg-type]
    known = laws_for(op, frozenset({param.name}))
    left = _over(rule.indices, extents(param), mul(_read(TANGENT + param.name, rule.indices), vjp))
    return _close(op, known, left, timeout)


def _close(op: OpDef, known: Known, claimed: Term, timeout: float) -> Proof:
    """<g, dy> - claimed - <l, dF> = 0 by the laws."""
    indices, lengths = op.forward.indices, op.forward.extents
    truth = _over(indices, lengths, mul(_read(COTANGENT, indices), _read(MOVED, indices)))
    difference = plus(truth, neg(claimed), neg(known.paired))
    for definition in known.definitions:
        difference = definition.put_in(difference)

    def laws(work: Normalizer) -> Sequence[Rewriting]:
        found: list[Rewriting] = []
        for law in known.rewritings:
            left, right = work.normal(law.left), work.normal(law.right)
            free = dict(zip(law.indices, law.extents, strict=True))
            one = contraction(left, right, free) or support(left, right, free)
            found += [] if one is None else [one]
        return found

    setting = setting_of(op)
    found = equal(difference, ZERO, setting.context, setting.facts_at({}), timeout, laws=laws)
    if not found.proved:
        return Proof(False, "", (), f"it does not follow from the laws: {found.reason}")
    return Proof(True, f"{found.by} + laws", explain(op, found.cancelled))


def laws_for(op: OpDef, moving: frozenset[str]) -> Known:
    """What the laws say where only the inputs `moving` have tangents."""
    tangents = {TANGENT + p.name for p in op.params}
    still = {TANGENT + p.name for p in op.differentiable if p.name not in moving}
    whole = moving == {p.name for p in op.differentiable}
    states = {p.name for p in op.params} | {RESULT} | set(op.real_attrs)
    definitions: list[Definition] = []
    rewritings: list[Law] = []
    paired: Term = ZERO
    for law in op.laws:
        left, right = unfolded(op, law.left), unfolded(op, law.right)
        read = tensors(left) | tensors(right)
        if MOVED in read:
            left, right = without(left, still), without(right, still)
        elif read & tangents and not whole:
            continue  # it speaks of the tangents of all inputs
        exact = replace(law, left=left, right=right)
        own = _definition(op, exact)
        if own is not None:
            definitions.append(own)
        else:
            rewritings.append(exact)
        if not read <= states:
            continue
        names = {name: TANGENT + name for name in moving} | {RESULT: MOVED}
        slopes = replace(law, left=derivative(left, names), right=derivative(right, names))
        moved = _definition(op, slopes)
        if moved is not None and moved.tensor == MOVED:
            definitions.append(moved)
        elif law.adjoint is not None:
            weighted = mul(unfolded(op, law.adjoint), sub(slopes.left, slopes.right))
            paired = plus(paired, _over(law.indices, law.extents, weighted))
        else:
            rewritings.append(slopes)
    for position, definition in enumerate(definitions):
        others = definitions[:position]
        body = definition.body
        for other in others:
            body = other.put_in(body)
        definitions[position] = replace(definition, body=body)
    rewritten = [_with(law, definitions) for law in rewritings]
    return Known(tuple(definitions), tuple(rewritten), paired)


def _with(law: Law, definitions: Sequence[Definition]) -> Law:
    left, right = law.left, law.right
    for definition in definitions:
        left, right = definition.put_in(left), definition.put_in(right)
    return replace(law, left=left, right=right)


def _definition(op: OpDef, law: Law) -> Definition | None:
    """The law as a definition of a whole tensor: one entry on the left, each axis at an index of its own."""
    if not isinstance(law.left, Read):
        return None
    names = [position.as_symbol for position in law.left.index]
    lengths: Mapping[str, Poly] = dict(zip(law.indices, law.extents, strict=True))
    if len(set(names)) != len(names) or set(names) != set(law.indices):
        return None
    whole = (tensor_extents(op) | {MOVED: extents(op.output)}).get(law.left.tensor)
    if whole is None or tuple(lengths[name or ""] for name in names) != whole:
        return None
    return Definition(law.left.tensor, tuple(name or "" for name in names), law.right)


def _read(tensor: str, indices: tuple[str, ...]) -> Term:
    return Read(tensor, tuple(map(Poly.sym, indices)))


def _over(indices: tuple[str, ...], lengths: tuple[Poly, ...], body: Term) -> Term:
    """The sum over all entries."""
    for name, extent in reversed(list(zip(indices, lengths, strict=True))):
        body = total(name, extent, body)
    return body
