"""Codes of texts that can't be read at all."""

from __future__ import annotations

from gradproof.codes import Code


class Unreadable(Code):
    """The file can't be read.

    ## Why
    It does not exist, is a folder, or may not be opened. A path is taken from the folder that the command runs in.

    ## Example
    ```python
    import gradproof as gp
    gp.compile("nowhere/model.gproof")
    ```

    ## Instead
    ```python
    import gradproof as gp
    from pathlib import Path
    Path("model.gproof").write_text("fn twice(x) = 2 * x")
    report = gp.verify("model.gproof")
    ```
    """

    code = "E-READ"


class Encoding(Code):
    r"""The text is not UTF-8, or holds a NUL byte.

    ## Why
    A program is text in UTF-8. Another encoding, or a file that is no text, can't be guessed at: a wrong guess would
    change the program.

    ## Example
    ```python
    import gradproof as gp
    gp.compile("fn twice(x) = 2 * x \0")
    ```

    ## Instead
    ```python
    import gradproof as gp
    report = gp.verify("fn twice(x) = 2 * x  # any UTF-8 is fine in a comment: \u2202")
    ```
    """

    code = "E-ENCODING"


class Character(Code):
    """A character that means nothing in this language.

    ## Why
    Names are letters, digits and `_`. Typographic signs that were pasted from a page (curly quotes, a long dash, a
    multiplication dot) are not the signs that they look like.

    ## Example
    ```gproof
    fn half(x) = x ÷ 2
    ```

    ## Instead
    ```gproof
    fn half(x) = x / 2
    ```
    """

    code = "E-CHARACTER"


class Bracket(Code):
    """A round or square bracket that is not closed, closes nothing, or is closed by another kind.

    ## Example
    ```gproof
    op total(x: [n]) -> [] { y[] = sum(i) x[i) }
    ```

    ## Instead
    ```gproof
    op total(x: [n]) -> [] { y[] = sum(i) x[i] }
    ```
    """

    code = "E-BRACKET"


class Brace(Code):
    """A body's `{` or `}` is missing.

    ## Why
    The body of an operator or a graph stands in braces. Where one is left open, the next item would be a part of it.

    ## Example
    ```gproof
    op total(x: [n]) -> [] { y[] = sum(i) x[i]

    fn half(x) = x / 2
    ```

    ## Instead
    ```gproof
    op total(x: [n]) -> [] { y[] = sum(i) x[i] }

    fn half(x) = x / 2
    ```
    """

    code = "E-BRACE"


class Quoted(Code):
    """A text in quotes is missing, or not closed on its line.

    ## Example
    ```gproof
    graph product(a: f32[2, 3], b: f32[3, 4]) -> f32[2, 4] { return einsum("ij,jk->ik, a, b) }
    ```

    ## Instead
    ```gproof
    graph product(a: f32[2, 3], b: f32[3, 4]) -> f32[2, 4] { return einsum("ij,jk->ik", a, b) }
    ```
    """

    code = "E-STRING"


class Number(Code):
    """A number that can't be read, has no value, or is outside of what its place allows.

    ## Why
    Numbers are exact: decimals and quotients are kept as rationals, so their digits are limited, a division by 0 has
    no value, and a probability or a seed must be one.

    ## Example
    ```gproof
    graph masked(x: f32[4], const m: f32[4] = bernoulli(seed=1, p=3/2)) -> f32[4] { return x * m }
    ```

    ## Instead
    ```gproof
    graph masked(x: f32[4], const m: f32[4] = bernoulli(seed=1, p=1/2)) -> f32[4] { return x * m }
    ```
    """

    code = "E-NUMBER"


class Nesting(Code):
    """Brackets or expressions are nested too deeply.

    ## Why
    The limit keeps a text that a program wrote from exhausting the stack of the one that reads it.

    ## Example
    ```python
    import gradproof as gp
    gp.compile("fn deep(x) = " + "(" * 1000 + "x" + ")" * 1000)
    ```

    ## Instead
    Give inner parts names of their own.

    ```gproof
    op flat(x: [n]) -> [n] {
      let a[i] = exp(-x[i]) + 1
      y[i] = 1 / a[i]
    }
    ```
    """

    code = "E-NESTING"


class Empty(Code):
    """There is nothing to prove in the text.

    ## Why
    A gate that finds no program must not say that all is proved.

    ## Example
    ```gproof
    dim B >= 1
    ```

    ## Instead
    ```gproof
    dim B >= 1

    graph total(x: f32[B]) -> f32[] { return sum(x) }
    ```
    """

    code = "E-EMPTY"
