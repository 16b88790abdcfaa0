"""Codes of GraphBuilder, which makes graphs in Python."""

from __future__ import annotations

from gradproof.codes import Code


class NoName(Code):
    """A text that is no name.

    ## Example
    ```python
    import gradproof as gp
    b = gp.GraphBuilder("f")
    b.input("x-1", "f32", (3,))
    ```

    ## Instead
    ```python
    import gradproof as gp
    b = gp.GraphBuilder("f")
    x = b.input("x1", "f32", (3,))
    report = gp.verify(b.build(b.relu(x)))
    ```
    """

    code = "E-NAME"


class Foreign(Code):
    """A variable of another graph.

    ## Example
    ```python
    import gradproof as gp
    b, other = gp.GraphBuilder("f"), gp.GraphBuilder("other")
    x = b.input("x", "f32", (3,))
    b.add(x, other.input("z", "f32", (3,)))
    ```

    ## Instead
    ```python
    import gradproof as gp
    b = gp.GraphBuilder("f")
    x = b.input("x", "f32", (3,))
    report = gp.verify(b.build(b.add(x, b.input("z", "f32", (3,)))))
    ```
    """

    code = "E-FOREIGN"


class LateInput(Code):
    """An input is declared after something was computed.

    ## Why
    The leaves of a graph have the first ids, so the inputs come first.

    ## Example
    ```python
    import gradproof as gp
    b = gp.GraphBuilder("f")
    h = b.relu(b.input("x", "f32", (3,)))
    b.input("w", "f32", (3,))
    ```

    ## Instead
    ```python
    import gradproof as gp
    b = gp.GraphBuilder("f")
    x, w = b.input("x", "f32", (3,)), b.input("w", "f32", (3,))
    report = gp.verify(b.build(b.relu(x) * w))
    ```
    """

    code = "E-LATE-INPUT"


class BuilderShape(Code):
    """Sizes that can't agree, or that are below 0, in Python.

    ## Why
    The builder says at once, with the line of Python, what SHAPE would refute.

    ## Example
    ```python
    import gradproof as gp
    b = gp.GraphBuilder("f")
    x, w = b.input("x", "f32", (2, 3)), b.input("w", "f32", (4, 5))
    b.matmul(x, w)
    ```

    ## Instead
    ```python
    import gradproof as gp
    b = gp.GraphBuilder("f")
    x, w = b.input("x", "f32", (2, 3)), b.input("w", "f32", (3, 5))
    report = gp.verify(b.build(b.matmul(x, w)))
    ```
    """

    code = "E-SHAPE"
