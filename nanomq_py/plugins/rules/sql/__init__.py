"""The SQL of rules: a text in, a statement that can be run out.

::

    statement = parse(text)             SqlError: the place, and what was expected
    statement.topics                    what FROM names
    statement.run(columns)              the rows; RuleError: why not
    template("${topic}")(row)           a text with values of a row

See docs/rules-sql.md for the language, ``columns.EVENTS`` for what a message or event has.
"""

from nanomq_py.plugins.rules.sql.columns import EVENTS, Event, event_of
from nanomq_py.plugins.rules.sql.errors import RuleError, SqlError
from nanomq_py.plugins.rules.sql.statement import Statement, parse
from nanomq_py.plugins.rules.sql.template import Template, template
from nanomq_py.plugins.rules.sql.values import json_text

__all__ = [
    "EVENTS",
    "Event",
    "RuleError",
    "SqlError",
    "Statement",
    "Template",
    "event_of",
    "json_text",
    "parse",
    "template",
]
