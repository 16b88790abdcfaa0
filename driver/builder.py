"""Graphs from Python: `GraphBuilder`, the seeds' GraphM. It makes the graphs that text makes, by the same calls.

>>> b = GraphBuilder("loss")
>>> B = b.dim("B", lower=1)
>>> x, w = b.input("x", "f32", (B, 3)), b.input("w", "f32", (3,))
>>> print(b.build(b.mean(b.relu(x @ w) ** 2)).nodes[-1].type)
f32[]
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeAlias

from gradproof.compiler import arithmetic, bounds
from gradproof.compiler.broadcast import plan_to, widen
from gradproof.compiler.calls import applied, call, lift
from gradproof.compiler.dims import Poly
from gradproof.compiler.draft import DTYPES, Draft, Operand, Value
from gradproof.compiler.einsum import TEXTUAL
from gradproof.compiler.forms import FORMS, REDUCTION, apply, reduced
from gradproof.compiler.graph import Dim, Env, Graph, Seeded, TensorType
from gradproof.compiler.library import prelude
from gradproof.compiler.scopes import unknown
from gradproof.grammar.source import Diagnostic, Source, Span
from gradproof.grammar.syntax import Text

Number: TypeAlias = int | float | Fraction
Extent: TypeAlias = int | str | Poly


@dataclass(frozen=True, slots=True, eq=False)
class Var:
    """A tensor of a graph that is being built. Signs and comparisons make new ones, as they do in text."""

    builder: GraphBuilder = field(repr=False)
    value: Value

    __array_ufunc__ = None  # a NumPy number on the left leaves the sign to the Var

    @property
    def shape(self) -> tuple[Poly, ...]:
        """The extents, integer polynomials in the dims."""
        return self.value.type.shape

    @property
    def dtype(self) -> str:
        """The element type: f32, f64, i32, i64 or bool."""
        return self.value.type.dtype

    def __repr__(self) -> str:
        return f"<{self.value.type} {self.builder.name_of(self)}>"

    def __bool__(self) -> bool:
        raise TypeError("a Var has no value yet, so Python can't branch on it; use b.where(condition, a, b)")

    def __add__(self, other: Any) -> Var:
        return self.builder.sign("+", self, other)

    def __radd__(self, other: Any) -> Var:
        return self.builder.sign("+", other, self)

    def __sub__(self, other: Any) -> Var:
        return self.builder.sign("-", self, other)

    def __rsub__(self, other: Any) -> Var:
        return self.builder.sign("-", other, self)

    def __mul__(self, other: Any) -> Var:
        return self.builder.sign("*", self, other)

    def __rmul__(self, other: Any) -> Var:
        return self.builder.sign("*", other, self)

    def __truediv__(self, other: Any) -> Var:
        return self.builder.sign("/", self, other)

    def __rtruediv__(self, other: Any) -> Var:
        return self.builder.sign("/", other, self)

    def __pow__(self, other: Any) -> Var:
        return self.builder.sign("^", self, other)

    def __rpow__(self, other: Any) -> Var:
        return self.builder.sign("^", other, self)

    def __matmul__(self, other: Any) -> Var:
        return self.builder.sign("@", self, other)

    def __rmatmul__(self, other: Any) -> Var:
        return self.builder.sign("@", other, self)

    def __lt__(self, other: Any) -> Var:
        return self.builder.compare("<", self, other)

    def __le__(self, other: Any) -> Var:
        return self.builder.compare("<=", self, other)

    def __gt__(self, other: Any) -> Var:
        return self.builder.compare(">", self, other)

    def __ge__(self, other: Any) -> Var:
        return self.builder.compare(">=", self, other)

    def __and__(self, other: Any) -> Var:
        return self.builder.logic("and", self, other)

    def __or__(self, other: Any) -> Var:
        return self.builder.logic("or", self, other)

    def __invert__(self) -> Var:
        return self.builder.logic("not", self)

    def __neg__(self) -> Var:
        return self.builder.sign("neg", self)


class GraphBuilder:
    """A graph, built by calls. Every operator of the library is a method: `b.softmax(x, axis=-1)`.

    `text` may define more operators (`fn`, `op`, `infix`). Mistakes raise Diagnostic with the Python line.
    """

    def __init__(self, name: str = "graph", text: str = "") -> None:
        library = prelude()
        if text:
            from gradproof.compiler.elaborate import library_of

            library = library_of(text)
        self.warnings: list[Diagnostic] = []
        self._dims: dict[str, Dim] = {}
        self._draft = Draft(name, library, _here(), self.warnings.append)
        self._seen = 0  # claims that were looked at

    # Declarations.

    def dim(self, name: str, value: int | Poly | None = None, *, lower: int = 0) -> Poly:
        """Declare a dim: symbolic and at least `lower`, or fixed to `value`; the result is used in shapes."""
        span = _here()
        if name in self._dims:
            raise Diagnostic("E-DUPLICATE", f"the dim `{name}` is declared twice", span)
        if not name.isidentifier():
            raise Diagnostic("E-NAME", f"{name!r} is no name", span)
        fixed = None if value is None else Poly.of(value)
        if fixed is not None and fixed.constant is not None and fixed.constant < 0:
            raise Diagnostic("E-DIM", f"`{name}` would be {value}", span, "a dim is 0 or more")
        self._dims[name] = Dim(name, max(0, lower), fixed, span)
        return Poly.sym(name) if fixed is None else fixed

    def input(self, name: str, dtype: str, shape: Sequence[Extent], *, const: bool = False) -> Var:
        """Declare an input: differentiable (Γ) if it is real and not const, of the environment (Δ) otherwise."""
        span = _here()
        type_ = self._type(dtype, shape, span)
        self._check_name(name, span)
        if const or type_.kind != "real":
            return Var(self, self._draft.environment(name, type_, span))
        if len(self._draft) > self._draft.leaves:
            message = f"the input `{name}` comes after an operator"
            raise Diagnostic("E-LATE-INPUT", message, span, "declare all inputs first: the leaves have the first ids")
        return Var(self, self._draft.leaf(name, type_, span))

    def rand_uniform(self, name: str, shape: Sequence[Extent], *, seed: int, dtype: str = "f32") -> Var:
        """Declare an input that is uniform on [0, 1), made from the seed when the caller does not give it."""
        return self._seeded(name, dtype, shape, Seeded("uniform", seed))

    def bernoulli_mask(
        self, name: str, shape: Sequence[Extent], *, seed: int, p: Number = Fraction(1, 2), dtype: str = "f32"
    ) -> Var:
        """Declare an input of ones (with probability p) and zeros, made from the seed."""
        return self._seeded(name, dtype, shape, Seeded("bernoulli", seed, _rational(p, _here())))

    def _seeded(self, name: str, dtype: str, shape: Sequence[Extent], seeded: Seeded) -> Var:
        span = _here()
        type_ = self._type(dtype, shape, span)
        self._check_name(name, span)
        bounds.check_seeded(seeded, type_, span)
        return Var(self, self._draft.environment(name, type_, span, seeded))

    def constant(self, value: Number, shape: Sequence[Extent] = ()) -> Var:
        """A number as a tensor, the same everywhere."""
        span = _here()
        result = lift(self._draft, _rational(value, span), span)
        step = plan_to((), self._shape(shape, span))
        if step is not None:
            result = widen(self._draft, result, step, lambda *args: call(self._draft, *args), span)
        return Var(self, result)

    def assume(self, *chain: Any) -> None:
        """Restrict inputs or dims: `b.assume(0, "<=", label, "<", C)`."""
        self._restrict("assume", chain)

    def ensure(self, *chain: Any) -> None:
        """Claim something about values: `b.ensure(y, ">=", 0)`."""
        self._restrict("ensure", chain)

    def _restrict(self, word: str, chain: tuple[Any, ...]) -> None:
        span = _here()
        rels = {"<", "<=", ">", ">=", "==", "!="}
        if len(chain) < 3 or len(chain) % 2 == 0 or not all(isinstance(r, str) and r in rels for r in chain[1::2]):
            raise Diagnostic("E-BOUND", f'write b.{word}(left, "<=", right)', span)
        operands = [self._operand(item, span) for item in chain[::2]]
        for operand in operands:
            if word == "assume" and not bounds.is_input(operand, self._draft):
                raise Diagnostic("E-BOUND", "an assume is about inputs", span, "use ensure for what is computed")
        for k, rel in enumerate(chain[1::2]):
            text = f"{self._text(operands[k])} {rel} {self._text(operands[k + 1])}"
            bounds.link(self._draft, rel, operands[k], operands[k + 1], span, text, word)
        self._check_claims()

    def _text(self, operand: Operand) -> str:
        return self._draft.name_of(operand) if isinstance(operand, Value) else str(operand)

    # Operators.

    def __getattr__(self, name: str) -> Callable[..., Var]:
        if name.startswith("_") or not self._knows(name):
            library = [] if name.startswith("_") else self._draft.library.overloads
            raise AttributeError(str(unknown(name, library, _here(), "operator").args[0]) + _advice(name, library))
        return lambda *args, **kwargs: self.op(name, *args, **kwargs)

    def _knows(self, name: str) -> bool:
        library = self._draft.library
        return name in library.overloads or name in TEXTUAL or (name in FORMS and library.sign(name) is not None)

    def op(self, op_name: str, /, *args: Any, **kwargs: Any) -> Var:
        """Apply an operator by name, as a call in text does."""
        span = _here()
        if not self._knows(op_name):
            raise unknown(op_name, self._draft.library.overloads, span, "operator")
        word = kwargs.pop(REDUCTION, "") if isinstance(kwargs.get(REDUCTION), str) else ""
        named = {key: self._operand(value, span) for key, value in kwargs.items()}
        if op_name in TEXTUAL and op_name not in self._draft.library.overloads:
            if not args or not isinstance(args[0], str):
                advice = f'write `b.{op_name}("ij,jk->ik", a, b)`'
                raise Diagnostic("E-KIND", f"`{op_name}` begins with its string", span, advice)
            operands = [self._operand(arg, span) for arg in args[1:]]
            op = TEXTUAL[op_name](Text(args[0], span), len(operands))
            return self._var(applied(self._draft, op, operands, named, span))
        operands = [self._operand(arg, span) for arg in args]
        value = apply(self._draft, op_name, operands, named, span)
        return self._var(reduced(self._draft, op_name, value, word, span) if word else value)

    def sign(self, sign: str, *args: Any) -> Var:
        """Apply what an infix sign stands for."""
        span = _here()
        operands = [self._operand(arg, span) for arg in args]
        if len(operands) == 1:
            return self._var(arithmetic.negated(self._draft, operands[0], span))
        return self._var(arithmetic.combined(self._draft, sign, operands[0], operands[1], span))

    def compare(self, sign: str, left: Any, right: Any) -> Var:
        """A boolean tensor: left sign right, entry by entry. Signs: < <= > >= == !=."""
        span = _here()
        operands = [self._operand(left, span), self._operand(right, span)]
        return self._var(arithmetic.compared(self._draft, (sign,), operands, span))

    def logic(self, sign: str, *args: Any) -> Var:
        """`and`, `or`, `not` between boolean tensors."""
        span = _here()
        operands = [self._operand(arg, span) for arg in args]
        return self._var(apply(self._draft, self._draft.role(sign, span), operands, {}, span))

    def name(self, name: str, var: Var) -> Var:
        """Give a value a name, for messages and tables; the value itself."""
        self._value(var, _here())
        self._draft.rename(var.value, name, self._draft.leaves)
        return var

    def name_of(self, var: Var) -> str:
        """What a value is called."""
        return self._draft.name_of(var.value)

    # The end.

    def build(self, *outputs: Var, last: bool = False) -> Graph:
        """The graph with these outputs; with `last`, its one output must be the last node, as the wrappers want it."""
        span = _here()
        if not outputs:
            raise Diagnostic("E-NO-OUTPUT", "the graph has no output", span, "write b.build(y)")
        values = tuple(self._value(output, span) for output in outputs)
        for value in values:
            if isinstance(value.arg, Env):
                message = f"`{value.arg.name}` is an input of the environment: it can't be an output"
                raise Diagnostic("E-OUTPUT", message, span, "return something computed from it")
        final = len(self._draft) - 1
        if last and (len(values) > 1 or values[0].arg.id != final):  # type: ignore[union-attr]  # no Env is left
            shown = ", ".join(self._draft.name_of(value) for value in values)
            message = f"the output must be the last node ({final}), and it is {shown}"
            raise Diagnostic("E-OUTPUT", message, span, "compute it last, and leave out what comes after it")
        for number, value in enumerate(values, 1):
            name = "result" if len(values) == 1 else f"result{number}"
            self._draft.rename(value, name, self._draft.leaves)
        return self._draft.finish(tuple(self._dims.values()), values)

    def build_scalar(self, output: Var) -> Graph:
        """The graph of a scalar function: the output has no axes and is the last node."""
        span = _here()
        value = self._value(output, span)
        if value.type.shape or value.type.kind != "real":
            message = f"the output is {value.type}, and a scalar function returns a number"
            raise Diagnostic("E-OUTPUT", message, span, "take its sum or its mean")
        return self.build(output, last=True)

    # From Python's values to the graph's.

    def _var(self, operand: Operand) -> Var:
        span = _here()
        value = lift(self._draft, operand, span)
        self._check_claims()
        return Var(self, value)

    def _check_claims(self) -> None:
        """Extents that differ as numbers are a mistake that is seen at once; the rest is for SHAPE."""
        if len(self._draft.claims) == self._seen:
            return
        for claim in list(self._draft.claims.values())[self._seen :]:
            if claim.left.constant is not None and claim.right.constant is not None:
                message = f"{claim.left} is not {claim.right}: {claim.reason}"
                raise Diagnostic("E-SHAPE", message, claim.span)
        self._seen = len(self._draft.claims)

    def _value(self, var: Var, span: Span) -> Value:
        if not isinstance(var, Var):
            raise Diagnostic("E-KIND", f"{var!r} is no variable of this graph", span)
        if var.builder is not self:
            message = f"{var!r} belongs to another graph, `{var.builder._draft.name}`"
            raise Diagnostic("E-FOREIGN", message, span, "declare it here as an input")
        return var.value

    def _operand(self, item: Any, span: Span) -> Operand:
        match item:
            case Var():
                return self._value(item, span)
            case Poly():
                return item if item.constant is None else Fraction(item.constant)
            case tuple() | list():
                return tuple(self._operand(inner, span) for inner in item)
            case str() if item in self._dims:
                return self._operand(self._extent(item, span), span)
            case _:
                return _rational(item, span)

    def _type(self, dtype: str, shape: Sequence[Extent], span: Span) -> TensorType:
        if dtype not in DTYPES:
            raise unknown(dtype, DTYPES, span, "element type")
        return TensorType(dtype, self._shape(shape, span))

    def _shape(self, shape: Sequence[Extent], span: Span) -> tuple[Poly, ...]:
        return tuple(self._extent(extent, span) for extent in shape)

    def _extent(self, extent: Extent, span: Span) -> Poly:
        if isinstance(extent, str):
            if extent not in self._dims:
                raise unknown(extent, self._dims, span, "dim")
            fixed = self._dims[extent].value
            return Poly.sym(extent) if fixed is None else fixed
        poly = Poly.of(extent)
        strangers = sorted(poly.symbols - self._dims.keys())
        if strangers:
            raise unknown(strangers[0], self._dims, span, "dim")
        if poly.constant is not None and poly.constant < 0:
            raise Diagnostic("E-SHAPE", f"{poly} is no size", span, "a size is 0 or more")
        return poly

    def _check_name(self, name: str, span: Span) -> None:
        if not name.isidentifier():
            raise Diagnostic("E-NAME", f"{name!r} is no name", span)
        if name in self._dims or self._draft.taken(name):
            raise Diagnostic("E-DUPLICATE", f"`{name}` already means something", span, "take another name")


def _advice(name: str, known: Any) -> str:
    advice = unknown(name, known, _here()).advice
    return f"; {advice}" if advice else ""


def _rational(item: Any, span: Span) -> Fraction:
    """A Python number as it is written: 0.1 is one tenth."""
    if not isinstance(item, bool | int | float | Fraction) and getattr(item, "ndim", None) == 0:
        item = item.item()  # a NumPy number
    if isinstance(item, float):
        if item != item or item in (float("inf"), float("-inf")):
            raise Diagnostic("E-NUMBER", f"{item} is no real number", span)
        return Fraction(repr(float(item)))  # a NumPy float is a float, and prints otherwise
    if isinstance(item, bool | int | Fraction):
        return Fraction(item)
    what = "an array" if hasattr(item, "__array__") else f"a {type(item).__name__}"
    raise Diagnostic("E-KIND", f"{what} where a variable or a number is wanted", span, "declare it as an input")


def _here() -> Span:
    """The line of Python, outside this file, that called."""
    frame = sys._getframe(1)
    while frame.f_code.co_filename == __file__ and frame.f_back is not None:
        frame = frame.f_back
    line = frame.f_lineno
    return Span(_source(frame.f_code.co_filename), line, 1, line, 1)


_SOURCES: dict[str, Source] = {}


def _source(path: str) -> Source:
    return _SOURCES.setdefault(path, Source(Path(path).name if path.endswith(".py") else path, ""))
