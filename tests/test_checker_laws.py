"""What follows from the laws of an extern in the checker, and what does not: weights, indices, what a rule reads."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from forging import claimed, opened, reason, replayed, sealed
from gradproof.compiler.elaborate import load_text
from gradproof.compiler.library import prelude
from gradproof.compiler.portable import Table
from gradproof.verifier.checker import rules
from gradproof.verifier.checker import terms as t
from gradproof.verifier.checker.linear import Hints
from gradproof.verifier.checker.operators import Op
from gradproof.verifier.checker.showing import trusted
from gradproof.verifier.checker.terms import Node, Refused
from gradproof.verifier.evidence.finding import Sharing
from gradproof.verifier.evidence.identities import identity

LAWFUL = sorted(name for name, op in prelude().ops.items() if op.lawful and op.differentiable)
HEAD = """op f(a: [n, n]) -> [n, n] {
  extern y = "linalg.inv"(a)
"""
RIGHT = "  law sum(k) a[i, k] * y[k, j] == select(i == j, 1, 0)\n  adjoint sum(k) y[k, i] * g[k, j]\n"
LEFT = "  law sum(k) y[i, k] * a[k, j] == select(i == j, 1, 0)\n"
RULE = "  vjp a[i, j] = -sum(k, l) y[k, i] * g[k, l] * y[j, l]\n}\n"


def carried(data: dict[str, Any], table: Table) -> tuple[Op, Sharing]:
    sharing = Sharing(table)
    return Op(json.loads(json.dumps(data)), sharing.nodes), sharing


def of(text: str) -> tuple[Op, Sharing]:
    table = Table()
    return carried(table.op(load_text(text).ops["f"]), table)


def shown(op: Op, sharing: Sharing, code: str, name: str = "") -> bool:
    """Whether there is evidence, which the checker then replays."""
    parts = identity(op, code, name, sharing, seconds=2.0)
    if parts is not None:
        rules.identity(op, code, name, json.loads(json.dumps(parts)), sharing.nodes)
    return parts is not None


@pytest.mark.parametrize("name", LAWFUL)
def test_the_prelude_follows_from_its_laws(name: str) -> None:
    content = claimed((prelude().ops[name],))
    done = replayed(content)
    wanted = [c for c in opened(content)["claims"] if c["code"] in ("JVP", "VJP")]
    assert wanted and all((c["code"], c["subject"], c["text"]) in done for c in wanted)


@pytest.mark.parametrize(
    ("laws", "rule", "holds"),
    [
        (RIGHT + LEFT, RULE, True),
        (RIGHT, RULE, False),
        (LEFT, RULE, False),
        (RIGHT + LEFT, RULE.replace("-sum", "sum"), False),
        (RIGHT + LEFT, RULE.replace("y[k, i]", "y[i, k]"), False),
        (RIGHT + LEFT, RULE.replace("y[j, l]", "y[l, j]"), False),
        (RIGHT + LEFT, RULE.replace("= -", "= -2 * "), False),
        (RIGHT + LEFT.replace("sum(k)", "sum(k | k >= 1)"), RULE, False),
        (RIGHT + LEFT.replace("select(i == j, 1, 0)", "select(i == j, 1, 1)"), RULE, False),
        (RIGHT.replace("g[k, j]", "g[j, k]") + LEFT, RULE, False),
        ("  law y[i, j] == y[i, j]\n", "  vjp a[i, j] = 0\n}\n", False),
        ("  law y[i, j] == 0\n", "  vjp a[i, j] = g[i, j]\n}\n", False),
        # It follows; whether the law is true is not the checker's to say, which lists it.
        ("  law y[i, j] == 0\n  adjoint g[i, j]\n", "  vjp a[i, j] = 0\n}\n", True),
    ],
)
def test_what_follows_and_what_does_not(laws: str, rule: str, holds: bool) -> None:
    op, sharing = of(HEAD + laws + rule)
    assert shown(op, sharing, "VJP", "a") == holds
    assert shown(op, sharing, "JVP") == holds


def proof() -> tuple[rules.Proof, Sharing]:
    op, sharing = of(HEAD + RIGHT + LEFT + RULE)
    return rules.Proof(op, rules.statement(op, "VJP", "a"), False, sharing.nodes, Hints([])), sharing


def at(*names: str) -> list[Node]:
    return [t.sym(name) for name in names]


def read(tensor: str, *names: str) -> Node:
    return t.make("read", tensor, *at(*names))


UNEQUAL = t.add(read("a", "i", "j"), t.neg(read("!y", "i", "j")))


@pytest.mark.parametrize(
    "weight",
    [
        t.power(UNEQUAL, -1),
        t.mul(t.power(UNEQUAL, 2), t.make("pow", UNEQUAL, -1)),
        t.make("call", "log", read("a", "i", "j")),
        t.reduce("max", "k", t.sym("n"), t.TRUE, read("a", "i", "k")),
        t.select(t.make("lt", t.ZERO, read("a", "i", "j")), t.ONE, t.ZERO),
        read("g", "i", "k"),
        read("g", "i", "%1"),
        read("g", "i", "j'"),
        t.size(t.sym("m")),
    ],
    ids=str,
)
def test_a_weight_has_a_value_and_the_indices_of_its_law(weight: Node) -> None:
    work, sharing = proof()
    with pytest.raises(Refused):
        work.step("law", 0, 1, sharing.ref(weight))


@pytest.mark.parametrize("number", [-1, 4, 100])
def test_a_law_that_is_not_there(number: int) -> None:
    work, sharing = proof()
    with pytest.raises((Refused, IndexError)):
        work.step("law", 0, number, sharing.ref(read("g", "i", "j")))


def test_a_weighted_law_adds_all_of_it() -> None:
    """Both sides, over all of the law's indices: sum of g * (a y - 1) leaves the trace of g."""
    work, sharing = proof()
    before = dict(work.left)
    work.step("law", 0, 0, sharing.ref(read("g", "i", "j")))
    added = {m: c for m, c in work.left.items() if before.get(m) != c}
    assert sorted(sorted(a.args[0] for a, _ in m[2]) for m in added) == [["!y", "a", "g"], ["g"]]
    assert sorted(len(m[0]) for m in added) == [1, 3]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda op: op["externs"][0].update(args=["a", "g"]), "VJP"),
        (lambda op: op["externs"][0].update(args=["a", "da"]), "JVP"),
        (lambda op: op["externs"][0].update(args=["dy"]), "JVP"),
    ],
)
def test_what_an_extern_computes_from_what_it_may_not_know(change: Any, code: str) -> None:
    """A result that depends on the cotangent, or a rule on what it has to compute, says nothing."""
    table = Table()
    data = table.op(load_text(HEAD + RIGHT + LEFT + RULE).ops["f"])
    change(data)
    op, _ = carried(data, table)
    with pytest.raises(Refused, match="depends"):
        rules.statement(op, code, "a" if code == "VJP" else "")


def test_a_jvp_that_is_what_it_has_to_compute() -> None:
    """q = dy by a law, so `jvp y = q` would follow; nothing computes it."""
    text = HEAD + '  let r[i, j] = da[i, j]\n  extern q: [n, n] = "id"(r)\n  law q[i, j] == dy[i, j]\n'
    text += "  jvp y[i, j] = q[i, j]\n  vjp a[i, j] = g[i, j]\n}\n"
    table = Table()
    data = table.op(load_text(text).ops["f"])
    op, sharing = carried(data, table)
    assert rules.statement(op, "JVP").laws
    data["lets"] = copy.deepcopy(data["lets"])
    (let,) = (let for let in data["lets"] if let["target"] == "r")
    let["body"] = sharing.ref(t.make("read", "dy", *(t.sym(v) for v in let["indices"])))
    op, sharing = carried(data, table)
    with pytest.raises(Refused, match="depends"):
        rules.statement(op, "JVP")


def test_what_is_listed_is_what_is_used() -> None:
    """A certificate calls a law by its terms: another text, another law or a law without an extern is seen."""
    data = opened(claimed(load_text(HEAD + RIGHT + LEFT + RULE).ops.values()))
    assert reason(sealed(data)) == ""
    other = copy.deepcopy(data)
    other["ops"]["f"]["laws"][0]["right"] = other["ops"]["f"]["laws"][0]["left"]
    assert "trusted" in reason(sealed(other))
    other = copy.deepcopy(data)
    other["ops"]["f"]["laws"][0]["text"] = "1 == 1"
    assert trusted(other["ops"], t.decode(other["terms"])) == data["trusted"]
    other = copy.deepcopy(data)
    other["ops"]["f"]["externs"] = []
    assert trusted(other["ops"], t.decode(other["terms"]))


def test_a_law_of_inputs_alone_is_not_used() -> None:
    """`law a[i, j] == 0` with no extern in it would say what the inputs are."""
    table = Table()
    data = table.op(load_text(HEAD + RIGHT + LEFT + RULE).ops["f"])
    op, sharing = carried(data, table)
    assert len(rules.statement(op, "VJP", "a").laws) == 4
    left = sharing.ref(t.make("read", "a", *at("i", "j")))
    for law in data["laws"]:
        law.update(left=left, right=sharing.ref(t.ZERO), adjoint=None)
    op, _ = carried(data, table)
    assert rules.statement(op, "VJP", "a").laws == ()
