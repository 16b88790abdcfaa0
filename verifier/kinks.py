"""KINK: where an operator is not smooth, the derivative that it uses is a Clarke subgradient, and the declared one.

These shapes of non-smoothness are proved, and everything else is unknown:

- optima (max or min over an index) of smooth entries inside a smooth formula: see optima.py;
- conditions `p < 0`, `p = 0` on entries, where each p has an input entry of its own in which it is linear: see
  surfaces.py;
- a declared least value (`least at y = 0`): see minima.py;
- conditions on a fixed number of entries, all their ties at once, and jumps: see cells.py;
- several max, min and abs of a fixed number of entries, nested in each other too: see patterns.py;
- one choice between smooth formulas that meet where its condition ties: see choices.py.
"""

from __future__ import annotations

from dataclasses import replace

from gradproof.compiler.dims import Poly
from gradproof.compiler.ops import OpDef
from gradproof.compiler.rewriting import substitute
from gradproof.compiler.rules import RuleSet, derived_jvp, meaning_of, tied, unfolded
from gradproof.verifier.cells import Elsewhere, Unsettled, prove_cells
from gradproof.verifier.choices import prove_choice
from gradproof.verifier.compound import Smooth, prove_compound
from gradproof.verifier.forms import TooLarge
from gradproof.verifier.minima import at_least
from gradproof.verifier.normal import Normalizer
from gradproof.verifier.optima import optima, prove_optima
from gradproof.verifier.patterns import prove_patterns
from gradproof.verifier.proofs import Proof
from gradproof.verifier.setting import setting_of
from gradproof.verifier.surfaces import Surfaces


def prove_kinks(op: OpDef, rules: RuleSet, timeout: float) -> Proof:
    """KINK of one operator."""
    if rules.jvp is None:
        return Proof(True, "structure")
    least = tuple(kink for kink in op.kinks if kink.least)
    if least:
        reason = at_least(op, least, rules.jvp.result, timeout)
        op = replace(op, kinks=tuple(kink for kink in op.kinks if not kink.least))
        if reason or not tied(op):
            return Proof(not reason, "interval + normal form", (), reason)
    if not least and ((known := prove_patterns(op, timeout)).proof.proved or known.decisive):
        return known.proof
    jumps = any(kink.jump for kink in op.kinks)
    first = Proof(False, "") if jumps else _by_surfaces(op, rules, timeout)
    if first.proved:
        return first
    try:
        return prove_compound(op, rules, timeout)
    except Smooth:
        pass
    except (Unsettled, TooLarge) as error:
        if not op.kinks and isinstance(error, Unsettled):
            first = replace(first, reason=f"{first.reason}; {error}" if first.reason else str(error))
    try:
        return prove_choice(op, rules, timeout)
    except Elsewhere:
        pass
    except (Unsettled, TooLarge) as error:
        first = replace(first, reason=f"{first.reason}; {error}" if first.reason else str(error))
    try:
        return prove_cells(op, rules, timeout)
    except Elsewhere as error:
        return Proof(False, "", (), str(error)) if jumps else first
    except (Unsettled, TooLarge) as error:
        return Proof(False, "", (), str(error), first.transversal)


def _by_surfaces(op: OpDef, rules: RuleSet, timeout: float) -> Proof:
    jvp = rules.jvp.result if rules.jvp is not None else op.forward
    setting = setting_of(op)
    ranges = dict(zip(op.forward.indices, op.forward.extents, strict=True))
    work = Normalizer(setting.context.with_ranges(ranges))
    try:
        value = work.form(meaning_of(op))
        names = dict(zip(jvp.indices, map(Poly.sym, op.forward.indices), strict=True))
        rule = work.form(substitute(unfolded(op, jvp.body), names))  # type: ignore[arg-type]
        if any(optima(value)):
            return prove_optima(op, rules, value, timeout)
        return Surfaces(op, setting, work, timeout).prove(value, rule, work.form(derived_jvp(op)))
    except (Unsettled, TooLarge) as error:
        return Proof(False, "", (), str(error))
