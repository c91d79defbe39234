"""RS256: an RSA public key, and what it verifies.

``cryptography`` would do it too, but its import takes 8 MiB. To verify needs no secret, so
Python's integers do: 0.1 ms for a key of 2048 bits.

Source  RFC 7518, 3.3; RFC 8017, 8.2.2 and A.1.1; RFC 7468, 13
"""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass

from nanomq_py.tokens.der import SEQUENCE, element, integer, key_in_info

BITS = range(1024, 16384 + 1)
EXPONENTS = range(3, 1 << 64, 2)
_PEM = re.compile(
    r"-----BEGIN (RSA )?PUBLIC KEY-----([A-Za-z0-9+/=\s]+)-----END \1?PUBLIC KEY-----"
)
_RSA_ENCRYPTION = bytes.fromhex("06092a864886f70d0101010500")
_SHA256_INFO = bytes.fromhex("3031300d060960864801650304020105000420")


@dataclass(frozen=True)
class PublicKey:
    """An RSA public key."""

    modulus: int
    exponent: int

    def __post_init__(self) -> None:
        """Raise ValueError for numbers that are no key, or one that may not be used."""
        if (
            self.modulus.bit_length() not in BITS
            or self.modulus % 2 == 0
            or self.exponent not in EXPONENTS
        ):
            raise ValueError("no key of RSA that may be used")

    @classmethod
    def of_pem(cls, text: str) -> PublicKey:
        """Return the first key of a PEM file, PKCS #1 or SubjectPublicKeyInfo.

        Raises ValueError.
        """
        found = _PEM.search(text)
        if found is None:
            raise ValueError("no public key in PEM")
        der = base64.b64decode("".join(found[2].split()), validate=True)
        key = der if found[1] else key_in_info(der, _RSA_ENCRYPTION)
        content, _ = element(key, SEQUENCE)
        modulus, content = integer(content)
        exponent, _ = integer(content)
        return cls(modulus, exponent)

    def verifies(self, message: bytes, signature: bytes) -> bool:
        """Return whether it is the signature of the message: RSASSA-PKCS1-v1_5, SHA-256."""
        size = (self.modulus.bit_length() + 7) // 8
        number = int.from_bytes(signature, "big")
        if len(signature) != size or number >= self.modulus:
            return False
        # All of what was signed is made anew: parsing it would let forged ones in.
        end = b"\x00" + _SHA256_INFO + hashlib.sha256(message).digest()
        expected = b"\x00\x01" + end.rjust(size - 2, b"\xff")
        return pow(number, self.exponent, self.modulus).to_bytes(size, "big") == expected


class Rs256:
    """What PyJWT calls of an algorithm when it reads a token; its key is a PublicKey."""

    def prepare_key(self, key: PublicKey) -> PublicKey:
        return key

    def check_key_length(self, key: PublicKey) -> None:
        """Say nothing: PublicKey has looked."""

    def verify(self, msg: bytes, key: PublicKey, sig: bytes) -> bool:
        return key.verifies(msg, sig)
