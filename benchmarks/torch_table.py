"""PyTorch's own table of derivatives, put to the verifier: each formula a claim about our forward.

The table is derivatives.yaml, which the torch wheel carries (the extra `torch`; it is no part of this package). Writes
docs/torch_table.md and docs/torch_table.json with `--write`; else prints a summary.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from aten.claims import Row, rows
from gradproof.verifier.operators import Options


def table() -> list[dict[str, Any]]:
    """The entries of the table in the installed wheel."""
    import torchgen
    import yaml

    path = Path(torchgen.__file__).parent / "packaged" / "autograd" / "derivatives.yaml"
    found: list[dict[str, Any]] = yaml.safe_load(path.read_text("utf-8"))
    return found


def main() -> None:
    """Judge the entries whose names match, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", nargs="*", help="entries, as `exp` or `add.Tensor`; all of them where none is named")
    parser.add_argument("--seconds", type=float, default=5.0, help="for one obligation")
    parser.add_argument("--claims", action="store_true", help="print each claim's text")
    chosen = parser.parse_args()
    options = Options(timeout=chosen.seconds, search=1.0)
    done: list[Row] = []
    for entry in table():
        name = entry["name"].partition("(")[0]
        if chosen.name and name not in chosen.name:
            continue
        done += rows(entry, options)
    for row in done:
        if row.answer != "cannot say" or chosen.name:
            print(f"{row.answer:10} {row.entry:28} {row.argument:10} {row.reason[:150]}")
        if chosen.claims and row.claim:
            print(row.claim)
    print(dict(Counter(row.answer for row in done)))


if __name__ == "__main__":
    main()
