"""How a function is made known, and the kinds of its arguments.

::

    @known("strlen", text)
    def strlen(value: str) -> int:
        '''the characters of a text'''

An argument is checked before the function has it; one with a default may be left out. What a
function returns is bounded: a text by MOST_TEXT, bytes that are UTF-8 are a text. A docstring
is the line of the reference (docs/rules-sql.md).

Source   EMQX 4.4, emqx_rule_funcs and its documentation: behaviour, not text
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from inspect import CO_VARARGS
from typing import Any, TypeVar

from nanomq_py.plugins.rules.sql.errors import RuleError
from nanomq_py.plugins.rules.sql.rows import Row
from nanomq_py.plugins.rules.sql.values import (
    MOST_TEXT,
    bounded_number,
    bounded_text,
    kind_of,
    readable,
)

Check = Callable[[Any], Any]
Made = TypeVar("Made", bound=Callable[..., Any])

# What a function may raise for values that it does not take.
FAULTS = (ArithmeticError, LookupError, TypeError, ValueError, RecursionError)


@dataclass(frozen=True)
class Function:
    """A function of the language.

    checks     one for each argument that it takes at most
    least      arguments that it takes at least
    takes_row  its first argument in Python is the row
    """

    name: str
    made: Callable[..., Any]
    checks: tuple[Check, ...]
    least: int
    takes_row: bool

    @property
    def module(self) -> str:
        return self.made.__module__

    @property
    def words(self) -> str:
        return " ".join((self.made.__doc__ or "").split())

    @property
    def signature(self) -> str:
        code = self.made.__code__
        names = code.co_varnames[self.takes_row : code.co_argcount]
        needed, optional = names[: self.least], names[self.least :]
        shown = ", ".join(needed) + "".join(f"[, {name}" for name in optional)
        if code.co_flags & CO_VARARGS:
            shown += ", ..."
        if not needed:
            shown = shown.replace("[, ", "[", 1)
        return f"{self.name}({shown}{']' * len(optional)})"


FUNCTIONS: dict[str, Function] = {}


def known(
    name: str, *checks: Check, row: bool = False, least: int | None = None
) -> Callable[[Made], Made]:
    """Make a function known by its name in the language.

    row    it has the row before its arguments
    least  arguments that it needs; by default those without a default
    """

    def register(made: Made) -> Made:
        needed = len(checks) - len(made.__defaults__ or ()) if least is None else least
        assert name not in FUNCTIONS
        FUNCTIONS[name] = Function(name, made, checks, needed, row)
        return made

    return register


def called(function: Function, values: list[Any], row: Row) -> Any:
    """Return what a function makes of these values. Raises RuleError that names it."""
    try:
        checked = [
            check(value) for check, value in zip(function.checks, values, strict=False)
        ]
        made = (
            function.made(row, *checked) if function.takes_row else function.made(*checked)
        )
        return _BOUNDS.get(type(made), anything)(made)
    except RuleError as fault:
        raise RuleError(f"{function.name}: {fault}") from None
    except FAULTS as fault:
        raise RuleError(f"{function.name}: {type(fault).__name__}") from None


# --- checks of an argument: the value as the function takes it, or RuleError


def _refused(value: Any, expected: str) -> RuleError:
    return RuleError(f"expected {expected}, have {kind_of(value)}")


def anything(value: Any) -> Any:
    return value


def text(value: Any) -> str:
    if type(value) is not str:
        raise _refused(value, "a text")
    return value


def binary(value: Any) -> bytes:
    """Texts are their UTF-8."""
    if type(value) is str:
        return value.encode()
    if type(value) is not bytes:
        raise _refused(value, "a text or a binary")
    return value


def number(value: Any) -> int | float:
    if type(value) not in (int, float):
        raise _refused(value, "a number")
    return value  # type: ignore[no-any-return]


def whole(value: Any) -> int:
    if type(value) is not int:
        raise _refused(value, "a whole number")
    return value


def count(value: Any) -> int:
    """A length of what is made: 0 to MOST_TEXT."""
    if not 0 <= whole(value) <= MOST_TEXT:
        raise RuleError(f"expected 0 to {MOST_TEXT}")
    return value  # type: ignore[no-any-return]


def array(value: Any) -> list[Any]:
    if type(value) is not list:
        raise _refused(value, "an array")
    return value


# --- what a function may return, by its type

_BOUNDS: dict[type, Check] = {
    int: bounded_number,
    float: bounded_number,
    str: bounded_text,
    bytes: lambda made: readable(bounded_text(made)),
}
