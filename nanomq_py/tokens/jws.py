"""A signed token in its compact form, and its claims once a key has verified it.

::

    base64url(header) . base64url(claims) . base64url(signature)

A key has one algorithm. A token chooses among keys, never what is done with one (RFC 8725,
3.1): that is why ``alg`` cannot make a public key a secret.

Source  RFC 7515, 3.1, 4.1 and 5.2; RFC 7519, 7.2
"""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec

MOST_BYTES = 65535  # what a user name or a password of MQTT may have
MOST_TRIED = 8  # keys for a token that names none
_PUBLIC = ("RS256", "ES256")  # whose keys may still come
_PART = re.compile(rb"[A-Za-z0-9_-]*")


class Refused(Exception):
    """The token lets nobody in; the text says why, for the log, without anything of it."""


class UnknownKey(Refused):
    """The token names a key that nobody knows yet."""


class Verifier(Protocol):
    """A key."""

    def verifies(self, message: bytes, signature: bytes) -> bool: ...


@dataclass(frozen=True)
class Key:
    """A key, what it is for, and what tokens call it.

    algorithm  HS256, RS256 or ES256
    kid        None: tokens need not name it
    """

    algorithm: str
    verifier: Verifier
    kid: str | None = None

    @property
    def is_slow(self) -> bool:
        """Whether to verify takes more than some ten microseconds."""
        return self.algorithm != "HS256"


Keys = Sequence[Key]


class _Header(msgspec.Struct):
    alg: Any = None
    kid: Any = None
    crit: Any = None


@dataclass(frozen=True)
class Token:
    """A token that nobody has verified."""

    algorithm: str
    kid: str | None
    signed: bytes  # what the signature is of
    claims: bytes  # JSON, so far only bytes
    signature: bytes

    def keys(self, keys: Keys) -> Keys:
        """Return those that could have signed it.

        Raises   Refused, UnknownKey
        """
        fit = [key for key in keys if key.algorithm == self.algorithm]
        if not fit:
            fault = UnknownKey if self.algorithm in _PUBLIC else Refused
            raise fault("its algorithm is that of no key")
        named = [key for key in fit if self.kid is not None and key.kid == self.kid]
        # A key of a PEM file, and a secret, have no name.
        found = named or [key for key in fit if self.kid is None or key.kid is None]
        if not found:
            raise UnknownKey("it names a key that is not known")
        if len(found) > MOST_TRIED:
            raise Refused("it does not name its key (kid)")
        return found

    def verified(self, keys: Keys) -> dict[str, Any]:
        """Return what it claims, if one of the keys has signed it. Raises Refused."""
        if not any(key.verifier.verifies(self.signed, self.signature) for key in keys):
            raise Refused("its signature is not right")
        claims: dict[str, Any] | None = _json(self.claims, dict[str, Any])
        if claims is None:
            raise Refused("its claims are no JSON object")
        return claims


def _json(text: bytes, kind: Any) -> Any:
    """Return what the text says; None if it says no such thing."""
    try:
        return msgspec.json.decode(text, type=kind)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None


def _bytes(part: bytes) -> bytes | None:
    """Return what the part stands for; None for what is not base64url (RFC 7515, 2)."""
    if _PART.fullmatch(part) is None or len(part) % 4 == 1:
        return None
    return base64.urlsafe_b64decode(part + b"=" * (-len(part) % 4))


def token_of(text: bytes) -> Token | None:
    """Return the token that the text is; None if it is none, but perhaps a password.

    Raises   Refused for a token that no key could verify
    """
    if len(text) > MOST_BYTES or text.count(b".") != 2:
        return None
    signed, _, end = text.rpartition(b".")
    begin, _, middle = signed.partition(b".")
    parts = [_bytes(part) for part in (begin, middle, end)]
    header = _json(parts[0] or b"", _Header)
    if header is None:
        return None
    if parts[1] is None or parts[2] is None:
        raise Refused("it is not written in base64url")
    if header.crit is not None:  # RFC 7515, 4.1.11
        raise Refused("it asks for an extension (crit)")
    if not isinstance(header.alg, str) or not isinstance(header.kid, str | None):
        raise Refused("its header is not that of a token")
    return Token(header.alg, header.kid, signed, parts[1], parts[2])
