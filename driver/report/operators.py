"""The operator table: what each operator of the prelude is, what runs, what is derived, and whether it is proved."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from gradproof.compiler.laws import trusts
from gradproof.compiler.library import base_name, prelude
from gradproof.compiler.ops import Attr, Formula, OpDef, Param
from gradproof.compiler.rules import rules_of, tied
from gradproof.compiler.show import number, show, show_formula, show_meaning, show_signature

NOT_RUN = "not run"


@dataclass(frozen=True, slots=True)
class Entry:
    """One operator and the status of its proofs: proved, refuted, unknown, or not run."""

    op: OpDef
    status: str
    codes: tuple[str, ...] = ()  # of the claims, in order


def entries(name: str | None, timeout: float | None) -> tuple[Entry, ...]:
    """The operators called `name` (all, where there is none); without a time limit the proofs are not run."""
    chosen = [op for op in prelude().ops.values() if name in (None, op.name, base_name(op.name))]
    return tuple(_entry(op, timeout) for op in chosen)


def table(found: Iterable[Entry]) -> str:
    """One line an operator."""
    rows = [(show_signature(entry.op), entry.status, entry.op.doc.split("\n")[0]) for entry in found]
    width = min(60, max((len(row[0]) for row in rows), default=0))
    return "\n".join(f"{status:8} {head:{width}}  {doc}".rstrip() for head, status, doc in rows)


def page(found: Iterable[Entry]) -> str:
    """Operators in full: the stanza, what must hold, and every rule that runs, written or derived."""
    return "\n\n".join(_page(entry) for entry in found)


def to_json(found: Iterable[Entry]) -> str:
    """The operators as JSON."""
    return json.dumps({"version": 1, "operators": [_data(entry) for entry in found]}, indent=2, ensure_ascii=False)


def _entry(op: OpDef, timeout: float | None) -> Entry:
    if timeout is None:
        return Entry(op, NOT_RUN)
    from gradproof.verifier.discharge import verify
    from gradproof.verifier.options import Options

    verdicts = verify((op,), (), Options(timeout=timeout))
    worst = next((a for a in ("refuted", "unknown") if any(v.answer == a for v in verdicts)), "proved")
    return Entry(op, worst, tuple(dict.fromkeys(v.claim.code for v in verdicts)))


def _page(entry: Entry) -> str:
    op = entry.op
    lines = [show_signature(op), *_indented(op.doc.split("\n")), "", *_indented(op.source.split("\n")), ""]
    for kind, target, text, written in _rules(op):
        lines.append(f"  {kind} {'as written' if written else 'derived'}: {target} = {text}")
    lines += [f"  {'jump' if jump else 'kink'} at {cond}: {value}" for cond, value, jump in _kinks(op)]
    codes = f": {' '.join(entry.codes)}" if entry.codes else ""
    lines += [f"  leans on {hypothesis}" for hypothesis in trusts(op)]
    return "\n".join([*lines, f"  {entry.status}{codes}"])


def _indented(lines: Sequence[str]) -> list[str]:
    return [f"  {line}" for line in lines if line]


def _rules(op: OpDef) -> list[tuple[str, str, str, bool]]:
    """Each derivative rule: jvp or vjp, its left side, its right side, and whether it was written."""
    rules = rules_of(op)
    found = [("vjp", computation.result, any(f.target == name for f in op.vjps)) for name, computation in rules.vjps]
    if rules.jvp is not None:
        found.insert(0, ("jvp", rules.jvp.result, op.jvp is not None))
    return [(kind, *_sides(formula), written) for kind, formula, written in found]


def _kinks(op: OpDef) -> list[tuple[str, str, bool]]:
    """Where the derivative's value is a choice: the condition, the coefficient used, whether it jumps there."""
    rule = "as the rule says"
    found = [(show(k.cond), rule if k.value is None else show(k.value), k.jump) for k in op.kinks]
    return found or ([("any tie", rule, False)] if tied(op) else [])


def _sides(formula: Formula) -> tuple[str, str]:
    left, _, right = show_formula(formula).partition(" = ")
    return left, right


def _data(entry: Entry) -> dict[str, Any]:
    op = entry.op
    return {
        "name": op.name,
        "call": base_name(op.name),
        "signature": show_signature(op),
        "doc": op.doc,
        "source": op.source,
        "attributes": [
            {"name": a.name, "kind": a.kind, "default": None if a.default is None else number(a.default)}
            for a in op.attrs
        ],
        "inputs": [
            {"name": p.name, "kind": p.kind, "axes": _axes(p), "differentiable": p in op.differentiable}
            for p in op.params
        ],
        "output": {"kind": op.output.kind, "axes": _axes(op.output)},
        "formula": show_meaning(op),
        "runs": None if op.runs is None else show_formula(op.runs),
        "rules": [
            {"kind": kind, "target": target, "formula": text, "written": written}
            for kind, target, text, written in _rules(op)
        ],
        "requires": [show(cond) for cond in op.requires],
        "domain": [show(cond) for cond in op.domain],
        "trusts": [str(hypothesis) for hypothesis in trusts(op)],
        "kinks": [{"at": cond, "value": value, "jump": jump} for cond, value, jump in _kinks(op)],
        "status": entry.status,
        "codes": list(entry.codes),
    }


def _axes(param: Param) -> list[str]:
    return [f"{axis.pack}" if axis.pack else show(axis.extent) for axis in param.axes]


def _default(attr: Attr) -> str | None:
    return None if attr.default is None else number(attr.default)
