"""Plans to forge: one certificate's plans changed at random or on purpose, put to the checker, and run where accepted.

What is run is what the certificate says, through the same reader and executor that `load` uses; the plans of the honest
certificate, on the same inputs, say what should come out. Values that are not finite there are not compared.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

import numpy as np
from forging import Data, certificate, opened
from gradproof.compiler.denote import Undefined
from gradproof.compiler.graph import Graph
from gradproof.compiler.plan import Mode
from gradproof.compiler.portable_graphs import read_graph, read_plan
from gradproof.compiler.portable_reader import Reader
from gradproof.grammar.source import Source, Span
from gradproof.runtime.executor import Executor
from gradproof.runtime.inputs import Door
from gradproof.runtime.sizes import InputError
from gradproof.verifier.checker import plans
from gradproof.verifier.checker.evidence import Checked
from gradproof.verifier.checker.terms import Refused, decode

SIZES = (0, 1, 2, 3, 4, 9)
MALFORMED = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError, StopIteration)
OPS = {
    "map": ("add", "sub", "mul", "div", "neg"),
    "compare": ("<", "<=", "=="),
    "logic": ("and", "or", "not"),
    "fold": ("sum", "prod", "max", "min"),
    "intcmp": (">=", "=="),
    "order": ("<", ">"),
    "pow": ("2", "-1", "1", "0", "3", "-2"),
    "call": ("exp", "tanh", "log", "max", "min", "sqrt"),
    **dict.fromkeys(("select", "contract", "ints", "as_real", "whole", "read_at", "copy", "reshape", "add_at"), ("",)),
    "contract": ("sum",),
    "add_at": ("sum",),
}
PARTS = ("op", "name", "extent", "rank", "index", "index", "index", "pad", "swap", "poly", "axis", "more")


class Forger:
    """The plans of the only graph of a text."""

    def __init__(self, text: str) -> None:
        self.data = opened(certificate(text))
        (self.name,) = self.data["graphs"]
        self.nodes = decode(self.data["terms"])
        self.place = next(k for k, c in enumerate(self.data["claims"]) if c["code"] == "PLAN")
        assert self.data["claims"][self.place]["evidence"]["by"] == "places"
        self.modes = sorted(self.data["graphs"][self.name]["plans"])

    @cached_property
    def honest(self) -> Graph:
        """The graph as the compiler reads it."""
        return self.graph(self.data)[0]

    def fresh(self) -> Data:
        """The data, free to be changed in the graph, in its evidence and by more terms."""
        graph = self.data["graphs"][self.name]
        kept = {k: v for k, v in graph.items() if k not in ("plans", "templates")}
        changed = {**kept, "plans": copy.deepcopy(graph["plans"]), "templates": copy.deepcopy(graph["templates"])}
        claims = list(self.data["claims"])
        claims[self.place] = copy.deepcopy(claims[self.place])
        return {**self.data, "graphs": {self.name: changed}, "terms": list(self.data["terms"]), "claims": claims}

    def evidence(self, data: Data) -> Data:
        """The evidence of PLAN."""
        found: Data = data["claims"][self.place]["evidence"]
        return found

    def problem(self, data: Data) -> str:
        """Why the checker refuses PLAN; empty where it accepts it."""
        try:
            checked = Checked.__new__(Checked)
            checked.data, checked._graphs, checked._ops = data, {}, {}
            checked.terms = decode(data["terms"], list(self.nodes))
            plans.check(checked.graph(data["graphs"][self.name]), checked.op, self.evidence(data))
        except Refused as refusal:
            return str(refusal) or "?"
        except MALFORMED as error:
            return f"not formed: {error!r}"
        return ""

    def graph(self, data: Data) -> tuple[Graph, Reader]:
        """The graph and a reader of the data's terms."""
        source = Source("<certificate>", data["source"])
        reader = Reader(data["terms"], source)
        ops = {name: reader.op(op) for name, op in data["ops"].items()}
        reader.begin()
        return read_graph(self.name, data["graphs"][self.name], reader, ops, Span(source, 1, 1, 1, 1)), reader

    def run(self, data: Data, mode: str, dims: Mapping[str, int], inputs: Mapping[str, Any]) -> list[Any]:
        """The results of a plan."""
        graph, reader = self.graph(data)
        own = data["graphs"][self.name]
        kind: Mode = mode  # type: ignore[assignment]
        plan = read_plan(graph, kind, own["plans"][mode], own["templates"], reader, {})
        return Executor(plan, dims).run(inputs)

    def sample(self, rng: random.Random) -> tuple[dict[str, int], dict[str, Any]] | None:
        """Dims, and inputs that pass the door, tangents and cotangents with them; None where none are found soon."""
        door, graph = Door(self.honest), self.honest
        noise = np.random.default_rng(rng.randrange(1 << 30))
        for _ in range(60):
            sizes: dict[str, int] = {}
            try:
                for d in graph.dims:
                    sizes[d.name] = rng.choice(SIZES) if d.value is None else d.value.evaluate(sizes)
                given: dict[str, Any] = {}
                for part in (*graph.gamma, *graph.delta):
                    shape = tuple(e.evaluate(sizes) for e in part.type.shape)
                    if min(shape, default=0) < 0:
                        raise KeyError("a negative size")
                    if part.type.kind == "real":
                        given[part.name] = noise.normal(size=shape)
                    elif part.type.kind == "bool":
                        given[part.name] = noise.random(shape) < 0.5
                    else:
                        top = rng.choice(sorted({*sizes.values(), 1}))
                        given[part.name] = noise.integers(0, max(top, 1), shape)
                admitted = door.admit(given, np.float64, None)
            except (InputError, KeyError, ValueError):
                continue
            found: dict[str, Any] = {n.name: v for n, v in zip(graph.gamma, admitted.context, strict=True)}
            found |= admitted.delta
            found |= {f"d {n.name}": noise.normal(size=found[n.name].shape) for n in graph.gamma}
            for k, id_ in enumerate(graph.outputs):
                shape = tuple(max(e.evaluate(admitted.dims), 0) for e in graph.nodes[id_].type.shape)
                found[f"g {k}"] = noise.normal(size=shape)
            return dict(admitted.dims), found
        return None

    def difference(self, data: Data, rng: random.Random, tries: int = 8) -> str:
        """At which sizes a plan computes something else, or fails, where the honest one does not; empty: nowhere."""
        for _ in range(tries):
            drawn = self.sample(rng)
            if drawn is None:
                continue
            dims, inputs = drawn
            for mode in self.modes:
                wanted = self.run(self.data, mode, dims, inputs)
                try:
                    got = self.run(data, mode, dims, inputs)
                except (Undefined, *MALFORMED) as error:
                    return f"{mode} at {dims}: raises {error!r}"
                for one, other in zip(got, wanted, strict=True):
                    if one.shape != other.shape or one.dtype != other.dtype:
                        return f"{mode} at {dims}: another shape"
                    sure = np.isfinite(other) if other.dtype.kind == "f" else np.ones(other.shape, bool)
                    if not np.allclose(one[sure], other[sure], rtol=1e-6, atol=1e-9):
                        return f"{mode} at {dims}: {one.reshape(-1)[:4]} for {other.reshape(-1)[:4]}"
        return ""


class Changed:
    """The plans of a certificate, with what a forger needs to change one of them."""

    def __init__(self, forger: Forger, mode: str = "forward") -> None:
        self.forger, self.mode, self.log = forger, mode, list[str]()
        self.data = forger.fresh()
        self.own = self.data["graphs"][forger.name]
        self.plan = self.own["plans"][mode]
        self.told = forger.evidence(self.data)["plans"][mode]

    @property
    def first(self) -> int:
        return len(self.plan["inputs"])

    def node(self, *entry: Any) -> int:
        terms = self.data["terms"]
        if list(entry) not in terms:
            terms.append(list(entry))
        return terms.index(list(entry))

    def poly(self, *monomials: tuple[Any, ...]) -> int:
        return self.node("poly", *[[c, *m] for c, *m in monomials])

    def sym(self, name: str) -> int:
        return self.node("sym", name)

    def sizes(self) -> list[int]:
        found = {p for row in self.own["templates"] for p in row[3]}
        found |= {p for _, p in self.plan["sizes"]} | {self.poly(), self.poly((1,)), self.poly((2,))}
        return sorted(found)

    def plus(self, place: int, by: int) -> int:
        entry = copy.deepcopy(self.data["terms"][place])
        for one in entry[1:]:
            if len(one) == 1:
                one[0] += by
                return self.poly(*[tuple(m) for m in entry[1:] if m[0]])
        return self.poly(*[tuple(m) for m in entry[1:]], (by,))

    def product(self, places: list[int]) -> int:
        """The product of polynomials, by the checker's own arithmetic, written down again."""
        from gradproof.verifier.checker import terms as t

        nodes = decode(self.data["terms"], list(self.forger.nodes))
        out = t.const(1)
        for place in places:
            out = t.times(out, nodes[place])
        return self.written(out, nodes)

    def written(self, node: Any, nodes: list[Any]) -> int:
        if node in nodes:
            return nodes.index(node)
        if node.tag == "poly":
            parts: list[Any] = [[c, *(self.written(a, nodes) for a in m)] for c, m in node.args]
        else:
            parts = [p if isinstance(p, str) else self.written(p, nodes) for p in node.args]
        found = self.node(node.tag, *parts)
        while len(nodes) <= found:
            nodes.append(None)
        nodes[found] = node
        return found

    def label(self, k: int) -> int:
        """A label as an index."""
        return self.poly((1, self.sym(f"${k}")))

    def append(self, op: str, name: str, extents: list[int], operands: list[Any], regs: list[int], **rest: Any) -> int:
        """One more step behind the others; its register."""
        kind, rank = rest.get("kind", "real"), rest.get("rank", len(extents))
        row = [op, name, kind, extents, rank, operands, rest.get("poly"), rest.get("axis"), None]
        self.own["templates"].append(row)
        self.plan["steps"].append([len(self.own["templates"]) - 1, *regs])
        self.plan["slots"].append(0)
        return self.first + len(self.plan["steps"]) - 1

    def give(self, reg: int, out: int = 0) -> None:
        """Make a register an output."""
        given = self.plan["outputs"][out]
        given[3], given[2] = reg, ["use", 0, *map(self.label, range(len(given[1])))]

    def own_slots(self) -> None:
        """A buffer of its own for every register that is no view, of the right size: nothing to refuse there."""
        try:
            slots: list[int] = []
            sizes: list[list[Any]] = []
            known: dict[tuple[int, ...], int] = {}
            rows = [(kind, axes) for _, kind, *axes in self.plan["inputs"]]
            for number, *_ in self.plan["steps"]:
                row = self.own["templates"][number]
                rows.append((row[2], row[3][: row[4]]))
            for reg, (kind, axes) in enumerate(rows):
                step = self.plan["steps"][reg - self.first] if reg >= self.first else None
                if step is not None and self.own["templates"][step[0]][0] == "reshape" and len(step) == 2:
                    slots.append(slots[step[1]])
                    continue
                key = tuple(axes)
                if key not in known:
                    known[key] = self.product(axes)
                slots.append(len(sizes))
                sizes.append([kind, known[key]])
            self.plan["slots"], self.plan["sizes"] = slots, sizes
        except (IndexError, TypeError, Refused):
            self.log.append("no slots")


class Mutation(Changed):
    """A change of the plans at random, made of a few small ones; `log` says which."""

    def __init__(self, forger: Forger, rng: random.Random) -> None:
        super().__init__(forger, rng.choice(forger.modes))
        self.rng = rng
        kinds: list[tuple[int, Callable[[], object]]] = [
            (12, self.row),
            (6, self.register),
            (3, self.slot),
            (2, self.static),
            (2, self.output),
            (3, self.swapped),
            (3, self.appended),
            (6, self.detour),
            (4, self.retold),
            (1, self.hint),
        ]
        for _ in range(rng.choice((1, 1, 1, 2, 2, 3))):
            change = rng.choices([c for _, c in kinds], [w for w, _ in kinds])[0]
            try:
                change()
            except (IndexError, ValueError):  # there is nothing of that kind
                continue
        if rng.random() < 0.8:
            self.own_slots()

    def index(self, count: int, extents: list[int]) -> int:
        """Some index over labels."""
        rng = self.rng
        k, j = rng.randrange(max(count, 1)), rng.randrange(max(count, 1))
        one, other = self.sym(f"${k}"), self.sym(f"${j}")
        kind = rng.randrange(11 if count else 2)
        if kind == 0:
            return self.poly()
        if kind == 1:
            return self.poly((rng.choice((1, -1, 2)),))
        if kind in (2, 3, 4):
            return self.poly((1, one))
        if kind == 5:
            return self.poly((1, one), (rng.choice((-2, -1, 1, 2)),))
        if kind == 6:
            return self.poly((2, one))
        if kind == 7:
            return self.poly((1, *sorted((one, other))))
        if kind == 8 and one != other:
            return self.poly((1, one), (1, other))
        if kind == 9 and extents:
            entry = self.data["terms"][extents[k]]
            return self.plus(self.poly(*[tuple(m) for m in entry[1:]], (-1, one)), -1)
        ints = [r for r in range(self.first) if self.plan["inputs"][r][1] == "int"]
        steps = enumerate(self.plan["steps"], self.first)
        ints += [r for r, s in steps if self.own["templates"][s[0]][2] == "int"]
        reg = rng.choice(ints)
        rank = len(self.plan["inputs"][reg]) - 2 if reg < self.first else 1
        place = self.poly((1, one))
        return self.poly((1, self.node("entry", f"%{reg}", *[place] * rank)))

    def row(self) -> None:
        """A template changed, or a changed copy of it for one step only."""
        rng = self.rng
        at = rng.randrange(len(self.plan["steps"]))
        number = self.plan["steps"][at][0]
        row = self.own["templates"][number]
        if rng.random() < 0.5:
            row = copy.deepcopy(row)
            self.own["templates"].append(row)
            self.plan["steps"][at][0] = len(self.own["templates"]) - 1
        op, name, _kind, extents, rank, operands, poly, axis, _ = row
        uses = [o for o in operands if o[0] == "use"]
        what = rng.choice(
            ("op", "name", "extent", "rank", "index", "index", "index", "pad", "swap", "poly", "axis", "more")
        )
        self.log.append(f"{what} of step {at} ({op} {name})")
        if what == "op":
            row[0] = rng.choice(list(OPS))
            row[1] = rng.choice(OPS[row[0]])
        elif what == "name":
            row[1] = rng.choice(OPS.get(op, (name,)))
        elif what == "extent":
            k = rng.randrange(len(extents))
            extents[k] = rng.choice(self.sizes()) if rng.random() < 0.7 else self.plus(extents[k], rng.choice((-1, 1)))
        elif what == "rank":
            row[4] = rank + rng.choice((-1, 1))
        elif what == "index":
            use = rng.choice(uses)
            k = rng.randrange(2, len(use))
            use[k] = self.index(len(extents), extents) if rng.random() < 0.7 else self.plus(use[k], rng.choice((-1, 1)))
        elif what == "pad":
            use = rng.choice(uses)
            use[1] ^= 1
        elif what == "swap":
            if len(uses) > 1 and rng.random() < 0.5:
                operands.reverse()
            else:
                use = rng.choice(uses)
                i, j = rng.sample(range(2, len(use)), 2)
                use[i], use[j] = use[j], use[i]
        elif what == "poly":
            row[7] = axis
            row[6] = (
                self.index(len(extents), extents)
                if poly is None or rng.random() < 0.5
                else self.plus(poly, rng.choice((-1, 1)))
            )
        elif what == "axis":
            row[7] = rng.choice((None, 0, 1, 2))
        else:
            k = rng.randrange(len(extents) + 1)
            if rng.random() < 0.5:
                extents.insert(k, rng.choice(self.sizes()))
            else:
                extents.pop(k)

    def register(self) -> None:
        """A step that reads other registers, or is of another template."""
        rng = self.rng
        at = rng.randrange(len(self.plan["steps"]))
        step = self.plan["steps"][at]
        if rng.random() < 0.3:
            step[0] = rng.randrange(len(self.own["templates"]))
        elif len(step) > 2 and rng.random() < 0.3:
            step[1:] = reversed(step[1:])
        else:
            step[rng.randrange(1, len(step))] = rng.randrange(self.first + at + rng.choice((0, 0, 0, 1, 3)))
        self.log.append(f"registers of step {at}")

    def slot(self) -> None:
        """A register in another buffer, or a buffer of another size."""
        rng, slots = self.rng, self.plan["slots"]
        at = rng.randrange(len(slots))
        if rng.random() < 0.8:
            slots[at] = rng.choice(slots)
        else:
            k = rng.randrange(len(self.plan["sizes"]))
            self.plan["sizes"][k][1] = rng.choice(self.sizes())
        self.log.append(f"slot of {at}")

    def static(self) -> None:
        """A register computed once, or no longer."""
        static = self.plan["static"]
        at = self.rng.randrange(self.first, self.first + len(self.plan["steps"]))
        self.plan["static"] = sorted({*static} ^ {at})
        self.log.append(f"static {at}")

    def output(self) -> None:
        """An output that is another register, or another index of it."""
        rng = self.rng
        out = rng.choice(self.plan["outputs"])
        if out[3] is None or rng.random() < 0.5:
            out[3] = rng.randrange(self.first + len(self.plan["steps"]))
            out[2] = ["use", 0, *[self.poly((1, self.sym(f"${k}"))) for k in range(len(out[1]))]]
        elif len(out[2]) > 2:
            out[2][rng.randrange(2, len(out[2]))] = self.index(len(out[1]), out[1])
        else:
            out[2][1] ^= 1
        self.log.append("an output")

    def swapped(self) -> None:
        """Two steps, or two slots, in the other order."""
        rng = self.rng
        k = rng.randrange(len(self.plan["steps"]) - 1)
        steps, slots = self.plan["steps"], self.plan["slots"]
        steps[k], steps[k + 1] = steps[k + 1], steps[k]
        if rng.random() < 0.5:
            a = self.first + k
            slots[a], slots[a + 1] = slots[a + 1], slots[a]
        self.log.append(f"steps {k} and {k + 1} in the other order")

    def appended(self) -> None:
        """One more step behind the others, in some buffer."""
        rng = self.rng
        step = list(rng.choice(self.plan["steps"]))
        if rng.random() < 0.5 and len(step) > 1:
            step[rng.randrange(1, len(step))] = rng.randrange(self.first + len(self.plan["steps"]))
        self.plan["steps"].append(step)
        self.plan["slots"].append(rng.choice(self.plan["slots"]))
        self.log.append("one more step")

    def detour(self) -> None:
        """An output goes through one more step."""
        rng = self.rng
        out = rng.choice(self.plan["outputs"])
        op = rng.choice(list(OPS))
        rows = enumerate(self.plan["steps"], self.first)
        known = [*range(self.first), *(r for r, _ in rows)]
        regs = [rng.choice(known) for _ in range(2)]
        if out[3] is not None:
            regs[rng.randrange(2)] = out[3]
        uses = [["use", rng.choice((0, 0, 0, 1)), *self.indices(r, len(out[1]), out[1])] for r in regs]
        numbers = ["term", self.node("num", rng.choice(("0", "1", "2")))]
        count = 1 if op in ("pow", "copy", "read_at", "reshape", "fold", "as_real", "order") else 2
        operands = [rng.choice((u, u, u, numbers)) for u in uses[:count]]
        regs = [r for r, o in zip(regs, operands, strict=False) if o[0] == "use"]
        if op == "reshape":
            operands = [["use", 0]]
        out[3] = self.append(op, rng.choice(OPS[op]), list(out[1]), operands, regs)
        out[2] = ["use", 0, *map(self.label, range(len(out[1])))]
        self.log.append(f"through {op}")

    def indices(self, reg: int, count: int, extents: list[int]) -> list[int]:
        """A register's index, mostly the labels."""
        if reg < self.first:
            rank = len(self.plan["inputs"][reg]) - 2
        else:
            rank = self.own["templates"][self.plan["steps"][reg - self.first][0]][4]
        plain = [self.poly((1, self.sym(f"${k}"))) for k in range(rank)]
        return [p if self.rng.random() < 0.8 else self.index(count, extents) for p in plain]

    def retold(self) -> None:
        """The evidence names another register, an operand, or nothing."""
        rng = self.rng
        rows = self.told[rng.choice([k for k in ("values", "moves", "back") if self.told[k]])]
        at = rng.randrange(len(rows))
        kind = rng.randrange(5)
        if kind == 0:
            rows[at] = None
        elif kind == 1:
            rows[at] = rng.choice(rows)
        elif kind == 2:
            k = rng.randrange(len(rows))
            rows[at], rows[k] = rows[k], rows[at]
        elif kind == 3 and type(rows[at]) is list and len(rows[at][0]) > 2 and rows[at][0][0] == "use":
            use = rows[at][0]
            use[rng.randrange(2, len(use))] = self.index(len(use) - 2, [])
        else:
            rows[at] = rng.randrange(self.first + len(self.plan["steps"]))
        self.log.append(f"what is told of {at}")

    def hint(self) -> None:
        hints = self.forger.evidence(self.data)["hints"]
        op = self.rng.choice(self.own["nodes"])[1]
        hints[self.rng.choice([*hints, op])] = self.rng.randrange(8)
        self.log.append("a hint")
