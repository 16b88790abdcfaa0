"""From a text, or a file and the files it uses, to a module: operators and graphs with every name resolved.

`use` stays inside the folder of the first file: no absolute paths, no way out through `..` or a link, no circles. What
begins with `std/` is a file that comes with gradproof (grammar/std), and goes by this name everywhere.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from gradproof.compiler.bodies import lower_graph
from gradproof.compiler.dims import Poly
from gradproof.compiler.frames import Unit
from gradproof.compiler.graph import Dim, Graph
from gradproof.compiler.integers import integer
from gradproof.compiler.library import Library, collect, prelude
from gradproof.compiler.ops import OpDef
from gradproof.compiler.scopes import Scope, check_depth, names_in
from gradproof.grammar.source import Diagnostic, Source
from gradproof.grammar.syntax import DimDecl, Expr, File, GraphDef, Infix, Use

STANDARD = "std/"


@dataclass(frozen=True, slots=True)
class Module:
    """A file's own operators (by unique name) and graphs, what is odd in it, and the sources it was read from.

    `used`: every path that a `use` names, as it was looked up and with its links followed.
    """

    path: str
    ops: Mapping[str, OpDef]
    graphs: Mapping[str, Graph]
    warnings: tuple[Diagnostic, ...]
    sources: tuple[Source, ...]
    used: tuple[tuple[str, str], ...] = ()


def is_standard(path: str) -> bool:
    """Whether a source's path is that of a file that comes with gradproof: those of other used files are absolute."""
    return path.startswith(STANDARD)


def load_path(path: Path | str) -> Module:
    """Read a file and everything it uses; Diagnostic where the text is ill-formed."""
    from gradproof.grammar.parse import read_source

    return _load(read_source(path), Path(path))


def load_text(text: str, path: str = "<text>") -> Module:
    """Read a text. `use` works where `path` is that of a file."""
    return _load(Source(path, text), Path(path) if _is_file_path(path) else None)


def _is_file_path(path: str) -> bool:
    return not (path.startswith("<") or path == "-")


def library_of(text: str, path: str = "<text>") -> Library:
    """The prelude with the operators that a text defines."""
    from gradproof.grammar.parse import parse

    source = Source(path, text)
    exports, _ = _Loader(None).unit(parse(source), source, None, lambda _: None)
    return exports.unit.library


def _load(source: Source, path: Path | None) -> Module:
    from gradproof.grammar.parse import parse

    root = None if path is None else Path(os.path.realpath(path)).parent
    return _Loader(root).module(parse(source), source, path)


@dataclass(slots=True)
class _Exports:
    """What a file gives to those that use it."""

    unit: Unit
    ops: dict[str, tuple[OpDef, ...]]  # written name -> overloads, without the prelude
    infix: tuple[Infix, ...]


@dataclass(slots=True)
class _Loader:
    """Files on their way to modules. Each is read once; `open` is the chain of files that use one another."""

    root: Path | None
    read: dict[Path, _Exports] = field(default_factory=dict)
    open: list[Path] = field(default_factory=list)
    sources: list[Source] = field(default_factory=list)
    used: dict[str, str] = field(default_factory=dict)
    warnings: list[Diagnostic] = field(default_factory=list)

    def module(self, tree: File, source: Source, path: Path | None) -> Module:
        if path is not None:
            self.open.append(Path(os.path.realpath(path)))
        exports, own = self.unit(tree, source, path, self.warnings.append)
        graphs = {
            item.name: lower_graph(item, exports.unit, self.warnings.append)
            for item in tree.items
            if isinstance(item, GraphDef)
        }
        self.report_unused_dims(tree, exports.unit)
        return Module(source.path, own, graphs, tuple(self.warnings), tuple(self.sources), tuple(self.used.items()))

    def unit(
        self, tree: File, source: Source, path: Path | None, warn: Callable[[Diagnostic], None]
    ) -> tuple[_Exports, dict[str, OpDef]]:
        """What the names of a file mean, what it exports, and its own operators."""
        self.sources.append(source)
        used = [self.use(item, path) for item in tree.items if isinstance(item, Use)]
        ops = _merged(used, tree)
        infix = tuple(sign for exports in used for sign in exports.infix)
        base = prelude().with_ops(ops).with_infix(infix)
        library = collect(tree.items, base, warn)
        dims = {name: dim for exports in used for name, dim in exports.unit.dims.items()}
        dims |= _dims(tree, dims)
        unit = Unit(dims, library, {n: g for exports in used for n, g in exports.unit.graphs.items()})
        _add_graphs(tree, unit, warn)
        names = {item.name for item in tree.items if not isinstance(item, Use | DimDecl | Infix | GraphDef)}
        mine = {name: library.overloads[name] for name in names}
        own_infix = tuple(item for item in tree.items if isinstance(item, Infix))
        own = {op.name: op for name in library.overloads if name in names for op in library.overloads[name]}
        return _Exports(unit, {**ops, **mine}, (*infix, *own_infix)), own

    def use(self, item: Use, path: Path | None) -> _Exports:
        if is_standard(item.path):
            return self.use_standard(item)
        target = self.resolve(item, path)
        if target in self.open:
            files = [p.name for p in (*self.open[self.open.index(target) :], target)]
            message = f"these files use each other in a circle: {' -> '.join(files)}"
            raise Diagnostic("E-USE-CYCLE", message, item.span, "move what both need into a third file")
        if target not in self.read:
            from gradproof.grammar.parse import parse, read_source

            try:
                source = read_source(target)
            except Diagnostic as error:
                if error.span is not None:
                    raise
                raise Diagnostic("E-USE", f"can't read {item.path}: {error.message}", item.span) from None
            self.open.append(target)
            self.read[target], _ = self.unit(parse(source), source, target, lambda _: None)
            self.open.pop()
        return self.read[target]

    def use_standard(self, item: Use) -> _Exports:
        """What a file of the library exports."""
        from gradproof.grammar import parse as parser

        folder = Path(parser.__file__).parent / STANDARD
        files = {f"{STANDARD}{path.name}": path for path in sorted(folder.glob("*.gproof"))}
        if item.path not in files:
            advice = f"there are {', '.join(files)}; a file of your own goes into a folder of another name"
            raise Diagnostic("E-USE", f"gradproof comes with no {item.path}", item.span, advice)
        name = Path(item.path)
        if name not in self.read:
            source = Source(item.path, files[item.path].read_text(encoding="utf-8"))
            self.read[name], _ = self.unit(parser.parse(source), source, None, lambda _: None)
        return self.read[name]

    def resolve(self, item: Use, path: Path | None) -> Path:
        """The file that a `use` names: inside the root folder, links followed."""
        if self.root is None or path is None:
            advice = "save the text as a file first"
            raise Diagnostic("E-USE", "a text without a path can't use files", item.span, advice)
        if "\0" in item.path or not item.path:
            raise Diagnostic("E-USE", "this is no path", item.span)
        if os.path.isabs(item.path) or item.path.startswith(("~", "\\")) or ":" in item.path:
            raise Diagnostic("E-USE", "an absolute path", item.span, "write it relative to this file")
        target = Path(os.path.realpath(path.parent / item.path))
        if not target.is_relative_to(self.root):
            message = f"{item.path} leads out of the folder of the first file"
            raise Diagnostic("E-USE", message, item.span, "a program and what it uses live in one folder")
        self.used[str(path.parent / item.path)] = str(target)
        return target

    def report_unused_dims(self, tree: File, unit: Unit) -> None:
        mentioned = set(unit.used_dims)
        for dim in unit.dims.values():
            mentioned |= dim.value.symbols if dim.value is not None else set()
        if not any(isinstance(item, GraphDef) for item in tree.items):
            return  # a file of definitions, for others to use
        for item in tree.items:
            if isinstance(item, DimDecl) and item.name not in mentioned:
                self.warnings.append(Diagnostic("W-UNUSED", f"the dim `{item.name}` is never used", item.span))


def _merged(used: list[_Exports], tree: File) -> dict[str, tuple[OpDef, ...]]:
    """The operators of all used files; two files must not both define one name."""
    merged: dict[str, tuple[OpDef, ...]] = {}
    uses = [item for item in tree.items if isinstance(item, Use)]
    for item, exports in zip(uses, used, strict=True):
        for name, group in exports.ops.items():
            if name in merged and merged[name] is not group:
                message = f"{item.path} defines `{name}`, and so does a file used before it"
                raise Diagnostic("E-DUPLICATE", message, item.span, "rename one of them")
            merged[name] = group
    return merged


def _add_graphs(tree: File, unit: Unit, warn: Callable[[Diagnostic], None]) -> None:
    own: set[str] = set()
    for item in tree.items:
        if not isinstance(item, GraphDef):
            continue
        if item.name in own:
            raise Diagnostic(
                "E-DUPLICATE", f"the graph `{item.name}` is defined twice", item.span, "rename one of them"
            )
        if item.name in unit.graphs or item.name in unit.library.overloads:
            what = "a graph of a used file" if item.name in unit.graphs else "an operator"
            warn(Diagnostic("W-SHADOWED", f"the graph `{item.name}` hides {what} of the same name", item.span))
        own.add(item.name)
        unit.graphs[item.name] = (item, unit)


def _dims(tree: File, known: Mapping[str, Dim]) -> dict[str, Dim]:
    """The dims that a file declares, in any order; a value may use other dims."""
    declared: dict[str, DimDecl] = {}
    for item in tree.items:
        if isinstance(item, DimDecl) and item.name in declared:
            raise Diagnostic("E-DUPLICATE", f"the dim `{item.name}` is declared twice", item.span, "keep one of them")
        if isinstance(item, DimDecl):
            declared[item.name] = item
    done = {name: dim for name, dim in known.items() if name not in declared}
    waiting = list(declared.values())
    while waiting:
        names = {item.name for item in waiting}
        ready = [item for item in waiting if names.isdisjoint(names_in(item.value))]
        if not ready:
            circle = " and ".join(f"`{item.name}`" for item in waiting)
            raise Diagnostic("E-DIM", f"{circle} are made of each other", waiting[0].span, "give one of them a value")
        for item in ready:
            done[item.name] = _dim(item, done)
        settled = {item.name for item in ready}
        waiting = [item for item in waiting if item.name not in settled]
    return {name: done[name] for name in declared}


def _dim(item: DimDecl, done: Mapping[str, Dim]) -> Dim:
    value = None if item.value is None else _size(item.value, done)
    lower = 0 if item.lower is None else _size(item.lower, done).constant
    if lower is None:
        bound = item.lower.span if item.lower is not None else item.span
        raise Diagnostic("E-DIM", "the bound of a dim is a number", bound, "write `assume K <= L` in the graph")
    if value is not None and value.constant is not None and value.constant < 0:
        raise Diagnostic("E-DIM", f"`{item.name}` would be {value}", item.span, "a dim is 0 or more")
    return Dim(item.name, max(0, lower), value, item.span)


def _size(expr: Expr, dims: Mapping[str, Dim]) -> Poly:
    scope = Scope(frozenset(dims), frozenset(), {}, lambda _: None, lambda _: None)
    check_depth(expr)
    fixed = {name: dim.value for name, dim in dims.items() if dim.value is not None}
    return integer(expr, scope).substitute(fixed)
