"""Public keys in the forms that they are given in: PEM, and a JSON Web Key Set.

Source  RFC 7517, 4 and 5; RFC 7518, 6.2 and 6.3
"""

from __future__ import annotations

import base64
import binascii
from typing import Any

import msgspec

from nanomq_py.tokens.es256 import CurveKey
from nanomq_py.tokens.jws import Key
from nanomq_py.tokens.rs256 import PublicKey

MOST_BYTES = 1 << 20
MOST_KEYS = 1000
LEAST_BITS = 2048  # of RSA (RFC 7518, 3.3)


class _Jwk(msgspec.Struct):
    kty: str
    kid: str | None = None
    use: str = "sig"
    key_ops: list[str] = msgspec.field(default_factory=lambda: ["verify"])
    alg: str | None = None
    crv: str = ""
    n: str = ""
    e: str = ""
    x: str = ""
    y: str = ""


class _JwkSet(msgspec.Struct):
    keys: list[Any]


def _bytes(text: str) -> bytes:
    return base64.b64decode(
        text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True
    )


def _rsa(modulus: int, exponent: int, kid: str | None = None) -> Key:
    if modulus.bit_length() < LEAST_BITS:
        raise ValueError(f"a key of RSA has {LEAST_BITS} bits at least")
    return Key("RS256", PublicKey(modulus, exponent), kid)


def key_of_pem(text: str) -> Key:
    """Return the first public key of a PEM file, of RSA or P-256. Raises ValueError."""
    try:
        key = PublicKey.of_pem(text)
    except ValueError:
        return Key("ES256", CurveKey.of_pem(text))
    return _rsa(key.modulus, key.exponent)


def _key_of(raw: object) -> Key | None:
    """Return the key, or None for one that is for something else, or cannot be used.

    A set may have keys of kinds that are not known here (RFC 7517, 5). A secret ("oct") is
    none of them: who can read the set could sign with it.
    """
    try:
        jwk = msgspec.convert(raw, _Jwk)
        if jwk.use != "sig" or "verify" not in jwk.key_ops:
            return None
        if jwk.kty == "RSA" and jwk.alg in (None, "RS256"):
            n, e = (int.from_bytes(_bytes(text), "big") for text in (jwk.n, jwk.e))
            return _rsa(n, e, jwk.kid)
        if jwk.kty == "EC" and jwk.crv == "P-256" and jwk.alg in (None, "ES256"):
            return Key("ES256", CurveKey.of_bytes(_bytes(jwk.x), _bytes(jwk.y)), jwk.kid)
    except (msgspec.MsgspecError, ValueError, binascii.Error):
        pass
    return None


def keys_of_jwks(text: bytes) -> tuple[Key, ...]:
    """Return the keys of a JSON Web Key Set that tokens can be verified with.

    Raises   ValueError saying what is wrong with it
    """
    if len(text) > MOST_BYTES:
        raise ValueError(f"it has more than {MOST_BYTES} bytes")
    try:
        given = msgspec.json.decode(text, type=_JwkSet).keys
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise ValueError("it is no JSON Web Key Set") from None
    if len(given) > MOST_KEYS:
        raise ValueError(f"it has {len(given)} keys, more than {MOST_KEYS}")
    keys = tuple(key for key in map(_key_of, given) if key is not None)
    if not keys:
        raise ValueError("it has no key for RS256 or ES256 that can be used")
    return keys
