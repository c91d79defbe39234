"""Callers of the API that have a JWT. Source: RFC 6750, RFC 7519, http-dialects V1."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nanomq_py import kept
from nanomq_py.auth.callers import Caller, CallerKind, Stored
from nanomq_py.config import ConfigError
from nanomq_py.config.keys.http_server import ISSUER_BY_KEYFILE, HttpServer
from nanomq_py.http.errors import Login, Unauthorized
from nanomq_py.http.lean import hidden, private
from nanomq_py.listen.tls import MAX_PEM_BYTES
from nanomq_py.store.roles import Role

if TYPE_CHECKING:
    from nanomq_py.tokens.rs256 import PublicKey

LEAST_SECRET_BYTES = 32  # RFC 7518, 3.2: as long as the hash


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

    async def prove(
        self, name: bytes, password: bytes, address: str, stored: Stored
    ) -> Caller:
        """Look at the store alone: the password of the configuration is not in use."""
        caller = await stored.check(name, password, address)
        if caller is None:
            raise Unauthorized(Login.WRONG)
        return caller

    async def check(
        self, authorization: str | None, address: str, stored: Stored
    ) -> Caller:
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
        name = f"token of {str(claims.get('sub', 'nobody'))[:64]!r}"
        return Caller(name, Role.ADMINISTRATOR, CallerKind.TOKEN)

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


def jwt_guard(config: HttpServer) -> JwtGuard:
    """Return the guard of ``http_server.auth_type=jwt``. Blocks. Raises ConfigError."""
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
