"""The named scalar functions: value, domain, derivative and definition of each. [trusted]

All that is known of `exp`, `log`, ... is in three tables (elementary.py, piecewise.py, special.py): the partial
derivatives, the set where the value is defined, how the kernel unfolds it into simpler functions, how exact rationals
and rigorous intervals compute it, and the function of floats that runs it. A function with no `unfold` is opaque to the
kernel, except for the laws of exp, log and rational powers that normal.py states.
"""

from __future__ import annotations

from gradproof.compiler.elementary import ELEMENTARY, power_real
from gradproof.compiler.piecewise import PIECEWISE
from gradproof.compiler.scalar import Function, nonzero, positive
from gradproof.compiler.special import SPECIAL

__all__ = ["FUNCTIONS", "Function", "nonzero", "positive", "power_real"]

FUNCTIONS: dict[str, Function] = {f.name: f for f in (*ELEMENTARY, *PIECEWISE, *SPECIAL)}
