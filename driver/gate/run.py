"""The gate, top to bottom: settings, files, what is unchanged, the proofs, what is ignored, the reports."""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from gradproof.gate.certified import digest_beside, missing
from gradproof.gate.config import Config, Ignore, find
from gradproof.gate.discovery import discover, matches
from gradproof.gate.pool import Plan, Pool
from gradproof.gate.progress import Shown
from gradproof.gate.records import Records, reader
from gradproof.gate.schedule import Schedule, Work
from gradproof.gate.store import NAME, Store
from gradproof.gate.wire import Texts
from gradproof.report import FileReport, Report
from gradproof.report.findings import valid
from gradproof.usage import UsageError

DONE, REFUSED = 0, 1
PATIENCE = 6  # times the time limit of a question, until an obligation's worker is ended


def gate(args: Namespace) -> int:
    """Prove what changed (or everything), say what is not proved, and return the exit code."""
    config = settings(args)
    paths, excluded = discover(args.paths, config)
    if not paths:
        print(f"nothing was proved: all {len(excluded)} files that were named are excluded")
        return DONE
    texts = reader()
    store = Store(None if args.no_cache else Path(args.cache_dir or config.root / NAME))
    records = Records(store, options(config))
    found = {} if args.all else unchanged(paths, records, texts)
    rest = [path for path in paths if path not in found]
    found |= prove(rest, config, args, records, texts, len(found))
    store.tidy()
    report = Report(tuple(accepted(found[path], config) for path in paths))
    remarks = notes(report, config, store, len(paths) - len(rest))
    publish(report, args, remarks)
    return DONE if report.ok else REFUSED


def settings(args: Namespace) -> Config:
    """What pyproject.toml says, and what the command line says instead."""
    config = find(Path.cwd(), args.config)
    given = {name: getattr(args, name) for name in ("jobs", "timeout", "memory", "order", "allow_trusted")}
    return replace(config, **{name: value for name, value in given.items() if value is not None})


def options(config: Config) -> dict[str, object]:
    """The settings that a verdict may depend on."""
    return {
        "timeout": config.timeout,
        "order": config.order,
        "select": sorted(config.select),
        "allow-trusted": config.allow_trusted,
    }


def unchanged(paths: Sequence[str], records: Records, texts: Texts) -> dict[str, FileReport]:
    """The reports on the files for which nothing changed since they were made."""
    return {path: report for path in paths if (report := records.find(path, texts)) is not None}


def prove(
    paths: Sequence[str], config: Config, args: Namespace, records: Records, texts: Texts, known: int
) -> dict[str, FileReport]:
    """A report on each file, made now. What is done is kept at once, so an interrupt loses little."""
    if not paths:
        return {}
    found: dict[str, FileReport] = {}

    def done(work: Work) -> None:
        records.keep(work)
        found[work.path] = work.report()

    codes = frozenset(config.select) or None
    certified = frozenset(path for path in paths if digest_beside(path))
    folder = records.store.folder
    schedule = Schedule(
        paths,
        config.timeout,
        config.order,
        texts,
        done,
        codes,
        certified,
        config.allow_trusted,
        None if folder is None or args.executor != "local" else str(folder.absolute()),
    )
    plan = Shown(schedule, known)
    try:
        execute(plan, config, args)
    finally:
        plan.clear()
    return found


def execute(plan: Plan, config: Config, args: Namespace) -> None:
    """Let workers here, or those of a cluster, do what the plan asks for."""
    limit = max(PATIENCE * config.timeout, 1.0)
    if args.executor == "dask":
        from gradproof.gate.cluster import run_on_cluster

        run_on_cluster(plan, args.scheduler, limit, config.memory)
        return
    if args.scheduler:
        raise UsageError("--scheduler is for --executor dask")
    with Pool(config.jobs or os.cpu_count() or 1, limit, config.memory) as pool:
        pool.run(plan)


def accepted(file: FileReport, config: Config) -> FileReport:
    """The report as the settings want it: what they ignore is marked so, what they miss is said.

    A report on nothing is an error of ours.
    """
    if not file.verdicts and file.error is None and not config.select:
        raise RuntimeError(f"{file.path}: a report without a verdict: please report this")
    ignored = {
        verdict.claim.key: rule.reason
        for rule in reversed(config.ignore)
        for verdict in file.failures()
        if _covers(rule, file, verdict.claim.code, verdict.claim.subject, config)
    }
    absent = config.certificates and file.error is None and not digest_beside(file.path)
    return replace(file, ignored=ignored, problems=(*file.problems, missing(file.path)) if absent else file.problems)


def notes(report: Report, config: Config, store: Store, kept: int) -> list[str]:
    """What is said beside the report."""
    found = []
    if kept:
        found.append(
            f"{kept} of {len(report.files)} files are unchanged since they were judged (--all judges them again)"
        )
    if config.select:
        found.append(f"only {', '.join(config.select)} asked for")
    found += [f"{config.file}:{rule.line}: this `ignore` is about nothing any more" for rule in idle(report, config)]
    if store.trouble:
        found.append(f"nothing was kept for the next run: {store.trouble}")
    elif store.folder is not None and store.key is None:
        found.append("nothing was kept for the next run: there is no place for a key of yours (XDG_STATE_HOME)")
    return found


def idle(report: Report, config: Config) -> list[Ignore]:
    """The ignores that no failure of these files needs; those about other files are left alone."""
    used = {reason for file in report.files for reason in file.ignored.values()}
    about = [rule for rule in config.ignore if any(matches(rule.path, file.path, config.root) for file in report.files)]
    return [rule for rule in about if rule.reason not in used]


def publish(report: Report, args: Namespace, remarks: Sequence[str]) -> None:
    """Write the report where it is wanted, the job's summary where there is one, and the remarks to a reader."""
    text = valid(render(report, args.format))
    if args.output:
        _write(args.output, text)
    else:
        print(text)
    if args.output or args.format in ("json", "sarif", "junit"):
        from gradproof.report.text import totals

        print(totals(report), file=sys.stderr)
    for remark in remarks:
        print(remark, file=sys.stderr)
    if summary := os.environ.get("GITHUB_STEP_SUMMARY"):
        from gradproof.report import summary as page

        try:
            with open(summary, "a", encoding="utf-8") as file:
                file.write(page.render(report, "; ".join(remarks)) + "\n")
        except OSError as error:
            raise UsageError(f"GITHUB_STEP_SUMMARY: {summary}: {error.strerror or error}") from None


def render(report: Report, form: str) -> str:
    """The report in one of the formats."""
    if form == "text":
        from gradproof.report.text import render_failures

        return render_failures(report)
    from importlib import import_module

    text: str = import_module(f"gradproof.report.{form}").render(report)
    return text


def _covers(rule: Ignore, file: FileReport, code: str, subject: str, config: Config) -> bool:
    return rule.code == code and rule.subject in ("", subject) and matches(rule.path, file.path, config.root)


def _write(path: str, text: str) -> None:
    try:
        Path(path).write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}") from None
