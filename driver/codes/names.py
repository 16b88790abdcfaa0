"""Codes of names, files and sizes."""

from __future__ import annotations

from gradproof.codes import Code


class UnknownName(Code):
    """A name that nothing declares.

    ## Why
    Every tensor, index, size, function, operator and graph is declared before it means something. The message names
    the nearest one that is known here.

    ## Example
    ```gproof
    graph active(x: f32[4]) -> f32[4] { return rleu(x) }
    ```

    ## Instead
    ```gproof
    graph active(x: f32[4]) -> f32[4] { return relu(x) }
    ```
    """

    code = "E-UNKNOWN-NAME"


class Duplicate(Code):
    """The same thing is declared, defined or given twice.

    ## Example
    ```gproof
    op total(x: [n]) -> [] {
      y[] = sum(i) x[i]
      y[] = 0
    }
    ```

    ## Instead
    ```gproof
    op total(x: [n]) -> [] {
      y[] = sum(i) x[i]
    }
    ```
    """

    code = "E-DUPLICATE"


class NameClash(Code):
    """A name that already means something of another sort here.

    ## Why
    A letter is one thing within a stanza: a size, an attribute, a tensor or an index. `y` is the result, `g` its
    cotangent, `dx` the tangent of `x`.

    ## Example
    ```gproof
    op total(x: [n]) -> [] { y[] = sum(n) x[n] }
    ```

    ## Instead
    ```gproof
    op total(x: [n]) -> [] { y[] = sum(i) x[i] }
    ```
    """

    code = "E-NAME-CLASH"


class Use(Code):
    """`use` names a file that can't be used.

    ## Why
    The path is relative to the file that says `use`, and must not lead out of the folder of the first file: a program
    and what it uses travel together.

    ## Example
    ```gproof main.gproof
    use "layer.gproof"
    graph active(x: f32[4]) -> f32[4] { return gated(x) }
    ```
    ```gproof layers.gproof
    fn gated(x) = x / (1 + exp(-x))
    ```

    ## Instead
    ```gproof main.gproof
    use "layers.gproof"
    graph active(x: f32[4]) -> f32[4] { return gated(x) }
    ```
    ```gproof layers.gproof
    fn gated(x) = x / (1 + exp(-x))
    ```
    """

    code = "E-USE"


class UseCycle(Code):
    """Files that use each other in a circle.

    ## Example
    ```gproof main.gproof
    use "layers.gproof"
    fn gated(x) = x * squashed(x)
    ```
    ```gproof layers.gproof
    use "main.gproof"
    fn squashed(x) = 1 / (1 + exp(-x))
    ```

    ## Instead
    ```gproof main.gproof
    use "layers.gproof"
    fn gated(x) = x * squashed(x)
    ```
    ```gproof layers.gproof
    fn squashed(x) = 1 / (1 + exp(-x))
    ```
    """

    code = "E-USE-CYCLE"


class Recursion(Code):
    """Functions or graphs that call each other in a circle.

    ## Why
    A formula is unfolded until only known functions are left, and a graph's calls are inlined: a circle has no end.
    Steps that are repeated are a `scan`.

    ## Example
    ```gproof
    fn half(x) = other(x) / 2
    fn other(x) = half(x) + 1
    ```

    ## Instead
    ```gproof
    fn half(x) = x / 2
    fn other(x) = half(x) + 1
    ```
    """

    code = "E-RECURSION"


class NoInfix(Code):
    """A sign of a graph that no operator stands for.

    ## Why
    In a graph the signs are operators of the library, which `infix` declares. A library in which nothing is declared
    for a sign has no meaning for it.

    ## Example
    ```python
    from dataclasses import replace
    from gradproof.compiler.draft import Draft
    from gradproof.compiler.library import prelude
    from gradproof.grammar.source import BUILTIN
    bare = replace(prelude(), infix={})
    Draft("f", bare, {}, print).role("+", BUILTIN)
    ```

    ## Instead
    ```gproof
    op added(a: [S..], b: [S..]) -> [S..] { y[s..] = a[s..] + b[s..] }
    infix "+" added
    graph twice(x: f32[4]) -> f32[4] { return x + x }
    ```
    """

    code = "E-INFIX"


class DimDeclaration(Code):
    """A size that can't be: below 0, with an upper bound, or made of itself.

    ## Example
    ```gproof
    dim B < 8
    graph total(x: f32[B]) -> f32[] { return sum(x) }
    ```

    ## Instead
    ```gproof
    dim B
    graph total(x: f32[B]) -> f32[] {
      assume B < 8
      return sum(x)
    }
    ```
    """

    code = "E-DIM"


class TooLarge(Code):
    """A formula or a graph grows beyond the limit when its calls are unfolded.

    ## Why
    Functions that call functions twice, and graphs that call graphs, double at each level.

    ## Example
    ```python
    import gradproof as gp
    lines = [f"fn f{k + 1}(x) = exp(f{k}(x)) * f{k}(x)" for k in range(60)]
    gp.compile("fn f0(x) = x" + chr(10) + chr(10).join(lines))
    ```

    ## Instead
    In a graph a value is computed once, however often it is used.

    ```gproof
    fn step(x) = tanh(x) * x
    graph tower(x: f32[4]) -> f32[4] {
      a = step(x)
      b = step(a)
      return step(b)
    }
    ```
    """

    code = "E-TOO-LARGE"


class TooDeep(Code):
    """A formula is nested too deeply to be worked on.

    ## Example
    ```python
    import gradproof as gp
    gp.compile("fn deep(x) = " + "exp(" * 90 + "x" + ")" * 90)
    ```

    ## Instead
    ```gproof
    op flat(x: [n]) -> [n] {
      let a[i] = exp(-x[i])
      y[i] = exp(-a[i])
    }
    ```
    """

    code = "E-TOO-DEEP"


class Unused(Code):
    """A warning: something is declared and never used.

    ## Why
    An input that the result does not depend on is most often a mistake in the formula. A name that begins with `_` in
    a graph may stay unused.

    ## Example
    ```gproof
    dim B, D
    graph total(x: f32[B]) -> f32[] { return sum(x) }
    ```

    ## Instead
    ```gproof
    dim B
    graph total(x: f32[B]) -> f32[] { return sum(x) }
    ```
    """

    code = "W-UNUSED"


class Shadowed(Code):
    """A warning: a name hides another of the same name.

    ## Example
    ```gproof
    graph twice(x: f32[4]) -> f32[4] {
      h = relu(x)
      h = h + h
      return h
    }
    ```

    ## Instead
    ```gproof
    graph twice(x: f32[4]) -> f32[4] {
      h = relu(x)
      twice_h = h + h
      return twice_h
    }
    ```
    """

    code = "W-SHADOWED"
