"""What SELECT and DO select, and what FOREACH walks.

Source   EMQX 4.4, emqx_rule_runtime: behaviour, not text
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from nanomq_py.plugins.rules.sql.errors import RuleError
from nanomq_py.plugins.rules.sql.expressions import expression
from nanomq_py.plugins.rules.sql.grammar import Node
from nanomq_py.plugins.rules.sql.paths import Evaluate, literal, path_of, wrong
from nanomq_py.plugins.rules.sql.rows import PAYLOAD, Path, Row
from nanomq_py.plugins.rules.sql.values import MOST_ITEMS, UNDEFINED, readable


def readable_row(row: Row) -> dict[str, Any]:
    """Return the columns of a row, the payload as a text where it is one."""
    columns = dict(row)
    payload = columns.get(PAYLOAD)
    if type(payload) is bytes:
        columns[PAYLOAD] = readable(payload)
    return columns


@dataclass(frozen=True)
class Field:
    """One of what is selected: a value, and where it is put. Without a value: ``*``."""

    evaluate: Evaluate | None
    place: Path

    def select(self, row: Row, into: Row) -> None:
        if self.evaluate is None:
            into.update(readable_row(row))
            return
        value = self.evaluate(row)
        row.put(self.place, value)
        into.put(self.place, value)


@dataclass(frozen=True)
class Fields:
    """What is selected.

    selected  gives the values of a row by name; a value that is undefined is left out, and
              the row has the aliases then, so that the fields behind and WHERE see them
    names     first names that it puts a value at that the row may not have had before
    """

    selected: Callable[[Row], dict[str, Any]]
    names: frozenset[str]


def fields_of(nodes: Sequence[Any]) -> Fields:
    fields = [_field(node, at) for at, node in enumerate(nodes)]
    changed = frozenset(
        str(field.place[0])
        for field, node in zip(fields, nodes, strict=True)
        if field.place and not _is_column(node)
    )
    plain = [(field.evaluate, field.place[0]) for field in fields if _is_plain(field)]
    if len(plain) == len(fields):
        return Fields(_plainly(plain), changed)

    def selected(row: Row) -> dict[str, Any]:
        into = Row.of({})
        for field in fields:
            field.select(row, into)
        return dict(into)

    return Fields(selected, changed)


def _plainly(fields: Sequence[Any]) -> Callable[[Row], dict[str, Any]]:
    """Return what selects values that have names, and none of them the payload."""

    def selected(row: Row) -> dict[str, Any]:
        into = {}
        for evaluate, name in fields:
            value = evaluate(row)
            if value is not UNDEFINED:
                row[name] = into[name] = value
        return into

    return selected


def _is_plain(field: Field) -> bool:
    return (
        field.evaluate is not None and len(field.place) == 1 and field.place[0] != PAYLOAD
    )


def _is_column(node: Node) -> bool:
    """Return whether that is a column under its own name."""
    what, place = node.children
    return what.data == "path" and len(what.children) == 1 and place is None


def _field(node: Node, at: int) -> Field:
    if node.data == "all":
        return Field(None, ())
    what, place = node.children
    return Field(expression(what), _place(what, place, at))


def _place(what: Any, place: Any, at: int) -> Path:
    """Return where a value is put: at its alias, or at its own path or text."""
    if place is not None:
        return path_of(place)
    if what.data == "path":
        return path_of(what)
    if what.data == "part":
        return path_of(what.children[0])
    if what.data == "text":
        return (str(literal(what)),)
    return (f"_v_{_KINDS.get(what.data, what.data)}_{at + 1}",)


# Names of values that have none: EMQX makes them of the kind and the time.
_KINDS = {
    "integer": "const",
    "decimal": "const",
    "chain": "op",
    "compared": "op",
    "call": "fun",
}


@dataclass(frozen=True)
class Walk:
    """The items of FOREACH: of its last field, under its alias or ``item``."""

    before: Fields
    last: Field
    name: str

    @classmethod
    def of(cls, nodes: Sequence[Any]) -> Walk:
        *before, last = nodes
        field = _field(last, len(before))
        if field.evaluate is None:
            raise wrong(last, "expected an array for FOREACH")
        named = last.children[1] is not None and len(field.place) == 1
        return cls(fields_of(before), field, str(field.place[0]) if named else "item")

    def items(self, row: Row) -> list[Any]:
        """Return the items; none, if there is no array. Raises RuleError for too many."""
        self.before.selected(row)
        assert self.last.evaluate is not None
        array = self.last.evaluate(row)
        row.put(self.last.place, array)
        if type(array) is not list:
            return []
        if len(array) > MOST_ITEMS:
            raise RuleError(f"FOREACH: an array of more than {MOST_ITEMS} items")
        return array

    def rows(
        self, row: Row, items: Sequence[Any], incase: Callable[[Row], bool]
    ) -> Iterator[tuple[Any, Row]]:
        """Yield each item that INCASE takes, with a row of its own that has it."""
        for item in items:
            each = Row(row)
            each.parsed = row.parsed
            each.put((self.name,), item)
            if incase(each):
                yield item, each
