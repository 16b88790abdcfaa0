"""Codes of the clauses of an operator."""

from __future__ import annotations

from gradproof.codes import Code


class NoDefinition(Code):
    """An operator without its meaning.

    ## Why
    Everything that is proved of an operator is proved against one formula, `y[...] = ...`.

    ## Example
    ```gproof
    op total(x: [n]) -> [] {
      vjp x[i] = g[]
    }
    ```

    ## Instead
    ```gproof
    op total(x: [n]) -> [] {
      y[] = sum(i) x[i]
      vjp x[i] = g[]
    }
    ```
    """

    code = "E-NO-DEFINITION"


class Target(Code):
    """The left side of a formula, or of a statement, is not what it must be.

    ## Why
    The result of an operator is called `y`; a statement of a graph gives its value a name.

    ## Example
    ```gproof
    op total(x: [n]) -> [] { z[] = sum(i) x[i] }
    ```

    ## Instead
    ```gproof
    op total(x: [n]) -> [] { y[] = sum(i) x[i] }
    ```
    """

    code = "E-TARGET"


class RunsWith(Code):
    """`runs with` gives intermediates and no formula for the result.

    ## Example
    ```gproof
    op scores(x: [n]) -> [n] {
      require n >= 1
      y[i] = exp(x[i]) / sum(j) exp(x[j])
      runs with m[] = max(j) x[j]
    }
    ```

    ## Instead
    ```gproof
    op scores(x: [n]) -> [n] {
      require n >= 1
      y[i] = exp(x[i]) / sum(j) exp(x[j])
      runs with m[] = max(j) x[j]
           y[i] = exp(x[i] - m[]) / sum(j) exp(x[j] - m[])
    }
    ```
    """

    code = "E-RUNS"


class NoGradient(Code):
    """A rule for something that has no gradient.

    ## Why
    Integers, conditions and inputs marked `const` are not differentiated, nor is an operator whose result is not real.

    ## Example
    ```gproof
    op lookup(x: [n], i: int []) -> [] {
      require 0 <= i[] < n
      y[] = x[i[]]
      vjp i[] = 0
    }
    ```

    ## Instead
    ```gproof
    op lookup(x: [n], i: int []) -> [] {
      require 0 <= i[] < n
      y[] = x[i[]]
    }
    ```
    """

    code = "E-VJP"


class LeastForm(Code):
    """`least at` that does not say which value of the output is its least.

    ## Example
    ```gproof
    op length(x: [n]) -> [] {
      y[] = sqrt(sum(i) x[i]^2)
      least at x[0] = 0
    }
    ```

    ## Instead
    ```gproof
    op length(x: [n]) -> [] {
      y[] = sqrt(sum(i) x[i]^2)
      least at y[] = 0
      vjp x[i] = select(y[] == 0, 0, g[] * x[i] / y[])
    }
    ```
    """

    code = "E-KINK"


class EnsureForm(Code):
    """An `ensure` of an operator that does not say which entries of the result it is about.

    ## Why
    It holds for every entry: `y` is read at one bare index for each axis.

    ## Example
    ```gproof
    op squares(x: [n]) -> [n] {
      ensure n >= 0
      y[i] = x[i]^2
    }
    ```

    ## Instead
    ```gproof
    op squares(x: [n]) -> [n] {
      ensure y[i] >= 0
      y[i] = x[i]^2
    }
    ```
    """

    code = "E-ENSURE"


class ExternForm(Code):
    """An `extern` that can't stand as it does.

    ## Why
    Where a kernel computes the result, no formula says what the derivative is: the `vjp` must be written, and the laws
    prove it.

    ## Example
    ```gproof
    op inverse_of(a: [n, n]) -> [n, n] {
      extern y = "linalg.inv"(a)
      law sum(k) a[i, k] * y[k, j] == select(i == j, 1, 0)
      adjoint sum(k) y[k, i] * g[k, j]
    }
    ```

    ## Instead
    ```gproof
    op inverse_of(a: [n, n]) -> [n, n] {
      extern y = "linalg.inv"(a)
      law sum(k) a[i, k] * y[k, j] == select(i == j, 1, 0)
      adjoint sum(k) y[k, i] * g[k, j]
      law sum(k) y[i, k] * a[k, j] == select(i == j, 1, 0)
      vjp a[i, j] = -sum(k, l) y[k, i] * g[k, l] * y[j, l]
    }
    ```
    """

    code = "E-EXTERN"


class LawForm(Code):
    """A `law` that is no equation about what an extern computes, or an `adjoint` that belongs to none.

    ## Example
    ```gproof
    op same(a: [n]) -> [n] {
      y[i] = a[i]
      law y[i] == a[i]
    }
    ```

    ## Instead
    ```gproof
    op same(a: [n]) -> [n] {
      y[i] = a[i]
    }
    ```
    """

    code = "E-LAW"


class DefaultForm(Code):
    """The default of an input that can't be one.

    ## Why
    It is a call of an operator on inputs before it, and inputs that may be left out stand last.

    ## Example
    ```gproof
    op weighed(w: [n] = relu(x), x: [n]) -> [n] { y[i] = w[i] * x[i] }
    ```

    ## Instead
    ```gproof
    op weighed(x: [n], w: [n] = relu(x)) -> [n] { y[i] = w[i] * x[i] }
    ```
    """

    code = "E-DEFAULT"


class Attribute(Code):
    """An attribute with a value that it can't have.

    ## Why
    An attribute is an integer unless it is declared `: real`. `reduction=` and `keepdims=` take certain words.

    ## Example
    ```gproof
    fn scaled[by = 1/2](x) = by * x
    ```

    ## Instead
    ```gproof
    fn scaled[by: real = 1/2](x) = by * x
    ```
    """

    code = "E-ATTRIBUTE"
