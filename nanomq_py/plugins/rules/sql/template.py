"""Templates of actions: ``${payload.x}`` is replaced by a column, a field or what is inside.

Source   EMQX 4.4, emqx_rule_utils: what is missing is ``undefined``, maps and arrays are JSON,
         and what is no name in braces stays as it is
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from nanomq_py.plugins.rules.sql.errors import RuleError
from nanomq_py.plugins.rules.sql.rows import PAYLOAD, Path, Row, found
from nanomq_py.plugins.rules.sql.values import MOST_REPEATED, UNDEFINED, readable, text_of

_PLACE = re.compile(r"\$\{([a-zA-Z0-9._]+)\}")


class Template:
    """A text with places for columns."""

    def __init__(self, text: str) -> None:
        self.text = text
        parts = _PLACE.split(text)
        self._texts = parts[::2]
        self._paths: list[Path] = [tuple(name.split(".")) for name in parts[1::2]]

    def __call__(self, columns: Mapping[str, Any]) -> str:
        """Return the text; bytes that are not UTF-8 are replaced. Raises RuleError."""
        return "".join(self._filled([text_of(value) for value in self.values(columns)]))

    def encoded(self, columns: Mapping[str, Any]) -> bytes:
        """Return the text as UTF-8; values that are bytes stay as they are."""
        values = self.values(columns)
        if not self._paths:
            return self.text.encode()
        filled = self._filled([v if type(v) is bytes else text_of(v) for v in values])
        return b"".join(each if type(each) is bytes else each.encode() for each in filled)

    def values(self, columns: Mapping[str, Any]) -> list[Any]:
        """Return the values of the places, in their order: what parameters of SQL take."""
        row = Row.of(columns)
        return [_value(path, row) for path in self._paths]

    def _filled(self, values: list[Any]) -> list[Any]:
        if len(values) > 1 and sum(map(len, values)) > MOST_REPEATED:
            raise RuleError(f"a template that makes more than {MOST_REPEATED} letters")
        filled: list[Any] = [None] * (2 * len(values) + 1)
        filled[::2], filled[1::2] = self._texts, values
        return filled


def _value(path: Path, row: Row) -> Any:
    name, *inner = path
    value = row.get(str(name), UNDEFINED)
    if not inner:
        return readable(value) if type(value) is bytes else value
    if name == PAYLOAD:
        try:
            value = row.payload()
        except RuleError:
            return UNDEFINED
    return found(inner, value, row)


def template(text: str) -> Template:
    """Return what fills a text with columns."""
    return Template(text)
