"""Literals and paths of a statement, made into functions of a row.

Source   EMQX 4.4, emqx_rule_maps and rulesql: behaviour, not text
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias

from nanomq_py.plugins.rules.sql.errors import SqlError
from nanomq_py.plugins.rules.sql.grammar import Node
from nanomq_py.plugins.rules.sql.rows import PAYLOAD, TAIL, Path, Row, found, inside, ranged
from nanomq_py.plugins.rules.sql.values import MOST_ITEMS, MOST_WHOLE, UNDEFINED, readable

Evaluate: TypeAlias = Callable[[Row], Any]

_MOST_DIGITS = 300
LITERALS = ("integer", "decimal", "text")


def wrong(node: Any, reason: str) -> SqlError:
    """Return the error at the place of a node or a token."""
    at = getattr(node, "meta", node)
    return SqlError(reason, at.line, at.column)


# --- literals


def literal(node: Node) -> int | float | str:
    token = node.children[0]
    if node.data == "text":
        return str(token)[1:-1].replace("''", "'")
    if len(str(token)) > _MOST_DIGITS:
        raise wrong(node, f"expected a number of at most {_MOST_DIGITS} digits")
    value = int(str(token)) if node.data == "integer" else _decimal(node)
    if value > MOST_WHOLE and type(value) is int:
        raise wrong(node, f"expected a whole number up to {MOST_WHOLE}")
    return value


def _decimal(node: Node) -> float:
    value = float(str(node.children[0]))
    if math.isinf(value):
        raise wrong(node, "expected a number below 1.8e308")
    return value


def constant(node: Node) -> Evaluate:
    value = literal(node)
    return lambda row: value


def numbers(node: Node) -> Evaluate:
    first, last = limits(node.children[0])
    if last - first >= MOST_ITEMS:
        raise wrong(node, f"expected a range of at most {MOST_ITEMS} numbers")
    values = list(range(first, last + 1))
    return lambda row: list(values)


def limits(token: Any) -> tuple[int, int]:
    """Return the ends of a range, such as ``[1..-1]``."""
    first, _, last = str(token)[1:-1].partition("..")
    if len(str(token)) > _MOST_DIGITS:
        raise wrong(token, f"expected numbers of at most {_MOST_DIGITS} digits")
    return int(first), int(last)


# --- paths


def path_of(node: Node) -> Path:
    """Return the steps of a path or of an alias."""
    return tuple(_STEPS[step.data](step) for step in node.children)


def _key(node: Node) -> str:
    token = node.children[-1]
    text = str(token)
    if token.type == "STRING":
        return text[1:-1].replace("''", "'")
    return text[1:-1] if token.type == "QUOTED" else text


def _index(node: Node) -> int:
    minus, digits = node.children
    if len(str(digits)) > 9:
        raise wrong(node, "expected an index of at most 9 digits")
    index = int(str(digits))
    if minus is None:
        return index
    return -index if index else TAIL


def _computed(node: Node) -> Callable[[Row], Any]:
    evaluate = path(node.children[0])
    steps = path_of(node.children[0])

    def index(row: Row) -> Any:
        value = evaluate(row)
        return found(steps, row.parsed, row) if value is UNDEFINED else value

    return index


_STEPS: dict[str, Callable[[Node], Any]] = {
    "first_name": _key,
    "key": _key,
    "index": _index,
    "computed": _computed,
}


def path(node: Node) -> Evaluate:
    name, *keys = path_of(node)
    assert isinstance(name, str)
    if not keys:
        return _payload if name == PAYLOAD else _column(name)
    if name != PAYLOAD:
        return lambda row: found(keys, row.get(name, UNDEFINED), row)
    if not all(type(key) is str for key in keys):
        return lambda row: found(keys, row.payload(), row)
    return _payload_key(str(keys[0])) if len(keys) == 1 else _payload_keys(keys)


def _payload(row: Row) -> Any:
    value = row.get(PAYLOAD, UNDEFINED)
    return readable(value) if type(value) is bytes else value


def _column(name: str) -> Evaluate:
    absent = {"true": True, "false": False}.get(name.lower(), UNDEFINED)
    return lambda row: row.get(name, absent)


def _payload_key(key: str) -> Evaluate:
    def evaluate(row: Row) -> Any:
        value = row.parsed
        if value is UNDEFINED:
            value = row.payload()
        return value.get(key, UNDEFINED) if type(value) is dict else inside(value, key)

    return evaluate


def _payload_keys(keys: Path) -> Evaluate:
    def evaluate(row: Row) -> Any:
        value = row.parsed
        if value is UNDEFINED:
            value = row.payload()
        for key in keys:
            value = value.get(key, UNDEFINED) if type(value) is dict else inside(value, key)
        return value

    return evaluate


def part(node: Node) -> Evaluate:
    evaluate = path(node.children[0])
    first, last = limits(node.children[1])
    if not first or not last:
        raise wrong(node.children[1], "expected positions from 1, or from -1 at the end")
    return lambda row: ranged(evaluate(row), first, last)
