"""What is known while a graph's text is read: the names of its file and of the graph, and what reads its expressions.

The parts of a graph's text that have files of their own (bounds.py, statements.py, scans.py) ask their reader for what
an expression stands for; bodies.py is that reader, and calls them in turn.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

from gradproof.compiler.dims import Poly
from gradproof.compiler.draft import Draft, Operand
from gradproof.compiler.graph import Dim, TensorType
from gradproof.compiler.library import Library
from gradproof.grammar.source import Diagnostic, Span
from gradproof.grammar.syntax import Expr, GraphDef, TypeDecl

Step: TypeAlias = Generator[Any, Any, Any]  # yields the steps whose results it needs

GENERIC = {"real": "f64", "int": "i64"}  # element types that a call decides, and what they are without one


@dataclass(slots=True)
class Unit:
    """What the names of one file mean: its dims, its operators, its graphs, and those of the files it uses."""

    dims: dict[str, Dim]
    library: Library
    graphs: dict[str, tuple[GraphDef, Unit]] = field(default_factory=dict)
    used_dims: set[str] = field(default_factory=set)


@dataclass(slots=True)
class Frame:
    """One graph while its statements are read: what its names stand for, and which were used."""

    definition: GraphDef
    unit: Unit
    prefix: str  # of the names of inlined nodes
    renamed: Mapping[str, Poly]  # an inlined graph's dims, as the caller's sizes
    inlined: tuple[str, ...]  # the graphs that are being inlined, outermost first
    values: dict[str, Operand] = field(default_factory=dict)
    spans: dict[str, Span] = field(default_factory=dict)
    inputs: frozenset[str] = frozenset()
    used: set[str] = field(default_factory=set)
    kinds: Mapping[str, str] = field(default_factory=lambda: dict(GENERIC))


class Reader(Protocol):
    """Reads the text of a graph into a draft."""

    draft: Draft

    def inside(self, draft: Draft) -> Reader:
        """The reader of a loop's body, which becomes a graph of its own over the same dims."""

    def lower(self, expr: Expr, frame: Frame) -> Step:
        """The operand that an expression stands for."""

    def body(self, frame: Frame) -> Step:
        """The values that the frame's graph returns."""

    def declared_type(self, decl: TypeDecl, frame: Frame) -> TensorType:
        """The type that a declaration means; Diagnostic where it means none."""

    def dim(self, name: str, frame: Frame) -> Operand:
        """A dim as a number: its value where it is fixed, the caller's size in an inlined graph."""


def check_inputs(definition: GraphDef, unit: Unit) -> None:
    """Diagnostic where two inputs of a graph have one name, or one has that of a dim."""
    seen: set[str] = set()
    for decl in definition.inputs:
        if decl.name in seen:
            raise Diagnostic("E-DUPLICATE", f"the input `{decl.name}` is declared twice", decl.span)
        if decl.name in unit.dims:
            advice = "take another name"
            raise Diagnostic("E-NAME-CLASH", f"`{decl.name}` is a dim, so it can't be an input", decl.span, advice)
        seen.add(decl.name)
