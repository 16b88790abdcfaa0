"""Terms as text for a reader: what is trusted is shown as it stands in the certificate's terms, not as it calls it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .terms import TRUE, Node, inline

SIGNS = {"ge": ">=", "eq": "==", "lt": "<", "le": "<=", "same": "==", "div": "//", "mod": "%"}
WORDS = {"and": " and ", "or": " or ", "add": " + ", "mul": " * "}


def show(node: Any) -> str:
    """A term, condition or polynomial, in the language's notation, with more brackets than it needs."""
    if not isinstance(node, Node):
        return str(node)
    tag, args = node.tag, node.args
    if tag == "poly":
        parts = [" * ".join([*([str(c)] if c != 1 or not atoms else []), *map(show, atoms)]) for c, atoms in args]
        return " + ".join(parts) or "0"
    if tag in ("read", "bool", "entry"):
        return f"{args[0]}[{', '.join(map(show, args[1:]))}]"
    if tag == "reduce":
        kind, var, extent, guard, body = args
        return f"{kind}({var} < {show(extent)}{'' if guard is TRUE else f' | {show(guard)}'}) {_inner(body)}"
    if tag in SIGNS:
        return f"{_inner(args[0])} {SIGNS[tag]} {_inner(args[1]) if len(args) > 1 else 0}"
    if tag in WORDS:
        return WORDS[tag].join(map(_inner, args))
    if tag == "pow":
        return f"{_inner(args[0])}^{args[1]}"
    if tag in ("sym", "num", "size"):
        return show(args[0]) if tag != "size" else _inner(args[0])
    return f"{args[0] if tag == 'call' else tag}({', '.join(map(show, args[tag == 'call' :]))})"


def _inner(node: Node) -> str:
    text = show(node)
    return text if node.tag in ("read", "select", "call") or " " not in text else f"({text})"


def trusted(ops: Mapping[str, Any], nodes: Sequence[Node]) -> list[Any]:
    """What is believed of operators with externs: the kernels and the laws, what these abbreviate written out."""
    found = []
    for name, op in sorted(ops.items()):
        lets = {let["target"]: (tuple(let["indices"]), nodes[let["body"]]) for let in op["lets"]}
        laws = []
        for law in op["laws"]:
            sides = [nodes[law[side]] for side in ("left", "right")]
            for _ in lets:
                sides = [inline(side, lets) for side in sides]
            where = (f"{v} < {show(nodes[e])}" for v, e in zip(law["indices"], law["extents"], strict=True))
            laws.append(f"{' == '.join(map(show, sides))} for all {', '.join(where) or 'values'}")
        if laws or op["externs"]:
            found.append([name, [extern["kernel"] for extern in op["externs"]], laws])
    return found
