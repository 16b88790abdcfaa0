"""The definition of an operator: what a stanza of the prelude, or of a user's file, becomes.

Only `forward` is a definition; `runs`, `jvp` and `vjps` are claims about it. A pack (`S..`, any number of axes) is one
axis of a formula, row-major: its extent is the symbol `S..`, its index is an integer like any other. So a formula that
is proved for packs is proved for every rank.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction

from gradproof.compiler.dims import Poly
from gradproof.compiler.terms import Cond, Term, opaque
from gradproof.grammar.source import Span

TANGENT = "d"  # the tangent of input x is read as `dx`
COTANGENT = "g"  # the cotangent of the output is read as `g`
OUTPUT = "y"  # the output, as read by written rules


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis of an operator's parameter: an extent, or a pack of any number of axes.

    For a pack, `pack` is its name with the dots (`S..`), `extent` is the symbol of that name (the product of its
    sizes), and `rank` is the integer expression that fixes its number of axes, where the stanza gives one.
    """

    extent: Poly
    pack: str | None = None
    rank: Poly | None = None


@dataclass(frozen=True, slots=True)
class Attr:
    """An attribute: an integer (a symbol in shapes and indices) or a real (read as a tensor with no axes)."""

    name: str
    kind: str  # "int" or "real"
    default: Fraction | None = None


@dataclass(frozen=True, slots=True)
class Default:
    """The call of an operator that makes an input where a graph leaves it out.

    `args` are inputs before it, the values of `kwargs` numbers or names of integer attributes.
    """

    op: str
    args: tuple[str, ...]
    kwargs: tuple[tuple[str, Fraction | str], ...] = ()


@dataclass(frozen=True, slots=True)
class Param:
    """An input of an operator. Only real inputs that are not `const` are differentiated."""

    name: str
    kind: str  # "real", "int" or "bool"
    axes: tuple[Axis, ...]
    const: bool = False
    default: Default | None = None

    @property
    def differentiable(self) -> bool:
        """Whether the operator is differentiated with respect to this input."""
        return self.kind == "real" and not self.const


@dataclass(frozen=True, slots=True)
class Formula:
    """`target[indices] = body`, for every index below the extents; the body is a Cond where the target is boolean.

    Where the target is an integer, the body is a term that is an integer by its form (integral.py).
    """

    target: str
    indices: tuple[str, ...]
    extents: tuple[Poly, ...]
    body: Term | Cond
    span: Span


@dataclass(frozen=True, slots=True)
class Kink:
    """`at cond: value` - the derivative's value (each real input's coefficient) where the condition holds.

    With `jump` the formula may be discontinuous there: then it has no derivative, and the value is a convention; with
    no value it is what the rules say. With `least` the formula is at its least there, and the value is 0.
    """

    cond: Cond
    value: Term | None
    span: Span
    jump: bool = False
    least: bool = False


@dataclass(frozen=True, slots=True)
class Promise:
    """`ensure cond` - holds for all values of its free indices, each below the extent of the result's axis it reads."""

    cond: Cond
    ranges: tuple[tuple[str, Poly], ...]
    span: Span


@dataclass(frozen=True, slots=True)
class Extern:
    """A tensor that a kernel computes from whole tensors: `tensor` is what terms call it (see `opaque`).

    `args` are inputs, `y`, `g`, tangents or lets by name; `extents` are those of the axes. What is known of it are
    the laws that read it. Trusted: that the kernel has the laws wherever it has a value, and that it is continuous.
    """

    tensor: str
    kernel: str
    args: tuple[str, ...]
    extents: tuple[Poly, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class Law:
    """`left == right` for every index below the extents, over inputs, `y`, lets, and tangents.

    `adjoint` is the law's multiplier in the proof of JVP and VJP, at the same indices.
    """

    indices: tuple[str, ...]
    extents: tuple[Poly, ...]
    left: Term
    right: Term
    span: Span
    text: str
    adjoint: Term | None = None


@dataclass(frozen=True, slots=True)
class OpDef:
    """An operator. `requires` restrict sizes, attributes and integer inputs; `domain` restricts real inputs.

    A `require` or `where` that reads tensors at free indices holds for all of them (in their ranges).
    Where the result or a let is an extern's, its formula is a read of that opaque tensor, and `laws` say what it is.
    `lets` are the intermediates of `runs` (written rules may read them too); `runs` is the last formula.
    `ensures` are claims about the output `y` (POST) that graphs may lean on once they are proved.
    Written rules may read the inputs, the output `y`, the lets, the cotangent `g` (vjp) and tangents `dx` (jvp).
    """

    name: str
    attrs: tuple[Attr, ...]
    params: tuple[Param, ...]
    output: Param
    forward: Formula
    span: Span
    requires: tuple[Cond, ...] = ()
    domain: tuple[Cond, ...] = ()
    lets: tuple[Formula, ...] = ()
    runs: Formula | None = None
    jvp: Formula | None = None
    vjps: tuple[Formula, ...] = ()
    kinks: tuple[Kink, ...] = ()
    instead: tuple[str, ...] = field(default=(), compare=False)  # safe forms, for where this one is undefined
    ensures: tuple[Promise, ...] = ()
    doc: str = ""
    externs: tuple[Extern, ...] = ()
    laws: tuple[Law, ...] = ()
    source: str = field(default="", compare=False)  # the stanza's text, for reports

    def param(self, name: str) -> Param:
        """The input called `name`; KeyError where there is none."""
        for param in self.params:
            if param.name == name:
                return param
        raise KeyError(name)

    @property
    def differentiable(self) -> tuple[Param, ...]:
        """The inputs that the operator is differentiated with respect to."""
        return tuple(p for p in self.params if p.differentiable) if self.output.kind == "real" else ()

    def extern(self, tensor: str) -> Extern | None:
        """The extern that computes a tensor of this name, if one does."""
        return next((e for e in self.externs if e.tensor == tensor), None)

    @property
    def lawful(self) -> bool:
        """Whether the result is an extern's: then laws stand in place of a formula."""
        return self.extern(opaque(OUTPUT)) is not None

    @property
    def sizes(self) -> tuple[str, ...]:
        """The names of all size symbols (dims and packs) of the signature, in order of appearance."""
        ints = {a.name for a in self.attrs if a.kind == "int"}
        names: dict[str, None] = {}
        for param in (*self.params, self.output):
            for axis in param.axes:
                for name in sorted(axis.extent.symbols):
                    if name not in ints:
                        names[name] = None
        return tuple(names)

    @property
    def int_attrs(self) -> tuple[str, ...]:
        """The integer attributes' names."""
        return tuple(a.name for a in self.attrs if a.kind == "int")

    @property
    def real_attrs(self) -> tuple[str, ...]:
        """The real attributes' names (read in terms as tensors with no axes)."""
        return tuple(a.name for a in self.attrs if a.kind == "real")
