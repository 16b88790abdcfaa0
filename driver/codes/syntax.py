"""Codes of words and signs that can't stand where they stand."""

from __future__ import annotations

from gradproof.codes import Code


class Syntax(Code):
    """Something else is expected here.

    ## Why
    No mistake that has a name of its own fits; the message says what could have stood in this place.

    ## Example
    ```gproof
    fn larger(x, z) = max(x; z)
    ```

    ## Instead
    ```gproof
    fn larger(x, z) = max(x, z)
    ```
    """

    code = "E-SYNTAX"


class Item(Code):
    """A word that begins no item of a file.

    ## Why
    A file is a list of `dim`, `fn`, `op`, `graph`, `use` and `infix`. Statements such as `return` belong inside of a
    graph.

    ## Example
    ```gproof
    def half(x): return x / 2
    ```

    ## Instead
    ```gproof
    fn half(x) = x / 2
    ```
    """

    code = "E-ITEM"


class Word(Code):
    """A word of another language, a keyword used as a name, or a misspelt keyword.

    ## Why
    Inside of an operator stand clauses (`require`, `where`, `let`, `runs`, `vjp`, ...) and formulas; inside of a graph
    stand `name = ...`, `assume`, `ensure` and `return`.

    ## Example
    ```gproof
    op clipped(x: [n]) -> [n] { y[i] = x[i] if x[i] > 0 else 0 }
    ```

    ## Instead
    ```gproof
    op clipped(x: [n]) -> [n] { y[i] = select(x[i] > 0, x[i], 0) }
    ```
    """

    code = "E-WORD"


class Sign(Code):
    """A sign is missing between two values, or stands where it can't.

    ## Why
    A product is always written `a * b`. A sign stands between two values; only `-` and `not` stand in front of one.

    ## Example
    ```gproof
    fn line(x) = 2 x + 1
    ```

    ## Instead
    ```gproof
    fn line(x) = 2 * x + 1
    ```
    """

    code = "E-SIGN"


class Unfinished(Code):
    """Something is begun and not finished: nothing follows a sign, or `=`, or `return`.

    ## Example
    ```gproof
    op shifted(x: [n]) -> [n] { y[i] = x[i] + }
    ```

    ## Instead
    ```gproof
    op shifted(x: [n]) -> [n] { y[i] = x[i] + 1 }
    ```
    """

    code = "E-UNFINISHED"


class Comma(Code):
    """A comma is missing between two values, or nothing follows one.

    ## Example
    ```gproof
    graph larger(a: f32[4], b: f32[4]) -> f32[4] { return add(a b) }
    ```

    ## Instead
    ```gproof
    graph larger(a: f32[4], b: f32[4]) -> f32[4] { return add(a, b) }
    ```
    """

    code = "E-COMMA"


class Equals(Code):
    """`=` where a comparison is meant, `==` where a definition is, or a value that is to change.

    ## Why
    `=` gives a name its meaning, once; `==` compares. Values never change, so there is no `+=`.

    ## Example
    ```gproof
    dim n
    graph total(x: f32[n]) -> f32[] {
      s = sum(x)
      s += 1
      return s
    }
    ```

    ## Instead
    ```gproof
    dim n
    graph total(x: f32[n]) -> f32[] {
      s = sum(x)
      s2 = s + 1
      return s2
    }
    ```
    """

    code = "E-EQUALS"


class Arrow(Code):
    """The type of the result, `-> ...`, is missing, or stands where there is none.

    ## Why
    An operator says the axes of its result, a graph the types of its results. A `fn` is lifted over any shape and has
    none.

    ## Example
    ```gproof
    op total(x: [n]) { y[] = sum(i) x[i] }
    ```

    ## Instead
    ```gproof
    op total(x: [n]) -> [] { y[] = sum(i) x[i] }
    ```
    """

    code = "E-ARROW"


class Body(Code):
    """A `fn` without `=` and without braces.

    ## Example
    ```gproof
    fn half(x) x / 2
    ```

    ## Instead
    ```gproof
    fn half(x) = x / 2
    ```
    """

    code = "E-BODY"


class Binder(Code):
    """`sum(...)`, `prod`, `max` or `min` over indices, without indices or without a body.

    ## Why
    In a formula these bind an index, and then comes what is taken together: `sum(j) x[j]`. The sum of a whole tensor
    belongs in a graph.

    ## Example
    ```gproof
    op total(x: [n]) -> [] { y[] = sum(i) }
    ```

    ## Instead
    ```gproof
    op total(x: [n]) -> [] { y[] = sum(i) x[i] }
    ```
    """

    code = "E-BINDER"


class At(Code):
    """`at` without the colon in front of its value.

    ## Example
    ```gproof
    fn ramp(x) { y = max(x, 0)  at x = 0 0 }
    ```

    ## Instead
    ```gproof
    fn ramp(x) { y = max(x, 0)  at x = 0: 0 }
    ```
    """

    code = "E-AT"


class Index(Code):
    """An index where none can stand: an expression on the left of a formula, or a value without a name that is read.

    ## Why
    The left side names the indices and the right side uses them: a shift is written on the right.

    ## Example
    ```gproof
    op shifted(x: [n + 1]) -> [n] { y[i - 1] = x[i] }
    ```

    ## Instead
    ```gproof
    op shifted(x: [n + 1]) -> [n] { y[i] = x[i + 1] }
    ```
    """

    code = "E-INDEX"


class ArgumentOrder(Code):
    """A value without a name stands behind a named one in a call.

    ## Example
    ```gproof
    graph rows(x: f32[4, 3]) -> f32[4] { return sum(axis=1, x) }
    ```

    ## Instead
    ```gproof
    graph rows(x: f32[4, 3]) -> f32[4] { return sum(x, axis=1) }
    ```
    """

    code = "E-ARGUMENT-ORDER"
