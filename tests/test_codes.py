"""Every code has one class: its Example gives exactly that code, its Instead is accepted, docs/codes.md is fresh."""

from __future__ import annotations

import ast
import contextlib
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradproof as gp
import pytest
from gradproof.cli import main
from gradproof.codes import Code, codes, help_of, nearest, of_family, page
from gradproof.compiler.claims import CODES
from gradproof.grammar.source import Diagnostic
from gradproof.report import Report
from gradproof.usage import UsageError

ROOT = Path(__file__).parent.parent
LAYERS = ("grammar", "compiler", "runtime", "verifier", "driver")
BLOCK = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
RAISED = re.compile(r"[EWG]-[A-Z]+(-[A-Z]+)*")


def raised() -> Iterator[str]:
    """Every string of the program, outside of the pages themselves, that is a diagnostic's code."""
    for path in (p for layer in LAYERS for p in (ROOT / layer).rglob("*.py")):
        if path.parent.name == "codes":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and RAISED.fullmatch(node.value):
                yield node.value


def blocks(text: str) -> list[tuple[str, str, str]]:
    """The fenced blocks of a section: language, the words behind it, text."""
    return [(m[1], m[2].strip(), m[3]) for m in BLOCK.finditer(text)]


def given(section: str, folder: Path) -> set[str]:
    """The codes of everything that is not accepted when a section's blocks are run."""
    found = blocks(section)
    language, words, text = found[0]
    if language == "python":
        return of_python(text)
    if words.endswith(".gproof"):
        for _, name, content in found:
            (folder / name).write_text(content)
        return of_report(gp.verify(folder / words))
    order = int(words.removeprefix("order=")) if words.startswith("order=") else 1
    return of_report(gp.verify(text, order=order))


def of_report(report: Report) -> set[str]:
    diagnostics = [d.code for file in report.files for d in file.warnings] + [e.code for e in report.errors]
    return {*diagnostics, *(v.claim.code for v in report.failures())}


def of_python(text: str) -> set[str]:
    """What a block of Python raises, or leaves as `report`, `verdicts`, or `problems` by code."""
    names: dict[str, Any] = {}
    try:
        exec(text, names)
    except Diagnostic as error:
        return {error.code}
    except UsageError as error:
        return set(re.findall(r"error\[(.*?)\]", str(error)))
    if "report" in names:
        return of_report(names["report"])
    if "problems" in names:
        return {code for code, problems in names["problems"].items() if problems}
    return {v.claim.code for v in names.get("verdicts", ()) if v.answer != "proved"}


@pytest.mark.parametrize("code", codes())
def test_the_example_gives_exactly_this_code(code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert given(codes()[code].sections()["Example"], tmp_path) == {code}


@pytest.mark.parametrize("code", codes())
def test_what_stands_instead_is_accepted_and_proved(code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert given(codes()[code].sections()["Instead"], tmp_path) == set()


def test_every_code_that_is_raised_has_a_class_and_every_class_is_raised() -> None:
    diagnostics = {code for code in codes() if RAISED.fullmatch(code)}
    assert set(raised()) == diagnostics
    assert set(codes()) - diagnostics == set(CODES)


def test_a_code_has_one_class_and_a_page() -> None:
    classes = [one for one in Code.__subclasses__() if one.__module__.startswith("gradproof.codes.")]
    assert sorted(one.code for one in classes) == sorted(codes())
    for one in classes:
        assert set(one.sections()) - {"Why"} == {"", "Example", "Instead"}, one
        assert one.short().endswith(".") or one.short().endswith(")."), one
        assert len(one.short()) <= 130, one


def test_the_page_is_fresh() -> None:
    written = (ROOT / "docs" / "codes.md").read_text(encoding="utf-8")
    assert written == page(), "write it again: gradproof explain --format markdown > docs/codes.md"
    for code in codes():
        assert f"### {code}\n" in written


def test_help_is_a_sentence_and_a_page() -> None:
    short, text = help_of("VJP")
    assert short in text and text.startswith("# VJP\n") and "## Instead" in text
    with pytest.raises(KeyError):
        help_of("E-NOTHING")


def test_the_nearest_codes() -> None:
    assert nearest("unknown-name")[0] == "E-UNKNOWN-NAME"
    assert nearest("vjpp")[0] == "VJP"
    assert nearest("zzzz") == []


def cli(*args: str) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(["explain", *args])
    return code, out.getvalue(), err.getvalue()


def test_the_command_lists_all_and_prints_one() -> None:
    code, out, _ = cli()
    assert code == 0
    assert all(f"  {one} " in out for one in codes())
    for spelling in ("VJP", "vjp"):
        assert cli(spelling)[1].startswith("VJP\n\nThe vjp is the transpose")
    assert cli("E-USE")[1].count("main.gproof:") == 2
    assert json.loads(cli("kind", "--format", "json")[1])["code"] == "E-KIND"
    assert cli("--format", "markdown")[1] == page()
    assert len(json.loads(cli("--format", "json")[1])["codes"]) == len(codes())


@pytest.mark.parametrize(("word", "near"), [("E-KNID", "E-KIND"), ("VPJ", "VJP"), ("?!", "lists the codes")])
def test_an_unknown_code_is_a_usage_error_with_the_nearest(word: str, near: str) -> None:
    code, out, err = cli(word)
    assert (code, out) == (2, "")
    assert near in err


def test_families_hold_all_classes() -> None:
    assert of_family("rules")[0].code == "SHAPE"
