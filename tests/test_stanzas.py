"""Stanzas become operators: names resolved, indices unique, extents inferred, mistakes named."""

from fractions import Fraction

import pytest
from gradproof.compiler.dims import Entry, Poly
from gradproof.compiler.elaborate import load_text
from gradproof.compiler.library import base_name, prelude
from gradproof.compiler.ops import Axis, OpDef
from gradproof.compiler.rewriting import walk
from gradproof.compiler.show import show, show_formula, show_signature
from gradproof.compiler.terms import Add, BoolRead, Call, IntCmp, Mul, Num, Pow, Read, RealCmp, Reduce, Size
from gradproof.grammar.source import Diagnostic


def op(text: str) -> OpDef:
    """The last operator of a text."""
    return list(load_text(text).ops.values())[-1]


def n(name: str) -> Poly:
    return Poly.sym(name)


def test_a_fn_is_lifted_over_any_shape() -> None:
    found = op("fn f[k: real = 1/2](x, z) = k * x + z^2")
    assert found.params[0].axes == (Axis(n("S.."), "S.."),) == found.output.axes
    assert found.forward.indices == ("s..",)
    x, z = Read("x", (n("s.."),)), Read("z", (n("s.."),))
    assert found.forward.body == Add((Mul((Read("k", ()), x)), Pow(z, 2)))
    assert found.attrs[0].default == Fraction(1, 2)


def test_a_const_input_of_a_fn_has_no_gradient() -> None:
    op = load_text("fn f(x, const w, const) = x * w + const").ops["f"]
    assert [p.const for p in op.params] == [False, True, False]
    assert [p.name for p in op.differentiable] == ["x", "const"]


def test_a_binder_gets_a_name_of_its_own_and_the_extent_of_its_axis() -> None:
    body = op("op f(a: [m, k], b: [k, n]) -> [m, n] { y[i, j] = sum(l) a[i, l] * b[l, j] }").forward.body
    assert isinstance(body, Reduce)
    assert body.extent == n("k")
    assert body.var.startswith("l#")
    assert body.body == Mul((Read("a", (n("i"), n(body.var))), Read("b", (n(body.var), n("j")))))


def test_two_binders_of_one_name_never_share_it() -> None:
    body = op("op f(x: [n]) -> [] { y[] = (sum(i) x[i]) * (sum(i) x[i]^2) }").forward.body
    names = [node.var for node in walk(body) if isinstance(node, Reduce)]
    assert len(set(names)) == 2


def test_a_hidden_index_is_reported_and_captures_nothing() -> None:
    module = load_text("op f(x: [n]) -> [n] { y[i] = x[i] * sum(i) x[i] }")
    assert [w.code for w in module.warnings] == ["W-SHADOWED"]
    body = module.ops["f"].forward.body
    assert isinstance(body, Mul)
    outer, inner = body.args
    assert outer == Read("x", (n("i"),))
    assert isinstance(inner, Reduce)
    assert inner.body == Read("x", (n(inner.var),))


def test_an_extent_can_be_given() -> None:
    body = op("op f(x: [n]) -> [] { y[] = sum(u < n // 2) x[2*u] }").forward.body
    assert isinstance(body, Reduce)
    assert body.extent == n("n") // 2


def test_the_window_of_a_convolution() -> None:
    found = op(
        "op conv[stride, pad](x: [N, C, L], w: [O, C, K]) -> [N, O, (L + 2*pad - K) // stride + 1] {\n"
        "  require stride >= 1, pad >= 0, K >= 1, L + 2*pad >= K\n"
        "  y[b, o, p] = sum(c, u | 0 <= p*stride + u - pad < L) x[b, c, p*stride + u - pad] * w[o, c, u]\n}"
    )
    outer = found.forward.body
    assert isinstance(outer, Reduce)
    inner = outer.body
    assert isinstance(inner, Reduce)
    assert (outer.extent, inner.extent) == (n("C"), n("K"))
    assert outer.guard != inner.guard  # the guard is about u alone
    assert len(found.requires) == 4
    assert found.forward.extents[2] == (n("L") + 2 * n("pad") - n("K")) // n("stride") + 1
    assert found.sizes == ("N", "C", "L", "O", "K")


@pytest.mark.parametrize(
    ("cond", "kind"),
    [("i < k", IntCmp), ("i == idx[j]", IntCmp), ("x[i, j] < k", RealCmp), ("eps < i", RealCmp), ("m[i]", BoolRead)],
)
def test_integers_are_compared_as_integers_and_reals_as_reals(cond: str, kind: type) -> None:
    text = (
        "op f[k, eps: real](x: [n, l], idx: int [l], m: bool [n]) -> [n, l] "
        f"{{ y[i, j] = select({cond}, x[i, j] * eps, k) + idx[j] + select(m[i], 1, 0) }}"
    )
    kinds = [type(node) for node in walk(op(text).forward.body)]
    assert kind in kinds


def test_integers_become_reals_where_a_real_is_wanted() -> None:
    body = op("op f(x: [n]) -> [n] { y[i] = x[i] / n + i * 2 }").forward.body
    assert Pow(Size(n("n")), -1) in list(walk(body))
    assert Size(2 * n("i")) in list(walk(body))


def test_powers() -> None:
    body = op("fn f(x, z) = x^3 + x^-2 + x^z + x^(1/2)").forward.body
    found = list(walk(body))
    x, z = Read("x", (n("s.."),)), Read("z", (n("s.."),))
    assert {Pow(x, 3), Pow(x, -2), Call("pow", (x, z)), Call("sqrt", (x,))} <= set(found)


def test_a_gather_requires_all_of_its_indices() -> None:
    found = op(
        "op f(x: [n, S..], idx: int [K..]) -> [K.., S..] { require 0 <= idx[k..] < n  y[k.., s..] = x[idx[k..], s..] }"
    )
    entry = Poly.atom(Entry("idx", (n("k.."),)))
    assert found.forward.body == Read("x", (entry, n("s..")))


def test_lets_are_filled_into_the_meaning_and_kept_for_what_runs() -> None:
    found = op("op f(x: [n]) -> [n] { let m[] = (sum(j) x[j]) / n  y[i] = x[i] - m[] }")
    assert "m" not in {node.tensor for node in walk(found.forward.body) if isinstance(node, Read)}
    assert found.runs is not None
    assert "m" in {node.tensor for node in walk(found.runs.body) if isinstance(node, Read)}
    assert [let.target for let in found.lets] == ["m"]


def test_a_formula_may_call_a_fn() -> None:
    body = op("fn twice(x) = x + x\nop f(a: [n]) -> [n] { y[i] = twice(a[i]^2) }").forward.body
    square = Pow(Read("a", (n("i"),)), 2)
    assert body == Add((square, square))


def test_functions_may_be_called_above_their_definition() -> None:
    found = load_text("fn four(x) = twice(twice(x))\nfn twice(x) = x + x").ops["four"]
    assert found.forward.body == Add((Read("x", (n("s.."),)),) * 4)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("fn f(x) = h(x)\nfn h(x) = f(x)", "E-RECURSION"),
        ("\n".join(f"fn f{i}(x) = f{i + 1}(x)" for i in range(200)) + "\nfn f200(x) = x", "E-RECURSION"),
        ("fn f0(x) = x\n" + "\n".join(f"fn f{i + 1}(x) = exp(f{i}(x)) * f{i}(x)" for i in range(60)), "E-TOO-LARGE"),
        (
            "fn f(x) {\nlet a0 = x\n"
            + "\n".join(f"let a{i + 1} = exp(a{i}) * a{i}" for i in range(60))
            + "\ny = a60\n}",
            "E-TOO-LARGE",
        ),
    ],
)
def test_formulas_do_not_grow_without_end(text: str, code: str) -> None:
    with pytest.raises(Diagnostic) as caught:
        load_text(text)
    assert caught.value.code == code


def test_where_states_a_domain_and_kinks_are_kept() -> None:
    found = op("fn f(x) {\n where x > -1\n y = max(x, 0) + log(x + 1)\n at x = 0: 1\n}")
    x = Read("x", (n("s.."),))
    assert found.domain == (RealCmp("<", Num(Fraction(-1)), x),)
    assert [(kink.cond, kink.value) for kink in found.kinks] == [(RealCmp("==", x, Num(Fraction(0))), Num(Fraction(1)))]


def test_the_text_and_the_doc_are_kept() -> None:
    found = op("# Twice x.\nfn f(x) = 2 * x\n")
    assert (found.doc, found.source) == ("Twice x.", "fn f(x) = 2 * x")


REFUSED = {
    "E-UNKNOWN-NAME": [
        ("fn f(x) = x + z", "z"),
        ("fn f(x) = exq(x)", "exp"),
        ("op f(x: [n]) -> [n] { y[i] = x[k] }", "k"),
        ("op f(x: [n]) -> [n] { y[i] = w[i] }", "w"),
        ("fn f(x) {\n y = x\n vjp z = g\n}", "z"),
    ],
    "E-ARITY": [
        ("fn f(x) = exp(x, x)", "1 argument"),
        ("fn f() = 1", "no input"),
        ("fn f(x) = select(x > 0, x)", "3"),
    ],
    "E-RANK": [
        ("op f(x: [n, m]) -> [n] { y[i] = x[i] }", "axes [n, m]"),
        ("op f(x: [n]) -> [n] { y[i, j] = x[i] }", "axes [n]"),
        ("op f(x: [S..]) -> [S..] { y[s] = x[s] }", "pack"),
        ("op f(x: [n]) -> [n] { y[s..] = x[s..] }", "single axis"),
        ("op f(x: [n]) -> [n] { y = x[0] }", "without indices"),
        ("fn f(x) = x[i]", "without indices"),
    ],
    "E-INTEGER": [
        ("op f(x: [n]) -> [n] { y[i] = x[i / 2] }", "//"),
        ("op f(x: [n], z: [n]) -> [n] { y[i] = x[z[i]] }", "integer"),
        ("op f(x: [n]) -> [n] { y[i] = x[0.5] }", "1/2"),
        ("op f[a: real](x: [n]) -> [n] { y[i] = x[a] }", "real attribute"),
    ],
    "E-KIND": [
        ("fn f(x) = x + (x > 0)", "condition"),
        ("fn f(x) = select(x, 1, 0)", "condition"),
        ("op f(m: bool [n]) -> [n] { y[i] = m[i] }", "select"),
        ("op f(x: [n]) -> int [n] { y[i] = 1 }", "integer result"),
        ("fn f(x) {\n require x > 0\n y = x\n}", "where"),
        ("op f(m: bool [n]) -> bool [n] { y[i] = m[i] == m[i] }", "not compared"),
    ],
    "E-EXTENT": [
        ("op f(x: [n]) -> [] { y[] = sum(j) x[2*j] }", "j < n"),
        ("op f(x: [n]) -> [n] { y[i < n] = x[i] }", "are declared"),
        ("op f(x: [n]) -> [n] {\n vjp x[i < n] = g[i]\n y[i] = x[i]\n}", "are declared"),
        ("op f(x: [n], k: int []) -> [n] {\n let m[i < k[]] = i\n y[i] = x[i] * m[0]\n}", "sizes and attributes"),
    ],
    "E-DUPLICATE": [
        ("fn f(x) {\n y = x\n y = 2 * x\n}", "twice"),
        ("fn f(x) {\n y = x\n vjp x = g\n vjp x = g\n}", "twice"),
        ("fn f(x) {\n y = x\n jvp y = dx\n jvp y = dx\n}", "twice"),
        ("fn f(x) {\n y = x\n runs y = x\n runs y = x\n}", "twice"),
        ("fn f(x) = x\nfn f(z) = z", "twice"),
        ("op f(x: [n]) -> [] { y[] = sum(j, j) x[j] }", "twice"),
    ],
    "E-NO-DEFINITION": [("op f(x: [n]) -> [n] { require n >= 1 }", "no definition")],
    "E-TARGET": [("op f(x: [n]) -> [n] { z[i] = x[i] }", "`y`")],
    "E-VJP": [
        ("op f(i0: int [n], x: [n]) -> [n] { y[i] = x[i] * i0[i]  vjp i0[i] = g[i] }", "int"),
        ("op f(const x: [n]) -> [n] { y[i] = x[i]  vjp x[i] = g[i] }", "const"),
        ("fn f(x, const w) {\n y = x * w\n vjp w = g * x\n}", "const"),
        ("op f(x: [n]) -> bool [n] { y[i] = x[i] > 0  vjp x[i] = 0 }", "boolean"),
    ],
    "E-NAME-CLASH": [
        ("fn f(x, x) = x", "`x`"),
        ("fn f(g) = g", "cotangent"),
        ("fn f(y) = y", "output"),
        ("fn f(x, dx) = x + dx", "tangent"),
        ("fn f[x](x) = x", "`x`"),
        ("op f(n: [n]) -> [n] { y[i] = n[i] }", "size"),
        ("op f(x: [n]) -> [n] { y[n] = x[n] }", "size"),
        ("op f(x: [n]) -> [n] { y[i] = sum(x) 1 }", "tensor"),
        ("op f(x: [n]) -> [n] { let x[i] = x[i]  y[i] = x[i] }", "already"),
    ],
    "E-FORMULA": [
        ("fn f(x) = x * detach(x)", "holds `x` constant"),
        ("fn w(x, const c) = c * x\nfn f(x) = w(x, x)", "holds `c` constant"),
    ],
    "E-ATTRIBUTE": [("fn f[k = 1/2](x) = x * k", "integer")],
    "E-POWER": [("fn f(x) = x^1000", "64")],
    "E-GUARD": [("op f(x: [n, m]) -> [] { y[] = max(i, j | i < j) x[i, j] }", "max")],
    "E-DIVISION-BY-ZERO": [("op f(x: [n]) -> [n] { y[i] = x[i // 0] }", "0")],
}


@pytest.mark.parametrize(("code", "text", "word"), [(c, t, w) for c, cases in REFUSED.items() for t, w in cases])
def test_mistakes_have_a_code_a_place_and_words(code: str, text: str, word: str) -> None:
    with pytest.raises(Diagnostic) as caught:
        load_text(text)
    assert caught.value.code == code
    assert word in f"{caught.value.message} {caught.value.advice}"
    assert caught.value.span is not None
    assert "^" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("fn f(x, z) = x", "`z`"),
        ("fn f[k](x) = x", "`k`"),
        ("op f(x: [n]) -> [n] { let m[] = sum(j) x[j]  y[i] = x[i] }", "`m`"),
    ],
)
def test_what_is_never_read_is_reported(text: str, word: str) -> None:
    (warning,) = load_text(text).warnings
    assert warning.code == "W-UNUSED"
    assert word in warning.message


def test_a_deep_formula_is_refused_and_a_long_one_is_not() -> None:
    with pytest.raises(Diagnostic):
        load_text("fn f(x) = " + "exp(" * 100 + "x" + ")" * 100)
    assert isinstance(op("fn f(x) = " + " + ".join(["x"] * 90)).forward.body, Add)


def test_overloads_have_names_of_their_own() -> None:
    text = "op f(x: [n]) -> [] { y[] = sum(i) x[i] }\nop f[axis](x: [A..(axis), n, B..]) -> [A.., B..] {\n"
    text += "  y[a.., b..] = sum(i) x[a.., i, b..]\n}\nop f(x: [n, m]) -> [n] { y[i] = sum(j) x[i, j] }"
    names = list(load_text(text).ops)
    assert names == ["f", "f[axis]", "f([n, m])"]
    assert {base_name(name) for name in names} == {"f"}


# The prelude.


def test_every_stanza_of_the_prelude_has_a_doc_and_reads_all_it_declares() -> None:
    library = prelude()
    assert len(library.ops) > 90
    assert [op.name for op in library.ops.values() if not op.doc] == []
    for sign in (
        "+",
        "-",
        "*",
        "/",
        "^",
        "@",
        "neg",
        "new axes",
        "axis of 1",
        "literal",
        "<",
        "<=",
        "==",
        "not",
        "and",
    ):
        assert library.sign(sign) in library.overloads


@pytest.mark.parametrize("name", sorted(name for name, found in prelude().ops.items() if not found.lawful))
def test_a_shown_formula_reads_back(name: str) -> None:
    """The text of a meaning, put into the stanza, means the same."""
    found = prelude().ops[name]
    stanza = f"op f{show_signature(found)[len(base_name(name)) :]} {{ {show_formula(found.forward)} }}"
    again = op(stanza)
    assert show_formula(again.forward) == show_formula(found.forward)
    assert again.forward.extents == found.forward.extents
    assert again.params == found.params


def test_bound_names_are_printed_apart_where_they_meet() -> None:
    x = Read("x", (n("j#1"), n("j#2")))
    inner = Reduce("sum", "j#2", n("n"), IntCmp(">=", n("j#2") - n("j#1") - 1), x)
    term = Reduce("sum", "j#1", n("n"), IntCmp("==", n("j#1") - 3), inner)
    assert show(term) == "sum(j < n | j == 3) sum(j2 < n | j < j2) x[j, j2]"
    assert show(RealCmp("<", Num(Fraction(-1, 3)), Read("eps", ()))) == "-1/3 < eps"
