"""Functions that convert values and tell of which kind they are."""

from __future__ import annotations

from typing import Any

from nanomq_py.plugins.rules.sql.errors import RuleError
from nanomq_py.plugins.rules.sql.functions.table import anything, known, number, whole
from nanomq_py.plugins.rules.sql.values import (
    UNDEFINED,
    bounded,
    json_of,
    kind_of,
    number_of,
    text_of,
)


@known("str", anything)
def to_text(value: Any) -> str:
    """the value as a text; arrays and maps as JSON"""
    return text_of(value)


@known("str_utf8", anything)
def to_utf8(value: Any) -> str:
    """the same as `str`"""
    return text_of(value)


@known("bool", anything)
def to_boolean(value: Any) -> bool:
    """true for `true`, `'true'` and 1; false for `false`, `'false'` and 0; no others"""
    if type(value) in (bool, int, float) and value in (0, 1):
        return bool(value)
    if type(value) is str and value in ("true", "false"):
        return value == "true"
    raise RuleError(f"expected true, false, 1 or 0, have {kind_of(value)}")


@known("int", anything)
def to_whole(value: Any) -> int:
    """a number, a text of one or a boolean as a whole number, rounded down"""
    found = _number(value)
    return int(found // 1)


@known("float", anything, whole)
def to_float(value: Any, decimals: int | None = None) -> float:
    """the same as a number with a fraction, rounded to 1 to 253 decimals if they are given"""
    found = float(_number(value))
    if decimals is None:
        return found
    return float(f"{found:.{_precision(decimals)}f}")


def _number(value: Any) -> int | float:
    if type(value) in (int, float, bool):
        return value  # type: ignore[no-any-return]
    if type(value) is str:
        return number_of(value)
    raise RuleError(f"expected a number, have {kind_of(value)}")


def _precision(decimals: int) -> int:
    if not 0 <= decimals <= 253:
        raise RuleError("expected 0 to 253 decimals")
    return decimals


@known("float2str", number, whole)
def float_text(value: float, decimals: int) -> str:
    """the number with at most so many decimals, 0 to 253, and no zeros at their end"""
    return _compact(f"{value:.{_precision(decimals)}f}")


def _compact(text: str) -> str:
    if "." not in text:
        return text
    text = text.rstrip("0")
    return f"{text}0" if text.endswith(".") else text


def as_map(value: Any) -> dict[str, Any]:
    """Return a map: that one, of JSON, or of pairs. Raises RuleError."""
    if type(value) is str:
        value = json_of(value)
    if type(value) is list and all(type(pair) is list and len(pair) == 2 for pair in value):
        return {text_of(key): each for key, each in value}
    if type(value) is not dict:
        raise RuleError(f"expected a map or a text of one, have {kind_of(value)}")
    return value


@known("map", anything)
def to_map(value: Any) -> dict[str, Any]:
    """a map: one that is there, a text of JSON, or an array of arrays of a key and a value"""
    return bounded(as_map(value))  # type: ignore[no-any-return]


@known("null")
def null() -> Any:
    """undefined"""
    return UNDEFINED


@known("coalesce", anything, anything)
def coalesce(value: Any, other: Any) -> Any:
    """the first one, or the other where it is undefined"""
    return other if value is UNDEFINED else value


@known("is_null", anything)
def is_null(value: Any) -> bool:
    """whether it is undefined; JSON's null is not"""
    return value is UNDEFINED


@known("is_not_null", anything)
def is_not_null(value: Any) -> bool:
    """whether it is not undefined"""
    return value is not UNDEFINED


@known("is_null_var", anything)
def is_null_var(value: Any) -> bool:
    """whether it is undefined or JSON's null"""
    return value is UNDEFINED or value is None


@known("is_not_null_var", anything)
def is_not_null_var(value: Any) -> bool:
    """whether it is neither undefined nor JSON's null"""
    return value is not UNDEFINED and value is not None


@known("is_str", anything)
def is_text(value: Any) -> bool:
    """whether it is a text or a binary"""
    return type(value) in (str, bytes)


@known("is_bool", anything)
def is_boolean(value: Any) -> bool:
    """whether it is true or false"""
    return type(value) is bool


@known("is_int", anything)
def is_whole(value: Any) -> bool:
    """whether it is a whole number"""
    return type(value) is int


@known("is_float", anything)
def is_float(value: Any) -> bool:
    """whether it is a number with a fraction, be it .0"""
    return type(value) is float


@known("is_num", anything)
def is_number(value: Any) -> bool:
    """whether it is a number"""
    return type(value) in (int, float)


@known("is_map", anything)
def is_map(value: Any) -> bool:
    """whether it is a map"""
    return type(value) is dict


@known("is_array", anything)
def is_array(value: Any) -> bool:
    """whether it is an array"""
    return type(value) is list
