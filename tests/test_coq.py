"""Theorems for Coq: what they state, that they are the same in every run, and that nothing false is stated as proved.

coqc checks the proofs (`make coq`); here the statements are looked at, which is what coqc can't do.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest
from gradproof.cli import main
from gradproof.compiler.dims import FloorDiv, Max, Mod, Poly
from gradproof.compiler.library import prelude
from gradproof.compiler.terms import (
    TRUE,
    Add,
    And,
    BoolRead,
    Mul,
    Not,
    Or,
    Pow,
    Read,
    RealCmp,
    Reduce,
    Size,
    Term,
    add,
    call,
    int_eq,
    int_ge,
    int_lt,
    mul,
    num,
    power,
    select,
    sub,
    total,
)
from gradproof.verifier.asked import reading, watching
from gradproof.verifier.coq.export import LENGTH, PREAMBLE, Collector
from gradproof.verifier.coq.forms import NotExported
from gradproof.verifier.coq.theorems import identity, integers
from gradproof.verifier.discharge import verify

n, m, i, j, k = (Poly.sym(name) for name in "nmijk")
x, y = Read("x", ()), Read("y", ())


def xi(at: Poly) -> Term:
    return Read("x", (at,))


def ab(at: Poly, to: Poly) -> Term:
    return Read("a", (at, to))


def statement(left: Term, right: Term, **lower: int) -> str:
    """The theorem's own lines, on one line."""
    text = identity("T", left, right, lower).statement
    return " ".join(text.split("Theorem T :")[1].split())


def test_a_statement_reads_as_the_terms_do() -> None:
    p, q = Poly.sym("p"), Poly.sym("q")
    swapped = statement(
        total("i", n, total("j", m, mul(ab(i, j), xi(i)))),
        total("q", m, total("p", n, mul(xi(Poly.sym("p")), ab(p, q)))),
    )
    assert swapped == (
        "(sum n_n (fun b_i : Z => (sum n_m (fun b_j : Z => ((t_a_2 b_i b_j) * (t_x_1 b_i)))))) = "
        "(sum n_m (fun b_q : Z => (sum n_n (fun b_p : Z => ((t_x_1 b_p) * (t_a_2 b_p b_q))))))."
    )


@pytest.mark.parametrize(
    "left, right, wanted",
    [
        (Pow(x, -2), mul(Pow(x, -1), Pow(x, -1)), "((/ t_x) ^ 2) = ((/ t_x) * (/ t_x))."),
        (Mul((x, Pow(x, -1), x)), x, "(t_x <> 0) -> (t_x * (/ t_x) * t_x) = t_x."),
        (Add((x, num("-1/2"), num("1/2"))), x, "(t_x + ((-1) * / 2) + (1 * / 2)) = t_x."),
        (call("exp", add(x, y)), mul(call("exp", y), call("exp", x)), "(exp (t_x + t_y)) = ((exp t_y) * (exp t_x))."),
        (
            select(RealCmp("<", x, y), x, num(0)),
            sub(x, select(RealCmp("<=", y, x), x, num(0))),
            "(sel (rlt t_x t_y) t_x 0) = (t_x + ((-1) * (sel (negb (rlt t_x t_y)) t_x 0))).",
        ),
        (
            mul(Size(n * m + 1), x),
            add(mul(Size(m), Size(n), x), x),
            "((IZR (1 + n_m * n_n)%Z) * t_x) = (((IZR n_m) * (IZR n_n) * t_x) + t_x).",
        ),
    ],
)
def test_statements(left: Term, right: Term, wanted: str) -> None:
    found = statement(left, right)
    assert found == wanted


def test_what_is_cancelled_under_a_sum_is_a_hypothesis_at_every_index() -> None:
    found = statement(total("i", n, mul(xi(i), Pow(xi(i), -1), xi(i))), total("i", n, xi(i)))
    assert found.startswith("(forall b_i : Z, (0 <= b_i < n_n)%Z -> (t_x_1 b_i) <> 0) ->")


def test_a_sum_over_a_range_counts_it_only_where_it_is_no_less_than_nothing() -> None:
    left, right = total("i", n, x), mul(Size(n), x)
    assert statement(left, right, n=0).startswith("((0 <= n_n)%Z) ->")
    with pytest.raises(NotExported, match="negative"):
        statement(left, right)
    with pytest.raises(NotExported, match="negative"):
        statement(total("i", n - 1, x), mul(Size(n - 1), x), n=0)


def unguarded(kind: str, body: Term) -> Term:
    return Reduce(kind, "i", n, TRUE, body)


FALSE: list[tuple[Term, Term]] = [
    (x, y),
    (xi(i), xi(j)),
    (mul(x, Pow(x, -1)), num(2)),
    (Pow(add(x, y), -1), add(Pow(x, -1), Pow(y, -1))),
    (power(add(x, y), 2), add(power(x, 2), power(y, 2))),
    (total("i", n, power(xi(i), 2)), power(total("i", n, xi(i)), 2)),
    (total("i", n, xi(i)), total("i", m, xi(i))),
    (total("i", n, total("j", m, ab(i, j))), total("i", n, total("j", m, ab(j, i)))),
    (total("i", n, total("j", n, mul(ab(i, j), ab(i, j)))), total("i", n, total("j", n, mul(ab(i, j), ab(j, i))))),
    (total("i", n, total("j", n, ab(i, j))), total("i", n, ab(i, i))),
    (call("exp", mul(x, y)), mul(call("exp", x), call("exp", y))),
    (call("exp", mul(num("1/2"), x)), call("exp", x)),
    (call("sin", add(x, y)), add(call("sin", x), call("sin", y))),
    (select(RealCmp("<", x, y), x, y), select(RealCmp("<=", x, y), y, x)),
    (select(int_eq(i, j), x, num(0)), x),
    (unguarded("max", xi(i)), unguarded("min", xi(i))),
    (unguarded("prod", xi(i)), unguarded("prod", mul(num(2), xi(i)))),
    (unguarded("sum", num(1)), num(1)),
    (total("i", n, xi(i), int_ge(i, 1)), total("i", n, xi(i))),
    (select(BoolRead("c", (i,)), x, num(0)), select(BoolRead("c", (j,)), x, num(0))),
]


@pytest.mark.parametrize("left, right", FALSE, ids=range(len(FALSE)))
def test_nothing_false_is_stated(left: Term, right: Term) -> None:
    """coqc would refuse it; but the count of what is exported must not have it either."""
    with pytest.raises(NotExported):
        identity("T", left, right, {"n": 0, "m": 0})


def test_integers_are_stated_as_propositions() -> None:
    three = Poly.of(3)
    quotient, rest = Poly.atom(FloorDiv(i, three)), Poly.atom(Mod(i, three))
    goal = And((int_eq(quotient * 3 + rest, i), Not(int_lt(rest, 0))))
    theorem = integers("T", goal, [int_ge(n, 1), Or((int_ge(Poly.atom(Max(i, j)), 0), int_ge(i, 0)))])
    text = " ".join(theorem.text.split())
    assert "(0 <= ((-1) + n_n)%Z)%Z) -> " in text
    assert "(0 <= ((Z.max (n_i) (n_j)))%Z)%Z \\/ (0 <= n_i)%Z" in text
    assert "/\\ (~ (0 <= " in text and text.count("((n_i) / (3))") == 1 and text.count("((n_i) mod (3))") == 2
    assert "Proof. intros; lia_or_nia. Qed." in text


def test_a_quotient_by_a_size_is_coqs_own() -> None:
    text = " ".join(integers("T", int_ge(Poly.atom(FloorDiv(i, n)), 0), [int_ge(i, 0), int_ge(n, 1)]).statement.split())
    assert text.endswith("(0 <= n_i)%Z) -> ((0 <= ((-1) + n_n)%Z)%Z) -> (0 <= (((n_i) / (n_n)))%Z)%Z.")


def test_a_condition_on_a_tensor_of_truth_values_is_no_integer_fact() -> None:
    with pytest.raises(NotExported, match="BoolRead"):
        integers("T", BoolRead("c", (i,)), [])


def collected(*names: str) -> Collector:
    found = Collector()
    ops = tuple(prelude().ops[name] for name in names)
    with reading(found.identity), watching(found.asked):
        assert all(v.answer == "proved" for v in verify(ops, ()))
    return found


# The statements of a few operators, as they were when they were read by a person and accepted by coqc.
DIGESTS: dict[str, tuple[int, str]] = {
    "addmv": (3, "4720b261593ae587"),
    "conv1d": (5, "20c46f9f6e3888df"),
    "dot": (2, "2f924cd1315c8532"),
    "layer_norm": (5, "87dc5daf23a0863c"),
    "lerp": (2, "19847d04df144445"),
    "matmul": (2, "a36392f7c27fe7ce"),
    "mean": (1, "f4a064b2c99d74c5"),
    "mse_loss": (2, "54ca9664099fce52"),
    "outer": (2, "fc1df4326afd2397"),
    "softmax": (3, "9f42179e7b8d1937"),
    "sum": (1, "317cf9edf95f22b3"),
    "tril": (1, "0f684baa01ae80eb"),
}


@pytest.mark.parametrize("name", sorted(DIGESTS))
def test_the_statements_are_those_that_coqc_accepted(name: str) -> None:
    theorems = collected(name).theorems
    digest = hashlib.sha256("\n".join(t.statement for t in theorems).encode()).hexdigest()[:16]
    assert (len(theorems), digest) == DIGESTS[name], "statements changed: run `make coq`, then renew the digest"


def test_an_exported_file_has_proofs_and_nothing_is_admitted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, target = tmp_path / "f.gproof", tmp_path / "f.v"
    source.write_text(
        "op dot_(a: [n], b: [n]) -> [] { y[] = sum(i) a[i] * b[i] }\nop pair(x: [n]) -> [n//2] { y[i] = x[2*i] }\n"
    )
    assert main(["export-coq", str(target), "--from", str(source)]) == 0
    printed, text = capsys.readouterr().out, target.read_text()
    count = text.count("\nTheorem ")
    assert printed.startswith(f"{count} theorems in ") and count >= 2
    assert text.startswith(PREAMBLE.read_text())
    assert not re.search(r"\b(Axiom|Admitted|admit|Parameter|Abort)\b", text)
    names = re.findall(r"^Theorem (\S+) :", text, re.MULTILINE)
    assert len(set(names)) == len(names) and all(re.fullmatch(r"T\d+_\w+", name) for name in names)
    assert all(len(section) < LENGTH + 200 for section in text.split("\nSection ")[1:])


def test_all_obligations_are_counted() -> None:
    found = collected("softmax", "sort") if "sort" in prelude().ops else collected("softmax")
    for kind in (found.identities, found.integers, found.reals):
        assert kind.total == kind.exported + kind.left_out.total()
    assert len(found.theorems) == found.identities.exported + found.integers.exported > 3


@pytest.mark.parametrize("args", [["out.txt", "--prelude"], ["out.v"], ["missing/out.v", "--from", "nowhere.gproof"]])
def test_usage(args: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["export-coq", *args]) == 2
    assert not list(tmp_path.iterdir())
