"""SCRAM-SHA-256 as an enhanced authentication method.

Source  RFC 5802, RFC 7677
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Iterable

import scramp

from nanomq_py.auth.enhanced import Exchange, Step
from nanomq_py.config.keys.access import User
from nanomq_py.core.declared import ReasonCode

MOST_NAME_BYTES = 256  # each letter of a name is work (RFC 4013)

Keys = tuple[bytes, bytes, bytes, int]  # salt, stored key, server key, iterations


def _name_fits(client_first: bytes) -> bool:
    """Return whether the name in ``n,,n=NAME,r=NONCE`` is short enough to be looked at."""
    name = b"".join(client_first.split(b",")[2:3]).removeprefix(b"n=")
    return len(name.replace(b"=2C", b",").replace(b"=3D", b"=")) <= MOST_NAME_BYTES


class _ScramExchange:
    def __init__(self, scram: Scram) -> None:
        self._scram = scram
        self._server = scram.mechanism.make_server(self._look_up)
        self._user_name = ""
        self._first = True

    def _look_up(self, name: str) -> Keys:
        self._user_name = name
        return self._scram.keys_of(name)

    def step(self, data: bytes | None) -> Step:
        try:
            text = (data or b"").decode()
            if self._first and not _name_fits(data or b""):
                return Step(ReasonCode.NOT_AUTHORIZED)
            if self._first:
                self._first = False
                self._server.set_client_first(text)
                return Step(
                    ReasonCode.CONTINUE_AUTHENTICATION,
                    self._server.get_server_first().encode(),
                )
            self._server.set_client_final(text)
            final = self._server.get_server_final().encode()
            name = self._user_name
            return Step(ReasonCode.SUCCESS, final, name, claims=name, listed=True)
        except (scramp.ScramException, ValueError):
            return Step(ReasonCode.NOT_AUTHORIZED, claims=self._user_name)


class Scram:
    """SCRAM-SHA-256 for the ``auth.N`` users; passwords are kept as RFC 5802 keys."""

    name = "SCRAM-SHA-256"

    def __init__(self, users: Iterable[User]) -> None:
        self.mechanism = scramp.ScramMechanism(self.name)
        self._keys: dict[str, Keys] = {
            user.login: self.mechanism.make_auth_info(user.password) for user in users
        }
        self._secret = secrets.token_bytes(32)

    def begin(self, client_id: str) -> Exchange:
        return _ScramExchange(self)

    def keys_of(self, name: str) -> Keys:
        """Return the user's keys.

        A name that is no user gets a salt that stays the same, and its proof fails as with
        a wrong password: nobody can find out which users there are.
        """
        known = self._keys.get(name)
        if known is not None:
            return known
        salt = hmac.digest(self._secret, name.encode(), "sha256")[:16]
        nothing = secrets.token_bytes(32)
        return salt, nothing, nothing, int(self.mechanism.iteration_count)
