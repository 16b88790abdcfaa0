"""KINK of operators: which of five ways shows it. [trusted]

- Nothing that varies ties: the formula is smooth, and JVP holds everywhere.
- Ties of entries, and jumps at them: see ties.py.
- One optimum in what is smooth: the calculus's derivative is the mean over the gradients of all that attain it. These
  span the subdifferential where what it is taken of is regular (Clarke 1983, proposition 2.3.12): smooth, or an optimum
  of the same kind. The rule has to be that mean.
- One step s(q), with s among floor, ceil, trunc and round, in what is smooth: the rule is the derivative with s(q) a
  constant, at ties too. At a jump s has one of the values beside it, so the rule is a limit of gradients. It is right
  along each entry alone, too: there q is C e^k + D with k = 1 or -1, which is constant or strictly monotone.
- `least at y = 0` of a root: 0 is a proximal subgradient where a function that is nowhere below 0 is 0 (Clarke,
  Ledyaev, Stern and Wolenski 1998, section 1.2), so a Clarke subgradient. The rule is 0 there, else the derivative.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .bounds import nonnegative
from .calculus import STEPS, derivative, jump
from .linear import Hints
from .operators import Op
from .promises import post
from .scopes import REAL
from .sides import dom, shape
from .smooth import Formula, put
from .terms import ZERO, Node, Refused, add, make, mul, select, sym, walk
from .ties import Ties


def optimum(found: Formula, kinked: set[Node]) -> None:
    """One optimum in what is smooth; Refused where there is more, or where it is not shown."""
    if len(kinked) > 1 or found.op.kinks or not all(_regular(found, n, n.args[0]) for n in kinked):
        raise Refused("more ties than those of one optimum")
    if not all(n.free <= found.op.fixed.union(found.op.forward.indices) for n in kinked):
        raise Refused("an optimum for each index of a sum: they may share entries")
    if not found.zero((), (found.rule, 1), (found.slope, -1)):
        raise Refused("the rule is not the mean over all that attain the optimum, or not known to be")


def _regular(found: Formula, node: Node, kind: str) -> bool:
    """Whether a term is smooth, or an optimum of this kind of what is: |t| is max(t, -t)."""
    if not any(found.kinked(node)):
        return True
    if node.tag == "reduce":
        return node.args[0] == kind and not any(found.kinked(node.args[3])) and _regular(found, node.args[4], kind)
    if node.tag == "call" and node.args[0] == kind:
        return all(_regular(found, a, kind) for a in node.args[1:])
    return node.tag == "call" and (node.args[0], kind) == ("abs", "max") and not any(found.kinked(node.args[1]))


def steps(found: Formula, calls: set[Node]) -> None:
    """One step in what is smooth; Refused where there is more, or where it is not shown."""
    op = found.op
    if len(calls) != 1 or not all(n.free <= op.fixed.union(op.forward.indices) for n in calls):
        raise Refused("several steps in one formula")
    (call,) = calls
    name, inside = call.args
    value, used = (put(body, call, make("read", "~step")) for body in (found.value, found.rule))
    slope = derivative(value, found.moving)
    if any(any(found.kinked(body)) for body in (inside, value, used)):
        raise Refused("kinks beside a step, or in it")
    work = found.work(())
    powers = {f for binders, conds, fs in work.form(inside) for f in fs if binders or conds or found.varies(f[0])}
    tensors = {atom.args[0] for atom, e in powers if atom.tag == "read" and e in (1, -1)}
    if len(tensors) != len(powers):
        raise Refused("a step of what is not C e^k + D in each entry e")
    found.smooth(inside, value, slope, used)
    if not found.zero((), (used, 1), (slope, -1)):
        raise Refused("the rule is not the derivative between the jumps, or not known to be")
    where = work.canonical(work.where(jump(name, inside)))
    if not any(work.canonical(work.where(cond)) == where for cond, *_ in op.kinks):
        raise Refused("a jump that is not declared")
    place = tuple(map(sym, op.forward.indices))
    tangents = add(*(make("read", "d" + p.name, *place) for p in op.moving))
    alike = all(p.extents == op.forward.extents for p in op.moving)
    for _, coefficient, jumps, _ in op.kinks:
        if not jumps or (coefficient and not (alike and found.zero((), (used, 1), (mul(coefficient, tangents), -1)))):
            raise Refused("the rule's value at a jump is not the declared one")


def least_value(found: Formula) -> None:
    """A least value that is declared; Refused where it is none, or the rule is not 0 there."""
    op, meaning, y = found.op, found.value, make("read", "y", *map(sym, found.op.forward.indices))
    if meaning.tag != "call" or meaning.args[0] != "sqrt" or {k[0] for k in op.kinks} != {make("same", y, ZERO)}:
        raise Refused("a least value of what is no root")
    if not all(least and value in (False, ZERO) for _, value, _, least in op.kinks):
        raise Refused("a least value with another derivative")
    inside = meaning.args[1]
    if any(found.kinked(inside)) or not nonnegative(found.bounds.of(inside, found.scope.of(op.forward))):
        raise Refused("a root of what has kinks or may be negative")
    found.smooth(inside, derivative(inside, found.moving))
    at = make("same", meaning, ZERO)
    if not found.zero((), (select(at, found.rule, ZERO), 1)):
        raise Refused("the derivative that is used at the least value is not known to be 0")
    if not found.zero((), (select(at, ZERO, found.rule), 1), (select(at, ZERO, found.slope), -1)):
        raise Refused("the derivative that is used elsewhere is not known to be the formula's")


def _open(found: Formula, cond: Node) -> bool:
    """Whether a condition holds all round each point where it holds."""
    if not found.varies(cond):
        return True
    if cond.tag in ("and", "or"):
        return all(_open(found, part) for part in cond.args)
    inner = cond.args[0] if cond.tag == "not" and cond.args[0].tag == "same" else cond
    inside = [n for n in walk(inner) if n is not inner]
    if any(n.tag in REAL or (n.tag == "call" and n.args[0] in STEPS) for n in inside):
        return False
    return inner is not cond or cond.tag == "lt"


def kink(op: Op, evidence: Mapping[str, Any], hints: Hints) -> None:
    """KINK of an operator; Refused where it is not shown."""
    found = Formula(op, hints)
    nodes = [n for body in (found.value, found.rule) for n in walk(body)]
    if any(n.tag == "read" and n.args[0].startswith("!") for n in nodes):
        raise Refused("what an extern computes may tie, too")
    if not all(_open(found, cond) for cond in (*op.requires, *op.domain)):
        raise Refused("a domain with a boundary in it, beyond which there is no other side of a tie")
    calls = {n for n in nodes if n.tag == "call" and n.args[0] in STEPS and n.args[0] != "sign" and found.varies(n)}
    kinked = set(found.kinked(found.value))
    if any(least for *_, least in op.kinks):
        least_value(found)
    elif calls:
        steps(found, calls)
    elif not kinked and not op.kinks:
        found.smooth(found.value, found.slope, found.rule)
    elif any(n.tag == "reduce" and n.args[0] in ("max", "min") for one in kinked for n in walk(one) if found.varies(n)):
        found.smooth(found.value, found.slope, found.rule)
        optimum(found, kinked)
    else:
        Ties(op, hints).settle()


# With what evidence gives besides the steps.
PROOFS = {"SHAPE": (shape, ("sizes", "values")), "DOM": (dom, ()), "KINK": (kink, ()), "POST": (post, ())}
