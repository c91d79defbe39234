"""Functions of bytes: hashes, encodings, compression, bits. A text is its UTF-8."""

from __future__ import annotations

import base64
import hashlib
import struct
import uuid
import zlib
from typing import Any

from nanomq_py.plugins.rules.sql.errors import RuleError
from nanomq_py.plugins.rules.sql.functions.table import anything, binary, known, text, whole
from nanomq_py.plugins.rules.sql.values import (
    MOST_TEXT,
    UNDEFINED,
    Undefined,
    json_of,
    json_text,
)


@known("md5", binary)
def md5(data: bytes) -> str:
    """its MD5, in hexadecimal"""
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


@known("sha", binary)
def sha(data: bytes) -> str:
    """its SHA-1, in hexadecimal"""
    return hashlib.sha1(data, usedforsecurity=False).hexdigest()


@known("sha256", binary)
def sha256(data: bytes) -> str:
    """its SHA-256, in hexadecimal"""
    return hashlib.sha256(data).hexdigest()


@known("uuid_v4")
def uuid_v4() -> str:
    """a new UUID, by chance"""
    return str(uuid.uuid4())


@known("uuid_v4_no_hyphen")
def uuid_v4_no_hyphen() -> str:
    """the same without its hyphens"""
    return uuid.uuid4().hex


# --- encodings


@known("base64_encode", binary)
def base64_encode(data: bytes) -> str:
    """its base64"""
    return base64.b64encode(data).decode()


@known("base64_decode", text)
def base64_decode(value: str) -> bytes:
    """what base64 stands for; blanks and line ends in it do not count"""
    try:
        return base64.b64decode("".join(value.split()), validate=True)
    except ValueError:
        raise RuleError("expected base64") from None


@known("json_encode", anything)
def json_encode(value: Any) -> str:
    """its JSON"""
    return json_text(value)


@known("json_decode", binary)
def json_decode(value: bytes) -> Any:
    """the value of a text of JSON"""
    return json_of(value)


@known("bin2hexstr", binary)
def to_hexadecimal(data: bytes) -> str:
    """its bytes in hexadecimal, with capital letters"""
    return data.hex().upper()


@known("hexstr2bin", text)
def from_hexadecimal(value: str) -> bytes:
    """the bytes of hexadecimal digits; a 0 is put before an odd number of them"""
    try:
        return bytes.fromhex("".join(value.split()) if len(value) % 2 == 0 else f"0{value}")
    except ValueError:
        raise RuleError("expected hexadecimal digits") from None


# --- compression; the numbers are zlib's `wbits`


def _compressed(data: bytes, form: int) -> bytes:
    packing = zlib.compressobj(wbits=form)
    return packing.compress(data) + packing.flush()


def _uncompressed(data: bytes, form: int) -> bytes:
    """Return no more than a text may have: few bytes can stand for many."""
    unpacking = zlib.decompressobj(wbits=form)
    try:
        made = unpacking.decompress(data, MOST_TEXT)
    except zlib.error:
        raise RuleError("expected what was compressed in this form") from None
    if unpacking.unconsumed_tail:
        raise RuleError(f"more than {MOST_TEXT} bytes")
    if not unpacking.eof:
        raise RuleError("expected what was compressed, with its end")
    return made


@known("gzip", binary)
def gzip(data: bytes) -> bytes:
    """compressed, as gzip"""
    return _compressed(data, 31)


@known("gunzip", binary)
def gunzip(data: bytes) -> bytes:
    """what gzip has compressed"""
    return _uncompressed(data, 31)


@known("zip", binary)
def zip_(data: bytes) -> bytes:
    """compressed, as raw deflate"""
    return _compressed(data, -15)


@known("unzip", binary)
def unzip(data: bytes) -> bytes:
    """what `zip` has compressed"""
    return _uncompressed(data, -15)


@known("zip_compress", binary)
def zip_compress(data: bytes) -> bytes:
    """compressed, as zlib"""
    return _compressed(data, 15)


@known("zip_uncompress", binary)
def zip_uncompress(data: bytes) -> bytes:
    """what `zip_compress` has compressed"""
    return _uncompressed(data, 15)


# --- bits


@known("bitsize", binary)
def bit_size(data: bytes) -> int:
    """how many bits it has"""
    return 8 * len(data)


@known("bytesize", binary)
def byte_size(data: bytes) -> int:
    """how many bytes it has"""
    return len(data)


@known("subbits", binary, whole, whole, text, text, text)
def sub_bits(
    data: bytes,
    start: int,
    length: int | None = None,
    kind: str = "integer",
    sign: str = "unsigned",
    order: str = "big",
) -> int | float | bytes | Undefined:
    """the value of so many bits from a position from 1: `'integer'`, `'float'` or `'bits'`,
    `'unsigned'` or `'signed'`, `'big'` or `'little'`; with two arguments, `subbits(data,
    length)`, of the first ones. Undefined: it begins behind the end. Fewer: up to the end"""
    if length is None:
        start, length = 1, start
    if start < 1 or length < 0:
        raise RuleError("expected a position from 1 and a length from 0")
    length = min(length, 8 * len(data) - start + 1)
    if length < 0 or start > 8 * len(data):
        return UNDEFINED
    bits = _bits(data, start - 1, length)
    if kind == "integer":
        return _integer(bits, length, sign, order)
    if length % 8 or kind not in ("float", "bits"):
        raise RuleError("expected an integer, a float or bits, the last two of whole bytes")
    raw = bits.to_bytes(length // 8, "big")
    return raw if kind == "bits" else _float(raw, order)


def _bits(data: bytes, start: int, length: int) -> int:
    """Return these bits as a number, the first one highest."""
    end = start + length
    around = int.from_bytes(data[start // 8 : (end + 7) // 8], "big")
    return (around >> (-end % 8)) & ((1 << length) - 1)


def _integer(bits: int, length: int, sign: str, order: str) -> int:
    if length > 64 or sign not in ("signed", "unsigned") or order not in ("big", "little"):
        raise RuleError("expected 64 bits at most, signed or unsigned, big or little")
    if order == "little":
        whole_bytes, rest = divmod(
            length, 8
        )  # the last ones, fewer than 8, are the highest
        low = (bits >> rest).to_bytes(whole_bytes, "big")
        bits = int.from_bytes(low, "little") | (bits & ((1 << rest) - 1)) << (
            8 * whole_bytes
        )
    if sign == "signed" and length and bits >> (length - 1):
        bits -= 1 << length
    return bits


def _float(raw: bytes, order: str) -> float:
    letter = {2: "e", 4: "f", 8: "d"}.get(len(raw))
    if letter is None:
        raise RuleError("expected a float of 16, 32 or 64 bits")
    value: float = struct.unpack(f"{'<' if order == 'little' else '>'}{letter}", raw)[0]
    return value
