"""The operators that a program can call: the prelude, read once and lazily, and what a user's file adds to it.

Several stanzas may share a name (`sum` over everything, `sum` along an axis); which one a call means is decided by its
arguments (calls.py). Each has a unique name of its own: the first is `sum`, another `sum[axis]`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

from gradproof.compiler.ops import OpDef, Param
from gradproof.compiler.scopes import unknown
from gradproof.compiler.stanzas import define
from gradproof.grammar.source import Diagnostic, Source
from gradproof.grammar.syntax import Fn, Infix, Item, Op

MAX_CHAIN = 50  # functions that wait for each other's definition


@dataclass(frozen=True, slots=True)
class Library:
    """Operators by unique name, the overloads of each written name, and what the signs of a graph stand for.

    A sign may be declared several times: the last one counts, except for `fold` and `axes`, which are sets.
    """

    ops: Mapping[str, OpDef] = field(default_factory=dict)
    overloads: Mapping[str, tuple[OpDef, ...]] = field(default_factory=dict)
    infix: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def sign(self, sign: str) -> str | None:
        """The operator that a sign stands for."""
        names = self.infix.get(sign)
        return names[-1] if names else None

    def declared(self, sign: str, name: str) -> bool:
        """Whether `infix "sign" name` is declared."""
        return name in self.infix.get(sign, ())

    def function(self, name: str) -> OpDef | None:
        """The `fn` that a formula may call by this name."""
        return next((op for op in self.overloads.get(name, ()) if not op.attrs and op.output.kind == "real"), None)

    def with_ops(self, overloads: Mapping[str, tuple[OpDef, ...]]) -> Library:
        """This library with more operators; a name that it has already now means the new ones."""
        hidden = {op.name for name in overloads for op in self.overloads.get(name, ())}
        kept = {name: op for name, op in self.ops.items() if name not in hidden}
        added = {op.name: op for group in overloads.values() for op in group}
        return Library({**kept, **added}, {**self.overloads, **overloads}, self.infix)

    def with_infix(self, declared: Iterable[Infix]) -> Library:
        """This library with more signs; Diagnostic for an operator that it does not have."""
        infix = dict(self.infix)
        for item in declared:
            if item.op not in self.overloads:
                raise unknown(item.op, self.overloads, item.span, "operator")
            infix[item.sign] = (*(n for n in infix.get(item.sign, ()) if n != item.op), item.op)
        return replace(self, infix=infix)


def base_name(name: str) -> str:
    """The name as it is written in a call: `sum` for `sum[axis]`."""
    return name.split("[")[0].split("(")[0]


def signature(params: Iterable[Param]) -> str:
    """The inputs' kinds and axes as text: `[m, k], int [B..]`."""

    def one(param: Param) -> str:
        axes = ", ".join(str(axis.extent) for axis in param.axes)
        return f"[{axes}]" if param.kind == "real" else f"{param.kind} [{axes}]"

    return ", ".join(map(one, params))


def _pattern(op: OpDef) -> object:
    """What calls can tell apart: attributes, the inputs' kinds, and where the packs are."""
    params = tuple((p.kind, tuple((a.pack is not None, a.rank is not None) for a in p.axes)) for p in op.params)
    return tuple(a.name for a in op.attrs), params


def collect(items: Iterable[Item], library: Library, warn: Callable[[Diagnostic], None]) -> Library:
    """The library with a file's own stanzas and signs, in any order."""
    stanzas = [item for item in items if isinstance(item, Fn | Op)]
    own = _Own(library, warn, {item.name: item for item in stanzas if isinstance(item, Fn)})
    groups: dict[str, tuple[OpDef, ...]] = {}
    for item in stanzas:
        if item.name in library.overloads and item.name not in groups:
            message = f"`{item.name}` hides an operator of the same name"
            warn(Diagnostic("W-SHADOWED", message, item.span, "every call in this program now means this one"))
        groups[item.name] = _joined(groups.get(item.name, ()), own.define(item))
    return library.with_ops(groups).with_infix(item for item in items if isinstance(item, Infix))


@dataclass(slots=True)
class _Own:
    """A file's stanzas on their way to definitions; a `fn` is defined when a formula first calls it."""

    library: Library
    warn: Callable[[Diagnostic], None]
    functions: Mapping[str, Fn]
    done: dict[int, OpDef] = field(default_factory=dict)
    open: list[str] = field(default_factory=list)

    def define(self, stanza: Fn | Op) -> OpDef:
        found = self.done.get(id(stanza))
        if found is None:
            self.open.append(stanza.name)
            found = self.done[id(stanza)] = define(stanza, self.function, self.warn)
            self.open.pop()
        return found

    def function(self, name: str) -> OpDef | None:
        """The `fn` that a formula means: one of this file, or else of the library."""
        stanza = self.functions.get(name)
        if stanza is None:
            return self.library.function(name)
        if name in self.open or len(self.open) > MAX_CHAIN:
            message = f"`{name}` is defined by way of itself: {' -> '.join((*self.open, name))}"
            if name not in self.open:
                message = f"more than {MAX_CHAIN} functions call each other before they are defined"
            raise Diagnostic("E-RECURSION", message, stanza.span, "a formula ends in functions that are known")
        return self.define(stanza)


def _joined(group: tuple[OpDef, ...], op: OpDef) -> tuple[OpDef, ...]:
    """The overloads of a name with one more, under a unique name."""
    if not group:
        return (op,)
    if any(_pattern(op) == _pattern(other) for other in group):
        message = f"`{op.name}` is defined twice with the same attributes and inputs"
        raise Diagnostic("E-DUPLICATE", message, op.span, "rename one of them")
    taken = {other.name for other in group}
    short = f"{op.name}[{', '.join(a.name for a in op.attrs)}]" if op.attrs else ""
    unique = short if short and short not in taken else f"{short or op.name}({signature(op.params)})"
    return (*group, replace(op, name=unique))


@lru_cache(maxsize=1)
def prelude() -> Library:
    """The operators that come with gradproof, from grammar/prelude/*.gproof."""
    from gradproof.grammar import parse as parser

    folder = Path(parser.__file__).parent / "prelude"
    items: list[Item] = []
    for path in sorted(folder.glob("*.gproof")):
        items += parser.parse(Source(str(path), path.read_text(encoding="utf-8"))).items
    return collect(items, Library(), _ours)


def _ours(warning: Diagnostic) -> None:
    """A warning about the prelude is a mistake of ours."""
    raise warning
