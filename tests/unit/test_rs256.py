"""tokens/rs256: RSA signatures as cryptography makes them, and keys as it writes them."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from hypothesis import given
from hypothesis import strategies as st

from nanomq_py.tokens.rs256 import PublicKey

pytestmark = pytest.mark.plain

Format = serialization.PublicFormat
KEYS = [
    rsa.generate_private_key(public_exponent=e, key_size=size)
    for e, size in ((65537, 2048), (3, 1024), (65537, 1031))
]
SHA256, V15 = hashes.SHA256(), padding.PKCS1v15()


def pem(key: Any, form: Format = Format.SubjectPublicKeyInfo) -> str:
    encoding = serialization.Encoding.PEM
    return str(key.public_key().public_bytes(encoding, form).decode())


def of(key: Any) -> PublicKey:
    return PublicKey.of_pem(pem(key))


@pytest.mark.parametrize("form", [Format.SubjectPublicKeyInfo, Format.PKCS1])
@pytest.mark.parametrize("key", KEYS)
def test_key_is_read_in_both_forms(key: Any, form: Format) -> None:
    numbers = key.public_key().public_numbers()
    text = "a comment\r\n" + pem(key, form).replace("\n", "\r\n")
    assert PublicKey.of_pem(text) == PublicKey(numbers.n, numbers.e)


@given(st.sampled_from(KEYS), st.binary())
def test_what_the_key_has_signed_is_verified(key: Any, message: bytes) -> None:
    assert of(key).verifies(message, key.sign(message, V15, SHA256))


@given(st.sampled_from(KEYS), st.binary(min_size=1), st.data())
def test_nothing_else_is_verified(key: Any, message: bytes, data: st.DataObject) -> None:
    signature = key.sign(message, V15, SHA256)
    at = data.draw(st.integers(0, len(signature) * 8 - 1))
    wrong = bytearray(signature)
    wrong[at // 8] ^= 1 << at % 8
    number = int.from_bytes(signature, "big") + of(key).modulus
    for bad in (
        bytes(wrong),
        signature[1:],
        b"\x00" + signature,
        b"",
        bytes(len(signature)),
        number.to_bytes(len(signature) + 1, "big"),
        number.to_bytes(len(signature) + 1, "big")[-len(signature) :],
        key.sign(message, V15, hashes.SHA512()),
        key.sign(message, padding.PSS(padding.MGF1(SHA256), 32), SHA256),
    ):
        assert not of(key).verifies(message, bad)
    assert not of(key).verifies(message + b"x", signature)
    assert not of(KEYS[KEYS.index(key) - 1]).verifies(message, signature)


def test_signature_with_something_behind_the_digest_is_not_verified() -> None:
    """A cube root is a signature of exponent 3 where the end is not looked at."""
    key, message = KEYS[1], b"m"
    size = key.key_size // 8
    digest = hashes.Hash(SHA256)
    digest.update(message)
    info = bytes.fromhex("3031300d060960864801650304020105000420") + digest.finalize()
    short = b"\x00\x01" + b"\xff" * 8 + b"\x00" + info
    number = key.private_numbers()
    forged = int.from_bytes(short.ljust(size, b"\x00"), "big")
    signed = pow(forged, number.d, number.public_numbers.n)
    assert not of(key).verifies(message, signed.to_bytes(size, "big"))


@given(st.binary(max_size=400) | st.tuples(st.integers(0, 293), st.integers(0, 255)))
def test_any_file_is_a_key_or_a_value_error(change: bytes | tuple[int, int]) -> None:
    der = (
        KEYS[0]
        .public_key()
        .public_bytes(serialization.Encoding.DER, Format.SubjectPublicKeyInfo)
    )
    if isinstance(change, tuple):
        at, byte = change
        der = der[:at] + bytes([byte]) + der[at + 1 :]
    else:
        der = change
    text = base64.encodebytes(der).decode()
    for name in ("PUBLIC KEY", "RSA PUBLIC KEY"):
        try:
            key = PublicKey.of_pem(f"-----BEGIN {name}-----\n{text}-----END {name}-----\n")
        except ValueError:
            continue
        assert key.modulus.bit_length() >= 1024


def test_other_keys_are_refused() -> None:
    curve = ec.generate_private_key(ec.SECP256R1())
    private = KEYS[0].private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    for text in ("", pem(curve), private.decode(), pem(KEYS[0])[:200]):
        with pytest.raises(ValueError, match=r"key|element|base64|RSA"):
            PublicKey.of_pem(text)
