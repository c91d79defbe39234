"""Passwords of MQTT clients and of the HTTP API, checked in constant time."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Iterable

from nanomq_py.config.keys.access import User
from nanomq_py.core.declared import ReasonCode


class Secret:
    """A password that can be compared and not read back.

    It is kept as a keyed digest under a key of its own, not as a slow hash, which would cost
    too much when many clients connect at once. The configuration, which requests 11 and 12
    answer from, holds the clear text beside it.
    """

    __slots__ = ("_digest", "_key")

    def __init__(self, password: bytes) -> None:
        self._key = secrets.token_bytes(32)
        self._digest = hmac.digest(self._key, password, hashlib.sha256)

    def matches(self, password: bytes) -> bool:
        """Take the same time whatever the password is."""
        return hmac.compare_digest(
            self._digest, hmac.digest(self._key, password, hashlib.sha256)
        )


_NOBODY = Secret(secrets.token_bytes(32))


class Users:
    """The ``auth.N`` users of the configuration."""

    def __init__(self, users: Iterable[User], *, names_count: bool = False) -> None:
        """Take those. ``names_count``: access rules name users, so a name must be proved."""
        self._secrets = {user.login: Secret(user.password.encode()) for user in users}
        self._names_count = bool(self._secrets) or names_count

    def decide(
        self, user_name: str | None, password: bytes | None, *, allow_anonymous: bool
    ) -> int:
        """Return the Reason Code for a CONNECT: 0 lets the client in.

        An empty user name counts as none.
        """
        if user_name == "" or (user_name is None and password is None):
            return ReasonCode.SUCCESS if allow_anonymous else ReasonCode.NOT_AUTHORIZED
        if not self._names_count and allow_anonymous:
            return ReasonCode.SUCCESS
        secret = self._secrets.get(user_name or "", _NOBODY)
        return (
            ReasonCode.SUCCESS
            if secret.matches(password or b"")
            else ReasonCode.BAD_USER_NAME_OR_PASSWORD
        )
