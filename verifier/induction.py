"""A loop, for every length: base, step and end of each induction, by running the runtime's own steps on symbols.

The step number is a symbol `t` to which numbers can be added and of which nothing else is known; table, sequences and
cotangents are series of which every entry is a symbol. The body's results, tangents and what it pulls back are
functions of which one thing is known: <jvp d, c> = <d, vjp c> (the hypotheses below; the body's own JVP, VJP and DENSE
prove it). What is stated, with s[t] the states, d[t] their tangents, g[t] the cotangents of the table's rows:

- FWD: row 0 is the initial state (0 for a result that is no state); step t writes row t + 1 = body(s[t], x[t], w),
  and nothing else;
- JVP: the same for the linearised recurrence: d[t + 1] = jvp(s[t], x[t], w; d[t], dx[t], dw);
- VJP: with l the carried cotangents and W what has gathered, I(t) is the invariant
  sum (u >= t) <d[u], g[u]> = <d[t], l> + sum (u >= t) <dx[u], gx[u]> + <dw, W>.
  Base: I(T) for what the loop starts with. Step: I(t + 1) implies I(t), by what step t does. So I(0): what is carried
  in front of step 0, with the slices' gradients, is adjoint to the tangents, as d[0] is the initial state's.

Base and step give every length; that the loops' `for` statements take `length` steps, in this order, and give out what
is carried at the end, is checked by whole loops of 0 to 3 steps. Written from these statements alone, apart from the
runtime's code, but for the form of `Pulled`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from gradproof.compiler.graph import LoopDef
from gradproof.runtime.loops import Given, Loop, Pulled
from gradproof.verifier.free import ADD, Bank, Expr, show
from gradproof.verifier.pairings import ZERO, Equation, Sum, follows, pairing

LENGTHS = (0, 1, 2, 3)
MakeLoop: TypeAlias = Callable[[LoopDef, Any], Loop[Expr]]


@dataclass(frozen=True, slots=True)
class Step:
    """A position `base + offset` in a series, where `base` is a symbol: t, or T, the length."""

    base: str
    offset: int = 0

    def __add__(self, more: int) -> Step:
        return Step(self.base, self.offset + more)

    def __str__(self) -> str:
        return f"{self.base}+{self.offset}" if self.offset else self.base


@dataclass(slots=True)
class Symbols:
    """A series of which every entry is a symbol, until it is written."""

    bank: Bank
    name: str
    written: dict[str, Expr] = field(default_factory=dict)

    def read(self, at: Any) -> Expr:
        """What was written there, or else the symbol of the entry."""
        found = self.written.get(str(at))
        return self.bank.apply(f"{self.name}[{at}]") if found is None else found

    def write(self, at: Any, value: Expr) -> None:
        """Note what is written; a second value for one entry is kept beside the first, and found out."""
        before = self.written.get(str(at))
        self.written[str(at)] = value if before is None else self.bank.apply("overwritten", before, value)

    def zero(self) -> Expr:
        """The zero of its entries."""
        return self.bank.apply(ZERO)


class FreeBody:
    """A body of which nothing is known. `calls` notes the inputs and cotangents of every vjp."""

    def __init__(self, loop: LoopDef, bank: Bank) -> None:
        self.bank, self.count = bank, len(loop.body.outputs)
        self.moving = [p.name for p in loop.differentiable]
        self.calls: list[tuple[list[Expr], list[Expr]]] = []

    def forward(self, inputs: Sequence[Expr]) -> list[Expr]:
        """result k (inputs)."""
        return [self.bank.apply(f"result {k}", *inputs) for k in range(self.count)]

    def jvp(self, inputs: Sequence[Expr], tangents: Sequence[Expr]) -> list[Expr]:
        """jvp k (inputs, tangents)."""
        return [self.bank.apply(f"jvp {k}", *inputs, *tangents) for k in range(self.count)]

    def vjp(self, inputs: Sequence[Expr], cotangents: Sequence[Expr]) -> list[Expr]:
        """vjp of an input (inputs, cotangents)."""
        self.calls.append((list(inputs), list(cotangents)))
        return [self.bank.apply(f"vjp {name}", *inputs, *cotangents) for name in self.moving]

    def add(self, a: Expr, b: Expr) -> Expr:
        """a + b."""
        return self.bank.apply(ADD, a, b)

    accumulate = add

    def zero(self, like: Expr) -> Expr:
        """The zero of any value."""
        return self.bank.apply(ZERO)


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an obligation is not proved: both sides where they differ, or only a reason."""

    expected: str
    got: str
    reason: str = ""


class Induction:
    """The obligations of one loop. `make` builds the loop that is examined."""

    def __init__(self, loop: LoopDef, make: MakeLoop = Loop, timeout: float = 10.0) -> None:
        self.loop, self.make, self.timeout = loop, make, timeout
        self.roles = dict(loop.roles)
        self.moving = [p.name for p in loop.differentiable]
        self.states = list(loop.states)
        self.results = range(len(loop.body.outputs))
        self.others = [k for k in self.results if k >= len(self.states)]
        self.walked = [n for n in self.moving if self.roles[n] == "sequence"]
        self.fixed = [n for n in self.moving if self.roles[n] == "fixed"]

    # The world that a step is run in.

    def fresh(self) -> World:
        """A loop over a body of which nothing is known, and series of symbols."""
        bank = Bank()
        body = FreeBody(self.loop, bank)
        names = [n for n, _ in self.loop.roles]
        return World(
            bank,
            body,
            self.make(self.loop, body),
            self._given(bank, names, ""),
            self._given(bank, self.moving, "d "),
            [Symbols(bank, f"#s{k}") for k in self.results],
            [Symbols(bank, f"#d{k}") for k in self.results],
            [Symbols(bank, f"#g{k}") for k in self.results],
            {n: Symbols(bank, f"grad {n}") for n in self.walked},
        )

    def _given(self, bank: Bank, names: Sequence[str], prefix: str) -> Given[Expr]:
        values = {n: bank.apply(prefix + n) for n in names if self.roles[n] != "sequence"}
        series: dict[str, Any] = {n: Symbols(bank, prefix + n) for n in names if self.roles[n] == "sequence"}
        return Given(values, series)

    def inputs(self, bank: Bank, names: Sequence[str], prefix: str, rows: Sequence[Expr], at: str) -> list[Expr]:
        """What the inputs, or their tangents, are at a step, by the definition: `rows` are the results before it."""
        out: list[Expr] = []
        for name in names:
            if self.roles[name] == "state":
                out.append(rows[self.states.index(name)])
            else:
                out.append(bank.apply(prefix + name + (f"[{at}]" if self.roles[name] == "sequence" else "")))
        return out

    def first(self, bank: Bank, prefix: str) -> list[Expr]:
        """Row 0, by the definition."""
        count = len(self.states)
        return [bank.apply(prefix + self.states[k]) if k < count else bank.apply(ZERO) for k in self.results]

    # FWD and JVP.

    def start(self, moved: bool) -> Failure | None:
        """Row 0 is the initial state, or its tangent; nothing else is written."""
        world = self.fresh()
        table = world.tangents if moved else world.table
        world.loop.start(world.moves if moved else world.given, table)
        rows = self.first(world.bank, "d " if moved else "")
        return world.differs({f"{table[k].name}[0]": rows[k] for k in self.results})

    def step(self, moved: bool) -> Failure | None:
        """Step t writes row t + 1, of values or of tangents, as the recurrence says; nothing else is written."""
        world, t = self.fresh(), Step("t")
        bank = world.bank
        names = [n for n, _ in self.loop.roles]
        rows = [bank.apply(f"#s{k}[t]") for k in self.results]
        args = self.inputs(bank, names, "", rows, "t")
        if not moved:
            world.loop.step(world.given, world.table, t)
            return world.differs({f"#s{k}[t+1]": bank.apply(f"result {k}", *args) for k in self.results})
        world.loop.step_tangent(world.given, world.table, world.moves, world.tangents, t)
        along = self.inputs(bank, self.moving, "d ", [bank.apply(f"#d{k}[t]") for k in self.results], "t")
        return world.differs({f"#d{k}[t+1]": bank.apply(f"jvp {k}", *args, *along) for k in self.results})

    def count(self) -> Failure | None:
        """Whole loops at small lengths: the recurrence and the linearised one, row by row."""
        names = [n for n, _ in self.loop.roles]
        for length in LENGTHS:
            world = self.fresh()
            bank = world.bank
            world.loop.forward(world.given, world.table, length)
            rows = self.first(bank, "")
            wanted = {f"#s{k}[0]": row for k, row in enumerate(rows)}
            for t in range(length):
                args = self.inputs(bank, names, "", rows, str(t))
                rows = [bank.apply(f"result {k}", *args) for k in self.results]
                wanted |= {f"#s{k}[{t + 1}]": row for k, row in enumerate(rows)}
            problem = world.differs(wanted)
            if problem is None:
                world = self.fresh()
                world.loop.jvp(world.given, world.table, world.moves, world.tangents, length)
                tangents = self.unrolled(world.bank, length)
                wanted = {f"#d{k}[{t}]": row for t, each in enumerate(tangents) for k, row in enumerate(each)}
                problem = world.differs(wanted)
            if problem is not None:
                return Failure(problem.expected, f"{problem.got} (a loop of {length} steps)", problem.reason)
        return None

    def unrolled(self, bank: Bank, length: int) -> list[list[Expr]]:
        """The tangents of rows 0 to `length`, by the definition, at a table of symbols."""
        names = [n for n, _ in self.loop.roles]
        rows = [self.first(bank, "d ")]
        for t in range(length):
            args = self.inputs(bank, names, "", [bank.apply(f"#s{k}[{t}]") for k in self.results], str(t))
            along = self.inputs(bank, self.moving, "d ", rows[-1], str(t))
            rows.append([bank.apply(f"jvp {k}", *args, *along) for k in self.results])
        return rows

    # VJP.

    def start_back(self) -> Failure | None:
        """I(T): the pairings of the last row are those of what is carried; nothing is written."""
        world = self.fresh()
        bank = world.bank
        pulled = world.loop.start_back(world.given, world.seeds, Step("T"))
        rows = [bank.apply(f"#d{k}[T]") for k in range(len(self.states))]
        goal = pairing(rows, [bank.apply(f"#g{k}[T]") for k in range(len(self.states))])
        return world.differs({}) or self.form(pulled) or self.implied((goal, self.carried(bank, rows, pulled)), [])

    def step_back(self) -> Failure | None:
        """I(t + 1) implies I(t): one step back keeps the sum of the pairings. Only slices' gradients are written."""
        world = self.fresh()
        bank = world.bank
        states = range(len(self.states))
        pulled: Pulled[Expr] = Pulled(
            [bank.apply(f"#l{k}") for k in states], {n: bank.apply(f"gathered {n}") for n in self.fixed}
        )
        before = Pulled(list(pulled.states), dict(pulled.fixed))
        world.loop.step_back(world.given, world.table, world.seeds, pulled, world.series(), Step("t"))
        names = [n for n, _ in self.loop.roles]
        args = self.inputs(bank, names, "", [bank.apply(f"#s{k}[t]") for k in self.results], "t")
        now = [bank.apply(f"#d{k}[t]") for k in self.results]
        along = self.inputs(bank, self.moving, "d ", now, "t")
        after = [bank.apply(f"jvp {k}", *args, *along) for k in self.results]
        left = pairing([now[k] for k in states], [bank.apply(f"#g{k}[t]") for k in states])
        left += pairing([after[k] for k in self.others], [bank.apply(f"#g{k}[t+1]") for k in self.others])
        left += self.carried(bank, after, before)
        problem = world.unwritten(f"grad {n}[t]" for n in self.walked) or self.form(pulled)
        if problem is not None:
            return problem
        right = self.carried(bank, now, pulled)
        right += pairing(
            [bank.apply(f"d {n}[t]") for n in self.walked], [world.grads[n].read("t") for n in self.walked]
        )
        return self.implied((left, right), self.adjoint(bank, world.body, [(args, along)]))

    def end(self) -> Failure | None:
        """Whole loops at small lengths: <tangents, cotangents> of the table = <tangents, gradients> of the inputs."""
        names = [n for n, _ in self.loop.roles]
        for length in LENGTHS:
            world = self.fresh()
            bank = world.bank
            pulled = world.loop.vjp(world.given, world.table, world.seeds, world.series(), length)
            problem = world.unwritten(f"grad {n}[{t}]" for n in self.walked for t in range(length))
            problem = problem or self.form(pulled)
            if problem is None:
                tangents, steps = self.unrolled(bank, length), []
                left: Sum = pairing([], [])
                for t, row in enumerate(tangents):
                    left += pairing(row, [bank.apply(f"#g{k}[{t}]") for k in self.results])
                right = self.carried(bank, tangents[0], pulled)
                for t in range(length):
                    args = self.inputs(bank, names, "", [bank.apply(f"#s{k}[{t}]") for k in self.results], str(t))
                    steps.append((args, self.inputs(bank, self.moving, "d ", tangents[t], str(t))))
                    for name in self.walked:
                        right += pairing([bank.apply(f"d {name}[{t}]")], [world.grads[name].read(t)])
                problem = self.implied((left, right), self.adjoint(bank, world.body, steps))
            if problem is not None:
                return Failure(problem.expected, f"{problem.got} (a loop of {length} steps)", problem.reason)
        return None

    def form(self, pulled: Pulled[Expr]) -> Failure | None:
        """What is carried: one cotangent a state, one sum for each fixed input that is differentiated."""
        wanted, got = (len(self.states), sorted(self.fixed)), (len(pulled.states), sorted(pulled.fixed))
        return None if wanted == got else Failure(str(wanted), str(got))

    def carried(self, bank: Bank, rows: Sequence[Expr], pulled: Pulled[Expr]) -> Sum:
        """<d, l> + <dw, W>."""
        total = pairing(rows[: len(self.states)], pulled.states)
        return total + pairing([bank.apply(f"d {n}") for n in self.fixed], [pulled.fixed[n] for n in self.fixed])

    def adjoint(self, bank: Bank, body: FreeBody, steps: Sequence[tuple[list[Expr], list[Expr]]]) -> Iterator[Equation]:
        """The hypotheses: at the inputs of each vjp that was asked for, it is the adjoint of the jvp there."""
        for args, along in steps:
            for inputs, cotangents in body.calls:
                if inputs == args:
                    moved = [bank.apply(f"jvp {k}", *inputs, *along) for k in self.results]
                    back = [bank.apply(f"vjp {n}", *inputs, *cotangents) for n in self.moving]
                    yield pairing(moved, cotangents), pairing(along, back)

    def implied(self, goal: Equation, hypotheses: Iterator[Equation] | list[Equation]) -> Failure | None:
        answer, text = follows(goal, list(hypotheses), self.timeout)
        if answer == "proved":
            return None
        return Failure("the same sum of pairings", text) if answer == "refuted" else Failure("", "", text)


@dataclass(frozen=True, slots=True)
class World:
    """What one run of a step works on."""

    bank: Bank
    body: FreeBody
    loop: Loop[Expr]
    given: Given[Expr]
    moves: Given[Expr]
    table: list[Symbols]
    tangents: list[Symbols]
    seeds: list[Symbols]
    grads: dict[str, Symbols]

    def series(self) -> dict[str, Any]:
        """The gradients of the sequences, to be written."""
        return dict(self.grads)

    def _written(self) -> dict[str, Expr]:
        walked = (*self.given.sequences.values(), *self.moves.sequences.values())
        every: list[Any] = [*self.table, *self.tangents, *self.seeds, *self.grads.values(), *walked]
        return {f"{series.name}[{at}]": value for series in every for at, value in series.written.items()}

    def differs(self, wanted: Mapping[str, Expr]) -> Failure | None:
        """Where what was written is not exactly this."""
        got = self._written()
        for name in dict.fromkeys((*wanted, *got)):
            if name not in wanted or name not in got or wanted[name] is not got[name]:
                sides = (show(side[name]) if name in side else "nothing" for side in (wanted, got))
                expected, found = (f"{name} = {text}" for text in sides)
                return Failure(expected, found)
        return None

    def unwritten(self, names: Iterator[str]) -> Failure | None:
        """Where other entries were written than these."""
        wanted, got = sorted(names), sorted(self._written())
        return None if wanted == got else Failure(f"gradients at {wanted}", f"gradients at {got}")
