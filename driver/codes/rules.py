"""Codes of the obligations of operators (JVP and VJP are claims of loops too, SHAPE and DOM of graphs)."""

from __future__ import annotations

from gradproof.codes import Code


class Shape(Code):
    """Every read is in bounds, requirements hold, and declared shapes are the inferred ones: for all sizes.

    ## Why
    A read out of bounds has no value. The counterexample gives the smallest sizes at which it happens; a `require` of
    the operator, or an `assume` about sizes in a graph, keeps away from them.

    ## Example
    ```gproof
    op steps(const x: [n]) -> [n] { y[i] = x[i + 1] - x[i] }
    ```

    ## Instead
    ```gproof
    op steps(const x: [n + 1]) -> [n] { y[i] = x[i + 1] - x[i] }
    ```
    """

    code = "SHAPE"


class Jvp(Code):
    """The jvp is the derivative of the formula, along every direction.

    ## Why
    A written `jvp` is compared with the derivative of the meaning, as the calculus gives it: for all sizes, wherever
    the formula is differentiable. What is not written is derived.

    ## Example
    ```gproof
    fn third(x) {
      y = x^3
      vjp x = 3 * x^2 * g
      jvp y = 3 * x * dx
    }
    ```

    ## Instead
    ```gproof
    fn third(x) {
      y = x^3
      vjp x = 3 * x^2 * g
      jvp y = 3 * x^2 * dx
    }
    ```
    """

    code = "JVP"


class Vjp(Code):
    """The vjp is the transpose of the derivative: `<jvp(x, dx), g> = <dx, vjp(x, g)>` for all dx and g.

    ## Why
    This is the backward rule. It fails where a sum over a broadcast axis is missing, an index is in the wrong place, a
    factor, a sign or the cotangent `g` is left out. The counterexample shows one entry, with the value that the
    derivative has there and the value that the rule gives.

    ## Example
    ```gproof
    op scaled_rows(x: [n, d], w: [d]) -> [n, d] {
      require n >= 1
      y[i, j] = x[i, j] * w[j]
      vjp w[j] = g[0, j] * x[0, j]
    }
    ```

    ## Instead
    ```gproof
    op scaled_rows(x: [n, d], w: [d]) -> [n, d] {
      y[i, j] = x[i, j] * w[j]
      vjp w[j] = sum(i) g[i, j] * x[i, j]
    }
    ```
    """

    code = "VJP"


class Kink(Code):
    """Where the formula has no derivative, the value used is a Clarke subgradient; where it jumps, that is declared.

    ## Why
    At a tie (`x = 0` of `abs`, two equal largest entries) the rule must be a convex combination of the derivatives on
    the sides of the tie. A value declared by `at` must be the one that is used. A jump has no derivative: it is
    declared by `jump at`. A graph that branches on its own values makes this claim too.

    ## Example
    ```gproof
    fn stairs(x) = floor(x)
    ```

    ## Instead
    ```gproof
    fn stairs(x) {
      y = floor(x)
      jump at x = floor(x): 0
    }
    ```
    """

    code = "KINK"


class Runs(Code):
    """The formula that runs equals the meaning.

    ## Why
    `runs` is a form that is stable, or quicker, in floating point. Over the real numbers it must be the same function.

    ## Example
    ```gproof
    fn softened(x) {
      y = log(1 + exp(x))
      runs y = max(x, 0) + log(1 + exp(abs(x)))
    }
    ```

    ## Instead
    ```gproof
    fn softened(x) {
      y = log(1 + exp(x))
      runs y = max(x, 0) + log(1 + exp(-abs(x)))
    }
    ```
    """

    code = "RUNS"


class Dom(Code):
    """Every partial function is applied inside its domain, forward and backward.

    ## Why
    `log`, `/`, `sqrt` and real powers have no value everywhere. Of an operator: what runs is defined wherever the
    meaning is, and the rules wherever the calculus's derivative is. Where that has no value but the formula has finite
    slopes, as a norm at the origin, rules that are written are tried at points. Of a graph: each operator gets what
    its `where` asks for, under the `assume`s.

    ## Example
    ```gproof
    dim B
    graph nll(p: f32[B]) -> f32[B] { return -log(p) }
    ```

    ## Instead
    ```gproof
    dim B
    graph nll(p: f32[B]) -> f32[B] {
      assume p > 0
      return -log(p)
    }
    ```
    """

    code = "DOM"


class Post(Code):
    """What an `ensure` says holds, for all inputs that the assumes allow.

    ## Why
    Bounds are shown by intervals, statements about entries by putting the formulas together. What an operator
    ensures of an integer result is known wherever a graph uses it.

    ## Example
    ```gproof
    dim B
    graph penalty(x: f32[B]) -> f32[] {
      s = sum(x * x)
      ensure s > 0
      return s
    }
    ```

    ## Instead
    ```gproof
    dim B
    graph penalty(x: f32[B]) -> f32[] {
      s = sum(x * x)
      ensure s >= 0
      return s
    }
    ```
    """

    code = "POST"


class Symmetric(Code):
    """An operator's second derivative is symmetric: forward over reverse is reverse over forward (`--order 2`).

    ## Why
    It fails where a rule is the gradient of no function. Where the first derivative is proved it follows; here it is
    shown from the rules that run.

    ## Example
    ```python
    from gradproof.compiler.elaborate import load_text
    from gradproof.verifier.symmetry import symmetry_verdict
    text = "op f(x: [n]) -> [] { y[] = sum(i) x[i]^2  vjp x[i] = g[] * sum(j | j < i) x[j] }"
    verdicts = [symmetry_verdict(load_text(text).ops["f"], 2.0)]
    ```

    ## Instead
    ```python
    from gradproof.compiler.elaborate import load_text
    from gradproof.verifier.symmetry import symmetry_verdict
    text = "op f(x: [n]) -> [] { y[] = sum(i) x[i]^2  vjp x[i] = 2 * g[] * x[i] }"
    verdicts = [symmetry_verdict(load_text(text).ops["f"], 2.0)]
    ```
    """

    code = "SYMM"
