"""A row: the columns of one message or event while a statement runs, and paths into it.

A path is keys and indices: ``payload.a.b[1]``. What is looked into may be a map, an array, or
a text of JSON in either. Arrays are counted from 1, from the end with negative indices.

Cost     the payload is read from JSON at most once, and only if a path looks into it
Source   EMQX 4.4, emqx_rule_maps: behaviour, not text
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import orjson

from nanomq_py.plugins.rules.sql.errors import RuleError
from nanomq_py.plugins.rules.sql.values import UNDEFINED, bounded, kind_of

PAYLOAD = "payload"


class Row(dict[str, Any]):
    """Columns and aliases by name.

    parsed  the payload as JSON has it; UNDEFINED: nobody has asked
    """

    __slots__ = ("parsed",)
    parsed: Any

    @classmethod
    def of(cls, columns: Mapping[str, Any]) -> Row:
        """Return a row of its own; a column that is None is one that is not there."""
        row = cls(columns)
        row.parsed = UNDEFINED
        if None in row.values():
            for name in [name for name, value in row.items() if value is None]:
                del row[name]
        return row

    def payload(self) -> Any:
        """Return the payload, looked into. Raises RuleError if it is not JSON."""
        if self.parsed is UNDEFINED:
            value = self.get(PAYLOAD, UNDEFINED)
            self.parsed = _parsed(value) if isinstance(value, str | bytes) else value
        return self.parsed

    def put(self, path: Path, value: Any) -> None:
        """Put a value at a path, as an alias does; what is undefined changes nothing.

        Raises   RuleError, if the map or array that holds it gets too large
        """
        if value is UNDEFINED:
            return
        name = path[0]
        assert isinstance(name, str)
        if len(path) > 1:
            inner = self.payload() if name == PAYLOAD else self.get(name, UNDEFINED)
            value = bounded(placed(path[1:], value, inner, self))
        self[name] = value
        if name == PAYLOAD:
            self.parsed = UNDEFINED


# A step is a key, an index from 1 or -1, HEAD or TAIL, or what finds out a key or an index.
Step: TypeAlias = "str | int | Callable[[Row], Any]"
Path: TypeAlias = Sequence[Step]
HEAD, TAIL = 0, 1 << 31  # in front of an array, behind it: where a value may be put


def _parsed(payload: str | bytes) -> Any:
    try:
        return orjson.loads(payload)
    except orjson.JSONDecodeError:
        raise RuleError("the payload is not JSON, and a path looks into it") from None


def inside(value: Any, step: Step) -> Any:
    """Return what a step leads to; UNDEFINED if it leads nowhere."""
    if type(value) in (str, bytes) and value[:1] in ("{", "[", b"{", b"["):
        try:
            value = orjson.loads(value)
        except orjson.JSONDecodeError:
            return UNDEFINED
    if type(value) is dict:
        return value.get(step, UNDEFINED) if type(step) is str else UNDEFINED
    if type(value) is list and type(step) is int:
        return nth(value, step)
    return UNDEFINED


def nth(array: list[Any], index: int) -> Any:
    if 0 < index <= len(array):
        return array[index - 1]
    return array[index] if -len(array) <= index < 0 else UNDEFINED


def found(path: Path, value: Any, row: Row) -> Any:
    """Return what a path leads to from that value; a key or an index may be in the row."""
    for step in path:
        value = inside(value, step(row) if callable(step) else step)
    return value


def placed(path: Path, value: Any, holder: Any, row: Row) -> Any:
    """Return a holder with the value at the path; the one that is there stays as it was."""
    step = path[0](row) if callable(path[0]) else path[0]
    if len(path) > 1:
        value = placed(path[1:], value, inside(holder, step), row)
    if type(step) is str:
        return {**holder, step: value} if type(holder) is dict else {step: value}
    if type(holder) is not list:
        return [value]
    return _replaced(holder, step, value)


def _replaced(array: list[Any], index: Any, value: Any) -> list[Any]:
    if type(index) is not int:
        return array
    if index == HEAD:
        return [value, *array]
    if index == TAIL:
        return [*array, value]
    if abs(index) <= len(array):
        at = index - 1 if index > 0 else index
        return [*array[:at], value, *array[at:][1:]]
    return array


def ranged(array: Any, first: int, last: int) -> list[Any]:
    """Return a part of an array, both ends with it. Raises RuleError if it is none."""
    if type(array) is not list:
        raise RuleError(f"a range of {kind_of(array)}: expected an array")
    start = first if first > 0 else len(array) + first + 1
    end = last if last > 0 else len(array) + last + 1
    if start < 1:
        raise RuleError(f"a range that begins {1 - start} before its array")
    return array[start - 1 : max(end, 0)]
