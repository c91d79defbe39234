"""Functions of numbers and of their bits."""

from __future__ import annotations

import math
import random as chance
from collections.abc import Callable
from functools import partial
from typing import Any

from nanomq_py.plugins.rules.sql.arithmetic import remainder
from nanomq_py.plugins.rules.sql.errors import RuleError
from nanomq_py.plugins.rules.sql.functions.table import anything, known, number, whole
from nanomq_py.plugins.rules.sql.values import COMPARISONS, compare


def _calculated(calculate: Callable[..., float], *values: float) -> float:
    try:
        return float(calculate(*values))
    except OverflowError:
        raise RuleError("a number of more than 1.8e308") from None
    except ValueError:
        raise RuleError("a number outside its domain") from None


# Of one number, which Python's math has under the same name.
_MATH = {
    "acos": "the inverse cosine",
    "acosh": "the inverse hyperbolic cosine",
    "asin": "the inverse sine",
    "asinh": "the inverse hyperbolic sine",
    "atan": "the inverse tangent",
    "atanh": "the inverse hyperbolic tangent",
    "cos": "the cosine",
    "cosh": "the hyperbolic cosine",
    "exp": "e to that power",
    "log": "the natural logarithm",
    "log10": "the logarithm to 10",
    "log2": "the logarithm to 2",
    "sin": "the sine",
    "sinh": "the hyperbolic sine",
    "sqrt": "the square root",
    "tan": "the tangent",
    "tanh": "the hyperbolic tangent",
}


def _of_math(name: str) -> Callable[[float], float]:
    calculate = partial(_calculated, getattr(math, name))

    def of_math(x: float) -> float:
        return calculate(x)

    of_math.__doc__ = _MATH[name]
    return of_math


for _name in _MATH:
    known(_name, number)(_of_math(_name))


@known("abs", number)
def absolute(x: float) -> float:
    """the number without its sign"""
    return abs(x)


@known("ceil", number)
def ceiling(x: float) -> int:
    """the next whole number above, or the same"""
    return math.ceil(x)


@known("floor", number)
def floor(x: float) -> int:
    """the next whole number below, or the same"""
    return math.floor(x)


@known("round", number)
def rounded(x: float) -> int:
    """the nearest whole number; a half goes away from 0"""
    return int(math.copysign(math.floor(abs(x) + 0.5), x)) if type(x) is float else int(x)


@known("power", number, number)
def power(x: float, y: float) -> float:
    """x to the power of y"""
    return _calculated(math.pow, x, y)


@known("fmod", number, number)
def float_remainder(x: float, y: float) -> float:
    """what a division of numbers with fractions leaves, with the sign of x"""
    return _calculated(math.fmod, x, y)


@known("mod", whole, whole)
def modulo(x: int, y: int) -> int:
    """what a division of whole numbers leaves, with the sign of x; `x mod y` is the same"""
    if not y:
        raise RuleError("a division by zero")
    return remainder(x, y)


@known("eq", anything, anything)
def equal(x: Any, y: Any) -> bool:
    """whether both are equal, as `=` has it"""
    return compare(COMPARISONS["="], x, y)


@known("random")
def random() -> float:
    """a number between 0 and 1, by chance; none for secrets"""
    return chance.random()  # noqa: S311 - it says so


@known("bitnot", whole)
def bit_not(x: int) -> int:
    """the number with each bit turned"""
    return ~x


@known("bitand", whole, whole)
def bit_and(x: int, y: int) -> int:
    """the bits that both have"""
    return x & y


@known("bitor", whole, whole)
def bit_or(x: int, y: int) -> int:
    """the bits that one of them has"""
    return x | y


@known("bitxor", whole, whole)
def bit_xor(x: int, y: int) -> int:
    """the bits that only one of them has"""
    return x ^ y


@known("bitsl", whole, whole)
def bits_left(x: int, bits: int) -> int:
    """the number moved to the left by so many bits"""
    return _moved(x, bits)


@known("bitsr", whole, whole)
def bits_right(x: int, bits: int) -> int:
    """the number moved to the right by so many bits"""
    return _moved(x, -bits)


def _moved(x: int, bits: int) -> int:
    if bits > 64 and x:
        raise RuleError("expected 64 bits at most")
    return x << bits if bits > 0 else x >> min(-bits, 64)
