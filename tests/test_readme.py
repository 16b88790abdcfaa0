"""The documents keep their word: every command and snippet is run, and prints what the page says."""

from __future__ import annotations

import contextlib
import io
import re
import shlex
from pathlib import Path

import gradproof as gp
import pytest
from gradproof.cli import main, parser

ROOT = Path(__file__).parent.parent
CODES = ROOT / "docs" / "codes.md"  # its examples are mistakes, which test_codes.py runs
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(page: Path, language: str) -> list[str]:
    """The fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE)


def every(language: str) -> list[object]:
    """All blocks of a language on all pages, as test parameters."""
    found = [(page, text) for page in PAGES if page != CODES for text in blocks(page, language)]
    return [pytest.param(text, id=f"{page.name}-{k}") for k, (page, text) in enumerate(found)]


def sessions(text: str) -> list[tuple[str, str]]:
    """The commands of a console block, each with what it prints."""
    parts = re.split(r"^\$ (.*)\n", text, flags=re.MULTILINE)[1:]
    return list(zip(parts[::2], parts[1::2], strict=True))


def plain(text: str) -> list[str]:
    """Lines without times, which differ from run to run."""
    timeless = re.sub(r" *\d+(\.\d+)? (ms|s)\b", " # s", text)
    return [line.rstrip() for line in timeless.strip().splitlines()]


@pytest.mark.parametrize("text", every("gproof"))
def test_programs_are_proved(text: str) -> None:
    report = gp.verify(text)
    assert report.ok, str(report)


@pytest.mark.parametrize("text", every("console"))
def test_commands_print_what_the_page_says(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert sessions(text)
    for command, expected in sessions(text):
        program, *args = shlex.split(command)
        assert program == "gradproof"
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            main(args)
        assert plain(out.getvalue()) == plain(expected), command


@pytest.mark.parametrize("text", every("python"))
def test_snippets_print_what_their_comments_say(text: str) -> None:
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(text, "<snippet>", "exec"), {})
    said = re.findall(r"^print\(.*?# (.*)$", text, re.MULTILINE)
    assert out.getvalue().splitlines() == said


def test_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    named = {target for page in PAGES for target in re.findall(r"`make (\w+)`|^make (\w+)", page.read_text(), re.M)}
    for target in {name for pair in named for name in pair if name}:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_commands_of_the_table_exist() -> None:
    text = (ROOT / "README.md").read_text()
    for command in set(re.findall(r"`gradproof ([\w-]+)", text)):
        with pytest.raises(SystemExit) as stop, contextlib.redirect_stdout(io.StringIO()):
            parser().parse_args([command, "--help"])
        assert stop.value.code == 0


def test_links_lead_somewhere() -> None:
    for page in PAGES:
        prose = re.sub(r"^```.*?^```$|`[^`\n]*`", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
        for target in re.findall(r"\]\(([^)#]+?)\)", prose):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name}: {target}"
