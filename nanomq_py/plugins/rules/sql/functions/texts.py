"""Functions of texts. Positions and lengths are in characters, which are code points."""

from __future__ import annotations

from typing import Any

from nanomq_py.plugins.rules.sql.errors import RuleError
from nanomq_py.plugins.rules.sql.functions.formats import formatted
from nanomq_py.plugins.rules.sql.functions.table import (
    anything,
    array,
    binary,
    count,
    known,
    text,
    whole,
)
from nanomq_py.plugins.rules.sql.values import MOST_TEXT, text_of


def _one_of(option: str, *options: str) -> str:
    if option not in options:
        raise RuleError(f"expected one of {', '.join(options)}")
    return option


def _check_length(length: int) -> None:
    if length > MOST_TEXT:
        raise RuleError(f"a text of more than {MOST_TEXT} characters")


@known("lower", text)
def lower(value: str) -> str:
    """the text in small letters"""
    return value.lower()


@known("upper", text)
def upper(value: str) -> str:
    """the text in capital letters"""
    return value.upper()


@known("trim", text)
def trim(value: str) -> str:
    """without blanks at both ends"""
    return value.strip()


@known("ltrim", text)
def left_trim(value: str) -> str:
    """without blanks in front"""
    return value.lstrip()


@known("rtrim", text, text)
def right_trim(value: str, characters: str | None = None) -> str:
    """without blanks at the end, or without these characters"""
    return value.rstrip(characters)


@known("reverse", text)
def reverse(value: str) -> str:
    """from its end to its beginning"""
    return value[::-1]


@known("strlen", text)
def length(value: str) -> int:
    """how many characters it has"""
    return len(value)


@known("substr", text, whole, whole)
def part(value: str, start: int, length: int | None = None) -> str:
    """what begins at a position from 0, to the end or with so many characters"""
    if start < 0 or (length is not None and length < 0):
        raise RuleError("expected a position and a length from 0")
    return value[start:] if length is None else value[start : start + length]


@known("split", text, text, text)
def split(value: str, separator: str, option: str = "all") -> list[str]:
    """an array of the parts that are not empty; `'leading'` or `'trailing'`: only at the first
    or last separator; `'notrim'`, `'leading_notrim'`, `'trailing_notrim'`: empty parts too"""
    _one_of(
        option,
        *("all", "leading", "trailing"),
        *("notrim", "leading_notrim", "trailing_notrim"),
    )
    if not separator:
        parts = [value]
    elif option.startswith("leading"):
        parts = value.split(separator, 1)
    elif option.startswith("trailing"):
        parts = value.rsplit(separator, 1)
    else:
        parts = value.split(separator)
    return parts if option.endswith("notrim") else [each for each in parts if each]


@known("tokens", text, text, text)
def tokens(value: str, separators: str, option: str = "") -> list[str]:
    """an array of what stands between any of these characters; `'nocrlf'`: and line ends"""
    if option:
        separators += {"nocrlf": "\r\n"}[_one_of(option, "nocrlf")]
    if not separators:
        return [value] if value else []
    first = separators[0]
    parts = value.translate(dict.fromkeys(map(ord, separators), first)).split(first)
    return [each for each in parts if each]


@known("concat", anything, anything)
def concat(first: Any, second: Any) -> str:
    """both as texts, one behind the other; `+` does the same if one is a text"""
    return text_of(first) + text_of(second)


@known("join_to_string", anything, array)
def join(separator: Any, values: list[Any] | None = None) -> str:
    """the values of an array as texts, with a separator between them; `', '` if only the
    array is given"""
    if values is None:
        separator, values = ", ", array(separator)
    texts = [text_of(value) for value in values]
    _check_length(sum(map(len, texts)) + len(text(separator)) * len(texts))
    return str(separator).join(texts)


@known("sprintf", text, *[anything] * 8, least=1)
def sprintf(form: str, *values: Any) -> str:
    """the text with `~s`, `~p`, `~w`, `~b`, `~f`, `~e` replaced by the values, as Erlang's
    io_lib has it; `~10s` is 10 wide, `~.2f` has 2 decimals, `~n` is a line end"""
    return formatted(form, values)


@known("sprintf_s", text, array)
def sprintf_array(form: str, values: list[Any]) -> str:
    """the same, with the values in an array"""
    return formatted(form, values)


@known("pad", text, count, text, text)
def pad(value: str, length: int, side: str = "trailing", character: str = " ") -> str:
    """the text with blanks, or that character, up to a length: `'trailing'`, `'leading'` or
    `'both'`"""
    _one_of(side, "trailing", "leading", "both")
    missing = max(length - len(value), 0)
    _check_length(len(value) + missing * len(character))
    front = {"trailing": 0, "leading": missing, "both": missing // 2}[side]
    return character * front + value + character * (missing - front)


@known("replace", text, text, text, text)
def replace(value: str, old: str, new: str, which: str = "all") -> str:
    """the text with one part replaced by another: `'all'`, `'leading'` for the first,
    `'trailing'` for the last"""
    _one_of(which, "all", "leading", "trailing")
    if not old:
        return value
    if which == "trailing":
        return new.join(value.rsplit(old, 1))
    times = value.count(old) if which == "all" else 1
    _check_length(len(value) + times * (len(new) - len(old)))
    return value.replace(old, new, times)


@known("find", text, text, text)
def find(value: str, part: str, which: str = "leading") -> str:
    """the text from where the part is first found, or last for `'trailing'`; empty: nowhere"""
    _one_of(which, "leading", "trailing")
    at = value.find(part) if which == "leading" else value.rfind(part)
    return value[at:] if at >= 0 else ""


@known("rm_prefix", text, text)
def without_prefix(value: str, prefix: str) -> str:
    """the text without that beginning, if it has it"""
    return value.removeprefix(prefix)


@known("ascii", binary)
def first_code(value: bytes) -> int:
    """the number of its first byte"""
    if not value:
        raise RuleError("expected a text that is not empty")
    return value[0]
