"""What can be wrong with the store, in words that say how to go on."""

from __future__ import annotations


class StoreError(Exception):
    """The store cannot be used; the text names the key, the file, and what to do."""


class DamagedError(StoreError):
    """What was kept is not what is read."""


class StoreFullError(StoreError):
    """The store holds, or is asked for, as much as it may."""


class TakenError(ValueError):
    """There is somebody of that name already; nothing has changed."""


class LastAdministratorError(ValueError):
    """Nobody would be left who may change anything; nothing has changed."""
