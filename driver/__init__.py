"""gradproof: a proof-carrying compiler for differentiable tensor programs.

Drop "gradproof." from a module's name to find its folder; `gradproof` itself is driver/. Everything is loaded on first
use, so that `import gradproof` costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gradproof.builder import GraphBuilder
    from gradproof.certificates import Built, Refused, build, load
    from gradproof.grammar.source import Diagnostic
    from gradproof.pipeline import Compiled, ProofError, compile, verify
    from gradproof.report import Report
    from gradproof.runtime.compiled import CompiledGraph, CompiledScalar
    from gradproof.runtime.externs import ExternKernel, register_extern
    from gradproof.runtime.program import Program
    from gradproof.runtime.sizes import InputError

__version__ = "0.1.0"
_HOMES = {
    "Built": "gradproof.certificates",
    "Compiled": "gradproof.pipeline",
    "CompiledGraph": "gradproof.runtime.compiled",
    "CompiledScalar": "gradproof.runtime.compiled",
    "Diagnostic": "gradproof.grammar.source",
    "ExternKernel": "gradproof.runtime.externs",
    "GraphBuilder": "gradproof.builder",
    "InputError": "gradproof.runtime.sizes",
    "Program": "gradproof.runtime.program",
    "ProofError": "gradproof.pipeline",
    "Refused": "gradproof.certificates",
    "Report": "gradproof.report",
    "build": "gradproof.certificates",
    "compile": "gradproof.pipeline",
    "load": "gradproof.certificates",
    "register_extern": "gradproof.runtime.externs",
    "verify": "gradproof.pipeline",
}
__all__ = [
    "Built",
    "Compiled",
    "CompiledGraph",
    "CompiledScalar",
    "Diagnostic",
    "ExternKernel",
    "GraphBuilder",
    "InputError",
    "Program",
    "ProofError",
    "Refused",
    "Report",
    "__version__",
    "build",
    "compile",
    "load",
    "register_extern",
    "verify",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'gradproof' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(home), name)
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
