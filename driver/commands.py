"""What each command does: one function a command, from parsed arguments to an exit code."""

from __future__ import annotations

import sys
from argparse import Namespace
from pathlib import Path

from gradproof.exporting import solvers_of
from gradproof.paths import Text, expand, one
from gradproof.pipeline import check, load
from gradproof.report import Report
from gradproof.usage import UsageError

DONE, REFUSED = 0, 1


def verify(args: Namespace) -> int:
    """Prove or refute every claim of every file; text is printed file by file, JSON at the end."""
    from gradproof.report import json, text

    solvers = solvers_of(args.solver)
    files = []
    for item in expand(args.paths):
        files.append(check(item, args.timeout, args.order, solvers, not args.no_suggest))
        if args.format == "text":
            print(text.render_file(files[-1]), flush=True)
    report = Report(tuple(files))
    print(json.render(report) if args.format == "json" else "\n".join([text.totals(report), *text.more(report)]))
    return DONE if report.ok else REFUSED


def export_smt(args: Namespace) -> int:
    """Write every question that is asked while verifying as SMT-LIB 2."""
    from gradproof.exporting import smt

    return smt(args)


def gate(args: Namespace) -> int:
    """Prove what changed in a repository, and report in the format that is asked for."""
    from gradproof.gate import run as gate_run

    return gate_run.gate(args)


def export_coq(args: Namespace) -> int:
    """Write the ring, field and linear-arithmetic obligations as a Coq file."""
    from gradproof.exporting import coq

    return coq(args)


def run(args: Namespace) -> int:
    """Verify a file, then run a graph of it."""
    from gradproof.running import run_graph

    return run_graph(args)


def build(args: Namespace) -> int:
    """Prove files and write their certificates."""
    from gradproof import certificates

    if args.prelude:
        from gradproof.shipped import build_prelude

        for path, built in build_prelude(args.timeout, args.paths[0] if args.paths else ""):
            print(f"{path.name}: {built}, {len(built.content)} bytes", flush=True)
        return DONE
    if not args.paths:
        raise UsageError("say which files to build")

    texts = expand(args.paths)
    if args.output and len(texts) > 1:
        raise UsageError(f"-o is one file, and there are {len(texts)} to build; without it each goes beside its source")
    if any(text.content is not None for text in texts) and not args.output:
        raise UsageError("standard input has no place of its own: say where the certificate goes with -o")
    for text in texts:
        output = args.output or certificates.beside(text.path)
        print(f"{output}: {certificates.build(text, output, timeout=args.timeout)}", flush=True)
    return DONE


def check_certificates(args: Namespace) -> int:
    """Check certificates in a new process."""
    from gradproof.certificates import check_files

    return check_files(args.paths, args.allow_trusted, args.format)


def fmt(args: Namespace) -> int:
    """Rewrite files in the canonical format, or say which would change, or print the graphs' canonical form."""
    texts = expand(args.paths)
    if args.ssa:
        return _print_ssa(texts)
    changed = [text.path for text in texts if _format(text, args.check)]
    if args.check:
        for path in changed:
            print(f"would reformat {path}")
    return REFUSED if args.check and changed else DONE


def graph(args: Namespace) -> int:
    """Print the graphs of a file as DOT, Mermaid or JSON."""
    from gradproof.compiler.loops import bodies
    from gradproof.report import picture
    from gradproof.running import choose

    graphs = load(one(args.file)).graphs
    chosen = [choose(graphs, args.graph, args.file)] if args.graph else list(graphs.values())
    known = {graph.name for graph in graphs.values()}
    chosen += [body for graph in chosen for body in bodies(graph) if body.name not in known]
    print({"dot": picture.dot, "mermaid": picture.mermaid, "json": picture.to_json}[args.format](chosen))
    return DONE


def ops(args: Namespace) -> int:
    """Print the operator table, or one operator in full, with the status of its proofs."""
    from gradproof.report import operators

    entries = operators.entries(args.name, None if args.no_proof else args.timeout)
    if not entries:
        raise UsageError(f"no operator {args.name!r}; `gradproof ops` lists them")
    render = operators.to_json if args.format == "json" else operators.page if args.name else operators.table
    print(render(entries))
    return DONE if all(entry.status in ("proved", "not run") for entry in entries) else REFUSED


def explain(args: Namespace) -> int:
    """Say what a code means, or what was proved about a line."""
    from gradproof.explain import explain as said

    text, proved = said(args)
    print(text)
    return DONE if proved else REFUSED


def _print_ssa(texts: list[Text]) -> int:
    from gradproof.report.ssa import render

    print("\n".join(render(load(text)) for text in texts), end="")
    return DONE


def _format(text: Text, only_check: bool) -> bool:
    """Rewrite one text (standard input goes to standard output); whether it differs from its canonical format."""
    from gradproof.grammar.parse import parse, read_source
    from gradproof.grammar.printer import print_file
    from gradproof.grammar.source import Source

    source = read_source(Path(text.path)) if text.content is None else Source(text.path, text.content)
    printed = print_file(parse(source))
    if parse(Source(text.path, printed)) != parse(source):  # a formatter must never change a program
        raise RuntimeError("the formatted text is another program")
    if only_check:
        return printed != source.text
    if text.content is not None:
        sys.stdout.write(printed)
    elif printed != source.text:
        Path(text.path).write_text(printed, encoding="utf-8")
        print(f"reformatted {text.path}")
    return printed != source.text
