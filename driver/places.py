"""What is claimed about one line of a file: an operator's clause or a graph's nodes, and the verdicts on them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from gradproof.compiler.claims import Verdict
from gradproof.compiler.elaborate import Module
from gradproof.compiler.graph import Graph, Node
from gradproof.compiler.ops import Formula, OpDef
from gradproof.compiler.rewriting import tensors
from gradproof.compiler.rules import computation
from gradproof.grammar import syntax as tree
from gradproof.grammar.parse import parse
from gradproof.grammar.printer import print_expr
from gradproof.grammar.source import Span
from gradproof.paths import Text
from gradproof.pipeline import load
from gradproof.report.ssa import show_node
from gradproof.usage import UsageError

# Which of an operator's claims a clause is about; what is not listed is about all of them.
CLAUSES: dict[type, tuple[str, ...]] = {
    tree.Runs: ("RUNS", "SHAPE", "DOM"),
    tree.Require: ("SHAPE",),
    tree.Where: ("DOM",),
    tree.Promise: ("POST",),
    tree.At: ("KINK", "JVP", "VJP"),
    tree.Least: ("KINK", "JVP", "VJP"),
    tree.Extern: ("JVP", "VJP", "DOM"),
    tree.Law: ("JVP", "VJP"),
    tree.Adjoint: ("JVP", "VJP"),
}
WORDS: dict[type, str] = {
    tree.Define: "the meaning: everything below is claimed of this formula",
    tree.Let: "an intermediate, which every formula below it may read",
    tree.Runs: "how it runs, in place of the meaning",
    tree.Require: "what sizes, attributes and integers must satisfy: a hypothesis here, proved at each use (SHAPE)",
    tree.Where: "the domain: a hypothesis here, proved at each use (DOM)",
    tree.Promise: "what holds of the result; graphs may lean on it",
    tree.At: "the derivative's value where the formula has none",
    tree.Least: "where the formula is at its least",
    tree.Extern: "a kernel computes this: trusted to have the laws",
    tree.Law: "trusted of the extern, and tested on samples",
    tree.Adjoint: "the law's multiplier in the proof",
    tree.Instead: "what is advised where DOM fails",
}
NODE_CLAIMS = ("SHAPE", "DOM", "KINK", "FWD", "DENSE", "PLAN")  # of a graph, that speak of each of its nodes
Item: TypeAlias = tree.Fn | tree.Op | tree.GraphDef


@dataclass(frozen=True, slots=True)
class Part:
    """One thing that is claimed about: a head line, and the verdicts."""

    head: str
    verdicts: tuple[Verdict, ...]


@dataclass(frozen=True, slots=True)
class Place:
    """A line with what was proved about it, and what that leans on."""

    span: Span
    inside: str  # "op softmax", "graph loss", or nothing
    what: str
    parts: tuple[Part, ...]
    under: tuple[str, ...]  # hypotheses, in the user's words

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """All verdicts, in order."""
        return tuple(v for part in self.parts for v in part.verdicts)


def place_at(text: Text, line: int, timeout: float) -> Place:
    """What is claimed and proved at a line; Diagnostic where the text is ill-formed, UsageError where it is shorter."""
    module = load(text)
    source = module.sources[0]
    count = len(source.text.splitlines())
    if not 1 <= line <= count:
        raise UsageError(f"{text.path} has no line {line}: it has {count}")
    item = next((i for i in parse(source).items if _covers(i.span, line)), None)
    whole = Span(source, line, 1, line, len(source.line(line)) + 1)
    match item:
        case tree.Fn() | tree.Op():
            ops = [op for op in module.ops.values() if op.span.line == item.span.line]
            return _of_op(item, ops, whole, timeout)
        case tree.GraphDef():
            return _of_graph(item, module, whole, timeout)
        case tree.DimDecl():
            return _of_dim(item, module, whole)
        case None:
            return Place(whole, "", "nothing is claimed here", (), ())
        case _:
            return Place(whole, "", "a name for what stands elsewhere: nothing is claimed here", (), ())


def _covers(span: Span, line: int) -> bool:
    return span.line <= line <= span.end_line


# Operators


def _of_op(item: tree.Fn | tree.Op, ops: Sequence[OpDef], whole: Span, timeout: float) -> Place:
    clause = next((c for c in item.clauses if _covers(c.span, whole.line) and c.span.line > item.span.line), None)
    if clause is None:  # a stanza on one line is shown as its head
        inside = [c for c in item.clauses if _covers(c.span, whole.line)]
        clause = inside[0] if inside and item.span.line != whole.line else None
    about = tuple(v for op in ops for v in _verdicts((op,), (), timeout) if _concerns(op, v, clause, whole.line))
    kind = "fn" if isinstance(item, tree.Fn) else "op"
    conds = [("require", c) for r in item.clauses if isinstance(r, tree.Require) for c in r.conds]
    conds += [("where", c) for r in item.clauses if isinstance(r, tree.Where) for c in r.conds]
    under = tuple(f"{word} {print_expr(cond)}" for word, cond in conds)
    what = _clause_words(clause)
    return Place(clause.span if clause else whole, f"{kind} {item.name}", what, (Part("", about),), under)


def _clause_words(clause: tree.Clause | None) -> str:
    if clause is None:
        return "the head of the operator: all that is claimed of it"
    if isinstance(clause, tree.Rule):
        way = "backward" if clause.kind == "vjp" else "forward"
        return f"a rule that was written, which runs in the {way} direction"
    return WORDS[type(clause)]


def _concerns(op: OpDef, verdict: Verdict, clause: tree.Clause | None, line: int) -> bool:
    code = verdict.claim.code
    if isinstance(clause, tree.Let) and clause.equation.target not in tensors(op.forward.body):
        readers = [rule for rule in (*op.vjps, op.jvp, op.runs) if rule and _reads(op, rule, clause.equation.target)]
        if code == "VJP":
            return any(f"vjp {rule.target}>" in verdict.claim.text for rule in readers)
        return (
            code in ("SHAPE", "DOM") or (code == "RUNS" and op.runs in readers) or (code == "JVP" and op.jvp in readers)
        )
    if isinstance(clause, tree.Rule):
        if clause.kind == "jvp":
            return code in ("JVP", "KINK", "SHAPE", "DOM")
        own = f"vjp {clause.equation.target}>" in verdict.claim.text
        return own if code == "VJP" else code in ("KINK", "SHAPE", "DOM")
    if isinstance(clause, tree.Promise):
        span = verdict.claim.span
        return code == "POST" and span is not None and _covers(span, line)
    return clause is None or code in CLAUSES.get(type(clause), (code,))


def _reads(op: OpDef, rule: Formula, let: str) -> bool:
    """Whether a rule reads an intermediate, directly or through others."""
    return any(one.target == let for one in computation(op, rule).lets)


# Graphs


def _of_graph(item: tree.GraphDef, module: Module, whole: Span, timeout: float) -> Place:
    statement = next((s for s in item.body if _covers(s.span, whole.line) and whole.line > item.span.line), None)
    found = [g for g in module.graphs.values() if g.name == item.name]
    if not found:  # the body of a loop, or what is only called: seen where it is used
        found = [g for g in module.graphs.values() if any(_on(n, whole) for n in g.inner)]
    verdicts = tuple(v for graph in found for v in _verdicts((), (graph,), timeout))
    parts = tuple(_graph_parts(found, statement, verdicts, whole))
    under = tuple(dict.fromkeys(h for graph in found for h in _hypotheses(graph)))
    return Place(statement.span if statement else whole, f"graph {item.name}", _said(statement), parts, under)


def _said(statement: tree.Statement | None) -> str:
    match statement:
        case None:
            return "the head of the graph: all that is claimed of it"
        case tree.Assume():
            return "a hypothesis: the proofs below may use it, and every call checks it"
        case tree.Ensure():
            return "a claim about values, proved for all inputs that the assumes allow"
        case tree.Return():
            return "the results"
        case _:
            return "a value"


def _graph_parts(
    graphs: Sequence[Graph], statement: tree.Statement | None, verdicts: Sequence[Verdict], whole: Span
) -> Iterator[Part]:
    for graph in graphs:
        own = [v for v in verdicts if v.claim.kind == "graph" and v.claim.subject == graph.name]
        if statement is None:
            yield Part(f"graph {graph.name}", tuple(own))
            continue
        if isinstance(statement, tree.Assume):
            yield Part(f"graph {graph.name}", tuple(v for v in own if v.claim.code in ("SHAPE", "DOM", "POST")))
            continue
        if isinstance(statement, tree.Ensure):
            yield Part(f"graph {graph.name}", tuple(_promises(graph, statement, own)))
        nodes = [node for node in graph.inner if _on(node, whole)]
        for node in nodes:
            about = (v for v in verdicts if v.claim.kind in ("op", "loop") and v.claim.subject == node.op)
            yield Part(show_node(graph, node), tuple(about))
        every = tuple(v for v in own if v.claim.code in NODE_CLAIMS)
        if not isinstance(statement, tree.Ensure):
            where = "at every node" if nodes else "at every node, those of the graph that is called here included"
            yield Part(f"graph {graph.name}, {where}", every)


def _on(node: Node, whole: Span) -> bool:
    return node.span.source.path == whole.source.path and _covers(node.span, whole.line)


def _promises(graph: Graph, statement: tree.Ensure, own: Sequence[Verdict]) -> Iterator[Verdict]:
    posts = [v for v in own if v.claim.code == "POST"]
    for bound, verdict in zip(graph.ensures, posts, strict=False):
        if statement.span.line <= bound.span.line <= statement.span.end_line:
            yield verdict


def _hypotheses(graph: Graph) -> Iterator[str]:
    """What the proofs of a graph take for granted: sizes, and assumes."""
    yield from (f"{dim.name} >= {dim.lower}" for dim in graph.dims if dim.value is None)
    yield from (f"{poly} {rel} 0" for poly, rel in graph.assume_dims)
    yield from (f"assume {bound.text}" for bound in graph.assumes)


def _of_dim(item: tree.DimDecl, module: Module, whole: Span) -> Place:
    users = [g.name for g in module.graphs.values() if any(d.name == item.name for d in g.dims)]
    what = "a fixed size" if item.value is not None else "a hypothesis of every proof that speaks of it"
    used = f"; in {', '.join(f'graph {name}' for name in users)}" if users else ""
    return Place(whole, "", f"{what}{used}", (), ())


def _verdicts(ops: tuple[OpDef, ...], graphs: tuple[Graph, ...], timeout: float) -> list[Verdict]:
    from gradproof.pipeline import REPAIR
    from gradproof.verifier.discharge import verify
    from gradproof.verifier.options import Options

    return verify(ops, graphs, Options(timeout=timeout, repair=REPAIR))
