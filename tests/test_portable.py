"""Terms and operators as plain data: the same bytes everywhere, and exactly the same operator back."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping

import pytest
from gradproof.compiler import terms
from gradproof.compiler.derived import derived_op
from gradproof.compiler.dims import Poly
from gradproof.compiler.library import prelude
from gradproof.compiler.obligations import op_digest
from gradproof.compiler.ops import OpDef
from gradproof.compiler.portable import Table
from gradproof.compiler.portable_reader import Reader
from gradproof.compiler.rules import rules_of
from gradproof.compiler.terms import Read, add, mul, num, total
from gradproof.grammar.source import Source

SOURCE = Source("<certificate>", "")


def written(ops: Mapping[str, OpDef]) -> str:
    table = Table()
    data = {name: table.op(op) for name, op in ops.items()}
    return json.dumps([table.entries, data], sort_keys=True)


def test_every_operator_comes_back() -> None:
    ops = prelude().ops
    entries, data = json.loads(written(ops))
    reader = Reader(entries, SOURCE)
    for name, op in ops.items():
        assert op_digest(reader.op(data[name])) == op_digest(op), name


def test_rules_come_back_as_they_were() -> None:
    ops = prelude().ops
    entries, data = json.loads(written(ops))
    reader = Reader(entries, SOURCE)
    again: dict[str, object] = {}
    for name, op in ops.items():
        back = reader.op(data[name])
        rules = reader.rules(back, data[name]["rules"])
        assert [v for v, _ in rules.vjps] == [v for v, _ in rules_of(op).vjps]
        table = Table()
        table.begin()
        one = [rules.jvp, *(v for _, v in rules.vjps)]
        again[name] = [[table.formula(part.result) for part in one if part is not None], table.entries]
        table, rules = Table(), rules_of(op)
        one = [rules.jvp, *(v for _, v in rules.vjps)]
        assert again[name] == [[table.formula(part.result) for part in one if part is not None], table.entries], name


def test_bytes_do_not_depend_on_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    ops = {name: op for k, (name, op) in enumerate(prelude().ops.items()) if k % 4 == 0}
    first = written(ops)
    monkeypatch.setattr(terms, "_fresh", itertools.count(10**6 - 5))  # names change their length, and so their order
    rules_of.cache_clear()
    assert written(ops) == first


def test_derived_operators_come_back() -> None:
    for name in ("softmax", "matmul", "relu"):
        op = prelude().ops[name]
        derived = {p.name: derived_op(op, p.name) for p in op.differentiable}
        entries, data = json.loads(written(derived))
        reader = Reader(entries, SOURCE)
        for key, one in derived.items():
            assert op_digest(reader.op(data[key])) == op_digest(one)


def test_equal_nodes_are_one_entry() -> None:
    table, i = Table(), Poly.sym("i")
    part = mul(Read("x", (i,)), Read("x", (i + 1,)))
    first = table.term(add(part, num(1)))
    size = len(table.entries)
    assert table.term(add(mul(Read("x", (i,)), Read("x", (1 + i,))), num(1))) == first
    assert len(table.entries) == size
    for place, entry in enumerate(table.entries):
        children = entry[1:] if entry[0] in ("add", "mul") else entry[2:] if entry[0] == "read" else []
        assert all(isinstance(k, int) and k < place for k in children)


def test_made_names_are_numbered_by_appearance_and_apart() -> None:
    table = Table()
    one = total("j#70", Poly.sym("n"), Read("x", (Poly.sym("j#70"),)))
    two = total("j#9", Poly.sym("n"), total("j#10", Poly.sym("n"), Read("x", (Poly.sym("j#9") - Poly.sym("j#10"),))))
    table.term(add(one, two))
    names = [entry[1] for entry in table.entries if entry[0] == "sym" and "#" in entry[1]]
    assert sorted(names) == ["j#0", "j#1", "j#2"]


@pytest.mark.parametrize(
    "entries",
    [
        [["add", 0, 0]],
        [["num", "1"], ["pow", 2, 1], ["num", "2"]],
        [["what"]],
        [["num", "x"]],
        [["poly"], ["add", 0]],
        [["num"]],
    ],
)
def test_what_no_table_writes_is_refused(entries: list[list[object]]) -> None:
    with pytest.raises((ValueError, IndexError, KeyError, TypeError)):
        reader = Reader(entries, SOURCE)
        [reader.cond(k) for k in range(len(entries))]
