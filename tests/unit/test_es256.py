"""tokens/es256 and p256: signatures as cryptography makes them, and what must not pass."""

from __future__ import annotations

import base64
import hashlib
from itertools import starmap
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils
from hypothesis import example, given
from hypothesis import strategies as st

from nanomq_py.tokens.es256 import CurveKey
from nanomq_py.tokens.p256 import GENERATOR, ORDER, P, is_on_curve, table, weighted

pytestmark = pytest.mark.plain

CURVE = ec.SECP256R1()
B = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B
KEYS = [ec.derive_private_key(number, CURVE) for number in (1, 2, ORDER - 1, 0xABCDEF**9)]


def pem(key: Any) -> str:
    info = serialization.PublicFormat.SubjectPublicKeyInfo
    text: str = key.public_key().public_bytes(serialization.Encoding.PEM, info).decode()
    return text


def numbers(key: Any) -> tuple[int, int]:
    public = key.public_key().public_numbers()
    return public.x, public.y


def of(key: Any) -> CurveKey:
    return CurveKey(*numbers(key))


def joined(r: int, s: int) -> bytes:
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def signed(key: Any, message: bytes) -> tuple[int, int]:
    return utils.decode_dss_signature(key.sign(message, ec.ECDSA(hashes.SHA256())))


def part(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def test_signature_of_rfc_7515_a_3_is_right() -> None:
    key = CurveKey.of_bytes(
        part("f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"),
        part("x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"),
    )
    message = (
        b"eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQog"
        b"Imh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
    )
    signature = part(
        "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"
    )
    assert key.verifies(message, signature)
    assert not key.verifies(message[:-1] + b"R", signature)


@given(st.sampled_from(KEYS), st.binary())
def test_what_the_key_has_signed_is_verified(key: Any, message: bytes) -> None:
    r, s = signed(key, message)
    assert of(key).verifies(message, joined(r, s))
    assert of(key).verifies(message, joined(r, ORDER - s))  # ECDSA has both


@given(st.sampled_from(KEYS), st.binary(), st.integers(0, 511))
def test_nothing_else_is_verified(key: Any, message: bytes, at: int) -> None:
    r, s = signed(key, message)
    wrong = bytearray(joined(r, s))
    wrong[at // 8] ^= 1 << at % 8
    other = KEYS[(KEYS.index(key) + 1) % len(KEYS)]
    assert not of(key).verifies(message, bytes(wrong))
    assert not of(key).verifies(message + b"x", joined(r, s))
    assert not of(other).verifies(message, joined(r, s))


@pytest.mark.parametrize("r", [0, 1, ORDER - 1, ORDER, ORDER + 1, P, 2**256 - 1])
@pytest.mark.parametrize("s", [0, 1, ORDER - 1, ORDER, ORDER + 1, P, 2**256 - 1])
def test_numbers_at_the_edges_are_refused(r: int, s: int) -> None:
    assert not of(KEYS[3]).verifies(b"m", joined(r, s))


def points_at(x: int) -> list[tuple[int, int]]:
    y = pow(x**3 - 3 * x + B, (P + 1) // 4, P)
    return [(x, y), (x, P - y)] if is_on_curve(x, y) else []


def test_number_over_the_order_is_refused_though_its_rest_is_right() -> None:
    """A key is made for which a small r, beside which r + n fits, and s = 1 are right."""
    digest = int.from_bytes(hashlib.sha256(b"m").digest(), "big")
    r, point = next((x, at[0]) for x in range(5, 99) if (at := points_at(x)))
    inverse = pow(r, -1, ORDER)
    x = weighted(-digest * inverse % ORDER, inverse, table(point))
    assert x is not None
    right = [
        key for key in starmap(CurveKey, points_at(x)) if key.verifies(b"m", joined(r, 1))
    ]
    assert len(right) == 1
    assert not right[0].verifies(b"m", joined(r + ORDER, 1))
    assert not right[0].verifies(b"m", joined(r, 1 + ORDER))


def test_infinity_is_no_signature() -> None:
    """u1 + u2 * d = 0 makes the sum infinite, whatever r is: nothing may be right then."""
    digest = int.from_bytes(hashlib.sha256(b"m").digest(), "big")
    key = of(KEYS[0])  # d is 1: r = -digest gives u1 = -u2
    assert weighted(5, ORDER - 5, table(GENERATOR)) is None
    assert not key.verifies(b"m", joined(-digest % ORDER, 1))


@pytest.mark.parametrize("size", [0, 1, 32, 63, 65, 70, 72, 128])
def test_signature_of_another_length_is_refused(size: int) -> None:
    r, s = signed(KEYS[0], b"m")
    assert not of(KEYS[0]).verifies(b"m", joined(r, s).ljust(size, b"\x00")[:size])
    der = KEYS[0].sign(b"m", ec.ECDSA(hashes.SHA256()))
    assert not of(KEYS[0]).verifies(b"m", der)


@given(a=st.integers(0, ORDER - 1), b=st.integers(0, ORDER - 1), key=st.sampled_from(KEYS))
@example(a=0, b=0, key=KEYS[3])
@example(a=1, b=1, key=KEYS[0])  # the sum of equal points
@example(a=1, b=1, key=KEYS[2])  # of opposite ones
@example(a=ORDER - 1, b=ORDER - 1, key=KEYS[1])
def test_weighted_sum_is_that_of_another_library(a: int, b: int, key: Any) -> None:
    d = key.private_numbers().private_value
    total = (a + b * d) % ORDER
    x = numbers(ec.derive_private_key(total, CURVE))[0] if total else None
    assert weighted(a, b, table(numbers(key))) == x


def test_point_that_is_not_on_the_curve_is_no_key() -> None:
    x, y = numbers(KEYS[3])
    assert is_on_curve(x, y)
    for bad in ((0, 0), (x, y + 1), (x + P, y), (x, y - P), (y, x), (-x, y)):
        with pytest.raises(ValueError, match="not a point"):
            CurveKey(*bad)


@pytest.mark.parametrize("sizes", [(31, 32), (32, 31), (33, 32), (0, 0), (64, 0)])
def test_coordinates_have_32_bytes(sizes: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        CurveKey.of_bytes(bytes(sizes[0]), bytes(sizes[1]))


@pytest.mark.parametrize("key", KEYS)
def test_key_is_read_from_pem(key: Any) -> None:
    assert CurveKey.of_pem("a comment\n" + pem(key)) == of(key)


def test_keys_of_other_curves_are_refused() -> None:
    for curve in (ec.SECP384R1(), ec.SECP256K1()):
        with pytest.raises(ValueError, match="another algorithm"):
            CurveKey.of_pem(pem(ec.generate_private_key(curve)))
