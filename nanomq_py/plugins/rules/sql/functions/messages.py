"""Functions of the message or event itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nanomq_py.plugins.rules.sql.errors import RuleError
from nanomq_py.plugins.rules.sql.functions.table import anything, array, known, text, whole
from nanomq_py.plugins.rules.sql.rows import PAYLOAD, Row, found
from nanomq_py.plugins.rules.sql.values import UNDEFINED, readable, same
from nanomq_py.plugins.topics import matcher

# Functions without arguments, and the columns that they stand for.
_COLUMNS = {
    "msgid": "id",
    "qos": "qos",
    "clientid": "clientid",
    "username": "username",
    "peerhost": "peerhost",
    "clientip": "peerhost",
}


def _column(name: str) -> Callable[[Row], Any]:
    def column(row: Row) -> Any:
        return row.get(name, UNDEFINED)

    column.__doc__ = f"the column `{name}`"
    return column


for _name, _its in _COLUMNS.items():
    known(_name, row=True)(_column(_its))


@known("topic", whole, row=True)
def topic(row: Row, level: int | None = None) -> Any:
    """the column `topic`, or one of its levels, from 1"""
    name = row.get("topic", UNDEFINED)
    if level is None or type(name) is not str:
        return name
    levels = name.split("/")
    if not 0 < level <= len(levels):
        raise RuleError("expected a level that the topic has")
    return levels[level - 1]


@known("flags", row=True)
def flags(row: Row) -> Any:
    """the column `flags`; an empty map, where it is undefined"""
    return row.get("flags", {})


@known("flag", text, row=True)
def flag(row: Row, name: str) -> Any:
    """one of the flags, such as `flag('retain')`"""
    return found([name], row.get("flags", UNDEFINED), row)


@known("payload", text, row=True)
def payload(row: Row, path: str | None = None) -> Any:
    """the column `payload`, or what it has at a path such as `'a.b'`"""
    if path is not None:
        return found(path.split("."), row.payload(), row)
    value = row.get(PAYLOAD, UNDEFINED)
    return readable(value) if type(value) is bytes else value


def _is_among(
    filters: list[Any], qos: Any, is_it: Callable[[str], bool], *, any_qos: bool
) -> bool:
    for each in filters:
        held = found(["topic"], each, Row())
        if type(held) is str and is_it(held):
            return any_qos or same(found(["qos"], each, Row()), qos)
    return False


@known("contains_topic", array, text, anything)
def contains_topic(filters: list[Any], topic: str, qos: Any = UNDEFINED) -> bool:
    """whether one of the maps in an array has that `topic`, and that `qos` if it is given"""
    return _is_among(filters, qos, topic.__eq__, any_qos=qos is UNDEFINED)


@known("contains_topic_match", array, text, anything)
def contains_topic_match(filters: list[Any], topic: str, qos: Any = UNDEFINED) -> bool:
    """the same, where the `topic` of the maps is matched by the topic filter"""
    return _is_among(filters, qos, matcher(topic), any_qos=qos is UNDEFINED)
