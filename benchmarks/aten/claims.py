"""An entry of PyTorch's table as a claim: our forward, their formula as its rule, and what the verifier says."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from gradproof.compiler.claims import Counterexample
from gradproof.compiler.elaborate import load_text
from gradproof.compiler.library import base_name, prelude
from gradproof.grammar import syntax as tree
from gradproof.grammar.parse import parse as parse_file
from gradproof.grammar.printer import print_expr, print_item
from gradproof.grammar.source import Diagnostic, Source
from gradproof.verifier.operators import verdicts_of_op
from gradproof.verifier.options import Options

from aten.arrays import Array, Axis, Unsayable, Value, real
from aten.cpp import NotAnExpression, parse
from aten.lower import Reader, Tables, environment

HERE = Path(__file__).parent
ARGUMENT = re.compile(r"^(?P<type>[A-Za-z]+(\([^)]*\))?(\[\d*\])?\??)\s+(?P<name>\w+)(=(?P<default>.*))?$")
LINEAR = {"auto_linear", "auto_element_wise"}


@dataclass(frozen=True)
class Signature:
    """An entry's name, arguments (type, name) in order, and the names of its results."""

    name: str
    arguments: tuple[tuple[str, str], ...]
    results: tuple[str, ...]

    @property
    def tensors(self) -> tuple[str, ...]:
        """The arguments that are tensors."""
        return tuple(name for kind, name in self.arguments if re.match(r"Tensor(\([^)]*\))?\??$", kind))


@dataclass(frozen=True)
class Row:
    """A formula of the table and what became of it."""

    entry: str
    argument: str
    formula: str
    answer: str  # "proved", "refuted", "unknown", "cannot say"
    reason: str = ""
    forward: str = ""
    claim: str = ""
    helpers: tuple[str, ...] = ()
    counterexample: Counterexample | None = None
    verdicts: tuple[str, ...] = ()


def signature(text: str) -> Signature:
    """`name(args) -> results` as torchgen writes it."""
    head, _, results = text.partition(" -> ")
    name, _, rest = head.strip().partition("(")
    found = []
    for part in re.split(r",(?![^(\[]*[)\]])", rest.rstrip(")").rstrip()):
        match = ARGUMENT.match(part.strip().rstrip(")")) if part.strip() != "*" else None
        if match:
            found.append((match["type"], match["name"]))
    names = re.findall(r"Tensor(?:\([^)]*\))?(?:\[\])?\s+(\w+)", results)
    return Signature(name.strip(), tuple(found), tuple(names))


def formulas(entry: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The formulas of an entry: for which inputs or result, and the text."""
    body = entry.get("dispatch", {}).get("Default", entry)
    for key, text in body.items():
        if key not in ("name", "dispatch", "output_differentiability") and isinstance(text, str):
            yield key, " ".join(text.split())


@cache
def tables() -> dict[str, Any]:
    """The data: operators.toml and spellings.toml."""
    return {name: tomllib.loads((HERE / f"{name}.toml").read_text("utf-8")) for name in ("operators", "spellings")}


@cache
def spellings() -> Tables:
    """The part of the data that a reader of formulas needs."""
    return Tables(**tables()["spellings"])


def out_of_scope(text: str) -> str:
    """Why an entry is not about a real function at all; empty where it may be."""
    for pattern, reason in tables()["operators"]["out_of_scope"].items():
        if re.search(pattern, text):
            return str(reason)
    return ""


# Our forward


@dataclass(frozen=True)
class Forward:
    """An operator of ours with its rules taken off, as a tree, and how PyTorch's arguments are called in it."""

    label: str
    item: tree.Fn | tree.Op
    names: Mapping[str, str]
    settings: Mapping[str, Value] = field(default_factory=dict)
    given: tuple[str, ...] = ()  # what PyTorch asks of the inputs and we do not
    also: Mapping[str, str] = field(default_factory=dict)  # names of further results, as C++


def bare(item: tree.Fn | tree.Op) -> tree.Fn | tree.Op:
    """The stanza without rules and without what is declared of them; that it jumps stays, with no value."""
    kept: list[tree.Clause] = []
    for clause in item.clauses:
        match clause:
            case tree.At(jump=True):
                kept.append(replace(clause, value=None))
            case tree.Rule() | tree.Runs() | tree.At() | tree.Least() | tree.Instead() | tree.Promise():
                continue
            case tree.Let() if _reads_result(clause.equation.body):
                continue
            case _:
                kept.append(clause)
    return replace(item, name="theirs", clauses=tuple(kept), doc="")


def _reads_result(body: Any) -> bool:
    text = repr(body)
    return any(f"(name='{n}'" in text or f"(tensor='{n}'" in text for n in ("y", "g"))


def stanza(text: str) -> tree.Fn | tree.Op:
    """The one stanza of a text."""
    (item,) = [i for i in parse_file(Source("<table>", text)).items if isinstance(i, tree.Fn | tree.Op)]
    return item


def forward_of(found: Signature) -> Forward:
    """Our operator for an entry: named in operators.toml, or one of the same name and inputs; Unsayable otherwise."""
    entry = tables()["operators"]["entry"].get(found.name)
    common = tables()["operators"]["settings"]
    if entry is None:
        return _same_name(found)
    if "forward" in entry:
        item, label = stanza(entry["forward"]), "(its own text)"
    else:
        label = entry["op"]
        if label not in prelude().ops:
            raise Unsayable(f"the library has no operator {label}")
        item = stanza(prelude().ops[label].source)
    names = dict(zip(found.tensors, _inputs(item), strict=False)) | entry.get("names", {})
    settings = environment({**common, **entry.get("set", {})})
    return Forward(label, item, names, settings, tuple(entry.get("given", ())), entry.get("also", {}))


def _inputs(item: tree.Fn | tree.Op) -> tuple[str, ...]:
    return item.params if isinstance(item, tree.Fn) else tuple(p.name for p in item.params)


def _same_name(found: Signature) -> Forward:
    wanted = re.sub(r"^(_|special_|linalg_)+", "", found.name.split(".")[0]).rstrip("_")
    common = tables()["operators"]["settings"]
    ignored = set(tables()["operators"]["ignored"])
    same = tables()["operators"]["attributes"]
    why = f"the library has no operator {wanted}"
    for label, op in prelude().ops.items():
        if base_name(label) != wanted or op.output.kind != "real":
            continue
        given = {same.get(name, name): name for kind, name in found.arguments if name not in found.tensors}
        attrs = {a.name for a in op.attrs}
        extra = {ours: name for ours, name in given.items() if ours not in attrs and name not in ignored}
        if len(op.params) != len(found.tensors) or attrs - set(given) or ("axis" in given and "axis" not in attrs):
            why = f"no form of {wanted} takes the same inputs"
            continue
        if any(name not in common for name in extra.values()):
            why = f"the forms of {wanted} have no {', '.join(extra.values())}"
            continue
        names = dict(zip(found.tensors, (p.name for p in op.params), strict=True))
        names |= {theirs: ours for ours, theirs in given.items() if ours in attrs and ours != "axis"}
        return Forward(label, stanza(op.source), names, environment(common))
    raise Unsayable(why)


# Their formula


def _axis(declared: tree.AxisDecl) -> Axis:
    if declared.pack is not None:
        return Axis(f"{declared.pack}..", True)
    assert declared.extent is not None
    return Axis(print_expr(declared.extent))


def tensor(name: str, axes: tuple[Axis, ...], kind: str, lifted: bool) -> Array:
    """An input as an array; in a `fn` it is read without brackets."""
    return Array(axes, (lambda _: name) if lifted else (lambda index: f"{name}[{', '.join(index)}]"), kind)


def surroundings(found: Signature, ours: Forward, tangents: bool) -> dict[str, Value]:
    """What the names of a formula stand for."""
    item = ours.item
    lifted = isinstance(item, tree.Fn)
    env: dict[str, Value] = dict(ours.settings)
    shapes: dict[str, tuple[tuple[Axis, ...], str]] = {}
    if isinstance(item, tree.Op):
        shapes = {p.name: (tuple(map(_axis, p.axes)), p.kind) for p in item.params}
    attrs = {a.name for a in item.attrs}
    inputs = set(_inputs(item))
    result = () if isinstance(item, tree.Fn) else tuple(map(_axis, item.result))
    for theirs, name in ours.names.items():
        if name in attrs:
            env[theirs] = Array((), lambda _, name=name: name)  # type: ignore[misc]
            continue
        if name not in inputs:
            continue
        axes, kind = shapes.get(name, ((), "real"))
        env[theirs] = env[f"{theirs}_p"] = env[f"original_{theirs}_p"] = tensor(name, axes, kind, lifted)
        if tangents and kind == "real":
            env[f"{theirs}_t"] = env[f"original_{theirs}_t"] = tensor(f"d{name}", axes, "real", lifted)
    y = tensor("y", result, "real", lifted)
    for name in ("result", "result0", *found.results[:1]):
        env[name] = y
    if not tangents:
        g = tensor("g", result, "real", lifted)
        for name in ("grad", "grads[0]", *(f"grad_{n}" for n in found.results[:1])):
            env[name] = g
    for name, text in ours.also.items():
        env[name] = Reader(spellings(), env).value(parse(text))
    return env


def equation(kind: str, target: str, value: Value, item: tree.Fn | tree.Op) -> str:
    """`vjp x[i, j] = ...`, its indices new names."""
    if isinstance(item, tree.Fn):
        return f"{kind} {target} = {real(value).at(())}"
    declared = item.result if target == "y" else next(p.axes for p in item.params if p.name == target)
    axes = tuple(map(_axis, declared))
    index = tuple(f"z{n}.." if axis.pack else f"z{n}" for n, axis in enumerate(axes))
    array = real(value)
    if len(array.axes) > len(axes):
        raise Unsayable("the formula has more axes than the input")
    return f"{kind} {target}[{', '.join(index)}] = {array.at(index[len(index) - len(array.axes) :])}"


def claim_text(ours: Forward, rules: list[str]) -> str:
    """The stanza that is put to the verifier."""
    item = bare(ours.item)
    rules = [*ours.given, *rules]
    text = print_item(item)
    head = text.rstrip()
    if head.endswith("}") and "{" in head:
        body = head[: head.rindex("}")].rstrip() + "\n  " + "\n  ".join(rules) + "\n}\n"
    else:
        body = ""
    if not body:
        assert isinstance(item, tree.Fn)
        start, _, tail = head.partition(") = ")
        formula, _, where = tail.partition(" where ")
        lines = [f"where {where}"] if where else []
        body = f"{start}) {{\n  " + "\n  ".join([*lines, f"y = {formula}", *rules]) + "\n}\n"
    return print_item(stanza(body))


# Verdicts


def rows(entry: Mapping[str, Any], options: Options) -> list[Row]:
    """What becomes of each formula of an entry; `auto_linear` and `auto_element_wise` are no formulas."""
    found = signature(entry["name"])
    said = [(k, t) for k, t in formulas(entry) if t not in LINEAR and t != "non_differentiable"]
    reason = "" if found.name in tables()["operators"]["entry"] else out_of_scope(entry["name"])
    if not reason:
        try:
            ours = forward_of(found)
        except (Unsayable, Diagnostic) as error:
            reason = str(error)
    if reason:
        return [Row(found.name, k, t, "cannot say", reason) for k, t in said]
    backward = [(k, t) for k, t in said if all(n.strip() in found.tensors for n in k.split(","))]
    forward = [(k, t) for k, t in said if (k, t) not in backward]
    return [*_judged(found, ours, backward, False, options), *_judged(found, ours, forward, True, options)]


def _judged(
    found: Signature, ours: Forward, said: list[tuple[str, str]], tangents: bool, options: Options
) -> list[Row]:
    env = surroundings(found, ours, tangents)
    done: list[Row] = []
    rules: dict[str, tuple[str, str, tuple[str, ...]]] = {}
    for key, text in said:
        target = "y" if tangents else ours.names.get(key.strip(), "")
        try:
            if "not_implemented" in text:
                raise Unsayable("PyTorch has no formula either")
            if not tangents and "," in key:
                raise Unsayable("one formula for several inputs, without its parts")
            if tangents and key not in ("result", "result0", *found.results[:1]):
                raise Unsayable("a second result")
            if not tangents and (target not in _inputs(ours.item) or isinstance(env.get(key), Array) is False):
                raise Unsayable("not an input of our form")
            reader = Reader(spellings(), env)
            rule = equation("jvp" if tangents else "vjp", target, reader.value(parse(text)), ours.item)
            claim_text(ours, [rule])
            rules[key] = (rule, text, tuple(sorted(reader.used)))
        except (Unsayable, NotAnExpression) as error:
            done.append(Row(found.name, key, text, "cannot say", str(error)[:200], ours.label))
        except Diagnostic as error:
            done.append(Row(found.name, key, text, "cannot say", f"not in the language: {error}"[:200], ours.label))
    if rules:
        done += _asked(found, ours, rules, options)
    return done


def _asked(
    found: Signature, ours: Forward, rules: Mapping[str, tuple[str, str, tuple[str, ...]]], options: Options
) -> list[Row]:
    written = claim_text(ours, [rule for rule, _, _ in rules.values()])
    try:
        op = load_text(written).ops["theirs"]
    except Diagnostic as error:
        return [
            Row(found.name, key, text, "cannot say", f"not in the language: {error}"[:200], ours.label, written, used)
            for key, (_, text, used) in rules.items()
        ]
    verdicts = verdicts_of_op(op, options)
    inputs = iter(op.differentiable)
    about = [(v, next(inputs).name if v.claim.code == "VJP" else "") for v in verdicts]
    done = []
    for key, (_, text, used) in rules.items():
        jvp = key not in found.tensors
        mine = [
            v
            for v, name in about
            if v.claim.code in ("KINK", "DOM", "SHAPE")
            or (v.claim.code == "JVP" and jvp)
            or (v.claim.code == "VJP" and not jvp and name == ours.names[key])
        ]
        answer = next((a for a in ("refuted", "unknown") if any(v.answer == a for v in mine)), "proved")
        wrong = next((v for v in mine if v.answer == answer and answer != "proved"), None)
        reason = "" if wrong is None else f"{wrong.claim.code}: {wrong.reason or _shown(wrong.counterexample)}"
        done.append(
            Row(
                found.name,
                key,
                text,
                answer,
                reason,
                ours.label,
                written,
                used,
                None if wrong is None else wrong.counterexample,
                tuple(f"{v.claim.code} {v.answer}" for v in mine),
            )
        )
    return done


def _shown(found: Counterexample | None) -> str:
    if found is None:
        return ""
    values = ", ".join(f"{k} = {v}" for k, v in {**found.dims, **found.values}.items())
    return f"at {values}: {found.expected} expected, the formula gives {found.got}"
