"""Statements: a text is parsed once and run for each message.

::

    statement = parse('SELECT payload.x AS x, topic FROM "t/#" WHERE x > 10')
    statement.topics                                     ('t/#',)
    statement.run({"topic": "t/1", "payload": b'{"x": 11}'})    [{'x': 11, 'topic': 't/1'}]

Threads  a statement changes nothing of its own: any thread may run it
         parse may be called by any thread; the first call takes some 0.1 s and 4 MiB
Cost     bounded by the statement's length and what the message brings; see values.py for
         what an expression may make, functions/patterns.py for regular expressions
Source   EMQX 4.4, emqx_rule_runtime: behaviour, not text
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from nanomq_py.plugins.rules.sql.columns import EVENTS, event_of
from nanomq_py.plugins.rules.sql.errors import RuleError
from nanomq_py.plugins.rules.sql.expressions import condition, reads_row, searches
from nanomq_py.plugins.rules.sql.grammar import Node, parsed
from nanomq_py.plugins.rules.sql.paths import wrong
from nanomq_py.plugins.rules.sql.rows import Row
from nanomq_py.plugins.rules.sql.selection import Walk, fields_of, readable_row
from nanomq_py.plugins.rules.sql.topics import is_filter
from nanomq_py.plugins.rules.sql.values import MOST_REPEATED, weight

MOST_LEVELS = 100  # of a statement: brackets, calls and CASEs in each other
Columns = Mapping[str, Any]
Selected = list[dict[str, Any]]


@dataclass(frozen=True)
class Statement:
    """A statement that can be run.

    text    as it was given
    topics  what FROM names: Topic Filters, and events such as ``$events/client_connected``
    is_foreach  it selects any number of rows
    """

    text: str
    topics: tuple[str, ...]
    is_foreach: bool
    _selected: Callable[[Row], Selected]

    def run(self, columns: Columns) -> Selected:
        """Return what is selected: nothing, one row, or with FOREACH any number of them.

        columns  by name (columns.py); the payload as bytes or text; None: it is not there.
                 They stay as they are, and rows share their values
        Raises   RuleError, for any columns
        """
        try:
            return self._selected(Row.of(columns))
        except RecursionError:
            raise RuleError("values in each other, too deep to compare") from None


def parse(text: str) -> Statement:
    """Return the statement that a text is. Raises SqlError, which has the place."""
    tree = parsed(text)
    _check_levels(tree)
    clause: Any = tree.children[0]
    parts = {each.data: each for each in clause.children if each is not None}
    is_foreach = clause.data == "foreach"
    selected = _foreach(parts) if is_foreach else _select(parts)
    if searches(tree):
        selected = _counting(selected)
    return Statement(text, _topics(parts["topics"]), is_foreach, selected)


def _counting(selected: Callable[[Row], Selected]) -> Callable[[Row], Selected]:
    """Return the same, with the steps of its searches counted for each message."""
    from nanomq_py.plugins.rules.sql.functions.patterns import count_anew

    def counted(row: Row) -> Selected:
        count_anew()
        return selected(row)

    return counted


def _check_levels(tree: Node) -> None:
    level: list[Any] = [tree]
    for _ in range(MOST_LEVELS):
        level = [each for node in level for each in node.children if hasattr(each, "data")]
        if not level:
            return
    raise wrong(level[0], f"expected at most {MOST_LEVELS} levels of brackets")


# --- FROM


def _topics(node: Node) -> tuple[str, ...]:
    names: Any = [each.children[0] for each in node.children]
    return tuple(_topic(token) for token in names)


def _topic(token: Any) -> str:
    name = str(token) if token.type == "NAME" else str(token)[1:-1]
    if name.startswith("$events/") and event_of(name) is None:
        events = ", ".join(event for event in EVENTS if event.startswith("$events/"))
        raise wrong(token, f"expected one of {events}")
    if not is_filter(name):
        raise wrong(token, "expected a topic filter: # at its end, + alone in its level")
    return name


# --- SELECT and FOREACH


def _select(parts: Mapping[str, Any]) -> Callable[[Row], Selected]:
    fields = fields_of(parts["fields"].children)
    where = parts.get("where")
    if where is None:
        return lambda row: [fields.selected(row)]
    is_met = condition(where.children[0], "WHERE")
    if fields.names.isdisjoint(_names(where)) and not reads_row(where):
        # What WHERE asks for is there before SELECT: those that it refuses cost no more.
        return lambda row: [fields.selected(row)] if is_met(row) else []

    def selected(row: Row) -> Selected:
        found = fields.selected(row)
        return [found] if is_met(row) else []

    return selected


def _names(node: Node) -> set[str]:
    """Return the first names of paths, with their quotes off."""
    return {str(each.children[0]).strip('"') for each in node.find_data("first_name")}


def _foreach(parts: Mapping[str, Any]) -> Callable[[Row], Selected]:
    walk = Walk.of(parts["fields"].children)
    where, incase = _condition(parts, "where"), _condition(parts, "incase")
    do = fields_of(parts["do"].children[0].children) if "do" in parts else None

    def selected(row: Row) -> Selected:
        columns = readable_row(row)
        items = walk.items(row)
        if not where(row):
            return []
        walked = walk.rows(row, items, incase)
        if do is None:
            return _bounded([{**columns, walk.name: item} for item, _ in walked])
        return _bounded([do.selected(each) for _, each in walked])

    return selected


def _bounded(rows: Selected) -> Selected:
    """Return the rows. Raises RuleError if they are too much to write together.

    Rows share their values: a long payload that is in each row is to be written with each.
    """
    left = MOST_REPEATED
    known: dict[int, int] = {}  # by the identity of a value, which the rows keep
    for row in rows:
        for value in row.values():
            if type(value) in (str, bytes):
                left -= len(value)
            elif type(value) in (list, dict):
                left -= known.get(id(value)) or known.setdefault(id(value), weight(value))
        if left < 0:
            raise RuleError(
                f"FOREACH: {len(rows)} rows of more than {MOST_REPEATED} letters"
            )
    return rows


def _condition(parts: Mapping[str, Any], clause: str) -> Callable[[Row], bool]:
    if clause not in parts:
        return lambda row: True
    return condition(parts[clause].children[0], clause.upper())
