"""The checker's terms: what a table holds, what is refused, and substitution that captures nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest
from gradproof.compiler import rewriting
from gradproof.compiler.dims import Poly
from gradproof.compiler.library import prelude
from gradproof.compiler.portable import Table
from gradproof.compiler.rules import meaning_of, rules_of
from gradproof.compiler.terms import Cond, Read, Term, add, int_eq, mul, total
from gradproof.verifier.checker.terms import Node, Refused, decode, inline, substitute, sym, times, walk

N, A, J = Poly.sym("n"), Poly.sym("i"), Poly.sym("j")


def ported(node: Term | Cond) -> Node:
    """The checker's node for a term of the compiler."""
    table = Table()
    place = table.term(node)  # type: ignore[arg-type]
    return decode(json.loads(json.dumps(table.entries)))[place]


def test_every_term_of_the_prelude_is_read() -> None:
    table = Table()
    for op in prelude().ops.values():
        table.op(op)
    nodes = decode(table.entries)
    assert len(nodes) == len(table.entries)
    assert max(node.depth for node in nodes) < 40


def test_substitution_is_the_compilers() -> None:
    changed = {"n": N * 2, "i": J + 1, "j": A}
    own = {"n": times(sym("n"), ported_poly(Poly.of(2))), "i": ported_poly(J + 1), "j": sym("i")}
    count = 0
    for op in prelude().ops.values():
        if op.output.kind != "real":
            continue
        term = meaning_of(op)
        if not rewriting.free_symbols(term) & changed.keys():
            continue
        expected = ported(rewriting.substitute(term, changed))
        assert without_names(substitute(ported(term), own)) == without_names(expected), op.name
        count += 1
    assert count > 150


def ported_poly(poly: Poly) -> Node:
    table = Table()
    place = table.poly(poly)
    return decode(table.entries)[place]


def without_names(node: Node) -> str:
    """The text with every bound name replaced by its depth, so that it is the same whatever they are called."""
    depth = 0

    def one(n: Node) -> Node:
        nonlocal depth
        from gradproof.verifier.checker.terms import rebuild, reduce

        if n.tag == "reduce":
            kind, var, extent, guard, body = n.args
            extent, depth = one(extent), depth + 1
            name = f"@{depth}"
            away = {var: sym(name)}
            found = reduce(kind, name, extent, one(substitute(guard, away)), one(substitute(body, away)))
            depth -= 1
            return found
        return rebuild(n, one) if n.tag != "sym" else sym(n.args[0])

    return one(node).key


def test_a_bound_name_gives_way() -> None:
    inner = ported(total("j", N, Read("x", (A, J))))
    moved = substitute(inner, {"i": sym("j")})
    assert moved.free == {"n", "j"}
    assert substitute(inner, {"j": sym("k")}) is inner
    guarded = ported(total("j", N, Read("x", (A,)), int_eq(J, A)))
    assert substitute(guarded, {"i": sym("j")}).free == {"n", "j"}


def test_a_binder_gives_way_to_a_free_name_in_a_definition() -> None:
    used = ported(total("n", Poly.sym("m"), Read("u", (Poly.sym("n"),))))
    body = ported(mul(Read("x", (A,)), add(Read("a", (N,)))))
    found = inline(used, {"u": (("i",), body)})
    assert found.free == {"m", "n"}
    reads = {n.key for n in walk(found) if n.tag == "read" and n.args[0] == "a"}
    assert reads == {"(read 'a' (poly [1 [(sym 'n')]]))"}


def test_inlining_is_the_compilers() -> None:
    for name in ("softmax", "layer_norm", "cross_entropy", "attention"):
        op = prelude().ops[name]
        for _, rule in rules_of(op).vjps:
            table = Table()
            place = table.term(rule.result.body)  # type: ignore[arg-type]
            lets = [table.formula(f) for f in op.lets]
            nodes = decode(table.entries)
            found = nodes[place]
            for let in reversed(lets):
                found = inline(found, {let["target"]: (tuple(let["indices"]), nodes[let["body"]])})
            assert not {n.args[0] for n in walk(found) if n.tag == "read"} & {f.target for f in op.lets}


DEEP: list[Any] = [["num", "1"], *(["pow", k, 2] for k in range(300))]
WIDE: list[Any] = [["num", "1"], *(["add", k, k] for k in range(64))]


@pytest.mark.parametrize(
    "table",
    [
        {},
        [[]],
        [["num"]],
        [["num", "2/4"]],
        [["num", "1/0"]],
        [["num", "0x1"]],
        [["num", "٣"]],
        [["num", 1]],
        [["num", "9" * 500]],
        [["num", "1"], ["add", 0, 1]],
        [["num", "1"], ["add", 0, -1]],
        [["num", "1"], ["add", 0, True]],
        [["num", "1"], ["add", 0]],
        [["truth", 1], ["pow", 0, 2]],
        [["truth", 2]],
        [["num", "1"], ["pow", 0, 10**5]],
        [["sym", ""]],
        [["sym", "x" * 500]],
        [["sym", "a\nb"]],
        [["sym", "n"], ["poly", [0, 0]]],
        [["sym", "n"], ["poly", [1, 0], [2, 0]]],
        [["sym", "n"], ["poly", [1.0, 0]]],
        [["sym", "n"], ["size", 0]],
        [["poly", [1]], ["truth", 1], ["num", "1"], ["reduce", "mean", "i", 0, 1, 2]],
        [["node", "1"]],
        DEEP,
        WIDE,
    ],
    ids=lambda t: str(t)[:60],
)
def test_what_is_malformed_is_refused(table: Any) -> None:
    with pytest.raises(Refused):
        decode(table)
