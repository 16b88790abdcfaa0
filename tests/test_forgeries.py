"""Certificates that lie: each is refused, with a reason, within limits, and nothing in them is ever run.

A forger may make all hashes again, keep the JSON canonical, and choose the evidence. What no evidence can show is
never counted as replayed; what rests on a word is accepted only from who says that he trusts it.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from forging import (
    GATHER,
    MODEL,
    Data,
    alone,
    certificate,
    claimed,
    forged,
    node,
    opened,
    reason,
    replayed,
    sealed,
    with_tables,
)
from gradproof.compiler.elaborate import load_text
from gradproof.verifier.checker import kinks, sides
from gradproof.verifier.checker.evidence import Checked
from gradproof.verifier.checker.reading import canonical
from gradproof.verifier.checker.terms import Refused
from gradproof.verifier.evidence.linear import Search

Change = Callable[[Data], object]


def graph(data: Data) -> Data:
    """The only graph of a certificate."""
    (found,) = data["graphs"].values()
    return found


def named(data: Data, name: str) -> list[Any]:
    """A node of the graph."""
    return next(n for n in graph(data)["nodes"] if n[0] == name)


def place(data: Data, name: str) -> int:
    """A node's id."""
    return next(k for k, n in enumerate(graph(data)["nodes"]) if n[0] == name)


def renamed(value: Any, old: str, new: str) -> Any:
    """The value with a text replaced wherever it stands."""
    if isinstance(value, dict):
        return {renamed(k, old, new): renamed(v, old, new) for k, v in value.items()}
    if isinstance(value, list):
        return [renamed(v, old, new) for v in value]
    return new if value == old else value


# The text of the file ---------------------------------------------------------------------------------------------


def test_the_honest_ones_are_accepted() -> None:
    for text in (MODEL, GATHER):
        assert reason(certificate(text)) == ""
        assert forged(certificate(text), lambda _: None) == certificate(text)


def test_any_byte_flipped() -> None:
    content = certificate()
    for k in range(len(content)):
        changed = bytearray(content)
        changed[k] ^= 1 << (k % 8)
        assert reason(bytes(changed)), f"byte {k}"


@pytest.mark.parametrize("count", [0, 1, 2, 100])
def test_any_end_or_start_cut_off(count: int) -> None:
    content = certificate()
    assert reason(content[: len(content) - 1 - count]) and reason(content[count + 1 :])
    assert reason(content + b" " * (count + 1)) and reason(b" " * (count + 1) + content)
    assert reason(content + content)


HOSTILE: dict[str, bytes] = {
    "nothing": b"",
    "a byte order mark": b"\xef\xbb\xbf" + b"{}\n",
    "no UTF-8": b'{"a":"\xff\xfe"}\n',
    "a lone surrogate": b'{"a":"\\ud800"}\n',
    "deep lists": b"[" * 1_000_000,
    "deep objects": b'{"a":' * 200_000 + b"1" + b"}" * 200_000 + b"\n",
    "NaN": b'{"a":NaN}\n',
    "infinity": b'{"a":-Infinity}\n',
    "a float": b'{"a":1e999}\n',
    "a number of a million digits": b'{"a":' + b"1" * 1_000_000 + b"}\n",
    "a huge power": b'{"a":1e1000000}\n',
    "a negative zero": b'{"a":-0}\n',
    "the same key twice": b'{"a":1,"a":1}\n',
    "a list": b"[]\n",
    "null": b"null\n",
    "a zero byte": b'{"a":"\\u0000"}\x00\n',
    "Python": b"__import__('os').system('touch /tmp/forged')\n",
    "a pickle": b"\x80\x04\x8c\x05posix\x94\x8c\x06system\x94\x93\x94\x8c\x01:\x94\x85\x94R\x94.",
    "a zip": b"PK\x03\x04" + b"\0" * 100,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_bytes(name: str, tmp_path: Path) -> None:
    path = tmp_path / "x.gpc"
    path.write_bytes(HOSTILE[name])
    run = alone(path, "--allow-trusted")
    assert run.returncode == 1 and "refused: " in run.stdout and not run.stderr, run.stderr[-500:]
    assert len(run.stdout) < 1000
    assert not Path("/tmp/forged").exists()


def test_a_gigabyte(tmp_path: Path) -> None:
    path = tmp_path / "big.gpc"
    with path.open("wb") as file:
        file.truncate(1 << 30)
    run = alone(path, memory=256 << 20)
    assert run.returncode == 1 and "larger than" in run.stdout and not run.stderr


@pytest.mark.parametrize("what", ["folder", "nothing", "loop", "endless"])
def test_what_is_no_file(what: str, tmp_path: Path) -> None:
    path = tmp_path / "x.gpc"
    if what == "folder":
        path.mkdir()
    if what == "loop":
        path.symlink_to(path)
    run = alone(Path("/dev/zero") if what == "endless" else path)
    assert run.returncode == 1 and "refused: " in run.stdout and not run.stderr


@pytest.mark.parametrize("style", ["text", "json"])
def test_a_terminal_that_shows_nothing_but_ascii(style: str, tmp_path: Path) -> None:
    path = tmp_path / "\udcff\u0456.gpc"
    path.write_bytes(sealed(renamed(opened(certificate()), "twice", "tw\u0456ce")))
    run = alone(path, "--allow-trusted", "--format", style, python=("-X", "utf8=0"))
    assert run.returncode == 0 and not run.stderr, run.stderr[-300:]


def test_a_bomb_of_shared_terms() -> None:
    """A table of n entries that stands for a tree of 2^n nodes."""

    def change(data: Data) -> None:
        last = node(data, "num", "2")
        for _ in range(150):
            last = node(data, "mul", last, last)
        data["ops"]["twice"]["forward"]["body"] = last

    assert "too large" in reason(forged(certificate(), change))


def test_a_bomb_of_a_power() -> None:
    def change(data: Data) -> None:
        one = node(data, "add", node(data, "read", "x", node(data, "poly")), node(data, "num", "1"))
        for _ in range(5):
            one = node(data, "pow", one, 2000)
        data["ops"]["twice"]["forward"]["body"] = one

    assert reason(forged(certificate(), change), allow_trusted=False)


# The table of terms ---------------------------------------------------------------------------------------------------

TERMS: dict[str, list[Any]] = {
    "itself": ["mul", -1, -1],
    "a later one": ["mul", 10**6, 0],
    "a huge number": ["num", "1" * 5000],
    "not in lowest terms": ["num", "2/4"],
    "a zero denominator": ["num", "1/0"],
    "a decimal": ["num", "0.5"],
    "digits of another script": ["num", "\u0661"],
    "spaces": ["num", " 1"],
    "an underscore": ["num", "1_0"],
    "a plus": ["num", "+1"],
    "another sort": ["select", 0, 0, 0],
    "an unknown form": ["eval", "__import__('os')"],
    "a form that Python knows": ["__class__"],
    "a number for a form": [1, 2],
    "nothing": [],
    "an object": {"tag": "num"},  # type: ignore[dict-item]
    "a text for a place": ["size", "0"],
    "a name that is a list": ["sym", ["n"]],
    "an empty name": ["sym", ""],
    "a long name": ["sym", "n" * 1000],
    "a name with a line break": ["sym", "n\n"],
    "a turned text": ["sym", "n\u202e"],
    "an unknown reduction": ["reduce", "argmax", "i", 1, 4, 4],
    "a truth that is none": ["truth", 2],
    "a monomial twice": ["poly", [1, 0], [2, 0]],
    "a coefficient 0": ["poly", [0, 0]],
    "a coefficient that is a text": ["poly", ["1", 0]],
    "a huge coefficient": ["poly", [1 << 2000, 0]],
    "an exponent out of all bounds": ["pow", 9, 10**9],
}


@pytest.mark.parametrize("name", TERMS)
def test_entries_that_are_no_terms(name: str) -> None:
    def change(data: Data) -> None:
        entry = TERMS[name]
        here = len(data["terms"])
        data["terms"].append([here if part == -1 else part for part in entry] if isinstance(entry, list) else entry)

    assert reason(forged(certificate(), change))


# What is claimed ------------------------------------------------------------------------------------------------------


def test_each_claim_dropped_doubled_or_moved() -> None:
    content = certificate()
    count = len(opened(content)["claims"])
    for k in range(count):
        assert reason(forged(content, lambda d, k=k: d["claims"].pop(k)))  # type: ignore[misc]
        assert reason(forged(content, lambda d, k=k: d["claims"].insert(k, d["claims"][k])))  # type: ignore[misc]

        def swap(data: Data, k: int = k) -> None:
            claims = data["claims"]
            claims[k - 1], claims[k] = claims[k], claims[k - 1]

        assert reason(forged(content, swap))


@pytest.mark.parametrize("field", ["code", "kind", "subject", "text", "evidence"])
@pytest.mark.parametrize("value", ["", "JVP", None, 1, [], {}, "__class__", "loss ", "l\u043ess"])
def test_each_field_of_a_claim(field: str, value: Any) -> None:
    for k in (0, 5, -1):

        def change(data: Data, k: int = k) -> None:
            data["claims"][k][field] = value

        content = forged(certificate(), change)
        assert content == certificate() or reason(content)


@pytest.mark.parametrize(
    "evidence",
    [
        {},
        {"by": ""},
        {"by": "yes"},
        {"by": "check"},
        {"by": "__init__"},
        {"by": ["z3"]},
        {"by": "z3", "steps": []},
        {"by": "Z3"},
        {"by": "verifier "},
        {"by": "structure", "steps": []},
        {"by": "shape"},
        {"by": "shape", "steps": {}},
        {"by": "table"},
        {"by": "table", "rows": []},
        {"by": "tables", "rows": []},
        {"by": "identity"},
        {"by": "linear"},
        [],
        "z3",
        None,
    ],
)
def test_evidence_of_no_kind_or_of_another(evidence: Any) -> None:
    """Given to every claim, it is refused of every one but where it is what was there."""
    content = certificate()
    for k, claim in enumerate(opened(content)["claims"]):
        if claim["evidence"] == evidence or evidence == {"by": "structure"}:
            continue

        def change(data: Data, k: int = k) -> None:
            data["claims"][k]["evidence"] = evidence

        assert reason(forged(content, change)), claim


def test_the_evidence_of_every_other_claim() -> None:
    """Each claim with the evidence of each other one: none but a word, or the very same evidence, does."""
    content = certificate()
    claims = opened(content)["claims"]
    for k, claim in enumerate(claims):
        for other in claims:
            if other["evidence"] == claim["evidence"] or other["evidence"]["by"] in ("z3", "verifier"):
                continue

            def change(data: Data, k: int = k, other: Data = other) -> None:
                data["claims"][k]["evidence"] = other["evidence"]

            assert reason(forged(content, change)), (claim["code"], other["code"])


@pytest.mark.parametrize("word", ["z3", "verifier"])
def test_a_word_is_not_evidence(word: str) -> None:
    def change(data: Data) -> None:
        data["claims"][0]["evidence"] = {"by": word}

    content = forged(certificate(), change)
    assert "--allow-trusted" in reason(content, allow_trusted=False)
    assert reason(content) == "" and len(replayed(content)) == len(replayed(certificate())) - 1


# What it is about -----------------------------------------------------------------------------------------------------


def argument(data: Data) -> None:
    """An edge: the sum takes another node."""
    named(data, "v6")[2] = [place(data, "v4"), place(data, "v4")]


def forward_edge(data: Data) -> None:
    named(data, "v4")[2] = [place(data, "v6")]


def negative_edge(data: Data) -> None:
    named(data, "v4")[2] = [-1]


def another_output(data: Data) -> None:
    graph(data)["outputs"] = [["result", place(data, "v6")]]


def no_output(data: Data) -> None:
    graph(data)["outputs"] = []


def more_leaves(data: Data) -> None:
    graph(data)["leaves"] += 1


def fewer_leaves(data: Data) -> None:
    graph(data)["leaves"] -= 1


def another_type(data: Data) -> None:
    named(data, "z")[5][0] = "bool"


def another_shape(data: Data) -> None:
    named(data, "z")[5] = ["f32", graph(data)["nodes"][1][5][1]]


def less_assumed(data: Data) -> None:
    graph(data)["assume_dims"] = [[0, ">="]]


def circular_dim(data: Data) -> None:
    """E = E + 1 proves everything."""
    graph(data)["dims"].append(["E", 0, node(data, "poly", [1, node(data, "sym", "E")], [1])])
    one = node(data, "poly", [1, node(data, "sym", "B")], [1])
    graph(data)["size_claims"].append([graph(data)["nodes"][0][5][1], one, "B == B + 1"])


def dim_twice(data: Data) -> None:
    graph(data)["dims"].append(["B", 7, None])


def name_twice(data: Data) -> None:
    named(data, "v5")[0] = "v4"


def unknown_operator(data: Data) -> None:
    named(data, "v5")[1] = "expp"


def another_operator(data: Data) -> None:
    named(data, "z")[1] = "spare"


def operator_of_another_name(data: Data) -> None:
    data["ops"]["twice"], data["ops"]["spare"] = data["ops"]["spare"], data["ops"]["twice"]


def operator_that_calls_itself_otherwise(data: Data) -> None:
    data["ops"]["twice"]["name"] = "spare"


def look_alike(data: Data) -> None:
    data["ops"]["tw\u0456ce"] = data["ops"].pop("twice")


def pack_of_another_size(data: Data) -> None:
    """The result of leaky is twice as long as its pack says."""
    axis = data["ops"]["leaky"]["output"]["axes"][0]
    axis[0] = node(data, "poly", [2, node(data, "sym", axis[1])])


GRAPHS: list[Change] = [
    argument,
    forward_edge,
    negative_edge,
    another_output,
    no_output,
    more_leaves,
    fewer_leaves,
    another_type,
    another_shape,
    less_assumed,
    circular_dim,
    dim_twice,
    name_twice,
    unknown_operator,
    another_operator,
    operator_of_another_name,
    operator_that_calls_itself_otherwise,
    look_alike,
    pack_of_another_size,
]


@pytest.mark.parametrize("change", GRAPHS, ids=lambda c: c.__name__)
def test_a_graph_changed_under_its_evidence(change: Change) -> None:
    """Refused, or at least not counted as replayed: the tables are those of the graph that was."""
    shown = [c for c in replayed(forged(certificate(), change)) if c[0] not in ("WF", "SHAPE")]
    assert change in (another_output, another_operator, operator_of_another_name, less_assumed) or not shown


@pytest.mark.parametrize(
    "change",
    [
        forward_edge,
        negative_edge,
        no_output,
        more_leaves,
        fewer_leaves,
        another_type,
        another_shape,
        circular_dim,
        dim_twice,
        name_twice,
        unknown_operator,
        operator_of_another_name,
        operator_that_calls_itself_otherwise,
        look_alike,
        pack_of_another_size,
    ],
    ids=lambda c: c.__name__,
)
@pytest.mark.parametrize("steps", range(6))
def test_a_broken_graph_with_tables_made_again(change: Change, steps: int) -> None:
    def all_of_it(data: Data) -> None:
        change(data)
        for claim in data["claims"]:
            if claim["evidence"]["by"] == "shape":
                claim["evidence"]["steps"] = [[]] * steps
        with_tables(data)

    assert reason(forged(certificate(), all_of_it))


def another_axis(data: Data) -> None:
    """sum(.., axis=1) becomes axis=0, the sizes of its packs as they were."""
    one = next(n for n in graph(data)["nodes"] if n[1] == "sum[axis]")
    one[3] = [node(data, "poly")]


def bound_of_another(data: Data, name: str) -> None:
    """What is assumed of Δ `d` is said of the computed `c`, to which the name of `d` is made to belong."""
    (changed,) = renamed(data["graphs"], "d", name).values()
    data["graphs"] = {"f": changed}
    taken = next(n for n in changed["nodes"] if n[1].startswith("take"))
    taken[2] = [place(data, "c") if a == name else a for a in taken[2]]


@pytest.mark.parametrize(
    "change",
    [
        another_axis,
        lambda d: bound_of_another(d, str(place(d, "c"))),
        lambda d: bound_of_another(d, f"{place(d, 'c')}|k"),
        lambda d: bound_of_another(d, "c"),
        lambda d: bound_of_another(d, ""),
    ],
    ids=["an axis", "a number for a name", "a stroke in a name", "the name of another", "no name"],
)
def test_what_is_known_of_one_tensor_is_not_known_of_another(change: Change) -> None:
    content = forged(certificate(GATHER), lambda d: (change(d), with_tables(d)))
    assert reason(content)


# Rules ----------------------------------------------------------------------------------------------------------------

RULES = """
dim n
graph g(x: f32[n]) -> f32[] { return sum(f(x)) }
op f(x: [n]) -> [n] {
  y[i] = x[i] * x[i]
  jvp y[i] = 2 * x[i] * dx[i]
}
"""


def another_body(data: Data, formula: Data) -> Data:
    """The same formula with 7 on its right-hand side."""
    return {**formula, "body": node(data, "num", "7")}


def a_false_rule_before_the_right_one(data: Data) -> None:
    rules = data["ops"]["f"]["rules"]
    (key, right) = rules["vjps"][0]
    rules["vjps"].insert(0, [key, {**right, "result": another_body(data, right["result"])}])


def a_right_rule_for_what_is_no_input(data: Data) -> None:
    rules = data["ops"]["f"]["rules"]
    rules["vjps"].append(["y", copy.deepcopy(rules["jvp"])])
    rules["jvp"]["result"] = another_body(data, rules["jvp"]["result"])


def what_runs_is_not_what_is_meant(data: Data) -> None:
    forward = data["ops"]["f"]["rules"]["forward"]
    forward["result"] = another_body(data, forward["result"])


def what_is_written_is_not_what_runs(data: Data) -> None:
    data["ops"]["f"]["jvp"] = another_body(data, data["ops"]["f"]["jvp"])


def a_vjp_that_is_written_only(data: Data) -> None:
    op = data["ops"]["f"]
    op["vjps"].append({**another_body(data, op["jvp"]), "target": "x"})


def no_rule(data: Data) -> None:
    data["ops"]["f"]["rules"]["vjps"] = []


def no_jvp(data: Data) -> None:
    data["ops"]["f"]["rules"]["jvp"] = data["ops"]["f"]["jvp"] = None


def no_rules(data: Data) -> None:
    data["ops"]["f"]["rules"] = None


@pytest.mark.parametrize(
    "change",
    [
        a_false_rule_before_the_right_one,
        a_right_rule_for_what_is_no_input,
        what_runs_is_not_what_is_meant,
        what_is_written_is_not_what_runs,
        a_vjp_that_is_written_only,
        no_rule,
        no_jvp,
        no_rules,
    ],
    ids=lambda c: c.__name__,
)
def test_rules_that_are_not_those_that_run(change: Change) -> None:
    assert reason(certificate(RULES)) == ""
    assert reason(forged(certificate(RULES), change))


def test_a_need_is_not_met_because_some_index_meets_it() -> None:
    """`max(j | x[j] > 0)` is defined where one entry is positive; log of all entries then need not be."""
    text = """
    op f(x: [n]) -> [] {
      require n >= 1
      y[] = max(j | x[j] > 0) x[j]
      runs y[] = sum(j) log(x[j])
    }
    """

    def change(data: Data) -> None:
        for entry in data["terms"]:  # one name for both
            entry[:] = [part.split("#")[0] if isinstance(part, str) else part for part in entry]

    content = forged(claimed(load_text(text).ops.values()), change)
    data = opened(content)
    with pytest.raises(Refused, match="what runs"):
        sides.dom(Checked(data).op("f"), {}, Search())


@pytest.mark.parametrize("name", ["i", "?0"])
def test_an_entry_at_a_tie_is_not_that_of_a_sum(name: str) -> None:
    """At x[i] = 0 the sum over all x[k] is not 0, whatever its index is called."""
    text = "op f(x: [n]) -> [n] { y[i] = select(x[i] > 0, sum(k) x[k], 0) }"
    text = text.replace("select(x[i]", "sum(j) select(x[j]") if name == "?0" else text

    def change(data: Data) -> None:
        for entry in data["terms"]:
            entry[:] = [name if isinstance(part, str) and part.startswith("k#") else part for part in entry]

    data = opened(forged(claimed(load_text(text).ops.values()), change))
    assert any(entry[:3] == ["reduce", "sum", name] for entry in data["terms"])
    with pytest.raises(Refused, match=r"continuous|entry of its own"):
        kinks.kink(Checked(data).op("f"), {}, Search())


TIES = """
op right(x: [n], const c: [n]) -> [n] {
  y[i] = max(0, 1 - c[i] * x[i])
  vjp x[i] = -g[i] * select(c[i] * x[i] <= 1, c[i], 0)
}
op middle(x: [n]) -> [] { y[] = sum(i) abs(x[i]) }
op cut_off[v: real = 0](x: [n]) -> [n] {
  y[i] = select(x[i] > 1, x[i], v)
  jump at x[i] = 1: 0
}
"""


@pytest.mark.parametrize("name", ["dx", "y", "g"])
def test_a_domain_is_one_of_inputs(name: str) -> None:
    """Nothing is shown of an operator where its tangents, or its results, are what no input can see to."""
    content = claimed(load_text("op f(x: []) -> [] { where x[] > 0\n y[] = log(x[]) }").ops.values())

    def change(data: Data) -> None:
        below = data["terms"][data["ops"]["f"]["domain"][0]]
        assert below[0] == "lt"
        data["ops"]["f"]["domain"] = [node(data, "lt", below[1], node(data, "read", name))]

    assert reason(content) == ""
    assert "no input" in reason(forged(content, change))


@pytest.mark.parametrize("name", ["right", "middle", "cut_off"])
@pytest.mark.parametrize("weight", [-1, 0, 1, 2, 3, 10**9, "1/2", None, [1], [], {}])
def test_another_weight_at_a_tie(name: str, weight: Any) -> None:
    """The weights are 0, 1 and 1/2, by number: one fits, and what is no weight is none."""

    def change(data: Data) -> None:
        (claim,) = (c for c in data["claims"] if (c["code"], c["subject"]) == ("KINK", name))
        assert claim["evidence"]["by"] == "sides"
        (place,) = (k for k, step in enumerate(claim["evidence"]["steps"]) if type(step) is int)
        claim["evidence"]["steps"][place] = weight

    content = claimed(load_text(TIES).ops.values())
    assert reason(content) == ""
    right = {"right": 0, "middle": 2, "cut_off": 1}[name]
    assert (reason(forged(content, change)) == "") == (weight == right)


def test_parts_of_two_certificates() -> None:
    """The graph, the operators, the terms or the claims of one in the other."""
    one, two = opened(certificate(MODEL)), opened(certificate(MODEL.replace("2 * x[i]", "3 * x[i]")))
    other = opened(certificate(GATHER))
    for key in ("graphs", "ops", "terms", "claims", "trusted", "source"):
        for from_ in (two, other):
            if one[key] == from_[key]:
                continue
            mixed = sealed({**one, key: from_[key]})
            same = [c for c in replayed(mixed) if c[1] not in one["graphs"]]
            assert from_ is two or key in ("trusted", "source") or reason(mixed), key
            assert key in ("source", "terms", "ops", "claims") or not same or from_ is two, key


@pytest.mark.parametrize(
    "field",
    ["claims", "digest", "gradproof", "graphs", "ops", "schema", "sha256", "source", "terms", "trusted", "uses"],
)
@pytest.mark.parametrize("value", [None, 0, 2, "", [], {}, [[]], {"": 1}, "x"])
def test_each_field_of_the_file(field: str, value: Any) -> None:
    data = opened(certificate())
    same, data[field] = data[field] == value, value
    assert same or field in ("gradproof", "uses", "source") or reason(canonical(data))
    del data[field]
    assert "missing" in reason(canonical(data))
    assert "unknown" in reason(canonical({**opened(certificate()), "more": value}))


@pytest.mark.parametrize(
    "name", ["#", "!", "__class__", "__proto__", "$(id)", "../x", "a\u0301", "\u212a", "x" * 121, "\x1b[2J"]
)
def test_names_that_look_machine_made_or_like_code(name: str, tmp_path: Path) -> None:
    """An operator, a graph and an index of that name: refused, or a name like any other; never printed raw."""
    for old in ("twice", "loss", "i"):
        content = canonical(json.loads(sealed(renamed(opened(certificate()), old, name))))
        text = reason(content)
        assert text.isprintable()
        path = tmp_path / "x.gpc"
        path.write_bytes(content)
        assert all(line.isprintable() for line in alone(path, "--allow-trusted").stdout.splitlines())
        shown = [c for c in replayed(content) if c[1] == name]
        assert not text or not shown
