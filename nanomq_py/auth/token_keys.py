"""The keys that ``auth.jwt`` names: a secret, and files. A URL has fetched_keys.py."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from nanomq_py import kept
from nanomq_py.config import ConfigError
from nanomq_py.config.keys.tokens import JwtLogin
from nanomq_py.tokens.jws import Key
from nanomq_py.tokens.keyset import MOST_BYTES, key_of_pem, keys_of_jwks

LEAST_SECRET_BYTES = 32  # RFC 7518, 3.2: as long as the hash

T = TypeVar("T")


@dataclass(frozen=True)
class _Secret:
    """The key of HS256 (RFC 7518, 3.2)."""

    secret: bytes = field(repr=False)

    def verifies(self, message: bytes, signature: bytes) -> bool:
        right = hmac.digest(self.secret, message, hashlib.sha256)
        return hmac.compare_digest(right, signature)


def _of_file(name: str, path: str, read: Callable[[bytes], T]) -> T:
    """Return what is in the file of that key. Raises ConfigError."""
    try:
        content = kept.read_bytes(path, MOST_BYTES)
    except OSError as fault:
        raise ConfigError(f"{name}={path!r}: cannot be read: {fault.strerror}") from None
    try:
        return read(content)
    except ValueError as fault:
        raise ConfigError(f"{name}={path!r}: {fault}") from None


def _of_pem(content: bytes) -> Key:
    try:
        return key_of_pem(content.decode("ascii"))
    except ValueError:
        raise ValueError(
            "expected a PEM file of a public key: RSA of 2048 bits or more, or P-256"
        ) from None


FileKeys = dict[str, tuple[Key, ...]]  # the name of the configuration's key -> its keys


def keys_of_files(jwt: JwtLogin) -> FileKeys:
    """Return the keys that need no server. Blocks: it reads files.

    Raises   ConfigError, also where there is no key at all
    """
    keys: FileKeys = {}
    if jwt.secret is not None:
        secret = jwt.secret.encode()
        if len(secret) < LEAST_SECRET_BYTES:
            raise ConfigError(
                f"auth.jwt.secret=(hidden): expected {LEAST_SECRET_BYTES} bytes or more"
            )
        keys["auth.jwt.secret"] = (Key("HS256", _Secret(secret)),)
    if jwt.public_keyfile is not None:
        name = "auth.jwt.public.keyfile"
        keys[name] = (_of_file(name, jwt.public_keyfile, _of_pem),)
    if jwt.jwks_file is not None:
        name = "auth.jwt.jwks.file"
        keys[name] = _of_file(name, jwt.jwks_file, keys_of_jwks)
    if not keys and jwt.jwks_url is None:
        raise ConfigError(
            "auth.jwt.enable=true: no key: expected auth.jwt.secret, public.keyfile,"
            " jwks.file or jwks.url"
        )
    return keys
