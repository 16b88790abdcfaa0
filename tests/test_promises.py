"""What graphs ensure, in certificates: formulas are put together and compared again; nothing false is shown."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from forging import Data, claimed, forged, node, opened, reason, replayed
from gradproof.compiler.elaborate import load_path, load_text
from test_soundness import CASES, COMMENTED, expectations

Change = Callable[[Data], object]
# Right statements of the soundness cases that the verifier proves and no evidence shows yet.
LEFT = {
    ("masked", 3),
    ("picked", 1),
    ("shares", 3),
    ("summed", 1),
}
TEXT = """
dim n >= 1, m
graph f(x: f64[n, m], z: f64[m], k: i64[n]) -> f64[n, m] {
  assume 0 <= k < n
  assume z > 1
  h = exp(x) * z
  y = h + h + z
  ensure y > 1
  ensure y[i, j] == 2 * exp(x[i, j]) * z[j] + z[j]
  ensure grad(y[i, j], x[i, j]) == 2 * h[i, j]
  ensure grad(y[i, j], z[l]) == 0 where not j == l
  ensure grad(y[i, j], h[i, j]) == 2
  return y
}
"""


def shown(text: str) -> int:
    """How many promises of the graph are replayed."""
    return sum(code == "POST" for code, _, _ in replayed(claimed((), load_text(text).graphs.values())))


@pytest.mark.parametrize("name", ["post", "gradients", "loops", "graphs", "integers"])
def test_right_statements_are_replayed(name: str) -> None:
    path = CASES / f"{name}.gproof"
    module = load_path(path)
    right = {
        subject
        for comment, subject in COMMENTED.findall(path.read_text(encoding="utf-8"))
        if {("POST", "proved"), ("all", "proved")} & set(expectations(comment)) and subject in module.graphs
    }
    content = claimed((), [module.graphs[subject] for subject in sorted(right)])
    replays = replayed(content)
    for subject in right:
        wanted = len(module.graphs[subject].ensures) - dict(LEFT).get(subject, 0)
        assert sum((code, s) == ("POST", subject) for code, s, _ in replays) >= wanted, subject


def test_the_bytes_do_not_depend_on_what_was_read_before() -> None:
    first = claimed((), load_text(TEXT).graphs.values())
    again = load_text(TEXT + TEXT.replace("graph f(", "graph g(").replace("dim n >= 1, m", ""))
    assert claimed((), [again.graphs["f"]]) == first
    assert [c for c in replayed(first) if c[0] == "POST"] == [("POST", "f", f"ensure {k}") for k in range(5)]


# Statements that are a little wrong

WRONG = {
    "ensure y > 1": "ensure y > 2",
    "2 * exp(x[i, j]) * z[j] + z[j]": "2 * exp(x[i, j]) * z[j] + 1",
    "== 2 * h[i, j]": "== h[i, j]",
    "where not j == l": "where not i == l",
    "ensure grad(y[i, j], h[i, j]) == 2": "ensure grad(y[i, j], h[i, j]) == 3",
    "ensure grad(y[i, j], x[i, j])": "ensure grad(y[i, j], x[0, j])",
    "assume z > 1": "assume z > 0",
    "2 * exp(x[i, j])": "2 * exp(x[i, 0])",
}


@pytest.mark.parametrize("right", WRONG)
def test_what_is_a_little_wrong_is_not_replayed(right: str) -> None:
    assert shown(TEXT) == 5
    assert shown(TEXT.replace(right, WRONG[right])) == 4


# Lies in a certificate


def ensures(data: Data) -> list[list[object]]:
    """What the graph ensures."""
    found: list[list[object]] = data["graphs"]["f"]["ensures"]
    return found


def evidence(data: Data, number: int) -> Data:
    """The evidence of a promise."""
    found: Data = next(c["evidence"] for c in data["claims"] if c["text"] == f"ensure {number}")
    return found


def sharper(data: Data) -> None:
    ensures(data)[0][0] = ["number", "9"]


def more_assumed(data: Data) -> None:
    """What is assumed of the integers is taken for what is assumed of z."""
    ensures(data)[0][0] = ["number", "3"]
    data["graphs"]["f"]["assumes"].append([["number", "3"], "<", ["node", 7], "nothing"])


def another_place(data: Data) -> None:
    """grad(y[i, j], x[i, j]) becomes grad(y[i, j], x[j, i])."""
    gradient = ensures(data)[2][6][0]  # type: ignore[index]
    gradient[4] = gradient[4][::-1]


def another_input(data: Data) -> None:
    ensures(data)[2][6][0][3] = 1  # type: ignore[index]


def missing_node(data: Data) -> None:
    ensures(data)[2][6][0][1] = 99  # type: ignore[index]


def an_index_twice(data: Data) -> None:
    indices = ensures(data)[1][0]
    indices[1][0] = indices[0][0]  # type: ignore[index]


def a_value_twice(data: Data) -> None:
    """x and z under one name."""
    values = ensures(data)[1][5]
    values[1][0] = values[0][0]  # type: ignore[index]


def integers_as_reals(data: Data) -> None:
    ensures(data)[1][5] = [[n, "k"] for n, _ in ensures(data)[1][5]]  # type: ignore[attr-defined]


def foreign_name(data: Data) -> None:
    """An index without a range."""
    ensures(data)[1][0] = ensures(data)[1][0][:1]  # type: ignore[index]


def nothing_to_say(data: Data) -> None:
    """Where 0 == 1 everything holds: another promise than the one that is shown."""
    ensures(data)[1][1] = node(data, "truth", 0)
    ensures(data)[1][4] = node(data, "num", "7")
    evidence(data, 1)["cuts"] = [-1]


def unknown_cut(data: Data) -> None:
    evidence(data, 1)["cuts"] = ["x"]


def all_cut(data: Data) -> None:
    """No formula is put in."""
    evidence(data, 1)["cuts"] = [3, 4, 5, 6, 7, 8]


def steps_of_another(data: Data) -> None:
    evidence(data, 0)["steps"] = [*evidence(data, 0)["steps"], [[0]]]


def by_ranges(data: Data) -> None:
    evidence(data, 0).clear()
    next(c for c in data["claims"] if c["text"] == "ensure 0")["evidence"] = {"by": "ranges", "steps": []}


LIES: dict[str, tuple[Change, str]] = {
    f.__name__: (f, words)
    for f, words in {
        sharper: "no interval",
        more_assumed: "a bound of what does not exist",
        another_place: "ends before the proof",
        another_input: "by what is no entry",
        missing_node: "what does not exist",
        an_index_twice: "means two things",
        a_value_twice: "means two things",
        integers_as_reals: "as what it is not",
        foreign_name: "no name of its own",
        unknown_cut: "an integer is none",
        all_cut: "normal forms",
        steps_of_another: "more than the proof asks for",
        by_ranges: "domains only",
    }.items()
}


@pytest.mark.parametrize("name", LIES)
def test_a_lie_about_a_promise(name: str) -> None:
    change, words = LIES[name]
    content = claimed((), load_text(TEXT).graphs.values())
    assert reason(content) == ""
    assert words in reason(forged(content, change))


def test_a_promise_under_a_condition_that_never_holds_is_empty() -> None:
    """It is accepted, and says nothing: what a certificate ensures is what it shows, not what a text beside it says."""
    content = claimed((), load_text(TEXT).graphs.values())
    assert reason(forged(content, nothing_to_say)) == ""


def test_the_example_rests_on_nobodys_word() -> None:
    path = Path(__file__).parent.parent / "examples" / "attention.gproof"
    module = load_path(path)
    content = claimed((), [module.graphs["composed"]])
    assert len(replayed(content)) == len(opened(content)["claims"])


NEIGHBOURS = """
dim A
graph f(x: f64[A, A]) -> f64[A, A] {
  y = 2 * x
  ensure y[i, j + 1] + y[i, j] == 2 * x[i, j + 1] + 2 * x[i, j]
  ensure grad(y[i, j], x[i, j + 1]) == 0
  return y
}
"""


@pytest.mark.parametrize("number", [0, 1])
def test_an_entry_behind_the_last_is_not_the_next_rows_first(number: int) -> None:
    def change(data: Data) -> None:
        ensures(data)[number][1] = node(data, "truth", 1)

    content = claimed((), load_text(NEIGHBOURS).graphs.values())
    assert len([c for c in replayed(content) if c[0] == "POST"]) == 2
    assert "POST of f" in reason(forged(content, change))
    assert not [c for c in replayed(forged(content, change)) if c == ("POST", "f", f"ensure {number}")]


def test_a_bound_index_is_no_dim() -> None:
    """A sum over an index that is called as a dim is: what is put under it may read the dim."""
    text = """
dim n, m >= 1
graph f(x: f64[n, m]) -> f64[n] {
  y = mean(x, axis=1)
  ensure sum(q < m) y[i] == sum(q < m) sum(j) x[i, j] / m
  return y
}
"""

    def change(data: Data, extent: str, number: str) -> None:
        (promise,) = ensures(data)
        (i,) = [name for name, _ in promise[0]]  # type: ignore[attr-defined]

        def index(name: str) -> int:
            return node(data, "poly", [1, node(data, "sym", name)])

        yes, rows, place = node(data, "truth", 1), index("m"), index(i)
        names = [n for n, _ in promise[5]]  # type: ignore[attr-defined]
        (y,) = [n for n, a in promise[5] if a == 1]  # type: ignore[attr-defined]
        (x,) = [n for n in names if n != y]
        promise[2] = node(data, "reduce", "sum", extent, rows, yes, node(data, "read", y, place))
        whole = node(data, "reduce", "sum", "j", rows, yes, node(data, "read", x, place, index("j")))
        share = node(data, "mul", whole, node(data, "pow", node(data, "size", index(number)), -1))
        promise[4] = node(data, "reduce", "sum", "q", rows, yes, share)

    content = claimed((), load_text(text).graphs.values())
    assert ("POST", "f", "ensure 0") in replayed(content)
    for extent in ("p", "m"):
        assert reason(forged(content, lambda data, e=extent: change(data, e, "m"))) == ""  # type: ignore[misc]
        assert "normal forms" in reason(forged(content, lambda data, e=extent: change(data, e, "q")))  # type: ignore[misc]
