"""Functions of time. A time is a whole number of seconds or of a given unit since 1970.

Source   EMQX 4.4, emqx_rule_funcs and its documentation; RFC 3339 for texts
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

from nanomq_py.plugins.rules.sql.errors import RuleError
from nanomq_py.plugins.rules.sql.functions.table import anything, known, text, whole
from nanomq_py.plugins.rules.sql.values import kind_of

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_A_SECOND = {
    "second": 1,
    "millisecond": 1_000,
    "microsecond": 1_000_000,
    "nanosecond": 1_000_000_000,
}
_RFC3339 = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?([Zz]|[+-]\d\d:\d\d)",
    re.ASCII,
)
_OFFSET = re.compile(r"([+-])(\d\d):?(\d\d)(?::?(\d\d))?", re.ASCII)
_NANO = 1_000_000_000


def unit(value: Any) -> int:
    """Return how many of a unit a second has."""
    found = _A_SECOND.get(text(value))
    if found is None:
        raise RuleError(f"expected one of {', '.join(_A_SECOND)}")
    return found


def _moment(seconds: int) -> datetime:
    try:
        return _EPOCH + timedelta(seconds=seconds)
    except OverflowError:
        raise RuleError("a time outside the years 1 to 9999") from None


def _local(seconds: int) -> int:
    """Return how far the time of this machine is before UTC then, in seconds."""
    try:
        return time.localtime(seconds).tm_gmtoff
    except (OverflowError, OSError, ValueError):
        raise RuleError("a time outside the years 1 to 9999") from None


def _offset(value: Any, seconds: int) -> int:
    """Return an offset from UTC in seconds: ``z``, ``local``, ``+08:00``, 28800."""
    if type(value) is int and abs(value) < 86_400:
        return value
    if type(value) is str:
        if value in ("z", "Z"):
            return 0
        if value == "local":
            return _local(seconds)
        found = _OFFSET.fullmatch(value)
        if found is not None:
            hours, minutes, rest = (int(each or 0) for each in found.groups()[1:])
            offset = hours * 3600 + minutes * 60 + rest
            return -offset if found[1] == "-" else offset
    raise RuleError(
        f"expected an offset such as 'Z', 'local', '+08:00', have {kind_of(value)}"
    )


def _shown_offset(offset: int, separator: str = ":", *, with_seconds: bool = False) -> str:
    hours, rest = divmod(abs(offset), 3600)
    shown = [hours, rest // 60, *([rest % 60] if with_seconds else [])]
    sign = "-" if offset < 0 else "+"
    return sign + separator.join(f"{each:02}" for each in shown)


# --- now


@known("now_timestamp", unit)
def now(unit: int = 1) -> int:
    """the time, in seconds or in a unit: `'second'`, `'millisecond'`, `'microsecond'`,
    `'nanosecond'`"""
    return time.time_ns() * unit // _NANO


@known("now_rfc3339", unit)
def now_text(unit: int = 1) -> str:
    """the time as RFC 3339 has it, in the zone of this machine, with the digits of a unit"""
    return _rfc3339(now(unit), unit)


# --- RFC 3339


def _rfc3339(moment: int, unit: int) -> str:
    seconds, fraction = divmod(moment, unit)
    offset = _local(seconds)
    shown = _moment(seconds + offset).isoformat()[:19]
    digits = f".{fraction:0{len(str(unit)) - 1}}" if unit > 1 else ""
    return f"{shown}{digits}{_shown_offset(offset)}"


@known("unix_ts_to_rfc3339", whole, unit)
def to_rfc3339(moment: int, unit: int = 1) -> str:
    """a time, in seconds or a unit, as RFC 3339 has it, in the zone of this machine"""
    return _rfc3339(moment, unit)


@known("rfc3339_to_unix_ts", text, unit)
def from_rfc3339(value: str, unit: int = 1) -> int:
    """the time that a text as of RFC 3339 stands for, in seconds or a unit"""
    found = _RFC3339.fullmatch(value)
    if found is None:
        raise RuleError("expected a time such as 2022-04-25T16:08:41.123+08:00")
    *parts, fraction, zone = found.groups(default="")
    nanos = int(fraction.ljust(9, "0"))
    seconds = _seconds([int(part) for part in parts]) - _offset(zone, 0)
    return (seconds * _NANO + nanos) * unit // _NANO


def _seconds(parts: list[int]) -> int:
    """Return the time of year, month, day, hour, minute and second in UTC."""
    year, month, day, hour, minute, second = parts
    try:
        moment = datetime(year, month, day, hour, minute, tzinfo=timezone.utc)
    except ValueError:
        raise RuleError("no such day or time") from None
    if second > 60:
        raise RuleError("no such day or time")
    return (moment - _EPOCH) // timedelta(seconds=1) + second


# --- formats of our own

# What stands for a part: how it is shown, from the moment, its nanoseconds and its offset.
_SHOWN: dict[str, Callable[[datetime, int, int], str]] = {
    "%Y": lambda moment, _, __: f"{moment.year:04}",
    "%m": lambda moment, _, __: f"{moment.month:02}",
    "%d": lambda moment, _, __: f"{moment.day:02}",
    "%H": lambda moment, _, __: f"{moment.hour:02}",
    "%M": lambda moment, _, __: f"{moment.minute:02}",
    "%S": lambda moment, _, __: f"{moment.second:02}",
    "%N": lambda _, nanos, __: f"{nanos:09}",
    "%3N": lambda _, nanos, __: f"{nanos // 1_000_000:03}",
    "%6N": lambda _, nanos, __: f"{nanos // 1_000:06}",
    "%z": lambda _, __, offset: _shown_offset(offset, ""),
    "%:z": lambda _, __, offset: _shown_offset(offset),
    "%::z": lambda _, __, offset: _shown_offset(offset, with_seconds=True),
}
_PLACE = re.compile(r"%(?:[YmdHMSNz]|3N|6N|:z|::z)")

# And how it is read.
_READ = {
    "%Y": r"\d{4}",
    "%N": r"\d{9}",
    "%3N": r"\d{3}",
    "%6N": r"\d{6}",
    "%z": r"[+-]\d{4}",
    "%:z": r"[+-]\d\d:\d\d",
    "%::z": r"[+-]\d\d:\d\d:\d\d",
}
_ORDER = {"%Y": "1970", "%m": "1", "%d": "1", "%H": "0", "%M": "0", "%S": "0"}


@known("format_date", unit, anything, text, whole)
def format_date(unit: int, offset: Any, form: str, moment: int | None = None) -> str:
    """a time, or now, in a format: `%Y %m %d %H %M %S`, `%N %3N %6N` for fractions, `%z %:z
    %::z` for the offset from UTC, which is `'Z'`, `'local'`, `'+08:00'` or seconds"""
    seconds, fraction = divmod(now(unit) if moment is None else moment, unit)
    ahead = _offset(offset, seconds)
    shown, nanos = _moment(seconds + ahead), fraction * (_NANO // unit)
    return _PLACE.sub(lambda place: _SHOWN[place[0]](shown, nanos, ahead), form)


@known("date_to_unix_ts", unit, anything, text, text)
def from_date(unit: int, offset: Any, form: str, value: str | None = None) -> int:
    """the time that a text stands for in a format; with three arguments,
    `date_to_unix_ts(unit, form, value)`, its offset is in the text or 0"""
    if value is None:
        offset, form, value = 0, text(offset), form
    parts = _read(form, value)
    seconds = _seconds([int(parts.get(each, first)) for each, first in _ORDER.items()])
    nanos = max(int(parts.get(each, "0").ljust(9, "0")) for each in ("%N", "%3N", "%6N"))
    zone = next((parts[each] for each in ("%z", "%:z", "%::z") if each in parts), None)
    ahead = _offset(offset if zone is None else zone, seconds)
    return ((seconds - ahead) * _NANO + nanos) * unit // _NANO


def _read(form: str, value: str) -> dict[str, str]:
    """Return the parts of a text by their places. Other characters only count."""
    places = list(dict.fromkeys(_PLACE.findall(form)))
    names = {place: f"p{at}" for at, place in enumerate(places)}
    seen, pattern, end = set(), "", 0
    for place in _PLACE.finditer(form):
        pattern += "." * (place.start() - end)
        known_before = place[0] in seen
        seen.add(place[0])
        read = _READ.get(place[0], r"\d\d")
        pattern += read if known_before else f"(?P<{names[place[0]]}>{read})"
        end = place.end()
    pattern += "." * (len(form) - end)
    found = re.fullmatch(pattern, value, re.ASCII | re.DOTALL)
    if found is None:
        raise RuleError("the text has not this format")
    return {place: found[name] for place, name in names.items()}


@known("timezone_to_second", anything)
def offset_seconds(zone: Any) -> int:
    """an offset from UTC, such as `'+08:00'`, in seconds"""
    return _offset(zone, int(time.time()))
