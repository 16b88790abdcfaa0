"""Codes of graphs, calls and loops."""

from __future__ import annotations

from gradproof.codes import Code


class Call(Code):
    """No operator of this name fits what it is given.

    ## Why
    The message lists each form of the operator and why it does not fit: the number of axes, the kind of a tensor, an
    attribute that is missing or out of range.

    ## Example
    ```gproof
    dim B, D
    graph rows(x: f32[B, D]) -> f32[B] { return sum(x, axis=2) }
    ```

    ## Instead
    ```gproof
    dim B, D
    graph rows(x: f32[B, D]) -> f32[B] { return sum(x, axis=1) }
    ```
    """

    code = "E-CALL"


class Arity(Code):
    """The wrong number of inputs, of results, or of names for them.

    ## Example
    ```gproof
    fn gap(a, b) = a - b
    graph f(x: f32[4]) -> f32[4] { return gap(x) }
    ```

    ## Instead
    ```gproof
    fn gap(a, b) = a - b
    graph f(x: f32[4]) -> f32[4] { return gap(x, 1) }
    ```
    """

    code = "E-ARITY"


class Axes(Code):
    """An axis that a tensor does not have, or one that is named twice.

    ## Example
    ```gproof
    graph turned(x: f32[2, 3]) -> f32[3, 2] { return permute(x, axes=(1, 1)) }
    ```

    ## Instead
    ```gproof
    graph turned(x: f32[2, 3]) -> f32[3, 2] { return permute(x, axes=(1, 0)) }
    ```
    """

    code = "E-AXES"


class Type(Code):
    """A type is missing or malformed, or a value has not the type that is declared.

    ## Why
    A declared type is a claim. Where the element type or the number of axes is another, the text is refused at once;
    sizes are what SHAPE proves.

    ## Example
    ```gproof
    dim B, D
    graph rows(x: f32[B, D]) -> f32[B] { return sum(x) }
    ```

    ## Instead
    ```gproof
    dim B, D
    graph rows(x: f32[B, D]) -> f32[B] { return sum(x, axis=1) }
    ```
    """

    code = "E-TYPE"


class Output(Code):
    """What a graph returns is not what it may return.

    ## Why
    As many values are returned as types are declared, and each is computed: an input that is not differentiated is no
    result.

    ## Example
    ```gproof
    graph pair(x: f32[4]) -> f32[4] { return relu(x), tanh(x) }
    ```

    ## Instead
    ```gproof
    graph pair(x: f32[4]) -> (f32[4], f32[4]) { return relu(x), tanh(x) }
    ```
    """

    code = "E-OUTPUT"


class NoOutput(Code):
    """A graph without a result.

    ## Example
    ```gproof
    graph active(x: f32[4]) -> f32[4] { h = relu(x) }
    ```

    ## Instead
    ```gproof
    graph active(x: f32[4]) -> f32[4] {
      h = relu(x)
      return h
    }
    ```
    """

    code = "E-NO-OUTPUT"


class AfterReturn(Code):
    """A statement behind `return`, which is never reached.

    ## Example
    ```gproof
    graph active(x: f32[4]) -> f32[4] {
      return relu(x)
      h = tanh(x)
    }
    ```

    ## Instead
    ```gproof
    graph active(x: f32[4]) -> f32[4] {
      h = tanh(x)
      return relu(h)
    }
    ```
    """

    code = "E-AFTER-RETURN"


class GraphForm(Code):
    """Something that has no meaning in a graph: an entry of a tensor, or a bound index.

    ## Why
    A graph reads whole tensors. Formulas about entries belong in an `op`.

    ## Example
    ```gproof
    graph first(x: f32[4]) -> f32[] { return x[0] }
    ```

    ## Instead
    ```gproof
    op entry[k](x: [n]) -> [] {
      require 0 <= k < n
      y[] = x[k]
    }
    graph first(x: f32[4]) -> f32[] { return entry(x, k=0) }
    ```
    """

    code = "E-GRAPH"


class Condition(Code):
    """An `assume` or `ensure` that can't state what it says.

    ## Why
    An `assume` compares inputs, or sizes, with numbers: it is checked on every call. What is computed is stated by an
    `ensure`, which is proved.

    ## Example
    ```gproof
    graph f(x: f32[4]) -> f32[4] {
      assume 2 * x > 0
      return log(x)
    }
    ```

    ## Instead
    ```gproof
    graph f(x: f32[4]) -> f32[4] {
      assume x > 0
      return log(x)
    }
    ```
    """

    code = "E-BOUND"


class Einsum(Code):
    """The string of an `einsum` does not fit its tensors, or means nothing.

    ## Example
    ```gproof
    graph product(a: f32[2, 3], b: f32[3, 4]) -> f32[2, 4] { return einsum("ij,jk->iz", a, b) }
    ```

    ## Instead
    ```gproof
    graph product(a: f32[2, 3], b: f32[3, 4]) -> f32[2, 4] { return einsum("ij,jk->ik", a, b) }
    ```
    """

    code = "E-EINSUM"


class Scan(Code):
    """A `scan` that does not fit its body.

    ## Why
    `scan(body, states, sequences, name=fixed)`: the states come first, a tuple where there are several, then the
    sequences; what is the same at every step goes by name. The body returns its new states first, in order. A loop over
    no sequence is told its length.

    ## Example
    ```gproof
    graph step(h: f32[]) -> f32[] { return tanh(h) }
    graph settle(h0: f32[]) -> f32[] { return scan_last(step, h0) }
    ```

    ## Instead
    ```gproof
    dim T
    graph step(h: f32[]) -> f32[] { return tanh(h) }
    graph settle(h0: f32[]) -> f32[] { return scan_last(step, h0, length=T) }
    ```
    """

    code = "E-SCAN"


class NoOrder(Code):
    """A second derivative is asked for where there is none.

    ## Why
    The gradient of a loop, and of a rule that an extern computes, is no graph of operators yet.

    ## Example
    ```gproof order=2
    dim T
    graph step(h: f32[], x: f32[]) -> f32[] { return tanh(h + x) }
    graph last(h0: f32[], xs: f32[T]) -> f32[] { return scan_last(step, h0, xs) }
    ```

    ## Instead
    Ask for order 1, or write the steps out for a fixed length.

    ```gproof order=2
    graph step(h: f32[], x: f32[]) -> f32[] { return tanh(h + x) }
    graph last(h0: f32[], a: f32[], b: f32[]) -> f32[] { return step(step(h0, a), b) }
    ```
    """

    code = "E-ORDER"
