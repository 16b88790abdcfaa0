"""PyTorch's own table of derivatives, put to the verifier: each formula a claim about our forward.

The table is derivatives.yaml, which the torch wheel carries (the extra `torch`; it is no part of this package).
`--write` writes docs/torch_table.md, `--json FILE` every claim's text, verdicts and counterexample.
"""

from __future__ import annotations

import argparse
import json
import tomllib
from collections import Counter
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from aten.claims import Row, rows
from gradproof.verifier.options import Options

ROOT = Path(__file__).parent.parent


def table() -> list[dict[str, Any]]:
    """The entries of the table in the installed wheel."""
    import torchgen
    import yaml

    path = Path(torchgen.__file__).parent / "packaged" / "autograd" / "derivatives.yaml"
    found: list[dict[str, Any]] = yaml.safe_load(path.read_text("utf-8"))
    return found


def notes() -> dict[str, str]:
    """What was found behind the formulas that are not proved."""
    found: dict[str, str] = tomllib.loads((ROOT / "benchmarks/aten/notes.toml").read_text("utf-8"))
    return found


def page(done: list[Row], version: str) -> str:
    """docs/torch_table.md."""
    said = notes()
    open_rows = [row for row in done if row.answer in ("refuted", "unknown")]
    missing = sorted({row.entry for row in open_rows} - set(said))
    if missing:
        raise SystemExit(f"no note in benchmarks/aten/notes.toml about {', '.join(missing)}")
    count = Counter(row.answer for row in done)
    proved = [row for row in done if row.answer == "proved"]
    alone = sum(not row.helpers for row in proved)
    lines = [
        INTRODUCTION.format(version=version, total=len(done), alone=alone, helped=len(proved) - alone, **names(count))
    ]
    lines += ["## Refuted and unknown", ""]
    for entry in sorted({row.entry for row in open_rows}):
        lines += [f"### {entry}", "", said[entry], ""]
        for row in (r for r in open_rows if r.entry == entry):
            lines += [f"- `{row.argument}: {row.formula}`: **{row.answer}**. {row.reason}", ""]
    lines += ["## Proved", "", "| entry | for | formula | our forward | by helpers |", "|---|---|---|---|---|"]
    for row in proved:
        cells = (row.entry, row.argument, f"`{row.formula}`", f"`{row.forward}`", ", ".join(row.helpers))
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    lines += ["", "## Cannot say", "", "| why | formulas | for example |", "|---|---|---|"]
    why: dict[str, list[str]] = {}
    for row in done:
        if row.answer == "cannot say":
            why.setdefault(kind_of(row.reason), []).append(row.entry)
    for reason, entries in sorted(why.items(), key=lambda item: -len(item[1])):
        lines.append(f"| {reason} | {len(entries)} | {', '.join(list(dict.fromkeys(entries))[:6])} |".replace("`", ""))
    return "\n".join(lines) + "\n"


def names(count: Counter[str]) -> dict[str, int]:
    """The counts, by names that a text can have."""
    return {answer.replace(" ", "_"): count[answer] for answer in ("proved", "refuted", "unknown", "cannot say")}


def kind_of(reason: str) -> str:
    """A reason without the names in it."""
    for start in (
        "the library has no operator",
        "no meaning is written down for",
        "no form of",
        "the forms of",
        "the name",
    ):
        if reason.startswith(start):
            return KINDS[start]
    return reason.splitlines()[0]


KINDS = {
    "the library has no operator": "the library has no such operator",
    "no meaning is written down for": "a helper whose formula is not transcribed",
    "no form of": "our operator takes other inputs",
    "the forms of": "our operator has not all of its attributes",
    "the name": "the formula needs a size, a mask or an index that our form does not have",
}

INTRODUCTION = """# PyTorch's table of derivatives

`make torch-table` reads the table of derivatives in the wheel of PyTorch {version} (`derivatives.yaml`), parses each
formula, and puts it to the verifier as a claim about our forward. Written by benchmarks/torch_table.py; every claim's
text and every counterexample are in the file that `--json FILE` writes.

| formulas | proved | refuted | unknown | cannot say |
|---|---|---|---|---|
| {total} | {proved} | {refuted} | {unknown} | {cannot_say} |

- A formula is proved where its JVP or VJP claim is, and KINK, DOM and SHAPE with it: for all sizes, and at kinks a
  Clarke subgradient. `auto_linear` and `auto_element_wise` are no formulas, and not counted.
- {alone} of the proved ones are all in the table; {helped} call a helper of PyTorch's C++ (`sigmoid_backward`), which
  the wheel does not carry: its formula is transcribed in benchmarks/aten/spellings.toml, and the proof is about that.
- Claims are over the reals, at inputs of one shape (what PyTorch broadcasts it sums over outside of its table), with
  `keepdim=False`, no reduction of losses and no weights.
- Where an operator returns indices too (`sort`, `topk`, `kthvalue`), they are an input of the claim: that they are the
  places of the values is not part of it.
- Our forward is the library's operator of that name, its rules taken off, or a text of its own in
  benchmarks/aten/operators.toml.

The table's own comment on `median.dim` calls the formula incorrect in theory among equal values. It need not be: to
pick one of several equal middle values is a Clarke subgradient there. It is not among the claims.
"""


def main() -> None:
    """Judge the entries whose names match, or all; exit code 1 where a formula is refuted or open without a note."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", nargs="*", help="entries, as `exp` or `add.Tensor`; all of them where none is named")
    parser.add_argument("--seconds", type=float, default=5.0, help="for one obligation")
    parser.add_argument("--claims", action="store_true", help="print each claim's text")
    parser.add_argument("--write", action="store_true", help="write docs/torch_table.md")
    parser.add_argument("--json", type=Path, help="write all that is known of each formula to this file")
    chosen = parser.parse_args()
    options = Options(timeout=chosen.seconds, search=1.0)
    done: list[Row] = []
    for entry in table():
        name = entry["name"].partition("(")[0]
        if not chosen.name or name in chosen.name:
            done += rows(entry, options)
    for row in done:
        if row.answer in ("refuted", "unknown") or chosen.name:
            print(f"{row.answer:10} {row.entry:28} {row.argument:10} {row.reason[:150]}")
        if chosen.claims and row.claim:
            print(row.claim)
    print(", ".join(f"{n} {answer}" for answer, n in Counter(row.answer for row in done).items()))
    if chosen.write and not chosen.name:
        (ROOT / "docs/torch_table.md").write_text(page(done, version("torch")), "utf-8")
    if chosen.json:
        said = [{k: v for k, v in asdict(row).items() if v} for row in done]
        chosen.json.write_text(json.dumps(said, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
