"""A wrong rule's repair: the nearest rule that is proved, as the line that the user should write.

Untrusted, and bounded in time. The rules that a refutation may come from are edited in one place (edits.py); a
candidate is first evaluated at a few points, where it must be what the derivative, or the meaning, is; what survives is
put into the operator, and every claim of the operator is asked again. A repair is only spoken of where the claim that
was refuted is then proved, shapes and domain are proved, and nothing that was proved is lost. Where no edit is found, a
rule that can be left out because the derived one is proved is said to be.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice, product
from time import perf_counter
from typing import TypeAlias

from gradproof.compiler.claims import Verdict
from gradproof.compiler.dims import Entry, Poly
from gradproof.compiler.obligations import claims_of_op
from gradproof.compiler.ops import COTANGENT, OUTPUT, TANGENT, Formula, Kink, OpDef
from gradproof.compiler.rewriting import map_cond, rename_tensors, replace_reads, tensors, walk
from gradproof.compiler.rules import extents
from gradproof.compiler.show import show, show_formula
from gradproof.compiler.terms import ONE, ZERO, Cond, Num, Read, Reduce, Term, int_ge, num
from gradproof.compiler.transpose import NotLinear
from gradproof.grammar.source import Span
from gradproof.verifier.edits import LETTERS
from gradproof.verifier.operators import verdict_of_claim
from gradproof.verifier.options import Options
from gradproof.verifier.replay import lifted
from gradproof.verifier.screening import Suspect, screened

PROOFS = 8  # that are tried for one rule
LAST = 1.0  # seconds for the last try, to leave the rule out
RANK = {"refuted": 0, "unknown": 1, "proved": 2}
Key: TypeAlias = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Repair:
    """A repaired operator: what to write, and which of the claims that were refuted are proved then."""

    clause: str  # "vjp x", "jvp", "runs", the name of an intermediate, "at"
    text: str  # the line to write; empty where the rule is to be left out
    change: str
    span: Span  # of what it replaces
    op: OpDef
    settles: frozenset[Key]

    def __str__(self) -> str:
        if not self.text:
            return f"leave `{self.clause}` out: the rule that is derived from the formula is proved"
        return f"{self.text}  # proved: {self.change}"


def advised(op: OpDef, verdicts: list[Verdict], options: Options) -> list[Verdict]:
    """The verdicts, with proved repairs as advice on refuted ones where some are found in `options.repair` seconds."""
    if options.repair <= 0 or op.lawful or all(v.answer != "refuted" for v in verdicts):
        return verdicts
    found = list(repairs(op, verdicts, options))
    return [replace(v, advice=(*v.advice, *_advice(op, v, found))) if v.answer == "refuted" else v for v in verdicts]


def _advice(op: OpDef, verdict: Verdict, found: list[Repair]) -> Iterator[str]:
    settling = [str(repair) for repair in found if _key(verdict) in repair.settles]
    yield from settling
    if not settling and verdict.claim.code == "JVP" and op.jvp is None and op.vjps:
        yield "the jvp is the transpose of the vjp that is written: where that is right, so is this"


def repairs(op: OpDef, verdicts: list[Verdict], options: Options) -> Iterator[Repair]:
    """One repair for each rule that may be at fault."""
    suspects = list(_suspects(op, verdicts))
    end = perf_counter() + options.repair
    for position, suspect in enumerate(suspects):
        share = (end - perf_counter()) / (len(suspects) - position)
        repair = _repaired(op, suspect, verdicts, perf_counter() + share, options)
        if repair is not None:
            yield repair
    if any(v.claim.code == "SHAPE" and v.answer == "refuted" for v in verdicts):
        yield from islice(_required(op, verdicts, options), 1)


def _required(op: OpDef, verdicts: list[Verdict], options: Options) -> Iterator[Repair]:
    """A size that is at least 1, or 2, or an integer input within a size: then what is read is there."""
    before = {_key(v): v.answer for v in verdicts}
    for text, conds in (*_sizes_required(op), *_entries_required(op)):
        made = replace(op, requires=(*op.requires, *conds))
        settled = _settles(made, before, perf_counter() + LAST, options)
        if settled:
            yield Repair("require", f"require {text}", "then it is in bounds", op.span, made, settled)


def _sizes_required(op: OpDef) -> Iterator[tuple[str, tuple[Cond, ...]]]:
    for least, size in product((1, 2), op.sizes):
        name = f"size({size})" if size.endswith("..") else size
        yield f"{name} >= {least}", (int_ge(Poly.sym(size), least),)


def _entries_required(op: OpDef) -> Iterator[tuple[str, tuple[Cond, ...]]]:
    free = [letter for letter in LETTERS if letter not in {*op.sizes, *op.int_attrs, *(p.name for p in op.params)}]
    for param, size in product((p for p in op.params if p.kind == "int"), op.sizes):
        names = [f"{axis.pack[:-2].lower()}.." if axis.pack else free[k] for k, axis in enumerate(param.axes)]
        entry = Poly.atom(Entry(param.name, tuple(map(Poly.sym, names))))
        if not size.endswith(".."):
            text = f"0 <= {param.name}[{', '.join(names)}] < {size}"
            yield text, (int_ge(entry, 0), int_ge(Poly.sym(size) - 1, entry))


def _suspects(op: OpDef, verdicts: list[Verdict]) -> Iterator[Suspect]:
    wrong = {v.claim.code for v in verdicts if v.answer != "proved"}
    failed = {v.claim.text for v in verdicts if v.claim.code == "VJP" and v.answer != "proved"}
    usual = sorted(enumerate(op.kinks), key=lambda one: isinstance(one[1].value, Num) and one[1].value in (ZERO, ONE))
    for k, kink in usual:
        if "KINK" in wrong and isinstance(kink.value, Num):
            yield _at(op, k, kink)
    for rule in op.vjps:
        own = any(f"vjp {rule.target}>" in text for text in failed)
        if own or (not failed and wrong & {"KINK", "DOM", "SHAPE"}):
            yield _vjp(op, rule)
    if op.jvp is not None and wrong & {"JVP", "KINK", "DOM", "SHAPE"}:
        yield _jvp(op, op.jvp)
    if op.runs is not None and wrong & {"RUNS", "DOM", "SHAPE"}:
        yield from _runs(op, op.runs)


def _at(op: OpDef, k: int, kink: Kink) -> Suspect:
    def put(formula: Formula | None) -> OpDef | None:
        if formula is None:
            return None
        changed = replace(kink, value=formula.body)  # type: ignore[arg-type]  # edits of a term are terms
        return replace(op, kinks=(*op.kinks[:k], changed, *op.kinks[k + 1 :]))

    made = Formula("at", op.forward.indices, op.forward.extents, kink.value, kink.span)  # type: ignore[arg-type]
    return Suspect("at", made, put, None, frozenset(), tuple(map(num, ("0", "1", "1/2", "-1"))))


def _vjp(op: OpDef, rule: Formula) -> Suspect:
    def put(formula: Formula | None) -> OpDef:
        kept = tuple(formula if f is rule else f for f in op.vjps)
        return replace(op, vjps=tuple(f for f in kept if f is not None))

    param = op.param(rule.target)
    return Suspect(f"vjp {rule.target}", rule, put, lambda at: at.vjp(rule, param), frozenset({COTANGENT}))


def _jvp(op: OpDef, rule: Formula) -> Suspect:
    tangents = frozenset(TANGENT + p.name for p in op.differentiable)
    return Suspect("jvp", rule, lambda formula: replace(op, jvp=formula), lambda at: at.jvp(rule), tangents)


def _runs(op: OpDef, runs: Formula) -> Iterator[Suspect]:
    def other(formula: Formula | None) -> OpDef | None:
        return None if formula is None else replace(op, runs=formula)

    yield Suspect("runs", runs, other, lambda at: at.runs(runs), frozenset())
    meant = tensors(op.forward.body)
    for k, let in enumerate(op.lets):
        if let.target in meant or COTANGENT in tensors(let.body):
            continue  # a part of the definition, or of the rules

        def put(formula: Formula | None, k: int = k) -> OpDef | None:
            return None if formula is None else replace(op, lets=(*op.lets[:k], formula, *op.lets[k + 1 :]))

        yield Suspect(let.target, let, put, None, frozenset())


def _repaired(op: OpDef, suspect: Suspect, verdicts: list[Verdict], end: float, options: Options) -> Repair | None:
    before = {_key(v): v.answer for v in verdicts}
    for change, body in islice(screened(op, suspect, end), PROOFS):
        made = suspect.put(replace(suspect.formula, body=body))
        settled = _settles(made, before, end, options) if made else frozenset()
        if made and settled:
            return Repair(suspect.clause, _line(made, suspect, body), change, suspect.formula.span, made, settled)
    out = suspect.put(None)
    settled = _settles(out, before, max(end, perf_counter() + LAST), options) if out else frozenset()
    return Repair(suspect.clause, "", "", suspect.formula.span, out, settled) if out and settled else None


def _settles(op: OpDef, before: Mapping[Key, str], end: float, options: Options) -> frozenset[Key]:
    """What was refuted and is proved of this operator; nothing where something else is worse, or where time is over.

    The claims are asked one by one, those that were refuted first; SHAPE and DOM must be proved in any case.
    """
    settled: set[Key] = set()
    claims = [(k, (claim.code, claim.text)) for k, claim in enumerate(claims_of_op(op))]
    for position, key in sorted(claims, key=lambda one: RANK[before.get(one[1], "proved")]):
        left = end - perf_counter()
        if left <= 0:
            return frozenset()
        try:
            verdict = verdict_of_claim(op, position, Options(timeout=min(options.timeout, left)), search=False)
        except (NotLinear, ArithmeticError, ValueError):  # no operator at all: not what was meant
            return frozenset()
        was = before.get(key, "proved")
        if verdict.answer == "proved" and was == "refuted":
            settled.add(key)
        elif verdict.answer != "proved" and (was == "proved" or key[0] in ("SHAPE", "DOM")):
            return frozenset()
    return frozenset(settled)


def _key(verdict: Verdict) -> Key:
    return verdict.claim.code, verdict.claim.text


# What to write


def _line(op: OpDef, suspect: Suspect, body: Term) -> str:
    """The clause as the user writes it."""
    formula = replace(suspect.formula, body=body)
    if suspect.clause == "at":
        kink = next(k for k in op.kinks if k.span == formula.span)
        cond = show(map_cond(kink.cond, _bare, lambda c: c) if lifted(op) else kink.cond)
        return f"{'jump at' if kink.jump else 'at'} {cond.replace(' == ', ' = ')}: {show(body)}"
    whole = {name: f"{name}[]" for name in _without_axes(op)}
    text = show_formula(replace(formula, body=rename_tensors(body, whole)))
    if lifted(op):
        text = f"{formula.target} = {show(_bare(body))}"
    elif _obvious(op, formula):
        text = re.sub(r"\(([\w.]+) < [\w.]+( \||\))", r"(\1\2", text)
    word = {"jvp": "jvp ", "runs": "runs "}.get(suspect.clause, "vjp " if suspect.clause.startswith("vjp") else "")
    return word + text


def _without_axes(op: OpDef) -> Iterator[str]:
    """The tensors that are written `t[]`: those without axes that are no attributes."""
    return (name for name, axes in _shapes(op).items() if not axes)


def _shapes(op: OpDef) -> dict[str, tuple[Poly, ...]]:
    """The extents of every real tensor that a rule may read."""
    shapes = {p.name: extents(p) for p in op.params if p.kind == "real"} | {f.target: f.extents for f in op.lets}
    shapes |= {OUTPUT: op.forward.extents, COTANGENT: op.forward.extents}
    return shapes | {TANGENT + p.name: extents(p) for p in op.differentiable}


def _bare(body: Term) -> Term:
    return replace_reads(body, lambda read: Read(read.tensor, ()))


def _obvious(op: OpDef, formula: Formula) -> bool:
    """Whether every bound index runs over the axes at which it is read alone, so that its extent need not be said."""
    shapes = _shapes(op)
    for node in walk(formula.body):
        if not isinstance(node, Reduce):
            continue
        reads = [(r.tensor, r.index) for r in walk(node.body) if isinstance(r, Read)]
        alone = {
            shapes[tensor][k]
            for tensor, index in reads
            for k, position in enumerate(index)
            if position == Poly.sym(node.var)
        }
        if alone != {node.extent} or node.extent.as_symbol is None:
            return False
    return True
