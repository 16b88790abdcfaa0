"""The form of a certificate's parts: which fields there are, and what stands in them. [trusted]

`int` and `str` stand for themselves, a list of one form for any number of it, a tuple for a list of exactly these, a
set of alternatives for one of them, an object for its fields; the field `*` stands for any names.
"""

from __future__ import annotations

from typing import Any

from .reading import exactly
from .terms import Refused

FLAG, SPAN = {0, 1}, (int, int, int, int)
MAYBE_NUMBER, MAYBE_TEXT = {int, None}, {str, None}
DEFAULT = (str, [str], [(str, {"attr", "number"}, str)])


class Or(tuple[Any, ...]):
    """Forms that can't stand in a set."""


FORMULA = {"body": int, "extents": [int], "indices": [str], "span": SPAN, "target": str}
RULE = {"externs": [str], "lets": [str], "result": FORMULA}
PARAM = {
    "axes": [(int, MAYBE_TEXT, MAYBE_NUMBER)],
    "const": FLAG,
    "default": Or((None, DEFAULT)),
    "kind": {"real", "int", "bool"},
    "name": str,
}
LAW = {"extents": [int], "indices": [str], "left": int, "right": int, "span": SPAN, "text": str}
OP = {
    "attrs": [(str, {"int", "real"}, MAYBE_TEXT)],
    "domain": [int],
    "ensures": [{"cond": int, "ranges": [(str, int)], "span": SPAN}],
    "externs": [{"args": [str], "extents": [int], "kernel": str, "span": SPAN, "tensor": str}],
    "forward": FORMULA,
    "jvp": Or((None, FORMULA)),
    "kinks": [{"cond": int, "jump": FLAG, "least": FLAG, "span": SPAN, "value": MAYBE_NUMBER}],
    "laws": [{**LAW, "adjoint": MAYBE_NUMBER}],
    "lets": [FORMULA],
    "name": str,
    "output": PARAM,
    "params": [PARAM],
    "requires": [int],
    "rules": Or((None, {"forward": RULE, "jvp": Or((None, RULE)), "vjps": [(str, RULE)]})),
    "runs": Or((None, FORMULA)),
    "span": SPAN,
    "vjps": [FORMULA],
}
SIDE = Or((({"node", "size"}, int), ({"delta", "number"}, str)))
BOUND = (SIDE, {"<", "<=", "==", "!="}, SIDE, str)
GRADIENT = (str, int, [int], int, [int])
ENTRYWISE = ([(str, int)], int, int, {"<", "<=", "=="}, int, [(str, {int, str})], [GRADIENT], str)
PLAN = {
    "inputs": [list],
    "outputs": [(str, [int], list, MAYBE_NUMBER)],
    "produces": [(str, int)],
    "sizes": [(str, int)],
    "slots": list,
    "static": list,
    "steps": list,
}
GRAPH: dict[str, Any] = {
    "assume_dims": [(int, {">=", "=="})],
    "assumes": [BOUND],
    "delta": [(str, list, Or((None, ({"uniform", "bernoulli"}, int, str))))],
    "dims": [(str, int, MAYBE_NUMBER)],
    "ensures": [Or((BOUND, ENTRYWISE))],
    "leaves": int,
    "nodes": [(str, str, list, list, list, list)],
    "outputs": [(str, int)],
    "plans": {"*": PLAN},
    "size_claims": [(int, int, str)],
    "templates": [list],
}
GRAPH["loops"] = {
    "*": {
        "body": GRAPH,
        "length": int,
        "name": str,
        "reverse": FLAG,
        "roles": [(str, {"state", "sequence", "fixed"})],
    }
}


def fits(value: Any, form: Any) -> bool:
    """Whether a value is of a form."""
    if isinstance(form, type):
        return type(value) is form
    if isinstance(form, Or):
        return any(fits(value, one) for one in form)
    if isinstance(form, set):
        return type(value) in form or (type(value) in (int, str, type(None)) and value in form)
    if isinstance(form, list):
        return type(value) is list and all(fits(one, form[0]) for one in value)
    if isinstance(form, tuple):
        return type(value) is list and len(value) == len(form) and all(map(fits, value, form))
    if isinstance(form, dict):
        if type(value) is not dict:
            return False
        if "*" in form:
            return all(fits(one, form["*"]) for one in value.values())
        return value.keys() == form.keys() and all(fits(value[key], one) for key, one in form.items())
    return value is form


def demand(value: Any, form: Any, what: str) -> None:
    """Refused where a value is not of a form, with the field that is not."""
    if fits(value, form):
        return
    if type(form) is dict:
        exactly(value, tuple(form), what)
        what += "".join(f", field `{k}`" for k in sorted(form) if not fits(value[k], form[k]))
    raise Refused(f"{what}: not of the form that it should have")
