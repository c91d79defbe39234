"""Functions of maps and arrays."""

from __future__ import annotations

from typing import Any

from nanomq_py.plugins.rules.sql.errors import RuleError
from nanomq_py.plugins.rules.sql.functions.kinds import as_map
from nanomq_py.plugins.rules.sql.functions.table import anything, array, known, text, whole
from nanomq_py.plugins.rules.sql.rows import Row, found, placed
from nanomq_py.plugins.rules.sql.values import UNDEFINED, bounded, same

_NO_ROW = Row()


@known("map_new")
def new_map() -> dict[str, Any]:
    """an empty map"""
    return {}


@known("map_get", text, anything, anything)
def get(key: str, map: Any, default: Any = UNDEFINED) -> Any:
    """what a map, or a text of JSON, has at a key such as `'a.b'`; else the default"""
    value = found(key.split("."), map, _NO_ROW)
    return default if value is UNDEFINED else value


@known("map_put", text, anything, anything)
def put(key: str, value: Any, map: Any) -> Any:
    """the map with a value at a key such as `'a.b'`"""
    if value is UNDEFINED:
        return map
    return bounded(placed(key.split("."), value, map, _NO_ROW))


@known("mget", text, anything, anything)
def get_flat(key: str, map: Any, default: Any = UNDEFINED) -> Any:
    """what a map has at a key, in which a point is a point; else the default"""
    return as_map(map).get(key, default)


@known("mput", text, anything, anything)
def put_flat(key: str, value: Any, map: Any) -> Any:
    """the map with a value at a key, in which a point is a point"""
    held = as_map(map)
    return held if value is UNDEFINED else bounded({**held, key: value})


@known("map_keys", anything)
def keys(map: Any) -> list[str]:
    """an array of the keys of a map"""
    return list(as_map(map))


@known("map_values", anything)
def values(map: Any) -> list[Any]:
    """an array of the values of a map"""
    return list(as_map(map).values())


@known("map_to_entries", anything)
def entries(map: Any) -> list[dict[str, Any]]:
    """an array of maps with `key` and `value`, one for each of a map"""
    pairs = [{"key": key, "value": value} for key, value in as_map(map).items()]
    return bounded(pairs)  # type: ignore[no-any-return]


@known("nth", whole, array)
def nth(position: int, array: list[Any]) -> Any:
    """the item at a position from 1"""
    if not 0 < position <= len(array):
        raise RuleError("expected a position in the array")
    return array[position - 1]


@known("length", array)
def length(array: list[Any]) -> int:
    """how many items it has"""
    return len(array)


@known("sublist", whole, anything, array)
def part(start: int, length: Any, array: list[Any] | None = None) -> list[Any]:
    """the items from a position from 1, so many of them; with two arguments, `sublist(length,
    array)`, the first ones"""
    if array is None:
        start, length, array = 1, start, _array(length)
    if start < 1 or whole(length) < 0:
        raise RuleError("expected a position from 1 and a length from 0")
    return array[start - 1 : start - 1 + length]


_array = array


@known("first", array)
def first(array: list[Any]) -> Any:
    """the first item"""
    return nth(1, array)


@known("last", array)
def last(array: list[Any]) -> Any:
    """the last item"""
    return nth(len(array), array)


@known("contains", anything, array)
def contains(value: Any, array: list[Any]) -> bool:
    """whether an item is the value; 1 is not 1.0"""
    return any(same(value, item) for item in array)
