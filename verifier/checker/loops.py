"""Loops, for every length: base and step of each induction, from what the runtime's steps did on symbols. [trusted]

Evidence tells, as a table of expressions, what each step read, made and wrote, on values of which nothing is known: at
a position `t` that only 1 can be added to, or in whole loops of 0 to 3 steps. With r the rows of the table, d those of
its tangent, g of its cotangent (each a value for each result k of the body), x the inputs and w those that are fixed:

- FWD: row 0 is the initial state, and 0 for what is no state; row t + 1 is body(r[t], x[t], w); no more is written.
- JVP: the same for d, with the body's jvp at r[t].
- VJP: with l carried, W gathered, I(t) says: the sum over u >= t of <d[u], g[u]> is <d[t], l> + <dw, W> + the sum over
  u >= t of <dx[u], gx[u]>. Base: I at the end. Step: I(t + 1) implies I(t). All that is known of the body is that
  <jvp d, c> = <d, vjp c>, which its operators' JVP and VJP and its DENSE prove. Each side is a sum of pairings of
  expressions, and the difference of both sides must be that of the hypotheses, pairing by pairing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from math import prod
from typing import TYPE_CHECKING, Any

from .reading import exactly
from .terms import Node, Refused, const, integer, plus, product

if TYPE_CHECKING:
    from .graphs import Graph

LENGTHS, MOST = (0, 1, 2, 3), 20_000
SIZES = ((2, 3, 1, 4), (1, 1, 1, 1), (0, 2, 1, 3), (3, 0, 2, 1))  # what different extents are taken for, in turn


class Loop:
    """A loop that is well-formed: each input has one role, states are real and keep their type, results are real."""

    def __init__(self, data: Any, body: Graph, length: Node) -> None:
        leaves = [node[0] for node in body.data["nodes"][: body.leaves]]
        names = [name for name, _ in data["roles"]]
        if any(seeded is not None for _, _, seeded in body.data["delta"]):
            raise Refused("the body of a loop draws numbers, and is given others")
        if sorted(names) != sorted([*leaves, *body.delta]):
            raise Refused("the roles of a loop are not those of its body's inputs")
        self.body, self.length, self.reverse = body, length, bool(data["reverse"])
        self.roles = [role for _, role in data["roles"]]
        self.inputs: list[int | str] = [leaves.index(n) if n in leaves else n for n in names]  # as the body knows them
        self.moving = [i for i, own in enumerate(self.inputs) if isinstance(own, int)]
        self.states = [i for i, role in enumerate(self.roles) if role == "state"]
        results = [body.of(id_) for id_ in body.outputs]
        if len(self.states) > len(results) or any(r.kind != "real" for r in results):
            raise Refused("a loop has more states than results, or a result that is not real")
        same = {frozenset(pair) for pair in body.equal}
        self.columns = [r.shape for r in results]
        for k, i in enumerate(self.states):
            before, after = body.of(self.inputs[i]), results[k]
            fits = before.dtype == after.dtype and len(before.shape) == len(after.shape) and i in self.moving
            if not fits or any(
                a is not b and {a, b} not in same for a, b in zip(before.shape, after.shape, strict=True)
            ):
                raise Refused(f"the state `{names[i]}` of a loop is of another type behind a step")
            self.columns[k] = before.shape
        self.width = const(0)
        for shape in self.columns:
            self.width = plus(self.width, product(shape))

    def shape(self, i: int) -> tuple[Node, ...]:
        """The shape of an argument."""
        own = self.body.of(self.inputs[i]).shape
        return (self.length, *own) if self.roles[i] == "sequence" else own

    def demands(self, args: Sequence[int | str], known: Any) -> None:
        """What the body assumes of an input holds of the argument and, of a state, of the one behind each step."""
        behind: list[int | str] = [-1] * len(args)
        for i, id_ in zip(self.states, self.body.outputs, strict=False):
            behind[i] = id_
        kept = said(self.body.data["ensures"])
        if any(bound not in known for _, bound in self.bounds(args)):
            raise Refused("nothing shows what the body of a loop assumes of the argument")
        if any(bound not in kept for i, bound in self.bounds(behind) if i in self.states):
            raise Refused("nothing shows what the body of a loop assumes of the state behind a step")

    def bounds(self, values: Sequence[int | str]) -> Iterator[tuple[int, Any]]:
        """What the body assumes, each of one input: its number, and the same said of another value in its place."""
        for bound in said(self.body.data["assumes"]):
            about = [side for side in bound[::2] if side[0] in ("node", "delta")]
            if len(about) != 1:
                raise Refused("the body of a loop assumes what is not about one of its inputs")
            i = self.inputs.index(about[0][1])
            new = ("delta" if isinstance(values[i], str) else "node", values[i])
            yield i, tuple(new if part == about[0] else part for part in bound)


def said(bounds: Any) -> set[Any]:
    """Relations between whole values."""
    return {(tuple(bound[0]), bound[1], tuple(bound[2])) for bound in bounds if len(bound) == 4}


class Run:
    """What a loop did: expressions by number, each once, what it wrote, and what it carried at the end."""

    def __init__(self, loop: Loop, told: Any) -> None:
        self.loop, self.keys, self._numbers = loop, list[tuple[Any, ...]](), dict[tuple[Any, ...], int]()
        rows, writes, carried = told
        if len(rows) > MOST or len(rows) * (len(writes) + len(carried)) > 200 * MOST:
            raise Refused("a loop's steps are told at too great length")
        given: list[int] = []
        for symbol, *args in rows:
            if type(symbol) is not str:
                raise Refused("an expression of no name")
            given.append(self.of(symbol, *(given[integer(a)] for a in args)))
        self.written = {(series, at): given[integer(e)] for series, at, e in writes}
        self.carried = [given[integer(e)] for e in carried]
        if len(self.written) != len(writes):
            raise Refused("an entry is written twice")

    def of(self, symbol: str, *args: int) -> int:
        """The expression's number."""
        if (symbol, *args) not in self._numbers:
            self._numbers[symbol, *args] = len(self.keys)
            self.keys.append((symbol, *args))
        return self._numbers[symbol, *args]

    def row(self, series: str, at: str) -> list[int]:
        """A row of a table of symbols."""
        return [self.of(f"{series} {k} at {at}") for k in range(len(self.loop.columns))]

    def first(self, what: str) -> list[int]:
        """Row 0, of values or tangents."""
        given = [self.of(f"{what} {i}") for i in self.loop.states]
        return given + [self.of("zero")] * (len(self.loop.columns) - len(given))

    def taken(self, what: str, row: Sequence[int], at: str, which: Sequence[int]) -> list[int]:
        """What inputs are at a step, or their tangents: a state of the row, a slice of a sequence, or what is fixed."""
        states, roles = self.loop.states, self.loop.roles
        return [
            row[states.index(i)]
            if roles[i] == "state"
            else self.of(f"{what} {i} at {at}" if roles[i] == "sequence" else f"{what} {i}")
            for i in which
        ]

    def inputs(self, row: Sequence[int], at: str) -> list[int]:
        """What the body is given at a step."""
        return self.taken("input", row, at, range(len(self.loop.roles)))

    def results(self, moved: bool, row: Sequence[int], at: str) -> list[int]:
        """The next row; of tangents, at the table's row."""
        args = self.inputs(self.row("row", at) if moved else row, at)
        along = self.taken("move", row, at, self.loop.moving) if moved else []
        return [self.of(f"{'moved' if moved else 'result'} {k}", *args, *along) for k in range(len(self.loop.columns))]

    def rows(self, moved: bool, times: Sequence[str]) -> list[list[int]]:
        """The rows at these times: from the initial one, or from any, on."""
        series = "tangent" if moved else "row"
        found = [self.first("move" if moved else "input") if times[0] == "0" else self.row(series, times[0])]
        for at in times[:-1]:
            found.append(self.results(moved, found[-1], at))
        return found

    def forward(self, moved: bool, times: Sequence[str]) -> None:
        """The rows are written, row 0 too where it is among them, and nothing else."""
        series, rows = "tangent" if moved else "row", self.rows(moved, times)
        wanted = {
            (f"{series} {k}", at): row[k]
            for at, row in zip(times, rows, strict=True)
            for k in range(len(row))
            if at != "t"
        }
        if self.written != wanted or self.carried:
            raise Refused("a step does not write what the recurrence says")

    def backward(self, times: Sequence[str]) -> None:
        """The pairings before these steps are undone are those behind it, by the adjointness of each step."""
        loop, written, carried = self.loop, self.written, self.carried
        states, others = range(len(loop.states)), range(len(loop.states), len(loop.columns))
        fixed = [i for i in loop.moving if loop.roles[i] == "fixed"]
        walked = [i for i in loop.moving if loop.roles[i] == "sequence"]
        entries = {(i, at): (f"gradient {i}", at) for i in walked for at in times[:-1]}
        if len(carried) != len(states) + len(fixed) or written.keys() != set(entries.values()):
            raise Refused("another number of cotangents is carried, or other gradients are written, than there are")
        if not loop.moving:
            return  # both sides are 0: <jvp (), c> = <(), ()> for every c
        rows, seeds = self.rows(True, times), [self.row("cotangent", at) for at in times]
        top, sums = seeds[-1][: len(states)], [self.of("zero")] * len(fixed)
        if times[0] == "t":
            top, sums = [self.of(f"carried {k}") for k in states], [self.of(f"gathered {i}") for i in fixed]
        moves = [self.of(f"move {i}") for i in fixed]
        total = Counter[tuple[int, int]]()
        for row, seed in zip(rows[:-1], seeds, strict=False):
            self.pair(total, [row[k] for k in states], [seed[k] for k in states])
        for row, seed in zip(rows[1:], seeds[1:], strict=True):
            self.pair(total, [row[k] for k in others], [seed[k] for k in others])
        self.pair(total, [*rows[-1][: len(states)], *moves], [*top, *sums])
        self.pair(total, [*rows[0][: len(states)], *moves], carried, -1)
        for (i, at), entry in entries.items():
            self.pair(total, [self.of(f"move {i} at {at}")], [written[entry]], -1)
        for row, at in zip(rows, times[:-1], strict=False):
            args, along = self.inputs(self.row("row", at), at), self.taken("move", row, at, loop.moving)
            for cotangents in self.calls(args):
                self.pair(total, self.results(True, row, at), cotangents, -1)
                self.pair(total, along, [self.of(f"back {i}", *args, *cotangents) for i in loop.moving])
        if any(total.values()):
            raise Refused("undoing a step does not keep the sum of the pairings")

    def calls(self, args: Sequence[int]) -> Iterator[tuple[int, ...]]:
        """The cotangents with which the body's vjp is called at these inputs."""
        found = [key[1:] for key in self.keys if key[0].startswith("back ")]
        count = len(args)
        wanted = (c[count:] for c in found if c[:count] == tuple(args) and len(c) == count + len(self.loop.columns))
        yield from dict.fromkeys(wanted)

    def pair(self, total: Counter[tuple[int, int]], a: Sequence[int], b: Sequence[int], sign: int = 1) -> None:
        """Add, or take away, pairings <a, b>."""
        for x, y in zip(a, b, strict=True):
            for one, m in self.parts(x).items():
                for other, n in self.parts(y).items():
                    total[one, other] += sign * m * n

    def parts(self, e: int) -> Counter[int]:
        """An expression as a sum of expressions that are no sums."""
        found, waiting = Counter[int](), Counter({e: 1})
        for one in range(e, -1, -1):  # what an expression is made of has smaller numbers
            times, (symbol, *args) = waiting.pop(one, 0), self.keys[one]
            if not times:
                continue
            if symbol == "+":
                a, b = args
                waiting[a] += times
                waiting[b] += times
            elif symbol != "zero":
                found[one] += times
            if not waiting:
                break
        return found


def views(loop: Loop, sizes: Sequence[int], length: int) -> list[list[list[int]]]:
    """Where rows, arguments and gradients stand in memory at small sizes: offset, extents, strides of each.

    Sequences have an axis of steps in front, which goes backwards where the loop does. The different extents of the
    body's inputs, then of its results, are taken for `sizes` in turn.
    """
    extents: dict[Node, int] = {}

    def numbers(shape: Sequence[Node]) -> list[int]:
        return [extents.setdefault(extent, sizes[len(extents) % len(sizes)]) for extent in shape]

    shapes = [numbers(loop.body.of(own).shape) for own in (*range(loop.body.leaves), *loop.body.delta)]
    named = dict(zip((*range(loop.body.leaves), *loop.body.delta), shapes, strict=True))
    columns = [numbers(shape) for shape in loop.columns]
    width, offset = sum(map(prod, columns)), 0
    table, args, grads = list[list[int]](), list[list[int]](), list[list[int]]()
    for shape in columns:
        table.append(view(offset, shape, (length + 1, width)))
        offset += prod(shape)
    start = 0
    for i, own in enumerate(loop.inputs):
        shape, step = named[own], prod(named[own])
        turned = loop.reverse and loop.roles[i] == "sequence"
        lead = (length, -step if turned else step) if loop.roles[i] == "sequence" else None
        first = (length - 1) * step if turned else 0
        args.append(view(first, shape, lead))
        if i in loop.moving:
            grads.append(view(start + first, shape, lead))
            start += step * (length if lead else 1)
    return [table, args, grads]


def view(offset: int, shape: Sequence[int], lead: tuple[int, int] | None) -> list[int]:
    """The offset, extents and strides of entries in row-major order; an axis of less than two has no stride."""
    extents = [*((lead[0],) if lead else ()), *shape]
    strides = [*((lead[1],) if lead else ()), *(prod(shape[k + 1 :]) for k in range(len(shape)))]
    if not prod(extents):
        return [0, *extents]
    return [offset, *extents, *(0 if e == 1 else s for e, s in zip(extents, strides, strict=True))]


def called(loop: Loop) -> list[Any]:
    """How a step applies its body: what each input is there, the ids of results and of their tangents, the leaves whose

    gradients are given back, and for each id the cotangents that it is seeded with, in order.
    """
    outputs = loop.body.outputs
    seeds = [[id_, *(k for k, out in enumerate(outputs) if out == id_)] for id_ in sorted(set(outputs))]
    return [loop.inputs, outputs, outputs, [loop.inputs[i] for i in loop.moving], seeds]


def check(loop: Loop, code: str, about: str, evidence: Any) -> None:
    """A claim about a loop's steps; Refused where it is not shown."""
    told = exactly(evidence, ("by", "runs"), "the evidence")["runs"]
    if about in ("body", "layout"):
        cases = [[views(loop, sizes, n) for n in (0, 1, 3)] for sizes in SIZES]
        if told != (called(loop) if about == "body" else cases):
            raise Refused("the runtime calls the body, or cuts its arrays, otherwise")
        return
    runs = iter([Run(loop, one) for one in told])
    if about == "count":
        for n in LENGTHS:
            times = [str(t) for t in range(n + 1)]
            next(runs).forward(False, times)
            next(runs).forward(True, times)
            next(runs).backward(times)
    elif code == "VJP":
        next(runs).backward(["T"] if about == "base" else ["t", "t+1"])
    elif code in ("FWD", "JVP") and about in ("base", "step"):
        next(runs).forward(code == "JVP", ["0"] if about == "base" else ["t", "t+1"])
    else:
        raise Refused("it shows what the steps of a loop do only")
    if next(runs, None) is not None:
        raise Refused("more runs are told than there are")
