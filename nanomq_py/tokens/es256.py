"""ES256: a public key on the curve P-256, and what it verifies.

``cryptography`` would do it too, but its import takes 8 MiB. To verify needs no secret, so
Python's integers do.

Source  RFC 7518, 3.4; FIPS 186-5, 6.4.2; RFC 5480, 2.1.1 and 2.2
"""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass
from functools import cached_property

from nanomq_py.tokens.der import key_in_info
from nanomq_py.tokens.p256 import ORDER, Table, is_on_curve, table, weighted

_PEM = re.compile(r"-----BEGIN PUBLIC KEY-----([A-Za-z0-9+/=\s]+)-----END PUBLIC KEY-----")
_ECDSA_P256 = bytes.fromhex("06072a8648ce3d020106082a8648ce3d030107")
_UNCOMPRESSED = b"\x04"
_BYTES = 32  # of a coordinate, and of each half of a signature


@dataclass(frozen=True)
class CurveKey:
    """A point of P-256 that is somebody's public key."""

    x: int
    y: int

    def __post_init__(self) -> None:
        """Raise ValueError for what is no point of the curve."""
        if not is_on_curve(self.x, self.y):
            raise ValueError("not a point of P-256")

    @classmethod
    def of_bytes(cls, x: bytes, y: bytes) -> CurveKey:
        """Return the key of two coordinates (RFC 7518, 6.2.1.2). Raises ValueError."""
        if (len(x), len(y)) != (_BYTES, _BYTES):
            raise ValueError("a coordinate of P-256 has 32 bytes")
        return cls(int.from_bytes(x, "big"), int.from_bytes(y, "big"))

    @classmethod
    def of_pem(cls, text: str) -> CurveKey:
        """Return the first key of a PEM file. Raises ValueError."""
        found = _PEM.search(text)
        if found is None:
            raise ValueError("no public key in PEM")
        der = base64.b64decode("".join(found[1].split()), validate=True)
        point = key_in_info(der, _ECDSA_P256)
        if not point.startswith(_UNCOMPRESSED):
            raise ValueError("not an uncompressed point")
        return cls.of_bytes(point[1 : 1 + _BYTES], point[1 + _BYTES :])

    @cached_property
    def _table(self) -> Table:
        return table((self.x, self.y))

    def verifies(self, message: bytes, signature: bytes) -> bool:
        """Return whether it is the signature of the message: ECDSA with SHA-256."""
        if len(signature) != 2 * _BYTES:
            return False
        r = int.from_bytes(signature[:_BYTES], "big")
        s = int.from_bytes(signature[_BYTES:], "big")
        if not (0 < r < ORDER and 0 < s < ORDER):
            return False
        digest = int.from_bytes(hashlib.sha256(message).digest(), "big")
        inverse = pow(s, -1, ORDER)
        x = weighted(digest * inverse % ORDER, r * inverse % ORDER, self._table)
        return x is not None and x % ORDER == r
