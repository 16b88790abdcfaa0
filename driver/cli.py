"""The command `gradproof`: arguments, exit codes, and how every failure is said.

Exit 0: everything proved (or done); 1: refuted, unknown, ill-formed, or not formatted; 2: usage or internal error;
130: interrupted.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

import gradproof
from gradproof.gate.arguments import add_gate
from gradproof.usage import UsageError

PROVED, REFUSED, FAILED, INTERRUPTED = 0, 1, 2, 130
COMMANDS = {"check": "check_certificates"}  # the others are called what they are


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; no exception leaves."""
    try:
        return _finish(_dispatch(sys.argv[1:] if argv is None else list(argv)))
    except SystemExit as stop:  # argparse: 0 for --help and --version, 2 for usage
        return _finish(int(stop.code or 0))
    except BrokenPipeError:
        _abandon_output()
        return REFUSED
    except KeyboardInterrupt:
        print("gradproof: interrupted", file=sys.stderr)
        return INTERRUPTED


def _dispatch(argv: list[str]) -> int:
    args = parser().parse_args(argv)
    try:
        from gradproof import commands  # late: --help and --version load nothing else

        return int(getattr(commands, COMMANDS.get(args.command, args.command).replace("-", "_"))(args))
    except UsageError as error:
        print(f"gradproof: {error}", file=sys.stderr)
        return FAILED
    except (BrokenPipeError, KeyboardInterrupt):
        raise
    except Exception as error:
        from gradproof.grammar.source import Diagnostic

        if isinstance(error, Diagnostic | gradproof.ProofError | gradproof.Refused):
            print(error, file=sys.stderr)
            return REFUSED
        if os.environ.get("GRADPROOF_TRACEBACK"):
            raise
        print(_internal(error), file=sys.stderr)
        return FAILED


def parser() -> argparse.ArgumentParser:
    """The command line, as argparse has it."""
    top = argparse.ArgumentParser(
        prog="gradproof",
        description="Prove that the gradients of tensor programs are right, and run what was proved.",
        epilog="exit codes: 0 proved or done, 1 refuted, unknown or ill-formed, 2 usage or internal error",
    )
    top.add_argument("--version", action="version", version=f"gradproof {gradproof.__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    verify = commands.add_parser("verify", help="prove or refute everything that files claim")
    verify.add_argument("paths", nargs="+", metavar="PATH", help="a file, a folder, a glob, or - for standard input")
    verify.add_argument("--format", choices=("text", "json"), default="text")
    verify.add_argument(
        "--order", type=_order, default=1, metavar="N", help="2: second derivatives too, and so on (default 1)"
    )
    verify.add_argument("--no-suggest", action="store_true", help="look for no repair of what is refuted")
    _add_timeout(verify)

    verify.add_argument(
        "--solver", default="z3", metavar="z3,cvc5", help="with cvc5, put every question to both (default z3)"
    )

    export = commands.add_parser("export-smt", help="write every question to the solver as SMT-LIB 2")
    export.add_argument("paths", nargs="*", metavar="FILE", help="a file, a folder, a glob, or - for standard input")
    export.add_argument("folder", metavar="DIR", help="where the .smt2 files go")
    export.add_argument("--prelude", action="store_true", help="the operators that come with gradproof")
    _add_timeout(export)

    add_gate(commands, _seconds, _order)

    coq = commands.add_parser("export-coq", help="write identities and integer facts as theorems for Coq")
    coq.add_argument("file", metavar="FILE.v", help="the file to write; `coqc FILE.v` checks it")
    coq.add_argument(
        "--from", dest="paths", nargs="+", default=[], metavar="FILE", help="a file, a folder, a glob, or -"
    )
    coq.add_argument("--prelude", action="store_true", help="the operators that come with gradproof")
    coq.add_argument(
        "--parts", type=int, default=1, metavar="N", help="FILE_1.v to FILE_N.v, to be checked in parallel"
    )
    _add_timeout(coq)

    run = commands.add_parser("run", help="verify a file, then run one of its graphs")
    run.add_argument("file", metavar="FILE")
    run.add_argument("--graph", metavar="NAME", help="which graph (not needed where there is one)")
    run.add_argument("--inputs", metavar="X.npz", help="the inputs by name; without it, say what the graph needs")
    mode = run.add_mutually_exclusive_group()
    mode.add_argument("--grad", action="store_true", help="the value and all gradients of a scalar graph")
    mode.add_argument("--jvp", metavar="T.npz", help="push these tangents forward (inputs by name)")
    mode.add_argument("--vjp", metavar="CT.npz", help="pull these cotangents back (outputs by name)")
    mode.add_argument("--hvp", metavar="T.npz", help="the gradients, and the Hessian times these tangents")
    run.add_argument(
        "--scalar",
        choices=("float64", "float32", "rational", "interval"),
        help="default: what the inputs are declared as",
    )
    run.add_argument("--all-values", action="store_true", help="every intermediate value too, as value.NAME")
    run.add_argument("-o", "--output", metavar="OUT.npz", help="where the results go; without it, print them")
    _add_timeout(run)

    build = commands.add_parser("build", help="prove files, and write certificates that others can check and run")
    build.add_argument("paths", nargs="*", metavar="FILE", help="a file, a folder, a glob, or - for standard input")
    build.add_argument("--prelude", action="store_true", help="write those that come with gradproof (of family FILE)")
    build.add_argument("-o", "--output", metavar="OUT.gpc", help="where it goes (default: beside the file)")
    _add_timeout(build)

    check = commands.add_parser("check", help="check certificates by the independent checker, in a process of its own")
    check.add_argument("paths", nargs="+", metavar="FILE.gpc")
    check.add_argument("--allow-trusted", action="store_true", help="accept claims that rest on a word, and list them")
    check.add_argument("--format", choices=("text", "json"), default="text")

    fmt = commands.add_parser("fmt", help="rewrite files in the canonical format")
    fmt.add_argument("paths", nargs="+", metavar="PATH", help="a file, a folder, a glob, or - for standard input")
    fmt.add_argument("--check", action="store_true", help="change nothing; exit 1 where a file would change")
    fmt.add_argument("--ssa", action="store_true", help="print the graphs, one operator a line with its type")

    graph = commands.add_parser("graph", help="print a file's graphs as a picture or as data")
    graph.add_argument("file", metavar="FILE")
    graph.add_argument("--graph", metavar="NAME", help="only this graph")
    graph.add_argument("--format", choices=("dot", "mermaid", "json"), default="dot")

    ops = commands.add_parser("ops", help="the operators: signatures, formulas, derivatives, proof status")
    ops.add_argument("name", nargs="?", metavar="NAME", help="one operator in full")
    ops.add_argument("--format", choices=("text", "json"), default="text")
    ops.add_argument("--no-proof", action="store_true", help="only list; don't run the proofs")
    _add_timeout(ops)

    explain = commands.add_parser("explain", help="what a code means, or what was proved about a line")
    explain.add_argument(
        "what",
        nargs="?",
        metavar="CODE|FILE:LINE",
        help="a code such as VJP or E-KIND, or a line of a file; without it, list all codes",
    )
    explain.add_argument("--format", choices=("text", "json", "markdown"), default="text")
    _add_timeout(explain)
    return top


def _add_timeout(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--timeout", type=_seconds, default=10.0, metavar="SECONDS", help="for each obligation (default 10)"
    )


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError("must be a positive number of seconds")
    return value


def _order(text: str) -> int:
    value = int(text)
    if not 1 <= value <= 4:
        raise argparse.ArgumentTypeError("must be from 1 to 4")
    return value


def _internal(error: Exception) -> str:
    """What to print for a fault of ours: the kind, the place and the versions, and that it should be reported."""
    import platform

    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = f"{os.path.basename(trace.tb_frame.f_code.co_filename)}:{trace.tb_lineno}" if trace else "?"
    detail = str(error).strip().splitlines()[:1] or [""]
    return (
        f"gradproof: internal error at {place}: {type(error).__name__}: {detail[0][:300]}\n"
        f"This is a fault in gradproof, please report it (gradproof {gradproof.__version__}, "
        f"Python {platform.python_version()}, {platform.system()}).\n"
        "Set GRADPROOF_TRACEBACK=1 to see where it came from."
    )


def _finish(code: int) -> int:
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        _abandon_output()
    return code


def _abandon_output() -> None:
    """Nobody reads any more: don't let the interpreter complain about it on its way out."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)


if __name__ == "__main__":
    sys.exit(main())
