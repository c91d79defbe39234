"""The statement that a text is. What parses it is imported with the first rule."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nanomq_py.plugins.rules.faults import RuleFault

if TYPE_CHECKING:
    from nanomq_py.plugins.rules.sql import Statement


def parsed(rawsql: str) -> Statement:
    """Return a statement. Raises RuleFault, which says the place and what was expected."""
    from nanomq_py.plugins.rules.sql import SqlError, parse  # with the first rule

    try:
        return parse(rawsql)
    except SqlError as fault:
        raise RuleFault(f"rawsql: {fault}") from None
