"""Which terms denote an integer wherever they have a value: what an integer result may be made of. [trusted]"""

from __future__ import annotations

from gradproof.compiler.terms import Add, Call, Mul, Num, Pow, Reduce, Select, Size, Term

# Scalar functions whose value is an integer for every real, and those whose value is one where their arguments are.
WHOLE = frozenset({"floor", "ceil", "round", "trunc", "sign"})
CLOSED = frozenset({"max", "min", "abs"})


def integral(term: Term) -> bool:
    """Whether the term is an integer by its form, at every point where it is defined."""
    match term:
        case Num(value):
            return value.denominator == 1
        case Size():
            return True
        case Add(args) | Mul(args):
            return all(map(integral, args))
        case Pow(base, exponent):
            return exponent >= 0 and integral(base)
        case Call(fn, args):
            return fn in WHOLE or (fn in CLOSED and all(map(integral, args)))
        case Select(_, then, other):
            return integral(then) and integral(other)
        case Reduce(_, _, _, _, body):
            return integral(body)
        case _:
            return False
