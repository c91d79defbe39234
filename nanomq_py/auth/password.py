"""Passwords of MQTT clients and of the HTTP API, checked in constant time."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Awaitable, Iterable, Mapping

from nanomq_py.auth.chain import Decision, Login
from nanomq_py.auth.verifier import Verifier
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
_RIGHT = Decision(ReasonCode.SUCCESS, listed=True)
_WRONG = Decision(ReasonCode.BAD_USER_NAME_OR_PASSWORD, listed=True)

Answer = Decision | None | Awaitable[Decision]


class Users:
    """The ``auth.N`` users of the configuration: an authenticator."""

    name = "users"

    def __init__(self, users: Iterable[User], slow: Verifier | None = None) -> None:
        """Take the users.

        slow   of the stored hashes of others: a wrong password takes the time of theirs
        """
        self._secrets = {user.login: Secret(user.password.encode()) for user in users}
        self._slow = slow

    def decide(self, login: Login) -> Answer:
        """Pass unless the name is a user's; a wrong name takes the time of a wrong password."""
        if not login.user_name:
            return None
        secret = self._secrets.get(login.user_name, _NOBODY)
        is_right = secret.matches(login.password or b"")
        if secret is _NOBODY:
            return None
        if is_right or self._slow is None:
            return _RIGHT if is_right else _WRONG
        return self._slow.refuse(login)


class FileUsers:
    """The users of the password file: an authenticator."""

    name = "file"

    def __init__(self, users: Mapping[str, str], verifier: Verifier) -> None:
        """Take the stored hash of each user, by name."""
        self._users = users
        self._verifier = verifier

    def decide(self, login: Login) -> Answer:
        stored = self._users.get(login.user_name or "")
        return None if stored is None else self._verifier.judge(login, stored, _RIGHT)


class Strangers:
    """The last of a chain with stored hashes: refuses names that nobody knows, as slowly."""

    name = "strangers"

    def __init__(self, verifier: Verifier) -> None:
        self._verifier = verifier

    def decide(self, login: Login) -> Answer:
        return self._verifier.refuse(login) if login.user_name else None
