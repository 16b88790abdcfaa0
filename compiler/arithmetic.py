"""Signs in a graph's expressions: numbers are computed at once, tensors get the operator that the sign stands for."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from gradproof.compiler.calls import describe, lift
from gradproof.compiler.dims import Poly
from gradproof.compiler.draft import Draft, Operand, Value
from gradproof.compiler.forms import apply
from gradproof.compiler.formulas import fold
from gradproof.compiler.integers import MAX_POWER
from gradproof.compiler.ops import OpDef
from gradproof.compiler.terms import Call, Read
from gradproof.grammar.source import Diagnostic, Span


def negated(draft: Draft, operand: Operand, span: Span) -> Operand:
    """-operand."""
    if isinstance(operand, Fraction | Poly):
        return -operand
    return apply(draft, draft.role("neg", span), (operand,), {}, span)


def combined(draft: Draft, op: str, left: Operand, right: Operand, span: Span) -> Operand:
    """left op right."""
    if isinstance(left, Value) or isinstance(right, Value):
        return _power(draft, left, right, span) if op == "^" else _applied(draft, op, left, right, span)
    if isinstance(left, Fraction) and isinstance(right, Fraction):
        folded = fold(op, left, right)
        if folded is None:
            raise Diagnostic("E-NUMBER", f"{left} {op} {right} has no value", span)
        return folded
    return _of_sizes(draft, op, left, right, span)


def _applied(draft: Draft, op: str, left: Operand, right: Operand, span: Span) -> Value:
    whole = all(v.type.kind == "int" for v in (left, right) if isinstance(v, Value))
    if op in ("//", "%") and not whole:
        raise Diagnostic("E-KIND", f"`{op}` is for sizes and integers, not for real tensors", span)
    if whole and not isinstance(left, Value) and op in ("+", "-", "*"):
        # The operators that take a number have it on the right: 3 - a is -a + 3.
        if op == "-":
            op, right = "+", negated(draft, right, span)
        left, right = right, left
    return apply(draft, draft.role(op, span), (left, right), {}, span)


def _of_sizes(draft: Draft, op: str, left: Operand, right: Operand, span: Span) -> Operand:
    """Sizes stay integer expressions as long as they can; a quotient of sizes is a real tensor with no axes."""
    a, b = _integer(left), _integer(right)
    if a is not None and b is not None:
        match op:
            case "+":
                return a + b
            case "-":
                return a - b
            case "*":
                return a * b
            case "//" if b != 0:
                return a // b
            case "%" if b != 0:
                return a % b
            case "^" if b.constant is not None and 0 <= b.constant <= MAX_POWER:
                return Poly.product([a] * b.constant)
    return combined(draft, op, lift(draft, left, span), right, span)


def extreme(name: str, operands: Sequence[Operand], overloads: Sequence[OpDef]) -> Poly | None:
    """min or max of sizes and integers; None of anything else, and where an operator of this name is another thing."""
    if not all(_is_extreme(op, name) for op in overloads if len(op.params) == len(operands)):
        return None
    sizes = [_integer(operand) for operand in operands]
    result = sizes[0] if len(sizes) > 1 else None
    for size in sizes[1:]:
        if result is None or size is None:
            return None
        result = result.minimum(size) if name == "min" else result.maximum(size)
    return result


def _is_extreme(op: OpDef, name: str) -> bool:
    body = op.forward.body
    if not isinstance(body, Call) or body.fn != name:
        return False
    return {a.tensor for a in body.args if isinstance(a, Read)} == {p.name for p in op.params}


def _integer(operand: Operand) -> Poly | None:
    if isinstance(operand, Fraction) and operand.denominator == 1:
        return Poly.of(int(operand))
    return operand if isinstance(operand, Poly) else None


def _power(draft: Draft, base: Operand, exponent: Operand, span: Span) -> Value:
    """base ^ exponent: an operator of its own where one is declared (`infix "^2" square`), else products."""
    if isinstance(exponent, Fraction):
        own = draft.library.sign(f"^{exponent}")
        if own is not None:
            return apply(draft, own, (base,), {}, span)
        if exponent.denominator == 1:
            if abs(exponent) > MAX_POWER:
                raise Diagnostic("E-POWER", f"an integer power above {MAX_POWER}", span, "write exp(k * log(x))")
            return _integer_power(draft, base, int(exponent), span)
    return apply(draft, draft.role("^", span), (base, exponent), {}, span)


def _integer_power(draft: Draft, base: Operand, exponent: int, span: Span) -> Value:
    """By repeated squaring; a negative power is 1 over the positive one."""
    if exponent < 0:
        positive = _power(draft, base, Fraction(-exponent), span)
        return _power(draft, positive, Fraction(-1), span) if exponent != -1 else _inverse(draft, base, span)
    result: Operand = Fraction(1)
    square, left = base, exponent
    while left:
        if left & 1:
            result = square if result == Fraction(1) else _applied(draft, "*", result, square, span)
        left >>= 1
        if left:
            square = _applied(draft, "*", square, square, span)
    if isinstance(result, Value):
        return result
    return _applied(draft, "+", _applied(draft, "*", base, Fraction(0), span), result, span)  # base ^ 0


def _inverse(draft: Draft, base: Operand, span: Span) -> Value:
    return _applied(draft, "/", Fraction(1), base, span)


def compared(draft: Draft, ops: Sequence[str], operands: Sequence[Operand], span: Span) -> Operand:
    """A chain of comparisons: boolean tensors, joined by `and`."""
    links = [_compare(draft, op, a, b, span) for op, a, b in zip(ops, operands, operands[1:], strict=False)]
    return joined(draft, "and", links, span)


def _compare(draft: Draft, op: str, left: Operand, right: Operand, span: Span) -> Value:
    if not isinstance(left, Value) and not isinstance(right, Value):
        message = f"{describe(left)} {op} {describe(right)} compares no tensors"
        raise Diagnostic("E-KIND", message, span, "conditions on dims belong in `assume`")
    op, left, right = turned(op, left, right)
    if op == "!=":
        return _not(draft, _compare(draft, "==", left, right, span), span)
    if isinstance(right, Value) and right.type.kind == "int" and not isinstance(left, Value):
        if op == "==":
            left, right = right, left
        else:  # 3 < label is not (label <= 3): the operators have the number on the right
            other = "<=" if op == "<" else "<"
            return _not(draft, _compare(draft, other, right, left, span), span)
    return apply(draft, draft.role(op, span), (left, right), {}, span)


def turned(op: str, left: Operand, right: Operand) -> tuple[str, Operand, Operand]:
    """The same comparison without > and >=."""
    return ("<" if op == ">" else "<=", right, left) if op in (">", ">=") else (op, left, right)


def _not(draft: Draft, value: Value, span: Span) -> Value:
    return apply(draft, draft.role("not", span), (value,), {}, span)


def joined(draft: Draft, op: str, operands: Sequence[Operand], span: Span) -> Operand:
    """`a and b and ...`, `a or b or ...`."""
    result = operands[0]
    for operand in operands[1:]:
        result = apply(draft, draft.role(op, span), (result, operand), {}, span)
    return result
