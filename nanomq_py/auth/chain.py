"""Who says whether a client may come in: authenticators, asked in their order.

::

    Login ──> users ──pass──> ... ──pass──> nobody knows the client: refused
                │allow, deny
                v
             Decision

An authenticator that knows the client decides, and those behind it are not asked. One that
needs time returns an awaitable: its client waits, and nobody else. One that keeps stored hashes
passes a user name that it does not know at once: the last of the chain makes up for the time of
a hash (``password.Strangers``).
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from nanomq_py.core.declared import ReasonCode
from nanomq_py.core.rules import Rules

log = logging.getLogger("nanomq")


@dataclass(frozen=True)
class Login:
    """What a client says of itself in CONNECT; an empty user name counts as none."""

    listener: int  # number of the one that it came through
    address: str  # of the client; empty: on this machine (IPC)
    client_id: str
    user_name: str | None
    password: bytes | None = field(repr=False)


@dataclass(frozen=True)
class Decision:
    """What an authenticator says of a client.

    reason_code   0 lets it in; others refuse it (MQTT 5.0, 3.2.2.2)
    user_name     who it has proved to be; None: as CONNECT says
    listed        that is one of the configuration's users, or there is no name
    is_superuser  access rules do not count for it
    rules         of this client alone, asked before all others; None: none
    ends_at_s     when its connection ends, in seconds since 1970; None: not by itself
    """

    reason_code: int
    user_name: str | None = None
    listed: bool = False
    is_superuser: bool = False
    ends_at_s: float | None = None
    rules: Rules | None = None


# None passes: the next authenticator is asked.
Answer = Decision | None


class Authenticator(Protocol):
    """One way to know clients.

    Threads  called on the event loop, which it must not block
    """

    @property
    def name(self) -> str: ...

    def decide(self, login: Login) -> Answer | Awaitable[Answer]:
        """Say what is to become of the client, at once where that needs no waiting."""


_NOBODY_KNOWS = Decision(ReasonCode.BAD_USER_NAME_OR_PASSWORD)
_NO_NAME = Decision(ReasonCode.NOT_AUTHORIZED)
_FAILED = Decision(ReasonCode.UNSPECIFIED_ERROR)


class Chain:
    """Authenticators in their order."""

    def __init__(self, authenticators: Sequence[Authenticator] = ()) -> None:
        self._all = tuple(authenticators)

    def decide(self, login: Login) -> Decision | Awaitable[Decision]:
        """Return the decision of the first that does not pass: at once, unless one waits.

        A client that nobody knows is refused: with 0x87 if it has no credentials, else with
        0x86. An authenticator that raises refuses the client.
        """
        for at, authenticator in enumerate(self._all):
            try:
                answer = authenticator.decide(login)
            except Exception:
                return _failed(authenticator)
            if inspect.isawaitable(answer):
                return self._later(login, at, answer)
            if answer is not None:
                return answer
        return _unknown(login)

    async def _later(self, login: Login, at: int, waiting: Awaitable[Answer]) -> Decision:
        """Go on behind the authenticator of that place, which needs time."""
        try:
            answer = await waiting
        except Exception:
            return _failed(self._all[at])
        if answer is not None:
            return answer
        behind = Chain(self._all[at + 1 :]).decide(login)
        return await behind if inspect.isawaitable(behind) else behind


def _failed(authenticator: Authenticator) -> Decision:
    log.exception("authenticator %s failed; its client is refused", authenticator.name)
    return _FAILED


def _unknown(login: Login) -> Decision:
    return _NO_NAME if not login.user_name and login.password is None else _NOBODY_KNOWS
