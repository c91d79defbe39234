"""Elements of DER, as far as public keys are made of them. Source: X.690, 8.1 and 10.1."""

from __future__ import annotations

INTEGER, BIT_STRING, SEQUENCE = 0x02, 0x03, 0x30


def element(data: bytes, tag: int) -> tuple[bytes, bytes]:
    """Return what is in the element that comes first, and what follows it.

    Raises   ValueError where another element comes, or less than all of it
    """
    if len(data) < 2 or data[0] != tag:
        raise ValueError("another element expected")
    size, at = data[1], 2
    if size >= 0x80:
        at += size - 0x80
        size = int.from_bytes(data[2:at], "big")
    if at > 2 + 4 or len(data) < at + size:
        raise ValueError("the element is cut off")
    return data[at : at + size], data[at + size :]


def integer(data: bytes) -> tuple[int, bytes]:
    """Return the INTEGER that comes first, and what follows it. Raises ValueError."""
    content, rest = element(data, INTEGER)
    return int.from_bytes(content, "big", signed=True), rest


def key_in_info(subject_public_key_info: bytes, algorithm: bytes) -> bytes:
    """Return the key that a SubjectPublicKeyInfo of that AlgorithmIdentifier holds.

    Raises   ValueError, for another algorithm too
    """
    content, _ = element(subject_public_key_info, SEQUENCE)
    found, content = element(content, SEQUENCE)
    if found != algorithm:
        raise ValueError("a key of another algorithm")
    bits, _ = element(content, BIT_STRING)
    return bits.removeprefix(b"\x00")  # no bit of the last byte is unused
