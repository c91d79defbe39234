"""Clients that need not say who they are: the last authenticator."""

from __future__ import annotations

from typing import Protocol

from nanomq_py.auth.chain import Decision, Login
from nanomq_py.core.declared import ReasonCode

_WELCOME = Decision(ReasonCode.SUCCESS, listed=True)


class Listens(Protocol):
    """Knows which listeners let clients in that give no name."""

    def allow_anonymous(self, number: int) -> bool: ...


class Anonymous:
    """Lets clients in that give no user name and no password, where the listener allows it.

    An empty user name counts as none. Where no name gives rights, any name does.
    """

    name = "anonymous"

    def __init__(self, listeners: Listens, *, names_count: bool) -> None:
        self._listeners = listeners
        self._names_count = names_count

    def decide(self, login: Login) -> Decision | None:
        nameless = login.user_name == "" or (
            login.user_name is None and login.password is None
        )
        if nameless or not self._names_count:
            return _WELCOME if self._listeners.allow_anonymous(login.listener) else None
        return None
