"""POST: what a graph ensures of its values, for all sizes and all inputs that it assumes."""

from __future__ import annotations

from fractions import Fraction

from gradproof.compiler.claims import Claim, Counterexample, Verdict
from gradproof.compiler.dims import Poly
from gradproof.compiler.graph import Bound, Graph, Ref
from gradproof.compiler.rewriting import walk
from gradproof.compiler.terms import Cond, Num, Read, RealCmp, Term, negate, size
from gradproof.verifier.equality import equal
from gradproof.verifier.facts import apart, made, value_name, wide
from gradproof.verifier.graph_domains import Ranges
from gradproof.verifier.operators import ALL_SIZES, Options
from gradproof.verifier.ranges import Context
from gradproof.verifier.signs import Bounds, settles
from gradproof.verifier.together import deeper

SIZE = 600  # terms in a formula that is put together from nodes


def verdict(graph: Graph, claim: Claim, position: int, ranges: Ranges, options: Options) -> Verdict:
    """The verdict on `ensure` number `position`."""
    bound = graph.ensures[position]
    sides = _sides(graph, bound)
    if sides is None:
        return Verdict(claim, "unknown", "", ALL_SIZES, 0.0, reason="an ensure about integers or conditions")
    left, right, context = sides
    for _ in range(8):
        by = _proved(bound.rel, left, right, context, ranges, options)
        if by:
            return Verdict(claim, "proved", by, ALL_SIZES, 0.0)
        below = deeper(graph, left), deeper(graph, right)
        if below == (left, right) or sum(1 for side in below for _ in walk(side)) > SIZE:
            break
        left, right = below
    found = _search(graph, bound, options)
    if found is not None:
        return Verdict(claim, "refuted", "replay", ALL_SIZES, 0.0, counterexample=found)
    return Verdict(claim, "unknown", "", ALL_SIZES, 0.0, reason="not proved, and no counterexample was found")


def _sides(graph: Graph, bound: Bound) -> tuple[Term, Term, Context] | None:
    """Both sides at a generic entry; values that are compared have the same shape, numbers have none."""
    shapes = [graph.nodes[s].type for s in (bound.left, bound.right) if isinstance(s, int) and not isinstance(s, bool)]
    if any(t.kind != "real" for t in shapes) or any(isinstance(s, str) for s in (bound.left, bound.right)):
        return None
    indices: dict[str, Poly] = {}

    def side(value: int | str | Fraction | Poly) -> Term:
        if isinstance(value, Poly):
            return size(value)
        if isinstance(value, Fraction):
            return Num(value)
        node = graph.nodes[int(value)]
        extents = made(graph, Ref(node.id))
        names = (
            graph.ops[node.op].forward.indices if node.id >= graph.leaves else [f"e{k}" for k in range(len(extents))]
        )
        indices.update({apart(n): e for n, e in zip(names, extents, strict=True)})
        return Read(value_name(node.id), tuple(Poly.sym(apart(names[k])) for k in wide(extents)))

    # Two values are compared entry by entry only where both have no axes, or one is a number.
    if len(shapes) == 2 and (shapes[0].shape or shapes[1].shape):
        return None
    left, right = side(bound.left), side(bound.right)
    return left, right, Context({}, indices)


def _proved(rel: str, left: Term, right: Term, context: Context, ranges: Ranges, options: Options) -> str:
    inside = ranges.facts.context.with_ranges(context.ranges)
    goal: Cond = RealCmp("==" if rel == "!=" else rel, left, right)
    if rel == "!=":
        goal = negate(goal)
    if settles(Bounds(inside, ranges.reads), goal):
        return "interval"
    if rel == "==":
        found = equal(left, right, inside, (), options.timeout)
        return found.by if found.proved else ""
    return ""


def _search(graph: Graph, bound: Bound, options: Options) -> Counterexample | None:
    from gradproof.verifier.graph_refute import violates

    return violates(graph, bound, options)
