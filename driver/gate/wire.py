"""Verdicts, claims and diagnostics as JSON data and back: what workers send, and what the record of a run holds.

Nothing is ever unpickled or evaluated. Data that is not of this form raises WireError.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias, TypeVar, cast

from gradproof.compiler.claims import Answer, Claim, Counterexample, Hypothesis, Verdict
from gradproof.grammar.source import Diagnostic, Source, Span

Data: TypeAlias = dict[str, Any]
Texts: TypeAlias = Callable[[str], Source]  # the source at a path, for excerpts
T = TypeVar("T")
KEPT = 8  # files that a worker keeps loaded; the schedule counts on it


class WireError(ValueError):
    """This is not what a worker, or a run before, would have written."""


def verdict_data(verdict: Verdict) -> Data:
    """A verdict, its claim included."""
    return {"claim": claim_data(verdict.claim), **answer_data(verdict)}


def answer_data(verdict: Verdict) -> Data:
    """A verdict without its claim."""
    point = verdict.counterexample
    return {
        "answer": verdict.answer,
        "by": verdict.by,
        "scope": verdict.scope,
        "seconds": round(verdict.seconds, 6),
        "hypotheses": [[h.text, h.discharged] for h in verdict.hypotheses],
        "counterexample": None if point is None else _point_data(point),
        "reason": verdict.reason,
        "advice": list(verdict.advice),
    }


def claim_data(claim: Claim) -> Data:
    """A claim with its place."""
    return {
        "code": claim.code,
        "kind": claim.kind,
        "subject": claim.subject,
        "text": claim.text,
        "digest": claim.digest,
        "span": span_data(claim.span),
    }


def diagnostic_data(error: Diagnostic) -> Data:
    """A diagnostic with its place."""
    return {"code": error.code, "message": error.message, "advice": error.advice, "span": span_data(error.span)}


def span_data(span: Span | None) -> list[Any] | None:
    """A place: path, line, column, end line, end column."""
    if span is None:
        return None
    return [span.source.path, span.line, span.column, span.end_line, span.end_column]


def read_verdict(data: object, texts: Texts) -> Verdict:
    """The verdict of `verdict_data`."""
    return read_answer(data, read_claim(_map(data).get("claim"), texts))


def read_answer(data: object, claim: Claim) -> Verdict:
    """The verdict of `answer_data` on a claim."""
    found = _map(data)
    answer = _text(found, "answer")
    if answer not in ("proved", "refuted", "unknown"):
        raise WireError(f"no answer: {answer[:40]!r}")
    point = found.get("counterexample")
    try:
        return Verdict(
            claim,
            cast(Answer, answer),
            _text(found, "by"),
            _text(found, "scope"),
            float(_typed(found.get("seconds"), (int, float))),
            tuple(Hypothesis(*_texts(pair, 2)) for pair in _list(found, "hypotheses")),
            None if point is None else _point(_map(point)),
            _text(found, "reason"),
            tuple(_texts(_list(found, "advice"))),
        )
    except ValueError as error:  # a proof with an open hypothesis, an unknown without a reason
        raise WireError(str(error)) from None


def read_claim(data: object, texts: Texts) -> Claim:
    """The claim of `claim_data`."""
    found = _map(data)
    code, kind, subject, text, digest = (_text(found, n) for n in ("code", "kind", "subject", "text", "digest"))
    return Claim(code, kind, subject, text, digest, read_span(found.get("span"), texts))


def read_diagnostic(data: object, texts: Texts) -> Diagnostic:
    """The diagnostic of `diagnostic_data`."""
    found = _map(data)
    span = read_span(found.get("span"), texts)
    return Diagnostic(_text(found, "code"), _text(found, "message"), span, _text(found, "advice"))


def read_span(data: object, texts: Texts) -> Span | None:
    """The place of `span_data`."""
    if data is None:
        return None
    path, *numbers = _typed(data, list)
    if len(numbers) != 4 or not all(isinstance(n, int) and n >= 0 for n in numbers):
        raise WireError("no place in a text")
    return Span(texts(_typed(path, str)), *numbers)


def _point_data(point: Counterexample) -> Data:
    return {
        "dims": dict(point.dims),
        "values": {name: _plain(value) for name, value in point.values.items()},
        "expected": point.expected,
        "got": point.got,
        "replayed": point.replayed,
        "note": point.note,
    }


def _plain(value: Any) -> Any:
    """Nested lists of text, integers and truth values; any other number as text."""
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return value if isinstance(value, str | int) else str(value)


def _point(found: Mapping[str, Any]) -> Counterexample:
    dims = {name: _typed(size, int) for name, size in _map(found.get("dims")).items()}
    values = {name: _nested(value) for name, value in _map(found.get("values")).items()}
    replayed = _typed(found.get("replayed"), bool)
    return Counterexample(dims, values, _text(found, "expected"), _text(found, "got"), replayed, _text(found, "note"))


def _nested(value: object) -> object:
    if isinstance(value, list):
        return [_nested(one) for one in value]
    return _typed(value, (str, int))


def _map(data: object) -> Mapping[str, Any]:
    return cast(Mapping[str, Any], _typed(data, dict))


def _list(found: Mapping[str, Any], name: str) -> list[Any]:
    return cast(list[Any], _typed(found.get(name), list))


def _text(found: Mapping[str, Any], name: str) -> str:
    return cast(str, _typed(found.get(name), str))


def _texts(data: Sequence[Any], count: int | None = None) -> list[str]:
    if not isinstance(data, list) or (count is not None and len(data) != count):
        raise WireError("no list of texts")
    return [cast(str, _typed(text, str)) for text in data]


def _typed(value: Any, kind: type[T] | tuple[type, ...]) -> Any:
    if not isinstance(value, kind):
        raise WireError(f"a {type(value).__name__} where it can't be")
    return value
