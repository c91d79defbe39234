"""Who may call the API: HTTP Basic or a JWT. Source: RFC 7617, RFC 6750, http-dialects V1."""

from __future__ import annotations

import asyncio
import base64
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from nanomq_py import kept
from nanomq_py.auth.password import Secret
from nanomq_py.auth.throttle import Throttle, network_of
from nanomq_py.config import ConfigError
from nanomq_py.config.keys.http_server import ISSUER_BY_KEYFILE, HttpServer
from nanomq_py.http.errors import Login, Throttled, Unauthorized
from nanomq_py.http.lean import hidden, private
from nanomq_py.listen.tls import MAX_PEM_BYTES

if TYPE_CHECKING:
    from nanomq_py.tokens.rs256 import PublicKey

LEAST_SECRET_BYTES = 32  # RFC 7518, 3.2: as long as the hash


class Guard(Protocol):
    """Lets a request through or raises Unauthorized."""

    def claims(self, authorization: str) -> str:
        """Return the user name that the header claims; empty where it has none."""

    def check(self, authorization: str | None) -> str:
        """Return who calls, for the audit log. ``authorization`` may be anything."""


def _credentials(authorization: str) -> tuple[bytes, bytes] | None:
    """Return user name and password; None for what is not Basic. Raises ValueError."""
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic" or not encoded.strip():
        return None
    username, _, password = base64.b64decode(encoded.strip(), validate=True).partition(b":")
    return username, password


class BasicGuard:
    """One user name and password, both compared in constant time."""

    def __init__(self, username: str, password: str) -> None:
        self._name = username
        self._username = Secret(username.encode())
        self._password = Secret(password.encode())

    def claims(self, authorization: str) -> str:
        """Return the user name."""
        try:
            username, _ = _credentials(authorization) or (b"", b"")
        except ValueError:
            return ""
        return username.decode(errors="replace")

    def check(self, authorization: str | None) -> str:
        """Raise Unauthorized without credentials, and with wrong ones."""
        challenge = 'Basic realm="nanomq", charset="UTF-8"'
        try:
            username, password = _credentials(authorization or "") or (b"", b"")
        except ValueError:
            raise Unauthorized(Login.WRONG, challenge=challenge) from None
        if not username and not password:
            raise Unauthorized(Login.MISSING, challenge=challenge)
        # Both, always: the time must not tell which one was wrong.
        right = [self._username.matches(username), self._password.matches(password)]
        if not all(right):
            raise Unauthorized(Login.WRONG, challenge=challenge)
        return self._name


@dataclass(frozen=True)
class TokenRules:
    """What a token must say, besides who signed it.

    issuers       by algorithm, who must have issued it; an algorithm without one: anybody
    names_issuer  whether a token must name its issuer; if not, one that it names is checked
    audience      the audience that it must name; None: any
    max_life_s    0: no bound
    """

    issuers: Mapping[str, str] = field(default_factory=dict)
    names_issuer: bool = False
    audience: str | None = None
    max_life_s: int = 0


def _token_refused(message: str = "", why: Login = Login.WRONG) -> Unauthorized:
    challenge = 'Bearer realm="nanomq", error="invalid_token"'  # RFC 6750, 3.1
    return Unauthorized(why, message, challenge=challenge)


@cache
def _pyjwt() -> Any:
    """Return PyJWT without cryptography, which takes 8 MiB; RS256 is verified by ``rs256``."""
    from nanomq_py.tokens.rs256 import Rs256

    with private("jwt"), hidden("cryptography"):
        import jwt
    library: Any = jwt
    library.algorithms.Algorithm.register(Rs256)
    library.register_algorithm("RS256", Rs256())
    return library


class JwtGuard:
    """Bearer tokens, ``exp`` required: RS256 with a public key, HS256 with a secret."""

    def __init__(self, keys: Mapping[str, str | PublicKey], rules: TokenRules) -> None:
        """Take the key of each algorithm that is allowed."""
        self._jwt = _pyjwt()
        self._rules = rules
        self.keys = keys

    def claims(self, authorization: str) -> str:
        """Return nothing: a token is not looked at before it is checked."""
        return ""

    def check(self, authorization: str | None) -> str:
        """Raise Unauthorized without a token, for an old one, and for a wrong one."""
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            challenge = 'Bearer realm="nanomq"'
            raise Unauthorized(Login.MISSING, challenge=challenge)
        try:
            claims = self._claims(token.strip())
        except self._jwt.ExpiredSignatureError:
            raise _token_refused(why=Login.EXPIRED) from None
        except self._jwt.PyJWTError as fault:
            raise _token_refused(self._why(fault)) from None
        except (TypeError, ValueError, OverflowError):
            raise _token_refused("the exp or iat of the token is no time") from None
        return f"token of {str(claims.get('sub', 'nobody'))[:64]!r}"

    def _claims(self, token: str) -> dict[str, Any]:
        # A key is used with its own algorithm only, whatever the token says (RFC 8725, 3.1).
        algorithm = self._jwt.get_unverified_header(token).get("alg")
        if not isinstance(algorithm, str) or algorithm not in self.keys:
            raise self._jwt.InvalidAlgorithmError
        rules = self._rules
        claims: dict[str, Any] = self._jwt.decode(
            token,
            self.keys[algorithm],
            algorithms=[algorithm],
            audience=rules.audience,
            options={
                "require": ["exp", "iss"] if rules.names_issuer else ["exp"],
                "verify_aud": rules.audience is not None,
            },
        )
        issuer = rules.issuers.get(algorithm, "")
        if issuer and claims.get("iss", issuer) != issuer:
            raise self._jwt.InvalidIssuerError
        if 0 < rules.max_life_s < _life_s(claims):
            raise _token_refused("the token lives longer than http_server.jwt.max_life")
        return claims

    def _why(self, fault: Exception) -> str:
        """Return what is wrong with a token whose signature is right; else nothing."""
        if isinstance(fault, self._jwt.MissingRequiredClaimError):
            return f"the token has no {fault.claim}"
        if isinstance(fault, self._jwt.InvalidIssuerError):
            return "the token is not of http_server.jwt.iss"
        if isinstance(fault, self._jwt.InvalidAudienceError):
            return "the token is not for http_server.jwt.aud"
        return ""


def _life_s(claims: Mapping[str, Any]) -> float:
    """Return how long a token lives in all; without an ``iat``, from now on."""
    begun = claims.get("iat", datetime.now(tz=timezone.utc).timestamp())
    return int(claims["exp"]) - int(begun)


def _public_key(path: str) -> PublicKey:
    """Return an RSA public key. Raises ConfigError."""
    from nanomq_py.tokens.rs256 import PublicKey

    key = f"http_server.jwt.public.keyfile={path!r}"
    try:
        text = kept.read_bytes(path, MAX_PEM_BYTES).decode("ascii", errors="replace")
    except OSError as fault:
        raise ConfigError(f"{key}: cannot be read: {fault.strerror}") from None
    try:
        return PublicKey.of_pem(text)
    except ValueError:
        raise ConfigError(f"{key}: expected a PEM file of an RSA public key") from None


def make_guard(config: HttpServer) -> Guard:
    """Return the guard that ``http_server.auth_type`` asks for. Blocks: it reads the key.

    Raises   ConfigError when the keys cannot be used
    """
    if config.auth_type == "basic":
        return BasicGuard(config.username, config.password)
    keys: dict[str, str | PublicKey] = {}
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
    return JwtGuard(keys, _token_rules(config))


def _token_rules(config: HttpServer) -> TokenRules:
    issuer, issuers = config.jwt_issuer, {}
    if issuer != ISSUER_BY_KEYFILE:
        issuers = {"RS256": issuer, "HS256": issuer}
    elif config.jwt_public_keyfile is not None:
        issuers = {"RS256": Path(config.jwt_public_keyfile).name}
    return TokenRules(
        issuers=issuers,
        names_issuer=issuer not in (ISSUER_BY_KEYFILE, ""),
        audience=config.jwt_audience,
        max_life_s=config.jwt_max_life_s,
    )


MOST_WAITING = 64  # requests of one address


class Gate:
    """The guard in force, which a reload replaces, and the logins that have failed.

    After failures a login waits before it is checked, right ones like wrong ones: otherwise
    the time until the answer would tell which one it was. It is not checked if its peer leaves
    meanwhile. So one address has as many guesses a second as it has connections.
    """

    def __init__(self, guard: Guard) -> None:
        self.guard = guard
        self._throttle = Throttle()
        self._waiting: Counter[str] = Counter()

    async def admit(
        self, address: str, authorization: str | None, gone: asyncio.Event | None = None
    ) -> str:
        """Return who asks, after a second at most. Raises Unauthorized, Throttled.

        gone   set when the peer has left
        """
        user = self.guard.claims(authorization or "")
        wait_s = self._throttle.wait_s(address, user) if authorization else 0.0
        if wait_s > 0:
            await self._wait(network_of(address), wait_s, gone or asyncio.Event())
        try:
            name = self.guard.check(authorization)
        except Unauthorized as refused:
            if refused.why is Login.WRONG:
                self._throttle.failed(address, user)
            raise
        self._throttle.succeeded(address, user)
        return name

    async def _wait(self, network: str, wait_s: float, gone: asyncio.Event) -> None:
        if self._waiting[network] >= MOST_WAITING:
            raise Throttled(
                "too many logins of this address wait behind failed ones; try later",
                retry_after_s=1,
            )
        self._waiting[network] += 1
        try:
            await asyncio.wait_for(gone.wait(), wait_s)
        except asyncio.TimeoutError:
            return
        finally:
            self._waiting[network] -= 1
            if self._waiting[network] == 0:
                del self._waiting[network]
        raise Unauthorized(Login.GONE)
