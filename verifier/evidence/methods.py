"""What a method that finds evidence is given, and what it gives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from gradproof.compiler.claims import Claim
from gradproof.compiler.graph import Graph, LoopDef
from gradproof.compiler.ops import OpDef
from gradproof.compiler.plan import Plan
from gradproof.compiler.portable import Table

Evidence: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Subject:
    """What a claim is about, as it stands in the compiler and as it stands in the certificate."""

    what: OpDef | Graph | LoopDef
    data: dict[str, Any]
    plans: tuple[Plan, ...] = ()
    memo: dict[str, Any] = field(default_factory=dict)  # what several of its claims need


Method: TypeAlias = Callable[[Subject, int, Claim, Table], Evidence | None]
