"""A part of a list of the store, and how many there are in all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")

MOST_ROWS = 10_000  # of a part


@dataclass(frozen=True)
class Rows(Generic[T]):
    """Rows of a list, from an offset on.

    total  of the whole list, at the same moment
    """

    rows: list[T]
    total: int


def checked_part(offset: int, limit: int) -> None:
    """Raise ValueError for a part that cannot be."""
    if not 0 <= offset < 1 << 63:
        raise ValueError(f"offset={offset}: expected 0 to 2**63 - 1")
    if not 1 <= limit <= MOST_ROWS:
        raise ValueError(f"limit={limit}: expected 1 to {MOST_ROWS}")


def where(conditions: Mapping[str, object]) -> tuple[str, tuple[object, ...]]:
    """Return the WHERE clause of those that are asked for, and its values.

    conditions   by an SQL condition with one ``?``; None: not asked for
    """
    asked = {sql: value for sql, value in conditions.items() if value is not None}
    return " WHERE " + " AND ".join(asked), tuple(asked.values())
