"""Who may call the API: HTTP Basic or a JWT. Source: RFC 7617, RFC 6750, http-dialects V1."""

from __future__ import annotations

import base64
import binascii
from pathlib import Path
from typing import Any, Protocol

from nanomq_py.auth.password import Secret
from nanomq_py.config import ConfigError
from nanomq_py.config.model import HttpServer
from nanomq_py.http.reply import Code, Refused


class Guard(Protocol):
    """Lets a request through or raises Refused."""

    def check(self, authorization: str | None) -> None: ...


class BasicGuard:
    """One user name and password, both compared in constant time."""

    def __init__(self, username: str, password: str) -> None:
        self._username = Secret(username.encode())
        self._password = Secret(password.encode())

    def check(self, authorization: str | None) -> None:
        """Raise Refused: 104 without credentials, 103 with wrong ones."""
        scheme, _, encoded = (authorization or "").partition(" ")
        challenge = {"WWW-Authenticate": 'Basic realm="nanomq", charset="UTF-8"'}
        if scheme.lower() != "basic" or not encoded.strip():
            raise Refused(401, Code.EMPTY_USERNAME_OR_PASSWORD, headers=challenge)
        try:
            pair = base64.b64decode(encoded.strip(), validate=True)
        except (binascii.Error, ValueError):
            raise Refused(401, Code.WRONG_USERNAME_OR_PASSWORD, headers=challenge) from None
        username, _, password = pair.partition(b":")
        if not username and not password:
            raise Refused(401, Code.EMPTY_USERNAME_OR_PASSWORD, headers=challenge)
        # Both, always: the time must not tell which one was wrong.
        right = [self._username.matches(username), self._password.matches(password)]
        if not all(right):
            raise Refused(401, Code.WRONG_USERNAME_OR_PASSWORD, headers=challenge)


class JwtGuard:
    """Bearer tokens signed with RS256, ``exp`` required."""

    def __init__(self, public_key: str) -> None:
        import jwt  # not before it is needed: it takes memory

        self._jwt: Any = jwt
        self._key = public_key

    def check(self, authorization: str | None) -> None:
        """Raise Refused: 104 without a token, 116 for an old one, 103 for a wrong one."""
        scheme, _, token = (authorization or "").partition(" ")
        challenge = {"WWW-Authenticate": 'Bearer realm="nanomq"'}
        if scheme.lower() != "bearer" or not token.strip():
            raise Refused(401, Code.EMPTY_USERNAME_OR_PASSWORD, headers=challenge)
        try:
            # The algorithm is ours to choose, never the token's.
            self._jwt.decode(
                token.strip(),
                self._key,
                algorithms=["RS256"],
                options={"require": ["exp"], "verify_aud": False},
            )
        except self._jwt.ExpiredSignatureError:
            raise Refused(401, Code.TOKEN_EXPIRED, headers=challenge) from None
        except self._jwt.PyJWTError:
            raise Refused(401, Code.WRONG_USERNAME_OR_PASSWORD, headers=challenge) from None


def make_guard(config: HttpServer) -> Guard:
    """Return the guard that ``http_server.auth_type`` asks for.

    Raises   ConfigError when the public key cannot be used
    """
    if config.auth_type == "basic":
        return BasicGuard(config.username, config.password)
    key = "http_server.jwt.public.keyfile"
    if config.jwt_public_keyfile is None:
        raise ConfigError(f"{key}: missing: expected a PEM file, auth_type is jwt")
    try:
        text = Path(config.jwt_public_keyfile).read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as fault:
        raise ConfigError(
            f"{key}={config.jwt_public_keyfile!r}: cannot be read: {fault}"
        ) from None
    if "PUBLIC KEY" not in text:
        raise ConfigError(f"{key}={config.jwt_public_keyfile!r}: expected a PEM public key")
    return JwtGuard(text)
