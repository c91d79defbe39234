"""Who calls the HTTP API."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from nanomq_py.store.roles import Role


class CallerKind(Enum):
    """What a caller has shown."""

    CONFIGURED = "configured"  # http_server.username, and its password
    USER = "user"  # a user of the store
    APP = "app"  # an app of the store
    TOKEN = "token"  # noqa: S105 - a JWT


@dataclass(frozen=True)
class Caller:
    """Who calls.

    name    for the audit log; of a user and an app its own
    place   address and port; empty: not known
    """

    name: str
    role: Role
    kind: CallerKind
    place: str = ""

    @property
    def may_change(self) -> bool:
        """Whether it may do more than read."""
        return self.role is Role.ADMINISTRATOR

    def __str__(self) -> str:
        """Return it for the audit log."""
        return f"{self.name} from {self.place or 'nowhere'}"


class CannotJudgeError(Exception):
    """It cannot be said now whether a login is right.

    is_busy   too many are judged; else the store does not answer
    """

    def __init__(self, why: str, *, is_busy: bool) -> None:
        super().__init__(why)
        self.is_busy = is_busy


class Stored(Protocol):
    """Users and apps that are not in the configuration.

    Errors   CannotJudgeError
    """

    needs_administrator: bool  # else the default password would count again

    async def has_administrator(self) -> bool:
        """Return whether one of them is an administrator."""

    async def check(self, name: bytes, password: bytes, address: str) -> Caller | None:
        """Return who logs in, in the same time whatever is wrong; None: it is wrong."""
