"""What a certificate is about, decoded once, and the methods by which its claims are shown."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .terms import Node, Refused, decode

Data = dict[str, Any]


class Checked:
    """The parts of a certificate, each decoded where it is first asked for."""

    def __init__(self, data: Data) -> None:
        self.data = data
        self.terms: list[Node] = decode(data["terms"])
        leaning = [
            [name, [e["kernel"] for e in op["externs"]], [law["text"] for law in op["laws"]]]
            for name, op in sorted(data["ops"].items())
            if op["externs"]
        ]
        if data["trusted"] != leaning:
            raise Refused("what is trusted is not what the operators lean on")
        for name, op in data["ops"].items():
            if op["name"] != name:
                raise Refused(f"the operator {name} calls itself otherwise")


METHODS: dict[str, Callable[[Checked, Data, int, Any, Data], None]] = {}
