"""Tokens and the keys that sign them, for tests."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils

SECRET = "0123456789abcdef" * 2
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
CURVE = ec.generate_private_key(ec.SECP256R1())
KEYS: dict[str, Any] = {"HS256": SECRET.encode(), "RS256": RSA, "ES256": CURVE}


def encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def pem(key: Any) -> str:
    info = serialization.PublicFormat.SubjectPublicKeyInfo
    text: str = key.public_key().public_bytes(serialization.Encoding.PEM, info).decode()
    return text


def signature(algorithm: str, message: bytes, key: Any = None) -> bytes:
    key = KEYS[algorithm] if key is None else key
    if algorithm == "HS256":
        return hmac.digest(key, message, hashlib.sha256)
    if algorithm == "RS256":
        made: bytes = key.sign(message, padding.PKCS1v15(), hashes.SHA256())
        return made
    r, s = utils.decode_dss_signature(key.sign(message, ec.ECDSA(hashes.SHA256())))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def token(
    algorithm: str = "HS256",
    claims: object = None,
    *,
    header: dict[str, Any] | None = None,
    key: Any = None,
    **more: Any,
) -> str:
    """Return a token that ends in an hour; ``header`` is what its header says besides."""
    said = {"exp": time.time() + 3600, **more} if claims is None else claims
    head = {"alg": algorithm, "typ": "JWT", **(header or {})}
    body = said if isinstance(said, bytes) else json.dumps(said).encode()
    message = f"{encoded(json.dumps(head).encode())}.{encoded(body)}"
    return f"{message}.{encoded(signature(algorithm, message.encode(), key))}"


def jwk(key: Any, **more: Any) -> dict[str, Any]:
    numbers = key.public_key().public_numbers()
    if isinstance(key, rsa.RSAPrivateKey):
        n = encoded(numbers.n.to_bytes(key.key_size // 8, "big"))
        return {"kty": "RSA", "n": n, "e": "AQAB", **more}
    x, y = (encoded(number.to_bytes(32, "big")) for number in (numbers.x, numbers.y))
    return {"kty": "EC", "crv": "P-256", "x": x, "y": y, **more}
