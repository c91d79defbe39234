"""Stored passwords: made, read and compared. Every call here takes its time.

::

    $scrypt$ln=14,r=8,p=1$SALT$HASH      scrypt with N = 2**ln: what we write
    $7$ITERATIONS$SALT$HASH              PBKDF2 with SHA-512: mosquitto since 2.0
    $6$SALT$HASH                         one SHA-512 with salt: mosquitto before that

SALT and HASH are base64; those of scrypt need no ``=``.

Cost     measured in docs/security.md; a hash that would take more than about half a second or
         64 MiB is refused
Source   RFC 7914 (scrypt), RFC 8018 (PBKDF2), the PHC string format, mosquitto_passwd(1)
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field

LN, R, P = 14, 8, 1  # of new hashes: 16 MiB
SALT_BYTES = 16
SCRYPT_BYTES = 32  # of a new hash
SHA512_BYTES = 64
MOST_SCRYPT_BYTES = 64 << 20  # of memory
MOST_SCRYPT_WORK = 1 << 20  # N * r * p
MOST_ITERATIONS = 1_000_000
MOST_TEXT = 512  # characters of a stored hash

EXPECTED = (
    "a hash such as $scrypt$ln=14,r=8,p=1$SALT$HASH, which nanomq passwd writes, or"
    " mosquitto's $6$ or $7$"
)


class BadHash(ValueError):
    """The text is no stored hash that can be used. The message says why, without the text."""


@dataclass(frozen=True)
class Hash:
    """A stored password that was read.

    make   makes the digest of a password. Blocks, without the GIL
    """

    digest: bytes = field(repr=False)
    make: Callable[[bytes], bytes] = field(repr=False)

    def matches(self, password: bytes) -> bool:
        """Return whether that is the password; the comparison takes constant time."""
        return hmac.compare_digest(self.digest, self.make(password))


def _scrypt(salt: bytes, ln: int, r: int, p: int, size: int) -> Callable[[bytes], bytes]:
    def make(password: bytes) -> bytes:
        n = 1 << ln
        most = 2 * MOST_SCRYPT_BYTES  # the bound of OpenSSL, which counts some more
        return hashlib.scrypt(password, salt=salt, n=n, r=r, p=p, maxmem=most, dklen=size)

    return make


def _pbkdf2(salt: bytes, iterations: int) -> Callable[[bytes], bytes]:
    return lambda password: hashlib.pbkdf2_hmac("sha512", password, salt, iterations)


def _sha512(salt: bytes) -> Callable[[bytes], bytes]:
    return lambda password: hashlib.sha512(password + salt).digest()


def _bytes(text: str, least: int, most: int) -> bytes:
    """Read base64, with or without the ``=`` at its end."""
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise BadHash("its salt or hash is no base64") from None
    if not least <= len(raw) <= most:
        raise BadHash("its salt or hash has no usual length")
    return raw


_SCRYPT = re.compile(r"\$scrypt\$ln=(\d{1,2}),r=(\d{1,4}),p=(\d{1,4})\$([^$]*)\$([^$]*)")
_PBKDF2 = re.compile(r"\$7\$(\d{1,9})\$([^$]*)\$([^$]*)")
_SHA512 = re.compile(r"\$6\$([^$]*)\$([^$]*)")


def _read_scrypt(ln: str, r: str, p: str, salt: str, digest: str) -> Hash:
    memory = 128 * int(r) << int(ln)
    work = int(r) * int(p) << int(ln)
    # RFC 7914, 2: N is less than 2 ** (128 * r / 8)
    if not (0 < int(ln) < 16 * int(r) and work > 0):
        raise BadHash("its parameters are none of scrypt's")
    if memory > MOST_SCRYPT_BYTES or work > MOST_SCRYPT_WORK:
        raise BadHash("its parameters take more than 64 MiB, or too long")
    wanted = _bytes(digest, 16, 64)
    return Hash(wanted, _scrypt(_bytes(salt, 8, 64), int(ln), int(r), int(p), len(wanted)))


def _read_pbkdf2(iterations: str, salt: str, digest: str) -> Hash:
    if not 0 < int(iterations) <= MOST_ITERATIONS:
        raise BadHash(f"its iterations are none, or more than {MOST_ITERATIONS}")
    wanted = _bytes(digest, SHA512_BYTES, SHA512_BYTES)
    return Hash(wanted, _pbkdf2(_bytes(salt, 8, 64), int(iterations)))


def _read_sha512(salt: str, digest: str) -> Hash:
    return Hash(_bytes(digest, SHA512_BYTES, SHA512_BYTES), _sha512(_bytes(salt, 8, 64)))


_FORMATS: tuple[tuple[re.Pattern[str], Callable[..., Hash]], ...] = (
    (_SCRYPT, _read_scrypt),
    (_PBKDF2, _read_pbkdf2),
    (_SHA512, _read_sha512),
)


def read_hash(text: str) -> Hash:
    """Read a stored hash; fast.

    Raises   BadHash
    """
    for pattern, read in _FORMATS if len(text) <= MOST_TEXT and text.isascii() else ():
        found = pattern.fullmatch(text)
        if found is not None:
            return read(*found.groups())
    raise BadHash(f"expected {EXPECTED}")


def matches(stored: str, password: bytes) -> bool:
    """Return whether that is the password of the stored hash. Raises BadHash. Blocks."""
    return read_hash(stored).matches(password)


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode().rstrip("=")


def hashed(password: bytes) -> str:
    """Return what is stored for a password: scrypt, with a salt of its own. Blocks."""
    salt = secrets.token_bytes(SALT_BYTES)
    digest = _scrypt(salt, LN, R, P, SCRYPT_BYTES)(password)
    return f"$scrypt$ln={LN},r={R},p={P}${_text(salt)}${_text(digest)}"


# What nobody's password matches, of the parameters of new hashes.
DECOY = (
    f"$scrypt$ln={LN},r={R},p={P}${_text(secrets.token_bytes(SALT_BYTES))}"
    f"${_text(secrets.token_bytes(SCRYPT_BYTES))}"
)
