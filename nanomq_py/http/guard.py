"""Who may call the API: HTTP Basic or a JWT. Source: RFC 7617, RFC 6750, http-dialects V1."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from nanomq_py.auth.password import Secret
from nanomq_py.config import ConfigError
from nanomq_py.config.sections import HttpServer
from nanomq_py.http.reply import Code, Refused
from nanomq_py.http.throttle import Throttle

LEAST_SECRET_BYTES = 32  # RFC 7518, 3.2: as long as the hash


class Guard(Protocol):
    """Lets a request through or raises Refused."""

    def check(self, authorization: str | None) -> str:
        """Return who it is, for the audit log. ``authorization`` may be anything."""


class BasicGuard:
    """One user name and password, both compared in constant time."""

    def __init__(self, username: str, password: str) -> None:
        self._name = username
        self._username = Secret(username.encode())
        self._password = Secret(password.encode())

    def check(self, authorization: str | None) -> str:
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
        return self._name


class JwtGuard:
    """Bearer tokens, ``exp`` required: RS256 with a public key, HS256 with a secret."""

    def __init__(self, keys: Mapping[str, str]) -> None:
        """Take the key of each algorithm that is allowed."""
        import jwt  # not before it is needed: it takes memory

        self._jwt: Any = jwt
        self.keys = keys

    def check(self, authorization: str | None) -> str:
        """Raise Refused: 104 without a token, 116 for an old one, 103 for a wrong one."""
        scheme, _, token = (authorization or "").partition(" ")
        challenge = {"WWW-Authenticate": 'Bearer realm="nanomq"'}
        if scheme.lower() != "bearer" or not token.strip():
            raise Refused(401, Code.EMPTY_USERNAME_OR_PASSWORD, headers=challenge)
        try:
            claims = self._claims(token.strip())
        except self._jwt.ExpiredSignatureError:
            raise Refused(401, Code.TOKEN_EXPIRED, headers=challenge) from None
        except self._jwt.PyJWTError:
            raise Refused(401, Code.WRONG_USERNAME_OR_PASSWORD, headers=challenge) from None
        return f"token of {str(claims.get('sub', 'nobody'))[:64]!r}"

    def _claims(self, token: str) -> dict[str, Any]:
        # A key is used with its own algorithm only, whatever the token says (RFC 8725, 3.1).
        algorithm = self._jwt.get_unverified_header(token).get("alg")
        if not isinstance(algorithm, str) or algorithm not in self.keys:
            raise self._jwt.InvalidAlgorithmError
        claims: dict[str, Any] = self._jwt.decode(
            token,
            self.keys[algorithm],
            algorithms=[algorithm],
            options={"require": ["exp"], "verify_aud": False},
        )
        return claims


def _public_key(path: str) -> str:
    """Return the text of an RSA public key. Raises ConfigError."""
    from jwt import PyJWTError
    from jwt.algorithms import RSAAlgorithm

    key = f"http_server.jwt.public.keyfile={path!r}"
    try:
        text = Path(path).read_text(encoding="ascii")
    except (OSError, ValueError) as fault:
        raise ConfigError(f"{key}: cannot be read: {fault}") from None
    try:
        RSAAlgorithm(RSAAlgorithm.SHA256).prepare_key(text)
    except (PyJWTError, ValueError, TypeError):
        text = ""
    if "PUBLIC KEY" not in text:
        raise ConfigError(f"{key}: expected a PEM file of an RSA public key")
    return text


def make_guard(config: HttpServer) -> Guard:
    """Return the guard that ``http_server.auth_type`` asks for. Blocks: it reads the key.

    Raises   ConfigError when the keys cannot be used
    """
    if config.auth_type == "basic":
        return BasicGuard(config.username, config.password)
    keys = {}
    if config.jwt_public_keyfile is not None:
        keys["RS256"] = _public_key(config.jwt_public_keyfile)
    if config.jwt_secret is not None:
        if len(config.jwt_secret.encode()) < LEAST_SECRET_BYTES:
            raise ConfigError(
                f"http_server.jwt.secret=(hidden): expected {LEAST_SECRET_BYTES} bytes or more"
            )
        keys["HS256"] = config.jwt_secret
    if not keys:
        raise ConfigError(
            "http_server.jwt.public.keyfile: missing: expected a PEM file, auth_type is jwt"
        )
    return JwtGuard(keys)


class Gate:
    """The guard in force, which a reload replaces, and who has failed before it."""

    def __init__(self, guard: Guard) -> None:
        self.guard = guard
        self._throttle = Throttle()

    async def admit(self, address: str, authorization: str | None) -> str:
        """Return who asks. Raises Refused, and waits where many have failed."""
        async with self._throttle.attempt(address):
            return self.guard.check(authorization)
