"""Arithmetic of the language: ``+ - * / div mod``.

Source   EMQX 4.4, emqx_rule_funcs: behaviour, not text
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nanomq_py.plugins.rules.sql.errors import RuleError
from nanomq_py.plugins.rules.sql.values import (
    bounded_number,
    bounded_text,
    kind_of,
    text_of,
)


def _added(left: Any, right: Any) -> Any:
    if type(left) is str or type(right) is str:
        return bounded_text(text_of(left) + text_of(right))
    return number(left, "+") + number(right, "+")


def _divided(left: Any, right: Any) -> int:
    """Return the quotient without its fraction, as Erlang's div: -7 div 2 is -3."""
    quotient: int = abs(left) // abs(right)
    return quotient if (left < 0) == (right < 0) else -quotient


def remainder(left: int, right: int) -> int:
    """Return what is left, with the sign of the first, as Erlang's rem: -7 mod 2 is -1."""
    return left - right * _divided(left, right)


def number(value: Any, sign: str) -> Any:
    if type(value) not in (int, float):
        raise RuleError(f"{sign}: expected a number, have {kind_of(value)}")
    return value


def _whole(value: Any, sign: str) -> int:
    if type(value) is not int:
        raise RuleError(f"{sign}: expected a whole number, have {kind_of(value)}")
    return value


_OPERATIONS: dict[str, Callable[[Any, Any], Any]] = {
    "+": _added,
    "-": lambda left, right: number(left, "-") - number(right, "-"),
    "*": lambda left, right: number(left, "*") * number(right, "*"),
    "/": lambda left, right: number(left, "/") / number(right, "/"),
    "DIV": lambda left, right: _divided(_whole(left, "div"), _whole(right, "div")),
    "MOD": lambda left, right: remainder(_whole(left, "mod"), _whole(right, "mod")),
}


def calculated(sign: str, left: Any, right: Any) -> Any:
    """Return what the sign makes of two values. Raises RuleError."""
    try:
        return bounded_number(_OPERATIONS[sign](left, right))
    except ZeroDivisionError:
        raise RuleError("a division by zero") from None
    except OverflowError:
        raise RuleError("a number of more than 1.8e308") from None
