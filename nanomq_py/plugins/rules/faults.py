"""What is wrong with a rule, a resource or an action; the text says it."""

from __future__ import annotations


class RuleFault(ValueError):
    """It cannot be as it was given."""


class UnknownError(RuleFault):
    """There is no such rule, resource or kind."""


class TakenError(RuleFault):
    """There is one of that name, or something uses it."""


class NotHereError(RuleFault):
    """This broker cannot do that."""


class RowError(Exception):
    """An action cannot take a row."""
