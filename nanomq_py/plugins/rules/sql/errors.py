"""What is wrong with a statement, and what goes wrong while one runs."""

from __future__ import annotations


class SqlError(ValueError):
    """A text is no statement.

    reason  what was expected, and what stands there
    line    where, from 1
    column  where in that line, in characters from 1
    """

    def __init__(self, reason: str, line: int, column: int) -> None:
        super().__init__(f"line {line}, column {column}: {reason}")
        self.reason = reason
        self.line = line
        self.column = column


class RuleError(Exception):
    """A statement cannot be evaluated for this message. It names kinds, never a payload."""
