"""RS256 for PyJWT: an RSA public key, and what it verifies.

PyJWT takes both from ``cryptography``, whose import takes 8 MiB. To verify needs no secret, so
Python's integers do: 0.1 ms for a key of 2048 bits.

Source  RFC 7518, 3.3; RFC 8017, 8.2.2 and A.1.1; RFC 7468, 13
"""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass

BITS = range(1024, 16384 + 1)
EXPONENTS = range(3, 1 << 64, 2)
_PEM = re.compile(
    r"-----BEGIN (RSA )?PUBLIC KEY-----([A-Za-z0-9+/=\s]+)-----END \1?PUBLIC KEY-----"
)
_INTEGER, _BIT_STRING, _SEQUENCE = 0x02, 0x03, 0x30
_RSA_ENCRYPTION = bytes.fromhex("06092a864886f70d0101010500")
_SHA256_INFO = bytes.fromhex("3031300d060960864801650304020105000420")


def _element(data: bytes, tag: int) -> tuple[bytes, bytes]:
    """Return what is in the element of DER that comes first, and what follows it."""
    if len(data) < 2 or data[0] != tag:
        raise ValueError("another element expected")
    size, at = data[1], 2
    if size >= 0x80:
        at += size - 0x80
        size = int.from_bytes(data[2:at], "big")
    if at > 2 + 4 or len(data) < at + size:
        raise ValueError("the element is cut off")
    return data[at : at + size], data[at + size :]


def _number(data: bytes) -> tuple[int, bytes]:
    content, rest = _element(data, _INTEGER)
    return int.from_bytes(content, "big", signed=True), rest


def _rsa_key(subject_public_key_info: bytes) -> bytes:
    """Return the RSAPublicKey that it holds."""
    content, _ = _element(subject_public_key_info, _SEQUENCE)
    algorithm, content = _element(content, _SEQUENCE)
    if algorithm != _RSA_ENCRYPTION:
        raise ValueError("not a key of RSA")
    bits, _ = _element(content, _BIT_STRING)
    return bits.removeprefix(b"\x00")  # no bit of the last byte is unused


@dataclass(frozen=True)
class PublicKey:
    """An RSA public key."""

    modulus: int
    exponent: int

    @classmethod
    def of_pem(cls, text: str) -> PublicKey:
        """Return the first key of a PEM file, PKCS #1 or SubjectPublicKeyInfo.

        Raises ValueError.
        """
        found = _PEM.search(text)
        if found is None:
            raise ValueError("no public key in PEM")
        der = base64.b64decode("".join(found[2].split()), validate=True)
        content, _ = _element(der if found[1] else _rsa_key(der), _SEQUENCE)
        modulus, content = _number(content)
        exponent, _ = _number(content)
        if (
            modulus.bit_length() not in BITS
            or modulus % 2 == 0
            or exponent not in EXPONENTS
        ):
            raise ValueError("no key of RSA that may be used")
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
        """Say nothing: of_pem has looked."""

    def verify(self, msg: bytes, key: PublicKey, sig: bytes) -> bool:
        return key.verifies(msg, sig)
