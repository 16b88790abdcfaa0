"""Write the certificates of the prelude, one beside each family's text: `gradproof build --prelude`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import gradproof
from gradproof.certificates import Built, write


def build_prelude(timeout: float, only: str = "") -> Iterator[tuple[Path, Built]]:
    """Write the certificates of all families, or of those whose name has `only` in it, one after the other.

    An operator of which every claim has evidence is not proved again.
    """
    from gradproof.compiler.claims import Verdict
    from gradproof.compiler.library import prelude
    from gradproof.compiler.ops import OpDef
    from gradproof.grammar.parse import read_source
    from gradproof.verifier.checker.main import check
    from gradproof.verifier.evidence.certificate import Provable, Texts, certificate
    from gradproof.verifier.operators import verdicts_of_op
    from gradproof.verifier.options import Options
    from gradproof.verifier.shipped import FOLDER, SUFFIX

    def prove(what: Provable) -> list[Verdict]:
        return list(verdicts_of_op(what, Options(timeout=timeout))) if isinstance(what, OpDef) else []

    families: dict[str, list[OpDef]] = {}
    for op in prelude().ops.values():
        families.setdefault(op.span.source.path, []).append(op)
    for path, ops in sorted(families.items()):
        if only not in Path(path).stem:
            continue
        content = certificate(Texts(read_source(Path(path)).text), ops, (), prove, gradproof.__version__)
        output = FOLDER / (Path(path).stem + SUFFIX)
        write(output, content)
        yield output, Built(content, *check(content, allow_trusted=True).counts())
