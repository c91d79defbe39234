"""How a payload stands in JSON: as a text, as base64, or as base62.

base62 is the payload as one number, its first byte the highest, in the digits 0-9, A-Z, a-z;
each zero byte at its beginning is a digit 0.

Source   NanoMQ, webhook_base62_test.c: ``messagei+/`` is ``2a7oZkl5ty6sG7``
"""

from __future__ import annotations

import base64
from collections.abc import Callable

from nanomq_py.plugins.texts import text_or_base64

_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
# Of base62: its cost grows with the square of the length.
MOST_BASE62_BYTES = 16 * 1024
_LEAF_DIGITS = 64  # so many are made one by one

# What stands in the field, and how it is written if that is not what was asked for.
Written = tuple[str | None, str]


def base62(payload: bytes) -> str:
    """Return the payload in base62.

    >>> base62(b"messagei+/"), base62(bytes(2) + b"z"), base62(b"")
    ('2a7oZkl5ty6sG7', '001y', '')
    """
    zeros = len(payload) - len(payload.lstrip(b"\0"))
    number = int.from_bytes(payload, "big")
    return "0" * zeros + (_digits(number) if number else "")


def _digits(number: int) -> str:
    """Return its digits: those of both halves of it, as far as it is long."""
    length = int(number.bit_length() / 5.954) + 1  # log2(62)
    if length <= _LEAF_DIGITS:
        made = ""
        while number:
            number, digit = divmod(number, 62)
            made = _DIGITS[digit] + made
        return made
    low = length // 2
    high, rest = divmod(number, 62**low)
    return _digits(high) + _digits(rest).rjust(low, "0")


def _plain(payload: bytes) -> Written:
    text, is_base64 = text_or_base64(payload)
    return text, "base64" if is_base64 else ""


def _base64(payload: bytes) -> Written:
    return base64.b64encode(payload).decode() or None, ""  # null for an empty one


def _base62(payload: bytes) -> Written:
    if len(payload) > MOST_BASE62_BYTES:
        return base64.b64encode(payload).decode(), "base64"
    return base62(payload) or None, ""


WRITERS: dict[str, Callable[[bytes], Written]] = {
    "plain": _plain,
    "base64": _base64,
    "base62": _base62,
}
