"""Passwords of MQTT clients and of the HTTP API, checked in constant time."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Iterable

from nanomq_py.auth.chain import Decision, Login
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
    """The ``auth.N`` users of the configuration: an authenticator."""

    name = "users"

    def __init__(self, users: Iterable[User]) -> None:
        self._secrets = {user.login: Secret(user.password.encode()) for user in users}

    def decide(self, login: Login) -> Decision | None:
        """Pass unless the name is a user's; a wrong name takes the time of a wrong password."""
        if not login.user_name:
            return None
        secret = self._secrets.get(login.user_name, _NOBODY)
        is_right = secret.matches(login.password or b"")
        if secret is _NOBODY:
            return None
        return Decision(
            ReasonCode.SUCCESS if is_right else ReasonCode.BAD_USER_NAME_OR_PASSWORD,
            listed=True,
        )
