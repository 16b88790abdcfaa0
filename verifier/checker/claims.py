"""What must hold: the checker's own list of obligations, held one by one against the list that a certificate gives."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .reading import exactly
from .terms import Refused

FIELDS = ("code", "evidence", "kind", "subject", "text")
KINKED = frozenset(("abs", "sign", "floor", "ceil", "trunc", "round", "max", "min"))  # not differentiable everywhere
GRAPH = (
    ("WF", "ids are positions, arities fit, names are defined once and before use"),
    ("SHAPE", "declared shapes equal inferred ones and every operator's requirements hold"),
    ("EDGE", "every edge, forward and backward, points to a smaller id, and every node requires grad"),
    ("FWD", "the tape's value table equals the denotation's, in id order"),
    ("DENSE", "the dense reverse loop equals full backpropagation: the same additions in the same order"),
    ("DENSE", "the dense reverse loop equals full backpropagation over a commutative semiring"),
    ("PLAN", "the plan computes the graph's terms, and no buffer is overwritten while live"),
    ("DOM", "every partial function is applied inside its domain, forward and backward"),
)
LOOP = (
    ("WF", "form: every input has one role, every state one type before and behind a step, every result is real"),
    ("FWD", "base: row 0 of the table is the initial state"),
    ("FWD", "step: row t + 1 is the body at row t, whatever t is"),
    ("FWD", "count: whole loops of 0 to 3 steps, forward and back, take these steps in order and end as stated"),
    ("FWD", "body: a step applies the body's tape, each input and result at its place"),
    ("FWD", "layout: tables and gradients hold each result, entry by entry, and nothing else, at small sizes"),
    ("JVP", "base: the tangent of row 0 is that of the initial state"),
    ("JVP", "step: the tangent of row t + 1 is the body's, linearised at row t, whatever t is"),
    ("VJP", "base: behind the last step the pairings are those of the last row"),
    ("VJP", "step: undoing step t keeps the sum of the pairings of states, sequences and what is fixed, whatever t is"),
)


def obligations(data: dict[str, Any]) -> Iterator[tuple[str, str, str, str, Any]]:
    """(code, kind, subject, text, what it is about) of every claim, in order."""
    for name, op in sorted(data["ops"].items()):
        for code, text in of_operator(op, data["terms"]):
            yield code, "op", name, text, op
    for name, graph in sorted(data["graphs"].items()):
        yield from of_graph(name, graph, data["ops"])


def of_operator(op: dict[str, Any], terms: list[Any]) -> Iterator[tuple[str, str]]:
    """An operator's obligations."""
    yield "SHAPE", "every index read is in bounds, every division of sizes is by a positive size"
    moving = [p["name"] for p in op["params"] if differentiable(p)] if op["output"]["kind"] == "real" else []
    if moving:
        yield "JVP", "the jvp is the derivative of the formula"
        for name in moving:
            yield "VJP", f"<jvp, g> = <d{name}, vjp {name}>, and the jvp is the derivative"
        if op["kinks"] or _has_kinks(op, terms):
            jump = (
                "; where it jumps it has none, and uses the value declared"
                if any(k["jump"] for k in op["kinks"])
                else ""
            )
            yield "KINK", f"where it is not smooth, the derivative used is a Clarke subgradient{jump}"
    if op["runs"] is not None:
        yield "RUNS", "the formula that runs equals the meaning"
    yield "DOM", "what runs is defined wherever the formula is, the rules wherever the calculus's derivative is"
    for k in range(len(op["ensures"])):
        yield "POST", f"ensure {k}"


def differentiable(param: dict[str, Any]) -> bool:
    """Whether an operator is differentiated by this input."""
    return param["kind"] == "real" and not param["const"]


def _has_kinks(op: dict[str, Any], terms: list[Any]) -> bool:
    """Whether the meaning, with the intermediates that it reads, branches on reals or calls what has kinks."""
    lets = {let["target"]: let["body"] for let in op["lets"]}
    todo, seen = [op["forward"]["body"]], set[int]()
    while todo:
        place = todo.pop()
        if place in seen:
            continue
        seen.add(place)
        tag, *parts = terms[place]
        if tag in ("lt", "le", "same") or (tag == "call" and parts[0] in KINKED):
            return True
        if tag == "reduce" and parts[0] in ("max", "min"):
            return True
        if tag in ("read", "bool") and parts[0] in lets:
            todo.append(lets[parts[0]])
        if tag != "poly":
            todo += [part for part in parts[(tag == "reduce" and 3) or 0 :] if type(part) is int and tag != "pow"]
        if tag == "pow":
            todo.append(parts[0])
    return False


def of_graph(name: str, graph: dict[str, Any], ops: dict[str, Any]) -> Iterator[tuple[str, str, str, str, Any]]:
    """A graph's obligations, then those of its loops and of their bodies."""
    for code, text in GRAPH:
        yield code, "graph", name, text, graph
    if branching(graph, ops):
        text = "where it branches on its own values, the gradient is a Clarke subgradient"
        yield "KINK", "graph", name, text, graph
    for k in range(len(graph["ensures"])):
        yield "POST", "graph", name, f"ensure {k}", graph
    for inner, loop in sorted(graph["loops"].items()):
        for code, text in LOOP:
            yield code, "loop", inner, text, loop
        yield from of_graph(loop["name"], loop["body"], ops)


def branching(graph: dict[str, Any], ops: dict[str, Any]) -> bool:
    """Whether a real node takes a condition or an integer made of values that vary with Γ."""
    varies = [True] * graph["leaves"]
    for _, op, args, _, _, kind in graph["nodes"][graph["leaves"] :]:
        params = ops[op]["params"] if op in ops else loop_params(graph["loops"][op])
        if len(params) != len(args):
            raise Refused(f"{op} gets another number of arguments than it takes")
        moving = [type(a) is int and varies[a] for a in args]
        if kind[0][0] == "f" and any(m for m, p in zip(moving, params, strict=True) if p["kind"] != "real"):
            return True
        varies.append(any(m for m, p in zip(moving, params, strict=True) if not p["const"]))
    return False


def loop_params(loop: dict[str, Any]) -> list[dict[str, Any]]:
    """A loop's inputs, as far as kinds and `const` go."""
    body = loop["body"]
    kinds = {node[0]: node[5][0][0] for node in body["nodes"][: body["leaves"]]}
    given = {name: type_[0][0] for name, type_, _ in body["delta"]}
    words = {"f": "real", "i": "int", "b": "bool"}
    return [
        {"name": n, "kind": words[{**given, **kinds}[n]], "const": int(n in given and given[n] == "f")}
        for n, _ in loop["roles"]
    ]


def compare(data: dict[str, Any]) -> list[tuple[dict[str, Any], int, Any]]:
    """The certificate's claims, each with its number among its subject's, and its subject.

    Refused unless they are the obligations, in order.
    """
    given = data["claims"]
    found: list[tuple[dict[str, Any], int, Any]] = []
    position = 0
    for number, (code, kind, subject, text, about) in enumerate(obligations(data)):
        if number >= len(given):
            raise Refused(f"the claim {code} of {subject} is missing: {text}")
        claim = exactly(given[number], FIELDS, f"claim {number}")
        if (claim["code"], claim["kind"], claim["subject"], claim["text"]) != (code, kind, subject, text):
            raise Refused(f"claim {number} should be {code} of {subject}: {text}")
        position = position + 1 if found and found[-1][2] is about else 0
        found.append((claim, position, about))
    if len(given) > len(found):
        raise Refused(f"{len(given) - len(found)} claims that nothing demands")
    return found
