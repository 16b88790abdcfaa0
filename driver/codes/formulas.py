"""Codes of formulas."""

from __future__ import annotations

from gradproof.codes import Code


class FormulaForm(Code):
    """Something that has no meaning in a formula.

    ## Why
    A formula is about one entry of the result. Products of matrices, whole tensors and operators with attributes belong
    in graphs; in a formula one writes the sum.

    ## Example
    ```gproof
    op product(a: [m, k], b: [k, n]) -> [m, n] { y[i, j] = a @ b }
    ```

    ## Instead
    ```gproof
    op product(a: [m, k], b: [k, n]) -> [m, n] { y[i, j] = sum(l) a[i, l] * b[l, j] }
    ```
    """

    code = "E-FORMULA"


class Rank(Code):
    """A tensor is read, or defined, with the wrong number of indices, or with a plain index at a pack.

    ## Why
    There is one index for each axis; `S..` is one axis of a formula, and its index is written with dots: `s..`. A `fn`
    is written without indices.

    ## Example
    ```gproof
    op row_sum(x: [S.., n]) -> [S..] { y[s..] = sum(i) x[i] }
    ```

    ## Instead
    ```gproof
    op row_sum(x: [S.., n]) -> [S..] { y[s..] = sum(i) x[s.., i] }
    ```
    """

    code = "E-RANK"


class Kind(Code):
    """One sort of thing where another is wanted: a condition for a number, a string for a tensor, a tuple for a value.

    ## Why
    Numbers, conditions, integers, whole tensors and tuples are kept apart. A condition becomes a number by `select`.

    ## Example
    ```gproof
    op positives(x: [n]) -> [] { y[] = sum(i) (x[i] > 0) }
    ```

    ## Instead
    ```gproof
    op positives(const x: [n]) -> [] { y[] = sum(i) select(x[i] > 0, 1, 0) }
    ```
    """

    code = "E-KIND"


class WholeNumber(Code):
    """An integer is wanted: an index, a size, a length, or the value of an integer tensor.

    ## Why
    Positions and sizes are integer expressions of indices, sizes, integer attributes and integer inputs, with
    `+ - * // % min max`. `/` divides real numbers; `//` rounds down.

    ## Example
    ```gproof
    op half(x: [n]) -> [n] { y[i] = x[i / 2] }
    ```

    ## Instead
    ```gproof
    op half(x: [n]) -> [n] { y[i] = x[i // 2] }
    ```
    """

    code = "E-INTEGER"


class Extent(Code):
    """How far an index runs can't be seen.

    ## Why
    A bound index runs over the axis at which it is read alone. Where it is only read as a part of an expression, its
    extent must be said.

    ## Example
    ```gproof
    op evens(x: [n]) -> [] { y[] = sum(j) x[2*j] }
    ```

    ## Instead
    ```gproof
    op evens(x: [n]) -> [] { y[] = sum(j < (n + 1) // 2) x[2*j] }
    ```
    """

    code = "E-EXTENT"


class Guard(Code):
    """The condition of a `max` or `min` over several indices joins two of them.

    ## Why
    Such an optimum is taken index by index, and each inner one must run over something: with `i < j` it may be empty.

    ## Example
    ```gproof
    op peak(x: [n, m]) -> [] {
      require n >= 1, m >= 1
      y[] = max(i, j | i < j) x[i, j]
    }
    ```

    ## Instead
    ```gproof
    op peak(x: [n, m]) -> [] {
      require n >= 1, m >= 1
      y[] = max(i, j) x[i, j]
    }
    ```
    """

    code = "E-GUARD"


class IntegerPower(Code):
    """An integer power above the limit.

    ## Why
    Integer powers are multiplied out in proofs.

    ## Example
    ```gproof
    fn steep(x) = x^1000
    ```

    ## Instead
    ```gproof
    fn steep(x) = exp(1000 * log(x)) where x > 0
    ```
    """

    code = "E-POWER"


class DivisionByZero(Code):
    """A size or an index is divided by 0.

    ## Example
    ```gproof
    op blocks(x: [n]) -> [n] { y[i] = x[i // 0] }
    ```

    ## Instead
    ```gproof
    op blocks(x: [n]) -> [n] { y[i] = x[i // 2] }
    ```
    """

    code = "E-DIVISION-BY-ZERO"
