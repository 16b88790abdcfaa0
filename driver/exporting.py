"""Obligations for other tools: every question to the solver as SMT-LIB 2; and which solvers a run asks."""

from __future__ import annotations

from argparse import Namespace
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from gradproof.paths import expand
from gradproof.usage import UsageError

if TYPE_CHECKING:
    from gradproof.compiler.elaborate import Module
    from gradproof.verifier.asked import Asked
    from gradproof.verifier.smtlib import Script


def solvers_of(text: str) -> tuple[str, ...]:
    """The solvers that `--solver` names. Raises UsageError."""
    from gradproof.verifier.second import MissingSolver, check_solvers

    names = tuple(name.strip() for name in text.split(","))
    try:
        check_solvers(names)
    except (ValueError, MissingSolver) as error:
        raise UsageError(f"--solver: {error}") from error
    return names


def modules(paths: Iterable[str], prelude: bool) -> list[Module]:
    """The modules that a command line names, the library of operators as one of them. Raises UsageError."""
    from gradproof.compiler.elaborate import Module
    from gradproof.compiler.library import prelude as library
    from gradproof.pipeline import load

    found = [Module("prelude", dict(library().ops), {}, (), ())] if prelude else []
    found += [load(text) for text in expand(list(paths))]
    if not found:
        raise UsageError("nothing to export: name a file, or --prelude")
    return found


def folder_of(name: str) -> Path:
    """The folder to write to, made where it is not there. Raises UsageError."""
    folder = Path(name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{name}: no folder to write to ({error.strerror})") from error
    return folder


def smt(args: Namespace) -> int:
    """`gradproof export-smt`: one file a question, named by what it is for and by its content."""
    from gradproof.pipeline import prove
    from gradproof.verifier.asked import watching

    chosen, folder = modules(args.paths, args.prelude), folder_of(args.folder)
    scripts: dict[str, Script] = {}
    left_out: Counter[str] = Counter()

    def keep(asked: Asked) -> str:
        from gradproof.verifier.questions import Untranslatable
        from gradproof.verifier.smtlib import script

        try:
            written = script(asked)
        except Untranslatable as error:
            left_out[str(error)] += 1
        else:
            scripts.setdefault(written.name, written)
        return ""

    claims = 0
    with watching(keep):
        for module in chosen:
            claims += len(prove(module, args.timeout))
    for script in scripts.values():
        try:
            (folder / script.name).write_text(script.text, encoding="utf-8")
        except OSError as error:
            raise UsageError(f"{folder / script.name}: can't be written ({error.strerror})") from error
    statuses = Counter(script.status for script in scripts.values())
    shown = ", ".join(f"{statuses[status]} {status}" for status in ("unsat", "sat", "unknown"))
    print(f"{len(scripts)} questions of {claims} claims ({shown}) in {folder}")
    for reason, count in left_out.items():
        print(f"{count} left out: {reason}")
    return 0


def coq(args: Namespace) -> int:
    """`gradproof export-coq`: a file of theorems, or several, and a count of what is not in them, with the reasons."""
    from gradproof.pipeline import prove
    from gradproof.verifier.asked import reading, watching
    from gradproof.verifier.coq.export import Collector

    path = Path(args.file)
    if path.suffix != ".v":
        raise UsageError(f"{args.file}: a Coq file ends in .v")
    if args.parts < 1:
        raise UsageError(f"--parts {args.parts}: it takes one file at least")
    chosen, found = modules(args.paths, args.prelude), Collector()
    with reading(found.identity), watching(found.asked):
        for module in chosen:
            prove(module, args.timeout)
    texts = found.texts(args.parts)
    names = [path.with_stem(f"{path.stem}_{k}") for k in range(1, len(texts) + 1)] if args.parts > 1 else [path]
    for file, text in zip(names, texts, strict=True):
        try:
            file.write_text(text, encoding="utf-8")
        except OSError as error:
            raise UsageError(f"{file}: can't be written ({error.strerror})") from error
    shown = args.file if args.parts == 1 else f"{names[0]} to {names[-1].name}"
    print(f"{len(found.theorems)} theorems in {shown}")
    kinds = {"identities": found.identities, "facts about integers": found.integers, "cases on reals": found.reals}
    for name, kind in kinds.items():
        print(f"{name}: {kind.exported} of {kind.total}")
        for reason, count in kind.left_out.most_common():
            print(f"  {count} not: {reason}")
    return 0
