"""Operators as the checker reads them from a certificate: what means, what runs, what is required. [trusted]"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from .terms import SORTS, Node, Refused, inline, name, walk

SIDES = ("left", "right", "adjoint")  # of a law


class Formula(NamedTuple):
    """`target[indices] = body`, each index below its extent."""

    target: str
    indices: tuple[str, ...]
    extents: tuple[Node, ...]
    body: Node


class Param(NamedTuple):
    """An input, or the output `y`: of kind real, int or bool."""

    name: str
    kind: str
    extents: tuple[Node, ...]
    const: bool


class Rule(NamedTuple):
    """What runs: the intermediates that it needs, in order, and the result."""

    lets: tuple[Formula, ...]
    result: Formula


class Op:
    """An operator; `fixed` are its sizes and integer attributes, `reals` its real attributes.

    Refused where a name means two things, an index has no range, or a part is not of its sort.
    """

    def __init__(self, data: Mapping[str, Any], nodes: Sequence[Node]) -> None:
        self._nodes = nodes
        self.name = name(data["name"])
        self.attrs = tuple(name(a) for a, kind, _ in data["attrs"] if kind == "int")
        self.reals = tuple(name(a) for a, kind, _ in data["attrs"] if kind == "real")
        self.params, self.output = tuple(map(self._param, data["params"])), self._param(data["output"])
        axes = [e for p in (*self.params, self.output) for e in p.extents]
        self.sizes = frozenset[str]().union(*(e.free for e in axes)) - set(self.attrs)
        self.fixed = self.sizes | set(self.attrs)
        self.externs = tuple((name(e["tensor"]), self._polys(e["extents"])) for e in data["externs"])
        self._computed_from = {e["tensor"]: tuple(e["args"]) for e in data["externs"]}
        self.lets = tuple(map(self._formula, data["lets"]))
        tensors = [*self.reals, *(p.name for p in self.params), *(f.target for f in self.lets), "y", "g"]
        tensors += [t for t, _ in self.externs] + ["d" + p.name for p in (*self.params, self.output)]
        if self.output.name != "y" or len(set(tensors)) != len(tensors) or len(set(self.attrs)) != len(self.attrs):
            raise Refused(f"{self.name}: a name that means two things")
        self.forward = self._formula(data["forward"])
        self.runs = None if data["runs"] is None else self._formula(data["runs"])
        self.requires, self.domain = self._conds(data["requires"]), self._conds(data["domain"])
        given, whole = {*self.reals, *(p.name for p in self.params)}, ("read", "bool", "entry")
        if any(n.tag in whole and n.args[0] not in given for c in (*self.requires, *self.domain) for n in walk(c)):
            raise Refused(f"{self.name}: a requirement of what is no input")
        self.kinks = tuple(
            (self._node(k["cond"], "c"), k["value"] is not None and self._node(k["value"], "t"), k["jump"], k["least"])
            for k in data["kinks"]
        )
        self.ensures = tuple(
            (tuple((name(v), self._node(e, "p")) for v, e in p["ranges"]), self._node(p["cond"], "c"))
            for p in data["ensures"]
        )
        self.laws = tuple(
            tuple(self._formula({**law, "target": "y", "body": law[side]}) for side in SIDES if law[side] is not None)
            for law in data["laws"]
        )
        rules, lets = data["rules"], {f.target: f for f in self.lets}
        if rules is None:
            raise Refused(f"{self.name}: no rules")
        self.rules = {"": rules["forward"], "y": rules["jvp"], **dict(rules["vjps"])}
        self.computed = {
            key: Rule(tuple(lets[t] for t in rule["lets"]), self._formula(rule["result"]))
            for key, rule in self.rules.items()
            if rule is not None
        }
        moving = [p.name for p in self.moving]
        written = {"": data["runs"] or data["forward"], "y": data["jvp"], **{f["target"]: f for f in data["vjps"]}}
        if [key for key, _ in rules["vjps"]] != moving or (rules["jvp"] is None) != (not moving):
            raise Refused(f"{self.name}: not one rule for each input that varies")
        if any(
            f and (key not in self.computed or self._formula(f) != self.computed[key].result)
            for key, f in written.items()
        ):
            raise Refused(f"{self.name}: what runs is not the rule that is written")
        wanted = {"": self.output, "y": self.output} | {p.name: p for p in self.params}
        results = [(rule.result, wanted[key]) for key, rule in self.computed.items()]
        if any(formula.extents != param.extents for formula, param in [(self.forward, self.output), *results]):
            raise Refused(f"{self.name}: a formula that is not as large as its target")

    def _node(self, place: Any, sort: str) -> Node:
        if type(place) is not int or not 0 <= place < len(self._nodes) or SORTS[self._nodes[place].tag] not in sort:
            raise Refused(f"{self.name}: a part that is no term, or not of its sort")
        return self._nodes[place]

    def _polys(self, places: Any) -> tuple[Node, ...]:
        return tuple(self._node(place, "p") for place in places)

    def _conds(self, places: Any) -> tuple[Node, ...]:
        return tuple(self._node(place, "c") for place in places)

    def _param(self, data: Mapping[str, Any]) -> Param:
        if data["kind"] not in ("real", "int", "bool"):
            raise Refused(f"{self.name}: an input of no kind")
        extents = self._polys(extent for extent, _, _ in data["axes"])
        return Param(name(data["name"]), data["kind"], extents, bool(data["const"]))

    def _formula(self, data: Mapping[str, Any]) -> Formula:
        indices, extents = tuple(map(name, data["indices"])), self._polys(data["extents"])
        body = self._node(data["body"], "tc")
        scoped = all(e.free <= self.fixed for e in extents) and body.free <= self.fixed.union(indices)
        if len(set(indices)) != len(extents) or not self.fixed.isdisjoint(indices) or not scoped:
            raise Refused(f"{self.name}: an index without a range, or with two")
        return Formula(name(data["target"]), indices, extents, body)

    @property
    def moving(self) -> tuple[Param, ...]:
        """The inputs that the operator is differentiated by."""
        return tuple(p for p in self.params if p.kind == "real" and not p.const) if self.output.kind == "real" else ()

    @property
    def lawful(self) -> bool:
        """Whether laws stand in place of a formula."""
        return any(tensor == "!y" for tensor, _ in self.externs)

    def meaning(self) -> Node:
        """The definition's right-hand side, over inputs."""
        return self.unfolded(self.forward.body, False)

    def depends(self, node: Node) -> set[str]:
        """The tensors that an unfolded term reads, and those that what an extern computes there is made of."""
        found, todo = set[str](), [node]
        lets = {f.target: self.unfolded(f.body) for f in self.lets}
        while todo:
            for n in walk(todo.pop()):
                if n.tag in ("read", "bool", "entry") and n.args[0] not in found:
                    found.add(n.args[0])
                    args = self._computed_from.get(n.args[0], ())
                    found |= {a for a in args if a not in lets}
                    todo += [lets[a] for a in args if a in lets]
        return found

    def unfolded(self, node: Node, output: bool = True) -> Node:
        """A term with the intermediates (and the output) replaced by what they mean."""
        table = {f.target: (f.indices, f.body) for f in self.lets}
        if output:
            table["y"] = (self.forward.indices, self.forward.body)
        for _ in table:
            node = inline(node, table)
        if any(n.tag in ("read", "bool", "entry") and n.args[0] in table for n in walk(node)):
            raise Refused(f"{self.name}: an intermediate that is defined by itself")
        return node
