"""Codes of the obligations of graphs: what no text can get wrong, and this program could.

Their examples break a part of gradproof on purpose; a user who meets one of these refuted should report it.
"""

from __future__ import annotations

from gradproof.codes import Code


class WellFormed(Code):
    """Ids are positions, arities fit, names are defined once and before use.

    ## Why
    Everything else is claimed of a graph in this form. A graph from a text or from the builder has it; one that was put
    together by hand may not.

    ## Example
    ```python
    from dataclasses import replace
    from gradproof.compiler.elaborate import load_text
    from gradproof.compiler.graph import Ref
    from gradproof.compiler.obligations import own_claims
    from gradproof.verifier.dense import prove_tape
    graph = load_text("graph f(x: f32[4]) -> f32[4] { return exp(tanh(x)) }").graphs["f"]
    x, tanh, exp = graph.nodes
    graph = replace(graph, nodes=(x, replace(tanh, args=(Ref(2),)), exp))  # reads what is computed after it
    verdicts = prove_tape(graph, [c for c in own_claims(graph) if c.code == "WF"])
    ```

    ## Instead
    ```python
    from gradproof.compiler.elaborate import load_text
    from gradproof.compiler.obligations import own_claims
    from gradproof.verifier.dense import prove_tape
    graph = load_text("graph f(x: f32[4]) -> f32[4] { return exp(tanh(x)) }").graphs["f"]
    verdicts = prove_tape(graph, [c for c in own_claims(graph) if c.code == "WF"])
    ```
    """

    code = "WF"


class Edges(Code):
    """Every edge, forward and backward, points to an earlier value, and every node requires its gradient.

    ## Why
    The dense reverse loop visits each node once, from the last to the first. A contribution that is sent to a later
    node would come too late.

    ## Example
    ```python
    from dataclasses import replace
    from gradproof.compiler.elaborate import load_text
    from gradproof.compiler.obligations import own_claims
    from gradproof.runtime.tape import Tape
    from gradproof.verifier.dense import prove_tape
    def careless(graph, semantics):
        tape = Tape.of(graph, semantics)
        return replace(tape, nodes=(*tape.nodes[:-1], replace(tape.nodes[-1], requires_grad=False)))
    graph = load_text("graph f(x: f32[4]) -> f32[4] { return exp(tanh(x)) }").graphs["f"]
    verdicts = prove_tape(graph, [c for c in own_claims(graph) if c.code == "EDGE"], careless, entries=False)
    ```

    ## Instead
    ```python
    from gradproof.compiler.elaborate import load_text
    from gradproof.compiler.obligations import own_claims
    from gradproof.verifier.dense import prove_tape
    graph = load_text("graph f(x: f32[4]) -> f32[4] { return exp(tanh(x)) }").graphs["f"]
    verdicts = prove_tape(graph, [c for c in own_claims(graph) if c.code == "EDGE"])
    ```
    """

    code = "EDGE"


class Forward(Code):
    """The tape's value table equals the denotation's, in id order; of a loop, its table by induction over the steps.

    ## Why
    The tape is run on uninterpreted tensors and compared, node by node, with an independent definition of the values.

    ## Example
    ```python
    from dataclasses import replace
    from gradproof.compiler.elaborate import load_text
    from gradproof.compiler.obligations import own_claims
    from gradproof.runtime.tape import Tape
    from gradproof.verifier.dense import prove_tape
    def careless(graph, semantics):
        tape = Tape.of(graph, semantics)
        last = replace(tape.nodes[-1], value=lambda values: values.nodes[0])
        return replace(tape, nodes=(*tape.nodes[:-1], last))
    graph = load_text("graph f(x: f32[4]) -> f32[4] { return exp(tanh(x)) }").graphs["f"]
    verdicts = prove_tape(graph, [c for c in own_claims(graph) if c.code == "FWD"], careless, entries=False)
    ```

    ## Instead
    ```python
    from gradproof.compiler.elaborate import load_text
    from gradproof.compiler.obligations import own_claims
    from gradproof.verifier.dense import prove_tape
    graph = load_text("graph f(x: f32[4]) -> f32[4] { return exp(tanh(x)) }").graphs["f"]
    verdicts = prove_tape(graph, [c for c in own_claims(graph) if c.code == "FWD"])
    ```
    """

    code = "FWD"


class Dense(Code):
    """The dense reverse loop is full backpropagation: with the additions in the same order, and in any order.

    ## Why
    The reverse loop of the tape is run on symbols and compared with the sum over all uses of each value, the chain
    rule.

    ## Example
    ```python
    from dataclasses import replace
    from gradproof.compiler.elaborate import load_text
    from gradproof.compiler.obligations import own_claims
    from gradproof.runtime.tape import Tape
    from gradproof.verifier.dense import prove_tape
    def careless(graph, semantics):
        tape = Tape.of(graph, semantics)
        product = tape.nodes[-1]
        one = replace(product, backward=lambda values, g: product.backward(values, g)[:1])  # forgets a use
        return replace(tape, nodes=(*tape.nodes[:-1], one))
    graph = load_text("graph f(x: f32[4]) -> f32[4] { return x * x }").graphs["f"]
    verdicts = prove_tape(graph, [c for c in own_claims(graph) if c.code == "DENSE"], careless, entries=False)
    ```

    ## Instead
    ```python
    from gradproof.compiler.elaborate import load_text
    from gradproof.compiler.obligations import own_claims
    from gradproof.verifier.dense import prove_tape
    graph = load_text("graph f(x: f32[4]) -> f32[4] { return x * x }").graphs["f"]
    verdicts = prove_tape(graph, [c for c in own_claims(graph) if c.code == "DENSE"])
    ```
    """

    code = "DENSE"


class ArrayPlan(Code):
    """The NumPy plan computes the graph's terms, and no buffer is overwritten while it is needed.

    ## Why
    What runs on arrays is one list of steps with shared buffers. Each kernel is shown to denote its term for all sizes,
    the steps to be wired as the graph is, and the buffers to be free where they are written.

    ## Example
    ```python
    from dataclasses import replace
    from gradproof.compiler.elaborate import load_text
    from gradproof.compiler.plan import make_plan
    from gradproof.verifier.plans import check_plan
    plan = make_plan(load_text("graph f(x: f32[4]) -> f32[4] { return x - exp(x) }").graphs["f"], "forward")
    *rest, last = plan.program.steps
    turned = replace(last, operands=last.operands[::-1])  # exp(x) - x
    problems = {"PLAN": check_plan(replace(plan, program=replace(plan.program, steps=(*rest, turned))))}
    ```

    ## Instead
    ```python
    from gradproof.compiler.elaborate import load_text
    from gradproof.compiler.plan import make_plan
    from gradproof.verifier.plans import check_plan
    plan = make_plan(load_text("graph f(x: f32[4]) -> f32[4] { return x - exp(x) }").graphs["f"], "forward")
    problems = {"PLAN": check_plan(plan)}
    ```
    """

    code = "PLAN"


class GradientGraph(Code):
    """The graph of gradients is the graph and its full backpropagation (`--order 2`).

    ## Why
    The gradient of a graph is a graph of its own, of which everything is claimed again. This says that it is the
    gradient: sums over paths are compared, and each derived operator with the rule that it came from.

    ## Example
    ```python
    from dataclasses import replace
    from gradproof.compiler.elaborate import load_text
    from gradproof.compiler.gradient import gradient_graph
    from gradproof.verifier.gradients import gradient_verdict
    graph = load_text("graph f(a: f32[4], b: f32[4]) -> f32[4] { return a * b }").graphs["f"]
    gradient = gradient_graph(graph)
    value, da, db = gradient.outputs
    verdicts = [gradient_verdict(graph, replace(gradient, outputs=(value, db, da)), 5.0)]
    ```

    ## Instead
    ```python
    from gradproof.compiler.elaborate import load_text
    from gradproof.compiler.gradient import gradient_graph
    from gradproof.verifier.gradients import gradient_verdict
    graph = load_text("graph f(a: f32[4], b: f32[4]) -> f32[4] { return a * b }").graphs["f"]
    verdicts = [gradient_verdict(graph, gradient_graph(graph), 5.0)]
    ```
    """

    code = "GRAD"
