"""Values of the language: what there is, as texts, compared.

====================  =========================================================
in the language       in Python
====================  =========================================================
undefined             ``UNDEFINED``: a column or a member that is not there
null of JSON          ``None``
true, false           ``bool``, never taken for a number
number                ``int`` or ``float``: one that is whole stays whole
text, binary          ``str``; ``bytes`` where it is not UTF-8
array, map            ``list``, ``dict``
====================  =========================================================

Source   EMQX 4.4, emqx_rule_runtime and emqx_rule_utils: behaviour, not text
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable
from typing import Any, Final

import orjson

from nanomq_py.plugins.rules.sql.errors import RuleError

MOST_TEXT = 1 << 20  # characters or bytes of a text that an expression makes
MOST_ITEMS = 10_000  # of an array that an expression makes, and of one that FOREACH walks
MOST_PARTS = 100_000  # values in an array or a map that an expression makes
MOST_REPEATED = 1 << 24  # characters of texts that stand in what is made, each time
MOST_DEPTH = 100  # levels in one; orjson writes no more than 254
LEAST_WHOLE, MOST_WHOLE = -(1 << 63), (1 << 64) - 1  # what JSON is written with


class Undefined:
    """The value that is not there."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "undefined"

    def __bool__(self) -> bool:
        return False


UNDEFINED: Final = Undefined()

_KINDS: dict[type, str] = {
    Undefined: "undefined",
    type(None): "null",
    bool: "a boolean",
    int: "a whole number",
    float: "a number",
    str: "a text",
    bytes: "a binary",
    list: "an array",
    dict: "a map",
}


def kind_of(value: object) -> str:
    return _KINDS.get(type(value), type(value).__name__)


# --- texts


def readable(value: bytes) -> str | bytes:
    """Return the text that these bytes are; the bytes, where they are not UTF-8."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value


def _float_text(value: float) -> str:
    """Return ten decimals at most, and no zeros at the end but one: 2.0, 0.1, 1.0e30."""
    if abs(value) >= 1e15:
        return repr(value)
    text = f"{value:.10f}".rstrip("0")
    return f"{text}0" if text.endswith(".") else text


def json_text(value: Any) -> str:
    try:
        return orjson.dumps(value, default=_plain).decode()
    except TypeError:  # orjson.JSONEncodeError: too deep, too large a number, no UTF-8
        raise RuleError(f"{kind_of(value)} cannot be written as JSON") from None


def json_of(text: str | bytes) -> Any:
    """Return the value of a text of JSON. Raises RuleError."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        raise RuleError("expected JSON") from None


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, Undefined):
        return None
    raise TypeError


_TEXTS: dict[type, Callable[[Any], str]] = {
    Undefined: lambda _: "undefined",
    type(None): lambda _: "null",
    bool: lambda value: "true" if value else "false",
    int: str,
    float: _float_text,
    str: lambda value: value,
    bytes: lambda value: value.decode(errors="replace"),
}


def text_of(value: Any) -> str:
    """Return a value as a text: arrays and maps are JSON, what is not there ``undefined``."""
    return _TEXTS.get(type(value), json_text)(value)


# --- what an expression may make


def bounded(value: Any) -> Any:
    """Return an array or map, if it is not too large. Raises RuleError.

    An array may hold another one twice: without a bound, few fields make a text without end.
    """
    level, left, letters = [value], MOST_PARTS, MOST_REPEATED
    for _ in range(MOST_DEPTH):
        level = [part for each in level for part in _parts(each)]
        left -= len(level)
        if left < 0:
            raise RuleError(f"an array or a map of more than {MOST_PARTS} values")
        letters -= sum(len(each) for each in level if type(each) in (str, bytes))
        if letters < 0:
            raise RuleError(f"an array or a map with more than {MOST_REPEATED} letters")
        if not level:
            return value
    raise RuleError(f"an array or a map of more than {MOST_DEPTH} levels")


def weight(value: Any) -> int:
    """Return about how many letters an array or a map takes where it is written."""
    waiting, letters = [value], 0
    while waiting:
        each = waiting.pop()
        letters += len(each) if type(each) in (str, bytes) else 1
        waiting.extend(_parts(each))
    return letters


def _parts(value: Any) -> Any:
    if type(value) is dict:
        return value.values()
    return value if type(value) is list else ()


def bounded_text(value: Any) -> Any:
    if len(value) > MOST_TEXT:
        raise RuleError(f"a text of more than {MOST_TEXT} characters")
    return value


def bounded_number(value: Any) -> Any:
    if type(value) is int and not LEAST_WHOLE <= value <= MOST_WHOLE:
        raise RuleError("a whole number of more than 64 bits")
    if type(value) is float and not math.isfinite(value):
        raise RuleError("a number of more than 1.8e308")
    return value


# --- comparing

Compare = Callable[[Any, Any], bool]

COMPARISONS: dict[str, Compare] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<>": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_RANKS = {int: 0, float: 0, bool: 1, type(None): 1, dict: 2, list: 3, str: 4, bytes: 4}
_PLAIN = frozenset({int, float, str})


_NUMBER = re.compile(r"[+-]?[0-9]{1,300}(\.[0-9]{1,300})?([eE][+-]?[0-9]{1,3})?", re.ASCII)


def number_of(text: str | bytes) -> int | float:
    """Return the number that a text is. Raises RuleError."""
    found = _NUMBER.fullmatch(text) if type(text) is str else None
    if found is None:
        raise RuleError("a text that is no number, where one is needed")
    if found[1] is found[2] is None:
        return bounded_number(int(found[0]))  # type: ignore[no-any-return]
    return bounded_number(float(found[0]))  # type: ignore[no-any-return]


def compare(compared: Compare, left: Any, right: Any) -> bool:
    """Compare as Erlang does, after the conversions of EMQX.

    Undefined equals undefined; it is unlike all others, and neither less nor greater. A text
    beside a number is read as one; beside a boolean or null, those are texts. Other kinds
    are ordered number, boolean, map, array, text.
    """
    kind, other = type(left), type(right)
    if kind is other and kind in _PLAIN:
        return compared(left, right)
    if kind is Undefined or other is Undefined:
        return compared(0, 0) if kind is other else compared is operator.ne
    if _RANKS[kind] != _RANKS[other]:
        return _compare_unlike(compared, left, right)
    return _compare_alike(compared, left, right)


def _compare_unlike(compared: Compare, left: Any, right: Any) -> bool:
    ranks = _RANKS[type(left)], _RANKS[type(right)]
    if ranks == (0, 4):
        return compared(left, number_of(right))
    if ranks == (4, 0):
        return compared(number_of(left), right)
    if set(ranks) == {1, 4}:
        return compared(text_of(left), text_of(right))
    return compared(*ranks)


def _compare_alike(compared: Compare, left: Any, right: Any) -> bool:
    rank = _RANKS[type(left)]
    if rank == 0:
        return compared(left, right)
    if rank == 1:
        return compared(text_of(left), text_of(right))
    if rank == 4:
        return compared(as_bytes(left), as_bytes(right))
    if compared in (operator.eq, operator.ne):
        return compared(same(left, right), True)
    try:
        return compared(left, right)
    except TypeError:
        raise RuleError(f"{kind_of(left)} has no order with another one") from None


def as_bytes(value: str | bytes) -> bytes:
    return value.encode(errors="surrogatepass") if type(value) is str else value  # type: ignore[return-value]


def same(left: Any, right: Any) -> bool:
    """Return whether both are the same value: 1 is neither 1.0 nor true."""
    kind = type(left)
    if kind is not type(right):
        return False
    if kind is list:
        return len(left) == len(right) and all(map(same, left, right))
    if kind is dict:
        return left.keys() == right.keys() and all(same(left[k], right[k]) for k in left)
    return bool(left == right)
